/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cli/client.h - running the client and being a transparent parent to it.
 */
#ifndef STANDIN_CLI_CLIENT_H
#define STANDIN_CLI_CLIENT_H

/*
 * Starts argv[0] (looked for in PATH) in the same process group, with our environment,
 * descriptors, signal mask and dispositions; calls `started` (may be NULL) once it runs;
 * waits for it.  Returns the exit status that a shell would show: the client's own,
 * 128 + N if signal N killed it, 127 if it was not found, 126 if it can't be executed
 * (after one line that says so).
 */
int client_run(char **argv, void (*started)(void));

#endif
