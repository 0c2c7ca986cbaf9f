/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tree/prefixes.h - which paths are led into the private tree.
 *
 * A prefix covers itself and everything below it; a # in it stands for a number.  Shared by the
 * generator, which fills them (keeping what the real machine has there), and by the preload
 * library.
 */
#ifndef STANDIN_TREE_PREFIXES_H
#define STANDIN_TREE_PREFIXES_H

/*
 * What Hyper-V's daemons keep, which is theirs to write to.  Only if the tree has it; otherwise it
 * is the machine's.
 */
#define TREE_STATE "/var/lib/hyperv"

static const char *const tree_prefixes[] = {
	"/dev/hmm_dmirror#",
	"/dev/net/tun",
	"/dev/userfaultfd",
	"/dev/uio#",
	"/dev/vfio",
	"/dev/vmbus",
	"/dev/vhost-net",
	"/dev/vhost-scsi",
	"/dev/vhost-test",
	"/dev/vhost-vdpa-#",
	"/dev/vhost-vsock",
	"/dev/vsock",
	"/dev/iommu",
	"/proc/devices",
	"/sys/bus/pci",
	"/sys/bus/mdev",
	"/sys/bus/vdpa",
	"/sys/bus/vmbus",
	"/sys/class/vfio",
	"/sys/class/vfio-dev",
	"/sys/class/iommu",
	"/sys/devices/pci0000:00",
	"/sys/devices/vdpa#",
	"/sys/devices/virtual/iommu",
	"/sys/devices/virtual/vfio",
	"/sys/kernel/iommu_groups",
	"/sys/module/vfio",
	"/sys/module/vfio_pci",
	"/sys/module/vfio_iommu_type1",
	"/sys/module/vhost",
	"/sys/module/vhost_net",
	"/sys/module/vhost_scsi",
	"/sys/module/vhost_vdpa",
	"/sys/module/vhost_vsock",
	TREE_STATE,
};

#endif
