/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls that go through directories inside libc, where no wrapper sees them.
 *
 * opendir and scandir only need their path led: the tree consists of real directories.
 * glob is given our functions to look at files with.  ftw and nftw walk the real tree, and
 * a function between them and the client's gives each path its proper name.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "inject/x86_64/raw.h"
#include "next.h"

DIR *lead_opendir(const char *path)
{
	struct led l;

	lead(AT_FDCWD, path, &l);
	note_opened(&l);
	return next_opendir(l.path);
}

/* An entry of a directory with device nodes is one: nothing else there is a plain file. */
static void show_entry(DIR *directory, struct dirent *entry)
{
	char place[ROOT_MAX + PATH_MAX], link[40];
	long n;

	if (entry->d_type != DT_REG)
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd(directory));
	n = raw3(SYS_readlink, link, place, sizeof(place) - 1);
	if (n <= 0)
		return;
	place[n] = '\0';
	if (path_inside(place, root, root_size()) &&
	    strncmp(place + root_size(), "/dev/", strlen("/dev/")) == 0)
		entry->d_type = DT_CHR;
}

struct dirent *do_readdir(DIR *directory)
{
	struct dirent *entry = next_readdir(directory);

	if (unlikely(atomic_load_explicit(&devices_opened, memory_order_relaxed)) && entry)
		show_entry(directory, entry);
	return entry;
}

int do_readdir_r(DIR *directory, struct dirent *entry, struct dirent **found)
{
	int ret = next_readdir_r(directory, entry, found);

	if (unlikely(atomic_load_explicit(&devices_opened, memory_order_relaxed)) && ret == 0 &&
	    *found)
		show_entry(directory, *found);
	return ret;
}

static int show_list(const struct led *l, struct dirent **list, int count)
{
	for (int i = 0; l->tree && l->device && i < count; i++) {
		if (list[i]->d_type == DT_REG)
			list[i]->d_type = DT_CHR;
	}
	return count;
}

int lead_scandir(const char *path, struct dirent ***list, scandir_filter *filter,
		 scandir_compare *compare)
{
	struct led l;
	int count;

	lead(AT_FDCWD, path, &l);
	count = next_scandir(l.path, list, filter, compare);
	return count > 0 ? show_list(&l, *list, count) : count;
}

int lead_scandirat(int dirfd, const char *path, struct dirent ***list, scandir_filter *filter,
		   scandir_compare *compare)
{
	struct led l;
	int count;

	lead(dirfd, path, &l);
	count = next_scandirat(dirfd, l.path, list, filter, compare);
	return count > 0 ? show_list(&l, *list, count) : count;
}

/* ---- glob ---- */

static void *glob_opendir(const char *path)
{
	return suspect(AT_FDCWD, path) ? lead_opendir(path) : next_opendir(path);
}

static struct dirent *glob_readdir(void *directory)
{
	return do_readdir(directory);
}

static void glob_closedir(void *directory)
{
	closedir(directory);
}

static int glob_stat(const char *path, struct stat *st)
{
	return do_fstatat(AT_FDCWD, path, st, 0);
}

static int glob_lstat(const char *path, struct stat *st)
{
	return do_fstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

/*
 * Whether nothing that matches can be ours: an absolute pattern whose beginning, up to
 * where it first is a pattern, certainly leads elsewhere.
 */
static bool glob_elsewhere(const char *pattern)
{
	size_t plain = strcspn(pattern, "*?[\\{~");

	if (pattern[0] != '/')
		return pattern[0] && pattern[plain] == '\0' && !suspect(AT_FDCWD, pattern);
	/* The first component has to be plain. */
	return memchr(pattern + 1, '/', plain ? plain - 1 : 0) && !path_first_shared(pattern);
}

int do_glob(const char *pattern, int flags, glob_error *error, glob_t *out)
{
	int ret;

	if (root_size() == 0 || (flags & GLOB_ALTDIRFUNC) || glob_elsewhere(pattern))
		return next_glob(pattern, flags, error, out);
	out->gl_opendir = glob_opendir;
	out->gl_readdir = glob_readdir;
	out->gl_closedir = glob_closedir;
	out->gl_stat = glob_stat;
	out->gl_lstat = glob_lstat;
	ret = next_glob(pattern, flags | GLOB_ALTDIRFUNC, error, out);
	out->gl_flags &= ~GLOB_ALTDIRFUNC;
	return ret;
}

/* ---- ftw ---- */

/* The walk that this thread is in; walks nest. */
struct walk {
	const struct led *led;
	ftw_visit *ftw;
	nftw_visit *nftw;
	const char *given; /* the path as the client gave it */
};
static __thread struct walk walk __attribute__((tls_model("initial-exec")));

/* The client's name for a path below walk.led->path, as if the walk had started at `given`. */
static const char *walk_name(const char *path, char name[2 * PATH_MAX], int *ret_shift)
{
	size_t start = strlen(walk.led->path), given = strlen(walk.given), rest;

	*ret_shift = 0;
	if (strncmp(path, walk.led->path, start) != 0)
		return path;
	while (given > 1 && walk.given[given - 1] == '/')
		given--;
	rest = strlen(path + start);
	if (given + rest >= 2 * PATH_MAX)
		return path;
	memcpy(name, walk.given, given);
	memcpy(name + given, path + start, rest + 1);
	*ret_shift = (int)given - (int)start;
	return name;
}

static void walk_stat(const char *path, struct stat *st)
{
	struct led l = {.path = path, .tree = true, .device = walk.led->device};

	show_stat(&l, st);
}

static int visit_ftw(const char *path, const struct stat *st, int type)
{
	char name[2 * PATH_MAX];
	struct walk outer = walk;
	struct stat shown = *st;
	int shift, ret;

	if (type == FTW_F)
		walk_stat(path, &shown);
	ret = outer.ftw(walk_name(path, name, &shift), &shown, type);
	walk = outer;
	return ret;
}

static int visit_nftw(const char *path, const struct stat *st, int type, struct FTW *place)
{
	char name[2 * PATH_MAX];
	struct walk outer = walk;
	struct stat shown = *st;
	struct FTW where = *place;
	int shift, ret;

	if (type == FTW_F)
		walk_stat(path, &shown);
	path = walk_name(path, name, &shift);
	where.base += shift;
	ret = outer.nftw(path, &shown, type, &where);
	walk = outer;
	return ret;
}

int lead_ftw(const char *path, ftw_visit *visit, int depth)
{
	struct walk outer = walk;
	struct led l;
	int ret;

	lead(AT_FDCWD, path, &l);
	if (!l.tree)
		return next_ftw(l.path, visit, depth);
	walk = (struct walk){.led = &l, .ftw = visit, .given = path};
	ret = next_ftw(l.path, visit_ftw, depth);
	walk = outer;
	return ret;
}

int lead_nftw(const char *path, nftw_visit *visit, int depth, int flags)
{
	struct walk outer = walk;
	struct led l;
	int ret;

	lead(AT_FDCWD, path, &l);
	if (!l.tree)
		return next_nftw(l.path, visit, depth, flags);
	walk = (struct walk){.led = &l, .nftw = visit, .given = path};
	ret = next_nftw(l.path, visit_nftw, depth, flags);
	walk = outer;
	return ret;
}
