/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /dev/vhost-scsi: the file and its own ioctls, which set and clear the endpoint.
 *
 * Whatever changes where requests in flight have their memory, and the end of an endpoint,
 * waits until they are done; meanwhile no others are taken.
 */
#include "vhost/scsi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/config.h"
#include "core/instance.h"
#include "core/user.h"

#define BIT(n) (UINT64_C(1) << (n))
#define FEATURES                                                                           \
	(BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | BIT(VHOST_F_LOG_ALL) | BIT(VIRTIO_F_ANY_LAYOUT) | \
	 BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |                 \
	 BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_SCSI_F_HOTPLUG) | BIT(VIRTIO_SCSI_F_T10_PI))

_Static_assert(sizeof(((struct vhost_scsi *)0)->wwpn) ==
		       sizeof(((struct vhost_scsi_target *)0)->vhost_wwpn),
	       "a name of the client's fits");

static bool work_ring(struct vhost_vq *vq)
{
	struct vhost_scsi *v = (struct vhost_scsi *)vq->dev;
	bool kicked = atomic_load(&vq->kicked), more = false;

	if (!vq->active)
		return false;
	vhost_scsi_complete(v, vq);
	if (!atomic_load(&v->paused) && vhost_vq_runnable(vq)) {
		switch (vq->index) {
		case VHOST_SCSI_CONTROL:
			more = vhost_scsi_take_controls(v, vq);
			break;
		case VHOST_SCSI_EVENT:
			vhost_scsi_send_events(v, vq, kicked);
			break;
		default:
			more = vhost_scsi_take_commands(v, vq);
			break;
		}
	}
	vhost_scsi_batch_end(v, vq);
	return more;
}

/* ---- waiting for requests ---- */

/* Both under endpoint_lock alone. */
static void pause_requests(struct vhost_scsi *v)
{
	vhost_lock(&v->dev);
	atomic_store(&v->paused, true);
	vhost_unlock(&v->dev);
	vhost_scsi_wait_idle(v);
}

static void resume_requests(struct vhost_scsi *v)
{
	atomic_store(&v->paused, false);
	for (unsigned i = 0; i < VHOST_SCSI_QUEUES; i++)
		if (v->vqs[i].kick >= 0)
			vhost_queue(&v->vqs[i]);
}

/* vhost_ops.settle */
static void settle(struct vhost_dev *dev)
{
	struct vhost_scsi *v = (struct vhost_scsi *)dev;

	pthread_mutex_lock(&v->endpoint_lock);
	if (v->endpoint) {
		pause_requests(v);
		resume_requests(v);
	}
	pthread_mutex_unlock(&v->endpoint_lock);
}

/* ---- the endpoint ---- */

static bool access_ok(const struct vhost_scsi *v)
{
	for (unsigned i = 0; i < VHOST_SCSI_QUEUES; i++)
		if (!vhost_vq_access_ok(&v->vqs[i]))
			return false;
	return true;
}

static void drop_paths(struct vhost_scsi_path *paths[SCSI_PORTS_MAX])
{
	for (unsigned t = 0; t < SCSI_PORTS_MAX; t++) {
		if (!paths[t])
			continue;
		scsi_nexus_destroy(paths[t]->nexus);
		scsi_port_release(paths[t]->port);
		free(paths[t]);
		paths[t] = NULL;
	}
}

/* Takes a port over; releases it again if that fails. */
static int make_path(struct vhost_scsi *v, struct scsi_port *port, struct vhost_scsi_path **ret)
{
	struct vhost_scsi_path *path = calloc(1, sizeof(*path));
	struct scsi_nexus_config config = {
		/* The guest's end has no name; any other than the port's own does. */
		.initiator = strtoull(port->config.wwpn + 4, NULL, 16) ^ 1,
		.changed = vhost_scsi_unit_changed,
		.arg = path,
	};
	int result = -ENOMEM;

	if (path) {
		path->scsi = v;
		path->port = port;
		result = scsi_nexus_create(port->target, &config, &path->nexus);
	}
	if (result < 0) {
		scsi_port_release(port);
		free(path);
		return result;
	}
	*ret = path;
	return 0;
}

/* 0, -ENODEV: no port of that name is free, or -ENOMEM. */
static int make_paths(struct vhost_scsi *v, const char *wwpn,
		      struct vhost_scsi_path *paths[SCSI_PORTS_MAX])
{
	struct scsi_port *ports[SCSI_PORTS_MAX];
	int result = 0;

	if (!scsi_ports_claim(wwpn, ports))
		return -ENODEV;
	for (unsigned t = 0; t < SCSI_PORTS_MAX; t++) {
		if (ports[t] && result == 0)
			result = make_path(v, ports[t], &paths[t]);
		else if (ports[t])
			scsi_port_release(ports[t]);
	}
	if (result < 0)
		drop_paths(paths);
	return result;
}

static long set_endpoint(struct vhost_scsi *v, const struct vhost_scsi_target *t)
{
	struct vhost_scsi_path *paths[SCSI_PORTS_MAX] = {0};
	char wwpn[sizeof(v->wwpn)];
	long ret = 0;

	vhost_lock(&v->dev);
	if (!access_ok(v))
		ret = -EFAULT;
	else if (v->endpoint)
		ret = -EEXIST;
	vhost_unlock(&v->dev);
	if (ret)
		return ret;
	memcpy(wwpn, t->vhost_wwpn, sizeof(wwpn));
	wwpn[sizeof(wwpn) - 1] = '\0';
	ret = make_paths(v, wwpn, paths);
	if (ret) {
		vhost_scsi_drop_events(v);
		return ret;
	}
	vhost_lock(&v->dev);
	memcpy(v->wwpn, wwpn, sizeof(wwpn));
	memcpy(v->paths, paths, sizeof(paths));
	for (unsigned i = 0; i < VHOST_SCSI_QUEUES; i++)
		vhost_vq_start_anyhow(&v->vqs[i]);
	v->endpoint = true;
	vhost_unlock(&v->dev);
	return 0;
}

static void end_endpoint(struct vhost_scsi *v)
{
	pause_requests(v);
	vhost_lock(&v->dev);
	for (unsigned i = 0; i < VHOST_SCSI_QUEUES; i++)
		vhost_vq_stop(&v->vqs[i]);
	v->endpoint = false;
	memset(v->wwpn, 0, sizeof(v->wwpn));
	atomic_store(&v->paused, false);
	vhost_unlock(&v->dev);
	drop_paths(v->paths);
	vhost_scsi_drop_events(v);
}

static long clear_endpoint(struct vhost_scsi *v, const struct vhost_scsi_target *t)
{
	long ret = 0;

	vhost_lock(&v->dev);
	if (!access_ok(v))
		ret = -EFAULT;
	else if (v->endpoint && strncmp(v->wwpn, t->vhost_wwpn, sizeof(v->wwpn)) != 0)
		ret = -EINVAL;
	vhost_unlock(&v->dev);
	if (!ret && v->endpoint)
		end_endpoint(v);
	return ret;
}

static VHOST_HANDLER(endpoint)
{
	struct vhost_scsi *v = f->priv;
	struct vhost_scsi_target t;
	long ret;

	if (copy_from_user(&t, (const void *)call->arg, sizeof(t)))
		return -EFAULT;
	if (t.reserved)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&v->endpoint_lock);
	ret = call->cmd == VHOST_SCSI_SET_ENDPOINT ? set_endpoint(v, &t) : clear_endpoint(v, &t);
	pthread_mutex_unlock(&v->endpoint_lock);
	return ret;
}

/* vhost_ops.set_features; what has been negotiated stays while there is an endpoint. */
static long set_features(struct vhost_dev *dev, const uint64_t *features)
{
	const struct vhost_scsi *v = (const struct vhost_scsi *)dev;

	return v->endpoint && ((features[0] ^ dev->features[0]) & ~BIT(VHOST_F_LOG_ALL)) ? -EBUSY
											 : 0;
}

/* ---- the others ---- */

static VHOST_HANDLER(get_abi_version)
{
	static const int32_t version = VHOST_SCSI_ABI_VERSION;

	return copy_to_user((void *)call->arg, &version, sizeof(version));
}

static VHOST_HANDLER(set_events_missed)
{
	uint32_t missed;

	if (copy_from_user(&missed, (const void *)call->arg, sizeof(missed)))
		return -EFAULT;
	vhost_scsi_set_events_missed(f->priv, missed);
	return 0;
}

static VHOST_HANDLER(get_events_missed)
{
	uint32_t missed = vhost_scsi_events_missed(f->priv);

	return copy_to_user((void *)call->arg, &missed, sizeof(missed));
}

static const struct vhost_ops dev_ops = {
	.work_ring = work_ring,
	.features = {FEATURES},
	.set_features = set_features,
	.settle = settle,
};

static int scsi_open(struct file *f, void *context)
{
	struct vhost_scsi *v = calloc(1, sizeof(*v));
	int ret;

	if (!v)
		return -ENOMEM;
	ret = scsi_ports_start(instance->config);
	if (ret == 0)
		ret = vhost_init(&v->dev, f, &dev_ops, "vhost-scsi", v->vqs, VHOST_SCSI_QUEUES);
	if (ret) {
		free(v);
		return ret;
	}
	pthread_mutex_init(&v->endpoint_lock, NULL);
	pthread_mutex_init(&v->idle_lock, NULL);
	pthread_mutex_init(&v->events_lock, NULL);
	pthread_cond_init(&v->idle, NULL);
	v->events_end = &v->events;
	control_start();
	return 0;
}

static void scsi_release(struct file *f)
{
	struct vhost_scsi *v = f->priv;

	pthread_mutex_lock(&v->endpoint_lock);
	if (v->endpoint)
		end_endpoint(v);
	pthread_mutex_unlock(&v->endpoint_lock);
	vhost_finish(&v->dev);
	vhost_scsi_queues_free(v);
	pthread_cond_destroy(&v->idle);
	pthread_mutex_destroy(&v->events_lock);
	pthread_mutex_destroy(&v->idle_lock);
	pthread_mutex_destroy(&v->endpoint_lock);
	free(v);
}

static const struct ioctl_row rows[] = {
	VHOST_ROW(VHOST_SCSI_SET_ENDPOINT, endpoint, vhost_decode_scsi_target),
	VHOST_ROW(VHOST_SCSI_CLEAR_ENDPOINT, endpoint, vhost_decode_scsi_target),
	VHOST_ROW(VHOST_SCSI_GET_ABI_VERSION, get_abi_version, vhost_decode_int),
	VHOST_ROW(VHOST_SCSI_SET_EVENTS_MISSED, set_events_missed, vhost_decode_int),
	VHOST_ROW(VHOST_SCSI_GET_EVENTS_MISSED, get_events_missed, vhost_decode_int),
	VHOST_COMMON_ROWS,
	VHOST_WORKER_ROWS,
};

const struct ioctl_table vhost_scsi_table = {
	.kind = "vhost-scsi",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.unknown = -ENOTTY,
	.otherwise = vhost_ioctl_unknown,
};

/* Neither read nor written; poll says what it says of files without an opinion. */
const struct file_ops vhost_scsi_ops = {
	.kind = "vhost-scsi",
	.ioctls = &vhost_scsi_table,
	.reopened = true,
	.open = scsi_open,
	.release = scsi_release,
};
