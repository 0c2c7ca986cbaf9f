/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The node /dev/userfaultfd, unless the machine's own is to be used.  Its number is one from the
 * range of the kernel's miscellaneous devices that is handed out dynamically.
 */
#include <sys/sysmacros.h>

#include "core/config.h"
#include "core/instance.h"
#include "memory/hold.h"
#include "uffd/uffd.h"

#define MISC_MAJOR 10
#define MINOR      257

static int uffd_start(struct instance *i)
{
	if (i->config->uffd == UFFD_NATIVE)
		return 0;
	if (i->config->uffd == UFFD_EMULATE)
		hold_refuse();
	return node_add("/dev/userfaultfd", &uffd_node_ops, NULL,
			(uint32_t)makedev(MISC_MAJOR, MINOR));
}

static const struct ioctl_table *const uffd_tables[] = {
	&uffd_node_table,
	&uffd_table,
	NULL,
};

static struct interface uffd_interface = {
	.name = "uffd",
	.start = uffd_start,
	.tables = uffd_tables,
};

INTERFACE(uffd_interface)
