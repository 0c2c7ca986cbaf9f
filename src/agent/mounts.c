/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The choice is that of the kernel's daemon, so that a guest has the same backups with either; but
 * not what users mount with FUSE, who choose its device's name, whether we may open it, and how
 * long that takes.
 */
#include "agent/mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define DEPTH_MAX 8 /* of devices on devices */

/* Whether a block device is a loop, or is on one, by its directory in /sys. */
static bool is_on_loop(const char *device, unsigned depth)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	bool found = false;
	DIR *slaves;

	if (depth == DEPTH_MAX ||
	    (size_t)snprintf(path, sizeof(path), "%s/loop", device) >= sizeof(path))
		return false;
	if (access(path, F_OK) == 0)
		return true;
	snprintf(path, sizeof(path), "%s/slaves", device);
	slaves = opendir(path);
	while (slaves && !found && (entry = readdir(slaves))) {
		if (entry->d_name[0] == '.')
			continue;
		if ((size_t)snprintf(path, sizeof(path), "%s/slaves/%s", device, entry->d_name) <
		    sizeof(path))
			found = is_on_loop(path, depth + 1);
	}
	if (slaves)
		closedir(slaves);
	return found;
}

/* Without a device of its own; fuseblk has one. */
static bool is_fuse(const char *type)
{
	return strncmp(type, "fuse", 4) == 0 && (type[4] == '\0' || type[4] == '.');
}

static bool is_suitable(const struct mntent *m)
{
	char device[64];
	struct stat st;

	if (strncmp(m->mnt_fsname, "/dev/", 5) != 0 || is_fuse(m->mnt_type))
		return false;
	if (stat(m->mnt_fsname, &st) == 0) {
		snprintf(device, sizeof(device), "/sys/dev/block/%u:%u", major(st.st_rdev),
			 minor(st.st_rdev));
		if (is_on_loop(device, 0))
			return false;
	}
	return !hasmntopt(m, MNTOPT_RO) && strcmp(m->mnt_type, "vfat") != 0;
}

static int add(struct mounts *m, const char *path)
{
	struct mount *grown = realloc(m->mount, (m->n + 1) * sizeof(*grown));
	int ret;

	if (!grown)
		return -ENOMEM;
	m->mount = grown;
	grown += m->n;
	grown->frozen = false;
	grown->path = strdup(path);
	if (!grown->path)
		return -ENOMEM;
	grown->fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (grown->fd < 0) {
		ret = -errno;
		free(grown->path);
		return ret;
	}
	m->n++;
	return 0;
}

int mounts_open(struct mounts *m, const char *list, char **ret_path)
{
	FILE *file = setmntent(list, "re");
	const struct mntent *entry;
	bool root = false;
	int ret = 0;

	m->n = 0;
	m->mount = NULL;
	*ret_path = NULL;
	if (!file)
		return -errno;
	while (ret == 0 && (entry = getmntent(file))) {
		if (!is_suitable(entry))
			continue;
		if (strcmp(entry->mnt_dir, "/") == 0) {
			root = true;
			continue;
		}
		ret = add(m, entry->mnt_dir);
		if (ret < 0)
			*ret_path = strdup(entry->mnt_dir);
	}
	endmntent(file);
	if (ret == 0 && root)
		ret = add(m, "/");
	if (ret < 0)
		mounts_close(m);
	return ret;
}

void mounts_close(struct mounts *m)
{
	for (unsigned i = 0; i < m->n; i++) {
		close(m->mount[i].fd);
		free(m->mount[i].path);
	}
	free(m->mount);
	m->mount = NULL;
	m->n = 0;
}
