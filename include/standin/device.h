/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * standin/device.h - how a device model is written.
 *
 * A model is one source file: a struct standin_model with its callbacks, and
 * STANDIN_MODEL(model) at the bottom.  It describes a PCI function, answers
 * accesses to its registers, reads and writes the driver's memory by DMA and
 * raises interrupts.  It knows nothing of ioctls, file descriptors or groups.
 * src/devices/edu.c is the smallest one and the one to read first.
 *
 * Contexts.  realize, unrealize and reset run in ordinary code.  bar_read,
 * bar_write and doorbells may run inside a signal handler of the thread that
 * touched the register, so they must not call malloc or stdio; they may take
 * the model's own mutexes, which no thread holds while it runs driver code.
 * Several threads may be in a model at once: it does its own locking.
 *
 * Errors are negative errno values.  Addresses are IOVAs, in bytes.  Register
 * values are in host order (PCI is little-endian, and so is every processor
 * this runs on).
 */
#ifndef STANDIN_DEVICE_H
#define STANDIN_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STANDIN_MODEL_API 1

#define STANDIN_PCI_BARS 6

struct standin_device; /* one instance of a model; opaque to models */

/* What a load or a store to a piece of a BAR does.  Pieces are whole pages. */
enum standin_page {
	STANDIN_PAGE_TRAP,     /* loads and stores call bar_read and bar_write */
	STANDIN_PAGE_SHADOW,   /* loads read standin_bar_memory() directly, stores call bar_write */
	STANDIN_PAGE_DOORBELL, /* write-only doorbells: as TRAP while the device is idle, plain
	                        * memory that doorbells() looks at while it is polled */
	STANDIN_PAGE_RAM,      /* plain memory, nobody is called */
};

struct standin_span {
	uint64_t offset; /* in the BAR, a multiple of the page size */
	uint64_t size;   /* bytes, a multiple of the page size */
	enum standin_page page;
};

#define STANDIN_BAR_MEM64        1u /* 64-bit; takes the next BAR's register too */
#define STANDIN_BAR_PREFETCHABLE 2u
#define STANDIN_BAR_IO           4u /* I/O ports: never mapped, only read and written */

struct standin_bar {
	uint64_t size;  /* bytes, a power of two; 0: no such BAR */
	unsigned flags; /* STANDIN_BAR_* */
	const struct standin_span *spans; /* what is not covered is STANDIN_PAGE_TRAP */
	size_t n_spans;
};

/* A capability with its bytes as configuration space shows them; read-only. */
struct standin_capability {
	const uint8_t *bytes; /* identifier, next (filled in by the PCI layer), the rest */
	uint8_t size;         /* bytes, at least 2; a vendor's (9) has it in its third, too */
};

/*
 * A PCI function as its model declares it in realize().  Everything that can
 * be derived from it is: configuration space, capabilities, sysfs files.
 */
struct standin_pci {
	uint16_t vendor, device, subsystem_vendor, subsystem_device;
	uint8_t revision;
	uint32_t class_code;     /* 24 bits: class, subclass, programming interface */
	uint8_t interrupt_pin;   /* 1..4 for INTA..INTD; 0: no INTx */
	uint8_t msi_vectors;     /* power of two up to 32; 0: no MSI capability */
	uint16_t msix_vectors;   /* up to 2048; 0: no MSI-X capability */
	uint8_t msix_bar;        /* where the table and the pending bits are; that part of the */
	uint32_t msix_table;     /* BAR belongs to the PCI layer and never reaches the model */
	uint32_t msix_pba;
	bool pcie;               /* has a PCI Express capability (endpoint), with FLR */
	bool power_management;   /* has a PM capability */
	struct standin_bar bar[STANDIN_PCI_BARS];
	/* More capabilities, behind those above; they stay valid until unrealize(). */
	const struct standin_capability *capabilities;
	size_t n_capabilities;
};

/* A configuration key: --device NAME,key=value.  Unknown keys never reach a model. */
struct standin_key {
	const char *name;
	const char *help; /* one line, for `standin list --devices` */
};

/* The value given for `key`, or NULL.  Lives as long as the device. */
const char *standin_config_string(const struct standin_device *dev, const char *key);

/*
 * The number or size given for `key` (decimal or 0x hex; suffixes k, M, G, T are
 * powers of 1024), `fallback` if the key is absent.  -EINVAL if it is no number or
 * outside [min, max]; the message goes to standin_device_error().
 */
int standin_config_number(struct standin_device *dev, const char *key, uint64_t fallback,
                          uint64_t min, uint64_t max, uint64_t *ret_value);

/* on/off/yes/no/true/false/1/0 */
int standin_config_bool(struct standin_device *dev, const char *key, bool fallback,
                        bool *ret_value);

/*
 * Records why realize() fails, one line without a newline, and returns `error`
 * (negative errno) so that it can be used as `return standin_device_error(...)`.
 */
int standin_device_error(struct standin_device *dev, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * A model.  Fields are only ever added at the end; struct_size tells how many
 * there are.  A NULL callback means the default named beside it.
 */
struct standin_model {
	size_t struct_size; /* sizeof(struct standin_model) */
	int api_version;    /* STANDIN_MODEL_API */
	const char *name;     /* "nvme": what --device takes */
	const char *longname; /* "NVMe 1.4 controller with one namespace" */
	const struct standin_key *keys; /* ends with a NULL name; may be NULL */
	size_t state_size; /* bytes of zeroed per-instance state, see standin_device_state() */

	/*
	 * Reads the configuration, opens the backend, fills *pci.  Starts no
	 * thread and writes nothing: it also runs just to check a command line.
	 * Required.
	 */
	int (*realize)(struct standin_device *dev, struct standin_pci *pci);
	/* Frees what realize made.  Runs after the last access.  Default: nothing. */
	void (*unrealize)(struct standin_device *dev);
	/*
	 * Function-level reset: registers as after power-on, no DMA or interrupt
	 * afterwards from before.  Waits for DMA in flight.  Default: nothing.
	 */
	void (*reset)(struct standin_device *dev);
	/* size is 1, 2, 4 or 8 and the access lies inside the BAR.  Default: all ones. */
	uint64_t (*bar_read)(struct standin_device *dev, unsigned bar, uint64_t offset,
	                     unsigned size);
	/* Default: ignored. */
	void (*bar_write)(struct standin_device *dev, unsigned bar, uint64_t offset, unsigned size,
	                  uint64_t value);
	/*
	 * Polled mode (see standin_doorbells_poll): looks at all doorbells in
	 * standin_bar_memory(), does the work, returns whether there was any.
	 * Runs on the device's own thread.  Required if a span is DOORBELL.
	 */
	bool (*doorbells)(struct standin_device *dev);
	/* The driver changed the bus master or memory enable bit.  Default: nothing. */
	void (*command_changed)(struct standin_device *dev, uint16_t command);
};

void standin_model_register(const struct standin_model *model);

#define STANDIN_MODEL(model)                                                                       \
	__attribute__((constructor)) static void model##_register(void)                            \
	{                                                                                          \
		standin_model_register(&(model));                                                  \
	}

/* The instance's zeroed state_size bytes. */
void *standin_device_state(const struct standin_device *dev);
/* "0000:01:00.0", for messages. */
const char *standin_device_address(const struct standin_device *dev);

/*
 * The BAR's memory as SHADOW, DOORBELL and RAM spans show it to the driver,
 * bar.size bytes, zeroed at first.  Valid from the return of realize() on (so not
 * inside it) until unrealize().
 */
void *standin_bar_memory(const struct standin_device *dev, unsigned bar);

/*
 * Asks that the doorbell pages be plain memory and doorbells() be called in a loop
 * on the device's thread, until nothing came for a while; then they trap again.
 * Cheap when already polling.  May be called from bar_write.  Has no effect where
 * doorbells can't be trapped and are polled anyway.
 */
void standin_doorbells_poll(struct standin_device *dev);

/* ---- DMA: only through the IOVA map that the driver set up ---- */

enum standin_dma { /* named from the device's side */
	STANDIN_DMA_READ = 1,  /* the device reads the driver's memory */
	STANDIN_DMA_WRITE = 2, /* the device writes the driver's memory */
};

/*
 * Copy between the device and driver memory.  0, or -EFAULT if any byte is not
 * mapped for that direction (then an IOMMU fault has been recorded; earlier bytes
 * may have been copied).  Bus mastering off counts as not mapped.
 */
int standin_dma_read(struct standin_device *dev, uint64_t iova, void *buffer, size_t size);
int standin_dma_write(struct standin_device *dev, uint64_t iova, const void *buffer, size_t size);

/*
 * Zero copy: appends to iov[*n_iov...] the places of [iova, iova+size) in this
 * process, at most max_iov entries in all, and pins them: an unmap of that range
 * waits until standin_dma_unmap() is called with the same range.  0, -EFAULT as
 * above, -E2BIG if max_iov is too small (nothing stays pinned, *n_iov as before).
 * The memory behind an entry can still vanish, since a driver may unmap its own
 * memory: use the entries in system calls, which answer EFAULT, or copy with
 * standin_copy_to/standin_copy_from; never dereference them plainly.
 */
int standin_dma_map(struct standin_device *dev, uint64_t iova, size_t size,
                    enum standin_dma direction, struct iovec *iov, unsigned max_iov,
                    unsigned *n_iov);
void standin_dma_unmap(struct standin_device *dev, uint64_t iova, size_t size);

/*
 * Zero copy without a call for each buffer: the whole mapping that `iova` lies in, pinned until
 * standin_dma_window_end().  To be held for short, since an unmap waits.  0, or -EFAULT where
 * standin_dma_map() must be asked: nothing is mapped there (no fault is recorded), or it is
 * memory of another process.
 */
struct standin_dma_window {
	uint64_t first, last; /* IOVAs */
	void *memory;         /* `first` in this process; as an iovec of standin_dma_map() */
	unsigned access;      /* enum standin_dma bits that the driver allows */
};
int standin_dma_window(struct standin_device *dev, uint64_t iova,
                       struct standin_dma_window *ret_window);
void standin_dma_window_end(struct standin_device *dev, const struct standin_dma_window *window);

/* memcpy to or from driver memory that may fault: 0 or -EFAULT. */
int standin_copy_to(void *driver_memory, const void *buffer, size_t size);
int standin_copy_from(void *buffer, const void *driver_memory, size_t size);

/* ---- Interrupts ---- */

enum standin_irq_mode { STANDIN_IRQ_NONE, STANDIN_IRQ_INTX, STANDIN_IRQ_MSI, STANDIN_IRQ_MSIX };

/* What the driver has enabled. */
enum standin_irq_mode standin_irq_mode(const struct standin_device *dev);
/*
 * Sends message-signalled interrupt `vector` if MSI or MSI-X is enabled (MSI: taken
 * modulo the vectors enabled).  A masked MSI-X vector becomes pending.
 */
void standin_irq_message(struct standin_device *dev, unsigned vector);
/* The level of INTx.  Ignored unless INTx is enabled and not disabled in the command register. */
void standin_irq_level(struct standin_device *dev, bool asserted);

#ifdef __cplusplus
}
#endif
#endif
