/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/call.h"
#include "core/file.h"
#include "core/iovec.h"
#include "core/user.h"
#include "vhost/vhost.h"

#define BIT(n) (UINT64_C(1) << (n))

struct rig rig;
void (*_Atomic rig_work_hook)(unsigned ring);

/* ---- the device ---- */

struct echo {
	struct vhost_dev dev;
	struct vhost_vq vqs[RIG_RINGS];
};

static int echo_chain(struct virtqueue_chain *chain)
{
	uint64_t size = chain->readable_size;
	char buffer[RIG_PAGE];

	if (size > sizeof(buffer) || chain->writable_size < size ||
	    iovec_read(chain->readable, chain->n_readable, 0, buffer, size) ||
	    iovec_write(chain->writable, chain->n_writable, 0, buffer, size))
		return -EFAULT;
	chain->written = (uint32_t)size;
	return 0;
}

static bool echo_work(struct vhost_vq *vq)
{
	struct virtqueue_chain chains[8];
	struct virtqueue_range ranges[64];
	struct iovec iov[64];
	struct virtqueue_pool pool = {
		.iov = iov, .max_iov = 64, .ranges = ranges, .max_ranges = 64, .transient = true};
	void (*hook)(unsigned ring) = atomic_load(&rig_work_hook);
	int n, bad = 0;

	if (hook)
		hook(vq->index);
	if (!vhost_vq_runnable(vq))
		return false;
	virtqueue_disable_kicks(&vq->ring);
	n = virtqueue_fetch(&vq->ring, chains, 8, &pool);
	if (n == 0)
		return virtqueue_enable_kicks(&vq->ring) == 1;
	for (int i = 0; i < n && !bad; i++)
		bad = echo_chain(&chains[i]);
	if (n > 0 && !bad && vhost_vq_used(vq, chains, (unsigned)n) == 0)
		vhost_vq_signal(vq);
	if (bad)
		virtqueue_fail(&vq->ring, bad, "a chain that can't be echoed");
	if (bad || (n < 0 && n != -EAGAIN))
		vhost_vq_error(vq);
	return n > 0 && !bad;
}

static void echo_reset(struct vhost_dev *dev)
{
	for (unsigned i = 0; i < RIG_RINGS; i++)
		vhost_vq_stop(&dev->vqs[i]);
}

static const struct vhost_ops echo_dev_ops = {
	.work_ring = echo_work,
	.features = {BIT(VHOST_F_LOG_ALL) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
			     BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_F_VERSION_1) |
			     BIT(VIRTIO_F_ACCESS_PLATFORM),
		     BIT(1)},
	.backend_features = BIT(VHOST_BACKEND_F_IOTLB_MSG_V2),
	.reset = echo_reset,
};

static long set_backend(struct vhost_dev *dev, const struct vhost_vring_file *backend)
{
	struct vhost_vq *vq;

	if (vhost_check_owner(dev))
		return -EPERM;
	if (backend->index >= RIG_RINGS)
		return -ENOBUFS;
	vq = &dev->vqs[backend->index];
	if (!vhost_vq_access_ok(vq))
		return -EFAULT;
	if (backend->fd != -1)
		return vhost_vq_start(vq);
	vhost_vq_stop(vq);
	return 0;
}

static VHOST_HANDLER(echo_set_backend)
{
	struct vhost_vring_file backend;
	long ret;

	if (copy_from_user(&backend, (const void *)call->arg, sizeof(backend)))
		return -EFAULT;
	vhost_lock(f->priv);
	ret = set_backend(f->priv, &backend);
	vhost_unlock(f->priv);
	return ret;
}

static int echo_open(struct file *f, void *context)
{
	struct echo *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	return vhost_init(&e->dev, f, &echo_dev_ops, "vhost-echo", e->vqs, RIG_RINGS);
}

static void echo_release(struct file *f)
{
	vhost_finish(f->priv);
	free(f->priv);
}

static const struct ioctl_row rows[] = {
	VHOST_ROW(ECHO_SET_BACKEND, echo_set_backend, vhost_decode_file),
	VHOST_COMMON_ROWS,
	VHOST_BACKEND_FEATURES_ROWS,
	VHOST_FEATURES_ARRAY_ROWS,
	VHOST_RESET_OWNER_ROW,
	VHOST_WORKER_ROWS,
};

static const struct ioctl_table table = {
	.kind = "vhost-echo",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.unknown = -ENOTTY,
	.otherwise = vhost_ioctl_unknown,
};

static const struct file_ops echo_ops = {
	.kind = "vhost-echo",
	.ioctls = &table,
	.messages = true,
	.open = echo_open,
	.release = echo_release,
	.read = vhost_read,
	.write = vhost_write,
};

/* ---- the client ---- */

long rig_ioctl(unsigned cmd, void *arg)
{
	return call_ioctl(rig.fd, rig.file, cmd, (unsigned long)arg);
}

long rig_state(unsigned cmd, unsigned ring, unsigned num)
{
	struct vhost_vring_state s = {.index = ring, .num = num};

	return rig_ioctl(cmd, &s);
}

long rig_file(unsigned cmd, unsigned ring, int fd)
{
	struct vhost_vring_file s = {.index = ring, .fd = fd};

	return rig_ioctl(cmd, &s);
}

long rig_features(uint64_t features)
{
	return rig_ioctl(VHOST_SET_FEATURES, &features);
}

long rig_backend(unsigned ring, bool on)
{
	return rig_file(ECHO_SET_BACKEND, ring, on ? 0 : -1);
}

void rig_addresses(bool iova, bool log)
{
	uint64_t base = iova ? RIG_GUEST : (uintptr_t)rig.arena;

	for (unsigned r = 0; r < RIG_RINGS; r++) {
		struct vhost_vring_addr a = {.index = r,
					     .flags = log,
					     .desc_user_addr = base + RIG_DESC(r),
					     .avail_user_addr = base + RIG_AVAIL(r),
					     .used_user_addr = base + RIG_USED(r),
					     .log_guest_addr = RIG_GUEST + RIG_USED(r)};

		assert_int_equal(rig_ioctl(VHOST_SET_VRING_ADDR, &a), 0);
	}
}

long rig_memory(void)
{
	struct {
		struct vhost_memory head;
		struct vhost_memory_region region;
	} m = {{.nregions = 1},
	       {.guest_phys_addr = RIG_GUEST,
		.memory_size = RIG_SIZE,
		.userspace_addr = (uintptr_t)rig.arena}};

	return rig_ioctl(VHOST_SET_MEM_TABLE, &m);
}

int rig_setup(void **state)
{
	memset(&rig, 0, sizeof(rig));
	assert_int_equal(node_add("/dev/vhost-echo", &echo_ops, NULL, 0), 0);
	rig.arena =
		mmap(NULL, RIG_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(rig.arena, MAP_FAILED);
	rig.fd = call_open("/dev/vhost-echo", O_RDWR);
	assert_true(rig.fd >= 0);
	rig.file = file_get(rig.fd);
	assert_int_equal(rig_ioctl(VHOST_SET_OWNER, NULL), 0);
	assert_int_equal(rig_memory(), 0);
	rig_addresses(false, false);
	for (unsigned r = 0; r < RIG_RINGS; r++) {
		rig.kick[r] = eventfd(0, EFD_NONBLOCK);
		rig.call[r] = eventfd(0, EFD_NONBLOCK);
		rig.err[r] = eventfd(0, EFD_NONBLOCK);
		assert_int_equal(rig_state(VHOST_SET_VRING_NUM, r, RIG_NUM), 0);
		assert_int_equal(rig_file(VHOST_SET_VRING_KICK, r, rig.kick[r]), 0);
		assert_int_equal(rig_file(VHOST_SET_VRING_CALL, r, rig.call[r]), 0);
		assert_int_equal(rig_file(VHOST_SET_VRING_ERR, r, rig.err[r]), 0);
	}
	return 0;
}

int rig_teardown(void **state)
{
	atomic_store(&rig_work_hook, NULL);
	file_put(rig.file);
	call_close(rig.fd);
	close(rig.fd);
	for (unsigned r = 0; r < RIG_RINGS; r++) {
		close(rig.kick[r]);
		close(rig.call[r]);
		close(rig.err[r]);
	}
	munmap(rig.arena, RIG_SIZE);
	node_clear();
	return 0;
}

static struct vring_avail *avail_ring(unsigned ring)
{
	return (struct vring_avail *)(rig.arena + RIG_AVAIL(ring));
}

void rig_add(unsigned ring, uint8_t fill, uint32_t size)
{
	struct vring_desc *desc = (struct vring_desc *)(rig.arena + RIG_DESC(ring));
	unsigned slot = rig.avail[ring] % (RIG_NUM / 2);

	memset(rig.arena + RIG_BUFFER(ring, slot, 0), fill, size);
	memset(rig.arena + RIG_BUFFER(ring, slot, 1), 0, size);
	desc[2 * slot] = (struct vring_desc){.addr = RIG_GUEST + RIG_BUFFER(ring, slot, 0),
					     .len = size,
					     .flags = VRING_DESC_F_NEXT,
					     .next = (uint16_t)(2 * slot + 1)};
	desc[2 * slot + 1] = (struct vring_desc){.addr = RIG_GUEST + RIG_BUFFER(ring, slot, 1),
						 .len = size,
						 .flags = VRING_DESC_F_WRITE};
	avail_ring(ring)->ring[rig.avail[ring] % RIG_NUM] = (uint16_t)(2 * slot);
	__atomic_store_n(&avail_ring(ring)->idx, ++rig.avail[ring], __ATOMIC_RELEASE);
}

void rig_kick(unsigned ring)
{
	uint64_t one = 1;

	assert_int_equal(write(rig.kick[ring], &one, sizeof(one)), sizeof(one));
}

bool rig_echoed(unsigned ring, uint8_t fill, uint32_t size, int ms)
{
	struct vring_used *used = (struct vring_used *)(rig.arena + RIG_USED(ring));
	unsigned slot = rig.used[ring] % (RIG_NUM / 2);
	const struct vring_used_elem *element = &used->ring[rig.used[ring] % RIG_NUM];
	const char *written = rig.arena + RIG_BUFFER(ring, slot, 1);

	for (int i = 0; __atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) == rig.used[ring]; i++) {
		if (i == ms * 10)
			return false;
		usleep(100);
	}
	assert_int_equal(element->id, 2 * slot);
	assert_int_equal(element->len, size);
	for (uint32_t i = 0; i < size; i++)
		assert_int_equal((uint8_t)written[i], fill);
	rig.used[ring]++;
	return true;
}

long rig_message(uint8_t type, uint64_t iova, uint64_t size, uint64_t address, uint8_t perm)
{
	struct vhost_msg_v2 m = {
		.type = VHOST_IOTLB_MSG_V2,
		.iotlb = {
			.iova = iova, .size = size, .uaddr = address, .perm = perm, .type = type}};

	return call_write(rig.fd, rig.file, &m, sizeof(m));
}

long rig_update(uint64_t offset, uint64_t size, uint8_t perm)
{
	return rig_message(VHOST_IOTLB_UPDATE, RIG_GUEST + offset, size,
			   (uintptr_t)rig.arena + offset, perm);
}

bool rig_readable(void)
{
	struct pollfd p = {.fd = rig.fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1 && p.revents == POLLIN;
}

uint64_t rig_miss(uint8_t *ret_perm)
{
	struct vhost_msg_v2 m;

	assert_int_equal(call_read(rig.fd, rig.file, &m, sizeof(m)), sizeof(m));
	assert_int_equal(m.iotlb.type, VHOST_IOTLB_MISS);
	*ret_perm = m.iotlb.perm;
	return m.iotlb.iova - RIG_GUEST;
}
