/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ioctls that fill missing pages: UFFDIO_COPY, ZEROPAGE, CONTINUE, POISON and MOVE.
 *
 * Each ends with a field for its answer: how many bytes have been done, or an error.  It stays as
 * it was if the arguments are bad by themselves.  Who waits for what has been done is woken; less
 * than what was asked for is EAGAIN.
 */
#include <errno.h>
#include <sys/mman.h>

#include "core/user.h"
#include "memory/backing.h"
#include "memory/own.h"
#include "uffd/uffd.h"

#define DONTWAKE ((uint64_t)1) /* the same in the modes of all */
_Static_assert(UFFDIO_COPY_MODE_DONTWAKE == DONTWAKE && UFFDIO_ZEROPAGE_MODE_DONTWAKE == DONTWAKE &&
		       UFFDIO_CONTINUE_MODE_DONTWAKE == DONTWAKE &&
		       UFFDIO_POISON_MODE_DONTWAKE == DONTWAKE &&
		       UFFDIO_MOVE_MODE_DONTWAKE == DONTWAKE,
	       "modes");

static long put_answer(const struct ioctl_call *call, int64_t answer)
{
	return copy_to_user((char *)call->arg + call->row->size, &answer, sizeof(answer));
}

/* Whether the mapping is being changed: then *ret is what the ioctl says. */
static bool is_changing(const struct uffd *u, const struct ioctl_call *call, long *ret)
{
	if (!atomic_load_explicit(&u->changing, memory_order_relaxed))
		return false;
	*ret = put_answer(call, -EAGAIN) ? -EFAULT : -EAGAIN;
	return true;
}

/*
 * The end of an ioctl that has done `done` of `size` bytes at `start`, or -errno.  With the lock,
 * which it gives up.
 */
static long finish(struct uffd *u, const struct ioctl_call *call, uint64_t start, uint64_t size,
		   uint64_t mode, long done, const uint64_t *signals)
{
	long ret = done < 0 ? done : (uint64_t)done == size ? 0 : -EAGAIN;

	if (put_answer(call, done))
		ret = -EFAULT;
	else if (done > 0 && !(mode & DONTWAKE))
		uffd_wake(u, start, (uint64_t)done);
	memory_unlock(signals);
	return ret;
}

/* The registered range, of whatever context, that all of [start, start + size) is in; or its first.
 */
static const struct watch_range *range_of(uintptr_t start, size_t size)
{
	const struct watch_range *r = watch_find(start);

	return r && r->start <= start && watch_end_of(r) - start >= size ? r : NULL;
}

/* Asynchronous protection may be had of files that can't be filled. */
static bool can_be_filled(const struct watch_range *r)
{
	struct memory_vma v;

	if ((r->modes & WATCH_MODES) != WATCH_WP || !(r->modes & WATCH_WP_ASYNC) ||
	    r->kind == MEMORY_ANON || r->kind == MEMORY_HUGETLB)
		return true;
	return memory_vma_find(r->start, &v) && memory_is_shmem(&v);
}

#define PIECE ((size_t)128 << 10) /* bytes of another process's memory at a time, or a page */

enum fill { FILL_COPY, FILL_ZERO, FILL_CONTINUE, FILL_POISON };

/* With the lock. */
static long check_target(const struct uffd *u, enum fill what, uintptr_t to, size_t size,
			 bool protect)
{
	const struct watch_range *r = range_of(to, size);

	if (!r)
		return -ENOENT;
	if (u->changing)
		return -EAGAIN;
	if (protect && !(r->modes & WATCH_WP))
		return -EINVAL;
	if (r->kind == MEMORY_HUGETLB)
		return what == FILL_ZERO || to % r->page_size || size % r->page_size ? -EINVAL : 0;
	if (what == FILL_CONTINUE && r->kind == MEMORY_ANON)
		return -EINVAL;
	return can_be_filled(r) ? 0 : -EINVAL;
}

/* With the lock. */
static long fill(const struct uffd *u, enum fill what, uintptr_t to, const void *from, size_t size,
		 bool protect)
{
	unsigned flags = protect ? WATCH_PROTECT : 0;
	long ret = check_target(u, what, to, size, protect);

	if (ret == 0 && what == FILL_COPY)
		ret = watch_copy(to, from, size, flags);
	else if (ret == 0 && what == FILL_ZERO)
		ret = watch_zero(to, size);
	else if (ret == 0 && what == FILL_CONTINUE)
		ret = watch_continue(to, size, flags);
	else if (ret == 0)
		ret = watch_poison(to, size);
	return ret;
}

/* ---- from another process's memory ---- */

/* Of our own, for a piece of at least `size` bytes; kept.  With the lock.  NULL: there is none. */
static char *piece_memory(size_t size)
{
	static char *piece;
	static size_t room;

	if (room < size) {
		own_free(piece, room);
		piece = own_alloc(size);
		room = piece ? size : 0;
	}
	return piece;
}

/* How much of [from, from + size) has come, in whole pages of `page` bytes. */
static size_t fetch(char *to, const char *from, size_t size, size_t page)
{
	size_t done = 0;

	if (copy_from_user(to, from, size) == 0)
		return size;
	while (done < size && copy_from_user(to + done, from + done, page) == 0)
		done += page;
	return done;
}

/* A piece at a time, through memory of our own. */
static long copy_for_other(const struct uffd *u, const struct uffdio_copy *c)
{
	bool protect = c->mode & UFFDIO_COPY_MODE_WP;
	long n = check_target(u, FILL_COPY, c->dst, c->len, protect);
	size_t done = 0, page, room;
	char *piece;

	if (n)
		return n;
	page = range_of(c->dst, c->len)->page_size;
	room = page < PIECE ? PIECE : page;
	piece = piece_memory(room);
	if (!piece)
		return -ENOMEM;
	while (done < c->len) {
		size_t size = c->len - done < room ? c->len - done : room;
		size_t have = fetch(piece, (const char *)(uintptr_t)c->src + done, size, page);

		n = have ? fill(u, FILL_COPY, c->dst + done, piece, have, protect) : -EFAULT;
		if (n > 0)
			done += (size_t)n;
		if (n < (long)size)
			break;
	}
	return done ? (long)done : n;
}

/* With the lock, which it gives up meanwhile: the source may be watched, too. */
static void await_source(const struct uffd *u, const struct uffdio_copy *c, uint64_t *signals)
{
	if (!watch_in(c->src, c->src + c->len) ||
	    check_target(u, FILL_COPY, c->dst, c->len, c->mode & UFFDIO_COPY_MODE_WP))
		return;
	memory_unlock(signals);
	watch_resolve((const void *)(uintptr_t)c->src, c->len, false);
	memory_lock(signals);
}

long uffd_copy(struct file *f, struct ioctl_call *call)
{
	const struct uffdio_copy *c = call->data;
	uint64_t signals;
	long ret;

	if (is_changing(f->priv, call, &ret))
		return ret;
	ret = uffd_check_source(c->src, c->len);
	if (ret == 0)
		ret = uffd_check_range(c->dst, c->len);
	if (ret)
		return ret;
	if (c->mode & ~(DONTWAKE | UFFDIO_COPY_MODE_WP))
		return -EINVAL;
	if (uffd_is_dead(f))
		return -ESRCH;
	memory_lock(&signals);
	if (user_client.pid) {
		ret = copy_for_other(f->priv, c);
	} else {
		await_source(f->priv, c, &signals);
		ret = fill(f->priv, FILL_COPY, c->dst, (const void *)c->src, c->len,
			   c->mode & UFFDIO_COPY_MODE_WP);
	}
	return finish(f->priv, call, c->dst, c->len, c->mode, ret, &signals);
}

/* ZEROPAGE, CONTINUE and POISON have the same arguments, and modes of their own. */
static long fill_range(struct file *f, struct ioctl_call *call, enum fill what, uint64_t modes)
{
	const struct uffdio_zeropage *z = call->data;
	uint64_t signals;
	long ret;

	if (is_changing(f->priv, call, &ret))
		return ret;
	ret = uffd_check_range(z->range.start, z->range.len);
	if (ret)
		return ret;
	if (z->mode & ~modes)
		return -EINVAL;
	if (uffd_is_dead(f))
		return -ESRCH;
	memory_lock(&signals);
	ret = fill(f->priv, what, z->range.start, NULL, z->range.len, z->mode & ~DONTWAKE);
	return finish(f->priv, call, z->range.start, z->range.len, z->mode, ret, &signals);
}

long uffd_zeropage(struct file *f, struct ioctl_call *call)
{
	return fill_range(f, call, FILL_ZERO, DONTWAKE);
}

long uffd_continue(struct file *f, struct ioctl_call *call)
{
	return fill_range(f, call, FILL_CONTINUE, DONTWAKE | UFFDIO_CONTINUE_MODE_WP);
}

long uffd_poison(struct file *f, struct ioctl_call *call)
{
	return fill_range(f, call, FILL_POISON, DONTWAKE);
}

/* ---- UFFDIO_MOVE ---- */

static bool find_mapping(uintptr_t at, struct memory_vma *v)
{
	return memory_vma_find(at, v) && v->start <= at;
}

/* Whether `end` is not above the mapping, with neighbours that are apart only for being backed. */
static bool goes_to(const struct memory_vma *v, uintptr_t end)
{
	struct memory_vma last = *v, next;

	for (; last.end < end; last = next)
		if (!find_mapping(last.end, &next) || next.backed == last.backed ||
		    next.kind != last.kind || next.protection != last.protection)
			return false;
	return true;
}

/* Whether [start, start + size) is in one mapping and, as the kernel's mappings end where a
 * registered range does, not partly in such a one. */
static bool in_one(const struct memory_vma *v, uintptr_t start, size_t size)
{
	const struct watch_range *r = watch_find(start);

	if (!goes_to(v, start + size))
		return false;
	return !r || r->start >= start + size || range_of(start, size);
}

static long check_move(const struct uffd *u, uintptr_t to, uintptr_t from, size_t size)
{
	const struct watch_range *r;
	struct memory_vma d, s;

	if (!find_mapping(to, &d) || !find_mapping(from, &s))
		return -ENOENT;
	if (u->changing)
		return -EAGAIN;
	if (s.shared || !in_one(&s, from, size) || d.shared || !in_one(&d, to, size))
		return -EINVAL;
	if (s.protection != d.protection || !(s.protection & PROT_WRITE))
		return -EINVAL;
	r = range_of(to, size);
	if (!r || r->owner != u)
		return -EINVAL;
	return s.kind == MEMORY_ANON && d.kind == MEMORY_ANON ? 0 : -EINVAL;
}

long uffd_move(struct file *f, struct ioctl_call *call)
{
	const struct uffdio_move *m = call->data;
	uint64_t signals;
	long ret;

	if (is_changing(f->priv, call, &ret))
		return ret;
	if (uffd_is_dead(f) || user_client.pid)
		return -EINVAL;
	ret = uffd_check_range(m->dst, m->len);
	if (ret == 0)
		ret = uffd_check_range(m->src, m->len);
	if (ret)
		return ret;
	if (m->mode & ~(DONTWAKE | UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES))
		return -EINVAL;
	memory_lock(&signals);
	ret = check_move(f->priv, m->dst, m->src, m->len);
	if (ret == 0)
		ret = watch_move(m->dst, m->src, m->len,
				 m->mode & UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES);
	return finish(f->priv, call, m->dst, m->len, m->mode, ret, &signals);
}
