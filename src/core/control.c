/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The listening thread: one connection after the other, each with a time limit, since all it
 * has to do is to read a line and to answer.
 */
#include "core/control.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "core/config.h"
#include "core/hostfd.h"
#include "core/instance.h"
#include "core/log.h"
#include "core/syscall.h"
#include "core/thread.h"

#define PATIENCE_S 5

static struct {
	pthread_mutex_t lock;
	bool running;
	int listener, stop; /* private descriptors */
	pthread_t thread;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
} control = {.lock = PTHREAD_MUTEX_INITIALIZER, .listener = -1, .stop = -1};

static void print(struct control_reply *reply, const char *format, va_list arguments)
{
	size_t room = CONTROL_REPLY_MAX - reply->length;
	int length = vsnprintf(reply->text + reply->length, room, format, arguments);

	if (length > 0)
		reply->length += (size_t)length < room ? (size_t)length : room - 1;
}

void control_print(struct control_reply *reply, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print(reply, format, arguments);
	va_end(arguments);
}

void control_fail(struct control_reply *reply, const char *format, ...)
{
	va_list arguments;

	reply->length = 0;
	control_print(reply, "error ");
	va_start(arguments, format);
	print(reply, format, arguments);
	va_end(arguments);
	control_print(reply, "\n");
}

/* ---- a connection ---- */

static const struct control_command *find_command(const char *name)
{
	for (const struct interface *i = interface_first(); i; i = i->next)
		for (const struct control_command *c = i->commands; c && c->name; c++)
			if (strcmp(c->name, name) == 0)
				return c;
	return NULL;
}

/* The command if it was done without an error, and where its arguments are. */
static const struct control_command *run_line(char *line, struct control_reply *reply,
					      char **ret_arguments)
{
	char *arguments = line + strcspn(line, " ");
	const struct control_command *command;

	if (*arguments)
		*arguments++ = '\0';
	command = find_command(line);
	if (!command) {
		control_fail(reply, "no command is named '%.64s'", line);
		return NULL;
	}
	control_print(reply, "ok\n");
	command->run(arguments, reply);
	*ret_arguments = arguments;
	return reply->text[0] == 'o' ? command : NULL;
}

static bool is_ours(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (host_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	return peer.uid == 0 || peer.uid == (uid_t)host_syscall(SYS_geteuid);
}

/* A line without its end: its length, or -errno. */
static ssize_t read_line(int fd, char line[CONTROL_REQUEST_MAX])
{
	size_t length = 0;
	ssize_t n;
	char *end;

	while (length < CONTROL_REQUEST_MAX) {
		n = host_read(fd, line + length, CONTROL_REQUEST_MAX - length);
		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n ? n : -EPIPE;
		end = memchr(line + length, '\n', (size_t)n);
		if (end) {
			*end = '\0';
			return end - line;
		}
		length += (size_t)n;
	}
	return -EMSGSIZE;
}

static bool send_reply(int fd, const struct control_reply *reply)
{
	size_t sent = 0;
	long n;

	while (sent < reply->length) {
		n = host_syscall(SYS_sendto, fd, reply->text + sent, reply->length - sent,
				 MSG_NOSIGNAL);
		if (n < 0 && n != -EINTR)
			return false;
		sent += n > 0 ? (size_t)n : 0;
	}
	return true;
}

void control_serve(int fd)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	char *line = malloc(CONTROL_REQUEST_MAX);
	struct control_reply reply = {.text = malloc(CONTROL_REPLY_MAX)};
	const struct control_command *command = NULL;
	char *arguments;

	host_syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	host_syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (line && reply.text && is_ours(fd) && read_line(fd, line) >= 0) {
		command = run_line(line, &reply, &arguments);
		if (!send_reply(fd, &reply))
			command = NULL;
	}
	if (command && command->keep)
		command->keep(arguments, fd);
	else
		hostfd_close(fd);
	free(reply.text);
	free(line);
}

static void *run(void *arg)
{
	struct pollfd wait[] = {{.fd = control.listener, .events = POLLIN},
				{.fd = control.stop, .events = POLLIN}};
	int fd;

	for (;;) {
		if (host_syscall(SYS_ppoll, wait, 2, NULL, NULL, 0) < 0)
			continue;
		if (wait[1].revents)
			return NULL;
		fd = hostfd_adopt(
			(int)host_syscall(SYS_accept4, control.listener, NULL, NULL, SOCK_CLOEXEC));
		if (fd < 0)
			continue;
		control_serve(fd);
	}
}

/* ---- beginning and end ---- */

static int make_listener(struct sockaddr_un *address)
{
	char *slash = strrchr(address->sun_path, '/');
	int fd, ret;

	*slash = '\0';
	host_syscall(SYS_mkdir, address->sun_path, 0700);
	*slash = '/';
	/* One of a process that is gone and had the same pid, or of this one before an exec. */
	host_syscall(SYS_unlink, address->sun_path);
	fd = hostfd_adopt((int)host_syscall(SYS_socket, AF_UNIX,
					    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (fd < 0)
		return fd;
	ret = (int)host_syscall(SYS_bind, fd, address, sizeof(*address));
	if (ret == 0)
		ret = (int)host_syscall(SYS_listen, fd, 16);
	if (ret == 0)
		return fd;
	hostfd_close(fd);
	return ret;
}

static int start(const char *directory)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int length, ret;

	length = snprintf(address.sun_path, sizeof(address.sun_path),
			  "%s/" CONTROL_DIRECTORY "/%ld", directory, host_syscall(SYS_getpid));
	if (length < 0 || (size_t)length >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	control.listener = make_listener(&address);
	if (control.listener < 0)
		return control.listener;
	strcpy(control.path, address.sun_path);
	control.stop = hostfd_adopt((int)host_syscall(SYS_eventfd2, 0, EFD_CLOEXEC));
	ret = control.stop < 0 ? control.stop
			       : thread_start(&control.thread, "standin-control", run, NULL);
	if (ret < 0) {
		hostfd_close(control.listener);
		hostfd_close(control.stop);
	}
	return ret;
}

void control_start(void)
{
	const char *directory = instance ? instance->config->directory : NULL;
	int ret;

	pthread_mutex_lock(&control.lock);
	if (directory && !control.running) {
		ret = start(directory);
		control.running = ret == 0;
		if (ret < 0)
			log_warning("no commands are taken: %s", strerror(-ret));
	}
	pthread_mutex_unlock(&control.lock);
}

void control_stop(void)
{
	static const uint64_t one = 1;

	pthread_mutex_lock(&control.lock);
	if (control.running) {
		host_write(control.stop, &one, sizeof(one));
		pthread_join(control.thread, NULL);
		hostfd_close(control.listener);
		hostfd_close(control.stop);
		host_syscall(SYS_unlink, control.path);
		control.running = false;
	}
	pthread_mutex_unlock(&control.lock);
}

void control_forked(void)
{
	if (!control.running)
		return;
	pthread_mutex_init(&control.lock, NULL);
	hostfd_close(control.listener);
	hostfd_close(control.stop);
	control.running = false;
}
