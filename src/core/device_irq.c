/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts from a model to the driver.  Which kind goes out is the driver's choice
 * (VFIO_DEVICE_SET_IRQS); message vectors end in lines, the level of INTx is the vfio
 * room's to turn into masked, unmasked and signalled.
 */
#include "core/device.h"
#include "core/trace.h"

enum standin_irq_mode standin_irq_mode(const struct standin_device *dev)
{
	return (enum standin_irq_mode)atomic_load(&dev->irq_mode);
}

void standin_irq_message(struct standin_device *dev, unsigned vector)
{
	enum standin_irq_mode mode = standin_irq_mode(dev);
	unsigned enabled;

	if (mode == STANDIN_IRQ_MSI) {
		enabled = atomic_load(&dev->n_enabled);
		if (!enabled)
			return;
		vector %= enabled;
		line_raise(&dev->vectors[vector]);
	} else if (mode == STANDIN_IRQ_MSIX) {
		msix_raise(dev, vector);
	} else {
		return;
	}
	if (trace_enabled)
		trace_event("irq(%s, %s %u)", dev->address,
		            mode == STANDIN_IRQ_MSI ? "msi" : "msix", vector);
}

void standin_irq_level(struct standin_device *dev, bool asserted)
{
	if (atomic_exchange(&dev->intx_asserted, asserted) == asserted)
		return;
	if (dev->intx_changed)
		dev->intx_changed(dev, asserted);
	if (trace_enabled)
		trace_event("irq(%s, intx %s)", dev->address, asserted ? "high" : "low");
}
