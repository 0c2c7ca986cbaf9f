// SPDX-License-Identifier: BSD-3-Clause
/* COPY and ZEROPAGE: what they refuse and in which order, and what they leave behind. */
#include "uffd.h"

#define DONTWAKE UFFDIO_COPY_MODE_DONTWAKE
#define COPY_WP  UFFDIO_COPY_MODE_WP

static char *source;

static void copy(int fd, const char *what, void *to, const void *from, uint64_t length,
		 uint64_t mode)
{
	say_transfer(fd, UFFDIO_COPY, what, to, from, length, mode);
}

static void zero(int fd, const char *what, void *address, uint64_t length, uint64_t mode)
{
	say_fill(fd, UFFDIO_ZEROPAGE, what, address, length, mode);
}

/* Ranges that are no ranges; `call` makes a call on one. */
static void bad_ranges(const char *name, int fd, char *m,
		       void (*call)(int, const char *, void *, uint64_t))
{
	call(fd, label("%s unaligned", name), m + 1, PAGE);
	call(fd, label("%s, length unaligned", name), m, PAGE + 1);
	call(fd, label("%s, length 0", name), m, 0);
	call(fd, label("%s, length that wraps", name), m, -PAGE);
	call(fd, label("%s, all of user space and more", name), m, 1UL << 57);
	call(fd, label("%s in the kernel", name), (void *)(1UL << 63), PAGE);
	call(fd, label("%s beyond user space", name), (void *)(1UL << 57), PAGE);
	call(fd, label("%s where nothing is", name), (void *)0x7fffffffe000, PAGE);
	call(fd, label("%s at page 0", name), NULL, PAGE);
}

static void copy_to(int fd, const char *what, void *address, uint64_t length)
{
	copy(fd, what, address, source, length, 0);
}

static char *destination;

static void copy_from(int fd, const char *what, void *address, uint64_t length)
{
	copy(fd, what, destination, address, length, 0);
}

static void zero_to(int fd, const char *what, void *address, uint64_t length)
{
	zero(fd, what, address, length, 0);
}

static void copy_arguments(void)
{
	struct uffdio_copy a = {.len = PAGE};
	char *m = memory(ANON, 8), *plain = memory(ANON, 4), *locked = filled(4, 0x11);
	int fd = uffd_new(0), other = uffd_new(0);

	name_range("m", m, 8);
	must_register(fd, m, 4, MISSING);
	destination = m;
	bad_ranges("dst", fd, m, copy_to);
	bad_ranges("src", fd, source, copy_from);
	for (unsigned bit = 2; bit < 64; bit++)
		if (do_transfer(fd, UFFDIO_COPY, m, source, PAGE, 1UL << bit, NULL) != -EINVAL)
			copy(fd, label("mode bit %u", bit), m, source, PAGE, 1UL << bit);
	copy(fd, "mode 4", m, source, PAGE, 4);
	copy(fd, "WP without WP", m, source, PAGE, COPY_WP);
	copy(fd, "src nowhere", m, NOWHERE, PAGE, 0);
	copy(fd, "src null", m, NULL, PAGE, 0);
	copy(fd, "src unaligned at the end of addresses", m, (void *)-4095, PAGE, 0);
	mprotect(locked, PAGE, PROT_NONE);
	copy(fd, "src inaccessible", m, locked, PAGE, 0);
	copy(fd, "src half inaccessible", m, locked + PAGE - 0x800, PAGE, 0);
	copy(fd, "src becomes inaccessible", m, locked + PAGE, 4 * PAGE, 0);
	say_pagemap("which did", m, 4);
	madvise(m, 8 * PAGE, MADV_DONTNEED);

	copy(fd, "dst not registered", plain, source, PAGE, 0);
	copy(fd, "dst not mapped", plain - 2 * PAGE, source, PAGE, 0);
	copy(fd, "dst beyond what is registered", m + 4 * PAGE, source, PAGE, 0);
	copy(fd, "dst across the end", m + 3 * PAGE, source, 2 * PAGE, 0);
	copy(fd, "dst across the start", m - PAGE, source, 2 * PAGE, 0);
	say_pagemap("all these left", m, 8);
	must_register(fd, m + 4 * PAGE, 2, MISSING | WP);
	copy(fd, "dst across two registrations", m + 3 * PAGE, source, 2 * PAGE, 0);
	copy(fd, "WP across two registrations", m + 3 * PAGE, source, 2 * PAGE, COPY_WP);
	copy(other, "by another file", m + 3 * PAGE, source, PAGE, 0);

	/* Two errors at once show which is looked for first. */
	copy(fd, "bad mode, bad dst", m + 1, source, PAGE, 4);
	copy(fd, "bad mode, bad src", m, (void *)(1UL << 63), PAGE, 4);
	copy(fd, "bad mode, dst not registered", plain, source, PAGE, 4);
	copy(fd, "WP, dst not registered", plain, source, PAGE, COPY_WP);
	copy(fd, "WP without WP, src nowhere", m, NOWHERE, PAGE, COPY_WP);
	copy(fd, "src nowhere, dst not registered", plain, NOWHERE, PAGE, 0);
	copy(fd, "src nowhere, dst present", m + 3 * PAGE, NOWHERE, PAGE, 0);
	copy(fd, "src nowhere, dst across the end", m + 5 * PAGE, NOWHERE, 2 * PAGE, 0);
	copy(fd, "WP without WP, dst present", m + 3 * PAGE, source, PAGE, COPY_WP);

	say(result(ioctl(fd, UFFDIO_COPY, NOWHERE)), "nowhere");
	a.dst = (uintptr_t)m;
	a.src = (uintptr_t)source;
	say(result(ioctl(fd, UFFDIO_COPY, edge(sizeof(a) - 9, &a))), "nine bytes short");
	say(result(ioctl(fd, UFFDIO_COPY, edge(sizeof(a) - 8, &a))), "no room for the result");
	say_pagemap("done all the same", m, 1);
	a.mode = 4;
	say(result(ioctl(fd, UFFDIO_COPY, edge(sizeof(a) - 8, &a))), "no room, bad mode");
	a.mode = 0;
	a.dst += PAGE;
	say(result(ioctl(fd, UFFDIO_COPY, read_only(sizeof(a), &a))), "result can't be written");
	say_pagemap("done all the same, too", m, 2);
	close(fd);
	close(other);
}

static void copy_contents(enum kind kind)
{
	const char *k = kind_names[kind];
	char *m = memory(kind, 8);
	int fd = uffd_new(0);

	name_range("m", m, 8);
	must_register(fd, m, 8, MISSING);
	say_mincore(label("%s, resident before", k), m, 8);
	say_pagemap(label("%s, pagemap before", k), m, 8);
	say_scan(label("%s, scan before", k), m, 8);
	copy(fd, label("%s, two pages", k), m + PAGE, source, 2 * PAGE, 0);
	copy(fd, label("%s, again", k), m + PAGE, source, PAGE, 0);
	copy(fd, label("%s, absent and present", k), m, source + PAGE, 2 * PAGE, 0);
	copy(fd, label("%s, src unaligned", k), m + 3 * PAGE, source + 0x801, PAGE, 0);
	zero(fd, label("%s, zero of a present one", k), m, PAGE, 0);
	zero(fd, label("%s, zero", k), m + 4 * PAGE, PAGE, 0);
	copy(fd, label("%s, copy onto zero", k), m + 4 * PAGE, source, PAGE, 0);
	zero(fd, label("%s, zero again", k), m + 4 * PAGE, PAGE, 0);
	zero(fd, label("%s, zero of absent and present", k), m + 5 * PAGE, 2 * PAGE, 0);
	copy(fd, label("%s, src itself", k), m + 7 * PAGE, m + PAGE, PAGE, 0);
	copy(fd, label("%s, src absent itself", k), m + 7 * PAGE, m + 7 * PAGE, PAGE, 0);
	say_mincore(label("%s, resident after", k), m, 8);
	say_pagemap(label("%s, pagemap after", k), m, 8);
	say_scan(label("%s, scan after", k), m, 8);
	say_bytes(label("%s, contents", k), m, 8);
	say_bytes(label("%s, unaligned contents", k), m + 3 * PAGE + 0x7ff, 1);
	say_text(label("%s, write onto zero", k), "%s", try_write(m + 4 * PAGE, 0x99));
	say_pagemap(label("%s, pagemap after a write", k), m + 4 * PAGE, 1);
	madvise(m, 8 * PAGE, MADV_DONTNEED);
	say_pagemap(label("%s, after MADV_DONTNEED", k), m, 8);
	copy(fd, label("%s, copy after MADV_DONTNEED", k), m + PAGE, source, PAGE, 0);
	zero(fd, label("%s, zero after MADV_DONTNEED", k), m + 2 * PAGE, PAGE, 0);
	say_pagemap(label("%s, then", k), m, 8);

	/* Protections of the mapping don't count. */
	m = memory(kind, 4);
	must_register(fd, m, 4, MISSING);
	mprotect(m, 2 * PAGE, PROT_NONE);
	mprotect(m + 2 * PAGE, 2 * PAGE, PROT_READ);
	copy(fd, label("%s, inaccessible", k), m, source, PAGE, 0);
	zero(fd, label("%s, zero, inaccessible", k), m + PAGE, PAGE, 0);
	copy(fd, label("%s, read-only", k), m + 2 * PAGE, source, PAGE, 0);
	copy(fd, label("%s, inaccessible and read-only", k), m + PAGE, source, 2 * PAGE, 0);
	say_pagemap(label("%s, of protected", k), m, 4);
	mprotect(m, 4 * PAGE, RW);
	say_bytes(label("%s, of once protected", k), m, 3);

	m = memory(kind, 4);
	must_register(fd, m, 4, MISSING | WP);
	copy(fd, label("%s, with WP", k), m, source, 2 * PAGE, COPY_WP);
	say_pagemap(label("%s, protected", k), m, 4);
	/* Only the WP mode was registered: COPY works. */
	m = memory(kind, 4);
	must_register(fd, m, 4, WP);
	copy(fd, label("%s, registered for WP alone", k), m, source, PAGE, 0);
	zero(fd, label("%s, zero, registered for WP alone", k), m + PAGE, PAGE, 0);
	say_pagemap(label("%s, of that", k), m, 4);
	close(fd);
}

/* The pages of /dev/zero are all beyond its end. */
static void copy_to_zero(void)
{
	char *m = memory(ZERO_PRIVATE, 4);
	int fd = uffd_new(0);
	struct job *job;

	name_range("m", m, 4);
	must_register(fd, m, 4, MISSING);
	job = start_read("job", m);
	say_message(fd, "of /dev/zero");
	copy(fd, "to /dev/zero", m, source, PAGE, 0);
	copy(fd, "to /dev/zero, src nowhere", m, NOWHERE, PAGE, 0);
	zero(fd, "zero to /dev/zero", m, PAGE, 0);
	say_pagemap("of /dev/zero, pagemap", m, 4);
	say_fdinfo(fd, "of /dev/zero, still waits");
	close(fd);
	say_finished(job, "of /dev/zero, job after close");
	say_text("of /dev/zero, write", "%s", try_write(m, 0x11));
}

/* Shared pages that are there already, though not in this mapping; and ends of files. */
void uffd_area_copy_files(void)
{
	int file = memfd(4), fd = uffd_new(0);
	char *m = memory_of(file, 8), *alias = memory_of(file, 4);

	source = filled(8, 0x41);
	name_range("m", m, 8);
	must_register(fd, m, 8, MISSING);
	alias[0] = 0x21;
	alias[PAGE] = 0x22;
	say_pagemap("of another mapping's", m, 4);
	say_mincore("of another mapping's, resident", m, 4);
	copy(fd, "of another mapping's page", m, source, PAGE, 0);
	zero(fd, "zero of another mapping's page", m + PAGE, PAGE, 0);
	say_bytes("which reads", m, 2);
	copy(fd, "a page that nobody has", m + 2 * PAGE, source, PAGE, 0);
	zero(fd, "zero of a page that nobody has", m + 3 * PAGE, PAGE, 0);
	say_bytes("and shows elsewhere", alias, 4);
	copy(fd, "beyond the end", m + 4 * PAGE, source, PAGE, 0);
	zero(fd, "zero beyond the end", m + 4 * PAGE, PAGE, 0);
	copy(fd, "src nowhere, beyond the end", m + 4 * PAGE, NOWHERE, PAGE, 0);
	madvise(m, 4 * PAGE, MADV_REMOVE);
	say_bytes("after MADV_REMOVE, elsewhere", alias, 2);
	copy(fd, "across the end", m + 2 * PAGE, source, 4 * PAGE, 0);
	say_pagemap("then", m, 6);
	ftruncate(file, 0);
	say_pagemap("after ftruncate", m, 6);
	say_bytes("reads", m + 3 * PAGE, 2);
	copy(fd, "in an empty file", m, source, PAGE, 0);
	ftruncate(file, 2 * PAGE + 1);
	copy(fd, "the last, partial page", m + 2 * PAGE, source, PAGE, 0);
	copy(fd, "the page after it", m + 3 * PAGE, source, PAGE, 0);
	close(fd);
	munmap(alias, 4 * PAGE);

	/* A private mapping's pages are its own, whatever the file has. */
	fd = uffd_new(0);
	ftruncate(file, 0);
	ftruncate(file, 4 * PAGE);
	alias = memory_of(file, 4);
	m = mmap(NULL, 6 * PAGE, RW, MAP_PRIVATE, file, 0);
	name_range("m", m, 6);
	must_register(fd, m, 6, MISSING);
	alias[0] = 0x31;
	copy(fd, "private, a page that the file has", m, source, PAGE, 0);
	copy(fd, "private, one that it has not", m + PAGE, source, PAGE, 0);
	copy(fd, "private, beyond the end", m + 4 * PAGE, source, PAGE, 0);
	alias[2 * PAGE] = 0x32;
	zero(fd, "private, zero of a page that the file has", m + 2 * PAGE, PAGE, 0);
	say_bytes("private, reads", m, 3);
	say_bytes("private, the file", alias, 4);
	say_pagemap("private, pagemap", m, 4);
	close(file);
	close(fd);
}

void uffd_area_copy(void)
{
	source = filled(8, 0x41);
	copy_arguments();
	for (enum kind kind = ANON; kind < FILLABLE; kind++)
		copy_contents(kind);
	copy_to_zero();
}

void uffd_area_zeropage(void)
{
	struct uffdio_zeropage a = {.range.len = PAGE};
	char *m = memory(ANON, 8), *plain = memory(ANON, 4);
	int fd = uffd_new(0);

	name_range("m", m, 8);
	must_register(fd, m, 4, MISSING);
	bad_ranges("range", fd, m, zero_to);
	for (unsigned bit = 1; bit < 64; bit++)
		if (do_fill(fd, UFFDIO_ZEROPAGE, m, PAGE, 1UL << bit, NULL) != -EINVAL)
			zero(fd, label("mode bit %u", bit), m, PAGE, 1UL << bit);
	zero(fd, "mode 2", m, PAGE, 2);
	zero(fd, "not registered", plain, PAGE, 0);
	zero(fd, "not mapped", plain - 2 * PAGE, PAGE, 0);
	zero(fd, "across the end", m + 3 * PAGE, 2 * PAGE, 0);
	zero(fd, "bad mode, not registered", plain, PAGE, 2);
	zero(fd, "bad mode, unaligned", m + 1, PAGE, 2);
	say(result(ioctl(fd, UFFDIO_ZEROPAGE, NOWHERE)), "nowhere");
	a.range.start = (uintptr_t)m;
	say(result(ioctl(fd, UFFDIO_ZEROPAGE, edge(sizeof(a) - 9, &a))), "nine bytes short");
	say(result(ioctl(fd, UFFDIO_ZEROPAGE, edge(sizeof(a) - 8, &a))), "no room for the result");
	say_pagemap("done all the same", m, 2);
	a.range.start += PAGE;
	say(result(ioctl(fd, UFFDIO_ZEROPAGE, read_only(sizeof(a), &a))),
	    "result can't be written");
	say_pagemap("done all the same, too", m, 2);
	zero(fd, "DONTWAKE", m + 2 * PAGE, PAGE, UFFDIO_ZEROPAGE_MODE_DONTWAKE);
	say_scan("scan", m, 4);
	close(fd);
}

/* ---- what is registered in pieces, or again ---- */

static void in_pieces(enum kind kind)
{
	const char *k = kind_names[kind];
	int fd = uffd_new(0);
	char *m = memory(kind, 8);
	struct job *job;

	name_range("m", m, 8);
	must_register(fd, m + 4 * PAGE, 4, MISSING | WP);
	copy(fd, label("%s, across the border of the registered", k), m + 2 * PAGE, source,
	     4 * PAGE, 0);
	must_register(fd, m, 4, MISSING | WP);
	copy(fd, label("%s, across two registrations", k), m + 2 * PAGE, source, 4 * PAGE, COPY_WP);
	say_bytes(label("%s, where two met", k), m + 2 * PAGE, 4);
	copy(fd, label("%s, to the end", k), m + 6 * PAGE, source, 2 * PAGE, 0);
	/* Modes are not taken away by themselves. */
	must_register(fd, m, 8, WP);
	say_pagemap(label("%s, registered for WP alone later", k), m, 8);
	job = start_read("job", m);
	say_message(fd, label("%s, which was missing, and is", k));
	copy_byte(fd, m, 0x11, 0);
	say_finished(job, label("%s, job", k));
	say_protect(fd, UFFDIO_WRITEPROTECT, label("%s, protect", k), m, 2 * PAGE, 1);
	say_range(fd, UFFDIO_UNREGISTER, label("%s, UNREGISTER of a part", k), m, 3 * PAGE);
	say_text(label("%s, a write to it", k), "%s", try_write(m, 1));
	say_pagemap(label("%s, then", k), m, 8);
	/* What is protected stays so when a mode is added. */
	m = memory(kind, 4);
	name_range("m", m, 4);
	must_register(fd, m, 4, WP);
	copy(fd, label("%s, for WP alone", k), m, source, 2 * PAGE, COPY_WP);
	must_register(fd, m, 4, MISSING | WP);
	say_pagemap(label("%s, registered for both later", k), m, 4);
	job = start_read("job", m + 3 * PAGE);
	say_message(fd, label("%s, which is missing", k));
	copy_byte(fd, m + 3 * PAGE, 0x11, 0);
	say_finished(job, label("%s, job", k));
	job = start_write("job", m, 0x22);
	say_message(fd, label("%s, which is protected", k));
	do_protect(fd, UFFDIO_WRITEPROTECT, m, PAGE, 0);
	say_finished(job, label("%s, job", k));
	/* In the place of another one it isn't. */
	m = memory(kind, 4);
	must_register(fd, m, 4, MISSING);
	copy(fd, label("%s, for MISSING alone", k), m, source, PAGE, 0);
	must_register(fd, m, 4, WP);
	say_bytes(label("%s, registered for WP instead", k), m, 4);
	close(fd);
}

/* Mappings that follow each other are one if they are private. */
static void two_mappings(int flags, const char *k)
{
	int fd = uffd_new(0);
	char *m = memory(flags & MAP_SHARED ? SHARED : ANON, 8);

	if (mmap(m + 4 * PAGE, 4 * PAGE, RW, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	    MAP_FAILED)
		give_up("mmap", -errno);
	madvise(m, 8 * PAGE, MADV_NOHUGEPAGE);
	must_register(fd, m, 8, WP);
	copy(fd, label("%s, across two mappings", k), m + 2 * PAGE, source, 4 * PAGE, 0);
	copy(fd, label("%s, to the second", k), m + 6 * PAGE, source, 2 * PAGE, 0);
	say_bytes(label("%s, which reads", k), m, 8);
	close(fd);
}

/* Poison outlives registrations, and goes where the page goes. */
static void poison_stays(void)
{
	int fd = uffd_new(0);
	char *m = memory(ANON, 4), *n = memory(ANON, 4);

	must_register(fd, m, 4, WP);
	say_fill(fd, UFFDIO_POISON, "POISON for WP alone", m, 4 * PAGE, 0);
	say(result(madvise(m, PAGE, MADV_DONTNEED)), "MADV_DONTNEED of one");
	copy(fd, "COPY that ends early", m + PAGE, edge(PAGE, source), 2 * PAGE, 0);
	say_bytes("poisoned for WP alone", m, 4);
	must_register(fd, m, 4, MISSING | WP);
	say_range(fd, UFFDIO_UNREGISTER, "UNREGISTER of poison", m, 4 * PAGE);
	say(mremap(m, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, n) == n ? 0 : -errno,
	    "mremap of poison");
	say_bytes("poison that has moved", n, 4);
	say(result(madvise(n, 4 * PAGE, MADV_DONTNEED)), "MADV_DONTNEED of what has moved");
	say_bytes("no more", n, 4);
	close(fd);
}

void uffd_area_pieces(void)
{
	source = filled(8, 0x41);
	for (enum kind kind = ANON; kind < FILLABLE; kind++)
		in_pieces(kind);
	two_mappings(MAP_PRIVATE, "private");
	two_mappings(MAP_SHARED, "shared");
	poison_stays();
}
