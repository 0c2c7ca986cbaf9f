/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets to the guest.
 *
 * Those without payload wait in a list, and go first: what has to come after a connection's
 * data, its end, is only queued once that data has gone.  Then every connection whose program
 * has sent something has a turn; that is read into the guest's buffers by one recvmsg(2).
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "core/iovec.h"
#include "core/syscall.h"
#include "vhost/vsock.h"

#define CLOSE_MS    8000u /* VSOCK_CLOSE_TIMEOUT */
#define FIRST_BATCH 4u    /* chains */

uint32_t vsock_credit(const struct vsock_connection *c)
{
	int64_t room = (int64_t)c->guest_alloc - (uint32_t)(c->sent - c->guest_forwarded);

	return room > 0 ? (uint32_t)room : 0;
}

/* What the guest is still to be told of the program's end; 0: nothing. */
static uint32_t end_to_tell(const struct vsock_connection *c)
{
	uint32_t flags = c->hung_up ? VSOCK_SHUTDOWN_BOTH
			 : c->ended ? VIRTIO_VSOCK_SHUTDOWN_SEND
				    : 0;

	return flags & ~c->end_sent ? flags : 0;
}

/* 1: `header` tells the guest of the program's end; 0: there is nothing to tell. */
static int end_packet(struct vsock_connection *c, struct virtio_vsock_hdr *header)
{
	uint32_t flags = end_to_tell(c);

	if (!flags)
		return 0;
	c->end_sent |= flags;
	vsock_header(c, VIRTIO_VSOCK_OP_SHUTDOWN, flags, 0, header);
	if (flags == VSOCK_SHUTDOWN_BOTH) {
		c->state = VSOCK_CLOSING;
		vsock_set_deadline(c, CLOSE_MS);
	}
	return 1;
}

/* A chain that a packet can be put in. */
static bool is_buffer(const struct virtqueue_chain *chain)
{
	return !chain->n_readable && chain->writable_size >= VSOCK_HEADER;
}

/* 0, or -EFAULT: the header's place is not there. */
static int finish_packet(struct virtqueue_chain *chain, const struct virtio_vsock_hdr *header)
{
	chain->written = (uint32_t)(VSOCK_HEADER + le32toh(header->len));
	return iovec_write(chain->writable, chain->n_writable, 0, header, VSOCK_HEADER);
}

bool vsock_unread(const struct vsock_connection *c)
{
	int readable = 0;

	return host_syscall(SYS_ioctl, c->fd, FIONREAD, &readable) == 0 && readable > 0;
}

/*
 * Reads what a program has sent into as many of the chains as there is something for, by one
 * system call.  The number of bytes; 0: there is nothing, or no room; -EPIPE: it is the end;
 * -EFAULT: the first chain is bad.  *ret_all: this was all, for now.
 *
 * A bad address or descriptors that the program has sent also make a read short, so one is only
 * taken to be the last if it did not fill the first chain and nothing else came with it.
 */
static long read_stream(struct vsock_connection *c, const struct virtqueue_chain *chains,
			unsigned n, bool *ret_all)
{
	struct msghdr message = {.msg_iov = c->vsock->cut};
	uint64_t limit = vsock_credit(c), total = 0, room;
	unsigned i, count = 0;
	long ret;

	c->starved = !limit;
	if (!limit)
		return c->ended && !vsock_unread(c) ? -EPIPE : 0;
	for (i = 0; i < n && total < limit && is_buffer(&chains[i]); i++) {
		room = chains[i].writable_size - VSOCK_HEADER;
		if (room > VSOCK_PACKET_MAX)
			room = VSOCK_PACKET_MAX;
		if (room > limit - total)
			room = limit - total;
		count += iovec_cut(chains[i].writable, chains[i].n_writable, VSOCK_HEADER, room,
				   c->vsock->cut + count);
		total += room;
	}
	if (!total)
		return 0;
	message.msg_iovlen = count;
	ret = host_syscall(SYS_recvmsg, c->fd, &message, MSG_DONTWAIT);
	if (ret == -EFAULT)
		return i > 1 ? read_stream(c, chains, 1, ret_all) : ret;
	if (ret == -EAGAIN)
		return 0;
	if (ret > 0) {
		*ret_all = (uint64_t)ret < chains[0].writable_size - VSOCK_HEADER &&
			   (uint64_t)ret < limit && !(message.msg_flags & MSG_CTRUNC) && !c->ended;
		return ret;
	}
	/* There may have been something, and now there is an error instead. */
	c->ended = true;
	c->hung_up |= ret < 0;
	return -EPIPE;
}

static int fill_stream(struct vsock_connection *c, struct virtqueue_chain *chains, unsigned n,
		       bool *ret_all)
{
	long left = read_stream(c, chains, n, ret_all);
	struct virtio_vsock_hdr header;
	uint64_t room;
	unsigned i;

	for (i = 0; left > 0; i++) {
		room = chains[i].writable_size - VSOCK_HEADER;
		if (room > VSOCK_PACKET_MAX)
			room = VSOCK_PACKET_MAX;
		if (room > (uint64_t)left)
			room = (uint64_t)left;
		c->sent += (uint32_t)room;
		vsock_header(c, VIRTIO_VSOCK_OP_RW, 0, (uint32_t)room, &header);
		if (finish_packet(&chains[i], &header))
			return -EFAULT;
		left -= (long)room;
	}
	return left < 0 ? (int)left : (int)i;
}

static int fill_message(struct vsock_connection *c, struct virtqueue_chain *chain)
{
	struct virtio_vsock_hdr header;
	int ret = vsock_message_next(c, chain, &header);

	return ret == 1 && finish_packet(chain, &header) ? -EFAULT : ret;
}

/*
 * Puts packets of a connection into chains: how many, or 0, or -errno: the first is bad.
 * *ret_all: there are no more.
 */
static int fill_from(struct vsock_connection *c, struct virtqueue_chain *chains, unsigned n,
		     bool *ret_all)
{
	struct virtio_vsock_hdr header;
	int ret;

	if (c->state != VSOCK_CONNECTED || (c->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_RCV))
		return 0;
	ret = c->type == VIRTIO_VSOCK_TYPE_STREAM ? fill_stream(c, chains, n, ret_all)
						  : fill_message(c, chains);
	if (ret == -EMSGSIZE) {
		vsock_lose(c);
		return 0;
	}
	if (ret != -EPIPE)
		return ret;
	if (!end_packet(c, &header))
		return 0;
	return finish_packet(chains, &header) ? -EFAULT : 1;
}

/* Puts packets into at least the first of the chains: how many, as fill_from(). */
static int fill(struct vsock *v, struct virtqueue_chain *chains, unsigned n)
{
	struct vsock_control *control = v->controls;
	struct vsock_connection *c;
	bool all = false;
	int ret;

	if (!is_buffer(chains))
		return -EINVAL;
	if (control) {
		ret = finish_packet(chains, &control->header);
		v->controls = control->next;
		if (!v->controls)
			v->controls_end = &v->controls;
		v->replies -= control->reply;
		free(control);
		return ret ? ret : 1;
	}
	while ((c = v->ready)) {
		v->ready = c->ready_next;
		if (!v->ready)
			v->ready_end = &v->ready;
		c->is_ready = false;
		ret = fill_from(c, chains, n, &all);
		if (ret && !all)
			vsock_make_ready(c); /* at the end: everybody has a turn */
		if (ret)
			return ret;
		if (v->controls)
			return fill(v, chains, n);
	}
	return 0;
}

bool vsock_send_packets(struct vsock *v)
{
	struct vhost_vq *vq = &v->vqs[VSOCK_RX];
	struct virtqueue_chain *chains = v->chains;
	unsigned packets = 0, batch = FIRST_BATCH, i;
	int n = 0, ret = 1;

	if (!vhost_vq_runnable(vq))
		return false;
	virtqueue_disable_kicks(&vq->ring);
	while ((v->controls || v->ready) && packets < VSOCK_ROUND && ret > 0) {
		virtqueue_pool_reset(&v->pool);
		n = virtqueue_fetch(&vq->ring, chains, batch, &v->pool);
		if (n == 0 && !v->dev.polling && virtqueue_enable_kicks(&vq->ring) == 1) {
			virtqueue_disable_kicks(&vq->ring);
			continue;
		}
		if (n <= 0)
			break;
		/* Few for what may be small, and more for what turns out to be a lot. */
		batch = VSOCK_BATCH;
		for (i = 0; i < (unsigned)n; i += (unsigned)ret) {
			ret = fill(v, &chains[i], (unsigned)n - i);
			if (ret <= 0)
				break;
		}
		if (i < (unsigned)n)
			virtqueue_unfetch(&vq->ring, chains + i, (unsigned)n - i);
		if (i)
			virtqueue_used(&vq->ring, chains, i);
		packets += i;
	}
	if (ret < 0)
		virtqueue_fail(&vq->ring, ret, "a buffer that no packet can be put in");
	if (ret < 0 || (n < 0 && n != -EAGAIN))
		vhost_vq_error(vq);
	if (packets)
		vhost_vq_signal(vq);
	if (v->stalled && v->replies < v->vqs[VSOCK_TX].num)
		return true;
	return packets >= VSOCK_ROUND;
}
