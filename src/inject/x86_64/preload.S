/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The three entry points of libc that no C function can stand in front of.
 *
 * syscall() may be a clone that returns on another stack or twice, so what we do not
 * handle is jumped to with the caller's registers and stack as they are.  What we handle
 * goes to syscall_routed(), whose seven arguments lie where the caller put them.
 *
 * clone() does the same, and vfork() returns twice from one frame: they have to be jumps too.
 * Tasks that are made by the client's own clone may share thread-local variables, or have
 * those of a thread that they are not: that there are any is noted in client_clones.
 */
#include <sys/syscall.h>

	.text

/* On to libc's \next, which may have to be looked up: before our constructor. */
	.macro go_on next
	movq	\next(%rip), %rax
	testq	%rax, %rax
	jz	2f
	jmp	*%rax
2:
	.irp register, %rdi, %rsi, %rdx, %rcx, %r8, %r9
	pushq	\register
	.cfi_adjust_cfa_offset 8
	.endr
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	resolve_next
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	.irp register, %r9, %r8, %rcx, %rdx, %rsi, %rdi
	popq	\register
	.cfi_adjust_cfa_offset -8
	.endr
	movq	\next(%rip), %rax
	jmp	*%rax
	.endm

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
	cmpq	$SYS_clone, %rdi
	je	3f
	cmpq	$SYS_clone3, %rdi
	je	3f
	cmpq	$SYS_fork, %rdi
	jne	1f
3:	movb	$1, client_clones(%rip)
1:	go_on	next_syscall
	.cfi_endproc
	.size	syscall, . - syscall

	.globl	clone
	.type	clone, @function
	.p2align 4
clone:
	.cfi_startproc
	endbr64
	movb	$1, client_clones(%rip)
	go_on	next_clone
	.cfi_endproc
	.size	clone, . - clone

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
