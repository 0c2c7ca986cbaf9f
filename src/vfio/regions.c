/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pread, pwrite and mmap of the device file.  The region is the offset's upper bits.
 *
 * A BAR access is cut into aligned pieces of 8, 4, 2 and 1 bytes, each of which is one
 * access to the device; the MSI-X table reads as ones and ignores writes.  What is
 * refused, and how, is as in the kernel's pci/vfio_pci_rdwr.c and vfio_pci_core_mmap().
 */
#include <errno.h>
#include <sys/mman.h>

#include "core/user.h"
#include "memory/mmio.h"
#include "vfio/vfio.h"

#define OFFSET_MASK (((uint64_t)1 << VFIO_OFFSET_SHIFT) - 1)

static bool memory_enabled(const struct vfio_device *v)
{
	return atomic_load_explicit(&v->memory_enabled, memory_order_relaxed);
}

/* The next piece's size at `at` with `left` bytes to go. */
static unsigned piece_size(uint64_t at, size_t left)
{
	unsigned size;

	for (size = 8; size > 1; size /= 2)
		if (left >= size && !(at % size))
			break;
	return size;
}

/* Ones for the MSI-X table. */
static int fill_ones(char *buffer, size_t size)
{
	static const uint64_t ones = ~(uint64_t)0;
	size_t at, n;

	for (at = 0; at < size; at += n) {
		n = size - at < sizeof(ones) ? size - at : sizeof(ones);
		if (copy_to_user(buffer + at, &ones, n))
			return -EFAULT;
	}
	return 0;
}

static int bar_piece(struct vfio_device *v, unsigned bar, uint64_t at, char *buffer, unsigned size,
		     bool write)
{
	bool io = v->dev->pci.bar[bar].flags & STANDIN_BAR_IO;
	uint64_t value = 0;

	if (write && copy_from_user(&value, buffer, size))
		return -EFAULT;
	if (!io && !memory_enabled(v))
		return -EIO;
	if (write) {
		device_bar_write(v->dev, bar, at, size, value);
		return 0;
	}
	value = device_bar_read(v->dev, bar, at, size);
	return copy_to_user(buffer, &value, size);
}

static ssize_t bar_access(struct vfio_device *v, unsigned bar, char *buffer, size_t size,
			  uint64_t at, bool write)
{
	const struct standin_pci *pci = &v->dev->pci;
	uint64_t end = pci->bar[bar].size, table = end, table_end = end;
	ssize_t done = 0;
	size_t n;
	int ret;

	if (at >= end) /* also if there is no such BAR */
		return -EINVAL;
	if (size > end - at)
		size = end - at;
	if (pci->msix_vectors && bar == pci->msix_bar) {
		table = pci->msix_table;
		table_end = table + 16u * pci->msix_vectors;
	}
	while (size) {
		if (at >= table && at < table_end) {
			n = size < table_end - at ? size : table_end - at;
			ret = write ? 0 : fill_ones(buffer, n);
		} else {
			n = at < table && size > table - at ? table - at : size;
			n = piece_size(at, n);
			ret = bar_piece(v, bar, at, buffer, (unsigned)n, write);
		}
		if (ret)
			return ret;
		size -= n;
		done += (ssize_t)n;
		at += n;
		buffer += n;
	}
	return done;
}

static ssize_t region_access(struct file *f, char *buffer, size_t size, off_t offset, bool write)
{
	struct vfio_device *v = f->priv;
	uint64_t index = (uint64_t)offset >> VFIO_OFFSET_SHIFT;
	uint64_t at = (uint64_t)offset & OFFSET_MASK;

	if (!size)
		return 0;
	if (index > VFIO_PCI_CONFIG_REGION_INDEX || index == VFIO_PCI_ROM_REGION_INDEX)
		return -EINVAL; /* VGA, what is no region, and the ROM that no model has */
	vfio_device_wake(v);
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		return write ? vfio_config_write(v, buffer, size, at)
			     : vfio_config_read(v, buffer, size, at);
	return bar_access(v, (unsigned)index, buffer, size, at, write);
}

ssize_t vfio_region_read(struct file *f, void *buffer, size_t size, off_t offset)
{
	return region_access(f, buffer, size, offset, false);
}

ssize_t vfio_region_write(struct file *f, const void *buffer, size_t size, off_t offset)
{
	return region_access(f, (char *)buffer, size, offset, true);
}

bool vfio_region_mappable(const struct vfio_device *v, unsigned bar)
{
	const struct standin_bar *b = &v->dev->pci.bar[bar];

	return b->size && !(b->flags & STANDIN_BAR_IO) && v->dev->config->mmap;
}

int vfio_region_mmap(struct file *f, struct map_request *request)
{
	struct vfio_device *v = f->priv;
	uint64_t index = (uint64_t)request->offset >> VFIO_OFFSET_SHIFT;
	uint64_t at = (uint64_t)request->offset & OFFSET_MASK, end;
	size_t size = (request->size + VFIO_PAGE_SIZE - 1) & ~(size_t)(VFIO_PAGE_SIZE - 1);
	int type = request->flags & MAP_TYPE;

	if (!size || at % VFIO_PAGE_SIZE ||
	    (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE))
		return -EINVAL;
	if (request->protection & PROT_EXEC) /* the kernel's device files can't be executed */
		return -EPERM;
	if (type == MAP_PRIVATE || index >= VFIO_PCI_ROM_REGION_INDEX ||
	    !vfio_region_mappable(v, (unsigned)index))
		return -EINVAL;
	end = (v->dev->pci.bar[index].size + VFIO_PAGE_SIZE - 1) & ~(uint64_t)(VFIO_PAGE_SIZE - 1);
	if (at >= end || size > end - at)
		return -EINVAL;
	return mmio_map(v->dev, (unsigned)index, at, request);
}
