/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rings' ioctls, and starting and stopping a ring.
 *
 * While a ring has no backend, it is only what the client has said of it.  With one, its
 * state is the engine's (src/virtqueue).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "core/hostfd.h"
#include "core/user.h"
#include "vhost/vhost.h"

static uint64_t part_size(const struct vhost_vq *vq, enum virtqueue_part part)
{
	uint64_t event = vhost_has_feature(vq->dev, VIRTIO_RING_F_EVENT_IDX) ? 2 : 0;

	switch (part) {
	case VIRTQUEUE_DESC:
		return (uint64_t)vq->num * 16;
	case VIRTQUEUE_AVAIL:
		return 4 + (uint64_t)vq->num * 2 + event;
	default:
		return 4 + (uint64_t)vq->num * 8 + event;
	}
}

/* With an IOTLB addresses are looked up when they are used, and these may be anything. */
static bool ring_ok(const struct vhost_vq *vq, const uint64_t address[VIRTQUEUE_PARTS])
{
	for (unsigned p = 0; p < VIRTQUEUE_PARTS && !vq->dev->iotlb; p++)
		if (!vhost_range_ok(address[p], part_size(vq, p)))
			return false;
	return true;
}

static bool log_used_ok(const struct vhost_vq *vq, bool log_used, uint64_t log_addr)
{
	return vq->dev->iotlb || !log_used ||
	       vhost_log_ok(vq->log_base, log_addr, part_size(vq, VIRTQUEUE_USED));
}

bool vhost_vq_log_ok(const struct vhost_vq *vq)
{
	const struct vhost_dev *dev = vq->dev;

	return vhost_memory_ok(dev->memory, vq->log_base,
			       vhost_has_feature(dev, VHOST_F_LOG_ALL)) &&
	       log_used_ok(vq, vq->log_used, vq->log_addr);
}

bool vhost_vq_access_ok(const struct vhost_vq *vq)
{
	return vhost_vq_log_ok(vq) && ring_ok(vq, vq->address);
}

static bool has_addresses(const struct vhost_vq *vq)
{
	return vq->address[VIRTQUEUE_DESC] || vq->address[VIRTQUEUE_AVAIL] ||
	       vq->address[VIRTQUEUE_USED];
}

static int ring_init(struct vhost_vq *vq, const struct virtqueue_state *state)
{
	struct virtqueue_config config = {
		.ops = &vhost_ring_ops,
		.owner = vq,
		.name = vq->dev->name,
		.features = vq->dev->features[0],
		.num = vq->num,
	};
	int ret;

	memcpy(config.address, vq->address, sizeof(config.address));
	ret = virtqueue_init(&vq->ring, &config);
	if (!ret)
		ret = virtqueue_set_state(&vq->ring, state);
	virtqueue_log(&vq->ring, false, vq->log_used);
	return ret;
}

static struct virtqueue_state state_of_base(const struct vhost_vq *vq)
{
	return virtqueue_base_state(vq->base, vhost_has_feature(vq->dev, VIRTIO_F_RING_PACKED));
}

static uint32_t base_of_state(const struct vhost_vq *vq)
{
	struct virtqueue_state s;

	virtqueue_get_state(&vq->ring, &s);
	return virtqueue_state_base(&s, vq->ring.packed);
}

/*
 * With an IOTLB only the used ring's header has to be there when a backend is set, and is
 * asked for by an address that the device only reads.
 */
static long start_translated(struct vhost_vq *vq)
{
	uint16_t flags = 0, index;
	struct virtqueue_state state;
	struct iovec iov[1];
	uint64_t hole;
	int n;

	for (unsigned offset = 0; offset < 4; offset += 2) {
		n = vhost_iotlb_translate(vq->dev->iotlb, vq->address[VIRTQUEUE_USED] + offset, 2,
					  VHOST_ACCESS_RO, iov, 1, &hole);
		if (n == -EAGAIN)
			vhost_miss(vq, hole, VHOST_ACCESS_RO);
		if (n != 1) {
			vhost_vq_error(vq);
			return -EFAULT;
		}
		if (offset ? copy_guarded(&index, iov[0].iov_base, 2)
			   : copy_guarded(iov[0].iov_base, &flags, 2))
			return -EFAULT;
		if (!offset && vq->log_used)
			vhost_log_ring(vq, VIRTQUEUE_USED, 0, 2);
	}
	virtqueue_get_state(&vq->ring, &state);
	state.used = index;
	return virtqueue_set_state(&vq->ring, &state) ? -EFAULT : 0;
}

long vhost_vq_start(struct vhost_vq *vq)
{
	struct virtqueue_state state = state_of_base(vq);
	long ret;

	if (vq->active)
		return 0;
	if (ring_init(vq, &state))
		return -EFAULT;
	ret = vq->dev->iotlb && !vq->ring.packed ? start_translated(vq)
						 : virtqueue_start(&vq->ring, true);
	if (ret)
		return -EFAULT;
	vq->active = true;
	return 0;
}

void vhost_vq_start_anyhow(struct vhost_vq *vq)
{
	struct virtqueue_state state = state_of_base(vq);

	if (vq->active || (has_addresses(vq) && vhost_vq_start(vq) == 0))
		return;
	vq->active = ring_init(vq, &state) == 0;
}

void vhost_vq_stop(struct vhost_vq *vq)
{
	if (!vq->active)
		return;
	vq->base = base_of_state(vq);
	virtqueue_release(&vq->ring);
	vq->active = false;
}

void vhost_vq_forget(struct vhost_vq *vq)
{
	vq->prefetched = false;
	if (vq->active)
		virtqueue_release(&vq->ring);
}

void vhost_vq_renew(struct vhost_vq *vq)
{
	struct virtqueue old = vq->ring;
	struct virtqueue_state state;

	vq->prefetched = false;
	if (!vq->active)
		return;
	virtqueue_get_state(&vq->ring, &state);
	virtqueue_release(&vq->ring);
	if (ring_init(vq, &state))
		return;
	/* What the driver was told stands. */
	vq->ring.kicks = old.kicks;
	vq->ring.used_flags = old.used_flags;
}

/* Under the ring's locks. */
static void store_busyloop(struct vhost_vq *vq, uint32_t us)
{
	uint32_t before = atomic_exchange(&vq->busyloop, us);

	if (us && !before)
		atomic_fetch_add(&vq->dev->n_polled, 1);
	if (!us && before)
		atomic_fetch_sub(&vq->dev->n_polled, 1);
}

void vhost_vq_reset(struct vhost_vq *vq)
{
	vhost_vq_stop(vq);
	vhost_set_kick(vq, -1);
	atomic_store(&vq->worker, NULL);
	line_connect(&vq->call, -1);
	line_connect(&vq->err, -1);
	vq->num = 1;
	memset(vq->address, 0, sizeof(vq->address));
	vq->log_used = false;
	vq->log_addr = UINT64_MAX;
	vq->log_base = 0;
	vq->base = 0;
	vq->prefetched = false;
	store_busyloop(vq, 0);
	atomic_store(&vq->queued, false);
	atomic_store(&vq->kicked, false);
}

/* Whether the IOTLB has all of the ring, as the kernel looks it up: what is missing first is
 * asked for; what may not be accessed is not. */
static bool prefetch(struct vhost_vq *vq)
{
	for (unsigned p = 0; p < VIRTQUEUE_PARTS; p++) {
		uint64_t at = vq->address[p], size = part_size(vq, p), part;
		uint32_t perm = p == VIRTQUEUE_USED ? VHOST_ACCESS_WO : VHOST_ACCESS_RO;

		for (; size; at += part, size -= part) {
			const struct vhost_iotlb_entry *e =
				vhost_iotlb_find(vq->dev->iotlb, at, at);

			if (!e)
				vhost_miss(vq, at, perm);
			if (!e || !(e->perm & perm))
				return false;
			part = e->last - at < size ? e->last - at + 1 : size;
		}
	}
	vq->prefetched = true;
	return true;
}

bool vhost_vq_runnable(struct vhost_vq *vq)
{
	if (!vq->active)
		return false;
	/* A ring that was broken is tried again. */
	if (atomic_load(&vq->kicked) && atomic_exchange(&vq->kicked, false))
		virtqueue_clear_error(&vq->ring);
	if (virtqueue_error(&vq->ring, NULL))
		return false;
	/* The addresses are gone when the IOTLB comes or goes. */
	if (!has_addresses(vq))
		return false;
	return !vq->dev->iotlb || vq->prefetched || prefetch(vq);
}

void vhost_vq_error(struct vhost_vq *vq)
{
	line_raise(&vq->err);
}

int vhost_vq_used(struct vhost_vq *vq, const struct virtqueue_chain *chains, unsigned n)
{
	vhost_log_chains(vq, chains, n);
	return virtqueue_used(&vq->ring, chains, n);
}

void vhost_vq_signal(struct vhost_vq *vq)
{
	if (virtqueue_should_signal(&vq->ring) == 1)
		line_raise(&vq->call);
}

/* ---- ioctls; the argument's first word, the index, has been read ---- */

static long set_num(struct vhost_vq *vq, unsigned long arg)
{
	struct vhost_vring_state s;

	if (vq->active)
		return -EBUSY;
	if (copy_from_user(&s, (const void *)arg, sizeof(s)))
		return -EFAULT;
	if (!s.num || s.num > 0xffff || (s.num & (s.num - 1)))
		return -EINVAL;
	vq->num = s.num;
	vq->prefetched = false;
	return 0;
}

static long set_addr(struct vhost_vq *vq, unsigned long arg)
{
	uint64_t address[VIRTQUEUE_PARTS];
	struct vhost_vring_addr a;
	bool log_used;

	if (copy_from_user(&a, (const void *)arg, sizeof(a)))
		return -EFAULT;
	if (a.flags & ~(1u << VHOST_VRING_F_LOG))
		return -EOPNOTSUPP;
	if (a.avail_user_addr % 2 || a.used_user_addr % 4 || a.log_guest_addr % 4)
		return -EINVAL;
	log_used = a.flags & (1u << VHOST_VRING_F_LOG);
	address[VIRTQUEUE_DESC] = a.desc_user_addr;
	address[VIRTQUEUE_AVAIL] = a.avail_user_addr;
	address[VIRTQUEUE_USED] = a.used_user_addr;
	if (vq->active) {
		if (!ring_ok(vq, address) || !log_used_ok(vq, log_used, a.log_guest_addr))
			return -EINVAL;
		if (memcmp(address, vq->address, sizeof(address)) &&
		    virtqueue_set_addresses(&vq->ring, address))
			return -EINVAL;
		virtqueue_log(&vq->ring, false, log_used);
	}
	memcpy(vq->address, address, sizeof(address));
	vq->prefetched = false;
	vq->log_used = log_used;
	vq->log_addr = a.log_guest_addr;
	return 0;
}

static long set_base(struct vhost_vq *vq, unsigned long arg)
{
	struct vhost_vring_state s;

	if (vq->active)
		return -EBUSY;
	if (copy_from_user(&s, (const void *)arg, sizeof(s)))
		return -EFAULT;
	if (s.num > 0xffff && !vhost_has_feature(vq->dev, VIRTIO_F_RING_PACKED))
		return -EINVAL;
	vq->base = s.num;
	return 0;
}

static long get_base(struct vhost_vq *vq, unsigned long arg)
{
	struct vhost_vring_state s = {.index = vq->index,
				      .num = vq->active ? base_of_state(vq) : vq->base};

	return copy_to_user((void *)arg, &s, sizeof(s));
}

/* *ret_fd: a private duplicate, or -1 for "none". */
static long take_eventfd(unsigned long arg, int *ret_fd)
{
	struct vhost_vring_file file;
	long ret;

	if (copy_from_user(&file, (const void *)arg, sizeof(file)))
		return -EFAULT;
	*ret_fd = -1;
	if (file.fd == VHOST_FILE_UNBIND)
		return 0;
	ret = line_check_eventfd(file.fd);
	if (ret)
		return ret;
	*ret_fd = user_fd_take(file.fd);
	return *ret_fd < 0 ? *ret_fd : 0;
}

static long set_kick(struct vhost_vq *vq, unsigned long arg)
{
	int fd;
	long ret;

	ret = take_eventfd(arg, &fd);
	return ret ? ret : vhost_set_kick(vq, fd);
}

static long set_line(struct line *line, unsigned long arg)
{
	int fd;
	long ret;

	ret = take_eventfd(arg, &fd);
	if (!ret)
		line_connect(line, fd);
	return ret;
}

static long set_busyloop(struct vhost_vq *vq, unsigned long arg)
{
	struct vhost_vring_state s;

	if (copy_from_user(&s, (const void *)arg, sizeof(s)))
		return -EFAULT;
	store_busyloop(vq, s.num);
	return 0;
}

static long get_busyloop(struct vhost_vq *vq, unsigned long arg)
{
	struct vhost_vring_state s = {.index = vq->index, .num = vq->busyloop};

	return copy_to_user((void *)arg, &s, sizeof(s));
}

static long one_ring(struct vhost_vq *vq, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case VHOST_SET_VRING_NUM:
		return set_num(vq, arg);
	case VHOST_SET_VRING_ADDR:
		return set_addr(vq, arg);
	case VHOST_SET_VRING_BASE:
		return set_base(vq, arg);
	case VHOST_GET_VRING_BASE:
		return get_base(vq, arg);
	case VHOST_SET_VRING_KICK:
		return set_kick(vq, arg);
	case VHOST_SET_VRING_CALL:
		return set_line(&vq->call, arg);
	case VHOST_SET_VRING_ERR:
		return set_line(&vq->err, arg);
	case VHOST_SET_VRING_BUSYLOOP_TIMEOUT:
		return set_busyloop(vq, arg);
	case VHOST_GET_VRING_BUSYLOOP_TIMEOUT:
		return get_busyloop(vq, arg);
	default:
		return -ENOTTY;
	}
}

static long vring_ioctl(struct vhost_dev *dev, unsigned int cmd, unsigned long arg)
{
	uint32_t index;
	long ret;

	ret = vhost_check_owner(dev);
	if (ret)
		return ret;
	if (copy_from_user(&index, (const void *)arg, sizeof(index)))
		return -EFAULT;
	if (index >= dev->n_vqs)
		return -ENOBUFS;
	/* The lines need no lock of the ring's, so a swap of CALL waits for no work. */
	if (cmd == VHOST_SET_VRING_CALL || cmd == VHOST_SET_VRING_ERR)
		return one_ring(&dev->vqs[index], cmd, arg);
	vhost_ring_lock(&dev->vqs[index]);
	ret = one_ring(&dev->vqs[index], cmd, arg);
	vhost_ring_unlock(&dev->vqs[index]);
	return ret;
}

VHOST_HANDLER(vhost_ioctl_vring)
{
	struct vhost_dev *dev = f->priv;
	long ret;

	pthread_mutex_lock(&dev->mutex);
	ret = vring_ioctl(dev, call->cmd, call->arg);
	pthread_mutex_unlock(&dev->mutex);
	return ret;
}
