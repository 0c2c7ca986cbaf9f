/* SPDX-License-Identifier: BSD-3-Clause */
/* control/hyperv_host.h - between the files of <standin/hyperv.h> alone. */
#ifndef STANDIN_CONTROL_HYPERV_HOST_H
#define STANDIN_CONTROL_HYPERV_HOST_H

/* What libstandin exports. */
#pragma GCC visibility push(default)
#include <standin/hyperv.h>
#pragma GCC visibility pop

#include "control/running.h"
#include "hyperv/host.h"

#define HYPERV_ERROR_MAX 512

struct standin_hyperv {
	pid_t pid;
	int daemon_ms, answer_ms; /* -1: the default */
	char error[HYPERV_ERROR_MAX];
	bool raw[STANDIN_HYPERV_SERVICES];                    /* without negotiating */
	struct hyperv_host channels[STANDIN_HYPERV_SERVICES]; /* fd -1: closed */
};

/* Makes that the error, and returns `ret`. */
int hyperv_error(struct standin_hyperv *h, int ret, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The end of a call: `ret`, with what it means as the error unless it is there already. */
int64_t hyperv_end(struct standin_hyperv *h, int64_t ret);

/* Whether it has --hyperv. */
bool hyperv_is_in(const struct running *r);

/*
 * The beginning of a call that needs a channel: that which is there, or a new one.  0 or -errno,
 * for hyperv_end().
 */
int hyperv_channel(struct standin_hyperv *h, enum standin_hyperv_service service,
		   struct hyperv_host **ret_channel);

/* One line of what the command hyperv-status says (src/hyperv/commands.c): whether it is one. */
bool hyperv_status_parse(const char *line, struct standin_hyperv_status *ret_status);

#endif
