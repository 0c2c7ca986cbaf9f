/* SPDX-License-Identifier: BSD-3-Clause */
/* vdpa.h - what the areas of the vDPA conformance program share. */
#ifndef CONFORMANCE_VDPA_H
#define CONFORMANCE_VDPA_H

#include "conformance.h"

#include "../../src/uapi/vhost.h"

/* /dev/vhost-vdpa-N: 0 is the network simulator, 1 the block simulator. */
enum { NET, BLK };

int vdpa_open(unsigned device);  /* or gives up */
int vdpa_owned(unsigned device); /* opened, with SET_OWNER */
long vdpa_state(int fd, unsigned long cmd, unsigned index, unsigned num);
long vdpa_file(int fd, unsigned long cmd, unsigned index, int file);
long vdpa_status(int fd, uint8_t status);
long vdpa_backend_features(int fd, uint64_t features);
long vdpa_message(int fd, uint32_t asid, uint8_t type, uint64_t iova, const void *address,
		  uint64_t size, uint8_t perm);
/* Memory that the simulators take: shared, of a file. */
void *vdpa_memory(size_t size);

/* In a real kernel there are no devices before somebody asks for them over netlink. */
void vdpa_make_devices(void);

void area_identity(void);
void area_commands(void);
void area_status(void);
void area_features(void);
void area_config(void);
void area_vring(void);
void area_group(void);
void area_space(void);
void area_files(void);
void area_doorbell(void);
void area_net(void);
void area_control(void);
void area_blk(void);
void area_suspend(void);

#endif
