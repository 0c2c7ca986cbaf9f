/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copying a file: START, pieces, COMPLETE; or CANCEL when the source fails.  The guest's path
 * ends with a slash: some daemons make no directory for what follows the last one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hyperv/host.h"
#include "hyperv/utf.h"

#define AHEAD 32u /* they fit into the ring */

/* With its end; what the guest's kernel makes of it must have room as UTF-8, too. */
static int put_path(const char *text, const char *end, void *to)
{
	char whole[W_MAX_PATH];
	int length = snprintf(whole, sizeof(whole), "%s%s", text, end);

	if (length <= 0 || (size_t)length >= sizeof(whole))
		return -EINVAL;
	return utf16_from_utf8((const uint8_t *)whole, (size_t)length, to, W_MAX_PATH - 1);
}

static int64_t start(struct hyperv_host *h, const struct hyperv_copy *copy)
{
	struct hv_start_fcopy m = {.hdr.operation = START_FILE_COPY, .file_size = copy->size};
	size_t length = strlen(copy->directory);

	m.copy_flags = (copy->overwrite ? OVER_WRITE : 0u) | (copy->create_path ? CREATE_PATH : 0u);
	if (!*copy->name ||
	    put_path(copy->directory, length == 0 || copy->directory[length - 1] != '/' ? "/" : "",
		     (uint8_t *)&m + offsetof(struct hv_start_fcopy, path_name)) < 0 ||
	    put_path(copy->name, "", (uint8_t *)&m + offsetof(struct hv_start_fcopy, file_name)) <
		    0)
		return -EINVAL;
	return hyperv_host_request(h, &m, sizeof(m));
}

/* As much as a piece holds, unless the source is at its end: how much, or -errno. */
static int64_t fill(int source, uint8_t *piece)
{
	size_t filled = 0;
	ssize_t n;

	while (filled < DATA_FRAGMENT) {
		n = read(source, piece + filled, DATA_FRAGMENT - filled);
		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			return -errno;
		filled += n > 0 ? (size_t)n : 0;
	}
	return (int64_t)filled;
}

/* Sends the next piece: its size, 0 at the end, or -errno. */
static int64_t send_piece(struct hyperv_host *h, int source, uint64_t offset)
{
	struct hv_do_fcopy *m = (struct hv_do_fcopy *)h->ic.body;
	int64_t n;

	hyperv_host_begin(h, h->type, sizeof(*m));
	n = fill(source, m->data);
	if (n <= 0)
		return n;
	m->hdr.operation = WRITE_TO_FILE;
	m->offset = offset;
	m->size = (uint32_t)n;
	return hyperv_host_send(h) < 0 ? -EPIPE : n;
}

/* The status of the oldest piece on its way, or a negative number. */
static int64_t end_piece(struct hyperv_host *h)
{
	int ret = hyperv_host_receive(h);

	if (ret < 0)
		return ret;
	return h->packet_size < HYPERV_IC_SIZE ? -EPROTO : (int64_t)h->ic.ic.status;
}

/*
 * A few pieces are sent ahead, so that the guest finds the next one when it is done with one.  All
 * are waited for, whatever happens to one.
 */
static int64_t write_all(struct hyperv_host *h, int source, struct hyperv_copy *copy)
{
	uint64_t offset = 0;
	int64_t status = HV_S_OK, n = 1;
	unsigned ahead = 0;

	while (status == HV_S_OK && (n > 0 || ahead)) {
		while (n > 0 && ahead < AHEAD && (n = send_piece(h, source, offset)) > 0) {
			offset += (uint64_t)n;
			ahead++;
		}
		if (ahead) {
			ahead--;
			status = end_piece(h);
			copy->copied = offset - (uint64_t)ahead * DATA_FRAGMENT;
		}
		if (status == HV_S_OK && copy->progress && !copy->progress(copy->copied, copy->arg))
			status = -ECANCELED;
	}
	while (ahead-- && h->fd >= 0)
		end_piece(h);
	return status == HV_S_OK && n < 0 ? n : status;
}

int64_t hyperv_copy_file(struct hyperv_host *h, int source, struct hyperv_copy *copy)
{
	struct hv_fcopy_hdr end = {.operation = COMPLETE_FCOPY};
	int64_t status;

	copy->copied = 0;
	status = start(h, copy);
	if (status != HV_S_OK)
		return status;
	status = write_all(h, source, copy);
	if (status == HV_S_OK)
		return hyperv_host_request(h, &end, sizeof(end));
	end.operation = CANCEL_FCOPY;
	hyperv_host_request(h, &end, sizeof(end));
	return status;
}
