// SPDX-License-Identifier: BSD-3-Clause
/*
 * Faults in system calls: with a file for faults in the kernel, too, they wait like any
 * others; with one for user mode alone they fail.  Each call is made by a job on missing memory
 * while the area plays the handler.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "uffd.h"

static char *m;
static int ends[2];

static long run_pipe_write(struct job *job)
{
	return write(ends[1], job->address, job->size);
}

static long run_pipe_read(struct job *job)
{
	return read(ends[0], job->address, job->size);
}

static long run_readv(struct job *job)
{
	struct iovec pieces[2] = {{job->address, 2}, {job->address + PAGE, job->size - 2}};

	return readv(ends[0], pieces, 2);
}

/* The pipe takes the page itself: what is read from it is what the page holds then. */
static long run_vmsplice(struct job *job)
{
	struct iovec piece = {job->address, job->size};

	return vmsplice(ends[1], &piece, 1, 0);
}

static long run_own_memory(struct job *job)
{
	char local[64];
	int fd = open("/proc/self/mem", O_RDONLY);
	long r = pread(fd, local, job->size, (off_t)(uintptr_t)job->address);

	if (r > 0)
		snprintf(job->outcome, sizeof(job->outcome), "%ld, %02x", r,
			 (unsigned char)local[0]);
	close(fd);
	return r;
}

static long run_futex(struct job *job)
{
	/* The value is another: EAGAIN as soon as it can be read. */
	return syscall(SYS_futex, job->address, FUTEX_WAIT_PRIVATE, 0x12345678, NULL, NULL, 0);
}

static long run_futex_wake(struct job *job)
{
	return syscall(SYS_futex, job->address, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static long run_open(struct job *job)
{
	return open(job->address, O_RDONLY);
}

static long run_stat(struct job *job)
{
	return stat("/", (struct stat *)job->address);
}

static long run_pipe(struct job *job)
{
	return pipe((int *)job->address);
}

static long run_nanosleep(struct job *job)
{
	return nanosleep((struct timespec *)job->address, NULL);
}

static long run_getrandom(struct job *job)
{
	return syscall(SYS_getrandom, job->address, job->size, 0);
}

static long run_pread(struct job *job)
{
	return pread((int)job->a, job->address, job->size, 0);
}

static long run_mincore(struct job *job)
{
	static char page[8192];

	return mincore((void *)(((uintptr_t)page + PAGE - 1) & -PAGE), PAGE,
		       (unsigned char *)job->address);
}

static long run_sendmsg(struct job *job)
{
	struct iovec piece = {job->address, job->size};
	struct msghdr h = {.msg_iov = &piece, .msg_iovlen = 1};

	return sendmsg((int)job->a, &h, 0);
}

/* One message of a socket's, by the calls that take several. */
static long run_sendmmsg(struct job *job)
{
	struct iovec piece = {job->address, job->size};
	struct mmsghdr h = {.msg_hdr = {.msg_iov = &piece, .msg_iovlen = 1}};
	int pair[2];
	long r;

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
		return -errno;
	r = sendmmsg(pair[0], &h, 1, 0) < 0 ? -errno : (long)h.msg_len;
	close(pair[0]);
	close(pair[1]);
	return r;
}

static long run_recvmmsg(struct job *job)
{
	struct iovec piece = {job->address, job->size};
	struct mmsghdr h = {.msg_hdr = {.msg_iov = &piece, .msg_iovlen = 1}};
	int pair[2];
	long r;

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) || write(pair[1], "abcd", 4) != 4)
		return -errno;
	r = recvmmsg(pair[0], &h, 1, 0, NULL) < 0 ? -errno : (long)h.msg_len;
	close(pair[0]);
	close(pair[1]);
	return r;
}

/* Without a buffer of the stream's, bytes go to the kernel at once. */
static FILE *unbuffered(const char *mode)
{
	FILE *file = fdopen(memfd(1), mode);

	if (!file || setvbuf(file, NULL, _IONBF, 0))
		give_up("fdopen", -errno);
	return file;
}

static long run_fread(struct job *job)
{
	FILE *file = unbuffered("r");
	long r = (long)fread(job->address, 1, job->size, file);

	if (ferror(file))
		r = -errno;
	fclose(file);
	return r;
}

static long run_fwrite(struct job *job)
{
	FILE *file = unbuffered("w");
	long r = (long)fwrite(job->address, 1, job->size, file);

	if (ferror(file))
		r = -errno;
	fclose(file);
	return r;
}

static long run_device(struct job *job)
{
	int fd = open("/dev/urandom", O_RDONLY);
	long r = ioctl(fd, RNDGETENTCNT, job->address) < 0 ? -errno : 0;

	close(fd);
	return r;
}

static long run_copy_from(struct job *job)
{
	return do_transfer((int)job->a, UFFDIO_COPY, (char *)job->b, job->address, PAGE, 0, NULL);
}

static long run_ioctl(struct job *job)
{
	return ioctl((int)job->a, UFFDIO_WAKE, job->address);
}

static long run_madvise(struct job *job)
{
	return madvise(job->address, job->size, (int)job->a);
}

struct call {
	const char *name;
	long (*run)(struct job *);
	size_t size;
	bool reads;    /* what the pipe holds */
	unsigned byte; /* what COPY gives */
	bool never_waits;
};

static const struct call calls[] = {
	{"write", run_pipe_write, 8, false, 0x41},
	{"read", run_pipe_read, 8, true, 0x41},
	{"vmsplice", run_vmsplice, 8, false, 0x42},
	{"/proc/self/mem", run_own_memory, 8, false, 0x42, true},
	{"open of an empty path", run_open, 1, false, 0},
	{"stat", run_stat, sizeof(struct stat), false, 0},
	{"pipe", run_pipe, 8, false, 0},
	{"nanosleep", run_nanosleep, sizeof(struct timespec), false, 0},
	{"mincore", run_mincore, 1, false, 0},
	{"MADV_POPULATE_READ", run_madvise, PAGE, false, 0x44},
	{"sendmmsg", run_sendmmsg, 8, false, 0x45},
	{"recvmmsg", run_recvmmsg, 8, false, 0x46},
	{"fread", run_fread, 512, false, 0x47},
	{"fwrite", run_fwrite, 512, false, 0x48},
	{"ioctl", run_device, sizeof(int), false, 0},
};

/* By syscall(3), past what a library has for them. */
static const struct call raw_calls[] = {
	{"futex wait", run_futex, 4, false, 0x43},
	{"getrandom", run_getrandom, 8, false, 0},
};

static void drain(const char *what)
{
	char buffer[8192];
	long r;

	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	r = result(read(ends[0], buffer, sizeof(buffer)));
	fcntl(ends[0], F_SETFL, 0);
	if (r > 0)
		say_text(what, "%ld bytes, %02x ... %02x", r, (unsigned char)buffer[0],
			 (unsigned char)buffer[r - 1]);
	else
		say(r, "%s", what);
}

static void each_call(const struct call *those, size_t n, int flags, const char *when)
{
	for (size_t i = 0; i < n; i++) {
		const struct call *c = &those[i];
		int fd = uffd_with(flags, 0), advice = 22;
		struct job *job;

		m = memory(ANON, 2);
		name_range("m", m, 2);
		must_register(fd, m, 2, MISSING);
		if (c->reads && write(ends[1], "abcdefgh", 8) != 8)
			give_up("write", -errno);
		job = start(c->name, c->run, c->run == run_madvise ? m : m + 0x100, c->size, advice,
			    0);
		if (!(flags & UFFD_USER_MODE_ONLY) && !c->never_waits) {
			say_message(fd, label("%s, %s", when, c->name));
			say(copy_byte(fd, m, c->byte, 0), "%s, %s, COPY", when, c->name);
		}
		say_finished(job, label("%s, %s, job", when, c->name));
		say_no_message(fd, label("%s, %s, no more", when, c->name));
		say_pagemap(label("%s, %s, pagemap", when, c->name), m, 2);
		drain(label("%s, %s, the pipe", when, c->name));
		close(fd);
	}
}

/* A page that is there and one that isn't. */
static void partial(int flags, const char *when)
{
	int fd = uffd_with(flags, 0), pair[2];
	struct job *job;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		give_up("socketpair", -errno);
	m = memory(ANON, 4);
	name_range("m", m, 4);
	must_register(fd, m, 4, MISSING);
	copy_byte(fd, m, 0x41, 0);
	job = start("job", run_pipe_write, m + PAGE - 4, 8, 0, 0);
	if (!(flags & UFFD_USER_MODE_ONLY)) {
		say_message(fd, label("%s, write across", when));
		copy_byte(fd, m + PAGE, 0x42, 0);
	}
	say_finished(job, label("%s, write across, job", when));
	drain(label("%s, write across, the pipe", when));
	if (flags & UFFD_USER_MODE_ONLY)
		copy_byte(fd, m + PAGE, 0x42, 0);
	if (write(ends[1], "abcdefghijklmnop", 16) != 16)
		give_up("write", -errno);
	job = start("job", run_pipe_read, m + 2 * PAGE - 4, 8, 0, 0);
	if (!(flags & UFFD_USER_MODE_ONLY)) {
		say_message(fd, label("%s, read across", when));
		copy_byte(fd, m + 2 * PAGE, 0x43, 0);
	}
	say_finished(job, label("%s, read across, job", when));
	drain(label("%s, read across, left in the pipe", when));
	madvise(m + PAGE, 3 * PAGE, MADV_DONTNEED);
	copy_byte(fd, m + PAGE, 0x44, 0);
	if (write(ends[1], "abcdefgh", 8) != 8)
		give_up("write", -errno);
	job = start("job", run_readv, m + PAGE, 8, 0, 0);
	if (!(flags & UFFD_USER_MODE_ONLY)) {
		say_message(fd, label("%s, readv", when));
		copy_byte(fd, m + 2 * PAGE, 0x45, 0);
	}
	say_finished(job, label("%s, readv, job", when));
	drain(label("%s, readv, left in the pipe", when));
	madvise(m + PAGE, 3 * PAGE, MADV_DONTNEED);
	job = start("job", run_sendmsg, m, 2 * PAGE, pair[0], 0);
	if (!(flags & UFFD_USER_MODE_ONLY)) {
		say_message(fd, label("%s, sendmsg", when));
		copy_byte(fd, m + PAGE, 0x46, 0);
	}
	say_finished(job, label("%s, sendmsg, job", when));
	say_no_message(fd, label("%s, no more", when));
	close(fd);
	close(pair[0]);
	close(pair[1]);
}

/* The arguments of ioctls on userfaultfd itself are system calls' pointers like others. */
static void own(int flags, const char *when)
{
	int fd = uffd_with(flags, 0), other = uffd_new(0);
	char *n = memory(ANON, 2);
	struct job *job;
	int file = plain_file();

	m = memory(ANON, 4);
	name_range("m", m, 4);
	name_range("n", n, 2);
	must_register(fd, m, 4, MISSING);
	must_register(other, n, 2, MISSING);
	job = start("job", run_copy_from, m, PAGE, other, (long)n);
	if (!(flags & UFFD_USER_MODE_ONLY)) {
		say_message(fd, label("%s, src of COPY", when));
		copy_byte(fd, m, 0x51, 0);
	}
	say_finished(job, label("%s, src of COPY, job", when));
	say_pagemap(label("%s, src of COPY, dst", when), n, 2);
	job = start("job", run_ioctl, m + PAGE, 0, fd, 0);
	if (!(flags & UFFD_USER_MODE_ONLY)) {
		say_message(fd, label("%s, argument of WAKE", when));
		copy_byte(fd, m + PAGE, 0, 0);
	}
	say_finished(job, label("%s, argument of WAKE, job", when));
	job = start("job", run_pread, m + 2 * PAGE, 16, file, 0);
	if (!(flags & UFFD_USER_MODE_ONLY)) {
		say_message(fd, label("%s, pread of a file", when));
		copy_byte(fd, m + 2 * PAGE, 0, 0);
	}
	say_finished(job, label("%s, pread of a file, job", when));
	say_no_message(fd, label("%s, no more", when));
	close(file);
	close(fd);
	close(other);
}

/* Other reasons than missing pages. */
static void reasons(int flags, const char *when)
{
	int fd = uffd_with(flags, UFFD_FEATURE_THREAD_ID), file = memfd(2);
	char *alias = memory_of(file, 2);
	struct job *job;

	m = memory_of(file, 2);
	name_range("m", m, 2);
	alias[0] = 0x61;
	must_register(fd, m, 2, MINOR | WP);
	job = start("job", run_pipe_write, m, 4, 0, 0);
	if (!(flags & UFFD_USER_MODE_ONLY)) {
		say_message(fd, label("%s, minor", when));
		do_fill(fd, UFFDIO_CONTINUE, m, PAGE, 0, NULL);
	}
	say_finished(job, label("%s, minor, job", when));
	drain(label("%s, minor, the pipe", when));
	do_fill(fd, UFFDIO_CONTINUE, m, PAGE, 0, NULL);
	do_protect(fd, UFFDIO_WRITEPROTECT, m, PAGE, UFFDIO_WRITEPROTECT_MODE_WP);
	if (write(ends[1], "abcd", 4) != 4)
		give_up("write", -errno);
	job = start("job", run_pipe_read, m, 4, 0, 0);
	if (!(flags & UFFD_USER_MODE_ONLY)) {
		say_message(fd, label("%s, protected", when));
		do_protect(fd, UFFDIO_WRITEPROTECT, m, PAGE, 0);
	}
	say_finished(job, label("%s, protected, job", when));
	drain(label("%s, protected, left in the pipe", when));
	say_bytes(label("%s, protected, then", when), m, 1);
	job = start("job", run_futex_wake, m, 4, 0, 0);
	say_finished(job, label("%s, futex wake", when));
	job = start("job", run_futex, m, 4, 0, 0);
	say_finished(job, label("%s, futex wait on what is there", when));
	say_no_message(fd, label("%s, no more", when));
	close(fd);
	close(file);
}

void uffd_area_calls(void)
{
	if (pipe(ends))
		give_up("pipe", -errno);
	each_call(calls, ARRAY_SIZE(calls), O_NONBLOCK, "any mode");
	partial(O_NONBLOCK, "any mode");
	reasons(O_NONBLOCK, "any mode");
}

void uffd_area_calls_user_mode(void)
{
	if (pipe(ends))
		give_up("pipe", -errno);
	each_call(calls, ARRAY_SIZE(calls), O_NONBLOCK | UFFD_USER_MODE_ONLY, "user mode");
	partial(O_NONBLOCK | UFFD_USER_MODE_ONLY, "user mode");
	reasons(O_NONBLOCK | UFFD_USER_MODE_ONLY, "user mode");
}

void uffd_area_calls_raw(void)
{
	if (pipe(ends))
		give_up("pipe", -errno);
	each_call(raw_calls, ARRAY_SIZE(raw_calls), O_NONBLOCK, "any mode");
	each_call(raw_calls, ARRAY_SIZE(raw_calls), O_NONBLOCK | UFFD_USER_MODE_ONLY, "user mode");
}

void uffd_area_calls_own(void)
{
	own(O_NONBLOCK | UFFD_USER_MODE_ONLY, "user mode");
	own(O_NONBLOCK, "any mode");
}
