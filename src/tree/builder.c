/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The few system calls that a tree is made of.  Parents are made only after the first
 * attempt failed with ENOENT, since most files are siblings.
 */
#include "tree/builder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int builder_init(struct builder *b, const char *root, char *error, size_t error_size)
{
	*b = (struct builder){.error = error, .error_size = error_size};
	b->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->root < 0) {
		b->result = -errno;
		snprintf(error, error_size, "%s: %s", root, strerror(errno));
	}
	return b->result;
}

void builder_finish(struct builder *b)
{
	if (b->root >= 0)
		close(b->root);
	b->root = -1;
}

static void fail(struct builder *b, const char *path, int error)
{
	if (b->result < 0)
		return;
	b->result = -error;
	snprintf(b->error, b->error_size, "can't make %.100s in the private tree: %s", path,
		 strerror(error));
}

/* Makes a directory, and those above it that are missing.  0 or an errno. */
static int make_directory(const struct builder *b, const char *path)
{
	char parent[TREE_PATH_MAX];
	const char *slash = strrchr(path, '/');
	int error;

	if (mkdirat(b->root, path, 0755) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT || !slash || (size_t)(slash - path) >= sizeof(parent))
		return errno;
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = '\0';
	error = make_directory(b, parent);
	if (error)
		return error;
	return mkdirat(b->root, path, 0755) == 0 || errno == EEXIST ? 0 : errno;
}

static int make_parents(const struct builder *b, const char *path)
{
	char parent[TREE_PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (!slash || (size_t)(slash - path) >= sizeof(parent))
		return ENOENT;
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = '\0';
	return make_directory(b, parent);
}

void build_directory(struct builder *b, const char *path)
{
	int error = b->result < 0 ? 0 : make_directory(b, path);

	if (error)
		fail(b, path, error);
}

void build_bytes(struct builder *b, const char *path, mode_t mode, const void *bytes, size_t size)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
	int fd, error = 0;

	if (b->result < 0)
		return;
	fd = openat(b->root, path, flags, mode);
	if (fd < 0 && errno == ENOENT) {
		error = make_parents(b, path);
		if (error == 0)
			fd = openat(b->root, path, flags, mode);
	}
	if (fd < 0) {
		fail(b, path, error ? error : errno);
		return;
	}
	errno = ENOSPC; /* what a short write means */
	if (size && write(fd, bytes, size) != (ssize_t)size)
		fail(b, path, errno);
	close(fd);
}

static void build_text_v(struct builder *b, const char *path, mode_t mode, const char *format,
			 va_list args)
{
	char text[2048];
	int length = vsnprintf(text, sizeof(text), format, args);

	if (length < 0 || (size_t)length >= sizeof(text))
		fail(b, path, EOVERFLOW);
	else
		build_bytes(b, path, mode, text, (size_t)length);
}

void build_text(struct builder *b, const char *path, mode_t mode, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	build_text_v(b, path, mode, format, args);
	va_end(args);
}

void build_attribute(struct builder *b, const char *directory, const char *name, mode_t mode,
		     const char *format, ...)
{
	char path[TREE_PATH_MAX];
	va_list args;

	build_path(b, path, "%s/%s", directory, name);
	va_start(args, format);
	build_text_v(b, path, mode, format, args);
	va_end(args);
}

void build_link(struct builder *b, const char *path, const char *target)
{
	int error;

	if (b->result < 0 || symlinkat(target, b->root, path) == 0)
		return;
	error = errno == ENOENT ? make_parents(b, path) : errno;
	if (error == 0 && symlinkat(target, b->root, path) < 0)
		error = errno;
	if (error)
		fail(b, path, error);
}

void build_relative_link(struct builder *b, const char *path, const char *to)
{
	char target[TREE_PATH_MAX];
	size_t common = 0, length = 0;

	for (size_t i = 0; path[i] && path[i] == to[i]; i++)
		if (path[i] == '/')
			common = i + 1;
	for (const char *p = path + common; (p = strchr(p, '/')); p++) {
		if (length + 3 >= sizeof(target)) {
			fail(b, path, ENAMETOOLONG);
			return;
		}
		memcpy(target + length, "../", 3);
		length += 3;
	}
	if (length + strlen(to + common) >= sizeof(target)) {
		fail(b, path, ENAMETOOLONG);
		return;
	}
	strcpy(target + length, to + common);
	build_link(b, path, target);
}

bool build_exists(const struct builder *b, const char *path)
{
	struct stat st;

	return fstatat(b->root, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

void build_path(struct builder *b, char path[TREE_PATH_MAX], const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(path, TREE_PATH_MAX, format, args);
	va_end(args);
	if (length < 0 || length >= TREE_PATH_MAX) {
		path[0] = '\0';
		fail(b, format, ENAMETOOLONG);
	}
}
