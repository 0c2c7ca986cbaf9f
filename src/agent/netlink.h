/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/netlink.h - what getifaddrs() does not tell of an interface.
 */
#ifndef STANDIN_AGENT_NETLINK_H
#define STANDIN_AGENT_NETLINK_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The gateways of default routes through the interface, each with ';' behind it, IPv4 before
 * IPv6; as many as there is room for.
 */
void netlink_gateways(unsigned interface, char *to, size_t size);

/* Whether one of its IPv4 addresses is for a time: they come from DHCP. */
bool netlink_has_lease(unsigned interface);

#endif
