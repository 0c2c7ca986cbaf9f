/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost_net_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include <standin/standin.h>

#include "uapi/tun.h"

#define PROTOCOL 0x88b5 /* local experiments */
#define LONG_MS  5000   /* until something is taken for lost */

static bool own_network; /* and with it taps and packet sockets */

/* ---- the guest ---- */

static int vhost(struct guest *g, unsigned long cmd, void *arg)
{
	return standin_ioctl(g->fd, cmd, arg) ? -errno : 0;
}

static void set_state(struct guest *g, unsigned long cmd, unsigned ring, unsigned num)
{
	struct vhost_vring_state s = {.index = ring, .num = num};

	assert_int_equal(vhost(g, cmd, &s), 0);
}

static int set_file(struct guest *g, unsigned long cmd, unsigned ring, int fd)
{
	struct vhost_vring_file file = {.index = ring, .fd = fd};

	return vhost(g, cmd, &file);
}

int guest_backend(struct guest *g, unsigned ring, int fd)
{
	return set_file(g, VHOST_NET_SET_BACKEND, ring, fd);
}

static void set_ring(struct guest *g, unsigned index)
{
	struct net_ring *r = &g->ring[index];
	struct vhost_vring_addr a = {.index = index,
				     .desc_user_addr = (uintptr_t)r->desc,
				     .avail_user_addr = (uintptr_t)&r->avail,
				     .used_user_addr = (uintptr_t)&r->used};

	set_state(g, VHOST_SET_VRING_NUM, index, NUM);
	set_state(g, VHOST_SET_VRING_BASE, index, 0);
	assert_int_equal(vhost(g, VHOST_SET_VRING_ADDR, &a), 0);
}

struct guest *guest_create(uint64_t features)
{
	struct {
		struct vhost_memory head;
		struct vhost_memory_region region;
	} memory = {{.nregions = 1}, {.memory_size = UINT64_C(0x7ffffffff000)}};
	struct guest *g = aligned_alloc(4096, (sizeof(*g) + 4095) & ~4095ul);

	assert_non_null(g);
	memset(g, 0, sizeof(*g));
	g->features = features;
	g->header = features & (MERGEABLE | VERSION_1) ? 12 : 10;
	g->fd = standin_open("/dev/vhost-net", O_RDWR);
	assert_true(g->fd >= 0);
	assert_int_equal(vhost(g, VHOST_SET_OWNER, NULL), 0);
	assert_int_equal(vhost(g, VHOST_SET_FEATURES, &features), 0);
	assert_int_equal(vhost(g, VHOST_SET_MEM_TABLE, &memory), 0);
	for (unsigned i = 0; i < 2; i++) {
		struct net_ring *r = &g->ring[i];

		set_ring(g, i);
		r->kick = eventfd(0, EFD_NONBLOCK);
		r->call = eventfd(0, EFD_NONBLOCK);
		r->err = eventfd(0, EFD_NONBLOCK);
		assert_int_equal(set_file(g, VHOST_SET_VRING_KICK, i, r->kick), 0);
		assert_int_equal(set_file(g, VHOST_SET_VRING_CALL, i, r->call), 0);
		assert_int_equal(set_file(g, VHOST_SET_VRING_ERR, i, r->err), 0);
	}
	return g;
}

void guest_destroy(struct guest *g)
{
	standin_close(g->fd);
	for (unsigned i = 0; i < 2; i++) {
		close(g->ring[i].kick);
		close(g->ring[i].call);
		close(g->ring[i].err);
	}
	free(g);
}

void guest_reset_ring(struct guest *g, unsigned index)
{
	struct net_ring *r = &g->ring[index];

	assert_int_equal(guest_backend(g, index, -1), 0);
	memset(r->desc, 0, sizeof(r->desc));
	memset(&r->avail, 0, sizeof(r->avail));
	memset(&r->used, 0, sizeof(r->used));
	r->next = r->seen = 0;
	set_ring(g, index);
}

unsigned guest_settle(struct guest *g, unsigned ring)
{
	struct vhost_vring_state s = {.index = ring};

	assert_int_equal(vhost(g, VHOST_GET_VRING_BASE, &s), 0);
	return s.num;
}

/* ---- rings ---- */

unsigned ring_add(struct net_ring *r, const uint32_t *sizes, unsigned n, bool write)
{
	unsigned head = r->next;

	for (unsigned i = 0; i < n; i++) {
		unsigned at = r->next;

		r->next = (at + 1) % NUM;
		r->desc[at] = (struct vring_desc){
			.addr = (uintptr_t)r->area[at],
			.len = sizes[i],
			.flags = (uint16_t)((write ? VRING_DESC_F_WRITE : 0) |
					    (i + 1 < n ? VRING_DESC_F_NEXT : 0)),
			.next = (uint16_t)r->next};
	}
	r->avail.ring[r->avail.idx % NUM] = (uint16_t)head;
	__atomic_store_n(&r->avail.idx, (uint16_t)(r->avail.idx + 1), __ATOMIC_RELEASE);
	return head;
}

/* Copies `size` bytes from a chain, as far as it goes; returns how much that was. */
static size_t chain_read(const struct net_ring *r, unsigned head, void *data, size_t size)
{
	size_t done = 0;

	for (unsigned at = head; done < size; at = r->desc[at].next) {
		size_t part = r->desc[at].len;

		if (part > size - done)
			part = size - done;
		memcpy((char *)data + done, r->area[at], part);
		done += part;
		if (!(r->desc[at].flags & VRING_DESC_F_NEXT))
			break;
	}
	return done;
}

void ring_kick(struct net_ring *r)
{
	uint64_t one = 1;

	assert_int_equal(write(r->kick, &one, sizeof(one)), sizeof(one));
}

bool ring_used(struct net_ring *r, struct vring_used_elem *ret_element)
{
	for (int i = 0; i < LONG_MS * 10; i++) {
		if (__atomic_load_n(&r->used.idx, __ATOMIC_ACQUIRE) != r->seen) {
			*ret_element = r->used.ring[r->seen++ % NUM];
			return true;
		}
		usleep(100);
	}
	return false;
}

unsigned signals(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? (unsigned)n : 0;
}

bool signalled(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, LONG_MS) == 1 && signals(fd);
}

/* ---- packets ---- */

void make_frame(void *frame, size_t size, unsigned seed)
{
	uint8_t *bytes = frame;

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(seed * 31 + i * 7 + i / 256);
	memset(bytes, 2, 2 * ETH_ALEN);
	bytes[2 * ETH_ALEN] = PROTOCOL >> 8;
	bytes[2 * ETH_ALEN + 1] = PROTOCOL & 0xff;
}

void guest_send(struct guest *g, const void *frame, const uint32_t *sizes, unsigned n)
{
	struct net_ring *r = &g->ring[TX];
	static char packet[12 + FRAME_MAX];
	size_t size = 0;
	unsigned head;

	for (unsigned i = 0; i < n; i++)
		size += sizes[i];
	memset(packet, 0, g->header);
	memcpy(packet + g->header, frame, size - g->header);
	/* The device may have it as soon as it is added. */
	head = r->next;
	for (unsigned i = 0, at = head, done = 0; i < n; i++, at = (at + 1) % NUM) {
		memcpy(r->area[at], packet + done, sizes[i]);
		done += sizes[i];
	}
	assert_int_equal(ring_add(r, sizes, n, false), head);
	ring_kick(r);
}

void guest_give(struct guest *g, const uint32_t *sizes, unsigned n)
{
	ring_add(&g->ring[RX], sizes, n, true);
	ring_kick(&g->ring[RX]);
}

long guest_receive(struct guest *g, void *frame, struct virtio_net_hdr *ret_header,
		   unsigned *ret_chains)
{
	static char packet[12 + FRAME_MAX];
	struct net_ring *r = &g->ring[RX];
	struct vring_used_elem e;
	uint16_t count = 1;
	size_t size;

	if (!ring_used(r, &e))
		return -1;
	size = chain_read(r, e.id, packet, e.len);
	assert_int_equal(size, e.len);
	if (g->header == 12)
		memcpy(&count, packet + 10, sizeof(count));
	for (unsigned i = 1; i < count; i++) {
		assert_true(ring_used(r, &e));
		assert_int_equal(chain_read(r, e.id, packet + size, e.len), e.len);
		size += e.len;
	}
	if (ret_header)
		memcpy(ret_header, packet, sizeof(*ret_header));
	if (ret_chains)
		*ret_chains = count;
	memcpy(frame, packet + g->header, size - g->header);
	return (long)(size - g->header);
}

/* ---- wires ---- */

static short tap_flags(uint32_t header)
{
	return (short)(IFF_TAP | IFF_NO_PI | (header ? IFF_VNET_HDR : 0));
}

static int standin_tap_open(uint32_t header)
{
	struct ifreq request = {.ifr_flags = tap_flags(header)};
	int fd = standin_open("/dev/net/tun", O_RDWR | O_NONBLOCK);

	assert_true(fd >= 0);
	assert_int_equal(standin_ioctl(fd, TUNSETIFF, &request), 0);
	if (header)
		assert_int_equal(standin_ioctl(fd, TUNSETVNETHDRSZ, &header), 0);
	return fd;
}

static void standin_tap_close(int fd)
{
	standin_close(fd);
}

static void standin_tap_put(int fd, uint32_t header, const void *frame, size_t size)
{
	char packet[12 + FRAME_MAX] = {0};

	memcpy(packet + header, frame, size);
	assert_int_equal(standin_write(fd, packet, header + size), header + size);
}

static long standin_tap_get(int fd, uint32_t header, void *frame)
{
	char packet[12 + FRAME_MAX];
	long n = -1;

	for (int i = 0; n < 0 && i < LONG_MS; i++) {
		n = standin_read(fd, packet, sizeof(packet));
		if (n < 0)
			usleep(1000);
	}
	if (n < 0)
		return -1;
	memcpy(frame, packet + header, (size_t)n - header);
	return n - header;
}

/* A packet socket on an interface, which hears nothing that is sent there by others of the host. */
static int packet_socket(const char *interface, bool hears)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET,
				      .sll_protocol = hears ? htons(ETH_P_ALL) : 0,
				      .sll_ifindex = (int)if_nametoindex(interface)};
	int fd = socket(AF_PACKET, SOCK_RAW, 0), one = 1;

	assert_true(fd >= 0);
	if (hears)
		assert_int_equal(
			setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void set_up(const char *interface)
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(request.ifr_name, interface);
	request.ifr_mtu = 60000;
	assert_int_equal(ioctl(fd, SIOCSIFMTU, &request), 0);
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
	request.ifr_flags |= IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
}

/* The host's socket of the wire that is open: there is one at a time. */
static int host = -1;

static void host_put(int fd, uint32_t header, const void *frame, size_t size)
{
	(void)fd, (void)header;
	assert_int_equal(send(host, frame, size, 0), size);
}

/* What else the kernel has to say is none of the test's. */
static long host_get(int fd, uint32_t header, void *frame)
{
	struct pollfd p = {.fd = host, .events = POLLIN};
	const uint8_t *bytes = frame;
	long n;

	(void)fd, (void)header;
	do {
		if (poll(&p, 1, LONG_MS) != 1)
			return -1;
		n = recv(host, frame, FRAME_MAX, MSG_DONTWAIT);
	} while (n < 14 || bytes[12] != PROTOCOL >> 8 || bytes[13] != (PROTOCOL & 0xff));
	return n;
}

static void host_close(int fd)
{
	close(fd);
	close(host);
}

/* Without IPv6, which would have something to say on an interface that comes up. */
static void set_no_ipv6(void)
{
	int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY);

	if (fd < 0)
		return;
	assert_int_equal(write(fd, "1", 1), 1);
	close(fd);
}

static int tap_open(uint32_t header)
{
	struct ifreq request = {.ifr_flags = tap_flags(header)};
	int fd = own_network ? open("/dev/net/tun", O_RDWR | O_NONBLOCK) : -1;

	if (fd < 0)
		return -1;
	assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
	if (header)
		assert_int_equal(ioctl(fd, TUNSETVNETHDRSZ, &header), 0);
	set_up(request.ifr_name);
	host = packet_socket(request.ifr_name, true);
	return fd;
}

static int lo_open(uint32_t header)
{
	(void)header;
	if (!own_network)
		return -1;
	set_up("lo");
	host = packet_socket("lo", true);
	return packet_socket("lo", true);
}

const struct wire wires[WIRES] = {
	{"stood-in tap", true, standin_tap_open, standin_tap_close, standin_tap_put,
	 standin_tap_get},
	{"tap", true, tap_open, host_close, host_put, host_get},
	{"packet socket", false, lo_open, host_close, host_put, host_get},
};

static bool unshare_network(void)
{
	char map[64];
	unsigned uid = getuid();
	int fd;

	if (unshare(CLONE_NEWNET) == 0)
		return true;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return false;
	fd = open("/proc/self/uid_map", O_WRONLY);
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	assert_int_equal(write(fd, map, strlen(map)), strlen(map));
	close(fd);
	return true;
}

int net_start(void **state)
{
	own_network = unshare_network();
	if (own_network)
		set_no_ipv6();
	else
		print_message("SKIP: no network namespace, no wires of the kernel's\n");
	return standin_start("net loopback");
}

int net_stop(void **state)
{
	standin_stop();
	return 0;
}
