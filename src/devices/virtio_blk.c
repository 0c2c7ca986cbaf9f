/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtio block device (Virtual I/O Device specification 1.2, 5.2).
 *
 * Reads and writes go to the backend with the driver's own memory.  What the backend can
 * answer at once completes in the loop that fetches, with one interrupt for all; the rest keeps
 * the gate open and completes on a thread of the backend's.
 */
#include <ctype.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "backend/backend.h"
#include "core/fault.h"
#include "core/hostfd.h"
#include "devices/virtio_pci.h"

FAULT_POINTS(virtio_blk_points, "virtio-blk.read", "virtio-blk.write", "virtio-blk.flush",
	     "virtio-blk.discard", "virtio-blk.write_zeroes")

#define F(bit) (UINT64_C(1) << (bit))

#define SECTOR_SHIFT 9
#define SEGMENTS     126u              /* data segments in a request */
#define RANGES       (SEGMENTS + 4)    /* and header, status, and some slack */
#define PIECES       (2 * RANGES)      /* a segment may lie across mappings */
#define REQUESTS     VIRTIO_QUEUE_SIZE /* for each queue */
#define MAX_SECTORS  (1u << 22)        /* of a discard or a write of zeroes */
#define PENDING      0xff              /* no status: completes later */
#define CONFIG_BYTES 60u               /* up to write_zeroes_may_unmap and its padding */

struct blk;

struct blk_request {
	struct backend_request io; /* first: the backend hands this back */
	struct virtio_queue *queue;
	struct blk_request *next; /* free list */
	struct virtqueue_chain chain;
	uint8_t *status;  /* in the driver's memory */
	uint64_t data_in; /* bytes that a success has written, without the status */
	struct iovec iov[PIECES];
	struct virtqueue_range ranges[RANGES];
};

struct blk {
	struct virtio virtio; /* first */
	struct backend *backend;
	char serial[VIRTIO_BLK_ID_BYTES + 1];
	unsigned block_shift;
	uint64_t sectors;
	struct blk_request *memory; /* REQUESTS for each queue, touched when first used */
	size_t memory_size;
	/* By queue, under its lock. */
	struct blk_request *free[VIRTIO_QUEUES];
	unsigned used[VIRTIO_QUEUES]; /* of the queue's share of memory */
	bool starved[VIRTIO_QUEUES];  /* stopped for want of a request */
};

static struct blk *blk_of(struct virtio_queue *queue)
{
	return (struct blk *)queue->virtio;
}

/* ---- requests; the queue's lock is held ---- */

static struct blk_request *take_request(struct virtio_queue *queue)
{
	struct blk *b = blk_of(queue);
	struct blk_request *request = b->free[queue->index];

	if (request) {
		b->free[queue->index] = request->next;
		return request;
	}
	if (b->used[queue->index] == REQUESTS)
		return NULL;
	return &b->memory[(size_t)queue->index * REQUESTS + b->used[queue->index]++];
}

static void give_request(struct blk_request *request)
{
	struct blk *b = blk_of(request->queue);

	request->next = b->free[request->queue->index];
	b->free[request->queue->index] = request;
}

/* Hands the request back to the driver, who is not told yet. */
static void complete(struct blk_request *request, uint8_t status)
{
	struct virtqueue_chain *chain = &request->chain;

	if (standin_copy_to(request->status, &status, 1) < 0)
		virtqueue_fail(&request->queue->vq, -EFAULT, "no memory behind a status byte");
	chain->written = status == VIRTIO_BLK_S_OK ? (uint32_t)request->data_in + 1 : 1;
	virtqueue_used(&request->queue->vq, chain, 1);
	give_request(request);
}

/* ---- execution ---- */

static uint8_t status_of(int error)
{
	return error == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

static void work(struct virtio_queue *queue);

/* After used chains: the interrupt, if wanted.  Gives the queue's lock up. */
static void tell_and_unlock(struct virtio_queue *queue)
{
	int signal = virtqueue_should_signal(&queue->vq);
	bool broken = virtqueue_error(&queue->vq, NULL) < 0;

	virtqueue_release(&queue->vq);
	pthread_mutex_unlock(&queue->lock);
	if (signal == 1)
		virtio_interrupt(queue);
	if (broken)
		virtio_broken(queue->virtio);
}

static void done(struct backend_request *io, int error)
{
	struct blk_request *request = (struct blk_request *)io;
	struct virtio_queue *queue = request->queue;
	struct blk *b = blk_of(queue);
	bool starved;

	pthread_mutex_lock(&queue->lock);
	complete(request, status_of(error));
	starved = b->starved[queue->index];
	tell_and_unlock(queue);
	if (starved)
		work(queue);
	virtio_leave(&b->virtio);
}

static uint8_t submit(struct blk_request *request, enum backend_op op, uint64_t sector,
		      uint64_t size, struct iovec *iov, unsigned n_iov)
{
	struct blk *b = blk_of(request->queue);
	int result;

	request->io = (struct backend_request){
		.op = op,
		/* Without FLUSH the driver takes it that writes are on the disk. */
		.durable = op != BACKEND_READ && !(b->virtio.features & F(VIRTIO_BLK_F_FLUSH)),
		.offset = sector << SECTOR_SHIFT,
		.size = size,
		.iov = iov,
		.n_iov = n_iov,
		.done = done,
	};
	virtio_enter_again(&b->virtio);
	result = backend_submit(b->backend, &request->io);
	if (result == BACKEND_QUEUED)
		return PENDING;
	virtio_leave(&b->virtio);
	return status_of(result);
}

/* Whether the sectors exist and are whole blocks. */
static bool good_range(const struct blk *b, uint64_t sector, uint64_t sectors)
{
	uint64_t mask = ((uint64_t)1 << (b->block_shift - SECTOR_SHIFT)) - 1;

	return sector <= b->sectors && sectors <= b->sectors - sector && !(sector & mask) &&
	       !(sectors & mask);
}

static uint8_t read_write(struct blk_request *request, bool write, uint64_t sector)
{
	struct virtqueue_chain *chain = &request->chain;
	uint64_t size = write ? chain->readable_size : chain->writable_size;
	struct blk *b = blk_of(request->queue);

	if (size % (1 << SECTOR_SHIFT) || !good_range(b, sector, size >> SECTOR_SHIFT) ||
	    (write && backend_read_only(b->backend)) ||
	    fault_check(write ? "virtio-blk.write" : "virtio-blk.read") < 0)
		return VIRTIO_BLK_S_IOERR;
	request->data_in = write ? 0 : size;
	if (size == 0)
		return VIRTIO_BLK_S_OK;
	return submit(request, write ? BACKEND_WRITE : BACKEND_READ, sector, size,
		      write ? chain->readable : chain->writable,
		      write ? chain->n_readable : chain->n_writable);
}

static uint8_t get_id(struct blk_request *request)
{
	struct virtqueue_chain *chain = &request->chain;
	const char *id = blk_of(request->queue)->serial;
	size_t left = VIRTIO_BLK_ID_BYTES;

	for (unsigned i = 0; i < chain->n_writable && left; i++) {
		struct iovec *piece = &chain->writable[i];
		size_t size = piece->iov_len < left ? piece->iov_len : left;

		if (standin_copy_to(piece->iov_base, id, size) < 0)
			return VIRTIO_BLK_S_IOERR;
		id += size;
		left -= size;
	}
	request->data_in = VIRTIO_BLK_ID_BYTES - left;
	return VIRTIO_BLK_S_OK;
}

/* Takes `size` bytes from the front of the readable data.  0 or -EFAULT. */
static int pull(struct virtqueue_chain *chain, void *to, size_t size)
{
	char *at = to;

	chain->readable_size -= size;
	while (size) {
		struct iovec *piece = chain->readable;
		size_t n = piece->iov_len < size ? piece->iov_len : size;

		if (standin_copy_from(at, piece->iov_base, n) < 0)
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

static uint8_t discard_or_zero(struct blk_request *request, bool discard)
{
	struct virtio_blk_discard_write_zeroes segment;
	struct blk *b = blk_of(request->queue);
	bool unmap;

	/* max_discard_seg and max_write_zeroes_seg are 1. */
	if (request->chain.readable_size != sizeof(segment) ||
	    pull(&request->chain, &segment, sizeof(segment)) < 0)
		return VIRTIO_BLK_S_IOERR;
	unmap = segment.flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	if (segment.flags & ~VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP || (discard && unmap))
		return VIRTIO_BLK_S_UNSUPP;
	if (segment.num_sectors > MAX_SECTORS || backend_read_only(b->backend) ||
	    !good_range(b, segment.sector, segment.num_sectors) ||
	    fault_check(discard ? "virtio-blk.discard" : "virtio-blk.write_zeroes") < 0)
		return VIRTIO_BLK_S_IOERR;
	if (segment.num_sectors == 0)
		return VIRTIO_BLK_S_OK;
	return submit(request, discard || unmap ? BACKEND_DISCARD : BACKEND_ZERO, segment.sector,
		      (uint64_t)segment.num_sectors << SECTOR_SHIFT, NULL, 0);
}

/* Cuts the last writable byte off, which is the status. */
static void cut_status(struct blk_request *request)
{
	struct virtqueue_chain *chain = &request->chain;
	struct iovec *last = &chain->writable[chain->n_writable - 1];

	last->iov_len--;
	chain->writable_size--;
	request->status = (uint8_t *)last->iov_base + last->iov_len;
	if (last->iov_len == 0)
		chain->n_writable--;
}

/* A status, PENDING, or -1: no request at all. */
static int execute(struct blk_request *request)
{
	struct virtqueue_chain *chain = &request->chain;
	struct virtio_blk_outhdr header;

	if (chain->readable_size < sizeof(header) || chain->writable_size < 1)
		return -1;
	cut_status(request);
	request->data_in = 0;
	if (pull(chain, &header, sizeof(header)) < 0)
		return VIRTIO_BLK_S_IOERR;
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
		return read_write(request, false, header.sector);
	case VIRTIO_BLK_T_OUT:
		return read_write(request, true, header.sector);
	case VIRTIO_BLK_T_FLUSH:
		if (fault_check("virtio-blk.flush") < 0)
			return VIRTIO_BLK_S_IOERR;
		return submit(request, BACKEND_FLUSH, 0, 0, NULL, 0);
	case VIRTIO_BLK_T_GET_ID:
		return get_id(request);
	case VIRTIO_BLK_T_DISCARD:
		return discard_or_zero(request, true);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return discard_or_zero(request, false);
	}
	return VIRTIO_BLK_S_UNSUPP;
}

/* The next request, or NULL: none, or the ring is broken.  The queue's lock is held. */
static struct blk_request *fetch(struct virtio_queue *queue)
{
	struct blk_request *request = take_request(queue);
	struct blk *b = blk_of(queue);
	struct virtqueue_pool pool;

	b->starved[queue->index] = !request;
	if (!request)
		return NULL;
	request->queue = queue;
	pool = (struct virtqueue_pool){.iov = request->iov,
				       .ranges = request->ranges,
				       .max_iov = PIECES,
				       .max_ranges = RANGES};
	for (;;) {
		int n = virtqueue_fetch(&queue->vq, &request->chain, 1, &pool);

		if (n == 1)
			return request;
		if (n < 0 || virtqueue_enable_kicks(&queue->vq) != 1)
			break;
	}
	give_request(request);
	return NULL;
}

static void work(struct virtio_queue *queue)
{
	struct blk_request *request;

	pthread_mutex_lock(&queue->lock);
	virtqueue_disable_kicks(&queue->vq);
	while ((request = fetch(queue))) {
		int status;

		pthread_mutex_unlock(&queue->lock);
		status = execute(request);
		pthread_mutex_lock(&queue->lock);
		if (status < 0) {
			virtqueue_fail(&queue->vq, -EINVAL, "no header or no status byte");
			virtqueue_drop(&queue->vq, &request->chain);
			give_request(request);
		} else if (status != PENDING) {
			complete(request, (uint8_t)status);
		}
	}
	tell_and_unlock(queue);
}

/* ---- configuration ---- */

static void put(struct blk *b, size_t offset, uint64_t value, unsigned size)
{
	memcpy(b->virtio.config + offset, &value, size);
}

#define CONFIG(field, value)                                     \
	put(b, offsetof(struct virtio_blk_config, field), value, \
	    sizeof(((struct virtio_blk_config *)NULL)->field))

static void fill_config(struct blk *b)
{
	CONFIG(capacity, b->sectors);
	CONFIG(seg_max, SEGMENTS);
	CONFIG(blk_size, 1u << b->block_shift);
	CONFIG(num_queues, b->virtio.n_queues);
	CONFIG(max_discard_sectors, MAX_SECTORS);
	CONFIG(max_discard_seg, 1);
	CONFIG(discard_sector_alignment, 1u << (b->block_shift - SECTOR_SHIFT));
	CONFIG(max_write_zeroes_sectors, MAX_SECTORS);
	CONFIG(max_write_zeroes_seg, 1);
	CONFIG(write_zeroes_may_unmap, 1);
	b->virtio.config_size = CONFIG_BYTES;
	b->virtio.offered = F(VIRTIO_BLK_F_SEG_MAX) | F(VIRTIO_BLK_F_BLK_SIZE) |
			    F(VIRTIO_BLK_F_FLUSH) | F(VIRTIO_BLK_F_MQ);
	if (backend_read_only(b->backend))
		b->virtio.offered |= F(VIRTIO_BLK_F_RO);
	else
		b->virtio.offered |= F(VIRTIO_BLK_F_DISCARD) | F(VIRTIO_BLK_F_WRITE_ZEROES);
}

static int read_serial(struct standin_device *dev, struct blk *b)
{
	const char *serial = standin_config_string(dev, "serial");

	if (!serial) {
		snprintf(b->serial, sizeof(b->serial), "standin-%.12s",
			 standin_device_address(dev));
		return 0;
	}
	for (const char *p = serial; *p; p++)
		if (!isascii((unsigned char)*p) || !isprint((unsigned char)*p))
			return standin_device_error(dev, -EINVAL, "serial=: printable ASCII only");
	if (!*serial || strlen(serial) > VIRTIO_BLK_ID_BYTES)
		return standin_device_error(dev, -EINVAL, "serial=: 1 to %d characters",
					    VIRTIO_BLK_ID_BYTES);
	memcpy(b->serial, serial, strlen(serial));
	return 0;
}

static int blk_realize(struct standin_device *dev, struct standin_pci *pci)
{
	struct blk *b = standin_device_state(dev);
	uint64_t block_size, queues;
	void *memory;
	bool packed;
	int r;

	r = standin_config_number(dev, "blocksize", 512, 512, 4096, &block_size);
	if (r < 0)
		return r;
	if (block_size & (block_size - 1))
		return standin_device_error(dev, -EINVAL, "blocksize=%llu: a power of two",
					    (unsigned long long)block_size);
	b->block_shift = (unsigned)__builtin_ctzll(block_size);
	r = standin_config_number(dev, "queues", 4, 1, VIRTIO_QUEUES, &queues);
	if (r < 0)
		return r;
	b->virtio.n_queues = (unsigned)queues;
	r = standin_config_bool(dev, "packed", true, &packed);
	if (r < 0)
		return r;
	b->virtio.split_only = !packed;
	r = read_serial(dev, b);
	if (r < 0)
		return r;
	b->memory_size = sizeof(struct blk_request) * REQUESTS * queues;
	memory = host_mmap(NULL, b->memory_size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (host_is_error(memory))
		return standin_device_error(dev, -ENOMEM, "out of memory");
	r = backend_open(dev, 1u << b->block_shift, &b->backend);
	if (r < 0) {
		host_munmap(memory, b->memory_size);
		return r;
	}
	b->memory = memory;
	b->sectors = backend_size(b->backend) >> SECTOR_SHIFT;
	b->virtio.type = 2;
	b->virtio.class_code = 0x010000;
	b->virtio.work = work;
	fill_config(b);
	virtio_realize(&b->virtio, dev, pci);
	return 0;
}

static void blk_unrealize(struct standin_device *dev)
{
	struct blk *b = standin_device_state(dev);

	backend_close(b->backend);
	virtio_unrealize(&b->virtio);
	host_munmap(b->memory, b->memory_size);
}

/* The backend's threads are made before the first DMA is possible, in ordinary context. */
static void blk_command_changed(struct standin_device *dev, uint16_t command)
{
	struct blk *b = standin_device_state(dev);

	if (command & 4)
		backend_start(b->backend);
}

static const struct standin_key blk_keys[] = {
	BACKEND_KEYS,
	{"blocksize", "bytes per block: 512 (default) to 4096"},
	{"serial", "serial number, up to 20 characters (default: standin-ADDRESS)"},
	{"queues", "request queues, 1 to 64 (default: 4)"},
	{"packed", "off: only split rings are offered (default: on)"},
	{NULL},
};

static const struct standin_model virtio_blk_model = {
	.struct_size = sizeof(struct standin_model),
	.api_version = STANDIN_MODEL_API,
	.name = "virtio-blk",
	.longname = "virtio 1.2 block device",
	.keys = blk_keys,
	.state_size = sizeof(struct blk),
	.realize = blk_realize,
	.unrealize = blk_unrealize,
	.command_changed = blk_command_changed,
	VIRTIO_MODEL_CALLBACKS,
};

STANDIN_MODEL(virtio_blk_model)
