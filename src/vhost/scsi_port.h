/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost/scsi_port.h - the target ports of /dev/vhost-scsi: what configfs has for the kernel's.
 *
 * A port is one portal group of a WWPN with its logical units, made from a vhost-scsi directive
 * (core/config.h).  A process makes its own when it first opens the device.  Their units can
 * be changed at any time; who uses a port hears of it through its nexus (scsi/scsi.h).
 *
 * Keys of the directive: lunN=FILE, and lunN.KEY with readonly, direct, aio, size (of a unit
 * in memory, without lunN=), blocksize, vendor, product, revision, serial, rotational and
 * removable.
 */
#ifndef STANDIN_VHOST_SCSI_PORT_H
#define STANDIN_VHOST_SCSI_PORT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/config.h"
#include "core/control.h"
#include "scsi/scsi.h"

#define SCSI_PORTS_MAX 256u /* of one WWPN: one per target number */

struct scsi_port {
	struct scsi_port *next;
	struct vhost_scsi_config config; /* as it is now: keys of units come and go */
	struct scsi_target *target;
	bool in_use; /* by an open file of this process */
	int claim;
};

/*
 * Makes this process's ports, once.  0 or -ENOMEM; a unit that can't be opened is left out,
 * with a line in the log.
 */
int scsi_ports_start(const struct config *config);
void scsi_ports_stop(void);
/* Whether everything could be opened: 0, or -errno with one line in `error`. */
int scsi_ports_check(const struct config *config, char *error, size_t error_size);

/*
 * Takes every free port of `wwpn` into ret_ports[tpgt]; the others become NULL.  Their
 * number; 0: there is none, or it is in use, perhaps by another process.
 */
unsigned scsi_ports_claim(const char *wwpn, struct scsi_port *ret_ports[SCSI_PORTS_MAX]);
void scsi_port_release(struct scsi_port *port);

/* For `standin scsi` (scsi_command.c). */
int scsi_port_add_unit(const struct vhost_scsi_config *what, char error[CONFIG_ERROR_MAX]);
int scsi_port_remove_unit(const char *wwpn, unsigned tpgt, unsigned lun,
			  char error[CONFIG_ERROR_MAX]);
/* Calls `each` for every port; they don't change meanwhile. */
void scsi_ports_each(void (*each)(const struct scsi_port *port, void *arg), void *arg);
extern const struct control_command vhost_scsi_commands[];
/* The number in "lun7" or "lun7.key", *ret_key what follows the point or NULL; -1: it is none. */
int scsi_key_lun(const char *name, const char **ret_key);

#endif
