/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state machines of the guest services against a table: for each situation a daemon and its
 * host can be in, what everything that may happen next answers, which state it leaves and
 * what the host hears.  The table was read off drivers/hv/hv_kvp.c, hv_snapshot.c and
 * hv_utils_transport.c of Linux 7.3, and hv_fcopy.c of 6.1.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <standin/standin.h>

#include "hyperv_rig.h"

enum situation {
	OPENED,     /* and nothing else */
	UNANSWERED, /* has registered, and not read the answer */
	READY,      /* has read it */
	ASKED,      /* the host wants something, which has not been read */
	TAKEN,      /* it has been */
	LATE,       /* and too much time has passed */
	SITUATIONS,
};

enum event {
	REGISTERS,  /* the daemon */
	REPLIES,    /* with success */
	SHORT,      /* a byte less than a reply */
	READS,
	CLOSES,
	SECOND,     /* another program opens the device */
	NEGOTIATES, /* the host */
	REQUESTS,
	SUSPENDS,   /* the machine */
	REMOVES,    /* the host takes the device away */
	EVENTS,
};

/* What the host hears; statuses are not negative. */
#define NOTHING (-1)
#define GONE    (-EPIPE)

struct row {
	ssize_t result; /* of the daemon's call: bytes, -errno, or 0 where it makes none */
	enum hyperv_state state;
	int64_t answer;
};

#define DAEMON(result, state)         {result, HYPERV_##state, NOTHING}
#define HEARS(result, state, answer)  {result, HYPERV_##state, answer}
#define HOST(state, answer)           {0, HYPERV_##state, answer}
#define NO_READ                       {-EDEADLK, 0, 0} /* there is nothing: it would wait */

#define K 7432
static const struct row kvp[SITUATIONS][EVENTS] = {
	[OPENED] = {
		[REGISTERS] = DAEMON(K, INIT), [REPLIES] = DAEMON(-EINVAL, INIT),
		[SHORT] = DAEMON(-EINVAL, INIT), [READS] = NO_READ,
		[CLOSES] = DAEMON(0, INIT), [SECOND] = DAEMON(-EBUSY, INIT),
		[NEGOTIATES] = HOST(INIT, NOTHING), [REQUESTS] = HOST(INIT, NOTHING),
		[SUSPENDS] = HOST(READY, GONE), [REMOVES] = HOST(DYING, GONE),
	},
	[UNANSWERED] = {
		[REGISTERS] = DAEMON(-EFAULT, INIT), [REPLIES] = DAEMON(-EINVAL, INIT),
		[SHORT] = DAEMON(-EINVAL, INIT), [READS] = DAEMON(K, READY),
		[CLOSES] = DAEMON(0, INIT), [SECOND] = DAEMON(-EBUSY, INIT),
		[NEGOTIATES] = HOST(INIT, NOTHING), [REQUESTS] = HOST(INIT, NOTHING),
		[SUSPENDS] = HOST(READY, GONE), [REMOVES] = HOST(DYING, GONE),
	},
	[READY] = {
		[REGISTERS] = DAEMON(-EINVAL, READY), [REPLIES] = DAEMON(-EINVAL, READY),
		[SHORT] = DAEMON(-EINVAL, READY), [READS] = NO_READ,
		[CLOSES] = DAEMON(0, INIT), [SECOND] = DAEMON(-EBUSY, READY),
		[NEGOTIATES] = HOST(READY, HV_S_OK), [REQUESTS] = HOST(ASKED, NOTHING),
		[SUSPENDS] = HOST(READY, GONE), [REMOVES] = HOST(DYING, GONE),
	},
	[ASKED] = {
		/* Whatever is written is the reply, and its first four bytes the status. */
		[REGISTERS] = HEARS(K, READY, KVP_OP_REGISTER1), [REPLIES] = HEARS(K, READY, HV_S_OK),
		[SHORT] = DAEMON(-EINVAL, ASKED), [READS] = DAEMON(K, ASKED),
		[CLOSES] = HEARS(0, INIT, HV_E_FAIL), [SECOND] = DAEMON(-EBUSY, ASKED),
		[NEGOTIATES] = HOST(ASKED, NOTHING), [REQUESTS] = HOST(ASKED, NOTHING),
		[SUSPENDS] = HOST(READY, GONE), [REMOVES] = HOST(DYING, GONE),
	},
	[TAKEN] = {
		[REGISTERS] = HEARS(K, READY, KVP_OP_REGISTER1), [REPLIES] = HEARS(K, READY, HV_S_OK),
		[SHORT] = DAEMON(-EINVAL, ASKED), [READS] = NO_READ,
		[CLOSES] = HEARS(0, INIT, HV_E_FAIL), [SECOND] = DAEMON(-EBUSY, ASKED),
		[NEGOTIATES] = HOST(ASKED, NOTHING), [REQUESTS] = HOST(ASKED, NOTHING),
		[SUSPENDS] = HOST(READY, GONE), [REMOVES] = HOST(DYING, GONE),
	},
	[LATE] = {
		[REGISTERS] = DAEMON(-EINVAL, READY), [REPLIES] = DAEMON(-EINVAL, READY),
		[SHORT] = DAEMON(-EINVAL, READY), [READS] = NO_READ,
		[CLOSES] = DAEMON(0, INIT), [SECOND] = DAEMON(-EBUSY, READY),
		[NEGOTIATES] = HOST(READY, HV_S_OK), [REQUESTS] = HOST(ASKED, NOTHING),
		[SUSPENDS] = HOST(READY, GONE), [REMOVES] = HOST(DYING, GONE),
	},
};

#define V 12
static const struct row vss[SITUATIONS][EVENTS] = {
	[OPENED] = {
		[REGISTERS] = DAEMON(V, INIT), [REPLIES] = DAEMON(-EINVAL, INIT),
		[SHORT] = DAEMON(-EINVAL, INIT), [READS] = NO_READ,
		[CLOSES] = DAEMON(0, INIT), [SECOND] = DAEMON(-EBUSY, INIT),
		[NEGOTIATES] = HOST(INIT, HV_S_OK), [REQUESTS] = HOST(INIT, HV_E_FAIL),
		[SUSPENDS] = HOST(READY, GONE), [REMOVES] = HOST(DYING, GONE),
	},
	[UNANSWERED] = {
		[REGISTERS] = DAEMON(-EFAULT, INIT), [REPLIES] = DAEMON(-EINVAL, INIT),
		[SHORT] = DAEMON(-EINVAL, INIT), [READS] = DAEMON(4, READY),
		[CLOSES] = DAEMON(0, INIT), [SECOND] = DAEMON(-EBUSY, INIT),
		[NEGOTIATES] = HOST(INIT, HV_S_OK), [REQUESTS] = HOST(INIT, HV_E_FAIL),
		[SUSPENDS] = HOST(READY, GONE), [REMOVES] = HOST(DYING, GONE),
	},
	[READY] = {
		/* A daemon may register again, and is answered again. */
		[REGISTERS] = DAEMON(V, READY), [REPLIES] = DAEMON(-EINVAL, READY),
		[SHORT] = DAEMON(-EINVAL, READY), [READS] = NO_READ,
		[CLOSES] = DAEMON(0, INIT), [SECOND] = DAEMON(-EBUSY, READY),
		[NEGOTIATES] = HOST(READY, HV_S_OK), [REQUESTS] = HOST(ASKED, NOTHING),
		[SUSPENDS] = HOST(READY, GONE), [REMOVES] = HOST(DYING, GONE),
	},
	[ASKED] = {
		[REGISTERS] = DAEMON(-EINVAL, ASKED), [REPLIES] = HEARS(V, READY, HV_S_OK),
		[SHORT] = DAEMON(-EINVAL, ASKED), [READS] = DAEMON(V, ASKED),
		[CLOSES] = HEARS(0, INIT, HV_E_FAIL), [SECOND] = DAEMON(-EBUSY, ASKED),
		[NEGOTIATES] = HOST(ASKED, NOTHING), [REQUESTS] = HOST(ASKED, NOTHING),
		[SUSPENDS] = HOST(READY, GONE), [REMOVES] = HOST(DYING, GONE),
	},
	[TAKEN] = {
		[REGISTERS] = DAEMON(-EINVAL, ASKED), [REPLIES] = HEARS(V, READY, HV_S_OK),
		[SHORT] = DAEMON(-EINVAL, ASKED), [READS] = NO_READ,
		[CLOSES] = HEARS(0, INIT, HV_E_FAIL), [SECOND] = DAEMON(-EBUSY, ASKED),
		[NEGOTIATES] = HOST(ASKED, NOTHING), [REQUESTS] = HOST(ASKED, NOTHING),
		[SUSPENDS] = HOST(READY, GONE), [REMOVES] = HOST(DYING, GONE),
	},
	[LATE] = {
		[REGISTERS] = DAEMON(V, READY), [REPLIES] = DAEMON(-EINVAL, READY),
		[SHORT] = DAEMON(-EINVAL, READY), [READS] = NO_READ,
		[CLOSES] = DAEMON(0, INIT), [SECOND] = DAEMON(-EBUSY, READY),
		[NEGOTIATES] = HOST(READY, HV_S_OK), [REQUESTS] = HOST(ASKED, NOTHING),
		[SUSPENDS] = HOST(READY, GONE), [REMOVES] = HOST(DYING, GONE),
	},
};

#define F 4
static const struct row fcopy[SITUATIONS][EVENTS] = {
	[OPENED] = {
		/* A success is the number of a version, too: the one that is not answered. */
		[REGISTERS] = DAEMON(F, INIT), [REPLIES] = DAEMON(F, INIT),
		[SHORT] = DAEMON(-EINVAL, INIT), [READS] = NO_READ,
		[CLOSES] = DAEMON(0, INIT), [SECOND] = DAEMON(-EBUSY, INIT),
		[NEGOTIATES] = HOST(INIT, HV_S_OK), [REQUESTS] = HOST(INIT, HV_E_FAIL),
		[SUSPENDS] = HOST(READY, GONE), [REMOVES] = HOST(DYING, GONE),
	},
	[UNANSWERED] = {
		[REGISTERS] = DAEMON(-EFAULT, INIT), [REPLIES] = DAEMON(F, INIT),
		[SHORT] = DAEMON(-EINVAL, INIT), [READS] = DAEMON(4, READY),
		[CLOSES] = DAEMON(0, INIT), [SECOND] = DAEMON(-EBUSY, INIT),
		[NEGOTIATES] = HOST(INIT, HV_S_OK), [REQUESTS] = HOST(INIT, HV_E_FAIL),
		[SUSPENDS] = HOST(READY, GONE), [REMOVES] = HOST(DYING, GONE),
	},
	[READY] = {
		[REGISTERS] = DAEMON(-EINVAL, READY), [REPLIES] = DAEMON(-EINVAL, READY),
		[SHORT] = DAEMON(-EINVAL, READY), [READS] = NO_READ,
		[CLOSES] = DAEMON(0, INIT), [SECOND] = DAEMON(-EBUSY, READY),
		[NEGOTIATES] = HOST(READY, HV_S_OK), [REQUESTS] = HOST(ASKED, NOTHING),
		[SUSPENDS] = HOST(READY, GONE), [REMOVES] = HOST(DYING, GONE),
	},
	[ASKED] = {
		/* The number of a version is a status as well. */
		[REGISTERS] = HEARS(F, READY, FCOPY_VERSION_1), [REPLIES] = HEARS(F, READY, HV_S_OK),
		[SHORT] = DAEMON(-EINVAL, ASKED), [READS] = DAEMON(1088, ASKED),
		[CLOSES] = HEARS(0, INIT, HV_E_FAIL), [SECOND] = DAEMON(-EBUSY, ASKED),
		[NEGOTIATES] = HOST(ASKED, NOTHING), [REQUESTS] = HOST(ASKED, NOTHING),
		[SUSPENDS] = HOST(READY, GONE), [REMOVES] = HOST(DYING, GONE),
	},
	[TAKEN] = {
		[REGISTERS] = HEARS(F, READY, FCOPY_VERSION_1), [REPLIES] = HEARS(F, READY, HV_S_OK),
		[SHORT] = DAEMON(-EINVAL, ASKED), [READS] = NO_READ,
		[CLOSES] = HEARS(0, INIT, HV_E_FAIL), [SECOND] = DAEMON(-EBUSY, ASKED),
		[NEGOTIATES] = HOST(ASKED, NOTHING), [REQUESTS] = HOST(ASKED, NOTHING),
		[SUSPENDS] = HOST(READY, GONE), [REMOVES] = HOST(DYING, GONE),
	},
	[LATE] = {
		[REGISTERS] = DAEMON(-EINVAL, READY), [REPLIES] = DAEMON(-EINVAL, READY),
		[SHORT] = DAEMON(-EINVAL, READY), [READS] = NO_READ,
		[CLOSES] = DAEMON(0, INIT), [SECOND] = DAEMON(-EBUSY, READY),
		[NEGOTIATES] = HOST(READY, HV_S_OK), [REQUESTS] = HOST(ASKED, NOTHING),
		[SUSPENDS] = HOST(READY, GONE), [REMOVES] = HOST(DYING, GONE),
	},
};

/* ---- how to get there ---- */

static struct hyperv_rig rig;

static void ask(void)
{
	static const struct hv_kvp_msg set = {.kvp_hdr.operation = KVP_OP_SET};
	static const struct hv_vss_msg freeze = {.vss_hdr.operation = VSS_OP_FREEZE};
	static const struct hv_start_fcopy start = {.hdr.operation = START_FILE_COPY};

	if (rig.s == &hyperv_kvp)
		rig_ask(&rig, &set, sizeof(set));
	else if (rig.s == &hyperv_vss)
		rig_ask(&rig, &freeze, sizeof(freeze));
	else
		rig_ask(&rig, &start, sizeof(start));
}

static void negotiate(void)
{
	static const struct {
		struct hyperv_negotiation n;
		struct hyperv_version version[4];
	} message = {.n = {.n_frameworks = 1, .n_versions = 3},
		     .version = {{3, 0}, {4, 0}, {5, 0}, {1, 1}}};

	hyperv_host_begin(&rig.host, HYPERV_IC_NEGOTIATE, sizeof(message));
	memcpy(rig.host.ic.body, &message, sizeof(message));
	assert_int_equal(hyperv_host_send(&rig.host), 0);
	rig_settle(&rig);
}

static void let_time_pass(void)
{
	pthread_mutex_lock(&rig.s->lock);
	assert_true(hyperv_disarm(rig.s));
	rig.s->kind->timed_out(rig.s);
	pthread_mutex_unlock(&rig.s->lock);
	assert_int_equal(rig_answer(&rig), HV_E_FAIL);
}

static void get_into(enum situation situation)
{
	struct hv_kvp_msg message;

	if (situation == UNANSWERED)
		assert_true(rig_write_registration(&rig) > 0);
	if (situation >= READY)
		rig_register(&rig);
	if (situation >= ASKED)
		ask();
	if (situation >= TAKEN)
		assert_true(rig_read(&rig, &message, sizeof(message)) > 0);
	if (situation >= LATE)
		let_time_pass();
}

static ssize_t reply(size_t less)
{
	static const struct hv_kvp_msg success;

	return rig_write(&rig, &success, rig.s->kind->kept - less);
}

static void change(void (*how)(struct hyperv_service *s))
{
	pthread_mutex_lock(&rig.s->lock);
	how(rig.s);
	pthread_mutex_unlock(&rig.s->lock);
}

static ssize_t happen(enum event event)
{
	struct hv_kvp_msg message;
	int fd;

	switch (event) {
	case REGISTERS:
		return rig_write_registration(&rig);
	case REPLIES:
		return reply(0);
	case SHORT:
		return reply(1);
	case READS:
		return rig_poll(&rig) & POLLIN ? rig_read(&rig, &message, sizeof(message))
					       : -EDEADLK;
	case CLOSES:
		standin_close(rig.daemon);
		rig.daemon = -1;
		return 0;
	case SECOND:
		fd = standin_open(rig.s->kind->path, O_RDWR);
		return fd < 0 ? -errno : fd;
	case NEGOTIATES:
		negotiate();
		return 0;
	case REQUESTS:
		ask();
		return 0;
	case SUSPENDS:
		change(hyperv_suspend);
		return 0;
	default:
		change(hyperv_remove);
		return 0;
	}
}

static void check(struct hyperv_service *s, enum situation situation, enum event event,
		  const struct row *row)
{
	ssize_t result;
	int64_t answer;

	rig_start(&rig, s, "hyperv timeouts=1000");
	get_into(situation);
	result = happen(event);
	answer = rig_answer(&rig);
	if (result != row->result ||
	    (result != -EDEADLK && (rig_state(&rig) != row->state || answer != row->answer)))
		fail_msg("%s, situation %d, event %d: result %zd, state %d, answer %lld",
			 s->kind->name, situation, event, result, (int)rig_state(&rig),
			 (long long)answer);
	rig_stop(&rig);
}

static void walk(struct hyperv_service *s, const struct row table[SITUATIONS][EVENTS])
{
	for (int situation = 0; situation < SITUATIONS; situation++)
		for (int event = 0; event < EVENTS; event++)
			check(s, situation, event, &table[situation][event]);
}

static void test_kvp(void **state)
{
	walk(&hyperv_kvp, kvp);
}

static void test_vss(void **state)
{
	walk(&hyperv_vss, vss);
}

static void test_fcopy(void **state)
{
	walk(&hyperv_fcopy, fcopy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kvp),
		cmocka_unit_test(test_vss),
		cmocka_unit_test(test_fcopy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
