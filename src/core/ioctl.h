/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/ioctl.h - one row per ioctl.
 *
 * Everything that is the same for all ioctls is done from the row: finding the
 * handler, copying the argument in, the argsz check, fault points, tracing, and the
 * lists that `standin list --ioctls`, the fuzzers and the coverage table print.
 *
 * A handler gets a checked copy of the argument in call->data and returns >= 0 or
 * -errno.  It writes results back itself with copy_to_user(), because what is written
 * back and when differs by ioctl; ioctl_return() does the usual case.
 */
#ifndef STANDIN_CORE_IOCTL_H
#define STANDIN_CORE_IOCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file;
struct trace_line;

#define IOCTL_ARG_MAX 128 /* bytes of argument copied in, at most */

enum ioctl_rule {
	IOCTL_NONE,  /* the argument is ignored */
	IOCTL_VALUE, /* the argument is a number: call->arg */
	IOCTL_FIXED, /* a struct of row->size bytes, copied in: EFAULT */
	IOCTL_ARGSZ, /* row->size bytes copied in: EFAULT; u32 argsz at offset 0 below that: EINVAL */
	IOCTL_USER,  /* a pointer that the handler reads itself (strings, several layouts) */
};

struct ioctl_call {
	const struct ioctl_row *row;
	unsigned int cmd;
	unsigned long arg; /* as the client gave it */
	void *data;        /* copy of the first row->size bytes (IOCTL_FIXED, IOCTL_ARGSZ) */
};

struct ioctl_row {
	unsigned int cmd;
	const char *name; /* "VFIO_IOMMU_MAP_DMA"; also the fault point's name */
	enum ioctl_rule rule;
	uint16_t size;
	long (*handler)(struct file *f, struct ioctl_call *call);
	/* Appends the argument, decoded, to a trace line; NULL prints arg in hex. */
	void (*decode)(struct trace_line *t, const struct ioctl_call *call);
};

#define IOCTL_ROW(command, rule_, size_, handler_, decode_)                                        \
	{ .cmd = (command), .name = #command, .rule = (rule_), .size = (size_),                    \
	  .handler = (handler_), .decode = (decode_) }

struct ioctl_table {
	const char *kind; /* of the file: "vfio-container" */
	const struct ioctl_row *rows;
	size_t n_rows;
	/*
	 * Runs before a row's handler and before its argument is copied, and for commands
	 * without a row too (row is NULL): a file's state can decide what everything
	 * answers, as a container without a driver does.  0 goes on.
	 */
	long (*gate)(struct file *f, unsigned int cmd, const struct ioctl_row *row);
	int unknown; /* what a command without a row answers: -ENOTTY */
	/* If not NULL, decides that instead, when it depends on the argument; row is NULL. */
	long (*otherwise)(struct file *f, struct ioctl_call *call);
};

/* Dispatches: the value or -errno.  Traces, with `fd` as the number, and injects faults. */
long ioctl_dispatch(int fd, struct file *f, unsigned int cmd, unsigned long arg);

/*
 * Whether the command is one that the kernel does for any descriptor before it asks the
 * file (fs/ioctl.c): FIOCLEX, FIONCLEX, FIONBIO, FIOASYNC.  They are for the placeholder.
 */
bool ioctl_is_generic(unsigned int cmd);

/* Copies the first `size` bytes of call->data back to the client: 0 or -EFAULT. */
long ioctl_return(const struct ioctl_call *call, size_t size);

/* Interfaces register their tables for the listing commands. */
void ioctl_table_each(void (*each)(const struct ioctl_table *table, void *arg), void *arg);

#endif
