/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The queues for commands: from a chain of descriptors to a command for a target.
 *
 * A chain is the request's header, data to the target, the response, data from the target, cut
 * up in any way.  More than a header to read means that data goes to the target, and then what
 * there is to write beyond the response is not looked at; so there are no bidirectional
 * commands.  Which mistakes are answered, which are only signalled, and in which order they
 * are looked for is the kernel's (vhost_scsi_handle_vq()).
 *
 * T10 protection information may come with data; none of the units keep it, so it is
 * skipped, as the kernel does for such units, and counts as not transferred.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "core/iovec.h"
#include "core/user.h"
#include "vhost/scsi.h"

#define WEIGHT   256u  /* requests of a ring before others have their turn */
#define DATA_MAX 2048u /* pages */
#define PAGE     4096u
#define RESPONSE sizeof(struct virtio_scsi_cmd_resp)

/* A header of either kind. */
struct header {
	const uint8_t *lun, *cdb;
	uint8_t attribute;
	uint32_t protection_out, protection_in;
	uint64_t size;
	union {
		struct virtio_scsi_cmd_req plain;
		struct virtio_scsi_cmd_req_pi protected;
	} raw;
};

static void refuse(struct vhost_scsi *v, struct vhost_vq *vq, const struct virtqueue_chain *chain,
		   uint8_t status, uint8_t response)
{
	struct virtio_scsi_cmd_resp answer = {.status = status, .response = response};

	vhost_scsi_answer(v, vq, chain, &answer, sizeof(answer));
}

static void bad_target(struct vhost_scsi *v, struct vhost_vq *vq,
		       const struct virtqueue_chain *chain)
{
	refuse(v, vq, chain, 0, VIRTIO_SCSI_S_BAD_TARGET);
}

static bool read_header(const struct virtqueue_chain *chain, struct header *h)
{
	if (iovec_read(chain->readable, chain->n_readable, 0, &h->raw, h->size))
		return false;
	if (h->size == sizeof(h->raw.plain)) {
		h->lun = h->raw.plain.lun;
		h->cdb = h->raw.plain.cdb;
		h->attribute = h->raw.plain.task_attr;
		h->protection_out = h->protection_in = 0;
	} else {
		h->lun = h->raw.protected.lun;
		h->cdb = h->raw.protected.cdb;
		h->attribute = h->raw.protected.task_attr;
		h->protection_out = le32toh(h->raw.protected.pi_bytesout);
		h->protection_in = le32toh(h->raw.protected.pi_bytesin);
	}
	return true;
}

/* What a CDB says of its own size (SPC-4, 4.3). */
static unsigned cdb_size(const uint8_t *cdb)
{
	static const uint8_t sizes[8] = {6, 10, 10, 12, 16, 12, 10, 10};

	return cdb[0] == 0x7f ? cdb[7] + 8u : sizes[cdb[0] >> 5];
}

static enum scsi_attribute attribute(uint8_t attribute)
{
	switch (attribute) {
	case VIRTIO_SCSI_S_ORDERED:
		return SCSI_ORDERED;
	case VIRTIO_SCSI_S_HEAD:
		return SCSI_HEAD_OF_QUEUE;
	default:
		return SCSI_SIMPLE;
	}
}

/* Is the data there, and no more than a request may have? */
static bool data_ok(const struct iovec *iov, unsigned n, bool write)
{
	uint64_t pages = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t offset = (uintptr_t)iov[i].iov_base % PAGE;

		pages += (offset + iov[i].iov_len + PAGE - 1) / PAGE;
		if (pages > DATA_MAX || user_touch(iov[i].iov_base, iov[i].iov_len, write))
			return false;
	}
	return true;
}

/* Where the data is.  False: the request is lost. */
static bool find_data(struct vhost_scsi_request *r, const struct virtqueue_chain *chain,
		      const struct header *h)
{
	struct scsi_command *c = &r->command;

	if (chain->readable_size > h->size) {
		uint64_t skip = h->size + h->protection_out;

		r->protection = h->protection_out;
		c->data_out_size = chain->readable_size - skip;
		c->data_out = r->iov;
		c->n_data_out = iovec_cut(chain->readable, chain->n_readable, skip,
					  c->data_out_size, r->iov);
		return data_ok(r->iov, c->n_data_out, false);
	}
	if (chain->writable_size > RESPONSE) {
		uint64_t skip = RESPONSE + h->protection_in;

		r->protection = h->protection_in;
		c->data_in_size = chain->writable_size - skip;
		c->data_in = r->iov;
		c->n_data_in = iovec_cut(chain->writable, chain->n_writable, skip, c->data_in_size,
					 r->iov);
		return data_ok(r->iov, c->n_data_in, true);
	}
	return true;
}

/* Whether the protection information that comes with the data can be. */
static bool protection_ok(const struct virtqueue_chain *chain, struct header *h)
{
	uint64_t out = chain->readable_size - h->size, in = chain->writable_size - RESPONSE;

	if (h->protection_out)
		return out && h->protection_out < out;
	return !h->protection_in || (!out && in && h->protection_in < in);
}

static void start(struct vhost_scsi *v, struct vhost_vq *vq, const struct virtqueue_chain *chain,
		  const struct header *h)
{
	struct vhost_scsi_request *r = vhost_scsi_request_get(v, vq, chain);
	struct scsi_command *c;

	if (!r) {
		vhost_vq_error(vq);
		refuse(v, vq, chain, SCSI_TASK_SET_FULL, 0);
		return;
	}
	c = &r->command;
	c->nexus = v->paths[h->lun[1]]->nexus;
	c->lun = (h->lun[2] << 8 | h->lun[3]) & 0x3fff;
	c->attribute = attribute(h->attribute);
	memcpy(c->cdb, h->cdb, VIRTIO_SCSI_CDB_SIZE);
	c->cdb_size = VIRTIO_SCSI_CDB_SIZE;
	if (!find_data(r, chain, h)) {
		vhost_vq_error(vq);
		vhost_scsi_request_put(r);
		return;
	}
	vhost_scsi_request_start(r, scsi_submit);
}

static void take(struct vhost_scsi *v, struct vhost_vq *vq, const struct virtqueue_chain *chain)
{
	bool protection = vhost_has_feature(&v->dev, VIRTIO_SCSI_F_T10_PI);
	struct header h = {
		.size = protection ? sizeof(h.raw.protected) : sizeof(h.raw.plain),
	};

	if (chain->writable_size < RESPONSE) {
		/* There is no place to say so. */
		vhost_vq_error(vq);
		return;
	}
	if (chain->readable_size < h.size || !read_header(chain, &h) || h.lun[0] != 1) {
		vhost_vq_error(vq);
		bad_target(v, vq, chain);
		return;
	}
	if (!v->paths[h.lun[1]]) {
		bad_target(v, vq, chain);
		return;
	}
	if (!protection_ok(chain, &h) || cdb_size(h.cdb) > VIRTIO_SCSI_CDB_SIZE) {
		vhost_vq_error(vq);
		bad_target(v, vq, chain);
		return;
	}
	start(v, vq, chain, &h);
}

bool vhost_scsi_take_commands(struct vhost_scsi *v, struct vhost_vq *vq)
{
	struct vhost_scsi_room *room = vhost_scsi_room(v, vq);
	unsigned taken = 0;
	int n;

	while (room && taken < WEIGHT) {
		n = vhost_scsi_fetch(vq, room);
		if (n <= 0)
			return false;
		for (int i = 0; i < n; i++)
			take(v, vq, &room->chains[i]);
		taken += (unsigned)n;
	}
	return room;
}
