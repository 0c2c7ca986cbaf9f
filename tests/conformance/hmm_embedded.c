// SPDX-License-Identifier: BSD-3-Clause
/* What hmm_embedded.h describes. */
#define CONFORMANCE_HMM_EMBEDDED_PLAIN
#include "hmm_embedded.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <standin/standin.h>

#include "core/syscall.h"
#include "inject/segv.h"
#include "inject/signals.h"
#include "memory/calls.h"
#include "memory/memory.h"
#include "memory/mmio.h"
#include "memory/show.h"

void embedded_start(void)
{
	if (segv_setup() < 0 || signals_take(segv_claim) < 0) {
		fprintf(stderr, "the handlers can't be installed\n");
		exit(1);
	}
	mmio_set_trapping(true);
}

/* ---- calls about memory ---- */

static long told(struct memory_call c, long number, long third, long fourth, long fifth)
{
	bool begun = memory_call_begin(&c);
	long ret = begun && c.handled
			   ? c.result
			   : host_syscall(number, c.address, c.size, third, fourth, fifth);

	if (begun)
		memory_call_end(&c, ret);
	if ((unsigned long)ret < (unsigned long)-4095L)
		return ret;
	errno = (int)-ret;
	return -1;
}

int embedded_munmap(void *address, size_t size)
{
	struct memory_call c = {MEMORY_CALL_UNMAP, .address = (uintptr_t)address, .size = size};

	return (int)told(c, SYS_munmap, 0, 0, 0);
}

int embedded_mprotect(void *address, size_t size, int protection)
{
	struct memory_call c = {MEMORY_CALL_PROTECT, .address = (uintptr_t)address, .size = size,
				.flags = protection};

	return (int)told(c, SYS_mprotect, protection, 0, 0);
}

int embedded_madvise(void *address, size_t size, int advice)
{
	struct memory_call c = {MEMORY_CALL_ADVISE, .address = (uintptr_t)address, .size = size,
				.flags = advice};

	return (int)told(c, SYS_madvise, advice, 0, 0);
}

int embedded_mlock(const void *address, size_t size)
{
	struct memory_call c = {MEMORY_CALL_POPULATE, .address = (uintptr_t)address, .size = size};

	return (int)told(c, SYS_mlock, 0, 0, 0);
}

void *embedded_mremap(void *address, size_t old_size, size_t new_size, int flags, void *to)
{
	struct memory_call c = {
		MEMORY_CALL_REMAP,    .address = (uintptr_t)address,
		.size = old_size,     .new_address = (uintptr_t)to,
		.new_size = new_size, .flags = flags,
	};

	return (void *)told(c, SYS_mremap, (long)new_size, flags, (long)to);
}

void *embedded_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
	struct memory_call c = {MEMORY_CALL_MAP, .address = (uintptr_t)address, .size = size};
	bool begun = (flags & MAP_FIXED) && memory_call_begin(&c);
	void *p = standin_mmap(address, size, protection, flags, fd, offset);
	int saved = errno;

	if (begun)
		memory_call_end(&c, p == MAP_FAILED ? -saved : (long)p);
	errno = saved;
	return p;
}

/* ---- calls with memory ---- */

ssize_t embedded_read(int fd, void *buffer, size_t size)
{
	if (memory_active())
		memory_make_resident(buffer, size);
	return read(fd, buffer, size);
}

ssize_t embedded_write(int fd, const void *buffer, size_t size)
{
	if (memory_active())
		memory_make_resident(buffer, size);
	return write(fd, buffer, size);
}

static bool is_pagemap(int fd)
{
	char link[32], target[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, target, sizeof(target));
	return n > 8 && memcmp(target + n - 8, "/pagemap", 8) == 0;
}

ssize_t embedded_pread(int fd, void *buffer, size_t size, off_t offset)
{
	ssize_t n = pread(fd, buffer, size, offset);

	if (n > 0 && memory_active() && is_pagemap(fd))
		memory_show_pagemap(buffer, (size_t)n, (uint64_t)offset);
	return n;
}

/* ---- signals ---- */

int embedded_sigaction(int signal, const struct sigaction *action, struct sigaction *old)
{
	int ret;

	if (!signals_own(signal))
		return sigaction(signal, action, old);
	ret = signals_action(signal, action, old);
	if (ret == 0)
		return 0;
	errno = -ret;
	return -1;
}
