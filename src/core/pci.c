/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The physical configuration space of a declared function: what a probe of the hardware
 * would find before any driver has touched it.  Offsets and fields are those of the PCI
 * Local Bus 3.0, PCI Power Management 1.2 and PCI Express 2.0 specifications, by the names
 * of linux/pci_regs.h.  The capability order is PM, MSI, MSI-X, Express, the model's own.
 */
#include <linux/pci_regs.h>
#include <string.h>

#include "core/device.h"

#define FIRST_CAPABILITY 0x40u

/* Each device has a share of each window. */
#define MEMORY_SHARE    0x01000000ull
#define MEMORY_SHARES   ((PCI_MEMORY_WINDOW_END - PCI_MEMORY_WINDOW) / MEMORY_SHARE)
#define MEMORY64_WINDOW 0x380000000000ull
#define MEMORY64_SHARE  0x1000000000ull
#define PORT_WINDOW     0x1000ull
#define PORT_SHARE      0x400ull
#define PORT_SHARES     60

static uint64_t align_up(uint64_t value, uint64_t size)
{
	return (value + size - 1) & ~(size - 1);
}

static uint64_t take(uint64_t *window, uint64_t size)
{
	uint64_t address = align_up(*window, size);

	*window = address + size;
	return address;
}

static void put16(uint8_t *config, unsigned offset, unsigned value)
{
	config[offset] = (uint8_t)value;
	config[offset + 1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *config, unsigned offset, uint32_t value)
{
	put16(config, offset, value & 0xffff);
	put16(config, offset + 2, value >> 16);
}

static uint32_t bar_type_bits(const struct standin_bar *bar)
{
	uint32_t bits = 0;

	if (bar->flags & STANDIN_BAR_IO)
		return PCI_BASE_ADDRESS_SPACE_IO;
	if (bar->flags & STANDIN_BAR_MEM64)
		bits |= PCI_BASE_ADDRESS_MEM_TYPE_64;
	if (bar->flags & STANDIN_BAR_PREFETCHABLE)
		bits |= PCI_BASE_ADDRESS_MEM_PREFETCH;
	return bits;
}

/* Links a capability of `size` bytes in after *last and returns its offset. */
static unsigned add_capability(uint8_t *config, unsigned *last, unsigned *next, uint8_t id,
                               unsigned size)
{
	unsigned offset = *next;

	config[*last] = (uint8_t)offset;
	config[offset + PCI_CAP_LIST_ID] = id;
	*last = offset + PCI_CAP_LIST_NEXT;
	*next = (offset + size + 3) & ~3u;
	return offset;
}

static void add_power_management(uint8_t *config, unsigned at)
{
	put16(config, at + PCI_PM_PMC, 3); /* version 1.2, no D1, D2 or PME */
	put16(config, at + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
}

static void add_msi(uint8_t *config, unsigned at, unsigned vectors)
{
	unsigned log2 = (unsigned)__builtin_ctz(vectors);

	put16(config, at + PCI_MSI_FLAGS, (log2 << 1) | PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT);
}

static void add_msix(uint8_t *config, unsigned at, const struct standin_pci *pci)
{
	put16(config, at + PCI_MSIX_FLAGS, pci->msix_vectors - 1u);
	put32(config, at + PCI_MSIX_TABLE, pci->msix_table | pci->msix_bar);
	put32(config, at + PCI_MSIX_PBA, pci->msix_pba | pci->msix_bar);
}

static void add_express(uint8_t *config, unsigned at)
{
	put16(config, at + PCI_EXP_FLAGS, 2 | (PCI_EXP_TYPE_ENDPOINT << 4));
	put32(config, at + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR);
	put32(config, at + PCI_EXP_LNKCAP, PCI_EXP_LNKCAP_SLS_2_5GB | (1 << 4));
	put16(config, at + PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_CLS_2_5GB | PCI_EXP_LNKSTA_NLW_X1);
}

unsigned pci_build_config(const struct standin_pci *pci, uint8_t config[PCI_CONFIG_SIZE])
{
	unsigned last = PCI_CAPABILITY_LIST, next = FIRST_CAPABILITY;

	memset(config, 0, PCI_CONFIG_SIZE);
	put16(config, PCI_VENDOR_ID, pci->vendor);
	put16(config, PCI_DEVICE_ID, pci->device);
	config[PCI_REVISION_ID] = pci->revision;
	config[PCI_CLASS_PROG] = (uint8_t)pci->class_code;
	put16(config, PCI_CLASS_DEVICE, pci->class_code >> 8);
	put16(config, PCI_SUBSYSTEM_VENDOR_ID, pci->subsystem_vendor);
	put16(config, PCI_SUBSYSTEM_ID, pci->subsystem_device);
	config[PCI_INTERRUPT_PIN] = pci->interrupt_pin;
	for (unsigned i = 0; i < STANDIN_PCI_BARS; i++)
		if (pci->bar[i].size)
			put32(config, PCI_BASE_ADDRESS_0 + 4 * i, bar_type_bits(&pci->bar[i]));

	if (pci->power_management)
		add_power_management(config, add_capability(config, &last, &next, PCI_CAP_ID_PM,
		                                            PCI_PM_SIZEOF));
	if (pci->msi_vectors)
		add_msi(config, add_capability(config, &last, &next, PCI_CAP_ID_MSI, 24),
		        pci->msi_vectors);
	if (pci->msix_vectors)
		add_msix(config, add_capability(config, &last, &next, PCI_CAP_ID_MSIX, 12), pci);
	if (pci->pcie)
		add_express(config, add_capability(config, &last, &next, PCI_CAP_ID_EXP,
		                                   PCI_CAP_EXP_ENDPOINT_SIZEOF_V2));
	for (size_t i = 0; i < pci->n_capabilities; i++) {
		const struct standin_capability *c = &pci->capabilities[i];
		unsigned at;

		if (c->size < 2 || next + c->size > 256)
			break;
		at = add_capability(config, &last, &next, c->bytes[0], c->size);
		memcpy(config + at + 2, c->bytes + 2, c->size - 2u);
	}
	if (last != PCI_CAPABILITY_LIST)
		put16(config, PCI_STATUS, PCI_STATUS_CAP_LIST);
	return pci->pcie ? PCI_CONFIG_SIZE : 256;
}

void pci_place_bars(const struct standin_device *dev, uint64_t address[STANDIN_PCI_BARS])
{
	uint64_t memory = PCI_MEMORY_WINDOW + dev->index % MEMORY_SHARES * MEMORY_SHARE;
	uint64_t memory64 = MEMORY64_WINDOW + dev->index * MEMORY64_SHARE;
	uint64_t port = PORT_WINDOW + dev->index % PORT_SHARES * PORT_SHARE;
	uint64_t memory_end = memory + MEMORY_SHARE;

	for (unsigned i = 0; i < STANDIN_PCI_BARS; i++) {
		const struct standin_bar *bar = &dev->pci.bar[i];
		uint64_t size = bar->size < 4096 ? 4096 : bar->size;

		if (!bar->size)
			address[i] = 0;
		else if (bar->flags & STANDIN_BAR_IO)
			address[i] = take(&port, bar->size);
		else if ((bar->flags & STANDIN_BAR_MEM64) && align_up(memory, size) + size > memory_end)
			address[i] = take(&memory64, size);
		else
			address[i] = take(&memory, size);
	}
}

void pci_write_bars(const struct standin_pci *pci, const uint64_t address[STANDIN_PCI_BARS],
                    uint8_t config[PCI_CONFIG_SIZE])
{
	for (unsigned i = 0; i < STANDIN_PCI_BARS; i++) {
		unsigned at = PCI_BASE_ADDRESS_0 + 4 * i;

		if (!pci->bar[i].size)
			continue;
		put32(config, at, (uint32_t)address[i] | bar_type_bits(&pci->bar[i]));
		if ((pci->bar[i].flags & STANDIN_BAR_MEM64) && i + 1 < STANDIN_PCI_BARS)
			put32(config, at + 4, (uint32_t)(address[i] >> 32));
	}
}

unsigned pci_find_capability(const uint8_t *config, uint8_t id)
{
	unsigned offset = config[PCI_CAPABILITY_LIST] & ~3u;

	if (!(config[PCI_STATUS] & PCI_STATUS_CAP_LIST))
		return 0;
	for (unsigned steps = 0; offset && steps < 48; steps++) {
		if (config[offset + PCI_CAP_LIST_ID] == id)
			return offset;
		offset = config[offset + PCI_CAP_LIST_NEXT] & ~3u;
	}
	return 0;
}
