/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lifetimes: the three descriptors closed in every order, what stays usable meanwhile,
 * what is gone afterwards, and what a forked child can do with them.
 */
#include "vfio.h"

#include <sys/socket.h>
#include <sys/wait.h>

static long device_works(int device)
{
	struct vfio_device_info info = {.argsz = 16};

	return result(sys_ioctl(device, VFIO_DEVICE_GET_INFO, &info));
}

static long group_opens(void)
{
	int fd = sys_open(vfio_group_path(), O_RDWR);

	if (fd < 0)
		return -errno;
	sys_close(fd);
	return 0;
}

static long container_works(int container)
{
	struct vfio_iommu_type1_info info = {.argsz = 16};

	return result(sys_ioctl(container, VFIO_IOMMU_GET_INFO, &info));
}

static void close_order(const char *order)
{
	struct vfio v;
	int *fds[3] = {&v.container, &v.group, &v.device};
	struct text t = {.length = 0};

	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	for (int i = 0; i < 3; i++) {
		int *fd = fds[order[i] == 'c' ? 0 : order[i] == 'g' ? 1 : 2];

		text_add(&t, "close %c=%s", order[i], result_name(result(sys_close(*fd))));
		*fd = -1;
		if (v.container >= 0)
			text_add(&t, " container=%s", result_name(container_works(v.container)));
		if (v.device >= 0)
			text_add(&t, " device=%s", result_name(device_works(v.device)));
		if (v.group < 0)
			text_add(&t, " open group=%s", result_name(group_opens()));
		text_add(&t, "; ");
	}
	text_add(&t, "open group=%s", result_name(group_opens()));
	say_text(order, "%s", t.data);
}

static void two_devices(void)
{
	struct vfio v;
	int second;

	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	second = sys_ioctl(v.group, VFIO_GROUP_GET_DEVICE_FD, vfio_bdf());
	say_fd(result(second), "second device");
	say(config_write(v.device, 4, 2, 0x0006), "second.command written to the first");
	say_text("second.command", "%#x", config_read(second, 4, 2) & 7);
	say(result(sys_close(v.device)), "second.close of the first");
	say(device_works(second), "second.works");
	say_text("second.command", "%#x", config_read(second, 4, 2) & 7);
	say(result(sys_ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER)), "second.unset");
	sys_close(second);
	say(result(sys_ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER)), "none.unset");
	say(result(sys_ioctl(v.group, VFIO_GROUP_SET_CONTAINER, &v.container)), "none.set");
	say(result(sys_ioctl(v.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)), "none.set_iommu");
	v.device = sys_ioctl(v.group, VFIO_GROUP_GET_DEVICE_FD, vfio_bdf());
	say_text("reopened.command", "%#x", config_read(v.device, 4, 2) & 6);
	vfio_close(&v);
}

static void duplicates(void)
{
	struct vfio v;
	int copy;

	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	copy = sys_dup(v.group);
	sys_close(v.group);
	say(group_opens(), "dup.open of the group");
	say(result(sys_ioctl(copy, VFIO_GROUP_UNSET_CONTAINER)), "dup.unset");
	sys_close(copy);
	copy = sys_dup(v.device);
	sys_close(v.device);
	say(device_works(copy), "dup.device");
	say(device_works(v.device), "dup.closed device");
	say(group_opens(), "dup.open of the group");
	sys_close(copy);
	say(group_opens(), "dup.open of the group at last");
	copy = sys_dup(v.container);
	sys_close(v.container);
	say(result(sys_ioctl(copy, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU)), "dup.container");
	sys_close(copy);
}

/* Mappings belong to the IOMMU driver, and that goes with the last group. */
static void mappings_go(void)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio v;
	uint64_t size;

	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	say(map_dma(v.container, 0x10000, memory, 4096, RW), "mappings.map");
	sys_close(v.device);
	say(map_dma(v.container, 0x10000, memory, 4096, RW), "mappings.map without the device");
	say(result(sys_ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER)), "mappings.unset");
	say(map_dma(v.container, 0x10000, memory, 4096, RW), "mappings.map without the group");
	say(result(sys_ioctl(v.group, VFIO_GROUP_SET_CONTAINER, &v.container)), "mappings.set");
	say(map_dma(v.container, 0x10000, memory, 4096, RW), "mappings.map without a driver");
	say(result(sys_ioctl(v.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)),
	    "mappings.set_iommu");
	size = 4096;
	say(unmap_dma(v.container, 0x10000, &size, 0), "mappings.unmap");
	say_text("mappings.unmap.size", "%lu", (unsigned long)size);
	say(map_dma(v.container, 0x10000, memory, 4096, RW), "mappings.map anew");
	v.device = -1;
	vfio_close(&v);

	/* The client's memory may go before its mapping does. */
	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	say(map_dma(v.container, 0x10000, memory, 4096, RW), "memory.map");
	munmap(memory, 4096);
	size = 4096;
	say(unmap_dma(v.container, 0x10000, &size, 0), "memory.unmap after munmap");
	say_text("memory.size", "%lu", (unsigned long)size);
	vfio_close(&v);
}

static void interrupts_go(void)
{
	int event = eventfd(0, EFD_NONBLOCK);
	struct vfio v;

	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	say(irq_eventfds(v.device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &event), "irq.set");
	sys_close(v.device);
	v.device = sys_ioctl(v.group, VFIO_GROUP_GET_DEVICE_FD, vfio_bdf());
	say(irq_none(v.device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, VFIO_IRQ_SET_ACTION_TRIGGER),
	    "irq.trigger after close");
	say_text("irq.signals", "%lu", eventfd_count(event));
	say(irq_none(v.device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 0, VFIO_IRQ_SET_ACTION_TRIGGER),
	    "irq.disable after close");
	/* The eventfd may be closed while it is in use. */
	say(irq_eventfds(v.device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &event), "irq.set again");
	{
		int copy = dup(event);

		close(event);
		say(irq_none(v.device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, VFIO_IRQ_SET_ACTION_TRIGGER),
		    "irq.trigger of a closed eventfd");
		say_text("irq.signals to its copy", "%lu", eventfd_count(copy));
		close(copy);
	}
	vfio_close(&v);
}

void area_lifetime(void)
{
	static const char *const orders[] = {"cgd", "cdg", "gcd", "gdc", "dcg", "dgc"};

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++)
		close_order(orders[i]);
	two_devices();
	duplicates();
	mappings_go();
	interrupts_go();
}

static int in_child(int (*run)(const struct vfio *v), const struct vfio *v)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		int r = run(v);

		fflush(stdout);
		_exit(r);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static int child_uses(const struct vfio *v)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};

	say(device_works(v->device), "child.device");
	say(container_works(v->container), "child.container");
	say(result(ioctl(v->group, VFIO_GROUP_GET_STATUS, &status)), "child.group");
	say(result(ioctl(v->group, VFIO_GROUP_SET_CONTAINER, &v->container)), "child.set");
	say_text("child.vendor", "%#x", config_read(v->device, 0, 2));
	say(config_write(v->device, 4, 2, 6), "child.command");
	say(group_opens(), "child.open of the group");
	return 7;
}

static int child_closes(const struct vfio *v)
{
	close(v->device);
	close(v->group);
	close(v->container);
	return 8;
}

static int child_leaves(const struct vfio *v)
{
	return 9;
}

static int child_opens(const struct vfio *v)
{
	struct vfio own;

	vfio_open(&own, VFIO_TYPE1v2_IOMMU);
	say(device_works(own.device), "own.device");
	vfio_close(&own);
	return 10;
}

void area_fork(void)
{
	struct vfio v;

	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	say(in_child(child_leaves, &v), "exits at once");
	say(device_works(v.device), "parent.device");
	say(in_child(child_closes, &v), "closes all");
	say(device_works(v.device), "parent.device");
	say(container_works(v.container), "parent.container");
	say(in_child(child_uses, &v), "uses");
	say_text("parent.command", "%#x", config_read(v.device, 4, 2) & 6);
	vfio_close(&v);
	say(in_child(child_opens, NULL), "opens its own");
	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	say(device_works(v.device), "parent.device again");
	vfio_close(&v);
}

/* ---- A process that is sent the descriptors ---- */

static void send_fds(int socket, const int *fds, unsigned n)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(4 * sizeof(int))];
	} control;
	char byte = 0;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	if (sendmsg(socket, &message, 0) != 1)
		give_up("sendmsg", -errno);
}

static bool receive_fds(int socket, int *fds, unsigned n)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(4 * sizeof(int))];
	} control;
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};

	if (recvmsg(socket, &message, 0) != 1 || !CMSG_FIRSTHDR(&message))
		return false;
	memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), n * sizeof(int));
	return true;
}

/* Begun before anything was opened, so that it has the descriptors from the socket alone. */
static void receiver(int socket)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	int event = eventfd(0, EFD_NONBLOCK), bad = -1;
	uint32_t version = 0;
	struct vfio v;
	char *memory;
	int fds[3];
	uint64_t size = 4096;

	if (!receive_fds(socket, fds, 3))
		give_up("recvmsg", -errno);
	v = (struct vfio){.container = fds[0], .group = fds[1], .device = fds[2]};
	say(device_works(v.device), "received.device");
	say(container_works(v.container), "received.container");
	say(result(ioctl(v.group, VFIO_GROUP_GET_STATUS, &status)), "received.group");
	say_text("received.group", "flags=%#x", status.flags);
	say(result(ioctl(v.group, VFIO_GROUP_SET_CONTAINER, &bad)), "received.set -1");
	say(result(ioctl(v.group, VFIO_GROUP_SET_CONTAINER, &v.container)), "received.set again");
	say_text("received.vendor", "%#x", config_read(v.device, 0, 2));
	say(config_write(v.device, 4, 2, 6), "received.command");
	say(result(pread(v.device, &version, 4, 8)), "received.register");
	say_text("received.register", "%#x", version);
	say(result(pread(v.device, NOWHERE, 4, 8)), "received.register to nowhere");
	say(irq_eventfds(v.device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &event), "received.irq");
	say(irq_none(v.device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, VFIO_IRQ_SET_ACTION_TRIGGER),
	    "received.irq.trigger");
	say_text("received.irq.signals", "%lu", eventfd_count(event));
	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	say(map_dma(v.container, 0x10000, memory, 4096, RW), "received.map");
	say(map_dma(v.container, 0x10000, memory, 4096, RW), "received.map again");
	say(map_dma(v.container, 0x20000, NOWHERE, 4096, RW), "received.map unaligned");
	say(unmap_dma(v.container, 0x10000, &size, 0), "received.unmap");
	say_text("received.unmap", "size=%lu", (unsigned long)size);
	say(result(ioctl(v.container, VFIO_IOMMU_GET_INFO, NULL)), "received.info.NULL");
	fds[0] = ioctl(v.group, VFIO_GROUP_GET_DEVICE_FD, vfio_bdf());
	say_fd(result(fds[0]), "received.another device");
	say(device_works(fds[0]), "received.another device works");
}

void area_passing(void)
{
	int sockets[2], fds[3], status;
	struct vfio v;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		give_up("socketpair", -errno);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		receiver(sockets[1]);
		fflush(stdout);
		_exit(3);
	}
	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	fds[0] = v.container;
	fds[1] = v.group;
	fds[2] = v.device;
	send_fds(sockets[0], fds, 3);
	waitpid(child, &status, 0);
	say(WIFEXITED(status) ? WEXITSTATUS(status) : -EIO, "receiver");
	say_text("command", "%#x", config_read(v.device, 4, 2) & 6);
	say(device_works(v.device), "device");
	vfio_close(&v);
}
