/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The return from a handler without the kernel: registers, flags, vectors and the red zone are what
 * they were when the access faulted.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "inject/x86_64/context.h"

#define PAGE         4096u
#define ROUNDS       100u
#define FLAG_FIXED   0x0002u
#define FLAGS_LOOKED (FLAGS_ARITHMETIC | FLAG_DF)

struct resume_state {
	uint64_t registers[13];
	uint64_t flags, read, red_zone[16];
	uint8_t vectors[4][32];
};
_Static_assert(offsetof(struct resume_state, vectors) == 248, "as resume_access.S has it");

void resume_access(const struct resume_state *in, struct resume_state *out, const void *page);

static uint8_t *page;
static volatile unsigned handled;
static volatile bool returned; /* from context_resume(): the kernel's way is needed */

/* Vectors and flags are used. */
static void spoil(void)
{
	__asm__ volatile("vpcmpeqd %%ymm0, %%ymm0, %%ymm0\n\t"
			 "vmovdqa %%ymm0, %%ymm7\n\t"
			 "vmovdqa %%ymm0, %%ymm8\n\t"
			 "vmovdqa %%ymm0, %%ymm15\n\t"
			 "cmpq %%rsp, %%rsp" ::
				 : "xmm0", "xmm7", "xmm8", "xmm15", "cc");
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	handled++;
	mprotect(page, PAGE, PROT_READ | PROT_WRITE);
	memcpy(page, (const unsigned *)&handled, sizeof(handled));
	spoil();
	context_resume(context);
	returned = true;
}

static void install(int flags)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | flags};

	/* Nothing is blocked, so there is no mask to be given back. */
	action.sa_flags |= SA_NODEFER;
	assert_int_equal(sigaction(SIGSEGV, &action, NULL), 0);
	handled = 0;
	returned = false;
}

static void fill(struct resume_state *s, unsigned seed)
{
	uint8_t *bytes = (uint8_t *)s;

	for (size_t i = 0; i < sizeof(*s); i++) {
		seed = seed * 1664525u + 1013904223u;
		bytes[i] = (uint8_t)(seed >> 24);
	}
	s->flags = (s->flags & FLAGS_LOOKED) | FLAG_FIXED;
}

static void access_and_compare(unsigned seed)
{
	struct resume_state in, out;

	fill(&in, seed);
	memset(&out, 0, sizeof(out));
	assert_int_equal(mprotect(page, PAGE, PROT_NONE), 0);
	resume_access(&in, &out, page);
	assert_int_equal(out.read, handled);
	assert_memory_equal(out.registers, in.registers, sizeof(in.registers));
	assert_int_equal(out.flags & FLAGS_LOOKED, in.flags & FLAGS_LOOKED);
	assert_memory_equal(out.red_zone, in.red_zone, sizeof(in.red_zone));
	assert_memory_equal(out.vectors, in.vectors, sizeof(in.vectors));
}

static void test_state(void **state)
{
	install(0);
	for (unsigned i = 0; i < ROUNDS; i++)
		access_and_compare(i);
	assert_int_equal(handled, ROUNDS);
#if !defined(__SANITIZE_THREAD__)
	assert_false(returned);
#endif
}

/* There the kernel's way is left to it. */
static void test_alternate_stack(void **state)
{
	static uint8_t stack[65536];
	const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
	const stack_t none = {.ss_flags = SS_DISABLE};

	assert_int_equal(sigaltstack(&alternate, NULL), 0);
	install(SA_ONSTACK);
	access_and_compare(1);
	assert_true(returned);
	assert_int_equal(sigaltstack(&none, NULL), 0);
}

static int group_setup(void **state)
{
	page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return page == MAP_FAILED || !__builtin_cpu_supports("avx2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_alternate_stack),
	};

	return cmocka_run_group_tests(tests, group_setup, NULL);
}
