/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SCSI mode parameters, and what is said to be supported: that the reports and the checks
 * agree, bit by bit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "scsi_rig.h"

static struct rig rig;

static int setup(void **state)
{
	rig_start(&rig, 512);
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

#define ALL_PAGES_SIZE (12 + 20 + 12 + 12)

/* ---- MODE SENSE ---- */

static void test_sense_6(void **state)
{
	rig.in_size = 255;
	expect_good(&rig, 0x1a, 0, 0x3f, 0, 255, 0);
	assert_int_equal(rig.in[0], 3 + 8 + ALL_PAGES_SIZE);
	assert_int_equal(rig.in[2], 0x10); /* DPOFUA, not write protected */
	assert_int_equal(rig.in[3], 8);
	assert_int_equal(be32(rig.in + 4), RIG_BLOCKS);
	assert_int_equal(be32(rig.in + 8), 512);
	assert_int_equal(rig.in[12], 0x01);
	assert_int_equal(rig.in[24], 0x08);
	assert_int_equal(rig.in[26], 0x04); /* WCE */
	assert_int_equal(rig.in[44], 0x0a);
	assert_int_equal(rig.in[56], 0x1c);
	assert_int_equal(rig.c.residual, 255 - 4 - 8 - ALL_PAGES_SIZE);
	/* one page, no block descriptor */
	rig.in_size = 255;
	expect_good(&rig, 0x1a, 8, 0x08, 0, 255, 0);
	assert_int_equal(rig.in[0], 3 + 20);
	assert_int_equal(rig.in[3], 0);
	assert_int_equal(rig.in[4], 8);
}

static void test_sense_10(void **state)
{
	rig.in_size = 255;
	expect_good(&rig, 0x5a, 0x10, 0x3f, 0xff, 0, 0, 0, 0, 255, 0); /* long LBAs */
	assert_int_equal(rig.in[1], 6 + 16 + ALL_PAGES_SIZE);
	assert_int_equal(rig.in[3], 0x10);
	assert_int_equal(rig.in[4], 1);
	assert_int_equal(rig.in[7], 16);
	assert_int_equal(be32(rig.in + 12), RIG_BLOCKS);
	assert_int_equal(be32(rig.in + 20), 512);
	rig.in_size = 255;
	expect_good(&rig, 0x5a, 0x08, 0x0a, 0, 0, 0, 0, 0, 255, 0);
	assert_int_equal(rig.in[1], 6 + 12);
	assert_int_equal(rig.in[7], 0);
	assert_int_equal(rig.in[8], 0x0a);
}

static void test_sense_control(void **state)
{
	/* changeable */
	rig.in_size = 255;
	expect_good(&rig, 0x1a, 8, 0x7f, 0, 255, 0);
	assert_int_equal(rig.in[4 + 12], 0x08);
	assert_int_equal(rig.in[4 + 12 + 2], 0x04);
	assert_int_equal(rig.in[4 + 32], 0x0a);
	assert_int_equal(rig.in[4 + 32 + 2], 0x04);
	assert_int_equal(rig.in[4 + 32 + 4], 0x08);
	assert_int_equal(rig.in[4 + 32 + 8], 0);
	/* default */
	rig.in_size = 255;
	expect_good(&rig, 0x1a, 8, 0x88, 0, 255, 0);
	assert_int_equal(rig.in[4 + 2], 0x04);
	/* saved; pages and subpages that there are not */
	expect_sense(&rig, 0x053900, 0x1a, 8, 0xc8, 0, 255, 0);
	expect_sense(&rig, 0x052400, 0x1a, 8, 0x03, 0, 255, 0);
	expect_sense(&rig, 0x052400, 0x1a, 8, 0x08, 1, 255, 0);
}

/* ---- MODE SELECT ---- */

/* A list with one page: what MODE SENSE(6) gave for it, one byte changed. */
static unsigned list_with(uint8_t page, unsigned byte, uint8_t flip)
{
	unsigned size;

	rig.in_size = 255;
	expect_good(&rig, 0x1a, 8, page, 0, 255, 0);
	size = rig.in[0] + 1u;
	memcpy(rig.out, rig.in, size);
	rig.out[0] = 0;
	rig.out[4 + byte] ^= flip;
	rig.out_size = size;
	return size;
}

static void test_select_write_cache(void **state)
{
	unsigned size = list_with(0x08, 2, 0x04);

	expect_good(&rig, 0x15, 0x10, 0, 0, (uint8_t)size, 0);
	rig.in_size = 255;
	expect_good(&rig, 0x1a, 8, 0x08, 0, 255, 0);
	assert_int_equal(rig.in[4 + 2], 0);
	/* The other nexus hears of it, and only once; this one does not. */
	assert_int_equal(rig_execute(&rig, rig.other, CDB(0, 0, 0, 0, 0, 0)), SCSI_CHECK_CONDITION);
	assert_int_equal(rig_sense(&rig), 0x062a01);
	assert_int_equal(rig_execute(&rig, rig.other, CDB(0, 0, 0, 0, 0, 0)), SCSI_GOOD);
	/* Writing works without the cache. */
	memset(rig.out, 1, 512);
	rig.out_size = 512;
	expect_good(&rig, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	/* The same again changes nothing. */
	size = list_with(0x08, 2, 0);
	expect_good(&rig, 0x15, 0x10, 0, 0, (uint8_t)size, 0);
	assert_int_equal(rig_execute(&rig, rig.other, CDB(0, 0, 0, 0, 0, 0)), SCSI_GOOD);
}

static void test_select_sense_format(void **state)
{
	unsigned size = list_with(0x0a, 2, 0x04);

	expect_good(&rig, 0x15, 0x10, 0, 0, (uint8_t)size, 0);
	expect_sense(&rig, 0x052000, 0xff, 0, 0, 0, 0, 0);
	assert_int_equal(rig.c.sense[0], 0x72);
	assert_int_equal(rig.c.sense_size, 8);
	/* information and field pointer as descriptors */
	expect_sense(&rig, 0x052100, 0x28, 0, 0xff, 0, 0, 0, 0, 0, 1, 0);
	assert_int_equal(rig.c.sense_size, 20);
	assert_int_equal(rig.c.sense[7], 12);
	assert_int_equal(rig.c.sense[8], 0);
	assert_int_equal(rig.c.sense[10], 0x80);
	assert_int_equal(be32(rig.c.sense + 16), 0xff000000);
	expect_sense(&rig, 0x052400, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 4);
	assert_int_equal(rig.c.sense_size, 16);
	assert_int_equal(rig.c.sense[8], 2);
	assert_int_equal(rig.c.sense[12], 0xca);
	assert_int_equal(rig.c.sense[14], 9);
}

static void test_select_write_protect(void **state)
{
	unsigned size = list_with(0x0a, 4, 0x08);

	expect_good(&rig, 0x15, 0x10, 0, 0, (uint8_t)size, 0);
	rig.out_size = 512;
	expect_sense(&rig, 0x072700, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	rig.in_size = 4;
	expect_good(&rig, 0x1a, 8, 0x0a, 0, 4, 0);
	assert_int_equal(rig.in[2], 0x90);
	size = list_with(0x0a, 4, 0x08);
	expect_good(&rig, 0x15, 0x10, 0, 0, (uint8_t)size, 0);
	rig.out_size = 512;
	expect_good(&rig, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
}

static void test_select_10(void **state)
{
	static const uint8_t
		list[] =
			{
				0,    0,    0, 0, 1, 0, 0,    16, /* long LBAs */
				0,    0,    0, 0, 0, 0, 8,    0,    0, 0,    0,
				0,    0,    0, 2, 0, /* blocks, block size */
				0x08, 18,   0, 0, 0, 0, 0,    0,    0, 0,    0,
				0,    0,    0, 0, 0, 0, 0,    0,    0, 0x0a, 10,
				0x06, 0x10, 0, 0, 0, 0, 0xff, 0xff, 0, 0,
			};

	memcpy(rig.out, list, sizeof(list));
	rig.out_size = sizeof(list);
	expect_good(&rig, 0x55, 0x10, 0, 0, 0, 0, 0, 0, sizeof(list), 0);
	expect_sense(&rig, 0x052000, 0xff, 0, 0, 0, 0, 0);
	assert_int_equal(rig.c.sense[0], 0x72);
	/* another block size, another number of blocks */
	memcpy(rig.out, list, sizeof(list));
	rig.out[22] = 4;
	rig.out_size = sizeof(list);
	expect_sense(&rig, 0x052600, 0x55, 0x10, 0, 0, 0, 0, 0, 0, sizeof(list), 0);
	memcpy(rig.out, list, sizeof(list));
	rig.out[15] = 1;
	rig.out_size = sizeof(list);
	expect_sense(&rig, 0x052600, 0x55, 0x10, 0, 0, 0, 0, 0, 0, sizeof(list), 0);
	/* Nothing of a list with a wrong page is taken. */
	memcpy(rig.out, list, sizeof(list));
	rig.out[24 + 2] = 0x04;
	rig.out[44 + 4] = 0x40;
	rig.out_size = sizeof(list);
	expect_sense(&rig, 0x052600, 0x55, 0x10, 0, 0, 0, 0, 0, 0, sizeof(list), 0);
	rig.in_size = 64;
	expect_good(&rig, 0x1a, 8, 0x08, 0, 64, 0);
	assert_int_equal(rig.in[4 + 2], 0);
}

static void test_select_errors(void **state)
{
	static const struct {
		uint8_t page, byte, flip;
		int size; /* added to the list's */
		uint32_t sense;
		uint16_t field;
	} rows[] = {
		{0x08, 2, 0x01, 0, 0x052600, 6}, /* RCD can't be changed */
		{0x08, 19, 0x80, 0, 0x052600, 23},
		{0x08, 1, 0x01, 0, 0x052600, 5}, /* the page's size */
		{0x08, 0, 0x10, 0, 0x052600, 4}, /* no such page */
		{0x0a, 3, 0x10, 0, 0x052600, 7},
		{0x08, 0, 0, -1, 0x051a00, 0},     /* cut off */
		{0x08, 0, 0, 1 - 24, 0x051a00, 0}, /* not even a header */
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned size = list_with(rows[i].page, rows[i].byte, rows[i].flip);

		expect_sense(&rig, rows[i].sense, 0x15, 0x10, 0, 0,
			     (uint8_t)((int)size + rows[i].size), 0);
		if (rows[i].field) {
			assert_int_equal(rig.c.sense[15] & 0xc0, 0x80);
			assert_int_equal(rig.c.sense[17], rows[i].field);
		}
	}
	expect_good(&rig, 0x15, 0x10, 0, 0, 0, 0);
	expect_sense(&rig, 0x052400, 0x15, 0x11, 0, 0, 24, 0); /* SP */
	expect_sense(&rig, 0x052400, 0x15, 0, 0, 0, 24, 0);    /* without PF */
	expect_sense(&rig, 0x050e03, 0x15, 0x10, 0, 0, 24, 0); /* without data */
}

static void reset_done(struct scsi_command *c)
{
}

static void test_reset_restores(void **state)
{
	unsigned size = list_with(0x08, 2, 0x04);
	struct scsi_command c = {.nexus = rig.nexus, .done = reset_done};

	expect_good(&rig, 0x15, 0x10, 0, 0, (uint8_t)size, 0);
	assert_int_equal(scsi_reset_unit(&c), SCSI_QUEUED);
	expect_sense(&rig, 0x062903, 0, 0, 0, 0, 0, 0);
	rig.in_size = 64;
	expect_good(&rig, 0x1a, 8, 0x08, 0, 64, 0);
	assert_int_equal(rig.in[4 + 2], 0x04);
}

/* ---- what is supported ---- */

/* REPORT SUPPORTED OPERATION CODES for one command, by reporting option 3. */
static unsigned usage_of(uint8_t code, uint8_t action, uint8_t usage[16])
{
	unsigned size;

	rig.in_size = 64;
	expect_good(&rig, 0xa3, 0x0c, 3, code, 0, action, 0, 0, 0, 64, 0, 0);
	assert_int_equal(rig.in[1], 3);
	size = (unsigned)rig.in[2] << 8 | rig.in[3];
	assert_in_range(size, 6, 16);
	memcpy(usage, rig.in + 4, size);
	return size;
}

/* Each bit that is not in the usage data of a command is refused, and named. */
static void check_usage(uint8_t code, bool has_action, uint8_t action)
{
	uint8_t usage[16], cdb[16];
	unsigned size = usage_of(code, action, usage);

	assert_int_equal(usage[0], code);
	for (unsigned bit = 8; bit < 8 * size; bit++) {
		unsigned byte = bit / 8, mask = 1u << bit % 8;

		if (usage[byte] & mask || (has_action && byte == 1 && mask <= 0x10))
			continue;
		memset(cdb, 0, sizeof(cdb));
		cdb[0] = code;
		cdb[1] = action;
		cdb[byte] |= (uint8_t)mask;
		assert_int_equal(rig_execute(&rig, rig.nexus, cdb, size), SCSI_CHECK_CONDITION);
		assert_int_equal(rig_sense(&rig), 0x052400);
		assert_int_equal(rig.c.sense[15], 0xc8 | bit % 8);
		assert_int_equal(rig.c.sense[17], byte);
	}
	assert_non_null(scsi_command_name((const uint8_t[32]){code, action}));
}

static void test_all_usage(void **state)
{
	uint8_t all[4096];
	unsigned size;

	rig.in_size = sizeof(all);
	expect_good(&rig, 0xa3, 0x0c, 0x80, 0, 0, 0, 0, 0, 0x10, 0, 0, 0); /* with timeouts */
	size = 4 + be32(rig.in);
	assert_int_equal(rig.c.residual, sizeof(all) - size);
	assert_int_equal((size - 4) % 20, 0);
	assert_in_range(size, 4 + 40 * 20, sizeof(all));
	memcpy(all, rig.in, size);
	for (uint8_t *d = all + 4; d < all + size; d += 20) {
		assert_int_equal(d[5] & 2, 2);
		assert_int_equal(d[9], 10);
		assert_true(be32(d + 16) > 0);
		check_usage(d[0], d[5] & 1, d[3]);
	}
	rig.in_size = sizeof(all);
	expect_good(&rig, 0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0);
	assert_int_equal(be32(rig.in), (size - 4) / 20 * 8);
}

static void test_report_one(void **state)
{
	static const struct {
		uint8_t option, code, action;
		int support; /* -1: invalid field in CDB */
	} rows[] = {
		{1, 0x28, 0, 3}, {1, 0xff, 0, 1},    {1, 0x9e, 0x10, -1}, {2, 0x9e, 0x10, 3},
		{2, 0x9e, 1, 1}, {2, 0x28, 0, -1},   {2, 0xff, 0, 1},     {3, 0x28, 0, 3},
		{3, 0x28, 1, 1}, {3, 0x9e, 0x12, 3}, {3, 0x9e, 0, 1},     {4, 0x28, 0, -1},
		{1, 0x48, 0, 1}, /* SANITIZE */
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rig.in_size = 64;
		if (rows[i].support < 0) {
			expect_sense(&rig, 0x052400, 0xa3, 0x0c, rows[i].option, rows[i].code, 0,
				     rows[i].action, 0, 0, 0, 64, 0, 0);
			continue;
		}
		expect_good(&rig, 0xa3, 0x0c, rows[i].option, rows[i].code, 0, rows[i].action, 0, 0,
			    0, 64, 0, 0);
		assert_int_equal(rig.in[1], rows[i].support);
	}
	/* with timeouts */
	rig.in_size = 64;
	expect_good(&rig, 0xa3, 0x0c, 0x81, 0x28, 0, 0, 0, 0, 0, 64, 0, 0);
	assert_int_equal(rig.in[1], 0x83);
	assert_int_equal(rig.c.residual, 64 - 4 - 10 - 12);
	assert_int_equal(rig.in[15], 10);
}

static void test_report_management(void **state)
{
	rig.in_size = 16;
	expect_good(&rig, 0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0);
	assert_int_equal(rig.in[0], 0x08);
	assert_int_equal(rig.c.residual, 12);
	rig.in_size = 16;
	expect_good(&rig, 0xa3, 0x0d, 0x80, 0, 0, 0, 0, 0, 0, 16, 0, 0);
	assert_int_equal(rig.in[3], 12);
	assert_int_equal(rig.c.residual, 0);
	expect_sense(&rig, 0x052400, 0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sense_6),
		TEST(test_sense_10),
		TEST(test_sense_control),
		TEST(test_select_write_cache),
		TEST(test_select_sense_format),
		TEST(test_select_write_protect),
		TEST(test_select_10),
		TEST(test_select_errors),
		TEST(test_reset_restores),
		TEST(test_all_usage),
		TEST(test_report_one),
		TEST(test_report_management),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
