/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a device offers and what its client takes of it.  Features may be changed at any time,
 * also while rings run, which is how logging is switched on and off.  The rules of the array
 * are those of drivers/vhost/net.c.
 */
#include <errno.h>
#include <string.h>

#include "core/user.h"
#include "vhost/vhost.h"

static bool test(const uint64_t *features, unsigned bit)
{
	return features[bit / 64] >> bit % 64 & 1;
}

bool vhost_has_feature(const struct vhost_dev *dev, unsigned bit)
{
	return test(dev->features, bit);
}

static long change(struct vhost_dev *dev, const uint64_t *features)
{
	long ret = 0;

	if (test(features, VHOST_F_LOG_ALL))
		for (unsigned i = 0; i < dev->n_vqs; i++)
			if (dev->vqs[i].active &&
			    !vhost_memory_ok(dev->memory, dev->vqs[i].log_base, true))
				return -EFAULT;
	if (dev->ops->set_features)
		ret = dev->ops->set_features(dev, features);
	if (ret)
		return ret;
	if (vhost_set_iotlb(dev, test(features, VIRTIO_F_ACCESS_PLATFORM)))
		return -EFAULT;
	memcpy(dev->features, features, sizeof(dev->features));
	for (unsigned i = 0; i < dev->n_vqs; i++)
		vhost_vq_renew(&dev->vqs[i]);
	return 0;
}

static long set_features(struct vhost_dev *dev, const uint64_t *features)
{
	long ret;

	for (unsigned i = 0; i < VHOST_FEATURE_WORDS; i++)
		if (features[i] & ~dev->ops->features[i])
			return -EOPNOTSUPP;
	vhost_lock(dev);
	ret = change(dev, features);
	vhost_unlock(dev);
	return ret;
}

VHOST_HANDLER(vhost_ioctl_get_features)
{
	const struct vhost_dev *dev = f->priv;

	return copy_to_user((void *)call->arg, dev->ops->features, sizeof(uint64_t));
}

VHOST_HANDLER(vhost_ioctl_set_features)
{
	uint64_t features[VHOST_FEATURE_WORDS] = {0};

	if (copy_from_user(features, (const void *)call->arg, sizeof(uint64_t)))
		return -EFAULT;
	return set_features(f->priv, features);
}

/* 0 or -EFAULT.  `n` is the client's and may be any number. */
static int zero_words(char *to, uint64_t n)
{
	static const uint64_t zeroes[64];

	if (!vhost_range_ok((uintptr_t)to, n > UINT64_MAX / 8 ? UINT64_MAX : n * 8))
		return -EFAULT;
	while (n) {
		size_t words = n < 64 ? n : 64;

		if (copy_to_user(to, zeroes, words * 8))
			return -EFAULT;
		to += words * 8;
		n -= words;
	}
	return 0;
}

VHOST_HANDLER(vhost_ioctl_get_features_array)
{
	const struct vhost_dev *dev = f->priv;
	char *at = (char *)call->arg;
	uint64_t count, copied;

	if (copy_from_user(&count, at, sizeof(count)))
		return -EFAULT;
	at += sizeof(count);
	copied = count < VHOST_FEATURE_WORDS ? count : VHOST_FEATURE_WORDS;
	if (copy_to_user(at, dev->ops->features, copied * 8))
		return -EFAULT;
	return zero_words(at + copied * 8, count - copied);
}

VHOST_HANDLER(vhost_ioctl_set_features_array)
{
	uint64_t features[VHOST_FEATURE_WORDS] = {0}, count, copied, word;
	const char *at = (const char *)call->arg;

	if (copy_from_user(&count, at, sizeof(count)))
		return -EFAULT;
	at += sizeof(count);
	copied = count < VHOST_FEATURE_WORDS ? count : VHOST_FEATURE_WORDS;
	if (copy_from_user(features, at, copied * 8))
		return -EFAULT;
	for (uint64_t i = copied; i < count; i++) {
		if (copy_from_user(&word, at + i * 8, sizeof(word)))
			return -EFAULT;
		if (word)
			return -EOPNOTSUPP;
	}
	return set_features(f->priv, features);
}

VHOST_HANDLER(vhost_ioctl_get_backend_features)
{
	const struct vhost_dev *dev = f->priv;

	return copy_to_user((void *)call->arg, &dev->ops->backend_features, sizeof(uint64_t));
}

VHOST_HANDLER(vhost_ioctl_set_backend_features)
{
	struct vhost_dev *dev = f->priv;
	uint64_t features;

	if (copy_from_user(&features, (const void *)call->arg, sizeof(features)))
		return -EFAULT;
	if (features & ~dev->ops->backend_features)
		return -EOPNOTSUPP;
	vhost_lock(dev);
	dev->backend_features = features;
	vhost_unlock(dev);
	return 0;
}
