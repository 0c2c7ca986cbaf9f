/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio/caps.h - the capability chains behind the information structures.
 *
 * A chain is built in a small buffer with offsets counted from its own beginning and is
 * shifted when it is copied behind the structure.  Each entry begins on 8 bytes.
 */
#ifndef STANDIN_VFIO_CAPS_H
#define STANDIN_VFIO_CAPS_H

#include <stddef.h>
#include <stdint.h>

#include "uapi/vfio.h"

#define CAPS_MAX 256

struct caps {
	uint32_t size;
	uint32_t last; /* where the newest entry begins */
	_Alignas(8) uint8_t bytes[CAPS_MAX];
};

/* Adds a zeroed entry of `size` bytes (with its header) and returns it. */
void *caps_add(struct caps *c, uint16_t id, uint16_t version, size_t size);

/*
 * The rule for all information ioctls (struct vfio_info_cap in the kernel's vfio_main.c):
 * if *argsz has no room for `info_size` bytes and the chain, *argsz becomes what is needed
 * and *cap_offset 0; else the chain is copied to arg + info_size.  0 or -EFAULT.
 */
int caps_return(struct caps *c, unsigned long arg, size_t info_size, uint32_t *argsz,
		uint32_t *cap_offset);

#endif
