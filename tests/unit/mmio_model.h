/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device for the tests of trapped registers.  BAR 0 is 64 KiB that trap and remember;
 * BAR 2 has one page of each kind: SHADOW, DOORBELL, RAM, TRAP.
 */
#ifndef STANDIN_TESTS_MMIO_MODEL_H
#define STANDIN_TESTS_MMIO_MODEL_H

#include <stdatomic.h>
#include <stdint.h>

#include "core/device.h"

#define MODEL_BAR0_SIZE 0x10000u
#define MODEL_PAGE      4096u

enum { BAR2_SHADOW, BAR2_DOORBELL, BAR2_RAM, BAR2_TRAP, BAR2_PAGES };

struct model_access {
	unsigned bar, size;
	uint64_t offset, value;
};

struct model_state {
	uint8_t memory[MODEL_BAR0_SIZE]; /* BAR 0's registers */
	uint8_t trap[MODEL_PAGE];        /* BAR 2's */
	_Atomic unsigned reads, writes;
	volatile struct model_access last_read, last_write;
	/* Loads use 40 KiB of stack and copy from an address that is not mapped. */
	bool greedy;
	int greedy_result;
	/* Doorbells: the last value seen of each of 16, however it came. */
	pthread_mutex_t lock;
	uint32_t seen[16];
	_Atomic uint64_t rings;   /* changes seen */
	_Atomic uint64_t trapped; /* of them by a trap */
};

/* A realized instance, trapping on, signals taken.  One per process. */
struct standin_device *model_device(void);
struct model_state *model_state(void);
/* Maps it through the registry; aborts the test if that fails. */
void *model_map(unsigned bar, uint64_t offset, size_t size, int protection);
void model_unmap(void *address, size_t size);

#endif
