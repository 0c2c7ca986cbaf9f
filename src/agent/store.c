/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading: if the file is not the one that the pool agrees with (its inode, size and times say
 * so), it is read anew.  Changes that are not written yet are then made again in what was read:
 * changed records are marked in the pool, removed keys are listed here.
 *
 * Writing: under the locks of the present file, which is read first if others have changed it,
 * a new one is written, synced and renamed over it.  Locks are hardly waited for: whoever holds
 * one may keep it for ever, and then the write is tried again later.
 */
#include "agent/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "agent/clock.h"
#include "agent/likeness.h"
#include "agent/log.h"

#define LOCK_PATIENCE  (10 * CLOCK_MS)
#define RETRY          (10 * CLOCK_MS)
#define RETRY_FAILED   CLOCK_SECOND
#define SPACING        10 /* of the time that a write takes, between writes */
#define SPACING_MAX    CLOCK_SECOND
#define GHOST_WAIT     (10 * CLOCK_MS)
#define GHOST_WAIT_MAX CLOCK_SECOND
#define GHOST_UNKNOWN  (2 * CLOCK_SECOND)
#define CHUNK          128 /* records per write() */

/* A FIFO must not keep us waiting, and no link leads elsewhere. */
#define OPEN_FLAGS (O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)

/* ---- locks ---- */

static bool try_lock(int fd, bool exclusive)
{
	struct flock l = {.l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};

	return flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0 &&
	       fcntl(fd, F_OFD_SETLK, &l) == 0;
}

static void unlock(int fd)
{
	struct flock l = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	fcntl(fd, F_OFD_SETLK, &l);
	flock(fd, LOCK_UN);
}

/*
 * Opens the file and locks it; closing it unlocks.  The file of that name may be replaced by
 * another between the two, then it is done again.  -EAGAIN: somebody else holds a lock, or a
 * lease; -EINVAL: it is no plain file.
 */
static int open_locked(const struct store *s, bool exclusive, int64_t patience, int *ret_fd,
		       struct stat *ret_st)
{
	int64_t until = clock_now() + patience;
	struct stat named;

	for (;;) {
		int flags = (exclusive ? O_RDWR | O_CREAT : O_RDONLY) | OPEN_FLAGS;
		int fd = openat(s->directory, s->name, flags, 0644);

		if (fd < 0)
			return -errno;
		if (fstat(fd, ret_st) == 0 && !S_ISREG(ret_st->st_mode)) {
			close(fd);
			return -EINVAL;
		}
		if (try_lock(fd, exclusive) && fstat(fd, ret_st) == 0 &&
		    fstatat(s->directory, s->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
		    named.st_ino == ret_st->st_ino && named.st_dev == ret_st->st_dev) {
			*ret_fd = fd;
			return 0;
		}
		close(fd);
		if (clock_now() >= until)
			return -EAGAIN;
		nanosleep(&(struct timespec){.tv_nsec = CLOCK_MS}, NULL);
	}
}

/* ---- reading ---- */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Appends the whole records from `at` on; where they end. */
static off_t read_records(int fd, off_t at, struct pool *p, bool changed)
{
	struct pool_record record;

	while (pread(fd, &record, sizeof(record), at) == sizeof(record)) {
		/* What others write need not be a string. */
		record.key[sizeof(record.key) - 1] = '\0';
		record.value[sizeof(record.value) - 1] = '\0';
		if (pool_append(p, &record, changed) < 0)
			break;
		at += sizeof(record);
	}
	return at;
}

/* The pool from the file, and our changes once more. */
static int load(struct store *s, int fd, const struct stat *st)
{
	struct pool p;
	int ret = 0;

	pool_init(&p);
	if (read_records(fd, 0, &p, false) / (off_t)sizeof(struct pool_record) <
	    st->st_size / (off_t)sizeof(struct pool_record)) {
		pool_finish(&p);
		return -EIO;
	}
	for (uint32_t i = 0; i < s->n_removed; i++)
		pool_remove(&p, s->removed[i]);
	for (uint32_t i = 0; s->dirty && ret == 0 && i < pool_count(&s->pool); i++) {
		const struct pool_record *r = pool_at(&s->pool, i);

		if (pool_is_changed(&s->pool, i))
			ret = pool_set(&p, r->key, r->value);
	}
	if (ret < 0) {
		pool_finish(&p);
		return ret;
	}
	pool_finish(&s->pool);
	s->pool = p;
	s->mark = *st;
	return 0;
}

/* Takes over what others have changed; what can't be read now is read next time. */
static void refresh(struct store *s)
{
	struct stat st;
	int fd;

	if (fstatat(s->directory, s->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    same_file(&st, &s->mark))
		return;
	if (open_locked(s, false, LOCK_PATIENCE, &fd, &st) < 0)
		return;
	if (!same_file(&st, &s->mark))
		load(s, fd, &st);
	close(fd);
}

/* ---- files that were replaced ---- */

/* Whether nobody else has it open: 1 or 0, or -errno when the file system does not tell. */
static int is_ours_alone(int fd)
{
	if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0) {
		fcntl(fd, F_SETLEASE, F_UNLCK);
		return 1;
	}
	return errno == EAGAIN ? 0 : -errno;
}

static void take_appended(struct store *s, struct store_ghost *g)
{
	uint32_t before = pool_count(&s->pool);
	struct stat st;

	if (fstat(g->fd, &st) < 0 || st.st_size <= g->size)
		return;
	g->size = read_records(g->fd, g->size, &s->pool, true);
	if (pool_count(&s->pool) != before && !s->dirty) {
		s->dirty = true;
		s->due = clock_now();
	}
}

static void look_at_ghost(struct store *s, struct store_ghost *g)
{
	/* This before what it is about: who is not there now can't append any more. */
	int alone = is_ours_alone(g->fd);

	if (try_lock(g->fd, true) || alone == 1)
		take_appended(s, g);
	if (alone == 1 || (alone < 0 && clock_now() >= g->until)) {
		close(g->fd);
		g->fd = -1;
		return;
	}
	unlock(g->fd);
}

/* The file was replaced and is closed, unless somebody else has it open. */
static void part_with(struct store *s, int fd, off_t size)
{
	struct store_ghost *g = NULL;

	if (is_ours_alone(fd) == 1) {
		close(fd);
		return;
	}
	for (unsigned i = 0; i < STORE_GHOSTS && !g; i++)
		if (s->ghost[i].fd < 0)
			g = &s->ghost[i];
	if (!g) {
		/* The oldest makes room. */
		take_appended(s, &s->ghost[0]);
		close(s->ghost[0].fd);
		memmove(&s->ghost[0], &s->ghost[1], (STORE_GHOSTS - 1) * sizeof(*g));
		g = &s->ghost[STORE_GHOSTS - 1];
	}
	g->fd = fd;
	g->size = size;
	g->until = clock_now() + GHOST_UNKNOWN;
	s->ghosts_wait = GHOST_WAIT;
	s->ghosts_due = clock_now() + s->ghosts_wait;
	/* Whoever waits for a lock gets it. */
	unlock(fd);
}

static void look_at_ghosts(struct store *s)
{
	bool any = false;

	for (unsigned i = 0; i < STORE_GHOSTS; i++) {
		if (s->ghost[i].fd >= 0)
			look_at_ghost(s, &s->ghost[i]);
		any |= s->ghost[i].fd >= 0;
	}
	s->ghosts_wait = clock_earlier(2 * s->ghosts_wait, GHOST_WAIT_MAX);
	s->ghosts_due = any ? clock_now() + s->ghosts_wait : CLOCK_NEVER;
}

/* ---- writing ---- */

static int write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			at += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

static int write_records(int fd, struct pool *p)
{
	struct pool_record *chunk = malloc(CHUNK * sizeof(*chunk));
	uint32_t n = 0;
	int ret = chunk ? 0 : -ENOMEM;

	for (uint32_t i = 0; ret == 0 && i < pool_count(p); i++) {
		chunk[n++] = *pool_at(p, i);
		if (n == CHUNK || i + 1 == pool_count(p)) {
			ret = write_all(fd, chunk, n * sizeof(*chunk));
			n = 0;
		}
	}
	free(chunk);
	return ret;
}

/* Puts a new file in the place of `old`. */
static int replace(struct store *s, int old)
{
	char name[sizeof(s->name) + 4];
	int fd, ret;

	snprintf(name, sizeof(name), "%s.new", s->name);
	unlinkat(s->directory, name, 0);
	fd = openat(s->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	/* Until it is known what the file looks like after all that is done to it here. */
	ret = try_lock(fd, true) ? write_records(fd, &s->pool) : -errno;
	if (ret == 0)
		ret = likeness_take(fd, old);
	if (ret == 0 &&
	    (fdatasync(fd) < 0 || renameat(s->directory, name, s->directory, s->name) < 0))
		ret = -errno;
	/* Its name has to last, too, where a directory can be synced. */
	if (ret == 0 && fsync(s->directory) < 0 && errno != EINVAL)
		ret = -errno;
	/* After the renaming, which changes a time. */
	if (ret == 0 && fstat(fd, &s->mark) < 0)
		ret = -errno;
	if (ret < 0)
		unlinkat(s->directory, name, 0);
	close(fd);
	return ret;
}

static int write_file(struct store *s, int64_t patience)
{
	int64_t began = clock_now();
	struct stat old;
	int fd, ret;

	ret = open_locked(s, true, patience, &fd, &old);
	if (ret < 0)
		return ret;
	if (!same_file(&old, &s->mark))
		ret = load(s, fd, &old);
	if (ret == 0)
		ret = replace(s, fd);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	pool_settle(&s->pool);
	s->n_removed = 0;
	s->dirty = false;
	s->failed = false;
	s->due = CLOCK_NEVER;
	part_with(s, fd, old.st_size);
	s->written_at = clock_now();
	s->write_took = s->written_at - began;
	return 0;
}

static int64_t earliest_write(const struct store *s)
{
	return s->written_at + clock_earlier(SPACING * s->write_took, SPACING_MAX);
}

/* Changes that were answered; what can't be written now is tried again later. */
static int write_answered(struct store *s)
{
	int ret = write_file(s, 0);

	if (ret < 0)
		s->due = clock_now() + (ret == -EAGAIN ? RETRY : RETRY_FAILED);
	if (ret < 0 && ret != -EAGAIN && !s->failed) {
		s->failed = true;
		log_line(LOG_ERR, "%s: %s; tried again until it works", s->name, strerror(-ret));
	}
	return ret;
}

/*
 * Before another change: takes over what others have changed, and writes those that were answered
 * if it is time to, since of what can't be written nothing more may be answered.
 */
static int prepare(struct store *s)
{
	int ret = 0;

	refresh(s);
	if (s->dirty && !s->held && (s->failed || clock_now() >= earliest_write(s)))
		ret = write_answered(s);
	return ret == -EAGAIN ? 0 : ret;
}

/* After a change; `before`: there were others that were not written. */
static int written(struct store *s, bool before)
{
	int64_t now = clock_now();
	int ret;

	s->dirty = true;
	/* With those before. */
	if (before)
		return 0;
	if (s->held || now < earliest_write(s)) {
		s->due = earliest_write(s);
		return 0;
	}
	ret = write_file(s, LOCK_PATIENCE);
	if (ret == -EAGAIN) {
		s->due = now + RETRY;
		return 0;
	}
	if (ret < 0) {
		/* As if it had not been. */
		s->dirty = false;
		s->n_removed = 0;
		s->due = CLOCK_NEVER;
		memset(&s->mark, 0, sizeof(s->mark));
		refresh(s);
		log_line(LOG_ERR, "%s: %s", s->name, strerror(-ret));
	}
	return ret;
}

/* ---- what is asked for ---- */

int store_init(struct store *s, int directory, const char *name)
{
	struct stat st;
	int fd, ret;

	memset(s, 0, sizeof(*s));
	pool_init(&s->pool);
	s->directory = directory;
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->due = s->ghosts_due = CLOCK_NEVER;
	for (unsigned i = 0; i < STORE_GHOSTS; i++)
		s->ghost[i].fd = -1;
	fd = openat(directory, name, O_RDWR | O_CREAT | OPEN_FLAGS, 0644);
	if (fd < 0)
		return -errno;
	ret = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
	close(fd);
	if (ret == 0)
		refresh(s);
	return ret;
}

void store_finish(struct store *s)
{
	look_at_ghosts(s);
	if (s->dirty && !s->held) {
		int ret = write_file(s, LOCK_PATIENCE);

		if (ret < 0)
			log_line(LOG_ERR, "%s: changes are lost: %s", s->name, strerror(-ret));
	}
	for (unsigned i = 0; i < STORE_GHOSTS; i++)
		if (s->ghost[i].fd >= 0)
			close(s->ghost[i].fd);
	free(s->removed);
	pool_finish(&s->pool);
}

const char *store_get(struct store *s, const char *key)
{
	const struct pool_record *r;

	refresh(s);
	r = pool_find(&s->pool, key);
	return r ? r->value : NULL;
}

const struct pool_record *store_at(struct store *s, uint32_t index)
{
	refresh(s);
	return pool_at(&s->pool, index);
}

int store_set(struct store *s, const char *key, const char *value)
{
	int ret = prepare(s);
	bool before = s->dirty;

	if (ret == 0)
		ret = pool_set(&s->pool, key, value);
	return ret < 0 ? ret : written(s, before);
}

int store_remove(struct store *s, const char *key)
{
	int ret = prepare(s);
	bool before = s->dirty;

	if (ret < 0)
		return ret;
	if (s->n_removed == POOL_RECORDS_MAX)
		return -ENOSPC;
	if (s->n_removed == s->removed_capacity) {
		uint32_t capacity = s->removed_capacity ? 2 * s->removed_capacity : 16;
		void *removed = realloc(s->removed, capacity * sizeof(*s->removed));

		if (!removed)
			return -ENOMEM;
		s->removed = removed;
		s->removed_capacity = capacity;
	}
	if (!pool_remove(&s->pool, key))
		return -ENOENT;
	pool_fill(s->removed[s->n_removed++], sizeof(s->removed[0]), key);
	return written(s, before);
}

void store_hold(struct store *s, bool hold)
{
	if (hold && s->dirty && write_file(s, LOCK_PATIENCE) < 0)
		log_line(LOG_WARNING, "%s: changes are not in the file yet", s->name);
	s->held = hold;
	if (!hold && s->dirty)
		s->due = clock_now();
}

int64_t store_due(const struct store *s)
{
	return s->held ? CLOCK_NEVER : clock_earlier(s->due, s->ghosts_due);
}

void store_tick(struct store *s)
{
	if (s->held)
		return;
	if (clock_now() >= s->ghosts_due)
		look_at_ghosts(s);
	if (s->dirty && clock_now() >= s->due)
		write_answered(s);
}
