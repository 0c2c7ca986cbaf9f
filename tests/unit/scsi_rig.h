/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A SCSI initiator for the unit tests: a target with memory units, nexuses, and commands that
 * are waited for.
 */
#ifndef STANDIN_TESTS_SCSI_RIG_H
#define STANDIN_TESTS_SCSI_RIG_H

#include <semaphore.h>

#include "scsi/scsi.h"

#define RIG_BLOCKS 2048u /* of the units that rig_start() makes */
#define RIG_DATA   (2u << 20)

struct rig {
	struct scsi_target *target;
	struct scsi_nexus *nexus, *other; /* of two initiators */
	uint8_t *in, *out;                /* RIG_DATA bytes each */
	uint64_t in_size, out_size;       /* of the next command */
	enum scsi_attribute attribute;
	bool queued; /* the last command did not complete at once */
	struct scsi_command c;
	sem_t done;
};

#define RIG_PORT  UINT64_C(0x5001405000000001)
#define RIG_FIRST UINT64_C(0x5001405000000010)
#define RIG_OTHER UINT64_C(0x5001405000000020)

/* Unit 0 with blocks of that size; its unit attentions are taken. */
void rig_start(struct rig *rig, unsigned block_size);
void rig_stop(struct rig *rig);
void rig_nexus(struct rig *rig, uint64_t initiator, struct scsi_nexus **ret_nexus);

/*
 * Executes a command on LUN 0 of `nexus`, waits, and gives the status.  in_size and out_size
 * are what the data pointers' sizes are; they are 0 afterwards.
 */
uint8_t rig_execute(struct rig *rig, struct scsi_nexus *nexus, const void *cdb, size_t cdb_size);
uint8_t rig_execute_on(struct rig *rig, struct scsi_nexus *nexus, unsigned lun, const void *cdb,
		       size_t cdb_size);
/* The code of the last command's sense data. */
uint32_t rig_sense(const struct rig *rig);

#define CDB(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

/* On rig's first nexus: a status, GOOD, or a sense code. */
#define expect_status(rig, want, ...) \
	assert_int_equal(rig_execute(rig, (rig)->nexus, CDB(__VA_ARGS__)), want)
#define expect_good(rig, ...) expect_status(rig, SCSI_GOOD, __VA_ARGS__)
#define expect_sense(rig, code, ...)                                   \
	do {                                                           \
		expect_status(rig, SCSI_CHECK_CONDITION, __VA_ARGS__); \
		assert_int_equal(rig_sense(rig), code);                \
	} while (0)

#endif
