/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sockets of packets: what one side sends at once, the other receives at once.
 *
 * Between the guest and us a message is a number of packets, the last of which is marked.
 * Between us and the program it is one message of a SOCK_SEQPACKET socket, which is sent
 * and received whole.  So a message from the guest is kept until its end is there; one that
 * comes in a single packet, most of them, goes straight from its buffers.  One from the
 * program goes straight into the guest's buffer if it fits; otherwise it is received into
 * memory of ours and leaves in pieces, as the guest has buffers and gives credit.
 *
 * A message that is bigger than all of the receiver's room can't be: the kernel refuses it to
 * its sender (EMSGSIZE), who for us has sent it already, and so hears of a reset.  Empty
 * ones don't exist for vsock and are dropped.  There is no mark for MSG_EOR in Unix sockets.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/iovec.h"
#include "core/syscall.h"
#include "vhost/vsock.h"

/* ---- from the guest ---- */

/* The end of the message that is last in `pending`. */
static bool message_ends(struct vsock_connection *c, uint32_t size)
{
	if (c->messages.first + c->messages.n == c->messages.room) {
		unsigned room = c->messages.n * 2 + 16;
		uint32_t *more = malloc(room * sizeof(*more));

		if (!more)
			return false;
		if (c->messages.n)
			memcpy(more, c->messages.size + c->messages.first,
			       c->messages.n * sizeof(*more));
		free(c->messages.size);
		c->messages.size = more;
		c->messages.room = room;
		c->messages.first = 0;
	}
	c->messages.size[c->messages.first + c->messages.n++] = size;
	return true;
}

static long send_message(int fd, struct iovec *pieces, unsigned n)
{
	struct msghdr message = {.msg_iov = pieces, .msg_iovlen = n};

	return host_syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool vsock_message_flush(struct vsock_connection *c)
{
	while (c->messages.n) {
		uint32_t size = c->messages.size[c->messages.first];
		struct iovec piece = {c->pending + c->pending_start, size};
		long n = size ? send_message(c->fd, &piece, 1) : 0;

		if (n == -EAGAIN)
			return false;
		/* One that the program can't be sent is lost to it, and it hears so. */
		if (n == -EMSGSIZE) {
			vsock_lose(c);
			return false;
		}
		c->pending_start += size;
		c->forwarded += size;
		c->messages.first++;
		if (--c->messages.n == 0)
			c->messages.first = 0;
	}
	if (c->pending_start == c->pending_end)
		c->pending_start = c->pending_end = 0;
	return true;
}

int vsock_message_take(struct vsock_connection *c, const struct virtqueue_chain *chain,
		       uint32_t size, uint32_t flags)
{
	uint32_t kept = c->pending_end - c->pending_start;
	bool end = flags & VIRTIO_VSOCK_SEQ_EOM;
	unsigned count;
	long n;
	int ret;

	if (size > VSOCK_BUFFER - kept) { /* more than it was given credit for */
		vsock_lose(c);
		return 0;
	}
	if (!kept && end && size) {
		count = iovec_cut(chain->readable, chain->n_readable, VSOCK_HEADER, size,
				  c->vsock->cut);
		n = send_message(c->fd, c->vsock->cut, count);
		if (n == -EFAULT)
			return -EFAULT;
		if (n == -EMSGSIZE) {
			vsock_lose(c);
			return 0;
		}
		if (n != -EAGAIN) { /* or the program is gone, which the guest will hear */
			c->forwarded += size;
			vsock_give_credit(c);
			return 0;
		}
	}
	ret = vsock_keep(c, chain, VSOCK_HEADER, size);
	if (ret == -EFAULT)
		return ret;
	c->partial += size;
	if (ret || (end && !message_ends(c, c->partial))) {
		vsock_lose(c);
		return 0;
	}
	if (end) {
		c->partial = 0;
		vsock_flush(c);
	}
	return 0;
}

/* ---- from the program ---- */

static int leave(struct vsock_connection *c, const struct virtqueue_chain *chain,
		 struct virtio_vsock_hdr *header)
{
	uint32_t size = c->leaving.size - c->leaving.sent;
	uint64_t room = chain->writable_size - VSOCK_HEADER;

	if (size > room)
		size = (uint32_t)room;
	if (size > VSOCK_PACKET_MAX)
		size = VSOCK_PACKET_MAX;
	if (size > vsock_credit(c))
		size = vsock_credit(c);
	c->starved = !vsock_credit(c);
	if (!size)
		return 0;
	if (iovec_write(chain->writable, chain->n_writable, VSOCK_HEADER,
			c->leaving.data + c->leaving.sent, size))
		return -EFAULT;
	c->leaving.sent += size;
	c->sent += size;
	vsock_header(c, VIRTIO_VSOCK_OP_RW,
		     c->leaving.sent == c->leaving.size ? VIRTIO_VSOCK_SEQ_EOM : 0, size, header);
	if (c->leaving.sent == c->leaving.size) {
		free(c->leaving.data);
		c->leaving.data = NULL;
	}
	return 1;
}

int vsock_message_next(struct vsock_connection *c, const struct virtqueue_chain *chain,
		       struct virtio_vsock_hdr *header)
{
	uint64_t room = chain->writable_size - VSOCK_HEADER;
	unsigned count;
	long n;

	if (c->leaving.data)
		return leave(c, chain, header);
	do {
		n = host_syscall(SYS_recvfrom, c->fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT,
				 NULL, NULL);
		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return -EPIPE;
		if (n == 0) {
			/* An empty message, or the end. */
			host_syscall(SYS_recvfrom, c->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
			if (!vsock_unread(c))
				return c->ended ? -EPIPE : 0;
		}
	} while (n == 0);
	if (n > c->guest_alloc)
		return -EMSGSIZE;
	if ((uint64_t)n <= room && n <= vsock_credit(c) && n <= VSOCK_PACKET_MAX) {
		count = iovec_cut(chain->writable, chain->n_writable, VSOCK_HEADER, (uint64_t)n,
				  c->vsock->cut);
		n = host_syscall(SYS_readv, c->fd, c->vsock->cut, count);
		if (n < 0)
			return n == -EFAULT ? -EFAULT : -EPIPE;
		c->sent += (uint32_t)n;
		vsock_header(c, VIRTIO_VSOCK_OP_RW, VIRTIO_VSOCK_SEQ_EOM, (uint32_t)n, header);
		return 1;
	}
	c->starved = !vsock_credit(c);
	if (c->starved)
		return 0;
	c->leaving.data = malloc((size_t)n);
	if (!c->leaving.data)
		return -EMSGSIZE;
	c->leaving.size = (uint32_t)n;
	c->leaving.sent = 0;
	host_syscall(SYS_recvfrom, c->fd, c->leaving.data, n, MSG_DONTWAIT, NULL, NULL);
	return leave(c, chain, header);
}

void vsock_message_finish(struct vsock_connection *c)
{
	free(c->messages.size);
	free(c->leaving.data);
}
