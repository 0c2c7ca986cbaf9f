/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The SCSI target engine: what it says about itself, blocks in and out, the checks that all
 * commands share, unit attentions, units that come and go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <unistd.h>
#include <cmocka.h>

#include "scsi_rig.h"

static struct rig rig;

static int setup(void **state)
{
	rig_start(&rig, 512);
	return 0;
}

static int setup_4k(void **state)
{
	rig_start(&rig, 4096);
	return 0;
}

static int teardown(void **state)
{
	rig_stop(&rig);
	return 0;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* ---- what a unit is ---- */

static void test_inquiry(void **state)
{
	rig.in_size = 255;
	expect_good(&rig, 0x12, 0, 0, 0, 255, 0);
	assert_int_equal(rig.c.residual, 255 - 96);
	assert_int_equal(rig.in[0], 0);
	assert_int_equal(rig.in[1], 0);
	assert_int_equal(rig.in[2], 6);
	assert_int_equal(rig.in[3] & 0xf, 2);
	assert_int_equal(rig.in[4], 91);
	assert_memory_equal(rig.in + 8, "STANDIN disk            0.1 ", 28);
}

static void test_inquiry_is_cut_off(void **state)
{
	/* By the allocation length... */
	memset(rig.in, 0xee, 96);
	rig.in_size = 96;
	expect_good(&rig, 0x12, 0, 0, 0, 5, 0);
	assert_int_equal(rig.c.residual, 91);
	assert_int_equal(rig.in[4], 91);
	assert_int_equal(rig.in[5], 0xee);
	/* ... and by the room there is. */
	rig.in_size = 4;
	expect_good(&rig, 0x12, 0, 0, 0, 36, 0);
	assert_true(rig.c.overflow);
	assert_int_equal(rig.c.residual, 32);
	rig.in_size = 0;
	expect_good(&rig, 0x12, 0, 0, 0, 0, 0);
	assert_false(rig.c.overflow);
}

static void test_inquiry_errors(void **state)
{
	rig.in_size = 255;
	expect_sense(&rig, 0x052400, 0x12, 0, 0x83, 0, 255, 0); /* a page without EVPD */
	assert_int_equal(rig.c.sense[15], 0xc0);
	assert_int_equal(rig.c.sense[17], 2);
	assert_int_equal(rig.c.residual, 255);
	expect_sense(&rig, 0x052400, 0x12, 1, 0xff, 0, 255, 0);
	expect_sense(&rig, 0x052400, 0x12, 2, 0, 0, 255, 0); /* CMDDT, obsolete */
	assert_int_equal(rig.c.sense[15], 0xc9);
	assert_int_equal(rig.c.sense[17], 1);
}

/* Every page of the list is there, and has its own code. */
static void test_vpd_list(void **state)
{
	uint8_t list[64];
	unsigned n;

	rig.in_size = 255;
	expect_good(&rig, 0x12, 1, 0, 0, 255, 0);
	n = rig.in[3];
	assert_in_range(n, 6, 60);
	memcpy(list, rig.in + 4, n);
	for (unsigned i = 0; i < n; i++) {
		if (i)
			assert_true(list[i] > list[i - 1]);
		rig.in_size = 255;
		expect_good(&rig, 0x12, 1, list[i], 0, 255, 0);
		assert_int_equal(rig.in[0], 0);
		assert_int_equal(rig.in[1], list[i]);
		assert_int_equal(rig.c.residual, 255 - 4 - (rig.in[2] << 8) - rig.in[3]);
	}
}

static void test_vpd_identification(void **state)
{
	bool name = false, vendor = false, port = false;

	rig.in_size = 255;
	expect_good(&rig, 0x12, 1, 0x83, 0, 255, 0);
	for (uint8_t *d = rig.in + 4; d < rig.in + 4 + rig.in[3]; d += 4 + d[3])
		switch (d[1] & 0x3f) {
		case 0x01:
			vendor = memcmp(d + 4, "STANDIN disk", 12) == 0;
			break;
		case 0x03:
			name = d[3] == 8 && d[4] >> 4 == 3;
			break;
		case 0x13:
			port = d[3] == 8 && d[0] == 0x61 && d[1] == 0x93 &&
			       be32(d + 4) == 0x50014050 && be32(d + 8) == 1;
		}
	assert_true(name && vendor && port);
}

static void test_vpd_blocks(void **state)
{
	rig.in_size = 64;
	expect_good(&rig, 0x12, 1, 0xb0, 0, 64, 0);
	assert_int_equal(rig.c.residual, 0);
	assert_true(be32(rig.in + 20) > 0);     /* unmap */
	assert_int_equal(be32(rig.in + 28), 8); /* its granularity: 4 KiB */
	rig.in_size = 64;
	expect_good(&rig, 0x12, 1, 0xb1, 0, 64, 0);
	assert_int_equal(rig.in[5], 1); /* solid state */
	rig.in_size = 64;
	expect_good(&rig, 0x12, 1, 0xb2, 0, 64, 0);
	assert_int_equal(rig.in[5], 0xe4);
}

static void test_read_capacity(void **state)
{
	rig.in_size = 8;
	expect_good(&rig, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_int_equal(be32(rig.in), RIG_BLOCKS - 1);
	assert_int_equal(be32(rig.in + 4), 512);
	rig.in_size = 32;
	expect_good(&rig, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0);
	assert_int_equal(be32(rig.in), 0);
	assert_int_equal(be32(rig.in + 4), RIG_BLOCKS - 1);
	assert_int_equal(be32(rig.in + 8), 512);
	assert_int_equal(rig.in[13], 3);
	assert_int_equal(rig.in[14] & 0xc0, 0xc0);
	expect_sense(&rig, 0x052400, 0x9e, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0);
}

/* ---- checks that all commands share ---- */

static void test_bad_commands(void **state)
{
	expect_sense(&rig, 0x052000, 0xff, 0, 0, 0, 0, 0);
	expect_sense(&rig, 0x052400, 0, 0, 0, 0, 0, 4); /* NACA */
	assert_int_equal(rig.c.sense[15], 0xca);
	assert_int_equal(rig.c.sense[17], 5);
	/* protection information */
	expect_sense(&rig, 0x052400, 0x28, 0x20, 0, 0, 0, 0, 0, 0, 1, 0);
	expect_sense(&rig, 0x052400, 0x2a, 0xe0, 0, 0, 0, 0, 0, 0, 1, 0);
	assert_int_equal(rig.c.sense[15], 0xcf);
	assert_int_equal(rig.c.sense[17], 1);
}

static void test_no_unit(void **state)
{
	rig.in_size = 96;
	assert_int_equal(rig_execute_on(&rig, rig.nexus, 1, CDB(0x12, 0, 0, 0, 96, 0)),
			 SCSI_CHECK_CONDITION);
	assert_int_equal(rig_sense(&rig), 0x052500);
	assert_int_equal(rig_execute_on(&rig, rig.nexus, 5000, CDB(0, 0, 0, 0, 0, 0)),
			 SCSI_CHECK_CONDITION);
	assert_int_equal(rig_sense(&rig), 0x052500);
	/* LUN 0 is asked for the inventory also when it is none. */
	assert_int_equal(scsi_unit_remove(rig.target, 0), 0);
	assert_int_equal(scsi_unit_remove(rig.target, 0), -ENOENT);
	rig.in_size = 96;
	expect_good(&rig, 0x12, 0, 0, 0, 96, 0);
	assert_int_equal(rig.in[0], 0x3f);
	rig.in_size = 64;
	expect_good(&rig, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0);
	assert_int_equal(be32(rig.in), 8);
	rig.in_size = 18;
	expect_good(&rig, 0x03, 0, 0, 0, 18, 0);
	assert_int_equal(rig.in[12], 0x25);
	expect_sense(&rig, 0x052500, 0, 0, 0, 0, 0, 0);
}

/* ---- blocks ---- */

static void fill(uint8_t *data, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)(i * 7 + i / 512 * 13 + seed);
}

static void test_read_write(void **state)
{
	static const struct {
		uint8_t cdb[16];
		size_t size;
		unsigned lba, blocks;
	} rows[] = {
		{{0x0a, 0, 0, 8, 4, 0}, 6, 8, 4},
		{{0x0a, 0, 1, 0, 0, 0}, 6, 256, 256},
		{{0x2a, 0, 0, 0, 0, 9, 0, 0, 3, 0}, 10, 9, 3},
		{{0x2a, 0x18, 0, 0, 7, 0xff, 0, 0, 1, 0}, 10, 2047, 1},
		{{0xaa, 0x08, 0, 0, 4, 0, 0, 0, 0, 16, 0, 0}, 12, 1024, 16},
		{{0x8a, 0x08, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 64, 0, 0}, 16, 512, 64},
		{{0x2a, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 10, 0, 0},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t cdb[16];
		size_t size = (size_t)rows[i].blocks * 512;

		memcpy(cdb, rows[i].cdb, 16);
		fill(rig.out, size, i);
		rig.out_size = size;
		assert_int_equal(rig_execute(&rig, rig.nexus, cdb, rows[i].size), SCSI_GOOD);
		assert_int_equal(rig.c.residual, 0);
		cdb[0] -= 2; /* the READ of that size */
		memset(rig.in, 0xee, size + 512);
		rig.in_size = size + 512;
		assert_int_equal(rig_execute(&rig, rig.nexus, cdb, rows[i].size), SCSI_GOOD);
		assert_int_equal(rig.c.residual, 512);
		assert_memory_equal(rig.in, rig.out, size);
		assert_int_equal(rig.in[size], 0xee);
	}
}

static void test_out_of_range(void **state)
{
	static const struct {
		uint8_t cdb[16];
		size_t size;
		uint32_t information;
	} rows[] = {
		{{0x28, 0, 0, 0, 8, 0, 0, 0, 1, 0}, 10, 2048},
		{{0x28, 0, 0, 0, 7, 0xff, 0, 0, 2, 0}, 10, 2048},
		{{0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0}, 10, 0xffffffff},
		{{0x2a, 0, 0, 0, 7, 0xff, 0, 0, 2, 0}, 10, 2048},
		{{0x88, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0}, 16, 2048},
		{{0x35, 0, 0, 0, 8, 1, 0, 0, 0, 0}, 10, 2049},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rig.in_size = rows[i].cdb[0] == 0x2a ? 0 : 1024;
		rig.out_size = 1024 - rig.in_size;
		assert_int_equal(rig_execute(&rig, rig.nexus, rows[i].cdb, rows[i].size),
				 SCSI_CHECK_CONDITION);
		assert_int_equal(rig_sense(&rig), 0x052100);
		assert_int_equal(rig.c.sense[0], 0xf0);
		assert_int_equal(be32(rig.c.sense + 3), rows[i].information);
	}
	/* beyond what an offset in bytes can name */
	rig.in_size = 512;
	expect_sense(&rig, 0x052100, 0x88, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0);
	expect_good(&rig, 0x28, 0, 0, 0, 8, 0, 0, 0, 0, 0);
}

static void test_data_of_other_size(void **state)
{
	fill(rig.out, 2048, 1);
	rig.out_size = 512;
	expect_sense(&rig, 0x050e03, 0x2a, 0, 0, 0, 0, 0, 0, 0, 2, 0);
	rig.out_size = 2048;
	expect_sense(&rig, 0x050e03, 0x2a, 0, 0, 0, 0, 0, 0, 0, 2, 0);
	expect_sense(&rig, 0x050e03, 0x2a, 0, 0, 0, 0, 0, 0, 0, 2, 0);
	/* A read gives what fits, in whole blocks. */
	memset(rig.in, 0xee, 2048);
	rig.in_size = 1000;
	expect_good(&rig, 0x28, 0, 0, 0, 0, 0, 0, 0, 3, 0);
	assert_true(rig.c.overflow);
	assert_int_equal(rig.c.residual, 1024);
	assert_int_equal(rig.in[511], 0);
	assert_int_equal(rig.in[512], 0xee);
	expect_good(&rig, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	assert_true(rig.c.overflow);
}

static void test_bad_memory(void **state)
{
	struct iovec gone = {(void *)4096, 512};
	struct scsi_command c = {.nexus = rig.nexus,
				 .cdb = {0x28, [8] = 1},
				 .cdb_size = 32,
				 .data_in = &gone,
				 .n_data_in = 1,
				 .data_in_size = 512};

	assert_int_equal(scsi_submit(&c), SCSI_DONE);
	assert_int_equal(c.result, SCSI_BAD_MEMORY);
	gone = (struct iovec){(void *)4096, 512};
	c = (struct scsi_command){.nexus = rig.nexus,
				  .cdb = {0x12, [4] = 255},
				  .cdb_size = 32,
				  .data_in = &gone,
				  .n_data_in = 1,
				  .data_in_size = 512};
	assert_int_equal(scsi_submit(&c), SCSI_DONE);
	assert_int_equal(c.result, SCSI_BAD_MEMORY);
}

static void test_synchronize(void **state)
{
	expect_good(&rig, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	expect_good(&rig, 0x35, 2, 0, 0, 0, 1, 0, 0, 8, 0);
	expect_good(&rig, 0x91, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}

static void test_4k(void **state)
{
	rig.in_size = 8;
	expect_good(&rig, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_int_equal(be32(rig.in), RIG_BLOCKS - 1);
	assert_int_equal(be32(rig.in + 4), 4096);
	fill(rig.out, 8192, 3);
	rig.out_size = 8192;
	expect_good(&rig, 0x2a, 0, 0, 0, 0, 1, 0, 0, 2, 0);
	rig.in_size = 4096;
	expect_good(&rig, 0x28, 0, 0, 0, 0, 2, 0, 0, 1, 0);
	assert_memory_equal(rig.in, rig.out + 4096, 4096);
	rig.in_size = 64;
	expect_good(&rig, 0x12, 1, 0xb0, 0, 64, 0);
	assert_int_equal(be32(rig.in + 28), 1);
}

/* ---- unit attentions, LUNs ---- */

static void test_luns(void **state)
{
	struct scsi_unit_config unit = {.lun = 200, .backend.size = 1 << 20, .serial = "abc"};
	char error[SCSI_ERROR_MAX];

	assert_int_equal(scsi_unit_add(rig.target, &unit, error), 0);
	assert_int_equal(scsi_unit_add(rig.target, &unit, error), -EEXIST);
	unit.lun = SCSI_LUNS_MAX;
	assert_int_equal(scsi_unit_add(rig.target, &unit, error), -EINVAL);
	/* The new one has its own attention, the old one tells of it; INQUIRY is not stopped. */
	rig.in_size = 96;
	expect_good(&rig, 0x12, 0, 0, 0, 96, 0);
	expect_sense(&rig, 0x063f0e, 0, 0, 0, 0, 0, 0);
	expect_good(&rig, 0, 0, 0, 0, 0, 0);
	assert_int_equal(rig_execute_on(&rig, rig.nexus, 200, CDB(0, 0, 0, 0, 0, 0)),
			 SCSI_CHECK_CONDITION);
	assert_int_equal(rig_sense(&rig), 0x062900);
	assert_int_equal(rig_execute_on(&rig, rig.nexus, 200, CDB(0, 0, 0, 0, 0, 0)), SCSI_GOOD);
	/* REPORT LUNS takes the attention of its nexus away. */
	rig.in_size = 64;
	assert_int_equal(rig_execute(&rig, rig.other, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0)),
			 SCSI_GOOD);
	assert_int_equal(be32(rig.in), 16);
	assert_int_equal(be32(rig.in + 8), 0);
	assert_int_equal(be32(rig.in + 16), 0x00c80000);
	assert_int_equal(rig_execute(&rig, rig.other, CDB(0, 0, 0, 0, 0, 0)), SCSI_GOOD);
	/* well known units only; values that mean nothing */
	rig.in_size = 64;
	expect_good(&rig, 0xa0, 0, 1, 0, 0, 0, 0, 0, 0, 64, 0, 0);
	assert_int_equal(be32(rig.in), 0);
	rig.in_size = 64;
	expect_good(&rig, 0xa0, 0, 2, 0, 0, 0, 0, 0, 0, 64, 0, 0);
	assert_int_equal(be32(rig.in), 16);
	expect_sense(&rig, 0x052400, 0xa0, 0, 3, 0, 0, 0, 0, 0, 0, 64, 0, 0);
	/* and away */
	assert_int_equal(scsi_unit_remove(rig.target, 200), 0);
	expect_sense(&rig, 0x063f0e, 0, 0, 0, 0, 0, 0);
	assert_false(scsi_unit_exists(rig.target, 200));
	assert_int_equal(rig_execute_on(&rig, rig.nexus, 200, CDB(0, 0, 0, 0, 0, 0)),
			 SCSI_CHECK_CONDITION);
	assert_int_equal(rig_sense(&rig), 0x052500);
}

/*
 * What Windows documents that its storage stack asks of a disk, with the sizes that it asks
 * with: REPORT LUNS grows its list by what it is told; vital product data names the unit by
 * serial number and NAA, and says of UNMAP, of rotation, of provisioning; the caching page and all
 * pages tell of the write cache and of write protection.
 */
static void test_what_windows_asks(void **state)
{
	static const uint8_t pages[] = {0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2};
	struct scsi_unit_config unit = {.backend = {.size = 1 << 20, .read_only = true},
					.serial = "abc"};
	char error[SCSI_ERROR_MAX];

	/* LUNs in ascending order, and how many there are also where they do not fit. */
	for (unsigned i = 3; i; i--) {
		unit.lun = 3 * i - 2;
		assert_int_equal(scsi_unit_add(rig.target, &unit, error), 0);
	}
	rig.in_size = 16;
	expect_good(&rig, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0);
	assert_int_equal(be32(rig.in), 4 * 8);
	assert_int_equal(be32(rig.in + 8), 0);
	rig.in_size = 40;
	expect_good(&rig, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(be32(rig.in + 8 + 8 * i), (i ? 3 * i - 2 : 0) << 16);
		assert_int_equal(be32(rig.in + 12 + 8 * i), 0);
	}
	/* The pages are there, and in the list. */
	rig.in_size = 255;
	expect_good(&rig, 0x12, 1, 0, 0, 255, 0);
	for (size_t i = 0; i < sizeof(pages); i++)
		assert_non_null(memchr(rig.in + 4, pages[i], rig.in[3]));
	rig.in_size = 255;
	assert_int_equal(rig_execute_on(&rig, rig.nexus, 7, CDB(0x12, 1, 0x80, 0, 255, 0)),
			 SCSI_GOOD);
	assert_int_equal(rig.in[3], 3);
	assert_memory_equal(rig.in + 4, "abc", 3);
	/* Write protection of the whole, by MODE SENSE(6) and (10). */
	for (unsigned lun = 0; lun < 8; lun += 7) {
		rig_execute_on(&rig, rig.nexus, lun, CDB(0, 0, 0, 0, 0, 0));
		rig.in_size = 192;
		assert_int_equal(
			rig_execute_on(&rig, rig.nexus, lun, CDB(0x1a, 0, 0x3f, 0, 192, 0)),
			SCSI_GOOD);
		assert_int_equal(rig.in[2] >> 7, lun == 7);
		rig.in_size = 192;
		assert_int_equal(rig_execute_on(&rig, rig.nexus, lun,
						CDB(0x5a, 0, 0x08, 0, 0, 0, 0, 0, 192, 0)),
				 SCSI_GOOD);
		assert_int_equal(rig.in[3] >> 7, lun == 7);
		assert_int_equal(rig.in[8 + rig.in[7]], 0x08);
	}
}

static void test_request_sense(void **state)
{
	struct scsi_unit_config unit = {.lun = 3, .backend.size = 1 << 20};
	char error[SCSI_ERROR_MAX];

	rig.in_size = 32;
	expect_good(&rig, 0x03, 0, 0, 0, 32, 0);
	assert_int_equal(rig.in[0], 0x70);
	assert_int_equal(rig.in[2], 0);
	assert_int_equal(rig.c.residual, 32 - 18);
	assert_int_equal(scsi_unit_add(rig.target, &unit, error), 0);
	rig.in_size = 32;
	expect_good(&rig, 0x03, 1, 0, 0, 32, 0); /* descriptor format */
	assert_int_equal(rig.in[0], 0x72);
	assert_int_equal(rig.in[1], 6);
	assert_int_equal(rig.in[2], 0x3f);
	assert_int_equal(rig.in[3], 0x0e);
	expect_good(&rig, 0, 0, 0, 0, 0, 0); /* taken */
}

static void reset_done(struct scsi_command *c)
{
	*(bool *)c->data_in = true;
}

static void test_reset(void **state)
{
	bool done = false;
	struct scsi_command c = {
		.nexus = rig.nexus, .data_in = (struct iovec *)&done, .done = reset_done};

	assert_int_equal(scsi_reset_unit(&c), SCSI_QUEUED);
	assert_true(done);
	assert_int_equal(c.result, SCSI_COMPLETE);
	assert_int_equal(c.status, SCSI_GOOD);
	expect_sense(&rig, 0x062903, 0, 0, 0, 0, 0, 0);
	c.lun = 9;
	assert_int_equal(scsi_reset_unit(&c), SCSI_DONE);
	assert_int_equal(c.status, SCSI_CHECK_CONDITION);
}

static void test_start_stop(void **state)
{
	expect_good(&rig, 0x1b, 0, 0, 0, 0, 0);
	expect_sense(&rig, 0x020402, 0, 0, 0, 0, 0, 0);
	rig.in_size = 512;
	expect_sense(&rig, 0x020402, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	rig.in_size = 18;
	expect_good(&rig, 0x03, 0, 0, 0, 18, 0);
	assert_int_equal(rig.in[12], 4);
	expect_good(&rig, 0x1b, 1, 0, 0, 1, 0);
	expect_good(&rig, 0, 0, 0, 0, 0, 0);
	expect_sense(&rig, 0x052400, 0x1b, 0, 0, 0, 2, 0);    /* nothing to eject */
	expect_sense(&rig, 0x052400, 0x1b, 0, 0, 0, 0x10, 0); /* power conditions */
}

static void test_removable(void **state)
{
	struct scsi_unit_config unit = {.backend.size = 1 << 20, .removable = true};
	char error[SCSI_ERROR_MAX];

	assert_int_equal(scsi_unit_remove(rig.target, 0), 0);
	assert_int_equal(scsi_unit_add(rig.target, &unit, error), 0);
	expect_sense(&rig, 0x062900, 0, 0, 0, 0, 0, 0);
	rig.in_size = 36;
	expect_good(&rig, 0x12, 0, 0, 0, 36, 0);
	assert_int_equal(rig.in[1], 0x80);
	expect_good(&rig, 0x1e, 0, 0, 0, 1, 0);
	expect_good(&rig, 0x1e, 0, 0, 0, 1, 0);
	expect_sense(&rig, 0x055302, 0x1b, 0, 0, 0, 2, 0);
	expect_good(&rig, 0x1e, 0, 0, 0, 0, 0);
	expect_good(&rig, 0x1b, 0, 0, 0, 2, 0);
	expect_sense(&rig, 0x023a00, 0, 0, 0, 0, 0, 0);
	expect_good(&rig, 0x1b, 0, 0, 0, 3, 0);
	expect_good(&rig, 0, 0, 0, 0, 0, 0);
}

static void test_legacy_reservation(void **state)
{
	expect_good(&rig, 0x16, 0, 0, 0, 0, 0);
	assert_int_equal(rig_execute(&rig, rig.other, CDB(0, 0, 0, 0, 0, 0)),
			 SCSI_RESERVATION_CONFLICT);
	assert_int_equal(rig_execute(&rig, rig.other, CDB(0x16, 0, 0, 0, 0, 0)),
			 SCSI_RESERVATION_CONFLICT);
	assert_int_equal(rig_execute(&rig, rig.other, CDB(0x17, 0, 0, 0, 0, 0)), SCSI_GOOD);
	rig.in_size = 36;
	assert_int_equal(rig_execute(&rig, rig.other, CDB(0x12, 0, 0, 0, 36, 0)), SCSI_GOOD);
	expect_good(&rig, 0, 0, 0, 0, 0, 0);
	expect_good(&rig, 0x17, 0, 0, 0, 0, 0);
	assert_int_equal(rig_execute(&rig, rig.other, CDB(0, 0, 0, 0, 0, 0)), SCSI_GOOD);
	/* It ends with its nexus. */
	expect_good(&rig, 0x16, 0, 0, 0, 0, 0);
	scsi_nexus_destroy(rig.nexus);
	rig.nexus = NULL;
	assert_int_equal(rig_execute(&rig, rig.other, CDB(0, 0, 0, 0, 0, 0)), SCSI_GOOD);
}

#define TEST(name)    cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_4K(name) cmocka_unit_test_setup_teardown(name, setup_4k, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_inquiry),
		TEST(test_inquiry_is_cut_off),
		TEST(test_inquiry_errors),
		TEST(test_vpd_list),
		TEST(test_vpd_identification),
		TEST(test_vpd_blocks),
		TEST(test_read_capacity),
		TEST(test_bad_commands),
		TEST(test_no_unit),
		TEST(test_read_write),
		TEST(test_out_of_range),
		TEST(test_data_of_other_size),
		TEST(test_bad_memory),
		TEST(test_synchronize),
		TEST_4K(test_4k),
		TEST(test_luns),
		TEST(test_what_windows_asks),
		TEST(test_request_sense),
		TEST(test_reset),
		TEST(test_start_stop),
		TEST(test_removable),
		TEST(test_legacy_reservation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
