/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signals and userfaultfd, in a process that has no handler at first and gets one while threads
 * wait for pages and hand them out.
 *
 *	uffd-signals end	a signal without a handler ends a process whose threads wait
 *	uffd-signals first	the first handler comes while a thread waits
 *	uffd-signals many	and many signals, while many pages do
 *	uffd-signals limit	the same of a limit that raises a signal
 *
 * A line for each check.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "need.h"

enum { PAGE = 4096, PAGES = 4096, THREADS = 3 };

static int uffd;
static char *memory;
static atomic_int handled;
static _Atomic(pthread_t) handled_by;
static bool bad;

static void check(const char *what, bool is)
{
	printf("%s %s\n", is ? "ok" : "FAILED", what);
	fflush(stdout);
	bad = bad || !is;
}

static uint64_t word_of(size_t page)
{
	return (page + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static bool is_right(size_t page)
{
	return *(volatile uint64_t *)(memory + page * PAGE) == word_of(page);
}

static void start(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};

	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	NEED(memory != MAP_FAILED);
	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	NEED(uffd >= 0 && ioctl(uffd, UFFDIO_API, &api) == 0);
	reg.range = (struct uffdio_range){(uintptr_t)memory, PAGES * PAGE};
	NEED(ioctl(uffd, UFFDIO_REGISTER, &reg) == 0);
}

/* The page of the next message. */
static size_t next_page(void)
{
	struct pollfd p = {uffd, POLLIN, 0};
	struct uffd_msg message;
	ssize_t n;

	do {
		while (poll(&p, 1, -1) < 0)
			NEED(errno == EINTR);
		n = read(uffd, &message, sizeof(message));
	} while (n < 0 && errno == EAGAIN);
	NEED(n == sizeof(message));
	return (message.arg.pagefault.address - (uintptr_t)memory) / PAGE;
}

static void give(size_t page)
{
	uint64_t content[PAGE / sizeof(uint64_t)] = {word_of(page)};
	struct uffdio_copy copy = {
		.dst = (uintptr_t)memory + page * PAGE, .src = (uintptr_t)content, .len = PAGE};

	/* One that has been given, to who was interrupted and asked again, is given once. */
	NEED(ioctl(uffd, UFFDIO_COPY, &copy) == 0 || errno == EEXIST);
}

static void *use_one(void *page)
{
	return (void *)(uintptr_t)is_right((size_t)(uintptr_t)page);
}

/* ---- without handlers ---- */

/* In a child, whose threads wait for a page. */
static void wait_and_die(void)
{
	pthread_t threads[THREADS];
	size_t got = 0;

	start();
	for (size_t i = 0; i < THREADS; i++)
		NEED(pthread_create(&threads[i], NULL, use_one, (void *)i) == 0);
	for (size_t i = 0; i < THREADS; i++)
		got |= (size_t)1 << next_page();
	NEED(got == (1 << THREADS) - 1);
	kill(getpid(), SIGTERM);
	pause();
}

static void check_default_action(void)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		wait_and_die();
	NEED(waitpid(child, &status, 0) == child);
	check("a signal ends a process whose threads wait",
	      WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

/* ---- the first handler ---- */

static void on_signal(int signal)
{
	(void)signal;
	atomic_store(&handled_by, pthread_self());
	atomic_fetch_add(&handled, 1);
}

static void check_first_handler(void)
{
	const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	pthread_t thread;
	void *right;

	start();
	NEED(pthread_create(&thread, NULL, use_one, (void *)7) == 0);
	NEED(next_page() == 7);
	NEED(sigaction(SIGUSR1, &action, NULL) == 0);
	NEED(pthread_kill(thread, SIGUSR1) == 0);
	while (!atomic_load(&handled))
		usleep(1000);
	check("a handler that came later runs while its thread waits",
	      pthread_equal(atomic_load(&handled_by), thread));
	give(7);
	NEED(pthread_join(thread, &right) == 0);
	check("and the thread gets its page", right);
}

/* ---- many ---- */

static void *use_many(void *first)
{
	bool right = true;

	for (size_t page = (size_t)(uintptr_t)first; page < PAGES - 1; page += THREADS)
		right = is_right(page) && right;
	return (void *)(uintptr_t)right;
}

static void *give_many(void *unused)
{
	size_t page;

	while ((page = next_page()) != PAGES - 1)
		give(page);
	give(page);
	return unused;
}

/* The timer's first signals come while all are at work. */
static void check_many(void)
{
	const struct sigaction action = {.sa_handler = on_signal};
	const struct itimerval often = {{0, 300}, {0, 300}}, never = {0};
	pthread_t threads[THREADS], giver;
	bool right = true;
	int before = atomic_load(&handled);
	void *its;

	start();
	NEED(pthread_create(&giver, NULL, give_many, NULL) == 0);
	for (size_t i = 0; i < THREADS; i++)
		NEED(pthread_create(&threads[i], NULL, use_many, (void *)(16 + i)) == 0);
	NEED(sigaction(SIGALRM, &action, NULL) == 0);
	NEED(setitimer(ITIMER_REAL, &often, NULL) == 0);
	for (size_t i = 0; i < THREADS; i++) {
		NEED(pthread_join(threads[i], &its) == 0);
		right = its && right;
	}
	while (atomic_load(&handled) == before)
		usleep(1000);
	NEED(setitimer(ITIMER_REAL, &never, NULL) == 0);
	right = is_right(PAGES - 1) && right;
	NEED(pthread_join(giver, NULL) == 0);
	check("signals come while pages do", right);
}

/* A limit for the size of files is none for memory. */
static void check_limit(void)
{
	const struct rlimit limit = {PAGE, PAGE};

	start();
	NEED(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	give(8);
	give(9);
	check("a limit for files", is_right(8) && is_right(9));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} checks[] = {
		{"end", check_default_action},
		{"first", check_first_handler},
		{"many", check_many},
		{"limit", check_limit},
	};

	for (size_t i = 0; argc == 2 && i < sizeof(checks) / sizeof(checks[0]); i++) {
		if (strcmp(argv[1], checks[i].name) != 0)
			continue;
		checks[i].run();
		return bad;
	}
	fprintf(stderr, "uffd-signals end|first|many|limit\n");
	return 2;
}
