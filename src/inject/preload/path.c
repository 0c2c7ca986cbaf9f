/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Path logic of the redirection.
 *
 * The prefixes are compared component by component.  A relative path concerns us only if
 * the directory that it starts from is inside the tree, which this file knows nothing of,
 * or if it completes a prefix: with /sys/bus/pci in the table these are sys/bus/pci,
 * bus/pci and pci, each alone or with more behind it.  That test rejects nearly
 * everything without asking the kernel where we are.
 */
#include <string.h>

#include "inject/preload/path.h"
#include "tree/prefixes.h"

#define N_PREFIXES (sizeof(tree_prefixes) / sizeof(tree_prefixes[0]))

/* Whether `path` begins with the components of `head`; an end or a slash follows. */
static bool begins(const char *path, const char *head)
{
	while (*head) {
		if (*path++ != *head++)
			return false;
	}
	return !*path || *path == '/';
}

bool path_covered(const char *normal)
{
	for (size_t i = 0; i < N_PREFIXES; i++) {
		if (begins(normal, tree_prefixes[i]))
			return true;
	}
	return false;
}

bool path_climbs(const char *path)
{
	for (const char *p = path; (p = strstr(p, "..")); p += 2) {
		if ((p == path || p[-1] == '/') && (!p[2] || p[2] == '/'))
			return true;
	}
	return false;
}

bool path_normalise(const char *base, const char *path, char out[PATH_MAX])
{
	size_t length = 0;

	if (*path != '/') {
		length = strlen(base);
		if (length >= PATH_MAX)
			return false;
		memcpy(out, base, length);
		if (length == 1) /* "/" */
			length = 0;
	}
	while (*path) {
		size_t size;

		while (*path == '/')
			path++;
		size = strcspn(path, "/");
		if (size == 2 && path[0] == '.' && path[1] == '.') {
			while (length > 0 && out[--length] != '/')
				;
		} else if (size > 0 && !(size == 1 && path[0] == '.')) {
			if (length + 1 + size >= PATH_MAX)
				return false;
			out[length++] = '/';
			memcpy(out + length, path, size);
			length += size;
		}
		path += size;
	}
	if (length == 0)
		out[length++] = '/';
	out[length] = '\0';
	return true;
}

bool path_completes(const char *relative)
{
	char normal[PATH_MAX];
	const char *rest;

	/* From the root, what climbs above the start stays in it: only the rest is left. */
	if (relative[0] == '.' || strstr(relative, "/.") || strstr(relative, "//")) {
		if (!path_normalise("/", relative, normal))
			return false;
		rest = normal + 1;
	} else {
		rest = relative;
	}
	for (size_t i = 0; i < N_PREFIXES; i++) {
		const char *tail = tree_prefixes[i];

		while (tail) {
			tail++;
			if (*tail == *rest && begins(rest, tail))
				return true;
			tail = strchr(tail, '/');
		}
	}
	/*
	 * It may also name an ancestor of a prefix and climb from nowhere, "../..": that
	 * is not covered, whatever it starts from.
	 */
	return false;
}

bool path_suspect(const char *absolute)
{
	const char *p = absolute + 1;

	if (*p != '/' && *p != '.') {
		for (size_t i = 0; i < N_PREFIXES; i++) {
			const char *first = tree_prefixes[i] + 1;

			if (first[0] == p[0] && first[1] == p[1] && first[2] == p[2])
				return true;
		}
		return strstr(p, "/..") != NULL;
	}
	return true;
}

bool path_inside(const char *path, const char *root, size_t root_length)
{
	return strncmp(path, root, root_length) == 0 &&
	       (!path[root_length] || path[root_length] == '/');
}

size_t path_strip(char *text, size_t length, const char *root, size_t root_length)
{
	if (length < root_length || memcmp(text, root, root_length) != 0)
		return length;
	if (length == root_length || !text[root_length]) {
		/* The root itself is "/", for which there is room: root is longer. */
		text[0] = '/';
		if (length > root_length)
			text[1] = '\0';
		return 1 + (length > root_length);
	}
	if (text[root_length] != '/')
		return length;
	memmove(text, text + root_length, length - root_length);
	return length - root_length;
}
