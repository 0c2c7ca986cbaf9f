/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest agent in a process of its own, with sockets in the devices' place: each open() of a
 * device is a connection to the test, on which messages keep their bounds as they do on the
 * device.
 */
#ifndef STANDIN_TESTS_AGENT_RIG_H
#define STANDIN_TESTS_AGENT_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/agent.h"
#include "hyperv/wire.h"

struct agent_rig {
	struct agent_options options; /* agent_defaults, below `directory`, without freezing */
	char directory[64];           /* removed by agent_rig_finish() */
	int listener;
	pid_t pid; /* 0: not started */
};

void agent_rig_init(struct agent_rig *r);
void agent_rig_finish(struct agent_rig *r);

/* Starts the agent with r->options. */
void agent_rig_start(struct agent_rig *r);
/* Ends it with a signal and returns what waitpid() says. */
int agent_rig_stop(struct agent_rig *r, int signal);

/* Waits until the agent opens a device; which one is written to `path`.  The test's end. */
int agent_rig_accept(struct agent_rig *r, char path[64]);

/* Waits for a registration with the device of that path, and answers it.  The test's end. */
int agent_rig_register(struct agent_rig *r, const char *path);

/* A message of exactly that size, within some seconds. */
void agent_rig_expect(int fd, void *message, size_t size);

/* A message and its answer, whose first four bytes are a status. */
uint32_t agent_rig_ask_kvp(int fd, struct hv_kvp_msg *m);
uint32_t agent_rig_ask_vss(int fd, uint8_t operation);
uint32_t agent_rig_ask_fcopy(int fd, const void *message, size_t size);

/* Messages as the kernel makes them. */
void agent_kvp_set(struct hv_kvp_msg *m, uint8_t pool, const char *key, const char *value);
void agent_kvp_get(struct hv_kvp_msg *m, uint8_t pool, const char *key);
void agent_kvp_delete(struct hv_kvp_msg *m, uint8_t pool, const char *key);
void agent_kvp_enumerate(struct hv_kvp_msg *m, uint8_t pool, uint32_t index);

/* A file's list of who else may read and write it, where lists are kept. */
bool agent_acl_set(const char *path);
bool agent_acl_is_set(const char *path);

/* A directory for the test, and what removes it with all that is in it. */
void agent_make_directory(char path[64]);
void agent_remove_directory(const char *path);

#endif
