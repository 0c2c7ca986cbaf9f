/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/trace.h - one line per intercepted call, decoded.
 *
 *	1234 ioctl(5<vfio-container>, VFIO_IOMMU_MAP_DMA, {argsz=32, ...}) = 0 <212 ns>
 *	1234 mmio-write(0000:01:00.0, bar0+0x1008, 4, 0x1) <2710 ns>
 *	1234 irq(0000:01:00.0, msix 0)
 *
 * A line is built on the stack and written with one write(2), so lines of threads do not
 * mix.  Safe in signal handlers.  When tracing is off it costs one load and a branch.
 */
#ifndef STANDIN_CORE_TRACE_H
#define STANDIN_CORE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trace_line {
	uint64_t start; /* ns */
	size_t length;
	char text[1000];
};

extern bool trace_enabled;

/* `path` NULL or "": descriptor 2.  0 or -errno. */
int trace_start(const char *path);
void trace_stop(void);

void trace_begin(struct trace_line *t);
/* Appends; a line that is too long is cut. */
void trace_print(struct trace_line *t, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Appends "NAME|NAME|0x..." for the set bits. */
struct trace_flag {
	uint64_t bit;
	const char *name;
};
void trace_flags(struct trace_line *t, uint64_t value, const struct trace_flag *flags, size_t n);
/* Appends " = result", the error's name if negative, and the time, and writes the line. */
void trace_end(struct trace_line *t, long result);
/* Appends " = 0x..." and the time, and writes the line: for registers. */
void trace_end_value(struct trace_line *t, uint64_t value);
/* Writes a line that has no result. */
void trace_event(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "EINVAL" for EINVAL; "E?" if it has no name. */
const char *trace_errno_name(int error);

#endif
