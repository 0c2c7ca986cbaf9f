/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O commands on every kind of backend: data and PRPs, errors, full queues, resets with
 * commands in flight, polled doorbells.  Each test runs once for each drive.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/fault.h"
#include "nvme_rig.h"

#define QUEUES 0x10000u
#define LISTS  0x80000u
#define DATA   0x100000u
#define BLOCKS 16384u /* of 512 bytes */

struct drive {
	const char *name, *spec; /* %s: the file */
	unsigned block_size;
};

static const struct drive drives[] = {
	{"memory", "nvme,size=8M", 512},
	{"memory, 4 KiB", "nvme,size=8M,blocksize=4096", 4096},
	{"file", "nvme,file=%s", 512},
	{"file, threads", "nvme,file=%s,aio=threads", 512},
	{"file, uring, 4 KiB", "nvme,file=%s,aio=uring,blocksize=4096", 4096},
	{"file, direct, uring", "nvme,file=%s,aio=uring,direct=on", 512},
	{"file, direct, threads", "nvme,file=%s,aio=threads,direct=on", 512},
};

static const struct drive *drive;
static char path[64];

struct fixture {
	struct rig rig;
	struct rig_queue *q;
	unsigned shift;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char spec[200];
	int fd;

	snprintf(path, sizeof(path), "/var/tmp/standin-test-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, BLOCKS * 512), 0);
	close(fd);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(spec, sizeof(spec), drive->spec, path);
#pragma GCC diagnostic pop
	f->shift = drive->block_size == 512 ? 9 : 12;
	rig_open(&f->rig, spec);
	rig_enable(&f->rig);
	f->q = rig_create_pair(&f->rig, 1, QUEUES, 64);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fault_clear();
	rig_close(&f->rig);
	free(f);
	unlink(path);
	return 0;
}

static bool on_file(void)
{
	return strstr(drive->spec, "file");
}

static void pattern(uint8_t *p, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size; i++)
		p[i] = (uint8_t)((seed + i) * 2654435761u >> 13);
}

/* PRPs for `size` bytes at `data`, with the list, where one is needed, at LISTS + `at`. */
static struct nvme_command with_prps(struct fixture *f, uint8_t opcode, uint64_t lba,
				     unsigned blocks, uint64_t data, unsigned at)
{
	uint64_t size = (uint64_t)blocks << f->shift, first = 4096 - data % 4096;
	struct nvme_command c = rig_rw(opcode, lba, blocks, data, 0);
	uint64_t list = LISTS + at;

	if (size <= first)
		return c;
	if (size - first <= 4096) {
		c.prp2 = RIG_IOVA + data + first;
		return c;
	}
	c.prp2 = RIG_IOVA + list;
	for (uint64_t done = first; done < size; done += 4096) {
		bool last_entry = list % 4096 == 4088, more = size - done > 4096;

		if (last_entry && more) {
			uint64_t next = RIG_IOVA + (list + 4096) / 4096 * 4096 + 0x3000;

			memcpy(f->rig.arena + list, &next, 8);
			list = next - RIG_IOVA;
		}
		*(uint64_t *)(f->rig.arena + list) = RIG_IOVA + data + done;
		list += 8;
	}
	return c;
}

static uint16_t run(struct fixture *f, struct nvme_command c)
{
	return rig_run(&f->rig, f->q, c);
}

/* ---- data ---- */

static void test_write_and_read(void **state)
{
	struct fixture *f = *state;
	static const struct {
		unsigned lba, blocks, data, list;
	} cases[] = {
		{0, 1, 0, 0},          {1, 1, 4, 0},
		{7, 8, 0xe00, 0},      {3, 8, 0xffc, 0},
		{100, 16, 0x10, 0x10}, {200, 128, 0x200, 0xff8},
		{300, 128, 0, 0xfe8},  {500, 64, 0xffc, 0xff0},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t size = (size_t)cases[i].blocks << f->shift;
		uint64_t lba = cases[i].lba, from = DATA + cases[i].data, to = 0x600000;
		uint8_t *arena = f->rig.arena;

		pattern(arena + from, size, i);
		assert_int_equal(
			run(f, with_prps(f, NVME_WRITE, lba, cases[i].blocks, from, cases[i].list)),
			0);
		memset(arena + to - 8, 0xcc, size + 16);
		assert_int_equal(run(f, with_prps(f, NVME_READ, lba, cases[i].blocks, to, 0)), 0);
		assert_memory_equal(arena + from, arena + to, size);
		assert_int_equal(arena[to - 1], 0xcc);
		assert_int_equal(arena[to + size], 0xcc);
		/* The same through the other place's odd offset. */
		memset(arena + to - 8, 0xcc, size + 16);
		assert_int_equal(run(f, with_prps(f, NVME_READ, lba, cases[i].blocks, to + 0x404,
						  cases[i].list)),
				 0);
		assert_memory_equal(arena + from, arena + to + 0x404, size);
	}
}

/* Pages in any order, each from another mapping of the arena. */
static void test_scattered_pages(void **state)
{
	struct fixture *f = *state;
	unsigned blocks = (8 * 4096) >> f->shift;
	struct nvme_command c = rig_rw(NVME_WRITE, 10, blocks, DATA + 7 * 8192, LISTS);
	uint64_t *list = (void *)(f->rig.arena + LISTS);

	for (unsigned i = 1; i < 8; i++)
		list[i - 1] = RIG_IOVA + DATA + (7 - i) * 8192;
	for (unsigned i = 0; i < 8; i++)
		memset(f->rig.arena + DATA + (7 - i) * 8192, 'a' + (int)i, 4096);
	assert_int_equal(run(f, c), 0);
	assert_int_equal(run(f, with_prps(f, NVME_READ, 10, blocks, 0x600000, 0)), 0);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(f->rig.arena[0x600000 + i * 4096], 'a' + i);
		assert_int_equal(f->rig.arena[0x600000 + i * 4096 + 4095], 'a' + i);
	}
}

static void test_largest_transfer(void **state)
{
	struct fixture *f = *state;
	unsigned blocks = (512u << 10) >> f->shift;

	pattern(f->rig.arena + DATA + 0x804, 512u << 10, 3);
	assert_int_equal(run(f, with_prps(f, NVME_WRITE, 0, blocks, DATA + 0x804, 0)), 0);
	assert_int_equal(run(f, with_prps(f, NVME_READ, 0, blocks, 0x600000, 0xff8)), 0);
	assert_memory_equal(f->rig.arena + 0x600000, f->rig.arena + DATA + 0x804, 512u << 10);
	assert_int_equal(run(f, with_prps(f, NVME_READ, 0, blocks + 1, 0x600000, 0)),
			 NVME_INVALID_FIELD);
}

static void test_sgl(void **state)
{
	struct fixture *f = *state;
	uint8_t *arena = f->rig.arena;
	struct nvme_sgl *list = (void *)(arena + LISTS);
	struct nvme_sgl d = {.address = RIG_IOVA + DATA + 3, .length = 4096};
	unsigned blocks = 4096 >> f->shift;
	struct nvme_command c = rig_rw(NVME_WRITE, 5, blocks, 0, 0);

	c.flags = 0x40;
	pattern(arena + DATA, 8192, 9);
	memcpy(c.sgl, &d, sizeof(d));
	assert_int_equal(run(f, c), 0);

	/* Two segments, uneven pieces. */
	c.opcode = NVME_READ;
	list[0] = (struct nvme_sgl){.address = RIG_IOVA + 0x600001, .length = 1};
	list[1] = (struct nvme_sgl){
		.address = RIG_IOVA + LISTS + 256, .length = 32, .type = NVME_SGL_LAST_SEGMENT};
	list[16] = (struct nvme_sgl){.address = RIG_IOVA + 0x600002, .length = 2000};
	list[17] = (struct nvme_sgl){.address = RIG_IOVA + 0x700000, .length = 3000};
	d = (struct nvme_sgl){.address = RIG_IOVA + LISTS, .length = 32, .type = NVME_SGL_SEGMENT};
	memcpy(c.sgl, &d, sizeof(d));
	assert_int_equal(run(f, c), 0);
	assert_memory_equal(arena + 0x600001, arena + DATA + 3, 2001);
	assert_memory_equal(arena + 0x700000, arena + DATA + 3 + 2001, 4096 - 2001);
	assert_int_equal(arena[0x700000 + 4096 - 2001], 0);

	list[17].length = 2094;
	assert_int_equal(run(f, c), NVME_SGL_LENGTH_INVALID);
	list[17].length = 2095;
	assert_int_equal(run(f, c), 0);
	list[17].type = NVME_SGL_SEGMENT;
	assert_int_equal(run(f, c), NVME_INVALID_SGL_SEGMENT);
	list[17].type = 0x40;
	assert_int_equal(run(f, c), NVME_SGL_TYPE_INVALID);
	list[17].type = 0;
	list[17].address = 0x5000;
	assert_int_equal(run(f, c), NVME_DATA_TRANSFER_ERROR);
	d.length = 24;
	memcpy(c.sgl, &d, sizeof(d));
	assert_int_equal(run(f, c), NVME_INVALID_SGL_SEGMENT);
	d.length = 0;
	memcpy(c.sgl, &d, sizeof(d));
	assert_int_equal(run(f, c), NVME_INVALID_SGL_SEGMENT);
	/* A segment that leads to itself ends somewhere. */
	list[0] = d = (struct nvme_sgl){
		.address = RIG_IOVA + LISTS, .length = 16, .type = NVME_SGL_SEGMENT};
	memcpy(c.sgl, &d, sizeof(d));
	assert_int_equal(run(f, c), NVME_INVALID_SGL_COUNT);
	c.flags = 0xc0;
	assert_int_equal(run(f, c), NVME_INVALID_FIELD);
}

/* ---- errors ---- */

static void test_bad_prps(void **state)
{
	struct fixture *f = *state;
	unsigned page = 4096 >> f->shift;
	struct nvme_command c = rig_rw(NVME_READ, 0, page * 4, DATA, LISTS);
	uint64_t *list = (void *)(f->rig.arena + LISTS);

	for (unsigned i = 0; i < 3; i++)
		list[i] = RIG_IOVA + DATA + 0x1000 * (i + 1);
	assert_int_equal(run(f, c), 0);
	c.prp1 = RIG_IOVA + DATA + 1;
	assert_int_equal(run(f, c), NVME_PRP_OFFSET_INVALID);
	c.prp1 = RIG_IOVA + DATA;
	c.prp2 = RIG_IOVA + LISTS + 4;
	assert_int_equal(run(f, c), NVME_PRP_OFFSET_INVALID);
	c.prp2 = RIG_IOVA + LISTS;
	list[1] += 8;
	assert_int_equal(run(f, c), NVME_PRP_OFFSET_INVALID);
	list[1] = 0x3000;
	assert_int_equal(run(f, c), NVME_DATA_TRANSFER_ERROR);
	list[1] = 0xfffffffffffff000;
	assert_int_equal(run(f, c), NVME_DATA_TRANSFER_ERROR);
	c.prp2 = 0x3000; /* the list itself */
	assert_int_equal(run(f, c), NVME_DATA_TRANSFER_ERROR);
	c.prp2 = 0;
	assert_int_equal(run(f, c), NVME_DATA_TRANSFER_ERROR);
	/* A chain that leads nowhere. */
	c.prp2 = RIG_IOVA + LISTS + 0xff8;
	*(uint64_t *)(f->rig.arena + LISTS + 0xff8) = 0x3000;
	assert_int_equal(run(f, c), NVME_DATA_TRANSFER_ERROR);
	*(uint64_t *)(f->rig.arena + LISTS + 0xff8) = RIG_IOVA + LISTS + 8;
	assert_int_equal(run(f, c), NVME_PRP_OFFSET_INVALID);
	/* The second pointer is a page, not a list. */
	c = rig_rw(NVME_READ, 0, page * 2, DATA, 0x600004);
	assert_int_equal(run(f, c), NVME_PRP_OFFSET_INVALID);
	c.prp2 = 0x3000;
	assert_int_equal(run(f, c), NVME_DATA_TRANSFER_ERROR);
	assert_int_equal(rig_load(&f->rig, NVME_REG_CSTS), NVME_CSTS_RDY);
}

/* Memory that the device may only read can't take data. */
static void test_read_only_memory(void **state)
{
	struct fixture *f = *state;
	struct iova_range range = {.first = 0x40000000,
				   .last = 0x40000fff,
				   .address = (uintptr_t)f->rig.arena + DATA,
				   .flags = IOVA_READ};
	struct nvme_command c = rig_rw(NVME_WRITE, 0, 1, 0, 0);

	assert_int_equal(iova_map_insert(f->rig.map, &range), 0);
	c.prp1 = range.first;
	assert_int_equal(run(f, c), 0);
	c.opcode = NVME_READ;
	assert_int_equal(run(f, c), NVME_DATA_TRANSFER_ERROR);
}

/*
 * Mapped for the device, but the driver has unmapped it meanwhile.  It lay where nothing else
 * comes to lie: a hole among the other mappings would be the next that malloc() is given.
 */
static void test_vanished_memory(void **state)
{
	struct fixture *f = *state;
	void *gone = mmap((void *)0x20000000, 8192, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	struct iova_range range = {.first = 0x40000000,
				   .last = 0x40001fff,
				   .address = (uintptr_t)gone,
				   .flags = IOVA_READ | IOVA_WRITE};
	struct nvme_command c = rig_rw(NVME_READ, 0, 1, 0, 0);

	assert_ptr_not_equal(gone, MAP_FAILED);
	assert_int_equal(iova_map_insert(f->rig.map, &range), 0);
	c.prp1 = range.first;
	assert_int_equal(run(f, c), 0);
	munmap(gone, 8192);
	assert_int_equal(run(f, c), NVME_DATA_TRANSFER_ERROR);
	c.opcode = NVME_WRITE;
	assert_int_equal(run(f, c), NVME_DATA_TRANSFER_ERROR);
	c.opcode = NVME_COMPARE;
	assert_int_equal(run(f, c), NVME_DATA_TRANSFER_ERROR);
	assert_int_equal(rig_load(&f->rig, NVME_REG_CSTS), NVME_CSTS_RDY);
	assert_int_equal(iova_map_remove(f->rig.map, range.first), 0); /* nothing is pinned */
}

static void test_ranges_and_namespaces(void **state)
{
	struct fixture *f = *state;
	unsigned last = (BLOCKS * 512 >> f->shift) - 1;
	static const uint8_t opcodes[] = {NVME_READ, NVME_WRITE, NVME_COMPARE, NVME_WRITE_ZEROES};
	static const uint32_t nsids[] = {0, 2, 0xfffffffe, 0xffffffff};

	for (unsigned i = 0; i < 4; i++) {
		struct nvme_command c;

		assert_int_equal(run(f, rig_rw(NVME_WRITE, last, 1, DATA, 0)), 0);
		assert_int_equal(run(f, rig_rw(opcodes[i], last, 1, DATA, 0)), 0);
		assert_int_equal(run(f, rig_rw(opcodes[i], last + 1, 1, DATA, 0)),
				 NVME_LBA_OUT_OF_RANGE);
		assert_int_equal(run(f, rig_rw(opcodes[i], last, 2, DATA, 0x600000)),
				 NVME_LBA_OUT_OF_RANGE);
		assert_int_equal(run(f, rig_rw(opcodes[i], UINT64_MAX, 1, DATA, 0)),
				 NVME_LBA_OUT_OF_RANGE);
		assert_int_equal(run(f, rig_rw(opcodes[i], UINT64_MAX >> 9, 1, DATA, 0)),
				 NVME_LBA_OUT_OF_RANGE);
		for (unsigned n = 0; n < 4; n++) {
			c = rig_rw(opcodes[i], 0, 1, DATA, 0);
			c.nsid = nsids[n];
			assert_int_equal(run(f, c), NVME_INVALID_NAMESPACE);
		}
		c = rig_rw(opcodes[i], 0, 1, DATA, 0);
		c.flags = 1;
		assert_int_equal(run(f, c), NVME_INVALID_FIELD);
	}
	assert_int_equal(run(f, (struct nvme_command){.opcode = NVME_FLUSH, .nsid = 1}), 0);
	assert_int_equal(run(f, (struct nvme_command){.opcode = NVME_FLUSH, .nsid = 0xffffffff}),
			 0);
	assert_int_equal(run(f, (struct nvme_command){.opcode = NVME_FLUSH}),
			 NVME_INVALID_NAMESPACE);
	assert_int_equal(run(f, (struct nvme_command){.opcode = 0x0d, .nsid = 1}),
			 NVME_INVALID_OPCODE);
}

static void test_faults(void **state)
{
	struct fixture *f = *state;
	char error[256];

	assert_int_equal(fault_add("nvme.read:errno=EIO,nth=2", error, sizeof(error)), 0);
	assert_int_equal(fault_add("nvme.write:errno=ENOSPC,nth=1", error, sizeof(error)), 0);
	assert_int_equal(fault_add("nvme.flush:errno=EIO,nth=1", error, sizeof(error)), 0);
	assert_int_equal(fault_add("backend.zero:errno=EIO", error, sizeof(error)), 0);
	assert_int_equal(run(f, rig_rw(NVME_READ, 0, 1, DATA, 0)), 0);
	assert_int_equal(run(f, rig_rw(NVME_READ, 0, 1, DATA, 0)), NVME_UNRECOVERED_READ_ERROR);
	assert_int_equal(run(f, rig_rw(NVME_READ, 0, 1, DATA, 0)), 0);
	assert_int_equal(run(f, rig_rw(NVME_WRITE, 0, 1, DATA, 0)), NVME_CAPACITY_EXCEEDED);
	assert_int_equal(run(f, rig_rw(NVME_WRITE, 0, 1, DATA, 0)), 0);
	assert_int_equal(run(f, (struct nvme_command){.opcode = NVME_FLUSH, .nsid = 1}),
			 NVME_WRITE_FAULT);
	assert_int_equal(run(f, rig_rw(NVME_WRITE_ZEROES, 0, 1, DATA, 0)), NVME_WRITE_FAULT);
}

/* ---- other commands ---- */

static void test_compare(void **state)
{
	struct fixture *f = *state;
	unsigned blocks = (3 * 4096) >> f->shift;

	pattern(f->rig.arena + DATA + 4, 3 * 4096, 5);
	assert_int_equal(run(f, with_prps(f, NVME_WRITE, 9, blocks, DATA + 4, 0)), 0);
	assert_int_equal(run(f, with_prps(f, NVME_COMPARE, 9, blocks, DATA + 4, 0)), 0);
	f->rig.arena[DATA + 4 + 3 * 4096 - 1] ^= 1;
	assert_int_equal(run(f, with_prps(f, NVME_COMPARE, 9, blocks, DATA + 4, 0)),
			 NVME_COMPARE_FAILURE);
}

static void expect_blocks(struct fixture *f, uint64_t lba, unsigned blocks, int byte)
{
	size_t size = (size_t)blocks << f->shift;

	memset(f->rig.arena + 0x600000, 0xcc, size);
	assert_int_equal(run(f, with_prps(f, NVME_READ, lba, blocks, 0x600000, 0)), 0);
	for (size_t i = 0; i < size; i++)
		if (f->rig.arena[0x600000 + i] != byte)
			fail_msg("byte %zu after block %llu is %#x", i, (unsigned long long)lba,
				 f->rig.arena[0x600000 + i]);
}

static void fill(struct fixture *f, uint64_t lba, unsigned blocks, int byte)
{
	memset(f->rig.arena + DATA, byte, (size_t)blocks << f->shift);
	assert_int_equal(run(f, with_prps(f, NVME_WRITE, lba, blocks, DATA, 0)), 0);
}

static void test_write_zeroes(void **state)
{
	struct fixture *f = *state;
	struct nvme_command c;

	fill(f, 0, 64, 0x77);
	assert_int_equal(run(f, rig_rw(NVME_WRITE_ZEROES, 1, 13, 0, 0)), 0);
	expect_blocks(f, 0, 1, 0x77);
	expect_blocks(f, 1, 13, 0);
	expect_blocks(f, 14, 50, 0x77);
	c = rig_rw(NVME_WRITE_ZEROES, 20, 20, 0, 0);
	c.cdw12 |= NVME_CDW12_DEAC | NVME_CDW12_FUA;
	assert_int_equal(run(f, c), 0);
	expect_blocks(f, 14, 6, 0x77);
	expect_blocks(f, 20, 20, 0);
	expect_blocks(f, 40, 24, 0x77);
	/* More than a transfer may have: there is no data. */
	assert_int_equal(run(f, rig_rw(NVME_WRITE_ZEROES, 0, (1u << 20) / 512, 0, 0)), 0);
	expect_blocks(f, 0, 64, 0);
}

static void test_deallocate(void **state)
{
	struct fixture *f = *state;
	struct nvme_dsm_range *ranges = (void *)(f->rig.arena + 0x700ff8); /* over a page's end */
	struct nvme_command c = {.opcode = NVME_DATASET_MANAGEMENT,
				 .nsid = 1,
				 .prp1 = RIG_IOVA + 0x700ff8,
				 .prp2 = RIG_IOVA + 0x701000,
				 .cdw10 = 2,
				 .cdw11 = NVME_DSM_DEALLOCATE};
	struct stat before, after;

	fill(f, 0, 100, 0x55);
	ranges[0] = (struct nvme_dsm_range){.lba = 3, .blocks = 2};
	ranges[1] = (struct nvme_dsm_range){.lba = 50, .blocks = 0};
	ranges[2] = (struct nvme_dsm_range){.lba = 16, .blocks = 64};
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(run(f, c), 0);
	assert_int_equal(stat(path, &after), 0);
	if (on_file())
		assert_true(after.st_blocks < before.st_blocks);
	expect_blocks(f, 0, 3, 0x55);
	expect_blocks(f, 3, 2, 0);
	expect_blocks(f, 5, 11, 0x55);
	expect_blocks(f, 16, 64, 0);
	expect_blocks(f, 80, 20, 0x55);

	/* One bad range: none is deallocated. */
	ranges[0] = (struct nvme_dsm_range){.lba = 0, .blocks = 1};
	ranges[2] = (struct nvme_dsm_range){.lba = BLOCKS, .blocks = 1};
	assert_int_equal(run(f, c), NVME_LBA_OUT_OF_RANGE);
	expect_blocks(f, 0, 3, 0x55);
	/* Only hints. */
	c.cdw11 = 3;
	assert_int_equal(run(f, c), 0);
	c.cdw11 = NVME_DSM_DEALLOCATE;
	c.prp1 = 0x1000;
	assert_int_equal(run(f, c), NVME_DATA_TRANSFER_ERROR);
}

static void test_durable(void **state)
{
	struct fixture *f = *state;
	struct nvme_command c = rig_rw(NVME_WRITE, 0, 1, DATA, 0);
	uint8_t block[4096];
	int fd;

	memset(f->rig.arena + DATA, 0x42, drive->block_size);
	c.cdw12 |= NVME_CDW12_FUA;
	assert_int_equal(run(f, c), 0);
	/* Without a write cache every write is. */
	assert_int_equal(rig_run(&f->rig, &f->rig.admin,
				 (struct nvme_command){.opcode = NVME_ADMIN_SET_FEATURES,
						       .cdw10 = NVME_FEATURE_WRITE_CACHE}),
			 0);
	c = rig_rw(NVME_WRITE, 1, 1, DATA, 0);
	assert_int_equal(run(f, c), 0);
	expect_blocks(f, 0, 2, 0x42);
	if (!on_file())
		return;
	fd = open(path, O_RDONLY);
	assert_int_equal(pread(fd, block, drive->block_size, drive->block_size), drive->block_size);
	assert_int_equal(block[0], 0x42);
	assert_int_equal(block[drive->block_size - 1], 0x42);
	close(fd);
}

/* The file is cut short behind our back: what is beyond its end reads as zeros. */
static void test_truncated_file(void **state)
{
	struct fixture *f = *state;
	unsigned blocks = 8;

	if (!on_file())
		skip();
	fill(f, 0, 64, 0x66);
	assert_int_equal(truncate(path, (off_t)4 << f->shift), 0);
	memset(f->rig.arena + 0x600000, 0xcc, 64 << f->shift);
	assert_int_equal(run(f, with_prps(f, NVME_READ, 0, blocks, 0x600000, 0)), 0);
	assert_int_equal(f->rig.arena[0x600000 + (4 << f->shift) - 1], 0x66);
	for (unsigned i = 4u << f->shift; i < blocks << f->shift; i++)
		assert_int_equal(f->rig.arena[0x600000 + i], 0);
	assert_int_equal(f->rig.arena[0x600000 + (blocks << f->shift)], 0xcc);
}

static void test_read_only_drive(void **state)
{
	struct rig r;
	struct rig_queue *q;
	char spec[200];

	snprintf(spec, sizeof(spec), "nvme%s%s,readonly=on", on_file() ? ",file=" : "",
		 on_file() ? path : "");
	assert_int_equal(chmod(path, 0400), 0);
	rig_open(&r, spec);
	rig_enable(&r);
	q = rig_create_pair(&r, 1, QUEUES, 8);
	assert_int_equal(rig_run(&r, q, rig_rw(NVME_READ, 0, 1, DATA, 0)), 0);
	assert_int_equal(rig_run(&r, q, rig_rw(NVME_WRITE, 0, 1, DATA, 0)), NVME_WRITE_PROTECTED);
	assert_int_equal(rig_run(&r, q, rig_rw(NVME_WRITE_ZEROES, 0, 1, DATA, 0)),
			 NVME_WRITE_PROTECTED);
	assert_int_equal(rig_run(&r, q, (struct nvme_command){.opcode = NVME_FLUSH, .nsid = 1}), 0);
	assert_int_equal(rig_run(&r, &r.admin,
				 (struct nvme_command){.opcode = NVME_ADMIN_IDENTIFY,
						       .nsid = 1,
						       .prp1 = RIG_IOVA + DATA}),
			 0);
	assert_int_equal(((struct nvme_identify_namespace *)(r.arena + DATA))->nsattr, 1);
	rig_close(&r);
}

/* Where io_uring is not permitted, and where no thread can be made at all. */
static void test_without_engines(void **state)
{
	static const char *const keys[] = {"", ",aio=uring", ",aio=threads", ",direct=on"};
	char spec[200], error[256];

	if (!on_file())
		skip();
	assert_int_equal(fault_add("backend.uring:errno=EPERM", error, sizeof(error)), 0);
	for (unsigned i = 0; i < 8; i++) {
		struct rig r;
		struct rig_queue *q;

		if (i == 4)
			assert_int_equal(
				fault_add("backend.threads:errno=EAGAIN", error, sizeof(error)), 0);
		snprintf(spec, sizeof(spec), "nvme,file=%s%s", path, keys[i % 4]);
		rig_open(&r, spec);
		rig_enable(&r);
		q = rig_create_pair(&r, 1, QUEUES, 8);
		memset(r.arena + DATA, (int)i + 1, 512);
		assert_int_equal(rig_run(&r, q, rig_rw(NVME_WRITE, 5, 1, DATA, 0)), 0);
		assert_int_equal(
			rig_run(&r, q, (struct nvme_command){.opcode = NVME_FLUSH, .nsid = 1}), 0);
		assert_int_equal(rig_run(&r, q, rig_rw(NVME_READ, 5, 1, 0x600000, 0)), 0);
		assert_memory_equal(r.arena + DATA, r.arena + 0x600000, 512);
		rig_close(&r);
	}
}

/* ---- queues under load ---- */

static void test_wrap_around(void **state)
{
	struct fixture *f = *state;
	struct rig_queue *q = rig_create_pair(&f->rig, 2, 0x20000, 2);

	for (unsigned i = 0; i < 300; i++) {
		*(uint32_t *)(f->rig.arena + DATA) = i;
		assert_int_equal(rig_run(&f->rig, q, rig_rw(NVME_WRITE, i % 50, 1, DATA, 0)), 0);
		assert_int_equal(rig_run(&f->rig, q, rig_rw(NVME_READ, i % 50, 1, 0x600000, 0)), 0);
		assert_int_equal(*(uint32_t *)(f->rig.arena + 0x600000), i);
	}
}

static void test_deep_queue(void **state)
{
	struct fixture *f = *state;
	bool seen[64] = {false};
	uint16_t first;

	for (unsigned round = 0; round < 20; round++) {
		memset(seen, 0, sizeof(seen));
		first = (uint16_t)(f->rig.cid + 1);
		for (unsigned i = 0; i < 63; i++) {
			pattern(f->rig.arena + DATA + i * 4096, 512, round * 100 + i);
			rig_queue(&f->rig, f->q, rig_rw(NVME_WRITE, i, 1, DATA + i * 4096, 0));
		}
		rig_ring(&f->rig, f->q);
		for (unsigned i = 0; i < 63; i++) {
			struct nvme_completion e = rig_reap(&f->rig, f->q);

			assert_int_equal(rig_status(e), 0);
			assert_true((uint16_t)(e.cid - first) < 63);
			assert_false(seen[(uint16_t)(e.cid - first)]);
			seen[(uint16_t)(e.cid - first)] = true;
		}
		for (unsigned i = 0; i < 63; i++)
			rig_queue(&f->rig, f->q, rig_rw(NVME_READ, i, 1, 0x600000 + i * 4096, 0));
		rig_ring(&f->rig, f->q);
		for (unsigned i = 0; i < 63; i++)
			assert_int_equal(rig_status(rig_reap(&f->rig, f->q)), 0);
		for (unsigned i = 0; i < 63; i++)
			assert_memory_equal(f->rig.arena + DATA + i * 4096,
					    f->rig.arena + 0x600000 + i * 4096, 512);
	}
}

/* More completions than their queue holds: they wait until the driver makes room. */
static void test_full_completion_queue(void **state)
{
	struct fixture *f = *state;
	struct rig *r = &f->rig;
	struct rig_queue *small = &r->io[3];
	struct nvme_completion e;

	/* A submission queue of 32 on a completion queue of 4. */
	*small = (struct rig_queue){
		.id = 3, .entries = 4, .sq = 0x30000, .cq = 0x31000, .phase = true};
	assert_int_equal(rig_run(r, &r->admin,
				 (struct nvme_command){.opcode = NVME_ADMIN_CREATE_CQ,
						       .prp1 = RIG_IOVA + 0x31000,
						       .cdw10 = 3u << 16 | 3,
						       .cdw11 = 1}),
			 0);
	assert_int_equal(rig_run(r, &r->admin,
				 (struct nvme_command){.opcode = NVME_ADMIN_CREATE_SQ,
						       .prp1 = RIG_IOVA + 0x30000,
						       .cdw10 = 31u << 16 | 3,
						       .cdw11 = 3u << 16 | 1}),
			 0);
	small->entries = 32;
	for (unsigned i = 0; i < 20; i++)
		rig_queue(r, small, rig_rw(NVME_READ, i, 1, DATA, 0));
	rig_ring(r, small);
	small->entries = 4;
	for (unsigned i = 0; i < 20; i++) {
		e = rig_reap(r, small);
		assert_int_equal(rig_status(e), 0);
	}
	assert_false(rig_poll(r, small, &e));

	/* The queue is deleted while completions wait. */
	small->entries = 32;
	for (unsigned i = 0; i < 20; i++)
		rig_queue(r, small, rig_rw(NVME_READ, i, 1, DATA, 0));
	rig_ring(r, small);
	assert_int_equal(rig_run(r, &r->admin,
				 (struct nvme_command){.opcode = NVME_ADMIN_DELETE_SQ, .cdw10 = 3}),
			 0);
	assert_int_equal(rig_run(r, &r->admin,
				 (struct nvme_command){.opcode = NVME_ADMIN_DELETE_CQ, .cdw10 = 3}),
			 0);
}

/* An I/O queue outside of what is mapped stops the controller. */
static void test_unmapped_queue(void **state)
{
	struct fixture *f = *state;
	struct rig *r = &f->rig;

	assert_int_equal(rig_run(r, &r->admin,
				 (struct nvme_command){.opcode = NVME_ADMIN_CREATE_SQ,
						       .prp1 = 0x7000,
						       .cdw10 = 7u << 16 | 4,
						       .cdw11 = 1u << 16 | 1}),
			 0);
	rig_store(r, NVME_REG_DOORBELLS + 8 * 4, 1);
	rig_wait(r, NVME_REG_CSTS, NVME_CSTS_CFS, NVME_CSTS_CFS);
	rig_disable(r);
	rig_enable(r);
	f->q = rig_create_pair(r, 1, QUEUES, 64);
	assert_int_equal(run(f, rig_rw(NVME_READ, 0, 1, DATA, 0)), 0);
}

static void flood(struct fixture *f)
{
	for (unsigned i = 0; i < 63; i++)
		rig_queue(&f->rig, f->q,
			  i % 3 ? rig_rw(NVME_WRITE, i, 1, DATA, 0)
				: (struct nvme_command){.opcode = NVME_FLUSH, .nsid = 1});
	rig_ring(&f->rig, f->q);
}

static void test_reset_in_flight(void **state)
{
	struct fixture *f = *state;
	struct rig *r = &f->rig;

	for (unsigned i = 0; i < 6; i++) {
		flood(f);
		if (i % 2) {
			device_reset(r->dev);
			assert_int_equal(rig_load(r, NVME_REG_CSTS), 0);
		} else {
			rig_disable(r);
		}
		/* Nothing is written any more. */
		memset(r->arena + f->q->cq, 0, 4096);
		usleep(1000);
		for (unsigned at = 0; at < 4096; at++)
			assert_int_equal(r->arena[f->q->cq + at], 0);
		assert_int_equal(r->dev->dma_pins, 0);
		rig_enable(r);
		f->q = rig_create_pair(r, 1, QUEUES, 64);
		assert_int_equal(run(f, rig_rw(NVME_READ, 0, 1, DATA, 0)), 0);
	}
}

static void test_delete_in_flight(void **state)
{
	struct fixture *f = *state;
	struct rig *r = &f->rig;
	struct nvme_completion e;

	for (unsigned i = 0; i < 4; i++) {
		flood(f);
		assert_int_equal(
			rig_run(r, &r->admin,
				(struct nvme_command){.opcode = NVME_ADMIN_DELETE_SQ, .cdw10 = 1}),
			0);
		while (rig_poll(r, f->q, &e))
			;
		assert_int_equal(
			rig_run(r, &r->admin,
				(struct nvme_command){.opcode = NVME_ADMIN_DELETE_CQ, .cdw10 = 1}),
			0);
		f->q = rig_create_pair(r, 1, QUEUES, 64);
	}
}

/* ---- the poller ---- */

struct poller {
	struct standin_device *dev;
	_Atomic bool stop;
};

static void *poll_doorbells(void *arg)
{
	struct poller *p = arg;

	while (!atomic_load(&p->stop))
		p->dev->model->doorbells(p->dev);
	return NULL;
}

/* As rig_ring() and rig_poll(), with doorbells as plain memory. */
static void test_polled(void **state)
{
	struct fixture *f = *state;
	struct rig *r = &f->rig;
	struct poller poller = {.dev = r->dev};
	_Atomic uint32_t *doorbells =
		(void *)((uint8_t *)standin_bar_memory(r->dev, 0) + NVME_REG_DOORBELLS);
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, poll_doorbells, &poller), 0);
	for (unsigned i = 0; i < 3000; i++) {
		struct nvme_completion e;
		unsigned depth = i % 7 + 1;

		for (unsigned j = 0; j < depth; j++)
			rig_queue(r, f->q, rig_rw(NVME_READ, i % 50 + j, 1, DATA + j * 4096, 0));
		/* Now and then it traps, at the same time as it is polled. */
		if (i % 10 == 0)
			rig_ring(r, f->q);
		else
			atomic_store(&doorbells[2], f->q->tail);
		for (unsigned j = 0; j < depth; j++) {
			e = rig_reap(r, f->q);
			assert_int_equal(rig_status(e), 0);
		}
	}
	atomic_store(&poller.stop, true);
	pthread_join(thread, NULL);
}

/* Two threads with a queue each, and a third that uses admin commands. */
struct client {
	struct rig rig; /* a copy, for its own command identifiers */
	struct rig_queue *q;
	unsigned id, failures;
};

static void *client_main(void *arg)
{
	struct client *c = arg;
	struct rig *rig = &c->rig;

	for (unsigned i = 0; i < 500; i++) {
		uint64_t at = DATA + c->id * 0x100000;
		struct nvme_completion e;

		*(uint32_t *)(rig->arena + at) = i * 3 + c->id;
		rig_queue(rig, c->q, rig_rw(NVME_WRITE, c->id * 100, 1, at, 0));
		rig_queue(rig, c->q, (struct nvme_command){.opcode = NVME_FLUSH, .nsid = 1});
		rig_ring(rig, c->q);
		for (unsigned n = 0; n < 2;)
			if (rig_poll(rig, c->q, &e)) {
				c->failures += rig_status(e) != 0;
				n++;
			}
		rig_queue(rig, c->q, rig_rw(NVME_READ, c->id * 100, 1, at + 0x8000, 0));
		rig_ring(rig, c->q);
		while (!rig_poll(rig, c->q, &e))
			;
		c->failures += rig_status(e) != 0 ||
			       *(uint32_t *)(rig->arena + at + 0x8000) != i * 3 + c->id;
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct fixture *f = *state;
	struct rig *r = &f->rig;
	struct client clients[2];
	pthread_t threads[2];

	for (unsigned i = 0; i < 2; i++) {
		rig_create_pair(r, i + 2, 0x20000 + i * 0x4000, 16);
		clients[i] = (struct client){.rig = *r, .id = i + 2};
		clients[i].q = &clients[i].rig.io[i + 2];
	}
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, client_main, &clients[i]), 0);
	for (unsigned i = 0; i < 200; i++) {
		struct rig_queue *q = rig_create_pair(r, 5, 0x40000, 16);

		assert_int_equal(rig_run(r, q, rig_rw(NVME_READ, 0, 1, DATA, 0)), 0);
		assert_int_equal(
			rig_run(r, &r->admin,
				(struct nvme_command){.opcode = NVME_ADMIN_DELETE_SQ, .cdw10 = 5}),
			0);
		assert_int_equal(
			rig_run(r, &r->admin,
				(struct nvme_command){.opcode = NVME_ADMIN_DELETE_CQ, .cdw10 = 5}),
			0);
	}
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(clients[i].failures, 0);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_write_and_read),
		TEST(test_scattered_pages),
		TEST(test_largest_transfer),
		TEST(test_sgl),
		TEST(test_bad_prps),
		TEST(test_read_only_memory),
		TEST(test_vanished_memory),
		TEST(test_ranges_and_namespaces),
		TEST(test_faults),
		TEST(test_compare),
		TEST(test_write_zeroes),
		TEST(test_deallocate),
		TEST(test_durable),
		TEST(test_truncated_file),
		TEST(test_read_only_drive),
		TEST(test_without_engines),
		TEST(test_wrap_around),
		TEST(test_deep_queue),
		TEST(test_full_completion_queue),
		TEST(test_unmapped_queue),
		TEST(test_reset_in_flight),
		TEST(test_delete_in_flight),
		TEST(test_polled),
		TEST(test_threads),
	};
	int failed = 0;

	for (unsigned i = 0; i < sizeof(drives) / sizeof(drives[0]); i++) {
		drive = &drives[i];
		failed += cmocka_run_group_tests_name(drive->name, tests, NULL, NULL);
	}
	return failed;
}
