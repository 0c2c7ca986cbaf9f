/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The directory of the daemons' pools, which begins empty and ends with the run; and what the
 * fcopy daemon of newer kernels looks up of its device: the size of its rings, and its uio device.
 */
#include "core/config.h"
#include "core/instance.h"
#include "hyperv/wire.h"
#include "tree/parts.h"
#include "tree/prefixes.h"

#define FCOPY "sys/bus/vmbus/devices/" HYPERV_FCOPY_INSTANCE

static void build_fcopy(struct builder *b)
{
	static const uint8_t rings[2 * HYPERV_UIO_RING_SIZE];

	build_attribute(b, FCOPY, "class_id", 0444, "{" HYPERV_FCOPY_CLASS "}\n");
	build_attribute(b, FCOPY, "device_id", 0444, "{" HYPERV_FCOPY_INSTANCE "}\n");
	build_bytes(b, FCOPY "/channels/1/ring", 0600, rings, sizeof(rings));
	build_attribute(b, FCOPY "/uio/uio0", "name", 0444, "uio_hv_generic\n");
	build_attribute(b, FCOPY "/uio/uio0", "dev", 0444, "243:0\n");
}

void build_hyperv(struct builder *b, const struct instance *i)
{
	if (i->config->hyperv.on)
		build_directory(b, &TREE_STATE[1]);
	if (i->config->hyperv.uio)
		build_fcopy(b);
}
