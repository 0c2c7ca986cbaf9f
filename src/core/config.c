/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Directives in, struct config out, and back to text.
 *
 * A directive is a word and the rest of its line.  What only makes sense once all are
 * known (default device, addresses, models) is done by config_complete().
 */
#include "core/config.h"

#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/device.h"
#include "core/fault.h"
#include "core/log.h"
#include "core/vsock_place.h"

#define DEFAULT_DEVICE "nvme,addr=01:00.0"

__attribute__((format(printf, 2, 3))) static int fail(char *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, CONFIG_ERROR_MAX, format, args);
	va_end(args);
	return -EINVAL;
}

static int out_of_memory(char *error)
{
	fail(error, "out of memory");
	return -ENOMEM;
}

void config_init(struct config *c)
{
	memset(c, 0, sizeof(*c));
	c->settings.dma_entry_limit = 65535;
	c->hmm.devices = HMM_DEVICES;
	c->hmm.coherent = true;
	c->hyperv.timeouts = 1;
}

static void device_config_finish(struct device_config *d)
{
	free(d->model);
	keys_finish(&d->keys);
}

static void vdpa_config_finish(struct vdpa_config *v)
{
	free(v->model);
	keys_finish(&v->keys);
}

void config_finish(struct config *c)
{
	for (size_t i = 0; i < c->n_devices; i++)
		device_config_finish(&c->devices[i]);
	free(c->devices);
	for (size_t i = 0; i < c->n_vdpas; i++)
		vdpa_config_finish(&c->vdpas[i]);
	free(c->vdpas);
	for (size_t i = 0; i < c->n_vhost_scsi; i++)
		vhost_scsi_config_finish(&c->vhost_scsi[i]);
	free(c->vhost_scsi);
	for (size_t i = 0; i < c->n_faults; i++)
		free(c->faults[i]);
	free(c->faults);
	free(c->trace_file);
	free(c->log_level);
	free(c->directory);
	free(c->vsock_path);
	free(c->hyperv.freeze);
	for (size_t i = 0; i < c->n_nets; i++) {
		free(c->nets[i].ifname);
		free(c->nets[i].spec);
	}
	free(c->nets);
	config_init(c);
}

/* ---- PCI addresses ---- */

static bool parse_hex(const char **text, unsigned long max, unsigned long *ret_value)
{
	char *end;

	if (!isxdigit((unsigned char)**text))
		return false;
	*ret_value = strtoul(*text, &end, 16);
	*text = end;
	return *ret_value <= max;
}

int pci_address_parse(const char *text, struct pci_address *ret_address)
{
	unsigned long part[4] = {0};
	unsigned n = 0;

	/* [domain:]bus:slot.function */
	do {
		if (n == 3 || !parse_hex(&text, 0xffff, &part[n++]))
			return -EINVAL;
	} while (*text == ':' && text++);
	if (n < 2 || *text++ != '.' || !parse_hex(&text, 7, &part[3]) || *text)
		return -EINVAL;
	if (n == 2) {
		part[2] = part[1];
		part[1] = part[0];
		part[0] = 0;
	}
	if (part[1] > 0xff || part[2] > 0x1f)
		return -EINVAL;
	*ret_address = (struct pci_address){.domain = (uint16_t)part[0], .bus = (uint8_t)part[1],
	                                    .slot = (uint8_t)part[2], .function = (uint8_t)part[3]};
	return 0;
}

void pci_address_format(const struct pci_address *a, char text[PCI_ADDRESS_MAX])
{
	snprintf(text, PCI_ADDRESS_MAX, "%04x:%02x:%02x.%x", a->domain, a->bus, a->slot & 0x1f,
	         a->function & 7);
}

bool pci_address_equal(const struct pci_address *a, const struct pci_address *b)
{
	return a->domain == b->domain && a->bus == b->bus && a->slot == b->slot &&
	       a->function == b->function;
}

/* ---- device NAME,key=value,... ---- */

int config_parse_bool(const char *text, bool *ret_value)
{
	static const char *const words[] = {"off", "on", "no", "yes", "false", "true", "0", "1"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(text, words[i]) == 0) {
			*ret_value = i % 2;
			return 0;
		}
	}
	return -EINVAL;
}

static int add_key(struct device_config *d, const char *name, const char *value, char *error)
{
	if (strcmp(name, "addr") == 0) {
		if (pci_address_parse(value, &d->address) < 0)
			return fail(error, "device %s: '%s' is no PCI address (01:00.0)", d->model,
			            value);
		d->address_given = true;
		return 0;
	}
	if (strcmp(name, "mmap") == 0) {
		if (config_parse_bool(value, &d->mmap) < 0)
			return fail(error, "device %s: mmap is on or off, not '%s'", d->model, value);
		return 0;
	}
	switch (keys_add(&d->keys, name, value)) {
	case 0:
		return 0;
	case -EEXIST:
		return fail(error, "device %s: key '%s' is given twice", d->model, name);
	default:
		return out_of_memory(error);
	}
}

static int parse_device(struct device_config *d, char *text, char *error)
{
	char *item, *value, *rest = text;
	int result = 0;

	item = keys_next_item(&rest);
	if (!item || !*item || strchr(item, '='))
		return fail(error, "device: the model's name comes first (nvme,addr=01:00.0)");
	d->mmap = true;
	d->model = strdup(item);
	if (!d->model)
		return out_of_memory(error);
	while (result == 0 && (item = keys_next_item(&rest))) {
		value = strchr(item, '=');
		if (!value || value == item)
			return fail(error, "device %s: '%s' is not key=value", d->model, item);
		*value++ = '\0';
		result = add_key(d, item, value, error);
	}
	return result;
}

int config_device(struct config *c, const char *spec, char error[CONFIG_ERROR_MAX])
{
	struct device_config *more, device = {0};
	char *text = strdup(spec);
	int result;

	if (!text)
		return out_of_memory(error);
	result = parse_device(&device, text, error);
	free(text);
	if (result == 0) {
		more = reallocarray(c->devices, c->n_devices + 1, sizeof(*more));
		if (more) {
			c->devices = more;
			c->devices[c->n_devices++] = device;
			return 0;
		}
		result = out_of_memory(error);
	}
	device_config_finish(&device);
	return result;
}

/* ---- vdpa NAME,key=value,... ---- */

static int parse_vdpa(struct vdpa_config *v, char *text, char *error)
{
	char *rest = text, *item = keys_next_item(&rest), *value;
	int result = 0;

	if (!item || !*item || strchr(item, '='))
		return fail(error, "vdpa: what it is comes first (net,net=loopback)");
	v->model = strdup(item);
	if (!v->model)
		return out_of_memory(error);
	while (result == 0 && (item = keys_next_item(&rest))) {
		value = strchr(item, '=');
		if (!value || value == item)
			return fail(error, "vdpa %s: '%s' is not key=value", v->model, item);
		*value++ = '\0';
		result = keys_add(&v->keys, item, value);
		if (result == -EEXIST)
			return fail(error, "vdpa %s: key '%s' is given twice", v->model, item);
	}
	return result < 0 ? out_of_memory(error) : 0;
}

static int add_vdpa(struct config *c, const char *spec, char *error)
{
	struct vdpa_config *more = NULL, v = {0};
	char *text = strdup(spec);
	int result = text ? parse_vdpa(&v, text, error) : out_of_memory(error);

	free(text);
	if (result == 0)
		more = reallocarray(c->vdpas, c->n_vdpas + 1, sizeof(*more));
	if (result == 0 && !more)
		result = out_of_memory(error);
	if (result < 0) {
		vdpa_config_finish(&v);
		return result;
	}
	c->vdpas = more;
	more[c->n_vdpas++] = v;
	return 0;
}

/* ---- vhost-scsi wwpn=...,lun0=... ---- */

void vhost_scsi_config_finish(struct vhost_scsi_config *p)
{
	free(p->wwpn);
	keys_finish(&p->keys);
	*p = (struct vhost_scsi_config){0};
}

static bool is_wwpn(const char *text)
{
	return strncmp(text, "naa.", 4) == 0 && strlen(text) == 20 &&
	       strspn(text + 4, "0123456789abcdefABCDEF") == 16;
}

static int add_vhost_scsi_key(struct vhost_scsi_config *p, const char *name, const char *value,
			      char *error)
{
	char *end;

	if (strcmp(name, "wwpn") == 0 && !p->wwpn) {
		if (!is_wwpn(value))
			return fail(error, "vhost-scsi: '%s' is no WWPN (naa.5001405000000001)",
				    value);
		p->wwpn = strdup(value);
		return p->wwpn ? 0 : out_of_memory(error);
	}
	if (strcmp(name, "tpgt") == 0) {
		p->tpgt = (unsigned)strtoul(value, &end, 10);
		return isdigit((unsigned char)*value) && !*end && p->tpgt < 256
			       ? 0
			       : fail(error, "vhost-scsi: tpgt is 0 to 255, not '%s'", value);
	}
	switch (strcmp(name, "wwpn") == 0 ? -EEXIST : keys_add(&p->keys, name, value)) {
	case 0:
		return 0;
	case -EEXIST:
		return fail(error, "vhost-scsi: key '%s' is given twice", name);
	default:
		return out_of_memory(error);
	}
}

int config_vhost_scsi(struct vhost_scsi_config *ret, const char *spec, char error[CONFIG_ERROR_MAX])
{
	char *text = strdup(spec), *item, *value, *rest = text;
	int result = 0;

	*ret = (struct vhost_scsi_config){0};
	if (!text)
		return out_of_memory(error);
	while (result == 0 && (item = keys_next_item(&rest))) {
		value = strchr(item, '=');
		if (!value || value == item) {
			result = fail(error, "vhost-scsi: '%s' is not key=value", item);
			break;
		}
		*value++ = '\0';
		result = add_vhost_scsi_key(ret, item, value, error);
	}
	free(text);
	if (result == 0 && !ret->wwpn)
		result = fail(error, "vhost-scsi: wwpn= is needed (wwpn=naa.5001405000000001)");
	return result;
}

static int add_vhost_scsi(struct config *c, const char *spec, char *error)
{
	struct vhost_scsi_config *more, p;
	int result = config_vhost_scsi(&p, spec, error);

	for (size_t i = 0; i < c->n_vhost_scsi && result == 0; i++)
		if (strcmp(c->vhost_scsi[i].wwpn, p.wwpn) == 0 && c->vhost_scsi[i].tpgt == p.tpgt)
			result = fail(error, "vhost-scsi: %s,tpgt=%u is given twice", p.wwpn,
				      p.tpgt);
	more = result == 0
		       ? reallocarray(c->vhost_scsi, c->n_vhost_scsi + 1, sizeof(*more))
		       : NULL;
	if (result == 0 && !more)
		result = out_of_memory(error);
	if (result < 0) {
		vhost_scsi_config_finish(&p);
		return result;
	}
	c->vhost_scsi = more;
	more[c->n_vhost_scsi++] = p;
	return 0;
}

/* ---- the other directives ---- */

static int replace_string(char **place, const char *value, char *error)
{
	char *copy = *value ? strdup(value) : NULL;

	if (*value && !copy)
		return out_of_memory(error);
	free(*place);
	*place = copy;
	return 0;
}

static int add_fault(struct config *c, const char *spec, char *error)
{
	char **more = reallocarray(c->faults, c->n_faults + 1, sizeof(*more));

	if (!more)
		return out_of_memory(error);
	c->faults = more;
	c->faults[c->n_faults] = strdup(spec);
	if (!c->faults[c->n_faults])
		return out_of_memory(error);
	c->n_faults++;
	return 0;
}

/* net SPEC[,ifname=NAME] */
static int parse_net(struct net_config *net, char *text, char *error)
{
	char *item, *rest = text;

	item = keys_next_item(&rest);
	net->spec = strdup(item); /* what it says is checked by who opens it */
	while ((item = keys_next_item(&rest))) {
		if (strncmp(item, "ifname=", 7) != 0 || !item[7] || strlen(item + 7) >= IFNAMSIZ)
			return fail(error, "net: '%s' is not ifname=NAME", item);
		if (net->ifname)
			return fail(error, "net: ifname is given twice");
		net->ifname = strdup(item + 7);
		if (!net->ifname)
			return out_of_memory(error);
	}
	return net->spec ? 0 : out_of_memory(error);
}

static bool same_name(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static int add_net(struct config *c, char *text, char *error)
{
	struct net_config *more = reallocarray(c->nets, c->n_nets + 1, sizeof(*more));
	int result;

	if (!more)
		return out_of_memory(error);
	c->nets = more;
	more = &c->nets[c->n_nets++];
	memset(more, 0, sizeof(*more));
	result = parse_net(more, text, error);
	for (size_t i = 0; i + 1 < c->n_nets && result == 0; i++)
		if (same_name(c->nets[i].ifname, more->ifname))
			return more->ifname ? fail(error, "net: two for %s", more->ifname)
					    : fail(error, "net: two for every interface");
	return result;
}

/* ---- hmm key=value,... ---- */

static int parse_hmm_key(struct hmm_config *h, const char *key, const char *value, char *error)
{
	char *end;

	if (strcmp(key, "devices") == 0) {
		unsigned long number = strtoul(value, &end, 10);

		if (end == value || *end || number < 1 || number > HMM_DEVICES)
			return fail(error, "hmm: devices is 1 to %u, not '%s'", HMM_DEVICES, value);
		h->devices = (unsigned)number;
		return 0;
	}
	if (strcmp(key, "memory") == 0) {
		if (keys_parse_size(value, &h->memory) < 0 || h->memory % 4096)
			return fail(error, "hmm: memory is a size in whole pages, not '%s'", value);
		return 0;
	}
	if (strcmp(key, "coherent") == 0) {
		if (config_parse_bool(value, &h->coherent) < 0)
			return fail(error, "hmm: coherent is on or off, not '%s'", value);
		return 0;
	}
	return fail(error, "hmm: no key is named '%s'", key);
}

static int parse_hmm(struct config *c, char *text, char *error)
{
	char *item, *value;
	int result = 0;

	while (result == 0 && (item = keys_next_item(&text))) {
		value = strchr(item, '=');
		if (!value)
			return fail(error, "hmm: '%s' is not key=value", item);
		*value++ = '\0';
		result = parse_hmm_key(&c->hmm, item, value, error);
	}
	return result;
}

/* By enum memory_traps. */
static const char *const traps_names[] = {"auto", "guard", "protect"};

static int set_traps(struct config *c, const char *value, char *error)
{
	for (unsigned i = 0; i < sizeof(traps_names) / sizeof(traps_names[0]); i++)
		if (strcmp(value, traps_names[i]) == 0) {
			c->settings.traps = (enum memory_traps)i;
			return 0;
		}
	return fail(error, "set: memory.traps is auto, guard or protect, not '%s'", value);
}

/* By enum uffd_mode. */
static const char *const uffd_names[] = {"auto", "native", "emulate"};

static int set_uffd(struct config *c, const char *value, char *error)
{
	for (unsigned i = 0; i < sizeof(uffd_names) / sizeof(uffd_names[0]); i++)
		if (strcmp(value, uffd_names[i]) == 0) {
			c->uffd = (enum uffd_mode)i;
			return 0;
		}
	return fail(error, "uffd: it is auto, native or emulate, not '%s'", value);
}

static int set(struct config *c, const char *assignment, char *error)
{
	const char *value = strchr(assignment, '=');
	size_t length = value ? (size_t)(value - assignment) : 0;
	unsigned long number;
	char *end;

	if (!value)
		return fail(error, "set: '%s' is not NAME=VALUE", assignment);
	value++;
	if (length == 20 && strncmp(assignment, "vfio.dma_entry_limit", length) == 0) {
		errno = 0;
		number = strtoul(value, &end, 0);
		if (errno || end == value || *end || number > UINT32_MAX || *value == '-')
			return fail(error, "set: vfio.dma_entry_limit is a number, not '%s'", value);
		c->settings.dma_entry_limit = (uint32_t)number;
		return 0;
	}
	if (length == 12 && strncmp(assignment, "vfio.memlock", length) == 0) {
		if (config_parse_bool(value, &c->settings.memlock) < 0)
			return fail(error, "set: vfio.memlock is on or off, not '%s'", value);
		return 0;
	}
	if (length == 12 && strncmp(assignment, "memory.traps", length) == 0)
		return set_traps(c, value, error);
	return fail(error, "set: no setting is named '%.*s'", (int)length, assignment);
}

static int set_log(struct config *c, const char *level, char *error)
{
	enum log_level ignored;

	if (log_level_parse(level, &ignored) < 0)
		return fail(error, "log: '%s' is not one of error, warning, info, debug", level);
	return replace_string(&c->log_level, level, error);
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
			       : fail(error, "hyperv: timeouts is a factor up to 1000, not '%s'",
				      value);
	}
	if (strcmp(name, "freeze") == 0)
		return replace_string(&h->freeze, value, error);
	return fail(error, "hyperv: no key is named '%s'", name);
}

static int set_hyperv(struct hyperv_config *h, char *text, char *error)
{
	char *item, *value, *rest = text;
	int result = 0;

	h->on = true;
	while (*text && result == 0 && (item = keys_next_item(&rest))) {
		value = strchr(item, '=');
		if (!value || value == item)
			return fail(error, "hyperv: '%s' is not key=value", item);
		*value++ = '\0';
		result = set_hyperv_key(h, item, value, error);
	}
	return result;
}

int config_directive(struct config *c, const char *line, char error[CONFIG_ERROR_MAX])
{
	char *text, *word, *rest, *end;
	int result = 0;

	text = strdup(line);
	if (!text)
		return out_of_memory(error);
	word = text + strspn(text, " \t");
	for (end = word + strlen(word); end > word && isspace((unsigned char)end[-1]);)
		*--end = '\0';
	rest = word + strcspn(word, " \t");
	if (*rest)
		*rest++ = '\0';
	rest += strspn(rest, " \t");

	if (!*word || *word == '#') {
		result = 0;
	} else if (strcmp(word, "trace") == 0) {
		c->trace = true;
		result = replace_string(&c->trace_file, rest, error);
	} else if (strcmp(word, "hyperv") == 0) {
		result = set_hyperv(&c->hyperv, rest, error);
	} else if (!*rest) {
		result = fail(error, "'%s' needs a value", word);
	} else if (strcmp(word, "device") == 0) {
		result = config_device(c, rest, error);
	} else if (strcmp(word, "fault") == 0) {
		result = add_fault(c, rest, error);
	} else if (strcmp(word, "log") == 0) {
		result = set_log(c, rest, error);
	} else if (strcmp(word, "set") == 0) {
		result = set(c, rest, error);
	} else if (strcmp(word, "vsock") == 0) {
		result = replace_string(&c->vsock_path, rest, error);
	} else if (strcmp(word, "vdpa") == 0) {
		result = add_vdpa(c, rest, error);
	} else if (strcmp(word, "vhost-scsi") == 0) {
		result = add_vhost_scsi(c, rest, error);
	} else if (strcmp(word, "net") == 0) {
		result = add_net(c, rest, error);
	} else if (strcmp(word, "hmm") == 0) {
		result = parse_hmm(c, rest, error);
	} else if (strcmp(word, "uffd") == 0) {
		result = set_uffd(c, rest, error);
	} else if (strcmp(word, "directory") == 0) {
		result = replace_string(&c->directory, rest, error);
	} else {
		result = fail(error, "no directive is named '%s'", word);
	}
	free(text);
	return result;
}

int config_text(struct config *c, const char *text, char error[CONFIG_ERROR_MAX])
{
	unsigned number = 1;

	for (const char *line = text; *line; number++) {
		size_t length = strcspn(line, "\n");
		char *copy = strndup(line, length), reason[CONFIG_ERROR_MAX];
		int result;

		if (!copy)
			return out_of_memory(error);
		result = config_directive(c, copy, reason);
		free(copy);
		if (result < 0) {
			fail(error, "line %u: %.200s", number, reason);
			return result;
		}
		line += length + (line[length] == '\n');
	}
	return 0;
}

/* ---- completion ---- */

static bool address_taken(const struct config *c, size_t except, const struct pci_address *a)
{
	for (size_t i = 0; i < c->n_devices; i++)
		if (i != except && c->devices[i].address_given &&
		    pci_address_equal(&c->devices[i].address, a))
			return true;
	return false;
}

static int assign_address(struct config *c, size_t index, char *error)
{
	struct device_config *d = &c->devices[index];

	for (unsigned bus = 1; bus < 256; bus++) {
		d->address = (struct pci_address){.bus = (uint8_t)bus};
		if (!address_taken(c, index, &d->address)) {
			d->address_given = true;
			return 0;
		}
	}
	return fail(error, "device %s: no PCI address is left", d->model);
}

static int check_keys(const struct device_config *d, const struct standin_model *model, char *error)
{
	for (size_t i = 0; i < d->keys.n; i++) {
		const struct standin_key *key = model->keys;

		while (key && key->name && strcmp(key->name, d->keys.key[i].name) != 0)
			key++;
		if (!key || !key->name)
			return fail(error, "device %s: no key is named '%s'", d->model,
			            d->keys.key[i].name);
	}
	return 0;
}

int config_complete(struct config *c, char error[CONFIG_ERROR_MAX])
{
	const struct standin_model *model;
	char text[PCI_ADDRESS_MAX];
	int result;

	if (c->n_devices == 0) {
		result = config_device(c, DEFAULT_DEVICE, error);
		if (result < 0)
			return result;
	}
	if (c->n_vdpas == 0 &&
	    (add_vdpa(c, "net-sim", error) < 0 || add_vdpa(c, "blk-sim", error) < 0))
		return -ENOMEM;
	for (size_t i = 0; i < c->n_devices; i++) {
		struct device_config *d = &c->devices[i];

		model = model_find(d->model);
		if (!model)
			return fail(error, "no device model is named '%s' (standin list --devices)",
			            d->model);
		result = check_keys(d, model, error);
		if (result < 0)
			return result;
		if (d->address_given && address_taken(c, i, &d->address)) {
			pci_address_format(&d->address, text);
			return fail(error, "device %s: address %s is taken twice", d->model, text);
		}
	}
	for (size_t i = 0; i < c->n_devices; i++)
		if (!c->devices[i].address_given && assign_address(c, i, error) < 0)
			return -EINVAL;
	if (c->vsock_path && !vsock_place_fits(c->vsock_path))
		return fail(error, "vsock: the path is too long for the address of a socket");
	for (size_t i = 0; i < c->n_faults; i++) {
		result = fault_add(c->faults[i], error, CONFIG_ERROR_MAX);
		fault_clear();
		if (result < 0)
			return result;
	}
	return 0;
}

/* ---- back to text ---- */

char *config_format(const struct config *c)
{
	char *text = NULL, address[PCI_ADDRESS_MAX];
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (size_t i = 0; i < c->n_devices; i++) {
		const struct device_config *d = &c->devices[i];

		fprintf(out, "device %s", d->model);
		if (d->address_given) {
			pci_address_format(&d->address, address);
			fprintf(out, ",addr=%s", address);
		}
		if (!d->mmap)
			fputs(",mmap=off", out);
		keys_print(out, &d->keys);
		fputc('\n', out);
	}
	for (size_t i = 0; i < c->n_vdpas; i++) {
		fprintf(out, "vdpa %s", c->vdpas[i].model);
		keys_print(out, &c->vdpas[i].keys);
		fputc('\n', out);
	}
	for (size_t i = 0; i < c->n_vhost_scsi; i++) {
		const struct vhost_scsi_config *p = &c->vhost_scsi[i];

		fprintf(out, "vhost-scsi wwpn=%s,tpgt=%u", p->wwpn, p->tpgt);
		keys_print(out, &p->keys);
		fputc('\n', out);
	}
	for (size_t i = 0; i < c->n_faults; i++)
		fprintf(out, "fault %s\n", c->faults[i]);
	if (c->trace)
		fprintf(out, "trace %s\n", c->trace_file ? c->trace_file : "");
	if (c->log_level)
		fprintf(out, "log %s\n", c->log_level);
	if (c->vsock_path)
		fprintf(out, "vsock %s\n", c->vsock_path);
	for (size_t i = 0; i < c->n_nets; i++) {
		fputs("net ", out);
		keys_print_value(out, c->nets[i].spec);
		if (c->nets[i].ifname)
			fprintf(out, ",ifname=%s", c->nets[i].ifname);
		fputc('\n', out);
	}
	if (c->hyperv.on) {
		fprintf(out, "hyperv timeouts=%.6f", c->hyperv.timeouts);
		if (c->hyperv.freeze) {
			fputs(",freeze=", out);
			keys_print_value(out, c->hyperv.freeze);
		}
		fputc('\n', out);
	}
	if (c->directory)
		fprintf(out, "directory %s\n", c->directory);
	fprintf(out, "set vfio.dma_entry_limit=%u\n", c->settings.dma_entry_limit);
	fprintf(out, "set vfio.memlock=%s\n", c->settings.memlock ? "on" : "off");
	fprintf(out, "set memory.traps=%s\n", traps_names[c->settings.traps]);
	fprintf(out, "hmm devices=%u,memory=%llu,coherent=%s\n", c->hmm.devices,
		(unsigned long long)c->hmm.memory, c->hmm.coherent ? "on" : "off");
	fprintf(out, "uffd %s\n", uffd_names[c->uffd]);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
