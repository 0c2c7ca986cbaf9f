/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * void resume_access(const struct resume_state *in, struct resume_state *out, const void *page)
 *
 * Fills registers, flags and red zone from *in, reads the page, and stores to *out what they are
 * then.  struct resume_state: see test_resume.c.
 */
#define FLAGS    104
#define READ     112
#define RED_ZONE 120
#define VECTORS  248

	/* The general registers but for RSP, RAX (the page) and RBX (the struct). */
	.macro each what
	\what	0, %rcx
	\what	8, %rdx
	\what	16, %rsi
	\what	24, %rdi
	\what	32, %rbp
	\what	40, %r8
	\what	48, %r9
	\what	56, %r10
	\what	64, %r11
	\what	72, %r12
	\what	80, %r13
	\what	88, %r14
	\what	96, %r15
	.endm
	.macro load at, register
	movq	\at(%rbx), \register
	.endm
	.macro store at, register
	movq	\register, \at(%rbx)
	.endm

	.text
	.globl	resume_access
	.type	resume_access, @function
resume_access:
	.irp register, %rbx, %rbp, %r12, %r13, %r14, %r15, %rsi
	pushq	\register
	.endr
	movq	%rdi, %rbx
	movq	%rdx, %rax
	vmovdqu	VECTORS(%rbx), %ymm0
	vmovdqu	VECTORS + 32(%rbx), %ymm7
	vmovdqu	VECTORS + 64(%rbx), %ymm8
	vmovdqu	VECTORS + 96(%rbx), %ymm15
	.set	at, 0
	.rept	16
	movq	RED_ZONE + at(%rbx), %rcx
	movq	%rcx, at - 128(%rsp)
	.set	at, at + 8
	.endr
	each	load
	/* Flags go by way of the stack, but below the red zone; lea leaves them alone. */
	movq	FLAGS(%rbx), %rbx
	leaq	-128(%rsp), %rsp
	pushq	%rbx
	popfq
	leaq	128(%rsp), %rsp
	movq	(%rax), %rax
	leaq	-128(%rsp), %rsp
	pushfq
	cld
	popq	%rbx
	leaq	128(%rsp), %rsp
	xchgq	(%rsp), %rbx
	store	READ, %rax
	each	store
	vmovdqu	%ymm0, VECTORS(%rbx)
	vmovdqu	%ymm7, VECTORS + 32(%rbx)
	vmovdqu	%ymm8, VECTORS + 64(%rbx)
	vmovdqu	%ymm15, VECTORS + 96(%rbx)
	.set	at, 0
	.rept	16
	movq	at - 128(%rsp), %rcx
	movq	%rcx, RED_ZONE + at(%rbx)
	.set	at, at + 8
	.endr
	popq	FLAGS(%rbx)
	.irp register, %r15, %r14, %r13, %r12, %rbp, %rbx
	popq	\register
	.endr
	vzeroupper
	ret
	.size	resume_access, . - resume_access

	.section .note.GNU-stack, "", @progbits
