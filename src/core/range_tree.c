/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A B+ tree.  Leaves hold up to 32 ranges, the first addresses in an array of their own so
 * that a search touches few cache lines, and are chained both ways.  Inner nodes hold up
 * to 32 children; keys[i] is a lower bound of everything below child i, and child 0 takes
 * all that is below keys[1].  A bound may be lower than the first address really there,
 * since removals don't touch it.
 *
 * A full node is split.  A node is given back when it becomes empty and not before; an
 * inner root with one child is replaced by that child.  Growing by one level takes filling
 * a node on every level, so the height stays logarithmic in the number of insertions even
 * for a client that leaves one range per leaf.
 *
 * Nodes come from the tree's own chunks of memory: no malloc, whose locks the client
 * may hold when it enters from a signal handler, and no system call once warm.
 */
#include "core/range_tree.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core/hostfd.h"

#define HEIGHT_MAX 24
#define CHUNK_SIZE (64 * 1024)

struct range_node {
	unsigned count;
	union {
		struct {
			struct range_node *previous, *next;
			uint64_t first[RANGE_NODE_MAX];
			struct range_entry entry[RANGE_NODE_MAX];
		} leaf;
		struct {
			uint64_t keys[RANGE_NODE_MAX];
			struct range_node *child[RANGE_NODE_MAX];
		} inner;
		struct range_node *free_next;
	};
};

struct range_chunk {
	struct range_chunk *next;
	struct range_node nodes[];
};

#define CHUNK_NODES ((CHUNK_SIZE - sizeof(struct range_chunk)) / sizeof(struct range_node))

/* The way from the root to a leaf. */
struct path {
	struct range_node *node[HEIGHT_MAX];
	unsigned index[HEIGHT_MAX]; /* which child was taken */
};

static int refill(struct range_tree *t)
{
	struct range_chunk *chunk;
	size_t i;

	chunk = host_mmap(NULL, CHUNK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);
	if (host_is_error(chunk))
		return -ENOMEM;
	chunk->next = t->chunks;
	t->chunks = chunk;
	for (i = 0; i < CHUNK_NODES; i++) {
		chunk->nodes[i].free_next = t->free;
		t->free = &chunk->nodes[i];
	}
	return 0;
}

/* Makes sure that `n` nodes are free, so that nothing fails half way. */
static int reserve(struct range_tree *t, unsigned n)
{
	const struct range_node *node;
	unsigned have;

	for (;;) {
		for (node = t->free, have = 0; node && have < n; node = node->free_next)
			have++;
		if (have == n)
			return 0;
		if (refill(t))
			return -ENOMEM;
	}
}

static struct range_node *take(struct range_tree *t)
{
	struct range_node *node = t->free;

	t->free = node->free_next;
	node->count = 0;
	return node;
}

static void give(struct range_tree *t, struct range_node *node)
{
	node->free_next = t->free;
	t->free = node;
}

int range_tree_init(struct range_tree *t)
{
	memset(t, 0, sizeof(*t));
	if (reserve(t, 1))
		return -ENOMEM;
	t->root = take(t);
	t->root->leaf.previous = NULL;
	t->root->leaf.next = NULL;
	return 0;
}

void range_tree_finish(struct range_tree *t)
{
	struct range_chunk *chunk, *next;

	for (chunk = t->chunks; chunk; chunk = next) {
		next = chunk->next;
		host_munmap(chunk, CHUNK_SIZE);
	}
	memset(t, 0, sizeof(*t));
}

/* How many of the sorted `n` values are <= `value`. */
static inline unsigned rank(const uint64_t *values, unsigned n, uint64_t value)
{
	const uint64_t *base = values;
	unsigned half;

	if (!n)
		return 0;
	while (n > 1) {
		half = n / 2;
		base += base[half] <= value ? half : 0;
		n -= half;
	}
	return (unsigned)(base - values) + (*base <= value);
}

static inline unsigned child_for(const struct range_node *node, uint64_t value)
{
	/* keys[0] is not looked at: child 0 takes everything below keys[1]. */
	return rank(node->inner.keys + 1, node->count - 1, value);
}

static struct range_node *descend(const struct range_tree *t, uint64_t value)
{
	struct range_node *node = t->root;
	unsigned level;

	for (level = 0; level < t->height; level++)
		node = node->inner.child[child_for(node, value)];
	return node;
}

static struct range_node *descend_path(const struct range_tree *t, uint64_t value,
				       struct path *path)
{
	struct range_node *node = t->root;
	unsigned level;

	for (level = 0; level < t->height; level++) {
		path->node[level] = node;
		path->index[level] = child_for(node, value);
		node = node->inner.child[path->index[level]];
	}
	return node;
}

struct range_place range_tree_find(const struct range_tree *t, uint64_t address)
{
	struct range_place place;
	struct range_node *leaf = descend(t, address), *before;
	unsigned n = rank(leaf->leaf.first, leaf->count, address);

	place.leaf = leaf;
	place.index = n;
	if (n) {
		if (leaf->leaf.entry[n - 1].last >= address) {
			place.index = n - 1;
			return place;
		}
	} else {
		/* This leaf's own lowest range may be gone: what contains the address is before. */
		before = leaf->leaf.previous;
		if (before && before->leaf.entry[before->count - 1].last >= address) {
			place.leaf = before;
			place.index = before->count - 1;
			return place;
		}
	}
	if (n == leaf->count) {
		place.leaf = leaf->leaf.next;
		place.index = 0;
	}
	return place;
}

struct range_place range_tree_next(struct range_place place)
{
	if (++place.index == place.leaf->count) {
		place.leaf = place.leaf->leaf.next;
		place.index = 0;
	}
	return place;
}

uint64_t range_place_first(struct range_place place)
{
	return place.leaf->leaf.first[place.index];
}

struct range_entry *range_place_entry(struct range_place place)
{
	return &place.leaf->leaf.entry[place.index];
}

static void leaf_add(struct range_node *leaf, unsigned index, uint64_t first,
		     const struct range_entry *entry)
{
	unsigned after = leaf->count - index;

	memmove(&leaf->leaf.first[index + 1], &leaf->leaf.first[index],
		after * sizeof(leaf->leaf.first[0]));
	memmove(&leaf->leaf.entry[index + 1], &leaf->leaf.entry[index],
		after * sizeof(leaf->leaf.entry[0]));
	leaf->leaf.first[index] = first;
	leaf->leaf.entry[index] = *entry;
	leaf->count++;
}

/* Moves the entries from `keep` on to a new right neighbour. */
static struct range_node *leaf_split(struct range_tree *t, struct range_node *leaf, unsigned keep)
{
	struct range_node *right = take(t);

	right->count = leaf->count - keep;
	memcpy(right->leaf.first, &leaf->leaf.first[keep],
	       right->count * sizeof(leaf->leaf.first[0]));
	memcpy(right->leaf.entry, &leaf->leaf.entry[keep],
	       right->count * sizeof(leaf->leaf.entry[0]));
	leaf->count = keep;
	right->leaf.previous = leaf;
	right->leaf.next = leaf->leaf.next;
	if (right->leaf.next)
		right->leaf.next->leaf.previous = right;
	leaf->leaf.next = right;
	return right;
}

static void inner_add(struct range_node *node, unsigned index, uint64_t key,
		      struct range_node *child)
{
	unsigned after = node->count - index;

	memmove(&node->inner.keys[index + 1], &node->inner.keys[index],
		after * sizeof(node->inner.keys[0]));
	memmove(&node->inner.child[index + 1], &node->inner.child[index],
		after * sizeof(node->inner.child[0]));
	node->inner.keys[index] = key;
	node->inner.child[index] = child;
	node->count++;
}

/* Hangs `child`, whose lower bound is `key`, behind the path's child, splitting upwards. */
static void add_upwards(struct range_tree *t, struct path *path, uint64_t key,
			struct range_node *child)
{
	struct range_node *node, *right, *root;
	unsigned level = t->height, index;

	while (level--) {
		node = path->node[level];
		index = path->index[level] + 1;
		if (node->count < RANGE_NODE_MAX) {
			inner_add(node, index, key, child);
			return;
		}
		right = take(t);
		right->count = RANGE_NODE_MAX / 2;
		node->count = RANGE_NODE_MAX / 2;
		memcpy(right->inner.keys, &node->inner.keys[RANGE_NODE_MAX / 2],
		       sizeof(node->inner.keys) / 2);
		memcpy(right->inner.child, &node->inner.child[RANGE_NODE_MAX / 2],
		       sizeof(node->inner.child) / 2);
		if (index <= RANGE_NODE_MAX / 2)
			inner_add(node, index, key, child);
		else
			inner_add(right, index - RANGE_NODE_MAX / 2, key, child);
		key = right->inner.keys[0];
		child = right;
	}
	root = take(t);
	root->count = 2;
	root->inner.keys[0] = 0;
	root->inner.child[0] = t->root;
	root->inner.keys[1] = key;
	root->inner.child[1] = child;
	t->root = root;
	t->height++;
}

int range_tree_insert(struct range_tree *t, uint64_t first, const struct range_entry *entry)
{
	struct path path;
	struct range_node *leaf = descend_path(t, first, &path), *side, *right;
	unsigned index = rank(leaf->leaf.first, leaf->count, first), keep;

	if (index) {
		if (leaf->leaf.entry[index - 1].last >= first)
			return -EEXIST;
	} else {
		side = leaf->leaf.previous;
		if (side && side->leaf.entry[side->count - 1].last >= first)
			return -EEXIST;
	}
	if (index < leaf->count) {
		if (leaf->leaf.first[index] <= entry->last)
			return -EEXIST;
	} else {
		side = leaf->leaf.next;
		if (side && side->leaf.first[0] <= entry->last)
			return -EEXIST;
	}
	if (leaf->count < RANGE_NODE_MAX) {
		leaf_add(leaf, index, first, entry);
	} else {
		if (t->height + 1 >= HEIGHT_MAX || reserve(t, t->height + 2))
			return -ENOMEM;
		/* A client that maps upwards leaves full leaves behind. */
		keep = index == leaf->count && !leaf->leaf.next ? leaf->count - 1
								: RANGE_NODE_MAX / 2;
		right = leaf_split(t, leaf, keep);
		if (index <= keep)
			leaf_add(leaf, index, first, entry);
		else
			leaf_add(right, index - keep, first, entry);
		add_upwards(t, &path, right->leaf.first[0], right);
	}
	t->count++;
	return 0;
}

/* Takes the path's child out of its parent, and parents that become empty out of theirs. */
static void remove_upwards(struct range_tree *t, struct path *path)
{
	struct range_node *node;
	unsigned level = t->height, index, after;

	while (level--) {
		node = path->node[level];
		index = path->index[level];
		after = node->count - index - 1;
		memmove(&node->inner.keys[index], &node->inner.keys[index + 1],
			after * sizeof(node->inner.keys[0]));
		memmove(&node->inner.child[index], &node->inner.child[index + 1],
			after * sizeof(node->inner.child[0]));
		if (--node->count)
			break;
		/* The root keeps at least one child: the last leaf is never removed. */
		give(t, node);
	}
	while (t->height && t->root->count == 1) {
		node = t->root;
		t->root = node->inner.child[0];
		t->height--;
		give(t, node);
	}
}

int range_tree_remove(struct range_tree *t, uint64_t first)
{
	struct path path;
	struct range_node *leaf = descend_path(t, first, &path);
	unsigned index = rank(leaf->leaf.first, leaf->count, first), after;

	if (!index || leaf->leaf.first[index - 1] != first)
		return -ENOENT;
	index--;
	after = leaf->count - index - 1;
	memmove(&leaf->leaf.first[index], &leaf->leaf.first[index + 1],
		after * sizeof(leaf->leaf.first[0]));
	memmove(&leaf->leaf.entry[index], &leaf->leaf.entry[index + 1],
		after * sizeof(leaf->leaf.entry[0]));
	leaf->count--;
	t->count--;
	if (!leaf->count && t->height) {
		if (leaf->leaf.previous)
			leaf->leaf.previous->leaf.next = leaf->leaf.next;
		if (leaf->leaf.next)
			leaf->leaf.next->leaf.previous = leaf->leaf.previous;
		remove_upwards(t, &path);
		give(t, leaf);
	}
	return 0;
}
