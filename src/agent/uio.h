/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/uio.h - file copies over the channel itself, where the kernel has no /dev/vmbus/hv_fcopy
 * (from 6.10 on): the device is uio_hv_generic's, and negotiating versions is ours.
 */
#ifndef STANDIN_AGENT_UIO_H
#define STANDIN_AGENT_UIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/fcopy.h"
#include "agent/ring.h"

struct uio {
	int fd; /* -1: not open */
	void *map;
	size_t map_size;
	struct ring out, in;
	uint8_t *packet;
};

/*
 * -errno; -ENOENT: there is no such device.  `open_device` as in struct agent_options.  The
 * descriptor, u->fd, is the caller's, who closes it after uio_close().
 */
int uio_open(struct uio *u, int (*open_device)(const char *path));
void uio_close(struct uio *u);

/*
 * Answers what has come; `readable`: the device is.  1: there may be more, without it being
 * readable once more, since a host that sends as fast as it is served must not keep the agent from
 * all else.  0, or -errno: it must be closed.
 */
int uio_serve(struct uio *u, struct fcopy *f, bool readable);

/*
 * Turns the body of a packet, `size` bytes, into its answer of the same size; false: it is too
 * short for one.
 */
bool uio_answer(struct fcopy *f, void *body, size_t size);

#endif
