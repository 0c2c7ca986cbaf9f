/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend/net_offload.h - what a sender left to its device: checksums and segmentation.
 *
 * The rules for a good header are those of the kernel's virtio_net_hdr_to_skb()
 * (include/linux/virtio_net.h), and virtio 1.2, 5.1.6.2.  Header and frame are a guest's, so
 * anything may be in them.
 */
#ifndef STANDIN_BACKEND_NET_OFFLOAD_H
#define STANDIN_BACKEND_NET_OFFLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/net.h"
#include "uapi/tun.h"

/* What the frames of one packet may take altogether. */
#define NET_OFFLOAD_BYTES_MAX (256u << 10)

/* Whether the header alone makes sense for a frame of `size` bytes: 0 or -EINVAL. */
int net_offload_check(const struct virtio_net_hdr *header, uint32_t size);

/* Whether something is left to do for a receiver that takes `offloads`. */
static inline bool net_offload_needed(const struct virtio_net_hdr *header, net_offloads offloads)
{
	net_offloads needs = header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM ? TUN_F_CSUM : 0;

	switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		needs |= TUN_F_TSO4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		needs |= TUN_F_TSO6;
		break;
	case VIRTIO_NET_HDR_GSO_UDP:
		needs |= TUN_F_UFO;
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		needs |= TUN_F_USO4 | TUN_F_USO6;
		break;
	default:
		break;
	}
	if (header->gso_type & VIRTIO_NET_HDR_GSO_ECN)
		needs |= TUN_F_TSO_ECN;
	return needs & ~offloads;
}

/* A packet that is being cut. */
struct net_offload {
	const uint8_t *frame;
	uint32_t size;
	unsigned n_frames;
	/* Of a packet to be segmented; headers is 0 if only a checksum is missing. */
	uint32_t headers; /* bytes of all headers, which each frame has */
	uint32_t segment; /* bytes of payload of all frames but the last */
	uint32_t l3, l4;  /* where these headers begin */
	bool ipv6, tcp;
	uint32_t csum_start, csum_at; /* csum_at 0: none is missing */
};

/*
 * `frame` is memory that nobody else changes, and stays the caller's.  0; -EINVAL: header
 * and frame don't fit each other; -EOPNOTSUPP: fragments (UFO) can't be made.
 */
int net_offload_begin(struct net_offload *o, const struct virtio_net_hdr *header,
		      const uint8_t *frame, uint32_t size);
/* The size of frame i of o->n_frames, and its bytes, complete. */
uint32_t net_offload_size(const struct net_offload *o, unsigned i);
void net_offload_frame(const struct net_offload *o, unsigned i, uint8_t *to);

#endif
