/* SPDX-License-Identifier: BSD-3-Clause */
/* uffd.h - what the areas of the userfaultfd conformance program share. */
#ifndef CONFORMANCE_UFFD_H
#define CONFORMANCE_UFFD_H

#include "conformance.h"

#include <pthread.h>
#include <sys/types.h>

#include "../../src/uapi/mm.h"
#include "../../src/uapi/userfaultfd.h"

#define PAGE 4096UL
#define RW   (PROT_READ | PROT_WRITE)

#define MISSING UFFDIO_REGISTER_MODE_MISSING
#define WP      UFFDIO_REGISTER_MODE_WP
#define MINOR   UFFDIO_REGISTER_MODE_MINOR
#define RWP     UFFDIO_REGISTER_MODE_RWP

/* How long what must come is waited for, in ms.  Nothing waits for what must not come. */
#define PATIENCE 30000

/* ---- files ---- */

/* userfaultfd(2) with these flags and no handshake: a descriptor or -errno. */
int uffd_raw(int flags);
/* Non-blocking, for faults in user mode, after the handshake; or gives up. */
int uffd_new(uint64_t features);
int uffd_with(int flags, uint64_t features);
long uffd_api(int fd, uint64_t features);

/* ---- memory ---- */

enum kind {
	ANON,
	SHARED,                  /* anonymous, shared */
	MEMFD,                   /* shared mapping of a memfd */
	MEMFD_PRIVATE,           /* private mapping of a memfd */
	FILLABLE,                /* the end of those that COPY can fill */
	ZERO_PRIVATE = FILLABLE, /* private mapping of /dev/zero */
	KINDS
};
extern const char *const kind_names[KINDS];
/* Small pages, unpopulated, readable and writable; an inaccessible page around. */
char *memory(enum kind kind, uint64_t pages);
/* The same of a memfd of the caller's, shared. */
char *memory_of(int memfd, uint64_t pages);
int memfd(uint64_t pages);
/* A file that is no shared memory, of four pages and more, to be read. */
int plain_file(void);
/* Private anonymous memory whose page i is filled with first + i. */
char *filled(uint64_t pages, unsigned first);
void fill(char *address, uint64_t pages, unsigned first);

/*
 * Names a range, so that addresses in it are printed as "NAME+PAGES" or "NAME+PAGES.OFFSET";
 * a name given again is given up first.
 */
void name_range(const char *name, const void *address, uint64_t pages);
const char *place(const void *address);
/* A text put together; one of eight static buffers. */
const char *label(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- ioctls: the result, and what is written back ---- */

long do_register(int fd, const void *address, uint64_t pages, uint64_t mode);
void must_register(int fd, const void *address, uint64_t pages, uint64_t mode);
void say_register(int fd, const char *what, const void *address, uint64_t length, uint64_t mode);
/* UNREGISTER, WAKE */
long do_range(int fd, unsigned long request, const void *address, uint64_t length);
void say_range(int fd, unsigned long request, const char *what, const void *address,
	       uint64_t length);
/* COPY, MOVE; the result field goes to *ret_field when not NULL. */
long do_transfer(int fd, unsigned long request, void *to, const void *from, uint64_t length,
		 uint64_t mode, int64_t *ret_field);
void say_transfer(int fd, unsigned long request, const char *what, void *to, const void *from,
		  uint64_t length, uint64_t mode);
const char *result_text(long r, int64_t field);
/* ZEROPAGE, CONTINUE, POISON */
long do_fill(int fd, unsigned long request, void *address, uint64_t length, uint64_t mode,
	     int64_t *ret_field);
void say_fill(int fd, unsigned long request, const char *what, void *address, uint64_t length,
	      uint64_t mode);
/* WRITEPROTECT, RWPROTECT */
long do_protect(int fd, unsigned long request, void *address, uint64_t length, uint64_t mode);
void say_protect(int fd, unsigned long request, const char *what, void *address, uint64_t length,
		 uint64_t mode);
/* COPY of one page filled with `byte`, and the errors that are not about the destination. */
long copy_byte(int fd, char *address, unsigned byte, uint64_t mode);

/* ---- what memory looks like, without touching it ---- */

/*
 * pagemap, page by page, in runs: p present, s swapped, f of a file or shared, w protected by
 * userfaultfd, x mapped here alone, g guard; "-" none of them.
 */
void say_pagemap(const char *what, const void *address, uint64_t pages);
/* PAGEMAP_SCAN: runs of pages with their categories as letters. */
void say_scan(const char *what, const void *address, uint64_t pages);
void say_mincore(const char *what, void *address, uint64_t pages);

/* ---- accesses ---- */

/*
 * One byte read, or written; the outcome is "41", "wrote", "SIGBUS 2 at m+1".  Page by page
 * in runs: say_bytes().
 */
const char *try_read(const char *address);
const char *try_write(char *address, unsigned value);
void say_bytes(const char *what, const char *address, uint64_t pages);

/*
 * Something that a thread of its own does, since it may have to wait.  Say "finished" for
 * its outcome; it is waited for.
 */
struct job {
	const char *name; /* what messages with its thread's id say */
	long (*run)(struct job *job);
	char *address;
	size_t size;
	long a, b;
	/* The rest is the frame's. */
	long value;
	char outcome[80]; /* if not empty, said instead of value */
	volatile pid_t thread_id;
	volatile bool done;
	pthread_t thread;
};
struct job *start(const char *name, long (*run)(struct job *), char *address, size_t size, long a,
		  long b);
struct job *start_read(const char *name, char *address);
struct job *start_write(const char *name, char *address, unsigned value);
/* Waits for the job and prints its outcome; frees it. */
void say_finished(struct job *job, const char *what);

/* ---- messages ---- */

/* Waits until the file can be read, or gives up. */
void await_message(int fd);
/* Waits and reads one; prints it. */
void say_message(int fd, const char *what);
/* Waits for so many, reads them one by one, prints them sorted by address and thread. */
void say_messages(int fd, const char *what, unsigned count);
/* That there is none now: poll and read. */
void say_no_message(int fd, const char *what);
/* Waits and reads one without printing. */
struct uffd_msg take_message(int fd);
const char *message_text(const struct uffd_msg *message);
/* Waits until fdinfo shows so many faults that are not read yet. */
void await_pending(int fd, unsigned count);
/* How many faults fdinfo shows, not read and in all; and the version's line besides. */
void say_fdinfo(int fd, const char *what);
void say_fdinfo_api(int fd, const char *what);

void uffd_area_fd(void);
void uffd_area_user(void);
void uffd_area_device(void);
void uffd_area_handshake(void);
void uffd_area_register(void);
void uffd_area_unregister(void);
void uffd_area_copy(void);
void uffd_area_copy_files(void);
void uffd_area_pieces(void);
void uffd_area_zeropage(void);
void uffd_area_faults(void);
void uffd_area_wake(void);
void uffd_area_reading(void);
void uffd_area_polling(void);
void uffd_area_wp_arguments(void);
void uffd_area_wp_pages(void);
void uffd_area_wp_faults(void);
void uffd_area_wp_async(void);
void uffd_area_scan(void);
void uffd_area_minor(void);
void uffd_area_poison(void);
void uffd_area_sigbus(void);
void uffd_area_move(void);
void uffd_area_calls(void);
void uffd_area_calls_raw(void);
void uffd_area_calls_less(void);
void uffd_area_calls_own(void);
void uffd_area_calls_user_mode(void);
void uffd_area_remove(void);
void uffd_area_unmap(void);
void uffd_area_remap(void);
void uffd_area_changing(void);
void uffd_area_fork(void);
void uffd_area_fork_events(void);
void uffd_area_rwp_arguments(void);
void uffd_area_rwp(void);
void uffd_area_rwp_async(void);
void uffd_area_hugetlb(void);
void uffd_area_signals(void);
void uffd_area_instructions(void);
void uffd_area_stack(void);
void uffd_area_processes(void);
void uffd_area_programs(void);
void uffd_area_owners(void);
/* What main() does with the argument --handler. */
int uffd_handler_program(char **argv);

#endif
