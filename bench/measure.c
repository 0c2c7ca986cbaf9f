/* SPDX-License-Identifier: BSD-3-Clause */
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

void need(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(double *values, unsigned n)
{
	qsort(values, n, sizeof(values[0]), compare);
	return values[n / 2];
}

unsigned choose_cpus(cpu_set_t cpus[2])
{
	unsigned n = 0;
	cpu_set_t all;

	need(sched_getaffinity(0, sizeof(all), &all) == 0, "sched_getaffinity");
	for (int cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&cpus[n]);
		CPU_SET(cpu, &cpus[n++]);
	}
	if (n == 1)
		cpus[1] = cpus[0];
	return n;
}

void run_on(const cpu_set_t *cpu)
{
	need(sched_setaffinity(0, sizeof(*cpu), cpu) == 0, "sched_setaffinity");
}

void *memory_get(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	need(p != MAP_FAILED, "mmap");
	return p;
}
