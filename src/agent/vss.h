/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/vss.h - freezing for the host's backups.
 */
#ifndef STANDIN_AGENT_VSS_H
#define STANDIN_AGENT_VSS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/agent.h"
#include "agent/mounts.h"
#include "hyperv/wire.h"

enum vss_state {
	VSS_IDLE,
	VSS_FREEZING,
	VSS_FROZEN,
	VSS_THAWING,     /* the keeper was told to */
	VSS_THAWING_ALL, /* a keeper that does nothing else */
};

struct vss {
	const struct agent_options *options;
	enum vss_state state;
	struct mounts mounts; /* while there is a keeper */
	int keeper;           /* its socket, -1 without one */
	pid_t keeper_pid;
	int awaited;  /* the operation that is to be answered, -1: none */
	bool expired; /* thawed by itself since the last FREEZE */
};

void vss_init(struct vss *v, const struct agent_options *options);

/* Thaws, and waits for that. */
void vss_finish(struct vss *v);

/* Turns a request into its answer.  False: it comes when the keeper has told, vss_heard(). */
bool vss_answer(struct vss *v, struct hv_vss_msg *m);

/* v->keeper is readable.  True: *m is the answer to what was asked. */
bool vss_heard(struct vss *v, struct hv_vss_msg *m);

/* The device was closed: nobody waits for an answer, and nobody will thaw what is frozen. */
void vss_forget(struct vss *v);

/* Whether a file system may be frozen now: then nothing may be written. */
bool vss_is_frozen(const struct vss *v);

#endif
