// SPDX-License-Identifier: BSD-3-Clause
/*
 * A block of malloc() grows while a part of it is on a device, too little of it to divide its
 * mapping: an ordinary program, run under `standin run`.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "../../src/uapi/hmm.h"

#define PAGE 4096UL
#define SIZE (64 * PAGE)

int main(void)
{
	int device = open("/dev/hmm_dmirror0", O_RDWR);
	unsigned char *block = malloc(SIZE), *after = malloc(SIZE), *far = malloc(SIZE);
	struct hmm_dmirror_cmd cmd = {.ptr = (uintptr_t)far, .npages = 8};

	if (device < 0 || !block || !after || !far) {
		perror("device and memory");
		return 1;
	}
	memset(block, 7, SIZE);
	memset(far, 0, SIZE);
	cmd.addr = ((uintptr_t)block + 4 * PAGE) & ~(PAGE - 1);
	if (ioctl(device, HMM_DMIRROR_MIGRATE_TO_DEV, &cmd) || cmd.cpages != 8) {
		perror("MIGRATE_TO_DEV");
		return 1;
	}
	block = realloc(block, 1000 * SIZE);
	if (!block) {
		perror("realloc");
		return 1;
	}
	for (size_t i = 0; i < SIZE; i++)
		if (block[i] != 7) {
			fprintf(stderr, "byte %zu is %u\n", i, block[i]);
			return 1;
		}
	return 0;
}
