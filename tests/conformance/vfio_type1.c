/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The type1 IOMMU driver, both versions: GET_INFO and its capability chain, MAP_DMA and
 * UNMAP_DMA with every argument wrong alone and in pairs (the pairs show the order of the
 * checks), and the entry limit.
 */
#include "vfio.h"

#include <sys/mman.h>

#define PAGE  4096ull
#define PAGES 64

static unsigned char *memory; /* PAGES pages, readable and writable */
static uint64_t last_iova;    /* of the highest range that may be mapped */

static void *anonymous(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		give_up("mmap", -errno);
	return p;
}

/* ---- GET_INFO ---- */

struct info_buffer {
	struct vfio_iommu_type1_info info;
	unsigned char rest[1024];
};

static void describe_chain(const unsigned char *base, uint32_t offset)
{
	struct text t = {.length = 0};

	for (int i = 0; offset && i < 8; i++) {
		const struct vfio_info_cap_header *h = (const void *)(base + offset);

		text_add(&t, " %u/%u@%u", h->id, h->version, offset);
		if (h->id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL) {
			const struct vfio_iommu_type1_info_dma_avail *c = (const void *)h;

			text_add(&t, "(avail=%u)", c->avail);
		} else if (h->id == VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION) {
			const struct vfio_iommu_type1_info_cap_migration *c = (const void *)h;

			text_add(&t, "(flags=%u pgsize=%#llx max=%llu)", c->flags,
				 (unsigned long long)c->pgsize_bitmap,
				 (unsigned long long)c->max_dirty_bitmap_size);
		} else if (h->id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
			const struct vfio_iommu_type1_info_cap_iova_range *c = (const void *)h;
			uint64_t end = c->iova_ranges[c->nr_iovas - 1].end;

			text_add(&t, "(n=%u", c->nr_iovas);
			for (uint32_t r = 0; r + 1 < c->nr_iovas; r++)
				text_add(&t, " %#llx-%#llx",
					 (unsigned long long)c->iova_ranges[r].start,
					 (unsigned long long)c->iova_ranges[r].end);
			text_add(&t, " %#llx-",
				 (unsigned long long)c->iova_ranges[c->nr_iovas - 1].start);
			text_add(&t, (end & (end + 1)) == 0 ? "2^n-1)" : "other)");
			last_iova = end;
		}
		offset = h->next;
	}
	say_text("info.chain", "%s", t.length ? t.data + 1 : "none");
}

static void get_info(int container)
{
	static const uint32_t sizes[] = {0,  8,  15,  16,  19,  20,  23,
					 24, 25, 100, 128, 144, 160, 1048};
	struct info_buffer b;
	uint32_t needed;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t touched = 0;

		memset(&b, 0xa5, sizeof(b));
		b.info.argsz = sizes[i];
		long r = result(sys_ioctl(container, VFIO_IOMMU_GET_INFO, &b));

		for (size_t n = 4; n < sizeof(b); n++)
			if (((unsigned char *)&b)[n] != 0xa5)
				touched = n + 1;
		say_text("info", "argsz=%u %s argsz=%u flags=%#x cap_offset=%#x written to %s",
			 sizes[i], result_name(r), b.info.argsz, b.info.flags, b.info.cap_offset,
			 touched > 24   ? "the chain"
			 : touched > 20 ? "24"
			 : touched > 16 ? "20"
			 : touched      ? "16"
					: "none");
	}
	memset(&b, 0, sizeof(b));
	b.info.argsz = sizeof(b.info);
	sys_ioctl(container, VFIO_IOMMU_GET_INFO, &b);
	needed = b.info.argsz;
	say_text("info.pgsizes", "lowest %#llx, holds 4K %d",
		 (unsigned long long)(b.info.iova_pgsizes & -b.info.iova_pgsizes),
		 !!(b.info.iova_pgsizes & 4096));
	b.info.argsz = needed - 1;
	say(result(sys_ioctl(container, VFIO_IOMMU_GET_INFO, &b)), "info.one byte short");
	say_text("info.one byte short", "cap_offset=%u argsz grew %d", b.info.cap_offset,
		 b.info.argsz == needed);
	b.info.argsz = needed;
	say(result(sys_ioctl(container, VFIO_IOMMU_GET_INFO, &b)), "info.exact");
	describe_chain((unsigned char *)&b, b.info.cap_offset);

	say(result(sys_ioctl(container, VFIO_IOMMU_GET_INFO, NULL)), "info.NULL");
	b.info.argsz = 16;
	say(result(sys_ioctl(container, VFIO_IOMMU_GET_INFO, edge(16, &b))), "info.edge(16)");
	say(result(sys_ioctl(container, VFIO_IOMMU_GET_INFO, edge(15, &b))), "info.edge(15)");
	say(result(sys_ioctl(container, VFIO_IOMMU_GET_INFO, read_only(16, &b))), "info.read-only");
	b.info.argsz = 24;
	say(result(sys_ioctl(container, VFIO_IOMMU_GET_INFO, edge(16, &b))),
	    "info.edge(16).argsz=24");
	b.info.argsz = needed;
	say(result(sys_ioctl(container, VFIO_IOMMU_GET_INFO, edge(24, &b))),
	    "info.edge(24).argsz=all");
	b.info.argsz = 3;
	say(result(sys_ioctl(container, VFIO_IOMMU_GET_INFO, edge(15, &b))),
	    "info.edge(15).argsz=3");
}

static unsigned dma_avail(int container)
{
	struct info_buffer b = {.info.argsz = sizeof(b)};
	uint32_t offset;

	if (sys_ioctl(container, VFIO_IOMMU_GET_INFO, &b))
		give_up("VFIO_IOMMU_GET_INFO", -errno);
	for (offset = b.info.cap_offset; offset;) {
		const struct vfio_iommu_type1_info_dma_avail *c =
			(const void *)((unsigned char *)&b + offset);

		if (c->header.id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL)
			return c->avail;
		offset = c->header.next;
	}
	return UINT32_MAX;
}

/* ---- MAP_DMA ---- */

struct map_case {
	const char *name;
	uint32_t argsz, flags;
	uint64_t vaddr; /* below 2^20: an offset in `memory` */
	uint64_t iova, size;
};

#define NONE 0xdead0000ull /* nothing is mapped there */

static void map_cases(int container)
{
	const uint64_t top = ~0ull - PAGE + 1;
	const struct map_case cases[] = {
		{"argsz=0", 0, RW, 0, 0, PAGE},
		{"argsz=31", 31, RW, 0, 0, PAGE},
		{"argsz=31, flags unknown", 31, 8, 0, 0, PAGE},
		{"flags=0", 32, 0, 0, 0, PAGE},
		{"flags=8", 32, 8, 0, 0, PAGE},
		{"flags=RW|8", 32, RW | 8, 0, 0, PAGE},
		{"flags=2^31|RW", 32, RW | 1u << 31, 0, 0, PAGE},
		{"flags=VADDR", 32, 4, 0, 0, PAGE},
		{"flags=RW|VADDR", 32, RW | 4, 0, 0, PAGE},
		{"flags=READ|VADDR", 32, 1 | 4, 0, 0, PAGE},
		{"size=0", 32, RW, 0, 0, 0},
		{"size=0, flags=0", 32, 0, 0, 0, 0},
		{"size=1", 32, RW, 0, 0, 1},
		{"size=4095", 32, RW, 0, 0, 4095},
		{"size=4097", 32, RW, 0, 0, 4097},
		{"iova unaligned", 32, RW, 0, 1, PAGE},
		{"iova=2048", 32, RW, 0, 2048, PAGE},
		{"vaddr unaligned", 32, RW, 1, 0, PAGE},
		{"size=0, iova unaligned", 32, RW, 0, 1, 0},
		{"iova wraps", 32, RW, 0, top, 2 * PAGE},
		{"iova wraps, unaligned size", 32, RW, 0, top, 2 * PAGE + 1},
		{"iova wraps, flags=0", 32, 0, 0, top, 2 * PAGE},
		{"iova wraps, flags unknown", 32, 8, 0, top, 2 * PAGE},
		{"iova wraps, argsz=31", 31, RW, 0, top, 2 * PAGE},
		{"vaddr wraps", 32, RW, top, 0, 2 * PAGE},
		{"vaddr wraps, flags=VADDR", 32, 4, top, 0, 2 * PAGE},
		{"both wrap", 32, RW, top, top, 2 * PAGE},
		{"size=2^64-1", 32, RW, 0, 0, ~0ull},
		{"size=2^64-4096", 32, RW, 0, 0, top},
		{"last page of 2^64", 32, RW, 0, top, PAGE},
		{"last page of vaddr", 32, RW, top, 0x10000, PAGE},
		{"beyond the ranges", 32, RW, 0, last_iova + 1, PAGE},
		{"across the end", 32, RW, 0, last_iova + 1 - PAGE, 2 * PAGE},
		{"across the end, unaligned", 32, RW, 0, last_iova + 1 - PAGE, 2 * PAGE + 1},
		{"last page", 32, RW, 0, last_iova + 1 - PAGE, PAGE},
		{"last page again", 32, RW, 0, last_iova + 1 - PAGE, PAGE},
		{"across the end, overlapping", 32, RW, 0, last_iova + 1 - PAGE, 2 * PAGE},
		{"MSI window", 32, RW, 0, 0xfee00000, PAGE},
		{"MSI window's end", 32, RW, 0, 0xfeeff000, PAGE},
		{"into the MSI window", 32, RW, 0, 0xfedff000, 2 * PAGE},
		{"across the MSI window", 32, RW, 0, 0xfeddf000, 0x200000},
		{"before the MSI window", 32, RW, 0, 0xfedff000, PAGE},
		{"after the MSI window", 32, RW, 0, 0xfef00000, PAGE},
		{"vaddr=0", 32, RW, 1ull << 63, 0x10000, PAGE},
		{"vaddr not mapped", 32, RW, NONE, 0x10000, PAGE},
		{"vaddr not mapped, overlapping", 32, RW, NONE, 0xfedff000, PAGE},
		{"vaddr not mapped, MSI window", 32, RW, NONE, 0xfee00000, PAGE},
		{"read", 32, VFIO_DMA_MAP_FLAG_READ, 0, 0x20000, PAGE},
		{"write", 32, VFIO_DMA_MAP_FLAG_WRITE, PAGE, 0x21000, PAGE},
		{"both", 32, RW, 2 * PAGE, 0x22000, PAGE},
		{"argsz=40", 40, RW, 3 * PAGE, 0x23000, PAGE},
		{"argsz=2^32-1", UINT32_MAX, RW, 4 * PAGE, 0x24000, PAGE},
		{"same again", 32, RW, 4 * PAGE, 0x24000, PAGE},
		{"over the start", 32, RW, 0, 0x1f000, 2 * PAGE},
		{"over the end", 32, RW, 0, 0x24000, 2 * PAGE},
		{"over all", 32, RW, 0, 0x1f000, 7 * PAGE},
		{"overlapping, unaligned", 32, RW, 1, 0x24000, PAGE},
		{"overlapping, flags=VADDR", 32, 4, 4 * PAGE, 0x24000, PAGE},
		{"nothing there, flags=VADDR", 32, 4, 4 * PAGE, 0x80000, PAGE},
		{"nothing there, MSI window, flags=VADDR", 32, 4, 4 * PAGE, 0xfee00000, PAGE},
		{"adjacent", 32, RW, 5 * PAGE, 0x25000, 3 * PAGE},
		{"same memory elsewhere", 32, RW, 0, 0x100000, PAGES * PAGE},
		{"iova=0", 32, RW, 0, 0, PAGE},
		{"large", 32, RW, 0, 0x200000, PAGES * PAGE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct map_case *c = &cases[i];
		struct vfio_iommu_type1_dma_map map = {
			.argsz = c->argsz,
			.flags = c->flags,
			.iova = c->iova,
			.size = c->size,
			.vaddr = c->vaddr == NONE || c->vaddr >= top ? c->vaddr
				 : c->vaddr >> 63                    ? 0
								     : (uintptr_t)memory + c->vaddr,
		};

		say(result(sys_ioctl(container, VFIO_IOMMU_MAP_DMA, &map)), "map.%s", c->name);
	}
	say_text("map.avail", "%u", dma_avail(container));
}

static void map_pointers(int container)
{
	struct vfio_iommu_type1_dma_map map = {.argsz = 32,
					       .flags = RW,
					       .iova = 0x400000,
					       .vaddr = (uintptr_t)memory,
					       .size = PAGE};
	uint64_t size = PAGE;

	say(result(sys_ioctl(container, VFIO_IOMMU_MAP_DMA, NULL)), "map.NULL");
	say(result(sys_ioctl(container, VFIO_IOMMU_MAP_DMA, NOWHERE)), "map.nowhere");
	say(result(sys_ioctl(container, VFIO_IOMMU_MAP_DMA, edge(31, &map))), "map.edge(31)");
	say(result(sys_ioctl(container, VFIO_IOMMU_MAP_DMA, edge(32, &map))), "map.edge(32)");
	unmap_dma(container, 0x400000, &size, 0);
	say(result(sys_ioctl(container, VFIO_IOMMU_MAP_DMA, read_only(32, &map))), "map.read-only");
	size = PAGE;
	unmap_dma(container, 0x400000, &size, 0);
}

/* What the memory behind vaddr is. */
static void map_memory(int container)
{
	unsigned char *p = anonymous(8 * PAGE);
	unsigned before = dma_avail(container);
	uint64_t size;
	int fd;

	mprotect(p + 2 * PAGE, PAGE, PROT_READ);
	mprotect(p + 3 * PAGE, PAGE, PROT_NONE);
	munmap(p + 5 * PAGE, PAGE);
	say(map_dma(container, 0x500000, p + 2 * PAGE, PAGE, RW), "memory.read-only mapped RW");
	say(map_dma(container, 0x500000, p + 2 * PAGE, PAGE, VFIO_DMA_MAP_FLAG_WRITE),
	    "memory.read-only mapped W");
	say(map_dma(container, 0x500000, p + 2 * PAGE, PAGE, VFIO_DMA_MAP_FLAG_READ),
	    "memory.read-only mapped R");
	say(map_dma(container, 0x501000, p + 3 * PAGE, PAGE, VFIO_DMA_MAP_FLAG_READ),
	    "memory.inaccessible mapped R");
	say(map_dma(container, 0x501000, p + 3 * PAGE, PAGE, RW), "memory.inaccessible mapped RW");
	say(map_dma(container, 0x501000, p + 4 * PAGE, 2 * PAGE, RW), "memory.hole at the end");
	say(map_dma(container, 0x501000, p + 4 * PAGE, 3 * PAGE, RW), "memory.hole in the middle");
	say(map_dma(container, 0x501000, p + 4 * PAGE, PAGE, RW), "memory.before the hole");
	say(map_dma(container, 0x502000, p + 5 * PAGE, 2 * PAGE, RW), "memory.hole at the start");
	say(map_dma(container, 0x502000, p, 2 * PAGE, RW), "memory.untouched");
	fd = memfd_create("memory", 0);
	if (ftruncate(fd, PAGE))
		give_up("ftruncate", -errno);
	munmap(p + 6 * PAGE, 2 * PAGE);
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	say(map_dma(container, 0x510000, p, PAGE, RW), "memory.shared file");
	say(map_dma(container, 0x511000, p + PAGE, PAGE, RW), "memory.beyond the file's end");
	close(fd);
	say_text("memory.avail", "%u fewer", before - dma_avail(container));
	size = 0;
	say(unmap_dma(container, 0, &size, VFIO_DMA_UNMAP_FLAG_ALL), "memory.unmap all");
	say_text("memory.unmap all", "size=%llu", (unsigned long long)size);
}

/* ---- UNMAP_DMA ---- */

struct unmap_case {
	const char *name;
	uint32_t argsz, flags;
	uint64_t iova, size;
};

/* Pages 10..13 and 16..17 as two mappings, 18..19 as a third, in page 0x100 and up. */
static void set_scene(int container)
{
	uint64_t all = 0;

	unmap_dma(container, 0, &all, VFIO_DMA_UNMAP_FLAG_ALL);
	if (map_dma(container, 0x10a000, memory, 4 * PAGE, RW) ||
	    map_dma(container, 0x110000, memory + 8 * PAGE, 2 * PAGE, RW) ||
	    map_dma(container, 0x112000, memory + 16 * PAGE, 2 * PAGE, RW))
		give_up("mapping", -errno);
}

static void unmap_cases(int container)
{
	const uint64_t top = ~0ull - PAGE + 1;
	const struct unmap_case cases[] = {
		{"argsz=0", 0, 0, 0x10a000, 4 * PAGE},
		{"argsz=23", 23, 0, 0x10a000, 4 * PAGE},
		{"flags=8", 24, 8, 0x10a000, 4 * PAGE},
		{"flags=2^31", 24, 1u << 31, 0x10a000, 4 * PAGE},
		{"flags=BITMAP|ALL", 24, 3, 0, 0},
		{"flags=BITMAP|VADDR", 24, 5, 0x10a000, 4 * PAGE},
		{"flags=BITMAP, argsz=24", 24, 1, 0x10a000, 4 * PAGE},
		{"flags=ALL, size", 24, 2, 0, PAGE},
		{"flags=ALL, iova", 24, 2, PAGE, 0},
		{"flags=ALL, iova unaligned", 24, 2, 1, 0},
		{"flags=ALL, wraps", 24, 2, top, 2 * PAGE},
		{"size=0", 24, 0, 0x10a000, 0},
		{"size=1", 24, 0, 0x10a000, 1},
		{"size=4097", 24, 0, 0x10a000, 4097},
		{"iova unaligned", 24, 0, 0x10a001, PAGE},
		{"wraps", 24, 0, top, 2 * PAGE},
		{"wraps, size unaligned", 24, 0, top, 2 * PAGE + 1},
		{"wraps, iova unaligned", 24, 0, top + 1, 2 * PAGE},
		{"size=2^64-1", 24, 0, 0, ~0ull},
		{"nothing there", 24, 0, 0, PAGE},
		{"nothing between", 24, 0, 0x10e000, 2 * PAGE},
		{"nothing beyond the ranges", 24, 0, last_iova + 1, PAGE},
		{"nothing in the MSI window", 24, 0, 0xfee00000, PAGE},
		{"last page of 2^64", 24, 0, top, PAGE},
		{"first page of four", 24, 0, 0x10a000, PAGE},
		{"middle of four", 24, 0, 0x10b000, 2 * PAGE},
		{"last page of four", 24, 0, 0x10d000, PAGE},
		{"cut at the start", 24, 0, 0x10b000, 8 * PAGE},
		{"cut at the end", 24, 0, 0x109000, 2 * PAGE},
		{"first whole, second cut", 24, 0, 0x10a000, 7 * PAGE},
		{"first cut, second whole", 24, 0, 0x10b000, 7 * PAGE},
		{"exactly the first", 24, 0, 0x10a000, 4 * PAGE},
		{"around the first", 24, 0, 0x109000, 6 * PAGE},
		{"the first two", 24, 0, 0x10a000, 8 * PAGE},
		{"adjacent two", 24, 0, 0x110000, 4 * PAGE},
		{"one of adjacent two", 24, 0, 0x112000, 2 * PAGE},
		{"all by range", 24, 0, 0, top},
		{"argsz=100", 100, 0, 0x110000, 2 * PAGE},
		{"flags=ALL", 24, 2, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct unmap_case *c = &cases[i];
		struct vfio_iommu_type1_dma_unmap unmap = {
			.argsz = c->argsz,
			.flags = c->flags,
			.iova = c->iova,
			.size = c->size,
		};
		long r;

		set_scene(container);
		r = result(sys_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap));
		say_text("unmap", "%s: %s size%s%llu left=%u", c->name, result_name(r),
			 unmap.size == c->size ? " kept " : "=", (unsigned long long)unmap.size,
			 65535 - dma_avail(container));
	}
	set_scene(container);
}

static void unmap_pointers(int container)
{
	struct vfio_iommu_type1_dma_unmap unmap = {.argsz = 24, .iova = 0x10a000, .size = 4 * PAGE};

	say(result(sys_ioctl(container, VFIO_IOMMU_UNMAP_DMA, NULL)), "unmap.NULL");
	say(result(sys_ioctl(container, VFIO_IOMMU_UNMAP_DMA, edge(23, &unmap))), "unmap.edge(23)");
	say(result(sys_ioctl(container, VFIO_IOMMU_UNMAP_DMA, edge(24, &unmap))), "unmap.edge(24)");
	set_scene(container);
	say(result(sys_ioctl(container, VFIO_IOMMU_UNMAP_DMA, read_only(24, &unmap))),
	    "unmap.read-only");
	say_text("unmap.read-only", "left=%u", 65535 - dma_avail(container));
	set_scene(container);
	unmap.argsz = 40;
	unmap.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	say(result(sys_ioctl(container, VFIO_IOMMU_UNMAP_DMA, edge(24, &unmap))),
	    "unmap.bitmap.edge(24)");
	unmap.argsz = 48;
	say(result(sys_ioctl(container, VFIO_IOMMU_UNMAP_DMA, edge(24, &unmap))),
	    "unmap.bitmap.edge(24).argsz=48");
}

static void type1(unsigned long type)
{
	struct vfio v;

	memory = anonymous(PAGES * PAGE);
	vfio_open(&v, type);
	get_info(v.container);
	map_cases(v.container);
	map_pointers(v.container);
	map_memory(v.container);
	unmap_cases(v.container);
	unmap_pointers(v.container);
	vfio_close(&v);
}

void area_type1_v1(void)
{
	struct vfio v;

	type1(VFIO_TYPE1_IOMMU);
	vfio_open(&v, VFIO_TYPE1_IOMMU);
	say(result(sys_ioctl(v.container, VFIO_IOMMU_DIRTY_PAGES, NULL)), "dirty.NULL");
	say(result(sys_ioctl(v.container, VFIO_IOMMU_ENABLE, NULL)), "enable");
	say(result(sys_ioctl(v.container, VFIO_IOMMU_DISABLE, NULL)), "disable");
	vfio_close(&v);
}

void area_type1_v2(void)
{
	type1(VFIO_TYPE1v2_IOMMU);
}

/* ---- UPDATE_VADDR ---- */

void area_vaddr(void)
{
	struct vfio v;
	uint64_t size;

	memory = anonymous(PAGES * PAGE);
	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	set_scene(v.container);
#define MAP(iova, offset, pages) \
	map_dma(v.container, iova, memory + (offset)*PAGE, (pages)*PAGE, VFIO_DMA_MAP_FLAG_VADDR)
#define UNMAP(iova, pages, flags) (size = (pages)*PAGE, unmap_dma(v.container, iova, &size, flags))
	say(MAP(0x10a000, 0, 4), "map.valid");
	say(UNMAP(0x10b000, 1, VFIO_DMA_UNMAP_FLAG_VADDR), "unmap.part");
	say(UNMAP(0x0, 1, VFIO_DMA_UNMAP_FLAG_VADDR), "unmap.nothing");
	say_text("unmap.nothing", "size=%llu", (unsigned long long)size);
	say(UNMAP(0x10a000, 4, VFIO_DMA_UNMAP_FLAG_VADDR), "unmap");
	say_text("unmap", "size=%llu left=%u", (unsigned long long)size,
		 65535 - dma_avail(v.container));
	say(UNMAP(0x10a000, 4, VFIO_DMA_UNMAP_FLAG_VADDR), "unmap.again");
	say_text("unmap.again", "size kept %d", size == 4 * PAGE);
	say(MAP(0x10a000, 0, 3), "map.shorter");
	say(MAP(0x10a000, 0, 5), "map.longer");
	say(MAP(0x10b000, 0, 3), "map.inside");
	say(MAP(0x10f000, 0, 1), "map.nothing");
	say(map_dma(v.container, 0x10a000, memory, 4 * PAGE, RW), "map.new");
	say(MAP(0x10a000, 32, 4), "map");
	say(MAP(0x10a000, 32, 4), "map.again");
	say(UNMAP(0x110000, 4, VFIO_DMA_UNMAP_FLAG_VADDR), "unmap.two");
	say_text("unmap.two", "size=%llu", (unsigned long long)size);
	say(MAP(0x112000, 0, 2), "map.second");
	/* The second of the three is invalid already: the first is rolled back. */
	say(UNMAP(0, 0, VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL), "unmap.all");
	say(MAP(0x10a000, 0, 4), "rolled back.first");
	say(MAP(0x110000, 0, 2), "rolled back.second");
	say(UNMAP(0, 0, VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL), "unmap.all again");
	say_text("unmap.all again", "size=%llu", (unsigned long long)size);
	say(UNMAP(0x10a000, 4, 0), "unmap.invalid one");
	say_text("unmap.invalid one", "size=%llu", (unsigned long long)size);
	say(UNMAP(0, 0, VFIO_DMA_UNMAP_FLAG_ALL), "unmap.the rest");
	say_text("unmap.the rest", "size=%llu", (unsigned long long)size);
	vfio_close(&v);
}

/* ---- The entry limit ---- */

void area_limit(void)
{
	struct vfio v;
	unsigned n = 0;
	uint64_t size;
	long r;

	memory = anonymous(PAGES * PAGE);
	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	while ((r = map_dma(v.container, (n + 1) * 2 * PAGE, memory, PAGE, RW)) == 0 && n < 70000)
		n++;
	say_text("entries", "%u", n);
	say(r, "one more");
	say_text("avail", "%u", dma_avail(v.container));
	say(map_dma(v.container, 2 * PAGE, memory, PAGE, RW), "full.overlapping");
	say(map_dma(v.container, 0xfee00000, memory, PAGE, RW), "full.MSI window");
	say(map_dma(v.container, PAGE, (void *)NONE, PAGE, RW), "full.vaddr not mapped");
	say(map_dma(v.container, PAGE, memory, PAGE + 1, RW), "full.unaligned");
	size = PAGE;
	say(unmap_dma(v.container, 2 * PAGE, &size, 0), "unmap one");
	say_text("avail", "%u", dma_avail(v.container));
	say(map_dma(v.container, PAGE, (void *)NONE, PAGE, RW), "failing map");
	say_text("avail", "%u", dma_avail(v.container));
	say(map_dma(v.container, PAGE, memory, PAGE, RW), "map one");
	size = 100 * PAGE;
	say(unmap_dma(v.container, 0, &size, 0), "unmap many");
	say_text("unmap many", "size=%llu avail=%u", (unsigned long long)size,
		 dma_avail(v.container));
	size = 0;
	say(unmap_dma(v.container, 0, &size, VFIO_DMA_UNMAP_FLAG_ALL), "unmap all");
	say_text("unmap all", "size=%llu avail=%u", (unsigned long long)size,
		 dma_avail(v.container));
	vfio_close(&v);
}
