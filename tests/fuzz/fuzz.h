/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the fuzz targets share: taking numbers out of the input until it is used up, and a finding.
 *
 * A target is one file with LLVMFuzzerTestOneInput().  Built with -Dfuzz=true and clang,
 * libFuzzer drives it; otherwise standalone.c replays files, or runs it on pseudo-random
 * input so that every build tries it a little.
 */
#ifndef STANDIN_TESTS_FUZZ_H
#define STANDIN_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is always so, or it is a finding. */
#define CHECK(condition)                                                                \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                        \
		}                                                                       \
	} while (0)

struct input {
	const uint8_t *data;
	size_t left;
};

/* The next bytes; zeros beyond the end. */
static inline void take(struct input *in, void *to, size_t size)
{
	size_t n = size < in->left ? size : in->left;

	memset(to, 0, size);
	memcpy(to, in->data, n);
	in->data += n;
	in->left -= n;
}

static inline uint8_t take8(struct input *in)
{
	uint8_t v;

	take(in, &v, sizeof(v));
	return v;
}

static inline uint16_t take16(struct input *in)
{
	uint16_t v;

	take(in, &v, sizeof(v));
	return v;
}

static inline uint32_t take32(struct input *in)
{
	uint32_t v;

	take(in, &v, sizeof(v));
	return v;
}

static inline uint64_t take64(struct input *in)
{
	uint64_t v;

	take(in, &v, sizeof(v));
	return v;
}

#endif
