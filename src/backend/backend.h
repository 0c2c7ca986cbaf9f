/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend/backend.h - what a block device model stores to.
 *
 * A backend is a linear range of bytes with reads and writes straight from and to the
 * driver's memory.  backend_submit() answers at once when it can do so without waiting
 * for a disk; otherwise the request completes later on a thread of the backend's.
 *
 * Opened from a device's own keys (BACKEND_KEYS) or from struct backend_options: without a
 * file it is memory.
 *
 * Fault points: backend.read, backend.write, backend.flush, backend.discard, backend.zero;
 * backend.uring and backend.threads make starting the one or the other impossible.
 */
#ifndef STANDIN_BACKEND_BACKEND_H
#define STANDIN_BACKEND_BACKEND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <standin/device.h>

enum backend_op {
	BACKEND_READ,    /* to iov */
	BACKEND_WRITE,   /* from iov */
	BACKEND_FLUSH,   /* what was written before is on stable storage afterwards */
	BACKEND_DISCARD, /* the range reads as zeros and takes no space */
	BACKEND_ZERO,    /* the range reads as zeros */
};

struct backend;

struct backend_request {
	enum backend_op op;
	bool durable;          /* WRITE, DISCARD, ZERO: on stable storage when done */
	uint64_t offset, size; /* bytes, inside the backend; iov holds `size` bytes */
	struct iovec *iov;     /* stays valid until done; may be modified */
	unsigned n_iov;
	/* Called once if backend_submit() returned BACKEND_QUEUED, on any thread, perhaps
	 * before it returns.  `error` is 0 or -errno. */
	void (*done)(struct backend_request *r, int error);
	struct backend_request *next; /* the backend's */
};

#define BACKEND_QUEUED 1

/* For a model's key table. */
#define BACKEND_KEYS                                                                       \
	{"file", "what the drive holds: a file or block device (default: memory)"},        \
		{"size", "of a memory drive, in bytes or with k, M, G, T (default: 64M)"}, \
		{"readonly", "on: writes are refused (default: off)"},                     \
		{"direct", "on: the file is opened with O_DIRECT (default: off)"},         \
	{                                                                                  \
		"aio", "how disk accesses wait: uring, threads or auto (default)"          \
	}

#define BACKEND_ERROR_MAX 256

/* The same without a device.  What is 0 or NULL means the default. */
struct backend_options {
	const char *file;
	uint64_t size; /* bytes, of a memory drive */
	bool read_only, direct;
	const char *aio;
	const char *name; /* of a memory drive: the processes of a run share those of one name */
};

/*
 * Opens what the options ask for; keeps none of their strings.  0, or -errno with one line
 * in `error`: file missing or a directory, size zero or no multiple of `block_size` (a power
 * of two).
 */
int backend_open_options(const struct backend_options *options, unsigned block_size,
			 struct backend **ret_backend, char error[BACKEND_ERROR_MAX]);
/* The same from the device's keys; the reason goes to standin_device_error(). */
int backend_open(struct standin_device *dev, unsigned block_size, struct backend **ret_backend);
/* Waits for queued requests. */
void backend_close(struct backend *b);
/*
 * Makes the threads that requests wait on.  Ordinary context only; idempotent.  Before it,
 * and if it fails, backend_submit() does everything in the calling thread.
 */
void backend_start(struct backend *b);

uint64_t backend_size(const struct backend *b);
bool backend_read_only(const struct backend *b);
/*
 * Whether what is at `offset` is a hole, which takes no space and reads as zeros, and how
 * many bytes from there on are like it: at least 1, up to the end of the backend.
 */
uint64_t backend_extent(struct backend *b, uint64_t offset, bool *ret_hole);
/*
 * Looks how big the file is now: 1 if backend_size() has changed, 0, or -errno.  -EINVAL: it
 * is empty or no multiple of `block_size`.  No request may be on its way.
 */
int backend_refresh(struct backend *b, unsigned block_size);

/*
 * 0 or -errno if the request is finished (r->done is not called), BACKEND_QUEUED if it will
 * be.  -EFAULT: the driver's memory is gone.  Safe where bar_write() is.
 */
int backend_submit(struct backend *b, struct backend_request *r);
/* Does it in the calling thread: 0 or -errno. */
int backend_run(struct backend *b, struct backend_request *r);

#endif
