/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/pool.h and store.h: records in memory and in a file that others write, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/clock.h"
#include "agent/store.h"
#include "agent_rig.h"

#define NAME ".kvp_pool_1"

struct place {
	char path[64], file[96];
	int fd;
	struct store store;
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	agent_make_directory(p->path);
	snprintf(p->file, sizeof(p->file), "%s/%s", p->path, NAME);
	p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->fd >= 0);
	assert_int_equal(store_init(&p->store, p->fd, NAME), 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	store_finish(&p->store);
	close(p->fd);
	agent_remove_directory(p->path);
	free(p);
	return 0;
}

/* ---- the pool ---- */

static void test_pool_order(void **state)
{
	struct pool p;
	char key[32];

	pool_init(&p);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "key %u", i);
		assert_int_equal(pool_set(&p, key, "value"), 0);
	}
	for (unsigned i = 0; i < 1000; i += 2) {
		snprintf(key, sizeof(key), "key %u", i);
		assert_true(pool_remove(&p, key));
		assert_false(pool_remove(&p, key));
	}
	assert_int_equal(pool_count(&p), 500);
	for (unsigned i = 0; i < 500; i++) {
		snprintf(key, sizeof(key), "key %u", 2 * i + 1);
		assert_string_equal(pool_at(&p, i)->key, key);
	}
	assert_null(pool_at(&p, 500));
	assert_null(pool_at(&p, UINT32_MAX));
	/* A new one is behind the others, whatever place it has got. */
	assert_int_equal(pool_set(&p, "new", "1"), 0);
	assert_string_equal(pool_at(&p, 500)->key, "new");
	assert_int_equal(pool_set(&p, "new", "2"), 0);
	assert_int_equal(pool_count(&p), 501);
	assert_string_equal(pool_find(&p, "new")->value, "2");
	pool_finish(&p);
}

/* Of a key that a file has twice the first counts, then the second. */
static void test_pool_twice(void **state)
{
	struct pool_record first = {"key", "first"}, second = {"key", "second"};
	struct pool p;

	pool_init(&p);
	assert_int_equal(pool_append(&p, &first, false), 0);
	assert_int_equal(pool_append(&p, &second, false), 0);
	assert_string_equal(pool_find(&p, "key")->value, "first");
	assert_true(pool_remove(&p, "key"));
	assert_string_equal(pool_find(&p, "key")->value, "second");
	assert_true(pool_remove(&p, "key"));
	assert_null(pool_find(&p, "key"));
	pool_finish(&p);
}

static void test_pool_limit(void **state)
{
	struct pool p;
	char key[32];

	pool_init(&p);
	for (unsigned i = 0; i < POOL_RECORDS_MAX; i++) {
		snprintf(key, sizeof(key), "%u", i);
		assert_int_equal(pool_set(&p, key, ""), 0);
	}
	assert_int_equal(pool_set(&p, "one more", ""), -ENOSPC);
	assert_int_equal(pool_set(&p, "7", "changed"), 0);
	assert_true(pool_remove(&p, "8"));
	assert_int_equal(pool_set(&p, "one more", ""), 0);
	pool_finish(&p);
}

/* Set and removed for ever, it does not grow. */
static void test_pool_room(void **state)
{
	struct pool p;

	pool_init(&p);
	for (unsigned i = 0; i < 100000; i++) {
		assert_int_equal(pool_set(&p, "a", ""), 0);
		assert_int_equal(pool_set(&p, "b", ""), 0);
		assert_true(pool_remove(&p, "a"));
		assert_true(pool_remove(&p, "b"));
	}
	assert_in_range(p.order_capacity, 0, 128);
	assert_in_range(p.capacity, 0, 128);
	pool_finish(&p);
}

/* ---- the file ---- */

static unsigned records_in(const struct place *p)
{
	struct stat st;

	assert_int_equal(stat(p->file, &st), 0);
	assert_int_equal(st.st_size % 2560, 0);
	return (unsigned)(st.st_size / 2560);
}

static void read_record(const struct place *p, unsigned index, struct pool_record *r)
{
	int fd = open(p->file, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, r, sizeof(*r), index * (off_t)sizeof(*r)), sizeof(*r));
	close(fd);
}

/* As cloud-init does it: opened to append, then locked. */
static void append_locked(int fd, const char *key, const char *value)
{
	struct pool_record r = {0};

	snprintf(r.key, sizeof(r.key), "%s", key);
	snprintf(r.value, sizeof(r.value), "%s", value);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(write(fd, &r, sizeof(r)), sizeof(r));
	assert_int_equal(flock(fd, LOCK_UN), 0);
}

static void settle(struct store *s)
{
	while (store_due(s) != CLOCK_NEVER) {
		store_tick(s);
		usleep(1000);
	}
}

/* Strings with zeros behind them, at once, mode 0644. */
static void test_file(void **state)
{
	static const char zeros[2048];
	struct place *p = *state;
	struct pool_record r;
	struct stat st;

	assert_int_equal(stat(p->file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(store_set(&p->store, "a longer value", "that is shortened"), 0);
	settle(&p->store);
	assert_int_equal(store_set(&p->store, "a longer value", "now"), 0);
	settle(&p->store);
	assert_int_equal(records_in(p), 1);
	read_record(p, 0, &r);
	assert_string_equal(r.key, "a longer value");
	assert_memory_equal(r.key + 15, zeros, sizeof(r.key) - 15);
	assert_string_equal(r.value, "now");
	assert_memory_equal(r.value + 4, zeros, sizeof(r.value) - 4);
	assert_int_equal(chmod(p->file, 0600), 0);
	assert_int_equal(store_set(&p->store, "second", "2"), 0);
	settle(&p->store);
	assert_int_equal(stat(p->file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	if (agent_acl_set(p->file)) {
		assert_int_equal(store_set(&p->store, "second", "3"), 0);
		settle(&p->store);
		assert_true(agent_acl_is_set(p->file));
	}
	assert_int_equal(store_remove(&p->store, "a longer value"), 0);
	assert_int_equal(store_remove(&p->store, "a longer value"), -ENOENT);
	settle(&p->store);
	assert_int_equal(records_in(p), 1);
	read_record(p, 0, &r);
	assert_string_equal(r.key, "second");
}

/* What others write is seen, though it be nonsense; half a record is none. */
static void test_others(void **state)
{
	struct place *p = *state;
	struct pool_record r;
	int fd = open(p->file, O_WRONLY | O_APPEND | O_CLOEXEC);

	append_locked(fd, "theirs", "1");
	assert_string_equal(store_get(&p->store, "theirs"), "1");
	memset(&r, 'x', sizeof(r));
	assert_int_equal(write(fd, &r, sizeof(r)), sizeof(r));
	assert_int_equal(write(fd, &r, 100), 100);
	assert_int_equal(strlen(store_at(&p->store, 1)->key), 511);
	assert_int_equal(strlen(store_at(&p->store, 1)->value), 2047);
	assert_null(store_at(&p->store, 2));
	close(fd);
	assert_int_equal(truncate(p->file, 0), 0);
	assert_null(store_at(&p->store, 0));
	assert_null(store_get(&p->store, "theirs"));
	/* Removed altogether, it is made anew. */
	assert_int_equal(unlink(p->file), 0);
	assert_int_equal(store_set(&p->store, "ours", "1"), 0);
	settle(&p->store);
	assert_int_equal(records_in(p), 1);
}

/* Whoever has opened the file before it is replaced appends to one that has no name any more. */
static void test_appended_to_old_file(void **state)
{
	struct place *p = *state;
	int fd = open(p->file, O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_int_equal(store_set(&p->store, "ours", "1"), 0);
	append_locked(fd, "late", "2");
	close(fd);
	settle(&p->store);
	assert_int_equal(records_in(p), 2);
	assert_string_equal(store_get(&p->store, "late"), "2");
	assert_string_equal(store_get(&p->store, "ours"), "1");
}

/* Another process appends a thousand records while we change others: nothing is lost. */
static void test_appending_meanwhile(void **state)
{
	struct place *p = *state;
	char key[32], value[32];
	unsigned changes = 0;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		for (unsigned i = 0; i < 1000; i++) {
			int fd = open(p->file, O_WRONLY | O_APPEND | O_CLOEXEC);

			snprintf(key, sizeof(key), "theirs %u", i);
			append_locked(fd, key, "x");
			close(fd);
		}
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		snprintf(value, sizeof(value), "%u", changes++);
		assert_int_equal(store_set(&p->store, "ours", value), 0);
		store_tick(&p->store);
	}
	assert_int_equal(status, 0);
	settle(&p->store);
	assert_int_equal(records_in(p), 1001);
	assert_string_equal(store_get(&p->store, "ours"), value);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "theirs %u", i);
		assert_non_null(store_get(&p->store, key));
	}
}

/* A lock of either kind that somebody keeps delays writing, and nobody waits for it. */
static void test_locked(void **state)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct place *p = *state;

	for (unsigned kind = 0; kind < 2; kind++) {
		int fd = open(p->file, O_RDWR | O_CLOEXEC);

		if (kind == 0)
			assert_int_equal(flock(fd, LOCK_EX), 0);
		else
			assert_int_equal(fcntl(fd, F_OFD_SETLK, &l), 0);
		assert_int_equal(store_set(&p->store, kind ? "b" : "a", "1"), 0);
		store_tick(&p->store);
		assert_int_equal(records_in(p), kind);
		assert_string_equal(store_get(&p->store, kind ? "b" : "a"), "1");
		close(fd);
		settle(&p->store);
		assert_int_equal(records_in(p), kind + 1);
	}
}

/* While held nothing is written; afterwards all is, together with what others wrote. */
static void test_held(void **state)
{
	struct place *p = *state;
	struct pool_record r;
	int fd;

	assert_int_equal(store_set(&p->store, "before", "1"), 0);
	assert_int_equal(store_set(&p->store, "gone", "1"), 0);
	store_hold(&p->store, true);
	assert_int_equal(records_in(p), 2);
	assert_int_equal(store_set(&p->store, "meanwhile", "2"), 0);
	assert_int_equal(store_set(&p->store, "before", "2"), 0);
	assert_int_equal(store_remove(&p->store, "gone"), 0);
	assert_true(store_due(&p->store) == CLOCK_NEVER);
	store_tick(&p->store);
	read_record(p, 0, &r);
	assert_string_equal(r.value, "1");
	fd = open(p->file, O_WRONLY | O_APPEND | O_CLOEXEC);
	append_locked(fd, "theirs", "3");
	close(fd);
	assert_string_equal(store_get(&p->store, "theirs"), "3");
	assert_string_equal(store_get(&p->store, "before"), "2");
	assert_null(store_get(&p->store, "gone"));
	store_hold(&p->store, false);
	settle(&p->store);
	assert_int_equal(records_in(p), 3);
	assert_string_equal(store_get(&p->store, "meanwhile"), "2");
	assert_string_equal(store_get(&p->store, "theirs"), "3");
}

/* What can't be written is not there afterwards either. */
static void test_unwritable(void **state)
{
	struct place *p = *state;
	char target[128];

	assert_int_equal(store_set(&p->store, "a", "1"), 0);
	settle(&p->store);
	/* A directory that has something in it can't be replaced by a file, even by root. */
	snprintf(target, sizeof(target), "%s.new", p->file);
	assert_int_equal(mkdir(target, 0755), 0);
	/* Until a change is written before it is answered. */
	usleep((useconds_t)(1000 + 10 * p->store.write_took / 1000));
	assert_true(store_set(&p->store, "a", "2") < 0);
	assert_string_equal(store_get(&p->store, "a"), "1");
	assert_true(store_remove(&p->store, "a") < 0);
	assert_string_equal(store_get(&p->store, "a"), "1");
	assert_int_equal(rmdir(target), 0);
	assert_int_equal(store_set(&p->store, "a", "2"), 0);
	settle(&p->store);
	assert_int_equal(records_in(p), 1);
}

/* Nor is it there when an earlier one, that was answered, waits for the disk. */
static void test_unwritable_later(void **state)
{
	struct place *p = *state;
	char target[128];

	assert_int_equal(store_set(&p->store, "a", "1"), 0);
	settle(&p->store);
	store_hold(&p->store, true);
	assert_int_equal(store_set(&p->store, "b", "1"), 0);
	snprintf(target, sizeof(target), "%s.new", p->file);
	assert_int_equal(mkdir(target, 0755), 0);
	store_hold(&p->store, false);
	usleep((useconds_t)(1000 + 10 * p->store.write_took / 1000));
	assert_true(store_set(&p->store, "c", "1") < 0);
	assert_true(store_set(&p->store, "b", "2") < 0);
	assert_true(store_remove(&p->store, "a") < 0);
	assert_null(store_get(&p->store, "c"));
	assert_string_equal(store_get(&p->store, "b"), "1");
	assert_string_equal(store_get(&p->store, "a"), "1");
	assert_int_equal(rmdir(target), 0);
	settle(&p->store);
	assert_int_equal(records_in(p), 2);
	assert_int_equal(store_set(&p->store, "c", "1"), 0);
	settle(&p->store);
	assert_int_equal(records_in(p), 3);
}

/* Something in the file's place that is none. */
static void test_no_file(void **state)
{
	struct place *p = *state;

	assert_int_equal(store_set(&p->store, "a", "1"), 0);
	settle(&p->store);
	assert_int_equal(unlink(p->file), 0);
	assert_int_equal(mkfifo(p->file, 0644), 0);
	assert_string_equal(store_get(&p->store, "a"), "1");
	usleep((useconds_t)(1000 + 10 * p->store.write_took / 1000));
	assert_int_equal(store_set(&p->store, "a", "2"), -EINVAL);
	assert_int_equal(unlink(p->file), 0);
	assert_int_equal(store_set(&p->store, "a", "2"), 0);
	settle(&p->store);
	assert_int_equal(records_in(p), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pool_order),
		cmocka_unit_test(test_pool_twice),
		cmocka_unit_test(test_pool_limit),
		cmocka_unit_test(test_pool_room),
		cmocka_unit_test_setup_teardown(test_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_appended_to_old_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_appending_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_locked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unwritable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unwritable_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
