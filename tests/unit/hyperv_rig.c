/* SPDX-License-Identifier: BSD-3-Clause */
#include "hyperv_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include <standin/standin.h>

#include "core/hostfd.h"

int rig_channel(const struct hyperv_rig *r)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(hyperv_connect(r->s, hostfd_adopt(pair[1])), 0);
	return pair[0];
}

void rig_connect(const struct hyperv_rig *r, struct hyperv_host *h)
{
	hyperv_host_attach(h, rig_channel(r), r->type, 20000);
	assert_true(h->fd >= 0);
}

void rig_start(struct hyperv_rig *r, struct hyperv_service *s, const char *configuration)
{
	assert_int_equal(standin_start(configuration), 0);
	r->s = s;
	r->type = s == &hyperv_kvp   ? HYPERV_IC_KVP
		  : s == &hyperv_vss ? HYPERV_IC_VSS
				     : HYPERV_IC_FCOPY;
	r->daemon = -1;
	r->host.fd = -1;
	rig_open(r);
	rig_connect(r, &r->host);
}

void rig_stop(struct hyperv_rig *r)
{
	if (r->daemon >= 0)
		standin_close(r->daemon);
	hyperv_host_close(&r->host);
	standin_stop();
}

void rig_open(struct hyperv_rig *r)
{
	r->daemon = standin_open(r->s->kind->path, O_RDWR | O_CLOEXEC);
	assert_true(r->daemon >= 0);
}

ssize_t rig_write(const struct hyperv_rig *r, const void *message, size_t size)
{
	ssize_t n = standin_write(r->daemon, message, size);

	return n < 0 ? -errno : n;
}

ssize_t rig_read(const struct hyperv_rig *r, void *message, size_t size)
{
	ssize_t n = standin_read(r->daemon, message, size);

	return n < 0 ? -errno : n;
}

short rig_poll(const struct hyperv_rig *r)
{
	struct pollfd fd = {.fd = r->daemon, .events = POLLIN | POLLOUT};

	assert_true(poll(&fd, 1, 0) >= 0);
	return fd.revents;
}

ssize_t rig_write_registration(const struct hyperv_rig *r)
{
	static const struct hv_kvp_msg kvp = {.kvp_hdr.operation = KVP_OP_REGISTER1};
	static const struct hv_vss_msg vss = {.vss_hdr.operation = VSS_OP_REGISTER1};
	static const uint32_t fcopy = FCOPY_VERSION_1;

	if (r->s == &hyperv_kvp)
		return rig_write(r, &kvp, sizeof(kvp));
	if (r->s == &hyperv_vss)
		return rig_write(r, &vss, sizeof(vss));
	return rig_write(r, &fcopy, sizeof(fcopy));
}

void rig_register(struct hyperv_rig *r)
{
	struct hv_kvp_msg answer;

	assert_true(rig_write_registration(r) > 0);
	assert_true(rig_read(r, &answer, sizeof(answer)) > 0);
	assert_int_equal(rig_state(r), HYPERV_READY);
}

enum hyperv_state rig_state(const struct hyperv_rig *r)
{
	enum hyperv_state state;

	pthread_mutex_lock(&r->s->lock);
	state = r->s->state;
	pthread_mutex_unlock(&r->s->lock);
	return state;
}

void rig_settle(const struct hyperv_rig *r)
{
	hyperv_connection_event(r->s, 0, false);
}

void rig_ask(struct hyperv_rig *r, const void *body, size_t size)
{
	hyperv_host_begin(&r->host, r->type, size);
	memcpy(r->host.ic.body, body, size);
	assert_int_equal(hyperv_host_send(&r->host), 0);
	rig_settle(r);
}

int64_t rig_answer(struct hyperv_rig *r)
{
	struct pollfd fd = {.fd = r->host.fd, .events = POLLIN};
	int ret;

	if (!hyperv_host_has_answer(&r->host) && poll(&fd, 1, 0) == 0)
		return -1;
	ret = hyperv_host_receive(&r->host);
	return ret < 0 ? ret : (int64_t)r->host.ic.ic.status;
}
