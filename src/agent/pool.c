/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records are in places that they keep until they are removed; chains from the buckets of a hash
 * table go through places.  Their order is a list of places of its own, in which a removed record
 * leaves a hole.  Holes are closed when somebody asks for a record by its position.
 */
#include "agent/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define NONE UINT32_MAX

struct pool_place {
	uint32_t next; /* in the chain of a bucket, or in the list of free places */
	uint32_t position;
	bool changed;
};

void pool_init(struct pool *p)
{
	memset(p, 0, sizeof(*p));
	p->free_place = NONE;
	/* A host must not be able to choose keys that share a bucket; without a seed it could. */
	if (getrandom(&p->seed, sizeof(p->seed), GRND_NONBLOCK) != sizeof(p->seed))
		p->seed = (uintptr_t)p;
}

void pool_finish(struct pool *p)
{
	free(p->records);
	free(p->places);
	free(p->order);
	free(p->buckets);
	memset(p, 0, sizeof(*p));
}

uint32_t pool_count(const struct pool *p)
{
	return p->n_records;
}

void pool_fill(char *field, size_t size, const char *text)
{
	size_t n = strnlen(text, size - 1);

	memcpy(field, text, n);
	memset(field + n, 0, size - n);
}

static uint32_t bucket(const struct pool *p, const char *key)
{
	uint64_t h = 0xcbf29ce484222325 ^ p->seed;

	for (size_t i = 0; i < sizeof(((struct pool_record *)0)->key) && key[i]; i++)
		h = (h ^ (unsigned char)key[i]) * 0x100000001b3;
	return (uint32_t)(h ^ h >> 32) & (p->n_buckets - 1);
}

static bool same_key(const char *a, const char *b)
{
	return strncmp(a, b, HV_KVP_EXCHANGE_MAX_KEY_SIZE) == 0;
}

/* The place of the first record of that key. */
static uint32_t find(const struct pool *p, const char *key)
{
	uint32_t found = NONE;

	if (p->n_buckets == 0)
		return NONE;
	for (uint32_t i = p->buckets[bucket(p, key)]; i != NONE; i = p->places[i].next)
		if (same_key(p->records[i].key, key) &&
		    (found == NONE || p->places[i].position < p->places[found].position))
			found = i;
	return found;
}

const struct pool_record *pool_find(const struct pool *p, const char *key)
{
	uint32_t place = find(p, key);

	return place == NONE ? NULL : &p->records[place];
}

static void chain(struct pool *p, uint32_t place)
{
	uint32_t *head = &p->buckets[bucket(p, p->records[place].key)];

	p->places[place].next = *head;
	*head = place;
}

static void close_holes(struct pool *p)
{
	uint32_t n = 0;

	if (p->n_order == p->n_records)
		return;
	for (uint32_t i = 0; i < p->n_order; i++) {
		if (p->order[i] == NONE)
			continue;
		p->places[p->order[i]].position = n;
		p->order[n++] = p->order[i];
	}
	p->n_order = n;
}

/* Buckets for as many records as there are places. */
static int make_buckets(struct pool *p, uint32_t n)
{
	uint32_t *buckets = realloc(p->buckets, n * sizeof(*buckets));

	if (!buckets)
		return -ENOMEM;
	p->buckets = buckets;
	p->n_buckets = n;
	memset(buckets, 0xff, n * sizeof(*buckets));
	for (uint32_t i = 0; i < p->n_order; i++)
		if (p->order[i] != NONE)
			chain(p, p->order[i]);
	return 0;
}

static int grow(struct pool *p)
{
	uint32_t capacity = p->capacity ? 2 * p->capacity : 64;
	struct pool_record *records = realloc(p->records, capacity * sizeof(*records));
	struct pool_place *places;

	if (!records)
		return -ENOMEM;
	p->records = records;
	places = realloc(p->places, capacity * sizeof(*places));
	if (!places)
		return -ENOMEM;
	p->places = places;
	if (p->n_buckets < capacity && make_buckets(p, capacity) < 0)
		return -ENOMEM;
	p->capacity = capacity;
	return 0;
}

static int grow_order(struct pool *p)
{
	uint32_t capacity = p->order_capacity ? 2 * p->order_capacity : 64;
	uint32_t *order = realloc(p->order, capacity * sizeof(*order));

	if (!order)
		return -ENOMEM;
	p->order = order;
	p->order_capacity = capacity;
	return 0;
}

int pool_append(struct pool *p, const struct pool_record *record, bool changed)
{
	uint32_t place = p->free_place;

	/* As many holes as records: better closed than given more room. */
	if (p->n_order == p->order_capacity && p->n_order >= 2 * p->n_records)
		close_holes(p);
	if (p->n_order == p->order_capacity && grow_order(p) < 0)
		return -ENOMEM;
	if (place == NONE) {
		if (p->n_places == p->capacity && grow(p) < 0)
			return -ENOMEM;
		place = p->n_places++;
	} else {
		p->free_place = p->places[place].next;
	}
	p->records[place] = *record;
	p->places[place].position = p->n_order;
	p->places[place].changed = changed;
	p->order[p->n_order++] = place;
	p->n_records++;
	chain(p, place);
	return 0;
}

int pool_set(struct pool *p, const char *key, const char *value)
{
	uint32_t place = find(p, key);
	struct pool_record record;

	if (place != NONE) {
		pool_fill(p->records[place].value, sizeof(record.value), value);
		p->places[place].changed = true;
		return 0;
	}
	if (p->n_records >= POOL_RECORDS_MAX)
		return -ENOSPC;
	pool_fill(record.key, sizeof(record.key), key);
	pool_fill(record.value, sizeof(record.value), value);
	return pool_append(p, &record, true);
}

bool pool_remove(struct pool *p, const char *key)
{
	uint32_t place = find(p, key), *link;

	if (place == NONE)
		return false;
	for (link = &p->buckets[bucket(p, key)]; *link != place; link = &p->places[*link].next)
		;
	*link = p->places[place].next;
	p->order[p->places[place].position] = NONE;
	p->places[place].next = p->free_place;
	p->free_place = place;
	p->n_records--;
	return true;
}

const struct pool_record *pool_at(struct pool *p, uint32_t index)
{
	close_holes(p);
	return index < p->n_records ? &p->records[p->order[index]] : NULL;
}

bool pool_is_changed(const struct pool *p, uint32_t index)
{
	return p->places[p->order[index]].changed;
}

void pool_settle(struct pool *p)
{
	for (uint32_t i = 0; i < p->n_order; i++)
		if (p->order[i] != NONE)
			p->places[p->order[i]].changed = false;
}
