/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * standin vss: a Hyper-V host that backs a running guest up.  `backup` does what a host does
 * around the command that takes the backup, and thaws whatever happens: when the command ends, when
 * it takes too long, when it can't be run, and when somebody wants this process to end.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/guest.h"

#define WATCHDOG_S 60.0 /* hosts give up a backup after that long */

struct vss {
	struct guest_options guest;
	double watchdog;
	struct standin_hyperv *host;
};

static int request(struct vss *v, unsigned operation)
{
	return guest_status(&v->guest, v->host,
			    standin_hyperv_vss_request(v->host, operation, NULL));
}

static int do_freeze(struct vss *v, char **argv)
{
	return request(v, VSS_OP_FREEZE);
}

static int do_thaw(struct vss *v, char **argv)
{
	return request(v, VSS_OP_THAW);
}

/* ---- backup ---- */

static void end_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGCHLD);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGQUIT);
}

static pid_t start(char **argv, const sigset_t *mask)
{
	pid_t child = fork();

	if (child == 0) {
		sigprocmask(SIG_SETMASK, mask, NULL);
		execvp(argv[0], argv);
		complain("%s: %s", argv[0], strerror(errno));
		_exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
	}
	return child;
}

static void subtract_since(struct timespec *left, const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	left->tv_sec -= now.tv_sec - start->tv_sec;
	left->tv_nsec -= now.tv_nsec - start->tv_nsec;
	for (; left->tv_nsec < 0; left->tv_nsec += 1000000000)
		left->tv_sec--;
	for (; left->tv_nsec >= 1000000000; left->tv_nsec -= 1000000000)
		left->tv_sec++;
	if (left->tv_sec < 0)
		*left = (struct timespec){0};
}

/*
 * Waits for the command, for at most the watchdog's time: whether it has ended, with its
 * status.  A signal for us is one for it.
 */
static bool wait_for_command(const struct vss *v, pid_t child, const sigset_t *set, int *ret_status)
{
	const struct timespec whole = {(time_t)v->watchdog,
				       (long)((v->watchdog - (double)(time_t)v->watchdog) * 1e9)};
	struct timespec begin, left;
	int signal;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (;;) {
		if (waitpid(child, ret_status, WNOHANG) == child)
			return true;
		left = whole;
		subtract_since(&left, &begin);
		signal = sigtimedwait(set, NULL, &left);
		if (signal < 0 && errno == EAGAIN)
			return false;
		if (signal > 0 && signal != SIGCHLD)
			kill(child, signal);
	}
}

static int exit_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* While the guest is frozen: the command's exit status, or another if it was too slow. */
static int run_frozen(struct vss *v, char **argv, const sigset_t *set, const sigset_t *mask)
{
	pid_t child = start(argv, mask);
	int status, thawed;

	if (child < 0) {
		complain("vss: fork: %s", strerror(errno));
		request(v, VSS_OP_THAW);
		return 1;
	}
	if (wait_for_command(v, child, set, &status)) {
		thawed = request(v, VSS_OP_THAW);
		return exit_status(status) ? exit_status(status) : thawed;
	}
	request(v, VSS_OP_THAW);
	complain("vss: the command took longer than %g s: the guest was thawed, and what it has "
		 "backed up is not consistent",
		 v->watchdog);
	kill(child, SIGTERM);
	waitpid(child, &status, 0);
	return 1;
}

static int do_backup(struct vss *v, char **argv)
{
	sigset_t set, mask;
	int status;

	/* Whether it can be backed up at all is asked first. */
	status = request(v, VSS_OP_HOT_BACKUP);
	if (status)
		return status;
	end_signals(&set);
	sigprocmask(SIG_BLOCK, &set, &mask);
	status = request(v, VSS_OP_FREEZE);
	if (status == 0)
		status = run_frozen(v, argv, &set, &mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	return status;
}

/* ---- the command ---- */

static const struct verb {
	const char *name;
	bool command; /* a command follows */
	int (*run)(struct vss *v, char **argv);
} verbs[] = {
	{"freeze", false, do_freeze},
	{"thaw", false, do_thaw},
	{"backup", true, do_backup},
};

static int parse(struct vss *v, int argc, char **argv)
{
	static const struct option options[] = {
		{"watchdog", required_argument, NULL, 'w'}, GUEST_OPTIONS, {0}};
	int option, status = 0;
	char *end;

	opterr = 0;
	/* The first word is ours: options may follow it, and those of a command are left alone. */
	while (status == 0 && (option = getopt_long(argc, argv, "+:hw:", options, NULL)) != -1) {
		if (option != 'w') {
			status = guest_option(&v->guest, option, argv);
			continue;
		}
		v->watchdog = strtod(optarg, &end);
		if (end == optarg || *end || !(v->watchdog > 0) || v->watchdog > 1e6)
			status = usage_error("vss", "'%s' is no time in seconds", optarg);
	}
	return status;
}

int command_vss(int argc, char **argv)
{
	static struct vss v = {.guest = {.command = "vss", .timeout = -1}, .watchdog = WATCHDOG_S};
	const char *word;
	int status = parse(&v, argc, argv);

	if (status)
		return status == GUEST_HELP ? 0 : status;
	word = optind < argc ? argv[optind] : "";
	argc -= optind;
	argv += optind;
	optind = 0;
	status = argc > 0 ? parse(&v, argc, argv) : 0;
	if (status)
		return status == GUEST_HELP ? 0 : status;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, word) != 0)
			continue;
		if (verbs[i].command ? optind >= argc : optind < argc)
			return usage_error("vss",
					   verbs[i].command ? "%s needs a command"
							    : "%s takes no arguments",
					   word);
		status = guest_open(&v.guest, STANDIN_HYPERV_VSS, false, &v.host);
		if (status == 0) {
			status = verbs[i].run(&v, argv + optind);
			standin_hyperv_destroy(v.host);
		}
		return status;
	}
	return usage_error("vss", "freeze, thaw or backup?");
}
