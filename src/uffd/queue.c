/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages, and who waits for them.
 *
 * For who waits by a system call, each message puts a byte into the pipe that the descriptor is
 * of.  That takes as much time as all else that a message does; so if a thread of this process
 * waits here, and looks for itself, nothing is put there.
 *
 * A reader that finds none sleeps on a futex, which restarts or is interrupted by signals as a
 * read(2) is.  It can be cancelled there, as a thread in read(2) can; then its clean-up handler
 * gives back what the call holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>

#include "core/fdtable.h"
#include "core/hostfd.h"
#include "core/placeholder.h"
#include "core/syscall.h"
#include "core/user.h"
#include "uffd/event.h"
#include "uffd/share.h"
#include "uffd/spin.h"

static void init(struct uffd_link *head)
{
	head->next = head->prev = head;
}

static struct uffd_message *first(const struct uffd_link *head)
{
	return head->next == head ? NULL : (struct uffd_message *)head->next;
}

static void append(struct uffd_link *head, struct uffd_link *link)
{
	link->next = head;
	link->prev = head->prev;
	head->prev->next = link;
	head->prev = link;
}

static void take_out(struct uffd_link *link)
{
	link->next->prev = link->prev;
	link->prev->next = link->next;
	link->next = link->prev = NULL;
}

void uffd_queue_init(struct uffd *u)
{
	init(&u->pending);
	init(&u->read);
	init(&u->events);
}

static void show(struct uffd *u);

/* Without the lock: a reader hears of a message. */
static void tell(void *context)
{
	struct uffd *u = context;

	atomic_fetch_add(&u->told, 1);
	if (atomic_load(&u->readers))
		host_syscall(SYS_futex, &u->arrivals, FUTEX_WAKE_PRIVATE, 1);
}

/* The same, and its byte. */
static void tell_all(void *context)
{
	struct uffd *u = context;
	uint64_t signals;

	placeholder_pipe_fill(u->peer);
	if (atomic_load(&u->stale)) {
		memory_lock(&signals);
		show(u);
		memory_unlock(&signals);
	}
	tell(u);
}

/* Whether there are threads that take what is there without a byte. */
static bool leave_to_takers(struct uffd *u)
{
	uint32_t takers = atomic_load(&u->takers);

	while (takers & ~UFFD_QUIET)
		if (atomic_compare_exchange_weak(&u->takers, &takers, takers | UFFD_QUIET))
			return true;
	return false;
}

static void announce(struct uffd *u)
{
	if (!u->bytes && leave_to_takers(u)) {
		memory_later(tell, u);
		return;
	}
	atomic_fetch_and(&u->takers, ~UFFD_QUIET);
	u->bytes++;
	memory_later_blocked(tell_all, u);
}

/*
 * Messages have gone.  Bytes that go with them may be on their way yet: then whoever writes the
 * last one comes here again.  What is left may be without any.
 */
static void show(struct uffd *u)
{
	if (first(&u->pending) || first(&u->events)) {
		if (!u->bytes)
			announce(u);
		return;
	}
	atomic_store(&u->readable, false);
	atomic_fetch_and(&u->takers, ~UFFD_QUIET);
	atomic_store(&u->stale, u->bytes != 0);
	if (!u->bytes)
		return;
	u->bytes -= placeholder_pipe_empty(u->self, u->peer);
	atomic_store(&u->stale, u->bytes != 0);
}

void uffd_queue_add(struct uffd *u, struct uffd_link *queue, struct uffd_message *m)
{
	append(queue, &m->link);
	atomic_store(&u->readable, true);
	atomic_fetch_add(&u->arrivals, 1);
	announce(u);
}

void uffd_queue_withdraw(struct uffd *u, struct uffd_message *m)
{
	if (!m->link.next)
		return;
	take_out(&m->link);
	show(u);
}

/* A place for a fault is never unmapped; who waits there for another one by now looks again. */
static void wake(void *waiting)
{
	host_syscall(SYS_futex, waiting, FUTEX_WAKE_PRIVATE, INT_MAX);
}

void uffd_queue_complete(struct uffd *u, struct uffd_message *m)
{
	uffd_queue_withdraw(u, m);
	switch (atomic_exchange(&m->waiting, 0)) {
	case UFFD_ASLEEP:
		memory_later(wake, &m->waiting);
		break;
	case UFFD_POLLING:
		memory_later(uffd_waiter_wake, m);
		break;
	}
}

static void wake_in(struct uffd *u, struct uffd_link *queue, uint64_t start, uint64_t size)
{
	struct uffd_link *link = queue->next, *next;

	for (; link != queue; link = next) {
		struct uffd_message *m = (struct uffd_message *)link;

		next = link->next;
		if (!size || m->message.arg.pagefault.address - start < size)
			uffd_queue_complete(u, m);
	}
}

void uffd_wake(struct uffd *u, uint64_t start, uint64_t size)
{
	wake_in(u, &u->pending, start, size);
	wake_in(u, &u->read, start, size);
	/* Who waits in the kernel, for a page that is still missing, asks again. */
	watch_look();
}

static unsigned long length(const struct uffd_link *head)
{
	unsigned long n = 0;

	for (const struct uffd_link *link = head->next; link != head; link = link->next)
		n++;
	return n;
}

void uffd_queue_count(const struct uffd *u, unsigned long *ret_pending, unsigned long *ret_read)
{
	*ret_pending = length(&u->pending);
	*ret_read = length(&u->read);
}

/* ---- reading ---- */

/* An event is done with as soon as it has been read; if there is no descriptor, it stays. */
static long take_event(struct uffd *u, struct uffd_event *e, int *ret_descriptor)
{
	int command = u->flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD;

	if (e->descriptor >= 0) {
		*ret_descriptor = (int)host_syscall(SYS_fcntl, e->descriptor, command, 0);
		if (*ret_descriptor < 0) {
			show(u);
			return *ret_descriptor;
		}
	}
	uffd_event_complete(e);
	return 0;
}

long uffd_take(struct uffd *u, struct uffd_msg *message, int *ret_descriptor)
{
	struct uffd_message *m;
	long ret = 0;

	*ret_descriptor = -1;
	while ((m = first(&u->pending)) && atomic_load(&m->waiting) != UFFD_KERNEL &&
	       !uffd_waiter_is_there(m))
		uffd_queue_withdraw(u, m);
	if (m) {
		take_out(&m->link);
		append(&u->read, &m->link);
		show(u);
	} else if ((m = first(&u->events))) {
		ret = take_event(u, (struct uffd_event *)m, ret_descriptor);
	}
	if (m)
		*message = m->message;
	return m ? ret : -EAGAIN;
}

/* The new context's descriptor, for the thread that has read of it. */
static long deliver(int fd, struct uffd_msg *message)
{
	long ret;

	fdtable_forget(fd);
	ret = uffd_remote_install(fd);
	message->arg.fork.ufd = (uint32_t)fd;
	if (ret < 0)
		host_close(fd);
	return ret;
}

/* A thread that is cancelled: its call ends here, and the call's reference with it. */
static void cancelled(void *file)
{
	struct file *f = file;
	struct uffd *u = f->priv;
	uint64_t signals;

	atomic_fetch_sub(&u->readers, 1);
	atomic_fetch_sub(&u->takers, 1);
	memory_lock(&signals);
	show(u);
	memory_unlock(&signals);
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

_Atomic int uffd_reader_cpu = -1;
static struct uffd_spin reader_spin;

static unsigned reader_time(void)
{
	uffd_spin_here(&uffd_reader_cpu);
	return uffd_spin_time(&reader_spin, &uffd_faulter_cpu);
}

/*
 * Until there is a message, or there may be: 0 or -EINTR.  With `time` no longer than that.  It is
 * a taker before it looks a last time, and `readable` is set before takers are counted.
 */
static long wait_for_message(struct file *f, unsigned time)
{
	struct uffd *u = f->priv;
	uint32_t told = atomic_load(&u->told), arrivals = atomic_load(&u->arrivals);
	long ret = 0;

	atomic_fetch_add(&u->takers, 1);
	atomic_fetch_add(&u->readers, !time);
	if (atomic_load(&u->readable))
		;
	else if (time)
		uffd_spin(&reader_spin, time, &u->told, told);
	else
		ret = sleep_until(u, f, arrivals);
	atomic_fetch_sub(&u->readers, !time);
	atomic_fetch_sub(&u->takers, 1);
	return ret;
}

/* The next message, when there is one or, with `may_wait`, will be; or -errno. */
static long next(struct file *f, bool may_wait, struct uffd_msg *message)
{
	struct uffd *u = f->priv;
	long ret = atomic_load(&u->readable) ? 0 : -EAGAIN, interrupted = 0;
	bool waited = false;
	uint64_t signals;
	int fd;

	do {
		if (ret == -EAGAIN) {
			if (interrupted || !may_wait || !uffd_blocks(f))
				return interrupted ? interrupted : -EAGAIN;
			interrupted = wait_for_message(f, waited ? 0 : reader_time());
			waited = true;
		}
		memory_lock(&signals);
		ret = uffd_take(u, message, &fd);
		memory_unlock(&signals);
	} while (ret == -EAGAIN);
	return fd >= 0 ? deliver(fd, message) : ret;
}

bool uffd_poll(struct uffd *u, bool waits)
{
	uint32_t told = atomic_load(&u->told);
	unsigned time = waits && !atomic_load(&u->readable) ? reader_time() : 0;

	if (!time)
		return atomic_load(&u->takers) & UFFD_QUIET;
	atomic_fetch_add(&u->takers, 1);
	uffd_spin(&reader_spin, time, &u->told, told);
	return atomic_fetch_sub(&u->takers, 1) & UFFD_QUIET;
}

ssize_t uffd_read(struct file *f, void *buffer, size_t size, off_t offset)
{
	struct uffd_msg message;
	size_t done = 0;
	long ret = -EINVAL;

	uffd_spin_here(&uffd_reader_cpu);
	while (size - done >= sizeof(message)) {
		ret = next(f, !done, &message);
		if (ret == 0 && copy_to_user((char *)buffer + done, &message, sizeof(message)))
			ret = -EFAULT;
		if (ret)
			break;
		done += sizeof(message);
	}
	return done ? (ssize_t)done : ret;
}
