/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost/net*: packets on their way between a guest's driver and each kind of wire that can be had.
 * What ioctls answer, and what a transmit ring does with nonsense, tests/conformance
 * compares with the kernel.
 */
#include "vhost_net_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include <standin/standin.h>

#include "uapi/tun.h"

static char sent[FRAME_MAX], got[FRAME_MAX];

/* The header that a wire's packets have. */
static uint32_t wire_header(const struct wire *w, const struct guest *g)
{
	return w->headers && !(g->features & OWN) ? g->header : 0;
}

static void expect_frame(long size, size_t expected, unsigned seed)
{
	assert_int_equal(size, expected);
	make_frame(sent, expected, seed);
	assert_memory_equal(got, sent, expected);
}

/* ---- headers and buffers ---- */

static const uint32_t *const layouts[] = {
	(const uint32_t[]){12, 100, 0},        /* the header apart */
	(const uint32_t[]){112, 0},            /* and not */
	(const uint32_t[]){3, 30, 1, 70, 8, 0} /* nor at a border */
};

/* Of a header of `header` bytes and a frame of 100: pieces, and their number. */
static unsigned layout(unsigned which, uint32_t header, uint32_t sizes[8])
{
	unsigned n = 0;

	for (; layouts[which][n]; n++)
		sizes[n] = layouts[which][n];
	sizes[0] -= which < 2 ? 12 - header : 0;
	sizes[n - 1] -= which < 2 ? 0 : 12 - header;
	return n;
}

static void send_layouts(const struct wire *w, struct guest *g)
{
	uint32_t header = wire_header(w, g), sizes[8];
	int backend = w->open(header);
	struct vring_used_elem e;

	for (unsigned i = 0; i < 3; i++) {
		unsigned n = layout(i, g->header, sizes), head = g->ring[TX].next;

		make_frame(sent, 100, i);
		assert_int_equal(guest_backend(g, TX, backend), 0);
		guest_send(g, sent, sizes, n);
		assert_true(ring_used(&g->ring[TX], &e));
		assert_int_equal(e.id, head);
		assert_int_equal(e.len, 0);
		assert_int_equal(guest_backend(g, TX, -1), 0);
		expect_frame(w->get(backend, header, got), 100, i);
	}
	w->close(backend);
}

static void receive_layouts(const struct wire *w, struct guest *g)
{
	uint32_t header = wire_header(w, g), sizes[8];
	int backend = w->open(header);
	struct virtio_net_hdr h;
	unsigned chains;

	assert_int_equal(guest_backend(g, RX, backend), 0);
	for (unsigned i = 0; i < 3; i++) {
		unsigned n = layout(i, g->header, sizes);

		sizes[n - 1] += 50; /* room that isn't needed */
		memset(g->ring[RX].area, 0xee, sizeof(g->ring[RX].area));
		guest_give(g, sizes, n);
		make_frame(sent, 100, i);
		w->put(backend, header, sent, 100);
		expect_frame(guest_receive(g, got, &h, &chains), 100, i);
		assert_int_equal(chains, 1);
		assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		assert_int_equal(h.hdr_len, 0);
	}
	assert_int_equal(guest_backend(g, RX, -1), 0);
	w->close(backend);
}

/* Runs on each wire that there is, with the guest's features. */
static void on_wires(uint64_t features, void (*run)(const struct wire *w, struct guest *g))
{
	for (unsigned i = 0; i < WIRES; i++) {
		/* A packet socket has no headers, so vhost has to make them. */
		struct guest *g = guest_create(features | (wires[i].headers ? 0 : OWN));
		int backend = wires[i].open(wire_header(&wires[i], g));

		if (backend >= 0) {
			wires[i].close(backend);
			run(&wires[i], g);
		}
		guest_destroy(g);
	}
}

static void test_headers(void **state)
{
	static const uint64_t features[] = {0,   MERGEABLE,      VERSION_1, MERGEABLE | VERSION_1,
					    OWN, OWN | MERGEABLE};

	for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		on_wires(features[i], send_layouts);
		on_wires(features[i], receive_layouts);
	}
}

/* Frames of all sizes, big ones after small ones and the other way round. */
static void merge(const struct wire *w, struct guest *g)
{
	static const uint32_t sizes[] = {60, 1400, 9000, 9000, 60, 30000, 30000, 59000, 60, 4097};
	uint32_t header = wire_header(w, g), room = AREA;
	int backend = w->open(header);
	unsigned chains;

	assert_int_equal(guest_backend(g, RX, backend), 0);
	for (unsigned i = 0; i < NUM; i++)
		guest_give(g, &room, 1);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		make_frame(sent, sizes[i], i);
		w->put(backend, header, sent, sizes[i]);
		expect_frame(guest_receive(g, got, NULL, &chains), sizes[i], i);
		assert_int_equal(chains, (12 + sizes[i] + AREA - 1) / AREA);
		while (chains--)
			guest_give(g, &room, 1);
	}
	assert_int_equal(guest_backend(g, RX, -1), 0);
	w->close(backend);
}

static void test_mergeable(void **state)
{
	on_wires(MERGEABLE, merge);
	on_wires(MERGEABLE | EVENT_IDX | VERSION_1, merge);
}

/* What one buffer is too small for is lost, and the next one is not. */
static void too_big(const struct wire *w, struct guest *g)
{
	static const uint32_t room[] = {12, 500}, big[] = {12, AREA, AREA};
	uint32_t header = wire_header(w, g);
	int backend = w->open(header);

	assert_int_equal(guest_backend(g, RX, backend), 0);
	guest_give(g, room, 2);
	for (unsigned i = 0; i < 4; i++) {
		make_frame(sent, 503 + i * 2000, i);
		w->put(backend, header, sent, 503 + i * 2000);
	}
	make_frame(sent, 490, 9);
	w->put(backend, header, sent, 490);
	expect_frame(guest_receive(g, got, NULL, NULL), 490, 9);
	guest_give(g, big, 3);
	make_frame(sent, 8000, 10);
	w->put(backend, header, sent, 8000);
	expect_frame(guest_receive(g, got, NULL, NULL), 8000, 10);
	assert_int_equal(guest_backend(g, RX, -1), 0);
	w->close(backend);
}

static void test_too_big(void **state)
{
	on_wires(0, too_big);
	on_wires(VERSION_1, too_big);
}

/* ---- rings that are empty or full ---- */

#define FRAMES 8u /* as many as any wire has room for */

static void no_buffers(const struct wire *w, struct guest *g)
{
	uint32_t header = wire_header(w, g), room = AREA;
	int backend = w->open(header);
	struct net_ring *r = &g->ring[RX];

	assert_int_equal(guest_backend(g, RX, backend), 0);
	for (unsigned i = 0; i < FRAMES; i++) {
		make_frame(sent, 9000, i);
		w->put(backend, header, sent, 9000);
	}
	/* Two buffers aren't enough, and are not used. */
	guest_give(g, &room, 1);
	guest_give(g, &room, 1);
	guest_settle(g, RX);
	assert_int_equal(r->used.idx, 0);
	for (unsigned i = 0; i < FRAMES; i++) {
		for (unsigned given = 0; given < 3; given++)
			guest_give(g, &room, 1);
		expect_frame(guest_receive(g, got, NULL, NULL), 9000, i);
	}
	assert_int_equal(guest_settle(g, RX), r->used.idx);
	assert_int_equal(guest_backend(g, RX, -1), 0);
	w->close(backend);
}

static void test_no_buffers(void **state)
{
	on_wires(MERGEABLE, no_buffers);
}

/* The wire takes no more; the ring goes on when it does. */
static void test_no_room(void **state)
{
	const struct wire *w = &wires[0];
	struct guest *g = guest_create(MERGEABLE);
	uint32_t size = 12 + 4000, room = AREA;
	int backend = w->open(12);
	unsigned done = 0, n = 2000; /* more than a stood-in tap has room for */
	struct vring_used_elem e;

	assert_int_equal(guest_backend(g, TX, backend), 0);
	for (unsigned i = 0; i < NUM; i++, done++) {
		make_frame(sent, 4000, done);
		guest_send(g, sent, &size, 1);
	}
	while (done < n && (uint16_t)(g->ring[TX].avail.idx - g->ring[TX].seen) == NUM) {
		for (int ms = 0; ms < 200 && g->ring[TX].used.idx == g->ring[TX].seen; ms++)
			usleep(1000);
		if (g->ring[TX].used.idx == g->ring[TX].seen)
			break;
		assert_true(ring_used(&g->ring[TX], &e));
		make_frame(sent, 4000, done++);
		guest_send(g, sent, &size, 1);
	}
	assert_true(done < n);
	for (unsigned i = 0; i < NUM; i++)
		guest_give(g, &room, 1);
	assert_int_equal(guest_backend(g, RX, backend), 0);
	for (unsigned i = 0; i < done; i++) {
		expect_frame(guest_receive(g, got, NULL, NULL), 4000, i);
		guest_give(g, &room, 1);
	}
	while (g->ring[TX].seen != g->ring[TX].avail.idx)
		assert_true(ring_used(&g->ring[TX], &e));
	guest_destroy(g);
	w->close(backend);
}

/* ---- backends ---- */

static void swap(const struct wire *w, struct guest *g)
{
	uint32_t header = wire_header(w, g), size = g->header + 200;
	int first = w->open(header), second;
	struct net_ring *r = &g->ring[TX];
	struct vring_used_elem e;
	int pair[2];

	make_frame(sent, 200, 1);
	assert_int_equal(guest_backend(g, TX, first), 0);
	guest_send(g, sent, &size, 1);
	assert_true(ring_used(r, &e));
	/* None: what is sent waits. */
	assert_int_equal(guest_backend(g, TX, -1), 0);
	guest_send(g, sent, &size, 1);
	assert_int_equal(guest_settle(g, TX), 1);
	assert_int_equal(r->used.idx, 1);
	expect_frame(w->get(first, header, got), 200, 1);
	/* What is none changes nothing. */
	assert_int_equal(pipe(pair), 0);
	assert_int_equal(guest_backend(g, TX, pair[0]), -ENOTSOCK);
	close(pair[0]);
	close(pair[1]);
	w->close(first);
	second = w->open(header);
	make_frame(sent, 200, 2);
	memcpy(r->area[1] + g->header, sent, 200);
	assert_int_equal(guest_backend(g, TX, second), 0);
	assert_true(ring_used(r, &e));
	assert_int_equal(e.id, 1);
	/* The same once more is nothing new. */
	assert_int_equal(guest_backend(g, TX, second), 0);
	assert_int_equal(guest_backend(g, TX, -1), 0);
	expect_frame(w->get(second, header, got), 200, 2);
	w->close(second);
}

static void test_backends(void **state)
{
	on_wires(MERGEABLE, swap);
	on_wires(0, swap);
}

/* The guest sends and receives while its backend comes and goes: nothing is doubled or mixed up. */
static void test_backends_under_load(void **state)
{
	const struct wire *w = &wires[0];
	struct guest *g = guest_create(MERGEABLE);
	uint32_t size = 12 + 600, room = AREA;
	int backend = w->open(12);
	struct vring_used_elem e;
	unsigned last = 0;

	for (unsigned i = 0; i < NUM; i++)
		guest_give(g, &room, 1);
	assert_int_equal(guest_backend(g, RX, backend), 0);
	for (unsigned i = 1; i <= 500; i++) {
		assert_int_equal(guest_backend(g, TX, backend), 0);
		make_frame(sent, 600, i);
		memcpy(sent + 100, &i, sizeof(i));
		guest_send(g, sent, &size, 1);
		if (i % 3 == 0)
			assert_int_equal(guest_backend(g, RX, -1), 0);
		if (i % 5 == 0)
			assert_int_equal(guest_backend(g, TX, -1), 0);
		assert_int_equal(guest_backend(g, RX, backend), 0);
		assert_int_equal(guest_backend(g, TX, backend), 0);
		assert_true(ring_used(&g->ring[TX], &e));
	}
	/* At most the packet that was kept when a backend went is lost. */
	while (last < 500) {
		unsigned number;

		assert_int_equal(guest_receive(g, got, NULL, NULL), 600);
		memcpy(&number, got + 100, sizeof(number));
		assert_true(number > last && number <= 500);
		last = number;
		guest_give(g, &room, 1);
	}
	guest_destroy(g);
	w->close(backend);
}

/* Two queue pairs of one tap, each with a vhost file. */
static void test_queue_pairs(void **state)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE};
	uint32_t size = 12 + 300, room = AREA;
	struct guest *g[2];
	int tap[2], header = 12;

	for (unsigned q = 0; q < 2; q++) {
		g[q] = guest_create(MERGEABLE);
		tap[q] = standin_open("/dev/net/tun", O_RDWR | O_NONBLOCK);
		assert_int_equal(standin_ioctl(tap[q], TUNSETIFF, &request), 0);
		assert_int_equal(standin_ioctl(tap[q], TUNSETVNETHDRSZ, &header), 0);
		for (unsigned i = 0; i < 2; i++)
			assert_int_equal(guest_backend(g[q], i, tap[q]), 0);
		for (unsigned i = 0; i < 8; i++)
			guest_give(g[q], &room, 1);
	}
	for (unsigned i = 0; i < 8; i++)
		for (unsigned q = 0; q < 2; q++) {
			make_frame(sent, 300, 2 * i + q);
			guest_send(g[q], sent, &size, 1);
		}
	for (unsigned q = 0; q < 2; q++)
		for (unsigned i = 0; i < 8; i++)
			expect_frame(guest_receive(g[q], got, NULL, NULL), 300, 2 * i + q);
	for (unsigned q = 0; q < 2; q++) {
		guest_destroy(g[q]);
		standin_close(tap[q]);
	}
}

/* ---- offloads ---- */

/* A TCP segment bigger than the path: whole for a guest that takes such, else in pieces. */
static void test_offload(void **state)
{
	static const uint32_t out[] = {12, 54, 3000}, room = AREA;
	struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				   .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
				   .hdr_len = 54,
				   .gso_size = 1000,
				   .csum_start = 34,
				   .csum_offset = 16};
	static const uint8_t ip[] = {0x45, 0, 0x0b, 0xe0, 0, 1, 0,  0, 64, 6,
				     0,    0, 10,   0,    0, 1, 10, 0, 0,  2};
	const struct wire *w = &wires[0];
	struct guest *g = guest_create(MERGEABLE);
	int backend = w->open(12);
	struct virtio_net_hdr in;
	char frame[3054];
	unsigned head;

	make_frame(frame, sizeof(frame), 1);
	frame[12] = 8;
	frame[13] = 0;
	memcpy(frame + 14, ip, sizeof(ip));
	frame[46] = 0x50; /* a TCP header of 20 bytes */
	for (unsigned i = 0; i < 16; i++)
		guest_give(g, &room, 1);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(guest_backend(g, i, backend), 0);
	for (unsigned whole = 0; whole < 2; whole++) {
		assert_int_equal(
			standin_ioctl(backend, TUNSETOFFLOAD, whole ? TUN_F_CSUM | TUN_F_TSO4 : 0),
			0);
		head = g->ring[TX].next;
		memset(g->ring[TX].area[head], 0, 12);
		memcpy(g->ring[TX].area[head], &h, sizeof(h));
		memcpy(g->ring[TX].area[head + 1], frame, 54);
		memcpy(g->ring[TX].area[head + 2], frame + 54, 3000);
		ring_add(&g->ring[TX], out, 3, false);
		ring_kick(&g->ring[TX]);
		for (unsigned i = 0; i < (whole ? 1 : 3); i++) {
			assert_int_equal(guest_receive(g, got, &in, NULL), whole ? 3054 : 1054);
			assert_memory_equal(got + 54, frame + 54 + 1000 * i, 1000);
			if (whole)
				assert_memory_equal(&in, &h, sizeof(h));
			else
				assert_int_equal(in.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		}
	}
	guest_destroy(g);
	w->close(backend);
}

/* ---- signals ---- */

static void send_one(struct guest *g)
{
	uint32_t size = g->header + 60;
	struct vring_used_elem e;

	guest_send(g, sent, &size, 1);
	assert_true(ring_used(&g->ring[TX], &e));
	guest_settle(g, TX); /* and so it has signalled if it does */
}

static void test_signals(void **state)
{
	const struct wire *w = &wires[0];
	struct guest *g = guest_create(0);
	struct net_ring *r = &g->ring[TX];
	int backend = w->open(10);

	make_frame(sent, 60, 1);
	assert_int_equal(guest_backend(g, TX, backend), 0);
	send_one(g);
	assert_int_equal(signals(r->call), 1);
	r->avail.flags = VRING_AVAIL_F_NO_INTERRUPT;
	send_one(g);
	assert_int_equal(signals(r->call), 0);
	/* It wants kicks again when it has nothing to do. */
	assert_int_equal(r->used.flags, 0);
	guest_destroy(g);

	g = guest_create(ON_EMPTY);
	r = &g->ring[TX];
	r->avail.flags = VRING_AVAIL_F_NO_INTERRUPT;
	assert_int_equal(guest_backend(g, TX, backend), 0);
	send_one(g);
	assert_int_equal(signals(r->call), 1);
	guest_destroy(g);

	g = guest_create(EVENT_IDX);
	r = &g->ring[TX];
	assert_int_equal(guest_backend(g, TX, backend), 0);
	send_one(g); /* the first is always told */
	assert_int_equal(signals(r->call), 1);
	r->avail.used_event = 3;
	for (unsigned i = 1; i < 8; i++) {
		send_one(g);
		assert_int_equal(signals(r->call), i == 3);
		assert_int_equal(r->used.avail_event, i + 1);
	}
	guest_destroy(g);
	w->close(backend);
}

/* ---- nonsense ---- */

/* A table of n descriptors of `length` bytes at the memory of descriptor 0. */
static void indirect(struct net_ring *r, struct vring_desc *table, unsigned n, uint32_t length,
		     unsigned flags)
{
	for (unsigned i = 0; i < n; i++)
		table[i] = (struct vring_desc){
			.addr = (uintptr_t)r->area[0],
			.len = length,
			.flags = (uint16_t)(flags | (i + 1 < n ? VRING_DESC_F_NEXT : 0)),
			.next = (uint16_t)(i + 1)};
	r->desc[0] = (struct vring_desc){.addr = (uintptr_t)table,
					 .len = n * (uint32_t)sizeof(*table),
					 .flags = VRING_DESC_F_INDIRECT};
}

#define DESC(address, length, f, n) \
	((struct vring_desc){       \
		.addr = (uintptr_t)(address), .len = (length), .flags = (f), .next = (n)})

static struct vring_desc table[2000];

static void no_such_head(struct net_ring *r)
{
	r->avail.ring[0] = NUM;
}

static void no_such_next(struct net_ring *r)
{
	r->desc[0] = DESC(r->area, 64, VRING_DESC_F_NEXT, NUM);
}

static void a_loop(struct net_ring *r)
{
	r->desc[0] = DESC(r->area, 64, VRING_DESC_F_NEXT, 0);
}

static void a_jump(struct net_ring *r)
{
	r->avail.idx = NUM + 1;
}

static void odd_table(struct net_ring *r)
{
	indirect(r, table, 2, 64, 0);
	r->desc[0].len--;
}

static void table_in_table(struct net_ring *r)
{
	indirect(r, table, 2, 64, VRING_DESC_F_INDIRECT);
}

static void long_table(struct net_ring *r)
{
	indirect(r, table, 1500, 1, 0);
}

static void no_table(struct net_ring *r)
{
	r->desc[0] = DESC(4096, 64, VRING_DESC_F_INDIRECT, 0);
}

static void wraps(struct net_ring *r)
{
	r->desc[0] = DESC(UINT64_MAX - 10, 64, 0, 0);
}

static void not_in_memory(struct net_ring *r)
{
	r->desc[0] = DESC(UINT64_C(1) << 60, 64, 0, 0);
}

static void wrong_way(struct net_ring *r)
{
	r->desc[0] = DESC(r->area, 64, VRING_DESC_F_NEXT, 1);
	r->desc[1] = DESC(r->area, 64, VRING_DESC_F_WRITE, 0);
}

static const struct {
	const char *name;
	void (*make)(struct net_ring *r);
} nonsense[] = {
	{"a head that does not exist", no_such_head},
	{"a next that does not exist", no_such_next},
	{"a loop", a_loop},
	{"an index that jumps", a_jump},
	{"an odd indirect table", odd_table},
	{"an indirect table in another", table_in_table},
	{"a table of 1500", long_table},
	{"a table where there is nothing", no_table},
	{"an address that wraps", wraps},
	{"an address of no memory", not_in_memory},
	{"a chain both ways", wrong_way},
};

/* Each ends the ring with a signal; set up anew, it works. */
static void test_nonsense(void **state)
{
	const struct wire *w = &wires[0];
	struct guest *g = guest_create(INDIRECT);
	int backend = w->open(10);
	uint32_t size = 10 + 60, room = AREA;

	for (unsigned i = 0; i < 2 * sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		struct net_ring *r = &g->ring[i % 2];
		struct vring_used_elem e;

		guest_reset_ring(g, i % 2);
		signals(r->err);
		r->avail.idx = 1;
		nonsense[i / 2].make(r);
		assert_int_equal(guest_backend(g, i % 2, backend), 0);
		make_frame(sent, 60, i);
		if (i % 2 == RX)
			w->put(backend, 10, sent, 60);
		ring_kick(r);
		if (!signalled(r->err))
			fail_msg("%s: no error on ring %u", nonsense[i / 2].name, i % 2);
		assert_int_equal(r->used.idx, 0);
		guest_reset_ring(g, i % 2);
		signals(r->err); /* of the kick and of the packet, too */
		if (i % 2 == RX) {
			guest_give(g, &room, 1);
			assert_int_equal(guest_backend(g, RX, backend), 0);
			make_frame(sent, 60, i);
			w->put(backend, 10, sent, 60);
			/* The one before may be lost with the backend that had it. */
			assert_int_equal(guest_receive(g, got, NULL, NULL), 60);
			guest_reset_ring(g, RX);
		} else {
			assert_int_equal(guest_backend(g, TX, backend), 0);
			guest_send(g, sent, &size, 1);
			assert_true(ring_used(r, &e));
			guest_reset_ring(g, TX);
		}
		assert_int_equal(signals(r->err), 0);
	}
	guest_destroy(g);
	w->close(backend);
}

/* Packets too short, for the other direction, in many pieces, and where there is no memory. */
static void odd_packets(const struct wire *w, struct guest *g)
{
	uint32_t header = wire_header(w, g), size = g->header + 60;
	int backend = w->open(header);
	struct net_ring *r = &g->ring[TX];
	void *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vring_used_elem e;

	assert_int_equal(guest_backend(g, TX, backend), 0);
	/* Nothing but vhost's header: no packet, an error, and the next one goes. */
	if (g->features & OWN) {
		ring_add(r, &g->header, 1, false);
		ring_kick(r);
		assert_true(signalled(r->err));
		make_frame(sent, 60, 1);
		guest_send(g, sent, &size, 1);
		assert_true(ring_used(r, &e));
		assert_int_equal(e.id, 1);
		r->next = 0;
	}
	/* A thousand pieces of a byte. */
	memset(r->area[0], 0, 1);
	indirect(r, table, 1000, 1, 0);
	r->avail.ring[r->avail.idx % NUM] = 0;
	__atomic_store_n(&r->avail.idx, (uint16_t)(r->avail.idx + 1), __ATOMIC_RELEASE);
	ring_kick(r);
	assert_true(ring_used(r, &e));
	assert_int_equal(signals(r->err), 0);
	/* A hole: the packet is dropped, and the ring goes on. */
	r->desc[0] = DESC(hole, size, 0, 0);
	r->avail.ring[r->avail.idx % NUM] = 0;
	__atomic_store_n(&r->avail.idx, (uint16_t)(r->avail.idx + 1), __ATOMIC_RELEASE);
	ring_kick(r);
	assert_true(ring_used(r, &e));
	r->next = 1;
	make_frame(sent, 60, 2);
	guest_send(g, sent, &size, 1);
	assert_true(ring_used(r, &e));
	assert_int_equal(e.id, 1);
	assert_int_equal(signals(r->err), 0);
	assert_int_equal(guest_backend(g, TX, -1), 0);
	munmap(hole, 4096);
	w->close(backend);
}

static void test_odd_packets(void **state)
{
	on_wires(INDIRECT, odd_packets);
	on_wires(INDIRECT | OWN | MERGEABLE, odd_packets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_mergeable),
		cmocka_unit_test(test_too_big),
		cmocka_unit_test(test_no_buffers),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_backends),
		cmocka_unit_test(test_backends_under_load),
		cmocka_unit_test(test_queue_pairs),
		cmocka_unit_test(test_offload),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_odd_packets),
	};

	return cmocka_run_group_tests(tests, net_start, net_stop);
}
