/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO_DEVICE_IOEVENTFD: an eventfd that writes a fixed value to a register.  Rules and
 * errors as in the kernel's vfio_pci_ioeventfd().
 */
#include <errno.h>
#include <stdlib.h>

#include "core/hostfd.h"
#include "vfio/eventfd_watch.h"
#include "vfio/vfio.h"

#define IOEVENTFDS_MAX 1000

struct vfio_ioeventfd {
	struct vfio_ioeventfd *next;
	struct vfio_device *device;
	unsigned bar, size;
	uint64_t at, value;
	struct eventfd_watch *watch;
};

static void fire(void *arg)
{
	struct vfio_ioeventfd *e = arg;
	bool io = e->device->dev->pci.bar[e->bar].flags & STANDIN_BAR_IO;

	if (io || atomic_load(&e->device->memory_enabled))
		device_bar_write(e->device->dev, e->bar, e->at, e->size, e->value);
}

static int add(struct vfio_device *v, const struct vfio_ioeventfd *wanted, int fd)
{
	struct vfio_ioeventfd *e;
	int ret, eventfd;

	if (v->n_ioeventfds >= IOEVENTFDS_MAX)
		return -ENOSPC;
	eventfd = vfio_eventfd_take(fd);
	if (eventfd < 0)
		return eventfd;
	e = malloc(sizeof(*e));
	if (!e) {
		hostfd_close(eventfd);
		return -ENOMEM;
	}
	*e = *wanted;
	ret = eventfd_watch_create(eventfd, fire, e, &e->watch);
	if (ret) {
		hostfd_close(eventfd);
		free(e);
		return ret;
	}
	e->next = v->ioeventfds;
	v->ioeventfds = e;
	v->n_ioeventfds++;
	return 0;
}

static int change(struct vfio_device *v, const struct vfio_ioeventfd *wanted, int fd)
{
	struct vfio_ioeventfd **link, *e;

	for (link = &v->ioeventfds; (e = *link); link = &e->next) {
		if (e->bar != wanted->bar || e->at != wanted->at || e->size != wanted->size ||
		    e->value != wanted->value)
			continue;
		if (fd != -1)
			return -EEXIST;
		*link = e->next;
		v->n_ioeventfds--;
		eventfd_watch_destroy(e->watch);
		free(e);
		return 0;
	}
	return fd < 0 ? -ENODEV : add(v, wanted, fd);
}

long vfio_ioeventfd(struct file *f, struct ioctl_call *call)
{
	struct vfio_device *v = f->priv;
	const struct standin_pci *pci = &v->dev->pci;
	const struct vfio_device_ioeventfd *request = call->data;
	struct vfio_ioeventfd wanted = {.device = v, .value = request->data};
	uint64_t table, index = request->offset >> VFIO_OFFSET_SHIFT;
	long ret;

	if (request->flags & ~VFIO_DEVICE_IOEVENTFD_SIZE_MASK)
		return -EINVAL;
	wanted.size = request->flags;
	if (__builtin_popcount(wanted.size) != 1 || request->fd < -1)
		return -EINVAL;
	if (index > VFIO_PCI_BAR5_REGION_INDEX)
		return -EINVAL;
	wanted.bar = (unsigned)index;
	wanted.at = request->offset & (((uint64_t)1 << VFIO_OFFSET_SHIFT) - 1);
	if (wanted.at + wanted.size > pci->bar[wanted.bar].size)
		return -EINVAL;
	if (pci->msix_vectors && wanted.bar == pci->msix_bar) {
		table = pci->msix_table;
		if (wanted.at + wanted.size > table && wanted.at < table + 16u * pci->msix_vectors)
			return -EINVAL;
	}
	pthread_mutex_lock(&v->ioeventfd_lock);
	ret = change(v, &wanted, request->fd);
	pthread_mutex_unlock(&v->ioeventfd_lock);
	return ret;
}

void vfio_ioeventfd_release_all(struct vfio_device *v)
{
	struct vfio_ioeventfd *e;

	pthread_mutex_lock(&v->ioeventfd_lock);
	while ((e = v->ioeventfds)) {
		v->ioeventfds = e->next;
		eventfd_watch_destroy(e->watch);
		free(e);
	}
	v->n_ioeventfds = 0;
	pthread_mutex_unlock(&v->ioeventfd_lock);
}
