/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * open(2) and its relatives.
 *
 * A device node of the tree is opened by the runtime, which the first such open loads.
 * Everything else in the tree is an ordinary file.  sysfs makes no files for open(2): what
 * would be created there answers EACCES.
 */
#include <string.h>
#include <sys/syscall.h>

#include "inject/x86_64/raw.h"
#include "next.h"

bool open_device(struct led *l, int flags, int *ret_fd)
{
	const struct runtime *rt;
	struct stat st;
	int fd;

	if (!l->device || (flags & (O_PATH | O_DIRECTORY)))
		return false;
	/* Only a regular file is a node: this also finds a slash behind its name. */
	if (raw4(SYS_newfstatat, AT_FDCWD, l->path, &st, 0) < 0 || !S_ISREG(st.st_mode))
		return false;
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
		*ret_fd = -EEXIST;
		return true;
	}
	rt = activate();
	if (!rt) {
		*ret_fd = -ENODEV;
		return true;
	}
	fd = rt->open(l->virtual, flags);
	if (fd == -ENOENT)
		return false;
	*ret_fd = fd;
	return true;
}

/*
 * What sysfs says before it opens: it makes no files, and an attribute that nobody may
 * read or write cannot be opened so even by root (fs/kernfs/file.c).  0 goes on.
 */
static long sysfs_open(const struct led *l, int flags)
{
	int access = flags & O_ACCMODE;
	struct stat st;
	long error = raw4(SYS_newfstatat, AT_FDCWD, l->path, &st, 0);

	if (error == -ENOENT && (flags & O_CREAT))
		return -EACCES;
	if (error < 0)
		return 0;
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	if (!S_ISREG(st.st_mode))
		return 0;
	if (access != O_WRONLY && !(st.st_mode & 0444))
		return -EACCES;
	return access != O_RDONLY && !(st.st_mode & 0222) ? -EACCES : 0;
}

/*
 * Leads `path` for an open with *flags.  true: it is done, with *ret_fd the answer in
 * libc's convention.  false: l->path is to be opened with *flags.
 */
static bool open_led(int dirfd, const char *path, int *flags, struct led *l, int *ret_fd)
{
	long error;
	int fd;

	lead(dirfd, path, l);
	if (open_device(l, *flags, &fd) || fdinfo_open(path, *flags, &fd)) {
		*ret_fd = (int)result(fd);
		return true;
	}
	if (!l->tree)
		return false;
	note_opened(l);
	error = l->device || (*flags & O_PATH) ? 0 : sysfs_open(l, *flags);
	if (error < 0) {
		*ret_fd = (int)result(error);
		return true;
	}
	if (!l->device)
		*flags &= ~(O_CREAT | O_EXCL);
	return false;
}

#define OPEN(dirfd, path, flags, call)                         \
	({                                                     \
		struct led l;                                  \
		int fd;                                        \
                                                               \
		if (!open_led(dirfd, path, &flags, &l, &fd)) { \
			path = l.path;                         \
			fd = fd_fresh(call);                   \
		}                                              \
		fd;                                            \
	})

static __attribute__((noinline)) int lead_open(const char *path, int flags, mode_t mode)
{
	return OPEN(AT_FDCWD, path, flags, next_open(path, flags, mode));
}

int do_open(const char *path, int flags, mode_t mode)
{
	if (likely(!suspect(AT_FDCWD, path)))
		return fd_fresh(next_open(path, flags, mode));
	return lead_open(path, flags, mode);
}

static __attribute__((noinline)) int lead_openat(int dirfd, const char *path, int flags,
						 mode_t mode)
{
	return OPEN(dirfd, path, flags, next_openat(dirfd, path, flags, mode));
}

int do_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	if (likely(!suspect(dirfd, path)))
		return fd_fresh(next_openat(dirfd, path, flags, mode));
	return lead_openat(dirfd, path, flags, mode);
}

int do_creat(const char *path, mode_t mode)
{
	return do_open(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* libc's own check (no mode argument where one is needed) is in the one behind us. */
static bool needs_mode(int flags)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

int do___open_2(const char *path, int flags)
{
	return needs_mode(flags) ? next___open_2(path, flags) : do_open(path, flags, 0);
}

int do___openat_2(int dirfd, const char *path, int flags)
{
	return needs_mode(flags) ? next___openat_2(dirfd, path, flags)
				 : do_openat(dirfd, path, flags, 0);
}

/* struct open_how, which older headers lack: the beginning of it. */
struct how {
	uint64_t flags, mode, resolve;
};

long syscall_openat2(int dirfd, const char *path, void *how, size_t size)
{
	struct how known;
	struct led l;
	int fd;

	if (!suspect(dirfd, path) || !how || size < sizeof(known))
		return result(raw4(SYS_openat2, dirfd, path, how, size));
	memcpy(&known, how, sizeof(known));
	lead(dirfd, path, &l);
	if (open_device(&l, (int)known.flags, &fd))
		return result(fd);
	note_opened(&l);
	return result(raw4(SYS_openat2, dirfd, l.path, how, size));
}

long syscall_userfaultfd(int flags)
{
	const struct runtime *rt = activate();

	if (!rt)
		return result(raw1(SYS_userfaultfd, flags));
	return result(rt->userfaultfd(flags));
}

/* The flags of open(2) that a mode of fopen(3) means. */
static int mode_flags(const char *mode)
{
	int flags = mode[0] == 'r' ? O_RDONLY : O_WRONLY;

	for (const char *p = mode; *p && *p != ','; p++) {
		if (*p == '+')
			flags = (flags & ~O_ACCMODE) | O_RDWR;
		else if (*p == 'e')
			flags |= O_CLOEXEC;
	}
	return flags;
}

FILE *lead_fopen(const char *path, const char *mode)
{
	struct led l;
	long error;
	int fd;

	lead(AT_FDCWD, path, &l);
	if (open_device(&l, mode_flags(mode), &fd) || fdinfo_open(path, mode_flags(mode), &fd)) {
		FILE *file = fd < 0 ? NULL : fdopen(fd, mode);

		if (fd < 0)
			errno = -fd;
		return file;
	}
	if (l.tree && !l.device) {
		error = sysfs_open(&l, mode_flags(mode) | (mode[0] == 'r' ? 0 : O_CREAT));
		if (result(error) < 0)
			return NULL;
	}
	return next_fopen(l.path, mode);
}

FILE *lead_freopen(const char *path, const char *mode, FILE *file)
{
	struct led l;

	lead(AT_FDCWD, path, &l);
	return next_freopen(l.path, mode, file);
}
