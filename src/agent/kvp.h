/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/kvp.h - what the host asks of key-value pairs.
 */
#ifndef STANDIN_AGENT_KVP_H
#define STANDIN_AGENT_KVP_H

#include <stdbool.h>
#include <sys/types.h>

#include "agent/agent.h"
#include "agent/auto.h"
#include "agent/store.h"
#include "hyperv/wire.h"

struct kvp {
	const struct agent_options *options;
	int directory;
	struct store store[KVP_POOL_COUNT];
	struct auto_items items;
	bool frozen;

	/* A script that sets addresses, and the request that it is for. */
	pid_t script;         /* 0: none */
	int64_t script_until; /* when the request is answered without it; CLOCK_NEVER: it was */
	struct hv_kvp_msg waiting;
};

/* Makes the directory and the files.  -errno, after a message. */
int kvp_init(struct kvp *k, const struct agent_options *options);
void kvp_finish(struct kvp *k);

/* What the kernel answered to a registration. */
void kvp_registered(struct kvp *k, const struct hv_kvp_msg *m);

/*
 * Turns a request into its answer.  False: there is none yet, kvp_script_ended() or kvp_tick() will
 * have it.
 */
bool kvp_answer(struct kvp *k, struct hv_kvp_msg *m);

/* The device was closed: nobody waits for an answer. */
void kvp_forget(struct kvp *k);

/* The script has ended, as waitpid() says.  True: k->waiting is to be sent. */
bool kvp_script_ended(struct kvp *k, int status);

/* While file systems are frozen nothing is written. */
void kvp_hold(struct kvp *k, bool hold);

int64_t kvp_due(const struct kvp *k);
/* True: k->waiting is to be sent. */
bool kvp_tick(struct kvp *k);

#endif
