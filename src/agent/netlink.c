/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dumps of routes and addresses (rtnetlink(7)).  A dump that fails is as good as an empty one.
 */
#include "agent/netlink.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef void (*netlink_visit)(void *context, const struct nlmsghdr *message);

static void dump(unsigned short type, unsigned char family, netlink_visit visit, void *context)
{
	struct {
		struct nlmsghdr header;
		struct rtgenmsg body;
	} request = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtgenmsg)),
			   .nlmsg_type = type,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.body = {.rtgen_family = family},
	};
	struct timeval limit = {.tv_sec = 1};
	_Alignas(struct nlmsghdr) char buffer[32768];
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	bool done = fd < 0;

	if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
			send(fd, &request, request.header.nlmsg_len, 0) < 0))
		done = true;
	while (!done) {
		ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
		const struct nlmsghdr *m = (const struct nlmsghdr *)buffer;
		unsigned left = got > 0 ? (unsigned)got : 0;

		done = got <= 0;
		for (; NLMSG_OK(m, left) && !done; m = NLMSG_NEXT(m, left)) {
			if (m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR)
				done = true;
			else
				visit(context, m);
		}
	}
	if (fd >= 0)
		close(fd);
}

struct gateways {
	unsigned interface;
	char *to;
	size_t size;
};

static void add_gateway(struct gateways *g, unsigned char family, const void *address)
{
	char text[INET6_ADDRSTRLEN];
	int n;

	if (!inet_ntop(family, address, text, sizeof(text)) || strlen(text) + 2 > g->size)
		return;
	n = snprintf(g->to, g->size, "%s;", text);
	g->to += n;
	g->size -= (size_t)n;
}

static size_t address_size(unsigned char family)
{
	return family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
}

/* Of a route with several ways. */
static void visit_ways(struct gateways *g, unsigned char family, const struct rtattr *ways)
{
	const struct rtnexthop *way = RTA_DATA(ways);
	unsigned left = RTA_PAYLOAD(ways);

	while (left >= sizeof(*way) && RTNH_OK(way, (int)left)) {
		const struct rtattr *a = RTNH_DATA(way);
		unsigned size = way->rtnh_len - RTNH_LENGTH(0);

		for (; RTA_OK(a, size); a = RTA_NEXT(a, size))
			if (a->rta_type == RTA_GATEWAY && RTA_PAYLOAD(a) >= address_size(family) &&
			    way->rtnh_ifindex == (int)g->interface)
				add_gateway(g, family, RTA_DATA(a));
		left -= RTNH_ALIGN(way->rtnh_len) < (int)left ? RTNH_ALIGN(way->rtnh_len) : left;
		way = RTNH_NEXT(way);
	}
}

static void visit_route(void *context, const struct nlmsghdr *m)
{
	const struct rtmsg *route = NLMSG_DATA(m);
	struct gateways *g = context;
	const void *gateway = NULL;
	const struct rtattr *a;
	unsigned size, interface = 0;

	if (m->nlmsg_type != RTM_NEWROUTE || m->nlmsg_len < NLMSG_LENGTH(sizeof(*route)) ||
	    route->rtm_dst_len != 0 || route->rtm_table != RT_TABLE_MAIN ||
	    route->rtm_type != RTN_UNICAST)
		return;
	size = m->nlmsg_len - (unsigned)NLMSG_LENGTH(sizeof(*route));
	for (a = RTM_RTA(route); RTA_OK(a, size); a = RTA_NEXT(a, size)) {
		if (a->rta_type == RTA_GATEWAY && RTA_PAYLOAD(a) >= address_size(route->rtm_family))
			gateway = RTA_DATA(a);
		else if (a->rta_type == RTA_OIF && RTA_PAYLOAD(a) >= sizeof(interface))
			memcpy(&interface, RTA_DATA(a), sizeof(interface));
		else if (a->rta_type == RTA_MULTIPATH)
			visit_ways(g, route->rtm_family, a);
	}
	if (gateway && interface == g->interface)
		add_gateway(g, route->rtm_family, gateway);
}

void netlink_gateways(unsigned interface, char *to, size_t size)
{
	struct gateways g = {.interface = interface, .to = to, .size = size};

	*to = '\0';
	dump(RTM_GETROUTE, AF_INET, visit_route, &g);
	dump(RTM_GETROUTE, AF_INET6, visit_route, &g);
}

struct lease {
	unsigned interface;
	bool found;
};

static void visit_address(void *context, const struct nlmsghdr *m)
{
	const struct ifaddrmsg *address = NLMSG_DATA(m);
	struct lease *l = context;

	if (m->nlmsg_type == RTM_NEWADDR && m->nlmsg_len >= NLMSG_LENGTH(sizeof(*address)) &&
	    address->ifa_index == l->interface && !(address->ifa_flags & IFA_F_PERMANENT))
		l->found = true;
}

bool netlink_has_lease(unsigned interface)
{
	struct lease l = {.interface = interface};

	dump(RTM_GETADDR, AF_INET, visit_address, &l);
	return l.found;
}
