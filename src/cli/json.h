/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cli/json.h - JSON (RFC 8259) as commands print it with --json.
 */
#ifndef STANDIN_CLI_JSON_H
#define STANDIN_CLI_JSON_H

#include <stdio.h>

/* A string with its quotes.  Bytes that are no UTF-8 become U+FFFD. */
void json_string(FILE *out, const char *text);

#endif
