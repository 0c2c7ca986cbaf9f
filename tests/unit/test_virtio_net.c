/* SPDX-License-Identifier: BSD-3-Clause */
/* The virtio-net model by a driver with split or packed queues, on a loopback link. */
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/virtio_pci.h"
#include "nvme_rig.h"

#define NOTIFY  0x1000u
#define CONFIG  0x200u
#define ISR     0x100u
#define NUM     16u
#define QUEUE   0x10000u /* of the arena for each queue, its ring first */
#define AVAIL   0x1000u
#define USED    0x2000u
#define BUFFERS 0x4000u
#define STEP    0x800u
#define HEADER  sizeof(struct virtio_net_hdr_v1)

#define F(bit) VIRTQUEUE_F(bit)

/* What every test asks for. */
#define REQUIRED (VIRTQUEUE_F_VERSION_1 | F(VIRTIO_NET_F_MAC) | F(VIRTIO_NET_F_CTRL_VQ))

struct desc {
	uint64_t address;
	uint32_t length;
	uint16_t a, b; /* split: flags, next; packed: id, flags */
};

/* A queue, whose chains are used in the order they were made available. */
struct queue {
	unsigned index;
	uint16_t slot, made; /* the driver's */
	uint16_t next, seen; /* to be used by the device */
	bool wrap, used_wrap;
};

static struct rig rig;
static bool packed;
static struct queue queues[9];

static uint64_t get(unsigned offset, unsigned size)
{
	return device_bar_read(rig.dev, 0, offset, size);
}

static void set(unsigned offset, unsigned size, uint64_t value)
{
	device_bar_write(rig.dev, 0, offset, size, value);
}

static uint64_t device_features(void)
{
	uint64_t low;

	set(VIRTIO_PCI_COMMON_DFSELECT, 4, 0);
	low = get(VIRTIO_PCI_COMMON_DF, 4);
	set(VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
	return low | get(VIRTIO_PCI_COMMON_DF, 4) << 32;
}

static uint8_t *memory_of(const struct queue *q)
{
	return rig.arena + QUEUE * q->index;
}

static uint8_t *buffer(const struct queue *q, unsigned i)
{
	return memory_of(q) + BUFFERS + STEP * (i % NUM);
}

static uint64_t address_of(const void *place)
{
	return RIG_IOVA + (uint64_t)((const uint8_t *)place - rig.arena);
}

static struct desc *desc(const struct queue *q, unsigned i)
{
	return (struct desc *)(void *)memory_of(q) + i % NUM;
}

static uint16_t *word(const struct queue *q, uint32_t offset)
{
	return (uint16_t *)(void *)(memory_of(q) + offset);
}

static void set_up_queue(unsigned index)
{
	struct queue *q = &queues[index];

	*q = (struct queue){.index = index, .wrap = true, .used_wrap = true};
	memset(memory_of(q), 0, QUEUE);
	set(VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
	set(VIRTIO_PCI_COMMON_Q_SIZE, 2, NUM);
	set(VIRTIO_PCI_COMMON_Q_DESCLO, 8, address_of(memory_of(q)));
	set(VIRTIO_PCI_COMMON_Q_AVAILLO, 8, address_of(memory_of(q) + AVAIL));
	set(VIRTIO_PCI_COMMON_Q_USEDLO, 8, address_of(memory_of(q) + USED));
	set(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
}

/* From a reset to DRIVER_OK, with `n` queues. */
static void drive(uint64_t features, unsigned n)
{
	packed = features & VIRTQUEUE_F_PACKED;
	set(VIRTIO_PCI_COMMON_STATUS, 1, 0);
	for (unsigned i = 0; i < 100000 && get(VIRTIO_PCI_COMMON_STATUS, 1); i++)
		usleep(100);
	set(VIRTIO_PCI_COMMON_STATUS, 1, 3);
	set(VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
	set(VIRTIO_PCI_COMMON_GF, 4, features & 0xffffffff);
	set(VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	set(VIRTIO_PCI_COMMON_GF, 4, features >> 32);
	set(VIRTIO_PCI_COMMON_STATUS, 1, 11);
	assert_int_equal(get(VIRTIO_PCI_COMMON_STATUS, 1), 11);
	for (unsigned i = 0; i < n; i++)
		set_up_queue(i);
	set(VIRTIO_PCI_COMMON_STATUS, 1, 15);
	assert_int_equal(get(VIRTIO_PCI_COMMON_STATUS, 1), 15);
}

static void start(const char *spec, uint64_t features, unsigned n)
{
	rig_open(&rig, spec);
	drive(features, n);
}

/* ---- the rings ---- */

static void make_available(struct queue *q, const struct desc *part, unsigned n)
{
	uint16_t first = q->slot, first_flags = 0;

	for (unsigned i = 0; i < n; i++) {
		struct desc *d = desc(q, q->slot);
		uint16_t flags = (uint16_t)(part[i].a | (i + 1 < n ? 1 : 0));

		d->address = part[i].address;
		d->length = part[i].length;
		d->a = packed ? first : flags;
		if (packed) {
			flags |= q->wrap ? 1 << 7 : 1 << 15;
			if (i == 0)
				first_flags = flags;
			else
				d->b = flags;
		} else {
			d->b = (uint16_t)((q->slot + 1) % NUM);
		}
		if (++q->slot == NUM) {
			q->slot = 0;
			q->wrap = !q->wrap;
		}
	}
	if (packed) {
		__atomic_store_n(&desc(q, first)->b, first_flags, __ATOMIC_RELEASE);
		return;
	}
	*word(q, AVAIL + 4 + 2 * (q->made % NUM)) = first;
	__atomic_store_n(word(q, AVAIL + 2), ++q->made, __ATOMIC_RELEASE);
}

static void notify(const struct queue *q)
{
	set(NOTIFY + 4 * q->index, 2, q->index);
}

static bool answered(const struct queue *q)
{
	uint16_t flags;

	if (!packed)
		return __atomic_load_n(word(q, USED + 2), __ATOMIC_ACQUIRE) != q->seen;
	flags = __atomic_load_n(&desc(q, q->next)->b, __ATOMIC_ACQUIRE);
	return !!(flags & 1 << 15) == q->used_wrap && !!(flags & 1 << 7) == q->used_wrap;
}

/* Waits for the next chain, of `n` descriptors, to be used: its length. */
static uint32_t wait_used(struct queue *q, unsigned n)
{
	uint32_t element[2];

	for (unsigned tries = 0; tries < 100000 && !answered(q); tries++)
		usleep(100);
	assert_true(answered(q));
	if (packed) {
		element[0] = desc(q, q->next)->a;
		element[1] = desc(q, q->next)->length;
	} else {
		memcpy(element, memory_of(q) + USED + 4 + 8 * (q->seen % NUM), 8);
	}
	assert_int_equal(element[0], q->next);
	q->seen++;
	q->next = (uint16_t)(q->next + n);
	if (q->next >= NUM) {
		q->next = (uint16_t)(q->next - NUM);
		q->used_wrap = !q->used_wrap;
	}
	return element[1];
}

/* Offers a buffer of `size` bytes for packets. */
static void offer(struct queue *q, uint32_t size)
{
	const struct desc part = {address_of(buffer(q, q->slot)), size, 2, 0};

	memset(buffer(q, q->slot), 0, STEP);
	make_available(q, &part, 1);
}

/* A frame of `size` bytes, its header in a descriptor of its own if `parts` is 2. */
static void send_frame(struct queue *q, unsigned size, uint8_t seed, unsigned parts)
{
	uint8_t *b = buffer(q, q->slot);
	struct desc part[2] = {{address_of(b), (uint32_t)(HEADER + size), 0, 0},
			       {address_of(b + HEADER), size, 0, 0}};

	memset(b, 0, HEADER);
	for (unsigned i = 0; i < size; i++)
		b[HEADER + i] = (uint8_t)(seed + i);
	if (parts == 2)
		part[0].length = HEADER;
	make_available(q, part, parts);
	notify(q);
}

/* ---- tests ---- */

static void assert_frame(const uint8_t *frame, unsigned size, uint8_t seed)
{
	for (unsigned i = 0; i < size; i++)
		assert_int_equal(frame[i], (uint8_t)(seed + i));
}

static void packets(uint64_t features)
{
	struct virtio_net_hdr_v1 header;
	struct queue *in = &queues[0], *out = &queues[1];

	start("virtio-net", REQUIRED | features, 2);
	for (unsigned i = 0; i < 100; i++) {
		unsigned size = 14 + i * 15;
		uint8_t *got = buffer(in, in->slot);

		offer(in, STEP);
		notify(in);
		send_frame(out, size, (uint8_t)i, 1 + i % 2);
		assert_int_equal(wait_used(in, 1), HEADER + size);
		assert_int_equal(wait_used(out, 1 + i % 2), 0);
		memcpy(&header, got, sizeof(header));
		assert_int_equal(header.num_buffers, 1);
		assert_int_equal(header.flags, 0);
		assert_frame(got + HEADER, size, (uint8_t)i);
	}
	/* More than there are buffers for: nothing is lost. */
	for (unsigned i = 0; i < 8; i++)
		send_frame(out, 60, (uint8_t)(200 + i), 1);
	for (unsigned i = 0; i < 8; i++)
		wait_used(out, 1);
	for (unsigned i = 0; i < 8; i++) {
		uint8_t *got = buffer(in, in->slot);

		offer(in, STEP);
		notify(in);
		assert_int_equal(wait_used(in, 1), HEADER + 60);
		assert_frame(got + HEADER, 60, (uint8_t)(200 + i));
	}
	/* One that fits in no buffer is dropped, and so is one that is none. */
	offer(in, 64);
	send_frame(out, 60, 1, 1);
	send_frame(out, 0, 1, 1);
	send_frame(out, 40, 2, 1);
	if (!(features & F(VIRTIO_NET_F_MRG_RXBUF)))
		assert_int_equal(wait_used(in, 1), HEADER + 40);
	rig_close(&rig);
}

static void test_packets(void **state)
{
	packets(0);
	packets(VIRTQUEUE_F_EVENT_IDX);
	packets(F(VIRTIO_NET_F_MRG_RXBUF) | VIRTQUEUE_F_IN_ORDER);
	packets(VIRTQUEUE_F_PACKED);
	packets(VIRTQUEUE_F_PACKED | VIRTQUEUE_F_EVENT_IDX | F(VIRTIO_NET_F_MRG_RXBUF));
}

/* A packet over several small buffers, which come one by one. */
static void test_merged(void **state)
{
	struct queue *in = &queues[0], *out = &queues[1];
	struct virtio_net_hdr_v1 header;
	uint8_t frame[1514];
	unsigned at = 0;

	for (unsigned kind = 0; kind < 4; kind++) {
		start("virtio-net",
		      REQUIRED | F(VIRTIO_NET_F_MRG_RXBUF) | (kind & 1 ? VIRTQUEUE_F_PACKED : 0) |
			      (kind & 2 ? VIRTQUEUE_F_EVENT_IDX : 0),
		      2);
		send_frame(out, sizeof(frame), 77, 1);
		wait_used(out, 1);
		for (unsigned i = 0; i < 4; i++) {
			offer(in, 400);
			notify(in);
		}
		at = 0;
		for (unsigned i = 0; i < 4; i++) {
			uint32_t length = wait_used(in, 1), skip = i ? 0 : HEADER;

			memcpy(frame + at, buffer(in, i) + skip, length - skip);
			at += length - skip;
		}
		memcpy(&header, buffer(in, 0), sizeof(header));
		assert_int_equal(header.num_buffers, 4);
		assert_int_equal(at, sizeof(frame));
		assert_frame(frame, sizeof(frame), 77);
		rig_close(&rig);
	}
}

/* A buffer over the boundary of two mappings, and one outside of all. */
static void test_mappings(void **state)
{
	struct iova_range second = {.first = RIG_IOVA + RIG_SIZE,
				    .last = RIG_IOVA + RIG_SIZE + 4095,
				    .flags = IOVA_READ};
	struct queue *in = &queues[0], *out = &queues[1];
	uint8_t *other, *end = rig.arena, *got;
	struct desc part;

	start("virtio-net", REQUIRED, 2);
	other = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(other, MAP_FAILED);
	second.address = (uintptr_t)other;
	assert_int_equal(iova_map_insert(rig.map, &second), 0);
	end = rig.arena + RIG_SIZE;
	part = (struct desc){RIG_IOVA + RIG_SIZE - 40, HEADER + 100, 0, 0};
	memset(end - 40, 0, 40);
	for (unsigned i = 0; i < 100; i++)
		*(HEADER + i < 40 ? end - 40 + HEADER + i : other + HEADER + i - 40) = (uint8_t)i;
	got = buffer(in, in->slot);
	offer(in, STEP);
	make_available(out, &part, 1);
	notify(out);
	assert_int_equal(wait_used(in, 1), HEADER + 100);
	assert_frame(got + HEADER, 100, 0);
	wait_used(out, 1);
	/* Memory that the device may not write. */
	part = (struct desc){RIG_IOVA + RIG_SIZE, 2048, 2, 0};
	make_available(in, &part, 1);
	send_frame(out, 60, 0, 1);
	for (unsigned i = 0; i < 100000 && get(VIRTIO_PCI_COMMON_STATUS, 1) == 15; i++)
		usleep(100);
	assert_int_equal(get(VIRTIO_PCI_COMMON_STATUS, 1), 15 | VIRTIO_STATUS_NEEDS_RESET);
	assert_true(rig.dev->iommu_faults > 0);
	/* And again, after a reset; the packet still waits. */
	drive(REQUIRED, 2);
	offer(in, STEP);
	notify(in);
	assert_int_equal(wait_used(in, 1), HEADER + 60);
	rig_close(&rig);
	munmap(other, 4096);
}

static uint8_t command(unsigned index, const void *data, unsigned size)
{
	struct queue *q = &queues[index];
	uint8_t *b = buffer(q, q->slot);
	const struct desc part[2] = {{address_of(b), size, 0, 0}, {address_of(b + 100), 1, 2, 0}};

	memcpy(b, data, size);
	b[100] = 0xee;
	make_available(q, part, 2);
	notify(q);
	assert_int_equal(wait_used(q, 2), 1);
	return b[100];
}

#define COMMAND(index, ...) \
	command(index, (uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

static void control(uint64_t features)
{
	start("virtio-net,queues=4,mac=52:54:00:01:02:03",
	      REQUIRED | features | F(VIRTIO_NET_F_CTRL_RX) | F(VIRTIO_NET_F_CTRL_VLAN) |
		      F(VIRTIO_NET_F_CTRL_MAC_ADDR) | F(VIRTIO_NET_F_MQ) |
		      F(VIRTIO_NET_F_GUEST_ANNOUNCE),
	      9);
	assert_int_equal(COMMAND(8, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1), 0);
	assert_int_equal(COMMAND(8, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC), 1);
	assert_int_equal(COMMAND(8, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 5, 0), 0);
	assert_int_equal(COMMAND(8, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 0, 16), 1);
	assert_int_equal(COMMAND(8, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK), 0);
	assert_int_equal(COMMAND(8, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 4, 0), 0);
	assert_int_equal(COMMAND(8, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 5, 0), 1);
	assert_int_equal(get(CONFIG + 5, 1), 3);
	assert_int_equal(
		COMMAND(8, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 2, 0, 0, 0, 0, 9), 0);
	assert_int_equal(get(CONFIG, 1), 2);
	assert_int_equal(get(CONFIG + 5, 1), 9);
	assert_int_equal(COMMAND(8, 99, 0), 1);
	/* Every pair has packets of its own. */
	for (unsigned pair = 0; pair < 4; pair++) {
		offer(&queues[2 * pair], STEP);
		send_frame(&queues[2 * pair + 1], 100 + pair, 0, 1);
	}
	for (unsigned pair = 0; pair < 4; pair++)
		assert_int_equal(wait_used(&queues[2 * pair], 1), HEADER + 100 + pair);
	/* A reset takes back what was set; without several pairs the commands come third. */
	drive(REQUIRED | features | F(VIRTIO_NET_F_CTRL_RX), 3);
	assert_int_equal(get(CONFIG + 5, 1), 3);
	assert_int_equal(COMMAND(2, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, 1), 0);
	assert_int_equal(COMMAND(2, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2, 0), 1);
	rig_close(&rig);
}

static void test_control(void **state)
{
	control(0);
	control(VIRTQUEUE_F_PACKED);
}

static void test_configuration(void **state)
{
	static const char *const bad[] = {
		"virtio-net,mac=52:54:00:01:02",
		"virtio-net,mac=52:54:00:01:02:0g",
		"virtio-net,mac=01:00:00:00:00:00",
		"virtio-net,net=nowhere",
		"virtio-net,queues=32",
		"virtio-net,queues=0",
		"virtio-net,mtu=67",
		"virtio-net,mac=52:54:00:01:02:03:04",
	};
	char error[CONFIG_ERROR_MAX];
	uint64_t features;

	rig_open(&rig, "virtio-net,queues=31,mtu=9000,net=null");
	assert_int_equal(get(VIRTIO_PCI_COMMON_NUMQ, 2), 63);
	assert_int_equal(get(CONFIG + offsetof(struct virtio_net_config, status), 2), 1);
	assert_int_equal(get(CONFIG + offsetof(struct virtio_net_config, max_virtqueue_pairs), 2),
			 31);
	assert_int_equal(get(CONFIG + offsetof(struct virtio_net_config, mtu), 2), 9000);
	features = device_features();
	assert_true(features & F(VIRTIO_NET_F_MQ) && features & VIRTQUEUE_F_PACKED &&
		    features & F(VIRTIO_NET_F_HOST_TSO4) && features & VIRTQUEUE_F_IN_ORDER);
	rig_close(&rig);

	rig_open(&rig, "virtio-net,packed=off,offloads=off");
	features = device_features();
	assert_false(features & (F(VIRTIO_NET_F_MQ) | VIRTQUEUE_F_PACKED | F(VIRTIO_NET_F_CSUM) |
				 F(VIRTIO_NET_F_GUEST_TSO4)));
	rig_close(&rig);

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct standin_device *dev;
		struct config config;

		config_init(&config);
		assert_int_equal(config_device(&config, bad[i], error), 0);
		assert_int_equal(config_complete(&config, error), 0);
		assert_int_equal(device_create(&config.devices[0], 0, &dev), 0);
		assert_true(device_check(dev) < 0);
		device_destroy(dev);
		config_finish(&config);
	}
}

static void test_needs_reset(void **state)
{
	start("virtio-net", REQUIRED, 2);
	__atomic_store_n(word(&queues[1], AVAIL + 2), 1000, __ATOMIC_RELEASE);
	notify(&queues[1]);
	for (unsigned i = 0; i < 100000 && get(VIRTIO_PCI_COMMON_STATUS, 1) == 15; i++)
		usleep(100);
	assert_int_equal(get(VIRTIO_PCI_COMMON_STATUS, 1), 15 | VIRTIO_STATUS_NEEDS_RESET);
	rig_close(&rig);
}

/* While packets go round: resets, after which the device writes no more, and unmaps, which wait. */
static void test_reset_under_load(void **state)
{
	struct queue *in = &queues[0], *out = &queues[1];
	struct iova_range range;
	uint16_t used;

	rig_open(&rig, "virtio-net");
	for (unsigned round = 0; round < 30; round++) {
		drive(REQUIRED | (round & 1 ? VIRTQUEUE_F_PACKED : 0), 2);
		for (unsigned i = 0; i < NUM; i++)
			offer(in, STEP);
		notify(in);
		for (unsigned i = 0; i < NUM; i++)
			send_frame(out, 1000, 0, 1);
		if (round % 3 == 0) {
			assert_true(iova_map_lookup(rig.map, RIG_IOVA, &range));
			assert_int_equal(iova_map_remove(rig.map, RIG_IOVA), 0);
		}
		set(VIRTIO_PCI_COMMON_STATUS, 1, 0);
		for (unsigned i = 0; i < 100000 && get(VIRTIO_PCI_COMMON_STATUS, 1); i++)
			usleep(100);
		assert_int_equal(get(VIRTIO_PCI_COMMON_STATUS, 1), 0);
		memset(memory_of(in), 0xaa, QUEUE);
		usleep(500);
		used = *word(in, USED + 2);
		assert_int_equal(used, 0xaaaa);
		if (round % 3 == 0)
			assert_int_equal(iova_map_insert(rig.map, &range), 0);
	}
	rig_close(&rig);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packets),          cmocka_unit_test(test_merged),
		cmocka_unit_test(test_mappings),         cmocka_unit_test(test_control),
		cmocka_unit_test(test_configuration),    cmocka_unit_test(test_needs_reset),
		cmocka_unit_test(test_reset_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
