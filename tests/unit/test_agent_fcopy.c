/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/fcopy.h, beneath.h, ring.h and uio.h: files that a host copies, over both transports.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <uchar.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/beneath.h"
#include "agent/fcopy.h"
#include "agent/ring.h"
#include "agent/uio.h"
#include "agent_rig.h"

struct yard {
	char base[64], root[80];
	struct fcopy fcopy;
	struct hv_do_fcopy data;
};

static int setup(void **state)
{
	struct yard *y = calloc(1, sizeof(*y));

	agent_make_directory(y->base);
	snprintf(y->root, sizeof(y->root), "%s/root", y->base);
	assert_int_equal(mkdir(y->root, 0755), 0);
	fcopy_init(&y->fcopy, y->root);
	*state = y;
	return 0;
}

static int teardown(void **state)
{
	struct yard *y = *state;

	fcopy_finish(&y->fcopy);
	agent_remove_directory(y->base);
	free(y);
	return 0;
}

static const char *in(const struct yard *y, const char *name)
{
	static char path[4][512];
	static unsigned turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[0]), "%s/%s", y->root, name);
	return path[turn];
}

static uint32_t start_sized(struct yard *y, const char *path, const char *name, uint32_t flags,
			    uint64_t size)
{
	struct hv_start_fcopy m = {.hdr.operation = START_FILE_COPY, .copy_flags = flags};
	uint8_t *bytes = (uint8_t *)&m;

	memcpy(bytes + offsetof(struct hv_start_fcopy, path_name), path, strlen(path) + 1);
	memcpy(bytes + offsetof(struct hv_start_fcopy, file_name), name, strlen(name) + 1);
	m.file_size = size;
	return fcopy_message(&y->fcopy, &m, sizeof(m), false);
}

static uint32_t start(struct yard *y, const char *path, const char *name, uint32_t flags)
{
	return start_sized(y, path, name, flags, 0);
}

static uint32_t put(struct yard *y, uint64_t offset, uint32_t size)
{
	uint32_t status;

	y->data.hdr.operation = WRITE_TO_FILE;
	y->data.offset = offset;
	y->data.size = size;
	for (unsigned i = 0; i < DATA_FRAGMENT; i++)
		y->data.data[i] = (uint8_t)((offset + i) * 7 >> 3);
	status = fcopy_message(&y->fcopy, &y->data, sizeof(y->data), false);
	fcopy_settle(&y->fcopy);
	return status;
}

static uint32_t say(struct yard *y, uint32_t operation)
{
	struct hv_fcopy_hdr m = {.operation = operation};

	return fcopy_message(&y->fcopy, &m, sizeof(m), false);
}

static uint32_t copy(struct yard *y, const char *path, const char *name, uint32_t flags,
		     uint64_t size)
{
	uint32_t status = start_sized(y, path, name, flags, size);

	for (uint64_t at = 0; status == HV_S_OK && at < size; at += DATA_FRAGMENT)
		status = put(y, at,
			     size - at < DATA_FRAGMENT ? (uint32_t)(size - at) : DATA_FRAGMENT);
	return status == HV_S_OK ? say(y, COMPLETE_FCOPY) : status;
}

static unsigned entries(const struct yard *y)
{
	char command[128];
	unsigned n = 0;
	FILE *pipe;

	snprintf(command, sizeof(command), "find %s -mindepth 1 | wc -l", y->base);
	pipe = popen(command, "re");
	assert_int_equal(fscanf(pipe, "%u", &n), 1);
	pclose(pipe);
	return n;
}

static void check_content(const char *path, uint64_t size)
{
	struct stat st;
	uint8_t byte;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, size);
	for (uint64_t at = 0; at < size; at += 997) {
		assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
		/* As put() has it, from the beginning of each fragment. */
		assert_int_equal(byte, (uint8_t)(at * 7 >> 3));
	}
	close(fd);
}

static void test_copy(void **state)
{
	static const uint64_t sizes[] = {0, 1, 6143, 6144, 6145, 1 << 20, 3000001};
	struct yard *y = *state;
	struct stat st;

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(copy(y, "/", "file", OVER_WRITE, sizes[i]), HV_S_OK);
		check_content(in(y, "file"), sizes[i]);
		assert_int_equal(stat(in(y, "file"), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0744);
		assert_int_equal(entries(y), 2);
	}
	/* One that is replaced keeps its mode; nothing is to be seen of it before the end. */
	assert_int_equal(chmod(in(y, "file"), 0600), 0);
	assert_int_equal(start(y, "/", "file", OVER_WRITE), HV_S_OK);
	assert_int_equal(put(y, 0, 10), HV_S_OK);
	check_content(in(y, "file"), 3000001);
	assert_int_equal(say(y, COMPLETE_FCOPY), HV_S_OK);
	check_content(in(y, "file"), 10);
	assert_int_equal(stat(in(y, "file"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* Names of several bytes. */
	assert_int_equal(copy(y, "/", "été-日本.txt", 0, 5), HV_S_OK);
	check_content(in(y, "été-日本.txt"), 5);
	/* In any order, with a hole. */
	assert_int_equal(start(y, "/", "sparse", 0), HV_S_OK);
	assert_int_equal(put(y, 20000, 100), HV_S_OK);
	assert_int_equal(put(y, 0, 100), HV_S_OK);
	assert_int_equal(say(y, COMPLETE_FCOPY), HV_S_OK);
	assert_int_equal(stat(in(y, "sparse"), &st), 0);
	assert_int_equal(st.st_size, 20100);
}

static void test_paths(void **state)
{
	struct yard *y = *state;

	assert_int_equal(copy(y, "/a/b", "f", 0, 1), HV_E_FAIL);
	assert_int_equal(copy(y, "/a/b", "f", CREATE_PATH, 1), HV_S_OK);
	check_content(in(y, "a/b/f"), 1);
	assert_int_equal(copy(y, "/a/c/", "f", CREATE_PATH, 1), HV_S_OK);
	check_content(in(y, "a/c/f"), 1);
	assert_int_equal(copy(y, "a//d/./", "f", CREATE_PATH, 1), HV_S_OK);
	check_content(in(y, "a/d/f"), 1);
	assert_int_equal(copy(y, "/a", "e/f", CREATE_PATH, 1), HV_S_OK);
	check_content(in(y, "a/e/f"), 1);
	assert_int_equal(copy(y, "", "top", 0, 1), HV_S_OK);
	check_content(in(y, "top"), 1);
	assert_int_equal(copy(y, "/a/b", "f", 0, 1), HV_ERROR_ALREADY_EXISTS);
	assert_int_equal(copy(y, "/a/b", "f", OVER_WRITE, 2), HV_S_OK);
	check_content(in(y, "a/b/f"), 2);
	assert_int_equal(copy(y, "/a", "b", OVER_WRITE, 2), HV_E_FAIL);
	assert_int_equal(copy(y, "/a/b/f", "g", CREATE_PATH, 2), HV_E_FAIL);
	assert_int_equal(copy(y, "/", "", 0, 1), HV_E_FAIL);
	assert_int_equal(copy(y, "/", "a/", 0, 1), HV_E_FAIL);
	assert_int_equal(copy(y, "/", ".", OVER_WRITE, 1), HV_E_FAIL);
	assert_int_equal(copy(y, "/", "..", OVER_WRITE, 1), HV_E_FAIL);
	assert_int_equal(copy(y, "/", "caf\xe9", 0, 1), HV_INVALIDARG);
	assert_int_equal(entries(y), 11);
}

/* Neither "..", nor a link, nor both lead out; links within are good. */
static void test_confined(void **state)
{
	static const char *const paths[] = {"/..",      "/../x",       "/a/../..", "/a/../../x",
					    "/out",     "/a/up/x",     "/abs",     "/abs/x",
					    "/magic/1", "a/../../root"};
	struct yard *y = *state;
	unsigned n;

	assert_int_equal(mkdir(in(y, "a"), 0755), 0);
	assert_int_equal(symlink("..", in(y, "out")), 0);
	assert_int_equal(symlink("../..", in(y, "a/up")), 0);
	assert_int_equal(symlink(y->base, in(y, "abs")), 0);
	assert_int_equal(symlink("/proc/self/fd", in(y, "magic")), 0);
	assert_int_equal(symlink("../a", in(y, "a/within")), 0);
	assert_int_equal(symlink("/etc/passwd", in(y, "passwd")), 0);
	assert_int_equal(symlink("nowhere", in(y, "dangling")), 0);
	n = entries(y);
	for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		assert_int_equal(copy(y, paths[i], "f", OVER_WRITE | CREATE_PATH, 1), HV_E_FAIL);
	assert_int_equal(copy(y, "/", "../f", OVER_WRITE, 1), HV_E_FAIL);
	assert_int_equal(copy(y, "/", "passwd", OVER_WRITE, 1), HV_E_FAIL);
	assert_int_equal(copy(y, "/", "passwd", 0, 1), HV_ERROR_ALREADY_EXISTS);
	assert_int_equal(copy(y, "/", "dangling", OVER_WRITE, 1), HV_E_FAIL);
	assert_int_equal(entries(y), n);
	assert_int_equal(copy(y, "/a/within", "f", 0, 1), HV_S_OK);
	check_content(in(y, "a/f"), 1);
	assert_int_equal(copy(y, "/a/../a", "g", 0, 1), HV_S_OK);
	check_content(in(y, "a/g"), 1);
}

/* From here on openat2() is not there, as before Linux 5.6. */
static bool forbid_openat2(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* In a process without openat2(): the number of the first that is not as it should be. */
static int without_openat2(struct yard *y)
{
	static const char *const bad[] = {"/..",  "/a/../..", "/a/..",    "/out",
					  "/abs", "/abs/x",   "/a/within"};
	char path[256];

	if (!forbid_openat2())
		return 77;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (copy(y, bad[i], "f", OVER_WRITE | CREATE_PATH, 1) != HV_E_FAIL)
			return (int)i + 1;
	if (copy(y, "/", "passwd", OVER_WRITE, 1) != HV_E_FAIL)
		return 20;
	if (copy(y, "/a/./b//c/", "f", CREATE_PATH, 1) != HV_S_OK)
		return 21;
	fcopy_init(&y->fcopy, "/");
	snprintf(path, sizeof(path), "%s/abs/new", y->root);
	return copy(y, path, "f", CREATE_PATH, 1) == HV_S_OK ? 0 : 22;
}

/* Then no link is followed, nor is "..". */
static void test_older_kernel(void **state)
{
	struct yard *y = *state;
	unsigned n;
	pid_t child;
	int status;

	assert_int_equal(mkdir(in(y, "a"), 0755), 0);
	assert_int_equal(symlink("..", in(y, "out")), 0);
	assert_int_equal(symlink(y->base, in(y, "abs")), 0);
	assert_int_equal(symlink("../a", in(y, "a/within")), 0);
	assert_int_equal(symlink("/etc/passwd", in(y, "passwd")), 0);
	n = entries(y);
	child = fork();
	if (child == 0)
		_exit(without_openat2(y));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
	check_content(in(y, "a/b/c/f"), 1);
	check_content(in(y, "../new/f"), 1);
	assert_int_equal(entries(y), n + 5);
}

/* With the root "/", paths are what they are to any program. */
static void test_not_confined(void **state)
{
	struct yard *y = *state;
	char path[256];

	fcopy_finish(&y->fcopy);
	fcopy_init(&y->fcopy, "/");
	assert_int_equal(symlink(y->base, in(y, "abs")), 0);
	snprintf(path, sizeof(path), "%s/abs/new/", y->root);
	assert_int_equal(copy(y, path, "f", CREATE_PATH, 7), HV_S_OK);
	check_content(in(y, "../new/f"), 7);
	snprintf(path, sizeof(path), "%s/..", y->root);
	assert_int_equal(copy(y, path, "g", 0, 7), HV_S_OK);
	check_content(in(y, "../g"), 7);
}

static void test_cancel(void **state)
{
	struct yard *y = *state;

	assert_int_equal(start(y, "/", "f", 0), HV_S_OK);
	assert_int_equal(put(y, 0, 6144), HV_S_OK);
	assert_int_equal(entries(y), 2);
	assert_int_equal(say(y, CANCEL_FCOPY), HV_S_OK);
	assert_int_equal(entries(y), 1);
	/* A new START, and the end of the agent, do the same. */
	assert_int_equal(start(y, "/", "f", 0), HV_S_OK);
	assert_int_equal(start(y, "/", "g", 0), HV_S_OK);
	assert_int_equal(entries(y), 2);
	fcopy_finish(&y->fcopy);
	assert_int_equal(entries(y), 1);
	fcopy_init(&y->fcopy, y->root);
	assert_int_equal(start(y, "/", "f", 0), HV_S_OK);
	assert_int_equal(start(y, "/nowhere", "g", 0), HV_E_FAIL);
	assert_int_equal(entries(y), 1);
	assert_int_equal(put(y, 0, 1), HV_E_FAIL);
}

/* Somebody makes the file while it is copied. */
static void test_race(void **state)
{
	struct yard *y = *state;
	int fd;

	assert_int_equal(start(y, "/", "f", 0), HV_S_OK);
	fd = open(in(y, "f"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, "theirs", 6), 6);
	close(fd);
	assert_int_equal(say(y, COMPLETE_FCOPY), HV_ERROR_ALREADY_EXISTS);
	assert_int_equal(entries(y), 2);
}

/* The mode and owner are those of the file that goes, as they are then. */
static void test_mode_meanwhile(void **state)
{
	struct yard *y = *state;
	struct stat st;
	int fd;

	assert_int_equal(copy(y, "/", "f", 0, 1), HV_S_OK);
	assert_int_equal(start(y, "/", "f", OVER_WRITE), HV_S_OK);
	assert_int_equal(chmod(in(y, "f"), 04600), 0);
	assert_int_equal(put(y, 0, 10), HV_S_OK);
	assert_int_equal(say(y, COMPLETE_FCOPY), HV_S_OK);
	assert_int_equal(stat(in(y, "f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 04600);
	/* One that came while it was copied. */
	assert_int_equal(start(y, "/", "g", OVER_WRITE), HV_S_OK);
	fd = open(in(y, "g"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_true(geteuid() != 0 || fchown(fd, 65534, 65534) == 0);
	close(fd);
	assert_int_equal(say(y, COMPLETE_FCOPY), HV_S_OK);
	assert_int_equal(stat(in(y, "g"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_uid, geteuid() ? geteuid() : 65534);
}

/* A list of who else may use the file is kept; the directory's is for new files. */
static void test_acl(void **state)
{
	struct yard *y = *state;
	struct stat st;

	assert_int_equal(copy(y, "/", "f", 0, 1), HV_S_OK);
	if (!agent_acl_set(in(y, "f")))
		skip();
	assert_int_equal(copy(y, "/", "f", OVER_WRITE, 2), HV_S_OK);
	check_content(in(y, "f"), 2);
	assert_true(agent_acl_is_set(in(y, "f")));
	assert_int_equal(stat(in(y, "f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
}

/* The root is made with what it is in, and anew if somebody has removed it. */
static void test_root(void **state)
{
	struct yard *y = *state;
	char root[128];

	fcopy_finish(&y->fcopy);
	snprintf(root, sizeof(root), "%s/more/deep", y->root);
	fcopy_init(&y->fcopy, root);
	assert_int_equal(copy(y, "/", "f", 0, 1), HV_S_OK);
	check_content(in(y, "more/deep/f"), 1);
	assert_int_equal(unlink(in(y, "more/deep/f")) | rmdir(in(y, "more/deep")), 0);
	assert_int_equal(copy(y, "/", "f", 0, 1), HV_S_OK);
	check_content(in(y, "more/deep/f"), 1);
	fcopy_finish(&y->fcopy);
	fcopy_init(&y->fcopy, y->root);
}

static void test_out_of_order(void **state)
{
	struct yard *y = *state;
	uint32_t operation;

	assert_int_equal(put(y, 0, 1), HV_E_FAIL);
	assert_int_equal(say(y, COMPLETE_FCOPY), HV_E_FAIL);
	assert_int_equal(say(y, CANCEL_FCOPY), HV_E_FAIL);
	assert_int_equal(say(y, 4), HV_E_FAIL);
	assert_int_equal(say(y, 0xffffffff), HV_E_FAIL);
	assert_int_equal(start(y, "/", "f", 0), HV_S_OK);
	assert_int_equal(say(y, 77), HV_E_FAIL);
	assert_int_equal(say(y, COMPLETE_FCOPY), HV_S_OK);
	assert_int_equal(say(y, COMPLETE_FCOPY), HV_E_FAIL);
	/* Cut short. */
	operation = START_FILE_COPY;
	for (size_t size = 0; size < sizeof(struct hv_fcopy_hdr); size++)
		assert_int_equal(fcopy_message(&y->fcopy, &operation, size < 4 ? size : 4, false),
				 HV_INVALIDARG);
	assert_int_equal(say(y, START_FILE_COPY), HV_INVALIDARG);
	assert_int_equal(start(y, "/", "g", 0), HV_S_OK);
	assert_int_equal(say(y, WRITE_TO_FILE), HV_INVALIDARG);
}

static void test_sizes(void **state)
{
	struct yard *y = *state;

	assert_int_equal(start_sized(y, "/", "f", 0, 10000), HV_S_OK);
	assert_int_equal(put(y, 0, 6145), HV_INVALIDARG);
	assert_int_equal(put(y, 0, 65536), HV_INVALIDARG);
	assert_int_equal(put(y, 0, 0xffffffff), HV_INVALIDARG);
	assert_int_equal(put(y, 10000, 1), HV_INVALIDARG);
	assert_int_equal(put(y, 9999, 2), HV_INVALIDARG);
	assert_int_equal(put(y, UINT64_MAX, 2), HV_INVALIDARG);
	assert_int_equal(put(y, 0, 6144), HV_S_OK);
	/* Less than was announced is not all of it. */
	assert_int_equal(say(y, COMPLETE_FCOPY), HV_E_FAIL);
	assert_int_equal(entries(y), 1);
	/* Nor is nothing at the announced end. */
	assert_int_equal(start_sized(y, "/", "f", 0, 100), HV_S_OK);
	assert_int_equal(put(y, 100, 0), HV_S_OK);
	assert_int_equal(say(y, COMPLETE_FCOPY), HV_E_FAIL);
	assert_int_equal(entries(y), 1);
	assert_int_equal(start(y, "/", "f", 0), HV_S_OK);
	assert_int_equal(put(y, INT64_MAX, 1), HV_INVALIDARG);
	assert_int_equal(say(y, CANCEL_FCOPY), HV_S_OK);
	assert_int_equal(start_sized(y, "/", "f", 0, UINT64_MAX), HV_E_FAIL);
	assert_int_equal(start_sized(y, "/", "f", 0, INT64_MAX), HV_ERROR_DISK_FULL);
	assert_int_equal(entries(y), 1);
}

/* A write that fails after it was answered is told with what comes next. */
static void test_write_error(void **state)
{
	struct rlimit old, small = {.rlim_cur = 100000};
	struct yard *y = *state;
	uint32_t status = HV_S_OK;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(start(y, "/", "f", 0), HV_S_OK);
	for (uint64_t at = 0; at < 1000 && status == HV_S_OK; at++)
		status = put(y, at * 6144, 6144);
	assert_int_equal(status, HV_E_FAIL);
	assert_int_equal(say(y, COMPLETE_FCOPY), HV_E_FAIL);
	assert_int_equal(start(y, "/", "f", 0), HV_S_OK);
	assert_int_equal(put(y, 100000, 1), HV_S_OK);
	assert_int_equal(say(y, COMPLETE_FCOPY), HV_E_FAIL);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(entries(y), 1);
	/* A full disk has a status of its own. */
	assert_int_equal(start(y, "/", "f", 0), HV_S_OK);
	close(y->fcopy.fd);
	y->fcopy.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_int_equal(put(y, 0, 1), HV_S_OK);
	assert_int_equal(say(y, COMPLETE_FCOPY), HV_ERROR_DISK_FULL);
	assert_int_equal(entries(y), 1);
}

/* ---- the ring ---- */

#define RING_BYTES (4096 + 4096)

struct channel {
	struct ring guest, host;
	uint64_t memory[RING_BYTES / 8];
};

static void test_ring(void **state)
{
	struct channel *c = calloc(1, sizeof(*c));
	_Alignas(8) uint8_t packet[4096];
	uint8_t body[300];
	const struct hyperv_packet *p = (const struct hyperv_packet *)packet;

	ring_init(&c->host, c->memory, RING_BYTES);
	ring_init(&c->guest, c->memory, RING_BYTES);
	assert_int_equal(ring_receive(&c->guest, packet), 0);
	/* Around the end in every position. */
	for (unsigned i = 0; i < 5000; i++) {
		size_t size = 1 + i % sizeof(body);

		memset(body, (int)i, size);
		assert_int_equal(ring_send(&c->host, i, body, size), 0);
		assert_int_equal(ring_receive(&c->guest, packet), 16 + (size + 7) / 8 * 8);
		assert_int_equal(p->transaction, i);
		assert_memory_equal(packet + 16, body, size);
	}
	/* Full, and then empty again. */
	for (unsigned i = 0; i < 4096 / 64 - 1; i++)
		assert_int_equal(ring_send(&c->host, i, body, 40), 0);
	assert_int_equal(ring_send(&c->host, 0, body, 40), -EAGAIN);
	for (unsigned i = 0; i < 4096 / 64 - 1; i++)
		assert_int_equal(ring_receive(&c->guest, packet), 56);
	assert_int_equal(ring_receive(&c->guest, packet), 0);
	assert_int_equal(ring_send(&c->host, 0, body, 4096), -EAGAIN);
	free(c);
}

static void test_ring_hostile(void **state)
{
	struct channel *c = calloc(1, sizeof(*c));
	struct hyperv_ring *shared = (struct hyperv_ring *)c->memory;
	struct hyperv_packet *p = (struct hyperv_packet *)shared->data;
	static const uint32_t indices[] = {1,    4,          4095,       4096,
					   8192, 0x80000000, 0xffffffff, 0xfffffff8};
	static const uint16_t sizes[][2] = {{0, 0}, {1, 4}, {2, 1}, {3, 2}, {2, 7}, {2, 0xffff}};
	_Alignas(8) uint8_t packet[4096];

	ring_init(&c->guest, c->memory, RING_BYTES);
	for (unsigned i = 0; i < sizeof(indices) / sizeof(indices[0]); i++) {
		shared->write_index = indices[i];
		assert_int_equal(ring_receive(&c->guest, packet), -EIO);
		assert_int_equal(ring_send(&c->guest, 0, packet, 8), -EIO);
		shared->write_index = 0;
		shared->read_index = indices[i];
		assert_int_equal(ring_receive(&c->guest, packet), -EIO);
		shared->read_index = 0;
	}
	shared->write_index = 16;
	assert_int_equal(ring_receive(&c->guest, packet), -EIO);
	shared->write_index = 56;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		p->header_size = sizes[i][0];
		p->size = sizes[i][1];
		assert_int_equal(ring_receive(&c->guest, packet), -EIO);
	}
	p->header_size = 2;
	p->size = 6;
	assert_int_equal(ring_receive(&c->guest, packet), 48);
	free(c);
}

/* ---- IC messages ---- */

static struct hyperv_ic *ic(void *buffer, uint16_t type)
{
	struct hyperv_ic *m = buffer;

	memset(buffer, 0, HYPERV_IC_SIZE);
	m->ic.type = type;
	return m;
}

static void test_negotiation(void **state)
{
	static const uint16_t offer[] = {2, 2, 0, 0, 1, 0, 3, 0, 1, 1, 1, 2};
	struct yard *y = *state;
	uint8_t buffer[1024];
	struct hyperv_ic *m = ic(buffer, HYPERV_IC_NEGOTIATE);
	uint16_t words[8];

	memcpy(m->body, offer, sizeof(offer));
	assert_true(uio_answer(&y->fcopy, m, HYPERV_IC_SIZE + sizeof(offer)));
	assert_int_equal(m->ic.status, HV_S_OK);
	assert_int_equal(m->ic.flags, HYPERV_IC_TRANSACTION | HYPERV_IC_RESPONSE);
	assert_int_equal(m->ic.size, 16);
	memcpy(words, m->body, sizeof(words));
	assert_memory_equal(words, ((uint16_t[]){1, 1, 0, 0, 3, 0, 1, 1}), sizeof(words));
	/* Of what is offered nothing fits, or more is said to be there than is. */
	for (unsigned i = 0; i < 4; i++) {
		m = ic(buffer, HYPERV_IC_NEGOTIATE);
		memcpy(m->body, offer, sizeof(offer));
		((uint16_t *)m->body)[(uint8_t[]){6, 8, 0, 1}[i]] = i < 2 ? 9 : 0xffff;
		assert_true(uio_answer(&y->fcopy, m, HYPERV_IC_SIZE + sizeof(offer)));
		assert_int_equal(m->ic.status, HV_E_FAIL);
		memcpy(words, m->body, 4);
		assert_int_equal(words[0] | words[1], 0);
	}
	for (size_t size = 0; size < sizeof(offer); size++) {
		m = ic(buffer, HYPERV_IC_NEGOTIATE);
		memcpy(m->body, offer, sizeof(offer));
		assert_true(uio_answer(&y->fcopy, m, HYPERV_IC_SIZE + size));
		assert_int_equal(m->ic.status, HV_E_FAIL);
	}
	for (size_t size = 0; size < HYPERV_IC_SIZE; size++)
		assert_false(uio_answer(&y->fcopy, buffer, size));
}

static void wide(uint8_t *to, const char16_t *from, size_t size)
{
	memcpy(to, from, size);
}

/* A name as the host has it; one that is short, and a message of another service. */
static void test_wide_names(void **state)
{
	static const char16_t name[] = u"é-日本-😀.txt", lone[] = {'a', 0xd800, 'b', 0};
	struct yard *y = *state;
	uint8_t buffer[2048] = {0};
	struct hyperv_ic *m = ic(buffer, HYPERV_IC_FCOPY);

	wide(m->body + offsetof(struct hv_start_fcopy, file_name), name, sizeof(name));
	wide(m->body + offsetof(struct hv_start_fcopy, path_name), u"/", 4);
	assert_true(uio_answer(&y->fcopy, m, HYPERV_IC_SIZE + sizeof(struct hv_start_fcopy)));
	assert_int_equal(m->ic.status, HV_S_OK);
	assert_int_equal(say(y, COMPLETE_FCOPY), HV_S_OK);
	assert_int_equal(access(in(y, "é-日本-😀.txt"), F_OK), 0);
	wide(m->body + offsetof(struct hv_start_fcopy, file_name), lone, sizeof(lone));
	assert_true(uio_answer(&y->fcopy, m, HYPERV_IC_SIZE + sizeof(struct hv_start_fcopy)));
	assert_int_equal(m->ic.status, HV_INVALIDARG);
	for (size_t size = 0; size < sizeof(struct hv_start_fcopy); size += 8) {
		assert_true(uio_answer(&y->fcopy, m, HYPERV_IC_SIZE + size));
		assert_int_equal(m->ic.status, HV_INVALIDARG);
	}
	m->ic.type = HYPERV_IC_SHUTDOWN;
	assert_true(uio_answer(&y->fcopy, m, HYPERV_IC_SIZE + 100));
	assert_int_equal(m->ic.status, HV_E_FAIL);
}

/* ---- the channel ---- */

#define CHANNEL_RING (4096 + 16384) /* as the kernel has it for this service */

struct host {
	struct uio uio; /* the guest's, as uio_open() leaves it */
	struct ring out, in;
	int interrupt; /* the other end of the device */
	_Alignas(8) uint8_t packet[CHANNEL_RING];
};

static struct host *host_start(void)
{
	struct host *h = calloc(1, sizeof(*h));
	int pair[2];

	h->uio.map_size = 2 * CHANNEL_RING;
	h->uio.map = mmap(NULL, h->uio.map_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			  -1, 0);
	assert_true(h->uio.map != MAP_FAILED);
	h->uio.packet = malloc(CHANNEL_RING);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	h->uio.fd = pair[0];
	h->interrupt = pair[1];
	ring_init(&h->uio.out, h->uio.map, CHANNEL_RING);
	ring_init(&h->uio.in, (uint8_t *)h->uio.map + CHANNEL_RING, CHANNEL_RING);
	h->in = h->uio.out;
	h->out = h->uio.in;
	return h;
}

static void host_stop(struct host *h)
{
	close(h->uio.fd);
	close(h->interrupt);
	uio_close(&h->uio);
	free(h);
}

static int serve(struct host *h, struct fcopy *f)
{
	uint32_t count = 1;

	assert_int_equal(send(h->interrupt, &count, sizeof(count), 0), sizeof(count));
	return uio_serve(&h->uio, f, true);
}

/* A message and the status of its answer, of which the guest interrupts. */
static uint32_t ask(struct host *h, struct fcopy *f, uint16_t type, const void *body, size_t size)
{
	const struct hyperv_packet *p = (const struct hyperv_packet *)h->packet;
	static uint64_t transaction;
	static uint8_t message[CHANNEL_RING];
	const struct hyperv_ic *m;
	uint32_t count;

	memcpy(ic(message, type)->body, body, size);
	assert_int_equal(ring_send(&h->out, ++transaction, message, HYPERV_IC_SIZE + size), 0);
	assert_int_equal(serve(h, f), 0);
	assert_true(ring_receive(&h->in, h->packet) > 0);
	assert_int_equal(p->transaction, transaction);
	assert_int_equal(recv(h->interrupt, &count, sizeof(count), 0), sizeof(count));
	assert_int_equal(count, 1);
	m = (const struct hyperv_ic *)(h->packet + p->header_size * 8);
	assert_int_equal(m->ic.flags, HYPERV_IC_TRANSACTION | HYPERV_IC_RESPONSE);
	return m->ic.status;
}

static void test_channel(void **state)
{
	static const uint16_t offer[] = {1, 1, 0, 0, 3, 0, 1, 1};
	struct hv_start_fcopy begin = {.hdr.operation = START_FILE_COPY, .file_size = 100000};
	struct hv_fcopy_hdr complete = {.operation = COMPLETE_FCOPY};
	struct host *h = host_start();
	struct yard *y = *state;
	unsigned served;

	wide((uint8_t *)&begin + offsetof(struct hv_start_fcopy, file_name), u"é", 4);
	wide((uint8_t *)&begin + offsetof(struct hv_start_fcopy, path_name), u"/", 4);
	assert_int_equal(ask(h, &y->fcopy, HYPERV_IC_NEGOTIATE, offer, sizeof(offer)), HV_S_OK);
	assert_int_equal(ask(h, &y->fcopy, HYPERV_IC_FCOPY, &begin, sizeof(begin)), HV_S_OK);
	y->data.hdr.operation = WRITE_TO_FILE;
	for (uint64_t at = 0; at < 100000; at += DATA_FRAGMENT) {
		y->data.offset = at;
		y->data.size =
			100000 - at < DATA_FRAGMENT ? (uint32_t)(100000 - at) : DATA_FRAGMENT;
		for (unsigned i = 0; i < DATA_FRAGMENT; i++)
			y->data.data[i] = (uint8_t)((at + i) * 7 >> 3);
		assert_int_equal(ask(h, &y->fcopy, HYPERV_IC_FCOPY, &y->data, sizeof(y->data)),
				 HV_S_OK);
	}
	assert_int_equal(ask(h, &y->fcopy, HYPERV_IC_FCOPY, &complete, sizeof(complete)), HV_S_OK);
	check_content(in(y, "é"), 100000);
	/* Too short for an answer; interrupted for nothing; and nonsense in the ring. */
	assert_int_equal(ring_send(&h->out, 0, &complete, 8), 0);
	for (unsigned i = 0; i < 2; i++) {
		/* As older kernels leave it when they pass an interrupt on. */
		h->uio.in.shared->interrupt_mask = 1;
		assert_int_equal(serve(h, &y->fcopy), 0);
		assert_int_equal(h->uio.in.shared->interrupt_mask, 0);
	}
	assert_int_equal(ring_receive(&h->in, h->packet), 0);
	/* Others have their turn, too. */
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(ring_send(&h->out, i, ic(y->data.data, HYPERV_IC_FCOPY), 40), 0);
	assert_int_equal(serve(h, &y->fcopy), 1);
	for (served = 0; ring_receive(&h->in, h->packet) > 0; served++)
		;
	assert_in_range(served, 1, 99);
	assert_int_equal(uio_serve(&h->uio, &y->fcopy, false), 0);
	for (; ring_receive(&h->in, h->packet) > 0; served++)
		;
	assert_int_equal(served, 100);
	h->uio.in.shared->write_index = 3;
	assert_int_equal(serve(h, &y->fcopy), -EIO);
	/* A host that does not read its answers. */
	h->uio.in.shared->write_index = h->uio.in.shared->read_index;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ring_send(&h->out, 0, ic(y->data.data, HYPERV_IC_FCOPY), 5000), 0);
	assert_int_equal(serve(h, &y->fcopy), 0);
	assert_int_equal(ring_send(&h->out, 0, ic(y->data.data, HYPERV_IC_FCOPY), 5000), 0);
	assert_int_equal(serve(h, &y->fcopy), -EAGAIN);
	host_stop(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_copy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_confined, setup, teardown),
		cmocka_unit_test_setup_teardown(test_older_kernel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_confined, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_race, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mode_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_acl, setup, teardown),
		cmocka_unit_test_setup_teardown(test_root, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_of_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_error, setup, teardown),
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_ring_hostile),
		cmocka_unit_test_setup_teardown(test_negotiation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wide_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_channel, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
