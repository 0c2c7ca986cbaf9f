/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The descriptor cache and the inode hash behind it.
 *
 * Reading is lock-free: a slot's pointer is loaded, a reference is taken if the count is
 * not zero, and the slot is looked at again; struct file is never given back to the
 * allocator (file.c keeps a free list), so the count can be read even when the file has
 * just gone.  Changing takes the lock.  The hash holds no reference of its own: a file is
 * in it from its first descriptor to its release.
 */
#include "core/fdtable.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/file_private.h"
#include "core/hostfd.h"

#define HASH_SIZE 256u

_Atomic uintptr_t fdtable_slots[FDTABLE_SLOTS];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file *hash[HASH_SIZE];
static _Atomic unsigned n_files;

static struct file **bucket(dev_t dev, ino_t ino)
{
	return &hash[(ino ^ (ino >> 8) ^ dev) % HASH_SIZE];
}

static struct file *hash_find(dev_t dev, ino_t ino)
{
	struct file *f;

	for (f = *bucket(dev, ino); f; f = f->hash_next)
		if (f->ino == ino && f->dev == dev)
			return f;
	return NULL;
}

static bool try_get(struct file *f)
{
	int refs = atomic_load_explicit(&f->refs, memory_order_relaxed);

	while (refs > 0)
		if (atomic_compare_exchange_weak_explicit(&f->refs, &refs, refs + 1,
		                                          memory_order_acquire,
		                                          memory_order_relaxed))
			return true;
	return false;
}

static struct file *slot_file(uintptr_t value)
{
	return value > FD_PRIVATE ? (struct file *)value : NULL;
}

static _Atomic uintptr_t *slot_of(int fd)
{
	return (unsigned)fd < FDTABLE_SLOTS ? &fdtable_slots[fd] : NULL;
}

/* Puts `value` in the slot and returns the file that lost its slot, if any. */
static struct file *slot_set(int fd, uintptr_t value)
{
	_Atomic uintptr_t *slot = slot_of(fd);

	return slot ? slot_file(atomic_exchange(slot, value)) : NULL;
}

/* With the lock. */
static void hash_enter(struct file *f, const struct stat *st)
{
	struct file **head;

	if (hash_find(st->st_dev, st->st_ino) == f)
		return;
	f->dev = st->st_dev;
	f->ino = st->st_ino;
	head = bucket(f->dev, f->ino);
	f->hash_next = *head;
	*head = f;
	atomic_fetch_add(&n_files, 1);
}

int fdtable_install(int fd, struct file *f)
{
	struct file *old;
	struct stat st;
	int result;

	result = host_fstat(fd, &st);
	if (result < 0)
		return result;
	pthread_mutex_lock(&lock);
	hash_enter(f, &st);
	old = slot_set(fd, (uintptr_t)f);
	pthread_mutex_unlock(&lock);
	if (old)
		file_put(old);
	return 0;
}

int fdtable_enter(int fd, struct file *f)
{
	struct stat st;
	int result = host_fstat(fd, &st);

	if (result < 0)
		return result;
	pthread_mutex_lock(&lock);
	hash_enter(f, &st);
	pthread_mutex_unlock(&lock);
	return 0;
}

unsigned fdtable_count(const struct file *f)
{
	unsigned n = 0;

	for (unsigned fd = 0; fd < FDTABLE_SLOTS; fd++)
		n += atomic_load_explicit(&fdtable_slots[fd], memory_order_relaxed) == (uintptr_t)f;
	return n;
}

void fdtable_remove(struct file *f)
{
	struct file **link;

	pthread_mutex_lock(&lock);
	for (link = bucket(f->dev, f->ino); *link; link = &(*link)->hash_next) {
		if (*link != f)
			continue;
		*link = f->hash_next;
		atomic_fetch_sub(&n_files, 1);
		break;
	}
	pthread_mutex_unlock(&lock);
}

/* The cache knows nothing of fd: asks the kernel which inode it is. */
struct file *fdtable_resolve(int fd)
{
	_Atomic uintptr_t *slot = slot_of(fd);
	uintptr_t unknown = FD_UNKNOWN;
	struct file *f = NULL;
	struct stat st;

	if (atomic_load_explicit(&n_files, memory_order_relaxed) && host_fstat(fd, &st) == 0) {
		pthread_mutex_lock(&lock);
		f = hash_find(st.st_dev, st.st_ino);
		if (f && !try_get(f))
			f = NULL;
		else if (f && slot && try_get(f) &&
		         !atomic_compare_exchange_strong(slot, &unknown, (uintptr_t)f))
			atomic_fetch_sub(&f->refs, 1); /* never the last: one is ours */
		pthread_mutex_unlock(&lock);
	}
	unknown = FD_UNKNOWN;
	if (!f && slot)
		atomic_compare_exchange_strong(slot, &unknown, FD_FOREIGN);
	return f;
}

struct file *fdtable_get(int fd)
{
	_Atomic uintptr_t *slot = slot_of(fd);
	uintptr_t value;
	struct file *f;

	if (fd < 0)
		return NULL;
	while (slot) {
		value = atomic_load_explicit(slot, memory_order_acquire);
		if (value == FD_UNKNOWN)
			break;
		f = slot_file(value);
		if (!f)
			return NULL;
		if (try_get(f)) {
			if (atomic_load_explicit(slot, memory_order_acquire) == value)
				return f;
			file_put(f);
		}
	}
	return fdtable_resolve(fd);
}

void fdtable_forget(int fd)
{
	struct file *old = slot_set(fd, FD_UNKNOWN);

	if (old)
		file_put(old);
}

void fdtable_duplicate(int fd, int copy)
{
	struct file *f = fdtable_get(fd), *old;

	old = slot_set(copy, f ? (uintptr_t)f : FD_FOREIGN);
	if (old)
		file_put(old);
}

void fdtable_forget_range(unsigned first, unsigned last)
{
	for (unsigned fd = first; fd <= last && fd < FDTABLE_SLOTS; fd++)
		if (!fdtable_private((int)fd))
			fdtable_forget((int)fd);
}

void fdtable_set_private(int fd)
{
	struct file *old = slot_set(fd, FD_PRIVATE);

	if (old)
		file_put(old);
}

bool fdtable_any(void)
{
	return atomic_load_explicit(&n_files, memory_order_relaxed) != 0;
}

void fdtable_forked(void)
{
	file_forked();
	pthread_mutex_init(&lock, NULL);
	for (unsigned i = 0; i < HASH_SIZE; i++)
		hash[i] = NULL;
	atomic_store(&n_files, 0);
	for (unsigned fd = 0; fd < FDTABLE_SLOTS; fd++)
		if (slot_file(atomic_load_explicit(&fdtable_slots[fd], memory_order_relaxed)))
			atomic_store(&fdtable_slots[fd], FD_UNKNOWN);
}

void fdtable_inherit(void (*change)(struct file *f))
{
	file_forked();
	pthread_mutex_init(&lock, NULL);
	for (unsigned i = 0; i < HASH_SIZE; i++)
		for (struct file *f = hash[i], *next; f; f = next) {
			next = f->hash_next;
			change(f);
		}
}

size_t fdtable_files(struct file ***ret_files)
{
	struct file **files;
	size_t n = 0;

	pthread_mutex_lock(&lock);
	files = calloc(n_files ? n_files : 1, sizeof(*files));
	for (unsigned i = 0; files && i < HASH_SIZE; i++)
		for (struct file *f = hash[i]; f; f = f->hash_next)
			if (try_get(f))
				files[n++] = f;
	pthread_mutex_unlock(&lock);
	*ret_files = files;
	return n;
}

void fdtable_clear(void)
{
	for (unsigned fd = 0; fd < FDTABLE_SLOTS; fd++)
		if (slot_file(atomic_load_explicit(&fdtable_slots[fd], memory_order_relaxed)))
			fdtable_forget((int)fd);
}
