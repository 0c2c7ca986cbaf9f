/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls that answer with a path: where the kernel names a place in the private directory,
 * the client sees its own name for it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "core/placeholder.h"
#include "inject/x86_64/raw.h"
#include "next.h"

/*
 * Replaces what readlink has put into `buffer`, `was` bytes; what the new text leaves of
 * the old one is wiped out.
 */
static ssize_t put_link(char *buffer, size_t size, size_t was, const char *text, size_t length)
{
	if (length > size)
		length = size;
	memcpy(buffer, text, length);
	if (length < was)
		memset(buffer + length, 0, was - length);
	return (ssize_t)length;
}

static bool is_pipe(const char *text, size_t length)
{
	static const char pipe[] = "pipe:[";

	return length >= sizeof(pipe) - 1 && memcmp(text, pipe, sizeof(pipe) - 1) == 0;
}

/*
 * Whether the link is that of a descriptor that we stand in for, /proc/self/fd/5 with
 * "/memfd:standin:..." or "pipe:[...]" for its text: then what the kernel would show is put
 * in `name`.
 */
static bool descriptor_name(const char *path, const char *text, size_t length, char name[PATH_MAX])
{
	static const char memfd[] = "/memfd:standin:";
	const char *last = strrchr(path, '/');
	char *end;
	long fd;

	if ((length < sizeof(memfd) - 1 || memcmp(text, memfd, sizeof(memfd) - 1) != 0) &&
	    !is_pipe(text, length))
		return false;
	fd = strtol(last ? last + 1 : path, &end, 10);
	return !*end && end[-1] != '/' && fd_ours((int)fd) &&
	       live()->name((int)fd, name, PATH_MAX) >= 0;
}

/*
 * A descriptor that is a socket: if it is a device of the run's, in whichever of its processes,
 * the link is in the private directory.
 */
static __attribute__((noinline)) ssize_t rename_socket(char *buffer, size_t size, size_t was)
{
	static const char head[] = "socket:[";
	char place[ROOT_MAX + 64], name[PATH_MAX];
	size_t digits, directory = root_size() - (sizeof("/root") - 1);
	long n;

	if (was < sizeof(head) || memcmp(buffer, head, sizeof(head) - 1) != 0)
		return (ssize_t)was;
	for (digits = sizeof(head) - 1; digits < was && buffer[digits] != ']';)
		digits++;
	memcpy(place, root, directory);
	snprintf(place + directory, sizeof(place) - directory, "/" PLACEHOLDER_NAMES "/%.*s",
		 (int)(digits - sizeof(head) + 1), buffer + sizeof(head) - 1);
	n = raw3(SYS_readlink, place, name, sizeof(name));
	return n > 0 ? put_link(buffer, size, was, name, (size_t)n) : (ssize_t)was;
}

/* A path that may be in the tree. */
static __attribute__((noinline)) ssize_t lead_readlinkat(int dirfd, const char *path, char *buffer,
							 size_t size)
{
	struct led l;
	ssize_t n;

	lead(dirfd, path, &l);
	n = next_readlinkat(dirfd, l.path, buffer, size);
	if (n > 0 && buffer[0] == '/' && lead_through(&l))
		return next_readlinkat(dirfd, l.path, buffer, size);
	return n;
}

/* The kernel named a place in the tree: perhaps not all of it fitted, so ask again. */
static __attribute__((noinline)) ssize_t reread(int dirfd, const char *path, char *buffer,
						size_t size, size_t was)
{
	char target[ROOT_MAX + PATH_MAX];
	long n = raw4(SYS_readlinkat, dirfd, path, target, sizeof(target));

	if (n <= 0)
		return (ssize_t)was;
	return put_link(buffer, size, was, target,
			path_strip(target, (size_t)n, root, root_size()));
}

static __attribute__((noinline)) ssize_t rename_descriptor(const char *path, char *buffer,
							   size_t size, size_t was)
{
	char name[PATH_MAX];

	if (!descriptor_name(path, buffer, was, name))
		return (ssize_t)was;
	return put_link(buffer, size, was, name, strlen(name));
}

/* What a link says, shown as it should be. */
static ssize_t shown_link(int dirfd, const char *path, char *buffer, size_t size, ssize_t n)
{
	size_t length = (size_t)n, shared = length < root_size() ? length : root_size();

	if (n <= 0 || root_size() == 0)
		return n;
	if (unlikely(buffer[0] == 's'))
		return rename_socket(buffer, size, length);
	if (buffer[0] != '/' && !is_pipe(buffer, length))
		return n;
	if (memcmp(buffer, root, shared) == 0 && (length >= root_size() || length == size))
		return reread(dirfd, path, buffer, size, length);
	if (unlikely(live() != NULL))
		return rename_descriptor(path, buffer, size, length);
	return n;
}

ssize_t do_readlink(const char *path, char *buffer, size_t size)
{
	if (unlikely(suspect(AT_FDCWD, path)))
		return lead_readlinkat(AT_FDCWD, path, buffer, size);
	return shown_link(AT_FDCWD, path, buffer, size, next_readlink(path, buffer, size));
}

ssize_t do_readlinkat(int dirfd, const char *path, char *buffer, size_t size)
{
	if (unlikely(suspect(dirfd, path)))
		return lead_readlinkat(dirfd, path, buffer, size);
	return shown_link(dirfd, path, buffer, size, next_readlinkat(dirfd, path, buffer, size));
}

ssize_t do___readlink_chk(const char *path, char *buffer, size_t size, size_t room)
{
	if (size > room)
		return next___readlink_chk(path, buffer, size, room);
	return do_readlink(path, buffer, size);
}

ssize_t do___readlinkat_chk(int dirfd, const char *path, char *buffer, size_t size, size_t room)
{
	if (size > room)
		return next___readlinkat_chk(dirfd, path, buffer, size, room);
	return do_readlinkat(dirfd, path, buffer, size);
}

char *lead_realpath(const char *path, char *resolved)
{
	struct led l;
	char *ret;

	lead(AT_FDCWD, path, &l);
	ret = next_realpath(l.path, resolved);
	if (ret)
		unroot(ret);
	else if (resolved && errno != EINVAL && errno != ENAMETOOLONG && l.tree)
		unroot(resolved); /* as far as it came */
	return ret;
}

char *lead___realpath_chk(const char *path, char *resolved, size_t room)
{
	if (room < PATH_MAX)
		return next___realpath_chk(path, resolved, room);
	return lead_realpath(path, resolved);
}

char *lead_canonicalize_file_name(const char *path)
{
	return lead_realpath(path, NULL);
}

/* Too long with the root before it; perhaps not without.  errno is ERANGE. */
static __attribute__((noinline)) char *shorter_cwd(char *buffer, size_t size)
{
	char place[ROOT_MAX + PATH_MAX], *ret;
	size_t length;
	long n;

	n = raw2(SYS_getcwd, place, sizeof(place));
	if (n <= 0 || !path_inside(place, root, root_size()))
		return NULL;
	length = path_strip(place, (size_t)n, root, root_size());
	if (length > size)
		return NULL;
	ret = buffer ? buffer : malloc(size);
	if (ret)
		memcpy(ret, place, length);
	return ret;
}

char *do_getcwd(char *buffer, size_t size)
{
	char *ret = next_getcwd(buffer, size);

	if (ret)
		unroot(ret);
	else if (errno == ERANGE && size && root_size())
		ret = shorter_cwd(buffer, size);
	return ret;
}

char *do___getcwd_chk(char *buffer, size_t size, size_t room)
{
	return size > room ? next___getcwd_chk(buffer, size, room) : do_getcwd(buffer, size);
}

char *do_getwd(char *buffer)
{
	char *ret = next_getwd(buffer);

	if (ret)
		unroot(ret);
	return ret;
}

char *do___getwd_chk(char *buffer, size_t room)
{
	char *ret = next___getwd_chk(buffer, room);

	if (ret)
		unroot(ret);
	return ret;
}

char *do_get_current_dir_name(void)
{
	char *ret = next_get_current_dir_name();

	if (ret)
		unroot(ret);
	return ret;
}

/* The system call returns the length with the NUL. */
long syscall_getcwd(char *buffer, size_t size)
{
	char place[ROOT_MAX + PATH_MAX];
	size_t length;
	long n;

	n = raw2(SYS_getcwd, place, sizeof(place));
	if (n <= 0 || root_size() == 0 || !path_inside(place, root, root_size()))
		return result(raw2(SYS_getcwd, buffer, size));
	length = path_strip(place, (size_t)n, root, root_size());
	if (length > size)
		return result(-ERANGE);
	memcpy(buffer, place, length);
	return (long)length;
}

/*
 * The working directory has changed: forget what we know of it.  In a child of vfork, who
 * changes our memory but its own directory, never know again.
 */
static int cwd_changed(int ret)
{
	if (ret != 0 || root_size() == 0)
		return ret;
	if ((pid_t)raw1(SYS_getpid, 0) != cwd_owner)
		atomic_store(&cwd_state, CWD_VARIES);
	else if (atomic_load(&cwd_state) != CWD_VARIES)
		atomic_store(&cwd_state, CWD_UNKNOWN);
	return ret;
}

static __attribute__((noinline)) int lead_chdir(const char *path)
{
	struct led l;

	lead(AT_FDCWD, path, &l);
	return next_chdir(l.path);
}

int do_chdir(const char *path)
{
	return cwd_changed(suspect(AT_FDCWD, path) ? lead_chdir(path) : next_chdir(path));
}

int do_fchdir(int fd)
{
	return cwd_changed(next_fchdir(fd));
}
