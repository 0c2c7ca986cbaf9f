/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two userfaultfd contexts and memory calls on a small piece of memory, compared with a model of
 * it: for each page whether it is mapped, there, protected or poisoned, whose it is, and its
 * contents.
 *
 * The input is a program of steps: the ioctls, with arguments that are good by themselves or
 * bad in one way; memory calls made as the wrappers make them; and accesses, which are made for the
 * kernel's sake, as in a system call: a context for user mode alone has them fail where others
 * would wait.  So there is one thread, and the model is exact but for pages of zeroes that have
 * been moved, or not.  What memory it is, the features and how pages trap are the input's choice.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include <standin/standin.h>

#include "core/syscall.h"
#include "core/user.h"
#include "fuzz.h"
#include "inject/segv.h"
#include "inject/signals.h"
#include "memory/calls.h"
#include "memory/memory.h"
#include "memory/mmio.h"
#include "memory/show.h"
#include "uapi/mm.h"
#include "uapi/userfaultfd.h"
#include "uffd/entry.h"

#define PAGE     4096ul
#define PAGES    48u
#define RW       (PROT_READ | PROT_WRITE)
#define CONTEXTS 2
#define NOBODY   (-1)
#define MISSING  UFFDIO_REGISTER_MODE_MISSING
#define WP       UFFDIO_REGISTER_MODE_WP

/* What an access finds that nobody has protected: UNKNOWN are zeroes, or nothing. */
enum state { ABSENT, PRESENT, UNKNOWN };
enum truth { NO, YES, PERHAPS };

struct page {
	bool mapped;
	int protection;
	int owner;       /* a context, or NOBODY */
	unsigned modes;  /* MISSING, WP */
	unsigned parcel; /* of a registration: pages of several may be in one range or not */
	unsigned file;   /* of a mapping, by its number, and the page in it */
	unsigned offset;
	enum state state;
	bool only_zero; /* it may be the kernel's page of zeroes */
	enum truth protected;
	bool poison;
	uint64_t word; /* its first and its last; those between are 0 */
};

static uint8_t *arena;
static uint8_t *source; /* of COPY: a page's words are taken from here, and beyond it nothing */
static uint8_t *edge;   /* the end of readable memory */
static struct page model[PAGES];
static int contexts[CONTEXTS];
static bool shared, async, unpopulated, protects;
static unsigned parcels, files;

static void wrong(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void wrong(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

/*
 * Where the kernel puts nothing of its own accord, so what is unmapped there stays nobody's. Thread
 * sanitizers permit few addresses, and not those that others do.
 */
#ifdef __SANITIZE_THREAD__
#define PLACE ((uintptr_t)1 << 36)
#else
#define PLACE ((uintptr_t)1 << 45)
#endif

/* `size` bytes of memory, and after it nothing. */
static uint8_t *bounded(size_t size, int protection)
{
	static uintptr_t place = PLACE;
	uint8_t *p =
		mmap((void *)place, size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	place += size + 2 * PAGE;
	if (p == MAP_FAILED || mprotect(p + PAGE, size, protection))
		wrong("no memory");
	return p + PAGE;
}

static void start(void)
{
	static char text[] = "log error\nuffd emulate\n";

	if (segv_setup() < 0 || signals_take(segv_claim) < 0)
		wrong("no handlers");
	mmio_set_trapping(true);
	if (standin_start(text))
		wrong("%s", standin_error());
	arena = bounded(PAGES * PAGE, PROT_NONE);
	source = bounded(PAGES * PAGE, RW);
	edge = bounded(PAGE, RW) + PAGE;
}

static bool is_missing(const struct page *p)
{
	return p->owner != NOBODY && p->modes & MISSING;
}

static void forget(struct page *p)
{
	*p = (struct page){.owner = NOBODY};
}

/* Pages of zeroes may get lost where what they are in changes. */
static void blur(struct page *p)
{
	if (p->only_zero)
		p->state = UNKNOWN;
}

/* ---- ranges ---- */

struct range {
	unsigned first, n;
	uint8_t *address;
	size_t size;
};

static struct range range(unsigned first, unsigned n)
{
	return (struct range){first, n, arena + first * PAGE, n * PAGE};
}

static struct range take_range(struct input *in)
{
	unsigned first = take8(in) % PAGES, n = take8(in);

	n = n & 0x80 ? PAGES : 1 + n % 8;
	return range(first, n < PAGES - first ? n : PAGES - first);
}

static bool all_mapped(struct range r)
{
	for (unsigned i = r.first; i < r.first + r.n; i++)
		if (!model[i].mapped)
			return false;
	return true;
}

/* Whether it is of one registration, of whatever context. */
static bool is_registered(struct range r)
{
	const struct page *first = &model[r.first];

	for (unsigned i = r.first; i < r.first + r.n; i++)
		if (!model[i].mapped || model[i].owner == NOBODY ||
		    model[i].parcel != first->parcel || model[i].protection != first->protection ||
		    (shared && (model[i].file != first->file ||
				model[i].offset != first->offset + i - r.first)))
			return false;
	return true;
}

static bool any_unregistered(struct range r)
{
	for (unsigned i = r.first; i < r.first + r.n; i++)
		if (!model[i].mapped || model[i].owner == NOBODY)
			return true;
	return false;
}

/* ---- the client's calls, as the wrappers make them ---- */

static long call(struct memory_call *c, long number, long third)
{
	bool told = memory_call_begin(c);
	long ret = told && c->handled ? c->result
				      : host_syscall(number, c->address, c->size, third, c->flags,
						     c->new_address);

	if (told)
		memory_call_end(c, ret);
	return ret;
}

static void do_unmap(struct range r)
{
	struct memory_call c = {MEMORY_CALL_UNMAP, .address = (uintptr_t)r.address, .size = r.size};

	if (call(&c, SYS_munmap, 0))
		wrong("munmap");
	for (unsigned i = r.first; i < r.first + r.n; i++)
		forget(&model[i]);
}

static void do_map(struct range r, int protection)
{
	struct memory_call c = {MEMORY_CALL_MAP, .address = (uintptr_t)r.address, .size = r.size};
	bool told = memory_call_begin(&c);
	void *p = mmap(r.address, r.size, protection,
		       (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (told)
		memory_call_end(&c, (long)p);
	if (p != r.address)
		wrong("mmap");
	files++;
	for (unsigned i = r.first; i < r.first + r.n; i++) {
		forget(&model[i]);
		model[i].file = files;
		model[i].offset = i - r.first;
		model[i].mapped = true;
		model[i].protection = protection;
	}
}

static void do_protect(struct range r, int protection)
{
	struct memory_call c = {MEMORY_CALL_PROTECT, .address = (uintptr_t)r.address,
				.size = r.size, .flags = protection};
	long ret = call(&c, SYS_mprotect, protection);

	if (ret != (all_mapped(r) ? 0 : -ENOMEM))
		wrong("mprotect of pages %u to %u: %ld", r.first, r.first + r.n, ret);
	for (unsigned i = r.first; i < r.first + r.n && model[i].mapped; i++)
		model[i].protection = protection;
}

/* What is shared stays in its file. */
static void do_discard(struct range r)
{
	struct memory_call c = {MEMORY_CALL_ADVISE, .address = (uintptr_t)r.address, .size = r.size,
				.flags = MADV_DONTNEED};
	long ret = call(&c, SYS_madvise, MADV_DONTNEED);

	if (ret != (all_mapped(r) ? 0 : -ENOMEM))
		wrong("madvise of pages %u to %u: %ld", r.first, r.first + r.n, ret);
	for (unsigned i = r.first; i < r.first + r.n; i++) {
		if (shared)
			continue;
		model[i].state = ABSENT;
		model[i].word = 0;
		model[i].protected = NO;
		model[i].poison = false;
	}
}

/* What moves is not watched any more. */
static void do_remap(struct range r, unsigned to)
{
	struct memory_call c = {
		MEMORY_CALL_REMAP,  .address = (uintptr_t)r.address,
		.size = r.size,     .new_address = (uintptr_t)arena + to * PAGE,
		.new_size = r.size, .flags = MREMAP_MAYMOVE | MREMAP_FIXED,
	};
	struct page moved[PAGES];

	if (to + r.n > PAGES || (to < r.first + r.n && r.first < to + r.n))
		return;
	/* The kernel moves several mappings since 6.17: so much is left to it. */
	for (unsigned i = r.first; i < r.first + r.n; i++)
		if (!model[i].mapped || model[i].protection != model[r.first].protection)
			return;
	if (call(&c, SYS_mremap, (long)r.size) != (long)c.new_address) {
		do_map(range(to, r.n), RW);
		do_map(r, RW);
		return;
	}
	memcpy(moved, model + r.first, r.n * sizeof(*model));
	for (unsigned i = 0; i < r.n; i++) {
		model[to + i] = moved[i];
		model[to + i].owner = NOBODY;
		model[to + i].modes = 0;
		model[to + i].protected = NO;
		blur(&model[to + i]);
		forget(&model[r.first + i]);
	}
}

/* ---- accesses ---- */

static const char *describe(unsigned page)
{
	const struct page *p = &model[page];
	static char text[160];

	snprintf(text, sizeof(text),
		 "page %u (protection %d, owner %d, modes %u, state %d, protected %d%s, %s)", page,
		 p->mapped ? p->protection : -1, p->owner, p->modes, p->state, p->protected,
		 p->poison ? ", poison" : "", shared ? "shared" : "private");
	return text;
}

static void load(unsigned page)
{
	struct page *p = &model[page];
	bool fails = !p->mapped || !(p->protection & PROT_READ) || p->poison;
	const uint8_t *at = arena + page * PAGE;
	uint64_t words[2] = {0, 0};
	int ret = copy_guarded(&words[0], at, 8) | copy_guarded(&words[1], at + PAGE - 8, 8);

	if (!fails && is_missing(p) && p->state == UNKNOWN)
		p->state = ret ? ABSENT : PRESENT;
	if (!ret != !(fails || (is_missing(p) && p->state == ABSENT)))
		wrong("load of %s: %d", describe(page), ret);
	if (ret)
		return;
	if (p->state != PRESENT) {
		p->state = PRESENT;
		p->word = 0;
		p->only_zero = true;
	}
	if (words[0] != p->word || words[1] != p->word)
		wrong("load of %s: %llx and %llx, not %llx", describe(page),
		      (unsigned long long)words[0], (unsigned long long)words[1],
		      (unsigned long long)p->word);
}

static void store(unsigned page, uint64_t value)
{
	struct page *p = &model[page];
	bool fails = !p->mapped || !(p->protection & PROT_WRITE) || p->poison, missing;
	uint8_t *at = arena + page * PAGE;
	int ret = copy_guarded(at, &value, 8);

	missing = is_missing(p) && p->state == ABSENT;
	if (!fails && is_missing(p) && p->state == UNKNOWN) {
		/* A refusal may be for either reason. */
		if (ret && p->protected != NO && !async)
			return;
		p->state = ret ? ABSENT : PRESENT;
		missing = ret != 0;
	}
	if (!fails && !missing && p->protected == PERHAPS && !async)
		p->protected = ret ? YES : NO;
	if (!ret != !(fails || missing || (p->protected == YES && !async)))
		wrong("store to %s: %d", describe(page), ret);
	if (ret)
		return;
	if (copy_guarded(at + PAGE - 8, &value, 8))
		wrong("second store to %s", describe(page));
	p->state = PRESENT;
	p->word = value;
	p->only_zero = false;
	p->protected = NO;
}

/* What is shown of a private page with content; for others it depends on what has been done to
 * them. */
static void look(unsigned page)
{
	const struct page *p = &model[page];
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t offset = ((uintptr_t)arena / PAGE + page) * 8, entry = 0;

	if (fd < 0 || pread(fd, &entry, 8, (off_t)offset) != 8)
		wrong("pagemap");
	close(fd);
	memory_show_pagemap(&entry, 8, offset);
	if (!p->mapped || shared || p->state == UNKNOWN || p->protected == PERHAPS || p->only_zero)
		return;
	if (!(entry & PAGEMAP_PRESENT) != (p->state != PRESENT) ||
	    !(entry & PAGEMAP_UFFD_WP) != (p->protected != YES || p->poison))
		wrong("%s is shown as %llx", describe(page), (unsigned long long)entry);
}

/* ---- ioctls ---- */

static long uffd_ioctl(int fd, unsigned long command, void *argument)
{
	return standin_ioctl(fd, command, argument) ? -errno : 0;
}

/*
 * Makes the arguments bad in a way that no ioctl takes: *address and *size of a range, and *mode.
 * The argument itself may be out of reach.
 */
static bool spoil(struct input *in, uint64_t *address, uint64_t *size, uint64_t *mode,
		  void **argument, size_t argument_size)
{
	uint8_t how = take8(in);

	switch (how % 32) {
	case 0:
		*address += 1 + take16(in) % (PAGE - 1);
		return true;
	case 1:
		*size += 1 + take16(in) % (PAGE - 1);
		return true;
	case 2:
		*size = 0;
		return true;
	case 3:
		*size = -*address + PAGE;
		return true;
	case 4:
		*address = (take64(in) | (uint64_t)1 << 47) & -PAGE;
		return true;
	case 5:
		*mode = take64(in) << 32 | 1ul << 63;
		return true;
	case 6:
		*argument = edge - 1 - take8(in) % (argument_size - 8);
		return true;
	case 7:
		*argument = how & 0x20 ? NULL : (void *)(uintptr_t)(take64(in) | 1ul << 63);
		return true;
	default:
		return false;
	}
}

static void do_register(struct input *in)
{
	int context = take8(in) % CONTEXTS;
	struct range r = take_range(in);
	unsigned modes = 1 + take8(in) % 3;
	struct uffdio_register a = {.range = {(uintptr_t)r.address, r.size}, .mode = modes};
	void *argument = &a;
	uint64_t mode = modes;
	bool bad = spoil(in, (uint64_t *)&a.range.start, (uint64_t *)&a.range.len, &mode, &argument,
			 sizeof(a));
	bool others = false, dropped = false, any = false;
	long ret;

	a.mode = mode;
	for (unsigned i = r.first; i < r.first + r.n; i++) {
		const struct page *p = &model[i];

		any |= p->mapped;
		others |= p->owner != NOBODY && p->owner != context;
		dropped |= p->owner == context && p->modes & WP & ~modes;
	}
	ret = uffd_ioctl(contexts[context], UFFDIO_REGISTER, argument);
	if (!ret != (!bad && any && !others && !dropped))
		wrong("REGISTER of pages %u to %u, modes %u%s: %ld", r.first, r.first + r.n, modes,
		      bad ? ", bad" : "", ret);
	if (ret)
		return;
	parcels++;
	for (unsigned i = r.first; i < r.first + r.n; i++) {
		struct page *p = &model[i];

		if (!p->mapped || (p->owner == context && !(modes & ~p->modes)))
			continue;
		if (p->owner == NOBODY || !(p->modes & WP))
			p->protected = NO;
		blur(p);
		p->owner = context;
		p->modes = modes;
		p->parcel = parcels;
	}
}

static void do_unregister(struct input *in)
{
	int context = take8(in) % CONTEXTS;
	struct range r = take_range(in);
	struct uffdio_range a = {(uintptr_t)r.address, r.size};
	void *argument = &a;
	uint64_t mode = 0;
	bool bad = spoil(in, (uint64_t *)&a.start, (uint64_t *)&a.len, &mode, &argument, sizeof(a));
	long ret;

	bad &= mode == 0;
	ret = uffd_ioctl(contexts[context], UFFDIO_UNREGISTER, argument);
	if (bad && !ret)
		wrong("UNREGISTER with bad arguments");
	if (ret)
		return;
	for (unsigned i = r.first; i < r.first + r.n; i++) {
		if (model[i].owner != NOBODY && model[i].owner != context)
			wrong("UNREGISTER of another's %s", describe(i));
		model[i].owner = NOBODY;
		model[i].modes = 0;
		model[i].protected = NO;
		blur(&model[i]);
	}
}

static void do_wp(struct input *in)
{
	int context = take8(in) % CONTEXTS;
	struct range r = take_range(in);
	bool on = take8(in) & 1, known = is_registered(r) && model[r.first].modes & WP;
	struct uffdio_writeprotect a = {.range = {(uintptr_t)r.address, r.size}};
	void *argument = &a;
	uint64_t mode = on;
	bool bad = spoil(in, (uint64_t *)&a.range.start, (uint64_t *)&a.range.len, &mode, &argument,
			 sizeof(a));
	long ret;

	a.mode = mode;
	ret = uffd_ioctl(contexts[context], UFFDIO_WRITEPROTECT, argument);
	if (bad ? !ret : known && ret)
		wrong("WRITEPROTECT of pages %u to %u%s: %ld", r.first, r.first + r.n,
		      bad ? ", bad" : "", ret);
	for (unsigned i = r.first; !bad && i < r.first + r.n; i++) {
		struct page *p = &model[i];

		if (p->owner == NOBODY || !(p->modes & WP))
			continue;
		if (!known)
			p->protected = PERHAPS;
		else if (!on)
			p->protected = NO;
		else if (p->poison)
			p->protected = PERHAPS;
		else if (p->state == PRESENT || shared || unpopulated)
			p->protected = YES;
		else if (p->state == UNKNOWN)
			p->protected = PERHAPS;
	}
}

enum fill { COPY, ZEROPAGE, POISON };

/* Whether a page can be filled. */
static enum truth is_free(const struct page *p, enum fill what)
{
	bool strict = what == POISON || (what == ZEROPAGE && !shared);

	if (p->state == PRESENT)
		return NO;
	if (strict && (p->poison || p->protected == YES))
		return NO;
	if (p->state == UNKNOWN || (strict && p->protected == PERHAPS))
		return PERHAPS;
	return YES;
}

/* How many pages can be filled: at least and at most. */
static void count_free(struct range r, enum fill what, unsigned *ret_least, unsigned *ret_most)
{
	unsigned least = 0, most = 0;

	while (least < r.n && is_free(&model[r.first + least], what) == YES)
		least++;
	while (most < r.n && is_free(&model[r.first + most], what) != NO)
		most++;
	*ret_least = least;
	*ret_most = most;
}

static void filled(struct page *p, enum fill what, uint64_t word, bool protect)
{
	p->poison = what == POISON;
	p->state = what == POISON ? ABSENT : PRESENT;
	p->word = what == COPY ? word : 0;
	p->only_zero = what == ZEROPAGE;
	/* ZEROPAGE of private memory leaves what it doesn't overwrite. */
	if (what == COPY || (what == ZEROPAGE && shared))
		p->protected = protect ? YES : NO;
}

static void do_fill(struct input *in, enum fill what)
{
	int context = take8(in) % CONTEXTS;
	struct range r = take_range(in);
	uint8_t how = take8(in);
	uint64_t word = take16(in) | 1ul << 40, dst = (uintptr_t)r.address, size = r.size, mode = 0;
	bool protect = what == COPY && how & 1 && model[r.first].modes & WP, bad;
	struct uffdio_copy copy;
	struct uffdio_zeropage zero;
	void *argument = what == COPY ? (void *)&copy : (void *)&zero;
	unsigned least, most, short_of = how & 0x80 ? how / 2 % 8 : 0;
	int64_t done = 0;
	long ret;

	bad = spoil(in, &dst, &size, &mode, &argument, what == COPY ? sizeof(copy) : sizeof(zero));
	mode |= protect ? UFFDIO_COPY_MODE_WP : 0;
	/* The source may end before the range does. */
	short_of = short_of < r.n && what == COPY ? short_of : 0;
	copy = (struct uffdio_copy){.dst = dst, .len = size, .mode = mode};
	copy.src = (uintptr_t)source + (PAGES - (r.n - short_of)) * PAGE;
	zero = (struct uffdio_zeropage){.range = {dst, size}, .mode = mode};
	for (unsigned i = 0; i < r.n - short_of; i++) {
		uint64_t *words = (uint64_t *)(source + (PAGES - (r.n - short_of) + i) * PAGE);

		words[0] = words[PAGE / 8 - 1] = word + i;
	}
	ret = uffd_ioctl(contexts[context],
			 what == COPY       ? UFFDIO_COPY
			 : what == ZEROPAGE ? UFFDIO_ZEROPAGE
					    : UFFDIO_POISON,
			 argument);
	if (bad && ret && ret != -EAGAIN)
		return;
	if (bad)
		wrong("fill %d with bad arguments: %ld", what, ret);
	if (any_unregistered(r) || (ret == -ENOENT && !is_registered(r))) {
		if (ret != -ENOENT)
			wrong("fill %d of pages %u to %u, not all registered: %ld", what, r.first,
			      r.first + r.n, ret);
		return;
	}
	/* Pages of several registrations that are like one. */
	done = ret && ret != -EAGAIN ? 0 : what == COPY ? copy.copy : zero.zeropage;
	count_free(r, what, &least, &most);
	least = least < r.n - short_of ? least : r.n - short_of;
	most = most < r.n - short_of ? most : r.n - short_of;
	if (done % (int64_t)PAGE || done / (int64_t)PAGE < least || done / (int64_t)PAGE > most ||
	    (!ret != (done == (int64_t)r.size)))
		wrong("fill %d of pages %u to %u: %ld, %lld, not %u to %u pages; first %s", what,
		      r.first, r.first + r.n, ret, (long long)done, least, most, describe(r.first));
	for (unsigned i = 0; i < done / PAGE; i++)
		filled(&model[r.first + i], what, word + i, protect);
}

/* One page of a move: whether that can have been done. */
static bool moved(struct page *to, struct page *from, bool holes)
{
	if (to->state == PRESENT || to->poison || to->protected == YES || from->poison)
		return false;
	if (from->state == ABSENT)
		return holes;
	if (from->state == UNKNOWN || from->only_zero) {
		to->state = from->state = UNKNOWN;
		to->word = from->word = 0;
		from->only_zero = false;
		from->protected = from->protected == NO ? NO : PERHAPS;
		return true;
	}
	to->state = PRESENT;
	to->only_zero = false;
	to->word = from->word;
	to->protected = NO;
	from->state = ABSENT;
	from->word = 0;
	from->protected = NO;
	return true;
}

static void do_move(struct input *in)
{
	int context = take8(in) % CONTEXTS;
	struct range to = take_range(in);
	unsigned first = take8(in) % PAGES;
	struct range from = range(first, to.n);
	uint8_t how = take8(in);
	bool holes = how & 1, bad;
	struct uffdio_move a;
	void *argument = &a;
	uint64_t dst = (uintptr_t)to.address, size = to.size, mode = 0;
	long ret;

	if (first + to.n > PAGES || (first < to.first + to.n && to.first < first + to.n))
		return;
	bad = spoil(in, &dst, &size, &mode, &argument, sizeof(a));
	mode |= holes ? UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES : 0;
	a = (struct uffdio_move){
		.dst = dst, .src = (uintptr_t)from.address, .len = size, .mode = mode};
	ret = uffd_ioctl(contexts[context], UFFDIO_MOVE, argument);
	if (ret && ret != -EAGAIN)
		return;
	if (bad)
		wrong("MOVE with bad arguments: %ld", ret);
	if (shared || any_unregistered(to) || model[to.first].owner != context || !all_mapped(from))
		wrong("MOVE to pages %u to %u: %ld", to.first, to.first + to.n, ret);
	for (unsigned i = 0; i < a.move / PAGE; i++)
		if (!moved(&model[to.first + i], &model[from.first + i], holes))
			wrong("MOVE to %s, from page %u", describe(to.first + i), from.first + i);
}

/* Commands that there are or are not, with anything. */
static void do_anything(struct input *in)
{
	uint64_t argument[8] = {0};
	unsigned long command = 0xc000aa00ul | (unsigned long)take8(in) << 16 | take8(in) % 16;

	for (unsigned i = 0; i < 4; i++)
		argument[i] = take64(in);
	/* Not on memory of somebody else's, if it is one after all. */
	argument[0] |= (uint64_t)1 << 62;
	if (uffd_ioctl(contexts[0], command, argument) == 0)
		wrong("command %#lx", command);
}

static int open_context(uint64_t features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	int fd = uffd_system_call(UFFD_USER_MODE_ONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || uffd_ioctl(fd, UFFDIO_API, &api))
		wrong("no userfaultfd: %d", fd);
	return fd;
}

static void close_context(int context)
{
	standin_close(contexts[context]);
	for (unsigned i = 0; i < PAGES; i++) {
		if (model[i].owner != context)
			continue;
		model[i].owner = NOBODY;
		model[i].modes = 0;
		model[i].protected = NO;
		blur(&model[i]);
	}
}

static void step(struct input *in, uint64_t features)
{
	static const int protections[] = {RW, RW, PROT_READ, PROT_NONE};
	uint8_t what = take8(in);
	struct range r;

	switch (what % 32) {
	case 0:
		do_unmap(take_range(in));
		break;
	case 1:
	case 2:
		do_map(take_range(in), protections[what / 32 % 4]);
		break;
	case 3:
	case 4:
		do_protect(take_range(in), protections[what / 32 % 4]);
		break;
	case 5:
	case 6:
		do_discard(take_range(in));
		break;
	case 7:
		r = take_range(in);
		do_remap(r, take8(in) % PAGES);
		break;
	case 8:
		close_context(what / 32 % CONTEXTS);
		contexts[what / 32 % CONTEXTS] = open_context(features);
		break;
	case 9:
		do_anything(in);
		break;
	case 10:
		do_unregister(in);
		break;
	case 11:
	case 12:
	case 13:
		do_register(in);
		break;
	case 14:
	case 15:
	case 16:
		do_wp(in);
		break;
	case 17:
	case 18:
	case 19:
	case 20:
		do_fill(in, COPY);
		break;
	case 21:
		do_fill(in, ZEROPAGE);
		break;
	case 22:
		if (!shared && !protects)
			do_fill(in, POISON);
		break;
	case 23:
		do_move(in);
		break;
	case 24:
	case 25:
		look(take8(in) % PAGES);
		break;
	case 26:
	case 27:
		load(take8(in) % PAGES);
		break;
	default:
		store(take8(in) % PAGES, take16(in));
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input in = {bytes, size};
	uint8_t how = take8(&in);
	uint64_t features, signals;

	if (!arena)
		start();
	shared = how & 1;
	async = how & 2;
	protects = how & 8;
	unpopulated = async || how & 4;
	features = (async ? UFFD_FEATURE_WP_ASYNC : 0) |
		   (unpopulated ? UFFD_FEATURE_WP_UNPOPULATED : 0);
	for (int i = 0; i < CONTEXTS; i++)
		contexts[i] = open_context(features);
	memory_lock(&signals);
	memory_traps_set(protects ? MEMORY_TRAPS_PROTECT : MEMORY_TRAPS_AUTO);
	memory_unlock(&signals);
	do_map(range(0, PAGES), RW);
	while (in.left)
		step(&in, features);
	for (unsigned i = 0; i < PAGES; i++)
		load(i);
	/* Then nothing waits for anybody any more. */
	for (int i = 0; i < CONTEXTS; i++)
		close_context(i);
	for (unsigned i = 0; i < PAGES; i++) {
		load(i);
		store(i, i);
		load(i);
	}
	/* Else somebody else's memory would be there before the next input. */
	do_map(range(0, PAGES), PROT_NONE);
	return 0;
}
