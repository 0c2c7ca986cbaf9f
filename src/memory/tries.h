/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/tries.h - threads that have waited for a page of the server's, and don't use it yet.
 *
 * Who has waited in a fault makes it once more.  The first time the kernel gives up mmap_lock while
 * it waits; the second time it does not: then everybody who changes mappings waits as well, with
 * the engine's lock or without, and so does the owner of the range, who has to provide the page.
 * So a page that has been given is not taken away before those who waited for it have left their
 * faults.  Rules: maybe_unlock_mmap_for_io(), filemap_fault(), __get_user_pages_locked().
 *
 * Under the engine's lock if nothing else is said.
 */
#ifndef STANDIN_MEMORY_TRIES_H
#define STANDIN_MEMORY_TRIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Before the first note: the process that most threads are in.  Forgets all notes. */
void tries_start(pid_t process);
/*
 * The server, without the lock, before it gives pages, page aligned, or an error: `thread` waits
 * for them, whoever else does.
 */
void tries_note(uintptr_t pages, size_t size, pid_t thread);
/* Whether a page in [start, end) has been given since tries_wait() was called. */
bool tries_any(uintptr_t start, uintptr_t end);
/* Until nobody is in between who was when it was called; half a second at most. */
void tries_wait(void);

/*
 * Whether a thread of this process, which is waiting for a page or is about to be again, does so in
 * an access of its own, and not in a system call.  With a signal it leaves its fault then when it
 * is let go, for its handler, and the next try is a first one.
 */
bool tries_in_user_mode(pid_t thread);

#endif
