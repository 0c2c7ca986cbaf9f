// SPDX-License-Identifier: BSD-3-Clause
/*
 * userfaultfd: every ioctl, every cause of an error and their order, what a fault says and
 * what memory looks like before and after.  Faults happen in threads of their own; all that
 * is waited for has to come, so that nothing depends on time.
 */
#include "uffd.h"

#include <stdarg.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include <linux/magic.h>

const char *const kind_names[KINDS] = {"anon", "shared", "memfd", "memfd private", "zero"};

int uffd_raw(int flags)
{
	return (int)result(syscall(SYS_userfaultfd, flags));
}

long uffd_api(int fd, uint64_t features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};

	return result(ioctl(fd, UFFDIO_API, edge(sizeof(api), &api)));
}

int uffd_with(int flags, uint64_t features)
{
	int fd = uffd_raw(flags);
	long r;

	if (fd < 0)
		give_up("userfaultfd", fd);
	/* An access that nobody resolves ends the area, not the patience of who waits for it. */
	alarm(2 * PATIENCE / 1000);
	r = uffd_api(fd, features);
	if (r)
		give_up("UFFDIO_API", r);
	return fd;
}

int uffd_new(uint64_t features)
{
	return uffd_with(O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY, features);
}

/* ---- memory ---- */

/*
 * Around the memory is an inaccessible page on each side, and before that one which is there.
 * All lie in one page table, so that what is not there is an empty entry of it in each run.
 */
static char *map_between(uint64_t pages, int flags, int fd)
{
	const uintptr_t table = 512 * PAGE;
	size_t size = pages * PAGE, around = size + 3 * PAGE;
	char *room, *at;

	do {
		room = mmap(NULL, around, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			    -1, 0);
		if (room == MAP_FAILED)
			give_up("mmap", -errno);
	} while ((uintptr_t)room / table != ((uintptr_t)room + around - 1) / table);
	if (mprotect(room, PAGE, RW) || madvise(room, PAGE, MADV_NOHUGEPAGE))
		give_up("mprotect", -errno);
	room[0] = 1;
	at = mmap(room + 2 * PAGE, size, RW, flags | MAP_FIXED, fd, 0);
	if (at == MAP_FAILED)
		give_up("mmap", -errno);
	madvise(at, size, MADV_NOHUGEPAGE);
	return at;
}

int memfd(uint64_t pages)
{
	int fd = memfd_create("conformance", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)(pages * PAGE)))
		give_up("memfd", -errno);
	return fd;
}

int plain_file(void)
{
	static const char path[] = "/plain";
	int fd = open("/proc/self/exe", O_RDONLY);
	struct statfs fs;

	/* Where programs are in an initramfs, so in shared memory, ramfs has the others. */
	if (fd < 0 || fstatfs(fd, &fs))
		give_up("the program's file", -errno);
	if (fs.f_type != TMPFS_MAGIC)
		return fd;
	close(fd);
	mkdir(path, 0755);
	if (access("/plain/file", F_OK) && mount("ramfs", path, "ramfs", 0, NULL))
		give_up("mount of ramfs", -errno);
	fd = open("/plain/file", O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, 8 * PAGE))
		give_up("a file of ramfs", -errno);
	close(fd);
	return open("/plain/file", O_RDONLY);
}

char *memory_of(int fd, uint64_t pages)
{
	return map_between(pages, MAP_SHARED, fd);
}

char *memory(enum kind kind, uint64_t pages)
{
	char *at;
	int fd;

	switch (kind) {
	case ANON:
		return map_between(pages, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	case SHARED:
		return map_between(pages, MAP_SHARED | MAP_ANONYMOUS, -1);
	case ZERO_PRIVATE:
		fd = open("/dev/zero", O_RDWR);
		break;
	default:
		fd = memfd(pages);
	}
	if (fd < 0)
		give_up("/dev/zero", -errno);
	at = map_between(pages, kind == MEMFD ? MAP_SHARED : MAP_PRIVATE, fd);
	close(fd);
	return at;
}

void fill(char *address, uint64_t pages, unsigned first)
{
	for (uint64_t i = 0; i < pages; i++)
		memset(address + i * PAGE, (int)(first + i), PAGE);
}

char *filled(uint64_t pages, unsigned first)
{
	char *at = memory(ANON, pages);

	fill(at, pages, first);
	return at;
}

/* ---- names ---- */

static struct {
	const char *name;
	uintptr_t start, end;
} ranges[16];

void name_range(const char *name, const void *address, uint64_t pages)
{
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		if (ranges[i].name && strcmp(ranges[i].name, name) != 0)
			continue;
		ranges[i].name = name;
		ranges[i].start = (uintptr_t)address;
		ranges[i].end = (uintptr_t)address + pages * PAGE;
		return;
	}
	give_up("too many names", -ENOSPC);
}

const char *label(const char *format, ...)
{
	static char buffers[8][160];
	static unsigned next;
	char *b = buffers[next++ % 8];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(b, sizeof(buffers[0]), format, arguments);
	va_end(arguments);
	return b;
}

/* Any thread may ask. */
static const char *place_in(char *b, size_t size, uintptr_t address)
{
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		uintptr_t offset = address - ranges[i].start;

		/* The end is a place, too. */
		if (!ranges[i].name || address < ranges[i].start || address > ranges[i].end)
			continue;
		if (offset % PAGE)
			snprintf(b, size, "%s+%lu.%#lx", ranges[i].name, offset / PAGE,
				 offset % PAGE);
		else
			snprintf(b, size, "%s+%lu", ranges[i].name, offset / PAGE);
		return b;
	}
	snprintf(b, size, address ? "elsewhere" : "0");
	return b;
}

const char *place(const void *address)
{
	static __thread char buffers[4][64];
	static __thread unsigned next;

	return place_in(buffers[next++ % 4], sizeof(buffers[0]), (uintptr_t)address);
}

/* ---- ioctls ---- */

#define UNTOUCHED 0x7777 /* what the result field holds before a call */

const char *result_text(long r, int64_t field)
{
	if (field == UNTOUCHED)
		return label("%s, result as before", result_name(r));
	if (field > 0 && field % (int64_t)PAGE == 0)
		return label("%s, result %ld pages", result_name(r), (long)field / 4096);
	return label("%s, result %s", result_name(r), result_name((long)field));
}

static long call_register(int fd, const void *address, uint64_t length, uint64_t mode,
			  uint64_t *ret_ioctls)
{
	struct uffdio_register a = {
		.range = {(uintptr_t)address, length}, .mode = mode, .ioctls = UNTOUCHED};
	struct uffdio_register *at = edge(sizeof(a), &a);
	long r = result(ioctl(fd, UFFDIO_REGISTER, at));

	*ret_ioctls = at->ioctls;
	return r;
}

long do_register(int fd, const void *address, uint64_t pages, uint64_t mode)
{
	uint64_t ioctls;

	return call_register(fd, address, pages * PAGE, mode, &ioctls);
}

void must_register(int fd, const void *address, uint64_t pages, uint64_t mode)
{
	long r = do_register(fd, address, pages, mode);

	if (r)
		give_up("UFFDIO_REGISTER", r);
}

void say_register(int fd, const char *what, const void *address, uint64_t length, uint64_t mode)
{
	uint64_t ioctls;
	long r = call_register(fd, address, length, mode, &ioctls);

	if (ioctls == UNTOUCHED)
		say(r, "%s", what);
	else
		say_text(what, "%s, ioctls %#lx", result_name(r), (unsigned long)ioctls);
}

long do_range(int fd, unsigned long request, const void *address, uint64_t length)
{
	struct uffdio_range a = {(uintptr_t)address, length};

	return result(ioctl(fd, request, edge(sizeof(a), &a)));
}

void say_range(int fd, unsigned long request, const char *what, const void *address,
	       uint64_t length)
{
	say(do_range(fd, request, address, length), "%s", what);
}

long do_transfer(int fd, unsigned long request, void *to, const void *from, uint64_t length,
		 uint64_t mode, int64_t *ret_field)
{
	struct uffdio_copy a = {(uintptr_t)to, (uintptr_t)from, length, mode, UNTOUCHED};
	struct uffdio_copy *at = edge(sizeof(a), &a);
	long r = result(ioctl(fd, request, at));

	if (ret_field)
		*ret_field = at->copy;
	return r;
}

void say_transfer(int fd, unsigned long request, const char *what, void *to, const void *from,
		  uint64_t length, uint64_t mode)
{
	int64_t field;
	long r = do_transfer(fd, request, to, from, length, mode, &field);

	say_text(what, "%s", result_text(r, field));
}

long do_fill(int fd, unsigned long request, void *address, uint64_t length, uint64_t mode,
	     int64_t *ret_field)
{
	struct uffdio_zeropage a = {{(uintptr_t)address, length}, mode, UNTOUCHED};
	struct uffdio_zeropage *at = edge(sizeof(a), &a);
	long r = result(ioctl(fd, request, at));

	if (ret_field)
		*ret_field = at->zeropage;
	return r;
}

void say_fill(int fd, unsigned long request, const char *what, void *address, uint64_t length,
	      uint64_t mode)
{
	int64_t field;
	long r = do_fill(fd, request, address, length, mode, &field);

	say_text(what, "%s", result_text(r, field));
}

long do_protect(int fd, unsigned long request, void *address, uint64_t length, uint64_t mode)
{
	struct uffdio_writeprotect a = {{(uintptr_t)address, length}, mode};

	return result(ioctl(fd, request, edge(sizeof(a), &a)));
}

void say_protect(int fd, unsigned long request, const char *what, void *address, uint64_t length,
		 uint64_t mode)
{
	say(do_protect(fd, request, address, length, mode), "%s", what);
}

long copy_byte(int fd, char *address, unsigned byte, uint64_t mode)
{
	static char *page;

	if (!page)
		page = memory(ANON, 1);
	memset(page, (int)byte, PAGE);
	return do_transfer(fd, UFFDIO_COPY, address, page, PAGE, mode, NULL);
}

/* ---- areas ---- */

static const struct area areas[] = {
	{"fd", uffd_area_fd, true},
	{"user", uffd_area_user, true},
	{"device", uffd_area_device, true},
	{"handshake", uffd_area_handshake, true},
	{"register", uffd_area_register, true},
	{"unregister", uffd_area_unregister, true},
	{"copy", uffd_area_copy, true},
	{"copy-files", uffd_area_copy_files, true},
	{"pieces", uffd_area_pieces, true},
	{"zeropage", uffd_area_zeropage, true},
	{"faults", uffd_area_faults, true},
	{"wake", uffd_area_wake, true},
	{"reading", uffd_area_reading, true},
	{"polling", uffd_area_polling, true},
	{"wp-arguments", uffd_area_wp_arguments, true},
	{"wp-pages", uffd_area_wp_pages, true},
	{"wp-faults", uffd_area_wp_faults, true},
	{"wp-async", uffd_area_wp_async, true},
	{"scan", uffd_area_scan, true},
	{"minor", uffd_area_minor, true},
	{"poison", uffd_area_poison, true},
	{"sigbus", uffd_area_sigbus, true},
	{"move", uffd_area_move, true},
	{"calls", uffd_area_calls, true},
	{"calls-user-mode", uffd_area_calls_user_mode, true},
	{"calls-raw", uffd_area_calls_raw, true},
	{"calls-less", uffd_area_calls_less, true},
	{"calls-own", uffd_area_calls_own, true},
	{"remove", uffd_area_remove, true},
	{"unmap", uffd_area_unmap, true},
	{"remap", uffd_area_remap, true},
	{"changing", uffd_area_changing, true},
	{"fork", uffd_area_fork, true},
	{"fork-events", uffd_area_fork_events, true},
	{"rwp-arguments", uffd_area_rwp_arguments, true},
	{"rwp", uffd_area_rwp, true},
	{"rwp-async", uffd_area_rwp_async, true},
	{"hugetlb", uffd_area_hugetlb, true},
	{"signals", uffd_area_signals, true},
	{"instructions", uffd_area_instructions, true},
	{"stack", uffd_area_stack, true},
	{"processes", uffd_area_processes, true},
	{"programs", uffd_area_programs, true},
	{"owners", uffd_area_owners, true},
};

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "--handler") == 0)
		return uffd_handler_program(argv);
	return conformance_main(argc, argv, areas, ARRAY_SIZE(areas));
}
