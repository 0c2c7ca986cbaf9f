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

struct running;

/* Whether it has --hyperv. */
bool guest_is_hyperv(const struct running *r);

/*
 * Finds the program whose daemon has the service open, waits for it if need be, and opens a
 * channel.  0, or the exit status with a message.
 */
int guest_open(const struct guest_options *o, const char *service, unsigned type,
	       struct hyperv_host *h);

/* The same without negotiating. */
int guest_attach(const struct guest_options *o, const char *service, unsigned type,
		 struct hyperv_host *h);

/*
 * The exit status for how a request has ended, with a message unless it is HV_S_OK; with --json,
 * always an object on standard output: "status" (0x80004005) and its "name", "job", the
 * number of the WMI job that a Windows host would show, and "message".
 */
int guest_status(const struct guest_options *o, int64_t status);
/* The same with a message of the caller's. */
int guest_fail(const struct guest_options *o, uint32_t status, unsigned job, const char *format,
	       ...) __attribute__((format(printf, 4, 5)));
/* Numbers of jobs, as Msvm_ConcreteJob.ErrorCode has them. */
#define JOB_FAILED           32768u
#define JOB_NOT_SUPPORTED    32770u
#define JOB_TIMEOUT          32772u
#define JOB_ILLEGAL_ARGUMENT 32773u
#define JOB_INVALID_STATE    32775u
#define JOB_NOT_AVAILABLE    32777u
#define JOB_NOT_FOUND        32779u

/* raw.c: `argv` begins with the word "raw". */
int guest_raw(const struct guest_options *o, const char *service, unsigned type, int argc,
	      char **argv);
/* kvp_ip.c: `argv` begins with the word "ip". */
int guest_ip(const struct guest_options *o, int argc, char **argv);

#endif
