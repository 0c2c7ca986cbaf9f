/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uapi/hmm.h - the commands of /dev/hmm_dmirrorN, which no installed kernel header has: layout,
 * numbers and names are those of the kernel's lib/test_hmm_uapi.h.
 */
#ifndef STANDIN_UAPI_HMM_H
#define STANDIN_UAPI_HMM_H

#include <linux/ioctl.h>
#include <linux/types.h>

struct hmm_dmirror_cmd {
	__u64 addr; /* what the device reads, writes, migrates */
	__u64 ptr;  /* where its data goes to or comes from */
	__u64 npages;
	__u64 cpages; /* out: pages done */
	__u64 faults; /* out: faults that the device had */
};

#define HMM_DMIRROR_COMMAND(n)      _IOWR('H', n, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_READ            HMM_DMIRROR_COMMAND(0)
#define HMM_DMIRROR_WRITE           HMM_DMIRROR_COMMAND(1)
#define HMM_DMIRROR_MIGRATE_TO_DEV  HMM_DMIRROR_COMMAND(2)
#define HMM_DMIRROR_MIGRATE_TO_SYS  HMM_DMIRROR_COMMAND(3)
#define HMM_DMIRROR_SNAPSHOT        HMM_DMIRROR_COMMAND(4)
#define HMM_DMIRROR_EXCLUSIVE       HMM_DMIRROR_COMMAND(5)
#define HMM_DMIRROR_CHECK_EXCLUSIVE HMM_DMIRROR_COMMAND(6)
#define HMM_DMIRROR_RELEASE         HMM_DMIRROR_COMMAND(7)
#define HMM_DMIRROR_FLAGS           HMM_DMIRROR_COMMAND(8)
#define HMM_DMIRROR_READ_UNLOCKED   HMM_DMIRROR_COMMAND(9)

#define HMM_DMIRROR_FLAG_FAIL_ALLOC (1ull << 0)

/* A byte per page that HMM_DMIRROR_SNAPSHOT gives. */
#define HMM_DMIRROR_PROT_NONE                0x00
#define HMM_DMIRROR_PROT_READ                0x01
#define HMM_DMIRROR_PROT_WRITE               0x02
#define HMM_DMIRROR_PROT_PMD                 0x04
#define HMM_DMIRROR_PROT_PUD                 0x08
#define HMM_DMIRROR_PROT_ZERO                0x10
#define HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL   0x20
#define HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL  0x40
#define HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE 0x50
#define HMM_DMIRROR_PROT_ERROR               0xff

#endif
