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
#define TABLE_SPAN  ((size_t)1 << 30)     /* of one table of entries of 2 MiB */

/* Reserved, at a multiple of `page_size`; 0: there is none. */
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

static bool is_of(int fd, const struct memory_vma *v)
{
	struct stat st;

	return fd >= 0 && host_fstat(fd, &st) == 0 && st.st_ino == v->inode &&
	       st.st_dev == v->device;
}

/* Whether it could be mapped. */
static bool map_over(uintptr_t place, size_t size, off_t offset, int fd)
{
	const int flags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE;
	void *p = host_mmap((void *)place, size, PROT_READ | PROT_WRITE, flags, fd, offset);

	if (host_is_error(p))
		p = host_mmap((void *)place, size, PROT_READ, flags, fd, offset);
	return !host_is_error(p);
}

/* A descriptor that the client has of the mapping's file, or -1. */
static int descriptor_of(const struct memory_vma *v)
{
	static char buffer[4096] __attribute__((aligned(8)));
	static int found = -1; /* the last time */
	long n;
	int fd;

	if (is_of(found, v))
		return found;
	found = -1;
	fd = host_open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	while (found < 0 && (n = host_syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0)
		for (long at = 0; at < n && found < 0;) {
			const struct directory_entry *e =
				(const struct directory_entry *)(buffer + at);

			if (is_of(number(e->name), v))
				found = number(e->name);
			at += e->length;
		}
	host_close(fd);
	return found;
}

static bool map_descriptor(const struct memory_vma *v, uintptr_t place, size_t size, off_t offset)
{
	int fd = descriptor_of(v);

	return fd >= 0 && map_over(place, size, offset, fd);
}

static bool map_by_address(const struct memory_vma *v, uintptr_t place, size_t size, off_t offset)
{
	char path[64];
	bool done;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)v->start,
		 (unsigned long)v->end);
	fd = host_open(path, O_RDWR | O_CLOEXEC, 0);
	done = is_of(fd, v) && map_over(place, size, offset, fd);
	if (fd >= 0)
		host_close(fd);
	return done;
}

static bool map_file(const struct memory_vma *v, uintptr_t place, size_t size, off_t offset)
{
	return map_descriptor(v, place, size, offset) || map_by_address(v, place, size, offset);
}

/* ---- all ---- */

static size_t whole_tables(size_t size)
{
	return (size + TABLE_SPAN - 1) & ~(TABLE_SPAN - 1);
}

/* Where a huge page is written to whose alias is `alias`. */
static uintptr_t writable(uintptr_t alias)
{
	return alias ^ ((uintptr_t)1 << 42);
}

/* Reserves a place for both, of which the first has its tables alone. */
static uintptr_t place_for_huge(size_t size)
{
	size_t span = whole_tables(size);
	uintptr_t place = place_for(span, TABLE_SPAN);
	void *other;

	if (!place)
		return 0;
	other = host_mmap((void *)writable(place), size, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (other == (void *)writable(place) && !((place ^ (place + span)) >> 42)) {
		if (size < span)
			host_munmap((void *)(place + size), span - size);
		return place;
	}
	if (!host_is_error(other))
		host_munmap(other, size);
	host_munmap((void *)place, span);
	return 0;
}

static bool map_again(const struct memory_vma *v, uintptr_t place, uintptr_t start, size_t size)
{
	off_t offset = (off_t)(v->offset + (start - v->start));

	if (v->kind == MEMORY_HUGETLB)
		return map_file(v, place, size, offset) &&
		       map_file(v, writable(place), size, offset);
	if (v->kind == MEMORY_SHARED)
		return host_syscall(SYS_mremap, start, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED,
				    place) == (long)place &&
		       host_mprotect((void *)place, size, PROT_READ | PROT_WRITE) == 0;
	return map_file(v, place, size, offset);
}

void watch_alias_make(struct watch_range *r)
{
	struct watch_range new = *r;
	struct memory_vma v;

	if (r->kind == MEMORY_ANON || r->alias || !memory_mapping(r->start, &v))
		return;
	new.alias = r->kind == MEMORY_HUGETLB ? place_for_huge(r->end - r->start)
					      : place_for(r->end - r->start, r->page_size);
	if (!new.alias)
		return;
	if (map_again(&v, new.alias, r->start, r->end - r->start))
		r->alias = new.alias;
	else
		watch_alias_free(&new);
}

void watch_alias_free(const struct watch_range *r)
{
	if (!r->alias)
		return;
	host_munmap((void *)r->alias, r->end - r->start);
	if (r->kind == MEMORY_HUGETLB)
		host_munmap((void *)writable(r->alias), r->end - r->start);
}

char *watch_alias_at(const struct watch_range *r, uintptr_t at)
{
	uintptr_t alias = r->alias + (at - r->start);

	return (char *)(r->kind == MEMORY_HUGETLB ? writable(alias) : alias);
}

/* The size of huge pages, as mmap(2) takes it. */
static int size_flag(const struct watch_range *r)
{
	return __builtin_ctzl(r->page_size) << MAP_HUGE_SHIFT;
}

void *watch_stage(const struct watch_range *r, uintptr_t at)
{
	const int flags = MAP_PRIVATE | MAP_FIXED;
	uintptr_t place = place_for(r->page_size, r->page_size);
	struct memory_vma v;
	off_t offset;
	int fd;
	void *p;

	if (!place || !memory_mapping(at, &v))
		return NULL;
	offset = (off_t)(v.offset + (at - v.start));
	fd = descriptor_of(&v);
	p = host_mmap((void *)place, r->page_size, PROT_READ | PROT_WRITE,
		      fd >= 0 ? flags : flags | MAP_ANONYMOUS | MAP_HUGETLB | size_flag(r), fd,
		      fd >= 0 ? offset : 0);
	if (!host_is_error(p))
		return p;
	host_munmap((void *)place, r->page_size);
	return NULL;
}

bool watch_is_beyond(const struct watch_range *r, uintptr_t at)
{
	static uint64_t without; /* the last file of which there was no descriptor */
	struct memory_vma v;
	struct stat st;
	int fd;

	if (r->kind == MEMORY_ANON || !memory_mapping(at, &v) || v.inode == without)
		return false;
	fd = descriptor_of(&v);
	if (fd < 0)
		without = v.inode;
	return fd >= 0 && host_fstat(fd, &st) == 0 &&
	       v.offset + (at - v.start) >= (uint64_t)st.st_size;
}

/* ---- the page cache ---- */

static bool in_core(uintptr_t at)
{
	unsigned char is = 0;

	return host_syscall(SYS_mincore, at, MEMORY_PAGE, &is) == 0 && (is & 1);
}

/*
 * Without an alias: the page itself tells, when it has no marker.  It traps before and after, so
 * nobody has been kept from it for the time being (memory_moves).
 */
static bool look_in_place(const struct watch_range *r, uintptr_t at)
{
	uintptr_t end = at + r->page_size;
	uint64_t mark = watch_mark(at);
	bool is;

	if (mark & MARK_MADE)
		return false;
	if (!watch_is_guarded(r, mark))
		return in_core(at);
	host_mprotect((void *)at, r->page_size, PROT_NONE);
	host_syscall(SYS_madvise, at, r->page_size, MADV_GUARD_REMOVE);
	is = in_core(at);
	watch_trap(r, at, end);
	host_mprotect((void *)at, r->page_size, watch_effective(r, watch_mark(at)));
	return is;
}

void watch_note_made(const struct watch_range *r, uintptr_t start, uintptr_t end)
{
	if (r->kind != MEMORY_FILE || r->alias)
		return;
	for (; start < end; start += MEMORY_PAGE)
		if (!in_core(start))
			watch_marks_change(start, start + MEMORY_PAGE, MEMORY_PAGE, 0, MARK_MADE);
}

#define LOOK 512u /* pages at once */

bool watch_is_cached(const struct watch_range *r, uintptr_t at)
{
	return r->alias ? in_core(r->alias + (at - r->start)) : look_in_place(r, at);
}

uintptr_t watch_cached_run(const struct watch_range *r, uintptr_t at, uintptr_t end, bool cached)
{
	static unsigned char in[LOOK];

	while (at < end && r->alias && r->page_size == MEMORY_PAGE) {
		size_t n = (end - at) / MEMORY_PAGE;

		n = n < LOOK ? n : LOOK;
		if (host_syscall(SYS_mincore, r->alias + (at - r->start), n * MEMORY_PAGE, in) < 0)
			return at;
		for (size_t i = 0; i < n; i++, at += MEMORY_PAGE)
			if ((in[i] & 1) != cached)
				return at;
	}
	while (at < end && watch_is_cached(r, at) == cached)
		at += r->page_size;
	return at;
}
