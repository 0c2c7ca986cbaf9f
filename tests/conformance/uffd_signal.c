// SPDX-License-Identifier: BSD-3-Clause
/* What a thread that waits may be doing: in handlers, with signals blocked, by any instruction. */
#include <setjmp.h>
#include <signal.h>

#include "uffd.h"

static char *m;
static int ran[2]; /* a byte for each handler that ran */

static void note(char c)
{
	if (write(ran[1], &c, 1) != 1)
		_exit(3);
}

static void await_handler(const char *what)
{
	char c = 0;

	if (read(ran[0], &c, 1) != 1)
		give_up(what, -errno);
	say_text(what, "%c", c);
}

static void handle(int number, void (*handler)(int), int flags)
{
	struct sigaction a = {.sa_handler = handler, .sa_flags = flags};

	sigemptyset(&a.sa_mask);
	sigaction(number, &a, NULL);
}

static void on_signal(int number)
{
	note(number == SIGUSR1 ? '1' : '2');
}

/* ---- a handler that leaves the access behind ---- */

static sigjmp_buf out;

static void on_leave(int number)
{
	note('l');
	siglongjmp(out, 1);
}

static long run_leaving(struct job *job)
{
	if (sigsetjmp(out, 1) == 0)
		(void)*(volatile char *)job->address;
	else
		snprintf(job->outcome, sizeof(job->outcome), "left");
	return 0;
}

/* ---- a handler that faults itself ---- */

static unsigned char seen_in_handler;

static void on_fault_inside(int number)
{
	seen_in_handler = (unsigned char)*(volatile char *)(m + 3 * PAGE);
	note('f');
}

static long run_raise(struct job *job)
{
	raise(SIGUSR1);
	snprintf(job->outcome, sizeof(job->outcome), "%02x", seen_in_handler);
	return 0;
}

/* ---- signals blocked ---- */

static long run_blocked(struct job *job)
{
	sigset_t all, then;
	unsigned char byte;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	byte = (unsigned char)*(volatile char *)job->address;
	pthread_sigmask(SIG_BLOCK, NULL, &then);
	snprintf(job->outcome, sizeof(job->outcome), "%02x, SEGV %d, BUS %d, USR1 %d", byte,
		 sigismember(&then, SIGSEGV), sigismember(&then, SIGBUS),
		 sigismember(&then, SIGUSR1));
	pthread_sigmask(SIG_UNBLOCK, &all, NULL);
	return 0;
}

/* ---- a stack of its own for handlers ---- */

static char *stack;
static volatile bool on_stack;

static void on_alternate(int number)
{
	char here;

	on_stack = &here >= stack && &here < stack + 16 * PAGE;
	note('a');
}

static long run_alternate(struct job *job)
{
	stack_t ss = {.ss_sp = stack, .ss_size = 16 * PAGE}, then = {0};
	unsigned char byte;

	sigaltstack(&ss, NULL);
	byte = (unsigned char)*(volatile char *)job->address;
	sigaltstack(NULL, &then);
	snprintf(job->outcome, sizeof(job->outcome), "%02x, handler %s, then the same %d", byte,
		 on_stack ? "there" : "elsewhere", then.ss_sp == stack && then.ss_flags == 0);
	return 0;
}

/* A disposition of the client's for what its own mistakes raise; faults that wait are none. */
static void on_segv(int number, siginfo_t *info, void *context)
{
	note('s');
	siglongjmp(out, 1);
}

static long run_segv(struct job *job)
{
	struct sigaction a = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO}, then;
	unsigned char byte;

	sigaction(SIGSEGV, &a, NULL);
	byte = (unsigned char)*(volatile char *)job->address;
	if (sigsetjmp(out, 1) == 0)
		(void)*(volatile char *)NOWHERE;
	sigaction(SIGSEGV, NULL, &then);
	snprintf(job->outcome, sizeof(job->outcome), "%02x, handler %s", byte,
		 then.sa_sigaction == on_segv ? "as set" : "another");
	signal(SIGSEGV, SIG_DFL);
	return 0;
}

void uffd_area_signals(void)
{
	int fd = uffd_new(UFFD_FEATURE_THREAD_ID);
	struct job *job;

	if (pipe(ran))
		give_up("pipe", -errno);
	m = memory(ANON, 16);
	name_range("m", m, 16);
	must_register(fd, m, 16, MISSING);

	/* Some that are handled, one that is blocked, one that is ignored. */
	handle(SIGUSR1, on_signal, SA_RESTART);
	handle(SIGUSR2, on_signal, 0);
	signal(SIGWINCH, SIG_IGN);
	job = start_read("job", m);
	say_message(fd, "a fault");
	pthread_kill(job->thread, SIGWINCH);
	pthread_kill(job->thread, SIGUSR1);
	await_handler("handler");
	say_message(fd, "after a handler that restarts calls");
	pthread_kill(job->thread, SIGUSR2);
	await_handler("handler");
	say_message(fd, "after one that doesn't");
	say_fdinfo(fd, "one waits");
	copy_byte(fd, m, 0x41, 0);
	say_finished(job, "job");

	handle(SIGUSR1, on_leave, 0);
	job = start("job", run_leaving, m + PAGE, 1, 0, 0);
	say_message(fd, "a fault to be left");
	pthread_kill(job->thread, SIGUSR1);
	await_handler("handler that leaves");
	say_finished(job, "job that left");
	say_fdinfo(fd, "nobody waits");
	say_no_message(fd, "nothing");
	job = start("job", run_leaving, m + PAGE, 1, 0, 0);
	await_pending(fd, 1);
	pthread_kill(job->thread, SIGUSR1);
	await_handler("handler that leaves before the message is read");
	say_finished(job, "job that left");
	say_no_message(fd, "its message is gone");

	handle(SIGUSR1, on_fault_inside, 0);
	job = start("job", run_raise, NULL, 0, 0, 0);
	say_message(fd, "a fault in a handler");
	copy_byte(fd, m + 3 * PAGE, 0x44, 0);
	await_handler("handler that faults");
	say_finished(job, "its job");
	madvise(m + 3 * PAGE, PAGE, MADV_DONTNEED);
	job = start_read("job", m + 4 * PAGE);
	say_message(fd, "a fault to be interrupted by one");
	pthread_kill(job->thread, SIGUSR1);
	say_message(fd, "the one in the handler");
	say_fdinfo(fd, "one waits");
	copy_byte(fd, m + 4 * PAGE, 0x45, 0);
	say_fdinfo(fd, "one waits though the other's page came");
	copy_byte(fd, m + 3 * PAGE, 0x46, 0);
	await_handler("handler");
	say_finished(job, "job");
	say_no_message(fd, "no more");

	job = start("job", run_blocked, m + 5 * PAGE, 1, 0, 0);
	say_message(fd, "a fault with all signals blocked");
	pthread_kill(job->thread, SIGUSR2);
	copy_byte(fd, m + 5 * PAGE, 0x47, 0);
	await_handler("what was blocked comes after all");
	say_finished(job, "job");
	say_no_message(fd, "one message only");

	stack = filled(16, 0);
	handle(SIGUSR1, on_alternate, SA_ONSTACK);
	job = start("job", run_alternate, m + 6 * PAGE, 1, 0, 0);
	say_message(fd, "a fault");
	pthread_kill(job->thread, SIGUSR1);
	await_handler("on a stack of its own");
	say_message(fd, "the fault again");
	copy_byte(fd, m + 6 * PAGE, 0x48, 0);
	say_finished(job, "job");

	job = start("job", run_segv, m + 7 * PAGE, 1, 0, 0);
	say_message(fd, "a fault with a handler of SIGSEGV");
	copy_byte(fd, m + 7 * PAGE, 0x49, 0);
	await_handler("its own mistake");
	say_finished(job, "job");
	signal(SIGSEGV, SIG_IGN);
	job = start("job", run_leaving, m + 8 * PAGE, 1, 0, 0);
	say_message(fd, "a fault with SIGSEGV ignored");
	copy_byte(fd, m + 8 * PAGE, 0x4a, 0);
	say_finished(job, "job");
	close(fd);
}

/* ---- instructions ---- */

static long run_increment(struct job *job)
{
	return __atomic_fetch_add((int *)job->address, 1, __ATOMIC_SEQ_CST);
}

static long run_exchange(struct job *job)
{
	int expected = 77;

	return __atomic_compare_exchange_n((int *)job->address, &expected, 5, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static long run_add(struct job *job)
{
	*(volatile int *)job->address += 2;
	return 0;
}

static long run_wide_read(struct job *job)
{
	uint64_t value;

	memcpy(&value, (const void *)job->address, sizeof(value));
	snprintf(job->outcome, sizeof(job->outcome), "%#lx", (unsigned long)value);
	return 0;
}

static long run_wide_write(struct job *job)
{
	volatile uint64_t *at = (volatile uint64_t *)job->address;

	*at = 0x1122334455667788;
	return 0;
}

static long run_string_copy(struct job *job)
{
	void *to = (void *)job->a, *from = job->address;
	size_t n = job->size;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
	return (long)n;
}

static long run_code(struct job *job)
{
	int (*code)(void);

	memcpy(&code, &job->address, sizeof(code));
	return code();
}

/*
 * Gives page i of m the bytes 0x30 + i as they are missed, until the job is done.  In which order
 * an instruction that needs several of them asks for them is the processor's affair.
 */
static void served(int fd, const char *what, struct job *job)
{
	struct text t = {.length = 0};
	uint64_t flags[16];

	memset(flags, 0xff, sizeof(flags));
	while (!job->done) {
		struct uffd_msg message;
		unsigned page;

		if (read(fd, &message, sizeof(message)) != sizeof(message)) {
			sched_yield();
			continue;
		}
		page = (unsigned)((message.arg.pagefault.address - (uintptr_t)m) / PAGE) % 16;
		flags[page] = message.arg.pagefault.flags;
		copy_byte(fd, m + page * PAGE, 0x30 + page, 0);
	}
	for (unsigned page = 0; page < 16; page++)
		if (flags[page] != ~0UL)
			text_add(&t, " %u with flags %#lx", page, (unsigned long)flags[page]);
	say_text(what, "pages%s", t.data);
	say_finished(job, label("%s, job", what));
}

void uffd_area_instructions(void)
{
	static const unsigned char answer[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42, %eax; ret */
	char *page = memory(ANON, 1);
	int fd = uffd_new(UFFD_FEATURE_EXACT_ADDRESS);
	struct job *job;

	m = memory(ANON, 16);
	name_range("m", m, 16);
	must_register(fd, m, 16, MISSING | WP);
	job = start("job", run_increment, m + 0x20, 4, 0, 0);
	say_message(fd, "locked addition");
	copy_byte(fd, m, 0, 0);
	say_finished(job, "job");
	job = start("job", run_exchange, m + PAGE + 0x24, 4, 0, 0);
	say_message(fd, "compare and exchange");
	copy_byte(fd, m + PAGE, 0, 0);
	say_finished(job, "job");
	job = start("job", run_exchange, m + PAGE + 0x24, 4, 0, 0);
	say_finished(job, "compare and exchange, there");
	do_protect(fd, UFFDIO_WRITEPROTECT, m, 2 * PAGE, UFFDIO_WRITEPROTECT_MODE_WP);
	job = start("job", run_exchange, m + PAGE + 0x24, 4, 0, 0);
	say_message(fd, "compare and exchange that changes nothing, protected");
	do_protect(fd, UFFDIO_WRITEPROTECT, m, 2 * PAGE, 0);
	say_finished(job, "job");
	job = start("job", run_add, m + 2 * PAGE + 0x28, 4, 0, 0);
	/* One instruction or two: the read may fault by itself. */
	(void)take_message(fd);
	copy_byte(fd, m + 2 * PAGE, 0, 0);
	say_finished(job, "addition");

	served(fd, "read across pages", start("job", run_wide_read, m + 4 * PAGE - 4, 8, 0, 0));
	served(fd, "write across pages", start("job", run_wide_write, m + 6 * PAGE - 4, 8, 0, 0));
	say_text("written", "%s", try_read(m + 6 * PAGE - 4));
	copy_byte(fd, m + 7 * PAGE, 0x37, 0);
	served(fd, "string copy",
	       start("job", run_string_copy, m + 8 * PAGE - 16, 32, (long)(m + 10 * PAGE - 8), 0));
	say_text("copied from the first page", "%s", try_read(m + 10 * PAGE - 8));
	say_text("copied from the second", "%s", try_read(m + 10 * PAGE + 8));

	mprotect(m + 11 * PAGE, PAGE, PROT_READ | PROT_EXEC);
	memcpy(page, answer, sizeof(answer));
	job = start("job", run_code, m + 11 * PAGE, 0, 0, 0);
	say_message(fd, "code");
	do_transfer(fd, UFFDIO_COPY, m + 11 * PAGE, page, PAGE, 0, NULL);
	say_finished(job, "it answers");
	say_no_message(fd, "no more");
	close(fd);
}

/* ---- a thread's whole stack ---- */

static void *deep(void *argument)
{
	volatile char room[5 * PAGE];

	memset((void *)room, 1, sizeof(room));
	return (void *)(long)(room[17] + room[5 * PAGE - 1]);
}

static long run_deep(struct job *job)
{
	pthread_attr_t attributes;
	pthread_t thread;
	void *value = NULL;

	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, job->address, job->size);
	if (pthread_create(&thread, &attributes, deep, NULL))
		return -1;
	pthread_join(thread, &value);
	return (long)value;
}

void uffd_area_stack(void)
{
	int fd = uffd_new(0);
	struct job *job;

	m = memory(ANON, 64);
	name_range("m", m, 64);
	must_register(fd, m, 64, MISSING);
	/* Where a thread begins the kernel writes, too, and has others than faults in user mode. */
	copy_byte(fd, m + 63 * PAGE, 0, 0);
	copy_byte(fd, m + 62 * PAGE, 0, 0);
	job = start("job", run_deep, m, 64 * PAGE, 0, 0);
	while (!job->done) {
		struct uffd_msg message;

		if (read(fd, &message, sizeof(message)) != sizeof(message)) {
			sched_yield();
			continue;
		}
		copy_byte(fd, (char *)(uintptr_t)(message.arg.pagefault.address & -PAGE), 0, 0);
	}
	say_finished(job, "a stack of missing pages");
	close(fd);
}
