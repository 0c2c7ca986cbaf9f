/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Events: who is held up until they are read, and contexts that other processes have: of a
 * fork's child, and of a parent.
 */
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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/call.h"
#include "core/config.h"
#include "core/file.h"
#include "core/instance.h"
#include "core/syscall.h"
#include "inject/forward.h"
#include "memory_rig.h"
#include "uapi/userfaultfd.h"
#include "uffd/entry.h"
#include "uffd/fork.h"

#define PAGES     16u
#define SIZE      (PAGES * PAGE)
#define UNTOUCHED 0x7777

static char *memory; /* PAGES pages, registered */
static int fd;

/* ---- calls ---- */

static long uffd_ioctl(int on, unsigned command, void *argument)
{
	struct file *f = file_get(on);
	long ret;

	if (!f)
		return -EBADF;
	ret = call_ioctl(on, f, command, (unsigned long)argument);
	file_put(f);
	return ret;
}

static long try_read(int on, struct uffd_msg *m)
{
	struct file *f = file_get(on);
	long ret = call_read(on, f, m, sizeof(*m));

	file_put(f);
	return ret;
}

/* Waits for it. */
static struct uffd_msg next_message(int on)
{
	struct pollfd p = {.fd = on, .events = POLLIN};
	struct uffd_msg m;

	do
		if (poll(&p, 1, 20000) != 1)
			return (struct uffd_msg){0};
	while (try_read(on, &m) != sizeof(m));
	return m;
}

static void leave(int on)
{
	call_close(on);
	close(on);
}

static long register_at(int on, const void *p, size_t size)
{
	struct uffdio_register r = {.range = {(uintptr_t)p, size},
				    .mode = UFFDIO_REGISTER_MODE_MISSING};

	return uffd_ioctl(on, UFFDIO_REGISTER, &r);
}

static long unregister_at(int on, const void *p, size_t size)
{
	struct uffdio_range r = {(uintptr_t)p, size};

	return uffd_ioctl(on, UFFDIO_UNREGISTER, &r);
}

/* Fills one page; *ret_field is the answer. */
static long copy_to(int on, const void *to, char content, int64_t *ret_field)
{
	char from[PAGE];
	struct uffdio_copy c = {
		.dst = (uintptr_t)to & ~(PAGE - 1),
		.src = (uintptr_t)from,
		.len = PAGE,
		.copy = UNTOUCHED,
	};
	long ret;

	memset(from, content, sizeof(from));
	ret = uffd_ioctl(on, UFFDIO_COPY, &c);
	if (ret_field)
		*ret_field = c.copy;
	return ret;
}

/* Answers the next message, which is of a fault. */
static bool answer_fault(int on, char content)
{
	struct uffd_msg m = next_message(on);

	return m.event == UFFD_EVENT_PAGEFAULT &&
	       copy_to(on, (void *)(uintptr_t)m.arg.pagefault.address, content, NULL) == 0;
}

static char load(const char *p)
{
	return *(const volatile char *)p;
}

/* ---- */

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

static void start(uint64_t features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};

	rig_take_signals();
	fd = uffd_system_call(O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	assert_true(fd >= 0);
	assert_int_equal(uffd_ioctl(fd, UFFDIO_API, &api), 0);
	memory = mmap(NULL, SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(memory != MAP_FAILED);
	assert_int_equal(register_at(fd, memory, SIZE), 0);
}

static void finish(void)
{
	leave(fd);
	rig_munmap(memory, SIZE);
}

/* A thread that changes mappings, and may be held up by that. */
struct change {
	pthread_t thread;
	_Atomic pid_t number;
	void (*run)(void);
	atomic_bool done;
};

static void *run_change(void *arg)
{
	struct change *c = arg;

	c->number = (pid_t)host_syscall(SYS_gettid);
	c->run();
	c->done = true;
	return NULL;
}

static void begin_change(struct change *c, void (*run)(void))
{
	*c = (struct change){.run = run};
	assert_int_equal(pthread_create(&c->thread, NULL, run_change, c), 0);
}

static void end_change(struct change *c)
{
	assert_int_equal(pthread_join(c->thread, NULL), 0);
	assert_true(c->done);
}

/* As the kernel shows a thread that only a signal can wake which kills it. */
static bool is_held_up(pid_t number)
{
	char path[64], line[128];
	bool held = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", number);
	f = fopen(path, "r");
	while (f && !held && fgets(line, sizeof(line), f))
		held = strncmp(line, "State:\tD", 8) == 0;
	if (f)
		fclose(f);
	return held;
}

/* By an event, and not by the kernel in the call before it, which looks the same. */
static bool waits_for_reader(const struct change *c)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return c->number && poll(&p, 1, 0) == 1 && is_held_up(c->number);
}

static void wait_held_up(const struct change *c)
{
	while (!waits_for_reader(c)) {
		assert_false(c->done);
		usleep(1000);
	}
}

/* ---- events ---- */

static void discard(void)
{
	rig_madvise(memory, 2 * PAGE, MADV_DONTNEED);
}

static void test_held_up(void **state)
{
	struct change c;
	struct uffd_msg m;
	int64_t field;

	start(UFFD_FEATURE_EVENT_REMOVE);
	assert_int_equal(copy_to(fd, memory, 'a', NULL), 0);
	begin_change(&c, discard);
	wait_held_up(&c);
	/* Until the reader has it, the content is there and nothing can be filled. */
	assert_int_equal(load(memory), 'a');
	assert_int_equal(copy_to(fd, memory + PAGE, 'b', &field), -EAGAIN);
	assert_int_equal(field, -EAGAIN);
	assert_int_equal(register_at(fd, memory, SIZE), 0);
	m = next_message(fd);
	assert_int_equal(m.event, UFFD_EVENT_REMOVE);
	assert_int_equal(m.arg.remove.start, (uintptr_t)memory);
	assert_int_equal(m.arg.remove.end, (uintptr_t)memory + 2 * PAGE);
	end_change(&c);
	assert_int_equal(copy_to(fd, memory, 'c', NULL), 0);
	assert_int_equal(load(memory), 'c');
	finish();
}

static atomic_uint signals_handled;

static void count_signal(int number)
{
	signals_handled++;
}

static void test_signals_wait(void **state)
{
	struct sigaction action = {.sa_handler = count_signal}, before;
	struct change c;

	start(UFFD_FEATURE_EVENT_REMOVE);
	sigaction(SIGUSR1, &action, &before);
	begin_change(&c, discard);
	wait_held_up(&c);
	assert_int_equal(pthread_kill(c.thread, SIGUSR1), 0);
	usleep(2000);
	assert_int_equal(signals_handled, 0);
	assert_true(is_held_up(c.number));
	assert_int_equal(next_message(fd).event, UFFD_EVENT_REMOVE);
	end_change(&c);
	assert_int_equal(signals_handled, 1);
	sigaction(SIGUSR1, &before, NULL);
	finish();
}

static void test_close_lets_go(void **state)
{
	struct change c;

	start(UFFD_FEATURE_EVENT_REMOVE);
	begin_change(&c, discard);
	wait_held_up(&c);
	leave(fd);
	end_change(&c);
	assert_int_equal(load(memory), 0);
	rig_munmap(memory, SIZE);
}

static void touch_last(void)
{
	assert_int_equal(load(memory + SIZE - PAGE), 'f');
}

/* Faults that nobody has read. */
static unsigned long pending(void)
{
	struct file *f = file_get(fd);
	unsigned long n = 0;
	char text[256];

	assert_true(f->ops->describe(f, text, sizeof(text)) > 0);
	assert_int_equal(sscanf(text, "pending:\t%lu", &n), 1);
	file_put(f);
	return n;
}

static void test_faults_first(void **state)
{
	struct change discards, faults;

	start(UFFD_FEATURE_EVENT_REMOVE);
	begin_change(&discards, discard);
	wait_held_up(&discards);
	begin_change(&faults, touch_last);
	while (!pending())
		usleep(1000);
	assert_int_equal(next_message(fd).event, UFFD_EVENT_PAGEFAULT);
	assert_int_equal(next_message(fd).event, UFFD_EVENT_REMOVE);
	end_change(&discards);
	assert_int_equal(copy_to(fd, memory + SIZE - PAGE, 'f', NULL), 0);
	end_change(&faults);
	finish();
}

static char *elsewhere;

static void move(void)
{
	elsewhere = rig_mremap(memory, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere);
}

static char *some_place(void)
{
	return mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void test_moved(void **state)
{
	struct change c, f;
	struct uffd_msg m;
	char *from;

	start(UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_UNMAP);
	elsewhere = some_place();
	begin_change(&c, move);
	wait_held_up(&c);
	m = next_message(fd);
	assert_int_equal(m.event, UFFD_EVENT_REMAP);
	assert_int_equal(m.arg.remap.from, (uintptr_t)memory);
	assert_int_equal(m.arg.remap.to, (uintptr_t)elsewhere);
	assert_int_equal(m.arg.remap.len, SIZE);
	/* One after the other: it is held up again. */
	m = next_message(fd);
	assert_int_equal(m.event, UFFD_EVENT_UNMAP);
	assert_int_equal(m.arg.remove.start, (uintptr_t)memory);
	assert_int_equal(m.arg.remove.end, (uintptr_t)memory + SIZE);
	end_change(&c);
	from = memory;
	memory = elsewhere;
	begin_change(&f, touch_last);
	assert_true(answer_fault(fd, 'f'));
	end_change(&f);
	/* Nothing is left behind. */
	assert_int_equal(copy_to(fd, from, 'x', NULL), -ENOENT);
	unregister_at(fd, memory, SIZE);
	finish();
}

static void test_moved_untold(void **state)
{
	struct uffd_msg m;

	start(0);
	elsewhere = some_place();
	move();
	memory = elsewhere;
	assert_int_equal(load(memory), 0);
	assert_int_equal(copy_to(fd, memory + PAGE, 'x', NULL), -ENOENT);
	assert_int_equal(try_read(fd, &m), -EAGAIN);
	finish();
}

static void unmap(void)
{
	rig_munmap(memory, SIZE);
}

static void test_unmapped(void **state)
{
	struct change c;
	struct uffd_msg m;

	start(UFFD_FEATURE_EVENT_UNMAP);
	begin_change(&c, unmap);
	wait_held_up(&c);
	m = next_message(fd);
	assert_int_equal(m.event, UFFD_EVENT_UNMAP);
	assert_int_equal(m.arg.remove.start, (uintptr_t)memory);
	assert_int_equal(m.arg.remove.end, (uintptr_t)memory + SIZE);
	end_change(&c);
	leave(fd);
}

/* ---- forks ---- */

/* What the wrappers do. */
static pid_t rig_fork(void)
{
	pid_t child;

	forward_prepare();
	uffd_fork_prepare();
	memory_fork_prepare();
	child = fork();
	if (child == 0) {
		memory_fork_child();
		if (!forward_child())
			instance_forked();
		uffd_fork_child();
		return 0;
	}
	memory_fork_parent();
	forward_parent(child);
	uffd_fork_parent(child);
	uffd_fork_settle();
	return child;
}

/* In a child nothing can fail but by its exit status. */
#define CHILD_NEED(condition)                      \
	do {                                       \
		if (!(condition))                  \
			_exit(__LINE__ % 251 + 1); \
	} while (0)

static void expect_exit(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static int forks; /* how many more processes there are to be */
static pid_t child;
static int tell[2], told[2];

/* Each touches the page of its turn, and lives until it is told not to. */
static void be_child(void)
{
	pid_t next = 0;
	char byte = 0;
	int status;

	do {
		CHILD_NEED(load(memory + (size_t)forks * PAGE) == 'a' + forks);
		next = --forks ? rig_fork() : -1;
	} while (next == 0);
	CHILD_NEED(next < 0 || (waitpid(next, &status, 0) == next && status == 0));
	CHILD_NEED(write(told[1], &byte, 1) == 1);
	CHILD_NEED(read(tell[0], &byte, 1) == 1);
	_exit(0);
}

static void run_fork(void)
{
	child = rig_fork();
	if (child == 0)
		be_child();
}

/* The descriptor of the child that is being made. */
static int expect_fork(int on)
{
	struct uffd_msg m = next_message(on);

	assert_int_equal(m.event, UFFD_EVENT_FORK);
	assert_true((int)m.arg.fork.ufd >= 0);
	return (int)m.arg.fork.ufd;
}

static void expect_dead(int on)
{
	struct uffdio_range range = {(uintptr_t)memory, PAGE};
	struct pollfd p = {.fd = on, .events = POLLIN};
	struct uffd_msg m;
	int64_t field;

	assert_int_equal(copy_to(on, memory, 'x', &field), -ESRCH);
	assert_int_equal(field, UNTOUCHED);
	assert_int_equal(uffd_ioctl(on, UFFDIO_WAKE, &range), 0);
	assert_int_equal(register_at(on, memory, PAGE), -ENOMEM);
	assert_int_equal(unregister_at(on, memory, PAGE), -ENOMEM);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(try_read(on, &m), -EAGAIN);
}

static void test_fork(void **state)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_move mv;
	struct change c;
	char byte = 0;
	int first, second;

	start(UFFD_FEATURE_EVENT_FORK);
	assert_int_equal(pipe(tell) | pipe(told), 0);
	forks = 2;
	begin_change(&c, run_fork);
	wait_held_up(&c);
	assert_int_equal(copy_to(fd, memory, 'x', NULL), -EAGAIN);
	first = expect_fork(fd);
	end_change(&c);
	assert_int_equal(fcntl(first, F_GETFL), O_RDONLY | O_NONBLOCK);
	assert_int_equal(fcntl(first, F_GETFD), FD_CLOEXEC);
	assert_int_equal(uffd_ioctl(first, UFFDIO_API, &api), -EINVAL);
	assert_true(answer_fault(first, 'c'));
	/* The child's child, of whom the child's reader hears. */
	second = expect_fork(first);
	assert_int_equal(copy_to(first, memory + 2 * PAGE, 'c', NULL), -EEXIST);
	mv = (struct uffdio_move){(uintptr_t)memory, (uintptr_t)memory + PAGE, PAGE};
	assert_int_equal(uffd_ioctl(first, UFFDIO_MOVE, &mv), -EINVAL);
	assert_true(answer_fault(second, 'b'));
	assert_int_equal(read(told[0], &byte, 1), 1);
	assert_int_equal(unregister_at(second, memory, SIZE), 0);
	assert_int_equal(write(tell[1], &byte, 1), 1);
	assert_int_equal(read(told[0], &byte, 1), 1);
	expect_dead(second);
	leave(second);
	/* Nothing of it is ours. */
	assert_int_equal(copy_to(fd, memory + PAGE, 'p', NULL), 0);
	assert_int_equal(load(memory + PAGE), 'p');
	assert_int_equal(write(tell[1], &byte, 1), 1);
	expect_exit(child);
	expect_dead(first);
	leave(first);
	for (int i = 0; i < 2; i++) {
		close(tell[i]);
		close(told[i]);
	}
	finish();
}

static void run_fork_of_zeros(void)
{
	child = rig_fork();
	if (child)
		return;
	for (unsigned i = 0; i < PAGES; i++)
		CHILD_NEED(load(memory + i * PAGE) == 0);
	_exit(0);
}

static void test_fork_untold(void **state)
{
	struct uffd_msg m;

	start(0);
	run_fork_of_zeros();
	expect_exit(child);
	assert_int_equal(try_read(fd, &m), -EAGAIN);
	finish();
}

/* Nobody reads of the child, and the parent is killed: there has never been one. */
static void test_fork_and_kill(void **state)
{
	struct change c;
	char byte;
	pid_t pid;

	assert_int_equal(pipe(told), 0);
	pid = rig_fork();
	if (pid == 0) {
		close(told[0]);
		start(UFFD_FEATURE_EVENT_FORK);
		forks = 1;
		begin_change(&c, run_fork);
		wait_held_up(&c);
		kill(getpid(), SIGKILL);
	}
	close(told[1]);
	waitpid(pid, NULL, 0);
	assert_int_equal(read(told[0], &byte, 1), 0);
	close(told[0]);
}

/* ---- a handler that is the child ---- */

static _Atomic unsigned touched;

static void *touch_all(void *arg)
{
	for (unsigned i = 0; i < PAGES; i++) {
		char content = load(memory + i * PAGE);

		if (content != 'h' && content != 0)
			return NULL;
		touched++;
	}
	return memory;
}

/* Answers faults, `n` of them. */
static pid_t start_handler(unsigned n)
{
	pid_t pid = rig_fork();

	if (pid)
		return pid;
	for (unsigned i = 0; i < n; i++)
		CHILD_NEED(answer_fault(fd, 'h'));
	pause();
	_exit(0);
}

static void *expect_touched(pthread_t thread)
{
	void *ret;

	assert_int_equal(pthread_join(thread, &ret), 0);
	assert_ptr_equal(ret, memory);
	return ret;
}

static void test_inherited(void **state)
{
	pthread_t thread;
	pid_t handler;

	start(0);
	touched = 0;
	handler = start_handler(PAGES);
	assert_int_equal(pthread_create(&thread, NULL, touch_all, NULL), 0);
	expect_touched(thread);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(load(memory + i * PAGE), 'h');
	kill(handler, SIGKILL);
	waitpid(handler, NULL, 0);
	/* This process has it still. */
	assert_int_equal(copy_to(fd, memory, 'x', NULL), -EEXIST);
	finish();
}

static void test_last_reference(void **state)
{
	pthread_t thread;
	pid_t handler;

	start(0);
	touched = 0;
	handler = start_handler(PAGES / 2);
	leave(fd);
	assert_int_equal(pthread_create(&thread, NULL, touch_all, NULL), 0);
	while (touched < PAGES / 2)
		usleep(1000);
	usleep(2000);
	assert_int_equal(touched, PAGES / 2);
	kill(handler, SIGKILL);
	waitpid(handler, NULL, 0);
	expect_touched(thread);
	assert_int_equal(load(memory), 'h');
	assert_int_equal(load(memory + SIZE - PAGE), 0);
	rig_munmap(memory, SIZE);
}

/* A process that reads blockingly, and is asked after its parent's end. */
static void outlive(void)
{
	pid_t parent = getppid();
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char byte = 0;

	CHILD_NEED(poll(&p, 1, 20000) == 1);
	kill(parent, SIGKILL);
	while (getppid() == parent)
		usleep(1000);
	CHILD_NEED(copy_to(fd, memory, 'x', NULL) == -ESRCH);
	CHILD_NEED(poll(&p, 1, 0) == 0);
	CHILD_NEED(write(told[1], &byte, 1) == 1);
	_exit(0);
}

static void test_owner_gone(void **state)
{
	struct pollfd p = {.events = POLLIN};
	char byte;
	pid_t pid;

	assert_int_equal(pipe(told), 0);
	pid = rig_fork();
	if (pid == 0) {
		start(0);
		if (rig_fork() == 0)
			outlive();
		load(memory);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
	p.fd = told[0];
	assert_int_equal(poll(&p, 1, 30000), 1);
	close(told[1]);
	assert_int_equal(read(told[0], &byte, 1), 1);
	close(told[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_held_up),       cmocka_unit_test(test_signals_wait),
		cmocka_unit_test(test_close_lets_go), cmocka_unit_test(test_faults_first),
		cmocka_unit_test(test_moved),         cmocka_unit_test(test_moved_untold),
		cmocka_unit_test(test_unmapped),      cmocka_unit_test(test_fork),
		cmocka_unit_test(test_fork_untold),   cmocka_unit_test(test_fork_and_kill),
		cmocka_unit_test(test_inherited),     cmocka_unit_test(test_last_reference),
		cmocka_unit_test(test_owner_gone),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
