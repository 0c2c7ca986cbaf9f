/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the owner does for a client: its calls, on files that it is known to have.  A mapping of
 * registers can't be made from here; the client is told what to map, and of which memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <string.h>

#include "core/call.h"
#include "core/device.h"
#include "core/file.h"
#include "core/instance.h"
#include "core/ioctl.h"
#include "core/syscall.h"
#include "inject/owner_private.h"
#include "memory/mmio.h"

#define PAGE 4096u

int owner_give_file(struct owner_client *c, int fd, struct forward_reply *reply)
{
	struct file *f = file_get(fd);

	if (!f)
		return -1;
	reply->file = (uintptr_t)f;
	reply->rdev = f->rdev;
	reply->flags = f->flags;
	strncpy(reply->kind, f->ops->kind, sizeof(reply->kind) - 1);
	if (owner_client_add(c, f) < 0) {
		reply->result = -ENOMEM;
		return -1;
	}
	return fd;
}

static int64_t read_or_write(struct file *f, const struct forward_request *rq)
{
	void *buffer = (void *)(uintptr_t)rq->argument;

	if (rq->operation == FORWARD_READ)
		return f->ops->read ? f->ops->read(f, buffer, rq->size, rq->offset) : -EINVAL;
	return f->ops->write ? f->ops->write(f, buffer, rq->size, rq->offset) : -EINVAL;
}

static int64_t registers(const struct forward_request *rq)
{
	unsigned bar = (unsigned)rq->flags, size = (unsigned)rq->size;
	struct standin_device *dev;

	if (!instance || rq->command >= instance->n_devices || bar >= STANDIN_PCI_BARS)
		return -EINVAL;
	dev = instance->devices[rq->command];
	if (!dev->realized || (uint64_t)rq->offset + size > dev->pci.bar[bar].size)
		return -EINVAL;
	if (rq->operation == FORWARD_BAR_READ)
		return (int64_t)device_bar_read(dev, bar, (uint64_t)rq->offset, size);
	device_bar_write(dev, bar, (uint64_t)rq->offset, size, rq->argument);
	return 0;
}

/* The kinds of the BAR's pages as spans.  false: there are too many. */
static bool describe_bar(const struct mmio_plan *plan, struct forward_reply *reply)
{
	uint32_t n = 0;
	uint64_t size = plan->dev->pci.bar[plan->bar].size;

	for (uint64_t at = 0; at < size; at += PAGE) {
		uint32_t page = device_page_kind(plan->dev, plan->bar, at);

		if (n && reply->span[n - 1].page == page) {
			reply->span[n - 1].size += PAGE;
			continue;
		}
		if (n == FORWARD_SPANS_MAX)
			return false;
		reply->span[n].offset = at;
		reply->span[n].size = PAGE;
		reply->span[n++].page = page;
	}
	reply->n_spans = n;
	reply->bar_size = size;
	return true;
}

/* Says what the file would map; returns a descriptor of the memory. */
static int plan_map(struct file *f, const struct forward_request *rq, struct forward_reply *reply)
{
	struct map_request request = {
		.size = rq->size,
		.protection = (int)rq->command,
		.flags = rq->flags,
		.offset = rq->offset,
	};
	struct mmio_plan plan = {0};

	mmio_plan = &plan;
	reply->result = f->ops->mmap ? f->ops->mmap(f, &request) : -ENODEV;
	mmio_plan = NULL;
	if (reply->result < 0)
		return -1;
	if (!plan.dev || !describe_bar(&plan, reply)) {
		reply->result = -ENODEV;
		return -1;
	}
	reply->device = plan.dev->index;
	reply->bar = plan.bar;
	reply->offset = plan.offset;
	return (int)host_syscall(SYS_fcntl, plan.dev->memory_fd, F_DUPFD_CLOEXEC, 3);
}

int owner_perform(struct owner_client *c, const struct forward_request *rq,
		  struct forward_reply *reply)
{
	struct file *f = (struct file *)(uintptr_t)rq->file;
	bool known = owner_client_has(c, f);

	switch (rq->operation) {
	case FORWARD_OPEN:
		reply->result = call_open(rq->path, rq->flags);
		return reply->result < 0 ? -1 : owner_give_file(c, (int)reply->result, reply);
	case FORWARD_IOCTL:
		reply->result =
			known ? ioctl_dispatch((int)rq->size, f, rq->command, rq->argument) : -EIO;
		if (rq->command == VFIO_GROUP_GET_DEVICE_FD && reply->result >= 0)
			return owner_give_file(c, (int)reply->result, reply);
		return -1;
	case FORWARD_READ:
	case FORWARD_WRITE:
		reply->result = known ? read_or_write(f, rq) : -EIO;
		return -1;
	case FORWARD_MAP:
		reply->result = -EIO;
		return known ? plan_map(f, rq, reply) : -1;
	case FORWARD_BAR_READ:
	case FORWARD_BAR_WRITE:
		reply->result = registers(rq);
		return -1;
	case FORWARD_HOLD:
		reply->result = known ? 0 : -EIO;
		if (known && rq->flags)
			owner_hold(f);
		else if (known)
			owner_unhold(f);
		return -1;
	default:
		reply->result = -EINVAL;
		return -1;
	}
}
