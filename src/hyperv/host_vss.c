/* SPDX-License-Identifier: BSD-3-Clause */
/* What a host does with VSS: one word, and a number or two back. */
#include <errno.h>

#include "hyperv/host.h"

int64_t hyperv_vss_request(struct hyperv_host *h, unsigned operation, uint32_t *ret_flags)
{
	const struct hv_vss_msg m = {.vss_hdr.operation = (uint8_t)operation};
	int64_t status = hyperv_host_request(h, &m, sizeof(m));

	if (status < 0)
		return status;
	if (h->packet_size < HYPERV_IC_SIZE + sizeof(m))
		return -EPROTO;
	if (ret_flags)
		*ret_flags = ((const struct hv_vss_msg *)h->ic.body)->dm_info.flags;
	return status;
}
