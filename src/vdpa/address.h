/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vdpa/address.h - the keys that both network devices take.
 */
#ifndef STANDIN_VDPA_ADDRESS_H
#define STANDIN_VDPA_ADDRESS_H

#include "vdpa/vdpa.h"

/* mac= (`fallback` without it) and mtu= into the configuration space.  0 or -errno. */
int vdpa_net_address(struct vdpa *v, const uint8_t fallback[6], uint16_t mtu);

#endif
