// SPDX-License-Identifier: BSD-3-Clause
/*
 * A thread that gives a device its own stack, from the frames in use to far below, and then goes
 * down into what has been taken and comes up again: an ordinary program, run under
 * `standin run`.  Exits with 1 when something is wrong.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "../../src/uapi/hmm.h"

#define PAGE  4096UL
#define BELOW (400 * PAGE)
#define DEPTH 200u

static const char *device;
static char *data;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void call(int fd, unsigned long request, uintptr_t start, uintptr_t end)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = start, .ptr = (uintptr_t)data, .npages = (end - start) / PAGE};

	if (ioctl(fd, request, &cmd))
		fail("ioctl");
}

static void give(int fd, uintptr_t start, uintptr_t end)
{
	call(fd, HMM_DMIRROR_MIGRATE_TO_DEV, start, end);
	call(fd, HMM_DMIRROR_READ, start, end);
	call(fd, HMM_DMIRROR_EXCLUSIVE, start, end);
	call(fd, HMM_DMIRROR_MIGRATE_TO_DEV, start, end);
}

/* Frames of odd sizes, so that one or another call is made just above a page that is away. */
static void descend(int fd, uintptr_t start, uintptr_t end, unsigned depth)
{
	volatile char frame[5008];

	memset((char *)frame, (int)depth, sizeof(frame));
	if (depth == 0)
		give(fd, start, end);
	else
		descend(fd, start, end, depth - 1);
	for (size_t i = 0; i < sizeof(frame); i++)
		if (frame[i] != (char)depth)
			fail("a frame");
}

static void *run(void *unused)
{
	stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
	uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(PAGE - 1);
	int fd = open(device, O_RDWR);

	if (fd < 0 || sigaltstack(&stack, NULL))
		fail(device);
	for (unsigned depth = 0; depth < DEPTH; depth += 23)
		descend(fd, here - BELOW, here, depth);
	return unused;
}

/* The kernel's own stack mapping grows to where it has been used. */
static void grow(void)
{
	volatile char room[BELOW + 16 * PAGE];

	for (size_t at = sizeof(room) - 1; at > PAGE; at -= PAGE)
		room[at] = 1;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	device = argc > 1 ? argv[1] : "";
	data = mmap(NULL, BELOW, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (data == MAP_FAILED || pthread_create(&thread, NULL, run, NULL))
		fail("a thread");
	pthread_join(thread, NULL);
	grow();
	run(NULL);
	return 0;
}
