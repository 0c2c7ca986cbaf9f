/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cli/cli.h - the commands of `standin`, one file each.
 *
 * Every message for a person is one line on standard error that begins with "standin:".
 * What a command was asked for goes to standard output.
 */
#ifndef STANDIN_CLI_CLI_H
#define STANDIN_CLI_CLI_H

#define EXIT_USAGE          2   /* bad command line or configuration: nothing was started */
#define EXIT_NOT_EXECUTABLE 126 /* as the shell */
#define EXIT_NOT_FOUND      127

/* argv[0] is the command's name.  Return the exit status. */
int command_run(int argc, char **argv);
int command_list(int argc, char **argv);
int command_ps(int argc, char **argv);
int command_scsi(int argc, char **argv);
int command_kvp(int argc, char **argv);
int command_vss(int argc, char **argv);
int command_copy(int argc, char **argv);
int command_hyperv(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_help(int argc, char **argv);

/* Prints a usage text to standard output and returns 0. */
int help_print(const char *command);

/* "standin: ...\n" on standard error. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, with where to read more; returns EXIT_USAGE. */
int usage_error(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/*
 * What getopt_long() found wrong, as one line of ours: call with its result ('?' or ':')
 * and the word it stood at.  Returns EXIT_USAGE.
 */
int option_error(const char *command, int result, const char *word);
/* Nonzero if standard output could not be written; the exit status of a listing command. */
int finish_output(void);

#endif
