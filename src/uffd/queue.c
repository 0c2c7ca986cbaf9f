/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages, and who waits for them.
 *
 * A reader that finds none sleeps on a futex, which restarts or is interrupted by signals as a
 * read(2) is.  It can be cancelled there, as a thread in read(2) can; then nobody but its
 * clean-up handler gives back what it holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>

#include "core/placeholder.h"
#include "core/syscall.h"
#include "core/user.h"
#include "uffd/uffd.h"

static void init(struct uffd_link *head)
{
	head->next = head->prev = head;
}

static bool is_empty(const struct uffd_link *head)
{
	return head->next == head;
}

void uffd_queue_init(struct uffd *u)
{
	init(&u->pending);
	init(&u->read);
	init(&u->events);
}

/* ---- reading ---- */

/* The next message, or -EAGAIN. */
static long take(struct uffd *u, struct uffd_msg *message)
{
	(void)message;
	return is_empty(&u->pending) && is_empty(&u->events) ? -EAGAIN : 0;
}

static void stop_reading(struct uffd *u)
{
	uint64_t signals;

	memory_lock(&signals);
	u->readers--;
	memory_unlock(&signals);
}

/* A thread that is cancelled: its call ends here, and the call's reference with it. */
static void cancelled(void *file)
{
	struct file *f = file;

	stop_reading(f->priv);
	file_put(f);
}

static long sleep_until(struct uffd *u, struct file *f, uint32_t arrivals)
{
	int type;
	long ret;

	pthread_cleanup_push(cancelled, f);
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	ret = host_syscall(SYS_futex, &u->arrivals, FUTEX_WAIT_PRIVATE, arrivals, NULL);
	pthread_setcanceltype(type, NULL);
	pthread_cleanup_pop(0);
	return ret == -EAGAIN ? 0 : ret;
}

/* The next message, when there is one, or -errno. */
static long next(struct file *f, bool wait, struct uffd_msg *message)
{
	struct uffd *u = f->priv;
	uint64_t signals;
	uint32_t arrivals;
	long ret;

	for (;;) {
		memory_lock(&signals);
		ret = take(u, message);
		arrivals = atomic_load(&u->arrivals);
		if (ret == -EAGAIN && wait)
			u->readers++;
		memory_unlock(&signals);
		if (ret != -EAGAIN || !wait)
			return ret;
		ret = sleep_until(u, f, arrivals);
		stop_reading(u);
		if (ret)
			return ret;
	}
}

ssize_t uffd_read(struct file *f, void *buffer, size_t size, off_t offset)
{
	bool wait = !(host_syscall(SYS_fcntl, f->self, F_GETFL) & O_NONBLOCK);
	struct uffd_msg message;
	size_t done = 0;
	long ret = -EINVAL;

	while (size - done >= sizeof(message)) {
		ret = next(f, wait && !done, &message);
		if (ret == 0 && copy_to_user((char *)buffer + done, &message, sizeof(message)))
			ret = -EFAULT;
		if (ret)
			break;
		done += sizeof(message);
	}
	return done ? (ssize_t)done : ret;
}
