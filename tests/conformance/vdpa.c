/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vDPA conformance program: /dev/vhost-vdpa-0 and -1, the kernel's simulators.
 */
#include "vdpa.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static const char *path_of(unsigned device)
{
	return device == NET ? "/dev/vhost-vdpa-0" : "/dev/vhost-vdpa-1";
}

int vdpa_open(unsigned device)
{
	int fd = sys_open(path_of(device), O_RDWR);

	if (fd < 0)
		give_up("open of a vhost-vdpa", -errno);
	return fd;
}

int vdpa_owned(unsigned device)
{
	int fd = vdpa_open(device);
	long r = result(sys_ioctl(fd, VHOST_SET_OWNER));

	if (r)
		give_up("VHOST_SET_OWNER", r);
	return fd;
}

long vdpa_state(int fd, unsigned long cmd, unsigned index, unsigned num)
{
	struct vhost_vring_state s = {.index = index, .num = num};

	return result(sys_ioctl(fd, cmd, edge(sizeof(s), &s)));
}

long vdpa_file(int fd, unsigned long cmd, unsigned index, int file)
{
	struct vhost_vring_file s = {.index = index, .fd = file};

	return result(sys_ioctl(fd, cmd, edge(sizeof(s), &s)));
}

long vdpa_status(int fd, uint8_t status)
{
	return result(sys_ioctl(fd, VHOST_VDPA_SET_STATUS, edge(1, &status)));
}

long vdpa_backend_features(int fd, uint64_t features)
{
	return result(sys_ioctl(fd, VHOST_SET_BACKEND_FEATURES, edge(8, &features)));
}

/* ---- what they are ---- */

static void say_u32(int fd, const char *name, unsigned long cmd)
{
	uint32_t value = 0;

	say(result(sys_ioctl(fd, cmd, &value)), "%s", name);
	say_text(name, "%u", value);
}

static void identity(unsigned device)
{
	int fd = vdpa_open(device);
	struct vhost_vdpa_iova_range range = {0};
	uint64_t features = 0;
	uint16_t num = 0;

	say_u32(fd, "id", VHOST_VDPA_GET_DEVICE_ID);
	say_u32(fd, "config size", VHOST_VDPA_GET_CONFIG_SIZE);
	say_u32(fd, "vqs", VHOST_VDPA_GET_VQS_COUNT);
	say_u32(fd, "groups", VHOST_VDPA_GET_GROUP_NUM);
	say_u32(fd, "spaces", VHOST_VDPA_GET_AS_NUM);
	say(result(sys_ioctl(fd, VHOST_VDPA_GET_VRING_NUM, &num)), "num");
	say_text("num", "%u", num);
	say(result(sys_ioctl(fd, VHOST_GET_FEATURES, &features)), "features");
	say_text("features", "%#llx", (unsigned long long)features);
	say(result(sys_ioctl(fd, VHOST_GET_BACKEND_FEATURES, &features)), "backend");
	say_text("backend", "%#llx", (unsigned long long)features);
	say(result(sys_ioctl(fd, VHOST_VDPA_GET_IOVA_RANGE, &range)), "range");
	say_text("range", "%#llx %#llx", (unsigned long long)range.first,
		 (unsigned long long)range.last);
	sys_close(fd);
}

void area_identity(void)
{
	identity(NET);
	identity(BLK);
}

/* ---- every command, with bad arguments ---- */

static const struct {
	const char *name;
	unsigned long cmd;
} commands[] = {
#define C(name)                     \
	{                           \
#name, VHOST_##name \
	}
	C(SET_MEM_TABLE),
	C(SET_LOG_BASE),
	C(SET_LOG_FD),
	C(SET_VRING_NUM),
	C(SET_VRING_ADDR),
	C(SET_VRING_BASE),
	C(GET_VRING_BASE),
	C(SET_VRING_ENDIAN),
	C(GET_VRING_ENDIAN),
	C(SET_VRING_KICK),
	C(SET_VRING_CALL),
	C(SET_VRING_ERR),
	C(SET_VRING_BUSYLOOP_TIMEOUT),
	C(GET_VRING_BUSYLOOP_TIMEOUT),
	C(GET_FEATURES),
	C(SET_FEATURES),
	C(GET_BACKEND_FEATURES),
	C(SET_BACKEND_FEATURES),
	C(VSOCK_SET_RUNNING),
	C(SET_FORK_FROM_OWNER),
	C(GET_FORK_FROM_OWNER),
	C(NET_SET_BACKEND),
	C(VDPA_GET_DEVICE_ID),
	C(VDPA_GET_STATUS),
	C(VDPA_SET_STATUS),
	C(VDPA_GET_CONFIG),
	C(VDPA_SET_CONFIG),
	C(VDPA_SET_VRING_ENABLE),
	C(VDPA_GET_VRING_NUM),
	C(VDPA_SET_CONFIG_CALL),
	C(VDPA_GET_IOVA_RANGE),
	C(VDPA_GET_CONFIG_SIZE),
	C(VDPA_GET_VQS_COUNT),
	C(VDPA_GET_GROUP_NUM),
	C(VDPA_GET_AS_NUM),
	C(VDPA_GET_VRING_GROUP),
	C(VDPA_GET_VRING_DESC_GROUP),
	C(VDPA_GET_VRING_SIZE),
	C(VDPA_SET_GROUP_ASID),
	C(VDPA_SUSPEND),
	C(VDPA_RESUME),
	C(RESET_OWNER),
	C(NEW_WORKER),
	C(ATTACH_VRING_WORKER),
	C(GET_FEATURES_ARRAY),
#undef C
};

static void every_command(int fd, const char *when)
{
	uint32_t beyond = 3;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		say(result(sys_ioctl(fd, commands[i].cmd, NOWHERE)), "%s.%s nowhere", when,
		    commands[i].name);
		/* The index can be read, and no more. */
		say(result(sys_ioctl(fd, commands[i].cmd, edge(4, &beyond))), "%s.%s four bytes",
		    when, commands[i].name);
	}
	say(result(sys_ioctl(fd, 0xafee, edge(4, &beyond))), "%s.unknown index 3", when);
	say(result(sys_ioctl(fd, 0xafee, NOWHERE)), "%s.unknown nowhere", when);
}

void area_commands(void)
{
	int fd = vdpa_open(NET);

	every_command(fd, "nobody's");
	sys_close(fd);
	fd = vdpa_owned(NET);
	say(result(sys_ioctl(fd, VHOST_SET_OWNER)), "again");
	every_command(fd, "owned");
	sys_close(fd);
}

/* ---- status ---- */

static void say_status(int fd, const char *name)
{
	uint8_t status = 0xee;

	sys_ioctl(fd, VHOST_VDPA_GET_STATUS, &status);
	say_text(name, "%#x", status);
}

void area_status(void)
{
	static const uint8_t steps[] = {1,   3, 1, 3,    0xb,  0x3,  0xf, 0xf, 0xb, 0x8f,
					0xf, 0, 0, 0x40, 0xff, 0xfe, 0,   4,   0,   0xf};
	uint64_t features = 0x300000000;
	int fd = vdpa_open(NET);

	say_status(fd, "fresh");
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		say(vdpa_status(fd, steps[i]), "set %zu %#x", i, steps[i]);
		say_status(fd, "is");
	}
	say(result(sys_ioctl(fd, VHOST_SET_FEATURES, &features)), "features after FEATURES_OK");
	sys_close(fd);
	fd = vdpa_open(NET);
	say_status(fd, "opened again");
	sys_close(fd);
}

void area_features(void)
{
	int fd = vdpa_open(NET);
	uint64_t value;

	for (unsigned bit = 0; bit < 64; bit++) {
		value = UINT64_C(1) << bit;
		if (result(sys_ioctl(fd, VHOST_SET_FEATURES, &value)) != -EINVAL)
			say(result(sys_ioctl(fd, VHOST_SET_FEATURES, &value)), "set.%u", bit);
	}
	value = UINT64_MAX;
	say(result(sys_ioctl(fd, VHOST_SET_FEATURES, edge(8, &value))), "set.all");
	say(result(sys_ioctl(fd, VHOST_SET_FEATURES, edge(4, NULL))), "set.half");
	value = 0;
	say(result(sys_ioctl(fd, VHOST_SET_FEATURES, edge(8, &value))), "set.none");
	vdpa_status(fd, 0xb);
	say(result(sys_ioctl(fd, VHOST_SET_FEATURES, edge(4, NULL))), "set.half after FEATURES_OK");
	for (unsigned bit = 0; bit < 64; bit++) {
		long r = vdpa_backend_features(fd, UINT64_C(1) << bit);

		if (r != -EOPNOTSUPP)
			say(r, "backend.set.%u", bit);
	}
	say(vdpa_backend_features(fd, 0x7e), "backend.all");
	say(vdpa_backend_features(fd, 0x88), "backend.desc and asid");
	say(vdpa_backend_features(fd, 0x80), "backend.desc");
	say(vdpa_backend_features(fd, 0x280), "backend.unknown and desc");
	say(vdpa_backend_features(fd, 0), "backend.none");
	sys_close(fd);
}

/* ---- configuration space ---- */

static long config(int fd, unsigned long cmd, uint32_t offset, uint32_t size, uint8_t *bytes)
{
	struct vhost_vdpa_config *c = edge(sizeof(*c) + 128, NULL);
	long r;

	c->off = offset;
	c->len = size;
	if (cmd == VHOST_VDPA_SET_CONFIG)
		memcpy(c->buf, bytes, size < 128 ? size : 128);
	r = result(sys_ioctl(fd, cmd, c));
	memcpy(bytes, c->buf, size < 128 ? size : 128);
	return r;
}

static void say_config(int fd, const char *name, unsigned size)
{
	uint8_t bytes[128] = {0};
	struct text t = {0};

	say(config(fd, VHOST_VDPA_GET_CONFIG, 0, size, bytes), "%s", name);
	for (unsigned i = 0; i < size; i++)
		text_add(&t, "%02x", bytes[i]);
	say_text(name, "%s", t.data);
}

static void config_bounds(int fd, unsigned long cmd, uint32_t size)
{
	const struct {
		uint32_t offset, size;
	} cases[] = {{0, 0},    {0, 1},        {0, size},     {0, size + 1},   {size, 0},
		     {size, 1}, {size - 1, 1}, {size - 1, 2}, {size + 1, 1},   {size + 1, 0},
		     {1, ~0u},  {~0u, 1},      {~0u, ~0u},    {0, 0x80000000}, {4, 2}};
	uint8_t bytes[128] = {0};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		say(config(fd, cmd, cases[i].offset, cases[i].size, bytes), "%s %#x %#x",
		    cmd == VHOST_VDPA_GET_CONFIG ? "get" : "set", cases[i].offset, cases[i].size);
}

static void config_of(unsigned device)
{
	struct vhost_vdpa_config head = {.off = 0, .len = 4};
	int fd = vdpa_open(device);
	uint32_t size = 0;
	uint8_t bytes[128];

	sys_ioctl(fd, VHOST_VDPA_GET_CONFIG_SIZE, &size);
	say_config(fd, "fresh", size);
	config_bounds(fd, VHOST_VDPA_GET_CONFIG, size);
	config_bounds(fd, VHOST_VDPA_SET_CONFIG, size);
	memset(bytes, 0x5a, sizeof(bytes));
	say(config(fd, VHOST_VDPA_SET_CONFIG, 0, 6, bytes), "set six");
	say_config(fd, "six", size);
	memset(bytes, 0xff, sizeof(bytes));
	say(config(fd, VHOST_VDPA_SET_CONFIG, 0, size, bytes), "set all");
	say_config(fd, "all", size);
	vdpa_status(fd, 0);
	say_config(fd, "reset", size);
	memset(bytes, 0, sizeof(bytes));
	bytes[10] = 0xdc;
	bytes[11] = 5;
	say(config(fd, VHOST_VDPA_SET_CONFIG, 0, size, bytes), "set back");
	say_config(fd, "back", size);
	say(result(sys_ioctl(fd, VHOST_VDPA_GET_CONFIG, edge(8, &head))), "get without room");
	say(result(sys_ioctl(fd, VHOST_VDPA_SET_CONFIG, edge(8, &head))), "set without bytes");
	say(result(sys_ioctl(fd, VHOST_VDPA_SET_CONFIG, edge(6, NULL))), "set half a head");
	sys_close(fd);
}

void area_config(void)
{
	int event = eventfd(0, 0), file = open("/dev/null", O_RDWR), bad = NO_DESCRIPTOR, none = -1;
	int fd;

	config_of(NET);
	config_of(BLK);
	fd = vdpa_open(NET);
	say(result(sys_ioctl(fd, VHOST_VDPA_SET_CONFIG_CALL, edge(4, &event))), "call.eventfd");
	say(result(sys_ioctl(fd, VHOST_VDPA_SET_CONFIG_CALL, edge(4, &file))), "call.file");
	say(result(sys_ioctl(fd, VHOST_VDPA_SET_CONFIG_CALL, edge(4, &bad))), "call.closed");
	say(result(sys_ioctl(fd, VHOST_VDPA_SET_CONFIG_CALL, edge(4, &none))), "call.-1");
	say(result(sys_ioctl(fd, VHOST_VDPA_SET_CONFIG_CALL, edge(2, NULL))), "call.half");
	sys_close(fd);
	close(event);
	close(file);
}

/* ---- rings ---- */

static long set_addr(int fd, unsigned index, unsigned flags, uint64_t desc, uint64_t avail,
		     uint64_t used)
{
	struct vhost_vring_addr a = {.index = index,
				     .flags = flags,
				     .desc_user_addr = desc,
				     .used_user_addr = used,
				     .avail_user_addr = avail};

	return result(sys_ioctl(fd, VHOST_SET_VRING_ADDR, edge(sizeof(a), &a)));
}

static void get_base(int fd, const char *name, unsigned index)
{
	struct vhost_vring_state s = {.index = index, .num = 77};

	say(result(sys_ioctl(fd, VHOST_GET_VRING_BASE, &s)), "%s", name);
	say_text(name, "%u %u", s.index, s.num);
}

static void vring_files(int fd, const char *name, unsigned long cmd)
{
	int event = eventfd(0, 0), file = open("/dev/null", O_RDWR);

	say(vdpa_file(fd, cmd, 0, event), "%s.eventfd", name);
	say(vdpa_file(fd, cmd, 0, -1), "%s.-1", name);
	say(vdpa_file(fd, cmd, 0, NO_DESCRIPTOR), "%s.closed", name);
	say(vdpa_file(fd, cmd, 0, file), "%s.file", name);
	say(vdpa_file(fd, cmd, 3, event), "%s.index 3", name);
	close(event);
	close(file);
}

static void rings_when(int fd, const char *when)
{
	static const unsigned nums[] = {0, 1, 3, 256, 257, 512, 65536};
	static const unsigned bases[] = {0, 1, 65535, 65536};

	for (size_t i = 0; i < ARRAY_SIZE(nums); i++)
		say(vdpa_state(fd, VHOST_SET_VRING_NUM, 0, nums[i]), "%s.num %u", when, nums[i]);
	say(vdpa_state(fd, VHOST_SET_VRING_NUM, 3, 16), "%s.num index 3", when);
	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		say(vdpa_state(fd, VHOST_SET_VRING_BASE, 1, bases[i]), "%s.base %u", when,
		    bases[i]);
		get_base(fd, when, 1);
	}
	say(set_addr(fd, 0, 0, 0x1000, 0x2000, 0x3000), "%s.addr", when);
	say(set_addr(fd, 0, 1, 0x1000, 0x2000, 0x3000), "%s.addr log", when);
	say(set_addr(fd, 0, 2, 0x1000, 0x2000, 0x3000), "%s.addr flag 2", when);
	say(set_addr(fd, 0, 0, 0x1001, 0x2000, 0x3000), "%s.addr desc+1", when);
	say(set_addr(fd, 0, 0, 0x1000, 0x2001, 0x3000), "%s.addr avail+1", when);
	say(set_addr(fd, 0, 0, 0x1000, 0x2000, 0x3002), "%s.addr used+2", when);
	say(set_addr(fd, 0, 0, UINT64_MAX << 12, 0x2000, 0x3000), "%s.addr high", when);
	for (unsigned i = 0; i < 4; i++)
		say(vdpa_state(fd, VHOST_VDPA_SET_VRING_ENABLE, i, i), "%s.enable %u", when, i);
	say(vdpa_state(fd, VHOST_VDPA_SET_VRING_ENABLE, 0, 7), "%s.enable 0 7", when);
	say(vdpa_state(fd, VHOST_VDPA_SET_VRING_ENABLE, 0, 0), "%s.disable", when);
	say(vdpa_state(fd, VHOST_SET_VRING_ENDIAN, 0, 1), "%s.endian", when);
	say(vdpa_state(fd, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, 0, 5), "%s.busyloop", when);
	vring_files(fd, "kick", VHOST_SET_VRING_KICK);
	vring_files(fd, "call", VHOST_SET_VRING_CALL);
	vring_files(fd, "err", VHOST_SET_VRING_ERR);
}

void area_vring(void)
{
	uint64_t features = UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM;
	int fd = vdpa_owned(NET);

	rings_when(fd, "fresh");
	sys_ioctl(fd, VHOST_SET_FEATURES, &features);
	vdpa_status(fd, 0xf);
	rings_when(fd, "running");
	say(result(sys_ioctl(fd, VHOST_VDPA_SUSPEND)), "suspend");
	rings_when(fd, "suspended");
	say(result(sys_ioctl(fd, VHOST_VDPA_RESUME)), "resume");
	say(vdpa_state(fd, VHOST_SET_VRING_BASE, 1, 5), "resumed.base");
	vdpa_status(fd, 0);
	get_base(fd, "reset", 1);
	say(vdpa_state(fd, VHOST_SET_VRING_BASE, 1, 5), "reset.base");
	sys_close(fd);
}

void area_group(void)
{
	uint64_t features = UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM;
	int fd = vdpa_owned(NET);

	for (unsigned i = 0; i < 4; i++) {
		struct vhost_vring_state s = {.index = i, .num = 77};

		say(result(sys_ioctl(fd, VHOST_VDPA_GET_VRING_GROUP, &s)), "of %u", i);
		say_text("of", "%u %u", s.index, s.num);
		say(result(sys_ioctl(fd, VHOST_VDPA_GET_VRING_DESC_GROUP, &s)), "desc of %u", i);
		say(result(sys_ioctl(fd, VHOST_VDPA_GET_VRING_SIZE, &s)), "size of %u", i);
	}
	for (unsigned group = 0; group < 4; group++)
		for (unsigned space = 0; space < 3; space++)
			say(vdpa_state(fd, VHOST_VDPA_SET_GROUP_ASID, group, space), "set %u %u",
			    group, space);
	sys_ioctl(fd, VHOST_SET_FEATURES, &features);
	vdpa_status(fd, 0xf);
	say(vdpa_state(fd, VHOST_VDPA_SET_GROUP_ASID, 1, 1), "running.set");
	say(vdpa_state(fd, VHOST_VDPA_SET_GROUP_ASID, 2, 1), "running.set 2");
	say(vdpa_state(fd, VHOST_VDPA_SET_GROUP_ASID, 3, 1), "running.set 3");
	sys_close(fd);
	fd = vdpa_owned(BLK);
	say(vdpa_state(fd, VHOST_VDPA_SET_GROUP_ASID, 0, 0), "blk.set 0 0");
	say(vdpa_state(fd, VHOST_VDPA_SET_GROUP_ASID, 0, 1), "blk.set 0 1");
	sys_close(fd);
}

/* ---- the file ---- */

static void proc_devices(unsigned found_major)
{
	FILE *f = fopen("/proc/devices", "r");
	char line[128], name[64];
	unsigned number;

	say(f ? 0 : -errno, "proc devices");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%u %63s", &number, name) == 2 && !strcmp(name, "vhost-vdpa"))
			say_text("proc devices", "%s",
				 number == found_major ? "the node's major" : "another major");
	if (f)
		fclose(f);
}

void area_files(void)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT};
	int fd = vdpa_open(NET), epoll, other;
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
	char bytes[72] = {0}, link[256] = "", text[32] = "";
	struct stat st, by_path;
	ssize_t length;

	other = sys_open("/dev/vhost-vdpa-0", O_RDWR);
	say_fd(result(other), "second open");
	say(fstat(fd, &st), "fstat");
	say(stat("/dev/vhost-vdpa-0", &by_path), "stat");
	say_text("kind", "%#o %u %s", st.st_mode & S_IFMT, minor(st.st_rdev),
		 st.st_rdev == by_path.st_rdev ? "the same" : "another");
	proc_devices(major(st.st_rdev));
	say(result(poll(&p, 1, 0)), "poll");
	say_text("poll.events", "%#x", (unsigned)p.revents);
	epoll = epoll_create1(0);
	say(result(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)), "epoll.add");
	say(result(sys_read(fd, bytes, 72)), "read 72");
	say(result(sys_read(fd, bytes, 1)), "read 1");
	sys_close(fd);
	fd = sys_open("/dev/vhost-vdpa-0", O_WRONLY | O_CLOEXEC);
	say_fd(result(fd), "write-only open");
	say(result(sys_ioctl(fd, VHOST_SET_OWNER)), "write-only owner");
	sys_close(fd);
	length = readlink("/sys/bus/vdpa/devices/vdpa0", link, sizeof(link) - 1);
	say_text("sysfs.link", "%.*s", (int)length, link);
	length = readlink("/sys/bus/vdpa/devices/vdpa0/driver", link, sizeof(link) - 1);
	say_text("sysfs.driver", "%.*s", (int)length, link);
	other = open("/sys/bus/vdpa/devices/vdpa0/vhost-vdpa-0/dev", O_RDONLY);
	say(other < 0 ? -errno : 0, "sysfs.dev");
	snprintf(bytes, sizeof(bytes), "%u:%u\n", major(st.st_rdev), minor(st.st_rdev));
	say(read(other, text, sizeof(text) - 1) > 0 ? strcmp(text, bytes) : -errno, "sysfs.dev is");
	close(other);
	close(epoll);
}

/* Doorbells, which the simulators don't have. */
static void map_doorbell(int fd, const char *name, size_t size, int protection, int flags,
			 off_t offset)
{
	void *at = sys_mmap(NULL, size, protection, flags, fd, offset);

	say(at == MAP_FAILED ? -errno : 0, "%s", name);
	if (at != MAP_FAILED)
		munmap(at, size);
}

void area_doorbell(void)
{
	int fd = vdpa_open(NET);

	map_doorbell(fd, "write", 4096, PROT_WRITE, MAP_SHARED, 0);
	map_doorbell(fd, "no access", 4096, PROT_NONE, MAP_SHARED, 0);
	map_doorbell(fd, "second queue", 4096, PROT_WRITE, MAP_SHARED, 4096);
	map_doorbell(fd, "queue 65535", 4096, PROT_WRITE, MAP_SHARED, 65535L * 4096);
	map_doorbell(fd, "queue 65536", 4096, PROT_WRITE, MAP_SHARED, 65536L * 4096);
	map_doorbell(fd, "two pages", 8192, PROT_WRITE, MAP_SHARED, 0);
	map_doorbell(fd, "private", 4096, PROT_WRITE, MAP_PRIVATE, 0);
	map_doorbell(fd, "read", 4096, PROT_READ, MAP_SHARED, 0);
	map_doorbell(fd, "read and write", 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	map_doorbell(fd, "half a page", 2048, PROT_WRITE, MAP_SHARED, 0);
	sys_close(fd);
	fd = sys_open("/dev/vhost-vdpa-0", O_RDONLY);
	map_doorbell(fd, "of a file to read", 4096, PROT_WRITE, MAP_SHARED, 0);
	sys_close(fd);
}

static const struct area areas[] = {
	{"identity", area_identity, false}, {"commands", area_commands, false},
	{"status", area_status, false},     {"features", area_features, false},
	{"config", area_config, false},     {"vring", area_vring, false},
	{"group", area_group, false},       {"space", area_space, false},
	{"net", area_net, false},           {"control", area_control, false},
	{"blk", area_blk, false},           {"suspend", area_suspend, false},
	{"files", area_files, true},        {"doorbell", area_doorbell, false},
};

int main(int argc, char **argv)
{
#ifndef CONFORMANCE_EMBEDDED
	vdpa_make_devices();
#endif
	return conformance_main(argc, argv, areas, ARRAY_SIZE(areas));
}
