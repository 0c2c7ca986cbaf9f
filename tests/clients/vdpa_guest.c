/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In a guest whose network device gives back what is sent: sends frames of all lengths and
 * says how many came back as they were, and in order.  The frames are shared among the
 * processors, one after the other: each has a queue of its own if the device has several, and
 * frames of different queues may overtake each other.
 *
 *	vdpa_guest INTERFACE FRAMES
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TYPE   0x88b5 /* for experiments */
#define WINDOW 32u    /* frames on their way */

static unsigned length_of(uint32_t n)
{
	return 60 + n * 37 % 1455;
}

static void make(uint8_t *frame, const uint8_t address[6], uint32_t n)
{
	memcpy(frame, address, 6);
	memcpy(frame + 6, address, 6);
	frame[12] = TYPE >> 8;
	frame[13] = TYPE & 0xff;
	memcpy(frame + 14, &n, sizeof(n));
	for (unsigned i = 18; i < length_of(n); i++)
		frame[i] = (uint8_t)(n + i * 3);
}

/* The next frame that is not one that we see go out; 0: none comes. */
static ssize_t receive(int fd, uint8_t *frame, size_t size)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct sockaddr_ll from;
	socklen_t length;
	ssize_t n;

	while (poll(&p, 1, 30000) > 0) {
		length = sizeof(from);
		n = recvfrom(fd, frame, size, 0, (struct sockaddr *)&from, &length);
		if (n > 0 && from.sll_pkttype != PACKET_OUTGOING)
			return n;
	}
	return 0;
}

static void move_to(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

struct run {
	int fd;
	uint8_t address[6];
	uint32_t sent, received, same;
};

/* Until as many frames have come; false: no more come. */
static bool go_round(struct run *r, uint32_t until)
{
	uint8_t frame[2048], expected[2048];

	while (r->received < until) {
		ssize_t n;

		while (r->sent < until && r->sent - r->received < WINDOW) {
			make(frame, r->address, r->sent);
			if (send(r->fd, frame, length_of(r->sent), 0) < 0)
				break;
			r->sent++;
		}
		n = receive(r->fd, frame, sizeof(frame));
		if (!n)
			return false;
		make(expected, r->address, r->received);
		r->same +=
			(size_t)n == length_of(r->received) && !memcmp(frame, expected, (size_t)n);
		r->received++;
	}
	return true;
}

int main(int argc, char **argv)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(TYPE)};
	unsigned cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	struct run r = {.fd = socket(AF_PACKET, SOCK_RAW, htons(TYPE))};
	uint32_t frames = (uint32_t)atoi(argv[2]);
	struct ifreq request = {0};

	strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
	if (r.fd < 0 || ioctl(r.fd, SIOCGIFHWADDR, &request) < 0) {
		perror("interface");
		return 1;
	}
	memcpy(r.address, request.ifr_hwaddr.sa_data, sizeof(r.address));
	to.sll_ifindex = (int)if_nametoindex(argv[1]);
	if (bind(r.fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror("bind");
		return 1;
	}
	for (unsigned cpu = 0; cpu < cpus; cpu++) {
		move_to(cpu);
		if (!go_round(&r, frames * (cpu + 1) / cpus))
			break;
	}
	printf("FRAMES sent %u received %u same %u\n", r.sent, r.received, r.same);
	return 0;
}
