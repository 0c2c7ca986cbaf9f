/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control queue: task management, of which the kernel does the reset of a logical unit
 * alone, and asynchronous notifications, of which there are none.
 */
#include <endian.h>
#include <errno.h>

#include "core/iovec.h"
#include "vhost/scsi.h"

#define WEIGHT 256u

static void answer_management(struct vhost_scsi *v, struct vhost_vq *vq,
			      const struct virtqueue_chain *chain, uint8_t response)
{
	struct virtio_scsi_ctrl_tmf_resp answer = {.response = response};

	vhost_scsi_answer(v, vq, chain, &answer, sizeof(answer));
}

static void answer_notification(struct vhost_scsi *v, struct vhost_vq *vq,
				const struct virtqueue_chain *chain, uint8_t response)
{
	struct virtio_scsi_ctrl_an_resp answer = {.response = response};

	vhost_scsi_answer(v, vq, chain, &answer, sizeof(answer));
}

/* Whether the request and its response fit.  False: it was answered, or is lost. */
static bool check_sizes(struct vhost_scsi *v, struct vhost_vq *vq,
			const struct virtqueue_chain *chain, size_t request, size_t response,
			bool management)
{
	if (chain->writable_size < response) {
		vhost_vq_error(vq);
		return false;
	}
	if (chain->readable_size >= request)
		return true;
	vhost_vq_error(vq);
	if (management)
		answer_management(v, vq, chain, VIRTIO_SCSI_S_BAD_TARGET);
	else
		answer_notification(v, vq, chain, VIRTIO_SCSI_S_BAD_TARGET);
	return false;
}

static void reset(struct vhost_scsi *v, struct vhost_vq *vq, const struct virtqueue_chain *chain,
		  const uint8_t *lun)
{
	struct vhost_scsi_request *r = vhost_scsi_request_get(v, vq, chain);

	if (!r) {
		answer_management(v, vq, chain, VIRTIO_SCSI_S_FUNCTION_REJECTED);
		return;
	}
	r->management = true;
	r->command.nexus = v->paths[lun[1]]->nexus;
	r->command.lun = (lun[2] << 8 | lun[3]) & 0x3fff;
	vhost_scsi_request_start(r, scsi_reset_unit);
}

static void take_management(struct vhost_scsi *v, struct vhost_vq *vq,
			    const struct virtqueue_chain *chain)
{
	struct virtio_scsi_ctrl_tmf_req q;

	if (!check_sizes(v, vq, chain, sizeof(q), sizeof(struct virtio_scsi_ctrl_tmf_resp), true))
		return;
	if (iovec_read(chain->readable, chain->n_readable, 0, &q, sizeof(q)) || q.lun[0] != 1) {
		vhost_vq_error(vq);
		answer_management(v, vq, chain, VIRTIO_SCSI_S_BAD_TARGET);
	} else if (!v->paths[q.lun[1]]) {
		answer_management(v, vq, chain, VIRTIO_SCSI_S_BAD_TARGET);
	} else if (le32toh(q.subtype) != VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET) {
		answer_management(v, vq, chain, VIRTIO_SCSI_S_FUNCTION_REJECTED);
	} else {
		reset(v, vq, chain, q.lun);
	}
}

static void take_notification(struct vhost_scsi *v, struct vhost_vq *vq,
			      const struct virtqueue_chain *chain)
{
	struct virtio_scsi_ctrl_an_req q;

	if (!check_sizes(v, vq, chain, sizeof(q), sizeof(struct virtio_scsi_ctrl_an_resp), false))
		return;
	/* Which target is meant makes no difference. */
	if (iovec_read(chain->readable, chain->n_readable, 0, &q, sizeof(q)) || q.lun[0] != 1) {
		vhost_vq_error(vq);
		answer_notification(v, vq, chain, VIRTIO_SCSI_S_BAD_TARGET);
		return;
	}
	answer_notification(v, vq, chain, VIRTIO_SCSI_S_OK);
}

static void take(struct vhost_scsi *v, struct vhost_vq *vq, const struct virtqueue_chain *chain)
{
	uint32_t type;

	if (iovec_read(chain->readable, chain->n_readable, 0, &type, sizeof(type))) {
		vhost_vq_error(vq);
		return;
	}
	switch (le32toh(type)) {
	case VIRTIO_SCSI_T_TMF:
		take_management(v, vq, chain);
		break;
	case VIRTIO_SCSI_T_AN_QUERY:
	case VIRTIO_SCSI_T_AN_SUBSCRIBE:
		take_notification(v, vq, chain);
		break;
	default:
		/* How long its response would be is not known. */
		vhost_vq_error(vq);
		break;
	}
}

bool vhost_scsi_take_controls(struct vhost_scsi *v, struct vhost_vq *vq)
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
