/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The owner first, since a change of it may take mode bits away, and so may one of the list
 * (acl(5)): without that, the group would get the rights of the list's mask, which is what a mode
 * shows.  A list that the new file has is its directory's and goes.
 */
#include "agent/likeness.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LIST      "system.posix_acl_access"
#define LIST_SIZE 8192 /* of a thousand entries; file systems have room for fewer */

static int take_list(int fd, int old)
{
	char path[32], list[LIST_SIZE];
	ssize_t size;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", old);
	size = getxattr(path, LIST, list, sizeof(list));
	if (size >= 0)
		return fsetxattr(fd, LIST, list, (size_t)size, 0) < 0 ? -errno : 0;
	if (errno != ENODATA && errno != EOPNOTSUPP)
		return -errno;
	if (fremovexattr(fd, LIST) < 0 && errno != ENODATA && errno != EOPNOTSUPP)
		return -errno;
	return 0;
}

int likeness_take(int fd, int old)
{
	mode_t mode = 07777;
	struct stat st;
	int ret;

	if (fstat(old, &st) < 0)
		return -errno;
	if (fchown(fd, st.st_uid, st.st_gid) < 0)
		mode = 0777;
	ret = take_list(fd, old);
	return ret == 0 && fchmod(fd, st.st_mode & mode) < 0 ? -errno : ret;
}
