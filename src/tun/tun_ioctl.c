/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /dev/net/tun: the file and its ioctls, in the order of checks of __tun_chr_ioctl():
 * what has a struct ifreq reads it first, then the file must have an interface.
 */
#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "core/hostfd.h"
#include "core/trace.h"
#include "core/user.h"
#include "tun/tun.h"

/* <linux/sockios.h> of kernels from 4.10 on, <linux/if_tun.h> */
#define ALL_FEATURES                                                                      \
	(IFF_TUN | IFF_TAP | IFF_NO_PI | IFF_ONE_QUEUE | IFF_VNET_HDR | IFF_MULTI_QUEUE | \
	 IFF_NAPI | IFF_NAPI_FRAGS | IFF_NO_CARRIER | IFF_BACKPRESSURE)

#define HANDLER(name) static long name(struct file *f, struct ioctl_call *call)

/* An ioctl on the file's interface: NAME_device() runs under the lock if there is one. */
#define ON_DEVICE(name)                                                                           \
	static long name##_device(struct tun_file *file, struct tun *t, struct ioctl_call *call); \
	HANDLER(name)                                                                             \
	{                                                                                         \
		return on_device(f, call, name##_device);                                         \
	}                                                                                         \
	static long name##_device(struct tun_file *file, struct tun *t, struct ioctl_call *call)

static long on_device(struct file *f, struct ioctl_call *call,
		      long (*run)(struct tun_file *, struct tun *, struct ioctl_call *))
{
	struct tun_file *file = f->priv;
	long ret;

	pthread_mutex_lock(&tun_lock);
	ret = file->tun ? run(file, file->tun, call) : -EBADFD;
	pthread_mutex_unlock(&tun_lock);
	return ret;
}

static long put_int(const struct ioctl_call *call, int value)
{
	return copy_to_user((void *)call->arg, &value, sizeof(value));
}

static long get_int(const struct ioctl_call *call, int *ret_value)
{
	return copy_from_user(ret_value, (const void *)call->arg, sizeof(*ret_value));
}

/* ---- without an interface ---- */

HANDLER(get_features)
{
	return put_int(call, ALL_FEATURES);
}

HANDLER(set_iff)
{
	struct tun_file *file = f->priv;
	struct ifreq request;
	long ret;

	if (copy_from_user(&request, (const void *)call->arg, sizeof(request)))
		return -EFAULT;
	request.ifr_name[IFNAMSIZ - 1] = 0;
	pthread_mutex_lock(&tun_lock);
	ret = file->tun ? -EEXIST : tun_attach(file, &request);
	if (!ret)
		ret = copy_to_user((void *)call->arg, &request, sizeof(request));
	pthread_mutex_unlock(&tun_lock);
	return ret;
}

HANDLER(set_queue)
{
	struct ifreq request;
	long ret;

	if (copy_from_user(&request, (const void *)call->arg, sizeof(request)))
		return -EFAULT;
	pthread_mutex_lock(&tun_lock);
	ret = tun_set_queue(f->priv, (unsigned short)request.ifr_flags);
	pthread_mutex_unlock(&tun_lock);
	return ret;
}

HANDLER(set_index)
{
	struct tun_file *file = f->priv;
	int index;

	if (file->tun)
		return -EPERM;
	if (get_int(call, &index))
		return -EFAULT;
	if (index < 0)
		return -EINVAL;
	file->index = index;
	return 0;
}

/* The network's namespace is not the process's to have. */
HANDLER(no_namespace)
{
	(void)f;
	(void)call;
	return -EPERM;
}

/* ---- with one ---- */

ON_DEVICE(get_iff)
{
	struct ifreq request = {0};
	unsigned flags = t->flags | IFF_NOFILTER;

	if (file->detached)
		flags |= IFF_DETACH_QUEUE;
	strcpy(request.ifr_name, t->name);
	request.ifr_flags = (short)flags;
	return copy_to_user((void *)call->arg, &request, sizeof(request));
}

ON_DEVICE(set_persist)
{
	(void)file;
	t->flags = call->arg ? t->flags | IFF_PERSIST : t->flags & ~(unsigned)IFF_PERSIST;
	return 0;
}

ON_DEVICE(set_owner)
{
	(void)file;
	if ((uint32_t)call->arg == UINT32_MAX)
		return -EINVAL;
	t->owner = (uint32_t)call->arg;
	return 0;
}

ON_DEVICE(set_group)
{
	(void)file;
	if ((uint32_t)call->arg == UINT32_MAX)
		return -EINVAL;
	t->group = (uint32_t)call->arg;
	return 0;
}

ON_DEVICE(set_link)
{
	(void)file;
	if (atomic_load(&t->up))
		return -EBUSY;
	t->type = (uint16_t)call->arg;
	return 0;
}

/* Printing is the kernel's business: both change nothing that a client could see. */
ON_DEVICE(set_debug)
{
	(void)file;
	(void)t;
	(void)call;
	return 0;
}

ON_DEVICE(set_offload)
{
	unsigned long arg = call->arg;
	net_offloads take = 0;
	bool plain;

	(void)file;
	if (arg & TUN_F_CSUM) {
		take |= TUN_F_CSUM;
		arg &= ~(unsigned long)TUN_F_CSUM;
		if (arg & (TUN_F_TSO4 | TUN_F_TSO6)) {
			take |= arg & (TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN);
			arg &= ~(unsigned long)(TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN);
		}
		arg &= ~(unsigned long)TUN_F_UFO;
		if ((arg & TUN_F_USO4) && (arg & TUN_F_USO6)) {
			take |= TUN_F_USO4 | TUN_F_USO6;
			arg &= ~(unsigned long)(TUN_F_USO4 | TUN_F_USO6);
		}
		/* Tunnels are accepted where a plain one is; no packet of theirs ever comes. */
		plain = take & ~(net_offloads)(TUN_F_CSUM | TUN_F_TSO_ECN);
		if (plain && (arg & TUN_F_UDP_TUNNEL_GSO))
			arg &= ~(unsigned long)(TUN_F_UDP_TUNNEL_GSO | TUN_F_UDP_TUNNEL_GSO_CSUM);
	}
	if (arg)
		return -EINVAL;
	/* Without headers a packet could not say what is left to do. */
	return net_set_offloads(t->port, t->flags & IFF_VNET_HDR ? take : 0);
}

ON_DEVICE(set_filter)
{
	const uint8_t *at = (const uint8_t *)call->arg;
	struct tun_filter_state new = {0};
	struct tun_filter given;
	uint8_t address[TUN_MAC];
	bool all = false;

	(void)file;
	if (copy_from_user(&given, at, sizeof(given)))
		return -EFAULT;
	at += sizeof(given);
	for (unsigned i = 0; i < given.count; i++, at += TUN_MAC) {
		if (copy_from_user(address, at, TUN_MAC))
			return -EFAULT;
		if (i < TUN_FILTER_EXACT)
			memcpy(new.exact[new.n_exact++], address, TUN_MAC);
		else if (address[0] & 1)
			tun_filter_add_multicast(&new, address);
		else
			all = true; /* one address too many: everything */
	}
	if (given.flags & TUN_FLT_ALLMULTI)
		new.multicast = UINT64_MAX;
	if (all)
		new.n_exact = 0;
	pthread_mutex_lock(&t->filter_lock);
	t->filter = new;
	pthread_mutex_unlock(&t->filter_lock);
	return new.n_exact;
}

/* There is nothing that runs a socket's filter here, so none is ever attached. */
ON_DEVICE(attach_filter)
{
	struct sock_fprog program;

	(void)file;
	(void)t;
	if (copy_from_user(&program, (const void *)call->arg, sizeof(program)))
		return -EFAULT;
	return -EOPNOTSUPP;
}

ON_DEVICE(detach_filter)
{
	(void)file;
	(void)t;
	(void)call;
	return 0;
}

ON_DEVICE(get_filter)
{
	struct sock_fprog none = {0};

	(void)file;
	(void)t;
	return copy_to_user((void *)call->arg, &none, sizeof(none));
}

/* -1 takes a program away; a program itself can't be run. */
ON_DEVICE(set_ebpf)
{
	int fd, taken;

	(void)file;
	(void)t;
	if (get_int(call, &fd))
		return -EFAULT;
	if (fd == -1)
		return 0;
	taken = user_fd_take(fd);
	if (taken < 0)
		return -EBADF;
	hostfd_close(taken);
	return -EINVAL;
}

ON_DEVICE(set_carrier)
{
	int carrier;

	(void)file;
	if (get_int(call, &carrier))
		return -EFAULT;
	atomic_store(&t->carrier, carrier != 0);
	return 0;
}

ON_DEVICE(get_sndbuf)
{
	(void)file;
	return put_int(call, t->sndbuf);
}

/* A packet is with the port when write(2) returns, so nothing is ever charged. */
ON_DEVICE(set_sndbuf)
{
	int size;

	(void)file;
	if (get_int(call, &size))
		return -EFAULT;
	if (size <= 0)
		return -EINVAL;
	t->sndbuf = size;
	return 0;
}

ON_DEVICE(get_header_size)
{
	(void)file;
	return put_int(call, (int)t->vnet_hdr_size);
}

ON_DEVICE(set_header_size)
{
	int size;

	(void)file;
	if (get_int(call, &size))
		return -EFAULT;
	if (size < (int)sizeof(struct virtio_net_hdr))
		return -EINVAL;
	atomic_store(&t->vnet_hdr_size, (uint32_t)size);
	return 0;
}

ON_DEVICE(get_little_endian)
{
	(void)file;
	return put_int(call, t->vnet_le);
}

/* x86's headers are little-endian either way. */
ON_DEVICE(set_little_endian)
{
	int value;

	(void)file;
	if (get_int(call, &value))
		return -EFAULT;
	t->vnet_le = value != 0;
	return 0;
}

/* CONFIG_TUN_VNET_CROSS_LE is off. */
ON_DEVICE(no_big_endian)
{
	(void)file;
	(void)t;
	(void)call;
	return -EINVAL;
}

static long address_ioctl(struct tun *t, struct ioctl_call *call, struct ifreq *request)
{
	bool write;
	long ret = tun_netdevice_ioctl(t, call->cmd, request, &write);

	if (!ret && write)
		ret = copy_to_user((void *)call->arg, request, sizeof(*request));
	return ret;
}

HANDLER(hardware_address)
{
	struct tun_file *file = f->priv;
	struct ifreq request;
	long ret;

	if (copy_from_user(&request, (const void *)call->arg, sizeof(request)))
		return -EFAULT;
	pthread_mutex_lock(&tun_lock);
	ret = file->tun ? address_ioctl(file->tun, call, &request) : -EBADFD;
	pthread_mutex_unlock(&tun_lock);
	return ret;
}

static long unknown(struct file *f, struct ioctl_call *call)
{
	struct tun_file *file = f->priv;
	struct ifreq request;

	if (_IOC_TYPE(call->cmd) == SOCK_IOC_TYPE &&
	    copy_from_user(&request, (const void *)call->arg, sizeof(request)))
		return -EFAULT;
	return file->tun ? -EINVAL : -EBADFD;
}

/* ---- trace ---- */

static void decode_request(struct trace_line *t, const struct ioctl_call *call)
{
	static const struct trace_flag flags[] = {
		{IFF_TUN, "IFF_TUN"},
		{IFF_TAP, "IFF_TAP"},
		{IFF_NAPI, "IFF_NAPI"},
		{IFF_NAPI_FRAGS, "IFF_NAPI_FRAGS"},
		{IFF_MULTI_QUEUE, "IFF_MULTI_QUEUE"},
		{IFF_ATTACH_QUEUE, "IFF_ATTACH_QUEUE"},
		{IFF_DETACH_QUEUE, "IFF_DETACH_QUEUE"},
		{IFF_PERSIST, "IFF_PERSIST"},
		{IFF_NO_PI, "IFF_NO_PI"},
		{IFF_ONE_QUEUE, "IFF_ONE_QUEUE"},
		{IFF_VNET_HDR, "IFF_VNET_HDR"},
		{IFF_TUN_EXCL, "IFF_TUN_EXCL"},
	};
	struct ifreq request;

	if (copy_from_user(&request, (const void *)call->arg, sizeof(request))) {
		trace_print(t, "%#lx", call->arg);
		return;
	}
	trace_print(t, "{\"%.*s\", ", IFNAMSIZ, request.ifr_name);
	trace_flags(t, (unsigned short)request.ifr_flags, flags, sizeof(flags) / sizeof(flags[0]));
	trace_print(t, "}");
}

static void decode_int(struct trace_line *t, const struct ioctl_call *call)
{
	int value;

	if (get_int(call, &value))
		trace_print(t, "%#lx", call->arg);
	else
		trace_print(t, "[%d]", value);
}

static void decode_offload(struct trace_line *t, const struct ioctl_call *call)
{
	static const struct trace_flag flags[] = {
		{TUN_F_CSUM, "CSUM"},       {TUN_F_TSO4, "TSO4"}, {TUN_F_TSO6, "TSO6"},
		{TUN_F_TSO_ECN, "TSO_ECN"}, {TUN_F_UFO, "UFO"},   {TUN_F_USO4, "USO4"},
		{TUN_F_USO6, "USO6"},
	};

	trace_flags(t, call->arg, flags, sizeof(flags) / sizeof(flags[0]));
}

/* Not over IOCTL_ROW(), which would be given the number for a name. */
#define ROW(command, handler_, decode_)                                                        \
	{                                                                                      \
		.cmd = (command), .name = #command, .rule = IOCTL_USER, .handler = (handler_), \
		.decode = (decode_)                                                            \
	}
#define NUMBER(command, handler_, decode_)                                                      \
	{                                                                                       \
		.cmd = (command), .name = #command, .rule = IOCTL_VALUE, .handler = (handler_), \
		.decode = (decode_)                                                             \
	}

static const struct ioctl_row rows[] = {
	ROW(TUNGETFEATURES, get_features, decode_int),
	ROW(TUNSETIFF, set_iff, decode_request),
	ROW(TUNSETQUEUE, set_queue, decode_request),
	ROW(TUNSETIFINDEX, set_index, decode_int),
	ROW(TUNGETIFF, get_iff, decode_request),
	NUMBER(TUNSETNOCSUM, set_debug, NULL),
	NUMBER(TUNSETDEBUG, set_debug, NULL),
	NUMBER(TUNSETPERSIST, set_persist, NULL),
	NUMBER(TUNSETOWNER, set_owner, NULL),
	NUMBER(TUNSETGROUP, set_group, NULL),
	NUMBER(TUNSETLINK, set_link, NULL),
	NUMBER(TUNSETOFFLOAD, set_offload, decode_offload),
	ROW(TUNSETTXFILTER, set_filter, NULL),
	ROW(TUNATTACHFILTER, attach_filter, NULL),
	ROW(TUNDETACHFILTER, detach_filter, NULL),
	ROW(TUNGETFILTER, get_filter, NULL),
	ROW(TUNSETSTEERINGEBPF, set_ebpf, decode_int),
	ROW(TUNSETFILTEREBPF, set_ebpf, decode_int),
	ROW(TUNSETCARRIER, set_carrier, decode_int),
	ROW(TUNGETSNDBUF, get_sndbuf, decode_int),
	ROW(TUNSETSNDBUF, set_sndbuf, decode_int),
	ROW(TUNGETVNETHDRSZ, get_header_size, decode_int),
	ROW(TUNSETVNETHDRSZ, set_header_size, decode_int),
	ROW(TUNGETVNETLE, get_little_endian, decode_int),
	ROW(TUNSETVNETLE, set_little_endian, decode_int),
	ROW(TUNGETVNETBE, no_big_endian, NULL),
	ROW(TUNSETVNETBE, no_big_endian, NULL),
	ROW(SIOCGIFHWADDR, hardware_address, NULL),
	ROW(SIOCSIFHWADDR, hardware_address, NULL),
	ROW(SIOCGSKNS, no_namespace, NULL),
	ROW(TUNGETDEVNETNS, no_namespace, NULL),
};

const struct ioctl_table tun_table = {
	.kind = "tun",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.unknown = -EBADFD,
	.otherwise = unknown,
};

/* ---- the file ---- */

static int tun_open(struct file *f, void *context)
{
	struct tun_file *file = calloc(1, sizeof(*file));

	(void)context;
	if (!file)
		return -ENOMEM;
	file->file = f;
	pthread_mutex_init(&file->read_lock, NULL);
	pthread_mutex_init(&file->write_lock, NULL);
	pthread_mutex_init(&file->events_lock, NULL);
	f->priv = file;
	return 0;
}

static void tun_release(struct file *f)
{
	struct tun_file *file = f->priv;

	pthread_mutex_lock(&tun_lock);
	tun_leave(file);
	pthread_mutex_unlock(&tun_lock);
	pthread_mutex_destroy(&file->read_lock);
	pthread_mutex_destroy(&file->write_lock);
	pthread_mutex_destroy(&file->events_lock);
	free(file);
}

static int tun_net_port(struct file *f, struct net_port **ret_port, unsigned *ret_queue)
{
	struct tun_file *file = f->priv;
	int ret = -EBADFD;

	pthread_mutex_lock(&tun_lock);
	if (file->tun) {
		*ret_port = file->tun->port;
		*ret_queue = file->queue;
		ret = 0;
	}
	pthread_mutex_unlock(&tun_lock);
	return ret;
}

const struct file_ops tun_ops = {
	.kind = "tun",
	.ioctls = &tun_table,
	.messages = true,
	.open = tun_open,
	.release = tun_release,
	.read = tun_read,
	.write = tun_write,
	.net_port = tun_net_port,
};
