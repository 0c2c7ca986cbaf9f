// SPDX-License-Identifier: BSD-3-Clause
/* EVENT_FORK: the child's memory has a file of its own, which the event brings. */
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "uffd.h"

static char *m;
static int commands[2], answers[2];

/* In the child: 'r' reads and 'w' writes the page after it, anything else ends it. */
static void serve(void)
{
	char command[2], text[80];

	while (read(commands[0], command, 2) == 2) {
		char *page = m + (command[1] - '0') * PAGE;

		memset(text, 0, sizeof(text));
		if (command[0] == 'r')
			snprintf(text, sizeof(text), "%s", try_read(page));
		else if (command[0] == 'w')
			snprintf(text, sizeof(text), "%s", try_write(page, 0x61));
		else if (command[0] == 'd')
			snprintf(text, sizeof(text), "%d", madvise(page, PAGE, MADV_DONTNEED));
		else
			break;
		if (write(answers[1], text, sizeof(text)) != sizeof(text))
			break;
	}
	_exit(0);
}

static long run_fork(struct job *job)
{
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0)
		serve();
	job->a = child;
	return child < 0 ? -1 : 0;
}

static void tell(const char *command)
{
	if (write(commands[1], command, 2) != 2)
		give_up("command", -errno);
}

static void say_answer(const char *what)
{
	struct pollfd p = {.fd = answers[0], .events = POLLIN};
	char text[80];

	if (poll(&p, 1, PATIENCE) != 1 || read(answers[0], text, sizeof(text)) != sizeof(text))
		give_up(label("%s, the child's answer", what), -errno);
	say_text(what, "%s", text);
}

static struct job *forking(void)
{
	if (pipe(commands) || pipe(answers))
		give_up("pipe", -errno);
	return start("forker", run_fork, NULL, 0, 0, 0);
}

/* The job is done; ends its child. */
static void end_child(pid_t child)
{
	int status;

	tell("xx");
	if (waitpid(child, &status, 0) != child)
		give_up("waitpid", -errno);
	say_text("child", "status %#x", (unsigned)status);
	close(commands[0]);
	close(commands[1]);
	close(answers[0]);
	close(answers[1]);
}

static pid_t say_forked(struct job *job, const char *what)
{
	pid_t child;

	/* The child is known when its thread has done. */
	while (!job->done)
		poll(NULL, 0, 1);
	child = (pid_t)job->a;
	say_finished(job, what);
	return child;
}

static struct uffd_msg take_fork(int fd, const char *what)
{
	struct uffd_msg message = take_message(fd);

	say_text(what, "%s", message_text(&message));
	return message;
}

/*
 * A private mapping's file stays open: an ordinary user has no other way to it, nor have stand-ins,
 * which leave pages in it that a child's mapping has then, too.
 */
static char *memory_and_file(enum kind kind, uint64_t pages, int *ret_file)
{
	char *at;

	*ret_file = -1;
	if (kind != MEMFD_PRIVATE)
		return memory(kind, pages);
	*ret_file = memfd(pages);
	at = mmap(NULL, pages * PAGE, RW, MAP_PRIVATE, *ret_file, 0);
	if (at == MAP_FAILED)
		give_up("mmap", -errno);
	return at;
}

static void of_kind(enum kind kind, int flags)
{
	char k[64];
	int fd = uffd_with(flags, UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_THREAD_ID), new, file;
	struct job *job, *second;
	pid_t child;

	snprintf(k, sizeof(k), "%s, flags %#x", kind_names[kind], (unsigned)flags);
	m = memory_and_file(kind, 8, &file);
	name_range("m", m, 8);
	must_register(fd, m, 8, MISSING | WP);
	copy_byte(fd, m, 0x41, 0);
	copy_byte(fd, m + PAGE, 0x42, 0);
	do_protect(fd, UFFDIO_WRITEPROTECT, m + PAGE, PAGE, 1);
	job = forking();
	await_message(fd);
	say_transfer(fd, UFFDIO_COPY, label("%s, COPY before the event is read", k), m + 4 * PAGE,
		     filled(1, 1), PAGE, 0);
	new = (int)take_fork(fd, k).arg.fork.ufd;
	child = say_forked(job, label("%s, fork", k));
	say_text(label("%s, new file", k), "status %#x, descriptor %#x",
		 (unsigned)fcntl(new, F_GETFL), (unsigned)fcntl(new, F_GETFD));
	fcntl(new, F_SETFL, O_NONBLOCK);
	say(uffd_api(new, 0), "%s, handshake of the new", k);
	say_fdinfo_api(new, label("%s, fdinfo of the new", k));
	say_no_message(new, label("%s, no message of the new", k));

	tell("r0");
	say_answer(label("%s, child reads what is there", k));
	tell("r2");
	say_message(new, label("%s, child reads what is missing", k));
	say_no_message(fd, label("%s, no message of the old", k));
	say(copy_byte(new, m + 2 * PAGE, 0x43, 0), "%s, COPY to the child", k);
	say_answer(label("%s, child read", k));
	tell("w1");
	say_message(new, label("%s, child writes what is protected", k));
	say_protect(new, UFFDIO_WRITEPROTECT, label("%s, unprotect the child's", k), m + PAGE, PAGE,
		    0);
	say_answer(label("%s, child wrote", k));
	say_pagemap(label("%s, the parent's", k), m, 4);
	say_transfer(new, UFFDIO_MOVE, label("%s, MOVE to the child", k), m + 3 * PAGE,
		     filled(1, 1), PAGE, 0);
	say_fill(new, UFFDIO_ZEROPAGE, label("%s, ZEROPAGE to the child", k), m + 3 * PAGE, PAGE,
		 0);
	tell("r3");
	say_answer(label("%s, child reads it", k));
	say_transfer(new, UFFDIO_COPY, label("%s, COPY of nothing to the child", k), m + 4 * PAGE,
		     NOWHERE, PAGE, 0);
	say_register(new, label("%s, REGISTER of the child's", k), m, PAGE, MISSING | WP);
	second = start_read("reader", m + 5 * PAGE);
	say_message(fd, label("%s, the parent reads", k));
	say(copy_byte(fd, m + 5 * PAGE, 0x44, 0), "%s, COPY to the parent", k);
	say_finished(second, label("%s, parent read", k));
	tell("r5");
	/* Shared memory is the child's as well. */
	if (kind == ANON || kind == MEMFD_PRIVATE) {
		say_message(new, label("%s, child reads it", k));
		say(copy_byte(new, m + 5 * PAGE, 0x45, 0), "%s, COPY to the child", k);
	}
	say_answer(label("%s, child read", k));
	say_range(new, UFFDIO_UNREGISTER, label("%s, UNREGISTER of the child's", k), m, 8 * PAGE);
	tell("r6");
	say_answer(label("%s, child reads what isn't watched", k));
	end_child(child);
	say(copy_byte(new, m + 7 * PAGE, 0x46, 0), "%s, COPY after its end", k);
	say_fill(new, UFFDIO_ZEROPAGE, label("%s, ZEROPAGE after its end", k), m + 7 * PAGE, PAGE,
		 0);
	say_protect(new, UFFDIO_WRITEPROTECT, label("%s, WRITEPROTECT after its end", k), m, PAGE,
		    0);
	say_register(new, label("%s, REGISTER after its end", k), m, PAGE, MISSING);
	say_range(new, UFFDIO_UNREGISTER, label("%s, UNREGISTER after its end", k), m, PAGE);
	say_range(new, UFFDIO_WAKE, label("%s, WAKE after its end", k), m, PAGE);
	say_fdinfo(new, label("%s, fdinfo after its end", k));
	say_no_message(new, label("%s, no message after its end", k));
	close(new);
	close(fd);
	if (file >= 0)
		close(file);
}

static void without_event(enum kind kind)
{
	const char *k = kind_names[kind];
	int fd = uffd_new(0);
	struct job *job;
	pid_t child;

	m = memory(kind, 4);
	name_range("m", m, 4);
	must_register(fd, m, 4, MISSING);
	copy_byte(fd, m, 0x41, 0);
	job = forking();
	child = say_forked(job, label("%s, fork without the feature", k));
	tell("r0");
	say_answer(label("%s, child reads what is there", k));
	tell("r1");
	say_answer(label("%s, child reads what is missing", k));
	say_no_message(fd, label("%s, no message", k));
	end_child(child);
	close(fd);
}

void uffd_area_fork(void)
{
	const int mode = UFFD_USER_MODE_ONLY | O_NONBLOCK;
	struct rlimit files, few;
	struct uffd_msg message;
	int fd, new, before;
	struct job *job;
	pid_t child;

	for (enum kind kind = ANON; kind < FILLABLE; kind++)
		of_kind(kind, mode | O_CLOEXEC);
	of_kind(ANON, mode);
	for (enum kind kind = ANON; kind < FILLABLE; kind++)
		without_event(kind);

	/* No room for the file: the event stays. */
	fd = uffd_with(mode, UFFD_FEATURE_EVENT_FORK);
	m = memory(ANON, 2);
	name_range("m", m, 2);
	must_register(fd, m, 2, MISSING);
	job = forking();
	await_message(fd);
	getrlimit(RLIMIT_NOFILE, &files);
	before = dup(0);
	close(before);
	few = (struct rlimit){(rlim_t)before, files.rlim_max};
	setrlimit(RLIMIT_NOFILE, &few);
	say(result(read(fd, &message, sizeof(message))), "no room for the new file");
	setrlimit(RLIMIT_NOFILE, &files);
	new = (int)take_fork(fd, "then").arg.fork.ufd;
	child = say_forked(job, "fork");
	/* Its file closed, the child isn't watched any more. */
	tell("r0");
	await_message(new);
	close(new);
	say_answer("child reads as its file is closed");
	end_child(child);
	close(fd);
}

/* How many events there are: one for each file that watches something. */
void uffd_area_fork_events(void)
{
	const int mode = UFFD_USER_MODE_ONLY | O_NONBLOCK;
	struct job *job;
	pid_t child;
	int fd, new;

	fd = uffd_with(mode, UFFD_FEATURE_EVENT_FORK);
	new = uffd_with(mode, UFFD_FEATURE_EVENT_FORK);
	m = memory(ANON, 2);
	must_register(fd, m, 1, MISSING);
	must_register(new, m + PAGE, 1, MISSING);
	job = forking();
	take_fork(fd, "first file");
	take_fork(new, "second file");
	child = say_forked(job, "fork of two");
	end_child(child);
	/* A file that watches nothing says nothing. */
	close(new);
	close(fd);
	fd = uffd_with(mode, UFFD_FEATURE_EVENT_FORK);
	job = forking();
	child = say_forked(job, "fork of none");
	say_no_message(fd, "no message");
	end_child(child);
	/* What isn't forked isn't watched. */
	m = memory(ANON, 2);
	madvise(m, 2 * PAGE, MADV_DONTFORK);
	must_register(fd, m, 2, MISSING);
	job = forking();
	child = say_forked(job, "fork without the memory");
	say_no_message(fd, "no message");
	end_child(child);
}
