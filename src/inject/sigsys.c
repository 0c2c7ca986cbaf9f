/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tier 1: whether it is needed, and what its traps answer.
 *
 * Text is looked through once, at activation, and only mapped files that can have a reason
 * to make ioctls by themselves: libc, the loader, sanitizer runtimes and our own libraries
 * are left out, and liburing, which makes no ioctls.  The look is bounded in time; what was
 * not looked at is taken to have no system calls.
 */
#include "inject/sigsys.h"

#include <stdint.h>
#include <string.h>
#include <time.h>

#include "core/hostfd.h"
#include "core/log.h"
#include "core/syscall.h"
#include "inject/filter.h"
#include "inject/runtime.h"
#include "inject/segv.h"
#include "inject/signals.h"
#include "inject/stack.h"
#include "inject/x86_64/context.h"
#include "inject/x86_64/scan.h"

#define SCAN_NS    10000000   /* at most this long ... */
#define SCAN_PIECE (1u << 20) /* ... looked at after so many bytes */

static const char *const left_out[] = {
	"libc.so",   "libc-",    "ld-linux", "ld-2",        "libpthread", "libasan",
	"libtsan",   "libubsan", "liblsan",  "libclang_rt", "libstandin", "libZydis",
	"libZycore", "liburing", "libgomp",  "librt",       "libdl.",     "libm.so",
};

static long (*answer)(int fd, unsigned long command, unsigned long arg);
static bool installed;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool is_left_out(const char *path)
{
	const char *name = strrchr(path, '/');

	if (!name || strstr(path, "/valgrind/"))
		return true; /* [vdso], anonymous; not the client's */
	for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++)
		if (strncmp(name + 1, left_out[i], strlen(left_out[i])) == 0)
			return true;
	return false;
}

static bool hex(const char **text, uint64_t *ret_value)
{
	uint64_t value = 0;
	const char *at = *text;

	for (;; at++) {
		if (*at >= '0' && *at <= '9')
			value = value * 16 + (uint64_t)(*at - '0');
		else if (*at >= 'a' && *at <= 'f')
			value = value * 16 + (uint64_t)(*at - 'a' + 10);
		else
			break;
	}
	if (at == *text)
		return false;
	*text = at;
	*ret_value = value;
	return true;
}

/* A line of /proc/self/maps: "START-END r-xp OFFSET DEVICE INODE   PATH". */
static bool executable_text(const char *line, uint64_t *ret_start, uint64_t *ret_end)
{
	const char *path;

	if (!hex(&line, ret_start) || *line++ != '-' || !hex(&line, ret_end))
		return false;
	if (line[0] != ' ' || line[1] != 'r' || line[3] != 'x')
		return false;
	path = strchr(line, '/');
	return path && !is_left_out(path);
}

static bool scan_mapping(uint64_t start, uint64_t end, uint64_t deadline)
{
	for (uint64_t at = start; at < end; at += SCAN_PIECE) {
		uint64_t size = end - at < SCAN_PIECE ? end - at : SCAN_PIECE;

		if (now_ns() > deadline)
			return false;
		if (scan_text((const void *)at, size))
			return true;
	}
	return false;
}

static bool has_system_calls(void)
{
	int fd = host_open("/proc/self/maps", 0, 0);
	uint64_t deadline = now_ns() + SCAN_NS, start, end;
	char buffer[8192 + 1], *line, *newline;
	size_t kept = 0;
	bool found = false;
	ssize_t n;

	if (fd < 0)
		return false;
	while (!found && (n = host_read(fd, buffer + kept, sizeof(buffer) - 1 - kept)) > 0) {
		kept += (size_t)n;
		buffer[kept] = '\0';
		for (line = buffer; !found && (newline = strchr(line, '\n')); line = newline + 1) {
			*newline = '\0';
			if (executable_text(line, &start, &end))
				found = scan_mapping(start, end, deadline);
		}
		kept -= (size_t)(line - buffer);
		if (kept == sizeof(buffer) - 1)
			kept = 0; /* no path is that long */
		memmove(buffer, line, kept);
	}
	host_close(fd);
	return found;
}

void sigsys_start(long (*handler)(int fd, unsigned long command, unsigned long arg))
{
	int result;

	answer = handler;
	if (installed || !has_system_calls())
		return;
	result = filter_install();
	if (result < 0)
		log_warning("ioctls that do not go through libc will not be seen: seccomp: %s",
			    strerror(-result));
	installed = result == 0;
}

static bool is_our_ioctl(const siginfo_t *info, ucontext_t *uc)
{
	uint32_t command = (uint32_t)*context_register(uc, RSI);

	return info->si_code == 1 /* SYS_SECCOMP */ && info->si_syscall == SYS_ioctl &&
	       command >= FILTER_IOCTL_FIRST && command <= FILTER_IOCTL_LAST;
}

static void do_call(void *arg)
{
	ucontext_t *uc = arg;

	*context_register(uc, RAX) =
		(uint64_t)answer((int)*context_register(uc, RDI), *context_register(uc, RSI),
				 *context_register(uc, RDX));
}

/*
 * The call is answered here whether the descriptor is stood in for or not: for others the
 * handler makes the real call, with the cookie.  A filter inherited over exec traps too.
 */
bool sigsys_claim(int signal, siginfo_t *info, ucontext_t *uc)
{
	if (signal != SIGSYS)
		return segv_claim(signal, info, uc);
	if (!answer || !is_our_ioctl(info, uc))
		return false;
	stack_run(uc, do_call, uc);
	return true;
}
