/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RESERVE(6) and RELEASE(6) (SPC-2, 7.21 and 7.16): one nexus keeps a unit to itself, until
 * it releases it, a reset, or its end.
 */
#include "scsi/scsi_private.h"

void scsi_reservations_changed(struct scsi_unit *unit)
{
	atomic_store(&unit->reserved,
		     atomic_load(&unit->reserved_by) != NULL || unit->reservations.type != 0);
}

bool scsi_check_reservations(struct scsi_command *c)
{
	struct scsi_nexus *holder;

	if (!atomic_load_explicit(&c->unit->reserved, memory_order_relaxed))
		return true;
	holder = atomic_load(&c->unit->reserved_by);
	if ((holder && holder != c->nexus && !(c->opcode->flags & OP_LEGACY)) ||
	    scsi_persistent_conflict(c)) {
		scsi_fail_status(c, SCSI_RESERVATION_CONFLICT);
		return false;
	}
	return true;
}

int scsi_reserve_6(struct scsi_command *c)
{
	if (scsi_registrants(c->unit)) /* the two kinds don't mix */
		return scsi_fail_status(c, SCSI_RESERVATION_CONFLICT);
	atomic_store(&c->unit->reserved_by, c->nexus);
	scsi_reservations_changed(c->unit);
	return SCSI_DONE;
}

/* By a nexus that does not hold the reservation it does nothing and is no error. */
int scsi_release_6(struct scsi_command *c)
{
	struct scsi_nexus *holder = c->nexus;

	if (scsi_registrants(c->unit))
		return scsi_fail_status(c, SCSI_RESERVATION_CONFLICT);
	atomic_compare_exchange_strong(&c->unit->reserved_by, &holder, NULL);
	scsi_reservations_changed(c->unit);
	return SCSI_DONE;
}
