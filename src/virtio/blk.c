/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A request is cut up in place: the header off the front of what the driver gives, the status
 * byte off the end of what it wants; what is left between them are the data.
 */
#include "virtio/blk.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "core/fault.h"
#include "core/iovec.h"
#include "core/user.h"

FAULT_POINTS(virtio_blk_points, "virtio-blk.read", "virtio-blk.write", "virtio-blk.flush",
	     "virtio-blk.discard", "virtio-blk.write_zeroes")

#define F(bit) (UINT64_C(1) << (bit))

#define SECTOR_SHIFT 9

/* ---- the drive ---- */

void virtio_blk_init(struct virtio_blk *b, struct backend *backend)
{
	b->backend = backend;
	b->sectors = backend_size(backend) >> SECTOR_SHIFT;
}

bool virtio_blk_serial_ok(const char *serial)
{
	for (const char *p = serial; *p; p++)
		if (!isascii((unsigned char)*p) || !isprint((unsigned char)*p))
			return false;
	return *serial && strlen(serial) <= VIRTIO_BLK_ID_BYTES;
}

uint64_t virtio_blk_features(const struct virtio_blk *b)
{
	uint64_t features = F(VIRTIO_BLK_F_SEG_MAX) | F(VIRTIO_BLK_F_BLK_SIZE) |
			    F(VIRTIO_BLK_F_FLUSH) | F(VIRTIO_BLK_F_MQ);

	if (backend_read_only(b->backend))
		return features | F(VIRTIO_BLK_F_RO);
	return features | F(VIRTIO_BLK_F_DISCARD) | F(VIRTIO_BLK_F_WRITE_ZEROES);
}

void virtio_blk_config(const struct virtio_blk *b, unsigned queues,
		       struct virtio_blk_config *ret_config)
{
	*ret_config = (struct virtio_blk_config){
		.capacity = b->sectors,
		.seg_max = VIRTIO_BLK_SEGMENTS,
		.blk_size = 1u << b->block_shift,
		.num_queues = (uint16_t)queues,
		.max_discard_sectors = VIRTIO_BLK_MAX_SECTORS,
		.max_discard_seg = 1,
		.discard_sector_alignment = 1u << (b->block_shift - SECTOR_SHIFT),
		.max_write_zeroes_sectors = VIRTIO_BLK_MAX_SECTORS,
		.max_write_zeroes_seg = 1,
		.write_zeroes_may_unmap = 1,
	};
}

/* ---- execution ---- */

void virtio_blk_pool(struct virtio_blk_request *request, struct virtqueue_pool *ret_pool)
{
	*ret_pool = (struct virtqueue_pool){.iov = request->iov,
					    .ranges = request->ranges,
					    .max_iov = VIRTIO_BLK_PIECES,
					    .max_ranges = VIRTIO_BLK_RANGES};
}

uint8_t virtio_blk_status(int error)
{
	return error == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

void virtio_blk_complete(struct virtio_blk_request *request, struct virtqueue *vq, uint8_t status)
{
	struct virtqueue_chain *chain = &request->chain;

	if (copy_guarded(request->status, &status, 1) < 0)
		virtqueue_fail(vq, -EFAULT, "no memory behind a status byte");
	chain->written = status == VIRTIO_BLK_S_OK ? (uint32_t)request->data_in + 1 : 1;
	virtqueue_used(vq, chain, 1);
}

static uint8_t submit(const struct virtio_blk *b, struct virtio_blk_request *request,
		      enum backend_op op, uint64_t sector, uint64_t size, struct iovec *iov,
		      unsigned n_iov)
{
	int result;

	request->io.op = op;
	/* A drive that is read needs no stable storage. */
	request->io.durable &= op != BACKEND_READ;
	request->io.offset = sector << SECTOR_SHIFT;
	request->io.size = size;
	request->io.iov = iov;
	request->io.n_iov = n_iov;
	result = backend_submit(b->backend, &request->io);
	return result == BACKEND_QUEUED ? VIRTIO_BLK_PENDING : virtio_blk_status(result);
}

/* Whether the sectors exist and are whole blocks. */
static bool good_range(const struct virtio_blk *b, uint64_t sector, uint64_t sectors)
{
	uint64_t mask = ((uint64_t)1 << (b->block_shift - SECTOR_SHIFT)) - 1;

	return sector <= b->sectors && sectors <= b->sectors - sector && !(sector & mask) &&
	       !(sectors & mask);
}

static uint8_t read_write(const struct virtio_blk *b, struct virtio_blk_request *request,
			  bool write, uint64_t sector)
{
	struct virtqueue_chain *chain = &request->chain;
	uint64_t size = write ? chain->readable_size : chain->writable_size;

	if (size % (1 << SECTOR_SHIFT) || !good_range(b, sector, size >> SECTOR_SHIFT) ||
	    (write && backend_read_only(b->backend)) ||
	    fault_check(write ? "virtio-blk.write" : "virtio-blk.read") < 0)
		return VIRTIO_BLK_S_IOERR;
	request->data_in = write ? 0 : size;
	if (size == 0)
		return VIRTIO_BLK_S_OK;
	return submit(b, request, write ? BACKEND_WRITE : BACKEND_READ, sector, size,
		      write ? chain->readable : chain->writable,
		      write ? chain->n_readable : chain->n_writable);
}

static uint8_t get_id(const struct virtio_blk *b, struct virtio_blk_request *request)
{
	struct virtqueue_chain *chain = &request->chain;

	request->data_in = chain->writable_size < VIRTIO_BLK_ID_BYTES ? chain->writable_size
								      : VIRTIO_BLK_ID_BYTES;
	return iovec_write(chain->writable, chain->n_writable, 0, b->serial, request->data_in)
		       ? VIRTIO_BLK_S_IOERR
		       : VIRTIO_BLK_S_OK;
}

/* Takes `size` bytes from the front of the readable data.  0 or -EFAULT. */
static int pull(struct virtqueue_chain *chain, void *to, size_t size)
{
	char *at = to;

	chain->readable_size -= size;
	while (size) {
		struct iovec *piece = chain->readable;
		size_t n = piece->iov_len < size ? piece->iov_len : size;

		if (copy_guarded(at, piece->iov_base, n) < 0)
			return -EFAULT;
		at += n;
		size -= n;
		piece->iov_base = (char *)piece->iov_base + n;
		piece->iov_len -= n;
		if (piece->iov_len == 0) {
			chain->readable++;
			chain->n_readable--;
		}
	}
	return 0;
}

static uint8_t discard_or_zero(const struct virtio_blk *b, struct virtio_blk_request *request,
			       bool discard)
{
	struct virtio_blk_discard_write_zeroes segment;
	bool unmap;

	/* max_discard_seg and max_write_zeroes_seg are 1. */
	if (request->chain.readable_size != sizeof(segment) ||
	    pull(&request->chain, &segment, sizeof(segment)) < 0)
		return VIRTIO_BLK_S_IOERR;
	unmap = segment.flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	if (segment.flags & ~VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP || (discard && unmap))
		return VIRTIO_BLK_S_UNSUPP;
	if (segment.num_sectors > VIRTIO_BLK_MAX_SECTORS || backend_read_only(b->backend) ||
	    !good_range(b, segment.sector, segment.num_sectors) ||
	    fault_check(discard ? "virtio-blk.discard" : "virtio-blk.write_zeroes") < 0)
		return VIRTIO_BLK_S_IOERR;
	if (segment.num_sectors == 0)
		return VIRTIO_BLK_S_OK;
	return submit(b, request, discard || unmap ? BACKEND_DISCARD : BACKEND_ZERO, segment.sector,
		      (uint64_t)segment.num_sectors << SECTOR_SHIFT, NULL, 0);
}

/* Cuts the last writable byte off, which is the status. */
static void cut_status(struct virtio_blk_request *request)
{
	struct virtqueue_chain *chain = &request->chain;
	struct iovec *last = &chain->writable[chain->n_writable - 1];

	last->iov_len--;
	chain->writable_size--;
	request->status = (uint8_t *)last->iov_base + last->iov_len;
	if (last->iov_len == 0)
		chain->n_writable--;
}

int virtio_blk_execute(const struct virtio_blk *b, struct virtio_blk_request *request,
		       uint64_t features, void (*done)(struct backend_request *io, int error))
{
	struct virtqueue_chain *chain = &request->chain;
	struct virtio_blk_outhdr header;

	if (chain->readable_size < sizeof(header) || chain->writable_size < 1)
		return -1;
	cut_status(request);
	request->data_in = 0;
	/* Without FLUSH the driver takes it that writes are on the disk. */
	request->io = (struct backend_request){.durable = !(features & F(VIRTIO_BLK_F_FLUSH)),
					       .done = done};
	if (pull(chain, &header, sizeof(header)) < 0)
		return VIRTIO_BLK_S_IOERR;
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
		return read_write(b, request, false, header.sector);
	case VIRTIO_BLK_T_OUT:
		return read_write(b, request, true, header.sector);
	case VIRTIO_BLK_T_FLUSH:
		if (fault_check("virtio-blk.flush") < 0)
			return VIRTIO_BLK_S_IOERR;
		return submit(b, request, BACKEND_FLUSH, 0, 0, NULL, 0);
	case VIRTIO_BLK_T_GET_ID:
		return get_id(b, request);
	case VIRTIO_BLK_T_DISCARD:
		return discard_or_zero(b, request, true);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return discard_or_zero(b, request, false);
	}
	return VIRTIO_BLK_S_UNSUPP;
}
