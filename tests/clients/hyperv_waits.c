/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A daemon for KVP that waits for its messages in every way there is, each in turn, and answers
 * that there is no such thing: by read(), poll(), ppoll(), select() and epoll_wait(), in a child
 *that waits for its parent, and in a second thread that waits while the first one reads and writes.
 *
 *	hyperv-waits COUNT    of messages in each way; says "done" when all are over
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/hyperv.h>

static int device, events;

static void fail(const char *what)
{
	perror(what);
	_exit(1);
}

static void by_read(void)
{
}

static void by_poll(void)
{
	struct pollfd p[] = {{.fd = -1, .events = POLLIN}, {.fd = device, .events = POLLIN}};

	if (poll(p, 2, -1) != 1 || p[1].revents != POLLIN)
		fail("poll");
}

static void by_ppoll(void)
{
	const struct timespec minute = {.tv_sec = 60};
	struct pollfd p = {.fd = device, .events = POLLIN | POLLOUT};

	if (ppoll(&p, 1, &minute, NULL) != 1 || p.revents != POLLIN)
		fail("ppoll");
}

static void by_select(void)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(device, &set);
	if (select(device + 1, &set, NULL, NULL, NULL) != 1)
		fail("select");
}

static void by_epoll(void)
{
	struct epoll_event e;

	if (epoll_wait(events, &e, 1, -1) != 1)
		fail("epoll_wait");
}

/* What another thread waits for, and then says. */
static sem_t begin, there;
static void (*other_way)(void);

static void *wait_for_another(void *arg)
{
	for (;;) {
		sem_wait(&begin);
		other_way();
		sem_post(&there);
	}
	return NULL;
}

static void by_thread(void)
{
	sem_post(&begin);
	sem_wait(&there);
}

static void by_child(void)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		by_poll();
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status)
		fail("child");
}

static void open_device(void (*wait)(void))
{
	struct hv_kvp_msg m = {.kvp_hdr.operation = KVP_OP_REGISTER1};

	device = open("/dev/vmbus/hv_kvp", O_RDWR | O_CLOEXEC);
	if (device < 0 || write(device, &m, sizeof(m)) != sizeof(m))
		fail("/dev/vmbus/hv_kvp");
	wait();
	if (read(device, &m, sizeof(m)) != sizeof(m))
		fail("read");
}

static void serve(void (*wait)(void), int count)
{
	struct hv_kvp_msg m;

	for (int i = 0; i < count; i++) {
		wait();
		if (read(device, &m, sizeof(m)) != sizeof(m))
			fail("read");
		m.error = (int)HV_S_CONT;
		if (write(device, &m, sizeof(m)) != sizeof(m))
			fail("write");
	}
}

/* After what needs least: poll, and nobody else. */
static void serve_anew(void (*wait)(void), int count)
{
	close(device);
	open_device(by_poll);
	serve(by_poll, count);
	if (wait == by_epoll || other_way == by_epoll) {
		struct epoll_event e = {.events = EPOLLIN};

		if (epoll_ctl(events, EPOLL_CTL_ADD, device, &e) < 0)
			fail("epoll_ctl");
	}
	serve(wait, count);
}

int main(int argc, char **argv)
{
	static void (*const ways[])(void) = {by_read, by_poll,   by_ppoll, by_read,
					     by_poll, by_select, by_poll};
	int count = argc > 1 ? atoi(argv[1]) : 1;
	pthread_t thread;

	sem_init(&begin, 0, 0);
	sem_init(&there, 0, 0);
	events = epoll_create1(EPOLL_CLOEXEC);
	open_device(by_read);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		serve(ways[i], count);
	serve_anew(by_child, 2);
	serve_anew(by_epoll, count);
	if (pthread_create(&thread, NULL, wait_for_another, NULL) != 0)
		fail("thread");
	other_way = by_poll;
	serve_anew(by_thread, count);
	other_way = by_epoll;
	serve_anew(by_thread, count);
	puts("done");
	return 0;
}
