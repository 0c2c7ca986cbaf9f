/* SPDX-License-Identifier: BSD-3-Clause */
/* need.h - what a test program can't go on without. */
#ifndef STANDIN_TESTS_NEED_H
#define STANDIN_TESTS_NEED_H

#include <stdio.h>
#include <stdlib.h>

#define NEED(condition)                                                    \
	do {                                                               \
		if (!(condition)) {                                        \
			printf("line %d: %s: %m\n", __LINE__, #condition); \
			exit(2);                                           \
		}                                                          \
	} while (0)

#endif
