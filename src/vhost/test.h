/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost/test.h - /dev/vhost-test (drivers/vhost/test.c). */
#ifndef STANDIN_VHOST_TEST_H
#define STANDIN_VHOST_TEST_H

#include "core/file.h"
#include "core/ioctl.h"

extern const struct file_ops vhost_test_ops;
extern const struct ioctl_table vhost_test_table;

#endif
