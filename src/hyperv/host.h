/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hyperv/host.h - the host's side of the guest services.
 *
 * A host is one end of a channel: it negotiates versions and then sends requests, one at a time,
 * each of which ends with a status (HV_S_OK, HV_E_FAIL, ... of linux/hyperv.h).  Texts are UTF-8
 * here and UTF-16 on the channel.
 *
 * Functions return the status, or a negative number if there is none: -errno, where
 * -ETIMEDOUT means that the guest did not answer in time, and -EPIPE that it has gone or was
 * suspended; what was under way has then failed as far as the host can know, which hosts
 * show as HV_E_FAIL, and the channel has ended.  Ordinary context only; a host belongs to one
 * thread at a time.
 */
#ifndef STANDIN_HYPERV_HOST_H
#define STANDIN_HYPERV_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hyperv/frame.h"

struct hyperv_host {
	int fd;                                   /* the host's own; -1: the channel has ended */
	unsigned type;                            /* HYPERV_IC_KVP, ... */
	struct hyperv_version framework, version; /* negotiated */
	uint64_t transaction;                     /* the last one */
	int patience_ms;                          /* with the guest's next answers; -1: no end */
	union {
		uint8_t packet[HYPERV_PACKET_MAX]; /* sent, then received */
		struct hyperv_ic ic;
	};
	size_t packet_size;
};

/* ---- host.c ---- */

/*
 * `fd` is a channel for messages of `type`, which this takes over.  Negotiates: 0,
 * -EPROTONOSUPPORT: the guest knows none of the versions, or another -errno.
 */
int64_t hyperv_host_open(struct hyperv_host *h, int fd, unsigned type, int patience_ms);
void hyperv_host_close(struct hyperv_host *h);
/* One request: `size` bytes of body, and the status; the answer is in h->packet. */
int64_t hyperv_host_request(struct hyperv_host *h, const void *body, size_t size);
/*
 * The two halves of any exchange.  What is sent is h->packet, of h->packet_size bytes: 0 or
 * -errno; what comes, for the same transaction, replaces it.
 */
int hyperv_host_send(struct hyperv_host *h);
int hyperv_host_receive(struct hyperv_host *h);

/* "HV_E_FAIL", or NULL. */
const char *hyperv_status_name(uint32_t status);

/* ---- host_kvp.c ---- */

struct hyperv_pair {
	char key[4 * HV_KVP_EXCHANGE_MAX_KEY_SIZE];
	char value[4 * HV_KVP_EXCHANGE_MAX_VALUE_SIZE];
};

/*
 * `type` is REG_SZ, REG_U32, REG_U64, HYPERV_REG_QWORD or HYPERV_REG_EXPAND_SZ; a number is
 * given as its text.  -EINVAL: the key or the value is no UTF-8, or is too long for a message,
 * or is no number that fits.
 */
int64_t hyperv_kvp_set(struct hyperv_host *h, unsigned pool, const char *key, unsigned type,
		       const char *value);
int64_t hyperv_kvp_delete(struct hyperv_host *h, unsigned pool, const char *key);
/* HV_S_CONT: there are not so many. */
int64_t hyperv_kvp_enumerate(struct hyperv_host *h, unsigned pool, uint32_t index,
			     struct hyperv_pair *ret_pair);
/* By asking for one after the other, as hosts do.  HV_S_CONT: there is no such key. */
int64_t hyperv_kvp_find(struct hyperv_host *h, unsigned pool, const char *key,
			struct hyperv_pair *ret_pair);

/* "external", ... or a number: the pool, or -EINVAL. */
int hyperv_pool_parse(const char *text);
/* NULL: it has none. */
const char *hyperv_pool_name(unsigned pool);

#endif
