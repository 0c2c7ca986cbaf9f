/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/line.h - an interrupt line that ends in a client's eventfd.
 *
 * The line holds its own duplicate of the descriptor, as the kernel holds the eventfd's
 * context, so it survives the client's close.  Raising is safe in signal handlers and
 * against a concurrent change of the eventfd.
 */
#ifndef STANDIN_CORE_LINE_H
#define STANDIN_CORE_LINE_H

#include <stdatomic.h>
#include <stdbool.h>

struct line {
	_Atomic int eventfd;  /* private descriptor, -1: none */
	_Atomic int raising;  /* raises in progress: a change waits for them */
	const char *name;     /* for the trace: "msix" */
	unsigned index;
};

void line_init(struct line *l, const char *name, unsigned index);
void line_finish(struct line *l);
/*
 * Takes over `eventfd` (private, from user_fd_take) or -1 to disconnect.  The old one
 * gets no signal once this has returned.
 */
void line_connect(struct line *l, int eventfd);
bool line_connected(const struct line *l);
/* Adds one to the eventfd; nothing if there is none. */
void line_raise(struct line *l);
/* 0 if `fd` is an eventfd, -EBADF if it is closed, -EINVAL if it is something else. */
int line_check_eventfd(int fd);

#endif
