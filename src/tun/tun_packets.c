/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets between the client and the port: read(2) and write(2), one packet each, and what
 * poll says.
 *
 * A packet has, as TUNSETIFF asked for it, struct tun_pi and a virtio-net header before it.
 * The port says when something has arrived or there is room; the reader that finds nothing
 * left takes POLLIN back, and looks once more, because the port may have spoken in between.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "backend/net_offload.h"
#include "core/syscall.h"
#include "core/user.h"
#include "tun/tun.h"

#define ETHER_HEADER 14u
#define VECTORS      2

/* ---- poll ---- */

/* Adds or takes away POLLIN or POLLOUT. */
static void change_events(struct tun_file *file, short add, short remove)
{
	struct file *f = file->file;

	pthread_mutex_lock(&file->events_lock);
	file_set_events(f, (short)((f->events | add) & ~remove));
	pthread_mutex_unlock(&file->events_lock);
}

void tun_ready(void *arg)
{
	change_events(arg, POLLIN | POLLOUT, 0);
}

/* Waits, unless the client or the way it calls doesn't allow it.  0 or -errno. */
static long wait_for(struct tun_file *file, short events)
{
	struct pollfd p = {.fd = file->file->self, .events = events};
	long ret = host_syscall(SYS_fcntl, p.fd, F_GETFL);

	/* A forked child's call is made by a thread that serves others too. */
	if (ret < 0 || (ret & O_NONBLOCK) || user_client.pid)
		return -EAGAIN;
	ret = host_syscall(SYS_ppoll, &p, 1, NULL, NULL, 0);
	return ret < 0 ? ret : 0;
}

/* ---- the receive filter ---- */

static unsigned hash(const uint8_t *address)
{
	unsigned h = 0;

	for (unsigned i = 0; i < TUN_MAC; i++)
		h = h * 31 + address[i];
	return h % 64;
}

void tun_filter_add_multicast(struct tun_filter_state *filter, const uint8_t *address)
{
	filter->multicast |= UINT64_C(1) << hash(address);
}

bool tun_filter_passes(const struct tun_filter_state *filter, const uint8_t *frame)
{
	if (!filter->n_exact)
		return true;
	for (unsigned i = 0; i < filter->n_exact; i++)
		if (!memcmp(filter->exact[i], frame, TUN_MAC))
			return true;
	return (frame[0] & 1) && (filter->multicast >> hash(frame) & 1);
}

static bool wanted(struct tun *t, const uint8_t *frame)
{
	bool passes;

	if (!atomic_load_explicit(&t->up, memory_order_relaxed) ||
	    !atomic_load_explicit(&t->carrier, memory_order_relaxed))
		return false;
	if (!t->filter.n_exact)
		return true;
	pthread_mutex_lock(&t->filter_lock);
	passes = tun_filter_passes(&t->filter, frame);
	pthread_mutex_unlock(&t->filter_lock);
	return passes;
}

/* ---- read ---- */

/* Copies a packet out: its whole size, of which `size` bytes at most were copied. */
static ssize_t put(const struct tun *t, const struct net_arrival *a, uint8_t *to, size_t size)
{
	struct tun_pi pi = {0};
	size_t done = 0, header, part;

	if (!(t->flags & IFF_NO_PI)) {
		header = t->flags & IFF_VNET_HDR ? t->vnet_hdr_size : 0;
		if (size < sizeof(pi))
			return -EINVAL;
		memcpy(&pi.proto, a->data + 2 * TUN_MAC, sizeof(pi.proto));
		if (size < sizeof(pi) + header + a->size)
			pi.flags |= TUN_PKT_STRIP;
		if (copy_to_user(to, &pi, sizeof(pi)))
			return -EFAULT;
		done = sizeof(pi);
	}
	if (t->flags & IFF_VNET_HDR) {
		static const uint8_t zeros[64];

		header = t->vnet_hdr_size;
		if (size - done < header)
			return -EINVAL;
		if (copy_to_user(to + done, &a->header, sizeof(a->header)))
			return -EFAULT;
		done += sizeof(a->header);
		for (header -= sizeof(a->header); header; header -= part, done += part) {
			part = header < sizeof(zeros) ? header : sizeof(zeros);
			if (copy_to_user(to + done, zeros, part))
				return -EFAULT;
		}
	}
	part = size - done < a->size ? size - done : a->size;
	if (copy_to_user(to + done, a->data, part))
		return -EFAULT;
	return (ssize_t)(done + part);
}

/* The next packet that is for the client. */
static bool next_packet(struct tun_file *file, struct net_arrival *a)
{
	struct tun *t = file->tun;

	if (net_lent(t->port, file->queue)) /* to vhost, which takes them all */
		return false;
	while (net_peek(t->port, file->queue, a, 1)) {
		if (wanted(t, a->data))
			return true;
		net_consume(t->port, file->queue, 1);
	}
	return false;
}

static void nothing_left(struct tun_file *file)
{
	struct net_arrival a;

	change_events(file, 0, POLLIN);
	if (next_packet(file, &a))
		change_events(file, POLLIN, 0);
}

void tun_start_events(struct tun_file *file)
{
	pthread_mutex_lock(&file->read_lock);
	change_events(file, POLLOUT, 0);
	nothing_left(file);
	pthread_mutex_unlock(&file->read_lock);
}

static ssize_t read_packet(struct tun_file *file, void *buffer, size_t size)
{
	struct net_arrival a;
	ssize_t ret = -EAGAIN;

	pthread_mutex_lock(&file->read_lock);
	if (!file->detached && next_packet(file, &a)) {
		ret = put(file->tun, &a, buffer, size);
		net_consume(file->tun->port, file->queue, 1);
	}
	if (ret == -EAGAIN || !next_packet(file, &a))
		nothing_left(file);
	pthread_mutex_unlock(&file->read_lock);
	return ret;
}

ssize_t tun_read(struct file *f, void *buffer, size_t size, off_t offset)
{
	struct tun_file *file = f->priv;
	ssize_t ret;

	(void)offset;
	if (!file->tun)
		return -EBADFD;
	while ((ret = read_packet(file, buffer, size)) == -EAGAIN) {
		ret = wait_for(file, POLLIN);
		if (ret < 0)
			break;
	}
	return ret;
}

/* ---- write ---- */

/* What stands before the packet: its size, or -errno as tun_get_user() finds it. */
static ssize_t get_headers(const struct tun *t, const uint8_t *from, size_t size,
			   struct virtio_net_hdr *header)
{
	size_t done = 0, length = 0, vnet = t->vnet_hdr_size;
	struct tun_pi pi;

	memset(header, 0, sizeof(*header));
	if (!(t->flags & IFF_NO_PI)) {
		if (size < sizeof(pi))
			return -EINVAL;
		if (copy_from_user(&pi, from, sizeof(pi)))
			return -EFAULT;
		done = sizeof(pi);
	}
	if (t->flags & IFF_VNET_HDR) {
		if (size - done < vnet)
			return -EINVAL;
		if (copy_from_user(header, from + done, sizeof(*header)))
			return -EFAULT;
		length = header->hdr_len;
		if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
			size_t end = header->csum_start + header->csum_offset + 2u;

			length = end > length ? (uint16_t)end : length;
		}
		if (length > size - done - sizeof(*header))
			return -EINVAL;
		done += vnet;
	}
	if (size - done < ETHER_HEADER || (length && length < ETHER_HEADER))
		return -EINVAL;
	return (ssize_t)done;
}

/* A child's packet is fetched here, since a port reads only this process's memory. */
static long fetch(struct net_packet *packet, struct iovec *iov, void **ret_copy)
{
	*ret_copy = NULL;
	if (!user_client.pid)
		return 0;
	*ret_copy = malloc(packet->size);
	if (!*ret_copy)
		return -ENOMEM;
	if (copy_from_user(*ret_copy, iov->iov_base, packet->size)) {
		free(*ret_copy);
		return -EFAULT;
	}
	iov->iov_base = *ret_copy;
	return 0;
}

static long write_packet(struct tun_file *file, const struct net_packet *packet)
{
	long ret;

	pthread_mutex_lock(&file->write_lock);
	ret = net_send(file->tun->port, file->queue, packet, 1) ? 0 : -EAGAIN;
	if (ret) {
		change_events(file, 0, POLLOUT);
		/* There may be room by now, and then that was said before. */
		ret = net_send(file->tun->port, file->queue, packet, 1) ? 0 : -EAGAIN;
		if (!ret)
			change_events(file, POLLOUT, 0);
	}
	pthread_mutex_unlock(&file->write_lock);
	return ret;
}

ssize_t tun_write(struct file *f, const void *buffer, size_t size, off_t offset)
{
	struct tun_file *file = f->priv;
	struct net_packet packet = {0};
	struct iovec iov;
	ssize_t ret;
	void *copy;

	(void)offset;
	if (!file->tun)
		return -EBADFD;
	ret = get_headers(file->tun, buffer, size, &packet.header);
	if (ret < 0)
		return ret;
	iov.iov_base = (uint8_t *)(uintptr_t)buffer + ret;
	iov.iov_len = size - (size_t)ret;
	packet.iov = &iov;
	packet.n_iov = 1;
	if (iov.iov_len > NET_FRAME_MAX)
		return -EMSGSIZE;
	packet.size = (uint32_t)iov.iov_len;
	if (net_offload_check(&packet.header, packet.size))
		return -EINVAL;
	if (!atomic_load_explicit(&file->tun->up, memory_order_relaxed))
		return -EIO;
	if (!user_client.pid && user_touch(iov.iov_base, iov.iov_len, false))
		return -EFAULT;
	ret = fetch(&packet, &iov, &copy);
	if (ret)
		return ret;
	while ((ret = write_packet(file, &packet)) == -EAGAIN) {
		ret = wait_for(file, POLLOUT);
		if (ret < 0)
			break;
	}
	free(copy);
	return ret < 0 ? ret : (ssize_t)size;
}
