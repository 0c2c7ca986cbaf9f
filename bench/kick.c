/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long it takes from a kick to vhost's worker and from its call back, over /dev/vhost-test,
 *which hands every buffer back at once; beside two threads that wake each other through eventfds.
 *Prints NAME VALUE lines, microseconds one way, the median of all: for both sides asleep half of
 *there and back, and for a driver that looks for its buffer instead of waiting for the call, the
 *time until it is there.
 *
 *	eventfd_same, eventfd_across	the two threads, on one processor or two
 *	kick_same, kick_across		the worker, which sleeps in between
 *	poll_same, poll_across		the worker, with a busyloop timeout of POLL_US
 *	kick_seen, poll_seen		the same on two processors, and the driver looks
 *
 * Each is measured ROUNDS times in turn.  On one processor there are the first of each line alone.
 */
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vhost_driver.h"

#define TEST_RUN _IOW(VHOST_VIRTIO, 0x31, int) /* drivers/vhost/test.h */
#define NUM      16u
#define POLL_US  100u
#define ROUNDS   8u
#define TIMES    200u /* a round */
#define PAUSE_NS 50e3 /* until the worker is asleep */

static const uint64_t one = 1;

/* A thread that answers, and the files of a device whose worker is on the same processor. */
struct place {
	cpu_set_t cpu;
	int there, back;
	pthread_t thread;
	int vhost;
	struct driver_ring ring;
	char buffer[64];
};

/* ---- one way, once: microseconds ---- */

static double by_eventfd(struct place *p)
{
	double start = now_ns();
	uint64_t count;

	need(write(p->there, &one, sizeof(one)) == sizeof(one), "write");
	need(read(p->back, &count, sizeof(count)) == sizeof(count), "read");
	return (now_ns() - start) / 2e3;
}

static void kick(struct place *p)
{
	struct driver_ring *r = &p->ring;
	uint16_t before = r->avail;

	driver_ring_add(r, before % NUM, p->buffer, sizeof(p->buffer), false);
	driver_ring_publish(r, before);
}

static double by_kick(struct place *p)
{
	double start = now_ns();

	kick(p);
	driver_ring_wait(&p->ring, 1);
	p->ring.seen++;
	return (now_ns() - start) / 2e3;
}

static double by_look(struct place *p)
{
	double start = now_ns();

	while (now_ns() - start < PAUSE_NS)
		;
	driver_ring_no_calls(&p->ring);
	start = now_ns();
	kick(p);
	while (!driver_ring_used(&p->ring))
		;
	p->ring.seen++;
	return (now_ns() - start) / 1e3;
}

static void set_poll(struct place *p, unsigned us)
{
	struct vhost_vring_state s = {.num = us};

	need(ioctl(p->vhost, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, &s) == 0, "BUSYLOOP_TIMEOUT");
}

/* ---- */

static void *answer(void *arg)
{
	struct place *p = arg;
	uint64_t count;

	run_on(&p->cpu);
	while (read(p->there, &count, sizeof(count)) == sizeof(count))
		need(write(p->back, &one, sizeof(one)) == sizeof(one), "write");
	return NULL;
}

static void place_init(struct place *p, const cpu_set_t *cpu, const cpu_set_t *driver)
{
	int on = 1;

	p->cpu = *cpu;
	p->there = eventfd(0, EFD_CLOEXEC);
	p->back = eventfd(0, EFD_CLOEXEC);
	need(p->there >= 0 && p->back >= 0, "eventfd");
	need(pthread_create(&p->thread, NULL, answer, p) == 0, "pthread_create");
	run_on(cpu);
	p->vhost = driver_open("/dev/vhost-test", 0);
	run_on(driver);
	driver_ring_init(&p->ring, p->vhost, 0, NUM);
	need(ioctl(p->vhost, TEST_RUN, &on) == 0, "VHOST_TEST_RUN");
}

struct figure {
	const char *name;
	double (*one_way)(struct place *p);
	unsigned place, poll;
	double us[ROUNDS * TIMES];
};

static struct figure figures[] = {
	{"eventfd_same", by_eventfd, 0, 0, {0}}, {"kick_same", by_kick, 0, 0, {0}},
	{"poll_same", by_kick, 0, POLL_US, {0}}, {"eventfd_across", by_eventfd, 1, 0, {0}},
	{"kick_across", by_kick, 1, 0, {0}},     {"poll_across", by_kick, 1, POLL_US, {0}},
	{"kick_seen", by_look, 1, 0, {0}},       {"poll_seen", by_look, 1, POLL_US, {0}},
};

static void round_of(struct figure *f, struct place *p, unsigned round)
{
	set_poll(p, f->poll);
	f->one_way(p);
	for (unsigned i = 0; i < TIMES; i++)
		f->us[round * TIMES + i] = f->one_way(p);
	set_poll(p, 0);
}

int main(void)
{
	static struct place places[2];
	cpu_set_t cpus[2];
	unsigned n_places = choose_cpus(cpus);
	unsigned n = n_places == 2 ? sizeof(figures) / sizeof(figures[0]) : 3;

	run_on(&cpus[0]);
	for (unsigned i = 0; i < n_places; i++)
		place_init(&places[i], &cpus[i], &cpus[0]);
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned i = 0; i < n; i++)
			round_of(&figures[i], &places[figures[i].place], round);
	for (unsigned i = 0; i < n; i++)
		printf("%s %.2f\n", figures[i].name, median(figures[i].us, ROUNDS * TIMES));
	return 0;
}
