/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The MSI-X table and pending bits, which live in BAR memory where the driver can read
 * them.
 *
 * What is in an entry's address and data means nothing here: interrupts leave through the
 * vector's line.  The vector control's mask bit is honoured: a vector raised while masked
 * sets its pending bit and fires when it is unmasked (PCI Local Bus 3.0, 6.8.2).  The host
 * driver's part, unmasking an entry when the vector is set up, is msix_entry_enable().
 */
#include <linux/pci_regs.h>
#include <string.h>

#include "core/device.h"

#define ENTRY_SIZE       16u
#define VECTOR_CONTROL   12u
#define CONTROL_MASK_BIT 1u
#define DOORBELL_ADDRESS 0xfee00000u

static uint8_t *table_memory(const struct standin_device *dev)
{
	return dev->bar_memory[dev->pci.msix_bar] + dev->pci.msix_table;
}

static _Atomic uint32_t *control_of(const struct standin_device *dev, unsigned vector)
{
	return (_Atomic uint32_t *)(table_memory(dev) + vector * ENTRY_SIZE + VECTOR_CONTROL);
}

static _Atomic uint64_t *pending_of(const struct standin_device *dev, unsigned vector)
{
	return (_Atomic uint64_t *)(dev->bar_memory[dev->pci.msix_bar] + dev->pci.msix_pba) +
	       vector / 64;
}

bool msix_covers(const struct standin_device *dev, unsigned bar, uint64_t offset)
{
	uint64_t table_end, pba_end;

	if (!dev->pci.msix_vectors || bar != dev->pci.msix_bar)
		return false;
	table_end = dev->pci.msix_table + dev->pci.msix_vectors * ENTRY_SIZE;
	pba_end = dev->pci.msix_pba + (dev->pci.msix_vectors + 63u) / 64 * 8;
	return (offset >= dev->pci.msix_table && offset < table_end) ||
	       (offset >= dev->pci.msix_pba && offset < pba_end);
}

static void fire_if_pending(struct standin_device *dev, unsigned vector)
{
	uint64_t bit = (uint64_t)1 << vector % 64;

	if (atomic_load(control_of(dev, vector)) & CONTROL_MASK_BIT)
		return;
	if (atomic_fetch_and(pending_of(dev, vector), ~bit) & bit)
		line_raise(&dev->vectors[vector]);
}

void msix_raise(struct standin_device *dev, unsigned vector)
{
	if (vector >= dev->pci.msix_vectors)
		return;
	if (!(atomic_load(control_of(dev, vector)) & CONTROL_MASK_BIT)) {
		line_raise(&dev->vectors[vector]);
		return;
	}
	atomic_fetch_or(pending_of(dev, vector), (uint64_t)1 << vector % 64);
	fire_if_pending(dev, vector); /* unmasked meanwhile? */
}

void msix_entry_enable(struct standin_device *dev, unsigned vector, bool enabled)
{
	uint32_t entry[3] = {DOORBELL_ADDRESS, 0, 0x20 + vector};

	if (vector >= dev->pci.msix_vectors)
		return;
	if (enabled) {
		memcpy(table_memory(dev) + vector * ENTRY_SIZE, entry, sizeof(entry));
		atomic_store(control_of(dev, vector), 0);
		fire_if_pending(dev, vector);
	} else {
		atomic_store(control_of(dev, vector), CONTROL_MASK_BIT);
	}
}

void msix_table_write(struct standin_device *dev, uint64_t offset, unsigned size, uint64_t value)
{
	uint64_t table_end = dev->pci.msix_table + dev->pci.msix_vectors * ENTRY_SIZE;
	unsigned vector;

	if (offset < dev->pci.msix_table || offset + size > table_end)
		return; /* the pending bits are read-only */
	memcpy(dev->bar_memory[dev->pci.msix_bar] + offset, &value, size);
	vector = (unsigned)((offset - dev->pci.msix_table) / ENTRY_SIZE);
	fire_if_pending(dev, vector);
}

void msix_reset(struct standin_device *dev)
{
	if (!dev->pci.msix_vectors)
		return;
	memset(table_memory(dev), 0, dev->pci.msix_vectors * ENTRY_SIZE);
	for (unsigned v = 0; v < dev->pci.msix_vectors; v++) {
		atomic_store(control_of(dev, v), CONTROL_MASK_BIT);
		atomic_store(pending_of(dev, v), 0);
	}
}
