/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * UTF-8 is read a character at a time by one function, which refuses what RFC 3629 does:
 * overlong forms, surrogates, and numbers beyond U+10FFFF.
 */
#include "agent/utf.h"

#include <errno.h>
#include <string.h>

static const char replacement[] = "\xef\xbf\xbd";

/* The bytes of the character at `text`, of which `size` are there; 0 if it is none. */
static size_t character(const char *text, size_t size)
{
	const unsigned char *t = (const unsigned char *)text;
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = t[0] < 0x80             ? 1
			: (t[0] & 0xe0) == 0xc0 ? 2
			: (t[0] & 0xf0) == 0xe0 ? 3
			: (t[0] & 0xf8) == 0xf0 ? 4
						: 0;
	uint32_t value;

	if (length == 0 || length > size)
		return 0;
	value = length == 1 ? t[0] : t[0] & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if ((t[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (t[i] & 0x3f);
	}
	if (value < smallest[length] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		return 0;
	return length;
}

bool utf8_valid(const char *text)
{
	size_t left = strlen(text), n;

	for (; left; text += n, left -= n) {
		n = character(text, left);
		if (n == 0)
			return false;
	}
	return true;
}

void utf8_repair(char *to, size_t to_size, const char *from, size_t from_size)
{
	size_t left = strnlen(from, from_size), n, put;
	const char *what;

	for (; left; from += n, left -= n) {
		n = character(from, left);
		what = n ? from : replacement;
		put = n ? n : sizeof(replacement) - 1;
		if (n == 0)
			n = 1;
		if (put >= to_size)
			break;
		memcpy(to, what, put);
		to += put;
		to_size -= put;
	}
	*to = '\0';
}

static size_t encode(char *to, uint32_t c)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3f));
	to[2] = (char)(0x80 | (c >> 6 & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

int utf8_encode(char *to, size_t to_size, const uint16_t *from, size_t n)
{
	char bytes[4];
	uint32_t c;
	size_t size;

	for (size_t i = 0; i < n && from[i]; i++) {
		c = from[i];
		if (c >= 0xd800 && c <= 0xdfff) {
			if (c >= 0xdc00 || i + 1 == n || (from[i + 1] & 0xfc00) != 0xdc00)
				return -EILSEQ;
			c = 0x10000 + ((c & 0x3ff) << 10 | (from[++i] & 0x3ff));
		}
		size = encode(bytes, c);
		if (size >= to_size)
			return -ENAMETOOLONG;
		memcpy(to, bytes, size);
		to += size;
		to_size -= size;
	}
	if (to_size == 0)
		return -ENAMETOOLONG;
	*to = '\0';
	return 0;
}
