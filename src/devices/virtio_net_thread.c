/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One thread moves a device's packets, in rounds over all of its queues.
 *
 * While there is work it doesn't wait and has told the driver not to notify: notifications
 * trap, and cost more than moving dozens of packets.  When there has been none for a while it
 * asks for notifications, looks once more, and sleeps until somebody wakes it: a notification,
 * or the port.  It gives way to other threads meanwhile, and goes to sleep at once when it had
 * to wait long for its turn, since a processor that others want is better used by them.
 *
 * All descriptors are watched edge-triggered, so that none has to be read.
 */
#include "devices/virtio_net.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "core/thread.h"

#define BUDGET        32u /* packets of a queue in a round: big ones stay in the nearest cache */
#define EVENTS        16
#define FEW           16u /* packets: a round with fewer is followed by a pause */
#define PAUSES        16u
#define IDLE_NS       60000u
#define YIELD_NS      4000u
#define STARVED_NS    100000u
#define ROUNDS_A_LOOK 16u /* empty rounds between looks at the clock */
#define SHORTAGE_MS   1   /* until buffers are looked at again that are too few for a packet */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void net_thread_wake(struct net *n)
{
	static const uint64_t one = 1;

	if (atomic_exchange(&n->sleeping, false))
		host_write(n->wake, &one, sizeof(one));
}

static void ready(void *arg)
{
	net_thread_wake(arg);
}

/* ---- a round; inside the gate ---- */

/* Takes the queue's lock if the driver has set the queue up. */
static bool claim(struct virtio_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	if (queue->enabled)
		return true;
	pthread_mutex_unlock(&queue->lock);
	return false;
}

/* After work on a claimed queue, whose lock is given up: what the driver is to know. */
static void settle(struct virtio_queue *queue, bool used)
{
	bool signal = used && virtqueue_should_signal(&queue->vq) == 1;
	bool broken = virtqueue_error(&queue->vq, NULL) < 0;

	virtqueue_release(&queue->vq);
	pthread_mutex_unlock(&queue->lock);
	if (signal)
		virtio_interrupt(queue);
	if (broken)
		virtio_broken(queue->virtio);
}

static bool has_control(const struct net *n)
{
	return n->virtio.features & VIRTQUEUE_F(VIRTIO_NET_F_CTRL_VQ);
}

static unsigned transmit(struct net *n, unsigned pair)
{
	struct virtio_queue *queue = net_transmit_queue(n, pair);
	int moved;

	if (!claim(queue))
		return 0;
	moved = virtio_net_transmit(&n->pairs[pair], &queue->vq, BUDGET);
	settle(queue, moved > 0);
	return moved > 0 ? (unsigned)moved : 0;
}

static unsigned receive(struct net *n, unsigned pair)
{
	struct virtio_queue *queue = net_receive_queue(n, pair);
	struct net_arrival first;
	int moved;

	if (net_peek(n->port, pair, &first, 1) == 0 || !claim(queue))
		return 0;
	moved = virtio_net_receive(&n->pairs[pair], &queue->vq, BUDGET);
	settle(queue, moved > 0);
	return moved > 0 ? (unsigned)moved : 0;
}

static bool control(struct net *n)
{
	struct virtio_queue *queue = net_control_queue(n);
	int handled;

	if (!has_control(n) || !claim(queue))
		return false;
	handled = virtio_net_control(&n->control, &queue->vq);
	settle(queue, handled > 0);
	return handled > 0;
}

/* How many packets and commands were moved. */
static unsigned work(struct net *n)
{
	unsigned moved = 0;

	if (!virtio_enter(&n->virtio))
		return 0;
	for (unsigned pair = 0; pair < n->n_pairs; pair++) {
		moved += transmit(n, pair);
		moved += receive(n, pair);
	}
	moved += control(n);
	virtio_leave(&n->virtio);
	return moved;
}

/* ---- notifications ---- */

static int want(struct virtio_queue *queue, bool wanted)
{
	int result;

	if (!claim(queue))
		return 0;
	result = wanted ? virtqueue_enable_kicks(&queue->vq) : virtqueue_disable_kicks(&queue->vq);
	virtqueue_release(&queue->vq);
	pthread_mutex_unlock(&queue->lock);
	return result;
}

/*
 * Asks the driver to notify, or no longer to.  Buffers for packets matter only while there are
 * packets.  True: there are some, and too few for the next one, about which a ring can't be asked.
 */
static bool notifications(struct net *n, bool wanted)
{
	struct net_arrival first;
	bool shortage = false;

	if (!virtio_enter(&n->virtio))
		return false;
	for (unsigned pair = 0; pair < n->n_pairs; pair++) {
		bool waits = wanted && net_peek(n->port, pair, &first, 1) > 0;

		want(net_transmit_queue(n, pair), wanted && !n->pairs[pair].full);
		shortage |= want(net_receive_queue(n, pair), waits) == 1 && waits;
	}
	if (has_control(n))
		want(net_control_queue(n), wanted);
	virtio_leave(&n->virtio);
	return shortage;
}

/* ---- the thread ---- */

/* A driver that is looked at less often is disturbed less, and brings more at once. */
static void pause_a_little(void)
{
	for (unsigned i = 0; i < PAUSES; i++)
		__builtin_ia32_pause();
}

/* Works until nothing came for a while, or others want the processor. */
static void work_and_look(struct net *n)
{
	uint64_t last = 0, idle, before;
	unsigned empty = 0, moved;

	while (!atomic_load_explicit(&n->ending, memory_order_relaxed)) {
		moved = work(n);
		if (moved < FEW)
			pause_a_little();
		if (moved) {
			last = 0;
			empty = 0;
			continue;
		}
		if (++empty % ROUNDS_A_LOOK)
			continue;
		before = now_ns();
		if (!last)
			last = before;
		idle = before - last;
		if (idle > IDLE_NS)
			return;
		if (idle > YIELD_NS) {
			host_syscall(SYS_sched_yield);
			if (now_ns() - before > STARVED_NS)
				return;
		}
	}
}

static void *run(void *arg)
{
	struct epoll_event events[EVENTS];
	struct net *n = arg;

	while (!atomic_load(&n->ending)) {
		bool shortage;

		notifications(n, false);
		work_and_look(n);
		shortage = notifications(n, true);
		atomic_store(&n->sleeping, true);
		/* From here on whoever brings work wakes us; what came before is seen now. */
		if (!atomic_load(&n->ending) && !work(n))
			host_syscall(SYS_epoll_pwait, n->epoll, events, EVENTS,
				     shortage ? SHORTAGE_MS : -1, NULL, 8);
		atomic_store(&n->sleeping, false);
	}
	return NULL;
}

static int watch(struct net *n, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events | EPOLLET};

	return (int)host_syscall(SYS_epoll_ctl, n->epoll, EPOLL_CTL_ADD, fd, &event);
}

static int prepare(struct net *n)
{
	int result;

	n->epoll = hostfd_adopt((int)host_syscall(SYS_epoll_create1, EPOLL_CLOEXEC));
	n->wake = hostfd_adopt((int)host_syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (n->epoll < 0 || n->wake < 0)
		return n->epoll < 0 ? n->epoll : n->wake;
	result = watch(n, n->wake, EPOLLIN);
	for (unsigned pair = 0; pair < n->n_pairs && result == 0; pair++) {
		int fd = net_fd(n->port, pair);

		net_set_ready(n->port, pair, ready, n);
		if (fd >= 0)
			result = watch(n, fd, EPOLLIN | EPOLLOUT);
	}
	return result;
}

int net_thread_start(struct net *n)
{
	char name[16];
	int result;

	/* What fits in a thread's name is the address without its domain. */
	snprintf(name, sizeof(name), "standin-%.7s", standin_device_address(n->virtio.dev) + 5);
	atomic_store(&n->ending, false);
	result = prepare(n);
	if (result == 0)
		result = thread_start(&n->thread, name, run, n);
	if (result == 0)
		return 0;
	for (unsigned pair = 0; pair < n->n_pairs; pair++)
		net_set_ready(n->port, pair, NULL, NULL);
	hostfd_close(n->epoll);
	hostfd_close(n->wake);
	n->epoll = n->wake = -1;
	return result;
}

void net_thread_stop(struct net *n)
{
	static const uint64_t one = 1;

	if (n->epoll < 0)
		return;
	atomic_store(&n->ending, true);
	host_write(n->wake, &one, sizeof(one));
	pthread_join(n->thread, NULL);
	for (unsigned pair = 0; pair < n->n_pairs; pair++)
		net_set_ready(n->port, pair, NULL, NULL);
	hostfd_close(n->epoll);
	hostfd_close(n->wake);
	n->epoll = n->wake = -1;
}
