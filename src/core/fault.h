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

/*
 * Points that are not ioctls make themselves known, so that they can be listed and a
 * misspelt one be refused:
 *
 *	FAULT_POINTS(nvme_points, "nvme.read", "nvme.write")
 */
struct fault_points {
	const char *const *names; /* ends with NULL */
	const struct fault_points *next;
};

void fault_points_register(struct fault_points *points);
/* Every registered name, and not the ioctls, which are found by ioctl_table_each(). */
void fault_points_each(void (*each)(const char *name, void *arg), void *arg);

#define FAULT_POINTS(variable, ...)                                                                \
	static const char *const variable##_names[] = {__VA_ARGS__, NULL};                         \
	static struct fault_points variable = {.names = variable##_names};                         \
	__attribute__((constructor)) static void variable##_register(void)                         \
	{                                                                                          \
		fault_points_register(&variable);                                                  \
	}

int fault_check_slow(const char *point);
/* 0, or the -errno to fail with. */
static inline int fault_check(const char *point)
{
	return fault_enabled ? fault_check_slow(point) : 0;
}

#endif
