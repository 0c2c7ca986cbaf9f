/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registry of register mappings: what the client's memory calls do to it (mmio_table.c keeps
 * it), and the protections of the pages.
 *
 * The protection of a page follows from its kind, from what the client asked for, and for
 * doorbells from whether the device polls them.  x86 cannot map pages that are writable
 * and not readable, so whoever asked for any access may load.
 */
#include "memory/mmio.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/device.h"
#include "core/file.h"
#include "core/hostfd.h"
#include "core/signal_mask.h"
#include "core/syscall.h"
#include "memory/doorbell.h"
#include "memory/mmio_private.h"
#include "memory/mmio_table.h"

#define PAGE 4096u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool trapping;

__thread struct mmio_plan *mmio_plan __attribute__((tls_model("initial-exec")));

void mmio_set_trapping(bool possible)
{
	atomic_store(&trapping, possible);
}

bool mmio_trapping(void)
{
	return atomic_load(&trapping);
}

static void enter(uint64_t *ret_signals)
{
	signal_mask_block(ret_signals);
	pthread_mutex_lock(&lock);
}

static void leave(const uint64_t *signals)
{
	pthread_mutex_unlock(&lock);
	signal_mask_restore(signals);
}

/* ---- protections ---- */

static int page_protection(struct standin_device *dev, enum standin_page kind, int asked)
{
	if (atomic_load(&dev->memory_off))
		return PROT_NONE;
	switch (kind) {
	case STANDIN_PAGE_RAM:
		return asked;
	case STANDIN_PAGE_DOORBELL:
		if (doorbells_open(dev))
			return asked;
		return asked != PROT_NONE ? PROT_READ : PROT_NONE;
	case STANDIN_PAGE_SHADOW:
		return asked != PROT_NONE ? PROT_READ : PROT_NONE;
	default:
		return PROT_NONE;
	}
}

static int mapping_protection(const struct mmio_mapping *m, uintptr_t address)
{
	enum standin_page kind = device_page_kind(m->dev, m->bar, m->offset + address - m->start);

	return page_protection(m->dev, kind, m->protection);
}

/* Where the run of equally protected pages that begins at `from` ends. */
static uintptr_t run_end(const struct mmio_mapping *m, uintptr_t from, uintptr_t to)
{
	int protection = mapping_protection(m, from);

	do
		from += PAGE;
	while (from < to && mapping_protection(m, from) == protection);
	return from;
}

static int protect(const struct mmio_mapping *m, uintptr_t from, uintptr_t to)
{
	while (from < to) {
		uintptr_t end = run_end(m, from, to);
		int result = host_mprotect((void *)from, end - from, mapping_protection(m, from));

		if (result < 0)
			return result;
		from = end;
	}
	return 0;
}

static bool has_doorbells(const struct mmio_mapping *m)
{
	for (uintptr_t at = m->start; at < m->end; at += PAGE)
		if (device_page_kind(m->dev, m->bar, m->offset + at - m->start) ==
		    STANDIN_PAGE_DOORBELL)
			return true;
	return false;
}

static bool has_trapped(const struct mmio_mapping *m)
{
	for (uintptr_t at = m->start; at < m->end; at += PAGE)
		if (device_page_kind(m->dev, m->bar, m->offset + at - m->start) != STANDIN_PAGE_RAM)
			return true;
	return false;
}

/* ---- what goes ---- */

static bool doorbells_mapped(const struct mmio_table *t, const struct standin_device *dev)
{
	for (size_t i = 0; t && i < t->n; i++)
		if (t->m[i].dev == dev && has_doorbells(&t->m[i]))
			return true;
	return false;
}

/* What mappings that are gone leave to do outside the lock. */
struct leftovers {
	size_t n;
	struct leftover {
		struct standin_device *dev;
		struct file *file;
		bool stop;
	} * of;
};

static int leftovers_init(struct leftovers *l, const struct mmio_table *old)
{
	l->n = 0;
	l->of = calloc(old && old->n ? old->n : 1, sizeof(*l->of));
	return l->of ? 0 : -ENOMEM;
}

/* The mappings of `old` that [start, end) covers entirely. */
static void leftovers_collect(struct leftovers *l, const struct mmio_table *old,
			      const struct mmio_table *t, uintptr_t start, uintptr_t end)
{
	for (size_t i = 0; old && i < old->n; i++) {
		const struct mmio_mapping *m = &old->m[i];
		struct leftover *o;

		if (m->start < start || m->end > end)
			continue;
		o = &l->of[l->n++];
		o->dev = m->dev;
		o->file = m->file;
		o->stop = has_doorbells(m) && !doorbells_mapped(t, m->dev);
	}
}

static void leftovers_finish(struct leftovers *l)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->of[i].stop)
			doorbells_stop(l->of[i].dev);
		if (l->of[i].file)
			file_put(l->of[i].file);
	}
	free(l->of);
}

/* ---- mapping ---- */

static void *map_pages(struct mmio_mapping *m, const struct map_request *request)
{
	int flags = (request->flags & ~MAP_TYPE) | MAP_SHARED;
	size_t size = m->end - m->start;
	bool uniform = run_end(m, m->start, m->end) == m->end;
	int protection = uniform ? mapping_protection(m, m->start) : PROT_NONE;
	void *place;
	int result;

	place = host_mmap(request->address, size, protection, flags, m->dev->memory_fd,
			  (off_t)(((uint64_t)m->bar << 40) | m->offset));
	if (host_is_error(place))
		return place;
	m->start = (uintptr_t)place;
	m->end = m->start + size;
	result = uniform ? 0 : protect(m, m->start, m->end);
	if (result < 0) {
		host_munmap(place, size);
		return (void *)(intptr_t)result;
	}
	return place;
}

int mmio_map(struct standin_device *dev, unsigned bar, uint64_t offset, struct map_request *request)
{
	size_t size = (request->size + PAGE - 1) & ~(size_t)(PAGE - 1);
	struct mmio_mapping m = {
		.end = size,
		.dev = dev,
		.bar = bar,
		.protection = request->protection,
		.offset = offset,
		.file = request->file,
	};
	struct leftovers left = {0};
	const struct mmio_table *old;
	struct mmio_table *t;
	uint64_t signals;
	void *place;
	int result;

	if (!mmio_trapping() && has_trapped(&m))
		return -ENODEV;
	if (mmio_plan) {
		*mmio_plan = (struct mmio_plan){dev, bar, offset};
		return 0;
	}
	if (has_doorbells(&m)) {
		result = doorbells_start(dev);
		if (result < 0)
			return result;
	}
	enter(&signals);
	old = mmio_table();
	t = mmio_table_new(old);
	result = t ? leftovers_init(&left, old) : -ENOMEM;
	if (result < 0) {
		free(t);
		goto out;
	}
	place = map_pages(&m, request);
	if (host_is_error(place)) {
		result = (int)(intptr_t)place;
		free(t);
		goto out;
	}
	if (m.file)
		file_ref(m.file);
	mmio_table_copy_without(t, old, m.start, m.end);
	t->m[t->n++] = m;
	mmio_table_sort(t);
	leftovers_collect(&left, old, t, m.start, m.end);
	mmio_table_publish(t);
	request->ret_address = place;
out:
	leave(&signals);
	leftovers_finish(&left);
	return result;
}

bool mmio_any(void)
{
	const struct mmio_table *t = mmio_table_read();
	bool any = t && t->n;

	mmio_table_done();
	return any;
}

bool mmio_overlaps(const void *address, size_t size)
{
	uintptr_t start = (uintptr_t)address;
	const struct mmio_table *t;
	bool overlaps = false;
	size_t at;

	if (!mmio_table_any())
		return false;
	t = mmio_table_read();
	at = mmio_table_search(t, start);
	if (at < t->n && size)
		overlaps = t->m[at].start < start + size;
	mmio_table_done();
	return overlaps;
}

void mmio_unmapped(void *address, size_t size)
{
	uintptr_t start = (uintptr_t)address;
	uintptr_t end = start + ((size + PAGE - 1) & ~(size_t)(PAGE - 1));
	struct leftovers left = {0};
	const struct mmio_table *old;
	struct mmio_table *t;
	uint64_t signals;

	if (!mmio_overlaps(address, size))
		return;
	enter(&signals);
	old = mmio_table();
	t = mmio_table_new(old);
	if (t && leftovers_init(&left, old) == 0) {
		mmio_table_copy_without(t, old, start, end);
		leftovers_collect(&left, old, t, start, end);
		mmio_table_publish(t);
	} else {
		free(t);
	}
	leave(&signals);
	leftovers_finish(&left);
}

/* Splits at both ends of the range and sets what the client asks for inside it. */
static int set_protection(uintptr_t start, uintptr_t end, int protection)
{
	const struct mmio_table *old = mmio_table();
	struct mmio_table *t = mmio_table_new(old);
	size_t inside = 0;

	if (!t)
		return -ENOMEM;
	for (size_t i = 0; old && i < old->n; i++) {
		const struct mmio_mapping *m = &old->m[i];
		uintptr_t from = m->start > start ? m->start : start;
		uintptr_t to = m->end < end ? m->end : end;
		size_t pieces = t->n;

		if (from >= to) {
			t->m[t->n++] = *m;
			continue;
		}
		mmio_table_append(t, m, m->start, from);
		mmio_table_append(t, m, from, to);
		t->m[t->n - 1].protection = protection;
		mmio_table_append(t, m, to, m->end);
		for (pieces = t->n - pieces; pieces > 1 && m->file; pieces--)
			file_ref(m->file);
		inside++;
	}
	mmio_table_publish(t);
	return inside ? 0 : -ENOENT;
}

int mmio_protect(void *address, size_t size, int protection)
{
	uintptr_t start = (uintptr_t)address, end, at;
	const struct mmio_table *t;
	uint64_t signals;
	int result = 0;
	size_t i;

	if (start % PAGE)
		return -EINVAL;
	if (!mmio_overlaps(address, size))
		return host_mprotect(address, size, protection);
	end = start + ((size + PAGE - 1) & ~(size_t)(PAGE - 1));
	enter(&signals);
	result = set_protection(start, end, protection);
	if (result == -ENOENT) {
		leave(&signals);
		return host_mprotect(address, size, protection);
	}
	t = mmio_table();
	i = mmio_table_search(t, start);
	/* In order of address and until the first error, as the kernel does. */
	for (at = start; at < end && result == 0;) {
		const struct mmio_mapping *m = i < t->n ? &t->m[i] : NULL;
		uintptr_t to = m && m->start < end ? m->start : end;

		if (at < to) {
			result = host_mprotect((void *)at, to - at, protection);
			at = to;
		} else {
			to = m->end < end ? m->end : end;
			result = protect(m, at, to);
			at = to;
			i++;
		}
	}
	leave(&signals);
	return result;
}

void mmio_moved(void *from, size_t old_size, void *to, size_t new_size)
{
	uintptr_t start = (uintptr_t)from, place = (uintptr_t)to;
	size_t size = (new_size < old_size ? new_size : old_size) + PAGE - 1;
	const struct mmio_table *old;
	struct mmio_table *t;
	uint64_t signals;

	size &= ~(size_t)(PAGE - 1);
	if (new_size < old_size)
		mmio_unmapped((char *)from + size, old_size - size);
	if (from == to)
		return;
	mmio_unmapped(to, new_size);
	enter(&signals);
	old = mmio_table();
	t = old ? mmio_table_new(old) : NULL;
	for (size_t i = 0; t && i < old->n; i++) {
		const struct mmio_mapping *m = &old->m[i];
		uintptr_t first = m->start > start ? m->start : start;
		uintptr_t last = m->end < start + size ? m->end : start + size;
		size_t pieces = t->n;

		if (first >= last) {
			t->m[t->n++] = *m;
			continue;
		}
		mmio_table_append(t, m, m->start, first);
		mmio_table_append(t, m, first, last);
		t->m[t->n - 1].start = first - start + place;
		t->m[t->n - 1].end = last - start + place;
		mmio_table_append(t, m, last, m->end);
		for (pieces = t->n - pieces; pieces > 1 && m->file; pieces--)
			file_ref(m->file);
	}
	if (t) {
		mmio_table_sort(t);
		mmio_table_publish(t);
	}
	leave(&signals);
}

/* ---- doorbells, fork, faults ---- */

void mmio_doorbells_open(struct standin_device *dev, bool open)
{
	const struct mmio_table *t;
	uint64_t signals;

	enter(&signals);
	t = mmio_table();
	doorbells_set_open(dev, open); /* what page_protection() goes by */
	for (size_t i = 0; t && i < t->n; i++)
		if (t->m[i].dev == dev && has_doorbells(&t->m[i]))
			protect(&t->m[i], t->m[i].start, t->m[i].end);
	leave(&signals);
}

void mmio_memory_enable(struct standin_device *dev, bool enabled)
{
	const struct mmio_table *t;
	uint64_t signals;

	if (atomic_load(&dev->memory_off) == !enabled)
		return;
	enter(&signals);
	atomic_store(&dev->memory_off, !enabled); /* what page_protection() goes by */
	t = mmio_table();
	for (size_t i = 0; t && i < t->n; i++)
		if (t->m[i].dev == dev)
			protect(&t->m[i], t->m[i].start, t->m[i].end);
	leave(&signals);
}

/* The first mapping of the device: false if there is none. */
static bool find_of_device(struct standin_device *dev, uintptr_t *ret_start, uintptr_t *ret_end)
{
	const struct mmio_table *t = mmio_table_read();
	bool found = false;

	for (size_t i = 0; t && i < t->n && !found; i++) {
		found = t->m[i].dev == dev;
		*ret_start = t->m[i].start;
		*ret_end = t->m[i].end;
	}
	mmio_table_done();
	return found;
}

void mmio_release(struct standin_device *dev)
{
	uintptr_t start, end;

	while (find_of_device(dev, &start, &end)) {
		host_mprotect((void *)start, end - start, PROT_NONE);
		mmio_unmapped((void *)start, end - start);
	}
}

void mmio_forked(void)
{
	const struct mmio_table *t = mmio_table();

	pthread_mutex_init(&lock, NULL);
	mmio_table_forked();
	for (size_t i = 0; t && i < t->n; i++)
		doorbells_forked(t->m[i].dev);
	for (size_t i = 0; t && i < t->n; i++)
		if (has_doorbells(&t->m[i]))
			protect(&t->m[i], t->m[i].start, t->m[i].end);
}

void mmio_find(const void *address, struct mmio_hit *ret_hit)
{
	uintptr_t a = (uintptr_t)address;
	const struct mmio_table *t = mmio_table_read();
	enum standin_page kind;
	struct mmio_mapping m = {0};
	size_t at;

	if (t) {
		at = mmio_table_search(t, a);
		if (at < t->n && t->m[at].start <= a)
			m = t->m[at];
	}
	mmio_table_done();
	memset(ret_hit, 0, sizeof(*ret_hit));
	ret_hit->verdict = MMIO_NOT_OURS;
	if (!m.dev)
		return;
	ret_hit->dev = m.dev;
	ret_hit->bar = m.bar;
	ret_hit->offset = m.offset + a - m.start;
	ret_hit->left = m.end - a;
	ret_hit->protection = m.protection;
	kind = device_page_kind(m.dev, m.bar, ret_hit->offset);
	ret_hit->verdict = MMIO_TRAPPED;
	if (atomic_load(&m.dev->memory_off))
		ret_hit->verdict = MMIO_OFF;
	else if (kind == STANDIN_PAGE_RAM ||
		 (kind == STANDIN_PAGE_DOORBELL && doorbells_open(m.dev)))
		ret_hit->verdict = MMIO_RETRY;
}

static mmio_read_fn *read_register = device_bar_read;
static mmio_write_fn *write_register = device_bar_write;

void mmio_set_access(mmio_read_fn *read, mmio_write_fn *write)
{
	read_register = read;
	write_register = write;
}

uint64_t mmio_read(const struct mmio_hit *hit, unsigned size)
{
	return read_register(hit->dev, hit->bar, hit->offset, size);
}

void mmio_write(const struct mmio_hit *hit, unsigned size, uint64_t value)
{
	write_register(hit->dev, hit->bar, hit->offset, size, value);
}
