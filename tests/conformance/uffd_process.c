// SPDX-License-Identifier: BSD-3-Clause
/*
 * A handler in another process: the file is passed to it, or inherited, and acts on the memory
 * of the process that made it for as long as that lives.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "uffd.h"

static char *m;

/*
 * The handler runs what it is told by one letter, and answers with a text.  Its own memory, at
 * the address of m if it has not been executed, is filled with 0x51.
 */
static char *own;

struct order {
	char what;
	unsigned page;
};

static void send_file(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = "", byte = 'f';
	struct iovec piece = {&byte, 1};
	struct msghdr h = {.msg_iov = &piece,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	if (sendmsg(socket, &h, 0) != 1)
		give_up("sendmsg", -errno);
}

static int receive_file(int socket)
{
	char control[CMSG_SPACE(sizeof(int))] = "", byte;
	struct iovec piece = {&byte, 1};
	struct msghdr h = {.msg_iov = &piece,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	int fd = -1;

	if (recvmsg(socket, &h, 0) == 1 && CMSG_FIRSTHDR(&h))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(int));
	return fd;
}

static void obey(int fd, struct order order, char *text, size_t size)
{
	char *page = m + order.page * PAGE, *mine = own + order.page * PAGE;
	struct uffd_msg message;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t field = 0;
	long r;

	switch (order.what) {
	case 'm': /* the next message */
		poll(&p, 1, PATIENCE);
		r = result(read(fd, &message, sizeof(message)));
		snprintf(text, size, "%s", r == 32 ? message_text(&message) : result_name(r));
		break;
	case 'n': /* what there is now */
		r = result(poll(&p, 1, 0));
		snprintf(text, size, "poll %s %#x, read %s", result_name(r), (unsigned)p.revents,
			 result_name(result(read(fd, &message, sizeof(message)))));
		break;
	case 'c': /* COPY from the same page here */
		r = do_transfer(fd, UFFDIO_COPY, page, mine, PAGE, 0, &field);
		snprintf(text, size, "%s", result_text(r, field));
		break;
	case 'z':
		r = do_fill(fd, UFFDIO_ZEROPAGE, page, PAGE, 0, &field);
		snprintf(text, size, "%s", result_text(r, field));
		break;
	case 'v':
		r = do_transfer(fd, UFFDIO_MOVE, page, page, PAGE, 0, &field);
		snprintf(text, size, "%s", result_text(r, field));
		break;
	case 'p':
		r = do_protect(fd, UFFDIO_WRITEPROTECT, page, PAGE, 1);
		snprintf(text, size, "%s", result_name(r));
		break;
	case 'u':
		r = do_protect(fd, UFFDIO_WRITEPROTECT, page, PAGE, 0);
		snprintf(text, size, "%s", result_name(r));
		break;
	case 'r':
		r = do_register(fd, page, 1, MISSING | WP);
		snprintf(text, size, "%s", result_name(r));
		break;
	case 'R':
		r = do_range(fd, UFFDIO_UNREGISTER, page, PAGE);
		snprintf(text, size, "%s", result_name(r));
		break;
	case 'w':
		r = do_range(fd, UFFDIO_WAKE, page, PAGE);
		snprintf(text, size, "%s", result_name(r));
		break;
	case 'a':
		snprintf(text, size, "%s", result_name(uffd_api(fd, 0)));
		break;
	case 'f':
		snprintf(text, size, "status %#x", (unsigned)fcntl(fd, F_GETFL));
		break;
	case 'h': /* has its own memory */
		snprintf(text, size, "%s", try_read(mine));
		break;
	default:
		_exit(0);
	}
}

static void handler(int socket, int fd)
{
	struct order order;

	if (fd < 0)
		fd = receive_file(socket);
	memset(own, 0x51, 16 * PAGE);
	while (read(socket, &order, sizeof(order)) == sizeof(order)) {
		char text[160] = "";

		obey(fd, order, text, sizeof(text));
		if (write(socket, text, sizeof(text)) != sizeof(text))
			break;
	}
	_exit(0);
}

static void handler_here(int socket, int fd)
{
	own = mmap(m, 16 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	handler(socket, fd);
}

/* A program of its own, which is this one with the arguments --handler SOCKET FD ADDRESS. */
int uffd_handler_program(char **argv)
{
	m = (char *)strtoul(argv[4], NULL, 0);
	own = memory(ANON, 16);
	handler(atoi(argv[2]), atoi(argv[3]));
	return 0;
}

struct program {
	char socket[16], fd[16], address[32];
	char *argv[6];
};

static void prepare_program(struct program *p, int socket, int fd)
{
	snprintf(p->socket, sizeof(p->socket), "%d", socket);
	snprintf(p->fd, sizeof(p->fd), "%d", fd);
	snprintf(p->address, sizeof(p->address), "%#lx", (unsigned long)(uintptr_t)m);
	memcpy(p->argv,
	       (char *[]){(char *)"conformance-uffd", (char *)"--handler", p->socket, p->fd,
			  p->address, NULL},
	       sizeof(p->argv));
	fcntl(socket, F_SETFD, 0);
	fcntl(fd, F_SETFD, 0);
}

/* How it gets the file: later by send_file(), by a fork, with or without an execution. */
enum how { PASSED, INHERITED, EXECUTED, SPAWNED };
static const char *const hows[] = {"passed", "inherited", "executed", "spawned"};

static pid_t start_handler(enum how how, int fd, int *ret_socket)
{
	struct program program;
	int pair[2], error;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		give_up("socketpair", -errno);
	fflush(stdout);
	if (how == SPAWNED) {
		prepare_program(&program, pair[1], fd);
		error = posix_spawn(&child, "/proc/self/exe", NULL, NULL, program.argv, environ);
		if (error)
			give_up("posix_spawn", -error);
	} else {
		child = fork();
	}
	if (child == 0 && how == EXECUTED) {
		prepare_program(&program, pair[1], fd);
		execv("/proc/self/exe", program.argv);
		_exit(3);
	}
	if (child == 0) {
		close(pair[0]);
		handler_here(pair[1], how == PASSED ? -1 : fd);
	}
	close(pair[1]);
	*ret_socket = pair[0];
	return child;
}

static void say_order(int socket, const char *what, char letter, unsigned page)
{
	struct pollfd p = {.fd = socket, .events = POLLIN};
	struct order order = {letter, page};
	char text[160] = "";

	if (write(socket, &order, sizeof(order)) != sizeof(order) || poll(&p, 1, PATIENCE) != 1 ||
	    read(socket, text, sizeof(text)) != sizeof(text))
		give_up(label("%s: no answer of the handler", what), -errno);
	say_text(what, "%s", text);
}

static void end_handler(pid_t child, int socket)
{
	int status;

	close(socket);
	waitpid(child, &status, 0);
	say_text("handler", "status %#x", (unsigned)status);
}

static void served(enum how how)
{
	const char *k = hows[how];
	int fd = uffd_new(UFFD_FEATURE_THREAD_ID), socket;
	struct job *job;
	pid_t child;

	m = memory(ANON, 16);
	name_range("m", m, 16);
	must_register(fd, m, 8, MISSING | WP);
	child = start_handler(how, fd, &socket);
	if (how == PASSED)
		send_file(socket, fd);
	say_order(socket, label("%s, its flags", k), 'f', 0);
	say_order(socket, label("%s, handshake", k), 'a', 0);
	say_order(socket, label("%s, nothing yet", k), 'n', 0);
	job = start_read("job", m + 0x10);
	say_order(socket, label("%s, a fault", k), 'm', 0);
	say_no_message(fd, label("%s, read is read", k));
	say_fdinfo(fd, label("%s, it waits", k));
	say_order(socket, label("%s, COPY", k), 'c', 0);
	say_finished(job, label("%s, job", k));
	say_order(socket, label("%s, COPY again", k), 'c', 0);
	job = start_write("job", m + PAGE, 0x61);
	say_order(socket, label("%s, a second", k), 'm', 0);
	say_order(socket, label("%s, WAKE", k), 'w', 1);
	say_order(socket, label("%s, and again", k), 'm', 0);
	say_order(socket, label("%s, ZEROPAGE", k), 'z', 1);
	say_finished(job, label("%s, job", k));
	say_order(socket, label("%s, MOVE", k), 'v', 2);
	say_order(socket, label("%s, protect", k), 'p', 1);
	say_pagemap(label("%s, pagemap", k), m, 4);
	job = start_write("job", m + PAGE, 0x62);
	say_message(fd, label("%s, the first process reads", k));
	say_order(socket, label("%s, unprotect", k), 'u', 1);
	say_finished(job, label("%s, job", k));
	say_order(socket, label("%s, the handler's own", k), 'h', 1);
	say_order(socket, label("%s, REGISTER", k), 'r', 9);
	job = start_read("job", m + 9 * PAGE);
	say_order(socket, label("%s, of what it registered", k), 'm', 0);
	say_order(socket, label("%s, UNREGISTER", k), 'R', 9);
	say_finished(job, label("%s, job", k));
	/* The first process closes its own: the other's is as good. */
	close(fd);
	job = start_read("job", m + 4 * PAGE);
	say_order(socket, label("%s, the only file left", k), 'm', 0);
	say_order(socket, label("%s, COPY", k), 'c', 4);
	say_finished(job, label("%s, job", k));
	/* It ends while somebody waits, and with it the watch. */
	job = start_read("job", m + 5 * PAGE);
	say_order(socket, label("%s, before it ends", k), 'm', 0);
	end_handler(child, socket);
	say_finished(job, label("%s, job after its end", k));
	say_text(label("%s, another page", k), "%s", try_read(m + 6 * PAGE));
}

static void killed(void)
{
	int fd = uffd_new(0), socket, status;
	struct job *read_one, *unread;
	pid_t child;

	m = memory(SHARED, 16);
	name_range("m", m, 16);
	must_register(fd, m, 8, MISSING);
	child = start_handler(PASSED, -1, &socket);
	send_file(socket, fd);
	close(fd);
	read_one = start_read("a", m);
	say_order(socket, "to be killed, a fault", 'm', 0);
	unread = start_write("b", m + PAGE, 0x71);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	say_text("killed", "status %#x", (unsigned)status);
	say_finished(read_one, "killed, one whose message was read");
	say_finished(unread, "killed, one whose message wasn't");
	close(socket);
}

/* In the other process is the memory; this one has the file. */
static void owner_ends(bool by_signal)
{
	const char *k = by_signal ? "owner killed" : "owner ended";
	int pair[2], status, fd;
	int64_t field;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		give_up("socketpair", -errno);
	m = memory(ANON, 8);
	name_range("m", m, 8);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		char byte;

		fd = uffd_new(0);
		must_register(fd, m, 8, MISSING | WP);
		send_file(pair[1], fd);
		start_read("job", m + PAGE);
		start_read("other", m + 2 * PAGE);
		/* Its end doesn't wait for those who wait. */
		_exit(read(pair[1], &byte, 1) == 1 ? 7 : 3);
	}
	fd = receive_file(pair[0]);
	say_messages(fd, label("%s, faults", k), 2);
	say(copy_byte(fd, m, 0x41, 0), "%s, COPY", k);
	if (by_signal)
		kill(child, SIGKILL);
	else if (write(pair[0], "x", 1) != 1)
		give_up("write", -errno);
	waitpid(child, &status, 0);
	say_text(k, "status %#x", (unsigned)status);
	say_fdinfo(fd, label("%s, fdinfo", k));
	say_no_message(fd, label("%s, no message", k));
	say(do_transfer(fd, UFFDIO_COPY, m + PAGE, m, PAGE, 0, &field), "%s, COPY after it", k);
	say_fill(fd, UFFDIO_ZEROPAGE, label("%s, ZEROPAGE", k), m + PAGE, PAGE, 0);
	say_fill(fd, UFFDIO_CONTINUE, label("%s, CONTINUE", k), m + PAGE, PAGE, 0);
	say_fill(fd, UFFDIO_POISON, label("%s, POISON", k), m + PAGE, PAGE, 0);
	say_transfer(fd, UFFDIO_MOVE, label("%s, MOVE", k), m + PAGE, m, PAGE, 0);
	say_protect(fd, UFFDIO_WRITEPROTECT, label("%s, WRITEPROTECT", k), m, PAGE, 1);
	say_register(fd, label("%s, REGISTER", k), m, PAGE, MISSING);
	say_range(fd, UFFDIO_UNREGISTER, label("%s, UNREGISTER", k), m, PAGE);
	say_range(fd, UFFDIO_WAKE, label("%s, WAKE", k), m, PAGE);
	say_fill(fd, UFFDIO_ZEROPAGE, label("%s, ZEROPAGE, bad", k), m + 1, PAGE, 0);
	say(uffd_api(fd, 0), "%s, handshake", k);
	close(fd);
	close(pair[0]);
	close(pair[1]);
}

/* A program takes the place of this one: its memory is gone, though the process is not. */
static void owner_executes(void)
{
	int pair[2], fd;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		give_up("socketpair", -errno);
	m = memory(ANON, 2);
	name_range("m", m, 2);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		char byte;

		fd = uffd_new(0);
		must_register(fd, m, 2, MISSING);
		send_file(pair[1], fd);
		if (read(pair[1], &byte, 1) == 1 && dup2(open("/dev/null", O_WRONLY), 1) == 1)
			execl("/proc/self/exe", "conformance-uffd", "no area", NULL);
		_exit(3);
	}
	close(pair[1]);
	fd = receive_file(pair[0]);
	say(copy_byte(fd, m, 0x41, 0), "owner executes, COPY before");
	if (write(pair[0], "x", 1) != 1)
		give_up("write", -errno);
	/* Its socket is closed by the execution. */
	{
		char byte;

		say(read(pair[0], &byte, 1), "owner executes");
	}
	say_fill(fd, UFFDIO_ZEROPAGE, "owner executes, ZEROPAGE", m + PAGE, PAGE, 0);
	say_register(fd, "owner executes, REGISTER", m, PAGE, MISSING);
	say_no_message(fd, "owner executes, no message");
	waitpid(child, NULL, 0);
	close(fd);
	close(pair[0]);
}

/* Of its own file the new program finds that its memory is gone. */
static void itself_executes(void)
{
	int pair[2], fd, status;
	struct program program;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		give_up("socketpair", -errno);
	m = memory(ANON, 16);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		fd = uffd_new(UFFD_FEATURE_EVENT_REMAP);
		must_register(fd, m, 8, MISSING | WP);
		start_read("waits", m);
		await_message(fd);
		prepare_program(&program, pair[1], fd);
		execv("/proc/self/exe", program.argv);
		_exit(3);
	}
	close(pair[1]);
	say_order(pair[0], "itself, flags", 'f', 0);
	say_order(pair[0], "itself, nothing to read", 'n', 0);
	say_order(pair[0], "itself, COPY", 'c', 0);
	say_order(pair[0], "itself, ZEROPAGE", 'z', 0);
	say_order(pair[0], "itself, MOVE", 'v', 0);
	say_order(pair[0], "itself, protect", 'p', 0);
	say_order(pair[0], "itself, REGISTER", 'r', 0);
	say_order(pair[0], "itself, UNREGISTER", 'R', 0);
	say_order(pair[0], "itself, WAKE", 'w', 0);
	say_order(pair[0], "itself, handshake", 'a', 0);
	close(pair[0]);
	waitpid(child, &status, 0);
	say_text("itself, ended", "status %#x", (unsigned)status);
}

void uffd_area_processes(void)
{
	served(PASSED);
	served(INHERITED);
	killed();
}

void uffd_area_programs(void)
{
	served(EXECUTED);
	served(SPAWNED);
	itself_executes();
}

void uffd_area_owners(void)
{
	owner_ends(false);
	owner_ends(true);
	owner_executes();
}
