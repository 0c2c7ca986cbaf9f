/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One lock around a range tree.  It is held for tens of nanoseconds at a time, never while
 * anything can fault or wait, so that a device thread and a mapping client rarely meet;
 * who finds it taken spins for a while before it sleeps.  The lock is a word of ours, since
 * a pthread mutex costs as much as the rest of an insertion.
 *
 * A pin is a count in the entry.  A removal that finds it above zero marks the entry as
 * leaving, which refuses new pins, and sleeps until the last unpin wakes it.
 */
#include "core/iova.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/range_tree.h"
#include "core/syscall.h"

#define SPINS 200

enum { LOCK_FREE, LOCK_HELD, LOCK_AWAITED };

struct iova_map {
	_Atomic uint32_t lock;     /* LOCK_AWAITED: somebody sleeps on it, or did */
	_Atomic uint32_t unpinned; /* counts wake-ups of those who wait for pins to go */
	unsigned waiting;          /* how many do */
	struct range_tree tree;
};

static __attribute__((noinline)) void lock_slowly(struct iova_map *map)
{
	uint32_t seen;
	unsigned i;

	for (i = 0; i < SPINS; i++) {
		__builtin_ia32_pause();
		seen = atomic_load_explicit(&map->lock, memory_order_relaxed);
		if (seen == LOCK_FREE && atomic_compare_exchange_weak_explicit(
						 &map->lock, &seen, LOCK_HELD, memory_order_acquire,
						 memory_order_relaxed))
			return;
	}
	while (atomic_exchange_explicit(&map->lock, LOCK_AWAITED, memory_order_acquire) !=
	       LOCK_FREE)
		host_syscall(SYS_futex, &map->lock, FUTEX_WAIT_PRIVATE, LOCK_AWAITED, NULL);
}

static inline void lock(struct iova_map *map)
{
	uint32_t seen = LOCK_FREE;

	if (!atomic_compare_exchange_strong_explicit(&map->lock, &seen, LOCK_HELD,
						     memory_order_acquire, memory_order_relaxed))
		lock_slowly(map);
}

static inline void unlock(struct iova_map *map)
{
	if (atomic_exchange_explicit(&map->lock, LOCK_FREE, memory_order_release) == LOCK_AWAITED)
		host_syscall(SYS_futex, &map->lock, FUTEX_WAKE_PRIVATE, 1);
}

int iova_map_create(struct iova_map **ret_map)
{
	struct iova_map *map;

	map = calloc(1, sizeof(*map));
	if (!map)
		return -ENOMEM;
	if (range_tree_init(&map->tree)) {
		free(map);
		return -ENOMEM;
	}
	*ret_map = map;
	return 0;
}

/*
 * Waits, with the lock given up meanwhile, until the range that begins at `first` is not
 * pinned.  It stays in the map.  NULL leaf: there is no such range (any more).
 */
static struct range_place wait_unpinned(struct iova_map *map, uint64_t first)
{
	struct range_place place;
	struct range_entry *entry;
	uint32_t seen;

	for (;;) {
		place = range_tree_find(&map->tree, first);
		if (!place.leaf || range_place_first(place) != first) {
			place.leaf = NULL;
			return place;
		}
		entry = range_place_entry(place);
		if (!entry->pins)
			return place;
		entry->leaving = true;
		map->waiting++;
		seen = atomic_load(&map->unpinned);
		unlock(map);
		host_syscall(SYS_futex, &map->unpinned, FUTEX_WAIT_PRIVATE, seen, NULL);
		lock(map);
		map->waiting--;
	}
}

void iova_map_destroy(struct iova_map *map)
{
	struct range_place place;

	if (!map)
		return;
	lock(map);
	place = range_tree_find(&map->tree, 0);
	while (place.leaf) {
		if (range_place_entry(place)->pins)
			place = wait_unpinned(map, range_place_first(place));
		else
			place = range_tree_next(place);
	}
	unlock(map);
	range_tree_finish(&map->tree);
	free(map);
}

int iova_map_insert(struct iova_map *map, const struct iova_range *range)
{
	struct range_entry entry = {
		.last = range->last,
		.address = range->address,
		.flags = range->flags,
		.pid = range->pid,
	};
	int ret;

	lock(map);
	ret = range_tree_insert(&map->tree, range->first, &entry);
	unlock(map);
	return ret;
}

static void fill(struct range_place place, struct iova_range *ret_range)
{
	const struct range_entry *entry = range_place_entry(place);

	ret_range->first = range_place_first(place);
	ret_range->last = entry->last;
	ret_range->address = entry->address;
	ret_range->flags = entry->flags;
	ret_range->pid = entry->pid;
}

bool iova_map_find(struct iova_map *map, uint64_t iova, struct iova_range *ret_range)
{
	struct range_place place;

	lock(map);
	place = range_tree_find(&map->tree, iova);
	if (place.leaf)
		fill(place, ret_range);
	unlock(map);
	return place.leaf != NULL;
}

bool iova_map_lookup(struct iova_map *map, uint64_t iova, struct iova_range *ret_range)
{
	struct range_place place;
	bool found;

	lock(map);
	place = range_tree_find(&map->tree, iova);
	found = place.leaf && range_place_first(place) <= iova;
	if (found)
		fill(place, ret_range);
	unlock(map);
	return found;
}

int iova_map_remove(struct iova_map *map, uint64_t first)
{
	int ret;

	lock(map);
	ret = wait_unpinned(map, first).leaf ? range_tree_remove(&map->tree, first) : -ENOENT;
	unlock(map);
	return ret;
}

int iova_map_take(struct iova_map *map, uint64_t first, uint64_t last, struct iova_range *ret_range)
{
	struct range_place place;
	int ret = -ENOENT;

	lock(map);
	place = range_tree_find(&map->tree, first);
	if (place.leaf && range_place_first(place) == first &&
	    range_place_entry(place)->last == last) {
		if (range_place_entry(place)->pins)
			place = wait_unpinned(map, first);
		if (place.leaf) {
			fill(place, ret_range);
			ret = range_tree_remove(&map->tree, first);
		}
	}
	unlock(map);
	return ret;
}

int iova_map_replace(struct iova_map *map, uint64_t first, uintptr_t address, uint32_t flags,
		     pid_t pid)
{
	struct range_place place;
	struct range_entry *entry;

	lock(map);
	place = wait_unpinned(map, first);
	if (place.leaf) {
		entry = range_place_entry(place);
		entry->address = address;
		entry->flags = flags;
		entry->pid = pid;
		entry->leaving = false;
	}
	unlock(map);
	return place.leaf ? 0 : -ENOENT;
}

size_t iova_map_count(struct iova_map *map)
{
	size_t count;

	lock(map);
	count = map->tree.count;
	unlock(map);
	return count;
}

/* With the lock held: takes back one pin of each range in [iova, last]. */
static void unpin_locked(struct iova_map *map, uint64_t iova, uint64_t last)
{
	struct range_place place = range_tree_find(&map->tree, iova);
	bool wake = false;

	while (place.leaf && range_place_first(place) <= last) {
		if (!--range_place_entry(place)->pins)
			wake = true;
		place = range_tree_next(place);
	}
	if (wake && map->waiting) {
		atomic_fetch_add(&map->unpinned, 1);
		host_syscall(SYS_futex, &map->unpinned, FUTEX_WAKE_PRIVATE, INT_MAX);
	}
}

int iova_map_pin(struct iova_map *map, uint64_t iova, size_t size, unsigned access,
		 struct iovec *iov, unsigned max_iov, unsigned *n_iov, uint64_t *ret_fault)
{
	struct range_place place;
	struct range_entry *entry;
	unsigned n = *n_iov;
	uint64_t at = iova, end, first;
	uintptr_t address;
	size_t part;
	int ret = 0;

	if (!size)
		return 0;
	if (iova + (size - 1) < iova) {
		*ret_fault = iova;
		return -EFAULT;
	}
	end = iova + (size - 1);
	lock(map);
	place = range_tree_find(&map->tree, iova);
	for (;;) {
		if (!place.leaf || range_place_first(place) > at) {
			ret = -EFAULT;
			break;
		}
		first = range_place_first(place);
		entry = range_place_entry(place);
		if ((entry->flags & access) != access || entry->leaving) {
			ret = -EFAULT;
			break;
		}
		if (entry->pid) {
			ret = -EXDEV;
			break;
		}
		part = (entry->last < end ? entry->last : end) - at + 1;
		address = entry->address + (at - first);
		if (n > *n_iov && (uintptr_t)iov[n - 1].iov_base + iov[n - 1].iov_len == address) {
			iov[n - 1].iov_len += part;
		} else if (n < max_iov) {
			iov[n].iov_base = (void *)address;
			iov[n].iov_len = part;
			n++;
		} else {
			ret = -E2BIG;
			break;
		}
		entry->pins++;
		at += part;
		if (at - 1 == end)
			break;
		place = range_tree_next(place);
	}
	if (ret && at != iova)
		unpin_locked(map, iova, at - 1);
	unlock(map);
	if (ret) {
		*ret_fault = at;
		return ret;
	}
	*n_iov = n;
	return 0;
}

int iova_map_pin_range(struct iova_map *map, uint64_t iova, struct iova_range *ret_range)
{
	struct range_place place;
	int ret = -EFAULT;

	lock(map);
	place = range_tree_find(&map->tree, iova);
	if (place.leaf && range_place_first(place) <= iova && !range_place_entry(place)->leaving) {
		ret = range_place_entry(place)->pid ? -EXDEV : 0;
		if (ret == 0) {
			range_place_entry(place)->pins++;
			fill(place, ret_range);
		}
	}
	unlock(map);
	return ret;
}

void iova_map_unpin(struct iova_map *map, uint64_t iova, size_t size)
{
	if (!size)
		return;
	lock(map);
	unpin_locked(map, iova, iova + (size - 1));
	unlock(map);
}
