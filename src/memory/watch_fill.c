/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contents for what is missing.
 *
 * Private memory is out of everybody's reach while it is written through /proc/self/mem, which
 * no protection stops and which copies page by page, so that each one is there or not.  Shared
 * memory is written to through its alias, and appears afterwards.
 * Rules: mfill_atomic_pte() and what it calls.
 */
#include <errno.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "core/user.h"
#include "memory/backed.h"
#include "memory/range.h"
#include "memory/served.h"
#include "memory/server.h"
#include "memory/watch_private.h"
#include "uapi/mm.h"

#define CHUNK ((size_t)2 << 20) /* bytes that are out of reach together */

struct fill {
	uintptr_t to;
	const char *from; /* NULL: zeroes */
	size_t size;
	unsigned flags;
};

/* From the start on: how many bytes, or -errno. */
typedef long fill_fn(const struct watch_range *r, const struct fill *f);

/* The marks of pages that have come. */
static void settle(const struct watch_range *r, uintptr_t start, uintptr_t end, unsigned flags)
{
	unsigned add = (watch_traps(r) ? MARK_PRESENT : 0) | (flags & WATCH_PROTECT ? MARK_WP : 0);

	watch_marks_change(start, end, r->page_size,
			   MARK_WP | MARK_RWP | MARK_PROTECTED | MARK_POISON, add);
}

/*
 * The end of what is missing from `at` on; `strict`: a page without content that is protected or
 * poisoned counts as one that is there.
 */
static uintptr_t missing_run(const struct watch_range *r, uintptr_t at, uintptr_t end, bool strict)
{
	uintptr_t to, next, gap;
	uint64_t mark;

	for (to = at; to < end; to = next) {
		next = watch_marks_run(to, end, r->page_size, &mark);
		if (strict && mark & (MARK_WP | MARK_POISON))
			break;
		if (mark & MARK_POISON)
			continue;
		if (watch_traps(r) && !watch_is_missing(r, mark))
			break;
		if (watch_traps(r))
			continue;
		if (memory_populated(to, next, false, &gap) != to)
			break;
		if (gap < next)
			return gap;
	}
	return to;
}

/* ---- private memory ---- */

/* To what is frozen and empty.  When the source ends it isn't told where. */
static long write_pages(uintptr_t to, const char *from, size_t size)
{
	long n = host_pwrite(memory_vma_mem(), from, size, (off_t)to);
	size_t done = 0;

	if (n == (long)size)
		return n;
	do {
		n = host_pwrite(memory_vma_mem(), from + done, MEMORY_PAGE, (off_t)(to + done));
		done += n == (long)MEMORY_PAGE ? MEMORY_PAGE : 0;
	} while (n == (long)MEMORY_PAGE && done < size);
	return done ? (long)done : -EFAULT;
}

/* What has got nothing, and is missing or poisoned still. */
static void trap_again(const struct watch_range *r, uintptr_t start, uintptr_t end)
{
	uintptr_t to;
	uint64_t mark;

	for (; start < end; start = to) {
		to = watch_marks_run(start, end, r->page_size, &mark);
		if (watch_traps(r) || mark & MARK_POISON)
			watch_trap(r, start, to);
	}
}

/* What is missing at the start, up to *ret_end, with room for its marks.  0 or -errno. */
static long begin(const struct watch_range *r, const struct fill *f, uintptr_t *ret_end)
{
	*ret_end = missing_run(r, f->to, f->to + f->size, false);
	return *ret_end == f->to ? -EEXIST : watch_marks_reserve(f->to, *ret_end, r->page_size);
}

static long copy_frozen(const struct watch_range *r, const struct fill *f)
{
	uintptr_t to = f->to, end;
	long n = begin(r, f, &end);
	bool cached = true;

	if (n < 0)
		return n;
	if (r->alias) {
		cached = watch_is_cached(r, to);
		end = watch_cached_run(r, to, end, cached);
	}
	watch_unguard(r, to, end);
	watch_note_made(r, to, end);
	n = write_pages(to, f->from, end - to);
	/* The file has pages now that it hadn't before, and that the kernel's COPY doesn't make. */
	if (!cached)
		range_advise((uintptr_t)watch_alias_at(r, to), (uintptr_t)watch_alias_at(r, end),
			     MADV_REMOVE);
	if (n > 0) {
		settle(r, to, to + (uintptr_t)n, f->flags);
		to += (uintptr_t)n;
	}
	trap_again(r, to, end);
	return n;
}

/* It has its content before it is in anybody's reach. */
static long copy_backed(const struct watch_range *r, const struct fill *f)
{
	uintptr_t to = f->to, end;
	long n = begin(r, f, &end);
	int ret;

	if (n < 0)
		return n;
	n = backed_write(to, f->from, end - to);
	if (n < 0)
		return n;
	ret = watch_reveal(r, to, to + (uintptr_t)n, f->flags, 0);
	return ret < 0 ? ret : n;
}

static long copy_private(const struct watch_range *r, const struct fill *f)
{
	long n = watch_freeze(f->to, f->to + f->size);

	if (n == 0)
		n = copy_frozen(r, f);
	watch_apply(r, f->to, f->to + f->size);
	return n;
}

/* A private mapping of a file has the file's pages where it has none of its own. */
static long zero_file(const struct watch_range *r, const struct fill *f)
{
	static const char zeroes[MEMORY_PAGE];
	struct fill page = {.to = f->to, .from = zeroes, .size = MEMORY_PAGE};

	if (missing_run(r, f->to, f->to + MEMORY_PAGE, true) == f->to)
		return -EEXIST;
	return copy_private(r, &page);
}

/* Pages of nothing appear where nothing traps. */
static long zero_private(const struct watch_range *r, const struct fill *f)
{
	uintptr_t to = f->to, end = missing_run(r, to, to + f->size, true);
	int ret;

	if (end == to)
		return -EEXIST;
	ret = watch_reveal(r, to, end, 0, 0);
	/* Of a file, a page of nothing that is read takes memory. */
	if (r->backed || r->served)
		return ret < 0 ? ret : (long)(end - to);
	if (!(r->protection & PROT_READ))
		host_mprotect((void *)to, end - to, PROT_READ);
	range_advise(to, end, MADV_POPULATE_READ);
	if (!(r->protection & PROT_READ))
		watch_apply(r, to, end);
	return ret < 0 ? ret : (long)(end - to);
}

/* ---- shared memory ---- */

/*
 * Pages that aren't there yet; without `from`, zeroes.  How many bytes; -ENOMEM: the file has no
 * room for them, or ends before; -EFAULT.
 */
static long write_alias(const struct watch_range *r, uintptr_t to, const char *from, size_t size)
{
	static const char zeroes[MEMORY_PAGE];
	char *alias = watch_alias_at(r, to);
	size_t done = 0, step = from ? r->page_size : MEMORY_PAGE;
	long ret = -EFAULT;
	char byte;

	/* Without `from` they are zeroes. */
	if (from && copy_guarded(alias, from, size) == 0)
		return (long)size;
	for (; done < size; done += step)
		if (copy_guarded(alias + done, from ? from + done : zeroes, step) < 0)
			break;
	done -= done % r->page_size;
	if (!done && copy_guarded(&byte, alias, 1) < 0)
		ret = -ENOMEM;
	/* Half of a page is none; and what came after it in the first attempt. */
	if (done < size)
		range_advise((uintptr_t)alias + done, (uintptr_t)alias + size, MADV_REMOVE);
	return done ? (long)done : ret;
}

/* Huge pages may run out, which shows as SIGBUS when they are touched. */
static int reserve_huge(char *p, size_t size)
{
	int ret = range_advise((uintptr_t)p, (uintptr_t)p + size, MADV_POPULATE_WRITE);

	return ret == -EINVAL ? 0 : ret; /* before 5.14 it is not known */
}

/* In the page table, as it is in the kernel when the ioctl returns. */
static void populate(const struct watch_range *r, uintptr_t start, uintptr_t end, unsigned flags)
{
	bool write = r->shared && r->protection & PROT_WRITE && !(flags & WATCH_PROTECT);

	range_advise(start, end, write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

/* The page has been taken out of the file meanwhile, by ftruncate(2) for instance. */
static bool has_vanished(const struct watch_range *r, uintptr_t at)
{
	uint8_t state;

	return watch_mark(at) & MARK_PRESENT && memory_states(at, at + MEMORY_PAGE, &state) == 0 &&
	       !state && !watch_is_cached(r, at);
}

static long copy_shared(const struct watch_range *r, const struct fill *f)
{
	uintptr_t to = f->to, end;
	long n;
	int ret;

	if (!r->alias || watch_is_beyond(r, to))
		return -ENOMEM;
	if (has_vanished(r, to)) {
		watch_marks_change(to, to + r->page_size, r->page_size, MARK_PRESENT, 0);
		watch_trap(r, to, to + r->page_size);
	}
	end = missing_run(r, to, to + f->size, false);
	end = watch_cached_run(r, to, end, false);
	if (end == to)
		return -EEXIST;
	if (r->kind == MEMORY_HUGETLB && reserve_huge(watch_alias_at(r, to), end - to) < 0)
		return -ENOMEM;
	n = write_alias(r, to, f->from, end - to);
	if (n < 0)
		return n;
	/* Mapped once, at its place. */
	range_advise((uintptr_t)watch_alias_at(r, to), (uintptr_t)watch_alias_at(r, to) + (size_t)n,
		     MADV_DONTNEED);
	ret = watch_reveal(r, to, to + (uintptr_t)n, f->flags, 0);
	populate(r, to, to + (uintptr_t)n, f->flags);
	return ret < 0 ? ret : n;
}

static long show_cached(const struct watch_range *r, const struct fill *f)
{
	uintptr_t to = f->to, end = missing_run(r, to, to + f->size, false);
	int ret;

	if (end == to)
		return -EEXIST;
	end = watch_cached_run(r, to, end, true);
	if (end == to)
		return -EFAULT;
	ret = watch_reveal(r, to, end, f->flags, 0);
	populate(r, to, end, f->flags);
	return ret < 0 ? ret : (long)(end - to);
}

/* ---- huge pages of the process's own ---- */

/* They can't be written through /proc/self/mem: each is made elsewhere, and moved. */
static long copy_huge(const struct watch_range *r, const struct fill *f)
{
	uintptr_t to = f->to, end = missing_run(r, to, to + r->page_size, false);
	char *page;
	long ret;

	if (end == to)
		return -EEXIST;
	ret = watch_marks_reserve(to, end, r->page_size);
	page = ret < 0 ? NULL : watch_stage(r, to);
	if (!page)
		return -ENOMEM;
	ret = reserve_huge(page, r->page_size) < 0 ? -ENOMEM : 0;
	if (ret == 0)
		ret = copy_guarded(page, f->from, r->page_size);
	if (ret == 0) {
		settle(r, to, end, f->flags);
		host_mprotect(page, r->page_size, watch_effective(r, watch_mark(to)));
		ret = host_syscall(SYS_mremap, page, r->page_size, r->page_size,
				   MREMAP_MAYMOVE | MREMAP_FIXED, to);
	}
	if (ret == (long)to)
		return (long)r->page_size;
	host_munmap(page, r->page_size);
	watch_marks_change(to, end, r->page_size, MARK_PRESENT, 0);
	return ret;
}

/* ---- what is served ---- */

static long copy_served(const struct watch_range *r, const struct fill *f)
{
	uintptr_t to = f->to, end;
	long n = begin(r, f, &end);
	bool protected;

	if (n < 0)
		return n;
	/* Nobody is to write before it is protected. */
	protected = f->flags & WATCH_PROTECT || watch_any_protected(r, to, end);
	watch_unguard(r, to, end); /* what is poisoned */
	settle(r, to, end, f->flags);
	if (protected)
		n = watch_apply(r, to, end);
	if (n == 0)
		n = served_copy(r, to, f->from, end - to);
	if (n < 0) {
		watch_marks_change(to, end, r->page_size, MARK_PRESENT | MARK_WP, 0);
		watch_apply(r, to, end);
		served_empty(to, end);
	} else if (to + (uintptr_t)n < end) {
		watch_marks_change(to + (uintptr_t)n, end, r->page_size, MARK_PRESENT | MARK_WP, 0);
		watch_apply(r, to, end);
	}
	return n;
}

/* A page that is poisoned traps by a marker, if there can be one. */
static int poison_served(const struct watch_range *r, uintptr_t start, uintptr_t end)
{
	if (range_advise(start, end, MADV_GUARD_INSTALL) == 0) {
		watch_marks_change(start, end, r->page_size, MARK_PROTECTED, 0);
	} else {
		watch_marks_change(start, end, r->page_size, 0, MARK_PROTECTED);
		watch_apply(r, start, end);
	}
	server_look();
	return 0;
}

/* ---- all ---- */

static long poison(const struct watch_range *r, const struct fill *f)
{
	uintptr_t to = f->to, end;
	int ret = watch_traps(r) ? 0 : watch_freeze(to, to + f->size);

	end = ret < 0 ? to : missing_run(r, to, to + f->size, true);
	if (ret == 0 && end == to)
		ret = -EEXIST;
	if (ret == 0)
		ret = watch_marks_change(to, end, r->page_size, 0, MARK_POISON);
	if (ret == 0 && r->served)
		ret = poison_served(r, to, end);
	else if (ret == 0 && !watch_traps(r))
		ret = watch_trap(r, to, end);
	if (!watch_traps(r))
		watch_apply(r, to, to + f->size);
	return ret < 0 ? ret : (long)(end - to);
}

/* What is done about a range. */
typedef fill_fn *way_fn(const struct watch_range *r);

/* Range by range, of those that are one for the caller, and never too much at once. */
static long in_chunks(way_fn *way, uintptr_t to, const char *from, size_t size, unsigned flags)
{
	struct watch_range *r;
	size_t done = 0;
	long n = -ENOENT;

	while (done < size && (r = watch_at(to + done))) {
		fill_fn *fill = way(r);
		struct fill f = {
			.to = to + done,
			.from = from ? from + done : NULL,
			.size = size - done,
			.flags = flags,
		};

		if (f.size > r->end - f.to)
			f.size = r->end - f.to;
		if (f.size > CHUNK && r->page_size <= CHUNK)
			f.size = CHUNK;
		if (r->served && f.size > SERVED_CHUNK)
			f.size = SERVED_CHUNK;
		if (fill == copy_shared)
			watch_alias_make(r);
		n = fill(r, &f);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done ? (long)done : n;
}

static bool can_be_read(const char *from, size_t size)
{
	char byte;

	return copy_guarded(&byte, from, 1) == 0 && copy_guarded(&byte, from + size - 1, 1) == 0;
}

static fill_fn *way_to_copy(const struct watch_range *r)
{
	if (r->shared)
		return copy_shared;
	if (r->kind == MEMORY_HUGETLB)
		return copy_huge;
	if (r->served)
		return copy_served;
	return r->backed ? copy_backed : copy_private;
}

long watch_copy(uintptr_t to, const void *from, size_t size, unsigned flags)
{
	const struct watch_range *r = watch_at(to);
	size_t page_size;
	long ret;

	if (!from)
		return -EFAULT;
	if (!r)
		return -ENOENT;
	page_size = r->page_size;
	ret = in_chunks(way_to_copy, to, from, size, flags);
	/* A limit for the size of files has been set since. */
	if (ret == -EFBIG) {
		ret = backed_take_out(r->start, r->end);
		if (ret == 0)
			ret = in_chunks(way_to_copy, to, from, size, flags);
	}
	/* The kernel reads before it looks where it writes to. */
	return ret == -EEXIST && !can_be_read(from, page_size) ? -EFAULT : ret;
}

static fill_fn *way_to_zero(const struct watch_range *r)
{
	if (r->shared)
		return copy_shared;
	return r->kind == MEMORY_FILE ? zero_file : zero_private;
}

long watch_zero(uintptr_t to, size_t size)
{
	return in_chunks(way_to_zero, to, NULL, size, 0);
}

static fill_fn *way_to_show(const struct watch_range *r)
{
	return show_cached;
}

long watch_continue(uintptr_t to, size_t size, unsigned flags)
{
	return in_chunks(way_to_show, to, NULL, size, flags);
}

static fill_fn *way_to_poison(const struct watch_range *r)
{
	return poison;
}

long watch_poison(uintptr_t to, size_t size)
{
	return in_chunks(way_to_poison, to, NULL, size, 0);
}
