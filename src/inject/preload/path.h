/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inject/preload/path.h - which paths belong to the tree, judged from their text.
 *
 * Pure functions over strings: no system calls, no allocation.  "Normal" is a path that
 * is absolute and has no `.`, no `..`, no double and no trailing slash.
 */
#ifndef STANDIN_PRELOAD_PATH_H
#define STANDIN_PRELOAD_PATH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* Comes before everything below; more than once does no harm. */
void path_start(void);

/*
 * Joins `base` (normal) and `path` (absolute: base is not used) and makes the result
 * normal, taking `..` lexically.  false: it does not fit.
 */
bool path_normalise(const char *base, const char *path, char out[PATH_MAX]);
/* Whether one of tree_prefixes covers the normal path. */
bool path_covered(const char *normal);
/*
 * Whether a relative path could lead to a covered place from a directory that is
 * outside of the tree: its components, after any that `..` takes away again, continue
 * some ancestor of a prefix with all that is missing of it.
 */
bool path_completes(const char *relative);
/* Whether a component of the path is `..`. */
bool path_climbs(const char *path);
/*
 * The first test of an absolute path: false if it certainly is not covered.  True if it
 * is, or is written in a way that has to be taken apart.
 */
bool path_suspect(const char *absolute);

/*
 * Whether an absolute path begins with the first component of a prefix, or is written in
 * a way that does not show it.
 */
bool path_first_shared(const char *absolute);

/*
 * What is left of `text` (`length` bytes, need not end in NUL) when it is inside `root`:
 * moves the rest down, so that /private/root/sys becomes /sys, and returns its length; a
 * NUL after it is moved as well if `length` counts it.  Anything else: length, unchanged.
 */
size_t path_strip(char *text, size_t length, const char *root, size_t root_length);
/* Whether `path` is `root` or below it. */
bool path_inside(const char *path, const char *root, size_t root_length);

#endif
