/* SPDX-License-Identifier: BSD-3-Clause */
/* standin kvp ip: the addresses of a guest's adapters, read and written by its host. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/guest.h"
#include "cli/json.h"

struct ip {
	struct guest_options guest;
	struct standin_hyperv_addresses a;
	struct standin_hyperv *host;
};

static const char *family_name(unsigned family)
{
	return family == (ADDR_FAMILY_IPV4 | ADDR_FAMILY_IPV6) ? "both"
	       : family == ADDR_FAMILY_IPV4                    ? "ipv4"
	       : family == ADDR_FAMILY_IPV6                    ? "ipv6"
							       : "none";
}

static int print(const struct ip *ip)
{
	const struct standin_hyperv_addresses *a = &ip->a;
	const struct {
		const char *name, *value;
	} rows[] = {
		{"adapter", a->adapter}, {"family", family_name(a->family)},
		{"address", a->address}, {"netmask", a->netmask},
		{"gateway", a->gateway}, {"dns", a->dns},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!ip->guest.json) {
			printf("%s\t%s\n", rows[i].name, rows[i].value);
			continue;
		}
		printf("%s\"%s\": ", i ? ", " : "{", rows[i].name);
		json_string(stdout, rows[i].value);
	}
	if (ip->guest.json)
		printf(", \"dhcp\": %s}\n", a->dhcp ? "true" : "false");
	else
		printf("dhcp\t%s\n", a->dhcp ? "yes" : "no");
	return finish_output();
}

static int set_text(char *to, size_t size, const char *text)
{
	if (snprintf(to, size, "%s", text) >= (int)size)
		return usage_error("kvp", "'%.32s...' is too long", text);
	return 0;
}

static int parse(struct ip *ip, int argc, char **argv)
{
	static const struct option options[] = {{"address", required_argument, NULL, 'a'},
						{"netmask", required_argument, NULL, 'm'},
						{"gateway", required_argument, NULL, 'g'},
						{"dns", required_argument, NULL, 'd'},
						{"dhcp", no_argument, NULL, 'D'},
						{"ipv4", no_argument, NULL, '4'},
						{"ipv6", no_argument, NULL, '6'},
						GUEST_OPTIONS,
						{0}};
	struct standin_hyperv_addresses *a = &ip->a;
	int option, status = 0;

	opterr = 0;
	while (status == 0 && (option = getopt_long(argc, argv, ":h46", options, NULL)) != -1) {
		switch (option) {
		case 'a':
			status = set_text(a->address, sizeof(a->address), optarg);
			break;
		case 'm':
			status = set_text(a->netmask, sizeof(a->netmask), optarg);
			break;
		case 'g':
			status = set_text(a->gateway, sizeof(a->gateway), optarg);
			break;
		case 'd':
			status = set_text(a->dns, sizeof(a->dns), optarg);
			break;
		case 'D':
			a->dhcp = true;
			break;
		case '4':
			a->family |= ADDR_FAMILY_IPV4;
			break;
		case '6':
			a->family |= ADDR_FAMILY_IPV6;
			break;
		default:
			status = guest_option(&ip->guest, option, argv);
		}
	}
	return status;
}

int guest_ip(const struct guest_options *o, int argc, char **argv)
{
	static struct ip ip;
	int64_t ret;
	int status;
	bool get;

	ip.guest = *o;
	optind = 0;
	status = parse(&ip, argc, argv);
	if (status)
		return status == GUEST_HELP ? 0 : status;
	if (argc - optind != 2 ||
	    (strcmp(argv[optind], "get") != 0 && strcmp(argv[optind], "set") != 0))
		return usage_error("kvp", "ip get ADAPTER, or ip set ADAPTER?");
	get = strcmp(argv[optind], "get") == 0;
	status = set_text(ip.a.adapter, sizeof(ip.a.adapter), argv[optind + 1]);
	if (!ip.a.family)
		ip.a.family = ADDR_FAMILY_IPV4;
	if (status == 0)
		status = guest_open(&ip.guest, STANDIN_HYPERV_KVP, false, &ip.host);
	if (status)
		return status;
	ret = get ? standin_hyperv_kvp_get_addresses(ip.host, &ip.a)
		  : standin_hyperv_kvp_set_addresses(ip.host, &ip.a);
	status = get && ret == HV_S_OK ? print(&ip) : guest_status(&ip.guest, ip.host, ret);
	standin_hyperv_destroy(ip.host);
	return status;
}
