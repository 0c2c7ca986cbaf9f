/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * devices/virtio_pci.h - the modern PCI transport that the virtio models share.
 *
 * Virtual I/O Device specification 1.2, sections 2.1 to 2.4 and 4.1.  A model's state begins
 * with a struct virtio; it fills in what is marked so, calls virtio_realize() in its realize(),
 * and uses VIRTIO_MODEL_CALLBACKS.  One BAR:
 *
 *	0x0000	common configuration, ISR status, device configuration (trapped)
 *	0x1000	notifications, four bytes for each queue (doorbells)
 *	0x2000	MSI-X table, 0x3000 pending bits
 *
 * Threads.  Work on a queue is done by whoever finds it: the thread that notified (inside a
 * signal handler), the device's poller, a thread of the backend's.
 *
 *  - virtio.lock: registers and life cycle.  queue->lock: the queue's struct virtqueue.
 *    irq_lock: ISR status and INTx.  Held for some instructions, none while another is taken,
 *    but queue->lock inside lock.
 *  - gate: counts who is inside.  It opens with DRIVER_OK; a reset closes it and is over, and
 *    the device status reads 0, when the last one has left.
 */
#ifndef STANDIN_DEVICES_VIRTIO_PCI_H
#define STANDIN_DEVICES_VIRTIO_PCI_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <standin/device.h>

#include "virtqueue/virtqueue.h"

#define VIRTIO_QUEUES      64u
#define VIRTIO_QUEUE_SIZE  256u /* entries, at most */
#define VIRTIO_CONFIG_SIZE 128u

#define VIRTIO_STATUS_DRIVER_OK   0x04u
#define VIRTIO_STATUS_FEATURES_OK 0x08u
#define VIRTIO_STATUS_NEEDS_RESET 0x40u

struct virtio;

struct virtio_queue {
	struct virtio *virtio;
	unsigned index;
	pthread_mutex_t lock;
	struct virtqueue vq; /* valid while `enabled` */
	bool enabled;
	uint16_t num, vector;
	uint64_t address[VIRTQUEUE_PARTS];
};

struct virtio {
	struct standin_device *dev;

	/* The model fills these in before virtio_realize(). */
	uint16_t type; /* 2: block */
	uint32_t class_code;
	uint64_t offered; /* device-specific features */
	bool split_only;  /* packed rings are not offered */
	unsigned n_queues;
	uint8_t config[VIRTIO_CONFIG_SIZE]; /* device configuration, as the driver reads it */
	unsigned config_size;
	/* There may be chains to fetch: called inside the gate, on any thread. */
	void (*work)(struct virtio_queue *queue);
	/*
	 * The driver is about to be ready: features are settled, nobody is inside.  Runs with
	 * lock held, perhaps in a signal handler.  NULL: nothing is done.
	 */
	void (*begin)(struct virtio *v);
	/* Work is done by a thread of the model's, which work() wakes; it looks at queues itself
	 * while it is busy, and tells drivers not to notify meanwhile.  So notifications are never
	 * polled here. */
	bool own_thread;

	uint64_t features; /* negotiated; settled when the gate is open */

	/* The transport's. */
	pthread_mutex_t lock;
	_Atomic uint32_t gate;
	bool resetting;
	uint8_t status;
	uint32_t device_feature_select, driver_feature_select;
	uint64_t driver_features;
	uint16_t config_vector, queue_select;
	pthread_mutex_t irq_lock;
	uint8_t isr;
	struct virtio_queue queues[VIRTIO_QUEUES];
	uint8_t capability[4][20];
	struct standin_capability capabilities[4];
};

/* What the transport tells the ring engine: for a queue whose owner it is. */
extern const struct virtqueue_ops virtio_ring_ops;

/* Fills *pci and makes the queues.  After it, virtio_unrealize() must follow. */
void virtio_realize(struct virtio *v, struct standin_device *dev, struct standin_pci *pci);
void virtio_unrealize(struct virtio *v);

/* Whether the device works; then virtio_leave() must follow. */
bool virtio_enter(struct virtio *v);
/* For somebody who is inside: once more, for a request that completes later. */
void virtio_enter_again(struct virtio *v);
void virtio_leave(struct virtio *v);

/* Sends the queue's interrupt. */
void virtio_interrupt(struct virtio_queue *queue);
/* The driver broke the rules: DEVICE_NEEDS_RESET and a configuration interrupt. */
void virtio_broken(struct virtio *v);

/* The model's callbacks. */
void virtio_reset(struct standin_device *dev);
uint64_t virtio_bar_read(struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size);
void virtio_bar_write(struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size,
		      uint64_t value);
bool virtio_doorbells(struct standin_device *dev);

#define VIRTIO_MODEL_CALLBACKS                                                             \
	.reset = virtio_reset, .bar_read = virtio_bar_read, .bar_write = virtio_bar_write, \
	.doorbells = virtio_doorbells

#endif
