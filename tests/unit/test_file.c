/* SPDX-License-Identifier: BSD-3-Clause */
/* core/file.h, core/fdtable.h, core/ioctl.h: identity of descriptors and dispatch by row. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/fault.h"
#include "core/fdtable.h"
#include "core/file.h"
#include "core/hostfd.h"
#include "core/ioctl.h"

struct sized {
	uint32_t argsz;
	uint32_t flags;
};

#define CMD_VALUE _IO('S', 1)
#define CMD_FIXED _IOWR('S', 2, uint64_t)
#define CMD_SIZED _IO('S', 3)
#define CMD_GATED _IO('S', 4)

static _Atomic int released;

static long value(struct file *f, struct ioctl_call *call)
{
	return (long)call->arg + 1;
}

static long fixed(struct file *f, struct ioctl_call *call)
{
	*(uint64_t *)call->data *= 2;
	return ioctl_return(call, sizeof(uint64_t));
}

static long sized(struct file *f, struct ioctl_call *call)
{
	struct sized *s = call->data;

	s->flags = 7;
	return ioctl_return(call, sizeof(*s));
}

static long gate(struct file *f, unsigned int cmd, const struct ioctl_row *row)
{
	return cmd == CMD_GATED ? -EPERM : 0;
}

static const struct ioctl_row rows[] = {
	IOCTL_ROW(CMD_VALUE, IOCTL_VALUE, 0, value, NULL),
	IOCTL_ROW(CMD_FIXED, IOCTL_FIXED, 8, fixed, NULL),
	IOCTL_ROW(CMD_SIZED, IOCTL_ARGSZ, sizeof(struct sized), sized, NULL),
	IOCTL_ROW(CMD_GATED, IOCTL_NONE, 0, value, NULL),
};

static const struct ioctl_table table = {
	.kind = "test", .rows = rows, .n_rows = 4, .gate = gate, .unknown = -ENOTTY};

static void release(struct file *f)
{
	released++;
}

static const struct file_ops ops = {.kind = "test", .ioctls = &table, .release = release};

static int open_test(void)
{
	int fd = file_install(&ops, NULL, O_CLOEXEC, 0);

	assert_true(fd >= 0);
	released = 0;
	return fd;
}

static void close_fd(int fd)
{
	fdtable_forget(fd);
	close(fd);
}

static bool ours(int fd)
{
	struct file *f = file_get(fd);

	if (f)
		file_put(f);
	return f != NULL;
}

static void test_duplicates_by_inode(void **state)
{
	int fd = open_test(), copy, sockets[2];
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {.iov_base = (char[1]){0}, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
	                     .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg;

	/* Nobody tells the table of this one: the inode does. */
	copy = dup(fd);
	assert_true(ours(copy));
	close_fd(fd);
	assert_int_equal(released, 0);
	assert_true(ours(copy));

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &copy, sizeof(int));
	assert_int_equal(sendmsg(sockets[0], &msg, 0), 1);
	assert_int_equal(recvmsg(sockets[1], &msg, 0), 1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	assert_true(ours(fd));
	close_fd(fd);
	close_fd(copy);
	assert_int_equal(released, 1);
	close(sockets[0]);
	close(sockets[1]);
}

static void test_foreign_and_private(void **state)
{
	int fd = open_test(), null = open("/dev/null", O_RDWR), private;

	assert_false(ours(null));
	assert_true(fdtable_foreign(null));
	private = hostfd_duplicate(null);
	assert_true(private > null);
	assert_true(fdtable_private(private));
	fdtable_forget_range(3, 10000);
	assert_true(fdtable_private(private));
	assert_int_equal(released, 1); /* the range covered fd, too */
	assert_false(ours(-1));
	assert_false(ours(1 << 30));
	hostfd_close(private);
	assert_false(fdtable_private(private));
	close(null);
	close(fd);
}

static void *hammer(void *arg)
{
	int fd = *(int *)arg;

	for (int i = 0; i < 200000; i++) {
		struct file *f = file_get(fd);

		if (f)
			file_put(f);
	}
	return NULL;
}

static void test_close_races_with_calls(void **state)
{
	pthread_t threads[2];
	int fd = open_test();

	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, hammer, &fd);
	for (int i = 0; i < 200; i++) {
		int again;

		close_fd(fd);
		again = file_install(&ops, NULL, 0, 0);
		assert_true(again >= 0);
		if (again != fd) {
			dup2(again, fd);
			close_fd(again);
			fdtable_forget(fd);
		}
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	close_fd(fd);
	fdtable_clear();
}

static long call(int fd, unsigned cmd, unsigned long arg)
{
	struct file *f = file_get(fd);
	long result;

	assert_non_null(f);
	result = ioctl_dispatch(fd, f, cmd, arg);
	file_put(f);
	return result;
}

static void test_rows(void **state)
{
	void *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sized s = {.argsz = sizeof(s)};
	uint64_t number = 21;
	int fd = open_test();

	assert_int_equal(call(fd, CMD_VALUE, 41), 42);
	assert_int_equal(call(fd, CMD_FIXED, (unsigned long)&number), 0);
	assert_int_equal(number, 42);
	assert_int_equal(call(fd, CMD_FIXED, 0), -EFAULT);
	assert_int_equal(call(fd, CMD_FIXED, (unsigned long)hole), -EFAULT);
	assert_int_equal(call(fd, CMD_FIXED, ~0UL - 3), -EFAULT);
	assert_int_equal(call(fd, CMD_SIZED, (unsigned long)&s), 0);
	assert_int_equal(s.flags, 7);
	s.argsz = sizeof(s) - 1;
	assert_int_equal(call(fd, CMD_SIZED, (unsigned long)&s), -EINVAL);
	assert_int_equal(call(fd, CMD_SIZED, 8), -EFAULT);
	assert_int_equal(call(fd, CMD_GATED, 0), -EPERM);
	assert_int_equal(call(fd, _IO('S', 99), 0), -ENOTTY);
	close_fd(fd);
	munmap(hole, 4096);
}

static void test_faults(void **state)
{
	char error[128];
	int fd = open_test();

	assert_int_equal(fault_add("CMD_VALUE:errno=ENOMEM,nth=2", error, sizeof(error)), 0);
	assert_int_equal(call(fd, CMD_VALUE, 1), 2);
	assert_int_equal(call(fd, CMD_VALUE, 1), -ENOMEM);
	assert_int_equal(call(fd, CMD_VALUE, 1), 2);
	fault_clear();
	assert_int_equal(fault_add("CMD_VALUE:errno=EIO,every=2,times=1", error, sizeof(error)), 0);
	assert_int_equal(call(fd, CMD_VALUE, 1), 2);
	assert_int_equal(call(fd, CMD_VALUE, 1), -EIO);
	assert_int_equal(call(fd, CMD_VALUE, 1), 2);
	assert_int_equal(call(fd, CMD_VALUE, 1), 2);
	fault_clear();
	close_fd(fd);
}

static const struct file_ops message_ops = {
	.kind = "test-messages",
	.ioctls = &table,
	.messages = true,
};

static short events_of(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};

	assert_true(poll(&p, 1, 0) >= 0);
	return p.revents;
}

static void test_polled(void **state)
{
	struct file *f;
	int fd;

	assert_int_equal(node_add("/dev/messages", &message_ops, NULL, 0), 0);
	fd = node_open("/dev/messages", O_RDWR);
	assert_true(fd >= 0);
	f = file_get(fd);
	assert_int_equal(events_of(fd), 0);
	for (int i = 0; i < 3; i++) {
		file_set_events(f, POLLIN);
		file_set_events(f, POLLIN);
		assert_int_equal(events_of(fd), POLLIN);
		file_set_events(f, POLLIN | POLLOUT);
		assert_int_equal(events_of(fd), POLLIN | POLLOUT);
		file_set_events(f, POLLOUT);
		assert_int_equal(events_of(fd), POLLOUT);
		file_set_events(f, 0);
		assert_int_equal(events_of(fd), 0);
	}
	file_put(f);
	fdtable_forget(fd);
	close(fd);
	node_clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_duplicates_by_inode),
		cmocka_unit_test(test_foreign_and_private),
		cmocka_unit_test(test_close_races_with_calls),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_polled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
