/* SPDX-License-Identifier: BSD-3-Clause */
/* The ring that a host and the process with the device share. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "hyperv/queue.h"

static struct hyperv_queue queue;
static uint8_t packet[HYPERV_PACKET_MAX], got[HYPERV_PACKET_MAX];

static int start(void **state)
{
	memset(&queue, 0, sizeof(queue));
	return 0;
}

static int put(uint32_t size)
{
	const struct hyperv_frame frame = {.size = size, .transaction = size + 1};

	memset(packet, (int)size, size);
	return hyperv_queue_put(&queue, &frame, packet);
}

static void take(uint32_t size)
{
	struct hyperv_frame frame;

	assert_int_equal(hyperv_queue_take(&queue, &frame, got), 1);
	assert_int_equal(frame.size, size);
	assert_int_equal(frame.transaction, size + 1);
	memset(packet, (int)size, size);
	assert_memory_equal(got, packet, size);
}

/* Packets of all sizes, around the end, where neither position begins at 0. */
static void test_order(void **state)
{
	struct hyperv_frame frame;

	queue.written = queue.taken = UINT32_MAX - 4095;
	for (uint32_t size = 1; size <= HYPERV_PACKET_MAX; size += 37) {
		assert_true(hyperv_queue_is_empty(&queue));
		assert_int_equal(hyperv_queue_take(&queue, &frame, got), 0);
		assert_int_equal(put(size), 0);
		assert_int_equal(put(1), 0);
		assert_int_equal(put(HYPERV_PACKET_MAX), 0);
		take(size);
		take(1);
		take(HYPERV_PACKET_MAX);
	}
}

static void test_room(void **state)
{
	unsigned n = 0;

	while (put(8000) == 0)
		n++;
	assert_int_equal(n, HYPERV_QUEUE_SIZE / (8000 + sizeof(struct hyperv_frame)));
	assert_int_equal(put(8000), -EAGAIN);
	assert_false(hyperv_queue_call_sender(&queue)); /* it does not wait */
	assert_true(hyperv_queue_await_room(&queue, 8000));
	assert_false(hyperv_queue_call_sender(&queue));
	take(8000);
	assert_true(hyperv_queue_call_sender(&queue));
	assert_false(hyperv_queue_call_sender(&queue)); /* once */
	assert_false(hyperv_queue_await_room(&queue, 8000));
	assert_int_equal(put(8000), 0);
}

static void test_calls(void **state)
{
	assert_int_equal(put(100), 0);
	assert_false(hyperv_queue_call_receiver(&queue)); /* it does not wait */
	assert_false(hyperv_queue_await(&queue));
	take(100);
	assert_true(hyperv_queue_await(&queue));
	assert_int_equal(put(100), 0);
	assert_true(hyperv_queue_call_receiver(&queue));
	assert_false(hyperv_queue_call_receiver(&queue));
	assert_false(hyperv_queue_await(&queue));
	hyperv_queue_await_nothing(&queue);
	assert_false(hyperv_queue_call_receiver(&queue));
}

/* Positions and sizes that no honest other side has. */
static void test_nonsense(void **state)
{
	static const struct {
		uint32_t written, taken, size;
	} rows[] = {
		{HYPERV_QUEUE_SIZE + 8, 0, 8},
		{0, 8, 8},
		{8, 0, 8},
		{HYPERV_QUEUE_SIZE, 0, 0},
		{24, 0, 9},
		{HYPERV_QUEUE_SIZE, 0, UINT32_MAX},
		{15, 0, 1},
		{1 << 31, 0, 8},
		{64, 0, HYPERV_PACKET_MAX + 1},
	};
	struct hyperv_frame frame;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		frame = (struct hyperv_frame){.size = rows[i].size};
		memcpy(queue.data, &frame, sizeof(frame));
		queue.written = rows[i].written;
		queue.taken = rows[i].taken;
		assert_int_equal(hyperv_queue_take(&queue, &frame, got), -EPROTO);
		assert_int_equal(queue.taken, rows[i].taken);
	}
	queue.written = 0;
	queue.taken = 8;
	assert_int_equal(put(8), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_order, start),
		cmocka_unit_test_setup(test_room, start),
		cmocka_unit_test_setup(test_calls, start),
		cmocka_unit_test_setup(test_nonsense, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
