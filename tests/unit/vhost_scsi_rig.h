/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's driver of /dev/vhost-scsi for the unit tests, with rings, requests and data in one
 * arena, whose guest addresses are the offset plus GUEST_BASE.
 *
 * Each ring has GUEST_SLOTS slots of four descriptors and four pages: a request, a
 * response, two of data.  Slots are used in turn.
 */
#ifndef STANDIN_TESTS_VHOST_SCSI_RIG_H
#define STANDIN_TESTS_VHOST_SCSI_RIG_H

#include <linux/virtio_scsi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uapi/vhost.h"

#define GUEST_WWPN  "naa.5001405000000001"
#define GUEST_RINGS 4u /* control, event, two for commands */
#define GUEST_NUM   64u
#define GUEST_SLOTS (GUEST_NUM / 4)
#define GUEST_BASE  UINT64_C(0x40000000)
#define GUEST_PAGE  4096u
#define GUEST_DATA  (2 * GUEST_PAGE)
#define GUEST_LONG  5000 /* ms that something may take */
#define GUEST_SHORT 30   /* ... that shows that nothing happens */

/* Offsets in the arena. */
#define GUEST_DESC(r)        ((3 * (r)) * GUEST_PAGE)
#define GUEST_AVAIL(r)       ((3 * (r) + 1) * GUEST_PAGE)
#define GUEST_USED(r)        ((3 * (r) + 2) * GUEST_PAGE)
#define GUEST_SLOT(r, slot)  ((16 + 4 * ((r)*GUEST_SLOTS + (slot))) * GUEST_PAGE)
#define GUEST_REQUEST(r, s)  GUEST_SLOT(r, s)
#define GUEST_RESPONSE(r, s) (GUEST_SLOT(r, s) + GUEST_PAGE)
#define GUEST_BUFFER(r, s)   (GUEST_SLOT(r, s) + 2 * GUEST_PAGE)
#define GUEST_SIZE           GUEST_SLOT(GUEST_RINGS, 0)

#define GUEST_V1 (UINT64_C(1) << VIRTIO_F_VERSION_1)

struct guest {
	int fd;
	uint8_t *arena;
	uint64_t features;
	int kick[GUEST_RINGS], call[GUEST_RINGS], err[GUEST_RINGS];
	unsigned num[GUEST_RINGS]; /* entries: GUEST_NUM */
	uint16_t avail[GUEST_RINGS], seen[GUEST_RINGS];
};

extern struct guest guest;

/* Starts standin with these directives, opens the device, and sets the rings up. */
void guest_start(const char *configuration, uint64_t features);
void guest_stop(void);
/* Opens and owns the device and sets rings and memory up, without an endpoint. */
void guest_open(void);
void guest_close(void);
void guest_addresses(bool log);
long guest_memory(void);
/* 0 or -errno. */
long guest_ioctl(unsigned long cmd, void *arg);
long guest_state(unsigned long cmd, unsigned ring, unsigned num);
long guest_set_features(uint64_t features);
long guest_endpoint(unsigned long cmd, const char *wwpn);
#define guest_set_endpoint()   guest_endpoint(VHOST_SCSI_SET_ENDPOINT, GUEST_WWPN)
#define guest_clear_endpoint() guest_endpoint(VHOST_SCSI_CLEAR_ENDPOINT, GUEST_WWPN)

struct piece {
	size_t at; /* in the arena */
	uint32_t size;
	bool write;
};

/* The slot that comes next. */
unsigned guest_slot(unsigned ring);
/* Makes a chain of up to four pieces available in that slot and kicks. */
void guest_offer(unsigned ring, const struct piece *pieces, unsigned n);
/* Waits for the next chain that comes back: its slot, or -1: none within `ms`. */
int guest_used(unsigned ring, int ms);
/* Waits until the device has taken everything that was offered. */
void guest_taken(unsigned ring);
bool guest_called(unsigned ring);
/* Whether the error eventfd was signalled; waits for it. */
bool guest_erred(unsigned ring);

/* A command with `out` or `in` bytes of data, in the buffer of the slot that is returned. */
unsigned guest_send(unsigned ring, unsigned lun, const void *cdb, size_t cdb_size, uint32_t out,
		    uint32_t in);
/* The response of the next command that is done, which must be that of `slot` (-1: any). */
const struct virtio_scsi_cmd_resp *guest_response(unsigned ring, int slot);
/* Both, on the first ring for commands, for a command that reaches its target: the status. */
uint8_t guest_execute(unsigned lun, const void *cdb, size_t cdb_size, uint32_t out, uint32_t in);
/* TEST UNIT READY until it is: takes unit attentions. */
void guest_ready(unsigned lun);

#define CDB(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

/*
 * Keeps a unit busy by a command of another initiator's: what the guest sends meanwhile waits
 * in the target.  Until guest_let_go().
 */
void guest_hold(unsigned lun);
void guest_let_go(void);

#endif
