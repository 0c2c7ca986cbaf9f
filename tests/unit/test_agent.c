/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/agent.h: the agent as a process, with sockets in the devices' place.  What it would do to
 * file systems is written down by a function in the place of ioctl().
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent_rig.h"

#define LOG_MAX 64

/* Shared with the agent and the process that freezes for it. */
static struct freezing {
	_Atomic unsigned n;
	_Atomic int fail_at, error;          /* freezing the mount of that number */
	_Atomic bool hang_freeze, hang_thaw; /* while set, that of "b" waits */
	_Atomic bool hangs;                  /* it does */
	_Atomic pid_t keeper;
	struct {
		bool freeze;
		char path[64];
	} log[LOG_MAX];
} * freezing;

static int write_down(int fd, unsigned long command)
{
	_Atomic bool *hang = command == FIFREEZE ? &freezing->hang_freeze : &freezing->hang_thaw;
	char link[32], path[64] = "", *name;
	unsigned i;

	if (command == FIFREEZE)
		freezing->keeper = getppid();
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (readlink(link, path, sizeof(path) - 1) < 0)
		return -1;
	name = strrchr(path, '/');
	while (*hang && strcmp(name, "/b") == 0) {
		freezing->hangs = true;
		usleep(1000);
	}
	freezing->hangs = false;
	i = freezing->n;
	if (i == LOG_MAX)
		return -1;
	freezing->log[i].freeze = command == FIFREEZE;
	strcpy(freezing->log[i].path, path);
	freezing->n = i + 1;
	if (command == FIFREEZE && (int)i == freezing->fail_at) {
		errno = freezing->error;
		return -1;
	}
	return 0;
}

struct scene {
	struct agent_rig rig;
	char mounts[96], a[96], b[96];
	int kvp, vss, fcopy;
};

static void write_mounts(const struct scene *s)
{
	FILE *file = fopen(s->mounts, "we");

	fprintf(file,
		"proc /proc proc rw 0 0\n"
		"/dev/sda1 / ext4 rw,relatime 0 0\n"
		"/dev/sda2 %s ext4 rw 0 0\n"
		"/dev/sda3 /nowhere vfat rw 0 0\n"
		"/dev/sr0 /nowhere iso9660 ro 0 0\n"
		"/dev/fuse /nowhere fuse rw,user_id=1000 0 0\n"
		"/dev/sda9 /nowhere fuse.sshfs rw,user_id=1000 0 0\n"
		"tmpfs /nowhere tmpfs rw 0 0\n"
		"/dev/sdb1 %s xfs rw 0 0\n",
		s->a, s->b);
	fclose(file);
}

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	agent_rig_init(&s->rig);
	snprintf(s->mounts, sizeof(s->mounts), "%s/mounts", s->rig.directory);
	snprintf(s->a, sizeof(s->a), "%s/a", s->rig.directory);
	snprintf(s->b, sizeof(s->b), "%s/b", s->rig.directory);
	assert_int_equal(mkdir(s->a, 0755) | mkdir(s->b, 0755), 0);
	write_mounts(s);
	s->rig.options.mounts = s->mounts;
	s->rig.options.freeze = write_down;
	memset(freezing, 0, sizeof(*freezing));
	freezing->fail_at = -1;
	s->kvp = s->vss = s->fcopy = -1;
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;

	close(s->kvp);
	close(s->vss);
	close(s->fcopy);
	agent_rig_finish(&s->rig);
	free(s);
	return 0;
}

static void start(struct scene *s)
{
	agent_rig_start(&s->rig);
	s->kvp = agent_rig_register(&s->rig, HYPERV_KVP_PATH);
	s->vss = agent_rig_register(&s->rig, HYPERV_VSS_PATH);
	s->fcopy = agent_rig_register(&s->rig, HYPERV_FCOPY_PATH);
}

static void check_log(const struct scene *s, const char *expected)
{
	char text[LOG_MAX * 4] = "", *at = text;

	for (unsigned i = 0; i < freezing->n; i++) {
		const char *path = freezing->log[i].path;

		*at++ = freezing->log[i].freeze ? 'F' : 'T';
		*at++ = strcmp(path, s->a) == 0   ? 'a'
			: strcmp(path, s->b) == 0 ? 'b'
			: strcmp(path, "/") == 0  ? '/'
						  : '?';
		*at++ = ' ';
	}
	assert_string_equal(text, expected);
}

static void wait_for_log(unsigned n)
{
	for (unsigned i = 0; i < 20000 && freezing->n < n; i++)
		usleep(1000);
}

static void wait_for_hanging(void)
{
	for (unsigned i = 0; i < 20000 && !freezing->hangs; i++)
		usleep(1000);
}

static void check_ended(struct scene *s, int signal)
{
	int status = agent_rig_stop(&s->rig, signal);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- the services ---- */

static void test_services(void **state)
{
	struct hv_start_fcopy m = {.hdr.operation = START_FILE_COPY};
	struct hv_fcopy_hdr complete = {.operation = COMPLETE_FCOPY};
	struct scene *s = *state;
	struct hv_kvp_msg kvp;
	char path[128];

	start(s);
	agent_kvp_set(&kvp, 0, "key", "value");
	assert_int_equal(agent_rig_ask_kvp(s->kvp, &kvp), HV_S_OK);
	agent_kvp_get(&kvp, 0, "key");
	assert_int_equal(agent_rig_ask_kvp(s->kvp, &kvp), HV_S_OK);
	assert_string_equal((char *)kvp.body.kvp_enum_data.data.value, "value");
	agent_kvp_enumerate(&kvp, KVP_POOL_AUTO, 1);
	assert_int_equal(agent_rig_ask_kvp(s->kvp, &kvp), HV_S_OK);
	assert_string_equal((char *)kvp.body.kvp_enum_data.data.value, "3.1");
	memcpy((uint8_t *)&m + offsetof(struct hv_start_fcopy, file_name), "file", 5);
	assert_int_equal(agent_rig_ask_fcopy(s->fcopy, &m, sizeof(m)), HV_S_OK);
	assert_int_equal(agent_rig_ask_fcopy(s->fcopy, &complete, sizeof(complete)), HV_S_OK);
	snprintf(path, sizeof(path), "%s/file", s->rig.directory);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_HOT_BACKUP), HV_S_OK);
	assert_int_equal(agent_rig_ask_vss(s->vss, 9), HV_ERROR_NOT_SUPPORTED);
	check_log(s, "");
	check_ended(s, SIGTERM);
}

/* A device that is closed, and messages of a wrong size: each is opened and registered anew. */
static void test_registered_again(void **state)
{
	struct scene *s = *state;
	struct hv_kvp_msg kvp;

	start(s);
	for (unsigned i = 0; i < 2; i++) {
		close(s->kvp);
		s->kvp = agent_rig_register(&s->rig, HYPERV_KVP_PATH);
		close(s->vss);
		s->vss = agent_rig_register(&s->rig, HYPERV_VSS_PATH);
		close(s->fcopy);
		s->fcopy = agent_rig_register(&s->rig, HYPERV_FCOPY_PATH);
	}
	assert_int_equal(send(s->kvp, "short", 5, 0), 5);
	close(s->kvp);
	s->kvp = agent_rig_register(&s->rig, HYPERV_KVP_PATH);
	assert_int_equal(send(s->vss, "short", 5, 0), 5);
	close(s->vss);
	s->vss = agent_rig_register(&s->rig, HYPERV_VSS_PATH);
	assert_int_equal(agent_rig_ask_fcopy(s->fcopy, "short", 5), HV_INVALIDARG);
	agent_kvp_enumerate(&kvp, KVP_POOL_AUTO, 5);
	assert_int_equal(agent_rig_ask_kvp(s->kvp, &kvp), HV_S_OK);
	check_ended(s, SIGINT);
}

static int no_device(const char *path)
{
	errno = ENOENT;
	return -1;
}

static void test_once(void **state)
{
	struct scene *s = *state;
	int status;

	s->rig.options.once = true;
	s->rig.options.open_device = no_device;
	agent_rig_start(&s->rig);
	status = agent_rig_stop(&s->rig, 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
}

static void test_without(void **state)
{
	struct scene *s = *state;

	s->rig.options.kvp = s->rig.options.fcopy = false;
	agent_rig_start(&s->rig);
	s->vss = agent_rig_register(&s->rig, HYPERV_VSS_PATH);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_S_OK);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_THAW), HV_S_OK);
	check_ended(s, SIGHUP);
	assert_int_not_equal(access(s->rig.directory, F_OK), -1);
}

static void test_notify(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct scene *s = *state;
	char text[64];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", s->rig.directory);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	agent_rig_start(&s->rig);
	s->kvp = agent_rig_register(&s->rig, HYPERV_KVP_PATH);
	s->vss = agent_rig_register(&s->rig, HYPERV_VSS_PATH);
	assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), -1);
	s->fcopy = agent_rig_register(&s->rig, HYPERV_FCOPY_PATH);
	agent_rig_expect(fd, text, 8);
	assert_memory_equal(text, "READY=1\n", 8);
	check_ended(s, SIGTERM);
	agent_rig_expect(fd, text, 11);
	assert_memory_equal(text, "STOPPING=1\n", 11);
	unsetenv("NOTIFY_SOCKET");
	close(fd);
}

/* ---- freezing ---- */

static void test_freeze(void **state)
{
	struct scene *s = *state;

	start(s);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_S_OK);
	check_log(s, "Fa Fb F/ ");
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_S_OK);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_THAW), HV_S_OK);
	check_log(s, "Fa Fb F/ T/ Tb Ta ");
	/* Nobody has frozen anything that we know of: all the same. */
	freezing->n = 0;
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_THAW), HV_S_OK);
	check_log(s, "T/ Tb Ta ");
	check_ended(s, SIGTERM);
	check_log(s, "T/ Tb Ta ");
}

static void test_freeze_fails(void **state)
{
	struct scene *s = *state;

	start(s);
	freezing->fail_at = 1;
	freezing->error = EIO;
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_E_FAIL);
	check_log(s, "Fa Fb Ta ");
	/* Frozen already, by somebody who will thaw it: no error, and not ours. */
	freezing->n = 0;
	freezing->error = EBUSY;
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_S_OK);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_THAW), HV_S_OK);
	check_log(s, "Fa Fb F/ T/ Ta ");
	/* What is mounted is a FIFO, or can't be opened. */
	freezing->n = 0;
	assert_int_equal(rmdir(s->b), 0);
	assert_int_equal(mkfifo(s->b, 0600), 0);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_S_OK);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_THAW), HV_S_OK);
	freezing->n = 0;
	assert_int_equal(unlink(s->b), 0);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_E_FAIL);
	check_log(s, "");
	check_ended(s, SIGTERM);
}

static void test_watchdog(void **state)
{
	struct scene *s = *state;

	s->rig.options.freeze_timeout = 1;
	start(s);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_S_OK);
	wait_for_log(6);
	check_log(s, "Fa Fb F/ T/ Tb Ta ");
	/* The host has to hear of it, once. */
	usleep(50000);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_THAW), HV_E_FAIL);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_S_OK);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_THAW), HV_S_OK);
	check_ended(s, SIGTERM);
}

/* One that can't be frozen and does not say so: the others are thawed, and it when it is. */
static void test_freeze_hangs(void **state)
{
	struct scene *s = *state;

	s->rig.options.freeze_timeout = 1;
	start(s);
	freezing->hang_freeze = true;
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_E_FAIL);
	check_log(s, "Fa Ta ");
	freezing->hang_freeze = false;
	wait_for_log(5);
	check_log(s, "Fa Ta Fb Tb Ta ");
	freezing->n = 0;
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_S_OK);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_THAW), HV_S_OK);
	check_log(s, "Fa Fb F/ T/ Tb Ta ");
	check_ended(s, SIGTERM);
}

/* Nor does it keep a THAW waiting, or the agent. */
static void test_freeze_hangs_at_end(void **state)
{
	struct hv_vss_msg m = {.vss_hdr.operation = VSS_OP_FREEZE};
	struct scene *s = *state;

	start(s);
	freezing->hang_freeze = true;
	assert_int_equal(send(s->vss, &m, sizeof(m), 0), sizeof(m));
	wait_for_hanging();
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_THAW), HV_S_OK);
	check_log(s, "Fa Ta ");
	freezing->hang_freeze = false;
	wait_for_log(5);
	freezing->n = 0;
	freezing->hang_freeze = true;
	assert_int_equal(send(s->vss, &m, sizeof(m), 0), sizeof(m));
	wait_for_hanging();
	check_ended(s, SIGTERM);
	check_log(s, "Fa Ta ");
	freezing->hang_freeze = false;
	wait_for_log(5);
	check_log(s, "Fa Ta Fb Tb Ta ");
}

/* While it is thawed nothing is frozen, whoever has asked for the thaw. */
static void test_freeze_while_thawing(void **state)
{
	struct hv_vss_msg m = {.vss_hdr.operation = VSS_OP_THAW};
	struct scene *s = *state;

	start(s);
	for (unsigned i = 0; i < 2; i++) {
		freezing->n = 0;
		assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_S_OK);
		freezing->hang_thaw = true;
		if (i == 0) {
			assert_int_equal(send(s->vss, &m, sizeof(m), 0), sizeof(m));
		} else {
			close(s->vss);
			s->vss = agent_rig_register(&s->rig, HYPERV_VSS_PATH);
		}
		wait_for_log(4);
		assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_E_FAIL);
		freezing->hang_thaw = false;
		wait_for_log(6);
		check_log(s, "Fa Fb F/ T/ Tb Ta ");
		freezing->n = 0;
		while (agent_rig_ask_vss(s->vss, VSS_OP_FREEZE) != HV_S_OK)
			usleep(1000);
		assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_THAW), HV_S_OK);
		check_log(s, "Fa Fb F/ T/ Tb Ta ");
	}
	check_ended(s, SIGTERM);
}

/* Who reads the messages may be waiting for a frozen file system, also when the keeper is lost. */
static void test_keeper_lost(void **state)
{
	int ends[2], old = dup(STDERR_FILENO), fill;
	static char page[4096];
	struct scene *s = *state;
	char path[32];

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[1]);
	fill = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fill >= 0);
	assert_int_equal(dup2(fill, STDERR_FILENO), STDERR_FILENO);
	agent_rig_start(&s->rig);
	dup2(old, STDERR_FILENO);
	close(old);
	close(fill);
	s->kvp = agent_rig_register(&s->rig, HYPERV_KVP_PATH);
	s->vss = agent_rig_register(&s->rig, HYPERV_VSS_PATH);
	s->fcopy = agent_rig_register(&s->rig, HYPERV_FCOPY_PATH);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_S_OK);
	while (write(ends[1], page, sizeof(page)) > 0)
		;
	assert_int_equal(kill(freezing->keeper, SIGKILL), 0);
	wait_for_log(6);
	check_log(s, "Fa Fb F/ T/ Tb Ta ");
	while (read(ends[0], page, sizeof(page)) > 0)
		;
	/* The host has to hear that it was thawed meanwhile. */
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_THAW), HV_E_FAIL);
	check_ended(s, SIGTERM);
	close(ends[0]);
	close(ends[1]);
}

/* Thawed however the agent ends, and when the device goes. */
static void test_thawed_at_end(void **state)
{
	struct scene *s = *state;

	start(s);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_S_OK);
	close(s->vss);
	s->vss = agent_rig_register(&s->rig, HYPERV_VSS_PATH);
	wait_for_log(6);
	check_log(s, "Fa Fb F/ T/ Tb Ta ");
	freezing->n = 0;
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_S_OK);
	check_ended(s, SIGTERM);
	check_log(s, "Fa Fb F/ T/ Tb Ta ");
	freezing->n = 0;
	close(s->kvp);
	close(s->vss);
	close(s->fcopy);
	start(s);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_S_OK);
	agent_rig_stop(&s->rig, SIGKILL);
	wait_for_log(6);
	check_log(s, "Fa Fb F/ T/ Tb Ta ");
}

/* While frozen: key-value pairs from memory, no copies, and nothing is written. */
static void test_quiet_while_frozen(void **state)
{
	struct hv_start_fcopy m = {.hdr.operation = START_FILE_COPY};
	struct scene *s = *state;
	struct hv_kvp_msg kvp;
	char pool[128], file[128];
	struct stat before, now;
	uint32_t status;

	start(s);
	snprintf(pool, sizeof(pool), "%s/.kvp_pool_0", s->rig.directory);
	snprintf(file, sizeof(file), "%s/file", s->rig.directory);
	agent_kvp_set(&kvp, 0, "before", "1");
	assert_int_equal(agent_rig_ask_kvp(s->kvp, &kvp), HV_S_OK);
	agent_kvp_set(&kvp, 0, "before too", "1");
	assert_int_equal(agent_rig_ask_kvp(s->kvp, &kvp), HV_S_OK);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_S_OK);
	assert_int_equal(stat(pool, &before), 0);
	assert_int_equal(before.st_size, 2 * 2560);
	memcpy((uint8_t *)&m + offsetof(struct hv_start_fcopy, file_name), "file", 5);
	assert_int_equal(send(s->fcopy, &m, sizeof(m), 0), sizeof(m));
	for (unsigned i = 0; i < 100; i++) {
		agent_kvp_set(&kvp, 0, "meanwhile", "2");
		assert_int_equal(agent_rig_ask_kvp(s->kvp, &kvp), HV_S_OK);
	}
	agent_kvp_get(&kvp, 0, "meanwhile");
	assert_int_equal(agent_rig_ask_kvp(s->kvp, &kvp), HV_S_OK);
	assert_int_equal(stat(pool, &now), 0);
	assert_int_equal(now.st_ino, before.st_ino);
	assert_int_equal(now.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
	assert_int_equal(recv(s->fcopy, &status, sizeof(status), MSG_DONTWAIT), -1);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_THAW), HV_S_OK);
	agent_rig_expect(s->fcopy, &status, sizeof(status));
	assert_int_equal(status, HV_S_OK);
	check_ended(s, SIGTERM);
	assert_int_equal(stat(pool, &now), 0);
	assert_int_equal(now.st_size, 3 * 2560);
	/* Never completed. */
	assert_int_equal(access(file, F_OK), -1);
}

/* A copy is given up, and registered for again, while its file can't be removed. */
static void test_copies_while_frozen(void **state)
{
	struct hv_start_fcopy m = {.hdr.operation = START_FILE_COPY};
	struct hv_fcopy_hdr cancel = {.operation = CANCEL_FCOPY};
	struct scene *s = *state;
	uint32_t status;

	start(s);
	memcpy((uint8_t *)&m + offsetof(struct hv_start_fcopy, file_name), "file", 5);
	memcpy((uint8_t *)&m + offsetof(struct hv_start_fcopy, path_name), "a", 2);
	assert_int_equal(agent_rig_ask_fcopy(s->fcopy, &m, sizeof(m)), HV_S_OK);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_FREEZE), HV_S_OK);
	close(s->fcopy);
	s->fcopy = agent_rig_register(&s->rig, HYPERV_FCOPY_PATH);
	assert_int_equal(rmdir(s->a), -1);
	/* Of two messages the second counts. */
	assert_int_equal(send(s->fcopy, &m, sizeof(m), 0), sizeof(m));
	assert_int_equal(send(s->fcopy, &cancel, sizeof(cancel), 0), sizeof(cancel));
	usleep(50000);
	assert_int_equal(recv(s->fcopy, &status, sizeof(status), MSG_DONTWAIT), -1);
	assert_int_equal(agent_rig_ask_vss(s->vss, VSS_OP_THAW), HV_S_OK);
	agent_rig_expect(s->fcopy, &status, sizeof(status));
	assert_int_equal(status, HV_E_FAIL);
	assert_int_equal(rmdir(s->a), 0);
	assert_int_equal(recv(s->fcopy, &status, sizeof(status), MSG_DONTWAIT), -1);
	check_ended(s, SIGTERM);
}

/* A copy that is longer than a file may be ends the copy, and not the agent. */
static void test_file_limit(void **state)
{
	struct hv_start_fcopy m = {.hdr.operation = START_FILE_COPY};
	struct hv_do_fcopy data = {.hdr.operation = WRITE_TO_FILE, .offset = 100000, .size = 1};
	struct hv_fcopy_hdr complete = {.operation = COMPLETE_FCOPY};
	struct rlimit old, small = {.rlim_cur = 100000};
	struct scene *s = *state;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	agent_rig_start(&s->rig);
	setrlimit(RLIMIT_FSIZE, &old);
	s->kvp = agent_rig_register(&s->rig, HYPERV_KVP_PATH);
	s->vss = agent_rig_register(&s->rig, HYPERV_VSS_PATH);
	s->fcopy = agent_rig_register(&s->rig, HYPERV_FCOPY_PATH);
	memcpy((uint8_t *)&m + offsetof(struct hv_start_fcopy, file_name), "file", 5);
	assert_int_equal(agent_rig_ask_fcopy(s->fcopy, &m, sizeof(m)), HV_S_OK);
	assert_int_equal(agent_rig_ask_fcopy(s->fcopy, &data, sizeof(data)), HV_S_OK);
	assert_int_equal(agent_rig_ask_fcopy(s->fcopy, &complete, sizeof(complete)), HV_E_FAIL);
	check_ended(s, SIGTERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_services, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registered_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without, setup, teardown),
		cmocka_unit_test_setup_teardown(test_notify, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freeze, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freeze_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watchdog, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freeze_hangs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freeze_hangs_at_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freeze_while_thawing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keeper_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_thawed_at_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quiet_while_frozen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_copies_while_frozen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_limit, setup, teardown),
	};

	freezing = mmap(NULL, sizeof(*freezing), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	return freezing == MAP_FAILED ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
