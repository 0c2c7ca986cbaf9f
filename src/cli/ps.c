/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * standin ps: which runs of this user are going on, and with which devices.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "control/running.h"
#include "core/config.h"

static void print_devices(const char *text)
{
	char error[CONFIG_ERROR_MAX], address[PCI_ADDRESS_MAX];
	const char *separator = "";
	struct config c;

	config_init(&c);
	if (config_text(&c, text, error) == 0 && config_complete(&c, error) == 0) {
		for (size_t i = 0; i < c.n_devices; i++, separator = " ") {
			pci_address_format(&c.devices[i].address, address);
			printf("%s%s@%s", separator, c.devices[i].model, address);
		}
		for (size_t i = 0; i < c.n_vdpas; i++, separator = " ")
			printf("%svdpa-%s@%zu", separator, c.vdpas[i].model, i);
		for (size_t i = 0; i < c.n_vhost_scsi; i++, separator = " ")
			printf("%svhost-scsi@%s", separator, c.vhost_scsi[i].wwpn);
	}
	config_finish(&c);
}

int command_ps(int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
	struct running *list;
	int option;

	opterr = 0;
	option = getopt_long(argc, argv, ":h", options, NULL);
	if (option == 'h')
		return help_print("ps");
	if (option != -1)
		return option_error("ps", option, argv[optind - 1]);
	if (optind < argc)
		return usage_error("ps", "unexpected argument '%s'", argv[optind]);
	list = running_find(0);
	printf("%7s  %s\n", "PID", "COMMAND");
	for (const struct running *r = list; r; r = r->next) {
		printf("%7d  %s\n         ", (int)r->pid, r->command);
		print_devices(r->config);
		printf("\n");
	}
	running_free(list);
	return finish_output();
}
