/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hyperv/host.h - the host's side of the guest services, on one channel.  What tests and the
 * command use is <standin/hyperv.h>, which finds the guest (src/control).
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

#include <standin/hyperv.h>

#include "hyperv/frame.h"

struct hyperv_rings;

struct hyperv_host {
	int fd;                                   /* the host's own; -1: the channel has ended */
	struct hyperv_rings *rings;               /* NULL likewise */
	unsigned type;                            /* HYPERV_IC_KVP, ... */
	struct hyperv_version framework, version; /* negotiated */
	bool soon;                                /* the last answer came soon */
	uint64_t sent, answered;                  /* packets; they are numbered from 1 */
	union {
		uint8_t packet[HYPERV_PACKET_MAX]; /* sent, then received */
		struct hyperv_ic ic;
	};
	size_t packet_size;
};

/* ---- host.c ---- */

/*
 * `fd` is a channel for messages of `type`, which this takes over.  `patience_ms` is how long the
 * guest may take for each answer; -1: as long as it likes.  Negotiates: 0,
 * -EPROTONOSUPPORT: the guest knows none of the versions, or another -errno.
 */
int64_t hyperv_host_open(struct hyperv_host *h, int fd, unsigned type, int patience_ms);
/* The same without negotiating, as a host does that means no good. */
void hyperv_host_attach(struct hyperv_host *h, int fd, unsigned type, int patience_ms);
void hyperv_host_close(struct hyperv_host *h);
/* One request: `size` bytes of body, and the status; the answer is in h->packet. */
int64_t hyperv_host_request(struct hyperv_host *h, const void *body, size_t size);
/* Headers for a message of `type` with `size` bytes of body, which are zeros, in h->packet. */
void hyperv_host_begin(struct hyperv_host *h, unsigned type, size_t size);
/*
 * The two halves of any exchange.  What is sent is h->packet, of h->packet_size bytes: 0 or
 * -errno; what comes replaces it, and answers one that has been sent after those that have been
 * answered.  Several can be on their way; the guest takes one after the other.
 */
int hyperv_host_send(struct hyperv_host *h);
int hyperv_host_receive(struct hyperv_host *h);
/* Whether there is an answer. */
bool hyperv_host_has_answer(const struct hyperv_host *h);

/* "HV_E_FAIL", or NULL. */
const char *hyperv_status_name(uint32_t status);

/* ---- host_kvp.c ---- */

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
			     struct standin_hyperv_pair *ret_pair);
/* By asking for one after the other, as hosts do.  HV_S_CONT: there is no such key. */
int64_t hyperv_kvp_find(struct hyperv_host *h, unsigned pool, const char *key,
			struct standin_hyperv_pair *ret_pair);

/* `a` has the adapter and the family, and gets the rest. */
int64_t hyperv_kvp_get_addresses(struct hyperv_host *h, struct standin_hyperv_addresses *a);
/* -EINVAL: something is no UTF-8 or too long. */
int64_t hyperv_kvp_set_addresses(struct hyperv_host *h, const struct standin_hyperv_addresses *a);

/* "external", ... or a number: the pool, or -EINVAL. */
int hyperv_pool_parse(const char *text);
/* NULL: it has none. */
const char *hyperv_pool_name(unsigned pool);

/* ---- host_vss.c ---- */

/* VSS_OP_FREEZE, VSS_OP_THAW, VSS_OP_HOT_BACKUP, ...; *ret_flags if not NULL: of the answer. */
int64_t hyperv_vss_request(struct hyperv_host *h, unsigned operation, uint32_t *ret_flags);

/* ---- host_fcopy.c ---- */

struct hyperv_copy {
	const char *directory, *name; /* of the file in the guest */
	bool create_path, overwrite;
	uint64_t size; /* as far as it is known; guests don't rely on it */
	/* Tells of progress after each piece; NULL: nobody.  False: stop. */
	bool (*progress)(uint64_t copied, void *arg);
	void *arg;
	uint64_t copied; /* so far */
};

/*
 * Copies what can be read from `source`, and cancels if that fails.  -EINVAL: the name or the
 * directory is no UTF-8, empty or too long; -ECANCELED: `progress` said so; -errno of the source.
 */
int64_t hyperv_copy_file(struct hyperv_host *h, int source, struct hyperv_copy *copy);

#endif
