/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest's side of vsock.sh, and all that runs there besides busybox.
 *
 *	vsock_guest listen PORT		serves every connection in turn: echoes until its end
 *	vsock_guest messages PORT	the same with sockets of packets: message by message
 *	vsock_guest echo PORT SIZE	connects to the host, sends SIZE bytes while it reads them
 *					back, prints "echoed SIZE" if they are the same
 *	vsock_guest refused PORT	connects and prints what connect() answers
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static char out[65536], in[262144];

static int vsock(int type)
{
	int fd = socket(AF_VSOCK, type, 0);

	if (fd < 0) {
		perror("socket");
		exit(1);
	}
	return fd;
}

static int dial(unsigned port)
{
	struct sockaddr_vm to = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST,
				 .svm_port = port};
	int fd = vsock(SOCK_STREAM);

	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	printf("connect: %s\n", strerrorname_np(errno));
	close(fd);
	return -1;
}

static int listen_loop(unsigned port, int type)
{
	struct sockaddr_vm at = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY,
				 .svm_port = port};
	int listener = vsock(type), fd;
	ssize_t n, done, w;

	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) || listen(listener, 64)) {
		perror("bind");
		return 1;
	}
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		while ((n = read(fd, in, sizeof(in))) > 0)
			for (done = 0; done < n; done += w)
				if ((w = write(fd, in + done, (size_t)(n - done))) <= 0)
					break;
		close(fd);
	}
	return 1;
}

static unsigned char byte_at(uint64_t at)
{
	return (unsigned char)(at * 2654435761u >> 13);
}

static int echo(unsigned port, uint64_t size)
{
	uint64_t sent = 0, got = 0;
	int fd = dial(port);

	if (fd < 0)
		return 1;
	while (got < size) {
		struct pollfd p = {.fd = fd, .events = POLLIN | (sent < size ? POLLOUT : 0)};
		size_t want = size - sent < sizeof(out) ? (size_t)(size - sent) : sizeof(out);
		ssize_t n;

		if (poll(&p, 1, 30000) != 1) {
			printf("stuck: sent %llu, got %llu\n", (unsigned long long)sent,
			       (unsigned long long)got);
			return 1;
		}
		if (p.revents & POLLIN) {
			n = recv(fd, in, sizeof(in), MSG_DONTWAIT);
			if (n <= 0) {
				printf("recv: %zd %s\n", n, strerrorname_np(errno));
				return 1;
			}
			for (ssize_t i = 0; i < n; i++)
				if ((unsigned char)in[i] != byte_at(got + (uint64_t)i)) {
					printf("wrong at %llu\n", (unsigned long long)got);
					return 1;
				}
			got += (uint64_t)n;
		}
		if ((p.revents & POLLOUT) && want) {
			for (size_t i = 0; i < want; i++)
				out[i] = (char)byte_at(sent + i);
			n = send(fd, out, want, MSG_DONTWAIT);
			if (n > 0)
				sent += (uint64_t)n;
			if (sent == size)
				shutdown(fd, SHUT_WR);
		}
	}
	printf("echoed %llu\n", (unsigned long long)got);
	printf("end %zd\n", read(fd, in, 1));
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned port = argc > 2 ? (unsigned)atoi(argv[2]) : 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 3 && strcmp(argv[1], "echo") == 0)
		return echo(port, strtoull(argv[3], NULL, 0));
	if (argc > 2 && strcmp(argv[1], "listen") == 0)
		return listen_loop(port, SOCK_STREAM);
	if (argc > 2 && strcmp(argv[1], "messages") == 0)
		return listen_loop(port, SOCK_SEQPACKET);
	if (argc > 2 && strcmp(argv[1], "refused") == 0)
		return dial(port) < 0 ? 0 : 1;
	return 2;
}
