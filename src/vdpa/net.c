/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network device on a link (backend/net.h): what virtio 1.2 has, with rings of both kinds,
 * mergeable buffers, offloads and several queue pairs.
 *
 * In one round a queue pair first sends and then receives, a batch at a time, so that on a
 * loopback packets are still in the cache when they come back.
 */
#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "backend/net.h"
#include "core/log.h"
#include "uapi/virtio_net.h"
#include "vdpa/address.h"
#include "vdpa/vdpa.h"
#include "virtio/net_control.h"
#include "virtio/net_queue.h"

#define PAIRS_MAX 64u
#define QUEUE_MAX 1024u
#define LINK      "loopback"

/*
 * Packets sent in a round: half a burst of the usual poll mode driver's, so that it has the first
 * half to work on while the device is at the second.
 */
#define TURN 16u

struct pair {
	struct virtio_net_queue queue;
	struct vhost_source source; /* the port's descriptor */
	int watched;                /* -1: not yet, or there is none */
};

struct net {
	struct vdpa *vdpa;
	struct net_port *port;
	struct virtio_net_control control; /* of DRIVER_OK */
	unsigned n_pairs;
	struct pair *pairs;
};

#define RX(pair) (2 * (pair))
#define TX(pair) (2 * (pair) + 1)

static const char *spec(const struct vdpa *v)
{
	const char *text = vdpa_key(v, "net");

	return text ? text : LINK;
}

static int create(struct vdpa *v)
{
	/* Locally administered. */
	const uint8_t address[6] = {0x52, 0x54, 0x00, 0x76, 0x64, (uint8_t)v->number};
	struct virtio_net_config *config = (struct virtio_net_config *)v->config;
	char error[NET_ERROR_MAX];
	struct net *n = v->state;
	uint64_t pairs;
	bool packed;
	int ret;

	ret = vdpa_net_address(v, address, 1500);
	if (!ret)
		ret = vdpa_key_number(v, "queues", 1, 1, PAIRS_MAX, &pairs);
	if (!ret)
		ret = vdpa_key_bool(v, "packed", true, &packed);
	if (ret)
		return ret;
	if (net_check(spec(v), error) < 0)
		return vdpa_error(v, -EINVAL, "%s", error);
	v->offered = VDPA_RING_FEATURES | VDPA_F(VIRTIO_NET_F_MAC) | VDPA_F(VIRTIO_NET_F_STATUS) |
		     VDPA_F(VIRTIO_NET_F_MTU) | VDPA_F(VIRTIO_NET_F_MRG_RXBUF) |
		     VDPA_F(VIRTIO_NET_F_CTRL_VQ) | VDPA_F(VIRTIO_NET_F_CTRL_MAC_ADDR) |
		     VDPA_F(VIRTIO_NET_F_CTRL_RX) | VDPA_F(VIRTIO_NET_F_CTRL_RX_EXTRA) |
		     VDPA_F(VIRTIO_NET_F_CTRL_VLAN) | VDPA_F(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) |
		     VDPA_F(VIRTIO_NET_F_CSUM) | VDPA_F(VIRTIO_NET_F_HOST_TSO4) |
		     VDPA_F(VIRTIO_NET_F_HOST_TSO6) | VDPA_F(VIRTIO_NET_F_HOST_ECN) |
		     VDPA_F(VIRTIO_NET_F_HOST_USO) | VDPA_F(VIRTIO_NET_F_GUEST_CSUM) |
		     VDPA_F(VIRTIO_NET_F_GUEST_TSO4) | VDPA_F(VIRTIO_NET_F_GUEST_TSO6) |
		     VDPA_F(VIRTIO_NET_F_GUEST_ECN) | VDPA_F(VIRTIO_NET_F_GUEST_USO4) |
		     VDPA_F(VIRTIO_NET_F_GUEST_USO6);
	if (packed)
		v->offered |= VDPA_F(VIRTIO_F_RING_PACKED);
	if (pairs > 1)
		v->offered |= VDPA_F(VIRTIO_NET_F_MQ);
	v->n_queues = (unsigned)pairs * 2 + 1;
	v->n_groups = v->n_spaces = 3;
	v->describes = v->tells_size = true;
	v->queue_max = QUEUE_MAX;
	v->config_size = sizeof(*config);
	config->max_virtqueue_pairs = (uint16_t)pairs;
	config->status = VIRTIO_NET_S_LINK_UP;
	n->vdpa = v;
	n->n_pairs = (unsigned)pairs;
	n->control.pairs_max = (uint16_t)pairs;
	n->pairs = calloc(pairs, sizeof(*n->pairs));
	return n->pairs ? 0 : -ENOMEM;
}

static void destroy(struct vdpa *v)
{
	struct net *n = v->state;

	free(n->pairs);
}

/* ---- the link ---- */

/* A round follows, which is all. */
static void port_ready(struct vhost_source *source, uint32_t events)
{
}

static void port_changed(void *arg)
{
	vdpa_wake(arg);
}

static int net_device_open(struct vdpa *v)
{
	struct net *n = v->state;
	char error[NET_ERROR_MAX];
	int ret;

	ret = net_open(spec(v), v->name, n->n_pairs, &n->port, error);
	if (ret) {
		log_error("%s: %s", v->name, error);
		return ret;
	}
	for (unsigned i = 0; i < n->n_pairs; i++) {
		n->pairs[i].source.ready = port_ready;
		n->pairs[i].watched = -1;
		net_set_ready(n->port, i, port_changed, v);
	}
	return 0;
}

static void net_device_close(struct vdpa *v)
{
	struct net *n = v->state;

	for (unsigned i = 0; i < n->n_pairs; i++) {
		net_set_ready(n->port, i, NULL, NULL);
		if (n->pairs[i].watched >= 0)
			vhost_unwatch(&v->vhost, n->pairs[i].watched);
	}
	net_close(n->port);
	n->port = NULL;
}

/* The worker that waits for the ports' descriptors is there only once there is an owner. */
static void watch_ports(struct vdpa *v)
{
	struct net *n = v->state;

	for (unsigned i = 0; i < n->n_pairs; i++) {
		struct pair *p = &n->pairs[i];
		int fd = net_fd(n->port, i);

		if (fd < 0 || p->watched >= 0)
			return;
		if (vhost_watch(&v->vhost, fd, &p->source, EPOLLIN | EPOLLOUT) == 0)
			p->watched = fd;
	}
}

/* ---- what the driver has asked for ---- */

static void apply_offloads(struct net *n)
{
	if (net_set_offloads(n->port, virtio_net_offloads(n->control.offloads)) < 0)
		log_warning("%s: the link does not know the offloads", n->vdpa->name);
}

static void control_changed(struct virtio_net_control *c)
{
	struct net *n = (struct net *)((char *)c - offsetof(struct net, control));
	struct virtio_net_config *config = (struct virtio_net_config *)n->vdpa->config;

	memcpy(config->mac, c->mac, sizeof(c->mac));
	apply_offloads(n);
}

static void negotiated(struct vdpa *v)
{
	struct net *n = v->state;

	v->control_queue = v->features && !vdpa_has(v, VIRTIO_NET_F_MQ) ? 2 : 2 * n->n_pairs;
}

static void start(struct vdpa *v)
{
	const struct virtio_net_config *config = (const struct virtio_net_config *)v->config;
	struct net *n = v->state;

	n->control.changed = control_changed;
	memcpy(n->control.mac, config->mac, sizeof(config->mac));
	virtio_net_control_reset(&n->control, v->features);
	for (unsigned i = 0; i < n->n_pairs; i++)
		virtio_net_queue_init(&n->pairs[i].queue, n->port, i, v->features, &vdpa_ring_ops);
	apply_offloads(n);
}

/* ---- work ---- */

static bool work_pair(struct vdpa *v, unsigned pair)
{
	struct virtio_net_queue *queue = &((struct net *)v->state)->pairs[pair].queue;
	struct vdpa_queue *rx = &v->queues[RX(pair)], *tx = &v->queues[TX(pair)];
	int sent = 0, received = 0;

	if (vdpa_queue_usable(v, TX(pair))) {
		virtqueue_disable_kicks(&tx->ring);
		sent = virtio_net_transmit(queue, &tx->ring, TURN);
		if (sent > 0)
			vdpa_queue_signal(tx);
	}
	if (vdpa_queue_usable(v, RX(pair))) {
		virtqueue_disable_kicks(&rx->ring);
		received = virtio_net_receive(queue, &rx->ring, VIRTIO_NET_BATCH);
		if (received > 0)
			vdpa_queue_signal(rx);
	}
	return sent > 0 || received > 0;
}

static bool work(struct vdpa *v)
{
	unsigned control = v->control_queue;
	struct net *n = v->state;
	bool any = false;

	watch_ports(v);
	if (vdpa_has(v, VIRTIO_NET_F_CTRL_VQ) && vdpa_queue_usable(v, control) &&
	    virtio_net_control(&n->control, &v->queues[control].ring) > 0) {
		vdpa_queue_signal(&v->queues[control]);
		any = true;
	}
	for (unsigned i = 0; i < n->control.pairs; i++)
		any |= work_pair(v, i);
	return any;
}

static bool rest(struct vdpa *v)
{
	struct net *n = v->state;
	bool more = vdpa_has(v, VIRTIO_NET_F_CTRL_VQ) && vdpa_queue_rest(v, v->control_queue);

	for (unsigned i = 0; i < n->control.pairs; i++) {
		struct net_arrival arrival;

		/* What the link has no room for waits for the link. */
		more |= vdpa_queue_rest(v, TX(i)) && !n->pairs[i].queue.full;
		/* Receive buffers are of interest when there is something to receive. */
		more |= vdpa_queue_rest(v, RX(i)) && net_peek(n->port, i, &arrival, 1) > 0;
	}
	return more;
}

static const struct standin_key keys[] = {
	{"net", "loopback (default), hub=PATH, socket=PATH, pcap=FILE, null or flood=BYTES"},
	{"mac", "Ethernet address (default: 52:54:00:76:64:NUMBER)"},
	{"mtu", "bytes of a packet (default 1500)"},
	{"queues", "queue pairs, 1 to 64 (default 1)"},
	{"packed", "on or off (on): packed rings are offered"},
	{0},
};

const struct vdpa_model vdpa_net = {
	.name = "net",
	.longname = "a network device on a link",
	.keys = keys,
	.device_id = 1,
	.state_size = sizeof(struct net),
	.create = create,
	.destroy = destroy,
	.open = net_device_open,
	.close = net_device_close,
	.negotiated = negotiated,
	.start = start,
	.work = work,
	.rest = rest,
};
