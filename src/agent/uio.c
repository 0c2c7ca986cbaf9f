/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rings are one after the other in the device's first map: to the host, from the host.  A read
 * of the device waits for the host's interrupt, a write of 1 interrupts the host.
 */
#include "agent/uio.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/log.h"

#define DEVICE        "/sys/bus/vmbus/devices/" HYPERV_FCOPY_INSTANCE
#define RING_MIN      (2 * sizeof(struct hyperv_ring))
#define RING_MAX      (64u << 20)
#define PACKETS       64 /* at a time */
#define FRAMEWORK     HYPERV_VERSION(3, 0)
#define FCOPY_SERVICE HYPERV_VERSION(1, 1)

/* The device's node: the one entry of its directory uio/. */
static int find_node(char *path, size_t size)
{
	DIR *directory = opendir(DEVICE "/uio");
	const struct dirent *entry;
	int ret = -ENOENT;

	while (directory && ret < 0 && (entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, size, "/dev/%s", entry->d_name);
		ret = 0;
	}
	if (directory)
		closedir(directory);
	return ret;
}

/* Of one ring, from the size of the file that has both. */
static size_t find_ring_size(void)
{
	DIR *directory = opendir(DEVICE "/channels");
	const struct dirent *entry;
	char path[PATH_MAX];
	size_t size = 0;
	struct stat st;

	while (directory && !size && (entry = readdir(directory))) {
		snprintf(path, sizeof(path), DEVICE "/channels/%s/ring", entry->d_name);
		if (entry->d_name[0] != '.' && stat(path, &st) == 0 && st.st_size > 0)
			size = (size_t)st.st_size / 2;
	}
	if (directory)
		closedir(directory);
	return size >= RING_MIN && size <= RING_MAX && size % 4096 == 0 ? size : 0;
}

int uio_open(struct uio *u, int (*open_device)(const char *path))
{
	size_t size = find_ring_size();
	char path[PATH_MAX];
	int ret;

	u->fd = -1;
	if (find_node(path, sizeof(path)) < 0 || size == 0)
		return -ENOENT;
	u->fd = open_device ? open_device(path) : open(path, O_RDWR | O_CLOEXEC);
	if (u->fd < 0)
		return -errno;
	u->map_size = 2 * size;
	u->map = mmap(NULL, u->map_size, PROT_READ | PROT_WRITE, MAP_SHARED, u->fd, 0);
	u->packet = malloc(size);
	if (u->map == MAP_FAILED || !u->packet) {
		ret = u->packet ? -errno : -ENOMEM;
		close(u->fd);
		uio_close(u);
		return ret;
	}
	ring_init(&u->out, u->map, size);
	ring_init(&u->in, (uint8_t *)u->map + size, size);
	u->in.shared->interrupt_mask = 0;
	return 0;
}

void uio_close(struct uio *u)
{
	if (u->fd < 0)
		return;
	if (u->map != MAP_FAILED)
		munmap(u->map, u->map_size);
	free(u->packet);
	u->fd = -1;
}

/* ---- packets ---- */

static bool is_offered(const struct hyperv_version *v, unsigned n, uint32_t wanted)
{
	for (unsigned i = 0; i < n; i++)
		if (HYPERV_VERSION(v[i].major, v[i].minor) == wanted)
			return true;
	return false;
}

/* The host offers versions; the answer is the pair that we take, or none. */
static uint32_t negotiate(struct hyperv_ic *m, size_t size)
{
	struct hyperv_version offered[2 * HYPERV_IC_VERSIONS_MAX];
	struct hyperv_version taken[2] = {{FRAMEWORK >> 16, FRAMEWORK & 0xffff},
					  {FCOPY_SERVICE >> 16, FCOPY_SERVICE & 0xffff}};
	struct hyperv_negotiation n;
	size_t left;
	bool good;

	if (size < sizeof(n))
		return HV_E_FAIL;
	left = (size - sizeof(n)) / sizeof(offered[0]);
	memcpy(&n, m->body, sizeof(n));
	good = n.n_frameworks <= HYPERV_IC_VERSIONS_MAX && n.n_versions <= HYPERV_IC_VERSIONS_MAX &&
	       n.n_frameworks + n.n_versions <= left && left >= 2;
	if (good) {
		memcpy(offered, m->body + sizeof(n),
		       (n.n_frameworks + n.n_versions) * sizeof(offered[0]));
		good = is_offered(offered, n.n_frameworks, FRAMEWORK) &&
		       is_offered(offered + n.n_frameworks, n.n_versions, FCOPY_SERVICE);
	}
	n.n_frameworks = n.n_versions = good;
	memcpy(m->body, &n, sizeof(n));
	if (!good)
		return HV_E_FAIL;
	memcpy(m->body + sizeof(n), taken, sizeof(taken));
	m->ic.size = sizeof(n) + sizeof(taken);
	log_line(LOG_INFO, "fcopy: the host has agreed to version %u.%u", taken[1].major,
		 taken[1].minor);
	return HV_S_OK;
}

bool uio_answer(struct fcopy *f, void *body, size_t size)
{
	struct hyperv_ic *m = body;

	if (size < HYPERV_IC_SIZE)
		return false;
	size -= HYPERV_IC_SIZE;
	if (m->ic.type == HYPERV_IC_NEGOTIATE)
		m->ic.status = negotiate(m, size);
	else if (m->ic.type == HYPERV_IC_FCOPY)
		m->ic.status = fcopy_message(f, m->body, size, true);
	else
		m->ic.status = HV_E_FAIL;
	m->ic.flags = HYPERV_IC_TRANSACTION | HYPERV_IC_RESPONSE;
	return true;
}

/* One packet.  As uio_serve(). */
static int serve_packet(struct uio *u, struct fcopy *f)
{
	const struct hyperv_packet *p = (const struct hyperv_packet *)u->packet;
	int ret = ring_receive(&u->in, u->packet);
	uint32_t one = 1;
	size_t header, size;

	if (ret <= 0)
		return ret;
	header = p->header_size * 8u;
	size = (size_t)ret - header;
	if (!uio_answer(f, u->packet + header, size)) {
		log_line(LOG_WARNING, "fcopy: a packet of %zu bytes is too short", size);
		return 1;
	}
	ret = ring_send(&u->out, p->transaction, u->packet + header, size);
	if (ret < 0)
		return ret;
	if (write(u->fd, &one, sizeof(one)) != sizeof(one))
		return -errno;
	fcopy_settle(f);
	return 1;
}

int uio_serve(struct uio *u, struct fcopy *f, bool readable)
{
	uint32_t count;
	int ret = 1;

	if (readable && read(u->fd, &count, sizeof(count)) < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	/* Older kernels mask it before they tell; the next is wanted, though nothing came. */
	u->in.shared->interrupt_mask = 0;
	for (unsigned i = 0; i < PACKETS && ret > 0; i++)
		ret = serve_packet(u, f);
	return ret;
}
