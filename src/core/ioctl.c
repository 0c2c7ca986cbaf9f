/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dispatch by row.
 *
 * Tables have a few dozen rows at most and hot commands stand first in theirs, so a linear
 * search costs a nanosecond or two.  The order of checks is the kernel's: is the command
 * known in this state (gate), can the argument be read (EFAULT), is argsz big enough
 * (EINVAL), and then whatever the handler looks at.
 */
#include "core/ioctl.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <string.h>

#include "core/fault.h"
#include "core/file.h"
#include "core/instance.h"
#include "core/trace.h"
#include "core/user.h"

static const struct ioctl_row *find_row(const struct ioctl_table *table, unsigned int cmd)
{
	for (size_t i = 0; i < table->n_rows; i++)
		if (table->rows[i].cmd == cmd)
			return &table->rows[i];
	return NULL;
}

static long copy_argument(struct ioctl_call *call)
{
	const struct ioctl_row *row = call->row;
	uint32_t argsz;

	if (row->rule != IOCTL_FIXED && row->rule != IOCTL_ARGSZ)
		return 0;
	if (copy_from_user(call->data, (const void *)call->arg, row->size) < 0)
		return -EFAULT;
	if (row->rule == IOCTL_ARGSZ) {
		memcpy(&argsz, call->data, sizeof(argsz));
		if (argsz < row->size)
			return -EINVAL;
	}
	return 0;
}

static long run_row(struct file *f, struct ioctl_call *call)
{
	long result = fault_check(call->row->name);

	if (result == 0)
		result = copy_argument(call);
	return result < 0 ? result : call->row->handler(f, call);
}

static long run(struct file *f, unsigned int cmd, struct ioctl_call *call)
{
	const struct ioctl_table *table = f->ops->ioctls;
	long result;

	if (table->gate) {
		result = table->gate(f, cmd, call->row);
		if (result < 0)
			return result;
	}
	if (call->row)
		return run_row(f, call);
	return table->otherwise ? table->otherwise(f, call) : table->unknown;
}

static void trace_argument(struct trace_line *t, const struct ioctl_call *call)
{
	trace_print(t, ", ");
	if (call->row && call->row->decode)
		call->row->decode(t, call);
	else
		trace_print(t, "%#lx", call->arg);
}

/* Kept apart: its line would be in the frame of every call. */
__attribute__((noinline, cold)) static long run_traced(int fd, struct file *f, unsigned int cmd,
                                                       struct ioctl_call *call)
{
	struct trace_line t;
	long result;

	trace_begin(&t);
	result = run(f, cmd, call);
	trace_print(&t, "ioctl(%d<%s>, ", fd, f->ops->kind);
	if (call->row)
		trace_print(&t, "%s", call->row->name);
	else
		trace_print(&t, "%#x", cmd);
	if (!call->row || call->row->rule != IOCTL_NONE)
		trace_argument(&t, call);
	trace_print(&t, ")");
	trace_end(&t, result);
	return result;
}

long ioctl_dispatch(int fd, struct file *f, unsigned int cmd, unsigned long arg)
{
	union {
		uint64_t align;
		unsigned char bytes[IOCTL_ARG_MAX];
	} data;
	struct ioctl_call call = {.cmd = cmd, .arg = arg, .data = data.bytes};

	if (!f->ops->ioctls)
		return -ENOTTY;
	call.row = find_row(f->ops->ioctls, cmd);
	if (!trace_enabled)
		return run(f, cmd, &call);
	memset(&data, 0, sizeof(data)); /* decode may run on an argument never copied */
	return run_traced(fd, f, cmd, &call);
}

bool ioctl_is_generic(unsigned int cmd)
{
	return cmd == FIOCLEX || cmd == FIONCLEX || cmd == FIONBIO || cmd == FIOASYNC;
}

long ioctl_return(const struct ioctl_call *call, size_t size)
{
	return copy_to_user((void *)call->arg, call->data, size);
}
