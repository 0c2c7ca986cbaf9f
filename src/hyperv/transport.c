/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's file: one open at a time, one message to be read, and writes that are judged at
 * once.  A read waits even with O_NONBLOCK, what is too short for the message gets EINVAL and
 * the message stays, and poll never says that it can be written to, though it always can.
 *
 * The lock in the run's directory keeps the other processes of the run away.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "core/claim.h"
#include "core/hostfd.h"
#include "core/instance.h"
#include "core/syscall.h"
#include "core/user.h"
#include "hyperv/hyperv.h"

#define WRITE_MAX (4u << 20) /* what the kernel's allocator gives at once */

/* ---- messages for the daemon ---- */

/*
 * To make the placeholder readable and unreadable again takes two system calls.  A daemon of one
 * thread that polls, or waits in read, does without: when it comes to do so the message is there.
 * Whoever else waits, or may, has to be woken.
 */
static void share(struct hyperv_service *s)
{
	if (s->shared)
		return;
	s->shared = true;
	file_set_events(s->file, s->message_size ? POLLIN : 0);
}

/* All calls begin with this. */
static void note_call(struct hyperv_service *s, bool asks)
{
	pthread_t self = pthread_self();

	if (!s->called)
		s->caller = self;
	s->called = true;
	if (!pthread_equal(s->caller, self) || user_client.pid)
		share(s);
	s->asks |= asks && file_polls_ask;
}

static bool is_callers_own(const struct hyperv_service *s)
{
	return s->asks && !s->shared && pthread_equal(s->caller, pthread_self());
}

int hyperv_send(struct hyperv_service *s, const void *message, size_t size,
		void (*on_read)(struct hyperv_service *s))
{
	if (s->mode != HYPERV_OPEN)
		return -EINVAL;
	if (s->message_size)
		return -EFAULT;
	memcpy(s->message, message, size);
	s->message_size = size;
	s->on_read = on_read;
	if (!is_callers_own(s))
		file_set_events(s->file, POLLIN);
	return 0;
}

static void drop_message(struct hyperv_service *s)
{
	s->message_size = 0;
	s->on_read = NULL;
	file_set_events(s->file, 0);
}

/* ---- the file's operations ---- */

static int take(struct hyperv_service *s, struct file *f)
{
	char name[32];
	int ret;

	if (s->mode == HYPERV_REMOVED)
		return -EBADF;
	if (s->mode == HYPERV_OPEN)
		return -EBUSY;
	snprintf(name, sizeof(name), "hyperv-%s", s->kind->name);
	ret = claim_take(name, &s->claim);
	if (ret < 0)
		return ret;
	s->mode = HYPERV_OPEN;
	s->file = f;
	s->called = s->asks = s->shared = false;
	return 0;
}

void hyperv_remove(struct hyperv_service *s)
{
	if (s->mode != HYPERV_OPEN)
		return;
	hyperv_disarm(s);
	s->state = HYPERV_DYING;
	hyperv_disconnect(s);
	s->mode = HYPERV_REMOVED;
	file_hang_up(s->file);
}

void hyperv_suspend(struct hyperv_service *s)
{
	if (s->mode != HYPERV_OPEN || s->suspended)
		return;
	s->suspended = true;
	s->kind->suspend(s);
	hyperv_disconnect(s);
}

void hyperv_resume(struct hyperv_service *s)
{
	s->suspended = false;
	hyperv_receive(s);
}

void hyperv_forget(struct hyperv_service *s)
{
	pthread_mutex_init(&s->lock, NULL);
	hyperv_forget_connections(s);
	hostfd_close(s->claim); /* not dropped: it is the parent's */
	s->claim = -1;
	s->mode = HYPERV_CLOSED;
	s->state = HYPERV_INIT;
	s->message_size = 0;
	s->file = NULL;
	s->deadline = 0;
	s->receiving = false;
}

int hyperv_open(struct file *f, void *context)
{
	struct hyperv_service *s = context;
	int ret = hyperv_loop_start();

	if (ret < 0)
		return ret;
	f->priv = s;
	pthread_mutex_lock(&s->lock);
	ret = take(s, f);
	pthread_mutex_unlock(&s->lock);
	if (ret == 0)
		control_start();
	return ret;
}

void hyperv_release(struct file *f)
{
	struct hyperv_service *s = f->priv;

	pthread_mutex_lock(&s->lock);
	drop_message(s);
	s->mode = HYPERV_CLOSED;
	s->kind->reset(s);
	hyperv_listen(s);
	s->file = NULL;
	claim_drop(s->claim);
	s->claim = -1;
	pthread_mutex_unlock(&s->lock);
}

/* For the placeholder to be readable, or to be hung up; a signal ends it. */
static int wait_for_message(const struct file *f)
{
	struct pollfd wait = {.fd = f->self, .events = POLLIN};
	long ret = host_syscall(SYS_ppoll, &wait, 1, NULL, NULL, 0);

	return ret < 0 ? -EINTR : 0;
}

static ssize_t read_message(struct hyperv_service *s, void *buffer, size_t size)
{
	void (*on_read)(struct hyperv_service *) = s->on_read;
	ssize_t ret;

	if (s->mode == HYPERV_REMOVED)
		return -EBADF;
	if (size < s->message_size)
		return -EINVAL;
	ret = (ssize_t)s->message_size;
	if (copy_to_user(buffer, s->message, s->message_size))
		ret = -EFAULT;
	drop_message(s); /* whether or not it could be copied */
	if (on_read)
		on_read(s);
	return ret;
}

ssize_t hyperv_read(struct file *f, void *buffer, size_t size, off_t offset)
{
	struct hyperv_service *s = f->priv;
	ssize_t ret = 0;

	pthread_mutex_lock(&s->lock);
	note_call(s, !s->message_size);
	while (!s->message_size && s->mode == HYPERV_OPEN && ret == 0) {
		pthread_mutex_unlock(&s->lock);
		ret = wait_for_message(f);
		pthread_mutex_lock(&s->lock);
	}
	if (ret == 0)
		ret = read_message(s, buffer, size);
	pthread_mutex_unlock(&s->lock);
	return ret;
}

ssize_t hyperv_write(struct file *f, const void *buffer, size_t size, off_t offset)
{
	struct hyperv_service *s = f->priv;
	uint8_t message[sizeof(struct hv_kvp_msg)];
	size_t kept = size < s->kind->kept ? size : s->kind->kept;
	int ret;

	if (size > WRITE_MAX)
		return -ENOMEM;
	if (copy_from_user(message, buffer, kept) ||
	    (size > kept && user_touch((const char *)buffer + kept, size - kept, false)))
		return -EFAULT;
	pthread_mutex_lock(&s->lock);
	note_call(s, false);
	ret = s->mode == HYPERV_REMOVED ? -EBADF : s->kind->written(s, message, size);
	if (ret == 0)
		hyperv_await(s);
	pthread_mutex_unlock(&s->lock);
	return ret < 0 ? ret : (ssize_t)size;
}

short hyperv_polled(struct file *f, short events, bool waits)
{
	struct hyperv_service *s = f->priv;
	short more = 0;

	pthread_mutex_lock(&s->lock);
	note_call(s, events & POLLIN);
	if (!(events & POLLIN))
		share(s);
	else if (s->message_size && s->mode == HYPERV_OPEN)
		more = POLLIN;
	pthread_mutex_unlock(&s->lock);
	return more;
}
