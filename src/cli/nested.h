/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cli/nested.h - `standin` started by a client of another `standin run`.
 */
#ifndef STANDIN_CLI_NESTED_H
#define STANDIN_CLI_NESTED_H

/*
 * Returns at once when this process is not under standin.  Otherwise starts itself again
 * without the injected library, so that it sees the real machine.
 */
void nested_leave(char **argv);

#endif
