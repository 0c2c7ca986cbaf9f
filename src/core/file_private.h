/* SPDX-License-Identifier: BSD-3-Clause */
/* core/file_private.h - between file.c and fdtable.c alone. */
#ifndef STANDIN_CORE_FILE_PRIVATE_H
#define STANDIN_CORE_FILE_PRIVATE_H

struct file;

/* In the child of a fork, where a thread that held file.c's lock is gone. */
void file_forked(void);
/* Takes a file that is being released out of the inode hash. */
void fdtable_remove(struct file *f);
/* The file of fd's inode with a new reference, whatever the cache says. */
struct file *fdtable_resolve(int fd);

#endif
