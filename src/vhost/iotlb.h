/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost/iotlb.h - which addresses of a guest are where in the owner: the store behind memory
 * tables, device IOTLBs and vDPA's address spaces, as drivers/vhost/iotlb.c is in the kernel.
 *
 * Entries may overlap.  Of those that hold an address the one that begins first counts, and
 * of those that begin together the one that was added first.
 *
 * No locking: that is the device's.  Pointers to entries are good until the next change.
 */
#ifndef STANDIN_VHOST_IOTLB_H
#define STANDIN_VHOST_IOTLB_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define VHOST_IOTLB_MAX 2048u /* the kernel's max_iotlb_entries */

struct vhost_iotlb_entry {
	uint64_t first, last;
	uint64_t address;  /* of `first` in the owner */
	uint64_t reach;    /* the greatest `last` of this entry and all before it */
	uint64_t sequence; /* when it was added */
	uint32_t perm;     /* VHOST_ACCESS_RO, VHOST_ACCESS_WO */
};

struct vhost_iotlb {
	struct vhost_iotlb_entry *entries; /* by `first` */
	unsigned n, room;
	unsigned limit; /* of entries; 0: none */
	bool retire;    /* at the limit the oldest makes room */
	uint64_t sequence;
};

void vhost_iotlb_init(struct vhost_iotlb *t, unsigned limit, bool retire);
void vhost_iotlb_finish(struct vhost_iotlb *t);
/* On the heap, with VHOST_IOTLB_MAX entries and retirement.  NULL: no memory. */
struct vhost_iotlb *vhost_iotlb_create(void);
void vhost_iotlb_destroy(struct vhost_iotlb *t);

/*
 * Adds [first, last], all of memory as two entries.  -EFAULT: last is below first; -ENOSPC:
 * the limit is reached, without `retire`; -ENOMEM.
 */
int vhost_iotlb_add(struct vhost_iotlb *t, uint64_t first, uint64_t last, uint64_t address,
		    uint32_t perm);
/* Removes all entries that have a part in [first, last], whole. */
void vhost_iotlb_remove(struct vhost_iotlb *t, uint64_t first, uint64_t last);
/* The entry that begins first among those that have a part in [first, last], or NULL. */
const struct vhost_iotlb_entry *vhost_iotlb_find(const struct vhost_iotlb *t, uint64_t first,
						 uint64_t last);
/*
 * Where [address, address+size) is, in at most max_iov pieces: their number; or
 *	-EAGAIN	a part is nowhere; *ret_hole is its address
 *	-EPERM	a part may not be accessed as `perm` (VHOST_ACCESS_*) says
 *	-E2BIG	too many pieces
 */
int vhost_iotlb_translate(const struct vhost_iotlb *t, uint64_t address, uint64_t size,
			  uint32_t perm, struct iovec *iov, unsigned max_iov, uint64_t *ret_hole);
/*
 * The widest [*ret_first, *ret_last] around `address` for which one entry counts, which is
 * returned; NULL: there is none.
 */
const struct vhost_iotlb_entry *vhost_iotlb_window(const struct vhost_iotlb *t, uint64_t address,
						   uint64_t *ret_first, uint64_t *ret_last);

#endif
