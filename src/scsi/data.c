/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Parameter data to and from the initiator's memory, which may vanish at any time: only
 * guarded copies.  Blocks don't come here; they go between that memory and the backend.
 */
#include <stdlib.h>

#include "core/user.h"
#include "scsi/scsi_private.h"

int scsi_reply(struct scsi_command *c, const void *data, size_t size, uint64_t allocation)
{
	const uint8_t *from = data;
	uint64_t left = size < allocation ? size : allocation;

	if (left > c->data_in_size) {
		c->overflow = true;
		c->residual = left - c->data_in_size;
		left = c->data_in_size;
	}
	c->transferred = left;
	for (unsigned i = 0; i < c->n_data_in && left; i++) {
		uint64_t piece = c->data_in[i].iov_len < left ? c->data_in[i].iov_len : left;

		if (copy_guarded(c->data_in[i].iov_base, from, piece) < 0)
			return scsi_fail_memory(c);
		from += piece;
		left -= piece;
	}
	return SCSI_DONE;
}

bool scsi_pull(struct scsi_command *c, uint64_t offset, void *to, size_t size)
{
	uint8_t *at = to;

	if (offset > c->data_out_size || size > c->data_out_size - offset) {
		scsi_fail(c, SENSE_DATA_LENGTH);
		return false;
	}
	c->transferred = offset + size;
	for (unsigned i = 0; i < c->n_data_out && size; i++) {
		const uint8_t *base = c->data_out[i].iov_base;
		uint64_t piece = c->data_out[i].iov_len;

		if (offset >= piece) {
			offset -= piece;
			continue;
		}
		piece -= offset;
		if (piece > size)
			piece = size;
		if (copy_guarded(at, base + offset, piece) < 0) {
			scsi_fail_memory(c);
			return false;
		}
		offset = 0;
		at += piece;
		size -= piece;
	}
	return true;
}

void scsi_trim(struct iovec *iov, unsigned *n_iov, uint64_t size)
{
	unsigned n = 0;

	for (; n < *n_iov && size; n++) {
		if (iov[n].iov_len > size)
			iov[n].iov_len = size;
		size -= iov[n].iov_len;
	}
	*n_iov = n;
}

void *scsi_buffer(struct scsi_command *c, size_t size)
{
	free(c->buffer);
	c->buffer = malloc(size);
	if (!c->buffer)
		scsi_fail_status(c, SCSI_BUSY);
	return c->buffer;
}
