/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of commands, which everything else follows from: the checks before a handler
 * runs, REPORT SUPPORTED OPERATION CODES, the names in traces.
 */
#include "scsi/scsi_private.h"

#define ROW(code_, action_, name_, size_, direction_, access_, flags_, timeout_, run_, ...) \
	{                                                                                   \
		.code = code_, .action = action_, .size = size_, .flags = flags_,           \
		.access = access_, .direction = DATA_##direction_, .timeout = timeout_,     \
		.name = name_, .run = run_, .usage = {code_, __VA_ARGS__},                  \
	}

/* Sorted by code and action. */
/* clang-format off */
static const struct scsi_opcode table[] = {
	ROW(0x00, 0, "TEST UNIT READY", 6, NONE, ACCESS_FREE, OP_MEDIUM, 10,
	    scsi_test_unit_ready, 0, 0, 0, 0, 0),
	ROW(0x03, 0, "REQUEST SENSE", 6, IN, ACCESS_FREE, OP_ATTENTIVE | OP_LEGACY, 10,
	    scsi_request_sense, 0x01, 0, 0, 0xff, 0),
	ROW(0x08, 0, "READ(6)", 6, IN, ACCESS_READS, OP_MEDIUM, 30,
	    scsi_read_6, 0x1f, 0xff, 0xff, 0xff, 0),
	ROW(0x0a, 0, "WRITE(6)", 6, OUT, ACCESS_WRITES, OP_MEDIUM | OP_WRITES, 30,
	    scsi_write_6, 0x1f, 0xff, 0xff, 0xff, 0),
	ROW(0x12, 0, "INQUIRY", 6, IN, ACCESS_FREE, OP_ATTENTIVE | OP_LEGACY, 10,
	    scsi_inquiry, 0x01, 0xff, 0xff, 0xff, 0),
	ROW(0x15, 0, "MODE SELECT(6)", 6, OUT, ACCESS_WRITES, OP_ALONE, 60,
	    scsi_mode_select, 0x10, 0, 0, 0xff, 0),
	ROW(0x16, 0, "RESERVE(6)", 6, NONE, ACCESS_WRITES, OP_ALONE, 10,
	    scsi_reserve_6, 0, 0, 0, 0, 0),
	ROW(0x17, 0, "RELEASE(6)", 6, NONE, ACCESS_WRITES, OP_ALONE | OP_LEGACY, 10,
	    scsi_release_6, 0, 0, 0, 0, 0),
	ROW(0x1a, 0, "MODE SENSE(6)", 6, IN, ACCESS_WRITES, 0, 10,
	    scsi_mode_sense, 0x08, 0xff, 0xff, 0xff, 0),
	ROW(0x1b, 0, "START STOP UNIT", 6, NONE, ACCESS_START, OP_ALONE, 60,
	    scsi_start_stop, 0x01, 0, 0x0f, 0xf7, 0),
	ROW(0x1e, 0, "PREVENT ALLOW MEDIUM REMOVAL", 6, NONE, ACCESS_ALLOW, 0, 10,
	    scsi_prevent_removal, 0, 0, 0, 0x03, 0),
	ROW(0x25, 0, "READ CAPACITY(10)", 10, IN, ACCESS_FREE, OP_MEDIUM | OP_LEGACY, 10,
	    scsi_read_capacity_10, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0),
	ROW(0x28, 0, "READ(10)", 10, IN, ACCESS_READS, OP_MEDIUM, 30,
	    scsi_read, 0x18, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0),
	ROW(0x2a, 0, "WRITE(10)", 10, OUT, ACCESS_WRITES, OP_MEDIUM | OP_WRITES, 30,
	    scsi_write, 0x18, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0),
	ROW(0x2e, 0, "WRITE AND VERIFY(10)", 10, OUT, ACCESS_WRITES, OP_MEDIUM | OP_WRITES, 60,
	    scsi_write_and_verify, 0x16, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0),
	ROW(0x2f, 0, "VERIFY(10)", 10, OUT, ACCESS_READS, OP_MEDIUM, 60,
	    scsi_verify, 0x16, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0),
	ROW(0x35, 0, "SYNCHRONIZE CACHE(10)", 10, NONE, ACCESS_WRITES, OP_MEDIUM, 60,
	    scsi_synchronize_cache, 0x06, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0),
	ROW(0x41, 0, "WRITE SAME(10)", 10, OUT, ACCESS_WRITES, OP_MEDIUM | OP_WRITES, 60,
	    scsi_write_same, 0x08, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0),
	ROW(0x42, 0, "UNMAP", 10, OUT, ACCESS_WRITES, OP_MEDIUM | OP_WRITES, 60,
	    scsi_unmap, 0, 0, 0, 0, 0, 0x1f, 0xff, 0xff, 0),
	ROW(0x55, 0, "MODE SELECT(10)", 10, OUT, ACCESS_WRITES, OP_ALONE, 60,
	    scsi_mode_select, 0x10, 0, 0, 0, 0, 0, 0xff, 0xff, 0),
	ROW(0x5a, 0, "MODE SENSE(10)", 10, IN, ACCESS_WRITES, 0, 10,
	    scsi_mode_sense, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0),
	ROW(0x5e, 0x00, "PERSISTENT RESERVE IN: READ KEYS", 10, IN, ACCESS_FREE, OP_ACTION, 10,
	    scsi_persistent_read_keys, 0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 0),
	ROW(0x5e, 0x01, "PERSISTENT RESERVE IN: READ RESERVATION", 10, IN, ACCESS_FREE, OP_ACTION, 10,
	    scsi_persistent_read_reservation, 0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 0),
	ROW(0x5e, 0x02, "PERSISTENT RESERVE IN: REPORT CAPABILITIES", 10, IN, ACCESS_FREE, OP_ACTION, 10,
	    scsi_persistent_report_capabilities, 0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 0),
	ROW(0x5e, 0x03, "PERSISTENT RESERVE IN: READ FULL STATUS", 10, IN, ACCESS_FREE, OP_ACTION, 10,
	    scsi_persistent_read_full_status, 0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 0),
	ROW(0x5f, 0x00, "PERSISTENT RESERVE OUT: REGISTER", 10, OUT, ACCESS_FREE,
	    OP_ACTION | OP_ALONE, 10,
	    scsi_persistent_register, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0),
	ROW(0x5f, 0x01, "PERSISTENT RESERVE OUT: RESERVE", 10, OUT, ACCESS_FREE,
	    OP_ACTION | OP_ALONE, 10,
	    scsi_persistent_reserve, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0),
	ROW(0x5f, 0x02, "PERSISTENT RESERVE OUT: RELEASE", 10, OUT, ACCESS_FREE,
	    OP_ACTION | OP_ALONE, 10,
	    scsi_persistent_release, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0),
	ROW(0x5f, 0x03, "PERSISTENT RESERVE OUT: CLEAR", 10, OUT, ACCESS_FREE,
	    OP_ACTION | OP_ALONE, 10,
	    scsi_persistent_clear, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0),
	ROW(0x5f, 0x04, "PERSISTENT RESERVE OUT: PREEMPT", 10, OUT, ACCESS_FREE,
	    OP_ACTION | OP_ALONE, 10,
	    scsi_persistent_preempt, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0),
	ROW(0x5f, 0x05, "PERSISTENT RESERVE OUT: PREEMPT AND ABORT", 10, OUT, ACCESS_FREE,
	    OP_ACTION | OP_ALONE, 10,
	    scsi_persistent_preempt_abort, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0),
	ROW(0x5f, 0x06, "PERSISTENT RESERVE OUT: REGISTER AND IGNORE EXISTING KEY", 10, OUT, ACCESS_FREE,
	    OP_ACTION | OP_ALONE, 10,
	    scsi_persistent_register_ignore, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0),
	ROW(0x88, 0, "READ(16)", 16, IN, ACCESS_READS, OP_MEDIUM, 30,
	    scsi_read, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	    0xff, 0x1f, 0),
	ROW(0x89, 0, "COMPARE AND WRITE", 16, OUT, ACCESS_WRITES,
	    OP_ALONE | OP_MEDIUM | OP_WRITES, 30,
	    scsi_compare_and_write, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0xff, 0x1f, 0),
	ROW(0x8a, 0, "WRITE(16)", 16, OUT, ACCESS_WRITES, OP_MEDIUM | OP_WRITES, 30,
	    scsi_write, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	    0xff, 0x1f, 0),
	ROW(0x8e, 0, "WRITE AND VERIFY(16)", 16, OUT, ACCESS_WRITES, OP_MEDIUM | OP_WRITES, 60,
	    scsi_write_and_verify, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0),
	ROW(0x8f, 0, "VERIFY(16)", 16, OUT, ACCESS_READS, OP_MEDIUM, 60,
	    scsi_verify, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0),
	ROW(0x91, 0, "SYNCHRONIZE CACHE(16)", 16, NONE, ACCESS_WRITES, OP_MEDIUM, 60,
	    scsi_synchronize_cache, 0x06, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	    0xff, 0xff, 0xff, 0x1f, 0),
	ROW(0x93, 0, "WRITE SAME(16)", 16, OUT, ACCESS_WRITES, OP_MEDIUM | OP_WRITES, 60,
	    scsi_write_same, 0x09, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0),
	ROW(0x9e, 0x10, "READ CAPACITY(16)", 16, IN, ACCESS_FREE,
	    OP_ACTION | OP_MEDIUM | OP_LEGACY, 10,
	    scsi_read_capacity_16, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0),
	ROW(0x9e, 0x12, "GET LBA STATUS", 16, IN, ACCESS_READS, OP_ACTION | OP_MEDIUM, 10,
	    scsi_get_lba_status, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0),
	ROW(0xa0, 0, "REPORT LUNS", 12, IN, ACCESS_FREE, OP_ATTENTIVE | OP_LEGACY, 10,
	    scsi_report_luns, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0),
	ROW(0xa3, 0x0c, "REPORT SUPPORTED OPERATION CODES", 12, IN, ACCESS_FREE, OP_ACTION, 10,
	    scsi_report_opcodes, 0x1f, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0),
	ROW(0xa3, 0x0d, "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", 12, IN, ACCESS_FREE,
	    OP_ACTION, 10,
	    scsi_report_management, 0x1f, 0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0),
	ROW(0xa8, 0, "READ(12)", 12, IN, ACCESS_READS, OP_MEDIUM, 30,
	    scsi_read, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0),
	ROW(0xaa, 0, "WRITE(12)", 12, OUT, ACCESS_WRITES, OP_MEDIUM | OP_WRITES, 30,
	    scsi_write, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0),
	ROW(0xae, 0, "WRITE AND VERIFY(12)", 12, OUT, ACCESS_WRITES, OP_MEDIUM | OP_WRITES, 60,
	    scsi_write_and_verify, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0),
	ROW(0xaf, 0, "VERIFY(12)", 12, OUT, ACCESS_READS, OP_MEDIUM, 60,
	    scsi_verify, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0),
};
/* clang-format on */

#define ROWS (sizeof(table) / sizeof(table[0]))

_Static_assert(ROWS <= SCSI_OPCODES_MAX, "REPORT SUPPORTED OPERATION CODES has no room");

/* The first row with a code, plus one; 0: there is none. */
static uint8_t first_row[256];

__attribute__((constructor)) static void index_table(void)
{
	for (size_t i = ROWS; i-- > 0;)
		first_row[table[i].code] = (uint8_t)(i + 1);
}

bool scsi_opcode_known(uint8_t code)
{
	return first_row[code];
}

const struct scsi_opcode *scsi_opcode_find(const uint8_t *cdb)
{
	unsigned i = first_row[cdb[0]];

	if (i == 0)
		return NULL;
	if (!(table[i - 1].flags & OP_ACTION))
		return &table[i - 1];
	for (i--; i < ROWS && table[i].code == cdb[0]; i++)
		if (table[i].action == (cdb[1] & 0x1f))
			return &table[i];
	return NULL;
}

const struct scsi_opcode *scsi_opcode_lookup(uint8_t code, uint16_t action, bool *ret_has_action)
{
	uint8_t cdb[2] = {code, (uint8_t)action};
	const struct scsi_opcode *op = scsi_opcode_find(cdb);

	*ret_has_action = first_row[code] && table[first_row[code] - 1].flags & OP_ACTION;
	return *ret_has_action ? (action < 32 ? op : NULL) : (action == 0 ? op : NULL);
}

const struct scsi_opcode *scsi_opcodes(unsigned *ret_n)
{
	*ret_n = ROWS;
	return table;
}

const char *scsi_command_name(const uint8_t cdb[SCSI_CDB_MAX])
{
	const struct scsi_opcode *op = scsi_opcode_find(cdb);

	return op ? op->name : NULL;
}
