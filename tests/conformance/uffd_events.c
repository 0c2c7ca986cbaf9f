// SPDX-License-Identifier: BSD-3-Clause
/* Events: what tells of memory that moves or goes, and who waits for whom meanwhile. */
#include <fcntl.h>
#include <poll.h>

#include "uffd.h"

#define REMAP  UFFD_FEATURE_EVENT_REMAP
#define REMOVE UFFD_FEATURE_EVENT_REMOVE
#define UNMAP  UFFD_FEATURE_EVENT_UNMAP

static char *m, *n;

static long run_madvise(struct job *job)
{
	return madvise(job->address, job->size, (int)job->a);
}

static long run_munmap(struct job *job)
{
	return munmap(job->address, job->size);
}

/* To b, with flags a; from its size to itself. */
static long run_mremap(struct job *job)
{
	size_t size = job->size & 0xffffffff, new_size = job->size >> 32;
	void *p =
		mremap(job->address, size, new_size ? new_size : size, (int)job->a, (void *)job->b);

	if (p == MAP_FAILED)
		return -1;
	snprintf(job->outcome, sizeof(job->outcome), "%s", place(p));
	return 0;
}

static long run_mmap_over(struct job *job)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	void *p = mmap(job->address, job->size, (int)job->b, flags | (int)job->a, -1, 0);

	return p == MAP_FAILED ? -1 : 0;
}

static long run_mprotect(struct job *job)
{
	return mprotect(job->address, job->size, (int)job->a);
}

static long run_punch(struct job *job)
{
	return fallocate((int)job->a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			 (off_t)job->size);
}

static long run_truncate(struct job *job)
{
	return ftruncate((int)job->a, (off_t)job->size);
}

static void watch(int fd, enum kind kind, uint64_t pages)
{
	m = memory(kind, pages);
	name_range("m", m, pages);
	must_register(fd, m, pages, MISSING);
	for (uint64_t i = 0; i < pages; i++)
		copy_byte(fd, m + i * PAGE, 0x41 + (unsigned)i, 0);
}

/* One letter, when a thread sleeps or waits as told; or it gives up. */
static void await_state(const struct job *job, char state)
{
	for (int ms = 0; ms < PATIENCE; ms++) {
		char text[512] = "", *end;
		FILE *f;

		while (!job->thread_id)
			sched_yield();
		f = fopen(label("/proc/self/task/%d/stat", (int)job->thread_id), "r");
		if (f) {
			if (!fgets(text, sizeof(text), f))
				text[0] = 0;
			fclose(f);
		}
		end = strrchr(text, ')');
		if (end && end[2] == state)
			return;
		poll(NULL, 0, 1);
	}
	give_up("state of a thread", state);
}

static void removal(enum kind kind)
{
	static const struct {
		const char *name;
		int advice;
	} advices[] = {{"MADV_DONTNEED", MADV_DONTNEED}, {"MADV_FREE", MADV_FREE},
		       {"MADV_REMOVE", MADV_REMOVE},     {"MADV_COLD", MADV_COLD},
		       {"MADV_PAGEOUT", MADV_PAGEOUT},   {"MADV_WILLNEED", MADV_WILLNEED}};

	for (size_t i = 0; i < ARRAY_SIZE(advices); i++) {
		const char *k = kind_names[kind], *a = advices[i].name;
		bool told = i < 2 || (i == 2 && (kind == SHARED || kind == MEMFD));
		int fd = uffd_new(REMAP | REMOVE | UNMAP);
		struct job *job;

		watch(fd, kind, 4);
		/* What can be paged out may or may not go: no page of it is looked at. */
		job = start("job", run_madvise, m + PAGE, 2 * PAGE, advices[i].advice, 0);
		if (told) {
			await_message(fd);
			say_text(label("%s, %s, still there", k, a), "%s", try_read(m + PAGE));
			say_fdinfo(fd, label("%s, %s, fdinfo", k, a));
			say_message(fd, label("%s, %s", k, a));
		}
		say_finished(job, label("%s, %s, job", k, a));
		say_no_message(fd, label("%s, %s, no more", k, a));
		if (told && i != 1)
			say_pagemap(label("%s, %s, pagemap", k, a), m, 4);
		close(fd);
	}
}

void uffd_area_remove(void)
{
	int fd, file;
	struct job *job;
	char *alias;

	for (enum kind kind = ANON; kind < FILLABLE; kind++)
		removal(kind);
	/* Once for each mapping; nothing for what isn't watched; nothing without the feature. */
	fd = uffd_new(REMOVE);
	watch(fd, ANON, 8);
	do_range(fd, UFFDIO_UNREGISTER, m + 2 * PAGE, 2 * PAGE);
	mprotect(m + 6 * PAGE, 2 * PAGE, PROT_READ);
	job = start("job", run_madvise, m, 8 * PAGE, MADV_DONTNEED, 0);
	say_message(fd, "first of three mappings");
	say_message(fd, "second");
	say_message(fd, "third");
	say_finished(job, "job");
	say_no_message(fd, "no more");
	say_pagemap("all gone", m, 8);
	job = start("job", run_madvise, m + 2 * PAGE, 2 * PAGE, MADV_DONTNEED, 0);
	say_finished(job, "what isn't watched");
	job = start("job", run_madvise, m + PAGE, 0, MADV_DONTNEED, 0);
	say_finished(job, "of nothing");
	job = start("job", run_madvise, m + 1, PAGE, MADV_DONTNEED, 0);
	say_finished(job, "unaligned");
	job = start("job", run_madvise, m, 100, MADV_DONTNEED, 0);
	say_message(fd, "100 bytes");
	say_finished(job, "job");
	job = start("job", run_mprotect, m, PAGE, PROT_READ, 0);
	say_finished(job, "mprotect");
	job = start("job", run_munmap, m, PAGE, 0, 0);
	say_finished(job, "munmap");
	say_no_message(fd, "of neither");
	close(fd);

	/* The file's side. */
	file = memfd(4);
	fd = uffd_new(REMOVE | UNMAP);
	m = memory_of(file, 4);
	alias = memory_of(file, 4);
	name_range("m", m, 4);
	fill(alias, 4, 0x51);
	must_register(fd, m, 4, MISSING);
	say_bytes("of a file", m, 4);
	job = start("job", run_punch, NULL, PAGE, file, 0);
	say_finished(job, "hole in the file");
	job = start("job", run_truncate, NULL, 2 * PAGE, file, 0);
	say_finished(job, "file cut");
	job = start("job", run_madvise, alias + PAGE, PAGE, MADV_REMOVE, 0);
	say_finished(job, "MADV_REMOVE by another mapping");
	say_no_message(fd, "none of them says anything");
	say_pagemap("of a file, pagemap", m, 4);
	close(fd);
	close(file);
}

/* What is mapped over may have its pages at once. */
static void populated(int fd, const char *what, int protection, int flags)
{
	char *p = memory(ANON, 4);
	struct job *job;

	name_range("p", p, 4);
	must_register(fd, p, 4, MISSING);
	job = start("job", run_mmap_over, p + PAGE, 2 * PAGE, flags, protection);
	say_message(fd, what);
	say_finished(job, label("%s, job", what));
	say_pagemap(label("%s, pagemap", what), p, 4);
}

void uffd_area_unmap(void)
{
	int fd = uffd_new(UNMAP);
	struct job *job;

	watch(fd, ANON, 8);
	job = start("job", run_munmap, m + 2 * PAGE, 2 * PAGE, 0, 0);
	await_message(fd);
	say_text("gone already", "%s", try_read(m + 2 * PAGE));
	say_message(fd, "munmap of a part");
	say_finished(job, "job");
	job = start("job", run_munmap, m, 8 * PAGE, 0, 0);
	say_message(fd, "munmap of two mappings");
	say_finished(job, "job");
	say_no_message(fd, "no more");
	job = start("job", run_munmap, m, 8 * PAGE, 0, 0);
	say_finished(job, "munmap of nothing");

	watch(fd, SHARED, 8);
	job = start("job", run_mmap_over, m + PAGE, 2 * PAGE, 0, RW);
	say_message(fd, "mapped over");
	say_finished(job, "job");
	say_bytes("which is", m + PAGE, 2);
	job = start("job", run_munmap, m + PAGE, PAGE, 0, 0);
	say_finished(job, "munmap of what was mapped over");
	populated(fd, "populated", RW, MAP_POPULATE);
	populated(fd, "populated, to be read", PROT_READ, MAP_POPULATE);
	populated(fd, "populated, out of reach", PROT_NONE, MAP_POPULATE);
	populated(fd, "populated, if that needs no wait", RW, MAP_POPULATE | MAP_NONBLOCK);
	job = start("job", run_madvise, m, PAGE, MADV_DONTNEED, 0);
	say_finished(job, "MADV_DONTNEED without its feature");
	/* A shrinking mremap unmaps. */
	job = start("job", run_mremap, m + 3 * PAGE, 4 * PAGE | 1 * PAGE << 32, 0, 0);
	say_message(fd, "mremap that shrinks");
	say_finished(job, "job");
	say_no_message(fd, "no more");
	close(fd);

	/* Whoever waits for a page of it gets what is there then. */
	fd = uffd_new(UNMAP);
	m = memory(ANON, 4);
	name_range("m", m, 4);
	must_register(fd, m, 4, MISSING);
	{
		struct job *reader = start_read("reader", m + PAGE);

		say_message(fd, "a fault");
		job = start("job", run_munmap, m, 4 * PAGE, 0, 0);
		say_message(fd, "munmap under it");
		say_finished(job, "job");
		say_fdinfo(fd, "the reader waits");
		say_range(fd, UFFDIO_WAKE, "WAKE", m, 4 * PAGE);
		say_finished(reader, "reader");
	}
	close(fd);
}

static void remap(const char *what, int fd, char *from, size_t pages, int flags, char *to,
		  unsigned messages)
{
	struct job *job = start("job", run_mremap, from, pages * PAGE, flags, (long)to);

	for (unsigned i = 0; i < messages; i++)
		say_message(fd, label("%s, message %u", what, i));
	say_finished(job, label("%s, to", what));
	say_no_message(fd, label("%s, no more", what));
}

void uffd_area_remap(void)
{
	const int fixed = MREMAP_MAYMOVE | MREMAP_FIXED;
	int fd = uffd_new(REMAP);
	struct job *job;

	watch(fd, ANON, 8);
	n = memory(ANON, 8);
	name_range("n", n, 8);
	remap("moved", fd, m, 4, fixed, n, 1);
	say_bytes("moved, bytes", n, 4);
	madvise(n, PAGE, MADV_DONTNEED);
	job = start_read("job", n);
	say_message(fd, "moved and missing");
	say(copy_byte(fd, n, 0x51, 0), "COPY");
	say_finished(job, "job");
	say_text("where it was", "%s", try_read(m));
	say(copy_byte(fd, m, 0x52, 0), "COPY where it was");
	remap("to where it is", fd, n, 1, 0, NULL, 0);
	remap("part of it back", fd, n + PAGE, 1, fixed, m + 4 * PAGE, 1);
	remap("what isn't watched", fd, n + 5 * PAGE, 1, fixed, m, 0);
	close(fd);

	fd = uffd_new(REMAP | UNMAP | REMOVE);
	watch(fd, ANON, 8);
	n = memory(ANON, 8);
	name_range("n", n, 8);
	remap("with UNMAP", fd, m, 4, fixed, n, 2);
	remap("over what is watched", fd, m + 4 * PAGE, 2, fixed, n, 3);
	remap("that is left", fd, n + 2 * PAGE, 1, MREMAP_MAYMOVE | MREMAP_FIXED | 4, m, 1);
	say_bytes("that is left, moved", m, 1);
	job = start_read("job", n + 2 * PAGE);
	say_message(fd, "that is left, where it was");
	say(copy_byte(fd, n + 2 * PAGE, 0x61, 0), "COPY");
	say_finished(job, "job");
	close(fd);

	/* Growing in place, and away. */
	fd = uffd_new(REMAP | UNMAP);
	n = memory(ANON, 8);
	name_range("n", n, 8);
	m = memory(ANON, 8);
	name_range("m", m, 8);
	munmap(m + 4 * PAGE, 4 * PAGE);
	must_register(fd, m, 4, MISSING);
	job = start("job", run_mremap, m, 4 * PAGE | 8 * PAGE << 32, 0, 0);
	say_finished(job, "grown in place, to");
	say_no_message(fd, "grown in place, no more");
	job = start_read("job", m + 6 * PAGE);
	say_message(fd, "what has grown is missing");
	say(copy_byte(fd, m + 6 * PAGE, 0x71, 0), "COPY");
	say_finished(job, "job");
	job = start("job", run_mremap, m, 4 * PAGE | 6 * PAGE << 32, fixed, (long)n);
	say_message(fd, "grown away");
	say_message(fd, "grown away, second");
	say_finished(job, "grown away, to");
	say_no_message(fd, "grown away, no more");
	say_register(fd, "what has grown can be registered", n, 6 * PAGE, MISSING);
	close(fd);
}

/* ---- while an event waits to be read ---- */

void uffd_area_changing(void)
{
	int fd = uffd_new(REMOVE), other = uffd_new(0);
	char *source = filled(4, 0x81), *unread = memory(ANON, 2), zeroes[64] = "";
	struct job *job, *reader;

	watch(fd, MEMFD, 8);
	name_range("u", unread, 2);
	must_register(fd, unread, 2, MISSING | WP);
	job = start("job", run_madvise, m, PAGE, MADV_DONTNEED, 0);
	await_message(fd);
	await_state(job, 'D');
	say_text("the thread waits", "%s", job->done ? "no" : "D");
	say_transfer(fd, UFFDIO_COPY, "COPY", unread, source, PAGE, 0);
	say_transfer(fd, UFFDIO_COPY, "COPY, bad in all ways", unread + 1, NULL, 1, ~0UL);
	say_transfer(fd, UFFDIO_MOVE, "MOVE", unread, source, PAGE, 0);
	say_transfer(fd, UFFDIO_MOVE, "MOVE, bad in all ways", unread + 1, NULL, 1, ~0UL);
	say_fill(fd, UFFDIO_ZEROPAGE, "ZEROPAGE", unread, PAGE, 0);
	say_fill(fd, UFFDIO_ZEROPAGE, "ZEROPAGE, bad", unread + 1, 1, ~0UL);
	say_fill(fd, UFFDIO_CONTINUE, "CONTINUE", m, PAGE, 0);
	say_fill(fd, UFFDIO_CONTINUE, "CONTINUE, bad", m + 1, 1, ~0UL);
	say_fill(fd, UFFDIO_POISON, "POISON", unread, PAGE, 0);
	say_fill(fd, UFFDIO_POISON, "POISON, bad", unread + 1, 1, ~0UL);
	say_protect(fd, UFFDIO_WRITEPROTECT, "WRITEPROTECT", unread, PAGE, 1);
	say_protect(fd, UFFDIO_WRITEPROTECT, "WRITEPROTECT, bad", unread + 1, 1, 7);
	say(result(ioctl(fd, UFFDIO_COPY, NOWHERE)), "COPY, nowhere");
	say(result(ioctl(fd, UFFDIO_WRITEPROTECT, NOWHERE)), "WRITEPROTECT, nowhere");
	say(result(ioctl(fd, UFFDIO_COPY, read_only(sizeof(zeroes), zeroes))),
	    "COPY, can't be written");
	say_range(fd, UFFDIO_WAKE, "WAKE", m, PAGE);
	say_register(fd, "REGISTER", unread, 2 * PAGE, MISSING | WP);
	say_range(fd, UFFDIO_UNREGISTER, "UNREGISTER", unread, PAGE);
	say_range(fd, UFFDIO_UNREGISTER, "UNREGISTER of what is told of", m, PAGE);
	say(copy_byte(other, unread + PAGE, 0x41, 0), "COPY by another file");
	say_fdinfo(fd, "fdinfo");
	say_message(fd, "the event");
	say_finished(job, "job");
	say(copy_byte(fd, unread + PAGE, 0x42, 0), "COPY then");
	close(fd);

	fd = uffd_new(REMOVE);
	watch(fd, ANON, 2);
	unread = memory(ANON, 2);
	name_range("u", unread, 2);
	must_register(fd, unread, 2, MISSING);
	job = start("job", run_madvise, m, PAGE, MADV_DONTNEED, 0);
	await_message(fd);
	reader = start_read("reader", unread);
	await_pending(fd, 1);
	say_fdinfo(fd, "an event and a fault");
	{
		struct uffd_msg both[4];
		long r = result(read(fd, both, sizeof(both)));

		say(r, "read of both");
		if (r == 64)
			say_text("which are", "%s; %s", message_text(&both[0]),
				 message_text(&both[1]));
	}
	say_finished(job, "job");
	say(copy_byte(fd, unread, 0x43, 0), "COPY");
	say_finished(reader, "reader");
	/* Closing lets who waits go on. */
	job = start("job", run_madvise, m, PAGE, MADV_DONTNEED, 0);
	await_message(fd);
	close(fd);
	say_finished(job, "job after close");
	say_bytes("what is left", m, 2);
	close(other);
}
