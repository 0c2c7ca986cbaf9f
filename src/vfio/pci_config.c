/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration space as a VFIO driver sees it.
 *
 * Three layers of bytes, as in the kernel's vfio_pci_config.c: what the hardware holds
 * (`physical`), what the driver is shown instead (`virtual`) where a bit of `virt` is set,
 * and which bits it may write (`write`).  A write to a bit that isn't virtual goes to the
 * hardware, which lets only the bits of `hardware` change.  An access is cut into pieces
 * that neither cross four bytes nor a capability's end; some pieces have effects, which
 * are looked for at the offset where a piece begins, as the kernel does.
 *
 * The masks are those of the kernel's init_pci_cap_*_perm() functions.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "core/user.h"
#include "memory/mmio.h"
#include "vfio/vfio.h"

#define KIND_HEADER 0    /* no capability has number 0 */
#define KIND_NONE   0xff /* belongs to no capability: read as the hardware's, written to it */

#define EXPRESS_SIZE 60 /* PCI Express capability, version 2, with link and slot registers */

static uint16_t get16(const uint8_t *bytes, unsigned at)
{
	return (uint16_t)(bytes[at] | bytes[at + 1] << 8);
}

static uint32_t get32(const uint8_t *bytes, unsigned at)
{
	return get16(bytes, at) | (uint32_t)get16(bytes, at + 2) << 16;
}

static void put16(uint8_t *bytes, unsigned at, unsigned value)
{
	bytes[at] = (uint8_t)value;
	bytes[at + 1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *bytes, unsigned at, uint32_t value)
{
	put16(bytes, at, value & 0xffff);
	put16(bytes, at + 2, value >> 16);
}

static void allow8(struct vfio_device *v, unsigned at, unsigned virt, unsigned write)
{
	v->virt[at] = (uint8_t)virt;
	v->write[at] = (uint8_t)write;
}

static void allow16(struct vfio_device *v, unsigned at, unsigned virt, unsigned write)
{
	put16(v->virt, at, virt);
	put16(v->write, at, write);
}

static void allow32(struct vfio_device *v, unsigned at, uint32_t virt, uint32_t write)
{
	put32(v->virt, at, virt);
	put32(v->write, at, write);
}

/* ---- setting up ---- */

static void init_header(struct vfio_device *v)
{
	unsigned at;

	allow16(v, PCI_VENDOR_ID, 0xffff, 0);
	allow16(v, PCI_DEVICE_ID, 0xffff, 0);
	allow16(v, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 0xffff);
	allow16(v, PCI_STATUS, PCI_STATUS_CAP_LIST, 0);
	allow8(v, PCI_CACHE_LINE_SIZE, 0, 0xff);
	allow8(v, PCI_LATENCY_TIMER, 0, 0xff);
	allow8(v, PCI_BIST, 0, 0xff);
	for (at = PCI_BASE_ADDRESS_0; at <= PCI_BASE_ADDRESS_5; at += 4)
		allow32(v, at, 0xffffffff, 0xffffffff);
	allow32(v, PCI_ROM_ADDRESS, 0xffffffff, 0xffffffff);
	allow8(v, PCI_CAPABILITY_LIST, 0xff, 0);
	allow8(v, PCI_INTERRUPT_LINE, 0xff, 0xff);
	allow8(v, PCI_INTERRUPT_PIN, 0xff, 0);
	put16(v->hardware, PCI_COMMAND,
	      PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_SERR |
		      PCI_COMMAND_INTX_DISABLE);
	v->hardware[PCI_CACHE_LINE_SIZE] = 0xff;
}

static unsigned init_pm(struct vfio_device *v, unsigned at)
{
	const unsigned pme = PCI_PM_CTRL_PME_ENABLE | PCI_PM_CTRL_PME_STATUS;

	v->pm = at;
	allow8(v, at + PCI_CAP_LIST_NEXT, 0xff, 0);
	allow16(v, at + PCI_PM_PMC, PCI_PM_CAP_PME_MASK, 0);
	allow32(v, at + PCI_PM_CTRL, pme, ~(uint32_t)(pme | PCI_PM_CTRL_STATE_MASK));
	put16(v->virtual, at + PCI_PM_PMC,
	      get16(v->virtual, at + PCI_PM_PMC) & ~(unsigned)PCI_PM_CAP_PME_MASK);
	put16(v->virtual, at + PCI_PM_CTRL, get16(v->virtual, at + PCI_PM_CTRL) & ~pme);
	return PCI_PM_SIZEOF;
}

static unsigned init_msi(struct vfio_device *v, unsigned at)
{
	unsigned flags = get16(v->physical, at + PCI_MSI_FLAGS), mask;

	v->msi = at;
	allow8(v, at + PCI_CAP_LIST_NEXT, 0xff, 0);
	allow8(v, at + PCI_MSI_FLAGS, 0xff, 0xff);
	allow32(v, at + PCI_MSI_ADDRESS_LO, 0xffffffff, 0xffffffff);
	put16(v->hardware, at + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	if (flags & PCI_MSI_FLAGS_64BIT) {
		allow32(v, at + PCI_MSI_ADDRESS_HI, 0xffffffff, 0xffffffff);
		allow16(v, at + PCI_MSI_DATA_64, 0xffff, 0xffff);
		mask = PCI_MSI_MASK_64;
	} else {
		allow16(v, at + PCI_MSI_DATA_32, 0xffff, 0xffff);
		mask = PCI_MSI_MASK_32;
	}
	if (!(flags & PCI_MSI_FLAGS_MASKBIT))
		return flags & PCI_MSI_FLAGS_64BIT ? 14 : 10;
	allow32(v, at + mask, 0, 0xffffffff);
	allow32(v, at + mask + 4, 0, 0xffffffff);
	put32(v->hardware, at + mask, (uint32_t)(((uint64_t)1 << v->dev->pci.msi_vectors) - 1));
	return flags & PCI_MSI_FLAGS_64BIT ? 24 : 20;
}

static unsigned init_express(struct vfio_device *v, unsigned at)
{
	const unsigned control = PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE |
				 PCI_EXP_DEVCTL_URRE | PCI_EXP_DEVCTL_RELAX_EN |
				 PCI_EXP_DEVCTL_NOSNOOP_EN;

	v->express = at;
	allow8(v, at + PCI_CAP_LIST_NEXT, 0xff, 0);
	allow16(v, at + PCI_EXP_DEVCTL,
		PCI_EXP_DEVCTL_BCR_FLR | PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_READRQ,
		0xffff & ~PCI_EXP_DEVCTL_PHANTOM);
	allow16(v, at + PCI_EXP_DEVCTL2, 0, 0xffff & ~PCI_EXP_DEVCTL2_ARI);
	put16(v->hardware, at + PCI_EXP_DEVCTL, control);
	return EXPRESS_SIZE;
}

/* The capability's size; what has none of its own rules is read-only but for `next`. */
static unsigned init_capability(struct vfio_device *v, unsigned at)
{
	switch (v->physical[at]) {
	case PCI_CAP_ID_PM:
		return init_pm(v, at);
	case PCI_CAP_ID_MSI:
		return init_msi(v, at);
	case PCI_CAP_ID_MSIX:
		v->msix = at;
		allow8(v, at + PCI_CAP_LIST_NEXT, 0xff, 0);
		return PCI_CAP_MSIX_SIZEOF;
	case PCI_CAP_ID_EXP:
		return init_express(v, at);
	case PCI_CAP_ID_VNDR:
		return v->physical[at + PCI_CAP_FLAGS];
	default:
		return 0;
	}
}

static void init_capabilities(struct vfio_device *v)
{
	unsigned at = v->physical[PCI_CAPABILITY_LIST] & ~3u, before = PCI_CAPABILITY_LIST, size;
	unsigned steps;

	if (!(v->physical[PCI_STATUS] & PCI_STATUS_CAP_LIST))
		return;
	for (steps = 0; at && steps < 48; steps++) {
		size = init_capability(v, at);
		if (size) {
			memset(&v->kind[at], v->physical[at], size);
			before = at + PCI_CAP_LIST_NEXT;
		} else {
			v->virtual[before] = v->physical[at + PCI_CAP_LIST_NEXT];
		}
		at = v->physical[at + PCI_CAP_LIST_NEXT] & ~3u;
	}
}

/* ---- state that the registers stand for; config_lock held ---- */

static bool in_d3(const struct vfio_device *v)
{
	return v->pm && (v->physical[v->pm + PCI_PM_CTRL] & PCI_PM_CTRL_STATE_MASK) == 3;
}

static void update_memory_enabled(struct vfio_device *v)
{
	bool enabled = (v->virtual[PCI_COMMAND] & PCI_COMMAND_MEMORY) && !in_d3(v);

	atomic_store(&v->memory_enabled, enabled);
	mmio_memory_enable(v->dev, enabled);
}

void vfio_config_open(struct vfio_device *v)
{
	uint64_t address[STANDIN_PCI_BARS];

	pthread_mutex_lock(&v->config_lock);
	v->config_size = pci_build_config(&v->dev->pci, v->physical);
	pci_place_bars(v->dev, address);
	pci_write_bars(&v->dev->pci, address, v->physical);
	/* As firmware and pci_enable_device() leave it, the bus master bit cleared. */
	put16(v->physical, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_SERR);
	memcpy(v->virtual, v->physical, sizeof(v->virtual));
	memset(v->virt, 0, sizeof(v->virt));
	memset(v->write, 0, sizeof(v->write));
	memset(v->hardware, 0, sizeof(v->hardware));
	memset(v->kind, KIND_NONE, sizeof(v->kind));
	memset(v->kind, KIND_HEADER, PCI_STD_HEADER_SIZEOF);
	v->pm = v->msi = v->msix = v->express = 0;
	init_header(v);
	init_capabilities(v);
	v->bars_dirty = true;
	update_memory_enabled(v);
	pthread_mutex_unlock(&v->config_lock);
}

static void set_power_state(struct vfio_device *v, unsigned state)
{
	uint8_t *control = &v->physical[v->pm + PCI_PM_CTRL];
	unsigned capabilities = get16(v->physical, v->pm + PCI_PM_PMC);

	if ((state == 1 && !(capabilities & PCI_PM_CAP_D1)) ||
	    (state == 2 && !(capabilities & PCI_PM_CAP_D2)))
		return;
	*control = (uint8_t)((*control & ~PCI_PM_CTRL_STATE_MASK) | state);
	update_memory_enabled(v);
}

void vfio_config_power_on(struct vfio_device *v)
{
	pthread_mutex_lock(&v->config_lock);
	if (v->pm)
		set_power_state(v, 0);
	pthread_mutex_unlock(&v->config_lock);
}

bool vfio_config_in_d0(struct vfio_device *v)
{
	bool in_d0;

	pthread_mutex_lock(&v->config_lock);
	in_d0 = !v->pm || !(v->physical[v->pm + PCI_PM_CTRL] & PCI_PM_CTRL_STATE_MASK);
	pthread_mutex_unlock(&v->config_lock);
	return in_d0;
}

void vfio_config_show_msix(struct vfio_device *v, bool enabled)
{
	unsigned at = v->msix + PCI_MSIX_FLAGS, flags;

	pthread_mutex_lock(&v->config_lock);
	flags = get16(v->physical, at) & ~(unsigned)PCI_MSIX_FLAGS_ENABLE;
	put16(v->physical, at, flags | (enabled ? PCI_MSIX_FLAGS_ENABLE : 0));
	pthread_mutex_unlock(&v->config_lock);
}

void vfio_config_apply_command(struct vfio_device *v)
{
	/* Under the lock, so that of two changes the later one comes later to the model. */
	pthread_mutex_lock(&v->config_lock);
	device_set_command(v->dev, get16(v->physical, PCI_COMMAND));
	pthread_mutex_unlock(&v->config_lock);
}

/* BAR sizing: the address bits that a BAR of that size doesn't have read as zero. */
static void fix_bars(struct vfio_device *v)
{
	const struct standin_bar *bar;
	unsigned i, at = PCI_BASE_ADDRESS_0;
	uint64_t mask;
	uint32_t type;

	for (i = 0; i < STANDIN_PCI_BARS; i++, at += 4) {
		bar = &v->dev->pci.bar[i];
		if (!bar->size) {
			put32(v->virtual, at, 0);
			continue;
		}
		mask = ~(bar->size - 1);
		type = get32(v->physical, at) & (bar->flags & STANDIN_BAR_IO ? 3 : 15);
		put32(v->virtual, at, (get32(v->virtual, at) & (uint32_t)mask) | type);
		if (!(type & PCI_BASE_ADDRESS_SPACE_IO) && (type & PCI_BASE_ADDRESS_MEM_TYPE_64)) {
			i++;
			at += 4;
			put32(v->virtual, at, get32(v->virtual, at) & (uint32_t)(mask >> 32));
		}
	}
	put32(v->virtual, PCI_ROM_ADDRESS, 0);
	v->bars_dirty = false;
}

static bool is_bar(unsigned at)
{
	return (at >= PCI_BASE_ADDRESS_0 && at < PCI_BASE_ADDRESS_5 + 4) ||
	       (at >= PCI_ROM_ADDRESS && at < PCI_ROM_ADDRESS + 4);
}

/* ---- pieces ---- */

/* How many bytes from `at` on are one piece. */
static unsigned piece_size(const struct vfio_device *v, unsigned at, size_t left)
{
	unsigned n = 1;

	while ((at + n) % 4 && v->kind[at + n] == v->kind[at])
		n++;
	if (left < n)
		n = (unsigned)left;
	if (n >= 4 && !(at % 4))
		return 4;
	return n >= 2 && !(at % 2) ? 2 : 1;
}

/* A piece's offset in its capability or, for the header, in the configuration space. */
static unsigned piece_offset(const struct vfio_device *v, unsigned at)
{
	switch (v->kind[at]) {
	case PCI_CAP_ID_PM:
		return at - v->pm;
	case PCI_CAP_ID_MSI:
		return at - v->msi;
	case PCI_CAP_ID_EXP:
		return at - v->express;
	default:
		return at;
	}
}

static void read_piece(struct vfio_device *v, unsigned at, unsigned size, uint8_t *bytes)
{
	unsigned i;

	if (v->kind[at] == KIND_HEADER && is_bar(at) && v->bars_dirty)
		fix_bars(v);
	for (i = 0; i < size; i++)
		bytes[i] = (uint8_t)((v->physical[at + i] & ~v->virt[at + i]) |
				     (v->virtual[at + i] & v -> virt[at + i]));
	if (v->kind[at] == KIND_HEADER && at <= PCI_STATUS && at + size > PCI_STATUS &&
	    atomic_load(&v->dev->intx_asserted))
		bytes[PCI_STATUS - at] |= PCI_STATUS_INTERRUPT;
}

static void store_piece(struct vfio_device *v, unsigned at, unsigned size, const uint8_t *bytes)
{
	unsigned i, mask;

	for (i = 0; i < size; i++) {
		mask = v->write[at + i] & v->virt[at + i];
		v->virtual[at + i] = (uint8_t)((v->virtual[at + i] & ~mask) | (bytes[i] & mask));
		mask = v->write[at + i] & ~v->virt[at + i] & v->hardware[at + i];
		v->physical[at + i] = (uint8_t)((v->physical[at + i] & ~mask) | (bytes[i] & mask));
	}
}

/* What a write makes happen once the config lock is given up. */
struct effects {
	bool command, intx, reset;
	bool intx_disabled;
};

static void header_written(struct vfio_device *v, unsigned at, const uint8_t *bytes,
			   struct effects *e)
{
	const unsigned decode = PCI_COMMAND_MEMORY | PCI_COMMAND_IO;

	if (at == PCI_COMMAND) {
		v->virtual[at] = (uint8_t)((v->virtual[at] & ~decode) | (bytes[0] & decode));
		update_memory_enabled(v);
		e->command = true;
	}
	if (at == PCI_COMMAND || at == PCI_COMMAND + 1) {
		e->intx = true;
		e->intx_disabled = get16(v->virtual, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE;
	}
	if (is_bar(at))
		v->bars_dirty = true;
}

/* MSI is enabled by SET_IRQS alone, and with no more vectors than that asked for. */
static void msi_flags_written(struct vfio_device *v)
{
	unsigned at = v->msi + PCI_MSI_FLAGS, flags = get16(v->virtual, at);

	if (v->irqs.type != VFIO_PCI_MSI_IRQ_INDEX)
		flags &= ~(unsigned)PCI_MSI_FLAGS_ENABLE;
	if ((flags & PCI_MSI_FLAGS_QSIZE) >> 4 > v->irqs.msi_qmax)
		flags = (flags & ~(unsigned)PCI_MSI_FLAGS_QSIZE) | v->irqs.msi_qmax << 4;
	put16(v->virtual, at, flags);
}

static void express_written(struct vfio_device *v, struct effects *e)
{
	unsigned at = v->express + PCI_EXP_DEVCTL, control = get16(v->virtual, at);

	if (!(control & PCI_EXP_DEVCTL_BCR_FLR))
		return;
	put16(v->virtual, at, control & ~(unsigned)PCI_EXP_DEVCTL_BCR_FLR);
	e->reset = get32(v->physical, v->express + PCI_EXP_DEVCAP) & PCI_EXP_DEVCAP_FLR;
}

static void piece_written(struct vfio_device *v, unsigned at, unsigned size, const uint8_t *bytes,
			  struct effects *e)
{
	unsigned offset = piece_offset(v, at);

	switch (v->kind[at]) {
	case KIND_HEADER:
		header_written(v, at, bytes, e);
		break;
	case PCI_CAP_ID_PM:
		if (offset == PCI_PM_CTRL)
			set_power_state(v, bytes[0] & PCI_PM_CTRL_STATE_MASK);
		break;
	case PCI_CAP_ID_MSI:
		if (offset <= PCI_MSI_FLAGS && offset + size >= PCI_MSI_FLAGS)
			msi_flags_written(v);
		break;
	case PCI_CAP_ID_EXP:
		express_written(v, e);
		break;
	default:
		break;
	}
}

static void write_piece(struct vfio_device *v, unsigned at, unsigned size, const uint8_t *bytes)
{
	struct effects e = {0};

	pthread_mutex_lock(&v->config_lock);
	store_piece(v, at, size, bytes);
	piece_written(v, at, size, bytes, &e);
	pthread_mutex_unlock(&v->config_lock);
	if (e.command)
		vfio_config_apply_command(v);
	if (e.intx)
		vfio_irqs_intx_disable(v, e.intx_disabled);
	if (e.reset)
		vfio_device_reset(v);
}

/* ---- accesses ---- */

ssize_t vfio_config_read(struct vfio_device *v, void *buffer, size_t size, uint64_t position)
{
	uint8_t bytes[4];
	size_t done;
	unsigned at, n;

	for (done = 0; done < size; done += n) {
		if (position + done >= v->config_size ||
		    size - done > v->config_size - (position + done))
			return -EFAULT;
		at = (unsigned)(position + done);
		n = piece_size(v, at, size - done);
		pthread_mutex_lock(&v->config_lock);
		read_piece(v, at, n, bytes);
		pthread_mutex_unlock(&v->config_lock);
		if (copy_to_user((char *)buffer + done, bytes, n))
			return -EFAULT;
	}
	return (ssize_t)done;
}

ssize_t vfio_config_write(struct vfio_device *v, const void *buffer, size_t size, uint64_t position)
{
	uint8_t bytes[4];
	size_t done;
	unsigned at, n;

	for (done = 0; done < size; done += n) {
		if (position + done >= v->config_size ||
		    size - done > v->config_size - (position + done))
			return -EFAULT;
		at = (unsigned)(position + done);
		n = piece_size(v, at, size - done);
		/* MSI-X is read-only as a whole, so that the buffer isn't even looked at. */
		if (v->kind[at] == PCI_CAP_ID_MSIX)
			continue;
		if (copy_from_user(bytes, (const char *)buffer + done, n))
			return -EFAULT;
		write_piece(v, at, n, bytes);
	}
	return (ssize_t)done;
}
