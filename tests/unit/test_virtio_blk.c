/* SPDX-License-Identifier: BSD-3-Clause */
/* The virtio-blk model and its PCI transport, by a driver of one split or packed queue. */
#include <linux/pci_regs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_pci.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/virtio_pci.h"
#include "nvme_rig.h"

#define NOTIFY 0x1000u
#define CONFIG 0x200u
#define ISR    0x100u
#define NUM    16u
#define DESC   0x0000u /* offsets in the arena */
#define AVAIL  0x1000u
#define USED   0x2000u
#define HEADER 0x3000u
#define STATUS 0x3100u
#define DATA   0x4000u

#define REQUIRED (VIRTQUEUE_F_VERSION_1 | VIRTQUEUE_F(VIRTIO_BLK_F_FLUSH))

static struct rig rig;
static bool packed, wrap;
static uint16_t slot, made;

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

static uint8_t negotiate(uint64_t features)
{
	set(VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_equal(get(VIRTIO_PCI_COMMON_STATUS, 1), 0);
	set(VIRTIO_PCI_COMMON_STATUS, 1, 3);
	set(VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
	set(VIRTIO_PCI_COMMON_GF, 4, features & 0xffffffff);
	set(VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	set(VIRTIO_PCI_COMMON_GF, 4, features >> 32);
	set(VIRTIO_PCI_COMMON_STATUS, 1, 11);
	return (uint8_t)get(VIRTIO_PCI_COMMON_STATUS, 1);
}

static void start(const char *spec, uint64_t features)
{
	rig_open(&rig, spec);
	device_reset(rig.dev);
	packed = features & VIRTQUEUE_F_PACKED;
	slot = made = 0;
	wrap = true;
	assert_int_equal(negotiate(features), 11);
	set(VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_SIZE, 2), 256);
	set(VIRTIO_PCI_COMMON_Q_SIZE, 2, NUM);
	set(VIRTIO_PCI_COMMON_Q_DESCLO, 4, RIG_IOVA + DESC);
	set(VIRTIO_PCI_COMMON_Q_DESCHI, 4, 0);
	set(VIRTIO_PCI_COMMON_Q_AVAILLO, 8, RIG_IOVA + AVAIL);
	set(VIRTIO_PCI_COMMON_Q_USEDLO, 8, RIG_IOVA + USED);
	set(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	set(VIRTIO_PCI_COMMON_STATUS, 1, 15);
	assert_int_equal(get(VIRTIO_PCI_COMMON_STATUS, 1), 15);
}

struct desc {
	uint64_t address;
	uint32_t length;
	uint16_t a, b; /* split: flags, next; packed: id, flags */
};

static struct desc *desc(unsigned i)
{
	return (struct desc *)(void *)(rig.arena + DESC) + i % NUM;
}

static uint16_t *word(uint32_t offset)
{
	return (uint16_t *)(void *)(rig.arena + offset);
}

static bool answered(void)
{
	uint16_t flags;

	if (!packed)
		return __atomic_load_n(word(USED + 2), __ATOMIC_ACQUIRE) == made;
	flags = __atomic_load_n(&desc(slot)->b, __ATOMIC_ACQUIRE);
	return !!(flags & 1 << 15) == wrap && !!(flags & 1 << 7) == wrap;
}

static void make_available(const struct desc *part, unsigned n)
{
	uint16_t first_flags = 0;

	for (unsigned i = 0; i < n; i++) {
		struct desc *d = packed ? desc(slot + i) : desc(i);
		uint16_t flags = (uint16_t)(part[i].a | (i + 1 < n ? 1 : 0));
		bool lap = slot + i < NUM ? wrap : !wrap;

		d->address = part[i].address;
		d->length = part[i].length;
		d->a = packed ? 7 : flags;
		if (!packed) {
			d->b = (uint16_t)(i + 1);
			continue;
		}
		flags |= lap ? 1 << 7 : 1 << 15;
		if (i == 0)
			first_flags = flags;
		else
			d->b = flags;
	}
	if (packed) {
		__atomic_store_n(&desc(slot)->b, first_flags, __ATOMIC_RELEASE);
		return;
	}
	*word(AVAIL + 4 + 2 * (made % NUM)) = 0;
	__atomic_store_n(word(AVAIL + 2), ++made, __ATOMIC_RELEASE);
}

/* Header, data if any, status; returns the status when the device is done. */
static uint8_t request(uint32_t type, uint64_t sector, uint32_t size, bool write,
		       uint32_t *ret_length)
{
	struct virtio_blk_outhdr header = {.type = type, .sector = sector};
	struct desc part[3] = {{RIG_IOVA + HEADER, sizeof(header), 0, 0}};
	unsigned n = 1;

	memcpy(rig.arena + HEADER, &header, sizeof(header));
	rig.arena[STATUS] = 0xee;
	if (size)
		part[n++] = (struct desc){RIG_IOVA + DATA, size, write ? 2 : 0, 0};
	part[n++] = (struct desc){RIG_IOVA + STATUS, 1, 2, 0};
	make_available(part, n);
	set(NOTIFY, 2, 0);
	for (unsigned tries = 0; tries < 100000 && !answered(); tries++)
		usleep(100);
	assert_true(answered());
	if (packed) {
		assert_int_equal(desc(slot)->a, 7);
		*ret_length = desc(slot)->length;
		slot = (uint16_t)(slot + n);
		if (slot >= NUM) {
			slot = (uint16_t)(slot - NUM);
			wrap = !wrap;
		}
	} else {
		memcpy(ret_length, rig.arena + USED + 4 + 8 * ((made - 1u) % NUM) + 4, 4);
	}
	return rig.arena[STATUS];
}

static void commands(uint64_t features)
{
	struct virtio_blk_discard_write_zeroes segment = {.sector = 8, .num_sectors = 8};
	uint32_t length;

	start("virtio-blk,size=1M,serial=abc", features);
	for (unsigned i = 0; i < 40; i++) {
		memset(rig.arena + DATA, (int)i + 1, 8192);
		assert_int_equal(request(VIRTIO_BLK_T_OUT, 8 * i, 8192, false, &length), 0);
		assert_int_equal(length, 1);
		memset(rig.arena + DATA, 0, 8192);
		assert_int_equal(request(VIRTIO_BLK_T_IN, 8 * i, 8192, true, &length), 0);
		assert_int_equal(length, 8193);
		assert_int_equal(rig.arena[DATA], i + 1);
		assert_int_equal(rig.arena[DATA + 8191], i + 1);
	}
	assert_int_equal(request(VIRTIO_BLK_T_FLUSH, 0, 0, false, &length), 0);
	assert_int_equal(request(VIRTIO_BLK_T_GET_ID, 0, 20, true, &length), 0);
	assert_string_equal((char *)rig.arena + DATA, "abc");

	for (unsigned i = 0; i < 3; i++) {
		uint32_t type = i == 0 ? VIRTIO_BLK_T_DISCARD : VIRTIO_BLK_T_WRITE_ZEROES;

		memset(rig.arena + DATA, 9, 4096);
		assert_int_equal(request(VIRTIO_BLK_T_OUT, 8, 4096, false, &length), 0);
		segment.flags = i == 2;
		memcpy(rig.arena + DATA, &segment, sizeof(segment));
		assert_int_equal(request(type, 0, 16, false, &length), 0);
		assert_int_equal(request(VIRTIO_BLK_T_IN, 8, 4096, true, &length), 0);
		assert_int_equal(rig.arena[DATA], 0);
		assert_int_equal(rig.arena[DATA + 4095], 0);
	}
	/* What can't be done. */
	segment.flags = 2;
	memcpy(rig.arena + DATA, &segment, sizeof(segment));
	assert_int_equal(request(VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, false, &length),
			 VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(request(VIRTIO_BLK_T_DISCARD, 0, 15, false, &length), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(77, 0, 0, false, &length), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(request(VIRTIO_BLK_T_IN, 2048, 512, true, &length), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_IN, 2047, 512, true, &length), 0);
	assert_int_equal(request(VIRTIO_BLK_T_IN, UINT64_MAX, 512, true, &length),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_IN, 0, 511, true, &length), VIRTIO_BLK_S_IOERR);
	assert_int_equal(length, 1);
	rig_close(&rig);
}

static void test_commands(void **state)
{
	commands(REQUIRED);
	commands(REQUIRED | VIRTQUEUE_F_EVENT_IDX);
	commands(REQUIRED | VIRTQUEUE_F_PACKED);
	commands(REQUIRED | VIRTQUEUE_F_PACKED | VIRTQUEUE_F_EVENT_IDX);
}

static void test_read_only(void **state)
{
	uint32_t length;

	start("virtio-blk,size=1M,readonly=on,packed=off", REQUIRED);
	assert_true(device_features() & VIRTQUEUE_F(VIRTIO_BLK_F_RO));
	assert_false(device_features() & VIRTQUEUE_F_PACKED);
	assert_int_equal(request(VIRTIO_BLK_T_OUT, 0, 512, false, &length), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_IN, 0, 512, true, &length), 0);
	rig_close(&rig);
}

static void test_registers(void **state)
{
	static const uint8_t types[] = {VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_PCI_CAP_ISR_CFG,
					VIRTIO_PCI_CAP_DEVICE_CFG, VIRTIO_PCI_CAP_NOTIFY_CFG};
	uint8_t config[PCI_CONFIG_SIZE];
	unsigned found = 0;

	rig_open(&rig, "virtio-blk,size=1M,blocksize=4096,queues=3");
	device_reset(rig.dev);
	pci_build_config(&rig.dev->pci, config);
	for (unsigned at = config[PCI_CAPABILITY_LIST]; at; at = config[at + 1])
		if (config[at] == PCI_CAP_ID_VNDR)
			assert_int_equal(config[at + 3], types[found++]);
	assert_int_equal(found, 4);

	assert_int_equal(get(VIRTIO_PCI_COMMON_NUMQ, 2), 3);
	assert_int_equal(get(CONFIG, 8), 2048);
	assert_int_equal(get(CONFIG + offsetof(struct virtio_blk_config, blk_size), 4), 4096);
	assert_int_equal(get(CONFIG + offsetof(struct virtio_blk_config, num_queues), 2), 3);
	/* A feature that is not offered; a legacy driver. */
	assert_int_equal(negotiate(REQUIRED | VIRTQUEUE_F(63)), 3);
	assert_int_equal(negotiate(0), 3);
	/* A vector, and a queue, that don't exist. */
	set(VIRTIO_PCI_COMMON_MSIX, 2, 3);
	assert_int_equal(get(VIRTIO_PCI_COMMON_MSIX, 2), 3);
	set(VIRTIO_PCI_COMMON_MSIX, 2, 4);
	assert_int_equal(get(VIRTIO_PCI_COMMON_MSIX, 2), 0xffff);
	set(VIRTIO_PCI_COMMON_Q_SELECT, 2, 3);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	set(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	/* Notifications before the driver is ready. */
	set(NOTIFY, 2, 0);
	set(NOTIFY + 4 * 100, 2, 100);
	rig_close(&rig);
}

/* A driver that breaks the rules gets DEVICE_NEEDS_RESET, and a reset makes all well. */
static void test_needs_reset(void **state)
{
	const struct desc header = {RIG_IOVA + HEADER, 16, 0, 0};

	start("virtio-blk,size=1M", REQUIRED);
	*word(AVAIL + 2) = 1000;
	set(NOTIFY, 2, 0);
	assert_int_equal(get(VIRTIO_PCI_COMMON_STATUS, 1), 15 | VIRTIO_STATUS_NEEDS_RESET);
	rig_close(&rig);

	/* A chain with no room for the status. */
	start("virtio-blk,size=1M", REQUIRED);
	make_available(&header, 1);
	set(NOTIFY, 2, 0);
	assert_int_equal(get(VIRTIO_PCI_COMMON_STATUS, 1), 15 | VIRTIO_STATUS_NEEDS_RESET);
	/* The configuration interrupt, which reading takes away. */
	assert_int_equal(get(ISR, 1) & 2, 2);
	assert_int_equal(get(ISR, 1), 0);
	set(VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_equal(get(VIRTIO_PCI_COMMON_STATUS, 1), 0);
	set(VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	rig_close(&rig);
}

/* A reset while requests are in the backend: none is answered after the status reads 0. */
static void test_reset_under_load(void **state)
{
	struct virtio_blk_outhdr flush = {.type = VIRTIO_BLK_T_FLUSH};
	struct virtio_blk_outhdr write = {.type = VIRTIO_BLK_T_OUT};
	char path[] = "/tmp/test-virtio-blk-XXXXXX", spec[128];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
	snprintf(spec, sizeof(spec), "virtio-blk,file=%s,aio=threads", path);
	for (unsigned round = 0; round < 20; round++) {
		uint16_t used;

		start(spec, REQUIRED);
		memcpy(rig.arena + HEADER, &flush, sizeof(flush));
		memcpy(rig.arena + HEADER + 16, &write, sizeof(write));
		/* Four times: a write, a flush. */
		for (unsigned i = 0; i < 4; i++) {
			*desc(4 * i) =
				(struct desc){RIG_IOVA + HEADER + 16, 16, 1, (uint16_t)(4 * i + 1)};
			*desc(4 * i + 1) =
				(struct desc){RIG_IOVA + DATA, 4096, 1, (uint16_t)(4 * i + 3)};
			*desc(4 * i + 2) =
				(struct desc){RIG_IOVA + HEADER, 16, 1, (uint16_t)(4 * i + 3)};
			*desc(4 * i + 3) = (struct desc){RIG_IOVA + STATUS, 1, 2, 0};
			*word(AVAIL + 4 + 4 * i) = (uint16_t)(4 * i);
			*word(AVAIL + 6 + 4 * i) = (uint16_t)(4 * i + 2);
		}
		*word(AVAIL + 2) = 8;
		set(NOTIFY, 2, 0);
		set(VIRTIO_PCI_COMMON_STATUS, 1, 0);
		for (unsigned tries = 0; tries < 100000 && get(VIRTIO_PCI_COMMON_STATUS, 1);
		     tries++)
			usleep(100);
		assert_int_equal(get(VIRTIO_PCI_COMMON_STATUS, 1), 0);
		used = *word(USED + 2);
		usleep(500);
		assert_int_equal(*word(USED + 2), used);
		rig_close(&rig);
	}
	unlink(path);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),         cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_registers),        cmocka_unit_test(test_needs_reset),
		cmocka_unit_test(test_reset_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
