/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uapi/tun.h - <linux/if_tun.h> and the names that kernels after 6.1 added to it, and to
 * <linux/virtio_net.h>, with the numbers that the kernel's user interface fixes.
 */
#ifndef STANDIN_UAPI_TUN_H
#define STANDIN_UAPI_TUN_H

#include <linux/if_tun.h>
#include <linux/virtio_net.h>

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#ifndef IFF_BACKPRESSURE
#define IFF_BACKPRESSURE 0x0080
#endif
#ifndef TUN_F_UDP_TUNNEL_GSO
#define TUN_F_UDP_TUNNEL_GSO      0x080
#define TUN_F_UDP_TUNNEL_GSO_CSUM 0x100
#endif

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#endif
