// SPDX-License-Identifier: BSD-3-Clause
/* PAGEMAP_SCAN: its arguments, and how it finds and protects what was written. */
#include "uffd.h"

static int pagemap;
static struct page_region regions[16];

static struct pm_scan_arg scan_of(const char *m, uint64_t pages)
{
	memset(regions, 0, sizeof(regions));
	return (struct pm_scan_arg){.size = sizeof(struct pm_scan_arg),
				    .start = (uintptr_t)m,
				    .end = (uintptr_t)m + pages * PAGE,
				    .walk_end = 0x7777,
				    .vec = (uintptr_t)regions,
				    .vec_len = ARRAY_SIZE(regions),
				    .return_mask = PAGE_IS_WRITTEN | PAGE_IS_PRESENT |
						   PAGE_IS_WPALLOWED | PAGE_IS_FILE};
}

static void scan(const char *what, const struct pm_scan_arg *argument)
{
	struct pm_scan_arg *a = edge(sizeof(*a), argument);
	long n = result(ioctl(pagemap, PAGEMAP_SCAN, a));
	struct text t = {.length = 0};

	text_add(&t, "%s", result_name(n));
	if (a->walk_end == 0x7777)
		text_add(&t, ", end as before");
	else
		text_add(&t, ", end %s", place((void *)a->walk_end));
	for (long i = 0; i < n && a->vec; i++)
		text_add(&t, "; %#lx at %s*%lu", (unsigned long)regions[i].categories,
			 place((void *)regions[i].start),
			 (unsigned long)(regions[i].end - regions[i].start) / PAGE);
	say_text(what, "%s", t.data);
}

static void arguments(char *m)
{
	struct pm_scan_arg a = scan_of(m, 8);

	say(result(ioctl(pagemap, PAGEMAP_SCAN, NOWHERE)), "nowhere");
	say(result(ioctl(pagemap, PAGEMAP_SCAN, edge(sizeof(a) - 1, &a))), "a byte short");
	scan("all", &a);
	a.size--;
	scan("size too small", &a);
	a.size += 2;
	scan("size too large", &a);
	a = scan_of(m, 8);
	a.flags = 4;
	scan("flags 4", &a);
	a = scan_of(m, 8);
	a.start++;
	scan("start unaligned", &a);
	a = scan_of(m, 7);
	a.end++;
	scan("end unaligned", &a);
	a = scan_of(m, 0);
	scan("nothing", &a);
	a = scan_of(m + PAGE, 0);
	a.end -= PAGE;
	scan("end before start", &a);
	a = scan_of(m, 8);
	a.vec = 0;
	scan("no vector, but a length", &a);
	a.vec_len = 0;
	scan("no vector", &a);
	a = scan_of(m, 8);
	a.vec_len = 0;
	scan("vector of length 0", &a);
	a = scan_of(m, 8);
	a.vec_len = 1;
	scan("vector of length 1", &a);
	a = scan_of(m, 8);
	a.vec = (uintptr_t)NOWHERE;
	scan("vector nowhere", &a);
	a = scan_of(m, 8);
	a.max_pages = 3;
	scan("three pages", &a);
	a = scan_of(m, 8);
	a.return_mask = 0;
	scan("no categories", &a);
	a.return_mask = 1UL << 20;
	scan("unknown category to return", &a);
	a = scan_of(m, 8);
	a.category_mask = 1UL << 20;
	scan("unknown category to match", &a);
	a.category_mask = 0;
	a.category_anyof_mask = 1UL << 20;
	scan("unknown category of any", &a);
	a.category_anyof_mask = 0;
	a.category_inverted = 1UL << 20;
	scan("unknown category inverted", &a);
	a = scan_of((char *)NOWHERE - 16, 1);
	scan("page 0", &a);
	a = scan_of((char *)(1UL << 57), 1);
	scan("beyond user space", &a);
}

static void matching(char *m)
{
	struct pm_scan_arg a = scan_of(m, 8);

	a.category_mask = PAGE_IS_WRITTEN;
	scan("written", &a);
	a.category_mask |= PAGE_IS_PRESENT;
	scan("written and present", &a);
	a.category_inverted = PAGE_IS_WRITTEN;
	scan("present, not written", &a);
	a = scan_of(m, 8);
	a.category_anyof_mask = PAGE_IS_WRITTEN | PAGE_IS_FILE;
	scan("written or of a file", &a);
	a.category_inverted = PAGE_IS_PRESENT;
	a.category_mask = PAGE_IS_PRESENT;
	a.category_anyof_mask = 0;
	scan("absent", &a);
}

static void protecting(char *m)
{
	struct pm_scan_arg a = scan_of(m, 8);

	a.category_mask = PAGE_IS_WRITTEN;
	a.flags = PM_SCAN_WP_MATCHING;
	a.return_mask = PAGE_IS_WRITTEN | PAGE_IS_PRESENT;
	scan("written, protected", &a);
	say_pagemap("then", m, 8);
	scan("written, protected again", &a);
	m[0] = 0x51;
	m[5 * PAGE] = 0x52;
	a.max_pages = 1;
	scan("one written, protected", &a);
	say_pagemap("then", m, 8);
	a.max_pages = 0;
	a.vec_len = 1;
	m[0] = 0x53;
	m[2 * PAGE] = 0x54;
	scan("a vector of one, protected", &a);
	say_pagemap("then", m, 8);
	a.vec = 0;
	a.vec_len = 0;
	scan("no vector, protected", &a);
	say_pagemap("then", m, 8);
	m[PAGE] = 0x55;
	a = scan_of(m, 8);
	a.category_mask = PAGE_IS_WRITTEN;
	a.flags = PM_SCAN_CHECK_WPASYNC;
	scan("written, checked", &a);
	a.start -= 2 * PAGE;
	scan("written, checked, with what isn't registered", &a);
	a.flags |= PM_SCAN_WP_MATCHING;
	scan("protected, checked, with what isn't registered", &a);
	a.start = (uintptr_t)m;
	scan("protected, checked", &a);
	say_pagemap("then", m, 8);
	a.flags = PM_SCAN_WP_MATCHING;
	a.category_mask = 0;
	m[3 * PAGE] = 0x56;
	scan("all, protected", &a);
	say_pagemap("then", m, 8);
}

static void of_kind(enum kind kind)
{
	int fd = uffd_new(UFFD_FEATURE_WP_ASYNC), sync = uffd_new(0);
	char *m = memory(kind, 8);

	say_text("memory", "%s", kind_names[kind]);
	name_range("m", m - 2 * PAGE, 11);
	m[0] = 0x11;
	m[3 * PAGE] = 0x12;
	(void)*(volatile char *)(m + 4 * PAGE);
	must_register(fd, m, 8, WP);
	matching(m);
	say(do_protect(fd, UFFDIO_WRITEPROTECT, m, 8 * PAGE, UFFDIO_WRITEPROTECT_MODE_WP),
	    "protect");
	m[PAGE] = 0x13;
	m[3 * PAGE] = 0x14;
	matching(m);
	protecting(m);
	close(fd);
	say_pagemap("after close", m, 8);

	/* Where protection is not asynchronous, none can be given. */
	must_register(sync, m, 8, WP);
	{
		struct pm_scan_arg a = scan_of(m, 8);

		a.flags = PM_SCAN_WP_MATCHING;
		scan("protecting what is synchronous", &a);
		say_pagemap("then", m, 8);
		a.flags |= PM_SCAN_CHECK_WPASYNC;
		scan("checking what is synchronous", &a);
	}
	close(sync);
}

void uffd_area_scan(void)
{
	int fd = uffd_new(UFFD_FEATURE_WP_ASYNC);
	char *m = filled(8, 1);

	pagemap = open("/proc/self/pagemap", O_RDONLY);
	if (pagemap < 0)
		give_up("/proc/self/pagemap", -errno);
	name_range("m", m, 8);
	must_register(fd, m, 8, WP);
	arguments(m);
	close(fd);
	for (enum kind kind = ANON; kind < FILLABLE; kind++)
		of_kind(kind);
	close(pagemap);
}
