/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Get Features and Set Features (5.13, 5.21): the ones that a controller must have.
 *
 * None can be saved.  Most are numbers that nothing depends on; the write cache, the
 * temperature thresholds and the event configuration do what they say.
 */
#include "devices/nvme.h"

#include <string.h>

enum { SELECT_CURRENT, SELECT_DEFAULT, SELECT_SAVED, SELECT_CAPABILITIES };

#define CAPABILITY_NAMESPACE  2u
#define CAPABILITY_CHANGEABLE 4u

#define SAVE 0x80000000u /* in Set Features' cdw10 */

#define SENSOR_ALL 15u

static void set_defaults(struct nvme_features *f)
{
	memset(f, 0, sizeof(*f));
	f->arbitration = 7; /* no limit to a burst */
	f->write_cache = 1;
	for (unsigned i = 0; i < 9; i++)
		f->over_threshold[i] = i == 0 ? 343 : 0xffff;
}

void nvme_features_reset(struct nvme *n)
{
	set_defaults(&n->features);
}

/* The number that a feature is, or NULL if it is more than that. */
static uint32_t *plain_feature(struct nvme_features *f, unsigned id)
{
	switch (id) {
	case NVME_FEATURE_ARBITRATION:
		return &f->arbitration;
	case NVME_FEATURE_POWER_MANAGEMENT:
		return &f->power;
	case NVME_FEATURE_ERROR_RECOVERY:
		return &f->error_recovery;
	case NVME_FEATURE_WRITE_CACHE:
		return &f->write_cache;
	case NVME_FEATURE_COALESCING:
		return &f->coalescing;
	case NVME_FEATURE_WRITE_ATOMICITY:
		return &f->write_atomicity;
	case NVME_FEATURE_ASYNC_EVENTS:
		return &f->async_events;
	}
	return NULL;
}

static bool exists(unsigned id)
{
	return id >= NVME_FEATURE_ARBITRATION && id <= NVME_FEATURE_ASYNC_EVENTS && id != 0x03;
}

static int check_namespace(struct nvme_request *request, unsigned id, bool set)
{
	uint32_t nsid = request->command.nsid;

	if (id == NVME_FEATURE_ERROR_RECOVERY) {
		if (nsid == 1 || nsid == 0 || (set && nsid == NVME_NSID_ALL))
			return NVME_SUCCESS;
		return nvme_bad_field(request, 4, NVME_INVALID_NAMESPACE);
	}
	if (!set || nsid == 0 || nsid == NVME_NSID_ALL)
		return NVME_SUCCESS;
	/* QEMU's driver names its namespace with the write cache, and drives accept that. */
	if (id == NVME_FEATURE_WRITE_CACHE && nsid == 1)
		return NVME_SUCCESS;
	return nvme_bad_field(request, 4,
			      nsid == 1 ? NVME_NOT_NAMESPACE_SPECIFIC : NVME_INVALID_NAMESPACE);
}

static uint16_t *threshold(struct nvme_features *f, uint32_t cdw11)
{
	unsigned sensor = cdw11 >> 16 & 15, type = cdw11 >> 20 & 3;

	if (sensor > 8 || type > 1)
		return NULL;
	return type == 0 ? &f->over_threshold[sensor] : &f->under_threshold[sensor];
}

int nvme_get_features(struct nvme_request *request)
{
	const struct nvme_command *c = &request->command;
	struct nvme *n = request->nvme;
	unsigned id = c->cdw10 & 0xff, select = c->cdw10 >> 8 & 7, vector = c->cdw11 & 0xffff;
	struct nvme_features defaults, *f = &n->features;
	const uint16_t *kelvin;
	const uint32_t *plain;
	int status;

	if (!exists(id) || select > SELECT_CAPABILITIES)
		return nvme_bad_field(request, 40, NVME_INVALID_FIELD);
	status = check_namespace(request, id, false);
	if (status)
		return status;
	if (select == SELECT_CAPABILITIES) {
		request->result = CAPABILITY_CHANGEABLE;
		if (id == NVME_FEATURE_ERROR_RECOVERY)
			request->result |= CAPABILITY_NAMESPACE;
		return NVME_SUCCESS;
	}
	if (select != SELECT_CURRENT) {
		/* What is not saved has its default saved. */
		set_defaults(&defaults);
		f = &defaults;
	}
	plain = plain_feature(f, id);
	if (plain) {
		request->result = *plain;
		return NVME_SUCCESS;
	}
	switch (id) {
	case NVME_FEATURE_TEMPERATURE_THRESHOLD:
		kelvin = threshold(f, c->cdw11);
		if (!kelvin)
			return nvme_bad_field(request, 44, NVME_INVALID_FIELD);
		request->result = *kelvin;
		break;
	case NVME_FEATURE_QUEUES:
		request->result = (n->io_queues - 1) << 16 | (n->io_queues - 1);
		break;
	case NVME_FEATURE_VECTOR:
		if (vector >= NVME_MSIX_VECTORS)
			return nvme_bad_field(request, 44, NVME_INVALID_FIELD);
		request->result = vector | (uint32_t)f->vector_no_coalescing[vector] << 16;
		break;
	}
	return NVME_SUCCESS;
}

static int set_threshold(struct nvme_request *request)
{
	uint32_t cdw11 = request->command.cdw11;
	struct nvme *n = request->nvme;
	uint16_t *kelvin = threshold(&n->features, cdw11);

	if (kelvin) {
		*kelvin = (uint16_t)cdw11;
	} else if ((cdw11 >> 16 & 15) == SENSOR_ALL && (cdw11 >> 20 & 3) <= 1) {
		for (uint32_t sensor = 0; sensor <= 8; sensor++)
			*threshold(&n->features, (cdw11 & ~(15u << 16)) | sensor << 16) =
				(uint16_t)cdw11;
	} else {
		return nvme_bad_field(request, 44, NVME_INVALID_FIELD);
	}
	if (nvme_critical_warning(n) & n->features.async_events)
		nvme_event(n, NVME_EVENT_SMART, NVME_EVENT_SMART_TEMPERATURE, NVME_LOG_SMART);
	return NVME_SUCCESS;
}

static int set_queues(struct nvme_request *request)
{
	struct nvme *n = request->nvme;
	uint32_t sqs = request->command.cdw11 & 0xffff, cqs = request->command.cdw11 >> 16;

	if (sqs == 0xffff || cqs == 0xffff)
		return nvme_bad_field(request, 44, NVME_INVALID_FIELD);
	if (n->io_queue_created)
		return nvme_bad_field(request, 40, NVME_SEQUENCE_ERROR);
	/* What there is, whatever was asked for. */
	request->result = (n->io_queues - 1) << 16 | (n->io_queues - 1);
	return NVME_SUCCESS;
}

int nvme_set_features(struct nvme_request *request)
{
	const struct nvme_command *c = &request->command;
	struct nvme *n = request->nvme;
	unsigned id = c->cdw10 & 0xff, vector = c->cdw11 & 0xffff;
	uint32_t value = c->cdw11;
	int status;

	if (!exists(id))
		return nvme_bad_field(request, 40, NVME_INVALID_FIELD);
	if (c->cdw10 & SAVE)
		return nvme_bad_field(request, 40, NVME_NOT_SAVEABLE);
	status = check_namespace(request, id, true);
	if (status)
		return status;
	switch (id) {
	case NVME_FEATURE_TEMPERATURE_THRESHOLD:
		return set_threshold(request);
	case NVME_FEATURE_QUEUES:
		return set_queues(request);
	case NVME_FEATURE_VECTOR:
		if (vector >= NVME_MSIX_VECTORS)
			return nvme_bad_field(request, 44, NVME_INVALID_FIELD);
		n->features.vector_no_coalescing[vector] = value >> 16 & 1;
		return NVME_SUCCESS;
	case NVME_FEATURE_POWER_MANAGEMENT:
		if (value & 31) /* there is one power state */
			return nvme_bad_field(request, 44, NVME_INVALID_FIELD);
		break;
	case NVME_FEATURE_WRITE_CACHE:
	case NVME_FEATURE_WRITE_ATOMICITY:
		value &= 1;
		break;
	}
	*plain_feature(&n->features, id) = value;
	return NVME_SUCCESS;
}
