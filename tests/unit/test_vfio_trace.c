/* SPDX-License-Identifier: BSD-3-Clause */
/* What a trace says of VFIO calls: each decoder, and arguments that can't be read. */
#include "vfio_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/trace.h"

static char path[] = "/tmp/standin-trace-XXXXXX";

static int open_traced(void **state)
{
	open_device(state);
	strcpy(path, "/tmp/standin-trace-XXXXXX");
	close(mkstemp(path));
	return trace_start(path);
}

static int stop_traced(void **state)
{
	trace_stop();
	stop_instance(state);
	return unlink(path);
}

/* Makes the call and looks for `text` in the line it left. */
static void expect(const char *text, int fd, unsigned long command, void *arg)
{
	static char line[4096];
	char last[4096] = "";
	FILE *f;

	ctl(fd, command, arg);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		strcpy(last, line);
	fclose(f);
	if (!strstr(last, text))
		fail_msg("\"%s\" is not in: %s", text, last);
}

static void containers_and_groups(void **state)
{
	static char page[4096] __attribute__((aligned(4096)));
	struct vfio_iommu_type1_info info = {.argsz = 16};
	struct vfio_iommu_type1_dma_map map = {sizeof(map), 3, (uintptr_t)page, 0x10000, 4096};
	struct vfio_iommu_type1_dma_unmap unmap = {sizeof(unmap), 2, 0, 0};
	struct vfio_iommu_type1_dirty_bitmap dirty = {sizeof(dirty), 5};
	struct vfio_group_status status = {.argsz = 8};
	int bad = 4711;

	expect("VFIO_GET_API_VERSION) = 0 <", container, VFIO_GET_API_VERSION, NULL);
	expect("VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR) = 1", container, VFIO_CHECK_EXTENSION,
	       (void *)VFIO_UPDATE_VADDR);
	expect("VFIO_CHECK_EXTENSION, 77) = 0", container, VFIO_CHECK_EXTENSION, (void *)77);
	expect("VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU) = -1 EINVAL", container, VFIO_SET_IOMMU,
	       (void *)VFIO_TYPE1_IOMMU);
	expect("{argsz=120, flags=PGSIZES|CAPS, iova_pgsizes=0x40201000}) = 0", container,
	       VFIO_IOMMU_GET_INFO, &info);
	expect("VFIO_IOMMU_GET_INFO, 0x8) = -1 EFAULT", container, VFIO_IOMMU_GET_INFO, (void *)8);
	expect("flags=READ|WRITE, vaddr=0x", container, VFIO_IOMMU_MAP_DMA, &map);
	expect("iova=0x10000, size=0x1000}) = -1 EEXIST", container, VFIO_IOMMU_MAP_DMA, &map);
	expect("{argsz=24, flags=ALL, iova=0, size=0x1000}) = 0", container, VFIO_IOMMU_UNMAP_DMA,
	       &unmap);
	expect("flags=START|GET_BITMAP}) = -1 EINVAL", container, VFIO_IOMMU_DIRTY_PAGES, &dirty);
	expect("{argsz=8, flags=VIABLE|CONTAINER_SET}) = 0", group, VFIO_GROUP_GET_STATUS, &status);
	expect("VFIO_GROUP_SET_CONTAINER, [4711]) = -1 EBADF", group, VFIO_GROUP_SET_CONTAINER,
	       &bad);
	expect("VFIO_GROUP_UNSET_CONTAINER) = -1 EBUSY", group, VFIO_GROUP_UNSET_CONTAINER, NULL);
	expect("VFIO_GROUP_GET_DEVICE_FD, \"elsewhere\") = -1 ENODEV", group,
	       VFIO_GROUP_GET_DEVICE_FD, (void *)"elsewhere");
	expect("VFIO_GROUP_GET_DEVICE_FD, 0x8) = -1 EFAULT", group, VFIO_GROUP_GET_DEVICE_FD,
	       (void *)8);
}

static void devices(void **state)
{
	struct vfio_device_info info = {.argsz = 16};
	struct vfio_region_info region = {.argsz = sizeof(region)};
	struct vfio_irq_info irq = {.argsz = sizeof(irq), .index = 1};
	struct {
		struct vfio_irq_set set;
		int fds[10];
	} set = {{sizeof(set), 36, 2, 0, 10}, {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1}};
	struct vfio_pci_hot_reset reset = {.argsz = sizeof(reset)};
	struct vfio_device_ioeventfd event = {28, 4, 0x1000, 0xabcd, -1};
	struct vfio_device_feature feature = {8, 1 | VFIO_DEVICE_FEATURE_PROBE};

	expect("{argsz=16, flags=RESET|PCI, num_regions=9, num_irqs=5}) = 0", device,
	       VFIO_DEVICE_GET_INFO, &info);
	expect("{argsz=40, index=0, flags=READ|WRITE|MMAP|CAPS, size=0x4000, offset=0}) = 0",
	       device, VFIO_DEVICE_GET_REGION_INFO, &region);
	expect("{argsz=16, index=1, flags=EVENTFD|NORESIZE, count=4}) = 0", device,
	       VFIO_DEVICE_GET_IRQ_INFO, &irq);
	expect("flags=DATA_EVENTFD|ACTION_TRIGGER, index=2, start=0, count=10, "
	       "[-1, -1, -1, -1, -1, -1, -1, -1, ...]}) = 0",
	       device, VFIO_DEVICE_SET_IRQS, &set);
	expect("VFIO_DEVICE_RESET) = 0", device, VFIO_DEVICE_RESET, NULL);
	expect("{argsz=12, flags=0, count=0}) = -1 EINVAL", device, VFIO_DEVICE_PCI_HOT_RESET,
	       &reset);
	expect("offset=0x1000, data=0xabcd, fd=-1}) = -1 ENODEV", device, VFIO_DEVICE_IOEVENTFD,
	       &event);
	expect("{argsz=8, feature=MIGRATION, flags=PROBE}) = -1 ENOTTY", device,
	       VFIO_DEVICE_FEATURE, &feature);
	feature.flags = 99 | VFIO_DEVICE_FEATURE_GET;
	expect("feature=99, flags=GET}) = -1 ENOTTY", device, VFIO_DEVICE_FEATURE, &feature);
	expect("0x3bc7, 0) = -1 ENOTTY", device, _IO(';', 199), NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(containers_and_groups, open_traced, stop_traced),
		cmocka_unit_test_setup_teardown(devices, open_traced, stop_traced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
