/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's network simulator (drivers/vdpa/vdpa_sim/vdpa_sim_net.c): what is sent comes
 * back if it is for the device's own address or for many.  A packet is what fits in a page,
 * and what its receiver has room for.
 */
#include <errno.h>
#include <linux/virtio_net.h>
#include <stddef.h>
#include <string.h>

#include "core/iovec.h"
#include "vdpa/address.h"
#include "vdpa/vdpa.h"

#define RX      0u
#define TX      1u
#define CONTROL 2u
#define PACKET  4096u
#define BATCH   32u

struct sim_net {
	uint8_t packet[PACKET];
	struct iovec send_iov[VDPA_PIECES], receive_iov[VDPA_PIECES];
};

static int create(struct vdpa *v)
{
	static const uint8_t no_address[6];

	v->offered = VDPA_SIM_FEATURES | VDPA_F(VIRTIO_NET_F_MAC) | VDPA_F(VIRTIO_NET_F_STATUS) |
		     VDPA_F(VIRTIO_NET_F_MTU) | VDPA_F(VIRTIO_NET_F_CTRL_VQ) |
		     VDPA_F(VIRTIO_NET_F_CTRL_MAC_ADDR);
	v->n_queues = 3;
	v->n_groups = 2;
	v->n_spaces = 2;
	v->queue_max = 256;
	v->control_queue = CONTROL;
	v->config_size = sizeof(struct virtio_net_config);
	return vdpa_net_address(v, no_address, 1500);
}

static void fill_config(struct vdpa *v)
{
	((struct virtio_net_config *)v->config)->status = VIRTIO_NET_S_LINK_UP;
}

/* One chain: 1, 0 or an error.  What it says is in the pool that follows it. */
static int fetch(struct vdpa_queue *q, struct virtqueue_chain *chain, struct iovec *iov)
{
	struct virtqueue_pool pool = {.iov = iov, .max_iov = VDPA_PIECES};

	return virtqueue_fetch(&q->ring, chain, 1, &pool);
}

/* ---- the control queue ---- */

static uint8_t execute(struct vdpa *v, const struct virtqueue_chain *chain)
{
	struct virtio_net_config *config = (struct virtio_net_config *)v->config;
	uint8_t command[2 + 6], ret = VIRTIO_NET_ERR;

	if (chain->readable_size < sizeof(command) ||
	    iovec_read(chain->readable, chain->n_readable, 0, command, sizeof(command)))
		return ret;
	if (command[0] == VIRTIO_NET_CTRL_MAC && command[1] == VIRTIO_NET_CTRL_MAC_ADDR_SET) {
		memcpy(config->mac, command + 2, sizeof(config->mac));
		ret = VIRTIO_NET_OK;
	}
	return ret;
}

static bool control(struct vdpa *v)
{
	struct vdpa_queue *q = &v->queues[CONTROL];
	struct sim_net *s = v->state;
	struct virtqueue_chain chain;
	bool any = false;
	uint8_t status;

	if (!vdpa_has(v, VIRTIO_NET_F_CTRL_VQ))
		return false;
	while (vdpa_queue_usable(v, CONTROL) && fetch(q, &chain, s->send_iov) == 1) {
		any = true;
		/* Less than a command's head stays where it is. */
		if (chain.readable_size < 2)
			break;
		status = execute(v, &chain);
		if (chain.writable_size &&
		    !iovec_write(chain.writable, chain.n_writable, 0, &status, 1))
			chain.written = 1;
		virtqueue_used(&q->ring, &chain, 1);
		vdpa_queue_call(q);
	}
	return any;
}

/* ---- packets ---- */

/* Whether a packet that was sent is for us. */
static bool wanted(const struct vdpa *v, const uint8_t *packet, uint64_t size)
{
	const struct virtio_net_config *config = (const struct virtio_net_config *)v->config;
	size_t header = vdpa_has(v, VIRTIO_F_VERSION_1) ? sizeof(struct virtio_net_hdr_v1)
							: sizeof(struct virtio_net_hdr);

	if (size < header + sizeof(config->mac))
		return false;
	/* Compared as strings are: an address ends at a byte of 0. */
	return packet[header] & 1 || !strncmp((const char *)packet + header,
					      (const char *)config->mac, sizeof(config->mac));
}

/* Gives the packet to the driver.  False: it has no buffer. */
static bool receive(struct vdpa *v, uint64_t size)
{
	struct vdpa_queue *q = &v->queues[RX];
	struct sim_net *s = v->state;
	struct virtqueue_chain chain;

	if (!vdpa_queue_usable(v, RX) || fetch(q, &chain, s->receive_iov) != 1)
		return false;
	if (size > chain.writable_size)
		size = chain.writable_size;
	if (iovec_write(chain.writable, chain.n_writable, 0, s->packet, size))
		size = 0;
	chain.written = (uint32_t)size;
	virtqueue_used(&q->ring, &chain, 1);
	return true;
}

static bool packets(struct vdpa *v)
{
	struct vdpa_queue *q = &v->queues[TX];
	struct sim_net *s = v->state;
	struct virtqueue_chain chain;
	unsigned n;

	if (!v->queues[RX].live || !vdpa_queue_usable(v, TX))
		return false;
	for (n = 0; n < BATCH && fetch(q, &chain, s->send_iov) == 1; n++) {
		uint64_t size = chain.readable_size < PACKET ? chain.readable_size : PACKET;
		bool stop = false;

		if (size && !iovec_read(chain.readable, chain.n_readable, 0, s->packet, size) &&
		    wanted(v, s->packet, size))
			stop = !receive(v, size);
		virtqueue_used(&q->ring, &chain, 1);
		if (stop) {
			n++;
			break;
		}
	}
	vdpa_queue_signal(q);
	if (vdpa_queue_usable(v, RX))
		vdpa_queue_signal(&v->queues[RX]);
	return n;
}

static bool work(struct vdpa *v)
{
	bool any = control(v);

	if (vdpa_queue_usable(v, TX))
		virtqueue_disable_kicks(&v->queues[TX].ring);
	return packets(v) || any;
}

static bool rest(struct vdpa *v)
{
	bool more = v->queues[RX].live && vdpa_queue_rest(v, TX);

	return (vdpa_has(v, VIRTIO_NET_F_CTRL_VQ) && vdpa_queue_rest(v, CONTROL)) || more;
}

static const struct standin_key keys[] = {
	{"mac", "Ethernet address (default 00:00:00:00:00:00)"},
	{"mtu", "bytes of a packet (default 1500)"},
	{0},
};

const struct vdpa_model vdpa_net_sim = {
	.name = "net-sim",
	.longname = "the kernel's vdpa_sim_net",
	.keys = keys,
	.device_id = 1,
	.state_size = sizeof(struct sim_net),
	.create = create,
	.fill_config = fill_config,
	.config_writable = true,
	.work = work,
	.rest = rest,
};
