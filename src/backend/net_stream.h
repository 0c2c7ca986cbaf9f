/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend/net_stream.h - frames over a stream socket, as QEMU's `-netdev stream` and passt
 * frame them: a length of four bytes, the highest first, before each.
 *
 * Nothing waits, so a frame may be half received or half sent; each direction has a buffer.
 * The two directions may be used by two threads.
 */
#ifndef STANDIN_BACKEND_NET_STREAM_H
#define STANDIN_BACKEND_NET_STREAM_H

#include "backend/net_private.h"

#define NET_STREAM_SIZE (512u << 10) /* bytes of each buffer */

struct net_stream {
	int fd; /* private; -1: none */
	uint8_t *in, *out;
	size_t in_start, in_end, out_start, out_end;
};

/* Makes the buffers: 0 or -ENOMEM. */
int net_stream_init(struct net_stream *s);
void net_stream_finish(struct net_stream *s);
/* Takes over a connected private descriptor, or -1, in place of the present one. */
void net_stream_connect(struct net_stream *s, int fd);
/* Room for a frame, or NULL; what was reserved is complete. */
uint8_t *net_stream_reserve(struct net_stream *s, uint32_t size);
void net_stream_commit(struct net_stream *s, uint32_t size);
/* Sends what there is: 0 if that is all, -EAGAIN, or another -errno: the stream is broken. */
int net_stream_flush(struct net_stream *s);
/* The complete frames that are there, at most n. */
unsigned net_stream_peek(struct net_stream *s, struct net_arrival *arrivals, unsigned n);
/* Takes n of them; returns their bytes. */
uint64_t net_stream_consume(struct net_stream *s, unsigned n);
/*
 * Receives more, which makes arrivals that were shown invalid: 0, -EAGAIN, or another
 * -errno: the stream is broken, or has ended (-ENOTCONN), or is none of frames (-EPROTO).
 */
int net_stream_fill(struct net_stream *s);

#endif
