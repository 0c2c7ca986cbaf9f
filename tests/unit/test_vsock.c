/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost/: /dev/vhost-vsock with a guest's driver in this process, whose guest addresses are
 * its own, and programs of the host on the Unix sockets.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <standin/standin.h>

#include "core/vsock_place.h"
#include "uapi/vhost.h"
#include "../split_ring.h"

#define NUM    64u
#define BUFFER 4096u
#define HEADER sizeof(struct virtio_vsock_hdr)
#define CID    42u

struct ring {
	SPLIT_RING(NUM, 16);
	int kick, call, err;
	uint16_t seen;
};

struct guest {
	int fd;
	struct ring ring[2];
	char buffer[NUM][BUFFER] __attribute__((aligned(8)));
	char sent[HEADER + 65536] __attribute__((aligned(8)));
};

static struct guest *guest;
static uint16_t type; /* of the packets that the guest sends */
static char directory[] = "/tmp/standin-vsock-XXXXXX", path[64];

static void kick(struct ring *r)
{
	uint64_t one = 1;

	assert_int_equal(write(r->kick, &one, sizeof(one)), sizeof(one));
}

static void set_state(unsigned long cmd, unsigned index, unsigned num)
{
	struct vhost_vring_state s = {.index = index, .num = num};

	assert_int_equal(standin_ioctl(guest->fd, cmd, &s), 0);
}

static void set_file(unsigned long cmd, unsigned index, int file)
{
	struct vhost_vring_file s = {.index = index, .fd = file};

	assert_int_equal(standin_ioctl(guest->fd, cmd, &s), 0);
}

static void set_addr(unsigned index, unsigned flags, uint64_t log)
{
	struct ring *r = &guest->ring[index];
	struct vhost_vring_addr a = {.index = index,
				     .flags = flags,
				     .log_guest_addr = log,
				     .desc_user_addr = (uintptr_t)r->desc,
				     .avail_user_addr = (uintptr_t)&r->avail,
				     .used_user_addr = (uintptr_t)&r->used};

	assert_int_equal(standin_ioctl(guest->fd, VHOST_SET_VRING_ADDR, &a), 0);
}

static void set_memory(void)
{
	char space[sizeof(struct vhost_memory) + sizeof(struct vhost_memory_region)]
		__attribute__((aligned(8))) = {0};
	struct vhost_memory *table = (struct vhost_memory *)space;

	table->nregions = 1;
	table->regions[0].memory_size = 0x7ffffffff000;
	assert_int_equal(standin_ioctl(guest->fd, VHOST_SET_MEM_TABLE, table), 0);
}

static int setup(void **state)
{
	uint64_t features = UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1)
									<< VIRTIO_VSOCK_F_SEQPACKET;
	uint64_t cid = CID;
	char configuration[128];
	int one = 1;

	snprintf(path, sizeof(path), "%s/guest", directory);
	snprintf(configuration, sizeof(configuration), "vsock %s", path);
	type = VIRTIO_VSOCK_TYPE_STREAM;
	assert_int_equal(standin_start(configuration), 0);
	guest = aligned_alloc(4096, (sizeof(*guest) + 4095) & ~4095ul);
	memset(guest, 0, sizeof(*guest));
	guest->fd = standin_open("/dev/vhost-vsock", O_RDWR);
	assert_true(guest->fd >= 0);
	assert_int_equal(standin_ioctl(guest->fd, VHOST_SET_OWNER), 0);
	assert_int_equal(standin_ioctl(guest->fd, VHOST_SET_FEATURES, &features), 0);
	assert_int_equal(standin_ioctl(guest->fd, VHOST_VSOCK_SET_GUEST_CID, &cid), 0);
	set_memory();
	for (unsigned i = 0; i < 2; i++) {
		struct ring *r = &guest->ring[i];

		r->kick = eventfd(0, EFD_NONBLOCK);
		r->call = eventfd(0, EFD_NONBLOCK);
		r->err = eventfd(0, EFD_NONBLOCK);
		set_state(VHOST_SET_VRING_NUM, i, NUM);
		set_state(VHOST_SET_VRING_BASE, i, 0);
		set_addr(i, 0, 0);
		set_file(VHOST_SET_VRING_KICK, i, r->kick);
		set_file(VHOST_SET_VRING_CALL, i, r->call);
		set_file(VHOST_SET_VRING_ERR, i, r->err);
	}
	for (unsigned i = 0; i < NUM; i++) {
		guest->ring[0].desc[i] = (struct vring_desc){.addr = (uintptr_t)guest->buffer[i],
							     .len = BUFFER,
							     .flags = VRING_DESC_F_WRITE};
		guest->ring[0].avail.ring[i] = (uint16_t)i;
	}
	guest->ring[0].avail.idx = NUM;
	assert_int_equal(standin_ioctl(guest->fd, VHOST_VSOCK_SET_RUNNING, &one), 0);
	return 0;
}

static int teardown(void **state)
{
	standin_close(guest->fd);
	for (unsigned i = 0; i < 2; i++) {
		close(guest->ring[i].kick);
		close(guest->ring[i].call);
		close(guest->ring[i].err);
	}
	free(guest);
	standin_stop();
	assert_int_not_equal(access(path, F_OK), 0); /* the listening socket went with it */
	return 0;
}

/* Sends a packet; false if it was not used within a second. */
static bool transmit(uint16_t op, uint32_t guest_port, uint32_t host_port, uint32_t flags,
		     uint32_t alloc, uint32_t forwarded, const void *data, uint32_t size)
{
	struct ring *r = &guest->ring[1];
	struct virtio_vsock_hdr h = {.src_cid = CID,
				     .dst_cid = 2,
				     .src_port = guest_port,
				     .dst_port = host_port,
				     .len = size,
				     .type = type,
				     .op = op,
				     .flags = flags,
				     .buf_alloc = alloc,
				     .fwd_cnt = forwarded};
	unsigned slot = r->avail.idx % NUM;

	memcpy(guest->sent, &h, HEADER);
	if (size)
		memcpy(guest->sent + HEADER, data, size);
	r->desc[slot] =
		(struct vring_desc){.addr = (uintptr_t)guest->sent, .len = (uint32_t)HEADER + size};
	r->avail.ring[slot] = (uint16_t)slot;
	__atomic_store_n(&r->avail.idx, (uint16_t)(r->avail.idx + 1), __ATOMIC_RELEASE);
	kick(r);
	for (int i = 0; i < 100000; i++) {
		if (__atomic_load_n(&r->used.idx, __ATOMIC_ACQUIRE) != r->seen) {
			r->seen++;
			return true;
		}
		usleep(100);
	}
	return false;
}

/* The next packet for the guest: its header, and its payload at `data`; false: none came. */
static bool receive(struct virtio_vsock_hdr *h, void *data, int ms)
{
	struct ring *r = &guest->ring[0];

	for (int i = 0; i < ms * 10; i++) {
		if (__atomic_load_n(&r->used.idx, __ATOMIC_ACQUIRE) != r->seen) {
			struct vring_used_elem *e = &r->used.ring[r->seen++ % NUM];

			memcpy(h, guest->buffer[e->id], HEADER);
			assert_int_equal(e->len, HEADER + h->len);
			assert_int_equal(h->src_cid, 2);
			assert_int_equal(h->dst_cid, CID);
			if (data)
				memcpy(data, guest->buffer[e->id] + HEADER, h->len);
			r->avail.ring[r->avail.idx % NUM] = (uint16_t)e->id;
			__atomic_store_n(&r->avail.idx, (uint16_t)(r->avail.idx + 1),
					 __ATOMIC_RELEASE);
			kick(r);
			return true;
		}
		usleep(100);
	}
	return false;
}

static struct virtio_vsock_hdr expect(uint16_t op, void *data)
{
	struct virtio_vsock_hdr h;

	assert_true(receive(&h, data, 5000));
	assert_int_equal(h.op, op);
	return h;
}

static struct sockaddr_un address_of(const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", name);
	return a;
}

static int listen_at(unsigned port)
{
	char name[80];
	struct sockaddr_un a;
	int fd =
		socket(AF_UNIX, type == VIRTIO_VSOCK_TYPE_STREAM ? SOCK_STREAM : SOCK_SEQPACKET, 0);

	snprintf(name, sizeof(name), "%s_%u", path, port);
	unlink(name);
	a = address_of(name);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static void read_all(int fd, void *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = read(fd, (char *)data + done, size - done);

		assert_true(n > 0);
		done += (size_t)n;
	}
}

/* Connected from the guest's port 1000 to `port`: the program's end. */
static int guest_connects(unsigned port, uint32_t alloc)
{
	int listener = listen_at(port), fd;
	struct virtio_vsock_hdr h;

	assert_true(transmit(VIRTIO_VSOCK_OP_REQUEST, 1000, port, 0, alloc, 0, NULL, 0));
	h = expect(VIRTIO_VSOCK_OP_RESPONSE, NULL);
	assert_int_equal(h.src_port, port);
	assert_int_equal(h.dst_port, 1000);
	assert_int_equal(h.buf_alloc, 256 << 10);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	close(listener);
	return fd;
}

static void test_guest_connects(void **state)
{
	char data[BUFFER];
	int fd = guest_connects(1234, 65536);
	struct virtio_vsock_hdr h;

	assert_true(transmit(VIRTIO_VSOCK_OP_RW, 1000, 1234, 0, 65536, 0, "hello", 5));
	read_all(fd, data, 5);
	assert_memory_equal(data, "hello", 5);
	assert_int_equal(write(fd, "world!", 6), 6);
	h = expect(VIRTIO_VSOCK_OP_RW, data);
	assert_int_equal(h.len, 6);
	assert_int_equal(h.fwd_cnt, 5);
	assert_memory_equal(data, "world!", 6);
	assert_true(transmit(VIRTIO_VSOCK_OP_CREDIT_REQUEST, 1000, 1234, 0, 65536, 6, NULL, 0));
	h = expect(VIRTIO_VSOCK_OP_CREDIT_UPDATE, NULL);
	assert_int_equal(h.fwd_cnt, 5);
	assert_true(transmit(VIRTIO_VSOCK_OP_SHUTDOWN, 1000, 1234, VIRTIO_VSOCK_SHUTDOWN_SEND,
			     65536, 6, NULL, 0));
	assert_int_equal(read(fd, data, 1), 0);
	assert_int_equal(write(fd, "x", 1), 1);
	expect(VIRTIO_VSOCK_OP_RW, data);
	assert_true(transmit(VIRTIO_VSOCK_OP_SHUTDOWN, 1000, 1234, 3, 65536, 7, NULL, 0));
	expect(VIRTIO_VSOCK_OP_RST, NULL);
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	close(fd);
	/* It is forgotten: the same ports can be used at once. */
	fd = guest_connects(1234, 65536);
	assert_true(transmit(VIRTIO_VSOCK_OP_RST, 1000, 1234, 0, 0, 0, NULL, 0));
	assert_int_equal(read(fd, data, 1), 0);
	close(fd);
	assert_true(transmit(VIRTIO_VSOCK_OP_RW, 1000, 1234, 0, 65536, 0, "hello", 5));
	expect(VIRTIO_VSOCK_OP_RST, NULL);
	assert_true(transmit(VIRTIO_VSOCK_OP_REQUEST, 1000, 4321, 0, 65536, 0, NULL, 0));
	expect(VIRTIO_VSOCK_OP_RST, NULL);
}

static int dial(const char *text)
{
	struct sockaddr_un a = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

static void test_host_connects(void **state)
{
	char text[64] = {0}, data[BUFFER];
	int fd = dial("CONN"), n = 0;
	struct virtio_vsock_hdr h;
	unsigned port;

	usleep(20000);
	assert_int_equal(write(fd, "ECT 77\nearly", 12), 12);
	h = expect(VIRTIO_VSOCK_OP_REQUEST, NULL);
	assert_int_equal(h.dst_port, 77);
	port = h.src_port;
	assert_true(transmit(VIRTIO_VSOCK_OP_RESPONSE, 77, port, 0, 65536, 0, NULL, 0));
	h = expect(VIRTIO_VSOCK_OP_RW, data);
	assert_int_equal(h.len, 5);
	assert_memory_equal(data, "early", 5);
	do
		read_all(fd, text + n, 1);
	while (text[n++] != '\n');
	snprintf(data, sizeof(data), "OK %u\n", port);
	assert_string_equal(text, data);
	close(fd);
	h = expect(VIRTIO_VSOCK_OP_SHUTDOWN, NULL);
	assert_int_equal(h.flags, 3);
	assert_true(transmit(VIRTIO_VSOCK_OP_RST, 77, port, 0, 0, 0, NULL, 0));

	/* Refused, and nonsense: the end, without an answer. */
	fd = dial("CONNECT 78\n");
	h = expect(VIRTIO_VSOCK_OP_REQUEST, NULL);
	assert_true(transmit(VIRTIO_VSOCK_OP_RST, 78, h.src_port, 0, 0, 0, NULL, 0));
	assert_int_equal(read(fd, text, 1), 0);
	close(fd);
	fd = dial("CONNECT x\n");
	assert_true(read(fd, text, 1) <= 0);
	close(fd);
	fd = dial("CONNECT 4294967296\n");
	assert_true(read(fd, text, 1) <= 0);
	close(fd);
}

static void test_credit_of_the_guest(void **state)
{
	char data[BUFFER], all[100];
	int fd = guest_connects(1234, 10);
	struct virtio_vsock_hdr h;

	for (unsigned i = 0; i < sizeof(all); i++)
		all[i] = (char)i;
	assert_int_equal(write(fd, all, sizeof(all)), sizeof(all));
	h = expect(VIRTIO_VSOCK_OP_RW, data);
	assert_int_equal(h.len, 10);
	assert_false(receive(&h, data, 50));
	assert_true(transmit(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, 1234, 0, 20, 5, NULL, 0));
	h = expect(VIRTIO_VSOCK_OP_RW, data);
	assert_int_equal(h.len, 15);
	assert_memory_equal(data, all + 10, 15);
	/* A window that shrinks below what is under way is none. */
	assert_true(transmit(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, 1234, 0, 2, 5, NULL, 0));
	assert_false(receive(&h, data, 50));
	close(fd);
	assert_false(receive(&h, data, 50)); /* what it sent comes before its end */
	assert_true(transmit(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, 1234, 0, 1000, 25, NULL, 0));
	h = expect(VIRTIO_VSOCK_OP_RW, data);
	assert_int_equal(h.len, 75);
	h = expect(VIRTIO_VSOCK_OP_SHUTDOWN, data);
	assert_int_equal(h.flags, 3);
	assert_true(transmit(VIRTIO_VSOCK_OP_RST, 1000, 1234, 0, 0, 0, NULL, 0));
}

static void test_credit_of_the_host(void **state)
{
	static char data[65536], got[65536];
	int fd = guest_connects(1234, 65536);
	struct virtio_vsock_hdr h = {0};
	unsigned sent = 0, window = 256 << 10, told = 0;

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7);
	/* A program that doesn't read: what fits in its socket and the window, and no more. */
	while (sent - told + sizeof(data) <= window) {
		assert_true(
			transmit(VIRTIO_VSOCK_OP_RW, 1000, 1234, 0, 65536, 0, data, sizeof(data)));
		sent += sizeof(data);
		while (receive(&h, NULL, 20)) {
			assert_int_equal(h.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
			told = h.fwd_cnt;
		}
	}
	/* It gets every byte of it. */
	for (unsigned at = 0; at < sent; at += sizeof(data)) {
		read_all(fd, got, sizeof(got));
		assert_memory_equal(got, data, sizeof(data));
	}
	while (told != sent && receive(&h, NULL, 200))
		told = h.fwd_cnt;
	assert_true(sent - told < window / 4);
	/* A guest that sends beyond its credit is cut off. */
	for (unsigned i = 0; i < 64 && h.op != VIRTIO_VSOCK_OP_RST; i++) {
		assert_true(
			transmit(VIRTIO_VSOCK_OP_RW, 1000, 1234, 0, 65536, 0, data, sizeof(data)));
		receive(&h, NULL, 5);
	}
	assert_int_equal(h.op, VIRTIO_VSOCK_OP_RST);
	close(fd);
}

/* ---- sockets of packets ---- */

static void test_messages_from_the_guest(void **state)
{
	struct virtio_vsock_hdr h;
	char data[100];
	int fd;

	type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	fd = guest_connects(1234, 65536);
	assert_true(
		transmit(VIRTIO_VSOCK_OP_RW, 1000, 1234, VIRTIO_VSOCK_SEQ_EOM, 65536, 0, "one", 3));
	assert_int_equal(recv(fd, data, sizeof(data), 0), 3);
	/* One in two packets, and another, before the program reads any. */
	assert_true(transmit(VIRTIO_VSOCK_OP_RW, 1000, 1234, 0, 65536, 0, "ab", 2));
	usleep(20000);
	assert_int_equal(recv(fd, data, sizeof(data), MSG_DONTWAIT), -1);
	assert_true(
		transmit(VIRTIO_VSOCK_OP_RW, 1000, 1234, VIRTIO_VSOCK_SEQ_EOM, 65536, 0, "cd", 2));
	assert_true(
		transmit(VIRTIO_VSOCK_OP_RW, 1000, 1234, VIRTIO_VSOCK_SEQ_EOM, 65536, 0, "x", 1));
	assert_int_equal(recv(fd, data, sizeof(data), 0), 4);
	assert_memory_equal(data, "abcd", 4);
	assert_int_equal(recv(fd, data, sizeof(data), 0), 1);
	/* A packet of a stream is none of this connection's. */
	type = VIRTIO_VSOCK_TYPE_STREAM;
	assert_true(transmit(VIRTIO_VSOCK_OP_RW, 1000, 1234, 0, 65536, 0, "ab", 2));
	h = expect(VIRTIO_VSOCK_OP_RST, NULL);
	assert_int_equal(h.type, VIRTIO_VSOCK_TYPE_STREAM);
	/* What is not a whole message is lost. */
	type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	assert_true(transmit(VIRTIO_VSOCK_OP_RW, 1000, 1234, 0, 65536, 0, "ab", 2));
	assert_true(transmit(VIRTIO_VSOCK_OP_SHUTDOWN, 1000, 1234, 3, 65536, 0, NULL, 0));
	expect(VIRTIO_VSOCK_OP_RST, NULL);
	assert_int_equal(recv(fd, data, sizeof(data), 0), 0);
	close(fd);
}

static void test_messages_that_wait(void **state)
{
	static char data[60000], got[65536];
	struct virtio_vsock_hdr h;
	unsigned sent = 0;
	int fd;

	type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	fd = guest_connects(1234, 65536);
	/* As many as fit in the program's socket and in what is kept for it. */
	for (unsigned window = 256 << 10, told = 0;
	     sent * sizeof(data) - told < window - sizeof(data); sent++) {
		data[0] = (char)sent;
		assert_true(transmit(VIRTIO_VSOCK_OP_RW, 1000, 1234, VIRTIO_VSOCK_SEQ_EOM, 65536, 0,
				     data, sizeof(data)));
		while (receive(&h, NULL, 20))
			told = h.fwd_cnt;
	}
	for (unsigned i = 0; i < sent; i++) {
		assert_int_equal(recv(fd, got, sizeof(got), 0), sizeof(data));
		assert_int_equal(got[0], (char)i);
	}
	close(fd);
}

static void test_messages_to_the_guest(void **state)
{
	const uint32_t room = BUFFER - HEADER;
	static char data[10000], big[70000];
	struct virtio_vsock_hdr h;
	char got[BUFFER];
	int fd;

	type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	fd = guest_connects(1234, 65536);
	assert_int_equal(send(fd, "one", 3, 0), 3);
	assert_int_equal(send(fd, "", 0, 0), 0); /* there is no such thing */
	assert_int_equal(send(fd, "three", 5, 0), 5);
	h = expect(VIRTIO_VSOCK_OP_RW, got);
	assert_int_equal(h.len, 3);
	assert_int_equal(h.type, VIRTIO_VSOCK_TYPE_SEQPACKET);
	assert_int_equal(h.flags, VIRTIO_VSOCK_SEQ_EOM);
	h = expect(VIRTIO_VSOCK_OP_RW, got);
	assert_int_equal(h.len, 5);
	/* In pieces, of which the last is marked. */
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 3);
	assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
	for (unsigned at = 0; at < sizeof(data); at += h.len) {
		h = expect(VIRTIO_VSOCK_OP_RW, got);
		assert_int_equal(h.len, sizeof(data) - at < room ? sizeof(data) - at : room);
		assert_int_equal(h.flags, at + h.len == sizeof(data) ? VIRTIO_VSOCK_SEQ_EOM : 0);
		assert_memory_equal(got, data + at, h.len);
	}
	/* Credit in the middle of one. */
	assert_true(transmit(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, 1234, 0, 10100, 10008, NULL, 0));
	assert_int_equal(send(fd, "four", 4, 0), 4);
	expect(VIRTIO_VSOCK_OP_RW, got);
	assert_true(transmit(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, 1234, 0, 9, 10008, NULL, 0));
	assert_int_equal(send(fd, "12345678", 8, 0), 8);
	h = expect(VIRTIO_VSOCK_OP_RW, got);
	assert_int_equal(h.len, 5);
	assert_int_equal(h.flags, 0);
	assert_false(receive(&h, got, 50));
	assert_true(transmit(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, 1234, 0, 65536, 10012, NULL, 0));
	h = expect(VIRTIO_VSOCK_OP_RW, got);
	assert_int_equal(h.len, 3);
	assert_int_equal(h.flags, VIRTIO_VSOCK_SEQ_EOM);
	/* More than the guest can ever hold. */
	assert_int_equal(send(fd, big, sizeof(big), 0), sizeof(big));
	expect(VIRTIO_VSOCK_OP_RST, NULL);
	close(fd);
}

static void test_type_of_the_listener(void **state)
{
	int listener = listen_at(1234); /* of streams */

	type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	assert_true(transmit(VIRTIO_VSOCK_OP_REQUEST, 1000, 1234, 0, 65536, 0, NULL, 0));
	expect(VIRTIO_VSOCK_OP_RST, NULL);
	type = 3;
	assert_true(transmit(VIRTIO_VSOCK_OP_REQUEST, 1000, 1234, 0, 65536, 0, NULL, 0));
	expect(VIRTIO_VSOCK_OP_RST, NULL);
	close(listener);
}

/* ---- what AF_VSOCK sockets of programs send ---- */

static int greet(int kind, uint32_t cid)
{
	struct vsock_greeting g = {.cid = cid, .port = 77, .source_port = 5000, .timeout_ms = 300};
	struct sockaddr_un a;
	int fd = socket(AF_UNIX, kind, 0), smallest = 0;
	socklen_t size = vsock_place_guest(path, cid, kind, &a);

	memcpy(g.word, VSOCK_GREETING_WORD, sizeof(g.word));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &smallest, sizeof(smallest));
	assert_int_equal(connect(fd, (struct sockaddr *)&a, size), 0);
	assert_int_equal(send(fd, &g, sizeof(g), MSG_DONTWAIT), sizeof(g));
	return fd;
}

static void expect_refusal(int fd, int error)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	struct vsock_refusal refusal;
	int is = 0;
	socklen_t size = sizeof(is);

	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_true(p.revents & POLLERR);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &is, &size), 0);
	assert_int_equal(is, ECONNRESET);
	assert_int_equal(recv(fd, &refusal, sizeof(refusal), 0), sizeof(refusal));
	assert_int_equal(refusal.error, error);
	close(fd);
}

static void test_greetings(void **state)
{
	static const int kinds[2] = {SOCK_STREAM, SOCK_SEQPACKET};
	struct pollfd p = {.events = POLLOUT};
	struct virtio_vsock_hdr h;
	char data[BUFFER];

	for (unsigned i = 0; i < 2; i++) {
		type = kinds[i] == SOCK_STREAM ? VIRTIO_VSOCK_TYPE_STREAM
					       : VIRTIO_VSOCK_TYPE_SEQPACKET;
		expect_refusal(greet(kinds[i], CID + 1), ENODEV);
		p.fd = greet(kinds[i], CID);
		h = expect(VIRTIO_VSOCK_OP_REQUEST, NULL);
		assert_int_equal(h.type, type);
		assert_int_equal(h.dst_port, 77);
		assert_int_equal(h.src_port, 5000);
		assert_int_equal(poll(&p, 1, 20), 0); /* not connected yet */
		assert_true(transmit(VIRTIO_VSOCK_OP_RESPONSE, 77, 5000, 0, 65536, 0, NULL, 0));
		assert_int_equal(poll(&p, 1, 5000), 1);
		assert_int_equal(p.revents, POLLOUT);
		assert_int_equal(send(p.fd, "data", 4, 0), 4);
		h = expect(VIRTIO_VSOCK_OP_RW, data);
		assert_int_equal(h.len, 4);
		expect_refusal(greet(kinds[i], CID), EADDRINUSE);
		close(p.fd);
		expect(VIRTIO_VSOCK_OP_SHUTDOWN, NULL);
		assert_true(transmit(VIRTIO_VSOCK_OP_RST, 77, 5000, 0, 0, 0, NULL, 0));
		/* The guest says no, or nothing. */
		p.fd = greet(kinds[i], CID);
		expect(VIRTIO_VSOCK_OP_REQUEST, NULL);
		assert_true(transmit(VIRTIO_VSOCK_OP_RST, 77, 5000, 0, 0, 0, NULL, 0));
		expect_refusal(p.fd, ECONNRESET);
		p.fd = greet(kinds[i], CID);
		expect(VIRTIO_VSOCK_OP_REQUEST, NULL);
		expect_refusal(p.fd, ETIMEDOUT);
		expect(VIRTIO_VSOCK_OP_RST, NULL);
	}
}

/* The device is there and its guest isn't. */
static void test_guest_not_running(void **state)
{
	int zero = 0;

	assert_int_equal(standin_ioctl(guest->fd, VHOST_VSOCK_SET_RUNNING, &zero), 0);
	expect_refusal(greet(SOCK_STREAM, CID), EHOSTUNREACH);
}

/* CIDs of a directory are unique, whoever has them. */
static void test_directory(void **state)
{
	struct sockaddr_un a;
	uint64_t cid = CID;
	char configuration[128], place[64];
	socklen_t size;
	int fd, other;

	snprintf(place, sizeof(place), "%s/", directory);
	snprintf(configuration, sizeof(configuration), "vsock %s", place);
	assert_int_equal(standin_start(configuration), 0);
	fd = standin_open("/dev/vhost-vsock", O_RDWR);
	assert_int_equal(standin_ioctl(fd, VHOST_SET_OWNER), 0);
	size = vsock_place_guest(place, CID, SOCK_STREAM, &a);
	other = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(other, (struct sockaddr *)&a, size), 0);
	assert_int_equal(standin_ioctl(fd, VHOST_VSOCK_SET_GUEST_CID, &cid), -1);
	assert_int_equal(errno, EADDRINUSE);
	close(other); /* which leaves the name */
	assert_int_equal(standin_ioctl(fd, VHOST_VSOCK_SET_GUEST_CID, &cid), 0);
	assert_int_equal(access(a.sun_path, F_OK), 0);
	cid++;
	assert_int_equal(standin_ioctl(fd, VHOST_VSOCK_SET_GUEST_CID, &cid), 0);
	assert_int_not_equal(access(a.sun_path, F_OK), 0);
	vsock_place_guest(place, CID + 1, SOCK_SEQPACKET, &a);
	assert_int_equal(access(a.sun_path, F_OK), 0);
	standin_close(fd);
	assert_int_not_equal(access(a.sun_path, F_OK), 0);
	standin_stop();
}

static uint64_t count(int event)
{
	uint64_t n = 0;

	return read(event, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void test_bad_addresses(void **state)
{
	struct ring *r = &guest->ring[1];
	unsigned slot = r->avail.idx % NUM;
	struct pollfd p = {.fd = r->err, .events = POLLIN};

	/* A header that isn't there. */
	r->desc[slot] = (struct vring_desc){.addr = 16, .len = HEADER};
	r->avail.ring[slot] = (uint16_t)slot;
	__atomic_store_n(&r->avail.idx, (uint16_t)(r->avail.idx + 1), __ATOMIC_RELEASE);
	kick(r);
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_true(count(r->err) > 0);
	assert_true(transmit(VIRTIO_VSOCK_OP_REQUEST, 1000, 4321, 0, 65536, 0, NULL, 0));
	expect(VIRTIO_VSOCK_OP_RST, NULL);
	/* An index beyond the ring: nothing until the driver kicks with a good one. */
	__atomic_store_n(&r->avail.idx, (uint16_t)(r->avail.idx + 1000), __ATOMIC_RELEASE);
	kick(r);
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_true(count(r->err) > 0);
	__atomic_store_n(&r->avail.idx, (uint16_t)(r->avail.idx - 1000), __ATOMIC_RELEASE);
	assert_true(transmit(VIRTIO_VSOCK_OP_REQUEST, 1000, 4321, 0, 65536, 0, NULL, 0));
	expect(VIRTIO_VSOCK_OP_RST, NULL);
}

static void test_log(void **state)
{
	static _Atomic uint8_t bitmap[64];
	uint64_t base = (uintptr_t)bitmap;

	assert_int_equal(standin_ioctl(guest->fd, VHOST_SET_LOG_BASE, &base), 0);
	set_addr(1, 1u << VHOST_VRING_F_LOG, 0x5000);
	assert_true(transmit(VIRTIO_VSOCK_OP_REQUEST, 1000, 4321, 0, 65536, 0, NULL, 0));
	expect(VIRTIO_VSOCK_OP_RST, NULL);
	for (int i = 0; i < 10000 && !bitmap[0]; i++)
		usleep(1000);
	assert_int_equal(bitmap[0], 1u << 5);
	for (unsigned i = 1; i < sizeof(bitmap); i++)
		assert_int_equal(bitmap[i], 0);
	set_addr(1, 0, 0);
}

/* A guest that says what it must not, or what makes no sense. */
static void test_nonsense(void **state)
{
	static const uint16_t ops[] = {VIRTIO_VSOCK_OP_INVALID, VIRTIO_VSOCK_OP_REQUEST,
				       VIRTIO_VSOCK_OP_RESPONSE, 8, 0xffff};
	char data[BUFFER];
	int fd = guest_connects(1234, 65536);
	struct virtio_vsock_hdr h;

	/* On a connection these change nothing. */
	for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		assert_true(transmit(ops[i], 1000, 1234, 0xffffffff, 65536, 0, "x", 1));
		assert_false(receive(&h, NULL, 20));
	}
	assert_true(transmit(VIRTIO_VSOCK_OP_RW, 1000, 1234, 0xffffffff, 65536, 0, "", 0));
	assert_true(transmit(VIRTIO_VSOCK_OP_SHUTDOWN, 1000, 1234, 0xfffffffc, 65536, 0, "", 0));
	assert_int_equal(recv(fd, data, sizeof(data), MSG_DONTWAIT), -1);
	/* It has taken more than was sent, so there is no room; then there is all room at once. */
	assert_true(transmit(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, 1234, 0, 65536, 7, NULL, 0));
	assert_int_equal(write(fd, "abc", 3), 3);
	assert_false(receive(&h, NULL, 20));
	assert_true(transmit(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 1000, 1234, 0, UINT32_MAX, 0, NULL, 0));
	h = expect(VIRTIO_VSOCK_OP_RW, data);
	assert_int_equal(h.len, 3);
	/* Answers to nobody, and of nobody's types. */
	for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		assert_true(transmit(ops[i], 1001, 1234, 0, 65536, 0, "x", 1));
		expect(VIRTIO_VSOCK_OP_RST, NULL);
	}
	type = 0xffff;
	assert_true(transmit(VIRTIO_VSOCK_OP_RW, 1000, 1234, 0, 65536, 0, "x", 1));
	expect(VIRTIO_VSOCK_OP_RST, NULL);
	/* The connection is as it was. */
	type = VIRTIO_VSOCK_TYPE_STREAM;
	assert_true(transmit(VIRTIO_VSOCK_OP_RW, 1000, 1234, 0, 65536, 3, "good", 4));
	read_all(fd, data, 4);
	assert_memory_equal(data, "good", 4);
	close(fd);
	expect(VIRTIO_VSOCK_OP_SHUTDOWN, NULL);
}

static void set_running(int on)
{
	assert_int_equal(standin_ioctl(guest->fd, VHOST_VSOCK_SET_RUNNING, &on), 0);
}

/* Rings as after a reset of the guest, which knows nothing of what was before. */
static void reboot(void)
{
	set_running(0);
	for (unsigned i = 0; i < 2; i++) {
		struct ring *r = &guest->ring[i];

		memset(&r->avail, 0, sizeof(r->avail));
		memset(&r->used, 0, sizeof(r->used));
		r->seen = 0;
		set_state(VHOST_SET_VRING_BASE, i, 0);
	}
	for (unsigned i = 0; i < NUM; i++)
		guest->ring[0].avail.ring[i] = (uint16_t)i;
	guest->ring[0].avail.idx = NUM;
	set_running(1);
}

/* Connections outlast the guest's reset until it says that it doesn't know them. */
static void test_reboot(void **state)
{
	char data[BUFFER];

	for (unsigned i = 0; i < 3; i++) {
		int fd = guest_connects(1234, 65536);

		reboot();
		assert_int_equal(recv(fd, data, sizeof(data), MSG_DONTWAIT), -1);
		assert_int_equal(errno, EAGAIN);
		assert_int_equal(write(fd, "still there?", 12), 12);
		expect(VIRTIO_VSOCK_OP_RW, data);
		assert_true(transmit(VIRTIO_VSOCK_OP_RST, 1000, 1234, 0, 0, 0, NULL, 0));
		assert_int_equal(read(fd, data, 1), 0);
		close(fd);
	}
}

/* Programs that connect, wherever the guest is at the moment, and don't wait for it. */
static void *callers(void *arg)
{
	_Atomic bool *end = arg;
	char place[64];

	snprintf(place, sizeof(place), "%s/", directory);
	for (unsigned i = 0; !*end; i++) {
		int kind = i & 2 ? SOCK_STREAM : SOCK_SEQPACKET, fd = socket(AF_UNIX, kind, 0);
		struct sockaddr_un a;
		socklen_t size = vsock_place_guest(place, CID + i % 2, kind, &a);

		if (connect(fd, (struct sockaddr *)&a, size) == 0)
			send(fd, "CONNECT 77\n", 11, MSG_NOSIGNAL | MSG_DONTWAIT);
		close(fd);
	}
	return NULL;
}

static void test_cid_changes_under_load(void **state)
{
	_Atomic bool end = false;
	char configuration[128], place[64];
	struct sockaddr_un a;
	pthread_t thread;
	uint64_t cid;
	int fd;

	snprintf(place, sizeof(place), "%s/", directory);
	snprintf(configuration, sizeof(configuration), "vsock %s", place);
	assert_int_equal(standin_start(configuration), 0);
	fd = standin_open("/dev/vhost-vsock", O_RDWR);
	assert_int_equal(standin_ioctl(fd, VHOST_SET_OWNER), 0);
	pthread_create(&thread, NULL, callers, &end);
	for (unsigned i = 0; i < 200; i++) {
		cid = CID + i % 2;
		assert_int_equal(standin_ioctl(fd, VHOST_VSOCK_SET_GUEST_CID, &cid), 0);
		usleep(200);
	}
	end = true;
	pthread_join(thread, NULL);
	standin_close(fd);
	for (unsigned i = 0; i < 4; i++) {
		vsock_place_guest(place, CID + i % 2, i & 2 ? SOCK_STREAM : SOCK_SEQPACKET, &a);
		assert_int_not_equal(access(a.sun_path, F_OK), 0);
	}
	standin_stop();
}

/* What QEMU does while a guest runs: eventfds, the memory table. */
static void *changes(void *arg)
{
	_Atomic bool *end = arg;
	int event = eventfd(0, EFD_NONBLOCK);

	while (!*end) {
		set_file(VHOST_SET_VRING_CALL, 0, event);
		set_memory();
		set_file(VHOST_SET_VRING_CALL, 0, guest->ring[0].call);
		set_file(VHOST_SET_VRING_KICK, 1, guest->ring[1].kick);
		set_state(VHOST_SET_VRING_BUSYLOOP_TIMEOUT, 0, 50);
		set_state(VHOST_SET_VRING_BUSYLOOP_TIMEOUT, 0, 0);
		usleep(100);
	}
	close(event);
	return NULL;
}

static void test_changes_under_load(void **state)
{
	_Atomic bool end = false;
	char data[1000] = {1}, got[1000];
	pthread_t thread;
	int fd = guest_connects(1234, 1 << 20);
	struct virtio_vsock_hdr h;
	unsigned received = 0;

	pthread_create(&thread, NULL, changes, &end);
	for (unsigned i = 0; i < 100; i++) {
		data[1] = (char)i;
		assert_true(transmit(VIRTIO_VSOCK_OP_RW, 1000, 1234, 0, 1 << 20, received, data,
				     sizeof(data)));
		read_all(fd, got, sizeof(got));
		assert_memory_equal(got, data, sizeof(data));
		assert_int_equal(write(fd, got, sizeof(got)), sizeof(got));
		received += sizeof(got);
		do
			assert_true(receive(&h, NULL, 5000));
		while (h.op == VIRTIO_VSOCK_OP_CREDIT_UPDATE);
		assert_int_equal(h.op, VIRTIO_VSOCK_OP_RW);
		assert_int_equal(h.len, sizeof(got));
	}
	end = true;
	pthread_join(thread, NULL);
	close(fd);
	expect(VIRTIO_VSOCK_OP_SHUTDOWN, NULL);
}

/* A process with a device that is killed: programs hear so, and the next one takes its place. */
static void test_killed(void **state)
{
	int ready[2], fd;
	char byte;
	pid_t child;

	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		setup(state);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	snprintf(path, sizeof(path), "%s/guest", directory);
	fd = dial("CONNECT 77\n");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_true(read(fd, &byte, 1) <= 0);
	close(fd);
	assert_int_equal(access(path, F_OK), 0);
	setup(state);
	fd = dial("CONNECT 77\n");
	expect(VIRTIO_VSOCK_OP_REQUEST, NULL);
	close(fd);
	teardown(state);
	close(ready[0]);
	close(ready[1]);
}

/* A file of another kind where the socket should be is somebody's. */
static void test_file_in_the_way(void **state)
{
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/guest", directory);
	fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);
	assert_int_equal(write(fd, "mine", 4), 4);
	close(fd);
	setup(state);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_size, 4);
	unlink(path);
	teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_guest_connects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_host_connects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_credit_of_the_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_credit_of_the_host, setup, teardown),
		cmocka_unit_test_setup_teardown(test_messages_from_the_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_messages_that_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_messages_to_the_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_type_of_the_listener, setup, teardown),
		cmocka_unit_test_setup_teardown(test_greetings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_not_running, setup, teardown),
		cmocka_unit_test(test_directory),
		cmocka_unit_test_setup_teardown(test_bad_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reboot, setup, teardown),
		cmocka_unit_test(test_cid_changes_under_load),
		cmocka_unit_test_setup_teardown(test_log, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changes_under_load, setup, teardown),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_file_in_the_way),
	};
	char command[96];
	int failed;

	if (!mkdtemp(directory))
		return 99;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command) ? 99 : failed;
}
