/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/pool.h - the records of one pool of key-value pairs, in memory.
 *
 * Records have an order, which is that of the file, and a key is found by hashing.  Files that
 * others write may have a key several times: then the first counts, as for the kernel's
 * daemon.  To get, set and remove takes the same time whatever their number.
 */
#ifndef STANDIN_AGENT_POOL_H
#define STANDIN_AGENT_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/hyperv.h>

/* How many a host may make; a file that has more is read all the same. */
#define POOL_RECORDS_MAX 16384u

/* As in the files of the daemons: strings, with zeros behind them. */
struct pool_record {
	char key[HV_KVP_EXCHANGE_MAX_KEY_SIZE];
	char value[HV_KVP_EXCHANGE_MAX_VALUE_SIZE];
};
_Static_assert(sizeof(struct pool_record) == 2560, "as in the files");

struct pool_place;

struct pool {
	struct pool_record *records; /* in places, whatever their order */
	struct pool_place *places;
	uint32_t n_places, capacity;
	uint32_t free_place; /* the first of a list */
	uint32_t *order;     /* positions to places, with holes */
	uint32_t n_order, n_records, order_capacity;
	uint32_t *buckets;
	uint32_t n_buckets; /* a power of two */
	uint64_t seed;
};

void pool_init(struct pool *p);
void pool_finish(struct pool *p);

uint32_t pool_count(const struct pool *p);

/* Puts a string into a field, cut if it must be, with zeros up to the field's end. */
void pool_fill(char *field, size_t size, const char *text);

/* NULL if there is none.  The record moves with the next change of the pool. */
const struct pool_record *pool_find(const struct pool *p, const char *key);

/* By its position, NULL beyond the last. */
const struct pool_record *pool_at(struct pool *p, uint32_t index);

/*
 * Changes the record of that key, or makes one behind the others; key and value are at most one
 * shorter than their fields.  Marks it as changed.  -ENOMEM; -ENOSPC when there are too many.
 */
int pool_set(struct pool *p, const char *key, const char *value);

/* Behind the others, though there be such a key.  -ENOMEM. */
int pool_append(struct pool *p, const struct pool_record *record, bool changed);

/* Whether there was one. */
bool pool_remove(struct pool *p, const char *key);

/* What was changed by pool_set() or pool_append() since pool_settle(). */
bool pool_is_changed(const struct pool *p, uint32_t index);
void pool_settle(struct pool *p);

#endif
