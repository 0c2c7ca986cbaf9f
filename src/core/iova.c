/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One mutex around a range tree.  It is held for tens of nanoseconds at a time, never
 * while anything can fault or wait, so that a device thread and a mapping client rarely
 * meet; an adaptive mutex spins in that case instead of sleeping.
 *
 * A pin is a count in the entry.  A removal that finds it above zero marks the entry as
 * leaving, which refuses new pins, and sleeps until the last unpin wakes it.
 */
#include "core/iova.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/range_tree.h"

struct iova_map {
	pthread_mutex_t lock;
	pthread_cond_t unpinned;
	unsigned waiting; /* for `unpinned` */
	struct range_tree tree;
};

int iova_map_create(struct iova_map **ret_map)
{
	struct iova_map *map;
	pthread_mutexattr_t attr;

	map = calloc(1, sizeof(*map));
	if (!map)
		return -ENOMEM;
	if (range_tree_init(&map->tree)) {
		free(map);
		return -ENOMEM;
	}
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&map->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	pthread_cond_init(&map->unpinned, NULL);
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
	int cancel;

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
		/* An ioctl is no cancellation point. */
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
		pthread_cond_wait(&map->unpinned, &map->lock);
		pthread_setcancelstate(cancel, NULL);
		map->waiting--;
	}
}

void iova_map_destroy(struct iova_map *map)
{
	struct range_place place;

	if (!map)
		return;
	pthread_mutex_lock(&map->lock);
	place = range_tree_find(&map->tree, 0);
	while (place.leaf) {
		if (range_place_entry(place)->pins)
			place = wait_unpinned(map, range_place_first(place));
		else
			place = range_tree_next(place);
	}
	pthread_mutex_unlock(&map->lock);
	range_tree_finish(&map->tree);
	pthread_cond_destroy(&map->unpinned);
	pthread_mutex_destroy(&map->lock);
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

	pthread_mutex_lock(&map->lock);
	ret = range_tree_insert(&map->tree, range->first, &entry);
	pthread_mutex_unlock(&map->lock);
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

	pthread_mutex_lock(&map->lock);
	place = range_tree_find(&map->tree, iova);
	if (place.leaf)
		fill(place, ret_range);
	pthread_mutex_unlock(&map->lock);
	return place.leaf != NULL;
}

bool iova_map_lookup(struct iova_map *map, uint64_t iova, struct iova_range *ret_range)
{
	struct range_place place;
	bool found;

	pthread_mutex_lock(&map->lock);
	place = range_tree_find(&map->tree, iova);
	found = place.leaf && range_place_first(place) <= iova;
	if (found)
		fill(place, ret_range);
	pthread_mutex_unlock(&map->lock);
	return found;
}

int iova_map_remove(struct iova_map *map, uint64_t first)
{
	int ret;

	pthread_mutex_lock(&map->lock);
	ret = wait_unpinned(map, first).leaf ? range_tree_remove(&map->tree, first) : -ENOENT;
	pthread_mutex_unlock(&map->lock);
	return ret;
}

int iova_map_take(struct iova_map *map, uint64_t first, uint64_t last, struct iova_range *ret_range)
{
	struct range_place place;
	int ret = -ENOENT;

	pthread_mutex_lock(&map->lock);
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
	pthread_mutex_unlock(&map->lock);
	return ret;
}

int iova_map_replace(struct iova_map *map, uint64_t first, uintptr_t address, uint32_t flags,
		     pid_t pid)
{
	struct range_place place;
	struct range_entry *entry;

	pthread_mutex_lock(&map->lock);
	place = wait_unpinned(map, first);
	if (place.leaf) {
		entry = range_place_entry(place);
		entry->address = address;
		entry->flags = flags;
		entry->pid = pid;
		entry->leaving = false;
	}
	pthread_mutex_unlock(&map->lock);
	return place.leaf ? 0 : -ENOENT;
}

size_t iova_map_count(struct iova_map *map)
{
	size_t count;

	pthread_mutex_lock(&map->lock);
	count = map->tree.count;
	pthread_mutex_unlock(&map->lock);
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
	if (wake && map->waiting)
		pthread_cond_broadcast(&map->unpinned);
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
	pthread_mutex_lock(&map->lock);
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
	pthread_mutex_unlock(&map->lock);
	if (ret) {
		*ret_fault = at;
		return ret;
	}
	*n_iov = n;
	return 0;
}

void iova_map_unpin(struct iova_map *map, uint64_t iova, size_t size)
{
	if (!size)
		return;
	pthread_mutex_lock(&map->lock);
	unpin_locked(map, iova, iova + (size - 1));
	pthread_mutex_unlock(&map->lock);
}
