/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fixture of the VFIO tests: an instance with two "probe" devices on one bus, opened
 * through the doors of <standin/standin.h>, and a process that has neither when it ends.
 */
#ifndef STANDIN_TESTS_VFIO_FIXTURE_H
#define STANDIN_TESTS_VFIO_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include <standin/device.h>
#include <standin/standin.h>

#include "uapi/vfio.h"

#define DEVICE_NAME    "0000:01:00.0"
#define REGION(index)  ((off_t)(index) << 40)
#define PROBE_VECTORS  200
#define PROBE_TABLE    0x2000
#define PROBE_BAR_SIZE 0x4000

/* What the probe model has seen. */
struct probe {
	struct standin_device *dev;
	unsigned resets, reads;
	_Atomic unsigned writes; /* counted last: then the fields below are there */
	uint64_t last_offset, last_value;
	unsigned last_size;
	uint16_t command;
};
extern struct probe *probes[2]; /* by the order in which they were realized */

extern int container, group, device; /* -1: not open */

/* Setups for cmocka: only the instance; container and group; and the device too. */
int start_instance(void **state);
int open_group(void **state);
int open_device(void **state);
int stop_instance(void **state);

/* -errno instead of -1, so that a test reads as a table. */
long ctl(int fd, unsigned long command, void *arg);
long ctl_value(int fd, unsigned long command, unsigned long arg);
ssize_t region_read(int index, uint64_t at, void *buffer, size_t size);
ssize_t region_write(int index, uint64_t at, const void *buffer, size_t size);
uint32_t config_read(unsigned at, unsigned size);
void config_write(unsigned at, unsigned size, uint32_t value);

/* SET_IRQS with fds as its data. */
long set_irqs(uint32_t flags, uint32_t index, uint32_t start, uint32_t count, const void *data,
	      size_t data_size);
/* The eventfd's count, 0 if it wasn't signalled; waits up to `ms` for a signal. */
uint64_t signals(int eventfd, int ms);

#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, stop_instance)

#endif
