/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The primary commands (SPC-4) that tell what a unit is and how it is: INQUIRY, REPORT LUNS,
 * REQUEST SENSE, TEST UNIT READY, START STOP UNIT, PREVENT ALLOW MEDIUM REMOVAL.
 */
#include "scsi/scsi_private.h"

/* ---- INQUIRY ---- */

#define INQUIRY_SIZE 96u

/* Left-aligned, filled with spaces. */
static void put_text(uint8_t *to, const char *text, size_t size)
{
	size_t length = strlen(text);

	memset(to, ' ', size);
	memcpy(to, text, length < size ? length : size);
}

static int standard_inquiry(struct scsi_command *c)
{
	const struct scsi_unit *unit = c->unit;
	uint8_t data[INQUIRY_SIZE] = {0};

	if (c->cdb[2])
		return scsi_fail_cdb(c, 2, -1); /* a page without EVPD */
	data[1] = unit->removable ? 0x80 : 0;
	data[2] = 6;    /* SPC-4 */
	data[3] = 0x12; /* HISUP, response data format 2 */
	data[4] = INQUIRY_SIZE - 5;
	data[7] = 0x02; /* CMDQUE */
	put_text(data + 8, unit->vendor, 8);
	put_text(data + 16, unit->product, 16);
	put_text(data + 32, unit->revision, 4);
	put16(data + 58, 0x00a0); /* SAM-5 */
	put16(data + 60, 0x0460); /* SPC-4 */
	put16(data + 62, 0x04c0); /* SBC-3 */
	return scsi_reply(c, data, sizeof(data), get16(c->cdb + 3));
}

int scsi_inquiry_no_unit(struct scsi_command *c)
{
	uint8_t data[36] = {0x3f, 0, 6, 0x12, sizeof(data) - 5}; /* there could be one */

	if (c->cdb[1])
		return scsi_fail_cdb(c, 1, 0);
	put_text(data + 8, "STANDIN", 8);
	put_text(data + 16, "", 16);
	put_text(data + 32, "", 4);
	return scsi_reply(c, data, sizeof(data), get16(c->cdb + 3));
}

int scsi_inquiry(struct scsi_command *c)
{
	return c->cdb[1] & 1 ? scsi_vital_product_data(c) : standard_inquiry(c);
}

/* ---- which units there are ---- */

#define REPORT_WELL_KNOWN 1 /* well known units only, of which there are none */
#define REPORT_ALL        2

int scsi_report_luns(struct scsi_command *c)
{
	struct scsi_target *target = c->nexus->target;
	uint8_t data[8 + 8 * SCSI_LUNS_MAX] = {0};
	size_t size = 8;

	if (c->cdb[2] > REPORT_ALL)
		return scsi_fail_cdb(c, 2, -1);
	for (unsigned lun = 0; lun < SCSI_LUNS_MAX && c->cdb[2] != REPORT_WELL_KNOWN; lun++)
		if (scsi_unit_exists(target, lun)) {
			data[size + 1] = (uint8_t)lun; /* peripheral device addressing */
			size += 8;
		}
	if (size == 8 && c->cdb[2] != REPORT_WELL_KNOWN)
		size += 8; /* LUN 0 is in the inventory also when it is none */
	put32(data, (uint32_t)(size - 8));
	for (unsigned lun = 0; lun < SCSI_LUNS_MAX; lun++)
		atomic_fetch_and(&c->nexus->attention[lun], ~(1u << ATTENTION_LUNS_CHANGED));
	return scsi_reply(c, data, size, get32(c->cdb + 6));
}

/* ---- how the unit is ---- */

int scsi_request_sense(struct scsi_command *c)
{
	const struct scsi_unit *unit = c->unit;
	uint8_t sense[SENSE_BYTES_MAX];
	unsigned size;
	uint32_t code;

	code = scsi_attention_take(c->nexus, c->lun);
	if (!code && unit->ejected)
		code = SENSE_NO_MEDIUM;
	else if (!code && unit->stopped)
		code = SENSE_STOPPED;
	size = scsi_sense_build(sense, code, c->cdb[1] & 1, NULL);
	return scsi_reply(c, sense, size, c->cdb[4]);
}

int scsi_test_unit_ready(struct scsi_command *c)
{
	return SCSI_DONE; /* the check was before */
}

/* ---- START STOP UNIT (SBC-3, 5.20) ---- */

static int start_stop_flushed(struct scsi_command *c, int error)
{
	struct scsi_unit *unit = c->unit;
	bool start = c->cdb[4] & 1, load_eject = c->cdb[4] & 2;

	if (error < 0)
		return scsi_fail_io(c, error);
	if (load_eject) {
		if (start && unit->ejected)
			scsi_attention_raise(unit, ATTENTION_MEDIUM_CHANGED, c->nexus);
		unit->ejected = !start;
	}
	unit->stopped = !start;
	return SCSI_DONE;
}

int scsi_start_stop(struct scsi_command *c)
{
	struct scsi_unit *unit = c->unit;
	bool start = c->cdb[4] & 1, load_eject = c->cdb[4] & 2;

	if (c->cdb[4] & 0xf0)
		return scsi_fail_cdb(c, 4, 7); /* power conditions */
	if (load_eject && !unit->removable)
		return scsi_fail_cdb(c, 4, 1);
	if (load_eject && !start && atomic_load(&unit->prevented))
		return scsi_fail(c, SENSE_REMOVAL_PREVENTED);
	if (start || c->cdb[4] & 4) /* NO_FLUSH */
		return start_stop_flushed(c, 0);
	return scsi_io_flush(c, start_stop_flushed);
}

int scsi_prevent_removal(struct scsi_command *c)
{
	_Atomic bool *prevents = &c->nexus->prevents[c->lun];
	bool prevent = c->cdb[4] & 1;

	if (c->cdb[4] & 2)
		return scsi_fail_cdb(c, 4, 1); /* obsolete values */
	if (atomic_exchange(prevents, prevent) == prevent)
		return SCSI_DONE;
	if (prevent)
		atomic_fetch_add(&c->unit->prevented, 1);
	else
		atomic_fetch_sub(&c->unit->prevented, 1);
	return SCSI_DONE;
}
