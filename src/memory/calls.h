/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/calls.h - the client's memory calls, while the engine is active.
 *
 * Whoever makes such a call for the client does it between memory_call_begin() and
 * memory_call_end(), and so with the engine's lock: no page moves meanwhile, and what is
 * known of the range is true again before anybody looks.  Registers (memory/mmio.h) are
 * not concerned.
 *
 * A call that makes pages present may wait for somebody who makes memory calls himself, the
 * server of a file or of a userfaultfd of the kernel's.  So it is made without the lock, after
 * memory_call_begin() has brought everything back and said false; if it fails and anything has
 * moved meanwhile (memory_moves), it is to be made again.
 */
#ifndef STANDIN_MEMORY_CALLS_H
#define STANDIN_MEMORY_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum memory_operation {
	MEMORY_CALL_MAP, /* mmap over [address, size): MAP_FIXED without NOREPLACE */
	MEMORY_CALL_UNMAP,
	MEMORY_CALL_REMAP,   /* to `new_size`, with `flags`, and to `new_address` if MREMAP_FIXED */
	MEMORY_CALL_PROTECT, /* flags: PROT_* */
	MEMORY_CALL_ADVISE,  /* flags: MADV_* */
	MEMORY_CALL_KEY,     /* pkey_mprotect: nothing is to trap by protection */
	MEMORY_CALL_POPULATE, /* mlock and the like: all of it becomes present */
	MEMORY_CALL_BREAK,    /* of the program break: everything from `address` to its end */
};

struct memory_call {
	enum memory_operation operation;
	uintptr_t address, new_address;
	size_t size, new_size;
	int flags;

	/* Set by memory_call_begin(). */
	bool handled; /* the call has been made: */
	long result;  /* a value or -errno */
	uint64_t signals;
};

/* Whether memory_call_end() is to follow; cheap if the engine is not active. */
bool memory_call_begin(struct memory_call *c);
/* `result`: what the system call returned, or -errno. */
void memory_call_end(struct memory_call *c, long result);

#endif
