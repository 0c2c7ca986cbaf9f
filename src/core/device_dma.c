/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DMA: from a model's IOVA to the driver's memory, through the attached map only.
 *
 * A translation holds dma_lock for reading just while it pins; the pins keep the ranges in
 * place for as long as the device uses them.  Detaching waits for the device's pins, so
 * nothing reaches a map that has been taken away.  Copies are guarded: the driver may
 * have unmapped its memory without telling the IOMMU.
 */
#include <errno.h>
#include <sched.h>

#include "core/device.h"
#include "core/iova.h"
#include "core/log.h"
#include "core/trace.h"
#include "core/user.h"

#define COPY_SEGMENTS 16u
#define FAULTS_LOGGED 10u /* of a device, as the kernel limits its own messages */

static void record_fault(struct standin_device *dev, uint64_t iova, enum standin_dma direction)
{
	const char *what = direction == STANDIN_DMA_READ ? "read" : "write";
	uint64_t before = atomic_fetch_add(&dev->iommu_faults, 1);

	if (before < FAULTS_LOGGED)
		log_warning("%s: IOMMU fault: DMA %s at iova %#llx%s", dev->address, what,
		            (unsigned long long)iova,
		            before + 1 == FAULTS_LOGGED ? " (and no more of them are logged)" : "");
	if (trace_enabled)
		trace_event("iommu-fault(%s, %s, iova=%#llx)", dev->address, what,
		            (unsigned long long)iova);
}

int standin_dma_map(struct standin_device *dev, uint64_t iova, size_t size,
                    enum standin_dma direction, struct iovec *iov, unsigned max_iov,
                    unsigned *n_iov)
{
	unsigned access = direction == STANDIN_DMA_READ ? IOVA_READ : IOVA_WRITE;
	uint64_t fault = iova;
	int result = -EFAULT;

	if (size == 0)
		return 0;
	pthread_rwlock_rdlock(&dev->dma_lock);
	if (dev->iova && atomic_load_explicit(&dev->bus_master, memory_order_relaxed))
		result = iova_map_pin(dev->iova, iova, size, access, iov, max_iov, n_iov, &fault);
	if (result == -EXDEV)
		result = device_foreign_map(dev, iova, size, direction, iov, max_iov, n_iov);
	if (result == 0)
		atomic_fetch_add(&dev->dma_pins, 1);
	pthread_rwlock_unlock(&dev->dma_lock);
	if (result == -EFAULT)
		record_fault(dev, fault, direction);
	return result;
}

void standin_dma_unmap(struct standin_device *dev, uint64_t iova, size_t size)
{
	if (size == 0)
		return;
	/* Nothing is detached while dma_pins counts us. */
	if (!device_foreign_unmap(dev, iova, size))
		iova_map_unpin(dev->iova, iova, size);
	atomic_fetch_sub(&dev->dma_pins, 1);
}

int standin_dma_window(struct standin_device *dev, uint64_t iova,
                       struct standin_dma_window *ret_window)
{
	struct iova_range range;
	int result = -EFAULT;

	pthread_rwlock_rdlock(&dev->dma_lock);
	if (dev->iova && atomic_load_explicit(&dev->bus_master, memory_order_relaxed) &&
	    iova_map_pin_range(dev->iova, iova, &range) == 0) {
		atomic_fetch_add(&dev->dma_pins, 1);
		result = 0;
	}
	pthread_rwlock_unlock(&dev->dma_lock);
	if (result == 0)
		*ret_window = (struct standin_dma_window){
			.first = range.first,
			.last = range.last,
			.memory = (void *)range.address,
			.access = (range.flags & IOVA_READ ? STANDIN_DMA_READ : 0u) |
		                  (range.flags & IOVA_WRITE ? STANDIN_DMA_WRITE : 0u),
		};
	return result;
}

void standin_dma_window_end(struct standin_device *dev, const struct standin_dma_window *window)
{
	iova_map_unpin(dev->iova, window->first, window->last - window->first + 1);
	atomic_fetch_sub(&dev->dma_pins, 1);
}

void device_attach(struct standin_device *dev, struct iova_map *map)
{
	for (;;) {
		pthread_rwlock_wrlock(&dev->dma_lock);
		if (atomic_load(&dev->dma_pins) == 0)
			break;
		pthread_rwlock_unlock(&dev->dma_lock);
		sched_yield();
	}
	dev->iova = map;
	pthread_rwlock_unlock(&dev->dma_lock);
}

void device_set_command(struct standin_device *dev, uint16_t command)
{
	atomic_store(&dev->bus_master, (command & 4u) != 0);
	if (dev->model->command_changed)
		dev->model->command_changed(dev, command);
}

static int copy_segments(struct iovec *iov, unsigned n, char *buffer, enum standin_dma direction)
{
	for (unsigned i = 0; i < n; i++) {
		int result = direction == STANDIN_DMA_READ
		                     ? copy_guarded(buffer, iov[i].iov_base, iov[i].iov_len)
		                     : copy_guarded(iov[i].iov_base, buffer, iov[i].iov_len);

		if (result < 0)
			return result;
		buffer += iov[i].iov_len;
	}
	return 0;
}

/* Pins and copies; a range in more pieces than fit is halved until it does. */
static int copy(struct standin_device *dev, uint64_t iova, char *buffer, size_t size,
                enum standin_dma direction)
{
	struct iovec iov[COPY_SEGMENTS];
	size_t done = 0, piece = size;
	unsigned n;
	int result;

	while (done < size) {
		if (piece > size - done)
			piece = size - done;
		n = 0;
		result = standin_dma_map(dev, iova + done, piece, direction, iov, COPY_SEGMENTS,
		                         &n);
		if (result == -E2BIG) {
			piece = (piece + 1) / 2;
			continue;
		}
		if (result < 0)
			return result;
		result = copy_segments(iov, n, buffer + done, direction);
		standin_dma_unmap(dev, iova + done, piece);
		if (result < 0) {
			record_fault(dev, iova + done, direction);
			return result;
		}
		done += piece;
	}
	return 0;
}

int standin_dma_read(struct standin_device *dev, uint64_t iova, void *buffer, size_t size)
{
	return copy(dev, iova, buffer, size, STANDIN_DMA_READ);
}

int standin_dma_write(struct standin_device *dev, uint64_t iova, const void *buffer, size_t size)
{
	return copy(dev, iova, (char *)buffer, size, STANDIN_DMA_WRITE);
}

int standin_copy_to(void *driver_memory, const void *buffer, size_t size)
{
	return copy_guarded(driver_memory, buffer, size);
}

int standin_copy_from(void *buffer, const void *driver_memory, size_t size)
{
	return copy_guarded(buffer, driver_memory, size);
}
