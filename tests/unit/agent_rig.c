/* SPDX-License-Identifier: BSD-3-Clause */
#include "agent_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/log.h"

#define PATIENCE_MS 20000

static struct sockaddr_un address;
static socklen_t address_size;

/* ---- directories ---- */

void agent_make_directory(char path[64])
{
	strcpy(path, "/tmp/standin-agent-XXXXXX");
	assert_non_null(mkdtemp(path));
	assert_int_equal(chmod(path, 0755), 0);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

void agent_remove_directory(const char *path)
{
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* acl(5) as setxattr() takes it: the mask, and not the group's rights, shows in the mode. */
static const struct {
	uint32_t version;
	struct {
		uint16_t tag, rights;
		uint32_t id;
	} entry[5];
} acl = {2, {{0x01, 6, ~0u}, {0x02, 6, 1000}, {0x04, 0, ~0u}, {0x10, 6, ~0u}, {0x20, 0, ~0u}}};

bool agent_acl_set(const char *path)
{
	return setxattr(path, "system.posix_acl_access", &acl, sizeof(acl), 0) == 0;
}

bool agent_acl_is_set(const char *path)
{
	char found[sizeof(acl) + 1];

	return getxattr(path, "system.posix_acl_access", found, sizeof(found)) == sizeof(acl) &&
	       memcmp(found, &acl, sizeof(acl)) == 0;
}

/* ---- the agent ---- */

/* In the agent: open() of a device. */
static int connect_device(const char *path)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&address, address_size) < 0 ||
	    send(fd, path, strlen(path) + 1, 0) < 0) {
		close(fd);
		errno = ENOENT;
		return -1;
	}
	return fd;
}

void agent_rig_init(struct agent_rig *r)
{
	memset(r, 0, sizeof(*r));
	agent_make_directory(r->directory);
	r->options = agent_defaults;
	r->options.directory = r->directory;
	r->options.fcopy_root = r->directory;
	/* Nothing of the machine is ever frozen. */
	r->options.mounts = "/dev/null";
	r->options.open_device = connect_device;
	address.sun_family = AF_UNIX;
	address_size =
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			    (size_t)snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
					     "%s", r->directory));
	r->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(r->listener, (struct sockaddr *)&address, address_size), 0);
	assert_int_equal(listen(r->listener, 16), 0);
}

void agent_rig_start(struct agent_rig *r)
{
	r->pid = fork();
	assert_true(r->pid >= 0);
	if (r->pid)
		return;
	close(r->listener);
	log_start(false, false);
	_exit(agent_run(&r->options));
}

int agent_rig_stop(struct agent_rig *r, int signal)
{
	int status;

	if (!r->pid)
		return 0;
	if (signal)
		kill(r->pid, signal);
	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	r->pid = 0;
	return status;
}

void agent_rig_finish(struct agent_rig *r)
{
	agent_rig_stop(r, SIGKILL);
	close(r->listener);
	agent_remove_directory(r->directory);
}

static void wait_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
}

int agent_rig_accept(struct agent_rig *r, char path[64])
{
	int fd;

	wait_readable(r->listener);
	fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	wait_readable(fd);
	assert_true(recv(fd, path, 64, 0) > 0);
	return fd;
}

void agent_rig_expect(int fd, void *message, size_t size)
{
	static uint8_t buffer[65536];
	ssize_t n;

	wait_readable(fd);
	n = recv(fd, buffer, sizeof(buffer), 0);
	assert_int_equal(n, size);
	memcpy(message, buffer, size);
}

int agent_rig_register(struct agent_rig *r, const char *path)
{
	struct hv_kvp_msg kvp = {0};
	struct hv_vss_msg vss;
	uint32_t version;
	char opened[64];
	int fd = agent_rig_accept(r, opened);

	assert_string_equal(opened, path);
	if (strcmp(path, HYPERV_KVP_PATH) == 0) {
		agent_rig_expect(fd, &kvp, sizeof(kvp));
		assert_int_equal(kvp.kvp_hdr.operation, KVP_OP_REGISTER1);
		strcpy((char *)kvp.body.kvp_register.version, "3.1");
		assert_int_equal(send(fd, &kvp, sizeof(kvp), 0), sizeof(kvp));
	} else if (strcmp(path, HYPERV_VSS_PATH) == 0) {
		agent_rig_expect(fd, &vss, sizeof(vss));
		assert_int_equal(vss.vss_hdr.operation, VSS_OP_REGISTER1);
		version = VSS_OP_REGISTER1;
		assert_int_equal(send(fd, &version, sizeof(version), 0), sizeof(version));
	} else {
		agent_rig_expect(fd, &version, sizeof(version));
		assert_int_equal(version, FCOPY_CURRENT_VERSION);
		assert_int_equal(send(fd, &version, sizeof(version), 0), sizeof(version));
	}
	return fd;
}

/* ---- messages ---- */

uint32_t agent_rig_ask_kvp(int fd, struct hv_kvp_msg *m)
{
	assert_int_equal(send(fd, m, sizeof(*m), MSG_NOSIGNAL), sizeof(*m));
	agent_rig_expect(fd, m, sizeof(*m));
	return (uint32_t)m->error;
}

uint32_t agent_rig_ask_vss(int fd, uint8_t operation)
{
	struct hv_vss_msg m = {.vss_hdr.operation = operation};

	assert_int_equal(send(fd, &m, sizeof(m), MSG_NOSIGNAL), sizeof(m));
	agent_rig_expect(fd, &m, sizeof(m));
	return (uint32_t)m.error;
}

uint32_t agent_rig_ask_fcopy(int fd, const void *message, size_t size)
{
	uint32_t status;

	assert_int_equal(send(fd, message, size, MSG_NOSIGNAL), size);
	agent_rig_expect(fd, &status, sizeof(status));
	return status;
}

static void begin(struct hv_kvp_msg *m, uint8_t operation, uint8_t pool)
{
	memset(m, 0, sizeof(*m));
	m->kvp_hdr.operation = operation;
	m->kvp_hdr.pool = pool;
}

void agent_kvp_set(struct hv_kvp_msg *m, uint8_t pool, const char *key, const char *value)
{
	begin(m, KVP_OP_SET, pool);
	strcpy((char *)m->body.kvp_set.data.key, key);
	strcpy((char *)m->body.kvp_set.data.value, value);
	m->body.kvp_set.data.key_size = (uint32_t)strlen(key) + 1;
	m->body.kvp_set.data.value_size = (uint32_t)strlen(value) + 1;
}

void agent_kvp_get(struct hv_kvp_msg *m, uint8_t pool, const char *key)
{
	begin(m, KVP_OP_GET, pool);
	strcpy((char *)m->body.kvp_get.data.key, key);
	m->body.kvp_get.data.key_size = (uint32_t)strlen(key) + 1;
}

void agent_kvp_delete(struct hv_kvp_msg *m, uint8_t pool, const char *key)
{
	begin(m, KVP_OP_DELETE, pool);
	strcpy((char *)m->body.kvp_delete.key, key);
	m->body.kvp_delete.key_size = (uint32_t)strlen(key) + 1;
}

void agent_kvp_enumerate(struct hv_kvp_msg *m, uint8_t pool, uint32_t index)
{
	begin(m, KVP_OP_ENUMERATE, pool);
	m->body.kvp_enum_data.index = index;
}
