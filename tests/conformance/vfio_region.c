/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Regions through pread and pwrite: widths, edges, the part that holds the MSI-X table,
 * memory switched off, and ioeventfds.
 */
#include "vfio.h"

#define BAR0   REGION(VFIO_PCI_BAR0_REGION_INDEX)
#define CONFIG REGION(VFIO_PCI_CONFIG_REGION_INDEX)

#define NVME_VS  0x08 /* version: 4 bytes, read-only */
#define NVME_AQA 0x24 /* admin queue attributes: 4 bytes */
#define NVME_ASQ 0x28 /* admin submission queue: 8 bytes, page aligned */

static void read_case(int device, const char *name, size_t size, off_t offset)
{
	unsigned char b[8192];

	memset(b, 0xa5, sizeof(b));
	say(result(sys_pread(device, b, size, offset)), "read.%s", name);
}

/* Where there is anything to read, and how much. */
static void extents(int device)
{
	for (int index = 0; index < 9; index++) {
		struct text t = {.length = 0};
		uint64_t value = 0;
		char name[32];

		text_add(&t, "read=%s",
			 result_name(result(sys_pread(device, &value, 4, REGION(index)))));
		if (index != VFIO_PCI_BAR0_REGION_INDEX && index != VFIO_PCI_CONFIG_REGION_INDEX)
			text_add(&t, " write=%s",
				 result_name(result(sys_pwrite(device, &value, 4, REGION(index)))));
		text_add(&t, " nothing=%s",
			 result_name(result(sys_pread(device, &value, 0, REGION(index)))));
		text_add(&t, " to nowhere=%s",
			 result_name(result(sys_pread(device, NOWHERE, 4, REGION(index)))));
		snprintf(name, sizeof(name), "extent.%d", index);
		say_text(name, "%s", t.data);
	}
	read_case(device, "region 9", 4, REGION(9));
	read_case(device, "region 9, nothing", 0, REGION(9));
	read_case(device, "region 100", 4, REGION(100));
	read_case(device, "region 2^22", 4, REGION(1 << 22));
	read_case(device, "offset -1", 4, -1);
	read_case(device, "offset 2^63-1", 4, INT64_MAX);
	read_case(device, "bar0 last 4", 4, BAR0 + 0x3ffc);
	read_case(device, "bar0 last 4 of 8", 8, BAR0 + 0x3ffc);
	read_case(device, "bar0 last 1 of 4", 4, BAR0 + 0x3fff);
	read_case(device, "bar0 end", 4, BAR0 + 0x4000);
	read_case(device, "bar0 end, nothing", 0, BAR0 + 0x4000);
	read_case(device, "bar0 far beyond", 4, BAR0 + 0x100000000);
	read_case(device, "bar0 all but table", 0x2000, BAR0);
	read_case(device, "config last 4", 4, CONFIG + 0xffc);
	read_case(device, "config last 4 of 8", 8, CONFIG + 0xffc);
	read_case(device, "config last 1 of 4", 4, CONFIG + 0xfff);
	read_case(device, "config end", 4, CONFIG + 0x1000);
	read_case(device, "config end, nothing", 0, CONFIG + 0x1000);
	read_case(device, "config all", 4096, CONFIG);
	read_case(device, "config all and more", 4097, CONFIG);
	read_case(device, "config 256", 256, CONFIG);
	read_case(device, "config 3 at 1", 3, CONFIG + 1);
}

static void widths(int device)
{
	uint8_t whole[16], parts[16];

	say(result(sys_pread(device, whole, 16, BAR0)), "width.16");
	for (unsigned width = 1; width <= 8; width *= 2) {
		bool same = true;

		for (unsigned at = 0; at < 16; at += width)
			same = same &&
			       sys_pread(device, parts + at, width, BAR0 + at) == (ssize_t)width;
		same = same && memcmp(whole, parts, 12) == 0;
		printf("region.width.%u: %s\n", width, same ? "same" : "different");
	}
	for (unsigned at = 1; at < 8; at++) {
		memset(parts, 0, sizeof(parts));
		long r = result(sys_pread(device, parts, 5, BAR0 + at));

		printf("region.5 at %u: %s %s\n", at, result_name(r),
		       memcmp(parts, whole + at, 5) == 0 ? "same" : "different");
	}
	say_text("version", "%#x", *(uint32_t *)(whole + NVME_VS));
}

static void writes(int device)
{
	uint32_t value = 0x000f000f, back = 0, two[2] = {0};
	uint64_t address = 0x123456789000, address_back = 0;

	say(result(sys_pwrite(device, &value, 4, BAR0 + NVME_AQA)), "write.4");
	say(result(sys_pread(device, &back, 4, BAR0 + NVME_AQA)), "write.4.read");
	say_text("write.4.value", "%#x", back);
	say(result(sys_pwrite(device, &address, 8, BAR0 + NVME_ASQ)), "write.8");
	say(result(sys_pread(device, &address_back, 8, BAR0 + NVME_ASQ)), "write.8.read");
	say_text("write.8.value", "%#llx", (unsigned long long)address_back);
	value = 0xabcd0000;
	say(result(sys_pwrite(device, &value, 4, BAR0 + NVME_ASQ)), "write.low half");
	say(result(sys_pread(device, &address_back, 8, BAR0 + NVME_ASQ)), "write.low half.read");
	say_text("write.low half.value", "%#llx", (unsigned long long)address_back);
	value = 0xffffffff;
	say(result(sys_pwrite(device, &value, 4, BAR0 + NVME_VS)), "write.read-only register");
	say(result(sys_pread(device, &back, 4, BAR0 + NVME_VS)), "write.read-only register.read");
	say_text("write.read-only register.value", "%#x", back);
	say(result(sys_pwrite(device, null_pointer, 4, BAR0 + NVME_AQA)), "write.NULL");
	say(result(sys_pwrite(device, edge(2, NULL), 4, BAR0 + NVME_AQA)), "write.edge(2)");
	say(result(sys_pwrite(device, &value, 4, BAR0 + 0x4000)), "write.end");
	say(result(sys_pwrite(device, null_pointer, 4, BAR0 + 0x4000)), "write.end.NULL");
	say(result(sys_pwrite(device, two, 8, BAR0 + 0x3ffc)), "write.last 4 of 8");
	say(result(sys_pread(device, null_pointer, 4, BAR0)), "read.NULL");
	say(result(sys_pread(device, edge(2, NULL), 4, BAR0)), "read.edge(2)");
	say(result(sys_pread(device, edge(4, NULL), 8, BAR0)), "read.edge(4)");
	say(result(sys_pread(device, edge(8, NULL), 12, BAR0)), "read.8 of 12");
	say(result(sys_pread(device, (void *)read_only(4, &value), 4, BAR0)), "read.read-only");
	say(result(sys_pread(device, null_pointer, 4, CONFIG)), "config.read.NULL");
	say(result(sys_pread(device, edge(2, NULL), 4, CONFIG)), "config.read.edge(2)");
	say(result(sys_pwrite(device, null_pointer, 4, CONFIG + 4)), "config.write.NULL");
	say(result(sys_pwrite(device, null_pointer, 4, CONFIG + 0x1000)), "config.write.end.NULL");
	say(result(sys_pwrite(device, &value, 4, CONFIG + 0x1000)), "config.write.end");
	say(result(sys_pwrite(device, null_pointer, 4, CONFIG)),
	    "config.write.read-only part.NULL");
}

/* The MSI-X table reads as ones and swallows writes; the rest of its pages does not. */
static void table(int device)
{
	uint8_t b[0x420];
	uint32_t zero = 0, word = 0;
	size_t ones = 0;

	say(result(sys_pread(device, b, 0x410, BAR0 + 0x2000)), "table.read");
	for (size_t i = 0; i < 0x410; i++)
		ones += b[i] == 0xff;
	say_text("table.ones", "%#zx", ones);
	say(result(sys_pwrite(device, &zero, 4, BAR0 + 0x2000)), "table.write");
	say(result(sys_pread(device, &word, 4, BAR0 + 0x2000)), "table.read back");
	say_text("table.value", "%#x", word);
	say(result(sys_pwrite(device, null_pointer, 4, BAR0 + 0x2000)), "table.write.NULL");
	say(result(sys_pread(device, null_pointer, 4, BAR0 + 0x2000)), "table.read.NULL");
	memset(b, 0, sizeof(b));
	say(result(sys_pread(device, b, 16, BAR0 + 0x1ff8)), "table.into");
	say_text("table.into", "%s", b[8] == 0xff && b[15] == 0xff ? "ones behind" : "other");
	memset(b, 0x5a, sizeof(b));
	say(result(sys_pread(device, b, 16, BAR0 + 0x2408)), "table.out of");
	say_text("table.out of", "%02x %02x %02x %02x", b[0], b[7], b[8], b[15]);
	say(result(sys_pread(device, b, 16, BAR0 + 0x3000)), "pending");
	say_text("pending", "%02x %02x", b[0], b[8]);
	say(result(sys_pread(device, b, 6, BAR0 + 0x1ffd)), "table.into by 3");
	say_text("table.into by 3", "%02x %02x %02x", b[3], b[4], b[5]);
}

static void memory_off(int device)
{
	uint32_t value = 0;

	config_write(device, 4, 2, 0x0000);
	say(result(sys_pread(device, &value, 4, BAR0)), "off.read");
	say(result(sys_pwrite(device, &value, 4, BAR0 + NVME_AQA)), "off.write");
	say(result(sys_pread(device, null_pointer, 4, BAR0)), "off.read.NULL");
	say(result(sys_pwrite(device, null_pointer, 4, BAR0)), "off.write.NULL");
	say(result(sys_pread(device, &value, 0, BAR0)), "off.nothing");
	say(result(sys_pread(device, &value, 4, BAR0 + 0x4000)), "off.end");
	say(result(sys_pread(device, &value, 4, BAR0 + 0x2000)), "off.table");
	say(result(sys_pread(device, &value, 4, BAR0 + 0x1ffe)), "off.into table");
	say(result(sys_pread(device, &value, 4, REGION(1))), "off.bar1");
	say(result(sys_pread(device, &value, 4, CONFIG)), "off.config");
	config_write(device, 4, 2, 0x0002);
	say(result(sys_pread(device, &value, 4, BAR0)), "on.read");
	config_write(device, 4, 1, 0x00);
	say(result(sys_pread(device, &value, 4, BAR0)), "off by a byte.read");
	config_write(device, 4, 4, 0x0006);
	say(result(sys_pread(device, &value, 4, BAR0)), "on by four.read");
}

/* Without an offset, the file's position: it begins in BAR 0 and moves. */
static void position(int device)
{
	uint32_t first = 0, second = 0, third = 0, at[3] = {0};

	sys_pread(device, at, 12, BAR0);
	say(result(sys_read(device, &first, 4)), "position.read");
	say(result(sys_read(device, &second, 4)), "position.read");
	sys_pread(device, &third, 4, CONFIG);
	say(result(sys_read(device, &third, 4)), "position.read");
	say_text("position", "%d %d %d", first == at[0], second == at[1], third == at[2]);
	say(result(sys_read(device, null_pointer, 4)), "position.read.NULL");
	say(result(sys_read(device, &first, 0)), "position.read.nothing");
	say(result(sys_read(device, null_pointer, 0)), "position.read.NULL.nothing");
}

void area_region(void)
{
	struct vfio v;

	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	position(v.device);
	config_write(v.device, 4, 2, 6);
	extents(v.device);
	widths(v.device);
	writes(v.device);
	table(v.device);
	memory_off(v.device);
	vfio_close(&v);
}

/* ---- VFIO_DEVICE_IOEVENTFD ---- */

static void ioeventfd(int device, const char *name, uint32_t argsz, uint32_t flags, uint64_t offset,
		      uint64_t data, int32_t fd)
{
	struct vfio_device_ioeventfd i = {
		.argsz = argsz, .flags = flags, .offset = offset, .data = data, .fd = fd};

	say(result(sys_ioctl(device, VFIO_DEVICE_IOEVENTFD, &i)), "%s", name);
}

static uint32_t wait_for(int device, off_t offset, uint32_t value)
{
	uint32_t now = 0;

	for (int i = 0; i < 2000; i++) {
		if (sys_pread(device, &now, 4, BAR0 + offset) == 4 && now == value)
			break;
		usleep(1000);
	}
	return now;
}

void area_ioeventfd(void)
{
	int event = eventfd(0, EFD_NONBLOCK), other = eventfd(0, EFD_NONBLOCK);
	int closed = NO_DESCRIPTOR, not_event = dup(1), made = 0;
	struct vfio_device_ioeventfd good = {
		.argsz = 32, .flags = 4, .offset = NVME_AQA, .fd = event};
	uint64_t one = 1;
	struct vfio v;

	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	config_write(v.device, 4, 2, 6);
	say(result(sys_ioctl(v.device, VFIO_DEVICE_IOEVENTFD, NULL)), "NULL");
	say(result(sys_ioctl(v.device, VFIO_DEVICE_IOEVENTFD, edge(27, &good))), "edge(27)");
	ioeventfd(v.device, "argsz=0", 0, 4, NVME_AQA, 1, event);
	ioeventfd(v.device, "argsz=27", 27, 4, NVME_AQA, 1, event);
	ioeventfd(v.device, "flags=0", 32, 0, NVME_AQA, 1, event);
	ioeventfd(v.device, "flags=16", 32, 16, NVME_AQA, 1, event);
	ioeventfd(v.device, "flags=20", 32, 20, NVME_AQA, 1, event);
	ioeventfd(v.device, "flags=3", 32, 3, NVME_AQA, 1, event);
	ioeventfd(v.device, "flags=15", 32, 15, NVME_AQA, 1, event);
	ioeventfd(v.device, "fd=-2", 32, 4, NVME_AQA, 1, -2);
	ioeventfd(v.device, "fd=-1", 32, 4, NVME_AQA, 1, -1);
	ioeventfd(v.device, "closed fd", 32, 4, NVME_AQA, 1, closed);
	ioeventfd(v.device, "not an eventfd", 32, 4, NVME_AQA, 1, not_event);
	ioeventfd(v.device, "fd=-2, flags=0", 32, 0, NVME_AQA, 1, -2);
	ioeventfd(v.device, "bar0 end", 32, 4, 0x4000, 1, event);
	ioeventfd(v.device, "bar0 end, fd=-1", 32, 4, 0x4000, 1, -1);
	ioeventfd(v.device, "bar0 across the end", 32, 4, 0x3ffe, 1, event);
	ioeventfd(v.device, "bar1", 32, 4, REGION(1), 1, event);
	ioeventfd(v.device, "rom", 32, 4, REGION(6), 1, event);
	ioeventfd(v.device, "config", 32, 4, CONFIG, 1, event);
	ioeventfd(v.device, "table", 32, 4, 0x2000, 1, event);
	ioeventfd(v.device, "table's end", 32, 4, 0x240c, 1, event);
	ioeventfd(v.device, "into the table", 32, 4, 0x1ffe, 1, event);
	ioeventfd(v.device, "table, not an eventfd", 32, 4, 0x2000, 1, not_event);
	ioeventfd(v.device, "good", 32, 4, NVME_AQA, 0x00070007, event);
	ioeventfd(v.device, "again", 32, 4, NVME_AQA, 0x00070007, event);
	ioeventfd(v.device, "again, other eventfd", 32, 4, NVME_AQA, 0x00070007, other);
	ioeventfd(v.device, "again, closed fd", 32, 4, NVME_AQA, 0x00070007, closed);
	ioeventfd(v.device, "other size", 32, 2, NVME_AQA, 0x00070007, event);
	ioeventfd(v.device, "other data", 32, 4, NVME_AQA, 0x00030003, other);
	ioeventfd(v.device, "other size removed", 32, 2, NVME_AQA, 0x00070007, -1);
	say(write(event, &one, 8), "signal");
	say_text("register", "%#x", wait_for(v.device, NVME_AQA, 0x00070007));
	say_text("eventfd after it", "%lu", eventfd_count(event));
	say(write(other, &one, 8), "other signal");
	say_text("register", "%#x", wait_for(v.device, NVME_AQA, 0x00030003));
	ioeventfd(v.device, "remove", 32, 4, NVME_AQA, 0x00070007, -1);
	ioeventfd(v.device, "remove again", 32, 4, NVME_AQA, 0x00070007, -1);
	say(write(event, &one, 8), "signal after removal");
	usleep(20000);
	say_text("register", "%#x", wait_for(v.device, NVME_AQA, 0x00030003));
	say_text("eventfd after it", "%lu", eventfd_count(event));
	ioeventfd(v.device, "remove other", 32, 4, NVME_AQA, 0x00030003, -1);
	for (; made < 2000; made++) {
		struct vfio_device_ioeventfd i = {
			.argsz = 32, .flags = 4, .offset = 0x1000, .data = made, .fd = event};

		if (sys_ioctl(v.device, VFIO_DEVICE_IOEVENTFD, &i))
			break;
	}
	say_text("most", "%d %s", made, result_name(-errno));
	ioeventfd(v.device, "when full, closed fd", 32, 4, NVME_AQA, 1, closed);
	ioeventfd(v.device, "when full, again", 32, 4, 0x1000, 0, event);
	vfio_close(&v);
	close(event);
	close(other);
	close(not_event);
}
