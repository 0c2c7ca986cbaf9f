/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tree/parts.h - the parts of a tree, each made by one file of this room.
 */
#ifndef STANDIN_TREE_PARTS_H
#define STANDIN_TREE_PARTS_H

#include "tree/builder.h"

struct instance;
struct standin_device;

/* sys/devices/pci0000:00 and sys/bus/pci: the functions, and root ports above them (pci.c). */
void build_pci(struct builder *b, const struct instance *i);
/* Where a function's directory is: "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0". */
void pci_directory(struct builder *b, const struct instance *i, const struct standin_device *dev,
		   char path[TREE_PATH_MAX]);
/* One function's files (function.c). */
void build_function(struct builder *b, const char *path, const struct instance *i,
		    const struct standin_device *dev);
/* A PCI Express root port with one bus below it (function.c). */
void build_root_port(struct builder *b, const char *path, unsigned bus);
/* IOMMU, groups, modules and classes of VFIO (vfio.c). */
void build_vfio(struct builder *b, const struct instance *i);
/* The bus of vDPA devices, and proc/devices (vdpa.c). */
void build_vdpa(struct builder *b, const struct instance *i);
/* The modules of vhost (vhost.c). */
void build_vhost(struct builder *b);
/* What Hyper-V's daemons keep (hyperv.c). */
void build_hyperv(struct builder *b, const struct instance *i);
/* dev/...: every node that the interfaces added (nodes.c). */
void build_nodes(struct builder *b);
/* The real machine's entries beside ours (host.c): last, since ours win. */
void build_host(struct builder *b);

/*
 * The name of the IOMMU that all functions sit behind: "dmar0", or the next one that the
 * real machine hasn't got.
 */
void iommu_name(char name[16]);

#endif
