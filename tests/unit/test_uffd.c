/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contexts and their queues: who is told what, who waits and who is woken.  What the ioctls answer
 * is in tests/conformance.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/call.h"
#include "core/config.h"
#include "core/file.h"
#include "core/instance.h"
#include "core/syscall.h"
#include "inject/signals.h"
#include "memory_rig.h"
#include "uapi/userfaultfd.h"
#include "uffd/entry.h"

#define PAGES     64u
#define UNTOUCHED 0x7777

static char *memory; /* PAGES pages, registered */
static int fd;

static long uffd_ioctl(int on, unsigned command, void *argument)
{
	struct file *f = file_get(on);
	long ret;

	assert_non_null(f);
	ret = call_ioctl(on, f, command, (unsigned long)argument);
	file_put(f);
	return ret;
}

static long read_messages(struct uffd_msg *message, unsigned n)
{
	struct file *f = file_get(fd);
	long ret = call_read(fd, f, message, n * sizeof(*message));

	file_put(f);
	return ret;
}

static long handshake(int on, uint64_t features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};

	return uffd_ioctl(on, UFFDIO_API, &api);
}

static long register_range(int on, void *p, size_t size, uint64_t mode)
{
	struct uffdio_register r = {.range = {(uintptr_t)p, size}, .mode = mode};

	return uffd_ioctl(on, UFFDIO_REGISTER, &r);
}

static int open_one(int flags)
{
	int made = uffd_system_call(flags | O_CLOEXEC | UFFD_USER_MODE_ONLY);

	assert_true(made >= 0);
	return made;
}

static void leave(int on)
{
	call_close(on);
	close(on);
}

static int set_up(void **state)
{
	struct config *c = calloc(1, sizeof(*c));
	char error[CONFIG_ERROR_MAX];

	rig_start(MEMORY_TRAPS_AUTO);
	config_init(c);
	assert_int_equal(config_text(c, "uffd emulate\n", error), 0);
	assert_int_equal(config_complete(c, error), 0);
	assert_int_equal(instance_start(c, error, sizeof(error)), 0);
	return 0;
}

static int tear_down(void **state)
{
	instance_stop();
	return 0;
}

static void start(int flags, uint64_t features)
{
	rig_take_signals();
	fd = open_one(flags);
	assert_int_equal(handshake(fd, features), 0);
	memory = mmap(NULL, PAGES * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(memory != MAP_FAILED);
	assert_int_equal(register_range(fd, memory, PAGES * PAGE, UFFDIO_REGISTER_MODE_MISSING), 0);
}

static void finish(void)
{
	leave(fd);
	rig_munmap(memory, PAGES * PAGE);
}

/* The answer field, or -errno if it was left alone. */
static long copy_pages(unsigned page, unsigned n, uint64_t mode)
{
	static char from[4 * PAGE];
	struct uffdio_copy c = {
		.dst = (uintptr_t)memory + page * PAGE,
		.src = (uintptr_t)from,
		.len = n * PAGE,
		.mode = mode,
		.copy = UNTOUCHED,
	};
	long ret;

	memset(from, 'a', sizeof(from));
	ret = uffd_ioctl(fd, UFFDIO_COPY, &c);
	if (ret == 0 && c.copy != (int64_t)(n * PAGE))
		fail_msg("%lld bytes of %lu", (long long)c.copy, n * PAGE);
	if (ret == -EAGAIN)
		return c.copy;
	assert_int_equal(ret == 0 ? c.copy : ret, c.copy == UNTOUCHED ? ret : c.copy);
	return ret < 0 ? ret : c.copy;
}

static long wake(unsigned page, unsigned n)
{
	struct uffdio_range range = {(uintptr_t)memory + page * PAGE, n * PAGE};

	return uffd_ioctl(fd, UFFDIO_WAKE, &range);
}

static void *touch(void *page)
{
	return (void *)(intptr_t) * (volatile char *)page;
}

static pthread_t start_touching(unsigned page)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, touch, memory + page * PAGE), 0);
	return thread;
}

static char join(pthread_t thread)
{
	void *value;

	assert_int_equal(pthread_join(thread, &value), 0);
	return (char)(intptr_t)value;
}

static void wait_readable(void)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};

	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(p.revents, POLLIN);
}

static bool is_readable(void)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* The next message is of a fault on that page. */
static void expect_fault(unsigned page, uint64_t flags)
{
	struct uffd_msg m;

	wait_readable();
	assert_int_equal(read_messages(&m, 1), sizeof(m));
	assert_int_equal(m.event, UFFD_EVENT_PAGEFAULT);
	assert_int_equal(m.arg.pagefault.flags, flags);
	assert_int_equal(m.arg.pagefault.address, (uintptr_t)memory + page * PAGE);
}

/* A thread besides this one sleeps in a fault or in a read(2). */
static bool is_asleep(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *task;
	bool asleep = false;

	while ((task = readdir(tasks))) {
		char path[300], text[64] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/syscall", task->d_name);
		f = atoi(task->d_name) == getpid() ? NULL : fopen(path, "r");
		if (!f)
			continue;
		asleep |= fgets(text, sizeof(text), f) &&
			  (atoi(text) == SYS_futex || atoi(text) == SYS_poll);
		fclose(f);
	}
	closedir(tasks);
	return asleep;
}

static void wait_asleep(void)
{
	while (!is_asleep())
		usleep(1000);
}

/* ---- tests ---- */

static void test_handshake(void **state)
{
	struct uffdio_api api = {.api = 0xab, .features = 7};
	struct uffdio_range range = {PAGE, PAGE};
	struct uffd_msg m;

	fd = open_one(O_NONBLOCK);
	assert_int_equal(uffd_ioctl(fd, UFFDIO_WAKE, &range), -EINVAL);
	assert_int_equal(read_messages(&m, 1), -EINVAL);
	assert_int_equal(uffd_ioctl(fd, UFFDIO_API, &api), -EINVAL);
	assert_int_equal(api.api | api.features, 0);
	assert_int_equal(handshake(fd, (uint64_t)1 << 19), -EINVAL);
	assert_int_equal(handshake(fd, UFFD_FEATURE_RWP_ASYNC), -EINVAL);
	api = (struct uffdio_api){.api = UFFD_API};
	assert_int_equal(uffd_ioctl(fd, UFFDIO_API, &api), 0);
	assert_int_equal(api.features, 0x7ffff);
	assert_int_equal(api.ioctls, 0x8000000000000403);
	assert_int_equal(uffd_ioctl(fd, UFFDIO_API, &api), -EINVAL);
	assert_int_equal(api.api | api.features | api.ioctls, 0);
	assert_int_equal(uffd_ioctl(fd, UFFDIO_WAKE, &range), 0);
	assert_int_equal(read_messages(&m, 1), -EAGAIN);
	leave(fd);
	assert_int_equal(uffd_system_call(O_APPEND), -EINVAL);
}

static void test_registering(void **state)
{
	char name[] = "/var/tmp/standin-uffd-XXXXXX", *file;
	int other = open_one(0), plain = mkstemp(name);

	start(O_NONBLOCK, 0);
	assert_int_equal(handshake(other, 0), 0);
	assert_int_equal(ftruncate(plain, PAGE), 0);
	file = mmap(NULL, PAGE, RW, MAP_SHARED, plain, 0);
	assert_int_equal(register_range(fd, file, PAGE, UFFDIO_REGISTER_MODE_MISSING), -EINVAL);
	assert_int_equal(register_range(fd, memory, PAGE, 0), -EINVAL);
	assert_int_equal(register_range(fd, memory, PAGE, UFFDIO_REGISTER_MODE_MINOR), -EINVAL);
	assert_int_equal(register_range(fd, memory, PAGE, UFFDIO_REGISTER_MODE_RWP), -EINVAL);
	assert_int_equal(register_range(fd, memory + 1, PAGE, UFFDIO_REGISTER_MODE_WP), -EINVAL);
	assert_int_equal(register_range(fd, memory, 0, UFFDIO_REGISTER_MODE_WP), -EINVAL);
	assert_int_equal(register_range(other, memory, PAGE, UFFDIO_REGISTER_MODE_MISSING), -EBUSY);
	assert_int_equal(register_range(fd, memory, PAGE, UFFDIO_REGISTER_MODE_WP), 0);
	assert_int_equal(register_range(fd, memory, PAGE, UFFDIO_REGISTER_MODE_MISSING), -EBUSY);
	munmap(file, PAGE);
	close(plain);
	unlink(name);
	leave(other);
	finish();
}

static void test_read_only_memory(void **state)
{
	int shm = memfd_create("uffd", MFD_CLOEXEC), reading;
	char path[32], *p;

	start(O_NONBLOCK, 0);
	assert_int_equal(ftruncate(shm, PAGE), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", shm);
	reading = open(path, O_RDONLY | O_CLOEXEC);
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, reading, 0);
	assert_int_equal(register_range(fd, p, PAGE, UFFDIO_REGISTER_MODE_MISSING), -EPERM);
	munmap(p, PAGE);
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, shm, 0);
	assert_int_equal(register_range(fd, p, PAGE, UFFDIO_REGISTER_MODE_MISSING), 0);
	rig_munmap(p, PAGE);
	close(reading);
	close(shm);
	finish();
}

static void test_a_fault_is_told_and_woken(void **state)
{
	pthread_t thread;

	start(O_NONBLOCK, 0);
	assert_false(is_readable());
	thread = start_touching(3);
	expect_fault(3, 0);
	assert_false(is_readable());
	assert_int_equal(copy_pages(3, 1, 0), PAGE);
	assert_int_equal(join(thread), 'a');
	finish();
}

static void test_a_resolved_fault_is_withdrawn(void **state)
{
	struct uffd_msg m;
	pthread_t thread;

	start(O_NONBLOCK, 0);
	thread = start_touching(3);
	wait_readable();
	assert_int_equal(copy_pages(3, 1, 0), PAGE);
	assert_false(is_readable());
	assert_int_equal(read_messages(&m, 1), -EAGAIN);
	assert_int_equal(join(thread), 'a');
	finish();
}

static void test_several_messages(void **state)
{
	pthread_t thread[3];
	struct uffd_msg m[4];
	unsigned n = 0;

	start(O_NONBLOCK, 0);
	thread[0] = start_touching(1);
	thread[1] = start_touching(1);
	thread[2] = start_touching(2);
	while (n < 3) {
		long got;

		wait_readable();
		got = read_messages(&m[n], 4 - n);
		assert_true(got > 0 && got % (long)sizeof(m[0]) == 0);
		n += (unsigned)got / sizeof(m[0]);
	}
	assert_int_equal(read_messages(m, 4), -EAGAIN);
	assert_int_equal(copy_pages(1, 2, 0), 2 * PAGE);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(join(thread[i]), 'a');
	finish();
}

static void test_waking_by_itself(void **state)
{
	pthread_t thread;

	start(O_NONBLOCK, 0);
	thread = start_touching(5);
	expect_fault(5, 0);
	/* The page is not there: it faults again. */
	assert_int_equal(wake(4, 1), 0);
	assert_false(is_readable());
	assert_int_equal(wake(4, 3), 0);
	expect_fault(5, 0);
	assert_int_equal(copy_pages(5, 1, UFFDIO_COPY_MODE_DONTWAKE), PAGE);
	assert_int_equal(wake(5, 1), 0);
	assert_int_equal(join(thread), 'a');
	assert_false(is_readable());
	finish();
}

static void test_partial_copies(void **state)
{
	struct uffdio_copy c = {.dst = (uintptr_t)memory, .len = PAGE, .copy = UNTOUCHED};

	start(O_NONBLOCK, 0);
	assert_int_equal(copy_pages(2, 1, 0), PAGE);
	assert_int_equal(copy_pages(2, 1, 0), -EEXIST);
	assert_int_equal(copy_pages(0, 4, 0), 2 * PAGE);
	assert_int_equal(copy_pages(PAGES - 1, 2, 0), -ENOENT);
	c.dst = (uintptr_t)memory + 1;
	assert_int_equal(uffd_ioctl(fd, UFFDIO_COPY, &c), -EINVAL);
	assert_int_equal(c.copy, UNTOUCHED);
	finish();
}

static void nothing(int signal)
{
}

static void test_a_signal_makes_it_fault_again(void **state)
{
	struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART}, before;
	pthread_t thread;

	start(O_NONBLOCK, 0);
	sigaction(SIGUSR1, &action, &before);
	thread = start_touching(7);
	expect_fault(7, 0);
	wait_asleep();
	pthread_kill(thread, SIGUSR1);
	expect_fault(7, 0);
	assert_int_equal(copy_pages(7, 1, 0), PAGE);
	assert_int_equal(join(thread), 'a');
	sigaction(SIGUSR1, &before, NULL);
	finish();
}

static void end_thread(int signal)
{
	pthread_exit(NULL);
}

/* More threads than there are places at first; what they waited for is forgotten. */
static void test_threads_that_end_in_a_fault(void **state)
{
	struct sigaction action = {.sa_handler = end_thread}, before;
	struct uffd_msg m;

	start(O_NONBLOCK, 0);
	sigaction(SIGUSR1, &action, &before);
	for (unsigned i = 0; i < 300; i++) {
		pthread_t thread = start_touching(i % PAGES);

		wait_readable();
		pthread_kill(thread, SIGUSR1);
		pthread_join(thread, NULL);
		/* The kernel may need a moment to be done with it. */
		while (read_messages(&m, 1) > 0)
			;
		assert_false(is_readable());
	}
	sigaction(SIGUSR1, &before, NULL);
	finish();
}

static void test_unregistering_wakes(void **state)
{
	struct uffdio_range range;
	pthread_t thread;

	start(O_NONBLOCK, 0);
	thread = start_touching(9);
	wait_readable();
	range = (struct uffdio_range){(uintptr_t)memory, PAGES * PAGE};
	assert_int_equal(uffd_ioctl(fd, UFFDIO_UNREGISTER, &range), 0);
	assert_int_equal(join(thread), 0);
	assert_false(is_readable());
	finish();
}

static void test_closing_wakes(void **state)
{
	pthread_t thread[2];

	start(O_NONBLOCK, 0);
	thread[0] = start_touching(9);
	expect_fault(9, 0);
	thread[1] = start_touching(10);
	wait_readable();
	leave(fd);
	assert_int_equal(join(thread[0]), 0);
	assert_int_equal(join(thread[1]), 0);
	rig_munmap(memory, PAGES * PAGE);
}

static void *read_one(void *messages)
{
	return (void *)read_messages(messages, 1);
}

static void test_a_reader_waits(void **state)
{
	pthread_t reader, thread;
	struct uffd_msg m;
	void *got;

	start(0, UFFD_FEATURE_EXACT_ADDRESS | UFFD_FEATURE_THREAD_ID);
	assert_int_equal(pthread_create(&reader, NULL, read_one, &m), 0);
	assert_int_equal(pthread_create(&thread, NULL, touch, memory + PAGE + 17), 0);
	pthread_join(reader, &got);
	assert_int_equal((long)got, sizeof(m));
	assert_int_equal(m.arg.pagefault.address, (uintptr_t)memory + PAGE + 17);
	assert_int_not_equal(m.arg.pagefault.feat.ptid, 0);
	assert_int_not_equal(m.arg.pagefault.feat.ptid, getpid());
	assert_int_equal(copy_pages(1, 1, 0), PAGE);
	assert_int_equal(join(thread), 'a');
	finish();
}

/* Two come while it sleeps: of the one that it leaves, poll is told. */
static void test_what_a_reader_leaves(void **state)
{
	pthread_t reader, thread[2];
	struct uffd_msg m;
	uint64_t signals;
	void *got;

	start(0, 0);
	assert_int_equal(pthread_create(&reader, NULL, read_one, &m), 0);
	wait_asleep();
	memory_lock(&signals);
	thread[0] = start_touching(0);
	thread[1] = start_touching(1);
	memory_unlock(&signals);
	pthread_join(reader, &got);
	assert_int_equal((long)got, sizeof(m));
	wait_readable();
	assert_int_equal(read_messages(&m, 1), sizeof(m));
	assert_false(is_readable());
	assert_int_equal(copy_pages(0, 2, 0), 2 * PAGE);
	assert_int_equal(join(thread[0]), 'a');
	assert_int_equal(join(thread[1]), 'a');
	finish();
}

/* Nothing of its call stays behind: the last descriptor's end is the context's, and wakes. */
static void test_a_cancelled_reader(void **state)
{
	pthread_t reader, thread;
	struct uffd_msg m;
	void *got;

	start(0, 0);
	assert_int_equal(pthread_create(&reader, NULL, read_one, &m), 0);
	wait_asleep();
	pthread_cancel(reader);
	pthread_join(reader, &got);
	assert_true(got == PTHREAD_CANCELED);
	thread = start_touching(1);
	wait_readable();
	leave(fd);
	assert_int_equal(join(thread), 0);
	rig_munmap(memory, PAGES * PAGE);
}

static sigjmp_buf back;

static void on_bus(int signal)
{
	siglongjmp(back, 1);
}

static void test_no_message_but_a_signal(void **state)
{
	struct sigaction action = {.sa_handler = on_bus}, before;
	volatile int signals = 0;

	start(O_NONBLOCK, UFFD_FEATURE_SIGBUS);
	signals_action(SIGBUS, &action, &before);
	if (sigsetjmp(back, 1))
		signals++;
	else
		touch(memory + 3 * PAGE);
	assert_int_equal(signals, 1);
	assert_false(is_readable());
	signals_action(SIGBUS, &before, NULL);
	assert_int_equal(copy_pages(3, 1, 0), PAGE);
	assert_int_equal((intptr_t)touch(memory + 3 * PAGE), 'a');
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake),
		cmocka_unit_test(test_registering),
		cmocka_unit_test(test_read_only_memory),
		cmocka_unit_test(test_a_fault_is_told_and_woken),
		cmocka_unit_test(test_a_resolved_fault_is_withdrawn),
		cmocka_unit_test(test_several_messages),
		cmocka_unit_test(test_waking_by_itself),
		cmocka_unit_test(test_partial_copies),
		cmocka_unit_test(test_a_signal_makes_it_fault_again),
		cmocka_unit_test(test_threads_that_end_in_a_fault),
		cmocka_unit_test(test_unregistering_wakes),
		cmocka_unit_test(test_closing_wakes),
		cmocka_unit_test(test_a_reader_waits),
		cmocka_unit_test(test_what_a_reader_leaves),
		cmocka_unit_test(test_a_cancelled_reader),
		cmocka_unit_test(test_no_message_but_a_signal),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
