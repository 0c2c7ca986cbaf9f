// SPDX-License-Identifier: BSD-3-Clause
/*
 * What memory looks like, accesses whose signals are caught, jobs in threads of their own,
 * and messages.  Signals of an access end it by siglongjmp(), as clients do.
 */
#include "uffd.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>

static int pagemap_file(void)
{
	static int fd = -1;

	/* Opened by each process for itself: it is the opener's memory that it shows. */
	static pid_t of;

	if (fd >= 0 && of == getpid())
		return fd;
	fd = open("/proc/self/pagemap", O_RDONLY);
	of = getpid();
	if (fd < 0)
		give_up("/proc/self/pagemap", -errno);
	return fd;
}

void say_pagemap(const char *what, const void *address, uint64_t pages)
{
	static const struct {
		unsigned bit;
		char letter;
	} letters[] = {{63, 'p'}, {62, 's'}, {61, 'f'}, {57, 'w'}, {56, 'x'}, {58, 'g'}};
	struct text t = {.length = 0};

	for (uint64_t i = 0; i < pages; i++) {
		uint64_t entry = 0;
		char word[8], *at = word;

		if (pread(pagemap_file(), &entry, 8, (off_t)((uintptr_t)address / PAGE + i) * 8) !=
		    8)
			give_up("pagemap", -errno);
		for (size_t l = 0; l < ARRAY_SIZE(letters); l++)
			if (entry >> letters[l].bit & 1)
				*at++ = letters[l].letter;
		if (at == word)
			*at++ = '-';
		*at = 0;
		text_add_run(&t, word);
	}
	text_end_run(&t);
	say_text(what, "%s", t.data + 1);
}

void say_scan(const char *what, const void *address, uint64_t pages)
{
	/* In the order of the bits; soft-dirty depends on the kernel's configuration. */
	static const char letters[] = "awfps0hdg";
	const uint64_t all = 0x1ff & ~(uint64_t)PAGE_IS_SOFT_DIRTY;
	struct page_region regions[64];
	struct pm_scan_arg a = {.size = sizeof(a),
				.start = (uintptr_t)address,
				.end = (uintptr_t)address + pages * PAGE,
				.vec = (uintptr_t)regions,
				.vec_len = ARRAY_SIZE(regions),
				.return_mask = all};
	struct text t = {.length = 0};
	long n = result(ioctl(pagemap_file(), PAGEMAP_SCAN, &a));

	if (n < 0) {
		say(n, "%s", what);
		return;
	}
	for (long i = 0; i < n; i++) {
		text_add(&t, " ");
		for (unsigned l = 0; letters[l]; l++)
			if (regions[i].categories >> l & 1)
				text_add(&t, "%c", letters[l]);
		text_add(&t, " at %s*%lu", place((void *)regions[i].start),
			 (unsigned long)(regions[i].end - regions[i].start) / PAGE);
		if (i + 1 < n)
			text_add(&t, ",");
	}
	say_text(what, "%s", n ? t.data + 1 : "nothing");
}

void say_mincore(const char *what, void *address, uint64_t pages)
{
	struct text t = {.length = 0};
	unsigned char resident[64];
	long r = result(mincore(address, pages * PAGE, resident));

	if (r) {
		say(r, "%s", what);
		return;
	}
	for (uint64_t i = 0; i < pages; i++)
		text_add_run(&t, resident[i] & 1 ? "1" : "0");
	text_end_run(&t);
	say_text(what, "%s", t.data + 1);
}

/* ---- accesses ---- */

static __thread sigjmp_buf *way_out;
static __thread char signal_text[80];

static void on_signal(int number, siginfo_t *info, void *context)
{
	if (!way_out) {
		/* Not one that is expected: let it end the area. */
		signal(number, SIG_DFL);
		return;
	}
	snprintf(signal_text, sizeof(signal_text), "%s %d at %s",
		 number == SIGBUS ? "SIGBUS" : "SIGSEGV", info->si_code, place(info->si_addr));
	siglongjmp(*way_out, 1);
}

static void catch_signals(void)
{
	struct sigaction a = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};

	sigaction(SIGBUS, &a, NULL);
	sigaction(SIGSEGV, &a, NULL);
}

static const char *try_access(volatile char *address, bool write, unsigned value)
{
	static __thread char text[80];
	sigjmp_buf here;

	catch_signals();
	if (sigsetjmp(here, 1) == 0) {
		way_out = &here;
		if (write) {
			*address = (char)value;
			snprintf(text, sizeof(text), "wrote");
		} else {
			unsigned char byte = (unsigned char)*address;

			snprintf(text, sizeof(text), "%02x", byte);
		}
	} else {
		snprintf(text, sizeof(text), "%s", signal_text);
	}
	way_out = NULL;
	return text;
}

const char *try_read(const char *address)
{
	return try_access((volatile char *)address, false, 0);
}

const char *try_write(char *address, unsigned value)
{
	return try_access(address, true, value);
}

void say_bytes(const char *what, const char *address, uint64_t pages)
{
	struct text t = {.length = 0};

	for (uint64_t i = 0; i < pages; i++)
		text_add_run(&t, try_read(address + i * PAGE));
	text_end_run(&t);
	say_text(what, "%s", t.data + 1);
}

/* ---- jobs ---- */

static struct job *jobs[64];

static void *job_thread(void *argument)
{
	struct job *job = argument;

	job->thread_id = (pid_t)syscall(SYS_gettid);
	job->value = result(job->run(job));
	job->done = true;
	return NULL;
}

struct job *start(const char *name, long (*run)(struct job *), char *address, size_t size, long a,
		  long b)
{
	struct job *job = calloc(1, sizeof(*job));
	size_t i = 0;
	int r;

	*job = (struct job){
		.name = name, .run = run, .address = address, .size = size, .a = a, .b = b};
	while (i < ARRAY_SIZE(jobs) && jobs[i])
		i++;
	if (i == ARRAY_SIZE(jobs))
		give_up("too many jobs", -ENOSPC);
	jobs[i] = job;
	r = pthread_create(&job->thread, NULL, job_thread, job);
	if (r)
		give_up("pthread_create", -r);
	return job;
}

static long run_read(struct job *job)
{
	snprintf(job->outcome, sizeof(job->outcome), "%s", try_read(job->address));
	return 0;
}

static long run_write(struct job *job)
{
	snprintf(job->outcome, sizeof(job->outcome), "%s",
		 try_write(job->address, (unsigned)job->a));
	return 0;
}

struct job *start_read(const char *name, char *address)
{
	return start(name, run_read, address, 1, 0, 0);
}

struct job *start_write(const char *name, char *address, unsigned value)
{
	return start(name, run_write, address, 1, value, 0);
}

void say_finished(struct job *job, const char *what)
{
	struct timespec until;
	int r;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE / 1000;
	r = pthread_timedjoin_np(job->thread, NULL, &until);
	if (r)
		give_up(label("%s never finishes", what), -r);
	if (job->outcome[0])
		say_text(what, "%s", job->outcome);
	else
		say(job->value, "%s", what);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		if (jobs[i] == job)
			jobs[i] = NULL;
	free(job);
}

/* ---- messages ---- */

static const char *thread_name(uint32_t id)
{
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		if (jobs[i] && (uint32_t)jobs[i]->thread_id == id)
			return jobs[i]->name;
	return id == (uint32_t)getpid() ? "the process" : "somebody";
}

const char *message_text(const struct uffd_msg *m)
{
	static const struct uffd_msg nothing;
	unsigned long length = m->arg.remap.len;
	struct uffd_msg rest = *m;
	const char *text;

	rest.event = 0;
	switch (m->event) {
	case UFFD_EVENT_PAGEFAULT:
		text = label("fault %#lx at %s%s%s", (unsigned long)m->arg.pagefault.flags,
			     place((void *)m->arg.pagefault.address),
			     m->arg.pagefault.feat.ptid ? " by " : "",
			     m->arg.pagefault.feat.ptid ? thread_name(m->arg.pagefault.feat.ptid)
							: "");
		memset(&rest.arg, 0, 20);
		break;
	case UFFD_EVENT_FORK:
		text = "fork";
		rest.arg.fork.ufd = 0;
		break;
	case UFFD_EVENT_REMAP:
		if (length % PAGE)
			text = "remap of an odd length";
		else
			text = label("remap of %s*%lu to %s", place((void *)m->arg.remap.from),
				     length / PAGE, place((void *)m->arg.remap.to));
		memset(&rest.arg, 0, 24);
		break;
	case UFFD_EVENT_REMOVE:
	case UFFD_EVENT_UNMAP:
		text = label("%s of %s to %s", m->event == UFFD_EVENT_REMOVE ? "remove" : "unmap",
			     place((void *)m->arg.remove.start), place((void *)m->arg.remove.end));
		memset(&rest.arg, 0, 16);
		break;
	default:
		text = label("event %#x", m->event);
	}
	/* What has no meaning is zero. */
	if (memcmp(&rest, &nothing, sizeof(rest)) != 0)
		text = label("%s, and more", text);
	return text;
}

void await_message(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	long r = result(poll(&p, 1, PATIENCE));

	if (r != 1 || p.revents != POLLIN)
		give_up("no message comes; poll", r == 1 ? p.revents : r);
}

struct uffd_msg take_message(int fd)
{
	struct uffd_msg *m;
	long r;

	do {
		await_message(fd);
		m = edge(sizeof(*m), NULL);
		r = result(read(fd, m, sizeof(*m)));
	} while (r == -EAGAIN);
	if (r != sizeof(*m))
		give_up("read of a message", r);
	return *m;
}

void say_message(int fd, const char *what)
{
	struct uffd_msg m = take_message(fd);

	say_text(what, "%s", message_text(&m));
}

static int compare_messages(const void *a, const void *b)
{
	const struct uffd_msg *x = a, *y = b;
	uint64_t p = x->arg.pagefault.address, q = y->arg.pagefault.address;

	if (p != q)
		return p < q ? -1 : 1;
	return strcmp(thread_name(x->arg.pagefault.feat.ptid),
		      thread_name(y->arg.pagefault.feat.ptid));
}

void say_messages(int fd, const char *what, unsigned count)
{
	struct uffd_msg messages[32];
	struct text t = {.length = 0};

	for (unsigned i = 0; i < count; i++)
		messages[i] = take_message(fd);
	qsort(messages, count, sizeof(messages[0]), compare_messages);
	for (unsigned i = 0; i < count; i++)
		text_add(&t, "%s%s", i ? "; " : "", message_text(&messages[i]));
	say_text(what, "%s", t.data);
}

void say_no_message(int fd, const char *what)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct uffd_msg m;
	long polled = result(poll(&p, 1, 0)), r = result(read(fd, &m, sizeof(m)));

	if (r == sizeof(m))
		say_text(what, "%s", message_text(&m));
	else
		say_text(what, "poll %s %#x, read %s", result_name(polled), (unsigned)p.revents,
			 result_name(r));
}

static void read_fdinfo(int fd, unsigned *ret_pending, unsigned *ret_total, char *ret_api)
{
	char line[128];
	FILE *f = fopen(label("/proc/self/fdinfo/%d", fd), "r");

	if (!f)
		give_up("fdinfo", -errno);
	*ret_pending = *ret_total = ~0U;
	ret_api[0] = 0;
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "pending:\t%u", ret_pending);
		sscanf(line, "total:\t%u", ret_total);
		sscanf(line, "API:\t%63s", ret_api);
	}
	fclose(f);
}

void say_fdinfo(int fd, const char *what)
{
	unsigned pending, total;
	char api[64];

	read_fdinfo(fd, &pending, &total, api);
	say_text(what, "pending %d, total %d", (int)pending, (int)total);
}

void say_fdinfo_api(int fd, const char *what)
{
	unsigned pending, total;
	char api[64];

	read_fdinfo(fd, &pending, &total, api);
	say_text(what, "pending %d, total %d, API %s", (int)pending, (int)total, api);
}

void await_pending(int fd, unsigned count)
{
	unsigned pending, total;
	char api[64];

	for (int ms = 0; ms < PATIENCE; ms++) {
		read_fdinfo(fd, &pending, &total, api);
		if (pending == count)
			return;
		poll(NULL, 0, 1);
	}
	give_up("faults that fdinfo shows", pending);
}
