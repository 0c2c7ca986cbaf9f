/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/mmio.h - device registers in the client's address space.
 *
 * A mapping of a BAR is a mapping of the device's BAR memory in which each page has the
 * protection its kind calls for: none where every access must be seen, read-only where
 * only stores must be, plain where nothing must be.  The registry knows all such
 * mappings (aliases, write-only ones, pieces left by munmap) and is asked by the SIGSEGV
 * handler which register an address is.  Without a handler (libstandin alone) pages that
 * would trap cannot be mapped.
 */
#ifndef STANDIN_MEMORY_MMIO_H
#define STANDIN_MEMORY_MMIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct standin_device;
struct map_request;

/* inject/ says that it handles faults on trapped pages. */
void mmio_set_trapping(bool possible);
bool mmio_trapping(void);

/*
 * Maps [offset, offset + request->size) of the BAR as the request asks; the caller has
 * checked that it may.  0 or -errno.  offset is within the BAR, page aligned.  Each piece
 * of the mapping holds a reference to request->file (if given) until it is unmapped, as
 * a kernel mapping keeps its file open.
 */
int mmio_map(struct standin_device *dev, unsigned bar, uint64_t offset,
	     struct map_request *request);

/*
 * While a thread's mmio_plan is set, mmio_map() says there what it would have mapped
 * instead: for a mapping that another process is going to make.
 */
struct mmio_plan {
	struct standin_device *dev; /* NULL: nothing was asked for */
	unsigned bar;
	uint64_t offset;
};
extern __thread struct mmio_plan *mmio_plan __attribute__((tls_model("initial-exec")));

/*
 * The client's munmap, mremap, mprotect and MAP_FIXED over [address, address+size): called
 * by the wrappers before (unmap) or instead of (mprotect) the system call.
 * Cheap when nothing is mapped.
 */
bool mmio_any(void);
bool mmio_overlaps(const void *address, size_t size);
void mmio_unmapped(void *address, size_t size);
/* Does the mprotect, keeping trapped pages trapped.  0 or -errno. */
int mmio_protect(void *address, size_t size, int protection);
/*
 * The mapping moved (mremap): registry and protections follow.  A mapping of registers
 * never grows (VM_DONTEXPAND in the kernel: EFAULT); that is the wrapper's to check.
 */
void mmio_moved(void *from, size_t old_size, void *to, size_t new_size);

/*
 * The memory enable bit of the command register, or the power state: while memory is off,
 * a load or store through a mapping raises SIGBUS, as in the kernel (vfio_pci_core.c).
 */
void mmio_memory_enable(struct standin_device *dev, bool enabled);
/*
 * The device goes: its mappings are forgotten, with the files they kept open, and what the
 * client has left of them can't be accessed any more.
 */
void mmio_release(struct standin_device *dev);

/* In the child of a fork: no poller runs, so every doorbell traps. */
void mmio_forked(void);

struct mmio_hit {
	struct standin_device *dev;
	unsigned bar;
	uint64_t offset; /* in the BAR */
	uint64_t left;   /* bytes from offset to the end of this mapping */
	int protection;  /* what the client asked for */
	/* RETRY: no longer trapped; OFF: memory is off. */
	enum { MMIO_NOT_OURS, MMIO_TRAPPED, MMIO_RETRY, MMIO_OFF } verdict;
};

/* Which register `address` is.  For the SIGSEGV handler: takes no lock a client thread holds. */
void mmio_find(const void *address, struct mmio_hit *ret_hit);

/*
 * The registers behind a hit: device_bar_read() and device_bar_write(), unless the child of
 * a fork has set where to ask instead.
 */
typedef uint64_t mmio_read_fn(struct standin_device *dev, unsigned bar, uint64_t offset,
			      unsigned size);
typedef void mmio_write_fn(struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size,
			   uint64_t value);
void mmio_set_access(mmio_read_fn *read, mmio_write_fn *write);
uint64_t mmio_read(const struct mmio_hit *hit, unsigned size);
void mmio_write(const struct mmio_hit *hit, unsigned size, uint64_t value);

#endif
