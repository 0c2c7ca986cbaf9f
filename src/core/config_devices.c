/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Directives that add a device: of PCI, vDPA, or a target port of vhost-scsi.  What its model knows
 * of the keys is checked when all directives are known.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_private.h"
#include "core/keys.h"

void device_config_finish(struct device_config *d)
{
	free(d->model);
	keys_finish(&d->keys);
}

void vdpa_config_finish(struct vdpa_config *v)
{
	free(v->model);
	keys_finish(&v->keys);
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
	*ret_address = (struct pci_address){.domain = (uint16_t)part[0],
					    .bus = (uint8_t)part[1],
					    .slot = (uint8_t)part[2],
					    .function = (uint8_t)part[3]};
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
			return config_fail(error, "device %s: '%s' is no PCI address (01:00.0)",
					   d->model, value);
		d->address_given = true;
		return 0;
	}
	if (strcmp(name, "mmap") == 0) {
		if (config_parse_bool(value, &d->mmap) < 0)
			return config_fail(error, "device %s: mmap is on or off, not '%s'",
					   d->model, value);
		return 0;
	}
	switch (keys_add(&d->keys, name, value)) {
	case 0:
		return 0;
	case -EEXIST:
		return config_fail(error, "device %s: key '%s' is given twice", d->model, name);
	default:
		return config_no_memory(error);
	}
}

static int parse_device(struct device_config *d, char *text, char *error)
{
	char *item, *value, *rest = text;
	int result = 0;

	item = keys_next_item(&rest);
	if (!item || !*item || strchr(item, '='))
		return config_fail(error,
				   "device: the model's name comes first (nvme,addr=01:00.0)");
	d->mmap = true;
	d->model = strdup(item);
	if (!d->model)
		return config_no_memory(error);
	while (result == 0 && (item = keys_next_item(&rest))) {
		value = strchr(item, '=');
		if (!value || value == item)
			return config_fail(error, "device %s: '%s' is not key=value", d->model,
					   item);
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
		return config_no_memory(error);
	result = parse_device(&device, text, error);
	free(text);
	if (result == 0) {
		more = reallocarray(c->devices, c->n_devices + 1, sizeof(*more));
		if (more) {
			c->devices = more;
			c->devices[c->n_devices++] = device;
			return 0;
		}
		result = config_no_memory(error);
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
		return config_fail(error, "vdpa: what it is comes first (net,net=loopback)");
	v->model = strdup(item);
	if (!v->model)
		return config_no_memory(error);
	while (result == 0 && (item = keys_next_item(&rest))) {
		value = strchr(item, '=');
		if (!value || value == item)
			return config_fail(error, "vdpa %s: '%s' is not key=value", v->model, item);
		*value++ = '\0';
		result = keys_add(&v->keys, item, value);
		if (result == -EEXIST)
			return config_fail(error, "vdpa %s: key '%s' is given twice", v->model,
					   item);
	}
	return result < 0 ? config_no_memory(error) : 0;
}

int config_add_vdpa(struct config *c, const char *spec, char *error)
{
	struct vdpa_config *more = NULL, v = {0};
	char *text = strdup(spec);
	int result = text ? parse_vdpa(&v, text, error) : config_no_memory(error);

	free(text);
	if (result == 0)
		more = reallocarray(c->vdpas, c->n_vdpas + 1, sizeof(*more));
	if (result == 0 && !more)
		result = config_no_memory(error);
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
			return config_fail(
				error, "vhost-scsi: '%s' is no WWPN (naa.5001405000000001)", value);
		p->wwpn = strdup(value);
		return p->wwpn ? 0 : config_no_memory(error);
	}
	if (strcmp(name, "tpgt") == 0) {
		p->tpgt = (unsigned)strtoul(value, &end, 10);
		return isdigit((unsigned char)*value) && !*end && p->tpgt < 256
			       ? 0
			       : config_fail(error, "vhost-scsi: tpgt is 0 to 255, not '%s'",
					     value);
	}
	switch (strcmp(name, "wwpn") == 0 ? -EEXIST : keys_add(&p->keys, name, value)) {
	case 0:
		return 0;
	case -EEXIST:
		return config_fail(error, "vhost-scsi: key '%s' is given twice", name);
	default:
		return config_no_memory(error);
	}
}

int config_vhost_scsi(struct vhost_scsi_config *ret, const char *spec, char error[CONFIG_ERROR_MAX])
{
	char *text = strdup(spec), *item, *value, *rest = text;
	int result = 0;

	*ret = (struct vhost_scsi_config){0};
	if (!text)
		return config_no_memory(error);
	while (result == 0 && (item = keys_next_item(&rest))) {
		value = strchr(item, '=');
		if (!value || value == item) {
			result = config_fail(error, "vhost-scsi: '%s' is not key=value", item);
			break;
		}
		*value++ = '\0';
		result = add_vhost_scsi_key(ret, item, value, error);
	}
	free(text);
	if (result == 0 && !ret->wwpn)
		result = config_fail(error,
				     "vhost-scsi: wwpn= is needed (wwpn=naa.5001405000000001)");
	return result;
}

int config_add_vhost_scsi(struct config *c, char *spec, char *error)
{
	struct vhost_scsi_config *more, p;
	int result = config_vhost_scsi(&p, spec, error);

	for (size_t i = 0; i < c->n_vhost_scsi && result == 0; i++)
		if (strcmp(c->vhost_scsi[i].wwpn, p.wwpn) == 0 && c->vhost_scsi[i].tpgt == p.tpgt)
			result = config_fail(error, "vhost-scsi: %s,tpgt=%u is given twice", p.wwpn,
					     p.tpgt);
	more = result == 0 ? reallocarray(c->vhost_scsi, c->n_vhost_scsi + 1, sizeof(*more)) : NULL;
	if (result == 0 && !more)
		result = config_no_memory(error);
	if (result < 0) {
		vhost_scsi_config_finish(&p);
		return result;
	}
	c->vhost_scsi = more;
	more[c->n_vhost_scsi++] = p;
	return 0;
}
