/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The threads that work on rings: "vhost-PID", in the process that owns the device.
 *
 * A worker waits for the kicks of its rings, and the first one for whatever else the device
 * watches, in an epoll set, edge-triggered.  So an eventfd need not be read: a kick is an
 * edge, and its count stays for the client to see, as with the kernel.  While there is work a
 * worker doesn't wait, and when there is none any more it goes on looking for as long as
 * the client's busyloop timeout says, or for the device's own window: that is as long as it takes
 * to be worth it, the way KVM polls before it halts.  Whoever wakes a thread that sleeps on
 * another processor waits some 20 us; so does, with a device in the middle, each of two hops.
 *
 * vhost_queue() sets a flag of the ring and one of its worker, and wakes the worker only if it
 * sleeps.  A ring that moves to another worker is queued there, so that it doesn't matter
 * which of the two a queuing thread saw; for that a worker's memory and its eventfd stay
 * until the device ends.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "core/thread.h"
#include "core/user.h"
#include "vhost/vhost.h"

#define EVENTS       64
#define WINDOW_FIRST 10u /* us */

struct vhost_worker {
	struct vhost_dev *dev;
	bool taken;        /* the id is in use */
	bool running;      /* there is a thread */
	unsigned attached; /* rings */
	pthread_t thread;
	uint32_t window; /* us; how long it looks on, beside what clients want (ops->poll_us) */
	int epoll, wake; /* private descriptors */
	_Atomic bool ending;
	_Atomic bool sleeping; /* or about to */
	_Atomic bool scan;     /* a ring is queued */
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void wake(struct vhost_worker *w)
{
	static const uint64_t one = 1;

	host_write(w->wake, &one, sizeof(one));
}

void vhost_queue(struct vhost_vq *vq)
{
	struct vhost_worker *w;

	atomic_store(&vq->queued, true);
	w = atomic_load(&vq->worker);
	if (!w)
		return;
	atomic_store(&w->scan, true);
	if (atomic_load(&w->sleeping))
		wake(w);
}

/* ---- the thread ---- */

/* What a round was: nothing, something, or with more to come at once. */
struct round {
	bool progress, more;
	uint32_t busyloop; /* the longest that a ring asks for, us */
};

/* Locks are not fair: who waits for a ring goes first. */
static void give_way(struct vhost_dev *dev)
{
	while (atomic_load(&dev->waiting))
		sched_yield();
}

static uint16_t position(const struct vhost_vq *vq)
{
	return vq->active ? vq->ring.at.avail : 0;
}

static void work_ring(struct vhost_worker *w, struct vhost_vq *vq, struct round *round)
{
	uint16_t before;

	give_way(w->dev);
	pthread_rwlock_rdlock(&w->dev->running);
	pthread_mutex_lock(&vq->mutex);
	atomic_store(&vq->queued, false);
	before = position(vq);
	if (w->dev->ops->work_ring(vq)) {
		atomic_store(&vq->queued, true);
		atomic_store(&w->scan, true);
		round->more = true;
	}
	round->progress |= position(vq) != before;
	pthread_mutex_unlock(&vq->mutex);
	pthread_rwlock_unlock(&w->dev->running);
}

/* Rings one by one: first those that were kicked, then those that are queued or polled. */
static void round_of_rings(struct vhost_worker *w, const struct epoll_event *events, long n,
			   bool polling, struct round *round)
{
	struct vhost_dev *dev = w->dev;

	for (long i = 0; i < n; i++) {
		struct vhost_source *source = events[i].data.ptr;

		if (source && source->ready)
			source->ready(source, events[i].events);
		if (!source || source->ready)
			continue;
		atomic_store(&((struct vhost_vq *)source)->kicked, true);
		work_ring(w, (struct vhost_vq *)source, round);
	}
	polling |= atomic_exchange(&w->scan, false);
	/* Devices with many rings use few of them: what was kicked is often all there is. */
	if (!polling && !atomic_load(&dev->n_polled))
		return;
	for (unsigned i = 0; i < dev->n_vqs; i++) {
		struct vhost_vq *vq = &dev->vqs[i];
		uint32_t busyloop = atomic_load(&vq->busyloop);

		if (atomic_load(&vq->worker) != w)
			continue;
		if (busyloop > round->busyloop)
			round->busyloop = busyloop;
		if (polling && (busyloop || atomic_load(&vq->queued)))
			work_ring(w, vq, round);
	}
}

static void round_of_device(struct vhost_worker *w, const struct epoll_event *events, long n,
			    bool polling, struct round *round)
{
	struct vhost_dev *dev = w->dev;
	unsigned before = 0, after = 0;

	give_way(dev);
	pthread_rwlock_wrlock(&dev->running);
	atomic_store(&w->scan, false);
	dev->polling = polling;
	for (unsigned i = 0; i < dev->n_vqs; i++)
		before += position(&dev->vqs[i]);
	for (long i = 0; i < n; i++) {
		struct vhost_source *source = events[i].data.ptr;

		if (source && source->ready)
			source->ready(source, events[i].events);
		else if (source)
			atomic_store(&((struct vhost_vq *)source)->kicked, true);
	}
	round->more = dev->ops->work(dev);
	for (unsigned i = 0; i < dev->n_vqs; i++) {
		const struct vhost_vq *vq = &dev->vqs[i];
		uint32_t busyloop = atomic_load(&vq->busyloop);

		after += position(vq);
		if (vq->active && busyloop > round->busyloop)
			round->busyloop = busyloop;
	}
	round->progress = after != before;
	pthread_rwlock_unlock(&dev->running);
}

/*
 * Something came `idle` us after the last thing, and the worker slept.  If it had looked on a
 * little longer, it would have been there at once; if not, that would have been for nothing.
 */
static void adapt(struct vhost_worker *w, uint64_t idle)
{
	uint32_t max = w->dev->ops->poll_us;

	if (idle > max)
		w->window = w->window > WINDOW_FIRST ? w->window / 2 : 0;
	else if (w->window)
		w->window = w->window < max / 2 ? w->window * 2 : max;
	else
		w->window = max < WINDOW_FIRST ? max : WINDOW_FIRST;
}

/* Milliseconds to sleep if nothing happens, -1: no limit. */
static int sleep_limit(struct vhost_worker *w)
{
	struct vhost_dev *dev = w->dev;

	return dev->ops->timeout && w == dev->workers[0] ? dev->ops->timeout(dev) : -1;
}

static void *run(void *arg)
{
	struct vhost_worker *w = arg;
	struct vhost_dev *dev = w->dev;
	struct epoll_event events[EVENTS];
	uint64_t busy_at = 0, now; /* when there was work */
	bool polling, idle = false;
	uint32_t window = 0;
	int timeout = 0;
	long n;

	while (!atomic_load(&w->ending)) {
		struct round round = {0};
		bool sleeps;

		/* Whoever is to give the work that is looked for may need this processor. */
		if (idle && !timeout)
			sched_yield();
		atomic_store(&w->sleeping, timeout != 0);
		if (timeout && atomic_load(&w->scan))
			timeout = 0;
		sleeps = timeout != 0;
		n = host_syscall(SYS_epoll_pwait, w->epoll, events, EVENTS, timeout, NULL, 8);
		atomic_store(&w->sleeping, false);
		now = now_us();
		if (sleeps && n > 0)
			adapt(w, now - busy_at);
		/* The round before sleep is one that doesn't poll: the rings ask for kicks in it.
		 */
		polling = n > 0 ? window : now - busy_at < window;
		if (dev->ops->work)
			round_of_device(w, events, n, polling, &round);
		else
			round_of_rings(w, events, n, idle, &round);
		idle = !round.more && !round.progress && n <= 0;
		if (!idle)
			busy_at = now;
		window = round.busyloop > w->window ? round.busyloop : w->window;
		timeout = round.more || polling ? 0 : sleep_limit(w);
	}
	return NULL;
}

/* ---- workers come and go; under dev->mutex ---- */

/* A slot with its descriptors, but no thread: its index or -ENOMEM. */
static int take_slot(struct vhost_dev *dev)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	struct vhost_worker **more, *w;
	unsigned id;

	for (id = 0; id < dev->n_workers; id++)
		if (!dev->workers[id]->taken)
			return (int)id;
	more = reallocarray(dev->workers, id + 1, sizeof(struct vhost_worker *));
	if (!more)
		return -ENOMEM;
	dev->workers = more;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->dev = dev;
	w->epoll = hostfd_adopt((int)host_syscall(SYS_epoll_create1, EPOLL_CLOEXEC));
	w->wake = hostfd_adopt((int)host_syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (w->epoll < 0 || w->wake < 0 ||
	    host_syscall(SYS_epoll_ctl, w->epoll, EPOLL_CTL_ADD, w->wake, &event) < 0) {
		hostfd_close(w->epoll);
		hostfd_close(w->wake);
		free(w);
		return -ENOMEM;
	}
	dev->workers[id] = w;
	dev->n_workers = id + 1;
	return (int)id;
}

/* The id, or -ENOMEM. */
static int new_worker(struct vhost_dev *dev)
{
	int id = take_slot(dev);
	struct vhost_worker *w;
	char name[16];

	if (id < 0)
		return id;
	w = dev->workers[id];
	if (!w->running) {
		atomic_store(&w->ending, false);
		snprintf(name, sizeof(name), "vhost-%ld", host_syscall(SYS_gettid));
		if (thread_start(&w->thread, name, run, w))
			return -ENOMEM;
		w->running = true;
	}
	w->taken = true;
	return id;
}

static void stop(struct vhost_worker *w)
{
	if (!w->running)
		return;
	atomic_store(&w->ending, true);
	wake(w);
	pthread_join(w->thread, NULL);
	w->running = false;
}

int vhost_workers_start(struct vhost_dev *dev)
{
	int id = new_worker(dev);

	if (id < 0)
		return id;
	dev->workers[0]->attached = dev->n_vqs;
	for (unsigned i = 0; i < dev->n_vqs; i++)
		atomic_store(&dev->vqs[i].worker, dev->workers[0]);
	return 0;
}

void vhost_workers_stop(struct vhost_dev *dev)
{
	for (unsigned i = 0; i < dev->n_workers; i++) {
		stop(dev->workers[i]);
		dev->workers[i]->taken = false;
		dev->workers[i]->attached = 0;
	}
}

void vhost_workers_free(struct vhost_dev *dev)
{
	for (unsigned i = 0; i < dev->n_workers; i++) {
		hostfd_close(dev->workers[i]->epoll);
		hostfd_close(dev->workers[i]->wake);
		free(dev->workers[i]);
	}
	free(dev->workers);
	dev->workers = NULL;
	dev->n_workers = 0;
}

/* ---- what they wait for ---- */

static int watch(struct vhost_worker *w, int fd, struct vhost_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events | EPOLLET, .data.ptr = source};

	return (int)host_syscall(SYS_epoll_ctl, w->epoll, EPOLL_CTL_ADD, fd, &event);
}

int vhost_watch_change(struct vhost_dev *dev, int fd, struct vhost_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events | EPOLLET, .data.ptr = source};

	return (int)host_syscall(SYS_epoll_ctl, dev->workers[0]->epoll, EPOLL_CTL_MOD, fd, &event);
}

static void unwatch(struct vhost_worker *w, int fd)
{
	host_syscall(SYS_epoll_ctl, w->epoll, EPOLL_CTL_DEL, fd, NULL);
}

int vhost_watch(struct vhost_dev *dev, int fd, struct vhost_source *source, uint32_t events)
{
	return dev->n_workers ? watch(dev->workers[0], fd, source, events) : -EBADF;
}

void vhost_unwatch(struct vhost_dev *dev, int fd)
{
	if (dev->n_workers)
		unwatch(dev->workers[0], fd);
}

int vhost_set_kick(struct vhost_vq *vq, int fd)
{
	struct vhost_worker *w = atomic_load(&vq->worker);

	if (vq->kick >= 0) {
		if (w)
			unwatch(w, vq->kick);
		hostfd_close(vq->kick);
	}
	vq->kick = fd;
	/* What has been signalled already counts. */
	return fd < 0 ? 0 : watch(w, fd, &vq->source, EPOLLIN);
}

/* ---- ioctls ---- */

static struct vhost_worker *find_worker(struct vhost_dev *dev, uint32_t id)
{
	return id < dev->n_workers && dev->workers[id]->taken ? dev->workers[id] : NULL;
}

static long ioctl_new(struct vhost_dev *dev, unsigned long arg)
{
	struct vhost_worker_state state;
	int id;

	if (!dev->fork_owner)
		return -EFAULT;
	id = new_worker(dev);
	if (id < 0)
		return id;
	state.worker_id = (uint32_t)id;
	return copy_to_user((void *)arg, &state, sizeof(state));
}

static long ioctl_free(struct vhost_dev *dev, unsigned long arg)
{
	struct vhost_worker_state state;
	struct vhost_worker *w;

	if (copy_from_user(&state, (const void *)arg, sizeof(state)))
		return -EFAULT;
	w = find_worker(dev, state.worker_id);
	if (!w)
		return -ENODEV;
	if (w->attached)
		return -EBUSY;
	/* The first one's thread goes on with what the device watches. */
	if (w != dev->workers[0])
		stop(w);
	w->taken = false;
	return 0;
}

static long attach(struct vhost_vq *vq, unsigned long arg)
{
	struct vhost_worker *old = atomic_load(&vq->worker), *new;
	struct vhost_vring_worker ring;
	long ret = 0;

	if (copy_from_user(&ring, (const void *)arg, sizeof(ring)))
		return -EFAULT;
	new = find_worker(vq->dev, ring.worker_id);
	if (!new)
		return -ENODEV;
	if (new == old)
		return 0;
	vhost_ring_lock(vq);
	if (vq->kick >= 0) {
		unwatch(old, vq->kick);
		ret = watch(new, vq->kick, &vq->source, EPOLLIN);
	}
	atomic_store(&vq->worker, new);
	old->attached--;
	new->attached++;
	vhost_ring_unlock(vq);
	vhost_queue(vq);
	return ret;
}

static long get(struct vhost_vq *vq, unsigned long arg)
{
	struct vhost_dev *dev = vq->dev;
	const struct vhost_worker *w = atomic_load(&vq->worker);
	struct vhost_vring_worker ring = {.index = vq->index};

	while (dev->workers[ring.worker_id] != w)
		ring.worker_id++;
	return copy_to_user((void *)arg, &ring, sizeof(ring));
}

static long worker_ioctl(struct vhost_dev *dev, unsigned int cmd, unsigned long arg)
{
	uint32_t index;
	long ret;

	if (!dev->owned)
		return -EINVAL;
	ret = vhost_check_owner(dev);
	if (ret)
		return ret;
	if (cmd == VHOST_NEW_WORKER)
		return ioctl_new(dev, arg);
	if (cmd == VHOST_FREE_WORKER)
		return ioctl_free(dev, arg);
	if (copy_from_user(&index, (const void *)arg, sizeof(index)))
		return -EFAULT;
	if (index >= dev->n_vqs)
		return -ENOBUFS;
	return cmd == VHOST_ATTACH_VRING_WORKER ? attach(&dev->vqs[index], arg)
						: get(&dev->vqs[index], arg);
}

VHOST_HANDLER(vhost_ioctl_worker)
{
	struct vhost_dev *dev = f->priv;
	long ret;

	pthread_mutex_lock(&dev->mutex);
	ret = worker_ioctl(dev, call->cmd, call->arg);
	pthread_mutex_unlock(&dev->mutex);
	return ret;
}
