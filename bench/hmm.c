// SPDX-License-Identifier: BSD-3-Clause
/*
 * What migration between system memory and the device's costs, and the fault that brings a
 * page back, beside memcpy of as many bytes and a bare SIGSEGV.  An ordinary program: run by
 * bench/hmm.sh under `standin run`, or in a kernel that has the device.  Prints "NAME VALUE":
 * GB/s, of 10^9 bytes, or microseconds.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../src/uapi/hmm.h"

#define PAGE 4096UL
#define HUGE (2UL << 20)

static int device;
static char *far; /* where the device's data goes */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values, unsigned n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static char *map(size_t size, int advice)
{
	char *room =
		mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at = (char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));

	if (room == MAP_FAILED)
		die("mmap");
	madvise(at, size, advice);
	memset(at, 1, size);
	return at;
}

static void call(unsigned long request, char *address, size_t size, uint64_t expected)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = (uintptr_t)address, .ptr = (uintptr_t)far, .npages = size / PAGE};

	if (ioctl(device, request, &cmd))
		die("ioctl");
	if (expected && cmd.cpages != expected) {
		fprintf(stderr, "%llu pages of %llu\n", (unsigned long long)cmd.cpages,
			(unsigned long long)expected);
		exit(1);
	}
}

static void sizes(const char *pages, int advice)
{
	static const struct {
		const char *name;
		size_t size;
		unsigned rounds;
	} s[] = {{"4K", PAGE, 2001}, {"2M", HUGE, 101}, {"256M", 256UL << 20, 5}};

	for (unsigned i = 0; i < sizeof(s) / sizeof(s[0]); i++) {
		size_t size = s[i].size;
		double *copy = calloc(s[i].rounds, sizeof(double) * 4), *to = copy + s[i].rounds,
		       *back = to + s[i].rounds, *read = back + s[i].rounds;
		char *m = map(size, advice);

		for (unsigned r = 0; r < s[i].rounds; r++) {
			double t = now();

			memcpy(far, m, size);
			copy[r] = now() - t;
			t = now();
			call(HMM_DMIRROR_READ, m, size, size / PAGE);
			read[r] = now() - t;
			t = now();
			call(HMM_DMIRROR_MIGRATE_TO_DEV, m, size, size / PAGE);
			to[r] = now() - t;
			t = now();
			call(HMM_DMIRROR_MIGRATE_TO_SYS, m, size, 0);
			back[r] = now() - t;
			if (m[size - 1] != 1) {
				fprintf(stderr, "wrong data\n");
				exit(1);
			}
		}
		printf("memcpy_%s_%s %.3f\n", s[i].name, pages,
		       (double)size / median(copy, s[i].rounds) / 1e9);
		printf("read_%s_%s %.3f\n", s[i].name, pages,
		       (double)size / median(read, s[i].rounds) / 1e9);
		printf("to_device_%s_%s %.3f\n", s[i].name, pages,
		       (double)size / median(to, s[i].rounds) / 1e9);
		printf("to_system_%s_%s %.3f\n", s[i].name, pages,
		       (double)size / median(back, s[i].rounds) / 1e9);
		free(copy);
		munmap(m, size);
	}
}

static volatile sig_atomic_t caught;
static char *trap;

/* Lets the page be read, so that the load goes on. */
static void on_segv(int signal)
{
	(void)signal;
	caught++;
	mprotect(trap, PAGE, PROT_READ);
}

static void bare_fault(void)
{
	enum { ROUNDS = 20001 };
	static double bare[ROUNDS];
	struct sigaction action = {.sa_handler = on_segv}, old;

	trap = map(PAGE, MADV_NOHUGEPAGE);
	sigaction(SIGSEGV, &action, &old);
	for (unsigned r = 0; r < ROUNDS; r++) {
		double t;

		mprotect(trap, PAGE, PROT_NONE);
		t = now();
		(void)*(volatile char *)trap;
		bare[r] = now() - t;
	}
	sigaction(SIGSEGV, &old, NULL);
	printf("segv %.3f\n", median(bare, ROUNDS) * 1e6);
}

static void fault_back(void)
{
	enum { PAGES = 4096 };
	static double back[PAGES];
	char *m = map(PAGES * PAGE, MADV_NOHUGEPAGE);

	call(HMM_DMIRROR_MIGRATE_TO_DEV, m, PAGES * PAGE, PAGES);
	for (unsigned i = 0; i < PAGES; i++) {
		/* Not in order, as a program would. */
		volatile char *p = m + i * 1531UL % PAGES * PAGE;
		double t = now();

		(void)*p;
		back[i] = now() - t;
	}
	printf("fault_back %.3f\n", median(back, PAGES) * 1e6);
	munmap(m, PAGES * PAGE);
}

int main(void)
{
	device = open("/dev/hmm_dmirror0", O_RDWR);
	if (device < 0)
		die("/dev/hmm_dmirror0");
	far = map(256UL << 20, MADV_HUGEPAGE);
	sizes("small", MADV_NOHUGEPAGE);
	sizes("huge", MADV_HUGEPAGE);
	bare_fault();
	fault_back();
	return 0;
}
