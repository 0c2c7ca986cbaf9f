/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two tasks.  One has the device, and answers: it never waits for anything else, so what is on
 * offer comes to whoever uses it, even to the thread that has the engine's lock.  The other is a
 * thread that takes the lock and tells the owners of ranges what is wanted.
 *
 * Who waits for an answer of a file system can't be killed.  When a process is, its threads that
 * wait keep its table of descriptors, and a device that is there stays open: nothing would ever
 * end.  When it dumps core, all its threads wait for each other before any of them closes anything.
 * So the first task is a process, which shares the memory and has a table of its own, in which
 * nothing is but the device and an eventfd; there is no copy elsewhere, ever.  It is killed when
 * the thread ends that has made it, and ends by itself when there is a core dump: then the device
 * is closed, and the kernel lets all others go.  Its parent's wait(2) doesn't see it.
 *
 * What waits is in slots.  The server makes one, publishes it and looks whether there is
 * an offer; who offers looks afterwards whether there are slots: one of them sees the other.
 *
 * Who is given a page, or an error, is not done with it yet: see memory/tries.h.
 */
#include "memory/server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "core/thread.h"
#include "memory/apart.h"
#include "memory/fuse.h"
#include "memory/lock.h"
#include "memory/tries.h"
#include "memory/watch_private.h"

enum slot_state {
	SLOT_FREE,
	SLOT_NEW,      /* nobody has been told */
	SLOT_ASKED,    /* the owner has, with a ticket */
	SLOT_ZERO,     /* to be answered with zeroes, */
	SLOT_BAD,      /* or with an error */
	SLOT_ANSWERED, /* and there is still a ticket */
};

/*
 * The server makes and answers them.  What is NEW, ASKED or ANSWERED is changed by
 * whoever has the engine's lock, but while there is an offer, by that thread.
 */
struct slot {
	_Atomic enum slot_state state;
	_Atomic bool signalled; /* the thread has a signal */
	struct fuse_page page;
	void *ticket;
};

#define SLOTS   1024u
#define LOOK_MS 200 /* while anybody waits, the server looks whether the process dumps core */
static struct slot slots[SLOTS];
static _Atomic unsigned n_slots; /* those above have never been used */

static struct {
	_Atomic bool on;
	uintptr_t start, end;
	const char *content;
} offer;
static _Atomic bool answering; /* the server looks at the offer */

static _Atomic uint32_t news; /* a futex: slots that nobody has been told of have come */
/* Counts: what had been asked for when the first was raised is done when the other, a futex, says
 * the same. */
static _Atomic uint32_t round_wanted, round_done;

/* A futex: 0 while the process is starting; 1: it failed; else it serves. */
static _Atomic uint32_t state;
static int start_error;
static pid_t server;     /* the process */
static struct fuse fuse; /* in its table */
static int bell = -EBADF, file = -EBADF;
static int status; /* of this process, in the server's table */
static dev_t file_device;
static uint64_t file_inode;

static void wake(_Atomic uint32_t *futex)
{
	host_syscall(SYS_futex, futex, FUTEX_WAKE_PRIVATE, INT_MAX);
}

static void sleep_while(_Atomic uint32_t *futex, uint32_t value)
{
	host_syscall(SYS_futex, futex, FUTEX_WAIT_PRIVATE, value, NULL);
}

static void tell_news(void)
{
	atomic_fetch_add(&news, 1);
	wake(&news);
}

static void ring(void)
{
	static const uint64_t one = 1;

	if (bell >= 0)
		host_write(bell, &one, sizeof(one));
}

/* ---- the server ---- */

static char zeroes[FUSE_READ_MAX];

/* With `answering`. */
static bool is_offered(const struct fuse_page *p)
{
	return atomic_load(&offer.on) && p->offset >= offer.start &&
	       p->offset + p->size <= offer.end;
}

/* `content` NULL: an error. */
static void answer(const struct fuse_page *p, const void *content)
{
	tries_note(p->offset, p->size, p->thread);
	fuse_answer(&fuse, p, content);
}

static void give(const struct fuse_page *p)
{
	answer(p, offer.content ? offer.content + (p->offset - offer.start) : zeroes);
}

static void answer_slot(struct slot *s)
{
	enum slot_state now;

	/* Until this ends the offer does not, and nobody else looks at slots. */
	atomic_store(&answering, true);
	now = atomic_load(&s->state);
	if ((now == SLOT_NEW || now == SLOT_ASKED) && is_offered(&s->page)) {
		give(&s->page);
		atomic_store(&s->state, now == SLOT_ASKED ? SLOT_ANSWERED : SLOT_FREE);
	}
	atomic_store(&answering, false);
	if (now != SLOT_ZERO && now != SLOT_BAD)
		return;
	answer(&s->page, now == SLOT_ZERO ? zeroes : NULL);
	atomic_store(&s->state, SLOT_FREE);
}

static void answer_slots(void)
{
	unsigned n = atomic_load(&n_slots);

	for (unsigned i = 0; i < n; i++)
		answer_slot(&slots[i]);
}

static struct slot *free_slot(void)
{
	unsigned n = atomic_load(&n_slots);

	for (unsigned i = 0; i < n; i++)
		if (atomic_load(&slots[i].state) == SLOT_FREE)
			return &slots[i];
	if (n == SLOTS)
		return NULL;
	atomic_store(&n_slots, n + 1);
	return &slots[n];
}

static void arrived(const struct fuse_page *p)
{
	struct slot *s;
	bool offered;

	atomic_store(&answering, true);
	offered = is_offered(p);
	if (offered)
		give(p);
	atomic_store(&answering, false);
	if (offered)
		return;
	/* Nobody waits for several. */
	s = p->size == MEMORY_PAGE ? free_slot() : NULL;
	/* The thread that is to answer can't wait for it. */
	if (!s || p->thread == memory_lock_holder()) {
		answer(p, NULL);
		return;
	}
	s->page = *p;
	s->ticket = NULL;
	atomic_store(&s->signalled, false);
	atomic_store(&s->state, SLOT_NEW);
	answer_slot(s);
	tell_news();
}

static void signalled(uint64_t unique)
{
	unsigned n = atomic_load(&n_slots);

	for (unsigned i = 0; i < n; i++)
		if (atomic_load(&slots[i].state) != SLOT_FREE && slots[i].page.unique == unique)
			atomic_store(&slots[i].signalled, true);
	tell_news();
}

static bool anybody_waits(void)
{
	unsigned n = atomic_load(&n_slots);

	for (unsigned i = 0; i < n; i++)
		if (atomic_load(&slots[i].state) != SLOT_FREE)
			return true;
	return false;
}

/* As fuse_next(); with `all` until there is none. */
static int take_requests(bool all)
{
	struct fuse_page page;
	int ret;

	do {
		ret = fuse_next(&fuse, &page);
		if (ret == 1)
			arrived(&page);
		else if (ret == 2)
			signalled(page.unique);
	} while (all && ret >= 0);
	return ret;
}

static void serve(void)
{
	struct pollfd fds[2] = {{.fd = fuse.device, .events = POLLIN},
				{.fd = bell, .events = POLLIN}};
	uint32_t wanted;
	uint64_t count;
	long n;
	int ret = 0;

	while (ret >= 0 || ret == -EAGAIN) {
		n = host_syscall(SYS_poll, fds, 2, anybody_waits() ? LOOK_MS : -1);
		if (n == 0 && apart_dumps_core(status))
			return;
		wanted = atomic_load(&round_wanted);
		if (n > 0 && fds[1].revents & POLLIN) {
			host_read(bell, &count, sizeof(count));
			answer_slots();
		}
		ret = 0;
		if (wanted != atomic_load(&round_done)) {
			ret = take_requests(true);
			atomic_store(&round_done, wanted);
			wake(&round_done);
		} else if (n > 0 && fds[0].revents) {
			ret = take_requests(false);
		}
	}
}

static void started(uint32_t value)
{
	atomic_store(&state, value);
	wake(&state);
}

/* The process, whose parent has the same memory and waits until it has started. */
static void be_server(void)
{
	pid_t parent = (pid_t)host_syscall(SYS_getppid);

	/* Who waits for it to start may go on before its maker does. */
	server = (pid_t)host_syscall(SYS_getpid);
	host_syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	host_syscall(SYS_prctl, PR_SET_NAME, "standin-fuse", 0, 0, 0);
	start_error = host_syscall(SYS_getppid) == parent ? apart_keep_only(bell) : -ESRCH;
	status = start_error == 0 ? apart_open_status(parent) : -EBADF;
	if (start_error == 0)
		start_error = status < 0 ? status : fuse_open(&fuse);
	started(start_error ? 1 : 2);
	if (start_error == 0)
		serve();
	host_syscall(SYS_exit_group, 0);
}

/* ---- who tells the owners ---- */

/* What a page is that is used: missing, or NULL. */
static const struct watch_range *missing_at(uintptr_t address)
{
	const struct watch_range *r = watch_at(address);

	return r && r->served && watch_is_missing(r, watch_mark(address)) ? r : NULL;
}

/* true: the server has to answer. */
static bool look_at(struct slot *s)
{
	const struct watch_range *r;
	enum slot_state now = atomic_load(&s->state);
	bool asks;

	if (now == SLOT_ANSWERED) {
		watch_ops->answered(s->ticket);
		atomic_store(&s->state, SLOT_FREE);
	}
	if (now != SLOT_NEW && now != SLOT_ASKED)
		return false;
	/* It asks again after its signal.  In a system call it would do so at once. */
	if (atomic_exchange(&s->signalled, false) && tries_in_user_mode(s->page.thread)) {
		if (now == SLOT_ASKED)
			watch_ops->answered(s->ticket);
		atomic_store(&s->state, SLOT_BAD);
		return true;
	}
	r = missing_at(s->page.offset);
	asks = now == SLOT_ASKED && watch_ops->asks(s->ticket);
	if (r && asks)
		return false;
	if (now == SLOT_ASKED)
		watch_ops->answered(s->ticket);
	s->ticket = r ? watch_ops->ask(r->owner, s->page.offset, s->page.thread) : NULL;
	atomic_store(&s->state, s->ticket ? SLOT_ASKED : r ? SLOT_BAD : SLOT_ZERO);
	return !s->ticket;
}

void server_look(void)
{
	unsigned n = atomic_load(&n_slots);
	bool any = false;

	for (unsigned i = 0; i < n; i++)
		any |= look_at(&slots[i]);
	if (any)
		ring();
}

static void *telling_thread(void *unused)
{
	uint32_t seen = atomic_load(&news), now;
	uint64_t signals;
	int ret = apart_start(be_server);

	if (ret < 0) {
		start_error = ret;
		started(1);
		return unused;
	}
	while (atomic_load(&state) == 0)
		sleep_while(&state, 0);
	while (atomic_load(&state) == 2) {
		while ((now = atomic_load(&news)) == seen)
			sleep_while(&news, seen);
		seen = now;
		memory_lock(&signals);
		server_look();
		memory_unlock(&signals);
	}
	return unused;
}

/* ---- offers ---- */

void server_offer(uintptr_t start, uintptr_t end, const void *content)
{
	unsigned n;

	offer.start = start;
	offer.end = end;
	offer.content = content;
	atomic_store(&offer.on, true);
	n = atomic_load(&n_slots);
	for (unsigned i = 0; i < n; i++)
		if (atomic_load(&slots[i].state) != SLOT_FREE &&
		    slots[i].page.offset - start < end - start) {
			ring();
			return;
		}
}

void server_offer_end(void)
{
	atomic_store(&offer.on, false);
	while (atomic_load(&answering))
		host_syscall(SYS_sched_yield);
}

/* ---- before pages go ---- */

#define ROUNDS   16  /* more than that many times nobody comes back */
#define ROUND_MS 500 /* the server doesn't take that long, if there is one */

/* Whether the server has an answer for somebody in [start, end) that it has not given yet. */
static bool owes(uintptr_t start, uintptr_t end)
{
	bool offered = atomic_load(&offer.on);
	unsigned n = atomic_load(&n_slots);

	for (unsigned i = 0; i < n; i++) {
		enum slot_state now = atomic_load(&slots[i].state);

		if (slots[i].page.offset - start < end - start &&
		    (now == SLOT_ZERO || now == SLOT_BAD ||
		     (offered && (now == SLOT_NEW || now == SLOT_ASKED))))
			return true;
	}
	return false;
}

/* Whatever has been asked of the server is in a slot or answered, and slots are if they can be. */
static void make_round(void)
{
	static const struct timespec limit = {.tv_nsec = ROUND_MS * 1000000};
	uint32_t wanted = atomic_fetch_add(&round_wanted, 1) + 1, now;

	ring();
	while ((now = atomic_load(&round_done)) != wanted)
		if (host_syscall(SYS_futex, &round_done, FUTEX_WAIT_PRIVATE, now, &limit) ==
		    -ETIMEDOUT)
			return;
}

void server_settle(uintptr_t start, uintptr_t end)
{
	if (bell < 0)
		return;
	for (int i = 0; i < ROUNDS; i++) {
		if (owes(start, end))
			make_round();
		if (!tries_any(start, end))
			return;
		tries_wait();
		/* Some of them may wait for the server again. */
		if (atomic_load(&offer.on))
			make_round();
	}
}

/* ---- starting ---- */

/* The file is opened through the links of the process that has it. */
static int open_file(void)
{
	char path[64];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", server, fuse.mount);
	fd = host_open(path, O_RDWR | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	/* The kernel asks for its size now. */
	if (host_fstat(fd, &st) < 0) {
		host_close(fd);
		return -EIO;
	}
	file_device = st.st_dev;
	file_inode = st.st_ino;
	return hostfd_adopt(fd);
}

static int start(void)
{
	pthread_t thread;
	int ret;

	bell = hostfd_adopt((int)host_syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (bell < 0)
		return bell;
	atomic_store(&state, 0);
	tries_start((pid_t)host_syscall(SYS_getpid));
	ret = thread_start(&thread, "standin-faults", telling_thread, NULL);
	if (ret < 0)
		return ret;
	while (atomic_load(&state) == 0)
		sleep_while(&state, 0);
	if (atomic_load(&state) == 1) {
		pthread_join(thread, NULL);
		return start_error;
	}
	pthread_detach(thread);
	ret = open_file();
	if (ret < 0) {
		/* With the thread, the process ends. */
		atomic_store(&state, 1);
		tell_news();
		return ret;
	}
	file = ret;
	return 0;
}

int server_probe(void)
{
	struct fuse f;
	int ret = fuse_open(&f);

	if (ret == 0)
		fuse_close(&f);
	return ret;
}

int server_start(void)
{
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
	int ret;

	if (server_file() >= 0)
		return 0;
	pthread_mutex_lock(&once);
	ret = server_file() >= 0 ? 0 : start();
	if (ret < 0) {
		hostfd_close(bell);
		hostfd_close(file);
		bell = file = -EBADF;
	}
	pthread_mutex_unlock(&once);
	return ret;
}

int server_file(void)
{
	return file;
}

bool server_is_file(dev_t device, uint64_t inode)
{
	return file_inode && device == file_device && inode == file_inode;
}

void server_forked(void)
{
	hostfd_close(bell);
	hostfd_close(file);
	bell = file = -EBADF;
	atomic_store(&n_slots, 0);
	for (unsigned i = 0; i < SLOTS; i++)
		atomic_store(&slots[i].state, SLOT_FREE);
	atomic_store(&offer.on, false);
	atomic_store(&answering, false);
}
