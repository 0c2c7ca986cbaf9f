// SPDX-License-Identifier: BSD-3-Clause
/*
 * System calls that read less than they have room for: what they don't touch isn't missed.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "uffd.h"

#define ROOM (2 * PAGE)

/* How the bytes are read, with room for `size` at `address`, and from what. */
static long run_read(struct job *job)
{
	return read((int)job->a, job->address, job->size);
}

static long run_raw_read(struct job *job)
{
	return syscall(SYS_read, job->a, job->address, job->size);
}

static long run_readv(struct job *job)
{
	struct iovec pieces[3] = {
		{job->address, 2}, {job->address + 2, 2}, {job->address + 4, job->size - 4}};

	return readv((int)job->a, pieces, 3);
}

static long run_pread(struct job *job)
{
	return pread((int)job->a, job->address, job->size, 4);
}

static long run_preadv2(struct job *job)
{
	struct iovec piece = {job->address, job->size};

	return preadv2((int)job->a, &piece, 1, 4, 0);
}

static long run_recv(struct job *job)
{
	return recv((int)job->a, job->address, job->size, 0);
}

static long run_recvfrom(struct job *job)
{
	return recvfrom((int)job->a, job->address, job->size, MSG_DONTWAIT, NULL, NULL);
}

static long run_recvmsg(struct job *job)
{
	struct iovec piece = {job->address, job->size};
	struct msghdr h = {.msg_iov = &piece, .msg_iovlen = 1};

	return recvmsg((int)job->a, &h, 0);
}

static long run_recv_all(struct job *job)
{
	return recv((int)job->a, job->address, job->size, MSG_WAITALL);
}

/* Past the stream's own buffer, until it is full or the file ends. */
static long run_fread(struct job *job)
{
	FILE *file = fdopen(dup((int)job->a), "r");
	long r;

	if (!file || setvbuf(file, NULL, _IONBF, 0))
		give_up("fdopen", -errno);
	r = (long)fread(job->address, 1, job->size, file);
	if (ferror(file))
		r = -errno;
	fclose(file);
	return r;
}

/* What there is to be read: `to` is where more is written. */
struct source {
	int from, to;
};

static struct source make_pipe(void)
{
	int ends[2];

	if (pipe(ends))
		give_up("pipe", -errno);
	return (struct source){ends[0], ends[1]};
}

static struct source make_stream(void)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		give_up("socketpair", -errno);
	return (struct source){ends[0], ends[1]};
}

/* With four bytes in front, of which only an offset leads past. */
static struct source make_file(void)
{
	int fd = memfd(0);

	if (pwrite(fd, "....", 4, 0) != 4)
		give_up("pwrite", -errno);
	lseek(fd, 4, SEEK_SET);
	return (struct source){fd, dup(fd)};
}

/* What is written can be read: of a file the position is where it was. */
static void give(struct source s, const char *bytes)
{
	ssize_t n = (ssize_t)strlen(bytes), r;

	r = lseek(s.to, 0, SEEK_CUR) < 0 ? write(s.to, bytes, (size_t)n)
					 : pwrite(s.to, bytes, (size_t)n, 4);
	if (r != n)
		give_up("write", -errno);
}

static const struct way {
	const char *name;
	struct source (*make)(void);
	long (*run)(struct job *);
} ways[] = {
	{"read of a pipe", make_pipe, run_read},
	{"syscall, pipe", make_pipe, run_raw_read},
	{"readv of a pipe", make_pipe, run_readv},
	{"read of a stream", make_stream, run_read},
	{"recv of a stream", make_stream, run_recv},
	{"recvfrom of a stream", make_stream, run_recvfrom},
	{"recvmsg of a stream", make_stream, run_recvmsg},
	{"read of a file", make_file, run_read},
	{"readv of a file", make_file, run_readv},
	{"fread of a file", make_file, run_fread},
	{"pread of a file", make_file, run_pread},
	{"preadv2 of a file", make_file, run_preadv2},
};

static char *m;

static void close_source(struct source s)
{
	close(s.from);
	close(s.to);
}

/* Room at the end of a page that is there, and in two that aren't. */
static void each_way(const struct way *w, int flags, const char *when)
{
	int fd = uffd_with(flags, 0);
	struct source s = w->make();
	struct job *job;

	m = memory(ANON, 4);
	name_range("m", m, 4);
	must_register(fd, m, 4, MISSING);
	copy_byte(fd, m, 0x44, 0);
	give(s, "ab");
	job = start("job", w->run, m + PAGE - 4, ROOM, s.from, 0);
	say_finished(job, label("%s, %s, two bytes", when, w->name));
	if (w->make == make_file)
		lseek(s.from, 4, SEEK_SET);
	give(s, "abcdef");
	job = start("job", w->run, m + PAGE - 4, ROOM, s.from, 0);
	if (!(flags & UFFD_USER_MODE_ONLY)) {
		say_message(fd, label("%s, %s, six bytes", when, w->name));
		copy_byte(fd, m + PAGE, 0x45, 0);
	}
	say_finished(job, label("%s, %s, six bytes, job", when, w->name));
	say_pagemap(label("%s, %s, pagemap", when, w->name), m, 4);
	say_no_message(fd, label("%s, %s, no more", when, w->name));
	close(fd);
	close_source(s);
}

/* Nothing to be read: no room is needed. */
static void nothing(int flags, const char *when)
{
	struct source s = make_pipe(), stream = make_stream(), file = make_file();
	int fd = uffd_with(flags, 0);

	m = memory(ANON, 2);
	name_range("m", m, 2);
	must_register(fd, m, 2, MISSING);
	fcntl(s.from, F_SETFL, O_NONBLOCK);
	say_finished(start("job", run_read, m, PAGE, s.from, 0), label("%s, empty pipe", when));
	close(s.to);
	say_finished(start("job", run_read, m, PAGE, s.from, 0), label("%s, its end", when));
	say_finished(start("job", run_recvfrom, m, PAGE, stream.from, 0),
		     label("%s, empty stream", when));
	shutdown(stream.to, SHUT_WR);
	say_finished(start("job", run_recv, m, PAGE, stream.from, 0), label("%s, its end", when));
	say_finished(start("job", run_read, m, PAGE, file.from, 0),
		     label("%s, end of a file", when));
	say_finished(start("job", run_pread, m, PAGE, file.from, 0),
		     label("%s, pread there", when));
	say_no_message(fd, label("%s, nothing, no message", when));
	say_pagemap(label("%s, nothing, pagemap", when), m, 2);
	close(fd);
	close(s.from);
	close_source(stream);
	close_source(file);
}

/* More than the page that is there, of which a part comes while the call waits. */
static void later(int flags, const char *when)
{
	struct source s = make_pipe(), stream = make_stream();
	int fd = uffd_with(flags, 0);
	struct job *job;

	m = memory(ANON, 8);
	name_range("m", m, 8);
	must_register(fd, m, 8, MISSING);
	job = start("job", run_read, m, ROOM, s.from, 0);
	give(s, "ab");
	if (!(flags & UFFD_USER_MODE_ONLY)) {
		say_message(fd, label("%s, later", when));
		copy_byte(fd, m, 0, 0);
	}
	say_finished(job, label("%s, later, job", when));
	job = start("job", run_recv_all, m + 4 * PAGE - 2, 4, stream.from, 0);
	give(stream, "ab");
	if (!(flags & UFFD_USER_MODE_ONLY)) {
		say_message(fd, label("%s, all of a stream", when));
		copy_byte(fd, m + 3 * PAGE, 0, 0);
		give(stream, "cd");
		say_message(fd, label("%s, all of a stream, more", when));
		copy_byte(fd, m + 4 * PAGE, 0, 0);
	}
	say_finished(job, label("%s, all of a stream, job", when));
	say_no_message(fd, label("%s, later, no more", when));
	close(fd);
	close_source(s);
	close_source(stream);
}

static void each_mode(int flags, const char *when)
{
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		each_way(&ways[i], flags, when);
	nothing(flags, when);
	later(flags, when);
}

void uffd_area_calls_less(void)
{
	each_mode(O_NONBLOCK | UFFD_USER_MODE_ONLY, "user mode");
	each_mode(O_NONBLOCK, "any mode");
}
