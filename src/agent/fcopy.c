/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * START, WRITE..., COMPLETE or CANCEL.  A message is the host's word for word in what matters:
 * sizes and offsets are checked against what there is and what START announced.
 *
 * The host waits for each answer before it sends the next 6144 bytes.  So they are only put
 * into a buffer first, and written, many at once, while the host is busy with the next; an
 * error that this brings is the answer to a later message, at the latest to COMPLETE.
 */
#include "agent/fcopy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/beneath.h"
#include "agent/likeness.h"
#include "agent/log.h"
#include "agent/utf.h"

#define BUFFER_SIZE  (1u << 20)
#define BUFFER_WORTH (BUFFER_SIZE / 4)

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

void fcopy_init(struct fcopy *f, const char *root)
{
	memset(f, 0, sizeof(*f));
	f->root = root;
	f->fd = f->directory = -1;
}

static void close_copy(struct fcopy *f)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->directory >= 0)
		close(f->directory);
	f->fd = f->directory = -1;
	f->buffered = 0;
	f->error = 0;
}

void fcopy_cancel(struct fcopy *f)
{
	if (f->fd < 0)
		return;
	unlinkat(f->directory, f->temporary, 0);
	log_line(LOG_INFO, "fcopy: '%s' was not completed and is gone", f->name);
	close_copy(f);
}

void fcopy_finish(struct fcopy *f)
{
	fcopy_cancel(f);
	free(f->buffer);
	fcopy_init(f, f->root);
}

static uint32_t status_of(int error)
{
	switch (error) {
	case 0:
		return HV_S_OK;
	case -ENOSPC:
	case -EDQUOT:
		return HV_ERROR_DISK_FULL;
	case -EEXIST:
		return HV_ERROR_ALREADY_EXISTS;
	case -EINVAL:
		return HV_INVALIDARG;
	default:
		return HV_E_FAIL;
	}
}

/* ---- START ---- */

/* For each copy: somebody may have made another of that name, or mounted something there. */
static int open_root(const struct fcopy *f)
{
	int top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), fd;

	if (top < 0)
		return -errno;
	fd = beneath_open(top, f->root, false, true);
	close(top);
	return fd;
}

static int take_name(char to[FCOPY_NAME_MAX], const uint8_t *from, bool wide)
{
	uint16_t units[W_MAX_PATH];
	size_t n;

	if (wide) {
		memcpy(units, from, sizeof(units));
		return utf8_encode(to, FCOPY_NAME_MAX, units, W_MAX_PATH) < 0 ? -EINVAL : 0;
	}
	n = strnlen((const char *)from, W_MAX_PATH);
	memcpy(to, from, n);
	to[n] = '\0';
	return n < W_MAX_PATH && utf8_valid(to) ? 0 : -EINVAL;
}

/* The path with what the name has of one; the name is left with its last part. */
static int join(const char *path, char *name, char to[2 * FCOPY_NAME_MAX])
{
	char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name;

	if (*last == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
		return -ENOENT;
	snprintf(to, 2 * FCOPY_NAME_MAX, "%s/%.*s", path, slash ? (int)(slash - name) : 0, name);
	memmove(name, last, strlen(last) + 1);
	return 0;
}

/* Whether the name may be taken: a descriptor of the file that is to go, -ENOENT if none is. */
static int look_at_target(const struct fcopy *f)
{
	int old = openat(f->directory, f->name, O_PATH | O_NOFOLLOW | O_CLOEXEC), ret = 0;
	struct stat st;

	if (old < 0)
		return -errno;
	if (!f->overwrite)
		ret = -EEXIST;
	else if (fstat(old, &st) < 0)
		ret = -errno;
	else if (!S_ISREG(st.st_mode))
		ret = -EPERM;
	if (ret < 0)
		close(old);
	return ret < 0 ? ret : old;
}

static int check_target(const struct fcopy *f)
{
	int old = look_at_target(f);

	if (old >= 0)
		close(old);
	return old >= 0 || old == -ENOENT ? 0 : old;
}

static int make_temporary(struct fcopy *f)
{
	uint64_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = (uint64_t)getpid();
	snprintf(f->temporary, sizeof(f->temporary), ".standin-%016llx",
		 (unsigned long long)random);
	f->fd = openat(f->directory, f->temporary,
		       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return f->fd < 0 ? -errno : 0;
}

static bool has_room(int fd, uint64_t size)
{
	struct statvfs v;

	/* Some file systems don't know how big they are. */
	if (size == 0 || fstatvfs(fd, &v) < 0 || v.f_blocks == 0 || v.f_frsize == 0)
		return true;
	return size / v.f_frsize < v.f_bavail;
}

/* The path as the host has it, and the directory that f->name is in. */
static int take_names(struct fcopy *f, const struct hv_start_fcopy *m, bool wide,
		      char path[FCOPY_NAME_MAX], char directory[2 * FCOPY_NAME_MAX])
{
	const uint8_t *bytes = (const uint8_t *)m;
	int ret = take_name(f->name, bytes + offsetof(struct hv_start_fcopy, file_name), wide);

	if (ret == 0)
		ret = take_name(path, bytes + offsetof(struct hv_start_fcopy, path_name), wide);
	return ret < 0 ? ret : join(path, f->name, directory);
}

static int begin(struct fcopy *f, const struct hv_start_fcopy *m, const char *directory)
{
	bool confined = strcmp(f->root, "/") != 0;
	int root = open_root(f), ret;

	if (root < 0) {
		log_line(LOG_ERR, "fcopy: %s: %s", f->root, strerror(-root));
		return root;
	}
	f->overwrite = m->copy_flags & OVER_WRITE;
	f->size = m->file_size;
	f->directory = beneath_open(root, directory, confined, m->copy_flags & CREATE_PATH);
	close(root);
	ret = f->directory < 0 ? f->directory : check_target(f);
	if (ret == 0)
		ret = f->size > INT64_MAX ? -EFBIG : make_temporary(f);
	if (ret == 0 && !has_room(f->fd, f->size))
		ret = -ENOSPC;
	if (ret < 0 && f->fd >= 0)
		unlinkat(f->directory, f->temporary, 0);
	if (ret < 0)
		close_copy(f);
	return ret;
}

static uint32_t start(struct fcopy *f, const struct hv_start_fcopy *m, bool wide)
{
	char path[FCOPY_NAME_MAX] = "", directory[2 * FCOPY_NAME_MAX];
	int ret;

	fcopy_cancel(f);
	if (!f->buffer)
		f->buffer = malloc(BUFFER_SIZE);
	if (!f->buffer)
		return HV_E_FAIL;
	ret = take_names(f, m, wide, path, directory);
	if (ret < 0)
		return status_of(ret);
	ret = begin(f, m, directory);
	if (ret < 0)
		log_line(LOG_WARNING, "fcopy: '%s' in '%s': %s", f->name, path, strerror(-ret));
	else
		log_line(LOG_INFO, "fcopy: '%s' in '%s', %llu bytes", f->name, path,
			 (unsigned long long)f->size);
	/* A path that is refused is no argument that is wrong in itself. */
	return status_of(ret == -EINVAL ? -EIO : ret);
}

/* ---- WRITE ---- */

static void flush(struct fcopy *f)
{
	const uint8_t *from = f->buffer;

	while (f->buffered && f->error == 0) {
		ssize_t n = pwrite(f->fd, from, f->buffered, (off_t)f->buffered_at);

		if (n < 0 && errno != EINTR) {
			f->error = -errno;
			log_line(LOG_ERR, "fcopy: '%s': %s", f->name, strerror(errno));
		}
		if (n > 0) {
			from += n;
			f->buffered_at += (uint64_t)n;
			f->buffered -= (size_t)n;
		}
	}
	f->buffered = 0;
}

void fcopy_settle(struct fcopy *f)
{
	if (f->fd >= 0 && f->buffered >= BUFFER_WORTH)
		flush(f);
}

static uint32_t write_data(struct fcopy *f, const struct hv_do_fcopy *m, size_t there)
{
	uint64_t offset = m->offset, limit = f->size ? f->size : INT64_MAX;

	if (m->size > there || offset > limit || m->size > limit - offset)
		return HV_INVALIDARG;
	if (f->error)
		return status_of(f->error);
	if (f->buffered + m->size > BUFFER_SIZE ||
	    (f->buffered && offset != f->buffered_at + f->buffered))
		flush(f);
	if (f->buffered == 0)
		f->buffered_at = offset;
	memcpy(f->buffer + f->buffered, m->data, m->size);
	f->buffered += m->size;
	return status_of(f->error);
}

/* ---- COMPLETE ---- */

/* All that was announced is there. */
static int check_size(const struct fcopy *f)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return -errno;
	if (f->size == 0 || (uint64_t)st.st_size == f->size)
		return 0;
	log_line(LOG_ERR, "fcopy: '%s' has %llu bytes, and not %llu", f->name,
		 (unsigned long long)st.st_size, (unsigned long long)f->size);
	return -EIO;
}

/* As the file that goes, which may have changed or come since the start. */
static int look_like_target(const struct fcopy *f)
{
	int old = look_at_target(f), ret;

	if (old == -ENOENT)
		return fchmod(f->fd, 0744) < 0 ? -errno : 0;
	if (old < 0)
		return old;
	ret = likeness_take(f->fd, old);
	close(old);
	return ret;
}

static int rename_into_place(struct fcopy *f)
{
	if (f->overwrite)
		return renameat(f->directory, f->temporary, f->directory, f->name) < 0 ? -errno : 0;
	if (syscall(SYS_renameat2, f->directory, f->temporary, f->directory, f->name,
		    RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* A file system that can't: another name is given, and fails if there is one. */
	if (linkat(f->directory, f->temporary, f->directory, f->name, 0) < 0)
		return -errno;
	unlinkat(f->directory, f->temporary, 0);
	return 0;
}

static uint32_t complete(struct fcopy *f)
{
	int ret;

	flush(f);
	ret = f->error;
	if (ret == 0)
		ret = check_size(f);
	if (ret == 0)
		ret = look_like_target(f);
	if (ret == 0)
		ret = rename_into_place(f);
	if (ret < 0)
		fcopy_cancel(f);
	else
		close_copy(f);
	return status_of(ret == -EINVAL ? -EIO : ret);
}

/* ---- all of them ---- */

uint32_t fcopy_message(struct fcopy *f, const void *message, size_t size, bool wide)
{
	const struct hv_fcopy_hdr *header = message;

	if (size < sizeof(*header))
		return HV_INVALIDARG;
	if (header->operation == START_FILE_COPY)
		return size < sizeof(struct hv_start_fcopy) ? HV_INVALIDARG
							    : start(f, message, wide);
	/* Of a file that nobody has begun. */
	if (f->fd < 0)
		return HV_E_FAIL;
	switch (header->operation) {
	case WRITE_TO_FILE:
		if (size < offsetof(struct hv_do_fcopy, data))
			return HV_INVALIDARG;
		size -= offsetof(struct hv_do_fcopy, data);
		return write_data(f, message, size < DATA_FRAGMENT ? size : DATA_FRAGMENT);
	case COMPLETE_FCOPY:
		return complete(f);
	case CANCEL_FCOPY:
		fcopy_cancel(f);
		return HV_S_OK;
	default:
		return HV_E_FAIL;
	}
}
