/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A second mapping of shared memory that is watched, at an address of the engine's own: through it
 * pages get their contents before they appear, and it tells what is in the page cache, for it
 * never has pages of its own in the page table.
 *
 * Shared memory is mapped again by mremap(2) with a size of 0, which needs no descriptor.  Huge
 * pages and the files behind private mappings need one, which is looked for among those that the
 * client has; or, with the privilege, in /proc/self/map_files.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "memory/watch_private.h"
#include "uapi/mm.h"

#define FIRST_PLACE ((uintptr_t)24 << 40) /* where neither the kernel nor linkers put things */

static uintptr_t place_for(size_t size, size_t page_size)
{
	static uintptr_t hint = FIRST_PLACE;
	uintptr_t start, aligned, end;
	void *p = host_mmap((void *)hint, size + page_size, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (host_is_error(p))
		return 0;
	start = (uintptr_t)p;
	aligned = (start + page_size - 1) & ~(page_size - 1);
	end = start + size + page_size;
	if (aligned > start)
		host_munmap(p, aligned - start);
	host_munmap((void *)(aligned + size), end - aligned - size);
	if (start == hint)
		hint = aligned + size;
	return aligned;
}

/* ---- descriptors of the client's ---- */

struct directory_entry {
	uint64_t inode;
	int64_t offset;
	unsigned short length;
	unsigned char type;
	char name[];
};

/* A descriptor's number as /proc names it, or -1. */
static int number(const char *name)
{
	int n = 0;

	for (; *name; name++) {
		if (*name < '0' || *name > '9')
			return -1;
		n = n * 10 + *name - '0';
	}
	return n;
}

static void *map_if_same(const struct memory_vma *v, uintptr_t place, size_t size, off_t offset,
			 int fd)
{
	const int flags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE;
	struct stat st;
	void *p;

	if (fd < 0 || host_fstat(fd, &st) < 0 || st.st_ino != v->inode || st.st_dev != v->device)
		return (void *)-(intptr_t)ENOENT;
	p = host_mmap((void *)place, size, PROT_READ | PROT_WRITE, flags, fd, offset);
	if (host_is_error(p))
		p = host_mmap((void *)place, size, PROT_READ, flags, fd, offset);
	return p;
}

static bool map_descriptor(const struct memory_vma *v, uintptr_t place, size_t size, off_t offset)
{
	static char buffer[4096] __attribute__((aligned(8)));
	int fd = host_open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	bool done = false;
	long n;

	if (fd < 0)
		return false;
	while (!done && (n = host_syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0)
		for (long at = 0; at < n && !done;) {
			const struct directory_entry *e =
				(const struct directory_entry *)(buffer + at);

			done = !host_is_error(map_if_same(v, place, size, offset, number(e->name)));
			at += e->length;
		}
	host_close(fd);
	return done;
}

static bool map_by_address(const struct memory_vma *v, uintptr_t place, size_t size, off_t offset)
{
	char path[64];
	bool done;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)v->start,
		 (unsigned long)v->end);
	fd = host_open(path, O_RDWR | O_CLOEXEC, 0);
	done = !host_is_error(map_if_same(v, place, size, offset, fd));
	host_close(fd);
	return done;
}

/* ---- all ---- */

static bool map_again(const struct memory_vma *v, uintptr_t place, uintptr_t start, size_t size)
{
	off_t offset = (off_t)(v->offset + (start - v->start));

	if (v->kind == MEMORY_SHARED)
		return host_syscall(SYS_mremap, start, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED,
				    place) == (long)place &&
		       host_mprotect((void *)place, size, PROT_READ | PROT_WRITE) == 0;
	return map_descriptor(v, place, size, offset) || map_by_address(v, place, size, offset);
}

void watch_alias_make(struct watch_range *r)
{
	size_t size = r->end - r->start;
	struct memory_vma v;
	uintptr_t place;

	if (r->kind == MEMORY_ANON || r->alias || !memory_mapping(r->start, &v))
		return;
	place = place_for(size, r->page_size);
	if (!place)
		return;
	if (map_again(&v, place, r->start, size))
		r->alias = place;
	else
		host_munmap((void *)place, size);
}

void watch_alias_free(const struct watch_range *r)
{
	if (r->alias)
		host_munmap((void *)r->alias, r->end - r->start);
}

/* ---- the page cache ---- */

#define LOOK 512u /* pages at once */

static bool in_core(uintptr_t at)
{
	unsigned char is = 0;

	return host_syscall(SYS_mincore, at, MEMORY_PAGE, &is) == 0 && (is & 1);
}

/* Without an alias: the page itself tells, when it has no marker. */
static bool look_in_place(const struct watch_range *r, uintptr_t at)
{
	uintptr_t end = at + r->page_size;
	bool is;

	if (!watch_is_guarded(r, watch_mark(at)))
		return in_core(at);
	watch_freeze(at, end);
	host_syscall(SYS_madvise, at, r->page_size, MADV_GUARD_REMOVE);
	is = in_core(at);
	watch_trap(r, at, end);
	watch_apply(r, at, end);
	return is;
}

bool watch_is_cached(const struct watch_range *r, uintptr_t at)
{
	return r->alias ? in_core(r->alias + (at - r->start)) : look_in_place(r, at);
}

uintptr_t watch_cached_run(const struct watch_range *r, uintptr_t at, uintptr_t end, bool cached)
{
	static unsigned char in[LOOK];
	size_t step = r->page_size / MEMORY_PAGE;

	while (at < end && r->alias && r->page_size == MEMORY_PAGE) {
		size_t n = (end - at) / MEMORY_PAGE;

		n = n < LOOK ? n : LOOK;
		if (host_syscall(SYS_mincore, r->alias + (at - r->start), n * MEMORY_PAGE, in) < 0)
			return at;
		for (size_t i = 0; i < n; i += step, at += r->page_size)
			if ((in[i] & 1) != cached)
				return at;
	}
	while (at < end && watch_is_cached(r, at) == cached)
		at += r->page_size;
	return at;
}
