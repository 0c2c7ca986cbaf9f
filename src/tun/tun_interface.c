/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interfaces: making one by name, files joining and leaving.
 *
 * A file keeps the same queue of the port for as long as it belongs to the interface; where
 * the kernel numbers queues anew when one goes, nobody could tell.
 */
#include "tun/tun.h"

#include <errno.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config.h"
#include "core/instance.h"
#include "core/log.h"
#include "core/syscall.h"

#define FEATURES                                                                                  \
	(IFF_NO_PI | IFF_ONE_QUEUE | IFF_VNET_HDR | IFF_MULTI_QUEUE | IFF_NAPI | IFF_NAPI_FRAGS | \
	 IFF_BACKPRESSURE)
#define FIRST_INDEX 4096 /* well above those of the machine's own interfaces */
#define NAMES_MAX   32768
#define MTU         1500u

pthread_mutex_t tun_lock = PTHREAD_MUTEX_INITIALIZER;

static struct tun *all;
static int next_index = FIRST_INDEX;

struct tun *tun_find(const char *name)
{
	struct tun *t = all;

	while (t && strncmp(t->name, name, IFNAMSIZ) != 0)
		t = t->next;
	return t;
}

struct tun *tun_find_index(int index)
{
	struct tun *t = all;

	while (t && t->index != index)
		t = t->next;
	return t;
}

/* net/core/dev.c dev_valid_name() */
static bool valid_name(const char *name)
{
	if (!*name || strlen(name) >= IFNAMSIZ || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (; *name; name++)
		if (*name == '/' || *name == ':' || (unsigned char)*name <= ' ' ||
		    (unsigned char)*name == 0xa0)
			return false;
	return true;
}

/* A name without a number in it gets the first that is free: "tap%d" (__dev_alloc_name()). */
static long choose_name(const char *asked, char name[IFNAMSIZ])
{
	const char *percent = strchr(asked, '%');
	char text[IFNAMSIZ + 16];

	if (!valid_name(asked))
		return -EINVAL;
	if (!percent) {
		strcpy(name, asked);
		return 0;
	}
	if (percent[1] != 'd' || strchr(percent + 2, '%'))
		return -EINVAL;
	for (int i = 0; i < NAMES_MAX; i++) {
		snprintf(text, sizeof(text), "%.*s%d%s", (int)(percent - asked), asked, i,
			 percent + 2);
		if (strlen(text) >= IFNAMSIZ)
			return -EINVAL;
		if (!tun_find(text)) {
			strcpy(name, text);
			return 0;
		}
	}
	return -ENFILE;
}

/* The port that --net gives to an interface of that name; one without a name is for all. */
static const char *network_of(const char *name)
{
	const struct config *c = instance->config;
	const char *any = NULL;

	for (size_t i = 0; i < c->n_nets; i++) {
		if (!c->nets[i].ifname)
			any = c->nets[i].spec;
		else if (!strcmp(c->nets[i].ifname, name))
			return c->nets[i].spec;
	}
	return any;
}

static long plug_in(struct tun *t)
{
	const char *spec = network_of(t->name);
	char error[NET_ERROR_MAX];
	int ret;

	if (!spec) {
		log_warning("tun: no --net is for an interface named %s", t->name);
		return -ENXIO;
	}
	ret = net_open(spec, t->name, t->flags & IFF_MULTI_QUEUE ? TUN_QUEUES_MAX : 1, &t->port,
		       error);
	if (ret)
		log_warning("tun: %s: %s", t->name, error);
	return ret;
}

static void destroy(struct tun *t)
{
	struct tun **link = &all;

	while (*link && *link != t)
		link = &(*link)->next;
	if (*link)
		*link = t->next;
	net_close(t->port);
	pthread_mutex_destroy(&t->filter_lock);
	free(t);
}

static void random_mac(uint8_t mac[TUN_MAC])
{
	host_syscall(SYS_getrandom, mac, TUN_MAC, 0);
	mac[0] = (uint8_t)((mac[0] & ~1u) | 2u); /* of one station, locally administered */
}

static long create(struct tun_file *file, const struct ifreq *request, struct tun **ret_tun)
{
	unsigned flags = (unsigned short)request->ifr_flags;
	char name[IFNAMSIZ];
	struct tun *t;
	long ret;

	/* Frames without Ethernet headers fit no port. */
	if (!(flags & IFF_TAP) || (flags & IFF_TUN))
		return -EINVAL;
	ret = choose_name(*request->ifr_name ? request->ifr_name : "tap%d", name);
	if (ret)
		return ret;
	if (file->index && tun_find_index(file->index))
		return -EBUSY;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	strcpy(t->name, name);
	pthread_mutex_init(&t->filter_lock, NULL);
	t->flags = IFF_TAP | (flags & FEATURES);
	t->index = file->index ? file->index : next_index++;
	t->sndbuf = INT32_MAX;
	t->owner = t->group = UINT32_MAX;
	t->type = ARPHRD_ETHER;
	t->mtu = MTU;
	random_mac(t->mac);
	atomic_store(&t->vnet_hdr_size, sizeof(struct virtio_net_hdr));
	atomic_store(&t->up, true);
	ret = plug_in(t);
	if (ret) {
		destroy(t);
		return ret;
	}
	t->next = all;
	all = t;
	*ret_tun = t;
	return 0;
}

/* tun_attach() of the kernel: the file becomes one more queue. */
static long add_queue(struct tun *t, struct tun_file *file)
{
	unsigned queue = file->queue;

	if (!(t->flags & IFF_MULTI_QUEUE) && t->n_queues == 1)
		return -EBUSY;
	if (!file->detached) {
		if (t->n_queues + t->n_disabled == TUN_QUEUES_MAX)
			return -E2BIG;
		for (queue = 0; t->used[queue / 64] >> queue % 64 & 1; queue++)
			;
		t->used[queue / 64] |= UINT64_C(1) << queue % 64;
	} else {
		t->n_disabled--;
	}
	t->n_queues++;
	file->queue = queue;
	file->tun = t;
	file->detached = false;
	net_set_owner_ready(t->port, queue, tun_ready, file);
	tun_start_events(file);
	return 0;
}

long tun_attach(struct tun_file *file, struct ifreq *request)
{
	unsigned flags = (unsigned short)request->ifr_flags;
	struct tun *t;
	long ret;

	if ((flags & IFF_NAPI_FRAGS) && (!(flags & IFF_NAPI) || (flags & IFF_TUN)))
		return -EINVAL;
	t = tun_find(request->ifr_name);
	if (t) {
		if (flags & IFF_TUN_EXCL)
			return -EBUSY;
		if (!(flags & IFF_TAP) || (flags & IFF_TUN))
			return -EINVAL;
		if (!(flags & IFF_MULTI_QUEUE) != !(t->flags & IFF_MULTI_QUEUE))
			return -EINVAL;
		ret = add_queue(t, file);
		if (ret)
			return ret;
		/* Who joins others takes the interface as it is. */
		if (!(t->flags & IFF_MULTI_QUEUE) || t->n_queues + t->n_disabled <= 1)
			t->flags = (t->flags & ~(unsigned)FEATURES) | (flags & FEATURES);
		else
			flags &= ~(unsigned)IFF_NO_CARRIER;
	} else {
		ret = create(file, request, &t);
		if (ret)
			return ret;
		add_queue(t, file);
	}
	atomic_store(&t->carrier, !(flags & IFF_NO_CARRIER));
	strcpy(request->ifr_name, t->name);
	return 0;
}

static void take_queue(struct tun_file *file)
{
	net_set_owner_ready(file->tun->port, file->queue, NULL, NULL);
	file->tun->n_queues--;
}

long tun_set_queue(struct tun_file *file, unsigned flags)
{
	struct tun *t = file->tun;

	if (flags & IFF_ATTACH_QUEUE)
		return file->detached ? add_queue(t, file) : -EINVAL;
	if (!(flags & IFF_DETACH_QUEUE) || !t || !(t->flags & IFF_MULTI_QUEUE) || file->detached)
		return -EINVAL;
	take_queue(file);
	t->n_disabled++;
	file->detached = true;
	file_set_events(file->file, 0);
	return 0;
}

void tun_leave(struct tun_file *file)
{
	struct tun *t = file->tun;

	if (!t)
		return;
	if (file->detached)
		t->n_disabled--;
	else
		take_queue(file);
	t->used[file->queue / 64] &= ~(UINT64_C(1) << file->queue % 64);
	file->tun = NULL;
	if (t->n_queues + t->n_disabled == 0 && !(t->flags & IFF_PERSIST))
		destroy(t);
}

void tun_drop_interfaces(void)
{
	pthread_mutex_lock(&tun_lock);
	while (all)
		destroy(all);
	pthread_mutex_unlock(&tun_lock);
}
