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

/* Which characters a prefix may have behind the first slash. */
static bool first_letter[256];

/* Whether `path` begins with the components of `head`; an end or a slash follows. */
static bool begins(const char *path, const char *head)
{
	for (; *head; head++) {
		if (*head != '#') {
			if (*path++ != *head)
				return false;
			continue;
		}
		if (*path < '0' || *path > '9')
			return false;
		while (*path >= '0' && *path <= '9')
			path++;
	}
	return !*path || *path == '/';
}

bool path_covered(const char *normal)
{
	if (!first_letter[(unsigned char)normal[1]])
		return false;
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

/*
 * What completes a prefix, by first character: a list of tails for each, 0 ends it.  The
 * numbers count from 1.
 */
#define MAX_TAILS 128
static struct {
	const char *text;
	unsigned char next;
} tails[MAX_TAILS + 1];
static unsigned char first_tail[256];

void path_start(void)
{
	unsigned n = 0;

	if (tails[1].text)
		return;
	for (size_t i = 0; i < N_PREFIXES; i++) {
		first_letter[(unsigned char)tree_prefixes[i][1]] = true;
		for (const char *t = tree_prefixes[i]; t && n < MAX_TAILS; t = strchr(t, '/')) {
			unsigned char first = (unsigned char)*++t;

			n++;
			tails[n].text = t;
			tails[n].next = first_tail[first];
			first_tail[first] = (unsigned char)n;
		}
	}
}

/* Whether the path is written as plainly as can be, but for a slash at the end. */
static bool plain(const char *path)
{
	if (*path == '.')
		return false;
	for (; *path; path++) {
		if (*path == '/' && (path[1] == '/' || path[1] == '.'))
			return false;
	}
	return true;
}

static bool completes(const char *rest)
{
	for (unsigned i = first_tail[(unsigned char)*rest]; i; i = tails[i].next) {
		if (begins(rest, tails[i].text))
			return true;
	}
	return false;
}

/* Taken from the root, what climbs above its start is cut off. */
static __attribute__((noinline)) bool completes_normalised(const char *relative)
{
	char normal[PATH_MAX];

	return path_normalise("/", relative, normal) && completes(normal + 1);
}

bool path_completes(const char *relative)
{
	return plain(relative) ? completes(relative) : completes_normalised(relative);
}

bool path_suspect(const char *absolute)
{
	return !plain(absolute) || path_covered(absolute);
}

bool path_first_shared(const char *absolute)
{
	size_t length;

	if (!plain(absolute))
		return true;
	length = strcspn(absolute + 1, "/") + 1;
	for (size_t i = 0; i < N_PREFIXES; i++) {
		if (strncmp(absolute, tree_prefixes[i], length) == 0 &&
		    tree_prefixes[i][length] == '/')
			return true;
	}
	return false;
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
