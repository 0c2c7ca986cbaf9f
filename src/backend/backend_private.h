/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend/backend_private.h - inside the room: what the kinds of backend share.
 */
#ifndef STANDIN_BACKEND_PRIVATE_H
#define STANDIN_BACKEND_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "backend/backend.h"

struct backend_ops {
	int (*submit)(struct backend *b, struct backend_request *r);
	int (*run)(struct backend *b, struct backend_request *r);
	void (*start)(struct backend *b); /* NULL: nothing to start */
	void (*close)(struct backend *b); /* frees b */
	uint64_t (*extent)(struct backend *b, uint64_t offset, bool *ret_hole);
	int (*size)(struct backend *b, uint64_t *ret_size); /* of the file; 0 or -errno */
};

struct backend {
	const struct backend_ops *ops;
	uint64_t size;
	bool read_only;
};

/* Opening: 0, or -errno with one line in `error`. */
int memory_open(const struct backend_options *options, struct backend **ret_backend,
		char error[BACKEND_ERROR_MAX]);
int file_open(const struct backend_options *options, unsigned block_size,
	      struct backend **ret_backend, char error[BACKEND_ERROR_MAX]);
/* Writes the reason to `error` and returns `code`. */
int backend_error(char error[BACKEND_ERROR_MAX], int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/*
 * A backend over private descriptors, which it takes over on success.  direct_fd is the
 * same file with O_DIRECT, or -1.  aio is one of the key's values, and stays; NULL:
 * everything is done in the calling thread.  0 or -ENOMEM.
 */
int file_wrap(int fd, int direct_fd, uint64_t size, const char *aio, struct backend **ret_backend);

/* Drops `bytes` from the front of r's range and vectors. */
void backend_advance(struct backend_request *r, size_t bytes);
/* Fills the rest of r's vectors with zeros, as a read beyond the end does.  0 or -EFAULT. */
int backend_fill_zeros(struct backend_request *r);

/* ---- requests that wait (file.c, uring.c, threads.c) ---- */

/* Requests handed over to the engine's threads, in order. */
struct engine {
	const struct engine_ops *ops; /* NULL: does not run */
	struct backend *backend;
	int fd; /* requests' file */
	pthread_mutex_t lock;
	struct backend_request *first, **last; /* handed over, not yet taken */
	_Atomic bool stopping;
	int owner; /* process that has the threads: a forked child has none */
	void *priv;
};

struct engine_ops {
	const char *name;
	/* Makes the threads.  0 or -errno. */
	int (*start)(struct engine *e);
	/* The list was empty and no longer is.  Safe in signal handlers. */
	void (*wake)(struct engine *e, bool was_empty);
	/* Finishes what was handed over, ends the threads.  e->stopping is set. */
	void (*stop)(struct engine *e);
};

extern const struct engine_ops uring_engine, threads_engine;

/* Hands r over; its done() will be called. */
void engine_push(struct engine *e, struct backend_request *r);
/* The oldest request, or NULL. */
struct backend_request *engine_pop(struct engine *e);
/* All that are flushes, as a list: one flush of the file, begun after this, does for all. */
struct backend_request *engine_pop_flushes(struct engine *e);
/* Calls done() of each in the list. */
void engine_finish(struct backend_request *list, int error);

#endif
