/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The virtio PCI transport.
 *
 * A notification's value is the queue's number, each time the same, so that a poller can't
 * see it in doorbell memory; it looks at the rings instead, which say the same.
 */
#include "devices/virtio_pci.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <string.h>

#include "core/syscall.h"

#define COMMON      0x000u
#define COMMON_SIZE 56u
#define ISR         0x100u
#define CONFIG      0x200u
#define NOTIFY      0x1000u
#define NOTIFY_SIZE 0x1000u
#define NOTIFY_STEP 4u
#define MSIX_TABLE  0x2000u
#define MSIX_PBA    0x3000u
#define BAR_SIZE    0x4000u
#define PAGE_SIZE_  0x1000u

#define GATE_CLOSED 0x80000000u

#define ISR_QUEUE  1u
#define ISR_CONFIG 2u

/* What every virtio device here offers: it reaches memory through an IOMMU (33). */
#define TRANSPORT_FEATURES                                                           \
	(VIRTQUEUE_F_INDIRECT_DESC | VIRTQUEUE_F_EVENT_IDX | VIRTQUEUE_F_VERSION_1 | \
	 VIRTQUEUE_F(33) | VIRTQUEUE_F_PACKED)

static uint64_t offered(const struct virtio *v)
{
	return v->offered |
	       (TRANSPORT_FEATURES & ~(v->split_only ? VIRTQUEUE_F_PACKED : UINT64_C(0)));
}

/* ---- the rings' memory ---- */

static enum standin_dma direction(unsigned access)
{
	return access & VIRTQUEUE_WRITE ? STANDIN_DMA_WRITE : STANDIN_DMA_READ;
}

static int map(void *owner, uint64_t address, uint64_t size, unsigned access, struct iovec *iov,
	       unsigned max_iov)
{
	struct virtio_queue *queue = owner;
	unsigned n = 0;
	int result = standin_dma_map(queue->virtio->dev, address, size, direction(access), iov,
				     max_iov, &n);

	return result < 0 ? result : (int)n;
}

static void unmap(void *owner, uint64_t address, uint64_t size, unsigned access)
{
	struct virtio_queue *queue = owner;

	standin_dma_unmap(queue->virtio->dev, address, size);
}

static int window(void *owner, uint64_t address, unsigned access,
		  struct virtqueue_window *ret_window)
{
	struct virtio_queue *queue = owner;
	struct standin_dma_window w;

	if (standin_dma_window(queue->virtio->dev, address, &w) < 0)
		return -EFAULT;
	*ret_window = (struct virtqueue_window){
		.first = w.first,
		.last = w.last,
		.memory = w.memory,
		.access = VIRTQUEUE_RING | (w.access & STANDIN_DMA_READ ? VIRTQUEUE_READ : 0u) |
			  (w.access & STANDIN_DMA_WRITE ? VIRTQUEUE_WRITE : 0u),
	};
	return 0;
}

static void unwindow(void *owner, const struct virtqueue_window *w)
{
	struct virtio_queue *queue = owner;

	standin_dma_window_end(queue->virtio->dev,
			       &(struct standin_dma_window){.first = w->first, .last = w->last});
}

const struct virtqueue_ops virtio_ring_ops = {
	.map = map,
	.unmap = unmap,
	.window = window,
	.unwindow = unwindow,
};

/* ---- interrupts ---- */

static void interrupt(struct virtio *v, uint16_t vector, uint8_t isr)
{
	if (standin_irq_mode(v->dev) == STANDIN_IRQ_MSIX) {
		if (vector != VIRTIO_MSI_NO_VECTOR)
			standin_irq_message(v->dev, vector);
		return;
	}
	pthread_mutex_lock(&v->irq_lock);
	v->isr |= isr;
	standin_irq_level(v->dev, true);
	pthread_mutex_unlock(&v->irq_lock);
}

static uint8_t take_isr(struct virtio *v)
{
	uint8_t isr;

	pthread_mutex_lock(&v->irq_lock);
	isr = v->isr;
	v->isr = 0;
	standin_irq_level(v->dev, false);
	pthread_mutex_unlock(&v->irq_lock);
	return isr;
}

void virtio_interrupt(struct virtio_queue *queue)
{
	interrupt(queue->virtio, queue->vector, ISR_QUEUE);
}

void virtio_broken(struct virtio *v)
{
	bool news;

	pthread_mutex_lock(&v->lock);
	news = v->status & VIRTIO_STATUS_DRIVER_OK && !(v->status & VIRTIO_STATUS_NEEDS_RESET);
	if (news)
		v->status |= VIRTIO_STATUS_NEEDS_RESET;
	pthread_mutex_unlock(&v->lock);
	if (news)
		interrupt(v, v->config_vector, ISR_CONFIG);
}

/* ---- life cycle ---- */

/* Nobody is inside; lock held. */
static void finish_reset(struct virtio *v)
{
	for (unsigned i = 0; i < v->n_queues; i++) {
		struct virtio_queue *queue = &v->queues[i];

		pthread_mutex_lock(&queue->lock);
		if (queue->enabled)
			virtqueue_release(&queue->vq);
		queue->enabled = false;
		queue->num = VIRTIO_QUEUE_SIZE;
		queue->vector = VIRTIO_MSI_NO_VECTOR;
		memset(queue->address, 0, sizeof(queue->address));
		pthread_mutex_unlock(&queue->lock);
	}
	v->status = 0;
	v->device_feature_select = v->driver_feature_select = 0;
	v->driver_features = v->features = 0;
	v->config_vector = VIRTIO_MSI_NO_VECTOR;
	v->queue_select = 0;
	v->resetting = false;
	take_isr(v);
}

bool virtio_enter(struct virtio *v)
{
	if (!(atomic_fetch_add(&v->gate, 1) & GATE_CLOSED))
		return true;
	virtio_leave(v);
	return false;
}

void virtio_enter_again(struct virtio *v)
{
	atomic_fetch_add(&v->gate, 1);
}

void virtio_leave(struct virtio *v)
{
	if (atomic_fetch_sub(&v->gate, 1) != (GATE_CLOSED | 1))
		return;
	pthread_mutex_lock(&v->lock);
	if (v->resetting && atomic_load(&v->gate) == GATE_CLOSED)
		finish_reset(v);
	pthread_mutex_unlock(&v->lock);
}

/* lock held */
static void begin_reset(struct virtio *v)
{
	v->resetting = true;
	if (atomic_fetch_or(&v->gate, GATE_CLOSED) % GATE_CLOSED == 0)
		finish_reset(v);
}

void virtio_reset(struct standin_device *dev)
{
	static const struct timespec moment = {.tv_nsec = 20000};
	struct virtio *v = standin_device_state(dev);

	pthread_mutex_lock(&v->lock);
	begin_reset(v);
	while (v->resetting) {
		pthread_mutex_unlock(&v->lock);
		host_syscall(SYS_nanosleep, &moment, NULL);
		pthread_mutex_lock(&v->lock);
	}
	pthread_mutex_unlock(&v->lock);
}

/* Whether the device begins to work.  lock held. */
static bool set_status(struct virtio *v, uint8_t status)
{
	bool begins;

	if (status == 0) {
		begin_reset(v);
		return false;
	}
	if (v->resetting)
		return false;
	if (status & VIRTIO_STATUS_FEATURES_OK && !(v->status & VIRTIO_STATUS_FEATURES_OK)) {
		if (v->driver_features & ~offered(v) ||
		    !(v->driver_features & VIRTQUEUE_F_VERSION_1))
			status &= ~VIRTIO_STATUS_FEATURES_OK;
		else
			v->features = v->driver_features;
	}
	if (!(status & VIRTIO_STATUS_FEATURES_OK))
		status &= ~VIRTIO_STATUS_DRIVER_OK;
	begins = status & ~v->status & VIRTIO_STATUS_DRIVER_OK;
	/* Bits only ever get set. */
	v->status |= status & ~VIRTIO_STATUS_NEEDS_RESET;
	if (begins && v->begin)
		v->begin(v);
	if (begins)
		atomic_fetch_and(&v->gate, ~GATE_CLOSED);
	return begins;
}

static void enable_queue(struct virtio *v, struct virtio_queue *queue)
{
	struct virtqueue_config config = {
		.ops = &virtio_ring_ops,
		.owner = queue,
		.name = standin_device_address(v->dev),
		.features = v->features,
		.num = queue->num,
	};

	if (queue->enabled || !(v->status & VIRTIO_STATUS_FEATURES_OK))
		return;
	memcpy(config.address, queue->address, sizeof(config.address));
	pthread_mutex_lock(&queue->lock);
	queue->enabled = virtqueue_init(&queue->vq, &config) == 0;
	pthread_mutex_unlock(&queue->lock);
	if (!queue->enabled)
		v->status |= VIRTIO_STATUS_NEEDS_RESET;
}

/* ---- common configuration ---- */

static void put(uint8_t *image, unsigned offset, uint64_t value, unsigned size)
{
	memcpy(image + offset, &value, size);
}

static uint32_t feature_word(uint64_t features, uint32_t select)
{
	return select > 1 ? 0 : (uint32_t)(features >> 32 * select);
}

static uint64_t read_common(struct virtio *v, unsigned offset, unsigned size)
{
	uint8_t image[COMMON_SIZE + 8] = {0};
	uint64_t value = 0;

	pthread_mutex_lock(&v->lock);
	put(image, VIRTIO_PCI_COMMON_DFSELECT, v->device_feature_select, 4);
	put(image, VIRTIO_PCI_COMMON_DF, feature_word(offered(v), v->device_feature_select), 4);
	put(image, VIRTIO_PCI_COMMON_GFSELECT, v->driver_feature_select, 4);
	put(image, VIRTIO_PCI_COMMON_GF, feature_word(v->driver_features, v->driver_feature_select),
	    4);
	put(image, VIRTIO_PCI_COMMON_MSIX, v->config_vector, 2);
	put(image, VIRTIO_PCI_COMMON_NUMQ, v->n_queues, 2);
	put(image, VIRTIO_PCI_COMMON_STATUS, v->status, 1);
	put(image, VIRTIO_PCI_COMMON_Q_SELECT, v->queue_select, 2);
	if (v->queue_select < v->n_queues) {
		const struct virtio_queue *queue = &v->queues[v->queue_select];

		put(image, VIRTIO_PCI_COMMON_Q_SIZE, queue->num, 2);
		put(image, VIRTIO_PCI_COMMON_Q_MSIX, queue->vector, 2);
		put(image, VIRTIO_PCI_COMMON_Q_ENABLE, queue->enabled, 2);
		put(image, VIRTIO_PCI_COMMON_Q_NOFF, queue->index, 2);
		for (unsigned i = 0; i < VIRTQUEUE_PARTS; i++)
			put(image, VIRTIO_PCI_COMMON_Q_DESCLO + 8 * i, queue->address[i], 8);
	} else {
		put(image, VIRTIO_PCI_COMMON_Q_MSIX, VIRTIO_MSI_NO_VECTOR, 2);
	}
	pthread_mutex_unlock(&v->lock);
	memcpy(&value, image + offset, size);
	return value;
}

/* A vector that doesn't exist reads back as none. */
static uint16_t valid_vector(const struct virtio *v, uint64_t vector)
{
	return vector <= v->n_queues ? (uint16_t)vector : VIRTIO_MSI_NO_VECTOR;
}

static void write_queue(struct virtio *v, unsigned offset, unsigned size, uint64_t value)
{
	struct virtio_queue *queue;
	uint8_t *place;

	if (v->queue_select >= v->n_queues)
		return;
	queue = &v->queues[v->queue_select];
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_MSIX:
		queue->vector = valid_vector(v, value);
		return;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		if (value == 1)
			enable_queue(v, queue);
		return;
	case VIRTIO_PCI_COMMON_Q_SIZE:
		if (!queue->enabled && value > 0 && value <= VIRTIO_QUEUE_SIZE)
			queue->num = (uint16_t)value;
		return;
	}
	if (offset < VIRTIO_PCI_COMMON_Q_DESCLO || queue->enabled)
		return;
	place = (uint8_t *)queue->address + (offset - VIRTIO_PCI_COMMON_Q_DESCLO);
	memcpy(place, &value, size);
}

static void write_common(struct virtio *v, unsigned offset, unsigned size, uint64_t value)
{
	unsigned word = v->driver_feature_select;
	bool begins = false;

	pthread_mutex_lock(&v->lock);
	if (v->resetting && offset != VIRTIO_PCI_COMMON_STATUS) {
		pthread_mutex_unlock(&v->lock);
		return;
	}
	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		v->device_feature_select = (uint32_t)value;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		v->driver_feature_select = (uint32_t)value;
		break;
	case VIRTIO_PCI_COMMON_GF:
		if (word <= 1 && !(v->status & VIRTIO_STATUS_FEATURES_OK))
			v->driver_features =
				(v->driver_features & ~((uint64_t)0xffffffffu << 32 * word)) |
				(uint64_t)(uint32_t)value << 32 * word;
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		v->config_vector = valid_vector(v, value);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		begins = set_status(v, (uint8_t)value);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		v->queue_select = (uint16_t)value;
		break;
	default:
		write_queue(v, offset, size, value);
	}
	pthread_mutex_unlock(&v->lock);
	/* What was made available before counts as notified. */
	if (begins && virtio_enter(v)) {
		for (unsigned i = 0; i < v->n_queues; i++)
			if (v->queues[i].enabled)
				v->work(&v->queues[i]);
		virtio_leave(v);
	}
}

/* ---- accesses ---- */

uint64_t virtio_bar_read(struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size)
{
	struct virtio *v = standin_device_state(dev);
	uint64_t value = 0;

	if (bar != 0)
		return 0;
	if (offset < COMMON_SIZE && offset + size <= COMMON_SIZE)
		return read_common(v, (unsigned)offset, size);
	if (offset == ISR)
		return take_isr(v);
	if (offset >= CONFIG && offset + size <= CONFIG + v->config_size)
		memcpy(&value, v->config + (offset - CONFIG), size);
	return value;
}

static void notify(struct virtio *v, unsigned index)
{
	if (index >= v->n_queues || !virtio_enter(v))
		return;
	if (v->queues[index].enabled) {
		v->work(&v->queues[index]);
		if (!v->own_thread)
			standin_doorbells_poll(v->dev);
	}
	virtio_leave(v);
}

void virtio_bar_write(struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size,
		      uint64_t value)
{
	struct virtio *v = standin_device_state(dev);

	if (bar != 0)
		return;
	if (offset >= NOTIFY && offset < NOTIFY + NOTIFY_SIZE) {
		if (offset % NOTIFY_STEP == 0)
			notify(v, (unsigned)(offset - NOTIFY) / NOTIFY_STEP);
		return;
	}
	if (offset + size > COMMON_SIZE || offset % size)
		return;
	if (size == 8) {
		write_common(v, (unsigned)offset, 4, value & 0xffffffffu);
		write_common(v, (unsigned)offset + 4, 4, value >> 32);
		return;
	}
	write_common(v, (unsigned)offset, size, value);
}

bool virtio_doorbells(struct standin_device *dev)
{
	struct virtio *v = standin_device_state(dev);
	bool worked = false;

	if (v->own_thread || !virtio_enter(v))
		return false;
	for (unsigned i = 0; i < v->n_queues; i++) {
		struct virtio_queue *queue = &v->queues[i];
		int pending;

		if (!queue->enabled)
			continue;
		pthread_mutex_lock(&queue->lock);
		pending = virtqueue_pending(&queue->vq);
		virtqueue_release(&queue->vq);
		pthread_mutex_unlock(&queue->lock);
		if (pending == 1) {
			v->work(queue);
			worked = true;
		}
	}
	virtio_leave(v);
	return worked;
}

/* ---- set-up ---- */

static void add_capability(struct virtio *v, unsigned i, uint8_t type, uint32_t offset,
			   uint32_t length)
{
	uint8_t *c = v->capability[i], size = type == VIRTIO_PCI_CAP_NOTIFY_CFG ? 20 : 16;

	c[VIRTIO_PCI_CAP_VNDR] = PCI_CAP_ID_VNDR;
	c[VIRTIO_PCI_CAP_LEN] = size;
	c[VIRTIO_PCI_CAP_CFG_TYPE] = type;
	put(c, VIRTIO_PCI_CAP_OFFSET, offset, 4);
	put(c, VIRTIO_PCI_CAP_LENGTH, length, 4);
	if (size == 20)
		put(c, VIRTIO_PCI_NOTIFY_CAP_MULT, NOTIFY_STEP, 4);
	v->capabilities[i] = (struct standin_capability){.bytes = c, .size = size};
}

void virtio_realize(struct virtio *v, struct standin_device *dev, struct standin_pci *pci)
{
	static const struct standin_span spans[] = {
		{0, PAGE_SIZE_, STANDIN_PAGE_TRAP},
		{NOTIFY, NOTIFY_SIZE, STANDIN_PAGE_DOORBELL},
	};
	static const struct standin_span trapped[] = {
		{0, NOTIFY + NOTIFY_SIZE, STANDIN_PAGE_TRAP},
	};

	v->dev = dev;
	pthread_mutex_init(&v->lock, NULL);
	pthread_mutex_init(&v->irq_lock, NULL);
	for (unsigned i = 0; i < VIRTIO_QUEUES; i++) {
		v->queues[i].virtio = v;
		v->queues[i].index = i;
		v->queues[i].num = VIRTIO_QUEUE_SIZE;
		v->queues[i].vector = VIRTIO_MSI_NO_VECTOR;
		pthread_mutex_init(&v->queues[i].lock, NULL);
	}
	v->config_vector = VIRTIO_MSI_NO_VECTOR;
	atomic_init(&v->gate, GATE_CLOSED);
	add_capability(v, 0, VIRTIO_PCI_CAP_COMMON_CFG, COMMON, COMMON_SIZE);
	add_capability(v, 1, VIRTIO_PCI_CAP_ISR_CFG, ISR, 1);
	add_capability(v, 2, VIRTIO_PCI_CAP_DEVICE_CFG, CONFIG, v->config_size);
	add_capability(v, 3, VIRTIO_PCI_CAP_NOTIFY_CFG, NOTIFY, v->n_queues * NOTIFY_STEP);
	*pci = (struct standin_pci){
		.vendor = 0x1af4,
		.device = (uint16_t)(0x1040 + v->type),
		.subsystem_vendor = 0x1af4,
		.subsystem_device = 0x1100,
		.revision = 1,
		.class_code = v->class_code,
		.interrupt_pin = 1,
		.msix_vectors = (uint16_t)(v->n_queues + 1),
		.msix_bar = 0,
		.msix_table = MSIX_TABLE,
		.msix_pba = MSIX_PBA,
		.pcie = true,
		.power_management = true,
		.bar[0] = {.size = BAR_SIZE,
			   .flags = STANDIN_BAR_MEM64,
			   .spans = v->own_thread ? trapped : spans,
			   .n_spans = v->own_thread ? 1 : 2},
		.capabilities = v->capabilities,
		.n_capabilities = 4,
	};
}

void virtio_unrealize(struct virtio *v)
{
	for (unsigned i = 0; i < VIRTIO_QUEUES; i++)
		pthread_mutex_destroy(&v->queues[i].lock);
	pthread_mutex_destroy(&v->irq_lock);
	pthread_mutex_destroy(&v->lock);
}
