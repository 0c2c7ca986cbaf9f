/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/ipinfo.h - addresses of interfaces, told to the host and set for it.
 *
 * Strings in hv_kvp_ipaddr_value are UTF-8 where the daemons read and write them, and end with a
 * NUL within their fields.
 */
#ifndef STANDIN_AGENT_IPINFO_H
#define STANDIN_AGENT_IPINFO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <linux/hyperv.h>

/* All addresses of a family but the loopback's, with ';' between them. */
void ipinfo_addresses(int family, char *to, size_t size);

/* KVP_OP_GET_IP_INFO, for the interface of the hardware address in adapter_id.  A status. */
uint32_t ipinfo_get(struct hv_kvp_ipaddr_value *value);

/* The nameservers of a file like /etc/resolv.conf, each with ';' behind it. */
void ipinfo_nameservers(const char *path, char *to, size_t size);

/*
 * KVP_OP_SET_IP_INFO: writes ifcfg-IF and IF.nmconnection into `directory`, and starts
 * hv_set_ifconfig with their paths.  HV_S_OK: *ret_pid runs, and with its exit status 0 it has
 * succeeded.  Otherwise a status, and nothing runs.
 */
uint32_t ipinfo_set(const struct hv_kvp_ipaddr_value *value, const char *directory,
		    const char *scripts, pid_t *ret_pid);

/*
 * The two files' contents for an interface, written to `to`; for ipinfo_set() and its test.
 * HV_S_OK, or HV_INVALIDARG for what is no list of addresses.
 */
uint32_t ipinfo_format(const struct hv_kvp_ipaddr_value *value, const char *interface,
		       const char *address, char **ret_ifcfg, char **ret_nmconnection);

#endif
