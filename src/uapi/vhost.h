/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uapi/vhost.h - <linux/vhost.h> and the names that kernels after 6.1 added to it, with the
 * numbers that the kernel's user interface fixes.
 */
#ifndef STANDIN_UAPI_VHOST_H
#define STANDIN_UAPI_VHOST_H

#include <linux/types.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_vsock.h>

#ifndef VHOST_SET_FORK_FROM_OWNER
#define VHOST_SET_FORK_FROM_OWNER _IOW(VHOST_VIRTIO, 0x84, __u8)
#define VHOST_GET_FORK_FROM_OWNER _IOR(VHOST_VIRTIO, 0x85, __u8)
#endif

#endif
