/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cli/guest.h - what the commands of the Hyper-V host have in common: finding the guest,
 * and saying how a request has ended.
 */
#ifndef STANDIN_CLI_GUEST_H
#define STANDIN_CLI_GUEST_H

#include <stdbool.h>
#include <sys/types.h>

#include "hyperv/host.h"

/* Options that all of these commands have. */
struct guest_options {
	const char *command; /* "kvp" */
	pid_t pid;           /* 0: any */
	double timeout; /* seconds: for a daemon to be there, and for each answer; <0: default */
	bool json;
};

/* getopt_long() rows for them, and what to do with what it returns. */
#define GUEST_OPTIONS                                                                     \
	{"pid", required_argument, NULL, 'P'}, {"timeout", required_argument, NULL, 'T'}, \
		{"json", no_argument, NULL, 'J'},                                         \
	{                                                                                 \
		"help", no_argument, NULL, 'h'                                            \
	}
#define GUEST_HELP (-1)
/* 0, GUEST_HELP, or the exit status; `option` may be '?' or ':'. */
int guest_option(struct guest_options *o, int option, char **argv);

/*
 * Finds the program whose daemon has the service open, waits for it if need be, and opens a
 * channel.  0, or the exit status with a message.
 */
int guest_open(const struct guest_options *o, const char *service, unsigned type,
	       struct hyperv_host *h);

/*
 * The exit status for how a request has ended, with a message (or with --json an object that
 * has "status", "name" and "message") unless it is HV_S_OK.
 */
int guest_status(const struct guest_options *o, int64_t status);

#endif
