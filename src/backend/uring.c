/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine over io_uring: one thread that submits and completes.
 *
 * The driver's threads never enter the ring themselves.  The kernel would run parts of
 * their requests as task work of theirs and so interrupt their system calls, and would
 * cancel requests when such a thread ends.  They push to the engine's list and write to an
 * eventfd that the ring always has a read pending on.
 *
 * Of flushes one is in the ring at a time, for all that were handed over before it began.
 */
#include <errno.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "backend/backend_private.h"
#include "core/fault.h"
#include "core/hostfd.h"
#include "core/syscall.h"
#include "core/thread.h"

#define RING_ENTRIES 256

struct uring {
	struct io_uring ring;
	int wake_fd;
	uint64_t wake_count; /* what the pending read fills */
	pthread_t thread;
	unsigned in_flight;                             /* without the read of wake_fd */
	struct backend_request *flushes, *next_flushes; /* in the ring; waiting for that */
};

/* Whatever the ring could not do, is done here and now. */
static void complete(struct engine *e, struct backend_request *r, int result)
{
	if (r->op == BACKEND_READ || r->op == BACKEND_WRITE) {
		if (result > 0)
			backend_advance(r, (size_t)result);
		if (result == -EFAULT || result == -EIO || result == -ENOSPC) {
			r->done(r, result);
			return;
		}
		if (r->size == 0) {
			r->done(r, 0);
			return;
		}
	} else if (result == 0 && !r->durable) {
		r->done(r, 0);
		return;
	}
	r->done(r, e->backend->ops->run(e->backend, r));
}

static void prepare(struct engine *e, struct io_uring_sqe *sqe, struct backend_request *r)
{
	unsigned n = r->n_iov < 1024 ? r->n_iov : 1024;

	switch (r->op) {
	case BACKEND_READ:
		io_uring_prep_readv(sqe, e->fd, r->iov, n, r->offset);
		break;
	case BACKEND_WRITE:
		io_uring_prep_writev2(sqe, e->fd, r->iov, n, r->offset, r->durable ? RWF_DSYNC : 0);
		break;
	case BACKEND_FLUSH: /* begin_flush() */
		break;
	case BACKEND_DISCARD:
		io_uring_prep_fallocate(sqe, e->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					(off_t)r->offset, (off_t)r->size);
		break;
	case BACKEND_ZERO:
		io_uring_prep_fallocate(sqe, e->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
					(off_t)r->offset, (off_t)r->size);
		break;
	}
	io_uring_sqe_set_data(sqe, r);
}

static void add_flushes(struct uring *u, struct backend_request *list)
{
	struct backend_request **p = &u->next_flushes;

	while (*p)
		p = &(*p)->next;
	*p = list;
}

static void begin_flush(struct engine *e)
{
	struct uring *u = e->priv;
	struct io_uring_sqe *sqe;

	if (u->flushes || !u->next_flushes)
		return;
	u->flushes = u->next_flushes;
	u->next_flushes = NULL;
	sqe = io_uring_get_sqe(&u->ring);
	io_uring_prep_fsync(sqe, e->fd, IORING_FSYNC_DATASYNC);
	io_uring_sqe_set_data(sqe, &u->flushes);
	u->in_flight++;
}

static void complete_flush(struct engine *e, int result)
{
	struct uring *u = e->priv;
	struct backend_request *list = u->flushes;

	u->flushes = NULL;
	if (result < 0 && result != -EIO && result != -ENOSPC)
		result = e->backend->ops->run(e->backend, list);
	engine_finish(list, result);
}

/* The read that ends the wait when something is handed over. */
static void prepare_wake(struct uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	io_uring_prep_read(sqe, u->wake_fd, &u->wake_count, sizeof(u->wake_count), 0);
	io_uring_sqe_set_data(sqe, u);
}

static void *uring_thread(void *arg)
{
	struct engine *e = arg;
	struct uring *u = e->priv;

	prepare_wake(u);
	for (;;) {
		struct io_uring_cqe *cqe;
		bool stopping;

		pthread_mutex_lock(&e->lock);
		stopping = e->stopping && !e->first;
		pthread_mutex_unlock(&e->lock);
		if (stopping && u->in_flight == 0 && !u->next_flushes)
			return NULL;
		/* Two entries stay: for the read of wake_fd and a flush. */
		add_flushes(u, engine_pop_flushes(e));
		while (u->in_flight < RING_ENTRIES - 2) {
			struct backend_request *r = engine_pop(e);

			if (!r)
				break;
			if (r->op == BACKEND_FLUSH) {
				r->next = NULL;
				add_flushes(u, r);
				continue;
			}
			prepare(e, io_uring_get_sqe(&u->ring), r);
			u->in_flight++;
		}
		begin_flush(e);
		/* Interrupted or out of memory for now: once more. */
		io_uring_submit_and_wait(&u->ring, 1);
		while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
			void *data = io_uring_cqe_get_data(cqe);
			int result = cqe->res;

			io_uring_cqe_seen(&u->ring, cqe);
			if (data == u) {
				prepare_wake(u);
				continue;
			}
			u->in_flight--;
			if (data == &u->flushes)
				complete_flush(e, result);
			else
				complete(e, data, result);
		}
	}
}

static void uring_wake(struct engine *e, bool was_empty)
{
	static const uint64_t one = 1;
	struct uring *u = e->priv;

	if (was_empty)
		host_write(u->wake_fd, &one, sizeof(one));
}

static void uring_finish(struct uring *u)
{
	int ring_fd = u->ring.ring_fd;

	/* io_uring_queue_exit() closes by number: what it closes must not be private any more. */
	u->ring.ring_fd = u->ring.enter_ring_fd = (int)host_syscall(SYS_dup, ring_fd);
	hostfd_close(ring_fd);
	io_uring_queue_exit(&u->ring);
	hostfd_close(u->wake_fd);
	free(u);
}

static void uring_stop(struct engine *e)
{
	struct uring *u = e->priv;

	uring_wake(e, true);
	pthread_join(u->thread, NULL);
	uring_finish(u);
}

static int uring_start(struct engine *e)
{
	struct uring *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	r = fault_check("backend.uring"); /* as where it is not permitted */
	if (r < 0) {
		free(u);
		return r;
	}
	u->wake_fd = hostfd_adopt((int)host_syscall(SYS_eventfd2, 0, EFD_CLOEXEC));
	if (u->wake_fd < 0) {
		r = u->wake_fd;
		free(u);
		return r;
	}
	r = io_uring_queue_init(RING_ENTRIES, &u->ring, 0);
	if (r < 0) {
		hostfd_close(u->wake_fd);
		free(u);
		return r;
	}
	r = hostfd_adopt(u->ring.ring_fd);
	if (r < 0) {
		io_uring_queue_exit(&u->ring); /* its descriptor is closed already */
		hostfd_close(u->wake_fd);
		free(u);
		return r;
	}
	u->ring.ring_fd = u->ring.enter_ring_fd = r;
	e->priv = u;
	r = thread_start(&u->thread, "standin-uring", uring_thread, e);
	if (r < 0)
		uring_finish(u);
	return r;
}

const struct engine_ops uring_engine = {
	.name = "uring",
	.start = uring_start,
	.wake = uring_wake,
	.stop = uring_stop,
};
