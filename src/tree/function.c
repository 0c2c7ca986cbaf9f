/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The directory of one PCI function, with the files, formats and permissions that a 7.3
 * kernel gives it (drivers/pci/pci-sysfs.c), for a function that is bound to vfio-pci and
 * not opened by anybody.  Left out is what would lie: resourceN, since nothing is behind
 * it, and power management's statistics.
 */
#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>

#include "core/device.h"
#include "core/instance.h"
#include "tree/cpus.h"
#include "tree/parts.h"

/* include/linux/ioport.h, as the flags column of `resource` shows them. */
#define RESOURCE_IO        0x00000100u
#define RESOURCE_MEMORY    0x00000200u
#define RESOURCE_PREFETCH  0x00002000u
#define RESOURCE_SIZEALIGN 0x00040000u
#define RESOURCE_MEMORY64  0x00100000u

#define RESOURCE_LINES        13 /* 6 BARs, the ROM, 6 BARs of virtual functions */
#define RESOURCE_LINES_BRIDGE 17

static unsigned resource_flags(const struct standin_bar *bar)
{
	unsigned flags = RESOURCE_SIZEALIGN;

	if (bar->flags & STANDIN_BAR_IO)
		return flags | RESOURCE_IO | PCI_BASE_ADDRESS_SPACE_IO;
	flags |= RESOURCE_MEMORY;
	if (bar->flags & STANDIN_BAR_MEM64)
		flags |= RESOURCE_MEMORY64 | PCI_BASE_ADDRESS_MEM_TYPE_64;
	if (bar->flags & STANDIN_BAR_PREFETCHABLE)
		flags |= RESOURCE_PREFETCH | PCI_BASE_ADDRESS_MEM_PREFETCH;
	return flags;
}

static void build_resource(struct builder *b, const char *path, const struct standin_pci *pci,
			   const uint64_t *address, unsigned lines)
{
	char text[RESOURCE_LINES_BRIDGE * 64];
	size_t length = 0;

	for (unsigned i = 0; i < lines; i++) {
		const struct standin_bar *bar = pci && i < STANDIN_PCI_BARS ? &pci->bar[i] : NULL;
		bool present = bar && bar->size;

		length += (size_t)snprintf(
			text + length, sizeof(text) - length, "0x%016llx 0x%016llx 0x%016llx\n",
			present ? (unsigned long long)address[i] : 0,
			present ? (unsigned long long)(address[i] + bar->size - 1) : 0,
			present ? (unsigned long long)resource_flags(bar) : 0);
	}
	build_attribute(b, path, "resource", 0444, "%s", text);
}

static unsigned get16(const uint8_t *config, unsigned offset)
{
	return config[offset] | (unsigned)config[offset + 1] << 8;
}

static void put16(uint8_t *config, unsigned offset, unsigned value)
{
	config[offset] = (uint8_t)value;
	config[offset + 1] = (uint8_t)(value >> 8);
}

static const char *speed_name(unsigned speed)
{
	static const char *const names[] = {"Unknown",       "2.5 GT/s PCIe",  "5.0 GT/s PCIe",
					    "8.0 GT/s PCIe", "16.0 GT/s PCIe", "32.0 GT/s PCIe",
					    "64.0 GT/s PCIe"};

	return names[speed < sizeof(names) / sizeof(names[0]) ? speed : 0];
}

/* A function outside PCI Express has no such files. */
static void build_link_state(struct builder *b, const char *path, const uint8_t *config)
{
	unsigned express = pci_find_capability(config, PCI_CAP_ID_EXP), capability, state;

	if (!express)
		return;
	capability = get16(config, express + PCI_EXP_LNKCAP);
	state = get16(config, express + PCI_EXP_LNKSTA);
	build_attribute(b, path, "current_link_speed", 0444, "%s\n", speed_name(state & 0xf));
	build_attribute(b, path, "current_link_width", 0444, "%u\n", state >> 4 & 0x3f);
	build_attribute(b, path, "max_link_speed", 0444, "%s\n", speed_name(capability & 0xf));
	build_attribute(b, path, "max_link_width", 0444, "%u\n", capability >> 4 & 0x3f);
}

/* What a function and a bridge have in common; all is read from the configuration space. */
static void build_common(struct builder *b, const char *path, const uint8_t *config, unsigned size,
			 unsigned irq)
{
	unsigned class_code = config[PCI_CLASS_PROG] | get16(config, PCI_CLASS_DEVICE) << 8;
	char file[TREE_PATH_MAX];

	build_attribute(b, path, "vendor", 0444, "0x%04x\n", get16(config, PCI_VENDOR_ID));
	build_attribute(b, path, "device", 0444, "0x%04x\n", get16(config, PCI_DEVICE_ID));
	build_attribute(b, path, "class", 0444, "0x%06x\n", class_code);
	build_attribute(b, path, "revision", 0444, "0x%02x\n", config[PCI_REVISION_ID]);
	build_attribute(b, path, "irq", 0444, "%u\n", irq);
	build_attribute(b, path, "numa_node", 0644, "-1\n");
	build_attribute(b, path, "local_cpus", 0444, "%s\n", cpus_mask());
	build_attribute(b, path, "local_cpulist", 0444, "%s\n", cpus_list());
	build_attribute(b, path, "ari_enabled", 0444, "0\n");
	build_attribute(b, path, "broken_parity_status", 0644, "0\n");
	build_attribute(b, path, "dma_mask_bits", 0444, "32\n");
	build_attribute(b, path, "consistent_dma_mask_bits", 0444, "32\n");
	build_attribute(b, path, "msi_bus", 0644, "1\n");
	build_attribute(b, path, "power_state", 0444, "D0\n");
	build_attribute(b, path, "remove", 0220, "%s", "");
	build_attribute(b, path, "rescan", 0200, "%s", "");
	build_attribute(b, path, "power/control", 0644, "on\n");
	build_attribute(b, path, "power/runtime_status", 0444, "active\n");
	build_link_state(b, path, config);
	build_path(b, file, "%s/config", path);
	build_bytes(b, file, 0644, config, size);
	build_path(b, file, "%s/subsystem", path);
	build_relative_link(b, file, "sys/bus/pci");
}

struct identity {
	unsigned vendor, device, subsystem_vendor, subsystem_device, class_code;
};

static void build_identity(struct builder *b, const char *path, const struct identity *id,
			   const char *driver)
{
	const char *slot_name = strrchr(path, '/') + 1;
	char modalias[80];

	snprintf(modalias, sizeof(modalias), "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X",
		 id->vendor, id->device, id->subsystem_vendor, id->subsystem_device,
		 id->class_code >> 16 & 0xff, id->class_code >> 8 & 0xff, id->class_code & 0xff);
	build_attribute(b, path, "subsystem_vendor", 0444, "0x%04x\n", id->subsystem_vendor);
	build_attribute(b, path, "subsystem_device", 0444, "0x%04x\n", id->subsystem_device);
	build_attribute(b, path, "modalias", 0444, "%s\n", modalias);
	build_attribute(b, path, "uevent", 0644,
			"%s%s%sPCI_CLASS=%X\nPCI_ID=%04X:%04X\nPCI_SUBSYS_ID=%04X:%04X\n"
			"PCI_SLOT_NAME=%s\nMODALIAS=%s\n",
			driver ? "DRIVER=" : "", driver ? driver : "", driver ? "\n" : "",
			id->class_code, id->vendor, id->device, id->subsystem_vendor,
			id->subsystem_device, slot_name, modalias);
}

void build_function(struct builder *b, const char *path, const struct instance *i,
		    const struct standin_device *dev)
{
	const struct standin_pci *pci = &dev->pci;
	const struct identity id = {pci->vendor, pci->device, pci->subsystem_vendor,
				    pci->subsystem_device, pci->class_code};
	uint64_t address[STANDIN_PCI_BARS];
	uint8_t config[PCI_CONFIG_SIZE];
	unsigned size = pci_build_config(pci, config);
	unsigned irq = pci->interrupt_pin ? 10 + dev->index % 2 : 0;
	char file[TREE_PATH_MAX], to[TREE_PATH_MAX], iommu[16];

	pci_place_bars(dev, address);
	pci_write_bars(pci, address, config);
	config[PCI_INTERRUPT_LINE] = (uint8_t)irq;
	build_common(b, path, config, size, irq);
	build_identity(b, path, &id, "vfio-pci");
	build_resource(b, path, pci, address, RESOURCE_LINES);
	build_attribute(b, path, "enable", 0644, "0\n");
	build_attribute(b, path, "driver_override", 0644, "vfio-pci\n");
	if (pci->pcie || pci->power_management) {
		build_attribute(b, path, "reset", 0200, "%s", "");
		build_attribute(b, path, "reset_method", 0644, "%s\n",
				pci->pcie ? "flr bus" : "pm bus");
	}

	build_path(b, file, "%s/driver", path);
	build_relative_link(b, file, "sys/bus/pci/drivers/vfio-pci");
	build_path(b, file, "%s/iommu_group", path);
	build_path(b, to, "sys/kernel/iommu_groups/%u", dev->index);
	build_relative_link(b, file, to);
	iommu_name(iommu);
	build_path(b, file, "%s/iommu", path);
	build_path(b, to, "sys/devices/virtual/iommu/%s", iommu);
	build_relative_link(b, file, to);
}

/* A type 1 header and an Express capability of a root port, nothing decoded below it. */
static void root_port_config(uint8_t *config, const struct identity *id, unsigned bus)
{
	const unsigned express = 0x40, subsystem = 0x80;

	memset(config, 0, PCI_CONFIG_SIZE);
	put16(config, PCI_VENDOR_ID, id->vendor);
	put16(config, PCI_DEVICE_ID, id->device);
	put16(config, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	put16(config, PCI_STATUS, PCI_STATUS_CAP_LIST);
	put16(config, PCI_CLASS_DEVICE, id->class_code >> 8);
	config[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE;
	config[PCI_SECONDARY_BUS] = (uint8_t)bus;
	config[PCI_SUBORDINATE_BUS] = (uint8_t)bus;
	put16(config, PCI_MEMORY_BASE, (unsigned)(PCI_MEMORY_WINDOW >> 16) & 0xfff0);
	put16(config, PCI_MEMORY_LIMIT, (unsigned)((PCI_MEMORY_WINDOW_END - 1) >> 16) & 0xfff0);
	config[PCI_CAPABILITY_LIST] = (uint8_t)express;
	config[express + PCI_CAP_LIST_ID] = PCI_CAP_ID_EXP;
	config[express + PCI_CAP_LIST_NEXT] = (uint8_t)subsystem;
	put16(config, express + PCI_EXP_FLAGS, 2 | (PCI_EXP_TYPE_ROOT_PORT << 4));
	put16(config, express + PCI_EXP_LNKCAP, PCI_EXP_LNKCAP_SLS_2_5GB | (1 << 4));
	put16(config, express + PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_CLS_2_5GB | PCI_EXP_LNKSTA_NLW_X1);
	config[subsystem + PCI_CAP_LIST_ID] = PCI_CAP_ID_SSVID;
	put16(config, subsystem + PCI_SSVID_VENDOR_ID, id->subsystem_vendor);
	put16(config, subsystem + PCI_SSVID_DEVICE_ID, id->subsystem_device);
}

void build_root_port(struct builder *b, const char *path, unsigned bus)
{
	/* The identification of QEMU's generic root port. */
	const struct identity id = {0x1b36, 0x000c, 0x1b36, 0, 0x060400};
	uint8_t config[PCI_CONFIG_SIZE];

	root_port_config(config, &id, bus);
	build_common(b, path, config, PCI_CONFIG_SIZE, 0);
	build_identity(b, path, &id, NULL);
	build_resource(b, path, NULL, NULL, RESOURCE_LINES_BRIDGE);
	build_attribute(b, path, "enable", 0644, "1\n");
	build_attribute(b, path, "driver_override", 0644, "(null)\n");
	build_attribute(b, path, "secondary_bus_number", 0444, "%u\n", bus);
	build_attribute(b, path, "subordinate_bus_number", 0444, "%u\n", bus);
	build_attribute(b, path, "reset_subordinate", 0200, "%s", "");
}
