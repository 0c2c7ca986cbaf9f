/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What VFIO and the IOMMU show of themselves: one group per function, the modules with
 * their parameters, the classes.  Formats are those of a 7.3 kernel with intel-iommu.
 */
#include <stdio.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/config.h"
#include "core/device.h"
#include "core/file.h"
#include "core/instance.h"
#include "tree/parts.h"

/*
 * VT-d capability register: 48 bits of guest address width (MGAW, bits 16 to 21, holds
 * 47), four-level tables, 65536 domains.  DPDK reads it to decide on its IOVA mode.
 */
#define INTEL_IOMMU_CAP  0xd2008c222f0286ull
#define INTEL_IOMMU_ECAP 0xf00f4aull

void iommu_name(char name[16])
{
	char path[64];

	for (unsigned n = 0; n < 256; n++) {
		snprintf(name, 16, "dmar%u", n);
		snprintf(path, sizeof(path), "/sys/class/iommu/%s", name);
		if (access(path, F_OK) < 0)
			break;
	}
}

static void build_iommu(struct builder *b, const struct instance *i)
{
	char name[16], path[TREE_PATH_MAX], link[TREE_PATH_MAX], directory[TREE_PATH_MAX];

	iommu_name(name);
	build_path(b, path, "sys/devices/virtual/iommu/%s", name);
	build_attribute(b, path, "uevent", 0644, "%s", "");
	build_attribute(b, path, "intel-iommu/address", 0444, "fed90000\n");
	build_attribute(b, path, "intel-iommu/cap", 0444, "%llx\n", INTEL_IOMMU_CAP);
	build_attribute(b, path, "intel-iommu/ecap", 0444, "%llx\n", INTEL_IOMMU_ECAP);
	build_attribute(b, path, "intel-iommu/version", 0444, "1:0\n");
	build_attribute(b, path, "intel-iommu/domains_supported", 0444, "65536\n");
	build_attribute(b, path, "intel-iommu/domains_used", 0444, "%zu\n", i->n_devices);
	build_path(b, link, "%.100s/subsystem", path);
	build_relative_link(b, link, "sys/class/iommu");
	build_path(b, link, "sys/class/iommu/%s", name);
	build_relative_link(b, link, path);
	for (size_t d = 0; d < i->n_devices; d++) {
		pci_directory(b, i, i->devices[d], directory);
		build_path(b, link, "%.100s/devices/%s", path, i->devices[d]->address);
		build_relative_link(b, link, directory);
	}
}

static void build_group(struct builder *b, const struct instance *i,
			const struct standin_device *dev)
{
	char path[TREE_PATH_MAX], link[TREE_PATH_MAX], directory[TREE_PATH_MAX];

	build_path(b, path, "sys/kernel/iommu_groups/%u", dev->index);
	build_attribute(b, path, "type", 0644, "DMA\n");
	build_attribute(b, path, "reserved_regions", 0444,
			"0x00000000fee00000 0x00000000feefffff msi\n");
	pci_directory(b, i, dev, directory);
	build_path(b, link, "%.100s/devices/%s", path, dev->address);
	build_relative_link(b, link, directory);
}

static void build_modules(struct builder *b, const struct config *c)
{
	build_attribute(b, "sys/module/vfio", "version", 0444, "0.3\n");
	build_attribute(b, "sys/module/vfio", "uevent", 0200, "%s", "");
	build_attribute(b, "sys/module/vfio/parameters", "enable_unsafe_noiommu_mode", 0644, "N\n");

	build_attribute(b, "sys/module/vfio_pci", "uevent", 0200, "%s", "");
	build_attribute(b, "sys/module/vfio_pci/parameters", "disable_denylist", 0444, "N\n");
	build_attribute(b, "sys/module/vfio_pci/parameters", "disable_idle_d3", 0644, "N\n");
	build_attribute(b, "sys/module/vfio_pci/parameters", "nointxmask", 0644, "N\n");
	build_directory(b, "sys/module/vfio_pci/drivers");
	build_relative_link(b, "sys/module/vfio_pci/drivers/pci:vfio-pci",
			    "sys/bus/pci/drivers/vfio-pci");

	build_attribute(b, "sys/module/vfio_iommu_type1", "version", 0444, "0.2\n");
	build_attribute(b, "sys/module/vfio_iommu_type1", "uevent", 0200, "%s", "");
	build_attribute(b, "sys/module/vfio_iommu_type1/parameters", "allow_unsafe_interrupts",
			0644, "N\n");
	build_attribute(b, "sys/module/vfio_iommu_type1/parameters", "disable_hugepages", 0644,
			"N\n");
	build_attribute(b, "sys/module/vfio_iommu_type1/parameters", "dma_entry_limit", 0644,
			"%u\n", c->settings.dma_entry_limit);
}

/* sys/class/vfio/N, for every group that has a node. */
static void build_class_entry(const struct node *node, void *arg)
{
	struct builder *b = arg;
	char path[TREE_PATH_MAX], link[TREE_PATH_MAX];
	unsigned group;
	int end = 0;

	if (sscanf(node->path, "/dev/vfio/%u%n", &group, &end) != 1 || node->path[end])
		return;
	build_path(b, path, "sys/devices/virtual/vfio/%u", group);
	build_attribute(b, path, "dev", 0444, "%u:%u\n", major(node->rdev), minor(node->rdev));
	build_attribute(b, path, "uevent", 0644, "MAJOR=%u\nMINOR=%u\nDEVNAME=vfio/%u\n",
			major(node->rdev), minor(node->rdev), group);
	build_path(b, link, "%.100s/subsystem", path);
	build_relative_link(b, link, "sys/class/vfio");
	build_path(b, link, "sys/class/vfio/%u", group);
	build_relative_link(b, link, path);
}

void build_vfio(struct builder *b, const struct instance *i)
{
	build_iommu(b, i);
	for (size_t d = 0; d < i->n_devices; d++)
		build_group(b, i, i->devices[d]);
	build_modules(b, i->config);
	build_directory(b, "sys/class/vfio");
	node_each(build_class_entry, b);
}
