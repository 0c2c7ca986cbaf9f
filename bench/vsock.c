/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How fast bytes get from a guest's socket to a program of the host, and back.
 *
 *	bench-vsock unix	between two processes, over a Unix socket
 *	bench-vsock PATH	between a guest, which is this process, on the rings of
 *				/dev/vhost-vsock, and a child at the Unix sockets of PATH
 *
 * One figure a line: "to_host 1.23" and "to_guest", a stream in messages of 64 KiB, in GB/s;
 * "round_trip", of one byte, in us.  For `unix` the streams are called `stream`.
 *
 * The guest is as Linux's driver is in what the device sees: packets of up to 64 KiB in two
 * descriptors, receive buffers of 4 KiB, 128 descriptors in a ring, 256 KiB of credit and news of
 * it when less than 64 KiB are left.  It sleeps when it has nothing to do.
 */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "uapi/vhost.h"
#include "../tests/split_ring.h"

#define MESSAGE    65536u
#define STREAM_NS  UINT64_C(300000000)
#define ROUNDS     3000u
#define NUM        128u
#define RX         0u
#define TX         1u
#define BUFFER     4096u
#define HEADER     ((uint32_t)sizeof(struct virtio_vsock_hdr))
#define CREDIT     262144u
#define CID        42u
#define GUEST_PORT 1000u

#define BENCH_PORT(mode) (5000u + (unsigned)(mode))

enum mode { TO_HOST, TO_GUEST, ROUND_TRIP, MODES };
static const char *const mode_name[MODES] = {"to_host", "to_guest", "round_trip"};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void __attribute__((noreturn)) fail(const char *what)
{
	perror(what);
	exit(1);
}

static void print_stream(const char *name, uint64_t bytes, uint64_t ns)
{
	printf("%s %.3f\n", name, (double)bytes / (double)ns);
	fflush(stdout);
}

static void print_rounds(const char *name, uint64_t ns)
{
	printf("%s %.3f\n", name, (double)ns / 1e3 / ROUNDS);
	fflush(stdout);
}

/* ---- programs on Unix sockets ---- */

static void send_stream(int fd)
{
	static char data[MESSAGE];
	uint64_t end = now_ns() + STREAM_NS;

	memset(data, 1, sizeof(data));
	while (now_ns() < end)
		if (write(fd, data, sizeof(data)) < 0)
			fail("write");
	shutdown(fd, SHUT_WR);
}

static void receive_stream(int fd, const char *name)
{
	static char data[MESSAGE];
	uint64_t start = 0, bytes = 0;
	ssize_t n;

	memset(data, 1, sizeof(data));
	while ((n = read(fd, data, sizeof(data))) > 0) {
		if (!start)
			start = now_ns();
		bytes += (uint64_t)n;
	}
	if (n < 0)
		fail("read");
	print_stream(name, bytes, now_ns() - start);
}

static void echo(int fd)
{
	char byte;

	while (read(fd, &byte, 1) == 1)
		if (write(fd, &byte, 1) != 1)
			fail("write");
}

static void ask(int fd)
{
	uint64_t start = now_ns();
	char byte = 1;

	for (unsigned i = 0; i < ROUNDS; i++)
		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
			fail("round trip");
	print_rounds(mode_name[ROUND_TRIP], now_ns() - start);
}

static void measure_unix(bool stream)
{
	int pair[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		fail("socketpair");
	child = fork();
	if (child == 0) {
		close(pair[0]);
		if (stream)
			receive_stream(pair[1], "stream");
		else
			echo(pair[1]);
		exit(0);
	}
	close(pair[1]);
	if (stream)
		send_stream(pair[0]);
	else
		ask(pair[0]);
	close(pair[0]);
	waitpid(child, NULL, 0);
}

static int listen_at(const char *path, unsigned port)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s_%u", path, port);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 1))
		fail(a.sun_path);
	return fd;
}

/* The guest's peer, in a child of its own. */
static void host(const int *listeners)
{
	int fd;

	for (unsigned mode = 0; mode < MODES; mode++) {
		fd = accept(listeners[mode], NULL, NULL);
		if (fd < 0)
			fail("accept");
		if (mode == TO_HOST)
			receive_stream(fd, mode_name[mode]);
		else if (mode == TO_GUEST)
			send_stream(fd);
		else
			echo(fd);
		close(fd);
	}
}

/* ---- the guest ---- */

struct ring {
	SPLIT_RING(NUM, 4096);
	int kick;
	uint16_t seen, told; /* of used; of avail, that the device was told of */
};

static struct {
	int fd, call;
	struct ring ring[2];
	char received[NUM][BUFFER];
	struct virtio_vsock_hdr header[NUM / 2];
	char message[MESSAGE];
	/* The connection. */
	unsigned port;
	uint32_t sent, host_alloc, host_forwarded, got, got_told;
	uint64_t bytes;
	bool connected, ended, reset;
} guest __attribute__((aligned(4096)));

static void call(unsigned long cmd, const void *arg)
{
	if (ioctl(guest.fd, cmd, arg) < 0)
		fail("ioctl");
}

static void guest_start(void)
{
	struct {
		struct vhost_memory head;
		struct vhost_memory_region region;
	} memory = {{.nregions = 1},
		    {.guest_phys_addr = (uintptr_t)&guest,
		     .userspace_addr = (uintptr_t)&guest,
		     .memory_size = sizeof(guest)}};
	uint64_t features = UINT64_C(1) << VIRTIO_F_VERSION_1, cid = CID;
	int on = 1;

	guest.fd = open("/dev/vhost-vsock", O_RDWR);
	if (guest.fd < 0)
		fail("/dev/vhost-vsock");
	guest.call = eventfd(0, 0);
	call(VHOST_SET_OWNER, NULL);
	call(VHOST_SET_FEATURES, &features);
	call(VHOST_SET_MEM_TABLE, &memory);
	call(VHOST_VSOCK_SET_GUEST_CID, &cid);
	for (unsigned i = 0; i < 2; i++) {
		struct ring *r = &guest.ring[i];
		struct vhost_vring_state num = {i, NUM}, base = {i, 0};
		struct vhost_vring_addr a = {.index = i,
					     .desc_user_addr = (uintptr_t)r->desc,
					     .avail_user_addr = (uintptr_t)&r->avail,
					     .used_user_addr = (uintptr_t)&r->used};
		struct vhost_vring_file kick = {i, eventfd(0, 0)}, calls = {i, guest.call};

		r->kick = kick.fd;
		call(VHOST_SET_VRING_NUM, &num);
		call(VHOST_SET_VRING_BASE, &base);
		call(VHOST_SET_VRING_ADDR, &a);
		call(VHOST_SET_VRING_KICK, &kick);
		call(VHOST_SET_VRING_CALL, &calls);
	}
	for (unsigned i = 0; i < NUM; i++) {
		guest.ring[RX].desc[i] = (struct vring_desc){.addr = (uintptr_t)guest.received[i],
							     .len = BUFFER,
							     .flags = VRING_DESC_F_WRITE};
		guest.ring[RX].avail.ring[i] = (uint16_t)i;
	}
	guest.ring[RX].avail.idx = guest.ring[RX].told = NUM;
	guest.ring[TX].avail.flags = VRING_AVAIL_F_NO_INTERRUPT;
	memset(guest.message, 1, sizeof(guest.message));
	call(VHOST_VSOCK_SET_RUNNING, &on);
}

/* Tells the device of what is available, if it wants to be told. */
static void kick(struct ring *r)
{
	uint64_t one = 1;

	if (r->told == r->avail.idx)
		return;
	r->told = r->avail.idx;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!(__atomic_load_n(&r->used.flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY) &&
	    write(r->kick, &one, sizeof(one)) < 0)
		fail("kick");
}

static void make_available(struct ring *r, uint16_t head)
{
	r->avail.ring[r->avail.idx % NUM] = head;
	__atomic_store_n(&r->avail.idx, (uint16_t)(r->avail.idx + 1), __ATOMIC_RELEASE);
}

static bool anything_used(const struct ring *r)
{
	return __atomic_load_n(&r->used.idx, __ATOMIC_ACQUIRE) != r->seen;
}

/* Packets go out and come back in order: slot i is descriptors 2i and 2i + 1. */
static bool transmit(uint16_t op, uint32_t flags, uint32_t size)
{
	struct ring *r = &guest.ring[TX];
	unsigned slot = r->avail.idx % (NUM / 2);
	struct virtio_vsock_hdr *h = &guest.header[slot];

	r->seen = __atomic_load_n(&r->used.idx, __ATOMIC_ACQUIRE);
	if ((uint16_t)(r->avail.idx - r->seen) == NUM / 2)
		return false;
	*h = (struct virtio_vsock_hdr){.src_cid = CID,
				       .dst_cid = 2,
				       .src_port = GUEST_PORT,
				       .dst_port = guest.port,
				       .len = size,
				       .type = VIRTIO_VSOCK_TYPE_STREAM,
				       .op = op,
				       .flags = flags,
				       .buf_alloc = CREDIT,
				       .fwd_cnt = guest.got};
	guest.got_told = guest.got;
	r->desc[2 * slot] = (struct vring_desc){.addr = (uintptr_t)h,
						.len = HEADER,
						.flags = size ? VRING_DESC_F_NEXT : 0,
						.next = (uint16_t)(2 * slot + 1)};
	r->desc[2 * slot + 1] = (struct vring_desc){.addr = (uintptr_t)guest.message, .len = size};
	make_available(r, (uint16_t)(2 * slot));
	guest.sent += size;
	return true;
}

static void take_packet(const struct virtio_vsock_hdr *h)
{
	if (h->src_port != guest.port)
		return;
	guest.host_alloc = h->buf_alloc;
	guest.host_forwarded = h->fwd_cnt;
	switch (h->op) {
	case VIRTIO_VSOCK_OP_RESPONSE:
		guest.connected = true;
		break;
	case VIRTIO_VSOCK_OP_RW:
		guest.got += h->len;
		guest.bytes += h->len;
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		guest.ended = true;
		break;
	case VIRTIO_VSOCK_OP_RST:
		guest.ended = guest.reset = true;
		break;
	default:
		break;
	}
}

/* Whether there was anything. */
static bool receive(void)
{
	struct ring *r = &guest.ring[RX];
	bool any = false;

	while (anything_used(r)) {
		uint16_t id = (uint16_t)r->used.ring[r->seen++ % NUM].id;

		take_packet((const struct virtio_vsock_hdr *)(const void *)guest.received[id]);
		make_available(r, id);
		any = true;
	}
	if (CREDIT - (guest.got - guest.got_told) < 65536)
		transmit(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, 0);
	kick(&guest.ring[TX]);
	kick(r);
	return any;
}

/* Sleeps until a packet comes.  Credit ends before the transmit ring is full. */
static void wait_for_packet(void)
{
	struct ring *r = &guest.ring[RX];
	uint64_t n;

	__atomic_store_n(&r->avail.flags, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!anything_used(r) && read(guest.call, &n, sizeof(n)) < 0)
		fail("call");
	__atomic_store_n(&r->avail.flags, VRING_AVAIL_F_NO_INTERRUPT, __ATOMIC_RELAXED);
}

static void guest_connect(enum mode mode)
{
	guest.port = BENCH_PORT(mode);
	guest.sent = guest.got = guest.got_told = 0;
	guest.bytes = 0;
	guest.connected = guest.ended = guest.reset = false;
	transmit(VIRTIO_VSOCK_OP_REQUEST, 0, 0);
	kick(&guest.ring[TX]);
	while (!guest.connected) {
		if (!receive())
			wait_for_packet();
		if (guest.ended) {
			fprintf(stderr, "nobody listens\n");
			exit(1);
		}
	}
}

static void guest_send_stream(void)
{
	uint64_t end = now_ns() + STREAM_NS;
	bool more;

	while (now_ns() < end) {
		more = receive();
		while (guest.host_alloc - (guest.sent - guest.host_forwarded) >= MESSAGE &&
		       transmit(VIRTIO_VSOCK_OP_RW, 0, MESSAGE))
			more = true;
		kick(&guest.ring[TX]);
		if (!more)
			wait_for_packet();
	}
}

static void guest_receive_stream(void)
{
	uint64_t start = 0;

	while (!guest.ended) {
		if (!receive())
			wait_for_packet();
		if (!start && guest.bytes)
			start = now_ns();
	}
	print_stream(mode_name[TO_GUEST], guest.bytes, now_ns() - start);
}

static void guest_ask(void)
{
	uint64_t start = now_ns();

	for (unsigned i = 1; i <= ROUNDS; i++) {
		transmit(VIRTIO_VSOCK_OP_RW, 0, 1);
		kick(&guest.ring[TX]);
		while (guest.bytes < i)
			if (!receive())
				wait_for_packet();
	}
	print_rounds(mode_name[ROUND_TRIP], now_ns() - start);
}

static void guest_end(void)
{
	transmit(VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND,
		 0);
	kick(&guest.ring[TX]);
	while (!guest.reset)
		if (!receive())
			wait_for_packet();
}

static int measure_vsock(const char *path)
{
	int listeners[MODES], status = 0;
	pid_t child;

	for (unsigned mode = 0; mode < MODES; mode++)
		listeners[mode] = listen_at(path, BENCH_PORT(mode));
	child = fork();
	if (child == 0) {
		host(listeners);
		exit(0);
	}
	for (unsigned mode = 0; mode < MODES; mode++)
		close(listeners[mode]);
	guest_start();
	for (unsigned mode = 0; mode < MODES; mode++) {
		guest_connect(mode);
		if (mode == TO_HOST)
			guest_send_stream();
		else if (mode == TO_GUEST)
			guest_receive_stream();
		else
			guest_ask();
		guest_end();
	}
	close(guest.fd);
	waitpid(child, &status, 0);
	return status != 0;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: bench-vsock unix|PATH\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (strcmp(argv[1], "unix") != 0)
		return measure_vsock(argv[1]);
	measure_unix(true);
	measure_unix(false);
	return 0;
}
