/* SPDX-License-Identifier: BSD-3-Clause */
/* standin hyperv: what the host knows of its guests, and does with them as a whole. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/guest.h"

/* -1: there is no such service. */
static int parse_service(const char *name)
{
	for (int i = 0; i < STANDIN_HYPERV_SERVICES; i++)
		if (strcmp(standin_hyperv_service_name((enum standin_hyperv_service)i), name) == 0)
			return i;
	return -1;
}

/* ---- status ---- */

/* Of a service that is disabled nothing is known. */
static void format_version(const struct standin_hyperv_status *s, struct standin_hyperv_version v,
			   char text[16])
{
	if (s->process)
		snprintf(text, 16, "%u.%u", v.major, v.minor);
	else
		strcpy(text, "-");
}

static void print_row(const struct guest_options *o, const struct standin_hyperv_status *s,
		      bool first)
{
	const char *service = standin_hyperv_service_name(s->service);
	unsigned long long requests = s->requests, failed = s->failed;
	char framework[16], version[16];

	format_version(s, s->framework, framework);
	format_version(s, s->version, version);
	if (!o->json) {
		printf("%-8d%-8d%-7s%-13s%-10s%-8s%llu requests, %llu failed\n", (int)s->run,
		       (int)s->process, service, s->state, framework, version, requests, failed);
		return;
	}
	printf("%s{\"run\": %d, \"pid\": %d, \"service\": \"%s\", \"state\": \"%s\", "
	       "\"registered\": %u, \"framework\": \"%s\", \"version\": \"%s\", "
	       "\"requests\": %llu, \"failed\": %llu}",
	       first ? "" : ",\n ", (int)s->run, (int)s->process, service, s->state, s->registered,
	       framework, version, requests, failed);
}

static int print_services(const struct guest_options *o, struct standin_hyperv *h)
{
	int n = standin_hyperv_status(h, NULL, 0), found;
	struct standin_hyperv_status *list = calloc((size_t)n + 1, sizeof(*list));

	if (!list) {
		complain("hyperv: out of memory");
		return 1;
	}
	found = standin_hyperv_status(h, list, (size_t)n);
	for (int i = 0; i < n && i < found; i++)
		print_row(o, &list[i], i == 0);
	free(list);
	return 0;
}

static int print_frozen(struct standin_hyperv *h)
{
	int n = standin_hyperv_frozen(h, NULL, 0), found;
	struct standin_hyperv_frozen *list = calloc((size_t)n + 1, sizeof(*list));

	if (!list) {
		complain("hyperv: out of memory");
		return 1;
	}
	found = standin_hyperv_frozen(h, list, (size_t)n);
	for (int i = 0; i < n && i < found; i++)
		printf("%-8d        frozen %u:%u\n", (int)list[i].run, list[i].major,
		       list[i].minor);
	free(list);
	return 0;
}

static int do_status(const struct guest_options *o, struct standin_hyperv *h, char **argv)
{
	int status;

	if (o->json)
		printf("[");
	else
		printf("%-8s%-8s%-7s%-13s%-10s%-8s\n", "RUN", "PID", "NAME", "STATE", "FRAMEWORK",
		       "VERSION");
	status = print_services(o, h);
	if (o->json)
		printf("]\n");
	else if (status == 0)
		status = print_frozen(h);
	return finish_output() || status;
}

/* ---- the others ---- */

static int do_suspend(const struct guest_options *o, struct standin_hyperv *h, char **argv)
{
	return guest_status(o, h, standin_hyperv_suspend(h));
}

static int do_resume(const struct guest_options *o, struct standin_hyperv *h, char **argv)
{
	return guest_status(o, h, standin_hyperv_resume(h));
}

static int do_disable(const struct guest_options *o, struct standin_hyperv *h, char **argv)
{
	int service = parse_service(argv[0]);

	return guest_status(o, h, standin_hyperv_disable(h, (enum standin_hyperv_service)service));
}

static int do_enable(const struct guest_options *o, struct standin_hyperv *h, char **argv)
{
	int service = parse_service(argv[0]);

	return guest_status(o, h, standin_hyperv_enable(h, (enum standin_hyperv_service)service));
}

static const struct verb {
	const char *name;
	bool service; /* is its argument */
	int (*run)(const struct guest_options *o, struct standin_hyperv *h, char **argv);
} verbs[] = {
	{"status", false, do_status},  {"suspend", false, do_suspend}, {"resume", false, do_resume},
	{"disable", true, do_disable}, {"enable", true, do_enable},
};

/* argv[0] is the service. */
static int raw(const struct guest_options *o, int argc, char **argv)
{
	int service = parse_service(argv[0]);

	if (service < 0)
		return usage_error("hyperv", "no service is named '%s'", argv[0]);
	return guest_raw(o, (enum standin_hyperv_service)service, argc, argv);
}

static int run_verb(const struct guest_options *o, const struct verb *v, int argc, char **argv)
{
	struct standin_hyperv *h;
	int status;

	if (argc - 1 != v->service)
		return usage_error("hyperv", "%s takes %s", argv[0],
				   v->service ? "a service: kvp, vss or fcopy" : "no arguments");
	if (v->service && parse_service(argv[1]) < 0)
		return usage_error("hyperv", "no service is named '%s'", argv[1]);
	h = guest_host(o);
	if (!h)
		return 1;
	status = v->run(o, h, argv + 1);
	standin_hyperv_destroy(h);
	return status;
}

int command_hyperv(int argc, char **argv)
{
	static const struct option options[] = {GUEST_OPTIONS, {0}};
	struct guest_options o = {.command = "hyperv", .timeout = -1};
	int option, status = 0;

	opterr = 0;
	while (status == 0 && (option = getopt_long(argc, argv, "+:h", options, NULL)) != -1)
		status = guest_option(&o, option, argv);
	if (status == 0 && argc - optind > 1 && strcmp(argv[optind], "raw") == 0)
		return raw(&o, argc - optind - 1, argv + optind + 1);
	optind = 0; /* once more, with options after the word */
	while (status == 0 && (option = getopt_long(argc, argv, ":h", options, NULL)) != -1)
		status = guest_option(&o, option, argv);
	if (status)
		return status == GUEST_HELP ? 0 : status;
	argc -= optind;
	argv += optind;
	for (size_t i = 0; argc > 0 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i].name, argv[0]) == 0)
			return run_verb(&o, &verbs[i], argc, argv);
	return usage_error("hyperv", "status, suspend, resume, disable, enable or raw?");
}
