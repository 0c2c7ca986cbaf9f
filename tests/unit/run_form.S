/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * void run_form(struct form_state *s, void (*code)(void))
 *
 * Calls code with the general registers (but %rsp), flags and %ymm0..3 of the state, and
 * puts what they are afterwards back.
 */
	.text
	.globl	run_form
	.type	run_form, @function
run_form:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	pushq	%rdi
	pushq	%rsi
	vmovups	128(%rdi), %ymm0
	vmovups	160(%rdi), %ymm1
	vmovups	192(%rdi), %ymm2
	vmovups	224(%rdi), %ymm3
	pushq	120(%rdi)
	popfq
	movq	0(%rdi), %rax
	movq	8(%rdi), %rcx
	movq	16(%rdi), %rdx
	movq	24(%rdi), %rbx
	movq	32(%rdi), %rbp
	movq	40(%rdi), %rsi
	movq	56(%rdi), %r8
	movq	64(%rdi), %r9
	movq	72(%rdi), %r10
	movq	80(%rdi), %r11
	movq	88(%rdi), %r12
	movq	96(%rdi), %r13
	movq	104(%rdi), %r14
	movq	112(%rdi), %r15
	movq	48(%rdi), %rdi
	callq	*(%rsp)
	pushfq
	pushq	%rax
	movq	24(%rsp), %rax
	movq	%rcx, 8(%rax)
	movq	%rdx, 16(%rax)
	movq	%rbx, 24(%rax)
	movq	%rbp, 32(%rax)
	movq	%rsi, 40(%rax)
	movq	%rdi, 48(%rax)
	movq	%r8, 56(%rax)
	movq	%r9, 64(%rax)
	movq	%r10, 72(%rax)
	movq	%r11, 80(%rax)
	movq	%r12, 88(%rax)
	movq	%r13, 96(%rax)
	movq	%r14, 104(%rax)
	movq	%r15, 112(%rax)
	vmovups	%ymm0, 128(%rax)
	vmovups	%ymm1, 160(%rax)
	vmovups	%ymm2, 192(%rax)
	vmovups	%ymm3, 224(%rax)
	popq	0(%rax)
	popq	120(%rax)
	cld
	vzeroupper
	popq	%rsi
	popq	%rdi
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret
	.size	run_form, . - run_form
	.section .note.GNU-stack, "", @progbits
