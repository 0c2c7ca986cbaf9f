/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory of a ring of packets; how it works is in the header. */
#include "backend/net_ring.h"

#include <sys/mman.h>

#include "core/hostfd.h"

_Static_assert(sizeof(struct net_record) == 16, "records are aligned to 16 bytes");

int net_ring_init(struct net_ring *r)
{
	void *memory = host_mmap(NULL, NET_RING_SIZE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (host_is_error(memory))
		return -ENOMEM;
	memset(r, 0, sizeof(*r));
	r->memory = memory;
	return 0;
}

void net_ring_finish(struct net_ring *r)
{
	if (r->memory)
		host_munmap(r->memory, NET_RING_SIZE);
	r->memory = NULL;
}
