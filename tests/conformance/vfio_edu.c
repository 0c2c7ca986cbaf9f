/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A second device: QEMU's `edu`, conventional PCI with MSI and INTx, and without power
 * management, PCI Express or a way to reset it alone.  And two groups in one container.
 *
 * In a kernel it first has to be bound to vfio-pci; where it is not there at all the areas
 * say so.
 */
#include "vfio.h"

#include <dirent.h>

static char bdf[64], group_path[300];
static int device;
static int events[4];

static bool read_id(const char *name, const char *file, unsigned *ret_id)
{
	char path[400], text[32];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", name, file);
	fd = open(path, O_RDONLY);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = 0;
	*ret_id = (unsigned)strtoul(text, NULL, 16);
	return true;
}

static void put_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		give_up(path, -errno);
	close(fd);
}

static void bind_it(void)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", bdf);
	if (access(path, F_OK) == 0)
		return;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", bdf);
	put_text(path, "vfio-pci");
	put_text("/sys/bus/pci/drivers_probe", bdf);
}

static void find_edu(void)
{
	char link[128], target[256];
	struct dirent *entry;
	ssize_t length;
	DIR *dir;

#ifdef CONFORMANCE_EMBEDDED
	strcpy(bdf, "0000:00:04.0");
	strcpy(group_path, "/dev/vfio/1");
	return;
#endif
	dir = opendir("/sys/bus/pci/devices");
	while (dir && (entry = readdir(dir))) {
		unsigned vendor, id;

		if (entry->d_name[0] != '.' && read_id(entry->d_name, "vendor", &vendor) &&
		    vendor == 0x1234 && read_id(entry->d_name, "device", &id) && id == 0x11e8)
			snprintf(bdf, sizeof(bdf), "%.60s", entry->d_name);
	}
	if (dir)
		closedir(dir);
	if (!*bdf)
		give_up("no edu device", -ENODEV);
	bind_it();
	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	length = readlink(link, target, sizeof(target) - 1);
	if (length < 0)
		give_up("readlink of iommu_group", -errno);
	target[length] = 0;
	snprintf(group_path, sizeof(group_path), "/dev/vfio/%s", strrchr(target, '/') + 1);
}

static void open_edu(struct vfio *v)
{
	find_edu();
	v->container = sys_open("/dev/vfio/vfio", O_RDWR);
	v->group = sys_open(group_path, O_RDWR);
	if (v->group < 0)
		give_up("open of edu's group", -errno);
	if (sys_ioctl(v->group, VFIO_GROUP_SET_CONTAINER, &v->container) ||
	    sys_ioctl(v->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		give_up("container", -errno);
	v->device = sys_ioctl(v->group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	if (v->device < 0)
		give_up("edu", -errno);
}

static void put(const char *name, unsigned offset, unsigned size, uint32_t value)
{
	long r = config_write(device, offset, size, value);

	say_text(name, "%#x -> %s, reads %#x", value, result_name(r),
		 config_read(device, offset, size));
}

/* MSI's control register, but for whether vectors can be masked, which edus differ in. */
static void put_control(const char *name, unsigned offset, unsigned size, uint32_t value)
{
	unsigned msi = config_capability(device, 5);
	uint32_t maskable = (uint32_t)((uint64_t)0x01000000 >> 8 * (offset - msi));
	long r = config_write(device, offset, size, value);

	say_text(name, "%#x -> %s, reads %#x", value, result_name(r),
		 config_read(device, offset, size) & ~maskable);
}

static void descriptions(void)
{
	struct vfio_device_info info = {.argsz = 16};
	uint64_t value = 0;

	say(result(sys_ioctl(device, VFIO_DEVICE_GET_INFO, &info)), "info");
	say_text("info", "flags=%#x regions=%u irqs=%u", info.flags, info.num_regions,
		 info.num_irqs);
	for (uint32_t index = 0; index < 9; index++) {
		struct {
			struct vfio_region_info info;
			struct vfio_info_cap_header cap;
		} r = {.info = {.argsz = sizeof(r), .index = index}};
		long e = result(sys_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &r));

		printf("edu.region.%u: %s argsz=%u flags=%#x size=%#llx cap_offset=%u\n", index,
		       result_name(e), r.info.argsz, r.info.flags, (unsigned long long)r.info.size,
		       r.info.cap_offset);
	}
	for (uint32_t index = 0; index < 5; index++) {
		struct vfio_irq_info i = {.argsz = sizeof(i), .index = index};
		long e = result(sys_ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &i));

		printf("edu.irq.%u: %s flags=%#x count=%u\n", index, result_name(e), i.flags,
		       i.count);
	}
	say(result(sys_pread(device, &value, 4, REGION(7) + 0xfc)), "config.last 4");
	say(result(sys_pread(device, &value, 4, REGION(7) + 0x100)), "config.end");
	say(result(sys_pread(device, &value, 8, REGION(7) + 0xfc)), "config.across the end");
}

static void configuration(void)
{
	struct text t = {.length = 0};
	unsigned msi = config_capability(device, 5);

	for (unsigned at = 0; at < 4; at++)
		text_add(&t, "%02x ", config_read(device, at, 1));
	for (unsigned at = 8; at < 16; at++)
		text_add(&t, "%02x ", config_read(device, at, 1));
	say_text("config.header", "%s", t.data);
	say_text("config.pin", "%u", config_read(device, 0x3d, 1));
	put("config.bar0", 0x10, 4, 0xffffffff);
	put("config.bar0", 0x10, 4, 0x12345678);
	put("config.bar1", 0x14, 4, 0xffffffff);
	say_text("config.capabilities", "pm %d msi %d pcie %d msix %d",
		 config_capability(device, 1) != 0, msi != 0, config_capability(device, 0x10) != 0,
		 config_capability(device, 0x11) != 0);
	if (!msi)
		return;
	say_text("msi.control", "%#x", config_read(device, msi + 2, 2) & ~0x100u);
	put_control("msi.control", msi + 2, 2, 0xffff);
	put_control("msi.control", msi + 2, 2, 0x0001);
	put_control("msi.control", msi + 2, 2, 0x0070);
	put_control("msi.control", msi + 2, 2, 0x0000);
	put_control("msi.control.low byte", msi + 2, 1, 0xff);
	put_control("msi.control.high byte", msi + 3, 1, 0xff);
	put_control("msi.control", msi + 2, 2, 0x0000);
	put_control("msi.control.with the id", msi, 4, 0xffffffff);
	put_control("msi.control.with the id", msi, 2, 0xffff);
	put_control("msi.control", msi + 2, 2, 0x0000);
	put("msi.address", msi + 4, 4, 0xffffffff);
	put("msi.address", msi + 4, 4, 0xfee01000);
	put("msi.address.byte", msi + 5, 1, 0xab);
	put("msi.address high", msi + 8, 4, 0xffffffff);
	put("msi.address high", msi + 8, 4, 0x00000000);
	put("msi.data", msi + 12, 2, 0xffff);
	put("msi.data", msi + 12, 2, 0x4021);
	put("msi.address", msi + 4, 4, 0x00000000);
}

static void say_signals(long r, const char *name)
{
	unsigned long n[4];

	for (unsigned i = 0; i < 4; i++)
		n[i] = eventfd_count(events[i]);
	say_text(name, "%s, signals %lu %lu %lu %lu", result_name(r), n[0], n[1], n[2], n[3]);
}

#define MSI     VFIO_PCI_MSI_IRQ_INDEX
#define INTX    VFIO_PCI_INTX_IRQ_INDEX
#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER

static void message_interrupts(void)
{
	unsigned msi = config_capability(device, 5);
	int none = -1;

	config_write(device, 4, 2, 6);
	say_signals(irq_none(device, MSI, 0, 1, TRIGGER), "msi.trigger when off");
	say_signals(irq_none(device, MSI, 0, 0, TRIGGER), "msi.disable when off");
	say_signals(irq_none(device, MSI, 0, 1, VFIO_IRQ_SET_ACTION_MASK), "msi.mask when off");
	say_signals(irq_eventfds(device, MSI, 0, 2, events), "msi.two of one");
	say_signals(irq_eventfds(device, MSI, 1, 1, events), "msi.second of one");
	say_signals(irq_eventfds(device, MSI, 0, 0, events), "msi.EVENTFD, count 0");
	say_signals(irq_eventfds(device, MSI, 0, 1, &none), "msi.set -1");
	say_signals(irq_none(device, MSI, 0, 1, TRIGGER), "msi.trigger");
	say_text("msi.control.on", "%#x command %#x", config_read(device, msi + 2, 2) & ~0x100u,
		 config_read(device, 4, 2));
	say_signals(irq_eventfds(device, MSI, 0, 1, events), "msi.set");
	say_signals(irq_none(device, MSI, 0, 1, TRIGGER), "msi.trigger");
	say_signals(irq_none(device, MSI, 0, 1, VFIO_IRQ_SET_ACTION_MASK), "msi.mask");
	say_signals(irq_none(device, MSI, 0, 1, VFIO_IRQ_SET_ACTION_UNMASK), "msi.unmask");
	say_signals(irq_eventfds(device, INTX, 0, 1, events), "msi.on, so INTx");
	put_control("msi.control.on", msi + 2, 2, 0x0000);
	put_control("msi.control.on", msi + 2, 2, 0xffff);
	say_signals(irq_none(device, MSI, 0, 1, TRIGGER), "msi.trigger");
	say_signals(irq_eventfds(device, MSI, 0, 1, events + 1), "msi.change");
	say_signals(irq_none(device, MSI, 0, 1, TRIGGER), "msi.trigger");
	say_signals(irq_none(device, MSI, 0, 0, TRIGGER), "msi.disable");
	say_text("msi.control.off", "%#x", config_read(device, msi + 2, 2) & ~0x100u);
	say_signals(irq_none(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 0, TRIGGER), "msix.disable");
	say_signals(irq_none(device, VFIO_PCI_ERR_IRQ_INDEX, 0, 0, TRIGGER), "err.clear");
	say_signals(irq_eventfds(device, VFIO_PCI_ERR_IRQ_INDEX, 0, 1, events), "err.set");
	say_signals(irq_eventfds(device, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, events), "req.set");
}

/* The device raises interrupts itself: a write to 0x60 raises, to 0x64 acknowledges. */
static void raise_interrupt(uint32_t value)
{
	say(result(sys_pwrite(device, &value, 4, 0x60)), "raise");
}

static void acknowledge(void)
{
	uint32_t status = 0;

	sys_pread(device, &status, 4, 0x24);
	say_text("status", "%#x", status);
	say(result(sys_pwrite(device, &status, 4, 0x64)), "acknowledge");
}

static unsigned long wait_for_signal(int fd)
{
	unsigned long n = 0;

	for (int i = 0; i < 1000 && !n; i++) {
		n = eventfd_count(fd);
		if (!n)
			usleep(1000);
	}
	return n;
}

static void real_interrupts(void)
{
	config_write(device, 4, 2, 6);
	say(irq_eventfds(device, MSI, 0, 1, events), "real.msi.set");
	raise_interrupt(1);
	say_text("real.msi.signals", "%lu", wait_for_signal(events[0]));
	acknowledge();
	raise_interrupt(2);
	say_text("real.msi.signals", "%lu", wait_for_signal(events[0]));
	acknowledge();
	say(irq_none(device, MSI, 0, 0, TRIGGER), "real.msi.disable");

	/* INTx masks itself until it is unmasked. */
	say(irq_eventfds(device, INTX, 0, 1, events + 1), "real.intx.set");
	raise_interrupt(1);
	say_text("real.intx.signals", "%lu", wait_for_signal(events[1]));
	usleep(20000);
	say_text("real.intx.signals while masked", "%lu", eventfd_count(events[1]));
	say(irq_none(device, INTX, 0, 1, VFIO_IRQ_SET_ACTION_UNMASK),
	    "real.intx.unmask, still raised");
	say_text("real.intx.signals", "%lu", wait_for_signal(events[1]));
	acknowledge();
	say(irq_none(device, INTX, 0, 1, VFIO_IRQ_SET_ACTION_UNMASK),
	    "real.intx.unmask, acknowledged");
	usleep(20000);
	say_text("real.intx.signals", "%lu", eventfd_count(events[1]));
	raise_interrupt(4);
	say_text("real.intx.signals", "%lu", wait_for_signal(events[1]));
	acknowledge();
	say(irq_none(device, INTX, 0, 0, TRIGGER), "real.intx.disable");
}

static void registers(void)
{
	uint32_t value = 0;

	say(result(sys_pread(device, &value, 4, 0)), "identification.read");
	say_text("identification", "%#x", value);
	value = 0x12345678;
	say(result(sys_pwrite(device, &value, 4, 4)), "liveness.write");
	say(result(sys_pread(device, &value, 4, 4)), "liveness.read");
	say_text("liveness", "%#x", value);
	value = 0;
	say(result(sys_pread(device, &value, 4, 0xffffc)), "last");
	say(result(sys_pread(device, &value, 4, 0x100000)), "end");
}

void area_edu(void)
{
	struct vfio v;

	open_edu(&v);
	device = v.device;
	for (unsigned i = 0; i < 4; i++)
		events[i] = eventfd(0, EFD_NONBLOCK);
	descriptions();
	configuration();
	message_interrupts();
	real_interrupts();
	registers();
	say(result(sys_ioctl(device, VFIO_DEVICE_RESET)), "reset");
	vfio_close(&v);
}

/* ---- Two groups ---- */

static long info_works(int container)
{
	struct vfio_iommu_type1_info info = {.argsz = 16};

	return result(sys_ioctl(container, VFIO_IOMMU_GET_INFO, &info));
}

void area_groups(void)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int second, second_device, other;
	uint64_t size = 4096;
	struct vfio v;

	find_edu();
	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	second = sys_open(group_path, O_RDWR);
	say_fd(result(second), "open");
	say_fd(result(sys_ioctl(second, VFIO_GROUP_GET_DEVICE_FD, bdf)),
	       "device without a container");
	say_fd(result(sys_ioctl(v.group, VFIO_GROUP_GET_DEVICE_FD, bdf)),
	       "device of the other group");
	say(map_dma(v.container, 0x10000, memory, 4096, RW), "map");
	say(result(sys_ioctl(second, VFIO_GROUP_SET_CONTAINER, &v.container)), "join");
	say(result(sys_ioctl(v.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)), "set_iommu");
	say(result(sys_ioctl(v.container, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU)), "coherent");
	second_device = sys_ioctl(second, VFIO_GROUP_GET_DEVICE_FD, bdf);
	say_fd(result(second_device), "device");
	say(result(sys_ioctl(second, VFIO_GROUP_UNSET_CONTAINER)), "unset.device open");
	sys_close(v.device);
	say(result(sys_ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER)), "unset.first");
	say(info_works(v.container), "info.one left");
	say(map_dma(v.container, 0x10000, memory, 4096, RW), "map.one left");
	say(unmap_dma(v.container, 0x10000, &size, 0), "unmap.one left");
	say_text("unmap.one left", "size=%llu", (unsigned long long)size);
	say_fd(result(sys_ioctl(v.group, VFIO_GROUP_GET_DEVICE_FD, vfio_bdf())),
	       "device.left group");
	other = sys_open("/dev/vfio/vfio", O_RDWR);
	say(result(sys_ioctl(v.group, VFIO_GROUP_SET_CONTAINER, &other)), "join another");
	say(result(sys_ioctl(other, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)), "set_iommu.another");
	v.device = sys_ioctl(v.group, VFIO_GROUP_GET_DEVICE_FD, vfio_bdf());
	say_fd(result(v.device), "device.another container");
	/* Two address spaces, so the same addresses are free. */
	say(map_dma(v.container, 0x10000, memory, 4096, RW), "map.first container");
	say(map_dma(other, 0x10000, memory, 4096, RW), "map.second container");
	sys_close(second_device);
	sys_close(second);
	say(info_works(v.container), "info.none left");
	say(info_works(other), "info.second container");
	sys_close(other);
	vfio_close(&v);
}
