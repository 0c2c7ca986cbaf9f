/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking for `syscall` (0F 05) in text.
 *
 * Each pair of these bytes is a candidate.  x86 code read from a wrong start falls into
 * step after a few instructions, so the text is decoded from several places before the
 * candidate: where most of them arrive exactly at it, it is an instruction.
 */
#include "inject/x86_64/scan.h"

#include <emmintrin.h>
#include <stdint.h>

#include <Zydis/Zydis.h>

#define BEFORE 40u /* bytes before a candidate where decoding starts first ... */
#define STARTS 16u /* ... and how many starts there are, one byte apart */
#define NEEDED 11u /* of them that must arrive */

static bool arrives(const ZydisDecoder *decoder, const uint8_t *from, const uint8_t *at,
		    const uint8_t *end)
{
	ZydisDecoderContext context;
	ZydisDecodedInstruction insn;

	while (from < at) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(decoder, &context, from,
								(size_t)(end - from), &insn)))
			return false;
		from += insn.length;
	}
	return from == at;
}

static bool is_genuine(const ZydisDecoder *decoder, const uint8_t *text, const uint8_t *at,
		       const uint8_t *end)
{
	unsigned arrived = 0;

	/* Too near the start of the text to tell: count it. */
	if ((size_t)(at - text) < BEFORE)
		return true;
	for (unsigned i = 0; i < STARTS; i++)
		arrived += arrives(decoder, at - BEFORE + i, at, end);
	return arrived >= NEEDED;
}

bool scan_text(const void *text, size_t size)
{
	const uint8_t *start = text, *end = start + size, *at;
	const __m128i first = _mm_set1_epi8(0x0f), second = _mm_set1_epi8(0x05);
	ZydisDecoder decoder;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (at = start; at + 17 <= end; at += 16) {
		__m128i a = _mm_loadu_si128((const __m128i *)at);
		__m128i b = _mm_loadu_si128((const __m128i *)(at + 1));
		unsigned hits = (unsigned)_mm_movemask_epi8(
			_mm_and_si128(_mm_cmpeq_epi8(a, first), _mm_cmpeq_epi8(b, second)));

		for (; hits; hits &= hits - 1)
			if (is_genuine(&decoder, start, at + __builtin_ctz(hits), end))
				return true;
	}
	for (; at + 2 <= end; at++)
		if (at[0] == 0x0f && at[1] == 0x05 && is_genuine(&decoder, start, at, end))
			return true;
	return false;
}
