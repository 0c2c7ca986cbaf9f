// SPDX-License-Identifier: BSD-3-Clause
/* REGISTER and UNREGISTER: what can be watched, by whom, and with what. */
#include <fcntl.h>

#include "uffd.h"

static const char *const mode_names[8] = {"none",  "MISSING",       "WP",       "MISSING|WP",
					  "MINOR", "MISSING|MINOR", "WP|MINOR", "all three"};

static void modes_of(enum kind kind)
{
	for (unsigned mode = 1; mode < 8; mode++) {
		int fd = uffd_new(0);

		say_register(fd, label("%s, %s", kind_names[kind], mode_names[mode]),
			     memory(kind, 4), 4 * PAGE, mode);
		close(fd);
	}
}

static void bad_arguments(void)
{
	char *m = memory(ANON, 8);
	struct uffdio_register a = {.range = {(uintptr_t)m, 4 * PAGE}, .mode = MISSING};
	int fd = uffd_new(0);

	say_register(fd, "mode 0", m, PAGE, 0);
	for (unsigned bit = 4; bit < 64; bit++)
		if (do_register(fd, m, 1, MISSING | 1UL << bit) != -EINVAL)
			say_register(fd, label("mode bit %u", bit), m, PAGE, MISSING | 1UL << bit);
	say_register(fd, "mode 0 and a bad range", m + 1, PAGE, 0);
	say_register(fd, "start unaligned", m + 1, PAGE, MISSING);
	say_register(fd, "length unaligned", m, PAGE + 1, MISSING);
	say_register(fd, "length 0", m, 0, MISSING);
	say_register(fd, "length that wraps", m, -PAGE, MISSING);
	say_register(fd, "length to the end of addresses", m, -(uint64_t)(uintptr_t)m, MISSING);
	say_register(fd, "start in the kernel", (void *)(1UL << 63), PAGE, MISSING);
	say_register(fd, "start beyond user space", (void *)(1UL << 57), PAGE, MISSING);
	say_register(fd, "start where nothing is", (void *)0x7fffffffe000, PAGE, MISSING);
	say_register(fd, "length beyond user space", m, 1UL << 57, MISSING);
	say_register(fd, "page 0", NULL, PAGE, MISSING);
	say(result(ioctl(fd, UFFDIO_REGISTER, edge(sizeof(a) - 9, &a))), "nine bytes short");
	/* The answer alone is not read. */
	say(result(ioctl(fd, UFFDIO_REGISTER, edge(sizeof(a) - 8, &a))), "no room for the answer");
	say(copy_byte(fd, m, 0x41, 0), "registered all the same");
	a.range.start += 4 * PAGE;
	say(result(ioctl(fd, UFFDIO_REGISTER, read_only(sizeof(a), &a))),
	    "answer can't be written");
	say(copy_byte(fd, m + 4 * PAGE, 0x42, 0), "registered all the same, too");
	close(fd);
}

static void holes(void)
{
	char *m = memory(ANON, 8), *n;
	int fd = uffd_new(0);

	munmap(m + 2 * PAGE, 2 * PAGE);
	say_register(fd, "hole in the middle", m, 8 * PAGE, MISSING);
	say(copy_byte(fd, m + 5 * PAGE, 0x41, 0), "and the end is registered");
	say(copy_byte(fd, m + 2 * PAGE, 0x41, 0), "COPY into the hole");
	/* What comes into the hole later is not registered. */
	n = mmap(m + 2 * PAGE, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	say(copy_byte(fd, n, 0x41, 0), "COPY to what came into the hole");
	say_bytes("which is read", n, 1);
	m = memory(ANON, 8);
	munmap(m, 2 * PAGE);
	say_register(fd, "hole at the start", m, 8 * PAGE, MISSING);
	say_register(fd, "hole alone", m, 2 * PAGE, MISSING);
	say_register(fd, "hole and one page", m, 3 * PAGE, MISSING);
	m = memory(ANON, 8);
	munmap(m + 6 * PAGE, 3 * PAGE);
	say_register(fd, "hole at the end", m, 8 * PAGE, MISSING);
	m = memory(ANON, 8);
	say_register(fd, "with what is around", m - PAGE, 10 * PAGE, MISSING);
	close(fd);
}

static void protections(void)
{
	static const int protection[] = {PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC,
					 PROT_READ | PROT_EXEC};

	for (size_t p = 0; p < ARRAY_SIZE(protection); p++)
		for (enum kind kind = ANON; kind <= MEMFD; kind += MEMFD - ANON) {
			char *m = memory(kind, 2);
			int fd = uffd_new(0);

			mprotect(m, 2 * PAGE, protection[p]);
			say_register(fd,
				     label("%s with protection %#x", kind_names[kind],
					   (unsigned)protection[p]),
				     m, 2 * PAGE, MISSING | WP);
			close(fd);
		}
}

static char *map_fd(int file, int protection, int flags)
{
	char *m = mmap(NULL, 4 * PAGE, protection, flags, file, 0);

	if (m == MAP_FAILED)
		give_up("mmap", -errno);
	return m;
}

static void refused(void)
{
	char proc[64], *m;
	int fd = uffd_new(0), async = uffd_new(UFFD_FEATURE_WP_ASYNC), file, other;

	file = plain_file();
	for (unsigned mode = 1; mode < 8; mode++)
		say_register(fd, label("file, private, %s", mode_names[mode]),
			     map_fd(file, RW, MAP_PRIVATE), 4 * PAGE, mode);
	m = map_fd(file, PROT_READ, MAP_SHARED);
	say_register(fd, "file, shared, read-only", m, 4 * PAGE, MISSING);
	say_register(async, "file, private, WP of WP_ASYNC", map_fd(file, RW, MAP_PRIVATE),
		     4 * PAGE, WP);
	say_register(async, "file, private, MISSING|WP of WP_ASYNC", map_fd(file, RW, MAP_PRIVATE),
		     4 * PAGE, MISSING | WP);
	say_register(async, "file, shared, read-only, WP of WP_ASYNC", m, 4 * PAGE, WP);
	close(file);

	file = memfd(4);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", file);
	other = open(proc, O_RDONLY);
	m = map_fd(other, PROT_READ, MAP_SHARED);
	for (unsigned mode = 1; mode < 8; mode++)
		say_register(fd, label("memfd opened to read, shared, %s", mode_names[mode]), m,
			     4 * PAGE, mode);
	say_register(fd, "memfd opened to read, private", map_fd(other, RW, MAP_PRIVATE), 4 * PAGE,
		     MISSING);
	say_register(async, "memfd opened to read, shared, WP of WP_ASYNC", m, 4 * PAGE, WP);
	close(other);
	close(file);

	file = memfd_create("sealed", MFD_ALLOW_SEALING);
	ftruncate(file, 4 * PAGE);
	m = map_fd(file, RW, MAP_SHARED);
	say_register(fd, "memfd that can be sealed", m, 4 * PAGE, MISSING);
	say(result(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE)), "sealing it");
	munmap(m, 4 * PAGE);
	say(result(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE)), "sealing it without mapping");
	m = map_fd(file, PROT_READ, MAP_SHARED);
	say_register(fd, "sealed memfd, shared", m, 4 * PAGE, MISSING);
	m = map_fd(file, RW, MAP_PRIVATE);
	say_register(fd, "sealed memfd, private", m, 4 * PAGE, MISSING);
	close(file);

	/* One that can't be watched spoils all. */
	file = plain_file();
	m = memory(ANON, 6);
	if (mmap(m + 2 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_FIXED, file, 0) == MAP_FAILED)
		give_up("mmap", -errno);
	say_register(fd, "a file in the middle", m, 6 * PAGE, MISSING);
	say(copy_byte(fd, m, 0x41, 0), "and the start isn't registered");
	say_register(async, "a file in the middle, WP of WP_ASYNC", m, 6 * PAGE, WP);
	m = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
	say_register(fd, "MAP_GROWSDOWN", m, 4 * PAGE, MISSING);
	m = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	say_register(fd, "MAP_STACK", m, 4 * PAGE, MISSING);
	m = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	say_register(fd, "MAP_NORESERVE", m, 4 * PAGE, MISSING);
	m = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
	say_register(fd, "MAP_LOCKED", m, 4 * PAGE, MISSING);
	close(fd);
	close(async);
}

static void owners(void)
{
	char *m = memory(ANON, 8);
	int fd = uffd_new(0), other = uffd_new(0);

	must_register(fd, m + 2 * PAGE, 2, MISSING);
	say_register(other, "another's", m + 2 * PAGE, 2 * PAGE, MISSING);
	say_register(other, "another's in part", m, 8 * PAGE, MISSING);
	say(copy_byte(other, m, 0x41, 0), "and nothing of it is registered");
	say_register(other, "beside another's", m, 2 * PAGE, MISSING);
	say_register(other, "another's, mode 0", m + 2 * PAGE, 2 * PAGE, 0);
	say_register(other, "another's, MINOR of anon", m + 2 * PAGE, 2 * PAGE, MINOR);
	close(fd);
	say_register(other, "another's that is closed", m + 2 * PAGE, 2 * PAGE, MISSING);
	close(other);

	fd = uffd_new(0);
	m = memory(SHARED, 8);
	say_register(fd, "first MISSING", m, 8 * PAGE, MISSING);
	say_register(fd, "again", m, 8 * PAGE, MISSING);
	say_register(fd, "then MISSING|WP", m, 8 * PAGE, MISSING | WP);
	say_register(fd, "then MISSING", m, 8 * PAGE, MISSING);
	say_register(fd, "then MINOR", m, 8 * PAGE, MINOR);
	say_register(fd, "then WP|MINOR", m, 8 * PAGE, WP | MINOR);
	say_register(fd, "then WP", m, 8 * PAGE, WP);
	say_register(fd, "then RWP", m, 8 * PAGE, RWP);
	say_register(fd, "then MISSING|WP on a part", m, 2 * PAGE, MISSING | WP);
	say_register(fd, "then MISSING on the part", m, 2 * PAGE, MISSING);
	say_register(fd, "WP on another part", m + 4 * PAGE, 2 * PAGE, WP);
	close(fd);
	/* Replacing MISSING by WP lets what is missing be as it always was. */
	fd = uffd_new(0);
	m = memory(ANON, 2);
	must_register(fd, m, 2, MISSING);
	must_register(fd, m, 2, WP);
	say_bytes("read after MISSING was replaced", m, 2);
	close(fd);
}

void uffd_area_register(void)
{
	for (enum kind kind = ANON; kind < KINDS; kind++)
		modes_of(kind);
	bad_arguments();
	holes();
	protections();
	refused();
	owners();
}

void uffd_area_unregister(void)
{
	char *m = memory(ANON, 8);
	struct uffdio_range a = {(uintptr_t)m, PAGE};
	int fd = uffd_new(0), other = uffd_new(0), async = uffd_new(UFFD_FEATURE_WP_ASYNC), file;

	name_range("m", m, 8);
	say(result(ioctl(fd, UFFDIO_UNREGISTER, edge(sizeof(a) - 1, &a))), "a byte short");
	say(result(ioctl(fd, UFFDIO_UNREGISTER, read_only(sizeof(a), &a))),
	    "argument that can't be written");
	say_range(fd, UFFDIO_UNREGISTER, "never registered", m, 8 * PAGE);
	say_range(fd, UFFDIO_UNREGISTER, "start unaligned", m + 1, PAGE);
	say_range(fd, UFFDIO_UNREGISTER, "length unaligned", m, PAGE + 1);
	say_range(fd, UFFDIO_UNREGISTER, "length 0", m, 0);
	say_range(fd, UFFDIO_UNREGISTER, "length that wraps", m, -PAGE);
	say_range(fd, UFFDIO_UNREGISTER, "page 0", NULL, PAGE);
	must_register(fd, m, 8, MISSING);
	say_range(other, UFFDIO_UNREGISTER, "by another", m, 8 * PAGE);
	say_range(other, UFFDIO_UNREGISTER, "by another, one page", m + PAGE, PAGE);
	say(copy_byte(other, m, 0x41, 0), "COPY by another");
	say_range(fd, UFFDIO_UNREGISTER, "a part", m + 2 * PAGE, 2 * PAGE);
	say_bytes("which is read", m + 2 * PAGE, 2);
	say(copy_byte(fd, m + 2 * PAGE, 0x41, 0), "COPY to it");
	say(copy_byte(fd, m + 4 * PAGE, 0x42, 0), "COPY to the rest");
	say_range(fd, UFFDIO_UNREGISTER, "all, of which a part was", m, 8 * PAGE);
	say_bytes("which are read", m, 8);
	say_range(fd, UFFDIO_UNREGISTER, "again", m, 8 * PAGE);
	munmap(m + 2 * PAGE, PAGE);
	must_register(fd, m, 8, MISSING);
	say_range(fd, UFFDIO_UNREGISTER, "with a hole", m, 8 * PAGE);
	say_range(fd, UFFDIO_UNREGISTER, "the hole", m + 2 * PAGE, PAGE);

	file = plain_file();
	m = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, file, 0);
	say_range(fd, UFFDIO_UNREGISTER, "a file", m, 4 * PAGE);
	say_range(async, UFFDIO_UNREGISTER, "a file with WP_ASYNC", m, 4 * PAGE);
	must_register(async, m, 4, WP);
	say_range(fd, UFFDIO_UNREGISTER, "a file by another", m, 4 * PAGE);
	say_range(async, UFFDIO_UNREGISTER, "a registered file with WP_ASYNC", m, 4 * PAGE);
	m = memory(ANON, 4);
	if (mmap(m + PAGE, PAGE, RW, MAP_PRIVATE | MAP_FIXED, file, 0) == MAP_FAILED)
		give_up("mmap", -errno);
	must_register(fd, m, 1, MISSING);
	say_range(fd, UFFDIO_UNREGISTER, "a file behind what is registered", m, 4 * PAGE);
	say(copy_byte(fd, m, 0x41, 0), "and it is registered still");

	/* Protection goes with the registration. */
	m = filled(4, 0x41);
	name_range("m", m, 4);
	must_register(fd, m, 4, WP);
	say_protect(fd, UFFDIO_WRITEPROTECT, "protect", m, 4 * PAGE, UFFDIO_WRITEPROTECT_MODE_WP);
	say_pagemap("protected", m, 4);
	say_range(fd, UFFDIO_UNREGISTER, "the first half", m, 2 * PAGE);
	say_pagemap("unprotected", m, 4);
	say_text("write to it", "%s", try_write(m, 0x51));
	close(fd);
	say_pagemap("after close", m, 4);
	say_text("write to the rest", "%s", try_write(m + 3 * PAGE, 0x51));
	say_bytes("which are then", m, 4);
}
