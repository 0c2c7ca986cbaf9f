/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/fuse.h - the protocol of a file system in user space with one file, as far as the
 * thread needs it that provides the file's pages (memory/server.h).  Rules: linux/fuse.h, version
 * 7.31; fs/fuse.
 *
 * The file system is mounted nowhere: whoever may open the links of that thread in /proc can
 * open its file.  It ends with the device's last descriptor: then all who wait for an answer
 * go on, with an error.
 */
#ifndef STANDIN_MEMORY_FUSE_H
#define STANDIN_MEMORY_FUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FUSE_FILE_SIZE ((uint64_t)1 << 47) /* bytes: every address is an offset in the file */
#define FUSE_READ_MAX  (32u * 4096u)       /* bytes that one request is for, at most */

struct fuse {
	int device, mount;    /* the mount's root is the file, to be opened once more */
	uint32_t user, group; /* its owner's, as the device's opener sees them */
};

/* A page that is read, or several. */
struct fuse_page {
	uint64_t unique; /* for the answer */
	uint64_t offset; /* page aligned */
	uint32_t size;   /* bytes, whole pages */
	pid_t thread;    /* that wants it */
};

/* Opens the device, which does not block, and mounts: 0 or -errno; -ENODEV: there is no such
 * device. Any context. */
int fuse_open(struct fuse *f);
void fuse_close(struct fuse *f);

/*
 * The next request: 1 a page is to be read, which *ret_page says; 2 a thread that waits for one has
 * a signal, and ret_page->unique says which; 0 something that has been answered; -EAGAIN there is
 * none; -ENODEV the end.
 */
int fuse_next(const struct fuse *f, struct fuse_page *ret_page);
/* Their content, request->size bytes; with `page` NULL they can't be read. */
void fuse_answer(const struct fuse *f, const struct fuse_page *request, const void *page);

#endif
