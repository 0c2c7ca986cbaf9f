/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/utf.h - text as the host and the kernel encode it.
 */
#ifndef STANDIN_AGENT_UTF_H
#define STANDIN_AGENT_UTF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether all of the string is UTF-8 (RFC 3629), as the kernel's utf8s_to_utf16s() takes it. */
bool utf8_valid(const char *text);

/*
 * Copies at most `from_size` bytes of text to `to`, up to a NUL, with U+FFFD for what is not
 * UTF-8.  Ends with NUL; no character is cut at the end.
 */
void utf8_repair(char *to, size_t to_size, const char *from, size_t from_size);

/*
 * UTF-16 in at most n units, up to a NUL, to UTF-8.  -EILSEQ for a surrogate without the other,
 * -ENAMETOOLONG if it does not fit with a NUL.
 */
int utf8_encode(char *to, size_t to_size, const uint16_t *from, size_t n);

#endif
