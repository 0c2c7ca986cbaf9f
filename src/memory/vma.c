/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mappings from PROCMAP_QUERY, or read from /proc/self/maps on kernels before 6.11.
 *
 * Whether a mapping is of ordinary pages is not told anywhere that is cheap to read: those
 * of devices are known by their names.
 */
#include "memory/vma.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "memory/backed.h"
#include "memory/hold.h"
#include "memory/pages.h"
#include "memory/server.h"
#include "memory/watch.h"
#include "uapi/mm.h"

static int maps = -EBADF, pagemap = -EBADF, mem = -EBADF;
static bool no_query; /* this kernel has no PROCMAP_QUERY */
static char name[4096];
/* Looked up once: [vvar] to [vdso], which the kernel puts in one place. */
static uintptr_t vdso_start, vdso_end;

/* ---- /proc/self/maps as a text ---- */

struct text {
	size_t at, end;
	char data[4096];
};

static int next_char(struct text *t)
{
	ssize_t n;

	if (t->at == t->end) {
		n = host_read(maps, t->data, sizeof(t->data));
		if (n <= 0)
			return -1;
		t->at = 0;
		t->end = (size_t)n;
	}
	return (unsigned char)t->data[t->at++];
}

/* A number in hexadecimal and the character after it. */
static uint64_t hex(struct text *t)
{
	uint64_t value = 0;

	for (;;) {
		int c = next_char(t);

		if (c >= '0' && c <= '9')
			value = value << 4 | (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (unsigned)(c - 'a' + 10);
		else
			return value;
	}
}

static void read_name(struct text *t)
{
	size_t n = 0;
	int c;

	do
		c = next_char(t);
	while (c == ' ');
	for (; c > 0 && c != '\n'; c = next_char(t))
		if (n < sizeof(name) - 1)
			name[n++] = (char)c;
	name[n] = '\0';
}

/* One line: start-end rwxs offset major:minor inode name */
static bool read_line(struct text *t, struct procmap_query *q)
{
	static const uint64_t bit[3] = {PROCMAP_QUERY_VMA_READABLE, PROCMAP_QUERY_VMA_WRITABLE,
					PROCMAP_QUERY_VMA_EXECUTABLE};
	int c;

	memset(q, 0, sizeof(*q));
	q->vma_start = hex(t);
	q->vma_end = hex(t);
	if (!q->vma_end)
		return false;
	for (int i = 0; i < 3; i++)
		if (next_char(t) != '-')
			q->vma_flags |= bit[i];
	if (next_char(t) == 's')
		q->vma_flags |= PROCMAP_QUERY_VMA_SHARED;
	next_char(t);
	q->vma_offset = hex(t);
	q->dev_major = (uint32_t)hex(t);
	q->dev_minor = (uint32_t)hex(t);
	for (c = next_char(t); c >= '0' && c <= '9'; c = next_char(t))
		q->inode = q->inode * 10 + (unsigned)(c - '0');
	t->at -= c == '\n';
	read_name(t);
	return true;
}

static bool query_text(uintptr_t address, struct procmap_query *q)
{
	static struct text t;

	t.at = t.end = 0;
	if (host_syscall(SYS_lseek, maps, 0, SEEK_SET) < 0)
		return false;
	while (read_line(&t, q))
		if (q->vma_end > address) {
			q->vma_page_size = strncmp(name, "/anon_hugepage", 14) ? 4096 : 2u << 20;
			return true;
		}
	return false;
}

/* ---- the query ---- */

static long ask(uintptr_t address, struct procmap_query *q, bool with_name)
{
	memset(q, 0, sizeof(*q));
	q->size = sizeof(*q);
	q->query_flags = PROCMAP_QUERY_COVERING_OR_NEXT_VMA;
	q->query_addr = address;
	if (with_name) {
		q->vma_name_size = sizeof(name);
		q->vma_name_addr = (uintptr_t)name;
	}
	return host_syscall(SYS_ioctl, maps, PROCMAP_QUERY, q);
}

static bool is_backed(const struct procmap_query *q)
{
	return q->inode && backed_is_file(makedev(q->dev_major, q->dev_minor), q->inode);
}

static bool query(uintptr_t address, struct procmap_query *q)
{
	long ret;

	if (no_query)
		return query_text(address, q);
	ret = ask(address, q, false);
	name[0] = '\0';
	if (ret == 0 && (q->inode || q->dev_major || q->dev_minor) && !is_backed(q) &&
	    (ask(address, q, true) < 0 || !q->vma_name_size))
		name[0] = '\0';
	if (ret == -ENOTTY || ret == -EINVAL) {
		no_query = true;
		return query_text(address, q);
	}
	return ret == 0;
}

static bool begins(const char *with)
{
	return strncmp(name, with, strlen(with)) == 0;
}

static bool is_served(const struct procmap_query *q)
{
	return server_is_file(makedev(q->dev_major, q->dev_minor), q->inode);
}

static enum memory_kind kind_of(const struct procmap_query *q)
{
	if (q->vma_page_size > 4096)
		return MEMORY_HUGETLB;
	if (q->vma_start < vdso_end && q->vma_end > vdso_start)
		return MEMORY_SPECIAL;
	if ((!q->inode && !q->dev_major && !q->dev_minor) || is_served(q))
		return MEMORY_ANON;
	if (begins("/memfd:" MEMORY_SPECIAL_NAME) || begins("anon_inode:") ||
	    (begins("/dev/") && !begins("/dev/shm/") && !begins("/dev/zero")))
		return MEMORY_SPECIAL;
	if (q->vma_flags & PROCMAP_QUERY_VMA_SHARED)
		return MEMORY_SHARED;
	return strcmp(name, "/dev/zero") == 0 ? MEMORY_ANON : MEMORY_FILE;
}

/* The same where it is watched: a range is a part of one mapping. */
static void show_watched(struct memory_vma *v, uintptr_t address)
{
	const struct watch_range *r = watch_any() ? watch_find(address) : NULL;

	if (!r || r->start >= v->end)
		return;
	if (r->start > address) {
		v->end = r->start;
		return;
	}
	v->start = r->start;
	v->end = r->end;
	v->protection = r->protection;
}

/* The part of a mapping that the client sees as one, where pages of it trap by protection. */
static void show_client(struct memory_vma *v, uintptr_t address)
{
	uintptr_t at = address > v->start ? address & ~(MEMORY_PAGE - 1) : v->start, end = v->end;
	uint64_t page = 0;

	if (v->protection != PROT_NONE || !pages_any_protected())
		return;
	page = pages_get(at);
	if (!page_is_protected(page)) {
		while ((at = pages_next(at, end, &page)) < end && !page_is_protected(page))
			at += MEMORY_PAGE;
		v->end = at < end ? at : end;
		return;
	}
	v->protection = page_protection(page);
	v->start = at;
	for (at += MEMORY_PAGE; at < end; at += MEMORY_PAGE) {
		page = pages_get(at);
		if (!page_is_protected(page) || page_protection(page) != v->protection)
			break;
	}
	v->end = at;
}

static int protection_of(const struct procmap_query *q)
{
	return (q->vma_flags & PROCMAP_QUERY_VMA_READABLE ? PROT_READ : 0) |
	       (q->vma_flags & PROCMAP_QUERY_VMA_WRITABLE ? PROT_WRITE : 0) |
	       (q->vma_flags & PROCMAP_QUERY_VMA_EXECUTABLE ? PROT_EXEC : 0);
}

int memory_vma_protection(uintptr_t address, uintptr_t *ret_end)
{
	struct procmap_query q;

	if (!query(address, &q)) {
		*ret_end = MEMORY_LIMIT;
		return -1;
	}
	*ret_end = q.vma_start > address ? q.vma_start : q.vma_end;
	return q.vma_start > address ? -1 : protection_of(&q);
}

static bool find(uintptr_t address, struct memory_vma *ret_vma)
{
	struct procmap_query q;

	if (!query(address, &q) || q.vma_start >= MEMORY_LIMIT)
		return false;
	*ret_vma = (struct memory_vma){
		.start = q.vma_start,
		.end = q.vma_end,
		.protection = protection_of(&q),
		.kind = MEMORY_ANON,
		.backed = is_backed(&q),
		.page_size = q.vma_page_size,
	};
	if (ret_vma->backed)
		return true;
	ret_vma->kind = kind_of(&q);
	ret_vma->shared = q.vma_flags & PROCMAP_QUERY_VMA_SHARED;
	ret_vma->device = makedev(q.dev_major, q.dev_minor);
	ret_vma->inode = q.inode;
	ret_vma->offset = q.vma_offset;
	return true;
}

bool memory_mapping_next(uintptr_t address, struct memory_vma *ret_vma)
{
	return find(address, ret_vma);
}

bool memory_mapping(uintptr_t address, struct memory_vma *ret_vma)
{
	return find(address, ret_vma) && ret_vma->start <= address;
}

bool memory_vma_find(uintptr_t address, struct memory_vma *ret_vma)
{
	uintptr_t start;

	if (!find(address, ret_vma))
		return false;
	start = ret_vma->start;
	if (server_is_file(ret_vma->device, ret_vma->inode))
		ret_vma->device = ret_vma->inode = ret_vma->offset = 0;
	show_client(ret_vma, address);
	show_watched(ret_vma, address > start ? address : start);
	ret_vma->offset += ret_vma->start - start;
	return true;
}

/* ---- pages ---- */

static uint8_t state_of(uint64_t entry)
{
	uint8_t state = 0;

	if (entry & PAGEMAP_PRESENT)
		state |= MEMORY_PRESENT;
	if (entry & PAGEMAP_SWAP)
		state |= MEMORY_SWAPPED;
	if (entry & PAGEMAP_FILE)
		state |= MEMORY_OF_FILE;
	if (entry & PAGEMAP_EXCLUSIVE)
		state |= MEMORY_EXCLUSIVE;
	if (entry & PAGEMAP_GUARD)
		state |= MEMORY_GUARDED;
	return state;
}

/* The regions of [arg->start, arg->end) that are of `category`, as many as there is room for. */
static long scan(struct pm_scan_arg *arg, uint64_t category)
{
	arg->size = sizeof(*arg);
	arg->category_anyof_mask = category;
	arg->return_mask = category;
	return host_syscall(SYS_ioctl, pagemap, PAGEMAP_SCAN, arg);
}

/* Zero pages, which the entries don't tell from others that are shared. */
static void find_zeroes(uintptr_t start, uintptr_t end, uint8_t *states)
{
	static struct page_region regions[64];
	struct pm_scan_arg arg = {
		.start = start,
		.end = end,
		.vec = (uintptr_t)regions,
		.vec_len = sizeof(regions) / sizeof(regions[0]),
	};

	while (arg.start < end) {
		long n = scan(&arg, PAGE_IS_PFNZERO);

		for (long i = 0; i < n; i++)
			for (uintptr_t at = regions[i].start; at < regions[i].end;
			     at += MEMORY_PAGE)
				states[(at - start) / MEMORY_PAGE] |= MEMORY_ZERO;
		if (n < 0 || arg.walk_end <= arg.start)
			return;
		arg.start = arg.walk_end;
	}
}

/* The first page that is there, with PAGEMAP_SCAN: and how far its run goes. */
static bool populated_scan(uintptr_t at, uintptr_t end, uintptr_t *ret_at, uintptr_t *ret_end)
{
	struct page_region region;
	struct pm_scan_arg arg = {
		.start = at,
		.end = end,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
	};
	long n = scan(&arg, PAGE_IS_PRESENT | PAGE_IS_SWAPPED);

	if (n < 0)
		return false;
	*ret_at = n ? region.start : end;
	*ret_end = n ? region.end : end;
	return true;
}

#define LOOK 512u /* pages at once */

/* The same, page by page; `there` is false: the first page that isn't. */
static uintptr_t populated_look(uintptr_t at, uintptr_t end, bool there)
{
	static uint8_t states[LOOK];

	while (at < end) {
		size_t n = (end - at) / MEMORY_PAGE;

		n = n < LOOK ? n : LOOK;
		if (memory_states(at, at + n * MEMORY_PAGE, states) < 0)
			return end;
		for (size_t i = 0; i < n; i++, at += MEMORY_PAGE)
			if (!(states[i] & (MEMORY_PRESENT | MEMORY_SWAPPED)) != there)
				return at;
	}
	return end;
}

/* One region may be given in several. */
static uintptr_t populated_end(uintptr_t at, uintptr_t end)
{
	uintptr_t from, to;

	while (at < end && populated_scan(at, end, &from, &to) && from == at)
		at = to;
	return at;
}

uintptr_t memory_populated(uintptr_t at, uintptr_t end, bool there, uintptr_t *ret_end)
{
	uintptr_t from, to;

	if (!populated_scan(at, end, &from, &to)) {
		at = populated_look(at, end, there);
		*ret_end = populated_look(at, end, !there);
		return at;
	}
	if (there) {
		*ret_end = populated_end(to, end);
		return from;
	}
	if (from == at) {
		at = populated_end(to, end);
		if (at == end || !populated_scan(at, end, &from, &to))
			from = end;
	}
	*ret_end = from;
	return at;
}

/* The same with what older kernels tell, of one page. */
static uint64_t categories_of(uintptr_t at)
{
	uint64_t categories = 0;
	uint8_t state;

	if (memory_states(at, at + MEMORY_PAGE, &state) < 0)
		return 0;
	categories |= state & MEMORY_PRESENT ? PAGE_IS_PRESENT : 0;
	categories |= state & MEMORY_SWAPPED ? PAGE_IS_SWAPPED : 0;
	categories |= state & MEMORY_OF_FILE ? PAGE_IS_FILE : 0;
	categories |= state & MEMORY_ZERO ? PAGE_IS_PFNZERO : 0;
	return categories | (state & MEMORY_HUGE ? PAGE_IS_HUGE : 0);
}

/* The categories that the kernel knows. */
static uint64_t known_categories(uintptr_t at)
{
	static uint64_t known;

	for (uint64_t try = PAGE_IS_ALL & ~PAGE_IS_ACCESSED; !known && try; try >>= 1) {
		struct pm_scan_arg arg = {
			.size = sizeof(arg),
			.start = at,
			.end = at,
			.return_mask = try,
		};

		if (host_syscall(SYS_ioctl, pagemap, PAGEMAP_SCAN, &arg) >= 0)
			known = try;
	}
	return known;
}

uint64_t memory_categories(uintptr_t at, uintptr_t end, uintptr_t *ret_end)
{
	struct page_region region = {.start = 0};
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = at,
		.end = end,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.return_mask = known_categories(at),
	};

	*ret_end = at + MEMORY_PAGE;
	if (!arg.return_mask || host_syscall(SYS_ioctl, pagemap, PAGEMAP_SCAN, &arg) != 1 ||
	    region.start != at)
		return categories_of(at);
	*ret_end = region.end;
	return region.categories;
}

bool memory_is_huge(uintptr_t address)
{
	struct page_region region;
	struct pm_scan_arg arg = {
		.start = address,
		.end = address + MEMORY_PAGE,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
	};

	return scan(&arg, PAGE_IS_HUGE) > 0;
}

/* Pages that an entry of 2 MiB maps: if it maps one of them, it maps all. */
static void find_huge(uintptr_t start, uintptr_t end, uint8_t *states)
{
	for (uintptr_t at = start, to; at < end; at = to) {
		uint8_t *state = &states[(at - start) / MEMORY_PAGE];

		to = (at | (MEMORY_UNIT - 1)) + 1;
		to = to < end ? to : end;
		if (!(*state & MEMORY_PRESENT))
			continue;
		if (memory_is_huge(at))
			for (size_t i = 0; i < (to - at) / MEMORY_PAGE; i++)
				state[i] |= MEMORY_HUGE;
	}
}

int memory_states(uintptr_t start, uintptr_t end, uint8_t *ret_states)
{
	const uint8_t alone = MEMORY_PRESENT | MEMORY_EXCLUSIVE;
	static uint64_t entries[1024];
	uint8_t *state = ret_states;
	bool present = false, shared = false;

	for (uintptr_t at = start; at < end;) {
		size_t n = (end - at) / MEMORY_PAGE;
		ssize_t got;

		if (n > sizeof(entries) / sizeof(entries[0]))
			n = sizeof(entries) / sizeof(entries[0]);
		got = host_pread(pagemap, entries, n * sizeof(entries[0]),
				 (off_t)(at / MEMORY_PAGE * sizeof(entries[0])));
		if (got < (ssize_t)sizeof(entries[0]))
			return got < 0 ? (int)got : -EFAULT;
		n = (size_t)got / sizeof(entries[0]);
		for (size_t i = 0; i < n; i++, state++) {
			*state = state_of(entries[i]);
			present |= *state & MEMORY_PRESENT;
			shared |= (*state & alone) == MEMORY_PRESENT;
		}
		at += n * MEMORY_PAGE;
	}
	if (shared)
		find_zeroes(start, end, ret_states);
	if (present)
		find_huge(start, end, ret_states);
	return 0;
}

/* ---- start ---- */

static int proc_open(const char *path, int flags)
{
	return hostfd_adopt(host_open(path, flags | O_CLOEXEC, 0));
}

static void find_vdso(void)
{
	static struct text t;
	struct procmap_query q;

	t.at = t.end = 0;
	vdso_start = vdso_end = 0;
	while (read_line(&t, &q)) {
		if (!begins("[vvar") && !begins("[vdso]"))
			continue;
		vdso_start = vdso_end ? vdso_start : q.vma_start;
		vdso_end = q.vma_end;
	}
}

int memory_vma_start(void)
{
	if (maps >= 0)
		return 0;
	maps = proc_open("/proc/self/maps", O_RDONLY);
	pagemap = proc_open("/proc/self/pagemap", O_RDONLY);
	mem = proc_open("/proc/self/mem", O_RDWR);
	if (maps < 0 || pagemap < 0) {
		int ret = maps < 0 ? maps : pagemap;

		memory_vma_forked();
		return ret;
	}
	find_vdso();
	return 0;
}

void memory_vma_forked(void)
{
	hold_forked();
	hostfd_close(maps);
	hostfd_close(pagemap);
	hostfd_close(mem);
	maps = pagemap = mem = -EBADF;
}

int memory_vma_mem(void)
{
	return mem;
}
