/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Directives that say how an interface is to be: its sizes, whose it is, what it is plugged into.
 */
#include <ctype.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_private.h"
#include "core/keys.h"

/* ---- net SPEC[,ifname=NAME] ---- */

static int parse_net(struct net_config *net, char *text, char *error)
{
	char *item, *rest = text;

	item = keys_next_item(&rest);
	net->spec = strdup(item); /* what it says is checked by who opens it */
	while ((item = keys_next_item(&rest))) {
		if (strncmp(item, "ifname=", 7) != 0 || !item[7] || strlen(item + 7) >= IFNAMSIZ)
			return config_fail(error, "net: '%s' is not ifname=NAME", item);
		if (net->ifname)
			return config_fail(error, "net: ifname is given twice");
		net->ifname = strdup(item + 7);
		if (!net->ifname)
			return config_no_memory(error);
	}
	return net->spec ? 0 : config_no_memory(error);
}

static bool same_name(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

int config_add_net(struct config *c, char *text, char *error)
{
	struct net_config *more = reallocarray(c->nets, c->n_nets + 1, sizeof(*more));
	int result;

	if (!more)
		return config_no_memory(error);
	c->nets = more;
	more = &c->nets[c->n_nets++];
	memset(more, 0, sizeof(*more));
	result = parse_net(more, text, error);
	for (size_t i = 0; i + 1 < c->n_nets && result == 0; i++)
		if (same_name(c->nets[i].ifname, more->ifname))
			return more->ifname ? config_fail(error, "net: two for %s", more->ifname)
					    : config_fail(error, "net: two for every interface");
	return result;
}

/* ---- hmm key=value,... ---- */

static int parse_hmm_key(struct hmm_config *h, const char *key, const char *value, char *error)
{
	char *end;

	if (strcmp(key, "devices") == 0) {
		unsigned long number = strtoul(value, &end, 10);

		if (end == value || *end || number < 1 || number > HMM_DEVICES)
			return config_fail(error, "hmm: devices is 1 to %u, not '%s'", HMM_DEVICES,
					   value);
		h->devices = (unsigned)number;
		return 0;
	}
	if (strcmp(key, "memory") == 0) {
		if (keys_parse_size(value, &h->memory) < 0 || h->memory % 4096)
			return config_fail(error, "hmm: memory is a size in whole pages, not '%s'",
					   value);
		return 0;
	}
	if (strcmp(key, "coherent") == 0) {
		if (config_parse_bool(value, &h->coherent) < 0)
			return config_fail(error, "hmm: coherent is on or off, not '%s'", value);
		return 0;
	}
	return config_fail(error, "hmm: no key is named '%s'", key);
}

int config_set_hmm(struct config *c, char *text, char *error)
{
	char *item, *value;
	int result = 0;

	while (result == 0 && (item = keys_next_item(&text))) {
		value = strchr(item, '=');
		if (!value)
			return config_fail(error, "hmm: '%s' is not key=value", item);
		*value++ = '\0';
		result = parse_hmm_key(&c->hmm, item, value, error);
	}
	return result;
}

const char *const config_traps_names[] = {"auto", "guard", "protect"};

int config_set_traps(struct config *c, const char *value, char *error)
{
	for (unsigned i = 0; i < sizeof(config_traps_names) / sizeof(config_traps_names[0]); i++)
		if (strcmp(value, config_traps_names[i]) == 0) {
			c->settings.traps = (enum memory_traps)i;
			return 0;
		}
	return config_fail(error, "set: memory.traps is auto, guard or protect, not '%s'", value);
}

const char *const config_uffd_names[] = {"auto", "native", "emulate"};

int config_set_uffd(struct config *c, char *value, char *error)
{
	for (unsigned i = 0; i < sizeof(config_uffd_names) / sizeof(config_uffd_names[0]); i++)
		if (strcmp(value, config_uffd_names[i]) == 0) {
			c->uffd = (enum uffd_mode)i;
			return 0;
		}
	return config_fail(error, "uffd: it is auto, native or emulate, not '%s'", value);
}

const char *const config_uffd_backing_names[] = {"memory", "fuse"};

int config_set_uffd_backing(struct config *c, char *value, char *error)
{
	for (unsigned i = 0;
	     i < sizeof(config_uffd_backing_names) / sizeof(config_uffd_backing_names[0]); i++)
		if (strcmp(value, config_uffd_backing_names[i]) == 0) {
			c->uffd_backing = (enum uffd_backing)i;
			return 0;
		}
	return config_fail(error, "uffd-backing: it is memory or fuse, not '%s'", value);
}

/* ---- hyperv [key=value,...] ---- */

static int set_hyperv_key(struct hyperv_config *h, const char *name, const char *value, char *error)
{
	char *end;

	if (strcmp(name, "timeouts") == 0) {
		h->timeouts = strtod(value, &end);
		return isdigit((unsigned char)*value) && !*end && h->timeouts > 0 &&
				       h->timeouts <= 1000
			       ? 0
			       : config_fail(error,
					     "hyperv: timeouts is a factor up to 1000, not '%s'",
					     value);
	}
	if (strcmp(name, "uio") == 0)
		return config_parse_bool(value, &h->uio) < 0
			       ? config_fail(error, "hyperv: uio is on or off, not '%s'", value)
			       : 0;
	if (strcmp(name, "freeze") == 0)
		return config_replace_string(&h->freeze, value, error);
	return config_fail(error, "hyperv: no key is named '%s'", name);
}

int config_set_hyperv(struct config *c, char *text, char *error)
{
	char *item, *value, *rest = text;
	int result = 0;

	c->hyperv.on = true;
	while (*text && result == 0 && (item = keys_next_item(&rest))) {
		value = strchr(item, '=');
		if (!value || value == item)
			return config_fail(error, "hyperv: '%s' is not key=value", item);
		*value++ = '\0';
		result = set_hyperv_key(&c->hyperv, item, value, error);
	}
	return result;
}
