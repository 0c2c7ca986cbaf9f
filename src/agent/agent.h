/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/agent.h - a guest agent for Hyper-V: key-value pairs, freezing for backups, and file
 * copies from the host, in one process.
 *
 * It speaks to the kernel's devices /dev/vmbus/hv_kvp, hv_vss and hv_fcopy, or for file copies to
 * the ring of a uio device, as kernels from 6.10 have it.  It needs nothing else of this
 * project, and nothing beyond libc.
 */
#ifndef STANDIN_AGENT_AGENT_H
#define STANDIN_AGENT_AGENT_H

#include <stdbool.h>

#define AGENT_DIRECTORY      "/var/lib/hyperv"
#define AGENT_SCRIPTS        "/usr/libexec/hypervkvpd"
#define AGENT_FCOPY_ROOT     AGENT_DIRECTORY "/files"
#define AGENT_MOUNTS         "/proc/mounts"
#define AGENT_FREEZE_TIMEOUT 120u

struct agent_options {
	const char *directory;   /* where the pools are */
	const char *scripts;     /* where hv_set_ifconfig is */
	const char *fcopy_root;  /* files are copied beneath it; "/": anywhere */
	const char *mounts;      /* the list of what is mounted */
	unsigned freeze_timeout; /* seconds after which what is frozen is thawed */
	bool kvp, vss, fcopy;    /* which services */
	bool once;               /* a device that is not there, or goes away, ends the agent */
	bool daemon;             /* into the background */
	bool syslog;             /* instead of standard error */
	bool verbose;

	/* For tests, NULL otherwise: in the place of open(path, O_RDWR | O_CLOEXEC) and ioctl(). */
	int (*open_device)(const char *path);
	int (*freeze)(int fd, unsigned long command);
};

extern const struct agent_options agent_defaults;

/*
 * Runs until a signal ends it (0), or it can't go on (1).  Takes SIGTERM, SIGINT, SIGHUP and
 * SIGCHLD of the process.
 */
int agent_run(const struct agent_options *options);

/* `standin agent`: argv[0] is a name for messages.  The exit status; 2 for wrong options. */
int agent_main(int argc, char **argv);

/* What --help prints. */
extern const char agent_help[];

#endif
