/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The frame of the conformance programs: areas in child processes, and the printing of
 * one line per check.  The parent never opens a device, so a child begins as a new
 * program would.
 */
#include "conformance.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/utsname.h>
#include <sys/wait.h>

void *volatile nowhere = (void *)16, *volatile null_pointer;

static const char *area_name = "";

long result(long value)
{
	return value == -1 ? -errno : value;
}

const char *result_name(long value)
{
	static char buffers[8][32];
	static unsigned next;
	char *b = buffers[next++ % 8];

	if (value < 0 && value > -4096) {
		const char *name = strerrorname_np((int)-value);

		if (name)
			snprintf(b, sizeof(buffers[0]), "-%s", name);
		else
			snprintf(b, sizeof(buffers[0]), "-errno%ld", -value);
	} else {
		snprintf(b, sizeof(buffers[0]), "%ld", value);
	}
	return b;
}

const char *fd_name(long value)
{
	return value < 0 ? result_name(value) : "fd";
}

static void say_line(const char *name, va_list arguments, const char *text)
{
	printf("%s.", area_name);
	vprintf(name, arguments);
	printf(": %s\n", text);
}

void say(long value, const char *name, ...)
{
	va_list arguments;

	va_start(arguments, name);
	say_line(name, arguments, result_name(value));
	va_end(arguments);
}

void say_fd(long value, const char *name, ...)
{
	va_list arguments;

	va_start(arguments, name);
	say_line(name, arguments, fd_name(value));
	va_end(arguments);
}

void say_text(const char *name, const char *text, ...)
{
	va_list arguments;

	printf("%s.%s: ", area_name, name);
	va_start(arguments, text);
	vprintf(text, arguments);
	va_end(arguments);
	putchar('\n');
}

void give_up(const char *what, long value)
{
	say_text("gave up", "%s: %s", what, result_name(value));
	fflush(stdout);
	_exit(1);
}

void text_add(struct text *t, const char *format, ...)
{
	size_t room = sizeof(t->data) - t->length;
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(t->data + t->length, room, format, arguments);
	va_end(arguments);
	t->length += (size_t)n < room ? (size_t)n : room - 1;
}

static char run_word[64];
static unsigned run_length;

void text_end_run(struct text *t)
{
	if (run_length == 1)
		text_add(t, " %s", run_word);
	else if (run_length > 1)
		text_add(t, " %s*%u", run_word, run_length);
	run_length = 0;
}

void text_add_run(struct text *t, const char *word)
{
	if (run_length && strcmp(word, run_word) == 0) {
		run_length++;
		return;
	}
	text_end_run(t);
	snprintf(run_word, sizeof(run_word), "%s", word);
	run_length = 1;
}

static char *two_pages(int protection)
{
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		give_up("mmap", -errno);
	if (mprotect(pages + 4096, 4096, protection))
		give_up("mprotect", -errno);
	return pages;
}

void *edge(size_t size, const void *data)
{
	static char *places[4];
	static unsigned next;
	char **place = &places[next++ % 4];
	char *start;

	if (!*place)
		*place = two_pages(PROT_NONE);
	start = *place + 4096 - size;
	if (data)
		memcpy(start, data, size);
	else
		memset(start, 0xa5, size);
	return start;
}

const void *read_only(size_t size, const void *data)
{
	static char *place;

	if (!place)
		place = two_pages(PROT_READ);
	if (mprotect(place, 4096, PROT_READ | PROT_WRITE))
		give_up("mprotect", -errno);
	memcpy(place, data, size);
	if (mprotect(place, 4096, PROT_READ))
		give_up("mprotect", -errno);
	return place;
}

static void run_area(const struct area *area)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child < 0) {
		perror("fork");
		exit(2);
	}
	if (child == 0) {
		area_name = area->name;
#ifdef CONFORMANCE_EMBEDDED
		if (standin_start(getenv("STANDIN_CONFIGURATION"))) {
			say_text("gave up", "%s", standin_error());
			fflush(stdout);
			_exit(1);
		}
#endif
		area->run();
		fflush(stdout);
#ifdef CONFORMANCE_EMBEDDED
		standin_stop();
		exit(0); /* lets a leak checker look */
#endif
		_exit(0);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		printf("%s: killed by signal %d\n", area->name, WTERMSIG(status));
	else if (WEXITSTATUS(status))
		printf("%s: exit status %d\n", area->name, WEXITSTATUS(status));
}

static bool is_chosen(int argc, char **argv, const char *name)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc < 2;
}

int conformance_main(int argc, char **argv, const struct area *areas, size_t n)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && strcmp(argv[1], "--kernel") == 0) {
		struct utsname u;

		uname(&u);
		printf("# Answers of Linux %s, %s.\n", u.release, u.machine);
		argc--;
		argv++;
	}
	for (size_t i = 0; i < n; i++) {
#ifdef CONFORMANCE_EMBEDDED
		if (areas[i].needs_process)
			continue;
#endif
		if (is_chosen(argc, argv, areas[i].name))
			run_area(&areas[i]);
	}
	printf("end\n");
	return 0;
}
