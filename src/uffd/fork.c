/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Forks.  A context with UFFD_FEATURE_EVENT_FORK has a new one in the child, with the same
 * ranges, which the reader of its event gets a descriptor of.  Rules: dup_userfaultfd() and
 * what follows it in mm/userfaultfd.c.
 *
 * The new contexts and their pipes are made before the fork.  The child takes the contexts,
 * so that others can call it there (share.c), says which of them have any range, and then waits:
 * in the kernel it begins to run when all events have been read.  The parent has the read
 * ends, until the events have been read or the old contexts are gone.
 */
#include "uffd/fork.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>

#include "core/fdtable.h"
#include "core/hostfd.h"
#include "core/placeholder.h"
#include "core/signal_mask.h"
#include "core/syscall.h"
#include "uffd/entry.h"
#include "uffd/event.h"
#include "uffd/share.h"

struct birth {
	struct uffd *old, *new;
	int self, peer; /* of the new one's pipe */
};

/* Of the fork that is going on; there is one at a time. */
static struct birth *births;
static size_t n_births;
static char *lives;            /* for each: whether it has any range in the child */
static int pair[2] = {-1, -1}; /* parent's, child's */
static bool concerned;         /* it has or had contexts, its own or of others */
static uint64_t signals_before;
static bool inherited; /* the engine has asked us, in the child */

static bool has_range(const struct uffd *u)
{
	const struct watch_range *r;

	for (uintptr_t at = 0; (r = watch_find(at)); at = r->end)
		if (r->owner == u)
			return true;
	return false;
}

static bool is_wanted(const struct uffd *u)
{
	return uffd_features(u) & UFFD_FEATURE_EVENT_FORK && has_range(u);
}

/* ---- before ---- */

static size_t count_wanted(void)
{
	uint64_t signals;
	size_t n = 0;

	memory_lock(&signals);
	for (struct uffd *u = uffd_first(); u; u = u->next)
		n += is_wanted(u);
	memory_unlock(&signals);
	return n;
}

static void discard(struct birth *b)
{
	hostfd_close(b->self);
	hostfd_close(b->peer);
	free(b->new);
}

static int prepare_birth(struct birth *b)
{
	int fd;

	b->new = calloc(1, sizeof(*b->new));
	fd = b->new ? placeholder_pipe(O_CLOEXEC, &b->peer) : -ENOMEM;
	b->self = fd < 0 ? fd : hostfd_adopt(fd);
	return b->self < 0 ? b->self : 0;
}

static bool is_assigned(const struct uffd *u, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (births[i].old == u)
			return true;
	return false;
}

/*
 * In the order of what they watch, in which their events are read.  Contexts that come or go
 * meanwhile are not concerned: they do so after the fork.
 */
static void assign(void)
{
	const struct watch_range *r;
	uint64_t signals;
	size_t i = 0;

	memory_lock(&signals);
	for (uintptr_t at = 0; i < n_births && (r = watch_find(at)); at = r->end) {
		struct uffd *u = r->owner;
		struct birth *b = &births[i];

		if (!(uffd_features(u) & UFFD_FEATURE_EVENT_FORK) || is_assigned(u, i))
			continue;
		b->old = u;
		b->new->flags = u->flags;
		b->new->self = b->new->peer = -1;
		atomic_store(&b->new->features, uffd_features(u));
		uffd_queue_init(b->new);
		if (u->flags & O_NONBLOCK)
			host_syscall(SYS_fcntl, b->self, F_SETFL, O_NONBLOCK);
		i++;
	}
	memory_unlock(&signals);
	while (n_births > i)
		discard(&births[--n_births]);
}

static void prepare_births(void)
{
	size_t n = watch_any() ? count_wanted() : 0;

	if (!n)
		return;
	births = calloc(n, sizeof(*births));
	lives = calloc(n, 1);
	if (!births || !lives ||
	    host_syscall(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	pair[0] = hostfd_adopt(pair[0]);
	pair[1] = hostfd_adopt(pair[1]);
	for (; n_births < n; n_births++) {
		struct birth *b = &births[n_births];

		b->self = b->peer = -1;
		if (prepare_birth(b) < 0) {
			discard(b);
			break;
		}
	}
	assign();
}

static void forget(void)
{
	free(births);
	free(lives);
	births = NULL;
	lives = NULL;
	n_births = 0;
	hostfd_close(pair[0]);
	hostfd_close(pair[1]);
	pair[0] = pair[1] = -1;
}

static void share_all(void)
{
	struct file **files;
	size_t n = fdtable_files(&files);

	while (n) {
		struct file *f = files[--n];

		if (f->ops == &uffd_file_ops)
			uffd_share(f);
		file_put(f);
	}
	free(files);
}

void uffd_fork_prepare(void)
{
	concerned = atomic_load(&uffd_used);
	if (!concerned)
		return;
	share_all();
	prepare_births();
	inherited = false;
	signal_mask_block(&signals_before);
	uffd_share_fork_begin();
}

/* ---- the child ---- */

static void start_over(void)
{
	uffd_forget_all();
	uffd_waiters_forked();
	uffd_served_forked();
	uffd_events_forked();
	inherited = true;
}

/* With the engine's lock. */
void uffd_forked(void)
{
	start_over();
	for (size_t i = 0; i < n_births; i++)
		watch_inherit(births[i].old, births[i].new);
}

/* Whether it is to have a life of its own. */
static bool begin_life(struct birth *b)
{
	uint64_t signals;
	bool ranged;

	memory_lock(&signals);
	ranged = has_range(b->new);
	memory_unlock(&signals);
	if (ranged) {
		uffd_add(b->new);
		if (uffd_share_new(b->new, b->peer) == 0) {
			hostfd_close(b->self);
			return true;
		}
		uffd_destroy(b->new);
		b->new = NULL;
	}
	discard(b);
	return false;
}

/* One byte for each context: whether it lives; and one from the parent, when it may go on. */
static void be_born(void)
{
	char go;
	long n;

	for (size_t i = 0; i < n_births; i++)
		lives[i] = begin_life(&births[i]);
	hostfd_close(pair[0]);
	pair[0] = -1;
	host_syscall(SYS_sendto, pair[1], lives, n_births, MSG_NOSIGNAL, NULL, 0);
	do
		n = host_read(pair[1], &go, 1);
	while (n == -EINTR);
	/* A parent that is killed while it waits has never had a child. */
	if (n != 1)
		host_syscall(SYS_kill, host_syscall(SYS_getpid), SIGKILL);
	uffd_share_settle();
}

void uffd_fork_child(void)
{
	if (!concerned)
		return;
	uffd_share_forked();
	if (!inherited)
		start_over();
	if (n_births)
		be_born();
	forget();
	signal_mask_restore(&signals_before);
}

/* ---- the parent ---- */

/* In the middle of the engine's lock. */
static bool still_there(const struct uffd *old)
{
	for (const struct uffd *u = uffd_first(); u; u = u->next)
		if (u == old)
			return true;
	return false;
}

static bool announce(const struct birth *b, int child)
{
	struct uffd_msg m = {.event = UFFD_EVENT_FORK};
	struct uffd_event *e = NULL;
	uint64_t signals;

	memory_lock(&signals);
	if (still_there(b->old))
		e = uffd_event_add(b->old, &m);
	if (e) {
		e->descriptor = b->self;
		e->held = child;
	}
	memory_unlock(&signals);
	return e;
}

void uffd_fork_release(int child)
{
	char go = 1;

	host_syscall(SYS_sendto, child, &go, 1, MSG_NOSIGNAL, NULL, 0);
	hostfd_close(child);
}

static void give_birth(void)
{
	bool any = false;
	long n;

	hostfd_close(pair[1]);
	pair[1] = -1;
	do
		n = host_read(pair[0], lives, n_births);
	while (n == -EINTR);
	for (size_t i = 0; i < n_births; i++) {
		struct birth *b = &births[i];

		if (n == (long)n_births && lives[i] && announce(b, pair[0])) {
			b->self = -1;
			any = true;
		}
		discard(b);
	}
	if (!any)
		uffd_fork_release(pair[0]);
	pair[0] = -1;
}

void uffd_fork_parent(pid_t child)
{
	if (!concerned)
		return;
	uffd_share_fork_end();
	if (n_births && child > 0)
		give_birth();
	else
		while (n_births)
			discard(&births[--n_births]);
	forget();
	signal_mask_restore(&signals_before);
}

void uffd_fork_settle(void)
{
	uffd_settle();
}

/* ---- descriptors of other processes ---- */

static void come_back(struct file *f, int fd)
{
	struct uffd *u = f->priv;
	uint64_t signals;
	int self = hostfd_duplicate(fd);

	memory_lock(&signals);
	if (self >= 0 && f->self < 0) {
		u->self = f->self = self;
		self = -1;
	}
	memory_unlock(&signals);
	hostfd_close(self);
}

void uffd_arrived(int fd)
{
	struct file *known = file_get_by_inode(fd);

	if (!known) {
		uffd_remote_install(fd);
		return;
	}
	if (known->ops == &uffd_file_ops && known->self < 0)
		come_back(known, fd);
	file_put(known);
}
