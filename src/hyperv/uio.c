/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fcopy on Linux 6.10 and later: /dev/uioN with the channel's rings in the daemon's memory, as
 * drivers/uio/uio_hv_generic.c gives them away.
 *
 * The kernel's part is to wait and to wake.  What the host writes into the daemon's ring the daemon
 * reads, negotiation too, and answers in the other ring; read(2) waits for the host and returns
 * how often it has called, write(2) asks for more calls and tells the host to look.  One packet is
 * put into the ring at a time, as a host does that waits for its answer; which need not name what
 * it answers.
 *
 * The daemon's indices are the daemon's: they are read once, and what they say is checked.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "core/user.h"
#include "hyperv/hyperv.h"

#define DATA_SIZE (HYPERV_UIO_RING_SIZE - (uint32_t)offsetof(struct hyperv_ring, data))

static struct {
	int memory; /* private descriptor of both rings: the daemon's answers, then the host's
		       packets */
	uint8_t *rings;
	int32_t events, seen; /* how often it was called, and heard of it */
} uio = {.memory = -1};

static struct hyperv_ring *ring(unsigned index)
{
	return (struct hyperv_ring *)(uio.rings + index * HYPERV_UIO_RING_SIZE);
}

/* ---- the rings ---- */

/* Copies to or from a ring, around its end; where the next byte is. */
static uint32_t copy_in(struct hyperv_ring *r, uint32_t at, const void *from, uint32_t size)
{
	uint32_t part = size < DATA_SIZE - at ? size : DATA_SIZE - at;

	memcpy(r->data + at, from, part);
	memcpy(r->data, (const uint8_t *)from + part, size - part);
	return (at + size) % DATA_SIZE;
}

static uint32_t copy_out(const struct hyperv_ring *r, uint32_t at, void *to, uint32_t size)
{
	uint32_t part = size < DATA_SIZE - at ? size : DATA_SIZE - at;

	memcpy(to, r->data + at, part);
	memcpy((uint8_t *)to + part, r->data, size - part);
	return (at + size) % DATA_SIZE;
}

/* The host's packet, s->packet: false if the daemon has left no room. */
static bool put_packet(const struct hyperv_service *s)
{
	static const uint8_t zeros[8];
	struct hyperv_ring *r = ring(1);
	uint32_t begin = r->write_index, end = r->read_index, at = begin;
	uint32_t padded = (s->packet_size + 7) & ~7u;
	struct hyperv_packet head = {.type = HYPERV_PACKET_INBAND,
				     .header_size = sizeof(head) / 8,
				     .size = (uint16_t)((sizeof(head) + padded) / 8),
				     .flags = 1,
				     .transaction = s->request};
	uint64_t trailer = (uint64_t)begin << 32;
	uint32_t whole = (uint32_t)sizeof(head) + padded + HYPERV_PACKET_TRAILER;

	if (begin >= DATA_SIZE || end >= DATA_SIZE ||
	    (begin >= end ? DATA_SIZE - (begin - end) : end - begin) <= whole)
		return false;
	at = copy_in(r, at, &head, sizeof(head));
	at = copy_in(r, at, s->packet, s->packet_size);
	at = copy_in(r, at, zeros, padded - s->packet_size);
	at = copy_in(r, at, &trailer, sizeof(trailer));
	atomic_thread_fence(memory_order_release);
	r->write_index = at;
	return true;
}

/* The daemon's next packet into s->packet: false if there is none that makes sense. */
static bool take_packet(struct hyperv_service *s)
{
	struct hyperv_ring *r = ring(0);
	uint32_t begin = r->read_index, end = r->write_index, there, size;
	struct hyperv_packet head;

	if (begin >= DATA_SIZE || end >= DATA_SIZE)
		return false;
	atomic_thread_fence(memory_order_acquire);
	there = end >= begin ? end - begin : DATA_SIZE - (begin - end);
	if (there < sizeof(head) + HYPERV_PACKET_TRAILER)
		return false;
	copy_out(r, begin, &head, sizeof(head));
	size = head.size * 8u;
	if (head.header_size * 8u < sizeof(head) || head.header_size > head.size ||
	    size + HYPERV_PACKET_TRAILER > there ||
	    size - head.header_size * 8u > sizeof(s->packet)) {
		r->read_index = end; /* what it says of itself is no guide to what follows */
		return false;
	}
	s->packet_size = size - head.header_size * 8u;
	copy_out(r, (begin + head.header_size * 8u) % DATA_SIZE, s->packet, s->packet_size);
	r->read_index = (begin + size + HYPERV_PACKET_TRAILER) % DATA_SIZE;
	return true;
}

/* ---- the host ---- */

static bool may_receive(struct hyperv_service *s)
{
	return s->mode == HYPERV_OPEN && s->state == HYPERV_READY;
}

/* The host calls, if the daemon wants to be called; and not again until it says so. */
static void call_daemon(struct hyperv_service *s)
{
	if (ring(1)->interrupt_mask)
		return;
	ring(1)->interrupt_mask = 1;
	uio.events++;
	file_set_events(s->file, POLLIN);
}

static void received(struct hyperv_service *s)
{
	if (!put_packet(s))
		return; /* a host would wait for room, which such a daemon never makes */
	s->state = HYPERV_ASKED;
	call_daemon(s);
}

static void answers(struct hyperv_service *s)
{
	while (s->state == HYPERV_ASKED && take_packet(s)) {
		if (s->packet_size < HYPERV_IC_SIZE)
			continue;
		if (s->ic.ic.type == HYPERV_IC_NEGOTIATE) {
			const struct hyperv_negotiation *n = (const void *)s->ic.body;

			s->framework = n->version[0];
			s->version = n->version[1];
			hyperv_respond(s);
		} else {
			hyperv_respond_status(s, s->ic.ic.status);
		}
		hyperv_ready(s);
	}
}

static void reset(struct hyperv_service *s)
{
	if (s->state == HYPERV_ASKED)
		hyperv_respond_status(s, HV_E_FAIL);
	s->state = HYPERV_INIT;
}

/* The channel ends, and with it what was under way. */
static void suspend(struct hyperv_service *s)
{
	s->state = HYPERV_READY;
}

static const struct hyperv_kind kind = {
	.name = "fcopy",
	.path = HYPERV_UIO_PATH,
	.major = 243, /* whatever is free */
	.packet_max = HYPERV_PACKET_MAX + sizeof(struct hyperv_packet),
	.may_receive = may_receive,
	.received = received,
	.reset = reset,
	.suspend = suspend,
};

struct hyperv_service hyperv_uio = {.kind = &kind, .lock = PTHREAD_MUTEX_INITIALIZER, .claim = -1};

/* ---- the file ---- */

static int make_rings(void)
{
	uio.memory = hostfd_adopt((int)host_syscall(SYS_memfd_create, "hyperv-rings", MFD_CLOEXEC));
	if (uio.memory < 0)
		return uio.memory;
	if (host_syscall(SYS_ftruncate, uio.memory, 2 * HYPERV_UIO_RING_SIZE) < 0)
		return -ENOMEM;
	uio.rings = host_mmap(NULL, 2 * HYPERV_UIO_RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			      uio.memory, 0);
	return host_is_error(uio.rings) ? -ENOMEM : 0;
}

static void drop_rings(void)
{
	if (uio.rings && !host_is_error(uio.rings))
		host_munmap(uio.rings, 2 * HYPERV_UIO_RING_SIZE);
	hostfd_close(uio.memory);
	uio.rings = NULL;
	uio.memory = -1;
}

static void uio_release(struct file *f)
{
	struct hyperv_service *s = f->priv;

	hyperv_release(f);
	pthread_mutex_lock(&s->lock);
	drop_rings();
	pthread_mutex_unlock(&s->lock);
}

/* With rings that are new. */
static int uio_open(struct file *f, void *context)
{
	struct hyperv_service *s = context;
	int ret;

	ret = hyperv_open(f, context);
	if (ret < 0)
		return ret;
	pthread_mutex_lock(&s->lock);
	uio.events = uio.seen = 0;
	ret = make_rings();
	if (ret == 0) {
		s->state = HYPERV_READY;
		hyperv_receive(s);
	}
	pthread_mutex_unlock(&s->lock);
	if (ret < 0)
		uio_release(f);
	return ret;
}

static ssize_t uio_read(struct file *f, void *buffer, size_t size, off_t offset)
{
	struct pollfd wait = {.fd = f->self, .events = POLLIN};
	struct hyperv_service *s = f->priv;
	bool nonblocking = host_syscall(SYS_fcntl, f->self, F_GETFL) & O_NONBLOCK;
	ssize_t ret = 0;

	if (size != sizeof(uio.events))
		return -EINVAL;
	pthread_mutex_lock(&s->lock);
	while (s->mode == HYPERV_OPEN && uio.events == uio.seen && ret == 0) {
		pthread_mutex_unlock(&s->lock);
		if (nonblocking)
			ret = -EAGAIN;
		else if (host_syscall(SYS_ppoll, &wait, 1, NULL, NULL, 0) < 0)
			ret = -EINTR;
		pthread_mutex_lock(&s->lock);
	}
	if (s->mode != HYPERV_OPEN) {
		ret = -EIO;
	} else if (ret == 0) {
		ret = copy_to_user(buffer, &uio.events, size) ? -EFAULT : (ssize_t)size;
		if (ret > 0)
			uio.seen = uio.events;
		file_set_events(s->file, uio.events == uio.seen ? 0 : POLLIN);
	}
	pthread_mutex_unlock(&s->lock);
	return ret;
}

static ssize_t uio_write(struct file *f, const void *buffer, size_t size, off_t offset)
{
	struct hyperv_service *s = f->priv;
	int32_t on;

	if (size != sizeof(on))
		return -EINVAL;
	if (copy_from_user(&on, buffer, size))
		return -EFAULT;
	pthread_mutex_lock(&s->lock);
	if (s->mode == HYPERV_OPEN) {
		ring(1)->interrupt_mask = !on;
		answers(s);
		/* What has come while it wanted no calls. */
		if (on && ring(1)->read_index != ring(1)->write_index)
			call_daemon(s);
		hyperv_await(s);
	}
	size = s->mode == HYPERV_OPEN ? size : (size_t)-EINVAL;
	pthread_mutex_unlock(&s->lock);
	return (ssize_t)size;
}

static int uio_mmap(struct file *f, struct map_request *request)
{
	size_t size = (request->size + 4095) & ~(size_t)4095;

	if (request->offset || size > 2 * HYPERV_UIO_RING_SIZE)
		return -EINVAL;
	request->ret_address = host_mmap(request->address, request->size, request->protection,
					 request->flags, uio.memory, 0);
	return host_is_error(request->ret_address) ? (int)(intptr_t)request->ret_address : 0;
}

const struct file_ops hyperv_uio_ops = {
	.kind = "uio",
	.ioctls = &hyperv_no_ioctls,
	.messages = true,
	.open = uio_open,
	.release = uio_release,
	.read = uio_read,
	.write = uio_write,
	.mmap = uio_mmap,
};
