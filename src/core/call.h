/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/call.h - system calls on stood-in files: the one way in.
 *
 * The injected wrappers, the SIGSYS handler and the embedding library find the file behind
 * a descriptor and then make the call here, where what the kernel's entry points check
 * before they ask the file is checked, and where the call is traced.  All return a value or
 * -errno.  `fd` is the client's number, `f` the file behind it; the caller keeps its
 * reference.
 */
#ifndef STANDIN_CORE_CALL_H
#define STANDIN_CORE_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct file;

/* Opens a device node.  -ENOENT: there is no such node. */
int call_open(const char *path, int flags);
/* Just before the client's close(2), or a dup2(2) onto it: forgets the descriptor. */
void call_close(int fd);
long call_ioctl(int fd, struct file *f, unsigned int cmd, unsigned long arg);
/* read(2), write(2): at the file position, which the placeholder keeps. */
ssize_t call_read(int fd, struct file *f, void *buffer, size_t size);
ssize_t call_write(int fd, struct file *f, const void *buffer, size_t size);
/*
 * readv(2), writev(2) on a file of messages (struct file_ops), where all the parts are one
 * message.  `iov` is this process's memory, and so is what it names unless that is bad;
 * `total` is the sum of its sizes.
 */
ssize_t call_message(int fd, struct file *f, const struct iovec *iov, int count, size_t total,
		     bool store);
ssize_t call_pread(int fd, struct file *f, void *buffer, size_t size, off_t offset);
ssize_t call_pwrite(int fd, struct file *f, const void *buffer, size_t size, off_t offset);
/* The address, or (void *)-errno. */
void *call_mmap(int fd, struct file *f, void *address, size_t size, int protection, int flags,
		off_t offset);

#endif
