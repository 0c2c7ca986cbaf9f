/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Admin commands (5): queues, Abort, and the way to those with files of their own.
 */
#include "devices/nvme.h"

static bool queue_size_valid(uint32_t entries)
{
	return entries >= 2 && entries <= NVME_QUEUE_MAX;
}

/* Whether the driver has an interrupt of that number. */
static bool vector_valid(struct nvme *n, unsigned vector)
{
	switch (standin_irq_mode(n->dev)) {
	case STANDIN_IRQ_INTX:
		return vector == 0;
	case STANDIN_IRQ_MSI:
		return vector < NVME_MSI_VECTORS;
	default:
		return vector < NVME_MSIX_VECTORS;
	}
}

static int create_cq(struct nvme_request *request)
{
	const struct nvme_command *c = &request->command;
	struct nvme *n = request->nvme;
	unsigned id = c->cdw10 & 0xffff, vector = c->cdw11 >> 16;
	uint32_t entries = (c->cdw10 >> 16) + 1;
	bool contiguous = c->cdw11 & 1, interrupts = c->cdw11 & 2;

	if (id == 0 || id > n->io_queues || atomic_load(&n->cq[id].live))
		return nvme_bad_field(request, 40, NVME_INVALID_QID);
	if (!queue_size_valid(entries) || NVME_CC_IOCQES(n->cc) != NVME_CQE_SHIFT)
		return nvme_bad_field(request, 42, NVME_INVALID_QUEUE_SIZE);
	if (!contiguous)
		return nvme_bad_field(request, 44, NVME_INVALID_FIELD);
	if (c->prp1 % ((uint64_t)1 << n->page_shift))
		return nvme_bad_field(request, 24, NVME_PRP_OFFSET_INVALID);
	if (interrupts && !vector_valid(n, vector))
		return nvme_bad_field(request, 46, NVME_INVALID_VECTOR);
	nvme_cq_create(n, id, c->prp1, entries, (uint16_t)vector, interrupts);
	n->io_queue_created = true;
	return NVME_SUCCESS;
}

static int create_sq(struct nvme_request *request)
{
	const struct nvme_command *c = &request->command;
	struct nvme *n = request->nvme;
	unsigned id = c->cdw10 & 0xffff, cq_id = c->cdw11 >> 16;
	uint32_t entries = (c->cdw10 >> 16) + 1;

	if (cq_id == 0 || cq_id > n->io_queues)
		return nvme_bad_field(request, 46, NVME_INVALID_QID);
	if (!atomic_load(&n->cq[cq_id].live))
		return nvme_bad_field(request, 46, NVME_CQ_INVALID);
	if (id == 0 || id > n->io_queues || atomic_load(&n->sq[id].state) != NVME_SQ_ABSENT)
		return nvme_bad_field(request, 40, NVME_INVALID_QID);
	if (!queue_size_valid(entries) || NVME_CC_IOSQES(n->cc) != NVME_SQE_SHIFT)
		return nvme_bad_field(request, 42, NVME_INVALID_QUEUE_SIZE);
	if (!(c->cdw11 & 1))
		return nvme_bad_field(request, 44, NVME_INVALID_FIELD);
	if (c->prp1 % ((uint64_t)1 << n->page_shift))
		return nvme_bad_field(request, 24, NVME_PRP_OFFSET_INVALID);
	nvme_sq_create(n, id, c->prp1, entries, &n->cq[cq_id]);
	return NVME_SUCCESS;
}

static int delete_cq(struct nvme_request *request)
{
	struct nvme *n = request->nvme;
	unsigned id = request->command.cdw10 & 0xffff;

	if (id == 0 || id > n->io_queues || !atomic_load(&n->cq[id].live))
		return nvme_bad_field(request, 40, NVME_INVALID_QID);
	if (atomic_load(&n->cq[id].n_sqs))
		return nvme_bad_field(request, 40, NVME_INVALID_QUEUE_DELETION);
	nvme_cq_delete(n, id);
	return NVME_SUCCESS;
}

static int delete_sq(struct nvme_request *request)
{
	struct nvme *n = request->nvme;
	unsigned id = request->command.cdw10 & 0xffff;

	if (id == 0 || id > n->io_queues || atomic_load(&n->sq[id].state) != NVME_SQ_LIVE)
		return nvme_bad_field(request, 40, NVME_INVALID_QID);
	nvme_sq_delete(&n->sq[id], request);
	return NVME_PENDING;
}

/* A command that is with the backend is not got back; one that is parked is. */
static int abort_command(struct nvme_request *request)
{
	unsigned id = request->command.cdw10 & 0xffff;
	uint16_t cid = (uint16_t)(request->command.cdw10 >> 16);
	bool aborted = id == 0 && nvme_event_abort(request->nvme, cid);

	request->result = !aborted;
	return NVME_SUCCESS;
}

int nvme_admin(struct nvme_request *request)
{
	const struct nvme_command *c = &request->command;

	/* SGLs are for I/O commands. */
	if (NVME_FUSE(c->flags) || NVME_PSDT(c->flags))
		return nvme_bad_field(request, 1, NVME_INVALID_FIELD);
	switch (c->opcode) {
	case NVME_ADMIN_DELETE_SQ:
		return delete_sq(request);
	case NVME_ADMIN_CREATE_SQ:
		return create_sq(request);
	case NVME_ADMIN_GET_LOG_PAGE:
		return nvme_get_log_page(request);
	case NVME_ADMIN_DELETE_CQ:
		return delete_cq(request);
	case NVME_ADMIN_CREATE_CQ:
		return create_cq(request);
	case NVME_ADMIN_IDENTIFY:
		return nvme_identify(request);
	case NVME_ADMIN_ABORT:
		return abort_command(request);
	case NVME_ADMIN_SET_FEATURES:
		return nvme_set_features(request);
	case NVME_ADMIN_GET_FEATURES:
		return nvme_get_features(request);
	case NVME_ADMIN_ASYNC_EVENT:
		return nvme_event_park(request);
	}
	return nvme_bad_field(request, 0, NVME_INVALID_OPCODE);
}
