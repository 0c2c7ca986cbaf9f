/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inject/runtime.h - between the two injected libraries.
 *
 * libstandin-preload.so is in every process under `standin run` and is a sieve: wrappers
 * of libc's entry points that recognise our paths and descriptors.  It needs libc alone.
 * libstandin-runtime.so is the stand-in kernel (all the rooms, Zydis, liburing); the
 * preload library loads it at the first open of a stood-in device, with RTLD_LOCAL so
 * that its libraries do not mix with the client's.  Until then nothing is installed, and
 * `runtime` in the preload library is NULL: wrappers go straight on.
 *
 * Functions return what the kernel's system call does: a value or -errno.
 */
#ifndef STANDIN_INJECT_RUNTIME_H
#define STANDIN_INJECT_RUNTIME_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "core/environment.h"
#include "memory/calls.h"

#define RUNTIME_VERSION 10

struct runtime {
	unsigned version; /* RUNTIME_VERSION */

	/* fdtable_slots: see core/fdtable.h for the values. */
	_Atomic uintptr_t *slots;
	unsigned n_slots;

	/* A device node's path, already made absolute.  -ENOENT: no such node. */
	int (*open)(const char *path, int flags);
	/* userfaultfd(2), whoever answers it. */
	int (*userfaultfd)(int flags);
	/* UFFDIO_API on a descriptor that is not stood in for, whoever answers it. */
	long (*uffd_native_api)(int fd, unsigned long arg);
	/* Whether fd is stood in for; asks the kernel if unknown.  rdev is what stat shows. */
	bool (*owns)(int fd, uint32_t *ret_rdev);
	/* What /proc/self/fd/N shows for fd: its length, or -EBADF if it isn't stood in for. */
	int (*name)(int fd, char *buffer, size_t size);
	/* What fdinfo shows beside what the kernel says of the placeholder: its length, or 0. */
	int (*describe)(int fd, char *text, size_t size);
	long (*ioctl)(int fd, unsigned long command, unsigned long arg);
	/* The same on a socket of the machine's about a network interface: false if not ours. */
	bool (*socket_ioctl)(int fd, unsigned long command, unsigned long arg, long *ret_result);
	ssize_t (*read)(int fd, void *buffer, size_t size);
	ssize_t (*write)(int fd, const void *buffer, size_t size);
	ssize_t (*pread)(int fd, void *buffer, size_t size, off_t offset);
	ssize_t (*pwrite)(int fd, const void *buffer, size_t size, off_t offset);
	/*
	 * readv and writev, of copied vectors, on a file where they are one message; false if
	 * it is another file: then each part is a transfer of its own.
	 */
	bool (*message)(int fd, const struct iovec *iov, int count, size_t total, bool store,
			ssize_t *ret_n);
	off_t (*lseek)(int fd, off_t offset, int whence);
	/* Returns (void *)-errno on failure. */
	void *(*mmap)(void *address, size_t size, int protection, int flags, int fd, off_t offset);

	/* Bookkeeping around system calls that the wrappers make. */
	void (*forget)(int fd);                              /* before close, dup2 onto */
	void (*forget_range)(unsigned first, unsigned last); /* not private ones */
	void (*duplicated)(int fd, int copy);
	/*
	 * `fd` came from another process: over a socket (`sent`) or through an exec.  Comes
	 * after forget_range; anything but a stood-in file is left alone.
	 */
	void (*received)(int fd, bool sent);
	/* `fd` is about to be sent to another process; or, with `undo`, it was not after all. */
	void (*sending)(int fd, bool undo);
	/* A process is about to be made without a fork that we see, and may inherit files. */
	void (*spawning)(void);
	/* A copy from the client's memory, which may be bad: 0 or -EFAULT. */
	int (*fetch)(void *to, const void *from, size_t size);
	/* Any registered MMIO mapping in the range?  false also when there is none at all. */
	bool (*mmio_overlaps)(const void *address, size_t size);
	void (*mmio_unmapped)(void *address, size_t size);
	int (*mmio_protect)(void *address, size_t size, int protection);
	void (*mmio_moved)(void *from, size_t old_size, void *to, size_t new_size);
	/* Around all of the client's memory calls, once registers have had their share. */
	bool (*memory_begin)(struct memory_call *c);
	void (*memory_end)(struct memory_call *c, long result);
	/*
	 * For system calls that are given memory: whether any may be out of their reach, how it
	 * comes back, and whether a call that failed with EFAULT is to be made again.
	 */
	const _Atomic unsigned *memory_attention; /* 0: no */
	void (*memory_reach)(const void *address, size_t size, bool write);
	const _Atomic uint64_t *memory_moves;
	bool (*memory_moved_since)(uint64_t moves);
	/* `n` bytes were read to `buffer` from /proc/self/pagemap, from `offset` on. */
	void (*memory_show_pagemap)(void *buffer, size_t n, uint64_t offset);
	/* PAGEMAP_SCAN on it: a number or -errno. */
	long (*memory_scan_pagemap)(void *argument);

	/*
	 * Whether files are to hear of it when they are polled; one, perhaps to be waited for:
	 * whether it is in error where the placeholder isn't.
	 */
	const _Atomic bool *polls;
	short (*polled)(int fd, short events, bool waits);

	/* Before a call that may sleep until a device does something (poll, epoll_wait...). */
	void (*before_wait)(void);

	/* The client's view of SIGSEGV, SIGBUS and SIGSYS (inject/signals.c). */
	bool (*owns_signal)(int signal);
	int (*sigaction)(int signal, const struct sigaction *act, struct sigaction *old);
	/* Once, when it is told of what follows: looks whether there are handlers of others. */
	void (*signals_look)(void);
	/* The client is about to install a handler of another, or a limit that raises one. */
	void (*signals_matter)(void);
	/* Takes our signals out of a mask that is about to be set; remembers per thread. */
	void (*mask_filter)(int how, sigset_t *set);
	/* Puts back what the client believes is blocked. */
	void (*mask_show)(sigset_t *old);

	/*
	 * fork: prepare in the parent before; after in the parent (-1: it failed) and in the
	 * child.  One fork at a time from the first to the last.
	 */
	int (*fork_prepare)(void); /* 0, or -errno: there is to be none */
	void (*fork_parent)(pid_t child);
	/* In the parent once another fork may begin: waits for who is to hear of this one. */
	void (*fork_settle)(void);
	void (*fork_child)(void);
	/*
	 * The memory engine's part: between all that the client has for pthread_atfork() and the
	 * fork itself, because nobody can make memory calls meanwhile.
	 */
	void (*memory_fork_prepare)(void);
	void (*memory_fork_parent)(void);
	void (*memory_fork_child)(void);
};

/* What the preload library passes in. */
struct runtime_host {
	unsigned version;
	const char *directory;     /* the private directory of `standin run` */
	const char *configuration; /* what is in its file `config`; NULL: it is to be read */
	/* Whether the client has made tasks by clone(2): see memory_lock_trust_locals(). */
	const _Atomic bool *clones;
};

/* libstandin-runtime.so's one export.  NULL: it could not start, and said why on stderr. */
#define RUNTIME_ENTRY "standin_runtime_start"
typedef const struct runtime *runtime_entry_fn(const struct runtime_host *host);

/* The cookie in the sixth system call argument that exempts a call from the filter. */
#define SYSCALL_COOKIE 0x7374616e64696eULL

#endif
