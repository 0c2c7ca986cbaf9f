/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file of what is backed: as large as the address space, it costs what is in it.
 *
 * Who may mount file systems, if only in a namespace of his own, has one in a tmpfs that is
 * mounted nowhere, where a mapping that asks for huge pages gets them: there 2 MiB that are filled
 * at once become one page, which takes a third of the time.  Everybody else has a memfd, for which
 * the whole system's setting counts, and that mostly says no.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/mount.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include "memory/backed_private.h"
#include "memory/namespace.h"
#include "memory/own.h"
#include "memory/radix.h"
#include "memory/range.h"

static int file = -EBADF; /* -EBADF: not made yet; else negative: there can't be one */
/* Of the engine's own: where huge pages are mapped to be made, and the window; 0: never. */
static uintptr_t place, window;
static dev_t device;
static uint64_t inode;

/* ---- the file itself ---- */

bool backed_is_file(dev_t of_device, uint64_t of_inode)
{
	return file >= 0 && of_inode == inode && of_device == device;
}

/* Of any size, with huge pages as advised. */
static bool configure(int context)
{
	return host_syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "huge", "advise", 0) == 0 &&
	       host_syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "size", "0", 0) == 0 &&
	       host_syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0;
}

static int make_in_tmpfs(void *ret_fd)
{
	int context = (int)host_syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), mount = -EINVAL;
	int *fd = ret_fd;

	if (context < 0)
		return context;
	if (configure(context))
		mount = (int)host_syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
	*fd = mount;
	if (mount >= 0) {
		*fd = (int)host_syscall(SYS_openat, mount, ".", O_TMPFILE | O_RDWR | O_CLOEXEC,
					0600);
		host_close(mount);
	}
	host_close(context);
	return *fd < 0 ? *fd : 0;
}

/* Whether mappings of it can have markers: from 6.15 on. */
static bool takes_markers(void)
{
	void *p = host_mmap(NULL, MEMORY_PAGE, PROT_NONE, MAP_SHARED, file, 0);
	bool takes;

	if (host_is_error(p))
		return false;
	takes = range_advise((uintptr_t)p, (uintptr_t)p + MEMORY_PAGE, MADV_GUARD_INSTALL) == 0;
	host_munmap(p, MEMORY_PAGE);
	return takes;
}

static void find_place(void)
{
	void *p = place ? NULL : own_alloc(3 * MEMORY_UNIT);

	if (!p)
		return;
	place = ((uintptr_t)p + MEMORY_UNIT - 1) & ~(MEMORY_UNIT - 1);
	window = place + MEMORY_UNIT;
}

static void make(void)
{
	struct stat st;
	int fd;

	if (namespace_mount(make_in_tmpfs, &fd, sizeof(fd)) == 0)
		find_place();
	else
		fd = (int)host_syscall(SYS_memfd_create, "standin:backing", MFD_CLOEXEC);
	file = hostfd_adopt(fd);
	if (file < 0)
		return;
	if (host_syscall(SYS_ftruncate, file, MEMORY_LIMIT) == 0 && host_fstat(file, &st) == 0 &&
	    takes_markers()) {
		device = st.st_dev;
		inode = st.st_ino;
		return;
	}
	hostfd_close(file);
	file = -ENOSYS;
}

/* The limit for the size of files holds for this one as well. */
static bool is_unlimited(void)
{
	struct rlimit limit;

	return host_syscall(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &limit) == 0 &&
	       limit.rlim_cur == RLIM_INFINITY;
}

bool backed_file_make(void)
{
	if (!is_unlimited())
		return false;
	if (file == -EBADF)
		make();
	return file >= 0;
}

int backed_descriptor(void)
{
	return file;
}

void backed_file_forked(void)
{
	hostfd_close(file);
	file = -EBADF;
}

/* ---- mappings ---- */

bool backed_map(uintptr_t start, uintptr_t end)
{
	void *p = host_mmap((void *)start, end - start, PROT_NONE,
			    MAP_SHARED | MAP_FIXED | MAP_NORESERVE, file, (off_t)start);

	return !host_is_error(p);
}

const void *backed_window(uintptr_t start, uintptr_t end)
{
	return host_mmap(NULL, end - start, PROT_READ, MAP_SHARED, file, (off_t)start);
}

/* ---- contents ---- */

/* Signals are blocked where there is a limit, so it waits to be delivered. */
static void take_size_signal(void)
{
	const uint64_t set = UINT64_C(1) << (SIGXFSZ - 1);
	const struct timespec now = {0};

	host_syscall(SYS_rt_sigtimedwait, &set, NULL, &now, sizeof(set));
}

/* Maps [at, at + MEMORY_UNIT), where there is nothing, and has it made one page. */
static bool make_huge(uintptr_t where, uintptr_t at)
{
	void *p = host_mmap((void *)where, MEMORY_UNIT, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_FIXED, file, (off_t)at);

	return !host_is_error(p) && range_advise(where, where + MEMORY_UNIT, MADV_HUGEPAGE) == 0 &&
	       range_advise(where, where + MEMORY_PAGE, MADV_POPULATE_WRITE) == 0;
}

static void unmap_huge(uintptr_t where)
{
	host_mmap((void *)where, MEMORY_UNIT, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

char *backed_window_open(uintptr_t at)
{
	if (!window || !make_huge(window, at))
		return NULL;
	return (char *)window;
}

void backed_window_close(void)
{
	unmap_huge(window);
}

void backed_punch(uintptr_t start, uintptr_t end)
{
	host_syscall(SYS_fallocate, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start,
		     end - start);
}

long backed_write(uintptr_t to, const char *from, size_t size)
{
	uintptr_t huge = (to + MEMORY_UNIT - 1) & ~(MEMORY_UNIT - 1), end = to + size;
	long n;

	if (backed_stream_write(to, from, size))
		return (long)size;
	for (; place && huge + MEMORY_UNIT <= end; huge += MEMORY_UNIT) {
		make_huge(place, huge);
		unmap_huge(place);
	}
	n = host_pwrite(file, from, size, (off_t)to);
	if (n == -EFBIG)
		take_size_signal();
	if (n < (long)size) {
		uintptr_t reached = n < 0 ? to : (to + (uintptr_t)n) & ~(MEMORY_PAGE - 1);

		backed_punch(reached, end);
		if (reached > to)
			return (long)(reached - to);
		return n == -ENOSPC ? -ENOMEM : n < 0 ? n : -EFAULT;
	}
	if (place)
		backed_stream_note(to, size);
	return n;
}

int backed_read(uintptr_t from, char *to, size_t size)
{
	return host_pread(file, to, size, (off_t)from) == (ssize_t)size ? 0 : -EIO;
}

static uintptr_t seek(uintptr_t at, uintptr_t end, int whence)
{
	long to = host_syscall(SYS_lseek, file, at, whence);

	return to < 0 || (uintptr_t)to > end ? end : (uintptr_t)to;
}

bool backed_is_empty(uintptr_t at, size_t size)
{
	return seek(at, at + size, SEEK_DATA) == at + size;
}

uintptr_t backed_next(uintptr_t at, uintptr_t end, bool there, uintptr_t *ret_end)
{
	backed_stream_end();
	at = seek(at, end, there ? SEEK_DATA : SEEK_HOLE);
	*ret_end = at < end ? seek(at, end, there ? SEEK_HOLE : SEEK_DATA) : end;
	return at;
}

bool backed_has(struct backed_run *run, uintptr_t at)
{
	uintptr_t to;

	if (at >= run->start && at < run->end)
		return run->there;
	run->start = at;
	run->there = backed_next(at, MEMORY_LIMIT, true, &to) == at;
	run->end = run->there ? to : seek(at, MEMORY_LIMIT, SEEK_DATA);
	return run->there;
}
