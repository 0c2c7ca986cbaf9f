/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio/blk.h - the requests of a virtio block device (specification 1.2, section 5.2.6),
 * whatever the transport: from a chain to the backend and to the status byte.
 *
 * Reads and writes go to the backend with the driver's own memory.
 *
 * Threads: one at a time per request; different ones may be executed at once.  Safe where
 * backend_submit() is.
 *
 * Fault points: virtio-blk.read, .write, .flush, .discard, .write_zeroes.
 */
#ifndef STANDIN_VIRTIO_BLK_H
#define STANDIN_VIRTIO_BLK_H

#include <linux/virtio_blk.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "backend/backend.h"
#include "virtqueue/virtqueue.h"

#define VIRTIO_BLK_SEGMENTS    126u                      /* data segments in a request */
#define VIRTIO_BLK_RANGES      (VIRTIO_BLK_SEGMENTS + 4) /* and header, status, some slack */
#define VIRTIO_BLK_PIECES      (2 * VIRTIO_BLK_RANGES)   /* a segment may lie across mappings */
#define VIRTIO_BLK_MAX_SECTORS (1u << 22)                /* of a discard, of a write of zeroes */

/* What a drive is. */
struct virtio_blk {
	struct backend *backend;
	char serial[VIRTIO_BLK_ID_BYTES + 1];
	unsigned block_shift;
	uint64_t sectors;
};

struct virtio_blk_request {
	struct backend_request io; /* first: the backend hands this back */
	struct virtqueue_chain chain;
	/* The rest is for this room. */
	uint8_t *status;  /* in the driver's memory */
	uint64_t data_in; /* bytes that a success has written, without the status */
	struct iovec iov[VIRTIO_BLK_PIECES];
	struct virtqueue_range ranges[VIRTIO_BLK_RANGES];
};

#define VIRTIO_BLK_PENDING 0xff /* no status: request->io.done tells */

/* block_shift and serial are there already; takes the rest from the backend. */
void virtio_blk_init(struct virtio_blk *b, struct backend *backend);
/* Whether this can be a serial number: 1 to 20 characters of printable ASCII. */
bool virtio_blk_serial_ok(const char *serial);
/* Features of the device type, without transport and rings. */
uint64_t virtio_blk_features(const struct virtio_blk *b);
void virtio_blk_config(const struct virtio_blk *b, unsigned queues,
		       struct virtio_blk_config *ret_config);

/* The pool that the request's chain is fetched with: virtqueue_fetch() of one. */
void virtio_blk_pool(struct virtio_blk_request *request, struct virtqueue_pool *ret_pool);
/*
 * Executes what was fetched: a status for virtio_blk_complete(), or VIRTIO_BLK_PENDING, and
 * then request->io.done() is called once, perhaps before this returns; or -1: it is no
 * request at all, which breaks the ring.  `features` are the negotiated ones.
 */
int virtio_blk_execute(const struct virtio_blk *b, struct virtio_blk_request *request,
		       uint64_t features, void (*done)(struct backend_request *io, int error));
uint8_t virtio_blk_status(int error);
/* Hands it back to the driver, who is not told yet. */
void virtio_blk_complete(struct virtio_blk_request *request, struct virtqueue *vq, uint8_t status);

#endif
