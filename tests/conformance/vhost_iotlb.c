/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device IOTLB (VIRTIO_F_ACCESS_PLATFORM): its messages, and what rings ask for.  The
 * same for every device that has one; how its rings are started is the caller's.
 */
#include "vhost.h"

#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>

#define BIT(n) (UINT64_C(1) << (n))
#define V1     BIT(VIRTIO_F_VERSION_1)
#define NUM    16
#define PAGE   4096u

/* Where the driver has its rings: IOVAs, and the memory that they come to lie in. */
#define RING(r)  (0x100000u * ((r) + 1))
#define DESC(r)  RING(r)
#define AVAIL(r) (RING(r) + PAGE)
#define USED(r)  (RING(r) + 2 * PAGE)
#define BUFFER   0x900000u

static char memory[2][3 * PAGE] __attribute__((aligned(4096)));
static char buffer[2 * PAGE] __attribute__((aligned(4096)));

static long message(int fd, uint32_t version, uint8_t type, uint64_t iova, uint64_t size,
		    const void *address, uint8_t perm)
{
	struct vhost_msg_v2 m = {.type = version};

	m.iotlb = (struct vhost_iotlb_msg){.iova = iova, .size = size,
					   .uaddr = (uintptr_t)address, .perm = perm, .type = type};
	return result(sys_write(fd, &m, sizeof(m)));
}

static long update(int fd, uint64_t iova, uint64_t size, const void *address, uint8_t perm)
{
	return message(fd, VHOST_IOTLB_MSG_V2, VHOST_IOTLB_UPDATE, iova, size, address, perm);
}

static long invalidate(int fd, uint64_t iova, uint64_t size)
{
	return message(fd, VHOST_IOTLB_MSG_V2, VHOST_IOTLB_INVALIDATE, iova, size, NULL, 0);
}

/* Reads the next message; one that has to come is waited for. */
static void next(int fd, const char *name, bool expected)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
	struct vhost_msg_v2 m = {0};
	int ready = poll(&p, 1, expected ? 5000 : 50);
	long r = result(sys_read(fd, &m, sizeof(m)));

	if (r == sizeof(m))
		say_text(name, "poll %#x version %d type %u iova %#llx size %llu perm %u",
			 ready == 1 ? (unsigned)p.revents : 0, m.type, m.iotlb.type,
			 (unsigned long long)m.iotlb.iova, (unsigned long long)m.iotlb.size,
			 m.iotlb.perm);
	else
		say_text(name, "poll %#x, %s", ready == 1 ? (unsigned)p.revents : 0,
			 result_name(r));
}

static void set_rings(int fd)
{
	for (unsigned r = 0; r < 2; r++) {
		struct vhost_vring_addr a = {.index = r, .desc_user_addr = DESC(r),
					     .avail_user_addr = AVAIL(r),
					     .used_user_addr = USED(r)};

		set_state(fd, VHOST_SET_VRING_NUM, r, NUM);
		say(result(sys_ioctl(fd, VHOST_SET_VRING_ADDR, &a)), "addr %u", r);
	}
}

static long features(int fd, uint64_t value)
{
	return result(sys_ioctl(fd, VHOST_SET_FEATURES, &value));
}

static void messages(int fd)
{
	for (uint32_t version = 1; version < 3; version++) {
		for (uint8_t type = 0; type < 8; type++)
			say(message(fd, version, type, 0, PAGE, buffer, VHOST_ACCESS_RW),
			    "v%u.type %u", version, type);
		say(message(fd, version, VHOST_IOTLB_UPDATE, 0, 0, buffer, 3), "v%u.size 0",
		    version);
		say(message(fd, version, VHOST_IOTLB_INVALIDATE, 0, 0, NULL, 0),
		    "v%u.invalidate size 0", version);
	}
	for (uint8_t perm = 0; perm < 8; perm++) {
		say(update(fd, 0x5000, PAGE, buffer, perm), "perm %u", perm);
		say(update(fd, 0x5000, PAGE, (void *)(UINTPTR_MAX << 12), perm), "perm %u high",
		    perm);
	}
	say(update(fd, 0x5000, PAGE, NOWHERE, 3), "nowhere");
	say(update(fd, UINT64_MAX, 1, buffer, 3), "last byte");
	say(update(fd, UINT64_MAX, 2, buffer, 3), "wraps");
	say(update(fd, 0, UINT64_MAX, NULL, 3), "all but a byte");
	say(update(fd, 0, 0x7ffffffff000, NULL, 3), "all of the process");
	say(update(fd, 0x1234, 1, buffer, 3), "a byte inside");
	say(invalidate(fd, 0x7777000, 1), "invalidate nothing");
	say(invalidate(fd, 5, UINT64_MAX), "invalidate wraps");
	say(invalidate(fd, 0, UINT64_MAX), "invalidate all");
	{
		struct vhost_msg_v2 m = {.type = 2, .asid = 1};

		m.iotlb.type = VHOST_IOTLB_UPDATE;
		m.iotlb.size = PAGE;
		m.iotlb.uaddr = (uintptr_t)buffer;
		say(result(sys_write(fd, &m, sizeof(m))), "asid not acked");
		say(result(sys_write(fd, &m, 40)), "40 bytes");
		say(result(sys_write(fd, &m, 39)), "39 bytes");
	}
	say(invalidate(fd, 0, UINT64_MAX), "invalidate all again");
	next(fd, "nothing to read", false);
}

/* Which misses a start makes, and what is enough for it. */
static void starts(const struct iotlb_node *node, int fd)
{
	uint64_t v2 = BIT(VHOST_BACKEND_F_IOTLB_MSG_V2);
	struct vhost_msg_v2 m;

	say(node->start(fd, true), "start");
	next(fd, "start.miss", true);
	next(fd, "start.no other", false);
	/* All else of ring 0, so that it asks for nothing when it is worked on. */
	say(update(fd, DESC(0), PAGE, memory[0], VHOST_ACCESS_RO), "desc 0");
	say(update(fd, AVAIL(0), PAGE, memory[0] + PAGE, VHOST_ACCESS_RO), "avail 0");
	say(update(fd, USED(0), PAGE, memory[0] + 2 * PAGE, VHOST_ACCESS_RO), "used 0 RO");
	say(result(sys_ioctl(fd, VHOST_SET_BACKEND_FEATURES, &v2)), "MSG_V2");
	say(node->start(fd, true), "start with used 0");
	next(fd, "start with used 0.miss", true);
	/* An answer before the question was read is none. */
	say(update(fd, USED(1), PAGE, memory[1] + 2 * PAGE, VHOST_ACCESS_WO), "used 1 WO");
	say(node->start(fd, true), "start with used 1 WO");
	next(fd, "start with used 1 WO.miss", false);
	say(invalidate(fd, USED(1) + 100, 1), "used 1 gone");
	say(node->start(fd, true), "start without used 1");
	say(update(fd, USED(1), PAGE, memory[1] + 2 * PAGE, VHOST_ACCESS_RW), "used 1 unread");
	say(invalidate(fd, USED(1), PAGE), "used 1 gone again");
	say(node->start(fd, true), "start without used 1 again");
	say(result(sys_read(fd, edge(sizeof(m), NULL), 71)), "read 71");
	next(fd, "start without used 1.miss", true);
	next(fd, "start without used 1.no other", false);
	say(update(fd, USED(0), PAGE, memory[0] + 2 * PAGE, VHOST_ACCESS_RW), "used 0");
	say(update(fd, USED(1), PAGE, memory[1] + 2 * PAGE, VHOST_ACCESS_RW), "used 1");
	say(invalidate(fd, USED(0), PAGE), "used 0 gone");
	say(update(fd, USED(0), PAGE, memory[0] + 2 * PAGE, VHOST_ACCESS_RW), "used 0 again");
	usleep(50000); /* what the answers have set off is over */
	say(node->start(fd, true), "start with both");
}

/* A chain on ring 1, which the device reads. */
static void work(const struct iotlb_node *node, int fd, int kick)
{
	struct vring_desc *desc = (struct vring_desc *)memory[1];
	struct vring_avail *avail = (struct vring_avail *)(memory[1] + PAGE);
	const struct vring_used *used = (struct vring_used *)(memory[1] + 2 * PAGE);
	uint64_t one = 1;

	desc[0] = (struct vring_desc){.addr = BUFFER, .len = node->size};
	avail->ring[0] = 0;
	__atomic_store_n(&avail->idx, 1, __ATOMIC_RELEASE);
	if (write(kick, &one, sizeof(one)) != sizeof(one))
		give_up("kick", -errno);
	next(fd, "work.first", true);
	next(fd, "work.no other", false);
	say(update(fd, AVAIL(1), PAGE, memory[1] + PAGE, VHOST_ACCESS_RO), "work.avail");
	say(update(fd, DESC(1), PAGE, memory[1], VHOST_ACCESS_RO), "work.desc");
	next(fd, "work.buffer", true);
	say_text("work.used", "%u", __atomic_load_n(&used->idx, __ATOMIC_ACQUIRE));
	say(update(fd, BUFFER + PAGE, PAGE, buffer + PAGE, VHOST_ACCESS_RO), "work.beside");
	next(fd, "work.still", false);
	say(update(fd, BUFFER, PAGE, buffer, VHOST_ACCESS_RO), "work.buffer");
	for (int i = 0; i < 5000 && __atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) == 0; i++)
		usleep(1000);
	say_text("work.used then", "%u", __atomic_load_n(&used->idx, __ATOMIC_ACQUIRE));
}

static void retirement(const struct iotlb_node *node, int fd)
{
	long worst = 72;

	say(node->start(fd, false), "stop");
	say(invalidate(fd, 0, UINT64_MAX), "retire.all gone");
	say(update(fd, USED(0), PAGE, memory[0] + 2 * PAGE, VHOST_ACCESS_RW), "retire.used 0");
	say(update(fd, USED(1), PAGE, memory[1] + 2 * PAGE, VHOST_ACCESS_RW), "retire.used 1");
	for (unsigned i = 0; i < 2047; i++) {
		long r = update(fd, BUFFER + (uint64_t)i * PAGE, PAGE, buffer, VHOST_ACCESS_RW);

		worst = r < worst ? r : worst;
	}
	say(worst, "retire.2047 more");
	say(node->start(fd, true), "retire.start");
	next(fd, "retire.miss", true);
}

static void without(const struct iotlb_node *node, int fd)
{
	say(features(fd, V1), "off");
	next(fd, "off.nothing to read", false);
	say(update(fd, USED(0), PAGE, memory[0], VHOST_ACCESS_RW), "off.update");
	say(node->start(fd, true), "off.start");
	say(features(fd, V1 | BIT(VIRTIO_F_ACCESS_PLATFORM)), "on again");
	say(node->start(fd, true), "on again.start");
	next(fd, "on again.miss", true);
	say(features(fd, V1 | BIT(VIRTIO_F_ACCESS_PLATFORM)), "on once more");
	say(node->start(fd, true), "on once more.start");
	next(fd, "on once more.miss", false);
}

void iotlb_checks(const struct iotlb_node *node)
{
	int fd = sys_open(node->path, O_RDWR | O_NONBLOCK), kick = eventfd(0, EFD_NONBLOCK);

	if (fd < 0)
		give_up(node->path, -errno);
	say(result(sys_ioctl(fd, VHOST_SET_OWNER)), "owner");
	say(features(fd, V1 | BIT(VIRTIO_F_ACCESS_PLATFORM)), "on");
	set_memory_flat(fd);
	set_rings(fd);
	set_file(fd, VHOST_SET_VRING_KICK, 1, kick);
	messages(fd);
	starts(node, fd);
	work(node, fd, kick);
	retirement(node, fd);
	without(node, fd);
	close(kick);
	sys_close(fd);
}

/* ---- vhost-net, on a tap that is down ---- */

static int tap;

static long start_net(int fd, bool on)
{
	long r = 0;

	for (unsigned i = 0; i < 2 && !r; i++)
		r = set_file(fd, VHOST_NET_SET_BACKEND, i, on ? tap : -1);
	return r;
}

void area_net_iotlb(void)
{
	static const struct iotlb_node node = {.path = "/dev/vhost-net", .start = start_net,
					       .size = 72};
	struct ifreq request = {.ifr_name = "iotlb%d",
				.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int header = 12;
	long r;

	tap = sys_open("/dev/net/tun", O_RDWR | O_NONBLOCK);
	if (tap < 0)
		give_up("/dev/net/tun", -errno);
	r = result(sys_ioctl(tap, TUNSETIFF, &request));
	if (r)
		give_up("TUNSETIFF", r);
	say(result(sys_ioctl(tap, TUNSETVNETHDRSZ, &header)), "header");
	iotlb_checks(&node);
	sys_close(tap);
}
