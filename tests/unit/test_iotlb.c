/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost/iotlb.h: against a list that is searched from its beginning. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "uapi/vhost.h"
#include "vhost/iotlb.h"

#define RW VHOST_ACCESS_RW

static struct vhost_iotlb t;

static int setup(void **state)
{
	vhost_iotlb_init(&t, VHOST_IOTLB_MAX, true);
	return 0;
}

static int teardown(void **state)
{
	vhost_iotlb_finish(&t);
	return 0;
}

static void test_translate(void **state)
{
	struct iovec iov[4];
	uint64_t hole = 0;

	assert_int_equal(vhost_iotlb_add(&t, 0x1000, 0x1fff, 0x10000, RW), 0);
	assert_int_equal(vhost_iotlb_add(&t, 0x2000, 0x2fff, 0x50000, VHOST_ACCESS_RO), 0);
	assert_int_equal(vhost_iotlb_add(&t, 0x4000, 0x4fff, 0x60000, VHOST_ACCESS_WO), 0);
	assert_int_equal(vhost_iotlb_translate(&t, 0x1800, 0x1000, VHOST_ACCESS_RO, iov, 4, &hole),
			 2);
	assert_ptr_equal(iov[0].iov_base, (void *)0x10800);
	assert_int_equal(iov[0].iov_len, 0x800);
	assert_ptr_equal(iov[1].iov_base, (void *)0x50000);
	assert_int_equal(iov[1].iov_len, 0x800);
	assert_int_equal(vhost_iotlb_translate(&t, 0x1800, 0x1000, VHOST_ACCESS_RO, iov, 1, &hole),
			 -E2BIG);
	assert_int_equal(vhost_iotlb_translate(&t, 0x1800, 0x1000, VHOST_ACCESS_WO, iov, 4, &hole),
			 -EPERM);
	assert_int_equal(vhost_iotlb_translate(&t, 0x2800, 0x1000, VHOST_ACCESS_RO, iov, 4, &hole),
			 -EAGAIN);
	assert_int_equal(hole, 0x3000);
	assert_int_equal(vhost_iotlb_translate(&t, 0x4000, 1, VHOST_ACCESS_RO, iov, 4, &hole),
			 -EPERM);
	assert_int_equal(vhost_iotlb_translate(&t, 0xfff, 1, VHOST_ACCESS_RO, iov, 4, &hole),
			 -EAGAIN);
	assert_int_equal(hole, 0xfff);
}

static void test_all_of_memory(void **state)
{
	struct iovec iov[2];
	uint64_t hole;

	assert_int_equal(vhost_iotlb_add(&t, 5, 4, 0, RW), -EFAULT);
	assert_int_equal(vhost_iotlb_add(&t, 0, UINT64_MAX, 0x7000, RW), 0);
	assert_int_equal(t.n, 2);
	assert_int_equal(vhost_iotlb_translate(&t, UINT64_MAX, 1, RW, iov, 2, &hole), 1);
	assert_ptr_equal(iov[0].iov_base, (void *)(uintptr_t)0x6fff);
	assert_int_equal(vhost_iotlb_translate(&t, INT64_MAX, 2, RW, iov, 2, &hole), 2);
	vhost_iotlb_remove(&t, 7, 7);
	assert_int_equal(t.n, 1);
	vhost_iotlb_remove(&t, 0, UINT64_MAX);
	assert_int_equal(t.n, 0);
}

static void test_retirement(void **state)
{
	for (uint64_t i = 0; i < VHOST_IOTLB_MAX; i++)
		assert_int_equal(vhost_iotlb_add(&t, (i ^ 5) << 12, (i ^ 5) << 12 | 0xfff, i, RW),
				 0);
	assert_int_equal(t.n, VHOST_IOTLB_MAX);
	assert_non_null(vhost_iotlb_find(&t, 5 << 12, 5 << 12));
	assert_int_equal(vhost_iotlb_add(&t, 1u << 30, (1u << 30) + 1, 0, RW), 0);
	assert_int_equal(t.n, VHOST_IOTLB_MAX);
	assert_null(vhost_iotlb_find(&t, 5 << 12, 5 << 12));
	assert_non_null(vhost_iotlb_find(&t, 4 << 12, 4 << 12));
	t.retire = false;
	assert_int_equal(vhost_iotlb_add(&t, 1u << 31, (1u << 31) + 1, 0, RW), -ENOSPC);
	assert_int_equal(t.n, VHOST_IOTLB_MAX);
}

/* The same, plainly: the first in order of beginning, then of addition. */
struct plain {
	uint64_t first, last, id;
};

static const struct plain *plain_find(const struct plain *list, unsigned n, uint64_t first,
				      uint64_t last)
{
	const struct plain *found = NULL;

	for (unsigned i = 0; i < n; i++)
		if (list[i].first <= last && list[i].last >= first &&
		    (!found || list[i].first < found->first))
			found = &list[i];
	return found;
}

static void test_overlaps(void **state)
{
	static struct plain list[4096];
	unsigned n = 0, seed = 1;

	for (uint64_t id = 0; id < 3000; id++) {
		uint64_t first = (uint64_t)rand_r(&seed) % 5000;
		uint64_t last = first + (uint64_t)rand_r(&seed) % 100;
		uint64_t from, to;

		if (rand_r(&seed) % 8 == 0) {
			unsigned kept = 0;

			vhost_iotlb_remove(&t, first, last);
			for (unsigned i = 0; i < n; i++)
				if (list[i].first > last || list[i].last < first)
					list[kept++] = list[i];
			n = kept;
		} else {
			assert_int_equal(vhost_iotlb_add(&t, first, last, id, RW), 0);
			list[n++] = (struct plain){first, last, id};
		}
		assert_int_equal(t.n, n);
		for (unsigned i = 0; i < 20; i++) {
			const struct vhost_iotlb_entry *e;
			const struct plain *p;

			first = (uint64_t)rand_r(&seed) % 5200;
			last = first + (uint64_t)rand_r(&seed) % 3;
			e = vhost_iotlb_find(&t, first, last);
			p = plain_find(list, n, first, last);
			assert_int_equal(!e, !p);
			if (!e)
				continue;
			assert_int_equal(e->address, p->id);
			/* Everything in the window leads to the same entry. */
			e = vhost_iotlb_window(&t, first, &from, &to);
			p = plain_find(list, n, first, first);
			assert_int_equal(!e, !p);
			for (uint64_t a = from; e && a <= to; a++)
				assert_int_equal(plain_find(list, n, a, a)->id, p->id);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_translate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_of_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retirement, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overlaps, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
