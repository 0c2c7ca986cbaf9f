/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * standin run: checks everything, makes the private directory, runs the client in it, and
 * removes it when the client has ended.
 *
 * The instance is started here only to learn what the devices and nodes are and to write
 * the tree; it is gone again before the client starts, and each process of the client
 * starts its own from the same configuration.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "backend/net.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/library.h"
#include "cli/options.h"
#include "cli/program.h"
#include "cli/vsock.h"
#include "control/private.h"
#include "core/config.h"
#include "core/environment.h"
#include "core/instance.h"
#include "memory/server.h"
#include "tree/tree.h"

#define ERROR_MAX 512

/* This process only looks: it traces nothing and fails nothing on purpose. */
static struct config *quiet_copy(const char *text)
{
	struct config *c = malloc(sizeof(*c));
	char error[CONFIG_ERROR_MAX];

	if (!c)
		return NULL;
	config_init(c);
	if (config_text(c, text, error) < 0 || config_complete(c, error) < 0) {
		config_finish(c);
		free(c);
		return NULL;
	}
	c->trace = false;
	while (c->n_faults)
		free(c->faults[--c->n_faults]);
	return c;
}

static int build_tree(const char *root, const char *text)
{
	char error[ERROR_MAX] = "out of memory";
	struct config *c = quiet_copy(text);
	int result;

	if (!c) {
		complain("%s", error);
		return EXIT_USAGE;
	}
	result = instance_start(c, error, sizeof(error));
	if (result < 0) {
		config_finish(c);
		free(c);
	} else {
		result = instance_check(error, sizeof(error));
		if (result == 0)
			result = tree_create(root, instance, error, sizeof(error));
		instance_stop();
	}
	if (result < 0) {
		complain("%s", error);
		return EXIT_USAGE;
	}
	return 0;
}

/* Notes for who freezes file systems (inject/preload/freeze.c): 0 or the exit status. */
static int permit_freezing(const struct private_directory *p, const struct hyperv_config *h)
{
	char path[PATH_MAX + 16], *list = strdup(h->freeze ? h->freeze : ""), *rest = NULL;
	struct stat st;
	int result = list ? 0 : -ENOMEM;

	snprintf(path, sizeof(path), "%s/" FREEZE_DIRECTORY, p->path);
	if (result == 0 && mkdir(path, 0700) < 0)
		result = -errno;
	for (char *dir = list ? strtok_r(list, ":", &rest) : NULL; dir && result == 0;
	     dir = strtok_r(NULL, ":", &rest)) {
		if (stat(dir, &st) < 0) {
			complain("hyperv: freeze=%s: %s", dir, strerror(errno));
			free(list);
			return EXIT_USAGE;
		}
		snprintf(path, sizeof(path), FREEZE_DIRECTORY "/%u:%u" FREEZE_REAL,
			 major(st.st_dev), minor(st.st_dev));
		result = private_write(p, path, "");
		result = result == -EEXIST ? 0 : result; /* two names of one */
	}
	free(list);
	if (result < 0)
		complain("%s: %s", p->path, strerror(-result));
	return result < 0 ? EXIT_USAGE : 0;
}

static int fill_private_directory(const struct private_directory *p, struct config *c)
{
	char *text;
	int result;

	free(c->directory);
	c->directory = strdup(p->path);
	text = c->directory ? config_format(c) : NULL;
	if (!text) {
		complain("out of memory");
		return EXIT_USAGE;
	}
	result = private_write(p, "config", text);
	if (result == 0)
		result = vsock_place_publish(p, c->vsock_path);
	if (result < 0) {
		complain("%s: %s", p->path, strerror(-result));
		free(text);
		return EXIT_USAGE;
	}
	result = build_tree(p->root, text);
	free(text);
	if (result == 0 && c->hyperv.on)
		result = permit_freezing(p, &c->hyperv);
	return result;
}

/* LD_PRELOAD can't name a path with a separator in it: then go through the directory. */
static int loadable_path(const struct private_directory *p, char library[PATH_MAX])
{
	char runtime[PATH_MAX], link[PATH_MAX + 32];

	if (!strpbrk(library, ": "))
		return 0;
	snprintf(link, sizeof(link), "%s/" RUNTIME_LIBRARY, p->path);
	if (library_find(RUNTIME_LIBRARY, runtime) == 0 && symlink(runtime, link) < 0)
		return -errno;
	snprintf(link, sizeof(link), "%s/" PRELOAD_LIBRARY, p->path);
	if (symlink(library, link) < 0)
		return -errno;
	if (strlen(link) >= PATH_MAX || strpbrk(link, ": "))
		return -EINVAL;
	strcpy(library, link);
	return 0;
}

/* NAME=ADDITION, or NAME=ADDITION:VALUE if it has a value already. */
static int prepend_environment(const char *name, const char *addition)
{
	const char *old = getenv(name);
	char *value;
	int result;

	if (!old || !*old)
		return setenv(name, addition, 1);
	if (asprintf(&value, "%s:%s", addition, old) < 0)
		return -1;
	result = setenv(name, value, 1);
	free(value);
	return result;
}

static int set_environment(const struct private_directory *p, const struct program *program)
{
	const char *asan = getenv("ASAN_OPTIONS");
	char library[PATH_MAX];
	int result;

	if (library_find(PRELOAD_LIBRARY, library) < 0) {
		complain(PRELOAD_LIBRARY
			 " was found neither beside this program nor in " STANDIN_LIBRARY_DIR);
		return EXIT_USAGE;
	}
	result = loadable_path(p, library);
	if (result < 0) {
		complain("%s: the path can't be given to the dynamic linker", library);
		return EXIT_USAGE;
	}
	if (setenv(ENV_DIRECTORY, p->path, 1) < 0 ||
	    prepend_environment("LD_PRELOAD", library) < 0) {
		complain("out of memory");
		return EXIT_USAGE;
	}
	/* ASan as a shared library insists on being loaded first, unless told not to. */
	if (program->shared_asan && !(asan && strstr(asan, "verify_asan_link_order")))
		prepend_environment("ASAN_OPTIONS", "verify_asan_link_order=0");
	return 0;
}

static void clean_net(const char *spec)
{
	if (spec)
		net_clean(spec);
}

/* Sockets of hubs: whether anybody else is at one, asking it tells. */
static void clean_nets(const struct config *c)
{
	for (size_t i = 0; i < c->n_nets; i++)
		clean_net(c->nets[i].spec);
	for (size_t d = 0; d < c->n_devices; d++)
		clean_net(keys_find(&c->devices[d].keys, "net"));
	for (size_t v = 0; v < c->n_vdpas; v++)
		clean_net(keys_find(&c->vdpas[v].keys, "net"));
}

/* For `standin ps`: who we are and what we run, in one line. */
static int describe(const struct private_directory *p, char **words)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int result = -ENOMEM;

	if (!out)
		return result;
	fprintf(out, "%d", (int)getpid());
	for (; *words; words++) {
		fputc(' ', out);
		for (const char *c = *words; *c; c++)
			fputc((unsigned char)*c < ' ' ? '?' : *c, out);
	}
	fputc('\n', out);
	if (fclose(out) == 0)
		result = private_write(p, "run", text);
	free(text);
	if (result < 0)
		complain("%s: %s", p->path, strerror(-result));
	return result < 0 ? EXIT_USAGE : 0;
}

/* What has been asked for and can't be had is said before anything runs. */
static int check_backing(const struct config *c)
{
	int result = c->uffd_backing == UFFD_BACKING_FUSE ? server_probe() : 0;

	if (result == 0)
		return 0;
	complain("uffd-backing: /dev/fuse can't be used here: %s", strerror(-result));
	return EXIT_USAGE;
}

int command_run(int argc, char **argv)
{
	struct private_directory directory;
	struct program program = {0};
	const char *obstacle;
	struct config c;
	int first, status;

	config_init(&c);
	status = options_parse(argc, argv, &c, &first);
	if (status) {
		config_finish(&c);
		return status == OPTIONS_HELP ? 0 : status;
	}
	status = check_backing(&c);
	if (status) {
		config_finish(&c);
		return status;
	}
	status = private_create(&directory);
	if (status < 0) {
		complain("can't make a private directory in %s: %s", private_base(),
			 strerror(-status));
		config_finish(&c);
		return EXIT_USAGE;
	}
	status = fill_private_directory(&directory, &c);
	if (status == 0) {
		/* Whether it can be executed at all is the kernel's to say. */
		program_inspect(argv[first], &program);
		obstacle = program_obstacle(&program);
		if (obstacle)
			complain("warning: %s gets no devices: %s", argv[first], obstacle);
		status = set_environment(&directory, &program);
	}
	if (status == 0)
		status = describe(&directory, argv + first);
	if (status == 0)
		status = client_run(argv + first, private_sweep);
	vsock_place_clean(c.vsock_path);
	clean_nets(&c);
	private_remove(&directory);
	config_finish(&c);
	return status;
}
