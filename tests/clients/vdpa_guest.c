/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In a guest whose network device gives back what is sent: sends frames of all lengths and
 * says how many came back as they were, and in order.
 *
 *	vdpa_guest INTERFACE FRAMES
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
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

	while (poll(&p, 1, 5000) > 0) {
		length = sizeof(from);
		n = recvfrom(fd, frame, size, 0, (struct sockaddr *)&from, &length);
		if (n > 0 && from.sll_pkttype != PACKET_OUTGOING)
			return n;
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint32_t frames = (uint32_t)atoi(argv[2]), sent = 0, received = 0, same = 0;
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(TYPE)};
	uint8_t frame[2048], expected[2048];
	struct ifreq request = {0};
	int fd = socket(AF_PACKET, SOCK_RAW, htons(TYPE));

	strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request) < 0) {
		perror("interface");
		return 1;
	}
	to.sll_ifindex = (int)if_nametoindex(argv[1]);
	if (bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror("bind");
		return 1;
	}
	while (received < frames) {
		ssize_t n;

		while (sent < frames && sent - received < WINDOW) {
			make(frame, (uint8_t *)request.ifr_hwaddr.sa_data, sent);
			if (send(fd, frame, length_of(sent), 0) < 0)
				break;
			sent++;
		}
		n = receive(fd, frame, sizeof(frame));
		if (!n)
			break;
		make(expected, (uint8_t *)request.ifr_hwaddr.sa_data, received);
		same += (size_t)n == length_of(received) && !memcmp(frame, expected, (size_t)n);
		received++;
	}
	printf("FRAMES sent %u received %u same %u\n", sent, received, same);
	return 0;
}
