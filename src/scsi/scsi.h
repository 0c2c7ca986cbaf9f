/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * scsi/scsi.h - SCSI targets: logical units that execute commands on backends.
 *
 * A target is one target port with up to SCSI_LUNS_MAX logical units, direct-access block
 * devices after SPC-4 and SBC-3.  It knows nothing of the transport, which gives it an I_T
 * nexus and commands with the places of their data, and takes status, sense data and
 * residual back:
 *
 *	scsi_target_create(&(struct scsi_target_config){.port = 0x5001405...}, &target);
 *	scsi_unit_add(target, &(struct scsi_unit_config){.lun = 0, .file = "a.img"}, error);
 *	scsi_target_start(target);
 *	scsi_nexus_create(target, &(struct scsi_nexus_config){.initiator = ...}, &nexus);
 *	...
 *	c->nexus = nexus; c->lun = 0; c->cdb = ...; c->done = ...;
 *	if (scsi_submit(c) == SCSI_DONE)
 *		reply(c);            // otherwise c->done(c) is called
 *
 * Commands live in the transport's memory; nothing is allocated for a read or a write.
 *
 * Threads.  All functions may be called on any thread, several at once, in ordinary context
 * (not in signal handlers).  A command that waits completes on a thread of the backend's or
 * on whichever thread finished the command that it waited for; a done() must therefore not
 * wait for other commands, and must not hold up others for long.  It may submit.
 *
 * Order.  Commands with SCSI_SIMPLE run as they come, at the same time.  SCSI_ORDERED ones,
 * COMPARE AND WRITE, and those that change what other commands see (mode pages,
 * reservations) wait for those before them and hold back those after them: without a thread
 * that waits.  SCSI_HEAD_OF_QUEUE ones wait for nobody, except that they don't overtake a
 * command that runs alone.
 *
 * Fault points: scsi.submit (BUSY), scsi.medium (a medium error), scsi.hardware (a hardware
 * error), scsi.attention (a unit attention, power on); the errno given is not looked at.
 * Backends have theirs.
 *
 * Trying it with real tools in a Linux guest: sg_inq, sg_vpd -p 0x83/0xb0/0xb1/0xb2, sg_luns,
 * sg_readcap -l, sg_opcodes [-c/-m], sg_requests, sg_modes -a, sdparm -a / --set WCE=0,
 * sg_unmap, sg_write_same, sg_compare_and_write, sg_verify, sg_get_lba_status, sg_persist,
 * sg_start, sg_turs, sg_sync; blkdiscard and fstrim.
 */
#ifndef STANDIN_SCSI_SCSI_H
#define STANDIN_SCSI_SCSI_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "backend/backend.h"

#define SCSI_LUNS_MAX  256u /* LUNs are 0 to 255 */
#define SCSI_CDB_MAX   32u
#define SCSI_SENSE_MAX 32u /* bytes of the longest sense data that is made */
#define SCSI_ERROR_MAX 256

struct scsi_target;
struct scsi_nexus;

/* ---- targets and logical units ---- */

struct scsi_target_config {
	uint64_t port;          /* name of the target port: a NAA number (naa.5...) */
	uint16_t relative_port; /* relative target port identifier; 0: 1 */
	uint16_t port_group;    /* target port group; 0: 1 */
};

/* Strings are copied.  A NULL or 0 means the default in brackets. */
struct scsi_unit_config {
	unsigned lun;
	struct backend_options backend; /* file, size, read_only, direct, aio, name */
	unsigned block_size;            /* bytes, a power of two from 512 to 4096 [512] */
	const char *vendor;             /* up to 8 printable characters ["STANDIN"] */
	const char *product;            /* up to 16 ["disk"] */
	const char *revision;           /* up to 4 [the version] */
	const char *serial;             /* up to 36 [made of the port and the LUN] */
	bool rotational;                /* reports 7200 rpm [solid state] */
	bool removable;                 /* a removable medium: START STOP UNIT can eject it */
};

/* 0 or -ENOMEM. */
int scsi_target_create(const struct scsi_target_config *config, struct scsi_target **ret_target);
/* There are no nexuses any more.  Waits for nothing but backends.  NULL is fine. */
void scsi_target_destroy(struct scsi_target *target);
/*
 * Makes the threads of the backends, those of units that are added later included.  Until
 * then commands work, and everything is done by the thread that submits.  Idempotent.
 */
void scsi_target_start(struct scsi_target *target);

/*
 * Opens a unit's backend.  When the target has nexuses they are told: the callback of
 * scsi_nexus_config, and on all other units the unit attention REPORTED LUNS DATA HAS
 * CHANGED.  0, or -errno with one line in `error`: -EEXIST if the LUN is taken, -EINVAL.
 */
int scsi_unit_add(struct scsi_target *target, const struct scsi_unit_config *config,
		  char error[SCSI_ERROR_MAX]);
/*
 * Commands that have not begun to run are aborted (SCSI_ABORTED), the running ones are
 * waited for: not to be called from a done().  Nexuses are told as above.  0 or -ENOENT.
 */
int scsi_unit_remove(struct scsi_target *target, unsigned lun);
/* Whether the target has that unit. */
bool scsi_unit_exists(struct scsi_target *target, unsigned lun);
/*
 * The file behind a unit has been made longer or shorter: takes its size again, and tells
 * nexuses (callback, unit attention CAPACITY DATA HAS CHANGED).  1 if it has changed, 0,
 * -ENOENT, or -errno of the backend.  Commands wait meanwhile.
 */
int scsi_unit_refresh(struct scsi_target *target, unsigned lun);

/* ---- nexuses ---- */

enum scsi_change {
	SCSI_UNIT_ADDED,
	SCSI_UNIT_REMOVED, /* its commands are done */
	SCSI_UNIT_CHANGED, /* its capacity; a unit attention is pending */
};

/* An initiator port as the target sees it: unit attentions and reservations belong to it. */
struct scsi_nexus_config {
	/*
	 * Name of the initiator port, a NAA number.  Registrations of persistent reservations
	 * outlive the nexus and belong to whoever comes with that name.
	 */
	uint64_t initiator;
	/*
	 * Called on the thread that made the change, before it returns.  May be NULL.  It must not
	 * add or remove units, nor take a lock that is held where nexuses are created or destroyed.
	 */
	void (*changed)(void *arg, enum scsi_change change, unsigned lun);
	void *arg;
};

/* Each unit has the unit attention POWER ON OCCURRED for it.  0 or -ENOMEM. */
int scsi_nexus_create(struct scsi_target *target, const struct scsi_nexus_config *config,
		      struct scsi_nexus **ret_nexus);
/*
 * I_T nexus loss: ends reservations of RESERVE(6).  All of its commands are done.  After it
 * returns `changed` isn't running any more.  NULL is fine.
 */
void scsi_nexus_destroy(struct scsi_nexus *nexus);

/* ---- commands ---- */

/* Status codes (SAM-5, 5.3.1). */
#define SCSI_GOOD                 0x00
#define SCSI_CHECK_CONDITION      0x02
#define SCSI_CONDITION_MET        0x04
#define SCSI_BUSY                 0x08
#define SCSI_RESERVATION_CONFLICT 0x18
#define SCSI_TASK_SET_FULL        0x28
#define SCSI_TASK_ABORTED         0x40

enum scsi_attribute { SCSI_SIMPLE, SCSI_ORDERED, SCSI_HEAD_OF_QUEUE };

enum scsi_result {
	SCSI_COMPLETE,   /* status and sense say how */
	SCSI_ABORTED,    /* by a reset or because the unit was removed; there is no status */
	SCSI_BAD_MEMORY, /* data could not be copied from or to the initiator; no status */
};

struct scsi_command {
	/*
	 * The transport's.  The iovecs and their arrays are the command's until it is done and
	 * may be modified; what they point to may belong to a client and vanish.  A command
	 * uses one direction at most; what it does not use is residual.
	 */
	struct scsi_nexus *nexus;
	unsigned lun; /* as decoded by the transport; one that does not exist is answered too */
	enum scsi_attribute attribute;
	uint8_t cdb[SCSI_CDB_MAX];
	unsigned cdb_size; /* bytes in cdb; what follows the command's own size is ignored */
	struct iovec *data_out, *data_in;
	unsigned n_data_out, n_data_in;
	uint64_t data_out_size, data_in_size; /* bytes in all */
	void (*done)(struct scsi_command *c);

	/* The answer. */
	enum scsi_result result;
	uint8_t status;
	uint8_t sense_size; /* 0 unless CHECK CONDITION */
	uint8_t sense[SCSI_SENSE_MAX];
	/*
	 * Bytes of the buffer in the command's direction that were not used; where `overflow`,
	 * instead bytes that there would have been more and that did not fit.
	 */
	uint64_t residual;
	bool overflow;

	/* The engine's. */
	struct scsi_unit *unit;
	const struct scsi_opcode *opcode;
	struct scsi_command *next;
	int (*step)(struct scsi_command *c, int error);
	uint64_t transferred;
	uint64_t lba, blocks, at;
	void *buffer;
	struct backend_request io;
	struct iovec own_iov;
	uint8_t manage;
	bool alone, durable;
};

#define SCSI_DONE   0
#define SCSI_QUEUED 1

/*
 * SCSI_DONE: the answer is there and done() is not called.  SCSI_QUEUED: done() has been or
 * will be called, once, perhaps before this returns.
 */
int scsi_submit(struct scsi_command *c);

/*
 * LOGICAL UNIT RESET: commands that have not begun to run are aborted, the running ones are
 * waited for; mode pages and RESERVE(6) go back to what they were; unit attentions.  `c`
 * needs nexus, lun and done alone, and answers result and status: SCSI_GOOD, or
 * SCSI_CHECK_CONDITION when there is no such unit.  As scsi_submit().
 */
int scsi_reset_unit(struct scsi_command *c);

/* ---- for traces ---- */

/* "READ(10)", or NULL for one that is not supported. */
const char *scsi_command_name(const uint8_t cdb[SCSI_CDB_MAX]);
/* "GOOD"; "?" for others than the above. */
const char *scsi_status_name(uint8_t status);
/* Key, code and qualifier out of either format: 0xKKCCQQ; 0 if there is none. */
uint32_t scsi_sense_code(const struct scsi_command *c);

#endif
