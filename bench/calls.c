/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Times what a VFIO client does most: an ioctl on a stood-in file beside one on
 * /dev/null, MAP_DMA + UNMAP_DMA pairs with 1 and with 60,000 live mappings, and one
 * trapped register load and store beside a load of plain memory.  An ordinary VFIO
 * program: run by bench/vfio.sh under `standin run --device edu` and, for the /dev/null
 * column, alone ("calls alone").  Prints NAME VALUE lines; values are nanoseconds, the
 * median of ROUNDS rounds.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "measure.h"

#define ROUNDS 7

static void measure(const char *name, void (*body)(int n), int n)
{
	double times[ROUNDS];

	body(n / 10 + 1);
	for (int i = 0; i < ROUNDS; i++) {
		double start = now_ns();

		body(n);
		times[i] = (now_ns() - start) / n;
	}
	printf("%s %.2f\n", name, median(times, ROUNDS));
	fflush(stdout);
}

static int null_fd, container, group, device;
static volatile uint32_t *registers;
static char *memory;

static void null_ioctl(int n)
{
	for (int i = 0; i < n; i++)
		ioctl(null_fd, VFIO_GET_API_VERSION);
}

static void vfio_ioctl(int n)
{
	for (int i = 0; i < n; i++)
		if (ioctl(container, VFIO_GET_API_VERSION) != VFIO_API_VERSION)
			abort();
}

static void map(uint64_t iova, uint64_t vaddr, int *failed)
{
	struct vfio_iommu_type1_dma_map m = {.argsz = sizeof(m), .vaddr = vaddr, .iova = iova,
	                                     .flags = VFIO_DMA_MAP_FLAG_READ |
	                                              VFIO_DMA_MAP_FLAG_WRITE,
	                                     .size = 4096};

	*failed |= ioctl(container, VFIO_IOMMU_MAP_DMA, &m);
}

static void unmap(uint64_t iova, int *failed)
{
	struct vfio_iommu_type1_dma_unmap u = {.argsz = sizeof(u), .iova = iova, .size = 4096};

	*failed |= ioctl(container, VFIO_IOMMU_UNMAP_DMA, &u);
}

/* Strides through the space above the live mappings, as an I/O path's mappings do. */
static void map_unmap(int n)
{
	int failed = 0;

	for (int i = 0; i < n; i++) {
		uint64_t iova = ((uint64_t)(i % 50021) * 7919 % 50021 * 2 + 1) << 12;

		map(iova, (uintptr_t)memory, &failed);
		unmap(iova, &failed);
	}
	if (failed)
		abort();
}

static void register_load(int n)
{
	for (int i = 0; i < n; i++)
		(void)registers[1];
}

static void register_store(int n)
{
	for (int i = 0; i < n; i++)
		registers[1] = (uint32_t)i;
}

static void memory_load(int n)
{
	for (int i = 0; i < n; i++)
		(void)*(volatile uint32_t *)memory;
}

static void open_device(const char *address, const char *group_path)
{
	struct vfio_region_info bar = {.argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX};
	uint16_t command = 6;

	container = open("/dev/vfio/vfio", O_RDWR);
	need(container >= 0, "/dev/vfio/vfio");
	group = open(group_path, O_RDWR);
	need(group >= 0, group_path);
	need(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0, "SET_CONTAINER");
	need(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0, "SET_IOMMU");
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address);
	need(device >= 0, "GET_DEVICE_FD");
	need(pwrite(device, &command, 2, ((off_t)VFIO_PCI_CONFIG_REGION_INDEX << 40) + 4) == 2,
	     "command");
	need(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &bar) == 0, "REGION_INFO");
	registers = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)bar.offset);
	need(registers != MAP_FAILED, "mmap");
}

static void live_mappings(int n)
{
	int failed = 0;

	for (int i = 0; i < n; i++)
		map((uint64_t)i * 2 << 12, (uintptr_t)memory, &failed);
	need(!failed, "MAP_DMA");
}

int main(int argc, char **argv)
{
	null_fd = open("/dev/null", O_RDWR);
	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*memory = 1;
	if (argc > 1 && strcmp(argv[1], "alone") == 0) {
		measure("null_ioctl_alone", null_ioctl, 1000000);
		return 0;
	}
	measure("null_ioctl_before", null_ioctl, 1000000);
	open_device("0000:01:00.0", "/dev/vfio/0");
	measure("null_ioctl_after", null_ioctl, 1000000);
	measure("vfio_ioctl", vfio_ioctl, 5000000);
	live_mappings(1);
	measure("map_unmap_1", map_unmap, 2000000);
	for (int i = 0, failed = 0; i < 1; i++)
		unmap(0, &failed);
	live_mappings(60000);
	measure("map_unmap_60000", map_unmap, 1000000);
	measure("memory_load", memory_load, 50000000);
	measure("register_load", register_load, 100000);
	measure("register_store", register_store, 100000);
	return 0;
}
