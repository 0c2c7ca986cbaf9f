/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The educational device that QEMU documents (docs/specs/edu), and the model to read
 * first: a PCI function with one BAR of registers, interrupts and DMA.
 *
 * Everything happens while the register is written: a factorial is ready and a DMA is over
 * when the store returns.  The real thing takes its time, and says so in bits that drivers
 * poll; polling them here ends at once.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <standin/device.h>

/* Registers in BAR 0.  Below 0x80 they are 32 bits wide, from there on 64. */
enum {
	EDU_IDENTIFICATION = 0x00, /* major and minor version, 0xed */
	EDU_LIVENESS = 0x04,       /* reads as the inverse of what was written */
	EDU_FACTORIAL = 0x08,      /* write n, read n! */
	EDU_STATUS = 0x20,
	EDU_IRQ_STATUS = 0x24,
	EDU_IRQ_RAISE = 0x60, /* sets bits of the interrupt status */
	EDU_IRQ_ACK = 0x64,   /* clears them */
	EDU_DMA_SOURCE = 0x80,
	EDU_DMA_DESTINATION = 0x88,
	EDU_DMA_COUNT = 0x90,
	EDU_DMA_COMMAND = 0x98,
};

#define EDU_VERSION 0x010000edu

#define EDU_STATUS_FACTORIAL_IRQ 0x80u /* raise EDU_IRQ_FACTORIAL when computed */

#define EDU_IRQ_FACTORIAL 0x001u
#define EDU_IRQ_DMA       0x100u

#define EDU_DMA_START  1u
#define EDU_DMA_TO_RAM 2u /* else from RAM to the device's buffer */
#define EDU_DMA_RAISE  4u

#define EDU_BUFFER      0x40000u /* where the device sees its own buffer */
#define EDU_BUFFER_SIZE 4096u

struct edu {
	pthread_mutex_t lock; /* of everything below but dma_mask */
	uint32_t liveness;
	uint32_t factorial;
	uint32_t status;
	uint32_t irq_status;
	uint64_t dma_source, dma_destination, dma_count, dma_command;
	uint64_t dma_mask;
	uint8_t buffer[EDU_BUFFER_SIZE];
};

static void edu_raise(struct standin_device *dev, struct edu *edu, uint32_t bits)
{
	edu->irq_status |= bits;
	if (!edu->irq_status)
		return;
	standin_irq_message(dev, 0);
	standin_irq_level(dev, true);
}

static void edu_acknowledge(struct standin_device *dev, struct edu *edu, uint32_t bits)
{
	edu->irq_status &= ~bits;
	if (!edu->irq_status)
		standin_irq_level(dev, false);
}

/* Modulo 2^32, where 34! and all that follow are 0. */
static uint32_t factorial(uint32_t n)
{
	uint32_t product = 1;

	if (n >= 34)
		return 0;
	for (; n > 1; n--)
		product *= n;
	return product;
}

/* Where `count` bytes at the device's address `at` are in its buffer, or NULL. */
static uint8_t *edu_buffer(struct edu *edu, uint64_t at, uint64_t count)
{
	if (at < EDU_BUFFER || count > EDU_BUFFER_SIZE || at - EDU_BUFFER > EDU_BUFFER_SIZE - count)
		return NULL;
	return edu->buffer + (at - EDU_BUFFER);
}

/* A transfer outside the buffer or to memory that isn't mapped just does not happen. */
static void edu_dma(struct standin_device *dev, struct edu *edu)
{
	uint64_t count = edu->dma_count;
	uint8_t *buffer;

	if (edu->dma_command & EDU_DMA_TO_RAM) {
		buffer = edu_buffer(edu, edu->dma_source, count);
		if (buffer)
			standin_dma_write(dev, edu->dma_destination & edu->dma_mask, buffer, count);
	} else {
		buffer = edu_buffer(edu, edu->dma_destination, count);
		if (buffer)
			standin_dma_read(dev, edu->dma_source & edu->dma_mask, buffer, count);
	}
	edu->dma_command &= ~(uint64_t)EDU_DMA_START;
	if (edu->dma_command & EDU_DMA_RAISE)
		edu_raise(dev, edu, EDU_IRQ_DMA);
}

/* Below 0x80 accesses of 4 bytes count, from there on of 4 or 8; others do nothing. */
static bool edu_size_valid(uint64_t offset, unsigned size)
{
	return size == 4 || (size == 8 && offset >= EDU_DMA_SOURCE);
}

static uint64_t edu_bar_read(struct standin_device *dev, unsigned bar, uint64_t offset,
			     unsigned size)
{
	struct edu *edu = standin_device_state(dev);
	uint64_t value = ~(uint64_t)0;

	if (!edu_size_valid(offset, size))
		return value;
	pthread_mutex_lock(&edu->lock);
	switch (offset) {
	case EDU_IDENTIFICATION:
		value = EDU_VERSION;
		break;
	case EDU_LIVENESS:
		value = edu->liveness;
		break;
	case EDU_FACTORIAL:
		value = edu->factorial;
		break;
	case EDU_STATUS:
		value = edu->status;
		break;
	case EDU_IRQ_STATUS:
		value = edu->irq_status;
		break;
	case EDU_DMA_SOURCE:
		value = edu->dma_source;
		break;
	case EDU_DMA_DESTINATION:
		value = edu->dma_destination;
		break;
	case EDU_DMA_COUNT:
		value = edu->dma_count;
		break;
	case EDU_DMA_COMMAND:
		value = edu->dma_command;
		break;
	}
	pthread_mutex_unlock(&edu->lock);
	return value;
}

static void edu_bar_write(struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size,
			  uint64_t value)
{
	struct edu *edu = standin_device_state(dev);

	if (!edu_size_valid(offset, size))
		return;
	pthread_mutex_lock(&edu->lock);
	switch (offset) {
	case EDU_LIVENESS:
		edu->liveness = ~(uint32_t)value;
		break;
	case EDU_FACTORIAL:
		edu->factorial = factorial((uint32_t)value);
		if (edu->status & EDU_STATUS_FACTORIAL_IRQ)
			edu_raise(dev, edu, EDU_IRQ_FACTORIAL);
		break;
	case EDU_STATUS:
		edu->status = (uint32_t)value & EDU_STATUS_FACTORIAL_IRQ;
		break;
	case EDU_IRQ_RAISE:
		edu_raise(dev, edu, (uint32_t)value);
		break;
	case EDU_IRQ_ACK:
		edu_acknowledge(dev, edu, (uint32_t)value);
		break;
	case EDU_DMA_SOURCE:
		edu->dma_source = value;
		break;
	case EDU_DMA_DESTINATION:
		edu->dma_destination = value;
		break;
	case EDU_DMA_COUNT:
		edu->dma_count = value;
		break;
	case EDU_DMA_COMMAND:
		edu->dma_command = value;
		if (value & EDU_DMA_START)
			edu_dma(dev, edu);
		break;
	}
	pthread_mutex_unlock(&edu->lock);
}

static void edu_reset(struct standin_device *dev)
{
	struct edu *edu = standin_device_state(dev);

	pthread_mutex_lock(&edu->lock);
	edu->liveness = edu->factorial = edu->status = edu->irq_status = 0;
	edu->dma_source = edu->dma_destination = edu->dma_count = edu->dma_command = 0;
	memset(edu->buffer, 0, sizeof(edu->buffer));
	standin_irq_level(dev, false);
	pthread_mutex_unlock(&edu->lock);
}

static int edu_realize(struct standin_device *dev, struct standin_pci *pci)
{
	struct edu *edu = standin_device_state(dev);
	int r;

	r = standin_config_number(dev, "dma_mask", ((uint64_t)1 << 28) - 1, 0, UINT64_MAX,
				  &edu->dma_mask);
	if (r < 0)
		return r;
	pthread_mutex_init(&edu->lock, NULL);

	*pci = (struct standin_pci){
		.vendor = 0x1234,
		.device = 0x11e8,
		.subsystem_vendor = 0x1af4,
		.subsystem_device = 0x1100,
		.revision = 0x10,
		.class_code = 0x00ff00,
		.interrupt_pin = 1,
		.msi_vectors = 1,
		.bar[0] = {.size = 1u << 20},
	};
	return 0;
}

static void edu_unrealize(struct standin_device *dev)
{
	struct edu *edu = standin_device_state(dev);

	pthread_mutex_destroy(&edu->lock);
}

static const struct standin_key edu_keys[] = {
	{"dma_mask", "addresses are taken modulo this (default: 0xfffffff, 28 bits)"},
	{NULL},
};

static const struct standin_model edu_model = {
	.struct_size = sizeof(struct standin_model),
	.api_version = STANDIN_MODEL_API,
	.name = "edu",
	.longname = "QEMU's educational device",
	.keys = edu_keys,
	.state_size = sizeof(struct edu),
	.realize = edu_realize,
	.unrealize = edu_unrealize,
	.reset = edu_reset,
	.bar_read = edu_bar_read,
	.bar_write = edu_bar_write,
};

STANDIN_MODEL(edu_model)
