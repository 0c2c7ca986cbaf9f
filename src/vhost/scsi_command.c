/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What `standin scsi` asks of a process (core/control.h):
 *
 *	scsi-list                              for each port "port WWPN TPGT used" or "... free",
 *	                                       then "unit lun0=FILE,lun0.readonly=on" for each
 *	                                       of its units
 *	scsi-add wwpn=WWPN[,tpgt=N],lun1=FILE  adds units, with the keys of the directive
 *	scsi-remove wwpn=WWPN[,tpgt=N],lun1=   removes them
 */
#include <stdio.h>
#include <string.h>

#include "core/control.h"
#include "vhost/scsi_port.h"

static void list_unit(const struct scsi_port *port, unsigned lun, struct control_reply *reply)
{
	const char *key, *separator = "unit ";

	for (size_t i = 0; i < port->config.keys.n; i++) {
		const struct config_key *k = &port->config.keys.key[i];

		if (scsi_key_lun(k->name, &key) != (int)lun)
			continue;
		control_print(reply, "%s%s=%s", separator, k->name, k->value);
		separator = ",";
	}
	if (*separator == ',')
		control_print(reply, "\n");
}

static void list_port(const struct scsi_port *port, void *arg)
{
	struct control_reply *reply = arg;

	control_print(reply, "port %s %u %s\n", port->config.wwpn, port->config.tpgt,
		      port->in_use ? "used" : "free");
	for (unsigned lun = 0; lun < SCSI_LUNS_MAX; lun++)
		if (scsi_unit_exists(port->target, lun))
			list_unit(port, lun, reply);
}

static void list(char *arguments, struct control_reply *reply)
{
	scsi_ports_each(list_port, reply);
}

static void add(char *arguments, struct control_reply *reply)
{
	struct vhost_scsi_config what;
	char error[CONFIG_ERROR_MAX];

	if (config_vhost_scsi(&what, arguments, error) < 0 || scsi_port_add_unit(&what, error) < 0)
		control_fail(reply, "%s", error);
	vhost_scsi_config_finish(&what);
}

static void remove_units(char *arguments, struct control_reply *reply)
{
	struct vhost_scsi_config what;
	char error[CONFIG_ERROR_MAX];
	int ret = config_vhost_scsi(&what, arguments, error);

	for (size_t i = 0; i < what.keys.n && ret == 0; i++) {
		const char *name = what.keys.key[i].name, *key;
		int lun = scsi_key_lun(name, &key);

		if (lun < 0 || key) {
			snprintf(error, sizeof(error), "'%.64s' is no unit (lun1)", name);
			ret = -1;
		} else {
			ret = scsi_port_remove_unit(what.wwpn, what.tpgt, (unsigned)lun, error);
		}
	}
	if (ret < 0)
		control_fail(reply, "%s", error);
	vhost_scsi_config_finish(&what);
}

const struct control_command vhost_scsi_commands[] = {
	{"scsi-list", list},
	{"scsi-add", add},
	{"scsi-remove", remove_units},
	{0},
};
