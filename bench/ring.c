/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the virtqueue engine costs: nanoseconds a chain for fetching it and handing it back, in
 * batches of 32, with ring and buffers in this processor's cache.  One line per kind of ring
 * and of chain: "split_direct 12.3".  And what a network device does with it: nanoseconds for
 * taking a packet of 64 bytes from the driver, sending it over the loopback link, and giving it
 * back: "split_packet 45.6".
 *
 * The copies are the guarded ones of the injected library, without its fault handler: nothing
 * here faults.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "backend/net.h"
#include "core/user.h"
#include "inject/x86_64/guarded.h"
#include "virtio/net_queue.h"
#include "virtqueue/virtqueue.h"

#define NUM     256u
#define BATCH   32u
#define ROUNDS  20000u
#define REPEATS 7u
#define SIZE    0x200000u
#define HALF    0x100000u   /* where a second ring and its buffers are */
#define BASE    0x40000000u /* what the device sees the memory at */
#define DESC    0x0u
#define AVAIL   0x2000u
#define USED    0x3000u
#define TABLES  0x4000u
#define BUFFERS 0x20000u
#define STEP    0x800u

#define F_NEXT     1u
#define F_WRITE    2u
#define F_INDIRECT 4u

#define PACKET (12u + 64u) /* bytes, with header */

struct desc {
	uint64_t address;
	uint32_t length;
	uint16_t a, b; /* split: flags, next; packed: id, flags */
};

static uint8_t *memory;

static int window(void *owner, uint64_t address, unsigned access, struct virtqueue_window *ret)
{
	*ret = (struct virtqueue_window){
		.first = BASE, .last = BASE + SIZE - 1, .memory = (char *)memory, .access = 7};
	return 0;
}

static int map(void *owner, uint64_t address, uint64_t size, unsigned access, struct iovec *iov,
	       unsigned max_iov)
{
	if (address < BASE || address + size > BASE + SIZE)
		return -1;
	iov[0] = (struct iovec){memory + (address - BASE), size};
	return 1;
}

static const struct virtqueue_ops ops = {.map = map, .window = window};

struct driver {
	unsigned half; /* 0 or HALF */
	bool packed, wrap, indirect;
	unsigned parts;  /* descriptors in a chain */
	uint32_t length; /* of a direct one */
	uint16_t write;  /* F_WRITE or 0 */
	uint16_t slot, made;
};

static struct desc *desc(const struct driver *d, unsigned i)
{
	return (struct desc *)(void *)(memory + d->half + DESC) + i;
}

static uint64_t buffer(const struct driver *d, unsigned i)
{
	return BASE + d->half + BUFFERS + STEP * (i % NUM);
}

/* Descriptors of one chain into a table of its own. */
static struct desc in_table(const struct driver *d, unsigned i)
{
	struct desc *table = (void *)(memory + TABLES + 64 * i);

	for (unsigned p = 0; p < d->parts; p++) {
		table[p] = (struct desc){.address = buffer(d, i) + 16 * p, .length = p ? 64 : 12};
		if (!d->packed && p + 1 < d->parts) {
			table[p].a = F_NEXT;
			table[p].b = (uint16_t)(p + 1);
		}
	}
	return (struct desc){.address = BASE + TABLES + 64 * i, .length = 16 * d->parts};
}

static void make(struct driver *d)
{
	unsigned slots = d->indirect ? 1 : d->parts;

	for (unsigned i = 0; i < BATCH; i++) {
		uint16_t head = d->slot;

		for (unsigned p = 0; p < slots; p++) {
			struct desc one = {.address = buffer(d, d->slot), .length = d->length};
			unsigned flags = (p + 1 < slots ? F_NEXT : 0u) | d->write;

			if (d->indirect) {
				one = in_table(d, d->slot);
				flags = F_INDIRECT;
			}
			if (d->packed) {
				one.a = head;
				one.b = (uint16_t)(flags | (d->wrap ? 1u << 7 : 1u << 15));
			} else {
				one.a = (uint16_t)flags;
				one.b = (uint16_t)((d->slot + 1) % NUM);
			}
			*desc(d, d->slot) = one;
			if (++d->slot == NUM) {
				d->slot = 0;
				d->wrap = !d->wrap;
			}
		}
		if (!d->packed)
			((uint16_t *)(void *)(memory + d->half + AVAIL))[2 + d->made % NUM] = head;
		d->made++;
	}
	if (!d->packed)
		((uint16_t *)(void *)(memory + d->half + AVAIL))[1] = d->made;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void init(struct virtqueue *vq, const struct driver *d)
{
	uint64_t base = BASE + d->half;
	struct virtqueue_config config = {
		.ops = &ops,
		.name = "bench",
		.num = NUM,
		.features = VIRTQUEUE_F_VERSION_1 | VIRTQUEUE_F_INDIRECT_DESC |
			    (d->packed ? VIRTQUEUE_F_PACKED : 0),
		.address = {base + DESC, base + AVAIL, base + USED},
	};

	if (virtqueue_init(vq, &config) < 0)
		exit(1);
}

static double run(struct driver *d)
{
	struct virtqueue_chain chains[BATCH];
	struct iovec iov[4 * BATCH];
	struct virtqueue_pool pool = {.iov = iov, .max_iov = 4 * BATCH, .transient = true};
	struct virtqueue vq;
	uint64_t took = 0;

	memset(memory, 0, SIZE);
	init(&vq, d);
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t start;
		int n;

		make(d);
		virtqueue_pool_reset(&pool);
		start = now_ns();
		n = virtqueue_fetch(&vq, chains, BATCH, &pool);
		for (unsigned i = 0; i < BATCH; i++)
			chains[i].written = 64;
		if (virtqueue_used(&vq, chains, BATCH) < 0 || n != (int)BATCH)
			exit(1);
		took += now_ns() - start;
	}
	return (double)took / ROUNDS / BATCH;
}

static void report(const char *name, bool packed, bool indirect, unsigned parts)
{
	double best = 0;

	for (unsigned i = 0; i < REPEATS; i++) {
		struct driver d = {.packed = packed,
				   .wrap = true,
				   .indirect = indirect,
				   .parts = parts,
				   .length = 64};
		double ns = run(&d);

		if (best == 0 || ns < best)
			best = ns;
	}
	printf("%s %.1f\n", name, best);
}

static double run_packets(struct net_port *port, bool packed)
{
	struct driver out = {.packed = packed, .wrap = true, .parts = 1, .length = PACKET};
	struct driver in = out;
	struct virtio_net_queue *q = calloc(1, sizeof(*q));
	struct virtqueue sent, received;
	uint64_t took = 0;

	in.half = HALF;
	in.length = STEP;
	in.write = F_WRITE;
	memset(memory, 0, SIZE);
	init(&sent, &out);
	init(&received, &in);
	if (!q)
		exit(1);
	virtio_net_queue_init(q, port, 0,
			      VIRTQUEUE_F_VERSION_1 | VIRTQUEUE_F(VIRTIO_NET_F_MRG_RXBUF), &ops);
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t start;

		make(&out);
		make(&in);
		start = now_ns();
		if (virtio_net_transmit(q, &sent, BATCH) != (int)BATCH ||
		    virtio_net_receive(q, &received, BATCH) != (int)BATCH)
			exit(1);
		took += now_ns() - start;
	}
	free(q);
	return (double)took / ROUNDS / BATCH;
}

static void report_packets(const char *name, bool packed)
{
	char error[NET_ERROR_MAX];
	struct net_port *port;
	double best = 0;

	if (net_open("loopback", "bench", 1, &port, error) < 0)
		exit(1);
	for (unsigned i = 0; i < REPEATS; i++) {
		double ns = run_packets(port, packed);

		if (best == 0 || ns < best)
			best = ns;
	}
	net_close(port);
	printf("%s %.1f\n", name, best);
}

int main(void)
{
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	guarded_wide = __builtin_cpu_supports("avx2") != 0;
	user_set_guarded_copy(guarded_copy);
	user_set_guarded_copies(guarded_copies);
	report("split_direct", false, false, 1);
	report("split_chain_of_2", false, false, 2);
	report("split_indirect", false, true, 2);
	report("packed_direct", true, false, 1);
	report("packed_chain_of_2", true, false, 2);
	report("packed_indirect", true, true, 2);
	report_packets("split_packet", false);
	report_packets("packed_packet", true);
	return 0;
}
