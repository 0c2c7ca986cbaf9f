/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets of the host.  Like a real one's they are a multiple of 8 bytes long, since the ring
 * has them so; the IC header says how long the message is.
 */
#include "hyperv/host.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
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

static int64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* For `events`, until `end`: 0 or -errno. */
static int wait_for(const struct hyperv_host *h, short events, int64_t end)
{
	struct pollfd wait = {.fd = h->fd, .events = events};
	int64_t left = end - now_ms();
	int n = poll(&wait, 1, h->patience_ms < 0 ? -1 : left > 0 ? (int)left : 0);

	return n > 0 || (n < 0 && errno == EINTR) ? 0 : n == 0 ? -ETIMEDOUT : -errno;
}

/* All of it, one way or the other: 0 or -errno.  -EPIPE ends the channel. */
static int transfer(struct hyperv_host *h, void *data, size_t size, bool out)
{
	int64_t end = now_ms() + h->patience_ms;
	char *at = data;
	ssize_t n;
	int ret;

	while (size > 0) {
		n = out ? send(h->fd, at, size, MSG_DONTWAIT | MSG_NOSIGNAL)
			: recv(h->fd, at, size, MSG_DONTWAIT);
		if (n > 0) {
			at += n;
			size -= (size_t)n;
			continue;
		}
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return -EPIPE;
		ret = wait_for(h, out ? POLLOUT : POLLIN, end);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int hyperv_host_send(struct hyperv_host *h)
{
	struct {
		struct hyperv_frame frame;
		uint8_t packet[HYPERV_PACKET_MAX];
	} whole = {.frame = {.size = (uint32_t)h->packet_size, .transaction = ++h->transaction}};
	int ret;

	if (h->packet_size == 0 || h->packet_size > sizeof(h->packet))
		return -EMSGSIZE;
	if (h->fd < 0)
		return -EPIPE;
	memcpy(whole.packet, h->packet, h->packet_size);
	ret = transfer(h, &whole, sizeof(whole.frame) + h->packet_size, true);
	if (ret < 0)
		hyperv_host_close(h); /* half a packet may be on the way */
	return ret;
}

int hyperv_host_receive(struct hyperv_host *h)
{
	struct hyperv_frame frame;
	int ret;

	if (h->fd < 0)
		return -EPIPE;
	ret = transfer(h, &frame, sizeof(frame), false);
	if (ret == 0 && (frame.size == 0 || frame.size > sizeof(h->packet) ||
			 frame.transaction != h->transaction))
		ret = -EPROTO;
	if (ret == 0)
		ret = transfer(h, h->packet, frame.size, false);
	if (ret < 0)
		hyperv_host_close(h); /* an answer that is late would be taken for the next */
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
	h->ic.ic.transaction = (uint8_t)(h->transaction + 1);
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
	memset(h, 0, offsetof(struct hyperv_host, packet));
	h->fd = fd;
	h->type = type;
	h->patience_ms = patience_ms;
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
