/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control/running.h - the runs of this user that are going on, and their processes that take
 * commands (core/control.h).
 */
#ifndef STANDIN_CONTROL_RUNNING_H
#define STANDIN_CONTROL_RUNNING_H

#include <stddef.h>
#include <sys/types.h>

struct running {
	struct running *next;
	char *directory;  /* NULL: this process, which has started an instance itself */
	pid_t pid;        /* of `standin run`, or this process */
	char *command;    /* what it runs, in one line */
	char *config;     /* the text of its configuration */
	pid_t *processes; /* those that take commands */
	size_t n_processes;
	int patience; /* seconds, for each step of a command; 60, may be changed */
};

/*
 * All of them, or with a `pid` those that it belongs to, to be freed with running_free().  That
 * of this process itself stands for its own instance.
 */
struct running *running_find(pid_t pid);
void running_free(struct running *list);

/*
 * Gives a process of a run one command, a line without its end.  0 with *ret_reply what it
 * answers after "ok", to be freed; otherwise -1, and *ret_reply is the reason.
 */
int running_ask(const struct running *r, pid_t process, const char *command, char **ret_reply);

/*
 * The same with a command that leaves the connection open (core/control.h): its descriptor, or
 * -1 and then *ret_reason, to be freed.
 */
int running_connect(const struct running *r, pid_t process, const char *command, char **ret_reason);

/* The pid that an option's value is, or 0. */
pid_t running_parse_pid(const char *text);

#endif
