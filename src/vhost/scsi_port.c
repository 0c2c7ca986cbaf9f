/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Target ports: from keys to units, and who has a port at the moment.
 *
 * A process that was forked has its parent's ports in its memory, but not the threads of
 * their backends.  It makes new ones and leaves the old where they are.
 */
#include "vhost/scsi_port.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/claim.h"
#include "core/log.h"
#include "core/syscall.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct scsi_port *ports, **ports_end = &ports;
static long made_by; /* the process, 0: not made */

__attribute__((format(printf, 2, 3))) static int fail(char *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, CONFIG_ERROR_MAX, format, args);
	va_end(args);
	return -EINVAL;
}

/* ---- keys ---- */

int scsi_key_lun(const char *name, const char **ret_key)
{
	unsigned long lun;
	char *end;

	if (strncmp(name, "lun", 3) != 0 || !isdigit((unsigned char)name[3]))
		return -1;
	lun = strtoul(name + 3, &end, 10);
	if ((*end && *end != '.') || lun >= SCSI_LUNS_MAX || (name[3] == '0' && end != name + 4))
		return -1;
	*ret_key = *end ? end + 1 : NULL;
	return (int)lun;
}

static const struct unit_key {
	const char *name;
	enum { FLAG, TEXT, SIZE, BLOCK_SIZE } type;
	size_t offset;
} unit_keys[] = {
#define KEY(name, type, member)                                       \
	{                                                             \
		name, type, offsetof(struct scsi_unit_config, member) \
	}
	KEY("readonly", FLAG, backend.read_only),
	KEY("direct", FLAG, backend.direct),
	KEY("aio", TEXT, backend.aio),
	KEY("size", SIZE, backend.size),
	KEY("blocksize", BLOCK_SIZE, block_size),
	KEY("vendor", TEXT, vendor),
	KEY("product", TEXT, product),
	KEY("revision", TEXT, revision),
	KEY("serial", TEXT, serial),
	KEY("rotational", FLAG, rotational),
	KEY("removable", FLAG, removable),
#undef KEY
};

static int set_key(struct scsi_unit_config *unit, const char *key, const char *value, char *error)
{
	uint64_t size;

	for (size_t i = 0; i < sizeof(unit_keys) / sizeof(unit_keys[0]); i++) {
		void *place = (char *)unit + unit_keys[i].offset;

		if (strcmp(key, unit_keys[i].name) != 0)
			continue;
		switch (unit_keys[i].type) {
		case FLAG:
			return config_parse_bool(value, place) == 0
				       ? 0
				       : fail(error, "%s is on or off, not '%s'", key, value);
		case TEXT:
			*(const char **)place = value;
			return 0;
		case SIZE:
		case BLOCK_SIZE:
			if (keys_parse_size(value, &size) < 0 || size == 0)
				return fail(error, "%s is a size, not '%s'", key, value);
			if (unit_keys[i].type == SIZE)
				*(uint64_t *)place = size;
			else if (size < 512 || size > 4096 || (size & (size - 1)))
				return fail(error, "%s is 512, 1024, 2048 or 4096, not '%s'", key,
					    value);
			else
				*(unsigned *)place = (unsigned)size;
			return 0;
		}
	}
	return fail(error, "no key is named '%s'", key);
}

/* 1: `lun` has keys and *unit is what they say, with the strings of `config`; 0; -EINVAL. */
static int find_unit(const struct vhost_scsi_config *config, unsigned lun,
		     struct scsi_unit_config *unit, char *error)
{
	char reason[CONFIG_ERROR_MAX];
	int found = 0;

	*unit = (struct scsi_unit_config){.lun = lun};
	for (size_t i = 0; i < config->keys.n; i++) {
		const struct config_key *k = &config->keys.key[i];
		const char *key;

		if (scsi_key_lun(k->name, &key) != (int)lun)
			continue;
		found = 1;
		if (!key)
			unit->backend.file = k->value;
		else if (set_key(unit, key, k->value, reason) < 0)
			return fail(error, "vhost-scsi %s: lun%u: %.150s", config->wwpn, lun,
				    reason);
	}
	return found;
}

static int check_names(const struct vhost_scsi_config *config, char *error)
{
	const char *key;

	for (size_t i = 0; i < config->keys.n; i++)
		if (scsi_key_lun(config->keys.key[i].name, &key) < 0)
			return fail(error,
				    "vhost-scsi %s: no key is named '%s' (lun0=FILE to lun255=, "
				    "lun0.readonly=, ...)",
				    config->wwpn, config->keys.key[i].name);
	return 0;
}

/* ---- making ports ---- */

static int add_unit(struct scsi_target *target, const struct vhost_scsi_config *config,
		    struct scsi_unit_config *unit, char *error)
{
	char reason[SCSI_ERROR_MAX] = "", name[64];
	int ret;

	/* Units in memory are shared by the processes of a run, like a file. */
	snprintf(name, sizeof(name), "%s-%u-%u", config->wwpn, config->tpgt, unit->lun);
	unit->backend.name = name;
	ret = scsi_unit_add(target, unit, reason);
	if (ret < 0)
		fail(error, "vhost-scsi %s: lun%u: %.150s", config->wwpn, unit->lun,
		     *reason ? reason : strerror(-ret));
	return ret;
}

static int make_target(const struct vhost_scsi_config *config, struct scsi_target **ret_target)
{
	const struct scsi_target_config target = {
		.port = strtoull(config->wwpn + 4, NULL, 16),
		.relative_port = (uint16_t)(config->tpgt + 1),
		.port_group = (uint16_t)(config->tpgt + 1),
	};

	return scsi_target_create(&target, ret_target);
}

/* All units that the keys name: 0, or the first error.  With `log`, goes on after errors. */
static int add_units(struct scsi_target *target, const struct vhost_scsi_config *config, bool log,
		     char *error)
{
	struct scsi_unit_config unit;
	int ret;

	for (unsigned lun = 0; lun < SCSI_LUNS_MAX; lun++) {
		ret = find_unit(config, lun, &unit, error);
		if (ret > 0)
			ret = add_unit(target, config, &unit, error);
		if (ret < 0 && !log)
			return ret;
		if (ret < 0)
			log_error("%s", error);
	}
	return 0;
}

int scsi_ports_check(const struct config *config, char *error, size_t error_size)
{
	char reason[CONFIG_ERROR_MAX] = "out of memory";
	int ret = 0;

	for (size_t i = 0; i < config->n_vhost_scsi && ret == 0; i++) {
		const struct vhost_scsi_config *c = &config->vhost_scsi[i];
		struct scsi_target *target = NULL;

		ret = check_names(c, reason);
		if (ret == 0)
			ret = make_target(c, &target);
		if (ret == 0)
			ret = add_units(target, c, false, reason);
		scsi_target_destroy(target);
	}
	if (ret < 0)
		snprintf(error, error_size, "%s", reason);
	return ret;
}

static void port_destroy(struct scsi_port *port)
{
	scsi_target_destroy(port->target);
	vhost_scsi_config_finish(&port->config);
	free(port);
}

static int copy_config(struct vhost_scsi_config *to, const struct vhost_scsi_config *from)
{
	*to = (struct vhost_scsi_config){.wwpn = strdup(from->wwpn), .tpgt = from->tpgt};
	if (!to->wwpn)
		return -ENOMEM;
	for (size_t i = 0; i < from->keys.n; i++)
		if (keys_add(&to->keys, from->keys.key[i].name, from->keys.key[i].value))
			return -ENOMEM;
	return 0;
}

static int port_create(const struct vhost_scsi_config *config, struct scsi_port **ret_port)
{
	struct scsi_port *port = calloc(1, sizeof(*port));
	char error[CONFIG_ERROR_MAX];
	int ret;

	if (!port)
		return -ENOMEM;
	port->claim = -1;
	ret = copy_config(&port->config, config);
	if (ret == 0)
		ret = make_target(&port->config, &port->target);
	if (ret < 0) {
		port_destroy(port);
		return ret;
	}
	add_units(port->target, &port->config, true, error);
	scsi_target_start(port->target);
	*ret_port = port;
	return 0;
}

/* Under the lock. */
static void destroy_all(void)
{
	struct scsi_port *port;

	while ((port = ports)) {
		ports = port->next;
		port_destroy(port);
	}
	ports_end = &ports;
	made_by = 0;
}

int scsi_ports_start(const struct config *config)
{
	long self = host_syscall(SYS_getpid);
	struct scsi_port *port;
	int ret = 0;

	pthread_mutex_lock(&lock);
	if (made_by != self) {
		ports = NULL;
		ports_end = &ports;
		made_by = self;
		for (size_t i = 0; i < config->n_vhost_scsi && ret == 0; i++) {
			ret = port_create(&config->vhost_scsi[i], &port);
			if (ret == 0) {
				*ports_end = port;
				ports_end = &port->next;
			}
		}
		if (ret < 0)
			destroy_all();
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

void scsi_ports_stop(void)
{
	pthread_mutex_lock(&lock);
	if (made_by == host_syscall(SYS_getpid))
		destroy_all();
	pthread_mutex_unlock(&lock);
}

/* ---- who has them ---- */

static bool claim(struct scsi_port *port)
{
	char name[64];

	if (port->in_use)
		return false;
	snprintf(name, sizeof(name), "vhost-scsi-%s-%u", port->config.wwpn, port->config.tpgt);
	if (claim_take(name, &port->claim) < 0)
		return false;
	port->in_use = true;
	return true;
}

unsigned scsi_ports_claim(const char *wwpn, struct scsi_port *ret_ports[SCSI_PORTS_MAX])
{
	unsigned n = 0;

	memset(ret_ports, 0, SCSI_PORTS_MAX * sizeof(struct scsi_port *));
	pthread_mutex_lock(&lock);
	for (struct scsi_port *port = ports; port; port = port->next) {
		if (strcmp(port->config.wwpn, wwpn) == 0 && claim(port)) {
			ret_ports[port->config.tpgt] = port;
			n++;
		}
	}
	pthread_mutex_unlock(&lock);
	return n;
}

void scsi_port_release(struct scsi_port *port)
{
	pthread_mutex_lock(&lock);
	claim_drop(port->claim);
	port->claim = -1;
	port->in_use = false;
	pthread_mutex_unlock(&lock);
}

/* ---- changes ---- */

static struct scsi_port *find_port(const char *wwpn, unsigned tpgt, char *error)
{
	for (struct scsi_port *port = ports; port; port = port->next)
		if (strcmp(port->config.wwpn, wwpn) == 0 && port->config.tpgt == tpgt)
			return port;
	fail(error, "there is no target port %s,tpgt=%u", wwpn, tpgt);
	return NULL;
}

/* Removes the keys of a unit. */
static void forget_unit(struct config_keys *keys, unsigned lun)
{
	const char *key;
	size_t kept = 0;

	for (size_t i = 0; i < keys->n; i++) {
		struct config_key *k = &keys->key[i];

		if (scsi_key_lun(k->name, &key) == (int)lun) {
			free(k->name);
			free(k->value);
		} else {
			keys->key[kept++] = *k;
		}
	}
	keys->n = kept;
}

/* Under the lock. */
static int port_add(struct scsi_port *port, const struct vhost_scsi_config *what, unsigned lun,
		    char *error)
{
	struct scsi_unit_config unit;
	int ret = find_unit(what, lun, &unit, error);

	if (ret <= 0)
		return ret;
	ret = add_unit(port->target, what, &unit, error);
	if (ret < 0)
		return ret;
	/* What a unit left behind that could not be opened goes. */
	forget_unit(&port->config.keys, lun);
	for (size_t i = 0; i < what->keys.n; i++) {
		const struct config_key *k = &what->keys.key[i];
		const char *key;

		if (scsi_key_lun(k->name, &key) == (int)lun &&
		    keys_add(&port->config.keys, k->name, k->value) < 0)
			log_error("out of memory: the list of units is not complete");
	}
	return 0;
}

int scsi_port_add_unit(const struct vhost_scsi_config *what, char error[CONFIG_ERROR_MAX])
{
	struct scsi_port *port;
	int ret = check_names(what, error);

	if (ret < 0)
		return ret;
	if (what->keys.n == 0)
		return fail(error, "which unit? (lun1=FILE)");
	pthread_mutex_lock(&lock);
	port = find_port(what->wwpn, what->tpgt, error);
	if (!port)
		ret = -ENODEV;
	for (unsigned lun = 0; lun < SCSI_LUNS_MAX && ret == 0; lun++)
		ret = port_add(port, what, lun, error);
	pthread_mutex_unlock(&lock);
	return ret;
}

int scsi_port_remove_unit(const char *wwpn, unsigned tpgt, unsigned lun,
			  char error[CONFIG_ERROR_MAX])
{
	struct scsi_port *port;
	int ret = -ENODEV;

	pthread_mutex_lock(&lock);
	port = find_port(wwpn, tpgt, error);
	if (port) {
		ret = scsi_unit_remove(port->target, lun);
		if (ret == 0)
			forget_unit(&port->config.keys, lun);
		else
			fail(error, "%s,tpgt=%u has no lun%u", wwpn, tpgt, lun);
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

void scsi_ports_each(void (*each)(const struct scsi_port *port, void *arg), void *arg)
{
	pthread_mutex_lock(&lock);
	for (const struct scsi_port *port = ports; port; port = port->next)
		each(port, arg);
	pthread_mutex_unlock(&lock);
}
