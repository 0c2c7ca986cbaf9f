/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a request to a daemon costs at least: a message of the size of KVP's that goes to another
 * process and comes back, over a socket pair.
 *
 *	bench-hyperv COUNT    prints round trips a second
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/hyperv.h>

static char message[sizeof(struct hv_kvp_msg)];

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void echo(int fd)
{
	while (read(fd, message, sizeof(message)) == (ssize_t)sizeof(message))
		if (write(fd, message, sizeof(message)) != (ssize_t)sizeof(message))
			break;
	_exit(0);
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 0;
	int pair[2];
	double begin;

	if (count < 1 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		return 2;
	switch (fork()) {
	case -1:
		return 1;
	case 0:
		close(pair[0]);
		echo(pair[1]);
	}
	close(pair[1]);
	begin = now();
	for (long i = 0; i < count; i++)
		if (write(pair[0], message, sizeof(message)) < 0 ||
		    read(pair[0], message, sizeof(message)) < 0)
			return 1;
	printf("%.0f\n", (double)count / (now() - begin));
	close(pair[0]);
	wait(NULL);
	return 0;
}
