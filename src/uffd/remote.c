/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contexts of other processes.
 *
 * Calls go to the process whose context it is.  When that is gone, so is the memory, which the
 * kernel has answers for: the same as a context of this process gives that is marked `dead`.
 *
 * Who waits for a message sleeps on the pipe: tee(2) goes on when there is something in it and
 * takes nothing out, and signals restart or interrupt it as they do read(2).  The pipe's
 * write end is kept open here, too, so that the end of the other process is nothing that poll
 * would speak of.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/vfs.h>

#include "core/fdtable.h"
#include "core/hostfd.h"
#include "core/message.h"
#include "core/placeholder.h"
#include "core/signal_mask.h"
#include "core/syscall.h"
#include "core/user.h"
#include "uffd/entry.h"
#include "uffd/share.h"

struct remote {
	pthread_mutex_t calling;   /* all signals blocked */
	int connection;            /* -1: not yet */
	bool gone;                 /* the other process */
	_Atomic uint32_t features; /* as far as anybody has asked */
};

static struct uffd dead = {
	.self = -1,
	.peer = -1,
	.features = UFFD_INITIALIZED,
	.dead = true,
	.pending = {&dead.pending, &dead.pending},
	.read = {&dead.read, &dead.read},
	.events = {&dead.events, &dead.events},
};

/* ---- asking ---- */

static int connect_to(int pipe)
{
	struct share_request hello = {.operation = SHARE_HELLO};
	struct sockaddr_un address;
	socklen_t size = share_address(pipe, &address), who_size;
	struct ucred who = {0};
	long ret;
	int fd;

	fd = hostfd_adopt((int)host_syscall(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	if (fd < 0)
		return fd;
	do
		ret = host_syscall(SYS_connect, fd, &address, size);
	while (ret == -EINTR);
	who_size = sizeof(who);
	if (ret == 0 &&
	    host_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &who, &who_size) == 0)
		user_allow(who.pid);
	if (ret == 0 && message_send(fd, &hello, sizeof(hello), pipe) == sizeof(hello))
		return fd;
	hostfd_close(fd);
	return ret < 0 ? (int)ret : -EPIPE;
}

/* What nobody will read from the one that is gone, poll doesn't speak of. */
static void lose(const struct file *f, struct remote *r)
{
	hostfd_close(r->connection);
	r->connection = -1;
	r->gone = true;
	placeholder_pipe_empty(-1, f->peer);
}

/* With r->calling: whether there is somebody to ask, or may be later. */
static bool meet(const struct file *f, struct remote *r)
{
	if (r->gone || r->connection >= 0)
		return !r->gone;
	r->connection = connect_to(f->self);
	if (r->connection < 0 && r->connection != -EMFILE && r->connection != -ENOMEM)
		lose(f, r);
	return !r->gone;
}

/*
 * false: the other process is gone.  What is received along goes to *ret_descriptor; one that
 * can't be, for there is no room, is -1.
 */
static bool ask(const struct file *f, const struct share_request *rq, struct share_reply *reply,
		int *ret_descriptor)
{
	struct remote *r = f->priv;
	uint64_t signals;
	ssize_t n = -1;
	pid_t sender;
	bool gone;

	signal_mask_block(&signals);
	pthread_mutex_lock(&r->calling);
	*ret_descriptor = -1;
	if (meet(f, r) && r->connection >= 0) {
		n = message_send(r->connection, rq, sizeof(*rq), -1);
		if (n == sizeof(*rq))
			n = message_receive(r->connection, reply, sizeof(*reply), ret_descriptor,
					    &sender);
		if (n != sizeof(*reply))
			lose(f, r);
	}
	gone = r->gone;
	pthread_mutex_unlock(&r->calling);
	signal_mask_restore(&signals);
	if (!gone && n < 0)
		*reply = (struct share_reply){.result = -ENOMEM};
	return !gone;
}

static long remote_ioctl(struct file *f, struct ioctl_call *call)
{
	struct share_request rq = {
		.operation = SHARE_IOCTL,
		.command = call->cmd,
		.argument = call->arg,
	};
	struct file of_dead = {.ops = &uffd_file_ops, .priv = &dead, .self = -1, .peer = -1};
	struct share_reply reply;
	int fd;

	if (ask(f, &rq, &reply, &fd))
		return reply.result;
	return ioctl_dispatch(-1, &of_dead, call->cmd, call->arg);
}

/* ---- reading ---- */

static int fork_descriptor(int fd, unsigned flags)
{
	int ret;

	if (fd < 0)
		return -EMFILE;
	if (!(flags & O_CLOEXEC))
		host_syscall(SYS_fcntl, fd, F_SETFD, 0);
	ret = uffd_remote_install(fd);
	if (ret == 0)
		return fd;
	host_close(fd);
	return ret;
}

/* Some messages, fewer than are asked for if there are no more: how many, or -errno. */
static long ask_messages(struct file *f, struct share_reply *reply, size_t n)
{
	struct share_request rq = {
		.operation = SHARE_READ,
		.command = n < SHARE_MESSAGES ? (uint32_t)n : SHARE_MESSAGES,
	};
	struct uffd_msg *last;
	int fd, ret;

	if (!ask(f, &rq, reply, &fd))
		return -EAGAIN;
	last = reply->result > 0 ? &reply->message[reply->result - 1] : NULL;
	if (last && last->event == UFFD_EVENT_FORK) {
		ret = fork_descriptor(fd, reply->flags);
		if (ret < 0)
			return reply->result > 1 ? reply->result - 1 : ret;
		last->arg.fork.ufd = (uint32_t)ret;
	}
	return (long)reply->result;
}

static void put_file(void *file)
{
	file_put(file);
}

/* Until the pipe has something.  0 or -EINTR. */
static long wait_readable(struct file *f)
{
	int pair[2], type;
	long ret = host_syscall(SYS_pipe2, pair, O_CLOEXEC);

	if (ret < 0)
		return ret;
	pair[0] = hostfd_adopt(pair[0]);
	pair[1] = hostfd_adopt(pair[1]);
	pthread_cleanup_push(put_file, f);
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	ret = host_syscall(SYS_tee, f->self, pair[1], 1, 0);
	pthread_setcanceltype(type, NULL);
	pthread_cleanup_pop(0);
	hostfd_close(pair[0]);
	hostfd_close(pair[1]);
	return ret < 0 && ret != -EAGAIN ? ret : 0;
}

static short remote_polled(struct file *f, short events, bool waits)
{
	return uffd_blocks(f) ? POLLERR : 0;
}

static int remote_describe(struct file *f, char *text, size_t size)
{
	struct share_request rq = {.operation = SHARE_STATE};
	struct remote *r = f->priv;
	struct share_reply reply;
	struct uffd_state state = {.features = atomic_load(&r->features)};
	int fd;

	if (ask(f, &rq, &reply, &fd)) {
		if (reply.result < 0)
			return 0;
		state = reply.state;
		atomic_store(&r->features, state.features);
	}
	return uffd_state_text(&state, text, size);
}

static ssize_t remote_read(struct file *f, void *buffer, size_t size, off_t offset)
{
	struct share_reply reply;
	size_t done = 0;
	long n;

	while (size - done >= sizeof(struct uffd_msg)) {
		n = ask_messages(f, &reply, (size - done) / sizeof(struct uffd_msg));
		if (n == -EAGAIN && !done && uffd_blocks(f)) {
			n = wait_readable(f);
			if (n == 0)
				continue;
		}
		if (n <= 0)
			return done ? (ssize_t)done : n;
		n *= (long)sizeof(struct uffd_msg);
		if (copy_to_user((char *)buffer + done, reply.message, (size_t)n))
			return done ? (ssize_t)done : -EFAULT;
		done += (size_t)n;
	}
	return done ? (ssize_t)done : -EINVAL;
}

/* ---- files ---- */

static void remote_release(struct file *f)
{
	struct remote *r = f->priv;

	hostfd_close(r->connection);
	free(r);
}

static void leaving(struct file *f)
{
	/* Its process is asked by whoever gets it. */
}

const struct ioctl_table uffd_remote_table = {
	.kind = "userfaultfd",
	.unknown = -EINVAL,
	.otherwise = remote_ioctl,
};

static const struct file_ops remote_ops = {
	.kind = "userfaultfd",
	.ioctls = &uffd_remote_table,
	.messages = true,
	.pipe = true,
	.still = true,
	.of_process = true,
	.release = remote_release,
	.read = remote_read,
	.leaving = leaving,
	.forked = uffd_remote_forked,
	.polled = remote_polled,
	.describe = remote_describe,
	.trace_message = uffd_trace_message,
};

static struct remote *new_remote(void)
{
	struct remote *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	pthread_mutex_init(&r->calling, NULL);
	r->connection = -1;
	return r;
}

/* A write end of the pipe, private. */
static int open_peer(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return hostfd_adopt(host_open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC, 0));
}

/* Whose process is gone already, a program's that has executed this one for instance. */
static void look_for_owner(int fd)
{
	struct file *f = file_get(fd);
	struct remote *r;
	uint64_t signals;

	if (!f || f->ops != &remote_ops)
		goto out;
	r = f->priv;
	signal_mask_block(&signals);
	pthread_mutex_lock(&r->calling);
	meet(f, r);
	pthread_mutex_unlock(&r->calling);
	signal_mask_restore(&signals);
out:
	if (f)
		file_put(f);
}

int uffd_remote_install(int fd)
{
	struct statfs where;
	struct remote *r;
	int peer, ret;

	if (host_syscall(SYS_fstatfs, fd, &where) < 0 || where.f_type != PIPEFS_MAGIC)
		return -EINVAL;
	peer = open_peer(fd);
	if (peer < 0)
		return peer;
	r = new_remote();
	if (!r) {
		hostfd_close(peer);
		return -ENOMEM;
	}
	atomic_store(&uffd_used, true);
	ret = file_install_pipe(fd, peer, &remote_ops, r, O_RDONLY);
	if (ret < 0) {
		hostfd_close(peer);
		free(r);
		return ret;
	}
	look_for_owner(fd);
	return 0;
}

void uffd_remote_forked(struct file *f)
{
	bool same = f->ops == &remote_ops;
	/* The connection is the parent's, where somebody may be in the middle of a call. */
	bool gone = same && ((struct remote *)f->priv)->gone;
	uint32_t features =
		same ? atomic_load(&((struct remote *)f->priv)->features) : uffd_features(f->priv);
	struct remote *r = new_remote();

	if (!r)
		abort();
	if (same)
		hostfd_close(((struct remote *)f->priv)->connection);
	free(f->priv);
	r->gone = gone;
	atomic_store(&r->features, features);
	f->priv = r;
	f->ops = &remote_ops;
	atomic_store(&f->outside, false);
	file_recount(f);
}
