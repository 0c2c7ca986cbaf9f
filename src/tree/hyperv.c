/* SPDX-License-Identifier: BSD-3-Clause */
/* The directory of the daemons' pools, which begins empty and ends with the run. */
#include "core/config.h"
#include "core/instance.h"
#include "tree/parts.h"
#include "tree/prefixes.h"

void build_hyperv(struct builder *b, const struct instance *i)
{
	if (i->config->hyperv.on)
		build_directory(b, &TREE_STATE[1]);
}
