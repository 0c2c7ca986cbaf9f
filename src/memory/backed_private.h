/* SPDX-License-Identifier: BSD-3-Clause */
/* memory/backed_private.h - between the files backed*.c alone. */
#ifndef STANDIN_MEMORY_BACKED_PRIVATE_H
#define STANDIN_MEMORY_BACKED_PRIVATE_H

#include "memory/backed.h"
#include "memory/pages.h"

/* Neighbours that are alike are one. */
struct backed_area {
	uintptr_t start, end;
	unsigned advice; /* ADVICE_*: what the plain memory has, or would have */
};

/* The first area that ends above `address`, or NULL.  Good until any is made or removed. */
const struct backed_area *backed_find(uintptr_t address);
/* [start, end) is in no area any more; its contents are left alone. */
void backed_remove(uintptr_t start, uintptr_t end);
/* ---- backed_file.c ---- */

/* Whether there is the file, and it may be written to. */
bool backed_file_make(void);
void backed_file_forked(void);
int backed_descriptor(void);
/* The contents of [start, end) go. */
void backed_punch(uintptr_t start, uintptr_t end);
/* Maps the file at [start, end), out of everybody's reach: false, there can't be more mappings. */
bool backed_map(uintptr_t start, uintptr_t end);
/* The contents of [start, end), to be read and unmapped; to be tested with host_is_error(). */
const void *backed_window(uintptr_t start, uintptr_t end);
/* Whether there are no contents. */
bool backed_is_empty(uintptr_t at, size_t size);
/*
 * Makes [at, at + MEMORY_UNIT), which is empty, one page of zeroes if it can, and maps it for the
 * engine, in place of what was mapped by it before.  NULL: not here.
 */
char *backed_window_open(uintptr_t at);
void backed_window_close(void);

/* ---- backed_stream.c ---- */

/* Stores pages that come in order: false, they have to be written as others are. */
bool backed_stream_write(uintptr_t to, const char *from, size_t size);
/* Pages have been written. */
void backed_stream_note(uintptr_t to, size_t size);
/* In the child of a fork. */
void backed_stream_forked(void);

#endif
