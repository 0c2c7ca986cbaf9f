// SPDX-License-Identifier: BSD-3-Clause
/* Pages that move to the device and back, snapshots of them, exclusive ones, forks. */
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>

#include "hmm.h"

static sigjmp_buf on_fault;

static void jump(int signal)
{
	siglongjmp(on_fault, signal);
}

/* A load of a byte, or the signal that it raises. */
static void say_load(const char *what, const volatile char *address)
{
	struct sigaction action = {.sa_handler = jump}, segv, bus;
	int sig;

	sigaction(SIGSEGV, &action, &segv);
	sigaction(SIGBUS, &action, &bus);
	sig = sigsetjmp(on_fault, 1);
	if (sig)
		say_text(what, "signal %d", sig);
	else
		say_text(what, "%02x", (unsigned char)*address);
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
}

/*
 * Whether a kernel survives that the device reads again what is in its own memory but, by
 * an invalidation, no longer in its page table: the driver of 7.3 takes its private pages
 * for system memory then, and falls.
 */
static bool may_read_again(void)
{
	return first_device >= 2;
}

static void to_device(int fd, char *address, uint64_t pages)
{
	struct hmm_dmirror_cmd cmd;
	long r = hmm_call(fd, HMM_DMIRROR_MIGRATE_TO_DEV, address, pages, memory(pages, RW), &cmd);

	if (r || cmd.cpages != pages)
		give_up("MIGRATE_TO_DEV", r);
}

void hmm_area_migrate(void)
{
	int fd = hmm_open(0), other = hmm_open(1), second = hmm_open(0);
	char *m = filled(8, 1), *r, *data = filled(8, 0xa0), buffer[2 * PAGE];
	int pipes[2];

	hmm_say_data(fd, HMM_DMIRROR_MIGRATE_TO_DEV, "8 pages", m, 8);
	hmm_say_pagemap("8 pages, pagemap", m, 8);
	hmm_say_snapshot(fd, "8 pages, snapshot", m, 8);
	hmm_say_snapshot(second, "8 pages, snapshot by another file", m, 8);
	hmm_say_snapshot(other, "8 pages, snapshot by another device", m, 8);
	hmm_say_data(fd, HMM_DMIRROR_READ, "read on the device", m, 8);
	hmm_say(fd, HMM_DMIRROR_WRITE, "written on the device", m, 8, data);
	hmm_say_data(fd, HMM_DMIRROR_MIGRATE_TO_DEV, "migrated again", m, 8);
	say_bytes("what the CPU finds", m, 4);
	hmm_say_pagemap("after the CPU found it, pagemap", m, 8);
	hmm_say_snapshot(fd, "after the CPU found it, snapshot", m, 8);
	if (may_read_again())
		hmm_say_data(fd, HMM_DMIRROR_READ, "read afterwards", m, 8);
	hmm_say_data(fd, HMM_DMIRROR_MIGRATE_TO_DEV, "half of it again", m, 8);
	hmm_say_data(fd, HMM_DMIRROR_MIGRATE_TO_SYS, "back", m, 8);
	hmm_say_pagemap("back, pagemap", m, 8);
	hmm_say_data(fd, HMM_DMIRROR_MIGRATE_TO_SYS, "back again", m, 8);
	hmm_say_data(fd, HMM_DMIRROR_READ, "read after it is back", m, 8);
	say_bytes("back, what the CPU finds", m, 8);

	m = filled(8, 1);
	to_device(fd, m, 8);
	m[3 * PAGE] = 0x33;
	hmm_say_snapshot(fd, "one page written by the CPU", m, 8);
	if (may_read_again())
		hmm_say_data(fd, HMM_DMIRROR_READ, "read by the device", m, 8);
	hmm_say_data(fd, HMM_DMIRROR_MIGRATE_TO_SYS, "the rest back", m, 8);
	say_bytes("the rest back, what the CPU finds", m, 8);

	m = filled(8, 1);
	to_device(fd, m, 8);
	hmm_say_data(other, HMM_DMIRROR_READ, "another device reads", m, 8);
	hmm_say_snapshot(fd, "another device has read", m, 8);
	m = filled(8, 1);
	to_device(fd, m, 8);
	hmm_say_data(other, HMM_DMIRROR_MIGRATE_TO_DEV, "another device wants them", m, 8);
	hmm_say_snapshot(fd, "another device wanted them", m, 8);
	hmm_say_data(other, HMM_DMIRROR_MIGRATE_TO_SYS, "another device sends them back", m, 8);
	if (may_read_again())
		hmm_say_data(second, HMM_DMIRROR_READ, "another file reads them", m, 8);
	hmm_say_data(second, HMM_DMIRROR_MIGRATE_TO_DEV, "another file wants them", m, 8);
	hmm_say_snapshot(fd, "after that", m, 8);
	hmm_say_data(second, HMM_DMIRROR_MIGRATE_TO_SYS, "another file sends them back", m, 8);

	/* The kernel's own accesses. */
	if (pipe2(pipes, O_NONBLOCK))
		give_up("pipe2", -errno);
	m = filled(2, 1);
	to_device(fd, m, 2);
	say(result(write(pipes[1], m, 2 * PAGE)), "write of pages on the device");
	say(result(read(pipes[0], buffer, sizeof(buffer))), "read of what was written");
	say_text("what was written", "%02x %02x", (unsigned char)buffer[0],
		 (unsigned char)buffer[PAGE]);
	hmm_say_snapshot(fd, "written, snapshot", m, 2);
	to_device(fd, m, 2);
	memset(buffer, 0x5c, sizeof(buffer));
	say(result(write(pipes[1], buffer, sizeof(buffer))), "something to read");
	say(result(read(pipes[0], m, 2 * PAGE)), "read into pages on the device");
	say_bytes("read into pages on the device, what the CPU finds", m, 2);

	m = filled(4, 1);
	to_device(fd, m, 4);
	mprotect(m, 4 * PAGE, PROT_READ);
	hmm_say_snapshot(fd, "made read-only, snapshot", m, 4);
	hmm_say(fd, HMM_DMIRROR_WRITE, "made read-only, written", m, 4, data);
	if (may_read_again())
		hmm_say_data(fd, HMM_DMIRROR_READ, "made read-only, read", m, 4);
	mprotect(m, 4 * PAGE, PROT_NONE);
	hmm_say_snapshot(fd, "made inaccessible, snapshot", m, 4);
	hmm_say_data(fd, HMM_DMIRROR_READ, "made inaccessible, read", m, 4);
	hmm_say_data(fd, HMM_DMIRROR_MIGRATE_TO_SYS, "made inaccessible, back", m, 4);
	say_load("made inaccessible, a load", m);
	mprotect(m, 4 * PAGE, RW);
	hmm_say_snapshot(fd, "accessible again, snapshot", m, 4);
	say_bytes("accessible again, what the CPU finds", m, 4);

	m = filled(4, 1);
	to_device(fd, m, 4);
	say(result(madvise(m + PAGE, PAGE, MADV_DONTNEED)), "madvise DONTNEED");
	hmm_say_snapshot(fd, "madvise DONTNEED, snapshot", m, 4);
	if (may_read_again())
		hmm_say_data(fd, HMM_DMIRROR_READ, "madvise DONTNEED, read", m, 4);
	say_bytes("madvise DONTNEED, what the CPU finds", m, 4);
	m = filled(4, 1);
	to_device(fd, m, 4);
	r = memory(4, PROT_NONE);
	say(mremap(m, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, r) == r ? 0 : -errno,
	    "mremap");
	hmm_say_snapshot(fd, "mremap, snapshot of the new place", r, 4);
	hmm_say_snapshot(fd, "mremap, snapshot of the old place", m, 4);
	if (may_read_again())
		hmm_say_data(fd, HMM_DMIRROR_READ, "mremap, read", r, 4);
	say_bytes("mremap, what the CPU finds", r, 4);
	m = filled(4, 1);
	to_device(fd, m, 4);
	munmap(m + 2 * PAGE, PAGE);
	say_bytes("a page unmapped, what the CPU finds", m, 2);
	say_load("a page unmapped, a load", m + 2 * PAGE);
	say_load("a page unmapped, the next", m + 3 * PAGE);

	/* What close and RELEASE do. */
	m = filled(4, 1);
	r = filled(4, 0x11);
	to_device(fd, m, 4);
	to_device(other, r, 4);
	hmm_say(second, HMM_DMIRROR_RELEASE, "release by another file", m, 1, NULL);
	hmm_say_pagemap("release, pagemap", m, 4);
	hmm_say_snapshot(fd, "release, snapshot", m, 4);
	hmm_say_snapshot(other, "release, the other device's", r, 4);
	hmm_say_data(fd, HMM_DMIRROR_READ, "release, read", m, 4);
	to_device(fd, m, 4);
	sys_close(second);
	hmm_say_pagemap("close of another file, pagemap", m, 4);
	hmm_say_snapshot(fd, "close of another file, snapshot", m, 4);
	to_device(fd, m, 4);
	sys_close(fd);
	hmm_say_pagemap("close, pagemap", m, 4);
	say_bytes("close, what the CPU finds", m, 4);
	say_bytes("close, the other device's", r, 4);
	sys_close(other);
}

void hmm_area_kinds(void)
{
	int fd = hmm_open(0), file = file_of(4, 0x31);
	char *m, *r;

#define MIGRATE(what)                                                     \
	do {                                                              \
		hmm_say_data(fd, HMM_DMIRROR_MIGRATE_TO_DEV, what, m, 4); \
		hmm_say_snapshot(fd, what ", snapshot", m, 4);            \
	} while (0)
	m = memory(4, RW);
	MIGRATE("unpopulated");
	say_bytes("unpopulated, what the CPU finds", m, 4);
	m = memory(4, PROT_READ);
	MIGRATE("unpopulated, read-only");
	say_bytes("unpopulated, read-only, what the CPU finds", m, 4);
	m = memory(4, RW);
	say_bytes("zero pages", m, 4);
	MIGRATE("zero pages");
	say_bytes("zero pages, what the CPU finds", m, 4);
	m[0] = 1;
	say_bytes("zero pages, written", m, 4);
	m = memory(4, RW);
	fill(m + PAGE, 1, 9);
	fill(m + 3 * PAGE, 1, 10);
	MIGRATE("populated here and there");
	say_bytes("populated here and there, what the CPU finds", m, 4);
	m = filled(4, 1);
	mprotect(m, 4 * PAGE, PROT_READ);
	MIGRATE("read-only");
	say_bytes("read-only, what the CPU finds", m, 4);
	hmm_say_snapshot(fd, "read-only, afterwards", m, 4);
	m = filled(4, 1);
	mprotect(m + PAGE, PAGE, PROT_NONE);
	MIGRATE("a page without protection");
	hmm_say_data(fd, HMM_DMIRROR_MIGRATE_TO_SYS, "a page without protection, back", m, 4);
	m = filled(4, 1);
	mprotect(m + PAGE, PAGE, PROT_READ);
	MIGRATE("a read-only page among others");
	m = filled(4, 1);
	munmap(m + 2 * PAGE, PAGE);
	MIGRATE("a hole");
	hmm_say_data(fd, HMM_DMIRROR_MIGRATE_TO_SYS, "a hole, back", m, 4);
	m = filled(4, 1);
	mlock(m, 4 * PAGE);
	MIGRATE("locked");
	say_bytes("locked, what the CPU finds", m, 4);
	m = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fill(m, 4, 1);
	MIGRATE("shared memory");
	hmm_say_data(fd, HMM_DMIRROR_MIGRATE_TO_SYS, "shared memory, back", m, 4);
	m = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, file, 0);
	say_bytes("shared file", m, 4);
	MIGRATE("shared file");
	m = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, file, 0);
	MIGRATE("private file, untouched");
	say_bytes("private file, read", m, 4);
	MIGRATE("private file, read");
	fill(m, 4, 0x71);
	MIGRATE("private file, written");
	say_bytes("private file, written, what the CPU finds", m, 4);
	m = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, file, 0);
	fill(m + PAGE, 1, 0x71);
	MIGRATE("private file, a page written");
	say_bytes("private file, a page written, what the CPU finds", m, 4);
	m = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);
	MIGRATE("the device's own pages");
	hmm_say_data(fd, HMM_DMIRROR_MIGRATE_TO_SYS, "the device's own pages, back", m, 4);
	m = filled(4, 1);
	hmm_say(fd, HMM_DMIRROR_MIGRATE_TO_DEV, "data to nowhere", m, 4, NOWHERE);
	hmm_say_snapshot(fd, "data to nowhere, snapshot", m, 4);
	m = filled(4, 1);
	hmm_say(fd, HMM_DMIRROR_MIGRATE_TO_DEV, "data to itself", m, 4, m);
	hmm_say_snapshot(fd, "data to itself, snapshot", m, 4);
	m = filled(700, 0);
	r = memory(700, RW);
	hmm_say(fd, HMM_DMIRROR_MIGRATE_TO_DEV, "700 pages", m, 700, r);
	say(memcmp(m, r, 700 * PAGE), "700 pages, compared");
	hmm_say(fd, HMM_DMIRROR_MIGRATE_TO_SYS, "700 pages, back", m, 700, NULL);
	sys_close(fd);
	close(file);
}

void hmm_area_back(void)
{
	int fd = hmm_open(0);
	char *m = filled(8, 1);

	hmm_say(fd, HMM_DMIRROR_MIGRATE_TO_SYS, "never on the device", m, 8, NULL);
	to_device(fd, m + 2 * PAGE, 4);
	hmm_say(fd, HMM_DMIRROR_MIGRATE_TO_SYS, "half on the device", m, 8, NULL);
	to_device(fd, m, 8);
	hmm_say(fd, HMM_DMIRROR_MIGRATE_TO_SYS, "data to nowhere", m, 8, NOWHERE);
	say_bytes("data to nowhere, what the CPU finds", m, 8);
	to_device(fd, m, 8);
	mprotect(m + 4 * PAGE, PAGE, PROT_READ);
	hmm_say(fd, HMM_DMIRROR_MIGRATE_TO_SYS, "a read-only page", m, 8, NULL);
	hmm_say_snapshot(fd, "a read-only page, snapshot", m, 8);
	mprotect(m + 4 * PAGE, PAGE, RW);
	to_device(fd, m, 8);
	munmap(m + 4 * PAGE, PAGE);
	hmm_say(fd, HMM_DMIRROR_MIGRATE_TO_SYS, "a hole", m, 8, NULL);
	hmm_say_snapshot(fd, "a hole, snapshot", m, 8);
	hmm_say(fd, HMM_DMIRROR_MIGRATE_TO_SYS, "after the hole", m + 5 * PAGE, 3, NULL);
	sys_close(fd);
}

void hmm_area_snapshot(void)
{
	int fd = hmm_open(0), file = file_of(4, 0x31);
	char *m = memory(8, RW), *r;

	hmm_say_snapshot(fd, "unpopulated", m, 8);
	fill(m + PAGE, 1, 1);
	say_load("a zero page", m + 2 * PAGE);
	fill(m + 3 * PAGE, 1, 3);
	mprotect(m + 3 * PAGE, PAGE, PROT_READ);
	fill(m + 4 * PAGE, 1, 4);
	mprotect(m + 4 * PAGE, PAGE, PROT_NONE);
	mprotect(m + 5 * PAGE, PAGE, PROT_WRITE);
	munmap(m + 6 * PAGE, PAGE);
	to_device(fd, m + 7 * PAGE, 1);
	hmm_say_snapshot(fd,
			 "none, written, zero, read-only, inaccessible, write-only, hole, migrated",
			 m, 8);
	r = filled(4, 1);
	mprotect(r, 4 * PAGE, PROT_READ);
	mprotect(r, 4 * PAGE, RW);
	hmm_say_snapshot(fd, "writable again", r, 4);
	r[0] = 1;
	hmm_say_snapshot(fd, "written again", r, 4);
	hmm_say_snapshot(fd, "page 0", NULL, 2);
	hmm_say_snapshot(fd, "beyond user space", (void *)(1UL << 56), 2);
	hmm_say(fd, HMM_DMIRROR_SNAPSHOT, "100 pages to a place for 33", m, 100, edge(33, NULL));
	hmm_say(fd, HMM_DMIRROR_SNAPSHOT, "to nowhere", m, 1, NOWHERE);

	r = mmap(NULL, 6 * PAGE, PROT_READ, MAP_SHARED, file, 0);
	hmm_say_snapshot(fd, "shared file, untouched", r, 6);
	say_bytes("shared file", r, 4);
	hmm_say_snapshot(fd, "shared file, read", r, 6);
	r = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, file, 0);
	r[0] = 1;
	hmm_say_snapshot(fd, "shared file, its first page written", r, 1);
	r = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, file, 0);
	r[0] = 1;
	hmm_say_snapshot(fd, "private file, its first page written", r, 1);
	r = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	hmm_say_snapshot(fd, "shared memory, untouched", r, 4);
	r[0] = 1;
	hmm_say_snapshot(fd, "shared memory, its first page written", r, 1);
	sys_close(fd);
	close(file);
}

void hmm_area_exclusive(void)
{
	int fd = hmm_open(0), other = hmm_open(1), file = file_of(4, 0x31);
	char *m = filled(4, 1), *data = filled(4, 0xa0);

	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "4 pages", m, 4);
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "checked", m, 4, NULL);
	hmm_say(other, HMM_DMIRROR_CHECK_EXCLUSIVE, "checked by another device", m, 4, NULL);
	hmm_say_pagemap("pagemap", m, 4);
	hmm_say_snapshot(fd, "snapshot", m, 4);
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "checked after a snapshot", m, 4, NULL);
	hmm_say_data(fd, HMM_DMIRROR_READ, "read by the device", m, 4);
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "checked after the read", m, 4, NULL);
	m[0]++;
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "a page touched", m, 4, NULL);
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "that page", m, 1, NULL);
	say_bytes("what the CPU finds", m, 4);
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "all touched", m, 4, NULL);
	hmm_say_snapshot(fd, "all touched, snapshot", m, 4);

	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "again", m, 4);
	hmm_say(fd, HMM_DMIRROR_WRITE, "written by the device", m, 4, data);
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "written, checked", m, 4, NULL);
	say_bytes("written, what the CPU finds", m, 4);
	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "for the other device", m, 4);
	hmm_say_data(other, HMM_DMIRROR_READ, "the other device reads", m, 4);
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "the other device has read", m, 4, NULL);
	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "once more", m, 4);
	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "twice", m, 4);
	hmm_say_data(other, HMM_DMIRROR_EXCLUSIVE, "the other device too", m, 4);
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "the other device has it", m, 4, NULL);
	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "before mprotect", m, 4);
	mprotect(m, 4 * PAGE, PROT_READ);
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "after mprotect", m, 4, NULL);
	hmm_say(fd, HMM_DMIRROR_WRITE, "after mprotect, written", m, 4, data);
	mprotect(m, 4 * PAGE, RW);
	say_bytes("after mprotect, what the CPU finds", m, 4);
	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "before munmap", m, 4);
	munmap(m, 2 * PAGE);
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "after munmap of half", m, 4, NULL);
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "the part unmapped", m, 2, NULL);
	say_bytes("the other half, what the CPU finds", m + 2 * PAGE, 2);
	m = filled(4, 1);
	to_device(fd, m, 2);
	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "half on the device", m, 4);
	hmm_say_snapshot(fd, "half on the device, snapshot", m, 4);
	m = filled(4, 1);
	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "before migration", m, 4);
	hmm_say_data(fd, HMM_DMIRROR_MIGRATE_TO_DEV, "migrated", m, 4);
	hmm_say_snapshot(fd, "migrated, snapshot", m, 4);
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "migrated, checked", m, 4, NULL);

	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "unpopulated", memory(4, RW), 4);
	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "read-only", memory(4, PROT_READ), 4);
	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "inaccessible", memory(4, PROT_NONE), 4);
	m = filled(4, 1);
	munmap(m + 2 * PAGE, PAGE);
	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "a hole", m, 4);
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "before the hole", m, 2, NULL);
	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "nowhere", (void *)PAGE, 1);
	m = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fill(m, 4, 1);
	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "shared memory", m, 4);
	m = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, file, 0);
	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "private file", m, 4);
	say_bytes("private file, what the CPU finds", m, 4);
	m = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, file, 0);
	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "shared file", m, 4);
	m = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);
	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "the device's own pages", m, 4);
	m = filled(4, 1);
	hmm_say(fd, HMM_DMIRROR_EXCLUSIVE, "data to nowhere", m, 4, NOWHERE);
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "data to nowhere, checked", m, 4, NULL);
	sys_close(fd);
	say_bytes("after close, what the CPU finds", m, 4);
	sys_close(other);
	close(file);
}

/* Runs `body` in a child and waits for it. */
#define IN_CHILD(...)                    \
	do {                             \
		pid_t child;             \
                                         \
		fflush(stdout);          \
		child = fork();          \
		if (child == 0) {        \
			__VA_ARGS__;     \
			fflush(stdout);  \
			_exit(0);        \
		}                        \
		waitpid(child, NULL, 0); \
	} while (0)

void hmm_area_fork(void)
{
	int fd = hmm_open(0), own;
	char *m = filled(4, 1), *shared, *data = filled(4, 0xa0);

	to_device(fd, m, 4);
	IN_CHILD(say_bytes("migrated, what the child finds", m, 4); m[0] = 0x55;
		 say_bytes("migrated, what the child wrote", m, 4));
	say_bytes("migrated, what the parent finds", m, 4);
	hmm_say_data(fd, HMM_DMIRROR_READ, "afterwards, read", m, 4);

	to_device(fd, m, 4);
	IN_CHILD(own = hmm_open(0); hmm_say_snapshot(own, "child's snapshot", m, 4);
		 if (may_read_again()) hmm_say_data(own, HMM_DMIRROR_READ, "child's read", m, 4);
		 hmm_say(own, HMM_DMIRROR_WRITE, "child's write", m, 4, data);
		 say_bytes("child's write, what the child finds", m, 4));
	say_bytes("child's write, what the parent finds", m, 4);

	m = filled(4, 1);
	hmm_call(fd, HMM_DMIRROR_WRITE, m, 4, data, NULL);
	IN_CHILD((void)0);
	hmm_say_snapshot(fd, "after a fork, snapshot", m, 4);
	hmm_say(fd, HMM_DMIRROR_WRITE, "after a fork, written", m, 4, data);
	hmm_say_snapshot(fd, "after a fork, written, snapshot", m, 4);

	/* The inherited descriptor is the parent's mirror: its addresses are the parent's. */
	m = filled(4, 1);
	shared = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	IN_CHILD(fill(m, 4, 0x21);
		 hmm_say_data(fd, HMM_DMIRROR_READ, "child, through the parent's", m, 4);
		 hmm_say(fd, HMM_DMIRROR_WRITE, "child, written through the parent's", m, 4,
			 filled(4, 0x61));
		 say_bytes("child, written through the parent's, what the child finds", m, 4));
	say_bytes("child, written through the parent's, what the parent finds", m, 4);
	IN_CHILD(own = hmm_open(0);
		 hmm_say(own, HMM_DMIRROR_WRITE, "child, shared memory", shared, 4, data));
	say_bytes("child, shared memory, what the parent finds", shared, 4);

	m = filled(4, 1);
	hmm_say_data(fd, HMM_DMIRROR_EXCLUSIVE, "exclusive", m, 4);
	IN_CHILD(m[0]++; say_bytes("exclusive, what the child finds", m, 4));
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "exclusive, after the fork", m, 4, NULL);
	say_bytes("exclusive, what the parent finds", m, 4);

	/* A child that closes its copy takes nothing away; one that opens and ends evicts. */
	m = filled(4, 1);
	to_device(fd, m, 4);
	IN_CHILD(close(fd));
	hmm_say_snapshot(fd, "child closed its copy, snapshot", m, 4);
	IN_CHILD(own = hmm_open(0); (void)own);
	hmm_say_pagemap("child opened the device and ended, pagemap", m, 4);
	say_bytes("child opened the device and ended, what the parent finds", m, 4);
	sys_close(fd);
}

/* No page is all zeroes: a kernel that splits a huge page may let go of such ones. */
static void fill_huge(char *address)
{
	for (unsigned i = 0; i < 512; i++)
		fill(address + i * PAGE, 1, 1 + i % 255);
}

void hmm_area_huge(void)
{
	int fd = hmm_open(0), other = hmm_open(1);
	char *m = huge_memory(1), *data = memory(512, RW), *r;

	fill_huge(m);
	if (madvise(m, HUGE, 25)) /* MADV_COLLAPSE */
		give_up("MADV_COLLAPSE", -errno);
	hmm_say_snapshot(fd, "a huge page", m, 512);
	hmm_say(fd, HMM_DMIRROR_READ, "a huge page, read", m, 512, data);
	hmm_say(fd, HMM_DMIRROR_MIGRATE_TO_DEV, "a huge page, migrated", m, 512, data);
	say(memcmp(data + 300 * PAGE, "\x2e\x2e", 2), "a huge page, its data");
	hmm_say_snapshot(fd, "on the device", m, 512);
	hmm_say_snapshot(other, "on the device, seen by another", m, 512);
	hmm_say_pagemap("on the device, pagemap", m, 512);
	hmm_say_data(fd, HMM_DMIRROR_READ, "a part of it", m + 8 * PAGE, 4);
	say_load("a load", m + 100 * PAGE);
	hmm_say_pagemap("after a load, pagemap", m, 512);
	hmm_say_snapshot(fd, "after a load", m, 512);

	r = huge_memory(1);
	hmm_say(fd, HMM_DMIRROR_MIGRATE_TO_DEV, "unpopulated", r, 512, data);
	hmm_say_snapshot(fd, "unpopulated, on the device", r, 512);
	hmm_say(fd, HMM_DMIRROR_MIGRATE_TO_SYS, "unpopulated, back", r, 512, data);
	hmm_say_snapshot(fd, "unpopulated, back, snapshot", r, 512);
	r = huge_memory(1);
	fill_huge(r);
	hmm_say(fd, HMM_DMIRROR_MIGRATE_TO_DEV, "a part of a huge page", r + 16 * PAGE, 16, data);
	hmm_say_snapshot(fd, "a part of a huge page, snapshot", r, 512);
	r = huge_memory(1);
	fill_huge(r);
	hmm_say(fd, HMM_DMIRROR_FLAGS, "fail the next huge allocation", r,
		HMM_DMIRROR_FLAG_FAIL_ALLOC, NULL);
	hmm_say(fd, HMM_DMIRROR_MIGRATE_TO_DEV, "in small pages", r, 512, data);
	hmm_say_snapshot(fd, "in small pages, snapshot", r, 512);
	say_load("in small pages, a load", r + 100 * PAGE);
	hmm_say_pagemap("in small pages, after a load, pagemap", r, 512);
	r = huge_memory(1);
	fill_huge(r);
	to_device(fd, r, 512);
	munmap(r, 100 * PAGE);
	say_load("half unmapped, a load", r + 100 * PAGE);
	hmm_say_pagemap("half unmapped, after a load, pagemap", r + 100 * PAGE, 412);
	r = huge_memory(1);
	fill_huge(r);
	hmm_say(fd, HMM_DMIRROR_EXCLUSIVE, "exclusive", r, 4, data);
	hmm_say(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, "exclusive, checked", r, 4, NULL);
	hmm_say_snapshot(fd, "exclusive, snapshot", r, 512);
	sys_close(fd);
	sys_close(other);
}
