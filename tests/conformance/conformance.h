/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conformance.h - the small frame that the conformance programs share.
 *
 * A program is a list of areas.  Each area runs in a child process of its own, so that
 * none depends on what another left behind and a crash is one line of the output.  It
 * prints one line per check,
 *
 *	area.case: value or -ERRNO [facts]
 *
 * and nothing that may differ between a kernel and a faithful stand-in (addresses, group
 * numbers, times).  The same source is built three times: static, for a kernel; dynamic,
 * for `standin run`; and with CONFORMANCE_EMBEDDED over the doors of libstandin.
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vfio.h>

#ifdef CONFORMANCE_EMBEDDED
#include <standin/standin.h>
#define sys_open   standin_open
#define sys_close  standin_close
#define sys_dup    standin_dup
#define sys_ioctl  standin_ioctl
#define sys_read   standin_read
#define sys_write  standin_write
#define sys_pread  standin_pread
#define sys_pwrite standin_pwrite
#define sys_mmap   standin_mmap
#define sys_munmap standin_munmap
#else
#define sys_open   open
#define sys_close  close
#define sys_dup    dup
#define sys_ioctl  ioctl
#define sys_read   read
#define sys_write  write
#define sys_pread  pread
#define sys_pwrite pwrite
#define sys_mmap   mmap
#define sys_munmap munmap
#endif

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct area {
	const char *name;
	void (*run)(void);
	bool needs_process; /* calls that have no door in libstandin: left out when embedded */
};

/*
 * Runs the areas named in argv, or all; the exit status of main().  --kernel first also
 * prints which kernel it is.
 */
int conformance_main(int argc, char **argv, const struct area *areas, size_t n);

/* ---- printing ---- */

/* -1 becomes -errno. */
long result(long value);
/* "0", "12", "-EINVAL"; one of eight static buffers. */
const char *result_name(long value);
/* "fd" for a descriptor, else the error. */
const char *fd_name(long value);

/* Prints "AREA.CASE: RESULT"; the case is formatted. */
void say(long value, const char *name, ...) __attribute__((format(printf, 2, 3)));
/* The same for a descriptor. */
void say_fd(long value, const char *name, ...) __attribute__((format(printf, 2, 3)));
/* Prints "AREA.CASE: TEXT". */
void say_text(const char *name, const char *text, ...) __attribute__((format(printf, 2, 3)));
/* Stops the area: something that all the rest needs is not there. */
void give_up(const char *what, long value) __attribute__((noreturn));

/* A text that grows; for lines put together in loops. */
struct text {
	char data[4096];
	size_t length;
};
void text_add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints runs of equal words as "word*N". */
void text_add_run(struct text *t, const char *word);
void text_end_run(struct text *t);

/* ---- memory at the edge of what is accessible ---- */

/*
 * `size` bytes that end exactly at an inaccessible page, filled from `data` (NULL: 0xa5).
 * One of four places in turn; nothing to free.
 */
void *edge(size_t size, const void *data);
/* The same bytes in a page that can only be read. */
const void *read_only(size_t size, const void *data);
/* An address where nothing is mapped, and NULL; the compiler must not see through them. */
extern void *volatile nowhere, *volatile null_pointer;
#define NOWHERE       nowhere
#define NO_DESCRIPTOR 1000 /* never open in these programs */

/* ---- VFIO ---- */

const char *vfio_bdf(void);        /* $VFIO_BDF, else 0000:01:00.0 */
const char *vfio_group_path(void); /* "/dev/vfio/N": $VFIO_GROUP, else from sysfs */

struct vfio {
	int container, group, device;
};
/* Opens the container and the group and attaches it; type 0: no SET_IOMMU and no device. */
void vfio_open(struct vfio *v, unsigned long type);
void vfio_close(struct vfio *v);

#define REGION(index) ((off_t)(index) << 40)

/* Configuration space: the value read, or give_up(). */
uint32_t config_read(int device, unsigned offset, unsigned size);
long config_write(int device, unsigned offset, unsigned size, uint32_t value);
/* The offset of a capability, 0 if there is none. */
unsigned config_capability(int device, uint8_t id);

long map_dma(int container, uint64_t iova, const void *memory, uint64_t size, uint32_t flags);
/* *size is what was written back. */
long unmap_dma(int container, uint64_t iova, uint64_t *size, uint32_t flags);

/* SET_IRQS with `count` descriptors, or without data. */
long irq_eventfds(int device, unsigned index, unsigned start, unsigned count, const int *fds);
long irq_none(int device, unsigned index, unsigned start, unsigned count, uint32_t action);
/* The number of signals since last asked. */
unsigned long eventfd_count(int fd);

#endif
