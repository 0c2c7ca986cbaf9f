/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fcopy: files from the host, as drivers/hv/hv_fcopy.c did it until Linux 6.9.
 *
 * Every packet of the host is a message for the daemon.  START has its names turned into UTF-8 in
 * the fields of the UTF-16; WRITE always has its full length, whatever part of it is data; the
 * others have the length of the packet and not that of the message in it, so that what follows in
 * the kernel's buffer comes along.  A daemon of version 0 gets no answer to its registration, and
 * so nothing makes the state READY for it.
 */
#include <errno.h>
#include <string.h>

#include "hyperv/hyperv.h"
#include "hyperv/utf.h"

static const struct hyperv_version frameworks[] = {{3, 0}};
static const struct hyperv_version versions[] = {{1, 1}};

/* ---- the host asks ---- */

static bool may_receive(struct hyperv_service *s)
{
	return s->state <= HYPERV_READY;
}

static int send_start(struct hyperv_service *s)
{
	const struct hv_start_fcopy *in = (const struct hv_start_fcopy *)s->ic.body;
	struct hv_start_fcopy out = {.hdr.operation = START_FILE_COPY,
				     .copy_flags = in->copy_flags,
				     .file_size = in->file_size};

	utf8_from_utf16(in->file_name, W_MAX_PATH, (uint8_t *)out.file_name, W_MAX_PATH - 1);
	utf8_from_utf16(in->path_name, W_MAX_PATH, (uint8_t *)out.path_name, W_MAX_PATH - 1);
	return hyperv_send(s, &out, sizeof(out), NULL);
}

static int send_request(struct hyperv_service *s)
{
	switch (((const struct hv_fcopy_hdr *)s->ic.body)->operation) {
	case START_FILE_COPY:
		return send_start(s);
	case WRITE_TO_FILE:
		return hyperv_send(s, s->ic.body, sizeof(struct hv_do_fcopy), NULL);
	default:
		return hyperv_send(s, s->ic.body, s->packet_size, NULL);
	}
}

static void ask_daemon(struct hyperv_service *s)
{
	s->state = HYPERV_ASKED;
	if (send_request(s) < 0)
		hyperv_refuse(s);
}

static void received(struct hyperv_service *s)
{
	if (s->ic.ic.type == HYPERV_IC_NEGOTIATE) {
		hyperv_negotiate(s);
		hyperv_respond(s);
		return;
	}
	if (s->ic.ic.type != HYPERV_IC_FCOPY ||
	    s->packet_size < HYPERV_IC_SIZE + sizeof(struct hv_fcopy_hdr))
		return;
	if (s->state < HYPERV_READY) {
		hyperv_respond_status(s, HV_E_FAIL);
		return;
	}
	s->state = HYPERV_RECEIVED;
	hyperv_arm(s, HYPERV_TIMEOUT_S);
	ask_daemon(s);
}

/* ---- the daemon ---- */

static int handshake(struct hyperv_service *s, uint32_t version)
{
	static const uint32_t ours = FCOPY_CURRENT_VERSION;

	if (version != FCOPY_VERSION_0 && version != FCOPY_VERSION_1)
		return -EINVAL;
	if (version == FCOPY_VERSION_1 && hyperv_send(s, &ours, sizeof(ours), hyperv_ready) < 0)
		return -EFAULT;
	s->registered = version;
	return 0;
}

static int written(struct hyperv_service *s, const void *message, size_t size)
{
	uint32_t value;

	if (size != sizeof(value))
		return -EINVAL;
	memcpy(&value, message, sizeof(value));
	if (s->state == HYPERV_INIT)
		return handshake(s, value);
	if (s->state != HYPERV_ASKED)
		return -EINVAL;
	if (hyperv_disarm(s)) {
		s->state = HYPERV_REPLIED;
		hyperv_respond_status(s, value);
		hyperv_ready(s);
	}
	return 0;
}

/* ---- the machine sleeps ---- */

/* The daemon may be in the middle of a file: a CANCEL that nobody has asked for. */
static void suspend(struct hyperv_service *s)
{
	static const struct hv_fcopy_hdr cancel = {.operation = CANCEL_FCOPY};

	hyperv_disarm(s);
	hyperv_send(s, &cancel, sizeof(cancel), NULL);
	s->state = HYPERV_READY;
}

static const struct hyperv_kind kind = {
	.name = "fcopy",
	.path = HYPERV_FCOPY_PATH,
	.major = HYPERV_MISC_MAJOR,
	.minor = 262,
	.packet_max = HYPERV_FCOPY_PACKET_MAX,
	.offer = {frameworks, 1, versions, 1},
	.written = written,
	.kept = sizeof(uint32_t),
	.may_receive = may_receive,
	.received = received,
	.timed_out = hyperv_give_up,
	.reset = hyperv_reset,
	.suspend = suspend,
};

struct hyperv_service hyperv_fcopy = {
	.kind = &kind, .lock = PTHREAD_MUTEX_INITIALIZER, .claim = -1};
