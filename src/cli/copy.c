/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * standin copy: a Hyper-V host that copies a file into a running guest, as Copy-VMFile does.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/guest.h"

#define BAR_WIDTH 40u
#define BAR_S     0.1 /* between two looks of it */

struct copy {
	struct guest_options guest;
	struct standin_hyperv_copy file;
	uint64_t size; /* as far as it is known */
	char *dest;
	bool bar;
	double begun, drawn;
	struct standin_hyperv *host;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
	interrupted = signal;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* On standard error, over itself: "[#####-----]  50%  120.0 MiB  240.0 MiB/s". */
static void draw(const struct copy *c, uint64_t copied, double time)
{
	double part = c->size ? (double)copied / (double)c->size : 1;
	double mib = (double)copied / (1 << 20), s = time - c->begun;
	unsigned full = (unsigned)((part < 1 ? part : 1) * BAR_WIDTH);
	char bar[BAR_WIDTH + 1];

	for (unsigned i = 0; i < BAR_WIDTH; i++)
		bar[i] = i < full ? '#' : '-';
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r[%s] %3.0f%%  %.1f MiB  %.1f MiB/s ", bar, (part < 1 ? part : 1) * 100,
		mib, s > 0 ? mib / s : 0);
}

static bool progress(uint64_t copied, uint64_t size, void *arg)
{
	struct copy *c = arg;
	double time;

	c->size = size;
	if (c->bar && (time = now()) - c->drawn >= BAR_S) {
		draw(c, copied, time);
		c->drawn = time;
	}
	return !interrupted;
}

static int report(struct copy *c, int64_t status, double seconds)
{
	if (c->bar) {
		if (status == HV_S_OK)
			draw(c, c->file.copied, c->begun + seconds);
		fputc('\n', stderr);
	}
	if (interrupted) {
		complain("copy: interrupted, and taken back");
		return 128 + interrupted;
	}
	if (!c->guest.json || status != HV_S_OK)
		return guest_status(&c->guest, c->host, status);
	printf("{\"status\": \"0x00000000\", \"name\": \"HV_S_OK\", \"job\": 0, \"message\": \"\", "
	       "\"bytes\": %llu, \"seconds\": %.6f}\n",
	       (unsigned long long)c->file.copied, seconds);
	return finish_output();
}

static int copy_from(struct copy *c, int source)
{
	const struct sigaction act = {.sa_handler = interrupt};
	int64_t ret;
	int status = guest_open(&c->guest, STANDIN_HYPERV_FCOPY, false, &c->host);

	if (status)
		return status;
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	c->begun = now();
	ret = standin_hyperv_copy(c->host, source, c->dest, &c->file);
	status = report(c, ret, now() - c->begun);
	standin_hyperv_destroy(c->host);
	return status;
}

/* The guest's file: DEST, with the source's name if it ends with a slash. */
static int name_target(struct copy *c, const char *source, const char *dest)
{
	size_t length = strlen(dest);
	const char *last = strrchr(source, '/');
	const char *name = length && dest[length - 1] != '/' ? "" : last ? last + 1 : source;

	if (dest[0] != '/')
		return usage_error("copy", "'%s' is no absolute path", dest);
	return asprintf(&c->dest, "%s%s", dest, name) < 0;
}

static int parse(struct copy *c, int argc, char **argv)
{
	static const struct option options[] = {{"create-path", no_argument, NULL, 'c'},
						{"force", no_argument, NULL, 'f'},
						{"quiet", no_argument, NULL, 'q'},
						GUEST_OPTIONS,
						{0}};
	int option, status = 0;

	opterr = 0;
	while (status == 0 && (option = getopt_long(argc, argv, ":hcfq", options, NULL)) != -1) {
		if (option == 'c')
			c->file.flags |= STANDIN_HYPERV_COPY_CREATE_PATH;
		else if (option == 'f')
			c->file.flags |= STANDIN_HYPERV_COPY_OVERWRITE;
		else if (option == 'q')
			c->bar = false;
		else
			status = guest_option(&c->guest, option, argv);
	}
	return status;
}

int command_copy(int argc, char **argv)
{
	static struct copy c = {.guest = {.command = "copy", .timeout = -1}};
	int status, source;

	c.bar = isatty(2);
	c.file.progress = progress;
	c.file.arg = &c;
	status = parse(&c, argc, argv);
	if (status)
		return status == GUEST_HELP ? 0 : status;
	if (argc - optind != 2)
		return usage_error("copy", "SOURCE DEST?");
	source = open(argv[optind], O_RDONLY | O_CLOEXEC);
	if (source < 0) {
		complain("copy: %s: %s", argv[optind], strerror(errno));
		return 1;
	}
	status = name_target(&c, argv[optind], argv[optind + 1]);
	if (status == 0)
		status = copy_from(&c, source);
	close(source);
	free(c.dest);
	return status;
}
