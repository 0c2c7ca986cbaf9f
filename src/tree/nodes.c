/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Device nodes are plain files that name their device; the injected wrappers show them as
 * character devices and open what is behind them.  Permissions are those that devtmpfs
 * gives: all may open the container, taps and /dev/vsock, root alone the rest.
 */
#include <string.h>
#include <sys/sysmacros.h>

#include "core/file.h"
#include "tree/parts.h"

static void build_node(const struct node *node, void *arg)
{
	struct builder *b = arg;
	bool for_all = strcmp(node->path, "/dev/vfio/vfio") == 0 ||
		       strcmp(node->path, "/dev/net/tun") == 0 ||
		       strcmp(node->path, "/dev/vsock") == 0;
	mode_t mode = for_all ? 0666 : 0600;

	build_text(b, node->path + 1, mode, "%u:%u\n", major(node->rdev), minor(node->rdev));
}

void build_nodes(struct builder *b)
{
	node_each(build_node, b);
}
