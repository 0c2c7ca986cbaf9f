/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * UNMAP and GET LBA STATUS (SBC-3, 5.28 and 5.4): which blocks take space.
 *
 * UNMAP checks all descriptors before it unmaps the first; the list stays in the command's
 * buffer while the ranges are discarded one after the other.
 */
#include "scsi/limits.h"
#include "scsi/scsi_private.h"

#define HEADER     8u
#define DESCRIPTOR 16u

/* ---- UNMAP: c->at is the next descriptor, c->blocks how many there are ---- */

static int unmap_next(struct scsi_command *c, int error)
{
	const uint8_t *descriptors = c->buffer;

	if (error < 0)
		return scsi_fail_io(c, error);
	while (c->at < c->blocks) {
		const uint8_t *d = descriptors + DESCRIPTOR * c->at++;

		if (!get32(d + 8))
			continue;
		c->lba = get64(d);
		return scsi_io(c, BACKEND_DISCARD, c->lba, get32(d + 8), NULL, 0, unmap_next);
	}
	return SCSI_DONE;
}

/* false: the command has been made to fail. */
static bool check_descriptors(struct scsi_command *c)
{
	const uint8_t *d = c->buffer;
	uint64_t all = c->unit->blocks, sum = 0;

	for (uint64_t i = 0; i < c->blocks; i++, d += DESCRIPTOR) {
		uint64_t lba = get64(d);
		uint32_t blocks = get32(d + 8);

		if (lba > all || blocks > all - lba) {
			scsi_fail_information(c, SENSE_LBA, lba > all ? lba : all);
			return false;
		}
		sum += blocks;
		if (sum > LIMIT_UNMAP_BLOCKS) {
			scsi_fail_parameter(c, (unsigned)(HEADER + DESCRIPTOR * i + 8), -1);
			return false;
		}
	}
	return true;
}

int scsi_unmap(struct scsi_command *c)
{
	unsigned size = get16(c->cdb + 7), descriptors;
	uint8_t header[HEADER];

	if (size == 0)
		return SCSI_DONE;
	if (size < HEADER)
		return scsi_fail(c, SENSE_LIST_LENGTH);
	if (!scsi_pull(c, 0, header, sizeof(header)))
		return SCSI_DONE;
	descriptors = get16(header + 2);
	if (descriptors > size - HEADER)
		return scsi_fail_parameter(c, 2, -1);
	c->blocks = descriptors / DESCRIPTOR; /* the rest is ignored */
	if (c->blocks > LIMIT_UNMAP_DESCRIPTORS)
		return scsi_fail_parameter(c, 2, -1);
	if (c->blocks == 0)
		return SCSI_DONE;
	if (!scsi_buffer(c, DESCRIPTOR * c->blocks) ||
	    !scsi_pull(c, HEADER, c->buffer, DESCRIPTOR * c->blocks) || !check_descriptors(c))
		return SCSI_DONE;
	c->at = 0;
	return unmap_next(c, 0);
}

/* ---- GET LBA STATUS ---- */

#define STATUS_MAX 64u /* descriptors of one answer */

#define DEALLOCATED 1

int scsi_get_lba_status(struct scsi_command *c)
{
	const struct scsi_unit *unit = c->unit;
	uint8_t data[HEADER + STATUS_MAX * DESCRIPTOR] = {0};
	uint32_t allocation = get32(c->cdb + 10);
	unsigned size = HEADER;

	c->lba = get64(c->cdb + 2);
	if (c->lba >= unit->blocks)
		return scsi_fail_information(c, SENSE_LBA, c->lba);
	do {
		uint8_t *d = data + size;
		uint64_t extent, blocks;
		bool hole;

		extent = backend_extent(unit->backend, c->lba << unit->block_shift, &hole);
		/* A block that is a hole in part is mapped. */
		blocks = extent >> unit->block_shift;
		if (blocks == 0) {
			blocks = 1;
			hole = false;
		}
		if (blocks > UINT32_MAX)
			blocks = UINT32_MAX;
		put64(d, c->lba);
		put32(d + 8, (uint32_t)blocks);
		d[12] = hole ? DEALLOCATED : 0;
		c->lba += blocks;
		size += DESCRIPTOR;
	} while (c->lba < unit->blocks && size < sizeof(data) && size + DESCRIPTOR <= allocation);
	put32(data, size - 4);
	return scsi_reply(c, data, size, allocation);
}
