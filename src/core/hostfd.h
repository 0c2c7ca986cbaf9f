/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/hostfd.h - descriptors and memory that belong to the runtime, not the client.
 *
 * In the kernel an eventfd context or a backing file takes no descriptor number.  Here
 * they do, so they are moved to high numbers, marked private in the fd table (a client's
 * close, dup2 or close_range does not reach them), and always close-on-exec.  The
 * host_ calls are the bare system calls: they bypass the injected wrappers.
 */
#ifndef STANDIN_CORE_HOSTFD_H
#define STANDIN_CORE_HOSTFD_H

#include <stddef.h>
#include <sys/stat.h>
#include <stdbool.h>
#include <sys/types.h>

/* Moves `fd` up and makes it private; closes the original.  The new one or -errno. */
int hostfd_adopt(int fd);
/* A private duplicate of the client's `fd`, which stays.  -EBADF, -EMFILE. */
int hostfd_duplicate(int fd);
void hostfd_close(int fd);

/* System calls that no wrapper sees.  All return >= 0 or -errno; host_mmap a pointer or
 * (void *)-errno, to be tested with host_is_error(). */
int host_open(const char *path, int flags, mode_t mode);
int host_close(int fd);
int host_fstat(int fd, struct stat *st);
ssize_t host_read(int fd, void *buffer, size_t size);
/* The beginning of a file that is read at once, as those of /proc are, as a string: or false. */
bool host_read_text(const char *path, char *text, size_t size);
ssize_t host_write(int fd, const void *buffer, size_t size);
ssize_t host_pread(int fd, void *buffer, size_t size, off_t offset);
ssize_t host_pwrite(int fd, const void *buffer, size_t size, off_t offset);
void *host_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
int host_munmap(void *address, size_t size);
int host_mprotect(void *address, size_t size, int protection);

static inline int host_is_error(const void *p)
{
	return (unsigned long)p >= (unsigned long)-4095L;
}

#endif
