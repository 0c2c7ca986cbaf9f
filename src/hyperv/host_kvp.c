/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a host does with KVP.  A value is found by asking for one pair after the other: no
 * Linux kernel answers KVP_OP_GET rightly, and hosts don't use it.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hyperv/host.h"
#include "hyperv/utf.h"

static const char *const pools[KVP_POOL_COUNT] = {"external", "guest", "auto", "auto-external",
						  "auto-internal"};

int hyperv_pool_parse(const char *text)
{
	unsigned long number;
	char *end;

	for (int i = 0; i < KVP_POOL_COUNT; i++)
		if (strcmp(text, pools[i]) == 0)
			return i;
	number = strtoul(text, &end, 0);
	return isdigit((unsigned char)*text) && !*end && number <= UINT8_MAX ? (int)number
									     : -EINVAL;
}

const char *hyperv_pool_name(unsigned pool)
{
	return pool < KVP_POOL_COUNT ? pools[pool] : NULL;
}

/* ---- texts ---- */

/* With its end, into `size` bytes: how many it takes, or -EINVAL. */
static int put_text(const char *text, void *to, size_t size)
{
	size_t room = size / 2;
	int n = utf16_from_utf8((const uint8_t *)text, strlen(text), to, room);
	char check[4 * HV_KVP_EXCHANGE_MAX_VALUE_SIZE];
	size_t length;

	if (n < 0 || (size_t)n >= room)
		return -EINVAL;
	/* What did not fit was cut off. */
	length = utf8_from_utf16(to, (size_t)n, (uint8_t *)check, sizeof(check));
	if (length != strlen(text))
		return -EINVAL;
	return 2 * (n + 1);
}

static void get_text(const void *from, size_t size, char *to, size_t room)
{
	to[utf8_from_utf16(from, size / 2, (uint8_t *)to, room - 1)] = '\0';
}

static int put_number(const char *text, unsigned type, struct hv_kvp_exchg_msg_value *data)
{
	unsigned long long number;
	char *end;

	errno = 0;
	number = strtoull(text, &end, 0);
	if (errno || *end || !isdigit((unsigned char)*text) ||
	    (type == REG_U32 && number > UINT32_MAX))
		return -EINVAL;
	if (type == REG_U32)
		data->value_u32 = (uint32_t)number;
	else
		data->value_u64 = number;
	return type == REG_U32 ? 4 : 8;
}

/* ---- requests ---- */

int64_t hyperv_kvp_set(struct hyperv_host *h, unsigned pool, const char *key, unsigned type,
		       const char *value)
{
	struct hv_kvp_msg m = {.kvp_hdr = {.operation = KVP_OP_SET, .pool = (uint8_t)pool}};
	struct hv_kvp_exchg_msg_value *data = &m.body.kvp_set.data;
	int key_size = put_text(key, data->key, sizeof(data->key)), size;

	size = type == REG_SZ || type == HYPERV_REG_EXPAND_SZ
		       ? put_text(value, data->value, sizeof(data->value))
		       : put_number(value, type, data);
	if (key_size < 0 || size < 0)
		return -EINVAL;
	data->value_type = type;
	data->key_size = (uint32_t)key_size;
	data->value_size = (uint32_t)size;
	return hyperv_host_request(h, &m, sizeof(m));
}

int64_t hyperv_kvp_delete(struct hyperv_host *h, unsigned pool, const char *key)
{
	struct hv_kvp_msg m = {.kvp_hdr = {.operation = KVP_OP_DELETE, .pool = (uint8_t)pool}};
	int size = put_text(key, m.body.kvp_delete.key, sizeof(m.body.kvp_delete.key));

	if (size < 0)
		return -EINVAL;
	m.body.kvp_delete.key_size = (uint32_t)size;
	return hyperv_host_request(h, &m, sizeof(m));
}

int64_t hyperv_kvp_enumerate(struct hyperv_host *h, unsigned pool, uint32_t index,
			     struct standin_hyperv_pair *ret_pair)
{
	struct hv_kvp_msg m = {.kvp_hdr = {.operation = KVP_OP_ENUMERATE, .pool = (uint8_t)pool},
			       .body.kvp_enum_data.index = index};
	int64_t status = hyperv_host_request(h, &m, sizeof(m));
	const struct hv_kvp_exchg_msg_value *data;

	if (status != HV_S_OK)
		return status;
	if (h->packet_size < HYPERV_IC_SIZE + sizeof(m))
		return -EPROTO;
	data = &((const struct hv_kvp_msg *)h->ic.body)->body.kvp_enum_data.data;
	get_text(data->key, sizeof(data->key), ret_pair->key, sizeof(ret_pair->key));
	get_text(data->value, sizeof(data->value), ret_pair->value, sizeof(ret_pair->value));
	return HV_S_OK;
}

int64_t hyperv_kvp_find(struct hyperv_host *h, unsigned pool, const char *key,
			struct standin_hyperv_pair *ret_pair)
{
	int64_t status = HV_S_OK;

	for (uint32_t i = 0; status == HV_S_OK; i++) {
		status = hyperv_kvp_enumerate(h, pool, i, ret_pair);
		if (status == HV_S_OK && strcmp(ret_pair->key, key) == 0)
			break;
	}
	return status;
}

/* ---- addresses ---- */

int64_t hyperv_kvp_get_addresses(struct hyperv_host *h, struct standin_hyperv_addresses *a)
{
	struct hv_kvp_ip_msg m = {.operation = KVP_OP_GET_IP_INFO};
	const struct hv_kvp_ipaddr_value *v;
	int64_t status;

	m.kvp_ip_val.addr_family = (uint8_t)a->family;
	if (put_text(a->adapter, m.kvp_ip_val.adapter_id, sizeof(m.kvp_ip_val.adapter_id)) < 0)
		return -EINVAL;
	status = hyperv_host_request(h, &m, sizeof(m));
	if (status != HV_S_OK)
		return status;
	if (h->packet_size < HYPERV_IC_SIZE + sizeof(m))
		return -EPROTO;
	v = &((const struct hv_kvp_ip_msg *)h->ic.body)->kvp_ip_val;
	get_text(v->adapter_id, sizeof(v->adapter_id), a->adapter, sizeof(a->adapter));
	get_text(v->ip_addr, sizeof(v->ip_addr), a->address, sizeof(a->address));
	get_text(v->sub_net, sizeof(v->sub_net), a->netmask, sizeof(a->netmask));
	get_text(v->gate_way, sizeof(v->gate_way), a->gateway, sizeof(a->gateway));
	get_text(v->dns_addr, sizeof(v->dns_addr), a->dns, sizeof(a->dns));
	a->family = v->addr_family;
	a->dhcp = v->dhcp_enabled;
	return HV_S_OK;
}

int64_t hyperv_kvp_set_addresses(struct hyperv_host *h, const struct standin_hyperv_addresses *a)
{
	struct hv_kvp_ip_msg m = {.operation = KVP_OP_SET_IP_INFO};
	struct hv_kvp_ipaddr_value *v = &m.kvp_ip_val;

	v->addr_family = (uint8_t)a->family;
	v->dhcp_enabled = a->dhcp;
	if (put_text(a->adapter, v->adapter_id, sizeof(v->adapter_id)) < 0 ||
	    put_text(a->address, v->ip_addr, sizeof(v->ip_addr)) < 0 ||
	    put_text(a->netmask, v->sub_net, sizeof(v->sub_net)) < 0 ||
	    put_text(a->gateway, v->gate_way, sizeof(v->gate_way)) < 0 ||
	    put_text(a->dns, v->dns_addr, sizeof(v->dns_addr)) < 0)
		return -EINVAL;
	return hyperv_host_request(h, &m, sizeof(m));
}
