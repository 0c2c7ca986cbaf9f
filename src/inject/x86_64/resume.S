/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * void resume(const ucontext_t *uc)
 *
 * The last registers, the flags and where to go on are put on the stack that is gone back to, below
 * its red zone, and taken from there; the return steps over the red zone.  Nothing of the frame is
 * needed by then, so it does no harm if that is there.
 */
#include "inject/x86_64/resume.h"

#define RED_ZONE 128
#define R8       0
#define R9       1
#define R10      2
#define R11      3
#define R12      4
#define R13      5
#define R14      6
#define R15      7
#define RDI      8
#define RSI      9
#define RBP      10
#define RBX      11
#define RDX      12
#define RAX      13
#define RCX      14
#define RSP      15
#define RIP      16
#define EFLAGS   17

#define SAVED(register) (RESUME_GREGS + 8 * register)(%rbx)

	.text
	.globl	resume
	.hidden	resume
	.type	resume, @function
resume:
	movq	%rdi, %rbx
	movq	RESUME_FPREGS(%rbx), %rcx
	movl	RESUME_XFEATURES(%rcx), %eax
	movl	RESUME_XFEATURES + 4(%rcx), %edx
	xrstor64 (%rcx)

	movq	SAVED(R8), %r8
	movq	SAVED(R9), %r9
	movq	SAVED(R10), %r10
	movq	SAVED(R11), %r11
	movq	SAVED(R12), %r12
	movq	SAVED(R13), %r13
	movq	SAVED(R14), %r14
	movq	SAVED(R15), %r15
	movq	SAVED(RBP), %rbp
	movq	SAVED(RSI), %rsi
	movq	SAVED(RDX), %rdx
	movq	SAVED(RCX), %rcx

	/* In the order that they are taken in, from the lowest address up. */
	movq	SAVED(RSP), %rdi
	subq	$(RED_ZONE + 5 * 8), %rdi
	movq	SAVED(RIP), %rax
	movq	%rax, 32(%rdi)
	movq	SAVED(EFLAGS), %rax
	movq	%rax, 24(%rdi)
	movq	SAVED(RAX), %rax
	movq	%rax, 16(%rdi)
	movq	SAVED(RDI), %rax
	movq	%rax, 8(%rdi)
	movq	SAVED(RBX), %rax
	movq	%rax, (%rdi)

	movq	%rdi, %rsp
	popq	%rbx
	popq	%rdi
	popq	%rax
	popfq
	ret	$RED_ZONE
	.size	resume, . - resume

	.section .note.GNU-stack, "", @progbits
