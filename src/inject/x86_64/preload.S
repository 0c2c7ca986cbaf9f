/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two entry points of libc that no C function can stand in front of.
 *
 * syscall() may be a clone that returns on another stack or twice, so what we do not
 * handle is jumped to with the caller's registers and stack as they are.  What we handle
 * goes to syscall_routed(), whose seven arguments lie where the caller put them.
 *
 * vfork() returns twice from one frame: it has to be a jump too.
 */
	.text

	.globl	syscall
	.type	syscall, @function
	.p2align 4
syscall:
	.cfi_startproc
	endbr64
	cmpq	$511, %rdi
	ja	1f
	leaq	syscall_routes(%rip), %rax
	cmpb	$0, (%rax,%rdi)
	jne	syscall_routed
1:	movq	next_syscall(%rip), %rax
	testq	%rax, %rax
	jz	2f
	jmp	*%rax
	/* Called before our constructor: have libc's looked up. */
2:	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	pushq	%rsi
	.cfi_adjust_cfa_offset 8
	pushq	%rdx
	.cfi_adjust_cfa_offset 8
	pushq	%rcx
	.cfi_adjust_cfa_offset 8
	pushq	%r8
	.cfi_adjust_cfa_offset 8
	pushq	%r9
	.cfi_adjust_cfa_offset 8
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	resolve_next
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	popq	%r9
	.cfi_adjust_cfa_offset -8
	popq	%r8
	.cfi_adjust_cfa_offset -8
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	popq	%rdx
	.cfi_adjust_cfa_offset -8
	popq	%rsi
	.cfi_adjust_cfa_offset -8
	popq	%rdi
	.cfi_adjust_cfa_offset -8
	movq	next_syscall(%rip), %rax
	jmp	*%rax
	.cfi_endproc
	.size	syscall, . - syscall

	.globl	vfork
	.type	vfork, @function
	.p2align 4
vfork:
	.cfi_startproc
	endbr64
	cmpq	$0, runtime(%rip)
	jne	fork_for_vfork
	movq	next_vfork(%rip), %rax
	testq	%rax, %rax
	jz	3f
	jmp	*%rax
3:	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	resolve_next
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	movq	next_vfork(%rip), %rax
	jmp	*%rax
	.cfi_endproc
	.size	vfork, . - vfork

	.section .note.GNU-stack, "", @progbits
