/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * src/tun: taps whose other end is a loopback port.  What ioctls answer, tests/conformance
 * compares with the kernel; here is what becomes of packets.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <cmocka.h>

#include <standin/standin.h>

#include "uapi/tun.h"

struct packet {
	struct virtio_net_hdr header;
	uint8_t data[1500];
} __attribute__((packed));

static int open_tap(unsigned flags, const char *name, int expected)
{
	struct ifreq request = {.ifr_flags = (short)(IFF_TAP | flags)};
	int fd = standin_open("/dev/net/tun", O_RDWR | O_NONBLOCK);

	assert_true(fd >= 0);
	strcpy(request.ifr_name, name);
	if (expected) {
		assert_int_equal(standin_ioctl(fd, TUNSETIFF, &request), -1);
		assert_int_equal(errno, expected);
	} else {
		assert_int_equal(standin_ioctl(fd, TUNSETIFF, &request), 0);
	}
	return fd;
}

static void fill(uint8_t *data, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)(seed + i * 5);
	data[0] &= 0xfe;
}

static short events(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};

	assert_true(poll(&p, 1, 0) >= 0);
	return p.revents;
}

static void test_plain(void **state)
{
	uint8_t out[300], in[400];
	int fd = open_tap(IFF_NO_PI, "tap%d", 0);

	(void)state;
	assert_int_equal(events(fd), POLLOUT);
	assert_int_equal(standin_read(fd, in, sizeof(in)), -1);
	assert_int_equal(errno, EAGAIN);
	for (unsigned i = 0; i < 3; i++) {
		fill(out, sizeof(out), i);
		assert_int_equal(standin_write(fd, out, sizeof(out)), sizeof(out));
	}
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(events(fd), POLLIN | POLLOUT);
		fill(out, sizeof(out), i);
		if (i == 1) { /* what doesn't fit is cut off */
			assert_int_equal(standin_read(fd, in, 100), 100);
			assert_memory_equal(in, out, 100);
			continue;
		}
		assert_int_equal(standin_read(fd, in, sizeof(in)), sizeof(out));
		assert_memory_equal(in, out, sizeof(out));
	}
	assert_int_equal(events(fd), POLLOUT);
	assert_int_equal(standin_write(fd, out, 13), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(standin_write(fd, (void *)16, 60), -1);
	assert_int_equal(errno, EFAULT);
	standin_close(fd);
}

static void test_packet_information(void **state)
{
	struct {
		struct tun_pi pi;
		uint8_t data[60];
	} out = {.pi.proto = 0x0008}, in;
	int fd = open_tap(0, "tap%d", 0);

	(void)state;
	fill(out.data, sizeof(out.data), 9);
	out.data[12] = 0x86;
	out.data[13] = 0xdd;
	assert_int_equal(standin_write(fd, &out, sizeof(out)), sizeof(out));
	assert_int_equal(standin_write(fd, &out, sizeof(out)), sizeof(out));
	assert_int_equal(standin_read(fd, &in, sizeof(in)), sizeof(in));
	assert_int_equal(in.pi.flags, 0);
	assert_memory_equal(&in.pi.proto, out.data + 12, 2);
	assert_memory_equal(in.data, out.data, sizeof(out.data));
	assert_int_equal(standin_read(fd, &in, 30), 30);
	assert_int_equal(in.pi.flags, TUN_PKT_STRIP);
	assert_int_equal(standin_write(fd, &out, 3), -1);
	assert_int_equal(errno, EINVAL);
	standin_close(fd);
}

static void test_header(void **state)
{
	struct packet out = {0};
	uint8_t in[1600];
	int fd = open_tap(IFF_NO_PI | IFF_VNET_HDR, "tap%d", 0), size = 12;

	(void)state;
	fill(out.data, sizeof(out.data), 1);
	assert_int_equal(standin_write(fd, &out, sizeof(out)), sizeof(out));
	assert_int_equal(standin_read(fd, in, sizeof(in)), sizeof(out));
	assert_memory_equal(in, &out, sizeof(out));

	/* A longer header: what the kernel doesn't know of it is skipped, and zero. */
	assert_int_equal(standin_ioctl(fd, TUNSETVNETHDRSZ, &size), 0);
	memset(&out, 0, sizeof(out.header) + 2);
	assert_int_equal(standin_write(fd, &out, sizeof(out)), sizeof(out));
	memset(in, 0xff, sizeof(in));
	assert_int_equal(standin_read(fd, in, sizeof(in)), sizeof(out));
	assert_memory_equal(in, &out, sizeof(out));
	assert_int_equal(standin_write(fd, &out, 11), -1);
	assert_int_equal(errno, EINVAL);

	/* Headers that can't be true. */
	out.header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	out.header.csum_start = 34;
	out.header.csum_offset = 60000;
	assert_int_equal(standin_write(fd, &out, sizeof(out)), -1);
	assert_int_equal(errno, EINVAL);
	out.header = (struct virtio_net_hdr){.gso_type = VIRTIO_NET_HDR_GSO_TCPV4};
	assert_int_equal(standin_write(fd, &out, sizeof(out)), -1);
	assert_int_equal(errno, EINVAL);
	out.header = (struct virtio_net_hdr){.gso_type = 77, .gso_size = 1};
	assert_int_equal(standin_write(fd, &out, sizeof(out)), -1);
	assert_int_equal(errno, EINVAL);
	standin_close(fd);
}

/* The checksum is made where the reader doesn't take packets without. */
static void test_offload(void **state)
{
	struct packet out = {.header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					.csum_start = 34,
					.csum_offset = 6}};
	uint8_t in[1600];
	int fd = open_tap(IFF_NO_PI | IFF_VNET_HDR, "tap%d", 0);

	(void)state;
	out.data[40] = 0x12; /* the pseudo header's sum */
	out.data[50] = 0x01;
	out.data[51] = 0x02;
	assert_int_equal(standin_write(fd, &out, sizeof(out)), sizeof(out));
	assert_int_equal(standin_read(fd, in, sizeof(in)), sizeof(out));
	assert_int_equal(in[0], 0);
	assert_int_equal(in[10 + 40], (uint8_t)~0x13);
	assert_int_equal(in[10 + 41], (uint8_t)~0x02);
	assert_int_equal(standin_ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM), 0);
	assert_int_equal(standin_write(fd, &out, sizeof(out)), sizeof(out));
	assert_int_equal(standin_read(fd, in, sizeof(in)), sizeof(out));
	assert_memory_equal(in, &out, sizeof(out));
	standin_close(fd);
}

static void test_down_and_filter(void **state)
{
	struct {
		struct tun_filter head;
		uint8_t mac[6];
	} filter = {.head.count = 1, .mac = {2, 0, 0, 0, 0, 1}};
	uint8_t out[60] = {0}, in[60];
	int fd = open_tap(IFF_NO_PI, "tap%d", 0), off = 0, on = 1;

	(void)state;
	assert_int_equal(standin_ioctl(fd, TUNSETTXFILTER, &filter), 1);
	assert_int_equal(standin_write(fd, out, sizeof(out)), sizeof(out));
	assert_int_equal(standin_read(fd, in, sizeof(in)), -1);
	memcpy(out, filter.mac, 6);
	assert_int_equal(standin_write(fd, out, sizeof(out)), sizeof(out));
	assert_int_equal(standin_read(fd, in, sizeof(in)), sizeof(out));
	assert_int_equal(standin_ioctl(fd, TUNSETCARRIER, &off), 0);
	assert_int_equal(standin_write(fd, out, sizeof(out)), sizeof(out));
	assert_int_equal(standin_read(fd, in, sizeof(in)), -1);
	assert_int_equal(events(fd), POLLOUT);
	assert_int_equal(standin_ioctl(fd, TUNSETCARRIER, &on), 0);
	assert_int_equal(standin_write(fd, out, sizeof(out)), sizeof(out));
	assert_int_equal(standin_read(fd, in, sizeof(in)), sizeof(out));
	standin_close(fd);
}

static void test_full(void **state)
{
	static uint8_t out[1514], in[1514];
	int fd = open_tap(IFF_NO_PI, "tap%d", 0);
	unsigned n = 0;

	(void)state;
	while (standin_write(fd, out, sizeof(out)) == sizeof(out))
		n++;
	assert_int_equal(errno, EAGAIN);
	assert_true(n > 100);
	assert_int_equal(events(fd), POLLIN);
	while (standin_read(fd, in, sizeof(in)) == sizeof(in))
		n--;
	assert_int_equal(n, 0);
	assert_int_equal(events(fd), POLLOUT);
	assert_int_equal(standin_write(fd, out, sizeof(out)), sizeof(out));
	standin_close(fd);
}

static void test_queues(void **state)
{
	struct ifreq request = {.ifr_flags = IFF_DETACH_QUEUE};
	uint8_t out[60] = {0}, in[60];
	int one = open_tap(IFF_NO_PI | IFF_MULTI_QUEUE, "many", 0);
	int two = open_tap(IFF_NO_PI | IFF_MULTI_QUEUE, "many", 0);
	int other = open_tap(IFF_NO_PI, "many", EINVAL);

	(void)state;
	standin_close(other);
	out[20] = 1;
	assert_int_equal(standin_write(one, out, sizeof(out)), sizeof(out));
	assert_int_equal(standin_read(two, in, sizeof(in)), -1);
	assert_int_equal(standin_read(one, in, sizeof(in)), sizeof(in));
	assert_int_equal(standin_ioctl(one, TUNSETQUEUE, &request), 0);
	assert_int_equal(events(one), 0);
	request.ifr_flags = IFF_ATTACH_QUEUE;
	assert_int_equal(standin_ioctl(one, TUNSETQUEUE, &request), 0);
	assert_int_equal(standin_ioctl(one, TUNSETQUEUE, &request), -1);
	assert_int_equal(errno, EINVAL);
	standin_close(one);
	assert_int_equal(standin_write(two, out, sizeof(out)), sizeof(out));
	assert_int_equal(standin_read(two, in, sizeof(in)), sizeof(in));
	standin_close(two);
}

static void test_names(void **state)
{
	struct ifreq request = {0};
	int one = open_tap(IFF_NO_PI, "", 0), two = open_tap(IFF_NO_PI, "tap%d", 0);

	(void)state;
	assert_int_equal(standin_ioctl(two, TUNGETIFF, &request), 0);
	assert_string_equal(request.ifr_name, "tap1");
	standin_close(open_tap(IFF_NO_PI, "tap0", EBUSY));
	standin_close(open_tap(IFF_NO_PI, "a/b", EINVAL));
	standin_close(open_tap(IFF_NO_PI, "a%s", EINVAL));
	/* An interface that is to stay waits for the next file. */
	assert_int_equal(standin_ioctl(one, TUNSETPERSIST, 1), 0);
	standin_close(one);
	one = open_tap(IFF_NO_PI, "tap0", 0);
	assert_int_equal(standin_ioctl(one, TUNGETIFF, &request), 0);
	assert_true(request.ifr_flags & IFF_PERSIST);
	assert_int_equal(standin_ioctl(one, TUNSETPERSIST, 0), 0);
	standin_close(one);
	standin_close(two);
}

static int start(void **state)
{
	(void)state;
	return standin_start("net loopback\nnet null,ifname=nowhere\n");
}

static int stop(void **state)
{
	(void)state;
	standin_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),  cmocka_unit_test(test_packet_information),
		cmocka_unit_test(test_header), cmocka_unit_test(test_offload),
		cmocka_unit_test(test_full),   cmocka_unit_test(test_down_and_filter),
		cmocka_unit_test(test_queues), cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
