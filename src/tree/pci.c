/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where functions are.  Each bus but bus 0 hangs below a root port of its own, which takes
 * a slot of bus 0 that is free on this machine, so that real functions keep theirs.  Another
 * PCI domain hangs below domain 0, as those do that a bridge device makes (Intel's VMD), so
 * that all of sys/devices that is ours is below one prefix.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/device.h"
#include "core/instance.h"
#include "tree/parts.h"

#define SLOTS     32u
#define FUNCTIONS 8u

static bool slot_taken(const struct instance *i, unsigned domain, unsigned slot)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%04x:00:%02x.0", domain, slot);
	if (access(path, F_OK) == 0)
		return true;
	for (size_t d = 0; d < i->n_devices; d++) {
		const struct pci_address *a = &i->config->devices[d].address;

		if (a->domain == domain && a->bus == 0 && a->slot == slot)
			return true;
	}
	return false;
}

static bool needs_port(const struct pci_address *a)
{
	return a->bus != 0;
}

static bool same_bus(const struct pci_address *a, const struct pci_address *b)
{
	return a->domain == b->domain && a->bus == b->bus;
}

/* The first device on that bus is the one whose turn makes the port. */
static bool first_on_bus(const struct instance *i, size_t index)
{
	const struct device_config *devices = i->config->devices;

	for (size_t d = 0; d < index; d++)
		if (same_bus(&devices[d].address, &devices[index].address))
			return false;
	return true;
}

/* How many ports of its domain come before that of device `index`. */
static unsigned port_number(const struct instance *i, size_t index)
{
	const struct device_config *devices = i->config->devices;
	unsigned n = 0;

	for (size_t d = 0; d < i->n_devices; d++) {
		if (same_bus(&devices[d].address, &devices[index].address))
			break;
		if (devices[d].address.domain == devices[index].address.domain &&
		    needs_port(&devices[d].address) && first_on_bus(i, d))
			n++;
	}
	return n;
}

/* The n-th free place on bus 0: slots first, then further functions of the same slots. */
static bool port_place(const struct instance *i, unsigned domain, unsigned n, unsigned *ret_slot,
		       unsigned *ret_function)
{
	for (unsigned function = 0; function < FUNCTIONS; function++) {
		for (unsigned slot = 1; slot < SLOTS; slot++) {
			if (slot_taken(i, domain, slot) || n-- > 0)
				continue;
			*ret_slot = slot;
			*ret_function = function;
			return true;
		}
	}
	return false;
}

static void host_bridge(struct builder *b, char path[TREE_PATH_MAX], unsigned domain)
{
	if (domain == 0)
		build_path(b, path, "sys/devices/pci0000:00");
	else
		build_path(b, path, "sys/devices/pci0000:00/pci%04x:00", domain);
}

static void port_directory(struct builder *b, const struct instance *i, size_t index,
			   char path[TREE_PATH_MAX])
{
	const struct pci_address *a = &i->config->devices[index].address;
	char bridge[TREE_PATH_MAX];
	unsigned slot = 0, function = 0;

	host_bridge(b, bridge, a->domain);
	if (!port_place(i, a->domain, port_number(i, index), &slot, &function) && b->result == 0) {
		b->result = -ENOSPC;
		snprintf(b->error, b->error_size, "too many PCI buses: no slot of bus 0 is free");
	}
	build_path(b, path, "%.100s/%04x:00:%02x.%x", bridge, a->domain, slot, function);
}

void pci_directory(struct builder *b, const struct instance *i, const struct standin_device *dev,
		   char path[TREE_PATH_MAX])
{
	const struct pci_address *a = &dev->config->address;
	char above[TREE_PATH_MAX];

	if (needs_port(a))
		port_directory(b, i, dev->index, above);
	else
		host_bridge(b, above, a->domain);
	build_path(b, path, "%.200s/%s", above, dev->address);
}

static void enter_on_bus(struct builder *b, const char *directory)
{
	char path[TREE_PATH_MAX];

	build_path(b, path, "sys/bus/pci/devices/%s", strrchr(directory, '/') + 1);
	build_relative_link(b, path, directory);
}

static void build_driver(struct builder *b)
{
	static const char *const files[] = {"bind", "unbind", "new_id", "remove_id", "uevent"};

	for (size_t f = 0; f < sizeof(files) / sizeof(files[0]); f++)
		build_attribute(b, "sys/bus/pci/drivers/vfio-pci", files[f], 0200, "%s", "");
	build_relative_link(b, "sys/bus/pci/drivers/vfio-pci/module", "sys/module/vfio_pci");
}

void build_pci(struct builder *b, const struct instance *i)
{
	char directory[TREE_PATH_MAX], link[TREE_PATH_MAX];

	build_directory(b, "sys/bus/pci/devices");
	build_directory(b, "sys/bus/pci/slots");
	build_attribute(b, "sys/bus/pci", "drivers_autoprobe", 0644, "1\n");
	build_attribute(b, "sys/bus/pci", "drivers_probe", 0200, "%s", "");
	build_attribute(b, "sys/bus/pci", "rescan", 0200, "%s", "");
	build_attribute(b, "sys/bus/pci", "resource_alignment", 0644, "\n");
	build_attribute(b, "sys/bus/pci", "uevent", 0200, "%s", "");
	build_driver(b);
	for (size_t d = 0; d < i->n_devices; d++) {
		const struct standin_device *dev = i->devices[d];
		const struct pci_address *a = &dev->config->address;

		if (needs_port(a) && first_on_bus(i, d)) {
			port_directory(b, i, d, directory);
			build_root_port(b, directory, a->bus);
			enter_on_bus(b, directory);
		}
		pci_directory(b, i, dev, directory);
		build_function(b, directory, i, dev);
		enter_on_bus(b, directory);
		build_path(b, link, "sys/bus/pci/drivers/vfio-pci/%s", dev->address);
		build_relative_link(b, link, directory);
	}
}
