/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hyperv/utf.h - UTF-16 of hosts and UTF-8 of daemons, converted as the kernel does.
 *
 * The rules are those of fs/nls/nls_base.c, with what they leave out: an unpaired surrogate
 * vanishes, and a character that has no room any more ends the text.  Neither function writes
 * an end.  Texts may lie at odd addresses.
 */
#ifndef STANDIN_HYPERV_UTF_H
#define STANDIN_HYPERV_UTF_H

#include <stddef.h>
#include <stdint.h>

/*
 * From at most `n` units (of 2 bytes, little-endian) at `from`, or up to a 0, to at most `room`
 * bytes at `to`: how many bytes it has become.
 */
size_t utf8_from_utf16(const void *from, size_t n, uint8_t *to, size_t room);

/*
 * From `n` bytes at `from`, or up to a 0, to at most `room` units at `to`: how many units it has
 * become, or -EINVAL: it is no UTF-8.
 */
int utf16_from_utf8(const uint8_t *from, size_t n, void *to, size_t room);

#endif
