/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/iovec.h - runs of pieces of a client's memory, as struct iovec describes them.
 *
 * The pieces may be bad: they are read and written with copy_guarded() (core/user.h) alone.
 */
#ifndef STANDIN_CORE_IOVEC_H
#define STANDIN_CORE_IOVEC_H

#include <stdint.h>
#include <sys/uio.h>

/*
 * The bytes [skip, skip+size) of n pieces, as pieces at `to`, which has room for n; returns
 * how many.  Bytes beyond the end are left out.
 */
unsigned iovec_cut(const struct iovec *from, unsigned n, uint64_t skip, uint64_t size,
		   struct iovec *to);
/*
 * Copies the bytes [skip, skip+size) of n pieces to `to`, or from `from` to them.  0, or
 * -EFAULT: they are not there, or not all of them.
 */
int iovec_read(const struct iovec *pieces, unsigned n, uint64_t skip, void *to, uint64_t size);
int iovec_write(const struct iovec *pieces, unsigned n, uint64_t skip, const void *from,
		uint64_t size);

#endif
