/* SPDX-License-Identifier: BSD-3-Clause */
/* void call_on_stack(void *top, void (*function)(void *), void *argument) */
	.text
	.globl	call_on_stack
	.hidden	call_on_stack
	.type	call_on_stack, @function
call_on_stack:
	pushq	%rbp
	movq	%rsp, %rbp
	movq	%rdi, %rsp
	andq	$-16, %rsp
	movq	%rdx, %rdi
	callq	*%rsi
	movq	%rbp, %rsp
	popq	%rbp
	ret
	.size	call_on_stack, . - call_on_stack
	.section .note.GNU-stack, "", @progbits
