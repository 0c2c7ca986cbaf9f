/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The files: the handshake, without which a context answers EINVAL to everything, and the table
 * of what comes after it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "core/syscall.h"
#include "core/user.h"
#include "uffd/share.h"

/* What the addresses of programs end below: TASK_SIZE of x86-64. */
#define TASK_SIZE (((uint64_t)1 << 47) - MEMORY_PAGE)

static bool initialized(const struct uffd *u)
{
	return uffd_features(u) & UFFD_INITIALIZED;
}

bool uffd_blocks(const struct file *f)
{
	return !(host_syscall(SYS_fcntl, f->self, F_GETFL) & O_NONBLOCK);
}

long uffd_check_source(uint64_t start, uint64_t size)
{
	if (size % MEMORY_PAGE || !size || start >= TASK_SIZE || size > TASK_SIZE - start)
		return -EINVAL;
	return 0;
}

long uffd_check_range(uint64_t start, uint64_t size)
{
	return start % MEMORY_PAGE ? -EINVAL : uffd_check_source(start, size);
}

/* Features that go with others, or -EINVAL. */
static long complete_features(uint64_t *features)
{
	if (*features & UFFD_FEATURE_WP_ASYNC)
		*features |= UFFD_FEATURE_WP_UNPOPULATED;
	if ((*features & UFFD_FEATURE_RWP_ASYNC) && !(*features & UFFD_FEATURE_RWP))
		return -EINVAL;
	return *features & ~UFFD_FEATURES ? -EINVAL : 0;
}

/* An error leaves zeroes behind, whatever was there. */
static long uffd_api(struct file *f, struct ioctl_call *call)
{
	struct uffd *u = f->priv;
	struct uffdio_api *api = call->data;
	uint64_t features = api->features;
	uint32_t none = 0;
	long ret = api->api == UFFD_API ? complete_features(&features) : -EINVAL;

	if (ret == 0) {
		api->features = UFFD_FEATURES;
		api->ioctls = UFFD_API_BITS;
		if (ioctl_return(call, sizeof(*api)))
			return -EFAULT;
		if (atomic_compare_exchange_strong(&u->features, &none,
						   (uint32_t)features | UFFD_INITIALIZED))
			return 0;
		ret = -EINVAL;
	}
	memset(api, 0, sizeof(*api));
	return ioctl_return(call, sizeof(*api)) ? -EFAULT : ret;
}

static long uffd_wake_range(struct file *f, struct ioctl_call *call)
{
	const struct uffdio_range *range = call->data;
	long ret = uffd_check_range(range->start, range->len);
	uint64_t signals;

	if (ret)
		return ret;
	memory_lock(&signals);
	uffd_wake(f->priv, range->start, range->len);
	memory_unlock(&signals);
	return 0;
}

static long gate(struct file *f, unsigned int cmd, const struct ioctl_row *row)
{
	const struct uffd *u = f->priv;

	if (cmd == UFFDIO_API)
		return 0;
	if (!initialized(u))
		return -EINVAL;
	/* The others that an unread event stops have a field that says so, too. */
	if ((cmd == UFFDIO_WRITEPROTECT || cmd == UFFDIO_RWPROTECT) &&
	    atomic_load_explicit(&u->changing, memory_order_relaxed))
		return -EAGAIN;
	return 0;
}

static ssize_t file_read(struct file *f, void *buffer, size_t size, off_t offset)
{
	return initialized(f->priv) ? uffd_read(f, buffer, size, offset) : -EINVAL;
}

/* One that blocks can't be waited for. */
static short file_polled(struct file *f, short events, bool waits)
{
	if (!initialized(f->priv) || uffd_blocks(f))
		return POLLERR;
	return uffd_poll(f->priv, waits) ? POLLIN : 0;
}

void uffd_state(const struct uffd *u, struct uffd_state *ret)
{
	unsigned long pending, read;
	uint64_t signals;

	memory_lock(&signals);
	uffd_queue_count(u, &pending, &read);
	memory_unlock(&signals);
	*ret = (struct uffd_state){
		.pending = pending,
		.read = read,
		.features = uffd_features(u),
	};
}

int uffd_state_text(const struct uffd_state *state, char *text, size_t size)
{
	return snprintf(text, size, "pending:\t%llu\ntotal:\t%llu\nAPI:\t%llx:%x:%llx\n",
			(unsigned long long)state->pending,
			(unsigned long long)(state->pending + state->read),
			(unsigned long long)UFFD_API, state->features,
			(unsigned long long)(UFFD_API_BITS | UFFD_RANGE_BITS));
}

static int file_describe(struct file *f, char *text, size_t size)
{
	struct uffd_state state;

	uffd_state(f->priv, &state);
	return uffd_state_text(&state, text, size);
}

static void uffd_release(struct file *f)
{
	uffd_destroy(f->priv);
}

static void leaving(struct file *f)
{
	uffd_share(f);
}

/* Of these structs the last 8 bytes are an answer, and not read. */
#define WITHOUT_ANSWER(type) (sizeof(struct type) - sizeof(uint64_t))

static const struct ioctl_row rows[] = {
	IOCTL_ROW(UFFDIO_COPY, IOCTL_FIXED, WITHOUT_ANSWER(uffdio_copy), uffd_copy,
		  uffd_decode_copy),
	IOCTL_ROW(UFFDIO_ZEROPAGE, IOCTL_FIXED, WITHOUT_ANSWER(uffdio_zeropage), uffd_zeropage,
		  uffd_decode_fill),
	IOCTL_ROW(UFFDIO_CONTINUE, IOCTL_FIXED, WITHOUT_ANSWER(uffdio_continue), uffd_continue,
		  uffd_decode_fill),
	IOCTL_ROW(UFFDIO_POISON, IOCTL_FIXED, WITHOUT_ANSWER(uffdio_poison), uffd_poison,
		  uffd_decode_fill),
	IOCTL_ROW(UFFDIO_MOVE, IOCTL_FIXED, WITHOUT_ANSWER(uffdio_move), uffd_move,
		  uffd_decode_copy),
	IOCTL_ROW(UFFDIO_WRITEPROTECT, IOCTL_FIXED, sizeof(struct uffdio_writeprotect),
		  uffd_writeprotect, uffd_decode_protect),
	IOCTL_ROW(UFFDIO_RWPROTECT, IOCTL_FIXED, sizeof(struct uffdio_rwprotect), uffd_rwprotect,
		  uffd_decode_protect),
	IOCTL_ROW(UFFDIO_WAKE, IOCTL_FIXED, sizeof(struct uffdio_range), uffd_wake_range,
		  uffd_decode_range),
	IOCTL_ROW(UFFDIO_REGISTER, IOCTL_FIXED, WITHOUT_ANSWER(uffdio_register), uffd_register,
		  uffd_decode_register),
	IOCTL_ROW(UFFDIO_UNREGISTER, IOCTL_FIXED, sizeof(struct uffdio_range), uffd_unregister,
		  uffd_decode_range),
	IOCTL_ROW(UFFDIO_SET_MODE, IOCTL_FIXED, sizeof(struct uffdio_set_mode), uffd_set_mode,
		  uffd_decode_set_mode),
	IOCTL_ROW(UFFDIO_API, IOCTL_FIXED, sizeof(struct uffdio_api), uffd_api, uffd_decode_api),
};

const struct ioctl_table uffd_table = {
	.kind = "userfaultfd",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.gate = gate,
	.unknown = -EINVAL,
};

const struct file_ops uffd_file_ops = {
	.kind = "userfaultfd",
	.ioctls = &uffd_table,
	.messages = true,
	.pipe = true,
	.still = true,
	.of_process = true,
	.release = uffd_release,
	.forked = uffd_remote_forked,
	.leaving = leaving,
	.alone = uffd_share_alone,
	.read = file_read,
	.polled = file_polled,
	.describe = file_describe,
	.trace_message = uffd_trace_message,
};
