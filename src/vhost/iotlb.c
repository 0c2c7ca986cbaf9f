/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A sorted array.  Every entry also knows how far it and those before it reach; that never
 * falls along the array, so the first entry that reaches an address, which is the one that
 * counts for it, is found by a binary search although entries may overlap.  A change moves the
 * rest of the array, some 100 KiB at most, which is little beside the message that asks for it.
 */
#include "vhost/iotlb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void vhost_iotlb_init(struct vhost_iotlb *t, unsigned limit, bool retire)
{
	*t = (struct vhost_iotlb){.limit = limit, .retire = retire};
}

void vhost_iotlb_finish(struct vhost_iotlb *t)
{
	free(t->entries);
}

struct vhost_iotlb *vhost_iotlb_create(void)
{
	struct vhost_iotlb *t = malloc(sizeof(*t));

	if (t)
		vhost_iotlb_init(t, VHOST_IOTLB_MAX, true);
	return t;
}

void vhost_iotlb_destroy(struct vhost_iotlb *t)
{
	if (!t)
		return;
	vhost_iotlb_finish(t);
	free(t);
}

/* Makes `reach` right from entry `i` on. */
static void reach_from(struct vhost_iotlb *t, unsigned i)
{
	uint64_t reach = i ? t->entries[i - 1].reach : 0;

	for (; i < t->n; i++) {
		if (t->entries[i].last > reach)
			reach = t->entries[i].last;
		t->entries[i].reach = reach;
	}
}

static void remove_at(struct vhost_iotlb *t, unsigned i)
{
	t->n--;
	memmove(t->entries + i, t->entries + i + 1, (t->n - i) * sizeof(*t->entries));
	reach_from(t, i);
}

static void retire_oldest(struct vhost_iotlb *t)
{
	unsigned oldest = 0;

	for (unsigned i = 1; i < t->n; i++)
		if (t->entries[i].sequence < t->entries[oldest].sequence)
			oldest = i;
	remove_at(t, oldest);
}

static int make_room(struct vhost_iotlb *t, unsigned more)
{
	struct vhost_iotlb_entry *entries;
	unsigned room = t->room ? t->room : 16;

	if (t->limit && t->n + more > t->limit && !t->retire)
		return -ENOSPC;
	while (room < t->n + more)
		room *= 2;
	if (room == t->room)
		return 0;
	entries = reallocarray(t->entries, room, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	t->entries = entries;
	t->room = room;
	return 0;
}

/* There is room in the array. */
static void insert(struct vhost_iotlb *t, uint64_t first, uint64_t last, uint64_t address,
		   uint32_t perm)
{
	unsigned low = 0, high;

	if (t->limit && t->n >= t->limit)
		retire_oldest(t);
	/* Behind those that begin at the same address. */
	for (high = t->n; low < high;) {
		unsigned middle = (low + high) / 2;

		if (t->entries[middle].first <= first)
			low = middle + 1;
		else
			high = middle;
	}
	memmove(t->entries + low + 1, t->entries + low, (t->n - low) * sizeof(*t->entries));
	t->entries[low] = (struct vhost_iotlb_entry){.first = first,
						     .last = last,
						     .address = address,
						     .perm = perm,
						     .sequence = t->sequence++};
	t->n++;
	reach_from(t, low);
}

int vhost_iotlb_add(struct vhost_iotlb *t, uint64_t first, uint64_t last, uint64_t address,
		    uint32_t perm)
{
	bool all = first == 0 && last == UINT64_MAX;
	int ret;

	if (last < first)
		return -EFAULT;
	ret = make_room(t, all ? 2 : 1);
	if (ret)
		return ret;
	if (all) { /* its size has no number */
		insert(t, 0, last / 2, address, perm);
		first = last / 2 + 1;
		address += first;
	}
	insert(t, first, last, address, perm);
	return 0;
}

void vhost_iotlb_remove(struct vhost_iotlb *t, uint64_t first, uint64_t last)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < t->n; i++)
		if (t->entries[i].first > last || t->entries[i].last < first)
			t->entries[kept++] = t->entries[i];
	if (kept == t->n)
		return;
	t->n = kept;
	reach_from(t, 0);
}

const struct vhost_iotlb_entry *vhost_iotlb_find(const struct vhost_iotlb *t, uint64_t first,
						 uint64_t last)
{
	unsigned low = 0, high = t->n;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (t->entries[middle].reach < first)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->n && t->entries[low].first <= last ? &t->entries[low] : NULL;
}

int vhost_iotlb_translate(const struct vhost_iotlb *t, uint64_t address, uint64_t size,
			  uint32_t perm, struct iovec *iov, unsigned max_iov, uint64_t *ret_hole)
{
	unsigned n;

	for (n = 0; size; n++) {
		const struct vhost_iotlb_entry *e;
		uint64_t part;

		if (n == max_iov)
			return -E2BIG;
		e = vhost_iotlb_find(t, address, address);
		if (!e) {
			*ret_hole = address;
			return -EAGAIN;
		}
		if (!(e->perm & perm))
			return -EPERM;
		part = e->last - address < size - 1 ? e->last - address + 1 : size;
		iov[n] = (struct iovec){(void *)(uintptr_t)(e->address + (address - e->first)),
					part};
		address += part;
		size -= part;
	}
	return (int)n;
}

const struct vhost_iotlb_entry *vhost_iotlb_window(const struct vhost_iotlb *t, uint64_t address,
						   uint64_t *ret_first, uint64_t *ret_last)
{
	const struct vhost_iotlb_entry *e = vhost_iotlb_find(t, address, address);

	if (!e)
		return NULL;
	*ret_first = e->first;
	*ret_last = e->last;
	/* Those before count as far as they reach. */
	if (e > t->entries && e[-1].reach >= e->first)
		*ret_first = e[-1].reach + 1;
	return e;
}
