/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs are found by their private directories, and processes that take commands by the
 * sockets in these.  A process that is asked by itself, with libstandin, serves the connection
 * when it has said the line.
 */
#include "control/running.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/private.h"
#include "core/config.h"
#include "core/control.h"
#include "core/hostfd.h"
#include "core/instance.h"
#include "core/syscall.h"

#define PATIENCE_S 60 /* a unit is removed when its last command is done */

/* The content of a file in a directory; NULL if there is none. */
static char *read_file(const char *directory, const char *name)
{
	char path[PATH_MAX], *text = NULL;
	size_t size = 0;
	FILE *file;

	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
		return NULL;
	file = fopen(path, "re");
	if (!file)
		return NULL;
	if (getdelim(&text, &size, '\0', file) < 0) {
		free(text);
		text = NULL;
	}
	fclose(file);
	return text;
}

static bool say_line(int fd, const char *command)
{
	char line[CONTROL_REQUEST_MAX];
	int length = snprintf(line, sizeof(line), "%s\n", command);

	return length < (int)sizeof(line) &&
	       host_syscall(SYS_sendto, fd, line, length, MSG_NOSIGNAL, NULL, 0) == length;
}

/* As accept(2) would, but the line is there already: who asks is who answers. */
static int ask_myself(const char *command)
{
	int pair[2], served;

	/* Without libc, since hostfd_adopt() closes one so: sanitizers keep accounts of them. */
	if (host_syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	served = hostfd_adopt(pair[1]);
	if (served >= 0 && say_line(pair[0], command)) {
		control_serve(served);
		return pair[0];
	}
	hostfd_close(served);
	host_close(pair[0]);
	return -1;
}

/* `flags` may have SOCK_NONBLOCK. */
static int connect_to(const struct running *r, pid_t process, int flags)
{
	const struct timeval patience = {.tv_sec = r->patience};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (snprintf(address.sun_path, sizeof(address.sun_path), "%s/" CONTROL_DIRECTORY "/%d",
		     r->directory, (int)process) >= (int)sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	host_close(fd);
	return -1;
}

/* A connection on which the command has been said, or -1. */
static int say(const struct running *r, pid_t process, const char *command)
{
	int fd = r->directory ? connect_to(r, process, 0) : ask_myself(command);

	if (fd < 0 || !r->directory || say_line(fd, command))
		return fd;
	host_close(fd);
	return -1;
}

/* One that is stopped may have as many callers waiting already as there can be. */
static bool is_there(const struct running *r, pid_t process)
{
	int fd = connect_to(r, process, SOCK_NONBLOCK);
	bool there = fd >= 0 || errno == EAGAIN;

	if (fd >= 0)
		host_close(fd);
	return there;
}

static void find_processes(struct running *r)
{
	char path[PATH_MAX];
	struct dirent *entry;
	pid_t pid, *more;
	DIR *dir;

	snprintf(path, sizeof(path), "%.*s/" CONTROL_DIRECTORY, PATH_MAX - 16, r->directory);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		pid = running_parse_pid(entry->d_name);
		if (!pid || !is_there(r, pid))
			continue; /* it has ended */
		more = reallocarray(r->processes, r->n_processes + 1, sizeof(*more));
		if (!more)
			break;
		r->processes = more;
		more[r->n_processes++] = pid;
	}
	if (dir)
		closedir(dir);
}

static bool belongs(const struct running *r, pid_t pid)
{
	for (size_t i = 0; i < r->n_processes; i++)
		if (r->processes[i] == pid)
			return true;
	return !pid || r->pid == pid;
}

/* Only one process of the run if it was that one that was asked for. */
static void narrow(struct running *r, pid_t pid)
{
	if (!pid || pid == r->pid || !r->n_processes)
		return;
	r->processes[0] = pid;
	r->n_processes = 1;
}

struct search {
	pid_t pid;
	struct running *first, **end;
};

static void add(const char *directory, void *arg)
{
	struct search *search = arg;
	struct running *r = calloc(1, sizeof(*r));
	char *end, *text = read_file(directory, "run");

	/* Without that file it is just beginning. */
	if (!r || !text) {
		free(r);
		free(text);
		return;
	}
	r->patience = PATIENCE_S;
	r->pid = (pid_t)strtol(text, &end, 10);
	r->command = strdup(*end ? end + 1 : "");
	free(text);
	if (r->command)
		r->command[strcspn(r->command, "\n")] = '\0';
	r->directory = strdup(directory);
	r->config = read_file(directory, "config");
	if (r->command && r->directory && r->config) {
		find_processes(r);
		if (belongs(r, search->pid)) {
			narrow(r, search->pid);
			*search->end = r;
			search->end = &r->next;
			return;
		}
	}
	running_free(r);
}

/* This process; NULL: it has no instance. */
static struct running *find_myself(void)
{
	struct running *r = instance ? calloc(1, sizeof(*r)) : NULL;

	if (!r)
		return NULL;
	r->pid = getpid();
	r->command = strdup(program_invocation_short_name);
	r->config = config_format(instance->config);
	r->processes = malloc(sizeof(*r->processes));
	if (r->command && r->config && r->processes) {
		r->processes[r->n_processes++] = r->pid;
		return r;
	}
	running_free(r);
	return NULL;
}

struct running *running_find(pid_t pid)
{
	struct search search = {.pid = pid, .end = &search.first};

	if (pid == getpid())
		return find_myself();
	private_each(add, &search);
	return search.first;
}

void running_free(struct running *list)
{
	struct running *r;

	while ((r = list)) {
		list = r->next;
		free(r->directory);
		free(r->command);
		free(r->config);
		free(r->processes);
		free(r);
	}
}

int running_ask(const struct running *r, pid_t process, const char *command, char **ret_reply)
{
	char *reply = calloc(1, CONTROL_REPLY_MAX + 1);
	int fd = reply ? say(r, process, command) : -1;
	size_t length = 0;
	ssize_t n = -1;

	*ret_reply = NULL;
	while (fd >= 0 && (n = host_read(fd, reply + length, CONTROL_REPLY_MAX - length)) > 0)
		length += (size_t)n;
	if (fd >= 0)
		host_close(fd);
	if (n == 0 && strncmp(reply, "ok\n", 3) == 0) {
		memmove(reply, reply + 3, length - 2);
		*ret_reply = reply;
		return 0;
	}
	if (n == 0 && strncmp(reply, "error ", 6) == 0) {
		reply[strcspn(reply, "\n")] = '\0';
		memmove(reply, reply + 6, strlen(reply) - 5);
		*ret_reply = reply;
		return -1;
	}
	if (reply)
		snprintf(reply, CONTROL_REPLY_MAX, "process %d does not answer", (int)process);
	*ret_reply = reply;
	return -1;
}

int running_connect(const struct running *r, pid_t process, const char *command, char **ret_reason)
{
	char line[256] = "";
	int fd = say(r, process, command);
	size_t length = 0;

	/* Byte by byte, since what comes after the line is not ours to read. */
	while (fd >= 0 && length < sizeof(line) - 1 && host_read(fd, line + length, 1) == 1 &&
	       line[length] != '\n')
		length++;
	line[length] = '\0';
	*ret_reason = NULL;
	if (strcmp(line, "ok") == 0)
		return fd;
	if (fd >= 0)
		host_close(fd);
	if (asprintf(ret_reason, "process %d %s", (int)process,
		     strncmp(line, "error ", 6) == 0 ? line + 6 : "does not answer") < 0)
		*ret_reason = NULL;
	return -1;
}

pid_t running_parse_pid(const char *text)
{
	char *end;
	long pid;

	errno = 0;
	pid = strtol(text, &end, 10);
	return errno || *end || end == text || pid <= 0 || pid > INT_MAX ? 0 : (pid_t)pid;
}
