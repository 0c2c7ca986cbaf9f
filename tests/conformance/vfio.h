/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio.h - the areas of the VFIO conformance program, one per file or nearly so.
 */
#ifndef CONFORMANCE_VFIO_H
#define CONFORMANCE_VFIO_H

#include "conformance.h"

void area_container(void);
void area_files(void);
void area_group(void);
void area_lifetime(void);
void area_type1_v1(void);
void area_type1_v2(void);
void area_vaddr(void);
void area_dirty(void);
void area_limit(void);
void area_device(void);
void area_region(void);
void area_config(void);
void area_irq(void);
void area_irq_matrix(void);
void area_ioeventfd(void);
void area_feature(void);
void area_reset(void);
void area_mmap(void);
void area_edu(void);
void area_groups(void);
void area_fork(void);
void area_passing(void);

#define RW (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

#endif
