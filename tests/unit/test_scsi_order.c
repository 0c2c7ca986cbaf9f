/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which SCSI commands wait for which; resets and removals meanwhile; many threads at once.
 *
 * A command that runs alone is inside until its done() returns, so what is submitted in there
 * finds the unit busy, without threads and waiting.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <errno.h>
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

/* ---- one thread: the order of completions ---- */

#define COMMANDS 8u

struct item {
	struct scsi_command c; /* first */
	char name;
	struct iovec iov;
	uint8_t data[512];
};

static struct item items[COMMANDS];
static char order[32];
static void (*meanwhile)(void);

static void item_done(struct scsi_command *c)
{
	struct item *item = (struct item *)c;
	void (*then)(void) = meanwhile;

	order[strlen(order)] = item->name;
	if (c->result == SCSI_ABORTED)
		order[strlen(order)] = '!';
	meanwhile = NULL;
	if (then)
		then();
}

static struct scsi_command *prepare(unsigned i, char name, struct scsi_nexus *nexus,
				    enum scsi_attribute attribute)
{
	struct item *item = &items[i];

	memset(item, 0, sizeof(*item));
	item->name = name;
	item->iov = (struct iovec){item->data, sizeof(item->data)};
	item->c.nexus = nexus;
	item->c.attribute = attribute;
	item->c.cdb[0] = 0x28;
	item->c.cdb[8] = 1;
	item->c.cdb_size = SCSI_CDB_MAX;
	item->c.data_in = &item->iov;
	item->c.n_data_in = 1;
	item->c.data_in_size = 512;
	item->c.done = item_done;
	return &item->c;
}

/* Runs an ordered command, and `what` while it is inside. */
static void while_busy(void (*what)(void))
{
	memset(order, 0, sizeof(order));
	meanwhile = what;
	assert_int_equal(scsi_submit(prepare(0, 'A', rig.nexus, SCSI_ORDERED)), SCSI_QUEUED);
}

static void queue(unsigned i, char name, enum scsi_attribute attribute)
{
	assert_int_equal(scsi_submit(prepare(i, name, rig.nexus, attribute)), SCSI_QUEUED);
}

static void queue_some(void)
{
	queue(1, 'b', SCSI_SIMPLE);
	queue(2, 'c', SCSI_SIMPLE);
	queue(3, 'D', SCSI_ORDERED);
	queue(4, 'e', SCSI_SIMPLE);
	queue(5, 'h', SCSI_HEAD_OF_QUEUE);
	assert_string_equal(order, "A");
}

static void test_order(void **state)
{
	struct scsi_command *c;

	while_busy(queue_some);
	assert_string_equal(order, "AhbcDe");
	/* Nothing is left that would hold anybody up. */
	c = prepare(1, 'x', rig.nexus, SCSI_SIMPLE);
	assert_int_equal(scsi_submit(c), SCSI_DONE);
	assert_int_equal(c->status, SCSI_GOOD);
}

static void queue_and_reset(void)
{
	queue(1, 'b', SCSI_SIMPLE);
	queue(2, 'C', SCSI_ORDERED);
	prepare(3, 'R', rig.other, SCSI_SIMPLE);
	assert_int_equal(scsi_reset_unit(&items[3].c), SCSI_QUEUED);
	assert_string_equal(order, "Ab!C!");
	queue(4, 'd', SCSI_SIMPLE);
}

static void test_reset(void **state)
{
	while_busy(queue_and_reset);
	assert_string_equal(order, "Ab!C!Rd");
	assert_int_equal(items[3].c.status, SCSI_GOOD);
	assert_int_equal(scsi_sense_code(&items[4].c), 0x062903);
}

static void queue_and_preempt(void)
{
	struct scsi_command *c;

	queue(1, 'b', SCSI_SIMPLE);
	assert_int_equal(scsi_submit(prepare(2, 'o', rig.other, SCSI_SIMPLE)), SCSI_QUEUED);
	c = prepare(3, 'P', rig.nexus, SCSI_HEAD_OF_QUEUE);
	memcpy(c->cdb, (const uint8_t[10]){0x5f, 5, 1, 0, 0, 0, 0, 0, 24}, 10);
	memset(items[3].data, 0, 24);
	items[3].data[7] = 1;
	items[3].data[15] = 2;
	c->data_out = c->data_in;
	c->data_out_size = 24;
	c->n_data_out = 1;
	c->data_in_size = 0;
	items[3].iov.iov_len = 24;
	assert_int_equal(scsi_submit(c), SCSI_QUEUED);
}

/* PREEMPT AND ABORT ends what the preempted one has waiting. */
static void test_preempt_aborts(void **state)
{
	static const uint8_t registration[10] = {0x5f, [8] = 24};

	for (unsigned i = 1; i <= 2; i++) {
		memset(rig.out, 0, 24);
		rig.out[15] = (uint8_t)i;
		rig.out_size = 24;
		assert_int_equal(
			rig_execute(&rig, i == 1 ? rig.nexus : rig.other, registration, 10),
			SCSI_GOOD);
	}
	while_busy(queue_and_preempt);
	assert_string_equal(order, "Ao!Pb");
	assert_int_equal(items[3].c.status, SCSI_GOOD);
}

static void add_one(void)
{
	queue(1, 'b', SCSI_SIMPLE);
}

static void test_submit_in_done(void **state)
{
	while_busy(add_one);
	assert_string_equal(order, "Ab");
}

/* ---- many threads ---- */

#define THREADS 4u
#define ROUNDS  400u

struct worker {
	pthread_t thread;
	struct scsi_nexus *nexus;
	struct scsi_command c;
	sem_t done;
	unsigned successes;
	unsigned index;
	_Atomic bool *stop;
};

static void worker_done(struct scsi_command *c)
{
	sem_post(&((struct worker *)((char *)c - offsetof(struct worker, c)))->done);
}

/* A command of the worker's that is waited for; data goes in or out. */
static bool execute(struct worker *w, const uint8_t *cdb, void *data, size_t size, bool in)
{
	struct iovec iov = {data, size};
	struct scsi_command *c = &w->c;

	memset(c, 0, sizeof(*c));
	memcpy(c->cdb, cdb, 16);
	c->cdb_size = 16;
	c->nexus = w->nexus;
	c->done = worker_done;
	if (in) {
		c->data_in = &iov;
		c->n_data_in = 1;
		c->data_in_size = size;
	} else {
		c->data_out = &iov;
		c->n_data_out = 1;
		c->data_out_size = size;
	}
	if (scsi_submit(c) == SCSI_QUEUED)
		while (sem_wait(&w->done) < 0)
			;
	return c->result == SCSI_COMPLETE && c->status == SCSI_GOOD;
}

/* Adds one to the counter in block 0 by COMPARE AND WRITE, if nobody else did meanwhile. */
static void *count(void *arg)
{
	static const uint8_t read[16] = {0x28, [8] = 1}, compare[16] = {0x89, [13] = 1};
	struct worker *w = arg;
	uint8_t data[1024];

	while (!*w->stop && w->successes < ROUNDS) {
		uint32_t value;

		if (!execute(w, read, data, 512, true))
			continue;
		memcpy(data + 512, data, 512);
		memcpy(&value, data, 4);
		value++;
		memcpy(data + 512, &value, 4);
		if (execute(w, compare, data, 1024, false))
			w->successes++;
	}
	return NULL;
}

static void start_workers(struct worker *w, _Atomic bool *stop)
{
	for (unsigned i = 0; i < THREADS; i++) {
		memset(&w[i], 0, sizeof(w[i]));
		w[i].index = i;
		w[i].stop = stop;
		sem_init(&w[i].done, 0, 0);
		rig_nexus(&rig, 100 + i, &w[i].nexus);
		assert_int_equal(pthread_create(&w[i].thread, NULL, count, &w[i]), 0);
	}
}

static unsigned join_workers(struct worker *w)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		sum += w[i].successes;
		scsi_nexus_destroy(w[i].nexus);
		sem_destroy(&w[i].done);
	}
	return sum;
}

static void test_atomic(void **state)
{
	struct worker w[THREADS];
	_Atomic bool stop = false;
	uint32_t value;

	start_workers(w, &stop);
	assert_int_equal(join_workers(w), THREADS * ROUNDS);
	rig.in_size = 512;
	expect_good(&rig, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	memcpy(&value, rig.in, 4);
	assert_int_equal(value, THREADS * ROUNDS);
}

/* The same on a file whose requests wait, with flushes and the unit coming and going. */
static void test_changes_under_load(void **state)
{
	char path[] = "/var/tmp/standin-test-scsi-XXXXXX", error[SCSI_ERROR_MAX];
	struct scsi_unit_config unit = {.backend = {.file = path, .aio = "threads"}};
	int fd = mkstemp(path);
	struct worker w[THREADS];
	_Atomic bool stop = false;
	uint32_t value;
	unsigned sum;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(scsi_unit_remove(rig.target, 0), 0);
	assert_int_equal(scsi_unit_add(rig.target, &unit, error), 0);
	start_workers(w, &stop);
	for (unsigned i = 0; i < 50; i++) {
		static const uint8_t flush[10] = {0x35};

		if (i % 3 == 0) {
			assert_int_equal(scsi_unit_remove(rig.target, 0), 0);
			assert_int_equal(scsi_unit_add(rig.target, &unit, error), 0);
		} else if (i % 3 == 1) {
			assert_int_equal(scsi_unit_refresh(rig.target, 0), 0);
		}
		rig_execute(&rig, rig.nexus, flush, 10);
	}
	sum = join_workers(w);
	rig.in_size = 512;
	if (rig_execute(&rig, rig.nexus, CDB(0, 0, 0, 0, 0, 0)) == SCSI_CHECK_CONDITION)
		assert_int_equal(rig_sense(&rig) >> 16, 6);
	rig.in_size = 512;
	expect_good(&rig, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	memcpy(&value, rig.in, 4);
	assert_int_equal(value, sum);
	assert_int_equal(sum, THREADS * ROUNDS);
	close(fd);
	unlink(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order),          TEST(test_reset),  TEST(test_preempt_aborts),
		TEST(test_submit_in_done), TEST(test_atomic), TEST(test_changes_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
