/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors: by the system call or through /dev/userfaultfd.
 *
 * What is permitted to somebody with CAP_SYS_PTRACE is permitted here: a context of ours can do
 * no harm that its program could not do by itself.  With uffd=auto the kernel is asked first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "core/config.h"
#include "core/hostfd.h"
#include "core/instance.h"
#include "core/placeholder.h"
#include "core/syscall.h"
#include "core/trace.h"
#include "memory/mmio.h"
#include "uffd/entry.h"
#include "uffd/event.h"

static enum uffd_mode mode(void)
{
	return instance ? instance->config->uffd : UFFD_AUTO;
}

_Atomic bool uffd_used;
static struct uffd *contexts;

struct uffd *uffd_first(void)
{
	return contexts;
}

void uffd_forget_all(void)
{
	contexts = NULL;
}

void uffd_add(struct uffd *u)
{
	uint64_t signals;

	memory_lock(&signals);
	atomic_store(&uffd_used, true);
	u->next = contexts;
	contexts = u;
	memory_unlock(&signals);
}

static void remove_from_list(struct uffd *u)
{
	for (struct uffd **link = &contexts; *link; link = &(*link)->next) {
		if (*link != u)
			continue;
		*link = u->next;
		return;
	}
}

void uffd_destroy(struct uffd *u)
{
	uint64_t signals;

	memory_lock(&signals);
	remove_from_list(u);
	watch_clear_owner(u);
	uffd_wake(u, 0, 0);
	uffd_events_forget(u);
	memory_unlock(&signals);
	memory_later_settle();
	free(u);
}

int uffd_create(int flags)
{
	struct uffd *u;
	struct file *f;
	int fd;

	if (flags & ~(O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY))
		return -EINVAL;
	/* Without a handler for faults there is nobody to tell of them. */
	if (!mmio_trapping())
		return -ENOSYS;
	fd = uffd_start_memory();
	if (fd)
		return fd;
	u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	u->flags = (unsigned)flags;
	uffd_queue_init(u);
	fd = file_install(&uffd_file_ops, u, O_RDONLY | (flags & (O_CLOEXEC | O_NONBLOCK)), 0);
	if (fd < 0) {
		free(u);
		return fd;
	}
	f = file_get(fd);
	u->self = f->self;
	u->peer = f->peer;
	placeholder_pipe_mark(u->peer);
	instance_expect_heirs();
	uffd_add(u);
	file_put(f);
	return fd;
}

static int native_system_call(int flags)
{
	return uffd_native_made((int)host_syscall(SYS_userfaultfd, flags), flags);
}

int uffd_system_call(int flags)
{
	int fd = mode() == UFFD_EMULATE ? -ENOSYS : native_system_call(flags);

	if (mode() == UFFD_NATIVE || (fd != -ENOSYS && fd != -EPERM))
		return fd;
	fd = uffd_create(flags);
	if (trace_enabled)
		trace_event("userfaultfd(%#x) = %d", (unsigned)flags, fd);
	return fd;
}

/* ---- the node ---- */

static int native_node(int flags)
{
	int node = host_open("/dev/userfaultfd", O_RDWR | O_CLOEXEC, 0), fd;

	if (node < 0)
		return node;
	fd = (int)host_syscall(SYS_ioctl, node, USERFAULTFD_IOC_NEW, flags);
	host_close(node);
	return uffd_native_made(fd, flags);
}

static long node_new(struct file *f, struct ioctl_call *call)
{
	int flags = (int)call->arg, fd = -ENOSYS;

	if (mode() == UFFD_AUTO) {
		fd = native_node(flags);
		if (fd < 0 && fd != -EINVAL && fd != -EMFILE)
			fd = native_system_call(flags);
	}
	return fd >= 0 || fd == -EINVAL || fd == -EMFILE ? fd : uffd_create(flags);
}

static const struct ioctl_row node_rows[] = {
	IOCTL_ROW(USERFAULTFD_IOC_NEW, IOCTL_VALUE, 0, node_new, NULL),
};

const struct ioctl_table uffd_node_table = {
	.kind = "userfaultfd-node",
	.rows = node_rows,
	.n_rows = sizeof(node_rows) / sizeof(node_rows[0]),
	.unknown = -EINVAL,
};

const struct file_ops uffd_node_ops = {
	.kind = "userfaultfd-node",
	.ioctls = &uffd_node_table,
	.of_process = true,
	.still = true,
};
