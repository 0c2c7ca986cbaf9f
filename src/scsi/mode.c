/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mode parameters (SPC-4, 6.11 to 6.14 and 7.5; SBC-3, 6.4).
 *
 * A page is its bytes with nothing set, and the settings that are in it: a bit of the page,
 * a flag of the unit, and whether MODE SELECT may change it.  The values that MODE SENSE
 * shows for each page control, and the bits in which MODE SELECT may differ from what is,
 * follow from these.
 *
 * Nothing can be saved.
 */
#include "scsi/scsi_private.h"

#define LIST_MAX 256u /* bytes of a parameter list, in and out */
#define PAGE_MAX 20u

enum page_control { CURRENT, CHANGEABLE, DEFAULT, SAVED };

#define PAGE_ALL    0x3f
#define SUBPAGE_ALL 0xff

/* What MODE SELECT can change, as bits: struct scsi_command's `at` carries a set of them. */
enum setting {
	SETTING_WRITE_CACHE = 1,
	SETTING_DESCRIPTOR_SENSE = 2,
	SETTING_WRITE_PROTECTED = 4,
};

#define SETTINGS_DEFAULT SETTING_WRITE_CACHE

struct mode_setting {
	uint8_t byte, bit; /* bit: a mask */
	enum setting setting;
};

struct mode_page {
	uint8_t bytes[PAGE_MAX]; /* code, size of what follows, constant bits */
	struct mode_setting settings[2];
};

static const struct mode_page pages[] = {
	/* Read-Write Error Recovery */
	{.bytes = {0x01, 10}},
	/* Caching: WCE */
	{.bytes = {0x08, 18}, .settings = {{2, 0x04, SETTING_WRITE_CACHE}}},
	/* Control: GLTSD, unrestricted reordering, busy timeout unlimited; D_SENSE, SWP */
	{.bytes = {0x0a, 10, 0x02, 0x10, 0, 0, 0, 0, 0xff, 0xff},
	 .settings = {{2, 0x04, SETTING_DESCRIPTOR_SENSE}, {4, 0x08, SETTING_WRITE_PROTECTED}}},
	/* Informational Exceptions Control: DEXCPT */
	{.bytes = {0x1c, 10, 0x08}},
};

#define PAGES (sizeof(pages) / sizeof(pages[0]))

static unsigned settings_of(const struct scsi_unit *unit)
{
	return (unit->write_cache ? SETTING_WRITE_CACHE : 0) |
	       (unit->descriptor_sense ? SETTING_DESCRIPTOR_SENSE : 0) |
	       (unit->write_protected ? SETTING_WRITE_PROTECTED : 0);
}

static void apply(struct scsi_unit *unit, unsigned settings)
{
	unit->write_cache = settings & SETTING_WRITE_CACHE;
	unit->descriptor_sense = settings & SETTING_DESCRIPTOR_SENSE;
	unit->write_protected = settings & SETTING_WRITE_PROTECTED;
}

void scsi_mode_defaults(struct scsi_unit *unit)
{
	apply(unit, SETTINGS_DEFAULT);
}

/* The page's bytes with those settings; its size. */
static unsigned build_page(const struct mode_page *page, unsigned settings, uint8_t *data)
{
	memcpy(data, page->bytes, page->bytes[1] + 2u);
	for (unsigned i = 0; i < 2; i++)
		if (settings & page->settings[i].setting)
			data[page->settings[i].byte] |= page->settings[i].bit;
	return page->bytes[1] + 2u;
}

/* The bits that MODE SELECT can change. */
static unsigned build_changeable(const struct mode_page *page, uint8_t *data)
{
	memset(data, 0, page->bytes[1] + 2u);
	memcpy(data, page->bytes, 2);
	for (unsigned i = 0; i < 2; i++)
		data[page->settings[i].byte] |= page->settings[i].bit;
	return page->bytes[1] + 2u;
}

/* ---- MODE SENSE ---- */

static unsigned put_block_descriptor(const struct scsi_unit *unit, bool long_lba, uint8_t *data)
{
	uint32_t size = 1u << unit->block_shift;

	if (long_lba) {
		put64(data, unit->blocks);
		put32(data + 12, size);
		return 16;
	}
	put32(data, unit->blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)unit->blocks);
	put24(data + 5, size);
	return 8;
}

static bool wanted(const struct mode_page *page, uint8_t code)
{
	return code == PAGE_ALL || page->bytes[0] == code;
}

int scsi_mode_sense(struct scsi_command *c)
{
	const uint8_t *cdb = c->cdb;
	const struct scsi_unit *unit = c->unit;
	bool ten = c->opcode->size == 10, long_lba = ten && cdb[1] & 0x10;
	enum page_control control = (enum page_control)(cdb[2] >> 6);
	uint8_t code = cdb[2] & 0x3f, data[LIST_MAX] = {0}, parameter;
	unsigned header = ten ? 8 : 4, size = header, descriptor = 0, before;

	if (cdb[3] && cdb[3] != SUBPAGE_ALL)
		return scsi_fail_cdb(c, 3, -1);
	if (control == SAVED)
		return scsi_fail(c, SENSE_NO_SAVING);
	if (!(cdb[1] & 0x08)) /* DBD */
		descriptor = put_block_descriptor(unit, long_lba, data + size);
	size += descriptor;
	before = size;
	for (unsigned i = 0; i < PAGES; i++) {
		if (!wanted(&pages[i], code))
			continue;
		if (control == CHANGEABLE)
			size += build_changeable(&pages[i], data + size);
		else
			size += build_page(&pages[i],
					   control == DEFAULT ? SETTINGS_DEFAULT
							      : settings_of(unit),
					   data + size);
	}
	if (size == before)
		return scsi_fail_cdb(c, 2, 5);
	/* WP, DPOFUA */
	parameter = (unit->read_only || unit->write_protected ? 0x80 : 0) | 0x10;
	if (ten) {
		put16(data, (uint16_t)(size - 2));
		data[3] = parameter;
		data[4] = long_lba && descriptor;
		put16(data + 6, (uint16_t)descriptor);
		return scsi_reply(c, data, size, get16(cdb + 7));
	}
	data[0] = (uint8_t)(size - 1);
	data[2] = parameter;
	data[3] = (uint8_t)descriptor;
	return scsi_reply(c, data, size, cdb[4]);
}

/* ---- MODE SELECT ---- */

/* The block descriptor says what is, or nothing about the number of blocks. */
static bool check_block_descriptor(struct scsi_command *c, const uint8_t *list, unsigned at,
				   bool long_lba)
{
	const struct scsi_unit *unit = c->unit;
	uint64_t blocks = long_lba ? get64(list + at) : get32(list + at);
	uint32_t size = long_lba ? get32(list + at + 12) : get24(list + at + 5);
	uint64_t all = long_lba ? UINT64_MAX : UINT32_MAX;

	if (blocks && blocks != all && blocks != unit->blocks) {
		scsi_fail_parameter(c, at, -1);
		return false;
	}
	if (size != 1u << unit->block_shift) {
		scsi_fail_parameter(c, at + (long_lba ? 12 : 5), -1);
		return false;
	}
	return true;
}

static const struct mode_page *find_page(uint8_t code)
{
	for (unsigned i = 0; i < PAGES; i++)
		if (pages[i].bytes[0] == code)
			return &pages[i];
	return NULL;
}

/* Takes the settings out of the page at `at`: its size, or 0 if the command has failed. */
static unsigned take_page(struct scsi_command *c, const uint8_t *list, unsigned at, unsigned size,
			  unsigned *settings)
{
	const struct mode_page *page = find_page(list[at] & 0x7f); /* PS means nothing here */
	uint8_t now[PAGE_MAX], changeable[PAGE_MAX];
	unsigned page_size;

	if (!page) {
		scsi_fail_parameter(c, at, 5);
		return 0;
	}
	page_size = build_page(page, *settings, now);
	build_changeable(page, changeable);
	if (at + 1 < size && list[at + 1] != page->bytes[1]) {
		scsi_fail_parameter(c, at + 1, -1);
		return 0;
	}
	if (page_size > size - at) {
		scsi_fail(c, SENSE_LIST_LENGTH);
		return 0;
	}
	for (unsigned i = 2; i < page_size; i++) {
		unsigned wrong = (list[at + i] ^ now[i]) & ~changeable[i] & 0xff;

		if (wrong) {
			scsi_fail_parameter(c, at + i, 31 - __builtin_clz(wrong));
			return 0;
		}
	}
	for (unsigned i = 0; i < 2; i++) {
		const struct mode_setting *s = &page->settings[i];

		*settings &= ~(unsigned)s->setting;
		if (list[at + s->byte] & s->bit)
			*settings |= s->setting;
	}
	return page_size;
}

static int select_flushed(struct scsi_command *c, int error)
{
	if (error < 0)
		return scsi_fail_io(c, error);
	apply(c->unit, (unsigned)c->at);
	scsi_attention_raise(c->unit, ATTENTION_MODE_CHANGED, c->nexus);
	return SCSI_DONE;
}

int scsi_mode_select(struct scsi_command *c)
{
	bool ten = c->opcode->size == 10;
	unsigned size = ten ? get16(c->cdb + 7) : c->cdb[4], at = ten ? 8 : 4, descriptor;
	unsigned before = settings_of(c->unit), settings = before;
	uint8_t list[LIST_MAX];
	bool long_lba;

	if (!(c->cdb[1] & 0x10)) /* PF: without it pages are vendor specific */
		return scsi_fail_cdb(c, 1, 4);
	if (size == 0)
		return SCSI_DONE;
	if (size < at || size > sizeof(list))
		return scsi_fail(c, SENSE_LIST_LENGTH);
	if (!scsi_pull(c, 0, list, size))
		return SCSI_DONE;
	long_lba = ten && list[4] & 1;
	descriptor = ten ? get16(list + 6) : list[3];
	if (descriptor && descriptor != (long_lba ? 16 : 8))
		return scsi_fail_parameter(c, ten ? 6 : 3, -1);
	if (descriptor > size - at)
		return scsi_fail(c, SENSE_LIST_LENGTH);
	if (descriptor && !check_block_descriptor(c, list, at, long_lba))
		return SCSI_DONE;
	for (at += descriptor; at < size;) {
		unsigned page_size = take_page(c, list, at, size, &settings);

		if (!page_size)
			return SCSI_DONE;
		at += page_size;
	}
	if (settings == before)
		return SCSI_DONE;
	c->at = settings;
	if (before & ~settings & SETTING_WRITE_CACHE)
		return scsi_io_flush(c, select_flushed); /* what is in it becomes durable */
	return select_flushed(c, 0);
}
