/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Three ways to the client's memory: the guarded copy where a fault handler is in place,
 * process_vm_readv on ourselves where none is, and process_vm_readv on another process for
 * a forwarded call.
 */
#include "core/user.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/file.h"
#include "core/hostfd.h"
#include "core/syscall.h"

__thread struct user_client user_client __attribute__((tls_model("initial-exec"))) = {0, -1};

#define PAGE 4096u

/* Places handed to the kernel at once. */
#define VECTOR 64u

static guarded_copy_fn *guarded_copy;
static guarded_copies_fn *guarded_copies;
static guarded_or_fn *guarded_or;

void user_set_guarded_copy(guarded_copy_fn *copy)
{
	guarded_copy = copy;
}

void user_set_guarded_copies(guarded_copies_fn *copy)
{
	guarded_copies = copy;
}

void user_set_guarded_or(guarded_or_fn * or)
{
	guarded_or = or ;
}

int user_touch(const void *address, size_t size, bool write)
{
	const char *at = address, *end = (const char *)((uintptr_t)address + size);
	char byte;

	if (write && !user_client.pid && !guarded_or) {
		at = (const char *)((uintptr_t)at & ~(uintptr_t)(PAGE - 1));
		return host_syscall(SYS_madvise, at, end - at, MADV_POPULATE_WRITE) < 0 ? -EFAULT
											: 0;
	}
	for (; at < end; at = (const char *)(((uintptr_t)at | (PAGE - 1)) + 1))
		if (write && guarded_or && !user_client.pid
			    ? guarded_or((uint8_t *)(uintptr_t)at, 0) != 0
			    : copy_from_user(&byte, at, 1) < 0)
			return -EFAULT;
	return 0;
}

int user_or(uint8_t *byte, uint8_t bits)
{
	if (guarded_or)
		return guarded_or(byte, bits) ? -EFAULT : 0;
	if (user_touch(byte, 1, true))
		return -EFAULT;
	__atomic_fetch_or(byte, bits, __ATOMIC_RELEASE);
	return 0;
}

static int copy_by_kernel(long number, pid_t pid, void *here, const void *there, size_t size)
{
	struct iovec local = {.iov_base = here, .iov_len = size};
	struct iovec remote = {.iov_base = (void *)(uintptr_t)there, .iov_len = size};

	if (!pid)
		pid = (pid_t)host_syscall(SYS_getpid);
	return host_syscall(number, pid, &local, 1, &remote, 1, 0) == (long)size ? 0 : -EFAULT;
}

void user_allow(pid_t pid)
{
	static _Atomic pid_t allowed, by; /* a fork leaves nothing of it */
	pid_t self = (pid_t)host_syscall(SYS_getpid), before = 0;
	bool first = atomic_exchange(&by, self) != self;

	if (pid <= 0)
		return;
	if (first)
		atomic_store(&allowed, 0);
	if (!atomic_compare_exchange_strong(&allowed, &before, pid) && before != pid)
		atomic_store(&allowed, -1);
	if (before == 0 || before == pid)
		host_syscall(SYS_prctl, PR_SET_PTRACER, pid);
	else
		host_syscall(SYS_prctl, PR_SET_PTRACER, PR_SET_PTRACER_ANY);
}

int copy_guarded(void *to, const void *from, size_t size)
{
	if (size == 0)
		return 0;
	if (guarded_copy)
		return guarded_copy(to, from, size) ? -EFAULT : 0;
	return copy_by_kernel(SYS_process_vm_readv, 0, to, from, size);
}

/* At most VECTOR copies by one system call, which stops at a fault. */
static unsigned copies_by_kernel(const struct user_copy *copies, unsigned n)
{
	struct iovec local[VECTOR], remote[VECTOR];
	unsigned done = 0;
	long left;

	for (unsigned i = 0; i < n; i++) {
		local[i] = (struct iovec){copies[i].to, copies[i].size};
		remote[i] = (struct iovec){(void *)(uintptr_t)copies[i].from, copies[i].size};
	}
	left = host_syscall(SYS_process_vm_readv, host_syscall(SYS_getpid), local, n, remote, n, 0);
	while (left > 0 && done < n && (size_t)left >= copies[done].size)
		left -= (long)copies[done++].size;
	return done;
}

unsigned copy_guarded_many(const struct user_copy *copies, unsigned n)
{
	unsigned done = 0;

	if (guarded_copies)
		return guarded_copies(copies, n);
	while (done < n) {
		unsigned part = n - done < VECTOR ? n - done : VECTOR, result;

		if (guarded_copy) {
			if (guarded_copy(copies[done].to, copies[done].from, copies[done].size))
				break;
			done++;
			continue;
		}
		result = copies_by_kernel(copies + done, part);
		done += result;
		if (result < part)
			break;
	}
	return done;
}

int copy_from_user(void *to, const void *from, size_t size)
{
	if (size == 0)
		return 0;
	if (guarded_copy && !user_client.pid)
		return guarded_copy(to, from, size) ? -EFAULT : 0;
	return copy_by_kernel(SYS_process_vm_readv, user_client.pid, to, from, size);
}

/*
 * What the kernel leaves behind when it can't write all: everything before the first page that
 * can't be written.  A guarded copy does not say, or keep to an order, so page after page.
 */
static void copy_until_fault(char *to, const char *from, size_t size)
{
	while (size) {
		size_t part = PAGE - ((uintptr_t)to & (PAGE - 1));

		if (part > size)
			part = size;
		if (guarded_copy(to, from, part))
			return;
		to += part;
		from += part;
		size -= part;
	}
}

int copy_to_user(void *to, const void *from, size_t size)
{
	if (size == 0)
		return 0;
	if (!guarded_copy || user_client.pid)
		return copy_by_kernel(SYS_process_vm_writev, user_client.pid,
				      (void *)(uintptr_t)from, to, size);
	if (guarded_copy(to, from, size) == 0)
		return 0;
	copy_until_fault(to, from, size);
	return -EFAULT;
}

ssize_t copy_string_from_user(char *to, const char *from, size_t max)
{
	/* By the byte: not one after the string's end may be touched, and strings are short. */
	for (size_t length = 0; length < max; length++) {
		if (copy_from_user(to + length, from + length, 1) < 0)
			return -EFAULT;
		if (to[length] == '\0')
			return (ssize_t)length;
	}
	return -EINVAL;
}

int user_fd_take(int fd)
{
	long taken;

	if (!user_client.pid)
		return hostfd_duplicate(fd);
	taken = host_syscall(SYS_pidfd_getfd, user_client.pidfd, fd, 0);
	return taken < 0 ? (int)taken : hostfd_adopt((int)taken);
}

struct file *user_file_get(int fd)
{
	struct file *f;
	int taken;

	if (!user_client.pid)
		return file_get(fd);
	taken = user_fd_take(fd);
	if (taken < 0)
		return NULL;
	/* Private slots answer no file: look it up by inode. */
	f = file_get_by_inode(taken);
	hostfd_close(taken);
	return f;
}
