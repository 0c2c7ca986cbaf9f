/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vDPA's device nodes: /dev/vhost-vdpa-N, one for each `vdpa` directive.  Their major is one
 * from the range that the kernel hands out dynamically.
 *
 * The device behind a node is made when the node is first opened.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "core/instance.h"
#include "core/log.h"
#include "vdpa/vdpa.h"

#define MAJOR 245

struct vdpa_slot {
	const struct vdpa_config *config;
	unsigned number;
	pthread_mutex_t lock;
	struct vdpa *vdpa; /* NULL: not opened yet */
};

static struct vdpa_slot *slots;
static size_t n_slots;

int vdpa_get(struct vdpa_slot *slot, struct vdpa **ret_vdpa)
{
	char error[CONFIG_ERROR_MAX] = "";
	int ret = 0;

	pthread_mutex_lock(&slot->lock);
	if (!slot->vdpa)
		ret = vdpa_create(slot->config, slot->number, &slot->vdpa, error);
	pthread_mutex_unlock(&slot->lock);
	if (ret)
		log_error("%s", *error ? error : strerror(-ret));
	*ret_vdpa = slot->vdpa;
	return ret;
}

static void vdpa_stop(struct instance *i)
{
	while (n_slots) {
		struct vdpa_slot *slot = &slots[--n_slots];

		vdpa_destroy(slot->vdpa);
		pthread_mutex_destroy(&slot->lock);
	}
	free(slots);
	slots = NULL;
}

static int vdpa_start(struct instance *i)
{
	const struct config *c = i->config;
	char path[NODE_PATH_MAX];
	int ret = 0;

	slots = calloc(c->n_vdpas ? c->n_vdpas : 1, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (; n_slots < c->n_vdpas && !ret; n_slots++) {
		struct vdpa_slot *slot = &slots[n_slots];

		slot->config = &c->vdpas[n_slots];
		slot->number = (unsigned)n_slots;
		pthread_mutex_init(&slot->lock, NULL);
		snprintf(path, sizeof(path), "/dev/vhost-vdpa-%u", slot->number);
		ret = node_add(path, &vdpa_file_ops, slot, (uint32_t)makedev(MAJOR, slot->number));
	}
	if (ret)
		vdpa_stop(i);
	return ret;
}

static int vdpa_check(struct instance *i, char *error, size_t error_size)
{
	const struct config *c = i->config;
	char line[CONFIG_ERROR_MAX] = "";
	struct vdpa *v;
	int ret = 0;

	for (unsigned n = 0; n < c->n_vdpas && !ret; n++) {
		ret = vdpa_create(&c->vdpas[n], n, &v, line);
		if (!ret)
			vdpa_destroy(v);
	}
	if (ret)
		snprintf(error, error_size, "%s", *line ? line : strerror(-ret));
	return ret;
}

static const struct ioctl_table *const vdpa_tables[] = {
	&vdpa_table,
	NULL,
};

static struct interface vdpa_interface = {
	.name = "vhost-vdpa",
	.start = vdpa_start,
	.check = vdpa_check,
	.stop = vdpa_stop,
	.tables = vdpa_tables,
};

INTERFACE(vdpa_interface)
