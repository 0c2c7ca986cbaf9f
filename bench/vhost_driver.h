/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtio driver over a vhost file, for the benchmarks: as much of one as any kernel's vhost
 * serves too.  Guest addresses are the process's own.  What fails ends the program.
 */
#ifndef STANDIN_BENCH_VHOST_DRIVER_H
#define STANDIN_BENCH_VHOST_DRIVER_H

#include <linux/vhost.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "measure.h"

struct driver_ring {
	struct vring vring;
	unsigned index;
	int kick, call;
	uint16_t avail; /* the next to be made available */
	uint16_t seen;  /* the next to be found used */
};

/* Opens the file and owns it; all of this process's memory is the guest's. */
int driver_open(const char *path, uint64_t features);
/* A ring of `num` entries, with event indexes; sets all of it up but a backend. */
void driver_ring_init(struct driver_ring *r, int fd, unsigned index, unsigned num);
/* Makes a chain of one descriptor available, whose number is `slot`.  Not told before publish. */
void driver_ring_add(struct driver_ring *r, unsigned slot, const void *memory, size_t size,
		     bool write);
/* Tells the device of everything added since the index was `before`, and kicks if it asks for it.
 */
void driver_ring_publish(struct driver_ring *r, uint16_t before);
/* How many chains are used that have not been looked at. */
unsigned driver_ring_used(const struct driver_ring *r);
/* The device need not call, until the next wait. */
void driver_ring_no_calls(struct driver_ring *r);
/* Sleeps until at least `n` are. */
void driver_ring_wait(struct driver_ring *r, unsigned n);

#endif
