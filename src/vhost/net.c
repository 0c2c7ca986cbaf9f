/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /dev/vhost-net: the file, its features, and what its rings are connected to.
 *
 * A ring runs when there is a reason: a kick, packets in the socket, room in the socket, or a
 * round that ended early.
 */
#include "vhost/net.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "core/user.h"
#include "uapi/virtio_net.h"

#define BIT(n) (UINT64_C(1) << (n))

#define FEATURES                                                                                  \
	(BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | BIT(VHOST_F_LOG_ALL) | BIT(VHOST_NET_F_VIRTIO_NET_HDR) | \
	 BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |                        \
	 BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_F_ACCESS_PLATFORM) |  \
	 BIT(VIRTIO_F_RING_RESET) | BIT(VIRTIO_F_IN_ORDER))
/* The second word. */
#define MORE_FEATURES \
	(BIT(VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO - 64) | BIT(VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO - 64))

static bool work_ring(struct vhost_vq *vq)
{
	struct vhost_net *net = (struct vhost_net *)vq->dev;

	return vq->index == VHOST_NET_RX ? vhost_net_receive(net) : vhost_net_transmit(net);
}

void vhost_net_tell(struct vhost_net *net, bool arrived, bool room)
{
	if (arrived) {
		atomic_store(&net->arrived, true);
		vhost_queue(&net->vqs[VHOST_NET_RX]);
	}
	if (room && atomic_load(&net->blocked))
		vhost_queue(&net->vqs[VHOST_NET_TX]);
}

static void socket_ready(struct vhost_source *source, uint32_t events)
{
	struct vhost_net *net =
		(struct vhost_net *)((char *)source - offsetof(struct vhost_net, source));

	vhost_net_tell(net, events & ~EPOLLOUT, events & ~EPOLLIN);
}

/* Takes a ring's backend away. */
static void disconnect(struct vhost_net *net, unsigned index)
{
	struct vhost_net_socket *s = net->socket[index];

	vhost_vq_stop(&net->vqs[index]);
	net->socket[index] = NULL;
	if (s)
		vhost_net_socket_put(s);
	if (index == VHOST_NET_RX)
		net->rx.held_size = 0;
}

static void reset(struct vhost_dev *dev)
{
	struct vhost_net *net = (struct vhost_net *)dev;

	for (unsigned i = 0; i < VHOST_NET_QUEUES; i++)
		disconnect(net, i);
	net->vhost_header = net->socket_header = 0;
}

static bool has(const uint64_t *features, unsigned bit)
{
	return features[bit / 64] & BIT(bit % 64);
}

/* Who makes the header of a packet, and how long it is. */
static long set_features(struct vhost_dev *dev, const uint64_t *features)
{
	struct vhost_net *net = (struct vhost_net *)dev;
	uint32_t size = sizeof(struct virtio_net_hdr);

	if (has(features, VIRTIO_NET_F_MRG_RXBUF) || has(features, VIRTIO_F_VERSION_1))
		size = sizeof(struct virtio_net_hdr_mrg_rxbuf);
	if (has(features, VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO) ||
	    has(features, VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO))
		size = VHOST_NET_HEADER_MAX;
	net->vhost_header = has(features, VHOST_NET_F_VIRTIO_NET_HDR) ? size : 0;
	net->socket_header = size - net->vhost_header;
	return 0;
}

static const struct vhost_ops net_dev_ops = {
	.work_ring = work_ring,
	.features = {FEATURES, MORE_FEATURES},
	.backend_features = BIT(VHOST_BACKEND_F_IOTLB_MSG_V2),
	.set_features = set_features,
	.reset = reset,
};

static int net_open_file(struct file *f, void *context)
{
	struct vhost_net *net = calloc(1, sizeof(*net));
	int ret;

	if (!net)
		return -ENOMEM;
	ret = vhost_init(&net->dev, f, &net_dev_ops, "vhost-net", net->vqs, VHOST_NET_QUEUES);
	if (ret) {
		free(net);
		return ret;
	}
	net->source.ready = socket_ready;
	net->rx.pool = (struct virtqueue_pool){.iov = net->rx.iov,
					       .max_iov = 2 * VHOST_NET_IOV,
					       .ranges = net->rx.ranges,
					       .max_ranges = 2 * VHOST_NET_IOV};
	net->tx.pool = (struct virtqueue_pool){.iov = net->tx.iov,
					       .max_iov = VHOST_NET_IOV,
					       .ranges = net->tx.ranges,
					       .max_ranges = VHOST_NET_IOV};
	return 0;
}

static void net_release(struct file *f)
{
	struct vhost_net *net = f->priv;

	vhost_lock(&net->dev);
	reset(&net->dev);
	vhost_unlock(&net->dev);
	vhost_finish(&net->dev);
	free(net->rx.held);
	free(net);
}

/* ---- the backend ---- */

/* The socket that `fd` is, with a reference; *ret_socket is NULL for -1. */
static int find_socket(struct vhost_net *net, int fd, struct vhost_net_socket **ret_socket)
{
	*ret_socket = NULL;
	if (fd == -1)
		return 0;
	for (unsigned i = 0; i < VHOST_NET_QUEUES; i++) {
		struct vhost_net_socket *s = net->socket[i];

		if (s && vhost_net_socket_is(s, fd)) {
			s->refs++;
			*ret_socket = s;
			return 0;
		}
	}
	if (!net->rx.held)
		net->rx.held = malloc(2 * VHOST_NET_PACKET_MAX);
	if (!net->rx.held)
		return -ENOMEM;
	return vhost_net_socket_open(net, fd, ret_socket);
}

/* Goes over to `s`, whose reference is taken over; NULL: to none. */
static long connect_socket(struct vhost_net *net, unsigned index, struct vhost_net_socket *s)
{
	struct vhost_vq *vq = &net->vqs[index];
	struct vhost_net_socket *old = net->socket[index];
	long ret;

	vhost_vq_stop(vq);
	if (s) {
		ret = vhost_vq_start(vq);
		if (!ret && s->broken)
			ret = -EINVAL;
		if (ret) {
			/* Back to the old one, if that still can be. */
			vhost_vq_stop(vq);
			if (old)
				vhost_vq_start(vq);
			return ret;
		}
	}
	net->socket[index] = s;
	if (old)
		vhost_net_socket_put(old);
	if (index == VHOST_NET_RX)
		net->rx.held_size = 0;
	/* As if kicked: there may be packets in the socket, or in the ring. */
	if (index == VHOST_NET_RX)
		atomic_store(&net->arrived, true);
	vhost_queue(vq);
	return 0;
}

static long set_backend(struct vhost_net *net, unsigned index, int fd)
{
	struct vhost_net_socket *s;
	long ret = vhost_check_owner(&net->dev);

	if (ret)
		return ret;
	if (index >= VHOST_NET_QUEUES)
		return -ENOBUFS;
	if (fd == -1)
		vhost_clear_messages(&net->dev);
	if (!vhost_vq_access_ok(&net->vqs[index]))
		return -EFAULT;
	ret = find_socket(net, fd, &s);
	if (ret)
		return ret;
	if (s == net->socket[index]) {
		if (s)
			vhost_net_socket_put(s);
		return 0;
	}
	ret = connect_socket(net, index, s);
	if (ret)
		vhost_net_socket_put(s);
	return ret;
}

static VHOST_HANDLER(ioctl_set_backend)
{
	struct vhost_net *net = f->priv;
	struct vhost_vring_file file;
	long ret;

	if (copy_from_user(&file, (const void *)call->arg, sizeof(file)))
		return -EFAULT;
	vhost_lock(&net->dev);
	ret = set_backend(net, file.index, file.fd);
	vhost_unlock(&net->dev);
	return ret;
}

static const struct ioctl_row rows[] = {
	VHOST_ROW(VHOST_NET_SET_BACKEND, ioctl_set_backend, vhost_decode_file),
	VHOST_RESET_OWNER_ROW,
	VHOST_FEATURES_ARRAY_ROWS,
	VHOST_BACKEND_FEATURES_ROWS,
	VHOST_COMMON_ROWS,
};

const struct ioctl_table vhost_net_table = {
	.kind = "vhost-net",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.unknown = -ENOTTY,
	.otherwise = vhost_ioctl_unknown,
};

const struct file_ops vhost_net_ops = {
	.kind = "vhost-net",
	.ioctls = &vhost_net_table,
	.reopened = true,
	.messages = true,
	.open = net_open_file,
	.release = net_release,
	.read = vhost_read,
	.write = vhost_write,
	.trace_message = vhost_trace_message,
};
