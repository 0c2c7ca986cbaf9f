/* SPDX-License-Identifier: BSD-3-Clause */
/* hmm.h - what the areas of the HMM conformance program share. */
#ifndef CONFORMANCE_HMM_H
#define CONFORMANCE_HMM_H

#include "conformance.h"

#include "../../src/uapi/hmm.h"
#ifdef CONFORMANCE_EMBEDDED
#include "hmm_embedded.h"
#endif

#define PAGE   4096UL
#define HUGE   (2UL << 20)
#define RW     (PROT_READ | PROT_WRITE)
#define UNKEPT 0x5a5a5a5a /* what cpages and faults hold before a call */

/*
 * The areas run once with the private devices 0 and 1, once with the coherent ones 2 and 3;
 * set by the area's entry function.
 */
extern unsigned first_device;

/* Opens first_device + unit, or gives up. */
int hmm_open(unsigned unit);

/* One call on [address, address + pages * PAGE); the command is left in *ret when not NULL. */
long hmm_call(int fd, unsigned long request, const void *address, uint64_t pages, void *data,
	      struct hmm_dmirror_cmd *ret);

/* Makes a call and prints its result and its counts: "0 cpages 4 faults 1". */
void hmm_say(int fd, unsigned long request, const char *what, const void *address, uint64_t pages,
	     void *data);
/* The same, with the first byte of each page of data after it. */
void hmm_say_data(int fd, unsigned long request, const char *what, const void *address,
		  uint64_t pages);
/* The snapshot of a range, in runs: "02*3 00". */
void hmm_say_snapshot(int fd, const char *what, const void *address, uint64_t pages);
/* Which pages pagemap shows as present (p), swapped (s), neither (-). */
void hmm_say_pagemap(const char *what, const void *address, uint64_t pages);

/* Anonymous private memory in small pages, unpopulated; with an inaccessible page around. */
char *memory(uint64_t pages, int protection);
/* The same, page i filled with first + i. */
char *filled(uint64_t pages, unsigned first);
/* Fills page i with first + i. */
void fill(char *address, uint64_t pages, unsigned first);
/* The first byte of each page, in runs: "01 02*3". */
void say_bytes(const char *what, const void *address, uint64_t pages);
/* A huge page's room, aligned, unpopulated, asked to be huge. */
char *huge_memory(unsigned count);
/* An unlinked file of so many pages, page i filled with first + i. */
int file_of(uint64_t pages, unsigned first);

void hmm_area_entry(void);
void hmm_area_read(void);
void hmm_area_write(void);
void hmm_area_invalidate(void);
void hmm_area_migrate(void);
void hmm_area_kinds(void);
void hmm_area_back(void);
void hmm_area_snapshot(void);
void hmm_area_exclusive(void);
void hmm_area_fork(void);
void hmm_area_huge(void);
void hmm_area_files(void);

#endif
