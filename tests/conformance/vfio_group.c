/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The group: status, joining and leaving a container, and handing out the device.
 */
#include "vfio.h"

static void status(int group, const char *state)
{
	struct vfio_group_status s = {.argsz = sizeof(s), .flags = 0xa5a5a5a5};
	long r = result(sys_ioctl(group, VFIO_GROUP_GET_STATUS, &s));

	say_text(state, "%s argsz=%u flags=%#x", result_name(r), s.argsz, s.flags);
}

static void status_arguments(int group)
{
	static const uint32_t sizes[] = {0, 4, 7, 8, 9, 4096, UINT32_MAX};
	struct vfio_group_status s;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		s.argsz = sizes[i];
		s.flags = 0xa5a5a5a5;
		say(result(sys_ioctl(group, VFIO_GROUP_GET_STATUS, &s)), "status.argsz(%u)",
		    sizes[i]);
		say_text("status.written", "argsz=%u flags=%#x", s.argsz, s.flags);
	}
	s.argsz = sizeof(s);
	say(result(sys_ioctl(group, VFIO_GROUP_GET_STATUS, NULL)), "status.NULL");
	say(result(sys_ioctl(group, VFIO_GROUP_GET_STATUS, NOWHERE)), "status.nowhere");
	say(result(sys_ioctl(group, VFIO_GROUP_GET_STATUS, edge(8, &s))), "status.edge(8)");
	say(result(sys_ioctl(group, VFIO_GROUP_GET_STATUS, edge(7, &s))), "status.edge(7)");
	say(result(sys_ioctl(group, VFIO_GROUP_GET_STATUS, edge(4, &s))), "status.edge(4)");
	say(result(sys_ioctl(group, VFIO_GROUP_GET_STATUS, read_only(8, &s))), "status.read-only");
	s.argsz = 7;
	say(result(sys_ioctl(group, VFIO_GROUP_GET_STATUS, read_only(8, &s))),
	    "status.read-only.short");
}

static void set_container(int group, int fd, const char *what)
{
	say(result(sys_ioctl(group, VFIO_GROUP_SET_CONTAINER, &fd)), "set.%s", what);
}

static void get_device(int group, const char *what, const char *name)
{
	int fd = sys_ioctl(group, VFIO_GROUP_GET_DEVICE_FD, name);

	say_fd(result(fd), "device.%s", what);
	if (fd >= 0) {
		say(result(fcntl(fd, F_GETFD)), "device.%s.F_GETFD", what);
		printf("group.device.%s.O_ACCMODE: %d\n", what, fcntl(fd, F_GETFL) & O_ACCMODE);
		sys_close(fd);
	}
}

/* Names, with the container in whatever state it is. */
static void device_names(int group)
{
	static char page[4097];
	const char *bdf = vfio_bdf();
	char name[256];

	get_device(group, "name", bdf);
	get_device(group, "NULL", NULL);
	get_device(group, "nowhere", NOWHERE);
	get_device(group, "empty", "");
	get_device(group, "short", strchr(bdf, ':') + 1);
	get_device(group, "absent", "0000:7f:1f.7");
	snprintf(name, sizeof(name), "%.*s", (int)strlen(bdf) - 1, bdf);
	get_device(group, "cut", name);
	snprintf(name, sizeof(name), "%sx", bdf);
	get_device(group, "longer", name);
	snprintf(name, sizeof(name), " %s", bdf);
	get_device(group, "space before", name);
	snprintf(name, sizeof(name), "%s ", bdf);
	get_device(group, "space after", name);
	snprintf(name, sizeof(name), "%s  ", bdf);
	get_device(group, "two spaces after", name);
	snprintf(name, sizeof(name), "%s\n", bdf);
	get_device(group, "newline after", name);
	snprintf(name, sizeof(name), "%s nonsense", bdf);
	get_device(group, "unknown option", name);
	snprintf(name, sizeof(name), "%s vf_token", bdf);
	get_device(group, "token.bare", name);
	snprintf(name, sizeof(name), "%s vf_token=", bdf);
	get_device(group, "token.empty", name);
	snprintf(name, sizeof(name), "%s vf_token=junk", bdf);
	get_device(group, "token.junk", name);
	snprintf(name, sizeof(name), "%s vf_token=bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3", bdf);
	get_device(group, "token", name);
	snprintf(name, sizeof(name), "%s vf_token=BD8D9D2B-5A5F-4F5A-A211-F591514BA1F3", bdf);
	get_device(group, "token.upper", name);
	snprintf(name, sizeof(name), "%s vf_token=bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3x", bdf);
	get_device(group, "token.longer", name);
	snprintf(name, sizeof(name), "%s x vf_token=bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3", bdf);
	get_device(group, "token.second", name);
	get_device(group, "unterminated", edge(strlen(bdf), bdf));
	get_device(group, "at the edge", edge(strlen(bdf) + 1, bdf));
	memset(page, 'x', sizeof(page));
	get_device(group, "endless", page);
	page[4095] = 0;
	get_device(group, "as long as can be", page);
	page[4095] = 'x';
	page[4096] = 0;
	get_device(group, "one longer", page);
}

void area_group(void)
{
	static const unsigned commands[] = {98,  99,  100, 101, 102, 107, 108, 109, 110,
					    111, 112, 117, 118, 119, 120, 121, 122, 131};
	struct text t = {.length = 0};
	int container, second, group, other, device;

	group = sys_open(vfio_group_path(), O_RDWR);
	say_fd(result(group), "open");
	say_fd(result(sys_open(vfio_group_path(), O_RDWR)), "open again");
	say_fd(result(sys_open(vfio_group_path(), O_RDONLY)), "open again read-only");
	sys_close(group);
	group = sys_open(vfio_group_path(), O_RDONLY);
	say_fd(result(group), "open read-only");
	sys_close(group);
	group = sys_open(vfio_group_path(), O_RDWR);
	say_fd(result(group), "open after close");

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		text_add_run(&t, result_name(result(
					 sys_ioctl(group, _IO(VFIO_TYPE, commands[i]), NULL))));
	text_end_run(&t);
	say_text("other commands", "%s", t.data + 1);

	status(group, "status.alone");
	status_arguments(group);

	say(result(sys_ioctl(group, VFIO_GROUP_UNSET_CONTAINER)), "unset.none");
	say(result(sys_ioctl(group, VFIO_GROUP_UNSET_CONTAINER, NOWHERE)), "unset.none.nowhere");
	say_text("names", "without a container");
	device_names(group);

	other = eventfd(0, EFD_NONBLOCK);
	container = sys_open("/dev/vfio/vfio", O_RDWR);
	second = sys_open("/dev/vfio/vfio", O_RDWR);
	say(result(sys_ioctl(group, VFIO_GROUP_SET_CONTAINER, NULL)), "set.NULL");
	say(result(sys_ioctl(group, VFIO_GROUP_SET_CONTAINER, NOWHERE)), "set.nowhere");
	say(result(sys_ioctl(group, VFIO_GROUP_SET_CONTAINER, edge(3, &container))), "set.edge(3)");
	set_container(group, -1, "-1");
	set_container(group, -100, "-100");
	set_container(group, NO_DESCRIPTOR, "closed");
	set_container(group, 1 << 30, "huge");
	set_container(group, other, "eventfd");
	set_container(group, 0, "stdin");
	set_container(group, group, "itself");
	status(group, "status.still alone");
	set_container(group, container, "container");
	status(group, "status.joined");
	set_container(group, container, "again");
	set_container(group, second, "another");
	set_container(group, other, "again.eventfd");
	set_container(group, -1, "again.-1");
	say(result(sys_ioctl(group, VFIO_GROUP_SET_CONTAINER, NULL)), "set.again.NULL");

	say_text("names", "without an IOMMU driver");
	device_names(group);
	say(result(sys_ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)), "set_iommu");
	say_text("names", "with one");
	device_names(group);

	device = sys_ioctl(group, VFIO_GROUP_GET_DEVICE_FD, vfio_bdf());
	status(group, "status.device open");
	say(result(sys_ioctl(group, VFIO_GROUP_UNSET_CONTAINER)), "unset.device open");
	set_container(group, second, "device open");
	set_container(group, device, "the device");
	sys_close(device);
	say(result(sys_ioctl(group, VFIO_GROUP_UNSET_CONTAINER)), "unset");
	say(result(sys_ioctl(group, VFIO_GROUP_UNSET_CONTAINER)), "unset.again");
	status(group, "status.left");
	set_container(group, second, "another");
	say(result(sys_ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)),
	    "set_iommu.the old one");
	say(result(sys_ioctl(second, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)), "set_iommu.the new one");
	sys_close(group);
	sys_close(second);
	sys_close(container);
	close(other);
}
