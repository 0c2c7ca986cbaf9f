/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A Hyper-V host and a daemon that do what the input says, on either side of one of the guest
 * services: packets with good headers and bad ones, rings that are written over, replies of any
 * content and size, at any moment.  Whatever they do, the service must be in a state that there is,
 * keep its messages in their bounds, and hold only responses of the size that was asked.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include <standin/standin.h>

#include "core/hostfd.h"
#include "fuzz.h"
#include "hyperv/host.h"
#include "hyperv/hyperv.h"
#include "hyperv/queue.h"
#include "hyperv/utf.h"

static struct hyperv_service *s;
static struct hyperv_host host;
static int daemon_fd;
static uint8_t buffer[HYPERV_PACKET_MAX];

static void check(void)
{
	pthread_mutex_lock(&s->lock);
	CHECK(s->state <= HYPERV_DYING);
	CHECK(s->message_size <= sizeof(s->message));
	CHECK(s->packet_size <= sizeof(s->packet));
	CHECK(!s->deadline || s->state == HYPERV_ASKED);
	CHECK(s->mode != HYPERV_OPEN || s->file);
	pthread_mutex_unlock(&s->lock);
}

static void connect_host(void)
{
	int pair[2], fd;

	hyperv_host_close(&host);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	fd = hostfd_adopt(pair[1]);
	CHECK(fd >= 0);
	if (hyperv_connect(s, fd) < 0)
		close(pair[0]);
	else
		hyperv_host_attach(&host, pair[0], 0, 0);
}

static void drain_host(void)
{
	while (hyperv_host_has_answer(&host) && hyperv_host_receive(&host) == 0)
		;
}

/* A packet: the headers as they should be, or the input's. */
static void send_packet(struct input *in, bool good)
{
	size_t size = take16(in) % (HYPERV_PACKET_MAX - HYPERV_IC_SIZE + 1), given = take8(in);

	if (host.fd < 0)
		connect_host();
	memset(host.packet, 0, sizeof(host.packet));
	take(in, good ? host.ic.body : host.packet, given);
	if (good) {
		host.ic.ic.type = s == &hyperv_kvp   ? HYPERV_IC_KVP
				  : s == &hyperv_vss ? HYPERV_IC_VSS
						     : HYPERV_IC_FCOPY;
		if (take8(in) % 8 == 0)
			host.ic.ic.type = HYPERV_IC_NEGOTIATE;
	}
	host.packet_size = HYPERV_IC_SIZE + size;
	hyperv_host_send(&host);
}

/* What the two have in common, and calls for no reason. */
static void scribble(struct input *in)
{
	size_t size = take8(in), at = take8(in) % 2 ? 0 : take16(in) * 2u;

	take(in, buffer, size);
	if (host.fd < 0)
		return;
	if (at + size <= sizeof(*host.rings))
		memcpy((uint8_t *)host.rings + at, buffer, size);
	(void)send(host.fd, buffer, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void reply(struct input *in, bool whole)
{
	size_t size = whole ? s->kind->kept : take16(in) % 8000u, given = take8(in);

	memset(buffer, 0, sizeof(buffer));
	take(in, buffer, given);
	(void)!standin_write(daemon_fd, buffer, size);
}

static void read_message(struct input *in)
{
	size_t size = take8(in) % 4 ? sizeof(buffer) : take8(in);
	bool there;

	pthread_mutex_lock(&s->lock);
	there = s->message_size || s->mode != HYPERV_OPEN;
	pthread_mutex_unlock(&s->lock);
	if (there)
		(void)!standin_read(daemon_fd, buffer, size);
}

static void reopen(void)
{
	standin_close(daemon_fd);
	daemon_fd = standin_open(s->kind->path, O_RDWR | O_CLOEXEC);
	CHECK(daemon_fd >= 0);
}

static void change(void (*how)(struct hyperv_service *s))
{
	pthread_mutex_lock(&s->lock);
	how(s);
	pthread_mutex_unlock(&s->lock);
}

static void time_out(struct hyperv_service *service)
{
	if (hyperv_disarm(service))
		service->kind->timed_out(service);
}

static void act(struct input *in)
{
	switch (take8(in) % 12) {
	case 0:
	case 1:
	case 2:
		send_packet(in, true);
		break;
	case 3:
		send_packet(in, false);
		break;
	case 4:
		scribble(in);
		break;
	case 5:
	case 6:
		reply(in, true);
		break;
	case 7:
		reply(in, false);
		break;
	case 8:
		read_message(in);
		break;
	case 9:
		reopen();
		break;
	case 10:
		connect_host();
		break;
	default:
		change(take8(in) % 4 == 0   ? hyperv_remove
		       : take8(in) % 3 == 0 ? hyperv_suspend
		       : take8(in) % 2      ? hyperv_resume
					    : time_out);
	}
	hyperv_connection_event(s, 0, false);
	drain_host();
	check();
}

/* Both ways, and there and back again. */
static void convert(struct input *in)
{
	uint16_t units[64], again[64];
	uint8_t text[80];
	size_t n, room;
	int m;

	take(in, units, sizeof(units));
	room = take8(in) % sizeof(text);
	n = utf8_from_utf16(units, 64, text, room);
	CHECK(n <= room);
	m = utf16_from_utf8(text, n, again, 64);
	CHECK(m >= 0 && m <= 64);
	CHECK(utf8_from_utf16(again, (size_t)m, buffer, sizeof(buffer)) == n);
	CHECK(memcmp(buffer, text, n) == 0);
	take(in, text, sizeof(text));
	m = utf16_from_utf8(text, sizeof(text), again, take8(in) % 64);
	CHECK(m < 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	CHECK(standin_start("log error\nhyperv timeouts=1000") == 0);
	s = hyperv_services[take8(&in) % 3];
	host.fd = -1;
	daemon_fd = standin_open(s->kind->path, O_RDWR | O_CLOEXEC);
	CHECK(daemon_fd >= 0);
	if (take8(&in) % 2)
		convert(&in);
	while (in.left)
		act(&in);
	standin_close(daemon_fd);
	hyperv_host_close(&host);
	standin_stop();
	return 0;
}
