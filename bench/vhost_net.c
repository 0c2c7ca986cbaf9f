/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What /dev/vhost-net moves to and from a tap, beside write(2) and read(2) on the same tap: all
 * that a packet costs a program that has no part in the kernel.  Prints NAME VALUE lines:
 *nanoseconds a packet, the median of ROUNDS rounds, which alternate.
 *
 *	bench-vhost-net tap SIZE	write, read, tx, rx, on a tap of the kernel's
 *	bench-vhost-net null SIZE	tx alone, on a tap that drops everything
 *	bench-vhost-net loop SIZE	loop: to a tap that sends everything back, and from it
 *
 * Packets have no protocol that anybody wants: the kernel drops them.  To be read, they are
 * put into the tap beforehand, so that who sends them is not measured.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vhost_driver.h"

#define ROUNDS  9
#define PACKETS 8192u /* a round */
#define NUM     256u
#define BATCH   32u  /* made available at once */
#define WAIT    192u /* used chains that are waited for, as Linux's driver does */
#define HEADER  sizeof(struct virtio_net_hdr_v1)
#define ROOM    2048u
#define RX      0u
#define TX      1u

static int tap, vhost, host;
static char name[IFNAMSIZ];
static size_t size; /* of a packet, without a header */
static char *buffers, packet[HEADER + ROOM];
static struct driver_ring rings[2];
static cpu_set_t cpus[2]; /* the driver's, the worker's */

/* ---- the tap ---- */

static void set_ipv6(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return;
	need(write(fd, "1", 1) == 1, path);
	close(fd);
}

static void open_tap(void)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int header = HEADER;

	tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	need(tap >= 0, "/dev/net/tun");
	need(ioctl(tap, TUNSETIFF, &request) == 0, "TUNSETIFF");
	memcpy(name, request.ifr_name, sizeof(name));
	need(ioctl(tap, TUNSETVNETHDRSZ, &header) == 0, "TUNSETVNETHDRSZ");
}

/*
 * Has the interface up, with packets that are big enough and room for those of a round.  By
 * netlink, since the ioctl for the latter is root's alone, also in a network namespace of one's
 * own.
 */
static void set_interface(unsigned index)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg link;
		struct {
			struct rtattr head;
			uint32_t value;
		} mtu, queue;
	} request = {
		.head = {.nlmsg_len = sizeof(request),
			 .nlmsg_type = RTM_NEWLINK,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.link = {.ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP},
		.mtu = {{sizeof(request.mtu), IFLA_MTU}, ROOM - ETH_HLEN},
		.queue = {{sizeof(request.queue), IFLA_TXQLEN}, 2 * PACKETS},
	};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char rest[256];
	} answer;
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	need(s >= 0 && send(s, &request, sizeof(request), 0) == sizeof(request), "netlink");
	need(recv(s, &answer, sizeof(answer), 0) > 0, "netlink");
	errno = -answer.error.error;
	need(errno == 0, "the interface");
	close(s);
}

/* The host's side of the tap. */
static void open_host(void)
{
	unsigned index = if_nametoindex(name);
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)index};
	int one = 1;

	set_ipv6();
	set_interface(index);
	host = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	need(host >= 0, "AF_PACKET");
	need(setsockopt(host, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) == 0,
	     "PACKET_QDISC_BYPASS");
	need(bind(host, (struct sockaddr *)&address, sizeof(address)) == 0, "bind");
}

static void put_packets(void)
{
	for (unsigned i = 0; i < PACKETS; i++)
		need(send(host, packet + HEADER, size, 0) == (ssize_t)size, "send");
}

/* Packets, by the interface's count. */
static long received_by_host(void)
{
	FILE *f = fopen("/proc/self/net/dev", "r");
	size_t length = strlen(name);
	char line[512];
	long n = -1;

	need(f, "/proc/self/net/dev");
	while (n < 0 && fgets(line, sizeof(line), f)) {
		const char *at = line + strspn(line, " ");

		if (!strncmp(at, name, length) && at[length] == ':')
			sscanf(at + length + 1, "%*d %ld", &n);
	}
	fclose(f);
	return n;
}

/* ---- a round of each: nanoseconds a packet ---- */

static char *buffer(unsigned ring, unsigned slot)
{
	return buffers + (size_t)(ring * NUM + slot) * ROOM;
}

static double by_write(void)
{
	double start;

	run_on(&cpus[1]);
	start = now_ns();
	for (unsigned i = 0; i < PACKETS; i++)
		need(write(tap, buffer(TX, i % NUM), HEADER + size) == (ssize_t)(HEADER + size),
		     "write");
	start = (now_ns() - start) / PACKETS;
	run_on(&cpus[0]);
	return start;
}

static double by_read(void)
{
	double start;

	put_packets();
	run_on(&cpus[1]);
	start = now_ns();
	for (unsigned i = 0; i < PACKETS; i++)
		need(read(tap, buffer(RX, i % NUM), ROOM) == (ssize_t)(HEADER + size), "read");
	start = (now_ns() - start) / PACKETS;
	run_on(&cpus[0]);
	return start;
}

static void set_backend(unsigned index, int fd)
{
	struct vhost_vring_file file = {.index = index, .fd = fd};

	need(ioctl(vhost, VHOST_NET_SET_BACKEND, &file) == 0, "VHOST_NET_SET_BACKEND");
}

/* Takes what is used, at most `max`; with `room` it is that each chain must have been filled to. */
static unsigned take(struct driver_ring *r, unsigned max, size_t room)
{
	unsigned n = driver_ring_used(r);

	if (n > max)
		n = max;
	for (unsigned i = 0; i < n; i++, r->seen++)
		need(r->vring.used->ring[r->seen % NUM].len == room, "the size of a chain used");
	return n;
}

/* Sends what there is room for of `n`. */
static unsigned give_tx(struct driver_ring *r, unsigned n)
{
	unsigned given = 0, room = NUM - (uint16_t)(r->avail - r->seen);
	uint16_t before = r->avail;

	if (room > n)
		room = n;
	for (given = 0; given < room; given++) {
		unsigned slot = r->avail % NUM;

		memcpy(buffer(TX, slot), packet, HEADER + 64);
		driver_ring_add(r, slot, buffer(TX, slot), HEADER + size, false);
		if ((uint16_t)(r->avail - before) == BATCH) {
			driver_ring_publish(r, before);
			before = r->avail;
		}
	}
	driver_ring_publish(r, before);
	return given;
}

static double by_tx(void)
{
	struct driver_ring *r = &rings[TX];
	unsigned given = 0, used = 0;
	double start = now_ns();

	while (used < PACKETS) {
		given += give_tx(r, PACKETS - given);
		driver_ring_wait(r, given - used < WAIT ? given - used : WAIT);
		used += take(r, NUM, 0);
	}
	return (now_ns() - start) / PACKETS;
}

static void give_rx(struct driver_ring *r)
{
	uint16_t before = r->avail;

	while ((uint16_t)(r->avail - r->seen) < NUM) {
		unsigned slot = r->avail % NUM;

		driver_ring_add(r, slot, buffer(RX, slot), ROOM, true);
	}
	driver_ring_publish(r, before);
}

static double by_rx(void)
{
	struct driver_ring *r = &rings[RX];
	unsigned used = 0;
	double start;

	put_packets();
	start = now_ns();
	set_backend(RX, tap);
	while (used < PACKETS) {
		unsigned left = PACKETS - used;

		give_rx(r);
		driver_ring_wait(r, left < WAIT ? left : WAIT);
		used += take(r, left, HEADER + size);
	}
	start = (now_ns() - start) / PACKETS;
	set_backend(RX, -1);
	return start;
}

/* What is sent comes back: both directions at once. */
static double by_loop(void)
{
	struct driver_ring *rx = &rings[RX], *tx = &rings[TX];
	unsigned given = 0, back = 0, used = 0, n;
	double start = now_ns();

	while (back < PACKETS) {
		give_rx(rx);
		n = PACKETS - given;
		given += give_tx(tx, n < NUM - (given - back) ? n : NUM - (given - back));
		n = given - back;
		driver_ring_wait(rx, n < WAIT ? n : WAIT);
		back += take(rx, n, HEADER + size);
		used += take(tx, NUM, 0);
	}
	driver_ring_wait(tx, given - used);
	take(tx, NUM, 0);
	return (now_ns() - start) / PACKETS;
}

/* ---- */

static void open_vhost(void)
{
	run_on(&cpus[1]);
	vhost = driver_open("/dev/vhost-net", UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF);
	run_on(&cpus[0]);
	for (unsigned i = 0; i < 2; i++)
		driver_ring_init(&rings[i], vhost, i, NUM);
	set_backend(TX, tap);
	give_rx(&rings[RX]);
}

/* Runs each of the functions in turn. */
static void measure(const char *const *names, double (*const *rounds)(void), unsigned n)
{
	double times[4][ROUNDS];

	for (unsigned i = 0; i < n; i++)
		rounds[i]();
	for (int round = 0; round < ROUNDS; round++)
		for (unsigned i = 0; i < n; i++)
			times[i][round] = rounds[i]();
	for (unsigned i = 0; i < n; i++)
		printf("%s %.1f\n", names[i], median(times[i], ROUNDS));
}

static void measure_tap(void)
{
	const char *const names[] = {"write", "read", "tx", "rx"};
	double (*const rounds[])(void) = {by_write, by_read, by_tx, by_rx};
	long before;

	open_host();
	before = received_by_host();
	measure(names, rounds, 4);
	need(received_by_host() - before >= 2 * (ROUNDS + 1) * (long)PACKETS, "packets sent");
}

static void measure_null(void)
{
	measure((const char *[]){"tx"}, (double (*[])(void)){by_tx}, 1);
}

static void measure_loop(void)
{
	set_backend(RX, tap);
	measure((const char *[]){"loop"}, (double (*[])(void)){by_loop}, 1);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} modes[] = {{"tap", measure_tap}, {"null", measure_null}, {"loop", measure_loop}};
	struct ether_header *ether = (struct ether_header *)(packet + HEADER);
	unsigned mode = 0;

	size = argc == 3 ? (size_t)atoi(argv[2]) : 0;
	while (size && mode < 3 && strcmp(argv[1], modes[mode].name))
		mode++;
	if (size < 64 || size > ROOM - HEADER || mode == 3) {
		fprintf(stderr, "usage: bench-vhost-net tap|null|loop SIZE\n");
		return 2;
	}
	memset(ether->ether_dhost, 0x06, ETH_ALEN);
	memset(ether->ether_shost, 0x02, ETH_ALEN);
	ether->ether_type = htons(0x88b5); /* local experiments */
	choose_cpus(cpus);
	run_on(&cpus[0]);
	buffers = memory_get((size_t)2 * NUM * ROOM);
	for (unsigned i = 0; i < NUM; i++)
		memcpy(buffer(TX, i), packet, HEADER + size);
	open_tap();
	open_vhost();
	modes[mode].run();
	return 0;
}
