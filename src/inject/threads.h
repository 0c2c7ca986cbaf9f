/* SPDX-License-Identifier: BSD-3-Clause */
/* inject/threads.h - reaching into the masks of threads that were there before us. */
#ifndef STANDIN_INJECT_THREADS_H
#define STANDIN_INJECT_THREADS_H

#include <stdint.h>

/*
 * Unblocks the signals of `mask` in all other threads; in each that had any of them
 * blocked `note` is called, in a signal handler of that thread, with those that were.
 * Waits for that, for some seconds at most.
 */
void threads_unblock(uint64_t mask, void (*note)(uint64_t blocked));

#endif
