/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's block simulator (drivers/vdpa/vdpa_sim/vdpa_sim_blk.c): 128 MiB of memory, which
 * lives as long as the device.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stddef.h>
#include <string.h>

#include "backend/backend.h"
#include "core/iovec.h"
#include "vdpa/vdpa.h"

#define SECTOR_SHIFT 9
#define SECTORS      0x40000u
#define SIZE_MAX_    0x1000u
#define SEGMENTS     32u
/* The kernel compares sectors with what is a number of bytes. */
#define REQUEST_MAX  ((uint64_t)SIZE_MAX_ * SEGMENTS)
#define CONFIG_BYTES 96u /* as the kernel knows it, with zones */
#define RANGE_MAX    UINT32_MAX
#define BATCH        32u

struct sim_blk {
	struct backend *memory;
	struct iovec iov[VDPA_PIECES], part[VDPA_PIECES];
};

static const char id[VIRTIO_BLK_ID_BYTES] = "vdpa_blk_sim";

static int create(struct vdpa *v)
{
	struct backend_options options = {.size = (uint64_t)SECTORS << SECTOR_SHIFT,
					  .name = v->name};
	struct sim_blk *s = v->state;
	char error[BACKEND_ERROR_MAX];
	int ret;

	v->offered = VDPA_SIM_FEATURES | VDPA_F(VIRTIO_BLK_F_FLUSH) |
		     VDPA_F(VIRTIO_BLK_F_SIZE_MAX) | VDPA_F(VIRTIO_BLK_F_SEG_MAX) |
		     VDPA_F(VIRTIO_BLK_F_BLK_SIZE) | VDPA_F(VIRTIO_BLK_F_TOPOLOGY) |
		     VDPA_F(VIRTIO_BLK_F_MQ) | VDPA_F(VIRTIO_BLK_F_DISCARD) |
		     VDPA_F(VIRTIO_BLK_F_WRITE_ZEROES);
	v->n_queues = v->n_groups = v->n_spaces = 1;
	v->queue_max = 256;
	v->config_size = CONFIG_BYTES;
	ret = backend_open_options(&options, 1u << SECTOR_SHIFT, &s->memory, error);
	return ret ? vdpa_error(v, ret, "%s", error) : 0;
}

static void destroy(struct vdpa *v)
{
	backend_close(((struct sim_blk *)v->state)->memory);
}

static void fill_config(struct vdpa *v)
{
	struct virtio_blk_config *config = (struct virtio_blk_config *)v->config;

	memset(v->config, 0, CONFIG_BYTES);
	*config = (struct virtio_blk_config){
		.capacity = SECTORS,
		.size_max = SIZE_MAX_,
		.seg_max = SEGMENTS,
		.num_queues = 1,
		.min_io_size = 1,
		.opt_io_size = 1,
		.blk_size = 1u << SECTOR_SHIFT,
		.discard_sector_alignment = 1u << SECTOR_SHIFT,
		.max_discard_sectors = RANGE_MAX,
		.max_discard_seg = 1,
		.max_write_zeroes_sectors = RANGE_MAX,
		.max_write_zeroes_seg = 1,
	};
}

static bool in_range(uint64_t sector, uint64_t sectors, uint64_t most)
{
	return sector < SECTORS && sectors <= most && sectors <= SECTORS - sector;
}

static uint8_t transfer(struct sim_blk *s, enum backend_op op, uint64_t sector, uint64_t size,
			const struct iovec *pieces, unsigned n, uint64_t skip)
{
	struct backend_request request = {
		.op = op, .offset = sector << SECTOR_SHIFT, .size = size, .iov = s->part};

	if (!in_range(sector, size >> SECTOR_SHIFT, REQUEST_MAX))
		return VIRTIO_BLK_S_IOERR;
	/* Bytes beyond the last whole sector may go beyond the end. */
	if (size > (SECTORS - sector) << SECTOR_SHIFT)
		return VIRTIO_BLK_S_IOERR;
	request.n_iov = iovec_cut(pieces, n, skip, size, s->part);
	return size == 0 || backend_run(s->memory, &request) == 0 ? VIRTIO_BLK_S_OK
								  : VIRTIO_BLK_S_IOERR;
}

static uint8_t discard_or_zero(struct sim_blk *s, const struct virtqueue_chain *chain, bool zero)
{
	struct virtio_blk_discard_write_zeroes range;
	struct backend_request request = {.op = BACKEND_ZERO};

	if (chain->readable_size != sizeof(struct virtio_blk_outhdr) + sizeof(range) ||
	    iovec_read(chain->readable, chain->n_readable, sizeof(struct virtio_blk_outhdr), &range,
		       sizeof(range)))
		return VIRTIO_BLK_S_IOERR;
	if (range.flags & ~(zero ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0u))
		return VIRTIO_BLK_S_UNSUPP;
	if (!in_range(range.sector, range.num_sectors, RANGE_MAX))
		return VIRTIO_BLK_S_IOERR;
	request.offset = range.sector << SECTOR_SHIFT;
	request.size = (uint64_t)range.num_sectors << SECTOR_SHIFT;
	/* What is discarded stays. */
	return !zero || !request.size || backend_run(s->memory, &request) == 0 ? VIRTIO_BLK_S_OK
									       : VIRTIO_BLK_S_IOERR;
}

/*
 * A status, or -1: there is no room for it.  *written: bytes before it.
 */
static int execute(struct sim_blk *s, const struct virtqueue_chain *chain, uint64_t *written)
{
	struct virtio_blk_outhdr header;
	uint64_t in = chain->writable_size - 1, out = chain->readable_size - sizeof(header);
	uint8_t status;

	if (iovec_read(chain->readable, chain->n_readable, 0, &header, sizeof(header)))
		return VIRTIO_BLK_S_IOERR;
	if (header.type != VIRTIO_BLK_T_IN && header.type != VIRTIO_BLK_T_OUT && header.sector)
		return VIRTIO_BLK_S_IOERR;
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
		status = transfer(s, BACKEND_READ, header.sector, in, chain->writable,
				  chain->n_writable, 0);
		*written = status == VIRTIO_BLK_S_OK ? in : 0;
		return status;
	case VIRTIO_BLK_T_OUT:
		return transfer(s, BACKEND_WRITE, header.sector, out, chain->readable,
				chain->n_readable, sizeof(header));
	case VIRTIO_BLK_T_GET_ID:
		/* It may go over the status byte. */
		*written = in + 1 < sizeof(id) ? in + 1 : sizeof(id);
		status = iovec_write(chain->writable, chain->n_writable, 0, id, *written)
				 ? VIRTIO_BLK_S_IOERR
				 : VIRTIO_BLK_S_OK;
		return *written > in ? -1 : status;
	case VIRTIO_BLK_T_FLUSH:
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return discard_or_zero(s, chain, header.type == VIRTIO_BLK_T_WRITE_ZEROES);
	}
	return VIRTIO_BLK_S_IOERR;
}

/* False: it was no request, and the driver hears no more than that it is used. */
static bool request(struct vdpa *v, struct virtqueue_chain *chain)
{
	struct sim_blk *s = v->state;
	bool good = chain->readable_size >= sizeof(struct virtio_blk_outhdr) &&
		    chain->writable_size >= 1;
	uint64_t written = 0;
	int status = good ? execute(s, chain, &written) : -1;
	uint8_t byte = (uint8_t)status;

	good = status >= 0 &&
	       !iovec_write(chain->writable, chain->n_writable, chain->writable_size - 1, &byte, 1);
	chain->written = (uint32_t)written + good;
	virtqueue_used(&v->queues[0].ring, chain, 1);
	return good;
}

static bool work(struct vdpa *v)
{
	struct vdpa_queue *q = &v->queues[0];
	struct sim_blk *s = v->state;
	struct virtqueue_chain chain;
	unsigned n;

	if (!vdpa_queue_usable(v, 0))
		return false;
	virtqueue_disable_kicks(&q->ring);
	for (n = 0; n < BATCH; n++) {
		struct virtqueue_pool pool = {.iov = s->iov, .max_iov = VDPA_PIECES};

		if (virtqueue_fetch(&q->ring, &chain, 1, &pool) != 1)
			break;
		if (request(v, &chain))
			vdpa_queue_signal(q);
	}
	return n;
}

static bool rest(struct vdpa *v)
{
	return vdpa_queue_rest(v, 0);
}

const struct vdpa_model vdpa_blk_sim = {
	.name = "blk-sim",
	.longname = "the kernel's vdpa_sim_blk, 128 MiB of memory",
	.device_id = 2,
	.state_size = sizeof(struct sim_blk),
	.create = create,
	.destroy = destroy,
	.fill_config = fill_config,
	.config_writable = true,
	.work = work,
	.rest = rest,
};
