/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost-scsi conformance program: /dev/vhost-scsi's own ioctls, and what it answers to
 * requests.  A driver of the rings is in this process, and guest addresses are its own.
 *
 * In a kernel it makes the target port WWPN with two units in memory, 0 and, read-only, 3.
 */
#include "vhost.h"
#include "../split_ring.h"

#include <linux/virtio_scsi.h>
#include <poll.h>
#include <sys/klog.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define WWPN     "naa.5001405000000001"
#define NUM      16
#define BLOCK    512
#define CONFIGFS "/sys/kernel/config/target"

/* ---- the target port in a kernel ---- */

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		give_up(path, -errno);
	close(fd);
}

static void make(const char *path)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		give_up(path, -errno);
}

static void make_unit(unsigned lun, const char *disk)
{
	char path[256];

	make(CONFIGFS "/core/rd_mcp_0");
	snprintf(path, sizeof(path), CONFIGFS "/core/rd_mcp_0/%s", disk);
	make(path);
	snprintf(path, sizeof(path), CONFIGFS "/core/rd_mcp_0/%s/control", disk);
	put(path, "rd_pages=256\n");
	snprintf(path, sizeof(path), CONFIGFS "/core/rd_mcp_0/%s/enable", disk);
	put(path, "1\n");
	snprintf(path, sizeof(path), CONFIGFS "/vhost/" WWPN "/tpgt_0/lun/lun_%u", lun);
	make(path);
}

static void link_unit(unsigned lun, const char *disk)
{
	char from[256], to[256];

	snprintf(from, sizeof(from), CONFIGFS "/core/rd_mcp_0/%s", disk);
	snprintf(to, sizeof(to), CONFIGFS "/vhost/" WWPN "/tpgt_0/lun/lun_%u/unit", lun);
	if (symlink(from, to) < 0 && errno != EEXIST)
		give_up(to, -errno);
}

static void make_port(void)
{
	if (access(CONFIGFS, F_OK) < 0 || access(CONFIGFS "/vhost/" WWPN, F_OK) == 0)
		return;
	klogctl(8, NULL, 1); /* no messages among the answers */
	make(CONFIGFS "/vhost");
	make(CONFIGFS "/vhost/" WWPN);
	make(CONFIGFS "/vhost/" WWPN "/tpgt_0");
	put(CONFIGFS "/vhost/" WWPN "/tpgt_0/nexus", "naa.5001405000000000\n");
	make_unit(0, "first");
	link_unit(0, "first");
	make_unit(3, "second");
	link_unit(3, "second");
}

/* ---- calls ---- */

static int scsi_open(void)
{
	make_port();
	return vhost_open("/dev/vhost-scsi");
}

static int scsi_owned(void)
{
	make_port();
	return vhost_owned("/dev/vhost-scsi");
}

static long endpoint(int fd, unsigned long cmd, const char *wwpn)
{
	struct vhost_scsi_target t = {0};

	memcpy(t.vhost_wwpn, wwpn, strlen(wwpn));
	return result(sys_ioctl(fd, cmd, edge(sizeof(t), &t)));
}

static long set_endpoint(int fd, const char *wwpn)
{
	return endpoint(fd, VHOST_SCSI_SET_ENDPOINT, wwpn);
}

static long clear_endpoint(int fd, const char *wwpn)
{
	return endpoint(fd, VHOST_SCSI_CLEAR_ENDPOINT, wwpn);
}

static long set_features(int fd, uint64_t features)
{
	return result(sys_ioctl(fd, VHOST_SET_FEATURES, edge(8, &features)));
}

/* ---- area owner ---- */

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
	C(SET_VRING_KICK),
	C(SET_VRING_CALL),
	C(SET_VRING_ERR),
	C(SET_VRING_BUSYLOOP_TIMEOUT),
	C(GET_VRING_BUSYLOOP_TIMEOUT),
	C(GET_FEATURES),
	C(SET_FEATURES),
	C(GET_BACKEND_FEATURES),
	C(SET_BACKEND_FEATURES),
	C(SET_FORK_FROM_OWNER),
	C(GET_FORK_FROM_OWNER),
	C(NET_SET_BACKEND),
	C(VSOCK_SET_RUNNING),
	C(NEW_WORKER),
	C(FREE_WORKER),
	C(ATTACH_VRING_WORKER),
	C(GET_VRING_WORKER),
	C(SCSI_SET_ENDPOINT),
	C(SCSI_CLEAR_ENDPOINT),
	C(SCSI_GET_ABI_VERSION),
	C(SCSI_SET_EVENTS_MISSED),
	C(SCSI_GET_EVENTS_MISSED),
#undef C
};

static void every_command(int fd, const char *when)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		uint32_t beyond = 130;

		say(result(sys_ioctl(fd, commands[i].cmd, NOWHERE)), "%s.%s nowhere", when,
		    commands[i].name);
		/* The index can be read, and no more. */
		say(result(sys_ioctl(fd, commands[i].cmd, edge(4, &beyond))), "%s.%s four bytes",
		    when, commands[i].name);
	}
	for (uint64_t index = 129; index < 131; index++) {
		say(result(sys_ioctl(fd, 0xafee, edge(8, &index))), "%s.unknown index %u", when,
		    (unsigned)index);
		say(result(sys_ioctl(fd, VHOST_GET_BACKEND_FEATURES, edge(8, &index))),
		    "%s.backend features %u", when, (unsigned)index);
		say(result(sys_ioctl(fd, VHOST_RESET_OWNER, edge(8, &index))), "%s.reset owner %u",
		    when, (unsigned)index);
	}
}

void area_owner(void)
{
	int fd = scsi_open();

	every_command(fd, "nobody's");
	say(result(sys_ioctl(fd, VHOST_SET_OWNER)), "set");
	say(result(sys_ioctl(fd, VHOST_SET_OWNER)), "again");
	every_command(fd, "owned");
	sys_close(fd);
}

/* ---- area features ---- */

void area_features(void)
{
	uint32_t missed = 7;
	uint64_t value = 0;
	int fd = scsi_open(), version = -1;

	say(result(sys_ioctl(fd, VHOST_GET_FEATURES, &value)), "get");
	say_text("offered", "%#llx", (unsigned long long)value);
	for (unsigned bit = 0; bit < 64; bit++) {
		long r = set_features(fd, UINT64_C(1) << bit);

		if (r != -EOPNOTSUPP)
			say(r, "set.%u", bit);
	}
	say(result(sys_ioctl(fd, VHOST_SCSI_GET_ABI_VERSION, &version)), "abi");
	say_text("abi.version", "%d", version);
	for (uint32_t set = 0; set < 3; set++) {
		say(result(sys_ioctl(fd, VHOST_SCSI_SET_EVENTS_MISSED, edge(4, &set))),
		    "missed.set %u", set);
		say(result(sys_ioctl(fd, VHOST_SCSI_GET_EVENTS_MISSED, &missed)), "missed.get");
		say_text("missed.value", "%u", missed);
	}
	sys_close(fd);
}

/* ---- area files ---- */

void area_files(void)
{
	struct pollfd p;
	struct stat st;
	char buffer[128] = {0};
	int fd = scsi_open();

	say(stat("/dev/vhost-scsi", &st), "stat");
	say_text("stat.kind", "%#o %u:%u", st.st_mode & S_IFMT, major(st.st_rdev),
		 minor(st.st_rdev));
	say(fstat(fd, &st), "fstat");
	say_text("fstat.kind", "%#o %u:%u", st.st_mode & S_IFMT, major(st.st_rdev),
		 minor(st.st_rdev));
	p = (struct pollfd){.fd = fd, .events = POLLIN | POLLOUT};
	say(result(poll(&p, 1, 0)), "poll");
	say_text("poll.events", "%#x", (unsigned)p.revents);
	say(result(read(fd, buffer, 72)), "read");
	say(result(write(fd, buffer, 72)), "write");
	say(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -errno : 0, "mmap");
	sys_close(fd);
}

/* ---- area endpoint ---- */

static void area_endpoint(void)
{
	struct vhost_scsi_target t = {.vhost_wwpn = WWPN, .reserved = 1};
	struct vhost_vring_state s = {0};
	char whole[sizeof(t.vhost_wwpn) + 1];
	int fd = scsi_open(), other;
	uint64_t base = UINT64_MAX << 12;

	say(set_endpoint(fd, WWPN), "nobody's.set");
	say(clear_endpoint(fd, WWPN), "nobody's.clear");
	say(result(sys_ioctl(fd, VHOST_SCSI_SET_ENDPOINT, edge(sizeof(t), &t))), "reserved.set");
	say(result(sys_ioctl(fd, VHOST_SCSI_CLEAR_ENDPOINT, edge(sizeof(t), &t))),
	    "reserved.clear");
	say(result(sys_ioctl(fd, VHOST_SCSI_SET_ENDPOINT, edge(sizeof(t) - 4, &t))), "short.set");
	say(result(sys_ioctl(fd, VHOST_SET_OWNER)), "owner");
	say(set_endpoint(fd, WWPN), "no memory.set");
	say(clear_endpoint(fd, WWPN), "no memory.clear");
	say(set_memory(fd, 0, NULL), "memory.none");
	say(clear_endpoint(fd, WWPN), "clear");
	say(clear_endpoint(fd, "naa.nonesuch"), "clear another");
	say(set_endpoint(fd, "naa.5001405000000002"), "set.nonesuch");
	say(set_endpoint(fd, ""), "set.empty");
	say(set_endpoint(fd, WWPN "0"), "set.longer");
	say(set_endpoint(fd, "NAA.5001405000000001"), "set.capitals");
	memset(whole, 'a', sizeof(whole));
	whole[sizeof(whole) - 1] = 0;
	say(set_endpoint(fd, whole), "set.long");
	say(set_endpoint(fd, WWPN), "set");
	say(set_endpoint(fd, WWPN), "set.again");
	say(set_endpoint(fd, "naa.5001405000000002"), "set.another");
	other = scsi_owned();
	set_memory_flat(other);
	say(set_endpoint(other, WWPN), "other.set");
	say(clear_endpoint(other, WWPN), "other.clear");
	for (unsigned i = 0; i < 130; i += 43) {
		say(set_state(fd, VHOST_SET_VRING_NUM, i, 16), "active.num %u", i);
		say(set_state(fd, VHOST_SET_VRING_BASE, i, 0), "active.base %u", i);
		s.index = i;
		say(result(sys_ioctl(fd, VHOST_GET_VRING_BASE, &s)), "active.get base %u", i);
		say_text("active.base", "%u", s.num);
	}
	say(set_features(fd, 0), "active.features same");
	say(set_features(fd, UINT64_C(1) << VIRTIO_F_VERSION_1), "active.features other");
	say(set_features(fd, UINT64_C(1) << 60), "active.features unknown");
	say(set_features(fd, UINT64_C(1) << VHOST_F_LOG_ALL), "active.features log");
	say(set_features(fd, UINT64_C(1) << VHOST_F_LOG_ALL | UINT64_C(1) << VIRTIO_F_VERSION_1),
	    "active.features log and other");
	say(result(sys_ioctl(fd, VHOST_SET_LOG_BASE, &base)), "active.log base");
	say(set_memory_flat(fd), "active.memory");
	say(set_features(fd, 0), "active.features none");
	say(set_memory_flat(fd), "active.memory again");
	say(clear_endpoint(fd, "naa.5001405000000002"), "clear.another");
	say(clear_endpoint(fd, ""), "clear.empty");
	say(clear_endpoint(fd, WWPN), "clear.the one");
	say(clear_endpoint(fd, WWPN), "clear.again");
	say(set_state(fd, VHOST_SET_VRING_NUM, 0, 16), "cleared.num");
	say(set_endpoint(other, WWPN), "other.set");
	say(set_endpoint(fd, WWPN), "set while another has it");
	sys_close(other);
	say(set_endpoint(fd, WWPN), "set after it was closed");
	sys_close(fd);
}

/* ---- area workers ---- */

static void area_workers(void)
{
	struct vhost_worker_state w = {0};
	struct vhost_vring_worker r = {.index = 5};
	int fd = scsi_owned();

	say(result(sys_ioctl(fd, VHOST_GET_VRING_WORKER, &r)), "get");
	say_text("get.id", "%u", r.worker_id);
	say(result(sys_ioctl(fd, VHOST_NEW_WORKER, &w)), "new");
	say_text("new.id", "%u", w.worker_id);
	r.worker_id = w.worker_id;
	say(result(sys_ioctl(fd, VHOST_ATTACH_VRING_WORKER, &r)), "attach");
	say(result(sys_ioctl(fd, VHOST_FREE_WORKER, &w)), "free.attached");
	r.index = 130;
	say(result(sys_ioctl(fd, VHOST_ATTACH_VRING_WORKER, &r)), "attach.130");
	r.index = 5;
	r.worker_id = 99;
	say(result(sys_ioctl(fd, VHOST_ATTACH_VRING_WORKER, &r)), "attach.to 99");
	r.worker_id = 0;
	say(result(sys_ioctl(fd, VHOST_ATTACH_VRING_WORKER, &r)), "attach.back");
	say(result(sys_ioctl(fd, VHOST_FREE_WORKER, &w)), "free");
	say(result(sys_ioctl(fd, VHOST_FREE_WORKER, &w)), "free.again");
	sys_close(fd);
}

/* ---- a driver ---- */

struct ring {
	SPLIT_RING(NUM, 16);
	int kick, call, err;
	uint16_t seen;
};

static struct ring rings[3];

static void ring_setup(int fd, unsigned index)
{
	struct ring *r = &rings[index];
	struct vhost_vring_addr a = {.index = index,
				     .desc_user_addr = (uintptr_t)r->desc,
				     .avail_user_addr = (uintptr_t)&r->avail,
				     .used_user_addr = (uintptr_t)&r->used};

	memset(r, 0, sizeof(*r));
	r->kick = eventfd(0, EFD_NONBLOCK);
	r->call = eventfd(0, EFD_NONBLOCK);
	r->err = eventfd(0, EFD_NONBLOCK);
	set_state(fd, VHOST_SET_VRING_NUM, index, NUM);
	set_state(fd, VHOST_SET_VRING_BASE, index, 0);
	sys_ioctl(fd, VHOST_SET_VRING_ADDR, &a);
	set_file(fd, VHOST_SET_VRING_KICK, index, r->kick);
	set_file(fd, VHOST_SET_VRING_CALL, index, r->call);
	set_file(fd, VHOST_SET_VRING_ERR, index, r->err);
}

static unsigned count(int event)
{
	uint64_t n = 0;

	return read(event, &n, sizeof(n)) == sizeof(n) ? (unsigned)n : 0;
}

static void kick(struct ring *r)
{
	uint64_t one = 1;

	if (write(r->kick, &one, 8) != 8)
		give_up("kick", -errno);
}

struct piece {
	void *at;
	uint32_t size;
	bool write;
};

static void offer(struct ring *r, const struct piece *pieces, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		r->desc[i] = (struct vring_desc){
			.addr = (uintptr_t)pieces[i].at,
			.len = pieces[i].size,
			.flags = (uint16_t)((pieces[i].write ? VRING_DESC_F_WRITE : 0) |
					    (i + 1 < n ? VRING_DESC_F_NEXT : 0)),
			.next = (uint16_t)(i + 1)};
	r->avail.ring[r->avail.idx % NUM] = 0;
	__atomic_store_n(&r->avail.idx, (uint16_t)(r->avail.idx + 1), __ATOMIC_RELEASE);
}

/* Whether a chain was used, and with which length. */
static bool used(struct ring *r, uint32_t *ret_length, int ms)
{
	for (int i = 0; i < ms; i++) {
		if (__atomic_load_n(&r->used.idx, __ATOMIC_ACQUIRE) != r->seen) {
			*ret_length = r->used.ring[r->seen++ % NUM].len;
			return true;
		}
		usleep(1000);
	}
	return false;
}

/* How long a chain may take, ms; less where it is expected to be lost. */
static int patience = 2000;
#define LOST 150

/* One chain at the beginning of the ring, and how it went. */
static bool exchange(const char *name, unsigned ring, const struct piece *pieces, unsigned n)
{
	struct ring *r = &rings[ring];
	uint32_t length = 0;
	bool ok;

	offer(r, pieces, n);
	kick(r);
	ok = used(r, &length, patience);
	/* Signals come after the used ring. */
	usleep(20000);
	if (ok)
		say_text(name, "used, length %u, errors %u", length, count(r->err) != 0);
	else
		say_text(name, "not used, errors %u", count(r->err) != 0);
	return ok;
}

static struct virtio_scsi_cmd_req request = {.lun = {1}};
static struct virtio_scsi_cmd_resp response;
static uint8_t data[64 * 1024] __attribute__((aligned(4096)));

static void say_response(const char *name)
{
	unsigned key = response.sense[2] & 15, code = response.sense[12],
		 qualifier = response.sense[13];

	if (response.sense_len && (response.sense[0] & 0x7f) >= 0x72) {
		key = response.sense[1] & 15;
		code = response.sense[2];
		qualifier = response.sense[3];
	}
	say_text(name, "response %u status %#x resid %u sense_len %u %x/%02x/%02x",
		 response.response, response.status, response.resid, response.sense_len, key, code,
		 qualifier);
}

static void simple(const char *name, uint32_t out, uint32_t in)
{
	struct piece p[4] = {{&request, sizeof(request), false}};
	unsigned n = 1;

	if (out)
		p[n++] = (struct piece){data, out, false};
	p[n++] = (struct piece){&response, sizeof(response), true};
	if (in)
		p[n++] = (struct piece){data, in, true};
	memset(&response, 0xa5, sizeof(response));
	if (exchange(name, 2, p, n))
		say_response(name);
}

static void cdb(const uint8_t *bytes, size_t size)
{
	memset(request.cdb, 0, sizeof(request.cdb));
	memcpy(request.cdb, bytes, size);
}
#define CDB(...) cdb((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Unit attentions are the targets' business. */
static void settle(void)
{
	struct piece p[] = {{&request, sizeof(request), false},
			    {&response, sizeof(response), true}};
	uint32_t length;

	for (unsigned lun = 0; lun < 4; lun += 3) {
		request.lun[3] = (uint8_t)lun;
		CDB(0);
		for (int i = 0; i < 4; i++) {
			offer(&rings[2], p, 2);
			kick(&rings[2]);
			used(&rings[2], &length, 2000);
		}
	}
	request.lun[3] = 0;
}

static int driver(uint64_t features)
{
	int fd = scsi_owned();
	long r;

	set_features(fd, features);
	set_memory_flat(fd);
	for (unsigned i = 0; i < 3; i++)
		ring_setup(fd, i);
	r = set_endpoint(fd, WWPN);
	if (r)
		give_up("VHOST_SCSI_SET_ENDPOINT", r);
	settle();
	return fd;
}

static void area_requests(void)
{
	int fd = driver(UINT64_C(1) << VIRTIO_F_VERSION_1);

	CDB(0);
	simple("TEST UNIT READY", 0, 0);
	simple("TEST UNIT READY with room", 0, 100);
	simple("TEST UNIT READY with data", 100, 0);
	CDB(0x12, 0, 0, 0, 36);
	simple("INQUIRY 36", 0, 36);
	say_text("INQUIRY 36", "type %u", data[0]);
	simple("INQUIRY 36 into 100", 0, 100);
	simple("INQUIRY 36 without room", 0, 0);
	CDB(0x25);
	memset(data, 0, 8);
	simple("READ CAPACITY", 0, 8);
	say_text("READ CAPACITY", "last %02x%02x%02x%02x block %02x%02x%02x%02x", data[0], data[1],
		 data[2], data[3], data[4], data[5], data[6], data[7]);
	memset(data, 0x5a, sizeof(data));
	CDB(0x2a, 0, 0, 0, 0, 8, 0, 0, 4);
	simple("WRITE(10)", 4 * BLOCK, 0);
	memset(data, 0, sizeof(data));
	CDB(0x28, 0, 0, 0, 0, 8, 0, 0, 4);
	simple("READ(10)", 0, 4 * BLOCK);
	say_text("READ(10)", "%02x %02x %02x", data[0], data[4 * BLOCK - 1], data[4 * BLOCK]);
	simple("READ(10) with more room", 0, 5 * BLOCK);
	simple("READ(10) both ways", 512, 4 * BLOCK);
	CDB(0x28, 0, 0, 0, 8, 0, 0, 0, 1);
	simple("READ(10) beyond the end", 0, BLOCK);
	CDB(0xff);
	simple("an unknown command", 0, 0);
	CDB(0x7f, 0, 0, 0, 0, 0, 0, 24);
	simple("a CDB of 32", 0, 0);
	CDB(0x7f, 0, 0, 0, 0, 0, 0, 25);
	simple("a CDB of 33", 0, 0);
	CDB(0);
	request.lun[0] = 0;
	simple("lun[0] 0", 0, 0);
	request.lun[0] = 2;
	simple("lun[0] 2", 0, 0);
	request.lun[0] = 1;
	request.lun[1] = 1;
	simple("target 1", 0, 0);
	request.lun[1] = 255;
	simple("target 255", 0, 0);
	request.lun[1] = 0;
	request.lun[3] = 1;
	simple("unit 1", 0, 0);
	request.lun[2] = 0x40;
	request.lun[3] = 0;
	simple("unit 0, flat", 0, 0);
	request.lun[2] = 0xc0;
	simple("unit 0, c0", 0, 0);
	request.lun[2] = 0x41;
	simple("unit 256", 0, 0);
	request.lun[2] = 0;
	request.lun[7] = 9;
	simple("lun[7]", 0, 0);
	request.lun[7] = 0;
	request.lun[3] = 3;
	CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	simple("READ(10) of unit 3", 0, BLOCK);
	request.lun[3] = 0;
	for (unsigned attribute = 0; attribute < 6; attribute++) {
		char name[32];

		request.task_attr = (uint8_t)attribute;
		CDB(0);
		snprintf(name, sizeof(name), "attribute %u", attribute);
		simple(name, 0, 0);
	}
	request.task_attr = 0;
	say(clear_endpoint(fd, WWPN), "clear");
	sys_close(fd);
}

/* The same request in other pieces. */
static void area_layouts(void)
{
	char *req = (char *)&request, *resp = (char *)&response;
	int fd = driver(UINT64_C(1) << VIRTIO_F_VERSION_1);
	struct {
		struct virtio_scsi_cmd_req request;
		uint8_t data[BLOCK];
	} __attribute__((packed)) whole_out;
	struct {
		struct virtio_scsi_cmd_resp response;
		uint8_t data[BLOCK];
	} __attribute__((packed)) whole_in;

#define TRY(name, ...)                                     \
	do {                                               \
		const struct piece p[] = {__VA_ARGS__};    \
		memset(&response, 0xa5, sizeof(response)); \
		if (exchange(name, 2, p, ARRAY_SIZE(p)))   \
			say_response(name);                \
	} while (0)

	CDB(0x12, 0, 0, 0, 36);
	TRY("header in two", {req, 7, false}, {req + 7, sizeof(request) - 7, false},
	    {&response, sizeof(response), true}, {data, 36, true});
	TRY("response in three", {req, sizeof(request), false}, {resp, 1, true},
	    {resp + 1, 100, true}, {resp + 101, 7, true}, {data, 36, true});
	memset(&whole_in, 0xa5, sizeof(whole_in));
	TRY("response and data in one", {req, sizeof(request), false},
	    {&whole_in, sizeof(whole_in), true});
	say_text("response and data in one", "status %#x resid %u type %u",
		 whole_in.response.status, whole_in.response.resid, whole_in.data[0]);
	CDB(0x2a, 0, 0, 0, 0, 8, 0, 0, 1);
	whole_out.request = request;
	memset(whole_out.data, 0x77, sizeof(whole_out.data));
	TRY("header and data in one", {&whole_out, sizeof(whole_out), false},
	    {&response, sizeof(response), true});
	CDB(0x28, 0, 0, 0, 0, 8, 0, 0, 1);
	TRY("data in pieces", {req, sizeof(request), false}, {&response, sizeof(response), true},
	    {data, 1, true}, {data + 1, 500, true}, {data + 501, 11, true});
	say_text("data in pieces", "%02x %02x %02x", data[0], data[500], data[511]);
	CDB(0);
	patience = LOST;
	TRY("response before the request", {&response, sizeof(response), true},
	    {req, sizeof(request), false});
	TRY("request alone", {req, sizeof(request), false});
	patience = 2000;
	TRY("response alone", {&response, sizeof(response), true});
	TRY("short request", {req, sizeof(request) - 1, false},
	    {&response, sizeof(response), true});
	patience = LOST;
	TRY("short response", {req, sizeof(request), false},
	    {&response, sizeof(response) - 1, true});
	TRY("both short", {req, sizeof(request) - 1, false},
	    {&response, sizeof(response) - 1, true});
	patience = 2000;
	TRY("request from nowhere", {NOWHERE, sizeof(request), false},
	    {&response, sizeof(response), true});
	patience = LOST;
	TRY("response to nowhere", {req, sizeof(request), false},
	    {NOWHERE, sizeof(response), true});
	CDB(0x28, 0, 0, 0, 0, 8, 0, 0, 1);
	TRY("data to nowhere", {req, sizeof(request), false}, {&response, sizeof(response), true},
	    {NOWHERE, BLOCK, true});
	CDB(0x2a, 0, 0, 0, 0, 8, 0, 0, 1);
	TRY("data from nowhere", {req, sizeof(request), false}, {NOWHERE, BLOCK, false},
	    {&response, sizeof(response), true});
	patience = 2000;
	TRY("good again", {req, sizeof(request), false}, {data, BLOCK, false},
	    {&response, sizeof(response), true});
	say_text("calls", "%s", count(rings[2].call) ? "some" : "none");
	say(clear_endpoint(fd, WWPN), "clear");
	sys_close(fd);
#undef TRY
}

/* Headers with T10 protection information. */
static void area_protection(void)
{
	static struct virtio_scsi_cmd_req_pi pi = {.lun = {1}, .cdb = {0x28, [8] = 1}};
	static const struct {
		const char *name;
		uint32_t out, in;
		uint32_t size_out, size_in;
		uint8_t opcode, protect;
	} cases[] = {
		{"none", 0, 0, 0, BLOCK, 0x28, 0},
		{"read with 8", 0, 8, 0, BLOCK + 8, 0x28, 0},
		{"write with 8", 8, 0, BLOCK + 8, 0, 0x2a, 0},
		{"read, protect", 0, 0, 0, BLOCK, 0x28, 0x20},
		{"read with 8, protect", 0, 8, 0, BLOCK + 8, 0x28, 0x20},
		{"in of a write", 0, 8, BLOCK + 8, 0, 0x2a, 0},
		{"out of a read", 8, 0, 0, BLOCK + 8, 0x28, 0},
		{"out and in of a write", 8, 8, BLOCK + 8, 0, 0x2a, 0},
		{"more than data", 0, BLOCK, 0, BLOCK, 0x28, 0},
	};
	int fd = driver(UINT64_C(1) << VIRTIO_F_VERSION_1);

	clear_endpoint(fd, WWPN);
	say(set_features(fd, UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1)
									 << VIRTIO_SCSI_F_T10_PI),
	    "features");
	for (unsigned i = 0; i < 3; i++)
		ring_setup(fd, i);
	say(set_endpoint(fd, WWPN), "set");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct piece p[4] = {{&pi, sizeof(pi), false}};
		unsigned n = 1;

		pi.pi_bytesout = cases[i].out;
		pi.pi_bytesin = cases[i].in;
		pi.cdb[0] = cases[i].opcode;
		pi.cdb[1] = cases[i].protect;
		if (cases[i].size_out)
			p[n++] = (struct piece){data, cases[i].size_out, false};
		p[n++] = (struct piece){&response, sizeof(response), true};
		if (cases[i].size_in)
			p[n++] = (struct piece){data, cases[i].size_in, true};
		/* The first may meet a unit attention. */
		for (int again = i == 0 ? 3 : 0; again; again--) {
			uint32_t length;

			offer(&rings[2], p, n);
			kick(&rings[2]);
			used(&rings[2], &length, 2000);
		}
		if (exchange(cases[i].name, 2, p, n))
			say_response(cases[i].name);
	}
	sys_close(fd);
}

static void area_control(void)
{
	struct virtio_scsi_ctrl_tmf_req tmf = {.type = VIRTIO_SCSI_T_TMF, .lun = {1}};
	struct virtio_scsi_ctrl_an_req an = {.lun = {1}, .event_requested = 0xff};
	struct virtio_scsi_ctrl_an_resp an_response;
	uint8_t answer;
	int fd = driver(UINT64_C(1) << VIRTIO_F_VERSION_1);

#define MANAGE(name)                                                                       \
	do {                                                                               \
		const struct piece p[] = {{&tmf, sizeof(tmf), false}, {&answer, 1, true}}; \
		answer = 0xa5;                                                             \
		if (exchange(name, 0, p, 2))                                               \
			say_text(name, "response %u", answer);                             \
	} while (0)

	for (unsigned subtype = 0; subtype < 10; subtype++) {
		char name[32];

		tmf.subtype = subtype;
		snprintf(name, sizeof(name), "function %u", subtype);
		MANAGE(name);
	}
	tmf.subtype = VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET;
	tmf.lun[3] = 1;
	MANAGE("reset of unit 1");
	tmf.lun[3] = 3;
	MANAGE("reset of unit 3");
	tmf.lun[1] = 1;
	MANAGE("reset at target 1");
	tmf.lun[1] = 0;
	tmf.lun[0] = 0;
	MANAGE("reset with lun[0] 0");
	tmf.lun[0] = 1;
	for (uint32_t type = 1; type < 3; type++) {
		const struct piece p[] = {{&an, sizeof(an), false},
					  {&an_response, sizeof(an_response), true}};
		char name[32];

		for (unsigned target = 0; target < 2; target++) {
			an.type = type;
			an.lun[1] = (uint8_t)target;
			memset(&an_response, 0xa5, sizeof(an_response));
			snprintf(name, sizeof(name), "notification %u of %u", type, target);
			if (exchange(name, 0, p, 2))
				say_text(name, "actual %u response %u", an_response.event_actual,
					 an_response.response);
		}
		an.lun[0] = 0;
		snprintf(name, sizeof(name), "notification %u with lun[0] 0", type);
		if (exchange(name, 0, p, 2))
			say_text(name, "response %u", an_response.response);
		an.lun[0] = 1;
	}
	{
		const struct piece s[] = {{&tmf, sizeof(tmf) - 1, false}, {&answer, 1, true}};
		const struct piece a[] = {{&an, sizeof(an) - 1, false},
					  {&an_response, sizeof(an_response), true}};
		const struct piece r[] = {{&an, sizeof(an), false},
					  {&an_response, sizeof(an_response) - 1, true}};
		const struct piece t[] = {{&tmf, 3, false}, {&answer, 1, true}};
		const struct piece alone[] = {{&tmf, sizeof(tmf), false}};

		answer = 0xa5;
		if (exchange("short management", 0, s, 2))
			say_text("short management", "response %u", answer);
		if (exchange("short notification", 0, a, 2))
			say_text("short notification", "response %u", an_response.response);
		patience = LOST;
		exchange("short response", 0, r, 2);
		exchange("short type", 0, t, 2);
		exchange("no response", 0, alone, 1);
		an.type = 3;
		exchange("unknown type", 0, r, 2);
	}
	patience = 2000;
	MANAGE("good again");
	sys_close(fd);
#undef MANAGE
}

static void area_events(void)
{
	struct virtio_scsi_event event;
	uint32_t missed = 1, length = 0;
	const struct piece good[] = {{&event, sizeof(event), true}};
	const struct piece longer[] = {{data, sizeof(event) + 1, true}};
	int fd = driver(UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << VIRTIO_SCSI_F_HOTPLUG);

	offer(&rings[1], good, 1);
	kick(&rings[1]);
	say(used(&rings[1], &length, 100), "nothing missed");
	say(result(sys_ioctl(fd, VHOST_SCSI_SET_EVENTS_MISSED, &missed)), "missed");
	memset(&event, 0xa5, sizeof(event));
	kick(&rings[1]);
	say(used(&rings[1], &length, 2000), "kicked");
	say_text("kicked", "length %u event %#x reason %u lun %02x%02x%02x%02x", length,
		 event.event, event.reason, event.lun[0], event.lun[1], event.lun[2], event.lun[3]);
	say(result(sys_ioctl(fd, VHOST_SCSI_GET_EVENTS_MISSED, &missed)), "missed.get");
	say_text("missed.value", "%u", missed);
	missed = 1;
	sys_ioctl(fd, VHOST_SCSI_SET_EVENTS_MISSED, &missed);
	patience = LOST;
	say(exchange("a buffer of another size", 1, longer, 1), "another size");
	sys_ioctl(fd, VHOST_SCSI_GET_EVENTS_MISSED, &missed);
	say_text("missed.value", "%u", missed);
	sys_close(fd);
}

/* What was there before the endpoint, and what comes after it. */
static void area_lifetime(void)
{
	struct piece p[] = {{&request, sizeof(request), false},
			    {&response, sizeof(response), true}};
	struct vhost_vring_state s = {.index = 2};
	uint32_t length;
	int fd = driver(UINT64_C(1) << VIRTIO_F_VERSION_1);

	CDB(0);
	say(clear_endpoint(fd, WWPN), "clear");
	offer(&rings[2], p, 2);
	kick(&rings[2]);
	say(used(&rings[2], &length, 50), "without an endpoint");
	say(result(sys_ioctl(fd, VHOST_GET_VRING_BASE, &s)), "base");
	say_text("base", "%u of %u", s.num, rings[2].avail.idx);
	say(set_endpoint(fd, WWPN), "set");
	say(used(&rings[2], &length, 50), "with one, not kicked");
	kick(&rings[2]);
	say(used(&rings[2], &length, 2000), "kicked");
	/* Gone with its descriptor, with requests on the way. */
	for (int i = 0; i < 10; i++)
		offer(&rings[2], p, 2);
	kick(&rings[2]);
	sys_close(fd);
	say_text("closed", "done");
	fd = driver(UINT64_C(1) << VIRTIO_F_VERSION_1);
	CDB(0);
	simple("anew", 0, 0);
	sys_close(fd);
}

static const struct area areas[] = {
	{"owner", area_owner, false},       {"features", area_features, false},
	{"files", area_files, true},        {"endpoint", area_endpoint, false},
	{"workers", area_workers, false},   {"requests", area_requests, false},
	{"layouts", area_layouts, false},   {"protection", area_protection, false},
	{"control", area_control, false},   {"events", area_events, false},
	{"lifetime", area_lifetime, false},
};

int main(int argc, char **argv)
{
	return conformance_main(argc, argv, areas, ARRAY_SIZE(areas));
}
