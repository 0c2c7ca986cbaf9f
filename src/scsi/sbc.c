/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The block commands (SBC-3) that move blocks between the initiator's memory and the
 * backend, and those about all of them: READ, WRITE, READ CAPACITY, SYNCHRONIZE CACHE.
 */
#include "scsi/scsi_private.h"

/* ---- where ---- */

void scsi_decode_range(struct scsi_command *c)
{
	const uint8_t *cdb = c->cdb;

	switch (c->opcode->size) {
	case 10:
		c->lba = get32(cdb + 2);
		c->blocks = get16(cdb + 7);
		break;
	case 12:
		c->lba = get32(cdb + 2);
		c->blocks = get32(cdb + 6);
		break;
	default:
		c->lba = get64(cdb + 2);
		c->blocks = get32(cdb + 10);
	}
}

bool scsi_check_range(struct scsi_command *c)
{
	uint64_t all = c->unit->blocks;

	if (c->lba <= all && c->blocks <= all - c->lba)
		return true;
	scsi_fail_information(c, SENSE_LBA, c->lba > all ? c->lba : all);
	return false;
}

/* ---- READ, WRITE ---- */

static int read_flushed(struct scsi_command *c, int error)
{
	if (error < 0)
		return scsi_fail_io(c, error);
	return scsi_io(c, BACKEND_READ, c->lba, c->blocks, c->data_in, c->n_data_in,
		       scsi_step_finish);
}

static int read_blocks(struct scsi_command *c, bool fua)
{
	uint64_t size;

	if (!scsi_check_range(c))
		return SCSI_DONE;
	size = c->blocks << c->unit->block_shift;
	if (size > c->data_in_size) {
		/* As much as there is room for, and that in whole blocks. */
		c->overflow = true;
		c->blocks = c->data_in_size >> c->unit->block_shift;
		c->residual = size - (c->blocks << c->unit->block_shift);
		size -= c->residual;
	}
	if (size < c->data_in_size)
		scsi_trim(c->data_in, &c->n_data_in, size);
	c->transferred = size;
	if (size == 0)
		return SCSI_DONE;
	if (fua)
		return scsi_io_flush(c, read_flushed);
	return scsi_io(c, BACKEND_READ, c->lba, c->blocks, c->data_in, c->n_data_in,
		       scsi_step_finish);
}

static int write_blocks(struct scsi_command *c, bool fua)
{
	uint64_t size;

	if (!scsi_check_range(c))
		return SCSI_DONE;
	size = c->blocks << c->unit->block_shift;
	/* As the kernel's target: less or more data than blocks is refused. */
	if (size != c->data_out_size)
		return scsi_fail(c, SENSE_DATA_LENGTH);
	c->durable = fua;
	c->transferred = size;
	if (size == 0)
		return SCSI_DONE;
	return scsi_io(c, BACKEND_WRITE, c->lba, c->blocks, c->data_out, c->n_data_out,
		       scsi_step_finish);
}

static void decode_range_6(struct scsi_command *c)
{
	c->lba = get24(c->cdb + 1) & 0x1fffff;
	c->blocks = c->cdb[4] ? c->cdb[4] : 256;
}

int scsi_read_6(struct scsi_command *c)
{
	decode_range_6(c);
	return read_blocks(c, false);
}

int scsi_write_6(struct scsi_command *c)
{
	decode_range_6(c);
	return write_blocks(c, false);
}

#define FUA 0x08

int scsi_read(struct scsi_command *c)
{
	scsi_decode_range(c);
	return read_blocks(c, c->cdb[1] & FUA);
}

int scsi_write(struct scsi_command *c)
{
	scsi_decode_range(c);
	return write_blocks(c, c->cdb[1] & FUA);
}

/* ---- READ CAPACITY ---- */

int scsi_read_capacity_10(struct scsi_command *c)
{
	uint64_t last = c->unit->blocks - 1;
	uint8_t data[8];

	if (get32(c->cdb + 2)) /* PMI is obsolete, and without it the field is 0 */
		return scsi_fail_cdb(c, 2, -1);
	put32(data, last > UINT32_MAX ? UINT32_MAX : (uint32_t)last);
	put32(data + 4, 1u << c->unit->block_shift);
	return scsi_reply(c, data, sizeof(data), sizeof(data));
}

int scsi_read_capacity_16(struct scsi_command *c)
{
	const struct scsi_unit *unit = c->unit;
	uint8_t data[32] = {0};

	put64(data, unit->blocks - 1);
	put32(data + 8, 1u << unit->block_shift);
	data[13] = (uint8_t)(12 - unit->block_shift); /* physical blocks of 4 KiB */
	data[14] = 0xc0;                              /* LBPME, LBPRZ */
	return scsi_reply(c, data, sizeof(data), get32(c->cdb + 10));
}

/* ---- SYNCHRONIZE CACHE ---- */

/*
 * All of the cache, whatever the range.  With IMMED the answer need not wait, but waiting
 * is no error, and a failure can still be told.
 */
int scsi_synchronize_cache(struct scsi_command *c)
{
	scsi_decode_range(c);
	if (!scsi_check_range(c))
		return SCSI_DONE;
	return scsi_io_flush(c, scsi_step_finish);
}
