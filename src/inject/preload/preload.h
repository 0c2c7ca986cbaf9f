/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inject/preload/preload.h - what the files of the preload library share.
 *
 * Wrappers are generated from symbols.def.  Hand-written parts are named by kind:
 * lead_NAME() is called for a path that may be ours, live_NAME() once the runtime is
 * loaded, do_NAME() always.  They keep libc's conventions: -1 and errno.  Everything
 * else here returns -errno.  Include next.h (generated) to call libc: next_NAME().
 */
#ifndef STANDIN_PRELOAD_H
#define STANDIN_PRELOAD_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>
#include <utime.h>

#include "core/fdtable.h"
#include "inject/preload/path.h"
#include "inject/runtime.h"

#define EXPORT      __attribute__((visibility("default")))
#define COLD        __attribute__((noinline, cold))
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

typedef int scandir_filter(const struct dirent *entry);
typedef int scandir_compare(const struct dirent **a, const struct dirent **b);
typedef int glob_error(const char *path, int error);
typedef int ftw_visit(const char *path, const struct stat *st, int type);
typedef int nftw_visit(const char *path, const struct stat *st, int type, struct FTW *place);

/* ---- start.c: libc behind us, and the runtime ---- */

struct next_symbol {
	const char *name;
	void **pointer; /* &next_NAME */
	void *absent;   /* what it becomes if nobody has the symbol */
};
extern const struct next_symbol next_symbols[];
extern void *next_usable_size; /* malloc_usable_size(3), or NULL */
void resolve_next(void);

extern const struct runtime *_Atomic runtime;

/* The runtime, or NULL while this process has opened no stood-in device. */
static inline const struct runtime *live(void)
{
	return atomic_load_explicit(&runtime, memory_order_acquire);
}

/* Loads it if need be.  NULL: it cannot be; the reason has been said. */
const struct runtime *activate(void);
/* Around a fork: nobody is in the middle of activating. */
bool activation_held(void); /* by this thread */
void activation_lock(void);
void activation_unlock(void);
void activation_forked(void);

/* libc's convention from the kernel's. */
static inline long result(long value)
{
	if (unlikely((unsigned long)value >= (unsigned long)-4095L)) {
		errno = (int)-value;
		return -1;
	}
	return value;
}

/* ---- descriptors.c ---- */

bool fd_ours_slow(const struct runtime *rt, int fd);

/* Whether fd is stood in for. */
static inline bool fd_ours(int fd)
{
	const struct runtime *rt = live();

	if (likely(!rt))
		return false;
	if (likely((unsigned)fd < rt->n_slots &&
		   atomic_load_explicit(&rt->slots[fd], memory_order_relaxed) == FD_FOREIGN))
		return false;
	return fd_ours_slow(rt, fd);
}

/* The runtime's own: does not exist for the client. */
static inline bool fd_hidden(const struct runtime *rt, int fd)
{
	return (unsigned)fd < rt->n_slots &&
	       atomic_load_explicit(&rt->slots[fd], memory_order_relaxed) == FD_PRIVATE;
}

/* `fd` has just been made by libc, so what the table says of the number is out of date. */
int fd_fresh(int fd);

ssize_t vector_read(const struct runtime *rt, int fd, const struct iovec *iov, int count,
		    off_t offset);
ssize_t vector_write(const struct runtime *rt, int fd, const struct iovec *iov, int count,
		     off_t offset);
ssize_t vector2_read(const struct runtime *rt, int fd, const struct iovec *iov, int count,
		     off_t offset, int flags);
ssize_t vector2_write(const struct runtime *rt, int fd, const struct iovec *iov, int count,
		      off_t offset, int flags);

/* ---- memory.c ---- */

/* What the kernel is about to be given, or to store to, becomes what it can reach. */
void reach_slow(const struct runtime *rt, const void *address, size_t size, bool stores);
void reach_vector_slow(const struct runtime *rt, const struct iovec *iov, size_t count,
		       bool stores);
void reach_message_slow(const struct runtime *rt, const struct msghdr *message, bool stores);
/* The same but for the data: false, there is no such message, else *ret is what it says. */
bool reach_header_slow(const struct runtime *rt, const struct msghdr *message, bool stores,
		       struct msghdr *ret);
void reach_messages_slow(const struct runtime *rt, const struct mmsghdr *messages, unsigned count,
			 bool stores);
/* What an ioctl(2) is given. */
void reach_argument_slow(const struct runtime *rt, unsigned long command, const void *argument);

/*
 * A call of libc's with memory that reach_KIND_slow(rt, ...) makes reachable; again if it
 * failed while pages moved.
 */
#define WITH_MEMORY(call, reach, ...)                                                            \
	({                                                                                       \
		__typeof__(call) with_;                                                          \
		const struct runtime *rt_ = live();                                              \
		uint64_t moves_ = 0;                                                             \
                                                                                                 \
		do {                                                                             \
			if (rt_)                                                                 \
				moves_ = atomic_load(rt_->memory_moves);                         \
			if (unlikely(rt_ && atomic_load_explicit(rt_->memory_attention,               \
								 memory_order_relaxed)))         \
				reach(rt_, __VA_ARGS__);                                         \
			with_ = call;                                                            \
		} while (unlikely((long)with_ == -1 && errno == EFAULT && rt_ &&                       \
				  rt_->memory_moved_since(moves_)));                             \
		with_;                                                                           \
	})

/* ---- input.c: calls that store what they read, which may be less than there is room for ---- */

struct input {
	int fd;
	off_t offset;   /* -1: where the file is */
	int flags;      /* of recv(2) */
	bool begun;     /* something has been made reachable: */
	size_t reached; /* what could be read then, */
	bool complete;  /* and that was all of the room */
};

/* What the call can store to by now becomes what it can reach; after a failure, more. */
void input_slow(const struct runtime *rt, struct input *in, const void *address, size_t size);
void input_vector_slow(const struct runtime *rt, struct input *in, const struct iovec *iov,
		       size_t count);
void input_message_slow(const struct runtime *rt, struct input *in, const struct msghdr *message);
/* The call has failed with EFAULT: whether it is to be made again. */
bool input_retry(const struct input *in);

/* As WITH_MEMORY, of a call that reads from `fd`. */
#define WITH_INPUT(call, at, with, reach, ...)                                    \
	({                                                                        \
		struct input input_ = {.fd = fd, .offset = (at), .flags = (with)}; \
		ssize_t read_;                                                    \
                                                                                  \
		do {                                                              \
			read_ = WITH_MEMORY(call, reach, &input_, __VA_ARGS__);   \
		} while (unlikely(read_ == -1 && errno == EFAULT &&               \
				  input_retry(&input_)));                         \
		read_;                                                            \
	})

/* PAGEMAP_SCAN; false: the descriptor isn't of this process's pagemap. */
bool pagemap_scan_slow(const struct runtime *rt, int fd, void *argument, long *ret_result);
void pagemap_read_slow(const struct runtime *rt, int fd, void *buffer, ssize_t n, off_t offset);

/* libc has read `n` bytes from `offset` on, -1: from where the file was.  n. */
static inline ssize_t pagemap_read(int fd, void *buffer, off_t offset, ssize_t n)
{
	const struct runtime *rt = live();

	if (unlikely(rt && n > 0 && n % 8 == 0 &&
		     atomic_load_explicit(rt->memory_attention, memory_order_relaxed)))
		pagemap_read_slow(rt, fd, buffer, n, offset);
	return n;
}

/* ---- user.c ---- */

/* What is in the private directory's `config`, if this process has changed its user; or NULL. */
extern const char *kept_configuration;

/* ---- passing.c ---- */

/* Stood-in files that this program was started with. */
void find_inherited(void);

/* ---- redirect.c ---- */

#define ROOT_MAX 512 /* bytes of "$STANDIN_DIRECTORY/root" with its end */

/* The tree; root_length is 0 when there is none and the library is inert, -1 before start. */
extern char root[ROOT_MAX];
extern int root_length;
void root_start(void);

enum cwd { CWD_UNKNOWN, CWD_OUTSIDE, CWD_TREE, CWD_VARIES };
extern _Atomic int cwd_state;
extern pid_t cwd_owner; /* the process whose memory this is */

bool suspect_slow(int dirfd, const char *path);

/*
 * Whether the path may be ours; false costs some ns.  An address that no pointer can
 * have goes to the kernel, which says EFAULT.
 */
static inline bool suspect(int dirfd, const char *path)
{
	if (root_length == 0 || (uintptr_t)path - 4096 >= (1UL << 47) - 8192)
		return false;
	return suspect_slow(dirfd, path);
}

/* Where a path leads. */
struct led {
	const char *path;               /* what to give to the kernel: the original, or `text` */
	bool tree;                      /* covered by a prefix; `path` is inside the root */
	bool device;                    /* and below /dev: may be a device node */
	char real[ROOT_MAX + PATH_MAX]; /* backs `path` */
	char virtual[PATH_MAX];         /* if tree: the client's name for it, normal */
};

void lead(int dirfd, const char *path, struct led *l);
/* Of `root`, without its end. */
static inline size_t root_size(void)
{
	return root_length > 0 ? (size_t)root_length : 0;
}
/* In-place for a string: takes the root away. */
void unroot(char *text);
/*
 * Whether the tree refuses that something at `l` is taken away or, if `new`, made: sysfs
 * does.  Then errno says why.
 */
bool frozen(const struct led *l, bool new);
/*
 * If `l` is a link in the tree that names the very path that led to it, it stands for an
 * entry of the real machine: then true, and l->path is that.
 */
bool lead_through(struct led *l);

/*
 * Whether descriptors of directories may exist that are in the tree, and of ones that
 * hold device nodes.  note_opened() is told of everything that is opened.
 */
extern _Atomic bool tree_opened, devices_opened;
static inline void note_opened(const struct led *l)
{
	if (l->tree)
		atomic_store_explicit(&tree_opened, true, memory_order_relaxed);
	if (l->device)
		atomic_store_explicit(&devices_opened, true, memory_order_relaxed);
}

/* ---- signals.c ---- */

/* `set` without our signals, in `copy` if that makes a difference. */
const sigset_t *mask_to_wait_with(const sigset_t *set, sigset_t *copy);

/* ---- stat.c ---- */

/* Shows a device node of the tree as one. */
void show_stat(const struct led *l, struct stat *st);

/* ---- descriptors.c, freeze.c ---- */

/* ioctl(2) when the runtime is loaded. */
int live_ioctl(int fd, unsigned long command, void *argument);
/* FIFREEZE and FITHAW: whether they are answered here, with a value or -errno. */
bool freeze_ioctl(int fd, unsigned long command, long *ret_answer);

/* ---- open.c ---- */

/*
 * Opens what stands behind `l`, if it is a device node: true, and *ret_fd is a
 * descriptor or -errno.
 */
bool open_device(struct led *l, int flags, int *ret_fd);

/* ---- fdinfo.c ---- */

/* Whether `path` is that of a descriptor's fdinfo: it is not led anywhere, but may be ours. */
bool fdinfo_suspect(const char *path);
/* Opens it if the descriptor is stood in for: true, and *ret_fd is a descriptor or -errno. */
bool fdinfo_open(const char *path, int flags, int *ret_fd);

/* ---- entry points from assembly (x86_64/preload.S) ---- */

#define SYSCALL_ROUTES 512
extern const unsigned char syscall_routes[SYSCALL_ROUTES];
long syscall_routed(long number, long a, long b, long c, long d, long e, long f);
extern void *next_syscall, *next_clone, *next_vfork;
/* Whether the client has made a task by its own clone(2), or a fork that we have not seen. */
extern _Atomic bool client_clones;
pid_t fork_for_vfork(void);
void register_fork_handlers(void);

#endif
