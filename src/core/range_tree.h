/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/range_tree.h - the ordered store under core/iova.h: a B+ tree of non-overlapping
 * ranges, keyed by their first address.
 *
 * No locking, no waiting: that is the address map's.  A pointer to an entry is good until
 * the next insertion or removal.
 */
#ifndef STANDIN_CORE_RANGE_TREE_H
#define STANDIN_CORE_RANGE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct range_entry {
	uint64_t last;
	uintptr_t address;
	uint32_t flags;
	pid_t pid;
	uint32_t pins;
	bool leaving; /* a removal or replacement waits for the pins; no new ones */
};

#define RANGE_NODE_MAX 32 /* entries of a leaf, children of an inner node */

struct range_node;

struct range_tree {
	struct range_node *root; /* a leaf, perhaps empty, or an inner node */
	unsigned height;         /* inner levels above the leaves */
	size_t count;
	struct range_node *free; /* nodes not in use */
	struct range_chunk *chunks;
};

/* Where an entry is; `leaf` is NULL for "there is none". */
struct range_place {
	struct range_node *leaf;
	unsigned index;
};

/* 0 or -ENOMEM. */
int range_tree_init(struct range_tree *t);
void range_tree_finish(struct range_tree *t);

/* The entry that contains `address`, or the first one after it. */
struct range_place range_tree_find(const struct range_tree *t, uint64_t address);
/* The entry that follows. */
struct range_place range_tree_next(struct range_place place);

uint64_t range_place_first(struct range_place place);
struct range_entry *range_place_entry(struct range_place place);

/* 0, -EEXIST if any part of [first, entry->last] is taken, -ENOMEM. */
int range_tree_insert(struct range_tree *t, uint64_t first, const struct range_entry *entry);
/* Removes the entry that begins at `first`: 0 or -ENOENT. */
int range_tree_remove(struct range_tree *t, uint64_t first);

#endif
