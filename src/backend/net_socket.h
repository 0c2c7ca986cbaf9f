/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend/net_socket.h - between the kinds of port that are Unix stream sockets.
 */
#ifndef STANDIN_BACKEND_NET_SOCKET_H
#define STANDIN_BACKEND_NET_SOCKET_H

#include "backend/net_private.h"

struct sockaddr_un;

/* Fills the address; its size, or -ENAMETOOLONG. */
int net_unix_address(const char *path, struct sockaddr_un *address);
/* A private descriptor that is connected to the socket at `path`, or -errno. */
int net_unix_connect(const char *path);

/* ---- the server of a hub (net_switch.c) ---- */

struct net_switch;

/* Serves those who connect to `listener`, a private descriptor that it takes over. */
int net_switch_start(int listener, struct net_switch **ret_switch);
/* NULL is fine. */
void net_switch_stop(struct net_switch *s);

/* ---- finding it (net_hub.c) ---- */

struct net_hub;

int net_hub_create(const char *path, struct net_hub **ret_hub);
/*
 * A private descriptor that is connected to whoever serves; this process does, if nobody
 * else.  -errno; -EAGAIN: just now others are about it, too.
 */
int net_hub_join(struct net_hub *hub);
void net_hub_destroy(struct net_hub *hub);

#endif
