/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program that becomes another user can't read the private directory any more.  So the
 * configuration is read before, if the runtime, which would want it, isn't loaded yet.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "inject/x86_64/raw.h"
#include "next.h"

const char *kept_configuration;

/* The whole of it with a 0 at its end, or NULL. */
static char *read_file(const char *path)
{
	long fd = raw4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0), n = -1;
	char *text = MAP_FAILED;
	struct stat st;

	if (fd < 0)
		return NULL;
	if (raw2(SYS_fstat, fd, &st) == 0)
		text = next_mmap(NULL, (size_t)st.st_size + 1, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (text != MAP_FAILED)
		n = raw3(SYS_read, fd, text, st.st_size);
	raw1(SYS_close, fd);
	if (n >= 0 && n == st.st_size)
		return text;
	if (text != MAP_FAILED)
		next_munmap(text, (size_t)st.st_size + 1);
	return NULL;
}

static COLD void keep_configuration(void)
{
	char path[ROOT_MAX + sizeof("/config")];
	size_t length = root_size() - strlen("/root");
	int saved = errno;

	activation_lock();
	if (!live() && !kept_configuration) {
		memcpy(path, root, length);
		strcpy(path + length, "/config");
		kept_configuration = read_file(path);
	}
	activation_unlock();
	errno = saved;
}

static inline void before_change(void)
{
	if (!live() && root_size())
		keep_configuration();
}

int do_setuid(uid_t user)
{
	before_change();
	return next_setuid(user);
}

int do_seteuid(uid_t user)
{
	before_change();
	return next_seteuid(user);
}

int do_setreuid(uid_t real, uid_t effective)
{
	before_change();
	return next_setreuid(real, effective);
}

int do_setresuid(uid_t real, uid_t effective, uid_t saved)
{
	before_change();
	return next_setresuid(real, effective, saved);
}
