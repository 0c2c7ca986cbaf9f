/* SPDX-License-Identifier: BSD-3-Clause */
/* See the header.  The model remembers accesses and answers reads with a pattern. */
#include "vfio_fixture.h"

#include <poll.h>

struct probe *probes[2];
int container = -1, group = -1, device = -1;

static unsigned n_probes;

static const struct standin_span probe_memory[] = {{0, 0x1000, STANDIN_PAGE_RAM}};

static int probe_realize(struct standin_device *dev, struct standin_pci *pci)
{
	struct probe *p = standin_device_state(dev);

	*pci = (struct standin_pci){
		.vendor = 0x1234,
		.device = 0x5678,
		.class_code = 0x010802,
		.interrupt_pin = 1,
		.msi_vectors = 4,
		.msix_vectors = PROBE_VECTORS,
		.msix_bar = 0,
		.msix_table = PROBE_TABLE,
		.msix_pba = 0x3000,
		.pcie = true,
		.power_management = true,
		.bar[0] = {.size = PROBE_BAR_SIZE, .flags = STANDIN_BAR_MEM64},
		.bar[2] = {.size = 0x100, .flags = STANDIN_BAR_IO},
		.bar[3] = {.size = 0x800},
		.bar[4] = {.size = 0x1000, .spans = probe_memory, .n_spans = 1},
	};
	p->dev = dev;
	if (n_probes < 2)
		probes[n_probes++] = p;
	return 0;
}

static void probe_reset(struct standin_device *dev)
{
	((struct probe *)standin_device_state(dev))->resets++;
}

static uint64_t probe_read(struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size)
{
	struct probe *p = standin_device_state(dev);
	uint64_t value = 0;
	unsigned i;

	for (i = 0; i < size; i++)
		value |= (uint64_t)(uint8_t)(offset + i) << (8 * i);
	p->reads++;
	p->last_offset = offset;
	p->last_size = size;
	return value;
}

static void probe_write(struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size,
			uint64_t value)
{
	struct probe *p = standin_device_state(dev);

	p->last_offset = offset;
	p->last_size = size;
	p->last_value = value;
	p->writes++;
}

static void probe_command(struct standin_device *dev, uint16_t command)
{
	((struct probe *)standin_device_state(dev))->command = command;
}

static const struct standin_model probe_model = {
	.struct_size = sizeof(struct standin_model),
	.api_version = STANDIN_MODEL_API,
	.name = "vfio-probe",
	.longname = "a device for the tests",
	.state_size = sizeof(struct probe),
	.realize = probe_realize,
	.reset = probe_reset,
	.bar_read = probe_read,
	.bar_write = probe_write,
	.command_changed = probe_command,
};
STANDIN_MODEL(probe_model)

int start_instance(void **state)
{
	n_probes = 0;
	if (standin_start("device vfio-probe,addr=01:00.0\n"
			  "device vfio-probe,addr=01:00.1,mmap=off\n"
			  "set vfio.dma_entry_limit=100\n"))
		fail_msg("%s", standin_error());
	return 0;
}

int open_group(void **state)
{
	start_instance(state);
	container = standin_open("/dev/vfio/vfio", O_RDWR);
	group = standin_open("/dev/vfio/0", O_RDWR);
	return container < 0 || group < 0;
}

int open_device(void **state)
{
	open_group(state);
	assert_int_equal(ctl(group, VFIO_GROUP_SET_CONTAINER, &container), 0);
	assert_int_equal(ctl_value(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	device = (int)ctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)DEVICE_NAME);
	return device < 0;
}

int stop_instance(void **state)
{
	if (device >= 0)
		standin_close(device);
	if (group >= 0)
		standin_close(group);
	if (container >= 0)
		standin_close(container);
	container = group = device = -1;
	standin_stop();
	return 0;
}

long ctl_value(int fd, unsigned long command, unsigned long arg)
{
	long ret = standin_ioctl(fd, command, arg);

	return ret < 0 ? -errno : ret;
}

long ctl(int fd, unsigned long command, void *arg)
{
	return ctl_value(fd, command, (unsigned long)arg);
}

ssize_t region_read(int index, uint64_t at, void *buffer, size_t size)
{
	ssize_t ret = standin_pread(device, buffer, size, REGION(index) + (off_t)at);

	return ret < 0 ? -errno : ret;
}

ssize_t region_write(int index, uint64_t at, const void *buffer, size_t size)
{
	ssize_t ret = standin_pwrite(device, buffer, size, REGION(index) + (off_t)at);

	return ret < 0 ? -errno : ret;
}

uint32_t config_read(unsigned at, unsigned size)
{
	uint32_t value = 0;

	assert_int_equal(region_read(VFIO_PCI_CONFIG_REGION_INDEX, at, &value, size), size);
	return value;
}

void config_write(unsigned at, unsigned size, uint32_t value)
{
	assert_int_equal(region_write(VFIO_PCI_CONFIG_REGION_INDEX, at, &value, size), size);
}

long set_irqs(uint32_t flags, uint32_t index, uint32_t start, uint32_t count, const void *data,
	      size_t data_size)
{
	_Alignas(8) char bytes[sizeof(struct vfio_irq_set) + 1024];
	struct vfio_irq_set *set = (struct vfio_irq_set *)bytes;

	set->argsz = (uint32_t)(sizeof(*set) + data_size);
	set->flags = flags;
	set->index = index;
	set->start = start;
	set->count = count;
	if (data_size)
		memcpy(set->data, data, data_size);
	return ctl(device, VFIO_DEVICE_SET_IRQS, set);
}

uint64_t signals(int eventfd, int ms)
{
	struct pollfd p = {.fd = eventfd, .events = POLLIN};
	uint64_t count = 0;

	if (poll(&p, 1, ms) == 1)
		assert_int_equal(read(eventfd, &count, sizeof(count)), sizeof(count));
	return count;
}
