/* SPDX-License-Identifier: BSD-3-Clause */
/* VFIO_DEVICE_SET_IRQS: the matrix of index, action and data, with real eventfds. */
#include "vfio_fixture.h"

#define NONE    VFIO_IRQ_SET_DATA_NONE
#define BOOL    VFIO_IRQ_SET_DATA_BOOL
#define EVENTFD VFIO_IRQ_SET_DATA_EVENTFD
#define MASK    VFIO_IRQ_SET_ACTION_MASK
#define UNMASK  VFIO_IRQ_SET_ACTION_UNMASK
#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER

#define INTX VFIO_PCI_INTX_IRQ_INDEX
#define MSI  VFIO_PCI_MSI_IRQ_INDEX
#define MSIX VFIO_PCI_MSIX_IRQ_INDEX
#define ERR  VFIO_PCI_ERR_IRQ_INDEX
#define REQ  VFIO_PCI_REQ_IRQ_INDEX

static int fd[8];

static int open_all(void **state)
{
	unsigned i;

	open_device(state);
	for (i = 0; i < 8; i++)
		fd[i] = eventfd(0, EFD_NONBLOCK);
	return 0;
}

static long eventfds(uint32_t index, uint32_t start, uint32_t count, const int *fds)
{
	return set_irqs(EVENTFD | TRIGGER, index, start, count, fds, count * sizeof(int));
}

static long off(uint32_t index)
{
	return set_irqs(NONE | TRIGGER, index, 0, 0, NULL, 0);
}

static void info(void **state)
{
	static const struct {
		uint32_t flags, count;
	} expect[] = {{7, 1}, {9, 4}, {1, PROBE_VECTORS}, {9, 1}, {9, 1}};
	struct vfio_irq_info i = {.argsz = 15};

	assert_int_equal(ctl(device, VFIO_DEVICE_GET_IRQ_INFO, NULL), -EFAULT);
	assert_int_equal(ctl(device, VFIO_DEVICE_GET_IRQ_INFO, &i), -EINVAL);
	i.argsz = 16;
	for (i.index = 0; i.index < 5; i.index++) {
		assert_int_equal(ctl(device, VFIO_DEVICE_GET_IRQ_INFO, &i), 0);
		assert_int_equal(i.flags, expect[i.index].flags);
		assert_int_equal(i.count, expect[i.index].count);
	}
	assert_int_equal(ctl(device, VFIO_DEVICE_GET_IRQ_INFO, &i), -EINVAL);
}

static void general_failures(void **state)
{
	struct vfio_irq_set s = {.argsz = 19};

	assert_int_equal(ctl(device, VFIO_DEVICE_SET_IRQS, NULL), -EFAULT);
	assert_int_equal(ctl(device, VFIO_DEVICE_SET_IRQS, &s), -EINVAL);
	assert_int_equal(set_irqs(NONE | TRIGGER, 5, 0, 0, NULL, 0), -EINVAL);
	assert_int_equal(set_irqs(NONE | TRIGGER | 64, MSIX, 0, 1, NULL, 0), -EINVAL);
	assert_int_equal(set_irqs(NONE | TRIGGER, MSIX, PROBE_VECTORS, 0, NULL, 0), -EINVAL);
	assert_int_equal(set_irqs(NONE | TRIGGER, MSIX, 0, PROBE_VECTORS + 1, NULL, 0), -EINVAL);
	assert_int_equal(set_irqs(NONE | TRIGGER, MSIX, 1, UINT32_MAX - 1, NULL, 0), -EINVAL);
	assert_int_equal(set_irqs(TRIGGER, MSIX, 0, 1, NULL, 0), -EINVAL);
	assert_int_equal(set_irqs(NONE | BOOL | TRIGGER, MSIX, 0, 1, fd, 4), -EINVAL);
	assert_int_equal(set_irqs(EVENTFD | TRIGGER, MSIX, 0, 2, fd, 7), -EINVAL);
	assert_int_equal(set_irqs(BOOL | TRIGGER, MSIX, 0, 2, fd, 1), -EINVAL);
	assert_int_equal(set_irqs(NONE, MSIX, 0, 1, NULL, 0), -ENOTTY);
	assert_int_equal(set_irqs(NONE | TRIGGER | MASK, MSIX, 0, 1, NULL, 0), -ENOTTY);
	assert_int_equal(set_irqs(NONE | MASK, MSIX, 0, 1, NULL, 0), -ENOTTY);
	assert_int_equal(set_irqs(NONE | UNMASK, MSI, 0, 1, NULL, 0), -ENOTTY);
	assert_int_equal(set_irqs(NONE | MASK, ERR, 0, 1, NULL, 0), -ENOTTY);
	assert_int_equal(set_irqs(NONE | UNMASK, REQ, 0, 1, NULL, 0), -ENOTTY);
	/* Nothing is enabled. */
	assert_int_equal(off(INTX), -EINVAL);
	assert_int_equal(off(MSI), -EINVAL);
	assert_int_equal(off(MSIX), -EINVAL);
	assert_int_equal(set_irqs(NONE | TRIGGER, MSIX, 0, 1, NULL, 0), -EINVAL);
	assert_int_equal(set_irqs(NONE | MASK, INTX, 0, 1, NULL, 0), -EINVAL);
	assert_int_equal(set_irqs(NONE | UNMASK, INTX, 0, 1, NULL, 0), -EINVAL);
	assert_int_equal(set_irqs(EVENTFD | TRIGGER, MSIX, 0, 0, NULL, 0), -ERANGE);
}

static void msix(void **state)
{
	struct standin_device *dev = probes[0]->dev;
	const uint8_t bools[3] = {1, 0, 1};
	int three[3] = {fd[0], -1, fd[2]}, bad[2] = {fd[1], 4711}, pipes[2], minus = -1;

	assert_int_equal(eventfds(MSIX, 0, 3, three), 0);
	assert_int_equal(standin_irq_mode(dev), STANDIN_IRQ_MSIX);
	standin_irq_message(dev, 0);
	standin_irq_message(dev, 1);
	standin_irq_message(dev, 2);
	standin_irq_message(dev, 2);
	assert_int_equal(signals(fd[0], 0), 1);
	assert_int_equal(signals(fd[2], 0), 2);
	/* Loopback. */
	assert_int_equal(set_irqs(NONE | TRIGGER, MSIX, 0, 3, NULL, 0), 0);
	assert_int_equal(signals(fd[0], 0), 1);
	assert_int_equal(signals(fd[2], 0), 1);
	assert_int_equal(set_irqs(BOOL | TRIGGER, MSIX, 0, 3, bools, 3), 0);
	assert_int_equal(signals(fd[0], 0), 1);
	assert_int_equal(signals(fd[2], 0), 1);
	/* A vector beyond those enabled first: MSI-X grows. */
	assert_int_equal(eventfds(MSIX, 64, 1, &fd[3]), 0);
	standin_irq_message(dev, 64);
	assert_int_equal(signals(fd[3], 0), 1);
	/* The client's close doesn't disconnect. */
	int copy = dup(fd[4]);
	assert_int_equal(eventfds(MSIX, 5, 1, &copy), 0);
	close(copy);
	standin_irq_message(dev, 5);
	assert_int_equal(signals(fd[4], 0), 1);
	/* One cleared, the others stay. */
	assert_int_equal(eventfds(MSIX, 0, 1, &minus), 0);
	standin_irq_message(dev, 0);
	standin_irq_message(dev, 2);
	assert_int_equal(signals(fd[0], 0), 0);
	assert_int_equal(signals(fd[2], 0), 1);
	/* A failure clears all that the request named. */
	assert_int_equal(eventfds(MSIX, 2, 2, bad), -EBADF);
	standin_irq_message(dev, 2);
	assert_int_equal(signals(fd[1], 0), 0);
	assert_int_equal(signals(fd[2], 0), 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(eventfds(MSIX, 2, 1, pipes), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(eventfds(MSIX, 0, 0, NULL), 0);
	/* Only one kind at a time. */
	assert_int_equal(eventfds(MSI, 0, 1, fd), -EINVAL);
	assert_int_equal(eventfds(INTX, 0, 1, fd), -EINVAL);
	assert_int_equal(off(MSI), -EINVAL);
	assert_int_equal(off(MSIX), 0);
	assert_int_equal(standin_irq_mode(dev), STANDIN_IRQ_NONE);
	standin_irq_message(dev, 64);
	assert_int_equal(signals(fd[3], 0), 0);
}

static void msix_all_vectors(void **state)
{
	int fds[PROBE_VECTORS];
	unsigned i;

	for (i = 0; i < PROBE_VECTORS; i++)
		fds[i] = i % 3 ? fd[i % 3] : -1;
	assert_int_equal(eventfds(MSIX, 0, PROBE_VECTORS, fds), 0);
	for (i = 0; i < PROBE_VECTORS; i++)
		standin_irq_message(probes[0]->dev, i);
	assert_int_equal(signals(fd[1], 0), PROBE_VECTORS / 3 + 1);
	assert_int_equal(signals(fd[2], 0), PROBE_VECTORS / 3);
}

static void msix_first_request_fails(void **state)
{
	int bad[2] = {fd[0], 4711};

	assert_int_equal(eventfds(MSIX, 0, 2, bad), -EBADF);
	assert_int_equal(standin_irq_mode(probes[0]->dev), STANDIN_IRQ_NONE);
	assert_int_equal(eventfds(MSI, 0, 1, fd), 0); /* it wasn't left enabled */
}

static void msix_survives_reset(void **state)
{
	assert_int_equal(eventfds(MSIX, 0, 1, fd), 0);
	assert_int_equal(ctl(device, VFIO_DEVICE_RESET, NULL), 0);
	standin_irq_message(probes[0]->dev, 0);
	assert_int_equal(signals(fd[0], 0), 1);
}

static void msi(void **state)
{
	struct standin_device *dev = probes[0]->dev;

	assert_int_equal(eventfds(MSI, 0, 2, fd), 0);
	standin_irq_message(dev, 1);
	standin_irq_message(dev, 2); /* taken modulo what is enabled */
	assert_int_equal(signals(fd[0], 0), 1);
	assert_int_equal(signals(fd[1], 0), 1);
	/* MSI doesn't grow, and the vectors named are gone. */
	assert_int_equal(eventfds(MSI, 1, 2, fd), -EINVAL);
	standin_irq_message(dev, 1);
	assert_int_equal(signals(fd[1], 0), 0);
	assert_int_equal(signals(fd[0], 0), 0);
	assert_int_equal(off(MSI), 0);
	assert_int_equal(eventfds(MSI, 0, 5, fd), -EINVAL);
	assert_int_equal(eventfds(MSI, 0, 4, fd), 0);
}

static void not_in_d3(void **state)
{
	unsigned at = config_read(0x34, 1);

	while (config_read(at, 1) != 1) /* power management */
		at = config_read(at + 1, 1);
	config_write(at + 4, 2, 3);
	assert_int_equal(eventfds(MSIX, 0, 1, fd), -EINVAL);
	assert_int_equal(eventfds(MSIX, 0, 0, NULL), -ERANGE);
	assert_int_equal(eventfds(MSI, 0, 1, fd), -EINVAL);
	assert_int_equal(eventfds(MSI, 0, 0, NULL), -EINVAL);
	config_write(at + 4, 2, 0);
	assert_int_equal(eventfds(MSI, 0, 0, NULL), -ERANGE);
	assert_int_equal(eventfds(MSI, 0, 3, fd), 0);
	/* The device counts in powers of two; the fourth vector goes nowhere. */
	standin_irq_message(probes[0]->dev, 3);
	standin_irq_message(probes[0]->dev, 6);
	assert_int_equal(signals(fd[0], 0), 0);
	assert_int_equal(signals(fd[2], 0), 1);
}

static void intx_masks_itself(void **state)
{
	struct standin_device *dev = probes[0]->dev;
	uint8_t no = 0, yes = 1;

	assert_int_equal(eventfds(INTX, 0, 1, fd), 0);
	assert_int_equal(standin_irq_mode(dev), STANDIN_IRQ_INTX);
	standin_irq_level(dev, true);
	assert_int_equal(signals(fd[0], 0), 1);
	assert_int_equal(config_read(6, 2) & 8, 8); /* PCI_STATUS_INTERRUPT */
	standin_irq_level(dev, false);
	assert_int_equal(config_read(6, 2) & 8, 0);
	standin_irq_level(dev, true);
	assert_int_equal(signals(fd[0], 0), 0); /* masked since the first */
	assert_int_equal(set_irqs(NONE | UNMASK, INTX, 0, 1, NULL, 0), 0);
	assert_int_equal(signals(fd[0], 0), 1); /* still high */
	standin_irq_level(dev, false);
	assert_int_equal(set_irqs(BOOL | UNMASK, INTX, 0, 1, &no, 1), 0);
	standin_irq_level(dev, true);
	assert_int_equal(signals(fd[0], 0), 0);
	standin_irq_level(dev, false);
	assert_int_equal(set_irqs(BOOL | UNMASK, INTX, 0, 1, &yes, 1), 0);
	assert_int_equal(signals(fd[0], 0), 0);
	assert_int_equal(set_irqs(BOOL | MASK, INTX, 0, 1, &yes, 1), 0);
	standin_irq_level(dev, true);
	assert_int_equal(signals(fd[0], 0), 0);
	assert_int_equal(set_irqs(NONE | UNMASK, INTX, 0, 1, NULL, 0), 0);
	assert_int_equal(signals(fd[0], 0), 1);
	assert_int_equal(set_irqs(EVENTFD | MASK, INTX, 0, 1, fd, 4), -ENOTTY);
	assert_int_equal(set_irqs(NONE | MASK, INTX, 0, 0, NULL, 0), -EINVAL);
	assert_int_equal(set_irqs(NONE | UNMASK, INTX, 0, 0, NULL, 0), -EINVAL);
	/* Another eventfd; then none. */
	assert_int_equal(eventfds(INTX, 0, 1, &fd[1]), 0);
	assert_int_equal(set_irqs(NONE | TRIGGER, INTX, 0, 1, NULL, 0), 0);
	assert_int_equal(signals(fd[0], 0), 0);
	assert_int_equal(signals(fd[1], 0), 1);
	assert_int_equal(eventfds(INTX, 0, 1, (int[]){-1}), 0);
	assert_int_equal(set_irqs(NONE | TRIGGER, INTX, 0, 1, NULL, 0), 0);
	assert_int_equal(off(INTX), 0);
	assert_int_equal(off(INTX), -EINVAL);
	standin_irq_level(dev, false);
}

static void intx_high_when_enabled(void **state)
{
	standin_irq_level(probes[0]->dev, true);
	assert_int_equal(eventfds(INTX, 0, 1, fd), 0);
	assert_int_equal(signals(fd[0], 0), 1);
}

static void intx_unmask_eventfd(void **state)
{
	struct standin_device *dev = probes[0]->dev;
	uint64_t one = 1;
	unsigned i;

	assert_int_equal(eventfds(INTX, 0, 1, fd), 0);
	assert_int_equal(set_irqs(EVENTFD | UNMASK, INTX, 0, 1, &fd[1], 4), 0);
	assert_int_equal(set_irqs(EVENTFD | UNMASK, INTX, 0, 1, &fd[2], 4), -EBUSY);
	assert_int_equal(set_irqs(EVENTFD | UNMASK, INTX, 0, 1, (int[]){4711}, 4), -EBADF);
	standin_irq_level(dev, true);
	assert_int_equal(signals(fd[0], 0), 1);
	for (i = 0; i < 3; i++) {
		assert_int_equal(write(fd[1], &one, 8), 8);
		assert_int_equal(signals(fd[0], 5000), 1);
	}
	assert_int_equal(set_irqs(EVENTFD | UNMASK, INTX, 0, 1, (int[]){-1}, 4), 0);
	assert_int_equal(write(fd[1], &one, 8), 8);
	assert_int_equal(signals(fd[0], 50), 0);
	assert_int_equal(set_irqs(EVENTFD | UNMASK, INTX, 0, 1, &fd[2], 4), 0);
	assert_int_equal(off(INTX), 0);
}

static void intx_disable_bit(void **state)
{
	struct standin_device *dev = probes[0]->dev;

	config_write(4, 2, 0x0406);
	assert_int_equal(config_read(4, 2) & 0x400, 0x400);
	assert_int_equal(eventfds(INTX, 0, 1, fd), 0);
	standin_irq_level(dev, true);
	assert_int_equal(signals(fd[0], 0), 0);
	assert_int_equal(set_irqs(NONE | UNMASK, INTX, 0, 1, NULL, 0), 0);
	assert_int_equal(signals(fd[0], 0), 0);
	assert_int_equal(set_irqs(NONE | TRIGGER, INTX, 0, 1, NULL, 0), 0);
	assert_int_equal(signals(fd[0], 0), 0);
	config_write(5, 1, 0); /* the upper byte alone */
	assert_int_equal(signals(fd[0], 0), 1);
}

static void err_and_req(void **state)
{
	const uint32_t both[] = {ERR, REQ};
	uint8_t yes = 1, no = 0;
	unsigned i;

	for (i = 0; i < 2; i++) {
		assert_int_equal(off(both[i]), -EINVAL);
		assert_int_equal(eventfds(both[i], 0, 0, NULL), -EINVAL);
		assert_int_equal(set_irqs(BOOL | TRIGGER, both[i], 0, 0, NULL, 0), -EINVAL);
		assert_int_equal(set_irqs(BOOL | TRIGGER, both[i], 0, 1, &yes, 1), 0);
		assert_int_equal(eventfds(both[i], 0, 1, (int[]){-2}), -EINVAL);
		assert_int_equal(eventfds(both[i], 0, 1, (int[]){4711}), -EBADF);
		assert_int_equal(eventfds(both[i], 0, 1, &device), -EINVAL);
		assert_int_equal(eventfds(both[i], 0, 1, fd), 0);
		assert_int_equal(set_irqs(NONE | TRIGGER, both[i], 0, 1, NULL, 0), 0);
		assert_int_equal(set_irqs(BOOL | TRIGGER, both[i], 0, 1, &yes, 1), 0);
		assert_int_equal(set_irqs(BOOL | TRIGGER, both[i], 0, 1, &no, 1), 0);
		assert_int_equal(signals(fd[0], 0), 2);
		assert_int_equal(eventfds(both[i], 0, 1, (int[]){-1}), 0);
		assert_int_equal(off(both[i]), -EINVAL);
		assert_int_equal(eventfds(both[i], 0, 1, fd), 0);
		assert_int_equal(off(both[i]), 0);
		assert_int_equal(off(both[i]), -EINVAL);
	}
	/* They go along with any other kind. */
	assert_int_equal(eventfds(REQ, 0, 1, fd), 0);
	assert_int_equal(eventfds(MSIX, 0, 1, fd), 0);
}

static void close_disconnects(void **state)
{
	struct standin_device *dev = probes[0]->dev;

	assert_int_equal(eventfds(MSIX, 0, 1, fd), 0);
	standin_close(device);
	assert_int_equal(standin_irq_mode(dev), STANDIN_IRQ_NONE);
	standin_irq_message(dev, 0);
	assert_int_equal(signals(fd[0], 0), 0);
	device = (int)ctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)DEVICE_NAME);
	assert_int_equal(off(MSIX), -EINVAL);
	assert_int_equal(eventfds(INTX, 0, 1, fd), 0);
}

static void ioeventfd(void **state)
{
	struct vfio_device_ioeventfd e = {
		.argsz = sizeof(e), .flags = 4, .offset = 0x1000, .data = 0xabcd, .fd = fd[0]};
	struct probe *p = probes[0];
	uint64_t one = 1;
	unsigned i;

	e.argsz = 27;
	assert_int_equal(ctl(device, VFIO_DEVICE_IOEVENTFD, &e), -EINVAL);
	e.argsz = 28; /* without what fills the structure up */
	e.flags = 3;
	assert_int_equal(ctl(device, VFIO_DEVICE_IOEVENTFD, &e), -EINVAL);
	e.flags = 0;
	assert_int_equal(ctl(device, VFIO_DEVICE_IOEVENTFD, &e), -EINVAL);
	e.flags = 16;
	assert_int_equal(ctl(device, VFIO_DEVICE_IOEVENTFD, &e), -EINVAL);
	e.flags = 4;
	e.fd = -2;
	assert_int_equal(ctl(device, VFIO_DEVICE_IOEVENTFD, &e), -EINVAL);
	e.fd = -1;
	assert_int_equal(ctl(device, VFIO_DEVICE_IOEVENTFD, &e), -ENODEV);
	e.fd = 4711;
	assert_int_equal(ctl(device, VFIO_DEVICE_IOEVENTFD, &e), -EBADF);
	e.fd = group;
	assert_int_equal(ctl(device, VFIO_DEVICE_IOEVENTFD, &e), -EINVAL);
	e.fd = fd[0];
	e.offset = PROBE_TABLE + 8;
	assert_int_equal(ctl(device, VFIO_DEVICE_IOEVENTFD, &e), -EINVAL);
	e.offset = PROBE_BAR_SIZE - 2;
	assert_int_equal(ctl(device, VFIO_DEVICE_IOEVENTFD, &e), -EINVAL);
	e.offset = (uint64_t)VFIO_PCI_CONFIG_REGION_INDEX << 40;
	assert_int_equal(ctl(device, VFIO_DEVICE_IOEVENTFD, &e), -EINVAL);
	e.offset = 0x1000;
	assert_int_equal(ctl(device, VFIO_DEVICE_IOEVENTFD, &e), 0);
	assert_int_equal(ctl(device, VFIO_DEVICE_IOEVENTFD, &e), -EEXIST);
	e.data = 1;
	assert_int_equal(ctl(device, VFIO_DEVICE_IOEVENTFD, &e), 0);
	e.fd = -1;
	assert_int_equal(ctl(device, VFIO_DEVICE_IOEVENTFD, &e), 0);
	assert_int_equal(write(fd[0], &one, 8), 8);
	for (i = 0; i < 5000 && !p->writes; i++)
		usleep(1000);
	assert_int_equal(p->writes, 1);
	assert_int_equal(p->last_offset, 0x1000);
	assert_int_equal(p->last_size, 4);
	assert_int_equal(p->last_value, 0xabcd);
}

static void low_power(void **state)
{
	struct {
		struct vfio_device_feature head;
		struct vfio_device_low_power_entry_with_wakeup wake;
	} f = {.head.argsz = sizeof(f), .wake.wakeup_eventfd = fd[0]};
	const uint32_t set = VFIO_DEVICE_FEATURE_SET, probe = VFIO_DEVICE_FEATURE_PROBE,
		       get = VFIO_DEVICE_FEATURE_GET;
	char byte;

	f.head.flags = VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY | probe;
	assert_int_equal(ctl(device, VFIO_DEVICE_FEATURE, &f), 0);
	f.head.flags |= set;
	assert_int_equal(ctl(device, VFIO_DEVICE_FEATURE, &f), 0);
	f.head.flags |= get;
	assert_int_equal(ctl(device, VFIO_DEVICE_FEATURE, &f), -EINVAL);
	f.head.flags = VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY;
	assert_int_equal(ctl(device, VFIO_DEVICE_FEATURE, &f), -EINVAL);
	f.head.flags = VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY | set | get;
	assert_int_equal(ctl(device, VFIO_DEVICE_FEATURE, &f), -EINVAL);
	f.head.flags = VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY | set | 1u << 20;
	assert_int_equal(ctl(device, VFIO_DEVICE_FEATURE, &f), -EINVAL);
	f.head.flags = VFIO_DEVICE_FEATURE_MIGRATION | get;
	assert_int_equal(ctl(device, VFIO_DEVICE_FEATURE, &f), -ENOTTY);
	f.head.flags = 99 | probe;
	assert_int_equal(ctl(device, VFIO_DEVICE_FEATURE, &f), -ENOTTY);

	f.head.flags = VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY | set;
	assert_int_equal(ctl(device, VFIO_DEVICE_FEATURE, &f), 0);
	assert_int_equal(ctl(device, VFIO_DEVICE_FEATURE, &f), -EINVAL);
	f.head.flags = VFIO_DEVICE_FEATURE_LOW_POWER_EXIT | set;
	assert_int_equal(ctl(device, VFIO_DEVICE_FEATURE, &f), 0);
	assert_int_equal(ctl(device, VFIO_DEVICE_FEATURE, &f), 0);

	f.head.flags = VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP | set;
	f.head.argsz = sizeof(f) - 1;
	assert_int_equal(ctl(device, VFIO_DEVICE_FEATURE, &f), -EINVAL);
	f.head.argsz = sizeof(f);
	f.wake.wakeup_eventfd = -1;
	assert_int_equal(ctl(device, VFIO_DEVICE_FEATURE, &f), -EINVAL);
	f.wake.wakeup_eventfd = 4711;
	assert_int_equal(ctl(device, VFIO_DEVICE_FEATURE, &f), -EBADF);
	f.wake.wakeup_eventfd = fd[0];
	assert_int_equal(ctl(device, VFIO_DEVICE_FEATURE, &f), 0);
	assert_int_equal(signals(fd[0], 0), 0);
	assert_int_equal(region_read(VFIO_PCI_CONFIG_REGION_INDEX, 0, &byte, 1), 1);
	assert_int_equal(signals(fd[0], 0), 1);
	assert_int_equal(region_read(VFIO_PCI_CONFIG_REGION_INDEX, 0, &byte, 1), 1);
	assert_int_equal(signals(fd[0], 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(info, open_all),
		T(general_failures, open_all),
		T(msix, open_all),
		T(msix_all_vectors, open_all),
		T(msix_first_request_fails, open_all),
		T(msix_survives_reset, open_all),
		T(msi, open_all),
		T(not_in_d3, open_all),
		T(intx_masks_itself, open_all),
		T(intx_high_when_enabled, open_all),
		T(intx_unmask_eventfd, open_all),
		T(intx_disable_bit, open_all),
		T(err_and_req, open_all),
		T(close_disconnects, open_all),
		T(ioeventfd, open_all),
		T(low_power, open_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
