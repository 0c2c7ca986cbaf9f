/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tree/cpus.h - the machine's processors as sysfs prints them.
 *
 * Both strings are computed once and live as long as the process.
 */
#ifndef STANDIN_TREE_CPUS_H
#define STANDIN_TREE_CPUS_H

const char *cpus_list(void); /* "0-1" */
const char *cpus_mask(void); /* "3"; words of 32 bits, separated by commas */

#endif
