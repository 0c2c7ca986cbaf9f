/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/user.h - the client's memory and descriptors, which may be bad.
 *
 * A pointer that came from the client is never dereferenced plainly.  Where a fault
 * handler is installed (src/inject) the copies are a guarded rep movsb that costs
 * nothing extra when it succeeds; elsewhere they go through process_vm_readv on
 * ourselves.  A call made on behalf of another process (a forked child whose calls are
 * forwarded to the owner) copies from and to that process: see user_client.
 */
#ifndef STANDIN_CORE_USER_H
#define STANDIN_CORE_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * 0 or -EFAULT.  On a fault an unknown part has come from the client, and to it all that lies
 * before the first page that it can't write, as from the kernel.
 */
int copy_from_user(void *to, const void *from, size_t size);
int copy_to_user(void *to, const void *from, size_t size);

/*
 * The same between two places of this process whatever user_client says: 0 or -EFAULT.
 * Where a fault handler is installed, two bytes at an even address are one load and one store.
 */
int copy_guarded(void *to, const void *from, size_t size);

struct user_copy {
	void *to;
	const void *from;
	size_t size; /* bytes, not 0 */
};

/*
 * Several copies as copy_guarded() makes them, in order, guarded once for all: how many are
 * done, which is fewer than `n` if the next one faulted.  Nothing is said about which bytes go
 * together; sizes from 4 bytes on are fast.
 */
unsigned copy_guarded_many(const struct user_copy *copies, unsigned n);

/*
 * Length of the client's string without its end, at most `max` - 1, copied with its end
 * to `to`.  -EFAULT, or -EINVAL if no end was found in `max` bytes.
 */
ssize_t copy_string_from_user(char *to, const char *from, size_t max);

/*
 * A descriptor number that the client gave, as a descriptor of this process that the
 * caller owns (private and close-on-exec, see core/hostfd.h): or -EBADF.
 */
int user_fd_take(int fd);
/* The stood-in file behind it with a reference, or NULL. */
struct file *user_file_get(int fd);

/* Whose memory and descriptors the calls above mean, for this thread. */
struct user_client {
	pid_t pid; /* 0: this process */
	int pidfd; /* for pidfd_getfd; -1 with pid 0 */
};
extern __thread struct user_client user_client __attribute__((tls_model("initial-exec")));

/*
 * `pid` is to do calls of this process: lets it have the memory where Yama restricts that
 * (ptrace_scope 1).  Yama knows one such process, or all: from the second on it is all.
 */
void user_allow(pid_t pid);

/*
 * Could the client's memory in [address, address+size) be read, and with `write` stored to?
 * 0 or -EFAULT.  Touches one byte of each page, which faults the page in but changes
 * nothing, not even against a concurrent store.
 */
int user_touch(const void *address, size_t size, bool write);

/*
 * Sets bits of a byte of this process, atomically.  0 or -EFAULT.  Where no fault handler is
 * installed, the memory must not be unmapped meanwhile.
 */
int user_or(uint8_t *byte, uint8_t bits);

/*
 * The guarded copy: returns the bytes NOT copied.  src/inject sets it when its SIGSEGV
 * handler is in place.  NULL until then.
 */
typedef size_t guarded_copy_fn(void *to, const void *from, size_t size);
void user_set_guarded_copy(guarded_copy_fn *copy);
/* Likewise for copy_guarded_many().  Without it, that goes by the other one. */
typedef unsigned guarded_copies_fn(const struct user_copy *copies, unsigned n);
void user_set_guarded_copies(guarded_copies_fn *copy);
/*
 * A guarded user_or(): returns 0 if it could be done.  Set together with the guarded copy;
 * without it, user_touch() and user_or() make system calls.
 */
typedef size_t guarded_or_fn(uint8_t *byte, uint8_t bits);
void user_set_guarded_or(guarded_or_fn * or);

#endif
