/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost/vhost.h: what all vhost files have in common, by a device that echoes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/call.h"
#include "vhost_rig.h"

#define BIT(n)   (UINT64_C(1) << (n))
#define V1       BIT(VIRTIO_F_VERSION_1)
#define PLATFORM (V1 | BIT(VIRTIO_F_ACCESS_PLATFORM))
#define RO       VHOST_ACCESS_RO
#define WO       VHOST_ACCESS_WO
#define RW       VHOST_ACCESS_RW
#define LONG     5000 /* ms that something may take */
#define SHORT    30   /* ... that shows that nothing happens */

/* ---- the memory table ---- */

static void test_table(void **state)
{
	uint64_t count;

	assert_int_equal(rig_backend(0, true), 0);
	for (unsigned i = 0; i < 100; i++) {
		rig_add(0, (uint8_t)i, 100 + i);
		rig_kick(0);
		assert_true(rig_echoed(0, (uint8_t)i, 100 + i, LONG));
	}
	assert_int_equal(read(rig.call[0], &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 100);
	/* A kick takes nothing from the eventfd. */
	assert_int_equal(read(rig.kick[0], &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 100);
}

static void test_bad_address(void **state)
{
	struct vring_desc *desc = (struct vring_desc *)(rig.arena + RIG_DESC(0));
	uint64_t count, good;

	assert_int_equal(rig_backend(0, true), 0);
	rig_add(0, 1, 8);
	good = desc[0].addr;
	desc[0].addr = 0x10;
	rig_kick(0);
	for (int i = 0; i < LONG * 10 && read(rig.err[0], &count, sizeof(count)) < 0; i++)
		usleep(100);
	assert_int_equal(count, 1);
	assert_false(rig_echoed(0, 1, 8, SHORT));
	/* The next kick tries again. */
	desc[0].addr = good;
	rig_kick(0);
	assert_true(rig_echoed(0, 1, 8, LONG));
}

static void test_kick_swap(void **state)
{
	int old = rig.kick[0];

	assert_int_equal(rig_backend(0, true), 0);
	/* One that is signalled already counts at once. */
	rig.kick[0] = eventfd(1, EFD_NONBLOCK);
	rig_add(0, 3, 8);
	assert_int_equal(rig_file(VHOST_SET_VRING_KICK, 0, rig.kick[0]), 0);
	assert_true(rig_echoed(0, 3, 8, LONG));
	rig_add(0, 4, 8);
	assert_int_equal(write(old, &(uint64_t){1}, 8), 8);
	assert_false(rig_echoed(0, 4, 8, SHORT));
	rig_kick(0);
	assert_true(rig_echoed(0, 4, 8, LONG));
	close(old);
}

/* ---- the IOTLB ---- */

static void answer_ring(unsigned ring)
{
	assert_int_equal(rig_update(RIG_DESC(ring), RIG_PAGE, RO), 72);
	assert_int_equal(rig_update(RIG_AVAIL(ring), RIG_PAGE, RO), 72);
	assert_int_equal(rig_update(RIG_USED(ring), RIG_PAGE, RW), 72);
}

static void test_iotlb_comes_and_goes(void **state)
{
	struct vhost_msg_v2 m;

	assert_int_equal(rig_update(0, RIG_SIZE, RW), -EFAULT);
	assert_int_equal(rig_backend(0, true), 0);
	assert_int_equal(rig_features(PLATFORM), 0);
	/* The addresses are gone, so the ring stands still, and asks for nothing. */
	rig_add(0, 1, 8);
	rig_kick(0);
	assert_false(rig_echoed(0, 1, 8, SHORT));
	assert_false(rig_readable());
	rig_addresses(true, false);
	assert_int_equal(rig_update(0, RIG_SIZE, RW), 72);
	rig_kick(0);
	assert_true(rig_echoed(0, 1, 8, LONG));
	/* A new one is empty. */
	assert_int_equal(rig_features(PLATFORM), 0);
	rig_add(0, 2, 8);
	rig_kick(0);
	assert_false(rig_echoed(0, 2, 8, SHORT));
	assert_true(rig_readable());
	/* Without one the message is gone, and so are the addresses. */
	assert_int_equal(rig_features(V1), 0);
	assert_false(rig_readable());
	assert_int_equal(call_read(rig.fd, rig.file, &m, sizeof(m)), -EBADFD);
	assert_false(rig_echoed(0, 2, 8, SHORT));
	rig_addresses(false, false);
	rig_kick(0);
	assert_true(rig_echoed(0, 2, 8, LONG));
}

static void test_misses(void **state)
{
	uint8_t perm;

	assert_int_equal(rig_features(PLATFORM), 0);
	rig_addresses(true, false);
	/* Only the used ring is needed to begin. */
	assert_int_equal(rig_backend(1, true), -EFAULT);
	assert_true(rig_readable());
	assert_int_equal(rig_miss(&perm), RIG_USED(1));
	assert_int_equal(perm, RO);
	assert_false(rig_readable());
	assert_int_equal(rig_update(RIG_USED(1), RIG_PAGE, RW), 72);
	assert_int_equal(rig_backend(1, true), 0);
	rig_add(1, 7, 64);
	rig_kick(1);
	assert_int_equal(rig_miss(&perm), RIG_DESC(1));
	assert_int_equal(perm, RO);
	/* An update of something else doesn't help; one that covers it does. */
	assert_int_equal(rig_update(RIG_BUFFER(3, 0, 0), RIG_PAGE, RW), 72);
	assert_false(rig_readable());
	assert_int_equal(rig_update(RIG_DESC(1), RIG_PAGE, RO), 72);
	assert_int_equal(rig_miss(&perm), RIG_AVAIL(1));
	assert_int_equal(rig_update(RIG_AVAIL(1), RIG_PAGE, RO), 72);
	assert_int_equal(rig_miss(&perm), RIG_BUFFER(1, 0, 0));
	assert_int_equal(perm, RO);
	assert_int_equal(rig_update(RIG_BUFFER(1, 0, 0), RIG_PAGE, RO), 72);
	assert_int_equal(rig_miss(&perm), RIG_BUFFER(1, 0, 1));
	assert_int_equal(perm, WO);
	assert_int_equal(rig_update(RIG_BUFFER(1, 0, 1), RIG_PAGE, WO), 72);
	assert_true(rig_echoed(1, 7, 64, LONG));
	/* What was taken away is asked for again. */
	assert_int_equal(rig_message(VHOST_IOTLB_INVALIDATE, RIG_GUEST + RIG_AVAIL(1) + 8, 1, 0, 0),
			 72);
	rig_add(1, 8, 64);
	rig_kick(1);
	assert_int_equal(rig_miss(&perm), RIG_AVAIL(1));
	assert_int_equal(rig_update(RIG_AVAIL(1), RIG_PAGE, RO), 72);
	assert_int_equal(rig_miss(&perm), RIG_BUFFER(1, 1, 0));
}

static void test_miss_in_a_batch(void **state)
{
	uint8_t perm;

	assert_int_equal(rig_features(PLATFORM), 0);
	rig_addresses(true, false);
	answer_ring(0);
	assert_int_equal(rig_backend(0, true), 0);
	for (unsigned slot = 0; slot < 8; slot++) {
		if (slot != 3)
			rig_update(RIG_BUFFER(0, slot, 0), 2 * RIG_PAGE, RW);
		rig_add(0, (uint8_t)(slot + 1), 32);
	}
	rig_update(RIG_BUFFER(0, 3, 0), RIG_PAGE, RO);
	rig_kick(0);
	assert_int_equal(rig_miss(&perm), RIG_BUFFER(0, 3, 1));
	assert_int_equal(perm, WO);
	for (unsigned slot = 0; slot < 3; slot++)
		assert_true(rig_echoed(0, (uint8_t)(slot + 1), 32, LONG));
	assert_false(rig_echoed(0, 4, 32, SHORT));
	rig_kick(0); /* asks for nothing twice */
	usleep(1000);
	assert_false(rig_readable());
	assert_int_equal(rig_update(RIG_BUFFER(0, 3, 1), RIG_PAGE, WO), 72);
	for (unsigned slot = 3; slot < 8; slot++)
		assert_true(rig_echoed(0, (uint8_t)(slot + 1), 32, LONG));
}

static void test_permissions(void **state)
{
	uint64_t count;

	assert_int_equal(rig_features(PLATFORM), 0);
	rig_addresses(true, false);
	answer_ring(0);
	assert_int_equal(rig_backend(0, true), 0);
	rig_update(RIG_BUFFER(0, 0, 0), 2 * RIG_PAGE, RO);
	rig_add(0, 1, 32);
	rig_kick(0);
	for (int i = 0; i < LONG * 10 && read(rig.err[0], &count, sizeof(count)) < 0; i++)
		usleep(100);
	assert_int_equal(count, 1);
	assert_false(rig_readable());
	assert_int_equal(rig_message(VHOST_IOTLB_INVALIDATE, RIG_GUEST + RIG_BUFFER(0, 0, 0),
				     2 * RIG_PAGE, 0, 0),
			 72);
	rig_update(RIG_BUFFER(0, 0, 0), 2 * RIG_PAGE, RW);
	rig_kick(0);
	assert_true(rig_echoed(0, 1, 32, LONG));
}

static void test_retirement(void **state)
{
	uint8_t perm;

	assert_int_equal(rig_features(PLATFORM), 0);
	rig_addresses(true, false);
	answer_ring(0);
	assert_int_equal(rig_backend(0, true), 0);
	/* The three of the ring are the oldest; the descriptors' goes first. */
	for (uint64_t i = 0; i < 2048 - 2; i++)
		assert_int_equal(rig_message(VHOST_IOTLB_UPDATE, i << 44, 4096, 4096, RW), 72);
	rig_add(0, 1, 32);
	rig_kick(0);
	assert_int_equal(rig_miss(&perm), RIG_DESC(0));
}

static void test_bad_messages(void **state)
{
	struct vhost_msg_v2 m = {.type = VHOST_IOTLB_MSG_V2};

	assert_int_equal(rig_features(PLATFORM), 0);
	assert_int_equal(rig_message(VHOST_IOTLB_UPDATE, 0, 0, 0, RW), -EINVAL);
	assert_int_equal(rig_message(VHOST_IOTLB_UPDATE, 0, 4096, UINT64_MAX - 4000, RW), -EFAULT);
	assert_int_equal(rig_message(VHOST_IOTLB_UPDATE, 0, 4096, INT64_MAX, RW), -EFAULT);
	assert_int_equal(rig_message(VHOST_IOTLB_UPDATE, 0, 4096, INT64_MAX, 0), 72);
	assert_int_equal(rig_message(VHOST_IOTLB_UPDATE, UINT64_MAX, 4096, 4096, RW), -EFAULT);
	assert_int_equal(rig_message(VHOST_IOTLB_INVALIDATE, 0, 0, 0, 0), -EFAULT);
	assert_int_equal(rig_message(VHOST_IOTLB_BATCH_BEGIN, 0, 1, 0, 0), -EFAULT);
	assert_int_equal(call_write(rig.fd, rig.file, &m, 39), -EINVAL);
	assert_int_equal(call_read(rig.fd, rig.file, &m, 71), 0);
	assert_int_equal(fcntl(rig.fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(call_read(rig.fd, rig.file, &m, 72), -EAGAIN);
}

static void *read_message(void *arg)
{
	struct vhost_msg_v2 *m = arg;

	return (void *)call_read(rig.fd, rig.file, m, sizeof(*m));
}

static void test_blocking_read(void **state)
{
	uint64_t v2 = BIT(VHOST_BACKEND_F_IOTLB_MSG_V2);
	struct vhost_msg_v2 m;
	pthread_t thread;
	void *result;

	assert_int_equal(rig_features(PLATFORM), 0);
	rig_addresses(true, false);
	assert_int_equal(pthread_create(&thread, NULL, read_message, &m), 0);
	usleep(20000);
	assert_int_equal(rig_backend(0, true), -EFAULT);
	pthread_join(thread, &result);
	assert_int_equal((long)result, 72);
	assert_int_equal(m.type, VHOST_IOTLB_MSG);
	assert_int_equal(m.iotlb.iova, RIG_GUEST + RIG_USED(0));
	/* The other kind of message, for another ring. */
	assert_int_equal(rig_ioctl(VHOST_SET_BACKEND_FEATURES, &v2), 0);
	assert_int_equal(rig_backend(1, true), -EFAULT);
	assert_int_equal((long)read_message(&m), 72);
	assert_int_equal(m.type, VHOST_IOTLB_MSG_V2);
	/* Nothing comes any more when the IOTLB goes. */
	assert_int_equal(pthread_create(&thread, NULL, read_message, &m), 0);
	usleep(20000);
	assert_int_equal(rig_features(V1), 0);
	pthread_join(thread, &result);
	assert_int_equal((long)result, -EBADFD);
	assert_false(rig_readable());
}

/* ---- the dirty log ---- */

static bool dirty(const uint8_t *bits, uint64_t offset)
{
	uint64_t page = (RIG_GUEST + offset) / RIG_PAGE;

	return __atomic_load_n(&bits[page / 8], __ATOMIC_ACQUIRE) >> page % 8 & 1;
}

static uint8_t *log_bits(int *ret_event)
{
	uint64_t size = (RIG_GUEST * 2) / RIG_PAGE / 8;
	uint8_t *bits = mmap(NULL, size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t base = (uintptr_t)bits;

	assert_ptr_not_equal(bits, MAP_FAILED);
	*ret_event = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(rig_ioctl(VHOST_SET_LOG_BASE, &base), 0);
	assert_int_equal(rig_ioctl(VHOST_SET_LOG_FD, ret_event), 0);
	return bits;
}

static void test_log(void **state)
{
	uint64_t count;
	int event;
	uint8_t *bits = log_bits(&event);

	assert_int_equal(rig_backend(0, true), 0);
	rig_add(0, 1, 32);
	rig_kick(0);
	assert_true(rig_echoed(0, 1, 32, LONG));
	assert_false(dirty(bits, RIG_BUFFER(0, 0, 1)));
	assert_int_equal(rig_features(V1 | BIT(VHOST_F_LOG_ALL)), 0);
	rig_addresses(false, true);
	rig_add(0, 2, 32);
	rig_kick(0);
	assert_true(rig_echoed(0, 2, 32, LONG));
	/* From here on nothing is logged any more. */
	assert_int_equal(rig_backend(0, false), 0);
	assert_true(dirty(bits, RIG_BUFFER(0, 1, 1)));
	assert_false(dirty(bits, RIG_BUFFER(0, 1, 0)));
	assert_false(dirty(bits, RIG_BUFFER(0, 0, 1)));
	assert_true(dirty(bits, RIG_USED(0)));
	assert_false(dirty(bits, RIG_DESC(0)));
	assert_int_equal(read(event, &count, sizeof(count)), sizeof(count));
	close(event);
	munmap(bits, (RIG_GUEST * 2) / RIG_PAGE / 8);
}

/* IOVAs that are not guest addresses, and memory that the guest has twice. */
static void test_log_translated(void **state)
{
	struct {
		struct vhost_memory head;
		struct vhost_memory_region region[2];
	} m = {{.nregions = 2},
	       {{.guest_phys_addr = RIG_GUEST,
		 .memory_size = RIG_SIZE,
		 .userspace_addr = (uintptr_t)rig.arena},
		{.guest_phys_addr = RIG_GUEST + RIG_GUEST / 2,
		 .memory_size = RIG_SIZE,
		 .userspace_addr = (uintptr_t)rig.arena}}};
	const uint64_t alias = RIG_GUEST / 2, away = RIG_BUFFER(3, 0, 0);
	int event;
	uint8_t *bits = log_bits(&event);

	assert_int_equal(rig_ioctl(VHOST_SET_MEM_TABLE, &m), 0);
	assert_int_equal(rig_features(PLATFORM | BIT(VHOST_F_LOG_ALL)), 0);
	rig_addresses(true, true);
	answer_ring(0);
	assert_int_equal(rig_backend(0, true), 0);
	rig_update(RIG_BUFFER(0, 0, 0), RIG_PAGE, RW);
	assert_int_equal(rig_message(VHOST_IOTLB_UPDATE, RIG_GUEST + RIG_BUFFER(0, 0, 1), RIG_PAGE,
				     (uintptr_t)rig.arena + away, RW),
			 72);
	rig_add(0, 1, 32);
	rig_kick(0);
	while (!dirty(bits, away + alias))
		usleep(100);
	assert_int_equal(rig_backend(0, false), 0);
	assert_int_equal(rig.arena[away], 1);
	assert_true(dirty(bits, away));
	assert_true(dirty(bits, away + alias));
	assert_false(dirty(bits, RIG_BUFFER(0, 0, 1)));
	assert_true(dirty(bits, RIG_USED(0)));
	close(event);
	munmap(bits, (RIG_GUEST * 2) / RIG_PAGE / 8);
}

static void test_log_base_by_ring(void **state)
{
	uint64_t bad = UINT64_MAX - 4096, base = 0x10000;

	assert_int_equal(rig_backend(0, true), 0);
	/* Nothing is logged yet, so anything will do. */
	assert_int_equal(rig_ioctl(VHOST_SET_LOG_BASE, &bad), 0);
	assert_int_equal(rig_features(V1 | BIT(VHOST_F_LOG_ALL)), -EFAULT);
	assert_int_equal(rig_ioctl(VHOST_SET_LOG_BASE, &base), 0);
	assert_int_equal(rig_features(V1 | BIT(VHOST_F_LOG_ALL)), 0);
	assert_int_equal(rig_ioctl(VHOST_SET_LOG_BASE, &bad), -EFAULT);
	/* The ring that ran has kept the old one, the others have the new one. */
	assert_int_equal(rig_features(V1), 0);
	assert_int_equal(rig_features(V1 | BIT(VHOST_F_LOG_ALL)), 0);
	assert_int_equal(rig_backend(1, true), -EFAULT);
}

/* ---- features, owners ---- */

static void test_features_array(void **state)
{
	uint64_t words[5] = {4, 9, 9, 9, 9}, offered;

	assert_int_equal(rig_ioctl(VHOST_GET_FEATURES, &offered), 0);
	assert_int_equal(rig_ioctl(VHOST_GET_FEATURES_ARRAY, words), 0);
	assert_int_equal(words[0], 4);
	assert_int_equal(words[1], offered);
	assert_int_equal(words[2], 2);
	assert_int_equal(words[3] | words[4], 0);
	assert_int_equal(rig_ioctl(VHOST_SET_FEATURES_ARRAY, words), 0);
	words[4] = 1;
	assert_int_equal(rig_ioctl(VHOST_SET_FEATURES_ARRAY, words), -EOPNOTSUPP);
	words[0] = 3;
	assert_int_equal(rig_ioctl(VHOST_SET_FEATURES_ARRAY, words), 0);
	words[2] = 4;
	assert_int_equal(rig_ioctl(VHOST_SET_FEATURES_ARRAY, words), -EOPNOTSUPP);
	words[0] = UINT64_MAX;
	assert_int_equal(rig_ioctl(VHOST_GET_FEATURES_ARRAY, words), -EFAULT);
	words[0] = 0;
	assert_int_equal(rig_ioctl(VHOST_SET_FEATURES_ARRAY, words), 0);
	assert_int_equal(rig_ioctl(VHOST_SET_FEATURES_ARRAY, NULL), -EFAULT);
}

static void test_reset_owner(void **state)
{
	struct vhost_vring_state s = {.index = 0};

	assert_int_equal(rig_backend(0, true), 0);
	rig_add(0, 1, 32);
	rig_kick(0);
	assert_true(rig_echoed(0, 1, 32, LONG));
	assert_int_equal(rig_ioctl(VHOST_GET_VRING_BASE, &s), 0);
	assert_int_equal(s.num, 1);
	assert_int_equal(rig_ioctl(VHOST_RESET_OWNER, NULL), 0);
	assert_int_equal(rig_ioctl(VHOST_RESET_OWNER, NULL), -EPERM);
	assert_int_equal(rig_backend(0, true), -EPERM);
	assert_int_equal(rig_ioctl(VHOST_SET_OWNER, NULL), 0);
	assert_int_equal(rig_ioctl(VHOST_GET_VRING_BASE, &s), 0);
	assert_int_equal(s.num, 0);
	/* All is to be set again, and then works again. */
	assert_int_equal(rig_state(VHOST_SET_VRING_NUM, 0, RIG_NUM), 0);
	assert_int_equal(rig_state(VHOST_SET_VRING_BASE, 0, 1), 0);
	assert_int_equal(rig_file(VHOST_SET_VRING_KICK, 0, rig.kick[0]), 0);
	assert_int_equal(rig_memory(), 0);
	rig_addresses(false, false);
	assert_int_equal(rig_backend(0, true), 0);
	rig_add(0, 2, 32);
	rig_kick(0);
	assert_true(rig_echoed(0, 2, 32, LONG));
}

/* ---- workers ---- */

static long attach(unsigned ring, unsigned id)
{
	struct vhost_vring_worker w = {.index = ring, .worker_id = id};

	return rig_ioctl(VHOST_ATTACH_VRING_WORKER, &w);
}

static long worker_of(unsigned ring)
{
	struct vhost_vring_worker w = {.index = ring};
	long ret = rig_ioctl(VHOST_GET_VRING_WORKER, &w);

	return ret ? ret : (long)w.worker_id;
}

static long new_worker(void)
{
	struct vhost_worker_state s;
	long ret = rig_ioctl(VHOST_NEW_WORKER, &s);

	return ret ? ret : (long)s.worker_id;
}

static long free_worker(unsigned id)
{
	struct vhost_worker_state s = {.worker_id = id};

	return rig_ioctl(VHOST_FREE_WORKER, &s);
}

static void test_worker_errors(void **state)
{
	assert_int_equal(worker_of(0), 0);
	assert_int_equal(worker_of(RIG_RINGS), -ENOBUFS);
	assert_int_equal(attach(RIG_RINGS, 7), -ENOBUFS);
	assert_int_equal(attach(0, 7), -ENODEV);
	assert_int_equal(free_worker(7), -ENODEV);
	assert_int_equal(free_worker(0), -EBUSY);
	assert_int_equal(new_worker(), 1);
	assert_int_equal(new_worker(), 2);
	assert_int_equal(free_worker(1), 0);
	assert_int_equal(free_worker(1), -ENODEV);
	assert_int_equal(new_worker(), 1);
	assert_int_equal(attach(0, 1), 0);
	assert_int_equal(attach(0, 1), 0);
	assert_int_equal(worker_of(0), 1);
	assert_int_equal(free_worker(1), -EBUSY);
	assert_int_equal(attach(0, 2), 0);
	assert_int_equal(free_worker(1), 0);
	for (unsigned r = 1; r < RIG_RINGS; r++)
		assert_int_equal(attach(r, 2), 0);
	assert_int_equal(free_worker(0), 0);
	assert_int_equal(attach(0, 0), -ENODEV);
	assert_int_equal(rig_ioctl(VHOST_NEW_WORKER, NULL), -EFAULT);
	assert_int_equal(rig_ioctl(VHOST_FREE_WORKER, NULL), -EFAULT);
	/* It was made all the same, with the lowest number. */
	assert_int_equal(attach(0, 0), 0);
	assert_int_equal(rig_ioctl(VHOST_RESET_OWNER, NULL), 0);
	assert_int_equal(new_worker(), -EINVAL);
	assert_int_equal(rig_ioctl(VHOST_SET_FORK_FROM_OWNER, &(uint8_t){0}), 0);
	assert_int_equal(rig_ioctl(VHOST_SET_OWNER, NULL), 0);
	assert_int_equal(new_worker(), -EFAULT);
	assert_int_equal(worker_of(3), 0);
}

static _Atomic int other_ring;

/* Ring 0 waits for work on ring 1, which can't come on the same thread. */
static void wait_for_other(unsigned ring)
{
	if (ring == 1)
		atomic_store(&other_ring, 1);
	while (ring == 0 && !atomic_load(&other_ring))
		usleep(100);
}

static void test_workers_at_once(void **state)
{
	assert_int_equal(new_worker(), 1);
	assert_int_equal(attach(1, 1), 0);
	assert_int_equal(rig_backend(0, true), 0);
	assert_int_equal(rig_backend(1, true), 0);
	atomic_store(&other_ring, 0);
	atomic_store(&rig_work_hook, wait_for_other);
	rig_add(0, 1, 32);
	rig_add(1, 2, 32);
	rig_kick(0);
	usleep(2000);
	rig_kick(1);
	assert_true(rig_echoed(1, 2, 32, LONG));
	assert_true(rig_echoed(0, 1, 32, LONG));
}

/* ---- everything at once ---- */

struct churn {
	_Atomic bool stop;
	pthread_t thread;
};

/* Changes what may be changed while rings run. */
static void *churn(void *arg)
{
	struct churn *c = arg;
	int call = eventfd(0, EFD_NONBLOCK), kick = eventfd(0, EFD_NONBLOCK);
	unsigned seed = 1;

	while (!atomic_load(&c->stop)) {
		unsigned ring = (unsigned)rand_r(&seed) % RIG_RINGS;

		switch (rand_r(&seed) % 7) {
		case 0:
			rig_file(VHOST_SET_VRING_CALL, ring, call);
			rig_file(VHOST_SET_VRING_CALL, ring, rig.call[ring]);
			break;
		case 1:
			rig_file(VHOST_SET_VRING_KICK, ring, kick);
			rig_file(VHOST_SET_VRING_KICK, ring, rig.kick[ring]);
			break;
		case 2:
			assert_int_equal(rig_memory(), 0);
			break;
		case 3:
			rig_features(V1 | BIT(VHOST_F_LOG_ALL));
			rig_features(V1);
			break;
		case 4:
			assert_int_equal(rig_backend(ring, false), 0);
			assert_int_equal(rig_backend(ring, true), 0);
			rig_file(VHOST_SET_VRING_KICK, ring, rig.kick[ring]);
			break;
		case 5:
			assert_int_equal(attach(ring, (unsigned)rand_r(&seed) % 3), 0);
			break;
		default:
			rig_state(VHOST_SET_VRING_BUSYLOOP_TIMEOUT, ring,
				  (unsigned)rand_r(&seed) % 100);
			break;
		}
	}
	close(call);
	close(kick);
	return NULL;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* There are two tests of this kind: together they take $STANDIN_CHURN_SECONDS. */
static double end_of_churn(void)
{
	const char *seconds = getenv("STANDIN_CHURN_SECONDS");

	return now() + (seconds ? atof(seconds) / 2 : 1);
}

/* Keeps all rings busy until then; nothing may be lost. */
static void echo_until(double end)
{
	for (unsigned i = 0; now() < end; i++) {
		for (unsigned r = 0; r < RIG_RINGS; r++) {
			for (unsigned n = 0; n < RIG_NUM / 2; n++)
				rig_add(r, (uint8_t)(i + n), 200);
			rig_kick(r);
		}
		for (unsigned r = 0; r < RIG_RINGS; r++)
			for (unsigned n = 0; n < RIG_NUM / 2; n++)
				assert_true(rig_echoed(r, (uint8_t)(i + n), 200, LONG));
	}
}

static void test_churn(void **state)
{
	struct churn c = {0};
	int event;
	uint8_t *bits = log_bits(&event);

	assert_int_equal(new_worker(), 1);
	assert_int_equal(new_worker(), 2);
	for (unsigned r = 0; r < RIG_RINGS; r++)
		assert_int_equal(rig_backend(r, true), 0);
	assert_int_equal(pthread_create(&c.thread, NULL, churn, &c), 0);
	echo_until(end_of_churn());
	atomic_store(&c.stop, true);
	pthread_join(c.thread, NULL);
	close(event);
	rig_features(V1);
	munmap(bits, (RIG_GUEST * 2) / RIG_PAGE / 8);
}

/* Answers misses until the IOTLB is gone. */
static void *answer_misses(void *arg)
{
	struct vhost_msg_v2 m;

	while (call_read(rig.fd, rig.file, &m, sizeof(m)) == sizeof(m))
		rig_update((m.iotlb.iova - RIG_GUEST) / RIG_PAGE * RIG_PAGE, RIG_PAGE,
			   m.iotlb.perm == VHOST_ACCESS_WO ? RW : m.iotlb.perm);
	return NULL;
}

static void *invalidate(void *arg)
{
	struct churn *c = arg;
	unsigned seed = 1;

	while (!atomic_load(&c->stop)) {
		uint64_t page = (uint64_t)rand_r(&seed) % (RIG_SIZE / RIG_PAGE);

		rig_message(VHOST_IOTLB_INVALIDATE, RIG_GUEST + page * RIG_PAGE, RIG_PAGE, 0, 0);
		usleep(50);
	}
	return NULL;
}

static void test_churn_translated(void **state)
{
	struct churn c = {0};
	pthread_t answers;

	assert_int_equal(rig_features(PLATFORM), 0);
	rig_addresses(true, false);
	assert_int_equal(new_worker(), 1);
	assert_int_equal(attach(1, 1), 0);
	for (unsigned r = 0; r < RIG_RINGS; r++) {
		answer_ring(r);
		assert_int_equal(rig_backend(r, true), 0);
	}
	assert_int_equal(pthread_create(&answers, NULL, answer_misses, NULL), 0);
	assert_int_equal(pthread_create(&c.thread, NULL, invalidate, &c), 0);
	echo_until(end_of_churn());
	atomic_store(&c.stop, true);
	pthread_join(c.thread, NULL);
	assert_int_equal(rig_features(V1), 0);
	pthread_join(answers, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_table),
		TEST(test_bad_address),
		TEST(test_kick_swap),
		TEST(test_iotlb_comes_and_goes),
		TEST(test_misses),
		TEST(test_miss_in_a_batch),
		TEST(test_permissions),
		TEST(test_retirement),
		TEST(test_bad_messages),
		TEST(test_blocking_read),
		TEST(test_log),
		TEST(test_log_translated),
		TEST(test_log_base_by_ring),
		TEST(test_features_array),
		TEST(test_reset_owner),
		TEST(test_worker_errors),
		TEST(test_workers_at_once),
		TEST(test_churn),
		TEST(test_churn_translated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
