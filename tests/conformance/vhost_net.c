/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /dev/vhost-net's own ioctls, and what it does with what a guest sends: a driver of the transmit
 * ring in this process, whose guest addresses are its own addresses.  The tap is one that
 * drops everything: in a kernel because its interface is down.
 */
#include "vhost.h"
#include "../split_ring.h"

#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define NET      "/dev/vhost-net"
#define NUM      16u
#define BIT(n)   (UINT64_C(1) << (n))
#define V1       BIT(VIRTIO_F_VERSION_1)
#define MERGE    BIT(VIRTIO_NET_F_MRG_RXBUF)
#define MAKE_HDR BIT(VHOST_NET_F_VIRTIO_NET_HDR)

struct net_ring {
	SPLIT_RING(NUM, 16);
	int kick, err;
};

static struct net_ring rings[2];
static char packet[256] __attribute__((aligned(8)));

static long set_backend(int fd, unsigned index, int backend)
{
	return set_file(fd, VHOST_NET_SET_BACKEND, index, backend);
}

static void set_addresses(int fd, unsigned index, uint64_t used)
{
	struct vhost_vring_addr a = {.index = index,
				     .desc_user_addr = (uintptr_t)rings[index].desc,
				     .avail_user_addr = (uintptr_t)&rings[index].avail,
				     .used_user_addr = used};

	sys_ioctl(fd, VHOST_SET_VRING_ADDR, &a);
}

static void set_ring(int fd, unsigned index)
{
	struct net_ring *r = &rings[index];

	memset(r, 0, sizeof(*r));
	r->kick = eventfd(0, EFD_NONBLOCK);
	r->err = eventfd(0, EFD_NONBLOCK);
	set_state(fd, VHOST_SET_VRING_NUM, index, NUM);
	set_state(fd, VHOST_SET_VRING_BASE, index, 0);
	set_addresses(fd, index, (uintptr_t)&r->used);
	set_file(fd, VHOST_SET_VRING_KICK, index, r->kick);
	set_file(fd, VHOST_SET_VRING_ERR, index, r->err);
}

static long set_features(int fd, uint64_t features)
{
	return result(sys_ioctl(fd, VHOST_SET_FEATURES, &features));
}

static void say_base(int fd, const char *name, unsigned index)
{
	struct vhost_vring_state s = {.index = index};

	say(result(sys_ioctl(fd, VHOST_GET_VRING_BASE, &s)), "%s.base", name);
	say_text(name, "base %u", s.num);
}

void area_net(void)
{
	struct stat st;
	int fd = vhost_open(NET);

	say(fstat(fd, &st), "fstat");
	every_vhost_command(fd, "nobody's");
	say(result(sys_ioctl(fd, VHOST_SET_OWNER)), "again");
	every_vhost_command(fd, "owned");
	sys_close(fd);

	fd = vhost_owned(NET);
	set_memory_flat(fd);
	set_ring(fd, 0);
	set_state(fd, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, 0, 50);
	say(set_features(fd, V1), "reset.features");
	say(result(sys_ioctl(fd, VHOST_RESET_OWNER)), "reset");
	say(result(sys_ioctl(fd, VHOST_RESET_OWNER)), "reset.again");
	say(set_state(fd, VHOST_SET_VRING_NUM, 0, 16), "reset.num");
	say(result(sys_ioctl(fd, VHOST_SET_OWNER)), "reset.owner");
	say(set_backend(fd, 0, -1), "reset.backend none");
	say(set_backend(fd, 0, 0), "reset.backend 0");
	say_base(fd, "reset", 0);
	sys_close(fd);
}

static long array(int fd, unsigned long cmd, uint64_t count, size_t words, uint64_t *values)
{
	uint64_t *at = edge((words + 1) * 8, NULL);
	long r;

	at[0] = count;
	memcpy(at + 1, values, words * 8);
	r = result(sys_ioctl(fd, cmd, at));
	memcpy(values, at + 1, words * 8);
	return r;
}

void area_net_features(void)
{
	static const uint64_t counts[] = {0, 1, 2, 3, 4, 5, 100, UINT64_MAX / 8, UINT64_MAX};
	uint64_t value = 0, words[4];
	int fd = vhost_open(NET);

	say(result(sys_ioctl(fd, VHOST_GET_FEATURES, &value)), "get");
	say_text("offered", "%#llx", (unsigned long long)value);
	for (unsigned bit = 0; bit < 64; bit++) {
		long r = set_features(fd, BIT(bit));

		if (r != -EOPNOTSUPP)
			say(r, "set.%u", bit);
	}
	say(set_features(fd, 0), "set.none");
	say(result(sys_ioctl(fd, VHOST_SET_FEATURES, edge(4, NULL))), "set.half");
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		memset(words, 0xee, sizeof(words));
		say(array(fd, VHOST_GET_FEATURES_ARRAY, counts[i], 4, words), "array.get %#llx",
		    (unsigned long long)counts[i]);
		say_text("array", "%#llx %#llx %#llx %#llx", (unsigned long long)words[0],
			 (unsigned long long)words[1], (unsigned long long)words[2],
			 (unsigned long long)words[3]);
		memset(words, 0, sizeof(words));
		say(array(fd, VHOST_SET_FEATURES_ARRAY, counts[i], 4, words), "array.set %#llx",
		    (unsigned long long)counts[i]);
	}
	for (unsigned bit = 0; bit < 256; bit++) {
		long r;

		memset(words, 0, sizeof(words));
		words[bit / 64] = BIT(bit % 64);
		r = array(fd, VHOST_SET_FEATURES_ARRAY, 4, 4, words);
		if (r != -EOPNOTSUPP)
			say(r, "array.set bit %u", bit);
	}
	memset(words, 0, sizeof(words));
	say(array(fd, VHOST_GET_FEATURES_ARRAY, 1, 0, words), "array.get into nothing");
	say(array(fd, VHOST_SET_FEATURES_ARRAY, 1, 0, words), "array.set from nothing");
	say(array(fd, VHOST_GET_FEATURES_ARRAY, 3, 2, words), "array.get beyond");
	memset(words, 0, sizeof(words));
	say(array(fd, VHOST_SET_FEATURES_ARRAY, 3, 2, words), "array.set beyond");
	words[1] = 1;
	say(array(fd, VHOST_SET_FEATURES_ARRAY, 3, 2, words), "array.set bad beyond");
	say(result(sys_ioctl(fd, VHOST_GET_BACKEND_FEATURES, &value)), "backend.get");
	say_text("backend.offered", "%#llx", (unsigned long long)value);
	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t one = BIT(bit);
		long r = result(sys_ioctl(fd, VHOST_SET_BACKEND_FEATURES, &one));

		if (r != -EOPNOTSUPP)
			say(r, "backend.set.%u", bit);
	}
	sys_close(fd);
}

static void every_backend(int fd, const char *when)
{
	int pair[2], event = eventfd(0, 0), file = open("/dev/null", O_RDWR), pipes[2];

	say(set_backend(fd, 0, -1), "%s.-1", when);
	say(set_backend(fd, 0, -2), "%s.-2", when);
	say(set_backend(fd, 0, NO_DESCRIPTOR), "%s.closed", when);
	say(set_backend(fd, 0, event), "%s.eventfd", when);
	say(set_backend(fd, 0, file), "%s.file", when);
	say(set_backend(fd, 0, fd), "%s.itself", when);
	say(pipe(pipes), "%s.pipe", when);
	say(set_backend(fd, 0, pipes[1]), "%s.pipe", when);
	for (unsigned i = 0; i < 2; i++) {
		say(socketpair(AF_UNIX, i ? SOCK_DGRAM : SOCK_STREAM, 0, pair), "%s.pair", when);
		say(set_backend(fd, 0, pair[0]), "%s.pair", when);
		close(pair[0]);
		close(pair[1]);
	}
	say(set_backend(fd, 2, -1), "%s.index 2", when);
	say(set_backend(fd, ~0u, -1), "%s.index -1", when);
	say(result(sys_ioctl(fd, VHOST_NET_SET_BACKEND, NOWHERE)), "%s.nowhere", when);
	close(pipes[0]);
	close(pipes[1]);
	close(event);
	close(file);
}

void area_net_backend(void)
{
	int fd = vhost_open(NET);

	every_backend(fd, "nobody's");
	sys_ioctl(fd, VHOST_SET_OWNER);
	every_backend(fd, "nothing set");
	set_memory(fd, 0, NULL);
	every_backend(fd, "no memory");
	set_memory_flat(fd);
	set_ring(fd, 0);
	every_backend(fd, "ring");
	set_addresses(fd, 0, UINT64_MAX << 12);
	every_backend(fd, "used high");
	sys_close(fd);
}

/* ---- a tap ---- */

static int tap_open(bool attach)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = sys_open("/dev/net/tun", O_RDWR | O_NONBLOCK), size = 12;

	if (fd < 0)
		give_up("open of /dev/net/tun", -errno);
	if (attach && sys_ioctl(fd, TUNSETIFF, &request))
		give_up("TUNSETIFF", -errno);
	if (attach && sys_ioctl(fd, TUNSETVNETHDRSZ, &size))
		give_up("TUNSETVNETHDRSZ", -errno);
	return fd;
}

static unsigned count(int event)
{
	uint64_t n = 0;

	return read(event, &n, sizeof(n)) == sizeof(n) ? (unsigned)n : 0;
}

static void kick(struct net_ring *r)
{
	uint64_t one = 1;

	if (write(r->kick, &one, sizeof(one)) != sizeof(one))
		give_up("kick", -errno);
}

/* Makes a chain of up to three descriptors available and says what comes of it. */
static void transmit(int fd, const char *name, const struct vring_desc *desc, unsigned n)
{
	struct net_ring *r = &rings[1];
	uint16_t before = r->used.idx;
	unsigned head = r->avail.idx * 3u % NUM;
	bool errors = false;

	if (head + 3 > NUM)
		head = 0;
	for (unsigned i = 0; i < n; i++) {
		r->desc[head + i] = desc[i];
		if (i + 1 < n) {
			r->desc[head + i].flags |= VRING_DESC_F_NEXT;
			r->desc[head + i].next = (uint16_t)(head + i + 1);
		}
	}
	r->avail.ring[r->avail.idx % NUM] = (uint16_t)head;
	__atomic_store_n(&r->avail.idx, (uint16_t)(r->avail.idx + 1), __ATOMIC_RELEASE);
	kick(r);
	/* A few are neither used nor an error, and take all of the time. */
	for (int i = 0; i < 500 && !errors; i++) {
		if (__atomic_load_n(&r->used.idx, __ATOMIC_ACQUIRE) != before)
			break;
		usleep(1000);
		errors = count(r->err) != 0;
	}
	errors |= count(r->err) != 0;
	say_text(name, "used %u, length %u, errors %s", (uint16_t)(r->used.idx - before),
		 r->used.idx == before ? 0 : r->used.ring[(uint16_t)(r->used.idx - 1) % NUM].len,
		 errors ? "some" : "none");
	say_base(fd, name, 1);
}

#define OUT(address, length)                                            \
	{                                                               \
		.addr = (uintptr_t)(address), .len = (uint32_t)(length) \
	}
#define IN(address, length)                                              \
	{                                                                \
		.addr = (uintptr_t)(address), .len = (uint32_t)(length), \
		.flags = VRING_DESC_F_WRITE                              \
	}
#define SEND(name, ...) \
	transmit(fd, name, (struct vring_desc[]){__VA_ARGS__}, \
		 sizeof((struct vring_desc[]){__VA_ARGS__}) / sizeof(struct vring_desc))

static void packets(int fd)
{
	SEND("one piece", OUT(packet, 72));
	SEND("header apart", OUT(packet, 12), OUT(packet + 12, 60));
	SEND("header in pieces", OUT(packet, 5), OUT(packet + 5, 5), OUT(packet + 10, 62));
	SEND("header alone", OUT(packet, 12));
	SEND("empty", OUT(packet, 0));
	SEND("good", OUT(packet, 72));
	SEND("to be written", IN(packet, 72));
	SEND("good", OUT(packet, 72));
	SEND("also to be written", OUT(packet, 72), IN(packet, 10));
	SEND("good", OUT(packet, 72));
	SEND("no address", OUT(packet, 12), OUT(UINT64_MAX << 16, 60));
	SEND("behind it", OUT(packet, 72));
}

void area_tap(void)
{
	void *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = vhost_owned(NET), loose = tap_open(false), tap, other, copy;

	set_memory_flat(fd);
	set_ring(fd, 0);
	set_ring(fd, 1);
	say(set_features(fd, V1 | MERGE), "features");
	tap = tap_open(true);
	other = tap_open(true);
	copy = dup(tap);
	say(set_backend(fd, 0, loose), "without an interface");
	say(set_backend(fd, 0, -1), "none");
	set_addresses(fd, 0, (uintptr_t)hole);
	say(set_backend(fd, 0, tap), "no memory for the used ring");
	say(set_state(fd, VHOST_SET_VRING_NUM, 0, NUM), "num after it failed");
	set_addresses(fd, 0, UINT64_MAX << 12);
	say(set_backend(fd, 0, tap), "used ring high");
	set_addresses(fd, 0, (uintptr_t)&rings[0].used);
	say(set_backend(fd, 0, tap), "tap");
	say(set_backend(fd, 0, tap), "tap again");
	say(set_backend(fd, 0, copy), "its copy");
	say(set_state(fd, VHOST_SET_VRING_NUM, 0, NUM), "active.num");
	say(set_state(fd, VHOST_SET_VRING_BASE, 0, 1), "active.base");
	say(set_backend(fd, 0, other), "another");
	say(set_backend(fd, 0, NO_DESCRIPTOR), "closed");
	say(set_state(fd, VHOST_SET_VRING_NUM, 0, NUM), "still active.num");
	say(set_backend(fd, 0, -1), "none");
	say(set_state(fd, VHOST_SET_VRING_NUM, 0, NUM), "num");
	rings[1].used.idx = 7;
	say(set_backend(fd, 1, tap), "transmit");
	SEND("first", OUT(packet, 72));
	say_text("used index", "%u", rings[1].used.idx);
	sys_close(copy);
	sys_close(other);
	sys_close(tap);
	SEND("after the tap was closed", OUT(packet, 72));
	say(result(sys_ioctl(fd, VHOST_RESET_OWNER)), "reset");
	say(result(sys_ioctl(fd, VHOST_SET_OWNER)), "owner");
	sys_close(loose);
	sys_close(fd);
}

/* After which the ring is stuck. */
static void stuck(const char *name, uint64_t features, int buffer, const struct vring_desc *desc,
		  unsigned n)
{
	int fd = vhost_owned(NET), tap = tap_open(true);

	if (buffer)
		say(result(sys_ioctl(tap, TUNSETSNDBUF, &buffer)), "%s.sndbuf", name);
	set_memory_flat(fd);
	set_ring(fd, 1);
	say(set_features(fd, features), "%s.features", name);
	say(set_backend(fd, 1, tap), "%s.backend", name);
	transmit(fd, name, desc, n);
	SEND("behind it", OUT(packet, 72));
	sys_close(tap);
	sys_close(fd);
}

void area_tap_packets(void)
{
	static const uint64_t features[] = {V1 | MERGE, V1, 0, V1 | MAKE_HDR, MAKE_HDR,
					    V1 | BIT(VIRTIO_RING_F_EVENT_IDX)};
	void *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		int fd = vhost_owned(NET), tap = tap_open(true);

		set_memory_flat(fd);
		set_ring(fd, 1);
		say_text("features", "%#llx", (unsigned long long)features[i]);
		say(set_features(fd, features[i]), "features");
		say(set_backend(fd, 1, tap), "backend");
		packets(fd);
		say(set_backend(fd, 1, -1), "none");
		sys_close(tap);
		sys_close(fd);
	}
	for (unsigned size = 1; size < 12; size += 5) {
		struct vring_desc desc = OUT(packet, size);

		stuck("short", V1, 0, &desc, 1);
		stuck("short, made", V1 | MAKE_HDR, 0, &desc, 1);
	}
	stuck("short, limited", V1, 100000, (struct vring_desc[]){OUT(packet, 6)}, 1);
	stuck("hole", V1, 0, (struct vring_desc[]){OUT(packet, 12), OUT(hole, 60)}, 2);
	stuck("hole, limited", V1, 100000, (struct vring_desc[]){OUT(packet, 12), OUT(hole, 60)}, 2);
	stuck("wrong order", V1, 0, (struct vring_desc[]){IN(packet, 10), OUT(packet, 72)}, 2);
}
