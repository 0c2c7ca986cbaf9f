/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost/scsi.h: endpoints, requests in flight, events, several rings and workers.  Which mistakes
 * in requests are answered how is asked by tests/conformance/vhost_scsi.c, beside a kernel.
 */
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "scsi/scsi.h"
#include "vhost/scsi_port.h"
#include "vhost_scsi_rig.h"

#define BIT(n)  (UINT64_C(1) << (n))
#define LOG     BIT(VHOST_F_LOG_ALL)
#define HOTPLUG BIT(VIRTIO_SCSI_F_HOTPLUG)
#define IO      2u /* the first ring for commands */
#define BLOCK   512u

static char file[] = "/tmp/standin-vhost-scsi-XXXXXX";

static void start(uint64_t features)
{
	char configuration[256];

	snprintf(configuration, sizeof(configuration),
		 "vhost-scsi wwpn=" GUEST_WWPN ",lun0.size=1M,lun1=%s,lun3.size=1M\n"
		 "vhost-scsi wwpn=" GUEST_WWPN ",tpgt=5,lun2.size=2M\n",
		 file);
	guest_start(configuration, features);
}

static int setup(void **state)
{
	start(GUEST_V1 | HOTPLUG);
	assert_int_equal(guest_set_endpoint(), 0);
	for (unsigned lun = 0; lun < 4; lun++)
		if (lun != 2)
			guest_ready(lun);
	return 0;
}

static int teardown(void **state)
{
	guest_stop();
	return 0;
}

static uint8_t *buffer(unsigned ring, unsigned slot)
{
	return guest.arena + GUEST_BUFFER(ring, slot);
}

#define READ_ONE(lba)  CDB(0x28, 0, 0, 0, 0, (lba), 0, 0, 1)
#define WRITE_ONE(lba) CDB(0x2a, 0, 0, 0, 0, (lba), 0, 0, 1)

/* ---- requests ---- */

static void test_commands(void **state)
{
	const struct virtio_scsi_cmd_resp *r;
	unsigned slot;

	memset(buffer(IO, guest_slot(IO)), 0x5a, BLOCK);
	assert_int_equal(guest_execute(0, WRITE_ONE(7), BLOCK, 0), SCSI_GOOD);
	slot = guest_send(IO, 0, READ_ONE(7), 0, BLOCK + 100);
	r = guest_response(IO, (int)slot);
	assert_int_equal(r->status, SCSI_GOOD);
	assert_int_equal(le32toh(r->resid), 100);
	assert_int_equal(buffer(IO, slot)[0], 0x5a);
	assert_int_equal(buffer(IO, slot)[BLOCK - 1], 0x5a);
	assert_true(guest_called(IO));
	/* An answer with sense data. */
	slot = guest_send(IO, 0, READ_ONE(0), 0, BLOCK - 1);
	r = guest_response(IO, (int)slot);
	assert_int_equal(r->status, SCSI_GOOD);
	slot = guest_send(IO, 0, CDB(0x28, 0, 0, 0, 8, 0, 0, 0, 1), 0, BLOCK);
	r = guest_response(IO, (int)slot);
	assert_int_equal(r->status, SCSI_CHECK_CONDITION);
	assert_int_equal(le32toh(r->sense_len), VIRTIO_SCSI_SENSE_SIZE);
	assert_int_equal(r->sense[2], 5);
	assert_int_equal(r->sense[12], 0x21);
}

/* The targets of an endpoint are the ports of its name. */
static void test_targets(void **state)
{
	struct virtio_scsi_cmd_req *request;
	const struct virtio_scsi_cmd_resp *r;

	for (unsigned target = 4; target < 7; target++) {
		unsigned slot = guest_slot(IO);
		const struct piece p[] = {
			{GUEST_REQUEST(IO, slot), sizeof(*request), false},
			{GUEST_RESPONSE(IO, slot), sizeof(*r), true},
		};

		request = (void *)(guest.arena + p[0].at);
		memset(request, 0, sizeof(*request));
		request->lun[0] = 1;
		request->lun[1] = (uint8_t)target;
		request->lun[3] = 2;
		guest_offer(IO, p, 2);
		r = guest_response(IO, (int)slot);
		assert_int_equal(r->response,
				 target == 5 ? VIRTIO_SCSI_S_OK : VIRTIO_SCSI_S_BAD_TARGET);
		/* It is a unit: power on, which it tells with the first command. */
		if (target == 5)
			assert_int_equal(r->sense[12], 0x29);
	}
}

/* A response that does not fit is an error alone, and so is a chain without one. */
static void test_short_response(void **state)
{
	unsigned slot = guest_slot(IO);
	const struct piece p[] = {
		{GUEST_REQUEST(IO, slot), sizeof(struct virtio_scsi_cmd_req), false},
		{GUEST_RESPONSE(IO, slot), sizeof(struct virtio_scsi_cmd_resp) - 1, true},
	};

	memset(guest.arena + p[0].at, 0, GUEST_PAGE);
	guest.arena[p[0].at] = 1;
	guest_offer(IO, p, 2);
	assert_true(guest_erred(IO));
	assert_int_equal(guest_used(IO, GUEST_SHORT), -1);
	guest_offer(IO, p, 1);
	assert_true(guest_erred(IO));
	assert_int_equal(guest_used(IO, GUEST_SHORT), -1);
	assert_int_equal(guest_execute(0, CDB(0), 0, 0), SCSI_GOOD);
}

/* More requests than the ring has entries: the driver offered one twice. */
static void test_tags(void **state)
{
	const struct virtio_scsi_cmd_resp *r;

	assert_int_equal(guest_clear_endpoint(), 0);
	guest.num[IO] = 4;
	guest_close();
	guest_open();
	assert_int_equal(guest_set_endpoint(), 0);
	guest_ready(0);
	guest_hold(0);
	for (unsigned i = 0; i < 4; i++)
		guest_send(IO, 0, CDB(0), 0, 0);
	guest_taken(IO);
	assert_int_equal(guest_used(IO, 0), -1);
	guest_send(IO, 0, CDB(0), 0, 0);
	r = guest_response(IO, 0);
	assert_int_equal(r->response, VIRTIO_SCSI_S_OK);
	assert_int_equal(r->status, SCSI_TASK_SET_FULL);
	guest_let_go();
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(guest_response(IO, 0)->status, SCSI_GOOD);
	assert_int_equal(guest_execute(0, CDB(0), 0, 0), SCSI_GOOD);
}

/* ---- changes while requests are in flight ---- */

/* A call that is made by a thread of its own, and how far the ring was when it returned. */
static struct {
	long (*call)(void);
	long result;
	uint16_t used;
	pthread_t thread;
} background;

static void *in_background(void *arg)
{
	const struct vring_used *used = (const void *)(guest.arena + GUEST_USED(IO));

	background.result = background.call();
	background.used = __atomic_load_n(&used->idx, __ATOMIC_ACQUIRE);
	return NULL;
}

/* The call waits for the requests: all of them are answered when it returns. */
static void waits_for_requests(long (*call)(void))
{
	const struct vring_used *used = (const void *)(guest.arena + GUEST_USED(IO));
	uint16_t want;

	guest_hold(0);
	for (unsigned i = 0; i < 5; i++)
		guest_send(IO, 0, READ_ONE(1), 0, BLOCK);
	guest_taken(IO);
	want = (uint16_t)(guest.seen[IO] + 5);
	background.call = call;
	assert_int_equal(pthread_create(&background.thread, NULL, in_background, NULL), 0);
	usleep(GUEST_SHORT * 1000);
	assert_int_equal(__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE), guest.seen[IO]);
	guest_let_go();
	pthread_join(background.thread, NULL);
	assert_int_equal(background.used, want);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(guest_response(IO, -1)->status, SCSI_GOOD);
}

static long clear(void)
{
	return guest_clear_endpoint();
}

static void test_clear_in_flight(void **state)
{
	struct vhost_vring_state s = {.index = IO};

	waits_for_requests(clear);
	assert_int_equal(background.result, 0);
	/* The rings stay where they are, for the next endpoint. */
	assert_int_equal(guest_ioctl(VHOST_GET_VRING_BASE, &s), 0);
	assert_int_equal(s.num, guest.avail[IO]);
	guest_send(IO, 0, CDB(0), 0, 0);
	assert_int_equal(guest_used(IO, GUEST_SHORT), -1);
	assert_int_equal(guest_set_endpoint(), 0);
	assert_int_equal(write(guest.kick[IO], &(uint64_t){1}, 8), 8);
	assert_int_equal(guest_response(IO, -1)->status, SCSI_CHECK_CONDITION);
}

static void test_memory_in_flight(void **state)
{
	waits_for_requests(guest_memory);
	assert_int_equal(background.result, 0);
	assert_int_equal(guest_execute(0, CDB(0), 0, 0), SCSI_GOOD);
}

static long close_file(void)
{
	guest_close();
	return 0;
}

static void test_close_in_flight(void **state)
{
	waits_for_requests(close_file);
	/* The port is free for the next. */
	guest_open();
	assert_int_equal(guest_set_endpoint(), 0);
	guest_ready(0);
}

/* ---- the endpoint ---- */

static void test_endpoint(void **state)
{
	struct guest first = guest;

	assert_int_equal(guest_set_endpoint(), -EEXIST);
	assert_int_equal(guest_endpoint(VHOST_SCSI_CLEAR_ENDPOINT, "naa.5001405000000002"),
			 -EINVAL);
	/* A second file finds no free port of that name. */
	guest_open();
	assert_int_equal(guest_set_endpoint(), -ENODEV);
	guest_close();
	guest.fd = first.fd;
	assert_int_equal(guest_clear_endpoint(), 0);
	assert_int_equal(guest_clear_endpoint(), 0);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(guest_set_endpoint(), 0);
		assert_int_equal(guest_clear_endpoint(), 0);
	}
}

static void test_features(void **state)
{
	assert_int_equal(guest_set_features(guest.features), 0);
	assert_int_equal(guest_set_features(GUEST_V1), -EBUSY);
	assert_int_equal(guest_set_features(guest.features | LOG), 0);
	assert_int_equal(guest_set_features(GUEST_V1 | LOG), -EBUSY);
	assert_int_equal(guest_set_features(guest.features | BIT(60)), -EOPNOTSUPP);
	assert_int_equal(guest_set_features(guest.features), 0);
	assert_int_equal(guest_clear_endpoint(), 0);
	assert_int_equal(guest_set_features(GUEST_V1), 0);
}

/* ---- the control queue ---- */

static uint8_t manage(const void *request, uint32_t size, uint32_t room)
{
	unsigned slot = guest_slot(0);
	const struct piece p[] = {{GUEST_REQUEST(0, slot), size, false},
				  {GUEST_RESPONSE(0, slot), room, true}};

	memcpy(guest.arena + p[0].at, request, size);
	memset(guest.arena + p[1].at, 0xa5, room);
	guest_offer(0, p, 2);
	assert_int_equal(guest_used(0, GUEST_LONG), slot);
	return guest.arena[p[1].at + room - 1];
}

static void test_control(void **state)
{
	struct virtio_scsi_ctrl_tmf_req tmf = {
		.type = htole32(VIRTIO_SCSI_T_TMF),
		.subtype = htole32(VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET),
		.lun = {1}};
	struct virtio_scsi_ctrl_an_req an = {.type = htole32(VIRTIO_SCSI_T_AN_QUERY), .lun = {1}};
	const uint32_t room = sizeof(struct virtio_scsi_ctrl_an_resp);

	assert_int_equal(manage(&tmf, sizeof(tmf), 1), VIRTIO_SCSI_S_FUNCTION_SUCCEEDED);
	/* What the reset tells the initiator. */
	assert_int_equal(guest_execute(0, CDB(0), 0, 0), SCSI_CHECK_CONDITION);
	tmf.lun[3] = 9;
	assert_int_equal(manage(&tmf, sizeof(tmf), 1), VIRTIO_SCSI_S_FUNCTION_REJECTED);
	tmf.lun[3] = 0;
	tmf.subtype = htole32(VIRTIO_SCSI_T_TMF_ABORT_TASK);
	assert_int_equal(manage(&tmf, sizeof(tmf), 1), VIRTIO_SCSI_S_FUNCTION_REJECTED);
	assert_int_equal(manage(&an, sizeof(an), room), VIRTIO_SCSI_S_OK);
	an.type = htole32(VIRTIO_SCSI_T_AN_SUBSCRIBE);
	an.event_requested = htole32(0xff);
	assert_int_equal(manage(&an, sizeof(an), room), VIRTIO_SCSI_S_OK);
	an.lun[0] = 0;
	assert_int_equal(manage(&an, sizeof(an), room), VIRTIO_SCSI_S_BAD_TARGET);
	assert_true(guest_called(0));
}

/* A reset answers those that wait, and then itself when the unit is free. */
static void test_reset_in_flight(void **state)
{
	struct virtio_scsi_ctrl_tmf_req tmf = {
		.type = htole32(VIRTIO_SCSI_T_TMF),
		.subtype = htole32(VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET),
		.lun = {1}};
	unsigned slot = guest_slot(0);
	const struct piece p[] = {{GUEST_REQUEST(0, slot), sizeof(tmf), false},
				  {GUEST_RESPONSE(0, slot), 1, true}};

	guest_hold(0);
	for (unsigned i = 0; i < 3; i++)
		guest_send(IO, 0, READ_ONE(1), 0, BLOCK);
	guest_taken(IO);
	memcpy(guest.arena + p[0].at, &tmf, sizeof(tmf));
	guest_offer(0, p, 2);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(guest_response(IO, -1)->response, VIRTIO_SCSI_S_RESET);
	assert_int_equal(guest_used(0, 0), -1);
	guest_let_go();
	assert_int_equal(guest_used(0, GUEST_LONG), slot);
	assert_int_equal(guest.arena[p[1].at], VIRTIO_SCSI_S_FUNCTION_SUCCEEDED);
}

/* ---- events ---- */

static void change(bool add, unsigned lun)
{
	char spec[64], error[CONFIG_ERROR_MAX];
	struct vhost_scsi_config what;

	if (!add) {
		assert_int_equal(scsi_port_remove_unit(GUEST_WWPN, 0, lun, error), 0);
		return;
	}
	snprintf(spec, sizeof(spec), "wwpn=" GUEST_WWPN ",lun%u.size=1M", lun);
	assert_int_equal(config_vhost_scsi(&what, spec, error), 0);
	assert_int_equal(scsi_port_add_unit(&what, error), 0);
	vhost_scsi_config_finish(&what);
}

/* Gives the guest's event queue a buffer. */
static void offer_event(uint32_t size)
{
	unsigned slot = guest_slot(1);
	const struct piece p = {GUEST_RESPONSE(1, slot), size, true};

	memset(guest.arena + p.at, 0xa5, size);
	guest_offer(1, &p, 1);
}

static void expect_event(uint32_t event, uint32_t reason, unsigned lun)
{
	const struct virtio_scsi_event *e;
	int slot = guest_used(1, GUEST_LONG);

	assert_true(slot >= 0);
	e = (const void *)(guest.arena + GUEST_RESPONSE(1, slot));
	assert_int_equal(le32toh(e->event), event);
	assert_int_equal(le32toh(e->reason), reason);
	if (event & ~VIRTIO_SCSI_T_EVENTS_MISSED) {
		assert_memory_equal(e->lun, ((const uint8_t[8]){1, 0, 0, (uint8_t)lun}), 8);
	}
}

static uint32_t missed(void)
{
	uint32_t value;

	assert_int_equal(guest_ioctl(VHOST_SCSI_GET_EVENTS_MISSED, &value), 0);
	return value;
}

static void wait_missed(void)
{
	for (int i = 0; !missed(); i++) {
		assert_true(i < GUEST_LONG);
		usleep(1000);
	}
}

static void test_events(void **state)
{
	const uint32_t size = sizeof(struct virtio_scsi_event);

	offer_event(size);
	offer_event(size);
	change(true, 7);
	expect_event(VIRTIO_SCSI_T_TRANSPORT_RESET, VIRTIO_SCSI_EVT_RESET_RESCAN, 7);
	guest_ready(7);
	change(false, 7);
	expect_event(VIRTIO_SCSI_T_TRANSPORT_RESET, VIRTIO_SCSI_EVT_RESET_REMOVED, 7);
	assert_true(guest_called(1));
	assert_int_equal(guest_execute(7, CDB(0), 0, 0), SCSI_CHECK_CONDITION);
	/* Without a buffer it is missed, which is told as soon as there is one. */
	change(true, 7);
	wait_missed();
	offer_event(size);
	expect_event(VIRTIO_SCSI_T_EVENTS_MISSED | VIRTIO_SCSI_T_NO_EVENT, 0, 0);
	assert_int_equal(missed(), 0);
	/* A buffer of another size is none, and is lost. */
	offer_event(size + 1);
	change(false, 7);
	wait_missed();
	assert_true(guest_erred(1));
}

/* A guest that does not want events gets none. */
static void test_no_events(void **state)
{
	start(GUEST_V1);
	assert_int_equal(guest_set_endpoint(), 0);
	offer_event(sizeof(struct virtio_scsi_event));
	change(true, 7);
	change(false, 7);
	assert_int_equal(guest_used(1, GUEST_SHORT), -1);
	assert_int_equal(missed(), 0);
	guest_stop();
}

static long remove_three(void)
{
	change(false, 3);
	return 0;
}

/* The unit goes when what it was doing is done; what had not begun is not done any more. */
static void test_remove_in_flight(void **state)
{
	guest_hold(3);
	for (unsigned i = 0; i < 3; i++)
		guest_send(IO, 3, READ_ONE(1), 0, BLOCK);
	guest_taken(IO);
	background.call = remove_three;
	assert_int_equal(pthread_create(&background.thread, NULL, in_background, NULL), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(guest_response(IO, -1)->response, VIRTIO_SCSI_S_RESET);
	guest_let_go();
	pthread_join(background.thread, NULL);
	/* Others are told that the list has changed, and what is gone is no unit. */
	assert_int_equal(guest_execute(0, CDB(0), 0, 0), SCSI_CHECK_CONDITION);
	guest_ready(0);
	assert_int_equal(guest_execute(3, CDB(0), 0, 0), SCSI_CHECK_CONDITION);
}

/* ---- the dirty log ---- */

static bool dirty(const uint8_t *bitmap, size_t at)
{
	uint64_t page = (GUEST_BASE + at) / GUEST_PAGE;

	return __atomic_load_n(&bitmap[page / 8], __ATOMIC_ACQUIRE) >> page % 8 & 1;
}

static void test_log(void **state)
{
	const size_t size = (GUEST_BASE + GUEST_SIZE) / GUEST_PAGE / 8 + 8;
	uint8_t *bitmap = calloc(1, size);
	uint64_t base = (uintptr_t)bitmap;
	unsigned slot;

	assert_non_null(bitmap);
	assert_int_equal(guest_ioctl(VHOST_SET_LOG_BASE, &base), 0);
	/* What QEMU does when migration begins. */
	assert_int_equal(guest_set_features(guest.features | LOG), 0);
	guest_addresses(true);
	slot = guest_send(IO, 0, READ_ONE(1), 0, BLOCK);
	guest_response(IO, (int)slot);
	assert_true(guest_called(IO));
	assert_true(dirty(bitmap, GUEST_RESPONSE(IO, slot)));
	assert_true(dirty(bitmap, GUEST_BUFFER(IO, slot)));
	assert_true(dirty(bitmap, GUEST_USED(IO)));
	assert_false(dirty(bitmap, GUEST_REQUEST(IO, slot)));
	assert_false(dirty(bitmap, GUEST_BUFFER(IO, slot) + GUEST_PAGE));
	assert_false(dirty(bitmap, GUEST_DESC(IO)));
	assert_false(dirty(bitmap, GUEST_AVAIL(IO)));
	slot = guest_send(IO, 0, WRITE_ONE(1), BLOCK, 0);
	guest_response(IO, (int)slot);
	assert_true(guest_called(IO));
	assert_true(dirty(bitmap, GUEST_RESPONSE(IO, slot)));
	assert_false(dirty(bitmap, GUEST_BUFFER(IO, slot)));
	/* And when it ends. */
	assert_int_equal(guest_set_features(guest.features), 0);
	guest_addresses(false);
	memset(bitmap, 0, size);
	slot = guest_send(IO, 0, READ_ONE(1), 0, BLOCK);
	guest_response(IO, (int)slot);
	assert_true(guest_called(IO));
	for (size_t i = 0; i < size; i++)
		assert_int_equal(bitmap[i], 0);
	assert_int_equal(guest_clear_endpoint(), 0);
	free(bitmap);
}

/* ---- several rings ---- */

#define ROUNDS 300u
#define DEPTH  4u /* requests under way on a ring */

/* Writes and reads blocks of its own on one ring; what a reset caught is sent again. */
struct driver {
	unsigned ring, lun;
	pthread_t thread;
	_Atomic unsigned done;
	const char *error;
};

static bool transfer(struct driver *d, unsigned first, bool write, uint8_t fill)
{
	bool good = true;
	unsigned slots[DEPTH], got = 0;

	for (unsigned i = 0; i < DEPTH; i++) {
		uint8_t lba = (uint8_t)(16 * d->ring + first + i);
		unsigned slot = guest_slot(d->ring);

		memset(buffer(d->ring, slot), write ? fill + i : 0, BLOCK);
		slots[i] = write ? guest_send(d->ring, d->lun, WRITE_ONE(lba), BLOCK, 0)
				 : guest_send(d->ring, d->lun, READ_ONE(lba), 0, BLOCK);
	}
	while (got < DEPTH && !d->error) {
		const struct virtio_scsi_cmd_resp *r;
		int slot = guest_used(d->ring, GUEST_LONG);

		if (slot < 0) {
			d->error = "a request was lost";
			break;
		}
		got++;
		r = (const void *)(guest.arena + GUEST_RESPONSE(d->ring, slot));
		if (r->response != VIRTIO_SCSI_S_OK || r->status != SCSI_GOOD)
			good = false;
		else if (r->resid)
			d->error = "data is missing";
	}
	for (unsigned i = 0; i < DEPTH && good && !d->error; i++) {
		const uint8_t *data = buffer(d->ring, slots[i]);

		if (data[0] != (uint8_t)(fill + i) || data[BLOCK - 1] != data[0])
			d->error = "other data than was written";
	}
	return good;
}

static void *drive(void *arg)
{
	struct driver *d = arg;

	for (unsigned i = 0; i < ROUNDS && !d->error; i++) {
		while (!transfer(d, i % 8, true, (uint8_t)i) && !d->error)
			;
		while (!transfer(d, i % 8, false, (uint8_t)i) && !d->error)
			;
		atomic_fetch_add(&d->done, 1);
	}
	return NULL;
}

static void attach(unsigned ring, unsigned worker)
{
	struct vhost_vring_worker w = {.index = ring, .worker_id = worker};

	assert_int_equal(guest_ioctl(VHOST_ATTACH_VRING_WORKER, &w), 0);
}

static void swap_call(unsigned ring)
{
	struct vhost_vring_file s = {.index = ring, .fd = -1};

	assert_int_equal(guest_ioctl(VHOST_SET_VRING_CALL, &s), 0);
	s.fd = guest.call[ring];
	assert_int_equal(guest_ioctl(VHOST_SET_VRING_CALL, &s), 0);
}

/* Two rings, a worker each, and whatever may be changed meanwhile. */
static void test_load(void **state)
{
	struct virtio_scsi_ctrl_tmf_req tmf = {
		.type = htole32(VIRTIO_SCSI_T_TMF),
		.subtype = htole32(VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET),
		.lun = {1}};
	struct driver drivers[2] = {{.ring = IO}, {.ring = IO + 1, .lun = 1}};
	struct vhost_vring_worker w = {.index = IO + 1};
	struct vhost_worker_state second = {0};

	assert_int_equal(guest_ioctl(VHOST_NEW_WORKER, &second), 0);
	attach(IO + 1, second.worker_id);
	assert_int_equal(guest_ioctl(VHOST_GET_VRING_WORKER, &w), 0);
	assert_int_equal(w.worker_id, second.worker_id);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&drivers[i].thread, NULL, drive, &drivers[i]), 0);
	for (unsigned i = 0; drivers[0].done < ROUNDS && drivers[1].done < ROUNDS; i++) {
		unsigned before = drivers[0].done;

		swap_call(IO + i % 2);
		switch (i % 5) {
		case 0:
			change(true, 9);
			change(false, 9);
			break;
		case 1:
			assert_int_equal(manage(&tmf, sizeof(tmf), 1),
					 VIRTIO_SCSI_S_FUNCTION_SUCCEEDED);
			break;
		case 2:
			assert_int_equal(guest_memory(), 0);
			break;
		case 3:
			attach(IO + i / 5 % 2, i / 10 % 2 ? second.worker_id : 0);
			break;
		default:
			assert_int_equal(guest_clear_endpoint(), 0);
			assert_int_equal(guest_set_endpoint(), 0);
			for (unsigned ring = IO; ring < GUEST_RINGS; ring++)
				assert_int_equal(write(guest.kick[ring], &(uint64_t){1}, 8), 8);
			break;
		}
		/* Let them come on between two changes. */
		for (int k = 0; drivers[0].done == before && !drivers[0].error && k < 50; k++)
			usleep(100);
		if (drivers[0].error || drivers[1].error)
			break;
	}
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(drivers[i].thread, NULL);
		if (drivers[i].error)
			fail_msg("ring %u: %s", drivers[i].ring, drivers[i].error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_commands),
		TEST(test_targets),
		TEST(test_short_response),
		TEST(test_tags),
		TEST(test_clear_in_flight),
		TEST(test_memory_in_flight),
		TEST(test_close_in_flight),
		TEST(test_endpoint),
		TEST(test_features),
		TEST(test_control),
		TEST(test_reset_in_flight),
		TEST(test_events),
		cmocka_unit_test(test_no_events),
		TEST(test_remove_in_flight),
		TEST(test_log),
		TEST(test_load),
	};
	int fd = mkstemp(file), result;

	if (fd < 0 || ftruncate(fd, 1 << 20) < 0)
		return 99;
	close(fd);
	result = cmocka_run_group_tests_name("vhost-scsi", tests, NULL, NULL);
	unlink(file);
	return result;
}
