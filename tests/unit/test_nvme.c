/* SPDX-License-Identifier: BSD-3-Clause */
/* The NVMe controller's life cycle, admin commands and their errors. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/hostfd.h"
#include "nvme_rig.h"

#define DATA   0x100000u /* an offset in the arena, for data */
#define QUEUES 0x10000u

static struct nvme_command command(uint8_t opcode, uint32_t nsid, uint32_t cdw10, uint32_t cdw11)
{
	return (struct nvme_command){.opcode = opcode,
				     .nsid = nsid,
				     .prp1 = RIG_IOVA + DATA,
				     .cdw10 = cdw10,
				     .cdw11 = cdw11};
}

static uint16_t admin(struct rig *r, uint8_t opcode, uint32_t nsid, uint32_t cdw10, uint32_t cdw11)
{
	return rig_run(r, &r->admin, command(opcode, nsid, cdw10, cdw11));
}

static uint32_t admin_result(struct rig *r, uint8_t opcode, uint32_t nsid, uint32_t cdw10,
			     uint32_t cdw11)
{
	struct nvme_completion e = rig_execute(r, &r->admin, command(opcode, nsid, cdw10, cdw11));

	assert_int_equal(rig_status(e), NVME_SUCCESS);
	return e.result;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	rig_open(r, "nvme,size=4M,serial=S123");
	rig_enable(r);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	rig_close(*state);
	free(*state);
	return 0;
}

/* ---- registers ---- */

static void test_registers(void **state)
{
	struct rig r;
	uint64_t cap;

	rig_open(&r, "nvme");
	cap = device_bar_read(r.dev, 0, NVME_REG_CAP, 8);
	assert_int_equal(cap & 0xffff, 2047); /* MQES */
	assert_int_equal(cap >> 16 & 1, 1);   /* CQR */
	assert_int_equal(cap >> 32 & 15, 0);  /* DSTRD */
	assert_int_equal(cap >> 37 & 1, 1);   /* NVM command set */
	assert_int_equal(cap >> 48 & 15, 0);  /* 4 KiB pages */
	assert_int_equal(rig_load(&r, NVME_REG_VS), 0x10400);
	assert_int_equal(rig_load(&r, NVME_REG_CSTS), 0);
	rig_store64(&r, NVME_REG_CAP, 0);
	rig_store(&r, NVME_REG_VS, 0);
	assert_int_equal(device_bar_read(r.dev, 0, NVME_REG_CAP, 8), cap);
	assert_int_equal(rig_load(&r, NVME_REG_VS), 0x10400);

	rig_store64(&r, NVME_REG_ASQ, 0x123456789abcdfff);
	assert_int_equal(device_bar_read(r.dev, 0, NVME_REG_ASQ, 8), 0x123456789abcd000);
	rig_store(&r, NVME_REG_ASQ + 4, 0xabcd);
	assert_int_equal(device_bar_read(r.dev, 0, NVME_REG_ASQ, 8), 0xabcd9abcd000);
	rig_store(&r, NVME_REG_AQA, 0xffffffff);
	assert_int_equal(rig_load(&r, NVME_REG_AQA), 0x0fff0fff);

	rig_store(&r, NVME_REG_INTMS, 5);
	assert_int_equal(rig_load(&r, NVME_REG_INTMC), 5);
	rig_store(&r, NVME_REG_INTMC, 1);
	assert_int_equal(rig_load(&r, NVME_REG_INTMS), 4);

	/* A byte of a register. */
	device_bar_write(r.dev, 0, NVME_REG_CC + 2, 1, 0x46);
	assert_int_equal(rig_load(&r, NVME_REG_CC), 0x460000);

	device_reset(r.dev);
	assert_int_equal(device_bar_read(r.dev, 0, NVME_REG_ASQ, 8), 0);
	assert_int_equal(rig_load(&r, NVME_REG_CC), 0);
	assert_int_equal(device_bar_read(r.dev, 0, NVME_REG_CAP, 8), cap);
	rig_close(&r);
}

static void test_life_cycle(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_load(r, NVME_REG_CSTS), NVME_CSTS_RDY);
	assert_int_equal(admin(r, NVME_ADMIN_IDENTIFY, 0, NVME_CNS_CONTROLLER, 0), 0);
	rig_create_pair(r, 1, QUEUES, 8);

	/* What may not change while enabled does not. */
	rig_store(r, NVME_REG_CC, 4u << 20 | 6u << 16 | 15u << 7 | NVME_CC_EN);
	assert_int_equal(rig_load(r, NVME_REG_CC), 4u << 20 | 6u << 16 | NVME_CC_EN);

	rig_disable(r);
	assert_int_equal(rig_load(r, NVME_REG_CSTS), 0);
	rig_ring(r, &r->io[1]); /* ignored */
	rig_enable(r);
	/* The queues are gone: the same can be created again. */
	rig_create_pair(r, 1, QUEUES, 8);
	assert_int_equal(rig_run(r, &r->io[1], rig_rw(NVME_READ, 0, 1, DATA, 0)), 0);

	/* Not waiting for CSTS.RDY to fall. */
	rig_store(r, NVME_REG_CC, 4u << 20 | 6u << 16);
	rig_enable(r);
	assert_int_equal(admin(r, NVME_ADMIN_IDENTIFY, 0, NVME_CNS_CONTROLLER, 0), 0);
}

static void test_shutdown(void **state)
{
	struct rig *r = *state;

	for (uint32_t kind = 1; kind <= 2; kind++) {
		rig_store(r, NVME_REG_CC, 4u << 20 | 6u << 16 | kind << 14 | NVME_CC_EN);
		rig_wait(r, NVME_REG_CSTS, NVME_CSTS_SHST_MASK, NVME_CSTS_SHST_COMPLETE);
		rig_disable(r);
		assert_int_equal(rig_load(r, NVME_REG_CSTS), 0);
		rig_enable(r);
		assert_int_equal(rig_load(r, NVME_REG_CSTS), NVME_CSTS_RDY);
	}
	/* While disabled, too. */
	rig_disable(r);
	rig_store(r, NVME_REG_CC, 1u << 14);
	rig_wait(r, NVME_REG_CSTS, NVME_CSTS_SHST_MASK, NVME_CSTS_SHST_COMPLETE);
}

static void test_subsystem_reset(void **state)
{
	struct rig *r = *state;

	rig_store(r, NVME_REG_NSSR, 1); /* not the magic word */
	assert_int_equal(rig_load(r, NVME_REG_CSTS), NVME_CSTS_RDY);
	rig_store(r, NVME_REG_NSSR, NVME_NSSR_RESET);
	rig_wait(r, NVME_REG_CSTS, NVME_CSTS_RDY, 0);
	assert_int_equal(rig_load(r, NVME_REG_CSTS), NVME_CSTS_NSSRO);
	rig_store(r, NVME_REG_CSTS, NVME_CSTS_NSSRO);
	assert_int_equal(rig_load(r, NVME_REG_CSTS), 0);
	rig_enable(r);
}

static void expect_fatal(struct rig *r)
{
	rig_wait(r, NVME_REG_CSTS, NVME_CSTS_CFS, NVME_CSTS_CFS);
	rig_disable(r);
	assert_int_equal(rig_load(r, NVME_REG_CSTS), 0);
	rig_enable(r);
	assert_int_equal(admin(r, NVME_ADMIN_IDENTIFY, 0, NVME_CNS_CONTROLLER, 0), 0);
}

static void test_fatal(void **state)
{
	struct rig *r = *state;
	static const uint32_t bad_cc[] = {
		7u << 4 | NVME_CC_EN,  /* another command set */
		5u << 7 | NVME_CC_EN,  /* 128 KiB pages */
		1u << 11 | NVME_CC_EN, /* weighted arbitration */
	};

	for (unsigned i = 0; i < 3; i++) {
		rig_disable(r);
		rig_store(r, NVME_REG_CC, bad_cc[i]);
		assert_int_equal(rig_load(r, NVME_REG_CSTS), NVME_CSTS_CFS);
		expect_fatal(r);
	}
	/* Queues of one entry. */
	rig_disable(r);
	rig_store(r, NVME_REG_AQA, 0);
	rig_store(r, NVME_REG_CC, NVME_CC_EN);
	expect_fatal(r);

	/* An admin submission queue outside of what is mapped. */
	rig_disable(r);
	rig_store64(r, NVME_REG_ASQ, 0xdead0000);
	rig_store(r, NVME_REG_CC, NVME_CC_EN);
	rig_wait(r, NVME_REG_CSTS, NVME_CSTS_RDY, NVME_CSTS_RDY);
	rig_store(r, NVME_REG_DOORBELLS, 1);
	expect_fatal(r);
	assert_true(r->dev->iommu_faults > 0);

	/* An admin completion queue there. */
	rig_disable(r);
	rig_store64(r, NVME_REG_ASQ, RIG_IOVA);
	rig_store64(r, NVME_REG_ACQ, 0xdead0000);
	rig_store(r, NVME_REG_CC, NVME_CC_EN);
	rig_wait(r, NVME_REG_CSTS, NVME_CSTS_RDY, NVME_CSTS_RDY);
	rig_store(r, NVME_REG_DOORBELLS, 1);
	expect_fatal(r);

	/* Bus mastering is off. */
	device_set_command(r->dev, 2);
	rig_queue(r, &r->admin, command(NVME_ADMIN_IDENTIFY, 0, 1, 0));
	rig_ring(r, &r->admin);
	rig_wait(r, NVME_REG_CSTS, NVME_CSTS_CFS, NVME_CSTS_CFS);
	device_set_command(r->dev, 6);
	expect_fatal(r);
}

/* ---- Identify ---- */

static void test_identify(void **state)
{
	struct rig *r = *state;
	struct nvme_identify_controller *c = (void *)(r->arena + DATA);
	struct nvme_identify_namespace *ns = (void *)(r->arena + DATA);
	uint32_t *list = (void *)(r->arena + DATA);
	uint8_t *bytes = r->arena + DATA, eui64[8];

	memset(bytes, 0xff, 4096);
	assert_int_equal(admin(r, NVME_ADMIN_IDENTIFY, 0, NVME_CNS_CONTROLLER, 0), 0);
	assert_int_equal(c->vid, 0x1b36);
	assert_memory_equal(c->sn, "S123                ", 20);
	assert_int_equal(c->ver, 0x10400);
	assert_int_equal(c->mdts, 7);
	assert_int_equal(c->nn, 1);
	assert_int_equal(c->sqes, 0x66);
	assert_int_equal(c->cqes, 0x44);
	assert_int_equal(c->tnvmcap[0], 4 << 20);
	assert_int_equal(c->vendor[1023], 0);

	assert_int_equal(admin(r, NVME_ADMIN_IDENTIFY, 1, NVME_CNS_NAMESPACE, 0), 0);
	assert_int_equal(ns->nsze, (4 << 20) / 512);
	assert_int_equal(ns->lbaf[ns->flbas & 15].lbads, 9);
	memcpy(eui64, ns->eui64, 8);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(admin(r, NVME_ADMIN_IDENTIFY, (uint32_t[]){0, 2, 0xffffffff}[i],
				       NVME_CNS_NAMESPACE, 0),
				 NVME_INVALID_NAMESPACE);

	assert_int_equal(admin(r, NVME_ADMIN_IDENTIFY, 0, NVME_CNS_ACTIVE_LIST, 0), 0);
	assert_int_equal(list[0], 1);
	assert_int_equal(list[1], 0);
	assert_int_equal(admin(r, NVME_ADMIN_IDENTIFY, 1, NVME_CNS_ACTIVE_LIST, 0), 0);
	assert_int_equal(list[0], 0);
	assert_int_equal(admin(r, NVME_ADMIN_IDENTIFY, 0xffffffff, NVME_CNS_ACTIVE_LIST, 0),
			 NVME_INVALID_NAMESPACE);

	assert_int_equal(admin(r, NVME_ADMIN_IDENTIFY, 1, NVME_CNS_DESCRIPTORS, 0), 0);
	assert_int_equal(bytes[0], 1);
	assert_int_equal(bytes[1], 8);
	assert_memory_equal(bytes + 4, eui64, 8);
	assert_int_equal(bytes[12], 2);
	assert_int_equal(bytes[32], 3);
	assert_int_equal(bytes[52], 0);
	assert_int_equal(admin(r, NVME_ADMIN_IDENTIFY, 2, NVME_CNS_DESCRIPTORS, 0),
			 NVME_INVALID_NAMESPACE);
	assert_int_equal(admin(r, NVME_ADMIN_IDENTIFY, 0, 0x55, 0), NVME_INVALID_FIELD);
}

static void test_identify_prps(void **state)
{
	struct rig *r = *state;
	struct nvme_command c = command(NVME_ADMIN_IDENTIFY, 0, NVME_CNS_CONTROLLER, 0);

	/* Over two pages. */
	c.prp1 = RIG_IOVA + DATA + 0xffc;
	c.prp2 = RIG_IOVA + DATA + 0x5000;
	assert_int_equal(rig_run(r, &r->admin, c), 0);
	assert_memory_equal(r->arena + DATA + 0xffc, "\x36\x1b\xf4\x1a", 4);
	assert_memory_equal(r->arena + DATA + 0x5000, "S123", 4);
	c.prp2 = RIG_IOVA + DATA + 0x5010;
	assert_int_equal(rig_run(r, &r->admin, c), NVME_PRP_OFFSET_INVALID);
	c.prp1 = RIG_IOVA + DATA + 2;
	c.prp2 = RIG_IOVA + DATA + 0x5000;
	assert_int_equal(rig_run(r, &r->admin, c), NVME_PRP_OFFSET_INVALID);
	c.prp1 = 0x1000;
	assert_int_equal(rig_run(r, &r->admin, c), NVME_DATA_TRANSFER_ERROR);
	c.prp1 = 0xfffffffffffff000;
	assert_int_equal(rig_run(r, &r->admin, c), NVME_DATA_TRANSFER_ERROR);
	c.prp1 = RIG_IOVA + RIG_SIZE - 4;
	assert_int_equal(rig_run(r, &r->admin, c), 0);
	c.prp2 = RIG_IOVA + RIG_SIZE;
	assert_int_equal(rig_run(r, &r->admin, c), NVME_DATA_TRANSFER_ERROR);
	assert_int_equal(rig_load(r, NVME_REG_CSTS), NVME_CSTS_RDY);
}

static void test_flags_and_opcodes(void **state)
{
	struct rig *r = *state;
	struct nvme_command c = command(NVME_ADMIN_IDENTIFY, 0, NVME_CNS_CONTROLLER, 0);

	c.flags = 0x40; /* an SGL */
	assert_int_equal(rig_run(r, &r->admin, c), NVME_INVALID_FIELD);
	c.flags = 1; /* fused */
	assert_int_equal(rig_run(r, &r->admin, c), NVME_INVALID_FIELD);
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		if (opcode <= 0x0c && opcode != 0x03 && opcode != 0x07 && opcode != 0x0b)
			continue;
		assert_int_equal(admin(r, (uint8_t)opcode, 0, 0, 0), NVME_INVALID_OPCODE);
	}
}

/* ---- queues ---- */

static uint16_t create_cq(struct rig *r, unsigned id, unsigned entries, uint64_t iova,
			  uint32_t cdw11)
{
	struct nvme_command c = command(NVME_ADMIN_CREATE_CQ, 0, (entries - 1) << 16 | id, cdw11);

	c.prp1 = iova;
	return rig_run(r, &r->admin, c);
}

static uint16_t create_sq(struct rig *r, unsigned id, unsigned entries, uint64_t iova,
			  uint32_t cdw11)
{
	struct nvme_command c = command(NVME_ADMIN_CREATE_SQ, 0, (entries - 1) << 16 | id, cdw11);

	c.prp1 = iova;
	return rig_run(r, &r->admin, c);
}

static uint16_t delete_queue(struct rig *r, uint8_t opcode, unsigned id)
{
	return admin(r, opcode, 0, id, 0);
}

static void test_queues(void **state)
{
	struct rig *r = *state;
	uint64_t at = RIG_IOVA + QUEUES;

	assert_int_equal(create_cq(r, 0, 8, at, 1), NVME_INVALID_QID);
	assert_int_equal(create_cq(r, 65, 8, at, 1), NVME_INVALID_QID);
	assert_int_equal(create_cq(r, 1, 1, at, 1), NVME_INVALID_QUEUE_SIZE);
	assert_int_equal(create_cq(r, 1, 2049, at, 1), NVME_INVALID_QUEUE_SIZE);
	assert_int_equal(create_cq(r, 1, 8, at, 0), NVME_INVALID_FIELD);
	assert_int_equal(create_cq(r, 1, 8, at + 8, 1), NVME_PRP_OFFSET_INVALID);
	assert_int_equal(create_cq(r, 1, 8, at, 65u << 16 | 3), NVME_INVALID_VECTOR);
	assert_int_equal(create_cq(r, 1, 8, at, 64u << 16 | 3), 0);
	assert_int_equal(create_cq(r, 1, 8, at, 1), NVME_INVALID_QID);

	assert_int_equal(create_sq(r, 1, 8, at, 0 << 16 | 1), NVME_INVALID_QID);
	assert_int_equal(create_sq(r, 1, 8, at, 65u << 16 | 1), NVME_INVALID_QID);
	assert_int_equal(create_sq(r, 1, 8, at, 2u << 16 | 1), NVME_CQ_INVALID);
	assert_int_equal(create_sq(r, 0, 8, at, 1u << 16 | 1), NVME_INVALID_QID);
	assert_int_equal(create_sq(r, 65, 8, at, 1u << 16 | 1), NVME_INVALID_QID);
	assert_int_equal(create_sq(r, 1, 1, at, 1u << 16 | 1), NVME_INVALID_QUEUE_SIZE);
	assert_int_equal(create_sq(r, 1, 2049, at, 1u << 16 | 1), NVME_INVALID_QUEUE_SIZE);
	assert_int_equal(create_sq(r, 1, 8, at, 1u << 16), NVME_INVALID_FIELD);
	assert_int_equal(create_sq(r, 1, 8, at + 64, 1u << 16 | 1), NVME_PRP_OFFSET_INVALID);
	assert_int_equal(create_sq(r, 1, 8, at, 1u << 16 | 1), 0);
	assert_int_equal(create_sq(r, 1, 8, at, 1u << 16 | 1), NVME_INVALID_QID);
	/* Two submission queues on one completion queue. */
	assert_int_equal(create_sq(r, 2, 8, at, 1u << 16 | 1), 0);

	assert_int_equal(delete_queue(r, NVME_ADMIN_DELETE_CQ, 1), NVME_INVALID_QUEUE_DELETION);
	assert_int_equal(delete_queue(r, NVME_ADMIN_DELETE_CQ, 0), NVME_INVALID_QID);
	assert_int_equal(delete_queue(r, NVME_ADMIN_DELETE_CQ, 2), NVME_INVALID_QID);
	assert_int_equal(delete_queue(r, NVME_ADMIN_DELETE_SQ, 0), NVME_INVALID_QID);
	assert_int_equal(delete_queue(r, NVME_ADMIN_DELETE_SQ, 3), NVME_INVALID_QID);
	assert_int_equal(delete_queue(r, NVME_ADMIN_DELETE_SQ, 65535), NVME_INVALID_QID);
	assert_int_equal(delete_queue(r, NVME_ADMIN_DELETE_SQ, 1), 0);
	assert_int_equal(delete_queue(r, NVME_ADMIN_DELETE_SQ, 1), NVME_INVALID_QID);
	assert_int_equal(delete_queue(r, NVME_ADMIN_DELETE_CQ, 1), NVME_INVALID_QUEUE_DELETION);
	assert_int_equal(delete_queue(r, NVME_ADMIN_DELETE_SQ, 2), 0);
	assert_int_equal(delete_queue(r, NVME_ADMIN_DELETE_CQ, 1), 0);
	assert_int_equal(create_cq(r, 1, 8, at, 1), 0);
}

static void test_entry_sizes(void **state)
{
	struct rig *r = *state;

	rig_store(r, NVME_REG_CC, NVME_CC_EN); /* IOSQES and IOCQES may change */
	assert_int_equal(create_cq(r, 1, 8, RIG_IOVA + QUEUES, 1), NVME_INVALID_QUEUE_SIZE);
	rig_store(r, NVME_REG_CC, 4u << 20 | NVME_CC_EN);
	assert_int_equal(create_cq(r, 1, 8, RIG_IOVA + QUEUES, 1), 0);
	assert_int_equal(create_sq(r, 1, 8, RIG_IOVA + QUEUES, 1u << 16 | 1),
			 NVME_INVALID_QUEUE_SIZE);
}

static void test_all_queues(void **state)
{
	struct rig *r = *state;

	for (unsigned id = 1; id <= 64; id++)
		rig_create_pair(r, id, QUEUES + id * 0x2000, 64);
	for (unsigned id = 1; id <= 64; id++)
		for (unsigned i = 0; i < 60; i++)
			rig_queue(r, &r->io[id], rig_rw(NVME_WRITE, id, 1, 0x400000, 0));
	for (unsigned id = 1; id <= 64; id++)
		rig_ring(r, &r->io[id]);
	for (unsigned id = 1; id <= 64; id++)
		for (unsigned i = 0; i < 60; i++)
			assert_int_equal(rig_status(rig_reap(r, &r->io[id])), 0);
}

/* ---- features ---- */

static uint32_t get_feature(struct rig *r, uint32_t id, uint32_t select, uint32_t cdw11)
{
	return admin_result(r, NVME_ADMIN_GET_FEATURES, 0, id | select << 8, cdw11);
}

static uint16_t set_feature(struct rig *r, uint32_t id, uint32_t cdw11)
{
	return admin(r, NVME_ADMIN_SET_FEATURES, 0, id, cdw11);
}

static void test_features(void **state)
{
	struct rig *r = *state;
	static const struct {
		uint32_t id, initial, value, nsid;
	} plain[] = {
		{NVME_FEATURE_ARBITRATION, 7, 3, 0},
		{NVME_FEATURE_POWER_MANAGEMENT, 0, 0, 0},
		{NVME_FEATURE_ERROR_RECOVERY, 0, 0x10020, 1},
		{NVME_FEATURE_WRITE_CACHE, 1, 0, 0},
		{NVME_FEATURE_COALESCING, 0, 0x1234, 0},
		{NVME_FEATURE_WRITE_ATOMICITY, 0, 1, 0},
		{NVME_FEATURE_ASYNC_EVENTS, 0, 0x1f, 0},
	};

	for (unsigned i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		uint32_t id = plain[i].id;
		uint32_t nsid = plain[i].nsid;

		assert_int_equal(get_feature(r, id, 0, 0), plain[i].initial);
		assert_int_equal(admin(r, NVME_ADMIN_SET_FEATURES, nsid, id, plain[i].value), 0);
		assert_int_equal(get_feature(r, id, 0, 0), plain[i].value);
		assert_int_equal(get_feature(r, id, 1, 0), plain[i].initial);
		assert_int_equal(get_feature(r, id, 2, 0), plain[i].initial);
		assert_int_equal(get_feature(r, id, 3, 0), nsid ? 6 : 4);
	}
	/* The reset brings them back. */
	rig_disable(r);
	rig_enable(r);
	for (unsigned i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		assert_int_equal(get_feature(r, plain[i].id, 0, 0), plain[i].initial);

	/* Not there: LBA ranges, 0, what is beyond, selects that don't exist. */
	assert_int_equal(admin(r, NVME_ADMIN_GET_FEATURES, 0, 3, 0), NVME_INVALID_FIELD);
	assert_int_equal(admin(r, NVME_ADMIN_GET_FEATURES, 0, 0, 0), NVME_INVALID_FIELD);
	assert_int_equal(admin(r, NVME_ADMIN_GET_FEATURES, 0, 0x7f, 0), NVME_INVALID_FIELD);
	assert_int_equal(admin(r, NVME_ADMIN_GET_FEATURES, 0, 4 << 8 | 1, 0), NVME_INVALID_FIELD);
	assert_int_equal(set_feature(r, 3, 0), NVME_INVALID_FIELD);
	assert_int_equal(set_feature(r, NVME_FEATURE_ARBITRATION | 1u << 31, 0), NVME_NOT_SAVEABLE);
	assert_int_equal(set_feature(r, NVME_FEATURE_POWER_MANAGEMENT, 1), NVME_INVALID_FIELD);
	assert_int_equal(admin(r, NVME_ADMIN_SET_FEATURES, 1, NVME_FEATURE_COALESCING, 0),
			 NVME_NOT_NAMESPACE_SPECIFIC);
	assert_int_equal(admin(r, NVME_ADMIN_SET_FEATURES, 1, NVME_FEATURE_WRITE_CACHE, 1), 0);
	assert_int_equal(admin(r, NVME_ADMIN_SET_FEATURES, 7, NVME_FEATURE_WRITE_CACHE, 0),
			 NVME_INVALID_NAMESPACE);
	assert_int_equal(admin(r, NVME_ADMIN_SET_FEATURES, 7, NVME_FEATURE_ERROR_RECOVERY, 0),
			 NVME_INVALID_NAMESPACE);
}

static void test_feature_vector(void **state)
{
	struct rig *r = *state;

	assert_int_equal(get_feature(r, NVME_FEATURE_VECTOR, 0, 5), 5);
	assert_int_equal(set_feature(r, NVME_FEATURE_VECTOR, 1u << 16 | 5), 0);
	assert_int_equal(get_feature(r, NVME_FEATURE_VECTOR, 0, 5), 1u << 16 | 5);
	assert_int_equal(get_feature(r, NVME_FEATURE_VECTOR, 0, 4), 4);
	assert_int_equal(set_feature(r, NVME_FEATURE_VECTOR, 65), NVME_INVALID_FIELD);
	assert_int_equal(admin(r, NVME_ADMIN_GET_FEATURES, 0, NVME_FEATURE_VECTOR, 65535),
			 NVME_INVALID_FIELD);
}

static void test_feature_queues(void **state)
{
	struct rig *r = *state;

	assert_int_equal(admin_result(r, NVME_ADMIN_SET_FEATURES, 0, NVME_FEATURE_QUEUES, 0x30003),
			 63u << 16 | 63);
	assert_int_equal(get_feature(r, NVME_FEATURE_QUEUES, 0, 0), 63u << 16 | 63);
	assert_int_equal(set_feature(r, NVME_FEATURE_QUEUES, 0xffff), NVME_INVALID_FIELD);
	assert_int_equal(set_feature(r, NVME_FEATURE_QUEUES, 0xffff0000), NVME_INVALID_FIELD);
	rig_create_pair(r, 1, QUEUES, 8);
	assert_int_equal(set_feature(r, NVME_FEATURE_QUEUES, 0x30003), NVME_SEQUENCE_ERROR);
}

static void test_few_queues(void **state)
{
	struct rig r;

	rig_open(&r, "nvme,queues=2,mdts=5");
	rig_enable(&r);
	assert_int_equal(get_feature(&r, NVME_FEATURE_QUEUES, 0, 0), 1u << 16 | 1);
	rig_create_pair(&r, 2, QUEUES, 8);
	assert_int_equal(create_cq(&r, 3, 8, RIG_IOVA + QUEUES, 1), NVME_INVALID_QID);
	rig_close(&r);
}

static void test_temperature(void **state)
{
	struct rig *r = *state;
	struct nvme_smart_log *smart = (void *)(r->arena + DATA);
	uint32_t smart_page = 127u << 16 | NVME_LOG_SMART;
	struct nvme_completion e;
	uint16_t cid;

	assert_int_equal(get_feature(r, NVME_FEATURE_TEMPERATURE_THRESHOLD, 0, 0), 343);
	assert_int_equal(get_feature(r, NVME_FEATURE_TEMPERATURE_THRESHOLD, 0, 1u << 20), 0);
	assert_int_equal(get_feature(r, NVME_FEATURE_TEMPERATURE_THRESHOLD, 0, 3u << 16), 0xffff);
	assert_int_equal(set_feature(r, NVME_FEATURE_TEMPERATURE_THRESHOLD, 9u << 16 | 1),
			 NVME_INVALID_FIELD);
	assert_int_equal(set_feature(r, NVME_FEATURE_TEMPERATURE_THRESHOLD, 2u << 20 | 1),
			 NVME_INVALID_FIELD);
	assert_int_equal(admin(r, NVME_ADMIN_GET_LOG_PAGE, 0, smart_page, 0), 0);
	assert_int_equal(smart->critical_warning, 0);
	assert_int_equal(smart->temperature, 310);

	/* Below the temperature it is: a warning and, if configured, an event. */
	assert_int_equal(set_feature(r, NVME_FEATURE_ASYNC_EVENTS, 2), 0);
	cid = rig_queue(r, &r->admin, command(NVME_ADMIN_ASYNC_EVENT, 0, 0, 0));
	rig_ring(r, &r->admin);
	rig_queue(r, &r->admin,
		  command(NVME_ADMIN_SET_FEATURES, 0, NVME_FEATURE_TEMPERATURE_THRESHOLD, 300));
	rig_ring(r, &r->admin);
	e = rig_reap(r, &r->admin);
	assert_int_equal(e.cid, cid);
	assert_int_equal(e.result, NVME_LOG_SMART << 16 | 1 << 8 | NVME_EVENT_SMART);
	assert_int_equal(rig_status(rig_reap(r, &r->admin)), 0);
	assert_int_equal(admin(r, NVME_ADMIN_GET_LOG_PAGE, 0, smart_page, 0), 0);
	assert_int_equal(smart->critical_warning, 2);
	assert_int_equal(set_feature(r, NVME_FEATURE_TEMPERATURE_THRESHOLD, 15u << 16 | 400), 0);
	assert_int_equal(get_feature(r, NVME_FEATURE_TEMPERATURE_THRESHOLD, 0, 8u << 16), 400);
}

/* ---- log pages, events, Abort ---- */

static void test_log_pages(void **state)
{
	struct rig *r = *state;
	struct nvme_error_entry *errors = (void *)(r->arena + DATA);
	struct nvme_smart_log *smart = (void *)(r->arena + DATA);
	struct nvme_completion e;
	struct nvme_command c;

	e = rig_execute(r, &r->admin, command(0xc0, 9, 0, 0));
	assert_int_equal(rig_status(e), NVME_INVALID_OPCODE);
	assert_int_equal(e.status >> 1 & NVME_MORE, NVME_MORE);
	assert_int_equal(e.status >> 1 & NVME_DNR, NVME_DNR);
	assert_int_equal(admin(r, NVME_ADMIN_GET_LOG_PAGE, 0, 31u << 16 | NVME_LOG_ERROR, 0), 0);
	assert_int_equal(errors[0].count, 1);
	assert_int_equal(errors[0].sq_id, 0);
	assert_int_equal(errors[0].cid, e.cid);
	assert_int_equal(errors[0].nsid, 9);
	assert_int_equal(errors[0].status >> 1 & 0x7ff, NVME_INVALID_OPCODE);
	assert_int_equal(errors[1].count, 0);

	assert_int_equal(
		admin(r, NVME_ADMIN_GET_LOG_PAGE, 0xffffffff, 127u << 16 | NVME_LOG_SMART, 0), 0);
	assert_int_equal(smart->error_entries[0], 1);
	assert_int_equal(smart->power_cycles[0], 1);
	assert_int_equal(admin(r, NVME_ADMIN_GET_LOG_PAGE, 0, 127u << 16 | NVME_LOG_FIRMWARE, 0),
			 0);
	assert_memory_equal(r->arena + DATA + 8, "1.0     ", 8);
	assert_int_equal(r->arena[DATA], 1);
	assert_int_equal(admin(r, NVME_ADMIN_GET_LOG_PAGE, 0, 1023u << 16 | NVME_LOG_EFFECTS, 0),
			 0);
	assert_int_equal(((uint32_t *)(r->arena + DATA))[256 + NVME_WRITE], 3);

	/* Part of a page, from an offset. */
	memset(r->arena + DATA, 0xee, 64);
	c = command(NVME_ADMIN_GET_LOG_PAGE, 0, 0u << 16 | NVME_LOG_FIRMWARE, 0);
	c.cdw12 = 8;
	assert_int_equal(rig_run(r, &r->admin, c), 0);
	assert_memory_equal(r->arena + DATA, "1.0 \xee", 5);
	c.cdw12 = 6;
	assert_int_equal(rig_run(r, &r->admin, c), NVME_INVALID_FIELD);
	c.cdw12 = 516;
	assert_int_equal(rig_run(r, &r->admin, c), NVME_INVALID_FIELD);
	c.cdw12 = 8;
	c.cdw13 = 1;
	assert_int_equal(rig_run(r, &r->admin, c), NVME_INVALID_FIELD);
	/* More than there is: what there is.  More than a transfer may have: an error. */
	assert_int_equal(admin(r, NVME_ADMIN_GET_LOG_PAGE, 0, 1000u << 16 | NVME_LOG_SMART, 0), 0);
	assert_int_equal(admin(r, NVME_ADMIN_GET_LOG_PAGE, 0, NVME_LOG_SMART, 0xffff),
			 NVME_INVALID_FIELD);
	assert_int_equal(admin(r, NVME_ADMIN_GET_LOG_PAGE, 0, 0x77, 0), NVME_INVALID_LOG_PAGE);
	assert_int_equal(admin(r, NVME_ADMIN_GET_LOG_PAGE, 3, NVME_LOG_SMART, 0),
			 NVME_INVALID_NAMESPACE);
}

static void test_events(void **state)
{
	struct rig *r = *state;
	uint32_t error_page = 15u << 16 | NVME_LOG_ERROR;
	uint16_t cids[4];
	struct nvme_completion e;

	for (unsigned i = 0; i < 4; i++) {
		cids[i] = rig_queue(r, &r->admin, command(NVME_ADMIN_ASYNC_EVENT, 0, 0, 0));
		rig_ring(r, &r->admin);
	}
	assert_false(rig_poll(r, &r->admin, &e));
	/* One too many. */
	assert_int_equal(admin(r, NVME_ADMIN_ASYNC_EVENT, 0, 0, 0), NVME_AER_LIMIT_EXCEEDED);

	/* A doorbell of a queue that isn't there, of one that can't be, of a register beyond. */
	rig_store(r, NVME_REG_DOORBELLS + 8 * 5, 1);
	e = rig_reap(r, &r->admin);
	assert_int_equal(e.cid, cids[0]);
	assert_int_equal(e.result, NVME_LOG_ERROR << 16 | 0 << 8 | NVME_EVENT_ERROR);
	/* The same type again says nothing before the log page has been read. */
	rig_store(r, NVME_REG_DOORBELLS + 8 * 5 + 4, 1);
	rig_store(r, NVME_REG_DOORBELLS + 0xffc, 1);
	assert_false(rig_poll(r, &r->admin, &e));
	assert_int_equal(admin(r, NVME_ADMIN_GET_LOG_PAGE, 0, error_page | 1u << 15, 0), 0);
	rig_store(r, NVME_REG_DOORBELLS + 0xffc, 2);
	assert_false(rig_poll(r, &r->admin, &e));
	assert_int_equal(admin(r, NVME_ADMIN_GET_LOG_PAGE, 0, error_page, 0), 0);

	/* A tail outside the queue. */
	rig_store(r, NVME_REG_DOORBELLS, RIG_ENTRIES);
	e = rig_reap(r, &r->admin);
	assert_int_equal(e.cid, cids[1]);
	assert_int_equal(e.result, NVME_LOG_ERROR << 16 | 1 << 8 | NVME_EVENT_ERROR);
	assert_int_equal(admin(r, NVME_ADMIN_GET_LOG_PAGE, 0, error_page, 0), 0);
	/* A head beyond what has been completed. */
	rig_store(r, NVME_REG_DOORBELLS + 4, (r->admin.head + 3) % RIG_ENTRIES);
	e = rig_reap(r, &r->admin);
	assert_int_equal(e.cid, cids[2]);
	assert_int_equal(e.result, NVME_LOG_ERROR << 16 | 1 << 8 | NVME_EVENT_ERROR);
	assert_int_equal(admin(r, NVME_ADMIN_GET_LOG_PAGE, 0, error_page, 0), 0);

	/* Abort gets the last parked one back, and nothing else. */
	assert_int_equal(admin_result(r, NVME_ADMIN_ABORT, 0, 0xabcdu << 16, 0), 1);
	assert_int_equal(admin_result(r, NVME_ADMIN_ABORT, 0, (uint32_t)cids[3] << 16 | 1, 0), 1);
	rig_queue(r, &r->admin, command(NVME_ADMIN_ABORT, 0, (uint32_t)cids[3] << 16, 0));
	rig_ring(r, &r->admin);
	e = rig_reap(r, &r->admin);
	assert_int_equal(e.cid, cids[3]);
	assert_int_equal(rig_status(e), NVME_ABORT_REQUESTED);
	e = rig_reap(r, &r->admin);
	assert_int_equal(e.result, 0);

	/* Without a parked request the event waits for one. */
	rig_store(r, NVME_REG_DOORBELLS + 8 * 64, 1);
	e = rig_execute(r, &r->admin, command(NVME_ADMIN_ASYNC_EVENT, 0, 0, 0));
	assert_int_equal(e.result, NVME_LOG_ERROR << 16 | 0 << 8 | NVME_EVENT_ERROR);

	/* Parked requests do not survive a reset. */
	rig_queue(r, &r->admin, command(NVME_ADMIN_ASYNC_EVENT, 0, 0, 0));
	rig_ring(r, &r->admin);
	rig_disable(r);
	rig_enable(r);
	rig_store(r, NVME_REG_DOORBELLS + 8 * 5, 1);
	assert_false(rig_poll(r, &r->admin, &e));
}

/* ---- interrupts ---- */

static int signals(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? (int)count : 0;
}

static void test_msix(void **state)
{
	struct rig *r = *state;
	int fd = eventfd(0, EFD_NONBLOCK), admin_fd = eventfd(0, EFD_NONBLOCK);

	line_connect(&r->dev->vectors[0], hostfd_duplicate(admin_fd));
	line_connect(&r->dev->vectors[3], hostfd_duplicate(fd));
	atomic_store(&r->dev->irq_mode, STANDIN_IRQ_MSIX);
	msix_entry_enable(r->dev, 0, true);
	msix_entry_enable(r->dev, 3, true);
	rig_create_pair(r, 3, QUEUES, 8);
	assert_int_equal(signals(admin_fd), 2);

	/* One for a batch, none for a store of the head. */
	for (unsigned i = 0; i < 3; i++)
		rig_queue(r, &r->io[3], rig_rw(NVME_READ, i, 1, DATA, 0));
	rig_ring(r, &r->io[3]);
	assert_int_equal(signals(fd), 1);
	for (unsigned i = 0; i < 3; i++)
		rig_reap(r, &r->io[3]);
	assert_int_equal(signals(fd), 0);
	assert_int_equal(signals(admin_fd), 0);

	/* A queue without interrupts. */
	assert_int_equal(create_cq(r, 4, 8, RIG_IOVA + QUEUES + 0x3000, 3u << 16 | 1), 0);
	assert_int_equal(create_sq(r, 4, 8, RIG_IOVA + QUEUES + 0x2000, 4u << 16 | 1), 0);
	r->io[4] = (struct rig_queue){
		.id = 4, .entries = 8, .sq = QUEUES + 0x2000, .cq = QUEUES + 0x3000, .phase = true};
	assert_int_equal(rig_run(r, &r->io[4], rig_rw(NVME_READ, 0, 1, DATA, 0)), 0);
	assert_int_equal(signals(fd), 0);
	close(fd);
	close(admin_fd);
}

static void test_msi(void **state)
{
	struct rig *r = *state;
	int fd = eventfd(0, EFD_NONBLOCK);

	line_connect(&r->dev->vectors[2], hostfd_duplicate(fd));
	atomic_store(&r->dev->n_enabled, 4);
	atomic_store(&r->dev->irq_mode, STANDIN_IRQ_MSI);
	assert_int_equal(create_cq(r, 1, 8, RIG_IOVA + QUEUES, 32u << 16 | 3), NVME_INVALID_VECTOR);
	rig_create_pair(r, 2, QUEUES, 8);
	rig_queue(r, &r->io[2], rig_rw(NVME_READ, 0, 1, DATA, 0));
	rig_ring(r, &r->io[2]);
	assert_int_equal(signals(fd), 1);
	rig_reap(r, &r->io[2]);

	/* Masked by INTMS: comes when unmasked, if there is still something to see. */
	rig_store(r, NVME_REG_INTMS, 1u << 2);
	rig_queue(r, &r->io[2], rig_rw(NVME_READ, 0, 1, DATA, 0));
	rig_ring(r, &r->io[2]);
	assert_int_equal(signals(fd), 0);
	rig_store(r, NVME_REG_INTMC, 1u << 2);
	assert_int_equal(signals(fd), 1);
	rig_reap(r, &r->io[2]);
	rig_store(r, NVME_REG_INTMS, 1u << 2);
	rig_store(r, NVME_REG_INTMC, 1u << 2);
	assert_int_equal(signals(fd), 0);
	close(fd);
}

static void test_intx(void **state)
{
	struct rig *r = *state;

	atomic_store(&r->dev->irq_mode, STANDIN_IRQ_INTX);
	assert_int_equal(create_cq(r, 1, 8, RIG_IOVA + QUEUES, 1u << 16 | 3), NVME_INVALID_VECTOR);
	assert_int_equal(create_cq(r, 1, 8, RIG_IOVA + QUEUES + 0x1000, 3), 0);
	assert_int_equal(create_sq(r, 1, 8, RIG_IOVA + QUEUES, 1u << 16 | 1), 0);
	r->io[1] = (struct rig_queue){
		.id = 1, .entries = 8, .sq = QUEUES, .cq = QUEUES + 0x1000, .phase = true};
	assert_false(r->dev->intx_asserted);
	rig_queue(r, &r->io[1], rig_rw(NVME_READ, 0, 1, DATA, 0));
	rig_queue(r, &r->io[1], rig_rw(NVME_READ, 0, 1, DATA, 0));
	rig_ring(r, &r->io[1]);
	assert_true(r->dev->intx_asserted);
	rig_store(r, NVME_REG_INTMS, 1);
	assert_false(r->dev->intx_asserted);
	rig_store(r, NVME_REG_INTMC, 1);
	assert_true(r->dev->intx_asserted);
	rig_reap(r, &r->io[1]);
	assert_true(r->dev->intx_asserted); /* one is left */
	rig_reap(r, &r->io[1]);
	assert_false(r->dev->intx_asserted);
	rig_queue(r, &r->io[1], rig_rw(NVME_READ, 0, 1, DATA, 0));
	rig_ring(r, &r->io[1]);
	assert_true(r->dev->intx_asserted);
	rig_disable(r);
	assert_false(r->dev->intx_asserted);
}

/* ---- configuration ---- */

static void expect_error(const char *spec, const char *message)
{
	struct config config;
	struct standin_device *dev;
	char error[CONFIG_ERROR_MAX];

	config_init(&config);
	assert_int_equal(config_device(&config, spec, error), 0);
	assert_int_equal(config_complete(&config, error), 0);
	assert_int_equal(device_create(&config.devices[0], 0, &dev), 0);
	assert_true(device_check(dev) < 0);
	if (!strstr(dev->error, message))
		fail_msg("'%s' has no '%s'", dev->error, message);
	device_destroy(dev);
	config_finish(&config);
}

static void test_bad_configuration(void **state)
{
	expect_error("nvme,blocksize=1024", "512 or 4096");
	expect_error("nvme,blocksize=4096,size=4608", "no multiple of the block size");
	expect_error("nvme,size=0", "size");
	expect_error("nvme,size=many", "many");
	expect_error("nvme,queues=65", "queues");
	expect_error("nvme,queues=0", "queues");
	expect_error("nvme,mdts=10", "mdts");
	expect_error("nvme,serial=123456789012345678901", "serial");
	expect_error("nvme,serial=", "serial");
	expect_error("nvme,readonly=perhaps", "readonly");
	expect_error("nvme,file=/nonexistent/file", "/nonexistent/file: No such file");
	expect_error("nvme,file=/tmp", "/tmp is a directory");
	expect_error("nvme,file=/dev/null", "neither a file nor a block device");
	expect_error("nvme,file=/tmp,size=1M", "size=");
	expect_error("nvme,aio=threads", "aio=");
	expect_error("nvme,file=/tmp/x,aio=magic", "aio=magic");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers),
		TEST(test_life_cycle),
		TEST(test_shutdown),
		TEST(test_subsystem_reset),
		TEST(test_fatal),
		TEST(test_identify),
		TEST(test_identify_prps),
		TEST(test_flags_and_opcodes),
		TEST(test_queues),
		TEST(test_entry_sizes),
		TEST(test_all_queues),
		TEST(test_features),
		TEST(test_feature_vector),
		TEST(test_feature_queues),
		cmocka_unit_test(test_few_queues),
		TEST(test_temperature),
		TEST(test_log_pages),
		TEST(test_events),
		TEST(test_msix),
		TEST(test_msi),
		TEST(test_intx),
		cmocka_unit_test(test_bad_configuration),
	};

	return cmocka_run_group_tests_name("nvme", tests, NULL, NULL);
}
