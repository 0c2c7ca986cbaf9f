/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queues: doorbells, fetching commands, posting completions, interrupts.
 *
 * The value of a doorbell is always taken from BAR memory, where the driver's store put it
 * whether it trapped or not, and under the queue's lock: so the trap path and the poller
 * can't act on values in the wrong order.
 *
 * A completion that finds its queue full waits in cq->waiting, with its request, for the
 * driver to make room.  A fetch loop that finds no free request marks its queue starved and
 * is started again by whoever frees requests.
 *
 * Entries of queues are reached by one translation each: nothing stays pinned between
 * commands, so the driver's unmap calls never wait for an idle device.
 */
#include "devices/nvme.h"

#include <string.h>

#include "core/syscall.h"

#define FETCH_BATCH 16u /* commands read at once; on the stack of a signal handler */

static void init_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attributes;

	/* Held for so short that spinning a little beats sleeping. */
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
}

void nvme_queues_init(struct nvme *n)
{
	init_lock(&n->request_lock);
	init_lock(&n->irq_lock);
	for (unsigned id = 0; id < NVME_QUEUES; id++) {
		init_lock(&n->cq[id].lock);
		init_lock(&n->sq[id].doorbell_lock);
		n->cq[id].id = n->sq[id].id = (uint16_t)id;
		n->sq[id].nvme = n;
	}
}

void nvme_queues_finish(struct nvme *n)
{
	for (unsigned id = 0; id < NVME_QUEUES; id++) {
		pthread_mutex_destroy(&n->cq[id].lock);
		pthread_mutex_destroy(&n->sq[id].doorbell_lock);
	}
	pthread_mutex_destroy(&n->irq_lock);
	pthread_mutex_destroy(&n->request_lock);
}

void nvme_queues_reset(struct nvme *n)
{
	for (unsigned id = 0; id < NVME_QUEUES; id++) {
		atomic_store(&n->cq[id].live, false);
		atomic_store(&n->sq[id].state, NVME_SQ_ABSENT);
		atomic_store(&n->sq[id].starved, false);
	}
	atomic_store(&n->polled_queues, 0);
	atomic_store(&n->starved, false);
	n->io_queue_created = false;
	n->free_requests = NULL;
	n->requests_used = 0;
}

/* ---- requests ---- */

static struct nvme_request *request_get(struct nvme *n)
{
	struct nvme_request *request;

	pthread_mutex_lock(&n->request_lock);
	request = n->free_requests;
	if (request)
		n->free_requests = request->next;
	else if (n->requests_used < NVME_REQUESTS)
		request = (void *)(n->request_memory + n->requests_used++ * n->request_size);
	pthread_mutex_unlock(&n->request_lock);
	return request;
}

static void request_put(struct nvme *n, struct nvme_request *request)
{
	pthread_mutex_lock(&n->request_lock);
	request->next = n->free_requests;
	n->free_requests = request;
	pthread_mutex_unlock(&n->request_lock);
}

static void request_start(struct nvme_request *request, struct nvme_sq *sq,
			  const struct nvme_command *command)
{
	struct nvme *n = sq->nvme;

	request->nvme = n;
	request->sq = sq;
	request->command = *command;
	request->status = NVME_SUCCESS;
	request->error_location = 0xffff;
	request->result = 0;
	request->lba = 0;
	request->iov = (struct iovec *)(request + 1);
	request->ranges = (struct nvme_range *)(request->iov + n->max_iov);
	request->n_ranges = request->n_iov = 0;
}

/* ---- creating and deleting ---- */

static void poll_up_to(struct nvme *n, unsigned id)
{
	unsigned queues = atomic_load(&n->polled_queues);

	while (queues < id + 1 && !atomic_compare_exchange_weak(&n->polled_queues, &queues, id + 1))
		;
}

void nvme_cq_create(struct nvme *n, unsigned id, uint64_t iova, uint32_t size, uint16_t vector,
		    bool interrupts)
{
	struct nvme_cq *cq = &n->cq[id];

	pthread_mutex_lock(&cq->lock);
	cq->iova = iova;
	cq->size = size;
	cq->vector = vector;
	cq->interrupts = interrupts;
	cq->phase = true;
	atomic_store(&cq->head, 0);
	atomic_store(&cq->tail, 0);
	atomic_store(&cq->posted, false);
	atomic_store(&cq->n_sqs, 0);
	cq->waiting = NULL;
	cq->waiting_last = &cq->waiting;
	atomic_store(&n->doorbells[2 * id + 1], 0);
	atomic_store(&cq->doorbell_seen, 0);
	atomic_store(&cq->live, true);
	pthread_mutex_unlock(&cq->lock);
	poll_up_to(n, id);
}

void nvme_cq_delete(struct nvme *n, unsigned id)
{
	struct nvme_cq *cq = &n->cq[id];

	pthread_mutex_lock(&cq->lock);
	atomic_store(&cq->live, false);
	pthread_mutex_unlock(&cq->lock);
	nvme_irq_update(n);
}

void nvme_sq_create(struct nvme *n, unsigned id, uint64_t iova, uint32_t size, struct nvme_cq *cq)
{
	struct nvme_sq *sq = &n->sq[id];

	pthread_mutex_lock(&sq->doorbell_lock);
	sq->iova = iova;
	sq->size = size;
	sq->cq = cq;
	sq->delete_request = NULL;
	atomic_fetch_add(&cq->n_sqs, 1);
	atomic_store(&sq->head, 0);
	atomic_store(&sq->tail, 0);
	atomic_store(&sq->in_flight, 1);
	atomic_store(&sq->starved, false);
	atomic_store(&n->doorbells[2 * id], 0);
	atomic_store(&sq->doorbell_seen, 0);
	atomic_store(&sq->state, NVME_SQ_LIVE);
	pthread_mutex_unlock(&sq->doorbell_lock);
	poll_up_to(n, id);
}

/* One command less; the last one completes the queue's deletion. */
static void in_flight_put(struct nvme_sq *sq)
{
	struct nvme_request *request;

	if (atomic_fetch_sub(&sq->in_flight, 1) != 1)
		return;
	request = sq->delete_request;
	atomic_fetch_sub(&sq->cq->n_sqs, 1);
	atomic_store(&sq->state, NVME_SQ_ABSENT);
	nvme_complete(request);
}

/* Completions of sq's that wait for room will not be seen any more. */
static void drop_waiting(struct nvme_sq *sq)
{
	struct nvme_cq *cq = sq->cq;
	struct nvme_request *dropped = NULL, **p, *request;

	pthread_mutex_lock(&cq->lock);
	for (p = &cq->waiting; (request = *p);) {
		if (request->sq == sq) {
			*p = request->next;
			request->next = dropped;
			dropped = request;
		} else {
			p = &request->next;
		}
	}
	cq->waiting_last = p;
	pthread_mutex_unlock(&cq->lock);
	while ((request = dropped)) {
		dropped = request->next;
		request_put(sq->nvme, request);
		in_flight_put(sq);
	}
}

void nvme_sq_delete(struct nvme_sq *sq, struct nvme_request *request)
{
	atomic_store(&sq->state, NVME_SQ_DELETING);
	/* Who executes for this queue notices at the next command. */
	while (atomic_exchange(&sq->busy, true))
		host_syscall(SYS_sched_yield);
	sq->delete_request = request;
	drop_waiting(sq);
	atomic_store(&sq->busy, false);
	in_flight_put(sq);
}

/* ---- completions ---- */

static uint32_t unseen(const struct nvme_cq *cq)
{
	uint32_t head = atomic_load(&cq->head), tail = atomic_load(&cq->tail);

	return tail >= head ? tail - head : cq->size - head + tail;
}

/* cq->lock is held and there is room. */
static void post(struct nvme *n, struct nvme_cq *cq, struct nvme_request *request)
{
	uint32_t tail = atomic_load(&cq->tail);
	uint64_t iova = cq->iova + ((uint64_t)tail << NVME_CQE_SHIFT);
	struct nvme_completion entry = {
		.result = request->result,
		.sq_head = (uint16_t)atomic_load(&request->sq->head),
		.sq_id = request->sq->id,
		.cid = request->command.cid,
		.status = (uint16_t)(request->status << 1 | cq->phase),
	};
	struct iovec iov;
	unsigned n_iov = 0;
	int error;

	error = standin_dma_map(n->dev, iova, sizeof(entry), STANDIN_DMA_WRITE, &iov, 1, &n_iov);
	if (error == 0) {
		/* The phase bit goes last, and in one store with the status and identifier. */
		error = standin_copy_to(iov.iov_base, &entry, 12);
		if (error == 0)
			error = standin_copy_to((char *)iov.iov_base + 12, (char *)&entry + 12, 4);
		standin_dma_unmap(n->dev, iova, sizeof(entry));
	}
	if (error < 0) {
		nvme_fatal(n, "a completion queue is not in memory");
		return;
	}
	if (++tail == cq->size) {
		tail = 0;
		cq->phase = !cq->phase;
	}
	atomic_store(&cq->tail, tail);
	atomic_store(&cq->posted, true);
}

void nvme_complete(struct nvme_request *request)
{
	struct nvme_sq *sq = request->sq;
	struct nvme *n = request->nvme;
	struct nvme_cq *cq = sq->cq;

	nvme_data_unmap(request);
	if (request->status != NVME_SUCCESS)
		nvme_log_error(request);
	if (atomic_load(&n->gate) & NVME_GATE_CLOSED)
		return; /* the reset that is under way forgets all requests */
	pthread_mutex_lock(&cq->lock);
	if (!cq->waiting && unseen(cq) < cq->size - 1) {
		post(n, cq, request);
	} else if (atomic_load(&sq->state) == NVME_SQ_LIVE) {
		request->next = NULL;
		*cq->waiting_last = request;
		cq->waiting_last = &request->next;
		pthread_mutex_unlock(&cq->lock);
		return;
	} /* else its queue is being deleted, and nobody will wait for it */
	pthread_mutex_unlock(&cq->lock);
	request_put(n, request);
	in_flight_put(sq);
}

/* The driver made room: what waited for it is posted. */
static void post_waiting(struct nvme *n, struct nvme_cq *cq)
{
	for (;;) {
		struct nvme_request *request;
		struct nvme_sq *sq;

		pthread_mutex_lock(&cq->lock);
		request = cq->waiting;
		if (!request || unseen(cq) == cq->size - 1) {
			pthread_mutex_unlock(&cq->lock);
			return;
		}
		cq->waiting = request->next;
		if (!cq->waiting)
			cq->waiting_last = &cq->waiting;
		post(n, cq, request);
		pthread_mutex_unlock(&cq->lock);
		sq = request->sq;
		request_put(n, request);
		in_flight_put(sq);
	}
}

/* ---- doorbells ---- */

static void invalid_value(struct nvme *n)
{
	nvme_event(n, NVME_EVENT_ERROR, NVME_EVENT_ERROR_DOORBELL_VALUE, NVME_LOG_ERROR);
}

bool nvme_cq_doorbell(struct nvme *n, unsigned id)
{
	struct nvme_cq *cq = &n->cq[id];
	uint32_t value, head, advance;
	bool valid, waiting;

	if (!atomic_load_explicit(&cq->live, memory_order_relaxed) ||
	    atomic_load_explicit(&n->doorbells[2 * id + 1], memory_order_acquire) ==
		    atomic_load_explicit(&cq->doorbell_seen, memory_order_relaxed))
		return false;

	pthread_mutex_lock(&cq->lock);
	value = atomic_load(&n->doorbells[2 * id + 1]);
	if (!atomic_load(&cq->live) || value == atomic_load(&cq->doorbell_seen)) {
		pthread_mutex_unlock(&cq->lock);
		return false;
	}
	atomic_store(&cq->doorbell_seen, value);
	head = atomic_load(&cq->head);
	advance = value >= head ? value - head : cq->size - head + value;
	valid = value < cq->size && advance <= unseen(cq);
	if (valid)
		atomic_store(&cq->head, value);
	waiting = cq->waiting;
	pthread_mutex_unlock(&cq->lock);

	if (!valid) {
		invalid_value(n);
		return true;
	}
	if (waiting) {
		post_waiting(n, cq);
		nvme_cq_notify(n, cq);
		nvme_cq_notify(n, &n->cq[0]);
	}
	nvme_irq_update(n);
	return true;
}

bool nvme_sq_doorbell(struct nvme *n, unsigned id)
{
	struct nvme_sq *sq = &n->sq[id];
	uint32_t value, head, tail, added, queued;
	bool valid;

	if (atomic_load_explicit(&sq->state, memory_order_relaxed) != NVME_SQ_LIVE ||
	    atomic_load_explicit(&n->doorbells[2 * id], memory_order_acquire) ==
		    atomic_load_explicit(&sq->doorbell_seen, memory_order_relaxed))
		return false;

	pthread_mutex_lock(&sq->doorbell_lock);
	value = atomic_load(&n->doorbells[2 * id]);
	if (atomic_load(&sq->state) != NVME_SQ_LIVE || value == atomic_load(&sq->doorbell_seen)) {
		pthread_mutex_unlock(&sq->doorbell_lock);
		return false;
	}
	atomic_store(&sq->doorbell_seen, value);
	head = atomic_load(&sq->head);
	tail = atomic_load(&sq->tail);
	queued = tail >= head ? tail - head : sq->size - head + tail;
	added = value >= tail ? value - tail : sq->size - tail + value;
	valid = value < sq->size && added <= sq->size - 1 - queued;
	if (valid)
		atomic_store(&sq->tail, value);
	pthread_mutex_unlock(&sq->doorbell_lock);

	if (!valid)
		invalid_value(n);
	else
		nvme_sq_run(sq);
	return true;
}

/* ---- fetching ---- */

static bool may_fetch(struct nvme_sq *sq)
{
	struct nvme *n = sq->nvme;

	return atomic_load(&sq->state) == NVME_SQ_LIVE && !atomic_load(&n->fatal) &&
	       !(atomic_load(&n->gate) & NVME_GATE_CLOSED);
}

static struct nvme_request *request_get_or_starve(struct nvme_sq *sq)
{
	struct nvme *n = sq->nvme;
	struct nvme_request *request = request_get(n);

	if (request)
		return request;
	atomic_store(&sq->starved, true);
	atomic_store(&n->starved, true);
	/* One may have been freed before that could be seen. */
	return request_get(n);
}

static void execute(struct nvme_sq *sq, struct nvme_request *request,
		    const struct nvme_command *command)
{
	int status;

	request_start(request, sq, command);
	status = sq->id == 0 ? nvme_admin(request) : nvme_io(request);
	if (status == NVME_PENDING)
		return;
	request->status = (uint16_t)status;
	nvme_complete(request);
}

/* Executes up to a batch; sq->busy is ours.  false: it can't go on for now. */
static bool fetch(struct nvme_sq *sq)
{
	struct nvme *n = sq->nvme;
	struct nvme_command batch[FETCH_BATCH];
	uint32_t head = atomic_load(&sq->head), tail = atomic_load(&sq->tail);
	uint32_t count = tail >= head ? tail - head : sq->size - head;
	bool go_on = true;

	if (count == 0)
		return true;
	if (count > FETCH_BATCH)
		count = FETCH_BATCH;
	if (standin_dma_read(n->dev, sq->iova + ((uint64_t)head << NVME_SQE_SHIFT), batch,
			     count << NVME_SQE_SHIFT) < 0) {
		nvme_fatal(n, "a submission queue is not in memory");
		return false;
	}
	for (uint32_t i = 0; i < count && go_on; i++) {
		struct nvme_request *request;

		go_on = may_fetch(sq);
		if (!go_on)
			break;
		request = request_get_or_starve(sq);
		if (!request) {
			go_on = false;
			break;
		}
		head = head + 1 == sq->size ? 0 : head + 1;
		atomic_store(&sq->head, head);
		atomic_fetch_add(&sq->in_flight, 1);
		execute(sq, request, &batch[i]);
	}
	nvme_cq_notify(n, sq->cq);
	return go_on;
}

bool nvme_sq_run(struct nvme_sq *sq)
{
	bool worked = false, go_on = true;

	while (go_on && may_fetch(sq) && atomic_load(&sq->head) != atomic_load(&sq->tail)) {
		if (atomic_exchange(&sq->busy, true))
			break; /* who has it looks at the tail again when it is done */
		go_on = !may_fetch(sq) || fetch(sq);
		worked = true;
		atomic_store(&sq->busy, false);
	}
	return worked;
}

void nvme_run_starved(struct nvme *n)
{
	if (!atomic_load_explicit(&n->starved, memory_order_relaxed) ||
	    !atomic_exchange(&n->starved, false))
		return;
	for (unsigned id = 0; id < NVME_QUEUES; id++)
		if (atomic_exchange(&n->sq[id].starved, false))
			nvme_sq_run(&n->sq[id]);
}

/* ---- interrupts ---- */

static bool masked(const struct nvme *n, unsigned vector)
{
	return vector < 32 && atomic_load(&n->intm) >> vector & 1;
}

void nvme_cq_notify(struct nvme *n, struct nvme_cq *cq)
{
	if (!atomic_load_explicit(&cq->posted, memory_order_relaxed) ||
	    !atomic_exchange(&cq->posted, false) || !cq->interrupts)
		return;
	switch (standin_irq_mode(n->dev)) {
	case STANDIN_IRQ_MSIX:
		standin_irq_message(n->dev, cq->vector);
		break;
	case STANDIN_IRQ_MSI:
		if (!masked(n, cq->vector))
			standin_irq_message(n->dev, cq->vector);
		break;
	case STANDIN_IRQ_INTX:
		nvme_irq_update(n);
		break;
	case STANDIN_IRQ_NONE:
		break;
	}
}

void nvme_irq_update(struct nvme *n)
{
	unsigned queues = atomic_load(&n->polled_queues);
	bool level = false;

	if (standin_irq_mode(n->dev) != STANDIN_IRQ_INTX)
		return;
	pthread_mutex_lock(&n->irq_lock);
	for (unsigned id = 0; id < queues && !level && !masked(n, 0); id++)
		level = atomic_load(&n->cq[id].live) && n->cq[id].interrupts && unseen(&n->cq[id]);
	standin_irq_level(n->dev, level);
	pthread_mutex_unlock(&n->irq_lock);
}

void nvme_irq_unmasked(struct nvme *n, uint32_t vectors)
{
	unsigned queues = atomic_load(&n->polled_queues);

	if (standin_irq_mode(n->dev) != STANDIN_IRQ_MSI)
		return;
	for (unsigned id = 0; id < queues; id++) {
		struct nvme_cq *cq = &n->cq[id];

		if (atomic_load(&cq->live) && cq->interrupts && cq->vector < 32 &&
		    vectors >> cq->vector & 1 && unseen(cq))
			standin_irq_message(n->dev, cq->vector);
	}
}
