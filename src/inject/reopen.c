/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files that no process has taken yet (core/file.h, file_take()) come without their state: who
 * gets a descriptor opens the node anew and puts that in the descriptor's place.  The
 * placeholder that was there is kept until the file is closed: by the mark on it the sender and
 * the receivers know if one of them has taken the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "core/call.h"
#include "core/fdtable.h"
#include "core/file.h"
#include "core/hostfd.h"
#include "core/placeholder.h"
#include "core/syscall.h"
#include "inject/forward_private.h"

struct search {
	const char *kind;
	const struct node *found;
};

static void match_kind(const struct node *node, void *arg)
{
	struct search *s = arg;

	if (node->ops->reopened && strcmp(node->ops->kind, s->kind) == 0)
		s->found = node;
}

static bool same_inode(int a, int b)
{
	struct stat one, other;

	return a >= 0 && host_fstat(a, &one) == 0 && host_fstat(b, &other) == 0 &&
	       one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/* What was opened for another descriptor of the same file, with a reference; or NULL. */
static struct file *opened_before(int fd)
{
	struct file **files, *found = NULL;
	size_t n = fdtable_files(&files);

	while (n) {
		struct file *f = files[--n];

		if (!found && same_inode(f->origin, fd))
			found = f;
		else
			file_put(f);
	}
	free(files);
	return found;
}

static struct file *open_for(int fd, const char *path)
{
	int flags = (int)host_syscall(SYS_fcntl, fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK);
	int own = call_open(path, flags | O_CLOEXEC);
	struct file *f = own < 0 ? NULL : file_get(own);

	if (f)
		f->origin = hostfd_duplicate(fd);
	if (own >= 0) {
		fdtable_forget(own);
		host_close(own);
	}
	return f;
}

bool attach_reopened(int fd, const char *kind)
{
	struct search s = {kind, NULL};
	struct file *f;
	int flags;

	node_each(match_kind, &s);
	if (!s.found || placeholder_marked(fd))
		return false;
	f = opened_before(fd);
	if (!f)
		f = open_for(fd, s.found->path);
	if (!f)
		return false;
	flags = host_syscall(SYS_fcntl, fd, F_GETFD) & FD_CLOEXEC ? O_CLOEXEC : 0;
	fdtable_forget(fd);
	host_syscall(SYS_dup3, f->self, fd, flags);
	file_add_descriptor(f, fd);
	file_put(f);
	return true;
}
