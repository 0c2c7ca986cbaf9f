/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/store.h - a pool and its file, which it shares with other programs.
 *
 * The file is an array of struct pool_record.  It is never changed but replaced as a whole, by
 * rename(), so that it is whole at any time, also for those who take no lock and after a
 * power failure.  Who changes or reads it holds two locks of it, for the two kinds of
 * programs that do: flock() (cloud-init, libazureinit) and fcntl() (the kernel's daemon).
 *
 * A program that opened the file before it was replaced, and appends to it after that, has the
 * old file; as long as somebody has that open, it is looked at and what is appended is taken
 * over.
 *
 * A change is on disk before it is answered, unless they come so fast that most of the time would
 * go into writing: then it is on disk a while later, some ten times as long as writing takes.
 */
#ifndef STANDIN_AGENT_STORE_H
#define STANDIN_AGENT_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "agent/pool.h"

#define STORE_GHOSTS 8u

struct store_ghost {
	int fd; /* of a file that was replaced and that somebody has open; -1 */
	off_t size;
	int64_t until; /* how long it is looked at if nobody can say who has it open */
};

struct store {
	int directory; /* not ours */
	char name[32];
	struct pool pool;
	struct stat mark;                              /* of the file that `pool` agrees with */
	char (*removed)[HV_KVP_EXCHANGE_MAX_KEY_SIZE]; /* since then */
	uint32_t n_removed, removed_capacity;
	bool dirty;  /* there are changes that are not in the file */
	bool failed; /* they could not be written, and that was said */
	bool held;
	int64_t written_at, write_took, due;
	struct store_ghost ghost[STORE_GHOSTS];
	int64_t ghosts_due, ghosts_wait;
};

/* Makes the file if there is none.  -errno; the store is finished with in any case. */
int store_init(struct store *s, int directory, const char *name);
/* Writes what is not written. */
void store_finish(struct store *s);

/* These look first whether others have changed the file. */
const char *store_get(struct store *s, const char *key);
const struct pool_record *store_at(struct store *s, uint32_t index);
/* -errno: nothing is changed.  -ENOENT from store_remove(): no such key. */
int store_set(struct store *s, const char *key, const char *value);
int store_remove(struct store *s, const char *key);

/* While held, as the file system may be frozen, nothing is written; before, everything. */
void store_hold(struct store *s, bool hold);

/* When store_tick() has something to do: a time of clock_now(), or CLOCK_NEVER. */
int64_t store_due(const struct store *s);
void store_tick(struct store *s);

#endif
