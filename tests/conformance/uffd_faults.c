// SPDX-License-Identifier: BSD-3-Clause
/* Faults of missing pages: what their messages say, who waits, who is woken by what. */
#include <signal.h>

#include "uffd.h"

static void one_fault(enum kind kind, uint64_t features, bool write)
{
	char k[64];
	char *m = memory(kind, 4);
	int fd = uffd_new(features);
	struct job *job;

	snprintf(k, sizeof(k), "%s, %s, features %#lx", kind_names[kind], write ? "write" : "read",
		 (unsigned long)features);
	name_range("m", m, 4);
	must_register(fd, m, 4, MISSING);
	job = write ? start_write("the job", m + 2 * PAGE + 0x123, 0x77)
		    : start_read("the job", m + 2 * PAGE + 0x123);
	say_message(fd, k);
	say_no_message(fd, label("%s, no more", k));
	say_fdinfo(fd, label("%s, fdinfo", k));
	say(copy_byte(fd, m + 2 * PAGE, 0x41, 0), "%s, COPY", k);
	say_finished(job, label("%s, job", k));
	say_bytes(label("%s, then", k), m + 2 * PAGE + 0x123, 1);
	say_fdinfo(fd, label("%s, fdinfo then", k));
	close(fd);
}

static void several_threads(void)
{
	char *m = memory(ANON, 8);
	int fd = uffd_new(UFFD_FEATURE_THREAD_ID);
	struct job *jobs[4];

	name_range("m", m, 8);
	must_register(fd, m, 8, MISSING);
	jobs[0] = start_read("a", m);
	await_pending(fd, 1);
	jobs[1] = start_read("b", m + 8);
	await_pending(fd, 2);
	jobs[2] = start_write("c", m + 16, 0x51);
	await_pending(fd, 3);
	jobs[3] = start_read("d", m + 3 * PAGE);
	await_pending(fd, 4);
	say_fdinfo(fd, "four wait");
	say_message(fd, "first");
	say_message(fd, "second");
	say_fdinfo(fd, "two are read");
	say_message(fd, "third");
	say_message(fd, "fourth");
	say_fdinfo(fd, "all are read");
	say(copy_byte(fd, m, 0x41, 0), "COPY");
	say_finished(jobs[0], "a read");
	say_finished(jobs[1], "b read");
	say_finished(jobs[2], "c wrote");
	say_fdinfo(fd, "one waits");
	say(do_fill(fd, UFFDIO_ZEROPAGE, m + 3 * PAGE, PAGE, 0, NULL), "ZEROPAGE");
	say_finished(jobs[3], "d read");
	say_fdinfo(fd, "nobody waits");

	/* One call for many, and those it does not reach. */
	for (unsigned i = 0; i < 3; i++)
		jobs[i] = start_read(i == 0 ? "a" : i == 1 ? "b" : "c", m + (4 + i) * PAGE);
	say_messages(fd, "three pages", 3);
	say(do_transfer(fd, UFFDIO_COPY, m + 4 * PAGE, filled(2, 0x61), 2 * PAGE, 0, NULL),
	    "COPY of two");
	say_finished(jobs[0], "first of two");
	say_finished(jobs[1], "second of two");
	say_fdinfo(fd, "the third waits");
	say(copy_byte(fd, m + 6 * PAGE, 0x71, 0), "COPY of the third");
	say_finished(jobs[2], "the third");
	close(fd);
}

static void vanished(void)
{
	char *m = memory(ANON, 8);
	int fd = uffd_new(0);
	struct job *job, *other;

	name_range("m", m, 8);
	must_register(fd, m, 8, MISSING);
	job = start_read("job", m);
	await_message(fd);
	say(copy_byte(fd, m, 0x41, 0), "COPY before the message is read");
	say_finished(job, "the job");
	say_no_message(fd, "the message is gone");
	/* One of several. */
	job = start_read("job", m + PAGE);
	await_pending(fd, 1);
	other = start_read("other", m + 2 * PAGE);
	await_pending(fd, 2);
	say(copy_byte(fd, m + PAGE, 0x42, 0), "COPY for the first of two");
	say_finished(job, "the first");
	say_message(fd, "the second's message is left");
	say_no_message(fd, "and nothing more");
	say(copy_byte(fd, m + 2 * PAGE, 0x43, 0), "COPY for the second");
	say_finished(other, "the second");
	/* A page that comes otherwise. */
	job = start_read("job", m + 3 * PAGE);
	await_message(fd);
	say_range(fd, UFFDIO_UNREGISTER, "UNREGISTER before the message is read", m, 8 * PAGE);
	say_finished(job, "the job after UNREGISTER");
	say_no_message(fd, "its message is gone");
	close(fd);
}

static int handled[2];

static void on_usr1(int number)
{
	char byte = 'x';

	if (write(handled[1], &byte, 1) != 1)
		_exit(3);
}

static void interrupted(void)
{
	struct sigaction action = {.sa_handler = on_usr1};
	char *m = memory(ANON, 4), byte;
	int fd = uffd_new(0);
	struct job *job;

	if (pipe(handled))
		give_up("pipe", -errno);
	name_range("m", m, 4);
	must_register(fd, m, 4, MISSING);
	sigaction(SIGUSR1, &action, NULL);
	job = start_read("job", m + 0x10);
	say_message(fd, "before the signal");
	pthread_kill(job->thread, SIGUSR1);
	say(read(handled[0], &byte, 1), "the handler ran");
	say_message(fd, "after the signal");
	say_fdinfo(fd, "one waits");
	/* A message that is not read is replaced by the next, too. */
	pthread_kill(job->thread, SIGUSR1);
	say(read(handled[0], &byte, 1), "the handler ran again");
	await_pending(fd, 1);
	say_message(fd, "after the second signal");
	say_no_message(fd, "and nothing more");
	say(copy_byte(fd, m, 0x41, 0), "COPY");
	say_finished(job, "the job");

	/* While it waits a signal that comes is handled before the page does. */
	job = start_read("job", m + PAGE);
	await_pending(fd, 1);
	pthread_kill(job->thread, SIGUSR1);
	say(read(handled[0], &byte, 1), "the handler ran with the message unread");
	await_pending(fd, 1);
	say_message(fd, "one message for both");
	say(copy_byte(fd, m + PAGE, 0x42, 0), "COPY");
	say_finished(job, "the job, again");
	close(fd);
}

static void closed(void)
{
	char *m = memory(ANON, 8);
	int fd = uffd_new(0), other;
	struct job *read_one, *unread;

	must_register(fd, m, 8, MISSING);
	read_one = start_read("a", m);
	take_message(fd);
	unread = start_write("b", m + PAGE, 0x51);
	await_message(fd);
	other = dup(fd);
	close(fd);
	say_fdinfo(other, "the last descriptor but one is closed");
	close(other);
	say_finished(read_one, "one whose message was read");
	say_finished(unread, "one whose message wasn't");
	say_bytes("after close", m, 4);
	say_pagemap("after close, pagemap", m, 4);

	fd = uffd_new(0);
	m = memory(SHARED, 8);
	must_register(fd, m, 8, MISSING);
	read_one = start_read("a", m);
	take_message(fd);
	unread = start_write("b", m + 5 * PAGE, 0x51);
	await_message(fd);
	say_range(fd, UFFDIO_UNREGISTER, "UNREGISTER of a part", m, 2 * PAGE);
	say_finished(read_one, "one in the part");
	say_message(fd, "the other's message is left");
	say_range(fd, UFFDIO_UNREGISTER, "UNREGISTER of all", m, 8 * PAGE);
	say_finished(unread, "the other");
	say_no_message(fd, "and then");
	close(fd);
}

/* What takes pages away, and what becomes of the range. */
static void changed(enum kind kind)
{
	const char *k = kind_names[kind];
	char *m = memory(kind, 8), *n;
	int fd = uffd_new(0);
	struct job *job;

	name_range("m", m, 8);
	must_register(fd, m, 8, MISSING);
	for (unsigned i = 0; i < 8; i++)
		copy_byte(fd, m + i * PAGE, 0x41 + i, 0);
	say(result(madvise(m, PAGE, MADV_DONTNEED)), "%s, MADV_DONTNEED", k);
	job = start_read("job", m);
	/* A shared page is in the file still. */
	if (kind == ANON || kind == MEMFD_PRIVATE) {
		say_message(fd, label("%s, after MADV_DONTNEED", k));
		say(copy_byte(fd, m, 0x51, 0), "%s, COPY", k);
	}
	say_finished(job, label("%s, job", k));
	if (kind == SHARED || kind == MEMFD) {
		say(result(madvise(m, PAGE, MADV_REMOVE)), "%s, MADV_REMOVE", k);
		job = start_write("job", m, 0x52);
		say_message(fd, label("%s, after MADV_REMOVE", k));
		say(copy_byte(fd, m, 0x51, 0), "%s, COPY", k);
		say_finished(job, label("%s, job", k));
	}
	say(result(mprotect(m + PAGE, PAGE, PROT_NONE)), "%s, mprotect", k);
	say_bytes(label("%s, with the page inaccessible", k), m, 3);
	madvise(m + PAGE, PAGE, kind == SHARED || kind == MEMFD ? MADV_REMOVE : MADV_DONTNEED);
	say_bytes(label("%s, inaccessible and missing", k), m, 3);
	say(copy_byte(fd, m + PAGE, 0x61, 0), "%s, COPY to it", k);
	mprotect(m + PAGE, PAGE, PROT_READ);
	say_bytes(label("%s, with the page readable", k), m, 3);
	say_text(label("%s, write to it", k), "%s", try_write(m + PAGE, 1));
	mprotect(m + PAGE, PAGE, RW);
	say_bytes(label("%s, writable again", k), m, 3);

	/* Moved, without the feature: no longer watched. */
	n = mremap(m + 4 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   memory(ANON, 2));
	say(n == MAP_FAILED ? -errno : 0, "%s, mremap", k);
	say_bytes(label("%s, moved", k), n, 2);
	say(copy_byte(fd, n, 0x71, 0), "%s, COPY to the moved", k);
	say(do_range(fd, UFFDIO_WAKE, m + 4 * PAGE, 2 * PAGE), "%s, WAKE where it was", k);
	say(copy_byte(fd, m + 4 * PAGE, 0x71, 0), "%s, COPY to where it was", k);
	say(copy_byte(fd, m + 6 * PAGE, 0x71, 0), "%s, COPY behind it", k);
	say_register(fd, label("%s, registered again with the hole", k), m, 8 * PAGE, MISSING);
	say(result(munmap(m + 6 * PAGE, PAGE)), "%s, munmap", k);
	say_text(label("%s, read of the unmapped", k), "%s", try_read(m + 6 * PAGE));
	n = mmap(m + 7 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	say_bytes(label("%s, mapped over", k), n, 1);
	say(copy_byte(fd, n, 0x71, 0), "%s, COPY to what was mapped over", k);
	say_no_message(fd, label("%s, no message", k));
	close(fd);
}

/* What has a page in the file, though not here, is no fault of a missing page. */
static void cached(void)
{
	int file = memfd(4), fd = uffd_new(0);
	char *m = memory_of(file, 4), *alias = memory_of(file, 4), *private;
	struct job *job;

	name_range("m", m, 4);
	must_register(fd, m, 4, MISSING);
	alias[0] = 0x21;
	say_bytes("a page of the file's", m, 1);
	say_text("write to a page of the file's", "%s", try_write(m, 0x22));
	job = start_write("job", m + PAGE, 0x23);
	say_message(fd, "one that it has not");
	/* The page comes through the other mapping: that wakes nobody by itself. */
	alias[PAGE] = 0x24;
	alias[PAGE + 1] = 0x25;
	say_range(fd, UFFDIO_WAKE, "WAKE", m + PAGE, PAGE);
	say_finished(job, "the job");
	say_bytes("it has now", m + PAGE, 1);
	say_bytes("and next to it", m + PAGE + 1, 1);
	private = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, file, 0);
	name_range("m", private, 4);
	must_register(fd, private, 4, MISSING);
	say_bytes("a page of the file's, private", private, 1);
	job = start_write("job", private + 2 * PAGE, 0x26);
	say_message(fd, "one that it has not, private");
	say(copy_byte(fd, private + 2 * PAGE, 0x27, 0), "COPY");
	say_finished(job, "the private job");
	say_bytes("private", private, 3);
	say_mincore("the file's", alias, 4);
	say_no_message(fd, "no more");
	close(file);
	close(fd);
}

void uffd_area_faults(void)
{
	static const uint64_t features[] = {0, UFFD_FEATURE_EXACT_ADDRESS, UFFD_FEATURE_THREAD_ID,
					    UFFD_FEATURE_EXACT_ADDRESS | UFFD_FEATURE_THREAD_ID};

	for (enum kind kind = ANON; kind < FILLABLE; kind++)
		for (size_t f = 0; f < (kind == ANON ? ARRAY_SIZE(features) : 1); f++)
			for (int write = 0; write < 2; write++)
				one_fault(kind, features[f], write);
	several_threads();
	vanished();
	interrupted();
	closed();
	for (enum kind kind = ANON; kind < FILLABLE; kind++)
		changed(kind);
	cached();
}

void uffd_area_wake(void)
{
	struct uffdio_range a;
	char *m = memory(ANON, 8);
	int fd = uffd_new(0), other = uffd_new(0);
	struct job *job, *second;
	int64_t field;

	name_range("m", m, 8);
	must_register(fd, m, 8, MISSING);
	a = (struct uffdio_range){(uintptr_t)m, PAGE};
	say(result(ioctl(fd, UFFDIO_WAKE, NOWHERE)), "nowhere");
	say(result(ioctl(fd, UFFDIO_WAKE, edge(sizeof(a) - 1, &a))), "a byte short");
	say(result(ioctl(fd, UFFDIO_WAKE, read_only(sizeof(a), &a))), "can't be written");
	say_range(fd, UFFDIO_WAKE, "nobody waits", m, PAGE);
	say_range(fd, UFFDIO_WAKE, "not registered", memory(ANON, 1), PAGE);
	say_range(fd, UFFDIO_WAKE, "not mapped", (void *)PAGE, PAGE);
	say_range(fd, UFFDIO_WAKE, "length 0", m, 0);
	say_range(fd, UFFDIO_WAKE, "start unaligned", m + 1, PAGE);
	say_range(fd, UFFDIO_WAKE, "length unaligned", m, PAGE + 1);
	say_range(fd, UFFDIO_WAKE, "length that wraps", m, -PAGE);
	say_range(fd, UFFDIO_WAKE, "all of user space", NULL, 0x7ffffffff000);
	say_range(fd, UFFDIO_WAKE, "more than user space", NULL, 1UL << 57);

	job = start_read("job", m + 0x10);
	say_message(fd, "a fault");
	say_range(other, UFFDIO_WAKE, "by another file", m, PAGE);
	say_range(fd, UFFDIO_WAKE, "the page after it", m + PAGE, PAGE);
	say_fdinfo(fd, "still waits");
	say_range(fd, UFFDIO_WAKE, "its page", m, PAGE);
	say_message(fd, "faults again");
	/* One whose message is not read faults again, too. */
	say_range(fd, UFFDIO_WAKE, "its page and others", m, 8 * PAGE);
	say_message(fd, "faults once more");
	say_transfer(fd, UFFDIO_COPY, "COPY without waking", m, filled(1, 0x41), PAGE,
		     UFFDIO_COPY_MODE_DONTWAKE);
	say_fdinfo(fd, "waits though the page is there");
	second = start_read("second", m + 0x20);
	say_finished(second, "another finds the page");
	say_range(fd, UFFDIO_WAKE, "then", m, PAGE);
	say_finished(job, "the job");
	say_no_message(fd, "no more");

	job = start_read("job", m + 3 * PAGE);
	say_message(fd, "a fault for ZEROPAGE");
	say_fill(fd, UFFDIO_ZEROPAGE, "ZEROPAGE without waking", m + 3 * PAGE, PAGE,
		 UFFDIO_ZEROPAGE_MODE_DONTWAKE);
	say_range(fd, UFFDIO_WAKE, "then", m + 2 * PAGE, 2 * PAGE);
	say_finished(job, "the job");

	/* Only what was copied is woken. */
	job = start_read("job", m + 4 * PAGE);
	say_message(fd, "before one that is there");
	copy_byte(fd, m + 5 * PAGE, 0x42, 0);
	say(do_transfer(fd, UFFDIO_COPY, m + 4 * PAGE, filled(2, 0x61), 2 * PAGE, 0, &field),
	    "COPY of both");
	say_finished(job, "the job");
	madvise(m, 8 * PAGE, MADV_DONTNEED);
	copy_byte(fd, m + PAGE, 0x43, 0);
	job = start_read("job", m + 2 * PAGE);
	say_message(fd, "behind one that is there");
	say(do_transfer(fd, UFFDIO_COPY, m, filled(3, 0x61), 3 * PAGE, 0, &field), "COPY of all");
	say_fdinfo(fd, "it waits");
	say(do_transfer(fd, UFFDIO_COPY, m + 2 * PAGE, filled(1, 0x61), PAGE, 0, &field),
	    "COPY of the last");
	say_finished(job, "the job");

	/* Work that is done, but whose result can't be written, wakes nobody. */
	job = start_read("job", m + 6 * PAGE);
	say_message(fd, "a last one");
	{
		struct uffdio_copy c = {(uintptr_t)m + 6 * PAGE, (uintptr_t)filled(1, 0x71), PAGE,
					0, 0};

		say(result(ioctl(fd, UFFDIO_COPY, read_only(sizeof(c), &c))),
		    "COPY whose result can't be written");
	}
	say_fdinfo(fd, "it waits");
	say_range(fd, UFFDIO_WAKE, "then", m + 6 * PAGE, PAGE);
	say_finished(job, "the job");
	/* With exact addresses the page counts all the same. */
	close(fd);
	fd = uffd_new(UFFD_FEATURE_EXACT_ADDRESS);
	m = memory(ANON, 2);
	name_range("m", m, 2);
	must_register(fd, m, 2, MISSING);
	job = start_read("job", m + 0xff8);
	say_message(fd, "an exact one");
	say_range(fd, UFFDIO_WAKE, "the page before", m - PAGE, PAGE);
	say_range(fd, UFFDIO_WAKE, "the page after", m + PAGE, PAGE);
	say_fdinfo(fd, "it waits");
	say(copy_byte(fd, m, 0x44, 0), "COPY");
	say_finished(job, "the job");
	close(fd);
	close(other);
}
