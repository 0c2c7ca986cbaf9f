/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SCSI persistent reservations: registrations, every type against every kind of command,
 * who hears of what.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "scsi_rig.h"

static struct rig rig;
static struct scsi_nexus *third; /* never registers */

#define RIG_THIRD UINT64_C(0x5001405000000030)

static int setup(void **state)
{
	rig_start(&rig, 512);
	rig_nexus(&rig, RIG_THIRD, &third);
	rig_execute(&rig, third, CDB(0, 0, 0, 0, 0, 0));
	return 0;
}

static int teardown(void **state)
{
	scsi_nexus_destroy(third);
	rig_stop(&rig);
	return 0;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put64(uint8_t *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

enum { REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_ABORT, REGISTER_IGNORE };

#define KEY_1 UINT64_C(0x1111000000000001)
#define KEY_2 UINT64_C(0x2222000000000002)

static uint8_t reserve_out(struct scsi_nexus *nexus, unsigned action, unsigned type, uint64_t key,
			   uint64_t action_key)
{
	memset(rig.out, 0, 24);
	put64(rig.out, key);
	put64(rig.out + 8, action_key);
	rig.out_size = 24;
	return rig_execute(&rig, nexus,
			   CDB(0x5f, (uint8_t)action, (uint8_t)type, 0, 0, 0, 0, 0, 24, 0));
}

#define expect_out(want, ...) assert_int_equal(reserve_out(__VA_ARGS__), want)

/* PERSISTENT RESERVE IN of that kind, and the length of what follows the header. */
static uint32_t reserve_in(unsigned action)
{
	rig.in_size = 1024;
	expect_good(&rig, 0x5e, (uint8_t)action, 0, 0, 0, 0, 0, 4, 0, 0);
	return be32(rig.in + 4);
}

static uint8_t test_ready(struct scsi_nexus *nexus)
{
	return rig_execute(&rig, nexus, CDB(0, 0, 0, 0, 0, 0));
}

static void expect_attention(struct scsi_nexus *nexus, uint32_t code)
{
	assert_int_equal(test_ready(nexus), code ? SCSI_CHECK_CONDITION : SCSI_GOOD);
	assert_int_equal(rig_sense(&rig), code);
}

/* ---- registrations ---- */

static void test_register(void **state)
{
	assert_int_equal(reserve_in(0), 0);
	assert_int_equal(be32(rig.in), 0);
	expect_out(SCSI_RESERVATION_CONFLICT, rig.nexus, REGISTER, 0, 5, KEY_1);
	expect_out(SCSI_GOOD, rig.nexus, REGISTER, 0, 0, 0); /* nothing to undo */
	expect_out(SCSI_GOOD, rig.nexus, REGISTER, 0, 0, KEY_1);
	expect_out(SCSI_RESERVATION_CONFLICT, rig.nexus, REGISTER, 0, 0, KEY_2);
	expect_out(SCSI_GOOD, rig.nexus, REGISTER, 0, KEY_1, KEY_2);
	expect_out(SCSI_GOOD, rig.other, REGISTER_IGNORE, 0, 99, KEY_1);
	assert_int_equal(reserve_in(0), 16);
	assert_int_equal(be32(rig.in), 3); /* generation */
	assert_int_equal(be32(rig.in + 8), KEY_2 >> 32);
	assert_int_equal(be32(rig.in + 16), KEY_1 >> 32);
	expect_out(SCSI_GOOD, rig.nexus, REGISTER, 0, KEY_2, 0);
	assert_int_equal(reserve_in(0), 8);
	assert_int_equal(be32(rig.in), 4);
}

/* A registration outlives its nexus, and belongs to who comes with the same name. */
static void test_register_outlives_nexus(void **state)
{
	expect_out(SCSI_GOOD, rig.nexus, REGISTER, 0, 0, KEY_1);
	expect_out(SCSI_GOOD, rig.nexus, RESERVE, 3, KEY_1, 0);
	scsi_nexus_destroy(rig.nexus);
	rig_nexus(&rig, RIG_FIRST, &rig.nexus);
	expect_attention(rig.nexus, 0x062900);
	rig.in_size = 512;
	expect_good(&rig, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	expect_out(SCSI_GOOD, rig.nexus, RELEASE, 3, KEY_1, 0);
}

static void test_parameter_errors(void **state)
{
	memset(rig.out, 0, 32);
	rig.out_size = 24;
	expect_sense(&rig, 0x051a00, 0x5f, 0, 0, 0, 0, 0, 0, 0, 23, 0);
	rig.out_size = 32;
	expect_sense(&rig, 0x051a00, 0x5f, 0, 0, 0, 0, 0, 0, 0, 32, 0);
	rig.out_size = 16;
	expect_sense(&rig, 0x050e03, 0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0);
	for (unsigned bit = 0; bit < 8; bit++) { /* APTPL, ALL_TG_PT, SPEC_I_PT, reserved */
		memset(rig.out, 0, 24);
		rig.out[20] = (uint8_t)(1u << bit);
		rig.out_size = 24;
		expect_sense(&rig, 0x052600, 0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0);
		assert_int_equal(rig.c.sense[15], 0x88 | bit);
		assert_int_equal(rig.c.sense[17], 20);
	}
	expect_sense(&rig, 0x052400, 0x5f, 7, 0, 0, 0, 0, 0, 0, 24, 0); /* REGISTER AND MOVE */
	expect_sense(&rig, 0x052400, 0x5e, 4, 0, 0, 0, 0, 0, 0, 24, 0);
	expect_out(SCSI_GOOD, rig.nexus, REGISTER, 0, 0, KEY_1);
	for (unsigned type = 0; type < 16; type++) {
		bool known = 0x1ea >> type & 1;

		expect_out(known ? SCSI_GOOD : SCSI_CHECK_CONDITION, rig.nexus, RESERVE, type,
			   KEY_1, 0);
		assert_int_equal(rig_sense(&rig), known ? 0 : 0x052400);
		if (known)
			expect_out(SCSI_GOOD, rig.nexus, RELEASE, type, KEY_1, 0);
	}
	expect_out(SCSI_CHECK_CONDITION, rig.nexus, RESERVE, 0x11, KEY_1, 0); /* scope */
}

static void test_capabilities(void **state)
{
	rig.in_size = 8;
	expect_good(&rig, 0x5e, 2, 0, 0, 0, 0, 0, 0, 8, 0);
	assert_memory_equal(rig.in, "\0\x08\0\x80\xea\x01\0\0", 8);
}

static void test_too_many(void **state)
{
	struct scsi_nexus *nexus[65];

	for (unsigned i = 0; i < 65; i++) {
		rig_nexus(&rig, 1000 + i, &nexus[i]);
		test_ready(nexus[i]);
		expect_out(i < 64 ? SCSI_GOOD : SCSI_CHECK_CONDITION, nexus[i], REGISTER, 0, 0,
			   KEY_1);
	}
	assert_int_equal(rig_sense(&rig), 0x055504);
	rig.in_size = 4096;
	expect_good(&rig, 0x5e, 3, 0, 0, 0, 0, 0, 0x10, 0, 0);
	assert_int_equal(be32(rig.in + 4), 64 * 48);
	for (unsigned i = 0; i < 65; i++)
		scsi_nexus_destroy(nexus[i]);
}

/* ---- every type against every kind of command ---- */

static void test_types(void **state)
{
	/* Is a nexus let through that is registered but not the holder, and one that is not? */
	static const struct {
		uint8_t type;
		bool registered_reads, registered_writes, other_reads, other_writes;
	} types[] = {
		{1, true, false, true, false}, {3, false, false, false, false},
		{5, true, true, true, false},  {6, true, true, false, false},
		{7, true, true, true, false},  {8, true, true, false, false},
	};

	for (unsigned i = 0; i < 6; i++) {
		const struct {
			struct scsi_nexus *nexus;
			bool reads, writes;
		} who[] = {
			{rig.nexus, true, true},
			{rig.other, types[i].registered_reads, types[i].registered_writes},
			{third, types[i].other_reads, types[i].other_writes},
		};

		expect_out(SCSI_GOOD, rig.nexus, REGISTER_IGNORE, 0, 0, KEY_1);
		expect_out(SCSI_GOOD, rig.other, REGISTER_IGNORE, 0, 0, KEY_2);
		expect_out(SCSI_GOOD, rig.nexus, RESERVE, types[i].type, KEY_1, 0);
		for (unsigned j = 0; j < 3; j++) {
			uint8_t reads = who[j].reads ? SCSI_GOOD : SCSI_RESERVATION_CONFLICT;
			uint8_t writes = who[j].writes ? SCSI_GOOD : SCSI_RESERVATION_CONFLICT;

			rig.in_size = 512;
			assert_int_equal(rig_execute(&rig, who[j].nexus,
						     CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0)),
					 reads);
			rig.out_size = 512;
			assert_int_equal(rig_execute(&rig, who[j].nexus,
						     CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0)),
					 writes);
			assert_int_equal(rig_execute(&rig, who[j].nexus,
						     CDB(0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0)),
					 writes);
			/* never stopped */
			assert_int_equal(test_ready(who[j].nexus), SCSI_GOOD);
			rig.in_size = 8;
			assert_int_equal(rig_execute(&rig, who[j].nexus,
						     CDB(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0)),
					 SCSI_GOOD);
			assert_int_equal(rig_execute(&rig, who[j].nexus, CDB(0x1b, 0, 0, 0, 1, 0)),
					 SCSI_GOOD);
			assert_int_equal(rig_execute(&rig, who[j].nexus, CDB(0x1e, 0, 0, 0, 0, 0)),
					 SCSI_GOOD);
			/* RESERVE(6) does not mix with registrations */
			assert_int_equal(rig_execute(&rig, who[j].nexus, CDB(0x16, 0, 0, 0, 0, 0)),
					 SCSI_RESERVATION_CONFLICT);
		}
		expect_out(SCSI_RESERVATION_CONFLICT, third, RESERVE, types[i].type, KEY_1, 0);
		expect_out(SCSI_GOOD, rig.nexus, RELEASE, types[i].type, KEY_1, 0);
		/* Registrants hear of the release of what was theirs in part. */
		expect_attention(rig.other, types[i].type >= 5 ? 0x062a04 : 0);
		expect_attention(third, 0);
	}
}

/* ---- reserving, releasing ---- */

static void test_reserve_release(void **state)
{
	expect_out(SCSI_RESERVATION_CONFLICT, rig.nexus, RESERVE, 1, 0, 0);
	expect_out(SCSI_GOOD, rig.nexus, REGISTER, 0, 0, KEY_1);
	expect_out(SCSI_GOOD, rig.other, REGISTER, 0, 0, KEY_2);
	expect_out(SCSI_RESERVATION_CONFLICT, rig.nexus, RESERVE, 1, KEY_2, 0);
	assert_int_equal(reserve_in(1), 0);
	expect_out(SCSI_GOOD, rig.nexus, RESERVE, 1, KEY_1, 0);
	expect_out(SCSI_GOOD, rig.nexus, RESERVE, 1, KEY_1, 0);
	expect_out(SCSI_RESERVATION_CONFLICT, rig.nexus, RESERVE, 3, KEY_1, 0);
	expect_out(SCSI_RESERVATION_CONFLICT, rig.other, RESERVE, 1, KEY_2, 0);
	assert_int_equal(reserve_in(1), 16);
	assert_int_equal(be32(rig.in + 8), KEY_1 >> 32);
	assert_int_equal(rig.in[21], 1);
	/* full status */
	assert_int_equal(reserve_in(3), 96);
	assert_int_equal(rig.in[8 + 12], 1);
	assert_int_equal(rig.in[8 + 13], 1);
	assert_int_equal(rig.in[8 + 24], 6);
	assert_int_equal(be32(rig.in + 8 + 28), RIG_FIRST >> 32);
	assert_int_equal(rig.in[56 + 12], 0);
	/* Releasing: by one who does not hold it nothing, with the wrong type an error. */
	expect_out(SCSI_GOOD, rig.other, RELEASE, 1, KEY_2, 0);
	assert_int_equal(reserve_in(1), 16);
	expect_out(SCSI_CHECK_CONDITION, rig.nexus, RELEASE, 3, KEY_1, 0);
	assert_int_equal(rig_sense(&rig), 0x052604);
	expect_out(SCSI_GOOD, rig.nexus, RELEASE, 1, KEY_1, 0);
	assert_int_equal(reserve_in(1), 0);
}

/* A reservation ends with its holder's registration; one of all with the last. */
static void test_unregister_releases(void **state)
{
	expect_out(SCSI_GOOD, rig.nexus, REGISTER, 0, 0, KEY_1);
	expect_out(SCSI_GOOD, rig.other, REGISTER, 0, 0, KEY_2);
	expect_out(SCSI_GOOD, rig.nexus, RESERVE, 5, KEY_1, 0);
	expect_out(SCSI_GOOD, rig.nexus, REGISTER, 0, KEY_1, 0);
	assert_int_equal(reserve_in(1), 0);
	expect_attention(rig.other, 0x062a04);
	expect_out(SCSI_GOOD, rig.nexus, REGISTER, 0, 0, KEY_1);
	expect_out(SCSI_GOOD, rig.nexus, RESERVE, 7, KEY_1, 0);
	expect_out(SCSI_GOOD, rig.nexus, REGISTER, 0, KEY_1, 0);
	assert_int_equal(reserve_in(1), 16);
	assert_int_equal(be32(rig.in + 8), 0);
	expect_out(SCSI_GOOD, rig.other, REGISTER, 0, KEY_2, 0);
	assert_int_equal(reserve_in(1), 0);
}

static void test_clear(void **state)
{
	expect_out(SCSI_GOOD, rig.nexus, REGISTER, 0, 0, KEY_1);
	expect_out(SCSI_GOOD, rig.other, REGISTER, 0, 0, KEY_2);
	expect_out(SCSI_GOOD, rig.nexus, RESERVE, 3, KEY_1, 0);
	expect_out(SCSI_RESERVATION_CONFLICT, rig.other, CLEAR, 0, KEY_1, 0);
	expect_out(SCSI_GOOD, rig.other, CLEAR, 0, KEY_2, 0);
	assert_int_equal(rig_execute(&rig, rig.nexus, CDB(0, 0, 0, 0, 0, 0)), SCSI_CHECK_CONDITION);
	assert_int_equal(rig_sense(&rig), 0x062a03);
	assert_int_equal(reserve_in(0), 0);
	assert_int_equal(reserve_in(1), 0);
}

static void test_preempt(void **state)
{
	expect_out(SCSI_GOOD, rig.nexus, REGISTER, 0, 0, KEY_1);
	expect_out(SCSI_GOOD, rig.other, REGISTER, 0, 0, KEY_2);
	expect_out(SCSI_GOOD, rig.other, RESERVE, 3, KEY_2, 0);
	expect_out(SCSI_CHECK_CONDITION, rig.nexus, PREEMPT, 1, KEY_1, 0);
	assert_int_equal(rig_sense(&rig), 0x052600);
	expect_out(SCSI_RESERVATION_CONFLICT, rig.nexus, PREEMPT, 1, KEY_1, 77);
	expect_out(SCSI_GOOD, rig.nexus, PREEMPT, 1, KEY_1, KEY_2);
	assert_int_equal(reserve_in(1), 16);
	assert_int_equal(be32(rig.in + 8), KEY_1 >> 32);
	assert_int_equal(rig.in[21], 1);
	assert_int_equal(reserve_in(0), 8);
	expect_attention(rig.other, 0x062a05);
	/* A registration that holds nothing is taken away, the reservation stays. */
	expect_out(SCSI_GOOD, rig.other, REGISTER, 0, 0, KEY_2);
	expect_out(SCSI_GOOD, rig.nexus, PREEMPT_ABORT, 3, KEY_1, KEY_2);
	assert_int_equal(reserve_in(1), 16);
	assert_int_equal(rig.in[21], 1);
	assert_int_equal(reserve_in(0), 8);
	expect_attention(rig.other, 0x062a05);
}

static void test_preempt_all_registrants(void **state)
{
	expect_out(SCSI_GOOD, rig.nexus, REGISTER, 0, 0, KEY_1);
	expect_out(SCSI_GOOD, rig.other, REGISTER, 0, 0, KEY_2);
	expect_out(SCSI_GOOD, rig.other, RESERVE, 8, KEY_2, 0);
	expect_out(SCSI_GOOD, rig.nexus, PREEMPT, 5, KEY_1, 0);
	assert_int_equal(reserve_in(1), 16);
	assert_int_equal(rig.in[21], 5);
	assert_int_equal(be32(rig.in + 8), KEY_1 >> 32);
	assert_int_equal(reserve_in(0), 8);
	expect_attention(rig.other, 0x062a05);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_register),
		TEST(test_register_outlives_nexus),
		TEST(test_parameter_errors),
		TEST(test_capabilities),
		TEST(test_too_many),
		TEST(test_types),
		TEST(test_reserve_release),
		TEST(test_unregister_releases),
		TEST(test_clear),
		TEST(test_preempt),
		TEST(test_preempt_all_registrants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
