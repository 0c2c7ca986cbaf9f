/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/message.h - messages between processes under standin: a struct, and at most one descriptor.
 */
#ifndef STANDIN_CORE_MESSAGE_H
#define STANDIN_CORE_MESSAGE_H

#include <stddef.h>
#include <sys/types.h>

/* With a descriptor, or -1: none.  Bytes, or -errno. */
ssize_t message_send(int fd, const void *message, size_t size, int descriptor);
/*
 * Bytes, 0 at the end, or -errno; not interrupted by signals.  *ret_descriptor, close-on-exec, is the
 * caller's, or -1.  *ret_pid: who sent it, as the kernel says; 0 if it doesn't.
 */
ssize_t message_receive(int fd, void *message, size_t size, int *ret_descriptor, pid_t *ret_pid);

#endif
