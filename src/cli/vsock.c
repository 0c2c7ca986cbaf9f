/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The place of --vsock.  Sockets in it outlive who made them, as Unix sockets do; at the end
 * of a run the dead ones go, whoever left them.
 *
 * Whether a socket is dead is asked by connecting to it with one of another type: if there
 * is anybody the kernel says EPROTOTYPE and nobody notices, otherwise ECONNREFUSED.
 */
#include "cli/vsock.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/vsock_place.h"

int vsock_place_complete(char **place)
{
	struct stat st;
	bool directory = *place && stat(*place, &st) == 0 && S_ISDIR(st.st_mode);
	char *whole;

	if (!*place)
		return 0;
	if (vsock_place_is_directory(*place) && !directory) {
		complain("vsock: %s is no directory", *place);
		return EXIT_USAGE;
	}
	if (directory && !vsock_place_is_directory(*place)) {
		if (asprintf(&whole, "%s/", *place) < 0) {
			complain("out of memory");
			return EXIT_USAGE;
		}
		free(*place);
		*place = whole;
	}
	if (vsock_place_fits(*place))
		return 0;
	complain("vsock: %s is longer than %u characters", *place,
		 directory ? VSOCK_PLACE_DIRECTORY_MAX : VSOCK_PLACE_MAX);
	return EXIT_USAGE;
}

int vsock_place_publish(const struct private_directory *p, const char *place)
{
	char path[PATH_MAX + sizeof("/" VSOCK_PLACE_LINK)];

	if (!place)
		return 0;
	snprintf(path, sizeof(path), "%s/" VSOCK_PLACE_LINK, p->path);
	return symlink(place, path) < 0 ? -errno : 0;
}

/* The rest of `text` behind digits, of which there is one at least; NULL otherwise. */
static const char *after_number(const char *text)
{
	const char *at = text;

	while (isdigit((unsigned char)*at))
		at++;
	return at > text ? at : NULL;
}

/* Whether something named so can be a socket of the place that begins with `base`. */
static bool is_ours(const char *name, const char *base)
{
	size_t length = strlen(base);
	const char *rest = name + length;

	if (length == 0) {
		rest = after_number(name);
		if (!rest || strncmp(rest, ".sock", 5) != 0)
			return false;
		rest += 5;
	} else if (strncmp(name, base, length) != 0) {
		return false;
	}
	if (!*rest || strcmp(rest, ".seqpacket") == 0)
		return true;
	if (length && strncmp(rest, ".1_", 3) == 0)
		rest += 2;
	if (*rest != '_')
		return false;
	rest = after_number(rest + 1);
	return rest && !*rest;
}

static void remove_if_dead(int directory, const char *parent, const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t length = strlen(parent);
	struct stat st;
	int fd, result;

	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISSOCK(st.st_mode) ||
	    length + strlen(name) >= sizeof(a.sun_path))
		return;
	memcpy(a.sun_path, parent, length);
	strcpy(a.sun_path + length, name);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	result = connect(fd, (const struct sockaddr *)&a, vsock_address_size(&a));
	if (result < 0 && errno == ECONNREFUSED)
		unlinkat(directory, name, 0);
	close(fd);
}

void vsock_place_clean(const char *place)
{
	char parent[VSOCK_PLACE_MAX + 1];
	struct dirent *entry;
	const char *base;
	DIR *d;

	if (!place)
		return;
	snprintf(parent, sizeof(parent), "%s", place);
	base = strrchr(place, '/') + 1;
	parent[base - place] = '\0';
	d = opendir(parent);
	if (!d)
		return;
	while ((entry = readdir(d)))
		if (is_ours(entry->d_name, base))
			remove_if_dead(dirfd(d), parent, entry->d_name);
	closedir(d);
}
