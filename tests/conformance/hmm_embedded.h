/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hmm_embedded.h - the calls with which a program changes its memory, and those that are given
 * memory, for the HMM conformance program without injection: told to the engine as the preload
 * library tells it.
 */
#ifndef CONFORMANCE_HMM_EMBEDDED_H
#define CONFORMANCE_HMM_EMBEDDED_H

#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

/*
 * Installs the handlers: before an area's process is forked, in which a sanitizer has threads that
 * can't take signals.
 */
void embedded_start(void);

int embedded_munmap(void *address, size_t size);
int embedded_mprotect(void *address, size_t size, int protection);
int embedded_madvise(void *address, size_t size, int advice);
int embedded_mlock(const void *address, size_t size);
void *embedded_mremap(void *address, size_t old_size, size_t new_size, int flags, void *to);
void *embedded_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
ssize_t embedded_read(int fd, void *buffer, size_t size);
ssize_t embedded_write(int fd, const void *buffer, size_t size);
/* Of /proc/self/pagemap, or else of a file. */
ssize_t embedded_pread(int fd, void *buffer, size_t size, off_t offset);
int embedded_sigaction(int signal, const struct sigaction *action, struct sigaction *old);

#ifndef CONFORMANCE_HMM_EMBEDDED_PLAIN
#define munmap(address, size)               embedded_munmap(address, size)
#define mprotect(address, size, protection) embedded_mprotect(address, size, protection)
#define madvise(address, size, advice)      embedded_madvise(address, size, advice)
#define mlock(address, size)                embedded_mlock(address, size)
#define mremap(address, old_size, new_size, flags, to) \
	embedded_mremap(address, old_size, new_size, flags, to)
#define mmap(address, size, protection, flags, fd, offset) \
	embedded_mmap(address, size, protection, flags, fd, offset)
#define read(fd, buffer, size)          embedded_read(fd, buffer, size)
#define write(fd, buffer, size)         embedded_write(fd, buffer, size)
#define pread(fd, buffer, size, offset) embedded_pread(fd, buffer, size, offset)
#define sigaction(signal, action, old)  embedded_sigaction(signal, action, old)
#endif

#endif
