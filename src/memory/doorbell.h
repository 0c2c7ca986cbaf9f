/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/doorbell.h - the thread that polls a device's doorbells.
 *
 * It exists while doorbell pages of the device are mapped: mmio.c starts it with the
 * first and stops it with the last.  Models reach it by standin_doorbells_poll().
 */
#ifndef STANDIN_MEMORY_DOORBELL_H
#define STANDIN_MEMORY_DOORBELL_H

#include <stdbool.h>
#include <stdint.h>

struct standin_device;

/* Starts the device's thread if there is none.  Ordinary code only.  0 or -errno. */
int doorbells_start(struct standin_device *dev);
/* Ends it and waits for that.  Ordinary code only, not holding the registry's lock. */
void doorbells_stop(struct standin_device *dev);
/* Whether the device's doorbell pages are plain memory now.  For signal handlers too. */
bool doorbells_open(const struct standin_device *dev);
/* Set by mmio.c under the registry's lock, together with the pages' protection. */
void doorbells_set_open(struct standin_device *dev, bool open);
/*
 * A client's thread is about to wait in a system call: if sessions are open it looks at
 * their doorbells first.  Ordinary code only; cheap when there is no session.
 */
void doorbells_before_wait(void);
/* In the child of a fork: there is no thread. */
void doorbells_forked(struct standin_device *dev);
/* In a child whose registers are another process's: no polling any more. */
void doorbells_disable(void);

/* When polling begins and ends; benches and tests change it before anything is mapped. */
struct doorbell_policy {
	unsigned streak;         /* doorbells in a row that make a session begin ... */
	unsigned streak_max;     /* ... and as many when sessions have not paid */
	unsigned interval_ns;    /* in a row: not further apart than this */
	unsigned idle_ns;        /* a session ends after so long without work */
	unsigned look_ns;        /* how often it looks on while the client's threads work */
	unsigned yield_ns;       /* after so long it gives way to other threads ... */
	unsigned starved_ns;     /* ... and ends if it had to wait so long for its turn */
	unsigned session_rounds; /* rounds of work that make a session worth its cost */
};
extern struct doorbell_policy doorbell_policy;

/* What has happened so far, for benches and tests. */
struct doorbell_statistics {
	uint64_t requests; /* calls of standin_doorbells_poll() while not polling */
	uint64_t sessions; /* times that polling began */
	uint64_t rounds;   /* calls of model->doorbells() in sessions that found work ... */
	uint64_t looks;    /* ... of which by client threads that were about to wait */
};
void doorbells_statistics(const struct standin_device *dev, struct doorbell_statistics *ret);

#endif
