/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mapping regions: which may be mapped and how, that a mapping shows the registers that
 * pread shows, and what is left of it when memory is switched off, pieces are unmapped,
 * protections change or the descriptor is closed.
 */
#include "vfio.h"

#include <setjmp.h>
#include <signal.h>

#ifndef CONFORMANCE_EMBEDDED

#define SIZE 0x4000

static sigjmp_buf jump;

static void on_signal(int number)
{
	siglongjmp(jump, number);
}

/* "value", or the signal's name. */
static const char *load(volatile uint32_t *p, uint32_t *ret_value)
{
	static char text[32];
	int number = sigsetjmp(jump, 1);

	if (number)
		return number == SIGBUS ? "SIGBUS" : number == SIGSEGV ? "SIGSEGV" : "signal";
	*ret_value = *p;
	snprintf(text, sizeof(text), "%#x", *ret_value);
	return text;
}

static const char *store(volatile uint32_t *p, uint32_t value)
{
	int number = sigsetjmp(jump, 1);

	if (number)
		return number == SIGBUS ? "SIGBUS" : number == SIGSEGV ? "SIGSEGV" : "signal";
	*p = value;
	return "stored";
}

static void map_case(int fd, const char *name, size_t size, int protection, int flags, off_t offset)
{
	void *p = mmap(NULL, size, protection, flags, fd, offset);

	say(p == MAP_FAILED ? -errno : 0, "map.%s", name);
	if (p != MAP_FAILED)
		munmap(p, size);
}

static void which(int fd)
{
	char name[32];

	map_case(fd, "all", SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	map_case(fd, "read", SIZE, PROT_READ, MAP_SHARED, 0);
	map_case(fd, "write", SIZE, PROT_WRITE, MAP_SHARED, 0);
	map_case(fd, "none", SIZE, PROT_NONE, MAP_SHARED, 0);
	map_case(fd, "execute", SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, 0);
	map_case(fd, "private", SIZE, PROT_READ, MAP_PRIVATE, 0);
	map_case(fd, "private writable", SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	map_case(fd, "neither", SIZE, PROT_READ, 0, 0);
	map_case(fd, "validate", SIZE, PROT_READ, MAP_SHARED_VALIDATE, 0);
	map_case(fd, "locked", SIZE, PROT_READ, MAP_SHARED | MAP_LOCKED, 0);
	map_case(fd, "populate", SIZE, PROT_READ, MAP_SHARED | MAP_POPULATE, 0);
	map_case(fd, "size 0", 0, PROT_READ, MAP_SHARED, 0);
	map_case(fd, "size 1", 1, PROT_READ, MAP_SHARED, 0);
	map_case(fd, "size 1 less", SIZE - 1, PROT_READ, MAP_SHARED, 0);
	map_case(fd, "size 1 more", SIZE + 1, PROT_READ, MAP_SHARED, 0);
	map_case(fd, "a page more", SIZE + 4096, PROT_READ, MAP_SHARED, 0);
	map_case(fd, "first page", 4096, PROT_READ, MAP_SHARED, 0);
	map_case(fd, "last page", 4096, PROT_READ, MAP_SHARED, SIZE - 4096);
	map_case(fd, "table's page", 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 0x2000);
	map_case(fd, "end", 4096, PROT_READ, MAP_SHARED, SIZE);
	map_case(fd, "across the end", 8192, PROT_READ, MAP_SHARED, SIZE - 4096);
	map_case(fd, "unaligned offset", 4096, PROT_READ, MAP_SHARED, 0x800);
	map_case(fd, "far beyond", 4096, PROT_READ, MAP_SHARED, 0x100000000);
	map_case(fd, "private far beyond", 4096, PROT_READ, MAP_PRIVATE, 0x100000000);
	for (int index = 1; index < 11; index++) {
		snprintf(name, sizeof(name), "region %d", index);
		map_case(fd, name, 4096, PROT_READ, MAP_SHARED, REGION(index));
	}
	map_case(fd, "region 100", 4096, PROT_READ, MAP_SHARED, REGION(100));
}

static void registers(int fd)
{
	volatile uint32_t *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	volatile uint32_t *alias, *writer;
	uint32_t value = 0, other = 0;

	if (p == MAP_FAILED)
		give_up("mmap", -errno);
	config_write(fd, 4, 2, 6);
	say_text("version", "%s", load(p + 2, &value));
	say(sys_pread(fd, &other, 4, 8), "version.pread");
	say_text("version", "same %d", value == other);
	say_text("aqa", "%s", store(p + 9, 0x00110011));
	pread(fd, &other, 4, 0x24);
	say_text("aqa.pread", "%#x", other);
	other = 0x00220022;
	pwrite(fd, &other, 4, 0x24);
	say_text("aqa.load", "%s", load(p + 9, &value));

	alias = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	writer = mmap(NULL, 8192, PROT_WRITE, MAP_SHARED, fd, 0);
	say_text("writer", "%s", store(writer + 9, 0x00330033));
	say_text("alias", "%s", load(alias + 9, &value));
	say_text("alias.store", "%s", store(alias + 9, 0x00440044));
	say_text("first", "%s", load(p + 9, &value));

	/* The MSI-X table is mappable, and what is mapped is the device's own. */
	value = 0;
	load(p + 0x2000 / 4 + 3, &value);
	say_text("table.vector 0 control", "%#x", value);
	value = 0xffffffff;
	load(p + 0x3000 / 4, &value);
	say_text("pending", "%#x", value);

	/* Memory off: SIGBUS, and back again. */
	config_write(fd, 4, 2, 0);
	say_text("off.load", "%s", load(p + 2, &value));
	say_text("off.store", "%s", store(p + 9, 1));
	say_text("off.table", "%s", load(p + 0x2000 / 4 + 3, &value));
	say_text("off.alias", "%s", load(alias + 2, &value));
	map_case(fd, "memory off", SIZE, PROT_READ, MAP_SHARED, 0);
	config_write(fd, 4, 2, 2);
	say_text("on.load", "%s", load(p + 2, &value));
	say_text("on.aqa", "%s", load(p + 9, &value));
	say(result(ioctl(fd, VFIO_DEVICE_RESET)), "reset");
	say_text("reset.load", "%s", load(p + 2, &value));

	/* Protections. */
	say(result(mprotect((void *)p, 4096, PROT_READ)), "protect.read");
	say_text("protect.read.load", "%s", load(p + 2, &value));
	say_text("protect.read.store", "%s", store(p + 9, 2));
	say(result(mprotect((void *)p, 4096, PROT_NONE)), "protect.none");
	say_text("protect.none.load", "%s", load(p + 2, &value));
	say(result(mprotect((void *)p, 4096, PROT_READ | PROT_WRITE)), "protect.both");
	say_text("protect.both.store", "%s", store(p + 9, 0x00050005));
	say_text("protect.both.load", "%s", load(p + 9, &value));
	say(result(mprotect((void *)alias, 4096, PROT_READ | PROT_WRITE)), "protect.alias");
	say_text("protect.alias.store", "%s", store(alias + 9, 0x00060006));
	say_text("protect.alias.load", "%s", load(p + 9, &value));

	say(result(madvise((void *)p, SIZE, MADV_HUGEPAGE)), "madvise.HUGEPAGE");
	say(result(madvise((void *)p, SIZE, MADV_DONTNEED)), "madvise.DONTNEED");
	say(result(madvise((void *)p, SIZE, MADV_DONTFORK)), "madvise.DONTFORK");
	say(result(msync((void *)p, SIZE, MS_SYNC)), "msync");
	say(result(mlock((void *)p, SIZE)), "mlock");

	/* Pieces. */
	say(result(munmap((char *)p + 0x1000, 0x1000)), "piece.munmap");
	say_text("piece.gone", "%s", load(p + 0x1000 / 4, &value));
	say_text("piece.before", "%s", load(p + 2, &value));
	say_text("piece.behind", "%s", load(p + 0x2000 / 4 + 3, &value));
	{
		uint32_t *fixed = mmap((void *)p, 4096, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

		say(fixed == MAP_FAILED ? -errno : 0, "piece.fixed over it");
		say_text("piece.plain memory", "%s", load(fixed + 2, &value));
		say_text("piece.plain memory", "%s", store(fixed + 2, 7));
		say_text("piece.plain memory", "%s", load(fixed + 2, &value));
		fixed = mmap((void *)p, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			     0);
		say(fixed == MAP_FAILED ? -errno : 0, "piece.mapped again");
		say_text("piece.registers", "%s", load(fixed + 2, &value));
		fixed = mmap((void *)p, 4096, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
		say(fixed == MAP_FAILED ? -errno : 0, "piece.not replaced");
	}
	munmap((void *)p, SIZE);
	munmap((void *)alias, 4096);
	munmap((void *)writer, 8192);
}

static void accesses(int fd)
{
	volatile uint8_t *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint8_t copy[16];
	uint64_t wide, direct = 0;

	config_write(fd, 4, 2, 6);
	pread(fd, &direct, 8, 0);
	wide = *(volatile uint64_t *)p;
	say_text("access.8", "same %d", wide == direct);
	say_text("access.4", "same %d", *(volatile uint32_t *)(p + 4) == (uint32_t)(direct >> 32));
	say_text("access.2", "same %d", *(volatile uint16_t *)(p + 2) == (uint16_t)(direct >> 16));
	for (int i = 0; i < 8; i++)
		copy[i] = p[i];
	say_text("access.1", "same %d", memcmp(copy, &direct, 8) == 0);
	*(volatile uint64_t *)(p + 0x28) = 0x0000123412345000;
	pread(fd, &direct, 8, 0x28);
	say_text("access.store 8", "%#llx", (unsigned long long)direct);
	*(volatile uint32_t *)(p + 0x2c) = 0x00005678;
	pread(fd, &direct, 8, 0x28);
	say_text("access.store 4", "%#llx", (unsigned long long)direct);
	*(volatile uint32_t *)(p + 0x24) = 0;
	*(volatile uint32_t *)(p + 0x24) |= 0x00010001;
	say_text("access.or", "%#x", *(volatile uint32_t *)(p + 0x24));
	*(volatile uint32_t *)(p + 0x24) ^= 0x00030003;
	say_text("access.xor", "%#x", *(volatile uint32_t *)(p + 0x24));
	munmap((void *)p, SIZE);
}

/* A mapping holds the file, as an open descriptor would. */
static void outlives(struct vfio *v)
{
	volatile uint32_t *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, v->device, 0);
	uint32_t value;

	config_write(v->device, 4, 2, 6);
	close(v->device);
	v->device = -1;
	say_text("closed.load", "%s", load(p + 2, &value));
	say(result(ioctl(v->group, VFIO_GROUP_UNSET_CONTAINER)), "closed.unset");
	munmap((void *)p, SIZE);
	say(result(ioctl(v->group, VFIO_GROUP_UNSET_CONTAINER)), "unmapped.unset");
}

void area_mmap(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NODEFER};
	struct vfio v;

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	which(v.device);
	registers(v.device);
	accesses(v.device);
	outlives(&v);
	vfio_close(&v);
}
#else
void area_mmap(void)
{
}
#endif
