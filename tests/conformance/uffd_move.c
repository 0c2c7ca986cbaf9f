// SPDX-License-Identifier: BSD-3-Clause
/* MOVE: what can go where, and what it leaves behind. */
#include <sys/wait.h>

#include "uffd.h"

#define HOLES    UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES
#define DONTWAKE UFFDIO_MOVE_MODE_DONTWAKE

static char *m; /* watched */

static void move(int fd, const char *what, void *to, const void *from, uint64_t length,
		 uint64_t mode)
{
	say_transfer(fd, UFFDIO_MOVE, what, to, from, length, mode);
}

static char *watched(int fd, uint64_t pages)
{
	m = memory(ANON, pages);
	name_range("m", m, pages);
	must_register(fd, m, pages, MISSING);
	return m;
}

static void arguments(void)
{
	struct uffdio_move a = {.len = PAGE};
	int fd = uffd_new(0), other = uffd_new(0);
	char *s = filled(8, 0x41), *plain = memory(ANON, 4);

	watched(fd, 8);
	move(fd, "dst unaligned", m + 1, s, PAGE, 0);
	move(fd, "src unaligned", m, s + 1, PAGE, 0);
	move(fd, "length unaligned", m, s, PAGE + 1, 0);
	move(fd, "length 0", m, s, 0, 0);
	move(fd, "length that wraps", m, s, -PAGE, 0);
	move(fd, "dst beyond user space", (void *)(1UL << 57), s, PAGE, 0);
	move(fd, "src beyond user space", m, (void *)(1UL << 57), PAGE, 0);
	for (unsigned bit = 2; bit < 64; bit++)
		if (do_transfer(fd, UFFDIO_MOVE, m, s, PAGE, 1UL << bit, NULL) != -EINVAL)
			move(fd, label("mode bit %u", bit), m, s, PAGE, 1UL << bit);
	move(fd, "mode 4", m, s, PAGE, 4);
	move(fd, "mode 4, dst not registered", plain, s, PAGE, 4);
	move(fd, "dst not mapped", (void *)PAGE, s, PAGE, 0);
	move(fd, "src not mapped", m, (void *)PAGE, PAGE, 0);
	move(fd, "src not mapped, with holes", m, (void *)PAGE, PAGE, HOLES);
	move(fd, "dst not registered", plain, s, PAGE, 0);
	move(other, "dst of another file", m, s, PAGE, 0);
	move(fd, "dst across the end", m + 7 * PAGE, s, 2 * PAGE, 0);
	move(fd, "src across the end", m, s + 7 * PAGE, 2 * PAGE, 0);
	move(fd, "src absent", m, plain, PAGE, 0);
	move(fd, "src absent, with holes", m, plain, PAGE, HOLES);
	move(fd, "src absent, dst not registered", plain, plain + PAGE, PAGE, 0);
	move(fd, "src the same as dst", m, m, PAGE, 0);
	move(fd, "src the same as dst, with holes", m, m, PAGE, HOLES);
	say_pagemap("nothing has moved", m, 8);
	say(result(ioctl(fd, UFFDIO_MOVE, NOWHERE)), "nowhere");
	a.dst = (uintptr_t)m;
	a.src = (uintptr_t)s;
	say(result(ioctl(fd, UFFDIO_MOVE, edge(sizeof(a) - 9, &a))), "nine bytes short");
	say(result(ioctl(fd, UFFDIO_MOVE, edge(sizeof(a) - 8, &a))), "no room for the result");
	say_pagemap("moved all the same", m, 2);
	say_pagemap("from", s, 2);
	a.dst += PAGE;
	a.src += PAGE;
	say(result(ioctl(fd, UFFDIO_MOVE, read_only(sizeof(a), &a))), "result can't be written");
	say_pagemap("moved all the same, too", m, 2);
	move(fd, "dst present", m, s + 2 * PAGE, PAGE, 0);
	move(fd, "dst present, src absent", m, s, PAGE, 0);
	move(fd, "dst present, src absent, with holes", m, s, PAGE, HOLES);
	close(fd);
	close(other);
}

/* One mapping, a part of which has been watched for a while. */
static void from_watched_in_part(void)
{
	int fd = uffd_new(0), other = uffd_new(0);
	char *s = memory(ANON, 8);

	name_range("s", s, 8);
	must_register(other, s, 4, MISSING);
	copy_byte(other, s + 2 * PAGE, 0x61, 0);
	copy_byte(other, s + 3 * PAGE, 0x62, 0);
	say_range(other, UFFDIO_UNREGISTER, "UNREGISTER", s, 4 * PAGE);
	memset(s + 4 * PAGE, 0x63, 2 * PAGE);
	watched(fd, 8);
	move(fd, "from what was watched in part", m, s + 2 * PAGE, 4 * PAGE, 0);
	say_pagemap("from what was watched in part, to", m, 8);
	say_pagemap("from what was watched in part, from", s, 8);
	say_bytes("from what was watched in part, bytes", m, 4);
	must_register(other, s, 4, MISSING);
	move(fd, "from what is", m + 4 * PAGE, s + 3 * PAGE, 2 * PAGE, HOLES);
	close(fd);
	close(other);
}

static void kinds(void)
{
	static const int protections[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_EXEC,
					  PROT_READ | PROT_WRITE | PROT_EXEC};
	int fd = uffd_new(0);
	char *s;

	for (enum kind kind = ANON; kind < KINDS; kind++) {
		watched(fd, 2);
		s = memory(kind, 2);
		s[0] = 0x11;
		move(fd, label("from %s", kind_names[kind]), m, s, PAGE, 0);
		m = memory(kind, 2);
		must_register(fd, m, 2, MISSING);
		move(fd, label("to %s", kind_names[kind]), m, filled(1, 0x12), PAGE, 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(protections); i++) {
		watched(fd, 2);
		s = filled(2, 0x21);
		mprotect(s, 2 * PAGE, protections[i]);
		move(fd, label("from protection %#x", (unsigned)protections[i]), m, s, PAGE, 0);
		mprotect(m, 2 * PAGE, protections[i]);
		move(fd, label("both of protection %#x", (unsigned)protections[i]), m, s, PAGE, 0);
	}
	watched(fd, 2);
	s = filled(2, 0x31);
	if (mlock(s, 2 * PAGE))
		give_up("mlock", -errno);
	move(fd, "from locked", m, s, PAGE, 0);
	mlock2(m, 2 * PAGE, MLOCK_ONFAULT);
	move(fd, "both locked", m, s, PAGE, 0);
	/* One made of two mappings, and one mapped write-protected. */
	watched(fd, 4);
	s = filled(4, 0x41);
	madvise(s + 2 * PAGE, 2 * PAGE, MADV_DONTFORK);
	move(fd, "from two mappings", m, s, 4 * PAGE, 0);
	move(fd, "from one that isn't forked", m, s + 2 * PAGE, PAGE, 0);
	madvise(m + 2 * PAGE, 2 * PAGE, MADV_DONTFORK);
	move(fd, "to two mappings", m + PAGE, filled(2, 0x51), 2 * PAGE, 0);
	close(fd);
	from_watched_in_part();
}

static void contents(void)
{
	int fd = uffd_new(0), other = uffd_new(0);
	char *s = filled(8, 0x41), *absent;
	struct job *job;

	watched(fd, 8);
	move(fd, "three pages", m + PAGE, s, 3 * PAGE, 0);
	say_bytes("they are", m + PAGE, 3);
	say_pagemap("moved", m, 8);
	say_pagemap("left", s, 8);
	say_mincore("left, resident", s, 8);
	say_bytes("left, read", s, 8);
	say_pagemap("left and read", s, 8);
	/* The zero page moves, too. */
	move(fd, "a page only read", m, s, PAGE, 0);
	say_pagemap("which is", m, 4);
	say_pagemap("where it was", s, 4);
	say_scan("scan", m, 4);
	absent = s;
	move(fd, "absent and present", m + 4 * PAGE, absent, 2 * PAGE, HOLES);
	say_pagemap("to", m, 8);
	madvise(m + 4 * PAGE, 4 * PAGE, MADV_DONTNEED);
	s = filled(4, 0x51);
	madvise(s + 2 * PAGE, PAGE, MADV_DONTNEED);
	move(fd, "with an absent one", m + 4 * PAGE, s, 4 * PAGE, 0);
	say_pagemap("to", m + 4 * PAGE, 4);
	say_pagemap("from", s, 4);
	move(fd, "the rest, with holes", m + 6 * PAGE, s + 2 * PAGE, 2 * PAGE, HOLES);
	say_pagemap("to", m + 4 * PAGE, 4);
	say_pagemap("from", s, 4);
	job = start_read("job", m + 6 * PAGE);
	say_message(fd, "the hole is missing");
	move(fd, "MOVE without waking", m + 6 * PAGE, filled(1, 0x61), PAGE, DONTWAKE);
	say_fdinfo(fd, "it waits");
	say_range(fd, UFFDIO_WAKE, "WAKE", m + 6 * PAGE, PAGE);
	say_finished(job, "job");
	madvise(m, 8 * PAGE, MADV_DONTNEED);
	copy_byte(fd, m + PAGE, 0x71, 0);
	job = start_write("job", m, 0x72);
	say_message(fd, "a missing one");
	move(fd, "absent and present", m, filled(2, 0x62), 2 * PAGE, 0);
	say_finished(job, "job");
	say_bytes("bytes", m, 2);

	/* Within what is watched. */
	move(fd, "within", m + 4 * PAGE, m, 2 * PAGE, 0);
	say_pagemap("within, pagemap", m, 8);
	job = start_read("job", m);
	say_message(fd, "where it was");
	say(copy_byte(fd, m, 0x73, 0), "COPY");
	say_finished(job, "job");
	move(fd, "within, overlapping upwards", m + 5 * PAGE, m + 4 * PAGE, 2 * PAGE, 0);
	move(fd, "within, overlapping downwards", m + 3 * PAGE, m + 4 * PAGE, 2 * PAGE, 0);
	say_pagemap("within, then", m, 8);
	say_bytes("which are", m + 3 * PAGE, 2);

	/* From what another file watches, or this one for writes. */
	s = filled(4, 0x81);
	name_range("s", s, 4);
	must_register(other, s, 2, MISSING | WP);
	say_protect(other, UFFDIO_WRITEPROTECT, "protect", s, 2 * PAGE, 1);
	move(fd, "from a protected one", m + PAGE, s, PAGE, 0);
	say_pagemap("to", m, 2);
	say_text("write to it", "%s", try_write(m + PAGE, 1));
	job = start_read("job", s);
	say_message(other, "where it was");
	say(copy_byte(other, s, 0x91, 0), "COPY");
	say_finished(job, "job");
	say_fill(other, UFFDIO_POISON, "POISON", s + PAGE, PAGE, 0);
	madvise(s + PAGE, PAGE, MADV_DONTNEED);
	say_fill(other, UFFDIO_POISON, "POISON", s + PAGE, PAGE, 0);
	move(fd, "from a poisoned one", m + 2 * PAGE, s + PAGE, PAGE, 0);
	move(fd, "from a poisoned one, with holes", m + 2 * PAGE, s + PAGE, PAGE, HOLES);
	say_fill(fd, UFFDIO_POISON, "POISON", m + 2 * PAGE, PAGE, 0);
	move(fd, "to a poisoned one", m + 2 * PAGE, s + 2 * PAGE, PAGE, 0);
	close(fd);
	close(other);
}

static void shared_with_child(void)
{
	int fd = uffd_new(0), ends[2];
	char *s = filled(4, 0x41), byte;
	pid_t child;

	if (pipe(ends))
		give_up("pipe", -errno);
	watched(fd, 4);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		close(ends[1]);
		_exit(read(ends[0], &byte, 1) != 0);
	}
	close(ends[0]);
	move(fd, "a child has it, too", m, s, PAGE, 0);
	s[PAGE] = 0x51;
	move(fd, "a child had it until it was written", m + PAGE, s + PAGE, PAGE, 0);
	s[2 * PAGE] = 0x52;
	move(fd, "one own and one that a child has", m + 2 * PAGE, s + 2 * PAGE, 2 * PAGE, 0);
	say_pagemap("to", m, 4);
	say_pagemap("from", s, 4);
	close(ends[1]);
	waitpid(child, NULL, 0);
	move(fd, "the child has ended", m, s, PAGE, 0);
	s[0] = 0x52;
	move(fd, "the child has ended and it was written", m, s, PAGE, 0);
	close(fd);

	/* The file of a parent is of no use to the child. */
	fd = uffd_new(0);
	watched(fd, 4);
	s = filled(4, 0x61);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		move(fd, "by a child", m, s, PAGE, 0);
		move(fd, "by a child, of bad ranges", m + 1, s, PAGE, 0);
		say_register(fd, "by a child, REGISTER", m, PAGE, MISSING);
		say(copy_byte(fd, m, 0x71, 0), "by a child, COPY");
		say_range(fd, UFFDIO_WAKE, "by a child, WAKE", m, PAGE);
		say_text("by a child, its own", "%s", try_read(m));
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	say_pagemap("after the child", m, 4);
	say_bytes("which is", m, 1);
	close(fd);
}

void uffd_area_move(void)
{
	arguments();
	kinds();
	contents();
	shared_with_child();
}
