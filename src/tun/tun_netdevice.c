/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What ioctl(2) on a socket, or on the tap itself, says of an interface (net/core/dev_ioctl.c).
 */
#include <errno.h>
#include <net/if_arp.h>
#include <linux/sockios.h>
#include <string.h>

#include "core/user.h"
#include "tun/tun.h"

#define MTU_MIN 68u
#define MTU_MAX 65521u /* 65535 without an Ethernet header */

static long set_mac(struct tun *t, const struct sockaddr *address)
{
	static const uint8_t zero[TUN_MAC];
	const uint8_t *mac = (const uint8_t *)address->sa_data;

	if (address->sa_family != t->type)
		return -EINVAL;
	if ((mac[0] & 1) || !memcmp(mac, zero, TUN_MAC))
		return -EADDRNOTAVAIL;
	memcpy(t->mac, mac, TUN_MAC);
	return 0;
}

static short flags_of(const struct tun *t)
{
	short flags = IFF_BROADCAST | IFF_MULTICAST;

	if (atomic_load(&t->up))
		flags |= atomic_load(&t->carrier) ? IFF_UP | IFF_RUNNING : IFF_UP;
	return flags;
}

long tun_netdevice_ioctl(struct tun *t, unsigned cmd, struct ifreq *request, bool *ret_write)
{
	*ret_write = false;
	switch (cmd) {
	case SIOCGIFFLAGS:
		request->ifr_flags = flags_of(t);
		break;
	case SIOCSIFFLAGS:
		atomic_store(&t->up, request->ifr_flags & IFF_UP);
		return 0;
	case SIOCGIFINDEX:
		request->ifr_ifindex = t->index;
		break;
	case SIOCGIFMTU:
		request->ifr_mtu = (int)t->mtu;
		break;
	case SIOCSIFMTU:
		if (request->ifr_mtu < (int)MTU_MIN || request->ifr_mtu > (int)MTU_MAX)
			return -EINVAL;
		t->mtu = (uint32_t)request->ifr_mtu;
		return 0;
	case SIOCGIFHWADDR:
		memset(&request->ifr_hwaddr, 0, sizeof(request->ifr_hwaddr));
		request->ifr_hwaddr.sa_family = t->type;
		memcpy(request->ifr_hwaddr.sa_data, t->mac, TUN_MAC);
		break;
	case SIOCSIFHWADDR:
		return set_mac(t, &request->ifr_hwaddr);
	case SIOCGIFTXQLEN:
		request->ifr_qlen = 1000;
		break;
	case SIOCGIFMETRIC:
		request->ifr_metric = 0;
		break;
	case SIOCGIFNAME:
		memset(request->ifr_name, 0, sizeof(request->ifr_name));
		strcpy(request->ifr_name, t->name);
		break;
	case SIOCGIFADDR:
	case SIOCGIFNETMASK:
		return -EADDRNOTAVAIL; /* no address can be given to it */
	default:
		return -ENOTTY;
	}
	*ret_write = true;
	return 0;
}

bool tun_socket_ioctl(unsigned cmd, unsigned long arg, long *ret_result)
{
	struct ifreq request;
	struct tun *t;
	bool write;
	long ret;

	if (copy_from_user(&request, (const void *)arg, sizeof(request)))
		return false;
	request.ifr_name[IFNAMSIZ - 1] = 0;
	pthread_mutex_lock(&tun_lock);
	t = cmd == SIOCGIFNAME ? tun_find_index(request.ifr_ifindex) : tun_find(request.ifr_name);
	ret = t ? tun_netdevice_ioctl(t, cmd, &request, &write) : -ENOTTY;
	pthread_mutex_unlock(&tun_lock);
	if (ret == -ENOTTY)
		return false;
	if (!ret && write)
		ret = copy_to_user((void *)arg, &request, sizeof(request));
	*ret_result = ret;
	return true;
}
