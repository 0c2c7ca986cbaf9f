/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests: each on the channel of its service, which is opened if need be, by the functions of
 * hyperv/host.h.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "control/hyperv_host.h"

_Static_assert(STANDIN_HYPERV_PACKET_MAX == HYPERV_PACKET_MAX &&
		       STANDIN_HYPERV_MESSAGE_MAX == HYPERV_PACKET_MAX - HYPERV_IC_SIZE - 8,
	       "what the header says of packets");
_Static_assert(STANDIN_HYPERV_REG_EXPAND_SZ == HYPERV_REG_EXPAND_SZ &&
		       STANDIN_HYPERV_REG_QWORD == HYPERV_REG_QWORD,
	       "what the header says of types of values");
_Static_assert(STANDIN_HYPERV_TYPE_NEGOTIATE == HYPERV_IC_NEGOTIATE &&
		       STANDIN_HYPERV_TYPE_KVP == HYPERV_IC_KVP &&
		       STANDIN_HYPERV_TYPE_VSS == HYPERV_IC_VSS &&
		       STANDIN_HYPERV_TYPE_FCOPY == HYPERV_IC_FCOPY,
	       "what the header says of types of messages");

const char *standin_hyperv_status_name(uint32_t status)
{
	return hyperv_status_name(status);
}

const char *standin_hyperv_pool_name(unsigned pool)
{
	return hyperv_pool_name(pool);
}

int standin_hyperv_pool_parse(const char *text)
{
	return hyperv_pool_parse(text);
}

/* ---- key-value pairs ---- */

static int kvp_channel(struct standin_hyperv *h, unsigned pool, struct hyperv_host **ret_channel)
{
	if (pool > UINT8_MAX)
		return hyperv_error(h, -EINVAL, "%u is no pool", pool);
	return hyperv_channel(h, STANDIN_HYPERV_KVP, ret_channel);
}

int64_t standin_hyperv_kvp_set(struct standin_hyperv *h, unsigned pool, const char *key,
			       unsigned type, const char *value)
{
	struct hyperv_host *c;
	int64_t ret = kvp_channel(h, pool, &c);

	return hyperv_end(h, ret ? ret : hyperv_kvp_set(c, pool, key, type, value));
}

int64_t standin_hyperv_kvp_delete(struct standin_hyperv *h, unsigned pool, const char *key)
{
	struct hyperv_host *c;
	int64_t ret = kvp_channel(h, pool, &c);

	return hyperv_end(h, ret ? ret : hyperv_kvp_delete(c, pool, key));
}

int64_t standin_hyperv_kvp_enumerate(struct standin_hyperv *h, unsigned pool, uint32_t index,
				     struct standin_hyperv_pair *ret_pair)
{
	struct hyperv_host *c;
	int64_t ret = kvp_channel(h, pool, &c);

	return hyperv_end(h, ret ? ret : hyperv_kvp_enumerate(c, pool, index, ret_pair));
}

int64_t standin_hyperv_kvp_get(struct standin_hyperv *h, unsigned pool, const char *key,
			       struct standin_hyperv_pair *ret_pair)
{
	struct hyperv_host *c;
	int64_t ret = kvp_channel(h, pool, &c);

	return hyperv_end(h, ret ? ret : hyperv_kvp_find(c, pool, key, ret_pair));
}

int64_t standin_hyperv_kvp_get_addresses(struct standin_hyperv *h,
					 struct standin_hyperv_addresses *a)
{
	struct hyperv_host *c;
	int64_t ret = hyperv_channel(h, STANDIN_HYPERV_KVP, &c);

	return hyperv_end(h, ret ? ret : hyperv_kvp_get_addresses(c, a));
}

int64_t standin_hyperv_kvp_set_addresses(struct standin_hyperv *h,
					 const struct standin_hyperv_addresses *a)
{
	struct hyperv_host *c;
	int64_t ret = hyperv_channel(h, STANDIN_HYPERV_KVP, &c);

	return hyperv_end(h, ret ? ret : hyperv_kvp_set_addresses(c, a));
}

/* ---- backups ---- */

int64_t standin_hyperv_vss_request(struct standin_hyperv *h, unsigned operation,
				   uint32_t *ret_flags)
{
	struct hyperv_host *c;
	int64_t ret = hyperv_channel(h, STANDIN_HYPERV_VSS, &c);

	return hyperv_end(h, ret ? ret : hyperv_vss_request(c, operation, ret_flags));
}

int64_t standin_hyperv_vss_hot_backup(struct standin_hyperv *h)
{
	return standin_hyperv_vss_request(h, VSS_OP_HOT_BACKUP, NULL);
}

int64_t standin_hyperv_vss_freeze(struct standin_hyperv *h)
{
	return standin_hyperv_vss_request(h, VSS_OP_FREEZE, NULL);
}

int64_t standin_hyperv_vss_thaw(struct standin_hyperv *h)
{
	return standin_hyperv_vss_request(h, VSS_OP_THAW, NULL);
}

/* ---- file copies ---- */

struct report {
	const struct standin_hyperv_copy *copy;
	uint64_t size;
};

static bool report(uint64_t copied, void *arg)
{
	const struct report *r = arg;

	return !r->copy->progress || r->copy->progress(copied, r->size, r->copy->arg);
}

int64_t standin_hyperv_copy(struct standin_hyperv *h, int source, const char *dest,
			    struct standin_hyperv_copy *copy)
{
	const char *slash = strrchr(dest, '/');
	struct report r = {.copy = copy};
	char directory[PATH_MAX];
	struct hyperv_copy file = {.directory = directory,
				   .create_path = copy->flags & STANDIN_HYPERV_COPY_CREATE_PATH,
				   .overwrite = copy->flags & STANDIN_HYPERV_COPY_OVERWRITE,
				   .progress = report,
				   .arg = &r};
	struct hyperv_host *c;
	struct stat st;
	int64_t ret;

	copy->copied = 0;
	if (dest[0] != '/' || (size_t)(slash - dest) >= sizeof(directory))
		return hyperv_error(h, -EINVAL, "'%.64s' is no absolute path", dest);
	memcpy(directory, dest, (size_t)(slash - dest) + 1);
	directory[slash - dest + 1] = '\0';
	file.name = slash + 1;
	if (fstat(source, &st) == 0 && S_ISREG(st.st_mode))
		file.size = r.size = (uint64_t)st.st_size;
	ret = hyperv_channel(h, STANDIN_HYPERV_FCOPY, &c);
	if (ret < 0)
		return hyperv_end(h, ret);
	ret = hyperv_copy_file(c, source, &file);
	copy->copied = file.copied;
	if (ret == -EINVAL)
		hyperv_error(h, 0, "the name or the directory is empty, too long or no UTF-8");
	return hyperv_end(h, ret);
}

/* ---- messages of any kind ---- */

int standin_hyperv_send(struct standin_hyperv *h, enum standin_hyperv_service service,
			unsigned type, const void *body, size_t size)
{
	struct hyperv_host *c;
	int ret = hyperv_channel(h, service, &c);

	if (ret == 0 && size > STANDIN_HYPERV_MESSAGE_MAX)
		ret = hyperv_error(h, -EINVAL, "a message has at most %u bytes",
				   STANDIN_HYPERV_MESSAGE_MAX);
	if (ret == 0) {
		hyperv_host_begin(c, type, size);
		memcpy(c->ic.body, body, size);
		ret = hyperv_host_send(c);
	}
	return (int)hyperv_end(h, ret);
}

int standin_hyperv_send_packet(struct standin_hyperv *h, enum standin_hyperv_service service,
			       const void *packet, size_t size)
{
	struct hyperv_host *c;
	int ret = hyperv_channel(h, service, &c);

	if (ret == 0 && (size == 0 || size > HYPERV_PACKET_MAX))
		ret = hyperv_error(h, -EINVAL, "a packet has 1 to %u bytes", HYPERV_PACKET_MAX);
	if (ret == 0) {
		memcpy(c->packet, packet, size);
		c->packet_size = size;
		ret = hyperv_host_send(c);
	}
	return (int)hyperv_end(h, ret);
}

int standin_hyperv_receive(struct standin_hyperv *h, enum standin_hyperv_service service,
			   struct standin_hyperv_answer *ret_answer)
{
	struct standin_hyperv_answer a = {0};
	struct hyperv_host *c;
	int ret;

	h->error[0] = '\0';
	if ((unsigned)service >= STANDIN_HYPERV_SERVICES)
		return hyperv_error(h, -EINVAL, "there is no such service");
	c = &h->channels[service];
	ret = hyperv_host_receive(c);
	if (ret < 0)
		return (int)hyperv_end(h, ret);
	a.headers = c->packet_size >= HYPERV_IC_SIZE;
	a.body = c->packet;
	a.size = c->packet_size;
	if (a.headers) {
		a.status = c->ic.ic.status;
		a.type = c->ic.ic.type;
		a.flags = c->ic.ic.flags;
		a.body = c->ic.body;
		a.size -= HYPERV_IC_SIZE;
	}
	*ret_answer = a;
	return 0;
}
