/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A prefix that is led away hides what the real machine has there, so its entries are
 * linked in beside ours.  That is done in the directories where both can have entries;
 * an entry of ours wins.  A link that stays below a prefix is copied as it is, so that it
 * reads as on the real machine; everything else becomes a link to the real place.
 *
 * Real VFIO groups and nodes are left out: a real group can't join a container that is
 * not real.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree/parts.h"
#include "tree/prefixes.h"

static const char *const shared[] = {
	"sys/bus/pci",
	"sys/bus/pci/devices",
	"sys/bus/pci/drivers",
	"sys/bus/pci/slots",
	"sys/class/iommu",
	"sys/devices/virtual/iommu",
	"sys/kernel/iommu_groups",
	"sys/devices/pci0000:00",
};

static bool below_prefix(const char *path)
{
	for (size_t i = 0; i < sizeof(tree_prefixes) / sizeof(tree_prefixes[0]); i++) {
		size_t length = strlen(tree_prefixes[i]);

		if (strncmp(path, tree_prefixes[i], length) == 0 &&
		    (path[length] == '/' || path[length] == '\0'))
			return true;
	}
	return false;
}

/* Whether `target`, of a link in `directory`, is relative and leads below a prefix. */
static bool stays_below(const char *directory, const char *target)
{
	char path[TREE_PATH_MAX];
	size_t length = strlen(directory);

	if (target[0] == '/' || length + 1 >= sizeof(path))
		return false;
	snprintf(path, sizeof(path), "/%s", directory);
	for (length = strlen(path); strncmp(target, "../", 3) == 0; target += 3) {
		while (length > 0 && path[--length] != '/')
			;
		path[length] = '\0';
	}
	if (strstr(target, "..") || length + 1 + strlen(target) >= sizeof(path))
		return false;
	path[length] = '/';
	strcpy(path + length + 1, target);
	return below_prefix(path);
}

static void link_entry(struct builder *b, const char *directory, const char *name)
{
	char path[TREE_PATH_MAX], host[TREE_PATH_MAX + 1], target[TREE_PATH_MAX];
	ssize_t length;

	build_path(b, path, "%s/%s", directory, name);
	if (b->result < 0 || build_exists(b, path))
		return;
	snprintf(host, sizeof(host), "/%s", path);
	length = readlink(host, target, sizeof(target) - 1);
	if (length > 0) {
		target[length] = '\0';
		if (stays_below(directory, target)) {
			build_link(b, path, target);
			return;
		}
	}
	build_link(b, path, host);
}

static void link_directory(struct builder *b, const char *directory)
{
	char host[TREE_PATH_MAX + 1];
	struct dirent *entry;
	DIR *dir;

	snprintf(host, sizeof(host), "/%s", directory);
	dir = opendir(host);
	if (!dir)
		return;
	build_directory(b, directory);
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			link_entry(b, directory, entry->d_name);
	closedir(dir);
}

/* Nodes that the tree may not have and that the kernel's then stand for. */
static bool is_optional_node(const char *path)
{
	return strcmp(path, "/dev/net/tun") == 0 || strcmp(path, "/dev/vsock") == 0 ||
	       strcmp(path, "/dev/userfaultfd") == 0;
}

/* A prefix that we have nothing for is the real one; most real nodes are hidden. */
static void link_prefix(struct builder *b, const char *prefix)
{
	if ((strncmp(prefix, "/dev/", 5) == 0 && !is_optional_node(prefix)) ||
	    strcmp(prefix, TREE_STATE) == 0 || build_exists(b, prefix + 1) ||
	    access(prefix, F_OK) < 0)
		return;
	build_link(b, prefix + 1, prefix);
}

void build_host(struct builder *b)
{
	for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
		link_directory(b, shared[i]);
	for (size_t i = 0; i < sizeof(tree_prefixes) / sizeof(tree_prefixes[0]); i++)
		link_prefix(b, tree_prefixes[i]);
}
