/* SPDX-License-Identifier: BSD-3-Clause */
/* The edu device as QEMU documents it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "nvme_rig.h"

static struct rig rig;

static int setup(void **state)
{
	rig_open(&rig, "edu,dma_mask=0xffffffff");
	return 0;
}

static int teardown(void **state)
{
	rig_close(&rig);
	return 0;
}

static void test_registers(void **state)
{
	assert_int_equal(rig_load(&rig, 0), 0x010000ed);
	rig_store(&rig, 0, 5);
	assert_int_equal(rig_load(&rig, 0), 0x010000ed);
	rig_store(&rig, 4, 0x12345678);
	assert_int_equal(rig_load(&rig, 4), ~0x12345678u);
	assert_int_equal(rig_load(&rig, 0x0c), 0xffffffff);
	assert_int_equal(device_bar_read(rig.dev, 0, 4, 2), 0xffff);
	assert_int_equal(device_bar_read(rig.dev, 0, 0, 8), ~(uint64_t)0);
	device_reset(rig.dev);
	assert_int_equal(rig_load(&rig, 4), 0);
}

static void test_factorial(void **state)
{
	rig_store(&rig, 8, 5);
	assert_int_equal(rig_load(&rig, 8), 120);
	assert_int_equal(rig_load(&rig, 0x20), 0);
	rig_store(&rig, 8, 0);
	assert_int_equal(rig_load(&rig, 8), 1);
	rig_store(&rig, 8, 13);
	assert_int_equal(rig_load(&rig, 8), 1932053504); /* 13! modulo 2^32 */
	rig_store(&rig, 8, 0xffffffff);
	assert_int_equal(rig_load(&rig, 8), 0);

	atomic_store(&rig.dev->irq_mode, STANDIN_IRQ_INTX);
	rig_store(&rig, 0x20, 0xff);
	assert_int_equal(rig_load(&rig, 0x20), 0x80);
	assert_false(rig.dev->intx_asserted);
	rig_store(&rig, 8, 4);
	assert_int_equal(rig_load(&rig, 0x24), 1);
	assert_true(rig.dev->intx_asserted);
	rig_store(&rig, 0x64, 1);
	assert_int_equal(rig_load(&rig, 0x24), 0);
	assert_false(rig.dev->intx_asserted);
}

static void test_interrupts(void **state)
{
	atomic_store(&rig.dev->irq_mode, STANDIN_IRQ_INTX);
	rig_store(&rig, 0x60, 0x6);
	assert_int_equal(rig_load(&rig, 0x24), 6);
	assert_true(rig.dev->intx_asserted);
	rig_store(&rig, 0x64, 0x2);
	assert_true(rig.dev->intx_asserted);
	rig_store(&rig, 0x64, 0x4);
	assert_false(rig.dev->intx_asserted);
	rig_store(&rig, 0x60, 0x1);
	device_reset(rig.dev);
	assert_false(rig.dev->intx_asserted);
	assert_int_equal(rig_load(&rig, 0x24), 0);
}

static void dma(uint64_t source, uint64_t destination, uint64_t count, uint64_t command)
{
	rig_store64(&rig, 0x80, source);
	rig_store64(&rig, 0x88, destination);
	rig_store64(&rig, 0x90, count);
	rig_store64(&rig, 0x98, command);
}

static void test_dma(void **state)
{
	memset(rig.arena, 0x5a, 4096);
	dma(RIG_IOVA, 0x40000, 4096, 1);
	assert_int_equal(rig_load(&rig, 0x98), 0); /* done */
	assert_int_equal(rig_load(&rig, 0x90), 4096);
	dma(0x40010, RIG_IOVA + 0x2000, 16, 3 | 4);
	assert_memory_equal(rig.arena + 0x2000, rig.arena, 16);
	assert_int_equal(rig.arena[0x2010], 0);
	assert_int_equal(rig_load(&rig, 0x24), 0x100);

	/* Outside the buffer, outside of what is mapped: nothing happens. */
	dma(0x40001, RIG_IOVA + 0x3000, 4096, 3);
	dma(0x3ffff, RIG_IOVA + 0x3000, 16, 3);
	dma(0x41000, RIG_IOVA + 0x3000, 1, 3);
	dma(UINT64_MAX, RIG_IOVA + 0x3000, 2, 3);
	dma(0x40000, RIG_IOVA + 0x3000, UINT64_MAX, 3);
	assert_int_equal(rig.arena[0x3000], 0);
	assert_int_equal(rig.dev->iommu_faults, 0);
	dma(0x40000, 0x1000, 16, 3);
	assert_int_equal(rig.dev->iommu_faults, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_registers),
		TEST(test_factorial),
		TEST(test_interrupts),
		TEST(test_dma),
	};

	return cmocka_run_group_tests_name("edu", tests, NULL, NULL);
}
