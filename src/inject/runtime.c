/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The entry of libstandin-runtime.so: starts the instance that `standin run` described,
 * takes the fault signals, and hands the preload library its table of functions.
 */
#include "inject/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/call.h"
#include "core/config.h"
#include "core/fdtable.h"
#include "core/file.h"
#include "core/hostfd.h"
#include "core/instance.h"
#include "core/ioctl.h"
#include "core/log.h"
#include "core/syscall.h"
#include "core/user.h"
#include "inject/attach.h"
#include "inject/forward.h"
#include "inject/segv.h"
#include "inject/signals.h"
#include "inject/sigsys.h"
#include "memory/doorbell.h"
#include "memory/memory.h"
#include "memory/mmio.h"
#include "memory/scan.h"
#include "memory/show.h"
#include "uffd/entry.h"
#include "uffd/fork.h"

/* ---- calls on files ---- */

static bool runtime_owns(int fd, uint32_t *ret_rdev)
{
	struct file *f = file_get(fd);

	if (!f)
		return false;
	*ret_rdev = f->rdev;
	file_put(f);
	return true;
}

struct named {
	struct file *file;
	const char *path;
};

static void match_node(const struct node *node, void *arg)
{
	struct named *n = arg;

	if (n->file->rdev && node->rdev == n->file->rdev)
		n->path = node->path;
}

/* A file that came from no node is an anonymous inode, as in fs/anon_inodes.c. */
static int runtime_name(int fd, char *buffer, size_t size)
{
	struct named n = {.file = file_get(fd)};
	int length;

	if (!n.file)
		return -EBADF;
	node_each(match_node, &n);
	length = n.path ? snprintf(buffer, size, "%s", n.path)
			: snprintf(buffer, size, "anon_inode:[%s]", n.file->ops->kind);
	file_put(n.file);
	return length;
}

static int runtime_describe(int fd, char *text, size_t size)
{
	struct file *f = file_get(fd);
	int length;

	if (!f)
		return 0;
	length = f->ops->describe ? f->ops->describe(f, text, size) : 0;
	file_put(f);
	return length;
}

static short runtime_polled(int fd, short events, bool waits)
{
	struct file *f = file_get(fd);
	short said;

	if (!f)
		return 0;
	said = f->ops->polled ? f->ops->polled(f, events, waits) : 0;
	file_put(f);
	return said;
}

static long runtime_ioctl(int fd, unsigned long command, unsigned long arg)
{
	struct file *f = file_get(fd);
	long result;

	if (!f)
		return host_syscall(SYS_ioctl, fd, command, arg, 0, 0, SYSCALL_COOKIE);
	if (forward_is_remote(f) && !ioctl_is_generic((unsigned int)command))
		result = forward_ioctl(fd, f, (unsigned int)command, arg);
	else
		result = call_ioctl(fd, f, (unsigned int)command, arg);
	file_put(f);
	return result;
}

static bool runtime_socket_ioctl(int fd, unsigned long command, unsigned long arg, long *ret_result)
{
	return interface_socket_ioctl(fd, (unsigned int)command, arg, ret_result);
}

/* The end of a transfer on `f`. */
static ssize_t transferred(struct file *f, ssize_t result)
{
	file_put(f);
	return result;
}

static ssize_t runtime_read(int fd, void *buffer, size_t size)
{
	struct file *f = file_get(fd);

	return f ? transferred(f, call_read(fd, f, buffer, size)) : host_read(fd, buffer, size);
}

static ssize_t runtime_write(int fd, const void *buffer, size_t size)
{
	struct file *f = file_get(fd);

	return f ? transferred(f, call_write(fd, f, buffer, size)) : host_write(fd, buffer, size);
}

static ssize_t runtime_pread(int fd, void *buffer, size_t size, off_t offset)
{
	struct file *f = file_get(fd);

	return f ? transferred(f, call_pread(fd, f, buffer, size, offset))
		 : host_pread(fd, buffer, size, offset);
}

static ssize_t runtime_pwrite(int fd, const void *buffer, size_t size, off_t offset)
{
	struct file *f = file_get(fd);

	return f ? transferred(f, call_pwrite(fd, f, buffer, size, offset))
		 : host_pwrite(fd, buffer, size, offset);
}

static bool runtime_message(int fd, const struct iovec *iov, int count, size_t total, bool store,
			    ssize_t *ret_n)
{
	struct file *f = file_get(fd);

	if (!f)
		return false;
	if (f->ops->messages)
		*ret_n = call_message(fd, f, iov, count, total, store);
	else
		iov = NULL;
	file_put(f);
	return iov != NULL;
}

/* As default_llseek() does for a device, whose size is 0. */
static off_t runtime_lseek(int fd, off_t offset, int whence)
{
	struct file *f = file_get(fd);
	bool seeks = f && f->ops->seeks, still = f && f->ops->still;

	if (f)
		file_put(f);
	if (still)
		return whence < SEEK_SET || whence > SEEK_HOLE ? -EINVAL : 0;
	if (f && !seeks)
		return -ESPIPE;
	if (seeks && (whence == SEEK_DATA || whence == SEEK_HOLE))
		return -ENXIO;
	return host_syscall(SYS_lseek, fd, offset, seeks && whence == SEEK_END ? SEEK_SET : whence);
}

static void *runtime_mmap(void *address, size_t size, int protection, int flags, int fd,
			  off_t offset)
{
	struct file *f = file_get(fd);
	void *place;

	if (!f)
		return host_mmap(address, size, protection, flags, fd, offset);
	place = call_mmap(fd, f, address, size, protection, flags, offset);
	file_put(f);
	return place;
}

/* ---- fork ---- */

static int runtime_open(const char *path, int flags)
{
	const struct node *node = node_find(path);
	int fd;

	if (node && node->ops->of_process)
		return call_open(path, flags);
	if (forward_active())
		return forward_open(path, flags);
	owner_settle();
	fd = call_open(path, flags);
	if (fd >= 0)
		attach_opened(fd);
	return fd;
}

static int runtime_fork_prepare(void)
{
	int ret = memory_fork_begin();

	if (ret)
		return ret;
	uffd_fork_prepare();
	forward_prepare();
	return 0;
}

static void runtime_fork_parent(pid_t child)
{
	forward_parent(child);
	uffd_fork_parent(child);
}

static void runtime_fork_child(void)
{
	segv_forked();
	mmio_forked();
	if (!forward_child())
		instance_forked();
	uffd_fork_child();
}

/* ---- start ---- */

static struct runtime table = {
	.version = RUNTIME_VERSION,
	.slots = fdtable_slots,
	.n_slots = FDTABLE_SLOTS,
	.open = runtime_open,
	.userfaultfd = uffd_system_call,
	.uffd_native_api = uffd_native_api,
	.owns = runtime_owns,
	.name = runtime_name,
	.describe = runtime_describe,
	.ioctl = runtime_ioctl,
	.socket_ioctl = runtime_socket_ioctl,
	.read = runtime_read,
	.write = runtime_write,
	.pread = runtime_pread,
	.pwrite = runtime_pwrite,
	.message = runtime_message,
	.lseek = runtime_lseek,
	.mmap = runtime_mmap,
	.forget = call_close,
	.forget_range = fdtable_forget_range,
	.duplicated = fdtable_duplicate,
	.received = attach_received,
	.sending = attach_sending,
	.spawning = attach_spawning,
	.fetch = copy_guarded,
	.mmio_overlaps = mmio_overlaps,
	.mmio_unmapped = mmio_unmapped,
	.mmio_protect = mmio_protect,
	.mmio_moved = mmio_moved,
	.memory_begin = memory_call_begin,
	.memory_end = memory_call_end,
	.memory_attention = &memory_attention,
	.memory_reach = memory_reach,
	.memory_moves = &memory_moves,
	.memory_moved_since = memory_moved_since,
	.memory_show_pagemap = memory_show_pagemap,
	.polls = &file_polls,
	.polled = runtime_polled,
	.memory_scan_pagemap = memory_scan_pagemap,
	.before_wait = doorbells_before_wait,
	.owns_signal = signals_own,
	.sigaction = signals_action,
	.signals_look = signals_look,
	.signals_matter = signals_matter,
	.mask_filter = signals_mask_filter,
	.mask_show = signals_mask_show,
	.fork_prepare = runtime_fork_prepare,
	.fork_parent = runtime_fork_parent,
	.fork_settle = uffd_fork_settle,
	.fork_child = runtime_fork_child,
	.memory_fork_prepare = memory_fork_prepare,
	.memory_fork_parent = memory_fork_parent,
	.memory_fork_child = memory_fork_child,
};

/* The whole of a small file, malloc'd, or NULL. */
static char *read_text(const char *path)
{
	int fd = host_open(path, O_RDONLY | O_CLOEXEC, 0);
	size_t length = 0, room = 4096;
	char *text = fd < 0 ? NULL : malloc(room), *more;
	ssize_t n = 0;

	while (text && (n = host_read(fd, text + length, room - length - 1)) > 0) {
		length += (size_t)n;
		if (length + 1 < room)
			continue;
		room *= 2;
		more = realloc(text, room);
		if (!more)
			free(text);
		text = more;
	}
	if (fd >= 0)
		host_close(fd);
	if (text && n < 0) {
		free(text);
		return NULL;
	}
	if (text)
		text[length] = '\0';
	return text;
}

static int configure(const struct runtime_host *host, struct config *c,
		     char error[CONFIG_ERROR_MAX])
{
	char path[4096], *text;
	int result;

	snprintf(path, sizeof(path), "%s/config", host->directory);
	text = host->configuration ? strdup(host->configuration) : read_text(path);
	if (!text) {
		snprintf(error, CONFIG_ERROR_MAX, "cannot read the instance's configuration");
		return -ENOENT;
	}
	result = config_text(c, text, error);
	free(text);
	if (result == 0)
		result = config_complete(c, error);
	if (result == 0 && !c->directory)
		c->directory = strdup(host->directory);
	return result;
}

static int start(const struct runtime_host *host, char *error, size_t error_size)
{
	struct config *c = calloc(1, sizeof(*c));
	char reason[CONFIG_ERROR_MAX] = "out of memory";
	int result = c ? 0 : -ENOMEM;

	if (c) {
		config_init(c);
		result = configure(host, c, reason);
	}
	if (result == 0)
		result = instance_start(c, reason, sizeof(reason));
	if (result < 0) {
		snprintf(error, error_size, "%s", reason);
		if (c)
			config_finish(c);
		free(c);
	}
	return result;
}

__attribute__((visibility("default"))) runtime_entry_fn standin_runtime_start;

const struct runtime *standin_runtime_start(const struct runtime_host *host)
{
	static bool started;
	char error[CONFIG_ERROR_MAX];
	int result;

	if (started)
		return &table;
	if (!host || host->version != RUNTIME_VERSION || !host->directory) {
		log_error("the two injected libraries are not of one version");
		return NULL;
	}
	if (start(host, error, sizeof(error)) < 0) {
		log_error("%s", error);
		return NULL;
	}
	result = segv_setup();
	if (result == 0)
		result = signals_take(sigsys_claim);
	if (result < 0) {
		log_error("cannot take the fault signals: %s", strerror(-result));
		instance_stop();
		return NULL;
	}
	memory_lock_trust_locals(host->clones);
	mmio_set_trapping(true);
	file_polls_ask = true;
	sigsys_start(runtime_ioctl);
	started = true;
	return &table;
}
