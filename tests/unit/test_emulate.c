/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every instruction form the emulator knows, on registers that trap and on ordinary
 * memory with the same contents: registers, flags, vectors and memory must agree.
 *
 * A form is a few instructions.  They find memory at %rbx (and its neighbourhood), %rsi
 * (64 bytes below) and %rdi (128 above), ordinary memory at %r8, small numbers in %rcx.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "mmio_model.h"

#define AREA   512u
#define MIDDLE 192u /* where %rbx points to, in the area */

enum { RAX, RCX, RDX, RBX, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, FLAGS, WORDS };

struct form_state {
	uint64_t word[WORDS];
	uint8_t vector[4][32];
};

void run_form(struct form_state *s, void (*code)(void));

struct form {
	void (*code)(void);
	const char *text;
	uint64_t flags; /* which arithmetic flags are defined afterwards */
};

#define F_ALL  0x8d5
#define F_NOAF 0x8c5 /* logic operations leave AF undefined */
#define F_CF   0x001
#define F_ZF   0x040
#define F_NONE 0

#define FORM(flags, text)                                                                          \
	__asm__(".pushsection .text\n1:\n" text "\nret\n.popsection\n"                             \
	        ".pushsection .rodata.forms, \"a\"\n2: .asciz \"" text "\"\n.popsection\n"         \
	        ".pushsection form_table, \"aw\"\n.quad 1b\n.quad 2b\n.quad " #flags               \
	        "\n.popsection\n");
#define FORM_(flags, text) FORM(flags, text)
#define ALL(text)  FORM_(0x8d5, text)
#define NOAF(text) FORM_(0x8c5, text)
#define CF(text)   FORM_(0x001, text)
#define ZF(text)   FORM_(0x040, text)
#define NONE(text) FORM_(0, text)

extern const struct form __start_form_table[], __stop_form_table[];

/* moves */
ALL("movb (%rbx), %al")
ALL("movb 1(%rbx), %ah")
ALL("movb 3(%rbx), %bpl")
ALL("movb 3(%rbx), %r9b")
ALL("movw (%rbx), %dx")
ALL("movw 2(%rbx), %r10w")
ALL("movl (%rbx), %eax")
ALL("movl 4(%rbx), %r11d")
ALL("movq (%rbx), %rax")
ALL("movq 8(%rbx,%rcx,8), %r12")
ALL("movl -128(%rbx,%rcx,4), %ebp")
ALL("movl 0x80(%rbx), %r13d")
ALL("movl 3(%rbx), %eax")
ALL("movq 5(%rbx), %rax")
ALL("movw 7(%rbx), %ax")
ALL("movb %al, (%rbx)")
ALL("movb %dh, 5(%rbx)")
ALL("movb %bpl, 6(%rbx)")
ALL("movb %r14b, 7(%rbx)")
ALL("movw %dx, 2(%rbx)")
ALL("movl %eax, (%rbx)")
ALL("movl %r15d, 4(%rbx)")
ALL("movq %rdx, (%rbx)")
ALL("movq %r9, 16(%rbx,%rcx,2)")
ALL("movl %eax, 1(%rbx)")
ALL("movq %rax, 3(%rbx)")
ALL("movb $0x5a, (%rbx)")
ALL("movw $0x1234, (%rbx)")
ALL("movl $0x12345678, (%rbx)")
ALL("movq $-2, (%rbx)")
ALL("movq $0x7fffffff, 8(%rbx)")
ALL("movzbl (%rbx), %eax")
ALL("movzbw (%rbx), %ax")
ALL("movzbq 3(%rbx), %r9")
ALL("movzwl 2(%rbx), %edx")
ALL("movzwq 2(%rbx), %rdx")
ALL("movsbw (%rbx), %ax")
ALL("movsbl (%rbx), %eax")
ALL("movsbq 1(%rbx), %rax")
ALL("movswl (%rbx), %r10d")
ALL("movswq (%rbx), %rax")
ALL("movslq 4(%rbx), %rax")
ALL("movnti %eax, (%rbx)")
ALL("movnti %rdx, 8(%rbx)")
ALL("movbe (%rbx), %eax")
ALL("movbe %rdx, (%rbx)")
ALL("movbe (%rbx), %r9w")
/* arithmetic */
ALL("addb (%rbx), %al")
ALL("addl (%rbx), %eax")
ALL("addq %rax, (%rbx)")
ALL("addw %dx, (%rbx)")
ALL("addl $1, (%rbx)")
ALL("addq $-1, 8(%rbx)")
ALL("adcl %eax, (%rbx)")
ALL("adcq (%rbx), %r9")
ALL("adcb $3, (%rbx)")
ALL("subl (%rbx), %eax")
ALL("subw %ax, (%rbx)")
ALL("subq $0x12345, (%rbx)")
ALL("sbbl %edx, (%rbx)")
ALL("sbbq (%rbx), %rax")
ALL("cmpl %eax, (%rbx)")
ALL("cmpl (%rbx), %eax")
ALL("cmpb $7, (%rbx)")
ALL("cmpq $-1, (%rbx)")
NOAF("andl %eax, (%rbx)")
NOAF("andq (%rbx), %rdx")
NOAF("andb $0xf0, (%rbx)")
NOAF("orl %eax, (%rbx)")
NOAF("orl $0x80000000, (%rbx)")
NOAF("orb (%rbx), %ah")
NOAF("xorq %rdx, (%rbx)")
NOAF("xorl (%rbx), %edx")
NOAF("xorw $0xffff, (%rbx)")
NOAF("testl %eax, (%rbx)")
NOAF("testb $1, (%rbx)")
NOAF("testq $0x40, (%rbx)")
ALL("incl (%rbx)")
ALL("incq (%rbx)")
ALL("decb (%rbx)")
ALL("decw (%rbx)")
ALL("notl (%rbx)")
ALL("notq (%rbx)")
ALL("negl (%rbx)")
ALL("negb (%rbx)")
ALL("xchgl %eax, (%rbx)")
ALL("xchgq %r9, (%rbx)")
ALL("xchgb %dl, (%rbx)")
ALL("xaddl %eax, (%rbx)")
ALL("lock xaddq %rdx, (%rbx)")
ALL("cmpxchgl %edx, (%rbx)")
ALL("movl (%rbx), %eax; cmpxchgl %edx, (%rbx)")
ALL("movq (%rbx), %rax; lock cmpxchgq %r9, (%rbx)")
ALL("lock cmpxchgb %dl, (%rbx)")
ZF("pushq %rbx; movq %rbx, %r11; cmpxchg8b (%r11); popq %rbx")
ZF("movq %rbx, %r11; movl $7, %ebx; lock cmpxchg16b (%r11)")
ZF("movq %rbx, %r11; movq (%r11), %rax; movq 8(%r11), %rdx; movl $7, %ebx; lock cmpxchg16b (%r11)")
ALL("lock addl $1, (%rbx)")
ALL("lock incq (%rbx)")
ALL("lock decl (%rbx)")
ALL("lock negl (%rbx)")
ALL("lock notl (%rbx)")
NOAF("lock orl %eax, (%rbx)")
NOAF("lock andq %rdx, (%rbx)")
ALL("lock subl %eax, (%rbx)")
CF("btl $5, (%rbx)")
CF("btsl $31, (%rbx)")
CF("btrq $40, (%rbx)")
CF("btcw $3, (%rbx)")
CF("lock btsl $2, (%rbx)")
CF("btl %ecx, (%rbx)")
CF("movl $75, %r10d; btsl %r10d, (%rbx)")
CF("movq $-70, %r10; btrq %r10, (%rbx)")
CF("movl $-5, %r10d; btcl %r10d, (%rbx)")
CF("movl $33, %r10d; lock btsw %r10w, (%rbx)")
CF("shll $3, (%rbx)")
CF("shrq %cl, (%rbx)")
CF("sarb $1, (%rbx)")
CF("roll %cl, (%rbx)")
CF("rcrl $1, (%rbx)")
CF("shldl $4, %edx, (%rbx)")
CF("shrdq %cl, %rdx, (%rbx)")
ALL("sete (%rbx)")
ALL("setb 3(%rbx)")
ALL("cmovel (%rbx), %eax")
ALL("cmovbq (%rbx), %rdx")
CF("imull (%rbx), %eax")
CF("imull $100, (%rbx), %edx")
CF("mull (%rbx)")
CF("mulq (%rbx)")
CF("imulq (%rbx)")
NONE("xorl %edx, %edx; orl $1, (%rbx); divl (%rbx)")
NONE("xorl %edx, %edx; orq $1, (%rbx); divq (%rbx)")
NONE("movl $100, %eax; cltd; orl $8, (%rbx); idivl (%rbx)")
NONE("movw $100, %ax; orb $8, (%rbx); idivb (%rbx)")
ALL("movl $0, %eax; crc32l (%rbx), %eax")
ZF("popcntl (%rbx), %eax")
ZF("orl $64, (%rbx); bsfl (%rbx), %eax")
CF("lzcntq (%rbx), %rdx")
ALL("bswap %eax; movl %eax, (%rbx)")
/* stack */
ALL("pushq (%rbx); popq %rax")
ALL("pushw (%rbx); popw %ax")
ALL("pushq %rdx; popq (%rbx)")
ALL("pushq %rdx; popq 24(%rbx,%rcx,8)")
ALL("leaq 7f(%rip), %r10; movq %r10, (%r8); jmpq *(%r8); 7: incl %eax; movq $0, (%r8)")
ALL("leaq 7f(%rip), %r10; movq %r10, 8(%rbx); callq *8(%rbx); jmp 8f; 7: incl %eax; ret; "
    "8: xorl %r10d, %r10d; movq $0, 8(%rbx)")
ALL("leaq 7f(%rip), %r10; movq %r10, 8(%rbx); jmpq *8(%rbx); ud2; "
    "7: xorl %r10d, %r10d; movq $0, 8(%rbx)")
/* strings */
ALL("movsb")
ALL("movsl")
ALL("movsq")
ALL("movl $13, %ecx; rep movsb")
ALL("movl $5, %ecx; rep movsl")
ALL("movl $4, %ecx; rep movsq")
ALL("movl $5, %ecx; std; rep movsw; cld")
ALL("movl $0, %ecx; rep movsb")
ALL("movq %r8, %rdi; movl $20, %ecx; rep movsb")
ALL("movq %r8, %rsi; movl $9, %ecx; rep movsl")
ALL("movl $11, %ecx; rep stosb")
ALL("movl $6, %ecx; rep stosl")
ALL("stosq")
ALL("lodsb")
ALL("lodsl")
ALL("movl $3, %ecx; rep lodsq")
ALL("cmpsb")
ALL("cmpsl")
ALL("cmpsq")
ALL("movl $40, %ecx; repe cmpsb")
ALL("movq %rsi, %rdi; movl $20, %ecx; repe cmpsb")
ALL("movq %rsi, %rdi; addq $3, %rdi; movl $20, %ecx; repne cmpsw")
ALL("movq %r8, %rdi; movl $8, %ecx; repe cmpsb")
ALL("scasb")
ALL("scasl")
ALL("movb 7(%rdi), %al; movl $30, %ecx; repne scasb")
ALL("movl $30, %ecx; repe scasw")
/* vectors */
ALL("movd (%rbx), %xmm0")
ALL("movq (%rbx), %xmm1")
ALL("movd %xmm0, (%rbx)")
ALL("movq %xmm1, (%rbx)")
ALL("movss (%rbx), %xmm2")
ALL("movss %xmm2, 4(%rbx)")
ALL("movsd (%rbx), %xmm3")
ALL("movsd %xmm3, (%rbx)")
ALL("movups (%rbx), %xmm0")
ALL("movups %xmm0, 4(%rbx)")
ALL("movaps (%rbx), %xmm1")
ALL("movaps %xmm1, (%rbx)")
ALL("movupd 1(%rbx), %xmm0")
ALL("movdqu (%rbx), %xmm0")
ALL("movdqu %xmm3, 9(%rbx)")
ALL("movdqa (%rbx), %xmm2")
ALL("movdqa %xmm2, 16(%rbx)")
ALL("movntdq %xmm1, (%rbx)")
ALL("movntps %xmm1, (%rbx)")
ALL("movntdqa (%rbx), %xmm1")
ALL("lddqu 3(%rbx), %xmm1")
ALL("movlps (%rbx), %xmm0")
ALL("movhps %xmm0, (%rbx)")
ALL("paddd (%rbx), %xmm0")
ALL("pxor (%rbx), %xmm1")
ALL("pcmpeqb (%rbx), %xmm1")
ALL("pshufb (%rbx), %xmm2")
ALL("pshufd $0x1b, (%rbx), %xmm2")
ALL("pinsrw $3, (%rbx), %xmm2")
ALL("pinsrq $1, (%rbx), %xmm2")
ALL("pextrd $2, %xmm2, (%rbx)")
ALL("pextrb $9, %xmm2, 3(%rbx)")
ALL("cvtsi2sdl (%rbx), %xmm0")
ALL("cvtsi2sdq (%rbx), %xmm0")
ALL("punpcklbw (%rbx), %xmm0")
ALL("pmovzxbw (%rbx), %xmm0")
NOAF("ptest (%rbx), %xmm0")
ALL("stmxcsr (%rbx)")
ALL("stmxcsr (%r8); movl (%r8), %r10d; movl %r10d, (%rbx); ldmxcsr (%rbx)")
ALL("fildq (%rbx); fistpq 8(%rbx)")
ALL("fildl (%rbx); fstpt 16(%rbx)")
ALL("fnstcw (%rbx); fldcw (%rbx)")
ALL("vmovups (%rbx), %ymm0")
ALL("vmovups %ymm0, 2(%rbx)")
ALL("vmovaps (%rbx), %ymm1")
ALL("vmovaps %ymm1, 32(%rbx)")
ALL("vmovdqu (%rbx), %xmm0")
ALL("vmovdqu %ymm3, 5(%rbx)")
ALL("vmovdqa (%rbx), %ymm3")
ALL("vmovntdq %ymm3, (%rbx)")
ALL("vmovd (%rbx), %xmm2")
ALL("vmovq %xmm2, (%rbx)")
ALL("vpaddd (%rbx), %ymm0, %ymm1")
ALL("vpxor (%rbx,%rcx,8), %xmm0, %xmm1")
ALL("vbroadcastss (%rbx), %ymm0")
ALL("vpbroadcastd 4(%rbx), %ymm0")
ALL("vextracti128 $1, %ymm2, (%rbx)")
ALL("vinserti128 $1, (%rbx), %ymm1, %ymm2")
ALL("vpinsrd $2, (%rbx), %xmm0, %xmm1")
ALL("vmaskmovps %ymm0, %ymm1, (%rbx)")
ALL("vpmaskmovq %xmm2, %xmm3, 8(%rbx)")

/* The table continues with these only where the processor has AVX-512. */
#define AVX512(text)                                                                               \
	__asm__(".pushsection .text\n1:\n" text "\nret\n.popsection\n"                             \
	        ".pushsection .rodata.forms, \"a\"\n2: .asciz \"" text "\"\n.popsection\n"         \
	        ".pushsection form512_table, \"aw\"\n.quad 1b\n.quad 2b\n.quad 0x8d5\n"            \
	        ".popsection\n");
extern const struct form __start_form512_table[], __stop_form512_table[];

AVX512("vmovdqu64 (%rbx), %zmm5; vmovdqu64 %zmm5, 64(%rbx)")
AVX512("vmovdqa64 (%rbx), %zmm21; vmovdqu64 %zmm21, 3(%rbx)")
AVX512("vmovdqa64 -64(%rbx), %zmm21; vmovntdq %zmm21, 64(%rbx)")
AVX512("vpaddd (%rbx){1to16}, %zmm5, %zmm6; vmovdqu64 %zmm6, 64(%rbx)")
AVX512("vpaddd 128(%rbx), %ymm0, %ymm1")
AVX512("vpcmpeqd (%rbx), %ymm0, %k3; kmovd %k3, %eax")
AVX512("kmovq %rdx, %k1; vmovdqu8 %ymm0, (%rbx){%k1}")
AVX512("kmovq %rdx, %k1; vmovdqu64 %zmm3, 8(%rbx){%k1}")
AVX512("kmovq %rdx, %k1; vpcompressd %zmm0, (%rbx){%k1}")
AVX512("kmovq (%rbx), %k2; kmovq %k2, 8(%rbx)")

static uint64_t seed;

static uint64_t next_random(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return seed ^ seed >> 29;
}

static void fill(void *buffer, size_t size)
{
	uint8_t *at = buffer;

	while (size--)
		*at++ = (uint8_t)(next_random() >> 16);
}

static void prepare(struct form_state *s, uint8_t *area, uint8_t *ordinary)
{
	for (unsigned i = 0; i < FLAGS; i++)
		s->word[i] = next_random();
	fill(s->vector, sizeof(s->vector));
	s->word[RBX] = (uintptr_t)area + MIDDLE;
	s->word[RSI] = (uintptr_t)area + MIDDLE - 64;
	s->word[RDI] = (uintptr_t)area + MIDDLE + 128;
	s->word[RCX] = 2;
	s->word[R8] = (uintptr_t)ordinary;
	s->word[FLAGS] = 0x202 | (next_random() & 0x8d5);
}

/* Pointers into the area as offsets, so that two areas compare. */
static void make_relative(struct form_state *s, const uint8_t *area)
{
	for (unsigned i = 0; i < FLAGS; i++)
		if (s->word[i] >= (uintptr_t)area && s->word[i] < (uintptr_t)area + AREA)
			s->word[i] -= (uintptr_t)area;
}

static void check_form(const struct form *form, uint8_t *registers)
{
	static uint8_t expected_area[AREA] __attribute__((aligned(64)));
	static uint8_t ordinary[256] __attribute__((aligned(64)));
	uint8_t expected_ordinary[256], contents[AREA], start[256];
	struct form_state expected, got;
	struct model_state *m = model_state();
	uint64_t start_seed = next_random();

	fill(contents, sizeof(contents));
	fill(start, sizeof(start));
	memcpy(expected_area, contents, AREA);
	memcpy(ordinary, start, sizeof(start));
	seed = start_seed;
	prepare(&expected, expected_area, ordinary);
	run_form(&expected, form->code);
	make_relative(&expected, expected_area);
	memcpy(expected_ordinary, ordinary, sizeof(ordinary));

	memcpy(m->memory, contents, AREA);
	memcpy(ordinary, start, sizeof(start));
	atomic_store(&m->reads, 0);
	atomic_store(&m->writes, 0);
	seed = start_seed;
	prepare(&got, registers, ordinary);
	run_form(&got, form->code);
	make_relative(&got, registers);

	expected.word[FLAGS] &= form->flags | 0x400;
	got.word[FLAGS] &= form->flags | 0x400;
	for (unsigned i = 0; i < WORDS; i++)
		if (expected.word[i] != got.word[i])
			fail_msg("%s: word %u is %#lx, should be %#lx", form->text, i,
			         (unsigned long)got.word[i], (unsigned long)expected.word[i]);
	for (unsigned i = 0; i < 4; i++)
		if (memcmp(expected.vector[i], got.vector[i], 32) != 0)
			fail_msg("%s: %%ymm%u differs", form->text, i);
	for (unsigned i = 0; i < AREA; i++)
		if (expected_area[i] != m->memory[i])
			fail_msg("%s: register %d is %#x, should be %#x", form->text,
			         (int)i - (int)MIDDLE, m->memory[i], expected_area[i]);
	if (memcmp(expected_ordinary, ordinary, sizeof(ordinary)) != 0)
		fail_msg("%s: ordinary memory differs", form->text);
}

static void check_table(const struct form *from, const struct form *to)
{
	uint8_t *registers = model_map(0, 0, MODEL_BAR0_SIZE, PROT_READ | PROT_WRITE);

	for (const struct form *form = from; form < to; form++)
		for (unsigned round = 0; round < 12; round++)
			check_form(form, registers);
	model_unmap(registers, MODEL_BAR0_SIZE);
}

static void test_forms(void **state)
{
	assert_true(__stop_form_table - __start_form_table > 200);
	check_table(__start_form_table, __stop_form_table);
}

static void test_forms_avx512(void **state)
{
	if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw")) {
		print_message("SKIP: the processor has no AVX-512\n");
		skip();
	}
	check_table(__start_form512_table, __stop_form512_table);
}

/* Sizes and alignment of what reaches the device. */
static void test_accesses(void **state)
{
	volatile uint8_t *r = model_map(0, 0, MODEL_BAR0_SIZE, PROT_READ | PROT_WRITE);
	struct model_state *m = model_state();

	*(volatile uint32_t *)(r + 0x14) = 0x460001;
	assert_int_equal(m->last_write.offset, 0x14);
	assert_int_equal(m->last_write.size, 4);
	assert_int_equal(m->last_write.value, 0x460001);
	(void)*(volatile uint64_t *)(r + 0x20);
	assert_int_equal(m->last_read.offset, 0x20);
	assert_int_equal(m->last_read.size, 8);
	(void)*(volatile uint16_t *)(r + 0xfffe);
	assert_int_equal(m->last_read.offset, 0xfffe);
	/* An unaligned one comes in naturally aligned pieces. */
	atomic_store(&m->writes, 0);
	__asm__ volatile("movl %0, 1(%1)" : : "r"(0x11223344), "r"(r) : "memory");
	assert_int_equal(atomic_load(&m->writes), 3);
	/* Sixteen bytes are two of eight, and across pages too. */
	atomic_store(&m->reads, 0);
	__asm__ volatile("movups (%0), %%xmm0" : : "r"(r + 0xff8) : "xmm0");
	assert_int_equal(atomic_load(&m->reads), 2);
	model_unmap((void *)(uintptr_t)r, MODEL_BAR0_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_forms_avx512),
		cmocka_unit_test(test_accesses),
	};

	if (!__builtin_cpu_supports("avx2")) {
		print_message("SKIP: the processor has no AVX2\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
