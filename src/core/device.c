/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Device models and the lives of their instances.
 *
 * Models register themselves before main().  An instance is created from its
 * configuration without touching anything; realizing it lets the model open its backend
 * and declare its PCI function, then gives it BAR memory: one sparse memfd with BAR i at
 * i << 40, so that the same file is the BARs' memory and the VFIO device's placeholder.
 */
#include "core/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/placeholder.h"

#define MODELS_MAX 64
#define PAGE       4096u

static const struct standin_model *models[MODELS_MAX];
static size_t n_models;

void standin_model_register(const struct standin_model *model)
{
	size_t at = n_models;

	if (model->api_version != STANDIN_MODEL_API || n_models == MODELS_MAX)
		return;
	for (; at > 0 && strcmp(models[at - 1]->name, model->name) > 0; at--)
		models[at] = models[at - 1];
	models[at] = model;
	n_models++;
}

const struct standin_model *model_find(const char *name)
{
	for (size_t i = 0; i < n_models; i++)
		if (strcmp(models[i]->name, name) == 0)
			return models[i];
	return NULL;
}

void model_each(void (*each)(const struct standin_model *model, void *arg), void *arg)
{
	for (size_t i = 0; i < n_models; i++)
		each(models[i], arg);
}

void *standin_device_state(const struct standin_device *dev)
{
	return dev->state;
}

const char *standin_device_address(const struct standin_device *dev)
{
	return dev->address;
}

void *standin_bar_memory(const struct standin_device *dev, unsigned bar)
{
	return dev->bar_memory[bar];
}

int device_create(const struct device_config *config, unsigned index,
                  struct standin_device **ret_device)
{
	struct standin_device *dev = calloc(1, sizeof(*dev));

	if (!dev)
		return -ENOMEM;
	dev->model = model_find(config->model);
	dev->config = config;
	dev->index = index;
	dev->memory_fd = -1;
	pci_address_format(&config->address, dev->address);
	pthread_mutex_init(&dev->lock, NULL);
	pthread_rwlock_init(&dev->dma_lock, NULL);
	pthread_mutex_init(&dev->foreign_lock, NULL);
	*ret_device = dev;
	return 0;
}

/* A model's declaration that makes no sense is a bug in the model; say so, don't run it. */
static int check_declaration(struct standin_device *dev)
{
	const struct standin_pci *pci = &dev->pci;

	for (unsigned i = 0; i < STANDIN_PCI_BARS; i++) {
		const struct standin_bar *bar = &pci->bar[i];

		if (!bar->size)
			continue;
		if (bar->size & (bar->size - 1) || bar->size >= (uint64_t)1 << 40)
			return standin_device_error(dev, -EINVAL, "BAR %u has a bad size", i);
		if ((bar->flags & STANDIN_BAR_MEM64) &&
		    (i + 1 == STANDIN_PCI_BARS || pci->bar[i + 1].size))
			return standin_device_error(dev, -EINVAL, "BAR %u has no upper half", i);
		for (size_t s = 0; s < bar->n_spans; s++)
			if (bar->spans[s].offset % PAGE || bar->spans[s].size % PAGE ||
			    bar->spans[s].offset + bar->spans[s].size > bar->size)
				return standin_device_error(dev, -EINVAL,
				                            "BAR %u has a bad span", i);
	}
	if (pci->msix_vectors && (pci->msix_bar >= STANDIN_PCI_BARS ||
	                          pci->msix_vectors > 2048 ||
	                          pci->msix_table % 8 || pci->msix_pba % 8 ||
	                          pci->msix_table + 16u * pci->msix_vectors >
	                                  pci->bar[pci->msix_bar].size ||
	                          pci->msix_pba + (pci->msix_vectors + 63u) / 64 * 8 >
	                                  pci->bar[pci->msix_bar].size))
		return standin_device_error(dev, -EINVAL, "the MSI-X table is not in its BAR");
	if (pci->msi_vectors > 32 || pci->msi_vectors & (pci->msi_vectors - 1))
		return standin_device_error(dev, -EINVAL, "bad number of MSI vectors");
	return 0;
}

static int make_memory(struct standin_device *dev)
{
	int fd;

	fd = hostfd_adopt(placeholder_memfd("vfio-device", O_CLOEXEC));
	if (fd < 0)
		return standin_device_error(dev, fd, "memfd: %s", strerror(-fd));
	dev->memory_fd = fd;
	for (unsigned i = 0; i < STANDIN_PCI_BARS; i++) {
		uint64_t size = (dev->pci.bar[i].size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
		void *memory;

		if (!size)
			continue;
		memory = host_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		                   (off_t)i << 40);
		if (host_is_error(memory))
			return standin_device_error(dev, -ENOMEM, "no memory for BAR %u", i);
		dev->bar_memory[i] = memory;
	}
	return 0;
}

static int make_vectors(struct standin_device *dev)
{
	bool msix = dev->pci.msix_vectors > dev->pci.msi_vectors;

	dev->n_vectors = msix ? dev->pci.msix_vectors : dev->pci.msi_vectors;
	dev->vectors = calloc(dev->n_vectors ? dev->n_vectors : 1, sizeof(*dev->vectors));
	if (!dev->vectors)
		return standin_device_error(dev, -ENOMEM, "out of memory");
	for (unsigned v = 0; v < dev->n_vectors; v++)
		line_init(&dev->vectors[v], msix ? "msix" : "msi", v);
	msix_reset(dev);
	return 0;
}

/* Undoes what realizing did, as far as it went. */
static void unrealize(struct standin_device *dev)
{
	if (dev->state && dev->model->unrealize)
		dev->model->unrealize(dev);
	for (unsigned v = 0; dev->vectors && v < dev->n_vectors; v++)
		line_finish(&dev->vectors[v]);
	free(dev->vectors);
	dev->vectors = NULL;
	for (unsigned i = 0; i < STANDIN_PCI_BARS; i++) {
		if (dev->bar_memory[i])
			host_munmap(dev->bar_memory[i], (dev->pci.bar[i].size + PAGE - 1) &
			                                        ~(uint64_t)(PAGE - 1));
		dev->bar_memory[i] = NULL;
	}
	hostfd_close(dev->memory_fd);
	dev->memory_fd = -1;
	free(dev->state);
	dev->state = NULL;
	memset(&dev->pci, 0, sizeof(dev->pci));
	dev->realized = false;
}

static int realize(struct standin_device *dev)
{
	int result;

	dev->state = calloc(1, dev->model->state_size ? dev->model->state_size : 1);
	if (!dev->state)
		return standin_device_error(dev, -ENOMEM, "out of memory");
	snprintf(dev->error, sizeof(dev->error), "the model could not be set up");
	result = dev->model->realize(dev, &dev->pci);
	if (result < 0) {
		/* realize cleans up after itself; unrealize is for what it finished. */
		free(dev->state);
		dev->state = NULL;
		return result;
	}
	result = check_declaration(dev);
	if (result == 0)
		result = make_memory(dev);
	if (result == 0)
		result = make_vectors(dev);
	if (result == 0) {
		dev->realized = true;
		if (dev->model->reset)
			dev->model->reset(dev);
	}
	return result;
}

int device_realize(struct standin_device *dev)
{
	int result = 0;

	pthread_mutex_lock(&dev->lock);
	if (!dev->realized) {
		result = realize(dev);
		if (result < 0)
			unrealize(dev);
	}
	pthread_mutex_unlock(&dev->lock);
	return result;
}

int device_check(struct standin_device *dev)
{
	int result = device_realize(dev);

	if (result == 0)
		unrealize(dev);
	return result;
}

void device_destroy(struct standin_device *dev)
{
	if (!dev)
		return;
	unrealize(dev);
	pthread_mutex_destroy(&dev->foreign_lock);
	pthread_rwlock_destroy(&dev->dma_lock);
	pthread_mutex_destroy(&dev->lock);
	free(dev);
}

void device_reset(struct standin_device *dev)
{
	if (dev->model->reset)
		dev->model->reset(dev);
	atomic_store(&dev->intx_asserted, false);
}
