/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The processors near a device are all that are online: the list is the kernel's own, the
 * mask is computed from it.  Where sysfs can't be read there is one processor.
 */
#include "tree/cpus.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CPUS_MAX 2048

static char list[256], mask[CPUS_MAX / 32 * 9 + 1];

static void read_list(void)
{
	int fd = open("/sys/devices/system/cpu/online", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, list, sizeof(list) - 1);

	if (fd >= 0)
		close(fd);
	list[n > 0 ? n : 0] = '\0';
	list[strcspn(list, "\n")] = '\0';
	if (!list[0])
		strcpy(list, "0");
}

static void format_mask(const uint32_t *word, unsigned words)
{
	size_t length = 0;

	while (words > 1 && !word[words - 1])
		words--;
	length = (size_t)snprintf(mask, sizeof(mask), "%x", word[words - 1]);
	for (unsigned i = words - 1; i-- > 0;)
		length += (size_t)snprintf(mask + length, sizeof(mask) - length, ",%08x", word[i]);
}

static void compute(void)
{
	uint32_t word[CPUS_MAX / 32] = {0};

	read_list();
	for (char *p = list; *p;) {
		char *end;
		unsigned long first = strtoul(p, &end, 10), last = first;

		if (end == p)
			break;
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		for (; first <= last && first < CPUS_MAX; first++)
			word[first / 32] |= 1u << (first % 32);
		p = *end == ',' ? end + 1 : end;
	}
	format_mask(word, CPUS_MAX / 32);
}

const char *cpus_list(void)
{
	if (!list[0])
		compute();
	return list;
}

const char *cpus_mask(void)
{
	if (!mask[0])
		compute();
	return mask;
}
