/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything a client can do to a VFIO device through its descriptors: writes and reads of
 * configuration space and BARs, and every ioctl with arbitrary arguments.
 *
 * The input is a program of steps.  A device under test has its interrupts, mappings and
 * configuration space taken back after each input, by closing and opening it again, so
 * that an input does the same wherever it comes in the run.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <standin/standin.h>

#include "core/config.h"
#include "core/instance.h"
#include "fuzz.h"
#include "uapi/vfio.h"

#define MEMORY_SIZE (64 * 4096)
#define ARGUMENT    256 /* bytes of ioctl argument an input can give */

static char *memory;
static int container, groups[2], device, event;

static uint64_t take_number(struct input *in, unsigned bytes)
{
	uint64_t value = 0;

	take(in, &value, bytes);
	return value;
}

static void start(void)
{
	if (standin_start("device nvme,addr=01:00.0\ndevice edu,addr=02:00.0\n"
			  "set vfio.dma_entry_limit=64\nlog error\n")) {
		fprintf(stderr, "%s\n", standin_error());
		abort();
	}
	memory =
		mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	event = eventfd(0, EFD_NONBLOCK);
	container = standin_open("/dev/vfio/vfio", O_RDWR);
	groups[0] = standin_open("/dev/vfio/0", O_RDWR);
	groups[1] = standin_open("/dev/vfio/1", O_RDWR);
}

static void open_device(unsigned which)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory,
		.size = MEMORY_SIZE,
	};

	if (standin_ioctl(groups[which], VFIO_GROUP_SET_CONTAINER, &container) ||
	    standin_ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) ||
	    standin_ioctl(container, VFIO_IOMMU_MAP_DMA, &map))
		abort();
	device = standin_ioctl(groups[which], VFIO_GROUP_GET_DEVICE_FD,
			       which ? "0000:02:00.0" : "0000:01:00.0");
	if (device < 0)
		abort();
}

static void close_device(unsigned which)
{
	standin_close(device);
	/* An input may have taken the group out of the container, but not while it was open. */
	if (standin_ioctl(groups[which], VFIO_GROUP_UNSET_CONTAINER))
		abort();
}

/* Offsets near what exists, most of the time. */
static off_t offset_from(struct input *in)
{
	uint64_t region = take_number(in, 1) % 10, at = take_number(in, 4);

	if (region == VFIO_PCI_CONFIG_REGION_INDEX)
		at %= 4200;
	else if (at % 16)
		at %= 0x5000;
	return (off_t)(region << 40 | at);
}

static void access_region(struct input *in, bool store)
{
	char bytes[64];
	size_t size = take_number(in, 1) % (sizeof(bytes) + 1);
	off_t offset = offset_from(in);

	memset(bytes, 0, sizeof(bytes));
	if (store) {
		take(in, bytes, size);
		standin_pwrite(device, bytes, size, offset);
	} else {
		standin_pread(device, bytes, size, offset);
	}
}

/*
 * Numbers that look like descriptors are the eventfd or one of ours, since a client's
 * standard input is no good target.
 */
static void fix_descriptors(unsigned number, uint32_t *words)
{
	unsigned i;

	if (number == 10) /* VFIO_DEVICE_SET_IRQS */
		for (i = 5; i < ARGUMENT / 4; i++)
			words[i] = words[i] % 4 ? (uint32_t)event : words[i] % 8 ? ~0u : 4711;
	if (number == 16) /* VFIO_DEVICE_IOEVENTFD */
		words[6] = words[6] % 4 ? (uint32_t)event : ~0u;
}

static void call(struct input *in)
{
	static const unsigned container_calls[] = {0, 1, 2, 12, 13, 14, 15, 17, 21};
	static const unsigned device_calls[] = {7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19};
	uint32_t words[ARGUMENT / 4] = {0};
	unsigned which = (unsigned)take_number(in, 1), number;
	size_t size = take_number(in, 1) % ARGUMENT;

	take(in, words, size);
	/* Sizes that are plausible reach further than random ones. */
	if (which & 1)
		words[0] = ARGUMENT;
	if (which & 2) {
		number = container_calls[(which >> 3) % 9];
		if (number == 13 && (which & 4)) {
			uint64_t vaddr = (uintptr_t)memory + words[2] % 64 * 4096;

			memcpy(&words[2], &vaddr, sizeof(vaddr));
		}
		if (number == 14 || number == 17) /* bitmaps go to no address that means anything */
			memset(&words[8], 0, sizeof(words) - 32);
		standin_ioctl(container, (unsigned long)(';' << 8 | (100 + number)),
			      number < 3 ? (unsigned long)words[0] : (unsigned long)words);
	} else {
		number = device_calls[(which >> 3) % 13];
		fix_descriptors(number, words);
		standin_ioctl(device, (unsigned long)(';' << 8 | (100 + number)), words);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	unsigned which;

	if (!memory)
		start();
	which = take_number(&in, 1) & 1;
	open_device(which);
	while (in.left) {
		switch (take_number(&in, 1) % 4) {
		case 0:
			access_region(&in, false);
			break;
		case 1:
		case 2:
			access_region(&in, true);
			break;
		default:
			call(&in);
			break;
		}
	}
	close_device(which);
	return 0;
}
