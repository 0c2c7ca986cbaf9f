/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * src/vdpa: the devices over real backends, by a driver in this process.  What ioctls answer,
 * tests/conformance compares with the kernel.
 *
 * The rings lie in one mapping and the buffers in another, so that they can be in two address
 * spaces.
 */
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include <standin/standin.h>

#include "uapi/vhost.h"

#define F(bit)    (UINT64_C(1) << (bit))
#define NUM       64u
#define RINGS     2u
#define RING_SIZE 0x2000u /* descriptors, then the driver's part, then the device's */
#define AVAIL     0x1000u
#define USED      0x1800u
#define RING_IOVA UINT64_C(0x40000000)
#define IOVA      UINT64_C(0x80000000)
#define SIZE      0x100000u /* of the buffers */
#define SOON      10000     /* ms that something takes at most */

struct packed_desc {
	uint64_t address;
	uint32_t length;
	uint16_t id, flags;
};

struct ring {
	char *memory;
	int kick, call;
	uint16_t next, seen;       /* split: free-running; packed: slots */
	bool next_wrap, seen_wrap; /* packed */
	uint16_t slots[NUM];       /* packed: of the chain with this id */
};

static struct {
	int fd;
	bool packed;
	char *rings, *buffers;
	struct ring ring[RINGS];
} driver;

struct part {
	uint32_t offset, length; /* in the buffers */
	bool write;
};

/* ---- the device ---- */

static long command(unsigned long cmd, void *arg)
{
	return standin_ioctl(driver.fd, cmd, arg);
}

static long state(unsigned long cmd, unsigned index, unsigned num)
{
	struct vhost_vring_state s = {.index = index, .num = num};

	return command(cmd, &s);
}

static void set_status(uint8_t status)
{
	assert_int_equal(command(VHOST_VDPA_SET_STATUS, &status), 0);
}

static void map(uint32_t space, uint64_t iova, void *memory, uint64_t size)
{
	struct vhost_msg_v2 m = {.type = VHOST_IOTLB_MSG_V2, .asid = space};

	m.iotlb = (struct vhost_iotlb_msg){.iova = iova,
					   .size = size,
					   .uaddr = (uintptr_t)memory,
					   .perm = VHOST_ACCESS_RW,
					   .type = VHOST_IOTLB_UPDATE};
	assert_int_equal(standin_write(driver.fd, &m, sizeof(m)), sizeof(m));
}

static void open_ring(unsigned i)
{
	uint64_t at = RING_IOVA + i * RING_SIZE;
	struct ring *r = &driver.ring[i];
	struct vhost_vring_addr a = {.index = i,
				     .desc_user_addr = at,
				     .avail_user_addr = at + AVAIL,
				     .used_user_addr = at + USED};
	struct vhost_vring_file file = {.index = i};

	*r = (struct ring){.memory = driver.rings + i * RING_SIZE,
			   .next_wrap = true,
			   .seen_wrap = true,
			   .kick = eventfd(0, EFD_NONBLOCK),
			   .call = eventfd(0, EFD_NONBLOCK)};
	assert_int_equal(state(VHOST_SET_VRING_NUM, i, NUM), 0);
	assert_int_equal(state(VHOST_SET_VRING_BASE, i, driver.packed ? 0x80008000 : 0), 0);
	assert_int_equal(command(VHOST_SET_VRING_ADDR, &a), 0);
	file.fd = r->kick;
	assert_int_equal(command(VHOST_SET_VRING_KICK, &file), 0);
	file.fd = r->call;
	assert_int_equal(command(VHOST_SET_VRING_CALL, &file), 0);
	assert_int_equal(state(VHOST_VDPA_SET_VRING_ENABLE, i, 1), 0);
}

/* `ring_space`: the address space of the rings, which have a group of their own. */
static void open_device(const char *configuration, uint64_t features, unsigned rings,
			uint32_t ring_space)
{
	uint64_t all = features | F(VIRTIO_F_VERSION_1) | F(VIRTIO_F_ACCESS_PLATFORM);
	uint64_t backend = F(VHOST_BACKEND_F_IOTLB_MSG_V2) | F(VHOST_BACKEND_F_IOTLB_ASID) |
			   F(VHOST_BACKEND_F_DESC_ASID) | F(VHOST_BACKEND_F_SUSPEND);
	struct vhost_vring_state group = {0};

	assert_int_equal(standin_start(configuration), 0);
	driver.fd = standin_open("/dev/vhost-vdpa-0", O_RDWR);
	assert_true(driver.fd >= 0);
	driver.packed = features & F(VIRTIO_F_RING_PACKED);
	driver.rings = mmap(NULL, RINGS * RING_SIZE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	driver.buffers =
		mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(command(VHOST_SET_OWNER, NULL), 0);
	assert_int_equal(command(VHOST_SET_BACKEND_FEATURES, &backend), 0);
	set_status(0);
	set_status(3);
	assert_int_equal(command(VHOST_SET_FEATURES, &all), 0);
	set_status(0xb);
	if (ring_space) {
		assert_int_equal(command(VHOST_VDPA_GET_VRING_DESC_GROUP, &group), 0);
		assert_int_equal(state(VHOST_VDPA_SET_GROUP_ASID, group.num, ring_space), 0);
	}
	map(ring_space, RING_IOVA, driver.rings, RINGS * RING_SIZE);
	map(0, IOVA, driver.buffers, SIZE);
	for (unsigned i = 0; i < rings; i++)
		open_ring(i);
	set_status(0xf);
}

static void close_device(unsigned rings)
{
	set_status(0);
	for (unsigned i = 0; i < rings; i++) {
		close(driver.ring[i].kick);
		close(driver.ring[i].call);
	}
	assert_int_equal(standin_close(driver.fd), 0);
	standin_stop();
	munmap(driver.rings, RINGS * RING_SIZE);
	munmap(driver.buffers, SIZE);
}

/* ---- the driver ---- */

static void add_split(struct ring *r, const struct part *parts, unsigned n)
{
	uint16_t *avail = (uint16_t *)(r->memory + AVAIL), head = r->next % NUM;
	struct vring_desc *table = (struct vring_desc *)r->memory;

	for (unsigned i = 0; i < n; i++) {
		uint16_t at = r->next++ % NUM;

		table[at] = (struct vring_desc){
			.addr = IOVA + parts[i].offset,
			.len = parts[i].length,
			.flags = (uint16_t)((parts[i].write ? VRING_DESC_F_WRITE : 0) |
					    (i + 1 < n ? VRING_DESC_F_NEXT : 0)),
			.next = r->next % NUM};
	}
	avail[2 + avail[1] % NUM] = head;
	__atomic_store_n(&avail[1], avail[1] + 1, __ATOMIC_RELEASE);
}

static void add_packed(struct ring *r, const struct part *parts, unsigned n)
{
	struct packed_desc *table = (struct packed_desc *)r->memory;
	uint16_t head = r->next, head_flags = 0;

	r->slots[head] = (uint16_t)n;
	for (unsigned i = 0; i < n; i++) {
		struct packed_desc *desc = &table[r->next];
		uint16_t flags = (uint16_t)((parts[i].write ? VRING_DESC_F_WRITE : 0) |
					    (i + 1 < n ? VRING_DESC_F_NEXT : 0) |
					    (r->next_wrap ? 1u << 7 : 1u << 15));

		desc->address = IOVA + parts[i].offset;
		desc->length = parts[i].length;
		desc->id = head;
		if (i)
			desc->flags = flags;
		else
			head_flags = flags;
		if (++r->next == NUM) {
			r->next = 0;
			r->next_wrap = !r->next_wrap;
		}
	}
	__atomic_store_n(&table[head].flags, head_flags, __ATOMIC_RELEASE);
}

static void add(unsigned ring, const struct part *parts, unsigned n)
{
	(driver.packed ? add_packed : add_split)(&driver.ring[ring], parts, n);
}

static void kick(unsigned ring)
{
	static const uint64_t one = 1;

	assert_int_equal(write(driver.ring[ring].kick, &one, sizeof(one)), sizeof(one));
}

static bool take_split(struct ring *r, uint32_t *ret_length)
{
	const char *used = r->memory + USED;

	if (__atomic_load_n((const uint16_t *)used + 1, __ATOMIC_ACQUIRE) == r->seen)
		return false;
	*ret_length = ((const struct vring_used_elem *)(used + 4))[r->seen++ % NUM].len;
	return true;
}

static bool take_packed(struct ring *r, uint32_t *ret_length)
{
	const struct packed_desc *desc = (const struct packed_desc *)r->memory + r->seen;
	uint16_t flags = __atomic_load_n(&desc->flags, __ATOMIC_ACQUIRE);

	if (!!(flags & 1u << 7) != r->seen_wrap || !!(flags & 1u << 15) != r->seen_wrap)
		return false;
	*ret_length = desc->length;
	assert_in_range(desc->id, 0, NUM - 1);
	r->seen = (uint16_t)(r->seen + r->slots[desc->id]);
	if (r->seen >= NUM) {
		r->seen = (uint16_t)(r->seen - NUM);
		r->seen_wrap = !r->seen_wrap;
	}
	return true;
}

static bool taken(unsigned ring, uint32_t *ret_length)
{
	return (driver.packed ? take_packed : take_split)(&driver.ring[ring], ret_length);
}

/* Waits for a used chain: its length. */
static uint32_t take(unsigned ring)
{
	uint32_t length;

	for (unsigned waited = 0; !taken(ring, &length); waited++) {
		assert_in_range(waited, 0, SOON);
		poll(NULL, 0, 1);
	}
	return length;
}

/* ---- blk ---- */

#define REQUESTS  16u
#define PIECE     8192u
#define HEADER(i) ((i)*32u)
#define STATUS(i) (0x1000u + (i))
#define DATA(i)   (0x10000u + (i)*PIECE)

static void add_request(unsigned i, uint32_t type, uint64_t sector)
{
	struct virtio_blk_outhdr header = {.type = type, .sector = sector};
	const struct part parts[3] = {{HEADER(i), sizeof(header), false},
				      {DATA(i), PIECE, type == VIRTIO_BLK_T_IN},
				      {STATUS(i), 1, true}};

	memcpy(driver.buffers + HEADER(i), &header, sizeof(header));
	driver.buffers[STATUS(i)] = (char)0xee;
	add(0, parts, 3);
}

/* REQUESTS at once, from `sector` on. */
static void transfer(uint32_t type, uint64_t sector)
{
	for (unsigned i = 0; i < REQUESTS; i++)
		add_request(i, type, sector + i * PIECE / 512);
	kick(0);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(take(0), type == VIRTIO_BLK_T_IN ? PIECE + 1 : 1);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(driver.buffers[STATUS(i)], VIRTIO_BLK_S_OK);
}

static void fill(unsigned round)
{
	for (unsigned i = 0; i < REQUESTS * PIECE; i++)
		driver.buffers[DATA(0) + i] = (char)(i * 7 + i / PIECE + round * 31);
}

static bool filled(const char *data, unsigned round)
{
	for (unsigned i = 0; i < REQUESTS * PIECE; i++)
		if (data[i] != (char)(i * 7 + i / PIECE + round * 31))
			return false;
	return true;
}

#define ROUNDS 20u
#define ROUND  (REQUESTS * PIECE)

/*
 * Two queues, since VHOST_VDPA_SET_GROUP_ASID takes, as the kernel's, no group whose number
 * isn't that of a queue too.
 *
 * Writes all of a drive on a file, looks at the file, and reads it back. */
static void blk_on_file(uint64_t features, uint32_t ring_space)
{
	char path[] = "/tmp/vdpa-XXXXXX", *configuration, *data = malloc(ROUND);
	int file = mkstemp(path);

	assert_true(file >= 0 && ftruncate(file, ROUNDS * ROUND) == 0);
	assert_true(asprintf(&configuration, "vdpa blk,file=%s,aio=threads,queues=2\n", path) > 0);
	open_device(configuration, features, 1, ring_space);
	for (unsigned round = 0; round < ROUNDS; round++) {
		fill(round);
		transfer(VIRTIO_BLK_T_OUT, round * ROUND / 512);
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		assert_int_equal(pread(file, data, ROUND, round * ROUND), ROUND);
		assert_true(filled(data, round));
		memset(driver.buffers + DATA(0), 0, ROUND);
		transfer(VIRTIO_BLK_T_IN, round * ROUND / 512);
		assert_true(filled(driver.buffers + DATA(0), round));
	}
	close_device(1);
	close(file);
	unlink(path);
	free(configuration);
	free(data);
}

static void test_blk(void **tests)
{
	blk_on_file(0, 0);
}

static void test_blk_packed(void **tests)
{
	blk_on_file(F(VIRTIO_F_RING_PACKED), 0);
}

static void test_rings_apart(void **tests)
{
	blk_on_file(0, 1);
	blk_on_file(F(VIRTIO_F_RING_PACKED), 1);
}

/* Whatever the device has taken when it is suspended is done then, and the rest is not begun. */
static void suspend(uint64_t features)
{
	struct vhost_vring_state base = {0};
	unsigned before = 0;
	uint32_t length;

	open_device("vdpa blk,size=1M\n", features, 1, 0);
	for (unsigned i = 0; i < REQUESTS; i++)
		add_request(i, VIRTIO_BLK_T_IN, i * PIECE / 512);
	kick(0);
	assert_int_equal(command(VHOST_VDPA_SUSPEND, NULL), 0);
	while (taken(0, &length))
		before++;
	assert_int_equal(command(VHOST_GET_VRING_BASE, &base), 0);
	if (driver.packed) /* two times a slot and its wrap counter */
		assert_int_equal(base.num, (3 * before | 0x8000) * 0x10001);
	else
		assert_int_equal(base.num, before);
	poll(NULL, 0, 20);
	assert_false(taken(0, &length));
	assert_int_equal(command(VHOST_VDPA_RESUME, NULL), 0);
	for (unsigned i = before; i < REQUESTS; i++)
		assert_int_equal(take(0), PIECE + 1);
	close_device(1);
}

static void test_suspend(void **tests)
{
	for (unsigned i = 0; i < 5; i++) {
		suspend(0);
		suspend(F(VIRTIO_F_RING_PACKED));
	}
}

/* ---- net ---- */

#define FRAME       1000u
#define PACKET(i)   ((i)*2048u)
#define RECEIVED(i) (0x80000u + (i)*2048u)

static void loopback(uint64_t features, const char *configuration)
{
	const unsigned header = sizeof(struct virtio_net_hdr_v1);

	open_device(configuration, features, 2, 0);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < NUM; i++) {
			const struct part in = {RECEIVED(i), 2048, true};
			const struct part out = {PACKET(i), header + FRAME, false};

			memset(driver.buffers + RECEIVED(i), 0, 2048);
			add(0, &in, 1);
			for (unsigned at = 0; at < FRAME; at++)
				driver.buffers[PACKET(i) + header + at] =
					(char)(at * 3 + i + round);
			add(1, &out, 1);
		}
		kick(0);
		kick(1);
		for (unsigned i = 0; i < NUM; i++) {
			assert_int_equal(take(1), 0);
			assert_int_equal(take(0), header + FRAME);
			assert_memory_equal(driver.buffers + RECEIVED(i) + header,
					    driver.buffers + PACKET(i) + header, FRAME);
		}
	}
	close_device(2);
}

static void test_net(void **tests)
{
	loopback(0, "vdpa net\n");
	loopback(F(VIRTIO_NET_F_MRG_RXBUF) | F(VIRTIO_F_IN_ORDER), "vdpa net,net=loopback\n");
}

static void test_net_packed(void **tests)
{
	loopback(F(VIRTIO_F_RING_PACKED) | F(VIRTIO_NET_F_MRG_RXBUF), "vdpa net,queues=2\n");
}

static void test_configuration(void **tests)
{
	static const char *const bad[] = {"vdpa nosuch\n", "vdpa net,queues=0\n",
					  "vdpa net,net=nosuch\n", "vdpa blk,file=/no/such\n",
					  "vdpa blk-sim,file=x\n"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = -1;

		/* A device is made when it is first opened. */
		if (standin_start(bad[i]) == 0)
			fd = standin_open("/dev/vhost-vdpa-0", O_RDWR);
		assert_int_equal(fd, -1);
		standin_stop();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blk),           cmocka_unit_test(test_blk_packed),
		cmocka_unit_test(test_rings_apart),   cmocka_unit_test(test_suspend),
		cmocka_unit_test(test_net),           cmocka_unit_test(test_net_packed),
		cmocka_unit_test(test_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
