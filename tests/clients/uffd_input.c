/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pipes and streams that are read to memory whose pages come and go: nothing may get lost.
 *
 * What is read and where it goes is of random sizes, the same in each run; a writer is now and then
 * slower.  A thread gives missing pages as zeroes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "need.h"

enum { PAGE = 4096, SIZE = 64 * PAGE, TOTAL = 1 << 20, WRITE_MAX = 65536 };

static int uffd;
static char *memory;

static void *give_pages(void *arg)
{
	struct pollfd p = {.fd = uffd, .events = POLLIN};
	struct uffdio_zeropage page;
	struct uffd_msg message;

	for (;;) {
		poll(&p, 1, -1);
		if (read(uffd, &message, sizeof(message)) != sizeof(message))
			continue;
		page = (struct uffdio_zeropage){
			.range = {message.arg.pagefault.address & -(uint64_t)PAGE, PAGE}};
		if (ioctl(uffd, UFFDIO_ZEROPAGE, &page) < 0)
			ioctl(uffd, UFFDIO_WAKE, &page.range);
	}
	return arg;
}

static char byte_at(size_t at)
{
	return (char)((at * 2654435761u) >> 13);
}

static size_t at_random(unsigned *seed, size_t limit)
{
	return 1 + (size_t)rand_r(seed) % limit;
}

static void *write_all(void *end)
{
	static char buffer[WRITE_MAX];
	unsigned seed = 1;
	int fd = *(int *)end;
	ssize_t n;

	for (size_t at = 0; at < TOTAL; at += (size_t)n) {
		size_t size = at_random(&seed, rand_r(&seed) % 8 ? 300 : WRITE_MAX);

		size = size < TOTAL - at ? size : TOTAL - at;
		for (size_t i = 0; i < size; i++)
			buffer[i] = byte_at(at + i);
		n = write(fd, buffer, size);
		NEED(n > 0);
		if (rand_r(&seed) % 16 == 0)
			usleep(50);
	}
	close(fd);
	return NULL;
}

static ssize_t by_read(int fd, char *to, size_t size)
{
	return read(fd, to, size);
}

static ssize_t by_readv(int fd, char *to, size_t size)
{
	struct iovec parts[2] = {{to, size / 3}, {to + size / 3, size - size / 3}};

	return readv(fd, parts, 2);
}

static ssize_t by_recv(int fd, char *to, size_t size)
{
	return recv(fd, to, size, 0);
}

static void make_pipe(int *ends)
{
	NEED(pipe(ends) == 0);
}

static void make_stream(int *ends)
{
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
}

static void make_connection(int *ends)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	ends[1] = socket(AF_INET, SOCK_STREAM, 0);
	NEED(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0);
	NEED(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
	NEED(connect(ends[1], (struct sockaddr *)&address, size) == 0);
	ends[0] = accept(listener, NULL, NULL);
	NEED(ends[0] >= 0);
	close(listener);
}

static void run(const char *name, void (*make)(int *ends),
		ssize_t (*input)(int fd, char *to, size_t size))
{
	unsigned seed = 7;
	size_t at = 0;
	pthread_t writer;
	int ends[2];
	ssize_t n;

	make(ends);
	NEED(pthread_create(&writer, NULL, write_all, &ends[1]) == 0);
	do {
		char *to = memory + rand_r(&seed) % (SIZE / 2);
		size_t room = at_random(&seed, rand_r(&seed) % 2 ? 5000 : SIZE / 2);

		if (rand_r(&seed) % 2)
			madvise(memory, SIZE, MADV_DONTNEED);
		n = input(ends[0], to, room);
		NEED(n >= 0);
		for (ssize_t i = 0; i < n; i++, at++)
			NEED(to[i] == byte_at(at));
	} while (n);
	NEED(at == TOTAL);
	pthread_join(writer, NULL);
	close(ends[0]);
	printf("%s: all there\n", name);
}

int main(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register all = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	pthread_t handler;

	uffd = (int)syscall(SYS_userfaultfd, O_NONBLOCK | O_CLOEXEC);
	NEED(uffd >= 0 && ioctl(uffd, UFFDIO_API, &api) == 0);
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	NEED(memory != MAP_FAILED);
	all.range = (struct uffdio_range){(uintptr_t)memory, SIZE};
	NEED(ioctl(uffd, UFFDIO_REGISTER, &all) == 0);
	NEED(pthread_create(&handler, NULL, give_pages, NULL) == 0);
	run("pipe, read", make_pipe, by_read);
	run("pipe, readv", make_pipe, by_readv);
	run("stream, read", make_stream, by_read);
	run("stream, recv", make_stream, by_recv);
	run("connection, readv", make_connection, by_readv);
	run("connection, recv", make_connection, by_recv);
	return 0;
}
