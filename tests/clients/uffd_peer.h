/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What uffd-fault and uffd-handler say to each other, over a Unix socket of packets: the one that
 * faults sends one struct peer_region with its userfaultfd attached, and nothing more; either knows
 * by the end of the connection that the other is gone.
 */
#ifndef STANDIN_TESTS_UFFD_PEER_H
#define STANDIN_TESTS_UFFD_PEER_H

#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "passing.h"

#define PEER_PAGE 4096UL

struct peer_region {
	uint64_t base; /* in the process that faults */
	uint64_t size; /* of the memory, and of the file that its content comes from */
	/* Another handler had it before and is gone; it may have read of faults that still wait. */
	uint64_t again;
};

/* From 0 to n - 1; another sequence in every process. */
static inline unsigned peer_random(unsigned n)
{
	static uint64_t state;
	struct timespec t;

	if (!state) {
		clock_gettime(CLOCK_MONOTONIC, &t);
		state = (uint64_t)t.tv_nsec << 20 ^ (uint64_t)t.tv_sec ^ (uint64_t)getpid() << 40;
	}
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)((state >> 33) % n);
}

static inline void peer_sleep_us(unsigned us)
{
	struct timespec t = {.tv_nsec = us * 1000L};

	nanosleep(&t, NULL);
}

static inline int peer_socket(const char *path, struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	CHECK(strlen(path) < sizeof(address->sun_path));
	strcpy(address->sun_path, path);
	return fd;
}

/* The process at the other end, which may be gone by now. */
static inline pid_t peer_pid(int connection)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	CHECK(getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &cred, &size) == 0);
	return cred.pid;
}

/* One that is this process's own, wherever it was started. */
static inline char *peer_content(const char *path, size_t *size)
{
	FILE *file = fopen(path, "re");
	struct stat s;
	char *content;

	CHECK(file && fstat(fileno(file), &s) == 0 && s.st_size > 0);
	*size = (size_t)s.st_size;
	CHECK(*size % PEER_PAGE == 0);
	content = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fileno(file), 0);
	CHECK(content != MAP_FAILED);
	fclose(file);
	return content;
}

#endif
