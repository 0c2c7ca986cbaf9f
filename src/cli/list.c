/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * standin list: what there is, read from the registries, so that it can't be out of date.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "core/device.h"
#include "core/fault.h"
#include "core/ioctl.h"
#include "vdpa/vdpa.h"

static void print_keys(const struct standin_key *key)
{
	for (; key && key->name; key++)
		printf("  %-12s %s\n", key->name, key->help ? key->help : "");
}

static void print_model(const struct standin_model *model, void *arg)
{
	printf("%s: %s\n", model->name, model->longname ? model->longname : model->name);
	print_keys(model->keys);
}

static void print_vdpa(const struct vdpa_model *model, void *arg)
{
	printf("vdpa %s: %s\n", model->name, model->longname);
	print_keys(model->keys);
}

static void list_devices(void)
{
	model_each(print_model, NULL);
	printf("every device:\n"
	       "  %-12s PCI address, [DOMAIN:]BUS:SLOT.FUNCTION; by default the next free bus, "
	       "from 01:00.0 on\n"
	       "  %-12s on or off (on): whether BARs can be mapped; off for clients that give "
	       "them to KVM\n",
	       "addr", "mmap");
	vdpa_model_each(print_vdpa, NULL);
	printf("HMM device mirrors (--hmm), /dev/hmm_dmirrorN:\n"
	       "  %-12s how many there are, 1 to 4 (4): 0 and 1 with private memory, 2 and 3 with "
	       "coherent memory\n"
	       "  %-12s how much each has (0: no limit)\n"
	       "  %-12s on or off (on): whether 2 and 3 are there\n",
	       "devices", "memory", "coherent");
}

static const char *rule_name(enum ioctl_rule rule)
{
	switch (rule) {
	case IOCTL_NONE:
		return "no argument";
	case IOCTL_VALUE:
		return "number";
	case IOCTL_FIXED:
		return "struct of";
	case IOCTL_ARGSZ:
		return "argsz at least";
	case IOCTL_USER:
		return "pointer";
	}
	return "";
}

static void print_table(const struct ioctl_table *table, void *arg)
{
	printf("%s:\n", table->kind);
	for (size_t i = 0; i < table->n_rows; i++) {
		const struct ioctl_row *row = &table->rows[i];

		if (row->rule == IOCTL_FIXED || row->rule == IOCTL_ARGSZ)
			printf("  %#010x %-36s %s %u bytes\n", row->cmd, row->name,
			       rule_name(row->rule), row->size);
		else
			printf("  %#010x %-36s %s\n", row->cmd, row->name, rule_name(row->rule));
	}
}

static void list_ioctls(void)
{
	ioctl_table_each(print_table, NULL);
}

static void print_points(const struct ioctl_table *table, void *arg)
{
	printf("%s:\n", table->kind);
	for (size_t i = 0; i < table->n_rows; i++)
		printf("  %s\n", table->rows[i].name);
}

static void print_point(const char *name, void *arg)
{
	printf("  %s\n", name);
}

static void list_faults(void)
{
	ioctl_table_each(print_points, NULL);
	printf("devices and backends:\n");
	fault_points_each(print_point, NULL);
}

int command_list(int argc, char **argv)
{
	static const struct option options[] = {
		{"devices", no_argument, NULL, 'd'},
		{"ioctls", no_argument, NULL, 'i'},
		{"faults", no_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	bool devices = false, ioctls = false, faults = false, all;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			devices = true;
			break;
		case 'i':
			ioctls = true;
			break;
		case 'f':
			faults = true;
			break;
		case 'h':
			return help_print("list");
		default:
			return option_error("list", c, argv[optind - 1]);
		}
	}
	if (optind < argc)
		return usage_error("list", "unexpected argument '%s'", argv[optind]);
	all = !devices && !ioctls && !faults;
	if (all)
		printf("Devices (--device MODEL,key=value,... and --vdpa MODEL,key=value,...)\n\n");
	if (devices || all)
		list_devices();
	if (all)
		printf("\nioctls\n\n");
	if (ioctls || all)
		list_ioctls();
	if (all)
		printf("\nFault points (--fault POINT:errno=NAME,...)\n\n");
	if (faults || all)
		list_faults();
	return finish_output();
}
