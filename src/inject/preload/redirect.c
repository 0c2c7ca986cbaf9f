/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Leads paths into the tree.
 *
 * suspect() is the test that every path call pays for; lead() then finds out.  A path is
 * taken component by component.  `..` is lexical outside of the tree; inside, where
 * symbolic links lead from one place to another, the kernel is asked where we are.  A
 * path that climbs out of the tree goes on in the real file system, and the other way
 * round, so the two look like one.
 *
 * Relative paths start from the working directory or from a descriptor.  Whether the
 * working directory is inside the tree is asked once and after each chdir.  A child of
 * vfork shares our memory but has its own working directory: once that has changed one,
 * the answer is not remembered any more.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "inject/x86_64/raw.h"
#include "next.h"

#define PAGE 4096u
#include "tree/prefixes.h"

char root[ROOT_MAX];
int root_length = -1;
_Atomic int cwd_state;
pid_t cwd_owner;
_Atomic bool tree_opened, devices_opened;

void root_start(void)
{
	const char *directory = secure_getenv(ENV_DIRECTORY);
	size_t length = directory ? strlen(directory) : 0;

	while (length > 1 && directory[length - 1] == '/')
		length--;
	if (length < 2 || directory[0] != '/' || length + sizeof("/root") > ROOT_MAX) {
		root_length = 0;
		return;
	}
	cwd_owner = (pid_t)raw1(SYS_getpid, 0);
	path_start();
	memcpy(root, directory, length);
	memcpy(root + length, "/root", sizeof("/root"));
	root_length = (int)(length + strlen("/root"));
}

void unroot(char *text)
{
	if (root_length > 0)
		path_strip(text, strlen(text) + 1, root, root_size());
}

/*
 * The directory that relative paths start from, as the client sees it.  false: nobody
 * knows.  *ret_tree: it is inside the tree.
 */
static bool start_of(int dirfd, char place[ROOT_MAX + PATH_MAX], bool *ret_tree)
{
	char link[40];
	long n;

	if (dirfd == AT_FDCWD) {
		n = raw2(SYS_getcwd, place, ROOT_MAX + PATH_MAX - 1);
		n -= n > 0; /* counts the NUL */
	} else {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
		n = raw3(SYS_readlink, link, place, ROOT_MAX + PATH_MAX - 1);
	}
	if (n <= 0 || place[0] != '/')
		return false;
	place[n] = '\0';
	*ret_tree = path_inside(place, root, root_size());
	if (*ret_tree)
		unroot(place);
	return strlen(place) < PATH_MAX;
}

static __attribute__((noinline)) enum cwd cwd_now(void)
{
	char base[ROOT_MAX + PATH_MAX];
	bool inside;

	return start_of(AT_FDCWD, base, &inside) && inside ? CWD_TREE : CWD_OUTSIDE;
}

static enum cwd cwd_get(void)
{
	int state = atomic_load_explicit(&cwd_state, memory_order_relaxed);

	if (likely(state == CWD_OUTSIDE || state == CWD_TREE))
		return state;
	if (state == CWD_VARIES)
		return cwd_now();
	int now = cwd_now();
	atomic_compare_exchange_strong(&cwd_state, &state, now);
	return now;
}

/*
 * Whether the path is in memory that a system call can't read: the kernel says so.  What a
 * userfaultfd is to be asked for is there afterwards.
 */
static COLD bool out_of_reach(const struct runtime *rt, const char *path)
{
	char part[64];
	size_t size;

	for (const char *at = path; at < path + PATH_MAX; at += size) {
		size = PAGE - (uintptr_t)at % PAGE;
		size = size < sizeof(part) ? size : sizeof(part);
		rt->memory_reach(at, size, false);
		if (rt->fetch(part, at, size))
			return true;
		if (memchr(part, '\0', size))
			return false;
	}
	return false;
}

bool suspect_slow(int dirfd, const char *path)
{
	const struct runtime *rt = live();

	if (unlikely(root_length < 0)) {
		root_start();
		if (root_length == 0)
			return false;
	}
	if (unlikely(rt && atomic_load_explicit(rt->memory_attention, memory_order_relaxed)) &&
	    out_of_reach(rt, path))
		return false;
	if (path[0] == '/')
		return path_suspect(path) || fdinfo_suspect(path);
	if (!path[0])
		return false;
	if (dirfd == AT_FDCWD)
		return cwd_get() == CWD_TREE || path_completes(path);
	return atomic_load_explicit(&tree_opened, memory_order_relaxed) || path_completes(path);
}

/*
 * Takes a normal path one step up.  false: there is no such place in the tree, and then
 * it is unchanged.
 */
static __attribute__((noinline)) bool climb(char virtual[PATH_MAX], bool *crossed)
{
	char place[ROOT_MAX + PATH_MAX], resolved[PATH_MAX];

	if (path_covered(virtual)) {
		int saved = errno;
		char *found;

		memcpy(place, root, root_size());
		strcpy(place + root_size(), virtual);
		found = next_realpath(place, resolved);
		errno = saved;
		if (!found)
			return false;
		unroot(resolved);
		strcpy(virtual, resolved);
		*crossed = true;
	}
	char *slash = strrchr(virtual, '/');
	slash[slash == virtual] = '\0';
	return true;
}

enum resolved { RESOLVED, RESOLVED_NOWHERE, RESOLVED_UNFIT };

/* Walks `path` from `base`. */
static enum resolved resolve(const char *base, const char *path, char virtual[PATH_MAX],
			     bool *crossed)
{
	size_t length;

	if (!path_climbs(path))
		return path_normalise(base, path, virtual) ? RESOLVED : RESOLVED_UNFIT;
	strcpy(virtual, *path == '/' ? "/" : base);
	for (;;) {
		while (*path == '/')
			path++;
		if (!*path)
			return RESOLVED;
		size_t size = strcspn(path, "/");

		if (size == 2 && path[0] == '.' && path[1] == '.') {
			if (!climb(virtual, crossed))
				return RESOLVED_NOWHERE;
		} else if (size > 1 || path[0] != '.') {
			length = strlen(virtual);
			length -= length == 1;
			if (length + 1 + size >= PATH_MAX)
				return RESOLVED_UNFIT;
			virtual[length] = '/';
			memcpy(virtual + length + 1, path, size);
			virtual[length + 1 + size] = '\0';
		}
		path += size;
	}
}

/* Whether the normal path is in the state of daemons, and that is in the tree. */
static bool is_state(const char *virtual)
{
	static _Atomic int known; /* 1: the tree has it, -1: not */
	char place[ROOT_MAX + sizeof(TREE_STATE)];
	int state = atomic_load_explicit(&known, memory_order_relaxed);

	if (likely(!path_inside(virtual, TREE_STATE, sizeof(TREE_STATE) - 1)))
		return false;
	if (!state) {
		memcpy(place, root, root_size());
		strcpy(place + root_size(), TREE_STATE);
		state = raw2(SYS_access, place, F_OK) == 0 ? 1 : -1;
		atomic_store_explicit(&known, state, memory_order_relaxed);
	}
	return state > 0;
}

/* What a prefix covers, but for state that the tree does not have. */
static bool is_covered(const char *virtual)
{
	return path_covered(virtual) &&
	       (is_state(virtual) || !path_inside(virtual, TREE_STATE, sizeof(TREE_STATE) - 1));
}

void lead(int dirfd, const char *path, struct led *l)
{
	char base[ROOT_MAX + PATH_MAX];
	bool from_tree = false, crossed = false;
	size_t length, start = 0;
	enum resolved how;

	l->path = path;
	l->tree = l->device = false;
	if (!suspect(dirfd, path))
		return;
	base[0] = '\0'; /* not used with an absolute path */
	if (path[0] != '/') {
		if (!start_of(dirfd, base, &from_tree))
			return;
		if (!from_tree && !path_completes(path))
			return;
	}
	how = resolve(base, path, l->virtual, &crossed);
	if (how == RESOLVED_UNFIT)
		return;
	l->tree = is_covered(l->virtual);
	if (!l->tree && !from_tree && !crossed)
		return;
	if (l->tree) {
		memcpy(l->real, root, root_size());
		start = root_size();
		l->device = strncmp(l->virtual, "/dev/", 5) == 0;
	}
	length = strlen(l->virtual);
	memcpy(l->real + start, l->virtual, length + 1);
	/* What ends in a slash has to be a directory. */
	if (path[strlen(path) - 1] == '/' && length + 1 < PATH_MAX && length > 1)
		strcpy(l->real + start + length, "/");
	/* Climbing from a place that is not there: the name of that place fails rightly. */
	l->path = l->real;
	if (l->tree && is_state(l->virtual))
		l->tree = false; /* ordinary files, which may be changed */
}

bool frozen(const struct led *l, bool new)
{
	char parent[ROOT_MAX + PATH_MAX];
	struct stat st;
	long error;

	if (!l->tree || l->device)
		return false;
	error = raw4(SYS_newfstatat, AT_FDCWD, l->path, &st, AT_SYMLINK_NOFOLLOW);
	if (new &&error == 0) {
		error = -EEXIST;
	} else if (new &&error == -ENOENT) {
		strcpy(parent, l->path);
		*strrchr(parent, '/') = '\0';
		error = raw4(SYS_newfstatat, AT_FDCWD, parent, &st, 0);
	}
	/* All of sysfs belongs to root and is writable for nobody else. */
	if (error == 0)
		error = raw1(SYS_geteuid, 0) == 0 ? -EPERM : -EACCES;
	return result(error) < 0;
}

bool lead_through(struct led *l)
{
	char target[PATH_MAX];
	long n;

	if (!l->tree)
		return false;
	n = raw3(SYS_readlink, l->path, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	if (strcmp(target, l->virtual) != 0)
		return false;
	l->path = l->virtual;
	l->tree = l->device = false;
	return true;
}
