/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtio driver that writes into its rings what the input says: descriptors, indirect
 * tables, indexes, event fields.  The device's side must hand out no byte that is not in the
 * driver's memory, must give every piece back that it took, and must not hang.
 *
 * The memory begins at address 0, so that many addresses out of the input are valid.
 */
#include <errno.h>
#include <stdbool.h>

#include "core/log.h"
#include "core/user.h"
#include "fuzz.h"
#include "virtqueue/virtqueue.h"

#define MEMORY 0x4000u
#define CHAINS 8u

static uint8_t memory[MEMORY];
static long pinned;
static bool pieces, misses;

static size_t copy(void *to, const void *from, size_t size)
{
	memcpy(to, from, size);
	return 0;
}

static int map(void *owner, uint64_t address, uint64_t size, unsigned access, struct iovec *iov,
	       unsigned max_iov)
{
	unsigned n = 0;

	CHECK(size > 0 && address + size - 1 >= address);
	if (address >= MEMORY || size > MEMORY - address)
		return -EFAULT;
	if (misses && address / 64 % 8 == 7)
		return -EAGAIN;
	for (uint64_t at = address, end = address + size; at < end;) {
		uint64_t piece = end - at;

		if (pieces && piece > 256 - at % 256)
			piece = 256 - at % 256;
		if (n == max_iov)
			return -E2BIG;
		iov[n++] = (struct iovec){memory + at, piece};
		at += piece;
	}
	pinned += (long)size;
	return (int)n;
}

static void unmap(void *owner, uint64_t address, uint64_t size, unsigned access)
{
	pinned -= (long)size;
}

static void log_buffer(void *owner, uint64_t address, uint64_t size)
{
	CHECK(address < MEMORY && size <= MEMORY - address);
}

static void log_ring(void *owner, enum virtqueue_part part, uint64_t offset, uint64_t size)
{
	CHECK(offset + size <= MEMORY);
}

static int window(void *owner, uint64_t address, unsigned access, struct virtqueue_window *ret)
{
	if (address >= MEMORY || pieces || misses)
		return -1;
	/* Halves, the second of which is read-only. */
	*ret = address < MEMORY / 2
		       ? (struct virtqueue_window){0, MEMORY / 2 - 1, (char *)memory, 7}
		       : (struct virtqueue_window){MEMORY / 2, MEMORY - 1,
						   (char *)memory + MEMORY / 2, 5};
	pinned++;
	return 0;
}

static void unwindow(void *owner, const struct virtqueue_window *w)
{
	pinned--;
}

static const struct virtqueue_ops ops = {
	.map = map,
	.unmap = unmap,
	.window = window,
	.unwindow = unwindow,
	.log_buffer = log_buffer,
	.log_ring = log_ring,
};

static void check_side(const struct iovec *iov, unsigned n, uint64_t size)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++) {
		const uint8_t *base = iov[i].iov_base;

		CHECK(base >= memory && iov[i].iov_len <= (size_t)(memory + MEMORY - base));
		sum += iov[i].iov_len;
	}
	CHECK(sum == size);
}

static void work(struct virtqueue *vq, struct input *in)
{
	static struct iovec iov[64];
	static struct virtqueue_range ranges[64];
	struct virtqueue_pool pool = {iov, ranges, 64, 64, 0, 0};
	struct virtqueue_chain chains[CHAINS];
	int n = virtqueue_fetch(vq, chains, 1 + take8(in) % CHAINS, &pool), result;

	CHECK(n >= 0 || n == -EIO || n == -EAGAIN);
	CHECK(n != -EIO || virtqueue_error(vq, NULL) < 0);
	for (int i = 0; i < n; i++) {
		check_side(chains[i].readable, chains[i].n_readable, chains[i].readable_size);
		check_side(chains[i].writable, chains[i].n_writable, chains[i].writable_size);
		chains[i].written = (uint32_t)(chains[i].writable_size / 2);
	}
	if (n <= 0)
		return;
	if (take8(in) % 8 == 0) {
		virtqueue_unfetch(vq, chains, (unsigned)n);
		return;
	}
	result = virtqueue_used(vq, chains, (unsigned)n);
	CHECK(result == 0 || result == -EIO || result == -EAGAIN);
	if (result == -EAGAIN)
		for (int i = 0; i < n; i++)
			virtqueue_drop(vq, &chains[i]);
	virtqueue_should_signal(vq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct virtqueue_config config = {.ops = &ops, .name = "fuzz"};
	struct virtqueue vq;
	uint8_t flags = take8(&in);

	log_level = LOG_ERROR;
	user_set_guarded_copy(copy);
	memset(memory, 0, sizeof(memory));
	pinned = 0;
	pieces = flags & 1;
	misses = flags & 2;
	config.features = VIRTQUEUE_F_VERSION_1 | (flags & 4 ? VIRTQUEUE_F_PACKED : 0) |
			  (flags & 8 ? VIRTQUEUE_F_EVENT_IDX : 0) |
			  (flags & 16 ? VIRTQUEUE_F_NOTIFY_ON_EMPTY : 0);
	config.num = flags & 4 ? 1u + take8(&in) % 32 : 1u << take8(&in) % 6;
	config.address[VIRTQUEUE_DESC] = 0;
	config.address[VIRTQUEUE_AVAIL] = flags & 32 ? 0x300 : take16(&in);
	config.address[VIRTQUEUE_USED] = flags & 32 ? 0x400 : take16(&in);
	if (virtqueue_init(&vq, &config) < 0)
		return 0;
	virtqueue_log(&vq, flags & 64, flags & 64);
	for (unsigned steps = 0; in.left && steps < 500; steps++) {
		uint8_t op = take8(&in);
		uint32_t at = take16(&in) % (op & 128 ? 0x800 : MEMORY - 16);
		uint64_t address[VIRTQUEUE_PARTS];

		switch (op % 12) {
		case 0: /* a descriptor */
		case 1:
		case 2:
			at &= ~15u;
			memory[at] = take8(&in);
			memory[at + 1] = take8(&in) % 64;
			memory[at + 8] = take8(&in);
			take(&in, memory + at + 12, 4);
			break;
		case 3: /* any byte */
			memory[at] = take8(&in);
			break;
		case 4: /* any eight */
			take(&in, memory + at, 8);
			break;
		case 5: /* the next available index */
			if (config.address[VIRTQUEUE_AVAIL] < MEMORY - 4)
				memory[config.address[VIRTQUEUE_AVAIL] + 2]++;
			break;
		case 6:
			virtqueue_enable_kicks(&vq);
			break;
		case 7:
			virtqueue_disable_kicks(&vq);
			break;
		case 8:
			virtqueue_release(&vq);
			misses = op & 64;
			break;
		case 9:
			virtqueue_clear_error(&vq);
			virtqueue_start(&vq, op & 64);
			break;
		case 10:
			memcpy(address, config.address, sizeof(address));
			address[VIRTQUEUE_DESC] = at;
			virtqueue_set_addresses(&vq, address);
			break;
		default:
			work(&vq, &in);
		}
	}
	virtqueue_release(&vq);
	CHECK(pinned == 0);
	return 0;
}
