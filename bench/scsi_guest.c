/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random reads of 4 KiB from a block device with O_DIRECT, for a guest that has nothing else:
 * scsi_guest DEVICE DEPTH SECONDS prints reads per second.  Asynchronous by the kernel's own
 * calls (io_submit), so that it needs no library and one thread.
 */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DEPTH_MAX 128

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int64_t place(uint64_t blocks)
{
	static uint32_t state = 1;

	state = state * 1664525u + 1013904223u;
	return (int64_t)((state >> 4) % blocks * 4096);
}

int main(int argc, char **argv)
{
	struct iocb cbs[DEPTH_MAX] = {0}, *again[DEPTH_MAX];
	struct io_event events[DEPTH_MAX];
	aio_context_t context = 0;
	unsigned long done = 0;
	uint64_t size = 0;
	double start;
	int fd, depth;
	char *data;

	if (argc != 4)
		return 2;
	depth = atoi(argv[2]);
	fd = open(argv[1], O_RDONLY | O_DIRECT);
	if (fd < 0 || depth < 1 || depth > DEPTH_MAX || ioctl(fd, BLKGETSIZE64, &size) < 0 ||
	    size < 4096 || syscall(SYS_io_setup, depth, &context) < 0) {
		perror(argv[1]);
		return 1;
	}
	data = aligned_alloc(4096, 4096 * (size_t)depth);
	for (int i = 0; i < depth && data; i++) {
		cbs[i] = (struct iocb){.aio_data = (uint64_t)i,
				       .aio_lio_opcode = IOCB_CMD_PREAD,
				       .aio_fildes = (uint32_t)fd,
				       .aio_buf = (uintptr_t)(data + 4096 * i),
				       .aio_nbytes = 4096,
				       .aio_offset = place(size / 4096)};
		again[i] = &cbs[i];
	}
	start = now();
	for (long n = depth; data && now() - start < atof(argv[3]); done += (unsigned long)n) {
		if (syscall(SYS_io_submit, context, n, again) != n)
			break;
		n = syscall(SYS_io_getevents, context, 1, depth, events, NULL);
		if (n < 1)
			break;
		for (long i = 0; i < n; i++) {
			if (events[i].res != 4096) {
				fprintf(stderr, "a read failed: %lld\n", (long long)events[i].res);
				return 1;
			}
			again[i] = &cbs[events[i].data];
			again[i]->aio_offset = place(size / 4096);
		}
	}
	printf("%.0f\n", (double)done / (now() - start));
	return 0;
}
