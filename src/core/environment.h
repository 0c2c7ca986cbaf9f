/* SPDX-License-Identifier: BSD-3-Clause */
/* core/environment.h - what `standin run` tells its client, and both ends must agree on. */
#ifndef STANDIN_CORE_ENVIRONMENT_H
#define STANDIN_CORE_ENVIRONMENT_H

/*
 * Environment of the client; the private directory holds `config` and `root/`, and
 * OWNERS_DIRECTORY, with a socket named by its pid for each process whose files others
 * may come to have, once there is one.
 */
#define ENV_DIRECTORY "STANDIN_DIRECTORY"
#define OWNERS_DIRECTORY "owners"

/*
 * In the private directory, if file systems are to be left alone: a note for each that a client
 * believes to have frozen, called MAJOR:MINOR; and with the ending, for each that it may freeze.
 */
#define FREEZE_DIRECTORY "freeze"
#define FREEZE_REAL      ".real"

#endif
