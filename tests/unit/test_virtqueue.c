/* SPDX-License-Identifier: BSD-3-Clause */
/* src/virtqueue against a driver of its own: both formats, each feature, each malformed input. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "virtqueue_rig.h"

#define V1       VIRTQUEUE_F_VERSION_1
#define PACKED   (V1 | VIRTQUEUE_F_PACKED)
#define EVENT    VIRTQUEUE_F_EVENT_IDX
#define INDIRECT VIRTQUEUE_F_INDIRECT_DESC

static struct rig rig;

static const uint64_t both[] = {V1, PACKED};

static const struct rig_buffer in_out[] = {{RIG_BUFFERS, 16, false},
					   {RIG_BUFFERS + 0x100, 32, true}};

/* ---- work ---- */

/* Chains of up to four buffers of which the device copies the readable to the writable. */
static void exchange(uint64_t features, uint32_t num, bool pieces, bool indirect, unsigned rounds)
{
	struct virtqueue_chain chains[8];
	unsigned made = 0, answered = 0, signals = 0;
	uint8_t expected[RIG_NUM_MAX];

	rig_open(&rig, num, features);
	rig.pieces = pieces;
	assert_int_equal(virtqueue_start(&rig.vq, true), 0);
	srand(1);
	while (answered < rounds) {
		uint32_t length;
		int n, id;

		for (int i = rand() % 8; i > 0 && made < rounds && made < answered + 32; i--) {
			/* Across a page boundary, of two readable and two writable buffers. */
			uint32_t at = RIG_BUFFERS + 0x1000 * (made % 32) + 0xff0;
			struct rig_buffer b[4] = {{at, 8, false},
						  {at + 8, 16, false},
						  {at + 32, 8, true},
						  {at + 48, 16, true}};

			id = rig_add(&rig, b, 4, indirect && rand() % 2);
			if (id < 0)
				break;
			expected[id] = (uint8_t)made++;
			memset(rig.arena + at, expected[id], 24);
			memset(rig.arena + at + 32, 0, 32);
		}
		n = rig_fetch(&rig, chains, 1 + (unsigned)rand() % 8);
		assert_true(n >= 0);
		for (int i = 0; i < n; i++) {
			struct virtqueue_chain *c = &chains[i];
			uint8_t *from = c->readable[0].iov_base, *to = c->writable[0].iov_base;

			assert_int_equal(c->readable_size, 24);
			assert_int_equal(c->writable_size, 24);
			assert_int_equal(c->n_writable, 2);
			assert_int_equal(c->n_readable, pieces ? 3 : 2);
			assert_int_equal(c->n_ranges, 4);
			memset(to, from[0], 8);
			c->written = 8;
		}
		assert_int_equal(virtqueue_used(&rig.vq, chains, (unsigned)n), 0);
		n = virtqueue_should_signal(&rig.vq);
		assert_true(n == 0 || n == 1);
		signals += (unsigned)n;
		while ((id = rig_take(&rig, &length)) >= 0) {
			uint32_t at = RIG_BUFFERS + 0x1000 * (answered % 32) + 0xff0;

			assert_int_equal(length, 8);
			assert_int_equal(expected[id], (uint8_t)answered);
			assert_int_equal(rig.arena[at + 32 + 7], (uint8_t)answered);
			answered++;
		}
	}
	assert_true(signals > 0);
	rig_close(&rig);
}

static void test_exchange(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		exchange(both[i], 16, false, false, 3000);
		exchange(both[i], 16, true, false, 300);
		exchange(both[i] | EVENT, 8, false, false, 3000);
		exchange(both[i] | INDIRECT, 16, false, true, 3000);
		exchange(both[i] | INDIRECT | EVENT | VIRTQUEUE_F_IN_ORDER, 64, true, true, 1000);
		exchange(both[i], 256, true, true, 3000);
	}
	exchange(PACKED, 7, false, false, 3000); /* no power of two */
}

/*
 * Buffers inside and outside of a window, and over its end: those inside need no map, and all
 * are given back.
 */
static void windows(uint64_t features, bool transient, bool indirect)
{
	struct virtqueue_chain chains[16];
	uint32_t length;

	rig_open(&rig, 32, features);
	rig.window = RIG_BUFFERS + 0x8000;
	rig.pool.transient = transient;
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < 16; i++) {
			uint32_t at = RIG_BUFFERS + 0x1000 * i + (round % 2 ? 0xff0 : 0);
			struct rig_buffer b[2] = {{at, 32, i % 2}, {at + 64, 8, true}};

			rig.arena[at] = (uint8_t)(round + i);
			assert_true(rig_add(&rig, b, 1 + (i % 3 == 0), indirect && i % 4) >= 0);
		}
		for (unsigned done = 0; done < 16;) {
			int n = rig_fetch(&rig, chains, 16 - done);

			assert_true(n > 0);
			for (int i = 0; i < n; i++) {
				unsigned j = done + (unsigned)i;
				uint32_t at = RIG_BUFFERS + 0x1000 * j + (round % 2 ? 0xff0 : 0);
				struct virtqueue_chain *c = &chains[i];

				assert_int_equal(c->n_readable, !(j % 2));
				assert_int_equal(c->n_writable, (j % 3 == 0) + (j % 2));
				assert_int_equal(c->readable_size, j % 2 ? 0 : 32);
				assert_ptr_equal((j % 2 ? c->writable : c->readable)[0].iov_base,
						 rig.arena + at);
				c->written = 0;
			}
			if (transient)
				assert_in_range(rig.pinned, 32 * 8 - 64, 40 * 8);
			assert_int_equal(virtqueue_used(&rig.vq, chains, (unsigned)n), 0);
			assert_int_equal(rig.pinned, 0);
			done += (unsigned)n;
		}
		assert_int_equal(rig.windows, 1);
		virtqueue_release(&rig.vq);
		assert_int_equal(rig.windows, 0);
		for (unsigned i = 0; i < 16; i++)
			assert_true(rig_take(&rig, &length) >= 0);
	}
	rig_close(&rig);
}

static void test_windows(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		windows(both[i], true, false);
		windows(both[i], false, false);
		windows(both[i] | INDIRECT, true, true);
	}
}

/* The 16-bit indexes of a split ring wrap. */
static void test_index_wraps(void **state)
{
	struct virtqueue_state at = {.avail = 0xfffd, .used = 0xfffd};
	struct virtqueue_chain chains[8];
	uint32_t length;

	rig_open(&rig, 8, V1 | EVENT);
	*rig_u16(&rig, RIG_AVAIL + 2) = rig.avail = 0xfffd;
	*rig_u16(&rig, RIG_USED + 2) = rig.used = 0xfffd;
	assert_int_equal(virtqueue_set_state(&rig.vq, &at), 0);
	assert_int_equal(virtqueue_enable_kicks(&rig.vq), 0);
	assert_int_equal(*rig_u16(&rig, RIG_USED + 4 + 64), 0xfffd);
	for (unsigned i = 0; i < 4; i++)
		assert_true(rig_add(&rig, in_out, 2, false) >= 0);
	assert_int_equal(rig_fetch(&rig, chains, 8), 4);
	assert_int_equal(virtqueue_used(&rig.vq, chains, 4), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_true(rig_take(&rig, &length) >= 0);
	assert_int_equal(rig_take(&rig, &length), -1);
	virtqueue_get_state(&rig.vq, &at);
	assert_int_equal(at.avail, 1);
	assert_int_equal(at.used, 1);
	rig_close(&rig);
}

static void test_unfetch(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		struct virtqueue_chain chains[8];
		int first;

		rig_open(&rig, 8, both[i]);
		for (unsigned round = 0; round < 5; round++) {
			uint32_t length;

			first = rig_add(&rig, in_out, 2, false);
			assert_true(first >= 0);
			assert_true(rig_add(&rig, in_out, 2, false) >= 0);
			assert_true(rig_add(&rig, in_out, 2, false) >= 0);
			assert_int_equal(rig_fetch(&rig, chains, 8), 3);
			virtqueue_unfetch(&rig.vq, chains + 1, 2);
			assert_int_equal(virtqueue_used(&rig.vq, chains, 1), 0);
			assert_int_equal(rig_take(&rig, &length), first);
			assert_int_equal(virtqueue_pending(&rig.vq), 1);
			assert_int_equal(rig_fetch(&rig, chains, 8), 2);
			/* The other way round than they were made available. */
			assert_int_equal(virtqueue_used(&rig.vq, chains + 1, 1), 0);
			assert_int_equal(virtqueue_used(&rig.vq, chains, 1), 0);
			assert_true(rig_take(&rig, &length) >= 0);
			assert_true(rig_take(&rig, &length) >= 0);
			assert_int_equal(virtqueue_pending(&rig.vq), 0);
		}
		rig_close(&rig);
	}
}

/* A batch ends where the pool is full; a chain that an empty pool can't hold is an error. */
static void test_pool(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		struct virtqueue_chain chains[8];
		const char *reason;

		rig_open(&rig, 8, both[i]);
		rig.pool.max_iov = rig.pool.max_ranges = 3;
		assert_true(rig_add(&rig, in_out, 2, false) >= 0);
		assert_true(rig_add(&rig, in_out, 2, false) >= 0);
		assert_int_equal(rig_fetch(&rig, chains, 8), 1);
		/* Without a reset of the pool: no room, and no error. */
		assert_int_equal(virtqueue_fetch(&rig.vq, chains + 1, 1, &rig.pool), 0);
		assert_int_equal(virtqueue_used(&rig.vq, chains, 1), 0);
		rig.pool.max_iov = 1;
		assert_int_equal(rig_fetch(&rig, chains, 8), -EIO);
		assert_int_equal(virtqueue_error(&rig.vq, &reason), -E2BIG);
		assert_string_equal(reason, "a chain of too many pieces");
		rig_close(&rig);
	}
}

/* ---- notifications ---- */

static unsigned use_one(void)
{
	struct virtqueue_chain chain;
	uint32_t length;
	int signal;

	assert_true(rig_add(&rig, in_out, 2, false) >= 0);
	assert_int_equal(rig_fetch(&rig, &chain, 1), 1);
	assert_int_equal(virtqueue_used(&rig.vq, &chain, 1), 0);
	assert_true(rig_take(&rig, &length) >= 0);
	signal = virtqueue_should_signal(&rig.vq);
	assert_true(signal >= 0);
	assert_int_equal(virtqueue_should_signal(&rig.vq), 0); /* nothing new */
	return (unsigned)signal;
}

static void test_signals_split(void **state)
{
	rig_open(&rig, 8, V1);
	assert_int_equal(use_one(), 1);
	*rig_u16(&rig, RIG_AVAIL) = 1;
	assert_int_equal(use_one(), 0);
	rig_close(&rig);

	rig_open(&rig, 8, V1 | VIRTQUEUE_F_NOTIFY_ON_EMPTY);
	*rig_u16(&rig, RIG_AVAIL) = 1;
	assert_int_equal(use_one(), 1);
	rig_close(&rig);

	rig_open(&rig, 8, V1 | EVENT);
	*rig_u16(&rig, RIG_AVAIL) = 1;               /* means nothing now */
	*rig_u16(&rig, RIG_AVAIL + 4 + 2 * 8) = 100; /* used_event */
	assert_int_equal(use_one(), 1);              /* the first is always told */
	assert_int_equal(use_one(), 0);
	*rig_u16(&rig, RIG_AVAIL + 4 + 2 * 8) = 3;
	assert_int_equal(use_one(), 0);
	assert_int_equal(use_one(), 1);
	assert_int_equal(use_one(), 0);
	rig_close(&rig);
}

static void test_signals_packed(void **state)
{
	rig_open(&rig, 8, PACKED);
	assert_int_equal(use_one(), 1);
	*rig_u16(&rig, RIG_AVAIL + 2) = 1;
	assert_int_equal(use_one(), 0);
	rig_close(&rig);

	/* Each chain takes two slots of five, so that the fifth round wraps. */
	rig_open(&rig, 5, PACKED | EVENT);
	*rig_u16(&rig, RIG_AVAIL + 2) = 2;
	*rig_u16(&rig, RIG_AVAIL) = 1 << 15 | 2; /* slot 2, first lap */
	assert_int_equal(use_one(), 0);          /* slots 0, 1 */
	assert_int_equal(use_one(), 1);          /* 2, 3 */
	*rig_u16(&rig, RIG_AVAIL) = 0;           /* slot 0, second lap */
	assert_int_equal(use_one(), 1);          /* 4, 0 */
	*rig_u16(&rig, RIG_AVAIL) = 1;           /* slot 1, second lap */
	assert_int_equal(use_one(), 1);          /* 1, 2 */
	*rig_u16(&rig, RIG_AVAIL) = 1 << 15 | 4; /* slot 4, third lap */
	assert_int_equal(use_one(), 0);          /* 3, 4 */
	assert_int_equal(use_one(), 0);          /* 0, 1 */
	assert_int_equal(use_one(), 0);          /* 2, 3 */
	assert_int_equal(use_one(), 1);          /* 4, 0 */
	rig_close(&rig);
}

static void test_kicks(void **state)
{
	struct virtqueue_chain chain;

	rig_open(&rig, 8, V1);
	assert_int_equal(virtqueue_disable_kicks(&rig.vq), 0);
	assert_int_equal(*rig_u16(&rig, RIG_USED), 1);
	assert_int_equal(virtqueue_enable_kicks(&rig.vq), 0);
	assert_int_equal(*rig_u16(&rig, RIG_USED), 0);
	assert_true(rig_add(&rig, in_out, 2, false) >= 0);
	assert_int_equal(virtqueue_enable_kicks(&rig.vq), 1);
	rig_close(&rig);

	rig_open(&rig, 8, V1 | EVENT);
	assert_int_equal(virtqueue_disable_kicks(&rig.vq), 0);
	assert_int_equal(*rig_u16(&rig, RIG_USED), 0);
	assert_true(rig_add(&rig, in_out, 2, false) >= 0);
	assert_int_equal(rig_fetch(&rig, &chain, 1), 1);
	assert_int_equal(virtqueue_enable_kicks(&rig.vq), 0);
	assert_int_equal(*rig_u16(&rig, RIG_USED + 4 + 8 * 8), 1); /* avail_event */
	virtqueue_drop(&rig.vq, &chain);
	rig_close(&rig);

	rig_open(&rig, 8, PACKED);
	assert_int_equal(virtqueue_disable_kicks(&rig.vq), 0);
	assert_int_equal(*rig_u16(&rig, RIG_USED + 2), 1);
	assert_int_equal(virtqueue_enable_kicks(&rig.vq), 0);
	assert_int_equal(*rig_u16(&rig, RIG_USED + 2), 0);
	rig_close(&rig);

	rig_open(&rig, 8, PACKED | EVENT);
	assert_int_equal(virtqueue_disable_kicks(&rig.vq), 0);
	assert_int_equal(*rig_u16(&rig, RIG_USED + 2), 1);
	assert_true(rig_add(&rig, in_out, 2, false) >= 0);
	assert_int_equal(rig_fetch(&rig, &chain, 1), 1);
	assert_int_equal(virtqueue_enable_kicks(&rig.vq), 0);
	assert_int_equal(*rig_u16(&rig, RIG_USED + 2), 2);
	assert_int_equal(*rig_u16(&rig, RIG_USED), 1 << 15 | 2);
	virtqueue_drop(&rig.vq, &chain);
	rig_close(&rig);
}

/* ---- state, log, misses ---- */

static void test_state(void **state)
{
	struct virtqueue_state at = {.avail = 8, .used = 0}, back;
	uint64_t bad[] = {RIG_BASE, RIG_BASE + RIG_AVAIL, RIG_BASE + RIG_USED + 2};
	struct virtqueue_config config = {.ops = rig.vq.ops, .num = 12, .name = "test"};
	struct virtqueue vq;

	rig_open(&rig, 8, PACKED);
	assert_int_equal(virtqueue_set_state(&rig.vq, &at), -EINVAL);
	at.avail = 7;
	assert_int_equal(virtqueue_set_state(&rig.vq, &at), 0);
	virtqueue_get_state(&rig.vq, &back);
	assert_memory_equal(&at, &back, sizeof(at));
	assert_int_equal(virtqueue_set_addresses(&rig.vq, bad), -EINVAL);
	bad[2] = UINT64_MAX - 3;
	assert_int_equal(virtqueue_set_addresses(&rig.vq, bad), -EINVAL);
	rig_close(&rig);

	assert_int_equal(virtqueue_init(&vq, &config), -EINVAL);
	config.num = 0;
	assert_int_equal(virtqueue_init(&vq, &config), -EINVAL);
	config.num = 65536;
	assert_int_equal(virtqueue_init(&vq, &config), -EINVAL);

	rig_open(&rig, 8, V1);
	*rig_u16(&rig, RIG_USED + 2) = 77;
	assert_int_equal(virtqueue_start(&rig.vq, false), 0);
	virtqueue_get_state(&rig.vq, &back);
	assert_int_equal(back.used, 0);
	assert_int_equal(virtqueue_start(&rig.vq, true), 0);
	virtqueue_get_state(&rig.vq, &back);
	assert_int_equal(back.used, 77);
	rig_close(&rig);
}

/*
 * A packed ring is taken over by its base alone, before and behind its end, with chains in
 * flight: what vhost's clients do when a guest moves.
 */
static void test_packed_base(void **state)
{
	static const uint32_t bases[] = {
		/* Four slots; after the first, one chain is in flight. */
		0x80008000, 0x80008001, 0x80018002, 0x80028003, 0x80030000,
		0x00000001, 0x00010002, 0x00020003, 0x00038000, 0x80008001,
	};
	struct rig_buffer b = {RIG_BUFFERS, 16, true};
	struct virtqueue_chain first, second;
	struct virtqueue_state at;
	uint32_t length, base;

	rig_open(&rig, 4, PACKED);
	for (unsigned i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		virtqueue_get_state(&rig.vq, &at);
		base = virtqueue_state_base(&at, true);
		assert_int_equal(base, bases[i]);
		/* Forgets all but the number. */
		assert_int_equal(virtqueue_set_state(&rig.vq, &(struct virtqueue_state){0}), 0);
		at = virtqueue_base_state(base, true);
		assert_int_equal(virtqueue_set_state(&rig.vq, &at), 0);

		rig.pool.n_iov = rig.pool.n_ranges = 0;
		assert_true(rig_add(&rig, &b, 1, false) >= 0);
		assert_int_equal(virtqueue_fetch(&rig.vq, &second, 1, &rig.pool), 1);
		/* One stays in flight, always. */
		if (i > 0) {
			first.written = i;
			assert_int_equal(virtqueue_used(&rig.vq, &first, 1), 0);
			assert_true(rig_take(&rig, &length) >= 0);
			assert_int_equal(length, i);
		}
		first = second;
	}
	assert_int_equal(virtqueue_used(&rig.vq, &first, 1), 0);
	rig_close(&rig);

	at = virtqueue_base_state(0xfffe, false);
	assert_int_equal(at.avail, 0xfffe);
	assert_int_equal(virtqueue_state_base(&at, false), 0xfffe);
}

static void test_log(void **state)
{
	static const struct rig_buffer buffers[] = {{RIG_BUFFERS, 16, false},
						    {RIG_BUFFERS + 0x100, 4, true},
						    {RIG_BUFFERS + 0x200, 32, true}};
	struct virtqueue_chain chain;

	for (unsigned i = 0; i < 2; i++) {
		rig_open(&rig, 8, both[i]);
		virtqueue_log(&rig.vq, true, true);
		assert_true(rig_add(&rig, buffers, 3, false) >= 0);
		assert_int_equal(rig_fetch(&rig, &chain, 1), 1);
		chain.written = 6;
		assert_int_equal(virtqueue_used(&rig.vq, &chain, 1), 0);
		for (uint32_t at = RIG_BUFFERS; at < RIG_SIZE; at++)
			assert_int_equal(
				rig.logged[at],
				(at >= RIG_BUFFERS + 0x100 && at < RIG_BUFFERS + 0x104) ||
					(at >= RIG_BUFFERS + 0x200 && at < RIG_BUFFERS + 0x202));
		for (uint32_t at = 0; at < 8; at++) {
			assert_int_equal(rig.logged[RIG_USED + 4 + at], i == 0);
			assert_int_equal(rig.logged[RIG_DESC + 8 + at], i == 1);
		}
		assert_int_equal(rig.logged[RIG_USED + 2], i == 0);
		assert_int_equal(rig.logged[RIG_AVAIL], 0);
		rig_close(&rig);
	}
}

/* What is not translated yet is asked for again, with nothing lost. */
static void test_misses(void **state)
{
	static const uint32_t places[] = {RIG_BUFFERS + 0x100, RIG_DESC, RIG_AVAIL, RIG_TABLES};

	for (unsigned i = 0; i < 2; i++) {
		for (unsigned place = 0; place < 4; place++) {
			struct virtqueue_chain chain;
			uint32_t length;
			int id;

			if (i == 1 && places[place] == RIG_AVAIL)
				continue; /* not read by a fetch */
			rig_open(&rig, 8, both[i] | INDIRECT);
			id = rig_add(&rig, in_out, 2, true);
			assert_true(id >= 0);
			rig.miss = RIG_BASE + places[place] +
				   (places[place] == RIG_TABLES ? 0x100u * (unsigned)id : 0);
			rig.miss_size = 1;
			assert_int_equal(rig_fetch(&rig, &chain, 1), -EAGAIN);
			assert_int_equal(rig_fetch(&rig, &chain, 1), -EAGAIN);
			assert_int_equal(virtqueue_error(&rig.vq, NULL), 0);
			rig.miss_size = 0;
			assert_int_equal(rig_fetch(&rig, &chain, 1), 1);
			rig.miss = RIG_BASE + (i ? RIG_DESC : RIG_USED);
			rig.miss_size = 1;
			virtqueue_release(&rig.vq);
			chain.written = 32;
			assert_int_equal(virtqueue_used(&rig.vq, &chain, 1), -EAGAIN);
			assert_int_equal(rig_take(&rig, &length), -1);
			rig.miss_size = 0;
			assert_int_equal(virtqueue_used(&rig.vq, &chain, 1), 0);
			assert_int_equal(rig_take(&rig, &length), id);
			assert_int_equal(length, 32);
			rig_close(&rig);
		}
	}
}

/* ---- malformed rings ---- */

static void expect_error(int error, const char *reason)
{
	struct virtqueue_chain chain;
	const char *why;

	assert_int_equal(rig_fetch(&rig, &chain, 1), -EIO);
	assert_int_equal(virtqueue_error(&rig.vq, &why), error);
	assert_string_equal(why, reason);
	/* It stays so. */
	assert_int_equal(rig_fetch(&rig, &chain, 1), -EIO);
	assert_int_equal(virtqueue_enable_kicks(&rig.vq), -EIO);
	assert_int_equal(virtqueue_should_signal(&rig.vq), -EIO);
	rig_close(&rig);
}

static void set(unsigned i, uint64_t address, uint32_t length, unsigned a, unsigned b)
{
	*rig_desc(&rig, i) = (struct rig_desc){address, length, (uint16_t)a, (uint16_t)b};
}

static void set_table(unsigned i, uint64_t address, uint32_t length, unsigned a, unsigned b)
{
	struct rig_desc *table = (void *)(rig.arena + RIG_TABLES);

	table[i] = (struct rig_desc){address, length, (uint16_t)a, (uint16_t)b};
}

#define BUFFER (RIG_BASE + RIG_BUFFERS)
#define TABLE  (RIG_BASE + RIG_TABLES)

static void test_malformed_split(void **state)
{
	rig_open(&rig, 8, V1);
	*rig_u16(&rig, RIG_AVAIL + 2) = 9;
	expect_error(-EINVAL, "the available index jumped");

	rig_open(&rig, 8, V1);
	rig_publish(&rig, 8, 1);
	expect_error(-EINVAL, "a descriptor that does not exist");

	rig_open(&rig, 8, V1);
	set(0, BUFFER, 16, 1, 8);
	rig_publish(&rig, 0, 1);
	expect_error(-EINVAL, "a descriptor that does not exist");

	rig_open(&rig, 8, V1);
	set(0, BUFFER, 16, 1, 1);
	set(1, BUFFER, 16, 1, 0);
	rig_publish(&rig, 0, 1);
	expect_error(-EINVAL, "a loop of descriptors");

	rig_open(&rig, 8, V1);
	set(0, BUFFER, 16, 1 | 2, 1);
	set(1, BUFFER, 16, 0, 0);
	rig_publish(&rig, 0, 1);
	expect_error(-EINVAL, "a readable buffer after a writable one");

	rig_open(&rig, 8, V1);
	set(0, UINT64_MAX - 7, 16, 0, 0);
	rig_publish(&rig, 0, 1);
	expect_error(-EINVAL, "a buffer's address wraps");

	rig_open(&rig, 8, V1);
	set(0, BUFFER, UINT32_MAX, 2, 0);
	rig_publish(&rig, 0, 1);
	expect_error(-EFAULT, "a buffer is not mapped");

	rig_open(&rig, 8, V1);
	rig.read_only = BUFFER;
	rig.read_only_size = 8;
	set(0, BUFFER, 16, 2, 0);
	rig_publish(&rig, 0, 1);
	expect_error(-EFAULT, "a buffer is not mapped");

	rig_open(&rig, 8, V1);
	set_table(0, BUFFER, 16, 1, 1);
	set_table(1, BUFFER, 16, 1, 0);
	set(0, TABLE, 32, 4, 0);
	rig_publish(&rig, 0, 1);
	expect_error(-EINVAL, "a loop of indirect descriptors");

	rig_open(&rig, 8, V1);
	set_table(0, BUFFER, 16, 1, 2);
	set(0, TABLE, 32, 4, 0);
	rig_publish(&rig, 0, 1);
	expect_error(-EINVAL, "an indirect descriptor out of its table");
}

/* What goes wrong alike in both formats. */
static void test_malformed_both(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		/* Flags are the last but one field, or the last. */
#define FLAGS(f) (i ? 0 : (f)), (i ? (f) : 0)
		static const uint32_t lengths[] = {0, 15, 24, 0x100010};

		for (unsigned l = 0; l < 4; l++) {
			rig_open(&rig, 8, both[i]);
			set(0, TABLE, lengths[l], FLAGS(4));
			rig_publish(&rig, i ? 4 : 0, 1);
			expect_error(-EINVAL, "an indirect table of impossible length");
		}
		rig_open(&rig, 8, both[i]);
		set(0, UINT64_MAX - 15, 32, FLAGS(4));
		rig_publish(&rig, i ? 4 : 0, 1);
		expect_error(-EINVAL, "an indirect table's address wraps");

		rig_open(&rig, 8, both[i]);
		set(0, RIG_BASE + RIG_SIZE, 32, FLAGS(4));
		rig_publish(&rig, i ? 4 : 0, 1);
		expect_error(-EFAULT, "an address is not mapped");

		rig_open(&rig, 8, both[i]);
		set_table(0, TABLE, 32, FLAGS(4));
		set(0, TABLE, 16, FLAGS(4));
		rig_publish(&rig, i ? 4 : 0, 1);
		expect_error(-EINVAL, "an indirect table in an indirect table");

		rig_open(&rig, 8, both[i]);
		rig.hole = RIG_BASE + RIG_DESC + 64;
		rig.hole_size = 1;
		rig_publish(&rig, 0, 1);
		expect_error(-EFAULT, "the ring is not mapped");
		rig_open(&rig, 8, both[i]);
		rig.hole = RIG_BASE + RIG_USED;
		rig.hole_size = 1;
		assert_int_equal(virtqueue_start(&rig.vq, false), -EIO);
		rig_close(&rig);

		/* Mapped, but the client has taken its memory away. */
		rig_open(&rig, 8, both[i]);
		assert_int_equal(virtqueue_start(&rig.vq, false), 0);
		assert_int_equal(mprotect(rig.arena, 0x4000, PROT_NONE), 0);
		expect_error(-EFAULT, "no memory behind the ring");

		/* A length of nothing is no error; a chain of nothing neither. */
		rig_open(&rig, 8, both[i]);
		{
			struct virtqueue_chain chain;

			set(0, UINT64_MAX, 0, FLAGS(0));
			rig_publish(&rig, 0, 1);
			assert_int_equal(rig_fetch(&rig, &chain, 1), 1);
			assert_int_equal(chain.n_readable + chain.n_writable, 0);
		}
		rig_close(&rig);
	}
}

static void test_malformed_packed(void **state)
{
	rig_open(&rig, 4, PACKED);
	for (unsigned i = 0; i < 4; i++)
		set(i, BUFFER, 16, 0, 1);
	rig_publish(&rig, 1, 1);
	expect_error(-EINVAL, "a chain longer than the ring");

	rig_open(&rig, 4, PACKED);
	set(0, BUFFER, 16, 0, 0);
	set(1, TABLE, 16, 0, 4);
	rig_publish(&rig, 1, 2);
	expect_error(-EINVAL, "an indirect table within a chain");

	rig_open(&rig, 4, PACKED);
	set(0, BUFFER, 16, 0, 0);
	set(1, BUFFER, 16, 0, 0);
	rig_publish(&rig, 1 | 2, 2);
	expect_error(-EINVAL, "a readable buffer after a writable one");
}

/* Good chains before a bad one are handed out and can be used. */
static void test_error_after_work(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		struct virtqueue_chain chains[4];
		static const struct rig_buffer bad = {RIG_SIZE, 16, true};
		uint32_t length;

		rig_open(&rig, 8, both[i]);
		assert_true(rig_add(&rig, in_out, 2, false) >= 0);
		assert_true(rig_add(&rig, &bad, 1, false) >= 0);
		assert_int_equal(rig_fetch(&rig, chains, 4), 1);
		assert_int_equal(virtqueue_used(&rig.vq, chains, 1), 0);
		assert_true(rig_take(&rig, &length) >= 0);
		assert_int_equal(rig_fetch(&rig, chains, 4), -EIO);
		assert_int_equal(virtqueue_error(&rig.vq, NULL), -EFAULT);
		virtqueue_clear_error(&rig.vq);
		assert_int_equal(virtqueue_pending(&rig.vq), 1);
		assert_int_equal(virtqueue_fail(&rig.vq, -EINVAL, "the owner's"), -EIO);
		assert_int_equal(virtqueue_pending(&rig.vq), -EIO);
		rig_close(&rig);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchange),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_index_wraps),
		cmocka_unit_test(test_unfetch),
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_signals_split),
		cmocka_unit_test(test_signals_packed),
		cmocka_unit_test(test_kicks),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_packed_base),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_misses),
		cmocka_unit_test(test_malformed_split),
		cmocka_unit_test(test_malformed_both),
		cmocka_unit_test(test_malformed_packed),
		cmocka_unit_test(test_error_after_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
