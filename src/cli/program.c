/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads ELF headers from a mapping of the file, every offset checked against its size.  A
 * script is followed to its interpreter, through env(1) too.
 */
#include "cli/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SCRIPT_DEPTH 4 /* BINPRM: the kernel follows as many */

struct image {
	const uint8_t *bytes;
	size_t size;
};

static int image_open(struct image *image, const char *path, struct stat *st)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), error = 0;
	void *bytes = MAP_FAILED;

	if (fd < 0)
		return -errno;
	if (fstat(fd, st) < 0)
		error = errno;
	else if (!S_ISREG(st->st_mode))
		error = EACCES;
	else if (st->st_size > 0) {
		bytes = mmap(NULL, (size_t)st->st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (bytes == MAP_FAILED)
			error = errno;
	}
	close(fd);
	if (error)
		return -error;
	image->bytes = bytes == MAP_FAILED ? NULL : bytes;
	image->size = bytes == MAP_FAILED ? 0 : (size_t)st->st_size;
	return 0;
}

static void image_close(struct image *image)
{
	if (image->bytes)
		munmap((void *)image->bytes, image->size);
}

static bool inside(const struct image *image, uint64_t offset, uint64_t size)
{
	return offset <= image->size && size <= image->size - offset;
}

/* ---- finding the file ---- */

static int find_in_path(const char *name, char path[PATH_MAX])
{
	const char *list = getenv("PATH"), *end;

	if (strchr(name, '/')) {
		if (strlen(name) >= PATH_MAX)
			return -ENAMETOOLONG;
		strcpy(path, name);
		return 0;
	}
	for (list = list ? list : "/bin:/usr/bin"; list; list = *end ? end + 1 : NULL) {
		int length;

		end = strchrnul(list, ':');
		length = snprintf(path, PATH_MAX, "%.*s%s%s", (int)(end - list), list,
				  end == list ? "" : "/", name);
		if (length > 0 && length < PATH_MAX && access(path, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

/* The word at `text`, at most to the end of its line. */
static size_t word_length(const char *text, size_t size)
{
	size_t n = 0;

	while (n < size && text[n] != ' ' && text[n] != '\t' && text[n] != '\n' && text[n])
		n++;
	return n;
}

/* What a script's first line names: an absolute path, or with env(1) a name. */
static bool script_interpreter(const struct image *image, char interpreter[PATH_MAX])
{
	const char *text = (const char *)image->bytes + 2;
	size_t left = image->size < 256 ? image->size : 256, length;

	if (left < 3 || memcmp(image->bytes, "#!", 2) != 0)
		return false;
	left -= 2;
	while (left && (*text == ' ' || *text == '\t'))
		text++, left--;
	length = word_length(text, left);
	if (length >= 4 && memcmp(text + length - 4, "/env", 4) == 0) {
		const char *next = text + length;
		size_t rest = left - length;

		while (rest && (*next == ' ' || *next == '\t'))
			next++, rest--;
		if (word_length(next, rest) && *next != '-') {
			text = next;
			length = word_length(next, rest);
		}
	}
	snprintf(interpreter, PATH_MAX, "%.*s", (int)length, text);
	return length > 0;
}

/* ---- what it is ---- */

static const Elf64_Ehdr *elf_header(const struct image *image)
{
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)image->bytes;

	if (!inside(image, 0, sizeof(*header)) || header->e_ident[EI_CLASS] != ELFCLASS64 ||
	    header->e_phentsize != sizeof(Elf64_Phdr) ||
	    !inside(image, header->e_phoff, (uint64_t)header->e_phnum * sizeof(Elf64_Phdr)))
		return NULL;
	return header;
}

static const Elf64_Phdr *segment(const struct image *image, unsigned i)
{
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)image->bytes;

	return (const Elf64_Phdr *)(image->bytes + header->e_phoff) + i;
}

static unsigned n_segments(const struct image *image)
{
	const Elf64_Ehdr *header = elf_header(image);

	return header ? header->e_phnum : 0;
}

/* The file's bytes behind a virtual address, at most *size of them. */
static const uint8_t *at_address(const struct image *image, uint64_t address, uint64_t *size)
{
	for (unsigned i = 0; i < n_segments(image); i++) {
		const Elf64_Phdr *s = segment(image, i);

		if (s->p_type != PT_LOAD || address < s->p_vaddr ||
		    address - s->p_vaddr >= s->p_filesz || !inside(image, s->p_offset, s->p_filesz))
			continue;
		*size = s->p_filesz - (address - s->p_vaddr);
		return image->bytes + s->p_offset + (address - s->p_vaddr);
	}
	return NULL;
}

static bool names_asan(const char *library)
{
	return strncmp(library, "libasan.so", 10) == 0 ||
	       strncmp(library, "libclang_rt.asan", 16) == 0;
}

static void read_needed(const struct image *image, const Elf64_Phdr *dynamic,
			struct program *program)
{
	const Elf64_Dyn *entry = (const Elf64_Dyn *)(image->bytes + dynamic->p_offset);
	size_t n = dynamic->p_filesz / sizeof(*entry);
	const char *strings = NULL;
	uint64_t size = 0;

	for (size_t i = 0; i < n && entry[i].d_tag != DT_NULL; i++)
		if (entry[i].d_tag == DT_STRTAB)
			strings = (const char *)at_address(image, entry[i].d_un.d_ptr, &size);
	for (size_t i = 0; strings && i < n && entry[i].d_tag != DT_NULL; i++)
		if (entry[i].d_tag == DT_NEEDED && entry[i].d_un.d_val < size &&
		    memchr(strings + entry[i].d_un.d_val, '\0', size - entry[i].d_un.d_val) &&
		    names_asan(strings + entry[i].d_un.d_val))
			program->shared_asan = true;
}

static bool is_go_note(const struct image *image, const Elf64_Phdr *note)
{
	const Elf64_Nhdr *header = (const Elf64_Nhdr *)(image->bytes + note->p_offset);

	return note->p_filesz >= sizeof(*header) + 4 && header->n_namesz == 4 &&
	       memcmp(header + 1, "Go", 3) == 0;
}

static void read_elf(const struct image *image, struct program *program)
{
	const Elf64_Ehdr *header;

	program->elf = image->size > EI_CLASS && memcmp(image->bytes, ELFMAG, SELFMAG) == 0;
	header = program->elf ? elf_header(image) : NULL;
	if (!header)
		return;
	program->native = header->e_machine == EM_X86_64;
	for (unsigned i = 0; i < header->e_phnum; i++) {
		const Elf64_Phdr *s = segment(image, i);

		if (!inside(image, s->p_offset, s->p_filesz))
			continue;
		if (s->p_type == PT_INTERP)
			program->dynamic = true;
		else if (s->p_type == PT_DYNAMIC)
			read_needed(image, s, program);
		else if (s->p_type == PT_NOTE && is_go_note(image, s))
			program->go = true;
	}
}

/* Whether executing the file changes credentials, so that the linker distrusts us. */
static bool gains_rights(const char *path, const struct stat *st)
{
	struct statvfs fs;
	char capabilities[64];

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		return false;
	if (statvfs(path, &fs) == 0 && (fs.f_flag & ST_NOSUID))
		return false;
	if ((st->st_mode & S_ISUID) && st->st_uid != getuid())
		return true;
	if ((st->st_mode & S_ISGID) && (st->st_mode & S_IXGRP) && st->st_gid != getgid())
		return true;
	return getuid() != 0 &&
	       getxattr(path, "security.capability", capabilities, sizeof(capabilities)) > 0;
}

int program_inspect(const char *name, struct program *ret_program)
{
	char next[PATH_MAX];
	struct image image;
	struct stat st;
	bool more;
	int result;

	*ret_program = (struct program){0};
	result = find_in_path(name, ret_program->path);
	for (int depth = 0; result == 0 && depth <= SCRIPT_DEPTH; depth++) {
		result = image_open(&image, ret_program->path, &st);
		if (result < 0)
			break;
		more = script_interpreter(&image, next);
		if (!more) {
			read_elf(&image, ret_program);
			ret_program->privileged = gains_rights(ret_program->path, &st);
		}
		image_close(&image);
		if (!more)
			return 0;
		ret_program->script = true;
		result = find_in_path(next, ret_program->path);
	}
	return result < 0 ? result : -ELOOP;
}

size_t program_count_syscalls(const struct program *program)
{
	struct image image;
	struct stat st;
	size_t count = 0;

	if (!program->elf || image_open(&image, program->path, &st) < 0)
		return 0;
	for (unsigned i = 0; i < n_segments(&image); i++) {
		const Elf64_Phdr *s = segment(&image, i);
		const uint8_t *p, *end;

		if (s->p_type != PT_LOAD || !(s->p_flags & PF_X) ||
		    !inside(&image, s->p_offset, s->p_filesz))
			continue;
		p = image.bytes + s->p_offset;
		for (end = p + s->p_filesz; (p = memmem(p, (size_t)(end - p), "\x0f\x05", 2));
		     p += 2)
			count++;
	}
	image_close(&image);
	return count;
}

const char *program_obstacle(const struct program *program)
{
	if (!program->elf)
		return NULL;
	if (!program->native)
		return "it is not a 64-bit x86 program, so the injected library can't be loaded "
		       "into it";
	if (!program->dynamic)
		return "it is statically linked, so it has no dynamic linker that could load the "
		       "injected library; link it dynamically";
	if (program->privileged)
		return "it gains rights when it is executed (set-id or file capabilities), so the "
		       "dynamic linker ignores LD_PRELOAD; run a copy without them";
	return NULL;
}
