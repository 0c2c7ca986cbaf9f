/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device files: a mirror each, and the commands' common checks, which are made in the
 * kernel's order before the command is looked at.  On any error the client's struct is left
 * as it was.
 */
#include <errno.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/placeholder.h"
#include "core/syscall.h"
#include "core/trace.h"
#include "core/user.h"
#include "hmm/hmm.h"
#include "memory/backed.h"
#include "memory/mmio.h"
#include "memory/own.h"
#include "uapi/mm.h"

/* Mirrors that are open in this process. */
static void invalidate(struct memory_notifier *n, uintptr_t start, uintptr_t end,
		       enum memory_event event, const void *source)
{
	struct hmm_mirror *m = (struct hmm_mirror *)n;
	uint64_t page;

	/* Its own migrations enter and erase themselves what they move. */
	if (event == MEMORY_MIGRATE && source == m->dev)
		return;
	radix_clear(&m->table, start, end);
	if (event != MEMORY_PROTECTION)
		return;
	/* Whatever the new protection is, the kernel makes device pages read-only. */
	for (uintptr_t at = pages_next(start, end, &page); at < end;
	     at = pages_next(at + MEMORY_PAGE, end, &page))
		if (hmm_is_device_page(page) && page_is_trapped(page))
			pages_set(at, page & ~((uint64_t)HMM_USER_WRITE << PAGE_USER_SHIFT));
}

static int hmm_open(struct file *f, void *context)
{
	struct hmm_mirror *m;
	uint64_t signals;
	int ret;

	/* Without a handler for faults, pages that are away can't come back. */
	if (!mmio_trapping())
		return -ENODEV;
	ret = hmm_start_memory();
	if (ret)
		return ret;
	/* It is used with the lock, so it must not be where a device may take it from. */
	m = own_alloc(sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->notifier.invalidate = invalidate;
	m->dev = context;
	f->priv = m;
	memory_lock(&signals);
	memory_notifier_add(&m->notifier);
	memory_unlock(&signals);
	return 0;
}

/* All that is in the device's memory comes back, whoever put it there. */
static void hmm_release(struct file *f)
{
	struct hmm_mirror *m = f->priv;
	uint64_t signals;

	memory_lock(&signals);
	memory_notifier_remove(&m->notifier);
	memory_validate(0, MEMORY_LIMIT);
	hmm_evict(m->dev, 0, MEMORY_LIMIT, MEMORY_CLEAR);
	memory_unlock(&signals);
	radix_finish(&m->table);
	own_free(m, sizeof(*m));
}

void hmm_forget(const struct hmm_device *dev, uintptr_t start, uintptr_t end)
{
	memory_notify(start, end, MEMORY_CLEAR, dev);
}

/*
 * Pages of zeroes, all there from the beginning.  They are the mapping's alone, whatever the
 * offset.
 */
static int hmm_mmap(struct file *f, struct map_request *request)
{
	size_t size = (request->size + MEMORY_PAGE - 1) & ~(MEMORY_PAGE - 1);
	int fd = (int)host_syscall(SYS_memfd_create, MEMORY_SPECIAL_NAME, MFD_CLOEXEC);
	long ret;
	void *place;

	if (fd < 0)
		return fd;
	ret = host_syscall(SYS_ftruncate, fd, size);
	if (ret == 0) {
		place = host_mmap(request->address, size, request->protection, request->flags, fd,
				  0);
		ret = host_is_error(place) ? (long)place : 0;
	}
	host_close(fd);
	if (ret)
		return (int)ret;
	host_syscall(SYS_madvise, place, size, MADV_POPULATE_READ);
	request->ret_address = place;
	return 0;
}

/* ---- commands ---- */

static int release_memory(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd)
{
	uint64_t signals;

	memory_lock(&signals);
	memory_validate(0, MEMORY_LIMIT);
	hmm_evict(m->dev, 0, MEMORY_LIMIT, MEMORY_CLEAR);
	memory_unlock(&signals);
	return 0;
}

static int set_flags(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd)
{
	m->flags = cmd->npages;
	return 0;
}

static const struct {
	unsigned command;
	int (*run)(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd);
} commands[] = {
	{HMM_DMIRROR_READ, hmm_read},
	{HMM_DMIRROR_WRITE, hmm_write},
	{HMM_DMIRROR_MIGRATE_TO_DEV, hmm_migrate_to_device},
	{HMM_DMIRROR_MIGRATE_TO_SYS, hmm_migrate_to_system},
	{HMM_DMIRROR_SNAPSHOT, hmm_snapshot},
	{HMM_DMIRROR_EXCLUSIVE, hmm_exclusive},
	{HMM_DMIRROR_CHECK_EXCLUSIVE, hmm_check_exclusive},
	{HMM_DMIRROR_RELEASE, release_memory},
	{HMM_DMIRROR_FLAGS, set_flags},
	/* It waits without the memory lock where READ waits with it; here both do without. */
	{HMM_DMIRROR_READ_UNLOCKED, hmm_read_unlocked},
};

static int check(const struct hmm_dmirror_cmd *cmd)
{
	if (cmd->addr % MEMORY_PAGE)
		return -EINVAL;
	if (cmd->addr >= cmd->addr + (cmd->npages << MEMORY_PAGE_SHIFT))
		return -EINVAL;
	return 0;
}

static long command(struct file *f, struct ioctl_call *call)
{
	struct hmm_dmirror_cmd *cmd = call->data, run = *cmd;
	int ret = check(cmd);

	if (ret)
		return ret;
	/* What the size in bytes has no room for is lost in the kernel too. */
	run.npages = cmd->npages << MEMORY_PAGE_SHIFT >> MEMORY_PAGE_SHIFT;
	run.cpages = 0;
	run.faults = 0;
	ret = backed_take_out_unlocked(run.addr, run.npages * MEMORY_PAGE);
	for (size_t i = 0; ret == 0 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (commands[i].command == call->cmd)
			ret = commands[i].run(f->priv, &run);
	cmd->cpages = run.cpages;
	cmd->faults = run.faults;
	return ret ? ret : ioctl_return(call, sizeof(*cmd));
}

/* The argument is read before the command is looked at. */
static long unknown(struct file *f, struct ioctl_call *call)
{
	struct hmm_dmirror_cmd cmd;

	return copy_from_user(&cmd, (const void *)call->arg, sizeof(cmd)) ? -EFAULT : -EINVAL;
}

static void decode(struct trace_line *t, const struct ioctl_call *call)
{
	const struct hmm_dmirror_cmd *cmd = call->data;

	trace_print(t, "{addr=%#llx, ptr=%#llx, npages=%llu, cpages=%llu, faults=%llu}",
		    (unsigned long long)cmd->addr, (unsigned long long)cmd->ptr,
		    (unsigned long long)cmd->npages, (unsigned long long)cmd->cpages,
		    (unsigned long long)cmd->faults);
}

#define ROW(command_)                                                                        \
	{                                                                                    \
		.cmd = (command_), .name = #command_, .rule = IOCTL_FIXED,                   \
		.size = sizeof(struct hmm_dmirror_cmd), .handler = command, .decode = decode \
	}

static const struct ioctl_row rows[] = {
	ROW(HMM_DMIRROR_READ),
	ROW(HMM_DMIRROR_WRITE),
	ROW(HMM_DMIRROR_MIGRATE_TO_DEV),
	ROW(HMM_DMIRROR_MIGRATE_TO_SYS),
	ROW(HMM_DMIRROR_SNAPSHOT),
	ROW(HMM_DMIRROR_EXCLUSIVE),
	ROW(HMM_DMIRROR_CHECK_EXCLUSIVE),
	ROW(HMM_DMIRROR_RELEASE),
	ROW(HMM_DMIRROR_FLAGS),
	ROW(HMM_DMIRROR_READ_UNLOCKED),
};

const struct ioctl_table hmm_table = {
	.kind = "hmm-dmirror",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.unknown = -EINVAL,
	.otherwise = unknown,
};

const struct file_ops hmm_file_ops = {
	.kind = "hmm-dmirror",
	.ioctls = &hmm_table,
	.of_process = true,
	.seeks = true,
	.open = hmm_open,
	.release = hmm_release,
	.mmap = hmm_mmap,
};
