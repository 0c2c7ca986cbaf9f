/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A message is formatted on the stack and written at once.  vsnprintf() with the plain
 * conversions used here neither allocates nor locks, so signal handlers may log.
 */
#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/hostfd.h"

enum log_level log_level = LOG_WARNING;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_at(enum log_level level, const char *format, ...)
{
	char text[512];
	va_list args;
	int length;

	if (level > log_level)
		return;
	length = snprintf(text, sizeof(text), "standin: %s: ", level_names[level]);
	va_start(args, format);
	length += vsnprintf(text + length, sizeof(text) - (size_t)length - 1, format, args);
	va_end(args);
	if (length > (int)sizeof(text) - 2)
		length = (int)sizeof(text) - 2;
	text[length++] = '\n';
	host_write(2, text, (size_t)length);
}

int log_level_parse(const char *text, enum log_level *ret_level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}
