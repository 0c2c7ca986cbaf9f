/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The arguments of VFIO's ioctls in words, for the trace.  They run after the handler, so
 * what the call returned in its structure is read again from the client where it isn't in
 * the copy; a pointer that can't be read is printed as it is.
 */
#include <string.h>
#include <sys/mman.h>

#include "core/trace.h"
#include "core/user.h"
#include "vfio/vfio.h"

#define FLAG(prefix, name)          \
	{                           \
		prefix##name, #name \
	}
#define N(flags) (sizeof(flags) / sizeof((flags)[0]))

#define HEX(value) ((unsigned long long)(value))

/* Reads the structure as it is now.  false: printed as a pointer instead. */
static bool now(struct trace_line *t, const struct ioctl_call *call, void *to, size_t size)
{
	if (!copy_from_user(to, (const void *)call->arg, size))
		return true;
	trace_print(t, "%#lx", call->arg);
	return false;
}

VFIO_DECODER(vfio_decode_extension)
{
	static const char *const names[] = {
		[VFIO_TYPE1_IOMMU] = "VFIO_TYPE1_IOMMU",
		[VFIO_SPAPR_TCE_IOMMU] = "VFIO_SPAPR_TCE_IOMMU",
		[VFIO_TYPE1v2_IOMMU] = "VFIO_TYPE1v2_IOMMU",
		[VFIO_DMA_CC_IOMMU] = "VFIO_DMA_CC_IOMMU",
		[VFIO_EEH] = "VFIO_EEH",
		[VFIO_TYPE1_NESTING_IOMMU] = "VFIO_TYPE1_NESTING_IOMMU",
		[VFIO_SPAPR_TCE_v2_IOMMU] = "VFIO_SPAPR_TCE_v2_IOMMU",
		[VFIO_NOIOMMU_IOMMU] = "VFIO_NOIOMMU_IOMMU",
		[VFIO_UNMAP_ALL] = "VFIO_UNMAP_ALL",
		[VFIO_UPDATE_VADDR] = "VFIO_UPDATE_VADDR",
	};

	if (call->arg < N(names) && names[call->arg])
		trace_print(t, "%s", names[call->arg]);
	else
		trace_print(t, "%lu", call->arg);
}

VFIO_DECODER(vfio_decode_iommu_info)
{
	static const struct trace_flag flags[] = {
		FLAG(VFIO_IOMMU_INFO_, PGSIZES),
		FLAG(VFIO_IOMMU_INFO_, CAPS),
	};
	struct vfio_iommu_type1_info info;

	if (!now(t, call, &info, 16))
		return;
	trace_print(t, "{argsz=%u, flags=", info.argsz);
	trace_flags(t, info.flags, flags, N(flags));
	trace_print(t, ", iova_pgsizes=%#llx}", HEX(info.iova_pgsizes));
}

VFIO_DECODER(vfio_decode_map)
{
	static const struct trace_flag flags[] = {
		FLAG(VFIO_DMA_MAP_FLAG_, READ),
		FLAG(VFIO_DMA_MAP_FLAG_, WRITE),
		FLAG(VFIO_DMA_MAP_FLAG_, VADDR),
	};
	const struct vfio_iommu_type1_dma_map *map = call->data;

	trace_print(t, "{argsz=%u, flags=", map->argsz);
	trace_flags(t, map->flags, flags, N(flags));
	trace_print(t, ", vaddr=%#llx, iova=%#llx, size=%#llx}", HEX(map->vaddr), HEX(map->iova),
		    HEX(map->size));
}

VFIO_DECODER(vfio_decode_unmap)
{
	static const struct trace_flag flags[] = {
		FLAG(VFIO_DMA_UNMAP_FLAG_, GET_DIRTY_BITMAP),
		FLAG(VFIO_DMA_UNMAP_FLAG_, ALL),
		FLAG(VFIO_DMA_UNMAP_FLAG_, VADDR),
	};
	const struct vfio_iommu_type1_dma_unmap *unmap = call->data;

	trace_print(t, "{argsz=%u, flags=", unmap->argsz);
	trace_flags(t, unmap->flags, flags, N(flags));
	trace_print(t, ", iova=%#llx, size=%#llx}", HEX(unmap->iova), HEX(unmap->size));
}

VFIO_DECODER(vfio_decode_dirty)
{
	static const struct trace_flag flags[] = {
		FLAG(VFIO_IOMMU_DIRTY_PAGES_FLAG_, START),
		FLAG(VFIO_IOMMU_DIRTY_PAGES_FLAG_, STOP),
		FLAG(VFIO_IOMMU_DIRTY_PAGES_FLAG_, GET_BITMAP),
	};
	struct vfio_iommu_type1_dirty_bitmap dirty;

	if (!now(t, call, &dirty, sizeof(dirty)))
		return;
	trace_print(t, "{argsz=%u, flags=", dirty.argsz);
	trace_flags(t, dirty.flags, flags, N(flags));
	trace_print(t, "}");
}

VFIO_DECODER(vfio_decode_group_status)
{
	static const struct trace_flag flags[] = {
		FLAG(VFIO_GROUP_FLAGS_, VIABLE),
		FLAG(VFIO_GROUP_FLAGS_, CONTAINER_SET),
	};
	const struct vfio_group_status *status = call->data;

	trace_print(t, "{argsz=%u, flags=", status->argsz);
	trace_flags(t, status->flags, flags, N(flags));
	trace_print(t, "}");
}

VFIO_DECODER(vfio_decode_fd)
{
	int32_t fd;

	memcpy(&fd, call->data, sizeof(fd));
	trace_print(t, "[%d]", fd);
}

VFIO_DECODER(vfio_decode_device_name)
{
	char name[80];

	if (copy_string_from_user(name, (const char *)call->arg, sizeof(name)) >= 0)
		trace_print(t, "\"%s\"", name);
	else
		trace_print(t, "%#lx", call->arg);
}

VFIO_DECODER(vfio_decode_device_info)
{
	static const struct trace_flag flags[] = {
		FLAG(VFIO_DEVICE_FLAGS_, RESET),
		FLAG(VFIO_DEVICE_FLAGS_, PCI),
		FLAG(VFIO_DEVICE_FLAGS_, CAPS),
	};
	struct vfio_device_info info;

	if (!now(t, call, &info, 16))
		return;
	trace_print(t, "{argsz=%u, flags=", info.argsz);
	trace_flags(t, info.flags, flags, N(flags));
	trace_print(t, ", num_regions=%u, num_irqs=%u}", info.num_regions, info.num_irqs);
}

VFIO_DECODER(vfio_decode_region_info)
{
	static const struct trace_flag flags[] = {
		FLAG(VFIO_REGION_INFO_FLAG_, READ),
		FLAG(VFIO_REGION_INFO_FLAG_, WRITE),
		FLAG(VFIO_REGION_INFO_FLAG_, MMAP),
		FLAG(VFIO_REGION_INFO_FLAG_, CAPS),
	};
	struct vfio_region_info info;

	if (!now(t, call, &info, sizeof(info)))
		return;
	trace_print(t, "{argsz=%u, index=%u, flags=", info.argsz, info.index);
	trace_flags(t, info.flags, flags, N(flags));
	trace_print(t, ", size=%#llx, offset=%#llx}", HEX(info.size), HEX(info.offset));
}

VFIO_DECODER(vfio_decode_irq_info)
{
	static const struct trace_flag flags[] = {
		FLAG(VFIO_IRQ_INFO_, EVENTFD),
		FLAG(VFIO_IRQ_INFO_, MASKABLE),
		FLAG(VFIO_IRQ_INFO_, AUTOMASKED),
		FLAG(VFIO_IRQ_INFO_, NORESIZE),
	};
	const struct vfio_irq_info *info = call->data;

	trace_print(t, "{argsz=%u, index=%u, flags=", info->argsz, info->index);
	trace_flags(t, info->flags, flags, N(flags));
	trace_print(t, ", count=%u}", info->count);
}

VFIO_DECODER(vfio_decode_set_irqs)
{
	static const struct trace_flag flags[] = {
		FLAG(VFIO_IRQ_SET_, DATA_NONE),     FLAG(VFIO_IRQ_SET_, DATA_BOOL),
		FLAG(VFIO_IRQ_SET_, DATA_EVENTFD),  FLAG(VFIO_IRQ_SET_, ACTION_MASK),
		FLAG(VFIO_IRQ_SET_, ACTION_UNMASK), FLAG(VFIO_IRQ_SET_, ACTION_TRIGGER),
	};
	const struct vfio_irq_set *set = call->data;
	int32_t fds[8];
	unsigned i, n = set->count < N(fds) ? set->count : N(fds);

	trace_print(t, "{argsz=%u, flags=", set->argsz);
	trace_flags(t, set->flags, flags, N(flags));
	trace_print(t, ", index=%u, start=%u, count=%u", set->index, set->start, set->count);
	if ((set->flags & VFIO_IRQ_SET_DATA_EVENTFD) && n &&
	    !copy_from_user(fds, (const void *)(call->arg + sizeof(*set)), n * sizeof(fds[0]))) {
		for (i = 0; i < n; i++)
			trace_print(t, "%s%d", i ? ", " : ", [", fds[i]);
		trace_print(t, n < set->count ? ", ...]" : "]");
	}
	trace_print(t, "}");
}

VFIO_DECODER(vfio_decode_hot_reset)
{
	/* Both structures begin argsz, flags, count. */
	const struct vfio_pci_hot_reset *reset = call->data;

	trace_print(t, "{argsz=%u, flags=%#x, count=%u}", reset->argsz, reset->flags, reset->count);
}

VFIO_DECODER(vfio_decode_ioeventfd)
{
	const struct vfio_device_ioeventfd *e = call->data;

	trace_print(t, "{argsz=%u, flags=%#x, offset=%#llx, data=%#llx, fd=%d}", e->argsz, e->flags,
		    HEX(e->offset), HEX(e->data), e->fd);
}

VFIO_DECODER(vfio_decode_feature)
{
	static const struct trace_flag flags[] = {
		FLAG(VFIO_DEVICE_FEATURE_, GET),
		FLAG(VFIO_DEVICE_FEATURE_, SET),
		FLAG(VFIO_DEVICE_FEATURE_, PROBE),
	};
	static const char *const names[] = {
		[VFIO_DEVICE_FEATURE_PCI_VF_TOKEN] = "PCI_VF_TOKEN",
		[VFIO_DEVICE_FEATURE_MIGRATION] = "MIGRATION",
		[VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE] = "MIG_DEVICE_STATE",
		[VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY] = "LOW_POWER_ENTRY",
		[VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP] = "LOW_POWER_ENTRY_WITH_WAKEUP",
		[VFIO_DEVICE_FEATURE_LOW_POWER_EXIT] = "LOW_POWER_EXIT",
		[VFIO_DEVICE_FEATURE_DMA_LOGGING_START] = "DMA_LOGGING_START",
		[VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP] = "DMA_LOGGING_STOP",
		[VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT] = "DMA_LOGGING_REPORT",
		[VFIO_DEVICE_FEATURE_MIG_DATA_SIZE] = "MIG_DATA_SIZE",
		[VFIO_DEVICE_FEATURE_BUS_MASTER] = "BUS_MASTER",
		[VFIO_DEVICE_FEATURE_DMA_BUF] = "DMA_BUF",
		[VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2] = "MIG_PRECOPY_INFOv2",
	};
	const struct vfio_device_feature *feature = call->data;
	unsigned number = feature->flags & VFIO_DEVICE_FEATURE_MASK;

	trace_print(t, "{argsz=%u, feature=", feature->argsz);
	if (number < N(names))
		trace_print(t, "%s", names[number]);
	else
		trace_print(t, "%u", number);
	trace_print(t, ", flags=");
	trace_flags(t, feature->flags & ~(uint32_t)VFIO_DEVICE_FEATURE_MASK, flags, N(flags));
	trace_print(t, "}");
}

void vfio_trace_offset(const struct file *f, struct trace_line *t, off_t offset)
{
	uint64_t index = (uint64_t)offset >> VFIO_OFFSET_SHIFT;
	uint64_t at = (uint64_t)offset & (((uint64_t)1 << VFIO_OFFSET_SHIFT) - 1);

	if (index < STANDIN_PCI_BARS)
		trace_print(t, "bar%u+%#llx", (unsigned)index, (unsigned long long)at);
	else if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		trace_print(t, "config+%#llx", (unsigned long long)at);
	else
		trace_print(t, "region%u+%#llx", (unsigned)index, (unsigned long long)at);
}
