/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Daemons that come and go, hosts that ask meanwhile, and a machine that sleeps and loses its
 * devices: whatever meets whatever, each request ends in one of the ways there are, and afterwards
 * all is as it was.  Also for what sanitizers see.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <standin/hyperv.h>
#include <standin/standin.h>

#define HOSTS    3
#define REQUESTS 200 /* of each host */
#define LIFE     16  /* requests that a daemon answers before it goes */
#define WAIT_MS  20000

static _Atomic bool over;
static _Atomic unsigned answered, refused;
static _Atomic int64_t odd; /* an answer that there is not */

/* ---- the daemons ---- */

struct daemon {
	const char *path;
	uint8_t registration[sizeof(struct hv_kvp_msg)];
	size_t size; /* of all that it writes */
};

/* With `life` requests, or until its device is gone. */
static void serve(const struct daemon *d, int fd, unsigned life)
{
	uint8_t message[sizeof(struct hv_kvp_msg)] = {0};

	if (standin_write(fd, d->registration, d->size) < 0 ||
	    standin_read(fd, message, sizeof(message)) < 0)
		return;
	while (life-- && standin_read(fd, message, sizeof(message)) > 0) {
		memset(message, 0, 4); /* HV_S_OK */
		if (standin_write(fd, message, d->size) < 0)
			return; /* it was put to sleep, or is too late */
	}
}

static void *daemon_run(void *arg)
{
	const struct daemon *d = arg;
	int fd;

	for (unsigned life = 1; !over; life = life % LIFE + 1) {
		fd = standin_open(d->path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		serve(d, fd, life);
		standin_close(fd);
	}
	return NULL;
}

/* ---- the hosts ---- */

static void count(int64_t ret)
{
	switch (ret) {
	case HV_S_OK:
	case KVP_OP_REGISTER1: /* after a sleep a registration can be taken for a reply, as in the
				  kernel */
		answered++;
		break;
	case HV_E_FAIL:
	case -EPIPE:  /* it went, or sleeps */
	case -EBUSY:  /* it went, or sleeps, when it was found */
	case -ENODEV: /* it was not there for all of the time */
		refused++;
		break;
	default:
		odd = ret;
	}
}

static void *host_run(void *arg)
{
	struct standin_hyperv *h = standin_hyperv_create(getpid());
	struct standin_hyperv_answer a;
	struct standin_hyperv_pair pair;

	standin_hyperv_set_timeouts(h, 100, WAIT_MS);
	for (unsigned i = 0; i < REQUESTS; i++) {
		count(standin_hyperv_kvp_set(h, i % 5, "key", REG_SZ, "value"));
		count(standin_hyperv_kvp_enumerate(h, 0, i, &pair));
		count(standin_hyperv_vss_request(h, i % 8, NULL));
		if (standin_hyperv_send(h, STANDIN_HYPERV_KVP, STANDIN_HYPERV_TYPE_KVP, "", 1) == 0)
			count(standin_hyperv_receive(h, STANDIN_HYPERV_KVP, &a));
		if (i % 16 == 0)
			standin_hyperv_close(h, STANDIN_HYPERV_VSS);
	}
	standin_hyperv_destroy(h);
	return NULL;
}

static void expect(bool is_so)
{
	if (!is_so)
		odd = -1;
}

static void *machine_run(void *arg)
{
	struct standin_hyperv *h = standin_hyperv_create(getpid());
	struct standin_hyperv_status list[4];

	for (unsigned i = 0; !over; i++) {
		expect(standin_hyperv_suspend(h) == 0);
		sched_yield();
		expect(standin_hyperv_resume(h) == 0);
		usleep(2000);
		if (i % 4 == 0)
			expect(standin_hyperv_disable(
				       h, (enum standin_hyperv_service)(i / 4 % 2)) == 0);
		expect(standin_hyperv_status(h, list, 4) <= 2);
		usleep(2000);
	}
	standin_hyperv_destroy(h);
	return NULL;
}

/* ---- */

static void start_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
	assert_int_equal(pthread_create(thread, NULL, run, arg), 0);
}

static void test_churn(void **state)
{
	static struct daemon daemons[2] = {
		{"/dev/vmbus/hv_kvp", {KVP_OP_REGISTER1}, sizeof(struct hv_kvp_msg)},
		{"/dev/vmbus/hv_vss", {VSS_OP_REGISTER1}, sizeof(struct hv_vss_msg)},
	};
	pthread_t hosts[HOSTS], machine, threads[2];
	struct standin_hyperv *h;

	assert_int_equal(standin_start("hyperv\n"), 0);
	for (int i = 0; i < 2; i++)
		start_thread(&threads[i], daemon_run, &daemons[i]);
	start_thread(&machine, machine_run, NULL);
	for (int i = 0; i < HOSTS; i++)
		start_thread(&hosts[i], host_run, NULL);
	for (int i = 0; i < HOSTS; i++)
		pthread_join(hosts[i], NULL);
	over = true;
	pthread_join(machine, NULL);
	print_message("%u answered, %u not\n", answered, refused);
	assert_int_equal(odd, 0);
	assert_true(answered > 0);

	/* The daemons wait for messages. */
	h = standin_hyperv_create(getpid());
	for (int i = 0; i < 2; i++) {
		while (pthread_tryjoin_np(threads[i], NULL) == EBUSY) {
			standin_hyperv_disable(h, (enum standin_hyperv_service)i);
			usleep(1000);
		}
	}
	over = false;
	start_thread(&threads[0], daemon_run, &daemons[0]);
	assert_int_equal(standin_hyperv_kvp_set(h, 0, "key", REG_SZ, "value"), HV_S_OK);
	over = true;
	while (pthread_tryjoin_np(threads[0], NULL) == EBUSY) {
		standin_hyperv_disable(h, STANDIN_HYPERV_KVP);
		usleep(1000);
	}
	standin_hyperv_destroy(h);
	standin_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_churn)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
