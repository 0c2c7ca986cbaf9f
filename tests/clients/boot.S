/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A boot sector that has the BIOS read the sector after it from the drive that it came from, by
 * LBA (INT 13h, function 42h), and goes on there: a line on the first serial port, and the end
 * of QEMU by isa-debug-exit at port 0x501.
 *
 *	as --32 -o boot.o boot.S && ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o boot.img boot.o
 */
	.code16
	.globl	_start
_start:
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	$packet, %si
	movb	$0x42, %ah
	int	$0x13
	jnc	second
	movw	$failed, %si

print:	lodsb
	testb	%al, %al
	jz	end
	movw	$0x3f8, %dx
	outb	%al, %dx
	jmp	print

end:	movw	$0x501, %dx
	movb	$0x31, %al
	outb	%al, %dx
	hlt
	jmp	end

packet:	.byte	16, 0			/* its size */
	.word	1			/* sectors */
	.word	second, 0		/* to where: offset and segment */
	.quad	1			/* LBA */
failed:	.asciz	"the second sector can't be read\r\n"
	.org	510
	.word	0xaa55

second:	movw	$text, %si
	jmp	print
text:	.asciz	"the drive boots\r\n"
	.org	1024
