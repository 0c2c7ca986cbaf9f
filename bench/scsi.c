/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a SCSI command costs on /dev/vhost-scsi, without a guest: this program is the driver, in
 * batches of DEPTH requests that are kicked once.  To be run under standin with a target port
 * naa.5001405000000001 whose unit 0 is argv[1], a file of at least 16 MiB.
 *
 * Prints nanoseconds per request, one figure a line: of processor time that the device's
 * thread needs (NAME_cpu) and of time (NAME), for TEST UNIT READY and for READ(10) of 4 KiB at
 * random places, and for requests one at a time (NAME_one); and what the same reads cost by
 * pread() (pread).
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_scsi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "../tests/split_ring.h"

#define WWPN   "naa.5001405000000001"
#define NUM    512u
#define DEPTH  128u
#define ROUNDS 400u
#define BLOCKS (16u << 20 >> 12) /* of 4 KiB, that are read */
#define RING   2u

static struct {
	SPLIT_RING(NUM, 4096);
	struct virtio_scsi_cmd_req request[DEPTH] __attribute__((aligned(64)));
	struct virtio_scsi_cmd_resp response[DEPTH] __attribute__((aligned(64)));
	uint8_t data[DEPTH][4096] __attribute__((aligned(4096)));
} guest;

static int device, kick, call;
static uint32_t random_state = 1;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void device_ioctl(const char *name, unsigned long cmd, void *arg)
{
	if (ioctl(device, cmd, arg) < 0)
		die(name);
}

static void state(const char *name, unsigned long cmd, unsigned num)
{
	struct vhost_vring_state s = {.index = RING, .num = num};

	device_ioctl(name, cmd, &s);
}

static void file(const char *name, unsigned long cmd, int fd)
{
	struct vhost_vring_file s = {.index = RING, .fd = fd};

	device_ioctl(name, cmd, &s);
}

static void setup(void)
{
	static union {
		struct vhost_memory table;
		char room[sizeof(struct vhost_memory) + sizeof(struct vhost_memory_region)];
	} memory = {.table.nregions = 1};
	struct vhost_vring_addr a = {.index = RING,
				     .desc_user_addr = (uintptr_t)guest.desc,
				     .avail_user_addr = (uintptr_t)&guest.avail,
				     .used_user_addr = (uintptr_t)&guest.used};
	struct vhost_scsi_target target = {.vhost_wwpn = WWPN};
	uint64_t features = UINT64_C(1) << VIRTIO_F_VERSION_1;

	device = open("/dev/vhost-scsi", O_RDWR);
	if (device < 0)
		die("/dev/vhost-scsi");
	kick = eventfd(0, EFD_NONBLOCK);
	call = eventfd(0, EFD_NONBLOCK);
	memory.table.regions[0] = (struct vhost_memory_region){.guest_phys_addr = (uintptr_t)&guest,
							       .memory_size = sizeof(guest),
							       .userspace_addr = (uintptr_t)&guest};
	device_ioctl("VHOST_SET_OWNER", VHOST_SET_OWNER, NULL);
	device_ioctl("VHOST_SET_FEATURES", VHOST_SET_FEATURES, &features);
	device_ioctl("VHOST_SET_MEM_TABLE", VHOST_SET_MEM_TABLE, &memory);
	state("VHOST_SET_VRING_NUM", VHOST_SET_VRING_NUM, NUM);
	device_ioctl("VHOST_SET_VRING_ADDR", VHOST_SET_VRING_ADDR, &a);
	file("VHOST_SET_VRING_KICK", VHOST_SET_VRING_KICK, kick);
	file("VHOST_SET_VRING_CALL", VHOST_SET_VRING_CALL, call);
	device_ioctl("VHOST_SCSI_SET_ENDPOINT", VHOST_SCSI_SET_ENDPOINT, &target);
}

static uint32_t random_block(void)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % BLOCKS;
}

static void prepare(unsigned i, uint8_t opcode)
{
	struct virtio_scsi_cmd_req *r = &guest.request[i];
	uint32_t block = random_block() * 8;
	uint16_t head = (uint16_t)(3 * i);

	memset(r, 0, sizeof(*r));
	r->lun[0] = 1;
	r->cdb[0] = opcode;
	guest.desc[head] = (struct vring_desc){
		.addr = (uintptr_t)r, .len = sizeof(*r), .flags = 1, .next = head + 1};
	guest.desc[head + 1] = (struct vring_desc){.addr = (uintptr_t)&guest.response[i],
						   .len = sizeof(guest.response[i]),
						   .flags = opcode ? 3 : 2,
						   .next = head + 2};
	guest.desc[head + 2] = (struct vring_desc){
		.addr = (uintptr_t)guest.data[i], .len = sizeof(guest.data[i]), .flags = 2};
	if (opcode) {
		r->cdb[2] = (uint8_t)(block >> 24);
		r->cdb[3] = (uint8_t)(block >> 16);
		r->cdb[4] = (uint8_t)(block >> 8);
		r->cdb[5] = (uint8_t)block;
		r->cdb[8] = 8;
	}
}

/* Sends n requests and waits for them.  The number of those that did not succeed. */
static unsigned batch(unsigned n, uint8_t opcode)
{
	uint16_t end = (uint16_t)(guest.avail.idx + n);
	uint64_t one = 1;
	unsigned bad = 0;

	for (unsigned i = 0; i < n; i++) {
		prepare(i, opcode);
		guest.avail.ring[(guest.avail.idx + i) % NUM] = (uint16_t)(3 * i);
	}
	__atomic_store_n(&guest.avail.idx, end, __ATOMIC_RELEASE);
	if (write(kick, &one, sizeof(one)) != sizeof(one))
		die("kick");
	while (__atomic_load_n(&guest.used.idx, __ATOMIC_ACQUIRE) != end)
		__builtin_ia32_pause();
	for (unsigned i = 0; i < n; i++)
		bad += guest.response[i].response || guest.response[i].status;
	return bad;
}

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The processor time of the device's thread, ns; there is one thread of that name. */
static uint64_t worker_time(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned long long ns = 0;
	char path[300], name[32];
	struct dirent *e;
	FILE *f;

	while (tasks && (e = readdir(tasks))) {
		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		if (!fgets(name, sizeof(name), f) || strncmp(name, "vhost-", 6) != 0)
			*name = 0;
		fclose(f);
		if (!*name)
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/schedstat", e->d_name);
		f = fopen(path, "r");
		if (f && fscanf(f, "%llu", &ns) != 1)
			ns = 0;
		if (f)
			fclose(f);
	}
	if (tasks)
		closedir(tasks);
	return ns;
}

static void measure(const char *name, uint8_t opcode)
{
	uint64_t cpu = worker_time(), start = now(CLOCK_MONOTONIC);
	unsigned bad = 0;

	for (unsigned i = 0; i < ROUNDS; i++)
		bad += batch(DEPTH, opcode);
	printf("%s %.1f\n", name, (double)(now(CLOCK_MONOTONIC) - start) / ROUNDS / DEPTH);
	printf("%s_cpu %.1f\n", name, (double)(worker_time() - cpu) / ROUNDS / DEPTH);
	start = now(CLOCK_MONOTONIC);
	for (unsigned i = 0; i < 10 * ROUNDS; i++)
		bad += batch(1, opcode);
	printf("%s_one %.1f\n", name, (double)(now(CLOCK_MONOTONIC) - start) / ROUNDS / 10);
	if (bad) {
		fprintf(stderr, "%s: %u requests failed\n", name, bad);
		exit(1);
	}
}

static void measure_pread(const char *path)
{
	int fd = open(path, O_RDONLY);
	uint64_t start;

	if (fd < 0)
		die(path);
	start = now(CLOCK_THREAD_CPUTIME_ID);
	for (unsigned i = 0; i < ROUNDS * DEPTH; i++)
		if (pread(fd, guest.data[i % DEPTH], 4096, (off_t)random_block() * 4096) != 4096)
			die(path);
	printf("pread %.1f\n", (double)(now(CLOCK_THREAD_CPUTIME_ID) - start) / ROUNDS / DEPTH);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: bench-scsi FILE\n");
		return 2;
	}
	setup();
	/* A unit attention, and what is done once. */
	batch(1, 0);
	batch(DEPTH, 0x28);
	measure_pread(argv[1]);
	measure("ready", 0);
	measure("read", 0x28);
	return 0;
}
