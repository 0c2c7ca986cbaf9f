/* SPDX-License-Identifier: BSD-3-Clause */
/* Building and copying out capability chains; the buffer is the caller's, on its stack. */
#include "vfio/caps.h"

#include <errno.h>
#include <string.h>

#include "core/user.h"

void *caps_add(struct caps *c, uint16_t id, uint16_t version, size_t size)
{
	struct vfio_info_cap_header *header, *last;

	size = (size + 7) & ~(size_t)7;
	header = (struct vfio_info_cap_header *)&c->bytes[c->size];
	memset(header, 0, size);
	header->id = id;
	header->version = version;
	if (c->size) {
		last = (struct vfio_info_cap_header *)&c->bytes[c->last];
		last->next = c->size;
	}
	c->last = c->size;
	c->size += (uint32_t)size;
	return header;
}

int caps_return(struct caps *c, unsigned long arg, size_t info_size, uint32_t *argsz,
		uint32_t *cap_offset)
{
	struct vfio_info_cap_header *header;
	uint32_t at = 0, next;

	if (*argsz < info_size + c->size) {
		*argsz = (uint32_t)(info_size + c->size);
		*cap_offset = 0;
		return 0;
	}
	do {
		header = (struct vfio_info_cap_header *)&c->bytes[at];
		next = header->next;
		if (next)
			header->next = next + (uint32_t)info_size;
		at = next;
	} while (next);
	if (copy_to_user((void *)(arg + info_size), c->bytes, c->size))
		return -EFAULT;
	*cap_offset = (uint32_t)info_size;
	return 0;
}
