/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Get Log Page (5.14), the error log, and asynchronous events (5.2).
 *
 * An event is reported by completing a parked Asynchronous Event Request; without one it
 * waits.  After that its type stays silent until the driver has read the log page.
 */
#include "devices/nvme.h"

#include <string.h>
#include <time.h>

#include "core/syscall.h"

void nvme_events_reset(struct nvme *n)
{
	n->n_aers = 0;
	n->n_events = 0;
	n->events_masked = 0;
}

/* Reports events while there are both; event_lock is not held. */
static void deliver(struct nvme *n)
{
	for (;;) {
		struct nvme_request *request = NULL;

		pthread_mutex_lock(&n->event_lock);
		if (n->n_aers && n->n_events) {
			request = n->aers[0];
			request->result = n->events[0];
			n->n_aers--;
			n->n_events--;
			memmove(n->aers, n->aers + 1, n->n_aers * sizeof(n->aers[0]));
			memmove(n->events, n->events + 1, n->n_events * sizeof(n->events[0]));
		}
		pthread_mutex_unlock(&n->event_lock);
		if (!request)
			return;
		nvme_complete(request);
		nvme_cq_notify(n, &n->cq[0]);
	}
}

int nvme_event_park(struct nvme_request *request)
{
	struct nvme *n = request->nvme;
	bool full;

	pthread_mutex_lock(&n->event_lock);
	full = n->n_aers == NVME_AERS;
	if (!full)
		n->aers[n->n_aers++] = request;
	pthread_mutex_unlock(&n->event_lock);
	if (full)
		return NVME_AER_LIMIT_EXCEEDED | NVME_DNR;
	deliver(n);
	return NVME_PENDING;
}

bool nvme_event_abort(struct nvme *n, uint16_t cid)
{
	struct nvme_request *request = NULL;

	pthread_mutex_lock(&n->event_lock);
	for (unsigned i = 0; i < n->n_aers; i++) {
		if (n->aers[i]->command.cid != cid)
			continue;
		request = n->aers[i];
		n->n_aers--;
		memmove(&n->aers[i], &n->aers[i + 1], (n->n_aers - i) * sizeof(n->aers[0]));
		break;
	}
	pthread_mutex_unlock(&n->event_lock);
	if (!request)
		return false;
	request->status = NVME_ABORT_REQUESTED;
	nvme_complete(request);
	return true;
}

void nvme_event(struct nvme *n, unsigned type, unsigned info, unsigned log_page)
{
	pthread_mutex_lock(&n->event_lock);
	if (!(n->events_masked & 1u << type) && n->n_events < NVME_EVENTS) {
		n->events_masked |= (uint8_t)(1u << type);
		n->events[n->n_events++] = log_page << 16 | info << 8 | type;
	}
	pthread_mutex_unlock(&n->event_lock);
	deliver(n);
}

/* The driver has read the page that belongs to the type. */
static void unmask_events(struct nvme *n, unsigned type)
{
	pthread_mutex_lock(&n->event_lock);
	n->events_masked &= (uint8_t) ~(1u << type);
	pthread_mutex_unlock(&n->event_lock);
}

void nvme_log_error(struct nvme_request *request)
{
	struct nvme *n = request->nvme;
	struct nvme_error_entry *e;

	request->status |= NVME_MORE;
	pthread_mutex_lock(&n->event_lock);
	e = &n->errors[n->n_errors++ % NVME_ERRORS];
	*e = (struct nvme_error_entry){
		.count = n->n_errors,
		.sq_id = request->sq->id,
		.cid = request->command.cid,
		.status = (uint16_t)(request->status << 1),
		.location = request->error_location,
		.lba = request->lba,
		.nsid = request->command.nsid,
	};
	pthread_mutex_unlock(&n->event_lock);
}

uint8_t nvme_critical_warning(struct nvme *n)
{
	const struct nvme_features *f = &n->features;

	return NVME_TEMPERATURE >= f->over_threshold[0] || NVME_TEMPERATURE <= f->under_threshold[0]
		       ? NVME_SMART_WARNING_TEMPERATURE
		       : 0;
}

/* Newest first. */
static size_t make_error_log(struct nvme *n)
{
	struct nvme_error_entry *page = (void *)n->page;

	pthread_mutex_lock(&n->event_lock);
	for (uint64_t i = 0; i < NVME_ERRORS && i < n->n_errors; i++)
		page[i] = n->errors[(n->n_errors - 1 - i) % NVME_ERRORS];
	pthread_mutex_unlock(&n->event_lock);
	return NVME_ERRORS * sizeof(*page);
}

static uint64_t data_units(uint64_t bytes)
{
	return (bytes + 512000 - 1) / 512000;
}

static size_t make_smart_log(struct nvme *n)
{
	struct nvme_smart_log *log = (void *)n->page;
	struct timespec now = {0};

	host_syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	log->critical_warning = nvme_critical_warning(n);
	log->temperature = NVME_TEMPERATURE;
	log->available_spare = 100;
	log->spare_threshold = 10;
	log->data_units_read[0] = data_units(atomic_load(&n->bytes_read));
	log->data_units_written[0] = data_units(atomic_load(&n->bytes_written));
	log->host_reads[0] = atomic_load(&n->reads);
	log->host_writes[0] = atomic_load(&n->writes);
	log->power_cycles[0] = 1;
	log->power_on_hours[0] = (uint64_t)(now.tv_sec - n->powered_on) / 3600;
	log->media_errors[0] = atomic_load(&n->media_errors);
	log->error_entries[0] = n->n_errors;
	return sizeof(*log);
}

static size_t make_firmware_log(struct nvme *n)
{
	struct nvme_firmware_log *log = (void *)n->page;

	log->active = 1;
	memcpy(log->revision[0], "1.0     ", 8);
	return sizeof(*log);
}

/* Commands Supported and Effects (5.14.1.5): admin opcodes, then I/O opcodes, 4 bytes each. */
static size_t make_effects_log(struct nvme *n)
{
	enum { SUPPORTED = 1, CHANGES_DATA = 2 };
	static const uint8_t admin[] = {
		NVME_ADMIN_DELETE_SQ,   NVME_ADMIN_CREATE_SQ,    NVME_ADMIN_GET_LOG_PAGE,
		NVME_ADMIN_DELETE_CQ,   NVME_ADMIN_CREATE_CQ,    NVME_ADMIN_IDENTIFY,
		NVME_ADMIN_ABORT,       NVME_ADMIN_SET_FEATURES, NVME_ADMIN_GET_FEATURES,
		NVME_ADMIN_ASYNC_EVENT,
	};
	uint32_t *entries = (void *)n->page;

	for (size_t i = 0; i < sizeof(admin); i++)
		entries[admin[i]] = SUPPORTED;
	entries[256 + NVME_FLUSH] = SUPPORTED | CHANGES_DATA;
	entries[256 + NVME_WRITE] = SUPPORTED | CHANGES_DATA;
	entries[256 + NVME_READ] = SUPPORTED;
	entries[256 + NVME_COMPARE] = SUPPORTED;
	entries[256 + NVME_WRITE_ZEROES] = SUPPORTED | CHANGES_DATA;
	entries[256 + NVME_DATASET_MANAGEMENT] = SUPPORTED | CHANGES_DATA;
	return sizeof(n->page);
}

int nvme_get_log_page(struct nvme_request *request)
{
	const struct nvme_command *c = &request->command;
	struct nvme *n = request->nvme;
	uint64_t offset = (uint64_t)c->cdw13 << 32 | c->cdw12;
	uint64_t size = (((uint64_t)(c->cdw11 & 0xffff) << 16 | c->cdw10 >> 16) + 1) * 4;
	bool retain = c->cdw10 & 1u << 15;
	unsigned page = c->cdw10 & 0xff;
	uint64_t available;
	int status;

	/* All pages are the controller's.  Drives don't mind when the namespace is named. */
	if (c->nsid > 1 && c->nsid != NVME_NSID_ALL)
		return nvme_bad_field(request, 4, NVME_INVALID_NAMESPACE);
	memset(n->page, 0, sizeof(n->page));
	switch (page) {
	case NVME_LOG_ERROR:
		available = make_error_log(n);
		break;
	case NVME_LOG_SMART:
		available = make_smart_log(n);
		break;
	case NVME_LOG_FIRMWARE:
		available = make_firmware_log(n);
		break;
	case NVME_LOG_EFFECTS:
		available = make_effects_log(n);
		break;
	default:
		return nvme_bad_field(request, 40, NVME_INVALID_LOG_PAGE);
	}
	if (offset % 4 || offset > available || size > (uint64_t)4096 << n->mdts)
		return nvme_bad_field(request, offset % 4 || offset > available ? 48 : 42,
				      NVME_INVALID_FIELD);
	if (size > available - offset)
		size = available - offset;
	status = nvme_data_write(request, n->page + offset, size);
	if (!status && !retain && page == NVME_LOG_ERROR)
		unmask_events(n, NVME_EVENT_ERROR);
	if (!status && !retain && page == NVME_LOG_SMART)
		unmask_events(n, NVME_EVENT_SMART);
	return status;
}
