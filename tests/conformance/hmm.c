// SPDX-License-Identifier: BSD-3-Clause
/*
 * /dev/hmm_dmirrorN: every ioctl, every cause of an error, counts, and what the CPU finds
 * afterwards.  Each area runs twice, for devices with private memory (0 and 1) and for
 * coherent ones (2 and 3); a kernel has the latter when it is told where their memory is
 * (test_hmm.spm_addr_dev0, _dev1).
 */
#include "hmm.h"

unsigned first_device;

int hmm_open(unsigned unit)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/dev/hmm_dmirror%u", first_device + unit);
	fd = sys_open(path, O_RDWR);
	if (fd < 0)
		give_up(path, -errno);
	return fd;
}

long hmm_call(int fd, unsigned long request, const void *address, uint64_t pages, void *data,
	      struct hmm_dmirror_cmd *ret)
{
	struct hmm_dmirror_cmd cmd = {.addr = (uintptr_t)address,
				      .ptr = (uintptr_t)data,
				      .npages = pages,
				      .cpages = UNKEPT,
				      .faults = UNKEPT};
	struct hmm_dmirror_cmd *at = edge(sizeof(cmd), &cmd);
	long r = result(sys_ioctl(fd, request, at));

	if (ret)
		*ret = *at;
	return r;
}

static void add_count(struct text *t, const char *name, uint64_t count)
{
	if (count == UNKEPT)
		text_add(t, " %s as before", name);
	else
		text_add(t, " %s %llu", name, (unsigned long long)count);
}

static void add_call(struct text *t, int fd, unsigned long request, const void *address,
		     uint64_t pages, void *data)
{
	struct hmm_dmirror_cmd cmd;
	long r = hmm_call(fd, request, address, pages, data, &cmd);

	text_add(t, "%s", result_name(r));
	add_count(t, "cpages", cmd.cpages);
	add_count(t, "faults", cmd.faults);
	if (cmd.addr != (uintptr_t)address || cmd.ptr != (uintptr_t)data || cmd.npages != pages)
		text_add(t, " and its input changed");
}

void hmm_say(int fd, unsigned long request, const char *what, const void *address, uint64_t pages,
	     void *data)
{
	struct text t = {.length = 0};

	add_call(&t, fd, request, address, pages, data);
	say_text(what, "%s", t.data);
}

static void add_bytes(struct text *t, const unsigned char *data, uint64_t count, size_t stride)
{
	char word[8];

	for (uint64_t i = 0; i < count; i++) {
		snprintf(word, sizeof(word), "%02x", data[i * stride]);
		text_add_run(t, word);
	}
	text_end_run(t);
}

void hmm_say_data(int fd, unsigned long request, const char *what, const void *address,
		  uint64_t pages)
{
	struct text t = {.length = 0};
	unsigned char *data = (unsigned char *)memory(pages, RW);

	memset(data, 0xee, pages * PAGE);
	add_call(&t, fd, request, address, pages, data);
	text_add(&t, ":");
	add_bytes(&t, data, pages, PAGE);
	say_text(what, "%s", t.data);
}

void hmm_say_snapshot(int fd, const char *what, const void *address, uint64_t pages)
{
	struct text t = {.length = 0};
	unsigned char *data = edge(pages, NULL);

	add_call(&t, fd, HMM_DMIRROR_SNAPSHOT, address, pages, data);
	text_add(&t, ":");
	add_bytes(&t, data, pages, 1);
	say_text(what, "%s", t.data);
}

void hmm_say_pagemap(const char *what, const void *address, uint64_t pages)
{
	struct text t = {.length = 0};
	int fd = open("/proc/self/pagemap", O_RDONLY);

	for (uint64_t i = 0; i < pages; i++) {
		uint64_t entry = 0;

		if (pread(fd, &entry, 8, (off_t)((uintptr_t)address / PAGE + i) * 8) != 8)
			give_up("pagemap", -errno);
		text_add_run(&t, entry >> 63 ? "p" : entry >> 62 & 1 ? "s" : "-");
	}
	text_end_run(&t);
	close(fd);
	say_text(what, "%s", t.data + 1);
}

char *memory(uint64_t pages, int protection)
{
	size_t size = pages * PAGE;
	char *room = mmap(NULL, size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at =
		mmap(room + PAGE, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (room == MAP_FAILED || at == MAP_FAILED)
		give_up("mmap", -errno);
	madvise(at, size, MADV_NOHUGEPAGE);
	return at;
}

void fill(char *address, uint64_t pages, unsigned first)
{
	for (uint64_t i = 0; i < pages; i++)
		memset(address + i * PAGE, (int)(first + i), PAGE);
}

char *filled(uint64_t pages, unsigned first)
{
	char *at = memory(pages, RW);

	fill(at, pages, first);
	return at;
}

void say_bytes(const char *what, const void *address, uint64_t pages)
{
	struct text t = {.length = 0};

	add_bytes(&t, address, pages, PAGE);
	say_text(what, "%s", t.data + 1);
}

char *huge_memory(unsigned count)
{
	size_t size = (count + 1) * HUGE;
	char *room = mmap(NULL, size, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at = (char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));

	if (room == MAP_FAILED)
		give_up("mmap", -errno);
	/* What is around has another protection, so that the mapping is exactly this one. */
	mprotect(room, (size_t)(at - room), PROT_NONE);
	mprotect(at + count * HUGE, (size_t)(room + size - at) - count * HUGE, PROT_NONE);
	madvise(at, count * HUGE, MADV_HUGEPAGE);
	return at;
}

int file_of(uint64_t pages, unsigned first)
{
	char path[] = "/tmp/conformance-hmm.XXXXXX", page[PAGE];
	int fd = mkstemp(path);

	if (fd < 0)
		give_up("mkstemp", -errno);
	unlink(path);
	for (uint64_t i = 0; i < pages; i++) {
		memset(page, (int)(first + i), sizeof(page));
		if (write(fd, page, sizeof(page)) != (ssize_t)sizeof(page))
			give_up("write", -errno);
	}
	return fd;
}

#define BOTH(area)                        \
	static void private_##area(void)  \
	{                                 \
		first_device = 0;         \
		hmm_area_##area();        \
	}                                 \
	static void coherent_##area(void) \
	{                                 \
		first_device = 2;         \
		hmm_area_##area();        \
	}
BOTH(entry)
BOTH(read)
BOTH(write)
BOTH(invalidate)
BOTH(migrate)
BOTH(kinds)
BOTH(back)
BOTH(snapshot)
BOTH(exclusive)
BOTH(fork)
BOTH(huge)
BOTH(files)

/* Those that need a process of `standin run`'s: forks, files. */
#define AREAS(kind)                                                                                \
	{#kind "-entry", kind##_entry, false}, {#kind "-read", kind##_read, false},                \
		{#kind "-write", kind##_write, false},                                             \
		{#kind "-invalidate", kind##_invalidate, false},                                   \
		{#kind "-migrate", kind##_migrate, false}, {#kind "-kinds", kind##_kinds, false},  \
		{#kind "-back", kind##_back, false}, {#kind "-snapshot", kind##_snapshot, false},  \
		{#kind "-exclusive", kind##_exclusive, false}, {#kind "-fork", kind##_fork, true}, \
		{#kind "-huge", kind##_huge, false},                                               \
	{                                                                                          \
#kind "-files", kind##_files, true                                                 \
	}

int main(int argc, char **argv)
{
	static const struct area areas[] = {AREAS(private), AREAS(coherent)};

#ifdef CONFORMANCE_EMBEDDED
	embedded_start();
#endif
	return conformance_main(argc, argv, areas, ARRAY_SIZE(areas));
}
