/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The arguments of vhost's ioctls and the messages of the IOTLB in words, for the trace.  They
 * run after the handler and read the argument anew; one that can't be read is printed as the
 * pointer that it is.
 */
#include <stddef.h>

#include "core/user.h"
#include "vhost/vhost.h"

#define N(array)   (sizeof(array) / sizeof((array)[0]))
#define HEX(value) ((unsigned long long)(value))

static bool now(struct trace_line *t, const struct ioctl_call *call, void *to, size_t size)
{
	if (!copy_from_user(to, (const void *)call->arg, size))
		return true;
	trace_print(t, "%#lx", call->arg);
	return false;
}

VHOST_DECODER(vhost_decode_u64)
{
	uint64_t value;

	if (now(t, call, &value, sizeof(value)))
		trace_print(t, "[%#llx]", HEX(value));
}

VHOST_DECODER(vhost_decode_u8)
{
	uint8_t value;

	if (now(t, call, &value, sizeof(value)))
		trace_print(t, "[%u]", value);
}

VHOST_DECODER(vhost_decode_int)
{
	int32_t value;

	if (now(t, call, &value, sizeof(value)))
		trace_print(t, "[%d]", value);
}

VHOST_DECODER(vhost_decode_features)
{
	static const struct trace_flag flags[] = {
		{UINT64_C(1) << VIRTIO_F_NOTIFY_ON_EMPTY, "NOTIFY_ON_EMPTY"},
		{UINT64_C(1) << VHOST_F_LOG_ALL, "LOG_ALL"},
		{UINT64_C(1) << VIRTIO_F_ANY_LAYOUT, "ANY_LAYOUT"},
		{UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC, "INDIRECT_DESC"},
		{UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX, "EVENT_IDX"},
		{UINT64_C(1) << VIRTIO_F_VERSION_1, "VERSION_1"},
		{UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM, "ACCESS_PLATFORM"},
	};
	uint64_t value;

	if (!now(t, call, &value, sizeof(value)))
		return;
	trace_print(t, "[");
	trace_flags(t, value, flags, N(flags));
	trace_print(t, "]");
}

VHOST_DECODER(vhost_decode_memory)
{
	const struct vhost_memory *from = (const void *)call->arg;
	struct vhost_memory_region r;
	struct vhost_memory head;

	if (!now(t, call, &head, sizeof(head)))
		return;
	trace_print(t, "{nregions=%u, padding=%u", head.nregions, head.padding);
	for (unsigned i = 0; i < head.nregions && i < 4; i++) {
		if (copy_from_user(&r, &from->regions[i], sizeof(r)))
			break;
		trace_print(t, ", {guest_phys_addr=%#llx, memory_size=%#llx, userspace_addr=%#llx}",
			    HEX(r.guest_phys_addr), HEX(r.memory_size), HEX(r.userspace_addr));
	}
	trace_print(t, head.nregions > 4 ? ", ...}" : "}");
}

VHOST_DECODER(vhost_decode_state)
{
	struct vhost_vring_state s;

	if (now(t, call, &s, sizeof(s)))
		trace_print(t, "{index=%u, num=%u}", s.index, s.num);
}

VHOST_DECODER(vhost_decode_addr)
{
	struct vhost_vring_addr a;

	if (now(t, call, &a, sizeof(a)))
		trace_print(t,
			    "{index=%u, flags=%#x, desc=%#llx, used=%#llx, avail=%#llx, "
			    "log=%#llx}",
			    a.index, a.flags, HEX(a.desc_user_addr), HEX(a.used_user_addr),
			    HEX(a.avail_user_addr), HEX(a.log_guest_addr));
}

VHOST_DECODER(vhost_decode_file)
{
	struct vhost_vring_file s;

	if (now(t, call, &s, sizeof(s)))
		trace_print(t, "{index=%u, fd=%d}", s.index, s.fd);
}

VHOST_DECODER(vhost_decode_features_array)
{
	uint64_t words[3];

	if (now(t, call, words, sizeof(words)))
		trace_print(t, "{count=%llu, [%#llx, %#llx, ...]}", HEX(words[0]), HEX(words[1]),
			    HEX(words[2]));
}

VHOST_DECODER(vhost_decode_worker)
{
	struct vhost_worker_state s;

	if (now(t, call, &s, sizeof(s)))
		trace_print(t, "[%u]", s.worker_id);
}

VHOST_DECODER(vhost_decode_vring_worker)
{
	struct vhost_vring_worker s;

	if (now(t, call, &s, sizeof(s)))
		trace_print(t, "{index=%u, worker_id=%u}", s.index, s.worker_id);
}

VHOST_DECODER(vhost_decode_scsi_target)
{
	struct vhost_scsi_target target;

	if (now(t, call, &target, sizeof(target)))
		trace_print(t, "{abi_version=%d, vhost_wwpn=\"%.*s\", vhost_tpgt=%u}",
			    target.abi_version, (int)sizeof(target.vhost_wwpn), target.vhost_wwpn,
			    target.vhost_tpgt);
}

static void decode_iotlb(struct trace_line *t, const struct vhost_iotlb_msg *m)
{
	static const char *const types[] = {
		[VHOST_IOTLB_MISS] = "MISS",
		[VHOST_IOTLB_UPDATE] = "UPDATE",
		[VHOST_IOTLB_INVALIDATE] = "INVALIDATE",
		[VHOST_IOTLB_ACCESS_FAIL] = "ACCESS_FAIL",
		[VHOST_IOTLB_BATCH_BEGIN] = "BATCH_BEGIN",
		[VHOST_IOTLB_BATCH_END] = "BATCH_END",
	};
	static const char *const perms[] = {"0", "RO", "WO", "RW"};

	if (m->type < N(types) && types[m->type])
		trace_print(t, "VHOST_IOTLB_%s", types[m->type]);
	else
		trace_print(t, "type=%u", m->type);
	if (m->type == VHOST_IOTLB_BATCH_BEGIN || m->type == VHOST_IOTLB_BATCH_END)
		return;
	trace_print(t, ", iova=%#llx", HEX(m->iova));
	if (m->type != VHOST_IOTLB_MISS)
		trace_print(t, ", size=%#llx", HEX(m->size));
	if (m->type == VHOST_IOTLB_UPDATE)
		trace_print(t, ", uaddr=%#llx", HEX(m->uaddr));
	if (m->type == VHOST_IOTLB_INVALIDATE)
		return;
	if (m->perm < N(perms))
		trace_print(t, ", perm=%s", perms[m->perm]);
	else
		trace_print(t, ", perm=%#x", m->perm);
}

void vhost_trace_message(struct trace_line *t, const void *data, size_t size, bool written)
{
	const size_t whole = offsetof(struct vhost_msg_v2, iotlb) + sizeof(struct vhost_iotlb_msg);
	struct vhost_msg_v2 m;

	if (size < whole || copy_from_user(&m, data, whole)) {
		trace_print(t, "%p", data);
		return;
	}
	if (m.type == VHOST_IOTLB_MSG_V2)
		trace_print(t, "{v2, asid=%u, ", m.asid);
	else if (m.type == VHOST_IOTLB_MSG)
		trace_print(t, "{v1, ");
	else
		trace_print(t, "{type=%u, ", m.type);
	decode_iotlb(t, &m.iotlb);
	trace_print(t, "}");
}
