/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Only /proc/self/smaps tells, and to write it the kernel looks at all pages of the mappings
 * before. But most mappings are as mmap(2) makes them: then the kernel joins them with a page that
 * is mapped next to them.
 */
#include "memory/advice.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "memory/radix.h"
#include "uapi/mm.h"

static const struct advice {
	unsigned bit;
	int on, off;
	char flag[3]; /* in VmFlags */
} advices[] = {
	{ADVICE_NORESERVE, -1, -1, "nr"},
	{ADVICE_DONTFORK, MADV_DONTFORK, MADV_DOFORK, "dc"},
	{ADVICE_DONTDUMP, MADV_DONTDUMP, MADV_DODUMP, "dd"},
	{ADVICE_HUGEPAGE, MADV_HUGEPAGE, -1, "hg"},
	{ADVICE_NOHUGEPAGE, MADV_NOHUGEPAGE, -1, "nh"},
	{ADVICE_MERGEABLE, MADV_MERGEABLE, MADV_UNMERGEABLE, "mg"},
	{ADVICE_SEQUENTIAL, MADV_SEQUENTIAL, MADV_NORMAL, "sr"},
	{ADVICE_RANDOM, MADV_RANDOM, MADV_NORMAL, "rr"},
};

#define N_ADVICES (sizeof(advices) / sizeof(advices[0]))

/* What all private anonymous mappings may have, and what is of no account here. */
static const char usual[] = "rd wr ex mr mw me ac sd gu um uw ";

/* ---- a page next to it ---- */

/* Whether a page at `place` becomes a part of the mapping at `inside`. */
static bool joins(uintptr_t place, const struct memory_vma *v, int flags)
{
	void *p = host_mmap((void *)place, MEMORY_PAGE, v->protection,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | flags, -1, 0);
	struct memory_vma joined;
	bool is;

	if (host_is_error(p))
		return false;
	is = (uintptr_t)p == place && memory_mapping(v->start, &joined) && joined.start <= place &&
	     joined.end > place;
	host_munmap(p, MEMORY_PAGE);
	return is;
}

static bool is_plain(const struct memory_vma *v, int flags)
{
	return joins(v->start - MEMORY_PAGE, v, flags) || joins(v->end, v, flags);
}

/* ---- smaps ---- */

struct lines {
	int fd;
	size_t at, end;
	char data[4096], line[256];
};

/* The next line, of which the beginning is kept.  false: there is none. */
static bool next_line(struct lines *l)
{
	size_t n = 0;

	for (;;) {
		char c;

		if (l->at == l->end) {
			ssize_t got = host_read(l->fd, l->data, sizeof(l->data));

			if (got <= 0)
				return false;
			l->at = 0;
			l->end = (size_t)got;
		}
		c = l->data[l->at++];
		if (c == '\n')
			break;
		if (n < sizeof(l->line) - 1)
			l->line[n++] = c;
	}
	l->line[n] = '\0';
	return true;
}

/* Whether the line is the first one of a mapping, which begins at *ret_start. */
static bool is_head(const char *line, uintptr_t *ret_start)
{
	uintptr_t start = 0;

	for (; *line && *line != '-'; line++) {
		const char *digits = "0123456789abcdef", *digit = strchr(digits, *line);

		if (!digit)
			return false;
		start = start << 4 | (uintptr_t)(digit - digits);
	}
	*ret_start = start;
	return *line == '-';
}

/* "VmFlags: rd wr mr mw me dc ". */
static int advice_of_flags(const char *flags)
{
	int advice = 0;

	for (flags += strcspn(flags, " "); *flags == ' ' && flags[1]; flags += 3) {
		char flag[4] = {flags[1], flags[2], ' '};
		size_t i = 0;

		if (strstr(usual, flag))
			continue;
		flag[2] = '\0';
		while (i < N_ADVICES && strcmp(advices[i].flag, flag))
			i++;
		if (i == N_ADVICES)
			return -EOPNOTSUPP;
		advice |= (int)advices[i].bit;
	}
	return advice;
}

static int advice_in_smaps(uintptr_t of)
{
	static struct lines l;
	int ret = -EOPNOTSUPP;
	uintptr_t start, at = 0;

	l.at = l.end = 0;
	l.fd = host_open("/proc/self/smaps", O_RDONLY | O_CLOEXEC, 0);
	if (l.fd < 0)
		return ret;
	while (at <= of && next_line(&l)) {
		if (is_head(l.line, &start))
			at = start;
		if (at == of && strncmp(l.line, "VmFlags:", 8) == 0) {
			ret = advice_of_flags(l.line);
			break;
		}
	}
	host_close(l.fd);
	return ret;
}

/* ---- all ---- */

int advice_of(const struct memory_vma *v)
{
	if (is_plain(v, 0))
		return 0;
	if (is_plain(v, MAP_NORESERVE))
		return ADVICE_NORESERVE;
	return advice_in_smaps(v->start);
}

void advice_apply(uintptr_t start, uintptr_t end, unsigned advice)
{
	for (size_t i = 0; i < N_ADVICES; i++)
		if (advice & advices[i].bit && advices[i].on >= 0)
			host_syscall(SYS_madvise, start, end - start, advices[i].on);
}

bool advice_change(unsigned *advice, int madvise)
{
	unsigned on = 0, off = 0;

	for (size_t i = 0; i < N_ADVICES; i++) {
		on |= advices[i].on == madvise ? advices[i].bit : 0;
		off |= advices[i].off == madvise ? advices[i].bit : 0;
	}
	/* Those that exclude each other. */
	if (on & (ADVICE_HUGEPAGE | ADVICE_NOHUGEPAGE))
		off = ADVICE_HUGEPAGE | ADVICE_NOHUGEPAGE;
	if (on & (ADVICE_SEQUENTIAL | ADVICE_RANDOM))
		off = ADVICE_SEQUENTIAL | ADVICE_RANDOM;
	*advice = (*advice & ~off) | on;
	return on | off;
}
