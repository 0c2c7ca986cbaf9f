/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * openat2() with RESOLVE_BENEATH does it for a path that is there.  To make one, each beginning
 * of the path is opened in turn, and its last name is made in the one before if it is not there.
 * Always from the root: a link "../x" that stays beneath it is none of our business.
 */
#include "agent/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FLAGS   (O_PATH | O_DIRECTORY | O_CLOEXEC)
#define RETRIES 16 /* of a ".." while others rename directories */

/* `name` is the last of `path`, `parent` what is before it: all that kernels before 5.6 need. */
static int open_part(int root, const char *path, int parent, const char *name, bool confined)
{
	struct open_how how = {.flags = FLAGS, .resolve = RESOLVE_NO_MAGICLINKS};
	int fd = -1;

	if (confined)
		how.resolve |= RESOLVE_BENEATH;
	for (unsigned i = 0; i < RETRIES && fd < 0; i++) {
		fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
		if (fd < 0 && errno != EAGAIN)
			break;
	}
	if (fd >= 0 || errno != ENOSYS)
		return fd < 0 ? -errno : fd;
	if (confined && strcmp(name, "..") == 0)
		return -EXDEV;
	fd = openat(parent, name, FLAGS | (confined ? O_NOFOLLOW : 0));
	return fd < 0 ? -errno : fd;
}

int beneath_open(int root, const char *path, bool confined, bool create)
{
	char begin[PATH_MAX], *name, *end;
	int at = fcntl(root, F_DUPFD_CLOEXEC, 0), next;

	if (at < 0)
		return -errno;
	path += strspn(path, "/");
	if (strlen(path) >= sizeof(begin)) {
		close(at);
		return -ENAMETOOLONG;
	}
	strcpy(begin, path);
	for (name = begin; *name; name = end + strspn(end, "/")) {
		char after;

		end = name + strcspn(name, "/");
		after = *end;
		*end = '\0';
		next = open_part(root, begin, at, name, confined);
		if (next == -ENOENT && create) {
			if (mkdirat(at, name, 0755) < 0 && errno != EEXIST)
				next = -errno;
			else
				next = open_part(root, begin, at, name, confined);
		}
		*end = after;
		close(at);
		if (next < 0)
			return next;
		at = next;
	}
	return at;
}
