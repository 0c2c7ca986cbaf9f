/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /dev/vhost-test: a ring whose buffers are taken and given back, nothing else.  The
 * kernel's tools/virtio/virtio_test drives its rings over it.  Rules: drivers/vhost/test.c.
 *
 * Taking a buffer is not looking into it: a round hands back what was fetched, with one
 * signal a batch.
 */
#include "vhost/test.h"

#include <errno.h>
#include <stdlib.h>

#include "core/user.h"
#include "vhost/vhost.h"

#define BATCH  64u
#define ROUNDS 4u /* batches until other work may come between */

#define BIT(n) (UINT64_C(1) << (n))
#define FEATURES                                                                           \
	(BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | BIT(VHOST_F_LOG_ALL) | BIT(VIRTIO_F_ANY_LAYOUT) | \
	 BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |                 \
	 BIT(VIRTIO_F_VERSION_1))

struct vhost_test {
	struct vhost_dev dev; /* first: f->priv */
	struct vhost_vq vq;
	bool backend; /* what SET_BACKEND enables again */
	struct iovec iov[1024];
	struct virtqueue_chain chains[BATCH];
};

/* Why the chain is none for this device, or NULL. */
static const char *wrong(const struct virtqueue_chain *chain)
{
	if (chain->n_writable)
		return "the device may write to a buffer";
	return chain->readable_size ? NULL : "an empty buffer";
}

/* Gives `n` chains back, up to the first that is wrong. */
static bool give_back(struct vhost_test *t, unsigned n)
{
	struct virtqueue *ring = &t->vq.ring;
	const char *reason = NULL;
	unsigned good;

	for (good = 0; good < n && !reason; good += !reason)
		reason = wrong(&t->chains[good]);
	if (good < n)
		virtqueue_unfetch(ring, t->chains + good, n - good);
	if (good && vhost_vq_used(&t->vq, t->chains, good) == 0)
		vhost_vq_signal(&t->vq);
	if (reason)
		virtqueue_fail(ring, -EINVAL, reason);
	return !reason;
}

static bool test_work(struct vhost_vq *vq)
{
	struct vhost_test *t = (struct vhost_test *)vq->dev;
	struct virtqueue_pool pool = {.iov = t->iov, .max_iov = 1024};
	int n;

	if (!vhost_vq_runnable(vq))
		return false;
	virtqueue_disable_kicks(&vq->ring);
	for (unsigned round = 0; round < ROUNDS; round++) {
		virtqueue_pool_reset(&pool);
		n = virtqueue_fetch(&vq->ring, t->chains, BATCH, &pool);
		if (n == 0 && virtqueue_enable_kicks(&vq->ring) == 0)
			return false;
		if (n < 0 || !give_back(t, (unsigned)n)) {
			if (n != -EAGAIN)
				vhost_vq_error(vq);
			return false;
		}
	}
	return true;
}

static void test_reset(struct vhost_dev *dev)
{
	vhost_vq_stop(&((struct vhost_test *)dev)->vq);
}

static const struct vhost_ops test_dev_ops = {
	.work_ring = test_work,
	.features = {FEATURES},
	.reset = test_reset,
};

static int test_open(struct file *f, void *context)
{
	struct vhost_test *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return -ENOMEM;
	ret = vhost_init(&t->dev, f, &test_dev_ops, "vhost-test", &t->vq, 1);
	if (ret)
		free(t);
	return ret;
}

static void test_release(struct file *f)
{
	struct vhost_test *t = f->priv;

	vhost_workers_stop(&t->dev);
	vhost_finish(&t->dev);
	free(t);
}

static long set_running(struct vhost_test *t, bool on)
{
	long ret = vhost_check_owner(&t->dev);

	if (ret)
		return ret;
	if (!vhost_vq_access_ok(&t->vq))
		return -EFAULT;
	if (!on) {
		vhost_vq_stop(&t->vq);
		return 0;
	}
	return vhost_vq_start(&t->vq);
}

static VHOST_HANDLER(run)
{
	struct vhost_test *t = f->priv;
	int32_t on;
	long ret;

	if (copy_from_user(&on, (const void *)call->arg, sizeof(on)))
		return -EFAULT;
	if (on < 0 || on > 1)
		return -EINVAL;
	vhost_lock(&t->dev);
	ret = set_running(t, on);
	vhost_unlock(&t->dev);
	return ret;
}

/* A backend is what RUN gave: taken away by -1, and then given back by any other number. */
static long set_backend(struct vhost_test *t, const struct vhost_vring_file *file)
{
	long ret = vhost_check_owner(&t->dev);

	if (ret)
		return ret;
	if (file->index)
		return -ENOBUFS;
	if (!vhost_vq_access_ok(&t->vq))
		return -EFAULT;
	if (file->fd == VHOST_FILE_UNBIND) {
		t->backend = t->vq.active;
		vhost_vq_stop(&t->vq);
	} else if (t->backend && vhost_vq_start(&t->vq) == 0) {
		vhost_queue(&t->vq); /* what was kicked meanwhile */
	}
	return 0;
}

static VHOST_HANDLER(change_backend)
{
	struct vhost_test *t = f->priv;
	struct vhost_vring_file file;
	long ret;

	if (copy_from_user(&file, (const void *)call->arg, sizeof(file)))
		return -EFAULT;
	vhost_lock(&t->dev);
	ret = set_backend(t, &file);
	vhost_unlock(&t->dev);
	return ret;
}

static const struct ioctl_row rows[] = {
	VHOST_ROW(VHOST_TEST_RUN, run, vhost_decode_int),
	VHOST_ROW(VHOST_TEST_SET_BACKEND, change_backend, vhost_decode_file),
	VHOST_RESET_OWNER_ROW,
	VHOST_COMMON_ROWS,
};

const struct ioctl_table vhost_test_table = {
	.kind = "vhost-test",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.unknown = -ENOTTY,
	.otherwise = vhost_ioctl_unknown,
};

/* Neither read nor written nor polled. */
const struct file_ops vhost_test_ops = {
	.kind = "vhost-test",
	.ioctls = &vhost_test_table,
	.reopened = true,
	.open = test_open,
	.release = test_release,
};
