/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The type1 IOMMU, versions 1 and 2, over an address map.
 *
 * Rules, errors and their order are those of the kernel's vfio_iommu_type1.c, the newest
 * one where they changed (sums that wrap are EOVERFLOW since 6.18).  The IOMMU stood in for
 * translates 48 bits of IOVA and keeps the interrupt window out of them; its page sizes
 * are 4 KiB, 2 MiB and 1 GiB.
 *
 * The common case, mapping and unmapping one range at a time, takes one look at the map
 * each; only when that doesn't fit are the rules gone through one by one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/config.h"
#include "core/instance.h"
#include "core/iova.h"
#include "core/user.h"
#include "vfio/caps.h"
#include "vfio/vfio.h"

#define PAGE_MASK_LOW ((uint64_t)VFIO_PAGE_SIZE - 1)
#define PAGE_SIZES    (0x1000ull | 0x200000ull | 0x40000000ull)

static const struct {
	uint64_t first, last;
} iova_ranges[] = {
	{0, 0xfedfffff},
	{0xfef00000, 0xffffffffffff},
};

#define N_IOVA_RANGES (sizeof(iova_ranges) / sizeof(iova_ranges[0]))

int type1_create(unsigned long type, struct type1 **ret_iommu)
{
	struct type1 *t;
	int ret;

	/* Other numbers that CHECK_EXTENSION says 1 to (UNMAP_ALL) are no IOMMU types. */
	if (type != VFIO_TYPE1_IOMMU && type != VFIO_TYPE1v2_IOMMU)
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	ret = iova_map_create(&t->map);
	if (ret) {
		free(t);
		return ret;
	}
	t->v2 = type == VFIO_TYPE1v2_IOMMU;
	t->avail = instance ? instance->config->settings.dma_entry_limit : 65535;
	*ret_iommu = t;
	return 0;
}

void type1_destroy(struct type1 *t)
{
	struct iova_range range;
	uint64_t at = 0;

	if (!t)
		return;
	while (iova_map_find(t->map, at, &range)) {
		if (range.flags & TYPE1_LOCKED)
			vaddr_uncharge(range.last - range.first + 1);
		at = range.last + 1;
		if (!at)
			break;
	}
	iova_map_destroy(t->map);
	free(t);
}

long type1_check_extension(const struct type1 *t, unsigned long extension)
{
	switch (extension) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
	case VFIO_UNMAP_ALL:
		return 1;
	case VFIO_UPDATE_VADDR:
		return t ? 1 : 0;
	default:
		return 0; /* VFIO_DMA_CC_IOMMU too: no snoop control */
	}
}

long type1_get_info(struct type1 *t, const struct ioctl_call *call)
{
	struct vfio_iommu_type1_info_cap_migration *migration;
	struct vfio_iommu_type1_info_dma_avail *avail;
	struct vfio_iommu_type1_info_cap_iova_range *iova;
	struct vfio_iommu_type1_info info = {0};
	struct caps caps = {0};
	uint32_t size;
	unsigned i;

	memcpy(&info.argsz, call->data, sizeof(info.argsz));
	size = info.argsz < sizeof(info) ? info.argsz : sizeof(info);
	info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	info.iova_pgsizes = PAGE_SIZES;

	migration = caps_add(&caps, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, 1, sizeof(*migration));
	migration->pgsize_bitmap = VFIO_PAGE_SIZE;
	migration->max_dirty_bitmap_size = TYPE1_DIRTY_SIZE_MAX;
	avail = caps_add(&caps, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1, sizeof(*avail));
	avail->avail = t->avail;
	iova = caps_add(&caps, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1,
			sizeof(*iova) + N_IOVA_RANGES * sizeof(iova->iova_ranges[0]));
	iova->nr_iovas = N_IOVA_RANGES;
	for (i = 0; i < N_IOVA_RANGES; i++) {
		iova->iova_ranges[i].start = iova_ranges[i].first;
		iova->iova_ranges[i].end = iova_ranges[i].last;
	}
	/* The padding at the end of the structure is part of its size: 24 bytes. */
	if (caps_return(&caps, call->arg, sizeof(info), &info.argsz, &info.cap_offset))
		return -EFAULT;
	return copy_to_user((void *)call->arg, &info, size);
}

static bool range_allowed(uint64_t first, uint64_t last)
{
	unsigned i;

	for (i = 0; i < N_IOVA_RANGES; i++)
		if (first >= iova_ranges[i].first && last <= iova_ranges[i].last)
			return true;
	return false;
}

static bool overlaps(struct type1 *t, uint64_t first, uint64_t last)
{
	struct iova_range range;

	return iova_map_find(t->map, first, &range) && range.first <= last;
}

/* VFIO_DMA_MAP_FLAG_VADDR: gives an invalidated mapping its new address. */
static long update_vaddr(struct type1 *t, uint64_t iova, uint64_t last, uint64_t vaddr)
{
	struct iova_range range;

	if (!iova_map_find(t->map, iova, &range) || range.first > last)
		return -ENOENT;
	if (!(range.flags & TYPE1_VADDR_INVALID) || range.first != iova || range.last != last)
		return -EINVAL;
	t->invalid_count--;
	return iova_map_replace(t->map, iova, vaddr, range.flags & ~TYPE1_VADDR_INVALID,
				user_client.pid);
}

long type1_map(struct type1 *t, const struct vfio_iommu_type1_dma_map *map)
{
	const uint32_t known =
		VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE | VFIO_DMA_MAP_FLAG_VADDR;
	bool update = map->flags & VFIO_DMA_MAP_FLAG_VADDR, charged;
	struct iova_range range = {.first = map->iova, .pid = user_client.pid};
	uint64_t vaddr_last;
	int ret;

	if (map->flags & ~known)
		return -EINVAL;
	if (!map->size)
		return -EINVAL;
	if (__builtin_add_overflow(map->iova, map->size - 1, &range.last) ||
	    __builtin_add_overflow(map->vaddr, map->size - 1, &vaddr_last))
		return -EOVERFLOW;
	if (map->flags & VFIO_DMA_MAP_FLAG_READ)
		range.flags |= IOVA_READ;
	if (map->flags & VFIO_DMA_MAP_FLAG_WRITE)
		range.flags |= IOVA_WRITE;
	if (update == (range.flags != 0))
		return -EINVAL;
	if ((map->size | map->iova | map->vaddr) & PAGE_MASK_LOW)
		return -EINVAL;
	if (update)
		return update_vaddr(t, range.first, range.last, map->vaddr);
	if (!t->avail)
		return overlaps(t, range.first, range.last) ? -EEXIST : -ENOSPC;
	if (!range_allowed(range.first, range.last))
		return overlaps(t, range.first, range.last) ? -EEXIST : -EINVAL;
	ret = vaddr_check(map->vaddr, map->size, range.flags & IOVA_WRITE);
	if (ret)
		return overlaps(t, range.first, range.last) ? -EEXIST : ret;
	if (t->dirty_tracking && map->size / VFIO_PAGE_SIZE > TYPE1_DIRTY_PAGES_MAX)
		return overlaps(t, range.first, range.last) ? -EEXIST : -EINVAL;
	ret = vaddr_charge(map->size, &charged);
	if (ret)
		return overlaps(t, range.first, range.last) ? -EEXIST : ret;
	range.address = map->vaddr;
	if (charged)
		range.flags |= TYPE1_LOCKED;
	ret = iova_map_insert(t->map, &range);
	if (ret) {
		if (charged)
			vaddr_uncharge(map->size);
		return ret;
	}
	t->avail--;
	return 0;
}

static void forget(struct type1 *t, const struct iova_range *range)
{
	if (range->flags & TYPE1_LOCKED)
		vaddr_uncharge(range->last - range->first + 1);
	if (range->flags & TYPE1_VADDR_INVALID)
		t->invalid_count--;
	t->avail++;
}

/*
 * VFIO_DMA_UNMAP_FLAG_VADDR: marks the mappings of [first, last] invalid.  One that is
 * already so makes it fail, with the ones marked before it valid again.  Sets *ret_size.
 */
static long invalidate(struct type1 *t, uint64_t first, uint64_t last, uint64_t *ret_size)
{
	struct iova_range range;
	uint64_t at = first, size = 0;

	*ret_size = 0;
	while (iova_map_find(t->map, at, &range) && range.first <= last) {
		if (!t->v2 && first > range.first)
			break;
		if (range.flags & TYPE1_VADDR_INVALID)
			goto undo;
		iova_map_replace(t->map, range.first, range.address,
				 range.flags | TYPE1_VADDR_INVALID, range.pid);
		t->invalid_count++;
		size += range.last - range.first + 1;
		if (range.last >= last)
			break;
		at = range.last + 1;
	}
	*ret_size = size;
	return 0;
undo:
	last = range.first;
	for (at = first; iova_map_find(t->map, at, &range) && range.first < last;
	     at = range.last + 1) {
		iova_map_replace(t->map, range.first, range.address,
				 range.flags & ~TYPE1_VADDR_INVALID, range.pid);
		t->invalid_count--;
	}
	return -EINVAL;
}

/* A mapping that [first, last] cuts through at either end, which version 2 refuses. */
static bool bisects(struct type1 *t, uint64_t first, uint64_t last)
{
	struct iova_range range;

	return (iova_map_lookup(t->map, first, &range) && range.first != first) ||
	       (iova_map_lookup(t->map, last, &range) && range.last != last);
}

static long remove_all(struct type1 *t, uint64_t first, uint64_t last, const uint64_t *bitmap,
		       uint64_t *ret_size)
{
	struct iova_range range;
	uint64_t at = first, size = 0;
	long ret = 0;

	while (iova_map_find(t->map, at, &range) && range.first <= last) {
		if (!t->v2 && first > range.first)
			break;
		if (bitmap) {
			ret = type1_report_dirty(*bitmap, &range, first);
			if (ret)
				break;
		}
		iova_map_remove(t->map, range.first);
		forget(t, &range);
		size += range.last - range.first + 1;
		if (range.last >= last)
			break;
		at = range.last + 1;
	}
	*ret_size = size;
	return ret;
}

/* Reads and checks the bitmap behind an unmap request. */
static long unmap_bitmap(const struct vfio_iommu_type1_dma_unmap *unmap, unsigned long arg,
			 struct vfio_bitmap *bitmap)
{
	if (unmap->argsz < sizeof(*unmap) + sizeof(*bitmap))
		return -EINVAL;
	if (copy_from_user(bitmap, (void *)(arg + sizeof(*unmap)), sizeof(*bitmap)))
		return -EFAULT;
	if (!type1_user_range((uintptr_t)bitmap->data, bitmap->size) || !bitmap->pgsize)
		return -EINVAL;
	return type1_check_bitmap(unmap->size >> __builtin_ctzll(bitmap->pgsize), bitmap->size);
}

long type1_unmap(struct type1 *t, const struct ioctl_call *call)
{
	const uint32_t dirty = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, all = VFIO_DMA_UNMAP_FLAG_ALL,
		       vaddr = VFIO_DMA_UNMAP_FLAG_VADDR;
	struct vfio_iommu_type1_dma_unmap *unmap = call->data;
	struct vfio_bitmap bitmap = {0};
	uint64_t last, size, data;
	struct iova_range range;
	long ret;

	if (unmap->flags & ~(dirty | all | vaddr))
		return -EINVAL;
	if (unmap->flags & dirty) {
		if (unmap->flags & (all | vaddr))
			return -EINVAL;
		ret = unmap_bitmap(unmap, call->arg, &bitmap);
		if (ret)
			return ret;
	}
	if (unmap->iova & PAGE_MASK_LOW)
		return -EINVAL;
	if (unmap->flags & all) {
		if (unmap->iova || unmap->size)
			return -EINVAL;
		last = UINT64_MAX;
	} else {
		if (!unmap->size || unmap->size & PAGE_MASK_LOW)
			return -EINVAL;
		if (__builtin_add_overflow(unmap->iova, unmap->size - 1, &last))
			return -EOVERFLOW;
	}
	if ((unmap->flags & dirty) && (!t->dirty_tracking || bitmap.pgsize != VFIO_PAGE_SIZE))
		return -EINVAL;

	if (!unmap->flags && iova_map_take(t->map, unmap->iova, last, &range) == 0) {
		forget(t, &range);
		size = unmap->size;
		ret = 0;
	} else {
		if (t->v2 && !(unmap->flags & all) && bisects(t, unmap->iova, last))
			return -EINVAL;
		data = (uintptr_t)bitmap.data;
		if (unmap->flags & vaddr)
			ret = invalidate(t, unmap->iova, last, &size);
		else
			ret = remove_all(t, unmap->iova, last, unmap->flags & dirty ? &data : NULL,
					 &size);
		if (ret)
			return ret;
	}
	if (size == unmap->size)
		return copy_to_user(&((struct vfio_iommu_type1_dma_unmap *)call->arg)->size, &size,
				    sizeof(size));
	unmap->size = size;
	return ioctl_return(call, sizeof(*unmap));
}
