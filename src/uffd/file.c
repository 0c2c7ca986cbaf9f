/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The files: the handshake, without which a context answers EINVAL to everything, and the table
 * of what comes after it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/user.h"
#include "uffd/uffd.h"

static bool initialized(const struct uffd *u)
{
	return atomic_load_explicit(&u->features, memory_order_relaxed) & UFFD_INITIALIZED;
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

static long gate(struct file *f, unsigned int cmd, const struct ioctl_row *row)
{
	return cmd == UFFDIO_API || initialized(f->priv) ? 0 : -EINVAL;
}

static ssize_t file_read(struct file *f, void *buffer, size_t size, off_t offset)
{
	return initialized(f->priv) ? uffd_read(f, buffer, size, offset) : -EINVAL;
}

static void uffd_release(struct file *f)
{
	free(f->priv);
}

static const struct ioctl_row rows[] = {
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
	.read = file_read,
	.trace_message = uffd_trace_message,
};
