/* SPDX-License-Identifier: BSD-3-Clause */
/* core/device.h: declarations, configuration space, BAR access, DMA, MSI-X masking. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/device.h"
#include "core/hostfd.h"
#include "core/iova.h"

struct probe {
	uint64_t last_offset, last_value;
	unsigned last_size, reads, writes, resets;
};

static const struct standin_span spans[] = {
	{0x0, 0x1000, STANDIN_PAGE_SHADOW},
	{0x2000, 0x1000, STANDIN_PAGE_RAM},
};

static int probe_realize(struct standin_device *dev, struct standin_pci *pci)
{
	uint64_t size;
	int result = standin_config_number(dev, "size", 0x4000, 0x4000, 0x10000, &size);

	if (result < 0)
		return result;
	*pci = (struct standin_pci){
		.vendor = 0x1234, .device = 0x5678, .class_code = 0x010802,
		.msi_vectors = 4, .msix_vectors = 65, .msix_bar = 0, .msix_table = 0x3000,
		.msix_pba = 0x3800, .pcie = true, .power_management = true, .interrupt_pin = 1,
		.bar[0] = {.size = size, .flags = STANDIN_BAR_MEM64, .spans = spans, .n_spans = 2},
	};
	return 0;
}

static void probe_reset(struct standin_device *dev)
{
	((struct probe *)standin_device_state(dev))->resets++;
}

static uint64_t probe_read(struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size)
{
	((struct probe *)standin_device_state(dev))->reads++;
	return 0x1122334455667788;
}

static void probe_write(struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size,
                        uint64_t value)
{
	struct probe *p = standin_device_state(dev);

	p->writes++;
	p->last_offset = offset;
	p->last_value = value;
	p->last_size = size;
}

static const struct standin_key probe_keys[] = {{"size", "bytes"}, {NULL, NULL}};
static const struct standin_model probe_model = {
	.struct_size = sizeof(struct standin_model), .api_version = STANDIN_MODEL_API,
	.name = "probe", .longname = "probe", .keys = probe_keys,
	.state_size = sizeof(struct probe), .realize = probe_realize, .reset = probe_reset,
	.bar_read = probe_read, .bar_write = probe_write,
};
STANDIN_MODEL(probe_model)

static struct config config;

static struct standin_device *make(const char *spec)
{
	struct standin_device *dev;
	char error[CONFIG_ERROR_MAX];

	config_init(&config);
	assert_int_equal(config_device(&config, spec, error), 0);
	assert_int_equal(config_complete(&config, error), 0);
	assert_int_equal(device_create(&config.devices[0], 0, &dev), 0);
	return dev;
}

static void unmake(struct standin_device *dev)
{
	device_destroy(dev);
	config_finish(&config);
}

static void test_numbers(void **state)
{
	struct standin_device *dev = make("probe,size=32k");

	assert_int_equal(device_realize(dev), 0);
	assert_int_equal(dev->pci.bar[0].size, 32768);
	unmake(dev);
	dev = make("probe,size=1");
	assert_int_equal(device_realize(dev), -EINVAL);
	assert_string_equal(dev->error,
	                    "device probe at 0000:01:00.0: size: 1 is not in 16384..65536");
	unmake(dev);
	dev = make("probe,size=12q");
	assert_int_equal(device_check(dev), -EINVAL);
	assert_string_equal(dev->error, "device probe at 0000:01:00.0: size: '12q' is no number");
	unmake(dev);
}

static void test_configuration_space(void **state)
{
	struct standin_device *dev = make("probe");
	uint8_t space[PCI_CONFIG_SIZE];
	unsigned msix;

	assert_int_equal(device_realize(dev), 0);
	assert_int_equal(pci_build_config(&dev->pci, space), 4096);
	assert_int_equal(space[0] | space[1] << 8, 0x1234);
	assert_int_equal(space[PCI_CLASS_DEVICE + 1], 0x01);
	assert_int_equal(space[PCI_BASE_ADDRESS_0], PCI_BASE_ADDRESS_MEM_TYPE_64);
	msix = pci_find_capability(space, PCI_CAP_ID_MSIX);
	assert_int_not_equal(msix, 0);
	assert_int_equal(space[msix + PCI_MSIX_FLAGS], 64);
	assert_int_equal(space[msix + PCI_MSIX_TABLE + 1], 0x30);
	assert_int_not_equal(pci_find_capability(space, PCI_CAP_ID_PM), 0);
	assert_int_not_equal(pci_find_capability(space, PCI_CAP_ID_MSI), 0);
	assert_int_not_equal(pci_find_capability(space, PCI_CAP_ID_EXP), 0);
	assert_int_equal(pci_find_capability(space, PCI_CAP_ID_VPD), 0);
	unmake(dev);
}

static void test_pages(void **state)
{
	struct standin_device *dev = make("probe");
	struct probe *p;
	uint32_t *memory;

	assert_int_equal(device_realize(dev), 0);
	p = standin_device_state(dev);
	memory = standin_bar_memory(dev, 0);

	/* shadow: loads from memory, stores to the model */
	memory[4] = 0xabcd;
	assert_int_equal(device_bar_read(dev, 0, 16, 4), 0xabcd);
	assert_int_equal(p->reads, 0);
	device_bar_write(dev, 0, 16, 2, 0xffff1234);
	assert_int_equal(memory[4], 0xabcd);
	assert_int_equal(p->last_value, 0x1234);
	assert_int_equal(p->last_size, 2);
	/* trap: both */
	assert_int_equal(device_bar_read(dev, 0, 0x1000, 1), 0x88);
	assert_int_equal(device_bar_read(dev, 0, 0x1000, 8), 0x1122334455667788);
	/* plain memory: neither */
	device_bar_write(dev, 0, 0x2008, 4, 99);
	assert_int_equal(memory[0x2008 / 4], 99);
	assert_int_equal(p->writes, 1);
	assert_int_equal(device_page_kind(dev, 0, 0x3000), STANDIN_PAGE_SHADOW);
	unmake(dev);
}

static uint64_t drain(int fd)
{
	uint64_t n = 0;

	if (read(fd, &n, sizeof(n)) < 0)
		assert_int_equal(errno, EAGAIN);
	return n;
}

static void test_msix_masking(void **state)
{
	struct standin_device *dev = make("probe");
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t control = 0x3000 + 3 * 16 + 12;

	assert_int_equal(device_realize(dev), 0);
	assert_int_equal(device_bar_read(dev, 0, control, 4), 1);
	line_connect(&dev->vectors[3], hostfd_duplicate(fd));
	dev->irq_mode = STANDIN_IRQ_MSIX;
	msix_entry_enable(dev, 3, true);
	standin_irq_message(dev, 3);
	assert_int_equal(drain(fd), 1);
	device_bar_write(dev, 0, control, 4, 1);
	standin_irq_message(dev, 3);
	standin_irq_message(dev, 3);
	assert_int_equal(drain(fd), 0);
	assert_int_equal(device_bar_read(dev, 0, 0x3800, 8), 1 << 3);
	device_bar_write(dev, 0, 0x3800, 8, 0); /* read-only */
	device_bar_write(dev, 0, control, 4, 0);
	assert_int_equal(drain(fd), 1);
	assert_int_equal(device_bar_read(dev, 0, 0x3800, 8), 0);
	standin_irq_message(dev, 65); /* no such vector */
	line_connect(&dev->vectors[3], -1);
	standin_irq_message(dev, 3);
	assert_int_equal(drain(fd), 0);
	close(fd);
	unmake(dev);
}

static void test_dma_goes_through_the_map(void **state)
{
	struct standin_device *dev = make("probe");
	char *memory = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char buffer[64] = "standin";
	struct iova_map *map;
	struct iovec iov[1];
	unsigned n = 0;

	assert_int_equal(device_realize(dev), 0);
	assert_int_equal(iova_map_create(&map), 0);
	assert_int_equal(iova_map_insert(map, &(struct iova_range){.first = 0x10000,
	                                 .last = 0x10fff, .address = (uintptr_t)memory,
	                                 .flags = IOVA_READ | IOVA_WRITE}), 0);
	assert_int_equal(iova_map_insert(map, &(struct iova_range){.first = 0x11000,
	                                 .last = 0x11fff, .address = (uintptr_t)memory + 8192,
	                                 .flags = IOVA_READ}), 0);
	assert_int_equal(standin_dma_write(dev, 0x10000, buffer, 8), -EFAULT); /* not attached */
	device_attach(dev, map);
	assert_int_equal(standin_dma_write(dev, 0x10000, buffer, 8), -EFAULT); /* no bus master */
	device_set_command(dev, PCI_COMMAND_MASTER);
	assert_int_equal(standin_dma_write(dev, 0x10ff8, buffer, 8), 0);
	assert_string_equal(memory + 0xff8, "standin");
	assert_int_equal(standin_dma_read(dev, 0x10ff0, buffer, 32), 0); /* across two ranges */
	assert_string_equal(buffer + 8, "standin");
	assert_int_equal(standin_dma_write(dev, 0x10ffc, buffer, 8), -EFAULT); /* read-only */
	assert_int_equal(standin_dma_read(dev, 0x12000, buffer, 1), -EFAULT);
	assert_int_equal(dev->iommu_faults, 4);
	assert_int_equal(standin_dma_map(dev, 0x10ff0, 32, STANDIN_DMA_READ, iov, 1, &n), -E2BIG);
	assert_int_equal(n, 0);
	/* The driver's memory goes away behind the map's back. */
	munmap(memory, 4096);
	assert_int_equal(standin_dma_read(dev, 0x10000, buffer, 8), -EFAULT);
	device_attach(dev, NULL);
	iova_map_destroy(map);
	munmap(memory + 4096, 8192);
	unmake(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_configuration_space),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_msix_masking),
		cmocka_unit_test(test_dma_goes_through_the_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
