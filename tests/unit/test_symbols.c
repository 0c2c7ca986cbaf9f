/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_symbols LIBRARY NAMES: each name in the file is a function that the preload library
 * exports itself, and that libc has too; the library exports nothing else; and it needs no
 * other library than libc.
 */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

static int failures;

static void fail(const char *name, const char *what)
{
	printf("FAIL: %s: %s\n", name, what);
	failures++;
}

static void check_name(void *library, void *libc, const char *name, const char *base)
{
	void *found = dlsym(library, name);
	Dl_info info;

	if (!found || !dladdr(found, &info) || (char *)info.dli_fbase != base)
		fail(name, "the library does not have it");
	if (!dlsym(libc, name))
		fail(name, "libc does not have it");
}

/* The dynamic section of a loaded library holds addresses. */
static void check_dynamic(const struct link_map *map, unsigned names)
{
	const ElfW(Sym) *symbols = NULL;
	const char *strings = NULL;
	const ElfW(Dyn) * d;
	unsigned exported = 0;

	for (d = map->l_ld; d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_STRTAB)
			strings = (const char *)d->d_un.d_ptr;
		else if (d->d_tag == DT_SYMTAB)
			symbols = (const ElfW(Sym) *)d->d_un.d_ptr;
	}
	for (d = map->l_ld; d->d_tag != DT_NULL; d++) {
		const char *name = strings + d->d_un.d_val;

		/* The sanitized builds of the test suite add their own. */
		if (d->d_tag == DT_NEEDED && strncmp(name, "libc.so", 7) != 0 &&
		    !strstr(name, "san.so"))
			fail(name, "is needed");
	}
	/* The string table follows the symbols in what GNU and LLVM linkers make. */
	for (const ElfW(Sym) *s = symbols; (const char *)s < strings; s++) {
		if (s->st_shndx != SHN_UNDEF && ELF64_ST_BIND(s->st_info) == STB_GLOBAL &&
		    ELF64_ST_TYPE(s->st_info) == STT_FUNC)
			exported++;
	}
	if (exported != names) {
		printf("FAIL: %u functions are exported, %u are named\n", exported, names);
		failures++;
	}
}

int main(int argc, char **argv)
{
	void *library, *libc = dlopen("libc.so.6", RTLD_NOW);
	struct link_map *map;
	char name[100];
	unsigned n = 0;
	FILE *names;

	if (argc != 3)
		return 2;
	library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
	names = fopen(argv[2], "r");
	if (!library || !libc || !names || dlinfo(library, RTLD_DI_LINKMAP, &map) < 0) {
		printf("FAIL: %s\n", library ? argv[2] : dlerror());
		return 1;
	}
	while (fscanf(names, "%99s", name) == 1) {
		check_name(library, libc, name, (char *)map->l_addr);
		n++;
	}
	fclose(names);
	check_dynamic(map, n);
	printf("%u names, %d failures\n", n, failures);
	return failures || n < 100;
}
