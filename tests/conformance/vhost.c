/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost conformance program: what all vhost files have in common, asked of
 * /dev/vhost-vsock, and what is each one's own.
 */
#include "vhost.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

static const struct {
	const char *name;
	unsigned long cmd;
} commands[] = {
#define C(name)              \
	{                    \
#name, VHOST_##name \
	}
	C(SET_MEM_TABLE),	C(SET_LOG_BASE),
	C(SET_LOG_FD),		C(SET_VRING_NUM),
	C(SET_VRING_ADDR),	C(SET_VRING_BASE),
	C(GET_VRING_BASE),	C(SET_VRING_ENDIAN),
	C(GET_VRING_ENDIAN),	C(SET_VRING_KICK),
	C(SET_VRING_CALL),	C(SET_VRING_ERR),
	C(SET_VRING_BUSYLOOP_TIMEOUT), C(GET_VRING_BUSYLOOP_TIMEOUT),
	C(GET_FEATURES),	C(SET_FEATURES),
	C(GET_BACKEND_FEATURES), C(SET_BACKEND_FEATURES),
	C(VSOCK_SET_GUEST_CID), C(VSOCK_SET_RUNNING),
	C(SET_FORK_FROM_OWNER), C(GET_FORK_FROM_OWNER),
	C(RESET_OWNER),		C(NET_SET_BACKEND),
	C(SCSI_GET_ABI_VERSION), C(VDPA_GET_STATUS),
	C(SET_OWNER),
#undef C
};

void every_vhost_command(int fd, const char *when)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		uint32_t beyond = 2;

		say(result(sys_ioctl(fd, commands[i].cmd, NOWHERE)), "%s.%s nowhere", when,
		    commands[i].name);
		/* The index can be read, and no more. */
		if (commands[i].cmd == VHOST_SET_OWNER || commands[i].cmd == VHOST_RESET_OWNER)
			continue;
		say(result(sys_ioctl(fd, commands[i].cmd, edge(4, &beyond))), "%s.%s four bytes",
		    when, commands[i].name);
	}
	for (unsigned long cmd = 0xaf00; cmd < 0xaf90; cmd++) {
		uint64_t zero = 0;
		long r = result(sys_ioctl(fd, cmd, edge(8, &zero)));

		if (cmd != VHOST_SET_OWNER && r != -ENOTTY)
			say(r, "%s.%#lx", when, cmd);
	}
	{
		uint64_t three = 3;

		say(result(sys_ioctl(fd, 0xafee, edge(8, &three))), "%s.unknown index 3", when);
		say(result(sys_ioctl(fd, 0xafee, NOWHERE)), "%s.unknown nowhere", when);
	}
}

static long in_child(int fd, unsigned long cmd)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		struct vhost_vring_state s = {.index = 0, .num = 16};

		_exit((int)-result(sys_ioctl(fd, cmd, &s)));
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? -WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

void area_owner(void)
{
	int fd = vhost_open(VSOCK);

	every_vhost_command(fd, "nobody's");
	say(result(sys_ioctl(fd, VHOST_SET_OWNER)), "again");
	every_vhost_command(fd, "owned");
	sys_close(fd);

	fd = vhost_open(VSOCK);
	for (int value = 0; value < 3; value++) {
		uint8_t v = (uint8_t)value, got = 9;

		say(result(sys_ioctl(fd, VHOST_SET_FORK_FROM_OWNER, edge(1, &v))), "fork.set %d",
		    value);
		say(result(sys_ioctl(fd, VHOST_GET_FORK_FROM_OWNER, &got)), "fork.get");
		say_text("fork.value", "%u", got);
	}
	sys_close(fd);
}

void area_files(void)
{
	struct pollfd p;
	struct stat st;
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT};
	int fd = vhost_owned(VSOCK), epoll;
	char byte;

	say(stat("/dev/vhost-vsock", &st), "stat");
	say_text("stat.kind", "%#o %u:%u", st.st_mode & S_IFMT, major(st.st_rdev),
		 minor(st.st_rdev));
	say(fstat(fd, &st), "fstat");
	say_text("fstat.kind", "%#o %u:%u", st.st_mode & S_IFMT, major(st.st_rdev),
		 minor(st.st_rdev));
	p = (struct pollfd){.fd = fd, .events = POLLIN | POLLOUT};
	say(result(poll(&p, 1, 0)), "poll");
	say_text("poll.events", "%#x", (unsigned)p.revents);
	epoll = epoll_create1(0);
	say(result(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)), "epoll.add");
	say(result(epoll_wait(epoll, &event, 1, 0)), "epoll.wait");
	say(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -errno : 0, "mmap");
	say_text("flags", "%#x", fcntl(fd, F_GETFL) & O_ACCMODE);
	say(in_child(fd, VHOST_SET_VRING_NUM), "child.SET_VRING_NUM");
	say(in_child(fd, VHOST_SET_OWNER), "child.SET_OWNER");
	say(result(sys_read(fd, &byte, 1)), "read 1");
	close(epoll);
	sys_close(fd);
}

void area_features(void)
{
	int fd = vhost_open(VSOCK);
	uint64_t value = 0;

	say(result(sys_ioctl(fd, VHOST_GET_FEATURES, &value)), "get");
	say_text("offered", "%#llx", (unsigned long long)value);
	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t one = UINT64_C(1) << bit;
		long r = result(sys_ioctl(fd, VHOST_SET_FEATURES, &one));

		if (r != -EOPNOTSUPP)
			say(r, "set.%u", bit);
	}
	value = 0;
	say(result(sys_ioctl(fd, VHOST_SET_FEATURES, edge(8, &value))), "set.none");
	say(result(sys_ioctl(fd, VHOST_SET_FEATURES, edge(4, NULL))), "set.half");
	say(result(sys_ioctl(fd, VHOST_GET_BACKEND_FEATURES, &value)), "backend.get");
	say_text("backend.offered", "%#llx", (unsigned long long)value);
	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t one = UINT64_C(1) << bit;
		long r = result(sys_ioctl(fd, VHOST_SET_BACKEND_FEATURES, &one));

		if (r != -EOPNOTSUPP)
			say(r, "backend.set.%u", bit);
	}
	sys_close(fd);
}

void area_memory(void)
{
	struct vhost_memory_region r[80];
	struct vhost_memory head = {.nregions = 1, .padding = 0};
	int fd = vhost_owned(VSOCK);

	for (unsigned i = 0; i < 80; i++)
		r[i] = (struct vhost_memory_region){.guest_phys_addr = i << 16, .memory_size = 0x10000,
						    .userspace_addr = 0x10000000 + (i << 16)};
	say(set_memory(fd, 0, NULL), "none");
	say(set_memory(fd, 1, r), "one");
	say(set_memory(fd, 64, r), "64");
	say(set_memory(fd, 65, r), "65");
	say(set_memory(fd, ~0u, r), "4294967295");
	head.padding = 1;
	say(result(sys_ioctl(fd, VHOST_SET_MEM_TABLE, edge(sizeof(head), &head))), "padding");
	head.nregions = 100;
	say(result(sys_ioctl(fd, VHOST_SET_MEM_TABLE, edge(sizeof(head), &head))), "padding and 100");
	head = (struct vhost_memory){.nregions = 1};
	say(result(sys_ioctl(fd, VHOST_SET_MEM_TABLE, edge(sizeof(head), &head))), "head alone");
	say(result(sys_ioctl(fd, VHOST_SET_MEM_TABLE, edge(4, &head))), "half a head");
	r[0].memory_size = 0;
	say(set_memory(fd, 1, r), "size 0 at 0");
	say(set_memory(fd, 1, r + 1), "one again");
	r[1].memory_size = 0;
	say(set_memory(fd, 1, r + 1), "size 0");
	r[1].memory_size = 1;
	say(set_memory(fd, 1, r + 1), "size 1");
	r[1].memory_size = UINT64_MAX;
	say(set_memory(fd, 1, r + 1), "size wraps");
	r[1].guest_phys_addr = r[2].guest_phys_addr;
	r[1].memory_size = 0x20000;
	say(set_memory(fd, 2, r + 1), "overlap");
	r[1].userspace_addr = UINT64_MAX - 5;
	say(set_memory(fd, 1, r + 1), "bad address");
	r[1].flags_padding = 7;
	say(set_memory(fd, 1, r + 1), "flags");
	say(set_memory_flat(fd), "flat");
	sys_close(fd);
}

static long set_addr(int fd, unsigned index, unsigned flags, uint64_t desc, uint64_t avail,
		     uint64_t used, uint64_t log)
{
	struct vhost_vring_addr a = {.index = index, .flags = flags, .desc_user_addr = desc,
				     .used_user_addr = used, .avail_user_addr = avail,
				     .log_guest_addr = log};

	return result(sys_ioctl(fd, VHOST_SET_VRING_ADDR, edge(sizeof(a), &a)));
}

static void vring_files(int fd, const char *name, unsigned long cmd)
{
	int event = eventfd(0, 0), file = open("/dev/null", O_RDWR);

	say(set_file(fd, cmd, 0, event), "%s.eventfd", name);
	say(set_file(fd, cmd, 0, event), "%s.eventfd again", name);
	say(set_file(fd, cmd, 0, -1), "%s.-1", name);
	say(set_file(fd, cmd, 0, -1), "%s.-1 again", name);
	say(set_file(fd, cmd, 0, -2), "%s.-2", name);
	say(set_file(fd, cmd, 0, NO_DESCRIPTOR), "%s.closed", name);
	say(set_file(fd, cmd, 0, file), "%s.file", name);
	say(set_file(fd, cmd, 2, event), "%s.index 2", name);
	say(set_file(fd, cmd, ~0u, event), "%s.index -1", name);
	close(event);
	close(file);
}

void area_vring(void)
{
	static const unsigned nums[] = {0, 1, 2, 3, 255, 256, 257, 16384, 32768, 32769, 65535,
					65536, 0x80000000};
	static const unsigned bases[] = {0, 1, 65535, 65536, 0xffffffff};
	int fd = vhost_owned(VSOCK);
	struct vhost_vring_state s;

	for (size_t i = 0; i < ARRAY_SIZE(nums); i++)
		say(set_state(fd, VHOST_SET_VRING_NUM, 0, nums[i]), "num.%u", nums[i]);
	say(set_state(fd, VHOST_SET_VRING_NUM, 2, 16), "num.index 2");
	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		say(set_state(fd, VHOST_SET_VRING_BASE, 1, bases[i]), "base.%u", bases[i]);
		s = (struct vhost_vring_state){.index = 1, .num = 77};
		say(result(sys_ioctl(fd, VHOST_GET_VRING_BASE, &s)), "base.get");
		say_text("base.value", "%u %u", s.index, s.num);
	}
	say(result(sys_ioctl(fd, VHOST_GET_VRING_BASE, read_only(sizeof(s), &s))),
	    "base.get read-only");
	say(set_state(fd, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, 0, 0xffffffff), "busyloop.set");
	s = (struct vhost_vring_state){.index = 0, .num = 77};
	say(result(sys_ioctl(fd, VHOST_GET_VRING_BUSYLOOP_TIMEOUT, &s)), "busyloop.get");
	say_text("busyloop.value", "%u %u", s.index, s.num);
	say(set_state(fd, VHOST_SET_VRING_ENDIAN, 0, 1), "endian.set");
	say(set_addr(fd, 0, 0, 0x1000, 0x2000, 0x3000, 0x4000), "addr");
	say(set_addr(fd, 0, 1, 0x1000, 0x2000, 0x3000, 0x4000), "addr.log");
	say(set_addr(fd, 0, 2, 0x1000, 0x2000, 0x3000, 0x4000), "addr.flag 2");
	say(set_addr(fd, 0, 2, 0x1000, 0x2001, 0x3000, 0x4000), "addr.flag 2 and avail");
	say(set_addr(fd, 0, 0, 0x1001, 0x2000, 0x3000, 0x4000), "addr.desc+1");
	say(set_addr(fd, 0, 0, 0x1000, 0x2001, 0x3000, 0x4000), "addr.avail+1");
	say(set_addr(fd, 0, 0, 0x1000, 0x2002, 0x3000, 0x4000), "addr.avail+2");
	say(set_addr(fd, 0, 0, 0x1000, 0x2000, 0x3002, 0x4000), "addr.used+2");
	say(set_addr(fd, 0, 0, 0x1000, 0x2000, 0x3000, 0x4002), "addr.log+2");
	say(set_addr(fd, 0, 0, UINT64_MAX << 4, 0x2000, 0x3000, 0x4000), "addr.desc high");
	say(set_addr(fd, 2, 0, 0, 0, 0, 0), "addr.index 2");
	vring_files(fd, "kick", VHOST_SET_VRING_KICK);
	vring_files(fd, "call", VHOST_SET_VRING_CALL);
	vring_files(fd, "err", VHOST_SET_VRING_ERR);
	sys_close(fd);
}

void area_log(void)
{
	int fd = vhost_owned(VSOCK), event = eventfd(0, 0), file = open("/dev/null", O_RDWR), none = -1,
	    bad = NO_DESCRIPTOR;
	uint64_t base = 0x1000, high = UINT64_MAX;

	say(result(sys_ioctl(fd, VHOST_SET_LOG_BASE, edge(8, &base))), "base");
	say(result(sys_ioctl(fd, VHOST_SET_LOG_BASE, edge(4, &base))), "base.half");
	say(result(sys_ioctl(fd, VHOST_SET_LOG_BASE, edge(8, &high))), "base.high");
	say(result(sys_ioctl(fd, VHOST_SET_LOG_FD, edge(4, &event))), "fd.eventfd");
	say(result(sys_ioctl(fd, VHOST_SET_LOG_FD, edge(4, &file))), "fd.file");
	say(result(sys_ioctl(fd, VHOST_SET_LOG_FD, edge(4, &bad))), "fd.closed");
	say(result(sys_ioctl(fd, VHOST_SET_LOG_FD, edge(4, &none))), "fd.-1");
	say(result(sys_ioctl(fd, VHOST_SET_LOG_FD, NOWHERE)), "fd.nowhere");
	close(event);
	close(file);
	sys_close(fd);
}

static void messages(int fd, const char *when)
{
	struct vhost_msg_v2 m = {0};
	char buffer[80] = {0};

	for (size_t size = 0; size <= 80; size += 8)
		say(result(sys_write(fd, edge(size, NULL), size)), "%s.write %zu bytes of a5", when,
		    size);
	for (uint32_t type = 0; type < 4; type++) {
		m.type = type;
		say(result(sys_write(fd, &m, sizeof(m))), "%s.type %u", when, type);
	}
	for (uint32_t type = 1; type < 3; type++) {
		for (uint8_t what = 0; what < 7; what++) {
			m = (struct vhost_msg_v2){.type = type};
			m.iotlb.type = what;
			m.iotlb.perm = 3;
			say(result(sys_write(fd, &m, sizeof(m))), "%s.%u.%u size 0", when, type,
			    what);
			m.iotlb.size = 4096;
			say(result(sys_write(fd, &m, sizeof(m))), "%s.%u.%u", when, type, what);
		}
		say(result(sys_write(fd, &m, 40)), "%s.%u 40 bytes", when, type);
		say(result(sys_write(fd, &m, 39)), "%s.%u 39 bytes", when, type);
		say(result(sys_write(fd, &m, 4)), "%s.%u 4 bytes", when, type);
	}
	say(result(sys_write(fd, NOWHERE, 72)), "%s.write from nowhere", when);
	say(result(sys_read(fd, buffer, 71)), "%s.read 71", when);
	say(result(sys_read(fd, NOWHERE, 71)), "%s.read 71 nowhere", when);
	say(result(sys_read(fd, buffer, 72)), "%s.read 72", when);
	say(result(sys_pread(fd, buffer, 72, 4096)), "%s.pread 72", when);
}

void area_messages(void)
{
	int fd = vhost_open(VSOCK);

	messages(fd, "nobody's");
	sys_close(fd);
	fd = vhost_owned(VSOCK);
	messages(fd, "owned");
	sys_close(fd);
	fd = sys_open("/dev/vhost-vsock", O_RDWR | O_NONBLOCK);
	messages(fd, "nonblocking");
	sys_close(fd);
	fd = sys_open("/dev/vhost-vsock", O_WRONLY);
	messages(fd, "write-only");
	sys_close(fd);
	fd = sys_open("/dev/vhost-vsock", O_RDONLY);
	messages(fd, "read-only");
	say(result(sys_ioctl(fd, VHOST_SET_OWNER)), "read-only.owner");
	sys_close(fd);
}

static const struct area areas[] = {
	{"owner", area_owner, false},	  {"features", area_features, false},
	{"memory", area_memory, false},	  {"vring", area_vring, false},
	{"log", area_log, false},	  {"messages", area_messages, false},
	{"vsock", area_vsock, false},	  {"packets", area_packets, false},
	{"vsock-iotlb", area_vsock_iotlb, false},
	{"net-iotlb", area_net_iotlb, false},
	{"net", area_net, false},	  {"net-features", area_net_features, false},
	{"net-backend", area_net_backend, false}, {"tap", area_tap, false},
	{"tap-packets", area_tap_packets, false}, {"files", area_files, true},
};

int main(int argc, char **argv)
{
	return conformance_main(argc, argv, areas, ARRAY_SIZE(areas));
}
