/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO_DEVICE_SET_IRQS and VFIO_DEVICE_GET_IRQ_INFO.
 *
 * Only one of INTx, MSI and MSI-X is enabled at a time.  Message vectors are the device's
 * lines; a vector with an eventfd is one the kernel would have requested.  INTx is level
 * triggered and masks itself: a signal goes out when the level is high and INTx isn't
 * masked, which masks it, and unmasking with the level still high sends the next at once.
 * (Kernel: vfio_set_irqs_validate_and_prepare(), pci/vfio_pci_intrs.c.)
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/user.h"
#include "vfio/eventfd_watch.h"
#include "vfio/vfio.h"

#define NONE VFIO_PCI_NUM_IRQS

/* One SET_IRQS request after the checks that are the same for all. */
struct request {
	unsigned index, start, count;
	uint32_t flags;
	const void *data; /* count fds or bools, as flags say; NULL if there are none */
};

int vfio_eventfd_take(int fd)
{
	int taken = user_fd_take(fd), ret;

	if (taken < 0)
		return taken;
	ret = line_check_eventfd(taken);
	if (ret) {
		hostfd_close(taken);
		return ret;
	}
	return taken;
}

unsigned vfio_irqs_count(const struct vfio_device *v, unsigned index)
{
	const struct standin_pci *pci = &v->dev->pci;

	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return pci->interrupt_pin ? 1 : 0;
	case VFIO_PCI_MSI_IRQ_INDEX:
		return pci->msi_vectors;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return pci->msix_vectors;
	case VFIO_PCI_ERR_IRQ_INDEX:
	case VFIO_PCI_REQ_IRQ_INDEX:
		return 1;
	default:
		return 0;
	}
}

/* ---- INTx ---- */

/* With irq_lock held: what goes to the client's eventfd unless the driver disabled INTx. */
static void intx_send(struct vfio_device *v)
{
	if (!v->irqs.virq_disabled)
		line_raise(&v->irqs.intx);
}

/* With irq_lock held: the interrupt handler. */
static void intx_deliver(struct vfio_device *v)
{
	if (v->irqs.type != VFIO_PCI_INTX_IRQ_INDEX || v->irqs.masked ||
	    !atomic_load(&v->dev->intx_asserted))
		return;
	v->irqs.masked = true;
	intx_send(v);
}

static void intx_changed(struct standin_device *dev, bool asserted)
{
	struct vfio_device *v = dev->vfio;

	if (!asserted)
		return;
	pthread_mutex_lock(&v->irq_lock);
	intx_deliver(v);
	pthread_mutex_unlock(&v->irq_lock);
}

static void intx_mask(struct vfio_device *v)
{
	pthread_mutex_lock(&v->irq_lock);
	if (v->irqs.type == VFIO_PCI_INTX_IRQ_INDEX)
		v->irqs.masked = true;
	pthread_mutex_unlock(&v->irq_lock);
}

static void intx_unmask(void *arg)
{
	struct vfio_device *v = arg;

	pthread_mutex_lock(&v->irq_lock);
	if (v->irqs.type == VFIO_PCI_INTX_IRQ_INDEX && v->irqs.masked && !v->irqs.virq_disabled) {
		v->irqs.masked = false;
		intx_deliver(v);
	}
	pthread_mutex_unlock(&v->irq_lock);
}

void vfio_irqs_intx_disable(struct vfio_device *v, bool disabled)
{
	bool changed;

	pthread_mutex_lock(&v->irq_lock);
	changed = v->irqs.virq_disabled != disabled;
	v->irqs.virq_disabled = disabled;
	pthread_mutex_unlock(&v->irq_lock);
	if (!changed)
		return;
	if (disabled)
		intx_mask(v);
	else
		intx_unmask(v);
}

static void intx_enable(struct vfio_device *v, int eventfd)
{
	line_connect(&v->irqs.intx, eventfd);
	pthread_mutex_lock(&v->irq_lock);
	v->irqs.type = VFIO_PCI_INTX_IRQ_INDEX;
	v->irqs.masked = v->irqs.virq_disabled;
	atomic_store(&v->dev->irq_mode, STANDIN_IRQ_INTX);
	intx_deliver(v);
	pthread_mutex_unlock(&v->irq_lock);
}

static void intx_disable(struct vfio_device *v)
{
	eventfd_watch_destroy(v->irqs.unmask);
	v->irqs.unmask = NULL;
	pthread_mutex_lock(&v->irq_lock);
	v->irqs.type = NONE;
	atomic_store(&v->dev->irq_mode, STANDIN_IRQ_NONE);
	pthread_mutex_unlock(&v->irq_lock);
	line_connect(&v->irqs.intx, -1);
}

/* Whether the request's only boolean is true. */
static bool first_bool(const struct request *r)
{
	return *(const uint8_t *)r->data != 0;
}

static int32_t first_fd(const struct request *r)
{
	int32_t fd;

	memcpy(&fd, r->data, sizeof(fd));
	return fd;
}

static int set_intx_mask(struct vfio_device *v, const struct request *r)
{
	if (v->irqs.type != VFIO_PCI_INTX_IRQ_INDEX || r->start || r->count != 1)
		return -EINVAL;
	if (r->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return -ENOTTY;
	if ((r->flags & VFIO_IRQ_SET_DATA_NONE) || first_bool(r))
		intx_mask(v);
	return 0;
}

static int set_unmask_eventfd(struct vfio_device *v, int32_t fd)
{
	int eventfd, ret;

	if (fd < 0) {
		eventfd_watch_destroy(v->irqs.unmask);
		v->irqs.unmask = NULL;
		return 0;
	}
	eventfd = vfio_eventfd_take(fd);
	if (eventfd < 0)
		return eventfd;
	ret = v->irqs.unmask ? -EBUSY
			     : eventfd_watch_create(eventfd, intx_unmask, v, &v->irqs.unmask);
	if (ret)
		hostfd_close(eventfd);
	return ret;
}

static int set_intx_unmask(struct vfio_device *v, const struct request *r)
{
	if (v->irqs.type != VFIO_PCI_INTX_IRQ_INDEX || r->start || r->count != 1)
		return -EINVAL;
	if (r->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return set_unmask_eventfd(v, first_fd(r));
	if ((r->flags & VFIO_IRQ_SET_DATA_NONE) || first_bool(r))
		intx_unmask(v);
	return 0;
}

static int set_intx_trigger(struct vfio_device *v, const struct request *r)
{
	bool enabled = v->irqs.type == VFIO_PCI_INTX_IRQ_INDEX;
	int eventfd = -1;

	if (enabled && !r->count && (r->flags & VFIO_IRQ_SET_DATA_NONE)) {
		intx_disable(v);
		return 0;
	}
	if ((!enabled && v->irqs.type != NONE) || r->start || r->count != 1)
		return -EINVAL;
	if (r->flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		if (first_fd(r) >= 0) {
			eventfd = vfio_eventfd_take(first_fd(r));
			if (eventfd < 0)
				return eventfd;
		}
		if (enabled)
			line_connect(&v->irqs.intx, eventfd);
		else
			intx_enable(v, eventfd);
		return 0;
	}
	if (!enabled)
		return -EINVAL;
	if ((r->flags & VFIO_IRQ_SET_DATA_NONE) || first_bool(r)) {
		pthread_mutex_lock(&v->irq_lock);
		intx_send(v);
		pthread_mutex_unlock(&v->irq_lock);
	}
	return 0;
}

/* ---- MSI and MSI-X ---- */

static void vector_clear(struct vfio_device *v, unsigned vector, bool msix)
{
	struct line *line = &v->dev->vectors[vector];

	if (!line_connected(line))
		return;
	if (msix)
		msix_entry_enable(v->dev, vector, false);
	line_connect(line, -1);
}

static int vector_set(struct vfio_device *v, unsigned vector, int32_t fd, bool msix)
{
	int eventfd;

	vector_clear(v, vector, msix);
	if (fd < 0)
		return 0;
	/* MSI-X vectors are allocated when first used; those of MSI only when it is enabled. */
	if (!msix && vector >= v->irqs.msi_allocated)
		return -EINVAL;
	eventfd = vfio_eventfd_take(fd);
	if (eventfd < 0)
		return eventfd;
	line_connect(&v->dev->vectors[vector], eventfd);
	if (msix)
		msix_entry_enable(v->dev, vector, true);
	return 0;
}

/* If one fails, all from the first one on are cleared, the failing one included. */
static int vectors_set(struct vfio_device *v, const struct request *r, bool msix)
{
	int32_t fd;
	unsigned i;
	int ret = 0;

	for (i = 0; i < r->count && !ret; i++) {
		memcpy(&fd, (const char *)r->data + i * sizeof(fd), sizeof(fd));
		ret = vector_set(v, r->start + i, fd, msix);
	}
	if (ret)
		while (i--)
			vector_clear(v, r->start + i, msix);
	return ret;
}

static int msi_enable(struct vfio_device *v, unsigned count, bool msix)
{
	if (v->irqs.type != NONE)
		return -EINVAL;
	/* What pci_alloc_irq_vectors() refuses, in the order of either kind. */
	if (!msix && !vfio_config_in_d0(v))
		return -EINVAL;
	if (!count)
		return -ERANGE;
	if (!vfio_config_in_d0(v))
		return -EINVAL;
	if (msix) {
		vfio_config_show_msix(v, true);
	} else {
		v->irqs.msi_allocated = count;
		v->irqs.msi_qmax = count > 1 ? 32 - (unsigned)__builtin_clz(count - 1) : 0;
		/* The device is told a power of two; what it sends beyond `count` gets lost. */
		atomic_store(&v->dev->n_enabled, 1u << v->irqs.msi_qmax);
	}
	pthread_mutex_lock(&v->irq_lock);
	v->irqs.type = msix ? VFIO_PCI_MSIX_IRQ_INDEX : VFIO_PCI_MSI_IRQ_INDEX;
	atomic_store(&v->dev->irq_mode, msix ? STANDIN_IRQ_MSIX : STANDIN_IRQ_MSI);
	pthread_mutex_unlock(&v->irq_lock);
	return 0;
}

static void msi_disable(struct vfio_device *v, bool msix)
{
	unsigned i;

	for (i = 0; i < v->dev->n_vectors; i++)
		vector_clear(v, i, msix);
	pthread_mutex_lock(&v->irq_lock);
	v->irqs.type = NONE;
	atomic_store(&v->dev->irq_mode, STANDIN_IRQ_NONE);
	pthread_mutex_unlock(&v->irq_lock);
	v->irqs.msi_allocated = 0;
	atomic_store(&v->dev->n_enabled, 0);
	if (msix)
		vfio_config_show_msix(v, false);
}

static int set_msi_trigger(struct vfio_device *v, const struct request *r)
{
	bool msix = r->index == VFIO_PCI_MSIX_IRQ_INDEX;
	bool enabled = v->irqs.type == (int)r->index;
	const uint8_t *bools = r->data;
	unsigned i;
	int ret;

	if (enabled && !r->count && (r->flags & VFIO_IRQ_SET_DATA_NONE)) {
		msi_disable(v, msix);
		return 0;
	}
	if (!enabled && v->irqs.type != NONE)
		return -EINVAL;
	if (r->flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		if (enabled)
			return vectors_set(v, r, msix);
		ret = msi_enable(v, r->start + r->count, msix);
		if (ret)
			return ret;
		ret = vectors_set(v, r, msix);
		if (ret)
			msi_disable(v, msix);
		return ret;
	}
	if (!enabled)
		return -EINVAL;
	for (i = 0; i < r->count; i++)
		if ((r->flags & VFIO_IRQ_SET_DATA_NONE) || bools[i])
			line_raise(&v->dev->vectors[r->start + i]);
	return 0;
}

/* ---- ERR and REQ ---- */

static int set_single_trigger(struct line *line, const struct request *r)
{
	int32_t fd;
	int eventfd;

	if (r->start || r->count > 1)
		return -EINVAL;
	if (r->flags & VFIO_IRQ_SET_DATA_NONE) {
		if (!line_connected(line))
			return -EINVAL;
		if (r->count)
			line_raise(line);
		else
			line_connect(line, -1);
		return 0;
	}
	if (!r->count)
		return -EINVAL;
	if (r->flags & VFIO_IRQ_SET_DATA_BOOL) {
		if (first_bool(r))
			line_raise(line);
		return 0;
	}
	fd = first_fd(r);
	if (fd < -1)
		return -EINVAL;
	eventfd = fd == -1 ? -1 : vfio_eventfd_take(fd);
	if (fd >= 0 && eventfd < 0)
		return eventfd;
	line_connect(line, eventfd);
	return 0;
}

/* ---- the ioctls ---- */

static int apply(struct vfio_device *v, const struct request *r)
{
	uint32_t action = r->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;

	if (r->index == VFIO_PCI_INTX_IRQ_INDEX && action == VFIO_IRQ_SET_ACTION_MASK)
		return set_intx_mask(v, r);
	if (r->index == VFIO_PCI_INTX_IRQ_INDEX && action == VFIO_IRQ_SET_ACTION_UNMASK)
		return set_intx_unmask(v, r);
	if (action != VFIO_IRQ_SET_ACTION_TRIGGER)
		return -ENOTTY;
	switch (r->index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return set_intx_trigger(v, r);
	case VFIO_PCI_MSI_IRQ_INDEX:
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return set_msi_trigger(v, r);
	case VFIO_PCI_ERR_IRQ_INDEX:
		return set_single_trigger(&v->irqs.err, r);
	default:
		return set_single_trigger(&v->irqs.req, r);
	}
}

/* The size of one datum, 0 for none; -EINVAL unless exactly one kind is asked for. */
static int datum_size(uint32_t flags)
{
	switch (flags & VFIO_IRQ_SET_DATA_TYPE_MASK) {
	case VFIO_IRQ_SET_DATA_NONE:
		return 0;
	case VFIO_IRQ_SET_DATA_BOOL:
		return sizeof(uint8_t);
	case VFIO_IRQ_SET_DATA_EVENTFD:
		return sizeof(int32_t);
	default:
		return -EINVAL;
	}
}

long vfio_set_irqs(struct file *f, struct ioctl_call *call)
{
	struct vfio_device *v = f->priv;
	const struct vfio_irq_set *set = call->data;
	struct request r = {set->index, set->start, set->count, set->flags, NULL};
	uint32_t available, small[128];
	void *data = small;
	size_t data_size;
	int datum;
	long ret;

	if (set->index >= VFIO_PCI_NUM_IRQS || set->count >= UINT32_MAX - set->start ||
	    set->flags & ~(VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK))
		return -EINVAL;
	available = vfio_irqs_count(v, set->index);
	if (set->start >= available || set->start + set->count > available)
		return -EINVAL;
	datum = datum_size(set->flags);
	if (datum < 0)
		return datum;
	data_size = (size_t)set->count * (unsigned)datum;
	if (set->argsz - sizeof(*set) < data_size)
		return -EINVAL;
	/* Some threads have small stacks; 2048 vectors are rare. */
	if (data_size > sizeof(small)) {
		data = host_mmap(NULL, data_size, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (host_is_error(data))
			return -ENOMEM;
	}
	if (copy_from_user(data, (void *)(call->arg + sizeof(*set)), data_size)) {
		ret = -EFAULT;
	} else {
		r.data = data_size ? data : NULL;
		pthread_mutex_lock(&v->igate);
		ret = apply(v, &r);
		pthread_mutex_unlock(&v->igate);
	}
	if (data != small)
		host_munmap(data, data_size);
	return ret;
}

long vfio_get_irq_info(struct file *f, struct ioctl_call *call)
{
	struct vfio_device *v = f->priv;
	struct vfio_irq_info *info = call->data;

	if (info->index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	info->flags = VFIO_IRQ_INFO_EVENTFD;
	info->count = vfio_irqs_count(v, info->index);
	if (info->index == VFIO_PCI_INTX_IRQ_INDEX)
		info->flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	else if (info->index != VFIO_PCI_MSIX_IRQ_INDEX || !vfio_irqs_count(v, info->index))
		info->flags |= VFIO_IRQ_INFO_NORESIZE; /* MSI-X vectors come one by one */
	return ioctl_return(call, sizeof(*info));
}

/* ---- life ---- */

void vfio_irqs_init(struct vfio_device *v)
{
	pthread_mutex_init(&v->igate, NULL);
	pthread_mutex_init(&v->irq_lock, NULL);
	v->irqs.type = NONE;
	line_init(&v->irqs.intx, "intx", 0);
	line_init(&v->irqs.err, "err", 0);
	line_init(&v->irqs.req, "req", 0);
	v->dev->intx_changed = intx_changed;
	v->dev->vfio = v;
}

void vfio_irqs_finish(struct vfio_device *v)
{
	v->dev->intx_changed = NULL;
	v->dev->vfio = NULL;
	line_finish(&v->irqs.intx);
	line_finish(&v->irqs.err);
	line_finish(&v->irqs.req);
	pthread_mutex_destroy(&v->irq_lock);
	pthread_mutex_destroy(&v->igate);
}

void vfio_irqs_disable(struct vfio_device *v)
{
	pthread_mutex_lock(&v->igate);
	if (v->irqs.type == VFIO_PCI_INTX_IRQ_INDEX)
		intx_disable(v);
	else if (v->irqs.type != NONE)
		msi_disable(v, v->irqs.type == VFIO_PCI_MSIX_IRQ_INDEX);
	line_connect(&v->irqs.err, -1);
	line_connect(&v->irqs.req, -1);
	pthread_mutex_lock(&v->irq_lock);
	v->irqs.virq_disabled = false;
	pthread_mutex_unlock(&v->irq_lock);
	v->irqs.msi_qmax = 0;
	pthread_mutex_unlock(&v->igate);
}

void vfio_irqs_restore(struct vfio_device *v)
{
	unsigned i;

	pthread_mutex_lock(&v->igate);
	if (v->irqs.type == VFIO_PCI_MSIX_IRQ_INDEX)
		for (i = 0; i < v->dev->n_vectors; i++)
			if (line_connected(&v->dev->vectors[i]))
				msix_entry_enable(v->dev, i, true);
	pthread_mutex_unlock(&v->igate);
}
