/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost.h - what the areas of the vhost conformance program share. */
#ifndef CONFORMANCE_VHOST_H
#define CONFORMANCE_VHOST_H

#include "conformance.h"

#include "../../src/uapi/vhost.h"

int vsock_open(void);     /* or gives up */
int vsock_owned(void);    /* opened, with SET_OWNER */
long set_memory(int fd, unsigned n, const struct vhost_memory_region *regions);
/* One region: all of the process's first 2^47 bytes, guest addresses being its own. */
long set_memory_flat(int fd);
long set_state(int fd, unsigned long cmd, unsigned index, unsigned num);
long set_file(int fd, unsigned long cmd, unsigned index, int file);

void area_owner(void);
void area_features(void);
void area_memory(void);
void area_vring(void);
void area_log(void);
void area_messages(void);
void area_vsock(void);
void area_packets(void);
void area_files(void);

#endif
