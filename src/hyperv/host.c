/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets of the host.  Like a real one's they are a multiple of 8 bytes long, since the ring
 * has them so; the IC header says how long the message is.
 */
#include "hyperv/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

static const struct {
	uint32_t status;
	const char *name;
} statuses[] = {
	{HV_S_OK, "HV_S_OK"},
	{HV_E_FAIL, "HV_E_FAIL"},
	{HV_S_CONT, "HV_S_CONT"},
	{HV_ERROR_NOT_SUPPORTED, "HV_ERROR_NOT_SUPPORTED"},
	{HV_ERROR_MACHINE_LOCKED, "HV_ERROR_MACHINE_LOCKED"},
	{HV_ERROR_DEVICE_NOT_CONNECTED, "HV_ERROR_DEVICE_NOT_CONNECTED"},
	{HV_INVALIDARG, "HV_INVALIDARG"},
	{HV_GUID_NOTFOUND, "HV_GUID_NOTFOUND"},
	{HV_ERROR_ALREADY_EXISTS, "HV_ERROR_ALREADY_EXISTS"},
	{HV_ERROR_DISK_FULL, "HV_ERROR_DISK_FULL"},
};

const char *hyperv_status_name(uint32_t status)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].status == status)
			return statuses[i].name;
	return NULL;
}

void hyperv_host_close(struct hyperv_host *h)
{
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
}

/* ---- the channel ---- */

/*
 * All of `parts`, which are used up: 0 or -errno.  A packet travels in one piece, so one call is
 * what it takes, and it waits as long as the socket's time-outs say.
 */
static int transfer(const struct hyperv_host *h, struct iovec parts[2], bool out)
{
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	ssize_t n;

	while (parts[0].iov_len + parts[1].iov_len > 0) {
		n = out ? sendmsg(h->fd, &message, MSG_NOSIGNAL) : recvmsg(h->fd, &message, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? -ETIMEDOUT
										  : -EPIPE;
		for (int i = 0; i < 2; i++) {
			size_t used = (size_t)n < parts[i].iov_len ? (size_t)n : parts[i].iov_len;

			parts[i].iov_base = (char *)parts[i].iov_base + used;
			parts[i].iov_len -= used;
			n -= (ssize_t)used;
		}
		if (!out && !parts[0].iov_len)
			break; /* the header says how much more there is */
	}
	return 0;
}

int hyperv_host_send(struct hyperv_host *h)
{
	struct hyperv_frame frame = {.size = (uint32_t)h->packet_size};
	struct iovec parts[2] = {{&frame, sizeof(frame)}, {h->packet, h->packet_size}};
	int ret;

	if (h->packet_size == 0 || h->packet_size > sizeof(h->packet))
		return -EMSGSIZE;
	if (h->fd < 0)
		return -EPIPE;
	frame.transaction = ++h->sent;
	h->sent_size = h->packet_size;
	ret = transfer(h, parts, true);
	if (ret < 0)
		hyperv_host_close(h); /* half a packet may be on the way */
	return ret;
}

int hyperv_host_receive(struct hyperv_host *h)
{
	struct hyperv_frame frame;
	/* An answer is as long as the request: more than that would be of the next one. */
	struct iovec parts[2] = {{&frame, sizeof(frame)}, {h->packet, h->sent_size}};
	size_t got;
	int ret;

	if (h->fd < 0)
		return -EPIPE;
	ret = transfer(h, parts, false);
	got = h->sent_size - parts[1].iov_len;
	if (ret == 0 && (frame.size == 0 || frame.size > sizeof(h->packet) || got > frame.size ||
			 frame.transaction <= h->answered || frame.transaction > h->sent))
		ret = -EPROTO;
	if (ret == 0 && got < frame.size) {
		parts[0] = (struct iovec){h->packet + got, frame.size - got};
		parts[1] = (struct iovec){0};
		while (ret == 0 && parts[0].iov_len)
			ret = transfer(h, parts, false);
	}
	if (ret < 0)
		hyperv_host_close(h); /* an answer that is late would be taken for the next */
	else
		h->answered = frame.transaction; /* those before it will have no answer */
	h->packet_size = ret == 0 ? frame.size : 0;
	return ret;
}

/* ---- requests ---- */

void hyperv_host_begin(struct hyperv_host *h, unsigned type, size_t size)
{
	h->packet_size = (HYPERV_IC_SIZE + size + 7) & ~(size_t)7;
	memset(h->packet, 0, h->packet_size);
	h->ic.pipe.flags = 1;
	h->ic.pipe.size = (uint32_t)(sizeof(h->ic.ic) + size);
	h->ic.ic.framework = h->framework;
	h->ic.ic.version = h->version;
	h->ic.ic.type = (uint16_t)type;
	h->ic.ic.size = (uint16_t)size;
	h->ic.ic.transaction = (uint8_t)(h->sent + 1);
	h->ic.ic.flags = HYPERV_IC_TRANSACTION | HYPERV_IC_REQUEST;
}

int64_t hyperv_host_request(struct hyperv_host *h, const void *body, size_t size)
{
	int ret;

	if (size > sizeof(h->packet) - HYPERV_IC_SIZE - 7)
		return -EMSGSIZE;
	hyperv_host_begin(h, h->type, size);
	memcpy(h->ic.body, body, size);
	ret = hyperv_host_send(h);
	if (ret == 0)
		ret = hyperv_host_receive(h);
	if (ret < 0)
		return ret;
	return h->packet_size < HYPERV_IC_SIZE ? -EPROTO : (int64_t)h->ic.ic.status;
}

/* What current hosts offer, best last as they do. */
static const struct {
	unsigned type;
	uint16_t n_frameworks, n_versions;
	struct hyperv_version version[8];
} offers[] = {
	{HYPERV_IC_KVP, 2, 3, {{1, 0}, {3, 0}, {3, 0}, {4, 0}, {5, 0}}},
	{HYPERV_IC_VSS, 2, 2, {{1, 0}, {3, 0}, {5, 0}, {6, 0}}},
	{HYPERV_IC_FCOPY, 2, 1, {{1, 0}, {3, 0}, {1, 1}}},
};

static int negotiate(struct hyperv_host *h)
{
	struct hyperv_negotiation *n = (struct hyperv_negotiation *)h->ic.body;
	size_t count;
	int ret;

	for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
		if (offers[i].type != h->type)
			continue;
		count = (size_t)offers[i].n_frameworks + offers[i].n_versions;
		hyperv_host_begin(h, HYPERV_IC_NEGOTIATE,
				  sizeof(*n) + count * sizeof(n->version[0]));
		n->n_frameworks = offers[i].n_frameworks;
		n->n_versions = offers[i].n_versions;
		memcpy(n->version, offers[i].version, count * sizeof(n->version[0]));
		ret = hyperv_host_send(h);
		if (ret == 0)
			ret = hyperv_host_receive(h);
		if (ret < 0)
			return ret;
		if (h->packet_size < HYPERV_IC_SIZE + sizeof(*n) + 2 * sizeof(n->version[0]))
			return -EPROTO;
		if (n->n_frameworks != 1 || n->n_versions != 1)
			return -EPROTONOSUPPORT;
		h->framework = n->version[0];
		h->version = n->version[1];
		return 0;
	}
	return -EINVAL;
}

void hyperv_host_attach(struct hyperv_host *h, int fd, unsigned type, int patience_ms)
{
	struct timeval patience = {.tv_usec = patience_ms == 0}; /* 0 would be for ever */

	memset(h, 0, offsetof(struct hyperv_host, packet));
	h->fd = fd;
	h->type = type;
	if (patience_ms > 0)
		patience = (struct timeval){.tv_sec = patience_ms / 1000,
					    .tv_usec = patience_ms % 1000 * 1000};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

int64_t hyperv_host_open(struct hyperv_host *h, int fd, unsigned type, int patience_ms)
{
	int ret;

	hyperv_host_attach(h, fd, type, patience_ms);
	ret = negotiate(h);
	if (ret < 0)
		hyperv_host_close(h);
	return ret;
}
