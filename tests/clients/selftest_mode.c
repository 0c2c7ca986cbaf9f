/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Preloaded into vfio_pci_device_test, which always uses the mode in its variable
 * default_iommu_mode: sets that variable to $SELFTEST_MODE before main() runs.  The program
 * does not export it, so it is looked up in the symbol table of the program's file.
 */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int first_object(struct dl_phdr_info *info, size_t size, void *ret_base)
{
	*(ElfW(Addr) *)ret_base = info->dlpi_addr;
	return 1;
}

static const Elf64_Sym *find(const char *file, const char *name)
{
	const Elf64_Ehdr *header = (const void *)file;
	const Elf64_Shdr *sections = (const void *)(file + header->e_shoff);

	for (int i = 0; i < header->e_shnum; i++) {
		const Elf64_Shdr *s = &sections[i];
		const Elf64_Sym *symbols = (const void *)(file + s->sh_offset);
		const char *names;

		if (s->sh_type != SHT_SYMTAB)
			continue;
		names = file + sections[s->sh_link].sh_offset;
		for (size_t n = 0; n < s->sh_size / sizeof(*symbols); n++)
			if (strcmp(names + symbols[n].st_name, name) == 0)
				return &symbols[n];
	}
	return NULL;
}

__attribute__((constructor)) static void set_mode(void)
{
	const char *mode = getenv("SELFTEST_MODE");
	const Elf64_Sym *symbol;
	ElfW(Addr) base = 0;
	struct stat st;
	char *file;
	int fd;

	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (!mode || fd < 0 || fstat(fd, &st))
		return;
	file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (file == MAP_FAILED)
		return;
	symbol = find(file, "default_iommu_mode");
	if (symbol) {
		dl_iterate_phdr(first_object, &base);
		*(const char **)(base + symbol->st_value) = mode;
	}
	munmap(file, (size_t)st.st_size);
}
