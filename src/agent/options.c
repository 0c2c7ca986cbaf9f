/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The agent's command line.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/log.h"

const struct agent_options agent_defaults = {
	.directory = AGENT_DIRECTORY,
	.scripts = AGENT_SCRIPTS,
	.fcopy_root = AGENT_FCOPY_ROOT,
	.mounts = AGENT_MOUNTS,
	.freeze_timeout = AGENT_FREEZE_TIMEOUT,
	.kvp = true,
	.vss = true,
	.fcopy = true,
};

const char agent_help[] =
	"Usage: standin agent [OPTION]...\n"
	"\n"
	"A Hyper-V guest's side of key-value pairs, backups and file copies, for real guests and\n"
	"under 'standin run --hyperv'. Runs until a signal ends it.\n"
	"\n"
	"      --no-kvp, --no-vss, --no-fcopy\n"
	"                           without that service\n"
	"      --directory DIR      where the pools of key-value pairs are (/var/lib/hyperv)\n"
	"      --scripts DIR        where hv_set_ifconfig is, which sets addresses\n"
	"                           (/usr/libexec/hypervkvpd)\n"
	"      --fcopy-root DIR     files are copied beneath DIR alone (/var/lib/hyperv/files);\n"
	"                           '/': wherever the host says\n"
	"      --freeze-timeout N   thaws after N seconds if the host does not (120)\n"
	"      --mounts FILE        takes FILE for the list of what is mounted (/proc/mounts)\n"
	"      --once               exits when a device is not there or goes away, instead of\n"
	"                           waiting for it\n"
	"  -f, --foreground         stays in the foreground (the default)\n"
	"  -d, --daemon             goes into the background, with messages to syslog\n"
	"  -s, --syslog             messages to syslog\n"
	"  -v, --verbose            more of them\n"
	"  -h, --help\n"
	"\n"
	"The exit status is 0 after a signal, 1 if it can't go on, 2 if the options are wrong.\n";

enum {
	OPTION_DIRECTORY = 256,
	OPTION_SCRIPTS,
	OPTION_ROOT,
	OPTION_TIMEOUT,
	OPTION_MOUNTS,
	OPTION_ONCE,
	OPTION_NO_KVP,
	OPTION_NO_VSS,
	OPTION_NO_FCOPY,
};

static int usage(const char *format, const char *what)
{
	char text[512];

	snprintf(text, sizeof(text), format, what);
	fprintf(stderr, "standin: %s (see 'standin agent --help')\n", text);
	return 2;
}

static int parse_timeout(const char *text, unsigned *ret)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || value == 0 || value > 86400)
		return usage("'%s' is no number of seconds from 1 to 86400", text);
	*ret = (unsigned)value;
	return 0;
}

/* One option: 0, 2, or -1 after --help. */
static int take(struct agent_options *o, int option, const char *word)
{
	switch (option) {
	case OPTION_DIRECTORY:
		o->directory = optarg;
		break;
	case OPTION_SCRIPTS:
		o->scripts = optarg;
		break;
	case OPTION_ROOT:
		o->fcopy_root = optarg;
		break;
	case OPTION_TIMEOUT:
		return parse_timeout(optarg, &o->freeze_timeout);
	case OPTION_MOUNTS:
		o->mounts = optarg;
		break;
	case OPTION_ONCE:
		o->once = true;
		break;
	case OPTION_NO_KVP:
		o->kvp = false;
		break;
	case OPTION_NO_VSS:
		o->vss = false;
		break;
	case OPTION_NO_FCOPY:
		o->fcopy = false;
		break;
	case 'f':
		o->daemon = false;
		break;
	case 'd':
		o->daemon = true;
		break;
	case 's':
		o->syslog = true;
		break;
	case 'v':
		o->verbose = true;
		break;
	case 'h':
		fputs(agent_help, stdout);
		return -1;
	case ':':
		return usage("option '%s' needs a value", word);
	default:
		return usage("unknown option '%s'", word);
	}
	return 0;
}

/* What the agent opens must not become a standard stream, which is written to. */
static bool fill_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	return close(fd) == 0;
}

int agent_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"directory", required_argument, NULL, OPTION_DIRECTORY},
		{"scripts", required_argument, NULL, OPTION_SCRIPTS},
		{"fcopy-root", required_argument, NULL, OPTION_ROOT},
		{"freeze-timeout", required_argument, NULL, OPTION_TIMEOUT},
		{"mounts", required_argument, NULL, OPTION_MOUNTS},
		{"once", no_argument, NULL, OPTION_ONCE},
		{"no-kvp", no_argument, NULL, OPTION_NO_KVP},
		{"no-vss", no_argument, NULL, OPTION_NO_VSS},
		{"no-fcopy", no_argument, NULL, OPTION_NO_FCOPY},
		{"foreground", no_argument, NULL, 'f'},
		{"daemon", no_argument, NULL, 'd'},
		{"syslog", no_argument, NULL, 's'},
		{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct agent_options o = agent_defaults;
	int option, ret;

	if (!fill_streams())
		return 1;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":fdsvh", options, NULL)) != -1) {
		ret = take(&o, option, argv[optind - 1]);
		if (ret)
			return ret > 0 ? ret : fflush(stdout) == 0 ? 0 : 1;
	}
	if (optind < argc)
		return usage("unexpected argument '%s'", argv[optind]);
	if (!o.kvp && !o.vss && !o.fcopy)
		return usage("%s is left to do", "nothing");
	if (o.directory[0] != '/' || o.fcopy_root[0] != '/' || o.scripts[0] != '/')
		return usage("%s begin with '/'", "the names of directories");
	if (o.daemon && daemon(0, 0) < 0)
		return usage("can't go into the background: %s", strerror(errno));
	log_start(o.syslog || o.daemon, o.verbose);
	return agent_run(&o);
}
