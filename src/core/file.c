/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Open files and device nodes.
 *
 * struct file comes from a free list and never goes back to the allocator, because the fd
 * table may still read the count of one that has just been released (fdtable.c).
 */
#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config.h"
#include "core/fdtable.h"
#include "core/file_private.h"
#include "core/hostfd.h"
#include "core/instance.h"
#include "core/placeholder.h"
#include "core/syscall.h"
#include "core/trace.h"

_Atomic bool file_polls;
bool file_polls_ask;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file *free_files;

static struct node *nodes;
static size_t n_nodes;

static struct file *file_allocate(void)
{
	struct file *f;

	pthread_mutex_lock(&lock);
	f = free_files;
	if (f)
		free_files = f->hash_next;
	pthread_mutex_unlock(&lock);
	return f ? f : calloc(1, sizeof(*f));
}

void file_forked(void)
{
	pthread_mutex_init(&lock, NULL);
}

static void file_free(struct file *f)
{
	pthread_mutex_lock(&lock);
	f->hash_next = free_files;
	free_files = f;
	pthread_mutex_unlock(&lock);
}

static void file_init(struct file *f, const struct file_ops *ops, void *priv, int flags,
                      uint32_t rdev)
{
	if (ops->polled)
		atomic_store(&file_polls, true);
	f->ops = ops;
	f->priv = priv;
	f->flags = flags;
	f->rdev = rdev;
	f->dev = 0;
	f->ino = 0;
	f->hash_next = NULL;
	f->self = f->peer = f->origin = -1;
	f->events = 0;
	atomic_store(&f->outside, false);
	atomic_store(&f->refs, 1);
}

static int install(int placeholder, int self, int peer, const struct file_ops *ops, void *priv,
		   int flags, uint32_t rdev)
{
	struct file *f = file_allocate();
	int result;

	if (!f)
		return -ENOMEM;
	file_init(f, ops, priv, flags, rdev);
	f->self = self;
	f->peer = peer;
	result = fdtable_install(placeholder, f);
	if (result < 0) {
		atomic_store(&f->refs, 0);
		file_free(f);
		return result;
	}
	return placeholder;
}

int file_install_over(int placeholder, const struct file_ops *ops, void *priv, int flags,
                      uint32_t rdev)
{
	return install(placeholder, -1, -1, ops, priv, flags, rdev);
}

int file_install_pipe(int placeholder, int peer, const struct file_ops *ops, void *priv, int flags)
{
	int self = hostfd_duplicate(placeholder), result;

	result = self < 0 ? self : install(placeholder, self, peer, ops, priv, flags, 0);
	if (result < 0)
		hostfd_close(self);
	return result;
}

static int install_pipe(const struct file_ops *ops, void *priv, int flags)
{
	int peer = -1, fd = placeholder_pipe(flags, &peer), result;

	if (fd < 0)
		return fd;
	result = file_install_pipe(fd, peer, ops, priv, flags);
	if (result < 0) {
		host_close(fd);
		hostfd_close(peer);
	}
	return result;
}

int file_install_detached(int peer, const struct file_ops *ops, void *priv, int flags,
			  struct file **ret_file)
{
	struct file *f = file_allocate();
	int result;

	if (!f)
		return -ENOMEM;
	file_init(f, ops, priv, flags, 0);
	f->peer = peer;
	result = fdtable_enter(peer, f);
	if (result < 0) {
		atomic_store(&f->refs, 0);
		file_free(f);
		return result;
	}
	*ret_file = f;
	return 0;
}

int file_install(const struct file_ops *ops, void *priv, int flags, uint32_t rdev)
{
	int fd, result;

	if (ops->pipe)
		return install_pipe(ops, priv, flags);
	fd = placeholder_memfd(ops->kind, flags);
	if (fd < 0)
		return fd;
	result = file_install_over(fd, ops, priv, flags, rdev);
	if (result < 0)
		host_close(fd);
	return result;
}

struct file *file_get(int fd)
{
	return fdtable_get(fd);
}

struct file *file_get_by_inode(int fd)
{
	return fdtable_resolve(fd);
}

struct file *file_ref(struct file *f)
{
	atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
	return f;
}

int file_add_descriptor(struct file *f, int fd)
{
	int result = fdtable_install(fd, file_ref(f));

	if (result < 0)
		file_put(f);
	return result;
}

void file_recount(struct file *f)
{
	int descriptors = (int)fdtable_count(f);

	atomic_store(&f->refs, descriptors ? descriptors : 1);
	if (!descriptors)
		file_put(f);
}

/*
 * Others see only a number where a descriptor of a socket is looked at (/proc/PID/fd): here they
 * find the name.
 */
static void show_name(const struct file *f, const char *node)
{
	const char *directory = instance ? instance->config->directory : NULL;
	char path[1024];
	int length;

	if (!directory)
		return;
	length = snprintf(path, sizeof(path), "%s/" PLACEHOLDER_NAMES "/%llu", directory,
			  (unsigned long long)f->ino);
	if (length < 0 || (size_t)length >= sizeof(path))
		return;
	host_syscall(SYS_unlink, path); /* of a file that ended without having been closed */
	if (!node)
		return;
	*strrchr(path, '/') = '\0';
	host_syscall(SYS_mkdir, path, 0700);
	path[strlen(path)] = '/';
	host_syscall(SYS_symlink, node, path);
}

void file_put(struct file *f)
{
	int left = atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) - 1;

	/* A struct file is never freed, so that this may be asked of one that others have put. */
	if (left == 1 && atomic_load_explicit(&f->outside, memory_order_relaxed))
		f->ops->alone(f);
	if (left)
		return;
	fdtable_remove(f);
	if (f->ops->messages)
		show_name(f, NULL);
	if (f->ops->release)
		f->ops->release(f);
	hostfd_close(f->self);
	hostfd_close(f->peer);
	hostfd_close(f->origin);
	if (trace_enabled)
		trace_event("release(<%s>)", f->ops->kind);
	file_free(f);
}

void file_polls_elsewhere(struct file *f)
{
	if (f->ops->polled)
		f->ops->polled(f, 0, false);
}

static pthread_mutex_t events_lock = PTHREAD_MUTEX_INITIALIZER;

void file_set_events(struct file *f, short events)
{
	short changed;

	pthread_mutex_lock(&events_lock);
	changed = f->peer >= 0 ? f->events ^ events : 0;
	if (changed & POLLIN)
		placeholder_set_readable(f->self, f->peer, events & POLLIN);
	if (changed & POLLOUT)
		placeholder_set_writable(f->self, f->peer, events & POLLOUT);
	f->events = events;
	pthread_mutex_unlock(&events_lock);
}

void file_hang_up(struct file *f)
{
	pthread_mutex_lock(&events_lock);
	/* The message that fills its buffer is lost with this, which is an error: POLLERR. */
	hostfd_close(f->peer);
	f->peer = -1;
	pthread_mutex_unlock(&events_lock);
}

int node_add(const char *path, const struct file_ops *ops, void *context, uint32_t rdev)
{
	struct node *more;

	if (strlen(path) >= NODE_PATH_MAX)
		return -ENAMETOOLONG;
	if (node_find(path))
		return -EEXIST;
	more = reallocarray(nodes, n_nodes + 1, sizeof(*nodes));
	if (!more)
		return -ENOMEM;
	nodes = more;
	more = &nodes[n_nodes++];
	memset(more, 0, sizeof(*more));
	strcpy(more->path, path);
	more->ops = ops;
	more->context = context;
	more->rdev = rdev;
	return 0;
}

const struct node *node_find(const char *path)
{
	for (size_t i = 0; i < n_nodes; i++)
		if (strcmp(nodes[i].path, path) == 0)
			return &nodes[i];
	return NULL;
}

void node_each(void (*each)(const struct node *node, void *arg), void *arg)
{
	for (size_t i = 0; i < n_nodes; i++)
		each(&nodes[i], arg);
}

void node_clear(void)
{
	free(nodes);
	nodes = NULL;
	n_nodes = 0;
}

/* Whether a node would have to be a directory on the way to `path`. */
static bool below_node(const char *path)
{
	char parent[NODE_PATH_MAX];
	size_t length = strnlen(path, sizeof(parent));

	if (length == sizeof(parent))
		return false;
	memcpy(parent, path, length + 1);
	for (char *slash = strrchr(parent, '/'); slash && slash != parent;
	     slash = strrchr(parent, '/')) {
		*slash = 0;
		if (node_find(parent))
			return true;
	}
	return false;
}

/*
 * A memfd is open for reading and writing.  Another access mode, which F_GETFL shows, takes
 * opening it again; without /proc it stays as it is.
 */
static int with_access_mode(int fd, int flags)
{
	char path[32];
	int again;

	if (fd < 0 || (flags & O_ACCMODE) == O_RDWR || (flags & O_ACCMODE) == O_ACCMODE)
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = host_open(path, flags & (O_ACCMODE | O_CLOEXEC), 0);
	if (again < 0)
		return fd;
	host_syscall(SYS_dup3, again, fd, flags & O_CLOEXEC);
	host_close(again);
	return fd;
}

int node_open(const char *path, int flags)
{
	const struct node *node = node_find(path);
	struct file *f;
	int fd, result;

	if (!node)
		return below_node(path) ? -ENOTDIR : -ENOENT;
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	f = file_allocate();
	if (!f)
		return -ENOMEM;
	file_init(f, node->ops, NULL, flags, node->rdev);
	fd = node->ops->messages
		     ? placeholder_socket(node->ops->kind, flags, &f->peer)
		     : with_access_mode(placeholder_memfd(node->ops->kind, flags), flags);
	result = fd;
	if (fd >= 0 && (node->ops->messages || node->ops->reopened))
		result = f->self = hostfd_duplicate(fd);
	if (fd >= 0 && flags & O_NONBLOCK) /* nothing waits, but F_GETFL shows it */
		host_syscall(SYS_fcntl, fd, F_SETFL, O_NONBLOCK);
	if (result >= 0 && node->ops->open)
		result = node->ops->open(f, node->context);
	if (result < 0)
		goto fail;
	result = fdtable_install(fd, f);
	if (result < 0) {
		if (node->ops->release)
			node->ops->release(f);
		goto fail;
	}
	if (node->ops->messages)
		show_name(f, path);
	return fd;
fail:
	if (fd >= 0)
		host_close(fd);
	hostfd_close(f->self);
	hostfd_close(f->peer);
	atomic_store(&f->refs, 0);
	file_free(f);
	return result;
}

/* ---- files that come from other processes ---- */

int file_take(struct file *f)
{
	if (placeholder_marked(f->self) || placeholder_marked(f->origin))
		return -EBUSY;
	placeholder_mark(f->self, true);
	placeholder_mark(f->origin, true);
	return 0;
}

void file_give_up(struct file *f)
{
	placeholder_mark(f->self, false);
	placeholder_mark(f->origin, false);
}

bool file_is_untaken(const struct file *f)
{
	return f->ops->reopened && !placeholder_marked(f->self);
}
