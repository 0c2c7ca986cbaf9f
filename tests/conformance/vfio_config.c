/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space: what the kernel lets through, what it keeps for itself and what it
 * hides.  Every byte is written with ones and with zeros and what sticks is printed, per
 * capability and relative to its start, since where a device puts its capabilities is its
 * own affair.  So are the addresses in the BARs and the interrupt line's number.
 */
#include "vfio.h"

#define CONFIG REGION(VFIO_PCI_CONFIG_REGION_INDEX)

static int device;

static uint32_t get(unsigned offset, unsigned size)
{
	return config_read(device, offset, size);
}

static void put(const char *name, unsigned offset, unsigned size, uint32_t value)
{
	long r = config_write(device, offset, size, value);

	if (name)
		say_text(name, "%#x -> %s, reads %#x", value, result_name(r), get(offset, size));
}

/* For each unit of [start, start + size): the bits that follow what is written. */
static void what_sticks(const char *name, unsigned start, unsigned size, unsigned width)
{
	uint32_t ones = width == 4 ? ~0u : (1u << 8 * width) - 1;
	struct text t = {.length = 0};
	bool restored = true;

	for (unsigned at = start; at + width <= start + size; at += width) {
		uint32_t before = get(at, width), high, low;
		char word[64];

		config_write(device, at, width, ones);
		high = get(at, width);
		config_write(device, at, width, 0);
		low = get(at, width);
		config_write(device, at, width, before);
		restored = restored && get(at, width) == before;
		snprintf(word, sizeof(word), "%0*x", 2 * (int)width, high ^ low);
		text_add_run(&t, word);
	}
	text_end_run(&t);
	printf("config.%s.writable by %u:%s%s\n", name, width, t.data,
	       restored ? "" : ", not restored");
}

static void header(void)
{
	uint32_t pointer = get(0x34, 1);
	struct text t = {.length = 0};

	say_text("command.at first", "%#x", get(4, 2) & 6);
	put(NULL, 4, 2, 0);
	for (unsigned at = 0; at < 0x10; at++)
		text_add(&t, "%02x ", get(at, 1));
	say_text("header.00", "%s", t.data);
	t.length = 0;
	for (unsigned at = 0x28; at < 0x34; at++)
		text_add(&t, "%02x ", get(at, 1));
	say_text("header.28", "%s", t.data);
	say_text("header.pin", "%u", get(0x3d, 1));
	say_text("header.grant and latency", "%#x", get(0x3e, 2));
	say_text("header.reserved", "%#x %#x %#x", get(0x35, 1), get(0x36, 2), get(0x38, 4));
	say_text("bar0", "type bits %#x, aligned %d, placed %d", get(0x10, 4) & 15,
		 (get(0x10, 4) & 0x3ff0) == 0, get(0x10, 4) > 15 || get(0x14, 4) > 0);
	for (unsigned i = 2; i < 6; i++)
		printf("config.bar%u: %#x\n", i, get(0x10 + 4 * i, 4));

	what_sticks("header.00", 0x00, 0x10, 1);
	what_sticks("header.00", 0x00, 0x10, 2);
	what_sticks("header.00", 0x00, 0x10, 4);
	what_sticks("header.18", 0x18, 0x28, 1);
	what_sticks("header.18", 0x18, 0x28, 2);
	what_sticks("header.18", 0x18, 0x28, 4);
	say_text("header.pointer", "kept %d", get(0x34, 1) == pointer && pointer);
	put("line", 0x3c, 1, 0x5a);
	put("line", 0x3c, 1, 0xff);
	put("line", 0x3c, 1, 0x00);
}

static void command_register(void)
{
	for (unsigned bit = 0; bit < 16; bit++) {
		put(NULL, 4, 2, 0);
		put(NULL, 4, 2, 1u << bit);
		printf("config.command.bit %u: %#x\n", bit, get(4, 2));
	}
	put("command", 4, 2, 0xffff);
	put("command", 4, 2, 0x0000);
	put("command.low byte", 4, 1, 0xff);
	put("command.high byte", 5, 1, 0xff);
	put("command.low byte", 4, 1, 0x00);
	say_text("command", "%#x", get(4, 2));
	put("command and status", 4, 4, 0xffffffff);
	put("command and status", 4, 4, 0x00000006);
	put("status", 6, 2, 0xffff);
	put("status", 6, 2, 0x0000);
}

/* Base address registers: sized by ones, moved, written in pieces. */
static void base_addresses(void)
{
	uint32_t before[6];

	for (unsigned i = 0; i < 6; i++)
		before[i] = get(0x10 + 4 * i, 4);
	for (unsigned i = 0; i < 6; i++) {
		put(NULL, 0x10 + 4 * i, 4, 0xffffffff);
		printf("config.bar%u.ones: %#x\n", i, get(0x10 + 4 * i, 4));
	}
	for (unsigned i = 0; i < 6; i++) {
		put(NULL, 0x10 + 4 * i, 4, 0);
		printf("config.bar%u.zeros: %#x\n", i, get(0x10 + 4 * i, 4));
	}
	put("bar0.moved", 0x10, 4, 0x12345678);
	put("bar0.byte 0", 0x10, 1, 0xff);
	put("bar0.byte 1", 0x11, 1, 0xff);
	put("bar0.byte 2", 0x12, 1, 0xff);
	put("bar0.word 2", 0x12, 2, 0xabcd);
	say_text("bar0", "%#x", get(0x10, 4));
	say_text("bar0.in bytes", "%02x %02x %02x %02x", get(0x10, 1), get(0x11, 1), get(0x12, 1),
		 get(0x13, 1));
	put("bar1.moved", 0x14, 4, 0x9abcdef0);
	put("rom", 0x30, 4, 0xffffffff);
	put("rom", 0x30, 4, 0xfffff800);
	put("rom", 0x30, 4, 0);
	for (unsigned i = 0; i < 6; i++)
		put(NULL, 0x10 + 4 * i, 4, before[i]);
	say_text("bar0.restored", "%d", get(0x10, 4) == before[0]);
	/* What is written there is for the reader alone: the registers stay reachable. */
	put(NULL, 4, 2, 6);
	put(NULL, 0x10, 4, 0);
	{
		uint32_t version = 0;

		say(result(sys_pread(device, &version, 4, REGION(0) + 8)), "bar0.elsewhere.read");
		say_text("bar0.elsewhere.version", "%#x", version);
	}
	put(NULL, 0x10, 4, before[0]);
}

static unsigned capability_size(uint8_t id, unsigned offset)
{
	switch (id) {
	case 0x01:
		return 8;
	case 0x05:
		return 10 + (get(offset + 2, 2) & 0x80 ? 4 : 0) +
		       (get(offset + 2, 2) & 0x100 ? 10 : 0);
	case 0x10:
		return (get(offset + 2, 2) & 15) > 1 ? 0x3c : 0x24;
	case 0x11:
		return 12;
	}
	return 2;
}

static const char *capability_name(uint8_t id)
{
	switch (id) {
	case 0x01:
		return "pm";
	case 0x05:
		return "msi";
	case 0x10:
		return "pcie";
	case 0x11:
		return "msix";
	}
	return "other";
}

/*
 * Of PCI Express only what the kernel or the specification decides: most of the control
 * bits are the device's own.
 */
static void express(unsigned offset)
{
	uint32_t before = get(offset + 8, 2), high, low;

	say_text("pcie", "version %u, function level reset %u", get(offset + 2, 2) & 15,
		 get(offset + 4, 4) >> 28 & 1);
	what_sticks("pcie", offset, 8, 1);
	what_sticks("pcie", offset, 8, 2);
	what_sticks("pcie", offset, 8, 4);
	config_write(device, offset + 8, 2, 0x7fff);
	high = get(offset + 8, 2);
	config_write(device, offset + 8, 2, 0);
	low = get(offset + 8, 2);
	say_text("pcie.control", "payload and request size %#x, phantom functions %#x",
		 (high ^ low) & 0x70e0, (high ^ low) & 0x0200);
	config_write(device, offset + 8, 2, before);
	what_sticks("pcie.link capabilities", offset + 12, 4, 4);
	what_sticks("pcie.slot and root", offset + 20, 16, 4);
	what_sticks("pcie.capabilities 2", offset + 36, 4, 4);
}

static void capabilities(void)
{
	static const uint8_t order[] = {0x01, 0x05, 0x10, 0x11};
	uint8_t taken[256] = {0};
	unsigned n = 0, reading = 0;

	memset(taken, 1, 0x40);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		unsigned offset = config_capability(device, order[i]);
		struct text t = {.length = 0};
		const char *name = capability_name(order[i]);
		char label[32];

		snprintf(label, sizeof(label), "%s.there", name);
		say_text(label, "%d", offset != 0);
		if (!offset)
			continue;
		n++;
		memset(taken + offset, 1, capability_size(order[i], offset));
		if (order[i] == 0x10) {
			express(offset);
			continue;
		}
		for (unsigned at = 2; at < capability_size(order[i], offset); at++)
			text_add(&t, "%02x ", get(offset + at, 1));
		say_text(name, "%s", t.data);
		what_sticks(name, offset, capability_size(order[i], offset), 1);
		what_sticks(name, offset, capability_size(order[i], offset), 2);
		what_sticks(name, offset, capability_size(order[i], offset), 4);
	}
	say_text("capabilities", "%u", n);

	for (unsigned at = 0x40; at < 0x100; at++) {
		if (taken[at])
			continue;
		reading += get(at, 1) != 0;
	}
	say_text("between", "%u bytes not zero", reading);
	reading = 0;
	for (unsigned at = 0x100; at < 0x1000; at += 4)
		reading += get(at, 4) != 0;
	say_text("extended", "%u words not zero", reading);
	put("extended.header", 0x100, 4, 0xffffffff);
}

static void widths(void)
{
	uint8_t whole[64], parts[64];

	put(NULL, 4, 2, 6);
	say(result(sys_pread(device, whole, 64, CONFIG)), "width.64");
	for (unsigned width = 1; width <= 8; width++) {
		for (unsigned at = 0; at < 64; at += width)
			if (sys_pread(device, parts + at, at + width > 64 ? 64 - at : width,
				      CONFIG + at) < 0)
				give_up("read", -errno);
		printf("config.width.%u: %s\n", width,
		       memcmp(whole, parts, 64) ? "different" : "same");
	}
	/* One write over several registers, some of them read-only. */
	memset(parts, 0xff, sizeof(parts));
	say(result(sys_pwrite(device, parts, 16, CONFIG)), "width.16 written");
	say_text("width.16 written", "%#x %#x %#x %#x", get(0, 4), get(4, 4), get(8, 4),
		 get(12, 4));
	put(NULL, 4, 2, 6);
	say(result(sys_pwrite(device, parts, 3, CONFIG + 3)), "width.3 written at 3");
	say_text("width.3 written at 3", "%#x", get(4, 2));
	put(NULL, 4, 2, 6);
	put(NULL, 12, 4, 0);
}

/* The power state and function level reset, which configuration space can ask for. */
static void effects(void)
{
	unsigned pm = config_capability(device, 0x01), pcie = config_capability(device, 0x10);
	uint32_t value = 0;

	if (pm) {
		put("power.D3", pm + 4, 2, 3);
		say_text("power.D3.command", "%#x", get(4, 2));
		say(result(sys_pread(device, &value, 4, REGION(0) + 8)), "power.D3.read");
		put("power.D0", pm + 4, 2, 0);
		say(result(sys_pread(device, &value, 4, REGION(0) + 8)), "power.D0.read");
		say_text("power.D0.command", "%#x", get(4, 2));
		put("power.D1", pm + 4, 2, 1);
		put("power.D2", pm + 4, 2, 2);
		put("power.D0", pm + 4, 2, 0);
	}
	if (pcie) {
		put(NULL, 4, 2, 6);
		value = 0x00460000;
		say(result(sys_pwrite(device, &value, 4, REGION(0) + 0x14)),
		    "flr.register written");
		put("flr", pcie + 8, 2, 0x8000);
		say(result(sys_pread(device, &value, 4, REGION(0) + 0x14)), "flr.register read");
		say_text("flr.register", "%#x", value);
		say_text("flr.command", "%#x", get(4, 2));
	}
}

/* MSI-X as the reader sees it while the kernel has it enabled. */
static void message_control(void)
{
	unsigned msix = config_capability(device, 0x11);
	int event = eventfd(0, EFD_NONBLOCK);

	if (!msix)
		return;
	put(NULL, 4, 2, 6);
	say_text("msix.off", "%#x command %#x", get(msix + 2, 2), get(4, 2));
	say(irq_eventfds(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &event), "msix.set");
	say_text("msix.on", "%#x command %#x", get(msix + 2, 2), get(4, 2));
	put("msix.control", msix + 2, 2, 0x0000);
	put("msix.control", msix + 2, 2, 0xffff);
	say(irq_none(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, VFIO_IRQ_SET_ACTION_TRIGGER),
	    "msix.trigger");
	say_text("msix.signals", "%lu", eventfd_count(event));
	say(irq_none(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 0, VFIO_IRQ_SET_ACTION_TRIGGER),
	    "msix.disable");
	say_text("msix.off", "%#x command %#x", get(msix + 2, 2), get(4, 2));
	say(irq_eventfds(device, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &event), "intx.set");
	say_text("intx.on", "command %#x", get(4, 2));
	put("intx.command", 4, 2, 0x0406);
	put("intx.command", 4, 2, 0x0006);
	say(irq_none(device, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, VFIO_IRQ_SET_ACTION_MASK), "intx.mask");
	say_text("intx.masked", "command %#x", get(4, 2));
	say(irq_none(device, VFIO_PCI_INTX_IRQ_INDEX, 0, 0, VFIO_IRQ_SET_ACTION_TRIGGER),
	    "intx.disable");
	say_text("intx.off", "command %#x", get(4, 2));
	close(event);
}

void area_config(void)
{
	struct vfio v;

	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	device = v.device;
	header();
	command_register();
	base_addresses();
	capabilities();
	widths();
	effects();
	message_control();
	vfio_close(&v);
}
