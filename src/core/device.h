/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/device.h - an instance of a device model, seen from below the models.
 *
 * The public side is <standin/device.h>.  This one is for the rooms that carry a device
 * to the client (vfio, tree, memory): realizing it, reaching its registers, attaching it
 * to an address space, connecting its interrupts.
 *
 * Life: device_create() from configuration (parses nothing); device_realize() opens its
 * backend and makes its BAR memory, once, when first needed; device_destroy().
 */
#ifndef STANDIN_CORE_DEVICE_H
#define STANDIN_CORE_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <standin/device.h>

#include "core/config.h"
#include "core/line.h"

#define PCI_CONFIG_SIZE 4096u

struct iova_map;
struct mmio_region;
struct doorbell_poller;

struct standin_device {
	const struct standin_model *model;
	const struct device_config *config;
	char address[PCI_ADDRESS_MAX];
	unsigned index; /* in the instance; the IOMMU group's number */
	char error[CONFIG_ERROR_MAX];

	/* From here on valid once realized. */
	bool realized;
	pthread_mutex_t lock; /* realizing; irq mode changes */
	void *state;
	struct standin_pci pci;
	/*
	 * All BAR memory: one sparse memfd, BAR i at i << 40, mapped at bar_memory[i].  It is
	 * also the placeholder of the VFIO device file.
	 */
	int memory_fd;
	uint8_t *bar_memory[STANDIN_PCI_BARS];

	/* DMA: NULL while not attached. Guarded by dma_lock (read for DMA, write to change). */
	pthread_rwlock_t dma_lock;
	struct iova_map *iova;
	_Atomic unsigned dma_pins; /* standin_dma_map()s not yet unmapped */
	/* Buffers that stand for another process's memory (core/device_foreign.c). */
	pthread_mutex_t foreign_lock;
	struct foreign_buffer *foreign;
	_Atomic unsigned n_foreign;
	_Atomic bool bus_master;
	_Atomic bool memory_off; /* mapped registers raise SIGBUS: see mmio_memory_enable() */
	_Atomic uint64_t iommu_faults;

	/* Interrupts. */
	_Atomic int irq_mode;      /* enum standin_irq_mode */
	struct line *vectors;      /* MSI or MSI-X: as many as the device declares */
	unsigned n_vectors;        /* size of `vectors` */
	_Atomic unsigned n_enabled; /* MSI: how many the driver enabled */
	void (*intx_changed)(struct standin_device *dev, bool asserted); /* set by vfio */
	void *vfio;                /* the vfio room's object */
	_Atomic bool intx_asserted;

	struct doorbell_poller *poller; /* memory room's; NULL until first used */
};

const struct standin_model *model_find(const char *name);
/* In order of registration (by name). */
void model_each(void (*each)(const struct standin_model *model, void *arg), void *arg);

int device_create(const struct device_config *config, unsigned index,
                  struct standin_device **ret_device);
void device_destroy(struct standin_device *dev);
/* Idempotent.  0 or -errno, and then dev->error says why in one line. */
int device_realize(struct standin_device *dev);
/* Realizes and unrealizes: what `standin run` does to check a command line. */
int device_check(struct standin_device *dev);
void device_reset(struct standin_device *dev);

/*
 * The registers.  `offset` + `size` lies inside the BAR; size is 1, 2, 4 or 8.  Handle
 * SHADOW, RAM and MSI-X table accesses, then the model's callbacks; traced.
 */
uint64_t device_bar_read(struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size);
void device_bar_write(struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size,
                      uint64_t value);
/* The kind of the page at `offset`. */
enum standin_page device_page_kind(const struct standin_device *dev, unsigned bar, uint64_t offset);

/*
 * For a range that is, in part, in another process (iova_map_pin() said -EXDEV), with
 * dma_lock held for reading: as standin_dma_map(), by a buffer.  Its unmap answers whether
 * the range was such a one, and if so is all that there is to do.
 */
int device_foreign_map(struct standin_device *dev, uint64_t iova, size_t size,
                       enum standin_dma direction, struct iovec *iov, unsigned max_iov,
                       unsigned *n_iov);
bool device_foreign_unmap(struct standin_device *dev, uint64_t iova, size_t size);

/* Address space: NULL detaches, and waits for DMA in flight to that map's end. */
void device_attach(struct standin_device *dev, struct iova_map *map);
void device_set_command(struct standin_device *dev, uint16_t command);

/*
 * The physical configuration space that the declaration implies: header, then PM, MSI,
 * MSI-X and PCIe capabilities.  Zero-based, PCI_CONFIG_SIZE bytes; returns its size, 256
 * or 4096.
 */
unsigned pci_build_config(const struct standin_pci *pci, uint8_t config[PCI_CONFIG_SIZE]);
/*
 * The addresses that firmware would have given the BARs, from the windows a PC has, 0 where
 * there is no BAR.  They depend on the device's place in the instance and on nothing else,
 * so that sysfs and configuration space agree.  The second writes them into the registers.
 */
#define PCI_MEMORY_WINDOW     0xc0000000ull
#define PCI_MEMORY_WINDOW_END 0xfe000000ull /* the IOMMU's and the APIC's registers follow */
void pci_place_bars(const struct standin_device *dev, uint64_t address[STANDIN_PCI_BARS]);
void pci_write_bars(const struct standin_pci *pci, const uint64_t address[STANDIN_PCI_BARS],
                    uint8_t config[PCI_CONFIG_SIZE]);
/* The offset of capability `id` in a configuration space, or 0. */
unsigned pci_find_capability(const uint8_t *config, uint8_t id);

/*
 * MSI-X table in BAR memory (core/msix.c).  enable() is what the host's driver does when
 * vectors are set up: fills the entry and unmasks it.
 */
bool msix_covers(const struct standin_device *dev, unsigned bar, uint64_t offset);
void msix_entry_enable(struct standin_device *dev, unsigned vector, bool enabled);
void msix_table_write(struct standin_device *dev, uint64_t offset, unsigned size, uint64_t value);
void msix_raise(struct standin_device *dev, unsigned vector);
void msix_reset(struct standin_device *dev);

#endif
