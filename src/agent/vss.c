/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VSS.  The keeper freezes and thaws; here is what it is told, and what the host is answered.
 *
 * When the time is up before the host says THAW, that is answered with an error: whatever it
 * copied meanwhile is no backup of a frozen file system.  A THAW without a keeper, after the
 * agent was started anew or when the kernel says so before a hibernation, thaws all there is, as
 * the kernel's daemon does.
 */
#include "agent/vss.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/keeper.h"
#include "agent/log.h"

void vss_init(struct vss *v, const struct agent_options *options)
{
	memset(v, 0, sizeof(*v));
	v->options = options;
	v->keeper = v->awaited = -1;
}

bool vss_is_frozen(const struct vss *v)
{
	return v->state != VSS_IDLE;
}

static void end_keeper(struct vss *v)
{
	close(v->keeper);
	v->keeper = -1;
	waitpid(v->keeper_pid, NULL, 0);
	mounts_close(&v->mounts);
	v->state = VSS_IDLE;
}

static void tell_to_thaw(struct vss *v)
{
	if (v->state != VSS_FROZEN && v->state != VSS_FREEZING)
		return;
	keeper_thaw(v->keeper);
	v->state = VSS_THAWING;
}

/* A keeper for what is mounted now. */
static bool start(struct vss *v, bool freeze)
{
	char *path;
	int ret = mounts_open(&v->mounts, v->options->mounts, &path);

	if (ret < 0) {
		log_line(LOG_ERR, "vss: %s: %s", path ? path : v->options->mounts, strerror(-ret));
		free(path);
		return false;
	}
	ret = keeper_start(&v->mounts, freeze, v->options->freeze_timeout, v->options->freeze,
			   &v->keeper);
	if (ret < 0) {
		log_line(LOG_ERR, "vss: %s", strerror(-ret));
		mounts_close(&v->mounts);
		return false;
	}
	v->keeper_pid = ret;
	log_hold(true);
	v->state = freeze ? VSS_FREEZING : VSS_THAWING_ALL;
	return true;
}

static bool answer(struct hv_vss_msg *m, uint32_t status)
{
	memset(m, 0, sizeof(*m));
	m->error = (int)status;
	return true;
}

static bool freeze(struct vss *v, struct hv_vss_msg *m)
{
	if (v->state == VSS_FROZEN)
		return answer(m, HV_S_OK);
	v->expired = false;
	if (v->state == VSS_IDLE && !start(v, true))
		return answer(m, HV_E_FAIL);
	/* While something is thawed it can't be frozen. */
	if (v->state == VSS_THAWING || v->state == VSS_THAWING_ALL)
		return answer(m, HV_E_FAIL);
	v->awaited = VSS_OP_FREEZE;
	return false;
}

static bool thaw(struct vss *v, struct hv_vss_msg *m)
{
	if (v->expired) {
		v->expired = false;
		return answer(m, HV_E_FAIL);
	}
	if (v->state == VSS_IDLE && !start(v, false))
		return answer(m, HV_E_FAIL);
	tell_to_thaw(v);
	v->awaited = VSS_OP_THAW;
	return false;
}

bool vss_answer(struct vss *v, struct hv_vss_msg *m)
{
	uint8_t operation = m->vss_hdr.operation;

	/* The kernel waits for this one alone. */
	v->awaited = -1;
	switch (operation) {
	case VSS_OP_FREEZE:
		return freeze(v, m);
	case VSS_OP_THAW:
		return thaw(v, m);
	case VSS_OP_HOT_BACKUP:
		return answer(m, HV_S_OK);
	default:
		log_line(LOG_WARNING, "vss: operation %u is unknown", operation);
		return answer(m, HV_ERROR_NOT_SUPPORTED);
	}
}

/* The keeper is gone without a word; what it has frozen is still so, and messages are held. */
static bool lost_keeper(struct vss *v, struct hv_vss_msg *m)
{
	bool to_thaw = v->state != VSS_THAWING_ALL, asked = v->awaited >= 0;

	end_keeper(v);
	log_line(LOG_ERR, "vss: the process that keeps file systems frozen was killed");
	v->awaited = -1;
	v->expired = !asked;
	if (!to_thaw || !start(v, false))
		log_hold(false);
	return asked && answer(m, HV_E_FAIL);
}

static void tell(const struct vss *v, const struct keeper_report *r, const char *what)
{
	if (r->error)
		log_line(LOG_ERR, "vss: %s is not %s: %s",
			 r->mount < v->mounts.n ? v->mounts.mount[r->mount].path : "?", what,
			 strerror(r->error));
	else
		log_line(LOG_INFO, "vss: %u file systems are %s", r->n, what);
}

bool vss_heard(struct vss *v, struct hv_vss_msg *m)
{
	bool is_frozen, asked;
	struct keeper_report r;

	if (!keeper_hear(v->keeper, &r))
		return lost_keeper(v, m);
	is_frozen = r.stage == KEEPER_FROZEN && r.error == 0;
	tell(v, &r, r.stage == KEEPER_FROZEN ? "frozen" : "thawed");
	if (r.stage == KEEPER_EXPIRED && v->awaited < 0) {
		log_line(LOG_WARNING, "vss: the host has not thawed within %u s",
			 v->options->freeze_timeout);
		v->expired = true;
	}
	/* A THAW that came early is answered when its report comes. */
	asked = v->awaited == (r.stage == KEEPER_FROZEN ? VSS_OP_FREEZE : VSS_OP_THAW);
	if (is_frozen && v->state == VSS_FREEZING) {
		v->state = VSS_FROZEN;
	} else if (!is_frozen) {
		end_keeper(v);
		log_hold(false);
	}
	if (!asked) {
		if (!is_frozen && r.stage == KEEPER_FROZEN && v->awaited == VSS_OP_THAW) {
			v->awaited = -1;
			return answer(m, HV_S_OK);
		}
		return false;
	}
	v->awaited = -1;
	return answer(m, r.error ? HV_E_FAIL : HV_S_OK);
}

void vss_forget(struct vss *v)
{
	v->awaited = -1;
	tell_to_thaw(v);
}

void vss_finish(struct vss *v)
{
	struct hv_vss_msg m;

	vss_forget(v);
	while (v->state != VSS_IDLE)
		vss_heard(v, &m);
}
