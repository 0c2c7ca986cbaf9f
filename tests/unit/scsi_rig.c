/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "scsi_rig.h"

void rig_nexus(struct rig *rig, uint64_t initiator, struct scsi_nexus **ret_nexus)
{
	struct scsi_nexus_config config = {.initiator = initiator};

	assert_int_equal(scsi_nexus_create(rig->target, &config, ret_nexus), 0);
}

void rig_start(struct rig *rig, unsigned block_size)
{
	struct scsi_target_config target = {.port = RIG_PORT};
	struct scsi_unit_config unit = {.backend.size = (uint64_t)RIG_BLOCKS * block_size,
					.block_size = block_size};
	char error[SCSI_ERROR_MAX];

	memset(rig, 0, sizeof(*rig));
	sem_init(&rig->done, 0, 0);
	rig->in = malloc(RIG_DATA);
	rig->out = malloc(RIG_DATA);
	assert_true(rig->in && rig->out);
	assert_int_equal(scsi_target_create(&target, &rig->target), 0);
	assert_int_equal(scsi_unit_add(rig->target, &unit, error), 0);
	scsi_target_start(rig->target);
	rig_nexus(rig, RIG_FIRST, &rig->nexus);
	rig_nexus(rig, RIG_OTHER, &rig->other);
	rig_execute(rig, rig->nexus, CDB(0, 0, 0, 0, 0, 0));
	assert_int_equal(rig_sense(rig), 0x062900);
	rig_execute(rig, rig->other, CDB(0, 0, 0, 0, 0, 0));
	assert_int_equal(rig_sense(rig), 0x062900);
}

void rig_stop(struct rig *rig)
{
	scsi_nexus_destroy(rig->nexus);
	scsi_nexus_destroy(rig->other);
	scsi_target_destroy(rig->target);
	free(rig->in);
	free(rig->out);
	sem_destroy(&rig->done);
}

static struct rig *waiting;

static void done(struct scsi_command *c)
{
	sem_post(&waiting->done);
}

uint8_t rig_execute_on(struct rig *rig, struct scsi_nexus *nexus, unsigned lun, const void *cdb,
		       size_t cdb_size)
{
	struct iovec in = {rig->in, rig->in_size}, out = {rig->out, rig->out_size};
	struct scsi_command *c = &rig->c;

	memset(c, 0xa5, sizeof(*c)); /* what the transport does not set may be anything */
	c->nexus = nexus;
	c->lun = lun;
	c->attribute = rig->attribute;
	memset(c->cdb, 0, sizeof(c->cdb));
	memcpy(c->cdb, cdb, cdb_size);
	c->cdb_size = SCSI_CDB_MAX;
	c->data_in = &in;
	c->data_out = &out;
	c->n_data_in = rig->in_size ? 1 : 0;
	c->n_data_out = rig->out_size ? 1 : 0;
	c->data_in_size = rig->in_size;
	c->data_out_size = rig->out_size;
	c->done = done;
	rig->in_size = rig->out_size = 0;
	waiting = rig;
	rig->queued = scsi_submit(c) == SCSI_QUEUED;
	if (rig->queued)
		sem_wait(&rig->done);
	assert_int_equal(c->result, SCSI_COMPLETE);
	if (c->status == SCSI_CHECK_CONDITION)
		assert_in_range(c->sense_size, 8, SCSI_SENSE_MAX);
	else
		assert_int_equal(c->sense_size, 0);
	return c->status;
}

uint8_t rig_execute(struct rig *rig, struct scsi_nexus *nexus, const void *cdb, size_t cdb_size)
{
	return rig_execute_on(rig, nexus, 0, cdb, cdb_size);
}

uint32_t rig_sense(const struct rig *rig)
{
	return scsi_sense_code(&rig->c);
}
