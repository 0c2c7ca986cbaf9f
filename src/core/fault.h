/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/fault.h - faults on request: --fault POINT:errno=NAME[,nth=N][,every=N][,times=N]
 *
 * A point is the name of an ioctl (VFIO_IOMMU_MAP_DMA) or one that a model or backend
 * names ("nvme.read", "backend.flush").  With nth=N the N-th arrival fails (1 is the
 * first, and the default when nothing else is given is every arrival); every=N fails each
 * N-th; times=N stops after N failures.  When no fault is configured a check costs one
 * load and a branch.
 */
#ifndef STANDIN_CORE_FAULT_H
#define STANDIN_CORE_FAULT_H

#include <stdbool.h>
#include <stddef.h>

extern bool fault_enabled;

/* Adds a fault; -EINVAL with the reason (one line) in `error`. */
int fault_add(const char *spec, char *error, size_t error_size);
void fault_clear(void);

int fault_check_slow(const char *point);
/* 0, or the -errno to fail with. */
static inline int fault_check(const char *point)
{
	return fault_enabled ? fault_check_slow(point) : 0;
}

#endif
