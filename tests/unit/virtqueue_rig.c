/* SPDX-License-Identifier: BSD-3-Clause */
#include "virtqueue_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

static bool touches(uint64_t address, uint64_t size, uint64_t start, uint64_t length)
{
	return length && address < start + length && start < address + size;
}

static int map(void *owner, uint64_t address, uint64_t size, unsigned access, struct iovec *iov,
	       unsigned max_iov)
{
	struct rig *r = owner;
	unsigned n = 0;

	assert_true(size > 0 && address + size - 1 >= address);
	if (address < RIG_BASE || address - RIG_BASE > RIG_SIZE ||
	    size > RIG_SIZE - (address - RIG_BASE))
		return -EFAULT;
	if (touches(address, size, r->hole, r->hole_size))
		return -EFAULT;
	if (access & VIRTQUEUE_WRITE && touches(address, size, r->read_only, r->read_only_size))
		return -EFAULT;
	if (touches(address, size, r->miss, r->miss_size))
		return -EAGAIN;
	for (uint64_t at = address; at < address + size;) {
		uint64_t piece = address + size - at;

		if (r->pieces && piece > 4096 - at % 4096)
			piece = 4096 - at % 4096;
		if (n == max_iov)
			return -E2BIG;
		iov[n++] = (struct iovec){r->arena + (at - RIG_BASE), piece};
		at += piece;
	}
	r->pinned += (long)size;
	return (int)n;
}

static void unmap(void *owner, uint64_t address, uint64_t size, unsigned access)
{
	struct rig *r = owner;

	r->pinned -= (long)size;
}

static int window(void *owner, uint64_t address, unsigned access, struct virtqueue_window *ret)
{
	struct rig *r = owner;

	if (address < RIG_BASE || address - RIG_BASE >= r->window)
		return -1;
	*ret = (struct virtqueue_window){.first = RIG_BASE,
					 .last = RIG_BASE + r->window - 1,
					 .memory = (char *)r->arena,
					 .access =
						 VIRTQUEUE_RING | VIRTQUEUE_READ | VIRTQUEUE_WRITE};
	r->windows++;
	return 0;
}

static void unwindow(void *owner, const struct virtqueue_window *w)
{
	struct rig *r = owner;

	assert_int_equal(w->first, RIG_BASE);
	r->windows--;
}

static void log_buffer(void *owner, uint64_t address, uint64_t size)
{
	struct rig *r = owner;

	memset(r->logged + (address - RIG_BASE), 1, size);
}

static void log_ring(void *owner, enum virtqueue_part part, uint64_t offset, uint64_t size)
{
	static const uint32_t base[] = {RIG_DESC, RIG_AVAIL, RIG_USED};
	struct rig *r = owner;

	memset(r->logged + base[part] + offset, 1, size);
}

static const struct virtqueue_ops ops = {
	.map = map,
	.unmap = unmap,
	.window = window,
	.unwindow = unwindow,
	.log_buffer = log_buffer,
	.log_ring = log_ring,
};

void rig_open(struct rig *r, uint32_t num, uint64_t features)
{
	struct virtqueue_config config = {
		.ops = &ops,
		.owner = r,
		.name = "test",
		.features = features,
		.num = num,
		.address = {RIG_BASE + RIG_DESC, RIG_BASE + RIG_AVAIL, RIG_BASE + RIG_USED},
	};

	memset(r, 0, sizeof(*r));
	r->arena = mmap(NULL, RIG_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(r->arena, MAP_FAILED);
	r->num = num;
	r->packed = features & VIRTQUEUE_F_PACKED;
	r->avail_wrap = r->used_wrap = true;
	for (unsigned i = 0; i < num && i < RIG_NUM_MAX; i++)
		r->free_ids[r->n_free++] = (uint16_t)(num - 1 - i);
	r->pool = (struct virtqueue_pool){
		.iov = r->iov, .ranges = r->ranges, .max_iov = 512, .max_ranges = 512};
	assert_int_equal(virtqueue_init(&r->vq, &config), 0);
}

void rig_close(struct rig *r)
{
	virtqueue_release(&r->vq);
	assert_int_equal(r->pinned, 0);
	assert_int_equal(r->windows, 0);
	munmap(r->arena, RIG_SIZE);
}

struct rig_desc *rig_desc(struct rig *r, unsigned i)
{
	return (struct rig_desc *)(void *)(r->arena + RIG_DESC) + i;
}

uint16_t *rig_u16(struct rig *r, uint32_t offset)
{
	return (uint16_t *)(void *)(r->arena + offset);
}

void rig_publish(struct rig *r, uint16_t head_or_flags, unsigned slots)
{
	if (!r->packed) {
		*rig_u16(r, RIG_AVAIL + 4 + 2 * (r->avail % r->num)) = head_or_flags;
		*rig_u16(r, RIG_AVAIL + 2) = ++r->avail;
		return;
	}
	head_or_flags |= r->avail_wrap ? 1 << 7 : 1 << 15;
	rig_desc(r, r->avail)->b = head_or_flags;
	r->avail = (uint16_t)(r->avail + slots);
	if (r->avail >= r->num) {
		r->avail = (uint16_t)(r->avail - r->num);
		r->avail_wrap = !r->avail_wrap;
	}
}

static int add_split(struct rig *r, const struct rig_buffer *buffers, unsigned n, bool indirect)
{
	unsigned need = indirect ? 1 : n;
	struct rig_desc *table;
	uint16_t head;

	if (r->n_free < need)
		return -1;
	head = r->free_ids[r->n_free - 1];
	r->taken[head] = (uint16_t)need;
	for (unsigned i = 0; i < need; i++)
		r->links[head][i] = r->free_ids[--r->n_free];
	table = (void *)(r->arena + RIG_TABLES + 0x100 * head);
	for (unsigned i = 0; i < n; i++) {
		struct rig_desc *d = indirect ? &table[i] : rig_desc(r, r->links[head][i]);

		d->address = RIG_BASE + buffers[i].offset;
		d->length = buffers[i].length;
		d->a = (uint16_t)((buffers[i].write ? 2 : 0) | (i + 1 < n ? 1 : 0));
		d->b = i + 1 == n ? 0 : indirect ? (uint16_t)(i + 1) : r->links[head][i + 1];
	}
	if (indirect)
		*rig_desc(r, head) =
			(struct rig_desc){RIG_BASE + RIG_TABLES + 0x100 * head, 16 * n, 4, 0};
	rig_publish(r, head, 1);
	return head;
}

static int add_packed(struct rig *r, const struct rig_buffer *buffers, unsigned n, bool indirect)
{
	unsigned need = indirect ? 1 : n, busy = 0;
	uint16_t id, slot = r->avail, head_flags = 4;
	bool wrap = r->avail_wrap;
	struct rig_desc *table;

	for (unsigned i = 0; i < r->num; i++)
		busy += r->taken[i];
	if (busy + need > r->num || r->n_free == 0)
		return -1;
	id = r->free_ids[--r->n_free];
	r->taken[id] = (uint16_t)need;
	table = (void *)(r->arena + RIG_TABLES + 0x100 * id);
	for (unsigned i = 0; i < n; i++) {
		struct rig_desc *d = indirect ? &table[i] : rig_desc(r, slot);
		unsigned flags = (buffers[i].write ? 2u : 0) | (i + 1 < n ? 1u : 0);

		d->address = RIG_BASE + buffers[i].offset;
		d->length = buffers[i].length;
		if (indirect) {
			d->a = 0;
			d->b = flags & 2;
			continue;
		}
		d->a = id;
		if (i == 0)
			head_flags = (uint16_t)flags;
		else
			d->b = (uint16_t)(flags | (wrap ? 1 << 7 : 1 << 15));
		if (++slot == r->num) {
			slot = 0;
			wrap = !wrap;
		}
	}
	if (indirect) {
		struct rig_desc *d = rig_desc(r, slot);

		d->address = RIG_BASE + RIG_TABLES + 0x100 * id;
		d->length = 16 * n;
		d->a = id;
	}
	rig_publish(r, head_flags, need);
	return id;
}

int rig_add(struct rig *r, const struct rig_buffer *buffers, unsigned n, bool indirect)
{
	return r->packed ? add_packed(r, buffers, n, indirect) : add_split(r, buffers, n, indirect);
}

static int take_split(struct rig *r, uint32_t *ret_length)
{
	uint32_t *element = (void *)(r->arena + RIG_USED + 4 + 8 * (r->used % r->num));

	if (*rig_u16(r, RIG_USED + 2) == r->used)
		return -1;
	r->used++;
	*ret_length = element[1];
	assert_true(element[0] < r->num && r->taken[element[0]]);
	for (unsigned i = r->taken[element[0]]; i > 0; i--)
		r->free_ids[r->n_free++] = r->links[element[0]][i - 1];
	r->taken[element[0]] = 0;
	return (int)element[0];
}

static int take_packed(struct rig *r, uint32_t *ret_length)
{
	struct rig_desc *d = rig_desc(r, r->used);

	if (!!(d->b & 1 << 15) != r->used_wrap || !!(d->b & 1 << 7) != r->used_wrap)
		return -1;
	assert_true(d->a < r->num && r->taken[d->a]);
	*ret_length = d->length;
	assert_int_equal(!!(d->b & 2), d->length != 0);
	r->used = (uint16_t)(r->used + r->taken[d->a]);
	if (r->used >= r->num) {
		r->used = (uint16_t)(r->used - r->num);
		r->used_wrap = !r->used_wrap;
	}
	r->taken[d->a] = 0;
	r->free_ids[r->n_free++] = d->a;
	return d->a;
}

int rig_take(struct rig *r, uint32_t *ret_length)
{
	return r->packed ? take_packed(r, ret_length) : take_split(r, ret_length);
}

int rig_fetch(struct rig *r, struct virtqueue_chain *chains, unsigned max)
{
	virtqueue_pool_reset(&r->pool);
	return virtqueue_fetch(&r->vq, chains, max, &r->pool);
}
