/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory calls, once the runtime is loaded: mappings of stood-in files, and what happens
 * to ranges that hold such mappings.  Everything else costs the test whether any exist.
 */
#include "next.h"

#define PAGE_MASK 4095ul

static bool aligned(const void *address)
{
	return ((uintptr_t)address & PAGE_MASK) == 0;
}

void *live_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
	const struct runtime *rt = live();

	if (!(flags & MAP_ANONYMOUS) && fd_ours(fd)) {
		void *ret = rt->mmap(address, size, protection, flags, fd, offset);

		if ((uintptr_t)ret < (uintptr_t)-4095L)
			return ret;
		errno = (int)-(intptr_t)ret;
		return MAP_FAILED;
	}
	/* Before, as with munmap: afterwards another thread may map something new there. */
	if ((flags & MAP_FIXED) && (flags & MAP_FIXED_NOREPLACE) != MAP_FIXED_NOREPLACE && size &&
	    aligned(address) && rt->mmio_overlaps(address, size))
		rt->mmio_unmapped(address, size);
	return next_mmap(address, size, protection, flags, fd, offset);
}

int live_munmap(void *address, size_t size)
{
	const struct runtime *rt = live();

	if (size && aligned(address) && rt->mmio_overlaps(address, size))
		rt->mmio_unmapped(address, size);
	return next_munmap(address, size);
}

void *live_mremap(void *address, size_t old_size, size_t new_size, int flags, void *new_address)
{
	const struct runtime *rt = live();
	bool from = rt->mmio_overlaps(address, old_size ? old_size : 1);
	void *ret;

	if ((flags & MREMAP_FIXED) && new_size && aligned(new_address) &&
	    rt->mmio_overlaps(new_address, new_size))
		rt->mmio_unmapped(new_address, new_size);
	ret = next_mremap(address, old_size, new_size, flags, new_address);
	if (from && ret != MAP_FAILED)
		rt->mmio_moved(address, old_size, ret, new_size);
	return ret;
}

int live_mprotect(void *address, size_t size, int protection)
{
	const struct runtime *rt = live();

	if (size && aligned(address) && rt->mmio_overlaps(address, size))
		return (int)result(rt->mmio_protect(address, size, protection));
	return next_mprotect(address, size, protection);
}

int live_pkey_mprotect(void *address, size_t size, int protection, int key)
{
	if (key == -1)
		return live_mprotect(address, size, protection);
	return next_pkey_mprotect(address, size, protection, key);
}
