/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checksums and segmentation in software.
 *
 * A packet that lacks only its checksum gets the sum from where its header says to the end:
 * the driver has left the pseudo header's sum in the field.  One that is to be segmented is
 * parsed, and each frame gets a copy of the headers with lengths, numbers, flags and
 * checksums of its own; what the headers say of lengths is not believed but written.
 */
#include "backend/net_offload.h"

#include <errno.h>
#include <string.h>

#define ETHER_HEADER  14u
#define VLAN_TAG      4u
#define IPV4_HEADER   20u
#define IPV6_HEADER   40u
#define TCP_HEADER    20u
#define UDP_HEADER    8u
#define EXTENSIONS    8u /* IPv6 headers before the transport's, at most */
#define ETHERTYPE_IP  0x0800
#define ETHERTYPE_IP6 0x86dd
#define ETHERTYPE_TAG 0x8100
#define ETHERTYPE_QIN 0x88a8
#define PROTO_TCP     6
#define PROTO_UDP     17
#define TCP_FIN       0x01
#define TCP_PSH       0x08
#define TCP_CWR       0x80

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

/* ---- sums (RFC 1071) ---- */

/* Adds the bytes as 16-bit numbers in memory order, which an even number of bytes precede. */
static uint64_t sum(uint64_t total, const uint8_t *at, size_t size)
{
	uint32_t word;
	uint16_t last = 0;

	for (; size >= sizeof(word); size -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		total += word;
	}
	if (size >= sizeof(last)) {
		memcpy(&last, at, sizeof(last));
		total += last;
		at += sizeof(last);
		size -= sizeof(last);
	}
	if (size) {
		last = 0;
		memcpy(&last, at, 1);
		total += last;
	}
	return total;
}

static uint16_t fold(uint64_t total)
{
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return (uint16_t)~total;
}

/* A number that is added as if it stood in the packet, high byte first. */
static uint64_t as_sent(uint16_t value)
{
	return __builtin_bswap16(value);
}

static void put_sum(uint8_t *at, uint64_t total)
{
	uint16_t result = fold(total);

	memcpy(at, &result, sizeof(result));
}

/* For TCP and UDP, where 0 would mean that there is none. */
static void put_transport_sum(uint8_t *at, uint64_t total)
{
	uint16_t result = fold(total);

	result = result ? result : 0xffff;
	memcpy(at, &result, sizeof(result));
}

/* ---- what a header may say ---- */

static uint32_t transport_header(uint8_t type)
{
	return type == VIRTIO_NET_HDR_GSO_TCPV4 || type == VIRTIO_NET_HDR_GSO_TCPV6 ? TCP_HEADER
										    : UDP_HEADER;
}

int net_offload_check(const struct virtio_net_hdr *header, uint32_t size)
{
	uint8_t type = header->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	uint32_t network = IPV4_HEADER, transport = 0, end;

	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		if (type != VIRTIO_NET_HDR_GSO_TCPV4 && type != VIRTIO_NET_HDR_GSO_TCPV6 &&
		    type != VIRTIO_NET_HDR_GSO_UDP && type != VIRTIO_NET_HDR_GSO_UDP_L4)
			return -EINVAL;
		if (!header->gso_size)
			return -EINVAL;
		transport = transport_header(type);
		if (type == VIRTIO_NET_HDR_GSO_TCPV6)
			network = IPV6_HEADER;
	}
	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		end = header->csum_offset + 2u;
		end = header->csum_start + (end > transport ? end : transport);
		if (end > size || header->csum_start < network)
			return -EINVAL;
	}
	return 0;
}

/* ---- parsing ---- */

/* Where the network header begins, and what it is; 0 if that is beyond the frame. */
static uint32_t skip_tags(const uint8_t *frame, uint32_t size, uint16_t *ret_type)
{
	uint32_t at = ETHER_HEADER;

	if (size < at)
		return 0;
	*ret_type = get16(frame + at - 2);
	while (*ret_type == ETHERTYPE_TAG || *ret_type == ETHERTYPE_QIN) {
		at += VLAN_TAG;
		if (size < at)
			return 0;
		*ret_type = get16(frame + at - 2);
	}
	return at;
}

static int parse_ipv4(struct net_offload *o, uint8_t *ret_protocol)
{
	const uint8_t *ip = o->frame + o->l3;
	uint32_t length;

	if (o->size - o->l3 < IPV4_HEADER || ip[0] >> 4 != 4)
		return -EINVAL;
	length = (ip[0] & 15u) * 4;
	if (length < IPV4_HEADER || length > o->size - o->l3)
		return -EINVAL;
	if (get16(ip + 6) & 0x3fff) /* a fragment */
		return -EINVAL;
	*ret_protocol = ip[9];
	o->l4 = o->l3 + length;
	return 0;
}

static int parse_ipv6(struct net_offload *o, uint8_t *ret_protocol)
{
	const uint8_t *ip = o->frame + o->l3;
	uint32_t at = o->l3 + IPV6_HEADER;
	uint8_t next;

	if (o->size < at || ip[0] >> 4 != 6)
		return -EINVAL;
	next = ip[6];
	/* Hop-by-hop, routing, destination options. */
	for (unsigned i = 0; next == 0 || next == 43 || next == 60; i++) {
		if (i == EXTENSIONS || o->size - at < 8)
			return -EINVAL;
		next = o->frame[at];
		at += (o->frame[at + 1] + 1u) * 8;
		if (at > o->size)
			return -EINVAL;
	}
	*ret_protocol = next;
	o->l4 = at;
	o->ipv6 = true;
	return 0;
}

static int parse(struct net_offload *o, const struct virtio_net_hdr *header)
{
	uint8_t type = header->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN, protocol;
	uint16_t ethertype;
	uint32_t length;
	int ret;

	if (type == VIRTIO_NET_HDR_GSO_UDP)
		return -EOPNOTSUPP;
	o->l3 = skip_tags(o->frame, o->size, &ethertype);
	if (!o->l3)
		return -EINVAL;
	if (ethertype == ETHERTYPE_IP && type != VIRTIO_NET_HDR_GSO_TCPV6)
		ret = parse_ipv4(o, &protocol);
	else if (ethertype == ETHERTYPE_IP6 && type != VIRTIO_NET_HDR_GSO_TCPV4)
		ret = parse_ipv6(o, &protocol);
	else
		return -EINVAL;
	if (ret)
		return ret;
	o->tcp = type != VIRTIO_NET_HDR_GSO_UDP_L4;
	if (protocol != (o->tcp ? PROTO_TCP : PROTO_UDP))
		return -EINVAL;
	if ((header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && header->csum_start != o->l4)
		return -EINVAL;
	length = o->tcp ? TCP_HEADER : UDP_HEADER;
	if (length > o->size - o->l4)
		return -EINVAL;
	if (o->tcp)
		length = (o->frame[o->l4 + 12] >> 4) * 4u;
	if (length < TCP_HEADER && o->tcp)
		return -EINVAL;
	if (length > o->size - o->l4)
		return -EINVAL;
	o->headers = o->l4 + length;
	return 0;
}

int net_offload_begin(struct net_offload *o, const struct virtio_net_hdr *header,
		      const uint8_t *frame, uint32_t size)
{
	uint32_t payload;
	int ret = net_offload_check(header, size);

	if (ret)
		return ret;
	*o = (struct net_offload){.frame = frame, .size = size, .n_frames = 1};
	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
			o->csum_start = header->csum_start;
			o->csum_at = (uint32_t)header->csum_start + header->csum_offset;
		}
		return 0;
	}
	ret = parse(o, header);
	if (ret)
		return ret;
	payload = size - o->headers;
	o->segment = header->gso_size;
	if (payload > o->segment)
		o->n_frames = (payload + o->segment - 1) / o->segment;
	/* What a frame's length fields can't say, and so many frames that nobody wants them. */
	if (net_offload_size(o, 0) - o->l3 > UINT16_MAX ||
	    (uint64_t)o->n_frames * o->headers + payload > NET_OFFLOAD_BYTES_MAX)
		return -EINVAL;
	return 0;
}

/* ---- frames ---- */

uint32_t net_offload_size(const struct net_offload *o, unsigned i)
{
	uint32_t left;

	if (!o->headers)
		return o->size;
	left = o->size - o->headers - i * o->segment;
	return o->headers + (left < o->segment ? left : o->segment);
}

static uint64_t pseudo_header(const struct net_offload *o, const uint8_t *frame, uint32_t length)
{
	const uint8_t *ip = frame + o->l3;
	uint64_t total = o->ipv6 ? sum(0, ip + 8, 32) : sum(0, ip + 12, 8);

	return total + as_sent(o->tcp ? PROTO_TCP : PROTO_UDP) + as_sent((uint16_t)length);
}

static void finish_network(const struct net_offload *o, unsigned i, uint8_t *ip, uint32_t length)
{
	if (o->ipv6) {
		put16(ip + 4, length - IPV6_HEADER);
		return;
	}
	put16(ip + 2, length);
	put16(ip + 4, get16(ip + 4) + i);
	put16(ip + 10, 0);
	put_sum(ip + 10, sum(0, ip, o->l4 - o->l3));
}

static void finish_transport(const struct net_offload *o, unsigned i, uint8_t *to, uint32_t length)
{
	uint8_t *l4 = to + o->l4, *check = l4 + (o->tcp ? 16 : 6);

	if (o->tcp) {
		put32(l4 + 4, get32(l4 + 4) + i * o->segment);
		if (i)
			l4[13] &= (uint8_t)~TCP_CWR;
		if (i + 1 < o->n_frames)
			l4[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	} else {
		put16(l4 + 4, length);
	}
	put16(check, 0);
	put_transport_sum(check, sum(pseudo_header(o, to, length), l4, length));
}

void net_offload_frame(const struct net_offload *o, unsigned i, uint8_t *to)
{
	uint32_t size = net_offload_size(o, i);

	if (!o->headers) {
		memcpy(to, o->frame, size);
		if (o->csum_at)
			put_transport_sum(to + o->csum_at,
					  sum(0, to + o->csum_start, size - o->csum_start));
		return;
	}
	memcpy(to, o->frame, o->headers);
	memcpy(to + o->headers, o->frame + o->headers + (size_t)i * o->segment, size - o->headers);
	finish_network(o, i, to + o->l3, size - o->l3);
	finish_transport(o, i, to, size - o->l4);
}
