/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-net: a network device as the Virtual I/O Device specification 1.2 has it (5.1), plugged
 * into an Ethernet link (backend/net.h).
 *
 * Packets and commands are handled by code that does so for every virtio network device
 * (src/virtio), on a thread of the device's (virtio_net_thread.c).  The link is joined when the
 * driver first enables bus mastering, which also is when it can first be told of a packet:
 * checking a command line must not connect to anything.
 */
#include "devices/virtio_net.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "uapi/virtio_net.h"

#define F(bit) (UINT64_C(1) << (bit))

#define CONFIG_BYTES 20u /* up to the duplex mode and its padding */
#define MTU_MIN      68u /* 5.1.4.1 */
#define MTU_MAX      65535u
#define SPEED        10000u /* Mb/s */
#define FULL_DUPLEX  1u
#define BUS_MASTER   4u

#define OFFLOADS                                                                               \
	(F(VIRTIO_NET_F_CSUM) | F(VIRTIO_NET_F_GUEST_CSUM) | F(VIRTIO_NET_F_HOST_TSO4) |       \
	 F(VIRTIO_NET_F_HOST_TSO6) | F(VIRTIO_NET_F_HOST_ECN) | F(VIRTIO_NET_F_HOST_USO) |     \
	 F(VIRTIO_NET_F_GUEST_TSO4) | F(VIRTIO_NET_F_GUEST_TSO6) | F(VIRTIO_NET_F_GUEST_ECN) | \
	 F(VIRTIO_NET_F_GUEST_USO4) | F(VIRTIO_NET_F_GUEST_USO6) |                             \
	 F(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS))

#define FEATURES                                                                         \
	(F(VIRTIO_NET_F_MAC) | F(VIRTIO_NET_F_MTU) | F(VIRTIO_NET_F_STATUS) |            \
	 F(VIRTIO_NET_F_MRG_RXBUF) | F(VIRTIO_NET_F_CTRL_VQ) | F(VIRTIO_NET_F_CTRL_RX) | \
	 F(VIRTIO_NET_F_CTRL_RX_EXTRA) | F(VIRTIO_NET_F_CTRL_VLAN) |                     \
	 F(VIRTIO_NET_F_CTRL_MAC_ADDR) | F(VIRTIO_NET_F_GUEST_ANNOUNCE) |                \
	 F(VIRTIO_NET_F_SPEED_DUPLEX) | VIRTQUEUE_F_IN_ORDER)

static struct net *net_of(struct virtio *v)
{
	return (struct net *)v;
}

/* ---- device configuration ---- */

static void put(struct net *n, size_t offset, const void *value, size_t size)
{
	memcpy(n->virtio.config + offset, value, size);
}

#define CONFIG(n, field, value)                                              \
	put(n, offsetof(struct virtio_net_config, field),                    \
	    &(__typeof__(((struct virtio_net_config *)NULL)->field)){value}, \
	    sizeof(((struct virtio_net_config *)NULL)->field))

static void set_mac(struct net *n, const uint8_t mac[6])
{
	put(n, offsetof(struct virtio_net_config, mac), mac, 6);
}

static void fill_config(struct net *n, uint64_t mtu)
{
	set_mac(n, n->mac);
	CONFIG(n, status, VIRTIO_NET_S_LINK_UP);
	CONFIG(n, max_virtqueue_pairs, (uint16_t)n->n_pairs);
	CONFIG(n, mtu, (uint16_t)mtu);
	CONFIG(n, speed, SPEED);
	CONFIG(n, duplex, FULL_DUPLEX);
	n->virtio.config_size = CONFIG_BYTES;
}

/* ---- life ---- */

static void use_offloads(struct net *n)
{
	if (n->port)
		net_set_offloads(n->port, virtio_net_offloads(n->control.offloads));
}

static void control_changed(struct virtio_net_control *c)
{
	struct net *n = (struct net *)((char *)c - offsetof(struct net, control));

	set_mac(n, c->mac);
	use_offloads(n);
}

static void begin(struct virtio *v)
{
	struct net *n = net_of(v);

	virtio_net_control_reset(&n->control, v->features);
	memcpy(n->control.mac, n->mac, sizeof(n->mac));
	set_mac(n, n->mac);
	use_offloads(n);
	for (unsigned i = 0; i < n->n_pairs; i++)
		virtio_net_queue_init(&n->pairs[i], n->port, i, v->features, &virtio_ring_ops);
}

static void work(struct virtio_queue *queue)
{
	net_thread_wake(net_of(queue->virtio));
}

static void join_link(struct net *n)
{
	const char *address = standin_device_address(n->virtio.dev);
	char error[NET_ERROR_MAX];
	int result = net_open(n->spec, address, n->n_pairs, &n->port, error);

	if (result < 0) {
		log_error("%s: net=%s: %s", address, n->spec, error);
		n->port = NULL;
	} else if (net_thread_start(n) < 0) {
		log_error("%s: no thread for it", address);
		net_close(n->port);
		n->port = NULL;
	}
	if (!n->port)
		CONFIG(n, status, 0);
}

static void net_command_changed(struct standin_device *dev, uint16_t command)
{
	struct net *n = standin_device_state(dev);

	if (command & BUS_MASTER && !n->port)
		join_link(n);
}

static int read_mac(struct standin_device *dev, struct net *n)
{
	const char *mac = standin_config_string(dev, "mac");
	unsigned bus, slot, function;
	int end = 0;

	if (!mac) {
		/* Locally administered, and different for each device of an instance. */
		if (sscanf(standin_device_address(dev), "%*x:%x:%x.%x", &bus, &slot, &function) < 3)
			return standin_device_error(dev, -EINVAL, "no address to make a MAC from");
		memcpy(n->mac,
		       (uint8_t[]){0x52, 0x54, 0x00, 0x53, (uint8_t)bus,
				   (uint8_t)(slot << 3 | function)},
		       6);
		return 0;
	}
	if (sscanf(mac, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &n->mac[0], &n->mac[1], &n->mac[2],
		   &n->mac[3], &n->mac[4], &n->mac[5], &end) < 6 ||
	    mac[end] || end != 17)
		return standin_device_error(dev, -EINVAL, "mac=%.40s: like 52:54:00:12:34:56", mac);
	if (n->mac[0] & 1)
		return standin_device_error(dev, -EINVAL, "mac=%s: is a group's address", mac);
	return 0;
}

static int read_keys(struct standin_device *dev, struct net *n)
{
	uint64_t pairs, mtu, features = FEATURES;
	bool packed, offloads;
	char error[NET_ERROR_MAX];
	int r;

	n->spec = standin_config_string(dev, "net");
	if (!n->spec)
		n->spec = "loopback";
	if (net_check(n->spec, error) < 0)
		return standin_device_error(dev, -EINVAL, "net=: %s", error);
	r = standin_config_number(dev, "queues", 1, 1, NET_PAIRS_MAX, &pairs);
	if (r == 0)
		r = standin_config_number(dev, "mtu", 1500, MTU_MIN, MTU_MAX, &mtu);
	if (r == 0)
		r = standin_config_bool(dev, "packed", true, &packed);
	if (r == 0)
		r = standin_config_bool(dev, "offloads", true, &offloads);
	if (r == 0)
		r = read_mac(dev, n);
	if (r < 0)
		return r;
	n->n_pairs = (unsigned)pairs;
	n->virtio.n_queues = 2 * n->n_pairs + 1;
	n->virtio.split_only = !packed;
	if (offloads)
		features |= OFFLOADS;
	if (n->n_pairs > 1)
		features |= F(VIRTIO_NET_F_MQ);
	n->virtio.offered = features;
	n->control.pairs_max = (uint16_t)n->n_pairs;
	fill_config(n, mtu);
	return 0;
}

static int net_realize(struct standin_device *dev, struct standin_pci *pci)
{
	struct net *n = standin_device_state(dev);
	int r = read_keys(dev, n);

	if (r < 0)
		return r;
	n->pairs = calloc(n->n_pairs, sizeof(*n->pairs));
	if (!n->pairs)
		return standin_device_error(dev, -ENOMEM, "out of memory");
	n->epoll = n->wake = -1;
	n->control.changed = control_changed;
	n->virtio.type = 1;
	n->virtio.class_code = 0x020000;
	n->virtio.work = work;
	n->virtio.begin = begin;
	n->virtio.own_thread = true;
	virtio_realize(&n->virtio, dev, pci);
	return 0;
}

static void net_unrealize(struct standin_device *dev)
{
	struct net *n = standin_device_state(dev);

	net_thread_stop(n);
	net_close(n->port);
	free(n->pairs);
	virtio_unrealize(&n->virtio);
}

static const struct standin_key net_keys[] = {
	{"net", "what it is plugged into: loopback (default), hub=PATH, socket=PATH, pcap=FILE, "
		"null, flood=BYTES"},
	{"mac", "its address, like 52:54:00:12:34:56 (default: made from the PCI address)"},
	{"mtu", "bytes of the largest packet (default: 1500)"},
	{"queues", "queue pairs, 1 to 31 (default: 1)"},
	{"packed", "off: only split rings are offered (default: on)"},
	{"offloads", "off: no checksum and segmentation offloads (default: on)"},
	{NULL},
};

static const struct standin_model virtio_net_model = {
	.struct_size = sizeof(struct standin_model),
	.api_version = STANDIN_MODEL_API,
	.name = "virtio-net",
	.longname = "virtio 1.2 network device",
	.keys = net_keys,
	.state_size = sizeof(struct net),
	.realize = net_realize,
	.unrealize = net_unrealize,
	.command_changed = net_command_changed,
	VIRTIO_MODEL_CALLBACKS,
};

STANDIN_MODEL(virtio_net_model)
