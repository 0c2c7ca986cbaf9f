/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inject/preload/vsock.h - AF_VSOCK sockets that are Unix sockets, between the files that
 * know about them: vsock.c has libc's entry points, vsock_socket.c what they do.
 *
 * What there is to know of such a socket is kept with the socket, since it may come to
 * another process in any way: its own address is its Unix name (core/vsock_place.h), and the
 * rest is in two numbers that the kernel keeps for every socket and uses for TCP alone,
 * SO_MAX_PACING_RATE and SO_INCOMING_CPU.
 */
#ifndef STANDIN_PRELOAD_VSOCK_H
#define STANDIN_PRELOAD_VSOCK_H

#include <linux/vm_sockets.h>

#include "core/vsock_place.h"
#include "inject/preload/preload.h"

#define VSOCK_CONNECT_MS 2000u /* the kernel's default */

enum vsock_progress { VSOCK_UNCONNECTED, VSOCK_CONNECTING, VSOCK_CONNECTED };

struct vsock_mark {
	enum vsock_progress progress;
	uint32_t local_cid; /* what getsockname says: VSOCK_CID_ANY, _LOCAL, _HOST */
	uint32_t peer_cid, peer_port;
};

/* Where this run's ports are; NULL: AF_VSOCK is the kernel's. */
const char *vsock_place(void);

/* Whether `fd` is one of ours; then *ret is what is known of it. */
bool vsock_mark_get(int fd, struct vsock_mark *ret);
/* 0 or -errno. */
int vsock_mark_set(int fd, const struct vsock_mark *mark);

/* A new socket; `type` may have SOCK_NONBLOCK and SOCK_CLOEXEC.  Descriptor or -errno. */
int vsock_socket(int type);
/* 0 or -errno; `a` has been checked. */
int vsock_bind(int fd, struct vsock_mark *mark, const struct sockaddr_vm *a);
/* 0, -EINPROGRESS if the socket does not block, -errno. */
int vsock_connect(int fd, struct vsock_mark *mark, const struct sockaddr_vm *a,
		  unsigned timeout_ms);
/*
 * What has become of a connect: 0, and then the socket is connected; -EINPROGRESS; the error
 * it ended with, and then the socket is as new.
 */
int vsock_connect_result(int fd, struct vsock_mark *mark);
/* The socket's own port, VSOCK_PORT_ANY if it has none. */
uint32_t vsock_port(int fd);

#endif
