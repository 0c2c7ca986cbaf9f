/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Is the client's memory fit for DMA, and may it be locked?
 *
 * The kernel pins every page of a mapping, which faults them in.  Here nothing is pinned,
 * and to walk gigabytes would populate them for nothing, so the check depends on size:
 *  - up to TOUCH_MAX bytes, one byte of each page is touched under the guard of the fault
 *    handler: no system call, some nanoseconds a page, and a page that is not there or
 *    lacks the permission is seen;
 *  - above that, msync(MS_ASYNC), which does nothing on present kernels but walk the
 *    mappings and answer ENOMEM for a hole, and one byte of the first and last page.
 * Memory that a BAR mapping occupies isn't touched: reading registers has effects.
 *
 * RLIMIT_MEMLOCK is charged only when the setting vfio.memlock asks for it.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "core/config.h"
#include "core/instance.h"
#include "core/syscall.h"
#include "core/user.h"
#include "memory/mmio.h"
#include "vfio/vfio.h"

#define TOUCH_MAX  (64 * VFIO_PAGE_SIZE)
#define USER_LIMIT (((uint64_t)1 << 47) - VFIO_PAGE_SIZE)

static _Atomic uint64_t locked; /* bytes charged */

int vaddr_check(uint64_t vaddr, uint64_t size, bool write)
{
	if (size > USER_LIMIT || vaddr > USER_LIMIT - size)
		return -EFAULT;
	if (!user_client.pid && mmio_any() && mmio_overlaps((const void *)vaddr, size))
		return 0;
	if (size <= TOUCH_MAX)
		return user_touch((const void *)vaddr, size, write);
	/* Another process's ends are all that can be looked at. */
	if (!user_client.pid && host_syscall(SYS_msync, vaddr, size, MS_ASYNC) < 0)
		return -EFAULT;
	if (user_touch((const void *)vaddr, 1, write) ||
	    user_touch((const void *)(vaddr + size - 1), 1, write))
		return -EFAULT;
	return 0;
}

static bool may_lock_anything(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	if (host_syscall(SYS_capget, &header, data) < 0)
		return false;
	return data[CAP_IPC_LOCK / 32].effective & (1u << (CAP_IPC_LOCK % 32));
}

int vaddr_charge(uint64_t size, bool *ret_charged)
{
	struct rlimit limit;

	*ret_charged = false;
	if (!instance || !instance->config->settings.memlock)
		return 0;
	if (!may_lock_anything()) {
		if (host_syscall(SYS_prlimit64, 0, RLIMIT_MEMLOCK, NULL, &limit) < 0)
			return -ENOMEM;
		if (atomic_load(&locked) + size > limit.rlim_cur)
			return -ENOMEM;
	}
	atomic_fetch_add(&locked, size);
	*ret_charged = true;
	return 0;
}

void vaddr_uncharge(uint64_t size)
{
	atomic_fetch_sub(&locked, size);
}
