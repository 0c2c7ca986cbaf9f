/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the injected library is.  A build directory is tried first, so that a fresh build
 * never runs with an installed library of another version.
 */
#include "cli/library.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int try_path(const char *directory, const char *below, const char *name, char path[PATH_MAX])
{
	char candidate[PATH_MAX];
	int length = snprintf(candidate, sizeof(candidate), "%s%s/%s", directory, below, name);

	if (length < 0 || (size_t)length >= sizeof(candidate) || access(candidate, R_OK) < 0)
		return -ENOENT;
	return realpath(candidate, path) ? 0 : -errno;
}

int library_find(const char *name, char ret_path[PATH_MAX])
{
	static const char *const below[] = {"", "/src/inject", "/src/inject/preload",
					    "/../" STANDIN_LIBRARY_SUBDIR};
	char directory[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", directory, sizeof(directory) - 1);
	char *slash;

	if (length > 0) {
		directory[length] = '\0';
		slash = strrchr(directory, '/');
		if (slash)
			*slash = '\0';
		for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++)
			if (try_path(directory, below[i], name, ret_path) == 0)
				return 0;
	}
	return try_path(STANDIN_LIBRARY_DIR, "", name, ret_path);
}

void preload_list_remove(char *list, const char *name)
{
	char *to = list;

	for (char *from = list; *from;) {
		size_t length = strcspn(from, ": "), name_length = strlen(name);
		bool named = length >= name_length &&
			     memcmp(from + length - name_length, name, name_length) == 0 &&
			     (length == name_length || from[length - name_length - 1] == '/');

		if (length && !named) {
			if (to != list)
				*to++ = ':';
			memmove(to, from, length);
			to += length;
		}
		from += length + (from[length] != '\0');
	}
	*to = '\0';
}
