/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A process whose faults another one serves, and what becomes of it when that one is killed.
 *
 *	uffd-fault SOCKET CONTENT anon|shared WHAT [ROUNDS]
 *
 * Listens at SOCKET for uffd-handler, as often as it needs one; threads touch memory that is
 * to have the content of the file.  WHAT:
 *
 *	served    by one handler, to the end; every other page is discarded in between
 *	last      the handler has the only reference and is killed at any time: nobody may wait,
 *	          and a page is as the handler gave it or zero
 *	held      the handler is killed, but this process has its userfaultfd too: who faults waits,
 *	          until the next handler gives the content, or until this process closes it
 *	forever   touches and discards until it is killed
 */
#include "uffd_peer.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

enum { THREADS = 4 };

static char *memory, *content;
static size_t size;
static int uffd = -1, listener;
static bool shared, zeros_allowed, discards, forever;
static atomic_uint touched; /* pages, by all threads */
static const char zeros[PEER_PAGE];

/* ---- the threads ---- */

static void check(size_t page, bool discarded)
{
	const char *at = memory + page * PEER_PAGE;
	const char *expected = discarded ? zeros : content + page * PEER_PAGE;

	/* The first access is one load: what installs a page makes all of it visible at once. */
	(void)*(volatile const char *)(at + 8 * (page % 512));
	if (memcmp(at, expected, PEER_PAGE) != 0 &&
	    !(zeros_allowed && memcmp(at, zeros, PEER_PAGE) == 0)) {
		printf("page %zu is neither as the handler gave it nor zero\n", page);
		exit(1);
	}
	touched++;
}

/* Afterwards it is zero, with userfaultfd or without. */
static void discard(char *at, size_t length)
{
	CHECK(madvise(at, length, shared ? MADV_REMOVE : MADV_DONTNEED) == 0);
}

static void *touch(void *argument)
{
	size_t thread = (size_t)argument, pages = size / PEER_PAGE, mine = pages / THREADS;

	do {
		for (size_t i = 0; i < mine; i++) {
			/* In an order of its own: 7919 is a prime. */
			size_t page = (i * 7919 % mine) * THREADS + thread;
			char *at = memory + page * PEER_PAGE;

			check(page, false);
			if (!discards || i % 2)
				continue;
			memset(at, 0x5a, PEER_PAGE);
			discard(at, PEER_PAGE);
			check(page, true);
		}
		if (forever)
			discard(memory + thread * (size / THREADS), size / THREADS);
	} while (forever);
	return NULL;
}

static void start(pthread_t threads[THREADS])
{
	touched = 0;
	for (size_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, touch, (void *)i) == 0);
}

static void join(pthread_t threads[THREADS])
{
	for (size_t i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
}

/* ---- the memory and its handler ---- */

static void listen_at(const char *path)
{
	struct sockaddr_un address;
	char before[sizeof(address.sun_path)];

	/* When its name is there, it listens. */
	CHECK(snprintf(before, sizeof(before), "%s.new", path) < (int)sizeof(before));
	listener = peer_socket(before, &address);
	CHECK(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK(listen(listener, 4) == 0);
	CHECK(rename(before, path) == 0);
}

static void make_memory(void)
{
	struct uffdio_api api = {.api = UFFD_API,
				 .features = discards ? UFFD_FEATURE_EVENT_REMOVE : 0};
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};

	memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED);
	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	CHECK(uffd >= 0);
	CHECK(ioctl(uffd, UFFDIO_API, &api) == 0);
	reg.range = (struct uffdio_range){(uintptr_t)memory, size};
	CHECK(ioctl(uffd, UFFDIO_REGISTER, &reg) == 0);
}

/* Waits for a handler and hands it the userfaultfd.  Returns the connection. */
static int hand_over(bool again)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)),
			      .cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_RIGHTS}};
	struct peer_region region = {(uintptr_t)memory, size, again};
	struct iovec iov = {&region, sizeof(region)};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	CHECK(connection >= 0);
	memcpy(CMSG_DATA(&control.head), &uffd, sizeof(uffd));
	CHECK(sendmsg(connection, &message, MSG_NOSIGNAL) == sizeof(region));
	return connection;
}

/* After so many pages, or in the middle of one; returns when it is gone. */
static void kill_handler(int connection)
{
	unsigned pages = peer_random((unsigned)(size / PEER_PAGE));
	struct pollfd poller = {.fd = connection};

	while (touched < pages)
		sched_yield();
	peer_sleep_us(peer_random(300));
	CHECK(kill(peer_pid(connection), SIGKILL) == 0);
	CHECK(poll(&poller, 1, -1) == 1 && (poller.revents & POLLHUP));
	close(connection);
}

/* ---- what is asked for ---- */

static void served(void)
{
	pthread_t threads[THREADS];
	int connection;

	discards = true;
	make_memory();
	connection = hand_over(false);
	start(threads);
	join(threads);
	printf("served: %u pages\n", touched);
	close(connection);
}

static void last(void)
{
	pthread_t threads[THREADS];
	int connection;

	discards = zeros_allowed = true;
	make_memory();
	connection = hand_over(false);
	close(uffd);
	start(threads);
	kill_handler(connection);
	join(threads);
	/* With the userfaultfd the registration went. */
	discard(memory, size);
	CHECK(memcmp(memory, zeros, PEER_PAGE) == 0);
	CHECK(munmap(memory, size) == 0);
}

static void held(bool another)
{
	pthread_t threads[THREADS];
	int connection;

	discards = false;
	zeros_allowed = !another;
	make_memory();
	connection = hand_over(false);
	start(threads);
	kill_handler(connection);
	peer_sleep_us(peer_random(5000));
	if (another) {
		/* Nobody has gone on meanwhile: that would have been with a page of zeros. */
		connection = hand_over(true);
		join(threads);
		CHECK(touched == size / PEER_PAGE);
		close(connection);
		close(uffd);
	} else {
		close(uffd);
		join(threads);
	}
	CHECK(munmap(memory, size) == 0);
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	unsigned rounds = argc > 5 ? (unsigned)atoi(argv[5]) : 1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	CHECK(argc > 4);
	content = peer_content(argv[2], &size);
	CHECK(size / PEER_PAGE % THREADS == 0);
	shared = strcmp(argv[3], "shared") == 0;
	listen_at(argv[1]);
	for (unsigned i = 0; i < rounds; i++) {
		if (strcmp(argv[4], "served") == 0) {
			served();
		} else if (strcmp(argv[4], "last") == 0) {
			last();
		} else if (strcmp(argv[4], "held") == 0) {
			held(i % 2);
		} else {
			forever = discards = zeros_allowed = true;
			make_memory();
			hand_over(false);
			start(threads);
			join(threads);
		}
	}
	printf("%s, %s: %u rounds\n", argv[4], argv[3], rounds);
	unlink(argv[1]);
	return 0;
}
