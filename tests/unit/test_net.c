/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend/net.h: ports of every kind.  Packets are patterns that depend on their number, so
 * that a packet lost, doubled, moved or cut is noticed.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "backend/net.h"
#include "core/fault.h"

static struct net_port *open_port(const char *spec, unsigned queues)
{
	char error[NET_ERROR_MAX] = "";
	struct net_port *port = NULL;

	if (net_open(spec, "test", queues, &port, error))
		fail_msg("%s: %s", spec, error);
	return port;
}

/* Sizes of all kinds, the largest among them. */
static uint32_t size_of(unsigned number)
{
	static const uint32_t sizes[] = {60, 64, 1514, NET_FRAME_MAX, 14, 61, 9000};

	return sizes[number % (sizeof(sizes) / sizeof(sizes[0]))];
}

static void fill(uint8_t *data, uint32_t size, unsigned number)
{
	for (uint32_t i = 0; i < size; i++)
		data[i] = (uint8_t)(number * 7 + i * 3 + (i >> 8));
}

static unsigned send_one(struct net_port *port, unsigned queue, unsigned number)
{
	static _Thread_local uint8_t data[NET_FRAME_MAX];
	uint32_t size = size_of(number), first = size / 3;
	struct iovec iov[] = {{data, first}, {data + first, size - first}};
	struct net_packet p = {.iov = iov, .n_iov = 2, .size = size};

	fill(data, size, number);
	return net_send(port, queue, &p, 1);
}

static void check_arrival(const struct net_arrival *a, unsigned number)
{
	static _Thread_local uint8_t data[NET_FRAME_MAX];
	uint32_t size = size_of(number);

	fill(data, size, number);
	assert_int_equal(a->size, size);
	assert_memory_equal(a->data, data, size);
}

static void test_specifications(void **state)
{
	static const char *const bad[] = {"",         "loop",        "loopback=x", "null=",
					  "hub",      "pcap=",       "=x",         "flood",
					  "flood=13", "flood=65555", "flood=64k"};
	char error[NET_ERROR_MAX];
	struct net_port *port;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		error[0] = 0;
		assert_int_equal(net_check(bad[i], error), -EINVAL);
		assert_true(error[0]);
		assert_int_equal(net_open(bad[i], "test", 1, &port, error), -EINVAL);
	}
	assert_int_equal(net_check("loopback", error), 0);
	assert_int_equal(net_open("loopback", "test", 0, &port, error), -EINVAL);
	assert_int_equal(net_open("loopback", "test", NET_QUEUES_MAX + 1, &port, error), -EINVAL);
}

static void test_loopback(void **state)
{
	struct net_port *port = open_port("loopback", 2);
	struct net_arrival arrivals[8];
	unsigned sent = 0, received = 0, n;
	struct net_stats s;

	(void)state;
	/* Many times around the ring, filling and emptying it to different levels. */
	while (received < 5000) {
		for (unsigned i = 0; i < 1 + sent % 40; i++) {
			if (!send_one(port, 1, sent))
				break;
			sent++;
		}
		for (unsigned i = 0; i < 1 + sent % 7; i++) {
			n = net_peek(port, 1, arrivals, 8);
			for (unsigned k = 0; k < n; k++)
				check_arrival(&arrivals[k], received + k);
			n = n > 3 ? n - 2 : n;
			net_consume(port, 1, n);
			received += n;
		}
		assert_int_equal(net_peek(port, 0, arrivals, 8), 0);
	}
	net_stats(port, &s);
	assert_int_equal(s.sent, sent);
	assert_int_equal(s.received, received);
	assert_int_equal(s.dropped, 0);
	net_close(port);
}

static void test_bad_packets(void **state)
{
	static uint8_t data[NET_FRAME_MAX + 1];
	struct net_port *port = open_port("loopback", 1);
	struct iovec good = {data, 60}, hole = {(void *)16, 60}, tall = {data, sizeof(data)};
	struct net_packet packets[] = {
		{.iov = &good, .n_iov = 1, .size = 60},
		{.iov = &hole, .n_iov = 1, .size = 60},
		{.iov = &good, .n_iov = 1, .size = 61}, /* more than the vectors have */
		{.iov = &good, .n_iov = 1, .size = 13},
		{.iov = &tall, .n_iov = 1, .size = NET_FRAME_MAX + 1},
		{.iov = &good, .n_iov = 1, .size = 60},
	};
	struct net_arrival arrivals[8];
	struct net_stats s;

	(void)state;
	assert_int_equal(net_send(port, 0, packets, 6), 6);
	assert_int_equal(net_peek(port, 0, arrivals, 8), 2);
	net_stats(port, &s);
	assert_int_equal(s.sent, 2);
	assert_int_equal(s.dropped, 4);
	net_close(port);
}

static void count(void *arg)
{
	(*(unsigned *)arg)++;
}

static void test_ready(void **state)
{
	struct net_port *port = open_port("loopback", 1);
	struct net_arrival a;
	unsigned told = 0, number = 0;

	(void)state;
	net_set_ready(port, 0, count, &told);
	assert_int_equal(send_one(port, 0, number++), 1);
	assert_int_equal(told, 1); /* something where there was nothing */
	while (send_one(port, 0, number))
		number++;
	assert_int_equal(net_peek(port, 0, &a, 1), 1);
	told = 0;
	while (net_peek(port, 0, &a, 1)) /* emptied: at some time there is room */
		net_consume(port, 0, 1);
	assert_true(told >= 1);
	told = 0;
	assert_int_equal(send_one(port, 0, number), 1);
	assert_int_equal(told, 1);
	net_set_ready(port, 0, NULL, NULL);
	net_consume(port, 0, 1);
	assert_int_equal(send_one(port, 0, number), 1);
	assert_int_equal(told, 1);
	net_close(port);
}

/* Two threads that sleep when there is nothing to do: a signal lost would leave them so. */
#define TRANSFER 20000u

struct sleeper {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned generation;
};

static struct sleeper sleeper = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};

static void wake(void *arg)
{
	struct sleeper *s = arg;

	pthread_mutex_lock(&s->lock);
	s->generation++;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static unsigned generation(void)
{
	unsigned now;

	pthread_mutex_lock(&sleeper.lock);
	now = sleeper.generation;
	pthread_mutex_unlock(&sleeper.lock);
	return now;
}

static void sleep_since(unsigned before)
{
	pthread_mutex_lock(&sleeper.lock);
	while (sleeper.generation == before)
		pthread_cond_wait(&sleeper.changed, &sleeper.lock);
	pthread_mutex_unlock(&sleeper.lock);
}

static void *sender(void *arg)
{
	unsigned before, number = 0;

	while (number < TRANSFER) {
		before = generation();
		if (send_one(arg, 0, number))
			number++;
		else
			sleep_since(before);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct net_port *port = open_port("loopback", 1);
	struct net_arrival arrivals[16];
	unsigned received = 0, before, n;
	pthread_t thread;

	(void)state;
	net_set_ready(port, 0, wake, &sleeper);
	assert_int_equal(pthread_create(&thread, NULL, sender, port), 0);
	while (received < TRANSFER) {
		before = generation();
		n = net_peek(port, 0, arrivals, 16);
		for (unsigned i = 0; i < n; i++)
			check_arrival(&arrivals[i], received + i);
		if (n)
			net_consume(port, 0, n);
		else
			sleep_since(before);
		received += n;
	}
	pthread_join(thread, NULL);
	net_close(port);
}

static void test_null(void **state)
{
	struct net_port *port = open_port("null", 1);
	struct net_arrival a;
	struct net_stats s;

	(void)state;
	assert_int_equal(send_one(port, 0, 0), 1);
	assert_int_equal(net_peek(port, 0, &a, 1), 0);
	net_stats(port, &s);
	assert_int_equal(s.sent, 1);
	assert_int_equal(s.sent_bytes, size_of(0));
	net_close(port);
}

static void test_flood(void **state)
{
	struct net_port *port = open_port("flood=1514", 2);
	struct net_arrival arrivals[8];
	struct net_packet bad = {.iov = &(struct iovec){(void *)16, 64}, .n_iov = 1, .size = 64};
	struct net_stats s;

	(void)state;
	assert_null(net_path("flood=1514"));
	assert_string_equal(net_path("hub=x/y"), "x/y");
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(net_peek(port, 1, arrivals, 8), 8);
		assert_int_equal(arrivals[7].size, 1514);
		assert_memory_equal(arrivals[7].data, "\xff\xff\xff\xff\xff\xff\x02", 7);
		net_consume(port, 1, 5);
		assert_int_equal(send_one(port, 0, i), 1);
	}
	assert_int_equal(net_send(port, 0, &bad, 1), 1);
	net_stats(port, &s);
	assert_int_equal(s.received, 15);
	assert_int_equal(s.received_bytes, 15 * 1514);
	assert_int_equal(s.sent, 3);
	assert_int_equal(s.dropped, 1);
	net_close(port);
}

static void test_faults(void **state)
{
	struct net_port *port = open_port("loopback", 1);
	struct net_arrival arrivals[8];
	char error[256];
	struct net_stats s;

	(void)state;
	assert_int_equal(fault_add("net.send:errno=EIO,nth=2", error, sizeof(error)), 0);
	assert_int_equal(fault_add("net.receive:errno=EIO,nth=3", error, sizeof(error)), 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(send_one(port, 0, i), 1);
	for (unsigned i = 0; i < 3; i++) {
		static const unsigned left[] = {0, 2, 4}; /* 1 wasn't sent, 3 not received */

		assert_int_equal(net_peek(port, 0, arrivals, 8), 1);
		assert_int_equal(net_peek(port, 0, arrivals, 8), 1);
		check_arrival(arrivals, left[i]);
		net_consume(port, 0, 1);
	}
	assert_int_equal(net_peek(port, 0, arrivals, 8), 0);
	net_stats(port, &s);
	assert_int_equal(s.dropped, 2);
	fault_clear();
	net_close(port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_specifications), cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_bad_packets),    cmocka_unit_test(test_ready),
		cmocka_unit_test(test_threads),        cmocka_unit_test(test_null),
		cmocka_unit_test(test_flood),          cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
