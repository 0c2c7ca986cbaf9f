/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * READ and WRITE: the device copies page by page while its page table has entries, and takes a
 * fault for the whole rest where one is missing.
 *
 * What is read goes straight to the client if it has all entries and the destination is
 * neither away nor what is read; else through a buffer, as in the kernel.  The client's pages
 * are copied guarded: libc may have unmapped them without anybody being told, and then there
 * is a fault as if the entry had gone with them.
 */
#include <errno.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "core/user.h"
#include "hmm/hmm.h"
#include "memory/watch.h"
#include "memory/own.h"

/* The kernel takes a buffer of this size by vmalloc(), which refuses more than there is. */
static bool too_large(uint64_t npages)
{
	struct sysinfo info;

	return sysinfo(&info) < 0 || npages > info.totalram / MEMORY_PAGE * info.mem_unit;
}

static void *buffer_new(uint64_t npages)
{
	return too_large(npages) ? NULL : own_alloc(npages * MEMORY_PAGE);
}

static void buffer_free(void *buffer, uint64_t npages)
{
	own_free(buffer, npages * MEMORY_PAGE);
}

/* ---- with the lock ---- */

/* The end of the pages from `at` whose entries are good for it and alike; *ret_entry: theirs. */
static uintptr_t entries_alike(struct hmm_mirror *m, uintptr_t at, uintptr_t end, bool write,
			       uint64_t *ret_entry)
{
	uint64_t entry = radix_get(&m->table, at);

	*ret_entry = entry;
	if (!entry || (write && !(entry & HMM_ENTRY_WRITE)))
		return at;
	return radix_run(&m->table, at, end, entry, 0, ~(uint64_t)0);
}

static bool has_entries(struct hmm_mirror *m, uintptr_t start, uintptr_t end)
{
	return radix_run(&m->table, start, end, 0, 0, 0) == end;
}

typedef int copy_out_fn(void *to, const void *from, size_t size);

static int zero_out(char *to, copy_out_fn *copy)
{
	static const char zeroes[MEMORY_PAGE];

	return copy(to, zeroes, MEMORY_PAGE);
}

/* Pages that are in the device's memory; stores of neighbours are often neighbours. */
static int copy_stored(uintptr_t at, uintptr_t end, char *to, copy_out_fn *copy)
{
	int ret = 0;

	while (at < end && ret == 0) {
		uint64_t page = pages_get(at);
		const char *from = memory_content(page);
		size_t size = MEMORY_PAGE;

		if (!from) {
			ret = zero_out(to, copy);
		} else {
			size = pages_run(at, end, page, MEMORY_PAGE, PAGE_TRAPPED | PAGE_STORE) -
			       at;
			ret = copy(to, from, size);
		}
		at += size;
		to += size;
	}
	return ret;
}

/*
 * Reads while there are entries: the address reached.  `copy` is copy_guarded() to a buffer or
 * copy_to_user() to the client; its failure goes to *ret_error.
 */
static uintptr_t read_entries(struct hmm_mirror *m, uintptr_t at, uintptr_t end, char *to,
			      copy_out_fn *copy, int *ret_error)
{
	*ret_error = 0;
	while (at < end) {
		uint64_t entry;
		uintptr_t run = entries_alike(m, at, end, false, &entry);

		if (run == at)
			break;
		if (entry & (HMM_ENTRY_DEVICE | HMM_ENTRY_ATOMIC))
			*ret_error = copy_stored(at, run, to, copy);
		else
			*ret_error = copy(to, (const void *)at, run - at);
		if (*ret_error)
			break;
		to += run - at;
		at = run;
	}
	return at;
}

/*
 * A copy failed: forgets the entries of pages that aren't there any more.  false: all are, so
 * it was the other side.
 */
static bool forget_vanished(struct hmm_mirror *m, uintptr_t start, uintptr_t end)
{
	bool any = false;
	char byte;

	for (; start < end; start += MEMORY_PAGE) {
		uint64_t entry = radix_get(&m->table, start);

		if (!entry || entry & (HMM_ENTRY_DEVICE | HMM_ENTRY_ATOMIC) ||
		    copy_guarded(&byte, (const void *)start, 1) == 0)
			continue;
		radix_set(&m->table, start, 0);
		any = true;
	}
	return any;
}

/* ---- READ ---- */

/* Whether what is read can go straight to the client. */
static bool straight(const struct hmm_dmirror_cmd *cmd)
{
	uintptr_t size = cmd->npages * MEMORY_PAGE, end = cmd->addr + size;

	if (user_client.pid)
		return true;
	if (cmd->ptr + size < cmd->ptr || cmd->ptr + size > MEMORY_LIMIT)
		return false;
	return (cmd->ptr >= end || cmd->ptr + size <= cmd->addr) &&
	       pages_next(cmd->ptr & ~(MEMORY_PAGE - 1), cmd->ptr + size, NULL) >= cmd->ptr + size;
}

/*
 * What the device has of the whole range: -ENOENT if it hasn't all; -EAGAIN, use a buffer.  With
 * the lock.
 */
static int read_straight_locked(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd)
{
	uintptr_t end = cmd->addr + cmd->npages * MEMORY_PAGE;
	char *to = (char *)(uintptr_t)cmd->ptr;
	int ret = -ENOENT;

	if (!straight(cmd))
		ret = -EAGAIN;
	else if (has_entries(m, cmd->addr, end)) {
		read_entries(m, cmd->addr, end, to, copy_to_user, &ret);
		if (ret && forget_vanished(m, cmd->addr, end))
			ret = -ENOENT;
	}
	if (ret == 0)
		cmd->cpages = cmd->npages;
	return ret;
}

static int read_straight(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd)
{
	uint64_t signals;
	int ret;

	memory_lock(&signals);
	memory_validate(cmd->addr, cmd->addr + cmd->npages * MEMORY_PAGE);
	ret = read_straight_locked(m, cmd);
	memory_unlock(&signals);
	return ret;
}

int hmm_read_taken(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd)
{
	return too_large(cmd->npages) ? -EAGAIN : read_straight_locked(m, cmd);
}

/* From `*at` on, as far as there are entries: 0 at the end, -ENOENT. */
static int read_buffered(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd, char *buffer,
			 uintptr_t *at)
{
	uintptr_t end = cmd->addr + cmd->npages * MEMORY_PAGE;
	uint64_t signals;
	int error;

	memory_lock(&signals);
	memory_validate(*at, end);
	*at = read_entries(m, *at, end, buffer + (*at - cmd->addr), copy_guarded, &error);
	if (error)
		forget_vanished(m, *at, end);
	memory_unlock(&signals);
	cmd->cpages = (*at - cmd->addr) / MEMORY_PAGE;
	return *at == end ? 0 : -ENOENT;
}

static int read_with(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd, char *buffer)
{
	uintptr_t at = cmd->addr, end = cmd->addr + cmd->npages * MEMORY_PAGE;
	int ret;

	while ((ret = read_buffered(m, cmd, buffer, &at)) == -ENOENT) {
		ret = hmm_fault(m, at, end, false);
		if (ret)
			return ret;
		cmd->faults++;
	}
	if (ret == 0 && copy_to_user((void *)(uintptr_t)cmd->ptr, buffer, end - cmd->addr))
		ret = -EFAULT;
	return ret;
}

int hmm_read(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd)
{
	uintptr_t end = cmd->addr + cmd->npages * MEMORY_PAGE;
	char *buffer;
	int ret = too_large(cmd->npages) ? -ENOMEM : read_straight(m, cmd);

	if (ret == -ENOENT) {
		/* The first page without an entry, from which on there is a fault. */
		uintptr_t at = cmd->addr;
		uint64_t signals;

		memory_lock(&signals);
		while (at < end && radix_get(&m->table, at))
			at += MEMORY_PAGE;
		memory_unlock(&signals);
		ret = at < end ? hmm_fault(m, at, end, false) : 0;
		if (ret)
			return ret;
		cmd->faults += at < end;
		ret = read_straight(m, cmd);
	}
	if (ret != -EAGAIN && ret != -ENOENT)
		return ret;
	buffer = buffer_new(cmd->npages);
	if (!buffer)
		return -ENOMEM;
	ret = read_with(m, cmd, buffer);
	buffer_free(buffer, cmd->npages);
	return ret;
}

int hmm_read_unlocked(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd)
{
	uintptr_t end = cmd->addr + cmd->npages * MEMORY_PAGE;
	bool watched;
	uint64_t signals;

	memory_lock(&signals);
	watched = watch_in(cmd->addr, end);
	memory_unlock(&signals);
	if (watched)
		memory_reach((void *)(uintptr_t)cmd->addr, end - cmd->addr, false);
	return hmm_read(m, cmd);
}

int hmm_read_back(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd)
{
	uintptr_t at = cmd->addr;
	char *buffer;
	int ret = too_large(cmd->npages) ? -ENOMEM : read_straight(m, cmd);

	if (ret != -EAGAIN)
		return ret;
	buffer = buffer_new(cmd->npages);
	if (!buffer)
		return -ENOMEM;
	ret = read_buffered(m, cmd, buffer, &at);
	if (ret == 0 &&
	    copy_to_user((void *)(uintptr_t)cmd->ptr, buffer, cmd->npages * MEMORY_PAGE))
		ret = -EFAULT;
	buffer_free(buffer, cmd->npages);
	return ret;
}

/* ---- WRITE ---- */

static int write_stored(uintptr_t at, uintptr_t end, const char *from)
{
	for (; at < end; at += MEMORY_PAGE, from += MEMORY_PAGE) {
		void *to = memory_content_make(at);

		if (!to)
			return -ENOMEM;
		memcpy(to, from, MEMORY_PAGE);
	}
	return 0;
}

/* With the lock.  The address reached. */
static uintptr_t write_entries(struct hmm_mirror *m, uintptr_t at, uintptr_t end, const char *from,
			       int *ret_error)
{
	*ret_error = 0;
	while (at < end) {
		uint64_t entry;
		uintptr_t run = entries_alike(m, at, end, true, &entry);

		if (run == at)
			break;
		if (entry & HMM_ENTRY_DEVICE)
			*ret_error = write_stored(at, run, from);
		else
			*ret_error = copy_guarded((void *)at, from, run - at);
		if (*ret_error)
			break;
		from += run - at;
		at = run;
	}
	return at;
}

static int write_from(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd, const char *buffer)
{
	uintptr_t at = cmd->addr, end = cmd->addr + cmd->npages * MEMORY_PAGE;

	for (;;) {
		uint64_t signals;
		int ret;

		memory_lock(&signals);
		memory_validate(at, end);
		at = write_entries(m, at, end, buffer + (at - cmd->addr), &ret);
		if (ret == -EFAULT)
			radix_clear(&m->table, at, end);
		memory_unlock(&signals);
		cmd->cpages = (at - cmd->addr) / MEMORY_PAGE;
		if (at == end || (ret && ret != -EFAULT))
			return ret;
		ret = hmm_fault(m, at, end, true);
		if (ret)
			return ret;
		cmd->faults++;
	}
}

int hmm_write(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd)
{
	size_t size = cmd->npages * MEMORY_PAGE;
	char *buffer = buffer_new(cmd->npages);
	int ret;

	if (!buffer)
		return -ENOMEM;
	if (copy_from_user(buffer, (const void *)(uintptr_t)cmd->ptr, size))
		ret = -EFAULT;
	else
		ret = write_from(m, cmd, buffer);
	buffer_free(buffer, cmd->npages);
	return ret;
}
