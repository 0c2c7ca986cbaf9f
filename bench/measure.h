/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What programs that measure have in common.  What fails ends the program.
 */
#ifndef STANDIN_BENCH_MEASURE_H
#define STANDIN_BENCH_MEASURE_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

/* Prints what failed, and why, and exits. */
void need(bool ok, const char *what);
double now_ns(void);
double median(double *values, unsigned n); /* sorts them */
/* Up to two processors that this process may use; how many there are.  If it is one, it is both. */
unsigned choose_cpus(cpu_set_t cpus[2]);
/* This thread does, from now on.  A worker is where its owner is when it starts. */
void run_on(const cpu_set_t *cpu);
/* Memory that has been touched. */
void *memory_get(size_t size);

#endif
