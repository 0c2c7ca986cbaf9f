/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * standin doctor: tries each thing that standing in needs and says what it found, one line
 * each: "ok", "no" (needed, with what to do) or "--" (works without, with what is lost).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/library.h"
#include "cli/program.h"
#include "control/private.h"

#define PROC_MAGIC 0x9fa0

static bool all_needed_works = true;

__attribute__((format(printf, 3, 4))) static void found(const char *mark, const char *what,
							const char *format, ...)
{
	va_list args;

	printf("%-2s  %-18s ", mark, what);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

#define works(what, ...) found("ok", what, __VA_ARGS__)
#define lost(what, ...)  found("--", what, __VA_ARGS__)
#define broken(what, ...)                       \
	do {                                    \
		all_needed_works = false;       \
		found("no", what, __VA_ARGS__); \
	} while (0)

/* Maps it as the dynamic linker would: a noexec mount shows here. */
static void check_library(const char *what, const char *name)
{
	char path[PATH_MAX];
	void *map = MAP_FAILED;
	int fd;

	if (library_find(name, path) < 0) {
		broken(what, "%s is not beside this program nor in %s: install it again", name,
		       STANDIN_LIBRARY_DIR);
		return;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		map = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		broken(what, "%s can't be executed (%s): is it on a noexec mount?", path,
		       strerror(errno));
	else
		works(what, "%s", path);
	if (map != MAP_FAILED)
		munmap(map, 4096);
	if (fd >= 0)
		close(fd);
}

static void check_directory(void)
{
	struct private_directory directory;
	int result = private_create(&directory);

	if (result < 0) {
		broken("private directory",
		       "can't be made in %s (%s): set XDG_RUNTIME_DIR to a "
		       "directory of yours",
		       private_base(), strerror(-result));
		return;
	}
	works("private directory", "in %.*s", (int)(strrchr(directory.path, '/') - directory.path),
	      directory.path);
	private_remove(&directory);
}

static void check_proc(void)
{
	struct statfs fs;

	if (statfs("/proc", &fs) == 0 && fs.f_type == PROC_MAGIC &&
	    access("/proc/self/fd", X_OK) == 0)
		works("/proc", "is mounted");
	else
		broken("/proc", "is not mounted: descriptors can't be identified; mount it");
}

static void check_memfd(void)
{
	int fd = memfd_create("standin:doctor", MFD_CLOEXEC);

	if (fd < 0)
		broken("memfd", "memfd_create: %s", strerror(errno));
	else if (ftruncate(fd, (off_t)10 << 40) < 0)
		broken("memfd", "can't be 10 TiB long (sparse): %s; raise 'ulimit -f'",
		       strerror(errno));
	else
		works("memfd", "sparse descriptors of 10 TiB");
	if (fd >= 0)
		close(fd);
}

/* In a child: a filter can't be taken back. */
static int try_trap(void)
{
	struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog program = {.len = 1, .filter = allow};
	unsigned action = SECCOMP_RET_TRAP;
	int status;
	pid_t child = fork();

	if (child < 0)
		return errno;
	if (child == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0 ||
		    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			    SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW,
			    &program) < 0)
			_exit(errno);
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return EIO;
	return WEXITSTATUS(status);
}

static void check_seccomp(void)
{
	int error = try_trap();

	if (error == 0)
		works("seccomp trap", "system calls that do not go through libc are seen too");
	else
		lost("seccomp trap",
		     "%s: ioctls of programs with system call instructions of "
		     "their own (Go, liburing) are missed",
		     strerror(error));
}

static void check_io_uring(void)
{
	struct io_uring_params params = {0};
	int fd = (int)syscall(SYS_io_uring_setup, 1, &params);

	if (fd >= 0) {
		works("io_uring", "files behind devices are read and written with it");
		close(fd);
		return;
	}
	lost("io_uring", "%s: files behind devices are read and written by threads, slower%s",
	     strerror(errno),
	     errno == EPERM ? " (sysctl kernel.io_uring_disabled, or the container's filter)" : "");
}

static void check_userfaultfd(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd >= 0) {
		works("userfaultfd",
		      "device mirrors move pages with it, and programs may have the kernel's own");
		close(fd);
		return;
	}
	lost("userfaultfd",
	     "%s: device mirrors move pages more slowly; programs have standin's in its place",
	     strerror(errno));
}

/* Reads a child's memory, as a process must that serves another one's file. */
static void check_process_vm(void)
{
	static volatile char byte = 1;
	char copy = 0;
	struct iovec local = {&copy, 1}, remote = {(void *)&byte, 1};
	int error = 0;
	pid_t child = fork();

	if (child == 0) {
		pause();
		_exit(0);
	}
	if (child < 0 || process_vm_readv(child, &local, 1, &remote, 1, 0) != 1)
		error = errno;
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	if (error)
		lost("process_vm_readv",
		     "%s: another process's memory can't be reached (sysctl "
		     "kernel.yama.ptrace_scope, or the container's filter): only the process that "
		     "has opened a device can use it, and none that it forks",
		     strerror(error));
	else
		works("process_vm_readv", "devices can be used by other processes than their own");
}

static void check_machine(void)
{
	check_library("injected library", PRELOAD_LIBRARY);
	check_library("runtime library", RUNTIME_LIBRARY);
	check_directory();
	check_proc();
	check_memfd();
	check_seccomp();
	check_io_uring();
	check_userfaultfd();
	check_process_vm();
}

static void describe(const char *name, const struct program *program)
{
	const char *obstacle = program_obstacle(program);
	size_t own;

	if (program->script)
		works("script", "%s runs %s, and so does the rest hold for that", name,
		      program->path);
	if (!program->elf) {
		lost("program", "%s is no ELF file: the kernel or a shell decides what runs it",
		     program->path);
		return;
	}
	if (obstacle) {
		broken("program", "%s: %s", program->path, obstacle);
		return;
	}
	works("program", "%s is dynamically linked", program->path);
	if (program->shared_asan)
		works("ASan", "as a shared library: 'standin run' adds verify_asan_link_order=0 to "
			      "ASAN_OPTIONS; when a script starts the program, set it yourself");
	if (program->go)
		lost("Go", "made by the Go tool chain, which opens files by system calls of its "
			   "own: devices are there only for C code in it");
	own = program_count_syscalls(program);
	if (own)
		works("system calls",
		      "%zu places look like system call instructions of its own: "
		      "seccomp trap is used",
		      own);
	else
		works("system calls", "none of its own: all go through libc");
}

int command_doctor(int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
	struct program program;
	int c, result;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:h", options, NULL)) != -1) {
		if (c != 'h')
			return option_error("doctor", c, argv[optind - 1]);
		return help_print("doctor");
	}
	if (optind + 1 < argc)
		return usage_error("doctor", "unexpected argument '%s'", argv[optind + 1]);
	if (optind < argc) {
		result = program_inspect(argv[optind], &program);
		if (result < 0) {
			complain("%s: %s", argv[optind], strerror(-result));
			return EXIT_USAGE;
		}
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	check_machine();
	if (optind < argc)
		describe(argv[optind], &program);
	return finish_output() || !all_needed_works;
}
