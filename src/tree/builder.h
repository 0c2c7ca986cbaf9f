/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tree/builder.h - making files, links and directories below a root.
 *
 * Paths are relative to the root and spelled without a leading slash ("sys/bus/pci").
 * Directories on the way are made as needed.  The first failure is remembered in
 * `result` and `error`; after it every call does nothing, so a generator is written
 * straight through and the result looked at once, at its end.
 */
#ifndef STANDIN_TREE_BUILDER_H
#define STANDIN_TREE_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define TREE_PATH_MAX 256

struct builder {
	int root;    /* descriptor */
	int result;  /* 0, or the -errno of the first failure */
	char *error; /* one line about it */
	size_t error_size;
};

/* -errno (ENOENT, ...) if `root` is no directory. */
int builder_init(struct builder *b, const char *root, char *error, size_t error_size);
void builder_finish(struct builder *b);

void build_directory(struct builder *b, const char *path);
/* A file of `size` bytes with exactly the permissions `mode`, whatever the umask. */
void build_bytes(struct builder *b, const char *path, mode_t mode, const void *bytes, size_t size);
/* A file with that text. */
void build_text(struct builder *b, const char *path, mode_t mode, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The same, for a file `name` in `directory`. */
void build_attribute(struct builder *b, const char *directory, const char *name, mode_t mode,
		     const char *format, ...) __attribute__((format(printf, 5, 6)));
void build_link(struct builder *b, const char *path, const char *target);
/*
 * A symbolic link to another place in the tree, spelled relatively as sysfs does:
 * (sys/bus/pci/devices/X, sys/devices/Y) points to ../../../devices/Y.
 */
void build_relative_link(struct builder *b, const char *path, const char *to);
bool build_exists(const struct builder *b, const char *path);

/* snprintf into a path; a path that is too long becomes a failure. */
void build_path(struct builder *b, char path[TREE_PATH_MAX], const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
