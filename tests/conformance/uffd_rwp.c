// SPDX-License-Identifier: BSD-3-Clause
/* RWPROTECT and SET_MODE, new in 7.3: pages that fault at any access. */
#include <sys/wait.h>

#include "uffd.h"

#define PROTECT  UFFDIO_RWPROTECT_MODE_RWP
#define DONTWAKE UFFDIO_RWPROTECT_MODE_DONTWAKE
#define RWP_ON   UFFD_FEATURE_RWP
#define ASYNC    UFFD_FEATURE_RWP_ASYNC

static void protect(int fd, const char *what, void *address, uint64_t length, uint64_t mode)
{
	say_protect(fd, UFFDIO_RWPROTECT, what, address, length, mode);
}

/* Pages that were, or were not, accessed since they were protected. */
static void say_accessed(const char *what, const char *m, uint64_t pages)
{
	struct page_region regions[16];
	struct pm_scan_arg a = {.size = sizeof(a),
				.start = (uintptr_t)m,
				.end = (uintptr_t)m + pages * PAGE,
				.vec = (uintptr_t)regions,
				.vec_len = ARRAY_SIZE(regions),
				.return_mask = PAGE_IS_ACCESSED | PAGE_IS_PRESENT};
	struct text t = {.length = 0};
	int fd = open("/proc/self/pagemap", O_RDONLY);
	long n = result(ioctl(fd, PAGEMAP_SCAN, &a));

	close(fd);
	text_add(&t, "%s", result_name(n));
	for (long i = 0; i < n; i++)
		text_add(&t, "; %#lx at %s*%lu", (unsigned long)regions[i].categories,
			 place((void *)regions[i].start),
			 (unsigned long)(regions[i].end - regions[i].start) / PAGE);
	say_text(what, "%s", t.data);
}

static void registering(void)
{
	static const struct {
		const char *name;
		uint64_t mode;
	} modes[] = {{"RWP", RWP},
		     {"MISSING|RWP", MISSING | RWP},
		     {"RWP|MINOR", RWP | MINOR},
		     {"WP|RWP", WP | RWP},
		     {"all four", MISSING | WP | MINOR | RWP}};
	int fd = uffd_new(0), other;
	char *m = memory(ANON, 8);

	say_register(fd, "without the feature", m, PAGE, RWP);
	say_register(fd, "without the feature, bad range", m + 1, PAGE, RWP);
	close(fd);
	for (enum kind kind = ANON; kind < KINDS; kind++)
		for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
			fd = uffd_new(RWP_ON);
			say_register(fd, label("%s, %s", kind_names[kind], modes[i].name),
				     memory(kind, 2), 2 * PAGE, modes[i].mode);
			close(fd);
		}
	fd = uffd_new(RWP_ON);
	other = uffd_new(RWP_ON);
	say_register(fd, "WP|RWP, bad range", m + 1, PAGE, WP | RWP);
	mprotect(m, PAGE, PROT_NONE);
	mprotect(m + PAGE, PAGE, PROT_READ);
	say_register(fd, "inaccessible", m, PAGE, RWP);
	say_register(fd, "inaccessible, MISSING|RWP", m, PAGE, MISSING | RWP);
	say_register(fd, "read-only", m + PAGE, PAGE, RWP);
	say_register(fd, "MISSING where it is RWP", m + PAGE, PAGE, MISSING);
	say_register(fd, "WP where it is RWP", m + PAGE, PAGE, WP);
	say_register(fd, "MISSING|RWP where it is RWP", m + PAGE, PAGE, MISSING | RWP);
	say_register(fd, "RWP where it is MISSING|RWP", m + PAGE, PAGE, RWP);
	say_register(other, "RWP of another", m + PAGE, PAGE, RWP);
	must_register(fd, m + 2 * PAGE, 1, WP);
	say_register(fd, "RWP where it is WP", m + 2 * PAGE, PAGE, RWP);
	must_register(fd, m + 3 * PAGE, 1, MISSING);
	say_register(fd, "RWP where it is MISSING", m + 3 * PAGE, PAGE, RWP);
	say_range(fd, UFFDIO_UNREGISTER, "UNREGISTER", m, 8 * PAGE);
	say_register(fd, "WP then", m + PAGE, PAGE, WP);
	close(fd);
	close(other);
}

static void arguments(void)
{
	struct uffdio_rwprotect a = {.mode = PROTECT};
	int fd = uffd_new(RWP_ON), other = uffd_new(0);
	char *m = filled(8, 0x41);

	name_range("m", m, 8);
	must_register(fd, m, 4, RWP);
	must_register(fd, m + 4 * PAGE, 2, MISSING | WP);
	protect(fd, "unaligned", m + 1, PAGE, PROTECT);
	protect(fd, "length 0", m, 0, PROTECT);
	protect(fd, "length unaligned", m, 1, PROTECT);
	protect(fd, "length that wraps", m, -PAGE, PROTECT);
	for (unsigned mode = 0; mode < 8; mode++)
		protect(fd, label("mode %u", mode), m, PAGE, mode);
	protect(fd, "bad mode, not registered", m + 6 * PAGE, PAGE, 4);
	protect(fd, "not registered", m + 6 * PAGE, PAGE, PROTECT);
	protect(fd, "registered for WP", m + 4 * PAGE, PAGE, PROTECT);
	say_protect(fd, UFFDIO_WRITEPROTECT, "WRITEPROTECT of it", m, PAGE, PROTECT);
	protect(fd, "not mapped", (void *)PAGE, PAGE, PROTECT);
	protect(fd, "across the end", m, 8 * PAGE, PROTECT);
	say_pagemap("which left", m, 8);
	protect(other, "by another file", m, PAGE, PROTECT);
	say_pagemap("which left", m, 4);
	protect(other, "by another file, undone", m, PAGE, 0);
	munmap(m + 2 * PAGE, PAGE);
	protect(fd, "with a hole", m, 4 * PAGE, PROTECT);
	protect(fd, "a hole alone", m + 2 * PAGE, PAGE, PROTECT);
	say(result(ioctl(fd, UFFDIO_RWPROTECT, NOWHERE)), "nowhere");
	a.range = (struct uffdio_range){(uintptr_t)m, PAGE};
	say(result(ioctl(fd, UFFDIO_RWPROTECT, edge(sizeof(a) - 1, &a))), "a byte short");
	say(result(ioctl(fd, UFFDIO_RWPROTECT, read_only(sizeof(a), &a))), "can't be written");
	close(fd);
	close(other);
}

void uffd_area_rwp_arguments(void)
{
	registering();
	arguments();
}

/* Page 0 is written, 1 only read, 2 absent, 3 written. */
static char *mixed(enum kind kind)
{
	char *m = memory(kind, 4);

	name_range("m", m, 4);
	m[0] = 0x11;
	(void)*(volatile char *)(m + PAGE);
	m[3 * PAGE] = 0x14;
	return m;
}

static void child_reads(const char *what, const char *address)
{
	int status, ends[2];
	char text[80] = "";
	pid_t child;

	if (pipe(ends))
		give_up("pipe", -errno);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		const char *t = try_read(address);

		_exit(write(ends[1], t, strlen(t)) < 0);
	}
	close(ends[1]);
	waitpid(child, &status, 0);
	if (read(ends[0], text, sizeof(text) - 1) < 0)
		give_up("read", -errno);
	close(ends[0]);
	say_text(what, "%s, status %#x", text, (unsigned)status);
}

static void of_kind(enum kind kind)
{
	const char *k = kind_names[kind];
	int fd = uffd_new(RWP_ON), ends[2];
	char *m = mixed(kind), *n;
	struct job *job, *other;

	if (pipe(ends))
		give_up("pipe", -errno);
	must_register(fd, m, 4, RWP);
	say_pagemap(label("%s, before", k), m, 4);
	protect(fd, label("%s, protect", k), m, 4 * PAGE, PROTECT);
	say_pagemap(label("%s, protected", k), m, 4);
	say_scan(label("%s, scan", k), m, 4);
	say_accessed(label("%s, accessed", k), m, 4);
	say_mincore(label("%s, resident", k), m, 4);
	job = start_read("job", m + 0x10);
	say_message(fd, label("%s, read", k));
	say_range(fd, UFFDIO_WAKE, label("%s, WAKE", k), m, PAGE);
	say_message(fd, label("%s, read again", k));
	protect(fd, label("%s, unprotect without waking", k), m, PAGE, DONTWAKE);
	say_fdinfo(fd, label("%s, it waits", k));
	other = start_write("other", m, 0x21);
	say_finished(other, label("%s, another writes", k));
	say_range(fd, UFFDIO_WAKE, label("%s, WAKE", k), m, PAGE);
	say_finished(job, label("%s, job", k));
	job = start_write("job", m + 3 * PAGE, 0x22);
	say_message(fd, label("%s, write", k));
	protect(fd, label("%s, unprotect", k), m + 3 * PAGE, PAGE, 0);
	say_finished(job, label("%s, job", k));
	say_text(label("%s, an absent one", k), "%s", try_read(m + 2 * PAGE));
	say_pagemap(label("%s, then", k), m, 4);
	say(result(write(ends[1], m + PAGE, 1)), "%s, write(2) from it", k);
	say(result(write(ends[1], m, 1)), "%s, write(2) from an unprotected one", k);
	say_accessed(label("%s, accessed then", k), m, 4);

	protect(fd, label("%s, protect again", k), m, 4 * PAGE, PROTECT);
	mprotect(m, 4 * PAGE, PROT_NONE);
	say_text(label("%s, inaccessible", k), "%s", try_read(m));
	say_pagemap(label("%s, inaccessible, pagemap", k), m, 4);
	protect(fd, label("%s, unprotect the inaccessible", k), m, PAGE, 0);
	mprotect(m, 4 * PAGE, PROT_READ);
	say_pagemap(label("%s, read-only, pagemap", k), m, 4);
	say_text(label("%s, read-only, unprotected, write", k), "%s", try_write(m, 1));
	job = start_write("job", m + 3 * PAGE, 0x23);
	say_finished(job, label("%s, read-only, protected, write", k));
	mprotect(m, 4 * PAGE, RW);
	say_pagemap(label("%s, writable again, pagemap", k), m, 4);
	madvise(m, 2 * PAGE, MADV_DONTNEED);
	say_pagemap(label("%s, after MADV_DONTNEED", k), m, 4);
	say_bytes(label("%s, after MADV_DONTNEED, bytes", k), m, kind == ANON ? 2 : 0);
	do_protect(fd, UFFDIO_RWPROTECT, m, 4 * PAGE, PROTECT);
	child_reads(label("%s, a child reads", k), m + 3 * PAGE);
	n = mremap(m, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, memory(ANON, 4));
	say_pagemap(label("%s, moved", k), n, 4);
	say_bytes(label("%s, moved, bytes", k), n, 4);
	say_no_message(fd, label("%s, no message", k));

	/* Whoever waits at UNREGISTER waits on; close wakes. */
	m = mixed(kind);
	must_register(fd, m, 4, RWP);
	do_protect(fd, UFFDIO_RWPROTECT, m, 4 * PAGE, PROTECT);
	job = start_read("job", m);
	say_message(fd, label("%s, before UNREGISTER", k));
	say_range(fd, UFFDIO_UNREGISTER, label("%s, UNREGISTER", k), m, 4 * PAGE);
	say_fdinfo(fd, label("%s, it waits", k));
	say_pagemap(label("%s, unregistered", k), m, 4);
	close(fd);
	say_finished(job, label("%s, job", k));

	/* COPY and MOVE, and missing pages. */
	fd = uffd_new(RWP_ON);
	m = memory(kind, 4);
	name_range("m", m, 4);
	must_register(fd, m, 4, MISSING | RWP);
	job = start_read("job", m);
	say_message(fd, label("%s, missing", k));
	say(copy_byte(fd, m, 0x41, 0), "%s, COPY", k);
	say_finished(job, label("%s, job", k));
	say_transfer(fd, UFFDIO_COPY, label("%s, COPY with WP", k), m + PAGE, filled(1, 1), PAGE,
		     UFFDIO_COPY_MODE_WP);
	say_transfer(fd, UFFDIO_MOVE, label("%s, MOVE", k), m + PAGE, filled(1, 0x42), PAGE, 0);
	say_fill(fd, UFFDIO_ZEROPAGE, label("%s, ZEROPAGE", k), m + 2 * PAGE, PAGE, 0);
	say_pagemap(label("%s, then", k), m, 4);
	close(fd);
	say_pagemap(label("%s, after close", k), m, 4);
	close(ends[0]);
	close(ends[1]);
}

void uffd_area_rwp(void)
{
	for (enum kind kind = ANON; kind < FILLABLE; kind++)
		of_kind(kind);
}

/* ---- asynchronous ---- */

static void async_of(enum kind kind)
{
	const char *k = kind_names[kind];
	int fd = uffd_new(RWP_ON | ASYNC), ends[2];
	char *m = mixed(kind);

	if (pipe(ends))
		give_up("pipe", -errno);
	must_register(fd, m, 4, RWP);
	protect(fd, label("%s, protect", k), m, 4 * PAGE, PROTECT);
	say_pagemap(label("%s, protected", k), m, 4);
	say_accessed(label("%s, protected, accessed", k), m, 4);
	say_text(label("%s, read", k), "%s", try_read(m));
	say_text(label("%s, write", k), "%s", try_write(m + 3 * PAGE, 0x31));
	say_no_message(fd, label("%s, no message", k));
	say_pagemap(label("%s, then", k), m, 4);
	say_accessed(label("%s, then, accessed", k), m, 4);
	say(result(write(ends[1], m + PAGE, 1)), "%s, write(2) from it", k);
	say_pagemap(label("%s, after write(2)", k), m, 4);
	say_text(label("%s, write to the read one", k), "%s", try_write(m, 0x32));
	protect(fd, label("%s, protect again", k), m, 4 * PAGE, PROTECT);
	say_pagemap(label("%s, protected again", k), m, 4);
	close(fd);
	say_bytes(label("%s, after close", k), m, 4);
	close(ends[0]);
	close(ends[1]);
}

static void say_mode(int fd, const char *what, uint64_t enable, uint64_t disable)
{
	struct uffdio_set_mode a = {enable, disable};

	say(result(ioctl(fd, UFFDIO_SET_MODE, edge(sizeof(a), &a))), "%s", what);
}

void uffd_area_rwp_async(void)
{
	struct uffdio_set_mode a = {0, 0};
	int fd = uffd_new(0), on;
	struct job *job, *other;
	char *m;

	for (enum kind kind = ANON; kind < FILLABLE; kind++)
		async_of(kind);

	say(result(ioctl(fd, UFFDIO_SET_MODE, NOWHERE)), "SET_MODE, nowhere");
	say(result(ioctl(fd, UFFDIO_SET_MODE, edge(sizeof(a) - 1, &a))), "SET_MODE, a byte short");
	say(result(ioctl(fd, UFFDIO_SET_MODE, read_only(sizeof(a), &a))),
	    "SET_MODE, can't be written");
	say_mode(fd, "SET_MODE of nothing", 0, 0);
	say_mode(fd, "SET_MODE, enable without RWP", ASYNC, 0);
	say_mode(fd, "SET_MODE, disable without RWP", 0, ASYNC);
	for (unsigned bit = 0; bit < 64; bit++) {
		struct uffdio_set_mode enable = {1UL << bit, 0}, disable = {0, 1UL << bit};

		if (bit == 18)
			continue;
		if (result(ioctl(fd, UFFDIO_SET_MODE, &enable)) != -EINVAL ||
		    result(ioctl(fd, UFFDIO_SET_MODE, &disable)) != -EINVAL)
			say(bit, "SET_MODE, bit");
	}
	close(fd);
	fd = uffd_new(RWP_ON);
	on = uffd_new(RWP_ON | ASYNC);
	say_mode(fd, "SET_MODE, both", ASYNC, ASYNC);
	say_mode(fd, "SET_MODE, both and more", ASYNC | 1, ASYNC | 1);
	say_mode(on, "SET_MODE, disable", 0, ASYNC);
	say_fdinfo_api(on, "disabled, fdinfo");
	say_mode(on, "SET_MODE, disable again", 0, ASYNC);

	/* Enabling lets all go on who wait for this. */
	m = filled(4, 0x51);
	name_range("m", m, 4);
	must_register(fd, m, 4, MISSING | RWP);
	do_protect(fd, UFFDIO_RWPROTECT, m, 3 * PAGE, PROTECT);
	madvise(m + 3 * PAGE, PAGE, MADV_DONTNEED);
	job = start_read("job", m);
	say_message(fd, "a protected one");
	other = start_read("other", m + 3 * PAGE);
	say_message(fd, "a missing one");
	say_mode(fd, "SET_MODE, enable", ASYNC, 0);
	say_finished(job, "job");
	say_message(fd, "the missing one again");
	say(copy_byte(fd, m + 3 * PAGE, 0x61, 0), "COPY");
	say_finished(other, "other");
	say_fdinfo_api(fd, "enabled, fdinfo");
	say_text("read another", "%s", try_read(m + PAGE));
	say_mode(fd, "SET_MODE, disable", 0, ASYNC);
	job = start_read("job", m + 2 * PAGE);
	say_message(fd, "one that was protected all the time");
	protect(fd, "unprotect", m + 2 * PAGE, PAGE, 0);
	say_finished(job, "job");
	close(fd);
	close(on);
}
