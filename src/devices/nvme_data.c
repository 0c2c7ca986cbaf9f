/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Data pointers: from PRPs (4.3) or SGLs (4.4) to pinned ranges and vectors.
 *
 * Neighbouring pages are joined before they are translated, and neighbouring vectors
 * after it, so that a buffer that is contiguous for the driver costs one translation and
 * one vector whatever its size.
 */
#include "devices/nvme.h"

#include <errno.h>
#include <string.h>

#define READ_AT_ONCE        64u /* PRP entries or SGL descriptors, on the stack */
#define SGL_DESCRIPTORS_MAX 4096u

struct mapper {
	struct nvme_request *request;
	enum standin_dma direction;
	uint64_t iova, size; /* the run that is not mapped yet */
};

/* Makes one vector of the first of the new ones and the one before, if it continues that. */
static void join_vectors(struct nvme_request *request, unsigned first_new)
{
	struct iovec *v = &request->iov[first_new];

	if (first_new == 0 || request->n_iov == first_new ||
	    (char *)v[-1].iov_base + v[-1].iov_len != v->iov_base)
		return;
	v[-1].iov_len += v->iov_len;
	request->n_iov--;
	memmove(v, v + 1, (request->n_iov - first_new) * sizeof(*v));
}

static int map_run(struct mapper *m)
{
	struct nvme_request *request = m->request;
	struct nvme *n = request->nvme;
	unsigned first_new = request->n_iov;
	int error;

	if (m->size == 0)
		return NVME_SUCCESS;
	if (request->n_ranges == n->max_iov)
		return NVME_INVALID_SGL_COUNT | NVME_DNR;
	if (m->iova + (m->size - 1) < m->iova)
		return NVME_DATA_TRANSFER_ERROR;
	error = standin_dma_map(n->dev, m->iova, m->size, m->direction, request->iov, n->max_iov,
				&request->n_iov);
	if (error == -E2BIG)
		return NVME_INVALID_SGL_COUNT | NVME_DNR;
	if (error < 0)
		return NVME_DATA_TRANSFER_ERROR;
	request->ranges[request->n_ranges++] = (struct nvme_range){m->iova, m->size};
	join_vectors(request, first_new);
	return NVME_SUCCESS;
}

static int add(struct mapper *m, uint64_t iova, uint64_t size)
{
	int status;

	if (m->size && m->iova + m->size == iova) {
		m->size += size;
		return NVME_SUCCESS;
	}
	status = map_run(m);
	m->iova = iova;
	m->size = size;
	return status;
}

static int bad_offset(struct nvme_request *request, unsigned byte)
{
	return nvme_bad_field(request, byte, NVME_PRP_OFFSET_INVALID);
}

static int map_prp_list(struct mapper *m, uint64_t list, uint64_t left)
{
	struct nvme *n = m->request->nvme;
	uint64_t page = (uint64_t)1 << n->page_shift;
	uint64_t entries[READ_AT_ONCE];

	if (list % 8)
		return bad_offset(m->request, 32);
	while (left) {
		uint64_t here = (page - list % page) / 8; /* entries up to the end of this page */
		uint64_t wanted = (left + page - 1) >> n->page_shift;
		bool chained = wanted > here;

		if (chained)
			wanted = here; /* the last of which leads to the next page of the list */
		while (wanted) {
			uint64_t count = wanted < READ_AT_ONCE ? wanted : READ_AT_ONCE;

			if (standin_dma_read(n->dev, list, entries, count * 8) < 0)
				return NVME_DATA_TRANSFER_ERROR;
			list += count * 8;
			wanted -= count;
			for (uint64_t i = 0; i < count; i++) {
				uint64_t size = left < page ? left : page;
				int status;

				if (entries[i] % page)
					return bad_offset(m->request, 32);
				if (chained && wanted == 0 && i + 1 == count) {
					list = entries[i];
					break;
				}
				status = add(m, entries[i], size);
				if (status)
					return status;
				left -= size;
			}
		}
	}
	return NVME_SUCCESS;
}

static int map_prps(struct mapper *m, uint64_t size)
{
	const struct nvme_command *c = &m->request->command;
	uint64_t page = (uint64_t)1 << m->request->nvme->page_shift;
	uint64_t first = page - c->prp1 % page;
	int status;

	if (c->prp1 % 4)
		return bad_offset(m->request, 24);
	if (first > size)
		first = size;
	status = add(m, c->prp1, first);
	size -= first;
	if (status || size == 0)
		return status;
	if (size > page)
		return map_prp_list(m, c->prp2, size);
	if (c->prp2 % page)
		return bad_offset(m->request, 32);
	return add(m, c->prp2, size);
}

static int bad_sgl(struct nvme_request *request, int status)
{
	return nvme_bad_field(request, 24, status);
}

static int map_sgl(struct mapper *m, uint64_t left)
{
	struct nvme_request *request = m->request;
	struct nvme *n = request->nvme;
	struct nvme_sgl descriptors[READ_AT_ONCE], d;
	uint64_t segment = 0, segment_left = 0; /* of the list, in bytes */
	unsigned count = 1, next = 0, total = 0;
	bool last = false;
	int status;

	memcpy(&descriptors[0], request->command.sgl, sizeof(d));
	for (;;) {
		if (next == count) {
			if (segment_left == 0)
				break;
			count = segment_left / sizeof(d) < READ_AT_ONCE
					? (unsigned)(segment_left / sizeof(d))
					: READ_AT_ONCE;
			if (standin_dma_read(n->dev, segment, descriptors, count * sizeof(d)) < 0)
				return NVME_DATA_TRANSFER_ERROR;
			segment += count * sizeof(d);
			segment_left -= count * sizeof(d);
			next = 0;
		}
		if (++total > SGL_DESCRIPTORS_MAX)
			return bad_sgl(request, NVME_INVALID_SGL_COUNT);
		d = descriptors[next++];
		switch (d.type) {
		case NVME_SGL_DATA_BLOCK:
			if (d.length > left)
				d.length = (uint32_t)left;
			if (d.length == 0)
				break;
			status = add(m, d.address, d.length);
			if (status)
				return status;
			left -= d.length;
			break;
		case NVME_SGL_SEGMENT:
		case NVME_SGL_LAST_SEGMENT:
			/* Only as the last of its segment, and none after the last segment. */
			if (last || next != count || segment_left || d.length == 0 ||
			    d.length % sizeof(d))
				return bad_sgl(request, NVME_INVALID_SGL_SEGMENT);
			last = d.type == NVME_SGL_LAST_SEGMENT;
			segment = d.address;
			segment_left = d.length;
			break;
		default:
			return bad_sgl(request, NVME_SGL_TYPE_INVALID);
		}
	}
	return left ? bad_sgl(request, NVME_SGL_LENGTH_INVALID) : NVME_SUCCESS;
}

int nvme_data_map(struct nvme_request *request, uint64_t size, enum standin_dma direction)
{
	struct mapper m = {.request = request, .direction = direction};
	int status;

	if (NVME_PSDT(request->command.flags))
		status = map_sgl(&m, size);
	else
		status = map_prps(&m, size);
	return status ? status : map_run(&m);
}

void nvme_data_unmap(struct nvme_request *request)
{
	for (unsigned i = 0; i < request->n_ranges; i++)
		standin_dma_unmap(request->nvme->dev, request->ranges[i].iova,
				  request->ranges[i].size);
	request->n_ranges = 0;
}

int nvme_data_copy_from(struct nvme_request *request, uint64_t offset, void *buffer, size_t size)
{
	const struct iovec *v = request->iov;

	for (unsigned i = 0; i < request->n_iov && size; i++, v++) {
		size_t piece;

		if (offset >= v->iov_len) {
			offset -= v->iov_len;
			continue;
		}
		piece = v->iov_len - offset < size ? v->iov_len - offset : size;
		if (standin_copy_from(buffer, (char *)v->iov_base + offset, piece) < 0)
			return -EFAULT;
		buffer = (char *)buffer + piece;
		size -= piece;
		offset = 0;
	}
	return size ? -EFAULT : 0;
}

int nvme_data_write(struct nvme_request *request, const void *buffer, uint64_t size)
{
	int status = nvme_data_map(request, size, STANDIN_DMA_WRITE);

	for (unsigned i = 0; i < request->n_iov && !status; i++) {
		if (standin_copy_to(request->iov[i].iov_base, buffer, request->iov[i].iov_len) < 0)
			status = NVME_DATA_TRANSFER_ERROR;
		buffer = (const char *)buffer + request->iov[i].iov_len;
	}
	return status;
}
