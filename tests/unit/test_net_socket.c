/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend/net.h: ports that are sockets, alone with a peer of the test's or meeting in a hub,
 * and those that write a file.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "backend/net.h"

#define FRAME 200u

static char directory[] = "/tmp/standin-net-XXXXXX";

static const char *in_directory(const char *kind, const char *name)
{
	static char text[4][128];
	static unsigned turn;

	turn = (turn + 1) % 4;
	snprintf(text[turn], sizeof(text[0]), "%s%s/%s", kind, directory, name);
	return text[turn];
}

static struct net_port *open_port(const char *spec)
{
	char error[NET_ERROR_MAX] = "";
	struct net_port *port = NULL;

	if (net_open(spec, "test", 1, &port, error))
		fail_msg("%s: %s", spec, error);
	return port;
}

/* From station `from` to station `to`, 0xff: to all. */
static void make_frame(uint8_t *frame, uint8_t from, uint8_t to, uint8_t what)
{
	memset(frame, what, FRAME);
	memcpy(frame, (uint8_t[]){2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0}, 14);
	if (to == 0xff)
		memset(frame, 0xff, 6);
}

static unsigned send_frame(struct net_port *port, uint8_t from, uint8_t to, uint8_t what)
{
	uint8_t frame[FRAME];
	struct iovec iov = {frame, FRAME};
	struct net_packet p = {.iov = &iov, .n_iov = 1, .size = FRAME};

	make_frame(frame, from, to, what);
	return net_send(port, 0, &p, 1);
}

/* Waits for the next frame; its last byte.  -1: none within some seconds. */
static int next_frame(struct net_port *port)
{
	struct net_arrival a;
	int what;

	for (unsigned i = 0; i < 5000; i++) {
		if (net_peek(port, 0, &a, 1)) {
			assert_int_equal(a.size, FRAME);
			what = a.data[FRAME - 1];
			net_consume(port, 0, 1);
			return what;
		}
		usleep(1000);
	}
	return -1;
}

/* Whatever came before. */
static void assert_hears(struct net_port *port, int what)
{
	int next;

	do {
		next = next_frame(port);
		assert_true(next >= 0);
	} while (next != what);
}

static bool nothing(struct net_port *port)
{
	struct net_arrival a;

	return net_peek(port, 0, &a, 1) == 0;
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void count(void *arg)
{
	atomic_fetch_add((_Atomic unsigned *)arg, 1);
}

static bool told(_Atomic unsigned *counter, unsigned before)
{
	for (unsigned i = 0; i < 5000; i++) {
		if (atomic_load(counter) != before)
			return true;
		usleep(1000);
	}
	return false;
}

static void read_all(int fd, void *to, size_t size)
{
	assert_int_equal(recv(fd, to, size, MSG_WAITALL), size);
}

static void test_socket(void **state)
{
	const char *path = in_directory("", "peer");
	int listener = listen_at(path), peer;
	struct net_port *port = open_port(in_directory("socket=", "peer"));
	uint8_t frame[FRAME], wire[2 * (4 + FRAME)];
	_Atomic unsigned ready = 0;
	struct net_arrival a;
	struct net_stats s;
	uint32_t prefix = htonl(FRAME);

	(void)state;
	peer = accept(listener, NULL, NULL);
	net_set_ready(port, 0, count, (void *)&ready);

	assert_int_equal(send_frame(port, 1, 2, 'a'), 1);
	read_all(peer, wire, 4 + FRAME);
	make_frame(frame, 1, 2, 'a');
	assert_memory_equal(wire, &prefix, 4);
	assert_memory_equal(wire + 4, frame, FRAME);

	/* Two frames that arrive in three parts, and one too short to be one between them. */
	for (unsigned i = 0; i < 2; i++) {
		memcpy(wire + i * (4 + FRAME), &prefix, 4);
		make_frame(wire + i * (4 + FRAME) + 4, 2, 1, (uint8_t)('b' + i));
	}
	assert_int_equal(send(peer, wire, 2, 0), 2);
	assert_true(told(&ready, 0));
	assert_true(nothing(port));
	assert_int_equal(send(peer, wire + 2, 102, 0), 102);
	assert_int_equal(send(peer, wire + 104, 100 + 4 + FRAME - 50, 0), 100 + 4 + FRAME - 50);
	assert_int_equal(next_frame(port), 'b');
	assert_true(nothing(port));
	assert_int_equal(send(peer, wire + 4 + FRAME + 4 + FRAME - 50, 50, 0), 50);
	assert_int_equal(next_frame(port), 'c');
	assert_int_equal(send(peer, "\0\0\0\2xy", 6, 0), 6);
	assert_int_equal(send(peer, wire, 4 + FRAME, 0), 4 + FRAME);
	assert_int_equal(next_frame(port), 'b');

	/* The peer goes: sending goes on, to nowhere. */
	close(peer);
	while (net_peek(port, 0, &a, 1))
		;
	assert_int_equal(send_frame(port, 1, 2, 'd'), 1);
	assert_int_equal(send_frame(port, 1, 2, 'd'), 1);
	net_stats(port, &s);
	assert_int_equal(s.received, 3);
	assert_true(s.dropped >= 1);
	net_close(port);
	close(listener);
	unlink(path);
}

/* A peer that doesn't read stops the sender, who is told when it reads again. */
static void test_back_pressure(void **state)
{
	const char *path = in_directory("", "slow");
	int listener = listen_at(path), peer;
	struct net_port *port = open_port(in_directory("socket=", "slow"));
	_Atomic unsigned ready = 0;
	unsigned sent = 0, before;
	uint8_t wire[4 + FRAME];

	(void)state;
	peer = accept(listener, NULL, NULL);
	net_set_ready(port, 0, count, (void *)&ready);
	while (send_frame(port, 1, 2, (uint8_t)sent))
		sent++;
	before = atomic_load(&ready);
	for (unsigned i = 0; i < sent; i++) {
		read_all(peer, wire, sizeof(wire));
		assert_int_equal(wire[sizeof(wire) - 1], (uint8_t)i);
	}
	assert_true(told(&ready, before));
	assert_int_equal(send_frame(port, 1, 2, 'z'), 1);
	read_all(peer, wire, sizeof(wire));
	assert_int_equal(wire[sizeof(wire) - 1], 'z');

	/* A length that no frame has: the stream can't be one of frames. */
	assert_int_equal(send(peer, "\xff\xff\xff\xff", 4, 0), 4);
	usleep(10000);
	assert_true(nothing(port));
	net_close(port);
	close(peer);
	close(listener);
	unlink(path);
}

static void test_refused(void **state)
{
	char error[NET_ERROR_MAX], spec[200];
	struct net_port *port;

	(void)state;
	assert_int_equal(net_open(in_directory("socket=", "none"), "test", 1, &port, error),
			 -ENOENT);
	assert_non_null(strstr(error, "none"));
	snprintf(spec, sizeof(spec), "socket=/%0150d", 1);
	assert_int_equal(net_open(spec, "test", 1, &port, error), -ENAMETOOLONG);
	spec[0] = 0;
	snprintf(spec, sizeof(spec), "hub=/%0150d", 1);
	assert_int_equal(net_open(spec, "test", 1, &port, error), -ENAMETOOLONG);
	assert_int_equal(net_open("hub=/nowhere/at/all", "test", 1, &port, error), -ENOENT);
	/* A file of another kind is left alone. */
	close(open(in_directory("", "file"), O_CREAT | O_WRONLY, 0600));
	assert_int_equal(net_open(in_directory("hub=", "file"), "test", 1, &port, error), -EEXIST);
	assert_int_equal(unlink(in_directory("", "file")), 0);
}

/* Sends until it arrives: what is on its way while the server changes is lost. */
static void assert_connected(struct net_port *from, struct net_port *to, uint8_t what)
{
	struct net_arrival a;

	for (unsigned i = 0; i < 500; i++) {
		send_frame(from, 1, 0xff, what);
		for (unsigned k = 0; k < 20; k++) {
			while (net_peek(to, 0, &a, 1)) {
				bool found = a.data[FRAME - 1] == what;

				net_consume(to, 0, 1);
				if (found)
					return;
			}
			usleep(1000);
		}
	}
	fail_msg("the stations don't hear each other");
}

static void test_hub(void **state)
{
	const char *spec = in_directory("hub=", "hub");
	struct net_port *one = open_port(spec), *two = open_port(spec), *three = open_port(spec);
	struct stat st;

	(void)state;
	assert_connected(one, two, 1);
	assert_connected(one, three, 2);
	assert_connected(two, three, 3);
	/* A station that has been heard of gets its frames alone. */
	assert_int_equal(send_frame(two, 2, 0xff, 4), 1);
	assert_hears(one, 4);
	assert_hears(three, 4);
	assert_int_equal(send_frame(one, 1, 2, 5), 1);
	assert_hears(two, 5);
	assert_true(nothing(three));

	/* The one that serves leaves. */
	net_close(one);
	assert_connected(two, three, 6);
	assert_connected(three, two, 7);
	net_close(two);
	net_close(three);
	assert_int_equal(lstat(in_directory("", "hub"), &st), -1);
}

/* A process that serves is killed, and then the only one that is there. */
static void test_killed(void **state)
{
	const char *spec = in_directory("hub=", "hub");
	struct net_port *one, *two;
	int ready[2], status;
	char byte;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		open_port(spec);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	one = open_port(spec);
	two = open_port(spec);
	assert_connected(one, two, 1);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	assert_connected(one, two, 2);
	net_close(one);
	net_close(two);

	child = fork();
	if (child == 0) {
		open_port(spec);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	net_clean(spec); /* somebody is there */
	assert_int_equal(access(in_directory("", "hub"), F_OK), 0);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	one = open_port(spec); /* over the dead one's socket */
	two = open_port(spec);
	assert_connected(one, two, 3);
	net_close(two);
	net_close(one);
	close(listen_at(in_directory("", "hub"))); /* what a killed one leaves */
	net_clean(spec);
	assert_int_equal(access(in_directory("", "hub"), F_OK), -1);
	close(ready[0]);
	close(ready[1]);
}

static void test_pcap(void **state)
{
	const char *path = in_directory("", "pcap");
	struct net_port *port = open_port(in_directory("pcap=", "pcap")), *other;
	uint8_t file[24 + 2 * (16 + FRAME) + 1], frame[FRAME];
	uint32_t number;
	char error[NET_ERROR_MAX];
	int fd = open(path, O_RDONLY);

	(void)state;
	assert_int_equal(read(fd, file, sizeof(file)), 24);
	memcpy(&number, file, 4);
	assert_int_equal(number, 0xa1b2c3d4);
	memcpy(&number, file + 20, 4);
	assert_int_equal(number, 1);
	assert_int_equal(net_open(in_directory("pcap=", "pcap"), "test", 1, &other, error), -EBUSY);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(send_frame(port, 1, 2, (uint8_t)('p' + i)), 1);
	assert_int_equal(read(fd, file, sizeof(file)), 2 * (16 + FRAME));
	for (unsigned i = 0; i < 2; i++) {
		memcpy(&number, file + i * (16 + FRAME) + 8, 4);
		assert_int_equal(number, FRAME);
		memcpy(&number, file + i * (16 + FRAME) + 12, 4);
		assert_int_equal(number, FRAME);
		make_frame(frame, 1, 2, (uint8_t)('p' + i));
		assert_memory_equal(file + i * (16 + FRAME) + 16, frame, FRAME);
	}
	net_close(port);
	close(fd);
	assert_int_equal(net_open("pcap=/nowhere/file", "test", 1, &port, error), -ENOENT);
	unlink(path);
}

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	return rmdir(directory); /* nothing may be left in it */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_socket),  cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_hub),
		cmocka_unit_test(test_killed),  cmocka_unit_test(test_pcap),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
