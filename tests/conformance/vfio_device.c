/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device's descriptions of itself (device, region and interrupt information), the
 * features, and the resets.
 */
#include "vfio.h"

/* How far the kernel wrote: the last byte that is no longer 0xa5. */
static size_t written(const void *buffer, size_t size)
{
	const unsigned char *b = buffer;

	while (size && b[size - 1] == 0xa5)
		size--;
	return size;
}

static void device_info(int device)
{
	static const uint32_t sizes[] = {0, 8, 15, 16, 17, 19, 20, 23, 24, 40, 4096, UINT32_MAX};
	struct {
		uint32_t argsz, flags, num_regions, num_irqs, cap_offset, pad;
		unsigned char rest[64];
	} b;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(&b, 0xa5, sizeof(b));
		b.argsz = sizes[i];
		long r = result(sys_ioctl(device, VFIO_DEVICE_GET_INFO, &b));

		say_text("info",
			 "argsz=%u %s argsz=%u flags=%#x regions=%u irqs=%u cap_offset=%#x "
			 "written=%zu",
			 sizes[i], result_name(r), b.argsz, b.flags, b.num_regions, b.num_irqs,
			 b.cap_offset, r ? 0 : written(&b, sizeof(b)));
	}
	b.argsz = 16;
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_INFO, NULL)), "info.NULL");
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_INFO, edge(16, &b))), "info.edge(16)");
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_INFO, edge(15, &b))), "info.edge(15)");
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_INFO, read_only(16, &b))), "info.read-only");
	b.argsz = 24;
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_INFO, edge(16, &b))),
	    "info.edge(16).argsz=24");
	b.argsz = 3;
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_INFO, edge(15, &b))), "info.edge(15).argsz=3");
}

struct region_buffer {
	struct vfio_region_info info;
	unsigned char rest[64];
};

static void region_info(int device)
{
	static const uint32_t sizes[] = {0, 31, 32, 33, 39, 40, 41, 96};
	static const uint32_t indexes[] = {9, 10, 100, 0x80000000, UINT32_MAX};
	struct region_buffer b;

	for (uint32_t index = 0; index < 10; index++) {
		memset(&b, 0xa5, sizeof(b));
		b.info.argsz = sizeof(b);
		b.info.index = index;
		long r = result(sys_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &b));
		struct text t = {.length = 0};

		if (!r && b.info.flags & VFIO_REGION_INFO_FLAG_CAPS) {
			uint32_t offset = b.info.cap_offset;

			for (int i = 0; offset && offset < sizeof(b) && i < 4; i++) {
				struct vfio_info_cap_header *h = (void *)((char *)&b + offset);

				text_add(&t, " cap %u/%u@%u", h->id, h->version, offset);
				offset = h->next;
			}
		}
		say_text("region",
			 "%u %s argsz=%u flags=%#x index=%u cap_offset=%#x size=%#llx offset=%#llx "
			 "written=%zu%s",
			 index, result_name(r), b.info.argsz, b.info.flags, b.info.index,
			 b.info.cap_offset, (unsigned long long)b.info.size,
			 (unsigned long long)b.info.offset, written(&b, sizeof(b)), t.data);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(&b, 0xa5, sizeof(b));
		b.info.argsz = sizes[i];
		b.info.index = 0;
		long r = result(sys_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &b));

		say_text("region.bar0", "argsz=%u %s argsz=%u flags=%#x cap_offset=%#x written=%zu",
			 sizes[i], result_name(r), b.info.argsz, b.info.flags, b.info.cap_offset,
			 r ? 0 : written(&b, sizeof(b)));
		b.info.argsz = sizes[i];
		b.info.index = 100;
		say(result(sys_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &b)),
		    "region.100.argsz=%u", sizes[i]);
		b.info.argsz = sizes[i];
		b.info.index = VFIO_PCI_VGA_REGION_INDEX;
		say(result(sys_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &b)),
		    "region.vga.argsz=%u", sizes[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(indexes); i++) {
		b.info.argsz = 32;
		b.info.index = indexes[i];
		say(result(sys_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &b)), "region.index=%u",
		    indexes[i]);
	}
	b.info.argsz = 32;
	b.info.index = 0;
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, NULL)), "region.NULL");
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, edge(32, &b))),
	    "region.edge(32)");
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, edge(31, &b))),
	    "region.edge(31)");
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, read_only(32, &b))),
	    "region.read-only");
	b.info.argsz = 40;
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, edge(32, &b))),
	    "region.edge(32).argsz=40");
	b.info.index = 100;
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, edge(31, &b))),
	    "region.100.edge(31)");
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, read_only(32, &b))),
	    "region.100.read-only");
}

static void irq_info(int device)
{
	static const uint32_t indexes[] = {0, 1, 2, 3, 4, 5, 6, 100, 0x80000000, UINT32_MAX};
	static const uint32_t sizes[] = {0, 15, 16, 17, 4096};
	struct vfio_irq_info info;

	for (size_t i = 0; i < ARRAY_SIZE(indexes); i++) {
		memset(&info, 0xa5, sizeof(info));
		info.argsz = sizeof(info);
		info.index = indexes[i];
		long r = result(sys_ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &info));

		say_text("irq", "%u %s argsz=%u flags=%#x index=%u count=%#x", indexes[i],
			 result_name(r), info.argsz, info.flags, info.index, info.count);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		info = (struct vfio_irq_info){.argsz = sizes[i]};
		say(result(sys_ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &info)), "irq.argsz=%u",
		    sizes[i]);
		say_text("irq", "argsz=%u then", info.argsz);
		info.index = 5;
		say(result(sys_ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &info)), "irq.5.argsz=%u",
		    sizes[i]);
	}
	info = (struct vfio_irq_info){.argsz = 16};
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, NULL)), "irq.NULL");
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, edge(16, &info))), "irq.edge(16)");
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, edge(15, &info))), "irq.edge(15)");
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, read_only(16, &info))),
	    "irq.read-only");
}

static void other_commands(int device)
{
	struct text t = {.length = 0};

	for (unsigned nr = 98; nr < 132; nr++) {
		if (nr == VFIO_BASE + 11)
			continue; /* RESET */
		text_add_run(&t, result_name(result(sys_ioctl(device, _IO(VFIO_TYPE, nr), NULL))));
	}
	text_end_run(&t);
	say_text("commands", "%s", t.data + 1);
	t.length = 0;
	text_add(&t, "0=%s", result_name(result(sys_ioctl(device, 0, NULL))));
	text_add(&t, " ~0=%s", result_name(result(sys_ioctl(device, 0xffffffffu, NULL))));
	text_add(
		&t, " _IOW=%s",
		result_name(result(sys_ioctl(device, _IOW(VFIO_TYPE, VFIO_BASE + 11, int), NULL))));
	say_text("foreign", "%s", t.data);
	say(result(sys_ioctl(device, 0x100000000UL | VFIO_DEVICE_GET_INFO, NULL)), "info+2^32");
}

static void cdev_commands(int device)
{
	uint32_t bind[8] = {sizeof(bind)};

	say(result(sys_ioctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO + 6, bind)),
	    "bind_iommufd");
	bind[0] = 3;
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO + 6, bind)),
	    "bind_iommufd.short");
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO + 7, bind)), "attach_pt");
	say(result(sys_ioctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO + 8, bind)), "detach_pt");
}

void area_device(void)
{
	struct vfio v;

	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	device_info(v.device);
	region_info(v.device);
	irq_info(v.device);
	other_commands(v.device);
	cdev_commands(v.device);
	vfio_close(&v);
}

/* ---- VFIO_DEVICE_FEATURE ---- */

static long feature(int device, uint32_t argsz, uint32_t flags, uint32_t first)
{
	uint32_t b[32] = {argsz, flags, first};

	return result(sys_ioctl(device, VFIO_DEVICE_FEATURE, b));
}

#define GET   VFIO_DEVICE_FEATURE_GET
#define SET   VFIO_DEVICE_FEATURE_SET
#define PROBE VFIO_DEVICE_FEATURE_PROBE

void area_feature(void)
{
	static const struct {
		uint32_t flags;
		const char *name;
	} ways[] = {{PROBE, "PROBE"},
		    {PROBE | GET, "PROBE|GET"},
		    {PROBE | SET, "PROBE|SET"},
		    {PROBE | GET | SET, "PROBE|GET|SET"},
		    {0, "0"},
		    {GET, "GET"},
		    {SET, "SET"},
		    {GET | SET, "GET|SET"}};
	static const uint32_t ids[] = {0, 1,  2,  3,  4,  5,  6,  7,   8,
				       9, 10, 11, 12, 13, 14, 15, 255, 0xffff};
	uint32_t header[2] = {8, PROBE};
	struct vfio v;

	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		struct text t = {.length = 0};

		for (size_t w = 0; w < ARRAY_SIZE(ways); w++) {
			text_add(&t, " %s=%s", ways[w].name,
				 result_name(feature(v.device, 8, ids[i] | ways[w].flags, 0)));
			text_add(&t, "/%s",
				 result_name(feature(v.device, 100, ids[i] | ways[w].flags, 0)));
			feature(v.device, 8, VFIO_DEVICE_FEATURE_LOW_POWER_EXIT | SET, 0);
		}
		printf("feature.%u:%s\n", ids[i], t.data);
	}
	say(feature(v.device, 0, PROBE, 0), "argsz=0");
	say(feature(v.device, 7, PROBE | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, 0), "argsz=7");
	say(feature(v.device, 7, 1u << 20, 0), "argsz=7, flag unknown");
	say(feature(v.device, 8, 1u << 19 | PROBE, 0), "flag 2^19");
	say(feature(v.device, 8, 1u << 31 | PROBE, 0), "flag 2^31");
	say(feature(v.device, 8, 1u << 19 | 0xffff, 0), "flag 2^19, id unknown");
	say(feature(v.device, 8, GET | SET | 0xffff, 0), "GET|SET, id unknown");
	say(result(sys_ioctl(v.device, VFIO_DEVICE_FEATURE, NULL)), "NULL");
	say(result(sys_ioctl(v.device, VFIO_DEVICE_FEATURE, edge(8, header))), "edge(8)");
	say(result(sys_ioctl(v.device, VFIO_DEVICE_FEATURE, edge(7, header))), "edge(7)");
	header[0] = 7;
	say(result(sys_ioctl(v.device, VFIO_DEVICE_FEATURE, edge(7, header))), "edge(7).argsz=7");

	/* Low power: entered once, left by EXIT or by any other call. */
	say(feature(v.device, 8, SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, 0), "low power.entry");
	say(feature(v.device, 8, SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, 0),
	    "low power.entry again");
	say_text("low power", "vendor %#x", config_read(v.device, 0, 2));
	say(feature(v.device, 8, SET | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, 0), "low power.exit");
	say(feature(v.device, 8, SET | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, 0),
	    "low power.exit again");
	vfio_close(&v);
}

/* ---- RESET ---- */

static void hot_reset(struct vfio *v)
{
	uint32_t info[16] = {0};
	int32_t reset[8] = {12};

	say(result(sys_ioctl(v->device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, NULL)),
	    "hot_info.NULL");
	say(result(sys_ioctl(v->device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, edge(11, info))),
	    "hot_info.edge(11)");
	info[0] = 11;
	say(result(sys_ioctl(v->device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, info)),
	    "hot_info.argsz=11");
	info[0] = 12;
	say(result(sys_ioctl(v->device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, info)),
	    "hot_info.argsz=12");
	say_text("hot_info", "argsz=%u flags=%u count=%u", info[0], info[1], info[2]);
	info[0] = sizeof(info);
	info[1] = 0xa5a5a5a5;
	say(result(sys_ioctl(v->device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, info)), "hot_info");
	say_text("hot_info", "argsz=%u flags=%#x count=%u", info[0], info[1], info[2]);
	say(result(sys_ioctl(v->device, VFIO_DEVICE_PCI_HOT_RESET, NULL)), "hot_reset.NULL");
	reset[0] = 11;
	say(result(sys_ioctl(v->device, VFIO_DEVICE_PCI_HOT_RESET, reset)), "hot_reset.argsz=11");
	reset[0] = 16;
	reset[1] = 1;
	say(result(sys_ioctl(v->device, VFIO_DEVICE_PCI_HOT_RESET, reset)), "hot_reset.flags=1");
	reset[1] = 0;
	reset[2] = 0;
	say(result(sys_ioctl(v->device, VFIO_DEVICE_PCI_HOT_RESET, reset)), "hot_reset.count=0");
	reset[2] = 1;
	reset[3] = -1;
	say(result(sys_ioctl(v->device, VFIO_DEVICE_PCI_HOT_RESET, reset)), "hot_reset.fd=-1");
	reset[3] = v->device;
	say(result(sys_ioctl(v->device, VFIO_DEVICE_PCI_HOT_RESET, reset)), "hot_reset.the device");
	reset[3] = v->group;
	say(result(sys_ioctl(v->device, VFIO_DEVICE_PCI_HOT_RESET, reset)), "hot_reset.the group");
	reset[2] = 2;
	reset[4] = v->group;
	say(result(sys_ioctl(v->device, VFIO_DEVICE_PCI_HOT_RESET, reset)), "hot_reset.count=2");
	reset[2] = 1000;
	say(result(sys_ioctl(v->device, VFIO_DEVICE_PCI_HOT_RESET, reset)), "hot_reset.count=1000");
}

void area_reset(void)
{
	uint32_t value, bars[2];
	int event = eventfd(0, EFD_NONBLOCK);
	struct vfio v;

	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	say(result(sys_ioctl(v.device, VFIO_DEVICE_RESET)), "reset");
	say(result(sys_ioctl(v.device, VFIO_DEVICE_RESET, NOWHERE)), "reset.with an argument");

	/* What survives. */
	bars[0] = config_read(v.device, 0x10, 4);
	bars[1] = config_read(v.device, 0x14, 4);
	config_write(v.device, 4, 2, 0x0506);
	config_write(v.device, 0x0c, 1, 0x08);
	config_write(v.device, 0x3c, 1, 0x07);
	value = 0x00460000; /* NVMe's CC: entry sizes, not enabled */
	say(result(sys_pwrite(v.device, &value, 4, 0x14)), "register written");
	value = 0;
	say(result(sys_pread(v.device, &value, 4, 0x14)), "register read");
	say_text("register", "%#x", value);
	say(result(sys_ioctl(v.device, VFIO_DEVICE_RESET)), "reset");
	say_text("command", "%#x", config_read(v.device, 4, 2));
	say_text("cache line", "%#x", config_read(v.device, 0x0c, 1));
	say_text("interrupt line", "%#x", config_read(v.device, 0x3c, 1));
	say_text("bars kept", "%d",
		 bars[0] == config_read(v.device, 0x10, 4) &&
			 bars[1] == config_read(v.device, 0x14, 4));
	say(result(sys_pread(v.device, &value, 4, 0x14)), "register read");
	say_text("register", "%#x", value);
	config_write(v.device, 0x10, 4, 0x12344000);
	say(result(sys_ioctl(v.device, VFIO_DEVICE_RESET)), "reset.BAR rewritten");
	say_text("bar0", "%#x", config_read(v.device, 0x10, 4));

	/* With memory off. */
	config_write(v.device, 4, 2, 0);
	say(result(sys_ioctl(v.device, VFIO_DEVICE_RESET)), "reset.memory off");
	say_text("command", "%#x", config_read(v.device, 4, 2));
	config_write(v.device, 4, 2, 6);

	/* Interrupts stay set up. */
	say(irq_eventfds(v.device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &event), "irq.set");
	say(result(sys_ioctl(v.device, VFIO_DEVICE_RESET)), "irq.reset");
	say(irq_none(v.device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, VFIO_IRQ_SET_ACTION_TRIGGER),
	    "irq.trigger");
	say_text("irq.signals", "%lu", eventfd_count(event));
	say(irq_none(v.device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 0, VFIO_IRQ_SET_ACTION_TRIGGER),
	    "irq.disable");
	hot_reset(&v);
	vfio_close(&v);
	close(event);
}
