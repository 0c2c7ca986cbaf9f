/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * scsi/limits.h - what one command may ask for at most, as the Block Limits VPD page says
 * and the handlers hold to.
 */
#ifndef STANDIN_SCSI_LIMITS_H
#define STANDIN_SCSI_LIMITS_H

#define LIMIT_COMPARE_BLOCKS    128u       /* COMPARE AND WRITE */
#define LIMIT_UNMAP_BLOCKS      (1u << 30) /* UNMAP, all descriptors together */
#define LIMIT_UNMAP_DESCRIPTORS 255u
#define LIMIT_SAME_BLOCKS       (1u << 22)  /* WRITE SAME */
#define LIMIT_VERIFY_BYTES      (16u << 20) /* VERIFY with data */

#endif
