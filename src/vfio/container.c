/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The container: /dev/vfio/vfio.  It has no IOMMU until VFIO_SET_IOMMU, for which a group
 * must be attached, and until then every other command but the first two is EINVAL.  When
 * the last group goes the IOMMU goes with it, mappings and all, and the container is as
 * new.  (Kernel: drivers/vfio/container.c.)
 */
#include <errno.h>
#include <stdlib.h>

#include "core/iova.h"
#include "vfio/vfio.h"

static int container_open(struct file *f, void *context)
{
	struct vfio_container *c;

	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	atomic_init(&c->refs, 1);
	pthread_mutex_init(&c->lock, NULL);
	f->priv = c;
	return 0;
}

static void container_put(struct vfio_container *c)
{
	if (atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static void container_release(struct file *f)
{
	container_put(f->priv);
}

struct vfio_container *vfio_container_of(struct file *f)
{
	return f->ops == &vfio_container_ops ? f->priv : NULL;
}

int vfio_container_attach(struct vfio_container *c, struct vfio_group *group)
{
	atomic_fetch_add(&c->refs, 1);
	pthread_mutex_lock(&c->lock);
	group->container = c;
	group->next = c->groups;
	c->groups = group;
	pthread_mutex_unlock(&c->lock);
	return 0;
}

void vfio_container_detach(struct vfio_group *group)
{
	struct vfio_container *c = group->container;
	struct vfio_group **link;
	struct type1 *gone = NULL;

	pthread_mutex_lock(&c->lock);
	for (link = &c->groups; *link != group; link = &(*link)->next)
		;
	*link = group->next;
	group->container = NULL;
	if (!c->groups) {
		gone = c->iommu;
		c->iommu = NULL;
	}
	/* Inside the lock: a command that has found it finishes first. */
	type1_destroy(gone);
	pthread_mutex_unlock(&c->lock);
	container_put(c);
}

static long get_api_version(struct file *f, struct ioctl_call *call)
{
	return VFIO_API_VERSION;
}

static long check_extension(struct file *f, struct ioctl_call *call)
{
	struct vfio_container *c = f->priv;
	long ret;

	pthread_mutex_lock(&c->lock);
	ret = type1_check_extension(c->iommu, call->arg);
	pthread_mutex_unlock(&c->lock);
	return ret;
}

static long set_iommu(struct file *f, struct ioctl_call *call)
{
	struct vfio_container *c = f->priv;
	struct type1 *iommu;
	long ret;

	pthread_mutex_lock(&c->lock);
	if (!c->groups || c->iommu) {
		ret = -EINVAL;
	} else if (type1_check_extension(NULL, call->arg) <= 0) {
		ret = -ENODEV;
	} else {
		ret = type1_create(call->arg, &iommu);
		if (!ret)
			c->iommu = iommu;
	}
	pthread_mutex_unlock(&c->lock);
	return ret;
}

/*
 * The type1 commands.  The gate has seen an IOMMU, but it may have gone since.  Handlers
 * run under the container's lock, which is what the kernel's iommu->lock is.
 */
#define WITH_IOMMU(name, expression)                              \
	static long name(struct file *f, struct ioctl_call *call) \
	{                                                         \
		struct vfio_container *c = f->priv;               \
		long ret = -EINVAL;                               \
                                                                  \
		pthread_mutex_lock(&c->lock);                     \
		if (c->iommu)                                     \
			ret = (expression);                       \
		pthread_mutex_unlock(&c->lock);                   \
		return ret;                                       \
	}

WITH_IOMMU(iommu_get_info, type1_get_info(c->iommu, call))
WITH_IOMMU(iommu_map_dma, type1_map(c->iommu, call->data))
WITH_IOMMU(iommu_unmap_dma, type1_unmap(c->iommu, call))
WITH_IOMMU(iommu_dirty_pages, type1_dirty_pages(c->iommu, call))

static long container_gate(struct file *f, unsigned int cmd, const struct ioctl_row *row)
{
	struct vfio_container *c = f->priv;

	switch (cmd) {
	case VFIO_GET_API_VERSION:
	case VFIO_CHECK_EXTENSION:
	case VFIO_SET_IOMMU:
		return 0;
	default:
		return atomic_load_explicit(&c->iommu, memory_order_relaxed) ? 0 : -EINVAL;
	}
}

static const struct ioctl_row container_rows[] = {
	IOCTL_ROW(VFIO_IOMMU_MAP_DMA, IOCTL_ARGSZ, sizeof(struct vfio_iommu_type1_dma_map),
		  iommu_map_dma, vfio_decode_map),
	IOCTL_ROW(VFIO_IOMMU_UNMAP_DMA, IOCTL_ARGSZ, sizeof(struct vfio_iommu_type1_dma_unmap),
		  iommu_unmap_dma, vfio_decode_unmap),
	IOCTL_ROW(VFIO_GET_API_VERSION, IOCTL_NONE, 0, get_api_version, NULL),
	IOCTL_ROW(VFIO_CHECK_EXTENSION, IOCTL_VALUE, 0, check_extension, vfio_decode_extension),
	IOCTL_ROW(VFIO_SET_IOMMU, IOCTL_VALUE, 0, set_iommu, vfio_decode_extension),
	IOCTL_ROW(VFIO_IOMMU_GET_INFO, IOCTL_ARGSZ, 16, iommu_get_info, vfio_decode_iommu_info),
	/* A v1 container is refused before the argument is looked at: the handler copies it. */
	IOCTL_ROW(VFIO_IOMMU_DIRTY_PAGES, IOCTL_USER, 0, iommu_dirty_pages, vfio_decode_dirty),
};

const struct ioctl_table vfio_container_table = {
	.kind = "vfio-container",
	.rows = container_rows,
	.n_rows = sizeof(container_rows) / sizeof(container_rows[0]),
	.gate = container_gate,
	.unknown = -ENOTTY,
};

const struct file_ops vfio_container_ops = {
	.kind = "vfio-container",
	.ioctls = &vfio_container_table,
	.open = container_open,
	.release = container_release,
};
