/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the virtqueue engine costs: nanoseconds a chain for fetching it and handing it back, in
 * batches of 32, with ring and buffers in this processor's cache.  One line per kind of ring
 * and of chain: "split_direct 12.3".
 *
 * The copies are the guarded ones of the injected library, without its fault handler: nothing
 * here faults.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "core/user.h"
#include "inject/x86_64/guarded.h"
#include "virtqueue/virtqueue.h"

#define NUM     256u
#define BATCH   32u
#define ROUNDS  20000u
#define REPEATS 7u
#define SIZE    0x100000u
#define BASE    0x40000000u /* what the device sees the memory at */
#define DESC    0x0u
#define AVAIL   0x2000u
#define USED    0x3000u
#define TABLES  0x4000u
#define BUFFERS 0x20000u
#define STEP    0x800u

#define F_NEXT     1u
#define F_INDIRECT 4u

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

static struct desc *desc(unsigned i)
{
	return (struct desc *)(void *)(memory + DESC) + i;
}

static uint64_t buffer(unsigned i)
{
	return BASE + BUFFERS + STEP * (i % NUM);
}

struct driver {
	bool packed, wrap, indirect;
	unsigned parts; /* descriptors in a chain */
	uint16_t slot, made;
};

/* Descriptors of one chain into a table of its own. */
static struct desc in_table(const struct driver *d, unsigned i)
{
	struct desc *table = (void *)(memory + TABLES + 64 * i);

	for (unsigned p = 0; p < d->parts; p++) {
		table[p] = (struct desc){.address = buffer(i) + 16 * p, .length = p ? 64 : 12};
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
			struct desc one = {.address = buffer(d->slot), .length = 64};
			unsigned flags = p + 1 < slots ? F_NEXT : 0;

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
			*desc(d->slot) = one;
			if (++d->slot == NUM) {
				d->slot = 0;
				d->wrap = !d->wrap;
			}
		}
		if (!d->packed)
			((uint16_t *)(void *)(memory + AVAIL))[2 + d->made % NUM] = head;
		d->made++;
	}
	if (!d->packed)
		((uint16_t *)(void *)(memory + AVAIL))[1] = d->made;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static double run(struct driver *d)
{
	struct virtqueue_config config = {
		.ops = &ops,
		.name = "bench",
		.num = NUM,
		.features = VIRTQUEUE_F_VERSION_1 | VIRTQUEUE_F_INDIRECT_DESC |
			    (d->packed ? VIRTQUEUE_F_PACKED : 0),
		.address = {BASE + DESC, BASE + AVAIL, BASE + USED},
	};
	struct virtqueue_chain chains[BATCH];
	struct iovec iov[4 * BATCH];
	struct virtqueue_pool pool = {.iov = iov, .max_iov = 4 * BATCH, .transient = true};
	struct virtqueue vq;
	uint64_t took = 0;

	memset(memory, 0, SIZE);
	if (virtqueue_init(&vq, &config) < 0)
		exit(1);
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
		struct driver d = {
			.packed = packed, .wrap = true, .indirect = indirect, .parts = parts};
		double ns = run(&d);

		if (best == 0 || ns < best)
			best = ns;
	}
	printf("%s %.1f\n", name, best);
}

int main(void)
{
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	user_set_guarded_copy(guarded_copy);
	user_set_guarded_copies(guarded_copies);
	report("split_direct", false, false, 1);
	report("split_chain_of_2", false, false, 2);
	report("split_indirect", false, true, 2);
	report("packed_direct", true, false, 1);
	report("packed_chain_of_2", true, false, 2);
	report("packed_indirect", true, true, 2);
	return 0;
}
