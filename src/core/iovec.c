/* SPDX-License-Identifier: BSD-3-Clause */
/* Walking along pieces of memory. */
#include "core/iovec.h"

#include <errno.h>

#include "core/user.h"

unsigned iovec_cut(const struct iovec *from, unsigned n, uint64_t skip, uint64_t size,
		   struct iovec *to)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n && size; i++) {
		uint64_t length = from[i].iov_len;

		if (skip >= length) {
			skip -= length;
			continue;
		}
		length -= skip;
		if (length > size)
			length = size;
		to[count++] = (struct iovec){(char *)from[i].iov_base + skip, length};
		size -= length;
		skip = 0;
	}
	return count;
}

static int copy(const struct iovec *pieces, unsigned n, uint64_t skip, char *here, uint64_t size,
		bool to_pieces)
{
	for (unsigned i = 0; i < n && size; i++) {
		uint64_t length = pieces[i].iov_len;
		char *piece = (char *)pieces[i].iov_base + skip;

		if (skip >= length) {
			skip -= length;
			continue;
		}
		length -= skip;
		if (length > size)
			length = size;
		if (to_pieces ? copy_guarded(piece, here, length)
			      : copy_guarded(here, piece, length))
			return -EFAULT;
		here += length;
		size -= length;
		skip = 0;
	}
	return size ? -EFAULT : 0;
}

int iovec_read(const struct iovec *pieces, unsigned n, uint64_t skip, void *to, uint64_t size)
{
	return copy(pieces, n, skip, to, size, false);
}

int iovec_write(const struct iovec *pieces, unsigned n, uint64_t skip, const void *from,
		uint64_t size)
{
	return copy(pieces, n, skip, (char *)(uintptr_t)from, size, true);
}
