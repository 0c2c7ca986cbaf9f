/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * standin help: the texts, one per command.  The man pages say the same at length.
 */
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "cli/cli.h"

static const char general[] =
	"Usage: standin COMMAND ...\n"
	"\n"
	"Runs programs written for kernel device interfaces on a machine without the devices.\n"
	"\n"
	"  standin run [OPTION]... [--] PROGRAM [ARG]...   run PROGRAM with stood-in devices\n"
	"  standin list [--devices] [--ioctls] [--faults]  what can be stood in for\n"
	"  standin ps                                      what is running\n"
	"  standin scsi list|add|remove ...                units of a running /dev/vhost-scsi\n"
	"  standin kvp get|set|delete|list|ip|raw ...      a Hyper-V host: key-value pairs,\n"
	"  standin vss freeze|thaw|backup ...              backups,\n"
	"  standin copy SOURCE DEST                        files for a running guest,\n"
	"  standin hyperv status|suspend|disable ...       and the guest as a whole\n"
	"  standin agent [OPTION]...                       a guest agent for Hyper-V\n"
	"  standin doctor [PROGRAM]                        what works on this machine, and why "
	"not\n"
	"  standin help [COMMAND]\n"
	"  standin --version\n";

static const char run[] =
	"Usage: standin run [OPTION]... [--] PROGRAM [ARG]...\n"
	"\n"
	"Runs PROGRAM, unmodified, with devices that are not there. Without --device it gets a\n"
	"64 MiB NVMe drive in memory at 0000:01:00.0.\n"
	"\n"
	"  --device MODEL[,KEY=VALUE]...  add a device (see 'standin list --devices')\n"
	"  --config FILE                  read directives from FILE (see standin-run(1))\n"
	"  --trace[=FILE]                 print every intercepted call, to FILE or standard error\n"
	"  --fault POINT:errno=NAME[,nth=N][,every=N][,times=N]\n"
	"                                 make POINT fail (see 'standin list --faults')\n"
	"  --hmm [devices=1..4][,memory=SIZE][,coherent=on|off]\n"
	"                                 /dev/hmm_dmirror0 to 3 (see 'standin list --devices')\n"
	"  --log LEVEL                    error, warning (default), info or debug\n"
	"  --net KIND[,ifname=NAME]       /dev/net/tun stood in for, and what its taps are plugged\n"
	"                                 into: loopback, hub=PATH, socket=PATH, pcap=FILE, null,\n"
	"                                 flood=BYTES\n"
	"  --uffd auto|native|emulate     whose userfaultfd: the kernel's where it is permitted, the\n"
	"                                 kernel's, or our own (auto)\n"
	"  --uffd-backing memory|fuse     what memory is that ours watches: fuse makes the kernel's own\n"
	"                                 accesses wait, too (memory)\n"
	"  --hyperv[=KEY=VALUE,...]       Hyper-V's guest services, /dev/vmbus/hv_*, with 'standin kvp',\n"
	"                                 'vss' and 'copy' as their host: timeouts=FACTOR,\n"
	"                                 uio=on (fcopy as Linux 6.10 has it),\n"
	"                                 freeze=DIR[:DIR]... (see standin-hyperv(1))\n"
	"  --vdpa MODEL[,KEY=VALUE]...    add a vDPA device, /dev/vhost-vdpa-0 and on (see 'standin\n"
	"                                 list --devices')\n"
	"  --vhost-scsi wwpn=WWPN,lun0=FILE[,KEY=VALUE]...\n"
	"                                 a target port of /dev/vhost-scsi and its units\n"
	"  --vsock PATH                   where vsock ports are: a socket or a directory\n"
	"  --set NAME=VALUE               vfio.dma_entry_limit=N, vfio.memlock=on|off,\n"
	"                                 memory.traps=auto|guard|protect\n"
	"  -h, --help\n"
	"\n"
	"The exit status is PROGRAM's; 128+N if signal N killed it; 127 if it was not found, 126\n"
	"if it can't be executed; 2 if the options are wrong, and then nothing was started.\n";

static const char list[] = "Usage: standin list [--devices] [--ioctls] [--faults]\n"
			   "\n"
			   "  --devices  device models and their keys\n"
			   "  --ioctls   every ioctl that is answered, by kind of file\n"
			   "  --faults   the names that --fault takes\n"
			   "\n"
			   "Without an option, all of them.\n";

static const char ps[] =
	"Usage: standin ps\n"
	"\n"
	"Lists your runs that are going on: the process of 'standin run', its program\n"
	"and its devices.\n";

static const char scsi[] =
	"Usage: standin scsi [--pid PID] list\n"
	"       standin scsi [--pid PID] add WWPN[,tpgt=N] lunN=FILE[,lunN.KEY=VALUE]...\n"
	"       standin scsi [--pid PID] remove WWPN[,tpgt=N] lunN[,lunN]...\n"
	"\n"
	"Lists, adds and removes logical units of /dev/vhost-scsi while a program has it open; "
	"its\n"
	"guest is told. Keys are those of --vhost-scsi (see standin-run(1)). --pid is needed when\n"
	"several programs use the same WWPN: the process of 'standin run' or the program's.\n";

#define GUEST_OPTIONS_TEXT                                                            \
	"  --pid PID      which run: the process of 'standin run', or the daemon's\n" \
	"  --timeout S    for a daemon to be there (10), and for each answer\n"       \
	"  --json         answers as JSON, and failures too\n"

static const char kvp[] =
	"Usage: standin kvp [OPTION]... list\n"
	"       standin kvp [OPTION]... get [KEY]\n"
	"       standin kvp [OPTION]... set|add|edit KEY VALUE\n"
	"       standin kvp [OPTION]... add-ign FILE\n"
	"       standin kvp [OPTION]... delete KEY...\n"
	"       standin kvp [OPTION]... clear\n"
	"       standin kvp ip get ADAPTER [--ipv4] [--ipv6]\n"
	"       standin kvp ip set ADAPTER [--address A] [--netmask M] [--gateway G] [--dns D]\n"
	"                          [--dhcp] [--ipv4] [--ipv6]\n"
	"       standin kvp raw [--type N] [--size N] [--packet] [--no-negotiate] [--count N]\n"
	"                       HEX...|@FILE\n"
	"\n"
	"Is a Hyper-V host for a program that 'standin run --hyperv' runs and that has\n"
	"/dev/vmbus/hv_kvp open. add is for a key that is not there, edit for one that is; put, "
	"rm\n"
	"and enum are other names of set, delete and list. raw sends what it is given.\n"
	"\n"
	"  --pool POOL    external (what is changed without it), guest, auto, auto-external,\n"
	"                 auto-internal or a number; list and get look at all without it\n"
	"  -t TYPE        string (the default), dword, qword (as Windows), u64 (as Linux), "
	"expand\n" GUEST_OPTIONS_TEXT;

static const char vss[] =
	"Usage: standin vss [OPTION]... freeze|thaw\n"
	"       standin vss [OPTION]... backup [--watchdog S] [--] COMMAND [ARG]...\n"
	"\n"
	"Is a Hyper-V host for a program that 'standin run --hyperv' runs and that has\n"
	"/dev/vmbus/hv_vss open. backup freezes the guest, runs COMMAND and thaws, whatever "
	"happens;\n"
	"after S seconds (60) it thaws, ends the command and fails. Otherwise the exit status is "
	"the\n"
	"command's.\n"
	"\n" GUEST_OPTIONS_TEXT;

static const char copy[] =
	"Usage: standin copy [--create-path] [--force] [--quiet] SOURCE DEST\n"
	"\n"
	"Is a Hyper-V host for a program that 'standin run --hyperv' runs and that has\n"
	"/dev/vmbus/hv_fcopy open: copies the file SOURCE to the guest's path DEST, or into it if\n"
	"it ends with a slash.\n"
	"\n"
	"  --create-path  the guest makes directories that are missing\n"
	"  --force        the guest overwrites a file that is there\n"
	"  -q, --quiet    no progress bar\n" GUEST_OPTIONS_TEXT;

static const char hyperv[] = "Usage: standin hyperv [OPTION]... status\n"
			     "       standin hyperv [OPTION]... suspend|resume\n"
			     "       standin hyperv [OPTION]... disable|enable kvp|vss|fcopy\n"
			     "       standin hyperv raw kvp|vss|fcopy ... (as 'standin kvp raw')\n"
			     "\n"
			     "What a Hyper-V host knows of the guests that 'standin run --hyperv' "
			     "runs, and does with one\n"
			     "as a whole: it sleeps and wakes, and services come and go.\n"
			     "\n" GUEST_OPTIONS_TEXT;

static const char doctor[] =
	"Usage: standin doctor [PROGRAM]\n"
	"\n"
	"Checks what 'standin run' needs of this machine, one line each. With PROGRAM, also\n"
	"whether that program can be helped, and what to do if not. The exit status is 0 if all\n"
	"that is needed works, otherwise 1.\n";

static const struct text {
	const char *command, *text;
} texts[] = {
	{"run", run},
	{"list", list},
	{"ps", ps},
	{"scsi", scsi},
	{"kvp", kvp},
	{"vss", vss},
	{"copy", copy},
	{"hyperv", hyperv},
	{"agent", agent_help},
	{"doctor", doctor},
	{"help", general},
};

int help_print(const char *command)
{
	const char *text = general;

	for (size_t i = 0; command && i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(texts[i].command, command) == 0)
			text = texts[i].text;
	fputs(text, stdout);
	return finish_output();
}

int command_help(int argc, char **argv)
{
	if (argc > 2)
		return usage_error("help", "unexpected argument '%s'", argv[2]);
	if (argc < 2)
		return help_print(NULL);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(texts[i].command, argv[1]) == 0)
			return help_print(argv[1]);
	return usage_error(NULL, "no command is named '%s'", argv[1]);
}
