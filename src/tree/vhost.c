/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The modules of vhost, by which programs tell whether a kernel has it and how big a memory
 * table may be.  One shows for every node that is there.
 */
#include <string.h>

#include "core/file.h"
#include "tree/parts.h"

struct module {
	const char *node, *directory;
	/* A parameter and its value. */
	const char *parameter, *value;
	unsigned mode;
};

static const struct module modules[] = {
	{"/dev/vhost-net", "sys/module/vhost_net", "experimental_zcopytx", "0\n", 0444},
	{"/dev/vhost-vsock", "sys/module/vhost_vsock", NULL, NULL, 0},
	{"/dev/vhost-scsi", "sys/module/vhost_scsi", "max_io_vqs", "128\n", 0644},
	{"/dev/vhost-vdpa-0", "sys/module/vhost_vdpa", "max_iotlb_entries", "2048\n", 0444},
};

static void build_module(const struct node *node, void *arg)
{
	struct builder *b = arg;
	char path[TREE_PATH_MAX];

	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
		const struct module *m = &modules[i];

		if (strcmp(node->path, m->node) != 0)
			continue;
		build_attribute(b, m->directory, "uevent", 0200, "%s", "");
		if (!m->parameter)
			continue;
		build_path(b, path, "%s/parameters", m->directory);
		build_attribute(b, path, m->parameter, m->mode, "%s", m->value);
	}
}

void build_vhost(struct builder *b)
{
	build_attribute(b, "sys/module/vhost", "uevent", 0200, "%s", "");
	build_attribute(b, "sys/module/vhost/parameters", "max_mem_regions", 0444, "64\n");
	build_attribute(b, "sys/module/vhost/parameters", "max_iotlb_entries", 0444, "2048\n");
	build_attribute(b, "sys/module/vhost/parameters", "fork_from_owner_default", 0444, "Y\n");
	node_each(build_module, b);
}
