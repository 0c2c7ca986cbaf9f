/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vdpa/vdpa.h - /dev/vhost-vdpa-N and the devices behind it.
 *
 * The rules are those of drivers/vhost/vdpa.c over drivers/vdpa/vdpa_sim/vdpa_sim.c, whose
 * two simulators are two of the models here.
 *
 *	file.c       the file: who may open it, status, features, configuration space
 *	vring.c      the rings' ioctls
 *	space.c      address spaces: IOTLB messages, and translation
 *	device.c     the device: life, rings, the thread's work
 *	sim_net.c, sim_blk.c, net.c, blk.c  the models
 *	interface.c  nodes, and what /proc/devices says
 *
 * A device is there for as long as the instance; one file at a time has it open, across the
 * processes of a run.  What the client sets goes with a reset (status 0) or with the close, as
 * the comments below say.
 *
 * Threads.  Everything of a device is under vhost_lock(&v->vhost), which its worker holds
 * while it works.
 */
#ifndef STANDIN_VDPA_VDPA_H
#define STANDIN_VDPA_VDPA_H

#include <stdbool.h>
#include <stdint.h>

#include "core/config.h"
#include "standin/device.h"
#include "vhost/iotlb.h"
#include "vhost/vhost.h"
#include "virtqueue/virtqueue.h"

#define VDPA_QUEUES_MAX 129u /* 64 pairs and a control queue */
#define VDPA_GROUPS_MAX 3u
#define VDPA_CONFIG_MAX 128u
#define VDPA_PIECES     1024u

#define VDPA_F(bit) (UINT64_C(1) << (bit))

/* Features of every device: of the simulators, and what other devices add. */
#define VDPA_SIM_FEATURES                                           \
	(VDPA_F(VIRTIO_F_ANY_LAYOUT) | VDPA_F(VIRTIO_F_VERSION_1) | \
	 VDPA_F(VIRTIO_F_ACCESS_PLATFORM))
#define VDPA_RING_FEATURES                                             \
	(VDPA_SIM_FEATURES | VDPA_F(VIRTIO_RING_F_INDIRECT_DESC) |     \
	 VDPA_F(VIRTIO_RING_F_EVENT_IDX) | VDPA_F(VIRTIO_F_IN_ORDER) | \
	 VDPA_F(VIRTIO_F_ORDER_PLATFORM))

#define VDPA_STATUS_DRIVER_OK   0x04u
#define VDPA_STATUS_FEATURES_OK 0x08u

struct vdpa;

/* An address space of the device.  Lasts until the file is closed. */
struct vdpa_space {
	struct vhost_iotlb map;
	bool exists; /* a message has named it */
	bool direct; /* no mapping since the last reset: addresses are the owner's own */
};

struct vdpa_queue {
	struct vdpa *vdpa;
	unsigned index;
	/* Until a reset. */
	bool ready; /* VHOST_VDPA_SET_VRING_ENABLE */
	bool live;  /* ready, with a size and addresses that a ring can have */
	bool calls; /* VHOST_SET_VRING_CALL with an eventfd */
	uint64_t address[VIRTQUEUE_PARTS]; /* as they are when it gets ready */
	struct virtqueue_state state;      /* while not live; else the ring's */
	uint32_t num;                      /* stays */
	struct virtqueue ring;             /* valid while live */
};

struct vdpa_model {
	const char *name; /* "net", of --vdpa net,... */
	const char *longname;
	const struct standin_key *keys; /* that it takes; ends with a NULL name, may be NULL */
	uint32_t device_id;             /* VIRTIO_ID_* */
	size_t state_size;              /* of v->state, zeroed */
	/*
	 * Reads the keys: fills in what is marked so in struct vdpa.  Opens nothing but what
	 * the answers of ioctls depend on.  0, or -errno after vdpa_error().
	 */
	int (*create)(struct vdpa *v);
	void (*destroy)(struct vdpa *v);
	/* The file is opened and closed.  NULL: nothing to do. */
	int (*open)(struct vdpa *v);
	void (*close)(struct vdpa *v);
	/*
	 * A reset, and before the file is closed: nothing may be on its way any more.  NULL:
	 * nothing to do.
	 */
	void (*reset)(struct vdpa *v);
	/*
	 * Finishes what the device has fetched, up to the driver's being able to see it: it is
	 * being suspended, or a queue disabled.  NULL: that is so between two rounds of work.
	 */
	void (*drain)(struct vdpa *v);
	/* Features were set, or are 0 again.  NULL: it makes no difference. */
	void (*negotiated)(struct vdpa *v);
	/* The driver says DRIVER_OK: the features are settled. */
	void (*start)(struct vdpa *v);
	/* Configuration space: before it is read, and after it was written.  May be NULL. */
	void (*fill_config)(struct vdpa *v);
	bool config_writable;
	/*
	 * Looks at everything once; whether there was anything to do.  On the worker, while the
	 * device runs.
	 */
	bool (*work)(struct vdpa *v);
	/* Asks for kicks where there may be work later; whether there is some already. */
	bool (*rest)(struct vdpa *v);
};

struct vdpa {
	struct vhost_dev vhost; /* first: f->priv; valid while open */
	struct vhost_vq vqs[VDPA_QUEUES_MAX];
	const struct vdpa_model *model;
	const struct vdpa_config *config_keys;
	unsigned number; /* of /dev/vhost-vdpa-N */
	char name[24];   /* "vdpa0", as on the bus */
	char error[CONFIG_ERROR_MAX];
	void *state; /* the model's */

	/* The model's create() fills these in. */
	uint64_t offered;
	unsigned n_queues, n_groups, n_spaces;
	uint16_t queue_max;     /* entries of a ring, at most */
	bool describes;         /* rings have a group of their own: the last one */
	bool tells_size;        /* VHOST_VDPA_GET_VRING_SIZE */
	unsigned control_queue; /* in group 1; 0: there is none */
	uint8_t config[VDPA_CONFIG_MAX];
	unsigned config_size;

	/* Who has it open. */
	pthread_mutex_t open_lock;
	bool opened;
	int claim;

	/* Until a reset. */
	uint8_t status;
	bool running; /* DRIVER_OK and not suspended */
	uint64_t features;
	unsigned group_space[VDPA_GROUPS_MAX];
	uint16_t num_max; /* 0 while the file is not open */

	/* Until the close. */
	bool suspended;
	bool in_batch;
	uint32_t batch_space;
	struct line config_call;
	struct vdpa_space spaces[VDPA_GROUPS_MAX];

	struct vdpa_queue queues[VDPA_QUEUES_MAX];
};

static inline bool vdpa_has(const struct vdpa *v, unsigned bit)
{
	return v->features & VDPA_F(bit);
}

/* ---- device.c ---- */

void vdpa_model_each(void (*each)(const struct vdpa_model *model, void *arg), void *arg);
/* What one `vdpa` directive asks for.  0, or -errno with one line in `error`. */
int vdpa_create(const struct vdpa_config *config, unsigned number, struct vdpa **ret_vdpa,
		char error[CONFIG_ERROR_MAX]);
void vdpa_destroy(struct vdpa *v);
/* For create(): the line that tells what is wrong.  Returns `error`. */
int vdpa_error(struct vdpa *v, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Values of keys, for create(): 0, or -EINVAL after vdpa_error(). */
int vdpa_key_number(struct vdpa *v, const char *key, uint64_t fallback, uint64_t min, uint64_t max,
		    uint64_t *ret_value);
int vdpa_key_bool(struct vdpa *v, const char *key, bool fallback, bool *ret_value);
const char *vdpa_key(const struct vdpa *v, const char *key);
/* Status 0.  Under the lock. */
void vdpa_reset(struct vdpa *v);
void vdpa_set_status(struct vdpa *v, uint8_t status);
void vdpa_queue_set_ready(struct vdpa_queue *q, bool ready);
/* Where the queue is, live or not. */
void vdpa_queue_get_state(const struct vdpa_queue *q, struct virtqueue_state *ret_state);
unsigned vdpa_queue_group(const struct vdpa *v, unsigned queue);
/* Makes the worker look at the device.  Any thread. */
void vdpa_wake(struct vdpa *v);

/* For models, on the worker. */

/* Whether there may be chains on it. */
bool vdpa_queue_usable(struct vdpa *v, unsigned queue);
/* Sends the interrupt for what was used, if the driver wants it. */
void vdpa_queue_signal(struct vdpa_queue *q);
/* Sends it in any case. */
void vdpa_queue_call(struct vdpa_queue *q);
/* Whether chains are there, having asked for kicks; false also for a queue that isn't usable. */
bool vdpa_queue_rest(struct vdpa *v, unsigned queue);

extern const struct vhost_ops vdpa_vhost_ops;

/* ---- space.c ---- */

void vdpa_spaces_init(struct vdpa *v);
/* As a reset leaves them to a client that has not acknowledged IOTLB_PERSIST. */
void vdpa_spaces_clean(struct vdpa *v);
void vdpa_spaces_finish(struct vdpa *v);
/* Rings look their memory up anew. */
void vdpa_forget(struct vdpa *v);
/* struct vhost_ops.message. */
long vdpa_message(struct vhost_dev *dev, uint32_t asid, const struct vhost_iotlb_msg *message);
extern const struct virtqueue_ops vdpa_ring_ops; /* owner: struct vdpa_queue */

/* ---- vring.c: ioctls that concern a ring ---- */

VHOST_HANDLER(vdpa_ioctl_vring);

/* ---- interface.c ---- */

struct vdpa_slot; /* the node's context */
/* The device behind the node: 0 or -errno, logged. */
int vdpa_get(struct vdpa_slot *slot, struct vdpa **ret_vdpa);

/* ---- file.c ---- */

extern const struct file_ops vdpa_file_ops;
extern const struct ioctl_table vdpa_table;

/* ---- the models ---- */

extern const struct vdpa_model vdpa_net_sim, vdpa_blk_sim, vdpa_net, vdpa_blk;

#endif
