// SPDX-License-Identifier: BSD-3-Clause
/* Reading messages, and waiting for them. */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/uio.h>

#include "uffd.h"

static char *m;
static struct job *jobs[8];

static void faults(int fd, unsigned first, unsigned count)
{
	static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

	for (unsigned i = first; i < first + count; i++) {
		jobs[i] = start_read(names[i], m + i * PAGE);
		await_pending(fd, i - first + 1);
	}
}

static void resolve(int fd, unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++) {
		copy_byte(fd, m + i * PAGE, 0x41 + i, 0);
		say_finished(jobs[i], label("job %u", i));
	}
}

static void say_read(int fd, const char *what, size_t size)
{
	struct uffd_msg messages[8], *at = messages;
	struct text t = {.length = 0};
	long r;

	memset(messages, 0xa5, sizeof(messages));
	r = result(read(fd, messages, size));
	text_add(&t, "%s", result_name(r));
	for (; r > 0; r -= (long)sizeof(*at), at++)
		text_add(&t, "; %s", message_text(at));
	if (at < messages + 8 && at->event != 0xa5)
		text_add(&t, "; and something after it");
	say_text(what, "%s", t.data);
}

static long run_reader(struct job *job)
{
	struct uffd_msg message;
	long r = read((int)job->a, &message, sizeof(message));

	if (r == sizeof(message))
		snprintf(job->outcome, sizeof(job->outcome), "%s", message_text(&message));
	return r;
}

void uffd_area_reading(void)
{
	struct uffd_msg messages[8];
	struct iovec pieces[3];
	char small[16];
	int fd = uffd_new(0);
	struct job *reader;
	ssize_t r;

	m = memory(ANON, 8);
	name_range("m", m, 8);
	must_register(fd, m, 8, MISSING);
	say_read(fd, "no fault, 32", 32);
	say_read(fd, "no fault, 31", 31);
	say_read(fd, "no fault, 0", 0);
	say(result(read(fd, NOWHERE, 32)), "no fault, nowhere");

	faults(fd, 0, 4);
	say_read(fd, "31", 31);
	say_read(fd, "0", 0);
	say_read(fd, "1", 1);
	say_fdinfo(fd, "nothing was taken");
	say_read(fd, "33", 33);
	say_read(fd, "63", 63);
	say_read(fd, "64", 64);
	say_read(fd, "when all are read", 64);
	resolve(fd, 0, 4);
	madvise(m, 8 * PAGE, MADV_DONTNEED);
	faults(fd, 0, 3);
	say_read(fd, "room for eight", sizeof(messages));
	resolve(fd, 0, 3);

	/* A message that can't be stored is lost, but its thread waits. */
	faults(fd, 4, 1);
	say(result(read(fd, NOWHERE, 32)), "to nowhere");
	say_fdinfo(fd, "is read for all that");
	say_no_message(fd, "and comes no more");
	resolve(fd, 4, 1);
	faults(fd, 5, 2);
	say(result(read(fd, edge(40, NULL), 64)), "the second to nowhere");
	say_fdinfo(fd, "both are read");
	resolve(fd, 5, 2);

	madvise(m, 8 * PAGE, MADV_DONTNEED);
	faults(fd, 0, 2);
	pieces[0] = (struct iovec){small, 16};
	pieces[1] = (struct iovec){messages, 16};
	pieces[2] = (struct iovec){messages + 1, 32};
	r = result(readv(fd, pieces, 3));
	say(r, "readv");
	memmove((char *)messages + 16, messages, 16);
	memcpy(messages, small, 16);
	if (r == 64)
		say_text("readv says", "%s; %s", message_text(messages),
			 message_text(messages + 1));
	resolve(fd, 0, 2);
	faults(fd, 2, 1);
	r = result(pread(fd, messages, 32, 12345));
	say(r, "pread");
	resolve(fd, 2, 1);
	faults(fd, 3, 1);
	r = result(preadv2(fd, &pieces[2], 1, -1, RWF_NOWAIT));
	say(r, "preadv2 that doesn't wait");
	r = result(preadv2(fd, &pieces[2], 1, -1, RWF_NOWAIT));
	say(r, "and when there is none");
	resolve(fd, 3, 1);
	close(fd);

	/* Blocking. */
	fd = uffd_with(UFFD_USER_MODE_ONLY, 0);
	must_register(fd, m, 8, MISSING);
	madvise(m, 8 * PAGE, MADV_DONTNEED);
	r = result(preadv2(fd, &pieces[2], 1, -1, RWF_NOWAIT));
	say(r, "blocking file, preadv2 that doesn't wait");
	reader = start("reader", run_reader, NULL, 0, fd, 0);
	jobs[0] = start_read("a", m);
	say_finished(reader, "a reader that waited");
	say_fdinfo(fd, "its fault is read");
	resolve(fd, 0, 1);
	faults(fd, 1, 2);
	say_read(fd, "blocking, room for eight", sizeof(messages));
	resolve(fd, 1, 2);
	/* Two readers, one message each. */
	{
		struct job *other = start("other", run_reader, NULL, 0, fd, 0);
		struct text t = {.length = 0};
		int64_t both = 0;

		reader = start("reader", run_reader, NULL, 0, fd, 0);
		jobs[3] = start_read("d", m + 3 * PAGE);
		jobs[4] = start_read("e", m + 4 * PAGE);
		pthread_join(other->thread, NULL);
		pthread_join(reader->thread, NULL);
		for (unsigned i = 3; i < 5; i++) {
			snprintf(t.data, sizeof(t.data), "fault 0 at m+%u", i);
			both += !strcmp(other->outcome, t.data) + !strcmp(reader->outcome, t.data);
		}
		say((long)both, "two readers got");
		resolve(fd, 3, 2);
	}
	close(fd);
}

/* ---- poll, select, epoll ---- */

static void say_poll(int fd, const char *what)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};
	long r = result(poll(&p, 1, 0));

	say_text(what, "%s, events %#x", result_name(r), (unsigned)p.revents);
}

static void say_epoll(int epoll, const char *what)
{
	struct epoll_event e = {0};
	long r = result(epoll_wait(epoll, &e, 1, 0));

	say_text(what, "%s, events %#x", result_name(r), e.events);
}

static void await_epoll(int epoll, const char *what)
{
	struct epoll_event e = {0};
	long r = result(epoll_wait(epoll, &e, 1, PATIENCE));

	say_text(what, "%s, events %#x", result_name(r), e.events);
}

static void say_select(int fd, const char *what)
{
	struct timeval now = {0, 0};
	fd_set r, w, x;
	long n;

	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&x);
	FD_SET(fd, &r);
	FD_SET(fd, &w);
	FD_SET(fd, &x);
	n = result(select(fd + 1, &r, &w, &x, &now));
	say_text(what, "%s, %s%s%s", result_name(n), FD_ISSET(fd, &r) ? "r" : "-",
		 FD_ISSET(fd, &w) ? "w" : "-", FD_ISSET(fd, &x) ? "x" : "-");
}

static int epoll_of(int fd, uint32_t events)
{
	struct epoll_event e = {.events = events};
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e))
		give_up("epoll_ctl", -errno);
	return epoll;
}

void uffd_area_polling(void)
{
	struct epoll_event again = {.events = EPOLLIN | EPOLLONESHOT};
	struct job *job, *other;
	int fd = uffd_new(0), level, edged, once, flags = O_NONBLOCK;

	m = memory(ANON, 8);
	name_range("m", m, 8);
	must_register(fd, m, 8, MISSING);
	level = epoll_of(fd, EPOLLIN);
	edged = epoll_of(fd, EPOLLIN | EPOLLET);
	once = epoll_of(fd, EPOLLIN | EPOLLONESHOT);
	say_poll(fd, "no fault");
	say_select(fd, "no fault, select");
	say_epoll(level, "no fault, epoll");
	say_epoll(edged, "no fault, edge-triggered");

	job = start_read("job", m);
	await_epoll(level, "a fault, epoll");
	await_epoll(edged, "a fault, edge-triggered");
	await_epoll(once, "a fault, once");
	say_poll(fd, "a fault");
	say_select(fd, "a fault, select");
	say_epoll(level, "a fault, epoll again");
	say_epoll(edged, "a fault, edge-triggered again");
	say_epoll(once, "a fault, once again");
	other = start_read("other", m + PAGE);
	await_epoll(edged, "a second fault, edge-triggered");
	await_pending(fd, 2);
	say_epoll(edged, "a second fault, edge-triggered again");
	say(result(epoll_ctl(once, EPOLL_CTL_MOD, fd, &again)), "once more");
	await_epoll(once, "a second fault, once");
	say_message(fd, "the first");
	say_poll(fd, "one left");
	say_epoll(level, "one left, epoll");
	say_epoll(edged, "one left, edge-triggered");
	say_message(fd, "the second");
	say_poll(fd, "none left");
	say_select(fd, "none left, select");
	say_epoll(level, "none left, epoll");
	say_epoll(edged, "none left, edge-triggered");

	/* What is unblocked without being read isn't there any more. */
	say_range(fd, UFFDIO_WAKE, "wake the first", m, PAGE);
	await_epoll(edged, "faulted again, edge-triggered");
	await_epoll(level, "faulted again, epoll");
	say(copy_byte(fd, m, 0x41, 0), "COPY");
	say_finished(job, "job");
	say_poll(fd, "unread and resolved");
	say_epoll(level, "unread and resolved, epoll");
	say(copy_byte(fd, m + PAGE, 0x41, 0), "COPY");
	say_finished(other, "other");

	/* A blocking file can't be waited for. */
	say(result(fcntl(fd, F_SETFL, 0)), "blocking");
	say_poll(fd, "blocking, no fault");
	say_select(fd, "blocking, no fault, select");
	say_epoll(level, "blocking, no fault, epoll");
	job = start_read("job", m + 2 * PAGE);
	await_pending(fd, 1);
	say_poll(fd, "blocking, a fault");
	say_select(fd, "blocking, a fault, select");
	say_epoll(level, "blocking, a fault, epoll");
	say(result(fcntl(fd, F_SETFL, flags)), "non-blocking");
	say_poll(fd, "non-blocking, a fault");
	say_message(fd, "its message");
	say(copy_byte(fd, m + 2 * PAGE, 0x41, 0), "COPY");
	say_finished(job, "job");

	/* One epoll file, when what it watches is closed. */
	job = start_read("job", m + 3 * PAGE);
	await_epoll(level, "before close");
	close(fd);
	say_finished(job, "job after close");
	say_epoll(level, "after close");
	say_epoll(edged, "after close, edge-triggered");
}
