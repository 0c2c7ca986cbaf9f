/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the host is told of interfaces: getifaddrs() and netlink, without programs to start.
 * Subnets are masks for IPv4 and "/64" for IPv6, as the kernel's daemon has them.
 */
#include "agent/ipinfo.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/netlink.h"

#define NET_DIRECTORY "/sys/class/net"

/* Appends "text" or ";text" if there is room for all of it. */
static bool append(char *to, size_t size, const char *text)
{
	size_t used = strlen(to);

	if (used + strlen(text) + 2 > size)
		return false;
	snprintf(to + used, size - used, "%s%s", used ? ";" : "", text);
	return true;
}

static bool address_text(const struct sockaddr *a, char text[INET6_ADDRSTRLEN])
{
	if (a->sa_family == AF_INET)
		return inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, text,
				 INET6_ADDRSTRLEN);
	return inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)a)->sin6_addr, text,
			 INET6_ADDRSTRLEN);
}

static bool is_wanted(const struct ifaddrs *i, int family)
{
	if (!i->ifa_addr || (i->ifa_flags & IFF_LOOPBACK))
		return false;
	if (family)
		return i->ifa_addr->sa_family == family;
	return i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6;
}

void ipinfo_addresses(int family, char *to, size_t size)
{
	char text[INET6_ADDRSTRLEN];
	struct ifaddrs *all;

	*to = '\0';
	if (getifaddrs(&all) < 0)
		return;
	for (const struct ifaddrs *i = all; i; i = i->ifa_next)
		if (is_wanted(i, family) && address_text(i->ifa_addr, text) &&
		    !append(to, size, text))
			break;
	freeifaddrs(all);
}

/* "255.255.255.0" or "/64". */
static bool mask_text(const struct sockaddr *mask, int family, char text[INET6_ADDRSTRLEN])
{
	const struct sockaddr_in6 *m = (const struct sockaddr_in6 *)mask;
	unsigned n = 0;

	if (!mask)
		return false;
	if (family == AF_INET)
		return inet_ntop(AF_INET, &((const struct sockaddr_in *)mask)->sin_addr, text,
				 INET6_ADDRSTRLEN);
	for (unsigned i = 0; i < 16; i++)
		n += (unsigned)__builtin_popcount(m->sin6_addr.s6_addr[i]);
	snprintf(text, INET6_ADDRSTRLEN, "/%u", n);
	return true;
}

/* An alias "eth0:1" is the interface's too. */
static bool is_of(const struct ifaddrs *i, const char *interface)
{
	size_t n = strlen(interface);

	return strncmp(i->ifa_name, interface, n) == 0 &&
	       (i->ifa_name[n] == '\0' || i->ifa_name[n] == ':');
}

void ipinfo_nameservers(const char *path, char *to, size_t size)
{
	FILE *file = fopen(path, "re");
	char line[256], text[INET6_ADDRSTRLEN + 16];
	struct in6_addr address;
	size_t used = 0;

	*to = '\0';
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "nameserver %61s", text) != 1)
			continue;
		if (inet_pton(AF_INET, text, &address) != 1 &&
		    inet_pton(AF_INET6, text, &address) != 1)
			continue;
		if (used + strlen(text) + 2 > size)
			break;
		used += (size_t)snprintf(to + used, size - used, "%s;", text);
	}
	if (file)
		fclose(file);
}

/* False: the kernel does not tell. */
static bool describe(struct hv_kvp_ipaddr_value *value, const char *interface)
{
	char *addresses = (char *)value->ip_addr, *masks = (char *)value->sub_net;
	char *servers = (char *)value->dns_addr, text[INET6_ADDRSTRLEN];
	struct ifaddrs *all;
	unsigned index = if_nametoindex(interface);

	value->addr_family = ADDR_FAMILY_NONE;
	*addresses = *masks = '\0';
	if (getifaddrs(&all) < 0)
		return false;
	for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
		if (!is_wanted(i, 0) || !is_of(i, interface) || !address_text(i->ifa_addr, text))
			continue;
		if (!append(addresses, sizeof(value->ip_addr), text))
			break;
		value->addr_family |=
			i->ifa_addr->sa_family == AF_INET ? ADDR_FAMILY_IPV4 : ADDR_FAMILY_IPV6;
		if (mask_text(i->ifa_netmask, i->ifa_addr->sa_family, text))
			append(masks, sizeof(value->sub_net), text);
	}
	freeifaddrs(all);
	netlink_gateways(index, (char *)value->gate_way, sizeof(value->gate_way));
	value->dhcp_enabled = netlink_has_lease(index);
	ipinfo_nameservers("/etc/resolv.conf", servers, sizeof(value->dns_addr));
	/* systemd-resolved's own address says nothing; behind it are these. */
	if (strcmp(servers, "127.0.0.53;") == 0)
		ipinfo_nameservers("/run/systemd/resolve/resolv.conf", servers,
				   sizeof(value->dns_addr));
	return true;
}

uint32_t ipinfo_get(struct hv_kvp_ipaddr_value *value)
{
	char *adapter = (char *)value->adapter_id, path[300], address[64];
	DIR *directory = opendir(NET_DIRECTORY);
	uint32_t status = HV_E_FAIL;
	const struct dirent *entry;

	adapter[sizeof(value->adapter_id) - 1] = '\0';
	while (directory && (entry = readdir(directory))) {
		FILE *file;

		snprintf(path, sizeof(path), NET_DIRECTORY "/%s/address", entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fgets(address, sizeof(address), file)) {
			address[strcspn(address, "\n")] = '\0';
			/* One without addresses may be another's lower half: go on. */
			if (*address && strcasecmp(address, adapter) == 0 &&
			    describe(value, entry->d_name))
				status = HV_S_OK;
		}
		fclose(file);
		if (status == HV_S_OK && value->ip_addr[0])
			break;
	}
	if (directory)
		closedir(directory);
	return status;
}
