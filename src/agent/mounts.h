/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/mounts.h - which file systems are frozen for a backup.
 */
#ifndef STANDIN_AGENT_MOUNTS_H
#define STANDIN_AGENT_MOUNTS_H

#include <stdbool.h>

struct mounts {
	unsigned n;
	struct mount {
		char *path;
		int fd;      /* the directory that it is mounted on */
		bool frozen; /* by us */
	} * mount;
};

/*
 * Opens what the list (/proc/mounts, fstab(5)) has on a device below /dev, in its order but "/"
 * last, without what is read-only, vfat, FUSE's, or on a loop device (then it is a file of another
 * that is frozen).  -errno, with the path that could not be opened in *ret_path (or NULL), to be
 * freed.
 */
int mounts_open(struct mounts *m, const char *list, char **ret_path);
void mounts_close(struct mounts *m);

#endif
