/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vhost device that echoes, and its client, for tests of what all vhost files have in common.
 * The device copies what a chain has to read to where it may write.  Its own ioctl is
 * ECHO_SET_BACKEND, as vhost-test has one.
 *
 * The client's memory is one arena that holds the rings and buffers.  Guest addresses, and
 * with an IOTLB IOVAs, are the offset in the arena plus RIG_GUEST.
 */
#ifndef STANDIN_TESTS_VHOST_RIG_H
#define STANDIN_TESTS_VHOST_RIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "uapi/vhost.h"

#define RIG_RINGS    4u
#define RIG_NUM      16u
#define RIG_GUEST    UINT64_C(0x40000000)
#define RIG_PAGE     4096u
#define RIG_DESC(r)  ((4 * (r)) * RIG_PAGE) /* offsets in the arena */
#define RIG_AVAIL(r) ((4 * (r) + 1) * RIG_PAGE)
#define RIG_USED(r)  ((4 * (r) + 2) * RIG_PAGE)
/* Two pages for each slot: what is read, and what is written. */
#define RIG_BUFFER(r, slot, write) ((16 + 2 * ((r)*RIG_NUM + (slot)) + (write)) * RIG_PAGE)
#define RIG_SIZE                   (RIG_BUFFER(RIG_RINGS, 0, 0))

#define ECHO_SET_BACKEND _IOW(VHOST_VIRTIO, 0x50, struct vhost_vring_file) /* fd -1: none */

struct rig {
	int fd;
	struct file *file;
	char *arena;
	int kick[RIG_RINGS], call[RIG_RINGS], err[RIG_RINGS];
	uint16_t avail[RIG_RINGS], used[RIG_RINGS]; /* the driver's */
};

extern struct rig rig;
/* If not NULL runs in the device's work on a ring, before it. */
extern void (*_Atomic rig_work_hook)(unsigned ring);

/* cmocka's: opens the device, owns it, sets rings up by the memory table with no backend. */
int rig_setup(void **state);
int rig_teardown(void **state);

long rig_ioctl(unsigned cmd, void *arg);
long rig_state(unsigned cmd, unsigned ring, unsigned num);
long rig_file(unsigned cmd, unsigned ring, int fd);
long rig_features(uint64_t features);
/* Where the rings are: as addresses of this process, or IOVAs. */
void rig_addresses(bool iova, bool log);
long rig_memory(void);
long rig_backend(unsigned ring, bool on);

/* Makes a chain available: `size` bytes of `fill` to be echoed.  Doesn't kick. */
void rig_add(unsigned ring, uint8_t fill, uint32_t size);
void rig_kick(unsigned ring);
/* Waits for the next chain to be used and checks what came back; false: not within `ms`. */
bool rig_echoed(unsigned ring, uint8_t fill, uint32_t size, int ms);

/* IOTLB messages: 72 or -errno. */
long rig_message(uint8_t type, uint64_t iova, uint64_t size, uint64_t address, uint8_t perm);
/* Makes [offset, offset+size) of the arena known. */
long rig_update(uint64_t offset, uint64_t size, uint8_t perm);
/* Reads a miss: its offset in the arena and what for, or fails the test. */
uint64_t rig_miss(uint8_t *ret_perm);
bool rig_readable(void);

#endif
