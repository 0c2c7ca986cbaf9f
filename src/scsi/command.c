/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a command: into its unit's gate, the checks that the table of commands asks
 * for, the handler, its requests to the backend one after the other, the answer.
 *
 * A request that the backend answers at once is followed by the next step in a loop, here;
 * one that is queued goes on in io_done(), on the backend's thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/fault.h"
#include "scsi/scsi_private.h"

FAULT_POINTS(scsi_points, "scsi.submit", "scsi.attention", "scsi.medium", "scsi.hardware")

#define command_of(request) \
	((struct scsi_command *)((char *)(request)-offsetof(struct scsi_command, io)))

/* ---- requests to the backend ---- */

static void complete(struct scsi_command *c);
static int advance(struct scsi_command *c, int r);

static void io_done(struct backend_request *io, int error)
{
	struct scsi_command *c = command_of(io);

	if (advance(c, c->step(c, error)) == SCSI_DONE)
		complete(c);
}

int scsi_io(struct scsi_command *c, enum backend_op op, uint64_t lba, uint64_t blocks,
	    struct iovec *iov, unsigned n_iov, int (*step)(struct scsi_command *c, int error))
{
	struct scsi_unit *unit = c->unit;

	c->io = (struct backend_request){
		.op = op,
		.durable = op != BACKEND_READ && (c->durable || !unit->write_cache),
		.offset = lba << unit->block_shift,
		.size = blocks << unit->block_shift,
		.iov = iov,
		.n_iov = n_iov,
		.done = io_done,
	};
	c->step = step;
	return SCSI_IO;
}

int scsi_io_buffer(struct scsi_command *c, enum backend_op op, uint64_t lba, uint64_t blocks,
		   void *buffer, int (*step)(struct scsi_command *c, int error))
{
	c->own_iov = (struct iovec){buffer, blocks << c->unit->block_shift};
	return scsi_io(c, op, lba, blocks, &c->own_iov, 1, step);
}

int scsi_io_flush(struct scsi_command *c, int (*step)(struct scsi_command *c, int error))
{
	return scsi_io(c, BACKEND_FLUSH, 0, 0, NULL, 0, step);
}

int scsi_step_finish(struct scsi_command *c, int error)
{
	return error < 0 ? scsi_fail_io(c, error) : SCSI_DONE;
}

/* Submits as long as there is something to submit: SCSI_DONE or SCSI_QUEUED. */
static int advance(struct scsi_command *c, int r)
{
	while (r == SCSI_IO) {
		r = backend_submit(c->unit->backend, &c->io);
		if (r == BACKEND_QUEUED)
			return SCSI_QUEUED;
		r = c->step(c, r);
	}
	return r;
}

/* ---- checks ---- */

/* Bits that mean nothing must be zero. */
static bool check_cdb(struct scsi_command *c)
{
	const struct scsi_opcode *op = c->opcode;

	if (c->cdb_size < op->size) {
		scsi_fail(c, SENSE_CDB);
		return false;
	}
	for (unsigned i = 1; i < op->size; i++) {
		unsigned wrong = c->cdb[i] & ~op->usage[i];

		if (wrong) {
			scsi_fail_cdb(c, i, 31 - __builtin_clz(wrong));
			return false;
		}
	}
	return true;
}

static bool check_attention(struct scsi_command *c)
{
	uint32_t code;

	if (fault_check("scsi.attention") < 0)
		scsi_attention_set(c->nexus, c->lun, ATTENTION_POWER_ON);
	if (!atomic_load_explicit(&c->nexus->attention[c->lun], memory_order_relaxed))
		return true;
	if (c->opcode && c->opcode->flags & OP_ATTENTIVE)
		return true;
	code = scsi_attention_take(c->nexus, c->lun);
	if (!code)
		return true;
	scsi_fail(c, code);
	return false;
}

static bool check_ready(struct scsi_command *c)
{
	const struct scsi_opcode *op = c->opcode;
	struct scsi_unit *unit = c->unit;

	if (unit->ejected || unit->stopped) {
		scsi_fail(c, unit->ejected ? SENSE_NO_MEDIUM : SENSE_STOPPED);
		return false;
	}
	if (op->flags & OP_WRITES && (unit->read_only || unit->write_protected)) {
		scsi_fail(c, SENSE_WRITE_PROTECTED);
		return false;
	}
	if (fault_check("scsi.medium") < 0) {
		scsi_fail_information(
			c, op->flags & OP_WRITES ? SENSE_WRITE_ERROR : SENSE_READ_ERROR, 0);
		return false;
	}
	return true;
}

/* ---- running ---- */

static int unknown_opcode(struct scsi_command *c)
{
	if (scsi_opcode_known(c->cdb[0]))
		return scsi_fail_cdb(c, 1, 4); /* not that service action */
	return scsi_fail(c, SENSE_OPCODE);
}

static int begin(struct scsi_command *c)
{
	if (fault_check("scsi.submit") < 0)
		return scsi_fail_status(c, SCSI_BUSY);
	if (!check_attention(c))
		return SCSI_DONE;
	if (!c->opcode)
		return unknown_opcode(c);
	if (!scsi_check_reservations(c) || !check_cdb(c))
		return SCSI_DONE;
	if (fault_check("scsi.hardware") < 0)
		return scsi_fail(c, SENSE_HARDWARE);
	if (c->opcode->flags & OP_MEDIUM && !check_ready(c))
		return SCSI_DONE;
	return c->opcode->run(c);
}

/* LUN 0 is asked which units there are, also where it is none itself (SPC-4, 4.7.4). */
static int run_without_unit(struct scsi_command *c)
{
	if (c->opcode && c->lun == 0) {
		uint8_t sense[SENSE_BYTES_MAX];

		switch (c->opcode->code) {
		case 0x03:
			scsi_sense_build(sense, SENSE_NO_UNIT, false, NULL);
			return check_cdb(c) ? scsi_reply(c, sense, 18, c->cdb[4]) : SCSI_DONE;
		case 0x12:
			return check_cdb(c) ? scsi_inquiry_no_unit(c) : SCSI_DONE;
		case 0xa0:
			return check_cdb(c) ? scsi_report_luns(c) : SCSI_DONE;
		}
	}
	return scsi_fail(c, SENSE_NO_UNIT);
}

/* The answer is there: what is left is the residual. */
static void settle(struct scsi_command *c)
{
	uint64_t size = c->data_in_size + c->data_out_size;

	if (c->buffer) {
		free(c->buffer);
		c->buffer = NULL;
	}
	if (c->overflow)
		return;
	if (c->opcode && c->opcode->direction == DATA_IN && c->data_in_size)
		size = c->data_in_size;
	if (c->opcode && c->opcode->direction == DATA_OUT && c->data_out_size)
		size = c->data_out_size;
	c->residual = size - c->transferred;
}

/* After it `c` is the transport's. */
static void complete(struct scsi_command *c)
{
	struct scsi_unit *unit = c->unit;
	bool alone = c->alone;

	if (!c->manage)
		settle(c);
	c->done(c);
	scsi_gate_leave(unit, alone);
}

static int run_managed(struct scsi_command *c)
{
	if (c->manage == MANAGE_CALL)
		return c->step(c, 0);
	if (!scsi_unit_present(c->unit)) {
		c->status = SCSI_CHECK_CONDITION;
		return SCSI_DONE;
	}
	scsi_unit_reset(c->unit);
	return SCSI_DONE;
}

void scsi_run(struct scsi_command *c)
{
	if (advance(c, c->manage ? run_managed(c) : begin(c)) == SCSI_DONE)
		complete(c);
}

static struct scsi_unit *unit_of(const struct scsi_command *c)
{
	return c->lun < SCSI_LUNS_MAX ? atomic_load(&c->nexus->target->units[c->lun]) : NULL;
}

int scsi_submit(struct scsi_command *c)
{
	struct scsi_unit *unit = unit_of(c);
	int r;

	c->result = SCSI_COMPLETE;
	c->status = SCSI_GOOD;
	c->sense_size = 0;
	c->residual = c->transferred = 0;
	c->overflow = c->durable = false;
	c->buffer = NULL;
	c->manage = MANAGE_NOT;
	c->unit = unit;
	c->opcode = scsi_opcode_find(c->cdb);
	if (unit) {
		r = scsi_gate_enter(unit, c);
		if (r == SCSI_QUEUED)
			return r;
		if (r == SCSI_DONE) {
			r = advance(c, begin(c));
			if (r == SCSI_DONE) {
				settle(c);
				scsi_gate_leave(unit, false);
			}
			return r;
		}
	}
	c->unit = NULL;
	run_without_unit(c);
	settle(c);
	return SCSI_DONE;
}

int scsi_reset_unit(struct scsi_command *c)
{
	struct scsi_unit *unit = unit_of(c);

	c->result = SCSI_COMPLETE;
	c->status = SCSI_GOOD;
	c->sense_size = 0;
	c->attribute = SCSI_SIMPLE;
	c->manage = MANAGE_RESET;
	c->unit = unit;
	c->opcode = NULL;
	if (unit) {
		scsi_gate_abort(unit, NULL);
		if (scsi_gate_enter(unit, c) == SCSI_QUEUED)
			return SCSI_QUEUED;
	}
	c->status = SCSI_CHECK_CONDITION;
	return SCSI_DONE;
}
