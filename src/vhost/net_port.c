/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sockets that are files of ours: a stood-in tap, whose packets go to the link that it leads to
 * (backend/net.h).  What the guest sends is read where it lies; what arrives is lent by the
 * link and copied once, into the guest's buffers.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "core/hostfd.h"
#include "core/iovec.h"
#include "vhost/net.h"

/* The rings' header is little-endian, as a legacy guest of this processor is, too. */
static void swap_header(struct virtio_net_hdr *h)
{
	h->hdr_len = le16toh(h->hdr_len);
	h->gso_size = le16toh(h->gso_size);
	h->csum_start = le16toh(h->csum_start);
	h->csum_offset = le16toh(h->csum_offset);
}

/* Removes the header from a packet, whose pieces are ours to change; `to` is what it says. */
static int take_header(const struct vhost_net_packet *from, uint32_t size, struct net_packet *to)
{
	struct iovec *iov = from->iov;
	unsigned n = from->n_iov;
	uint32_t skip = size;

	memset(&to->header, 0, sizeof(to->header));
	if (from->size <= size)
		return -EINVAL;
	if (size && iovec_read(iov, n, 0, &to->header, sizeof(to->header)))
		return -EFAULT;
	swap_header(&to->header);
	for (; iov->iov_len <= skip; iov++, n--)
		skip -= (uint32_t)iov->iov_len;
	iov->iov_base = (char *)iov->iov_base + skip;
	iov->iov_len -= skip;
	to->iov = iov;
	to->n_iov = n;
	to->size = from->size - size;
	return 0;
}

static unsigned port_send(struct vhost_net_socket *s, const struct vhost_net_packet *packets,
			  unsigned n, uint32_t header_size)
{
	struct net_packet out[VHOST_NET_BATCH];
	unsigned from[VHOST_NET_BATCH], count = 0, sent;

	/* A packet that can't be read is lost, and so counts as sent when the next one is. */
	for (unsigned i = 0; i < n; i++) {
		if (take_header(&packets[i], header_size, &out[count]))
			continue;
		from[count++] = i;
	}
	sent = net_send(s->port, s->queue, out, count);
	if (sent == count)
		return n;
	/* Room that comes after this is told. */
	atomic_store(&s->net->blocked, true);
	sent += net_send(s->port, s->queue, out + sent, count - sent);
	return sent == count ? n : from[sent];
}

/* The descriptor, if there is one, tells of room when it comes; and so does the callback. */
static void port_blocked(struct vhost_net_socket *s)
{
}

static bool port_peek(struct vhost_net_socket *s, struct vhost_net_arrival *arrival,
		      uint32_t header_size)
{
	const struct net_arrival *a;
	struct virtio_net_hdr header;

	if (s->next_arrival == s->n_arrivals) {
		net_consume(s->port, s->queue, s->n_arrivals);
		s->next_arrival = 0;
		s->n_arrivals = net_peek(s->port, s->queue, s->arrivals, VHOST_NET_BATCH);
		if (!s->n_arrivals)
			return false;
	}
	a = &s->arrivals[s->next_arrival];
	header = a->header;
	swap_header(&header);
	memset(arrival->header, 0, sizeof(arrival->header));
	memcpy(arrival->header, &header, sizeof(header));
	arrival->header_size = header_size;
	arrival->data = a->data;
	arrival->size = a->size;
	return true;
}

static void port_consume(struct vhost_net_socket *s)
{
	s->next_arrival++;
}

static void port_settle(struct vhost_net_socket *s)
{
	net_consume(s->port, s->queue, s->next_arrival);
	s->next_arrival = s->n_arrivals = 0;
}

static void port_close(struct vhost_net_socket *s)
{
	if (s->port)
		net_set_ready(s->port, s->queue, NULL, NULL);
	if (s->fd >= 0) {
		vhost_unwatch(&s->net->dev, s->fd);
		hostfd_close(s->fd);
	}
	file_put(s->file);
}

static const struct vhost_net_socket_ops port_ops = {
	.send = port_send,
	.blocked = port_blocked,
	.peek = port_peek,
	.consume = port_consume,
	.settle = port_settle,
	.close = port_close,
};

static void ready(void *arg)
{
	vhost_net_tell(arg, true, true);
}

int vhost_net_port_open(struct vhost_net_socket *s, struct file *file)
{
	int fd, ret;

	if (!file->ops->net_port)
		return -ENOTSOCK;
	s->ops = &port_ops;
	s->file = file;
	s->strict = true;
	/* A tap without an interface.  It is not used then. */
	s->broken = file->ops->net_port(file, &s->port, &s->queue);
	if (s->broken)
		return 0;
	fd = net_fd(s->port, s->queue);
	if (fd >= 0) {
		s->fd = hostfd_duplicate(fd);
		if (s->fd < 0)
			return s->fd;
		ret = vhost_watch(&s->net->dev, s->fd, &s->net->source, EPOLLIN | EPOLLOUT);
		if (ret) {
			hostfd_close(s->fd);
			return ret;
		}
	}
	net_set_ready(s->port, s->queue, ready, s->net);
	return 0;
}
