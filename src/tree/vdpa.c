/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What shows of vDPA: the bus with its devices, each bound to vhost_vdpa with the character
 * device as a child, and a line in /proc/devices, by which programs tell such a character
 * device from others.
 */
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "core/file.h"
#include "tree/parts.h"

#define DRIVER "sys/bus/vdpa/drivers/vhost_vdpa"

struct parts {
	struct builder *b;
	unsigned major; /* 0: there is no device */
};

static void build_device(const struct node *node, void *arg)
{
	char device[TREE_PATH_MAX], path[TREE_PATH_MAX];
	struct parts *parts = arg;
	struct builder *b = parts->b;
	unsigned number;
	int end = 0;

	if (sscanf(node->path, "/dev/vhost-vdpa-%u%n", &number, &end) != 1 || node->path[end])
		return;
	parts->major = major(node->rdev);
	build_path(b, device, "sys/devices/vdpa%u", number);
	build_attribute(b, device, "uevent", 0644, "DRIVER=vhost_vdpa\n");
	build_attribute(b, device, "driver_override", 0644, "(null)\n");
	build_path(b, path, "%.100s/driver", device);
	build_relative_link(b, path, DRIVER);
	build_path(b, path, "%.100s/subsystem", device);
	build_relative_link(b, path, "sys/bus/vdpa");
	build_path(b, path, "%.100s/vhost-vdpa-%u", device, number);
	build_attribute(b, path, "dev", 0444, "%u:%u\n", major(node->rdev), minor(node->rdev));
	build_attribute(b, path, "uevent", 0644, "%s", "");
	build_path(b, path, "sys/bus/vdpa/devices/vdpa%u", number);
	build_relative_link(b, path, device);
	build_path(b, path, DRIVER "/vdpa%u", number);
	build_relative_link(b, path, device);
}

/* The machine's list of majors with ours in its place among the character devices. */
static void build_proc_devices(struct builder *b, unsigned ours)
{
	char line[128], text[8192];
	size_t length = 0;
	FILE *in = fopen("/proc/devices", "re");
	bool done = false;
	unsigned number;

	if (!in)
		return;
	while (fgets(line, sizeof(line), in) && length + 2 * sizeof(line) < sizeof(text)) {
		bool entry = sscanf(line, "%u", &number) == 1;

		if (strstr(line, " vhost-vdpa\n"))
			continue;
		if (!done && (line[0] == '\n' || (entry && number > ours))) {
			length += (size_t)sprintf(text + length, "%3u vhost-vdpa\n", ours);
			done = true;
		}
		length += (size_t)sprintf(text + length, "%s", line);
	}
	fclose(in);
	build_bytes(b, "proc/devices", 0444, text, length);
}

void build_vdpa(struct builder *b, const struct instance *i)
{
	struct parts parts = {.b = b};

	build_attribute(b, "sys/bus/vdpa", "drivers_autoprobe", 0644, "1\n");
	build_attribute(b, "sys/bus/vdpa", "drivers_probe", 0200, "%s", "");
	build_attribute(b, "sys/bus/vdpa", "uevent", 0200, "%s", "");
	build_directory(b, "sys/bus/vdpa/devices");
	build_attribute(b, DRIVER, "bind", 0200, "%s", "");
	build_attribute(b, DRIVER, "uevent", 0200, "%s", "");
	build_attribute(b, DRIVER, "unbind", 0200, "%s", "");
	node_each(build_device, &parts);
	if (parts.major)
		build_proc_devices(b, parts.major);
	else
		build_link(b, "proc/devices", "/proc/devices");
}
