/* SPDX-License-Identifier: BSD-3-Clause */
/* memory/mmio_private.h - between mmio.c and doorbell.c alone. */
#ifndef STANDIN_MEMORY_MMIO_PRIVATE_H
#define STANDIN_MEMORY_MMIO_PRIVATE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct standin_device;

/*
 * Makes the device's doorbell pages plain memory or trapped, in all its mappings.  When
 * it returns every store done before is visible and every later one does the new thing.
 */
void mmio_doorbells_open(struct standin_device *dev, bool open);

/* Blocks everything but the signals that faults raise; and the way back. */
void mmio_block_signals(uint64_t *ret_old);
void mmio_restore_signals(const uint64_t *old);

#endif
