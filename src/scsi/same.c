/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * WRITE SAME (SBC-3, 5.48): one block to many places.
 *
 * A block of zeros, given or implied (NDOB), is a request of the backend's, which makes
 * holes if UNMAP asks for them.  Others are written from a buffer that holds the block many
 * times.
 */
#include "scsi/limits.h"
#include "scsi/scsi_private.h"

#define UNMAP 0x08
#define NDOB  0x01

#define PIECE (256u << 10) /* bytes written at a time */

/* c->at: blocks written */
static int write_next(struct scsi_command *c, int error)
{
	uint64_t left = c->blocks - c->at, piece = PIECE >> c->unit->block_shift, at = c->at;

	if (error < 0)
		return scsi_fail_io(c, error);
	if (left == 0)
		return SCSI_DONE;
	if (piece > left)
		piece = left;
	c->at += piece;
	return scsi_io_buffer(c, BACKEND_WRITE, c->lba + at, piece, c->buffer, write_next);
}

static int write_pattern(struct scsi_command *c, const uint8_t *block)
{
	size_t size = 1u << c->unit->block_shift, all = PIECE;
	uint8_t *buffer;

	if (c->blocks << c->unit->block_shift < all)
		all = c->blocks << c->unit->block_shift;
	buffer = scsi_buffer(c, all);
	if (!buffer)
		return SCSI_DONE;
	for (size_t i = 0; i < all; i += size)
		memcpy(buffer + i, block, size);
	c->at = 0;
	return write_next(c, 0);
}

static bool all_zero(const uint8_t *block, size_t size)
{
	return block[0] == 0 && memcmp(block, block + 1, size - 1) == 0;
}

int scsi_write_same(struct scsi_command *c)
{
	size_t size = 1u << c->unit->block_shift;
	uint8_t block[4096];
	bool zero = c->opcode->size == 16 && c->cdb[1] & NDOB;

	scsi_decode_range(c);
	if (!scsi_check_range(c))
		return SCSI_DONE;
	if (c->blocks == 0) /* WSNZ is 0: to the end */
		c->blocks = c->unit->blocks - c->lba;
	if (c->blocks > LIMIT_SAME_BLOCKS)
		return scsi_fail_cdb(c, c->opcode->size == 16 ? 10 : 7, -1);
	if (!zero) {
		if (c->data_out_size != size)
			return scsi_fail(c, SENSE_DATA_LENGTH);
		if (!scsi_pull(c, 0, block, size))
			return SCSI_DONE;
		zero = all_zero(block, size);
	}
	if (c->blocks == 0)
		return SCSI_DONE;
	if (zero)
		return scsi_io(c, c->cdb[1] & UNMAP ? BACKEND_DISCARD : BACKEND_ZERO, c->lba,
			       c->blocks, NULL, 0, scsi_step_finish);
	return write_pattern(c, block);
}
