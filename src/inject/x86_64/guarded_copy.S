/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * size_t guarded_copy(void *to, const void *from, size_t size)
 *
 * memcpy that survives bad addresses: the fault handler moves the instruction pointer of
 * a fault between guarded_copy and guarded_copy_fixup to guarded_copy_fixup, which
 * returns the size: nothing is said about what has been copied.  Small sizes, which
 * ioctl arguments have, go without rep movsb; two bytes are one load and one store, which
 * the indexes of rings shared with another thread need.  Nothing here touches the stack.
 */
	.text
	.globl	guarded_copy
	.hidden	guarded_copy
	.type	guarded_copy, @function
guarded_copy:
	cmpq	$16, %rdx
	jb	1f
	cmpq	$32, %rdx
	ja	3f
	movups	(%rsi), %xmm0
	movups	-16(%rsi,%rdx), %xmm1
	movups	%xmm0, (%rdi)
	movups	%xmm1, -16(%rdi,%rdx)
	xorl	%eax, %eax
	ret
1:	cmpq	$8, %rdx
	jb	2f
	movq	(%rsi), %rax
	movq	-8(%rsi,%rdx), %rcx
	movq	%rax, (%rdi)
	movq	%rcx, -8(%rdi,%rdx)
	xorl	%eax, %eax
	ret
2:	cmpq	$4, %rdx
	jb	4f
	movl	(%rsi), %eax
	movl	-4(%rsi,%rdx), %ecx
	movl	%eax, (%rdi)
	movl	%ecx, -4(%rdi,%rdx)
	xorl	%eax, %eax
	ret
3:	movq	%rdx, %rcx
	rep movsb
	xorl	%eax, %eax
	ret
4:	cmpq	$2, %rdx
	jne	3b
	movzwl	(%rsi), %eax
	movw	%ax, (%rdi)
	xorl	%eax, %eax
	ret

/*
 * size_t guarded_touch(void *address)
 *
 * An atomic store of what is there already: 0, or 1 if it faulted.  Between the same two
 * symbols as the copy.
 */
	.globl	guarded_touch
	.hidden	guarded_touch
	.type	guarded_touch, @function
guarded_touch:
	movl	$1, %edx
	lock orb $0, (%rdi)
	xorl	%eax, %eax
	ret
	.size	guarded_touch, . - guarded_touch

	.globl	guarded_copy_fixup
	.hidden	guarded_copy_fixup
guarded_copy_fixup:
	movq	%rdx, %rax
	ret
	.size	guarded_copy, . - guarded_copy

/* The signal trampoline, byte for byte what unwinders and debuggers look for. */
	.globl	signal_restorer
	.hidden	signal_restorer
	.type	signal_restorer, @function
	nop
signal_restorer:
	movq	$15, %rax
	syscall
	.size	signal_restorer, . - signal_restorer

	.section .note.GNU-stack, "", @progbits
