/* SPDX-License-Identifier: BSD-3-Clause */
/* Claims are locks of open files, on files in the private directory. */
#include "core/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>

#include "core/config.h"
#include "core/hostfd.h"
#include "core/instance.h"
#include "core/syscall.h"

int claim_take(const char *name, int *ret_claim)
{
	const char *directory = instance ? instance->config->directory : NULL;
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[1024];
	int fd, ret;

	*ret_claim = -1;
	if (!directory)
		return 0;
	if ((size_t)snprintf(path, sizeof(path), "%s/%s.lock", directory, name) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = hostfd_adopt(host_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	if (fd < 0)
		return fd;
	ret = (int)host_syscall(SYS_fcntl, fd, F_OFD_SETLK, &lock);
	if (ret < 0) {
		hostfd_close(fd);
		return ret == -EAGAIN || ret == -EACCES ? -EBUSY : ret;
	}
	*ret_claim = fd;
	return 0;
}

/* Unlocks before closing: a forked child may hold the same open file. */
void claim_drop(int claim)
{
	struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	if (claim < 0)
		return;
	host_syscall(SYS_fcntl, claim, F_OFD_SETLK, &lock);
	hostfd_close(claim);
}
