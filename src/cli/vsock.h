/* SPDX-License-Identifier: BSD-3-Clause */
/* cli/vsock.h - the place of --vsock, before and after a run (core/vsock_place.h). */
#ifndef STANDIN_CLI_VSOCK_H
#define STANDIN_CLI_VSOCK_H

#include "control/private.h"

/*
 * Makes *place, malloc'd and absolute, what the processes of the run are to use: a directory
 * gets its slash.  0, or EXIT_USAGE after a complaint.  NULL is fine and stays.
 */
int vsock_place_complete(char **place);
/* Lets the processes of the run find it.  0 or -errno. */
int vsock_place_publish(const struct private_directory *p, const char *place);
/* Removes the sockets there that nobody has open any more. */
void vsock_place_clean(const char *place);

#endif
