/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A daemon and a host in one process: the daemon uses libstandin's doors, the host the library of
 * hyperv/host.h on a socket pair.
 */
#ifndef TESTS_HYPERV_RIG_H
#define TESTS_HYPERV_RIG_H

#include "hyperv/host.h"
#include "hyperv/hyperv.h"

struct hyperv_rig {
	struct hyperv_service *s;
	unsigned type; /* of the service's IC messages */
	int daemon;    /* -1: closed */
	struct hyperv_host host;
};

/* Starts an instance with that configuration, and connects a host that has not negotiated. */
void rig_start(struct hyperv_rig *r, struct hyperv_service *s, const char *configuration);
void rig_stop(struct hyperv_rig *r);
void rig_open(struct hyperv_rig *r);
/* A channel for another host of the same service. */
int rig_channel(const struct hyperv_rig *r);
/* The host, to be closed. */
void rig_connect(const struct hyperv_rig *r, struct hyperv_host *h);
/* Opened, registered, and the answer read: the service is ready. */
void rig_register(struct hyperv_rig *r);
/* The daemon's registration: what write(2) returns, or -errno. */
ssize_t rig_write_registration(const struct hyperv_rig *r);
/* write(2) and read(2) of the daemon: or -errno. */
ssize_t rig_write(const struct hyperv_rig *r, const void *message, size_t size);
ssize_t rig_read(const struct hyperv_rig *r, void *message, size_t size);
/* What poll says of the daemon's file now. */
short rig_poll(const struct hyperv_rig *r);
enum hyperv_state rig_state(const struct hyperv_rig *r);
/* The host's packets that the state allows are taken before this returns. */
void rig_settle(const struct hyperv_rig *r);
/* Sends a message of the service's with that body; the answer is for rig_answer(). */
void rig_ask(struct hyperv_rig *r, const void *body, size_t size);
/* The status of the answer that is there; -1: there is none, -EPIPE: the channel has ended. */
int64_t rig_answer(struct hyperv_rig *r);

#endif
