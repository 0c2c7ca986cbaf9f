/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver's side of a virtqueue, split or packed, for tests: one arena of memory that the
 * device sees at RIG_BASE, the ring at its beginning, buffers where the test wants them.
 * It also is the owner of the device's side: its map can have holes, pieces and misses.
 */
#ifndef STANDIN_TESTS_VIRTQUEUE_RIG_H
#define STANDIN_TESTS_VIRTQUEUE_RIG_H

#include "virtqueue/virtqueue.h"

#define RIG_BASE    0x100000u
#define RIG_SIZE    0x40000u
#define RIG_DESC    0x0u
#define RIG_AVAIL   0x2000u
#define RIG_USED    0x3000u
#define RIG_TABLES  0x4000u  /* indirect tables, 0x100 each */
#define RIG_BUFFERS 0x10000u /* free for tests */
#define RIG_NUM_MAX 256u

struct rig_desc {
	uint64_t address;
	uint32_t length;
	uint16_t a, b; /* split: flags, next; packed: id, flags */
};

struct rig_buffer {
	uint32_t offset; /* in the arena */
	uint32_t length;
	bool write;
};

struct rig {
	uint8_t *arena;
	struct virtqueue vq;
	struct iovec iov[512];
	struct virtqueue_range ranges[512];
	struct virtqueue_pool pool;
	/* The driver. */
	bool packed;
	uint32_t num;
	uint16_t avail, used; /* indexes or slots */
	bool avail_wrap, used_wrap;
	uint16_t free_ids[RIG_NUM_MAX], n_free;
	uint16_t taken[RIG_NUM_MAX]; /* descriptors, by id */
	uint16_t links[RIG_NUM_MAX][16];
	/* The owner. */
	bool pieces;              /* every page is a piece of its own */
	uint64_t window;          /* the arena's first bytes are a window; 0: there is none */
	long windows;             /* taken and not yet given back */
	uint64_t hole, hole_size; /* not mapped */
	uint64_t miss, miss_size; /* -EAGAIN */
	uint64_t read_only, read_only_size;
	long pinned;
	uint8_t logged[RIG_SIZE]; /* bytes of the arena */
};

void rig_open(struct rig *r, uint32_t num, uint64_t features);
void rig_close(struct rig *r);
/* Makes a chain available and returns its id, or -1 if the ring is full. */
int rig_add(struct rig *r, const struct rig_buffer *buffers, unsigned n, bool indirect);
/* Takes a used chain: its id, or -1 if there is none. */
int rig_take(struct rig *r, uint32_t *ret_length);
/* Raw access, for what no driver should do. */
struct rig_desc *rig_desc(struct rig *r, unsigned i);
uint16_t *rig_u16(struct rig *r, uint32_t offset);
/* Split: head i in the next available entry; packed: marks slot `avail` available, `slots`
 * later is the next. */
void rig_publish(struct rig *r, uint16_t head_or_flags, unsigned slots);
int rig_fetch(struct rig *r, struct virtqueue_chain *chains, unsigned max);

#endif
