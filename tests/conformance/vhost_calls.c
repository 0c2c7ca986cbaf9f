/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls that the vhost conformance programs make all the time. */
#include "vhost.h"

int vhost_open(const char *path)
{
	int fd = sys_open(path, O_RDWR);

	if (fd < 0)
		give_up(path, -errno);
	return fd;
}

int vhost_owned(const char *path)
{
	int fd = vhost_open(path);
	long r = result(sys_ioctl(fd, VHOST_SET_OWNER));

	if (r)
		give_up("VHOST_SET_OWNER", r);
	return fd;
}

long set_memory(int fd, unsigned n, const struct vhost_memory_region *regions)
{
	char space[sizeof(struct vhost_memory) + 80 * sizeof(*regions)] = {0};
	struct vhost_memory *m = (struct vhost_memory *)space;

	m->nregions = n;
	if (regions && n <= 80)
		memcpy(m->regions, regions, n * sizeof(*regions));
	return result(sys_ioctl(fd, VHOST_SET_MEM_TABLE, m));
}

long set_memory_flat(int fd)
{
	struct vhost_memory_region all = {.guest_phys_addr = 0, .memory_size = 0x7ffffffff000};

	return set_memory(fd, 1, &all);
}

long set_state(int fd, unsigned long cmd, unsigned index, unsigned num)
{
	struct vhost_vring_state s = {.index = index, .num = num};

	return result(sys_ioctl(fd, cmd, edge(sizeof(s), &s)));
}

long set_file(int fd, unsigned long cmd, unsigned index, int file)
{
	struct vhost_vring_file s = {.index = index, .fd = file};

	return result(sys_ioctl(fd, cmd, edge(sizeof(s), &s)));
}
