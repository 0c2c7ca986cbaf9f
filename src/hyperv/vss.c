/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VSS: freezing and thawing of file systems for a backup, as drivers/hv/hv_snapshot.c does it.
 *
 * The daemon hears of FREEZE, THAW and HOT_BACKUP, everything else is answered here.  Two
 * oddities are the kernel's: what needs no daemon leaves the state at READY even if there is
 * none, and HOT_BACKUP's flag depends on a byte of the reply that daemons overwrite with their
 * status.  A daemon of old (VSS_OP_REGISTER) gets no answer to its registration, and so nothing
 * makes the state READY for it either.
 */
#include <errno.h>
#include <string.h>

#include "hyperv/hyperv.h"

static const struct hyperv_version frameworks[] = {{3, 0}};
static const struct hyperv_version versions[] = {{5, 0}};

static struct hv_vss_msg *request(struct hyperv_service *s)
{
	return (struct hv_vss_msg *)s->ic.body;
}

/* ---- the host asks ---- */

static bool may_receive(struct hyperv_service *s)
{
	return s->state <= HYPERV_READY;
}

static void ask_daemon(struct hyperv_service *s)
{
	struct hv_vss_msg message = {.vss_hdr.operation = request(s)->vss_hdr.operation};

	s->state = HYPERV_ASKED;
	hyperv_arm(s, message.vss_hdr.operation == VSS_OP_FREEZE ? HYPERV_FREEZE_TIMEOUT_S
								 : HYPERV_TIMEOUT_S);
	if (hyperv_send(s, &message, sizeof(message), NULL) < 0)
		hyperv_refuse(s);
}

static void handle_request(struct hyperv_service *s)
{
	switch (request(s)->vss_hdr.operation) {
	case VSS_OP_THAW:
	case VSS_OP_FREEZE:
	case VSS_OP_HOT_BACKUP:
		if (s->state < HYPERV_READY) {
			hyperv_respond_status(s, HV_E_FAIL);
			return;
		}
		s->state = HYPERV_RECEIVED;
		ask_daemon(s);
		return;
	case VSS_OP_GET_DM_INFO:
		request(s)->dm_info.flags = 0;
		break;
	default:
		break;
	}
	hyperv_respond_status(s, HV_S_OK);
	hyperv_ready(s);
}

static void received(struct hyperv_service *s)
{
	if (s->ic.ic.type == HYPERV_IC_NEGOTIATE) {
		hyperv_negotiate(s);
		hyperv_respond(s);
	} else if (s->ic.ic.type == HYPERV_IC_VSS &&
		   s->packet_size >= HYPERV_IC_SIZE + sizeof(struct hv_vss_msg)) {
		handle_request(s);
	}
}

/* ---- the daemon ---- */

static int handshake(struct hyperv_service *s, unsigned operation)
{
	static const uint32_t ours = VSS_OP_REGISTER1;

	if (operation == VSS_OP_REGISTER1 && hyperv_send(s, &ours, sizeof(ours), hyperv_ready) < 0)
		return -EFAULT;
	s->registered = operation;
	return 0;
}

static int written(struct hyperv_service *s, const void *message, size_t size)
{
	const struct hv_vss_msg *m = message;

	if (size != sizeof(*m))
		return -EINVAL;
	if (m->vss_hdr.operation == VSS_OP_REGISTER || m->vss_hdr.operation == VSS_OP_REGISTER1)
		return s->state > HYPERV_READY ? -EINVAL : handshake(s, m->vss_hdr.operation);
	if (s->state != HYPERV_ASKED)
		return -EINVAL;
	s->state = HYPERV_REPLIED;
	if (m->vss_hdr.operation == VSS_OP_HOT_BACKUP)
		request(s)->vss_cf.flags = VSS_HBU_NO_AUTO_RECOVERY;
	if (hyperv_disarm(s)) {
		hyperv_respond_status(s, (uint32_t)m->error);
		hyperv_ready(s);
	}
	return 0;
}

/* ---- the machine sleeps ---- */

/* The daemon may have frozen something: a THAW that nobody has asked for. */
static void suspend(struct hyperv_service *s)
{
	static const struct hv_vss_msg thaw = {.vss_hdr.operation = VSS_OP_THAW};

	hyperv_disarm(s);
	hyperv_send(s, &thaw, sizeof(thaw), NULL);
	s->state = HYPERV_READY;
}

static const struct hyperv_kind kind = {
	.name = "vss",
	.path = HYPERV_VSS_PATH,
	.major = HYPERV_MISC_MAJOR,
	.minor = 260,
	.packet_max = HYPERV_VSS_PACKET_MAX,
	.offer = {frameworks, 1, versions, 1},
	.written = written,
	.kept = sizeof(struct hv_vss_msg),
	.may_receive = may_receive,
	.received = received,
	.timed_out = hyperv_give_up,
	.reset = hyperv_reset,
	.suspend = suspend,
};

struct hyperv_service hyperv_vss = {.kind = &kind, .lock = PTHREAD_MUTEX_INITIALIZER, .claim = -1};
