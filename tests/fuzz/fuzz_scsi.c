/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SCSI commands as the input says, from two initiators on three units, with data buffers of
 * any size: CDBs and parameter lists are taken from the input as they are, or a known
 * operation code is put in front.  Each command must be answered once, must not touch what
 * is outside of its buffers, must have a residual that fits, and sense data that can be read.
 */
#include <semaphore.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/log.h"
#include "core/user.h"
#include "fuzz.h"
#include "scsi/scsi.h"

#define SIZE_MAX_DATA 16384u

static struct scsi_target *target;
static struct scsi_nexus *nexus[2];
static uint8_t codes[64][2]; /* operation codes and service actions there are */
static unsigned n_codes, answers;

static size_t copy(void *to, const void *from, size_t size)
{
	memcpy(to, from, size);
	return 0;
}

static void done(struct scsi_command *c)
{
	answers++;
}

static void check_answer(const struct scsi_command *c)
{
	uint32_t code = scsi_sense_code(c);

	CHECK(answers == 1);
	CHECK(c->result == SCSI_COMPLETE);
	CHECK(c->sense_size <= SCSI_SENSE_MAX);
	CHECK((c->status == SCSI_CHECK_CONDITION) == (c->sense_size > 0));
	CHECK((c->status == SCSI_CHECK_CONDITION) == (code != 0));
	CHECK(c->sense_size == 0 || c->sense_size == c->sense[7] + 8u);
	CHECK(scsi_status_name(c->status)[0] != '?');
	if (!c->overflow)
		CHECK(c->residual <= c->data_in_size + c->data_out_size);
}

/* Memory units alone: every command is answered before it returns. */
static void execute(struct scsi_command *c)
{
	answers = 0;
	if (scsi_submit(c) == SCSI_DONE)
		answers++;
	check_answer(c);
}

static void add_unit(unsigned lun, uint64_t size, unsigned block_size)
{
	struct scsi_unit_config config = {
		.lun = lun, .backend.size = size, .block_size = block_size, .removable = lun == 2};
	char error[SCSI_ERROR_MAX];

	CHECK(scsi_unit_add(target, &config, error) == 0);
}

static void start(void)
{
	CHECK(scsi_target_create(&(struct scsi_target_config){.port = 1}, &target) == 0);
	add_unit(0, 64 << 10, 512);
	add_unit(1, 256 << 10, 4096);
	add_unit(2, 64 << 10, 512);
	for (unsigned i = 0; i < 2; i++)
		CHECK(scsi_nexus_create(target, &(struct scsi_nexus_config){.initiator = i + 1},
					&nexus[i]) == 0);
}

static void stop(void)
{
	for (unsigned i = 0; i < 2; i++)
		scsi_nexus_destroy(nexus[i]);
	scsi_target_destroy(target);
}

static void find_codes(void)
{
	for (unsigned code = 0; code < 256; code++)
		for (unsigned action = 0; action < 32; action++) {
			uint8_t cdb[SCSI_CDB_MAX] = {(uint8_t)code, (uint8_t)action};
			const char *name = scsi_command_name(cdb);

			cdb[1] = (uint8_t)(action ^ 31);
			if (!name || (action && name == scsi_command_name(cdb)))
				continue;
			CHECK(n_codes < 64);
			codes[n_codes][0] = (uint8_t)code;
			codes[n_codes++][1] = (uint8_t)action;
		}
}

/* A buffer of exactly that size, so that ASan sees what is beyond; cut in two. */
static uint8_t *take_buffer(struct input *in, size_t size, struct iovec iov[2], unsigned *ret_n)
{
	uint8_t *buffer = malloc(size ? size : 1);
	size_t cut = size ? take16(in) % size : 0;

	CHECK(buffer);
	iov[0] = (struct iovec){buffer, cut};
	iov[1] = (struct iovec){buffer + cut, size - cut};
	*ret_n = size ? 2 : 0;
	return buffer;
}

static size_t take_size(struct input *in)
{
	uint8_t how = take8(in);

	if (how < 64)
		return how * 8u;
	if (how < 128)
		return (how - 64u) % 16 * 512;
	if (how < 160)
		return (how - 128u) % 4 * 4096;
	return how < 200 ? 0 : take16(in) % SIZE_MAX_DATA;
}

static void command(struct input *in)
{
	struct iovec data_in[2], data_out[2];
	struct scsi_command c = {.done = done, .data_in = data_in, .data_out = data_out};
	uint8_t how = take8(in), *out, *result;

	c.nexus = nexus[how & 1];
	c.lun = how >> 1 & 3;
	c.attribute = how & 8 ? SCSI_ORDERED : SCSI_SIMPLE;
	c.cdb_size = SCSI_CDB_MAX;
	take(in, c.cdb, 16);
	if (how & 16) {
		unsigned i = c.cdb[0] % n_codes;

		c.cdb[0] = codes[i][0];
		if (codes[i][1])
			c.cdb[1] = (uint8_t)((c.cdb[1] & 0xe0) | codes[i][1]);
	}
	if (how & 32) { /* a place that exists, no flags */
		c.cdb[1] &= 0x1f;
		memset(c.cdb + 2, 0, 3);
	}
	c.data_out_size = how & 64 ? take_size(in) : 0;
	c.data_in_size = how & 64 ? 0 : take_size(in);
	out = take_buffer(in, c.data_out_size, data_out, &c.n_data_out);
	take(in, out, c.data_out_size < 64 ? c.data_out_size : 64);
	if (c.data_out_size > 64)
		memset(out + 64, how, c.data_out_size - 64);
	result = take_buffer(in, c.data_in_size, data_in, &c.n_data_in);
	execute(&c);
	free(out);
	free(result);
}

static void reset(uint8_t how)
{
	struct scsi_command c = {.nexus = nexus[how & 1], .lun = how >> 1 & 3, .done = done};

	answers = 0;
	if (scsi_reset_unit(&c) == SCSI_DONE)
		answers++;
	CHECK(answers == 1 && c.result == SCSI_COMPLETE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	log_level = LOG_ERROR;
	user_set_guarded_copy(copy);
	if (!n_codes)
		find_codes();
	start();
	for (unsigned steps = 0; in.left && steps < 200; steps++) {
		uint8_t op = take8(&in);

		if (op < 240)
			command(&in);
		else if (op < 245)
			reset(op);
		else if (op < 250 && scsi_unit_remove(target, 2) == 0)
			continue;
		else if (!scsi_unit_exists(target, 2))
			add_unit(2, 32 << 10, 512);
	}
	stop();
	return 0;
}
