/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small NVMe driver over core/device.h, for tests: one arena of memory, mapped for the
 * device at RIG_IOVA, queues and data in it at places that the test chooses.
 */
#ifndef STANDIN_TESTS_NVME_RIG_H
#define STANDIN_TESTS_NVME_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/config.h"
#include "core/device.h"
#include "core/iova.h"
#include "devices/nvme_spec.h"

#define RIG_IOVA    0x10000000u
#define RIG_SIZE    (16u << 20)
#define RIG_ENTRIES 32u

struct rig_queue {
	unsigned id, entries;
	uint64_t sq, cq; /* offsets in the arena */
	unsigned tail, head;
	bool phase;
};

struct rig {
	struct config config;
	struct standin_device *dev;
	struct iova_map *map;
	uint8_t *arena;
	struct rig_queue admin, io[65];
	uint16_t cid;
};

/* Realizes `spec` ("nvme,blocksize=4096"), attaches it and enables bus mastering. */
void rig_open(struct rig *r, const char *spec);
void rig_close(struct rig *r);

uint32_t rig_load(struct rig *r, unsigned offset);
void rig_store(struct rig *r, unsigned offset, uint32_t value);
void rig_store64(struct rig *r, unsigned offset, uint64_t value);
/* Waits until (register & mask) == value; fails the test after some seconds. */
void rig_wait(struct rig *r, unsigned offset, uint32_t mask, uint32_t value);

/* Admin queues at the beginning of the arena, CC.EN, CSTS.RDY. */
void rig_enable(struct rig *r);
void rig_disable(struct rig *r);

/* Queue pair `id` with its entries from `offset` on (one page for each). */
struct rig_queue *rig_create_pair(struct rig *r, unsigned id, uint64_t offset, unsigned entries);

/* Puts a command in the queue, without the doorbell; returns its identifier. */
uint16_t rig_queue(struct rig *r, struct rig_queue *q, struct nvme_command c);
void rig_ring(struct rig *r, struct rig_queue *q);
/* The next completion, if there is one. */
bool rig_poll(struct rig *r, struct rig_queue *q, struct nvme_completion *ret);
/* Waits for it; fails the test after some seconds. */
struct nvme_completion rig_reap(struct rig *r, struct rig_queue *q);
/* All of it, for one command: its status without the phase, MORE and DNR bits. */
uint16_t rig_run(struct rig *r, struct rig_queue *q, struct nvme_command c);
/* The same with the completion. */
struct nvme_completion rig_execute(struct rig *r, struct rig_queue *q, struct nvme_command c);

/* A command's status code and type of a completion. */
static inline uint16_t rig_status(struct nvme_completion e)
{
	return e.status >> 1 & 0x7ff;
}

/* A read or write of `blocks` blocks with data at offset `data` of the arena. */
struct nvme_command rig_rw(uint8_t opcode, uint64_t lba, unsigned blocks, uint64_t prp1,
			   uint64_t prp2);

#endif
