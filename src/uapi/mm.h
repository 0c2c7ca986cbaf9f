/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uapi/mm.h - names of <linux/fs.h> and <linux/mman.h> that kernels after 6.1 added, with the numbers and layouts that the kernel's user interface fixes.
 */
#ifndef STANDIN_UAPI_MM_H
#define STANDIN_UAPI_MM_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* 6.13; of files 6.15 */
#define MADV_GUARD_REMOVE  103
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* ioctl of /proc/PID/maps, 6.11: the mapping at an address. */
#ifndef PROCMAP_QUERY
#define PROCMAP_QUERY _IOWR('f', 17, struct procmap_query)
enum {
	PROCMAP_QUERY_VMA_READABLE = 0x01,
	PROCMAP_QUERY_VMA_WRITABLE = 0x02,
	PROCMAP_QUERY_VMA_EXECUTABLE = 0x04,
	PROCMAP_QUERY_VMA_SHARED = 0x08,
	PROCMAP_QUERY_COVERING_OR_NEXT_VMA = 0x10,
};
struct procmap_query {
	__u64 size;
	__u64 query_flags;
	__u64 query_addr;
	__u64 vma_start, vma_end;
	__u64 vma_flags;
	__u64 vma_page_size;
	__u64 vma_offset;
	__u64 inode;
	__u32 dev_major, dev_minor;
	__u32 vma_name_size, build_id_size;
	__u64 vma_name_addr, build_id_addr;
};
#endif

/* ioctl of /proc/PID/pagemap, 6.7: runs of pages that are alike. */
#ifndef PAGEMAP_SCAN
#define PAGEMAP_SCAN    _IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_WPALLOWED (1 << 0)
#define PAGE_IS_WRITTEN (1 << 1)
#define PAGE_IS_FILE (1 << 2)
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
#define PAGE_IS_PFNZERO (1 << 5)
#define PAGE_IS_HUGE    (1 << 6)
#define PM_SCAN_WP_MATCHING (1 << 0)
#define PM_SCAN_CHECK_WPASYNC (1 << 1)
struct page_region {
	__u64 start, end;
	__u64 categories;
};
struct pm_scan_arg {
	__u64 size;
	__u64 flags;
	__u64 start, end;
	__u64 walk_end;
	__u64 vec, vec_len;
	__u64 max_pages;
	__u64 category_inverted, category_mask, category_anyof_mask, return_mask;
};
#endif
#ifndef PAGE_IS_SOFT_DIRTY
#define PAGE_IS_SOFT_DIRTY (1 << 7) /* 6.9 */
#endif
#ifndef PAGE_IS_GUARD
#define PAGE_IS_GUARD (1 << 8) /* 6.15 */
#endif
#ifndef PAGE_IS_ACCESSED
#define PAGE_IS_ACCESSED (1 << 9) /* 7.2 */
#endif
#define PAGE_IS_ALL   0x3ff
#define PM_SCAN_FLAGS (PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC)

/* An entry of /proc/PID/pagemap. */
#define PAGEMAP_SOFT_DIRTY ((__u64)1 << 55)
#define PAGEMAP_EXCLUSIVE ((__u64)1 << 56) /* mapped here alone */
#define PAGEMAP_UFFD_WP   ((__u64)1 << 57)
#define PAGEMAP_GUARD     ((__u64)1 << 58) /* 6.15 */
#define PAGEMAP_FILE      ((__u64)1 << 61) /* of a file or shared memory */
#define PAGEMAP_SWAP      ((__u64)1 << 62)
#define PAGEMAP_PRESENT   ((__u64)1 << 63)

#endif
