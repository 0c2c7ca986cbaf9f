/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What ioctls and messages say, for trace lines.
 */
#include "core/trace.h"
#include "core/user.h"
#include "uffd/uffd.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct trace_flag features[] = {
	{UFFD_FEATURE_PAGEFAULT_FLAG_WP, "PAGEFAULT_FLAG_WP"},
	{UFFD_FEATURE_EVENT_FORK, "EVENT_FORK"},
	{UFFD_FEATURE_EVENT_REMAP, "EVENT_REMAP"},
	{UFFD_FEATURE_EVENT_REMOVE, "EVENT_REMOVE"},
	{UFFD_FEATURE_MISSING_HUGETLBFS, "MISSING_HUGETLBFS"},
	{UFFD_FEATURE_MISSING_SHMEM, "MISSING_SHMEM"},
	{UFFD_FEATURE_EVENT_UNMAP, "EVENT_UNMAP"},
	{UFFD_FEATURE_SIGBUS, "SIGBUS"},
	{UFFD_FEATURE_THREAD_ID, "THREAD_ID"},
	{UFFD_FEATURE_MINOR_HUGETLBFS, "MINOR_HUGETLBFS"},
	{UFFD_FEATURE_MINOR_SHMEM, "MINOR_SHMEM"},
	{UFFD_FEATURE_EXACT_ADDRESS, "EXACT_ADDRESS"},
	{UFFD_FEATURE_WP_HUGETLBFS_SHMEM, "WP_HUGETLBFS_SHMEM"},
	{UFFD_FEATURE_WP_UNPOPULATED, "WP_UNPOPULATED"},
	{UFFD_FEATURE_POISON, "POISON"},
	{UFFD_FEATURE_WP_ASYNC, "WP_ASYNC"},
	{UFFD_FEATURE_MOVE, "MOVE"},
	{UFFD_FEATURE_RWP, "RWP"},
	{UFFD_FEATURE_RWP_ASYNC, "RWP_ASYNC"},
};

static const struct trace_flag fault_flags[] = {
	{UFFD_PAGEFAULT_FLAG_WRITE, "WRITE"},
	{UFFD_PAGEFAULT_FLAG_WP, "WP"},
	{UFFD_PAGEFAULT_FLAG_MINOR, "MINOR"},
	{UFFD_PAGEFAULT_FLAG_RWP, "RWP"},
};

void uffd_decode_api(struct trace_line *t, const struct ioctl_call *call)
{
	const struct uffdio_api *api = call->data;

	trace_print(t, "{api=%#llx, features=", (unsigned long long)api->api);
	trace_flags(t, api->features, features, COUNT(features));
	trace_print(t, ", ioctls=%#llx}", (unsigned long long)api->ioctls);
}

static const struct trace_flag register_modes[] = {
	{UFFDIO_REGISTER_MODE_MISSING, "MISSING"},
	{UFFDIO_REGISTER_MODE_WP, "WP"},
	{UFFDIO_REGISTER_MODE_MINOR, "MINOR"},
	{UFFDIO_REGISTER_MODE_RWP, "RWP"},
};

static const struct trace_flag copy_modes[] = {{UFFDIO_COPY_MODE_DONTWAKE, "DONTWAKE"},
					       {UFFDIO_COPY_MODE_WP, "WP"}};

static const struct trace_flag move_modes[] = {
	{UFFDIO_MOVE_MODE_DONTWAKE, "DONTWAKE"},
	{UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES, "ALLOW_SRC_HOLES"},
};

static const struct trace_flag protect_modes[] = {{UFFDIO_WRITEPROTECT_MODE_WP, "PROTECT"},
						  {UFFDIO_WRITEPROTECT_MODE_DONTWAKE, "DONTWAKE"}};

static void trace_range(struct trace_line *t, const struct uffdio_range *r)
{
	trace_print(t, "{start=%#llx, len=%#llx", (unsigned long long)r->start,
		    (unsigned long long)r->len);
}

static void trace_mode(struct trace_line *t, uint64_t mode, const struct trace_flag *flags,
		       size_t n)
{
	trace_print(t, ", mode=");
	trace_flags(t, mode, flags, n);
}

/* What the ioctl has put behind its arguments. */
static void trace_answer(struct trace_line *t, const struct ioctl_call *call, const char *name)
{
	int64_t answer;

	if (copy_from_user(&answer, (const char *)call->arg + call->row->size, sizeof(answer)) == 0)
		trace_print(t, ", %s=%#llx", name, (unsigned long long)answer);
	trace_print(t, "}");
}

void uffd_decode_register(struct trace_line *t, const struct ioctl_call *call)
{
	const struct uffdio_register *r = call->data;

	trace_range(t, &r->range);
	trace_mode(t, r->mode, register_modes, COUNT(register_modes));
	trace_answer(t, call, "ioctls");
}

void uffd_decode_range(struct trace_line *t, const struct ioctl_call *call)
{
	trace_range(t, call->data);
	trace_print(t, "}");
}

void uffd_decode_copy(struct trace_line *t, const struct ioctl_call *call)
{
	const struct uffdio_copy *c = call->data;

	trace_print(t, "{dst=%#llx, src=%#llx, len=%#llx", (unsigned long long)c->dst,
		    (unsigned long long)c->src, (unsigned long long)c->len);
	if (call->cmd == UFFDIO_MOVE)
		trace_mode(t, c->mode, move_modes, COUNT(move_modes));
	else
		trace_mode(t, c->mode, copy_modes, COUNT(copy_modes));
	trace_answer(t, call, "done");
}

/* ZEROPAGE, CONTINUE and POISON, whose modes mean what those of COPY do. */
void uffd_decode_fill(struct trace_line *t, const struct ioctl_call *call)
{
	const struct uffdio_zeropage *z = call->data;

	trace_range(t, &z->range);
	trace_mode(t, z->mode, copy_modes, COUNT(copy_modes));
	trace_answer(t, call, "done");
}

void uffd_decode_protect(struct trace_line *t, const struct ioctl_call *call)
{
	const struct uffdio_writeprotect *p = call->data;

	trace_range(t, &p->range);
	trace_mode(t, p->mode, protect_modes, COUNT(protect_modes));
	trace_print(t, "}");
}

void uffd_decode_set_mode(struct trace_line *t, const struct ioctl_call *call)
{
	const struct uffdio_set_mode *m = call->data;

	trace_print(t, "{enable=");
	trace_flags(t, m->enable, features, COUNT(features));
	trace_print(t, ", disable=");
	trace_flags(t, m->disable, features, COUNT(features));
	trace_print(t, "}");
}

static void trace_one(struct trace_line *t, const struct uffd_msg *m)
{
	switch (m->event) {
	case UFFD_EVENT_PAGEFAULT:
		trace_print(t, "{PAGEFAULT, ");
		trace_flags(t, m->arg.pagefault.flags, fault_flags, COUNT(fault_flags));
		trace_print(t, ", %#llx, ptid=%u}", (unsigned long long)m->arg.pagefault.address,
			    m->arg.pagefault.feat.ptid);
		break;
	case UFFD_EVENT_FORK:
		trace_print(t, "{FORK, ufd=%u}", m->arg.fork.ufd);
		break;
	case UFFD_EVENT_REMAP:
		trace_print(t, "{REMAP, %#llx to %#llx, len=%#llx}",
			    (unsigned long long)m->arg.remap.from,
			    (unsigned long long)m->arg.remap.to,
			    (unsigned long long)m->arg.remap.len);
		break;
	case UFFD_EVENT_REMOVE:
	case UFFD_EVENT_UNMAP:
		trace_print(t, "{%s, %#llx to %#llx}",
			    m->event == UFFD_EVENT_REMOVE ? "REMOVE" : "UNMAP",
			    (unsigned long long)m->arg.remove.start,
			    (unsigned long long)m->arg.remove.end);
		break;
	default:
		trace_print(t, "{%#x}", m->event);
	}
}

void uffd_trace_message(struct trace_line *t, const void *data, size_t size, bool written)
{
	const char *from = data;
	struct uffd_msg message;

	trace_print(t, "[");
	for (size_t at = 0; at + sizeof(message) <= size; at += sizeof(message)) {
		if (copy_from_user(&message, from + at, sizeof(message)))
			break;
		trace_one(t, &message);
	}
	trace_print(t, "]");
}
