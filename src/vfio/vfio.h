/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio/vfio.h - the objects of the VFIO room and who may touch them.
 *
 * One IOMMU group per device; the group's number is the device's index.  As in the
 * kernel, containers, groups and devices may be closed in any order: an open device keeps
 * its group's file, and an attached group keeps its container.
 *
 * Locks, outermost first: group->lock, container->lock, device->reset_lock, device->igate,
 * device->config_lock, device->irq_lock.
 */
#ifndef STANDIN_VFIO_VFIO_H
#define STANDIN_VFIO_VFIO_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/device.h"
#include "core/file.h"
#include "core/ioctl.h"
#include "core/line.h"
#include "uapi/vfio.h"

#define VFIO_PAGE_SIZE    4096u
#define VFIO_OFFSET_SHIFT 40

struct eventfd_watch;
struct file;
struct instance;
struct trace_line;
struct type1;

/* ---- containers (container.c) ---- */

struct vfio_container {
	_Atomic unsigned refs; /* the file, and each attached group */
	pthread_mutex_t lock;
	struct vfio_group *groups;
	struct type1 *_Atomic iommu; /* NULL until VFIO_SET_IOMMU; changed under the lock */
};

extern const struct file_ops vfio_container_ops;
extern const struct ioctl_table vfio_container_table;

struct vfio_container *vfio_container_of(struct file *f);
/* Called with group->lock held.  0 or -errno. */
int vfio_container_attach(struct vfio_container *c, struct vfio_group *group);
void vfio_container_detach(struct vfio_group *group);

/* ---- the type1 IOMMU (type1.c); all called with the container's lock held ---- */

struct type1 {
	struct iova_map *map;
	bool v2;
	bool dirty_tracking;
	uint32_t avail;         /* mappings that may still be made */
	unsigned invalid_count; /* mappings whose vaddr is invalidated */
};

/* Owner's bits of iova_range.flags. */
#define TYPE1_VADDR_INVALID 0x100u
#define TYPE1_LOCKED        0x200u /* charged to RLIMIT_MEMLOCK */

int type1_create(unsigned long type, struct type1 **ret_iommu);
void type1_destroy(struct type1 *t);
/* `t` may be NULL: no driver chosen yet. */
long type1_check_extension(const struct type1 *t, unsigned long extension);
long type1_get_info(struct type1 *t, const struct ioctl_call *call);
long type1_map(struct type1 *t, const struct vfio_iommu_type1_dma_map *map);
long type1_unmap(struct type1 *t, const struct ioctl_call *call);
long type1_dirty_pages(struct type1 *t, const struct ioctl_call *call);

struct iova_range;
/* type1_dirty.c: what GET_BITMAP reports of one mapping, for a bitmap that begins at base. */
long type1_report_dirty(uint64_t bitmap, const struct iova_range *range, uint64_t base);
/* -EINVAL unless a bitmap of `size` bytes can hold `pages` bits. */
int type1_check_bitmap(uint64_t pages, uint64_t size);
/* The kernel's access_ok(): might [address, address+size) be the client's at all? */
bool type1_user_range(uint64_t address, uint64_t size);
/* How many pages a mapping may have while dirty pages are tracked. */
#define TYPE1_DIRTY_PAGES_MAX 0x7fffffffu
#define TYPE1_DIRTY_SIZE_MAX  0x10000000u

/* ---- what a mapping's memory must be (vaddr.c) ---- */

/* 0, or -EFAULT if the client's [vaddr, vaddr+size) can't be a DMA target or source. */
int vaddr_check(uint64_t vaddr, uint64_t size, bool write);
/* Charges pages to the process: 0 or -ENOMEM.  *ret_charged: whether there is to uncharge. */
int vaddr_charge(uint64_t size, bool *ret_charged);
void vaddr_uncharge(uint64_t size);

/* ---- groups (group.c) ---- */

struct vfio_device;

struct vfio_group {
	pthread_mutex_t lock;
	unsigned number;
	bool opened;       /* single open */
	struct file *file; /* valid while opened; not a reference */
	int claim;         /* descriptor with the lock that other processes see, or -1 */
	struct vfio_container *container;
	struct vfio_group *next; /* in container->groups */
	unsigned users;          /* open devices */
	struct vfio_device *device;
};

extern const struct file_ops vfio_group_ops;
extern const struct ioctl_table vfio_group_table;

int vfio_group_create(struct standin_device *dev, struct vfio_group **ret_group);
void vfio_group_destroy(struct vfio_group *group);

/* ---- devices (device.c) ---- */

struct vfio_irqs {
	_Atomic int type; /* VFIO_PCI_*_IRQ_INDEX, or VFIO_PCI_NUM_IRQS: none enabled */
	struct line intx, err, req;
	bool masked;        /* INTx; under irq_lock */
	bool virq_disabled; /* the command register's INTx disable; under irq_lock */
	struct eventfd_watch *unmask;
	unsigned msi_allocated;    /* vectors that MSI was enabled with */
	_Atomic unsigned msi_qmax; /* log2 of that, rounded up */
};

struct vfio_ioeventfd;

struct vfio_device {
	struct standin_device *dev;
	struct vfio_group *group;
	bool opened;                /* under group->lock */
	pthread_mutex_t reset_lock; /* one reset at a time */

	pthread_mutex_t igate; /* interrupt setup */
	struct vfio_irqs irqs;
	pthread_mutex_t irq_lock;

	pthread_mutex_t config_lock;
	unsigned config_size;
	uint8_t physical[PCI_CONFIG_SIZE]; /* what the hardware would show */
	uint8_t virtual[PCI_CONFIG_SIZE];  /* what the driver is shown where `virt` has ones */
	uint8_t kind[PCI_CONFIG_SIZE];     /* the capability each byte belongs to */
	uint8_t virt[PCI_CONFIG_SIZE];     /* bits that are virtual */
	uint8_t write[PCI_CONFIG_SIZE];    /* bits that the driver may write */
	uint8_t hardware[PCI_CONFIG_SIZE]; /* bits that the hardware lets change */
	bool bars_dirty;
	_Atomic bool memory_enabled;
	unsigned pm, msi, msix, express; /* offsets of capabilities, 0: none */

	pthread_mutex_t ioeventfd_lock;
	struct vfio_ioeventfd *ioeventfds;
	unsigned n_ioeventfds;

	pthread_mutex_t power_lock;
	_Atomic bool low_power; /* VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY in force */
	struct line wakeup;
};

extern const struct file_ops vfio_device_ops;
extern const struct ioctl_table vfio_device_table;

int vfio_device_create(struct standin_device *dev, struct vfio_group *group,
		       struct vfio_device **ret_device);
void vfio_device_destroy(struct vfio_device *v);
/* VFIO_GROUP_GET_DEVICE_FD, with group->lock held: a descriptor or -errno. */
int vfio_device_open(struct vfio_device *v, struct file *group_file);
struct vfio_device *vfio_device_of(struct file *f);
/* Resets the function and restores what the PCI core would (config space, interrupts). */
void vfio_device_reset(struct vfio_device *v);
bool vfio_device_can_reset(const struct vfio_device *v);
/* An access while in low power wakes the device up. */
void vfio_device_wake(struct vfio_device *v);

/* ---- configuration space (pci_config.c) ---- */

void vfio_config_open(struct vfio_device *v);
ssize_t vfio_config_read(struct vfio_device *v, void *buffer, size_t size, uint64_t position);
ssize_t vfio_config_write(struct vfio_device *v, const void *buffer, size_t size,
			  uint64_t position);
/* What enabling MSI-X does to the hardware's register, which the driver can read. */
void vfio_config_show_msix(struct vfio_device *v, bool enabled);
/* Tells the model the command register (after a reset, or when it changed). */
void vfio_config_apply_command(struct vfio_device *v);
/* The power state D0. */
void vfio_config_power_on(struct vfio_device *v);
bool vfio_config_in_d0(struct vfio_device *v);

/* ---- regions (regions.c) ---- */

ssize_t vfio_region_read(struct file *f, void *buffer, size_t size, off_t offset);
ssize_t vfio_region_write(struct file *f, const void *buffer, size_t size, off_t offset);
int vfio_region_mmap(struct file *f, struct map_request *request);
bool vfio_region_mappable(const struct vfio_device *v, unsigned bar);

/* ---- interrupts (irqs.c) ---- */

void vfio_irqs_init(struct vfio_device *v);
void vfio_irqs_finish(struct vfio_device *v);
/* When the last descriptor goes: everything disconnected. */
void vfio_irqs_disable(struct vfio_device *v);
/* Puts back into the device what a reset cleared. */
void vfio_irqs_restore(struct vfio_device *v);
unsigned vfio_irqs_count(const struct vfio_device *v, unsigned index);
/* The command register's INTx disable bit changed. */
void vfio_irqs_intx_disable(struct vfio_device *v, bool disabled);
long vfio_set_irqs(struct file *f, struct ioctl_call *call);
long vfio_get_irq_info(struct file *f, struct ioctl_call *call);
/* The client's eventfd as a private descriptor: -EBADF, -EINVAL if it is none. */
int vfio_eventfd_take(int fd);

/* ---- one file each ---- */

long vfio_ioeventfd(struct file *f, struct ioctl_call *call);
void vfio_ioeventfd_release_all(struct vfio_device *v);
long vfio_feature(struct file *f, struct ioctl_call *call);
void vfio_feature_release(struct vfio_device *v);
long vfio_hot_reset_info(struct file *f, struct ioctl_call *call);
long vfio_hot_reset(struct file *f, struct ioctl_call *call);

/* The group with that number, or NULL (interface.c). */
struct vfio_group *vfio_group_by_number(unsigned number);

/* ---- decoding for the trace (decode.c) ---- */

/* What an offset in the device file means: "bar0+0x1000". */
void vfio_trace_offset(const struct file *f, struct trace_line *t, off_t offset);

#define VFIO_DECODER(name) void name(struct trace_line *t, const struct ioctl_call *call)
VFIO_DECODER(vfio_decode_extension);
VFIO_DECODER(vfio_decode_iommu_info);
VFIO_DECODER(vfio_decode_map);
VFIO_DECODER(vfio_decode_unmap);
VFIO_DECODER(vfio_decode_dirty);
VFIO_DECODER(vfio_decode_group_status);
VFIO_DECODER(vfio_decode_fd);
VFIO_DECODER(vfio_decode_device_name);
VFIO_DECODER(vfio_decode_device_info);
VFIO_DECODER(vfio_decode_region_info);
VFIO_DECODER(vfio_decode_irq_info);
VFIO_DECODER(vfio_decode_set_irqs);
VFIO_DECODER(vfio_decode_hot_reset);
VFIO_DECODER(vfio_decode_ioeventfd);
VFIO_DECODER(vfio_decode_feature);

#endif
