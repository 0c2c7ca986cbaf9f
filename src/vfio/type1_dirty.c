/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO_IOMMU_DIRTY_PAGES.  A VFIO PCI device can't tell which pages it wrote, so that, as
 * in the kernel, every page of every mapping is reported dirty while tracking is on; what
 * there is to get right is which requests are refused and which bits of the client's
 * bitmap are touched: whole 64-bit words from the mapping's first bit to its last, with
 * what was in the first word kept if the mapping begins inside it.
 */
#include <errno.h>
#include <string.h>

#include "core/iova.h"
#include "core/user.h"
#include "vfio/vfio.h"

#define USER_END ((uint64_t)1 << 47)

bool type1_user_range(uint64_t address, uint64_t size)
{
	return size <= USER_END && address <= USER_END - size;
}

int type1_check_bitmap(uint64_t pages, uint64_t size)
{
	if (!pages || !size || size > TYPE1_DIRTY_SIZE_MAX || size < (pages + 63) / 64 * 8)
		return -EINVAL;
	return 0;
}

long type1_report_dirty(uint64_t bitmap, const struct iova_range *range, uint64_t base)
{
	uint64_t first_bit = (range->first - base) / VFIO_PAGE_SIZE;
	uint64_t bits = (range->last - range->first) / VFIO_PAGE_SIZE + 1;
	uint64_t words[64], kept = 0, end, at;
	unsigned shift = first_bit % 64, n, i;

	bitmap += first_bit / 64 * 8;
	if (shift && copy_from_user(&kept, (void *)bitmap, sizeof(kept)))
		return -EFAULT;
	/* Bit `at` of the words from here on; ones in [shift, end). */
	end = shift + bits;
	for (at = 0; at < end; at += n * 64) {
		n = (end - at + 63) / 64 < 64 ? (unsigned)((end - at + 63) / 64) : 64;
		for (i = 0; i < n; i++)
			words[i] = ~(uint64_t)0;
		if (!at)
			words[0] = (~(uint64_t)0 << shift) | kept;
		if (at + n * 64 > end) {
			words[n - 1] &= ~(uint64_t)0 >> (at + n * 64 - end);
			if (!at && n == 1)
				words[0] |= kept;
		}
		if (copy_to_user((void *)(bitmap + at / 8), words, n * 8))
			return -EFAULT;
	}
	return 0;
}

static long get_bitmap(struct type1 *t, const struct vfio_iommu_type1_dirty_bitmap *dirty,
		       unsigned long arg)
{
	struct vfio_iommu_type1_dirty_bitmap_get get;
	struct iova_range range;
	uint64_t last, at;
	long ret;

	if (dirty->argsz - sizeof(*dirty) < sizeof(get))
		return -EINVAL;
	if (copy_from_user(&get, (void *)(arg + sizeof(*dirty)), sizeof(get)))
		return -EFAULT;
	if (!get.size)
		return -EINVAL;
	if (__builtin_add_overflow(get.iova, get.size - 1, &last))
		return -EOVERFLOW;
	if (!type1_user_range((uintptr_t)get.bitmap.data, get.bitmap.size) || !get.bitmap.pgsize)
		return -EINVAL;
	ret = type1_check_bitmap(get.size >> __builtin_ctzll(get.bitmap.pgsize), get.bitmap.size);
	if (ret)
		return ret;
	if (get.bitmap.pgsize != VFIO_PAGE_SIZE || (get.iova | get.size) % VFIO_PAGE_SIZE ||
	    !t->dirty_tracking)
		return -EINVAL;
	if (iova_map_lookup(t->map, get.iova, &range) && range.first != get.iova)
		return -EINVAL;
	if (iova_map_lookup(t->map, last, &range) && range.last != last)
		return -EINVAL;
	for (at = get.iova; iova_map_find(t->map, at, &range) && range.first <= last;) {
		ret = type1_report_dirty((uintptr_t)get.bitmap.data, &range, get.iova);
		if (ret)
			return ret;
		if (range.last >= last)
			break;
		at = range.last + 1;
	}
	return 0;
}

/* -EINVAL if some mapping is too big to be tracked. */
static long start(struct type1 *t)
{
	struct iova_range range;
	uint64_t at = 0;

	if (t->dirty_tracking)
		return 0;
	while (iova_map_find(t->map, at, &range)) {
		if ((range.last - range.first) / VFIO_PAGE_SIZE >= TYPE1_DIRTY_PAGES_MAX)
			return -EINVAL;
		at = range.last + 1;
		if (!at)
			break;
	}
	t->dirty_tracking = true;
	return 0;
}

long type1_dirty_pages(struct type1 *t, const struct ioctl_call *call)
{
	const uint32_t known = VFIO_IOMMU_DIRTY_PAGES_FLAG_START |
			       VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP |
			       VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;
	struct vfio_iommu_type1_dirty_bitmap dirty;

	if (!t->v2)
		return -EACCES;
	if (copy_from_user(&dirty, (void *)call->arg, sizeof(dirty)))
		return -EFAULT;
	if (dirty.argsz < sizeof(dirty) || dirty.flags & ~known)
		return -EINVAL;
	switch (dirty.flags) {
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
		return start(t);
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
		t->dirty_tracking = false;
		return 0;
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
		return get_bitmap(t, &dirty, call->arg);
	default:
		return -EINVAL;
	}
}
