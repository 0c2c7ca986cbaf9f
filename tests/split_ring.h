/* SPDX-License-Identifier: BSD-3-Clause */
/* split_ring.h - the three parts of a split ring (virtio 1.2, 2.7), for drivers of our own. */
#ifndef TESTS_SPLIT_RING_H
#define TESTS_SPLIT_RING_H

#include <linux/virtio_ring.h>
#include <stdint.h>

/* Members of a struct: a ring of `num` entries, its parts aligned to `alignment`, 16 or more. */
#define SPLIT_RING(num, alignment)                                              \
	struct vring_desc desc[num] __attribute__((aligned(alignment)));        \
	struct {                                                                \
		uint16_t flags, idx, ring[num], used_event;                     \
	} avail __attribute__((aligned(alignment)));                            \
	struct {                                                                \
		uint16_t flags, idx;                                            \
		struct vring_used_elem ring[num];                               \
		uint16_t avail_event;                                           \
	} used __attribute__((aligned(alignment)))

#endif
