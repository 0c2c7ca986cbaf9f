/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The HMM devices and memory calls on a small piece of memory, whose contents are compared
 * with a model of them: for each page whether it is mapped, its protection and its bytes.
 *
 * The input is a program of steps: the devices' commands, loads and stores, and memory calls
 * made as the wrappers make them.  Of what a command answers it is checked that it succeeds only
 * where it may, and what it read.  How pages trap is the input's choice too.  Single-threaded,
 * so that the model is exact; faults are taken by the handlers of src/inject.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <standin/standin.h>

#include "core/syscall.h"
#include "fuzz.h"
#include "inject/segv.h"
#include "inject/signals.h"
#include "memory/calls.h"
#include "memory/memory.h"
#include "memory/mmio.h"
#include "uapi/hmm.h"

#define PAGE    4096u
#define PAGES   576u /* a huge page and some */
#define HUGE    (2u << 20)
#define DEVICES 4u
#define RW      (PROT_READ | PROT_WRITE)

struct page {
	bool mapped;
	int protection;
	bool read_only;    /* has been since it was mapped */
	uint64_t words[2]; /* the first and the last of the page's; those between are 0 */
};

static uint8_t *arena;
static struct page model[PAGES];
static int devices[DEVICES];
static uint8_t *data; /* of commands, and beyond it nothing */

static void wrong(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void wrong(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

static void *aligned(size_t size)
{
	uint8_t *p = mmap(NULL, size + 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p + HUGE - (uintptr_t)p % HUGE;
}

static void start(void)
{
	static char text[] = "log error\n";

	if (segv_setup() < 0 || signals_take(segv_claim) < 0)
		wrong("no handlers");
	mmio_set_trapping(true);
	if (standin_start(text))
		wrong("%s", standin_error());
	arena = aligned(PAGES * PAGE);
	data = aligned(PAGES * PAGE);
	mprotect(data, PAGES * PAGE, RW);
}

/* ---- the client's calls, as the wrappers make them ---- */

static long call(struct memory_call *c, long number, long third)
{
	bool told = memory_call_begin(c);
	long ret = told && c->handled ? c->result
				      : host_syscall(number, c->address, c->size, third, c->flags,
						     c->new_address);

	if (told)
		memory_call_end(c, ret);
	return ret;
}

struct range {
	unsigned first, n;
	uintptr_t address;
	size_t size;
};

/* Small ones, ones about a huge page, and anything. */
static struct range take_range(struct input *in)
{
	struct range r;
	uint8_t how = take8(in);

	r.first = take16(in) % PAGES;
	r.n = 1 + how / 4 % 16;
	if (how % 4 == 1) {
		r.first = r.first / 512 * 512;
		r.n = 512;
	} else if (how % 4 == 2) {
		r.n = 1 + take16(in) % PAGES;
	}
	if (r.n > PAGES - r.first)
		r.n = PAGES - r.first;
	r.address = (uintptr_t)arena + (uintptr_t)r.first * PAGE;
	r.size = (size_t)r.n * PAGE;
	return r;
}

static bool all_mapped(struct range r)
{
	for (unsigned i = r.first; i < r.first + r.n; i++)
		if (!model[i].mapped)
			return false;
	return true;
}

static void clear(struct range r)
{
	for (unsigned i = r.first; i < r.first + r.n; i++)
		memset(model[i].words, 0, sizeof(model[i].words));
}

static void do_unmap(struct range r)
{
	struct memory_call c = {MEMORY_CALL_UNMAP, .address = r.address, .size = r.size};

	if (call(&c, SYS_munmap, 0))
		wrong("munmap");
	clear(r);
	for (unsigned i = r.first; i < r.first + r.n; i++)
		model[i].mapped = false;
}

static void do_map(struct range r, int protection)
{
	struct memory_call c = {MEMORY_CALL_MAP, .address = r.address, .size = r.size};
	bool told = memory_call_begin(&c);
	void *p = mmap((void *)r.address, r.size, protection,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (told)
		memory_call_end(&c, (long)p);
	if (p != (void *)r.address)
		wrong("mmap");
	clear(r);
	for (unsigned i = r.first; i < r.first + r.n; i++) {
		model[i].mapped = true;
		model[i].protection = protection;
		model[i].read_only = !(protection & PROT_WRITE);
	}
}

static void do_protect(struct range r, int protection)
{
	struct memory_call c = {MEMORY_CALL_PROTECT, .address = r.address, .size = r.size,
				.flags = protection};
	long ret = call(&c, SYS_mprotect, protection);

	if (ret != (all_mapped(r) ? 0 : -ENOMEM))
		wrong("mprotect of pages %u to %u: %ld", r.first, r.first + r.n, ret);
	for (unsigned i = r.first; i < r.first + r.n && model[i].mapped; i++) {
		model[i].protection = protection;
		model[i].read_only |= !(protection & PROT_WRITE);
	}
}

static void do_advise(struct range r, int advice)
{
	struct memory_call c = {MEMORY_CALL_ADVISE, .address = r.address, .size = r.size,
				.flags = advice};
	long ret = call(&c, SYS_madvise, advice);

	/* Holes are left out. */
	if (ret != (all_mapped(r) ? 0 : -ENOMEM) && advice == MADV_DONTNEED)
		wrong("madvise of pages %u to %u: %ld", r.first, r.first + r.n, ret);
	if (advice == MADV_DONTNEED)
		clear(r);
}

static void do_remap(struct range r, unsigned to)
{
	struct memory_call c = {
		MEMORY_CALL_REMAP,  .address = r.address,
		.size = r.size,     .new_address = (uintptr_t)arena + (uintptr_t)to * PAGE,
		.new_size = r.size, .flags = MREMAP_MAYMOVE | MREMAP_FIXED,
	};
	struct page moved[PAGES];

	if (to + r.n > PAGES || (to < r.first + r.n && r.first < to + r.n))
		return;
	/* The kernel moves several mappings since 6.17: so much is left to it. */
	for (unsigned i = r.first; i < r.first + r.n; i++)
		if (!model[i].mapped || model[i].protection != model[r.first].protection)
			return;
	if (call(&c, SYS_mremap, (long)r.size) != (long)c.new_address) {
		/* Advice makes several mappings of what looks like one; what was there is gone. */
		for (unsigned i = to; i < to + r.n; i++)
			model[i].mapped = false;
		do_map((struct range){to, r.n, c.new_address, r.size}, RW);
		do_map(r, RW);
		return;
	}
	memcpy(moved, model + r.first, r.n * sizeof(*model));
	clear(r);
	for (unsigned i = r.first; i < r.first + r.n; i++)
		model[i].mapped = false;
	memcpy(model + to, moved, r.n * sizeof(*model));
}

/* ---- the CPU ---- */

static volatile uint64_t *word(unsigned page, bool last)
{
	return (volatile uint64_t *)(arena + (size_t)page * PAGE + (last ? PAGE - 8 : 0));
}

static void check_page(unsigned page)
{
	for (unsigned i = 0; i < 2; i++) {
		uint64_t seen = *word(page, i);

		if (seen != model[page].words[i])
			wrong("page %u, %s word: %llx, not %llx", page, i ? "last" : "first",
			      (unsigned long long)seen, (unsigned long long)model[page].words[i]);
	}
}

static void load(unsigned page)
{
	if (model[page].mapped && (model[page].protection & PROT_READ))
		check_page(page);
}

static void store(unsigned page, bool last, uint64_t value)
{
	if (!model[page].mapped || !(model[page].protection & PROT_WRITE))
		return;
	*word(page, last) = value;
	model[page].words[last] = value;
}

/* ---- the devices ---- */

/* What a command that reads or writes all of a range answers. */
static int access_error(struct range r, bool write)
{
	for (unsigned i = r.first; i < r.first + r.n; i++) {
		if (!model[i].mapped || !(model[i].protection & PROT_READ))
			return EFAULT;
		if (write && !(model[i].protection & PROT_WRITE))
			return EPERM;
	}
	return 0;
}

static void check_data(struct range r, const char *what)
{
	for (unsigned i = 0; i < r.n; i++)
		for (unsigned n = 0; n < 2; n++) {
			uint64_t seen;

			memcpy(&seen, data + (size_t)i * PAGE + (n ? PAGE - 8 : 0), 8);
			if (seen != model[r.first + i].words[n])
				wrong("%s, page %u, %s word: %llx, not %llx", what, r.first + i,
				      n ? "last" : "first", (unsigned long long)seen,
				      (unsigned long long)model[r.first + i].words[n]);
		}
}

static void device_write(int fd, struct range r, struct hmm_dmirror_cmd *cmd, uint64_t value)
{
	int expected = access_error(r, true), ret;

	memset(data, 0, r.size);
	for (unsigned i = 0; i < r.n; i++) {
		memcpy(data + (size_t)i * PAGE, &value, 8);
		memcpy(data + (size_t)(i + 1) * PAGE - 8, &value, 8);
	}
	ret = standin_ioctl(fd, HMM_DMIRROR_WRITE, cmd) ? errno : 0;
	/* A page that was read-only when it came to the device stays so there: EFAULT. */
	for (unsigned i = r.first; i < r.first + r.n && ret == EFAULT; i++)
		expected |= model[i].read_only;
	if (!ret != !expected)
		wrong("WRITE of pages %u to %u: %d, not %d", r.first, r.first + r.n, ret, expected);
	/* What lies before a page that it can't have may have been written. */
	for (unsigned i = r.first; i < r.first + r.n; i++) {
		if (ret == 0) {
			model[i].words[0] = model[i].words[1] = value;
			continue;
		}
		if (!model[i].mapped || !(model[i].protection & PROT_READ))
			break;
		if (*word(i, false) == value && *word(i, true) == value)
			model[i].words[0] = model[i].words[1] = value;
		check_page(i);
	}
}

static void command(struct input *in)
{
	static const unsigned long requests[] = {
		HMM_DMIRROR_READ,           HMM_DMIRROR_WRITE,          HMM_DMIRROR_MIGRATE_TO_DEV,
		HMM_DMIRROR_MIGRATE_TO_DEV, HMM_DMIRROR_MIGRATE_TO_DEV, HMM_DMIRROR_MIGRATE_TO_SYS,
		HMM_DMIRROR_SNAPSHOT,       HMM_DMIRROR_EXCLUSIVE,      HMM_DMIRROR_CHECK_EXCLUSIVE,
		HMM_DMIRROR_RELEASE,        HMM_DMIRROR_READ_UNLOCKED};
	unsigned how = take8(in);
	int fd = devices[how / 16 % DEVICES];
	unsigned long request = requests[how % 16 % (sizeof(requests) / sizeof(requests[0]))];
	struct range r = take_range(in);
	struct hmm_dmirror_cmd cmd = {.addr = r.address, .ptr = (uintptr_t)data, .npages = r.n};
	uint64_t value = take16(in) | UINT64_C(1) << 32;
	int ret;

	if (request == HMM_DMIRROR_WRITE) {
		device_write(fd, r, &cmd, value);
		return;
	}
	ret = standin_ioctl(fd, request, &cmd) ? errno : 0;
	switch (request) {
	case HMM_DMIRROR_READ:
	case HMM_DMIRROR_READ_UNLOCKED:
		if (ret != access_error(r, false))
			wrong("READ of pages %u to %u: %d", r.first, r.first + r.n, ret);
		break;
	case HMM_DMIRROR_MIGRATE_TO_DEV:
		/* ENOENT: another device's pages are among them. */
		if (ret != (access_error(r, false) ? EINVAL : 0) && ret != ENOENT)
			wrong("MIGRATE_TO_DEV of pages %u to %u: %d", r.first, r.first + r.n, ret);
		break;
	case HMM_DMIRROR_MIGRATE_TO_SYS:
		if (ret != (access_error(r, false) ? EINVAL : 0))
			wrong("MIGRATE_TO_SYS of pages %u to %u: %d", r.first, r.first + r.n, ret);
		return;
	case HMM_DMIRROR_EXCLUSIVE:
		break;
	case HMM_DMIRROR_SNAPSHOT:
		if (ret)
			wrong("SNAPSHOT: %d", ret);
		return;
	default:
		return;
	}
	if (ret == 0)
		check_data(r, "read by a device");
}

static void step(struct input *in)
{
	static const int protections[] = {RW, RW, PROT_READ, PROT_NONE};
	uint8_t what = take8(in);
	struct range r;

	switch (what % 16) {
	default:
		command(in);
		break;
	case 0:
		do_unmap(take_range(in));
		break;
	case 1:
	case 2:
		do_map(take_range(in), protections[what / 16 % 4]);
		break;
	case 3:
		do_protect(take_range(in), protections[what / 16 % 4]);
		break;
	case 4:
		do_advise(take_range(in), what & 0x40   ? MADV_DONTNEED
					  : what & 0x20 ? MADV_HUGEPAGE
							: MADV_NOHUGEPAGE);
		break;
	case 5:
		r = take_range(in);
		do_remap(r, take16(in) % PAGES);
		break;
	case 6:
		load(take16(in) % PAGES);
		break;
	case 7:
	case 8:
		store(take16(in) % PAGES, what & 0x10, take16(in));
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input in = {bytes, size};
	struct range all;
	uint64_t signals;

	if (!arena)
		start();
	for (unsigned i = 0; i < DEVICES; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/dev/hmm_dmirror%u", i);
		devices[i] = standin_open(path, O_RDWR);
		if (devices[i] < 0)
			wrong("%s: %d", path, errno);
	}
	memory_lock(&signals);
	memory_traps_set(take8(&in) & 1 ? MEMORY_TRAPS_PROTECT : MEMORY_TRAPS_AUTO);
	memory_unlock(&signals);
	all = (struct range){0, PAGES, (uintptr_t)arena, (size_t)PAGES * PAGE};
	do_map(all, RW);
	while (in.left)
		step(&in);
	/* Then all is back in its place. */
	for (unsigned i = 0; i < DEVICES; i++)
		standin_close(devices[i]);
	for (unsigned i = 0; i < PAGES; i++)
		load(i);
	/* Else somebody else's memory would be there before the next input. */
	do_map(all, PROT_NONE);
	return 0;
}
