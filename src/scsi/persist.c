/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Persistent reservations (SPC-4, 5.13, 6.15 and 6.16).
 *
 * A registration belongs to an initiator port, by its name, so that it outlives a nexus.
 * It does not outlive the target: APTPL is refused.  PERSISTENT RESERVE OUT runs alone,
 * everything else only reads.
 */
#include "scsi/scsi_private.h"

enum reservation_type {
	NO_RESERVATION,
	WRITE_EXCLUSIVE = 1,
	EXCLUSIVE_ACCESS = 3,
	WRITE_EXCLUSIVE_REGISTRANTS = 5,
	EXCLUSIVE_ACCESS_REGISTRANTS = 6,
	WRITE_EXCLUSIVE_ALL = 7,
	EXCLUSIVE_ACCESS_ALL = 8,
};

#define TYPES                                                                                 \
	(1u << WRITE_EXCLUSIVE | 1u << EXCLUSIVE_ACCESS | 1u << WRITE_EXCLUSIVE_REGISTRANTS | \
	 1u << EXCLUSIVE_ACCESS_REGISTRANTS | 1u << WRITE_EXCLUSIVE_ALL |                     \
	 1u << EXCLUSIVE_ACCESS_ALL)

#define NOBODY REGISTRANTS_MAX

static bool of_registrants(uint8_t type)
{
	return type >= WRITE_EXCLUSIVE_REGISTRANTS;
}

/* Every registrant holds it. */
static bool of_all(uint8_t type)
{
	return type >= WRITE_EXCLUSIVE_ALL;
}

static bool lets_read(uint8_t type)
{
	return type == WRITE_EXCLUSIVE || type == WRITE_EXCLUSIVE_REGISTRANTS ||
	       type == WRITE_EXCLUSIVE_ALL;
}

static unsigned find(const struct scsi_reservations *r, uint64_t initiator)
{
	for (unsigned i = 0; i < REGISTRANTS_MAX; i++)
		if (r->registrants[i].used && r->registrants[i].initiator == initiator)
			return i;
	return NOBODY;
}

static bool holds(const struct scsi_reservations *r, unsigned i)
{
	return r->type && r->registrants[i].used && (of_all(r->type) || r->holder == i);
}

bool scsi_registrants(const struct scsi_unit *unit)
{
	for (unsigned i = 0; i < REGISTRANTS_MAX; i++)
		if (unit->reservations.registrants[i].used)
			return true;
	return false;
}

bool scsi_persistent_conflict(const struct scsi_command *c)
{
	const struct scsi_reservations *r = &c->unit->reservations;
	unsigned self;

	if (!r->type || c->opcode->access == ACCESS_FREE)
		return false;
	self = find(r, c->nexus->config.initiator);
	if (self != NOBODY && (of_registrants(r->type) || r->holder == self))
		return false;
	switch (c->opcode->access) {
	case ACCESS_READS:
		return !lets_read(r->type);
	case ACCESS_START: /* START STOP UNIT that starts */
		return (c->cdb[4] & 0xf1) != 1;
	case ACCESS_ALLOW: /* PREVENT ALLOW MEDIUM REMOVAL that allows */
		return c->cdb[4] & 3;
	}
	return true;
}

/* ---- PERSISTENT RESERVE IN ---- */

#define REPLY_MAX (8 + REGISTRANTS_MAX * 48)

int scsi_persistent_read_keys(struct scsi_command *c)
{
	const struct scsi_reservations *r = &c->unit->reservations;
	uint8_t data[8 + REGISTRANTS_MAX * 8];
	unsigned size = 8;

	for (unsigned i = 0; i < REGISTRANTS_MAX; i++)
		if (r->registrants[i].used) {
			put64(data + size, r->registrants[i].key);
			size += 8;
		}
	put32(data, r->generation);
	put32(data + 4, size - 8);
	return scsi_reply(c, data, size, get16(c->cdb + 7));
}

int scsi_persistent_read_reservation(struct scsi_command *c)
{
	const struct scsi_reservations *r = &c->unit->reservations;
	uint8_t data[24] = {0};

	put32(data, r->generation);
	if (r->type) {
		put32(data + 4, 16);
		if (!of_all(r->type))
			put64(data + 8, r->registrants[r->holder].key);
		data[21] = r->type;
	}
	return scsi_reply(c, data, r->type ? 24 : 8, get16(c->cdb + 7));
}

int scsi_persistent_report_capabilities(struct scsi_command *c)
{
	/* TMV; the types */
	static const uint8_t data[8] = {0, 8, 0, 0x80, 0xea, 0x01};

	return scsi_reply(c, data, sizeof(data), get16(c->cdb + 7));
}

int scsi_persistent_read_full_status(struct scsi_command *c)
{
	const struct scsi_reservations *r = &c->unit->reservations;
	uint8_t data[REPLY_MAX] = {0};
	unsigned size = 8;

	for (unsigned i = 0; i < REGISTRANTS_MAX; i++) {
		uint8_t *d = data + size;

		if (!r->registrants[i].used)
			continue;
		put64(d, r->registrants[i].key);
		if (holds(r, i)) {
			d[12] = 1;
			d[13] = r->type;
		}
		put16(d + 18, c->unit->target->config.relative_port);
		put32(d + 20, 24);
		d[24] = 6; /* a SAS TransportID */
		put64(d + 28, r->registrants[i].initiator);
		size += 48;
	}
	put32(data, r->generation);
	put32(data + 4, size - 8);
	return scsi_reply(c, data, size, get16(c->cdb + 7));
}

/* ---- PERSISTENT RESERVE OUT ---- */

struct request {
	struct scsi_unit *unit;
	struct scsi_reservations *r;
	unsigned self; /* the nexus's registration, or NOBODY */
	uint64_t key, action_key;
	uint8_t type;
};

static void tell_registrant(const struct request *q, unsigned i, enum scsi_attention attention)
{
	scsi_attention_raise_for(q->unit, attention, q->r->registrants[i].initiator);
}

static void tell_others(const struct request *q, enum scsi_attention attention)
{
	for (unsigned i = 0; i < REGISTRANTS_MAX; i++)
		if (q->r->registrants[i].used && i != q->self)
			tell_registrant(q, i, attention);
}

static void end_reservation(const struct request *q)
{
	if (of_registrants(q->r->type))
		tell_others(q, ATTENTION_RESERVATIONS_RELEASED);
	q->r->type = NO_RESERVATION;
}

#define PARAMETER_SIZE 24u

/* Parameter list, scope and type.  false: the command has been made to fail. */
static bool begin(struct scsi_command *c, struct request *q)
{
	uint8_t list[PARAMETER_SIZE];
	unsigned wrong;

	if (get32(c->cdb + 5) != PARAMETER_SIZE) {
		scsi_fail(c, SENSE_LIST_LENGTH);
		return false;
	}
	if (!scsi_pull(c, 0, list, sizeof(list)))
		return false;
	wrong = list[20]; /* SPEC_I_PT, ALL_TG_PT and APTPL are not possible here */
	if (wrong) {
		scsi_fail_parameter(c, 20, 31 - __builtin_clz(wrong));
		return false;
	}
	*q = (struct request){
		.unit = c->unit,
		.r = &c->unit->reservations,
		.self = find(&c->unit->reservations, c->nexus->config.initiator),
		.key = get64(list),
		.action_key = get64(list + 8),
		.type = c->cdb[2] & 0xf,
	};
	return true;
}

/* The same for those who must be registered with that key. */
static bool begin_registered(struct scsi_command *c, struct request *q)
{
	if (!begin(c, q))
		return false;
	if (q->self == NOBODY || q->r->registrants[q->self].key != q->key) {
		scsi_fail_status(c, SCSI_RESERVATION_CONFLICT);
		return false;
	}
	return true;
}

static bool check_type(struct scsi_command *c, const struct request *q)
{
	if (c->cdb[2] >> 4) {
		scsi_fail_cdb(c, 2, 7); /* the scope can only be the unit */
		return false;
	}
	if (!(TYPES & 1u << q->type)) {
		scsi_fail_cdb(c, 2, 3);
		return false;
	}
	return true;
}

static int finish(struct scsi_command *c)
{
	scsi_reservations_changed(c->unit);
	return SCSI_DONE;
}

static void unregister(const struct request *q)
{
	bool held = holds(q->r, q->self);

	q->r->registrants[q->self].used = false;
	if (held && (!of_all(q->r->type) || !scsi_registrants(q->unit)))
		end_reservation(q);
}

static int do_register(struct scsi_command *c, bool ignore_key)
{
	struct request q;
	unsigned i;

	if (!begin(c, &q))
		return SCSI_DONE;
	if (!ignore_key && q.key != (q.self == NOBODY ? 0 : q.r->registrants[q.self].key))
		return scsi_fail_status(c, SCSI_RESERVATION_CONFLICT);
	if (q.self == NOBODY && !q.action_key)
		return SCSI_DONE;
	if (!q.action_key) {
		unregister(&q);
	} else if (q.self == NOBODY) {
		for (i = 0; i < REGISTRANTS_MAX && q.r->registrants[i].used; i++)
			;
		if (i == REGISTRANTS_MAX)
			return scsi_fail(c, SENSE_TOO_MANY_REGISTERED);
		q.r->registrants[i] = (struct scsi_registrant){
			.initiator = c->nexus->config.initiator, .key = q.action_key, .used = true};
	} else {
		q.r->registrants[q.self].key = q.action_key;
	}
	q.r->generation++;
	return finish(c);
}

int scsi_persistent_register(struct scsi_command *c)
{
	return do_register(c, false);
}

int scsi_persistent_register_ignore(struct scsi_command *c)
{
	return do_register(c, true);
}

int scsi_persistent_reserve(struct scsi_command *c)
{
	struct request q;

	if (!begin_registered(c, &q) || !check_type(c, &q))
		return SCSI_DONE;
	if (q.r->type && !(holds(q.r, q.self) && q.r->type == q.type))
		return scsi_fail_status(c, SCSI_RESERVATION_CONFLICT);
	if (!q.r->type) {
		q.r->type = q.type;
		q.r->holder = q.self;
	}
	return finish(c);
}

int scsi_persistent_release(struct scsi_command *c)
{
	struct request q;

	if (!begin_registered(c, &q) || !check_type(c, &q))
		return SCSI_DONE;
	if (!holds(q.r, q.self))
		return SCSI_DONE;
	if (q.r->type != q.type)
		return scsi_fail(c, SENSE_INVALID_RELEASE);
	end_reservation(&q);
	return finish(c);
}

int scsi_persistent_clear(struct scsi_command *c)
{
	struct request q;

	if (!begin_registered(c, &q))
		return SCSI_DONE;
	tell_others(&q, ATTENTION_RESERVATIONS_PREEMPTED);
	for (unsigned i = 0; i < REGISTRANTS_MAX; i++)
		q.r->registrants[i].used = false;
	q.r->type = NO_RESERVATION;
	q.r->generation++;
	return finish(c);
}

/* Removes the others' registrations with that key, or all (NULL): how many. */
static unsigned preempt_registrations(const struct request *q, const uint64_t *key, bool abort)
{
	unsigned n = 0;

	for (unsigned i = 0; i < REGISTRANTS_MAX; i++) {
		struct scsi_registrant *g = &q->r->registrants[i];

		if (!g->used || (key && g->key != *key))
			continue;
		n++;
		if (i == q->self)
			continue;
		g->used = false;
		tell_registrant(q, i, ATTENTION_REGISTRATIONS_PREEMPTED);
		if (abort)
			scsi_gate_abort(q->unit, &g->initiator);
	}
	return n;
}

static int preempt(struct scsi_command *c, bool abort)
{
	struct request q;
	uint8_t type;
	bool takes;

	if (!begin_registered(c, &q) || !check_type(c, &q))
		return SCSI_DONE;
	type = q.r->type;
	if (of_all(type))
		takes = !q.action_key;
	else if (!q.action_key)
		return scsi_fail_parameter(c, 8, -1);
	else
		takes = type && q.r->registrants[q.r->holder].key == q.action_key;
	if (preempt_registrations(&q, q.action_key ? &q.action_key : NULL, abort) == 0)
		return scsi_fail_status(c, SCSI_RESERVATION_CONFLICT);
	if (takes) {
		if (of_registrants(type) && type != q.type)
			tell_others(&q, ATTENTION_RESERVATIONS_RELEASED);
		q.r->type = q.type;
		q.r->holder = q.self;
	}
	q.r->generation++;
	return finish(c);
}

int scsi_persistent_preempt(struct scsi_command *c)
{
	return preempt(c, false);
}

int scsi_persistent_preempt_abort(struct scsi_command *c)
{
	return preempt(c, true);
}
