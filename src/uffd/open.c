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
#include "core/fdtable.h"
#include "core/hostfd.h"
#include "core/instance.h"
#include "core/syscall.h"
#include "core/trace.h"
#include "memory/mmio.h"
#include "uffd/entry.h"
#include "uffd/uffd.h"

static enum uffd_mode mode(void)
{
	return instance ? instance->config->uffd : UFFD_AUTO;
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
	u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	u->flags = (unsigned)flags & UFFD_USER_MODE_ONLY;
	uffd_queue_init(u);
	fd = file_install(&uffd_file_ops, u, O_RDONLY | (flags & (O_CLOEXEC | O_NONBLOCK)), 0);
	if (fd < 0) {
		free(u);
		return fd;
	}
	f = file_get(fd);
	u->self = f->self;
	u->peer = f->peer;
	file_put(f);
	return fd;
}

/* A descriptor that the kernel has just made. */
static int fresh(int fd)
{
	if (fd >= 0)
		fdtable_forget(fd);
	return fd;
}

static int native_system_call(int flags)
{
	return fresh((int)host_syscall(SYS_userfaultfd, flags));
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
	return fresh(fd);
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
