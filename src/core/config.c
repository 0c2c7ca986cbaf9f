/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Directives in, struct config out, and back to text.
 *
 * A directive is a word and the rest of its line.  What only makes sense once all are
 * known (default device, addresses, models) is done by config_complete().
 */
#include "core/config_private.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/device.h"
#include "core/fault.h"
#include "core/log.h"
#include "core/vsock_place.h"

#define DEFAULT_DEVICE "nvme,addr=01:00.0"

int config_fail(char *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, CONFIG_ERROR_MAX, format, args);
	va_end(args);
	return -EINVAL;
}

int config_no_memory(char *error)
{
	config_fail(error, "out of memory");
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

/* ---- strings, faults, settings ---- */

int config_replace_string(char **place, const char *value, char *error)
{
	char *copy = *value ? strdup(value) : NULL;

	if (*value && !copy)
		return config_no_memory(error);
	free(*place);
	*place = copy;
	return 0;
}

static int add_fault(struct config *c, char *spec, char *error)
{
	char **more = reallocarray(c->faults, c->n_faults + 1, sizeof(*more));

	if (!more)
		return config_no_memory(error);
	c->faults = more;
	c->faults[c->n_faults] = strdup(spec);
	if (!c->faults[c->n_faults])
		return config_no_memory(error);
	c->n_faults++;
	return 0;
}

static int set(struct config *c, char *assignment, char *error)
{
	const char *value = strchr(assignment, '=');
	size_t length = value ? (size_t)(value - assignment) : 0;
	unsigned long number;
	char *end;

	if (!value)
		return config_fail(error, "set: '%s' is not NAME=VALUE", assignment);
	value++;
	if (length == 20 && strncmp(assignment, "vfio.dma_entry_limit", length) == 0) {
		errno = 0;
		number = strtoul(value, &end, 0);
		if (errno || end == value || *end || number > UINT32_MAX || *value == '-')
			return config_fail(error, "set: vfio.dma_entry_limit is a number, not '%s'",
					   value);
		c->settings.dma_entry_limit = (uint32_t)number;
		return 0;
	}
	if (length == 12 && strncmp(assignment, "vfio.memlock", length) == 0) {
		if (config_parse_bool(value, &c->settings.memlock) < 0)
			return config_fail(error, "set: vfio.memlock is on or off, not '%s'",
					   value);
		return 0;
	}
	if (length == 12 && strncmp(assignment, "memory.traps", length) == 0)
		return config_set_traps(c, value, error);
	return config_fail(error, "set: no setting is named '%.*s'", (int)length, assignment);
}

static int set_log(struct config *c, char *level, char *error)
{
	enum log_level ignored;

	if (log_level_parse(level, &ignored) < 0)
		return config_fail(error, "log: '%s' is not one of error, warning, info, debug",
				   level);
	return config_replace_string(&c->log_level, level, error);
}

/* ---- directives ---- */

static int set_trace(struct config *c, char *file, char *error)
{
	c->trace = true;
	return config_replace_string(&c->trace_file, file, error);
}

static int set_vsock(struct config *c, char *path, char *error)
{
	return config_replace_string(&c->vsock_path, path, error);
}

static int set_directory(struct config *c, char *path, char *error)
{
	return config_replace_string(&c->directory, path, error);
}

static int add_device(struct config *c, char *spec, char *error)
{
	return config_device(c, spec, error);
}

static int add_vdpa(struct config *c, char *spec, char *error)
{
	return config_add_vdpa(c, spec, error);
}

static const struct {
	const char *word;
	int (*run)(struct config *c, char *rest, char *error);
	bool alone; /* may stand alone */
} directives[] = {
	{"device", add_device, false},
	{"directory", set_directory, false},
	{"fault", add_fault, false},
	{"hmm", config_set_hmm, false},
	{"hyperv", config_set_hyperv, true},
	{"log", set_log, false},
	{"net", config_add_net, false},
	{"set", set, false},
	{"trace", set_trace, true},
	{"uffd", config_set_uffd, false},
	{"uffd-backing", config_set_uffd_backing, false},
	{"vdpa", add_vdpa, false},
	{"vhost-scsi", config_add_vhost_scsi, false},
	{"vsock", set_vsock, false},
};

static int run_directive(struct config *c, const char *word, char *rest, char *error)
{
	for (size_t i = 0; i < sizeof(directives) / sizeof(directives[0]); i++) {
		if (strcmp(word, directives[i].word) != 0)
			continue;
		if (!*rest && !directives[i].alone)
			break;
		return directives[i].run(c, rest, error);
	}
	if (!*rest)
		return config_fail(error, "'%s' needs a value", word);
	return config_fail(error, "no directive is named '%s'", word);
}

int config_directive(struct config *c, const char *line, char error[CONFIG_ERROR_MAX])
{
	char *text, *word, *rest, *end;
	int result = 0;

	text = strdup(line);
	if (!text)
		return config_no_memory(error);
	word = text + strspn(text, " \t");
	for (end = word + strlen(word); end > word && isspace((unsigned char)end[-1]);)
		*--end = '\0';
	rest = word + strcspn(word, " \t");
	if (*rest)
		*rest++ = '\0';
	rest += strspn(rest, " \t");
	if (*word && *word != '#')
		result = run_directive(c, word, rest, error);
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
			return config_no_memory(error);
		result = config_directive(c, copy, reason);
		free(copy);
		if (result < 0) {
			config_fail(error, "line %u: %.200s", number, reason);
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
	return config_fail(error, "device %s: no PCI address is left", d->model);
}

static int check_keys(const struct device_config *d, const struct standin_model *model, char *error)
{
	for (size_t i = 0; i < d->keys.n; i++) {
		const struct standin_key *key = model->keys;

		while (key && key->name && strcmp(key->name, d->keys.key[i].name) != 0)
			key++;
		if (!key || !key->name)
			return config_fail(error, "device %s: no key is named '%s'", d->model,
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
	    (config_add_vdpa(c, "net-sim", error) < 0 || config_add_vdpa(c, "blk-sim", error) < 0))
		return -ENOMEM;
	for (size_t i = 0; i < c->n_devices; i++) {
		struct device_config *d = &c->devices[i];

		model = model_find(d->model);
		if (!model)
			return config_fail(error,
					   "no device model is named '%s' (standin list --devices)",
					   d->model);
		result = check_keys(d, model, error);
		if (result < 0)
			return result;
		if (d->address_given && address_taken(c, i, &d->address)) {
			pci_address_format(&d->address, text);
			return config_fail(error, "device %s: address %s is taken twice", d->model,
					   text);
		}
	}
	for (size_t i = 0; i < c->n_devices; i++)
		if (!c->devices[i].address_given && assign_address(c, i, error) < 0)
			return -EINVAL;
	if (c->vsock_path && !vsock_place_fits(c->vsock_path))
		return config_fail(error,
				   "vsock: the path is too long for the address of a socket");
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
		if (c->hyperv.uio)
			fputs(",uio=on", out);
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
	fprintf(out, "set memory.traps=%s\n", config_traps_names[c->settings.traps]);
	fprintf(out, "hmm devices=%u,memory=%llu,coherent=%s\n", c->hmm.devices,
		(unsigned long long)c->hmm.memory, c->hmm.coherent ? "on" : "off");
	fprintf(out, "uffd %s\n", config_uffd_names[c->uffd]);
	fprintf(out, "uffd-backing %s\n", config_uffd_backing_names[c->uffd_backing]);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
