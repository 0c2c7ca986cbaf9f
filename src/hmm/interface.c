/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The nodes /dev/hmm_dmirror0 to 3.  Their major is one from the range that the kernel hands out
 * dynamically.
 */
#include <stdio.h>
#include <sys/sysmacros.h>

#include "core/config.h"
#include "core/instance.h"
#include "hmm/hmm.h"

#define MAJOR 241

static int hmm_start(struct instance *i)
{
	const struct hmm_config *c = &i->config->hmm;
	char path[NODE_PATH_MAX];
	int ret = 0;

	for (unsigned n = 0; n < c->devices && !ret; n++) {
		hmm_devices[n].capacity = c->memory / MEMORY_PAGE;
		if (hmm_devices[n].coherent && !c->coherent)
			continue;
		snprintf(path, sizeof(path), "/dev/hmm_dmirror%u", n);
		ret = node_add(path, &hmm_file_ops, &hmm_devices[n], (uint32_t)makedev(MAJOR, n));
	}
	return ret;
}

static const struct ioctl_table *const hmm_tables[] = {
	&hmm_table,
	NULL,
};

static struct interface hmm_interface = {
	.name = "hmm",
	.start = hmm_start,
	.tables = hmm_tables,
};

INTERFACE(hmm_interface)
