/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/auto.h - pool 2: what a guest tells of itself.
 */
#ifndef STANDIN_AGENT_AUTO_H
#define STANDIN_AGENT_AUTO_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <linux/hyperv.h>

struct auto_items {
	char version[64]; /* of the kernel's side, as it says when the agent registers */
	char build[65], release[65], machine[65];
	char name[256], major[128], minor[8];
	struct auto_host *host; /* shared with a thread that looks the host's name up */
};

/* /etc/os-release and uname(); looks the host's name up in the background. */
void auto_init(struct auto_items *a);
void auto_finish(struct auto_items *a);

/* The item of that index, or false beyond the last.  `value` is the value's whole field. */
bool auto_item(struct auto_items *a, uint32_t index, const char **ret_key,
	       char value[HV_KVP_EXCHANGE_MAX_VALUE_SIZE]);

/* os-release(5): the value of a line "NAME=value" without its quotes, or false. */
bool auto_assignment(const char *line, const char *name, char *value, unsigned size);

#endif
