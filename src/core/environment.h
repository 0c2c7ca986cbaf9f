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

#endif
