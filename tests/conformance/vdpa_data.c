/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Address spaces, and the simulators at work: a driver in this process, whose rings and
 * buffers lie in one piece of shared memory that the device sees at IOVA.
 */
#include "vdpa.h"
#include "../split_ring.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>
#include <poll.h>

#define NUM   16
#define IOVA  UINT64_C(0x100000)
#define SIZE  0x40000u
#define RINGS 3

struct ring {
	SPLIT_RING(NUM, 16);
};

static struct {
	int fd;
	uint8_t *memory;
	struct ring *ring[RINGS];
	int kick[RINGS], call[RINGS];
	uint16_t seen[RINGS];
	uint32_t next[RINGS]; /* descriptor */
} driver;

void *vdpa_memory(size_t size)
{
	int fd = memfd_create("memory", 0);
	void *memory;

	if (fd < 0 || ftruncate(fd, (off_t)size))
		give_up("memfd", -errno);
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return memory;
}

long vdpa_message(int fd, uint32_t asid, uint8_t type, uint64_t iova, const void *address,
		  uint64_t size, uint8_t perm)
{
	struct vhost_msg_v2 m = {.type = VHOST_IOTLB_MSG_V2, .asid = asid};

	m.iotlb = (struct vhost_iotlb_msg){.iova = iova,
					   .uaddr = (uintptr_t)address,
					   .size = size,
					   .type = type,
					   .perm = perm};
	return result(sys_write(fd, &m, sizeof(m)));
}

/* ---- address spaces ---- */

static void odd_messages(int fd, const char *when)
{
	struct vhost_msg_v2 m = {0};

	for (size_t size = 0; size <= 80; size += 8)
		say(result(sys_write(fd, edge(size, NULL), size)), "%s.write %zu bytes", when,
		    size);
	for (uint32_t type = 0; type < 4; type++) {
		m.type = type;
		m.iotlb.type = VHOST_IOTLB_BATCH_END;
		say(result(sys_write(fd, &m, sizeof(m))), "%s.type %u", when, type);
	}
	for (uint8_t what = 0; what < 8; what++) {
		m = (struct vhost_msg_v2){.type = VHOST_IOTLB_MSG_V2};
		m.iotlb.type = what;
		m.iotlb.perm = 3;
		say(result(sys_write(fd, &m, sizeof(m))), "%s.%u size 0", when, what);
		m.iotlb.size = 4096;
		if (what != VHOST_IOTLB_UPDATE)
			say(result(sys_write(fd, &m, sizeof(m))), "%s.%u", when, what);
	}
	say(result(sys_write(fd, NOWHERE, 72)), "%s.write from nowhere", when);
}

void area_space(void)
{
	enum {
		UPDATE = VHOST_IOTLB_UPDATE,
		DROP = VHOST_IOTLB_INVALIDATE,
		BEGIN = VHOST_IOTLB_BATCH_BEGIN,
		END = VHOST_IOTLB_BATCH_END
	};
	char *memory = vdpa_memory(SIZE);
	int fd = vdpa_open(NET);

	odd_messages(fd, "nobody's");
	sys_close(fd);
	fd = vdpa_owned(NET);
	say(vdpa_message(fd, 0, DROP, 0, NULL, UINT64_MAX, 0), "drop before anything");
	odd_messages(fd, "owned");
	vdpa_message(fd, 0, END, 0, NULL, 0, 0);
	say(vdpa_message(fd, 0, UPDATE, IOVA, memory, 0x1000, 3), "update");
	say(vdpa_message(fd, 0, UPDATE, IOVA, memory, 0x1000, 3), "update again");
	say(vdpa_message(fd, 0, UPDATE, IOVA - 0xfff, memory, 0x1000, 3), "overlap before");
	say(vdpa_message(fd, 0, UPDATE, IOVA + 0xfff, memory, 0x1000, 3), "overlap behind");
	say(vdpa_message(fd, 0, UPDATE, IOVA + 0x1000, memory, 0x1000, 1), "next to it");
	say(vdpa_message(fd, 0, UPDATE, IOVA + 0x2000, memory, 0x1800, 2), "odd size");
	say(vdpa_message(fd, 0, UPDATE, 0x10, memory + 5, 0x10, 2), "odd all");
	say(vdpa_message(fd, 0, UPDATE, UINT64_MAX - 0xfff, memory, 0x1000, 3), "at the end");
	say(vdpa_message(fd, 0, UPDATE, UINT64_MAX - 0xfff, memory, 0x1001, 3), "beyond the end");
	say(vdpa_message(fd, 0, UPDATE, 0x10000, memory, 0x1000, 0), "no permission");
	say(vdpa_message(fd, 0, UPDATE, 0x20000, memory, 0x1000, 7), "permission 7");
	say(vdpa_message(fd, 0, DROP, IOVA + 5, NULL, 1, 0), "drop a byte");
	say(vdpa_message(fd, 0, UPDATE, IOVA, memory, 0x1000, 3), "update after it");
	say(vdpa_message(fd, 0, DROP, 0, NULL, UINT64_MAX, 0), "drop all");
	say(vdpa_message(fd, 0, UPDATE, IOVA + 0x1000, memory, 0x1000, 1), "update after all");
	/* Spaces are told apart only by who has acknowledged them. */
	say(vdpa_message(fd, 1, UPDATE, IOVA + 0x1000, memory, 0x1000, 3), "space 1 unknown");
	say(vdpa_message(fd, 9, UPDATE, IOVA + 0x4000, memory, 0x1000, 3), "space 9 unknown");
	say(vdpa_backend_features(fd, 1u << 1 | 1u << 2 | 1u << 3), "acknowledge spaces");
	say(vdpa_message(fd, 1, DROP, 0, NULL, UINT64_MAX, 0), "space 1 drop");
	say(vdpa_message(fd, 1, END, 0, NULL, 0, 0), "space 1 end");
	say(vdpa_message(fd, 1, UPDATE, IOVA + 0x1000, memory, 0x1000, 3), "space 1 update");
	say(vdpa_message(fd, 1, DROP, 0, NULL, UINT64_MAX, 0), "space 1 drop again");
	say(vdpa_message(fd, 2, UPDATE, IOVA + 0x1000, memory, 0x1000, 3), "space 2 update");
	say(vdpa_message(fd, 2, BEGIN, 0, NULL, 0, 0), "space 2 begin");
	say(vdpa_message(fd, 0, BEGIN, 0, NULL, 0, 0), "batch.begin");
	say(vdpa_message(fd, 0, BEGIN, 0, NULL, 0, 0), "batch.begin again");
	say(vdpa_message(fd, 0, UPDATE, 0x50000, memory, 0x1000, 3), "batch.update");
	say(vdpa_message(fd, 1, UPDATE, 0x50000, memory, 0x1000, 3), "batch.other update");
	say(vdpa_message(fd, 1, BEGIN, 0, NULL, 0, 0), "batch.other begin");
	say(vdpa_message(fd, 1, END, 0, NULL, 0, 0), "batch.other end");
	say(vdpa_message(fd, 0, UPDATE, 0x50000, memory, 0x1000, 3), "batch.update again");
	say(vdpa_message(fd, 0, DROP, 0x50000, NULL, 0x1000, 0), "batch.drop");
	say(vdpa_message(fd, 0, END, 0, NULL, 0, 0), "batch.end");
	say(vdpa_message(fd, 0, END, 0, NULL, 0, 0), "batch.end again");
	say(vdpa_message(fd, 1, UPDATE, 0x50000, memory, 0x1000, 3), "space 1 after it");
	/* A reset puts the device's map back, not the client's. */
	vdpa_status(fd, 0);
	say(vdpa_message(fd, 1, UPDATE, 0x50000, memory, 0x1000, 3), "space 1 after a reset");
	{
		long r = 0;
		unsigned n;

		say(vdpa_message(fd, 0, DROP, 0, NULL, UINT64_MAX, 0), "limit.drop all");
		for (n = 0; n < 4096 && r >= 0; n++)
			r = vdpa_message(fd, 0, UPDATE, (uint64_t)n << 12, memory, 0x1000, 3);
		say_text("limit", "%u %s", n, result_name(r));
	}
	sys_close(fd);
	munmap(memory, SIZE);
}

/* ---- a driver ---- */

static void setup(unsigned device, uint64_t features, unsigned rings)
{
	uint64_t all = features | UINT64_C(1) << VIRTIO_F_VERSION_1 |
		       UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM;

	driver.fd = vdpa_owned(device);
	driver.memory = vdpa_memory(SIZE);
	vdpa_status(driver.fd, 0);
	vdpa_status(driver.fd, 3);
	sys_ioctl(driver.fd, VHOST_SET_FEATURES, &all);
	vdpa_status(driver.fd, 0xb);
	vdpa_message(driver.fd, 0, VHOST_IOTLB_UPDATE, IOVA, driver.memory, SIZE, 3);
	for (unsigned i = 0; i < rings; i++) {
		uint64_t at = IOVA + i * 0x1000;
		struct vhost_vring_addr a = {.index = i,
					     .desc_user_addr = at + offsetof(struct ring, desc),
					     .avail_user_addr = at + offsetof(struct ring, avail),
					     .used_user_addr = at + offsetof(struct ring, used)};

		driver.ring[i] = (struct ring *)(driver.memory + i * 0x1000);
		driver.kick[i] = eventfd(0, EFD_NONBLOCK);
		driver.call[i] = eventfd(0, EFD_NONBLOCK);
		driver.seen[i] = 0;
		driver.next[i] = 0;
		vdpa_state(driver.fd, VHOST_SET_VRING_NUM, i, NUM);
		vdpa_state(driver.fd, VHOST_SET_VRING_BASE, i, 0);
		sys_ioctl(driver.fd, VHOST_SET_VRING_ADDR, &a);
		vdpa_file(driver.fd, VHOST_SET_VRING_KICK, i, driver.kick[i]);
		vdpa_file(driver.fd, VHOST_SET_VRING_CALL, i, driver.call[i]);
		vdpa_state(driver.fd, VHOST_VDPA_SET_VRING_ENABLE, i, 1);
	}
	vdpa_status(driver.fd, 0xf);
}

static void finish(unsigned rings)
{
	vdpa_status(driver.fd, 0);
	for (unsigned i = 0; i < rings; i++) {
		close(driver.kick[i]);
		close(driver.call[i]);
	}
	sys_close(driver.fd);
	munmap(driver.memory, SIZE);
}

struct part {
	uint32_t offset, length; /* in the memory */
	bool write;
};

static void add(unsigned ring, const struct part *parts, unsigned n)
{
	struct ring *r = driver.ring[ring];
	uint32_t head = driver.next[ring];

	for (unsigned i = 0; i < n; i++) {
		uint32_t at = driver.next[ring]++ % NUM;

		r->desc[at] = (struct vring_desc){
			.addr = IOVA + parts[i].offset,
			.len = parts[i].length,
			.flags = (uint16_t)((parts[i].write ? VRING_DESC_F_WRITE : 0) |
					    (i + 1 < n ? VRING_DESC_F_NEXT : 0)),
			.next = (uint16_t)((at + 1) % NUM)};
	}
	r->avail.ring[r->avail.idx % NUM] = (uint16_t)(head % NUM);
	__atomic_store_n(&r->avail.idx, r->avail.idx + 1, __ATOMIC_RELEASE);
}

static void kick(unsigned ring)
{
	uint64_t one = 1;

	if (write(driver.kick[ring], &one, sizeof(one)) != sizeof(one))
		give_up("kick", -errno);
}

/* Waits for a used element, and says its length; -1: none came in time. */
static long used(unsigned ring, int timeout)
{
	struct ring *r = driver.ring[ring];
	long length;

	for (int i = 0; i < timeout; i++) {
		if (__atomic_load_n(&r->used.idx, __ATOMIC_ACQUIRE) != driver.seen[ring]) {
			length = r->used.ring[driver.seen[ring] % NUM].len;
			driver.seen[ring]++;
			return length;
		}
		poll(NULL, 0, 1);
	}
	return -1;
}

#define SOON  5000 /* ms that something takes at most */
#define NEVER 100  /* ms that nothing is waited for */

/* ---- net ---- */

#define PACKET(i) (0x10000u + (i)*0x1000u)
#define BUFFER(i) (0x20000u + (i)*0x1000u)
#define HEADER    12u

static void make_packet(unsigned i, const uint8_t to[6], unsigned size)
{
	uint8_t *p = driver.memory + PACKET(i);

	memset(p, 0, HEADER);
	memcpy(p + HEADER, to, 6);
	for (unsigned b = 6; b < size; b++)
		p[HEADER + b] = (uint8_t)(b * 7 + i);
}

static void send_packet(const char *name, const uint8_t to[6], unsigned size, unsigned room)
{
	struct part out[2] = {{PACKET(0), HEADER, false}, {PACKET(0) + HEADER, size, false}};
	struct part in = {BUFFER(0), room, true};
	long sent, received;

	make_packet(0, to, size < 0xf00 ? size : 0xf00);
	memset(driver.memory + BUFFER(0), 0xee, 0x1000);
	if (room)
		add(0, &in, 1);
	add(1, out, 2);
	kick(1);
	sent = used(1, SOON);
	received = used(0, room ? (sent < 0 ? NEVER : NEVER) : 1);
	say_text(name, "sent %ld received %ld %s", sent, received,
		 received > 0 && !memcmp(driver.memory + BUFFER(0), driver.memory + PACKET(0),
					 (size_t)received < 0xf00 ? (size_t)received : 0xf00)
			 ? "the same"
			 : "-");
	/* A buffer that was not used is taken by what everybody gets. */
	if (room && received < 0) {
		static const uint8_t everybody[6] = {255, 255, 255, 255, 255, 255};

		make_packet(0, everybody, 60);
		out[1].length = 60;
		add(1, out, 2);
		kick(1);
		sent = used(1, SOON);
		received = used(0, SOON);
		say_text(name, "then sent %ld received %ld", sent, received);
	}
}

void area_net(void)
{
	static const uint8_t everybody[6] = {255, 255, 255, 255, 255, 255},
			     many[6] = {1, 0, 0x5e, 0, 0, 1}, zero[6],
			     other[6] = {2, 3, 4, 5, 6, 7}, nul[6] = {0, 3, 4, 5, 6, 8};
	struct vhost_vring_state s = {.index = 1};

	setup(NET, 0, 2);
	send_packet("broadcast", everybody, 60, 2048);
	send_packet("multicast", many, 60, 2048);
	send_packet("address of zeros", zero, 60, 2048);
	send_packet("begins with zero", nul, 60, 2048);
	send_packet("somebody else", other, 60, 2048);
	send_packet("long", everybody, 1500, 2048);
	send_packet("too long for the buffer", everybody, 1500, 512);
	send_packet("longer than a page", everybody, 4090, 0x1800);
	send_packet("no buffer", everybody, 60, 0);
	send_packet("after it", everybody, 60, 2048);
	say(result(sys_ioctl(driver.fd, VHOST_GET_VRING_BASE, &s)), "base");
	say_text("base", "%u", s.num);
	finish(2);
}

void area_control(void)
{
	static const uint8_t address[6] = {2, 3, 4, 5, 6, 7};
	static const struct {
		const char *name;
		uint8_t class, command;
		unsigned size;
	} commands[] = {
		{"mac", VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 6},
		{"mac table", VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 8},
		{"promiscuous", VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1},
		{"pairs", VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2},
	};
	struct vhost_vdpa_config *c = calloc(1, sizeof(*c) + 6);

	setup(NET, UINT64_C(1) << VIRTIO_NET_F_CTRL_VQ, 3);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		struct part parts[3] = {{PACKET(0), 2, false},
					{PACKET(0) + 16, commands[i].size, false},
					{BUFFER(0), 1, true}};

		driver.memory[PACKET(0)] = commands[i].class;
		driver.memory[PACKET(0) + 1] = commands[i].command;
		memcpy(driver.memory + PACKET(0) + 16, address, 6);
		driver.memory[BUFFER(0)] = 0xee;
		add(2, parts, 3);
		kick(2);
		say(used(2, SOON), "%s", commands[i].name);
		say_text(commands[i].name, "%u", driver.memory[BUFFER(0)]);
	}
	*c = (struct vhost_vdpa_config){.off = 0, .len = 6};
	say(result(sys_ioctl(driver.fd, VHOST_VDPA_GET_CONFIG, c)), "config");
	say_text("address", "%02x:%02x:%02x:%02x:%02x:%02x", c->buf[0], c->buf[1], c->buf[2],
		 c->buf[3], c->buf[4], c->buf[5]);
	send_packet("to the new address", address, 60, 2048);
	memset(c->buf, 0, 6);
	sys_ioctl(driver.fd, VHOST_VDPA_SET_CONFIG, c);
	free(c);
	finish(3);
}

/* ---- blk ---- */

/* One request: the status, and what was used. */
static void request(const char *name, uint32_t type, uint64_t sector, unsigned out, unsigned in)
{
	struct virtio_blk_outhdr header = {.type = type, .sector = sector};
	struct part parts[4] = {{PACKET(0), sizeof(header), false}};
	struct text t = {0};
	unsigned n = 1;
	long length;

	memcpy(driver.memory + PACKET(0), &header, sizeof(header));
	if (out)
		parts[n++] = (struct part){PACKET(1), out, false};
	if (in)
		parts[n++] = (struct part){BUFFER(1), in, true};
	parts[n++] = (struct part){BUFFER(0), 1, true};
	driver.memory[BUFFER(0)] = 0xee;
	memset(driver.memory + BUFFER(1), 0xdd, 0x1000);
	add(0, parts, n);
	kick(0);
	length = used(0, SOON);
	for (unsigned i = 0; i < 16 && i < in; i++)
		text_add(&t, "%02x", driver.memory[BUFFER(1) + i]);
	say_text(name, "used %ld status %u %s", length, driver.memory[BUFFER(0)], t.data);
}

static void range_request(const char *name, uint32_t type, uint64_t sector, uint32_t sectors,
			  uint32_t flags, unsigned size)
{
	struct virtio_blk_discard_write_zeroes range = {sector, sectors, flags};

	memcpy(driver.memory + PACKET(1), &range, sizeof(range));
	request(name, type, 0, size, 0);
}

void area_blk(void)
{
	struct part lone = {BUFFER(0), 1, true}, header = {PACKET(0), 16, false};
	struct part small[2] = {{PACKET(0), 8, false}, {BUFFER(0), 1, true}};

	setup(BLK, 0, 1);
	for (unsigned i = 0; i < 512; i++)
		driver.memory[PACKET(1) + i] = (uint8_t)(i * 3 + 1);
	request("read nothing yet", VIRTIO_BLK_T_IN, 7, 0, 512);
	request("write", VIRTIO_BLK_T_OUT, 7, 512, 0);
	request("read", VIRTIO_BLK_T_IN, 7, 0, 512);
	request("read odd", VIRTIO_BLK_T_IN, 7, 0, 100);
	request("write odd", VIRTIO_BLK_T_OUT, 8, 100, 0);
	request("read it", VIRTIO_BLK_T_IN, 8, 0, 512);
	request("read nothing", VIRTIO_BLK_T_IN, 7, 0, 0);
	request("read the last", VIRTIO_BLK_T_IN, 0x3ffff, 0, 512);
	request("read beyond", VIRTIO_BLK_T_IN, 0x3ffff, 0, 1024);
	request("read at the end", VIRTIO_BLK_T_IN, 0x40000, 0, 512);
	request("read far away", VIRTIO_BLK_T_IN, UINT64_MAX, 0, 512);
	request("write beyond", VIRTIO_BLK_T_OUT, 0x40000, 512, 0);
	request("flush", VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	request("flush of a sector", VIRTIO_BLK_T_FLUSH, 1, 0, 0);
	request("id", VIRTIO_BLK_T_GET_ID, 0, 0, 20);
	request("id of a sector", VIRTIO_BLK_T_GET_ID, 1, 0, 20);
	request("short id", VIRTIO_BLK_T_GET_ID, 0, 0, 8);
	request("long id", VIRTIO_BLK_T_GET_ID, 0, 0, 64);
	request("unknown", 77, 0, 0, 0);
	range_request("zeroes", VIRTIO_BLK_T_WRITE_ZEROES, 7, 1, 0, 16);
	request("read zeroes", VIRTIO_BLK_T_IN, 7, 0, 512);
	request("write again", VIRTIO_BLK_T_OUT, 7, 512, 0);
	range_request("discard", VIRTIO_BLK_T_DISCARD, 7, 1, 0, 16);
	request("read discarded", VIRTIO_BLK_T_IN, 7, 0, 512);
	range_request("zeroes with unmap", VIRTIO_BLK_T_WRITE_ZEROES, 7, 1, 1, 16);
	range_request("zeroes with flag 2", VIRTIO_BLK_T_WRITE_ZEROES, 7, 1, 2, 16);
	range_request("discard with unmap", VIRTIO_BLK_T_DISCARD, 7, 1, 1, 16);
	range_request("zeroes beyond", VIRTIO_BLK_T_WRITE_ZEROES, 0x3ffff, 2, 0, 16);
	range_request("zeroes of none", VIRTIO_BLK_T_WRITE_ZEROES, 7, 0, 0, 16);
	range_request("discard of none at the end", VIRTIO_BLK_T_DISCARD, 0x40000, 0, 0, 16);
	range_request("short range", VIRTIO_BLK_T_DISCARD, 7, 1, 0, 15);
	range_request("two ranges", VIRTIO_BLK_T_DISCARD, 7, 1, 0, 32);
	add(0, &lone, 1);
	kick(0);
	say(used(0, SOON), "no header");
	add(0, &header, 1);
	kick(0);
	say(used(0, SOON), "no status");
	add(0, small, 2);
	kick(0);
	say(used(0, SOON), "half a header");
	request("flush after all", VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	finish(1);
}

/* ---- suspend ---- */

void area_suspend(void)
{
	struct part parts[2] = {{PACKET(0), 16, false}, {BUFFER(0), 1, true}};
	struct virtio_blk_outhdr header = {.type = VIRTIO_BLK_T_FLUSH};
	struct vhost_vring_state s = {0};
	uint64_t count = 0;
	int fd;

	fd = vdpa_open(BLK);
	say(result(sys_ioctl(fd, VHOST_VDPA_SUSPEND)), "before anything");
	say(result(sys_ioctl(fd, VHOST_VDPA_RESUME)), "resume before anything");
	sys_close(fd);
	setup(BLK, 0, 1);
	memcpy(driver.memory + PACKET(0), &header, sizeof(header));
	add(0, parts, 2);
	kick(0);
	say(used(0, SOON), "running");
	poll(NULL, 0, 20);
	say(result(read(driver.call[0], &count, sizeof(count))), "call");
	say(result(sys_ioctl(driver.fd, VHOST_VDPA_SUSPEND)), "suspend");
	add(0, parts, 2);
	kick(0);
	say(used(0, NEVER), "suspended");
	say(result(sys_ioctl(driver.fd, VHOST_GET_VRING_BASE, &s)), "base");
	say_text("base", "%u", s.num);
	say(result(sys_ioctl(driver.fd, VHOST_VDPA_SUSPEND)), "suspend again");
	say(result(sys_ioctl(driver.fd, VHOST_VDPA_RESUME)), "resume");
	say(used(0, SOON), "resumed");
	/* A reset forgets the eventfd that calls go to. */
	say(result(sys_ioctl(driver.fd, VHOST_GET_VRING_BASE, &s)), "base");
	say_text("base", "%u", s.num);
	finish(1);
}
