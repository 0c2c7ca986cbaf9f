/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sense data (SPC-4, 4.5) in the fixed and the descriptor format, and the ways in which
 * commands fail.
 */
#include <errno.h>

#include "scsi/scsi_private.h"

#define FIXED_SIZE 18u

/* Sense key specific: where the wrong field is (SPC-4 table 47). */
static void put_field(uint8_t *p, const struct scsi_sense_extra *extra)
{
	p[0] = 0x80 | (extra->in_cdb ? 0x40 : 0);
	if (extra->bit >= 0)
		p[0] |= (uint8_t)(0x08 | extra->bit);
	put16(p + 1, extra->byte);
}

static unsigned build_fixed(uint8_t *sense, uint32_t code, const struct scsi_sense_extra *extra)
{
	sense[0] = 0x70;
	sense[2] = (uint8_t)(code >> 16);
	sense[7] = FIXED_SIZE - 8;
	put16(sense + 12, (uint16_t)code);
	if (extra && extra->has_information && extra->information <= UINT32_MAX) {
		sense[0] |= 0x80;
		put32(sense + 3, (uint32_t)extra->information);
	}
	if (extra && extra->has_field)
		put_field(sense + 15, extra);
	return FIXED_SIZE;
}

static unsigned build_descriptor(uint8_t *sense, uint32_t code,
				 const struct scsi_sense_extra *extra)
{
	unsigned size = 8;

	sense[0] = 0x72;
	sense[1] = (uint8_t)(code >> 16);
	put16(sense + 2, (uint16_t)code);
	if (extra && extra->has_information) {
		sense[size + 1] = 0x0a;
		sense[size + 2] = 0x80;
		put64(sense + size + 4, extra->information);
		size += 12;
	}
	if (extra && extra->has_field) {
		sense[size] = 0x02;
		sense[size + 1] = 0x06;
		put_field(sense + size + 4, extra);
		size += 8;
	}
	sense[7] = (uint8_t)(size - 8);
	return size;
}

unsigned scsi_sense_build(uint8_t sense[SENSE_BYTES_MAX], uint32_t code, bool descriptor,
			  const struct scsi_sense_extra *extra)
{
	memset(sense, 0, SENSE_BYTES_MAX);
	return descriptor ? build_descriptor(sense, code, extra) : build_fixed(sense, code, extra);
}

uint32_t scsi_sense_code(const struct scsi_command *c)
{
	if (c->sense_size == 0)
		return 0;
	if (c->sense[0] & 2)
		return (uint32_t)c->sense[1] << 16 | get16(c->sense + 2);
	return (uint32_t)c->sense[2] << 16 | get16(c->sense + 12);
}

static int fail(struct scsi_command *c, uint32_t code, const struct scsi_sense_extra *extra)
{
	bool descriptor = c->unit && c->unit->descriptor_sense;

	c->status = SCSI_CHECK_CONDITION;
	c->sense_size = (uint8_t)scsi_sense_build(c->sense, code, descriptor, extra);
	c->transferred = 0;
	c->overflow = false;
	return SCSI_DONE;
}

int scsi_fail(struct scsi_command *c, uint32_t code)
{
	return fail(c, code, NULL);
}

int scsi_fail_information(struct scsi_command *c, uint32_t code, uint64_t information)
{
	return fail(
		c, code,
		&(struct scsi_sense_extra){.has_information = true, .information = information});
}

int scsi_fail_cdb(struct scsi_command *c, unsigned byte, int bit)
{
	return fail(c, SENSE_CDB,
		    &(struct scsi_sense_extra){.has_field = true,
					       .in_cdb = true,
					       .byte = (uint16_t)byte,
					       .bit = (int8_t)bit});
}

int scsi_fail_parameter(struct scsi_command *c, unsigned byte, int bit)
{
	return fail(c, SENSE_PARAMETER,
		    &(struct scsi_sense_extra){
			    .has_field = true, .byte = (uint16_t)byte, .bit = (int8_t)bit});
}

int scsi_fail_status(struct scsi_command *c, uint8_t status)
{
	c->status = status;
	c->sense_size = 0;
	c->transferred = 0;
	c->overflow = false;
	return SCSI_DONE;
}

int scsi_fail_memory(struct scsi_command *c)
{
	c->result = SCSI_BAD_MEMORY;
	return scsi_fail_status(c, SCSI_GOOD);
}

int scsi_fail_io(struct scsi_command *c, int error)
{
	switch (error) {
	case -EFAULT:
		return scsi_fail_memory(c);
	case -EROFS:
		return scsi_fail(c, SENSE_WRITE_PROTECTED);
	case -ENOSPC:
	case -EDQUOT:
	case -EFBIG:
		return scsi_fail(c, SENSE_NO_SPACE);
	case -ENOMEM:
		return scsi_fail_status(c, SCSI_BUSY);
	}
	return scsi_fail_information(
		c, c->io.op == BACKEND_READ ? SENSE_READ_ERROR : SENSE_WRITE_ERROR, c->lba);
}

uint32_t scsi_attention_code(enum scsi_attention attention)
{
	static const uint32_t codes[ATTENTIONS] = {
		[ATTENTION_POWER_ON] = 0x062900,
		[ATTENTION_RESET] = 0x062903, /* bus device reset function occurred */
		[ATTENTION_MODE_CHANGED] = 0x062a01,
		[ATTENTION_CAPACITY_CHANGED] = 0x062a09,
		[ATTENTION_RESERVATIONS_PREEMPTED] = 0x062a03,
		[ATTENTION_RESERVATIONS_RELEASED] = 0x062a04,
		[ATTENTION_REGISTRATIONS_PREEMPTED] = 0x062a05,
		[ATTENTION_MEDIUM_CHANGED] = 0x062800,
		[ATTENTION_LUNS_CHANGED] = 0x063f0e,
	};

	return codes[attention];
}

uint32_t scsi_attention_take(struct scsi_nexus *nexus, unsigned lun)
{
	uint32_t pending = atomic_load(&nexus->attention[lun]);

	while (pending) {
		enum scsi_attention first = (enum scsi_attention)__builtin_ctz(pending);

		if (atomic_compare_exchange_weak(&nexus->attention[lun], &pending,
						 pending & ~(1u << first)))
			return scsi_attention_code(first);
	}
	return 0;
}

const char *scsi_status_name(uint8_t status)
{
	switch (status) {
	case SCSI_GOOD:
		return "GOOD";
	case SCSI_CHECK_CONDITION:
		return "CHECK CONDITION";
	case SCSI_CONDITION_MET:
		return "CONDITION MET";
	case SCSI_BUSY:
		return "BUSY";
	case SCSI_RESERVATION_CONFLICT:
		return "RESERVATION CONFLICT";
	case SCSI_TASK_SET_FULL:
		return "TASK SET FULL";
	case SCSI_TASK_ABORTED:
		return "TASK ABORTED";
	}
	return "?";
}
