/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * scsi/scsi_private.h - inside the room: units, nexuses, the table of commands and what
 * their handlers use.
 *
 * A handler runs between the unit's gate's entrance and exit (gate.c).  It returns
 * SCSI_DONE with the answer in the command (scsi_reply(), scsi_fail()), or SCSI_IO having
 * filled in c->io and c->step, by scsi_io(): the request goes to the backend, and step() is
 * called with its result, on any thread, and again answers SCSI_DONE or SCSI_IO.
 *
 * References: SPC-4 (T10/BSR INCITS 513), SBC-3 (514), SAM-5 (515).
 */
#ifndef STANDIN_SCSI_PRIVATE_H
#define STANDIN_SCSI_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "scsi/scsi.h"

#define SCSI_IO 2 /* a handler's: c->io is to be submitted */

/* ---- big-endian fields ---- */

static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get24(const uint8_t *p)
{
	return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static inline uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static inline uint64_t get64(const uint8_t *p)
{
	return (uint64_t)get32(p) << 32 | get32(p + 4);
}

static inline void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put24(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 16);
	put16(p + 1, (uint16_t)v);
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

static inline void put64(uint8_t *p, uint64_t v)
{
	put32(p, (uint32_t)(v >> 32));
	put32(p + 4, (uint32_t)v);
}

/* ---- sense data: 0xKKCCQQ, sense key, additional sense code, qualifier ---- */

#define SENSE_NONE                0x000000
#define SENSE_STOPPED             0x020402 /* initializing command required */
#define SENSE_NO_MEDIUM           0x023a00
#define SENSE_WRITE_ERROR         0x030c00
#define SENSE_READ_ERROR          0x031100
#define SENSE_HARDWARE            0x044400 /* internal target failure */
#define SENSE_DATA_LENGTH         0x050e03 /* invalid field in command information unit */
#define SENSE_LIST_LENGTH         0x051a00 /* parameter list length error */
#define SENSE_OPCODE              0x052000 /* invalid command operation code */
#define SENSE_LBA                 0x052100 /* logical block address out of range */
#define SENSE_CDB                 0x052400 /* invalid field in CDB */
#define SENSE_NO_UNIT             0x052500 /* logical unit not supported */
#define SENSE_PARAMETER           0x052600 /* invalid field in parameter list */
#define SENSE_INVALID_RELEASE     0x052604
#define SENSE_NO_SAVING           0x053900 /* saving parameters not supported */
#define SENSE_REMOVAL_PREVENTED   0x055302
#define SENSE_TOO_MANY_REGISTERED 0x055504 /* insufficient registration resources */
#define SENSE_WRITE_PROTECTED     0x072700
#define SENSE_NO_SPACE            0x072707 /* space allocation failed write protect */
#define SENSE_MISCOMPARE          0x0e1d00

/* Unit attentions, the most important first. */
enum scsi_attention {
	ATTENTION_POWER_ON,
	ATTENTION_RESET,
	ATTENTION_MODE_CHANGED,
	ATTENTION_CAPACITY_CHANGED,
	ATTENTION_RESERVATIONS_PREEMPTED,
	ATTENTION_RESERVATIONS_RELEASED,
	ATTENTION_REGISTRATIONS_PREEMPTED,
	ATTENTION_MEDIUM_CHANGED,
	ATTENTION_LUNS_CHANGED,
	ATTENTIONS,
};

#define SENSE_BYTES_MAX SCSI_SENSE_MAX

/* What sense data says beside its code. */
struct scsi_sense_extra {
	bool has_information, has_field, in_cdb;
	uint64_t information;
	uint16_t byte; /* of the CDB or the parameter list */
	int8_t bit;    /* -1: the field begins at bit 7 and is not named */
};

/* Builds sense data in either format; its size. */
unsigned scsi_sense_build(uint8_t sense[SENSE_BYTES_MAX], uint32_t code, bool descriptor,
			  const struct scsi_sense_extra *extra);
/* The code of a unit attention. */
uint32_t scsi_attention_code(enum scsi_attention attention);

/* All of these end the command with CHECK CONDITION and return SCSI_DONE. */
int scsi_fail(struct scsi_command *c, uint32_t code);
int scsi_fail_information(struct scsi_command *c, uint32_t code, uint64_t information);
/* INVALID FIELD IN CDB; bit -1: the whole field that begins there. */
int scsi_fail_cdb(struct scsi_command *c, unsigned byte, int bit);
/* INVALID FIELD IN PARAMETER LIST */
int scsi_fail_parameter(struct scsi_command *c, unsigned byte, int bit);
/* What a backend's -errno means. */
int scsi_fail_io(struct scsi_command *c, int error);
/* Another status, without sense data. */
int scsi_fail_status(struct scsi_command *c, uint8_t status);
/* The initiator's memory is gone. */
int scsi_fail_memory(struct scsi_command *c);

/* ---- units ---- */

#define REGISTRANTS_MAX 64u

struct scsi_registrant {
	uint64_t initiator, key;
	bool used;
};

/* Persistent reservations (SPC-4, 5.13).  Changed by commands that run alone. */
struct scsi_reservations {
	struct scsi_registrant registrants[REGISTRANTS_MAX];
	uint32_t generation;
	uint8_t type;    /* 0: no reservation */
	unsigned holder; /* index; not for the all registrants types */
};

struct scsi_unit {
	struct scsi_target *target;
	unsigned lun;

	/* The gate (gate.c).  A unit that is absent keeps it closed. */
	_Atomic uint32_t gate; /* commands inside, GATE_CLOSED */
	pthread_mutex_t lock;  /* what follows */
	struct scsi_command *waiting, **waiting_last;
	bool present, alone, dispatching;

	/* Fixed while there are commands inside. */
	struct backend *backend;
	unsigned block_shift;
	uint64_t blocks;
	bool read_only; /* the backend */
	bool rotational, removable;
	char vendor[9], product[17], revision[5], serial[37];
	uint64_t name; /* NAA, locally assigned */

	/* Changed by commands that run alone. */
	bool write_cache; /* WCE: off makes every write durable */
	bool write_protected;
	bool descriptor_sense;
	bool stopped, ejected;
	_Atomic bool reserved; /* any reservation, of either kind: what is next must be looked at */
	_Atomic(struct scsi_nexus *) reserved_by; /* RESERVE(6) */
	struct scsi_reservations reservations;
	/* Who prevents medium removal. */
	_Atomic unsigned prevented;
};

struct scsi_target {
	struct scsi_target_config config;
	pthread_mutex_t config_lock; /* units come and go; held while commands are waited for */
	bool started;
	/* One for each LUN that there ever was; they stay until the end. */
	_Atomic(struct scsi_unit *) units[SCSI_LUNS_MAX];
	pthread_mutex_t nexus_lock; /* the list; inside config_lock and unit gates */
	struct scsi_nexus *nexuses;
};

struct scsi_nexus {
	struct scsi_target *target;
	struct scsi_nexus *next;
	struct scsi_nexus_config config;
	_Atomic uint32_t attention[SCSI_LUNS_MAX]; /* bits by enum scsi_attention */
	_Atomic bool prevents[SCSI_LUNS_MAX];      /* medium removal */
};

/* Whether commands find the unit. */
bool scsi_unit_present(struct scsi_unit *unit);
/* What a LOGICAL UNIT RESET does; runs alone. */
void scsi_unit_reset(struct scsi_unit *unit);
/* A unit attention on `unit` for all nexuses but `except` (or NULL). */
void scsi_attention_raise(struct scsi_unit *unit, enum scsi_attention attention,
			  const struct scsi_nexus *except);
/* The same for the nexuses of one initiator. */
void scsi_attention_raise_for(struct scsi_unit *unit, enum scsi_attention attention,
			      uint64_t initiator);
/* Calls the nexuses' callbacks. */
void scsi_tell(struct scsi_target *target, enum scsi_change change, unsigned lun);

static inline void scsi_attention_set(struct scsi_nexus *nexus, unsigned lun,
				      enum scsi_attention attention)
{
	atomic_fetch_or(&nexus->attention[lun], 1u << attention);
}

/* Takes the most important one away and returns its code, or 0. */
uint32_t scsi_attention_take(struct scsi_nexus *nexus, unsigned lun);

/* ---- gate.c: who runs when ---- */

#define GATE_CLOSED 0x80000000u

/* What is done to a unit as if it were a command, alone. */
enum scsi_manage { MANAGE_NOT, MANAGE_RESET, MANAGE_CALL };

/*
 * SCSI_DONE: the command is inside, and the caller runs it and then calls
 * scsi_gate_leave().  SCSI_QUEUED: the gate runs it, by scsi_run(), now or later.  -ENODEV:
 * there is no unit.
 */
int scsi_gate_enter(struct scsi_unit *unit, struct scsi_command *c);
void scsi_gate_leave(struct scsi_unit *unit, bool alone);
/* Aborts what has not begun to run, of one initiator or (NULL) of all. */
void scsi_gate_abort(struct scsi_unit *unit, const uint64_t *initiator);
/* Calls `what` while no command is inside; waits for that.  0 or -ENODEV. */
int scsi_gate_call(struct scsi_unit *unit, void (*what)(struct scsi_unit *unit, void *arg),
		   void *arg);
/* Lets commands in (a unit that is being added); must be called with nobody inside. */
void scsi_gate_open(struct scsi_unit *unit);
/* From a scsi_gate_call(): commands find no unit any more; those waiting are aborted. */
void scsi_gate_shut(struct scsi_unit *unit);

/* ---- command.c ---- */

/* Runs a command that is inside its unit's gate until it is done: calls done() and leaves. */
void scsi_run(struct scsi_command *c);
/*
 * Sets up c->io for the backend; returns SCSI_IO.  Writing is made durable where the write
 * cache is off.
 */
int scsi_io(struct scsi_command *c, enum backend_op op, uint64_t lba, uint64_t blocks,
	    struct iovec *iov, unsigned n_iov, int (*step)(struct scsi_command *c, int error));
/* As scsi_io() with one buffer. */
int scsi_io_buffer(struct scsi_command *c, enum backend_op op, uint64_t lba, uint64_t blocks,
		   void *buffer, int (*step)(struct scsi_command *c, int error));
/* A step: nothing but success or failure is left to be told. */
int scsi_step_finish(struct scsi_command *c, int error);
/* Flushes the backend, and then the step. */
int scsi_io_flush(struct scsi_command *c, int (*step)(struct scsi_command *c, int error));

/* ---- data.c: the initiator's data ---- */

/* Answers with parameter data, cut off at the allocation length.  SCSI_DONE. */
int scsi_reply(struct scsi_command *c, const void *data, size_t size, uint64_t allocation);
/*
 * Copies `size` bytes at `offset` of the data-out buffer.  false: the command has been made
 * to fail, since there are not as many or they can't be read.
 */
bool scsi_pull(struct scsi_command *c, uint64_t offset, void *to, size_t size);
/* Cuts a vector array to `size` bytes. */
void scsi_trim(struct iovec *iov, unsigned *n_iov, uint64_t size);
/* A buffer that is freed when the command is done; NULL: the command has been made to fail. */
void *scsi_buffer(struct scsi_command *c, size_t size);

/* ---- opcodes.c: the table of commands ---- */

enum scsi_direction { DATA_NONE, DATA_IN, DATA_OUT };

/*
 * Whether a command conflicts with a persistent reservation that its nexus takes no part in
 * (SPC-4 table 65, SBC-3 table 13).
 */
enum scsi_access {
	ACCESS_FREE,   /* never */
	ACCESS_READS,  /* with Exclusive Access */
	ACCESS_WRITES, /* always */
	ACCESS_START,  /* unless it starts the unit */
	ACCESS_ALLOW,  /* unless it allows medium removal */
};

#define OP_ACTION    1u  /* has a service action in byte 1 */
#define OP_ALONE     2u  /* runs alone in its unit */
#define OP_ATTENTIVE 4u  /* not stopped by a unit attention */
#define OP_MEDIUM    8u  /* needs a unit that is ready */
#define OP_WRITES    16u /* changes blocks: not on a unit that is write protected */
#define OP_LEGACY    32u /* not stopped by another nexus's RESERVE(6) */

struct scsi_opcode {
	uint8_t code, action;
	uint8_t size; /* bytes of the CDB */
	uint8_t flags;
	uint8_t access;
	uint8_t direction;
	uint16_t timeout; /* seconds, as recommended to initiators */
	const char *name;
	int (*run)(struct scsi_command *c);
	uint8_t usage[16]; /* which bits of the CDB mean something */
};

#define SCSI_OPCODES_MAX 64u

/* The row for a CDB, or NULL. */
const struct scsi_opcode *scsi_opcode_find(const uint8_t *cdb);
/* By code and action; where the code has no actions, `action` must be 0. */
const struct scsi_opcode *scsi_opcode_lookup(uint8_t code, uint16_t action, bool *ret_has_action);
const struct scsi_opcode *scsi_opcodes(unsigned *ret_n);
/* Whether there is a row with that code. */
bool scsi_opcode_known(uint8_t code);

/* ---- handlers ---- */

int scsi_report_opcodes(struct scsi_command *c);
int scsi_report_management(struct scsi_command *c);

int scsi_inquiry(struct scsi_command *c);
int scsi_inquiry_no_unit(struct scsi_command *c);
int scsi_vital_product_data(struct scsi_command *c);
int scsi_report_luns(struct scsi_command *c);
int scsi_request_sense(struct scsi_command *c);
int scsi_test_unit_ready(struct scsi_command *c);
int scsi_start_stop(struct scsi_command *c);
int scsi_prevent_removal(struct scsi_command *c);

int scsi_mode_sense(struct scsi_command *c);
int scsi_mode_select(struct scsi_command *c);
/* Mode parameters as after power-on. */
void scsi_mode_defaults(struct scsi_unit *unit);

int scsi_reserve_6(struct scsi_command *c);
int scsi_release_6(struct scsi_command *c);
/* Whether the command may run; if not it has been made to fail. */
bool scsi_check_reservations(struct scsi_command *c);
/* unit->reserved follows from the rest. */
void scsi_reservations_changed(struct scsi_unit *unit);

/* Whether any initiator is registered. */
bool scsi_registrants(const struct scsi_unit *unit);
/* Whether a persistent reservation stops the command. */
bool scsi_persistent_conflict(const struct scsi_command *c);
int scsi_persistent_read_keys(struct scsi_command *c);
int scsi_persistent_read_reservation(struct scsi_command *c);
int scsi_persistent_report_capabilities(struct scsi_command *c);
int scsi_persistent_read_full_status(struct scsi_command *c);
int scsi_persistent_register(struct scsi_command *c);
int scsi_persistent_register_ignore(struct scsi_command *c);
int scsi_persistent_reserve(struct scsi_command *c);
int scsi_persistent_release(struct scsi_command *c);
int scsi_persistent_clear(struct scsi_command *c);
int scsi_persistent_preempt(struct scsi_command *c);
int scsi_persistent_preempt_abort(struct scsi_command *c);

int scsi_read_capacity_10(struct scsi_command *c);
int scsi_read_capacity_16(struct scsi_command *c);
int scsi_read_6(struct scsi_command *c);
int scsi_read(struct scsi_command *c);
int scsi_write_6(struct scsi_command *c);
int scsi_write(struct scsi_command *c);
int scsi_synchronize_cache(struct scsi_command *c);

int scsi_unmap(struct scsi_command *c);
int scsi_get_lba_status(struct scsi_command *c);
int scsi_write_same(struct scsi_command *c);
int scsi_verify(struct scsi_command *c);
int scsi_write_and_verify(struct scsi_command *c);
int scsi_compare_and_write(struct scsi_command *c);

/* LBA and number of blocks out of a CDB of 10, 12 or 16 bytes, to c->lba and c->blocks. */
void scsi_decode_range(struct scsi_command *c);
/* Whether they are inside the unit; if not the command has been made to fail. */
bool scsi_check_range(struct scsi_command *c);

#endif
