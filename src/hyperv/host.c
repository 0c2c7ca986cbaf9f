/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets of the host, in the rings that the guest has made.  Like a real one's they are a multiple
 * of 8 bytes long, since the ring has them so; the IC header says how long the message is.
 */
#include "hyperv/host.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "core/hostfd.h"
#include "core/message.h"
#include "hyperv/queue.h"

#define NS_PER_S 1000000000u
#define SOON_NS  100000u /* twice what it takes to wake a thread and have it on a processor */

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
		host_close(h->fd);
	if (h->rings)
		munmap(h->rings, sizeof(*h->rings));
	h->fd = -1;
	h->rings = NULL;
}

/* ---- the channel ---- */

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

/* For a call, as long as the socket's time-out says: 0, -EPIPE or -ETIMEDOUT. */
static int wait_for_call(const struct hyperv_host *h)
{
	char calls[64];
	ssize_t n;

	do
		n = recv(h->fd, calls, sizeof(calls), 0);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return 0;
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? -ETIMEDOUT : -EPIPE;
}

int hyperv_host_send(struct hyperv_host *h)
{
	struct hyperv_frame frame = {.size = (uint32_t)h->packet_size, .transaction = h->sent + 1};
	struct hyperv_queue *q;
	int ret;

	if (h->packet_size == 0 || h->packet_size > sizeof(h->packet))
		return -EMSGSIZE;
	if (h->fd < 0)
		return -EPIPE;
	q = &h->rings->requests;
	while ((ret = hyperv_queue_put(q, &frame, h->packet)) == -EAGAIN)
		if (hyperv_queue_await_room(q, frame.size) && (ret = wait_for_call(h)) < 0)
			break;
	if (ret == 0 && hyperv_queue_call_receiver(q) &&
	    send(h->fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
		ret = -EPIPE;
	if (ret < 0)
		hyperv_host_close(h);
	else
		h->sent++;
	return ret;
}

/*
 * An answer that comes soon is looked for instead of waited for, giving way between two looks,
 * since the guest may be on this very processor.
 */
static void look_for_answer(struct hyperv_host *h)
{
	uint64_t end = now() + SOON_NS;

	while (h->soon && hyperv_queue_is_empty(&h->rings->responses) && now() < end)
		sched_yield();
}

/* What was answered before the channel ended is there still. */
static int next_answer(struct hyperv_host *h, struct hyperv_frame *frame)
{
	struct hyperv_queue *q = &h->rings->responses;
	uint64_t begin = now();
	int ret, waited = 0;

	look_for_answer(h);
	while ((ret = hyperv_queue_take(q, frame, h->packet)) == 0 && waited == 0)
		if (hyperv_queue_await(q))
			waited = wait_for_call(h);
	hyperv_queue_await_nothing(q);
	h->soon = now() - begin < SOON_NS;
	return ret > 0 ? 0 : ret < 0 ? ret : waited;
}

int hyperv_host_receive(struct hyperv_host *h)
{
	struct hyperv_frame frame;
	int ret;

	if (h->fd < 0)
		return -EPIPE;
	ret = next_answer(h, &frame);
	if (ret == 0 && (frame.transaction <= h->answered || frame.transaction > h->sent))
		ret = -EPROTO;
	if (ret < 0)
		hyperv_host_close(h); /* an answer that is late would be taken for the next */
	else
		h->answered = frame.transaction; /* those before it will have no answer */
	h->packet_size = ret == 0 ? frame.size : 0;
	return ret;
}

bool hyperv_host_has_answer(const struct hyperv_host *h)
{
	return h->fd >= 0 && !hyperv_queue_is_empty(&h->rings->responses);
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

/* The rings, which come first. */
static void map_rings(struct hyperv_host *h)
{
	void *rings = MAP_FAILED;
	int memory = -1;
	pid_t sender;
	char call;

	if (message_receive(h->fd, &call, sizeof(call), &memory, &sender) == 1 && memory >= 0)
		rings = mmap(NULL, sizeof(*h->rings), PROT_READ | PROT_WRITE, MAP_SHARED, memory,
			     0);
	if (memory >= 0)
		host_close(memory);
	if (rings == MAP_FAILED)
		hyperv_host_close(h);
	else
		h->rings = rings;
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
	map_rings(h);
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
