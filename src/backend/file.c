/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A drive in a file or block device; a memory drive is one too (memory.c).
 *
 * A read is first tried with RWF_NOWAIT in the calling thread: what is in the page cache
 * goes straight to the driver's memory, with no other thread involved.  Only what has to
 * wait for the disk is handed to the engine.  Buffered writes are done in the calling
 * thread too, as write(2) would: most file systems know no RWF_NOWAIT for them, and
 * copying to the page cache is quick.  A file system without RWF_NOWAIT at all has no disk
 * to wait for if it is tmpfs; on others every read goes to the engine.
 *
 * Everything can also be done by file_run() in the calling thread: that is what the
 * engine's threads fall back on, and what happens while no engine runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "backend/backend_private.h"
#include "core/hostfd.h"
#include "core/log.h"
#include "core/syscall.h"

#define VECTORS_MAX 1024 /* UIO_MAXIOV */

struct file_backend {
	struct backend backend;
	int fd;
	int buffered_fd; /* the same without O_DIRECT, for memory that is not aligned; or fd */
	bool direct;
	bool in_memory;                         /* the file system is: nothing ever waits */
	_Atomic bool read_nowait, write_nowait; /* the file system knows RWF_NOWAIT, so far */
	const char *aio;                        /* NULL: no engine is wanted */
	struct engine engine;
};

static struct file_backend *file_backend(struct backend *b)
{
	return (struct file_backend *)b;
}

/* One preadv2 or pwritev2 of what is left of r, not waiting if `nowait`. */
static long transfer(int fd, const struct backend_request *r, bool nowait)
{
	unsigned n = r->n_iov < VECTORS_MAX ? r->n_iov : VECTORS_MAX;
	int flags = nowait ? RWF_NOWAIT : 0;

	/* There is no array for the kernel to take over: some 100 ns of 1200. */
	if (r->op == BACKEND_READ && n == 1 && !flags)
		return host_syscall(SYS_pread64, fd, r->iov->iov_base, r->iov->iov_len, r->offset);
	if (r->op == BACKEND_READ)
		return host_syscall(SYS_preadv2, fd, r->iov, n, r->offset, 0, flags);
	if (r->durable)
		flags |= RWF_DSYNC;
	return host_syscall(SYS_pwritev2, fd, r->iov, n, r->offset, 0, flags);
}

static int transfer_all(struct file_backend *f, struct backend_request *r)
{
	int fd = f->fd;

	while (r->size) {
		long done = transfer(fd, r, false);

		if (done == -EINVAL && fd != f->buffered_fd) {
			fd = f->buffered_fd;
			continue;
		}
		if (done == -EINTR || done == -EAGAIN)
			continue;
		if (done < 0)
			return (int)done;
		if (done == 0) /* the file was cut short behind our back */
			return r->op == BACKEND_READ ? backend_fill_zeros(r) : -EIO;
		backend_advance(r, (size_t)done);
	}
	return 0;
}

static int write_zeros(struct file_backend *f, uint64_t offset, uint64_t size)
{
	static const char zeros[4096] __attribute__((aligned(4096)));
	struct iovec iov[64];

	while (size) {
		struct backend_request r = {.op = BACKEND_WRITE, .offset = offset, .iov = iov};
		int error;

		for (; r.n_iov < 64 && r.size < size; r.n_iov++) {
			uint64_t piece = size - r.size;

			if (piece > sizeof(zeros))
				piece = sizeof(zeros);
			iov[r.n_iov].iov_base = (char *)(uintptr_t)zeros;
			iov[r.n_iov].iov_len = piece;
			r.size += piece;
		}
		offset += r.size;
		size -= r.size;
		error = transfer_all(f, &r);
		if (error < 0)
			return error;
	}
	return 0;
}

static int file_clear(struct file_backend *f, const struct backend_request *r)
{
	int mode = r->op == BACKEND_DISCARD ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
	long error = 0;

	if (r->size == 0)
		return 0;
	error = host_syscall(SYS_fallocate, f->fd, mode | FALLOC_FL_KEEP_SIZE, r->offset, r->size);
	if (error < 0 && error != -EIO && error != -ENOSPC)
		error = write_zeros(f, r->offset, r->size);
	if (error == 0 && r->durable)
		error = host_syscall(SYS_fdatasync, f->fd);
	return (int)error;
}

static int file_run(struct backend *b, struct backend_request *r)
{
	struct file_backend *f = file_backend(b);

	switch (r->op) {
	case BACKEND_READ:
	case BACKEND_WRITE:
		return transfer_all(f, r);
	case BACKEND_FLUSH:
		return (int)host_syscall(SYS_fdatasync, f->fd);
	case BACKEND_DISCARD:
	case BACKEND_ZERO:
		return file_clear(f, r);
	}
	return -EINVAL;
}

static int hand_over(struct file_backend *f, struct backend_request *r)
{
	if (!f->engine.ops)
		return file_run(&f->backend, r);
	engine_push(&f->engine, r);
	return BACKEND_QUEUED;
}

static int try_nowait(struct file_backend *f, struct backend_request *r, _Atomic bool *nowait)
{
	while (r->size) {
		long done = transfer(f->fd, r, true);

		if (done == -EOPNOTSUPP) {
			atomic_store_explicit(nowait, false, memory_order_relaxed);
			return 0;
		}
		if (done == -EAGAIN || done == -EINTR || done == -EINVAL)
			return 0;
		if (done < 0)
			return (int)done;
		if (done == 0)
			return 0;
		backend_advance(r, (size_t)done);
	}
	return 0;
}

/*
 * A buffered durable write is a write and a flush, since one flush does for all the writes
 * that came before it: that of a deep queue costs little more than that of one command.
 */
static int write_and_flush(struct file_backend *f, struct backend_request *r)
{
	int error;

	r->durable = false;
	error = transfer_all(f, r);
	if (error < 0)
		return error;
	r->op = BACKEND_FLUSH;
	return hand_over(f, r);
}

static int file_submit(struct backend *b, struct backend_request *r)
{
	struct file_backend *f = file_backend(b);
	_Atomic bool *nowait = r->op == BACKEND_READ ? &f->read_nowait : &f->write_nowait;
	int error;

	if (!f->aio) { /* memory: there is no stable storage to wait for */
		if (r->op == BACKEND_FLUSH)
			return 0;
		r->durable = false;
	}
	if (r->op != BACKEND_READ && r->op != BACKEND_WRITE)
		return hand_over(f, r);
	if (r->durable && (f->direct || !f->engine.ops))
		return hand_over(f, r);
	if (!r->durable && atomic_load_explicit(nowait, memory_order_relaxed)) {
		error = try_nowait(f, r, nowait);
		if (error < 0 || r->size == 0)
			return error;
	}
	if (r->durable)
		return write_and_flush(f, r);
	if (f->in_memory || (r->op == BACKEND_WRITE && !f->direct))
		return transfer_all(f, r);
	return hand_over(f, r);
}

static void file_start(struct backend *b)
{
	static const struct engine_ops *const any[] = {&uring_engine, &threads_engine, NULL};
	struct file_backend *f = file_backend(b);
	struct engine *e = &f->engine;

	if (e->ops || !f->aio)
		return;
	for (const struct engine_ops *const *ops = any; *ops; ops++) {
		int r;

		if (strcmp(f->aio, "auto") != 0 && strcmp(f->aio, (*ops)->name) != 0)
			continue;
		r = (*ops)->start(e);
		if (r == 0) {
			e->owner = (int)host_syscall(SYS_getpid);
			e->ops = *ops;
			return;
		}
		log_info("%s is not possible here: %s", (*ops)->name, strerror(-r));
	}
	if (strcmp(f->aio, "uring") == 0)
		log_warning("aio=uring is not possible here; the drive's accesses wait in line");
}

static void file_close(struct backend *b)
{
	struct file_backend *f = file_backend(b);
	struct engine *e = &f->engine;

	if (e->ops && e->owner == (int)host_syscall(SYS_getpid)) {
		pthread_mutex_lock(&e->lock);
		e->stopping = true;
		pthread_mutex_unlock(&e->lock);
		e->ops->stop(e);
	}
	pthread_mutex_destroy(&e->lock);
	if (f->buffered_fd != f->fd)
		hostfd_close(f->buffered_fd);
	hostfd_close(f->fd);
	free(f);
}

static uint64_t file_extent(struct backend *b, uint64_t offset, bool *ret_hole)
{
	int fd = file_backend(b)->buffered_fd;
	long end = host_syscall(SYS_lseek, fd, offset, SEEK_DATA);

	*ret_hole = end == -ENXIO || (end > 0 && (uint64_t)end > offset);
	if (!*ret_hole && end >= 0)
		end = host_syscall(SYS_lseek, fd, offset, SEEK_HOLE);
	return end > 0 && (uint64_t)end > offset ? (uint64_t)end - offset : UINT64_MAX;
}

static int file_bytes(int fd, uint64_t *ret_size)
{
	struct stat st;
	int r = host_fstat(fd, &st);

	if (r < 0)
		return r;
	if (S_ISBLK(st.st_mode))
		return (int)host_syscall(SYS_ioctl, fd, BLKGETSIZE64, ret_size);
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -ENOTBLK;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

static int file_size(struct backend *b, uint64_t *ret_size)
{
	return file_bytes(file_backend(b)->fd, ret_size);
}

static const struct backend_ops file_ops = {
	.submit = file_submit,
	.run = file_run,
	.start = file_start,
	.close = file_close,
	.extent = file_extent,
	.size = file_size,
};

/* 0 with the size in bytes, or what is wrong with the file. */
static int checked_size(int fd, const char *path, uint64_t *ret_size, char *error)
{
	int r = file_bytes(fd, ret_size);

	if (r == -EISDIR)
		return backend_error(error, r, "%s is a directory", path);
	if (r == -ENOTBLK)
		return backend_error(error, -EINVAL, "%s is neither a file nor a block device",
				     path);
	return r < 0 ? backend_error(error, r, "%s: %s", path, strerror(-r)) : 0;
}

int file_wrap(int fd, int direct_fd, uint64_t size, const char *aio, struct backend **ret_backend)
{
	struct file_backend *f = calloc(1, sizeof(*f));
	struct statfs fs;

	if (!f)
		return -ENOMEM;
	f->backend = (struct backend){.ops = &file_ops, .size = size};
	f->direct = direct_fd >= 0;
	f->fd = f->direct ? direct_fd : fd;
	f->buffered_fd = fd;
	f->in_memory = host_syscall(SYS_fstatfs, fd, &fs) == 0 &&
		       (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
	/* With O_DIRECT it would only mean that submitting does not wait. */
	atomic_init(&f->read_nowait, !f->direct);
	atomic_init(&f->write_nowait, !f->direct);
	f->aio = aio;
	f->engine = (struct engine){.backend = &f->backend, .fd = f->fd};
	f->engine.last = &f->engine.first;
	pthread_mutex_init(&f->engine.lock, NULL);
	*ret_backend = &f->backend;
	return 0;
}

/* A private descriptor of the file that is fit to be a drive, or what is wrong with it. */
static int open_checked(const char *path, int flags, unsigned block_size, uint64_t *ret_size,
			char *error)
{
	int fd, r;

	fd = hostfd_adopt(host_open(path, flags, 0));
	if (fd == -EISDIR)
		return backend_error(error, fd, "%s is a directory", path);
	if (fd < 0)
		return backend_error(error, fd, "%s: %s", path, strerror(-fd));
	r = checked_size(fd, path, ret_size, error);
	if (r == 0 && *ret_size == 0)
		r = backend_error(error, -EINVAL, "%s is empty", path);
	if (r == 0 && *ret_size % block_size)
		r = backend_error(error, -EINVAL,
				  "%s: its size %llu is no multiple of the block size %u", path,
				  (unsigned long long)*ret_size, block_size);
	if (r == 0)
		return fd;
	hostfd_close(fd);
	return r;
}

/* The key's value as a string that stays, or NULL. */
static const char *aio_by_name(const char *name)
{
	static const char *const names[] = {"auto", "uring", "threads"};

	if (!name)
		return names[0];
	for (unsigned i = 0; i < 3; i++)
		if (strcmp(name, names[i]) == 0)
			return names[i];
	return NULL;
}

int file_open(const struct backend_options *options, unsigned block_size,
	      struct backend **ret_backend, char error[BACKEND_ERROR_MAX])
{
	const char *path = options->file, *aio = aio_by_name(options->aio);
	int r = 0, flags, fd, direct_fd = -1;
	uint64_t size;

	if (!aio)
		return backend_error(error, -EINVAL, "aio=%s: uring, threads or auto",
				     options->aio);
	flags = (options->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	fd = open_checked(path, flags, block_size, &size, error);
	if (fd < 0)
		return fd;
	if (options->direct) {
		r = direct_fd = hostfd_adopt(host_open(path, flags | O_DIRECT, 0));
		if (r < 0)
			backend_error(error, r, "%s can't be opened with O_DIRECT: %s", path,
				      strerror(-r));
	}
	if (r >= 0) {
		r = file_wrap(fd, direct_fd, size, aio, ret_backend);
		if (r == 0)
			return 0;
		backend_error(error, r, "%s: %s", path, strerror(-r));
	}
	hostfd_close(direct_fd);
	hostfd_close(fd);
	return r;
}

void engine_push(struct engine *e, struct backend_request *r)
{
	bool was_empty;

	r->next = NULL;
	pthread_mutex_lock(&e->lock);
	was_empty = !e->first;
	*e->last = r;
	e->last = &r->next;
	pthread_mutex_unlock(&e->lock);
	e->ops->wake(e, was_empty);
}

struct backend_request *engine_pop_flushes(struct engine *e)
{
	struct backend_request **p, *r, *flushes = NULL;

	pthread_mutex_lock(&e->lock);
	for (p = &e->first; (r = *p);) {
		if (r->op == BACKEND_FLUSH) {
			*p = r->next;
			r->next = flushes;
			flushes = r;
		} else {
			p = &r->next;
		}
	}
	e->last = p;
	pthread_mutex_unlock(&e->lock);
	return flushes;
}

void engine_finish(struct backend_request *list, int error)
{
	while (list) {
		struct backend_request *next = list->next;

		list->done(list, error);
		list = next;
	}
}

struct backend_request *engine_pop(struct engine *e)
{
	struct backend_request *r;

	pthread_mutex_lock(&e->lock);
	r = e->first;
	if (r) {
		e->first = r->next;
		if (!e->first)
			e->last = &e->first;
	}
	pthread_mutex_unlock(&e->lock);
	return r;
}
