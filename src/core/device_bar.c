/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A register access on its way to the model, whichever way it came: a trapped instruction,
 * pread(2), the embedding library.  What needs no model (plain memory, the MSI-X table)
 * is answered here.  May run in a signal handler.
 */
#include <string.h>

#include "core/device.h"
#include "core/trace.h"

#define PAGE 4096u

/* Whether any of the MSI-X structures is on the page: loads are plain, stores are seen. */
static bool page_has_msix(const struct standin_device *dev, unsigned bar, uint64_t offset)
{
	uint64_t page = offset & ~(uint64_t)(PAGE - 1);
	const struct standin_pci *pci = &dev->pci;

	if (!pci->msix_vectors || bar != pci->msix_bar)
		return false;
	return (page < pci->msix_table + 16u * pci->msix_vectors &&
	        page + PAGE > pci->msix_table) ||
	       (page < pci->msix_pba + (pci->msix_vectors + 63u) / 64 * 8 &&
	        page + PAGE > pci->msix_pba);
}

/* A page that a span claims keeps its kind; MSI-X structures there must share a page whose
 * stores are seen (SHADOW or TRAP). */
enum standin_page device_page_kind(const struct standin_device *dev, unsigned bar, uint64_t offset)
{
	const struct standin_bar *b = &dev->pci.bar[bar];

	for (size_t i = 0; i < b->n_spans; i++)
		if (offset >= b->spans[i].offset && offset - b->spans[i].offset < b->spans[i].size)
			return b->spans[i].page;
	return page_has_msix(dev, bar, offset) ? STANDIN_PAGE_SHADOW : STANDIN_PAGE_TRAP;
}

/* In one access where the address allows, as the processor would: other threads look. */
static uint64_t load(const struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size)
{
	const void *place = dev->bar_memory[bar] + offset;
	uint64_t value = 0;

	if (size == 4 && offset % 4 == 0)
		return __atomic_load_n((const uint32_t *)place, __ATOMIC_ACQUIRE);
	if (size == 8 && offset % 8 == 0)
		return __atomic_load_n((const uint64_t *)place, __ATOMIC_ACQUIRE);
	memcpy(&value, place, size);
	return value;
}

static void store(const struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size,
                  uint64_t value)
{
	void *place = dev->bar_memory[bar] + offset;

	if (size == 4 && offset % 4 == 0)
		__atomic_store_n((uint32_t *)place, (uint32_t)value, __ATOMIC_RELEASE);
	else if (size == 8 && offset % 8 == 0)
		__atomic_store_n((uint64_t *)place, value, __ATOMIC_RELEASE);
	else
		memcpy(place, &value, size);
}

static uint64_t all_ones(unsigned size)
{
	return size == 8 ? ~(uint64_t)0 : ((uint64_t)1 << (8 * size)) - 1;
}

static uint64_t read_register(struct standin_device *dev, unsigned bar, uint64_t offset,
                              unsigned size)
{
	enum standin_page kind = device_page_kind(dev, bar, offset);

	if (kind == STANDIN_PAGE_SHADOW || kind == STANDIN_PAGE_RAM || msix_covers(dev, bar, offset))
		return load(dev, bar, offset, size);
	if (!dev->model->bar_read)
		return all_ones(size);
	return dev->model->bar_read(dev, bar, offset, size) & all_ones(size);
}

static void write_register(struct standin_device *dev, unsigned bar, uint64_t offset,
                           unsigned size, uint64_t value)
{
	enum standin_page kind = device_page_kind(dev, bar, offset);

	if (msix_covers(dev, bar, offset)) {
		msix_table_write(dev, offset, size, value);
		return;
	}
	if (kind == STANDIN_PAGE_RAM || kind == STANDIN_PAGE_DOORBELL)
		store(dev, bar, offset, size, value);
	if (kind != STANDIN_PAGE_RAM && dev->model->bar_write)
		dev->model->bar_write(dev, bar, offset, size, value & all_ones(size));
}

uint64_t device_bar_read(struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size)
{
	struct trace_line t;
	uint64_t value;

	if (!trace_enabled)
		return read_register(dev, bar, offset, size);
	trace_begin(&t);
	value = read_register(dev, bar, offset, size);
	trace_print(&t, "mmio-read(%s, bar%u+%#llx, %u)", dev->address, bar,
	            (unsigned long long)offset, size);
	trace_end_value(&t, value);
	return value;
}

void device_bar_write(struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size,
                      uint64_t value)
{
	bool doorbell;
	struct trace_line t;

	if (!trace_enabled) {
		write_register(dev, bar, offset, size, value);
		return;
	}
	doorbell = device_page_kind(dev, bar, offset) == STANDIN_PAGE_DOORBELL;
	trace_begin(&t);
	write_register(dev, bar, offset, size, value);
	trace_print(&t, "%s(%s, bar%u+%#llx, %u, %#llx)", doorbell ? "doorbell" : "mmio-write",
	            dev->address, bar, (unsigned long long)offset, size,
	            (unsigned long long)(value & all_ones(size)));
	trace_end_value(&t, 0);
}
