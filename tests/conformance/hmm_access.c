// SPDX-License-Identifier: BSD-3-Clause
/* Entry checks, what the device reads and writes, and what takes its page table entries away. */
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "hmm.h"

#define EACH_COMMAND(C)                                                                   \
	C(READ)                                                                           \
	C(WRITE)                                                                          \
	C(MIGRATE_TO_DEV)                                                                 \
	C(MIGRATE_TO_SYS) C(SNAPSHOT) C(EXCLUSIVE) C(CHECK_EXCLUSIVE) C(RELEASE) C(FLAGS) \
		C(READ_UNLOCKED)

static const struct {
	const char *name;
	unsigned long request;
} commands[] = {
#define C(n) {#n, HMM_DMIRROR_##n},
	EACH_COMMAND(C)
#undef C
};

static void say_as(int fd, unsigned c, const char *what, const void *address, uint64_t pages,
		   void *data)
{
	char name[64];

	snprintf(name, sizeof(name), "%s, %s", commands[c].name, what);
	hmm_say(fd, commands[c].request, name, address, pages, data);
}

void hmm_area_entry(void)
{
	int fd = hmm_open(0);
	char *m = filled(4, 1), *data = filled(4, 0x40);
	struct hmm_dmirror_cmd cmd = {.addr = (uintptr_t)m, .ptr = (uintptr_t)data, .npages = 1};

	for (unsigned c = 0; c < ARRAY_SIZE(commands); c++) {
		unsigned long request = commands[c].request;

		say(result(sys_ioctl(fd, request, NULL)), "%s, null", commands[c].name);
		say(result(sys_ioctl(fd, request, NOWHERE)), "%s, nowhere", commands[c].name);
		say(result(sys_ioctl(fd, request, (char *)edge(sizeof(cmd) - 1, NULL))),
		    "%s, a byte short", commands[c].name);
		say_as(fd, c, "unaligned", m + 1, 1, data);
		say_as(fd, c, "no pages", m, 0, data);
		say_as(fd, c, "pages that wrap", m, 1ULL << 52, data);
		say_as(fd, c, "pages that wrap to more", m, (1ULL << 52) + 1, data);
		say_as(fd, c, "to the end of all addresses", (void *)-PAGE, 1, data);
		say_as(fd, c, "the last page but one", (void *)(-2 * PAGE), 1, data);
	}
	/* What answers is copied back; where that can't be done the work is done all the same. */
	say(result(sys_ioctl(fd, HMM_DMIRROR_READ, read_only(sizeof(cmd), &cmd))),
	    "READ, command can't be written");
	say(result(sys_ioctl(fd, HMM_DMIRROR_RELEASE, read_only(sizeof(cmd), &cmd))),
	    "RELEASE, command can't be written");
	say(result(sys_ioctl(fd, _IOWR('H', 10, struct hmm_dmirror_cmd), edge(sizeof(cmd), &cmd))),
	    "command 10");
	say(result(sys_ioctl(fd, _IOWR('H', 10, struct hmm_dmirror_cmd), NOWHERE)),
	    "command 10, nowhere");
	say(result(sys_ioctl(fd, _IOWR('G', 0, struct hmm_dmirror_cmd), edge(sizeof(cmd), &cmd))),
	    "another letter");
	say(result(sys_ioctl(fd, _IOW('H', 0, struct hmm_dmirror_cmd), edge(sizeof(cmd), &cmd))),
	    "READ as _IOW");
	say(result(sys_ioctl(fd, _IO('H', 0), edge(sizeof(cmd), &cmd))), "READ as _IO");
	cmd.addr++;
	say(result(sys_ioctl(fd, _IOWR('H', 10, struct hmm_dmirror_cmd), edge(sizeof(cmd), &cmd))),
	    "command 10, unaligned");
	say(result(sys_ioctl(fd, 0x5401, NULL)), "TCGETS, null");

	hmm_say(fd, HMM_DMIRROR_RELEASE, "release", m, 1, NULL);
	hmm_say(fd, HMM_DMIRROR_RELEASE, "release of memory that isn't there", NOWHERE - 16, 1,
		NULL);
	hmm_say(fd, HMM_DMIRROR_FLAGS, "flags 1", m, 1, NULL);
	hmm_say(fd, HMM_DMIRROR_FLAGS, "flags all", (void *)PAGE, ~0ULL >> 12, NULL);
	hmm_say(fd, HMM_DMIRROR_FLAGS, "flags 2", m, 2, NULL);
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "nothing is exclusive", m, 4, NULL);
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "nothing is exclusive where nothing is",
		(void *)PAGE, 4, NULL);
	sys_close(fd);
}

void hmm_area_read(void)
{
	int fd = hmm_open(0), file = file_of(4, 0x31);
	char *m = filled(8, 1), *r, *data = memory(8, RW);

	hmm_say_data(fd, HMM_DMIRROR_READ, "resident", m, 8);
	hmm_say_data(fd, HMM_DMIRROR_READ, "again", m, 8);
	m[0] = 0x77;
	hmm_say_data(fd, HMM_DMIRROR_READ, "after the CPU wrote", m, 8);
	hmm_say_data(fd, HMM_DMIRROR_READ_UNLOCKED, "unlocked", m, 8);

	r = filled(200, 0);
	hmm_say(fd, HMM_DMIRROR_READ, "200 pages", r, 200, memory(200, RW));
	hmm_say(fd, HMM_DMIRROR_READ, "200 pages again", r, 200, memory(200, RW));
	r = filled(8, 1);
	hmm_say_data(fd, HMM_DMIRROR_READ, "one page of 8", r + 3 * PAGE, 1);
	hmm_say_data(fd, HMM_DMIRROR_READ, "then 8", r, 8);
	r = filled(8, 1);
	hmm_say_data(fd, HMM_DMIRROR_READ, "first half", r, 4);
	hmm_say_data(fd, HMM_DMIRROR_READ, "then second half in all", r, 8);

	r = memory(4, RW);
	hmm_say_data(fd, HMM_DMIRROR_READ, "unpopulated", r, 4);
	hmm_say_pagemap("unpopulated, afterwards", r, 4);
	hmm_say_snapshot(fd, "unpopulated, snapshot afterwards", r, 4);
	r = filled(4, 1);
	mprotect(r, 4 * PAGE, PROT_READ);
	hmm_say_data(fd, HMM_DMIRROR_READ, "read-only", r, 4);
	r = filled(4, 1);
	mprotect(r + PAGE, PAGE, PROT_NONE);
	hmm_say_data(fd, HMM_DMIRROR_READ, "a page without protection", r, 4);
	hmm_say_data(fd, HMM_DMIRROR_READ, "the page before", r, 1);
	hmm_say_data(fd, HMM_DMIRROR_READ, "the pages after", r + 2 * PAGE, 2);
	r = filled(4, 1);
	mprotect(r + PAGE, PAGE, PROT_WRITE);
	hmm_say_data(fd, HMM_DMIRROR_READ, "a page only to be written", r, 4);
	r = filled(4, 1);
	mprotect(r + PAGE, PAGE, PROT_EXEC);
	hmm_say_data(fd, HMM_DMIRROR_READ, "a page only to be executed", r, 4);
	r = filled(4, 1);
	munmap(r + 2 * PAGE, PAGE);
	hmm_say_data(fd, HMM_DMIRROR_READ, "a hole", r, 4);
	hmm_say_data(fd, HMM_DMIRROR_READ, "before the hole", r, 2);
	hmm_say_data(fd, HMM_DMIRROR_READ, "page 0", NULL + 0, 1);
	hmm_say_data(fd, HMM_DMIRROR_READ, "beyond user space", (void *)(1UL << 56), 1);

	hmm_say(fd, HMM_DMIRROR_READ, "data to nowhere", m, 1, NOWHERE);
	mprotect(data + 4 * PAGE, PAGE, PROT_NONE);
	hmm_say(fd, HMM_DMIRROR_READ, "data to a place too small", m, 8, data);
	hmm_say(fd, HMM_DMIRROR_READ, "data to a read-only place", m, 1, (void *)read_only(1, "x"));
	hmm_say(fd, HMM_DMIRROR_READ, "data to itself", m, 1, m);

	r = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, file, 0);
	hmm_say_data(fd, HMM_DMIRROR_READ, "shared file", r, 4);
	r = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, file, 0);
	hmm_say_data(fd, HMM_DMIRROR_READ, "private file", r, 4);
	r = mmap(NULL, 6 * PAGE, RW, MAP_SHARED, file, 0);
	hmm_say_data(fd, HMM_DMIRROR_READ, "a page beyond the file's end", r + 3 * PAGE, 2);
	r = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fill(r, 2, 0x51);
	hmm_say_data(fd, HMM_DMIRROR_READ, "shared memory", r, 4);
	r = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);
	hmm_say_data(fd, HMM_DMIRROR_READ, "the device's own pages", r, 4);
	sys_close(fd);
	close(file);
}

void hmm_area_write(void)
{
	int fd = hmm_open(0), file = file_of(4, 0x31);
	char *m = filled(8, 1), *r, *data = filled(8, 0xa0), page[PAGE];

	hmm_say(fd, HMM_DMIRROR_WRITE, "resident", m, 8, data);
	say_bytes("resident, what the CPU finds", m, 8);
	hmm_say(fd, HMM_DMIRROR_WRITE, "again", m, 8, data);
	m = filled(8, 1);
	hmm_say_data(fd, HMM_DMIRROR_READ, "read first", m, 8);
	hmm_say(fd, HMM_DMIRROR_WRITE, "write what was read", m, 8, data);
	hmm_say_data(fd, HMM_DMIRROR_READ, "read what was written", m, 8);

	r = memory(4, RW);
	hmm_say(fd, HMM_DMIRROR_WRITE, "unpopulated", r, 4, data);
	say_bytes("unpopulated, what the CPU finds", r, 4);
	r = memory(4, RW);
	hmm_say_data(fd, HMM_DMIRROR_READ, "zero pages, read", r, 4);
	hmm_say(fd, HMM_DMIRROR_WRITE, "zero pages, written", r, 4, data);
	say_bytes("zero pages, what the CPU finds", r, 4);
	r = filled(4, 1);
	mprotect(r + PAGE, PAGE, PROT_READ);
	hmm_say(fd, HMM_DMIRROR_WRITE, "a read-only page", r, 4, data);
	say_bytes("a read-only page, what the CPU finds", r, 4);
	hmm_say(fd, HMM_DMIRROR_WRITE, "read-only alone", r + PAGE, 1, data);
	mprotect(r + PAGE, PAGE, RW);
	hmm_say(fd, HMM_DMIRROR_WRITE, "writable again", r, 4, data);
	say_bytes("writable again, what the CPU finds", r, 4);
	r = filled(4, 1);
	mprotect(r + PAGE, PAGE, PROT_NONE);
	hmm_say(fd, HMM_DMIRROR_WRITE, "a page without protection", r, 4, data);
	mprotect(r + PAGE, PAGE, RW);
	say_bytes("a page without protection, what the CPU finds", r, 4);
	r = filled(4, 1);
	mprotect(r + PAGE, PAGE, PROT_WRITE);
	hmm_say(fd, HMM_DMIRROR_WRITE, "a page only to be written", r, 4, data);
	r = filled(4, 1);
	munmap(r + 2 * PAGE, PAGE);
	hmm_say(fd, HMM_DMIRROR_WRITE, "a hole", r, 4, data);
	say_bytes("a hole, what the CPU finds before it", r, 2);
	hmm_say(fd, HMM_DMIRROR_WRITE, "data from nowhere", m, 1, NOWHERE);
	hmm_say(fd, HMM_DMIRROR_WRITE, "data from nowhere to a hole", r + 2 * PAGE, 1, NOWHERE);
	mprotect(data + 4 * PAGE, PAGE, PROT_NONE);
	m = filled(8, 1);
	hmm_say(fd, HMM_DMIRROR_WRITE, "data from a place too small", m, 8, data);
	say_bytes("data from a place too small, what the CPU finds", m, 8);

	r = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, file, 0);
	hmm_say(fd, HMM_DMIRROR_WRITE, "shared file", r, 4, data);
	say(pread(file, page, PAGE, PAGE), "shared file, read");
	say_text("shared file, its second page", "%02x", (unsigned char)page[17]);
	r = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, file, 0);
	hmm_say(fd, HMM_DMIRROR_WRITE, "read-only shared file", r, 4, data);
	r = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, file, 0);
	hmm_say(fd, HMM_DMIRROR_WRITE, "private file", r, 1, filled(1, 0x11));
	say_bytes("private file, what the CPU finds", r, 4);
	say(pread(file, page, PAGE, 0), "private file, read");
	say_text("private file, its first page", "%02x", (unsigned char)page[17]);
	r = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	hmm_say(fd, HMM_DMIRROR_WRITE, "shared memory", r, 4, filled(4, 0x21));
	say_bytes("shared memory, what the CPU finds", r, 4);
	r = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);
	hmm_say(fd, HMM_DMIRROR_WRITE, "the device's own pages", r, 4, filled(4, 0x21));
	say_bytes("the device's own pages, what the CPU finds", r, 4);
	sys_close(fd);
	close(file);
}

/* Reads 4 pages, does `what` and reads again: how much had to be faulted in once more. */
#define AFTER(name, ...)                                                  \
	do {                                                              \
		char *r = filled(4, 1);                                   \
                                                                          \
		hmm_call(fd, HMM_DMIRROR_WRITE, r, 4, data, NULL);        \
		__VA_ARGS__;                                              \
		hmm_say_data(fd, HMM_DMIRROR_READ, name, r, 4);           \
		hmm_say_data(fd, HMM_DMIRROR_READ, name ", again", r, 4); \
	} while (0)

void hmm_area_invalidate(void)
{
	int fd = hmm_open(0), other = hmm_open(1), second = hmm_open(0);
	char *data = filled(4, 0xa0), *moved;

	AFTER("nothing", (void)0);
	AFTER("mprotect to read-only", mprotect(r, 4 * PAGE, PROT_READ));
	AFTER("mprotect to what it was", mprotect(r, 4 * PAGE, RW));
	AFTER("mprotect of a page", mprotect(r + PAGE, PAGE, PROT_READ));
	AFTER("mprotect to nothing", mprotect(r + PAGE, PAGE, PROT_NONE));
	AFTER("mprotect there and back", mprotect(r, 4 * PAGE, PROT_READ);
	      mprotect(r, 4 * PAGE, RW));
	AFTER("munmap of a page", munmap(r + PAGE, PAGE));
	AFTER("madvise DONTNEED", madvise(r + PAGE, PAGE, MADV_DONTNEED));
	AFTER("madvise FREE", madvise(r + PAGE, PAGE, MADV_FREE));
	AFTER("madvise WILLNEED", madvise(r, 4 * PAGE, MADV_WILLNEED));
	AFTER("a new mapping over it",
	      mmap(r + PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	AFTER("mlock", mlock(r, 4 * PAGE));
	AFTER("the CPU writes", r[PAGE] = 0x66);
	AFTER("another device reads", hmm_call(other, HMM_DMIRROR_READ, r, 4, memory(4, RW), NULL));
	AFTER("another device writes",
	      hmm_call(other, HMM_DMIRROR_WRITE, r, 4, filled(4, 0xb0), NULL));
	AFTER("another file of the device reads",
	      hmm_call(second, HMM_DMIRROR_READ, r, 4, memory(4, RW), NULL));
	AFTER("a snapshot", hmm_say_snapshot(fd, "snapshot", r, 4));
	AFTER("RELEASE", hmm_call(fd, HMM_DMIRROR_RELEASE, r, 1, NULL, NULL));

	moved = memory(4, PROT_NONE);
	AFTER("mremap away", mremap(r, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, moved));
	hmm_say_data(fd, HMM_DMIRROR_READ, "mremap, the new place", moved, 4);
	moved = memory(4, PROT_NONE);
	AFTER("mremap that leaves the mapping",
	      mremap(r, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
		     moved));
	hmm_say_data(fd, HMM_DMIRROR_READ, "mremap that leaves the mapping, the new place", moved,
		     4);
	sys_close(second);
	sys_close(other);
	sys_close(fd);
}

void hmm_area_files(void)
{
	int fd = hmm_open(0), copy;
	char path[32], byte = 1, *m = filled(2, 1);
	struct stat st;

	snprintf(path, sizeof(path), "/dev/hmm_dmirror%u", first_device);
	say(result(stat(path, &st)), "stat");
	say_text("stat, kind", "%s, minor %u",
		 S_ISCHR(st.st_mode) ? "character device" : "something else", minor(st.st_rdev));
	say(result(fstat(fd, &st)), "fstat");
	say_text("fstat, kind", "%s, minor %u",
		 S_ISCHR(st.st_mode) ? "character device" : "something else", minor(st.st_rdev));
	say_fd(result(open(path, O_RDONLY)), "open to read");
	say_fd(result(open(path, O_WRONLY)), "open to write");
	say_fd(result(open(path, O_RDWR | O_CREAT | O_EXCL, 0600)), "open to create");
	say_fd(result(open(path, O_RDWR | O_DIRECTORY)), "open as a directory");
	say_fd(result(open("/dev/hmm_dmirror4", O_RDWR)), "open of device 4");
	say(result(read(fd, &byte, 1)), "read");
	say(result(write(fd, &byte, 1)), "write");
	say(result(pread(fd, &byte, 1, 0)), "pread");
	say(result(lseek(fd, 0, SEEK_SET)), "lseek to 0");
	say(result(lseek(fd, 100, SEEK_CUR)), "lseek by 100");
	say(result(lseek(fd, 0, SEEK_END)), "lseek to the end");
	say(result(lseek(fd, -1, SEEK_SET)), "lseek to -1");
	say(result(ftruncate(fd, 0)), "ftruncate");

	copy = dup(fd);
	close(fd);
	hmm_say_data(copy, HMM_DMIRROR_READ, "through a copy", m, 2);
	hmm_say_data(fd, HMM_DMIRROR_READ, "through a closed one", m, 2);
	close(copy);

	fd = open(path, O_RDONLY);
	hmm_say(fd, HMM_DMIRROR_WRITE, "write through a read-only descriptor", m, 2,
		filled(2, 0x70));
	say_bytes("write through a read-only descriptor, what the CPU finds", m, 2);
	for (int shared = 0; shared < 2; shared++) {
		char *at =
			mmap(NULL, 2 * PAGE, PROT_READ, shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);

		say(at == MAP_FAILED ? -errno : 0, "mmap%s to read", shared ? " shared" : "");
		if (at != MAP_FAILED) {
			say_bytes("mmap, what the CPU finds", at, 2);
			hmm_say_snapshot(fd, "mmap, snapshot", at, 2);
		}
		at = mmap(NULL, 2 * PAGE, RW, shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);
		say(at == MAP_FAILED ? -errno : 0, "mmap%s to write", shared ? " shared" : "");
		if (at != MAP_FAILED) {
			hmm_say_snapshot(fd, "mmap to write, snapshot", at, 2);
			hmm_say_data(fd, HMM_DMIRROR_MIGRATE_TO_DEV, "mmap, migrated", at, 2);
			at[0] = 5;
			hmm_say_snapshot(fd, "mmap, written, snapshot", at, 2);
		}
		at = mmap(NULL, PAGE, PROT_READ, shared ? MAP_SHARED : MAP_PRIVATE, fd, 1 << 20);
		say(at == MAP_FAILED ? -errno : 0, "mmap%s at 1 MiB", shared ? " shared" : "");
	}
	close(fd);
	fd = open(path, O_RDWR);
	{
		char *at = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);

		say(at == MAP_FAILED ? -errno : 0, "mmap shared, of a writable descriptor");
		if (at != MAP_FAILED) {
			hmm_say_snapshot(fd, "mmap shared, snapshot", at, 2);
			at[0] = 5;
			hmm_say_snapshot(fd, "mmap shared, written, snapshot", at, 2);
			hmm_say_data(fd, HMM_DMIRROR_READ, "mmap shared, read", at, 2);
			close(fd);
			say_bytes("mmap shared, after close", at, 2);
		}
	}
}
