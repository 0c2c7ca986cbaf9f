/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The child's side of forwarded calls, and what happens around a fork.
 *
 * Before the fork the parent makes a socket pair and takes a reference to every open file
 * for the child.  In the child every struct file there is becomes a remote one: the same
 * object, found by the same inode, with operations that ask the owner.
 */
#include "inject/forward.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/device.h"
#include "core/fdtable.h"
#include "core/hostfd.h"
#include "core/instance.h"
#include "core/message.h"
#include "core/signal_mask.h"
#include "core/syscall.h"
#include "inject/forward_private.h"
#include "memory/doorbell.h"
#include "memory/mmio.h"

/* What a remote file is: its name in the owner. */
struct remote {
	uint64_t name;
};

static pthread_mutex_t calling = PTHREAD_MUTEX_INITIALIZER;
static int owner = -1; /* the socket to it, in a child */

/* Between prepare and the two ends of the fork; fork is one at a time (the caller's lock). */
static struct {
	int parent, child;
	struct file **files;
	size_t n;
} forking = {-1, -1, NULL, 0};

bool forward_active(void)
{
	return owner >= 0;
}

/* ---- asking ---- */

int64_t forward_ask(struct forward_request *rq, struct forward_reply *reply, int *ret_descriptor)
{
	int descriptor = -1;
	uint64_t signals;
	pid_t pid;
	ssize_t n;

	signal_mask_block(&signals);
	pthread_mutex_lock(&calling);
	n = message_send(owner, rq, sizeof(*rq), ret_descriptor ? *ret_descriptor : -1);
	if (n == sizeof(*rq))
		n = message_receive(owner, reply, sizeof(*reply), &descriptor, &pid);
	pthread_mutex_unlock(&calling);
	signal_mask_restore(&signals);
	if (ret_descriptor)
		*ret_descriptor = descriptor;
	else
		host_close(descriptor);
	if (n != sizeof(*reply)) {
		reply->result = -EIO;
		if (ret_descriptor)
			*ret_descriptor = -1;
	}
	return reply->result;
}

static struct remote *remote_of(const struct file *f)
{
	return f->priv;
}

static ssize_t remote_read(struct file *f, void *buffer, size_t size, off_t offset)
{
	struct forward_request rq = {
		.operation = FORWARD_READ,
		.file = remote_of(f)->name,
		.argument = (uintptr_t)buffer,
		.size = size,
		.offset = offset,
	};
	struct forward_reply reply;

	return forward_ask(&rq, &reply, NULL);
}

static ssize_t remote_write(struct file *f, const void *buffer, size_t size, off_t offset)
{
	struct forward_request rq = {
		.operation = FORWARD_WRITE,
		.file = remote_of(f)->name,
		.argument = (uintptr_t)buffer,
		.size = size,
		.offset = offset,
	};
	struct forward_reply reply;

	return forward_ask(&rq, &reply, NULL);
}

static void remote_release(struct file *f)
{
	struct forward_request rq = {.operation = FORWARD_DROP, .file = remote_of(f)->name};
	uint64_t signals;

	signal_mask_block(&signals);
	pthread_mutex_lock(&calling);
	message_send(owner, &rq, sizeof(rq), -1);
	pthread_mutex_unlock(&calling);
	signal_mask_restore(&signals);
	free(remote_of(f));
}

/* A device that this process has not realized itself: what mapping its BAR takes. */
static int learn_bar(struct standin_device *dev, const struct forward_reply *reply)
{
	struct standin_bar *bar = &dev->pci.bar[reply->bar];
	struct standin_span *spans;

	if (bar->size)
		return 0;
	spans = calloc(reply->n_spans, sizeof(*spans));
	if (!spans)
		return -ENOMEM;
	for (uint32_t i = 0; i < reply->n_spans; i++)
		spans[i] = (struct standin_span){reply->span[i].offset, reply->span[i].size,
						 reply->span[i].page};
	bar->spans = spans;
	bar->n_spans = reply->n_spans;
	bar->size = reply->bar_size;
	return 0;
}

/*
 * The owner says which memory it is; it is mapped here, and its registers are asked for
 * when they are touched.
 */
static int remote_mmap(struct file *f, struct map_request *request)
{
	struct forward_request rq = {
		.operation = FORWARD_MAP,
		.file = remote_of(f)->name,
		.command = (uint32_t)request->protection,
		.flags = request->flags,
		.size = request->size,
		.offset = request->offset,
	};
	struct forward_reply reply;
	struct standin_device *dev;
	int fd = -1, result = (int)forward_ask(&rq, &reply, &fd);

	if (result == 0 && (fd < 0 || !instance || reply.device >= instance->n_devices))
		result = -ENODEV;
	if (result < 0) {
		host_close(fd);
		return result;
	}
	dev = instance->devices[reply.device];
	if (dev->memory_fd < 0)
		dev->memory_fd = hostfd_adopt(fd);
	else
		host_close(fd);
	result = learn_bar(dev, &reply);
	return result < 0 ? result : mmio_map(dev, reply.bar, reply.offset, request);
}

#define KINDS 16

static const struct file_ops *remote_ops(const char *kind)
{
	static struct {
		struct file_ops ops;
		char kind[FORWARD_KIND_MAX];
	} known[KINDS];
	unsigned i;

	for (i = 0; i < KINDS - 1 && known[i].ops.kind; i++)
		if (strncmp(known[i].kind, kind, FORWARD_KIND_MAX - 1) == 0)
			return &known[i].ops;
	strncpy(known[i].kind, kind, FORWARD_KIND_MAX - 1);
	known[i].ops = (struct file_ops){
		.kind = known[i].kind,
		.release = remote_release,
		.read = remote_read,
		.write = remote_write,
		.mmap = remote_mmap,
	};
	return &known[i].ops;
}

bool forward_is_remote(const struct file *f)
{
	return f->ops->release == remote_release;
}

int forward_enter(int fd, uint64_t name, const char *kind, int flags, uint32_t rdev)
{
	struct remote *r = calloc(1, sizeof(*r));
	int result;

	if (!r)
		return -ENOMEM;
	r->name = name;
	result = file_install_over(fd, remote_ops(kind), r, flags, rdev);
	if (result < 0)
		free(r);
	return result;
}

uint64_t forward_name(const struct file *f)
{
	return remote_of(f)->name;
}

/* A descriptor that the owner made for us, of a new file or of one that we know. */
static int accept_file(const struct forward_reply *reply, int fd)
{
	struct file *known = file_get_by_inode(fd);
	int result;

	if (!(reply->flags & O_CLOEXEC))
		host_syscall(SYS_fcntl, fd, F_SETFD, 0);
	if (known) {
		/* The lookup has entered the descriptor. */
		file_put(known);
		return fd;
	}
	result = forward_enter(fd, reply->file, reply->kind, reply->flags, reply->rdev);
	if (result < 0)
		host_close(fd);
	return result;
}

int forward_open(const char *path, int flags)
{
	struct forward_request rq = {.operation = FORWARD_OPEN, .flags = flags};
	struct forward_reply reply;
	int fd = -1;
	int64_t result;

	if (strlen(path) >= sizeof(rq.path))
		return -ENOENT;
	strcpy(rq.path, path);
	result = forward_ask(&rq, &reply, &fd);
	if (fd >= 0)
		return accept_file(&reply, fd);
	return result < 0 ? (int)result : -EIO;
}

long forward_ioctl(int fd, struct file *f, unsigned int command, unsigned long arg)
{
	struct forward_request rq = {
		.operation = FORWARD_IOCTL,
		.command = command,
		.file = remote_of(f)->name,
		.argument = arg,
		.size = (uint64_t)fd,
	};
	struct forward_reply reply;
	int made = -1;
	int64_t result = forward_ask(&rq, &reply, &made);

	return made >= 0 ? accept_file(&reply, made) : (long)result;
}

static uint64_t remote_bar_read(struct standin_device *dev, unsigned bar, uint64_t offset,
				unsigned size)
{
	struct forward_request rq = {
		.operation = FORWARD_BAR_READ,
		.command = dev->index,
		.flags = (int)bar,
		.offset = (int64_t)offset,
		.size = size,
	};
	struct forward_reply reply;

	/* An owner that is gone is a device that is gone: all ones. */
	return (uint64_t)forward_ask(&rq, &reply, NULL);
}

static void remote_bar_write(struct standin_device *dev, unsigned bar, uint64_t offset,
			     unsigned size, uint64_t value)
{
	struct forward_request rq = {
		.operation = FORWARD_BAR_WRITE,
		.command = dev->index,
		.flags = (int)bar,
		.offset = (int64_t)offset,
		.size = size,
		.argument = value,
	};
	struct forward_reply reply;

	forward_ask(&rq, &reply, NULL);
}

/* ---- fork ---- */

bool forward_anything(void)
{
	if (forward_active() || fdtable_any())
		return true;
	for (size_t i = 0; instance && i < instance->n_devices; i++)
		if (instance->devices[i]->realized)
			return true;
	return false;
}

/* Of the files that have been counted, those whose calls are forwarded. */
static void keep_forwarded(void)
{
	size_t kept = 0;

	for (size_t i = 0; i < forking.n; i++) {
		struct file *f = forking.files[i];

		if (f->ops->forked) {
			file_put(f);
			continue;
		}
		file_polls_elsewhere(f);
		forking.files[kept++] = f;
	}
	/* A program that the child starts is to look for what it inherits. */
	if (kept < forking.n)
		instance_expect_heirs();
	forking.n = kept;
}

void forward_prepare(void)
{
	int pair[2], on = 1;

	/* What children that are gone held is closed, and not for this one to share. */
	if (!forward_active())
		owner_settle();
	if (!forward_anything() ||
	    host_syscall(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	/* Before the child can say anything: each message shall name its sender. */
	host_syscall(SYS_setsockopt, pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	forking.parent = hostfd_adopt(pair[0]);
	forking.child = hostfd_adopt(pair[1]);
	if (!forward_active()) {
		forking.n = fdtable_files(&forking.files);
		keep_forwarded();
		/* For what the child may start with an exec; without it, that gets EIO. */
		if (forking.n)
			owner_listen();
	}
	owner_fork_begin();
}

static void forget_pair(void)
{
	while (forking.n)
		file_put(forking.files[--forking.n]);
	free(forking.files);
	hostfd_close(forking.parent);
	hostfd_close(forking.child);
	forking.files = NULL;
	forking.parent = forking.child = -1;
}

void forward_parent(pid_t child)
{
	struct forward_request rq = {.operation = FORWARD_FORK, .argument = (uint64_t)child};
	struct forward_reply reply;
	int end = forking.parent;

	if (end < 0)
		return;
	owner_fork_end();
	if (child < 0) {
		forget_pair();
		return;
	}
	if (forward_active()) {
		/* A grandchild of the owner is introduced by its parent. */
		forward_ask(&rq, &reply, &end);
		forget_pair();
		return;
	}
	owner_add(forking.parent, forking.files, forking.n, child);
	forking.files = NULL;
	forking.n = 0;
	forking.parent = -1;
	forget_pair();
}

static bool parent_forwarded;

static void make_remote(struct file *f)
{
	struct remote *r;

	if (f->ops->forked) {
		f->ops->forked(f);
		return;
	}
	if (forward_is_remote(f))
		return; /* the owner knows it by the same name */
	r = calloc(1, sizeof(*r));
	if (!r)
		abort();
	/* What a process has that is not the owner itself the owner does not know: EIO. */
	r->name = parent_forwarded ? 0 : (uintptr_t)f;
	f->ops = remote_ops(f->ops->kind);
	f->priv = r;
}

bool forward_child(void)
{
	pthread_mutex_init(&calling, NULL);
	owner_fork_child();
	if (forking.child < 0)
		return false;
	parent_forwarded = owner >= 0;
	hostfd_close(owner);
	owner = forking.child;
	forking.child = -1;
	hostfd_close(forking.parent);
	forking.parent = -1;
	fdtable_inherit(make_remote);
	/* The references that were taken for us are in the owner; here they count for nothing. */
	while (forking.n)
		file_put(forking.files[--forking.n]);
	free(forking.files);
	forking.files = NULL;
	owner_fork_unhold();
	doorbells_disable();
	mmio_set_access(remote_bar_read, remote_bar_write);
	attach_forked();
	return true;
}

void forward_connected(int fd)
{
	owner = hostfd_adopt(fd);
	doorbells_disable();
	mmio_set_access(remote_bar_read, remote_bar_write);
}
