/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The SCSI block commands beyond reading and writing: WRITE SAME, UNMAP, GET LBA STATUS,
 * VERIFY, WRITE AND VERIFY, COMPARE AND WRITE; and what backends' errors become.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/fault.h"
#include "scsi_rig.h"

static struct rig rig;
static unsigned block_size;

static int setup(void **state)
{
	block_size = 512;
	rig_start(&rig, block_size);
	return 0;
}

static int setup_4k(void **state)
{
	block_size = 4096;
	rig_start(&rig, block_size);
	return 0;
}

static int teardown(void **state)
{
	fault_clear();
	rig_stop(&rig);
	return 0;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 3; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

/* Writes `blocks` blocks of that byte by WRITE(10). */
static void write_bytes(unsigned lba, unsigned blocks, uint8_t byte)
{
	memset(rig.out, byte, (size_t)blocks * block_size);
	rig.out_size = (uint64_t)blocks * block_size;
	expect_good(&rig, 0x2a, 0, 0, 0, (uint8_t)(lba >> 8), (uint8_t)lba, 0,
		    (uint8_t)(blocks >> 8), (uint8_t)blocks, 0);
}

/* Every byte of those blocks is that. */
static void expect_bytes(unsigned lba, unsigned blocks, uint8_t byte)
{
	size_t size = (size_t)blocks * block_size;

	rig.in_size = size;
	expect_good(&rig, 0x28, 0, 0, 0, (uint8_t)(lba >> 8), (uint8_t)lba, 0,
		    (uint8_t)(blocks >> 8), (uint8_t)blocks, 0);
	for (size_t i = 0; i < size; i++)
		if (rig.in[i] != byte)
			fail_msg("LBA %u: 0x%02x, not 0x%02x", lba + (unsigned)(i / block_size),
				 rig.in[i], byte);
}

/* ---- WRITE SAME ---- */

static void test_write_same(void **state)
{
	write_bytes(0, 64, 0x11);
	memset(rig.out, 0x22, block_size);
	rig.out_size = block_size;
	expect_good(&rig, 0x41, 0, 0, 0, 0, 4, 0, 0, 8, 0);
	expect_bytes(0, 4, 0x11);
	expect_bytes(4, 8, 0x22);
	expect_bytes(12, 4, 0x11);
	memset(rig.out, 0, block_size);
	rig.out_size = block_size;
	expect_good(&rig, 0x93, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 2, 0, 0);
	expect_bytes(15, 1, 0x11);
	expect_bytes(16, 2, 0);
	expect_bytes(18, 1, 0x11);
	/* NDOB: zeros, with no data */
	expect_good(&rig, 0x93, 0x09, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 2, 0, 0);
	expect_bytes(19, 1, 0x11);
	expect_bytes(20, 2, 0);
	/* Data that is not zero is written, also with UNMAP. */
	memset(rig.out, 0x33, block_size);
	rig.out_size = block_size;
	expect_good(&rig, 0x93, 0x08, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0, 2, 0, 0);
	expect_bytes(24, 2, 0x33);
}

/* 0 blocks: up to the end; more than a piece at a time. */
static void test_write_same_to_the_end(void **state)
{
	write_bytes(1000, 24, 0x44);
	memset(rig.out, 0x55, block_size);
	rig.out_size = block_size;
	expect_good(&rig, 0x41, 0, 0, 0, 4, 0, 0, 0, 0, 0);
	expect_bytes(1000, 24, 0x44);
	expect_bytes(1024, 256, 0x55);
	expect_bytes(RIG_BLOCKS - 1, 1, 0x55);
}

static void test_write_same_errors(void **state)
{
	rig.out_size = block_size;
	expect_sense(&rig, 0x052400, 0x41, 0x10, 0, 0, 0, 4, 0, 0, 8, 0); /* ANCHOR */
	expect_sense(&rig, 0x052400, 0x41, 0x20, 0, 0, 0, 4, 0, 0, 8, 0); /* WRPROTECT */
	rig.out_size = block_size;
	expect_sense(&rig, 0x052100, 0x41, 0, 0, 0, 7, 0xff, 0, 0, 2, 0);
	expect_sense(&rig, 0x050e03, 0x41, 0, 0, 0, 0, 4, 0, 0, 8, 0);
	rig.out_size = 2 * block_size;
	expect_sense(&rig, 0x050e03, 0x41, 0, 0, 0, 0, 4, 0, 0, 8, 0);
}

/* ---- UNMAP ---- */

/* One descriptor at the list's place i; the list is not sent. */
static void put_range(unsigned i, uint64_t lba, uint32_t blocks)
{
	uint8_t *d = rig.out + 8 + 16 * i;

	put32(d, (uint32_t)(lba >> 32));
	put32(d + 4, (uint32_t)lba);
	put32(d + 8, blocks);
	put32(d + 12, 0);
}

/* A list of n descriptors. */
static void put_list(unsigned n)
{
	memset(rig.out, 0, 8);
	rig.out[0] = (uint8_t)((16 * n + 6) >> 8);
	rig.out[1] = (uint8_t)(16 * n + 6);
	rig.out[2] = (uint8_t)(16 * n >> 8);
	rig.out[3] = (uint8_t)(16 * n);
	rig.out_size = 8 + 16 * n;
}

#define UNMAP(size) 0x42, 0, 0, 0, 0, 0, 0, (uint8_t)((size) >> 8), (uint8_t)(size), 0

static void test_unmap(void **state)
{
	write_bytes(0, 64, 0x66);
	put_range(0, 3, 2);
	put_range(1, 9, 0);
	put_range(2, 16, 8);
	put_list(3);
	expect_good(&rig, UNMAP(56));
	assert_int_equal(rig.c.residual, 0);
	expect_bytes(0, 3, 0x66);
	expect_bytes(3, 2, 0);
	expect_bytes(5, 11, 0x66);
	expect_bytes(16, 8, 0);
	expect_bytes(24, 40, 0x66);
	/* nothing to do */
	expect_good(&rig, UNMAP(0));
	put_list(0);
	expect_good(&rig, UNMAP(8));
	/* a descriptor that is cut off is ignored */
	put_range(0, 30, 1);
	put_range(1, 31, 1);
	put_list(2);
	rig.out[3] = 31;
	expect_good(&rig, UNMAP(40));
	expect_bytes(30, 1, 0);
	expect_bytes(31, 1, 0x66);
}

static void test_unmap_errors(void **state)
{
	write_bytes(0, 64, 0x77);
	expect_sense(&rig, 0x052400, 0x42, 1, 0, 0, 0, 0, 0, 0, 24, 0); /* ANCHOR */
	expect_sense(&rig, 0x051a00, UNMAP(7));
	put_list(1);
	expect_sense(&rig, 0x052600, UNMAP(23)); /* less than it says */
	put_list(1);
	rig.out_size = 8;
	expect_sense(&rig, 0x050e03, UNMAP(24));
	/* All are looked at before the first is unmapped. */
	put_range(0, 0, 8);
	put_range(1, RIG_BLOCKS, 1);
	put_list(2);
	expect_sense(&rig, 0x052100, UNMAP(40));
	put_range(1, UINT64_MAX, 1);
	put_list(2);
	expect_sense(&rig, 0x052100, UNMAP(40));
	expect_bytes(0, 64, 0x77);
	for (unsigned i = 0; i < 256; i++)
		put_range(i, 0, 1);
	put_list(256);
	expect_sense(&rig, 0x052600, UNMAP(8 + 16 * 256));
	put_list(255);
	expect_good(&rig, UNMAP(8 + 16 * 255));
	expect_bytes(0, 1, 0);
}

/* ---- GET LBA STATUS ---- */

static void test_lba_status(void **state)
{
	unsigned page = 4096 / block_size;

	write_bytes(2 * page, 3 * page, 0x88);
	rig.in_size = 8 + 3 * 16;
	expect_good(&rig, 0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0);
	assert_int_equal(be32(rig.in), 4 + 3 * 16);
	assert_int_equal(be32(rig.in + 12), 0);
	assert_int_equal(be32(rig.in + 16), 2 * page);
	assert_int_equal(rig.in[20], 1); /* deallocated */
	assert_int_equal(be32(rig.in + 28), 2 * page);
	assert_int_equal(be32(rig.in + 32), 3 * page);
	assert_int_equal(rig.in[36], 0);
	assert_int_equal(be32(rig.in + 44), 5 * page);
	assert_int_equal(be32(rig.in + 48), RIG_BLOCKS - 5 * page);
	assert_int_equal(rig.in[52], 1);
	/* from within a range, with room for one descriptor */
	rig.in_size = 24;
	expect_good(&rig, 0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, (uint8_t)(3 * page), 0, 0, 0, 24, 0, 0);
	assert_int_equal(be32(rig.in), 20);
	assert_int_equal(be32(rig.in + 12), 3 * page);
	assert_int_equal(be32(rig.in + 16), 2 * page);
	expect_sense(&rig, 0x052100, 0x9e, 0x12, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 24, 0, 0);
}

/* ---- VERIFY ---- */

static void test_verify(void **state)
{
	write_bytes(0, 600, 0x99);
	expect_good(&rig, 0x2f, 0, 0, 0, 0, 0, 0, 2, 0, 0);
	expect_good(&rig, 0xaf, 0x10, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0);
	expect_good(&rig, 0x8f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0);
	/* with data: more than one piece */
	memset(rig.out, 0x99, (size_t)600 * block_size);
	rig.out_size = (uint64_t)600 * block_size;
	expect_good(&rig, 0x2f, 2, 0, 0, 0, 0, 0, 2, 88, 0);
	assert_int_equal(rig.c.residual, 0);
	rig.out[599 * block_size + 7] = 0;
	rig.out_size = (uint64_t)600 * block_size;
	expect_sense(&rig, 0x0e1d00, 0x2f, 2, 0, 0, 0, 0, 0, 2, 88, 0);
	/* with one block for all */
	rig.out_size = block_size;
	expect_good(&rig, 0x2f, 6, 0, 0, 0, 0, 0, 2, 88, 0);
	rig.out_size = block_size;
	expect_sense(&rig, 0x0e1d00, 0x2f, 6, 0, 0, 0, 0, 0, 2, 89, 0);
	/* no blocks, no comparison */
	expect_good(&rig, 0x2f, 6, 0, 0, 0, 0, 0, 0, 0, 0);
	expect_sense(&rig, 0x052400, 0x2f, 4, 0, 0, 0, 0, 0, 0, 1, 0);
	expect_sense(&rig, 0x052100, 0x2f, 0, 0, 0, 7, 0xff, 0, 0, 2, 0);
	expect_sense(&rig, 0x050e03, 0x2f, 2, 0, 0, 0, 0, 0, 0, 1, 0);
}

static void test_write_and_verify(void **state)
{
	static const struct {
		uint8_t cdb[16];
		size_t size;
		unsigned lba;
	} rows[] = {
		{{0x2e, 0, 0, 0, 0, 5, 0, 0, 3, 0}, 10, 5},
		{{0x2e, 0x12, 0, 0, 0, 15, 0, 0, 3, 0}, 10, 15},
		{{0xae, 2, 0, 0, 0, 25, 0, 0, 0, 3, 0, 0}, 12, 25},
		{{0x8e, 0, 0, 0, 0, 0, 0, 0, 0, 35, 0, 0, 0, 3, 0, 0}, 16, 35},
	};

	for (unsigned i = 0; i < 4; i++) {
		memset(rig.out, (int)(0xa0 + i), 3 * block_size);
		rig.out_size = 3 * block_size;
		assert_int_equal(rig_execute(&rig, rig.nexus, rows[i].cdb, rows[i].size),
				 SCSI_GOOD);
		expect_bytes(rows[i].lba, 3, (uint8_t)(0xa0 + i));
	}
	expect_sense(&rig, 0x052400, 0x2e, 6, 0, 0, 0, 0, 0, 0, 1, 0);
	rig.out_size = block_size;
	expect_sense(&rig, 0x050e03, 0x2e, 0, 0, 0, 0, 0, 0, 0, 2, 0);
}

/* ---- COMPARE AND WRITE ---- */

static void test_compare_and_write(void **state)
{
	write_bytes(8, 4, 0xbb);
	memset(rig.out, 0xbb, 2 * block_size);
	memset(rig.out + 2 * block_size, 0xcc, 2 * block_size);
	rig.out_size = 4 * block_size;
	expect_good(&rig, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0);
	expect_bytes(8, 1, 0xbb);
	expect_bytes(9, 2, 0xcc);
	expect_bytes(11, 1, 0xbb);
	/* The second block differs now; where is in the sense data. */
	memset(rig.out, 0xbb, 2 * block_size);
	rig.out_size = 4 * block_size;
	expect_sense(&rig, 0x0e1d00, 0x89, 8, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0);
	assert_int_equal(rig.c.sense[0], 0xf0);
	assert_int_equal(be32(rig.c.sense + 3), block_size);
	expect_bytes(8, 1, 0xbb);
	expect_good(&rig, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0);
	rig.out_size = 3 * block_size;
	expect_sense(&rig, 0x050e03, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0);
	expect_sense(&rig, 0x052400, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 129, 0, 0);
	expect_sense(&rig, 0x052400, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 1, 2, 0, 0);
	expect_sense(&rig, 0x052100, 0x89, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 1, 0, 0);
}

/* ---- errors ---- */

static void test_faults(void **state)
{
	static const struct {
		const char *fault;
		uint8_t status;
		uint32_t sense;
	} rows[] = {
		{"scsi.submit:errno=EIO,nth=1", SCSI_BUSY, 0},
		{"scsi.attention:errno=EIO,nth=1", SCSI_CHECK_CONDITION, 0x062900},
		{"scsi.medium:errno=EIO,nth=1", SCSI_CHECK_CONDITION, 0x030c00},
		{"scsi.hardware:errno=EIO,nth=1", SCSI_CHECK_CONDITION, 0x044400},
		{"backend.write:errno=EIO,nth=1", SCSI_CHECK_CONDITION, 0x030c00},
		{"backend.write:errno=ENOSPC,nth=1", SCSI_CHECK_CONDITION, 0x072707},
		{"backend.write:errno=EROFS,nth=1", SCSI_CHECK_CONDITION, 0x072700},
		{"backend.write:errno=ENOMEM,nth=1", SCSI_BUSY, 0},
	};
	char error[200];

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(fault_add(rows[i].fault, error, sizeof(error)), 0);
		rig.out_size = block_size;
		expect_status(&rig, rows[i].status, 0x2a, 0, 0, 0, 0, 7, 0, 0, 1, 0);
		assert_int_equal(rig_sense(&rig), rows[i].sense);
		assert_int_equal(rig.c.residual, block_size);
		fault_clear();
		write_bytes(7, 1, 1);
	}
	assert_int_equal(fault_add("backend.read:errno=EIO,nth=1", error, sizeof(error)), 0);
	rig.in_size = block_size;
	expect_sense(&rig, 0x031100, 0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0);
	assert_int_equal(be32(rig.c.sense + 3), 7);
}

/* ---- files ---- */

static char path[] = "/var/tmp/standin-test-scsi-XXXXXX";

static void file_unit(struct scsi_unit_config *unit, off_t size)
{
	int fd;

	strcpy(path + sizeof(path) - 7, "XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
	*unit = (struct scsi_unit_config){.lun = 1, .backend.file = path};
}

static void test_read_only(void **state)
{
	struct scsi_unit_config unit;
	char error[SCSI_ERROR_MAX];

	file_unit(&unit, 1 << 20);
	unit.backend.read_only = true;
	assert_int_equal(scsi_unit_add(rig.target, &unit, error), 0);
	unlink(path);
	rig_execute_on(&rig, rig.nexus, 1, CDB(0, 0, 0, 0, 0, 0));
	rig.out_size = 512;
	assert_int_equal(rig_execute_on(&rig, rig.nexus, 1, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0)),
			 SCSI_CHECK_CONDITION);
	assert_int_equal(rig_sense(&rig), 0x072700);
	rig.in_size = 512;
	assert_int_equal(rig_execute_on(&rig, rig.nexus, 1, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0)),
			 SCSI_GOOD);
	rig.in_size = 64;
	assert_int_equal(rig_execute_on(&rig, rig.nexus, 1, CDB(0x1a, 0, 0x3f, 0, 64, 0)),
			 SCSI_GOOD);
	assert_int_equal(rig.in[2], 0x90);
}

static void test_refresh(void **state)
{
	struct scsi_unit_config unit;
	char error[SCSI_ERROR_MAX];

	file_unit(&unit, 1 << 20);
	assert_int_equal(scsi_unit_add(rig.target, &unit, error), 0);
	rig_execute_on(&rig, rig.nexus, 1, CDB(0, 0, 0, 0, 0, 0));
	assert_int_equal(scsi_unit_refresh(rig.target, 1), 0);
	assert_int_equal(truncate(path, 3 << 20), 0);
	assert_int_equal(scsi_unit_refresh(rig.target, 1), 1);
	assert_int_equal(rig_execute_on(&rig, rig.nexus, 1, CDB(0, 0, 0, 0, 0, 0)),
			 SCSI_CHECK_CONDITION);
	assert_int_equal(rig_sense(&rig), 0x062a09);
	rig.in_size = 8;
	assert_int_equal(rig_execute_on(&rig, rig.nexus, 1, CDB(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0)),
			 SCSI_GOOD);
	assert_int_equal(be32(rig.in), (3 << 11) - 1);
	assert_int_equal(truncate(path, 1000), 0);
	assert_int_equal(scsi_unit_refresh(rig.target, 1), -EINVAL);
	assert_int_equal(scsi_unit_refresh(rig.target, 2), -ENOENT);
	unlink(path);
}

#define TEST(name)                                              \
	cmocka_unit_test_setup_teardown(name, setup, teardown), \
	{                                                       \
#name " 4k", name, setup_4k, teardown, NULL     \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_write_same),
		TEST(test_write_same_to_the_end),
		TEST(test_write_same_errors),
		TEST(test_unmap),
		TEST(test_unmap_errors),
		TEST(test_lba_status),
		cmocka_unit_test_setup_teardown(test_verify, setup, teardown),
		TEST(test_write_and_verify),
		TEST(test_compare_and_write),
		TEST(test_faults),
		cmocka_unit_test_setup_teardown(test_read_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refresh, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
