/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The conformance program of /dev/net/tun: its ioctls, what a socket says of a tap, and the
 * errors of read and write.  Nothing is on the other side: in a kernel because the interface
 * is made up by the program alone, under standin because it is plugged into nothing.
 */
#include "conformance.h"

#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "../../src/uapi/tun.h"

#define NAME "conform0"
#define TAP  (IFF_TAP | IFF_NO_PI)

static int tun_open(void)
{
	int fd = sys_open("/dev/net/tun", O_RDWR | O_NONBLOCK);

	if (fd < 0)
		give_up("open of /dev/net/tun", -errno);
	return fd;
}

static struct ifreq request_for(const char *name, unsigned flags)
{
	struct ifreq r;

	memset(&r, 0, sizeof(r));
	strncpy(r.ifr_name, name, IFNAMSIZ);
	r.ifr_flags = (short)flags;
	return r;
}

/* TUNSETIFF; *ret_name, IFNAMSIZ bytes, is what it is called then. */
static long set_iff(int fd, const char *name, unsigned flags, char *ret_name)
{
	struct ifreq r = request_for(name, flags), *at = edge(sizeof(r), &r);
	long ret = result(sys_ioctl(fd, TUNSETIFF, at));

	if (ret_name)
		memcpy(ret_name, at->ifr_name, IFNAMSIZ);
	return ret;
}

static int tap_open(unsigned flags)
{
	int fd = tun_open();
	long r = set_iff(fd, NAME, flags, NULL);

	if (r)
		give_up("TUNSETIFF", r);
	return fd;
}

static long with_int(int fd, unsigned long cmd, int value)
{
	return result(sys_ioctl(fd, cmd, edge(sizeof(value), &value)));
}

static void say_int(int fd, unsigned long cmd, const char *name)
{
	int *at = edge(sizeof(int), NULL);
	long r = result(sys_ioctl(fd, cmd, at));

	if (r)
		say(r, "%s", name);
	else
		say_text(name, "%d", *at);
}

static void say_iff(int fd, const char *name)
{
	struct ifreq *r = edge(sizeof(*r), NULL);
	long ret = result(sys_ioctl(fd, TUNGETIFF, r));

	if (ret)
		say(ret, "%s", name);
	else
		say_text(name, "%.16s %#x", r->ifr_name, (unsigned short)r->ifr_flags);
}

/* On a socket. */
static long netdevice(unsigned long cmd, struct ifreq *r)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	long ret = result(sys_ioctl(s, cmd, r));

	close(s);
	return ret;
}

static long set_up(bool up)
{
	struct ifreq r = request_for(NAME, 0);
	long ret = netdevice(SIOCGIFFLAGS, &r);

	if (ret)
		return ret;
	r.ifr_flags = (short)(up ? r.ifr_flags | IFF_UP : r.ifr_flags & ~IFF_UP);
	return netdevice(SIOCSIFFLAGS, &r);
}

/* ---- every command ---- */

static const struct {
	const char *name;
	unsigned long cmd;
	bool by_value; /* the argument is a number */
} commands[] = {
	{"TUNSETNOCSUM", TUNSETNOCSUM, true},
	{"TUNSETDEBUG", TUNSETDEBUG, true},
	{"TUNSETIFF", TUNSETIFF, false},
	{"TUNSETPERSIST", TUNSETPERSIST, true},
	{"TUNSETOWNER", TUNSETOWNER, true},
	{"TUNSETLINK", TUNSETLINK, true},
	{"TUNSETGROUP", TUNSETGROUP, true},
	{"TUNGETFEATURES", TUNGETFEATURES, false},
	{"TUNSETOFFLOAD", TUNSETOFFLOAD, true},
	{"TUNSETTXFILTER", TUNSETTXFILTER, false},
	{"TUNGETIFF", TUNGETIFF, false},
	{"TUNGETSNDBUF", TUNGETSNDBUF, false},
	{"TUNSETSNDBUF", TUNSETSNDBUF, false},
	{"TUNATTACHFILTER", TUNATTACHFILTER, false},
	{"TUNDETACHFILTER", TUNDETACHFILTER, false},
	{"TUNGETVNETHDRSZ", TUNGETVNETHDRSZ, false},
	{"TUNSETVNETHDRSZ", TUNSETVNETHDRSZ, false},
	{"TUNSETQUEUE", TUNSETQUEUE, false},
	{"TUNSETIFINDEX", TUNSETIFINDEX, false},
	{"TUNGETFILTER", TUNGETFILTER, false},
	{"TUNSETVNETLE", TUNSETVNETLE, false},
	{"TUNGETVNETLE", TUNGETVNETLE, false},
	{"TUNSETVNETBE", TUNSETVNETBE, false},
	{"TUNGETVNETBE", TUNGETVNETBE, false},
	{"TUNSETSTEERINGEBPF", TUNSETSTEERINGEBPF, false},
	{"TUNSETFILTEREBPF", TUNSETFILTEREBPF, false},
	{"TUNSETCARRIER", TUNSETCARRIER, false},
	{"SIOCGIFHWADDR", SIOCGIFHWADDR, false},
	{"SIOCSIFHWADDR", SIOCSIFHWADDR, false},
	{"SIOCGIFFLAGS", SIOCGIFFLAGS, false},
	{"FIONREAD", FIONREAD, false},
	{"_IO('T', 199)", _IO('T', 199), false},
	{"_IOW('T', 230, int)", _IOW('T', 230, int), false},
	{"_IO('Z', 1)", _IO('Z', 1), false},
};

static void every_command(const char *when, unsigned flags)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		int fd = flags ? tap_open(flags) : tun_open();

		if (commands[i].by_value) {
			say(result(sys_ioctl(fd, commands[i].cmd, 0UL)), "%s.%s", when,
			    commands[i].name);
		} else {
			say(result(sys_ioctl(fd, commands[i].cmd, NOWHERE)), "%s.%s.nowhere", when,
			    commands[i].name);
			say(result(sys_ioctl(fd, commands[i].cmd, edge(4, NULL))),
			    "%s.%s.four bytes", when, commands[i].name);
		}
		sys_close(fd);
	}
}

static void area_commands(void)
{
	struct stat st;
	int fd = tun_open();

	say(fstat(fd, &st), "fstat");
	say_int(fd, TUNGETFEATURES, "features");
	sys_close(fd);
	every_command("nothing", 0);
	every_command("tap", TAP | IFF_VNET_HDR);
}

/* ---- interfaces ---- */

static void area_names(void)
{
	static const char *const names[] = {"",
					    "tap%d",
					    "conform%d",
					    "%d",
					    "a%db%d",
					    "a%x",
					    "a/b",
					    "a:b",
					    "a b",
					    ".",
					    "..",
					    "a%",
					    "%%d",
					    "...",
					    "a?b",
					    "conf%d",
					    "123456789abcdef",
					    "1234567890abcdef",
					    "123456789abcd%d",
					    "12345678901%d"};
	char name[IFNAMSIZ + 1] = "";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int fd = tun_open();
		long r = set_iff(fd, names[i], TAP, name);

		say(r, "\"%s\"", names[i]);
		if (!r)
			say_text("is", "%s", name);
		sys_close(fd);
	}
}

static void area_flags(void)
{
	static const unsigned flags[] = {
		0,
		IFF_TAP,
		IFF_TAP | IFF_TUN,
		TAP,
		TAP | IFF_VNET_HDR,
		TAP | IFF_ONE_QUEUE,
		TAP | IFF_MULTI_QUEUE,
		TAP | IFF_TUN_EXCL,
		TAP | IFF_NAPI,
		TAP | IFF_NAPI_FRAGS,
		TAP | IFF_NAPI | IFF_NAPI_FRAGS,
		TAP | IFF_NO_CARRIER,
		TAP | IFF_PERSIST,
		TAP | IFF_NOFILTER,
		TAP | IFF_ATTACH_QUEUE,
		TAP | IFF_DETACH_QUEUE,
		0xffff & ~(unsigned)IFF_TUN & ~(unsigned)IFF_NAPI_FRAGS,
	};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		int fd = tun_open();
		char name[16];

		snprintf(name, sizeof(name), "%#x", flags[i]);
		say(set_iff(fd, NAME, flags[i], NULL), "%s.set", name);
		say_iff(fd, name);
		say(set_iff(fd, NAME, TAP, NULL), "%s.again", name);
		sys_close(fd);
	}
}

static void area_second(void)
{
	static const unsigned flags[] = {TAP,
					 TAP | IFF_TUN_EXCL,
					 TAP | IFF_MULTI_QUEUE,
					 IFF_TUN | IFF_NO_PI,
					 0,
					 TAP | IFF_VNET_HDR,
					 TAP | IFF_MULTI_QUEUE | IFF_VNET_HDR,
					 IFF_TAP | IFF_MULTI_QUEUE};

	for (unsigned multi = 0; multi < 2; multi++) {
		int first = tap_open(multi ? TAP | IFF_MULTI_QUEUE : TAP);

		for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
			int fd = tun_open();

			say(set_iff(fd, NAME, flags[i], NULL), "%s, then %#x",
			    multi ? "multi" : "single", flags[i]);
			say_iff(first, "first");
			sys_close(fd);
		}
		sys_close(first);
	}
}

static long queue(int fd, unsigned flags)
{
	struct ifreq r = request_for("", flags);

	return result(sys_ioctl(fd, TUNSETQUEUE, edge(sizeof(r), &r)));
}

static void area_queues(void)
{
	int a = tun_open(), b;

	say(queue(a, IFF_ATTACH_QUEUE), "nothing.attach");
	say(queue(a, IFF_DETACH_QUEUE), "nothing.detach");
	sys_close(a);
	a = tap_open(TAP);
	say(queue(a, IFF_ATTACH_QUEUE), "single.attach");
	say(queue(a, IFF_DETACH_QUEUE), "single.detach");
	say(queue(a, 0), "single.none");
	sys_close(a);

	a = tap_open(TAP | IFF_MULTI_QUEUE);
	b = tap_open(TAP | IFF_MULTI_QUEUE);
	say(set_up(true), "up");
	say(queue(a, IFF_ATTACH_QUEUE), "attach");
	say(queue(a, 0), "none");
	say(queue(a, IFF_DETACH_QUEUE), "detach");
	say_iff(a, "detached");
	say_iff(b, "other");
	say(queue(a, IFF_DETACH_QUEUE), "detach again");
	say(set_iff(a, NAME, TAP | IFF_MULTI_QUEUE, NULL), "detached.setiff");
	say_int(a, TUNGETSNDBUF, "detached.sndbuf");
	say(sys_read(a, (char[64]){0}, 64) < 0 ? -errno : 0, "detached.read");
	say(sys_write(a, (char[64]){0}, 64) < 0 ? -errno : 0, "detached.write");
	say(queue(a, IFF_ATTACH_QUEUE | IFF_DETACH_QUEUE), "both");
	say_iff(a, "attached");
	say(queue(a, IFF_DETACH_QUEUE), "detach a");
	say(queue(b, IFF_DETACH_QUEUE), "detach b");
	sys_close(a);
	say_iff(b, "alone");
	sys_close(b);
	b = tun_open();
	say(set_iff(b, NAME, TAP, NULL), "is gone");
	sys_close(b);
}

/* ---- one by one ---- */

static void area_offload(void)
{
	unsigned on = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
	int fd = tap_open(TAP | IFF_VNET_HDR);

	for (unsigned bit = 0; bit < 32; bit++) {
		unsigned long one = 1UL << bit;

		say(result(sys_ioctl(fd, TUNSETOFFLOAD, one)), "bit %u", bit);
		say(result(sys_ioctl(fd, TUNSETOFFLOAD, one | TUN_F_CSUM)), "bit %u and csum", bit);
		say(result(sys_ioctl(fd, TUNSETOFFLOAD, one | on)), "bit %u and tso", bit);
	}
	say(result(sys_ioctl(fd, TUNSETOFFLOAD, on | TUN_F_USO4 | TUN_F_USO6)), "uso");
	say(result(sys_ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6)),
	    "uso alone");
	say(result(sys_ioctl(fd, TUNSETOFFLOAD, on | 0x180)), "tunnels");
	say(result(sys_ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | 0x180)), "tunnels, csum alone");
	say(result(sys_ioctl(fd, TUNSETOFFLOAD, 0UL)), "none");
	sys_close(fd);
}

static void area_numbers(void)
{
	static const int sizes[] = {0, 1, 9, 10, 11, 12, 20, 24, 65535, 1 << 20, INT32_MAX, -1};
	static const int buffers[] = {0, 1, -1, INT32_MIN, 4096, INT32_MAX};
	int fd = tap_open(TAP | IFF_VNET_HDR);

	say_int(fd, TUNGETVNETHDRSZ, "header");
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		say(with_int(fd, TUNSETVNETHDRSZ, sizes[i]), "header %d", sizes[i]);
		say_int(fd, TUNGETVNETHDRSZ, "header");
	}
	say_int(fd, TUNGETSNDBUF, "sndbuf");
	for (size_t i = 0; i < ARRAY_SIZE(buffers); i++) {
		say(with_int(fd, TUNSETSNDBUF, buffers[i]), "sndbuf %d", buffers[i]);
		say_int(fd, TUNGETSNDBUF, "sndbuf");
	}
	say_int(fd, TUNGETVNETLE, "little-endian");
	say(with_int(fd, TUNSETVNETLE, 7), "little-endian 7");
	say_int(fd, TUNGETVNETLE, "little-endian");
	say(with_int(fd, TUNSETVNETLE, 0), "little-endian 0");
	say_int(fd, TUNGETVNETLE, "little-endian");
	say_int(fd, TUNGETVNETBE, "big-endian");
	say(with_int(fd, TUNSETVNETBE, 1), "big-endian 1");
	say(result(sys_ioctl(fd, TUNSETOWNER, 1000UL)), "owner");
	say(result(sys_ioctl(fd, TUNSETOWNER, (unsigned long)-1)), "owner -1");
	say(result(sys_ioctl(fd, TUNSETGROUP, 1000UL)), "group");
	say(result(sys_ioctl(fd, TUNSETGROUP, 0xffffffffUL)), "group -1");
	say(result(sys_ioctl(fd, TUNSETPERSIST, 1UL)), "persist");
	say_iff(fd, "persistent");
	say(result(sys_ioctl(fd, TUNSETPERSIST, 0UL)), "persist no more");
	say_iff(fd, "not persistent");
	say(with_int(fd, TUNSETSTEERINGEBPF, -1), "steering -1");
	say(with_int(fd, TUNSETSTEERINGEBPF, NO_DESCRIPTOR), "steering, no descriptor");
	say(with_int(fd, TUNSETSTEERINGEBPF, 0), "steering 0");
	say(with_int(fd, TUNSETFILTEREBPF, -1), "filter -1");
	say(with_int(fd, TUNSETFILTEREBPF, NO_DESCRIPTOR), "filter, no descriptor");
	sys_close(fd);
}

static void area_index(void)
{
	int fd = tun_open(), other = tun_open();
	struct ifreq r = request_for(NAME, 0);

	say(with_int(fd, TUNSETIFINDEX, -1), "-1");
	say(with_int(fd, TUNSETIFINDEX, 77), "77");
	say(set_iff(fd, NAME, TAP, NULL), "setiff");
	say(netdevice(SIOCGIFINDEX, &r), "get");
	say_text("index", "%d", r.ifr_ifindex);
	say(with_int(fd, TUNSETIFINDEX, 78), "late");
	say(result(sys_ioctl(fd, TUNSETIFINDEX, NOWHERE)), "late, nowhere");
	say(with_int(other, TUNSETIFINDEX, 77), "other");
	say(set_iff(other, "conform1", TAP, NULL), "taken");
	sys_close(other);
	sys_close(fd);
}

/* ---- filters ---- */

static long filter(int fd, unsigned flags, unsigned n, const uint8_t (*addresses)[6], size_t size)
{
	uint8_t data[4 + 32 * 6] = {0};

	memcpy(data, &(uint16_t){(uint16_t)flags}, 2);
	memcpy(data + 2, &(uint16_t){(uint16_t)n}, 2);
	if (addresses)
		memcpy(data + 4, addresses, n * 6);
	return result(sys_ioctl(fd, TUNSETTXFILTER, edge(size, data)));
}

static void area_filter(void)
{
	uint8_t one[20][6], many[20][6];
	int fd = tap_open(TAP);

	for (unsigned i = 0; i < 20; i++) {
		memcpy(one[i], (uint8_t[]){2, 0, 0, 0, 0, (uint8_t)i}, 6);
		memcpy(many[i], (uint8_t[]){1, 0, 0, 0, 0, (uint8_t)i}, 6);
	}
	say(filter(fd, 0, 0, NULL, 4), "none");
	say(filter(fd, 1, 0, NULL, 4), "all multicast");
	say(filter(fd, 0xffff, 0, NULL, 4), "all flags");
	for (unsigned n = 1; n < 20; n += 3) {
		say(filter(fd, 0, n, one, 4 + n * 6), "%u of one station", n);
		say(filter(fd, 0, n, many, 4 + n * 6), "%u of many", n);
		say(filter(fd, 0, n, many, 4 + n * 6 - 1), "%u, cut off", n);
	}
	say(filter(fd, 0, 0xffff, NULL, 4), "65535, absent");
	say(result(sys_ioctl(fd, TUNGETFILTER, edge(16, NULL))), "get");
	say(result(sys_ioctl(fd, TUNDETACHFILTER, NULL)), "detach");
	sys_close(fd);
}

/* ---- by name, on a socket ---- */

static void say_netdevice(unsigned long cmd, const char *name)
{
	struct ifreq r = request_for(NAME, 0);
	long ret = netdevice(cmd, &r);

	if (ret)
		say(ret, "%s", name);
	else if (cmd == SIOCGIFFLAGS)
		say_text(name, "%#x", (unsigned short)r.ifr_flags);
	else if (cmd == SIOCGIFHWADDR)
		say_text(name, "family %u, %s", r.ifr_hwaddr.sa_family,
			 r.ifr_hwaddr.sa_data[0] & 1 ? "of many" : "of one");
	else
		say_text(name, "%d", r.ifr_mtu);
}

static void say_each(const char *when)
{
	static const struct {
		const char *name;
		unsigned long cmd;
	} asked[] = {
		{"flags", SIOCGIFFLAGS},     {"mtu", SIOCGIFMTU},       {"hwaddr", SIOCGIFHWADDR},
		{"txqlen", SIOCGIFTXQLEN},   {"metric", SIOCGIFMETRIC}, {"address", SIOCGIFADDR},
		{"netmask", SIOCGIFNETMASK},
	};
	char name[64];

	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		snprintf(name, sizeof(name), "%s.%s", when, asked[i].name);
		say_netdevice(asked[i].cmd, name);
	}
}

static long set_mtu(int mtu)
{
	struct ifreq r = request_for(NAME, 0);

	r.ifr_mtu = mtu;
	return netdevice(SIOCSIFMTU, &r);
}

static long set_mac(int fd, unsigned family, const char *mac)
{
	struct ifreq r = request_for(NAME, 0);

	r.ifr_hwaddr.sa_family = (sa_family_t)family;
	memcpy(r.ifr_hwaddr.sa_data, mac, 6);
	return fd < 0 ? netdevice(SIOCSIFHWADDR, &r) : result(sys_ioctl(fd, SIOCSIFHWADDR, &r));
}

static void area_netdevice(void)
{
	static const int mtus[] = {68, 1500, 9000, 65521};
	struct ifreq r = request_for(NAME, 0);
	int fd;

	say(netdevice(SIOCGIFFLAGS, &r), "before");
	fd = tap_open(TAP);
	say(set_up(false), "down");
	say_each("down");
	say(result(sys_ioctl(fd, TUNSETLINK, (unsigned long)ARPHRD_ETHER)), "down.link");
	say(set_up(true), "up");
	say_each("up");
	say(result(sys_ioctl(fd, TUNSETLINK, (unsigned long)ARPHRD_ETHER)), "up.link");
	say(with_int(fd, TUNSETCARRIER, 0), "no carrier");
	say(with_int(fd, TUNSETCARRIER, 1), "carrier");
	say_netdevice(SIOCGIFFLAGS, "carrier.flags");
	for (size_t i = 0; i < ARRAY_SIZE(mtus); i++)
		say(set_mtu(mtus[i]), "mtu %d", mtus[i]);
	say_netdevice(SIOCGIFMTU, "mtu");
	for (unsigned i = 0; i < 2; i++) {
		int by = i ? fd : -1;
		const char *name = i ? "by the file" : "by name";

		say(set_mac(by, ARPHRD_ETHER, "\2\0\0\0\0\1"), "%s.mac", name);
		say(set_mac(by, ARPHRD_ETHER, "\3\0\0\0\0\1"), "%s.mac of many", name);
		say(set_mac(by, ARPHRD_ETHER, "\0\0\0\0\0\0"), "%s.mac 0", name);
		say(set_mac(by, ARPHRD_NONE, "\2\0\0\0\0\1"), "%s.mac of another family", name);
	}
	sys_close(fd);
	say(netdevice(SIOCGIFFLAGS, &r), "after");
}

/* ---- read, write, poll ---- */

static int events_of(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};

	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

static long put(int fd, const void *data, size_t size)
{
	return result(sys_write(fd, edge(size, data), size));
}

static void lengths(int fd, const char *when)
{
	static const char zeros[128];

	for (size_t n = 0; n < 40; n++)
		say(put(fd, zeros, n), "%s.write %zu", when, n);
}

static void area_transfer(void)
{
	static const char zeros[128];
	static const unsigned flags[] = {TAP, IFF_TAP, TAP | IFF_VNET_HDR, IFF_TAP | IFF_VNET_HDR};
	int fd = tun_open();

	say(put(fd, zeros, 64), "nothing.write");
	say(result(sys_read(fd, edge(64, NULL), 64)), "nothing.read");
	say_text("nothing.poll", "%#x", (unsigned)events_of(fd));
	sys_close(fd);

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		char when[16];

		fd = tap_open(flags[i]);
		snprintf(when, sizeof(when), "%#x", flags[i]);
		say(set_up(false), "%s.down", when);
		say(put(fd, zeros, 64), "%s.down.write", when);
		say(put(fd, zeros, 4), "%s.down.write 4", when);
		say(set_up(true), "%s.up", when);
		lengths(fd, when);
		say(result(sys_write(fd, NOWHERE, 64)), "%s.write nowhere", when);
		sys_close(fd);
	}
}

static void area_headers(void)
{
	static const struct {
		const char *name;
		uint8_t flags, gso;
		uint16_t header, size, start, offset;
	} headers[] = {
		{"none", 0, 0, 0, 0, 0, 0},
		{"header 14", 0, 0, 14, 0, 0, 0},
		{"header 13", 0, 0, 13, 0, 0, 0},
		{"header 100", 0, 0, 100, 0, 0, 0},
		{"header 101", 0, 0, 101, 0, 0, 0},
		{"header 102", 0, 0, 102, 0, 0, 0},
		{"header 103", 0, 0, 103, 0, 0, 0},
		{"header 65535", 0, 0, 65535, 0, 0, 0},
		{"checksum", 1, 0, 0, 0, 34, 16},
		{"checksum at the end", 1, 0, 0, 0, 34, 64},
		{"checksum beyond the end", 1, 0, 0, 0, 34, 65},
		{"checksum far beyond", 1, 0, 0, 0, 34, 5000},
		{"checksum, start beyond", 1, 0, 0, 0, 200, 0},
		{"checksum that wraps", 1, 0, 0, 0, 65535, 65535},
		{"data valid", 2, 0, 0, 0, 0, 0},
		{"unknown flags", 0xf8, 0, 0, 0, 0, 0},
		{"gso 2", 0, 2, 54, 1000, 0, 0},
		{"gso 255", 0, 255, 54, 1000, 0, 0},
		{"ecn alone", 0, 0x80, 54, 1000, 0, 0},
		{"tso, size 0", 1, 1, 54, 0, 34, 16},
	};

	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		uint8_t data[10 + 100] = {0};
		int fd = tap_open(TAP | IFF_VNET_HDR);

		set_up(true);
		data[0] = headers[i].flags;
		data[1] = headers[i].gso;
		memcpy(data + 2, &headers[i].header, 2);
		memcpy(data + 4, &headers[i].size, 2);
		memcpy(data + 6, &headers[i].start, 2);
		memcpy(data + 8, &headers[i].offset, 2);
		data[10 + 12] = 8; /* IPv4 */
		data[10 + 14] = 0x45;
		data[10 + 23] = 6;
		data[10 + 46] = 0x50;
		say(put(fd, data, sizeof(data)), "%s", headers[i].name);
		sys_close(fd);
	}
}

static const struct area areas[] = {
	{"commands", area_commands, false}, {"names", area_names, false},
	{"flags", area_flags, false},       {"second", area_second, false},
	{"queues", area_queues, false},     {"offload", area_offload, false},
	{"numbers", area_numbers, false},   {"index", area_index, false},
	{"filter", area_filter, false},     {"netdevice", area_netdevice, false},
	{"transfer", area_transfer, false}, {"headers", area_headers, false},
};

int main(int argc, char **argv)
{
	return conformance_main(argc, argv, areas, ARRAY_SIZE(areas));
}
