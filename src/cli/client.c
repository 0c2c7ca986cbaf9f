/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A parent that nobody notices.
 *
 * Signals are blocked before the fork and taken with sigwaitinfo(), so nothing can be lost
 * or come too early; the child gets the original mask and dispositions back before exec.
 * The client stays in our process group: what the terminal sends (^C, ^\, hang-up) reaches
 * it directly and is not forwarded; what a process sends to us is.  When the client stops
 * itself, we stop too, so that a shell with job control notices.
 */
#include "cli/client.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

/* How long a client may look stopped before it is believed: see mirror_stop(). */
#define STOP_SETTLE_NS 20000000

/* Left alone: what can't be caught, job control, and faults of our own. */
static const int not_forwarded[] = {SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT, SIGSEGV,
				    SIGBUS,  SIGFPE,  SIGILL,  SIGTRAP, SIGSYS,  SIGABRT};

struct inherited {
	sigset_t mask;
	struct sigaction child;
};

static void take_signals(struct inherited *inherited, sigset_t *taken)
{
	struct sigaction act = {.sa_handler = SIG_DFL};

	sigfillset(taken);
	for (size_t i = 0; i < sizeof(not_forwarded) / sizeof(not_forwarded[0]); i++)
		sigdelset(taken, not_forwarded[i]);
	sigprocmask(SIG_BLOCK, taken, &inherited->mask);
	/* If it is ignored, ended children vanish before we can ask for their status. */
	sigaction(SIGCHLD, &act, &inherited->child);
}

__attribute__((noreturn)) static void become(char **argv, const struct inherited *inherited,
					     int report)
{
	int error;

	sigaction(SIGCHLD, &inherited->child, NULL);
	sigprocmask(SIG_SETMASK, &inherited->mask, NULL);
	execvp(argv[0], argv);
	error = errno;
	while (write(report, &error, sizeof(error)) < 0 && errno == EINTR)
		;
	_exit(EXIT_NOT_FOUND);
}

/* Whether a person's shell is watching us in the foreground of a terminal. */
static bool in_foreground(void)
{
	int tty = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
	bool foreground = tty >= 0 && tcgetpgrp(tty) == getpgrp();

	if (tty >= 0)
		close(tty);
	return foreground;
}

/*
 * The client stopped.  If the terminal stopped the whole group we were stopped as well and
 * by now all are running again, perhaps the client a moment after us: so look twice.
 */
static void mirror_stop(pid_t client)
{
	const struct timespec settle = {.tv_nsec = STOP_SETTLE_NS};
	siginfo_t info = {0};

	nanosleep(&settle, NULL);
	if (waitid(P_PID, (id_t)client, &info, WSTOPPED | WNOHANG) < 0 || info.si_pid == 0)
		return;
	if (!in_foreground())
		return;
	raise(SIGSTOP);
	kill(client, SIGCONT);
}

/* As the first process of a container we inherit orphans, which nobody else can bury. */
static void bury_orphans(pid_t client)
{
	siginfo_t info;

	while (info.si_pid = 0, waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
					info.si_pid && info.si_pid != client)
		waitpid(info.si_pid, NULL, WNOHANG);
}

/* True when the client ended, with its status in *ret_status. */
static bool look_at_client(pid_t client, int *ret_status)
{
	siginfo_t info = {0};
	int status;

	if (getpid() == 1)
		bury_orphans(client);
	if (waitpid(client, &status, WNOHANG) == client) {
		*ret_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		return true;
	}
	if (waitid(P_PID, (id_t)client, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 && info.si_pid)
		mirror_stop(client);
	return false;
}

static void forward(pid_t client, const siginfo_t *info)
{
	/* The terminal's reach the client directly; the client's own are not echoed. */
	if (info->si_code == SI_KERNEL || info->si_pid == client)
		return;
	if (info->si_code == SI_QUEUE)
		sigqueue(client, info->si_signo, info->si_value);
	else
		kill(client, info->si_signo);
}

static int wait_for(pid_t client, const sigset_t *taken)
{
	siginfo_t info;
	int status;

	while (!look_at_client(client, &status)) {
		if (sigwaitinfo(taken, &info) < 0)
			continue;
		if (info.si_signo != SIGCHLD)
			forward(client, &info);
	}
	return status;
}

int client_run(char **argv, void (*started)(void))
{
	struct inherited inherited;
	int report[2], error = 0;
	sigset_t taken;
	pid_t client;
	ssize_t n;

	if (pipe2(report, O_CLOEXEC) < 0) {
		complain("pipe: %s", strerror(errno));
		return EXIT_NOT_EXECUTABLE;
	}
	take_signals(&inherited, &taken);
	client = fork();
	if (client < 0) {
		complain("fork: %s", strerror(errno));
		return EXIT_NOT_EXECUTABLE;
	}
	if (client == 0)
		become(argv, &inherited, report[1]);
	close(report[1]);
	do {
		n = read(report[0], &error, sizeof(error));
	} while (n < 0 && errno == EINTR);
	close(report[0]);
	if (n == sizeof(error)) {
		waitpid(client, NULL, 0);
		complain("%s: %s", argv[0],
			 error == ENOENT && !strchr(argv[0], '/') ? "command not found"
								  : strerror(error));
		return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
	}
	if (started)
		started();
	return wait_for(client, &taken);
}
