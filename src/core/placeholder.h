/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/placeholder.h - the real descriptors behind stood-in files.
 *
 * Files that can be mapped (VFIO, iommufd) sit on a sparse memfd big enough for the
 * region offsets (index << 40): epoll_ctl refuses it with EPERM and poll finds it always
 * ready, as with the kernel's files, and even a raw mmap at a region's offset works.
 */
#ifndef STANDIN_CORE_PLACEHOLDER_H
#define STANDIN_CORE_PLACEHOLDER_H

#include <stdbool.h>
#include <stdint.h>

#define PLACEHOLDER_SIZE ((uint64_t)16 << 40)

#define PLACEHOLDER_NAME "standin:"

/*
 * A directory in the private one, with a link for each open file whose placeholder is a socket:
 * from the inode's number to the device's path.
 */
#define PLACEHOLDER_NAMES "names"

/*
 * A memfd named "standin:KIND:PID" after the process that made it, which the files of a
 * process are looked for in by others (inject/attach.c).  `flags` may have O_CLOEXEC.
 * Descriptor or -errno.
 */
int placeholder_memfd(const char *kind, int flags);

/*
 * One end of a pair of sockets, for files that are polled; at first neither readable nor
 * writable.  *ret_peer is the other end (private).  Its abstract address is
 * "standin:KIND:PID:NUMBER".  Descriptor or -errno.
 */
int placeholder_socket(const char *kind, int flags, int *ret_peer);
/*
 * The read end of a pipe, for files that are read and polled but not written: not readable at
 * first.  *ret_peer is the other end (private).  `flags` may have O_CLOEXEC and O_NONBLOCK.
 * Descriptor or -errno.
 */
int placeholder_pipe(int flags, int *ret_peer);
/*
 * One more byte is in the pipe, which readers who wait for an edge see each time; and none is:
 * how many there were.  `self` -1: the read end is only in other processes.  Safe in a signal
 * handler.  placeholder_pipe_fill() is called with SIGPIPE blocked.
 */
void placeholder_pipe_fill(int peer);
unsigned placeholder_pipe_empty(int self, int peer);
/*
 * A pipe of ours has permissions that others don't have, for programs that get it from another
 * process: put there when it is about to leave this one.
 */
#define PLACEHOLDER_PIPE_MODE 01600
void placeholder_pipe_mark(int fd);

/*
 * A mark that every process sees which has a descriptor of the placeholder, and which goes
 * with the placeholder: the sticky bit of its inode.
 */
void placeholder_mark(int fd, bool on);
bool placeholder_marked(int fd);
/* `self` is any descriptor of the first end.  To be called on changes only. */
void placeholder_set_readable(int self, int peer, bool readable);
void placeholder_set_writable(int self, int peer, bool writable);

#endif
