/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who runs when.  Commands of a unit run at the same time, but some run alone: nobody else
 * is inside the gate while they are.
 *
 * An ordinary command adds one to the gate's count, and that is all as long as the gate is
 * open.  A command that runs alone closes it and waits in a list, and so does everything
 * that comes after it.  Whoever makes the list's first command eligible, by leaving or by
 * joining, dispatches: runs commands off the list until one has to wait.  There is one
 * dispatcher at a time; it looks at the list again after each command, so that what
 * another thread changes meanwhile is not missed, and so that commands that complete
 * at once make no recursion.
 */
#include <errno.h>
#include <semaphore.h>

#include "scsi/scsi_private.h"

#define GATE_COUNT (GATE_CLOSED - 1)

/* The first waiting command that may run now, off the list.  The lock is held. */
static struct scsi_command *take_eligible(struct scsi_unit *unit)
{
	struct scsi_command *c = unit->waiting;

	if (!c || unit->alone || (c->alone && atomic_load(&unit->gate) & GATE_COUNT))
		return NULL;
	unit->waiting = c->next;
	if (!unit->waiting)
		unit->waiting_last = &unit->waiting;
	unit->alone = c->alone;
	atomic_fetch_add(&unit->gate, 1);
	return c;
}

static void dispatch(struct scsi_unit *unit)
{
	struct scsi_command *c;

	pthread_mutex_lock(&unit->lock);
	if (unit->dispatching) {
		pthread_mutex_unlock(&unit->lock);
		return;
	}
	unit->dispatching = true;
	while ((c = take_eligible(unit))) {
		pthread_mutex_unlock(&unit->lock);
		scsi_run(c);
		pthread_mutex_lock(&unit->lock);
	}
	unit->dispatching = false;
	if (!unit->waiting && !unit->alone && unit->present)
		atomic_fetch_and(&unit->gate, ~GATE_CLOSED);
	pthread_mutex_unlock(&unit->lock);
}

/* The lock is held. */
static void wait_in_list(struct scsi_unit *unit, struct scsi_command *c)
{
	atomic_fetch_or(&unit->gate, GATE_CLOSED);
	if (c->attribute == SCSI_HEAD_OF_QUEUE) {
		c->next = unit->waiting;
		if (!c->next)
			unit->waiting_last = &c->next;
		unit->waiting = c;
		return;
	}
	c->next = NULL;
	*unit->waiting_last = c;
	unit->waiting_last = &c->next;
}

int scsi_gate_enter(struct scsi_unit *unit, struct scsi_command *c)
{
	bool present, inside = false;

	c->alone = c->manage || c->attribute == SCSI_ORDERED ||
		   (c->opcode && c->opcode->flags & OP_ALONE);
	if (!c->alone) {
		if (!(atomic_fetch_add(&unit->gate, 1) & GATE_CLOSED))
			return SCSI_DONE;
		inside = true;
	}
	pthread_mutex_lock(&unit->lock);
	if (inside)
		atomic_fetch_sub(&unit->gate, 1);
	present = unit->present;
	if (present)
		wait_in_list(unit, c);
	pthread_mutex_unlock(&unit->lock);
	/* Also for a unit that is absent: our count may have held somebody up. */
	dispatch(unit);
	return present ? SCSI_QUEUED : -ENODEV;
}

void scsi_gate_leave(struct scsi_unit *unit, bool alone)
{
	if (alone) {
		pthread_mutex_lock(&unit->lock);
		unit->alone = false;
		atomic_fetch_sub(&unit->gate, 1);
		pthread_mutex_unlock(&unit->lock);
		dispatch(unit);
	} else if (atomic_fetch_sub(&unit->gate, 1) == (GATE_CLOSED | 1)) {
		dispatch(unit);
	}
}

void scsi_gate_abort(struct scsi_unit *unit, const uint64_t *initiator)
{
	struct scsi_command *aborted = NULL, **end = &aborted, **p, *c;

	pthread_mutex_lock(&unit->lock);
	for (p = &unit->waiting; (c = *p);) {
		if (c->manage || (initiator && c->nexus->config.initiator != *initiator)) {
			p = &c->next;
			continue;
		}
		*p = c->next;
		c->next = NULL;
		*end = c;
		end = &c->next;
	}
	unit->waiting_last = p;
	pthread_mutex_unlock(&unit->lock);
	while ((c = aborted)) {
		aborted = c->next;
		c->result = SCSI_ABORTED;
		c->done(c);
	}
}

struct call {
	struct scsi_command command; /* first */
	void (*what)(struct scsi_unit *unit, void *arg);
	void *arg;
	sem_t done;
};

/* Runs inside the gate, alone. */
static int run_call(struct scsi_command *c, int error)
{
	struct call *call = (struct call *)c;

	call->what(c->unit, call->arg);
	return SCSI_DONE;
}

static void call_done(struct scsi_command *c)
{
	sem_post(&((struct call *)c)->done);
}

int scsi_gate_call(struct scsi_unit *unit, void (*what)(struct scsi_unit *unit, void *arg),
		   void *arg)
{
	struct call call = {
		.command = {.unit = unit,
			    .lun = unit->lun,
			    .manage = MANAGE_CALL,
			    .step = run_call,
			    .done = call_done},
		.what = what,
		.arg = arg,
	};
	int r;

	sem_init(&call.done, 0, 0);
	r = scsi_gate_enter(unit, &call.command);
	if (r == SCSI_QUEUED) {
		while (sem_wait(&call.done) < 0 && errno == EINTR)
			;
		r = 0;
	}
	sem_destroy(&call.done);
	return r;
}

void scsi_gate_open(struct scsi_unit *unit)
{
	pthread_mutex_lock(&unit->lock);
	unit->present = true;
	pthread_mutex_unlock(&unit->lock);
	dispatch(unit);
}

void scsi_gate_shut(struct scsi_unit *unit)
{
	pthread_mutex_lock(&unit->lock);
	unit->present = false;
	pthread_mutex_unlock(&unit->lock);
	scsi_gate_abort(unit, NULL);
}
