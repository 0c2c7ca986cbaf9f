/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that knows its memory.  Goes over 64 MiB of it again and again: every sixteen bytes hold
 * their address and, added to it, the number of the round; they are looked at and get the next
 * number.  What is lost or old shows at once.  Says P on the first serial port after each round, and
 * E, and stops, if something isn't as it left it.
 *
 *	as --32 -o guest.o uffd_guest.S && ld -m elf_i386 -Ttext 0x100000 -o guest guest.o
 *
 * makes what QEMU's -kernel takes (Multiboot 1, which begins in flat 32-bit mode).
 */
	.set	MAGIC, 0x1badb002
	.set	FIRST, 0x200000
	.set	LAST, FIRST + (64 << 20)

	.align	4
	.long	MAGIC, 0, -MAGIC

	.globl	_start
_start:
	xorl	%ebx, %ebx
	movl	$FIRST, %edi
fill:	movl	%edi, (%edi)
	addl	$16, %edi
	cmpl	$LAST, %edi
	jne	fill

round:	movl	$FIRST, %edi
next:	leal	(%edi, %ebx), %eax
	cmpl	%eax, (%edi)
	jne	bad
	incl	%eax
	movl	%eax, (%edi)
	addl	$16, %edi
	cmpl	$LAST, %edi
	jne	next
	incl	%ebx
	movb	$'P', %al
	movw	$0x3f8, %dx
	outb	%al, %dx
	jmp	round

bad:	movb	$'E', %al
	movw	$0x3f8, %dx
	outb	%al, %dx
	cli
stop:	hlt
	jmp	stop
