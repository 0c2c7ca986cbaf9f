/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Options are directives in another dress (core/config.h): each is handed to the same
 * parser, in the order given, and so is the content of a --config file.
 */
#include "cli/options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/net.h"
#include "cli/cli.h"
#include "cli/vsock.h"
#include "core/fault.h"
#include "core/ioctl.h"

#define CONFIG_FILE_MAX (1024 * 1024)

static int read_text(const char *path, char **ret_text)
{
	FILE *file = fopen(path, "re");
	char *text;
	size_t n;

	if (!file)
		return -errno;
	text = malloc(CONFIG_FILE_MAX + 1);
	if (!text) {
		fclose(file);
		return -ENOMEM;
	}
	n = fread(text, 1, CONFIG_FILE_MAX + 1, file);
	if (ferror(file) || n > CONFIG_FILE_MAX || memchr(text, '\0', n)) {
		int error = ferror(file) ? errno : n > CONFIG_FILE_MAX ? EFBIG : EINVAL;

		fclose(file);
		free(text);
		return -error;
	}
	fclose(file);
	text[n] = '\0';
	*ret_text = text;
	return 0;
}

static int read_config(struct config *c, const char *path)
{
	char error[CONFIG_ERROR_MAX], *text = NULL;
	int result = read_text(path, &text);

	if (result < 0) {
		complain("--config %s: %s", path, strerror(-result));
		return EXIT_USAGE;
	}
	result = config_text(c, text, error);
	free(text);
	if (result == 0)
		return 0;
	complain("%s: %s", path, error);
	return EXIT_USAGE;
}

static int directive(struct config *c, const char *word, const char *value)
{
	char error[CONFIG_ERROR_MAX], *line;
	int result;

	if (strchr(value, '\n')) {
		complain("%s: a line break can't be part of a value", word);
		return EXIT_USAGE;
	}
	if (asprintf(&line, "%s %s", word, value) < 0) {
		complain("out of memory");
		return EXIT_USAGE;
	}
	result = config_directive(c, line, error);
	free(line);
	if (result == 0)
		return 0;
	complain("%s", error);
	return EXIT_USAGE;
}

/* ---- fault points ---- */

struct search {
	const char *name;
	size_t length;
	bool found;
};

static void match_point(const char *name, void *arg)
{
	struct search *s = arg;

	if (strlen(name) == s->length && memcmp(name, s->name, s->length) == 0)
		s->found = true;
}

static void match_row(const struct ioctl_table *table, void *arg)
{
	for (size_t i = 0; i < table->n_rows; i++)
		match_point(table->rows[i].name, arg);
}

/* A fault at a point that nobody ever reaches would only look like a success. */
static int check_faults(const struct config *c)
{
	for (size_t f = 0; f < c->n_faults; f++) {
		struct search s = {c->faults[f], strcspn(c->faults[f], ":"), false};

		ioctl_table_each(match_row, &s);
		fault_points_each(match_point, &s);
		if (!s.found) {
			complain("no fault point is named '%.*s' (standin list --faults)",
				 (int)s.length, s.name);
			return EXIT_USAGE;
		}
	}
	return 0;
}

/* ---- paths ---- */

static int absolute(char **path)
{
	char directory[PATH_MAX], *whole;

	if (!*path || (*path)[0] == '/')
		return 0;
	if (!getcwd(directory, sizeof(directory)) ||
	    asprintf(&whole, "%s/%s", directory, *path) < 0) {
		complain("%s: %s", *path, strerror(errno));
		return EXIT_USAGE;
	}
	free(*path);
	*path = whole;
	return 0;
}

/* See backend/net.h. */
static int absolute_net(char **spec)
{
	const char *given = net_path(*spec);
	char *path, *whole;
	int result;

	if (!given || given[0] == '/')
		return 0;
	path = strdup(given);
	result = path ? absolute(&path) : EXIT_USAGE;
	if (result == 0 && asprintf(&whole, "%.*s%s", (int)(given - *spec), *spec, path) < 0)
		result = EXIT_USAGE;
	free(path);
	if (result == 0) {
		free(*spec);
		*spec = whole;
	}
	return result;
}

/*
 * A key that is called "file" holds a path, and so does the lunN of a vhost-scsi; one that is
 * called "net" may.
 */
static int absolute_paths(struct config *c)
{
	int result = absolute(&c->trace_file);

	if (result == 0)
		result = absolute(&c->vsock_path);
	if (result == 0)
		result = vsock_place_complete(&c->vsock_path);

	for (size_t d = 0; d < c->n_devices; d++)
		for (size_t k = 0; k < c->devices[d].keys.n && result == 0; k++)
			if (strcmp(c->devices[d].keys.key[k].name, "file") == 0)
				result = absolute(&c->devices[d].keys.key[k].value);
			else if (strcmp(c->devices[d].keys.key[k].name, "net") == 0)
				result = absolute_net(&c->devices[d].keys.key[k].value);
	for (size_t v = 0; v < c->n_vdpas; v++)
		for (size_t k = 0; k < c->vdpas[v].keys.n && result == 0; k++)
			if (strcmp(c->vdpas[v].keys.key[k].name, "file") == 0)
				result = absolute(&c->vdpas[v].keys.key[k].value);
			else if (strcmp(c->vdpas[v].keys.key[k].name, "net") == 0)
				result = absolute_net(&c->vdpas[v].keys.key[k].value);
	for (size_t p = 0; p < c->n_vhost_scsi; p++)
		for (size_t k = 0; k < c->vhost_scsi[p].keys.n && result == 0; k++)
			if (!strchr(c->vhost_scsi[p].keys.key[k].name, '.'))
				result = absolute(&c->vhost_scsi[p].keys.key[k].value);
	for (size_t i = 0; i < c->n_nets && result == 0; i++)
		result = absolute_net(&c->nets[i].spec);
	return result;
}

static int check_nets(const struct config *c)
{
	char error[NET_ERROR_MAX];

	for (size_t i = 0; i < c->n_nets; i++) {
		if (net_check(c->nets[i].spec, error) < 0) {
			complain("net: %s", error);
			return EXIT_USAGE;
		}
	}
	return 0;
}

/* Empties the trace file, since every process of the client appends to it. */
static int prepare_trace(const struct config *c)
{
	struct stat st;
	int fd;

	if (!c->trace || !c->trace_file)
		return 0;
	if (stat(c->trace_file, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	fd = open(c->trace_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0) {
		complain("--trace %s: %s", c->trace_file, strerror(errno));
		return EXIT_USAGE;
	}
	close(fd);
	return 0;
}

static int parse_words(int argc, char **argv, struct config *c)
{
	static const struct option options[] = {
		{"device", required_argument, NULL, 'd'},
		{"config", required_argument, NULL, 'c'},
		{"trace", optional_argument, NULL, 't'},
		{"fault", required_argument, NULL, 'f'},
		{"log", required_argument, NULL, 'l'},
		{"set", required_argument, NULL, 's'},
		{"vsock", required_argument, NULL, 'v'},
		{"vhost-scsi", required_argument, NULL, 'S'},
		{"vdpa", required_argument, NULL, 'V'},
		{"net", required_argument, NULL, 'n'},
		{"hmm", required_argument, NULL, 'H'},
		{"uffd", required_argument, NULL, 'u'},
		{"uffd-backing", required_argument, NULL, 'b'},
		{"hyperv", optional_argument, NULL, 'y'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option, result = 0;

	opterr = 0;
	while (result == 0 && (option = getopt_long(argc, argv, "+:h", options, NULL)) != -1) {
		switch (option) {
		case 'd':
			result = directive(c, "device", optarg);
			break;
		case 'c':
			result = read_config(c, optarg);
			break;
		case 't':
			if (optarg && !*optarg)
				result = usage_error("run", "--trace=FILE needs a file");
			else
				result = directive(c, "trace", optarg ? optarg : "");
			break;
		case 'f':
			result = directive(c, "fault", optarg);
			break;
		case 'l':
			result = directive(c, "log", optarg);
			break;
		case 's':
			result = directive(c, "set", optarg);
			break;
		case 'n':
			result = directive(c, "net", optarg);
			break;
		case 'H':
			result = directive(c, "hmm", optarg);
			break;
		case 'u':
			result = directive(c, "uffd", optarg);
			break;
		case 'b':
			result = directive(c, "uffd-backing", optarg);
			break;
		case 'y':
			result = directive(c, "hyperv", optarg ? optarg : "");
			break;
		case 'v':
			result = directive(c, "vsock", optarg);
			break;
		case 'V':
			result = directive(c, "vdpa", optarg);
			break;
		case 'S':
			result = directive(c, "vhost-scsi", optarg);
			break;
		case 'h':
			result = help_print("run");
			return result ? result : OPTIONS_HELP;
		default:
			result = option_error("run", option, argv[optind - 1]);
		}
	}
	return result;
}

int options_parse(int argc, char **argv, struct config *c, int *ret_first)
{
	char error[CONFIG_ERROR_MAX];
	int result = parse_words(argc, argv, c);

	if (result)
		return result;
	if (optind >= argc)
		return usage_error("run", "which program?");
	if (config_complete(c, error) < 0) {
		complain("%s", error);
		return EXIT_USAGE;
	}
	result = check_faults(c);
	if (result == 0)
		result = check_nets(c);
	if (result == 0)
		result = absolute_paths(c);
	if (result == 0)
		result = prepare_trace(c);
	if (result == 0)
		*ret_first = optind;
	return result;
}
