/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inject/sigsys.h - tier 1: system calls that do not go through libc.
 *
 * Code that holds `syscall` instructions of its own makes ioctls that no wrapper sees.  If
 * the process has such code when the first stood-in device is opened, a filter is put on
 * our ioctl commands alone; they raise SIGSYS and are answered from its handler.  Code
 * loaded later is not looked for: then its ioctls reach the placeholder, which answers
 * ENOTTY.
 */
#ifndef STANDIN_INJECT_SIGSYS_H
#define STANDIN_INJECT_SIGSYS_H

#include <signal.h>
#include <stdbool.h>
#include <ucontext.h>

/* Installs the filter if it is needed.  `handler` answers an ioctl: a value or -errno. */
void sigsys_start(long (*handler)(int fd, unsigned long command, unsigned long arg));
/* Claims all three signals: what is no SIGSYS goes to segv_claim(). */
bool sigsys_claim(int signal, siginfo_t *info, ucontext_t *uc);

#endif
