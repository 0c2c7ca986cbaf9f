/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Vital product data pages (SPC-4, 7.8; SBC-3, 6.5): one function fills in a page, and the
 * list of them is page 00.
 */
#include <stdio.h>

#include "scsi/limits.h"
#include "scsi/scsi_private.h"

#define PAGE_MAX 256u

#define PROTOCOL_SAS 6u

/* ---- the pages: each fills in what follows the header and returns its size ---- */

static size_t serial_number(const struct scsi_unit *unit, uint8_t *data)
{
	size_t size = strlen(unit->serial);

	memcpy(data, unit->serial, size);
	return size;
}

/* A designation descriptor's header; its size. */
static size_t put_designator(uint8_t *data, unsigned code_set, unsigned association, unsigned type,
			     size_t size)
{
	data[0] = (uint8_t)((association ? PROTOCOL_SAS << 4 : 0) | code_set);
	data[1] = (uint8_t)((association ? 0x80 : 0) | association << 4 | type);
	data[3] = (uint8_t)size;
	return 4;
}

static size_t identification(const struct scsi_unit *unit, uint8_t *data)
{
	const struct scsi_target_config *target = &unit->target->config;
	uint8_t *at = data;
	char text[64];
	int length;

	/* Of the unit: its name, and a NAA number made of it. */
	length = snprintf(text, sizeof(text), "%-8s%-16s%s", unit->vendor, unit->product,
			  unit->serial);
	at += put_designator(at, 2, 0, 1, (size_t)length);
	memcpy(at, text, (size_t)length);
	at += length;
	at += put_designator(at, 1, 0, 3, 8);
	put64(at, unit->name);
	at += 8;
	/* Of the target port: its name, its number, its group's number. */
	if (target->port) {
		at += put_designator(at, 1, 1, 3, 8);
		put64(at, target->port);
		at += 8;
	}
	at += put_designator(at, 1, 1, 4, 4);
	put32(at, target->relative_port);
	at += 4;
	at += put_designator(at, 1, 1, 5, 4);
	put32(at, target->port_group);
	at += 4;
	return (size_t)(at - data);
}

static size_t extended_inquiry(const struct scsi_unit *unit, uint8_t *data)
{
	data[1] = 0x07; /* HEADSUP, ORDSUP, SIMPSUP */
	data[2] = 0x01; /* V_SUP: there is a write cache */
	data[3] = 0x01; /* LUICLR: a unit attention is cleared for its nexus alone */
	return 60;
}

static size_t block_limits(const struct scsi_unit *unit, uint8_t *data)
{
	uint32_t page = 4096u >> unit->block_shift;

	data[1] = LIMIT_COMPARE_BLOCKS;
	put16(data + 2, (uint16_t)page); /* optimal transfer length granularity */
	if (!unit->read_only) {
		put32(data + 16, LIMIT_UNMAP_BLOCKS);
		put32(data + 20, LIMIT_UNMAP_DESCRIPTORS);
		put32(data + 24, page);       /* optimal unmap granularity */
		put32(data + 28, 0x80000000); /* alignment 0 is valid */
		put64(data + 32, LIMIT_SAME_BLOCKS);
	}
	return 60;
}

static size_t characteristics(const struct scsi_unit *unit, uint8_t *data)
{
	put16(data, unit->rotational ? 7200 : 1);
	return 60;
}

static size_t provisioning(const struct scsi_unit *unit, uint8_t *data)
{
	/* LBPU, LBPWS, LBPWS10; LBPRZ: unmapped blocks read as zeros */
	data[1] = unit->read_only ? 0x04 : 0xe4;
	data[2] = 0x02; /* thin */
	return 4;
}

static size_t supported_pages(const struct scsi_unit *unit, uint8_t *data);

static const struct {
	uint8_t code;
	size_t (*fill)(const struct scsi_unit *unit, uint8_t *data);
} pages[] = {
	{0x00, supported_pages},  {0x80, serial_number}, {0x83, identification},
	{0x86, extended_inquiry}, {0xb0, block_limits},  {0xb1, characteristics},
	{0xb2, provisioning},
};

#define PAGES (sizeof(pages) / sizeof(pages[0]))

static size_t supported_pages(const struct scsi_unit *unit, uint8_t *data)
{
	for (unsigned i = 0; i < PAGES; i++)
		data[i] = pages[i].code;
	return PAGES;
}

int scsi_vital_product_data(struct scsi_command *c)
{
	uint8_t data[PAGE_MAX] = {0};
	size_t size;

	for (unsigned i = 0; i < PAGES; i++)
		if (pages[i].code == c->cdb[2]) {
			size = pages[i].fill(c->unit, data + 4);
			data[1] = c->cdb[2];
			put16(data + 2, (uint16_t)size);
			return scsi_reply(c, data, 4 + size, get16(c->cdb + 3));
		}
	return scsi_fail_cdb(c, 2, -1);
}
