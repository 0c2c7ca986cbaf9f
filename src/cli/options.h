/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cli/options.h - the options of `standin run`, turned into a configuration.
 */
#ifndef STANDIN_CLI_OPTIONS_H
#define STANDIN_CLI_OPTIONS_H

#include "core/config.h"

/*
 * Reads options up to the first word that is none; leaves its index in *ret_first.  The
 * configuration is complete and checked, and the files it names are absolute, so that it
 * means the same wherever the client goes.  0, or after one line of complaint an exit
 * status, or OPTIONS_HELP when help was asked for and printed.
 */
#define OPTIONS_HELP (-1)
int options_parse(int argc, char **argv, struct config *c, int *ret_first);

#endif
