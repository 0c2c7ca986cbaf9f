/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The whole tree, in the order of its parts, with a umask of 0 so that every file gets the
 * permissions that sysfs gives it.
 */
#include "tree/tree.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/device.h"
#include "core/instance.h"
#include "tree/parts.h"

static int realize_all(const struct instance *i, char *error, size_t error_size)
{
	for (size_t d = 0; d < i->n_devices; d++) {
		struct standin_device *dev = i->devices[d];
		int result = device_realize(dev);

		if (result < 0) {
			snprintf(error, error_size, "%s",
				 dev->error[0] ? dev->error : strerror(-result));
			return result;
		}
	}
	return 0;
}

int tree_create(const char *root, struct instance *i, char *error, size_t error_size)
{
	struct builder b;
	mode_t mask;
	int result;

	result = realize_all(i, error, error_size);
	if (result < 0)
		return result;
	result = builder_init(&b, root, error, error_size);
	if (result < 0)
		return result;
	mask = umask(0);
	build_pci(&b, i);
	build_vfio(&b, i);
	build_vdpa(&b, i);
	build_vhost(&b);
	build_hyperv(&b, i);
	build_nodes(&b);
	build_host(&b);
	umask(mask);
	builder_finish(&b);
	return b.result;
}
