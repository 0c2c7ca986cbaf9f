/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/vsock_place.h - where vsock ports are: the Unix sockets behind CIDs and ports.
 *
 * A place is what --vsock names.  A PATH is that of one guest, whatever its CID.  A directory,
 * which ends with a slash, has any number:
 *
 *	                              PATH                  DIRECTORY/
 *	the guest CID                 PATH                  DIRECTORY/CID.sock
 *	... its sockets of packets    PATH.seqpacket        DIRECTORY/CID.sock.seqpacket
 *	port N of the host            PATH_N                DIRECTORY/2.sock_N
 *	... for guest CID alone       -                     DIRECTORY/CID.sock_N
 *	port N of CID 1 (this host)   PATH.1_N              DIRECTORY/1.sock_N
 *
 * At a guest's sockets one begins with a line: "CONNECT port\n", which is Firecracker's
 * convention, or struct vsock_greeting, which is ours for AF_VSOCK sockets.  At the host's
 * ports there is none.  Both sides of our own give their sockets names that tell who they are
 * (vsock_name_format).
 *
 * Shared by the device and the preload library, hence inline and without dependencies.
 */
#ifndef STANDIN_CORE_VSOCK_PLACE_H
#define STANDIN_CORE_VSOCK_PLACE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define VSOCK_CID_ANY   UINT32_MAX
#define VSOCK_CID_LOCAL 1u
#define VSOCK_CID_HOST  2u
#define VSOCK_PORT_ANY  UINT32_MAX

/* What leaves room for the longest suffix in sun_path. */
#define VSOCK_PLACE_MAX           94u
#define VSOCK_PLACE_DIRECTORY_MAX 81u

/* In the private directory of a run: a symbolic link whose target is the place. */
#define VSOCK_PLACE_LINK "vsock"

static inline bool vsock_place_is_directory(const char *place)
{
	size_t length = strlen(place);

	return length && place[length - 1] == '/';
}

static inline bool vsock_place_fits(const char *place)
{
	return strlen(place) <=
	       (vsock_place_is_directory(place) ? VSOCK_PLACE_DIRECTORY_MAX : VSOCK_PLACE_MAX);
}

/* The end of an address that begins at `a` and whose path is set. */
static inline socklen_t vsock_address_size(const struct sockaddr_un *a)
{
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(a->sun_path) + 1);
}

/* Where guest `cid` is to be found.  The size for bind and connect. */
static inline socklen_t vsock_place_guest(const char *place, uint32_t cid, int type,
					  struct sockaddr_un *a)
{
	const char *suffix = type == SOCK_SEQPACKET ? ".seqpacket" : "";

	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if (vsock_place_is_directory(place))
		snprintf(a->sun_path, sizeof(a->sun_path), "%.81s%u.sock%s", place, cid, suffix);
	else
		snprintf(a->sun_path, sizeof(a->sun_path), "%.94s%s", place, suffix);
	return vsock_address_size(a);
}

/*
 * Port `port` of the host, with `cid` 2 for that of everybody; 1, that of CID 1; or a guest's.
 * A PATH has no ports of a guest's own: there its ports are the host's.
 */
static inline socklen_t vsock_place_port(const char *place, uint32_t cid, uint32_t port,
					 struct sockaddr_un *a)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if (vsock_place_is_directory(place))
		snprintf(a->sun_path, sizeof(a->sun_path), "%.81s%u.sock_%u", place, cid, port);
	else
		snprintf(a->sun_path, sizeof(a->sun_path), "%.94s%s_%u", place,
			 cid == VSOCK_CID_LOCAL ? ".1" : "", port);
	return vsock_address_size(a);
}

/* ---- names ---- */

#define VSOCK_NAME_PREFIX "standin-vsock/"

/*
 * The abstract name of a socket that is port `port` of `cid` and isn't listened at.  With the
 * same `unique` the kernel lets it exist once.
 */
static inline socklen_t vsock_name_format(uint32_t cid, uint32_t port, uint64_t unique,
					  struct sockaddr_un *a)
{
	int length;

	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	length = snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, VSOCK_NAME_PREFIX "%u:%u/%llx",
			  cid, port, (unsigned long long)unique);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

/* A decimal number that ends at `end`: false if it is none. */
static inline bool vsock_parse_number(const char **text, char end, uint32_t *ret_value)
{
	uint64_t value = 0;
	const char *at = *text;

	while (*at >= '0' && *at <= '9' && value <= UINT32_MAX)
		value = value * 10 + (uint64_t)(*at++ - '0');
	if (at == *text || *at != end || value > UINT32_MAX)
		return false;
	*text = at + (end != '\0');
	*ret_value = (uint32_t)value;
	return true;
}

/*
 * Who the socket with name `a` (from getsockname or getpeername, `size` bytes) is: false if
 * it tells nothing.  The name of a port's path tells only the port, and *ret_cid is CID_HOST.
 */
static inline bool vsock_name_parse(const struct sockaddr_un *a, socklen_t size, uint32_t *ret_cid,
				    uint32_t *ret_port)
{
	char text[sizeof(a->sun_path) + 1] = {0};
	size_t length = size > offsetof(struct sockaddr_un, sun_path)
				? size - offsetof(struct sockaddr_un, sun_path)
				: 0;
	const char *at = text + 1;

	if (length < 2 || length > sizeof(a->sun_path))
		return false;
	memcpy(text, a->sun_path, length);
	if (text[0]) {
		at = strrchr(text, '_');
		*ret_cid = VSOCK_CID_HOST;
		return at && at++ && vsock_parse_number(&at, '\0', ret_port);
	}
	if (strncmp(at, VSOCK_NAME_PREFIX, strlen(VSOCK_NAME_PREFIX)) != 0)
		return false;
	at += strlen(VSOCK_NAME_PREFIX);
	return vsock_parse_number(&at, ':', ret_cid) && vsock_parse_number(&at, '/', ret_port);
}

/* ---- what an AF_VSOCK socket says to a guest's ---- */

/*
 * Sent as the first thing, by a socket whose send buffer is so small that it isn't writable
 * until this has been taken, and taken by the device when the guest has accepted: so poll
 * tells what it tells of a socket that is connecting.  A device that refuses leaves it and
 * closes, which makes ECONNRESET; before, it may send struct vsock_refusal with a better error.
 */
struct vsock_greeting {
	char word[8];         /* VSOCK_GREETING_WORD */
	uint32_t cid, port;   /* whom it wants */
	uint32_t source_port; /* who it is */
	uint32_t timeout_ms;
	char filler[2048 - 24];
};
#define VSOCK_GREETING_WORD "AF_VSOCK" /* without its end */

struct vsock_refusal {
	int32_t error; /* an errno */
};

#endif
