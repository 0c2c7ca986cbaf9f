/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * watch_rig.h - an owner of ranges whose faults are answered by another thread.
 */
#ifndef STANDIN_TESTS_WATCH_RIG_H
#define STANDIN_TESTS_WATCH_RIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/watch.h"

struct watch_message {
	uintptr_t address;
	unsigned reason;
	bool write;
};

/* What the thread does about a message; afterwards the access is made again. */
typedef void watch_answer(const struct watch_message *m);

/* Starts the owner once, with its thread; forgets old messages. */
void watch_rig_start(watch_answer *answer);
/* From now on the owner has no message, and accesses get SIGBUS. */
void watch_rig_silent(bool silent);
/* How many messages there have been, and the last one. */
unsigned watch_rig_messages(void);
struct watch_message watch_rig_last(void);
/* The events since the start, oldest first, as many as there is room for: how many there are. */
unsigned watch_rig_events(struct watch_event *ret, unsigned n);

/* As in watch.h, with the lock around. */
int rig_watch(void *p, size_t size, unsigned modes);
void rig_unwatch(void *p, size_t size);
long rig_copy(void *to, const void *from, size_t size, unsigned flags);
long rig_zero(void *to, size_t size);
long rig_poison(void *to, size_t size);
long rig_continue(void *to, size_t size, unsigned flags);
long rig_move_pages(void *to, void *from, size_t size, bool holes);
int rig_protect(void *p, size_t size, bool on);
int rig_protect_all(void *p, size_t size, bool on);

/* What the client reads of the page in /proc/self/pagemap. */
uint64_t rig_pagemap(const void *p);

/* A page whose bytes tell its address. */
void rig_page(char *page, const void *address);
/* Whether it is that page in its place. */
bool rig_is_page(const char *address);
/* Answers a missing page with that page. */
void rig_answer_page(const struct watch_message *m);

/* The signal that an access raises, its si_code and address: 0, none. */
struct rig_signal {
	int number, code;
	uintptr_t address;
};
struct rig_signal rig_access(volatile char *p, bool store);

#endif
