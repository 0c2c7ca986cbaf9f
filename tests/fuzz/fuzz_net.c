/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the other side of a link can send, and what a guest can ask of it: a stream of bytes
 * in place of frames with their lengths, in pieces as they come; the same at the switch of a
 * hub; and packets with any virtio-net header and any bytes, to be cut into frames.  Frames
 * must be of a size that there is, lie in the buffer, and come out as they went in; those
 * that are cut must be whole, for a receiver that takes nothing unfinished.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/net_socket.h"
#include "backend/net_stream.h"
#include "core/hostfd.h"
#include "fuzz.h"

#define PIECES     32
#define FRAMES     16
#define OFFLOADS   (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6)
#define FRAME_SIZE 70000u

/* ---- a stream ---- */

/* What a reader of the whole stream would find next, from *at on: its size, or 0. */
static uint32_t expected(const uint8_t *bytes, size_t end, size_t *at)
{
	uint32_t size;

	while (end - *at >= sizeof(size)) {
		memcpy(&size, bytes + *at, sizeof(size));
		size = ntohl(size);
		if (size > NET_FRAME_MAX || end - *at - sizeof(size) < size)
			return 0;
		*at += sizeof(size);
		if (size >= ETHER_HEADER)
			return size;
		*at += size;
	}
	return 0;
}

static void fuzz_stream(struct input *in)
{
	struct net_arrival arrivals[FRAMES];
	const uint8_t *bytes = in->data;
	struct net_stream stream;
	size_t sent = 0, at = 0, total = in->left;
	int pair[2], ret = 0;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	CHECK(net_stream_init(&stream) == 0);
	net_stream_connect(&stream, hostfd_adopt(pair[0]));
	for (unsigned piece = 0; sent < total && ret == 0; piece++) {
		/* The last piece is all the rest; the others are as long as their first byte says.
		 */
		size_t size = piece < PIECES ? bytes[sent] + 1u : total - sent;
		unsigned n;
		ssize_t done;

		size = size < total - sent ? size : total - sent;
		done = write(pair[1], bytes + sent, size);
		CHECK(done > 0);
		sent += (size_t)done;
		ret = net_stream_fill(&stream);
		CHECK(ret == 0 || ret == -EPROTO);
		while (ret == 0 && (n = net_stream_peek(&stream, arrivals, FRAMES))) {
			for (unsigned i = 0; i < n; i++) {
				CHECK(expected(bytes, sent, &at) == arrivals[i].size);
				CHECK(memcmp(arrivals[i].data, bytes + at, arrivals[i].size) == 0);
				at += arrivals[i].size;
			}
			net_stream_consume(&stream, n);
		}
		CHECK(ret || expected(bytes, sent, &(size_t){at}) == 0);
	}
	net_stream_finish(&stream);
	close(pair[1]);
}

/* ---- the switch of a hub ---- */

static struct sockaddr_un hub;

static void stop_hub(void)
{
	unlink(hub.sun_path);
}

static void start_hub(void)
{
	struct net_switch *served;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	hub.sun_family = AF_UNIX;
	snprintf(hub.sun_path, sizeof(hub.sun_path), "/tmp/standin-fuzz-net-%d", getpid());
	CHECK(bind(fd, (struct sockaddr *)&hub, sizeof(hub)) == 0 && listen(fd, 16) == 0);
	atexit(stop_hub);
	CHECK(net_switch_start(hostfd_adopt(fd), &served) == 0);
}

/* Two stations, one of which sends whatever there is; the other must get frames. */
static void fuzz_switch(struct input *in)
{
	static const uint8_t last[] = {0,   0,   0,   14,  255, 255, 255, 255, 255,
				       255, 0xa, 0xb, 0xc, 0xd, 0xe, 0xf, 0,   0};
	struct timeval limit = {.tv_sec = 5};
	int a = socket(AF_UNIX, SOCK_STREAM, 0), b = socket(AF_UNIX, SOCK_STREAM, 0);
	uint8_t frame[NET_FRAME_MAX];
	uint32_t size;
	ssize_t done;

	CHECK(connect(a, (struct sockaddr *)&hub, sizeof(hub)) == 0);
	CHECK(connect(b, (struct sockaddr *)&hub, sizeof(hub)) == 0);
	setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	done = send(a, in->data, in->left, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(a);
	/* Then somebody who sends what is right must be heard, as in any switch. */
	a = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(done >= -1 && connect(a, (struct sockaddr *)&hub, sizeof(hub)) == 0);
	CHECK(send(a, last, sizeof(last), MSG_NOSIGNAL) == sizeof(last));
	do {
		CHECK(recv(b, &size, sizeof(size), MSG_WAITALL) == sizeof(size));
		size = ntohl(size);
		CHECK(size >= ETHER_HEADER && size <= NET_FRAME_MAX);
		CHECK(recv(b, frame, size, MSG_WAITALL) == (ssize_t)size);
	} while (size != 14 || memcmp(frame, last + 4, 14) != 0);
	close(a);
	close(b);
}

/* ---- packets ---- */

static uint8_t frame[FRAME_SIZE];

/* Bytes that are often headers: of IPv4 or IPv6, with TCP or UDP. */
static void make_frame(struct input *in, uint8_t what, uint32_t size)
{
	memset(frame, take8(in), size);
	take(in, frame, in->left < size ? in->left : size);
	if (!(what & 1) || size < 14 + 40 + 20)
		return;
	frame[12] = what & 2 ? 0x86 : 0x08;
	frame[13] = what & 2 ? 0xdd : 0x00;
	frame[14] = what & 2 ? 0x60 : 0x45;
	frame[what & 2 ? 20 : 23] = what & 4 ? 17 : 6;
	frame[(what & 2 ? 54 : 34) + 12] = what & 8 ? 0x50 : 0x80;
}

static void fuzz_packets(struct input *in, const char *spec)
{
	char error[NET_ERROR_MAX];
	struct net_arrival arrivals[FRAMES];
	net_offloads offloads = take16(in) & OFFLOADS;
	struct net_stats stats;
	struct net_port *port;
	unsigned n, sent = 0;

	CHECK(net_open(spec, "fuzz", 1, &port, error) == 0);
	CHECK(net_set_offloads(port, offloads) == 0);
	for (unsigned i = 0; i < 4 && in->left; i++) {
		struct net_packet p = {0};
		struct iovec iov[2];
		uint8_t what = take8(in);

		p.size = take16(in) + (what & 16 ? take16(in) % (FRAME_SIZE - UINT16_MAX) : 0u);
		take(in, &p.header, sizeof(p.header));
		if (what & 32) /* mostly what there is */
			p.header.gso_type = (uint8_t[]){0, 1, 3, 4, 5}[p.header.gso_type % 5];
		if (what & 64)
			p.header.gso_size %= 1500;
		make_frame(in, what, p.size);
		iov[0] = (struct iovec){frame, take16(in) % (p.size + 1u)};
		iov[1] = (struct iovec){frame + iov[0].iov_len, p.size - iov[0].iov_len};
		p.iov = iov;
		p.n_iov = 2;
		sent += net_send(port, 0, &p, 1);
		while ((n = net_peek(port, 0, arrivals, FRAMES))) {
			for (unsigned a = 0; a < n; a++) {
				CHECK(arrivals[a].size >= ETHER_HEADER);
				CHECK(arrivals[a].size <= NET_FRAME_MAX);
				CHECK(!net_offload_needed(&arrivals[a].header, offloads));
				CHECK(net_offload_check(&arrivals[a].header, arrivals[a].size) ==
				      0);
			}
			net_consume(port, 0, n);
		}
	}
	net_stats(port, &stats);
	CHECK(sent == 4 || !in->left);
	net_close(port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	if (!hub.sun_family)
		start_hub();
	switch (take8(&in) % 8) {
	case 0:
	case 1:
	case 2:
		fuzz_stream(&in);
		break;
	case 3:
		fuzz_switch(&in);
		break;
	case 4:
		fuzz_packets(&in, "pcap=/dev/null");
		break;
	default:
		fuzz_packets(&in, "loopback");
	}
	return 0;
}
