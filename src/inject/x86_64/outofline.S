/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * void outofline_run(struct slot *s)
 *
 * Runs the code of a slot with the registers, flags and (where s->fpstate is set) vector
 * state of the client, and takes what it left back.  The code loads %rdi itself, which
 * points to the slot until then, and comes back to outofline_exit with its %rax saved and
 * the slot in %rax.  While it runs there is no stack: %rsp is the client's.
 * The offsets are those of struct slot in outofline.c.
 */
#define RAX      0
#define RCX      8
#define RDX      16
#define RBX      24
#define RSP      32
#define RBP      40
#define RSI      48
#define RDI      56
#define R8       64
#define R9       72
#define R10      80
#define R11      88
#define R12      96
#define R13      104
#define R14      112
#define R15      120
#define FLAGS    128
#define HOST_RSP 136
#define MXCSR    152
#define FCW      156
#define FPSTATE  160
#define FEATURES 168
#define CODE     176

	.text
	.globl	outofline_run
	.hidden	outofline_run
	.type	outofline_run, @function
outofline_run:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, HOST_RSP(%rdi)
	stmxcsr	MXCSR(%rdi)
	fnstcw	FCW(%rdi)
	movq	FPSTATE(%rdi), %r8
	testq	%r8, %r8
	jz	2f
	movl	FEATURES(%rdi), %eax
	movl	FEATURES+4(%rdi), %edx
	testl	%eax, %eax
	jz	1f
	xrstor64 (%r8)
	jmp	2f
1:	fxrstor64 (%r8)
2:	pushq	FLAGS(%rdi)
	popfq
	movq	RAX(%rdi), %rax
	movq	RCX(%rdi), %rcx
	movq	RDX(%rdi), %rdx
	movq	RBX(%rdi), %rbx
	movq	RBP(%rdi), %rbp
	movq	RSI(%rdi), %rsi
	movq	R8(%rdi), %r8
	movq	R9(%rdi), %r9
	movq	R10(%rdi), %r10
	movq	R11(%rdi), %r11
	movq	R12(%rdi), %r12
	movq	R13(%rdi), %r13
	movq	R14(%rdi), %r14
	movq	R15(%rdi), %r15
	movq	RSP(%rdi), %rsp
	jmpq	*CODE(%rdi)

	.globl	outofline_exit
	.hidden	outofline_exit
outofline_exit:
	movq	%rcx, RCX(%rax)
	movq	%rdx, RDX(%rax)
	movq	%rbx, RBX(%rax)
	movq	%rsp, RSP(%rax)
	movq	%rbp, RBP(%rax)
	movq	%rsi, RSI(%rax)
	movq	%rdi, RDI(%rax)
	movq	%r8, R8(%rax)
	movq	%r9, R9(%rax)
	movq	%r10, R10(%rax)
	movq	%r11, R11(%rax)
	movq	%r12, R12(%rax)
	movq	%r13, R13(%rax)
	movq	%r14, R14(%rax)
	movq	%r15, R15(%rax)
	movq	HOST_RSP(%rax), %rsp
	pushfq
	popq	FLAGS(%rax)
	cld
	movq	%rax, %rdi
	movq	FPSTATE(%rdi), %r8
	testq	%r8, %r8
	jz	4f
	movl	FEATURES(%rdi), %eax
	movl	FEATURES+4(%rdi), %edx
	testl	%eax, %eax
	jz	3f
	xsave64	(%r8)
	jmp	4f
3:	fxsave64 (%r8)
4:	fninit
	fldcw	FCW(%rdi)
	ldmxcsr	MXCSR(%rdi)
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret
	.size	outofline_run, . - outofline_run
	.section .note.GNU-stack, "", @progbits
