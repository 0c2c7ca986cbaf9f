/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/clock.h - the agent's time: nanoseconds that nobody sets back.
 */
#ifndef STANDIN_AGENT_CLOCK_H
#define STANDIN_AGENT_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_NEVER  INT64_MAX
#define CLOCK_MS     INT64_C(1000000)
#define CLOCK_SECOND (1000 * CLOCK_MS)

static inline int64_t clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * CLOCK_SECOND + t.tv_nsec;
}

static inline int64_t clock_earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

#endif
