/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/thread.h - threads of the runtime's own inside a client.
 */
#ifndef STANDIN_CORE_THREAD_H
#define STANDIN_CORE_THREAD_H

#include <pthread.h>

/*
 * Starts a thread with a small stack that takes none of the client's signals: all are
 * blocked but those that its own memory accesses and system calls can raise.  `name` is at
 * most 15 bytes.  Ended by pthread_join().  Ordinary context only.  0 or -errno.
 */
int thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *arg), void *arg);

#endif
