/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtio block device (Virtual I/O Device specification 1.2, 5.2).
 *
 * Reads and writes go to the backend with the driver's own memory.  What the backend can
 * answer at once completes in the loop that fetches, with one interrupt for all; the rest keeps
 * the gate open and completes on a thread of the backend's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "backend/backend.h"
#include "core/hostfd.h"
#include "devices/virtio_pci.h"
#include "virtio/blk.h"

#define REQUESTS     VIRTIO_QUEUE_SIZE /* for each queue */
#define CONFIG_BYTES 60u               /* up to write_zeroes_may_unmap and its padding */

struct blk;

struct blk_request {
	struct virtio_blk_request request; /* first: the backend hands this back */
	struct virtio_queue *queue;
	struct blk_request *next; /* free list */
};

struct blk {
	struct virtio virtio; /* first */
	struct virtio_blk drive;
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
	virtio_blk_complete(&request->request, &request->queue->vq, status);
	give_request(request);
}

/* ---- execution ---- */

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
	complete(request, virtio_blk_status(error));
	starved = b->starved[queue->index];
	tell_and_unlock(queue);
	if (starved)
		work(queue);
	virtio_leave(&b->virtio);
}

/* A status, VIRTIO_BLK_PENDING, or -1: no request at all. */
static int execute(struct blk_request *request)
{
	struct blk *b = blk_of(request->queue);
	int status;

	/* A request that completes later keeps the gate open. */
	virtio_enter_again(&b->virtio);
	status = virtio_blk_execute(&b->drive, &request->request, b->virtio.features, done);
	if (status != VIRTIO_BLK_PENDING)
		virtio_leave(&b->virtio);
	return status;
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
	virtio_blk_pool(&request->request, &pool);
	for (;;) {
		int n = virtqueue_fetch(&queue->vq, &request->request.chain, 1, &pool);

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
			virtqueue_drop(&queue->vq, &request->request.chain);
			give_request(request);
		} else if (status != VIRTIO_BLK_PENDING) {
			complete(request, (uint8_t)status);
		}
	}
	tell_and_unlock(queue);
}

/* ---- configuration ---- */

static void fill_config(struct blk *b)
{
	struct virtio_blk_config config;

	virtio_blk_config(&b->drive, b->virtio.n_queues, &config);
	memcpy(b->virtio.config, &config, CONFIG_BYTES);
	b->virtio.config_size = CONFIG_BYTES;
	b->virtio.offered = virtio_blk_features(&b->drive);
}

static int read_serial(struct standin_device *dev, struct blk *b)
{
	const char *serial = standin_config_string(dev, "serial");

	if (!serial) {
		snprintf(b->drive.serial, sizeof(b->drive.serial), "standin-%.12s",
			 standin_device_address(dev));
		return 0;
	}
	if (!virtio_blk_serial_ok(serial))
		return standin_device_error(dev, -EINVAL,
					    "serial=: 1 to %d characters, printable ASCII only",
					    VIRTIO_BLK_ID_BYTES);
	memcpy(b->drive.serial, serial, strlen(serial));
	return 0;
}

static int blk_realize(struct standin_device *dev, struct standin_pci *pci)
{
	struct blk *b = standin_device_state(dev);
	uint64_t block_size, queues;
	struct backend *backend;
	void *memory;
	bool packed;
	int r;

	r = standin_config_number(dev, "blocksize", 512, 512, 4096, &block_size);
	if (r < 0)
		return r;
	if (block_size & (block_size - 1))
		return standin_device_error(dev, -EINVAL, "blocksize=%llu: a power of two",
					    (unsigned long long)block_size);
	b->drive.block_shift = (unsigned)__builtin_ctzll(block_size);
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
	r = backend_open(dev, 1u << b->drive.block_shift, &backend);
	if (r < 0) {
		host_munmap(memory, b->memory_size);
		return r;
	}
	b->memory = memory;
	virtio_blk_init(&b->drive, backend);
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

	backend_close(b->drive.backend);
	virtio_unrealize(&b->virtio);
	host_munmap(b->memory, b->memory_size);
}

/* The backend's threads are made before the first DMA is possible, in ordinary context. */
static void blk_command_changed(struct standin_device *dev, uint16_t command)
{
	struct blk *b = standin_device_state(dev);

	if (command & 4)
		backend_start(b->drive.backend);
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
