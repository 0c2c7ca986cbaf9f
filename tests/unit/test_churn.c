/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a client may change while the guest runs, changed while the guest runs: backends above
 * all, but also eventfds, memory tables and the dirty log.  /dev/vhost-net on two stood-in taps,
 * /dev/vhost-vsock and /dev/vhost-scsi are driven and changed all at once, each by two threads, for
 * a second or for $STANDIN_CHURN_SECONDS.  Then nothing is changed any more, and each has to
 * go on as if nothing had been.
 *
 * A ring's chains are prepared once, and made available again whenever they come back.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <linux/virtio_scsi.h>
#include <linux/virtio_vsock.h>
#include <net/if.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <standin/standin.h>

#include "uapi/tun.h"
#include "uapi/vhost.h"
#include "../split_ring.h"

#define NUM    16u
#define CHAINS (NUM / 2) /* of two descriptors at most */
#define RINGS  3u
#define BUFFER 2048u
#define BASE   UINT64_C(0x40000000) /* guest address of a device's memory */
#define PAGE   4096u
#define WWPN   "naa.5001405000000001"
#define CID    42u
#define ENOUGH 100u     /* chains that are to be done in the end */
#define LONG   20000000 /* us that this may take */

struct memory {
	struct {
		SPLIT_RING(NUM, 16);
	} ring[RINGS];
	uint8_t buffer[RINGS][NUM][BUFFER] __attribute__((aligned(8)));
};

struct device {
	const char *path;
	unsigned n_rings; /* scsi has more */
	/* Prepares chain `i` of `ring`. */
	void (*chain)(struct device *d, unsigned ring, unsigned i);
	/* Connects the rings to what is behind them, in one of several ways if there are; or not.
	 */
	void (*connect)(struct device *d, unsigned way, bool on);
	void (*open)(struct device *d);
	int fd, taps[2], kick[RINGS], call, other;
	struct memory *memory;
	uint8_t log[(BASE + sizeof(struct memory) + PAGE) / PAGE / 8 + 8];
	uint16_t available[RINGS], seen[RINGS];
	_Atomic uint64_t done; /* chains of the last ring */
	pthread_t driver, changer;
};

static _Atomic bool changing, driving;

/* ---- the client ---- */

static long call(const struct device *d, unsigned long command, void *argument)
{
	return standin_ioctl(d->fd, command, argument) < 0 ? -errno : 0;
}

static long set_state(const struct device *d, unsigned long command, unsigned ring, unsigned num)
{
	struct vhost_vring_state s = {.index = ring, .num = num};

	return call(d, command, &s);
}

static long set_file(const struct device *d, unsigned long command, unsigned ring, int fd)
{
	struct vhost_vring_file file = {.index = ring, .fd = fd};

	return call(d, command, &file);
}

static long set_memory(const struct device *d)
{
	struct {
		struct vhost_memory head;
		struct vhost_memory_region region;
	} table = {.head.nregions = 1,
		   .region = {BASE, sizeof(struct memory), (uintptr_t)d->memory, 0}};

	return call(d, VHOST_SET_MEM_TABLE, &table);
}

static long set_address(const struct device *d, unsigned ring, bool log)
{
	struct vhost_vring_addr a = {
		.index = ring,
		.flags = log ? 1 << VHOST_VRING_F_LOG : 0,
		.desc_user_addr = (uintptr_t)d->memory->ring[ring].desc,
		.avail_user_addr = (uintptr_t)&d->memory->ring[ring].avail,
		.used_user_addr = (uintptr_t)&d->memory->ring[ring].used,
		.log_guest_addr =
			BASE + ((uintptr_t)&d->memory->ring[ring].used - (uintptr_t)d->memory),
	};

	return call(d, VHOST_SET_VRING_ADDR, &a);
}

static long set_features(const struct device *d, bool log)
{
	uint64_t features =
		UINT64_C(1) << VIRTIO_F_VERSION_1 | (log ? UINT64_C(1) << VHOST_F_LOG_ALL : 0);

	return call(d, VHOST_SET_FEATURES, &features);
}

/* Chain `i`: what is read and what is written, each of any size but 0 and 0. */
static void set_chain(struct device *d, unsigned ring, unsigned i, const void *out, uint32_t size,
		      uint32_t room)
{
	struct vring_desc *desc = &d->memory->ring[ring].desc[2 * i];
	uint64_t at = BASE + offsetof(struct memory, buffer[ring][2 * i]);

	if (size)
		memcpy(d->memory->buffer[ring][2 * i], out, size);
	if (size)
		*desc++ = (struct vring_desc){at, size, 0, 0};
	if (size && room)
		*(desc - 1) =
			(struct vring_desc){at, size, VRING_DESC_F_NEXT, (uint16_t)(2 * i + 1)};
	if (room)
		*desc = (struct vring_desc){at + BUFFER, room, VRING_DESC_F_WRITE, 0};
}

static void open_device(struct device *d)
{
	uint64_t log = (uintptr_t)d->log;

	d->memory = aligned_alloc(PAGE, (sizeof(*d->memory) + PAGE - 1) & ~(PAGE - 1ul));
	memset(d->memory, 0, sizeof(*d->memory));
	d->fd = standin_open(d->path, O_RDWR);
	assert_true(d->fd >= 0);
	d->call = eventfd(0, EFD_NONBLOCK);
	d->other = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(call(d, VHOST_SET_OWNER, NULL), 0);
	assert_int_equal(set_features(d, false), 0);
	assert_int_equal(set_memory(d), 0);
	assert_int_equal(call(d, VHOST_SET_LOG_BASE, &log), 0);
	for (unsigned r = 0; r < d->n_rings; r++) {
		d->kick[r] = eventfd(0, EFD_NONBLOCK);
		assert_int_equal(set_state(d, VHOST_SET_VRING_NUM, r, NUM), 0);
		assert_int_equal(set_state(d, VHOST_SET_VRING_BASE, r, 0), 0);
		assert_int_equal(set_address(d, r, false), 0);
		assert_int_equal(set_file(d, VHOST_SET_VRING_KICK, r, d->kick[r]), 0);
		assert_int_equal(set_file(d, VHOST_SET_VRING_CALL, r, d->call), 0);
		for (unsigned i = 0; i < CHAINS; i++)
			d->chain(d, r, i);
	}
	if (d->open)
		d->open(d);
	d->connect(d, 0, true);
}

/* ---- the kinds ---- */

static void net_chain(struct device *d, unsigned ring, unsigned i)
{
	uint8_t frame[sizeof(struct virtio_net_hdr_mrg_rxbuf) + 300] = {0};

	/* To everybody. */
	memset(frame + sizeof(struct virtio_net_hdr_mrg_rxbuf), 0xff, 6);
	if (ring == 0)
		set_chain(d, ring, i, NULL, 0, BUFFER);
	else
		set_chain(d, ring, i, frame, sizeof(frame), 0);
}

static void net_connect(struct device *d, unsigned way, bool on)
{
	for (unsigned r = 0; r < d->n_rings; r++)
		assert_int_equal(set_file(d, VHOST_NET_SET_BACKEND, r, on ? d->taps[way % 2] : -1),
				 0);
}

static void net_open(struct device *d)
{
	int size = sizeof(struct virtio_net_hdr_mrg_rxbuf);

	for (unsigned i = 0; i < 2; i++) {
		struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};

		d->taps[i] = standin_open("/dev/net/tun", O_RDWR | O_NONBLOCK);
		assert_true(d->taps[i] >= 0);
		assert_int_equal(standin_ioctl(d->taps[i], TUNSETIFF, &request), 0);
		assert_int_equal(standin_ioctl(d->taps[i], TUNSETVNETHDRSZ, &size), 0);
	}
}

/* A connection to a port where nobody listens, which is refused. */
static void vsock_chain(struct device *d, unsigned ring, unsigned i)
{
	struct virtio_vsock_hdr header = {
		.src_cid = CID,
		.dst_cid = 2,
		.src_port = 1000 + i,
		.dst_port = 1,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = VIRTIO_VSOCK_OP_REQUEST,
	};

	if (ring == 0)
		set_chain(d, ring, i, NULL, 0, BUFFER);
	else
		set_chain(d, ring, i, &header, sizeof(header), 0);
}

static void vsock_connect(struct device *d, unsigned way, bool on)
{
	int running = on;

	assert_int_equal(call(d, VHOST_VSOCK_SET_RUNNING, &running), 0);
}

static void vsock_open(struct device *d)
{
	uint64_t cid = CID;

	assert_int_equal(call(d, VHOST_VSOCK_SET_GUEST_CID, &cid), 0);
}

/* The first two rings are for other things, and stay empty. */
static void scsi_chain(struct device *d, unsigned ring, unsigned i)
{
	struct virtio_scsi_cmd_req request = {.lun = {1}, .cdb = {0x28, [8] = 1}};

	if (ring == 2)
		set_chain(d, ring, i, &request, sizeof(request),
			  sizeof(struct virtio_scsi_cmd_resp) + 512);
}

static void scsi_connect(struct device *d, unsigned way, bool on)
{
	struct vhost_scsi_target target = {.vhost_wwpn = WWPN};

	assert_int_equal(call(d, on ? VHOST_SCSI_SET_ENDPOINT : VHOST_SCSI_CLEAR_ENDPOINT, &target),
			 0);
}

static struct device devices[] = {
	{.path = "/dev/vhost-net",
	 .n_rings = 2,
	 .chain = net_chain,
	 .connect = net_connect,
	 .open = net_open},
	{.path = "/dev/vhost-vsock",
	 .n_rings = 2,
	 .chain = vsock_chain,
	 .connect = vsock_connect,
	 .open = vsock_open},
	{.path = "/dev/vhost-scsi", .n_rings = 3, .chain = scsi_chain, .connect = scsi_connect},
};

#define DEVICES (sizeof(devices) / sizeof(devices[0]))

/* ---- the guest ---- */

static void kick(const struct device *d, unsigned ring)
{
	static const uint64_t one = 1;

	assert_int_equal(write(d->kick[ring], &one, sizeof(one)), sizeof(one));
}

static void offer(struct device *d, unsigned ring, uint16_t head)
{
	d->memory->ring[ring].avail.ring[d->available[ring]++ % NUM] = head;
	__atomic_store_n(&d->memory->ring[ring].avail.idx, d->available[ring], __ATOMIC_RELEASE);
}

/* Takes back what is done, and makes it available again. */
static void drive_ring(struct device *d, unsigned ring)
{
	uint16_t used = __atomic_load_n(&d->memory->ring[ring].used.idx, __ATOMIC_ACQUIRE);

	for (; d->seen[ring] != used; d->seen[ring]++) {
		unsigned head = d->memory->ring[ring].used.ring[d->seen[ring] % NUM].id;

		assert_true(head < NUM && head % 2 == 0);
		offer(d, ring, (uint16_t)head);
		if (ring == d->n_rings - 1)
			atomic_fetch_add(&d->done, 1);
	}
	kick(d, ring);
}

static void *drive(void *arg)
{
	struct device *d = arg;

	for (unsigned r = 0; r < d->n_rings; r++)
		for (unsigned i = 0; i < CHAINS && d->memory->ring[r].desc[2 * i].addr; i++)
			offer(d, r, (uint16_t)(2 * i));
	while (atomic_load(&driving)) {
		for (unsigned r = 0; r < d->n_rings; r++)
			drive_ring(d, r);
		usleep(20);
	}
	return NULL;
}

static void *change(void *arg)
{
	struct device *d = arg;
	unsigned seed = 1;

	while (atomic_load(&changing)) {
		unsigned ring = (unsigned)rand_r(&seed) % d->n_rings;

		switch (rand_r(&seed) % 7) {
		case 0:
			assert_int_equal(set_file(d, VHOST_SET_VRING_CALL, ring, d->other), 0);
			assert_int_equal(set_file(d, VHOST_SET_VRING_CALL, ring, d->call), 0);
			break;
		case 1:
			assert_int_equal(set_file(d, VHOST_SET_VRING_KICK, ring, d->other), 0);
			assert_int_equal(set_file(d, VHOST_SET_VRING_KICK, ring, d->kick[ring]), 0);
			break;
		case 2:
			assert_int_equal(set_memory(d), 0);
			break;
		case 3:
			assert_int_equal(set_features(d, true), 0);
			assert_int_equal(set_features(d, false), 0);
			break;
		case 4:
			assert_int_equal(set_address(d, ring, true), 0);
			assert_int_equal(set_address(d, ring, false), 0);
			break;
		case 5:
			assert_int_equal(set_state(d, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, ring,
						   (unsigned)rand_r(&seed) % 100),
					 0);
			break;
		default:
			d->connect(d, 0, false);
			d->connect(d, (unsigned)rand_r(&seed), true);
			/* Net's other tap without a time in between. */
			if (d->open == net_open)
				d->connect(d, (unsigned)rand_r(&seed), true);
			break;
		}
	}
	return NULL;
}

static void wait_for_changes(void)
{
	const char *seconds = getenv("STANDIN_CHURN_SECONDS");
	double wanted = seconds ? atof(seconds) : 1;
	struct timespec t = {.tv_sec = (time_t)wanted,
			     .tv_nsec = (long)((wanted - (double)(time_t)wanted) * 1e9)};

	nanosleep(&t, NULL);
}

static void wait_for_progress(struct device *d)
{
	uint64_t wanted = atomic_load(&d->done) + ENOUGH;

	for (int us = 0; atomic_load(&d->done) < wanted; us += 1000) {
		if (us > LONG)
			fail_msg("%s: nothing is done any more", d->path);
		usleep(1000);
	}
}

static void test_changes_under_load(void **state)
{
	assert_int_equal(standin_start("log error\n"
				       "net loopback\n"
				       "vhost-scsi wwpn=" WWPN ",lun0.size=1M\n"),
			 0);
	atomic_store(&changing, true);
	atomic_store(&driving, true);
	for (unsigned i = 0; i < DEVICES; i++) {
		open_device(&devices[i]);
		pthread_create(&devices[i].driver, NULL, drive, &devices[i]);
		pthread_create(&devices[i].changer, NULL, change, &devices[i]);
	}
	wait_for_changes();
	atomic_store(&changing, false);
	for (unsigned i = 0; i < DEVICES; i++)
		pthread_join(devices[i].changer, NULL);
	for (unsigned i = 0; i < DEVICES; i++)
		wait_for_progress(&devices[i]);
	atomic_store(&driving, false);
	for (unsigned i = 0; i < DEVICES; i++) {
		struct device *d = &devices[i];

		pthread_join(d->driver, NULL);
		standin_close(d->fd);
		if (d->open == net_open) {
			standin_close(d->taps[0]);
			standin_close(d->taps[1]);
		}
		for (unsigned r = 0; r < d->n_rings; r++)
			close(d->kick[r]);
		close(d->call);
		close(d->other);
		free(d->memory);
	}
	standin_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_changes_under_load)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
