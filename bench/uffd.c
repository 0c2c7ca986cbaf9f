/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What userfaultfd costs: an ordinary program, for the kernel's and for standin's.
 *
 *	bench-uffd faults    the time from a fault to the access that goes on, and faults a second
 *	bench-uffd copy      UFFDIO_COPY of 2 MiB at a time
 *	bench-uffd many      a million pages here and there in 8 GiB; needs 4 GiB of memory
 *
 * Prints NAME VALUE lines:
 *
 *	WAY_PLACE, WAY_PLACE_p99    microseconds, median and 99th percentile.  The handler polls and
 *	                            reads (poll), or reads a blocking file (read); it is on the
 *	                            processor of the thread that faults (same) or on another
 *	                            (across).  Pages in order, or, with _random, not; with
 *	                            _handled in a program that has a signal handler.
 *	pages_N                     faults a second of N threads and one handler that polls, on a
 *	                            processor of its own if there are two
 *	copy, copy_touched          GB/s, of 10^9 bytes, until the last call returns, and with
 *	                            the first access to every page after it
 *
 *	many_us, many_mappings      microseconds a page, and how many mappings there are then
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "measure.h"

#define PAGE        4096UL
#define CHUNK       (2UL << 20)
#define PAGES       10000u /* of a latency */
#define WARM        500u   /* that don't count */
#define RATE_PAGES  20000u
#define THREADS_MAX 16u
#define STRIDE      7919u /* a prime: an order that isn't one */

static uint64_t word_of(size_t page)
{
	return (page + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* ---- a userfaultfd and its memory ---- */

struct place {
	int uffd;
	char *memory;
	size_t size;
};

static void place_init(struct place *p, size_t size, int flags)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	char *room = mmap(NULL, size + CHUNK, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	need(room != MAP_FAILED, "mmap");
	p->size = size;
	p->memory = (char *)(((uintptr_t)room + CHUNK - 1) & ~(CHUNK - 1));
	p->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | flags);
	need(p->uffd >= 0, "userfaultfd");
	need(ioctl(p->uffd, UFFDIO_API, &api) == 0, "UFFDIO_API");
	reg.range = (struct uffdio_range){(uintptr_t)p->memory, size};
	need(ioctl(p->uffd, UFFDIO_REGISTER, &reg) == 0, "UFFDIO_REGISTER");
}

static void place_finish(struct place *p)
{
	need(munmap(p->memory, p->size) == 0, "munmap");
	close(p->uffd);
}

static void copy(const struct place *p, size_t offset, const char *from, size_t size)
{
	struct uffdio_copy c = {
		.dst = (uintptr_t)p->memory + offset, .src = (uintptr_t)from, .len = size};

	need(ioctl(p->uffd, UFFDIO_COPY, &c) == 0 && c.copy == (int64_t)size, "UFFDIO_COPY");
}

/* ---- the handler ---- */

struct handler {
	struct place *place;
	const cpu_set_t *cpu; /* NULL: any */
	bool polls;
	unsigned pages; /* until it ends */
	char *page;
	pthread_t thread;
};

static void *handle(void *argument)
{
	struct handler *h = argument;
	/* The second as clients have one: to be told to end. */
	struct pollfd fds[] = {{h->place->uffd, POLLIN, 0}, {eventfd(0, EFD_CLOEXEC), POLLIN, 0}};
	struct uffd_msg messages[THREADS_MAX];

	if (h->cpu)
		run_on(h->cpu);
	for (unsigned done = 0; done < h->pages;) {
		ssize_t n;

		need(!h->polls || poll(fds, 2, -1) == 1, "poll");
		n = read(h->place->uffd, messages, sizeof(messages));
		need(n > 0 || errno == EAGAIN, "read");
		for (ssize_t i = 0; i < n / (ssize_t)sizeof(messages[0]); i++) {
			size_t offset =
				messages[i].arg.pagefault.address - (uintptr_t)h->place->memory;

			memcpy(h->page, &(uint64_t){word_of(offset / PAGE)}, sizeof(uint64_t));
			copy(h->place, offset, h->page, PAGE);
			done++;
		}
	}
	close(fds[1].fd);
	return NULL;
}

static void handler_start(struct handler *h)
{
	h->page = memory_get(PAGE);
	need(pthread_create(&h->thread, NULL, handle, h) == 0, "pthread_create");
}

static void handler_join(struct handler *h)
{
	pthread_join(h->thread, NULL);
	munmap(h->page, PAGE);
}

static void touch(const struct place *p, size_t page)
{
	need(*(volatile uint64_t *)(p->memory + page * PAGE) == word_of(page), "content");
}

/* ---- from the fault to the access ---- */

static void latency(const char *name, bool polls, bool random, const cpu_set_t *mine,
		    const cpu_set_t *its)
{
	static double took[PAGES];
	struct place p;
	struct handler h = {.place = &p, .cpu = its, .polls = polls, .pages = WARM + PAGES};

	place_init(&p, (WARM + PAGES) * PAGE, polls ? O_NONBLOCK : 0);
	run_on(mine);
	handler_start(&h);
	for (size_t i = 0; i < WARM; i++)
		touch(&p, i);
	for (size_t i = 0; i < PAGES; i++) {
		size_t page = WARM + (random ? i * STRIDE % PAGES : i);
		double start = now_ns();

		touch(&p, page);
		took[i] = (now_ns() - start) / 1e3;
	}
	handler_join(&h);
	place_finish(&p);
	printf("%s %.2f\n", name, median(took, PAGES));
	printf("%s_p99 %.2f\n", name, took[PAGES * 99 / 100]); /* sorted by now */
}

/* ---- faults a second ---- */

struct faulting {
	const struct place *place;
	unsigned first, step;
	pthread_t thread;
};

static void *fault(void *argument)
{
	struct faulting *f = argument;

	for (size_t page = f->first; page < RATE_PAGES; page += f->step)
		touch(f->place, page);
	return NULL;
}

static void rate(unsigned threads, const cpu_set_t *others, const cpu_set_t *its)
{
	struct place p;
	struct handler h = {.place = &p, .cpu = its, .polls = true, .pages = RATE_PAGES};
	struct faulting f[THREADS_MAX];
	double start;

	place_init(&p, RATE_PAGES * PAGE, O_NONBLOCK);
	handler_start(&h);
	run_on(others); /* and whom this thread starts */
	start = now_ns();
	for (unsigned i = 0; i < threads; i++) {
		f[i] = (struct faulting){&p, i, threads, 0};
		need(pthread_create(&f[i].thread, NULL, fault, &f[i]) == 0, "pthread_create");
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(f[i].thread, NULL);
	printf("pages_%u %.0f\n", threads, RATE_PAGES / ((now_ns() - start) / 1e9));
	handler_join(&h);
	place_finish(&p);
}

static void ignore(int signal)
{
	(void)signal;
}

static void faults(void)
{
	cpu_set_t all, cpus[2];

	need(sched_getaffinity(0, sizeof(all), &all) == 0, "sched_getaffinity");
	for (int polls = 1; polls >= 0; polls--) {
		const char *way = polls ? "poll" : "read";
		char name[32];

		snprintf(name, sizeof(name), "%s_same", way);
		choose_cpus(cpus);
		latency(name, polls, false, &cpus[0], &cpus[0]);
		snprintf(name, sizeof(name), "%s_same_random", way);
		latency(name, polls, true, &cpus[0], &cpus[0]);
		run_on(&all);
		if (choose_cpus(cpus) < 2)
			continue;
		snprintf(name, sizeof(name), "%s_across", way);
		latency(name, polls, false, &cpus[0], &cpus[1]);
		run_on(&all);
	}
	if (choose_cpus(cpus) == 2)
		CPU_XOR(&all, &all, &cpus[0]);
	for (unsigned threads = 1; threads <= THREADS_MAX; threads *= 4)
		rate(threads, &all, &cpus[0]);
	/* From here on. */
	signal(SIGUSR1, ignore);
	choose_cpus(cpus);
	latency("poll_same_handled", true, false, &cpus[0], &cpus[0]);
	latency("read_same_handled", false, false, &cpus[0], &cpus[0]);
}

/* ---- without faults ---- */

static void copies(void)
{
	enum { ROUNDS = 3, CHUNKS = 128 };
	double took[ROUNDS], touched[ROUNDS];
	char *from = memory_get(CHUNK);
	struct place p;

	memset(from, 1, CHUNK);
	place_init(&p, CHUNKS * CHUNK, O_NONBLOCK);
	for (unsigned round = 0; round <= ROUNDS; round++) {
		double start = now_ns(), end;
		size_t sum = 0;

		for (size_t i = 0; i < CHUNKS; i++)
			copy(&p, i * CHUNK, from, CHUNK);
		end = now_ns();
		for (size_t at = 0; at < p.size; at += PAGE)
			sum += *(volatile const unsigned char *)(p.memory + at);
		need(sum == p.size / PAGE, "content");
		/* The first has the memory from the machine itself, perhaps. */
		if (round) {
			took[round - 1] = end - start;
			touched[round - 1] = now_ns() - start;
		}
		need(madvise(p.memory, p.size, MADV_DONTNEED) == 0, "madvise");
	}
	printf("copy %.3f\n", (double)p.size / median(took, ROUNDS));
	printf("copy_touched %.3f\n", (double)p.size / median(touched, ROUNDS));
	place_finish(&p);
}

static unsigned mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned lines = 0;

	need(maps, "/proc/self/maps");
	for (int c; (c = getc(maps)) != EOF;)
		lines += c == '\n';
	fclose(maps);
	return lines;
}

static void many(void)
{
	const size_t all = UINT64_C(8) << 30, count = 1000000, slots = all / PAGE;
	char *from = memory_get(PAGE), *room = memory_get(count * PAGE);
	double start;
	struct place p;

	munmap(room, count * PAGE); /* so that the machine has it ready */
	place_init(&p, all, O_NONBLOCK);
	start = now_ns();
	for (size_t i = 0; i < count; i++) {
		/* Odd times modulo a power of two: none comes twice. */
		size_t page = i * 1566083941 % slots;

		memcpy(from, &(uint64_t){word_of(page)}, sizeof(uint64_t));
		copy(&p, page * PAGE, from, PAGE);
	}
	printf("many_us %.2f\n", (now_ns() - start) / 1e3 / (double)count);
	printf("many_mappings %u\n", mappings());
	for (size_t i = 0; i < count; i += 997)
		touch(&p, i * 1566083941 % slots);
	place_finish(&p);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "faults") == 0) {
		faults();
	} else if (strcmp(what, "copy") == 0) {
		copies();
	} else if (strcmp(what, "many") == 0) {
		many();
	} else {
		fprintf(stderr, "usage: bench-uffd faults|copy|many\n");
		return 2;
	}
	return 0;
}
