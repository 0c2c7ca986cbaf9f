/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * devices/nvme.h - the NVMe controller's inside, shared by its files.
 *
 *	nvme.c           configuration, registers, life cycle
 *	nvme_queue.c     queues: fetching commands, posting completions, interrupts
 *	nvme_data.c      data pointers: PRPs and SGLs
 *	nvme_admin.c     admin commands
 *	nvme_feature.c   Get and Set Features
 *	nvme_identify.c  Identify
 *	nvme_log.c       log pages, asynchronous events
 *	nvme_io.c        the NVM command set
 *
 * Threads.  Commands are executed by whoever finds them: the thread that rang the doorbell
 * (inside a signal handler) or the device's poller; completions also come from the
 * backend's threads.
 *
 *  - sq->busy: who fetches from and executes for a submission queue.  Only tried, never
 *    waited for (except to delete the queue): who fails to get it leaves, and who releases
 *    it looks once more.
 *  - cq->lock, sq->doorbell_lock, request_lock, irq_lock, event_lock: held for some
 *    instructions, never over a disk access.  cq->lock may be held when irq_lock is taken,
 *    no other two.
 *  - lock: registers and life cycle.  Nothing else is held when it is taken.
 *  - gate: counts who is inside (a doorbell, a fetch loop, a request in the backend).
 *    Disabling the controller closes it; who leaves last finishes the reset.  So queues and
 *    requests never vanish under somebody's feet, and nobody waits in a signal handler.
 */
#ifndef STANDIN_DEVICES_NVME_H
#define STANDIN_DEVICES_NVME_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <standin/device.h>

#include "backend/backend.h"
#include "devices/nvme_spec.h"

#define NVME_IO_QUEUES      64u /* pairs, at most */
#define NVME_QUEUES         (NVME_IO_QUEUES + 1)
#define NVME_QUEUE_MAX      2048u /* entries */
#define NVME_MSI_VECTORS    32u
#define NVME_MSIX_VECTORS   NVME_QUEUES
#define NVME_REQUESTS       4096u /* commands in execution, all queues together */
#define NVME_AERS           4u    /* parked Asynchronous Event Requests */
#define NVME_EVENTS         8u    /* events that wait for one */
#define NVME_ERRORS         64u   /* error log entries */
#define NVME_PAGE_SHIFT_MIN 12u
#define NVME_PAGE_SHIFT_MAX 16u
#define NVME_TEMPERATURE    310u /* K: a drive that never gets warm */

#define NVME_GATE_CLOSED 0x80000000u

/* What executing a command returned, besides a status. */
#define NVME_PENDING (-1) /* it completes later */

struct nvme;
struct nvme_sq;

struct nvme_range {
	uint64_t iova;
	uint64_t size;
};

struct nvme_request {
	struct backend_request io; /* first: the backend hands this back */
	struct nvme *nvme;
	struct nvme_sq *sq;
	struct nvme_request *next; /* free list; completions that wait for room */
	struct nvme_command command;
	uint16_t status;
	uint16_t
		error_location; /* byte and bit of the bad field, for the error log; 0xffff: none */
	uint32_t result;
	uint64_t lba; /* for the error log */
	/* The command's data: pinned ranges, and where they are in this process. */
	struct nvme_range *ranges;
	struct iovec *iov;
	unsigned n_ranges, n_iov;
};

struct nvme_cq {
	pthread_mutex_t lock; /* of what follows, where not atomic */
	_Atomic bool live;
	uint16_t id;
	/* A completion that is just through may still read them while the queue is made anew. */
	_Atomic uint16_t vector;
	_Atomic bool interrupts;
	bool phase;
	uint32_t size; /* entries */
	uint64_t iova;
	_Atomic uint32_t head, tail;
	_Atomic bool posted;    /* entries that the driver was not told of */
	_Atomic unsigned n_sqs; /* that post here */
	_Atomic uint32_t doorbell_seen;
	struct nvme_request *waiting, **waiting_last; /* for room */
};

enum nvme_sq_state { NVME_SQ_ABSENT, NVME_SQ_LIVE, NVME_SQ_DELETING };

struct nvme_sq {
	struct nvme *nvme;
	_Atomic int state;    /* enum nvme_sq_state */
	_Atomic bool busy;    /* see above */
	_Atomic bool starved; /* stopped for want of a request */
	uint16_t id;
	uint32_t size;
	uint64_t iova;
	struct nvme_cq *cq;
	_Atomic uint32_t head, tail;
	_Atomic uint32_t in_flight; /* commands fetched and not completed; one more while live */
	struct nvme_request *delete_request; /* completes when in_flight gets 0 */
	pthread_mutex_t doorbell_lock;
	_Atomic uint32_t doorbell_seen;
};

struct nvme_features {
	uint32_t arbitration, power, error_recovery, write_cache, coalescing, async_events;
	uint32_t write_atomicity;
	uint16_t over_threshold[9], under_threshold[9]; /* K; composite and 8 sensors */
	uint8_t vector_no_coalescing[NVME_MSIX_VECTORS];
};

struct nvme {
	struct standin_device *dev;
	struct backend *backend;

	/* Configuration. */
	char serial[21];
	unsigned block_shift;
	uint64_t blocks;
	unsigned io_queues; /* pairs offered */
	uint8_t msi_vectors;
	unsigned mdts;      /* largest transfer: 4096 << mdts bytes */
	unsigned max_iov;   /* per request */

	/* Registers and life cycle. */
	pthread_mutex_t lock;
	uint32_t cc, aqa; /* CSTS is in BAR memory alone, see nvme_csts() */
	_Atomic uint32_t intm;
	uint64_t asq, acq;
	_Atomic uint32_t *doorbells; /* BAR memory: SQ 0 tail, CQ 0 head, SQ 1 tail, ... */
	uint8_t *registers;          /* BAR memory: what loads see */
	_Atomic uint32_t gate;
	bool resetting;      /* the gate is closed and somebody is still inside */
	_Atomic bool fatal;  /* CSTS.CFS */
	unsigned page_shift; /* CC.MPS */
	struct backend_request shutdown_io;
	bool shutdown_busy, shutdown_forgotten;

	/* Queues; entry 0 is the admin pair. */
	struct nvme_cq cq[NVME_QUEUES];
	struct nvme_sq sq[NVME_QUEUES];
	_Atomic unsigned polled_queues; /* one more than the highest live identifier */
	_Atomic bool starved;           /* any sq is */
	bool io_queue_created;          /* since the reset; then their number is settled */

	/* Requests. */
	pthread_mutex_t request_lock;
	char *request_memory; /* NVME_REQUESTS times request_size, touched when first used */
	size_t request_size;
	unsigned requests_used;
	struct nvme_request *free_requests;

	pthread_mutex_t irq_lock; /* of the level of INTx */

	struct nvme_features features;

	/* Events and error log. */
	pthread_mutex_t event_lock;
	struct nvme_request *aers[NVME_AERS];
	unsigned n_aers;
	uint32_t events[NVME_EVENTS]; /* as reported, oldest first */
	unsigned n_events;
	uint8_t events_masked;                       /* types, until the log page is read */
	struct nvme_error_entry errors[NVME_ERRORS]; /* a ring */
	uint64_t n_errors;

	/* SMART. */
	_Atomic uint64_t reads, writes, bytes_read, bytes_written, media_errors;
	int64_t powered_on; /* CLOCK_MONOTONIC, s */

	uint8_t page[4096]; /* where admin commands make their data */
};

/* ---- nvme.c ---- */

/* Whether the controller works; then nvme_leave() must follow. */
bool nvme_enter(struct nvme *n);
void nvme_leave(struct nvme *n);
/* The controller can't go on: CSTS.CFS, until it is reset. */
void nvme_fatal(struct nvme *n, const char *why);

/* ---- nvme_queue.c ---- */

void nvme_queues_init(struct nvme *n);
void nvme_queues_finish(struct nvme *n);
/* Forgets all queues and requests; nobody is inside. */
void nvme_queues_reset(struct nvme *n);
void nvme_cq_create(struct nvme *n, unsigned id, uint64_t iova, uint32_t size, uint16_t vector,
		    bool interrupts);
void nvme_cq_delete(struct nvme *n, unsigned id);
void nvme_sq_create(struct nvme *n, unsigned id, uint64_t iova, uint32_t size, struct nvme_cq *cq);
/* Takes no more commands; `request` completes when those in flight have. */
void nvme_sq_delete(struct nvme_sq *sq, struct nvme_request *request);
/* The doorbell's memory may have changed.  Returns whether there was anything to do. */
bool nvme_sq_doorbell(struct nvme *n, unsigned id);
bool nvme_cq_doorbell(struct nvme *n, unsigned id);
/* Executes what is queued. */
bool nvme_sq_run(struct nvme_sq *sq);
/* Posts the completion (request->status, ->result) and frees the request. */
void nvme_complete(struct nvme_request *request);
/* Tells the driver that entries were posted to cq. */
void nvme_cq_notify(struct nvme *n, struct nvme_cq *cq);
/* After a request completed outside of nvme_sq_run(): others may have waited for it. */
void nvme_run_starved(struct nvme *n);
/* CSTS, INTMS or what a queue holds changed: the level of INTx. */
void nvme_irq_update(struct nvme *n);
/* INTMC cleared these bits: messages held back go out. */
void nvme_irq_unmasked(struct nvme *n, uint32_t vectors);

/* ---- nvme_data.c ---- */

/*
 * Pins the command's data, `size` bytes, and fills request->iov.  A status; 0 is success.
 * nvme_complete() unpins.
 */
int nvme_data_map(struct nvme_request *request, uint64_t size, enum standin_dma direction);
void nvme_data_unmap(struct nvme_request *request);
/* Copies out of mapped data: 0 or -EFAULT. */
int nvme_data_copy_from(struct nvme_request *request, uint64_t offset, void *buffer, size_t size);
/* Maps and copies `size` bytes to the driver: a status. */
int nvme_data_write(struct nvme_request *request, const void *buffer, uint64_t size);

/* ---- command execution: a status, or NVME_PENDING ---- */

int nvme_admin(struct nvme_request *request);
int nvme_io(struct nvme_request *request);
int nvme_identify(struct nvme_request *request);
int nvme_get_features(struct nvme_request *request);
int nvme_set_features(struct nvme_request *request);
void nvme_features_reset(struct nvme *n);
int nvme_get_log_page(struct nvme_request *request);

/* An invalid field of the command, by its byte offset: for the error log. */
int nvme_bad_field(struct nvme_request *request, unsigned byte, int status);

/* ---- nvme_log.c ---- */

void nvme_events_reset(struct nvme *n);
/* Parks an Asynchronous Event Request: a status, or NVME_PENDING. */
int nvme_event_park(struct nvme_request *request);
/* Aborts a parked one; whether there was such. */
bool nvme_event_abort(struct nvme *n, uint16_t cid);
/* Reports an event.  `info` is one of NVME_EVENT_*_*. */
void nvme_event(struct nvme *n, unsigned type, unsigned info, unsigned log_page);
void nvme_log_error(struct nvme_request *request);
/* Compares temperature and thresholds. */
uint8_t nvme_critical_warning(struct nvme *n);

#endif
