/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the engine does not do yet.
 */
#include <errno.h>

#include "memory/watch.h"

__attribute__((weak)) long watch_continue(uintptr_t to, size_t size, unsigned flags)
{
	return -EOPNOTSUPP;
}

__attribute__((weak)) long watch_move(uintptr_t to, uintptr_t from, size_t size, bool holes)
{
	return -EOPNOTSUPP;
}

__attribute__((weak)) int watch_protect(uintptr_t start, uintptr_t end, bool on)
{
	return -EOPNOTSUPP;
}

__attribute__((weak)) int watch_protect_all(uintptr_t start, uintptr_t end, bool on)
{
	return -EOPNOTSUPP;
}
