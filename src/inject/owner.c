/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The owner's side of forwarded calls: one thread serves all children, one request at a
 * time.  The kernel says which process a request is from, so a child can't speak for
 * another one.  References that a child holds are listed with its socket and dropped when
 * that hangs up.
 */
#include "inject/owner_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "core/config.h"
#include "core/fdtable.h"
#include "core/hostfd.h"
#include "core/instance.h"
#include "core/message.h"
#include "core/syscall.h"
#include "core/thread.h"
#include "core/user.h"
#include "inject/forward.h"
#include "inject/runtime.h"

#define SETTLE_TRIES 1000

/* Connections come in here, once there is a reason. */
static struct owner_client listener = {.fd = -1};
/* References to files on their way to other processes; under the lock. */
static struct file **holds;
static size_t n_holds, holds_room;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct owner_client *clients; /* under the lock */
static int epoll = -1;
static bool running;
static _Atomic bool serving; /* a request is being done */
static _Atomic unsigned n_clients;

bool owner_client_has(const struct owner_client *c, const struct file *f)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->files[i] == f)
			return true;
	return false;
}

int owner_client_add(struct owner_client *c, struct file *f)
{
	struct file **more;

	if (owner_client_has(c, f)) {
		file_put(f);
		return 0;
	}
	if (c->n == c->room) {
		more = reallocarray(c->files, c->room * 2 + 8, sizeof(*more));
		if (!more) {
			file_put(f);
			return -ENOMEM;
		}
		c->files = more;
		c->room = c->room * 2 + 8;
	}
	c->files[c->n++] = f;
	return 0;
}

static void client_drop(struct owner_client *c, const struct file *f)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->files[i] != f)
			continue;
		c->files[i] = c->files[--c->n];
		file_put((struct file *)(uintptr_t)f);
		return;
	}
}

static int client_poll_fd(const struct owner_client *c)
{
	return c->changed ? c->who.pidfd : c->fd;
}

/*
 * Takes it out of the poll set by hand: children forked later had the socket too until
 * they closed it, and a poll set forgets a descriptor only when the last copy is closed.
 */
static void client_destroy(struct owner_client *c)
{
	struct owner_client **link;

	pthread_mutex_lock(&lock);
	host_syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_DEL, client_poll_fd(c), NULL);
	for (link = &clients; *link; link = &(*link)->next) {
		if (*link != c)
			continue;
		*link = c->next;
		atomic_fetch_sub(&n_clients, 1);
		break;
	}
	pthread_mutex_unlock(&lock);
	hostfd_close(c->fd);
	hostfd_close(c->who.pidfd);
	while (c->n)
		file_put(c->files[--c->n]);
	free(c->files);
	free(c);
}

/* Whether `pid` has a descriptor of `f`. */
static bool process_has(pid_t pid, const struct file *f)
{
	char path[64], entries[2048] __attribute__((aligned(8)));
	struct linux_dirent {
		uint64_t ino;
		int64_t next;
		uint16_t size;
		uint8_t type;
		char name[];
	} * entry;
	struct stat st;
	bool has = false;
	long n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	fd = host_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	while (!has && (n = host_syscall(SYS_getdents64, fd, entries, sizeof(entries))) > 0) {
		for (long at = 0; at < n && !has; at += entry->size) {
			entry = (struct linux_dirent *)(entries + at);
			has = host_syscall(SYS_newfstatat, fd, entry->name, &st, 0) == 0 &&
			      st.st_ino == f->ino && st.st_dev == f->dev;
		}
	}
	host_close(fd);
	return has;
}

/*
 * The socket has hung up: the client has ended, or made an exec.  What an exec has kept
 * open it goes on holding, until the process ends or claims it.
 */
static void client_hung_up(struct owner_client *c)
{
	struct epoll_event event = {.events = EPOLLIN};
	size_t kept = 0;

	for (size_t i = 0; c->who.pid && c->who.pidfd >= 0 && i < c->n; i++) {
		struct file *f = c->files[i];

		if (file_is_untaken(f) || !process_has(c->who.pid, f))
			continue;
		c->files[i] = c->files[kept];
		c->files[kept++] = f;
	}
	if (!kept) {
		client_destroy(c);
		return;
	}
	while (c->n > kept)
		file_put(c->files[--c->n]);
	pthread_mutex_lock(&lock);
	host_syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_DEL, c->fd, NULL);
	hostfd_close(c->fd);
	c->fd = -1;
	c->changed = true;
	event.data.ptr = c;
	host_syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, c->who.pidfd, &event);
	pthread_mutex_unlock(&lock);
}

/* What `pid` had before its exec it has now through its new connection. */
static void claimed_after_exec(pid_t pid, const struct file *f)
{
	struct owner_client *c;

	/* Only this thread changes the files of clients, and their list from here on. */
	pthread_mutex_lock(&lock);
	for (c = clients; c && !(c->changed && c->who.pid == pid && owner_client_has(c, f));)
		c = c->next;
	pthread_mutex_unlock(&lock);
	if (c)
		client_drop(c, f);
}

/* The client shows a descriptor that it got from somewhere else. */
static void claim(struct owner_client *c, int fd, const struct forward_request *rq,
		  struct forward_reply *reply)
{
	struct file *f;

	reply->result = -EIO;
	if (fd < 0)
		return;
	fdtable_forget(fd);
	owner_give_file(c, fd, reply);
	f = file_get(fd);
	if (f) {
		if (owner_client_has(c, f))
			reply->result = 0;
		if (rq->flags)
			owner_unhold(f);
		claimed_after_exec(c->who.pid, f);
		file_put(f);
	}
	fdtable_forget(fd);
}

static void identify(struct owner_client *c, pid_t pid)
{
	if (pid == c->who.pid)
		return;
	hostfd_close(c->who.pidfd);
	c->who.pid = pid;
	c->who.pidfd = hostfd_adopt((int)host_syscall(SYS_pidfd_open, pid, 0));
}

/* A child of the child: it holds what the child holds. */
static void adopt_grandchild(const struct owner_client *c, int fd, pid_t pid)
{
	struct file **files = calloc(c->n ? c->n : 1, sizeof(*files));

	if (!files) {
		host_close(fd);
		return;
	}
	for (size_t i = 0; i < c->n; i++)
		files[i] = file_ref(c->files[i]);
	owner_add(hostfd_adopt(fd), files, c->n, pid);
}

/* One request; false when the child is gone. */
static bool serve(struct owner_client *c)
{
	struct forward_request rq = {0};
	struct forward_reply reply = {0};
	int descriptor, made;
	pid_t pid;

	if (message_receive(c->fd, &rq, sizeof(rq), &descriptor, &pid) != sizeof(rq) || !pid) {
		host_close(descriptor);
		return false;
	}
	rq.path[sizeof(rq.path) - 1] = '\0';
	if (rq.operation == FORWARD_DROP) {
		client_drop(c, (struct file *)(uintptr_t)rq.file);
		return true;
	}
	if (rq.operation == FORWARD_FORK && descriptor >= 0) {
		adopt_grandchild(c, descriptor, (pid_t)rq.argument);
		return message_send(c->fd, &reply, sizeof(reply), -1) >= 0;
	}
	identify(c, pid);
	if (rq.operation == FORWARD_CLAIM) {
		claim(c, descriptor, &rq, &reply);
		host_close(descriptor);
		return message_send(c->fd, &reply, sizeof(reply), -1) >= 0;
	}
	host_close(descriptor);
	user_client = c->who;
	made = owner_perform(c, &rq, &reply);
	user_client = (struct user_client){0, -1};
	if (message_send(c->fd, &reply, sizeof(reply), made) < 0)
		pid = 0;
	if (made >= 0) {
		fdtable_forget(made);
		host_close(made);
	}
	return pid != 0;
}

/* A process that has come by one of our files connects. */
static void welcome(void)
{
	struct ucred who = {.uid = (uid_t)-1};
	socklen_t size = sizeof(who);
	int fd;

	fd = (int)host_syscall(SYS_accept4, listener.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	host_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &who, &size);
	if (who.uid != (uid_t)host_syscall(SYS_geteuid)) {
		host_close(fd);
		return;
	}
	owner_add(hostfd_adopt(fd), NULL, 0, who.pid);
}

static void *service(void *arg)
{
	struct epoll_event event;
	struct owner_client *c;
	long n;

	for (;;) {
		n = host_syscall(SYS_epoll_pwait, epoll, &event, 1, -1, NULL, 8);
		if (n < 0 && n != -EINTR)
			return NULL;
		if (n != 1)
			continue;
		atomic_store(&serving, true);
		c = event.data.ptr;
		if (c == &listener)
			welcome();
		else if (c->changed)
			client_destroy(c);
		else if (!(event.events & EPOLLIN) || !serve(c))
			client_hung_up(c);
		atomic_store(&serving, false);
	}
}

static int start_service(void)
{
	pthread_t thread;
	int result;

	if (running)
		return 0;
	epoll = hostfd_adopt((int)host_syscall(SYS_epoll_create1, EPOLL_CLOEXEC));
	if (epoll < 0)
		return epoll;
	result = thread_start(&thread, "standin-fork", service, NULL);
	if (result < 0) {
		hostfd_close(epoll);
		return result;
	}
	pthread_detach(thread);
	running = true;
	return 0;
}

bool owner_address(pid_t pid, struct sockaddr_un *address)
{
	const char *directory = instance ? instance->config->directory : NULL;
	int length;

	if (!directory)
		return false;
	address->sun_family = AF_UNIX;
	length = snprintf(address->sun_path, sizeof(address->sun_path),
			  "%s/" OWNERS_DIRECTORY "/%d", directory, (int)pid);
	return length > 0 && (size_t)length < sizeof(address->sun_path);
}

static int bind_address(int fd)
{
	struct sockaddr_un address;

	if (!owner_address((pid_t)host_syscall(SYS_getpid), &address))
		return -ENAMETOOLONG;
	instance_expect_heirs();
	/* One of a process that is gone and had the same pid. */
	host_syscall(SYS_unlink, address.sun_path);
	return (int)host_syscall(SYS_bind, fd, &address, sizeof(address));
}

int owner_listen(void)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = &listener}};
	int result = 0, fd, on = 1;

	pthread_mutex_lock(&lock);
	if (listener.fd < 0) {
		fd = (int)host_syscall(SYS_socket, AF_UNIX,
				       SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		fd = hostfd_adopt(fd);
		result = fd < 0 ? fd : bind_address(fd);
		/* Inherited by what is accepted, so that the first request, which may come before
		 * anybody could ask for it there, tells who sent it. */
		if (result == 0)
			result = (int)host_syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_PASSCRED, &on,
						   sizeof(on));
		if (result == 0)
			result = (int)host_syscall(SYS_listen, fd, 128);
		if (result == 0)
			result = start_service();
		if (result == 0)
			result = (int)host_syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, fd, &event);
		if (result == 0)
			listener.fd = fd;
		else
			hostfd_close(fd);
	}
	pthread_mutex_unlock(&lock);
	return result;
}

void owner_hold(struct file *f)
{
	struct file **more;

	pthread_mutex_lock(&lock);
	if (n_holds == holds_room) {
		more = reallocarray(holds, holds_room * 2 + 8, sizeof(*more));
		if (more) {
			holds = more;
			holds_room = holds_room * 2 + 8;
		}
	}
	if (n_holds < holds_room)
		holds[n_holds++] = file_ref(f);
	pthread_mutex_unlock(&lock);
}

void owner_unhold(struct file *f)
{
	bool held = false;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < n_holds && !held; i++) {
		if (holds[i] != f)
			continue;
		holds[i] = holds[--n_holds];
		held = true;
	}
	pthread_mutex_unlock(&lock);
	if (held)
		file_put(f);
}

int owner_add(int fd, struct file **files, size_t n, pid_t pid)
{
	struct owner_client *c = calloc(1, sizeof(*c));
	struct epoll_event event = {.events = EPOLLIN};
	int result;

	if (!c) {
		hostfd_close(fd);
		while (n)
			file_put(files[--n]);
		free(files);
		return -ENOMEM;
	}
	*c = (struct owner_client){.fd = fd, .files = files, .n = n, .room = n, .who = {0, -1}};
	if (pid)
		identify(c, pid);
	event.data.ptr = c;
	pthread_mutex_lock(&lock);
	result = start_service();
	if (result == 0)
		result = (int)host_syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, fd, &event);
	if (result == 0) {
		c->next = clients;
		clients = c;
		atomic_fetch_add(&n_clients, 1);
	}
	pthread_mutex_unlock(&lock);
	if (result < 0)
		client_destroy(c);
	return result;
}

/* Anything that a child has said and that has not been done, its end included? */
static bool unsettled(void)
{
	bool any = false;

	pthread_mutex_lock(&lock);
	for (struct owner_client *c = clients; c && !any; c = c->next) {
		struct pollfd p = {.fd = client_poll_fd(c), .events = POLLIN};

		any = host_syscall(SYS_poll, &p, 1, 0) > 0;
	}
	pthread_mutex_unlock(&lock);
	return any || atomic_load(&serving);
}

void owner_settle(void)
{
	static const struct timespec pause = {.tv_nsec = 20000};

	/* The last client leaves the list before its references go: `serving` covers that. */
	for (int i = 0;
	     (atomic_load(&n_clients) || atomic_load(&serving)) && i < SETTLE_TRIES && unsettled();
	     i++)
		host_syscall(SYS_nanosleep, &pause, NULL);
}

void owner_fork_begin(void)
{
	pthread_mutex_lock(&lock);
}

void owner_fork_end(void)
{
	pthread_mutex_unlock(&lock);
}

void owner_fork_unhold(void)
{
	while (n_holds)
		file_put(holds[--n_holds]);
}

void owner_fork_child(void)
{
	pthread_mutex_init(&lock, NULL);
	for (; clients; clients = clients->next) {
		hostfd_close(clients->fd);
		hostfd_close(clients->who.pidfd);
	}
	hostfd_close(listener.fd);
	listener.fd = -1;
	hostfd_close(epoll);
	epoll = -1;
	running = false;
	atomic_store(&serving, false);
	atomic_store(&n_clients, 0);
}
