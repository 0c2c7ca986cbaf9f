/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * UFFDIO_WRITEPROTECT, UFFDIO_RWPROTECT and UFFDIO_SET_MODE.
 *
 * Write protection is done mapping by mapping up to the first that is not registered for it;
 * protection from all access is checked as a whole before.
 */
#include <errno.h>

#include "uffd/uffd.h"

#define PROTECT  ((uint64_t)1) /* the same in the modes of both */
#define DONTWAKE ((uint64_t)2)
_Static_assert(UFFDIO_WRITEPROTECT_MODE_WP == PROTECT && UFFDIO_RWPROTECT_MODE_RWP == PROTECT &&
		       UFFDIO_WRITEPROTECT_MODE_DONTWAKE == DONTWAKE &&
		       UFFDIO_RWPROTECT_MODE_DONTWAKE == DONTWAKE,
	       "modes");

/*
 * The next piece of [start, end) that is mapped and alike, which has to be registered with
 * `mode`: its end, *ret_at where it begins.  0 there is none, or -errno.
 */
static long next_piece(uintptr_t start, uintptr_t end, size_t size, unsigned mode,
		       uintptr_t *ret_at)
{
	const struct watch_range *r;
	struct memory_vma v;
	uintptr_t at;

	if (start >= end || !memory_vma_find(start, &v) || v.start >= end)
		return 0;
	at = v.start > start ? v.start : start;
	r = watch_find(at);
	if (!r || r->start > at || !(r->modes & mode))
		return -ENOENT;
	if (v.kind == MEMORY_HUGETLB && (at % v.page_size || size % v.page_size))
		return -EINVAL;
	*ret_at = at;
	return (long)(r->end < end ? r->end : end);
}

/* With the lock. */
static long protect_writes(uintptr_t start, uintptr_t end, bool on)
{
	size_t size = end - start;
	uintptr_t at;
	long ret = -ENOENT, to;

	while ((to = next_piece(start, end, size, WATCH_WP, &at)) > 0) {
		ret = watch_protect(at, (uintptr_t)to, on);
		if (ret)
			return ret;
		start = (uintptr_t)to;
	}
	return to < 0 ? to : ret;
}

static long protect_all(uintptr_t start, uintptr_t end, bool on)
{
	size_t size = end - start;
	uintptr_t at, from = start;
	long ret = -ENOENT, to;

	while ((to = next_piece(from, end, size, WATCH_RWP, &at)) > 0) {
		from = (uintptr_t)to;
		ret = 0;
	}
	if (to < 0 || ret)
		return to < 0 ? to : ret;
	while (ret == 0 && (to = next_piece(start, end, size, WATCH_RWP, &at)) > 0) {
		ret = watch_protect_all(at, (uintptr_t)to, on);
		start = (uintptr_t)to;
	}
	return ret;
}

static long protect(struct file *f, struct ioctl_call *call,
		    long (*run)(uintptr_t start, uintptr_t end, bool on))
{
	const struct uffdio_writeprotect *p = call->data;
	uintptr_t start = p->range.start, end = start + p->range.len;
	struct uffd *u = f->priv;
	bool on = p->mode & PROTECT;
	uint64_t signals;
	long ret;

	memory_lock(&signals);
	ret = u->changing ? -EAGAIN : uffd_check_range(p->range.start, p->range.len);
	if (ret == 0 && (p->mode & ~(PROTECT | DONTWAKE) || p->mode == (PROTECT | DONTWAKE)))
		ret = -EINVAL;
	if (ret == 0)
		ret = u->dead ? -ESRCH : run(start, end, on);
	if (ret == 0 && !p->mode)
		uffd_wake(u, start, end - start);
	memory_unlock(&signals);
	return ret;
}

long uffd_writeprotect(struct file *f, struct ioctl_call *call)
{
	return protect(f, call, protect_writes);
}

long uffd_rwprotect(struct file *f, struct ioctl_call *call)
{
	return protect(f, call, protect_all);
}

/* Who waits makes its access again, and it is resolved in the new mode. */
long uffd_set_mode(struct file *f, struct ioctl_call *call)
{
	const struct uffdio_set_mode *m = call->data;
	struct uffd *u = f->priv;
	uint64_t signals;

	if (m->enable & m->disable || (m->enable | m->disable) & ~(uint64_t)UFFD_FEATURE_RWP_ASYNC)
		return -EINVAL;
	if (m->enable && !(uffd_features(u) & UFFD_FEATURE_RWP))
		return -EINVAL;
	memory_lock(&signals);
	atomic_store(&u->features,
		     (uffd_features(u) | (uint32_t)m->enable) & ~(uint32_t)m->disable);
	watch_change_owner(u, m->enable ? WATCH_RWP_ASYNC : 0, m->disable ? WATCH_RWP_ASYNC : 0);
	if (m->enable)
		uffd_wake(u, 0, 0);
	memory_unlock(&signals);
	return 0;
}
