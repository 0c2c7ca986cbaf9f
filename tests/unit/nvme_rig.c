/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define PATIENCE_MS 10000

void rig_open(struct rig *r, const char *spec)
{
	char error[CONFIG_ERROR_MAX] = "";
	struct iova_range range = {.first = RIG_IOVA,
				   .last = RIG_IOVA + RIG_SIZE - 1,
				   .flags = IOVA_READ | IOVA_WRITE};

	memset(r, 0, sizeof(*r));
	config_init(&r->config);
	assert_int_equal(config_device(&r->config, spec, error), 0);
	assert_int_equal(config_complete(&r->config, error), 0);
	assert_int_equal(device_create(&r->config.devices[0], 0, &r->dev), 0);
	if (device_realize(r->dev) < 0)
		fail_msg("%s", r->dev->error);
	r->arena = mmap(NULL, RIG_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(r->arena, MAP_FAILED);
	assert_int_equal(iova_map_create(&r->map), 0);
	range.address = (uintptr_t)r->arena;
	assert_int_equal(iova_map_insert(r->map, &range), 0);
	device_attach(r->dev, r->map);
	device_set_command(r->dev, 6);
}

void rig_close(struct rig *r)
{
	device_reset(r->dev);
	device_attach(r->dev, NULL);
	device_destroy(r->dev);
	iova_map_destroy(r->map);
	munmap(r->arena, RIG_SIZE);
	config_finish(&r->config);
}

uint32_t rig_load(struct rig *r, unsigned offset)
{
	return (uint32_t)device_bar_read(r->dev, 0, offset, 4);
}

void rig_store(struct rig *r, unsigned offset, uint32_t value)
{
	device_bar_write(r->dev, 0, offset, 4, value);
}

void rig_store64(struct rig *r, unsigned offset, uint64_t value)
{
	device_bar_write(r->dev, 0, offset, 8, value);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void rig_wait(struct rig *r, unsigned offset, uint32_t mask, uint32_t value)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while ((rig_load(r, offset) & mask) != value) {
		if (now_ms() > end)
			fail_msg("register %#x is %#x, not %#x", offset, rig_load(r, offset),
				 value);
		usleep(10);
	}
}

static void queue_init(struct rig *r, struct rig_queue *q, unsigned id, uint64_t offset,
		       unsigned entries)
{
	*q = (struct rig_queue){.id = id, .entries = entries, .sq = offset, .phase = true};
	q->cq = offset + ((entries * 64 + 4095) & ~4095u);
	memset(r->arena + offset, 0, q->cq - offset + entries * 16);
}

void rig_enable(struct rig *r)
{
	queue_init(r, &r->admin, 0, 0, RIG_ENTRIES);
	rig_store(r, NVME_REG_AQA, (RIG_ENTRIES - 1) << 16 | (RIG_ENTRIES - 1));
	rig_store64(r, NVME_REG_ASQ, RIG_IOVA + r->admin.sq);
	rig_store64(r, NVME_REG_ACQ, RIG_IOVA + r->admin.cq);
	rig_store(r, NVME_REG_CC, 4u << 20 | 6u << 16 | NVME_CC_EN);
	rig_wait(r, NVME_REG_CSTS, NVME_CSTS_RDY, NVME_CSTS_RDY);
}

void rig_disable(struct rig *r)
{
	rig_store(r, NVME_REG_CC, 4u << 20 | 6u << 16);
	rig_wait(r, NVME_REG_CSTS, NVME_CSTS_RDY, 0);
}

struct rig_queue *rig_create_pair(struct rig *r, unsigned id, uint64_t offset, unsigned entries)
{
	struct rig_queue *q = &r->io[id];

	queue_init(r, q, id, offset, entries);
	assert_int_equal(rig_run(r, &r->admin,
				 (struct nvme_command){.opcode = NVME_ADMIN_CREATE_CQ,
						       .prp1 = RIG_IOVA + q->cq,
						       .cdw10 = (entries - 1) << 16 | id,
						       .cdw11 = id << 16 | 3}),
			 NVME_SUCCESS);
	assert_int_equal(rig_run(r, &r->admin,
				 (struct nvme_command){.opcode = NVME_ADMIN_CREATE_SQ,
						       .prp1 = RIG_IOVA + q->sq,
						       .cdw10 = (entries - 1) << 16 | id,
						       .cdw11 = id << 16 | 1}),
			 NVME_SUCCESS);
	return q;
}

uint16_t rig_queue(struct rig *r, struct rig_queue *q, struct nvme_command c)
{
	c.cid = ++r->cid;
	memcpy(r->arena + q->sq + q->tail * 64, &c, sizeof(c));
	q->tail = (q->tail + 1) % q->entries;
	return c.cid;
}

void rig_ring(struct rig *r, struct rig_queue *q)
{
	rig_store(r, NVME_REG_DOORBELLS + 8 * q->id, q->tail);
}

bool rig_poll(struct rig *r, struct rig_queue *q, struct nvme_completion *ret)
{
	struct nvme_completion *e = (void *)(r->arena + q->cq + q->head * 16);

	if ((__atomic_load_n(&e->status, __ATOMIC_ACQUIRE) & 1) != q->phase)
		return false;
	*ret = *e;
	if (++q->head == q->entries) {
		q->head = 0;
		q->phase = !q->phase;
	}
	rig_store(r, NVME_REG_DOORBELLS + 8 * q->id + 4, q->head);
	return true;
}

struct nvme_completion rig_reap(struct rig *r, struct rig_queue *q)
{
	uint64_t end = now_ms() + PATIENCE_MS;
	struct nvme_completion e = {0};

	while (!rig_poll(r, q, &e)) {
		if (now_ms() > end)
			fail_msg("no completion in queue %u", q->id);
		usleep(10);
	}
	return e;
}

struct nvme_completion rig_execute(struct rig *r, struct rig_queue *q, struct nvme_command c)
{
	uint16_t cid = rig_queue(r, q, c);
	struct nvme_completion e;

	rig_ring(r, q);
	e = rig_reap(r, q);
	assert_int_equal(e.cid, cid);
	assert_int_equal(e.sq_id, q->id);
	assert_int_equal(e.sq_head, q->tail);
	return e;
}

uint16_t rig_run(struct rig *r, struct rig_queue *q, struct nvme_command c)
{
	return rig_status(rig_execute(r, q, c));
}

struct nvme_command rig_rw(uint8_t opcode, uint64_t lba, unsigned blocks, uint64_t prp1,
			   uint64_t prp2)
{
	return (struct nvme_command){.opcode = opcode,
				     .nsid = 1,
				     .prp1 = RIG_IOVA + prp1,
				     .prp2 = prp2 ? RIG_IOVA + prp2 : 0,
				     .cdw10 = (uint32_t)lba,
				     .cdw11 = (uint32_t)(lba >> 32),
				     .cdw12 = blocks - 1};
}
