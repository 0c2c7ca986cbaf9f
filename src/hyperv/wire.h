/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hyperv/wire.h - what travels between a Hyper-V host, the kernel and its daemons.
 *
 * The messages between the kernel and the daemons are in linux/hyperv.h, which has not changed
 * since before Debian 12's; here is what that lacks: the integration component (IC) messages
 * that the host and the kernel exchange over a VMBus channel, the ring of a channel that is
 * mapped into a process (uio), and values that hosts use and the header does not name.  Sizes
 * are in bytes and numbers in the processor's order, little-endian.
 *
 * Sources: include/linux/hyperv.h and drivers/hv/hv_util.c of the kernel.  For all that speak
 * the protocol, ours or not: it needs nothing else of this project.
 */
#ifndef STANDIN_HYPERV_WIRE_H
#define STANDIN_HYPERV_WIRE_H

#include <linux/hyperv.h>
#include <stddef.h>
#include <stdint.h>

/* Of drivers/hv: the time-outs of the kernel's side, in seconds. */
#define HYPERV_TIMEOUT_S        30u        /* a request to a daemon */
#define HYPERV_FREEZE_TIMEOUT_S (15u * 60) /* VSS_OP_FREEZE */

/* Values that Windows hosts send for registry types, and linux/hyperv.h does not name. */
#define HYPERV_REG_EXPAND_SZ 2u
#define HYPERV_REG_QWORD     11u /* Linux knows REG_U64, 8 */

/* From IC version 6.0 of VSS on. */
#define HYPERV_VSS_OP_QUERY_GUEST_CLUSTER_INFORMATION 8u

/* Classes of devices on the bus, and the one instance whose path a daemon knows. */
#define HYPERV_KVP_CLASS      "a9a0f4e7-5a45-4d96-b827-8a841e8c03e6"
#define HYPERV_VSS_CLASS      "35fa2e29-ea23-4236-96ae-3a6ebacba440"
#define HYPERV_FCOPY_CLASS    "34d14be3-dee4-41c8-9ae7-6b174977c192"
#define HYPERV_FCOPY_INSTANCE "eb765408-105f-49b6-b4aa-c123b64d17d4"

#define HYPERV_KVP_PATH   "/dev/vmbus/hv_kvp"
#define HYPERV_VSS_PATH   "/dev/vmbus/hv_vss"
#define HYPERV_FCOPY_PATH "/dev/vmbus/hv_fcopy"
#define HYPERV_UIO_PATH   "/dev/uio0" /* from Linux 6.10 on, instead of hv_fcopy */

/* ---- IC messages: a pipe header, an IC header, and what the type says ---- */

#define HYPERV_IC_NEGOTIATE 0u
#define HYPERV_IC_HEARTBEAT 1u
#define HYPERV_IC_KVP       2u
#define HYPERV_IC_SHUTDOWN  3u
#define HYPERV_IC_TIMESYNC  4u
#define HYPERV_IC_VSS       5u
#define HYPERV_IC_FCOPY     7u

#define HYPERV_IC_TRANSACTION 1u
#define HYPERV_IC_REQUEST     2u
#define HYPERV_IC_RESPONSE    4u

#define HYPERV_IC_VERSIONS_MAX 100u /* of each kind in one negotiation */

struct hyperv_version {
	uint16_t major, minor;
};
#define HYPERV_VERSION(major, minor) ((uint32_t)(major) << 16 | (minor))

struct hyperv_pipe_header {
	uint32_t flags;
	uint32_t size; /* of what follows */
};

struct hyperv_ic_header {
	struct hyperv_version framework;
	uint16_t type; /* HYPERV_IC_ */
	struct hyperv_version version;
	uint16_t size; /* of what follows */
	uint32_t status;
	uint8_t transaction;
	uint8_t flags;
	uint8_t reserved[2];
};

struct hyperv_ic {
	struct hyperv_pipe_header pipe;
	struct hyperv_ic_header ic;
	uint8_t body[];
};

#define HYPERV_IC_SIZE sizeof(struct hyperv_ic) /* before the body */

struct hyperv_negotiation {
	uint16_t n_frameworks, n_versions;
	uint32_t reserved;
	struct hyperv_version version[]; /* the frameworks', then the service's */
};

/*
 * The longest packets that the kernel takes from a channel, without the channel's own header.
 * A longer one stops the channel.
 */
#define HYPERV_KVP_PACKET_MAX   (4u * 4096u)
#define HYPERV_VSS_PACKET_MAX   (2u * 4096u)
#define HYPERV_FCOPY_PACKET_MAX (2u * 4096u)

/* ---- a ring of a channel, as a uio device maps it ---- */

struct hyperv_ring {
	volatile uint32_t write_index; /* into data; who writes moves it */
	volatile uint32_t read_index;
	volatile uint32_t interrupt_mask;
	volatile uint32_t pending_send; /* the writer waits for so much room */
	uint32_t reserved1[12];
	uint32_t features; /* bit 0: pending_send is looked at */
	uint8_t reserved2[4028];
	uint8_t data[];
};

/* Of fcopy's, with its header page: 16 KiB of data, as VMBUS_RING_SIZE() rounds it. */
#define HYPERV_UIO_RING_SIZE 0x5000u

/* Before each packet of a ring; after it come 8 bytes: where it began, in the upper four. */
struct hyperv_packet {
	uint16_t type;
	uint16_t header_size; /* in units of 8 bytes, as is the next: */
	uint16_t size;        /* with this header */
	uint16_t flags;
	uint64_t transaction;
};

#define HYPERV_PACKET_INBAND  6u
#define HYPERV_PACKET_TRAILER 8u

/* ---- what all of this relies on ---- */

#define HYPERV_AT(type, member, at) \
	_Static_assert(offsetof(type, member) == (at), #type "." #member " is at " #at)
#define HYPERV_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " has " #size " bytes")

HYPERV_SIZE(struct hyperv_pipe_header, 8);
HYPERV_SIZE(struct hyperv_ic_header, 20);
HYPERV_AT(struct hyperv_ic_header, type, 4);
HYPERV_AT(struct hyperv_ic_header, size, 10);
HYPERV_AT(struct hyperv_ic_header, status, 12);
HYPERV_AT(struct hyperv_ic_header, transaction, 16);
HYPERV_AT(struct hyperv_ic_header, flags, 17);
HYPERV_SIZE(struct hyperv_ic, 28);
HYPERV_SIZE(struct hyperv_negotiation, 8);
HYPERV_SIZE(struct hyperv_packet, 16);
HYPERV_AT(struct hyperv_ring, features, 64);
HYPERV_AT(struct hyperv_ring, data, 4096);

HYPERV_SIZE(struct hv_kvp_hdr, 4);
HYPERV_SIZE(struct hv_kvp_exchg_msg_value, 2572);
HYPERV_AT(struct hv_kvp_exchg_msg_value, key, 12);
HYPERV_AT(struct hv_kvp_exchg_msg_value, value, 524);
HYPERV_SIZE(struct hv_kvp_ipaddr_value, 7426);
HYPERV_SIZE(struct hv_kvp_msg, 7432);
HYPERV_AT(struct hv_kvp_msg, body, 4);
HYPERV_SIZE(struct hv_kvp_ip_msg, 7428);
HYPERV_AT(struct hv_kvp_ip_msg, kvp_ip_val, 2);
HYPERV_SIZE(struct hv_vss_msg, 12);
HYPERV_SIZE(struct hv_fcopy_hdr, 36);
HYPERV_SIZE(struct hv_start_fcopy, 1088);
HYPERV_AT(struct hv_start_fcopy, path_name, 556);
HYPERV_AT(struct hv_start_fcopy, copy_flags, 1076);
HYPERV_AT(struct hv_start_fcopy, file_size, 1080);
HYPERV_SIZE(struct hv_do_fcopy, 6196);
HYPERV_AT(struct hv_do_fcopy, offset, 40);
HYPERV_AT(struct hv_do_fcopy, size, 48);
HYPERV_AT(struct hv_do_fcopy, data, 52);

#endif
