// SPDX-License-Identifier: BSD-3-Clause
/* Write protection: WRITEPROTECT, its faults, what keeps and what loses it. */
#include <sys/wait.h>

#include "uffd.h"

#define PROTECT         UFFDIO_WRITEPROTECT_MODE_WP
#define DONTWAKE        UFFDIO_WRITEPROTECT_MODE_DONTWAKE
#define FOR_KINDS(kind) for (enum kind kind = ANON; kind < FILLABLE; kind++)

static void protect(int fd, const char *what, void *address, uint64_t length, uint64_t mode)
{
	say_protect(fd, UFFDIO_WRITEPROTECT, what, address, length, mode);
}

void uffd_area_wp_arguments(void)
{
	struct uffdio_writeprotect a = {.mode = PROTECT};
	char *m = memory(ANON, 12);
	int fd = uffd_new(0), other = uffd_new(0);

	name_range("m", m, 12);
	fill(m, 12, 1);
	must_register(fd, m, 4, WP);
	must_register(fd, m + 4 * PAGE, 4, MISSING);
	protect(fd, "unaligned", m + 1, PAGE, PROTECT);
	protect(fd, "length unaligned", m, PAGE + 1, PROTECT);
	protect(fd, "length 0", m, 0, PROTECT);
	protect(fd, "length that wraps", m, -PAGE, PROTECT);
	protect(fd, "beyond user space", (void *)(1UL << 57), PAGE, PROTECT);
	protect(fd, "page 0", NULL, PAGE, PROTECT);
	for (unsigned mode = 0; mode < 8; mode++)
		protect(fd, label("mode %u", mode), m, PAGE, mode);
	for (unsigned bit = 2; bit < 64; bit++)
		if (do_protect(fd, UFFDIO_WRITEPROTECT, m, PAGE, PROTECT | 1UL << bit) != -EINVAL)
			protect(fd, label("mode bit %u", bit), m, PAGE, 1UL << bit);
	say_pagemap("after the modes", m, 2);
	protect(fd, "bad mode and bad range", m + 1, PAGE, 4);
	protect(fd, "bad mode and not registered", m + 8 * PAGE, PAGE, 4);
	protect(fd, "registered for MISSING", m + 4 * PAGE, PAGE, PROTECT);
	protect(fd, "not registered", m + 8 * PAGE, PAGE, PROTECT);
	protect(fd, "not registered, to unprotect", m + 8 * PAGE, PAGE, 0);
	protect(fd, "not mapped", (void *)PAGE, PAGE, PROTECT);
	protect(fd, "across the end of WP", m, 8 * PAGE, PROTECT);
	say_pagemap("which left", m, 8);
	protect(fd, "across its start", m - PAGE, 2 * PAGE, 0);
	say_pagemap("which left", m, 4);
	protect(other, "by another file", m, PAGE, 0);
	say_pagemap("which left", m, 4);
	munmap(m + 2 * PAGE, PAGE);
	protect(fd, "with a hole", m, 4 * PAGE, PROTECT);
	protect(fd, "a hole alone", m + 2 * PAGE, PAGE, PROTECT);
	protect(fd, "from a hole on", m + 2 * PAGE, 2 * PAGE, 0);
	say(result(ioctl(fd, UFFDIO_WRITEPROTECT, NOWHERE)), "nowhere");
	a.range = (struct uffdio_range){(uintptr_t)m, PAGE};
	say(result(ioctl(fd, UFFDIO_WRITEPROTECT, edge(sizeof(a) - 1, &a))), "a byte short");
	say(result(ioctl(fd, UFFDIO_WRITEPROTECT, read_only(sizeof(a), &a))), "can't be written");
	close(fd);
	close(other);
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

static void pages(enum kind kind, uint64_t features)
{
	char k[64];
	int fd = uffd_new(features);
	char *m = mixed(kind);

	snprintf(k, sizeof(k), "%s, features %#lx", kind_names[kind], (unsigned long)features);
	must_register(fd, m, 4, WP);
	say_pagemap(label("%s, before", k), m, 4);
	say_scan(label("%s, scan before", k), m, 4);
	protect(fd, label("%s, protect", k), m, 4 * PAGE, PROTECT);
	say_pagemap(label("%s, protected", k), m, 4);
	say_mincore(label("%s, protected, resident", k), m, 4);
	say_scan(label("%s, scan of protected", k), m, 4);
	say_bytes(label("%s, reads", k), m, 4);
	say_pagemap(label("%s, after reads", k), m, 4);
	protect(fd, label("%s, protect again", k), m, 4 * PAGE, PROTECT);
	say_pagemap(label("%s, protected again", k), m, 4);
	protect(fd, label("%s, unprotect", k), m + PAGE, 2 * PAGE, 0);
	say_pagemap(label("%s, unprotected", k), m, 4);
	mprotect(m, 4 * PAGE, PROT_READ);
	say_pagemap(label("%s, read-only", k), m, 4);
	mprotect(m, 4 * PAGE, PROT_NONE);
	say_pagemap(label("%s, inaccessible", k), m, 4);
	mprotect(m, 4 * PAGE, RW);
	say_pagemap(label("%s, writable again", k), m, 4);
	madvise(m, 4 * PAGE, MADV_DONTNEED);
	say_pagemap(label("%s, after MADV_DONTNEED", k), m, 4);
	protect(fd, label("%s, protect what is gone", k), m, 4 * PAGE, PROTECT);
	say_pagemap(label("%s, then", k), m, 4);
	say_scan(label("%s, scan then", k), m, 4);
	madvise(m, 2 * PAGE, MADV_DONTNEED);
	say_pagemap(label("%s, after MADV_DONTNEED of that", k), m, 4);
	say(copy_byte(fd, m + 2 * PAGE, 0x31, 0), "%s, COPY to a protected absent one", k);
	say(copy_byte(fd, m + 3 * PAGE, 0x32, UFFDIO_COPY_MODE_WP), "%s, COPY with WP", k);
	say_pagemap(label("%s, then", k), m, 4);
	close(fd);
	say_pagemap(label("%s, after close", k), m, 4);
	say_text(label("%s, write after close", k), "%s", try_write(m + 3 * PAGE, 1));
}

static void faults(enum kind kind, uint64_t features)
{
	char k[64];
	int fd = uffd_new(features);
	char *m = mixed(kind);
	struct job *job, *other;

	snprintf(k, sizeof(k), "%s, features %#lx", kind_names[kind], (unsigned long)features);
	must_register(fd, m, 4, WP);
	protect(fd, label("%s, protect", k), m, 4 * PAGE, PROTECT);
	job = start_write("job", m + 0x10, 0x21);
	say_message(fd, label("%s, a written page", k));
	say_text(label("%s, read meanwhile", k), "%s", try_read(m + 0x10));
	protect(fd, label("%s, protect meanwhile", k), m, PAGE, PROTECT);
	say_fdinfo(fd, label("%s, it waits", k));
	protect(fd, label("%s, unprotect", k), m, PAGE, 0);
	say_finished(job, label("%s, job", k));
	say_pagemap(label("%s, then", k), m, 4);
	say_text(label("%s, write again", k), "%s", try_write(m, 0x22));

	job = start_write("job", m + PAGE, 0x23);
	say_message(fd, label("%s, a page only read", k));
	protect(fd, label("%s, unprotect without waking", k), m + PAGE, PAGE, DONTWAKE);
	say_fdinfo(fd, label("%s, it waits", k));
	other = start_write("other", m + PAGE + 1, 0x24);
	say_finished(other, label("%s, another writes", k));
	say_range(fd, UFFDIO_WAKE, label("%s, WAKE", k), m + PAGE, PAGE);
	say_finished(job, label("%s, job", k));

	/* Woken for nothing it faults again. */
	job = start_write("job", m + 3 * PAGE, 0x25);
	other = start_write("other", m + 3 * PAGE + 1, 0x26);
	say_messages(fd, label("%s, two", k), 2);
	say_range(fd, UFFDIO_WAKE, label("%s, WAKE", k), m + 3 * PAGE, PAGE);
	say_messages(fd, label("%s, two again", k), 2);
	protect(fd, label("%s, unprotect all", k), m, 4 * PAGE, 0);
	say_finished(job, label("%s, job", k));
	say_finished(other, label("%s, other", k));
	say_no_message(fd, label("%s, no more", k));

	/* Protected while it was absent. */
	madvise(m, 4 * PAGE, MADV_DONTNEED);
	protect(fd, label("%s, protect absent ones", k), m, 4 * PAGE, PROTECT);
	job = start_write("job", m + 2 * PAGE, 0x27);
	if (kind == SHARED || kind == MEMFD || kind == MEMFD_PRIVATE || features) {
		say_message(fd, label("%s, an absent one", k));
		protect(fd, label("%s, unprotect", k), m + 2 * PAGE, PAGE, 0);
	}
	say_finished(job, label("%s, job", k));
	say_bytes(label("%s, bytes", k), m, 4);

	/* UNREGISTER wakes nobody who waits for the protection alone; WAKE does still. */
	protect(fd, label("%s, protect", k), m, 4 * PAGE, PROTECT);
	job = start_write("job", m + 2 * PAGE, 0x28);
	say_message(fd, label("%s, before UNREGISTER", k));
	say_range(fd, UFFDIO_UNREGISTER, label("%s, UNREGISTER", k), m, 4 * PAGE);
	say_fdinfo(fd, label("%s, it waits", k));
	say_range(fd, UFFDIO_WAKE, label("%s, WAKE", k), m, 4 * PAGE);
	say_finished(job, label("%s, job", k));
	must_register(fd, m, 4, WP);
	protect(fd, label("%s, protect", k), m, 4 * PAGE, PROTECT);
	job = start_write("job", m + 2 * PAGE, 0x29);
	say_message(fd, label("%s, before close", k));
	close(fd);
	say_finished(job, label("%s, job", k));
}

/* Missing and protected at once: which is told first. */
static void both(enum kind kind)
{
	char k[64];
	char *m = memory(kind, 4);
	int fd = uffd_new(0);
	struct job *job;

	snprintf(k, sizeof(k), "%s, both modes", kind_names[kind]);
	name_range("m", m, 4);
	must_register(fd, m, 4, MISSING | WP);
	protect(fd, label("%s, protect", k), m, 4 * PAGE, PROTECT);
	say_pagemap(label("%s, protected", k), m, 4);
	job = start_write("job", m, 0x31);
	say_message(fd, label("%s, write", k));
	say(copy_byte(fd, m, 0x41, UFFDIO_COPY_MODE_WP), "%s, COPY with WP", k);
	say_message(fd, label("%s, then", k));
	say_pagemap(label("%s, meanwhile", k), m, 4);
	protect(fd, label("%s, unprotect", k), m, PAGE, 0);
	say_finished(job, label("%s, job", k));
	job = start_read("job", m + PAGE);
	say_message(fd, label("%s, read", k));
	say(copy_byte(fd, m + PAGE, 0x42, 0), "%s, COPY", k);
	say_finished(job, label("%s, job", k));
	say_pagemap(label("%s, copied", k), m, 4);
	say_text(label("%s, write to the copied", k), "%s", try_write(m + PAGE, 0x43));
	say_fill(fd, UFFDIO_ZEROPAGE, label("%s, ZEROPAGE", k), m + 2 * PAGE, PAGE, 0);
	say_fill(fd, UFFDIO_POISON, label("%s, POISON", k), m + 3 * PAGE, PAGE, 0);
	say_pagemap(label("%s, then", k), m, 4);
	close(fd);
}

static void child_writes(const char *what, char *address)
{
	int status, ends[2];
	char text[80] = "";
	pid_t child;

	if (pipe(ends))
		give_up("pipe", -errno);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		const char *t = try_write(address, 0x61);

		_exit(write(ends[1], t, strlen(t)) < 0);
	}
	close(ends[1]);
	waitpid(child, &status, 0);
	if (read(ends[0], text, sizeof(text) - 1) < 0)
		give_up("read", -errno);
	close(ends[0]);
	say_text(what, "%s, status %#x", text, (unsigned)status);
}

void uffd_area_wp_pages(void)
{
	FOR_KINDS(kind)
	{
		pages(kind, 0);
		pages(kind, UFFD_FEATURE_WP_UNPOPULATED);
	}
}

void uffd_area_wp_faults(void)
{
	FOR_KINDS(kind)
	{
		faults(kind, 0);
		faults(kind, UFFD_FEATURE_WP_UNPOPULATED);
		both(kind);
	}
	/* What moves away or into another process is free. */
	FOR_KINDS(kind)
	{
		const char *k = kind_names[kind];
		int fd = uffd_new(0);
		char *m = mixed(kind), *n;

		must_register(fd, m, 4, WP);
		protect(fd, label("%s, protect", k), m, 4 * PAGE, PROTECT);
		child_writes(label("%s, a child writes", k), m);
		say_pagemap(label("%s, after the child", k), m, 4);
		n = mremap(m, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, memory(ANON, 4));
		say_pagemap(label("%s, moved", k), n, 4);
		say_text(label("%s, write to the moved", k), "%s", try_write(n, 0x71));
		say_no_message(fd, label("%s, no message", k));
		close(fd);
	}
}

/* ---- asynchronous ---- */

static void async(enum kind kind)
{
	const char *k = kind_names[kind];
	int fd = uffd_new(UFFD_FEATURE_WP_ASYNC);
	char *m = mixed(kind), *n;

	must_register(fd, m, 4, WP);
	protect(fd, label("%s, protect", k), m, 4 * PAGE, PROTECT);
	say_pagemap(label("%s, protected", k), m, 4);
	say_scan(label("%s, scan of protected", k), m, 4);
	say_text(label("%s, write", k), "%s", try_write(m, 0x21));
	say_text(label("%s, write to an absent one", k), "%s", try_write(m + 2 * PAGE, 0x22));
	say_text(label("%s, read", k), "%s", try_read(m + 3 * PAGE));
	say_no_message(fd, label("%s, no message", k));
	say_pagemap(label("%s, written", k), m, 4);
	say_scan(label("%s, scan of written", k), m, 4);
	madvise(m, PAGE, MADV_DONTNEED);
	madvise(m + 3 * PAGE, PAGE, MADV_DONTNEED);
	say_pagemap(label("%s, after MADV_DONTNEED", k), m, 4);
	say_scan(label("%s, scan after MADV_DONTNEED", k), m, 4);
	protect(fd, label("%s, protect again", k), m, 4 * PAGE, PROTECT);
	{
		char byte = 0x55;
		int ends[2];

		if (pipe(ends) || write(ends[1], &byte, 1) != 1)
			give_up("pipe", -errno);
		say(result(read(ends[0], m + 2 * PAGE, 1)), "%s, read(2) to it", k);
		say_pagemap(label("%s, then", k), m, 4);
		close(ends[0]);
		close(ends[1]);
	}
	n = mremap(m, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, memory(ANON, 4));
	say_pagemap(label("%s, moved", k), n, 4);
	close(fd);

	/* A missing page is told of all the same, if that was asked for. */
	fd = uffd_new(UFFD_FEATURE_WP_ASYNC);
	m = memory(kind, 2);
	name_range("m", m, 2);
	must_register(fd, m, 2, MISSING | WP);
	protect(fd, label("%s, protect missing ones", k), m, 2 * PAGE, PROTECT);
	{
		struct job *job = start_write("job", m, 0x31);

		say_message(fd, label("%s, a missing one", k));
		say(copy_byte(fd, m, 0x41, UFFDIO_COPY_MODE_WP), "%s, COPY with WP", k);
		say_finished(job, label("%s, job", k));
	}
	say_pagemap(label("%s, then", k), m, 2);
	close(fd);
}

void uffd_area_wp_async(void)
{
	int file = plain_file(), fd = uffd_new(UFFD_FEATURE_WP_ASYNC);
	char *m;

	FOR_KINDS(kind)
	async(kind);
	/* Memory of any file. */
	m = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, file, 0);
	name_range("m", m, 4);
	must_register(fd, m, 4, WP);
	m[0] = 0x11;
	protect(fd, "file, protect", m, 4 * PAGE, PROTECT);
	say_text("file, write", "%s", try_write(m, 0x12));
	say_text("file, write to an absent one", "%s", try_write(m + PAGE, 0x13));
	say_text("file, written", "%02x %02x", m[0], m[PAGE]);
	say_range(fd, UFFDIO_UNREGISTER, "file, UNREGISTER", m, 4 * PAGE);
	close(fd);
	close(file);
}
