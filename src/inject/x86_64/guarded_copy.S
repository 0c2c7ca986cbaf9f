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
#define LONG 2048 /* above it rep movsb is faster */
#define WIDE 160  /* from it on AVX2 is used, where guarded_wide says that there is one */

/* Copies of more than 32 and of more than 64 bytes, the last of which may be copied twice. */
	.macro	copy_by_32
	leaq	-32(%rdx), %rcx
.Lnarrow\@:
	movups	(%rsi), %xmm0
	movups	16(%rsi), %xmm1
	movups	%xmm0, (%rdi)
	movups	%xmm1, 16(%rdi)
	addq	$32, %rsi
	addq	$32, %rdi
	subq	$32, %rcx
	ja	.Lnarrow\@
	movups	(%rsi,%rcx), %xmm0
	movups	16(%rsi,%rcx), %xmm1
	movups	%xmm0, (%rdi,%rcx)
	movups	%xmm1, 16(%rdi,%rcx)
	.endm

	.macro	copy_by_64
	leaq	-64(%rdx), %rcx
.Lwide\@:
	vmovdqu	(%rsi), %ymm0
	vmovdqu	32(%rsi), %ymm1
	vmovdqu	%ymm0, (%rdi)
	vmovdqu	%ymm1, 32(%rdi)
	addq	$64, %rsi
	addq	$64, %rdi
	subq	$64, %rcx
	ja	.Lwide\@
	vmovdqu	(%rsi,%rcx), %ymm0
	vmovdqu	32(%rsi,%rcx), %ymm1
	vmovdqu	%ymm0, (%rdi,%rcx)
	vmovdqu	%ymm1, 32(%rdi,%rcx)
	vzeroupper
	.endm

	.section .bss
	.globl	guarded_wide
	.hidden	guarded_wide
	.type	guarded_wide, @object
	.size	guarded_wide, 1
guarded_wide:
	.zero	1

	.text
	.globl	guarded_copy
	.hidden	guarded_copy
	.type	guarded_copy, @function
guarded_copy:
	cmpq	$16, %rdx
	jb	1f
	cmpq	$32, %rdx
	ja	5f
	movups	(%rsi), %xmm0
	movups	-16(%rsi,%rdx), %xmm1
	movups	%xmm0, (%rdi)
	movups	%xmm1, -16(%rdi,%rdx)
	xorl	%eax, %eax
	ret
5:	cmpq	$WIDE, %rdx
	jae	7f
8:	copy_by_32
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
7:	cmpq	$LONG, %rdx
	ja	3b
	cmpb	$0, guarded_wide(%rip)
	je	8b
	copy_by_64
	xorl	%eax, %eax
	ret
4:	cmpq	$2, %rdx
	jne	3b
	movzwl	(%rsi), %eax
	movw	%ax, (%rdi)
	xorl	%eax, %eax
	ret

/*
 * size_t guarded_or(uint8_t *byte, uint8_t bits)
 *
 * Sets bits atomically: 0, or 1 if it faulted.  Between the same two symbols as the copy.
 */
	.globl	guarded_or
	.hidden	guarded_or
	.type	guarded_or, @function
guarded_or:
	movl	$1, %edx
	lock orb %sil, (%rdi)
	xorl	%eax, %eax
	ret
	.size	guarded_or, . - guarded_or

	.globl	guarded_copy_fixup
	.hidden	guarded_copy_fixup
guarded_copy_fixup:
	cmpb	$0, guarded_wide(%rip)
	je	1f
	vzeroupper
1:	movq	%rdx, %rax
	ret
	.size	guarded_copy, . - guarded_copy

/*
 * unsigned guarded_copies(const struct user_copy *copies, unsigned n)
 *
 * As guarded_copy for each {to, from, size}: the number of those that are done when one
 * faults, else n.  A fault between guarded_copies and guarded_copies_fixup is continued there.
 * Less than 4 bytes and more than LONG go by rep movsb.
 */
	.globl	guarded_copies
	.hidden	guarded_copies
	.type	guarded_copies, @function
guarded_copies:
	xorl	%eax, %eax
	testl	%esi, %esi
	je	9f
	movl	%esi, %r8d
	movq	%rdi, %r9
1:	movq	(%r9), %rdi
	movq	8(%r9), %rsi
	movq	16(%r9), %rdx
	cmpq	$16, %rdx
	jb	3f
	cmpq	$32, %rdx
	ja	4f
	movups	(%rsi), %xmm0
	movups	-16(%rsi,%rdx), %xmm1
	movups	%xmm0, (%rdi)
	movups	%xmm1, -16(%rdi,%rdx)
2:	addq	$24, %r9
	incl	%eax
	cmpl	%eax, %r8d
	jne	1b
9:	ret
3:	cmpq	$8, %rdx
	jb	7f
	movq	(%rsi), %r10
	movq	-8(%rsi,%rdx), %r11
	movq	%r10, (%rdi)
	movq	%r11, -8(%rdi,%rdx)
	jmp	2b
7:	cmpq	$4, %rdx
	jb	6f
	movl	(%rsi), %r10d
	movl	-4(%rsi,%rdx), %r11d
	movl	%r10d, (%rdi)
	movl	%r11d, -4(%rdi,%rdx)
	jmp	2b
4:	cmpq	$WIDE, %rdx
	jae	8f
10:	copy_by_32
	jmp	2b
8:	cmpq	$LONG, %rdx
	ja	6f
	cmpb	$0, guarded_wide(%rip)
	je	10b
	copy_by_64
	jmp	2b
6:	movq	%rdx, %rcx
	rep movsb
	jmp	2b
	.globl	guarded_copies_fixup
	.hidden	guarded_copies_fixup
guarded_copies_fixup:
	cmpb	$0, guarded_wide(%rip)
	je	1f
	vzeroupper
1:	ret
	.size	guarded_copies, . - guarded_copies

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
