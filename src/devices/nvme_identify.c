/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Identify (5.15): the controller, its one namespace, and lists of namespaces.
 *
 * The namespace's identifiers are derived from the serial number, so that two drives
 * differ and one drive stays the same.
 */
#include "devices/nvme.h"

#include <stdio.h>
#include <string.h>

#define NGUID_TYPE 2
#define EUI64_TYPE 1
#define UUID_TYPE  3

/* Text fields are filled up with spaces. */
static void text(char *field, size_t size, const char *value)
{
	size_t length = strlen(value);

	memset(field, ' ', size);
	memcpy(field, value, length < size ? length : size);
}

/* FNV-1a. */
static uint64_t hash(const char *s, uint64_t seed)
{
	uint64_t h = 0xcbf29ce484222325u ^ seed;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3u;
	return h;
}

/* With the locally administered prefix 52:54:00, as QEMU's. */
static void make_eui64(const struct nvme *n, uint8_t id[8])
{
	uint64_t h = hash(n->serial, 0);

	memcpy(id, (const uint8_t[]){0x52, 0x54, 0x00}, 3);
	memcpy(id + 3, &h, 5);
}

static void make_nguid(const struct nvme *n, uint8_t id[16])
{
	uint64_t h = hash(n->serial, 1);

	memcpy(id, &h, 8);
	make_eui64(n, id + 8);
}

/* Version 4, variant 1. */
static void make_uuid(const struct nvme *n, uint8_t id[16])
{
	uint64_t high = hash(n->serial, 2), low = hash(n->serial, 3);

	memcpy(id, &high, 8);
	memcpy(id + 8, &low, 8);
	id[6] = (id[6] & 0x0f) | 0x40;
	id[8] = (id[8] & 0x3f) | 0x80;
}

static void identify_controller(struct nvme *n)
{
	struct nvme_identify_controller *id = (void *)n->page;

	id->vid = 0x1b36;
	id->ssvid = 0x1af4;
	text(id->sn, sizeof(id->sn), n->serial);
	text(id->mn, sizeof(id->mn), "standin NVMe controller");
	text(id->fr, sizeof(id->fr), "1.0");
	id->rab = 6;
	id->ieee[1] = 0x54;
	id->ieee[2] = 0x52;
	id->mdts = (uint8_t)n->mdts;
	id->ver = NVME_VERSION;
	id->cntrltype = 1; /* I/O controller */
	id->acl = 3;
	id->aerl = NVME_AERS - 1;
	id->frmw = 1 << 1 | 1;     /* one slot, read-only */
	id->lpa = 1 << 2 | 1 << 1; /* extended offsets and lengths; effects log */
	id->elpe = NVME_ERRORS - 1;
	id->wctemp = 343;
	id->cctemp = 373;
	id->tnvmcap[0] = n->blocks << n->block_shift;
	id->sqes = NVME_SQE_SHIFT << 4 | NVME_SQE_SHIFT;
	id->cqes = NVME_CQE_SHIFT << 4 | NVME_CQE_SHIFT;
	id->nn = 1;
	/* Compare, Dataset Management, Write Zeroes, Select in Get Features. */
	id->oncs = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 4;
	id->vwc = 3 << 1 | 1;    /* there is one; Flush takes the broadcast identifier */
	id->sgls = 1u << 18 | 1; /* any alignment; may be longer than the data */
	snprintf(id->subnqn, sizeof(id->subnqn), "nqn.2014-08.org.nvmexpress:standin:%s",
		 n->serial);
	id->psd[0].max_power = 2500;
	id->psd[0].entry_latency = 16;
	id->psd[0].exit_latency = 4;
}

static void identify_namespace(struct nvme *n)
{
	struct nvme_identify_namespace *id = (void *)n->page;

	id->nsze = id->ncap = id->nuse = n->blocks;
	id->dlfeat = 1 << 3 | 1; /* deallocated blocks read as zeros; Write Zeroes may deallocate */
	id->nvmcap[0] = n->blocks << n->block_shift;
	id->nsattr = backend_read_only(n->backend);
	make_nguid(n, id->nguid);
	make_eui64(n, id->eui64);
	id->lbaf[0].lbads = (uint8_t)n->block_shift;
}

static void identify_descriptors(struct nvme *n)
{
	uint8_t *p = n->page;

	p[0] = EUI64_TYPE;
	p[1] = 8;
	make_eui64(n, p + 4);
	p += 4 + 8;
	p[0] = NGUID_TYPE;
	p[1] = 16;
	make_nguid(n, p + 4);
	p += 4 + 16;
	p[0] = UUID_TYPE;
	p[1] = 16;
	make_uuid(n, p + 4);
}

int nvme_identify(struct nvme_request *request)
{
	const struct nvme_command *c = &request->command;
	struct nvme *n = request->nvme;

	memset(n->page, 0, sizeof(n->page));
	switch (c->cdw10 & 0xff) {
	case NVME_CNS_NAMESPACE:
	case NVME_CNS_ALLOCATED_NAMESPACE:
		if (c->nsid != 1)
			return nvme_bad_field(request, 4, NVME_INVALID_NAMESPACE);
		identify_namespace(n);
		break;
	case NVME_CNS_CONTROLLER:
		identify_controller(n);
		break;
	case NVME_CNS_ACTIVE_LIST:
	case NVME_CNS_ALLOCATED_LIST:
		if (c->nsid >= NVME_NSID_ALL - 1)
			return nvme_bad_field(request, 4, NVME_INVALID_NAMESPACE);
		if (c->nsid == 0)
			n->page[0] = 1;
		break;
	case NVME_CNS_DESCRIPTORS:
		if (c->nsid != 1)
			return nvme_bad_field(request, 4, NVME_INVALID_NAMESPACE);
		identify_descriptors(n);
		break;
	default:
		return nvme_bad_field(request, 40, NVME_INVALID_FIELD);
	}
	return nvme_data_write(request, n->page, sizeof(n->page));
}
