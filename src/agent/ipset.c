/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Addresses that the host gives an interface.  How a system keeps its network's configuration is
 * the business of a script, hv_set_ifconfig, which gets two files to choose from: one in the
 * manner of /etc/sysconfig/network-scripts/ifcfg-*, and a keyfile of NetworkManager's.
 *
 * Nothing of what the host sends gets into them but addresses, as they were parsed here, and
 * nothing at all onto a command line.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "agent/ipinfo.h"
#include "agent/log.h"

#define NET_DIRECTORY "/sys/class/net"
#define ENTRIES_MAX   64

extern char **environ;

struct entry {
	int family;
	char text[INET6_ADDRSTRLEN]; /* an IPv6 address is written out in full */
	unsigned prefix;             /* of a mask */
};

struct list {
	unsigned n;
	struct entry entry[ENTRIES_MAX];
};

static bool parse_address(const char *word, struct entry *e)
{
	struct in6_addr v6;
	struct in_addr v4;
	int at = 0;

	if (inet_pton(AF_INET, word, &v4) == 1) {
		e->family = AF_INET;
		return inet_ntop(AF_INET, &v4, e->text, sizeof(e->text));
	}
	if (inet_pton(AF_INET6, word, &v6) != 1)
		return false;
	e->family = AF_INET6;
	for (unsigned i = 0; i < 16; i += 2)
		at += snprintf(e->text + at, sizeof(e->text) - (size_t)at, "%s%02x%02x",
			       i ? ":" : "", v6.s6_addr[i], v6.s6_addr[i + 1]);
	return true;
}

/* A mask of IPv4's, "/64" or "64". */
static bool parse_mask(const char *word, struct entry *e)
{
	struct in_addr v4;
	unsigned long prefix;
	uint32_t bits;
	char *end;

	if (inet_pton(AF_INET, word, &v4) == 1) {
		bits = ntohl(v4.s_addr);
		e->family = AF_INET;
		e->prefix = bits ? (unsigned)__builtin_popcount(bits) : 0;
		/* Ones from the top, then zeros. */
		if (~bits & (~bits + 1))
			return false;
		return inet_ntop(AF_INET, &v4, e->text, sizeof(e->text));
	}
	word += *word == '/';
	if (!isdigit((unsigned char)*word))
		return false;
	e->family = AF_INET6;
	prefix = strtoul(word, &end, 10);
	e->prefix = (unsigned)prefix;
	snprintf(e->text, sizeof(e->text), "%u", e->prefix);
	return *end == '\0' && prefix <= 128;
}

/* Entries with ';' between them, spaces around them, and perhaps nothing behind the last. */
static bool parse_list(const void *field, size_t size, bool masks, struct list *l)
{
	size_t length = strnlen(field, size);
	char *text = malloc(length + 1), *rest = text, *word;
	bool good = text != NULL;

	l->n = 0;
	if (good) {
		memcpy(text, field, length);
		text[length] = '\0';
	}
	while (good && (word = strsep(&rest, ";"))) {
		word += strspn(word, " ");
		for (length = strlen(word); length && word[length - 1] == ' '; length--)
			word[length - 1] = '\0';
		if (length == 0)
			continue;
		good = l->n < ENTRIES_MAX && (masks ? parse_mask(word, &l->entry[l->n])
						    : parse_address(word, &l->entry[l->n]));
		l->n++;
	}
	free(text);
	return good;
}

/* ---- ifcfg ---- */

/* IPv4's and IPv6's have names and numbers of their own; the first has a suffix or none. */
static void print_numbered(FILE *out, const struct list *l, const char *v4, bool v4_from_0,
			   const char *v6)
{
	unsigned n4 = 0, n6 = 0;

	for (unsigned i = 0; i < l->n; i++) {
		const struct entry *e = &l->entry[i];
		unsigned n = e->family == AF_INET ? n4++ : n6++;

		if (e->family == AF_INET && (n || v4_from_0))
			fprintf(out, "%s%u=%s\n", v4, n, e->text);
		else if (e->family == AF_INET)
			fprintf(out, "%s=%s\n", v4, e->text);
		else if (n)
			fprintf(out, "%s_%u=%s\n", v6, n, e->text);
		else
			fprintf(out, "%s=%s\n", v6, e->text);
	}
}

static void print_ifcfg(FILE *out, const char *interface, const char *address, bool dhcp,
			const struct list list[4])
{
	fprintf(out, "HWADDR=%s\nDEVICE=%s\nBOOTPROTO=%s\n", address, interface,
		dhcp ? "dhcp" : "none");
	print_numbered(out, &list[0], "IPADDR", true, "IPV6ADDR");
	print_numbered(out, &list[1], "NETMASK", true, "IPV6NETMASK");
	print_numbered(out, &list[2], "GATEWAY", false, "IPV6_DEFAULTGW");
	for (unsigned i = 0; i < list[3].n; i++)
		fprintf(out, "DNS%u=%s\n", i + 1, list[3].entry[i].text);
}

/* ---- a keyfile ---- */

/* The n-th of a family, NULL beyond. */
static const struct entry *nth(const struct list *l, int family, unsigned n)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->entry[i].family == family && n-- == 0)
			return &l->entry[i];
	return NULL;
}

static void print_section(FILE *out, int family, bool dhcp, const struct list list[4])
{
	const struct entry *e, *mask;
	unsigned n;

	fprintf(out, "\n[%s]\n", family == AF_INET ? "ipv4" : "ipv6");
	for (n = 0; (e = nth(&list[0], family, n)); n++) {
		mask = nth(&list[1], family, n);
		fprintf(out, "address%u=%s/%u\n", n + 1, e->text,
			mask                ? mask->prefix
			: family == AF_INET ? 32
					    : 128);
	}
	/* DHCP is of IPv4; without addresses IPv6 listens to routers. */
	fprintf(out, "method=%s\n",
		family == AF_INET && dhcp ? "auto"
		: n                       ? "manual"
		: family == AF_INET       ? "disabled"
					  : "auto");
	e = nth(&list[2], family, 0);
	if (e)
		fprintf(out, "gateway=%s\n", e->text);
	if (nth(&list[3], family, 0))
		fputs("dns=", out);
	for (n = 0; (e = nth(&list[3], family, n)); n++)
		fprintf(out, "%s;", e->text);
	if (n)
		fputc('\n', out);
}

static void print_nmconnection(FILE *out, const char *interface, const char *address, bool dhcp,
			       const struct list list[4])
{
	fprintf(out, "[connection]\ninterface-name=%s\n\n[ethernet]\nmac-address=%s\n", interface,
		address);
	print_section(out, AF_INET, dhcp, list);
	print_section(out, AF_INET6, dhcp, list);
}

/* ---- both ---- */

typedef void (*printer)(FILE *out, const char *interface, const char *address, bool dhcp,
			const struct list list[4]);

static char *print_to_string(printer print, const char *interface, const char *address, bool dhcp,
			     const struct list list[4])
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	print(out, interface, address, dhcp, list);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

uint32_t ipinfo_format(const struct hv_kvp_ipaddr_value *value, const char *interface,
		       const char *address, char **ret_ifcfg, char **ret_nmconnection)
{
	struct list *list = calloc(4, sizeof(*list));
	bool dhcp = value->dhcp_enabled;
	uint32_t status = HV_S_OK;

	if (!list)
		return HV_E_FAIL;
	if (!parse_list(value->ip_addr, sizeof(value->ip_addr), false, &list[0]) ||
	    !parse_list(value->sub_net, sizeof(value->sub_net), true, &list[1]) ||
	    !parse_list(value->gate_way, sizeof(value->gate_way), false, &list[2]) ||
	    !parse_list(value->dns_addr, sizeof(value->dns_addr), false, &list[3])) {
		free(list);
		return HV_INVALIDARG;
	}
	*ret_ifcfg = print_to_string(print_ifcfg, interface, address, dhcp, list);
	*ret_nmconnection = print_to_string(print_nmconnection, interface, address, dhcp, list);
	if (!*ret_ifcfg || !*ret_nmconnection) {
		free(*ret_ifcfg);
		free(*ret_nmconnection);
		status = HV_E_FAIL;
	}
	free(list);
	return status;
}

static bool read_line(const char *interface, const char *file, char *line, int size)
{
	char path[300];
	FILE *in;
	bool got;

	snprintf(path, sizeof(path), NET_DIRECTORY "/%s/%s", interface, file);
	in = fopen(path, "re");
	if (!in)
		return false;
	got = fgets(line, size, in);
	fclose(in);
	if (got)
		line[strcspn(line, "\n")] = '\0';
	return got;
}

/* The interface whose device on the bus has that GUID. */
static bool find_interface(const char *guid, size_t size, char ret_name[256])
{
	DIR *directory = opendir(NET_DIRECTORY);
	const struct dirent *entry;
	char line[256];
	bool found = false;

	while (directory && !found && (entry = readdir(directory))) {
		found = read_line(entry->d_name, "device/device_id", line, sizeof(line)) && *line &&
			strnlen(guid, size) == strlen(line) && strncasecmp(line, guid, size) == 0;
		if (found)
			snprintf(ret_name, 256, "%s", entry->d_name);
	}
	if (directory)
		closedir(directory);
	return found;
}

/* Another file in the place of what is there, which may be a link. */
static bool write_text(const char *path, const char *text)
{
	size_t size = strlen(text);
	bool good;
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return false;
	good = write(fd, text, size) == (ssize_t)size;
	return close(fd) == 0 && good;
}

static uint32_t start_script(const char *scripts, char *ifcfg, char *nmconnection, pid_t *ret_pid)
{
	char path[4096], name[] = "hv_set_ifconfig", *argv[] = {name, ifcfg, nmconnection, NULL};
	posix_spawnattr_t attributes;
	sigset_t none;
	int error;

	snprintf(path, sizeof(path), "%s/hv_set_ifconfig", scripts);
	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	error = posix_spawn(ret_pid, path, NULL, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	if (error)
		log_line(LOG_ERR, "%s: %s", path, strerror(error));
	return error ? HV_E_FAIL : HV_S_OK;
}

uint32_t ipinfo_set(const struct hv_kvp_ipaddr_value *value, const char *directory,
		    const char *scripts, pid_t *ret_pid)
{
	char interface[256], address[64], ifcfg[4096], nmconnection[4096];
	char *ifcfg_text, *nmconnection_text;
	uint32_t status;

	if (!find_interface((const char *)value->adapter_id, sizeof(value->adapter_id), interface))
		return HV_GUID_NOTFOUND;
	if (!read_line(interface, "address", address, sizeof(address)))
		return HV_E_FAIL;
	for (char *c = address; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	status = ipinfo_format(value, interface, address, &ifcfg_text, &nmconnection_text);
	if (status != HV_S_OK)
		return status;
	snprintf(ifcfg, sizeof(ifcfg), "%s/ifcfg-%s", directory, interface);
	snprintf(nmconnection, sizeof(nmconnection), "%s/%s.nmconnection", directory, interface);
	if (write_text(ifcfg, ifcfg_text) && write_text(nmconnection, nmconnection_text)) {
		status = start_script(scripts, ifcfg, nmconnection, ret_pid);
	} else {
		log_line(LOG_ERR, "%s: %s", ifcfg, strerror(errno));
		status = HV_E_FAIL;
	}
	free(ifcfg_text);
	free(nmconnection_text);
	return status;
}
