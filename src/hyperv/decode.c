/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What daemons read and write, for the trace: requests, and replies, which begin with a status.  A
 * registration is told from a reply by its number.
 */
#include <string.h>

#include "core/trace.h"
#include "core/user.h"
#include "hyperv/host.h"
#include "hyperv/hyperv.h"

#define TEXT_MAX 64u

static void print_name(struct trace_line *t, const char *const *names, size_t n, unsigned value)
{
	if (value < n && names[value])
		trace_print(t, "%s", names[value]);
	else
		trace_print(t, "%u", value);
}

/* `size` bytes at most, of which the beginning is shown. */
static void print_text(struct trace_line *t, const char *name, const uint8_t *text, size_t size)
{
	size_t length = strnlen((const char *)text, size);

	trace_print(t, ", %s=\"", name);
	for (size_t i = 0; i < length && i < TEXT_MAX; i++)
		if (text[i] >= ' ' && text[i] != '"' && text[i] != '\\' && text[i] != 0x7f)
			trace_print(t, "%c", text[i]);
		else
			trace_print(t, "\\x%02x", text[i]);
	trace_print(t, length > TEXT_MAX ? "\"..." : "\"");
}

static void print_pair(struct trace_line *t, const struct hv_kvp_exchg_msg_value *data)
{
	print_text(t, "key", data->key, sizeof(data->key));
	print_text(t, "value", data->value, sizeof(data->value));
}

static void print_status(struct trace_line *t, uint32_t status)
{
	const char *name = hyperv_status_name(status);

	if (name)
		trace_print(t, "%s", name);
	else
		trace_print(t, "%#x", status);
}

/* A reply: its status, and the pair that it may bring. */
static void print_kvp_reply(struct trace_line *t, const struct hv_kvp_msg *m)
{
	print_status(t, (uint32_t)m->error);
	if (m->error == HV_S_OK && m->body.kvp_enum_data.data.key[0])
		print_pair(t, &m->body.kvp_enum_data.data);
}

void hyperv_trace_kvp(struct trace_line *t, const void *data, size_t size, bool written)
{
	static const char *const operations[] = {
		[KVP_OP_GET] = "GET",
		[KVP_OP_SET] = "SET",
		[KVP_OP_DELETE] = "DELETE",
		[KVP_OP_ENUMERATE] = "ENUMERATE",
		[KVP_OP_GET_IP_INFO] = "GET_IP_INFO",
		[KVP_OP_SET_IP_INFO] = "SET_IP_INFO",
		[KVP_OP_REGISTER1] = "REGISTER1",
	};
	struct hv_kvp_msg m;

	if (size < sizeof(m) || copy_from_user(&m, data, sizeof(m))) {
		trace_print(t, "{}");
		return;
	}
	trace_print(t, "{");
	if (written && m.kvp_hdr.operation != KVP_OP_REGISTER1) {
		print_kvp_reply(t, &m);
		trace_print(t, "}");
		return;
	}
	print_name(t, operations, sizeof(operations) / sizeof(operations[0]), m.kvp_hdr.operation);
	if (m.kvp_hdr.operation != KVP_OP_REGISTER1)
		trace_print(t, ", pool=%u", m.kvp_hdr.pool);
	switch (m.kvp_hdr.operation) {
	case KVP_OP_GET:
	case KVP_OP_SET:
		print_pair(t, &m.body.kvp_set.data);
		break;
	case KVP_OP_DELETE:
		print_text(t, "key", m.body.kvp_delete.key, sizeof(m.body.kvp_delete.key));
		break;
	case KVP_OP_ENUMERATE:
		trace_print(t, ", index=%u", m.body.kvp_enum_data.index);
		break;
	case KVP_OP_GET_IP_INFO:
	case KVP_OP_SET_IP_INFO:
		print_text(t, "adapter", (const uint8_t *)m.body.kvp_ip_val.adapter_id,
			   sizeof(m.body.kvp_ip_val.adapter_id));
		print_text(t, "address", (const uint8_t *)m.body.kvp_ip_val.ip_addr,
			   sizeof(m.body.kvp_ip_val.ip_addr));
		break;
	case KVP_OP_REGISTER1:
		if (!written)
			print_text(t, "version", m.body.kvp_register.version,
				   sizeof(m.body.kvp_register.version));
		break;
	default:
		break;
	}
	trace_print(t, "}");
}

void hyperv_trace_vss(struct trace_line *t, const void *data, size_t size, bool written)
{
	static const char *const operations[] = {
		[VSS_OP_CREATE] = "CREATE",
		[VSS_OP_DELETE] = "DELETE",
		[VSS_OP_HOT_BACKUP] = "HOT_BACKUP",
		[VSS_OP_GET_DM_INFO] = "GET_DM_INFO",
		[VSS_OP_BU_COMPLETE] = "BU_COMPLETE",
		[VSS_OP_FREEZE] = "FREEZE",
		[VSS_OP_THAW] = "THAW",
		[VSS_OP_AUTO_RECOVER] = "AUTO_RECOVER",
		[VSS_OP_REGISTER] = "REGISTER",
		[VSS_OP_REGISTER1] = "REGISTER1",
	};
	struct hv_vss_msg m = {0};

	if (size < sizeof(m.error) ||
	    copy_from_user(&m, data, size < sizeof(m) ? size : sizeof(m))) {
		trace_print(t, "{}");
		return;
	}
	trace_print(t, "{");
	if (written && m.error != VSS_OP_REGISTER && m.error != VSS_OP_REGISTER1)
		print_status(t, (uint32_t)m.error);
	else
		print_name(t, operations, sizeof(operations) / sizeof(operations[0]),
			   m.vss_hdr.operation);
	trace_print(t, "}");
}

static void print_start(struct trace_line *t, const void *data)
{
	struct hv_start_fcopy m;

	if (copy_from_user(&m, data, sizeof(m)))
		return;
	print_text(t, "file", (const uint8_t *)m.file_name, sizeof(m.file_name));
	print_text(t, "path", (const uint8_t *)m.path_name, sizeof(m.path_name));
	trace_print(t, ", flags=%s%s%s", m.copy_flags & OVER_WRITE ? "OVER_WRITE" : "",
		    m.copy_flags & OVER_WRITE && m.copy_flags & CREATE_PATH ? "|" : "",
		    m.copy_flags & CREATE_PATH  ? "CREATE_PATH"
		    : m.copy_flags & OVER_WRITE ? ""
						: "0");
	trace_print(t, ", size=%llu", (unsigned long long)m.file_size);
}

static void print_write(struct trace_line *t, const void *data)
{
	struct hv_do_fcopy m;
	size_t head = offsetof(struct hv_do_fcopy, data);

	if (copy_from_user(&m, data, head) == 0)
		trace_print(t, ", offset=%llu, size=%u", (unsigned long long)m.offset, m.size);
}

void hyperv_trace_fcopy(struct trace_line *t, const void *data, size_t size, bool written)
{
	static const char *const operations[] = {
		[START_FILE_COPY] = "START_FILE_COPY",
		[WRITE_TO_FILE] = "WRITE_TO_FILE",
		[COMPLETE_FCOPY] = "COMPLETE_FCOPY",
		[CANCEL_FCOPY] = "CANCEL_FCOPY",
	};
	uint32_t first;

	trace_print(t, "{");
	if (size >= sizeof(first) && copy_from_user(&first, data, sizeof(first)) == 0) {
		if (size == sizeof(first)) {
			if (first == FCOPY_CURRENT_VERSION)
				trace_print(t, "version %u", first);
			else
				print_status(t, first);
		} else {
			print_name(t, operations, sizeof(operations) / sizeof(operations[0]),
				   first);
			if (first == START_FILE_COPY && size >= sizeof(struct hv_start_fcopy))
				print_start(t, data);
			if (first == WRITE_TO_FILE && size >= sizeof(struct hv_do_fcopy))
				print_write(t, data);
		}
	}
	trace_print(t, "}");
}
