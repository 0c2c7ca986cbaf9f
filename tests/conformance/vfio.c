/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The VFIO conformance program: its areas, and what they share.
 */
#include "vfio.h"

const char *vfio_bdf(void)
{
	const char *bdf = getenv("VFIO_BDF");

	return bdf && *bdf ? bdf : "0000:01:00.0";
}

const char *vfio_group_path(void)
{
	static char path[64];
	const char *group = getenv("VFIO_GROUP");
	char link[128], target[256];
	ssize_t length;

	if (group && *group) {
		snprintf(path, sizeof(path), "/dev/vfio/%s", group);
		return path;
	}
#ifdef CONFORMANCE_EMBEDDED
	return "/dev/vfio/0";
#endif
	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s/iommu_group", vfio_bdf());
	length = readlink(link, target, sizeof(target) - 1);
	if (length < 0)
		give_up("readlink of the device's iommu_group", -errno);
	target[length] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(target, '/') + 1);
	return path;
}

void vfio_open(struct vfio *v, unsigned long type)
{
	long r;

	v->device = -1;
	v->container = sys_open("/dev/vfio/vfio", O_RDWR);
	if (v->container < 0)
		give_up("open of the container", -errno);
	v->group = sys_open(vfio_group_path(), O_RDWR);
	if (v->group < 0)
		give_up("open of the group", -errno);
	r = result(sys_ioctl(v->group, VFIO_GROUP_SET_CONTAINER, &v->container));
	if (r)
		give_up("VFIO_GROUP_SET_CONTAINER", r);
	if (!type)
		return;
	r = result(sys_ioctl(v->container, VFIO_SET_IOMMU, type));
	if (r)
		give_up("VFIO_SET_IOMMU", r);
	v->device = sys_ioctl(v->group, VFIO_GROUP_GET_DEVICE_FD, vfio_bdf());
	if (v->device < 0)
		give_up("VFIO_GROUP_GET_DEVICE_FD", -errno);
}

void vfio_close(struct vfio *v)
{
	if (v->device >= 0)
		sys_close(v->device);
	sys_close(v->group);
	sys_close(v->container);
}

uint32_t config_read(int device, unsigned offset, unsigned size)
{
	uint32_t value = 0;
	long r = result(
		sys_pread(device, &value, size, REGION(VFIO_PCI_CONFIG_REGION_INDEX) + offset));

	if (r != (long)size)
		give_up("read of configuration space", r);
	return value;
}

long config_write(int device, unsigned offset, unsigned size, uint32_t value)
{
	return result(
		sys_pwrite(device, &value, size, REGION(VFIO_PCI_CONFIG_REGION_INDEX) + offset));
}

unsigned config_capability(int device, uint8_t id)
{
	unsigned offset = config_read(device, 0x34, 1);

	for (int i = 0; offset && i < 48; i++) {
		if (config_read(device, offset, 1) == id)
			return offset;
		offset = config_read(device, offset + 1, 1);
	}
	return 0;
}

long map_dma(int container, uint64_t iova, const void *memory, uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = size,
	};

	return result(sys_ioctl(container, VFIO_IOMMU_MAP_DMA, &map));
}

long unmap_dma(int container, uint64_t iova, uint64_t *size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = flags,
		.iova = iova,
		.size = *size,
	};
	long r = result(sys_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap));

	*size = unmap.size;
	return r;
}

long irq_eventfds(int device, unsigned index, unsigned start, unsigned count, const int *fds)
{
	uint32_t space[5 + 128];
	struct vfio_irq_set *set = (struct vfio_irq_set *)space;

	set->argsz = sizeof(*set) + count * sizeof(int);
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = index;
	set->start = start;
	set->count = count;
	memcpy(set->data, fds, count * sizeof(int));
	return result(sys_ioctl(device, VFIO_DEVICE_SET_IRQS, set));
}

long irq_none(int device, unsigned index, unsigned start, unsigned count, uint32_t action)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | action,
		.index = index,
		.start = start,
		.count = count,
	};

	return result(sys_ioctl(device, VFIO_DEVICE_SET_IRQS, &set));
}

unsigned long eventfd_count(int fd)
{
	uint64_t value = 0;

	if (read(fd, &value, sizeof(value)) != (ssize_t)sizeof(value))
		return 0;
	return value;
}

int main(int argc, char **argv)
{
	static const struct area areas[] = {
		{.name = "container", .run = area_container},
		{.name = "files", .run = area_files, .needs_process = true},
		{.name = "group", .run = area_group},
		{.name = "lifetime", .run = area_lifetime},
		{.name = "type1", .run = area_type1_v1},
		{.name = "type1v2", .run = area_type1_v2},
		{.name = "vaddr", .run = area_vaddr},
		{.name = "dirty", .run = area_dirty},
		{.name = "limit", .run = area_limit},
		{.name = "device", .run = area_device},
		{.name = "region", .run = area_region},
		{.name = "config", .run = area_config},
		{.name = "irq", .run = area_irq},
		{.name = "irqmatrix", .run = area_irq_matrix},
		{.name = "ioeventfd", .run = area_ioeventfd},
		{.name = "feature", .run = area_feature},
		{.name = "reset", .run = area_reset},
		{.name = "mmap", .run = area_mmap, .needs_process = true},
		{.name = "edu", .run = area_edu},
		{.name = "groups", .run = area_groups},
		{.name = "fork", .run = area_fork, .needs_process = true},
		{.name = "passing", .run = area_passing, .needs_process = true},
	};

	return conformance_main(argc, argv, areas, ARRAY_SIZE(areas));
}
