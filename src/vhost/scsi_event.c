/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Events for the guest: a unit that has come or gone.
 *
 * They wait in a list for the worker of the event queue.  One for which the guest has no buffer
 * is dropped, and the next that reaches it says that some were missed; when it gives buffers
 * after that, it is told at once.  (drivers/vhost/scsi.c, vhost_scsi_do_evt_work())
 */
#include <endian.h>
#include <stdlib.h>

#include "core/iovec.h"
#include "vhost/scsi.h"

static void append(struct vhost_scsi *v, uint32_t event, uint32_t reason, int target, unsigned lun)
{
	struct vhost_scsi_event *e = NULL;

	pthread_mutex_lock(&v->events_lock);
	if (v->n_events <= VHOST_SCSI_EVENTS)
		e = calloc(1, sizeof(*e));
	if (e) {
		e->event.event = htole32(event);
		e->event.reason = htole32(reason);
		if (target >= 0) {
			e->event.lun[0] = 1;
			e->event.lun[1] = (uint8_t)target;
			if (lun >= 256)
				e->event.lun[2] = (uint8_t)(lun >> 8 | 0x40);
			e->event.lun[3] = (uint8_t)lun;
		}
		*v->events_end = e;
		v->events_end = &e->next;
		v->n_events++;
	} else {
		v->events_missed = true;
	}
	pthread_mutex_unlock(&v->events_lock);
}

void vhost_scsi_unit_changed(void *arg, enum scsi_change change, unsigned lun)
{
	struct vhost_scsi_path *path = arg;
	struct vhost_scsi *v = path->scsi;

	if (change == SCSI_UNIT_CHANGED)
		return;
	append(v, VIRTIO_SCSI_T_TRANSPORT_RESET,
	       change == SCSI_UNIT_ADDED ? VIRTIO_SCSI_EVT_RESET_RESCAN
					 : VIRTIO_SCSI_EVT_RESET_REMOVED,
	       (int)path->port->config.tpgt, lun);
	vhost_queue(&v->vqs[VHOST_SCSI_EVENT]);
}

static struct vhost_scsi_event *take(struct vhost_scsi *v)
{
	struct vhost_scsi_event *e;

	pthread_mutex_lock(&v->events_lock);
	e = v->events;
	if (e) {
		v->events = e->next;
		if (!v->events)
			v->events_end = &v->events;
		v->n_events--;
	}
	pthread_mutex_unlock(&v->events_lock);
	return e;
}

bool vhost_scsi_events_missed(struct vhost_scsi *v)
{
	bool missed;

	pthread_mutex_lock(&v->events_lock);
	missed = v->events_missed;
	pthread_mutex_unlock(&v->events_lock);
	return missed;
}

void vhost_scsi_set_events_missed(struct vhost_scsi *v, bool missed)
{
	pthread_mutex_lock(&v->events_lock);
	v->events_missed = missed;
	pthread_mutex_unlock(&v->events_lock);
}

void vhost_scsi_drop_events(struct vhost_scsi *v)
{
	struct vhost_scsi_event *e;

	while ((e = take(v)))
		free(e);
}

/* Writes one event.  False: it is missed. */
static bool send(struct vhost_scsi *v, struct vhost_vq *vq, struct vhost_scsi_room *room,
		 struct vhost_scsi_event *e)
{
	const struct virtqueue_chain *chain = room->chains;
	int n;

	/* One buffer at a time: those that are not needed stay where they are. */
	do {
		virtqueue_pool_reset(&room->pool);
		virtqueue_disable_kicks(&vq->ring);
		n = virtqueue_fetch(&vq->ring, room->chains, 1, &room->pool);
	} while (n == 0 && virtqueue_enable_kicks(&vq->ring) == 1);
	if (n < 0)
		vhost_vq_error(vq);
	if (n <= 0)
		return false;
	if (!chain->n_writable || chain->writable[0].iov_len != sizeof(e->event)) {
		vhost_vq_error(vq);
		return false;
	}
	if (vhost_scsi_events_missed(v)) {
		e->event.event |= htole32(VIRTIO_SCSI_T_EVENTS_MISSED);
		vhost_scsi_set_events_missed(v, false);
	}
	vhost_scsi_answer(v, vq, chain, &e->event, sizeof(e->event));
	vhost_scsi_batch_end(v, vq);
	return true;
}

void vhost_scsi_send_events(struct vhost_scsi *v, struct vhost_vq *vq, bool kicked)
{
	struct vhost_scsi_room *room = vhost_scsi_room(v, vq);
	struct vhost_scsi_event *e;

	if (!room)
		return;
	if (kicked && vhost_scsi_events_missed(v))
		append(v, VIRTIO_SCSI_T_NO_EVENT, 0, -1, 0);
	while ((e = take(v))) {
		if (!vhost_has_feature(&v->dev, VIRTIO_SCSI_F_HOTPLUG) &&
		    e->event.event != htole32(VIRTIO_SCSI_T_NO_EVENT))
			; /* the guest does not want to know */
		else if (!send(v, vq, room, e))
			vhost_scsi_set_events_missed(v, true);
		free(e);
	}
}
