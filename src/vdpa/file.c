/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /dev/vhost-vdpa-N: the file and those of its ioctls that concern the device as a whole,
 * most of which need no owner.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/claim.h"
#include "core/user.h"
#include "vdpa/vdpa.h"

#define ENOTSUPP 524 /* the kernel's own, which programs get to see here */

/* What the file offers whatever the device is, and what a client may ask it for at all. */
#define ALWAYS                                                                        \
	(VDPA_F(VHOST_BACKEND_F_IOTLB_MSG_V2) | VDPA_F(VHOST_BACKEND_F_IOTLB_BATCH) | \
	 VDPA_F(VHOST_BACKEND_F_IOTLB_ASID) | VDPA_F(VHOST_BACKEND_F_SUSPEND) |       \
	 VDPA_F(VHOST_BACKEND_F_RESUME) | VDPA_F(VHOST_BACKEND_F_IOTLB_PERSIST) |     \
	 VDPA_F(VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK))
#define KNOWN (ALWAYS | VDPA_F(VHOST_BACKEND_F_DESC_ASID))

/* ---- open, close ---- */

static int take(struct vdpa *v)
{
	char name[32];
	int ret = -EBUSY;

	snprintf(name, sizeof(name), "vhost-vdpa-%u", v->number);
	pthread_mutex_lock(&v->open_lock);
	if (!v->opened)
		ret = claim_take(name, &v->claim);
	if (!ret)
		v->opened = true;
	pthread_mutex_unlock(&v->open_lock);
	return ret;
}

static void give(struct vdpa *v)
{
	pthread_mutex_lock(&v->open_lock);
	claim_drop(v->claim);
	v->claim = -1;
	v->opened = false;
	pthread_mutex_unlock(&v->open_lock);
}

static int vdpa_open(struct file *f, void *context)
{
	struct vdpa *v;
	int ret = vdpa_get(context, &v);

	if (!ret)
		ret = take(v);
	if (ret)
		return ret;
	ret = vhost_init(&v->vhost, f, &vdpa_vhost_ops, "vhost-vdpa", v->vqs, v->n_queues);
	if (ret)
		goto fail;
	v->in_batch = false;
	vdpa_spaces_init(v);
	vdpa_reset(v);
	ret = v->model->open ? v->model->open(v) : 0;
	if (!ret)
		return 0;
	vdpa_spaces_finish(v);
	vhost_finish(&v->vhost);
fail:
	give(v);
	return ret;
}

static void vdpa_release(struct file *f)
{
	struct vdpa *v = f->priv;

	vhost_workers_stop(&v->vhost);
	vdpa_reset(v);
	if (v->model->close)
		v->model->close(v);
	line_connect(&v->config_call, -1);
	vhost_finish(&v->vhost);
	vdpa_spaces_finish(v);
	give(v);
}

static int vdpa_mmap(struct file *f, struct map_request *request)
{
	if (request->size == 0 || request->size > 4096 || !(request->flags & MAP_SHARED) ||
	    request->protection & PROT_READ)
		return -EINVAL;
	/* No device here has doorbells that can be mapped. */
	return -ENOTSUPP;
}

/* ---- ioctls under the lock ---- */

static long give_u8(unsigned long arg, uint8_t value)
{
	return copy_to_user((void *)arg, &value, sizeof(value));
}

static long give_u16(unsigned long arg, uint16_t value)
{
	return copy_to_user((void *)arg, &value, sizeof(value));
}

static long give_u32(unsigned long arg, uint32_t value)
{
	return copy_to_user((void *)arg, &value, sizeof(value));
}

static long give_u64(unsigned long arg, uint64_t value)
{
	return copy_to_user((void *)arg, &value, sizeof(value));
}

static long set_status(struct vdpa *v, unsigned long arg)
{
	uint8_t status;

	if (copy_from_user(&status, (const void *)arg, sizeof(status)))
		return -EFAULT;
	if (status && v->status & ~status)
		return -EINVAL;
	if (status) {
		vdpa_set_status(v, status);
		return 0;
	}
	vdpa_reset(v);
	if (!(v->vhost.backend_features & VDPA_F(VHOST_BACKEND_F_IOTLB_PERSIST)))
		vdpa_spaces_clean(v);
	return 0;
}

static long set_features(struct vdpa *v, unsigned long arg)
{
	uint64_t features;

	if (v->status & VDPA_STATUS_FEATURES_OK)
		return -EBUSY;
	if (copy_from_user(&features, (const void *)arg, sizeof(features)))
		return -EFAULT;
	/* The driver's addresses are the IOTLB's. */
	if (!(features & VDPA_F(VIRTIO_F_ACCESS_PLATFORM)))
		return -EINVAL;
	v->features = features & v->offered;
	if (v->model->negotiated)
		v->model->negotiated(v);
	return 0;
}

/* The head of the argument, checked. */
static long config_range(const struct vdpa *v, unsigned long arg, struct vhost_vdpa_config *c)
{
	if (copy_from_user(c, (const void *)arg, offsetof(struct vhost_vdpa_config, buf)))
		return -EFAULT;
	return c->len == 0 || c->off > v->config_size || c->len > v->config_size - c->off ? -EINVAL
											  : 0;
}

static long get_config(struct vdpa *v, unsigned long arg)
{
	struct vhost_vdpa_config c;
	long ret = config_range(v, arg, &c);

	if (ret)
		return ret;
	if (v->model->fill_config)
		v->model->fill_config(v);
	return copy_to_user((char *)arg + offsetof(struct vhost_vdpa_config, buf),
			    v->config + c.off, c.len);
}

static long set_config(struct vdpa *v, unsigned long arg)
{
	uint8_t bytes[VDPA_CONFIG_MAX];
	struct vhost_vdpa_config c;
	long ret = config_range(v, arg, &c);

	if (ret)
		return ret;
	if (copy_from_user(bytes, (const char *)arg + offsetof(struct vhost_vdpa_config, buf),
			   c.len))
		return -EFAULT;
	if (v->model->config_writable)
		memcpy(v->config + c.off, bytes, c.len);
	return 0;
}

static long set_config_call(struct vdpa *v, unsigned long arg)
{
	int32_t fd;
	int taken = -1;
	long ret;

	if (copy_from_user(&fd, (const void *)arg, sizeof(fd)))
		return -EFAULT;
	if (fd != VHOST_FILE_UNBIND) {
		ret = line_check_eventfd(fd);
		if (ret)
			return ret;
		taken = user_fd_take(fd);
		if (taken < 0)
			return taken;
	}
	line_connect(&v->config_call, taken);
	return 0;
}

static long get_iova_range(unsigned long arg)
{
	static const struct vhost_vdpa_iova_range range = {.first = 0, .last = UINT64_MAX};

	return copy_to_user((void *)arg, &range, sizeof(range));
}

static uint64_t backend_features(const struct vdpa *v)
{
	return v->describes ? KNOWN : ALWAYS;
}

static long suspend(struct vdpa *v)
{
	if (!(v->status & VDPA_STATUS_DRIVER_OK))
		return 0;
	if (v->running && v->model->drain)
		v->model->drain(v);
	v->running = false;
	v->suspended = true;
	return 0;
}

static long resume(struct vdpa *v)
{
	v->running = true;
	v->suspended = false;
	vdpa_wake(v);
	return 0;
}

static long device_ioctl(struct vdpa *v, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case VHOST_VDPA_GET_DEVICE_ID:
		return give_u32(arg, v->model->device_id);
	case VHOST_VDPA_GET_STATUS:
		return give_u8(arg, v->status);
	case VHOST_VDPA_SET_STATUS:
		return set_status(v, arg);
	case VHOST_VDPA_GET_CONFIG:
		return get_config(v, arg);
	case VHOST_VDPA_SET_CONFIG:
		return set_config(v, arg);
	case VHOST_GET_FEATURES:
		return give_u64(arg, v->offered);
	case VHOST_SET_FEATURES:
		return set_features(v, arg);
	case VHOST_GET_BACKEND_FEATURES:
		return give_u64(arg, backend_features(v));
	case VHOST_VDPA_GET_VRING_NUM:
		return give_u16(arg, v->queue_max);
	case VHOST_VDPA_GET_GROUP_NUM:
		return give_u32(arg, v->n_groups);
	case VHOST_VDPA_GET_AS_NUM:
		return give_u32(arg, v->n_spaces);
	case VHOST_VDPA_SET_CONFIG_CALL:
		return set_config_call(v, arg);
	case VHOST_VDPA_GET_IOVA_RANGE:
		return get_iova_range(arg);
	case VHOST_VDPA_GET_CONFIG_SIZE:
		return give_u32(arg, v->config_size);
	case VHOST_VDPA_GET_VQS_COUNT:
		return give_u32(arg, v->n_queues);
	case VHOST_VDPA_SUSPEND:
		return suspend(v);
	case VHOST_VDPA_RESUME:
		return resume(v);
	}
	return -ENOTTY; /* the dirty log, which vDPA has none of */
}

static VHOST_HANDLER(vdpa_ioctl)
{
	struct vdpa *v = f->priv;
	long ret;

	vhost_lock(&v->vhost);
	ret = device_ioctl(v, call->cmd, call->arg);
	vhost_unlock(&v->vhost);
	return ret;
}

static VHOST_HANDLER(set_backend_features)
{
	struct vdpa *v = f->priv;
	uint64_t features;

	if (copy_from_user(&features, (const void *)call->arg, sizeof(features)))
		return -EFAULT;
	if (features & ~KNOWN)
		return -EOPNOTSUPP;
	if (features & VDPA_F(VHOST_BACKEND_F_DESC_ASID) &&
	    !(features & VDPA_F(VHOST_BACKEND_F_IOTLB_ASID)))
		return -EINVAL;
	if (features & ~backend_features(v))
		return -EOPNOTSUPP;
	vhost_lock(&v->vhost);
	v->vhost.backend_features = features;
	vhost_unlock(&v->vhost);
	return 0;
}

/* ---- rows ---- */

static void decode_config(struct trace_line *t, const struct ioctl_call *call)
{
	struct vhost_vdpa_config c;

	if (copy_from_user(&c, (const void *)call->arg, offsetof(struct vhost_vdpa_config, buf)))
		trace_print(t, "%#lx", call->arg);
	else
		trace_print(t, "{off=%u, len=%u}", c.off, c.len);
}

static const struct ioctl_row rows[] = {
	VHOST_ROW(VHOST_VDPA_GET_DEVICE_ID, vdpa_ioctl, NULL),
	VHOST_ROW(VHOST_VDPA_GET_STATUS, vdpa_ioctl, NULL),
	VHOST_ROW(VHOST_VDPA_SET_STATUS, vdpa_ioctl, vhost_decode_u8),
	VHOST_ROW(VHOST_VDPA_GET_CONFIG, vdpa_ioctl, decode_config),
	VHOST_ROW(VHOST_VDPA_SET_CONFIG, vdpa_ioctl, decode_config),
	VHOST_ROW(VHOST_GET_FEATURES, vdpa_ioctl, vhost_decode_features),
	VHOST_ROW(VHOST_SET_FEATURES, vdpa_ioctl, vhost_decode_features),
	VHOST_ROW(VHOST_GET_BACKEND_FEATURES, vdpa_ioctl, vhost_decode_u64),
	VHOST_ROW(VHOST_SET_BACKEND_FEATURES, set_backend_features, vhost_decode_u64),
	VHOST_ROW(VHOST_VDPA_GET_VRING_NUM, vdpa_ioctl, NULL),
	VHOST_ROW(VHOST_VDPA_GET_GROUP_NUM, vdpa_ioctl, NULL),
	VHOST_ROW(VHOST_VDPA_GET_AS_NUM, vdpa_ioctl, NULL),
	VHOST_ROW(VHOST_VDPA_SET_CONFIG_CALL, vdpa_ioctl, vhost_decode_int),
	VHOST_ROW(VHOST_VDPA_GET_IOVA_RANGE, vdpa_ioctl, NULL),
	VHOST_ROW(VHOST_VDPA_GET_CONFIG_SIZE, vdpa_ioctl, NULL),
	VHOST_ROW(VHOST_VDPA_GET_VQS_COUNT, vdpa_ioctl, NULL),
	VHOST_ROW(VHOST_VDPA_SUSPEND, vdpa_ioctl, NULL),
	VHOST_ROW(VHOST_VDPA_RESUME, vdpa_ioctl, NULL),
	VHOST_ROW(VHOST_SET_LOG_BASE, vdpa_ioctl, vhost_decode_u64),
	VHOST_ROW(VHOST_SET_LOG_FD, vdpa_ioctl, vhost_decode_int),
	VHOST_ROW(VHOST_SET_VRING_NUM, vdpa_ioctl_vring, vhost_decode_state),
	VHOST_ROW(VHOST_SET_VRING_BASE, vdpa_ioctl_vring, vhost_decode_state),
	VHOST_ROW(VHOST_GET_VRING_BASE, vdpa_ioctl_vring, vhost_decode_state),
	VHOST_ROW(VHOST_SET_VRING_ADDR, vdpa_ioctl_vring, vhost_decode_addr),
	VHOST_ROW(VHOST_SET_VRING_CALL, vdpa_ioctl_vring, vhost_decode_file),
	VHOST_ROW(VHOST_VDPA_SET_VRING_ENABLE, vdpa_ioctl_vring, vhost_decode_state),
	VHOST_ROW(VHOST_VDPA_GET_VRING_GROUP, vdpa_ioctl_vring, vhost_decode_state),
	VHOST_ROW(VHOST_VDPA_GET_VRING_DESC_GROUP, vdpa_ioctl_vring, vhost_decode_state),
	VHOST_ROW(VHOST_VDPA_GET_VRING_SIZE, vdpa_ioctl_vring, vhost_decode_state),
	VHOST_ROW(VHOST_VDPA_SET_GROUP_ASID, vdpa_ioctl_vring, vhost_decode_state),
	IOCTL_ROW(VHOST_SET_OWNER, IOCTL_NONE, 0, vhost_ioctl_set_owner, NULL),
	VHOST_ROW(VHOST_SET_FORK_FROM_OWNER, vhost_ioctl_set_fork_from_owner, vhost_decode_u8),
	VHOST_ROW(VHOST_GET_FORK_FROM_OWNER, vhost_ioctl_get_fork_from_owner, vhost_decode_u8),
	VHOST_ROW(VHOST_SET_MEM_TABLE, vhost_ioctl_set_mem_table, vhost_decode_memory),
	VHOST_ROW(VHOST_SET_VRING_KICK, vhost_ioctl_vring, vhost_decode_file),
	VHOST_ROW(VHOST_SET_VRING_ERR, vhost_ioctl_vring, vhost_decode_file),
	VHOST_ROW(VHOST_SET_VRING_BUSYLOOP_TIMEOUT, vhost_ioctl_vring, vhost_decode_state),
	VHOST_ROW(VHOST_GET_VRING_BUSYLOOP_TIMEOUT, vhost_ioctl_vring, vhost_decode_state),
};

const struct ioctl_table vdpa_table = {
	.kind = "vhost-vdpa",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.unknown = -ENOTTY,
	.otherwise = vhost_ioctl_unknown,
};

const struct file_ops vdpa_file_ops = {
	.kind = "vhost-vdpa",
	.ioctls = &vdpa_table,
	.open = vdpa_open,
	.release = vdpa_release,
	.write = vhost_write,
	.trace_message = vhost_trace_message,
	.mmap = vdpa_mmap,
};
