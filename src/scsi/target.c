/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Targets, their units and nexuses: coming, going, and who is told.
 *
 * A struct scsi_unit is made when its LUN is first used and stays until the target ends, so
 * that commands find it without a lock.  A unit that is removed keeps its gate closed and
 * lets go of its backend.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "scsi/scsi_private.h"

/* ---- units ---- */

static int config_error(char error[SCSI_ERROR_MAX], int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int config_error(char error[SCSI_ERROR_MAX], int code, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(error, SCSI_ERROR_MAX, format, ap);
	va_end(ap);
	return code;
}

/* Copies a string of up to `max` printable characters. */
static int take_string(char *to, size_t max, const char *from, const char *fallback,
		       const char *key, char *error)
{
	if (!from)
		from = fallback;
	if (!*from || strlen(from) > max)
		return config_error(error, -EINVAL, "%s=: 1 to %zu characters", key, max);
	for (const char *p = from; *p; p++)
		if (!isascii((unsigned char)*p) || !isprint((unsigned char)*p))
			return config_error(error, -EINVAL, "%s=: printable ASCII only", key);
	strcpy(to, from);
	return 0;
}

/* A locally assigned NAA number that is the same for the same strings (FNV-1a). */
static uint64_t make_name(const struct scsi_unit *unit)
{
	const char *const parts[] = {unit->vendor, unit->product, unit->serial};
	uint64_t hash = 0xcbf29ce484222325;

	for (unsigned i = 0; i < 3; i++)
		for (const char *p = parts[i]; *p; p++)
			hash = (hash ^ (uint8_t)*p) * 0x100000001b3;
	return UINT64_C(3) << 60 | hash >> 4;
}

static int configure(struct scsi_unit *unit, const struct scsi_unit_config *config, char *error)
{
	unsigned block_size = config->block_size ? config->block_size : 512;
	char serial[40];
	int r;

	if (block_size < 512 || block_size > 4096 || block_size & (block_size - 1))
		return config_error(error, -EINVAL, "blocksize=%u: a power of two from 512 to 4096",
				    block_size);
	snprintf(serial, sizeof(serial), "%016llx-%u",
		 (unsigned long long)unit->target->config.port, config->lun);
	if ((r = take_string(unit->vendor, 8, config->vendor, "STANDIN", "vendor", error)) < 0 ||
	    (r = take_string(unit->product, 16, config->product, "disk", "product", error)) < 0 ||
	    (r = take_string(unit->revision, 4, config->revision, "0.1", "revision", error)) < 0 ||
	    (r = take_string(unit->serial, 36, config->serial, serial, "serial", error)) < 0)
		return r;
	r = backend_open_options(&config->backend, block_size, &unit->backend, error);
	if (r < 0)
		return r;
	unit->block_shift = (unsigned)__builtin_ctz(block_size);
	unit->blocks = backend_size(unit->backend) >> unit->block_shift;
	unit->read_only = backend_read_only(unit->backend);
	unit->rotational = config->rotational;
	unit->removable = config->removable;
	unit->name = make_name(unit);
	unit->stopped = unit->ejected = false;
	memset(&unit->reservations, 0, sizeof(unit->reservations));
	atomic_store(&unit->reserved_by, NULL);
	atomic_store(&unit->reserved, false);
	atomic_store(&unit->prevented, 0);
	scsi_mode_defaults(unit);
	return 0;
}

/* The LUN's place, absent at first; NULL if out of memory. */
static struct scsi_unit *place(struct scsi_target *target, unsigned lun)
{
	struct scsi_unit *unit = atomic_load(&target->units[lun]);

	if (unit)
		return unit;
	unit = calloc(1, sizeof(*unit));
	if (!unit)
		return NULL;
	unit->target = target;
	unit->lun = lun;
	atomic_init(&unit->gate, GATE_CLOSED);
	pthread_mutex_init(&unit->lock, NULL);
	unit->waiting_last = &unit->waiting;
	atomic_store(&target->units[lun], unit);
	return unit;
}

bool scsi_unit_present(struct scsi_unit *unit)
{
	bool present;

	pthread_mutex_lock(&unit->lock);
	present = unit->present;
	pthread_mutex_unlock(&unit->lock);
	return present;
}

bool scsi_unit_exists(struct scsi_target *target, unsigned lun)
{
	struct scsi_unit *unit = lun < SCSI_LUNS_MAX ? atomic_load(&target->units[lun]) : NULL;

	return unit && scsi_unit_present(unit);
}

/* Tells that `lun` has come or gone. */
static void luns_changed(struct scsi_target *target, enum scsi_change change, unsigned lun)
{
	for (unsigned i = 0; i < SCSI_LUNS_MAX; i++)
		if (i != lun && scsi_unit_exists(target, i))
			scsi_attention_raise(atomic_load(&target->units[i]), ATTENTION_LUNS_CHANGED,
					     NULL);
	scsi_tell(target, change, lun);
}

/* Nexuses meet a new unit: nothing is left of an earlier one. */
static void reset_attention(struct scsi_target *target, unsigned lun)
{
	pthread_mutex_lock(&target->nexus_lock);
	for (struct scsi_nexus *n = target->nexuses; n; n = n->next) {
		atomic_store(&n->attention[lun], 1u << ATTENTION_POWER_ON);
		atomic_store(&n->prevents[lun], false);
	}
	pthread_mutex_unlock(&target->nexus_lock);
}

int scsi_unit_add(struct scsi_target *target, const struct scsi_unit_config *config,
		  char error[SCSI_ERROR_MAX])
{
	struct scsi_unit *unit;
	int r;

	if (config->lun >= SCSI_LUNS_MAX)
		return config_error(error, -EINVAL, "LUN %u: 0 to %u", config->lun,
				    SCSI_LUNS_MAX - 1);
	pthread_mutex_lock(&target->config_lock);
	unit = place(target, config->lun);
	if (!unit)
		r = config_error(error, -ENOMEM, "out of memory");
	else if (scsi_unit_present(unit))
		r = config_error(error, -EEXIST, "LUN %u is there already", config->lun);
	else
		r = configure(unit, config, error);
	if (r == 0) {
		if (target->started)
			backend_start(unit->backend);
		reset_attention(target, config->lun);
		scsi_gate_open(unit);
		luns_changed(target, SCSI_UNIT_ADDED, config->lun);
	}
	pthread_mutex_unlock(&target->config_lock);
	return r;
}

static void shut(struct scsi_unit *unit, void *arg)
{
	scsi_gate_shut(unit);
}

int scsi_unit_remove(struct scsi_target *target, unsigned lun)
{
	struct scsi_unit *unit;
	int r = -ENOENT;

	if (lun >= SCSI_LUNS_MAX)
		return r;
	pthread_mutex_lock(&target->config_lock);
	unit = atomic_load(&target->units[lun]);
	if (unit) {
		scsi_gate_abort(unit, NULL);
		r = scsi_gate_call(unit, shut, NULL) == 0 ? 0 : -ENOENT;
	}
	if (r == 0) {
		/* Here, since that may have been called on a thread of the backend's. */
		backend_close(unit->backend);
		unit->backend = NULL;
		luns_changed(target, SCSI_UNIT_REMOVED, lun);
	}
	pthread_mutex_unlock(&target->config_lock);
	return r;
}

static void take_size(struct scsi_unit *unit, void *arg)
{
	int *result = arg;

	*result = backend_refresh(unit->backend, 1u << unit->block_shift);
	unit->blocks = backend_size(unit->backend) >> unit->block_shift;
}

int scsi_unit_refresh(struct scsi_target *target, unsigned lun)
{
	int result = -ENOENT;
	struct scsi_unit *unit;

	if (lun >= SCSI_LUNS_MAX)
		return -ENOENT;
	pthread_mutex_lock(&target->config_lock);
	unit = atomic_load(&target->units[lun]);
	if (unit)
		scsi_gate_call(unit, take_size, &result);
	if (result == 1) {
		scsi_attention_raise(unit, ATTENTION_CAPACITY_CHANGED, NULL);
		scsi_tell(target, SCSI_UNIT_CHANGED, lun);
	}
	pthread_mutex_unlock(&target->config_lock);
	return result;
}

void scsi_unit_reset(struct scsi_unit *unit)
{
	struct scsi_target *target = unit->target;

	scsi_mode_defaults(unit);
	unit->stopped = false;
	atomic_store(&unit->reserved_by, NULL);
	scsi_reservations_changed(unit);
	pthread_mutex_lock(&target->nexus_lock);
	for (struct scsi_nexus *n = target->nexuses; n; n = n->next)
		atomic_store(&n->prevents[unit->lun], false);
	pthread_mutex_unlock(&target->nexus_lock);
	atomic_store(&unit->prevented, 0);
	scsi_attention_raise(unit, ATTENTION_RESET, NULL);
}

/* ---- targets ---- */

int scsi_target_create(const struct scsi_target_config *config, struct scsi_target **ret_target)
{
	struct scsi_target *target = calloc(1, sizeof(*target));

	if (!target)
		return -ENOMEM;
	target->config = *config;
	if (!target->config.relative_port)
		target->config.relative_port = 1;
	if (!target->config.port_group)
		target->config.port_group = 1;
	pthread_mutex_init(&target->config_lock, NULL);
	pthread_mutex_init(&target->nexus_lock, NULL);
	*ret_target = target;
	return 0;
}

void scsi_target_destroy(struct scsi_target *target)
{
	if (!target)
		return;
	for (unsigned i = 0; i < SCSI_LUNS_MAX; i++) {
		struct scsi_unit *unit = atomic_load(&target->units[i]);

		if (!unit)
			continue;
		backend_close(unit->backend);
		pthread_mutex_destroy(&unit->lock);
		free(unit);
	}
	pthread_mutex_destroy(&target->config_lock);
	pthread_mutex_destroy(&target->nexus_lock);
	free(target);
}

void scsi_target_start(struct scsi_target *target)
{
	pthread_mutex_lock(&target->config_lock);
	for (unsigned i = 0; i < SCSI_LUNS_MAX && !target->started; i++)
		if (scsi_unit_exists(target, i))
			backend_start(atomic_load(&target->units[i])->backend);
	target->started = true;
	pthread_mutex_unlock(&target->config_lock);
}

/* ---- nexuses ---- */

int scsi_nexus_create(struct scsi_target *target, const struct scsi_nexus_config *config,
		      struct scsi_nexus **ret_nexus)
{
	struct scsi_nexus *nexus = calloc(1, sizeof(*nexus));

	if (!nexus)
		return -ENOMEM;
	nexus->target = target;
	nexus->config = *config;
	for (unsigned i = 0; i < SCSI_LUNS_MAX; i++)
		atomic_init(&nexus->attention[i], 1u << ATTENTION_POWER_ON);
	pthread_mutex_lock(&target->nexus_lock);
	nexus->next = target->nexuses;
	target->nexuses = nexus;
	pthread_mutex_unlock(&target->nexus_lock);
	*ret_nexus = nexus;
	return 0;
}

void scsi_nexus_destroy(struct scsi_nexus *nexus)
{
	struct scsi_target *target;

	if (!nexus)
		return;
	target = nexus->target;
	pthread_mutex_lock(&target->nexus_lock);
	for (struct scsi_nexus **p = &target->nexuses; *p; p = &(*p)->next)
		if (*p == nexus) {
			*p = nexus->next;
			break;
		}
	pthread_mutex_unlock(&target->nexus_lock);
	for (unsigned i = 0; i < SCSI_LUNS_MAX; i++) {
		struct scsi_unit *unit = atomic_load(&target->units[i]);
		struct scsi_nexus *holder = nexus;

		if (!unit)
			continue;
		atomic_compare_exchange_strong(&unit->reserved_by, &holder, NULL);
		if (atomic_load(&nexus->prevents[i]))
			atomic_fetch_sub(&unit->prevented, 1);
	}
	free(nexus);
}

void scsi_attention_raise(struct scsi_unit *unit, enum scsi_attention attention,
			  const struct scsi_nexus *except)
{
	struct scsi_target *target = unit->target;

	pthread_mutex_lock(&target->nexus_lock);
	for (struct scsi_nexus *n = target->nexuses; n; n = n->next)
		if (n != except)
			scsi_attention_set(n, unit->lun, attention);
	pthread_mutex_unlock(&target->nexus_lock);
}

void scsi_attention_raise_for(struct scsi_unit *unit, enum scsi_attention attention,
			      uint64_t initiator)
{
	struct scsi_target *target = unit->target;

	pthread_mutex_lock(&target->nexus_lock);
	for (struct scsi_nexus *n = target->nexuses; n; n = n->next)
		if (n->config.initiator == initiator)
			scsi_attention_set(n, unit->lun, attention);
	pthread_mutex_unlock(&target->nexus_lock);
}

void scsi_tell(struct scsi_target *target, enum scsi_change change, unsigned lun)
{
	pthread_mutex_lock(&target->nexus_lock);
	for (struct scsi_nexus *n = target->nexuses; n; n = n->next)
		if (n->config.changed)
			n->config.changed(n->config.arg, change, lun);
	pthread_mutex_unlock(&target->nexus_lock);
}
