/* SPDX-License-Identifier: BSD-3-Clause */
/* memory/mmio_private.h - between mmio.c and doorbell.c alone. */
#ifndef STANDIN_MEMORY_MMIO_PRIVATE_H
#define STANDIN_MEMORY_MMIO_PRIVATE_H

#include <stdbool.h>

struct standin_device;

/*
 * Makes the device's doorbell pages plain memory or trapped, in all its mappings.  When
 * it returns every store done before is visible and every later one does the new thing.
 */
void mmio_doorbells_open(struct standin_device *dev, bool open);

#endif
