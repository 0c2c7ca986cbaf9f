/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * read(2) and write(2): the messages of a device IOTLB.  None is offered (without
 * VIRTIO_F_ACCESS_PLATFORM there is none), so there is nothing to read, and a message is
 * answered as the kernel does without one: EINVAL if it is no message, EFAULT if it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#include "core/user.h"
#include "vhost/vhost.h"

ssize_t vhost_read(struct file *f, void *buffer, size_t size, off_t offset)
{
	if (size < sizeof(struct vhost_msg))
		return 0;
	return f->flags & O_NONBLOCK ? -EAGAIN : -EBADFD;
}

ssize_t vhost_write(struct file *f, const void *buffer, size_t size, off_t offset)
{
	const size_t whole = offsetof(struct vhost_msg, iotlb) + sizeof(struct vhost_iotlb_msg);
	struct vhost_iotlb_msg message;
	int32_t type;

	if (size < sizeof(type) || copy_from_user(&type, buffer, sizeof(type)))
		return -EINVAL;
	if (type != VHOST_IOTLB_MSG && type != VHOST_IOTLB_MSG_V2)
		return -EINVAL;
	if (size < whole || copy_from_user(&message,
					   (const char *)buffer + offsetof(struct vhost_msg, iotlb),
					   sizeof(message)))
		return -EINVAL;
	if (message.type == VHOST_IOTLB_UPDATE && message.size == 0)
		return -EINVAL;
	return -EFAULT;
}
