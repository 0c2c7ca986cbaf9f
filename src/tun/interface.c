/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The node /dev/net/tun, with the kernel's number (misc 10:200).  There is one only where
 * the configuration says what interfaces are plugged into; else the machine's own is used.
 */
#include <sys/sysmacros.h>

#include "core/config.h"
#include "core/instance.h"
#include "tun/tun.h"

#define MISC_MAJOR 10
#define TUN_MINOR  200

static int tun_start(struct instance *i)
{
	if (!i->config->n_nets)
		return 0;
	return node_add("/dev/net/tun", &tun_ops, NULL, (uint32_t)makedev(MISC_MAJOR, TUN_MINOR));
}

static void tun_stop(struct instance *i)
{
	(void)i;
	tun_drop_interfaces();
}

static const struct ioctl_table *const tun_tables[] = {
	&tun_table,
	NULL,
};

static struct interface tun_interface = {
	.name = "tun",
	.start = tun_start,
	.stop = tun_stop,
	.tables = tun_tables,
	.socket_ioctl = tun_socket_ioctl,
};

INTERFACE(tun_interface)
