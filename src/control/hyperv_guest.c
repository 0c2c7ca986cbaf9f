/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a host knows of its guests, and does with them as a whole; starting and ending them.
 *
 * A service that is disabled has no device: its node is taken out of the run's tree, and
 * who has it open gets EBADF.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/hyperv_host.h"
#include "core/environment.h"

#define PATIENCE_S 2 /* all that is asked for is done at once */

/* ---- status ---- */

struct table {
	struct standin_hyperv_status *list;
	size_t n, room;
};

static void add(struct table *t, const struct standin_hyperv_status *row)
{
	if (t->n < t->room)
		t->list[t->n] = *row;
	t->n++;
}

static void status_of(struct table *t, const struct running *r, pid_t process)
{
	struct standin_hyperv_status row;
	char *reply, *rest;

	if (running_ask(r, process, "hyperv-status", &reply) == 0)
		for (char *line = strtok_r(reply, "\n", &rest); line;
		     line = strtok_r(NULL, "\n", &rest)) {
			if (!hyperv_status_parse(line, &row))
				continue;
			row.run = r->pid;
			row.process = process;
			add(t, &row);
		}
	free(reply);
}

static void path_disabled(const struct running *r, enum standin_hyperv_service service,
			  char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/disabled-%s", r->directory,
		 standin_hyperv_service_name(service));
}

static void status_of_run(struct table *t, const struct running *r)
{
	struct standin_hyperv_status row = {.run = r->pid, .state = "disabled"};
	char path[PATH_MAX];

	for (size_t i = 0; i < r->n_processes; i++)
		status_of(t, r, r->processes[i]);
	for (int i = 0; r->directory && i < STANDIN_HYPERV_SERVICES; i++) {
		row.service = (enum standin_hyperv_service)i;
		path_disabled(r, row.service, path);
		if (access(path, F_OK) == 0)
			add(t, &row);
	}
}

int standin_hyperv_status(struct standin_hyperv *h, struct standin_hyperv_status *list, size_t n)
{
	struct running *first = running_find(h->pid);
	struct table t = {.list = list, .room = n};

	h->error[0] = '\0';
	for (struct running *r = first; r; r = r->next) {
		r->patience = PATIENCE_S;
		if (hyperv_is_in(r))
			status_of_run(&t, r);
	}
	running_free(first);
	return (int)t.n;
}

/* Its directory has a note for each (core/environment.h); returns how many there are. */
static size_t frozen_in(const struct running *r, struct standin_hyperv_frozen *list, size_t room)
{
	struct standin_hyperv_frozen f = {.run = r->pid};
	char path[PATH_MAX], rest;
	struct dirent *entry;
	size_t n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/" FREEZE_DIRECTORY, r->directory);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (sscanf(entry->d_name, "%u:%u%c", &f.major, &f.minor, &rest) != 2)
			continue;
		if (n < room)
			list[n] = f;
		n++;
	}
	if (dir)
		closedir(dir);
	return n;
}

int standin_hyperv_frozen(struct standin_hyperv *h, struct standin_hyperv_frozen *list, size_t n)
{
	struct running *first = running_find(h->pid);
	size_t found = 0;

	h->error[0] = '\0';
	for (const struct running *r = first; r; r = r->next)
		if (hyperv_is_in(r) && r->directory)
			found += frozen_in(r, list + (found < n ? found : n),
					   found < n ? n - found : 0);
	running_free(first);
	return (int)found;
}

/* ---- changes ---- */

/* The one guest that is meant, with the list that it is from: 0 or -errno. */
static int find_one(struct standin_hyperv *h, struct running **ret_first, struct running **ret_run)
{
	struct running *first = running_find(h->pid), *run = NULL;
	unsigned n = 0;

	h->error[0] = '\0';
	for (struct running *r = first; r; r = r->next)
		if (hyperv_is_in(r)) {
			r->patience = PATIENCE_S;
			run = r;
			n++;
		}
	if (n == 1) {
		*ret_first = first;
		*ret_run = run;
		return 0;
	}
	running_free(first);
	hyperv_error(h, 0, "%s",
		     n ? "several programs run with --hyperv: a pid says which"
		       : "nothing runs with --hyperv");
	return n ? -ENOTUNIQ : -ESRCH;
}

static int tell_all(struct standin_hyperv *h, const struct running *r, const char *command)
{
	int ret = 0;
	char *reply;

	for (size_t i = 0; i < r->n_processes; i++) {
		if (running_ask(r, r->processes[i], command, &reply) < 0)
			ret = hyperv_error(h, -EBUSY, "%s", reply ? reply : strerror(ENOMEM));
		free(reply);
	}
	return ret;
}

static int tell(struct standin_hyperv *h, const char *command)
{
	struct running *first, *run;
	int ret = find_one(h, &first, &run);

	if (ret < 0)
		return ret;
	ret = tell_all(h, run, command);
	running_free(first);
	return ret;
}

int standin_hyperv_suspend(struct standin_hyperv *h)
{
	return tell(h, "hyperv-suspend");
}

int standin_hyperv_resume(struct standin_hyperv *h)
{
	return tell(h, "hyperv-resume");
}

/* Whether it is the service that newer kernels give away as a uio device. */
static bool has_uio(const struct running *r, enum standin_hyperv_service service)
{
	return service == STANDIN_HYPERV_FCOPY && strstr(r->config, ",uio=on");
}

/* Takes the node out of the tree, or puts it back. */
static int move_node(struct standin_hyperv *h, const struct running *r,
		     enum standin_hyperv_service service, bool back)
{
	char node[PATH_MAX], away[PATH_MAX];
	bool uio = has_uio(r, service);

	if (!r->directory)
		return 0;
	snprintf(node, sizeof(node), "%s/root/dev/%s%s", r->directory, uio ? "uio0" : "vmbus/hv_",
		 uio ? "" : standin_hyperv_service_name(service));
	path_disabled(r, service, away);
	if (rename(back ? away : node, back ? node : away) < 0 && errno != ENOENT)
		return hyperv_error(h, -errno, "%s: %s", node, strerror(errno));
	return 0;
}

static int change(struct standin_hyperv *h, enum standin_hyperv_service service, bool back)
{
	struct running *first, *run;
	char command[64];
	int ret;

	if ((unsigned)service >= STANDIN_HYPERV_SERVICES)
		return hyperv_error(h, -EINVAL, "there is no such service");
	ret = find_one(h, &first, &run);
	if (ret < 0)
		return ret;
	ret = move_node(h, run, service, back);
	snprintf(command, sizeof(command), "hyperv-remove %s",
		 standin_hyperv_service_name(service));
	if (ret == 0 && !back)
		ret = tell_all(h, run, command);
	running_free(first);
	return ret;
}

int standin_hyperv_disable(struct standin_hyperv *h, enum standin_hyperv_service service)
{
	return change(h, service, false);
}

int standin_hyperv_enable(struct standin_hyperv *h, enum standin_hyperv_service service)
{
	return change(h, service, true);
}

/* ---- starting one ---- */

pid_t standin_hyperv_start(const char *options, char *const argv[])
{
	const char *command = getenv("STANDIN");
	size_t n = 0, first = 0;
	const char **words;
	char *hyperv;
	pid_t pid;
	int ret;

	while (argv[n])
		n++;
	words = calloc(n + 5, sizeof(*words));
	if (!words ||
	    asprintf(&hyperv, "--hyperv%s%s", options ? "=" : "", options ? options : "") < 0) {
		free(words);
		return -ENOMEM;
	}
	words[first++] = command && *command ? command : "standin";
	words[first++] = "run";
	words[first++] = hyperv;
	words[first++] = "--";
	memcpy(words + first, argv, n * sizeof(*words));
	ret = posix_spawnp(&pid, words[0], NULL, NULL, (char **)words, environ);
	free(hyperv);
	free(words);
	return ret ? -ret : pid;
}

/* Whether it ends in time; without pidfd_open(2) it is waited for as long as it takes. */
static bool ends(pid_t pid, int patience_ms)
{
	struct pollfd fd = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	int n;

	if (fd.fd < 0)
		return true;
	do
		n = poll(&fd, 1, patience_ms);
	while (n < 0 && errno == EINTR);
	close(fd.fd);
	return n != 0;
}

int standin_hyperv_stop(pid_t run, int patience_ms)
{
	pid_t ended;
	int status;

	if (kill(run, SIGTERM) < 0)
		return -errno;
	if (!ends(run, patience_ms))
		return -ETIMEDOUT;
	do
		ended = waitpid(run, &status, 0);
	while (ended < 0 && errno == EINTR);
	return ended < 0 ? -errno : status;
}
