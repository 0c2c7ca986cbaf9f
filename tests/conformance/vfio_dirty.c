/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO_IOMMU_DIRTY_PAGES and the bitmap that UNMAP_DMA can return.  Without a device that
 * reports what it pins, all that is mapped counts as dirty.
 */
#include "vfio.h"

#define PAGE 4096ull

struct dirty {
	struct vfio_iommu_type1_dirty_bitmap head;
	struct vfio_iommu_type1_dirty_bitmap_get get;
};

struct unmap {
	struct vfio_iommu_type1_dma_unmap head;
	struct vfio_bitmap bitmap;
};

#define START VFIO_IOMMU_DIRTY_PAGES_FLAG_START
#define STOP  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
#define GET   VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP

static void simple(int container, uint32_t argsz, uint32_t flags, const char *name)
{
	struct vfio_iommu_type1_dirty_bitmap d = {.argsz = argsz, .flags = flags};

	say(result(sys_ioctl(container, VFIO_IOMMU_DIRTY_PAGES, &d)), "%s", name);
}

struct get_case {
	const char *name;
	uint32_t argsz;
	uint64_t iova, size, pgsize, bitmap_size;
	bool no_bitmap;
};

static void get_cases(int container, const char *state)
{
	const uint64_t top = ~0ull - PAGE + 1;
	const struct get_case cases[] = {
		{"argsz=8", 8, 0x10000, 8 * PAGE, PAGE, 8},
		{"argsz=47", 47, 0x10000, 8 * PAGE, PAGE, 8},
		{"size=0", 48, 0x10000, 0, PAGE, 8},
		{"wraps", 48, top, 2 * PAGE, PAGE, 8},
		{"wraps, bitmap_size=0", 48, top, 2 * PAGE, PAGE, 0},
		{"pgsize=8192", 48, 0x10000, 8 * PAGE, 2 * PAGE, 8},
		{"pgsize=2M", 48, 0x10000, 512 * PAGE, 512 * PAGE, 8},
		{"bitmap_size=0", 48, 0x10000, 8 * PAGE, PAGE, 0},
		{"bitmap_size=4", 48, 0x10000, 8 * PAGE, PAGE, 4},
		{"bitmap_size=7", 48, 0x10000, 8 * PAGE, PAGE, 7},
		{"bitmap_size=16", 48, 0x10000, 8 * PAGE, PAGE, 16},
		{"65 pages, bitmap_size=8", 48, 0x10000, 65 * PAGE, PAGE, 8},
		{"bitmap_size=max+1", 48, 0x10000, 8 * PAGE, PAGE, 256 << 20 | 1},
		{"size=1", 48, 0x10000, 1, PAGE, 8},
		{"iova unaligned", 48, 0x10001, 8 * PAGE, PAGE, 8},
		{"size unaligned", 48, 0x10000, 8 * PAGE + 1, PAGE, 8},
		{"nothing there", 48, 0x90000, 8 * PAGE, PAGE, 8},
		{"exactly", 48, 0x10000, 8 * PAGE, PAGE, 8},
		{"first half", 48, 0x10000, 4 * PAGE, PAGE, 8},
		{"second half", 48, 0x14000, 4 * PAGE, PAGE, 8},
		{"hole and mapping", 48, 0xc000, 12 * PAGE, PAGE, 8},
		{"all with holes", 48, 0, 64 * PAGE, PAGE, 8},
		{"128 pages", 48, 0, 128 * PAGE, PAGE, 16},
		{"from the middle of the first", 48, 0x12000, 32 * PAGE, PAGE, 8},
		{"no bitmap", 48, 0x10000, 8 * PAGE, PAGE, 8, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct get_case *c = &cases[i];
		uint64_t bitmap[2] = {0, 0};
		struct dirty d = {
			.head = {.argsz = c->argsz, .flags = GET},
			.get = {.iova = c->iova,
				.size = c->size,
				.bitmap = {.pgsize = c->pgsize,
					   .size = c->bitmap_size,
					   .data = c->no_bitmap ? NULL : (__u64 *)bitmap}},
		};
		long r = result(sys_ioctl(container, VFIO_IOMMU_DIRTY_PAGES, &d));

		say_text(state, "%s: %s %llx:%llx", c->name, result_name(r),
			 (unsigned long long)bitmap[1], (unsigned long long)bitmap[0]);
	}
}

static void unmap_get(int container, const char *name, uint64_t iova, uint64_t size, uint32_t argsz,
		      uint64_t pgsize, uint64_t bitmap_size, bool no_bitmap)
{
	uint64_t bitmap[2] = {0, 0};
	struct unmap u = {
		.head = {.argsz = argsz,
			 .flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
			 .iova = iova,
			 .size = size},
		.bitmap = {.pgsize = pgsize,
			   .size = bitmap_size,
			   .data = no_bitmap ? NULL : (__u64 *)bitmap},
	};
	long r = result(sys_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &u));

	say_text("unmap", "%s: %s size=%llu %llx", name, result_name(r),
		 (unsigned long long)u.head.size, (unsigned long long)bitmap[0]);
}

void area_dirty(void)
{
	char *memory =
		mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio_iommu_type1_dirty_bitmap d = {.argsz = 8, .flags = START};
	struct dirty g = {.head = {.argsz = 48, .flags = GET}};
	struct vfio v;
	uint64_t size;

	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	if (map_dma(v.container, 0x10000, memory, 8 * PAGE, RW) ||
	    map_dma(v.container, 0x20000, memory, 2 * PAGE, VFIO_DMA_MAP_FLAG_READ))
		give_up("mapping", -errno);

	say(result(sys_ioctl(v.container, VFIO_IOMMU_DIRTY_PAGES, NULL)), "NULL");
	say(result(sys_ioctl(v.container, VFIO_IOMMU_DIRTY_PAGES, edge(7, &d))), "edge(7)");
	simple(v.container, 0, START, "argsz=0");
	simple(v.container, 7, START, "argsz=7");
	simple(v.container, 8, 8, "flags=8");
	simple(v.container, 8, START | 8, "flags=START|8");
	simple(v.container, 8, START | STOP, "flags=START|STOP");
	simple(v.container, 8, START | GET, "flags=START|GET");
	simple(v.container, 8, STOP | GET, "flags=STOP|GET");
	simple(v.container, 8, 7, "flags=7");
	simple(v.container, 8, GET, "GET.argsz=8");
	say(result(sys_ioctl(v.container, VFIO_IOMMU_DIRTY_PAGES, edge(8, &g))), "GET.edge(8)");
	simple(v.container, 8, STOP, "STOP.not started");
	get_cases(v.container, "off");
	unmap_get(v.container, "off", 0x10000, 8 * PAGE, 48, PAGE, 8, false);

	say(result(sys_ioctl(v.container, VFIO_IOMMU_DIRTY_PAGES, edge(8, &d))), "START.edge(8)");
	simple(v.container, 100, START, "START.again");
	get_cases(v.container, "on");
	get_cases(v.container, "on, second time");
	say(map_dma(v.container, 0x30000, memory, 4 * PAGE, RW), "map while on");
	unmap_get(v.container, "argsz=24", 0x30000, 4 * PAGE, 24, PAGE, 8, false);
	unmap_get(v.container, "argsz=47", 0x30000, 4 * PAGE, 47, PAGE, 8, false);
	unmap_get(v.container, "pgsize=8192", 0x30000, 4 * PAGE, 48, 2 * PAGE, 8, false);
	unmap_get(v.container, "bitmap_size=0", 0x30000, 4 * PAGE, 48, PAGE, 0, false);
	unmap_get(v.container, "bitmap_size=4", 0x30000, 4 * PAGE, 48, PAGE, 4, false);
	unmap_get(v.container, "size=0", 0x30000, 0, 48, PAGE, 8, false);
	unmap_get(v.container, "cut", 0x31000, 4 * PAGE, 48, PAGE, 8, false);
	unmap_get(v.container, "no bitmap", 0x30000, 4 * PAGE, 48, PAGE, 8, true);
	unmap_get(v.container, "whole", 0x30000, 4 * PAGE, 48, PAGE, 8, false);
	unmap_get(v.container, "gone", 0x30000, 4 * PAGE, 48, PAGE, 8, false);
	unmap_get(v.container, "two with a hole", 0x10000, 32 * PAGE, 48, PAGE, 8, false);
	simple(v.container, 8, STOP, "STOP");
	simple(v.container, 8, STOP, "STOP.again");
	say(map_dma(v.container, 0x10000, memory, 8 * PAGE, RW), "map while off");
	unmap_get(v.container, "off again", 0x10000, 8 * PAGE, 48, PAGE, 8, false);
	size = 0;
	say(unmap_dma(v.container, 0, &size, VFIO_DMA_UNMAP_FLAG_ALL), "unmap all");
	vfio_close(&v);
}
