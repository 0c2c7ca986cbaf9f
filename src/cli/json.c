/* SPDX-License-Identifier: BSD-3-Clause */
/* Only control characters, quotes and backslashes need an escape; the rest goes out as it is. */
#include "cli/json.h"

#include <stddef.h>

/* How many bytes the character at `text` has, or 0: it is none. */
static size_t character(const unsigned char *text)
{
	size_t size = *text < 0x80   ? 1
		      : *text < 0xc2 ? 0
		      : *text < 0xe0 ? 2
		      : *text < 0xf0 ? 3
		      : *text < 0xf5 ? 4
				     : 0;

	for (size_t i = 1; i < size; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	if ((*text == 0xe0 && text[1] < 0xa0) || (*text == 0xed && text[1] > 0x9f) ||
	    (*text == 0xf0 && text[1] < 0x90) || (*text == 0xf4 && text[1] > 0x8f))
		return 0;
	return size;
}

void json_string(FILE *out, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	fputc('"', out);
	while (*at) {
		size_t size = character(at);

		if (!size)
			fputs("\\ufffd", out);
		else if (*at == '"' || *at == '\\')
			fprintf(out, "\\%c", *at);
		else if (*at < 0x20)
			fprintf(out, "\\u%04x", *at);
		else
			fwrite(at, 1, size, out);
		at += size ? size : 1;
	}
	fputc('"', out);
}
