/* SPDX-License-Identifier: BSD-3-Clause */
/* core/iova.h: the rules one by one, then millions of random steps against a naive model. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/iova.h"

static struct iova_map *map;

static int setup(void **state)
{
	return iova_map_create(&map);
}

static int teardown(void **state)
{
	iova_map_destroy(map);
	return 0;
}

static int insert(uint64_t first, uint64_t last, uintptr_t address)
{
	struct iova_range r = {
		.first = first, .last = last, .address = address, .flags = IOVA_READ | IOVA_WRITE};

	return iova_map_insert(map, &r);
}

static void overlap_is_refused(void **state)
{
	assert_int_equal(insert(0x2000, 0x3fff, 1), 0);
	assert_int_equal(insert(0x2000, 0x3fff, 1), -EEXIST);
	assert_int_equal(insert(0x1000, 0x2000, 1), -EEXIST);
	assert_int_equal(insert(0x3fff, 0x4fff, 1), -EEXIST);
	assert_int_equal(insert(0x2800, 0x28ff, 1), -EEXIST);
	assert_int_equal(insert(0x0000, 0xffff, 1), -EEXIST);
	assert_int_equal(insert(0x4000, 0x4fff, 1), 0);
	assert_int_equal(insert(0x1000, 0x1fff, 1), 0);
	assert_int_equal(iova_map_count(map), 3);
}

static void find_and_lookup(void **state)
{
	struct iova_range r;

	assert_false(iova_map_find(map, 0, &r));
	assert_int_equal(insert(0x2000, 0x2fff, 0x100), 0);
	assert_int_equal(insert(0x8000, 0x8fff, 0x200), 0);
	assert_true(iova_map_find(map, 0, &r));
	assert_int_equal(r.first, 0x2000);
	assert_false(iova_map_lookup(map, 0x1fff, &r));
	assert_true(iova_map_lookup(map, 0x2fff, &r));
	assert_int_equal(r.last, 0x2fff);
	assert_int_equal(r.address, 0x100);
	assert_false(iova_map_lookup(map, 0x3000, &r));
	assert_true(iova_map_find(map, 0x3000, &r));
	assert_int_equal(r.first, 0x8000);
	assert_false(iova_map_find(map, 0x9000, &r));
}

static void last_page_of_the_space(void **state)
{
	struct iova_range r;
	struct iovec iov[2];
	unsigned n = 0;
	uint64_t fault;

	assert_int_equal(insert(UINT64_MAX - 4095, UINT64_MAX, 0x10000), 0);
	assert_int_equal(insert(UINT64_MAX, UINT64_MAX, 0x10000), -EEXIST);
	assert_true(iova_map_lookup(map, UINT64_MAX, &r));
	assert_int_equal(iova_map_pin(map, UINT64_MAX - 4095, 4096, IOVA_READ, iov, 2, &n, &fault),
			 0);
	assert_int_equal(n, 1);
	assert_int_equal(iov[0].iov_len, 4096);
	iova_map_unpin(map, UINT64_MAX - 4095, 4096);
	assert_int_equal(iova_map_pin(map, UINT64_MAX - 4095, 4097, IOVA_READ, iov, 2, &n, &fault),
			 -EFAULT);
	assert_int_equal(iova_map_remove(map, UINT64_MAX - 4095), 0);
	assert_int_equal(insert(0, UINT64_MAX, 0), 0);
	assert_true(iova_map_lookup(map, UINT64_MAX / 2, &r));
	assert_int_equal(iova_map_remove(map, 0), 0);
}

static void removing(void **state)
{
	struct iova_range r;

	assert_int_equal(insert(0x1000, 0x1fff, 7), 0);
	assert_int_equal(iova_map_remove(map, 0x1800), -ENOENT);
	assert_int_equal(iova_map_take(map, 0x1000, 0x2fff, &r), -ENOENT);
	assert_int_equal(iova_map_take(map, 0x1000, 0x1fff, &r), 0);
	assert_int_equal(r.address, 7);
	assert_int_equal(iova_map_remove(map, 0x1000), -ENOENT);
	assert_int_equal(iova_map_count(map), 0);
}

static void replacing(void **state)
{
	struct iova_range r;

	assert_int_equal(iova_map_replace(map, 0x1000, 9, 0x101, 0), -ENOENT);
	assert_int_equal(insert(0x1000, 0x1fff, 7), 0);
	assert_int_equal(iova_map_replace(map, 0x1000, 9, 0x101, 42), 0);
	assert_true(iova_map_lookup(map, 0x1000, &r));
	assert_int_equal(r.address, 9);
	assert_int_equal(r.flags, 0x101);
	assert_int_equal(r.pid, 42);
}

static void pin_gives_pieces(void **state)
{
	struct iovec iov[4] = {{(void *)1, 1}};
	struct iova_range other = {.first = 0x9000, .last = 0x9fff, .flags = IOVA_READ, .pid = 5};
	unsigned n = 1;
	uint64_t fault = 0;

	insert(0x1000, 0x1fff, 0x50000);
	insert(0x2000, 0x2fff, 0x51000); /* goes on where the first ends */
	insert(0x3000, 0x3fff, 0x70000);
	assert_int_equal(iova_map_pin(map, 0x1800, 0x2000, IOVA_WRITE, iov, 4, &n, &fault), 0);
	assert_int_equal(n, 3);
	assert_ptr_equal(iov[1].iov_base, (void *)0x50800);
	assert_int_equal(iov[1].iov_len, 0x1800);
	assert_ptr_equal(iov[2].iov_base, (void *)0x70000);
	assert_int_equal(iov[2].iov_len, 0x800);
	iova_map_unpin(map, 0x1800, 0x2000);

	n = 1;
	assert_int_equal(iova_map_pin(map, 0x1800, 0x2000, IOVA_WRITE, iov, 2, &n, &fault), -E2BIG);
	assert_int_equal(n, 1);
	assert_int_equal(iova_map_pin(map, 0x3800, 0x1000, IOVA_WRITE, iov, 4, &n, &fault),
			 -EFAULT);
	assert_int_equal(fault, 0x4000);
	assert_int_equal(n, 1);
	iova_map_insert(map, &other);
	assert_int_equal(iova_map_pin(map, 0x9000, 1, IOVA_WRITE, iov, 4, &n, &fault), -EFAULT);
	assert_int_equal(iova_map_pin(map, 0x9000, 1, IOVA_READ, iov, 4, &n, &fault), -EXDEV);
	/* Nothing of the failures stayed pinned: none of these would return. */
	assert_int_equal(iova_map_remove(map, 0x1000), 0);
	assert_int_equal(iova_map_remove(map, 0x2000), 0);
	assert_int_equal(iova_map_remove(map, 0x3000), 0);
}

static _Atomic bool removed;

static void *remover(void *unused)
{
	assert_int_equal(iova_map_remove(map, 0x1000), 0);
	atomic_store(&removed, true);
	return NULL;
}

static void removal_waits_for_pins(void **state)
{
	struct iovec iov[1];
	unsigned n = 0, i;
	uint64_t fault;
	pthread_t thread;
	int ret = 0;

	atomic_store(&removed, false);
	insert(0x1000, 0x1fff, 0x50000);
	assert_int_equal(iova_map_pin(map, 0x1000, 0x1000, IOVA_READ, iov, 1, &n, &fault), 0);
	pthread_create(&thread, NULL, remover, NULL);
	/* The range that leaves takes no more pins. */
	for (i = 0; i < 5000 && ret != -EFAULT; i++) {
		n = 0;
		ret = iova_map_pin(map, 0x1800, 1, IOVA_READ, iov, 1, &n, &fault);
		if (!ret)
			iova_map_unpin(map, 0x1800, 1);
		usleep(1000);
	}
	assert_int_equal(ret, -EFAULT);
	assert_false(atomic_load(&removed));
	iova_map_unpin(map, 0x1000, 0x1000);
	pthread_join(thread, NULL);
	assert_true(atomic_load(&removed));
	assert_int_equal(iova_map_count(map), 0);
}

/* ---- against a model: an array of slots of 16 addresses each ---- */

#define SLOTS 4096

static struct {
	uint16_t length; /* slots, 0: nothing begins here */
	uintptr_t address;
} model[SLOTS];

static uint64_t random_state = 88172645463325252ull;

static uint64_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* The slot where the range that covers `slot` begins, or -1. */
static int model_cover(int slot)
{
	int i;

	for (i = slot; i >= 0 && i > slot - 64; i--)
		if (model[i].length)
			return i + model[i].length > slot ? i : -1;
	return -1;
}

static bool model_free(int slot, int length)
{
	int i;

	if (model_cover(slot) >= 0)
		return false;
	for (i = slot; i < slot + length; i++)
		if (model[i].length)
			return false;
	return true;
}

static void check_find(int slot)
{
	struct iova_range r;
	int expect = model_cover(slot), i;
	bool covered = expect >= 0, found;

	for (i = slot; expect < 0 && i < SLOTS; i++)
		if (model[i].length)
			expect = i;
	assert_int_equal(iova_map_lookup(map, slot * 16ull + 3, &r), covered);
	found = iova_map_find(map, slot * 16ull, &r);
	assert_int_equal(found, expect >= 0);
	if (found) {
		assert_int_equal(r.first, expect * 16ull);
		assert_int_equal(r.last, (expect + model[expect].length) * 16ull - 1);
		assert_int_equal(r.address, model[expect].address);
	}
}

static void random_steps(void **state)
{
	size_t live = 0;
	unsigned step;
	int slot, length, ret;

	memset(model, 0, sizeof(model));
	for (step = 0; step < 2000000; step++) {
		/* Phases of growing and of shrinking, so that nodes split and vanish. */
		bool grow = (step >> 15) % 2 == 0;
		bool add = random_number() % 8 < (grow ? 6 : 2);

		slot = (int)(random_number() % (SLOTS - 32));
		length = 1 + (int)(random_number() % (step % 3 ? 2 : 20));
		if (add) {
			ret = insert(slot * 16ull, (slot + length) * 16ull - 1, step);
			assert_int_equal(ret, model_free(slot, length) ? 0 : -EEXIST);
			if (!ret) {
				model[slot].length = (uint16_t)length;
				model[slot].address = step;
				live++;
			}
		} else {
			ret = iova_map_remove(map, slot * 16ull);
			assert_int_equal(ret, model[slot].length ? 0 : -ENOENT);
			if (!ret) {
				model[slot].length = 0;
				live--;
			}
		}
		check_find((int)(random_number() % SLOTS));
	}
	assert_int_equal(iova_map_count(map), live);
}

/* Ends up with one range per leaf, the worst a client can do to the shape, then refills. */
static void sparse_leaves(void **state)
{
	struct iova_range r;
	uint64_t i, n = 200000;

	for (i = 0; i < n; i++)
		assert_int_equal(insert(i * 4096, i * 4096 + 4095, i), 0);
	for (i = 0; i < n; i++)
		if (i % 31)
			assert_int_equal(iova_map_remove(map, i * 4096), 0);
	for (i = 0; i < n; i++)
		assert_int_equal(iova_map_lookup(map, i * 4096 + 1, &r), i % 31 == 0);
	for (i = n; i-- > 0;)
		assert_int_equal(insert(i * 4096, i * 4096 + 4095, i), i % 31 ? 0 : -EEXIST);
	for (i = 0; i < n; i++) {
		assert_true(iova_map_lookup(map, i * 4096 + 1, &r));
		assert_int_equal(r.address, i);
	}
	for (i = n; i-- > 0;)
		assert_int_equal(iova_map_remove(map, i * 4096), 0);
	assert_false(iova_map_find(map, 0, &r));
}

/* Threads that pin while another maps and unmaps: a pinned range never changes. */
static _Atomic bool stop;
static _Atomic unsigned pinned;

static void *pinner(void *unused)
{
	struct iovec iov[2];
	unsigned n;
	uint64_t fault;

	while (!atomic_load(&stop)) {
		n = 0;
		if (iova_map_pin(map, 0x1800, 0x1000, IOVA_READ, iov, 2, &n, &fault))
			continue;
		assert_int_equal(n, 2);
		assert_int_equal((uintptr_t)iov[0].iov_base % 0x100000, 0x800);
		assert_int_equal((uintptr_t)iov[1].iov_base % 0x100000, 0x3000);
		atomic_fetch_add(&pinned, 1);
		iova_map_unpin(map, 0x1800, 0x1000);
	}
	return NULL;
}

static void concurrent(void **state)
{
	pthread_t threads[3];
	unsigned i;

	atomic_store(&stop, false);
	for (i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, pinner, NULL);
	for (i = 0; i < 20000 || (!atomic_load(&pinned) && i < 10000000); i++) {
		assert_int_equal(insert(0x1000, 0x1fff, 0x100000ull * (i + 1)), 0);
		assert_int_equal(insert(0x2000, 0x2fff, 0x100000ull * (i + 1) + 0x3000), 0);
		assert_int_equal(iova_map_remove(map, 0x1000), 0);
		assert_int_equal(iova_map_remove(map, 0x2000), 0);
	}
	atomic_store(&stop, true);
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_true(atomic_load(&pinned) > 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(overlap_is_refused),
		T(find_and_lookup),
		T(last_page_of_the_space),
		T(removing),
		T(replacing),
		T(pin_gives_pieces),
		T(random_steps),
		T(removal_waits_for_pins),
		T(sparse_leaves),
		T(concurrent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
