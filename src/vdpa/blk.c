/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A block device over a backend: what virtio 1.2 has, with rings of both kinds and several
 * queues.
 *
 * Requests that the backend can't answer at once end on a thread of its, which puts them on a
 * list and wakes the worker; the worker alone touches rings.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdpa/vdpa.h"
#include "virtio/blk.h"

#define QUEUES_MAX   64u
#define QUEUE_MAX    256u
#define REQUESTS     256u /* under way at a time, for each queue */
#define BATCH        32u
#define CONFIG_BYTES 60u /* up to write_zeroes_may_unmap and its padding */

struct blk;

struct request {
	struct virtio_blk_request request; /* first: the backend hands this back */
	struct vdpa_queue *queue;
	struct request *next; /* in a list of those that are free, or have ended */
	int error;
};

struct blk {
	struct virtio_blk drive;
	struct vdpa *vdpa;
	struct request *memory; /* REQUESTS for each queue, touched when first used */
	struct request *free[QUEUES_MAX];
	unsigned used[QUEUES_MAX]; /* of the queue's share of memory */
	pthread_mutex_t lock;      /* what follows */
	pthread_cond_t ended;
	struct request *done;
	unsigned under_way; /* in the backend */
};

static const struct standin_key keys[] = {
	{"file", "file or block device with the content (default: in memory)"},
	{"size", "bytes of a drive in memory"},
	{"readonly", "on or off (off)"},
	{"direct", "on or off (off): O_DIRECT"},
	{"aio", "uring, threads or auto (auto)"},
	{"serial", "up to 20 characters"},
	{"blocksize", "bytes of a block, 512 to 4096 (512)"},
	{"queues", "queues, 1 to 64 (default 1)"},
	{"packed", "on or off (on): packed rings are offered"},
	{0},
};

/* ---- requests ---- */

static struct request *take_request(struct vdpa_queue *q)
{
	struct blk *b = q->vdpa->state;
	struct request *r = b->free[q->index];

	if (r)
		b->free[q->index] = r->next;
	else if (b->used[q->index] < REQUESTS)
		r = &b->memory[q->index * REQUESTS + b->used[q->index]++];
	if (r)
		r->queue = q;
	return r;
}

static void give_request(struct request *r)
{
	struct blk *b = r->queue->vdpa->state;

	r->next = b->free[r->queue->index];
	b->free[r->queue->index] = r;
}

/* On a thread of the backend's. */
static void done(struct backend_request *io, int error)
{
	struct request *r = (struct request *)io;
	struct vdpa *v = r->queue->vdpa;
	struct blk *b = v->state;

	pthread_mutex_lock(&b->lock);
	r->error = error;
	r->next = b->done;
	b->done = r;
	vdpa_wake(v);
	if (--b->under_way == 0)
		pthread_cond_signal(&b->ended);
	pthread_mutex_unlock(&b->lock);
}

/* Those that have ended, and all of them if `wait`. */
static struct request *take_done(struct blk *b, bool wait)
{
	struct request *list;

	pthread_mutex_lock(&b->lock);
	while (wait && b->under_way)
		pthread_cond_wait(&b->ended, &b->lock);
	list = b->done;
	b->done = NULL;
	pthread_mutex_unlock(&b->lock);
	return list;
}

/* Hands the list back to the driver; whether there was one. */
static bool complete(struct vdpa *v, struct request *list)
{
	struct request *next;

	for (struct request *r = list; r; r = next) {
		next = r->next;
		if (vdpa_queue_usable(v, r->queue->index))
			virtio_blk_complete(&r->request, &r->queue->ring,
					    virtio_blk_status(r->error));
		give_request(r);
	}
	for (unsigned i = 0; i < v->n_queues && list; i++)
		if (vdpa_queue_usable(v, i))
			vdpa_queue_signal(&v->queues[i]);
	return list;
}

static void drain(struct vdpa *v)
{
	complete(v, take_done(v->state, true));
}

static void reset(struct vdpa *v)
{
	struct request *next;

	for (struct request *r = take_done(v->state, true); r; r = next) {
		next = r->next;
		give_request(r);
	}
}

/* ---- work ---- */

static int execute(struct blk *b, struct request *r)
{
	int status;

	pthread_mutex_lock(&b->lock);
	b->under_way++;
	pthread_mutex_unlock(&b->lock);
	status = virtio_blk_execute(&b->drive, &r->request, b->vdpa->features, done);
	if (status != VIRTIO_BLK_PENDING) {
		pthread_mutex_lock(&b->lock);
		b->under_way--;
		pthread_mutex_unlock(&b->lock);
	}
	return status;
}

static bool work_queue(struct vdpa *v, struct vdpa_queue *q)
{
	struct blk *b = v->state;
	unsigned n;

	virtqueue_disable_kicks(&q->ring);
	for (n = 0; n < BATCH; n++) {
		struct request *r = take_request(q);
		struct virtqueue_pool pool;
		int status;

		if (!r)
			break;
		virtio_blk_pool(&r->request, &pool);
		if (virtqueue_fetch(&q->ring, &r->request.chain, 1, &pool) != 1) {
			give_request(r);
			break;
		}
		status = execute(b, r);
		if (status == VIRTIO_BLK_PENDING)
			continue;
		if (status < 0)
			virtqueue_fail(&q->ring, -EINVAL, "no header or no status byte");
		else
			virtio_blk_complete(&r->request, &q->ring, (uint8_t)status);
		give_request(r);
	}
	if (n && vdpa_queue_usable(v, q->index))
		vdpa_queue_signal(q);
	return n;
}

static bool work(struct vdpa *v)
{
	bool any = complete(v, take_done(v->state, false));

	for (unsigned i = 0; i < v->n_queues; i++)
		if (vdpa_queue_usable(v, i))
			any |= work_queue(v, &v->queues[i]);
	return any;
}

static bool rest(struct vdpa *v)
{
	struct blk *b = v->state;
	bool more = false;

	for (unsigned i = 0; i < v->n_queues; i++)
		/* Without a request left, one that ends makes the next round. */
		more |= vdpa_queue_rest(v, i) && (b->free[i] || b->used[i] < REQUESTS);
	return more;
}

/* ---- life ---- */

static int read_drive_keys(struct vdpa *v, struct backend_options *options)
{
	struct blk *b = v->state;
	const char *serial = vdpa_key(v, "serial");
	uint64_t block_size;
	int ret;

	options->file = vdpa_key(v, "file");
	options->aio = vdpa_key(v, "aio");
	options->name = v->name;
	ret = vdpa_key_number(v, "size", 0, 512, UINT64_C(1) << 43, &options->size);
	if (!ret)
		ret = vdpa_key_bool(v, "readonly", false, &options->read_only);
	if (!ret)
		ret = vdpa_key_bool(v, "direct", false, &options->direct);
	if (!ret)
		ret = vdpa_key_number(v, "blocksize", 512, 512, 4096, &block_size);
	if (ret)
		return ret;
	if (block_size & (block_size - 1))
		return vdpa_error(v, -EINVAL, "blocksize=%llu: a power of two",
				  (unsigned long long)block_size);
	b->drive.block_shift = (unsigned)__builtin_ctzll(block_size);
	if (serial && !virtio_blk_serial_ok(serial))
		return vdpa_error(v, -EINVAL, "serial=: 1 to %d characters, printable ASCII only",
				  VIRTIO_BLK_ID_BYTES);
	if (serial)
		memcpy(b->drive.serial, serial, strlen(serial));
	else
		snprintf(b->drive.serial, sizeof(b->drive.serial), "standin-%.11s", v->name);
	return 0;
}

static int open_drive(struct vdpa *v)
{
	struct backend_options options = {0};
	char error[BACKEND_ERROR_MAX];
	struct blk *b = v->state;
	struct backend *backend;
	int ret;

	ret = read_drive_keys(v, &options);
	if (ret)
		return ret;
	ret = backend_open_options(&options, 1u << b->drive.block_shift, &backend, error);
	if (ret)
		return vdpa_error(v, ret, "%s", error);
	virtio_blk_init(&b->drive, backend);
	return 0;
}

static int create(struct vdpa *v)
{
	struct blk *b = v->state;
	uint64_t queues;
	bool packed;
	int ret;

	ret = vdpa_key_number(v, "queues", 1, 1, QUEUES_MAX, &queues);
	if (!ret)
		ret = vdpa_key_bool(v, "packed", true, &packed);
	if (!ret)
		ret = open_drive(v);
	if (ret)
		return ret;
	b->memory = calloc(REQUESTS * queues, sizeof(*b->memory));
	if (!b->memory) {
		backend_close(b->drive.backend);
		return -ENOMEM;
	}
	b->vdpa = v;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->ended, NULL);
	v->offered = VDPA_RING_FEATURES | virtio_blk_features(&b->drive);
	if (packed)
		v->offered |= VDPA_F(VIRTIO_F_RING_PACKED);
	v->n_queues = (unsigned)queues;
	v->n_groups = v->n_spaces = 2;
	v->describes = v->tells_size = true;
	v->queue_max = QUEUE_MAX;
	v->config_size = CONFIG_BYTES;
	virtio_blk_config(&b->drive, v->n_queues, (struct virtio_blk_config *)v->config);
	return 0;
}

static void destroy(struct vdpa *v)
{
	struct blk *b = v->state;

	backend_close(b->drive.backend);
	pthread_cond_destroy(&b->ended);
	pthread_mutex_destroy(&b->lock);
	free(b->memory);
}

static int blk_open(struct vdpa *v)
{
	backend_start(((struct blk *)v->state)->drive.backend);
	return 0;
}

const struct vdpa_model vdpa_blk = {
	.name = "blk",
	.longname = "a block device over a file or memory",
	.keys = keys,
	.device_id = 2,
	.state_size = sizeof(struct blk),
	.create = create,
	.destroy = destroy,
	.open = blk_open,
	.reset = reset,
	.drain = drain,
	.work = work,
	.rest = rest,
};
