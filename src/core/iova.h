/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/iova.h - an address map: non-overlapping ranges of device addresses and where in
 * this process they are.
 *
 * What an IOMMU domain is to the kernel.  VFIO's type1 containers, iommufd's address
 * spaces and vhost's IOTLB all are one of these plus rules of their own.  Built for
 * millions of map/unmap pairs a second from the client's threads while device threads
 * translate.  All functions are thread-safe; ranges are given as first and last address
 * (inclusive), so that the end of the 64-bit space can be named.
 */
#ifndef STANDIN_CORE_IOVA_H
#define STANDIN_CORE_IOVA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define IOVA_READ  1u /* the device may read */
#define IOVA_WRITE 2u

struct iova_map;

struct iova_range {
	uint64_t first, last;
	uintptr_t address; /* of `first` in the process */
	uint32_t flags;    /* IOVA_READ | IOVA_WRITE; the owner's own bits from bit 8 on */
	pid_t pid;         /* 0: this process; else whose memory it is (forwarded calls) */
};

int iova_map_create(struct iova_map **ret_map);
void iova_map_destroy(struct iova_map *map); /* waits for pins */

/* 0, -EEXIST if any part is mapped, -ENOMEM. */
int iova_map_insert(struct iova_map *map, const struct iova_range *range);
/* The range that contains `iova`, or the first one after it.  false: there is none. */
bool iova_map_find(struct iova_map *map, uint64_t iova, struct iova_range *ret_range);
/* The range that contains `iova`. */
bool iova_map_lookup(struct iova_map *map, uint64_t iova, struct iova_range *ret_range);
/* Removes exactly the range that begins at `first`, after its pins are gone; -ENOENT. */
int iova_map_remove(struct iova_map *map, uint64_t first);
/* The same if the range is exactly [first, last], and tells what it was; -ENOENT. */
int iova_map_take(struct iova_map *map, uint64_t first, uint64_t last,
		  struct iova_range *ret_range);
/* Changes what the range that begins at `first` means, after its pins are gone; -ENOENT. */
int iova_map_replace(struct iova_map *map, uint64_t first, uintptr_t address, uint32_t flags,
		     pid_t pid);
size_t iova_map_count(struct iova_map *map);

/*
 * Appends the process addresses of [iova, iova+size) to iov, as standin_dma_map() says,
 * pinning every range touched.  `access` is IOVA_READ and/or IOVA_WRITE.  0, -EFAULT
 * with *ret_fault the first address that isn't mapped so, -E2BIG.  -EXDEV if a part is in
 * another process (iova_range.pid), which no iovec can name: copy by iova_map_lookup().
 * On any failure nothing stays pinned and *n_iov is as before.
 */
int iova_map_pin(struct iova_map *map, uint64_t iova, size_t size, unsigned access,
		 struct iovec *iov, unsigned max_iov, unsigned *n_iov, uint64_t *ret_fault);
/*
 * Pins the one range that contains `iova`, whatever it allows: 0, -EFAULT if there is none,
 * -EXDEV if it is in another process.  Unpinned by iova_map_unpin() of all of it.
 */
int iova_map_pin_range(struct iova_map *map, uint64_t iova, struct iova_range *ret_range);
void iova_map_unpin(struct iova_map *map, uint64_t iova, size_t size);

#endif
