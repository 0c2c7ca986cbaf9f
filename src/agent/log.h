/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/log.h - the agent's messages: lines on standard error, or to syslog.
 */
#ifndef STANDIN_AGENT_LOG_H
#define STANDIN_AGENT_LOG_H

#include <stdbool.h>
#include <syslog.h>

/* Until then, messages go to standard error, without LOG_DEBUG. */
void log_start(bool to_syslog, bool verbose);

/* `priority` is one of <syslog.h>.  What is not printable in the text becomes '?'. */
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * While held, messages are kept in memory: a file system that they would go to may be frozen.
 * The oldest are kept and the rest counted.
 */
void log_hold(bool hold);

#endif
