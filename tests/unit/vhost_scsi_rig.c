/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost_scsi_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include <standin/standin.h>

#include "vhost/scsi_port.h"

struct guest guest;

/* ---- the file ---- */

long guest_ioctl(unsigned long cmd, void *arg)
{
	return standin_ioctl(guest.fd, cmd, arg) < 0 ? -errno : 0;
}

long guest_state(unsigned long cmd, unsigned ring, unsigned num)
{
	struct vhost_vring_state s = {.index = ring, .num = num};

	return guest_ioctl(cmd, &s);
}

static void set_file(unsigned long cmd, unsigned ring, int fd)
{
	struct vhost_vring_file s = {.index = ring, .fd = fd};

	assert_int_equal(guest_ioctl(cmd, &s), 0);
}

long guest_set_features(uint64_t features)
{
	return guest_ioctl(VHOST_SET_FEATURES, &features);
}

long guest_endpoint(unsigned long cmd, const char *wwpn)
{
	struct vhost_scsi_target t = {0};

	memcpy(t.vhost_wwpn, wwpn, strlen(wwpn));
	return guest_ioctl(cmd, &t);
}

void guest_addresses(bool log)
{
	for (unsigned r = 0; r < GUEST_RINGS; r++) {
		struct vhost_vring_addr a = {
			.index = r,
			.flags = log,
			.desc_user_addr = (uintptr_t)guest.arena + GUEST_DESC(r),
			.avail_user_addr = (uintptr_t)guest.arena + GUEST_AVAIL(r),
			.used_user_addr = (uintptr_t)guest.arena + GUEST_USED(r),
			.log_guest_addr = GUEST_BASE + GUEST_USED(r)};

		assert_int_equal(guest_ioctl(VHOST_SET_VRING_ADDR, &a), 0);
	}
}

long guest_memory(void)
{
	struct {
		struct vhost_memory head;
		struct vhost_memory_region region;
	} m = {{.nregions = 1},
	       {.guest_phys_addr = GUEST_BASE,
		.memory_size = GUEST_SIZE,
		.userspace_addr = (uintptr_t)guest.arena}};

	return guest_ioctl(VHOST_SET_MEM_TABLE, &m);
}

void guest_open(void)
{
	guest.fd = standin_open("/dev/vhost-scsi", O_RDWR);
	assert_true(guest.fd >= 0);
	assert_int_equal(guest_ioctl(VHOST_SET_OWNER, NULL), 0);
	assert_int_equal(guest_set_features(guest.features), 0);
	assert_int_equal(guest_memory(), 0);
	guest_addresses(false);
	memset(guest.arena, 0, GUEST_SLOT(0, 0));
	for (unsigned r = 0; r < GUEST_RINGS; r++) {
		guest.avail[r] = guest.seen[r] = 0;
		assert_int_equal(guest_state(VHOST_SET_VRING_NUM, r, guest.num[r]), 0);
		set_file(VHOST_SET_VRING_KICK, r, guest.kick[r]);
		set_file(VHOST_SET_VRING_CALL, r, guest.call[r]);
		set_file(VHOST_SET_VRING_ERR, r, guest.err[r]);
	}
}

void guest_close(void)
{
	assert_int_equal(standin_close(guest.fd), 0);
}

void guest_start(const char *configuration, uint64_t features)
{
	memset(&guest, 0, sizeof(guest));
	assert_int_equal(standin_start(configuration), 0);
	guest.arena =
		mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(guest.arena, MAP_FAILED);
	guest.features = features;
	for (unsigned r = 0; r < GUEST_RINGS; r++) {
		guest.num[r] = GUEST_NUM;
		guest.kick[r] = eventfd(0, EFD_NONBLOCK);
		guest.call[r] = eventfd(0, EFD_NONBLOCK);
		guest.err[r] = eventfd(0, EFD_NONBLOCK);
	}
	guest_open();
}

void guest_stop(void)
{
	guest_close();
	standin_stop();
	munmap(guest.arena, GUEST_SIZE);
	for (unsigned r = 0; r < GUEST_RINGS; r++) {
		close(guest.kick[r]);
		close(guest.call[r]);
		close(guest.err[r]);
	}
}

/* ---- the rings ---- */

unsigned guest_slot(unsigned ring)
{
	return guest.avail[ring] % (guest.num[ring] / 4);
}

void guest_offer(unsigned ring, const struct piece *pieces, unsigned n)
{
	struct vring_desc *desc = (struct vring_desc *)(guest.arena + GUEST_DESC(ring));
	struct vring_avail *avail = (struct vring_avail *)(guest.arena + GUEST_AVAIL(ring));
	unsigned head = 4 * guest_slot(ring);
	uint64_t one = 1;

	for (unsigned i = 0; i < n; i++)
		desc[head + i] = (struct vring_desc){
			.addr = GUEST_BASE + pieces[i].at,
			.len = pieces[i].size,
			.flags = (uint16_t)((pieces[i].write ? VRING_DESC_F_WRITE : 0) |
					    (i + 1 < n ? VRING_DESC_F_NEXT : 0)),
			.next = (uint16_t)(head + i + 1)};
	avail->ring[guest.avail[ring] % guest.num[ring]] = (uint16_t)head;
	__atomic_store_n(&avail->idx, ++guest.avail[ring], __ATOMIC_RELEASE);
	assert_int_equal(write(guest.kick[ring], &one, sizeof(one)), sizeof(one));
}

int guest_used(unsigned ring, int ms)
{
	struct vring_used *used = (struct vring_used *)(guest.arena + GUEST_USED(ring));

	for (int i = 0; __atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) == guest.seen[ring]; i++) {
		if (i == ms * 10)
			return -1;
		usleep(100);
	}
	return (int)used->ring[guest.seen[ring]++ % guest.num[ring]].id / 4;
}

void guest_taken(unsigned ring)
{
	struct vhost_vring_state s = {.index = ring};

	for (int i = 0; i < GUEST_LONG; i++) {
		assert_int_equal(guest_ioctl(VHOST_GET_VRING_BASE, &s), 0);
		if (s.num == guest.avail[ring])
			return;
		usleep(1000);
	}
	fail_msg("ring %u: %u of %u chains were taken", ring, s.num, guest.avail[ring]);
}

static bool signalled(int event)
{
	uint64_t n;

	for (int i = 0; i < GUEST_LONG; i++) {
		if (read(event, &n, sizeof(n)) == sizeof(n))
			return true;
		usleep(1000);
	}
	return false;
}

bool guest_called(unsigned ring)
{
	return signalled(guest.call[ring]);
}

bool guest_erred(unsigned ring)
{
	return signalled(guest.err[ring]);
}

/* ---- commands ---- */

unsigned guest_send(unsigned ring, unsigned lun, const void *cdb, size_t cdb_size, uint32_t out,
		    uint32_t in)
{
	unsigned slot = guest_slot(ring), n = 1;
	struct virtio_scsi_cmd_req *request = (void *)(guest.arena + GUEST_REQUEST(ring, slot));
	struct piece p[4] = {{GUEST_REQUEST(ring, slot), sizeof(*request), false}};

	memset(request, 0, sizeof(*request));
	request->lun[0] = 1;
	request->lun[3] = (uint8_t)lun;
	memcpy(request->cdb, cdb, cdb_size);
	memset(guest.arena + GUEST_RESPONSE(ring, slot), 0xa5, GUEST_PAGE);
	if (out)
		p[n++] = (struct piece){GUEST_BUFFER(ring, slot), out, false};
	p[n++] = (struct piece){GUEST_RESPONSE(ring, slot), sizeof(struct virtio_scsi_cmd_resp),
				true};
	if (in)
		p[n++] = (struct piece){GUEST_BUFFER(ring, slot), in, true};
	guest_offer(ring, p, n);
	return slot;
}

const struct virtio_scsi_cmd_resp *guest_response(unsigned ring, int slot)
{
	int got = guest_used(ring, GUEST_LONG);

	assert_true(got >= 0);
	if (slot >= 0)
		assert_int_equal(got, slot);
	return (void *)(guest.arena + GUEST_RESPONSE(ring, got));
}

uint8_t guest_execute(unsigned lun, const void *cdb, size_t cdb_size, uint32_t out, uint32_t in)
{
	unsigned slot = guest_send(2, lun, cdb, cdb_size, out, in);
	const struct virtio_scsi_cmd_resp *response = guest_response(2, (int)slot);

	assert_int_equal(response->response, VIRTIO_SCSI_S_OK);
	return response->status;
}

void guest_ready(unsigned lun)
{
	for (int i = 0; guest_execute(lun, CDB(0), 0, 0); i++)
		assert_true(i < 8);
}

/* ---- keeping a unit busy ---- */

static struct {
	struct scsi_command command;
	struct scsi_nexus *nexus;
	pthread_t thread;
	sem_t inside, end;
	int result;
} holder;

static void wait_inside(struct scsi_command *c)
{
	sem_post(&holder.inside);
	while (sem_wait(&holder.end) < 0)
		;
}

static void *hold(void *arg)
{
	holder.result = scsi_submit(&holder.command);
	return NULL;
}

static void make_nexus(const struct scsi_port *port, void *arg)
{
	struct scsi_nexus_config config = {.initiator = 0x5001405000000777};

	if (port->config.tpgt == 0)
		assert_int_equal(scsi_nexus_create(port->target, &config, &holder.nexus), 0);
}

void guest_hold(unsigned lun)
{
	memset(&holder, 0, sizeof(holder));
	sem_init(&holder.inside, 0, 0);
	sem_init(&holder.end, 0, 0);
	scsi_ports_each(make_nexus, NULL);
	assert_non_null(holder.nexus);
	holder.command = (struct scsi_command){.nexus = holder.nexus,
					       .lun = lun,
					       .attribute = SCSI_ORDERED,
					       .cdb_size = SCSI_CDB_MAX,
					       .done = wait_inside};
	/* A command that runs alone is inside its unit until its done() returns. */
	assert_int_equal(pthread_create(&holder.thread, NULL, hold, NULL), 0);
	while (sem_wait(&holder.inside) < 0)
		;
}

void guest_let_go(void)
{
	sem_post(&holder.end);
	pthread_join(holder.thread, NULL);
	assert_int_equal(holder.result, SCSI_QUEUED);
	scsi_nexus_destroy(holder.nexus);
	sem_destroy(&holder.inside);
	sem_destroy(&holder.end);
}
