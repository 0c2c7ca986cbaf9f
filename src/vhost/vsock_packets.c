/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets without payload, and packets from the guest.
 *
 * Payload is not copied here if it need not be: what the guest sends goes from its buffers
 * into the program's socket by one sendmsg(2), which is also how a bad address becomes
 * EFAULT.  Only what the program's socket has no room for is kept, and credit sees to it that
 * this is VSOCK_BUFFER at most.
 *
 * The rules of which packet is answered how are those of net/vmw_vsock/
 * virtio_transport_common.c, and those of the rings are those of drivers/vhost/vsock.c: a
 * chain that can't be a packet is not given back to the guest, but signalled as an error.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/iovec.h"
#include "core/syscall.h"
#include "vhost/vsock.h"

/* ---- packets without payload ---- */

static void queue_control(struct vsock *v, const struct virtio_vsock_hdr *header, bool reply)
{
	struct vsock_control *control = malloc(sizeof(*control));

	/* As in the kernel: without memory the packet is lost. */
	if (!control)
		return;
	control->next = NULL;
	control->header = *header;
	control->reply = reply;
	*v->controls_end = control;
	v->controls_end = &control->next;
	v->replies += reply;
}

void vsock_controls_drop(struct vsock *v)
{
	struct vsock_control *next;

	for (; v->controls; v->controls = next) {
		next = v->controls->next;
		free(v->controls);
	}
	v->controls_end = &v->controls;
	v->replies = 0;
}

/* Every packet tells how much room there is here. */
void vsock_header(struct vsock_connection *c, uint16_t op, uint32_t flags, uint32_t size,
		  struct virtio_vsock_hdr *header)
{
	c->forwarded_told = c->forwarded;
	*header = (struct virtio_vsock_hdr){
		.src_cid = htole64(VSOCK_CID_HOST),
		.dst_cid = htole64(c->vsock->cid),
		.src_port = htole32(c->host_port),
		.dst_port = htole32(c->guest_port),
		.len = htole32(size),
		.type = htole16(c->type),
		.op = htole16(op),
		.flags = htole32(flags),
		.buf_alloc = htole32(VSOCK_BUFFER),
		.fwd_cnt = htole32(c->forwarded),
	};
}

void vsock_control(struct vsock_connection *c, uint16_t op, uint32_t flags, bool reply)
{
	struct virtio_vsock_hdr header;

	vsock_header(c, op, flags, 0, &header);
	queue_control(c->vsock, &header, reply);
}

/* Nobody is there for this packet. */
static void refuse(struct vsock *v, const struct virtio_vsock_hdr *to)
{
	struct virtio_vsock_hdr header = {
		.src_cid = to->dst_cid,
		.dst_cid = to->src_cid,
		.src_port = to->dst_port,
		.dst_port = to->src_port,
		.type = to->type,
		.op = htole16(VIRTIO_VSOCK_OP_RST),
	};

	if (le16toh(to->op) != VIRTIO_VSOCK_OP_RST)
		queue_control(v, &header, true);
}

/* ---- from the guest ---- */

void vsock_give_credit(struct vsock_connection *c)
{
	if (c->forwarded - c->forwarded_told >= VSOCK_BUFFER / 4 && c->state == VSOCK_CONNECTED)
		vsock_control(c, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, false);
}

/* Everything that the guest has sent is with the program. */
static void drained(struct vsock_connection *c)
{
	if ((c->guest_shutdown & VSOCK_SHUTDOWN_BOTH) == VSOCK_SHUTDOWN_BOTH) {
		vsock_control(c, VIRTIO_VSOCK_OP_RST, 0, false);
		vsock_close(c);
	} else if (c->state == VSOCK_FLUSHING) {
		vsock_close(c);
	} else if (c->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) {
		host_syscall(SYS_shutdown, c->fd, SHUT_WR);
	}
}

static long send_pieces(int fd, struct iovec *pieces, unsigned n)
{
	struct msghdr message = {.msg_iov = pieces, .msg_iovlen = n};

	return host_syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Whether the program has all that it can be given. */
static bool nothing_kept(const struct vsock_connection *c)
{
	return c->type == VIRTIO_VSOCK_TYPE_STREAM ? c->pending_start == c->pending_end
						   : c->messages.n == 0;
}

static bool flush_stream(struct vsock_connection *c)
{
	long n;

	while (c->pending_start < c->pending_end) {
		struct iovec piece = {c->pending + c->pending_start,
				      c->pending_end - c->pending_start};

		n = send_pieces(c->fd, &piece, 1);
		if (n == -EAGAIN)
			return false;
		if (n < 0) /* the program is gone: it takes no more */
			n = c->pending_end - c->pending_start;
		c->pending_start += (uint32_t)n;
		c->forwarded += (uint32_t)n;
	}
	c->pending_start = c->pending_end = 0;
	return true;
}

void vsock_flush(struct vsock_connection *c)
{
	bool all = c->type == VIRTIO_VSOCK_TYPE_STREAM ? flush_stream(c) : vsock_message_flush(c);

	if (c->state == VSOCK_DEAD)
		return;
	vsock_give_credit(c);
	if (all && (c->guest_shutdown || c->state == VSOCK_FLUSHING))
		drained(c);
}

/* Keeps what the program had no room for. */
int vsock_keep(struct vsock_connection *c, const struct virtqueue_chain *chain, uint64_t skip,
	       uint32_t size)
{
	if (!c->pending)
		c->pending = malloc(VSOCK_BUFFER);
	if (!c->pending)
		return -ENOMEM;
	if (c->pending_end + size > VSOCK_BUFFER) {
		memmove(c->pending, c->pending + c->pending_start,
			c->pending_end - c->pending_start);
		c->pending_end -= c->pending_start;
		c->pending_start = 0;
	}
	if (iovec_read(chain->readable, chain->n_readable, skip, c->pending + c->pending_end, size))
		return -EFAULT;
	c->pending_end += size;
	vsock_await_room(c);
	return 0;
}

void vsock_lose(struct vsock_connection *c)
{
	vsock_control(c, VIRTIO_VSOCK_OP_RST, 0, true);
	vsock_close(c);
}

/* 0, or -EFAULT: the payload is not there. */
static int take_payload(struct vsock_connection *c, const struct virtqueue_chain *chain,
			uint32_t size)
{
	uint32_t kept = c->pending_end - c->pending_start, gone = 0;
	unsigned count;
	long n;
	int ret;

	if (size > VSOCK_BUFFER - kept) { /* more than it was given credit for */
		vsock_lose(c);
		return 0;
	}
	if (!kept && size) {
		count = iovec_cut(chain->readable, chain->n_readable, VSOCK_HEADER, size,
				  c->vsock->cut);
		n = send_pieces(c->fd, c->vsock->cut, count);
		if (n == -EFAULT)
			return -EFAULT;
		if (n < 0 && n != -EAGAIN) {
			/* The program is gone, and the guest hears so when it has been told all. */
			c->forwarded += size;
			vsock_give_credit(c);
			return 0;
		}
		gone = n > 0 ? (uint32_t)n : 0;
		c->forwarded += gone;
	}
	if (gone < size) {
		ret = vsock_keep(c, chain, VSOCK_HEADER + gone, size - gone);
		if (ret == -EFAULT)
			return ret;
		if (ret) {
			vsock_lose(c);
			return 0;
		}
	}
	vsock_give_credit(c);
	return 0;
}

static void take_shutdown(struct vsock_connection *c, uint32_t flags)
{
	c->guest_shutdown |= flags & VSOCK_SHUTDOWN_BOTH;
	if (flags & VIRTIO_VSOCK_SHUTDOWN_RCV)
		host_syscall(SYS_shutdown, c->fd, SHUT_RD);
	if (nothing_kept(c))
		drained(c);
	else if ((c->guest_shutdown & VSOCK_SHUTDOWN_BOTH) == VSOCK_SHUTDOWN_BOTH)
		vsock_detach(c);
}

static int connected(struct vsock_connection *c, const struct virtio_vsock_hdr *header,
		     const struct virtqueue_chain *chain)
{
	switch (le16toh(header->op)) {
	case VIRTIO_VSOCK_OP_RW:
		if (c->type == VIRTIO_VSOCK_TYPE_SEQPACKET)
			return vsock_message_take(c, chain, le32toh(header->len),
						  le32toh(header->flags));
		return take_payload(c, chain, le32toh(header->len));
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		vsock_control(c, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, false);
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		take_shutdown(c, le32toh(header->flags));
		break;
	case VIRTIO_VSOCK_OP_RST:
		c->guest_shutdown = 0;
		vsock_detach(c);
		if (nothing_kept(c))
			vsock_close(c);
		break;
	default:
		break;
	}
	return 0;
}

static void connecting(struct vsock_connection *c, const struct virtio_vsock_hdr *header)
{
	switch (le16toh(header->op)) {
	case VIRTIO_VSOCK_OP_RESPONSE:
		vsock_accepted(c);
		break;
	case VIRTIO_VSOCK_OP_INVALID:
		break;
	case VIRTIO_VSOCK_OP_RST:
		vsock_refused(c, ECONNRESET);
		break;
	default:
		vsock_control(c, VIRTIO_VSOCK_OP_RST, 0, true);
		vsock_refused(c, EPROTO);
		break;
	}
}

static void take_credit(struct vsock_connection *c, const struct virtio_vsock_hdr *header)
{
	c->guest_alloc = le32toh(header->buf_alloc);
	c->guest_forwarded = le32toh(header->fwd_cnt);
	if (c->state == VSOCK_CONNECTED && c->starved)
		vsock_make_ready(c);
}

static int deliver(struct vsock *v, const struct virtio_vsock_hdr *header,
		   const struct virtqueue_chain *chain)
{
	uint32_t guest_port = le32toh(header->src_port), host_port = le32toh(header->dst_port);
	uint16_t type = le16toh(header->type);
	struct vsock_connection *c;

	if (le64toh(header->src_cid) != v->cid || le64toh(header->dst_cid) != VSOCK_CID_HOST)
		return 0;
	if (type != VIRTIO_VSOCK_TYPE_STREAM && type != VIRTIO_VSOCK_TYPE_SEQPACKET) {
		refuse(v, header);
		return 0;
	}
	c = vsock_find(v, guest_port, host_port);
	if (c && c->type != type) {
		refuse(v, header);
		return 0;
	}
	if (!c) {
		if (le16toh(header->op) == VIRTIO_VSOCK_OP_REQUEST)
			c = vsock_connect(v, guest_port, host_port, type);
		if (!c) {
			refuse(v, header);
			return 0;
		}
		take_credit(c, header);
		vsock_control(c, VIRTIO_VSOCK_OP_RESPONSE, 0, true);
		return 0;
	}
	take_credit(c, header);
	if (c->state == VSOCK_CONNECTED)
		return connected(c, header, chain);
	if (c->state == VSOCK_CONNECTING)
		connecting(c, header);
	else if (le16toh(header->op) == VIRTIO_VSOCK_OP_RST)
		vsock_close(c);
	return 0;
}

/* False: this is no packet. */
static bool take(struct vsock *v, const struct virtqueue_chain *chain)
{
	struct virtio_vsock_hdr header;

	if (chain->n_writable || chain->readable_size < VSOCK_HEADER ||
	    chain->readable_size > VSOCK_HEADER + VSOCK_PACKET_MAX)
		return false;
	if (iovec_read(chain->readable, chain->n_readable, 0, &header, VSOCK_HEADER))
		return false;
	if (le32toh(header.len) > chain->readable_size - VSOCK_HEADER)
		return false;
	return deliver(v, &header, chain) == 0;
}

bool vsock_take_packets(struct vsock *v)
{
	struct vhost_vq *vq = &v->vqs[VSOCK_TX];
	struct virtqueue_chain *chains = v->chains;
	unsigned packets = 0, good, i;
	int n = 0;

	if (!vhost_vq_runnable(vq))
		return false;
	virtqueue_disable_kicks(&vq->ring);
	while (packets < VSOCK_ROUND) {
		v->stalled = v->replies >= vq->num;
		if (v->stalled) {
			n = 0;
			break;
		}
		virtqueue_pool_reset(&v->pool);
		n = virtqueue_fetch(&vq->ring, chains, VSOCK_BATCH, &v->pool);
		if (n == 0 && !v->dev.polling && virtqueue_enable_kicks(&vq->ring) == 1) {
			virtqueue_disable_kicks(&vq->ring);
			continue;
		}
		if (n <= 0)
			break;
		for (i = good = 0; i < (unsigned)n && v->replies < vq->num; i++) {
			chains[i].written = 0;
			if (take(v, &chains[i]))
				chains[good++] = chains[i];
			else
				vhost_vq_error(vq);
		}
		if (i < (unsigned)n)
			virtqueue_unfetch(&vq->ring, chains + i, (unsigned)n - i);
		if (good)
			virtqueue_used(&vq->ring, chains, good);
		packets += i;
	}
	if (n < 0 && n != -EAGAIN)
		vhost_vq_error(vq);
	if (packets)
		vhost_vq_signal(vq);
	return n > 0;
}
