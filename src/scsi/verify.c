/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands that compare: VERIFY, WRITE AND VERIFY, COMPARE AND WRITE (SBC-3, 5.29, 5.41 and
 * 5.2).
 *
 * The initiator's data is copied before it is compared or written, a piece at a time, so
 * that what is verified is what was written whatever the initiator does to its memory.
 * COMPARE AND WRITE runs alone in its unit: nobody writes between the two.
 */
#include "scsi/limits.h"
#include "scsi/scsi_private.h"

#define PIECE (256u << 10)

/* The BYTCHK field: what VERIFY compares with. */
enum { BYTCHK_NOTHING, BYTCHK_DATA, BYTCHK_RESERVED, BYTCHK_BLOCK };

static unsigned bytchk(const struct scsi_command *c)
{
	return c->cdb[1] >> 1 & 3;
}

static bool is_write(const struct scsi_command *c)
{
	return c->opcode->flags & OP_WRITES;
}

static uint64_t piece_blocks(const struct scsi_command *c)
{
	uint64_t piece = PIECE >> c->unit->block_shift;

	return c->blocks - c->at < piece ? c->blocks - c->at : piece;
}

/* The offset of the first byte that differs, or `size`. */
static size_t compare(const uint8_t *a, const uint8_t *b, size_t size)
{
	size_t at = 0;

	if (memcmp(a, b, size) == 0)
		return size;
	while (a[at] == b[at])
		at++;
	return at;
}

/*
 * A piece: its data from the initiator is in the buffer's first half, what is read back in
 * the second.  c->at counts the blocks that are done.
 */
static int verify_next(struct scsi_command *c);

static int verify_read(struct scsi_command *c, int error)
{
	uint8_t *ours = c->buffer, *theirs = ours + PIECE;
	uint64_t blocks = piece_blocks(c);
	size_t size = blocks << c->unit->block_shift;

	if (error < 0)
		return scsi_fail_io(c, error);
	if ((is_write(c) || bytchk(c) != BYTCHK_NOTHING) && compare(ours, theirs, size) < size)
		return scsi_fail(c, SENSE_MISCOMPARE);
	c->at += blocks;
	return verify_next(c);
}

static int verify_written(struct scsi_command *c, int error)
{
	if (error < 0)
		return scsi_fail_io(c, error);
	return scsi_io_buffer(c, BACKEND_READ, c->lba + c->at, piece_blocks(c),
			      (uint8_t *)c->buffer + PIECE, verify_read);
}

static int verify_next(struct scsi_command *c)
{
	unsigned shift = c->unit->block_shift;
	uint64_t blocks = piece_blocks(c);
	uint8_t *ours = c->buffer;

	if (blocks == 0)
		return SCSI_DONE;
	if ((is_write(c) || bytchk(c) == BYTCHK_DATA) &&
	    !scsi_pull(c, c->at << shift, ours, blocks << shift))
		return SCSI_DONE;
	if (is_write(c))
		return scsi_io_buffer(c, BACKEND_WRITE, c->lba + c->at, blocks, ours,
				      verify_written);
	return verify_written(c, 0);
}

static int verify(struct scsi_command *c)
{
	unsigned shift = c->unit->block_shift;
	uint64_t data = 0;

	scsi_decode_range(c);
	if (bytchk(c) == BYTCHK_RESERVED)
		return scsi_fail_cdb(c, 1, 2);
	if (!scsi_check_range(c))
		return SCSI_DONE;
	if (is_write(c) || bytchk(c) == BYTCHK_DATA)
		data = c->blocks << shift;
	else if (bytchk(c) == BYTCHK_BLOCK && c->blocks)
		data = 1u << shift;
	if (data != c->data_out_size)
		return scsi_fail(c, SENSE_DATA_LENGTH);
	if (c->blocks == 0)
		return SCSI_DONE;
	if (!scsi_buffer(c, 2 * PIECE))
		return SCSI_DONE;
	if (!is_write(c) && bytchk(c) == BYTCHK_BLOCK) {
		uint8_t *ours = c->buffer;

		if (!scsi_pull(c, 0, ours, 1u << shift))
			return SCSI_DONE;
		for (size_t i = 1u << shift; i < PIECE; i += 1u << shift)
			memcpy(ours + i, ours, 1u << shift);
	}
	c->at = 0;
	c->durable = is_write(c);
	return verify_next(c);
}

int scsi_verify(struct scsi_command *c)
{
	return verify(c);
}

int scsi_write_and_verify(struct scsi_command *c)
{
	if (bytchk(c) == BYTCHK_BLOCK) /* only VERIFY has it */
		return scsi_fail_cdb(c, 1, 2);
	return verify(c);
}

/* ---- COMPARE AND WRITE: the buffer is what to compare with, what to write, what is ---- */

static int compare_read(struct scsi_command *c, int error)
{
	size_t size = c->blocks << c->unit->block_shift, at;
	uint8_t *expected = c->buffer, *wanted = expected + size, *found = wanted + size;

	if (error < 0)
		return scsi_fail_io(c, error);
	at = compare(expected, found, size);
	if (at < size)
		return scsi_fail_information(c, SENSE_MISCOMPARE, at);
	return scsi_io_buffer(c, BACKEND_WRITE, c->lba, c->blocks, wanted, scsi_step_finish);
}

int scsi_compare_and_write(struct scsi_command *c)
{
	size_t size;

	c->lba = get64(c->cdb + 2);
	c->blocks = c->cdb[13];
	c->durable = c->cdb[1] & 0x08; /* FUA */
	if (c->blocks > LIMIT_COMPARE_BLOCKS)
		return scsi_fail_cdb(c, 13, -1);
	if (!scsi_check_range(c))
		return SCSI_DONE;
	size = c->blocks << c->unit->block_shift;
	if (2 * size != c->data_out_size)
		return scsi_fail(c, SENSE_DATA_LENGTH);
	if (c->blocks == 0)
		return SCSI_DONE;
	if (!scsi_buffer(c, 3 * size) || !scsi_pull(c, 0, c->buffer, 2 * size))
		return SCSI_DONE;
	return scsi_io_buffer(c, BACKEND_READ, c->lba, c->blocks, (uint8_t *)c->buffer + 2 * size,
			      compare_read);
}
