/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver of the NVMe controller that does what the input says: register writes, commands,
 * doorbells, data structures in memory.  Whatever it does, the controller must neither
 * crash nor hang, and afterwards a reset must bring it back to work.
 *
 * The memory that the device can reach is small and begins at address 0, so that many
 * addresses out of the input are valid ones.
 */
#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "core/config.h"
#include "core/device.h"
#include "core/iova.h"
#include "core/log.h"
#include "core/user.h"
#include "devices/nvme_spec.h"
#include "fuzz.h"

#define MEMORY   (64u << 10)
#define ADMIN_SQ 0x0000u
#define ADMIN_CQ 0x1000u
#define ENTRIES  16u

static struct standin_device *dev;
static struct iova_map *map;
static uint8_t *memory;

static size_t copy(void *to, const void *from, size_t size)
{
	memcpy(to, from, size);
	return 0;
}

static void setup(void)
{
	static struct config config;
	struct iova_range range = {.first = 0, .last = MEMORY - 1, .flags = IOVA_READ | IOVA_WRITE};
	char error[CONFIG_ERROR_MAX];

	log_level = LOG_ERROR;
	user_set_guarded_copy(copy); /* all of its memory stays where it is */
	config_init(&config);
	CHECK(config_device(&config, "nvme,size=1M,queues=4,mdts=3", error) == 0);
	CHECK(config_complete(&config, error) == 0);
	CHECK(device_create(&config.devices[0], 0, &dev) == 0);
	CHECK(device_realize(dev) == 0);
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED);
	CHECK(iova_map_create(&map) == 0);
	range.address = (uintptr_t)memory;
	CHECK(iova_map_insert(map, &range) == 0);
	device_attach(dev, map);
	device_set_command(dev, 6);
}

static void store(uint64_t offset, uint32_t value)
{
	device_bar_write(dev, 0, offset, 4, value);
}

static void enable(uint32_t cc)
{
	store(NVME_REG_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	device_bar_write(dev, 0, NVME_REG_ASQ, 8, ADMIN_SQ);
	device_bar_write(dev, 0, NVME_REG_ACQ, 8, ADMIN_CQ);
	store(NVME_REG_CC, cc | NVME_CC_EN);
}

/* Queue pair 1 and 2 at the places that the first input bytes of most commands hit. */
static unsigned tails[5];

static void submit(unsigned queue, const struct nvme_command *c, bool ring)
{
	uint32_t sq = queue ? 0x2000 * queue : ADMIN_SQ;

	memcpy(memory + sq + tails[queue] * 64, c, sizeof(*c));
	tails[queue] = (tails[queue] + 1) % ENTRIES;
	if (ring)
		store(NVME_REG_DOORBELLS + 8 * queue, tails[queue]);
}

static void create_pair(unsigned queue)
{
	uint32_t place = 0x2000 * queue;
	struct nvme_command c = {.opcode = NVME_ADMIN_CREATE_CQ,
				 .prp1 = place + 0x1000,
				 .cdw10 = (ENTRIES - 1) << 16 | queue,
				 .cdw11 = queue << 16 | 3};

	submit(0, &c, true);
	c.opcode = NVME_ADMIN_CREATE_SQ;
	c.prp1 = place;
	c.cdw11 = queue << 16 | 1;
	submit(0, &c, true);
	tails[queue] = 0;
}

/* A command whose fields are small numbers most of the time. */
static void take_command(struct input *in, struct nvme_command *c)
{
	uint8_t shape = take8(in);

	memset(c, 0, sizeof(*c));
	c->opcode = take8(in) & (shape & 1 ? 0xff : 0x0f);
	c->flags = shape & 2 ? take8(in) : 0;
	c->cid = take8(in);
	c->nsid = shape & 4 ? take32(in) : 1;
	c->prp1 = shape & 8 ? take64(in) : take16(in);
	c->prp2 = shape & 16 ? take64(in) : take16(in) & 0xff00u;
	c->cdw10 = shape & 32 ? take32(in) : take16(in);
	c->cdw11 = shape & 64 ? take32(in) : 0;
	c->cdw12 = shape & 128 ? take32(in) : take8(in);
	if (shape == 0xff)
		take(in, &c->cdw13, 12);
}

static void step(struct input *in)
{
	uint8_t what = take8(in);
	struct nvme_command c;
	unsigned queue, size;
	uint16_t at;
	uint8_t bytes[64];

	switch (what % 12) {
	case 0:
		device_bar_write(dev, 0, take8(in) & ~3u, 4, take32(in));
		break;
	case 1:
		size = 1u << (take8(in) & 3);
		at = take16(in) & 0x1fff & ~(size - 1);
		device_bar_write(dev, 0, at, size, take64(in));
		break;
	case 2:
	case 3:
	case 4:
		take_command(in, &c);
		submit(0, &c, true);
		break;
	case 5:
	case 6:
	case 7:
		queue = 1 + (what >> 4) % 2;
		take_command(in, &c);
		submit(queue, &c, what & 0x80);
		break;
	case 8:
		store(NVME_REG_DOORBELLS + 4 * (take8(in) % 12), take8(in) & 0x1f);
		break;
	case 9:
		size = take8(in) % sizeof(bytes);
		at = take16(in);
		take(in, bytes, size);
		memcpy(memory + at % (MEMORY - sizeof(bytes)), bytes, size);
		break;
	case 10: /* doorbells as plain memory */
		((uint32_t *)standin_bar_memory(dev, 0))[0x400 + take8(in) % 12] = take8(in) & 0x1f;
		dev->model->doorbells(dev);
		break;
	case 11:
		if (what & 0x80)
			device_reset(dev);
		else
			store(NVME_REG_CC, 0);
		memset(tails, 0, sizeof(tails));
		enable(what & 0x40 ? take32(in) : 0x460000);
		create_pair(1 + (what >> 4) % 2);
		break;
	}
}

/* It still works: an Identify command by the book. */
static void check_alive(void)
{
	struct nvme_command c = {
		.opcode = NVME_ADMIN_IDENTIFY, .prp1 = 0x3000, .cdw10 = NVME_CNS_CONTROLLER};

	device_reset(dev);
	CHECK((uint32_t)device_bar_read(dev, 0, NVME_REG_CSTS, 4) == 0);
	CHECK(dev->dma_pins == 0);
	memset(memory, 0, 0x4000);
	memset(tails, 0, sizeof(tails));
	enable(0x460000);
	CHECK((uint32_t)device_bar_read(dev, 0, NVME_REG_CSTS, 4) == NVME_CSTS_RDY);
	submit(0, &c, true);
	CHECK(((struct nvme_completion *)(memory + ADMIN_CQ))->status == 1);
	CHECK(memory[0x3000] == 0x36);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	if (!dev)
		setup();
	device_reset(dev);
	memset(memory, 0, MEMORY);
	memset(tails, 0, sizeof(tails));
	enable(0x460000);
	create_pair(1);
	create_pair(2);
	while (in.left)
		step(&in);
	check_alive();
	return 0;
}
