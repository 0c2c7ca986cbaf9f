/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A malicious driver and its client against the vhost devices: rings, buffers and indirect
 * tables with anything in them, kicks at any moment, and every ioctl and IOTLB message
 * meanwhile, with the devices' own threads at work.
 *
 * The input names a device and is then a program of steps.  Half of the steps are plausible
 * (a descriptor inside the memory, one more available buffer), because random ones alone don't
 * get far.  The device is opened for each input and closed after it, which also waits for
 * its threads.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <standin/standin.h>

#include "fuzz.h"
#include "uapi/vhost.h"

#define PAGE    4096u
#define MEMORY  (64 * PAGE) /* the guest's, from address 0 */
#define HOLE    (40 * PAGE) /* in it: a page that isn't there */
#define RINGS   4u
#define NUM     16u
#define RING(i) ((i)*3 * PAGE) /* of its three pages */

struct device {
	const char *path;
	unsigned n_vqs;
	unsigned long run; /* the ioctl that gives the rings their backends; 0: per ring */
	uint64_t features;
};

static const struct device devices[] = {
	{"/dev/vhost-test", 1, VHOST_TEST_RUN, 0},
	{"/dev/vhost-vsock", 2, VHOST_VSOCK_SET_RUNNING, 0},
};

static uint8_t *memory;
static int fd, kicks[RINGS], event;
static const struct device *device;
static uint16_t available[RINGS];

static void start(void)
{
	if (standin_start("log error\n")) {
		fprintf(stderr, "%s\n", standin_error());
		abort();
	}
	/* Nothing else may come behind it, where addresses of the input point, too. */
	memory = mmap(NULL, 4 * MEMORY, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(memory, MEMORY, PROT_READ | PROT_WRITE);
	mprotect(memory + HOLE, PAGE, PROT_NONE);
	event = eventfd(0, EFD_NONBLOCK);
	for (unsigned i = 0; i < RINGS; i++)
		kicks[i] = eventfd(0, EFD_NONBLOCK);
}

static void call(unsigned long command, void *argument)
{
	standin_ioctl(fd, command, argument);
}

static void set_memory(bool whole)
{
	struct {
		struct vhost_memory head;
		struct vhost_memory_region regions[2];
	} table = {
		.head.nregions = 2,
		.regions =
			{
				{0, whole ? MEMORY : MEMORY / 2, (uintptr_t)memory, 0},
				/* The same once more, and beyond it nothing. */
				{UINT64_C(1) << 32, 2 * MEMORY, (uintptr_t)memory, 0},
			},
	};

	call(VHOST_SET_MEM_TABLE, &table);
}

static void set_ring(unsigned i, uint64_t features)
{
	/* With an IOTLB ring addresses are guest addresses. */
	uint64_t base = features >> VIRTIO_F_ACCESS_PLATFORM & 1 ? 0 : (uintptr_t)memory;
	struct vhost_vring_state state = {.index = i, .num = NUM};
	struct vhost_vring_file file = {.index = i, .fd = kicks[i]};
	struct vhost_vring_addr address = {
		.index = i,
		.desc_user_addr = base + RING(i),
		.avail_user_addr = base + RING(i) + PAGE,
		.used_user_addr = base + RING(i) + 2 * PAGE,
	};

	call(VHOST_SET_VRING_NUM, &state);
	state.num = 0;
	call(VHOST_SET_VRING_BASE, &state);
	call(VHOST_SET_VRING_ADDR, &address);
	call(VHOST_SET_VRING_KICK, &file);
	file.fd = event;
	call(VHOST_SET_VRING_CALL, &file);
	call(VHOST_SET_VRING_ERR, &file);
}

static void run(bool on)
{
	int value = on;

	call(device->run, &value);
}

static void open_device(struct input *in)
{
	uint64_t cid = 42, offered = 0, features;

	device = &devices[take8(in) % (sizeof(devices) / sizeof(devices[0]))];
	fd = standin_open(device->path, O_RDWR | O_NONBLOCK);
	if (fd < 0)
		abort();
	memset(memory, 0, HOLE);
	memset(available, 0, sizeof(available));
	call(VHOST_SET_OWNER, NULL);
	call(VHOST_GET_FEATURES, &offered);
	features = offered & (take64(in) | UINT64_C(1) << VIRTIO_F_VERSION_1) &
		   ~(UINT64_C(1) << VHOST_F_LOG_ALL);
	call(VHOST_SET_FEATURES, &features);
	set_memory(true);
	if (features >> VIRTIO_F_ACCESS_PLATFORM & 1) {
		struct vhost_msg message = {
			.type = VHOST_IOTLB_MSG,
			.iotlb = {.iova = 0,
				  .size = MEMORY,
				  .uaddr = (uintptr_t)memory,
				  .perm = VHOST_ACCESS_RW,
				  .type = VHOST_IOTLB_UPDATE},
		};

		standin_write(fd, &message, sizeof(message));
	}
	call(VHOST_VSOCK_SET_GUEST_CID, &cid);
	for (unsigned i = 0; i < device->n_vqs; i++)
		set_ring(i, features);
	run(true);
}

static void store(uint64_t at, const void *bytes, size_t size)
{
	if (at + size <= HOLE)
		memcpy(memory + at, bytes, size);
}

static void descriptor(struct input *in)
{
	struct vring_desc d = {
		.addr = take16(in) * UINT64_C(16),
		.len = take16(in),
		.flags = take8(in) & 7,
		.next = take8(in) % (NUM + 1),
	};
	unsigned where = take8(in), i = where % device->n_vqs;

	/* In the ring, or in what may be an indirect table. */
	if (where & 0x80)
		store(RING(RINGS) + (where & 0x7f) * sizeof(d), &d, sizeof(d));
	else
		store(RING(i) + take8(in) % NUM * sizeof(d), &d, sizeof(d));
}

static void offer(struct input *in)
{
	unsigned i = take8(in) % device->n_vqs;
	uint16_t head = take8(in) % (NUM + 1);

	store(RING(i) + PAGE + 4 + available[i] % NUM * 2, &head, sizeof(head));
	available[i]++;
	store(RING(i) + PAGE + 2, &available[i], sizeof(available[i]));
}

static void kick(struct input *in)
{
	static const uint64_t one = 1;

	if (write(kicks[take8(in) % device->n_vqs], &one, sizeof(one)) != sizeof(one))
		abort();
	for (unsigned i = take8(in) % 8; i; i--)
		sched_yield();
}

static void scribble(struct input *in)
{
	uint8_t bytes[48];
	size_t size = take8(in) % sizeof(bytes);
	uint64_t at = take16(in) * UINT64_C(4);

	take(in, bytes, size);
	store(at, bytes, size);
}

/*
 * An address in the memory or behind it, or one where nothing can be: a client that has its
 * rings in its own stack does that to itself.
 */
static uint64_t address(struct input *in)
{
	uint64_t value = take32(in);

	switch (value & 7) {
	case 0:
		return value >> 3 & 0xffff;
	case 1:
		return UINT64_MAX - (value >> 3 & 0xffff);
	default:
		return (uintptr_t)memory + value % (2 * MEMORY);
	}
}

static void client(struct input *in)
{
	unsigned which = take8(in);
	struct vhost_vring_state state = {.index = which >> 4 & 3, .num = take16(in)};
	struct vhost_vring_file file = {.index = which >> 4 & 3};
	struct vhost_vring_addr ring = {.index = which >> 4 & 3, .flags = which >> 6 & 1};
	uint64_t number;

	switch (which % 16) {
	case 0:
		run(which & 0x80);
		break;
	case 1:
		set_memory(which & 0x80);
		break;
	case 2:
		call(VHOST_SET_VRING_NUM, &state);
		break;
	case 3:
		call(VHOST_SET_VRING_BASE, &state);
		break;
	case 4:
	case 5:
		ring.desc_user_addr = address(in);
		ring.avail_user_addr = address(in);
		ring.used_user_addr = address(in);
		ring.log_guest_addr = take32(in);
		call(VHOST_SET_VRING_ADDR, &ring);
		break;
	case 6:
		file.fd = which & 0x80 ? -1 : kicks[take8(in) % RINGS];
		call(VHOST_SET_VRING_KICK, &file);
		break;
	case 7:
		file.fd = which & 0x80 ? -1 : event;
		call(which & 0x40 ? VHOST_SET_VRING_CALL : VHOST_SET_VRING_ERR, &file);
		break;
	case 8:
		state.num %= 50; /* us */
		call(VHOST_SET_VRING_BUSYLOOP_TIMEOUT, &state);
		break;
	case 9:
		number = address(in);
		call(VHOST_SET_LOG_BASE, &number);
		break;
	case 10:
		number = take64(in);
		call(VHOST_SET_FEATURES, &number);
		break;
	case 11:
		call(VHOST_RESET_OWNER, NULL);
		break;
	case 12:
		call(VHOST_SET_OWNER, NULL);
		break;
	default:
		call(VHOST_GET_VRING_BASE, &state);
		break;
	}
}

static void message(struct input *in)
{
	struct vhost_msg_v2 m = {
		.type = take8(in) % 3,
		.asid = take8(in) % 2,
		.iotlb = {.type = take8(in) % 8,
			  .perm = take8(in) % 5,
			  .iova = take16(in) * UINT64_C(64),
			  .size = take16(in) * UINT64_C(64),
			  .uaddr = address(in)},
	};

	standin_write(fd, &m, sizeof(m));
	standin_read(fd, &m, sizeof(m));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	if (!memory)
		start();
	open_device(&in);
	while (in.left) {
		switch (take8(&in) % 10) {
		case 0:
			scribble(&in);
			break;
		case 1:
			client(&in);
			break;
		case 2:
			message(&in);
			break;
		case 3:
		case 4:
			kick(&in);
			break;
		case 5:
		case 6:
			offer(&in);
			break;
		default:
			descriptor(&in);
			break;
		}
	}
	standin_close(fd);
	return 0;
}
