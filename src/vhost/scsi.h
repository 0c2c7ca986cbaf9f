/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost/scsi.h - /dev/vhost-scsi: SCSI commands of a guest on the targets of src/scsi.
 *
 * The rules are those of drivers/vhost/scsi.c.  Queue 0 is for control requests, 1 for events,
 * all others for commands.  An endpoint is the ports of one WWPN (vhost/scsi_port.h); while
 * there is one all rings have a backend, those that the client has not set up too.
 *
 * A ring's worker takes requests and gives them to the target, which may answer at once or
 * on a thread of its own.  Then the request goes into a list of its ring, and the worker puts it
 * into the used ring.
 *
 * Locks: endpoint_lock, which SET_ENDPOINT, CLEAR_ENDPOINT and whatever waits for requests in
 * flight hold, then those of vhost/vhost.h.  idle_lock and events_lock are innermost.
 */
#ifndef STANDIN_VHOST_SCSI_H
#define STANDIN_VHOST_SCSI_H

#include <linux/virtio_scsi.h>

#include "scsi/scsi.h"
#include "vhost/scsi_port.h"
#include "vhost/vhost.h"

#define VHOST_SCSI_CONTROL 0u
#define VHOST_SCSI_EVENT   1u
#define VHOST_SCSI_IO      2u /* the first of them */
#define VHOST_SCSI_QUEUES  (2u + 128u)
#define VHOST_SCSI_EVENTS  128u /* that may wait for buffers */
#define VHOST_SCSI_BATCH   32u
#define VHOST_SCSI_IOV     1024u

struct vhost_scsi;

/* A request that a target works on. */
struct vhost_scsi_request {
	struct scsi_command command;     /* first */
	struct vhost_scsi_request *next; /* free, or done */
	struct vhost_scsi *scsi;
	struct vhost_vq *vq;
	struct virtqueue_chain
		chain;       /* what can be written is in `iov`, what is read is not kept */
	bool management;     /* a reset, which has a response of its own kind */
	uint32_t protection; /* bytes of protection information that were skipped */
	struct iovec *iov;   /* the command's data, then the chain's writable pieces */
	unsigned max_iov;
};

/* Where a ring's worker keeps chains: of one fetch, and those that go back together. */
struct vhost_scsi_room {
	struct virtqueue_pool pool;
	struct iovec iov[VHOST_SCSI_IOV];
	struct virtqueue_chain chains[VHOST_SCSI_BATCH], used[VHOST_SCSI_BATCH];
	unsigned n_used, n_finished; /* those of requests that were in flight */
	bool signal;
};

/* What a ring has beside struct vhost_vq; its mutex protects it. */
struct vhost_scsi_queue {
	struct vhost_scsi_room *room; /* NULL until it is needed */
	struct vhost_scsi_request *free;
	struct vhost_scsi_request *_Atomic done; /* the last one first; any thread */
	unsigned in_flight;
};

struct vhost_scsi_event {
	struct vhost_scsi_event *next;
	struct virtio_scsi_event event;
};

/* One of an endpoint's ports. */
struct vhost_scsi_path {
	struct vhost_scsi *scsi;
	struct scsi_port *port;
	struct scsi_nexus *nexus;
};

struct vhost_scsi {
	struct vhost_dev dev; /* first: f->priv */
	struct vhost_vq vqs[VHOST_SCSI_QUEUES];
	struct vhost_scsi_queue queues[VHOST_SCSI_QUEUES];
	/* These change under endpoint_lock and vhost_lock() both. */
	pthread_mutex_t endpoint_lock;
	bool endpoint;
	char wwpn[224];
	struct vhost_scsi_path *paths[SCSI_PORTS_MAX]; /* by target number; NULL: no target */
	_Atomic bool paused; /* no requests are taken; somebody may wait on `idle` */
	/* Requests in flight. */
	_Atomic unsigned in_flight;
	_Atomic unsigned finishing; /* threads that put one into its ring's list */
	pthread_mutex_t idle_lock;
	pthread_cond_t idle;
	/* Events. */
	pthread_mutex_t events_lock;
	struct vhost_scsi_event *events, **events_end;
	unsigned n_events;
	bool events_missed;
};

extern const struct file_ops vhost_scsi_ops;
extern const struct ioctl_table vhost_scsi_table;

/*
 * What follows is done by a ring's worker under its mutex, unless it says otherwise.
 */

/* ---- scsi_request.c ---- */

/* Takes what is available in a queue for commands: whether there is more to do at once. */
bool vhost_scsi_take_commands(struct vhost_scsi *v, struct vhost_vq *vq);

/* ---- scsi_flight.c: requests between being taken and being used ---- */

/* The queue's room, or NULL: out of memory. */
struct vhost_scsi_room *vhost_scsi_room(struct vhost_scsi *v, struct vhost_vq *vq);
/* The next chains into room->chains, as virtqueue_fetch(). */
int vhost_scsi_fetch(struct vhost_vq *vq, struct vhost_scsi_room *room);
/*
 * A request for `chain`, with room for its iovecs, or NULL: there are as many in flight as the
 * ring has entries, or out of memory.
 */
struct vhost_scsi_request *vhost_scsi_request_get(struct vhost_scsi *v, struct vhost_vq *vq,
						  const struct virtqueue_chain *chain);
void vhost_scsi_request_put(struct vhost_scsi_request *r);
/* Gives it to its target; `submit` is scsi_submit or scsi_reset_unit. */
void vhost_scsi_request_start(struct vhost_scsi_request *r, int (*submit)(struct scsi_command *c));
/* Answers a chain without a target.  It goes back with the others of the batch. */
void vhost_scsi_answer(struct vhost_scsi *v, struct vhost_vq *vq,
		       const struct virtqueue_chain *chain, const void *response, size_t size);
/* Answers what targets have finished meanwhile. */
void vhost_scsi_complete(struct vhost_scsi *v, struct vhost_vq *vq);
/* Gives back what was used, and signals once. */
void vhost_scsi_batch_end(struct vhost_scsi *v, struct vhost_vq *vq);
/* Waits until none is in flight any more.  Paused; on a thread that is no worker, unlocked. */
void vhost_scsi_wait_idle(struct vhost_scsi *v);
/* When all is over. */
void vhost_scsi_queues_free(struct vhost_scsi *v);

/* ---- scsi_control.c ---- */

bool vhost_scsi_take_controls(struct vhost_scsi *v, struct vhost_vq *vq);

/* ---- scsi_event.c ---- */

/* scsi_nexus_config.changed; arg is a struct vhost_scsi_path.  Any thread. */
void vhost_scsi_unit_changed(void *arg, enum scsi_change change, unsigned lun);
/* Writes the events that wait into the guest's buffers, which it may just have given. */
void vhost_scsi_send_events(struct vhost_scsi *v, struct vhost_vq *vq, bool kicked);
/* Any thread. */
void vhost_scsi_drop_events(struct vhost_scsi *v);
bool vhost_scsi_events_missed(struct vhost_scsi *v);
void vhost_scsi_set_events_missed(struct vhost_scsi *v, bool missed);

#endif
