/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The NVM command set (6).
 *
 * Reads and writes go to the backend with the driver's own memory.  What the backend can
 * answer at once completes in the fetch loop; the rest keeps the gate open and completes on
 * a thread of the backend's.  Compare and Dataset Management are done in the calling thread.
 */
#include "devices/nvme.h"

#include <errno.h>
#include <string.h>

#include "core/fault.h"

FAULT_POINTS(nvme_points, "nvme.read", "nvme.write", "nvme.flush", "nvme.write_zeroes",
	     "nvme.compare", "nvme.deallocate")

int nvme_bad_field(struct nvme_request *request, unsigned byte, int status)
{
	request->error_location = (uint16_t)byte;
	return status | NVME_DNR;
}

/* The status that tells of -errno. */
static int error_status(const struct nvme_request *request, int error)
{
	switch (-error) {
	case 0:
		return NVME_SUCCESS;
	case EFAULT:
		return NVME_DATA_TRANSFER_ERROR;
	case EROFS:
	case EPERM:
		return NVME_WRITE_PROTECTED | NVME_DNR;
	case ENOSPC:
	case EDQUOT:
		return NVME_CAPACITY_EXCEEDED | NVME_DNR;
	case EAGAIN:
	case EBUSY:
		return NVME_NAMESPACE_NOT_READY;
	case ENOMEM:
		return NVME_INTERNAL_ERROR;
	case ECANCELED:
		return NVME_ABORT_REQUESTED;
	}
	switch (request->command.opcode) {
	case NVME_READ:
	case NVME_COMPARE:
		return NVME_UNRECOVERED_READ_ERROR;
	default:
		return NVME_WRITE_FAULT;
	}
}

static int finished(struct nvme_request *request, int error)
{
	int status = error_status(request, error);

	if (status >> 8 == NVME_WRITE_FAULT >> 8)
		atomic_fetch_add_explicit(&request->nvme->media_errors, 1, memory_order_relaxed);
	return status;
}

static void done(struct backend_request *io, int error)
{
	struct nvme_request *request = (struct nvme_request *)io;
	struct nvme *n = request->nvme;
	struct nvme_cq *cq = request->sq->cq;

	request->status = (uint16_t)finished(request, error);
	nvme_complete(request);
	nvme_cq_notify(n, cq);
	nvme_cq_notify(n, &n->cq[0]);
	nvme_run_starved(n);
	nvme_leave(n);
}

static int submit(struct nvme_request *request, enum backend_op op, uint64_t lba, uint64_t blocks,
		  bool durable)
{
	struct nvme *n = request->nvme;
	int result;

	request->io = (struct backend_request){
		.op = op,
		.durable = durable,
		.offset = lba << n->block_shift,
		.size = blocks << n->block_shift,
		.iov = request->iov,
		.n_iov = request->n_iov,
		.done = done,
	};
	/* done() leaves; it may run before backend_submit() returns.  We are inside anyway, so
	 * that this can't fail and leaving isn't the last. */
	atomic_fetch_add(&n->gate, 1);
	result = backend_submit(n->backend, &request->io);
	if (result == BACKEND_QUEUED)
		return NVME_PENDING;
	atomic_fetch_sub(&n->gate, 1);
	return finished(request, result);
}

/* Whether the blocks exist. */
static int check_range(struct nvme_request *request, uint64_t lba, uint64_t blocks)
{
	struct nvme *n = request->nvme;

	request->lba = lba;
	if (lba > n->blocks || blocks > n->blocks - lba)
		return nvme_bad_field(request, 40, NVME_LBA_OUT_OF_RANGE);
	return NVME_SUCCESS;
}

static uint64_t start_lba(const struct nvme_command *c)
{
	return (uint64_t)c->cdw11 << 32 | c->cdw10;
}

static int check_transfer(struct nvme_request *request, uint64_t lba, uint32_t blocks)
{
	struct nvme *n = request->nvme;

	if ((uint64_t)blocks << n->block_shift > (uint64_t)4096 << n->mdts)
		return nvme_bad_field(request, 48, NVME_INVALID_FIELD);
	return check_range(request, lba, blocks);
}

static int check_writable(struct nvme_request *request)
{
	return backend_read_only(request->nvme->backend) ? NVME_WRITE_PROTECTED | NVME_DNR
							 : NVME_SUCCESS;
}

/* Whether a write must reach the disk before it completes. */
static bool durable(struct nvme_request *request)
{
	return request->command.cdw12 & NVME_CDW12_FUA || !request->nvme->features.write_cache;
}

static int read_write(struct nvme_request *request, bool write)
{
	const struct nvme_command *c = &request->command;
	struct nvme *n = request->nvme;
	uint32_t blocks = NVME_CDW12_NLB(c->cdw12);
	uint64_t lba = start_lba(c), bytes = (uint64_t)blocks << n->block_shift;
	int status, error;

	status = check_transfer(request, lba, blocks);
	if (!status && write)
		status = check_writable(request);
	if (status)
		return status;
	error = fault_check(write ? "nvme.write" : "nvme.read");
	if (error < 0)
		return finished(request, error);
	status = nvme_data_map(request, bytes, write ? STANDIN_DMA_READ : STANDIN_DMA_WRITE);
	if (status)
		return status;
	atomic_fetch_add_explicit(write ? &n->writes : &n->reads, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(write ? &n->bytes_written : &n->bytes_read, bytes,
				  memory_order_relaxed);
	return submit(request, write ? BACKEND_WRITE : BACKEND_READ, lba, blocks,
		      write && durable(request));
}

static int flush(struct nvme_request *request)
{
	int error = fault_check("nvme.flush");

	if (error < 0)
		return finished(request, error);
	return submit(request, BACKEND_FLUSH, 0, 0, false);
}

static int write_zeroes(struct nvme_request *request)
{
	const struct nvme_command *c = &request->command;
	uint32_t blocks = NVME_CDW12_NLB(c->cdw12);
	uint64_t lba = start_lba(c);
	int status, error;

	status = check_range(request, lba, blocks);
	if (!status)
		status = check_writable(request);
	if (status)
		return status;
	error = fault_check("nvme.write_zeroes");
	if (error < 0)
		return finished(request, error);
	return submit(request, c->cdw12 & NVME_CDW12_DEAC ? BACKEND_DISCARD : BACKEND_ZERO, lba,
		      blocks, durable(request));
}

static int compare(struct nvme_request *request)
{
	const struct nvme_command *c = &request->command;
	struct nvme *n = request->nvme;
	uint32_t blocks = NVME_CDW12_NLB(c->cdw12);
	uint64_t lba = start_lba(c), bytes = (uint64_t)blocks << n->block_shift;
	char ours[512], theirs[512];
	int status, error;

	status = check_transfer(request, lba, blocks);
	if (status)
		return status;
	error = fault_check("nvme.compare");
	if (error < 0)
		return finished(request, error);
	status = nvme_data_map(request, bytes, STANDIN_DMA_READ);
	for (uint64_t at = 0; at < bytes && !status; at += sizeof(ours)) {
		struct iovec iov = {.iov_base = ours, .iov_len = sizeof(ours)};
		struct backend_request io = {
			.op = BACKEND_READ,
			.offset = (lba << n->block_shift) + at,
			.size = sizeof(ours),
			.iov = &iov,
			.n_iov = 1,
		};

		error = backend_run(n->backend, &io);
		if (error == 0)
			error = nvme_data_copy_from(request, at, theirs, sizeof(theirs));
		if (error < 0)
			return finished(request, error);
		if (memcmp(ours, theirs, sizeof(ours)) != 0)
			return NVME_COMPARE_FAILURE | NVME_DNR;
	}
	return status;
}

/* One pass over the ranges: to check them, then to do them. */
static int deallocate(struct nvme_request *request, unsigned ranges, bool check)
{
	struct nvme *n = request->nvme;

	for (unsigned i = 0; i < ranges; i++) {
		struct nvme_dsm_range range;
		struct backend_request io;
		int status, error;

		error = nvme_data_copy_from(request, i * sizeof(range), &range, sizeof(range));
		if (error < 0)
			return finished(request, error);
		status = check_range(request, range.lba, range.blocks);
		if (status)
			return status;
		if (check)
			continue;
		io = (struct backend_request){
			.op = BACKEND_DISCARD,
			.offset = range.lba << n->block_shift,
			.size = (uint64_t)range.blocks << n->block_shift,
		};
		error = backend_run(n->backend, &io);
		if (error < 0)
			return finished(request, error);
	}
	return NVME_SUCCESS;
}

static int dataset_management(struct nvme_request *request)
{
	const struct nvme_command *c = &request->command;
	unsigned ranges = (c->cdw10 & 0xff) + 1;
	int status, error;

	if (!(c->cdw11 & NVME_DSM_DEALLOCATE))
		return NVME_SUCCESS; /* the rest are hints */
	status = check_writable(request);
	if (status)
		return status;
	error = fault_check("nvme.deallocate");
	if (error < 0)
		return finished(request, error);
	status = nvme_data_map(request, ranges * sizeof(struct nvme_dsm_range), STANDIN_DMA_READ);
	if (!status)
		status = deallocate(request, ranges, true);
	if (!status)
		status = deallocate(request, ranges, false);
	return status;
}

int nvme_io(struct nvme_request *request)
{
	const struct nvme_command *c = &request->command;

	if (NVME_FUSE(c->flags) || NVME_PSDT(c->flags) == 3)
		return nvme_bad_field(request, 1, NVME_INVALID_FIELD);
	if (c->nsid != 1 && !(c->opcode == NVME_FLUSH && c->nsid == NVME_NSID_ALL))
		return nvme_bad_field(request, 4, NVME_INVALID_NAMESPACE);
	switch (c->opcode) {
	case NVME_FLUSH:
		return flush(request);
	case NVME_WRITE:
		return read_write(request, true);
	case NVME_READ:
		return read_write(request, false);
	case NVME_COMPARE:
		return compare(request);
	case NVME_WRITE_ZEROES:
		return write_zeroes(request);
	case NVME_DATASET_MANAGEMENT:
		return dataset_management(request);
	}
	return nvme_bad_field(request, 0, NVME_INVALID_OPCODE);
}
