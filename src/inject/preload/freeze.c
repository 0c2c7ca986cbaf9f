/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Freezing of file systems.  A daemon under `standin run --hyperv` does what its host asks for,
 * and the machine is not the host's to freeze: FIFREEZE and FITHAW only keep a note of what is
 * frozen, in the private directory, with the kernel's answers (fs/super.c).  So they work
 * for any user too.  The file systems of --hyperv=freeze=DIR are frozen for good; for these
 * `standin run` has left a note.
 */
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "core/environment.h"
#include "inject/x86_64/raw.h"
#include "next.h"

/* The name of a note about the file system: false if there are no notes in this run. */
static bool note_path(dev_t device, const char *what, char path[ROOT_MAX + 64])
{
	size_t directory;

	if (root_length < 0)
		root_start();
	if (root_length <= 0)
		return false;
	directory = root_size() - (sizeof("/root") - 1);
	memcpy(path, root, directory);
	strcpy(path + directory, "/" FREEZE_DIRECTORY);
	if (raw2(SYS_access, path, F_OK) < 0)
		return false;
	snprintf(path + strlen(path), 48, "/%u:%u%s", major(device), minor(device), what);
	return true;
}

static bool freezes(unsigned long command)
{
	return command == FIFREEZE || command == FITHAW;
}

/* Whether the call is answered here: *ret_answer. */
static __attribute__((noinline)) bool freeze(int fd, unsigned long command, long *ret_answer)
{
	char path[ROOT_MAX + 64];
	struct stat st;
	long n = raw2(SYS_fstat, fd, &st);

	if (n < 0 || !note_path(st.st_dev, FREEZE_REAL, path) || raw2(SYS_access, path, F_OK) == 0)
		return false;
	/* What is in no file system that has blocks, and sockets and the like. */
	if ((!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) || !note_path(st.st_dev, "", path)) {
		*ret_answer = -EOPNOTSUPP;
	} else if (command == FIFREEZE) {
		n = raw3(SYS_open, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (n >= 0)
			raw1(SYS_close, n);
		*ret_answer = n == -EEXIST ? -EBUSY : n < 0 ? n : 0;
	} else {
		n = raw1(SYS_unlink, path);
		*ret_answer = n == -ENOENT ? -EINVAL : n;
	}
	return true;
}

int do_ioctl(int fd, unsigned long command, void *argument)
{
	long answer;

	if (unlikely(live() != NULL))
		return live_ioctl(fd, command, argument);
	if (unlikely(freezes(command)) && freeze(fd, command, &answer))
		return (int)result(answer);
	return next_ioctl(fd, command, argument);
}

bool freeze_ioctl(int fd, unsigned long command, long *ret_answer)
{
	return freezes(command) && freeze(fd, command, ret_answer);
}
