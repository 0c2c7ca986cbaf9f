/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The agent's loop: waits for the devices, the keeper, signals and times, and hands what comes to
 * the services.  All of them are of one thread.  None of them waits for anything but the disk.
 *
 * While file systems are frozen nothing may be written, so key-value pairs are kept in memory, and
 * what the host wants of a file copy is kept until they are thawed.  The device is read all the
 * same, because the kernel fails every further request as long as one has not been read.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/clock.h"
#include "agent/fcopy.h"
#include "agent/kvp.h"
#include "agent/link.h"
#include "agent/log.h"
#include "agent/notify.h"
#include "agent/uio.h"
#include "agent/vss.h"

/* More than any message: the kernel keeps one that is longer than what is read. */
#define MESSAGE_MAX 65536u

struct agent {
	const struct agent_options *options;
	int signals;
	sigset_t taken, old;
	struct link kvp_link, vss_link, fcopy_link;
	struct kvp kvp;
	struct vss vss;
	struct fcopy fcopy;
	struct uio uio; /* of fcopy_link, unless that is a device of messages */
	bool more;      /* there may be packets in its ring */
	bool frozen, ready, stop;
	int status;
	_Alignas(8) uint8_t message[MESSAGE_MAX];

	/* For after the thaw: a message about a copy, and that one will not go on. */
	bool cancel;
	size_t kept_size;
	_Alignas(8) uint8_t kept[MESSAGE_MAX];
};

static void hold_writes(struct agent *a, bool hold)
{
	if (a->options->kvp && hold != a->frozen)
		kvp_hold(&a->kvp, hold);
	a->frozen = hold;
}

/* ---- opening and closing ---- */

static int open_device(const struct agent *a, const char *path)
{
	int fd = a->options->open_device ? a->options->open_device(path)
					 : open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static void failed(struct agent *a, struct link *l, int error)
{
	if (l == &a->kvp_link)
		kvp_forget(&a->kvp);
	if (l == &a->vss_link)
		vss_forget(&a->vss);
	if (l == &a->fcopy_link) {
		uio_close(&a->uio);
		a->more = false;
		a->kept_size = 0;
		if (a->frozen)
			a->cancel = true;
		else
			fcopy_cancel(&a->fcopy);
	}
	link_failed(l, error);
	if (a->options->once) {
		a->stop = true;
		a->status = 1;
	}
}

/* A device of messages, and the first of them. */
static void register_with(struct agent *a, struct link *l, const char *path, const void *hello,
			  size_t size)
{
	int fd = open_device(a, path);
	ssize_t n;

	if (fd < 0) {
		failed(a, l, fd);
		return;
	}
	link_opened(l, fd);
	n = write(fd, hello, size);
	if (n != (ssize_t)size)
		failed(a, l, n < 0 ? -errno : -EIO);
}

static void open_kvp(struct agent *a)
{
	static const struct hv_kvp_msg hello = {.kvp_hdr.operation = KVP_OP_REGISTER1};

	register_with(a, &a->kvp_link, HYPERV_KVP_PATH, &hello, sizeof(hello));
}

static void open_vss(struct agent *a)
{
	static const struct hv_vss_msg hello = {.vss_hdr.operation = VSS_OP_REGISTER1};

	register_with(a, &a->vss_link, HYPERV_VSS_PATH, &hello, sizeof(hello));
}

/* The channel itself, or the device of messages: a kernel has one of the two. */
static void open_fcopy(struct agent *a)
{
	static const uint32_t hello = FCOPY_CURRENT_VERSION;
	int ret = uio_open(&a->uio, a->options->open_device);

	if (ret == 0) {
		link_opened(&a->fcopy_link, a->uio.fd);
		link_greeted(&a->fcopy_link);
		log_line(LOG_INFO, "fcopy: ready, on the channel's ring");
		return;
	}
	if (ret == -ENOENT)
		register_with(a, &a->fcopy_link, HYPERV_FCOPY_PATH, &hello, sizeof(hello));
	else
		failed(a, &a->fcopy_link, ret);
}

/* ---- messages ---- */

static void send_answer(struct agent *a, struct link *l, const void *answer, size_t size)
{
	ssize_t n;

	if (l->fd < 0)
		return;
	n = write(l->fd, answer, size);
	/* Also what comes too late, or after a suspend, is refused. */
	if (n != (ssize_t)size)
		failed(a, l, n < 0 ? -errno : -EIO);
}

/* The next message; its size, or 0. */
static size_t receive(struct agent *a, struct link *l)
{
	ssize_t n = read(l->fd, a->message, sizeof(a->message));

	if (n > 0)
		return (size_t)n;
	if (n == 0 || (errno != EINTR && errno != EAGAIN))
		failed(a, l, n < 0 ? -errno : -EBADF);
	return 0;
}

static void serve_kvp(struct agent *a)
{
	struct hv_kvp_msg *m = (struct hv_kvp_msg *)a->message;
	size_t size = receive(a, &a->kvp_link);

	if (size == 0)
		return;
	if (size != sizeof(*m)) {
		failed(a, &a->kvp_link, -EPROTO);
		return;
	}
	if (!a->kvp_link.greeted && m->kvp_hdr.operation == KVP_OP_REGISTER1) {
		link_greeted(&a->kvp_link);
		kvp_registered(&a->kvp, m);
		return;
	}
	if (kvp_answer(&a->kvp, m))
		send_answer(a, &a->kvp_link, m, sizeof(*m));
}

static void serve_vss(struct agent *a)
{
	struct hv_vss_msg *m = (struct hv_vss_msg *)a->message;
	size_t size = receive(a, &a->vss_link);

	if (size == 0)
		return;
	if (!a->vss_link.greeted && size == sizeof(uint32_t)) {
		link_greeted(&a->vss_link);
		log_line(LOG_INFO, "vss: registered");
	} else if (size != sizeof(*m)) {
		failed(a, &a->vss_link, -EPROTO);
	} else {
		/* What the host has set already is to be in its backup. */
		hold_writes(a, true);
		if (vss_answer(&a->vss, m))
			send_answer(a, &a->vss_link, m, sizeof(*m));
	}
}

static void answer_fcopy(struct agent *a, const void *message, size_t size)
{
	uint32_t status = fcopy_message(&a->fcopy, message, size, false);

	send_answer(a, &a->fcopy_link, &status, sizeof(status));
	fcopy_settle(&a->fcopy);
}

static void serve_ring(struct agent *a, bool readable)
{
	int ret = uio_serve(&a->uio, &a->fcopy, readable);

	a->more = ret > 0;
	if (ret < 0)
		failed(a, &a->fcopy_link, ret);
}

static void serve_fcopy(struct agent *a)
{
	size_t size;

	size = receive(a, &a->fcopy_link);
	if (size == 0)
		return;
	if (!a->fcopy_link.greeted && size == sizeof(uint32_t)) {
		link_greeted(&a->fcopy_link);
		log_line(LOG_INFO, "fcopy: registered");
	} else if (a->frozen) {
		/* A second one: the kernel does not wait for an answer to the first any more. */
		memcpy(a->kept, a->message, size);
		a->kept_size = size;
	} else {
		answer_fcopy(a, a->message, size);
	}
}

static void go_on_with_copies(struct agent *a)
{
	size_t size = a->kept_size;

	if (a->cancel)
		fcopy_cancel(&a->fcopy);
	a->cancel = false;
	a->kept_size = 0;
	if (size)
		answer_fcopy(a, a->kept, size);
}

static void serve_keeper(struct agent *a)
{
	struct hv_vss_msg m;

	if (vss_heard(&a->vss, &m))
		send_answer(a, &a->vss_link, &m, sizeof(m));
}

static void reap(struct agent *a)
{
	int status;

	/* The keeper is waited for when it has said what it has to say. */
	if (a->kvp.script && waitpid(a->kvp.script, &status, WNOHANG) > 0 &&
	    kvp_script_ended(&a->kvp, status))
		send_answer(a, &a->kvp_link, &a->kvp.waiting, sizeof(a->kvp.waiting));
}

static void serve_signals(struct agent *a)
{
	struct signalfd_siginfo s;

	if (read(a->signals, &s, sizeof(s)) != sizeof(s))
		return;
	if (s.ssi_signo == SIGCHLD) {
		reap(a);
		return;
	}
	log_line(LOG_INFO, "ended by signal %u", s.ssi_signo);
	a->stop = true;
}

/* ---- the loop ---- */

static void tick(struct agent *a)
{
	int64_t now = clock_now();

	if (a->options->kvp && kvp_tick(&a->kvp))
		send_answer(a, &a->kvp_link, &a->kvp.waiting, sizeof(a->kvp.waiting));
	if (now >= a->kvp_link.due)
		open_kvp(a);
	if (now >= a->vss_link.due)
		open_vss(a);
	if (now >= a->fcopy_link.due)
		open_fcopy(a);
}

static int64_t due(const struct agent *a)
{
	int64_t at =
		clock_earlier(a->kvp_link.due, clock_earlier(a->vss_link.due, a->fcopy_link.due));

	return a->options->kvp ? clock_earlier(at, kvp_due(&a->kvp)) : at;
}

/* What depends on whether something is frozen, and on how many are registered. */
static void follow_state(struct agent *a)
{
	hold_writes(a, vss_is_frozen(&a->vss));
	if (!a->frozen)
		go_on_with_copies(a);
	/* Once: systemd waits for it; a service whose device is not there must not hold it up. */
	if (!a->ready && (a->kvp_link.greeted || a->kvp_link.fd < 0) &&
	    (a->vss_link.greeted || a->vss_link.fd < 0) &&
	    (a->fcopy_link.greeted || a->fcopy_link.fd < 0)) {
		a->ready = true;
		notify("READY=1\n");
	}
}

/* Packets of copies stay in the ring while nothing may be written. */
static bool waits_for_ring(const struct agent *a)
{
	return a->uio.fd >= 0 && !a->frozen;
}

static void wait_and_serve(struct agent *a)
{
	bool more = a->more && waits_for_ring(a);
	struct pollfd p[] = {
		{.fd = a->signals, .events = POLLIN},
		{.fd = a->vss.keeper, .events = POLLIN},
		{.fd = a->vss_link.fd, .events = POLLIN},
		{.fd = a->kvp_link.fd, .events = POLLIN},
		{.fd = a->uio.fd < 0 || waits_for_ring(a) ? a->fcopy_link.fd : -1,
		 .events = POLLIN},
	};
	int64_t at = more ? 0 : due(a), left = at == CLOCK_NEVER ? 0 : at - clock_now();
	struct timespec wait = {0};

	if (left > 0) {
		wait.tv_sec = left / CLOCK_SECOND;
		wait.tv_nsec = left % CLOCK_SECOND;
	}
	if (ppoll(p, 5, at == CLOCK_NEVER ? NULL : &wait, NULL) < 0)
		return;
	if (p[0].revents)
		serve_signals(a);
	if (p[1].revents)
		serve_keeper(a);
	/* One before may have closed or opened it. */
	if (p[2].revents && a->vss_link.fd == p[2].fd) {
		serve_vss(a);
		follow_state(a);
	}
	if (p[3].revents && a->kvp_link.fd == p[3].fd)
		serve_kvp(a);
	if (a->fcopy_link.fd != p[4].fd)
		return;
	if (waits_for_ring(a) && (p[4].revents || more))
		serve_ring(a, p[4].revents);
	else if (a->uio.fd < 0 && p[4].revents)
		serve_fcopy(a);
}

/* Blocks and takes signals, of which the descriptor tells some. */
static int take_signals(struct agent *a)
{
	sigset_t *set = &a->taken;

	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGCHLD);
	a->signals = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
	/* These are of no interest: a write fails, and a lease is given back at once anyway. */
	sigaddset(set, SIGPIPE);
	sigaddset(set, SIGXFSZ);
	sigaddset(set, SIGIO);
	sigprocmask(SIG_BLOCK, set, &a->old);
	return a->signals;
}

/* What still waits would end the process in its way as soon as it may. */
static void give_back_signals(struct agent *a)
{
	while (sigtimedwait(&a->taken, NULL, &(struct timespec){0}) > 0)
		;
	sigprocmask(SIG_SETMASK, &a->old, NULL);
	if (a->signals >= 0)
		close(a->signals);
}

int agent_run(const struct agent_options *options)
{
	struct agent *a = calloc(1, sizeof(*a));
	int status;

	if (!a)
		return 1;
	a->options = options;
	a->uio.fd = -1;
	link_init(&a->kvp_link, "kvp");
	link_init(&a->vss_link, "vss");
	link_init(&a->fcopy_link, "fcopy");
	if (take_signals(a) < 0 || (options->kvp && kvp_init(&a->kvp, options) < 0)) {
		give_back_signals(a);
		free(a);
		return 1;
	}
	vss_init(&a->vss, options);
	fcopy_init(&a->fcopy, options->fcopy_root);
	if (options->kvp)
		a->kvp_link.due = 0;
	if (options->vss)
		a->vss_link.due = 0;
	if (options->fcopy)
		a->fcopy_link.due = 0;
	while (!a->stop) {
		tick(a);
		follow_state(a);
		if (!a->stop)
			wait_and_serve(a);
	}
	notify("STOPPING=1\n");
	/* What is frozen first: the rest may have to be written there. */
	vss_finish(&a->vss);
	follow_state(a);
	fcopy_finish(&a->fcopy);
	if (options->kvp)
		kvp_finish(&a->kvp);
	uio_close(&a->uio);
	link_close(&a->fcopy_link);
	link_close(&a->vss_link);
	link_close(&a->kvp_link);
	give_back_signals(a);
	status = a->status;
	free(a);
	return status;
}
