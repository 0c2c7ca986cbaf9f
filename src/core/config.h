/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/config.h - what an instance consists of.
 *
 * The same directives on the command line, in a --config file and in the text that
 * `standin run` leaves for the runtime in the client:
 *
 *	device nvme,addr=01:00.0,file=disk.img
 *	trace /tmp/trace.txt
 *	fault VFIO_IOMMU_MAP_DMA:errno=ENOMEM,nth=3
 *	log debug
 *	set vfio.dma_entry_limit=65535
 *	vsock guest.sock
 *	vdpa net,net=loopback
 *	vhost-scsi wwpn=naa.5001405000000001,lun0=disk.img
 *	net socket=/run/passt.sock,ifname=tap0
 *	hmm devices=2,memory=256M
 *	uffd emulate
 *	hyperv timeouts=0.01
 *
 * One per line; # starts a comment.  A value that holds a comma doubles it, as QEMU
 * does.  A configuration without a device gets the default one: a 64 MiB
 * memory-backed NVMe controller at 0000:01:00.0.  One without vdpa gets the kernel's
 * simulators: net-sim and blk-sim.
 */
#ifndef STANDIN_CORE_CONFIG_H
#define STANDIN_CORE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/keys.h"

struct pci_address {
	uint16_t domain;
	uint8_t bus, slot, function;
};

struct device_config {
	char *model;
	struct pci_address address; /* given by addr=, else the next free slot from 01:00.0 on */
	bool address_given;
	bool mmap;                  /* mmap=off withdraws VFIO_REGION_INFO_FLAG_MMAP */
	struct config_keys keys;    /* the model's own; addr and mmap are not among them */
};

/*
 * A target port of /dev/vhost-scsi, as configfs makes them for the kernel's: a portal group of
 * a WWPN, with logical units (vhost/scsi_port.h has their keys).
 */
struct vhost_scsi_config {
	char *wwpn;              /* "naa.5001405..." */
	unsigned tpgt;           /* the target number that the guest sees, 0 to 255 */
	struct config_keys keys; /* lun0=FILE, lun0.readonly=on, ... */
};

/* What is behind a /dev/vhost-vdpa-N: a model of src/vdpa, with its own keys. */
struct vdpa_config {
	char *model;
	struct config_keys keys;
};

/* What taps of /dev/net/tun are plugged into. */
struct net_config {
	char *ifname; /* NULL: every interface that has no entry of its own */
	char *spec;   /* see backend/net.h */
};

/* Hyper-V's guest services; `hyperv` alone, or with keys. */
struct hyperv_config {
	bool on;
	double timeouts; /* the kernel's, times this; 1 */
	bool uio;        /* fcopy as Linux 6.10 and later have it */
	char *freeze;    /* DIR[:DIR]...: file systems that may be frozen; NULL: none */
};

/* The devices /dev/hmm_dmirror0 to 3: the first two have private memory, the others coherent. */
#define HMM_DEVICES 4u
struct hmm_config {
	unsigned devices; /* how many there are, from 0 on */
	bool coherent;    /* off: none of 2 and 3 */
	uint64_t memory;  /* bytes that each has; 0: no limit */
};

/* Whose userfaultfd(2) the client gets. */
enum uffd_mode {
	UFFD_AUTO,    /* the kernel's where it is permitted and can do what is asked for */
	UFFD_NATIVE,  /* the kernel's */
	UFFD_EMULATE, /* ours; none of the kernel's is used, for nothing */
};

/* What private memory is that is registered with a userfaultfd of ours. */
enum uffd_backing {
	UFFD_BACKING_MEMORY, /* memory that traps, which the kernel's own accesses fail on */
	UFFD_BACKING_FUSE,   /* of a file of ours, where they wait as well (memory/server.h) */
};

/* How pages of the client's are made to trap (src/memory). */
enum memory_traps {
	MEMORY_TRAPS_AUTO,    /* by guard markers where the kernel has them */
	MEMORY_TRAPS_GUARD,   /* by guard markers, or not at all */
	MEMORY_TRAPS_PROTECT, /* by PROT_NONE, as on kernels before 6.13 */
};

/* `set NAME=VALUE`: among them numbers that are module parameters in the kernel. */
struct config_settings {
	uint32_t dma_entry_limit; /* vfio.dma_entry_limit, 65535 */
	bool memlock;             /* vfio.memlock: charge RLIMIT_MEMLOCK, off by default */
	enum memory_traps traps;  /* memory.traps=auto|guard|protect */
};

struct config {
	struct device_config *devices;
	size_t n_devices;
	char **faults;
	size_t n_faults;
	struct vhost_scsi_config *vhost_scsi;
	size_t n_vhost_scsi;
	struct vdpa_config *vdpas; /* of /dev/vhost-vdpa-0 on */
	size_t n_vdpas;
	bool trace;
	char *trace_file; /* NULL: descriptor 2 */
	char *log_level;
	char *vsock_path; /* where vsock ports are (core/vsock_place.h); NULL: nowhere */
	struct net_config *nets;
	size_t n_nets;
	struct hmm_config hmm;
	enum uffd_mode uffd;
	enum uffd_backing uffd_backing;
	struct hyperv_config hyperv;
	char *directory;  /* private directory; `directory PATH`; NULL when embedded */
	struct config_settings settings;
};

#define CONFIG_ERROR_MAX 256

void config_init(struct config *c);
void config_finish(struct config *c);
/* One directive, or a text of them.  0, or -EINVAL/-ENOMEM with one line in `error`. */
int config_directive(struct config *c, const char *line, char error[CONFIG_ERROR_MAX]);
int config_text(struct config *c, const char *text, char error[CONFIG_ERROR_MAX]);
/* The value of `device`'s argument: nvme,addr=01:00.0,... */
int config_device(struct config *c, const char *spec, char error[CONFIG_ERROR_MAX]);
/* wwpn=...,lun0=...: into `*ret`, which the caller finishes. */
int config_vhost_scsi(struct vhost_scsi_config *ret, const char *spec, char error[CONFIG_ERROR_MAX]);
void vhost_scsi_config_finish(struct vhost_scsi_config *p);
/*
 * After the last directive: supplies the default device, assigns addresses, refuses
 * addresses taken twice, unknown models and unknown keys.
 */
int config_complete(struct config *c, char error[CONFIG_ERROR_MAX]);
/* The text that config_text() reads back to the same; malloc'd, NULL if out of memory. */
char *config_format(const struct config *c);

/* on, yes, true, 1 / off, no, false, 0; -EINVAL otherwise. */
int config_parse_bool(const char *text, bool *ret_value);

/* "01:00.0" or "0000:01:00.0". */
int pci_address_parse(const char *text, struct pci_address *ret_address);
#define PCI_ADDRESS_MAX 16
void pci_address_format(const struct pci_address *a, char text[PCI_ADDRESS_MAX]);
bool pci_address_equal(const struct pci_address *a, const struct pci_address *b);

#endif
