/* SPDX-License-Identifier: BSD-3-Clause */
/* The device file: information, regions, mmap, configuration space, resets. */
#include "vfio_fixture.h"

#include <linux/pci_regs.h>
#include <sys/mman.h>

#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX

static unsigned capability(uint8_t id)
{
	unsigned at = config_read(PCI_CAPABILITY_LIST, 1);

	while (at && config_read(at, 1) != id)
		at = config_read(at + 1, 1);
	assert_int_not_equal(at, 0);
	return at;
}

static void device_info(void **state)
{
	struct {
		struct vfio_device_info info;
		uint32_t pad; /* part of the structure since 6.6 */
		uint32_t guard;
	} s = {.info.argsz = 15, .guard = 7};

	assert_int_equal(ctl(device, VFIO_DEVICE_GET_INFO, NULL), -EFAULT);
	assert_int_equal(ctl(device, VFIO_DEVICE_GET_INFO, &s), -EINVAL);
	s.info.argsz = 16;
	s.info.cap_offset = 9;
	assert_int_equal(ctl(device, VFIO_DEVICE_GET_INFO, &s), 0);
	assert_int_equal(s.info.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	assert_int_equal(s.info.num_regions, 9);
	assert_int_equal(s.info.num_irqs, 5);
	assert_int_equal(s.info.cap_offset, 9); /* behind argsz */
	s.info.argsz = sizeof(s);
	assert_int_equal(ctl(device, VFIO_DEVICE_GET_INFO, &s), 0);
	assert_int_equal(s.info.cap_offset, 0);
	assert_int_equal(s.guard, 7);
	assert_int_equal(ctl_value(device, _IO(';', 199), 0), -ENOTTY);
	assert_int_equal(ctl(device, VFIO_DEVICE_QUERY_GFX_PLANE, &s), -ENOTTY);
	assert_int_equal(ctl(device, VFIO_DEVICE_GET_GFX_DMABUF, &s), -ENOTTY);
	assert_int_equal(ctl(device, VFIO_DEVICE_BIND_IOMMUFD, &s), -EINVAL);
	assert_int_equal(ctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &s), -ENOTTY);
	assert_int_equal(ctl(device, VFIO_MIG_GET_PRECOPY_INFO, &s), -ENOTTY);
}

static void region_info(void **state)
{
	static const struct {
		uint32_t flags;
		uint64_t size;
	} expect[] = {
		{15, PROBE_BAR_SIZE}, {0, 0}, {3, 0x100}, {7, 0x800},
		{7, 0x1000},          {0, 0}, {0, 0},     {3, 4096},
	};
	struct {
		struct vfio_region_info info;
		struct vfio_info_cap_header cap;
	} r;
	uint32_t i;

	assert_int_equal(ctl(device, VFIO_DEVICE_GET_REGION_INFO, NULL), -EFAULT);
	r.info.argsz = 31;
	assert_int_equal(ctl(device, VFIO_DEVICE_GET_REGION_INFO, &r), -EINVAL);
	for (i = 0; i < 8; i++) {
		memset(&r, 0, sizeof(r));
		r.info.argsz = sizeof(r);
		r.info.index = i;
		assert_int_equal(ctl(device, VFIO_DEVICE_GET_REGION_INFO, &r), 0);
		assert_int_equal(r.info.flags, expect[i].flags);
		assert_int_equal(r.info.size, expect[i].size);
		assert_int_equal(r.info.offset, (uint64_t)i << 40);
		assert_int_equal(r.info.cap_offset, i ? 0 : 32);
	}
	for (; i < 12; i++) {
		r.info.index = i;
		assert_int_equal(ctl(device, VFIO_DEVICE_GET_REGION_INFO, &r), -EINVAL);
	}
	memset(&r, 0, sizeof(r));
	r.info.argsz = sizeof(r);
	assert_int_equal(ctl(device, VFIO_DEVICE_GET_REGION_INFO, &r), 0);
	assert_int_equal(r.cap.id, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE);
	assert_int_equal(r.cap.version, 1);
	assert_int_equal(r.cap.next, 0);
	r.info.argsz = 32;
	assert_int_equal(ctl(device, VFIO_DEVICE_GET_REGION_INFO, &r), 0);
	assert_int_equal(r.info.argsz, 40);
	assert_int_equal(r.info.cap_offset, 0);
	assert_int_equal(r.info.flags, 15);
}

static void mmap_withdrawn(void **state)
{
	struct vfio_region_info r = {.argsz = sizeof(r)};
	int other = standin_open("/dev/vfio/1", O_RDWR), second;

	assert_int_equal(ctl(other, VFIO_GROUP_SET_CONTAINER, &container), 0);
	second = (int)ctl(other, VFIO_GROUP_GET_DEVICE_FD, (void *)"0000:01:00.1");
	assert_int_equal(ctl(second, VFIO_DEVICE_GET_REGION_INFO, &r), 0);
	assert_int_equal(r.flags, 3);
	assert_ptr_equal(standin_mmap(NULL, 4096, PROT_READ, MAP_SHARED, second, 0), MAP_FAILED);
	assert_int_equal(errno, EINVAL);
	standin_close(second);
	standin_close(other);
}

static int map_error(size_t size, int protection, int flags, off_t offset)
{
	void *p = standin_mmap(NULL, size, protection, flags, device, offset);

	if (p != MAP_FAILED) {
		standin_munmap(p, size);
		return 0;
	}
	return errno;
}

static void mmap_failures(void **state)
{
	const int rw = PROT_READ | PROT_WRITE;

	assert_int_equal(map_error(0, rw, MAP_SHARED, 0), EINVAL);
	assert_int_equal(map_error(4096, rw, MAP_PRIVATE, 0), EINVAL);
	assert_int_equal(map_error(4096, rw, 0, 0), EINVAL);
	assert_int_equal(map_error(4096, rw | PROT_EXEC, MAP_SHARED, 0), EPERM);
	assert_int_equal(map_error(4096, rw, MAP_SHARED, 1), EINVAL);
	assert_int_equal(map_error(PROBE_BAR_SIZE + 1, rw, MAP_SHARED, 0), EINVAL);
	assert_int_equal(map_error(4096, rw, MAP_SHARED, PROBE_BAR_SIZE), EINVAL);
	assert_int_equal(map_error(0x8000, rw, MAP_SHARED, 0), EINVAL);
	assert_int_equal(map_error(4096, rw, MAP_SHARED, REGION(1)), EINVAL);
	assert_int_equal(map_error(4096, rw, MAP_SHARED, REGION(2)), EINVAL); /* I/O ports */
	assert_int_equal(map_error(4096, rw, MAP_SHARED, REGION(6)), EINVAL);
	assert_int_equal(map_error(4096, rw, MAP_SHARED, REGION(CONFIG)), EINVAL);
	assert_int_equal(map_error(4096, rw, MAP_SHARED, REGION(9)), EINVAL);
	assert_int_equal(map_error(4096, rw, MAP_SHARED, REGION(0x400)), EINVAL);
	/* Containers and groups can't be mapped at all. */
	assert_ptr_equal(standin_mmap(NULL, 4096, PROT_READ, MAP_SHARED, group, 0), MAP_FAILED);
	assert_int_equal(errno, ENODEV);
}

/* Memory, which needs no fault handler. */
static char *map_bar4(void)
{
	char *p = standin_mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, device, REGION(4));

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static void mapping_keeps_device(void **state)
{
	char *p = map_bar4(), value;

	p[7] = 42;
	assert_int_equal(region_read(4, 7, &value, 1), 1);
	assert_int_equal(value, 42);
	standin_close(device);
	standin_close(group);
	device = group = -1;
	p[8] = 43;
	assert_int_equal(standin_open("/dev/vfio/0", O_RDWR), -1);
	assert_int_equal(errno, EBUSY);
	assert_int_equal(standin_munmap(p, 4096), 0);
	group = standin_open("/dev/vfio/0", O_RDWR);
	assert_true(group >= 0);
}

static void stopped_while_mapped(void **state)
{
	char *p = map_bar4();

	stop_instance(state);
	assert_int_equal(standin_munmap(p, 4096), 0);
	start_instance(state);
}

static void bar_access(void **state)
{
	struct probe *p = probes[0];
	uint8_t b[64];
	uint32_t value = 0x11223344;
	unsigned i;

	p->reads = 0;
	assert_int_equal(region_read(0, 0x10, b, 16), 16); /* two of 8 */
	assert_int_equal(p->reads, 2);
	for (i = 0; i < 16; i++)
		assert_int_equal(b[i], 0x10 + i);
	p->reads = 0;
	assert_int_equal(region_read(0, 0x11, b, 14), 14); /* 1, 2, 4, 4, 2, 1: 8 does not fit */
	assert_int_equal(p->reads, 6);
	assert_int_equal(region_write(0, 0x1004, &value, 4), 4);
	assert_int_equal(p->last_offset, 0x1004);
	assert_int_equal(p->last_size, 4);
	assert_int_equal(p->last_value, value);
	/* Ends. */
	assert_int_equal(region_read(0, PROBE_BAR_SIZE - 4, b, 16), 4);
	assert_int_equal(region_read(0, PROBE_BAR_SIZE, b, 1), -EINVAL);
	assert_int_equal(region_read(1, 0, b, 1), -EINVAL);
	assert_int_equal(region_read(6, 0, b, 1), -EINVAL);
	assert_int_equal(region_write(6, 0, b, 1), -EINVAL);
	assert_int_equal(region_read(8, 0, b, 1), -EINVAL);
	assert_int_equal(region_read(9, 0, b, 1), -EINVAL);
	assert_int_equal(region_read(9, 0, b, 0), 0);
	assert_int_equal(region_read(0, 0, NULL, 4), -EFAULT);
	assert_int_equal(region_write(0, 0, NULL, 4), -EFAULT);
}

static void msix_table_is_hidden(void **state)
{
	struct probe *p = probes[0];
	uint8_t b[64];
	uint64_t zero = 0;
	unsigned i;

	p->reads = p->writes = 0;
	assert_int_equal(region_read(0, PROBE_TABLE - 8, b, 64), 64);
	assert_int_equal(p->reads, 1);
	for (i = 8; i < 64; i++)
		assert_int_equal(b[i], 0xff);
	assert_int_equal(region_write(0, PROBE_TABLE, &zero, 8), 8);
	assert_int_equal(p->writes, 0);
	assert_int_equal(region_read(0, PROBE_TABLE + PROBE_VECTORS * 16 - 4, b, 8), 8);
	assert_int_equal(b[3], 0xff);
	assert_int_equal(b[4], 0); /* the rest of the table's page is plain memory */
}

static void memory_disable(void **state)
{
	uint8_t b[4];

	config_write(PCI_COMMAND, 2, PCI_COMMAND_IO);
	assert_int_equal(region_read(0, 0, b, 4), -EIO);
	assert_int_equal(region_write(0, 0, b, 4), -EIO);
	assert_int_equal(region_read(0, PROBE_TABLE, b, 4), 4); /* the hidden table isn't touched */
	assert_int_equal(region_read(2, 0, b, 4), 4);           /* ports have a bit of their own */
	config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(region_read(0, 0, b, 4), 4);
	/* D3hot switches memory off as well. */
	config_write(capability(PCI_CAP_ID_PM) + PCI_PM_CTRL, 2, 3);
	assert_int_equal(config_read(capability(PCI_CAP_ID_PM) + PCI_PM_CTRL, 2) & 3, 3);
	assert_int_equal(region_read(0, 0, b, 4), -EIO);
	assert_int_equal(ctl(device, VFIO_DEVICE_RESET, NULL), 0);
	assert_int_equal(region_read(0, 0, b, 4), 4);
}

static void config_bounds(void **state)
{
	uint8_t b[8192];
	unsigned at;

	assert_int_equal(region_read(CONFIG, 0, b, 4096), 4096);
	assert_int_equal(region_read(CONFIG, 1, b, 4096), -EFAULT);
	assert_int_equal(region_read(CONFIG, 4096, b, 1), -EFAULT);
	assert_int_equal(region_write(CONFIG, 4095, b, 2), -EFAULT);
	assert_int_equal(region_read(CONFIG, 0, b, 0), 0);
	assert_int_equal(region_read(CONFIG, 0, NULL, 4), -EFAULT);
	assert_int_equal(region_write(CONFIG, 4, NULL, 4), -EFAULT);
	/* Any width at any place gives the same bytes. */
	for (at = 0; at + 7 < 256; at++) {
		uint8_t one[7];

		assert_int_equal(region_read(CONFIG, at, one, 7), 7);
		assert_memory_equal(one, b + at, 7);
	}
}

static void config_header(void **state)
{
	unsigned at;

	assert_int_equal(config_read(PCI_VENDOR_ID, 4), 0x56781234);
	config_write(PCI_VENDOR_ID, 4, 0);
	assert_int_equal(config_read(PCI_VENDOR_ID, 4), 0x56781234);
	assert_int_equal(config_read(PCI_COMMAND, 2), 0x103);
	config_write(PCI_COMMAND, 2, 0xffff);
	assert_int_equal(config_read(PCI_COMMAND, 2), 0x507);
	config_write(PCI_COMMAND, 2, 0);
	assert_int_equal(config_read(PCI_COMMAND, 2), 0);
	config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(probes[0]->command, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(config_read(PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
	config_write(PCI_INTERRUPT_LINE, 1, 77);
	assert_int_equal(config_read(PCI_INTERRUPT_LINE, 1), 77);
	config_write(PCI_INTERRUPT_PIN, 1, 3);
	assert_int_equal(config_read(PCI_INTERRUPT_PIN, 1), 1);
	config_write(PCI_CLASS_REVISION, 4, 0);
	assert_int_equal(config_read(PCI_CLASS_REVISION, 4) >> 8, 0x010802);
	for (at = PCI_CAPABILITY_LIST; at < PCI_INTERRUPT_LINE; at++) {
		uint32_t before = config_read(at, 1);

		config_write(at, 1, ~before);
		assert_int_equal(config_read(at, 1), before);
	}
}

static void bar_sizing(void **state)
{
	config_write(PCI_BASE_ADDRESS_0, 4, 0xffffffff);
	config_write(PCI_BASE_ADDRESS_1, 4, 0xffffffff);
	assert_int_equal(config_read(PCI_BASE_ADDRESS_0, 4), 0xffffc004);
	assert_int_equal(config_read(PCI_BASE_ADDRESS_1, 4), 0xffffffff);
	config_write(PCI_BASE_ADDRESS_0, 4, 0xfebf1234);
	assert_int_equal(config_read(PCI_BASE_ADDRESS_0, 4), 0xfebf0004);
	config_write(PCI_BASE_ADDRESS_2, 4, 0xffffffff);
	assert_int_equal(config_read(PCI_BASE_ADDRESS_2, 4), 0xffffff01);
	config_write(PCI_BASE_ADDRESS_3, 4, 0xffffffff);
	assert_int_equal(config_read(PCI_BASE_ADDRESS_3, 4), 0xfffff800);
	config_write(PCI_BASE_ADDRESS_5, 4, 0xffffffff);
	assert_int_equal(config_read(PCI_BASE_ADDRESS_5, 4), 0);
	config_write(PCI_ROM_ADDRESS, 4, 0xffffffff);
	assert_int_equal(config_read(PCI_ROM_ADDRESS, 4), 0);
	/* Byte by byte it comes to the same. */
	config_write(PCI_BASE_ADDRESS_0 + 3, 1, 0x12);
	assert_int_equal(config_read(PCI_BASE_ADDRESS_0, 4), 0x12bf0004);
}

static void capabilities(void **state)
{
	unsigned pm = capability(PCI_CAP_ID_PM), msi = capability(PCI_CAP_ID_MSI);
	unsigned msix = capability(PCI_CAP_ID_MSIX), express = capability(PCI_CAP_ID_EXP);
	const unsigned caps[] = {pm, msi, msix, express};
	int fd = eventfd(0, 0);
	uint32_t flags;
	unsigned i;

	for (i = 0; i < 4; i++) {
		uint32_t before = config_read(caps[i], 2);

		config_write(caps[i], 2, ~before);
		assert_int_equal(config_read(caps[i], 2), before);
	}
	/* PM: D1 and D2 aren't there. */
	config_write(pm + PCI_PM_CTRL, 2, 1);
	assert_int_equal(config_read(pm + PCI_PM_CTRL, 2) & 3, 0);
	config_write(pm + PCI_PM_CTRL, 2, 0x8100);
	assert_int_equal(config_read(pm + PCI_PM_CTRL, 2) & 0x8100, 0);

	/* MSI: address and data are the driver's; enable only while SET_IRQS has enabled it. */
	config_write(msi + PCI_MSI_ADDRESS_LO, 4, 0xfee01000);
	assert_int_equal(config_read(msi + PCI_MSI_ADDRESS_LO, 4), 0xfee01000);
	config_write(msi + PCI_MSI_DATA_64, 2, 0x4041);
	assert_int_equal(config_read(msi + PCI_MSI_DATA_64, 2), 0x4041);
	flags = config_read(msi + PCI_MSI_FLAGS, 2);
	assert_int_equal(flags & PCI_MSI_FLAGS_QMASK, 2 << 1);
	config_write(msi + PCI_MSI_FLAGS, 2, flags | PCI_MSI_FLAGS_ENABLE | 2 << 4);
	assert_int_equal(config_read(msi + PCI_MSI_FLAGS, 2), flags);
	assert_int_equal(set_irqs(VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				  VFIO_PCI_MSI_IRQ_INDEX, 0, 2, (int[]){fd, fd}, 8),
			 0);
	config_write(msi + PCI_MSI_FLAGS, 2, flags | PCI_MSI_FLAGS_ENABLE | 2 << 4);
	assert_int_equal(config_read(msi + PCI_MSI_FLAGS, 2),
			 flags | PCI_MSI_FLAGS_ENABLE | 1 << 4);
	assert_int_equal(set_irqs(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
				  VFIO_PCI_MSI_IRQ_INDEX, 0, 0, NULL, 0),
			 0);

	/* MSI-X: read-only, and shows whether it is enabled. */
	assert_int_equal(config_read(msix + PCI_MSIX_FLAGS, 2), PROBE_VECTORS - 1);
	config_write(msix + PCI_MSIX_FLAGS, 2, 0xffff);
	assert_int_equal(config_read(msix + PCI_MSIX_FLAGS, 2), PROBE_VECTORS - 1);
	assert_int_equal(set_irqs(VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				  VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &fd, 4),
			 0);
	assert_int_equal(config_read(msix + PCI_MSIX_FLAGS, 2), 0x8000 | (PROBE_VECTORS - 1));
	assert_int_equal(config_read(msix + PCI_MSIX_TABLE, 4), PROBE_TABLE);

	/* Express: payload and read request sizes are virtual. */
	config_write(express + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_PHANTOM);
	assert_int_equal(config_read(express + PCI_EXP_DEVCTL, 2), PCI_EXP_DEVCTL_PAYLOAD);
	close(fd);
}

static void function_level_reset(void **state)
{
	unsigned at = capability(PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL, resets = probes[0]->resets;

	config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	config_write(PCI_BASE_ADDRESS_0, 4, 0xfebf0000);
	config_write(at, 2, PCI_EXP_DEVCTL_BCR_FLR);
	assert_int_equal(probes[0]->resets, resets + 1);
	assert_int_equal(config_read(at, 2) & PCI_EXP_DEVCTL_BCR_FLR, 0);
	/* The configuration space is restored. */
	assert_int_equal(config_read(PCI_COMMAND, 2), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(config_read(PCI_BASE_ADDRESS_0, 4), 0xfebf0004);
	assert_int_equal(ctl(device, VFIO_DEVICE_RESET, NULL), 0);
	assert_int_equal(probes[0]->resets, resets + 2);
	assert_int_equal(probes[0]->command, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void hot_reset(void **state)
{
	struct {
		struct vfio_pci_hot_reset_info head;
		struct vfio_pci_dependent_device devices[3];
	} info = {.head.argsz = 11};
	struct {
		struct vfio_pci_hot_reset head;
		int32_t fds[3];
	} reset = {.head.argsz = 11};
	unsigned resets = probes[0]->resets;
	int other;

	assert_int_equal(ctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &info), -EINVAL);
	info.head.argsz = sizeof(info.head) + sizeof(info.devices[0]);
	assert_int_equal(ctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &info), -ENOSPC);
	assert_int_equal(info.head.count, 2);
	info.head.argsz = sizeof(info);
	assert_int_equal(ctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &info), 0);
	assert_int_equal(info.head.count, 2);
	assert_int_equal(info.devices[0].group_id, 0);
	assert_int_equal(info.devices[1].group_id, 1);
	assert_int_equal(info.devices[1].bus, 1);
	assert_int_equal(info.devices[1].devfn, 1);

	assert_int_equal(ctl(device, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	reset.head.argsz = sizeof(reset);
	reset.head.flags = 1;
	assert_int_equal(ctl(device, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	reset.head.flags = 0;
	assert_int_equal(ctl(device, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL); /* no groups */
	reset.head.count = 3;
	assert_int_equal(ctl(device, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	reset.head.count = 1;
	reset.fds[0] = 4711;
	assert_int_equal(ctl(device, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EBADF);
	reset.fds[0] = container;
	assert_int_equal(ctl(device, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	reset.fds[0] = group;
	assert_int_equal(ctl(device, VFIO_DEVICE_PCI_HOT_RESET, &reset),
			 -EINVAL); /* one is missing */
	other = standin_open("/dev/vfio/1", O_RDWR);
	reset.fds[1] = other;
	reset.head.count = 2;
	assert_int_equal(probes[0]->resets, resets);
	assert_int_equal(ctl(device, VFIO_DEVICE_PCI_HOT_RESET, &reset), 0);
	assert_int_equal(probes[0]->resets, resets + 1);
	standin_close(other);
}

static void closing_forgets(void **state)
{
	config_write(PCI_BASE_ADDRESS_0, 4, 0xfebf0000);
	config_write(PCI_COMMAND, 2, 0x407);
	standin_close(device);
	assert_int_equal(probes[0]->command, 0);
	device = (int)ctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)DEVICE_NAME);
	assert_int_equal(config_read(PCI_COMMAND, 2), 0x103);
	assert_int_not_equal(config_read(PCI_BASE_ADDRESS_0, 4), 0xfebf0004);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(device_info, open_device),
		T(region_info, open_device),
		T(mmap_withdrawn, open_device),
		T(mmap_failures, open_device),
		T(mapping_keeps_device, open_device),
		T(stopped_while_mapped, open_device),
		T(bar_access, open_device),
		T(msix_table_is_hidden, open_device),
		T(memory_disable, open_device),
		T(config_bounds, open_device),
		T(config_header, open_device),
		T(bar_sizing, open_device),
		T(capabilities, open_device),
		T(function_level_reset, open_device),
		T(hot_reset, open_device),
		T(closing_forgets, open_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
