/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /dev/vhost-vsock's own ioctls, and what it answers to a guest when nobody listens: a driver
 * of the rings in this process, whose guest addresses are its own addresses.
 */
#include "vhost.h"
#include "../split_ring.h"

#include <poll.h>

#define NUM 16

struct ring {
	SPLIT_RING(NUM, 16);
	int kick, call, err;
	uint16_t seen;
};

static struct ring rings[2];
static struct {
	struct virtio_vsock_hdr header;
	char payload[20];
} received[NUM] __attribute__((aligned(8)));

static void ring_setup(int fd, unsigned index)
{
	struct ring *r = &rings[index];
	struct vhost_vring_addr a = {.index = index, .desc_user_addr = (uintptr_t)r->desc,
				     .avail_user_addr = (uintptr_t)&r->avail,
				     .used_user_addr = (uintptr_t)&r->used};

	memset(r, 0, sizeof(*r));
	r->kick = eventfd(0, EFD_NONBLOCK);
	r->call = eventfd(0, EFD_NONBLOCK);
	r->err = eventfd(0, EFD_NONBLOCK);
	set_state(fd, VHOST_SET_VRING_NUM, index, NUM);
	set_state(fd, VHOST_SET_VRING_BASE, index, 0);
	sys_ioctl(fd, VHOST_SET_VRING_ADDR, &a);
	set_file(fd, VHOST_SET_VRING_KICK, index, r->kick);
	set_file(fd, VHOST_SET_VRING_CALL, index, r->call);
	set_file(fd, VHOST_SET_VRING_ERR, index, r->err);
}

static long set_cid(int fd, uint64_t cid)
{
	return result(sys_ioctl(fd, VHOST_VSOCK_SET_GUEST_CID, edge(8, &cid)));
}

static long set_running(int fd, int running)
{
	return result(sys_ioctl(fd, VHOST_VSOCK_SET_RUNNING, edge(4, &running)));
}

static void set_features(int fd, uint64_t features)
{
	sys_ioctl(fd, VHOST_SET_FEATURES, &features);
}

void area_vsock(void)
{
	static const uint64_t cids[] = {0, 1, 2, 3, 3, 42, 0xfffffffe, 0xffffffff, 0x100000000,
					0x100000003, UINT64_MAX};
	int fd = vhost_open(VSOCK), other = vhost_open(VSOCK);
	struct vhost_vring_state s;

	for (size_t i = 0; i < ARRAY_SIZE(cids); i++)
		say(set_cid(fd, cids[i]), "cid.%#llx", (unsigned long long)cids[i]);
	say(set_cid(fd, 52), "cid.52");
	say(set_cid(other, 52), "cid.other 52");
	say(set_cid(other, 42), "cid.other 42");
	sys_close(other);
	say(set_cid(fd, 42), "cid.42 of a closed one");
	say(set_running(fd, 1), "running.nobody's");
	say(set_running(fd, 0), "running.nobody's 0");
	say(result(sys_ioctl(fd, VHOST_SET_OWNER)), "owner");
	say(set_running(fd, 0), "running.0");
	say(set_running(fd, 1), "running.nothing set");
	say(set_memory(fd, 0, NULL), "memory.none");
	say(set_running(fd, 1), "running.no rings");
	set_features(fd, UINT64_C(1) << VIRTIO_F_VERSION_1);
	say(set_memory_flat(fd), "memory.flat");
	ring_setup(fd, 0);
	say(set_running(fd, 1), "running.one ring");
	s = (struct vhost_vring_state){.index = 0};
	say(set_state(fd, VHOST_SET_VRING_NUM, 0, 8), "num after it failed");
	say(set_state(fd, VHOST_SET_VRING_NUM, 0, NUM), "num");
	ring_setup(fd, 1);
	say(set_running(fd, 1), "running.1");
	say(set_running(fd, 1), "running.1 again");
	say(set_running(fd, 7), "running.7");
	say(set_state(fd, VHOST_SET_VRING_NUM, 0, NUM), "active.num");
	say(set_state(fd, VHOST_SET_VRING_NUM, 0, 3), "active.num 3");
	say(set_state(fd, VHOST_SET_VRING_BASE, 0, 1), "active.base");
	say(result(sys_ioctl(fd, VHOST_GET_VRING_BASE, &s)), "active.get base");
	say_text("active.base", "%u", s.num);
	for (unsigned bad = 0; bad < 4; bad++) {
		struct vhost_vring_addr a = {
			.index = 0,
			.desc_user_addr = bad == 1 ? UINT64_MAX << 12 : (uintptr_t)rings[0].desc,
			.avail_user_addr = bad == 2 ? UINT64_MAX << 12 : (uintptr_t)&rings[0].avail,
			.used_user_addr = bad == 3 ? UINT64_MAX << 12 : (uintptr_t)&rings[0].used};

		say(result(sys_ioctl(fd, VHOST_SET_VRING_ADDR, &a)), "active.addr %u", bad);
	}
	{
		struct vhost_memory_region high = {.guest_phys_addr = 4096, .memory_size = 4096,
						   .userspace_addr = UINT64_MAX << 12};
		uint64_t log = UINT64_C(1) << VHOST_F_LOG_ALL, base = UINT64_MAX << 12;

		say(set_memory(fd, 1, &high), "active.memory high");
		say(set_memory_flat(fd), "active.memory flat");
		say(set_memory(fd, 0, NULL), "active.memory none");
		say(set_memory_flat(fd), "active.memory flat again");
		say(result(sys_ioctl(fd, VHOST_SET_LOG_BASE, &base)), "active.log base unused");
		say(result(sys_ioctl(fd, VHOST_SET_FEATURES, &log)), "active.log with a bad base");
		base = 0x10000;
		say(result(sys_ioctl(fd, VHOST_SET_LOG_BASE, &base)), "active.log base");
		say(result(sys_ioctl(fd, VHOST_SET_FEATURES, &log)), "active.log");
		base = UINT64_MAX << 12;
		say(result(sys_ioctl(fd, VHOST_SET_LOG_BASE, &base)), "active.log base bad");
	}
	say(set_cid(fd, 43), "active.cid");
	say(set_running(fd, 0), "stop");
	say(set_running(fd, 0), "stop again");
	say(set_state(fd, VHOST_SET_VRING_NUM, 0, NUM), "stopped.num");
	sys_close(fd);
}

/* ---- packets ---- */

/* One descriptor per packet; returns whether it was used within half a second. */
bool vsock_transmit(const void *packet, size_t size, uint32_t *ret_length)
{
	struct ring *r = &rings[1];
	uint64_t one = 1;
	unsigned slot = r->avail.idx % NUM;

	r->desc[slot] = (struct vring_desc){.addr = (uintptr_t)packet, .len = (uint32_t)size};
	r->avail.ring[slot] = (uint16_t)slot;
	__atomic_store_n(&r->avail.idx, (uint16_t)(r->avail.idx + 1), __ATOMIC_RELEASE);
	if (write(r->kick, &one, 8) != 8)
		return false;
	for (int i = 0; i < 500; i++) {
		if (__atomic_load_n(&r->used.idx, __ATOMIC_ACQUIRE) != r->seen) {
			*ret_length = r->used.ring[r->seen++ % NUM].len;
			return true;
		}
		usleep(1000);
	}
	return false;
}

bool vsock_receive(struct virtio_vsock_hdr *header, uint32_t *ret_length, int ms)
{
	struct ring *r = &rings[0];
	uint64_t one = 1;

	for (int i = 0; i < ms; i++) {
		if (__atomic_load_n(&r->used.idx, __ATOMIC_ACQUIRE) != r->seen) {
			struct vring_used_elem *e = &r->used.ring[r->seen++ % NUM];

			*ret_length = e->len;
			*header = received[e->id].header;
			r->avail.ring[r->avail.idx % NUM] = (uint16_t)e->id;
			__atomic_store_n(&r->avail.idx, (uint16_t)(r->avail.idx + 1),
					 __ATOMIC_RELEASE);
			if (write(r->kick, &one, 8) != 8)
				return false;
			return true;
		}
		usleep(1000);
	}
	return false;
}

static unsigned count(int event)
{
	uint64_t n = 0;

	return read(event, &n, sizeof(n)) == sizeof(n) ? (unsigned)n : 0;
}

static void exchange(const char *name, const struct virtio_vsock_hdr *header, size_t size)
{
	struct virtio_vsock_hdr answer;
	static char packet[70000] __attribute__((aligned(8)));
	uint32_t length = 0;

	memcpy(packet, header, size < sizeof(*header) ? size : sizeof(*header));
	if (vsock_transmit(packet, size, &length))
		say_text(name, "used, length %u, errors %u", length, count(rings[1].err) != 0);
	else
		say_text(name, "not used, errors %u", count(rings[1].err) != 0);
	if (!vsock_receive(&answer, &length, 400)) {
		say_text(name, "no answer");
		return;
	}
	say_text(name,
		 "answer length %u: %llu:%u -> %llu:%u len %u type %u op %u flags %u alloc %u fwd %u",
		 length, (unsigned long long)answer.src_cid, answer.src_port,
		 (unsigned long long)answer.dst_cid, answer.dst_port, answer.len, answer.type,
		 answer.op, answer.flags, answer.buf_alloc, answer.fwd_cnt);
}

int vsock_guest(uint32_t cid, uint64_t features)
{
	int fd = vhost_owned(VSOCK);
	long r = set_cid(fd, cid);

	if (r)
		give_up("VHOST_VSOCK_SET_GUEST_CID", r);
	set_features(fd, UINT64_C(1) << VIRTIO_F_VERSION_1 | features);
	set_memory_flat(fd);
	ring_setup(fd, 0);
	ring_setup(fd, 1);
	for (unsigned i = 0; i < NUM; i++) {
		rings[0].desc[i] = (struct vring_desc){.addr = (uintptr_t)&received[i],
						       .len = sizeof(received[i]),
						       .flags = VRING_DESC_F_WRITE};
		rings[0].avail.ring[i] = (uint16_t)i;
	}
	rings[0].avail.idx = NUM;
	say(set_running(fd, 1), "running");
	return fd;
}

void area_packets(void)
{
	struct virtio_vsock_hdr h = {.src_cid = 42, .dst_cid = 2, .src_port = 1000,
				     .dst_port = 9999, .type = 1, .buf_alloc = 65536}, x;
	int fd = vsock_guest(42, 0);

	for (uint16_t op = 0; op < 10; op++) {
		char name[32];

		snprintf(name, sizeof(name), "op %u", op);
		h.op = op;
		exchange(name, &h, sizeof(h));
	}
	h.op = VIRTIO_VSOCK_OP_REQUEST;
	for (uint16_t type = 0; type < 4; type++) {
		char name[32];

		snprintf(name, sizeof(name), "type %u", type);
		x = h;
		x.type = type;
		exchange(name, &x, sizeof(x));
	}
	x = h, x.src_cid = 43;
	exchange("from another guest", &x, sizeof(x));
	x = h, x.dst_cid = 3;
	exchange("to another host", &x, sizeof(x));
	x = h, x.len = 100;
	exchange("with payload", &x, sizeof(x) + 100);
	exchange("with trailing bytes", &h, sizeof(h) + 100);
	exchange("of the biggest size", &h, sizeof(h) + 65536);
	/* From here on a chain is lost each time. */
	exchange("bigger", &h, sizeof(h) + 65537);
	exchange("too small", &h, sizeof(h) - 1);
	x = h, x.len = 101;
	exchange("shorter than it says", &x, sizeof(x) + 100);
	exchange("good again", &h, sizeof(h));
	{
		struct vhost_vring_state s = {.index = 1};

		say(result(sys_ioctl(fd, VHOST_GET_VRING_BASE, &s)), "base of tx");
		say_text("base of tx", "%u", s.num);
		say_text("used of tx", "%u", rings[1].used.idx);
		say_text("calls", "rx %s tx %s", count(rings[0].call) ? "some" : "none",
			 count(rings[1].call) ? "some" : "none");
	}
	say(set_running(fd, 0), "stop");
	sys_close(fd);
}

static long start_vsock(int fd, bool on)
{
	return set_running(fd, on);
}

void area_vsock_iotlb(void)
{
	static const struct iotlb_node node = {.path = "/dev/vhost-vsock", .start = start_vsock,
					       .size = sizeof(struct virtio_vsock_hdr)};

	iotlb_checks(&node);
}
