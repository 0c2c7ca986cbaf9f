/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Removing a tree by descriptors: each directory is opened from its parent without
 * following links, so that nothing outside can be reached even if somebody moves things
 * meanwhile.  Trees are shallow, and recursion is bounded by the depth that was made.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tree/tree.h"

static int remove_at(int parent, const char *name);

/* Takes over `fd`. */
static int remove_contents(int fd)
{
	struct dirent *entry;
	DIR *dir = fdopendir(fd);
	int result = 0, one;

	if (!dir) {
		result = -errno;
		close(fd);
		return result;
	}
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		one = remove_at(fd, entry->d_name);
		if (one < 0)
			result = one;
	}
	closedir(dir);
	return result;
}

static int remove_at(int parent, const char *name)
{
	int fd, result;

	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	result = remove_contents(fd);
	if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT && result == 0)
		result = -errno;
	return result;
}

int tree_remove(const char *path)
{
	return remove_at(AT_FDCWD, path);
}
