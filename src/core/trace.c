/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lines are formatted on the stack and leave with one write(2) to a descriptor opened for
 * appending.  Nothing allocates or locks.
 */
#include "core/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/hostfd.h"
#include "core/syscall.h"

bool trace_enabled;

static int trace_fd = 2;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int trace_start(const char *path)
{
	int fd = 2;

	if (path && *path) {
		fd = host_open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
		if (fd < 0)
			return fd;
		fd = hostfd_adopt(fd);
		if (fd < 0)
			return fd;
	}
	trace_fd = fd;
	trace_enabled = true;
	return 0;
}

void trace_stop(void)
{
	trace_enabled = false;
	if (trace_fd != 2)
		hostfd_close(trace_fd);
	trace_fd = 2;
}

static void vprint(struct trace_line *t, const char *format, va_list args)
{
	size_t room = sizeof(t->text) - 1 - t->length; /* one byte is kept for the newline */
	int n = vsnprintf(t->text + t->length, room, format, args);

	if (n > 0)
		t->length += (size_t)n < room ? (size_t)n : room - 1;
}

void trace_begin(struct trace_line *t)
{
	t->length = 0;
	trace_print(t, "%ld ", host_syscall(SYS_gettid));
	t->start = now_ns();
}

void trace_print(struct trace_line *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprint(t, format, args);
	va_end(args);
}

void trace_flags(struct trace_line *t, uint64_t value, const struct trace_flag *flags, size_t n)
{
	const char *separator = "";

	if (!value)
		trace_print(t, "0");
	for (size_t i = 0; i < n; i++) {
		if (!flags[i].bit || (value & flags[i].bit) != flags[i].bit)
			continue;
		trace_print(t, "%s%s", separator, flags[i].name);
		value &= ~flags[i].bit;
		separator = "|";
	}
	if (value)
		trace_print(t, "%s%#llx", separator, (unsigned long long)value);
}

static void finish(struct trace_line *t)
{
	t->text[t->length++] = '\n';
	host_write(trace_fd, t->text, t->length);
}

static void finish_timed(struct trace_line *t, uint64_t end)
{
	trace_print(t, " <%llu ns>", (unsigned long long)(end - t->start));
	finish(t);
}

void trace_end_value(struct trace_line *t, uint64_t value)
{
	uint64_t end = now_ns();

	trace_print(t, " = %#llx", (unsigned long long)value);
	finish_timed(t, end);
}

void trace_end(struct trace_line *t, long result)
{
	uint64_t end = now_ns();

	if (result < 0 && result >= -4095)
		trace_print(t, " = -1 %s", trace_errno_name((int)-result));
	else
		trace_print(t, " = %ld", result);
	finish_timed(t, end);
}

void trace_event(const char *format, ...)
{
	struct trace_line t;
	va_list args;

	trace_begin(&t);
	va_start(args, format);
	vprint(&t, format, args);
	va_end(args);
	finish(&t);
}

const char *trace_errno_name(int error)
{
	const char *name = strerrorname_np(error);

	return name ? name : "E?";
}
