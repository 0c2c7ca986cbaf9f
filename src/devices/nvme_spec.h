/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * devices/nvme_spec.h - the formats of NVM Express, revision 1.4.
 *
 * Section numbers are those of the NVM Express Base Specification 1.4.  All fields are
 * little-endian, as the processor is.
 */
#ifndef STANDIN_DEVICES_NVME_SPEC_H
#define STANDIN_DEVICES_NVME_SPEC_H

#include <assert.h>
#include <stdint.h>

/* ---- Controller registers (3.1) ---- */

enum {
	NVME_REG_CAP = 0x00, /* 64 bits */
	NVME_REG_VS = 0x08,
	NVME_REG_INTMS = 0x0c,
	NVME_REG_INTMC = 0x10,
	NVME_REG_CC = 0x14,
	NVME_REG_CSTS = 0x1c,
	NVME_REG_NSSR = 0x20,
	NVME_REG_AQA = 0x24,
	NVME_REG_ASQ = 0x28, /* 64 bits */
	NVME_REG_ACQ = 0x30, /* 64 bits */
	NVME_REG_DOORBELLS = 0x1000,
};

#define NVME_VERSION 0x00010400u

#define NVME_CAP_MQES(entries) ((uint64_t)((entries)-1))
#define NVME_CAP_CQR           ((uint64_t)1 << 16)
#define NVME_CAP_TO(half_secs) ((uint64_t)(half_secs) << 24)
#define NVME_CAP_NSSRS         ((uint64_t)1 << 36)
#define NVME_CAP_CSS_NVM       ((uint64_t)1 << 37)
#define NVME_CAP_MPSMIN(shift) ((uint64_t)((shift)-12) << 48)
#define NVME_CAP_MPSMAX(shift) ((uint64_t)((shift)-12) << 52)

#define NVME_CC_EN         1u
#define NVME_CC_CSS(cc)    ((cc) >> 4 & 7)
#define NVME_CC_MPS(cc)    ((cc) >> 7 & 15)
#define NVME_CC_AMS(cc)    ((cc) >> 11 & 7)
#define NVME_CC_SHN(cc)    ((cc) >> 14 & 3)
#define NVME_CC_SHN_MASK   (3u << 14)
#define NVME_CC_IOSQES(cc) ((cc) >> 16 & 15)
#define NVME_CC_IOCQES(cc) ((cc) >> 20 & 15)
#define NVME_CC_IOES_MASK  (0xffu << 16)
#define NVME_CC_MASK       0x00fffff1u

#define NVME_CSTS_RDY           1u
#define NVME_CSTS_CFS           2u
#define NVME_CSTS_SHST_OCCURING (1u << 2)
#define NVME_CSTS_SHST_COMPLETE (2u << 2)
#define NVME_CSTS_SHST_MASK     (3u << 2)
#define NVME_CSTS_NSSRO         (1u << 4)

#define NVME_NSSR_RESET 0x4e564d65u /* "NVMe" */

/* ---- Queue entries (4.2, 4.6) ---- */

#define NVME_SQE_SHIFT 6
#define NVME_CQE_SHIFT 4

struct nvme_command {
	uint8_t opcode;
	uint8_t flags; /* FUSE in bits 1:0, PSDT in 7:6 */
	uint16_t cid;
	uint32_t nsid;
	uint32_t cdw2, cdw3;
	uint64_t mptr;
	union {
		struct {
			uint64_t prp1, prp2;
		};
		uint8_t sgl[16];
	};
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
static_assert(sizeof(struct nvme_command) == 64, "a submission queue entry has 64 bytes");

#define NVME_FUSE(flags) ((flags)&3)
#define NVME_PSDT(flags) ((flags) >> 6)

struct nvme_completion {
	uint32_t result;
	uint32_t reserved;
	uint16_t sq_head, sq_id;
	uint16_t cid;
	uint16_t status; /* phase in bit 0 */
};
static_assert(sizeof(struct nvme_completion) == 16, "a completion queue entry has 16 bytes");

/* SGL descriptors (4.4) */
struct nvme_sgl {
	uint64_t address;
	uint32_t length;
	uint8_t reserved[3];
	uint8_t type; /* type in bits 7:4, subtype in 3:0 */
};
static_assert(sizeof(struct nvme_sgl) == 16, "an SGL descriptor has 16 bytes");

enum {
	NVME_SGL_DATA_BLOCK = 0x00,
	NVME_SGL_BIT_BUCKET = 0x10,
	NVME_SGL_SEGMENT = 0x20,
	NVME_SGL_LAST_SEGMENT = 0x30,
};

/* ---- Status (4.6.1): type in bits 10:8, code in 7:0, as in the entry shifted right ---- */

enum {
	NVME_SUCCESS = 0x000,
	NVME_INVALID_OPCODE = 0x001,
	NVME_INVALID_FIELD = 0x002,
	NVME_DATA_TRANSFER_ERROR = 0x004,
	NVME_INTERNAL_ERROR = 0x006,
	NVME_ABORT_REQUESTED = 0x007,
	NVME_ABORTED_SQ_DELETION = 0x008,
	NVME_INVALID_NAMESPACE = 0x00b,
	NVME_SEQUENCE_ERROR = 0x00c,
	NVME_INVALID_SGL_SEGMENT = 0x00d,
	NVME_INVALID_SGL_COUNT = 0x00e,
	NVME_SGL_LENGTH_INVALID = 0x00f,
	NVME_SGL_TYPE_INVALID = 0x011,
	NVME_PRP_OFFSET_INVALID = 0x013,
	NVME_WRITE_PROTECTED = 0x020,
	NVME_LBA_OUT_OF_RANGE = 0x080,
	NVME_CAPACITY_EXCEEDED = 0x081,
	NVME_NAMESPACE_NOT_READY = 0x082,

	NVME_CQ_INVALID = 0x100,
	NVME_INVALID_QID = 0x101,
	NVME_INVALID_QUEUE_SIZE = 0x102,
	NVME_AER_LIMIT_EXCEEDED = 0x105,
	NVME_INVALID_VECTOR = 0x108,
	NVME_INVALID_LOG_PAGE = 0x109,
	NVME_INVALID_QUEUE_DELETION = 0x10c,
	NVME_NOT_SAVEABLE = 0x10d,
	NVME_NOT_CHANGEABLE = 0x10e,
	NVME_NOT_NAMESPACE_SPECIFIC = 0x10f,

	NVME_WRITE_FAULT = 0x280,
	NVME_UNRECOVERED_READ_ERROR = 0x281,
	NVME_COMPARE_FAILURE = 0x285,

	NVME_MORE = 0x2000, /* there is an entry in the error log */
	NVME_DNR = 0x4000,  /* do not retry: it would fail again */
};

/* ---- Admin commands (5) ---- */

enum {
	NVME_ADMIN_DELETE_SQ = 0x00,
	NVME_ADMIN_CREATE_SQ = 0x01,
	NVME_ADMIN_GET_LOG_PAGE = 0x02,
	NVME_ADMIN_DELETE_CQ = 0x04,
	NVME_ADMIN_CREATE_CQ = 0x05,
	NVME_ADMIN_IDENTIFY = 0x06,
	NVME_ADMIN_ABORT = 0x08,
	NVME_ADMIN_SET_FEATURES = 0x09,
	NVME_ADMIN_GET_FEATURES = 0x0a,
	NVME_ADMIN_ASYNC_EVENT = 0x0c,
};

/* Asynchronous events (5.2.1): type in bits 2:0 */
enum {
	NVME_EVENT_ERROR = 0,
	NVME_EVENT_SMART = 1,
};
enum {
	NVME_EVENT_ERROR_DOORBELL_REGISTER = 0, /* of a queue that does not exist */
	NVME_EVENT_ERROR_DOORBELL_VALUE = 1,
	NVME_EVENT_SMART_TEMPERATURE = 1,
};

/* Log pages (5.14.1) */
enum {
	NVME_LOG_ERROR = 0x01,
	NVME_LOG_SMART = 0x02,
	NVME_LOG_FIRMWARE = 0x03,
	NVME_LOG_EFFECTS = 0x05,
};

struct nvme_error_entry { /* 5.14.1.1 */
	uint64_t count;
	uint16_t sq_id;
	uint16_t cid;
	uint16_t status; /* as in the completion, phase and all */
	uint16_t location;
	uint64_t lba;
	uint32_t nsid;
	uint8_t vendor;
	uint8_t transport;
	uint8_t reserved30[2];
	uint64_t specific;
	uint16_t transport_specific;
	uint8_t reserved42[22];
};
static_assert(sizeof(struct nvme_error_entry) == 64, "an error log entry has 64 bytes");

struct nvme_smart_log { /* 5.14.1.2; the 128-bit counters' upper halves stay 0 */
	uint8_t critical_warning;
	uint16_t temperature; /* K */
	uint8_t available_spare, spare_threshold, percentage_used;
	uint8_t endurance_warning;
	uint8_t reserved7[25];
	uint64_t data_units_read[2], data_units_written[2]; /* thousands of 512 bytes, rounded up */
	uint64_t host_reads[2], host_writes[2];
	uint64_t busy_minutes[2];
	uint64_t power_cycles[2], power_on_hours[2], unsafe_shutdowns[2];
	uint64_t media_errors[2], error_entries[2];
	uint32_t warning_minutes, critical_minutes;
	uint16_t sensors[8];
	uint8_t reserved216[296];
} __attribute__((packed));
static_assert(sizeof(struct nvme_smart_log) == 512, "the SMART log has 512 bytes");

#define NVME_SMART_WARNING_TEMPERATURE 2u

struct nvme_firmware_log { /* 5.14.1.3 */
	uint8_t active;
	uint8_t reserved1[7];
	char revision[7][8];
	uint8_t reserved64[448];
};
static_assert(sizeof(struct nvme_firmware_log) == 512, "the firmware log has 512 bytes");

/* Identify (5.15) */
enum {
	NVME_CNS_NAMESPACE = 0x00,
	NVME_CNS_CONTROLLER = 0x01,
	NVME_CNS_ACTIVE_LIST = 0x02,
	NVME_CNS_DESCRIPTORS = 0x03,
	NVME_CNS_ALLOCATED_LIST = 0x10,
	NVME_CNS_ALLOCATED_NAMESPACE = 0x11,
};

struct nvme_power_state {   /* 5.15.2.2, figure 248 */
	uint16_t max_power; /* in 0.01 W */
	uint8_t reserved2, flags;
	uint32_t entry_latency, exit_latency; /* us */
	uint8_t read_throughput, read_latency, write_throughput, write_latency;
	uint8_t reserved16[16];
};
static_assert(sizeof(struct nvme_power_state) == 32, "a power state has 32 bytes");

struct nvme_identify_controller { /* 5.15.2.2, figure 247 */
	uint16_t vid, ssvid;
	char sn[20], mn[40], fr[8];
	uint8_t rab, ieee[3], cmic, mdts;
	uint16_t cntlid;
	uint32_t ver, rtd3r, rtd3e, oaes, ctratt;
	uint16_t rrls;
	uint8_t reserved102[9];
	uint8_t cntrltype;
	uint8_t fguid[16];
	uint8_t reserved128[128];
	uint16_t oacs;
	uint8_t acl, aerl, frmw, lpa, elpe, npss, avscc, apsta;
	uint16_t wctemp, cctemp, mtfa;
	uint32_t hmpre, hmmin;
	uint64_t tnvmcap[2], unvmcap[2];
	uint32_t rpmbs;
	uint16_t edstt;
	uint8_t dsto, fwug;
	uint16_t kas, hctma, mntmt, mxtmt;
	uint32_t sanicap;
	uint8_t reserved332[180];
	uint8_t sqes, cqes;
	uint16_t maxcmd;
	uint32_t nn;
	uint16_t oncs, fuses;
	uint8_t fna, vwc;
	uint16_t awun, awupf;
	uint8_t nvscc, nwpc;
	uint16_t acwu;
	uint8_t reserved534[2];
	uint32_t sgls, mnan;
	uint8_t reserved544[224];
	char subnqn[256];
	uint8_t reserved1024[1024];
	struct nvme_power_state psd[32];
	uint8_t vendor[1024];
} __attribute__((packed));
static_assert(sizeof(struct nvme_identify_controller) == 4096, "Identify data have 4096 bytes");
static_assert(__builtin_offsetof(struct nvme_identify_controller, oacs) == 256, "OACS");
static_assert(__builtin_offsetof(struct nvme_identify_controller, sanicap) == 328, "SANICAP");
static_assert(__builtin_offsetof(struct nvme_identify_controller, sqes) == 512, "SQES");
static_assert(__builtin_offsetof(struct nvme_identify_controller, sgls) == 536, "SGLS");
static_assert(__builtin_offsetof(struct nvme_identify_controller, subnqn) == 768, "SUBNQN");
static_assert(__builtin_offsetof(struct nvme_identify_controller, psd) == 2048, "PSD0");

struct nvme_lba_format {
	uint16_t ms;
	uint8_t lbads, rp;
};

struct nvme_identify_namespace { /* 5.15.2.1, figure 245 */
	uint64_t nsze, ncap, nuse;
	uint8_t nsfeat, nlbaf, flbas, mc, dpc, dps, nmic, rescap, fpi, dlfeat;
	uint16_t nawun, nawupf, nacwu, nabsn, nabo, nabspf, noiob;
	uint64_t nvmcap[2];
	uint16_t npwg, npwa, npdg, npda, nows;
	uint8_t reserved74[18];
	uint32_t anagrpid;
	uint8_t reserved96[3];
	uint8_t nsattr;
	uint16_t nvmsetid, endgid;
	uint8_t nguid[16], eui64[8];
	struct nvme_lba_format lbaf[16];
	uint8_t reserved192[192];
	uint8_t vendor[3712];
} __attribute__((packed));
static_assert(sizeof(struct nvme_identify_namespace) == 4096, "Identify data have 4096 bytes");
static_assert(__builtin_offsetof(struct nvme_identify_namespace, nguid) == 104, "NGUID");
static_assert(__builtin_offsetof(struct nvme_identify_namespace, lbaf) == 128, "LBAF0");

/* Features (5.21.1) */
enum {
	NVME_FEATURE_ARBITRATION = 0x01,
	NVME_FEATURE_POWER_MANAGEMENT = 0x02,
	NVME_FEATURE_TEMPERATURE_THRESHOLD = 0x04,
	NVME_FEATURE_ERROR_RECOVERY = 0x05,
	NVME_FEATURE_WRITE_CACHE = 0x06,
	NVME_FEATURE_QUEUES = 0x07,
	NVME_FEATURE_COALESCING = 0x08,
	NVME_FEATURE_VECTOR = 0x09,
	NVME_FEATURE_WRITE_ATOMICITY = 0x0a,
	NVME_FEATURE_ASYNC_EVENTS = 0x0b,
};

/* ---- NVM commands (6) ---- */

enum {
	NVME_FLUSH = 0x00,
	NVME_WRITE = 0x01,
	NVME_READ = 0x02,
	NVME_COMPARE = 0x05,
	NVME_WRITE_ZEROES = 0x08,
	NVME_DATASET_MANAGEMENT = 0x09,
};

#define NVME_NSID_ALL 0xffffffffu

#define NVME_CDW12_NLB(cdw12) (((cdw12)&0xffff) + 1) /* blocks; the field counts from 0 */
#define NVME_CDW12_FUA        (1u << 30)
#define NVME_CDW12_DEAC       (1u << 25) /* Write Zeroes: deallocate */

#define NVME_DSM_DEALLOCATE 4u /* in cdw11 */

struct nvme_dsm_range { /* 6.7 */
	uint32_t attributes;
	uint32_t blocks;
	uint64_t lba;
};

#endif
