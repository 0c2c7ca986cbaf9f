/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Groups: /dev/vfio/N, one for each device, open once at a time.
 *
 * "Once" reaches across the processes of one `standin run`: see core/claim.h.  (Kernel:
 * drivers/vfio/group.c, and vfio_pci_core_match() for names.)
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/claim.h"
#include "core/hostfd.h"
#include "core/user.h"
#include "vfio/vfio.h"

#define NAME_MAX_LENGTH 4096 /* PAGE_SIZE, with the end */

int vfio_group_create(struct standin_device *dev, struct vfio_group **ret_group)
{
	struct vfio_group *group;
	int ret;

	group = calloc(1, sizeof(*group));
	if (!group)
		return -ENOMEM;
	group->number = dev->index;
	group->claim = -1;
	pthread_mutex_init(&group->lock, NULL);
	ret = vfio_device_create(dev, group, &group->device);
	if (ret) {
		pthread_mutex_destroy(&group->lock);
		free(group);
		return ret;
	}
	*ret_group = group;
	return 0;
}

void vfio_group_destroy(struct vfio_group *group)
{
	if (!group)
		return;
	vfio_device_destroy(group->device);
	pthread_mutex_destroy(&group->lock);
	free(group);
}

static int group_open(struct file *f, void *context)
{
	struct vfio_group *group = context;
	char name[32];
	int ret = -EBUSY;

	pthread_mutex_lock(&group->lock);
	if (!group->opened) {
		snprintf(name, sizeof(name), "vfio-group-%u", group->number);
		ret = claim_take(name, &group->claim);
		if (!ret) {
			group->opened = true;
			group->file = f;
			f->priv = group;
		}
	}
	pthread_mutex_unlock(&group->lock);
	return ret;
}

/* Open devices hold a reference to the group's file, so none is open here. */
static void group_release(struct file *f)
{
	struct vfio_group *group = f->priv;

	pthread_mutex_lock(&group->lock);
	if (group->container)
		vfio_container_detach(group);
	claim_drop(group->claim);
	group->claim = -1;
	group->file = NULL;
	group->opened = false;
	pthread_mutex_unlock(&group->lock);
}

static long get_status(struct file *f, struct ioctl_call *call)
{
	struct vfio_group *group = f->priv;
	struct vfio_group_status *status = call->data;

	status->flags = VFIO_GROUP_FLAGS_VIABLE;
	pthread_mutex_lock(&group->lock);
	if (group->container)
		status->flags |= VFIO_GROUP_FLAGS_CONTAINER_SET;
	pthread_mutex_unlock(&group->lock);
	return ioctl_return(call, sizeof(*status));
}

static bool descriptor_open(int fd)
{
	int taken = user_fd_take(fd);

	if (taken < 0)
		return taken != -EBADF;
	hostfd_close(taken);
	return true;
}

static long set_container(struct file *f, struct ioctl_call *call)
{
	struct vfio_group *group = f->priv;
	struct vfio_container *container = NULL;
	struct file *other;
	int32_t fd;
	long ret;

	memcpy(&fd, call->data, sizeof(fd));
	other = user_file_get(fd);
	if (!other && !descriptor_open(fd))
		return -EBADF;
	if (other)
		container = vfio_container_of(other);
	pthread_mutex_lock(&group->lock);
	if (group->container)
		ret = -EINVAL;
	else if (!container)
		ret = -EBADFD;
	else
		ret = vfio_container_attach(container, group);
	pthread_mutex_unlock(&group->lock);
	if (other)
		file_put(other);
	return ret;
}

static long unset_container(struct file *f, struct ioctl_call *call)
{
	struct vfio_group *group = f->priv;
	long ret = 0;

	pthread_mutex_lock(&group->lock);
	if (!group->container)
		ret = -EINVAL;
	else if (group->users)
		ret = -EBUSY;
	else
		vfio_container_detach(group);
	pthread_mutex_unlock(&group->lock);
	return ret;
}

static bool is_uuid(const char *text)
{
	unsigned i;

	for (i = 0; i < 36; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text[i] != '-')
				return false;
		} else if (!isxdigit((unsigned char)text[i])) {
			return false;
		}
	}
	return true;
}

/*
 * "0000:01:00.0", perhaps with options behind it.  0, -ENODEV, or -EINVAL for an option
 * that is unknown, double, or a VF token: no device here is a virtual function.
 */
static int match_name(const struct standin_device *dev, const char *name)
{
	static const char token[] = "vf_token=";
	size_t length = strlen(dev->address);
	bool have_token = false;

	if (strncmp(name, dev->address, length) != 0)
		return -ENODEV;
	name += length;
	if (*name && *name != ' ')
		return -ENODEV;
	while (*name) {
		if (*name == ' ') {
			name++;
			continue;
		}
		if (have_token || strncmp(name, token, sizeof(token) - 1) != 0)
			return -EINVAL;
		name += sizeof(token) - 1;
		if (strlen(name) < 36 || !is_uuid(name))
			return -EINVAL;
		have_token = true;
		name += 36;
	}
	return have_token ? -EINVAL : 0;
}

static long get_device_fd(struct file *f, struct ioctl_call *call)
{
	struct vfio_group *group = f->priv;
	char name[NAME_MAX_LENGTH];
	ssize_t length;
	long ret;

	length = copy_string_from_user(name, (const char *)call->arg, sizeof(name));
	if (length < 0)
		return length;
	ret = match_name(group->device->dev, name);
	if (ret)
		return ret;
	pthread_mutex_lock(&group->lock);
	ret = vfio_device_open(group->device, f);
	pthread_mutex_unlock(&group->lock);
	return ret;
}

static const struct ioctl_row group_rows[] = {
	IOCTL_ROW(VFIO_GROUP_GET_STATUS, IOCTL_ARGSZ, sizeof(struct vfio_group_status), get_status,
		  vfio_decode_group_status),
	IOCTL_ROW(VFIO_GROUP_SET_CONTAINER, IOCTL_FIXED, sizeof(int32_t), set_container,
		  vfio_decode_fd),
	IOCTL_ROW(VFIO_GROUP_UNSET_CONTAINER, IOCTL_NONE, 0, unset_container, NULL),
	IOCTL_ROW(VFIO_GROUP_GET_DEVICE_FD, IOCTL_USER, 0, get_device_fd, vfio_decode_device_name),
};

const struct ioctl_table vfio_group_table = {
	.kind = "vfio-group",
	.rows = group_rows,
	.n_rows = sizeof(group_rows) / sizeof(group_rows[0]),
	.unknown = -ENOTTY,
};

const struct file_ops vfio_group_ops = {
	.kind = "vfio-group",
	.ioctls = &vfio_group_table,
	.open = group_open,
	.release = group_release,
};
