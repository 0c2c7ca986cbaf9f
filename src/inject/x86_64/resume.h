/* SPDX-License-Identifier: BSD-3-Clause */
/* inject/x86_64/resume.h - between resume.c and resume.S: where things are in a ucontext_t. */
#ifndef STANDIN_INJECT_X86_64_RESUME_H
#define STANDIN_INJECT_X86_64_RESUME_H

#define RESUME_GREGS     40  /* uc_mcontext.gregs, of 8 bytes each */
#define RESUME_FPREGS    224 /* uc_mcontext.fpregs: to a struct _fpstate, in whose sw_reserved are */
#define RESUME_MAGIC     464 /* magic1 */
#define RESUME_XFEATURES 472 /* xfeatures: the components that have been saved */

#ifndef __ASSEMBLER__
#include <ucontext.h>

/* All registers as in `uc`, whose vector state has been saved by XSAVE. */
_Noreturn void resume(const ucontext_t *uc);
#endif

#endif
