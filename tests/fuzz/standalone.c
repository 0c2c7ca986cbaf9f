/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fuzz target without libFuzzer: `fuzz_NAME FILE...` replays inputs, `fuzz_NAME` alone
 * runs RUNS pseudo-random ones, the same each time.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

#ifndef RUNS
#define RUNS 3000
#endif
#define SIZE_MAX_ 512

static int replay(const char *path)
{
	static uint8_t data[1 << 20];
	FILE *file = fopen(path, "rb");
	size_t size;

	if (!file) {
		perror(path);
		return 1;
	}
	size = fread(data, 1, sizeof(data), file);
	fclose(file);
	LLVMFuzzerTestOneInput(data, size);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t x = 0x9e3779b97f4a7c15;
	uint8_t data[SIZE_MAX_];
	int failed = 0;

	for (int i = 1; i < argc; i++)
		failed |= replay(argv[i]);
	for (int run = 0; argc == 1 && run < RUNS; run++) {
		for (size_t i = 0; i < sizeof(data); i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			data[i] = (uint8_t)(x >> 32);
		}
		LLVMFuzzerTestOneInput(data, 1 + (size_t)(x % SIZE_MAX_));
	}
	return failed;
}
