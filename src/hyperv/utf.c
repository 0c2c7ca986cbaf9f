/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One character at a time, through its number.  The kernel takes sequences of up to six bytes
 * apart before it finds their numbers too big, and so does this: what is wrong with a text decides
 * nothing but whether it is wrong, and where it was cut off.
 */
#include "hyperv/utf.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define CHARACTER_MAX 0x10ffffu
#define PLANE         0x10000u

static bool is_surrogate(uint32_t c)
{
	return (c & ~0x7ffu) == 0xd800;
}

/* ---- from UTF-16 ---- */

static uint16_t get_unit(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

/* The bytes that a character takes: the kernel starts one that has room for its first byte. */
static size_t utf8_size(uint32_t c)
{
	return c < 0x80 ? 1 : c < 0x800 ? 2 : c < PLANE ? 3 : 4;
}

static void put_utf8(uint8_t *to, uint32_t c, size_t size)
{
	static const uint8_t marks[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (size_t i = size - 1; i > 0; i--, c >>= 6)
		to[i] = (uint8_t)(0x80 | (c & 0x3f));
	to[0] = (uint8_t)(marks[size] | c);
}

size_t utf8_from_utf16(const void *from, size_t n, uint8_t *to, size_t room)
{
	const uint8_t *at = from, *end = at + 2 * n;
	size_t used = 0, size;

	while (at < end && used < room) {
		uint32_t c = get_unit(at), low;

		if (!c)
			break;
		at += 2;
		if (is_surrogate(c)) {
			if (c & 0x400)
				continue;
			if (at == end)
				break;
			low = get_unit(at);
			if (!is_surrogate(low) || !(low & 0x400))
				continue;
			at += 2;
			c = PLANE + ((c & 0x3ff) << 10) + (low & 0x3ff);
		}
		size = utf8_size(c);
		if (size > room - used)
			break;
		put_utf8(to + used, c, size);
		used += size;
	}
	return used;
}

/* ---- from UTF-8 ---- */

/* By the number of bytes: the bits of the first byte, and the smallest character. */
static const struct {
	uint8_t mask, mark;
	uint32_t first;
} forms[] = {
	{0x80, 0x00, 0},       {0xe0, 0xc0, 0x80},     {0xf0, 0xe0, 0x800},
	{0xf8, 0xf0, 0x10000}, {0xfc, 0xf8, 0x200000}, {0xfe, 0xfc, 0x4000000},
};

/* How many of the `n` bytes the next character is, or -EINVAL. */
static int get_utf8(const uint8_t *from, size_t n, uint32_t *ret_character)
{
	size_t size = 0;
	uint32_t c;

	while (size < sizeof(forms) / sizeof(forms[0]) &&
	       (from[0] & forms[size].mask) != forms[size].mark)
		size++;
	if (size == sizeof(forms) / sizeof(forms[0]) || size >= n)
		return -EINVAL;
	c = from[0] & (uint8_t)~forms[size].mask;
	for (size_t i = 1; i <= size; i++) {
		if ((from[i] & 0xc0) != 0x80)
			return -EINVAL;
		c = c << 6 | (from[i] & 0x3f);
	}
	if (c < forms[size].first || c > CHARACTER_MAX || is_surrogate(c))
		return -EINVAL;
	*ret_character = c;
	return (int)size + 1;
}

static void put_unit(uint8_t *at, uint32_t unit)
{
	at[0] = (uint8_t)unit;
	at[1] = (uint8_t)(unit >> 8);
}

int utf16_from_utf8(const uint8_t *from, size_t n, void *to, size_t room)
{
	uint8_t *at = to;
	uint32_t c;
	int size;

	while (n > 0 && room > 0 && *from) {
		size = get_utf8(from, n, &c);
		if (size < 0)
			return size;
		from += size;
		n -= (size_t)size;
		if (c >= PLANE) {
			if (room < 2)
				break;
			c -= PLANE;
			put_unit(at, 0xd800 | c >> 10);
			put_unit(at + 2, 0xdc00 | (c & 0x3ff));
			at += 4;
			room -= 2;
		} else {
			put_unit(at, c);
			at += 2;
			room--;
		}
	}
	return (int)((at - (uint8_t *)to) / 2);
}
