// SPDX-License-Identifier: BSD-3-Clause
/*
 * Memory of huge pages: alignment, what is not to be had of it, and faults.  Huge pages are
 * reserved here where none are; where that can't be, the area says so alone.  Tests that need some
 * have a lock on them, one at a time.
 */
#include <fcntl.h>
#include <sys/file.h>

#include "uffd.h"

#define HUGE   (2UL << 20)
#define ENOUGH 16

static char *m;

static const char pool[] = "/proc/sys/vm/nr_hugepages";

/* How many huge pages the system keeps, in all. */
static unsigned long reserved(void)
{
	unsigned long pages = 0;
	FILE *f = fopen(pool, "r");

	if (f && fscanf(f, "%lu", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages;
}

static void reserve(unsigned long pages)
{
	FILE *f = fopen(pool, "w");

	if (f) {
		fprintf(f, "%lu\n", pages);
		fclose(f);
	}
}

static char *huge(int flags, unsigned pages)
{
	char *at = mmap(NULL, pages * HUGE, RW, flags | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (at == MAP_FAILED)
		give_up("mmap of huge pages", -errno);
	return at;
}

static void say_places(const char *what, struct uffd_msg message)
{
	uintptr_t offset = (uintptr_t)message.arg.pagefault.address - (uintptr_t)m;

	say_text(what, "event %#x, flags %#lx, huge page %lu and %#lx", message.event,
		 (unsigned long)message.arg.pagefault.flags, (unsigned long)(offset / HUGE),
		 (unsigned long)(offset % HUGE));
}

static void of_flags(int flags, const char *k)
{
	int fd = uffd_new(UFFD_FEATURE_EXACT_ADDRESS), file = -1;
	char *source = mmap(NULL, 4 * HUGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *alias;
	struct job *job;

	m = huge(flags, 4);
	for (unsigned mode = 1; mode < 8; mode++) {
		int one = uffd_new(0);

		say_register(one, label("%s, mode %u", k, mode), m, 4 * HUGE, mode);
		close(one);
	}
	say_register(fd, label("%s, start unaligned", k), m + PAGE, 2 * HUGE - PAGE, MISSING);
	say_register(fd, label("%s, end unaligned", k), m, HUGE + PAGE, MISSING);
	say_register(fd, label("%s, two of four", k), m, 2 * HUGE, MISSING | WP);
	say_range(fd, UFFDIO_UNREGISTER, label("%s, UNREGISTER, start unaligned", k), m + PAGE,
		  HUGE - PAGE);
	memset(source, 0x41, 4 * HUGE);
	say(do_transfer(fd, UFFDIO_COPY, m, source, PAGE, 0, NULL), "%s, COPY of a small page", k);
	say(do_transfer(fd, UFFDIO_COPY, m + PAGE, source, HUGE, 0, NULL),
	    "%s, COPY, dst unaligned", k);
	say_fill(fd, UFFDIO_ZEROPAGE, label("%s, ZEROPAGE", k), m, HUGE, 0);
	say_transfer(fd, UFFDIO_MOVE, label("%s, MOVE", k), m, source, HUGE, 0);
	say_transfer(fd, UFFDIO_COPY, label("%s, COPY beyond", k), m + HUGE, source, 2 * HUGE, 0);
	say_protect(fd, UFFDIO_WRITEPROTECT, label("%s, WRITEPROTECT unaligned", k), m, PAGE, 1);
	say_protect(fd, UFFDIO_WRITEPROTECT, label("%s, WRITEPROTECT", k), m, HUGE, 1);
	say_pagemap(label("%s, protected", k), m, 3);
	job = start_write("job", m + 5 * PAGE + 0x10, 0x51);
	say_places(label("%s, write", k), take_message(fd));
	say(do_transfer(fd, UFFDIO_COPY, m, source + 1, HUGE, UFFDIO_COPY_MODE_WP, NULL),
	    "%s, COPY with WP", k);
	say_places(label("%s, write to the protected", k), take_message(fd));
	say_protect(fd, UFFDIO_WRITEPROTECT, label("%s, unprotect", k), m, HUGE, 0);
	say_finished(job, label("%s, job", k));
	say_pagemap(label("%s, there", k), m, 3);
	say(do_transfer(fd, UFFDIO_COPY, m, source, HUGE, 0, NULL), "%s, COPY again", k);
	say(do_fill(fd, UFFDIO_POISON, m + HUGE, PAGE, 0, NULL), "%s, POISON of a small page", k);
	say(do_fill(fd, UFFDIO_POISON, m + HUGE, HUGE, 0, NULL), "%s, POISON", k);
	name_range("m", m + HUGE, 512);
	say_text(label("%s, read of the poisoned", k), "%s", try_read(m + HUGE + 3 * PAGE + 1));
	say_text(label("%s, not registered", k), "%s", try_read(m + 3 * HUGE));
	close(fd);
	munmap(m, 4 * HUGE);
	munmap(source, 4 * HUGE);

	if (flags & MAP_PRIVATE)
		return;
	file = memfd_create("huge", MFD_HUGETLB);
	if (file < 0 || ftruncate(file, 2 * HUGE))
		give_up("huge memfd", -errno);
	m = mmap(NULL, 2 * HUGE, RW, MAP_SHARED, file, 0);
	alias = mmap(NULL, 2 * HUGE, RW, MAP_SHARED, file, 0);
	fd = uffd_new(0);
	must_register(fd, m, 2 * HUGE / PAGE, MISSING | MINOR);
	alias[HUGE] = 0x61;
	job = start_read("job", m + HUGE + 7 * PAGE);
	say_places("minor", take_message(fd));
	say_fill(fd, UFFDIO_CONTINUE, "minor, CONTINUE of a small page", m + HUGE, PAGE, 0);
	say(do_fill(fd, UFFDIO_CONTINUE, m + HUGE, HUGE, 0, NULL), "minor, CONTINUE");
	say_finished(job, "minor, job");
	say(do_fill(fd, UFFDIO_CONTINUE, m, HUGE, 0, NULL),
	    "minor, CONTINUE of one not in the file");
	close(fd);
	close(file);
}

void uffd_area_hugetlb(void)
{
	int lock = open(pool, O_RDONLY | O_CLOEXEC);
	unsigned long was;
	char *at;

	flock(lock, LOCK_EX);
	was = reserved();
	if (was < ENOUGH)
		reserve(ENOUGH);
	at = mmap(NULL, ENOUGH * HUGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (at == MAP_FAILED) {
		say_text("left out", "no huge pages");
	} else {
		munmap(at, ENOUGH * HUGE);
		of_flags(MAP_PRIVATE, "private");
		of_flags(MAP_SHARED, "shared");
	}
	/* Unless somebody else changed it meanwhile. */
	if (was < ENOUGH && reserved() == ENOUGH)
		reserve(was);
	close(lock);
}
