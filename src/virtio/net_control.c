/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A command is copied out of the driver's memory as a whole, up to the longest that is
 * understood (a MAC table is only measured), and answered with one byte.
 */
#include "virtio/net_control.h"

#include <errno.h>
#include <string.h>

#include "core/iovec.h"
#include "core/user.h"
#include "uapi/virtio_net.h"

#define F(bit) (UINT64_C(1) << (bit))

#define PIECES      64u
#define COMMAND_MAX 64u
#define VLANS       4096u

#define GUEST_OFFLOADS                                                                          \
	(F(VIRTIO_NET_F_GUEST_CSUM) | F(VIRTIO_NET_F_GUEST_TSO4) | F(VIRTIO_NET_F_GUEST_TSO6) | \
	 F(VIRTIO_NET_F_GUEST_ECN) | F(VIRTIO_NET_F_GUEST_UFO) | F(VIRTIO_NET_F_GUEST_USO4) |   \
	 F(VIRTIO_NET_F_GUEST_USO6))

struct command {
	uint8_t class, code;
	uint8_t data[COMMAND_MAX];
	uint64_t size; /* of the data, which may be more than there is here */
};

void virtio_net_control_reset(struct virtio_net_control *c, uint64_t features)
{
	c->features = features;
	c->pairs = 1;
	c->offloads = features & GUEST_OFFLOADS;
	c->announced = false;
	memset(c->rx_mode, 0, sizeof(c->rx_mode));
}

static bool has(const struct virtio_net_control *c, unsigned bit)
{
	return c->features & F(bit);
}

static bool receive_mode(struct virtio_net_control *c, const struct command *command)
{
	bool extra = command->code > VIRTIO_NET_CTRL_RX_ALLMULTI;

	if (!has(c, extra ? VIRTIO_NET_F_CTRL_RX_EXTRA : VIRTIO_NET_F_CTRL_RX) ||
	    command->code > VIRTIO_NET_CTRL_RX_NOBCAST || command->size != 1)
		return false;
	c->rx_mode[command->code] = command->data[0];
	return true;
}

/* Two tables, each a 32-bit number of entries and the entries. */
static bool mac_tables(const struct command *command)
{
	uint32_t entries;

	if (command->size < 2 * sizeof(entries))
		return false;
	memcpy(&entries, command->data, sizeof(entries));
	return entries <= (command->size - 2 * sizeof(entries)) / 6;
}

static bool set_mac(struct virtio_net_control *c, const struct command *command)
{
	if (command->code == VIRTIO_NET_CTRL_MAC_TABLE_SET)
		return has(c, VIRTIO_NET_F_CTRL_RX) && mac_tables(command);
	if (command->code != VIRTIO_NET_CTRL_MAC_ADDR_SET || !has(c, VIRTIO_NET_F_CTRL_MAC_ADDR) ||
	    command->size != sizeof(c->mac))
		return false;
	memcpy(c->mac, command->data, sizeof(c->mac));
	return true;
}

static bool set_vlan(const struct virtio_net_control *c, const struct command *command)
{
	uint16_t id;

	if (!has(c, VIRTIO_NET_F_CTRL_VLAN) || command->code > VIRTIO_NET_CTRL_VLAN_DEL ||
	    command->size != sizeof(id))
		return false;
	memcpy(&id, command->data, sizeof(id));
	return id < VLANS;
}

static bool set_pairs(struct virtio_net_control *c, const struct command *command)
{
	uint16_t pairs;

	if (!has(c, VIRTIO_NET_F_MQ) || command->code != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET ||
	    command->size != sizeof(pairs))
		return false;
	memcpy(&pairs, command->data, sizeof(pairs));
	if (pairs < VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN || pairs > c->pairs_max)
		return false;
	c->pairs = pairs;
	return true;
}

static bool set_offloads(struct virtio_net_control *c, const struct command *command)
{
	uint64_t offloads;

	if (!has(c, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) ||
	    command->code != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET ||
	    command->size != sizeof(offloads))
		return false;
	memcpy(&offloads, command->data, sizeof(offloads));
	if (offloads & ~(c->features & GUEST_OFFLOADS))
		return false;
	c->offloads = offloads;
	return true;
}

static bool execute(struct virtio_net_control *c, const struct command *command)
{
	switch (command->class) {
	case VIRTIO_NET_CTRL_RX:
		return receive_mode(c, command);
	case VIRTIO_NET_CTRL_MAC:
		return set_mac(c, command);
	case VIRTIO_NET_CTRL_VLAN:
		return set_vlan(c, command);
	case VIRTIO_NET_CTRL_ANNOUNCE:
		if (!has(c, VIRTIO_NET_F_GUEST_ANNOUNCE) ||
		    command->code != VIRTIO_NET_CTRL_ANNOUNCE_ACK)
			return false;
		c->announced = true;
		return true;
	case VIRTIO_NET_CTRL_MQ:
		return set_pairs(c, command);
	case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
		return set_offloads(c, command);
	}
	return false;
}

/* 0 or -EFAULT. */
static int read_command(const struct virtqueue_chain *chain, struct command *command)
{
	uint8_t bytes[2 + COMMAND_MAX] = {0};
	uint64_t have = chain->readable_size;

	if (have > sizeof(bytes))
		have = sizeof(bytes);
	if (iovec_read(chain->readable, chain->n_readable, 0, bytes, have))
		return -EFAULT;
	command->class = bytes[0];
	command->code = bytes[1];
	command->size = chain->readable_size - 2;
	memcpy(command->data, bytes + 2, COMMAND_MAX);
	return 0;
}

static int answer(struct virtio_net_control *c, struct virtqueue *vq, struct virtqueue_chain *chain)
{
	struct command command;
	uint8_t status = VIRTIO_NET_ERR;

	if (chain->readable_size < 2 || chain->writable_size < sizeof(status))
		return virtqueue_fail(vq, -EINVAL, "a command without its header or status");
	if (read_command(chain, &command) < 0)
		return virtqueue_fail(vq, -EFAULT, "no memory behind a command");
	if (execute(c, &command)) {
		status = VIRTIO_NET_OK;
		if (c->changed)
			c->changed(c);
	}
	if (copy_guarded(chain->writable[0].iov_base, &status, sizeof(status)) < 0)
		return virtqueue_fail(vq, -EFAULT, "no memory behind a status byte");
	chain->written = sizeof(status);
	return virtqueue_used(vq, chain, 1);
}

int virtio_net_control(struct virtio_net_control *c, struct virtqueue *vq)
{
	struct virtqueue_range ranges[PIECES];
	struct virtqueue_chain chain;
	struct iovec iov[PIECES];
	int n, result, done = 0;

	for (;;) {
		struct virtqueue_pool pool = {
			.iov = iov, .max_iov = PIECES, .ranges = ranges, .max_ranges = PIECES};

		n = virtqueue_fetch(vq, &chain, 1, &pool);
		if (n <= 0)
			return done ? done : n;
		result = answer(c, vq, &chain);
		if (result < 0) {
			virtqueue_drop(vq, &chain);
			return result;
		}
		done++;
	}
}
