/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cli/program.h - what kind of program a file is, as far as it matters for injection.
 */
#ifndef STANDIN_CLI_PROGRAM_H
#define STANDIN_CLI_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct program {
	char path[PATH_MAX]; /* of the ELF file that will run: a script's interpreter */
	bool script;         /* the program named is a script, run by `path` */
	bool elf;            /* `path` is an ELF file; the rest is only valid then */
	bool native;         /* 64-bit, for this processor */
	bool dynamic;        /* has a dynamic linker, which reads LD_PRELOAD */
	bool privileged;     /* gains rights by set-id or capabilities: LD_PRELOAD is ignored */
	bool shared_asan;    /* needs an AddressSanitizer runtime as a shared library */
	bool go;             /* made by the Go tool chain */
};

/* Looks `name` up as execvp() does and reads it.  0 or -errno. */
int program_inspect(const char *name, struct program *ret_program);

/* How many places in its own text look like a system call instruction; reads all of it. */
size_t program_count_syscalls(const struct program *program);

/* Why injection can't reach the program, in one line, or NULL if it can. */
const char *program_obstacle(const struct program *program);

#endif
