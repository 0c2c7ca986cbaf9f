/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The NVMe controller: configuration, registers, life cycle.
 *
 * Registers live in BAR memory that the driver reads directly (none has a side effect when
 * read), so only stores come here.  CSTS changes on any thread and therefore is in BAR
 * memory alone, changed atomically.
 *
 * Disabling the controller must wait for requests that are in the backend, but a store to
 * CC must not.  So the store closes the gate, the last one inside finishes the reset, and
 * CSTS.RDY falls then: what the driver waits for anyway.
 */
#include "devices/nvme.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "core/hostfd.h"
#include "core/log.h"
#include "core/syscall.h"

#define BAR_SIZE       0x4000u
#define REGISTERS_SIZE 0x1000u
#define DOORBELLS_SIZE 0x1000u
#define MSIX_TABLE     0x2000u
#define MSIX_PBA       0x3000u

static _Atomic uint32_t *nvme_csts(struct nvme *n)
{
	return (_Atomic uint32_t *)(n->registers + NVME_REG_CSTS);
}

static void set_csts(struct nvme *n, uint32_t clear, uint32_t set)
{
	uint32_t old = atomic_load(nvme_csts(n));

	while (!atomic_compare_exchange_weak(nvme_csts(n), &old, (old & ~clear) | set))
		;
}

static void show32(struct nvme *n, unsigned offset, uint32_t value)
{
	atomic_store((_Atomic uint32_t *)(n->registers + offset), value);
}

static void show64(struct nvme *n, unsigned offset, uint64_t value)
{
	atomic_store((_Atomic uint64_t *)(n->registers + offset), value);
}

void nvme_fatal(struct nvme *n, const char *why)
{
	if (atomic_exchange(&n->fatal, true))
		return;
	log_info("%s: fatal controller status: %s", standin_device_address(n->dev), why);
	set_csts(n, 0, NVME_CSTS_CFS);
}

/* ---- life cycle; n->lock is held ---- */

static bool queue_valid(uint64_t address, unsigned entries)
{
	return entries >= 2 && address % 4096 == 0;
}

static void enable(struct nvme *n)
{
	unsigned page_shift = 12 + NVME_CC_MPS(n->cc);
	unsigned sq_entries = (n->aqa & 0xfff) + 1, cq_entries = (n->aqa >> 16 & 0xfff) + 1;

	set_csts(n, NVME_CSTS_SHST_MASK, 0);
	if (NVME_CC_CSS(n->cc) || NVME_CC_AMS(n->cc) || page_shift > NVME_PAGE_SHIFT_MAX ||
	    !queue_valid(n->asq, sq_entries) || !queue_valid(n->acq, cq_entries)) {
		nvme_fatal(n, "enabled with invalid settings");
		return;
	}
	n->page_shift = page_shift;
	nvme_cq_create(n, 0, n->acq, cq_entries, 0, true);
	nvme_sq_create(n, 0, n->asq, sq_entries, &n->cq[0]);
	set_csts(n, 0, NVME_CSTS_RDY);
	atomic_fetch_and(&n->gate, ~NVME_GATE_CLOSED);
}

static void finish_reset(struct nvme *n)
{
	n->resetting = false;
	nvme_queues_reset(n);
	nvme_events_reset(n);
	nvme_features_reset(n);
	n->intm = 0;
	show32(n, NVME_REG_INTMS, 0);
	show32(n, NVME_REG_INTMC, 0);
	n->shutdown_forgotten = true;
	atomic_store(&n->fatal, false);
	set_csts(n, NVME_CSTS_RDY | NVME_CSTS_CFS | NVME_CSTS_SHST_MASK, 0);
	standin_irq_level(n->dev, false);
	if (n->cc & NVME_CC_EN)
		enable(n); /* the driver did not wait for CSTS.RDY */
}

static void disable(struct nvme *n)
{
	if (n->resetting)
		return;
	n->resetting = true;
	if (atomic_fetch_or(&n->gate, NVME_GATE_CLOSED) & ~NVME_GATE_CLOSED)
		return; /* the last one inside finishes */
	finish_reset(n);
}

bool nvme_enter(struct nvme *n)
{
	if (!(atomic_fetch_add(&n->gate, 1) & NVME_GATE_CLOSED))
		return true;
	nvme_leave(n);
	return false;
}

void nvme_leave(struct nvme *n)
{
	if (atomic_fetch_sub(&n->gate, 1) != (NVME_GATE_CLOSED | 1))
		return;
	pthread_mutex_lock(&n->lock);
	if (n->resetting && atomic_load(&n->gate) == NVME_GATE_CLOSED)
		finish_reset(n);
	pthread_mutex_unlock(&n->lock);
}

/* ---- shutdown notification: all that was written gets to the disk ---- */

static void shutdown_done(struct backend_request *r, int error)
{
	struct nvme *n = (struct nvme *)((char *)r - offsetof(struct nvme, shutdown_io));

	if (error < 0)
		log_warning("%s: flush at shutdown: %s", standin_device_address(n->dev),
			    strerror(-error));
	pthread_mutex_lock(&n->lock);
	n->shutdown_busy = false;
	if (!n->shutdown_forgotten)
		set_csts(n, NVME_CSTS_SHST_MASK, NVME_CSTS_SHST_COMPLETE);
	pthread_mutex_unlock(&n->lock);
}

/* Whether the caller must submit shutdown_io, without the lock. */
static bool begin_shutdown(struct nvme *n)
{
	bool busy = n->shutdown_busy;

	set_csts(n, NVME_CSTS_SHST_MASK, NVME_CSTS_SHST_OCCURING);
	n->shutdown_busy = true;
	n->shutdown_forgotten = false;
	if (busy)
		return false;
	n->shutdown_io = (struct backend_request){.op = BACKEND_FLUSH, .done = shutdown_done};
	return true;
}

static void submit_shutdown(struct nvme *n)
{
	int result = backend_submit(n->backend, &n->shutdown_io);

	if (result != BACKEND_QUEUED)
		shutdown_done(&n->shutdown_io, result);
}

/* ---- registers ---- */

/* Whether a shutdown begins. */
static bool write_cc(struct nvme *n, uint32_t value)
{
	const uint32_t changeable = NVME_CC_EN | NVME_CC_SHN_MASK | NVME_CC_IOES_MASK;
	uint32_t old = n->cc;
	bool shutdown;

	value &= NVME_CC_MASK;
	if (old & value & NVME_CC_EN)
		value = (old & ~changeable) | (value & changeable);
	n->cc = value;
	show32(n, NVME_REG_CC, value);

	shutdown = NVME_CC_SHN(value) && !NVME_CC_SHN(old) && begin_shutdown(n);
	if ((old ^ value) & NVME_CC_EN) {
		if (!(value & NVME_CC_EN))
			disable(n);
		else if (!n->resetting)
			enable(n);
	}
	return shutdown;
}

static void subsystem_reset(struct nvme *n)
{
	n->cc = 0;
	show32(n, NVME_REG_CC, 0);
	disable(n);
	set_csts(n, 0, NVME_CSTS_NSSRO);
}

static uint64_t replace_half(uint64_t old, bool upper, uint32_t value)
{
	return upper ? (old & 0xffffffffu) | (uint64_t)value << 32
		     : (old & ~(uint64_t)0xffffffffu) | value;
}

static void write_register(struct nvme *n, unsigned offset, uint32_t value)
{
	bool shutdown = false;
	uint32_t unmasked = 0;

	pthread_mutex_lock(&n->lock);
	switch (offset) {
	case NVME_REG_INTMS:
		n->intm |= value;
		break;
	case NVME_REG_INTMC:
		unmasked = n->intm & value;
		n->intm &= ~value;
		break;
	case NVME_REG_CC:
		shutdown = write_cc(n, value);
		break;
	case NVME_REG_CSTS:
		set_csts(n, value & NVME_CSTS_NSSRO, 0);
		break;
	case NVME_REG_NSSR:
		if (value == NVME_NSSR_RESET)
			subsystem_reset(n);
		break;
	case NVME_REG_AQA:
		n->aqa = value & 0x0fff0fff;
		show32(n, NVME_REG_AQA, n->aqa);
		break;
	case NVME_REG_ASQ:
	case NVME_REG_ASQ + 4:
		n->asq = replace_half(n->asq, offset != NVME_REG_ASQ, value) & ~(uint64_t)0xfff;
		show64(n, NVME_REG_ASQ, n->asq);
		break;
	case NVME_REG_ACQ:
	case NVME_REG_ACQ + 4:
		n->acq = replace_half(n->acq, offset != NVME_REG_ACQ, value) & ~(uint64_t)0xfff;
		show64(n, NVME_REG_ACQ, n->acq);
		break;
	}
	if (offset == NVME_REG_INTMS || offset == NVME_REG_INTMC) {
		show32(n, NVME_REG_INTMS, n->intm);
		show32(n, NVME_REG_INTMC, n->intm);
	}
	pthread_mutex_unlock(&n->lock);

	if (shutdown)
		submit_shutdown(n);
	if ((offset == NVME_REG_INTMS || offset == NVME_REG_INTMC) && nvme_enter(n)) {
		nvme_irq_update(n);
		if (unmasked)
			nvme_irq_unmasked(n, unmasked);
		nvme_leave(n);
	}
}

static void write_doorbell(struct nvme *n, unsigned index)
{
	unsigned id = index / 2;
	struct nvme_cq *cq;
	struct nvme_sq *sq;

	if (!nvme_enter(n))
		return;
	cq = id < NVME_QUEUES ? &n->cq[id] : NULL;
	sq = id < NVME_QUEUES ? &n->sq[id] : NULL;
	if (index % 2 && cq && atomic_load(&cq->live)) {
		nvme_cq_doorbell(n, id);
	} else if (index % 2 == 0 && sq && atomic_load(&sq->state) == NVME_SQ_LIVE) {
		nvme_sq_doorbell(n, id);
		if (id)
			standin_doorbells_poll(n->dev); /* if that turns out to pay */
	} else {
		nvme_event(n, NVME_EVENT_ERROR, NVME_EVENT_ERROR_DOORBELL_REGISTER, NVME_LOG_ERROR);
	}
	nvme_run_starved(n);
	nvme_leave(n);
}

/* The driver must use 4 or 8 bytes at once; narrower stores are merged, which does no harm. */
static uint32_t merge(struct nvme *n, uint64_t offset, unsigned size, uint64_t value)
{
	uint32_t whole = atomic_load((_Atomic uint32_t *)(n->registers + (offset & ~(uint64_t)3)));
	unsigned shift = 8 * (offset & 3);
	uint32_t mask = (((uint32_t)1 << 8 * size) - 1) << shift;

	return (whole & ~mask) | ((uint32_t)value << shift & mask);
}

static void nvme_bar_write(struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size,
			   uint64_t value)
{
	struct nvme *n = standin_device_state(dev);

	if (bar != 0)
		return;
	if (offset >= NVME_REG_DOORBELLS) {
		if (offset % 4 || size < 4 || offset >= NVME_REG_DOORBELLS + DOORBELLS_SIZE)
			return;
		write_doorbell(n, (unsigned)(offset - NVME_REG_DOORBELLS) / 4);
		if (size == 8)
			write_doorbell(n, (unsigned)(offset - NVME_REG_DOORBELLS) / 4 + 1);
		return;
	}
	if (size < 4) {
		if (offset % 4 + size <= 4)
			write_register(n, (unsigned)offset & ~3u, merge(n, offset, size, value));
		return;
	}
	if (offset % 4)
		return;
	write_register(n, (unsigned)offset, (uint32_t)value);
	if (size == 8)
		write_register(n, (unsigned)offset + 4, (uint32_t)(value >> 32));
}

/* Only the doorbells come here, and they are write-only. */
static uint64_t nvme_bar_read(struct standin_device *dev, unsigned bar, uint64_t offset,
			      unsigned size)
{
	return 0;
}

static bool nvme_doorbells(struct standin_device *dev)
{
	struct nvme *n = standin_device_state(dev);
	unsigned queues;
	bool worked = false;

	if (!nvme_enter(n))
		return false;
	queues = atomic_load_explicit(&n->polled_queues, memory_order_relaxed);
	for (unsigned id = 0; id < queues; id++) {
		worked |= nvme_sq_doorbell(n, id);
		worked |= nvme_cq_doorbell(n, id);
	}
	nvme_run_starved(n);
	nvme_leave(n);
	return worked;
}

static void wait_until_idle(struct nvme *n)
{
	static const struct timespec moment = {.tv_nsec = 20000};

	while (n->resetting || n->shutdown_busy) {
		pthread_mutex_unlock(&n->lock);
		host_syscall(SYS_nanosleep, &moment, NULL);
		pthread_mutex_lock(&n->lock);
	}
}

static void nvme_reset(struct standin_device *dev)
{
	struct nvme *n = standin_device_state(dev);
	uint64_t cap = NVME_CAP_MQES(NVME_QUEUE_MAX) | NVME_CAP_CQR | NVME_CAP_TO(60) |
		       NVME_CAP_NSSRS | NVME_CAP_CSS_NVM | NVME_CAP_MPSMIN(NVME_PAGE_SHIFT_MIN) |
		       NVME_CAP_MPSMAX(NVME_PAGE_SHIFT_MAX);

	pthread_mutex_lock(&n->lock);
	n->registers = standin_bar_memory(dev, 0);
	n->doorbells = (_Atomic uint32_t *)(n->registers + NVME_REG_DOORBELLS);
	n->cc = 0;
	disable(n);
	wait_until_idle(n);
	n->cc = n->aqa = 0;
	n->asq = n->acq = 0;
	memset(n->registers, 0, REGISTERS_SIZE);
	show64(n, NVME_REG_CAP, cap);
	show32(n, NVME_REG_VS, NVME_VERSION);
	pthread_mutex_unlock(&n->lock);
}

/* The backend's threads are made before the first DMA is possible, in ordinary context. */
static void nvme_command_changed(struct standin_device *dev, uint16_t command)
{
	struct nvme *n = standin_device_state(dev);

	if (command & 4)
		backend_start(n->backend);
}

/* ---- configuration ---- */

static int read_serial(struct standin_device *dev, struct nvme *n)
{
	const char *serial = standin_config_string(dev, "serial");
	int length;

	if (!serial) {
		snprintf(n->serial, sizeof(n->serial), "standin-%.12s",
			 standin_device_address(dev));
		return 0;
	}
	for (const char *p = serial; *p; p++)
		if (!isascii((unsigned char)*p) || !isprint((unsigned char)*p))
			return standin_device_error(dev, -EINVAL, "serial=: printable ASCII only");
	length = snprintf(n->serial, sizeof(n->serial), "%s", serial);
	if (length == 0 || length >= (int)sizeof(n->serial))
		return standin_device_error(dev, -EINVAL, "serial=: 1 to 20 characters");
	return 0;
}

static int read_configuration(struct standin_device *dev, struct nvme *n)
{
	uint64_t block_size, queues, mdts, msi;
	int r;

	r = standin_config_number(dev, "blocksize", 512, 512, 4096, &block_size);
	if (r < 0)
		return r;
	if (block_size != 512 && block_size != 4096)
		return standin_device_error(dev, -EINVAL, "blocksize=%llu: 512 or 4096",
					    (unsigned long long)block_size);
	n->block_shift = block_size == 512 ? 9 : 12;
	r = standin_config_number(dev, "queues", NVME_IO_QUEUES, 1, NVME_IO_QUEUES, &queues);
	if (r < 0)
		return r;
	n->io_queues = (unsigned)queues;
	r = standin_config_number(dev, "mdts", 7, 1, 9, &mdts);
	if (r < 0)
		return r;
	n->mdts = (unsigned)mdts;
	/* Data that begin inside a page touch one page more. */
	n->max_iov = (1u << n->mdts) + 1;
	r = standin_config_number(dev, "msi", NVME_MSI_VECTORS, 0, 32, &msi);
	if (r < 0)
		return r;
	if (msi & (msi - 1))
		return standin_device_error(dev, -EINVAL, "msi=%llu: a power of two, or 0",
					    (unsigned long long)msi);
	n->msi_vectors = (uint8_t)msi;
	return read_serial(dev, n);
}

static int nvme_realize(struct standin_device *dev, struct standin_pci *pci)
{
	static const struct standin_span spans[] = {
		{0, REGISTERS_SIZE, STANDIN_PAGE_SHADOW},
		{NVME_REG_DOORBELLS, DOORBELLS_SIZE, STANDIN_PAGE_DOORBELL},
	};
	struct nvme *n = standin_device_state(dev);
	struct timespec now = {0};
	void *memory;
	int r;

	n->dev = dev;
	r = read_configuration(dev, n);
	if (r < 0)
		return r;
	n->request_size = (sizeof(struct nvme_request) +
			   n->max_iov * (sizeof(struct nvme_range) + sizeof(struct iovec)) + 63) &
			  ~(size_t)63;
	memory = host_mmap(NULL, n->request_size * NVME_REQUESTS, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (host_is_error(memory))
		return standin_device_error(dev, -ENOMEM, "out of memory");
	n->request_memory = memory;
	r = backend_open(dev, 1u << n->block_shift, &n->backend);
	if (r < 0) {
		host_munmap(memory, n->request_size * NVME_REQUESTS);
		return r;
	}
	n->blocks = backend_size(n->backend) >> n->block_shift;
	pthread_mutex_init(&n->lock, NULL);
	pthread_mutex_init(&n->event_lock, NULL);
	nvme_queues_init(n);
	host_syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	n->powered_on = now.tv_sec;
	atomic_init(&n->gate, NVME_GATE_CLOSED);

	*pci = (struct standin_pci){
		.vendor = 0x1b36,
		.device = 0x0010,
		.subsystem_vendor = 0x1af4,
		.subsystem_device = 0x1100,
		.revision = 2,
		.class_code = 0x010802,
		.interrupt_pin = 1,
		.msi_vectors = n->msi_vectors,
		.msix_vectors = NVME_MSIX_VECTORS,
		.msix_bar = 0,
		.msix_table = MSIX_TABLE,
		.msix_pba = MSIX_PBA,
		.pcie = true,
		.power_management = true,
		.bar[0] = {.size = BAR_SIZE,
			   .flags = STANDIN_BAR_MEM64,
			   .spans = spans,
			   .n_spans = 2},
	};
	return 0;
}

static void nvme_unrealize(struct standin_device *dev)
{
	struct nvme *n = standin_device_state(dev);

	backend_close(n->backend);
	nvme_queues_finish(n);
	pthread_mutex_destroy(&n->event_lock);
	pthread_mutex_destroy(&n->lock);
	host_munmap(n->request_memory, n->request_size * NVME_REQUESTS);
}

static const struct standin_key nvme_keys[] = {
	BACKEND_KEYS,
	{"blocksize", "bytes per block: 512 (default) or 4096"},
	{"serial", "serial number, up to 20 characters (default: standin-ADDRESS)"},
	{"queues", "I/O queue pairs, 1 to 64 (default: 64)"},
	{"msi", "MSI vectors, a power of two up to 32, or 0 for no MSI at all (default: 32)"},
	{"mdts", "largest transfer is 4096 << mdts bytes, 1 to 9 (default: 7, 512 KiB)"},
	{NULL},
};

static const struct standin_model nvme_model = {
	.struct_size = sizeof(struct standin_model),
	.api_version = STANDIN_MODEL_API,
	.name = "nvme",
	.longname = "NVMe 1.4 controller with one namespace",
	.keys = nvme_keys,
	.state_size = sizeof(struct nvme),
	.realize = nvme_realize,
	.unrealize = nvme_unrealize,
	.reset = nvme_reset,
	.bar_read = nvme_bar_read,
	.bar_write = nvme_bar_write,
	.doorbells = nvme_doorbells,
	.command_changed = nvme_command_changed,
};

STANDIN_MODEL(nvme_model)
