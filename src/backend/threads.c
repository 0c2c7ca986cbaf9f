/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine where io_uring is not permitted: a few threads that do one request after the
 * other.  They wait on a semaphore, whose sem_post() may be called in signal handlers.
 */
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>

#include "backend/backend_private.h"
#include "core/fault.h"
#include "core/thread.h"

#define THREADS 4

struct pool {
	sem_t work; /* at least one per request handed over */
	pthread_t threads[THREADS];
	unsigned n_threads;
};

static void *pool_thread(void *arg)
{
	struct engine *e = arg;
	struct pool *p = e->priv;

	for (;;) {
		struct backend_request *r;

		while (sem_wait(&p->work) < 0)
			;
		r = engine_pop(e);
		if (r && r->op == BACKEND_FLUSH) {
			r->next = engine_pop_flushes(e);
			engine_finish(r, e->backend->ops->run(e->backend, r));
		} else if (r) {
			r->done(r, e->backend->ops->run(e->backend, r));
		} else if (e->stopping) {
			return NULL;
		}
	}
}

static void threads_wake(struct engine *e, bool was_empty)
{
	struct pool *p = e->priv;

	sem_post(&p->work);
}

static void threads_stop(struct engine *e)
{
	struct pool *p = e->priv;

	for (unsigned i = 0; i < p->n_threads; i++)
		sem_post(&p->work);
	for (unsigned i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	sem_destroy(&p->work);
	free(p);
}

static int threads_start(struct engine *e)
{
	struct pool *p = calloc(1, sizeof(*p));
	int r = 0;

	if (!p)
		return -ENOMEM;
	r = fault_check("backend.threads");
	if (r < 0) {
		free(p);
		return r;
	}
	sem_init(&p->work, 0, 0);
	e->priv = p;
	while (p->n_threads < THREADS && r == 0) {
		r = thread_start(&p->threads[p->n_threads], "standin-io", pool_thread, e);
		if (r == 0)
			p->n_threads++;
	}
	if (p->n_threads)
		return 0;
	sem_destroy(&p->work);
	free(p);
	return r;
}

const struct engine_ops threads_engine = {
	.name = "threads",
	.start = threads_start,
	.wake = threads_wake,
	.stop = threads_stop,
};
