/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio/eventfd_watch.h - calls a function whenever the client adds to an eventfd.
 *
 * What the kernel's virqfd is: the unmask eventfd of INTx and VFIO_DEVICE_IOEVENTFD.  One
 * thread serves all watches; it exists from the first watch on.
 */
#ifndef STANDIN_VFIO_EVENTFD_WATCH_H
#define STANDIN_VFIO_EVENTFD_WATCH_H

struct eventfd_watch;

/* Takes over `eventfd` (private) on success.  An event already there counts.  0 or -errno. */
int eventfd_watch_create(int eventfd, void (*event)(void *arg), void *arg,
			 struct eventfd_watch **ret_watch);
/* Returns when event() is not and will not be running.  Not from inside event(). */
void eventfd_watch_destroy(struct eventfd_watch *w);
/* Ends the thread; all watches are destroyed already. */
void eventfd_watch_stop(void);

#endif
