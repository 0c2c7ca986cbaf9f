/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device described in mmio_model.h, and what a test needs around it.
 */
#include "mmio_model.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/config.h"
#include "core/file.h"
#include "core/hostfd.h"
#include "core/user.h"
#include "inject/segv.h"
#include "inject/signals.h"
#include "memory/mmio.h"

static const struct standin_span bar2_spans[] = {
	{BAR2_SHADOW * MODEL_PAGE, MODEL_PAGE, STANDIN_PAGE_SHADOW},
	{BAR2_DOORBELL * MODEL_PAGE, MODEL_PAGE, STANDIN_PAGE_DOORBELL},
	{BAR2_RAM * MODEL_PAGE, MODEL_PAGE, STANDIN_PAGE_RAM},
	{BAR2_TRAP * MODEL_PAGE, MODEL_PAGE, STANDIN_PAGE_TRAP},
};

static int realize(struct standin_device *dev, struct standin_pci *pci)
{
	struct model_state *s = standin_device_state(dev);

	pthread_mutex_init(&s->lock, NULL);
	pci->bar[0].size = MODEL_BAR0_SIZE;
	pci->bar[2].size = BAR2_PAGES * MODEL_PAGE;
	pci->bar[2].spans = bar2_spans;
	pci->bar[2].n_spans = sizeof(bar2_spans) / sizeof(bar2_spans[0]);
	return 0;
}

static uint8_t *place(struct model_state *s, unsigned bar, uint64_t offset)
{
	return bar == 0 ? s->memory + offset : s->trap + offset % MODEL_PAGE;
}

static __attribute__((noinline)) int be_greedy(void)
{
	volatile uint8_t room[40 << 10];

	for (size_t i = 0; i < sizeof(room); i += 512)
		room[i] = 1;
	return copy_guarded((void *)(uintptr_t)room, (void *)4096, 64);
}

static uint64_t bar_read(struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size)
{
	struct model_state *s = standin_device_state(dev);
	uint64_t value = 0;

	if (offset % size || size > 8)
		abort();
	if (s->greedy)
		s->greedy_result = be_greedy();
	pthread_mutex_lock(&s->lock);
	memcpy(&value, place(s, bar, offset), size);
	s->last_read = (struct model_access){bar, size, offset, value};
	pthread_mutex_unlock(&s->lock);
	atomic_fetch_add(&s->reads, 1);
	return value;
}

static bool look(struct standin_device *dev, bool trap)
{
	struct model_state *s = standin_device_state(dev);
	_Atomic uint32_t *doorbell =
		(_Atomic uint32_t *)((uint8_t *)standin_bar_memory(dev, 2) + MODEL_PAGE);
	bool any = false;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < 16; i++) {
		uint32_t value = atomic_load(&doorbell[i]);

		if (value == s->seen[i])
			continue;
		__atomic_store_n(&s->seen[i], value, __ATOMIC_RELEASE);
		atomic_fetch_add(&s->rings, 1);
		any = true;
	}
	pthread_mutex_unlock(&s->lock);
	if (any && trap)
		atomic_fetch_add(&s->trapped, 1);
	return any;
}

static void bar_write(struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size,
		      uint64_t value)
{
	struct model_state *s = standin_device_state(dev);

	if (offset % size || size > 8)
		abort();
	if (bar == 2 && offset / MODEL_PAGE == BAR2_DOORBELL) {
		look(dev, true);
		standin_doorbells_poll(dev);
	}
	pthread_mutex_lock(&s->lock);
	if (bar == 2 && offset / MODEL_PAGE == BAR2_SHADOW)
		memcpy((uint8_t *)standin_bar_memory(dev, 2) + offset, &value, size);
	else if (bar != 2 || offset / MODEL_PAGE != BAR2_DOORBELL)
		memcpy(place(s, bar, offset), &value, size);
	s->last_write = (struct model_access){bar, size, offset, value};
	pthread_mutex_unlock(&s->lock);
	atomic_fetch_add(&s->writes, 1);
}

static bool doorbells(struct standin_device *dev)
{
	return look(dev, false);
}

static const struct standin_model model = {
	.struct_size = sizeof(model),
	.api_version = STANDIN_MODEL_API,
	.name = "test-mmio",
	.longname = "registers for tests",
	.state_size = sizeof(struct model_state),
	.realize = realize,
	.bar_read = bar_read,
	.bar_write = bar_write,
	.doorbells = doorbells,
};
STANDIN_MODEL(model)

static struct standin_device *device;

/* cmocka installs handlers of its own before each test; ours have to come back. */
static void retake_signals(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGSYS};
	static struct sigaction ours[3];
	static bool known;

	for (unsigned i = 0; i < 3; i++)
		sigaction(signals[i], known ? &ours[i] : NULL, known ? NULL : &ours[i]);
	known = true;
}

struct standin_device *model_device(void)
{
	static struct device_config config = {.model = (char *)"test-mmio", .mmap = true};

	if (device) {
		retake_signals();
		return device;
	}
	config.address.bus = 1;
	if (device_create(&config, 0, &device) < 0 || device_realize(device) < 0 ||
	    segv_setup() < 0 || signals_take(segv_claim) < 0) {
		fprintf(stderr, "the test device could not be made\n");
		exit(1);
	}
	retake_signals();
	mmio_set_trapping(true);
	return device;
}

struct model_state *model_state(void)
{
	return standin_device_state(device ? device : model_device());
}

void *model_map(unsigned bar, uint64_t offset, size_t size, int protection)
{
	struct map_request request = {.size = size, .protection = protection, .flags = MAP_SHARED};

	if (mmio_map(model_device(), bar, offset, &request) < 0) {
		fprintf(stderr, "mmio_map failed\n");
		exit(1);
	}
	return request.ret_address;
}

void model_unmap(void *address, size_t size)
{
	mmio_unmapped(address, size);
	host_munmap(address, size);
}
