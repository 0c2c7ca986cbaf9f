/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Makes the two simulators in a real kernel: generic netlink, family "vdpa", VDPA_CMD_DEV_NEW.
 * The numbers are of linux/vdpa.h and linux/genetlink.h.
 */
#include "vdpa.h"

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sys/klog.h>
#include <sys/socket.h>

#define DEV_NEW      3 /* VDPA_CMD_DEV_NEW */
#define MGMTDEV_NAME 2 /* VDPA_ATTR_MGMTDEV_DEV_NAME */
#define DEV_NAME     4 /* VDPA_ATTR_DEV_NAME */

static union {
	struct nlmsghdr head;
	char bytes[8192];
} reply;

static size_t put(char *to, uint16_t type, const char *text)
{
	struct nlattr a = {.nla_len = (uint16_t)(sizeof(a) + strlen(text) + 1), .nla_type = type};

	memcpy(to, &a, sizeof(a));
	strcpy(to + sizeof(a), text);
	return NLA_ALIGN(a.nla_len);
}

/* Sends a request and waits for the answer, which is in `reply`. */
static void ask(int socket, uint16_t family, uint8_t command, const char *attributes, size_t size)
{
	struct {
		struct nlmsghdr head;
		struct genlmsghdr command;
		char attributes[128];
	} request = {.head = {.nlmsg_len = (uint32_t)(NLMSG_LENGTH(GENL_HDRLEN) + size),
			      .nlmsg_type = family,
			      .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		     .command = {.cmd = command, .version = 1}};

	memcpy(request.attributes, attributes, size);
	if (send(socket, &request, request.head.nlmsg_len, 0) < 0 ||
	    recv(socket, &reply, sizeof(reply), 0) < 0)
		give_up("netlink", -errno);
}

static uint16_t find_family(int socket)
{
	const char *at = (char *)NLMSG_DATA(&reply.head) + GENL_HDRLEN, *end;
	char attributes[64];
	struct nlattr a;

	ask(socket, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, attributes,
	    put(attributes, CTRL_ATTR_FAMILY_NAME, "vdpa"));
	end = reply.bytes + reply.head.nlmsg_len;
	for (; reply.head.nlmsg_type != NLMSG_ERROR && at < end; at += NLA_ALIGN(a.nla_len)) {
		uint16_t id;

		memcpy(&a, at, sizeof(a));
		memcpy(&id, at + sizeof(a), sizeof(id));
		if (a.nla_type == CTRL_ATTR_FAMILY_ID)
			return id;
	}
	give_up("the family of netlink", 0);
}

void vdpa_make_devices(void)
{
	static const char *const names[][2] = {{"vdpasim_net", "vdpa0"}, {"vdpasim_blk", "vdpa1"}};
	char attributes[64];
	uint16_t family;
	int socket_fd;

	if (access("/dev/vhost-vdpa-0", F_OK) == 0)
		return;
	/* What it says of bad messages would be between ours. */
	klogctl(8, NULL, 1);
	socket_fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
	family = find_family(socket_fd);
	/* The answer to the acknowledgement that was asked for. */
	recv(socket_fd, &reply, sizeof(reply), MSG_DONTWAIT);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t size = put(attributes, MGMTDEV_NAME, names[i][0]);

		size += put(attributes + size, DEV_NAME, names[i][1]);
		ask(socket_fd, family, DEV_NEW, attributes, size);
	}
	close(socket_fd);
}
