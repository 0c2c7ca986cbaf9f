/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registry of register mappings: kinds of pages, aliases, pieces left by munmap,
 * mprotect and mremap, MAP_FIXED, and accesses across the ends of all of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/fdtable.h"
#include "core/file.h"
#include "core/hostfd.h"
#include "core/user.h"
#include "inject/signals.h"
#include "inject/x86_64/guarded.h"
#include "memory/mmio.h"
#include "mmio_model.h"

#define RW   (PROT_READ | PROT_WRITE)
#define PAGE MODEL_PAGE

typedef uint64_t __attribute__((aligned(1))) unaligned_uint64;

static uint32_t load(const void *address)
{
	return *(const volatile uint32_t *)address;
}

static void store(void *address, uint32_t value)
{
	*(volatile uint32_t *)address = value;
	__asm__ volatile("" : : : "memory");
}

static unsigned reads(void)
{
	return atomic_exchange(&model_state()->reads, 0);
}

static unsigned writes(void)
{
	return atomic_exchange(&model_state()->writes, 0);
}

static sigjmp_buf escape;
static siginfo_t seen;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	seen = *info;
	siglongjmp(escape, 1);
}

/* si_code of the client's own fault that `action` causes, or 0. */
#define FAULT(action)                                                                       \
	({                                                                                  \
		struct sigaction act_ = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}; \
		seen.si_code = 0;                                                           \
		assert_int_equal(signals_action(SIGSEGV, &act_, NULL), 0);                  \
		if (sigsetjmp(escape, 1) == 0) {                                            \
			action;                                                             \
		}                                                                           \
		seen.si_code;                                                               \
	})

static void test_kinds(void **state)
{
	uint8_t *m = model_map(2, 0, BAR2_PAGES * PAGE, RW);
	uint8_t *bar = standin_bar_memory(model_device(), 2);

	reads(), writes();
	/* SHADOW: loads are memory, stores reach the model. */
	bar[8] = 0x42;
	assert_int_equal(load(m + 8), 0x42);
	assert_int_equal(reads(), 0);
	store(m + 8, 0x77);
	assert_int_equal(writes(), 1);
	assert_int_equal(load(m + 8), 0x77);
	/* DOORBELL, idle: the store reaches the model and the memory. */
	store(m + BAR2_DOORBELL * PAGE + 4, 9);
	assert_int_equal(writes(), 1);
	assert_int_equal(model_state()->seen[1], 9);
	/* RAM: nobody is called. */
	store(m + BAR2_RAM * PAGE, 5);
	assert_int_equal(load(m + BAR2_RAM * PAGE), 5);
	assert_int_equal(bar[BAR2_RAM * PAGE], 5);
	assert_int_equal(reads() + writes(), 0);
	/* TRAP: everything. */
	store(m + BAR2_TRAP * PAGE + 16, 6);
	assert_int_equal(load(m + BAR2_TRAP * PAGE + 16), 6);
	assert_int_equal(reads(), 1);
	assert_int_equal(writes(), 1);
	/* Eight bytes across two kinds of pages: half in memory, half in a register. */
	store(m + BAR2_TRAP * PAGE, 0x11111111);
	store(m + BAR2_TRAP * PAGE - 4, 0x22222222);
	assert_true(*(volatile unaligned_uint64 *)(m + BAR2_TRAP * PAGE - 4) == 0x1111111122222222);
	*(volatile unaligned_uint64 *)(m + BAR2_TRAP * PAGE - 4) = 0x3333333344444444;
	assert_int_equal(load(m + BAR2_TRAP * PAGE), 0x33333333);
	assert_int_equal(load(m + BAR2_TRAP * PAGE - 4), 0x44444444);
	model_unmap(m, BAR2_PAGES * PAGE);
	assert_false(mmio_any());
}

static void test_refused(void **state)
{
	struct map_request request = {.size = PAGE, .protection = RW, .flags = MAP_SHARED};

	mmio_set_trapping(false);
	assert_int_equal(mmio_map(model_device(), 0, 0, &request), -ENODEV);
	assert_int_equal(mmio_map(model_device(), 2, BAR2_DOORBELL * PAGE, &request), -ENODEV);
	assert_int_equal(mmio_map(model_device(), 2, BAR2_RAM * PAGE, &request), 0);
	mmio_set_trapping(true);
	model_unmap(request.ret_address, PAGE);
}

static void test_aliases(void **state)
{
	uint8_t *a = model_map(0, 0, 4 * PAGE, RW);
	uint8_t *b = model_map(0, PAGE, PAGE, RW);
	uint8_t *c = model_map(0, 0, PAGE, PROT_WRITE);
	uint8_t *d = model_map(0, 0, PAGE, PROT_READ);

	store(a + PAGE + 8, 0x1234);
	assert_int_equal(load(b + 8), 0x1234);
	store(c + 12, 0x99);
	assert_int_equal(load(a + 12), 0x99);
	/* What may be written may be read, on x86. */
	assert_int_equal(load(c + 12), 0x99);
	assert_int_equal(load(d + 12), 0x99);
	writes();
	assert_int_equal(FAULT(store(d + 12, 1)), SEGV_ACCERR);
	assert_ptr_equal(seen.si_addr, d + 12);
	assert_int_equal(writes(), 0);
	assert_int_equal(load(a + 12), 0x99);
	model_unmap(a, 4 * PAGE);
	assert_int_equal(load(b + 8), 0x1234);
	model_unmap(b, PAGE);
	model_unmap(c, PAGE);
	model_unmap(d, PAGE);
}

static void test_partial_unmap(void **state)
{
	uint8_t *m = model_map(0, 0, 8 * PAGE, RW);

	model_unmap(m + 2 * PAGE, 2 * PAGE);
	store(m + PAGE + 4, 1);
	assert_int_equal(model_state()->last_write.offset, PAGE + 4);
	store(m + 4 * PAGE + 4, 2);
	assert_int_equal(model_state()->last_write.offset, 4 * PAGE + 4);
	assert_int_equal(FAULT(load(m + 3 * PAGE)), SEGV_MAPERR);
	assert_ptr_equal(seen.si_addr, m + 3 * PAGE);
	/* An access that begins in a register and ends in nothing is the client's fault. */
	assert_int_equal(FAULT(*(volatile unaligned_uint64 *)(m + 2 * PAGE - 4)), SEGV_MAPERR);
	assert_ptr_equal(seen.si_addr, m + 2 * PAGE);
	writes();
	assert_int_equal(FAULT(*(volatile unaligned_uint64 *)(m + 2 * PAGE - 4) = 1), SEGV_MAPERR);
	assert_int_equal(writes(), 0);
	/* From nothing into a register. */
	assert_int_equal(FAULT(*(volatile unaligned_uint64 *)(m + 4 * PAGE - 4)), SEGV_MAPERR);
	assert_false(mmio_overlaps(m + 2 * PAGE, 2 * PAGE));
	assert_true(mmio_overlaps(m + PAGE, 2 * PAGE));
	model_unmap(m, 8 * PAGE);
	assert_false(mmio_any());
}

static void test_mprotect(void **state)
{
	uint8_t *m = model_map(0, 0, 4 * PAGE, RW);
	uint8_t *s = model_map(2, 0, BAR2_PAGES * PAGE, RW);

	assert_int_equal(mmio_protect(m + PAGE, PAGE, PROT_READ), 0);
	store(m + 4, 1);
	store(m + 2 * PAGE, 3);
	(void)load(m + PAGE);
	assert_int_equal(FAULT(store(m + PAGE, 2)), SEGV_ACCERR);
	assert_int_equal(mmio_protect(m + PAGE, PAGE, PROT_NONE), 0);
	assert_int_equal(FAULT(load(m + PAGE)), SEGV_ACCERR);
	assert_int_equal(mmio_protect(m, 4 * PAGE, RW), 0);
	store(m + PAGE, 0x55);
	assert_int_equal(load(m + PAGE), 0x55);
	/* A trapped page stays trapped whatever is asked. */
	reads();
	(void)load(m);
	assert_int_equal(reads(), 1);
	assert_int_equal(mmio_protect(s + BAR2_RAM * PAGE, PAGE, PROT_READ), 0);
	(void)load(s + BAR2_RAM * PAGE);
	assert_int_equal(FAULT(store(s + BAR2_RAM * PAGE, 1)), SEGV_ACCERR);
	assert_int_equal(mmio_protect(s, BAR2_PAGES * PAGE, RW), 0);
	store(s + BAR2_RAM * PAGE, 1);
	writes();
	store(s + 8, 0x21);
	assert_int_equal(writes(), 1);
	/* A hole ends it with ENOMEM, after what came before. */
	model_unmap(m + 2 * PAGE, PAGE);
	assert_int_equal(mmio_protect(m, 4 * PAGE, PROT_READ), -ENOMEM);
	assert_int_equal(FAULT(store(m, 1)), SEGV_ACCERR);
	assert_int_equal(mmio_protect(m + 1, PAGE, RW), -EINVAL);
	model_unmap(m, 4 * PAGE);
	model_unmap(s, BAR2_PAGES * PAGE);
}

static void test_map_fixed(void **state)
{
	uint8_t *reserve =
		host_mmap(NULL, 16 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct map_request request = {
		.address = reserve + 4 * PAGE,
		.size = 4 * PAGE,
		.protection = RW,
		.flags = MAP_SHARED | MAP_FIXED,
	};
	uint8_t *m = reserve + 4 * PAGE;

	assert_int_equal(mmio_map(model_device(), 0, 0, &request), 0);
	assert_ptr_equal(request.ret_address, m);
	store(m + 4, 0x31);
	/* Registers over registers: the second page now is the ninth. */
	request.address = m + PAGE;
	request.size = PAGE;
	assert_int_equal(mmio_map(model_device(), 0, 8 * PAGE, &request), 0);
	store(m + PAGE + 8, 0x32);
	assert_int_equal(model_state()->last_write.offset, 8 * PAGE + 8);
	store(m + 2 * PAGE + 8, 0x33);
	assert_int_equal(model_state()->last_write.offset, 2 * PAGE + 8);
	/* Memory over registers, as the wrapper of mmap does it. */
	mmio_unmapped(m, PAGE);
	host_mmap(m, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	writes();
	store(m, 7);
	assert_int_equal(load(m), 7);
	assert_int_equal(writes(), 0);
	/* From memory into a register in one access: both sides get their half. */
	*(volatile unaligned_uint64 *)(m + PAGE - 4) = 0x0102030405060708;
	assert_int_equal(load(m + PAGE - 4), 0x05060708);
	assert_int_equal(load(m + PAGE), 0x01020304);
	assert_int_equal(model_state()->last_read.offset, 8 * PAGE);
	model_unmap(reserve, 16 * PAGE);
}

static void test_moved(void **state)
{
	uint8_t *m = model_map(0, 0, 4 * PAGE, RW);
	uint8_t *to = host_mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_equal(mremap(m + PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to),
			 to);
	mmio_moved(m + PAGE, 2 * PAGE, to, 2 * PAGE);
	store(to + 4, 1);
	assert_int_equal(model_state()->last_write.offset, PAGE + 4);
	store(m + 3 * PAGE, 1);
	assert_int_equal(model_state()->last_write.offset, 3 * PAGE);
	assert_false(mmio_overlaps(m + PAGE, 2 * PAGE));
	assert_ptr_equal(mremap(to, 2 * PAGE, PAGE, 0), to);
	mmio_moved(to, 2 * PAGE, to, PAGE);
	assert_false(mmio_overlaps(to + PAGE, PAGE));
	store(to, 1);
	model_unmap(m, 4 * PAGE);
	model_unmap(to, 4 * PAGE);
	assert_false(mmio_any());
}

static int released;

static void note_release(struct file *f)
{
	released++;
}

/* A mapping keeps the file open: its last piece lets go of it. */
static void test_keeps_file(void **state)
{
	static const struct file_ops ops = {.kind = "test", .release = note_release};
	int fd = file_install(&ops, NULL, O_RDWR, 0);
	struct map_request request = {.size = 4 * PAGE, .protection = RW, .flags = MAP_SHARED};
	uint8_t *m;

	assert_true(fd >= 0);
	request.file = file_get(fd);
	assert_int_equal(mmio_map(model_device(), 0, 0, &request), 0);
	m = request.ret_address;
	file_put(request.file);
	close(fd);
	fdtable_forget(fd);
	model_unmap(m + PAGE, PAGE);
	assert_int_equal(mmio_protect(m + 3 * PAGE, PAGE, PROT_READ), 0);
	model_unmap(m, PAGE);
	model_unmap(m + 2 * PAGE, PAGE);
	assert_int_equal(released, 0);
	model_unmap(m + 3 * PAGE, PAGE);
	assert_int_equal(released, 1);
}

/* String instructions that run into and out of registers. */
static void test_strings_across(void **state)
{
	uint8_t *reserve = host_mmap(NULL, 3 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct map_request request = {
		.address = reserve + PAGE,
		.size = PAGE,
		.protection = RW,
		.flags = MAP_SHARED | MAP_FIXED,
	};
	uint8_t *from = reserve + PAGE - 100, *to;
	unsigned long count = 300 + PAGE;
	uint8_t copy[300 + PAGE];

	assert_int_equal(mmio_map(model_device(), 0, 0, &request), 0);
	for (unsigned i = 0; i < PAGE; i++)
		model_state()->memory[i] = (uint8_t)(i * 7);
	memset(reserve, 0xaa, PAGE);
	memset(reserve + 2 * PAGE, 0xbb, PAGE);
	to = copy;
	__asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
	assert_int_equal(count, 0);
	assert_int_equal(copy[99], 0xaa);
	assert_memory_equal(copy + 100, model_state()->memory, PAGE);
	assert_int_equal(copy[100 + PAGE], 0xbb);
	/* Stores that run off the end: what was done is done, and the rest faults. */
	host_munmap(reserve + 2 * PAGE, PAGE);
	to = reserve + 2 * PAGE - 8;
	writes();
	assert_int_equal(FAULT({
				 count = 5;
				 __asm__ volatile("rep stosl"
						  : "+D"(to), "+c"(count)
						  : "a"(0x5a)
						  : "memory");
			 }),
			 SEGV_MAPERR);
	assert_int_equal(writes(), 2);
	assert_ptr_equal(seen.si_addr, reserve + 2 * PAGE);
	model_unmap(reserve, 3 * PAGE);
}

static void guarded_copies_one_by_one(void)
{
	uint8_t *m = host_mmap(NULL, 3 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t buffer[2 * PAGE];

	host_munmap(m + PAGE, PAGE);
	memset(m, 0x17, PAGE);
	for (size_t size = 1; size <= PAGE; size += size < 300 ? 1 : 73) {
		assert_int_equal(copy_from_user(buffer, m + PAGE - size, size), 0);
		assert_int_equal(buffer[size - 1], 0x17);
		assert_int_equal(copy_to_user(m + PAGE - size, buffer, size), 0);
		assert_int_equal(copy_from_user(buffer, m + PAGE - size + 1, size), -EFAULT);
		assert_int_equal(copy_to_user(m + PAGE - size + 1, buffer, size), -EFAULT);
		assert_int_equal(copy_from_user(buffer, NULL, size), -EFAULT);
	}
	assert_int_equal(copy_from_user(buffer, (void *)0xdead000000000000, 8), -EFAULT);
	assert_int_equal(copy_from_user(buffer, m, 2 * PAGE), -EFAULT);
	assert_int_equal(host_mprotect(m, PAGE, PROT_READ), 0);
	assert_int_equal(copy_to_user(m, buffer, 64), -EFAULT);
	host_munmap(m, 3 * PAGE);
}

/* Many at once, one of which goes one byte too far. */
static void guarded_copies_at_once(void)
{
	uint8_t *m = host_mmap(NULL, 3 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static uint8_t from[5000], to[5000];
	struct user_copy copies[5];

	host_munmap(m + 2 * PAGE, PAGE);
	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i * 7 + i / 256);
	for (size_t size = 1; size < sizeof(from); size += size < 300 ? 1 : 97) {
		size_t here = size < PAGE ? size : PAGE;

		for (unsigned bad = 0; bad < 6; bad++) {
			memset(to, 0, sizeof(to));
			for (unsigned i = 0; i < 5; i++)
				copies[i] = (struct user_copy){m + 2 * PAGE - here + (i == bad),
							       from + i, here};
			assert_int_equal(copy_guarded_many(copies, 5), bad < 5 ? bad : 5);
			if (bad < 5)
				continue;
			assert_memory_equal(m + 2 * PAGE - here, from + 4, here);
			/* And the other direction, with the end of another one in between. */
			copies[0] = (struct user_copy){to, m + 2 * PAGE - here, here};
			copies[1] = (struct user_copy){to + here, from, 8};
			copies[2] = (struct user_copy){to, m + 2 * PAGE - here + 1, here};
			assert_int_equal(copy_guarded_many(copies, 3), 2);
			assert_memory_equal(to + here, from, 8);
			assert_int_equal(to[here - 1], from[4 + here - 1]);
		}
	}
	assert_int_equal(copy_guarded_many(NULL, 0), 0);
	host_munmap(m, 3 * PAGE);
}

/* As the processor does them, and as one without AVX2. */
static void test_guarded_copies(void **state)
{
	uint8_t wide;

	model_device();
	wide = guarded_wide;
	guarded_copies_one_by_one();
	guarded_copies_at_once();
	guarded_wide = 0;
	guarded_copies_one_by_one();
	guarded_copies_at_once();
	guarded_wide = wide;
}

/* A file that is shorter than its mapping: SIGBUS. */
static void test_guarded_bus_error(void **state)
{
	int fd = memfd_create("short", MFD_CLOEXEC);
	uint8_t *m, buffer[64];

	model_device();
	assert_int_equal(ftruncate(fd, PAGE), 0);
	m = host_mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
	assert_int_equal(copy_from_user(buffer, m, 64), 0);
	assert_int_equal(copy_from_user(buffer, m + PAGE, 64), -EFAULT);
	host_munmap(m, 2 * PAGE);
	close(fd);
}

/* What can't be emulated ends the client and says so. */
static void test_unknown_instruction(void **state)
{
	uint8_t *m = model_map(0, 0, PAGE, RW);
	char text[300] = "";
	int out[2], status;
	pid_t child;

	assert_int_equal(pipe(out), 0);
	child = fork();
	if (child == 0) {
		dup2(out[1], 2);
		__asm__ volatile("fxsave (%0)" : : "r"(m) : "memory");
		_exit(0);
	}
	close(out[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(read(out[0], text, sizeof(text) - 1) > 0);
	close(out[0]);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	assert_non_null(strstr(text, "fxsave"));
	model_unmap(m, PAGE);
}

static int setup(void **state)
{
	model_device();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_partial_unmap),
		cmocka_unit_test(test_mprotect),
		cmocka_unit_test(test_map_fixed),
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_keeps_file),
		cmocka_unit_test(test_strings_across),
		cmocka_unit_test(test_guarded_copies),
		cmocka_unit_test(test_guarded_bus_error),
		cmocka_unit_test(test_unknown_instruction),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
