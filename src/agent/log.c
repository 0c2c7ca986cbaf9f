/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages.  What the host sends is quoted in some, so control characters don't get out.
 * Messages that come while file systems are frozen wait in a fixed buffer: whoever writes
 * a log may be waiting for one of them, and we for him.
 */
#include "agent/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_ 512
#define HELD_MAX  64

static struct {
	bool to_syslog, verbose, held;
	unsigned n_held, n_lost;
	struct {
		int priority;
		char text[LINE_MAX_];
	} line[HELD_MAX];
} logged;

void log_start(bool to_syslog, bool verbose)
{
	logged.to_syslog = to_syslog;
	logged.verbose = verbose;
	if (to_syslog)
		openlog("standin-agent", LOG_PID, LOG_DAEMON);
}

static void put(int priority, const char *text)
{
	char line[LINE_MAX_ + 32];
	int size;

	if (logged.to_syslog) {
		syslog(priority, "%s", text);
		return;
	}
	size = snprintf(line, sizeof(line), "standin agent: %s\n", text);
	/* Nobody is left to be told that standard error takes nothing. */
	if (write(STDERR_FILENO, line, (size_t)size) < 0)
		return;
}

/* Those of ASCII, and U+0080 to U+009F, which terminals obey as well. */
static void replace_controls(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++) {
		if (*c < ' ' || *c == 0x7f)
			*c = '?';
		else if (*c == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f)
			c[0] = c[1] = '?';
	}
}

void log_line(int priority, const char *format, ...)
{
	char text[LINE_MAX_];
	va_list args;

	if (priority == LOG_DEBUG && !logged.verbose)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	replace_controls(text);
	if (!logged.held) {
		put(priority, text);
	} else if (logged.n_held < HELD_MAX) {
		logged.line[logged.n_held].priority = priority;
		strcpy(logged.line[logged.n_held++].text, text);
	} else {
		logged.n_lost++;
	}
}

void log_hold(bool hold)
{
	logged.held = hold;
	if (hold)
		return;
	for (unsigned i = 0; i < logged.n_held; i++)
		put(logged.line[i].priority, logged.line[i].text);
	logged.n_held = 0;
	if (logged.n_lost)
		log_line(LOG_WARNING, "%u more messages while file systems were frozen",
			 logged.n_lost);
	logged.n_lost = 0;
}
