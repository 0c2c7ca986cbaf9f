/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptor i is the chain i.  Both sides use event indexes: kicks are sent when the device asks,
 * and calls come when as many chains are used as are waited for.
 */
#include "vhost_driver.h"

#include <fcntl.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define BIT(n) (UINT64_C(1) << (n))

int driver_open(const char *path, uint64_t features)
{
	struct {
		struct vhost_memory head;
		struct vhost_memory_region region;
	} memory = {{.nregions = 1}, {.memory_size = UINT64_C(0x7ffffffff000)}};
	int fd = open(path, O_RDWR | O_CLOEXEC);

	need(fd >= 0, path);
	features |= BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX);
	need(ioctl(fd, VHOST_SET_OWNER) == 0, "VHOST_SET_OWNER");
	need(ioctl(fd, VHOST_SET_FEATURES, &features) == 0, "VHOST_SET_FEATURES");
	need(ioctl(fd, VHOST_SET_MEM_TABLE, &memory) == 0, "VHOST_SET_MEM_TABLE");
	return fd;
}

void driver_ring_init(struct driver_ring *r, int fd, unsigned index, unsigned num)
{
	struct vhost_vring_state size = {.index = index, .num = num}, base = {.index = index};
	struct vhost_vring_file file = {.index = index};
	struct vhost_vring_addr addr = {.index = index};

	memset(r, 0, sizeof(*r));
	r->index = index;
	vring_init(&r->vring, num, memory_get(vring_size(num, 4096)), 4096);
	addr.desc_user_addr = (uintptr_t)r->vring.desc;
	addr.avail_user_addr = (uintptr_t)r->vring.avail;
	addr.used_user_addr = (uintptr_t)r->vring.used;
	r->kick = eventfd(0, EFD_CLOEXEC);
	r->call = eventfd(0, EFD_CLOEXEC);
	need(r->kick >= 0 && r->call >= 0, "eventfd");
	need(ioctl(fd, VHOST_SET_VRING_NUM, &size) == 0, "VHOST_SET_VRING_NUM");
	need(ioctl(fd, VHOST_SET_VRING_BASE, &base) == 0, "VHOST_SET_VRING_BASE");
	need(ioctl(fd, VHOST_SET_VRING_ADDR, &addr) == 0, "VHOST_SET_VRING_ADDR");
	file.fd = r->kick;
	need(ioctl(fd, VHOST_SET_VRING_KICK, &file) == 0, "VHOST_SET_VRING_KICK");
	file.fd = r->call;
	need(ioctl(fd, VHOST_SET_VRING_CALL, &file) == 0, "VHOST_SET_VRING_CALL");
}

void driver_ring_add(struct driver_ring *r, unsigned slot, const void *memory, size_t size,
		     bool write)
{
	r->vring.desc[slot] = (struct vring_desc){.addr = (uintptr_t)memory,
						  .len = (uint32_t)size,
						  .flags = write ? VRING_DESC_F_WRITE : 0};
	r->vring.avail->ring[r->avail++ % r->vring.num] = (uint16_t)slot;
}

void driver_ring_publish(struct driver_ring *r, uint16_t before)
{
	static const uint64_t one = 1;
	uint16_t event;

	if (r->avail == before)
		return;
	__atomic_store_n(&r->vring.avail->idx, r->avail, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = __atomic_load_n(&vring_avail_event(&r->vring), __ATOMIC_RELAXED);
	if (vring_need_event(event, r->avail, before))
		need(write(r->kick, &one, sizeof(one)) == sizeof(one), "kick");
}

unsigned driver_ring_used(const struct driver_ring *r)
{
	return (uint16_t)(__atomic_load_n(&r->vring.used->idx, __ATOMIC_ACQUIRE) - r->seen);
}

void driver_ring_no_calls(struct driver_ring *r)
{
	__atomic_store_n(&vring_used_event(&r->vring), (uint16_t)(r->seen - 1), __ATOMIC_RELAXED);
}

void driver_ring_wait(struct driver_ring *r, unsigned n)
{
	uint64_t count;

	while (driver_ring_used(r) < n) {
		__atomic_store_n(&vring_used_event(&r->vring), (uint16_t)(r->seen + n - 1),
				 __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (driver_ring_used(r) < n)
			need(read(r->call, &count, sizeof(count)) == sizeof(count), "call");
	}
}
