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
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_scsi.h>
#include <linux/virtio_vsock.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <standin/standin.h>

#include "fuzz.h"
#include "uapi/tun.h"
#include "uapi/vhost.h"

#define PAGE    4096u
#define MEMORY  (64 * PAGE) /* the guest's, from address 0 */
#define HOLE    (40 * PAGE) /* in it: a page that isn't there */
#define RINGS   4u
#define NUM     16u
#define RING(i) ((i)*3 * PAGE) /* of its three pages */

#define WWPN "naa.5001405000000001"
#define TAPS 2u

struct device {
	const char *path;
	unsigned n_vqs;
	void (*run)(unsigned how); /* 0: takes the rings' backends away; else gives them some */
};

static void run_test(unsigned how);
static void run_vsock(unsigned how);
static void run_net(unsigned how);
static void run_scsi(unsigned how);
static void run_vdpa(unsigned how);
static void set_ring(unsigned i);

static const struct device devices[] = {
	{"/dev/vhost-test", 1, run_test},   {"/dev/vhost-vsock", 2, run_vsock},
	{"/dev/vhost-net", 2, run_net},     {"/dev/vhost-scsi", 4, run_scsi},
	{"/dev/vhost-vdpa-0", 3, run_vdpa}, {"/dev/vhost-vdpa-1", 1, run_vdpa},
	{"/dev/vhost-vdpa-2", 3, run_vdpa}, {"/dev/vhost-vdpa-3", 2, run_vdpa},
};

static uint8_t *memory;
static int fd, kicks[RINGS], event, taps[TAPS];
static const struct device *device;
static uint64_t features;
static uint16_t available[RINGS];
static unsigned workers; /* that the client has asked for */

static void start(void)
{
	if (standin_start("log error\n"
			  "net loopback\n"
			  "vhost-scsi wwpn=" WWPN ",lun0.size=64K,lun1.size=64K,lun1.readonly=on\n"
			  "vdpa net-sim\n"
			  "vdpa blk-sim\n"
			  "vdpa net,net=loopback\n"
			  "vdpa blk,size=64K,queues=2\n")) {
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
	for (unsigned i = 0; i < TAPS; i++) {
		struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};

		taps[i] = standin_open("/dev/net/tun", O_RDWR | O_NONBLOCK);
		if (taps[i] < 0 || standin_ioctl(taps[i], TUNSETIFF, &request))
			abort();
	}
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

static void set_ring(unsigned i)
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

/*
 * All of the guest's memory in each address space, where addresses are the guest's own.  A space
 * of a vDPA device without any is all of this process's memory: not for the input to write to.
 */
static void update_all(void)
{
	for (uint32_t space = 0; space < 2; space++) {
		struct vhost_msg_v2 message = {
			.type = VHOST_IOTLB_MSG_V2,
			.asid = space,
			.iotlb = {.iova = 0,
				  .size = HOLE,
				  .uaddr = (uintptr_t)memory,
				  .perm = VHOST_ACCESS_RW,
				  .type = VHOST_IOTLB_UPDATE},
		};

		standin_write(fd, &message, sizeof(message));
	}
}

static void run_test(unsigned how)
{
	int value = how != 0;

	call(VHOST_TEST_RUN, &value);
}

static void run_vsock(unsigned how)
{
	int value = how != 0;

	call(VHOST_VSOCK_SET_RUNNING, &value);
}

static void run_net(unsigned how)
{
	for (unsigned i = 0; i < device->n_vqs; i++) {
		struct vhost_vring_file file = {.index = i, .fd = how ? taps[how % TAPS] : -1};

		call(VHOST_NET_SET_BACKEND, &file);
	}
}

static void run_scsi(unsigned how)
{
	struct vhost_scsi_target target = {.vhost_wwpn = WWPN};

	call(how ? VHOST_SCSI_SET_ENDPOINT : VHOST_SCSI_CLEAR_ENDPOINT, &target);
}

/* A vDPA device begins with a reset, and what it is told before it runs has an order. */
static void run_vdpa(unsigned how)
{
	uint8_t status = 0;

	call(VHOST_VDPA_SET_STATUS, &status);
	update_all();
	if (!how)
		return;
	status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
	call(VHOST_VDPA_SET_STATUS, &status);
	call(VHOST_SET_FEATURES, &features);
	status |= VIRTIO_CONFIG_S_FEATURES_OK;
	call(VHOST_VDPA_SET_STATUS, &status);
	for (unsigned i = 0; i < device->n_vqs; i++) {
		struct vhost_vring_state state = {.index = i, .num = 1};

		set_ring(i);
		call(VHOST_VDPA_SET_VRING_ENABLE, &state);
	}
	status |= VIRTIO_CONFIG_S_DRIVER_OK;
	call(VHOST_VDPA_SET_STATUS, &status);
}

static void open_device(struct input *in)
{
	uint64_t cid = 42, offered = 0, always, v2 = UINT64_C(1) << VHOST_BACKEND_F_IOTLB_MSG_V2,
		 spaces = v2 | UINT64_C(1) << VHOST_BACKEND_F_IOTLB_BATCH |
			  UINT64_C(1) << VHOST_BACKEND_F_IOTLB_ASID;

	device = &devices[take8(in) % (sizeof(devices) / sizeof(devices[0]))];
	fd = standin_open(device->path, O_RDWR | O_NONBLOCK);
	if (fd < 0)
		abort();
	memset(memory, 0, HOLE);
	memset(available, 0, sizeof(available));
	workers = 0;
	call(VHOST_SET_OWNER, NULL);
	call(VHOST_GET_FEATURES, &offered);
	always = UINT64_C(1) << VIRTIO_F_VERSION_1;
	if (device->run == run_vdpa)
		always |= UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM;
	features = offered & (take64(in) | always) & ~(UINT64_C(1) << VHOST_F_LOG_ALL);
	call(VHOST_SET_BACKEND_FEATURES, device->run == run_vdpa ? &spaces : &v2);
	call(VHOST_SET_FEATURES, &features);
	set_memory(true);
	call(VHOST_VSOCK_SET_GUEST_CID, &cid);
	for (unsigned i = 0; i < device->n_vqs; i++)
		set_ring(i);
	if (features >> VIRTIO_F_ACCESS_PLATFORM & 1)
		update_all();
	device->run(1);
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

/*
 * A request as the device expects it, but for what the input has changed in it: a header,
 * what is read after it, and what is written.  Becomes the next chain of its ring.
 */
static void request(struct input *in)
{
	static const struct virtio_vsock_hdr packet = {
		.src_cid = 42, .dst_cid = 2, .src_port = 1, .dst_port = 1, .type = 1, .op = 1};
	union {
		uint8_t bytes[64];
		struct virtio_scsi_cmd_req command;
		struct virtio_vsock_hdr packet;
	} head = {{0}};
	unsigned i = take8(in) % device->n_vqs, slot = take8(in) % (NUM / 4), at = take8(in) % 64;
	uint64_t place = RING(RINGS) + (1 + slot) * PAGE;
	uint16_t first = (uint16_t)(slot * 4), n = 0;
	uint32_t size[3] = {sizeof(struct virtio_net_hdr_mrg_rxbuf), take16(in) % 3000,
			    take16(in) % 3000};
	struct vring_desc desc[3];

	if (device->run == run_vsock) {
		head.packet = packet;
		size[0] = sizeof(packet);
		size[1] %= 256;
		head.packet.len = size[1];
	} else if (device->run == run_scsi) {
		head.command.lun[0] = 1;
		head.command.lun[3] = take8(in) % 3;
		take(in, head.command.cdb, 16);
		size[0] = i == 0 ? sizeof(struct virtio_scsi_ctrl_tmf_req)
				 : sizeof(struct virtio_scsi_cmd_req);
	} else if (device->run == run_vdpa) {
		size[0] = sizeof(struct virtio_blk_outhdr);
		head.bytes[0] = take8(in);
		head.bytes[8] = take8(in) % 140;
	}
	head.bytes[at] ^= take8(in);
	store(place, &head, sizeof(head));
	for (unsigned part = 0; part < 3; part++) {
		if (!size[part])
			continue;
		desc[n] = (struct vring_desc){place + part * (PAGE / 4), size[part],
					      part == 2 ? VRING_DESC_F_WRITE : 0,
					      (uint16_t)(first + n + 1)};
		desc[n++].flags |= VRING_DESC_F_NEXT;
	}
	desc[n - 1].flags &= (uint16_t)~VRING_DESC_F_NEXT;
	store(RING(i) + first * sizeof(desc[0]), desc, n * sizeof(desc[0]));
	store(RING(i) + PAGE + 4 + available[i] % NUM * 2, &first, sizeof(first));
	available[i]++;
	store(RING(i) + PAGE + 2, &available[i], sizeof(available[i]));
}

/* A packet for vhost-net's receive ring, with a header that says anything. */
static void arrive(struct input *in)
{
	uint8_t packet[200];
	size_t size = take8(in) % sizeof(packet);

	take(in, packet, size);
	standin_write(taps[take8(in) % TAPS], packet, size);
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

/* Of vhost-scsi alone; each is a thread, so there are not many. */
static void change_workers(unsigned ring, unsigned what)
{
	struct vhost_vring_worker attach = {.index = ring, .worker_id = what >> 4};
	struct vhost_worker_state state = {.worker_id = what >> 4};

	if (what & 1)
		call(VHOST_ATTACH_VRING_WORKER, &attach);
	else if (what & 2)
		call(VHOST_FREE_WORKER, &state);
	else if (workers++ < 4)
		call(VHOST_NEW_WORKER, &state);
}

static void of_vdpa(struct input *in)
{
	struct {
		struct vhost_vdpa_config head;
		uint8_t data[16];
	} config = {{.off = take8(in), .len = take8(in) % 17}, {0}};
	uint8_t what = take8(in), status = take8(in);
	struct vhost_vring_state state = {.index = what >> 4, .num = status};

	switch (what & 7) {
	case 0:
		call(VHOST_VDPA_SUSPEND, NULL);
		break;
	case 1:
		call(VHOST_VDPA_RESUME, NULL);
		break;
	case 2:
		call(VHOST_VDPA_SET_STATUS, &status);
		update_all();
		break;
	case 3:
		call(VHOST_VDPA_SET_GROUP_ASID, &state);
		break;
	case 4:
		call(VHOST_VDPA_SET_VRING_ENABLE, &state);
		break;
	case 5:
		call(VHOST_VDPA_GET_CONFIG, &config);
		break;
	default:
		take(in, config.data, sizeof(config.data));
		call(VHOST_VDPA_SET_CONFIG, &config);
		break;
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
		device->run(which >> 6);
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
	case 13:
		call(VHOST_GET_VRING_BASE, &state);
		break;
	case 14:
		change_workers(which >> 4 & 3, take8(in));
		break;
	default:
		of_vdpa(in);
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
		switch (take8(&in) % 13) {
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
		case 7:
		case 8:
			request(&in);
			break;
		case 9:
			arrive(&in);
			break;
		default:
			descriptor(&in);
			break;
		}
	}
	standin_close(fd);
	return 0;
}
