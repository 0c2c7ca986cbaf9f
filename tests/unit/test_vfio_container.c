/* SPDX-License-Identifier: BSD-3-Clause */
/* Containers and groups: every ioctl with each cause of failure, and orders of closing. */
#include "vfio_fixture.h"

#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "core/device.h"
#include "core/iova.h"

#define IOVA 0x100000ull

static char *memory; /* 64 pages */

static struct vfio_iommu_type1_dma_map map_request(void)
{
	struct vfio_iommu_type1_dma_map m = {
		.argsz = sizeof(m),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory,
		.iova = IOVA,
		.size = 0x1000,
	};

	return m;
}

static long map_at(uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_map m = map_request();

	m.iova = iova;
	m.size = size;
	return ctl(container, VFIO_IOMMU_MAP_DMA, &m);
}

/* The size unmapped, or -errno. */
static long unmap_at(uint64_t iova, uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_unmap u = {
		.argsz = sizeof(u), .flags = flags, .iova = iova, .size = size};
	long ret = ctl(container, VFIO_IOMMU_UNMAP_DMA, &u);

	return ret ? ret : (long)u.size;
}

static void attach(unsigned long type)
{
	assert_int_equal(ctl(group, VFIO_GROUP_SET_CONTAINER, &container), 0);
	assert_int_equal(ctl_value(container, VFIO_SET_IOMMU, type), 0);
}

static int open_v1(void **state)
{
	open_group(state);
	attach(VFIO_TYPE1_IOMMU);
	return 0;
}

static int open_v2(void **state)
{
	open_group(state);
	attach(VFIO_TYPE1v2_IOMMU);
	return 0;
}

static void before_set_iommu(void **state)
{
	struct vfio_iommu_type1_dma_map m = map_request();

	assert_int_equal(ctl_value(container, VFIO_GET_API_VERSION, 0), 0);
	assert_int_equal(ctl_value(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU), 1);
	assert_int_equal(ctl_value(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU), 1);
	assert_int_equal(ctl_value(container, VFIO_CHECK_EXTENSION, VFIO_UNMAP_ALL), 1);
	assert_int_equal(ctl_value(container, VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR), 0);
	assert_int_equal(ctl_value(container, VFIO_CHECK_EXTENSION, VFIO_NOIOMMU_IOMMU), 0);
	assert_int_equal(ctl_value(container, VFIO_CHECK_EXTENSION, ~0ul), 0);
	assert_int_equal(ctl(container, VFIO_IOMMU_MAP_DMA, &m), -EINVAL);
	assert_int_equal(ctl(container, VFIO_IOMMU_GET_INFO, NULL), -EINVAL);
	assert_int_equal(ctl(container, VFIO_IOMMU_DIRTY_PAGES, NULL), -EINVAL);
	assert_int_equal(ctl_value(container, _IO(';', 199), 0), -EINVAL);
	assert_int_equal(ctl_value(container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), -EINVAL);
}

static void set_iommu(void **state)
{
	assert_int_equal(ctl(group, VFIO_GROUP_SET_CONTAINER, &container), 0);
	assert_int_equal(ctl_value(container, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), -ENODEV);
	assert_int_equal(ctl_value(container, VFIO_SET_IOMMU, 77), -ENODEV);
	assert_int_equal(ctl_value(container, VFIO_SET_IOMMU, VFIO_UNMAP_ALL), -EINVAL);
	assert_int_equal(ctl_value(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	assert_int_equal(ctl_value(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -EINVAL);
	assert_int_equal(ctl_value(container, VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR), 1);
	assert_int_equal(ctl_value(container, _IO(';', 199), 0), -ENOTTY);
	assert_int_equal(ctl_value(container, VFIO_IOMMU_ENABLE, 0), -ENOTTY);
	/* The last group takes the IOMMU along. */
	assert_int_equal(ctl(group, VFIO_GROUP_UNSET_CONTAINER, NULL), 0);
	assert_int_equal(ctl_value(container, _IO(';', 199), 0), -EINVAL);
}

static void group_commands(void **state)
{
	struct vfio_group_status s = {.argsz = 7};
	int pipes[2], bad = 4711, minus = -1;

	assert_int_equal(ctl(group, VFIO_GROUP_GET_STATUS, &s), -EINVAL);
	assert_int_equal(ctl(group, VFIO_GROUP_GET_STATUS, NULL), -EFAULT);
	s.argsz = 8;
	assert_int_equal(ctl(group, VFIO_GROUP_GET_STATUS, &s), 0);
	assert_int_equal(s.flags, VFIO_GROUP_FLAGS_VIABLE);
	assert_int_equal(ctl(group, VFIO_GROUP_UNSET_CONTAINER, NULL), -EINVAL);
	assert_int_equal(ctl(group, VFIO_GROUP_SET_CONTAINER, NULL), -EFAULT);
	assert_int_equal(ctl(group, VFIO_GROUP_SET_CONTAINER, &bad), -EBADF);
	assert_int_equal(ctl(group, VFIO_GROUP_SET_CONTAINER, &minus), -EBADF);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(ctl(group, VFIO_GROUP_SET_CONTAINER, &pipes[0]), -EBADFD);
	assert_int_equal(ctl(group, VFIO_GROUP_SET_CONTAINER, &group), -EBADFD);
	assert_int_equal(ctl(group, VFIO_GROUP_SET_CONTAINER, &container), 0);
	assert_int_equal(ctl(group, VFIO_GROUP_SET_CONTAINER, &container), -EINVAL);
	assert_int_equal(ctl(group, VFIO_GROUP_SET_CONTAINER, &bad), -EBADF);
	assert_int_equal(ctl(group, VFIO_GROUP_SET_CONTAINER, &pipes[0]), -EINVAL);
	assert_int_equal(ctl(group, VFIO_GROUP_GET_STATUS, &s), 0);
	assert_int_equal(s.flags, VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET);
	assert_int_equal(ctl(group, VFIO_GROUP_UNSET_CONTAINER, NULL), 0);
	assert_int_equal(ctl_value(group, _IO(';', 199), 0), -ENOTTY);
	close(pipes[0]);
	close(pipes[1]);
}

static void group_opens_once(void **state)
{
	assert_int_equal(standin_open("/dev/vfio/0", O_RDWR), -1);
	assert_int_equal(errno, EBUSY);
	assert_int_equal(standin_close(group), 0);
	group = standin_open("/dev/vfio/0", O_RDWR);
	assert_true(group >= 0);
}

static void device_names(void **state)
{
	static const struct {
		const char *name;
		int error;
	} names[] = {
		{"0000:02:00.0", ENODEV},
		{"", ENODEV},
		{"0000:01:00.0x", ENODEV},
		{"0000:01:00.", ENODEV},
		{"0000:01:00.0 nonsense=1", EINVAL},
		{"0000:01:00.0 vf_token=123", EINVAL},
		{"0000:01:00.0 vf_token=bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3", EINVAL},
	};
	char *long_name = malloc(8192);
	unsigned i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(ctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)names[i].name),
				 -names[i].error);
	assert_int_equal(ctl(group, VFIO_GROUP_GET_DEVICE_FD, NULL), -EFAULT);
	memset(long_name, 'x', 8192);
	assert_int_equal(ctl(group, VFIO_GROUP_GET_DEVICE_FD, long_name), -EINVAL);
	free(long_name);
	/* No container, then one without an IOMMU. */
	assert_int_equal(ctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)DEVICE_NAME), -EINVAL);
	assert_int_equal(ctl(group, VFIO_GROUP_SET_CONTAINER, &container), 0);
	assert_int_equal(ctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)DEVICE_NAME), -EINVAL);
	assert_int_equal(ctl_value(container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), 0);
	device = (int)ctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)DEVICE_NAME "  ");
	assert_true(device >= 0);
	assert_true(fcntl(device, F_GETFD) & FD_CLOEXEC);
}

static void iommu_info(void **state)
{
	char bytes[4096] = {0};
	struct vfio_iommu_type1_info *info = (struct vfio_iommu_type1_info *)bytes;
	struct vfio_iommu_type1_info_cap_migration *migration;
	struct vfio_iommu_type1_info_dma_avail *avail;
	struct vfio_iommu_type1_info_cap_iova_range *iova;

	assert_int_equal(ctl(container, VFIO_IOMMU_GET_INFO, NULL), -EFAULT);
	info->argsz = 15;
	assert_int_equal(ctl(container, VFIO_IOMMU_GET_INFO, info), -EINVAL);
	/* Short: told how much it takes, and nothing is written behind argsz. */
	info->argsz = 16;
	bytes[16] = 77;
	assert_int_equal(ctl(container, VFIO_IOMMU_GET_INFO, info), 0);
	assert_int_equal(info->flags, VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS);
	assert_int_equal(info->argsz, 24 + 32 + 16 + 48);
	assert_int_equal(bytes[16], 77);
	info->argsz = 24;
	assert_int_equal(ctl(container, VFIO_IOMMU_GET_INFO, info), 0);
	assert_int_equal(info->cap_offset, 0);
	info->argsz = sizeof(bytes);
	assert_int_equal(ctl(container, VFIO_IOMMU_GET_INFO, info), 0);
	assert_int_equal(info->argsz, sizeof(bytes));
	assert_int_equal(info->iova_pgsizes & 0x1000, 0x1000);

	migration = (void *)(bytes + info->cap_offset);
	assert_int_equal(migration->header.id, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION);
	assert_int_equal(migration->pgsize_bitmap, 4096);
	assert_int_equal(migration->max_dirty_bitmap_size, 1 << 28);
	avail = (void *)(bytes + migration->header.next);
	assert_int_equal(avail->header.id, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
	assert_int_equal(avail->avail, 100);
	iova = (void *)(bytes + avail->header.next);
	assert_int_equal(iova->header.id, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
	assert_int_equal(iova->header.next, 0);
	assert_int_equal(iova->nr_iovas, 2);
	assert_int_equal(iova->iova_ranges[0].end, 0xfedfffff);
	assert_int_equal(iova->iova_ranges[1].start, 0xfef00000);
	assert_int_equal(map_at(IOVA, 4096), 0);
	assert_int_equal(ctl(container, VFIO_IOMMU_GET_INFO, info), 0);
	assert_int_equal(avail->avail, 99);
}

static void map_failures(void **state)
{
	static const struct {
		uint32_t argsz, flags;
		uint64_t vaddr, iova, size; /* added to a good request's vaddr, else instead */
		int error;
	} cases[] = {
		{31, 3, 0, IOVA, 0x1000, EINVAL},
		{32, 8, 0, IOVA, 0x1000, EINVAL},
		{32, 11, 0, IOVA, 0x1000, EINVAL},
		{32, 3, 0, IOVA, 0, EINVAL},
		{32, 0, 0, IOVA, 0x1000, EINVAL},
		{32, 5, 0, IOVA, 0x1000, EINVAL},
		{32, 6, 0, IOVA, 0x1000, EINVAL},
		{32, 3, 1, IOVA, 0x1000, EINVAL},
		{32, 3, 0, IOVA + 1, 0x1000, EINVAL},
		{32, 3, 0, IOVA, 0x1001, EINVAL},
		{32, 3, 0, -0x1000ull, 0x2000, EOVERFLOW},
		{32, 0, 0, -0x1000ull, 0x2000, EOVERFLOW}, /* before the flags */
		{32, 3, 0, IOVA, -0x1000ull, EOVERFLOW},
		{32, 3, 0, -0x1000ull, 0x1000, EINVAL}, /* fits, but isn't allowed */
		{32, 3, 0, 0xfee00000, 0x1000, EINVAL}, /* the interrupt window */
		{32, 3, 0, 0xfedff000, 0x2000, EINVAL},
		{32, 3, 0, 1ull << 48, 0x1000, EINVAL},
		{32, 4, 0, IOVA, 0x1000, ENOENT},
	};
	struct vfio_iommu_type1_dma_map m;
	unsigned i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		m = (struct vfio_iommu_type1_dma_map){cases[i].argsz, cases[i].flags,
						      (uintptr_t)memory + cases[i].vaddr,
						      cases[i].iova, cases[i].size};
		if (ctl(container, VFIO_IOMMU_MAP_DMA, &m) != -cases[i].error)
			fail_msg("case %u", i);
	}
	assert_int_equal(ctl(container, VFIO_IOMMU_MAP_DMA, NULL), -EFAULT);
	assert_int_equal(map_at(0xfedff000, 0x1000), 0);
	assert_int_equal(map_at(0xfef00000, 0x1000), 0);
	assert_int_equal(map_at((1ull << 48) - 0x1000, 0x1000), 0);
}

static void map_bad_memory(void **state)
{
	struct vfio_iommu_type1_dma_map m = map_request();
	char *hole;

	m.vaddr = 0;
	assert_int_equal(ctl(container, VFIO_IOMMU_MAP_DMA, &m), -EFAULT);
	m.vaddr = -0x1000ull;
	assert_int_equal(ctl(container, VFIO_IOMMU_MAP_DMA, &m), -EFAULT);
	m.vaddr = 1ull << 47;
	assert_int_equal(ctl(container, VFIO_IOMMU_MAP_DMA, &m), -EFAULT);
	hole = mmap(NULL, 0x400000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	m.vaddr = (uintptr_t)hole;
	munmap(hole + 0x1000, 0x1000);
	m.size = 0x4000;
	assert_int_equal(ctl(container, VFIO_IOMMU_MAP_DMA, &m), -EFAULT);
	m.size = 0x400000;
	assert_int_equal(ctl(container, VFIO_IOMMU_MAP_DMA, &m), -EFAULT);
	mprotect(hole, 0x1000, PROT_NONE);
	m.size = 0x1000;
	assert_int_equal(ctl(container, VFIO_IOMMU_MAP_DMA, &m), -EFAULT);
	/* Read-only memory may be read by the device, and not written. */
	mprotect(hole, 0x1000, PROT_READ);
	assert_int_equal(ctl(container, VFIO_IOMMU_MAP_DMA, &m), -EFAULT);
	m.flags = VFIO_DMA_MAP_FLAG_READ;
	assert_int_equal(ctl(container, VFIO_IOMMU_MAP_DMA, &m), 0);
	/* A bad address is noticed last. */
	m.vaddr = 0;
	assert_int_equal(ctl(container, VFIO_IOMMU_MAP_DMA, &m), -EEXIST);
	munmap(hole, 0x400000);
}

static void map_overlap_and_limit(void **state)
{
	unsigned i;

	assert_int_equal(map_at(IOVA, 0x2000), 0);
	assert_int_equal(map_at(IOVA, 0x2000), -EEXIST);
	assert_int_equal(map_at(IOVA + 0x1000, 0x1000), -EEXIST);
	assert_int_equal(map_at(IOVA - 0x1000, 0x4000), -EEXIST);
	for (i = 1; i < 100; i++)
		assert_int_equal(map_at(IOVA + i * 0x10000ull, 0x1000), 0);
	assert_int_equal(map_at(0x100000000, 0x1000), -ENOSPC);
	assert_int_equal(map_at(IOVA, 0x1000), -EEXIST);       /* before ENOSPC */
	assert_int_equal(map_at(0xfee00000, 0x1000), -ENOSPC); /* before EINVAL */
	assert_int_equal(unmap_at(IOVA, 0x2000, 0), 0x2000);
	assert_int_equal(map_at(0x100000000, 0x1000), 0);
}

static void unmap_failures(void **state)
{
	struct vfio_iommu_type1_dma_unmap u = {.argsz = 23, .iova = IOVA, .size = 0x1000};

	assert_int_equal(ctl(container, VFIO_IOMMU_UNMAP_DMA, NULL), -EFAULT);
	assert_int_equal(ctl(container, VFIO_IOMMU_UNMAP_DMA, &u), -EINVAL);
	assert_int_equal(unmap_at(IOVA, 0x1000, 8), -EINVAL);
	assert_int_equal(unmap_at(IOVA, 0, 0), -EINVAL);
	assert_int_equal(unmap_at(IOVA + 1, 0x1000, 0), -EINVAL);
	assert_int_equal(unmap_at(IOVA, 0x1001, 0), -EINVAL);
	assert_int_equal(unmap_at(-0x1000ull, 0x2000, 0), -EOVERFLOW);
	assert_int_equal(unmap_at(-0x1000ull, 0x1000, 0), 0);
	assert_int_equal(unmap_at(IOVA, 0, VFIO_DMA_UNMAP_FLAG_ALL), -EINVAL);
	assert_int_equal(unmap_at(0, 0x1000, VFIO_DMA_UNMAP_FLAG_ALL), -EINVAL);
	assert_int_equal(unmap_at(0, 0, VFIO_DMA_UNMAP_FLAG_ALL), 0);
	assert_int_equal(unmap_at(IOVA, 0x1000, VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP), -EINVAL);
	assert_int_equal(unmap_at(IOVA, 0x1000, 0), 0);
}

static void unmap_v2(void **state)
{
	assert_int_equal(map_at(IOVA, 0x4000), 0);
	assert_int_equal(map_at(IOVA + 0x4000, 0x4000), 0);
	assert_int_equal(unmap_at(IOVA, 0x1000, 0), -EINVAL);
	assert_int_equal(unmap_at(IOVA + 0x1000, 0x3000, 0), -EINVAL);
	assert_int_equal(unmap_at(IOVA, 0x5000, 0), -EINVAL);
	assert_int_equal(unmap_at(IOVA - 0x1000, 0x2000, 0), -EINVAL);
	assert_int_equal(unmap_at(IOVA - 0x1000, 0xa000, 0), 0x8000);
	assert_int_equal(map_at(IOVA, 0x4000), 0);
	assert_int_equal(map_at(0, 0x1000), 0);
	assert_int_equal(unmap_at(0, 0, VFIO_DMA_UNMAP_FLAG_ALL), 0x5000);
}

static void unmap_v1(void **state)
{
	assert_int_equal(map_at(IOVA, 0x4000), 0);
	assert_int_equal(map_at(IOVA + 0x4000, 0x4000), 0);
	assert_int_equal(unmap_at(IOVA + 0x1000, 0x1000, 0), 0);
	assert_int_equal(unmap_at(IOVA + 0x1000, 0x8000, 0), 0); /* stops where it begins inside */
	assert_int_equal(unmap_at(IOVA, 0x1000, 0), 0x4000);
	assert_int_equal(unmap_at(IOVA, 0x5000, 0), 0x4000);
	assert_int_equal(unmap_at(IOVA, 0x8000, 0), 0);
}

static void update_vaddr(void **state)
{
	struct vfio_iommu_type1_dma_map m = map_request();
	const uint32_t flag = VFIO_DMA_UNMAP_FLAG_VADDR;

	assert_int_equal(map_at(IOVA, 0x1000), 0);
	assert_int_equal(map_at(IOVA + 0x1000, 0x1000), 0);
	m.flags = VFIO_DMA_MAP_FLAG_VADDR;
	assert_int_equal(ctl(container, VFIO_IOMMU_MAP_DMA, &m), -EINVAL); /* is valid */
	assert_int_equal(unmap_at(IOVA + 0x1000, 0x1000, flag), 0x1000);
	/* The second is invalid already: fails, and the first is valid again. */
	assert_int_equal(unmap_at(IOVA, 0x2000, flag), -EINVAL);
	assert_int_equal(ctl(container, VFIO_IOMMU_MAP_DMA, &m), -EINVAL);
	assert_int_equal(unmap_at(IOVA, 0x1000, flag), 0x1000);
	m.size = 0x2000;
	assert_int_equal(ctl(container, VFIO_IOMMU_MAP_DMA, &m), -EINVAL);
	m.size = 0x1000;
	m.vaddr += 0x1000;
	assert_int_equal(ctl(container, VFIO_IOMMU_MAP_DMA, &m), 0);
	assert_int_equal(ctl(container, VFIO_IOMMU_MAP_DMA, &m), -EINVAL);
	assert_int_equal(unmap_at(0, 0, VFIO_DMA_UNMAP_FLAG_ALL | flag), -EINVAL);
	assert_int_equal(unmap_at(IOVA, 0x2000, 0), 0x2000); /* also if invalid */
}

struct dirty_get {
	struct vfio_iommu_type1_dirty_bitmap head;
	struct vfio_iommu_type1_dirty_bitmap_get get;
};

static long dirty(uint32_t flags)
{
	struct vfio_iommu_type1_dirty_bitmap d = {.argsz = sizeof(d), .flags = flags};

	return ctl(container, VFIO_IOMMU_DIRTY_PAGES, &d);
}

static long dirty_get(uint64_t iova, uint64_t size, uint64_t pgsize, void *data, uint64_t bytes)
{
	struct dirty_get g = {
		.head = {.argsz = sizeof(g), .flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP},
		.get = {.iova = iova,
			.size = size,
			.bitmap = {.pgsize = pgsize, .size = bytes, .data = data}},
	};

	return ctl(container, VFIO_IOMMU_DIRTY_PAGES, &g);
}

static void dirty_pages(void **state)
{
	uint64_t bits[4] = {0};
	struct vfio_iommu_type1_dirty_bitmap d = {.argsz = 7, .flags = 1};

	assert_int_equal(ctl(container, VFIO_IOMMU_DIRTY_PAGES, NULL), -EFAULT);
	assert_int_equal(ctl(container, VFIO_IOMMU_DIRTY_PAGES, &d), -EINVAL);
	assert_int_equal(dirty(0), -EINVAL);
	assert_int_equal(dirty(8), -EINVAL);
	assert_int_equal(dirty(3), -EINVAL);
	assert_int_equal(dirty(VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP), -EINVAL); /* too short */
	assert_int_equal(map_at(IOVA, 0x3000), 0);
	assert_int_equal(map_at(IOVA + 0x5000, 0x1000), 0);
	assert_int_equal(dirty_get(IOVA, 0x6000, 4096, bits, 8), -EINVAL); /* not tracking */
	assert_int_equal(dirty(VFIO_IOMMU_DIRTY_PAGES_FLAG_START), 0);
	assert_int_equal(dirty(VFIO_IOMMU_DIRTY_PAGES_FLAG_START), 0);
	assert_int_equal(dirty_get(IOVA, 0, 4096, bits, 8), -EINVAL);
	assert_int_equal(dirty_get(-0x1000ull, 0x2000, 4096, bits, 8), -EOVERFLOW);
	assert_int_equal(dirty_get(IOVA, 0x6000, 8192, bits, 8), -EINVAL);
	assert_int_equal(dirty_get(IOVA, 0x6000, 0, bits, 8), -EINVAL);
	assert_int_equal(dirty_get(IOVA, 0x6000, 4096, bits, 7), -EINVAL);
	assert_int_equal(dirty_get(IOVA, 0x6000, 4096, bits, (1 << 28) + 8), -EINVAL);
	assert_int_equal(dirty_get(IOVA + 1, 0x6000, 4096, bits, 8), -EINVAL);
	assert_int_equal(dirty_get(IOVA, 0x6001, 4096, bits, 8), -EINVAL);
	assert_int_equal(dirty_get(IOVA, 0x2000, 4096, bits, 8), -EINVAL); /* bisects */
	assert_int_equal(dirty_get(IOVA + 0x1000, 0x5000, 4096, bits, 8), -EINVAL);
	assert_int_equal(dirty_get(IOVA, 0x6000, 4096, NULL, 8), -EFAULT);
	assert_int_equal(dirty_get(IOVA, 0x6000, 4096, (void *)-4096l, 8), -EINVAL);
	assert_int_equal(dirty_get(IOVA, 0x6000, 4096, bits, 8), 0);
	assert_int_equal(bits[0], 0x27);
	/* A mapping that begins inside a word, and one that ends in the next. */
	assert_int_equal(map_at(IOVA + 62 * 0x1000, 0x5000), 0);
	bits[0] = 0;
	assert_int_equal(dirty_get(IOVA, 0x100000, 4096, bits, 32), 0);
	assert_int_equal(bits[0], 0xc000000000000027);
	assert_int_equal(bits[1], 7);
	assert_int_equal(dirty(VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP), 0);
	assert_int_equal(dirty(VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP), 0);
}

static void dirty_unmap(void **state)
{
	uint64_t bits = 0;
	struct {
		struct vfio_iommu_type1_dma_unmap head;
		struct vfio_bitmap bitmap;
	} u = {
		.head = {.argsz = sizeof(u),
			 .flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
			 .iova = IOVA,
			 .size = 0x3000},
		.bitmap = {.pgsize = 4096, .size = 8, .data = (void *)&bits},
	};

	assert_int_equal(map_at(IOVA, 0x3000), 0);
	assert_int_equal(ctl(container, VFIO_IOMMU_UNMAP_DMA, &u), -EINVAL);
	assert_int_equal(dirty(VFIO_IOMMU_DIRTY_PAGES_FLAG_START), 0);
	u.head.flags |= VFIO_DMA_UNMAP_FLAG_ALL;
	assert_int_equal(ctl(container, VFIO_IOMMU_UNMAP_DMA, &u), -EINVAL);
	u.head.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | VFIO_DMA_UNMAP_FLAG_VADDR;
	assert_int_equal(ctl(container, VFIO_IOMMU_UNMAP_DMA, &u), -EINVAL);
	u.head.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	u.bitmap.size = 0;
	assert_int_equal(ctl(container, VFIO_IOMMU_UNMAP_DMA, &u), -EINVAL);
	u.bitmap.size = 8;
	assert_int_equal(ctl(container, VFIO_IOMMU_UNMAP_DMA, &u), 0);
	assert_int_equal(u.head.size, 0x3000);
	assert_int_equal(bits, 7);
}

static void dirty_v1(void **state)
{
	assert_int_equal(ctl(container, VFIO_IOMMU_DIRTY_PAGES, NULL), -EACCES);
}

/* ---- orders of closing ---- */

static void container_closed_first(void **state)
{
	char value;

	assert_int_equal(standin_close(container), 0);
	container = -1;
	assert_int_equal(region_read(VFIO_PCI_CONFIG_REGION_INDEX, 0, &value, 1), 1);
	assert_int_equal(ctl(group, VFIO_GROUP_UNSET_CONTAINER, NULL), -EBUSY);
}

static void group_closed_first(void **state)
{
	char value;

	assert_int_equal(standin_close(group), 0);
	group = -1;
	assert_int_equal(region_read(VFIO_PCI_CONFIG_REGION_INDEX, 0, &value, 1), 1);
	assert_int_equal(map_at(IOVA, 0x1000), 0);
	/* The open device keeps the group open, and so its node busy. */
	assert_int_equal(standin_open("/dev/vfio/0", O_RDWR), -1);
	assert_int_equal(errno, EBUSY);
	assert_int_equal(standin_close(device), 0);
	device = -1;
	assert_int_equal(map_at(IOVA, 0x1000), -EINVAL); /* the last group took the IOMMU */
	group = standin_open("/dev/vfio/0", O_RDWR);
	assert_true(group >= 0);
}

static void device_keeps_container(void **state)
{
	unsigned resets = probes[0]->resets;

	assert_int_equal(ctl(group, VFIO_GROUP_UNSET_CONTAINER, NULL), -EBUSY);
	assert_int_equal(standin_close(device), 0);
	device = -1;
	assert_int_equal(probes[0]->resets, resets + 1);
	assert_int_equal(ctl(group, VFIO_GROUP_UNSET_CONTAINER, NULL), 0);
}

static void device_opened_twice(void **state)
{
	int again = (int)ctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)DEVICE_NAME);
	unsigned resets = probes[0]->resets;
	char value;

	assert_true(again >= 0);
	assert_int_not_equal(again, device);
	assert_int_equal(standin_close(device), 0);
	device = again;
	assert_int_equal(region_read(VFIO_PCI_CONFIG_REGION_INDEX, 0, &value, 1), 1);
	assert_int_equal(probes[0]->resets, resets);
	assert_int_equal(ctl(group, VFIO_GROUP_UNSET_CONTAINER, NULL), -EBUSY);
}

static void dma_follows_the_container(void **state)
{
	struct standin_device *dev = probes[0]->dev;
	char byte = 0;

	memory[5] = 42;
	assert_int_equal(map_at(IOVA, 0x1000), 0);
	assert_int_equal(standin_dma_read(dev, IOVA + 5, &byte, 1), -EFAULT); /* no bus master */
	config_write(4, 2, 6);
	assert_int_equal(probes[0]->command & 6, 6);
	assert_int_equal(standin_dma_read(dev, IOVA + 5, &byte, 1), 0);
	assert_int_equal(byte, 42);
	assert_int_equal(standin_dma_read(dev, IOVA + 0x1000, &byte, 1), -EFAULT);
	assert_int_equal(unmap_at(IOVA, 0x1000, 0), 0x1000);
	assert_int_equal(standin_dma_read(dev, IOVA + 5, &byte, 1), -EFAULT);
	assert_int_equal(map_at(IOVA, 0x1000), 0);
	standin_close(device);
	device = -1;
	assert_int_equal(standin_dma_read(dev, IOVA + 5, &byte, 1), -EFAULT);
}

static void two_groups(void **state)
{
	int other = standin_open("/dev/vfio/1", O_RDWR), second;

	assert_true(other >= 0);
	assert_int_equal(ctl(other, VFIO_GROUP_SET_CONTAINER, &container), 0);
	second = (int)ctl(other, VFIO_GROUP_GET_DEVICE_FD, (void *)"0000:01:00.1");
	assert_true(second >= 0);
	assert_int_equal(map_at(IOVA, 0x1000), 0);
	standin_close(device);
	standin_close(group);
	device = group = -1;
	assert_int_equal(unmap_at(IOVA, 0x1000, 0), 0x1000); /* one group is left */
	standin_close(second);
	standin_close(other);
	assert_int_equal(map_at(IOVA, 0x1000), -EINVAL);
}

/* ---- other processes, and the limit on locked memory ---- */

/*
 * Runs `work` in a child; what it returns is the child's exit status.  An instance of the
 * parent's is none of the child's.
 */
static int in_child(int (*work)(void *), void *arg)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(work(arg));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void start_in(const char *directory, const char *more)
{
	char text[256];

	snprintf(text, sizeof(text), "device vfio-probe,addr=01:00.0\ndirectory %s\n%s", directory,
		 more);
	if (standin_start(text))
		fail_msg("%s", standin_error());
}

/* Opens the group in a process of its own and stays there until the pipe is closed. */
static pid_t hold_group(const char *directory, int *ret_pipe)
{
	int ready[2], stop[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready) | pipe(stop), 0);
	pid = fork();
	if (!pid) {
		close(stop[1]);
		standin_stop(); /* the parent's */
		start_in(directory, "");
		byte = standin_open("/dev/vfio/0", O_RDWR) < 0;
		if (write(ready[1], &byte, 1) != 1 || read(stop[0], &byte, 1) < 0)
			_exit(1);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(byte, 0);
	close(ready[0]);
	close(ready[1]);
	close(stop[0]);
	*ret_pipe = stop[1];
	return pid;
}

static void group_is_busy_elsewhere(void **state)
{
	char directory[] = "/tmp/standin-test-XXXXXX", path[128];
	pid_t holder;
	int stop;

	assert_non_null(mkdtemp(directory));
	holder = hold_group(directory, &stop);
	start_in(directory, "");
	assert_int_equal(standin_open("/dev/vfio/0", O_RDWR), -1);
	assert_int_equal(errno, EBUSY);
	/* However it ends. */
	kill(holder, SIGKILL);
	assert_int_equal(waitpid(holder, NULL, 0), holder);
	close(stop);
	group = standin_open("/dev/vfio/0", O_RDWR);
	assert_true(group >= 0);
	standin_close(group);
	group = -1;
	/* Closed here, it is free there. */
	holder = hold_group(directory, &stop);
	close(stop);
	assert_int_equal(waitpid(holder, NULL, 0), holder);
	snprintf(path, sizeof(path), "%s/vfio-group-0.lock", directory);
	unlink(path);
	assert_int_equal(rmdir(directory), 0);
}

static int memlock_child(void *arg)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};
	struct rlimit limit = {8192, 8192};

	start_in("/tmp", "set vfio.memlock=1\n");
	container = standin_open("/dev/vfio/vfio", O_RDWR);
	group = standin_open("/dev/vfio/0", O_RDWR);
	attach(VFIO_TYPE1v2_IOMMU);
	if (setrlimit(RLIMIT_MEMLOCK, &limit) || syscall(SYS_capset, &header, none))
		return 1;
	if (map_at(IOVA, 0x3000) != -ENOMEM || map_at(IOVA, 0x2000) ||
	    map_at(IOVA + 0x10000, 0x1000) != -ENOMEM || map_at(IOVA, 0x1000) != -EEXIST)
		return 2;
	if (unmap_at(IOVA, 0x2000, 0) != 0x2000 || map_at(IOVA, 0x2000))
		return 3;
	/* The mappings of a container that goes are no longer charged. */
	standin_ioctl(group, VFIO_GROUP_UNSET_CONTAINER);
	attach(VFIO_TYPE1v2_IOMMU);
	return map_at(IOVA, 0x2000) ? 4 : 0;
}

/* A child's memory, mapped by calls made for it. */
static void dma_to_another_process(void **state)
{
	struct standin_device *dev = probes[0]->dev;
	int stop[2], ready[2];
	char *page = memory + 0x3000, bytes[0x1800], byte = 0;
	struct iova_range range;
	struct iovec iov[2];
	unsigned n = 0;
	int status;
	pid_t pid;

	strcpy(page, "parent");
	assert_int_equal(pipe(stop) | pipe(ready), 0);
	pid = fork();
	if (!pid) {
		/* Waits for the DMA and tells by its exit status whether it came. */
		strcpy(page, "child");
		page[0x1000] = 77;
		if (write(ready[1], &byte, 1) != 1 || read(stop[0], &byte, 1) != 1)
			_exit(1);
		_exit(strcmp(page, "from the device") == 0 && page[0x1000] == 77 ? 0 : 2);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	config_write(4, 2, 6);
	range = (struct iova_range){.first = IOVA,
				    .last = IOVA + 0x1fff,
				    .pid = pid,
				    .address = (uintptr_t)page,
				    .flags = IOVA_READ | IOVA_WRITE};
	assert_int_equal(iova_map_insert(dev->iova, &range), 0);

	assert_int_equal(standin_dma_read(dev, IOVA, bytes, sizeof(bytes)), 0);
	assert_string_equal(bytes, "child");
	assert_int_equal(bytes[0x1000], 77);
	assert_int_equal(standin_dma_read(dev, IOVA + 0x1000, bytes, 0x1001), -EFAULT);
	assert_int_equal(standin_dma_map(dev, IOVA, 0x1800, STANDIN_DMA_WRITE, iov, 2, &n), 0);
	assert_int_equal(n, 1);
	strcpy(iov[0].iov_base, "from the device");
	standin_dma_unmap(dev, IOVA, 0x1800);
	assert_string_equal(page, "parent");
	assert_int_equal(write(stop[1], &byte, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* It is gone: so is its memory. */
	assert_int_equal(standin_dma_read(dev, IOVA, bytes, 1), -EFAULT);
	assert_int_equal(iova_map_remove(dev->iova, IOVA), 0);
}

static void memlock(void **state)
{
	assert_int_equal(in_child(memlock_child, NULL), 0);
	unlink("/tmp/vfio-group-0.lock");
}

/* A map and its unmap from several threads at once, with the device reading what is there. */
static _Atomic bool stop_threads;

static void *map_and_unmap(void *arg)
{
	uint64_t iova = (uintptr_t)arg;
	unsigned i;

	for (i = 0; i < 5000; i++) {
		assert_int_equal(map_at(iova, 0x2000), 0);
		assert_int_equal(unmap_at(iova, 0x2000, 0), 0x2000);
	}
	return NULL;
}

static void *read_by_dma(void *arg)
{
	char bytes[0x2000];
	unsigned n = 0;

	while (!atomic_load(&stop_threads))
		n += standin_dma_read(probes[0]->dev, IOVA, bytes, sizeof(bytes)) == 0;
	return (void *)(uintptr_t)n;
}

static void concurrent_maps(void **state)
{
	pthread_t mappers[3], reader;
	uintptr_t i;

	atomic_store(&stop_threads, false);
	config_write(4, 2, 6);
	pthread_create(&reader, NULL, read_by_dma, NULL);
	for (i = 0; i < 3; i++)
		pthread_create(&mappers[i], NULL, map_and_unmap, (void *)(IOVA + i * 0x10000));
	for (i = 0; i < 3; i++)
		pthread_join(mappers[i], NULL);
	atomic_store(&stop_threads, true);
	pthread_join(reader, NULL);
	assert_int_equal(unmap_at(0, 0, VFIO_DMA_UNMAP_FLAG_ALL), 0);
}

/* Opening and closing from several threads: the device is realized once and stays usable. */
static void *open_and_close(void *arg)
{
	unsigned i;
	int fd;

	for (i = 0; i < 500; i++) {
		fd = (int)ctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)DEVICE_NAME);
		assert_true(fd >= 0);
		assert_int_equal(ctl_value(fd, VFIO_DEVICE_RESET, 0), 0);
		assert_int_equal(standin_close(fd), 0);
	}
	return NULL;
}

static void concurrent_opens(void **state)
{
	pthread_t threads[3];
	unsigned i;

	for (i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, open_and_close, NULL);
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(ctl(group, VFIO_GROUP_UNSET_CONTAINER, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(before_set_iommu, open_group),
		T(set_iommu, open_group),
		T(group_commands, open_group),
		T(group_opens_once, open_group),
		T(device_names, open_group),
		T(iommu_info, open_v2),
		T(map_failures, open_v2),
		T(map_bad_memory, open_v2),
		T(map_overlap_and_limit, open_v2),
		T(unmap_failures, open_v2),
		T(unmap_failures, open_v1),
		T(unmap_v2, open_v2),
		T(unmap_v1, open_v1),
		T(update_vaddr, open_v2),
		T(dirty_pages, open_v2),
		T(dirty_unmap, open_v2),
		T(dirty_v1, open_v1),
		T(container_closed_first, open_device),
		T(group_closed_first, open_device),
		T(device_keeps_container, open_device),
		T(device_opened_twice, open_device),
		T(dma_follows_the_container, open_device),
		T(two_groups, open_device),
		cmocka_unit_test_teardown(group_is_busy_elsewhere, stop_instance),
		cmocka_unit_test(memlock),
		T(dma_to_another_process, open_device),
		T(concurrent_maps, open_device),
		T(concurrent_opens, open_v2),
	};

	memory = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
