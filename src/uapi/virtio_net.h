/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uapi/virtio_net.h - <linux/virtio_net.h> and the names that kernels after 6.1 added to it:
 * segmentation of UDP, also in tunnels.
 */
#ifndef STANDIN_UAPI_VIRTIO_NET_H
#define STANDIN_UAPI_VIRTIO_NET_H

#include <linux/virtio_net.h>

#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO   56
#endif

#ifndef VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO
#define VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO 65
#define VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO  67
#endif

#endif
