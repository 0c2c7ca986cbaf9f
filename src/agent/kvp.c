/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KVP.  The kernel turns the host's UTF-16 into UTF-8 and back and passes all else on as it came,
 * so every number of a message is checked here, and every string ends where its field does.
 *
 * The answer to a GET goes where that of an ENUMERATE would: there the kernel looks for it
 * (kvp_respond_to_host() of drivers/hv/hv_kvp.c), and not at the value of the request.
 *
 * A SET whose value has no size at all, not even that of a NUL, had a type that the kernel does
 * not know, and has lost its value on the way; it is refused.
 */
#include "agent/kvp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/clock.h"
#include "agent/ipinfo.h"
#include "agent/log.h"
#include "agent/utf.h"

#define KEY_SIZE   HV_KVP_EXCHANGE_MAX_KEY_SIZE
#define VALUE_SIZE HV_KVP_EXCHANGE_MAX_VALUE_SIZE

/* The kernel tells the host after 30 s that the request has failed. */
#define SCRIPT_LIMIT (25 * CLOCK_SECOND)

int kvp_init(struct kvp *k, const struct agent_options *options)
{
	char name[32];
	int ret = 0;

	memset(k, 0, sizeof(*k));
	k->options = options;
	k->script_until = CLOCK_NEVER;
	if (mkdir(options->directory, 0755) < 0 && errno != EEXIST)
		ret = -errno;
	else
		k->directory = open(options->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ret < 0 || k->directory < 0) {
		ret = -errno;
		log_line(LOG_ERR, "%s: %s", options->directory, strerror(-ret));
		return ret;
	}
	for (unsigned i = 0; i < KVP_POOL_COUNT; i++) {
		snprintf(name, sizeof(name), ".kvp_pool_%u", i);
		ret = store_init(&k->store[i], k->directory, name);
		if (ret < 0) {
			log_line(LOG_ERR, "%s/%s: %s", options->directory, name, strerror(-ret));
			do
				store_finish(&k->store[i]);
			while (i--);
			close(k->directory);
			return ret;
		}
	}
	auto_init(&k->items);
	return 0;
}

void kvp_finish(struct kvp *k)
{
	for (unsigned i = 0; i < KVP_POOL_COUNT; i++)
		store_finish(&k->store[i]);
	auto_finish(&k->items);
	close(k->directory);
}

void kvp_registered(struct kvp *k, const struct hv_kvp_msg *m)
{
	utf8_repair(k->items.version, sizeof(k->items.version),
		    (const char *)m->body.kvp_register.version,
		    sizeof(m->body.kvp_register.version));
	log_line(LOG_INFO, "kvp: registered; the kernel's side has version %s", k->items.version);
}

/* A string of a message: UTF-8, and shorter than its field. */
static bool take_string(char *to, const uint8_t *from, uint32_t size, uint32_t field)
{
	uint32_t n;

	if (size > field)
		return false;
	n = (uint32_t)strnlen((const char *)from, size);
	if (n == field)
		return false;
	memcpy(to, from, n);
	to[n] = '\0';
	return utf8_valid(to);
}

static bool take_key(char key[KEY_SIZE], const uint8_t *from, uint32_t size)
{
	return take_string(key, from, size, KEY_SIZE) && key[0];
}

/* Text, or a number in the processor's order, which becomes text. */
static uint32_t take_value(char value[VALUE_SIZE], const struct hv_kvp_exchg_msg_value *m)
{
	uint32_t v32;
	uint64_t v64;

	if (m->value_size > VALUE_SIZE)
		return HV_INVALIDARG;
	if (m->value_size == 0)
		return HV_ERROR_NOT_SUPPORTED;
	switch (m->value_type) {
	case 0: /* the kernel's: whatever it was, it is text now */
	case REG_SZ:
	case HYPERV_REG_EXPAND_SZ:
		return take_string(value, m->value, m->value_size, VALUE_SIZE) ? HV_S_OK
									       : HV_INVALIDARG;
	case REG_U32:
		memcpy(&v32, m->value, sizeof(v32));
		snprintf(value, VALUE_SIZE, "%u", v32);
		return m->value_size < sizeof(v32) ? HV_INVALIDARG : HV_S_OK;
	case REG_U64:
	case HYPERV_REG_QWORD:
		memcpy(&v64, m->value, sizeof(v64));
		snprintf(value, VALUE_SIZE, "%llu", (unsigned long long)v64);
		return m->value_size < sizeof(v64) ? HV_INVALIDARG : HV_S_OK;
	default:
		return HV_ERROR_NOT_SUPPORTED;
	}
}

static uint32_t status_of(int error)
{
	switch (error) {
	case 0:
		return HV_S_OK;
	case -ENOENT:
		return HV_S_CONT;
	case -ENOSPC:
	case -EDQUOT:
		return HV_ERROR_DISK_FULL;
	default:
		return HV_E_FAIL;
	}
}

static uint32_t set(struct store *s, const struct hv_kvp_exchg_msg_value *m)
{
	char key[KEY_SIZE], value[VALUE_SIZE];
	uint32_t status;

	if (!take_key(key, m->key, m->key_size))
		return HV_INVALIDARG;
	status = take_value(value, m);
	if (status == HV_S_OK)
		return status_of(store_set(s, key, value));
	log_line(LOG_WARNING, "kvp: a value of '%s' can't be taken (type %u, size %u)", key,
		 m->value_type, m->value_size);
	return status;
}

static uint32_t remove_key(struct store *s, const struct hv_kvp_msg *m)
{
	char key[KEY_SIZE];

	if (!take_key(key, m->body.kvp_delete.key, m->body.kvp_delete.key_size))
		return HV_INVALIDARG;
	return status_of(store_remove(s, key));
}

/* The answer's key and value, where the kernel looks for them. */
static void put(struct hv_kvp_exchg_msg_value *m, const char *key, const char *value)
{
	memset(m, 0, sizeof(*m));
	m->value_type = REG_SZ;
	utf8_repair((char *)m->key, KEY_SIZE, key, KEY_SIZE - 1);
	utf8_repair((char *)m->value, VALUE_SIZE, value, VALUE_SIZE - 1);
	m->key_size = (uint32_t)strlen((char *)m->key) + 1;
	m->value_size = (uint32_t)strlen((char *)m->value) + 1;
}

static uint32_t enumerate(struct kvp *k, uint8_t pool, struct hv_kvp_msg_enumerate *m)
{
	const struct pool_record *r;
	char value[VALUE_SIZE];
	const char *key;

	if (pool == KVP_POOL_AUTO) {
		if (!auto_item(&k->items, m->index, &key, value))
			return HV_S_CONT;
		put(&m->data, key, value);
		return HV_S_OK;
	}
	r = store_at(&k->store[pool], m->index);
	if (!r)
		return HV_S_CONT;
	put(&m->data, r->key, r->value);
	return HV_S_OK;
}

/* What the agent generates has precedence over what a host has put beside it. */
static uint32_t get(struct kvp *k, uint8_t pool, struct hv_kvp_msg *m)
{
	char key[KEY_SIZE], value[VALUE_SIZE];
	const char *name, *found = NULL;

	if (!take_key(key, m->body.kvp_get.data.key, m->body.kvp_get.data.key_size))
		return HV_INVALIDARG;
	for (uint32_t i = 0; pool == KVP_POOL_AUTO && !found; i++) {
		if (!auto_item(&k->items, i, &name, value))
			break;
		if (strcmp(name, key) == 0)
			found = value;
	}
	if (!found)
		found = store_get(&k->store[pool], key);
	if (!found)
		return HV_S_CONT;
	m->body.kvp_enum_data.index = 0;
	put(&m->body.kvp_enum_data.data, key, found);
	return HV_S_OK;
}

static uint32_t set_addresses(struct kvp *k, const struct hv_kvp_msg *m)
{
	/* One script at a time; and files can't be written while file systems are frozen. */
	if (k->script || k->frozen)
		return HV_E_FAIL;
	return ipinfo_set(&m->body.kvp_ip_val, k->options->directory, k->options->scripts,
			  &k->script);
}

bool kvp_answer(struct kvp *k, struct hv_kvp_msg *m)
{
	uint8_t operation = m->kvp_hdr.operation, pool = m->kvp_hdr.pool;
	uint32_t status = HV_INVALIDARG;

	log_line(LOG_DEBUG, "kvp: operation %u in pool %u", operation, pool);
	if (operation == KVP_OP_GET_IP_INFO) {
		status = ipinfo_get(&m->body.kvp_ip_val);
	} else if (operation == KVP_OP_SET_IP_INFO) {
		status = set_addresses(k, m);
		if (status == HV_S_OK) {
			k->script_until = clock_now() + SCRIPT_LIMIT;
			k->waiting = *m;
			return false;
		}
	} else if (operation >= KVP_OP_COUNT) {
		status = HV_ERROR_NOT_SUPPORTED;
	} else if (pool < KVP_POOL_COUNT) {
		if (operation == KVP_OP_SET)
			status = set(&k->store[pool], &m->body.kvp_set.data);
		else if (operation == KVP_OP_DELETE)
			status = remove_key(&k->store[pool], m);
		else if (operation == KVP_OP_GET)
			status = get(k, pool, m);
		else
			status = enumerate(k, pool, &m->body.kvp_enum_data);
	}
	m->error = (int)status;
	return true;
}

void kvp_forget(struct kvp *k)
{
	k->script_until = CLOCK_NEVER;
}

bool kvp_script_ended(struct kvp *k, int status)
{
	bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	bool awaited = k->script_until != CLOCK_NEVER;

	if (!good)
		log_line(LOG_ERR, "kvp: hv_set_ifconfig has failed (%s %d)",
			 WIFEXITED(status) ? "status" : "signal",
			 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	k->script = 0;
	k->script_until = CLOCK_NEVER;
	k->waiting.error = (int)(good ? HV_S_OK : HV_E_FAIL);
	return awaited;
}

void kvp_hold(struct kvp *k, bool hold)
{
	k->frozen = hold;
	for (unsigned i = 0; i < KVP_POOL_COUNT; i++)
		store_hold(&k->store[i], hold);
}

int64_t kvp_due(const struct kvp *k)
{
	int64_t due = k->script_until;

	for (unsigned i = 0; i < KVP_POOL_COUNT; i++)
		due = clock_earlier(due, store_due(&k->store[i]));
	return due;
}

bool kvp_tick(struct kvp *k)
{
	for (unsigned i = 0; i < KVP_POOL_COUNT; i++)
		store_tick(&k->store[i]);
	if (clock_now() < k->script_until)
		return false;
	log_line(LOG_ERR, "kvp: hv_set_ifconfig takes too long");
	k->script_until = CLOCK_NEVER;
	k->waiting.error = (int)HV_E_FAIL;
	return true;
}
