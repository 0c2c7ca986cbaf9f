/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * standin/standin.h - the stand-in kernel as a library.
 *
 * A program that links libstandin opens the stood-in devices through these doors
 * instead of the system calls of the same name, and gets the kernel's answers.
 * `standin run` gives the same to programs that know nothing of it.
 *
 *	standin_start("device nvme,addr=01:00.0,file=disk.img\n");
 *	int container = standin_open("/dev/vfio/vfio", O_RDWR);
 *	standin_ioctl(container, VFIO_GET_API_VERSION);
 *
 * All doors return what the system call returns: a value, or -1 with errno set.
 * The descriptors are real ones; a door that is given one that is not stood in for
 * makes the real system call.  Thread-safe, except standin_start and standin_stop.
 *
 * Through this library alone, a mapping of a BAR shows plain memory: pages that
 * would have to trap are refused with ENODEV, as for a device whose regions can't
 * be mapped.
 */
#ifndef STANDIN_STANDIN_H
#define STANDIN_STANDIN_H

#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Starts the process's instance from configuration text, one directive a line as
 * in a --config file; NULL or "" gives the defaults.  0 or -1 with errno: EBUSY if
 * one runs, EINVAL with the reason in standin_error().
 */
int standin_start(const char *configuration);
/* Releases everything that is still open and ends the instance. */
void standin_stop(void);
/* The reason of the last failed standin_start(): one line, valid until the next. */
const char *standin_error(void);

int standin_open(const char *path, int flags, ...);
int standin_close(int fd);
int standin_dup(int fd);
int standin_ioctl(int fd, unsigned long command, ...);
ssize_t standin_read(int fd, void *buffer, size_t size);
ssize_t standin_write(int fd, const void *buffer, size_t size);
ssize_t standin_pread(int fd, void *buffer, size_t size, off_t offset);
ssize_t standin_pwrite(int fd, const void *buffer, size_t size, off_t offset);
void *standin_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
int standin_munmap(void *address, size_t size);

#ifdef __cplusplus
}
#endif
#endif
