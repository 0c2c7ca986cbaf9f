/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * REPORT SUPPORTED OPERATION CODES and REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4,
 * 6.35 and 6.36): the table of commands, as initiators may read it.
 */
#include "scsi/scsi_private.h"

#define RCTD         0x80 /* with timeouts */
#define TIMEOUT_SIZE 12u
#define REPLY_MAX    (4 + SCSI_OPCODES_MAX * (8 + TIMEOUT_SIZE))

static unsigned put_timeouts(const struct scsi_opcode *op, uint8_t *data)
{
	put16(data, TIMEOUT_SIZE - 2);
	put32(data + 8, op->timeout); /* recommended; the nominal one is not known */
	return TIMEOUT_SIZE;
}

static int report_all(struct scsi_command *c, bool timeouts)
{
	uint8_t data[REPLY_MAX] = {0};
	unsigned size = 4, n;
	const struct scsi_opcode *table = scsi_opcodes(&n);

	for (unsigned i = 0; i < n; i++) {
		const struct scsi_opcode *op = &table[i];

		data[size] = op->code;
		put16(data + size + 2, op->action);
		data[size + 5] = (uint8_t)((timeouts ? 2 : 0) | (op->flags & OP_ACTION ? 1 : 0));
		put16(data + size + 6, op->size);
		size += 8;
		if (timeouts)
			size += put_timeouts(op, data + size);
	}
	put32(data, size - 4);
	return scsi_reply(c, data, size, get32(c->cdb + 6));
}

/* `op` NULL: not supported. */
static int report_one(struct scsi_command *c, const struct scsi_opcode *op, bool timeouts)
{
	uint8_t data[4 + 16 + TIMEOUT_SIZE] = {0};
	unsigned size = 4;

	data[1] = 1;
	if (op) {
		data[1] = (uint8_t)(3 | (timeouts ? 0x80 : 0));
		put16(data + 2, op->size);
		memcpy(data + 4, op->usage, op->size);
		if (op->flags & OP_ACTION)
			data[5] = (uint8_t)((op->usage[1] & ~0x1f) | op->action);
		size += op->size;
		if (timeouts)
			size += put_timeouts(op, data + size);
	}
	return scsi_reply(c, data, size, get32(c->cdb + 6));
}

int scsi_report_opcodes(struct scsi_command *c)
{
	const uint8_t *cdb = c->cdb;
	bool timeouts = cdb[2] & RCTD;
	uint16_t action = get16(cdb + 4);
	const struct scsi_opcode *op;
	bool has_action;

	if ((cdb[2] & 7) == 0)
		return report_all(c, timeouts);
	op = scsi_opcode_lookup(cdb[3], action, &has_action);
	switch (cdb[2] & 7) {
	case 1: /* a code that has no service actions */
		if (has_action)
			return scsi_fail_cdb(c, 2, 2);
		return report_one(c, scsi_opcode_lookup(cdb[3], 0, &has_action), timeouts);
	case 2: /* one that has some */
		if (op && !has_action)
			return scsi_fail_cdb(c, 2, 2);
		return report_one(c, op, timeouts);
	case 3: /* either */
		return report_one(c, op, timeouts);
	}
	return scsi_fail_cdb(c, 2, 2);
}

int scsi_report_management(struct scsi_command *c)
{
	uint8_t data[16] = {0x08};        /* LURS */
	bool extended = c->cdb[2] & 0x80; /* REPD */
	uint32_t allocation = get32(c->cdb + 6);

	if (allocation < 4)
		return scsi_fail_cdb(c, 6, -1);
	if (extended)
		data[3] = sizeof(data) - 4; /* timeouts, none of which is known */
	return scsi_reply(c, data, extended ? sizeof(data) : 4, allocation);
}
