// SPDX-License-Identifier: BSD-3-Clause
/* CONTINUE and minor faults; POISON; and the SIGBUS feature. */
#include <sys/wait.h>

#include "uffd.h"

#define CONTINUE_WP UFFDIO_CONTINUE_MODE_WP

static void resume(int fd, const char *what, void *address, uint64_t length, uint64_t mode)
{
	say_fill(fd, UFFDIO_CONTINUE, what, address, length, mode);
}

static void poison(int fd, const char *what, void *address, uint64_t length, uint64_t mode)
{
	say_fill(fd, UFFDIO_POISON, what, address, length, mode);
}

static void bad_arguments(unsigned long request, uint64_t known_modes)
{
	struct uffdio_zeropage a = {.range.len = PAGE};
	int file = memfd(8), fd = uffd_new(0);
	char *m = memory_of(file, 8), *alias = memory_of(file, 8), *plain = memory(ANON, 2);

	name_range("m", m, 8);
	fill(alias, 8, 0x41);
	must_register(fd, m, 4, MISSING | MINOR);
	say_fill(fd, request, "unaligned", m + 1, PAGE, 0);
	say_fill(fd, request, "length unaligned", m, PAGE + 1, 0);
	say_fill(fd, request, "length 0", m, 0, 0);
	say_fill(fd, request, "length that wraps", m, -PAGE, 0);
	say_fill(fd, request, "beyond user space", (void *)(1UL << 57), PAGE, 0);
	for (unsigned bit = 0; bit < 64; bit++)
		if (!(known_modes >> bit & 1) &&
		    do_fill(fd, request, m, PAGE, 1UL << bit, NULL) != -EINVAL)
			say_fill(fd, request, label("mode bit %u", bit), m, PAGE, 1UL << bit);
	say_fill(fd, request, "mode 4", m, PAGE, 4);
	say_fill(fd, request, "mode 4, unaligned", m + 1, PAGE, 4);
	say_fill(fd, request, "mode 4, not registered", plain, PAGE, 4);
	say_fill(fd, request, "not registered", plain, PAGE, 0);
	say_fill(fd, request, "not mapped", (void *)PAGE, PAGE, 0);
	say_fill(fd, request, "beyond what is registered", m + 4 * PAGE, PAGE, 0);
	say_fill(fd, request, "across the end", m + 3 * PAGE, 2 * PAGE, 0);
	say(result(ioctl(fd, request, NOWHERE)), "nowhere");
	a.range.start = (uintptr_t)m;
	say(result(ioctl(fd, request, edge(sizeof(a) - 9, &a))), "nine bytes short");
	say(result(ioctl(fd, request, edge(sizeof(a) - 8, &a))), "no room for the result");
	a.range.start += PAGE;
	say(result(ioctl(fd, request, read_only(sizeof(a), &a))), "result can't be written");
	say_pagemap("done all the same", m, 4);
	say_fill(fd, request, "present and absent", m + PAGE, 2 * PAGE, 0);
	say_fill(fd, request, "absent", m + 2 * PAGE, PAGE, 0);
	close(fd);
	close(file);
}

static void minor_of(bool private)
{
	const char *k = private ? "private" : "shared";
	int file = memfd(8), fd = uffd_new(0), flags = private ? MAP_PRIVATE : MAP_SHARED;
	char *m = mmap(NULL, 12 * PAGE, RW, flags, file, 0), *alias = memory_of(file, 8);
	struct job *job, *other;

	name_range("m", m, 12);
	must_register(fd, m, 12, MINOR);
	fill(alias, 4, 0x41);
	say_pagemap(label("%s, before", k), m, 8);
	job = start_read("job", m + 0x10);
	other = start_write("other", m + PAGE + 0x10, 0x51);
	say_messages(fd, label("%s, faults", k), 2);
	/* Between the fault and CONTINUE the page can be changed. */
	alias[0x10] = 0x61;
	resume(fd, label("%s, CONTINUE", k), m, PAGE, 0);
	say_finished(job, label("%s, read", k));
	resume(fd, label("%s, CONTINUE for the other", k), m + PAGE, PAGE, 0);
	say_finished(other, label("%s, write", k));
	say_text(label("%s, seen elsewhere", k), "%02x", alias[PAGE + 0x10]);
	say_pagemap(label("%s, then", k), m, 8);
	resume(fd, label("%s, again", k), m, PAGE, 0);
	resume(fd, label("%s, present and not", k), m + PAGE, 2 * PAGE, 0);
	resume(fd, label("%s, in the file and not", k), m + 3 * PAGE, 2 * PAGE, 0);
	resume(fd, label("%s, not in the file", k), m + 4 * PAGE, PAGE, 0);
	resume(fd, label("%s, beyond the end", k), m + 8 * PAGE, PAGE, 0);
	say_text(label("%s, read of one not in the file", k), "%s", try_read(m + 5 * PAGE));
	say_text(label("%s, write to one not in the file", k), "%s", try_write(m + 6 * PAGE, 1));
	say_mincore(label("%s, the file", k), alias, 8);
	say_no_message(fd, label("%s, without a message", k));
	resume(fd, label("%s, WP without WP", k), m + 2 * PAGE, PAGE, CONTINUE_WP);
	resume(fd, label("%s, WP without WP, not in the file", k), m + 4 * PAGE, PAGE, CONTINUE_WP);

	job = start_read("job", m + 2 * PAGE);
	say_message(fd, label("%s, a third", k));
	resume(fd, label("%s, without waking", k), m + 2 * PAGE, PAGE,
	       UFFDIO_CONTINUE_MODE_DONTWAKE);
	say_fdinfo(fd, label("%s, it waits", k));
	say_range(fd, UFFDIO_WAKE, label("%s, WAKE", k), m + 2 * PAGE, PAGE);
	say_finished(job, label("%s, job", k));
	madvise(m, PAGE, MADV_DONTNEED);
	job = start_read("job", m);
	say_message(fd, label("%s, after MADV_DONTNEED", k));
	say(copy_byte(fd, m, 0x71, 0), "%s, COPY", k);
	/* A private mapping takes the copy as its own; a shared one has the page already. */
	if (!private)
		resume(fd, label("%s, CONTINUE", k), m, PAGE, 0);
	say_finished(job, label("%s, job", k));
	/* Nobody is woken by UNREGISTER of this mode. */
	madvise(m, PAGE, MADV_DONTNEED);
	job = start_read("job", m);
	say_message(fd, label("%s, before UNREGISTER", k));
	say_range(fd, UFFDIO_UNREGISTER, label("%s, UNREGISTER", k), m, 8 * PAGE);
	say_fdinfo(fd, label("%s, it waits", k));
	close(fd);
	say_finished(job, label("%s, job after close", k));

	fd = uffd_new(0);
	m = mmap(NULL, 8 * PAGE, RW, flags, file, 0);
	name_range("m", m, 8);
	must_register(fd, m, 8, MISSING | WP | MINOR);
	job = start_write("job", m, 0x52);
	say_message(fd, label("%s, all modes, in the file", k));
	resume(fd, label("%s, CONTINUE with WP", k), m, PAGE, CONTINUE_WP);
	say_message(fd, label("%s, then", k));
	say_protect(fd, UFFDIO_WRITEPROTECT, label("%s, unprotect", k), m, PAGE, 0);
	say_finished(job, label("%s, job", k));
	job = start_write("job", m + 7 * PAGE, 0x53);
	say_message(fd, label("%s, all modes, not in the file", k));
	resume(fd, label("%s, CONTINUE", k), m + 7 * PAGE, PAGE, 0);
	say(copy_byte(fd, m + 7 * PAGE, 0x72, 0), "%s, COPY", k);
	say_finished(job, label("%s, job", k));
	say_protect(fd, UFFDIO_WRITEPROTECT, label("%s, protect", k), m, 3 * PAGE, 1);
	say_pagemap(label("%s, protected", k), m, 8);
	job = start_write("job", m + PAGE, 0x54);
	say_message(fd, label("%s, protected, not mapped", k));
	resume(fd, label("%s, CONTINUE", k), m + PAGE, PAGE, 0);
	say_finished(job, label("%s, job", k));
	say_pagemap(label("%s, then", k), m, 8);
	close(fd);
	close(file);
}

/* What a message says of where and by whom, for the other reasons as for a missing page. */
static void exact_places(void)
{
	int file = memfd(2), fd = uffd_new(UFFD_FEATURE_EXACT_ADDRESS | UFFD_FEATURE_THREAD_ID);
	char *m = memory_of(file, 2), *alias = memory_of(file, 2);
	struct job *job, *other;

	name_range("m", m, 2);
	fill(alias, 2, 0x41);
	must_register(fd, m, 2, MINOR | WP);
	job = start_read("a", m + 0x123);
	other = start_write("b", m + PAGE + 0xfff, 1);
	say_messages(fd, "exact, minor", 2);
	resume(fd, "exact, CONTINUE with WP", m, 2 * PAGE, CONTINUE_WP);
	say_finished(job, "exact, a");
	say_message(fd, "exact, protected");
	say_protect(fd, UFFDIO_WRITEPROTECT, "exact, unprotect", m + PAGE, PAGE, 0);
	say_finished(other, "exact, b");
	close(fd);
	close(file);
}

void uffd_area_minor(void)
{
	char *m = memory(ANON, 2), *n = memory(MEMFD, 2);
	int fd = uffd_new(0);

	bad_arguments(UFFDIO_CONTINUE, 3);
	exact_places();
	minor_of(false);
	minor_of(true);
	must_register(fd, m, 2, MISSING | WP);
	resume(fd, "anon", m, PAGE, 0);
	resume(fd, "anon, present", filled(1, 1), PAGE, 0);
	must_register(fd, n, 2, MISSING);
	n = memory(MEMFD, 2);
	n[0] = 0x11;
	madvise(n, PAGE, MADV_DONTNEED);
	must_register(fd, n, 2, MISSING);
	resume(fd, "registered for MISSING", n, PAGE, 0);
	say_pagemap("then", n, 2);
	mprotect(n, PAGE, PROT_NONE);
	madvise(n, PAGE, MADV_DONTNEED);
	resume(fd, "inaccessible", n, PAGE, 0);
	mprotect(n, PAGE, RW);
	say_bytes("which reads", n, 1);
	close(fd);
}

/* ---- POISON ---- */

static void child_reads(const char *what, char *address)
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

static void poison_of(enum kind kind)
{
	const char *k = kind_names[kind];
	char *m = memory(kind, 8), *n;
	int fd = uffd_new(0), ends[2];
	struct job *job;

	if (pipe(ends))
		give_up("pipe", -errno);
	name_range("m", m, 8);
	must_register(fd, m, 8, MISSING | WP);
	poison(fd, label("%s, absent", k), m, 2 * PAGE, 0);
	poison(fd, label("%s, again", k), m, PAGE, 0);
	say_pagemap(label("%s, poisoned", k), m, 4);
	say_scan(label("%s, scan", k), m, 4);
	say_mincore(label("%s, resident", k), m, 4);
	say_text(label("%s, read", k), "%s", try_read(m + 0x123));
	say_text(label("%s, write", k), "%s", try_write(m + 0x124, 1));
	say(result(write(ends[1], m, 1)), "%s, write(2) from it", k);
	say(result(write(ends[1], "x", 1)), "%s, write(2)", k);
	say(result(read(ends[0], m, 1)), "%s, read(2) to it", k);
	copy_byte(fd, m + 2 * PAGE, 0x41, 0);
	poison(fd, label("%s, present", k), m + 2 * PAGE, PAGE, 0);
	poison(fd, label("%s, absent and poisoned and present", k), m + 3 * PAGE, 4 * PAGE, 0);
	say_fill(fd, UFFDIO_ZEROPAGE, label("%s, ZEROPAGE over it", k), m, PAGE, 0);
	say(copy_byte(fd, m + PAGE, 0x42, 0), "%s, COPY over it", k);
	say_text(label("%s, read of the copy", k), "%s", try_read(m + PAGE));
	say_pagemap(label("%s, then", k), m, 8);
	child_reads(label("%s, a child reads it", k), m + 4 * PAGE);
	say_protect(fd, UFFDIO_WRITEPROTECT, label("%s, protect it", k), m + 4 * PAGE, PAGE, 1);
	say_pagemap(label("%s, protected", k), m + 4 * PAGE, 2);
	say_text(label("%s, read of the protected", k), "%s", try_read(m + 4 * PAGE));
	say_protect(fd, UFFDIO_WRITEPROTECT, label("%s, unprotect it", k), m + 4 * PAGE, PAGE, 0);
	mprotect(m + 4 * PAGE, PAGE, PROT_NONE);
	say_text(label("%s, read where inaccessible", k), "%s", try_read(m + 4 * PAGE));
	mprotect(m + 4 * PAGE, PAGE, RW);
	say_text(label("%s, and accessible again", k), "%s", try_read(m + 4 * PAGE));
	madvise(m + 4 * PAGE, PAGE, MADV_DONTNEED);
	job = start_read("job", m + 4 * PAGE);
	/* Shared memory keeps it. */
	if (kind == ANON || kind == MEMFD_PRIVATE) {
		say_message(fd, label("%s, after MADV_DONTNEED", k));
		poison(fd, label("%s, without waking", k), m + 4 * PAGE, PAGE,
		       UFFDIO_POISON_MODE_DONTWAKE);
		say_fdinfo(fd, label("%s, it waits", k));
		say_range(fd, UFFDIO_WAKE, label("%s, WAKE", k), m + 4 * PAGE, PAGE);
	}
	say_finished(job, label("%s, read after MADV_DONTNEED", k));
	say_pagemap(label("%s, after it", k), m + 4 * PAGE, 2);
	job = start_read("job", m + 7 * PAGE + 0x77);
	say_message(fd, label("%s, a fault", k));
	poison(fd, label("%s, POISON", k), m + 7 * PAGE, PAGE, 0);
	say_finished(job, label("%s, job", k));
	n = mremap(m + 4 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   memory(ANON, 2));
	name_range("n", n, 2);
	say_text(label("%s, moved, read", k), "%s", try_read(n));
	say_range(fd, UFFDIO_UNREGISTER, label("%s, UNREGISTER", k), m, 8 * PAGE);
	say_text(label("%s, read after UNREGISTER", k), "%s", try_read(m + 7 * PAGE));
	say_pagemap(label("%s, after UNREGISTER", k), m + 6 * PAGE, 2);
	say_scan(label("%s, after UNREGISTER, scan", k), m + 6 * PAGE, 2);
	must_register(fd, m + 6 * PAGE, 2, MISSING);
	say(copy_byte(fd, m + 7 * PAGE, 0x43, 0), "%s, COPY over it", k);
	close(fd);
	close(ends[0]);
	close(ends[1]);
}

void uffd_area_poison(void)
{
	bad_arguments(UFFDIO_POISON, 1);
	for (enum kind kind = ANON; kind < FILLABLE; kind++)
		poison_of(kind);
}

/* ---- SIGBUS instead of messages ---- */

static void sigbus_of(enum kind kind)
{
	const char *k = kind_names[kind];
	int fd = uffd_new(UFFD_FEATURE_SIGBUS), ends[2];
	char *m = memory(kind, 4);

	if (pipe(ends))
		give_up("pipe", -errno);
	name_range("m", m, 4);
	must_register(fd, m, 4, MISSING | WP);
	say_text(label("%s, read", k), "%s", try_read(m + 0x123));
	say_text(label("%s, write", k), "%s", try_write(m + 0x456, 1));
	say(result(write(ends[1], m, 1)), "%s, write(2) from it", k);
	say(result(write(ends[1], "x", 1)), "%s, write(2)", k);
	say(result(read(ends[0], m, 1)), "%s, read(2) to it", k);
	say(result(read(ends[0], &(char){0}, 1)), "%s, which took nothing", k);
	say(copy_byte(fd, m, 0x41, UFFDIO_COPY_MODE_WP), "%s, COPY with WP", k);
	say_text(label("%s, read of the copy", k), "%s", try_read(m));
	say_text(label("%s, write to the copy", k), "%s", try_write(m + 0x789, 1));
	say_protect(fd, UFFDIO_WRITEPROTECT, label("%s, unprotect", k), m, PAGE, 0);
	say_text(label("%s, write then", k), "%s", try_write(m, 1));
	say_no_message(fd, label("%s, no message", k));
	say_range(fd, UFFDIO_UNREGISTER, label("%s, UNREGISTER", k), m, 4 * PAGE);
	say_text(label("%s, read after it", k), "%s", try_read(m + PAGE));
	close(fd);
	close(ends[0]);
	close(ends[1]);
}

void uffd_area_sigbus(void)
{
	int file = memfd(2), fd = uffd_new(UFFD_FEATURE_SIGBUS | UFFD_FEATURE_EXACT_ADDRESS);
	char *m = memory_of(file, 4), *alias = memory_of(file, 2);

	for (enum kind kind = ANON; kind < FILLABLE; kind++)
		sigbus_of(kind);
	name_range("m", m, 4);
	must_register(fd, m, 4, MISSING | MINOR);
	alias[0] = 0x31;
	say_text("minor, read", "%s", try_read(m + 0x11));
	resume(fd, "minor, CONTINUE", m, PAGE, 0);
	say_text("minor, read then", "%s", try_read(m));
	say_text("minor, not in the file", "%s", try_read(m + PAGE + 0x11));
	say_text("minor, beyond the file", "%s", try_read(m + 2 * PAGE + 0x11));
	close(fd);
	close(file);
}
