/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/claim.h - what only one process of a run may have at a time.
 */
#ifndef STANDIN_CORE_CLAIM_H
#define STANDIN_CORE_CLAIM_H

/*
 * Claims `name` for this process, by a lock on a file of that name in the run's private
 * directory, which the kernel drops when the process ends, however it ends.  0 with
 * *ret_claim for claim_drop() (-1 when embedded: there are no other processes), -EBUSY, or
 * another -errno.  The caller sees to it that it claims a name once.
 */
int claim_take(const char *name, int *ret_claim);
/* -1 is fine. */
void claim_drop(int claim);

#endif
