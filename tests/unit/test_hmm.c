/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The HMM devices through their files, with several of them open: which mirror keeps what,
 * how much memory a device has, and pages that libc takes away without a word.  What the
 * commands answer is in tests/conformance.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/call.h"
#include "core/config.h"
#include "core/fdtable.h"
#include "core/file.h"
#include "core/instance.h"
#include "memory_rig.h"
#include "uapi/hmm.h"

static void start(const char *text)
{
	struct config *c = calloc(1, sizeof(*c));
	char error[CONFIG_ERROR_MAX];

	rig_start(MEMORY_TRAPS_AUTO);
	config_init(c);
	assert_int_equal(config_text(c, text, error), 0);
	assert_int_equal(config_complete(c, error), 0);
	assert_int_equal(instance_start(c, error, sizeof(error)), 0);
}

static int device(unsigned n)
{
	char path[] = "/dev/hmm_dmirror0";

	path[strlen(path) - 1] = (char)('0' + n);
	return call_open(path, O_RDWR | O_CLOEXEC);
}

static void leave(int fd)
{
	call_close(fd);
	close(fd);
}

static uint64_t faults;

/* cpages or -errno. */
static long command(int fd, unsigned number, void *p, void *data, size_t n)
{
	struct hmm_dmirror_cmd cmd = {(uintptr_t)p, (uintptr_t)data, n, 0, 0};
	struct file *f = file_get(fd);
	long ret = call_ioctl(fd, f, number, (unsigned long)&cmd);

	file_put(f);
	faults = cmd.faults;
	return ret < 0 ? ret : (long)cmd.cpages;
}

static void test_configured_devices(void **state)
{
	int fd;

	start("hmm devices=3,coherent=off\n");
	assert_int_equal(device(2), -ENOENT);
	assert_int_equal(device(3), -ENOENT);
	fd = device(1);
	assert_true(fd >= 0);
	leave(fd);
	instance_stop();
	start("hmm devices=3\n");
	assert_int_equal(device(3), -ENOENT);
	fd = device(2);
	assert_true(fd >= 0);
	leave(fd);
	instance_stop();
}

static void test_limited_memory(void **state)
{
	char *p, data[16 * PAGE];
	int fd;

	start("hmm memory=40k\n");
	fd = device(0);
	p = rig_map(16 * PAGE);
	rig_fill(p, 16 * PAGE, 1);
	assert_int_equal(command(fd, HMM_DMIRROR_MIGRATE_TO_DEV, p, data, 8), 8);
	/* Two more have room; the others stay, and so the device can't use the whole. */
	assert_int_equal(command(fd, HMM_DMIRROR_MIGRATE_TO_DEV, p, data, 16), -ENOENT);
	assert_int_equal(rig_count(p, 16 * PAGE), 10);
	assert_int_equal(rig_touch(p, 0), 0);
	assert_int_equal(command(fd, HMM_DMIRROR_MIGRATE_TO_DEV, p + 15 * PAGE, data, 1), 1);
	assert_int_equal(rig_check(p, 16 * PAGE, 1), -1);
	assert_int_equal(command(fd, HMM_DMIRROR_MIGRATE_TO_DEV, p + 6 * PAGE, data, 10), 10);
	assert_int_equal(rig_munmap(p, 16 * PAGE), 0);
	p = rig_map(16 * PAGE);
	assert_int_equal(command(fd, HMM_DMIRROR_MIGRATE_TO_DEV, p, data, 10), 10);
	leave(fd);
	assert_int_equal(rig_count(p, 16 * PAGE), 0);
	munmap(p, 16 * PAGE);
	instance_stop();
}

static void test_several_mirrors(void **state)
{
	char *p, data[4 * PAGE];
	int one, two, other;

	start("");
	one = device(0);
	two = device(0);
	other = device(1);
	p = rig_map(4 * PAGE);
	rig_fill(p, 4 * PAGE, 2);
	assert_int_equal(command(one, HMM_DMIRROR_READ, p, data, 4), 4);
	assert_int_equal(faults, 1);
	assert_int_equal(command(one, HMM_DMIRROR_READ, p, data, 4), 4);
	assert_int_equal(faults, 0);
	/* Another device's migration is told to this one. */
	assert_int_equal(command(other, HMM_DMIRROR_MIGRATE_TO_DEV, p, data, 4), 4);
	assert_int_equal(command(one, HMM_DMIRROR_MIGRATE_TO_DEV, p, data, 4), -ENOENT);
	assert_int_equal(command(one, HMM_DMIRROR_READ, p, data, 4), 4);
	assert_int_equal(faults, 1);
	assert_int_equal(rig_count(p, 4 * PAGE), 0);
	assert_int_equal(rig_check(data, 4 * PAGE, 2), -1);
	/* A second file of the same device finds the pages there. */
	assert_int_equal(command(one, HMM_DMIRROR_MIGRATE_TO_DEV, p, data, 4), 4);
	assert_int_equal(command(two, HMM_DMIRROR_READ, p, data, 4), 4);
	assert_int_equal(faults, 1);
	assert_int_equal(rig_count(p, 4 * PAGE), 4);
	/* The device's memory is taken back with any of its files. */
	leave(two);
	assert_int_equal(rig_count(p, 4 * PAGE), 0);
	assert_int_equal(rig_check(p, 4 * PAGE, 2), -1);
	leave(one);
	leave(other);
	munmap(p, 4 * PAGE);
	instance_stop();
}

/* As free() does: neither the engine nor a mirror hears of it. */
static void test_memory_used_again(void **state)
{
	char *p, *data = malloc(64 * PAGE);
	int fd;

	start("");
	fd = device(0);
	p = rig_map(64 * PAGE);
	for (unsigned i = 3; i < 6; i++) {
		rig_fill(p, 64 * PAGE, i);
		assert_int_equal(command(fd, HMM_DMIRROR_MIGRATE_TO_DEV, p, data, 64), 64);
		assert_int_equal(rig_check(data, 64 * PAGE, i), -1);
		munmap(p, 64 * PAGE);
		assert_int_equal(command(fd, HMM_DMIRROR_READ, p, data, 64), -EFAULT);
		assert_ptr_equal(
			mmap(p, 64 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), p);
	}
	munmap(p, 64 * PAGE);
	leave(fd);
	instance_stop();
	free(data);
}

static void test_result_on_the_device(void **state)
{
	char *p;
	int fd;

	start("");
	fd = device(0);
	p = rig_map(8 * PAGE);
	rig_fill(p, 8 * PAGE, 7);
	assert_int_equal(command(fd, HMM_DMIRROR_MIGRATE_TO_DEV, p, p, 8), 8);
	assert_int_equal(rig_check(p, 8 * PAGE, 7), -1);
	assert_int_equal(command(fd, HMM_DMIRROR_MIGRATE_TO_DEV, p, p, 8), 8);
	assert_int_equal(command(fd, HMM_DMIRROR_READ, p, p + 4 * PAGE, 4), 4);
	assert_int_equal(rig_check(p + 4 * PAGE, 4 * PAGE, 7), -1);
	munmap(p, 8 * PAGE);
	leave(fd);
	instance_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_configured_devices),
		cmocka_unit_test(test_limited_memory),
		cmocka_unit_test(test_several_mirrors),
		cmocka_unit_test(test_memory_used_again),
		cmocka_unit_test(test_result_on_the_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
