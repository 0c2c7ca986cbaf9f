/* SPDX-License-Identifier: BSD-3-Clause */
/* A network device's address and frame size, as the configuration space has them. */
#include "vdpa/address.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <string.h>

int vdpa_net_address(struct vdpa *v, const uint8_t fallback[6], uint16_t mtu)
{
	struct virtio_net_config *config = (struct virtio_net_config *)v->config;
	const char *text = vdpa_key(v, "mac");
	unsigned byte[6];
	uint64_t number;
	int end = 0, ret;

	memcpy(config->mac, fallback, sizeof(config->mac));
	if (text) {
		if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2],
			   &byte[3], &byte[4], &byte[5], &end) != 6 ||
		    text[end])
			return vdpa_error(v, -EINVAL, "mac: '%s' is no MAC address", text);
		for (unsigned i = 0; i < 6; i++)
			config->mac[i] = (uint8_t)byte[i];
	}
	ret = vdpa_key_number(v, "mtu", mtu, 68, 65535, &number);
	config->mtu = (uint16_t)number;
	return ret;
}
