/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Versions: the host lists those it knows of the framework and of the service, and gets the
 * best of ours that is among them, or the word that there is none (drivers/hv/channel_mgmt.c,
 * vmbus_prep_negotiate_resp()).
 */
#include "hyperv/hyperv.h"

static bool find(const struct hyperv_version *ours, unsigned n_ours,
		 const struct hyperv_version *theirs, unsigned n_theirs,
		 struct hyperv_version *ret_version)
{
	for (unsigned o = 0; o < n_ours; o++)
		for (unsigned t = 0; t < n_theirs; t++)
			if (ours[o].major == theirs[t].major && ours[o].minor == theirs[t].minor) {
				*ret_version = ours[o];
				return true;
			}
	return false;
}

bool hyperv_negotiate(struct hyperv_service *s)
{
	struct hyperv_negotiation *n = (struct hyperv_negotiation *)s->ic.body;
	const struct hyperv_offer *offer = &s->kind->offer;
	struct hyperv_version framework = {0}, version = {0};
	unsigned n_frameworks, n_versions;
	bool found = false;

	if (s->packet_size < HYPERV_IC_SIZE + offsetof(struct hyperv_negotiation, reserved))
		return false;
	s->ic.ic.size = 16;
	n_frameworks = n->n_frameworks;
	n_versions = n->n_versions;
	framework.major = n->n_frameworks;
	version.major = n->n_versions;
	if (n_frameworks <= HYPERV_IC_VERSIONS_MAX && n_versions <= HYPERV_IC_VERSIONS_MAX &&
	    HYPERV_IC_SIZE + sizeof(*n) + (n_frameworks + n_versions) * sizeof(framework) <=
		    s->packet_size &&
	    find(offer->frameworks, offer->n_frameworks, n->version, n_frameworks, &framework))
		found = find(offer->versions, offer->n_versions, n->version + n_frameworks,
			     n_versions, &version);
	n->n_frameworks = n->n_versions = found;
	n->version[0] = framework;
	n->version[1] = version;
	if (found) {
		s->framework = framework;
		s->version = version;
	}
	return found;
}
