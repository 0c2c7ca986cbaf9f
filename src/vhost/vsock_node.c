/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /dev/vsock, which tells programs of the host what their own CID is.  It is there if there
 * is a place for vsock ports.
 */
#include <errno.h>
#include <linux/vm_sockets.h>

#include "core/user.h"
#include "vhost/vsock.h"

static int vsock_node_open(struct file *f, void *context)
{
	return 0;
}

static void vsock_node_release(struct file *f)
{
}

static long get_local_cid(struct file *f, struct ioctl_call *call)
{
	static const uint32_t cid = VSOCK_CID_HOST;

	return copy_to_user((void *)call->arg, &cid, sizeof(cid)) ? -EFAULT : 0;
}

static const struct ioctl_row rows[] = {
	IOCTL_ROW(IOCTL_VM_SOCKETS_GET_LOCAL_CID, IOCTL_USER, 0, get_local_cid, NULL),
};

const struct ioctl_table vsock_node_table = {
	.kind = "vsock",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.unknown = -ENOTTY,
};

const struct file_ops vsock_node_ops = {
	.kind = "vsock",
	.ioctls = &vsock_node_table,
	.open = vsock_node_open,
	.release = vsock_node_release,
};
