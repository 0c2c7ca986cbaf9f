/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports that write a capture file (pcap-savefile(5), microseconds, Ethernet).
 *
 * What is sent in one call is written in one, so that the file ends with a whole packet
 * whenever it is read.  A file is emptied when it is opened, and locked, since two writers
 * would spoil it; a pipe that somebody watches, or /dev/null, is neither.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "backend/net_private.h"
#include "core/hostfd.h"
#include "core/log.h"
#include "core/syscall.h"

#define BUFFER        (512u << 10)
#define PCAP_MAGIC    0xa1b2c3d4u
#define PCAP_ETHERNET 1

struct pcap_header {
	uint32_t magic;
	uint16_t major, minor;
	int32_t zone;
	uint32_t accuracy, limit, link;
};

struct pcap_record {
	uint32_t seconds, microseconds, captured, size;
};

struct pcap {
	struct net_port *port;
	pthread_mutex_t lock;
	int fd;
	uint8_t *buffer;
	size_t used;
	bool failed;
};

static void write_out(struct pcap *p)
{
	ssize_t n = p->used && !p->failed ? host_write(p->fd, p->buffer, p->used) : 0;

	if (n < 0 || (p->used && !p->failed && (size_t)n < p->used)) {
		log_warning("net: %s: the capture can't be written: %s", p->port->name,
			    n < 0 ? strerrorname_np((int)-n) : "ENOSPC");
		p->failed = true;
	}
	p->used = 0;
}

static uint8_t *reserve(void *pcap, uint32_t size)
{
	struct pcap *p = pcap;

	if (BUFFER - p->used < sizeof(struct pcap_record) + size)
		write_out(p);
	return p->buffer + p->used + sizeof(struct pcap_record);
}

static void commit(void *pcap, const struct virtio_net_hdr *header, uint32_t size)
{
	struct pcap *p = pcap;
	struct pcap_record r = {.captured = size, .size = size};
	struct timespec now;

	(void)header;
	clock_gettime(CLOCK_REALTIME, &now);
	r.seconds = (uint32_t)now.tv_sec;
	r.microseconds = (uint32_t)(now.tv_nsec / 1000);
	memcpy(p->buffer + p->used, &r, sizeof(r));
	p->used += sizeof(r) + size;
}

static unsigned pcap_send(struct net_port *port, unsigned queue, const struct net_packet *packets,
			  unsigned n)
{
	struct pcap *p = port->priv;

	pthread_mutex_lock(&p->lock);
	n = net_send_frames(&port->queues[queue], 0, packets, n, reserve, commit, p);
	write_out(p);
	pthread_mutex_unlock(&p->lock);
	return n;
}

static void pcap_close(struct net_port *port)
{
	struct pcap *p = port->priv;

	if (p->buffer)
		host_munmap(p->buffer, BUFFER);
	hostfd_close(p->fd);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static long claim_file(int fd)
{
	struct stat st;
	long ret = host_fstat(fd, &st);

	if (ret < 0 || !S_ISREG(st.st_mode))
		return ret;
	ret = host_syscall(SYS_flock, fd, LOCK_EX | LOCK_NB);
	if (ret == -EAGAIN)
		return -EBUSY;
	return ret < 0 ? ret : host_syscall(SYS_ftruncate, fd, 0);
}

static int start_file(struct pcap *p, const char *path)
{
	static const struct pcap_header header = {.magic = PCAP_MAGIC,
						  .major = 2,
						  .minor = 4,
						  .limit = NET_FRAME_MAX,
						  .link = PCAP_ETHERNET};
	long ret;

	ret = host_open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND, 0666);
	if (ret >= 0)
		p->fd = (int)(ret = hostfd_adopt((int)ret));
	if (ret >= 0)
		ret = claim_file(p->fd);
	if (ret >= 0)
		ret = host_write(p->fd, &header, sizeof(header));
	return ret < 0 ? (int)ret : 0;
}

static int pcap_open(struct net_port *port, const char *path, char error[NET_ERROR_MAX])
{
	struct pcap *p = calloc(1, sizeof(*p));
	int ret = -ENOMEM;
	void *buffer;

	if (p) {
		port->priv = p;
		p->port = port;
		p->fd = -1;
		pthread_mutex_init(&p->lock, NULL);
		buffer = host_mmap(NULL, BUFFER, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (!host_is_error(buffer)) {
			p->buffer = buffer;
			ret = start_file(p, path);
		}
		if (ret)
			pcap_close(port);
	}
	if (ret)
		snprintf(error, NET_ERROR_MAX, "pcap=%.150s: %s", path, strerrordesc_np(-ret));
	return ret;
}

const struct net_kind net_pcap_kind = {
	.name = "pcap",
	.wants_value = true,
	.open = pcap_open,
	.close = pcap_close,
	.send = pcap_send,
};
