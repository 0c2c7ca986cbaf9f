/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a hostile host can send the guest agent: messages of key-value pairs and file copies, as
 * the kernel passes them on or in any other form, packets of a channel, and a ring with any
 * content.  Whatever comes, every answer is a string where there is to be one, the pools can
 * be listed to their end, and no file gets out of the directory that copies are confined to.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/fcopy.h"
#include "agent/kvp.h"
#include "agent/log.h"
#include "agent/ring.h"
#include "agent/uio.h"
#include "agent/utf.h"
#include "fuzz.h"

#define RING_BYTES 8192

static char base[64], pools[96], root[96];
static struct agent_options options;
static struct kvp kvp;
static struct fcopy fcopy;

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return f->level == 0 && strcmp(path, base) != 0 ? 0 : remove(path);
}

static void clean_up(void)
{
	nftw(base, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void begin(void)
{
	snprintf(base, sizeof(base), "%s/standin-fuzz-agent-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	CHECK(mkdtemp(base));
	atexit(clean_up);
	snprintf(pools, sizeof(pools), "%s/pools", base);
	snprintf(root, sizeof(root), "%s/root", base);
	CHECK(mkdir(root, 0755) == 0);
	options = agent_defaults;
	options.directory = options.scripts = pools;
	CHECK(kvp_init(&kvp, &options) == 0);
	fcopy_init(&fcopy, root);
	/* Complaints are not what is looked for. */
	log_hold(true);
}

/* ---- key-value pairs ---- */

static bool is_string(const uint8_t *field, size_t size)
{
	return memchr(field, '\0', size) && utf8_valid((const char *)field);
}

static void fuzz_kvp(struct input *in)
{
	const struct hv_kvp_exchg_msg_value *v;
	struct hv_kvp_msg m;
	unsigned n = 0;

	while (in->left && n++ < 16) {
		uint8_t operation, pool, what = take8(in);
		size_t size = take16(in) % sizeof(m);

		memset(&m, what & 1 ? 'x' : 0, sizeof(m));
		take(in, &m, size);
		if (what & 2) {
			m.kvp_hdr.operation %= KVP_OP_COUNT;
			m.kvp_hdr.pool %= KVP_POOL_COUNT;
		}
		if (what & 4) {
			m.body.kvp_set.data.key_size %= 520;
			m.body.kvp_set.data.value_size %= 2056;
		}
		operation = m.kvp_hdr.operation;
		pool = m.kvp_hdr.pool;
		if (!kvp_answer(&kvp, &m) || m.error != HV_S_OK)
			continue;
		CHECK(operation < KVP_OP_COUNT);
		CHECK(pool < KVP_POOL_COUNT || operation >= KVP_OP_GET_IP_INFO);
		v = (const void *)((const uint8_t *)&m + 8);
		if (operation == KVP_OP_ENUMERATE || operation == KVP_OP_GET)
			CHECK(is_string((const uint8_t *)v->key, sizeof(v->key)) &&
			      is_string((const uint8_t *)v->value, sizeof(v->value)));
	}
	memset(&m, 0, sizeof(m));
	for (n = 0;; n++) {
		m.kvp_hdr.operation = KVP_OP_ENUMERATE;
		m.kvp_hdr.pool = 0;
		m.body.kvp_enum_data.index = n;
		CHECK(kvp_answer(&kvp, &m));
		if (m.error)
			break;
		/* Not for ever more of them. */
		if (n < 64)
			continue;
		memmove(m.body.kvp_delete.key, m.body.kvp_enum_data.data.key, 512);
		m.body.kvp_delete.key_size = 512;
		m.kvp_hdr.operation = KVP_OP_DELETE;
		m.kvp_hdr.pool = 0;
		kvp_answer(&kvp, &m);
	}
	CHECK((uint32_t)m.error == HV_S_CONT);
}

/* ---- file copies ---- */

static unsigned outside;

static int look_outside(const char *path, const struct stat *st, int type, struct FTW *f)
{
	outside += f->level == 1 && strcmp(path, pools) != 0 && strcmp(path, root) != 0;
	return 0;
}

static void fuzz_fcopy(struct input *in, bool channel)
{
	uint8_t buffer[8192];

	for (unsigned n = 0; in->left && n < 16; n++) {
		uint8_t what = take8(in);
		size_t size = take16(in) % sizeof(buffer);
		uint32_t operation = what >> 5 & 3;

		memset(buffer, what & 1 ? '.' : 0, sizeof(buffer));
		take(in, buffer, size);
		if (what & 2)
			memcpy(buffer + (channel ? HYPERV_IC_SIZE : 0), &operation, 4);
		if (channel && (what & 4))
			((struct hyperv_ic *)buffer)->ic.type = HYPERV_IC_FCOPY;
		if (what & 8)
			size = sizeof(buffer);
		if (channel)
			CHECK(uio_answer(&fcopy, buffer, size) == (size >= HYPERV_IC_SIZE));
		else
			fcopy_message(&fcopy, buffer, size, what & 16);
		fcopy_settle(&fcopy);
	}
	fcopy_finish(&fcopy);
	outside = 0;
	nftw(base, look_outside, 16, FTW_PHYS);
	CHECK(outside == 0);
	nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void fuzz_ring(struct input *in)
{
	static uint64_t memory[RING_BYTES / 8];
	const struct hyperv_packet *p;
	_Alignas(8) uint8_t packet[RING_BYTES];
	struct ring r;

	take(in, memory, 8);
	if (memory[0] & 1)
		memory[0] &= 0xff800000ff8;
	take(in, (uint8_t *)memory + 4096, 4096);
	ring_init(&r, memory, RING_BYTES);
	p = (const struct hyperv_packet *)packet;
	for (unsigned n = 0; n < 512; n++) {
		int size = ring_receive(&r, packet);

		if (size <= 0)
			break;
		CHECK((uint32_t)size <= r.size && p->size * 8 == size);
		CHECK(p->header_size >= 2 && p->header_size <= p->size);
		ring_send(&r, 0, packet, (size_t)size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	if (!*base)
		begin();
	switch (take8(&in) % 5) {
	case 0:
	case 1:
		fuzz_kvp(&in);
		break;
	case 2:
		fuzz_fcopy(&in, false);
		break;
	case 3:
		fuzz_fcopy(&in, true);
		break;
	default:
		fuzz_ring(&in);
	}
	return 0;
}
