/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cli/guest.h - what the commands of the Hyper-V host have in common: their options, opening
 * a channel, and saying how a request has ended.
 */
#ifndef STANDIN_CLI_GUEST_H
#define STANDIN_CLI_GUEST_H

#include <stdbool.h>
#include <sys/types.h>

#include <standin/hyperv.h>

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

/* A host of the guest that the options mean.  NULL with a message: no memory. */
struct standin_hyperv *guest_host(const struct guest_options *o);
/*
 * The same with a channel, for which a daemon is waited for: 0 and *ret_host, or the exit status
 * with a message.  `raw`: without negotiating.
 */
int guest_open(const struct guest_options *o, enum standin_hyperv_service service, bool raw,
	       struct standin_hyperv **ret_host);

/*
 * The exit status for how a request has ended, with the host's error as a message unless it is
 * HV_S_OK; with --json, always an object on standard output: "status" (0x80004005) and its "name",
 * "job", the number of the WMI job that a Windows host would show, and "message".
 */
int guest_status(const struct guest_options *o, const struct standin_hyperv *h, int64_t status);
/* The same as HV_INVALIDARG with a message of the caller's. */
int guest_refuse(const struct guest_options *o, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* raw.c: `argv` begins with the word "raw". */
int guest_raw(const struct guest_options *o, enum standin_hyperv_service service, int argc,
	      char **argv);
/* kvp_ip.c: `argv` begins with the word "ip". */
int guest_ip(const struct guest_options *o, int argc, char **argv);

#endif
