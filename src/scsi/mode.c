/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mode parameters (SPC-4, 7.5; SBC-3, 6.4).
 */
#include "scsi/scsi_private.h"

void scsi_mode_defaults(struct scsi_unit *unit)
{
	unit->write_cache = true;
	unit->write_protected = false;
	unit->descriptor_sense = false;
}
