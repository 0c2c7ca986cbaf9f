/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/control.h - commands to a running process, as `standin scsi add` gives them.
 *
 * A process that has something to control listens on a Unix socket in the run's private
 * directory, control/PID.  Who connects says one line, the command and its arguments, and
 * hears lines: first "ok" or "error REASON", then what was asked for; then the connection
 * ends.  The directory is its owner's alone, and so the socket; the peer's user is looked at
 * all the same.
 *
 * Interfaces have their commands in struct interface (core/instance.h).
 */
#ifndef STANDIN_CORE_CONTROL_H
#define STANDIN_CORE_CONTROL_H

#include <stddef.h>

#define CONTROL_DIRECTORY   "control"
#define CONTROL_REQUEST_MAX 8192u /* with its end */
#define CONTROL_REPLY_MAX   65536u

struct control_reply {
	char *text; /* CONTROL_REPLY_MAX bytes */
	size_t length;
};

struct control_command {
	const char *name; /* one word; NULL ends a list */
	/* On the listening thread.  `arguments` is the rest of the line and may be changed. */
	void (*run)(char *arguments, struct control_reply *reply);
	/*
	 * If not NULL, the connection does not end: when the answer, which must not be an error,
	 * has been sent, this takes over its descriptor (core/hostfd.h).
	 */
	void (*keep)(char *arguments, int fd);
};

/* Appends to the reply; what doesn't fit is left out. */
void control_print(struct control_reply *reply, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The reply is this error instead. */
void control_fail(struct control_reply *reply, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Listens from now on, once: called when something that can be controlled is opened.  Without
 * a private directory there is nobody to talk to, and it does nothing; so it does, with a
 * line in the log, if it can't.  Ordinary context only.
 */
void control_start(void);
void control_stop(void);
/*
 * One connection from its line to its end, on this thread: for who is in the process itself.
 * Takes over `fd` (core/hostfd.h).  Ordinary context only.
 */
void control_serve(int fd);
/* The child of a fork has no such thread, and lets go of the socket. */
void control_forked(void);

#endif
