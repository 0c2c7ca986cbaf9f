/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The stat family.
 *
 * In the tree a device node is a regular file that holds "MAJOR:MINOR\n"; here it becomes
 * a character device with the same permissions.  A descriptor that is stood in for is a
 * memory file underneath and becomes the node that it came from; one that came from none
 * becomes what the kernel shows for an anonymous inode: no type, 0600.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "inject/x86_64/raw.h"
#include "next.h"

/* Reads the device number from a node of the tree. */
static bool node_number(const char *path, unsigned *ret_high, unsigned *ret_low)
{
	char text[32], *end;
	long fd = raw4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0), n;

	if (fd < 0)
		return false;
	n = raw3(SYS_read, fd, text, sizeof(text) - 1);
	raw1(SYS_close, fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	*ret_high = (unsigned)strtoul(text, &end, 10);
	if (end == text || *end != ':')
		return false;
	*ret_low = (unsigned)strtoul(end + 1, &end, 10);
	return *end == '\n' || !*end;
}

static void make_device(struct stat *st, mode_t mode, dev_t rdev)
{
	st->st_mode = mode;
	st->st_rdev = rdev;
	st->st_size = 0;
	st->st_blocks = 0;
}

static void make_devicex(struct statx *st, mode_t mode, unsigned high, unsigned low)
{
	st->stx_mode = (uint16_t)mode;
	st->stx_rdev_major = high;
	st->stx_rdev_minor = low;
	st->stx_size = 0;
	st->stx_blocks = 0;
}

void show_stat(const struct led *l, struct stat *st)
{
	unsigned high, low;
	int saved = errno;

	if (l->device && S_ISREG(st->st_mode) && node_number(l->path, &high, &low))
		make_device(st, S_IFCHR | (st->st_mode & 0777), makedev(high, low));
	errno = saved;
}

static void show_statx(const struct led *l, struct statx *st)
{
	unsigned high, low;
	int saved = errno;

	if (l->device && S_ISREG(st->stx_mode) && node_number(l->path, &high, &low))
		make_devicex(st, S_IFCHR | (st->stx_mode & 0777), high, low);
	errno = saved;
}

/* Whether a call with a directory means the descriptor itself, and we stand in for that. */
static bool means_ours(int fd, const char *path, int flags)
{
	return unlikely(live() != NULL) && (flags & AT_EMPTY_PATH) && (!path || !*path) &&
	       fd_ours(fd);
}

/* Leads to the node that a descriptor came from.  false: from none. */
static bool lead_node(int fd, struct led *l)
{
	char name[NAME_MAX];
	int length = live()->name(fd, name, sizeof(name));

	if (length <= 0 || length >= (int)sizeof(name) || name[0] != '/')
		return false;
	lead(AT_FDCWD, name, l);
	return l->device;
}

static COLD void show_descriptor(int fd, struct stat *st)
{
	struct led l;

	if (lead_node(fd, &l) && raw4(SYS_newfstatat, AT_FDCWD, l.path, st, 0) == 0)
		show_stat(&l, st);
	else
		make_device(st, 0600, 0);
}

static COLD void show_descriptorx(int fd, unsigned mask, struct statx *st)
{
	struct led l;

	if (lead_node(fd, &l) &&
	    raw_syscall(SYS_statx, AT_FDCWD, (long)l.path, 0, mask, (long)st, 0) == 0)
		show_statx(&l, st);
	else
		make_devicex(st, 0600, 0, 0);
}

static __attribute__((noinline)) int lead_fstatat(int dirfd, const char *path, struct stat *st,
						  int flags)
{
	struct led l;
	int ret;

	lead(dirfd, path, &l);
	ret = next_fstatat(dirfd, l.path, st, flags);
	if (ret == 0 && l.tree) {
		if (S_ISLNK(st->st_mode) && lead_through(&l))
			return next_fstatat(dirfd, l.path, st, flags);
		show_stat(&l, st);
	}
	return ret;
}

int lead_stat(const char *path, struct stat *st)
{
	return lead_fstatat(AT_FDCWD, path, st, 0);
}

int lead_lstat(const char *path, struct stat *st)
{
	return lead_fstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

int do_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	int ret;

	if (unlikely(suspect(dirfd, path)))
		return lead_fstatat(dirfd, path, st, flags);
	ret = next_fstatat(dirfd, path, st, flags);
	if (ret == 0 && means_ours(dirfd, path, flags))
		show_descriptor(dirfd, st);
	return ret;
}

/* 0 is the kernel's struct stat and 1 is libc's, which here are the same. */
static bool known(int version)
{
	return version == 0 || version == 1;
}

int lead___xstat(int version, const char *path, struct stat *st)
{
	return known(version) ? lead_stat(path, st) : next___xstat(version, path, st);
}

int lead___lxstat(int version, const char *path, struct stat *st)
{
	return known(version) ? lead_lstat(path, st) : next___lxstat(version, path, st);
}

int do___fxstatat(int version, int dirfd, const char *path, struct stat *st, int flags)
{
	return known(version) ? do_fstatat(dirfd, path, st, flags)
			      : next___fxstatat(version, dirfd, path, st, flags);
}

static __attribute__((noinline)) int lead_statx(int dirfd, const char *path, int flags,
						unsigned mask, struct statx *st)
{
	struct led l;
	int ret;

	lead(dirfd, path, &l);
	ret = next_statx(dirfd, l.path, flags, mask, st);
	if (ret == 0 && l.tree) {
		if (S_ISLNK(st->stx_mode) && lead_through(&l))
			return next_statx(dirfd, l.path, flags, mask, st);
		show_statx(&l, st);
	}
	return ret;
}

int do_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *st)
{
	int ret;

	if (unlikely(suspect(dirfd, path)))
		return lead_statx(dirfd, path, flags, mask, st);
	ret = next_statx(dirfd, path, flags, mask, st);
	if (ret == 0 && means_ours(dirfd, path, flags))
		show_descriptorx(dirfd, mask, st);
	return ret;
}

int live_fstat(int fd, struct stat *st)
{
	int ret = next_fstat(fd, st);

	if (ret == 0 && fd_ours(fd))
		show_descriptor(fd, st);
	return ret;
}

int live___fxstat(int version, int fd, struct stat *st)
{
	return known(version) ? live_fstat(fd, st) : next___fxstat(version, fd, st);
}

/*
 * The file system that a place in the tree is on: that of the real /sys or /dev, if the
 * place exists.
 */
static const char *file_system(const struct led *l, long *ret_error)
{
	if (!l->tree)
		return l->path;
	*ret_error = raw2(SYS_access, l->path, F_OK);
	return l->device ? "/dev" : "/sys";
}

int lead_statfs(const char *path, struct statfs *st)
{
	const char *place;
	long error = 0;
	struct led l;

	lead(AT_FDCWD, path, &l);
	place = file_system(&l, &error);
	return error ? (int)result(error) : next_statfs(place, st);
}

int lead_statvfs(const char *path, struct statvfs *st)
{
	const char *place;
	long error = 0;
	struct led l;

	lead(AT_FDCWD, path, &l);
	place = file_system(&l, &error);
	return error ? (int)result(error) : next_statvfs(place, st);
}

long syscall_faccessat(int dirfd, const char *path, int mode)
{
	struct led l;

	lead(dirfd, path, &l);
	return result(raw3(SYS_faccessat, dirfd, l.path, mode));
}

long syscall_fchmodat(int dirfd, const char *path, mode_t mode)
{
	struct led l;

	lead(dirfd, path, &l);
	return result(raw3(SYS_fchmodat, dirfd, l.path, mode));
}
