/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The buffers hold bytes as they are on the wire.  What is left in one is moved to its
 * beginning when there is no more room behind it.
 */
#include "backend/net_stream.h"

#include <arpa/inet.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "core/hostfd.h"
#include "core/syscall.h"

#define PREFIX 4u

static uint8_t *buffer(void)
{
	void *memory = host_mmap(NULL, NET_STREAM_SIZE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return host_is_error(memory) ? NULL : memory;
}

int net_stream_init(struct net_stream *s)
{
	*s = (struct net_stream){.fd = -1, .in = buffer(), .out = buffer()};
	if (s->in && s->out)
		return 0;
	net_stream_finish(s);
	return -ENOMEM;
}

void net_stream_finish(struct net_stream *s)
{
	if (s->in)
		host_munmap(s->in, NET_STREAM_SIZE);
	if (s->out)
		host_munmap(s->out, NET_STREAM_SIZE);
	hostfd_close(s->fd);
	*s = (struct net_stream){.fd = -1};
}

void net_stream_connect(struct net_stream *s, int fd)
{
	hostfd_close(s->fd);
	s->fd = fd;
	s->in_start = s->in_end = s->out_start = s->out_end = 0;
}

uint8_t *net_stream_reserve(struct net_stream *s, uint32_t size)
{
	if (s->out_start && NET_STREAM_SIZE - s->out_end < PREFIX + size) {
		memmove(s->out, s->out + s->out_start, s->out_end - s->out_start);
		s->out_end -= s->out_start;
		s->out_start = 0;
	}
	if (NET_STREAM_SIZE - s->out_end < PREFIX + size)
		return NULL;
	return s->out + s->out_end + PREFIX;
}

void net_stream_commit(struct net_stream *s, uint32_t size)
{
	uint32_t prefix = htonl(size);

	memcpy(s->out + s->out_end, &prefix, PREFIX);
	s->out_end += PREFIX + size;
}

int net_stream_flush(struct net_stream *s)
{
	long n;

	while (s->out_start < s->out_end) {
		n = host_syscall(SYS_sendto, s->fd, s->out + s->out_start,
				 s->out_end - s->out_start, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
		if (n < 0)
			return (int)n;
		s->out_start += (size_t)n;
	}
	s->out_start = s->out_end = 0;
	return 0;
}

static uint32_t length_at(const struct net_stream *s, size_t at)
{
	uint32_t prefix;

	memcpy(&prefix, s->in + at, PREFIX);
	return ntohl(prefix);
}

/* Whether a whole frame is at `at`, *ret_size bytes. */
static bool frame_at(const struct net_stream *s, size_t at, uint32_t *ret_size)
{
	if (s->in_end - at < PREFIX)
		return false;
	*ret_size = length_at(s, at);
	return s->in_end - at - PREFIX >= *ret_size;
}

unsigned net_stream_peek(struct net_stream *s, struct net_arrival *arrivals, unsigned n)
{
	size_t at = s->in_start;
	unsigned found = 0;
	uint32_t size;

	for (; found < n && frame_at(s, at, &size); at += PREFIX + size)
		arrivals[found++] = (struct net_arrival){.data = s->in + at + PREFIX, .size = size};
	return found;
}

uint64_t net_stream_consume(struct net_stream *s, unsigned n)
{
	uint64_t bytes = 0;
	uint32_t size;

	for (; n && frame_at(s, s->in_start, &size); n--) {
		s->in_start += PREFIX + size;
		bytes += size;
	}
	return bytes;
}

/* Frames that can't be ones are left out; one that is too long can't be waited for. */
static int check_lengths(struct net_stream *s)
{
	size_t at = s->in_start, to = at;
	uint32_t size;
	int ret = 0;

	while (s->in_end - at >= PREFIX) {
		size = length_at(s, at);
		if (size > NET_FRAME_MAX) {
			ret = -EPROTO;
			break;
		}
		if (s->in_end - at - PREFIX < size)
			break;
		if (size >= ETHER_HEADER) {
			if (to != at)
				memmove(s->in + to, s->in + at, PREFIX + size);
			to += PREFIX + size;
		}
		at += PREFIX + size;
	}
	if (to != at) {
		memmove(s->in + to, s->in + at, s->in_end - at);
		s->in_end -= at - to;
	}
	return ret;
}

int net_stream_fill(struct net_stream *s)
{
	long n;

	if (s->in_start == s->in_end) {
		s->in_start = s->in_end = 0;
	} else if (NET_STREAM_SIZE - s->in_start < PREFIX + NET_FRAME_MAX) {
		memmove(s->in, s->in + s->in_start, s->in_end - s->in_start);
		s->in_end -= s->in_start;
		s->in_start = 0;
	}
	n = host_syscall(SYS_recvfrom, s->fd, s->in + s->in_end, NET_STREAM_SIZE - s->in_end,
			 MSG_DONTWAIT, NULL, NULL);
	if (n <= 0)
		return n < 0 ? (int)n : -ENOTCONN;
	s->in_end += (size_t)n;
	return check_lengths(s);
}
