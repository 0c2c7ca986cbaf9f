/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table is replaced as a whole: a writer builds the next one and publishes it.  Readers
 * count themselves while they look, and a retired table is freed by a later writer that finds
 * nobody looking.  Nobody ever waits for a reader, because a reader can be below a writer on
 * the same thread's stack (an asynchronous handler of the client's).
 */
#include "memory/mmio_table.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "core/file.h"

static _Atomic(struct mmio_table *) current;
static struct mmio_table *retired;
static _Atomic unsigned readers;

const struct mmio_table *mmio_table(void)
{
	return atomic_load(&current);
}

bool mmio_table_any(void)
{
	return atomic_load_explicit(&current, memory_order_relaxed);
}

void mmio_table_forked(void)
{
	atomic_store(&readers, 0);
}

const struct mmio_table *mmio_table_read(void)
{
	atomic_fetch_add(&readers, 1);
	return atomic_load(&current);
}

void mmio_table_done(void)
{
	atomic_fetch_sub(&readers, 1);
}

size_t mmio_table_search(const struct mmio_table *t, uintptr_t address)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (t->m[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct mmio_table *mmio_table_new(const struct mmio_table *old)
{
	size_t room = (old ? old->n : 0) + 3;
	struct mmio_table *t = malloc(sizeof(*t) + room * sizeof(t->m[0]));

	if (t)
		t->n = 0;
	return t;
}

void mmio_table_publish(struct mmio_table *t)
{
	struct mmio_table *old = atomic_exchange(&current, t), *next;

	if (old) {
		old->retired_next = retired;
		retired = old;
	}
	if (atomic_load(&readers))
		return;
	for (; retired; retired = next) {
		next = retired->retired_next;
		free(retired);
	}
}

void mmio_table_append(struct mmio_table *t, const struct mmio_mapping *m, uintptr_t start,
		       uintptr_t end)
{
	struct mmio_mapping *piece;

	if (start >= end)
		return;
	piece = &t->m[t->n++];
	*piece = *m;
	piece->offset += start - m->start;
	piece->start = start;
	piece->end = end;
}

void mmio_table_copy_without(struct mmio_table *t, const struct mmio_table *old, uintptr_t start,
			     uintptr_t end)
{
	for (size_t i = 0; old && i < old->n; i++) {
		const struct mmio_mapping *m = &old->m[i];

		if (m->end <= start || m->start >= end) {
			t->m[t->n++] = *m;
			continue;
		}
		mmio_table_append(t, m, m->start, start < m->end ? start : m->end);
		mmio_table_append(t, m, end > m->start ? end : m->start, m->end);
		if (m->start < start && m->end > end && m->file)
			file_ref(m->file);
	}
}

void mmio_table_sort(struct mmio_table *t)
{
	for (size_t i = 1; i < t->n; i++) {
		struct mmio_mapping m = t->m[i];
		size_t at = i;

		for (; at > 0 && t->m[at - 1].start > m.start; at--)
			t->m[at] = t->m[at - 1];
		t->m[at] = m;
	}
}
