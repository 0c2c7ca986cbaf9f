/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The contexts of this process that others have, and the thread that does their calls.
 *
 * One reference to the file stands for all other processes.  It is given back when the pipe has
 * no read end any more.  While this process has descriptors of its own there is one anyway; when
 * the last of them is closed the file's private read end (struct file, self) goes too.
 */
#include "uffd/share.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "core/hostfd.h"
#include "core/message.h"
#include "core/placeholder.h"
#include "core/signal_mask.h"
#include "core/syscall.h"
#include "core/thread.h"
#include "core/user.h"

struct shared;

/* What the thread waits for. */
struct endpoint {
	enum { SHARE_PEER, SHARE_LISTENER, SHARE_CALLER } what;
	int fd;
	bool known; /* SHARE_CALLER: it has shown its descriptor */
	struct shared *of;
	struct endpoint *next; /* of all callers of `of` */
};

struct shared {
	struct file *file; /* a reference */
	struct endpoint peer, listener;
	struct endpoint *callers;
	struct shared *next;
};

/*
 * For all of this; the thread has it while it does a call.  Before the engine's lock, and with
 * all signals blocked: a handler may close a descriptor.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct shared *all;
static int epoll = -1;
static bool running;

socklen_t share_address(int fd, struct sockaddr_un *ret_address)
{
	struct stat st;
	int length, ret = host_fstat(fd, &st);

	if (ret < 0)
		return 0;
	*ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	length = snprintf(ret_address->sun_path + 1, sizeof(ret_address->sun_path) - 1,
			  "standin:userfaultfd:%llu", (unsigned long long)st.st_ino);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

static void take_lock(uint64_t *ret_signals)
{
	signal_mask_block(ret_signals);
	pthread_mutex_lock(&lock);
}

static void give_lock(const uint64_t *signals)
{
	pthread_mutex_unlock(&lock);
	signal_mask_restore(signals);
}

static int watch(struct endpoint *e, uint32_t events)
{
	struct epoll_event event = {.events = events, .data = {.ptr = e}};

	return (int)host_syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, e->fd, &event);
}

/* By hand: a copy of the descriptor in another process would keep it in the set. */
static void unwatch(const struct endpoint *e)
{
	host_syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_DEL, e->fd, NULL);
}

/* ---- ends ---- */

static void end_caller(struct endpoint *e)
{
	struct endpoint **link = &e->of->callers;

	while (*link != e)
		link = &(*link)->next;
	*link = e->next;
	unwatch(e);
	hostfd_close(e->fd);
	free(e);
}

static void end_shared(struct shared *s)
{
	struct shared **link = &all;

	while (*link != s)
		link = &(*link)->next;
	*link = s->next;
	while (s->callers)
		end_caller(s->callers);
	unwatch(&s->peer);
	unwatch(&s->listener);
	hostfd_close(s->listener.fd);
	atomic_store(&s->file->outside, false);
	file_put(s->file);
	free(s);
}

static bool has_readers(const struct shared *s)
{
	struct pollfd p = {.fd = s->peer.fd};

	return host_syscall(SYS_poll, &p, 1, 0) != 1 || !(p.revents & POLLERR);
}

static void give_up_self(struct file *f)
{
	struct uffd *u = f->priv;
	uint64_t signals;
	int self = f->self;

	memory_lock(&signals);
	u->self = f->self = -1;
	memory_unlock(&signals);
	hostfd_close(self);
}

void uffd_share_alone(struct file *f)
{
	struct shared *s;
	uint64_t signals;

	take_lock(&signals);
	for (s = all; s && s->file != f;)
		s = s->next;
	if (s && atomic_load(&f->refs) == 1) {
		give_up_self(f);
		if (!has_readers(s))
			end_shared(s);
	}
	give_lock(&signals);
}

void uffd_share_settle(void)
{
	struct shared *s, *next;
	uint64_t signals;

	take_lock(&signals);
	for (s = all; s; s = next) {
		next = s->next;
		if (!has_readers(s))
			end_shared(s);
	}
	give_lock(&signals);
}

/* ---- calls ---- */

/* Returns the descriptor that goes along, or -1. */
static int read_messages(struct uffd *u, const struct share_request *rq, struct share_reply *reply)
{
	int fd = -1, n = 0;
	long ret = uffd_features(u) & UFFD_INITIALIZED ? 0 : -EINVAL;

	while (ret == 0 && fd < 0 && n < SHARE_MESSAGES && (uint32_t)n < rq->command) {
		uint64_t signals;

		memory_lock(&signals);
		ret = uffd_take(u, &reply->message[n], &fd);
		memory_unlock(&signals);
		n += ret == 0;
	}
	reply->result = n ? n : ret;
	reply->flags = u->flags & O_CLOEXEC;
	return fd;
}

static void perform(struct endpoint *e, const struct share_request *rq, pid_t caller)
{
	struct file *f = e->of->file;
	struct share_reply reply = {.result = -EINVAL};
	int fd = -1;

	if (rq->operation == SHARE_IOCTL) {
		user_client = (struct user_client){.pid = caller, .pidfd = -1};
		reply.result = ioctl_dispatch(-1, f, rq->command, rq->argument);
		user_client = (struct user_client){.pidfd = -1};
	} else if (rq->operation == SHARE_READ) {
		fd = read_messages(f->priv, rq, &reply);
	} else if (rq->operation == SHARE_STATE) {
		uffd_state(f->priv, &reply.state);
		reply.result = 0;
	}
	message_send(e->fd, &reply, sizeof(reply), fd);
	if (fd >= 0)
		host_close(fd);
}

static bool same_file(const struct file *f, int fd)
{
	struct stat st;

	return fd >= 0 && host_fstat(fd, &st) == 0 && st.st_ino == f->ino && st.st_dev == f->dev;
}

static void serve(struct endpoint *e)
{
	struct share_request rq;
	pid_t caller;
	int fd;

	if (message_receive(e->fd, &rq, sizeof(rq), &fd, &caller) != sizeof(rq) || !caller) {
		end_caller(e);
	} else if (rq.operation == SHARE_HELLO) {
		e->known = same_file(e->of->file, fd);
	} else if (e->known) {
		perform(e, &rq, caller);
	} else {
		end_caller(e);
	}
	if (fd >= 0)
		host_close(fd);
}

static void welcome(struct endpoint *listener)
{
	struct endpoint *e = calloc(1, sizeof(*e));
	int fd = (int)host_syscall(SYS_accept4, listener->fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		fd = hostfd_adopt(fd);
	if (!e || fd < 0) {
		hostfd_close(fd);
		free(e);
		return;
	}
	*e = (struct endpoint){.what = SHARE_CALLER, .fd = fd, .of = listener->of};
	e->next = e->of->callers;
	e->of->callers = e;
	if (watch(e, EPOLLIN) < 0)
		end_caller(e);
}

/* Whether it has not been ended since the kernel spoke of it. */
static bool still_there(const struct endpoint *e)
{
	for (const struct shared *s = all; s; s = s->next) {
		if (e == &s->peer || e == &s->listener)
			return true;
		for (const struct endpoint *c = s->callers; c; c = c->next)
			if (c == e)
				return true;
	}
	return false;
}

static void *service(void *arg)
{
	struct epoll_event event;
	struct endpoint *e;
	uint64_t signals;
	long n;

	for (;;) {
		n = host_syscall(SYS_epoll_pwait, epoll, &event, 1, -1, NULL, 8);
		if (n < 0 && n != -EINTR)
			return NULL;
		if (n != 1)
			continue;
		e = event.data.ptr;
		take_lock(&signals);
		if (!still_there(e))
			;
		else if (e->what == SHARE_LISTENER)
			welcome(e);
		else if (e->what == SHARE_CALLER)
			serve(e);
		else if (!has_readers(e->of))
			end_shared(e->of);
		give_lock(&signals);
	}
}

/* ---- beginnings ---- */

static int start_service(void)
{
	pthread_t thread;
	int ret;

	if (running)
		return 0;
	if (epoll < 0)
		epoll = hostfd_adopt((int)host_syscall(SYS_epoll_create1, EPOLL_CLOEXEC));
	if (epoll < 0)
		return epoll;
	ret = thread_start(&thread, "standin-uffd", service, NULL);
	if (ret < 0)
		return ret;
	pthread_detach(thread);
	running = true;
	return 0;
}

static int make_listener(int peer)
{
	struct sockaddr_un address;
	socklen_t size = share_address(peer, &address);
	int on = 1, fd;
	long ret;

	fd = hostfd_adopt((int)host_syscall(SYS_socket, AF_UNIX,
					    SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (fd < 0)
		return fd;
	/* Inherited by what is accepted: each message names its sender. */
	ret = host_syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	if (ret == 0)
		ret = host_syscall(SYS_bind, fd, &address, size);
	if (ret == 0)
		ret = host_syscall(SYS_listen, fd, 128);
	if (ret == 0)
		return fd;
	hostfd_close(fd);
	return (int)ret;
}

/* Takes over a reference to f, on success. */
static int begin_shared(struct file *f)
{
	struct shared *s = calloc(1, sizeof(*s));
	int ret = s ? start_service() : -ENOMEM;

	if (ret == 0)
		ret = make_listener(f->peer);
	if (ret < 0) {
		free(s);
		return ret;
	}
	s->file = f;
	s->listener = (struct endpoint){.what = SHARE_LISTENER, .fd = ret, .of = s};
	s->peer = (struct endpoint){.what = SHARE_PEER, .fd = f->peer, .of = s};
	s->next = all;
	all = s;
	ret = watch(&s->listener, EPOLLIN);
	if (ret == 0)
		ret = watch(&s->peer, 0);
	if (ret == 0) {
		atomic_store(&f->outside, true);
		return 0;
	}
	unwatch(&s->listener);
	hostfd_close(s->listener.fd);
	all = s->next;
	free(s);
	return ret;
}

int uffd_share(struct file *f)
{
	uint64_t signals;
	int ret = 0;

	take_lock(&signals);
	if (!atomic_load(&f->outside))
		ret = begin_shared(file_ref(f));
	give_lock(&signals);
	if (ret < 0)
		file_put(f);
	return ret;
}

int uffd_share_new(struct uffd *u, int peer)
{
	uint64_t signals;
	struct file *f;
	int ret = file_install_detached(peer, &uffd_file_ops, u, O_RDONLY, &f);

	if (ret < 0)
		return ret;
	u->self = -1;
	u->peer = peer;
	placeholder_pipe_mark(peer);
	take_lock(&signals);
	ret = begin_shared(f);
	give_lock(&signals);
	/* Its last reference goes, and with it the context. */
	if (ret < 0)
		file_put(f);
	return 0;
}

/* ---- fork ---- */

void uffd_share_fork_begin(void)
{
	pthread_mutex_lock(&lock);
}

void uffd_share_fork_end(void)
{
	pthread_mutex_unlock(&lock);
}

void uffd_share_forked(void)
{
	struct endpoint *e;
	struct shared *s;

	pthread_mutex_init(&lock, NULL);
	while ((s = all)) {
		all = s->next;
		while ((e = s->callers)) {
			s->callers = e->next;
			hostfd_close(e->fd);
			free(e);
		}
		hostfd_close(s->listener.fd);
		free(s);
	}
	hostfd_close(epoll);
	epoll = -1;
	running = false;
}
