/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest services: their files' rules, what becomes of texts and numbers on the way, time-outs,
 * and packets that no honest host sends.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include <standin/standin.h>

#include "hyperv/queue.h"
#include "hyperv/utf.h"
#include "hyperv_rig.h"

static struct hyperv_rig rig;

/* ---- texts ---- */

static void to_utf8(const uint16_t *from, size_t n, size_t room, const char *expected)
{
	uint8_t to[64];

	memset(to, '!', sizeof(to));
	assert_int_equal(utf8_from_utf16(from, n, to, room), strlen(expected));
	assert_memory_equal(to, expected, strlen(expected));
	assert_int_equal(to[strlen(expected)], '!'); /* no end, and nothing behind it */
}

static void test_utf16(void **state)
{
	static const uint16_t plain[] = {'a', 0xe9, 0x65e5, 0xd83d, 0xde00, 'z'};
	static const uint16_t lone[] = {'a', 0xd83d, 'b', 0xde00, 'c', 0xd83d};
	static const uint16_t ended[] = {'a', 0, 'b'};

	to_utf8(plain, 6, 64, "a\xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80z");
	to_utf8(plain, 3, 64, "a\xc3\xa9\xe6\x97\xa5");
	/* What does not fit is left out, and so is all that follows. */
	to_utf8(plain, 6, 5, "a\xc3\xa9");
	to_utf8(plain, 6, 9, "a\xc3\xa9\xe6\x97\xa5");
	to_utf8(plain, 6, 0, "");
	/* Half a character vanishes. */
	to_utf8(lone, 6, 64, "abc");
	to_utf8(ended, 3, 64, "a");
	to_utf8(plain, 0, 64, "");
}

static void to_utf16(const char *from, size_t room, int expected)
{
	uint8_t to[64];

	assert_int_equal(utf16_from_utf8((const uint8_t *)from, strlen(from), to, room), expected);
}

static void test_utf8(void **state)
{
	static const char *const bad[] = {
		"\x80",
		"\xc3",
		"\xc3(",
		"\xc0\xaf",
		"\xe0\x80\xaf",
		"\xed\xa0\x80",
		"\xf4\x90\x80\x80",
		"\xf8\x88\x80\x80\x80",
		"\xff",
		"a\xe6\x97",
	};
	uint8_t to[64];

	to_utf16("", 8, 0);
	to_utf16("a\xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80z", 8, 6);
	/* A pair has no room in one unit. */
	to_utf16("ab\xf0\x9f\x98\x80z", 3, 2);
	to_utf16("abc", 2, 2);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		to_utf16(bad[i], 8, -EINVAL);
	assert_int_equal(utf16_from_utf8((const uint8_t *)"\xf0\x9f\x98\x80", 4, to, 2), 2);
	assert_memory_equal(to, "\x3d\xd8\x00\xde", 4);
}

/* ---- the file ---- */

static void test_read_rules(void **state)
{
	struct hv_kvp_msg m;
	char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	rig_start(&rig, &hyperv_kvp, "hyperv timeouts=1000");
	assert_int_equal(rig_poll(&rig), 0);
	assert_true(rig_write_registration(&rig) > 0);
	assert_int_equal(rig_poll(&rig), POLLIN); /* and never POLLOUT */
	/* Too little room: it stays, however often. */
	assert_int_equal(rig_read(&rig, &m, sizeof(m) - 1), -EINVAL);
	assert_int_equal(rig_read(&rig, &m, 0), -EINVAL);
	assert_int_equal(rig_poll(&rig), POLLIN);
	assert_int_equal(standin_pread(rig.daemon, &m, sizeof(m), 77), sizeof(m));
	assert_string_equal((char *)m.body.kvp_register.version, "3.1");
	assert_int_equal(rig_poll(&rig), 0);

	/* A bad address: it is lost, and counts as read. */
	rig_stop(&rig);
	rig_start(&rig, &hyperv_kvp, "hyperv timeouts=1000");
	assert_true(rig_write_registration(&rig) > 0);
	assert_int_equal(rig_read(&rig, page, sizeof(m)), -EFAULT);
	assert_int_equal(rig_poll(&rig), 0);
	assert_int_equal(rig_state(&rig), HYPERV_READY);
	rig_stop(&rig);
	munmap(page, 4096);
}

static void test_write_rules(void **state)
{
	char message[8192] = {KVP_OP_REGISTER1};
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_int_equal(munmap(page + 4096, 4096), 0);
	rig_start(&rig, &hyperv_kvp, "hyperv timeouts=1000");
	assert_int_equal(rig_write(&rig, message, 0), -EINVAL);
	assert_int_equal(rig_write(&rig, page, sizeof(struct hv_kvp_msg)), -EFAULT);
	assert_int_equal(rig_write(&rig, message, (size_t)1 << 40), -ENOMEM);
	/* KVP takes more than it needs. */
	assert_int_equal(standin_pwrite(rig.daemon, message, sizeof(message), 0), sizeof(message));
	rig_stop(&rig);
	munmap(page, 4096);
}

/* Registrations of old. */
static void test_old_daemons(void **state)
{
	struct hv_kvp_msg m = {.kvp_hdr.operation = KVP_OP_REGISTER}, answer;
	const struct hv_vss_msg old_vss = {.vss_hdr.operation = VSS_OP_REGISTER};
	const uint32_t old_fcopy = FCOPY_VERSION_0, unknown = 2;

	rig_start(&rig, &hyperv_kvp, "hyperv timeouts=1000");
	assert_int_equal(rig_write(&rig, &m, sizeof(m)), sizeof(m));
	assert_int_equal(rig_read(&rig, &answer, sizeof(answer)), sizeof(answer));
	assert_int_equal(answer.kvp_hdr.operation, KVP_OP_REGISTER);
	/* The end of an enumeration is an empty key. */
	m = (struct hv_kvp_msg){.kvp_hdr.operation = KVP_OP_ENUMERATE};
	rig_ask(&rig, &m, sizeof(m));
	assert_int_equal(rig_write(&rig, &m, sizeof(m)), sizeof(m));
	assert_int_equal(rig_answer(&rig), HV_S_CONT);
	rig_stop(&rig);

	/* They hear nothing, and so nothing makes the kernel ready. */
	rig_start(&rig, &hyperv_vss, "hyperv timeouts=1000");
	assert_int_equal(rig_write(&rig, &old_vss, sizeof(old_vss)), sizeof(old_vss));
	assert_int_equal(rig_poll(&rig), 0);
	assert_int_equal(rig_state(&rig), HYPERV_INIT);
	rig_stop(&rig);
	rig_start(&rig, &hyperv_fcopy, "hyperv timeouts=1000");
	assert_int_equal(rig_write(&rig, &unknown, sizeof(unknown)), -EINVAL);
	assert_int_equal(rig_write(&rig, &old_fcopy, sizeof(old_fcopy)), sizeof(old_fcopy));
	assert_int_equal(rig_poll(&rig), 0);
	rig_stop(&rig);
}

struct reader {
	ssize_t result;
	_Atomic bool began;
	pthread_t thread;
};

static void *read_one(void *arg)
{
	struct reader *r = arg;
	struct hv_kvp_msg m;

	r->began = true;
	r->result = rig_read(&rig, &m, sizeof(m));
	return NULL;
}

static void start_reader(struct reader *r)
{
	r->began = false;
	assert_int_equal(pthread_create(&r->thread, NULL, read_one, r), 0);
	while (!r->began)
		usleep(1000);
}

static void ignore(int signal)
{
}

/* A read waits although the file is nonblocking; a signal ends it, and a removal. */
static void test_blocking_read(void **state)
{
	const struct sigaction act = {.sa_handler = ignore, .sa_flags = SA_RESTART};
	struct reader r;

	sigaction(SIGUSR1, &act, NULL);
	rig_start(&rig, &hyperv_kvp, "hyperv timeouts=1000");
	assert_int_equal(fcntl(rig.daemon, F_SETFL, O_NONBLOCK), 0);
	start_reader(&r);
	assert_true(rig_write_registration(&rig) > 0);
	pthread_join(r.thread, NULL);
	assert_int_equal(r.result, sizeof(struct hv_kvp_msg));

	start_reader(&r);
	while (pthread_tryjoin_np(r.thread, NULL) == EBUSY) {
		pthread_kill(r.thread, SIGUSR1); /* until it comes while the thread waits */
		usleep(1000);
	}
	assert_int_equal(r.result, -EINTR);

	start_reader(&r);
	pthread_mutex_lock(&rig.s->lock);
	hyperv_remove(rig.s);
	pthread_mutex_unlock(&rig.s->lock);
	pthread_join(r.thread, NULL);
	assert_int_equal(r.result, -EBADF);
	assert_int_equal(rig_poll(&rig) & (POLLERR | POLLHUP), POLLERR | POLLHUP);
	assert_int_equal(rig_write_registration(&rig), -EBADF);
	assert_int_equal(standin_open(rig.s->kind->path, O_RDWR), -1);
	assert_int_equal(errno, EBADF);
	/* When it has been closed, the device can come back. */
	standin_close(rig.daemon);
	rig_open(&rig);
	rig_register(&rig);
	rig_stop(&rig);
}

/* ---- KVP's requests ---- */

static struct hv_kvp_msg taken;

/* What the daemon gets of a host's message. */
static void pass(const void *body, size_t size)
{
	rig_ask(&rig, body, size);
	memset(&taken, '!', sizeof(taken));
	assert_int_equal(rig_read(&rig, &taken, sizeof(taken)), sizeof(taken));
}

static int64_t reply(const struct hv_kvp_msg *m)
{
	assert_int_equal(rig_write(&rig, m, sizeof(*m)), sizeof(*m));
	return rig_answer(&rig);
}

static void put_units(uint8_t *to, const char *from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		to[2 * i] = (uint8_t)from[i % strlen(from)];
		to[2 * i + 1] = 0;
	}
}

static void test_kvp_set(void **state)
{
	struct hv_kvp_msg m = {.kvp_hdr = {.operation = KVP_OP_SET, .pool = 3}}, success = {0};
	struct hv_kvp_exchg_msg_value *in = &m.body.kvp_set.data;
	const struct hv_kvp_exchg_msg_value *out = &taken.body.kvp_set.data;

	rig_start(&rig, &hyperv_kvp, "hyperv timeouts=1000");
	rig_register(&rig);
	put_units(in->key, "Key", 3);
	in->key_size = 8;
	in->value_type = REG_U32;
	in->value_u32 = 4000000000u;
	pass(&m, sizeof(m));
	assert_int_equal(taken.kvp_hdr.pool, 3);
	assert_string_equal((const char *)out->key, "Key");
	assert_int_equal(out->key_size, 4);
	assert_string_equal((const char *)out->value, "4000000000");
	assert_int_equal(out->value_size, 11);
	assert_int_equal(out->value_type, 0);
	assert_int_equal(reply(&success), HV_S_OK);

	in->value_type = REG_U64;
	in->value_u64 = UINT64_MAX;
	pass(&m, sizeof(m));
	assert_string_equal((const char *)out->value, "18446744073709551615");
	reply(&success);

	/* What Windows calls a QWORD is nothing to Linux. */
	in->value_type = HYPERV_REG_QWORD;
	pass(&m, sizeof(m));
	assert_int_equal(out->value_size, 0);
	assert_int_equal(out->value[0], 0);
	reply(&success);

	/* Texts without an end run into what follows them, and are cut. */
	put_units(in->key, "k", HV_KVP_EXCHANGE_MAX_KEY_SIZE / 2);
	put_units(in->value, "v", HV_KVP_EXCHANGE_MAX_VALUE_SIZE / 2);
	in->value_type = REG_SZ;
	in->key_size = in->value_size = INT32_MAX;
	pass(&m, sizeof(m));
	assert_int_equal(out->key_size, HV_KVP_EXCHANGE_MAX_KEY_SIZE);
	assert_int_equal(strnlen((const char *)out->key, HV_KVP_EXCHANGE_MAX_KEY_SIZE),
			 HV_KVP_EXCHANGE_MAX_KEY_SIZE - 1);
	assert_int_equal(out->value_size, HV_KVP_EXCHANGE_MAX_VALUE_SIZE / 2 + 1);
	reply(&success);

	/* Sizes are signed, and count characters. */
	in->key_size = 2;
	in->value_size = 0x80000000u;
	pass(&m, sizeof(m));
	assert_string_equal((const char *)out->key, "kk");
	assert_int_equal(out->value_size, 1);
	reply(&success);
	rig_stop(&rig);
}

static void test_kvp_replies(void **state)
{
	struct hv_kvp_msg m = {.kvp_hdr.operation = KVP_OP_ENUMERATE,
			       .body.kvp_enum_data.index = 7};
	struct hv_kvp_msg r = {0};
	const struct hv_kvp_msg *back = (const struct hv_kvp_msg *)rig.host.ic.body;
	struct hv_kvp_exchg_msg_value *in = &r.body.kvp_enum_data.data;
	const struct hv_kvp_exchg_msg_value *out = &back->body.kvp_enum_data.data;

	rig_start(&rig, &hyperv_kvp, "hyperv timeouts=1000");
	rig_register(&rig);
	pass(&m, sizeof(m));
	assert_int_equal(taken.body.kvp_enum_data.index, 7);
	strcpy((char *)in->key, "K\xc3\xa9y");
	strcpy((char *)in->value, "Value");
	assert_int_equal(reply(&r), HV_S_OK);
	assert_int_equal(out->value_type, REG_SZ);
	assert_int_equal(out->key_size, 8);
	assert_memory_equal(out->key, "K\0\xe9\0y", 5);
	assert_int_equal(out->value_size, 12);

	/* As long as can be: two units are kept free. */
	memset(in->key, 'k', sizeof(in->key) - 1);
	memset(in->value, 'v', sizeof(in->value) - 1);
	pass(&m, sizeof(m));
	assert_int_equal(reply(&r), HV_S_OK);
	assert_int_equal(out->key_size, HV_KVP_EXCHANGE_MAX_KEY_SIZE - 2);
	assert_int_equal(out->value_size, HV_KVP_EXCHANGE_MAX_VALUE_SIZE - 2);

	/* No UTF-8, then no end at all. */
	strcpy((char *)in->key, "\xff");
	pass(&m, sizeof(m));
	assert_int_equal(reply(&r), HV_E_FAIL);
	memset(&r.body, 'x', sizeof(r.body));
	pass(&m, sizeof(m));
	assert_int_equal(reply(&r), HV_S_OK);

	/* An error goes back as it is, and the rest of the packet as it came. */
	r.error = (int)HV_S_CONT;
	pass(&m, sizeof(m));
	assert_int_equal(reply(&r), HV_S_CONT);
	assert_int_equal(back->body.kvp_enum_data.index, 7);

	/* GET looks for the value where ENUMERATE has it. */
	r = (struct hv_kvp_msg){0};
	m.kvp_hdr.operation = KVP_OP_GET;
	strcpy((char *)r.body.kvp_get.data.value, "TestValue");
	pass(&m, sizeof(m));
	assert_int_equal(reply(&r), HV_S_OK);
	assert_memory_equal(back->body.kvp_get.data.value, "V\0a\0l\0u\0e\0", 12);
	rig_stop(&rig);
}

/* The host's message has the addresses two bytes earlier than the daemon's. */
static void test_kvp_addresses(void **state)
{
	struct hv_kvp_ip_msg m = {.operation = KVP_OP_GET_IP_INFO,
				  .kvp_ip_val = {.addr_family = ADDR_FAMILY_IPV6,
						 .dhcp_enabled = 1,
						 .adapter_id = {'A', 'B'},
						 .ip_addr = {'1'}}};
	struct hv_kvp_msg r = {0};
	const struct hv_kvp_ip_msg *back = (const struct hv_kvp_ip_msg *)rig.host.ic.body;

	rig_start(&rig, &hyperv_kvp, "hyperv timeouts=1000");
	rig_register(&rig);
	pass(&m, sizeof(m));
	assert_string_equal((const char *)taken.body.kvp_ip_val.adapter_id, "AB");
	assert_int_equal(taken.body.kvp_ip_val.addr_family, ADDR_FAMILY_IPV6);
	assert_int_equal(taken.body.kvp_ip_val.dhcp_enabled, 0);
	assert_int_equal(taken.body.kvp_ip_val.ip_addr[0], 0);
	strcpy((char *)r.body.kvp_ip_val.ip_addr, "10.0.0.1;");
	r.body.kvp_ip_val.dhcp_enabled = 1;
	assert_int_equal(reply(&r), HV_S_OK);
	assert_memory_equal(back->kvp_ip_val.ip_addr,
			    "1\0"
			    "0\0.\0",
			    6);
	assert_int_equal(back->kvp_ip_val.dhcp_enabled, 1);

	m.operation = KVP_OP_SET_IP_INFO;
	pass(&m, sizeof(m));
	assert_string_equal((const char *)taken.body.kvp_ip_val.ip_addr, "1");
	assert_int_equal(taken.body.kvp_ip_val.dhcp_enabled, 1);
	r.error = 0;
	assert_int_equal(reply(&r), HV_S_OK);
	rig_stop(&rig);
}

/* ---- the other services ---- */

static void test_vss_without_daemon(void **state)
{
	const struct hv_vss_msg info = {.vss_hdr.operation = VSS_OP_GET_DM_INFO,
					.dm_info.flags = 0xffffffff};
	const struct hv_vss_msg freeze = {.vss_hdr.operation = VSS_OP_FREEZE};
	const struct hv_vss_msg *back = (const struct hv_vss_msg *)rig.host.ic.body;

	rig_start(&rig, &hyperv_vss, "hyperv timeouts=1000");
	rig_ask(&rig, &info, sizeof(info));
	assert_int_equal(rig_answer(&rig), HV_S_OK);
	assert_int_equal(back->dm_info.flags, 0);
	/* That has made it look ready; what follows is left for whoever reads. */
	assert_int_equal(rig_state(&rig), HYPERV_READY);
	rig_ask(&rig, &freeze, sizeof(freeze));
	assert_int_equal(rig_state(&rig), HYPERV_ASKED);
	assert_int_equal(rig_poll(&rig), POLLIN);
	rig_stop(&rig);
}

/* The flag of HOT_BACKUP is in a byte of the reply that a status has, too. */
static void test_vss_hot_backup(void **state)
{
	const struct hv_vss_msg ask = {.vss_hdr.operation = VSS_OP_HOT_BACKUP};
	const struct hv_vss_msg *back = (const struct hv_vss_msg *)rig.host.ic.body;
	struct hv_vss_msg r = {.vss_hdr.operation = VSS_OP_HOT_BACKUP};

	rig_start(&rig, &hyperv_vss, "hyperv timeouts=1000");
	rig_register(&rig);
	rig_ask(&rig, &ask, sizeof(ask));
	assert_int_equal(rig_write(&rig, &r, sizeof(r)), sizeof(r));
	assert_int_equal(rig_answer(&rig), VSS_OP_HOT_BACKUP);
	assert_int_equal(back->vss_cf.flags, VSS_HBU_NO_AUTO_RECOVERY);
	rig_stop(&rig);
}

static void test_suspend(void **state)
{
	const struct hv_fcopy_hdr complete = {.operation = COMPLETE_FCOPY};
	struct hv_fcopy_hdr got;
	struct hyperv_host other;
	struct hv_vss_msg m;
	uint32_t zero = 0;

	/* A daemon in a transaction: a CANCEL, and its reply is refused. */
	rig_start(&rig, &hyperv_fcopy, "hyperv timeouts=1000");
	rig_register(&rig);
	rig_ask(&rig, &complete, sizeof(complete));
	assert_true(rig_read(&rig, &m, sizeof(m)) < 0); /* too short: it stays */
	pthread_mutex_lock(&rig.s->lock);
	hyperv_suspend(rig.s);
	pthread_mutex_unlock(&rig.s->lock);
	assert_int_equal(rig_answer(&rig), -EPIPE);
	assert_int_equal(rig_write(&rig, &zero, sizeof(zero)), -EINVAL);
	/* It closes the file and registers again; then the machine wakes. */
	standin_close(rig.daemon);
	rig_open(&rig);
	rig_register(&rig);
	pthread_mutex_lock(&rig.s->lock);
	hyperv_resume(rig.s);
	pthread_mutex_unlock(&rig.s->lock);
	rig_connect(&rig, &other);
	hyperv_host_close(&other);
	rig_stop(&rig);

	/* One that has nothing to read hears of it. */
	rig_start(&rig, &hyperv_vss, "hyperv timeouts=1000");
	rig_register(&rig);
	pthread_mutex_lock(&rig.s->lock);
	hyperv_suspend(rig.s);
	pthread_mutex_unlock(&rig.s->lock);
	assert_int_equal(rig_read(&rig, &m, sizeof(m)), sizeof(m));
	assert_int_equal(m.vss_hdr.operation, VSS_OP_THAW);
	rig_stop(&rig);
	rig_start(&rig, &hyperv_fcopy, "hyperv timeouts=1000");
	rig_register(&rig);
	pthread_mutex_lock(&rig.s->lock);
	hyperv_suspend(rig.s);
	pthread_mutex_unlock(&rig.s->lock);
	assert_int_equal(rig_read(&rig, &got, sizeof(got)), sizeof(got));
	assert_int_equal(got.operation, CANCEL_FCOPY);
	rig_stop(&rig);
}

static void test_fcopy_messages(void **state)
{
	struct hv_start_fcopy start = {.hdr.operation = START_FILE_COPY,
				       .copy_flags = CREATE_PATH,
				       .file_size = 1ull << 40};
	struct hv_do_fcopy data = {.hdr.operation = WRITE_TO_FILE, .size = 65536};
	const struct hv_fcopy_hdr complete = {.operation = COMPLETE_FCOPY};
	struct hv_start_fcopy got_start;
	struct hv_do_fcopy got_data;
	uint8_t got[256];
	uint32_t ok = 0;

	rig_start(&rig, &hyperv_fcopy, "hyperv timeouts=1000");
	rig_register(&rig);
	for (size_t i = 0; i < W_MAX_PATH; i++)
		start.path_name[i] = 0xe9; /* two bytes each */
	start.file_name[0] = 0x65e5;
	rig_ask(&rig, &start, sizeof(start));
	assert_int_equal(rig_read(&rig, &got_start, sizeof(got_start)), sizeof(got_start));
	assert_string_equal((const char *)got_start.file_name, "\xe6\x97\xa5");
	assert_int_equal(strlen((const char *)got_start.path_name), W_MAX_PATH - 2);
	assert_int_equal(got_start.file_size, start.file_size);
	assert_int_equal(rig_write(&rig, &ok, sizeof(ok)), sizeof(ok));
	assert_int_equal(rig_answer(&rig), HV_S_OK);

	/* Sizes are the daemon's to check, and the message is whole whatever came. */
	rig_ask(&rig, &data, offsetof(struct hv_do_fcopy, data));
	assert_int_equal(rig_read(&rig, &got_data, sizeof(got_data)), sizeof(got_data));
	assert_int_equal(got_data.size, 65536);
	assert_int_equal(rig_write(&rig, &ok, sizeof(ok)), sizeof(ok));
	assert_int_equal(rig_answer(&rig), HV_S_OK);

	/* As long as the packet with its headers. */
	rig_ask(&rig, &complete, sizeof(complete));
	assert_int_equal(rig_read(&rig, got, sizeof(got)), HYPERV_IC_SIZE + sizeof(complete));
	rig_stop(&rig);
}

/* ---- the channel ---- */

static void test_time_out(void **state)
{
	const struct hv_vss_msg freeze = {.vss_hdr.operation = VSS_OP_FREEZE};
	const struct hv_vss_msg thaw = {.vss_hdr.operation = VSS_OP_THAW};

	/* 3 ms and 90 ms; the answer comes from the thread. */
	rig_start(&rig, &hyperv_vss, "hyperv timeouts=0.0001");
	rig_register(&rig);
	assert_int_equal(hyperv_host_request(&rig.host, &thaw, sizeof(thaw)), HV_E_FAIL);
	/* The message is still there: nothing else can be said. */
	assert_int_equal(hyperv_host_request(&rig.host, &freeze, sizeof(freeze)), HV_E_FAIL);
	assert_int_equal(rig_poll(&rig), POLLIN);
	rig_stop(&rig);
}

static void test_two_hosts(void **state)
{
	struct hv_kvp_msg m = {.kvp_hdr.operation = KVP_OP_ENUMERATE}, success = {0};
	struct hyperv_host other;

	rig_start(&rig, &hyperv_kvp, "hyperv timeouts=1000");
	rig_register(&rig);
	rig_connect(&rig, &other);
	pass(&m, sizeof(m));
	m.body.kvp_enum_data.index = 1;
	hyperv_host_begin(&other, HYPERV_IC_KVP, sizeof(m));
	memcpy(other.ic.body, &m, sizeof(m));
	assert_int_equal(hyperv_host_send(&other), 0);
	rig_settle(&rig);
	assert_int_equal(rig_poll(&rig), 0); /* one after the other */
	assert_int_equal(reply(&success), HV_S_OK);
	assert_int_equal(rig_read(&rig, &taken, sizeof(taken)), sizeof(taken));
	assert_int_equal(taken.body.kvp_enum_data.index, 1);

	/* A host that has gone: the reply goes nowhere. */
	hyperv_host_close(&other);
	assert_int_equal(rig_write(&rig, &success, sizeof(success)), sizeof(success));
	m.body.kvp_enum_data.index = 2;
	pass(&m, sizeof(m));
	assert_int_equal(taken.body.kvp_enum_data.index, 2);
	rig_stop(&rig);
}

static void send_packet(size_t size)
{
	rig.host.packet_size = size;
	assert_int_equal(hyperv_host_send(&rig.host), 0);
	rig_settle(&rig);
}

static void test_bad_packets(void **state)
{
	const struct hv_kvp_msg m = {.kvp_hdr.operation = KVP_OP_ENUMERATE};
	struct hyperv_frame bad = {.size = HYPERV_PACKET_MAX + 1};
	struct hyperv_host other;

	rig_start(&rig, &hyperv_kvp, "hyperv timeouts=1000");
	rig_register(&rig);
	memset(rig.host.packet, 0xff, sizeof(rig.host.packet));
	send_packet(1); /* no room for the headers */
	send_packet(HYPERV_IC_SIZE - 1);
	send_packet(HYPERV_IC_SIZE); /* of no type that is known */
	send_packet(HYPERV_PACKET_MAX);
	assert_int_equal(rig_state(&rig), HYPERV_READY);
	assert_int_equal(rig_answer(&rig), -1);
	/* A request whose body is missing: what is not there is zeros. */
	hyperv_host_begin(&rig.host, HYPERV_IC_KVP, 0);
	send_packet(HYPERV_IC_SIZE);
	assert_int_equal(rig_read(&rig, &taken, sizeof(taken)), sizeof(taken));
	assert_int_equal(taken.kvp_hdr.operation, KVP_OP_GET);
	assert_int_equal(reply(&m), KVP_OP_ENUMERATE);

	/* What no ring could hold ends the channel, and the others stay. */
	rig_connect(&rig, &other);
	memcpy(other.rings->requests.data, &bad, sizeof(bad));
	other.rings->requests.written = HYPERV_QUEUE_SIZE;
	rig_settle(&rig);
	assert_int_equal(hyperv_host_receive(&other), -EPIPE);
	pass(&m, sizeof(m));
	rig_stop(&rig);
}

static void test_negotiation(void **state)
{
	static const struct {
		uint16_t n_frameworks, n_versions;
		struct hyperv_version version[6];
		uint16_t found;
		struct hyperv_version framework, chosen;
	} rows[] = {
		{1, 1, {{3, 0}, {4, 0}}, 1, {3, 0}, {4, 0}},
		{2, 3, {{1, 0}, {3, 0}, {3, 0}, {4, 0}, {5, 0}}, 1, {3, 0}, {4, 0}},
		{1, 2, {{1, 0}, {1, 0}, {3, 0}}, 1, {1, 0}, {3, 0}},
		{1, 1, {{3, 0}, {5, 0}}, 0, {3, 0}, {1, 0}},
		{1, 1, {{2, 0}, {4, 0}}, 0, {1, 0}, {1, 0}},
		{0, 0, {{0, 0}}, 0, {0, 0}, {0, 0}},
		{101, 1, {{3, 0}, {4, 0}}, 0, {101, 0}, {1, 0}},
		{2, 6, {{3, 0}, {4, 0}}, 0, {2, 0}, {6, 0}}, /* more than there are */
	};
	struct hyperv_negotiation *n = (struct hyperv_negotiation *)rig.host.ic.body;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rig_start(&rig, &hyperv_kvp, "hyperv timeouts=1000");
		rig_register(&rig);
		hyperv_host_begin(&rig.host, HYPERV_IC_NEGOTIATE,
				  sizeof(*n) + sizeof(rows[i].version));
		n->n_frameworks = rows[i].n_frameworks;
		n->n_versions = rows[i].n_versions;
		memcpy(n->version, rows[i].version, sizeof(rows[i].version));
		assert_int_equal(hyperv_host_send(&rig.host), 0);
		rig_settle(&rig);
		assert_int_equal(rig_answer(&rig), HV_S_OK);
		assert_int_equal(rig.host.ic.ic.size, 16);
		assert_int_equal(rig.host.ic.ic.flags, HYPERV_IC_TRANSACTION | HYPERV_IC_RESPONSE);
		assert_int_equal(n->n_frameworks, rows[i].found);
		assert_int_equal(n->n_versions, rows[i].found);
		assert_memory_equal(&n->version[0], &rows[i].framework, sizeof(n->version[0]));
		assert_memory_equal(&n->version[1], &rows[i].chosen, sizeof(n->version[1]));
		rig_stop(&rig);
	}
}

/*
 * KVP's host may be there before a daemon.  It waits, and what the kernel does after 55 seconds
 * (here 5 ms) makes no difference.
 */
static void test_early_host(void **state)
{
	struct hyperv_negotiation *n = (struct hyperv_negotiation *)rig.host.ic.body;

	rig_start(&rig, &hyperv_kvp, "hyperv timeouts=0.0001");
	hyperv_host_begin(&rig.host, HYPERV_IC_NEGOTIATE, sizeof(*n) + 2 * sizeof(n->version[0]));
	n->n_frameworks = n->n_versions = 1;
	n->version[0] = (struct hyperv_version){3, 0};
	n->version[1] = (struct hyperv_version){4, 0};
	assert_int_equal(hyperv_host_send(&rig.host), 0);
	rig_settle(&rig);
	usleep(50000);
	assert_int_equal(rig_answer(&rig), -1);
	assert_int_equal(rig_state(&rig), HYPERV_INIT);
	rig_register(&rig);
	assert_int_equal(rig_answer(&rig), HV_S_OK);
	assert_int_equal(n->n_versions, 1);
	rig_stop(&rig);
}

/* The library's words for it: what a host and a guest agree on, and what they can't. */
static void test_host_open(void **state)
{
	struct hyperv_host host;

	rig_start(&rig, &hyperv_fcopy, "hyperv timeouts=1000");
	assert_int_equal(hyperv_host_open(&host, rig_channel(&rig), HYPERV_IC_FCOPY, 20000), 0);
	assert_int_equal(host.version.major, 1);
	assert_int_equal(host.version.minor, 1);
	hyperv_host_close(&host);
	assert_int_equal(hyperv_host_open(&host, rig_channel(&rig), HYPERV_IC_KVP, 20000),
			 -EPROTONOSUPPORT);
	assert_int_equal(host.fd, -1);
	rig_stop(&rig);
}

/* What a host can't put into a message is not sent. */
static void test_host_limits(void **state)
{
	char key[600], value[4000];

	rig_start(&rig, &hyperv_kvp, "hyperv timeouts=1000");
	memset(key, 'k', sizeof(key));
	memset(value, 'v', sizeof(value));
	key[256] = value[1024] = '\0';
	assert_int_equal(hyperv_kvp_set(&rig.host, 0, key, REG_SZ, "v"), -EINVAL);
	assert_int_equal(hyperv_kvp_set(&rig.host, 0, "k", REG_SZ, value), -EINVAL);
	assert_int_equal(hyperv_kvp_set(&rig.host, 0, "\xff", REG_SZ, "v"), -EINVAL);
	assert_int_equal(hyperv_kvp_set(&rig.host, 0, "k", REG_U32, "4294967296"), -EINVAL);
	assert_int_equal(hyperv_kvp_set(&rig.host, 0, "k", REG_U32, "-1"), -EINVAL);
	assert_int_equal(hyperv_kvp_delete(&rig.host, 0, key), -EINVAL);
	rig_stop(&rig);
}

/* ---- the rings of a uio device ---- */

static struct hyperv_ring *uio_ring(uint8_t *rings, unsigned index)
{
	return (struct hyperv_ring *)(rings + index * HYPERV_UIO_RING_SIZE);
}

#define UIO_DATA (HYPERV_UIO_RING_SIZE - 4096u)

static void ring_copy(struct hyperv_ring *r, uint32_t at, uint8_t *to, const uint8_t *from,
		      size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t *place = &r->data[(at + i) % UIO_DATA];

		if (to)
			to[i] = *place;
		else
			*place = from[i];
	}
}

/* As a daemon does: takes what is there, and answers it with a status. */
static void uio_answer(uint8_t *rings, uint32_t status)
{
	struct hyperv_ring *in = uio_ring(rings, 1), *out = uio_ring(rings, 0);
	uint8_t packet[8192];
	struct hyperv_packet *head = (struct hyperv_packet *)packet;
	struct hyperv_ic *ic = (struct hyperv_ic *)(packet + sizeof(*head));
	uint32_t size;

	ring_copy(in, in->read_index, packet, NULL, sizeof(*head));
	size = head->size * 8u;
	assert_int_equal(head->type, HYPERV_PACKET_INBAND);
	assert_int_equal(head->header_size, 2);
	assert_true(size < sizeof(packet));
	ring_copy(in, in->read_index, packet, NULL, size);
	in->read_index = (in->read_index + size + HYPERV_PACKET_TRAILER) % UIO_DATA;
	assert_int_equal(in->read_index, in->write_index);
	ic->ic.status = status;
	head->transaction = UINT64_MAX; /* daemons don't keep it */
	ring_copy(out, out->write_index, NULL, packet, size);
	out->write_index = (out->write_index + size + HYPERV_PACKET_TRAILER) % UIO_DATA;
}

static void test_uio(void **state)
{
	const struct hv_do_fcopy m = {.hdr.operation = WRITE_TO_FILE, .size = 1};
	int32_t events, on = 1, off = 0;
	uint8_t *rings;

	rig_start(&rig, &hyperv_uio, "hyperv timeouts=1000,uio=on");
	assert_int_equal(standin_open(HYPERV_FCOPY_PATH, O_RDWR), -1);
	assert_int_equal(fcntl(rig.daemon, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(rig_read(&rig, &events, 4), -EAGAIN);
	assert_int_equal(rig_read(&rig, &events, 8), -EINVAL);
	assert_int_equal(rig_write(&rig, &on, 3), -EINVAL);
	assert_true(standin_mmap(NULL, 3 * HYPERV_UIO_RING_SIZE, PROT_READ, MAP_SHARED, rig.daemon,
				 0) == MAP_FAILED);
	rings = standin_mmap(NULL, 2 * HYPERV_UIO_RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			     rig.daemon, 0);
	assert_true(rings != MAP_FAILED);

	/* Around the end of both rings, a few times. */
	for (int i = 1; i <= 20; i++) {
		rig_ask(&rig, &m, sizeof(m));
		assert_int_equal(rig_poll(&rig), POLLIN);
		assert_int_equal(rig_read(&rig, &events, 4), 4);
		assert_int_equal(events, i);
		assert_int_equal(rig_poll(&rig), 0);
		uio_answer(rings, HV_ERROR_DISK_FULL);
		assert_int_equal(rig_write(&rig, &on, 4), 4);
		assert_int_equal(rig_answer(&rig), HV_ERROR_DISK_FULL);
	}

	/* One that wants no calls hears of it when it wants them again. */
	assert_int_equal(rig_write(&rig, &off, 4), 4);
	rig_ask(&rig, &m, sizeof(m));
	assert_int_equal(rig_poll(&rig), 0);
	assert_int_equal(rig_write(&rig, &on, 4), 4);
	assert_int_equal(rig_poll(&rig), POLLIN);

	/* Indices and sizes that make no sense are no answer, and no harm. */
	uio_ring(rings, 0)->write_index = 0xfffffff0;
	assert_int_equal(rig_write(&rig, &on, 4), 4);
	uio_ring(rings, 0)->write_index = (uio_ring(rings, 0)->read_index + 64) % UIO_DATA;
	memset(uio_ring(rings, 0)->data, 0xff, UIO_DATA);
	assert_int_equal(rig_write(&rig, &on, 4), 4);
	assert_int_equal(rig_answer(&rig), -1);
	/* The end of the daemon is the answer. */
	standin_close(rig.daemon);
	rig.daemon = -1;
	assert_int_equal(rig_answer(&rig), HV_E_FAIL);
	munmap(rings, 2 * HYPERV_UIO_RING_SIZE);
	rig_stop(&rig);
}

static void test_options(void **state)
{
	static const char *const bad[] = {"hyperv timeouts=0", "hyperv timeouts=x",
					  "hyperv timeouts=-1", "hyperv what=on", "hyperv on"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(standin_start(bad[i]), -1);
	/* Without it there are no such devices. */
	assert_int_equal(standin_start(""), 0);
	assert_int_equal(standin_open(HYPERV_KVP_PATH, O_RDWR), -1);
	assert_int_equal(errno, ENOENT);
	standin_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_utf16),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_read_rules),
		cmocka_unit_test(test_write_rules),
		cmocka_unit_test(test_old_daemons),
		cmocka_unit_test(test_blocking_read),
		cmocka_unit_test(test_kvp_set),
		cmocka_unit_test(test_kvp_replies),
		cmocka_unit_test(test_kvp_addresses),
		cmocka_unit_test(test_vss_without_daemon),
		cmocka_unit_test(test_vss_hot_backup),
		cmocka_unit_test(test_suspend),
		cmocka_unit_test(test_fcopy_messages),
		cmocka_unit_test(test_time_out),
		cmocka_unit_test(test_two_hosts),
		cmocka_unit_test(test_bad_packets),
		cmocka_unit_test(test_early_host),
		cmocka_unit_test(test_negotiation),
		cmocka_unit_test(test_host_open),
		cmocka_unit_test(test_host_limits),
		cmocka_unit_test(test_uio),
		cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
