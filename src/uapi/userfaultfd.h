/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uapi/userfaultfd.h - <linux/userfaultfd.h> as of 7.3: what kernels after 6.1 added, with the
 * names, numbers and layouts that the kernel's user interface fixes.
 */
#ifndef STANDIN_UAPI_USERFAULTFD_H
#define STANDIN_UAPI_USERFAULTFD_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/userfaultfd.h>

#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13) /* 6.4 */
#endif

/* 6.6 */
#ifndef UFFDIO_POISON
#define UFFD_FEATURE_POISON         (1 << 14)
#define UFFDIO_POISON               _IOWR(UFFDIO, 0x08, struct uffdio_poison)
#define UFFDIO_POISON_MODE_DONTWAKE ((__u64)1 << 0)
struct uffdio_poison {
	struct uffdio_range range;
	__u64 mode;
	__s64 updated; /* out */
};
#endif
#ifndef UFFDIO_CONTINUE_MODE_WP
#define UFFDIO_CONTINUE_MODE_WP ((__u64)1 << 1) /* 6.4 */
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15) /* 6.7 */
#endif

/* 6.8 */
#ifndef UFFDIO_MOVE
#define UFFD_FEATURE_MOVE                (1 << 16)
#define UFFDIO_MOVE                      _IOWR(UFFDIO, 0x05, struct uffdio_move)
#define UFFDIO_MOVE_MODE_DONTWAKE        ((__u64)1 << 0)
#define UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES ((__u64)1 << 1)
struct uffdio_move {
	__u64 dst, src, len;
	__u64 mode;
	__s64 move; /* out */
};
#endif

/* 7.x: pages that are protected from all access. */
#ifndef UFFDIO_RWPROTECT
#define UFFD_PAGEFAULT_FLAG_RWP        (1 << 3)
#define UFFD_FEATURE_RWP               (1 << 17)
#define UFFD_FEATURE_RWP_ASYNC         (1 << 18)
#define UFFDIO_REGISTER_MODE_RWP       ((__u64)1 << 3)
#define UFFDIO_RWPROTECT               _IOWR(UFFDIO, 0x09, struct uffdio_rwprotect)
#define UFFDIO_RWPROTECT_MODE_RWP      ((__u64)1 << 0)
#define UFFDIO_RWPROTECT_MODE_DONTWAKE ((__u64)1 << 1)
struct uffdio_rwprotect {
	struct uffdio_range range;
	__u64 mode;
};
#define UFFDIO_SET_MODE _IOW(UFFDIO, 0x0a, struct uffdio_set_mode)
struct uffdio_set_mode {
	__u64 enable, disable; /* UFFD_FEATURE_RWP_ASYNC */
};
#endif

#endif
