/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/kvp.h and what it uses: requests as the kernel passes them on, and as a hostile host
 * would have them.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/ipinfo.h"
#include "agent/kvp.h"
#include "agent/log.h"
#include "agent/utf.h"
#include "agent_rig.h"

struct room {
	char path[64];
	struct agent_options options;
	struct kvp kvp;
	struct hv_kvp_msg m;
};

static int setup(void **state)
{
	struct room *r = calloc(1, sizeof(*r));

	agent_make_directory(r->path);
	r->options = agent_defaults;
	r->options.directory = r->options.scripts = r->path;
	assert_int_equal(kvp_init(&r->kvp, &r->options), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct room *r = *state;

	kvp_finish(&r->kvp);
	agent_remove_directory(r->path);
	free(r);
	return 0;
}

static uint32_t ask(struct room *r)
{
	assert_true(kvp_answer(&r->kvp, &r->m));
	return (uint32_t)r->m.error;
}

static uint32_t set(struct room *r, uint8_t pool, const char *key, const char *value)
{
	agent_kvp_set(&r->m, pool, key, value);
	return ask(r);
}

/* Where the kernel looks for the answer of a GET, too. */
static const char *value_of(const struct room *r)
{
	return (const char *)r->m.body.kvp_enum_data.data.value;
}

static uint32_t get(struct room *r, uint8_t pool, const char *key)
{
	agent_kvp_get(&r->m, pool, key);
	return ask(r);
}

static uint32_t enumerate(struct room *r, uint8_t pool, uint32_t index)
{
	agent_kvp_enumerate(&r->m, pool, index);
	return ask(r);
}

static void test_pools(void **state)
{
	struct room *r = *state;

	for (uint8_t pool = 0; pool < KVP_POOL_COUNT; pool++) {
		assert_int_equal(get(r, pool, "a"), HV_S_CONT);
		assert_int_equal(set(r, pool, "a", "1"), HV_S_OK);
		assert_int_equal(set(r, pool, "b", "2"), HV_S_OK);
		assert_int_equal(set(r, pool, "a", "3"), HV_S_OK);
		assert_int_equal(get(r, pool, "a"), HV_S_OK);
		assert_string_equal(value_of(r), "3");
		if (pool != KVP_POOL_AUTO) {
			assert_int_equal(enumerate(r, pool, 1), HV_S_OK);
			assert_string_equal((char *)r->m.body.kvp_enum_data.data.key, "b");
			assert_string_equal(value_of(r), "2");
			assert_int_equal(enumerate(r, pool, 2), HV_S_CONT);
		}
		agent_kvp_delete(&r->m, pool, "a");
		assert_int_equal(ask(r), HV_S_OK);
		agent_kvp_delete(&r->m, pool, "a");
		assert_int_equal(ask(r), HV_S_CONT);
		assert_int_equal(get(r, pool, "b"), HV_S_OK);
	}
}

/* The longest, and characters of several bytes. */
static void test_sizes(void **state)
{
	struct room *r = *state;
	char key[512], value[2048];

	memset(key, 'k', 511);
	memset(value, 'v', 2047);
	key[511] = value[2047] = '\0';
	assert_int_equal(set(r, 0, key, value), HV_S_OK);
	assert_int_equal(get(r, 0, key), HV_S_OK);
	assert_string_equal(value_of(r), value);
	assert_int_equal(enumerate(r, 0, 0), HV_S_OK);
	assert_int_equal(r->m.body.kvp_enum_data.data.key_size, 512);
	assert_int_equal(r->m.body.kvp_enum_data.data.value_size, 2048);
	assert_int_equal(set(r, 0, "Größe 日本 \xf0\x9f\x98\x80", "été"), HV_S_OK);
	assert_int_equal(get(r, 0, "Größe 日本 \xf0\x9f\x98\x80"), HV_S_OK);
	assert_string_equal(value_of(r), "été");
	assert_int_equal(set(r, 0, "empty", ""), HV_S_OK);
	assert_int_equal(get(r, 0, "empty"), HV_S_OK);
	assert_string_equal(value_of(r), "");
}

static uint32_t set_number(struct room *r, uint32_t type, uint64_t value, uint32_t size)
{
	agent_kvp_set(&r->m, 0, "number", "");
	r->m.body.kvp_set.data.value_type = type;
	r->m.body.kvp_set.data.value_size = size;
	memcpy(r->m.body.kvp_set.data.value, &value, sizeof(value));
	return ask(r);
}

static void test_types(void **state)
{
	struct room *r = *state;

	assert_int_equal(set_number(r, REG_U32, 0xfffffffe, 4), HV_S_OK);
	assert_int_equal(get(r, 0, "number"), HV_S_OK);
	assert_string_equal(value_of(r), "4294967294");
	assert_int_equal(set_number(r, REG_U64, UINT64_MAX, 8), HV_S_OK);
	assert_int_equal(get(r, 0, "number"), HV_S_OK);
	assert_string_equal(value_of(r), "18446744073709551615");
	assert_int_equal(set_number(r, HYPERV_REG_QWORD, 11, 8), HV_S_OK);
	assert_int_equal(get(r, 0, "number"), HV_S_OK);
	assert_string_equal(value_of(r), "11");
	agent_kvp_set(&r->m, 0, "text", "%PATH%");
	r->m.body.kvp_set.data.value_type = HYPERV_REG_EXPAND_SZ;
	assert_int_equal(ask(r), HV_S_OK);
	assert_int_equal(get(r, 0, "text"), HV_S_OK);
	assert_string_equal(value_of(r), "%PATH%");
	/* Too short, unknown, and what is left of a type that the kernel does not know. */
	assert_int_equal(set_number(r, REG_U32, 1, 3), HV_INVALIDARG);
	assert_int_equal(set_number(r, REG_U64, 1, 4), HV_INVALIDARG);
	assert_int_equal(set_number(r, 3, 1, 4), HV_ERROR_NOT_SUPPORTED);
	assert_int_equal(set_number(r, 0, 0, 0), HV_ERROR_NOT_SUPPORTED);
	assert_int_equal(get(r, 0, "number"), HV_S_OK);
	assert_string_equal(value_of(r), "11");
}

static void test_auto(void **state)
{
	static const char *const keys[] = {
		"FullyQualifiedDomainName",
		"IntegrationServicesVersion",
		"NetworkAddressIPv4",
		"NetworkAddressIPv6",
		"OSBuildNumber",
		"OSName",
		"OSMajorVersion",
		"OSMinorVersion",
		"OSVersion",
		"ProcessorArchitecture",
	};
	struct room *r = *state;

	strcpy((char *)r->m.body.kvp_register.version, "3.1");
	kvp_registered(&r->kvp, &r->m);
	for (uint32_t i = 0; i < 10; i++) {
		assert_int_equal(enumerate(r, KVP_POOL_AUTO, i), HV_S_OK);
		assert_string_equal((char *)r->m.body.kvp_enum_data.data.key, keys[i]);
	}
	assert_int_equal(enumerate(r, KVP_POOL_AUTO, 10), HV_S_CONT);
	assert_int_equal(get(r, KVP_POOL_AUTO, "IntegrationServicesVersion"), HV_S_OK);
	assert_string_equal(value_of(r), "3.1");
	assert_int_equal(get(r, KVP_POOL_AUTO, "FullyQualifiedDomainName"), HV_S_OK);
	assert_true(strlen(value_of(r)) > 0);
}

static void test_assignment(void **state)
{
	char value[16];

	assert_true(auto_assignment("NAME=\"Debian GNU/Linux\"\n", "NAME", value, sizeof(value)));
	assert_string_equal(value, "Debian GNU/Linu");
	assert_true(auto_assignment("NAME='a\\'b'", "NAME", value, sizeof(value)));
	assert_string_equal(value, "a'b");
	assert_true(auto_assignment("NAME=a\\", "NAME", value, sizeof(value)));
	assert_string_equal(value, "a");
	assert_false(auto_assignment("NAMES=x", "NAME", value, sizeof(value)));
	assert_false(auto_assignment("#NAME=x", "NAME", value, sizeof(value)));
}

/* What ends or crashes the kernel's daemons, and more of the kind. */
static void test_hostile(void **state)
{
	static const uint32_t indices[] = {0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
	struct hv_kvp_exchg_msg_value *v;
	struct room *r = *state;

	v = (struct hv_kvp_exchg_msg_value *)((char *)&r->m + 4);
	assert_int_equal(set(r, 0, "first", "1"), HV_S_OK);
	for (unsigned operation = 0; operation < 256; operation++) {
		if (operation == KVP_OP_SET_IP_INFO)
			continue;
		for (unsigned pool = KVP_POOL_COUNT; pool < 256; pool += 7) {
			agent_kvp_get(&r->m, (uint8_t)pool, "first");
			r->m.kvp_hdr.operation = (uint8_t)operation;
			assert_int_not_equal(ask(r), HV_S_OK);
		}
	}
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(enumerate(r, 0, indices[i]), HV_S_CONT);
		assert_int_equal(enumerate(r, KVP_POOL_AUTO, indices[i]), HV_S_CONT);
	}
	/* Sizes beyond the fields, and nothing. */
	agent_kvp_set(&r->m, 0, "key", "value");
	v->key_size = 0xffffffff;
	assert_int_equal(ask(r), HV_INVALIDARG);
	agent_kvp_set(&r->m, 0, "key", "value");
	v->value_size = 2049;
	assert_int_equal(ask(r), HV_INVALIDARG);
	agent_kvp_set(&r->m, 0, "key", "value");
	v->key_size = 0;
	assert_int_equal(ask(r), HV_INVALIDARG);
	agent_kvp_delete(&r->m, 0, "first");
	r->m.body.kvp_delete.key_size = 0;
	assert_int_equal(ask(r), HV_INVALIDARG);
	r->m.kvp_hdr.operation = KVP_OP_DELETE;
	r->m.kvp_hdr.pool = 0;
	r->m.body.kvp_delete.key_size = 513;
	assert_int_equal(ask(r), HV_INVALIDARG);
	/* Fields without an end. */
	memset(&r->m, 'x', sizeof(r->m));
	r->m.kvp_hdr.operation = KVP_OP_SET;
	r->m.kvp_hdr.pool = 0;
	v->value_type = 0;
	v->key_size = 512;
	v->value_size = 2048;
	assert_int_equal(ask(r), HV_INVALIDARG);
	memset(&r->m, 'x', sizeof(r->m));
	r->m.kvp_hdr.operation = KVP_OP_DELETE;
	r->m.kvp_hdr.pool = 0;
	r->m.body.kvp_delete.key_size = 512;
	assert_int_equal(ask(r), HV_INVALIDARG);
	memset(&r->m, 'x', sizeof(r->m));
	r->m.kvp_hdr.operation = KVP_OP_GET_IP_INFO;
	assert_int_equal(ask(r), HV_E_FAIL);
	memset(&r->m, 'x', sizeof(r->m));
	r->m.kvp_hdr.operation = KVP_OP_SET_IP_INFO;
	assert_int_equal(ask(r), HV_GUID_NOTFOUND);
	/* No UTF-8. */
	assert_int_equal(set(r, 0, "\xc0\x80", "value"), HV_INVALIDARG);
	assert_int_equal(set(r, 0, "key", "\xed\xa0\x80"), HV_INVALIDARG);
	/* After all that there is what was there. */
	assert_int_equal(enumerate(r, 0, 0), HV_S_OK);
	assert_string_equal(value_of(r), "1");
	assert_int_equal(enumerate(r, 0, 1), HV_S_CONT);
}

/* A record of somebody else's does not end the host's enumeration. */
static void test_repaired(void **state)
{
	struct pool_record record = {"caf\xe9", "\xff\xff"};
	struct room *r = *state;
	int fd = openat(r->kvp.directory, ".kvp_pool_1", O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_int_equal(write(fd, &record, sizeof(record)), sizeof(record));
	memset(record.value, 0xe9, sizeof(record.value));
	assert_int_equal(write(fd, &record, sizeof(record)), sizeof(record));
	close(fd);
	assert_int_equal(enumerate(r, 1, 0), HV_S_OK);
	assert_string_equal((char *)r->m.body.kvp_enum_data.data.key, "caf\xef\xbf\xbd");
	assert_string_equal(value_of(r), "\xef\xbf\xbd\xef\xbf\xbd");
	assert_int_equal(enumerate(r, 1, 1), HV_S_OK);
	assert_true(utf8_valid(value_of(r)));
	assert_int_equal(strlen(value_of(r)), 2046);
}

static void test_utf16(void **state)
{
	static const uint16_t good[] = {'a', 0xe9, 0x65e5, 0xd83d, 0xde00, 0, 'x'};
	static const uint16_t lone[] = {'a', 0xd83d, 'b', 0}, low[] = {0xde00, 0};
	char text[16];

	assert_int_equal(utf8_encode(text, sizeof(text), good, 7), 0);
	assert_string_equal(text, "aé日\xf0\x9f\x98\x80");
	assert_int_equal(utf8_encode(text, 10, good, 7), -ENAMETOOLONG);
	assert_int_equal(utf8_encode(text, sizeof(text), lone, 4), -EILSEQ);
	assert_int_equal(utf8_encode(text, sizeof(text), low, 2), -EILSEQ);
	assert_int_equal(utf8_encode(text, sizeof(text), good, 4), -EILSEQ);
	assert_false(utf8_valid("\xf4\x90\x80\x80"));
	assert_false(utf8_valid("\xe0\x80\xaf"));
	assert_false(utf8_valid("\xf0\x9f\x98"));
	assert_true(utf8_valid("\xf4\x8f\xbf\xbf"));
}

/* No control character gets into a message, be it one of ASCII's or of those behind it. */
static void test_log(void **state)
{
	int pipe_ends[2], old = dup(STDERR_FILENO);
	char text[128];
	ssize_t n;

	assert_int_equal(pipe2(pipe_ends, O_CLOEXEC), 0);
	assert_int_equal(dup2(pipe_ends[1], STDERR_FILENO), STDERR_FILENO);
	log_line(LOG_INFO, "%s",
		 "a\x1b[2J\x7f\xc2\x9b"
		 "2J\xc2\x80\xc2\xa0\xc3\x9b");
	dup2(old, STDERR_FILENO);
	n = read(pipe_ends[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, "standin agent: a?[2J???2J??\xc2\xa0\xc3\x9b\n");
	close(old);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
}

/* ---- addresses ---- */

static void test_format(void **state)
{
	struct hv_kvp_ipaddr_value v = {0};
	char *ifcfg, *keyfile;

	strcpy((char *)v.ip_addr, "192.0.2.10; 192.0.2.11;2001:db8::1");
	strcpy((char *)v.sub_net, "255.255.255.0;255.255.0.0;/64");
	strcpy((char *)v.gate_way, "192.0.2.1;fe80::1;");
	strcpy((char *)v.dns_addr, "192.0.2.53;2001:db8::53");
	assert_int_equal(ipinfo_format(&v, "eth0", "02:AB", &ifcfg, &keyfile), HV_S_OK);
	assert_string_equal(ifcfg, "HWADDR=02:AB\nDEVICE=eth0\nBOOTPROTO=none\n"
				   "IPADDR0=192.0.2.10\nIPADDR1=192.0.2.11\n"
				   "IPV6ADDR=2001:0db8:0000:0000:0000:0000:0000:0001\n"
				   "NETMASK0=255.255.255.0\nNETMASK1=255.255.0.0\n"
				   "IPV6NETMASK=64\n"
				   "GATEWAY=192.0.2.1\n"
				   "IPV6_DEFAULTGW=fe80:0000:0000:0000:0000:0000:0000:0001\n"
				   "DNS1=192.0.2.53\n"
				   "DNS2=2001:0db8:0000:0000:0000:0000:0000:0053\n");
	assert_string_equal(keyfile,
			    "[connection]\ninterface-name=eth0\n\n[ethernet]\nmac-address=02:AB\n\n"
			    "[ipv4]\naddress1=192.0.2.10/24\naddress2=192.0.2.11/16\n"
			    "method=manual\ngateway=192.0.2.1\ndns=192.0.2.53;\n\n"
			    "[ipv6]\naddress1=2001:0db8:0000:0000:0000:0000:0000:0001/64\n"
			    "method=manual\ngateway=fe80:0000:0000:0000:0000:0000:0000:0001\n"
			    "dns=2001:0db8:0000:0000:0000:0000:0000:0053;\n");
	free(ifcfg);
	free(keyfile);
	memset(&v, 0, sizeof(v));
	v.dhcp_enabled = 1;
	assert_int_equal(ipinfo_format(&v, "eth0", "02:AB", &ifcfg, &keyfile), HV_S_OK);
	assert_string_equal(ifcfg, "HWADDR=02:AB\nDEVICE=eth0\nBOOTPROTO=dhcp\n");
	assert_string_equal(keyfile, "[connection]\ninterface-name=eth0\n\n[ethernet]\n"
				     "mac-address=02:AB\n\n[ipv4]\nmethod=auto\n\n"
				     "[ipv6]\nmethod=auto\n");
	free(ifcfg);
	free(keyfile);
}

static void test_no_addresses(void **state)
{
	static const char *const bad[] = {
		"192.0.2.10\nDNS1=evil", "$(reboot)", "192.0.2",         "1.2.3.4;x",
		"fe80::1%eth0",          "::1/64",    "1.2.3.4 5.6.7.8",
	};
	struct hv_kvp_ipaddr_value v;
	char *a, *b;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(&v, 0, sizeof(v));
		strcpy((char *)v.ip_addr, bad[i]);
		assert_int_equal(ipinfo_format(&v, "eth0", "02", &a, &b), HV_INVALIDARG);
		memset(&v, 0, sizeof(v));
		strcpy((char *)v.dns_addr, bad[i]);
		assert_int_equal(ipinfo_format(&v, "eth0", "02", &a, &b), HV_INVALIDARG);
	}
	memset(&v, 0, sizeof(v));
	strcpy((char *)v.sub_net, "255.0.255.0");
	assert_int_equal(ipinfo_format(&v, "eth0", "02", &a, &b), HV_INVALIDARG);
	strcpy((char *)v.sub_net, "/129");
	assert_int_equal(ipinfo_format(&v, "eth0", "02", &a, &b), HV_INVALIDARG);
	strcpy((char *)v.sub_net, "/4294967360");
	assert_int_equal(ipinfo_format(&v, "eth0", "02", &a, &b), HV_INVALIDARG);
	/* More than there is room for, and fields without an end. */
	memset(&v, 0, sizeof(v));
	for (unsigned i = 0; i < 100; i++)
		memcpy((char *)v.ip_addr + i * 8, "1.2.3.4;", 8);
	assert_int_equal(ipinfo_format(&v, "eth0", "02", &a, &b), HV_INVALIDARG);
	memset(&v, ' ', sizeof(v));
	assert_int_equal(ipinfo_format(&v, "eth0", "02", &a, &b), HV_S_OK);
	free(a);
	free(b);
}

/* An interface of this machine that has an address, if there is one. */
static bool find_interface(char *address, size_t size)
{
	static const char *const names[] = {"eth0", "ens3", "enp0s1", "ens5", "enp1s0"};
	char path[64];
	bool found = false;

	for (unsigned i = 0; i < 5 && !found; i++) {
		FILE *file;

		snprintf(path, sizeof(path), "/sys/class/net/%s/address", names[i]);
		file = fopen(path, "re");
		if (!file)
			continue;
		found = fgets(address, (int)size, file);
		address[strcspn(address, "\n")] = '\0';
		fclose(file);
	}
	return found;
}

static void test_get_addresses(void **state)
{
	struct room *r = *state;
	char address[64];

	memset(&r->m, 0, sizeof(r->m));
	r->m.kvp_hdr.operation = KVP_OP_GET_IP_INFO;
	strcpy((char *)r->m.body.kvp_ip_val.adapter_id, "02:00:00:00:00:77");
	assert_int_equal(ask(r), HV_E_FAIL);
	if (!find_interface(address, sizeof(address)))
		skip();
	memset(&r->m, 0, sizeof(r->m));
	r->m.kvp_hdr.operation = KVP_OP_GET_IP_INFO;
	for (unsigned i = 0; address[i]; i++)
		((char *)r->m.body.kvp_ip_val.adapter_id)[i] =
			(char)(address[i] >= 'a' ? address[i] - 32 : address[i]);
	assert_int_equal(ask(r), HV_S_OK);
	if (r->m.body.kvp_ip_val.addr_family & ADDR_FAMILY_IPV4)
		assert_non_null(strchr((char *)r->m.body.kvp_ip_val.ip_addr, '.'));
	if (r->m.body.kvp_ip_val.addr_family & ADDR_FAMILY_IPV6)
		assert_non_null(strstr((char *)r->m.body.kvp_ip_val.sub_net, "/"));
}

/* Leaves two descriptors that can be opened; for good. */
static void leave_two(void)
{
	struct rlimit limit;
	int last = -1;

	for (int i = 0; i < 32; i++)
		last = dup(STDERR_FILENO);
	if (last < 32 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		_exit(2);
	close(last);
	close(last - 1);
	limit.rlim_cur = (rlim_t)last + 1;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		_exit(2);
}

/*
 * Not told by the kernel, for want of a descriptor beyond two for /sys.  In a child, because
 * there no thread has one open for a moment.
 */
static void test_untold_addresses(void **state)
{
	struct room *r = *state;
	char address[64];
	pid_t child;
	int status;

	if (!find_interface(address, sizeof(address)))
		skip();
	memset(&r->m, 0, sizeof(r->m));
	r->m.kvp_hdr.operation = KVP_OP_GET_IP_INFO;
	strcpy((char *)r->m.body.kvp_ip_val.adapter_id, address);
	child = fork();
	if (child == 0) {
		leave_two();
		_exit(ask(r) == HV_E_FAIL ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_nameservers(void **state)
{
	struct room *r = *state;
	char path[96], text[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/resolv.conf", r->path);
	file = fopen(path, "we");
	fputs("# nameserver 1.1.1.1\nsearch x\nnameserver 192.0.2.1\nnameserver evil;x\n"
	      "nameserver 2001:db8::1\nnameserver 192.0.2.222\n",
	      file);
	fclose(file);
	ipinfo_nameservers(path, text, sizeof(text));
	assert_string_equal(text, "192.0.2.1;2001:db8::1;192.0.2.222;");
	ipinfo_nameservers(path, text, 22);
	assert_string_equal(text, "192.0.2.1;");
	ipinfo_nameservers("/nowhere", text, sizeof(text));
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pools, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_types, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auto, setup, teardown),
		cmocka_unit_test(test_assignment),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_repaired, setup, teardown),
		cmocka_unit_test(test_utf16),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_no_addresses),
		cmocka_unit_test_setup_teardown(test_get_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_untold_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nameservers, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
