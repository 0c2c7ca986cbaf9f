/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * UFFDIO_REGISTER and UFFDIO_UNREGISTER.
 *
 * The kernel looks at one mapping after the other, and changes nothing unless all of them will
 * do.  Its mappings end where a registered range does; here that makes no difference, as each
 * is looked at only as far as the range goes.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core/config.h"
#include "core/instance.h"
#include "core/log.h"
#include "core/user.h"
#include "memory/backing.h"
#include "memory/server.h"
#include "uffd/uffd.h"

/* The modes of a range are the engine's, bit for bit. */
_Static_assert(UFFDIO_REGISTER_MODE_MISSING == WATCH_MISSING &&
		       UFFDIO_REGISTER_MODE_WP == WATCH_WP &&
		       UFFDIO_REGISTER_MODE_MINOR == WATCH_MINOR &&
		       UFFDIO_REGISTER_MODE_RWP == WATCH_RWP,
	       "modes");

static bool can_be_watched(const struct memory_vma *v, unsigned modes, bool wp_async)
{
	switch (v->kind) {
	case MEMORY_SPECIAL:
		return false;
	case MEMORY_HUGETLB:
		return true;
	case MEMORY_ANON:
		return !(modes & WATCH_MINOR);
	case MEMORY_FILE:
	case MEMORY_SHARED:
		return (wp_async && modes == WATCH_WP) || memory_is_shmem(v);
	}
	return false;
}

/* The next mapping of [at, end); *ret_at is where it begins in there.  false: no more. */
static bool next_mapping(uintptr_t at, uintptr_t end, struct memory_vma *ret_vma, uintptr_t *ret_at)
{
	if (at >= end || !memory_vma_find(at, ret_vma) || ret_vma->start >= end)
		return false;
	*ret_at = ret_vma->start > at ? ret_vma->start : at;
	return true;
}

static uintptr_t end_of(const struct memory_vma *v, uintptr_t end)
{
	return v->end < end ? v->end : end;
}

static bool is_unaligned(const struct memory_vma *v, uintptr_t address)
{
	return v->kind == MEMORY_HUGETLB && address % v->page_size;
}

/* What is registered already in a part of a mapping. */
static int check_present(const struct uffd *u, uintptr_t at, uintptr_t end, unsigned modes)
{
	const struct watch_range *r;

	for (; (r = watch_find(at)) && r->start < end; at = r->end) {
		if (r->owner != u)
			return -EBUSY;
		if (r->modes & (WATCH_WP | WATCH_RWP) & ~modes)
			return -EBUSY;
	}
	return 0;
}

static int check_mapping(const struct uffd *u, const struct memory_vma *v, uintptr_t at,
			 uintptr_t end, unsigned modes)
{
	if (!can_be_watched(v, modes, uffd_features(u) & UFFD_FEATURE_WP_ASYNC))
		return -EINVAL;
	if ((modes & WATCH_RWP) && v->protection == PROT_NONE)
		return -EINVAL;
	if (!memory_may_write(v))
		return -EPERM;
	if (end <= v->end && is_unaligned(v, end))
		return -EINVAL;
	return check_present(u, at, end_of(v, end), modes);
}

/* With the lock.  *ret_huge: whether any is hugetlb's. */
static int check_mappings(const struct uffd *u, uintptr_t start, uintptr_t end, unsigned modes,
			  bool *ret_huge)
{
	struct memory_vma v;
	uintptr_t at;
	int ret = -EINVAL;

	*ret_huge = false;
	if (!next_mapping(start, end, &v, &at) || is_unaligned(&v, start))
		return -EINVAL;
	for (; next_mapping(start, end, &v, &at); start = v.end) {
		ret = check_mapping(u, &v, at, end, modes);
		if (ret)
			return ret;
		*ret_huge |= v.kind == MEMORY_HUGETLB;
	}
	return ret;
}

/* How the faults of a mapping are: markers of pages that aren't there are always had but of
 * anonymous memory. */
static unsigned how(const struct uffd *u, const struct memory_vma *v)
{
	uint32_t features = uffd_features(u);
	bool unpopulated = v->kind != MEMORY_ANON || (features & UFFD_FEATURE_WP_UNPOPULATED);

	return (unpopulated ? WATCH_UNPOPULATED : 0) |
	       (features & UFFD_FEATURE_WP_ASYNC ? WATCH_WP_ASYNC : 0) |
	       (features & UFFD_FEATURE_RWP_ASYNC ? WATCH_RWP_ASYNC : 0) |
	       (features & UFFD_FEATURE_EVENT_REMAP ? WATCH_FOLLOWS : 0);
}

/*
 * Whether the kernel's own accesses are to wait for a reader.  Those that are not meant for it stay
 * as they are with a trap: an error.
 */
static unsigned reach(const struct uffd *u)
{
	static _Atomic bool warned;
	int ret;

	if (!instance || instance->config->uffd_backing != UFFD_BACKING_FUSE)
		return 0;
	if (u->flags & UFFD_USER_MODE_ONLY || uffd_features(u) & UFFD_FEATURE_SIGBUS)
		return 0;
	ret = server_start();
	if (ret == 0)
		return WATCH_SERVED;
	if (!atomic_exchange(&warned, true))
		log_warning("uffd-backing: /dev/fuse cannot be used by this process: %s",
			    strerror(-ret));
	return 0;
}

static int watch_mappings(struct uffd *u, uintptr_t start, uintptr_t end, unsigned modes)
{
	struct memory_vma v;
	uintptr_t at;
	int ret = 0;

	for (; ret == 0 && next_mapping(start, end, &v, &at); start = v.end)
		ret = watch_set(at, end_of(&v, end), modes | how(u, &v), u);
	return ret;
}

static uint64_t range_ioctls(unsigned modes, bool huge)
{
	uint64_t ioctls =
		UFFD_IOCTL(UFFDIO_WAKE) | UFFD_IOCTL(UFFDIO_COPY) | UFFD_IOCTL(UFFDIO_POISON);

	if (!huge)
		ioctls |= UFFD_IOCTL(UFFDIO_ZEROPAGE) | UFFD_IOCTL(UFFDIO_MOVE);
	if (modes & WATCH_WP)
		ioctls |= UFFD_IOCTL(UFFDIO_WRITEPROTECT);
	if (modes & WATCH_MINOR)
		ioctls |= UFFD_IOCTL(UFFDIO_CONTINUE);
	if (modes & WATCH_RWP)
		ioctls |= UFFD_IOCTL(UFFDIO_RWPROTECT);
	return ioctls;
}

static long check_modes(const struct uffd *u, uint64_t modes)
{
	if (!modes || modes & ~(uint64_t)WATCH_MODES)
		return -EINVAL;
	if ((modes & WATCH_RWP) && !(uffd_features(u) & UFFD_FEATURE_RWP))
		return -EINVAL;
	return (modes & WATCH_RWP) && (modes & WATCH_WP) ? -EINVAL : 0;
}

long uffd_register(struct file *f, struct ioctl_call *call)
{
	struct uffdio_register *r = call->data;
	struct uffd *u = f->priv;
	uintptr_t start = r->range.start, end = start + r->range.len;
	uint64_t signals, ioctls;
	unsigned served;
	bool huge;
	long ret = check_modes(u, r->mode);

	if (ret == 0)
		ret = uffd_check_range(r->range.start, r->range.len);
	if (ret)
		return ret;
	if (u->dead)
		return -ENOMEM;
	served = r->mode & WATCH_MISSING ? reach(u) : 0;
	memory_lock(&signals);
	ret = check_mappings(u, start, end, (unsigned)r->mode, &huge);
	if (ret == 0)
		ret = watch_mappings(u, start, end, (unsigned)r->mode | served);
	memory_unlock(&signals);
	if (ret)
		return ret;
	ioctls = range_ioctls((unsigned)r->mode, huge);
	return copy_to_user((char *)call->arg + call->row->size, &ioctls, sizeof(ioctls));
}

/* ---- UFFDIO_UNREGISTER ---- */

static int check_registered(const struct uffd *u, const struct memory_vma *v, uintptr_t at,
			    uintptr_t end)
{
	bool wp_async = uffd_features(u) & UFFD_FEATURE_WP_ASYNC;
	const struct watch_range *r = watch_find(at);

	if (!r || r->start >= end)
		return can_be_watched(v, 0, wp_async) ? 0 : -EINVAL;
	for (; r && r->start < end; r = watch_find(r->end))
		if (r->owner != u || !can_be_watched(v, r->modes & WATCH_MODES, wp_async))
			return -EINVAL;
	return 0;
}

static int check_all_registered(const struct uffd *u, uintptr_t start, uintptr_t end)
{
	struct memory_vma v;
	uintptr_t at;
	int ret = 0;

	if (!next_mapping(start, end, &v, &at) || is_unaligned(&v, start))
		return -EINVAL;
	for (; ret == 0 && next_mapping(start, end, &v, &at); start = v.end)
		ret = is_unaligned(&v, end_of(&v, end))
			      ? -EINVAL
			      : check_registered(u, &v, at, end_of(&v, end));
	return ret;
}

long uffd_unregister(struct file *f, struct ioctl_call *call)
{
	const struct uffdio_range *range = call->data;
	const struct watch_range *r;
	struct uffd *u = f->priv;
	uintptr_t start = range->start, end = start + range->len;
	uint64_t signals;
	long ret = uffd_check_range(range->start, range->len);

	if (ret)
		return ret;
	if (u->dead)
		return -ENOMEM;
	memory_lock(&signals);
	ret = check_all_registered(u, start, end);
	while (ret == 0 && (r = watch_find(start)) && r->start < end) {
		uintptr_t from = r->start > start ? r->start : start;
		uintptr_t to = r->end < end ? r->end : end;
		bool missing = r->modes & WATCH_MISSING;

		watch_clear(from, to);
		if (missing)
			uffd_wake(u, from, to - from);
		start = to;
	}
	memory_unlock(&signals);
	return ret;
}
