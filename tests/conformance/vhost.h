/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost.h - what the areas of the vhost conformance program share. */
#ifndef CONFORMANCE_VHOST_H
#define CONFORMANCE_VHOST_H

#include "conformance.h"

#include "../../src/uapi/vhost.h"

int vhost_open(const char *path);  /* or gives up */
int vhost_owned(const char *path); /* opened, with SET_OWNER */
#define VSOCK "/dev/vhost-vsock"
long set_memory(int fd, unsigned n, const struct vhost_memory_region *regions);
/* One region: all of the process's first 2^47 bytes, guest addresses being its own. */
long set_memory_flat(int fd);
long set_state(int fd, unsigned long cmd, unsigned index, unsigned num);
/*
 * A guest on rings in this process: the file, owned and running, or it gives up.  `features`
 * are beside VIRTIO_F_VERSION_1.
 */
int vsock_guest(uint32_t cid, uint64_t features);
/* The guest sends `packet`; whether it was used within half a second. */
bool vsock_transmit(const void *packet, size_t size, uint32_t *ret_length);
/* The next packet that comes to the guest within `ms`; payload only makes it longer. */
bool vsock_receive(struct virtio_vsock_hdr *header, uint32_t *ret_length, int ms);
/* Every command with arguments that can't be read, or only four bytes of them. */
void every_vhost_command(int fd, const char *when);
long set_file(int fd, unsigned long cmd, unsigned index, int file);

/* A device with an IOTLB (vhost_iotlb.c). */
struct iotlb_node {
	const char *path;
	/* Gives both rings backends, or takes them away: 0 or -errno. */
	long (*start)(int fd, bool on);
	uint32_t size; /* of a buffer that ring 1 takes, whatever is in it */
};
void iotlb_checks(const struct iotlb_node *node);

void area_owner(void);
void area_features(void);
void area_memory(void);
void area_vring(void);
void area_log(void);
void area_messages(void);
void area_vsock(void);
void area_packets(void);
void area_vsock_iotlb(void);
void area_net_iotlb(void);
void area_files(void);
void area_net(void);
void area_net_features(void);
void area_net_backend(void);
void area_tap(void);
void area_tap_packets(void);

#endif
