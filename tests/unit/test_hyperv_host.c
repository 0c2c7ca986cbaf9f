/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * <standin/hyperv.h> in one process: a thread is the daemon, by libstandin's doors, and the test
 * its host.  What a host is told when there is no guest, or none that it can talk to.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <standin/hyperv.h>
#include <standin/standin.h>

static struct standin_hyperv *host;

/* ---- a daemon that knows one pair, until its device is taken away ---- */

static struct {
	int fd;
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	char key[HV_KVP_EXCHANGE_MAX_KEY_SIZE], value[HV_KVP_EXCHANGE_MAX_VALUE_SIZE];
	int ended_by; /* errno */
} daemon_ = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void assert_daemon_has(const char *key, const char *value)
{
	pthread_mutex_lock(&daemon_.lock);
	assert_string_equal(daemon_.key, key);
	assert_string_equal(daemon_.value, value);
	pthread_mutex_unlock(&daemon_.lock);
}

static void answer(struct hv_kvp_msg *m)
{
	struct hv_kvp_exchg_msg_value *set = &m->body.kvp_set.data;
	struct hv_kvp_exchg_msg_value *pair = &m->body.kvp_enum_data.data;
	uint32_t status = HV_S_OK;

	if (m->kvp_hdr.operation == KVP_OP_SET) {
		strcpy(daemon_.key, (char *)set->key);
		strcpy(daemon_.value, (char *)set->value);
	} else if (m->kvp_hdr.operation == KVP_OP_ENUMERATE && m->body.kvp_enum_data.index == 0) {
		strcpy((char *)pair->key, daemon_.key);
		strcpy((char *)pair->value, daemon_.value);
		pair->key_size = (uint32_t)strlen(daemon_.key) + 1;
		pair->value_size = (uint32_t)strlen(daemon_.value) + 1;
	} else {
		status = m->kvp_hdr.operation == KVP_OP_DELETE ? HV_E_FAIL : HV_S_CONT;
	}
	m->error = (int)status;
}

static void *serve(void *arg)
{
	struct hv_kvp_msg m = {.kvp_hdr.operation = KVP_OP_REGISTER1};

	standin_write(daemon_.fd, &m, sizeof(m));
	/* The first message is the answer to that. */
	for (bool registered = false; standin_read(daemon_.fd, &m, sizeof(m)) == sizeof(m);
	     registered = true) {
		if (!registered)
			continue;
		pthread_mutex_lock(&daemon_.lock);
		answer(&m);
		pthread_mutex_unlock(&daemon_.lock);
		standin_write(daemon_.fd, &m, sizeof(m));
	}
	daemon_.ended_by = errno;
	return NULL;
}

static void daemon_open(void)
{
	daemon_.fd = standin_open("/dev/vmbus/hv_kvp", O_RDWR | O_CLOEXEC);
	assert_true(daemon_.fd >= 0);
}

static void daemon_start(void)
{
	daemon_open();
	assert_int_equal(pthread_create(&daemon_.thread, NULL, serve, NULL), 0);
}

static void daemon_end(void)
{
	assert_int_equal(standin_hyperv_disable(host, STANDIN_HYPERV_KVP), 0);
	assert_int_equal(pthread_join(daemon_.thread, NULL), 0);
	assert_int_equal(daemon_.ended_by, EBADF);
	standin_close(daemon_.fd);
}

/* ---- */

static void start(const char *configuration)
{
	assert_int_equal(standin_start(configuration), 0);
	host = standin_hyperv_create(getpid());
	assert_non_null(host);
}

static void stop(void)
{
	standin_hyperv_destroy(host);
	standin_stop();
}

static void assert_error(int64_t ret, int64_t expected, const char *text)
{
	assert_int_equal(ret, expected);
	if (!strstr(standin_hyperv_error(host), text))
		fail_msg("\"%s\" lacks \"%s\"", standin_hyperv_error(host), text);
}

static void test_nobody(void **state)
{
	struct standin_hyperv_version version;

	standin_hyperv_destroy(NULL);
	host = standin_hyperv_create(getpid());
	standin_hyperv_set_timeouts(host, 0, 100);
	assert_string_equal(standin_hyperv_error(host), "");
	assert_error(standin_hyperv_open(host, STANDIN_HYPERV_KVP), -ESRCH, "nothing runs");
	assert_error(standin_hyperv_suspend(host), -ESRCH, "nothing runs");
	assert_int_equal(standin_hyperv_status(host, NULL, 0), 0);
	assert_string_equal(standin_hyperv_error(host), "");
	standin_hyperv_destroy(host);

	start("");
	standin_hyperv_set_timeouts(host, 0, 100);
	assert_error(standin_hyperv_vss_freeze(host), -ESRCH, "nothing runs");
	stop();

	start("hyperv\n");
	standin_hyperv_set_timeouts(host, 0, 100);
	assert_error(standin_hyperv_kvp_delete(host, 0, "key"), -ENODEV, "hv_kvp open");
	assert_error(standin_hyperv_kvp_delete(host, 256, "key"), -EINVAL, "no pool");
	assert_error(standin_hyperv_open(host, (enum standin_hyperv_service)3), -EINVAL, "service");
	assert_error(standin_hyperv_versions(host, STANDIN_HYPERV_VSS, &version, &version), -EPIPE,
		     "negotiated");
	/* Somebody has it open and never registers: the kernel lets the host wait. */
	daemon_open();
	assert_error(standin_hyperv_open(host, STANDIN_HYPERV_KVP), -ETIMEDOUT, "not answer");
	standin_close(daemon_.fd);
	stop();
}

static void test_requests(void **state)
{
	struct standin_hyperv_status status;
	struct standin_hyperv_version framework, version;
	struct standin_hyperv_pair pair;

	start("hyperv\n");
	daemon_start();
	assert_int_equal(standin_hyperv_kvp_set(host, 3, "kéy", REG_SZ, "välue"), HV_S_OK);
	assert_daemon_has("kéy", "välue");
	assert_int_equal(standin_hyperv_kvp_get(host, 0, "kéy", &pair), HV_S_OK);
	assert_string_equal(pair.value, "välue");
	assert_error(standin_hyperv_kvp_get(host, 0, "none", &pair), HV_S_CONT, "no such item");
	assert_error(standin_hyperv_kvp_delete(host, 0, "kéy"), HV_E_FAIL, "failed");
	assert_error(standin_hyperv_kvp_set(host, 0, "key", 99, "value"), -EINVAL, "number");
	assert_int_equal(standin_hyperv_versions(host, STANDIN_HYPERV_KVP, &framework, &version),
			 0);
	assert_int_equal(framework.major, 3);
	assert_int_equal(version.major, 4);

	assert_int_equal(standin_hyperv_status(host, &status, 1), 1);
	assert_int_equal(status.run, getpid());
	assert_int_equal(status.process, getpid());
	assert_int_equal(status.service, STANDIN_HYPERV_KVP);
	assert_string_equal(status.state, "ready");
	assert_int_equal(status.registered, KVP_OP_REGISTER1);
	assert_int_equal(status.version.major, 4);
	assert_int_equal(status.failed, 1);

	assert_int_equal(standin_hyperv_suspend(host), 0);
	assert_error(standin_hyperv_kvp_set(host, 0, "key", REG_SZ, ""), -EBUSY, "suspended");
	daemon_end();
	stop();
}

/* The channel ends with the daemon's file, and the next request makes another. */
static void test_again(void **state)
{
	start("hyperv\n");
	for (int i = 0; i < 3; i++) {
		daemon_start();
		assert_int_equal(standin_hyperv_kvp_set(host, 0, "key", REG_U32, "0x10"), HV_S_OK);
		assert_daemon_has("key", "16");
		daemon_end();
		assert_int_equal(standin_hyperv_enable(host, STANDIN_HYPERV_KVP), 0);
	}
	stop();
}

static void test_messages(void **state)
{
	static const uint8_t nothing[STANDIN_HYPERV_MESSAGE_MAX + 1];
	struct standin_hyperv_answer a;
	struct hv_kvp_msg m = {.kvp_hdr = {.operation = KVP_OP_ENUMERATE}};

	start("hyperv\n");
	daemon_start();
	assert_error(standin_hyperv_receive(host, STANDIN_HYPERV_KVP, &a), -EPIPE, "gone");
	for (uint32_t i = 0; i < 3; i++) {
		m.body.kvp_enum_data.index = i;
		assert_int_equal(standin_hyperv_send(host, STANDIN_HYPERV_KVP,
						     STANDIN_HYPERV_TYPE_KVP, &m, sizeof(m)),
				 0);
	}
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(standin_hyperv_receive(host, STANDIN_HYPERV_KVP, &a), 0);
		assert_int_equal(a.status, i ? HV_S_CONT : HV_S_OK);
		assert_true(a.headers && a.size >= sizeof(m));
	}
	assert_error(standin_hyperv_send(host, STANDIN_HYPERV_KVP, 2, nothing, sizeof(nothing)),
		     -EINVAL, "12220");
	assert_error(standin_hyperv_send_packet(host, STANDIN_HYPERV_KVP, nothing, 0), -EINVAL,
		     "1 to 12256");
	/* The longest that can be sent; the kernel looks at as much of it as it knows. */
	assert_int_equal(standin_hyperv_send(host, STANDIN_HYPERV_KVP, STANDIN_HYPERV_TYPE_KVP,
					     nothing, STANDIN_HYPERV_MESSAGE_MAX),
			 0);
	assert_int_equal(standin_hyperv_receive(host, STANDIN_HYPERV_KVP, &a), 0);
	daemon_end();
	stop();
}

static void test_start(void **state)
{
	char *argv[] = {(char *)"true", NULL};

	setenv("STANDIN", "/none/such", 1);
	assert_int_equal(standin_hyperv_start(NULL, argv), -ENOENT);
	unsetenv("STANDIN");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody), cmocka_unit_test(test_requests),
		cmocka_unit_test(test_again),  cmocka_unit_test(test_messages),
		cmocka_unit_test(test_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
