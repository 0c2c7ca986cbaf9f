/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/mmio_table.h - the table of register mappings, sorted by address, for mmio.c alone.
 *
 * Readers (the SIGSEGV handler, and every munmap of the client) take no lock; writers hold
 * mmio.c's.
 */
#ifndef STANDIN_MEMORY_MMIO_TABLE_H
#define STANDIN_MEMORY_MMIO_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file;
struct standin_device;

struct mmio_mapping {
	uintptr_t start, end;
	struct standin_device *dev;
	unsigned bar;
	int protection; /* what the client asked for */
	uint64_t offset;
	struct file *file; /* a reference, or NULL */
};

struct mmio_table {
	struct mmio_table *retired_next;
	size_t n;
	struct mmio_mapping m[];
};

/* Whether there has ever been a table: one load. */
bool mmio_table_any(void);
/* The table, or NULL, for a reader: good until mmio_table_done(), which must follow. */
const struct mmio_table *mmio_table_read(void);
void mmio_table_done(void);
/* The same for a writer. */
const struct mmio_table *mmio_table(void);
/* In the child of a fork: nobody reads. */
void mmio_table_forked(void);

/* The number of the first mapping that ends after `address`. */
size_t mmio_table_search(const struct mmio_table *t, uintptr_t address);

/*
 * An empty table with room for what an edit of `old` can need: each splits at most two mappings
 * and adds one.  NULL: out of memory.  It is published, or freed by free().
 */
struct mmio_table *mmio_table_new(const struct mmio_table *old);
/* Appends [start, end) of a mapping, if that isn't empty; the reference is the caller's affair. */
void mmio_table_append(struct mmio_table *t, const struct mmio_mapping *m, uintptr_t start,
		       uintptr_t end);
/* Appends what is left of the old table without [start, end), splitting at its ends. */
void mmio_table_copy_without(struct mmio_table *t, const struct mmio_table *old, uintptr_t start,
			     uintptr_t end);
void mmio_table_sort(struct mmio_table *t);
/* In the place of the old one. */
void mmio_table_publish(struct mmio_table *t);

#endif
