/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KVP: key-value pairs and addresses, as drivers/hv/hv_kvp.c does it.
 *
 * A request of the host becomes one message for the daemon, its UTF-16 texts turned into
 * UTF-8, and the daemon's reply goes back into the host's packet the other way round.  Sizes
 * that the host gives are taken for numbers of characters, though they count bytes; an end in the
 * text is what stops the conversion.  A GET finds the value where an ENUMERATE has it, four
 * bytes too far: no host uses it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hyperv/hyperv.h"
#include "hyperv/utf.h"

#define DRIVER_VERSION "3.1"

static const struct hyperv_version frameworks[] = {{3, 0}, {1, 0}};
static const struct hyperv_version versions[] = {{4, 0}, {3, 0}, {1, 0}};

/* ---- the daemon registers ---- */

static int handshake(struct hyperv_service *s, const struct hv_kvp_msg *m)
{
	struct hv_kvp_msg answer = {.kvp_hdr.operation = m->kvp_hdr.operation};

	if (m->kvp_hdr.operation != KVP_OP_REGISTER && m->kvp_hdr.operation != KVP_OP_REGISTER1)
		return -EINVAL;
	s->registered = m->kvp_hdr.operation;
	strcpy((char *)answer.body.kvp_register.version, DRIVER_VERSION);
	return hyperv_send(s, &answer, sizeof(answer), hyperv_ready);
}

/* ---- the host asks ---- */

/*
 * A host that is too early waits until there is a daemon.  The kernel looks once more after 55
 * seconds (HV_UTIL_NEGO_TIMEOUT), and if there is none, lets it wait on.
 */
static bool may_receive(struct hyperv_service *s)
{
	return s->state == HYPERV_READY;
}

/* From `at` in the packet, where the host says that `n` units are. */
static uint32_t convert(const struct hyperv_service *s, const void *at, uint32_t n, void *to,
			size_t room)
{
	size_t most = (size_t)(s->packet + sizeof(s->packet) - (const uint8_t *)at) / 2;

	if (n > INT32_MAX)
		n = 0;
	return (uint32_t)utf8_from_utf16(at, n < most ? n : most, to, room);
}

static uint32_t convert_key(const struct hyperv_service *s, const uint8_t *key, uint32_t size,
			    uint8_t *to)
{
	return convert(s, key, size, to, HV_KVP_EXCHANGE_MAX_KEY_SIZE - 1) + 1;
}

static void convert_value(const struct hyperv_service *s, const struct hv_kvp_exchg_msg_value *in,
			  struct hv_kvp_exchg_msg_value *out)
{
	char *text = (char *)out->value;

	switch (in->value_type) {
	case REG_SZ:
		out->value_size = convert(s, in->value, in->value_size, out->value,
					  HV_KVP_EXCHANGE_MAX_VALUE_SIZE - 1) +
				  1;
		break;
	case REG_U32:
		out->value_size = (uint32_t)sprintf(text, "%u", in->value_u32) + 1;
		break;
	case REG_U64:
		out->value_size =
			(uint32_t)sprintf(text, "%llu", (unsigned long long)in->value_u64) + 1;
		break;
	default: /* without a value, and so without a size */
		break;
	}
}

static void convert_addresses(const struct hyperv_service *s, const struct hv_kvp_ipaddr_value *in,
			      struct hv_kvp_ipaddr_value *out, bool all)
{
	if (all) {
		convert(s, in->ip_addr, MAX_IP_ADDR_SIZE, out->ip_addr, MAX_IP_ADDR_SIZE);
		convert(s, in->sub_net, MAX_IP_ADDR_SIZE, out->sub_net, MAX_IP_ADDR_SIZE);
		convert(s, in->gate_way, MAX_GATEWAY_SIZE, out->gate_way, MAX_GATEWAY_SIZE);
		convert(s, in->dns_addr, MAX_IP_ADDR_SIZE, out->dns_addr, MAX_IP_ADDR_SIZE);
		out->dhcp_enabled = in->dhcp_enabled;
	}
	convert(s, in->adapter_id, MAX_ADAPTER_ID_SIZE, out->adapter_id, MAX_ADAPTER_ID_SIZE);
	out->addr_family = in->addr_family;
}

/* The body of the request, in the daemon's words. */
static void translate(const struct hyperv_service *s, struct hv_kvp_msg *out)
{
	const struct hv_kvp_msg *in = (const struct hv_kvp_msg *)s->ic.body;
	const struct hv_kvp_ip_msg *ip = (const struct hv_kvp_ip_msg *)s->ic.body;
	const struct hv_kvp_exchg_msg_value *data = &in->body.kvp_set.data; /* GET's as well */

	switch (out->kvp_hdr.operation) {
	case KVP_OP_SET_IP_INFO:
	case KVP_OP_GET_IP_INFO:
		convert_addresses(s, &ip->kvp_ip_val, &out->body.kvp_ip_val,
				  out->kvp_hdr.operation == KVP_OP_SET_IP_INFO);
		break;
	case KVP_OP_SET:
		convert_value(s, data, &out->body.kvp_set.data);
		out->body.kvp_set.data.key_size =
			convert_key(s, data->key, data->key_size, out->body.kvp_set.data.key);
		break;
	case KVP_OP_GET:
		out->body.kvp_get.data.key_size =
			convert_key(s, data->key, data->key_size, out->body.kvp_get.data.key);
		break;
	case KVP_OP_DELETE:
		out->body.kvp_delete.key_size =
			convert_key(s, in->body.kvp_delete.key, in->body.kvp_delete.key_size,
				    out->body.kvp_delete.key);
		break;
	case KVP_OP_ENUMERATE:
		out->body.kvp_enum_data.index = in->body.kvp_enum_data.index;
		break;
	default: /* the daemon will not know it either */
		break;
	}
}

static void ask_daemon(struct hyperv_service *s)
{
	const struct hv_kvp_msg *in = (const struct hv_kvp_msg *)s->ic.body;
	struct hv_kvp_msg out = {
		.kvp_hdr = {.operation = in->kvp_hdr.operation, .pool = in->kvp_hdr.pool}};

	translate(s, &out);
	s->state = HYPERV_ASKED;
	if (hyperv_send(s, &out, sizeof(out), NULL) < 0)
		hyperv_refuse(s);
}

static void received(struct hyperv_service *s)
{
	if (s->ic.ic.type == HYPERV_IC_NEGOTIATE) {
		hyperv_negotiate(s);
		hyperv_respond(s);
		hyperv_ready(s);
	} else if (s->ic.ic.type == HYPERV_IC_KVP) {
		s->state = HYPERV_RECEIVED;
		hyperv_arm(s, HYPERV_TIMEOUT_S);
		ask_daemon(s);
	}
}

/* ---- the daemon replies ---- */

/* A text of the daemon's that goes on for at most `n` bytes. */
static int put_text(const void *text, size_t n, void *to, size_t room)
{
	return utf16_from_utf8(text, strnlen(text, n), to, room);
}

static int put_addresses(const struct hv_kvp_ipaddr_value *in, struct hv_kvp_ipaddr_value *out)
{
	if (put_text(in->ip_addr, sizeof(in->ip_addr), out->ip_addr, MAX_IP_ADDR_SIZE) < 0 ||
	    put_text(in->sub_net, sizeof(in->sub_net), out->sub_net, MAX_IP_ADDR_SIZE) < 0 ||
	    put_text(in->gate_way, sizeof(in->gate_way), out->gate_way, MAX_GATEWAY_SIZE) < 0 ||
	    put_text(in->dns_addr, sizeof(in->dns_addr), out->dns_addr, MAX_IP_ADDR_SIZE) < 0 ||
	    put_text(in->adapter_id, sizeof(in->adapter_id), out->adapter_id, MAX_ADAPTER_ID_SIZE) <
		    0)
		return -EINVAL;
	out->dhcp_enabled = in->dhcp_enabled;
	out->addr_family = in->addr_family;
	return 0;
}

/* Key and value, or the value alone, of the daemon's message into the host's. */
static int put_pair(const struct hv_kvp_msg *m, struct hv_kvp_exchg_msg_value *out, bool with_key)
{
	const struct hv_kvp_exchg_msg_value *in = &m->body.kvp_enum_data.data;
	const uint8_t *end = (const uint8_t *)m + sizeof(*m);
	int key = 0, value;

	if (with_key) {
		key = put_text(in->key, (size_t)(end - in->key), out->key,
			       HV_KVP_EXCHANGE_MAX_KEY_SIZE / 2 - 2);
		out->key_size = 2 * (uint32_t)(key + 1);
	}
	value = put_text(in->value, (size_t)(end - in->value), out->value,
			 HV_KVP_EXCHANGE_MAX_VALUE_SIZE / 2 - 2);
	out->value_size = 2 * (uint32_t)(value + 1);
	out->value_type = REG_SZ;
	return key < 0 || value < 0 ? -EINVAL : 0;
}

static void reply(struct hyperv_service *s, const struct hv_kvp_msg *m, uint32_t status)
{
	struct hv_kvp_msg *out = (struct hv_kvp_msg *)s->ic.body;
	struct hv_kvp_ip_msg *ip = (struct hv_kvp_ip_msg *)s->ic.body;
	int ret = 0;

	if (status == HV_S_OK) {
		switch (out->kvp_hdr.operation) {
		case KVP_OP_GET_IP_INFO:
			ret = put_addresses(&m->body.kvp_ip_val, &ip->kvp_ip_val);
			break;
		case KVP_OP_GET:
			ret = put_pair(m, &out->body.kvp_get.data, false);
			break;
		case KVP_OP_SET_IP_INFO:
		case KVP_OP_SET:
		case KVP_OP_DELETE:
			break;
		default:
			ret = put_pair(m, &out->body.kvp_enum_data.data, true);
			break;
		}
	}
	hyperv_respond_status(s, ret < 0 ? HV_E_FAIL : status);
}

static int written(struct hyperv_service *s, const void *message, size_t size)
{
	const struct hv_kvp_msg *m = message;
	uint32_t status;

	if (size < sizeof(*m))
		return -EINVAL;
	if (s->state < HYPERV_READY)
		return handshake(s, m);
	if (s->state < HYPERV_ASKED)
		return -EINVAL;
	s->state = HYPERV_REPLIED;
	/* Daemons of old have no other way to say that there is no more. */
	if (s->registered == KVP_OP_REGISTER)
		status = m->body.kvp_enum_data.data.key[0] ? HV_S_OK : HV_S_CONT;
	else
		status = (uint32_t)m->error;
	if (hyperv_disarm(s)) {
		reply(s, m, status);
		hyperv_ready(s);
	}
	return 0;
}

/* ---- the machine sleeps ---- */

/* The host learns of what was under way from the end of the channel. */
static void suspend(struct hyperv_service *s)
{
	hyperv_disarm(s);
	s->state = HYPERV_READY;
}

static const struct hyperv_kind kind = {
	.name = "kvp",
	.path = HYPERV_KVP_PATH,
	.major = HYPERV_MISC_MAJOR,
	.minor = 261,
	.packet_max = HYPERV_KVP_PACKET_MAX,
	.offer = {frameworks, 2, versions, 3},
	.written = written,
	.kept = sizeof(struct hv_kvp_msg),
	.may_receive = may_receive,
	.received = received,
	.timed_out = hyperv_give_up,
	.reset = hyperv_reset,
	.suspend = suspend,
};

struct hyperv_service hyperv_kvp = {.kind = &kind, .lock = PTHREAD_MUTEX_INITIALIZER, .claim = -1};
