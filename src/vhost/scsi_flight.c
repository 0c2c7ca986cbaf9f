/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests in flight: their memory, their way back into the used ring, and waiting for them.
 *
 * A target answers in the worker's call of scsi_submit(), or later on any thread, which then
 * puts the request into a list of its ring and queues the ring.  The worker takes the whole
 * list at once.  What it answers in one run goes back together, with one index and one
 * signal.
 *
 * As in the kernel the length in the used ring is 0 whatever was written.
 */
#include <endian.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "core/iovec.h"
#include "core/log.h"
#include "vhost/scsi.h"

#define IOV_MIN 16u

static struct vhost_scsi_queue *queue_of(struct vhost_scsi *v, const struct vhost_vq *vq)
{
	return &v->queues[vq->index];
}

struct vhost_scsi_room *vhost_scsi_room(struct vhost_scsi *v, struct vhost_vq *vq)
{
	struct vhost_scsi_queue *q = queue_of(v, vq);
	struct vhost_scsi_room *room = q->room;

	if (room)
		return room;
	room = calloc(1, sizeof(*room));
	if (!room) {
		log_error("%s: out of memory", v->dev.name);
		return NULL;
	}
	room->pool = (struct virtqueue_pool){.iov = room->iov, .max_iov = VHOST_SCSI_IOV};
	q->room = room;
	return room;
}

int vhost_scsi_fetch(struct vhost_vq *vq, struct vhost_scsi_room *room)
{
	int n;

	do {
		virtqueue_pool_reset(&room->pool);
		virtqueue_disable_kicks(&vq->ring);
		n = virtqueue_fetch(&vq->ring, room->chains, VHOST_SCSI_BATCH, &room->pool);
	} while (n == 0 && virtqueue_enable_kicks(&vq->ring) == 1);
	if (n < 0)
		vhost_vq_error(vq);
	return n;
}

/* ---- memory ---- */

static void request_free(struct vhost_scsi_request *r)
{
	if (!r)
		return;
	free(r->iov);
	free(r);
}

static bool make_room(struct vhost_scsi_request *r, unsigned n)
{
	struct iovec *more;

	if (n <= r->max_iov)
		return true;
	n = n > IOV_MIN ? n : IOV_MIN;
	more = reallocarray(r->iov, n, sizeof(*r->iov));
	if (!more)
		return false;
	r->iov = more;
	r->max_iov = n;
	return true;
}

struct vhost_scsi_request *vhost_scsi_request_get(struct vhost_scsi *v, struct vhost_vq *vq,
						  const struct virtqueue_chain *chain)
{
	struct vhost_scsi_queue *q = queue_of(v, vq);
	struct vhost_scsi_request *r = q->free;

	if (q->in_flight >= vq->num)
		return NULL;
	if (r)
		q->free = r->next;
	else
		r = calloc(1, sizeof(*r));
	if (!r || !make_room(r, chain->n_readable + 2 * chain->n_writable)) {
		request_free(r);
		return NULL;
	}
	q->in_flight++;
	memset(&r->command, 0, sizeof(r->command));
	r->scsi = v;
	r->vq = vq;
	r->management = false;
	r->protection = 0;
	r->chain = *chain;
	r->chain.readable = NULL;
	r->chain.writable = r->iov + chain->n_readable + chain->n_writable;
	memcpy(r->chain.writable, chain->writable, chain->n_writable * sizeof(*r->iov));
	return r;
}

void vhost_scsi_request_put(struct vhost_scsi_request *r)
{
	struct vhost_scsi_queue *q = queue_of(r->scsi, r->vq);

	q->in_flight--;
	r->next = q->free;
	q->free = r;
}

/* ---- the way back ---- */

/* Requests whose chains are used, or lost, are not in flight any more. */
static void land(struct vhost_scsi *v, unsigned n)
{
	if (!n || atomic_fetch_sub(&v->in_flight, n) != n || !atomic_load(&v->paused))
		return;
	pthread_mutex_lock(&v->idle_lock);
	pthread_cond_broadcast(&v->idle);
	pthread_mutex_unlock(&v->idle_lock);
}

static void batch_flush(struct vhost_scsi *v, struct vhost_vq *vq, struct vhost_scsi_room *room)
{
	unsigned n = room->n_used;

	if (n) {
		virtqueue_used(&vq->ring, room->used, n);
		room->signal = true;
	}
	land(v, room->n_finished);
	room->n_used = room->n_finished = 0;
}

void vhost_scsi_batch_end(struct vhost_scsi *v, struct vhost_vq *vq)
{
	struct vhost_scsi_room *room = queue_of(v, vq)->room;

	if (!room)
		return;
	batch_flush(v, vq, room);
	if (room->signal)
		vhost_vq_signal(vq);
	room->signal = false;
}

void vhost_scsi_answer(struct vhost_scsi *v, struct vhost_vq *vq,
		       const struct virtqueue_chain *chain, const void *response, size_t size)
{
	struct vhost_scsi_room *room = queue_of(v, vq)->room;
	struct virtqueue_chain *used;

	if (iovec_write(chain->writable, chain->n_writable, 0, response, size)) {
		log_debug("%s: no memory for the response of a request", v->dev.name);
		return;
	}
	if (room->n_used == VHOST_SCSI_BATCH)
		batch_flush(v, vq, room);
	used = &room->used[room->n_used++];
	*used = *chain;
	/* All that its descriptors let the device write counts as written.  Logged now, since the
	 * pieces may be gone when the batch ends. */
	used->written = (uint32_t)used->writable_size;
	vhost_log_chains(vq, used, 1);
	used->written = 0;
}

static void respond_command(struct vhost_scsi_request *r)
{
	const struct scsi_command *c = &r->command;
	struct virtio_scsi_cmd_resp response = {0};

	switch (c->result) {
	case SCSI_COMPLETE:
		response.status = c->status;
		response.resid = htole32((uint32_t)c->residual + r->protection);
		/* The kernel always gives all of its buffer. */
		response.sense_len = htole32(c->sense_size ? sizeof(response.sense) : 0);
		memcpy(response.sense, c->sense, c->sense_size);
		break;
	case SCSI_ABORTED:
		response.response = VIRTIO_SCSI_S_RESET;
		break;
	case SCSI_BAD_MEMORY:
		response.response = VIRTIO_SCSI_S_BAD_TARGET;
		break;
	}
	vhost_scsi_answer(r->scsi, r->vq, &r->chain, &response, sizeof(response));
}

static void respond_management(struct vhost_scsi_request *r)
{
	const struct scsi_command *c = &r->command;
	struct virtio_scsi_ctrl_tmf_resp response = {
		.response = c->result == SCSI_COMPLETE && c->status == SCSI_GOOD
				    ? VIRTIO_SCSI_S_FUNCTION_SUCCEEDED
				    : VIRTIO_SCSI_S_FUNCTION_REJECTED,
	};

	vhost_scsi_answer(r->scsi, r->vq, &r->chain, &response, sizeof(response));
}

static void finish(struct vhost_scsi_request *r)
{
	if (r->management)
		respond_management(r);
	else
		respond_command(r);
	queue_of(r->scsi, r->vq)->room->n_finished++;
	vhost_scsi_request_put(r);
}

/* scsi_command.done: any thread. */
static void done(struct scsi_command *c)
{
	struct vhost_scsi_request *r = (struct vhost_scsi_request *)c;
	struct vhost_vq *vq = r->vq;
	struct vhost_scsi *v = r->scsi;
	struct vhost_scsi_queue *q = queue_of(v, vq);
	struct vhost_scsi_request *before = atomic_load(&q->done);

	/* The device stays until this thread has queued the ring. */
	atomic_fetch_add(&v->finishing, 1);
	do {
		r->next = before;
	} while (!atomic_compare_exchange_weak(&q->done, &before, r));
	/* From here on r may be gone.  Who finds the list empty queues the ring. */
	if (!before)
		vhost_queue(vq);
	atomic_fetch_sub(&v->finishing, 1);
}

void vhost_scsi_request_start(struct vhost_scsi_request *r, int (*submit)(struct scsi_command *c))
{
	r->command.done = done;
	atomic_fetch_add(&r->scsi->in_flight, 1);
	if (submit(&r->command) == SCSI_DONE)
		finish(r);
}

void vhost_scsi_complete(struct vhost_scsi *v, struct vhost_vq *vq)
{
	struct vhost_scsi_request *list = atomic_exchange(&queue_of(v, vq)->done, NULL);
	struct vhost_scsi_request *first = NULL, *next;

	/* In the order in which they were done. */
	for (; list; list = next) {
		next = list->next;
		list->next = first;
		first = list;
	}
	for (; first; first = next) {
		next = first->next;
		finish(first);
	}
}

void vhost_scsi_wait_idle(struct vhost_scsi *v)
{
	pthread_mutex_lock(&v->idle_lock);
	while (atomic_load(&v->in_flight))
		pthread_cond_wait(&v->idle, &v->idle_lock);
	pthread_mutex_unlock(&v->idle_lock);
	while (atomic_load(&v->finishing))
		sched_yield();
}

void vhost_scsi_queues_free(struct vhost_scsi *v)
{
	for (unsigned i = 0; i < VHOST_SCSI_QUEUES; i++) {
		struct vhost_scsi_queue *q = &v->queues[i];
		struct vhost_scsi_request *r;

		while ((r = q->free)) {
			q->free = r->next;
			request_free(r);
		}
		free(q->room);
		q->room = NULL;
	}
}
