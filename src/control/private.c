/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making, removing and sweeping private directories.
 *
 * A sweeper may come along between any two steps of making one.  Each step notices: the
 * lock file can't be made any more, or can't be locked, or is locked but has no name left;
 * then the directory is given up and another one made.
 */
#include "control/private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "tree/tree.h"

#define MEMORY_BASE   "/dev/shm"
#define MEMORY_FREE   (1u << 30) /* bytes that have to be free there */
#define FALLBACK_BASE "/tmp"
#define NAME_PREFIX   "standin."
#define NAME_LENGTH   (sizeof(NAME_PREFIX) - 1 + 6)
#define ATTEMPTS      16

static bool runtime_base_is_usable(const char *base)
{
	struct stat st;

	return base && base[0] == '/' && strlen(base) <= PATH_MAX / 2 && !strchr(base, '\n') &&
	       stat(base, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       access(base, W_OK | X_OK) == 0;
}

/*
 * Some containers have a plain directory there, which is no better than /tmp, or only few
 * megabytes, and drives in memory are kept in the private directory.
 */
static bool memory_base_is_usable(void)
{
	struct statfs fs;

	return statfs(MEMORY_BASE, &fs) == 0 && fs.f_type == TMPFS_MAGIC &&
	       (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize >= MEMORY_FREE &&
	       access(MEMORY_BASE, W_OK | X_OK) == 0;
}

/* The places to try, best first. */
static unsigned find_bases(const char *bases[3])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	unsigned n = 0;

	if (runtime_base_is_usable(runtime))
		bases[n++] = runtime;
	if (memory_base_is_usable())
		bases[n++] = MEMORY_BASE;
	bases[n++] = FALLBACK_BASE;
	return n;
}

const char *private_base(void)
{
	const char *bases[3];

	find_bases(bases);
	return bases[0];
}

/* 0, -EAGAIN if a sweeper was faster, or -errno. */
static int lock_directory(struct private_directory *p)
{
	char file[PATH_MAX + 8];
	struct stat st;

	snprintf(file, sizeof(file), "%s/lock", p->path);
	p->lock = open(file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (p->lock < 0)
		return errno == ENOENT ? -EAGAIN : -errno;
	if (flock(p->lock, LOCK_EX | LOCK_NB) == 0 && fstat(p->lock, &st) == 0 && st.st_nlink > 0)
		return 0;
	close(p->lock);
	p->lock = -1;
	return -EAGAIN;
}

static int create_in(struct private_directory *p, const char *base)
{
	int result;

	for (int i = 0; i < ATTEMPTS; i++) {
		snprintf(p->path, sizeof(p->path), "%s/" NAME_PREFIX "XXXXXX", base);
		if (!mkdtemp(p->path))
			return -errno;
		result = lock_directory(p);
		if (result == 0) {
			snprintf(p->root, sizeof(p->root), "%.*s/root", PATH_MAX - 8, p->path);
			if (mkdir(p->root, 0755) == 0)
				return 0;
			result = -errno;
			close(p->lock);
		}
		tree_remove(p->path);
		if (result != -EAGAIN)
			return result;
	}
	return -EBUSY;
}

int private_create(struct private_directory *p)
{
	const char *bases[3];
	unsigned n = find_bases(bases);
	int result = -ENOENT;

	p->lock = -1;
	for (unsigned i = 0; i < n && result < 0; i++)
		result = create_in(p, bases[i]);
	return result;
}

int private_write(const struct private_directory *p, const char *name, const char *text)
{
	char file[PATH_MAX + 32];
	size_t size = strlen(text);
	int fd, result = 0;

	snprintf(file, sizeof(file), "%s/%s", p->path, name);
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	errno = ENOSPC;
	if (write(fd, text, size) != (ssize_t)size)
		result = -errno;
	close(fd);
	return result;
}

void private_remove(struct private_directory *p)
{
	tree_remove(p->path);
	if (p->lock >= 0)
		close(p->lock);
	p->lock = -1;
}

/* What is done with a directory of ours, whose lock is in somebody's hands or free. */
struct visit {
	void (*locked)(const char *path, void *arg);
	void (*free)(const char *path, void *arg);
	void *arg;
};

static void visit_one(const struct visit *v, const char *base, int dir, const char *name)
{
	char path[PATH_MAX];
	struct stat st;
	int fd, lock;

	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid()) {
		close(fd);
		return;
	}
	snprintf(path, sizeof(path), "%.*s/%s", PATH_MAX / 2, base, name);
	lock = openat(fd, "lock", O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (lock < 0) {
		/* Not made yet, or somebody else's: an empty one may go. */
		if (errno == ENOENT && v->free)
			unlinkat(dir, name, AT_REMOVEDIR);
	} else {
		/* To look at it is not to own it. */
		if (flock(lock, (v->free ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
			if (v->locked)
				v->locked(path, v->arg);
		} else if (v->free) {
			v->free(path, v->arg);
		}
		close(lock);
	}
	close(fd);
}

static void visit_base(const struct visit *v, const char *base)
{
	struct dirent *entry;
	DIR *dir = opendir(base);

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (strlen(entry->d_name) == NAME_LENGTH &&
		    strncmp(entry->d_name, NAME_PREFIX, sizeof(NAME_PREFIX) - 1) == 0)
			visit_one(v, base, dirfd(dir), entry->d_name);
	closedir(dir);
}

static void visit_all(const struct visit *v)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (runtime_base_is_usable(runtime))
		visit_base(v, runtime);
	visit_base(v, MEMORY_BASE);
	visit_base(v, FALLBACK_BASE);
}

static void remove_directory(const char *path, void *arg)
{
	tree_remove(path);
}

void private_sweep(void)
{
	visit_all(&(const struct visit){.free = remove_directory});
}

void private_each(void (*each)(const char *directory, void *arg), void *arg)
{
	visit_all(&(const struct visit){.locked = each, .arg = arg});
}
