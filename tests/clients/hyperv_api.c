/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program of a user's, who tests guest daemons with <standin/hyperv.h>: built against what is
 * installed and nothing else.  `hyperv-api CASE DIRECTORY` does one of the cases, with Debian's
 * daemons as the guest, and says where it fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <standin/hyperv.h>

#define PATIENCE_MS 20000

static struct standin_hyperv *host;
static pid_t run;

#define CHECK(condition)                                                              \
	do {                                                                          \
		if (!(condition)) {                                                   \
			printf("%s:%d: %s: \"%s\"\n", __FILE__, __LINE__, #condition, \
			       host ? standin_hyperv_error(host) : "");               \
			if (run > 0)                                                  \
				standin_hyperv_stop(run, PATIENCE_MS);                \
			exit(1);                                                      \
		}                                                                     \
	} while (0)

static void start(const char *options, const char *daemon)
{
	char *argv[] = {(char *)daemon, (char *)"-n", NULL};

	run = standin_hyperv_start(options, argv);
	CHECK(run > 0);
	host = standin_hyperv_create(run);
	CHECK(host);
	CHECK(strcmp(standin_hyperv_error(host), "") == 0);
}

static void stop(void)
{
	int status = standin_hyperv_stop(run, PATIENCE_MS);

	CHECK(status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGTERM);
	run = 0;
	/* Nobody is there any more. */
	standin_hyperv_set_timeouts(host, 0, PATIENCE_MS);
	CHECK(standin_hyperv_open(host, STANDIN_HYPERV_KVP) == -ESRCH);
	CHECK(strstr(standin_hyperv_error(host), "nothing runs"));
	standin_hyperv_destroy(host);
	host = NULL;
}

/* The process that has the device of the service open, and its state. */
static struct standin_hyperv_status status_of(enum standin_hyperv_service service)
{
	struct standin_hyperv_status list[STANDIN_HYPERV_SERVICES] = {0};
	int n = standin_hyperv_status(host, list, STANDIN_HYPERV_SERVICES);

	CHECK(n >= 0 && n <= STANDIN_HYPERV_SERVICES);
	for (int i = 0; i < n; i++)
		if (list[i].service == service)
			return list[i];
	return (struct standin_hyperv_status){0};
}

/* ---- key-value pairs ---- */

static void pairs(const char *directory)
{
	static struct standin_hyperv_pair pair;
	char value[2048];
	unsigned pools[] = {KVP_POOL_EXTERNAL, KVP_POOL_GUEST, KVP_POOL_AUTO_EXTERNAL,
			    KVP_POOL_AUTO_INTERNAL};
	struct standin_hyperv_version framework, version;

	start(NULL, "/usr/sbin/hv_kvp_daemon");
	for (size_t i = 0; i < sizeof(pools) / sizeof(pools[0]); i++) {
		CHECK(standin_hyperv_kvp_set(host, pools[i], "name", REG_SZ, "value-é") == HV_S_OK);
		CHECK(standin_hyperv_kvp_get(host, pools[i], "name", &pair) == HV_S_OK);
		CHECK(strcmp(pair.value, "value-é") == 0);
	}
	CHECK(standin_hyperv_versions(host, STANDIN_HYPERV_KVP, &framework, &version) == 0);
	CHECK(framework.major == 3 && version.major == 4);
	CHECK(standin_hyperv_kvp_set(host, 0, "number", REG_U32, "4294967295") == HV_S_OK);
	CHECK(standin_hyperv_kvp_enumerate(host, 0, 1, &pair) == HV_S_OK);
	CHECK(strcmp(pair.key, "number") == 0 && strcmp(pair.value, "4294967295") == 0);
	CHECK(standin_hyperv_kvp_enumerate(host, 0, 2, &pair) == HV_S_CONT);
	CHECK(standin_hyperv_kvp_delete(host, 0, "name") == HV_S_OK);
	CHECK(standin_hyperv_kvp_delete(host, 0, "name") == HV_S_CONT);
	CHECK(strcmp(standin_hyperv_error(host), "there is no such item") == 0);
	CHECK(standin_hyperv_kvp_get(host, 0, "name", &pair) == HV_S_CONT);
	CHECK(standin_hyperv_kvp_get(host, KVP_POOL_AUTO, "IntegrationServicesVersion", &pair) ==
	      HV_S_OK);
	CHECK(strcmp(pair.value, "3.1") == 0 && strcmp(standin_hyperv_error(host), "") == 0);

	/* What no request can have in it. */
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	CHECK(standin_hyperv_kvp_set(host, 0, "long", REG_SZ, value) == -EINVAL);
	CHECK(standin_hyperv_kvp_set(host, 0, "\xff", REG_SZ, "") == -EINVAL);
	CHECK(standin_hyperv_kvp_set(host, 0, "number", REG_U32, "4294967296") == -EINVAL);
	CHECK(standin_hyperv_kvp_set(host, 256, "pool", REG_SZ, "") == -EINVAL);
	CHECK(standin_hyperv_kvp_delete(host, 0, "number") == HV_S_OK);

	CHECK(status_of(STANDIN_HYPERV_KVP).registered == KVP_OP_REGISTER1);
	CHECK(status_of(STANDIN_HYPERV_KVP).run == run);
	CHECK(status_of(STANDIN_HYPERV_KVP).requests > 10);
	standin_hyperv_set_timeouts(host, 0, PATIENCE_MS);
	CHECK(standin_hyperv_vss_freeze(host) == -ENODEV);
	stop();
}

static void addresses(const char *directory)
{
	static struct standin_hyperv_addresses a = {.adapter = "00:00:00:00:00:01",
						    .family = ADDR_FAMILY_IPV4};

	start(NULL, "/usr/sbin/hv_kvp_daemon");
	/* The daemon is told of no other. */
	CHECK(standin_hyperv_kvp_get_addresses(host, &a) == HV_E_FAIL);
	strcpy(a.adapter, "{00000000-0000-0000-0000-000000000000}");
	strcpy(a.address, "192.0.2.9");
	strcpy(a.netmask, "255.255.255.0");
	CHECK(standin_hyperv_kvp_set_addresses(host, &a) == HV_GUID_NOTFOUND);
	CHECK(strstr(standin_hyperv_error(host), "no such adapter"));
	stop();
}

/* ---- the daemon goes, and sleeps ---- */

static void lives(const char *directory)
{
	static struct standin_hyperv_pair pair;
	static const char script[] = "trap 'kill -KILL $!; exit 143' TERM\n"
				     "while :; do /usr/sbin/hv_kvp_daemon -n & wait; done";
	char *argv[] = {(char *)"bash", (char *)"-c", (char *)script, NULL};
	pid_t first;

	run = standin_hyperv_start("timeouts=0.5", argv);
	CHECK(run > 0);
	host = standin_hyperv_create(run);
	CHECK(host);
	CHECK(standin_hyperv_kvp_set(host, 0, "stays", REG_SZ, "yes") == HV_S_OK);

	/* The next request finds the next daemon. */
	first = status_of(STANDIN_HYPERV_KVP).process;
	CHECK(first > 0 && kill(first, SIGKILL) == 0);
	while (status_of(STANDIN_HYPERV_KVP).process == first)
		usleep(10000);
	CHECK(standin_hyperv_kvp_get(host, 0, "stays", &pair) == HV_S_OK);
	CHECK(strcmp(pair.value, "yes") == 0 && status_of(STANDIN_HYPERV_KVP).process != first);

	CHECK(standin_hyperv_suspend(host) == 0);
	CHECK(standin_hyperv_open(host, STANDIN_HYPERV_KVP) == -EBUSY);
	CHECK(strstr(standin_hyperv_error(host), "suspended"));
	CHECK(standin_hyperv_resume(host) == 0);
	CHECK(standin_hyperv_kvp_get(host, 0, "stays", &pair) == HV_S_OK);

	CHECK(standin_hyperv_disable(host, STANDIN_HYPERV_KVP) == 0);
	CHECK(strcmp(status_of(STANDIN_HYPERV_KVP).state, "disabled") == 0);
	CHECK(standin_hyperv_enable(host, STANDIN_HYPERV_KVP) == 0);
	CHECK(standin_hyperv_kvp_get(host, 0, "stays", &pair) == HV_S_OK);
	stop();
}

/* ---- backups ---- */

static void backups(const char *directory)
{
	struct standin_hyperv_frozen frozen[64];
	uint32_t flags = 1;

	start(NULL, "/usr/sbin/hv_vss_daemon");
	CHECK(standin_hyperv_vss_hot_backup(host) == HV_S_OK);
	CHECK(standin_hyperv_vss_freeze(host) == HV_S_OK);
	CHECK(standin_hyperv_frozen(host, frozen, 64) >= 0); /* none if none is on a /dev */
	CHECK(standin_hyperv_vss_thaw(host) == HV_S_OK);
	CHECK(standin_hyperv_frozen(host, NULL, 0) == 0);
	CHECK(standin_hyperv_vss_request(host, VSS_OP_GET_DM_INFO, &flags) == HV_S_OK);
	CHECK(flags == 0);
	stop();
}

/* ---- file copies ---- */

struct progress {
	uint64_t last, size, stop_at; /* 0: never */
	unsigned calls;
};

static bool progress(uint64_t copied, uint64_t size, void *arg)
{
	struct progress *p = arg;

	if (copied < p->last)
		return false;
	p->last = copied;
	p->size = size;
	p->calls++;
	return !p->stop_at || copied < p->stop_at;
}

static bool same(const char *one, const char *other)
{
	char command[1024];

	snprintf(command, sizeof(command), "cmp '%s' '%s'", one, other);
	return system(command) == 0;
}

static void copies(const char *directory)
{
	struct progress p = {0};
	struct standin_hyperv_copy copy = {.progress = progress, .arg = &p};
	char from[512], to[512], below[600];
	static char bytes[100000];
	int source;

	snprintf(from, sizeof(from), "%s/from", directory);
	snprintf(to, sizeof(to), "%s/to-ü", directory);
	snprintf(below, sizeof(below), "%s/made/by/host", directory);
	source = open(from, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7 + i / 251);
	CHECK(source >= 0 && write(source, bytes, sizeof(bytes)) == sizeof(bytes));
	CHECK(lseek(source, 0, SEEK_SET) == 0);

	start(NULL, "/usr/sbin/hv_fcopy_daemon");
	CHECK(standin_hyperv_copy(host, source, to, &copy) == HV_S_OK);
	CHECK(same(from, to) && copy.copied == sizeof(bytes));
	CHECK(p.last == sizeof(bytes) && p.size == sizeof(bytes) &&
	      p.calls >= sizeof(bytes) / 6144);
	lseek(source, 0, SEEK_SET);
	CHECK(standin_hyperv_copy(host, source, to, &copy) == HV_ERROR_ALREADY_EXISTS);
	copy.flags = STANDIN_HYPERV_COPY_OVERWRITE;
	p.last = 0;
	CHECK(standin_hyperv_copy(host, source, to, &copy) == HV_S_OK);
	lseek(source, 0, SEEK_SET);
	p.last = 0;
	CHECK(standin_hyperv_copy(host, source, below, &copy) == HV_E_FAIL);
	copy.flags = STANDIN_HYPERV_COPY_CREATE_PATH;
	CHECK(standin_hyperv_copy(host, source, below, &copy) == HV_S_OK && same(from, below));
	CHECK(standin_hyperv_copy(host, source, "relative", &copy) == -EINVAL);
	CHECK(standin_hyperv_copy(host, source, "/ends/", &copy) == -EINVAL);

	/* Stopped, and taken back. */
	lseek(source, 0, SEEK_SET);
	unlink(to);
	p = (struct progress){.stop_at = 20000};
	CHECK(standin_hyperv_copy(host, source, to, &copy) == -ECANCELED);
	CHECK(copy.copied >= 20000 && copy.copied < sizeof(bytes) && access(to, F_OK) < 0);
	stop();
}

/* ---- messages of any kind ---- */

static void messages(const char *directory)
{
	static struct hv_kvp_msg m = {
		.kvp_hdr = {.operation = KVP_OP_ENUMERATE, .pool = KVP_POOL_AUTO}};
	const struct hv_kvp_msg *body;
	struct standin_hyperv_answer answer;

	start(NULL, "/usr/sbin/hv_kvp_daemon");
	CHECK(standin_hyperv_receive(host, STANDIN_HYPERV_KVP, &answer) == -EPIPE);
	m.body.kvp_enum_data.index = 5;
	CHECK(standin_hyperv_send(host, STANDIN_HYPERV_KVP, STANDIN_HYPERV_TYPE_KVP, &m,
				  sizeof(m)) == 0);
	m.body.kvp_enum_data.index = 99; /* both are on their way */
	CHECK(standin_hyperv_send(host, STANDIN_HYPERV_KVP, STANDIN_HYPERV_TYPE_KVP, &m,
				  sizeof(m)) == 0);
	CHECK(standin_hyperv_receive(host, STANDIN_HYPERV_KVP, &answer) == 0);
	body = answer.body;
	CHECK(answer.headers && answer.status == HV_S_OK && answer.size >= sizeof(m));
	CHECK(answer.type == STANDIN_HYPERV_TYPE_KVP && answer.flags == 5);
	CHECK(memcmp(body->body.kvp_enum_data.data.key, "O\0S\0N\0a\0m\0e\0\0", 14) == 0);
	CHECK(standin_hyperv_receive(host, STANDIN_HYPERV_KVP, &answer) == 0);
	CHECK(answer.status == HV_S_CONT);

	/* What the kernel drops has no answer, and the channel is given up. */
	standin_hyperv_set_timeouts(host, PATIENCE_MS, 200);
	CHECK(standin_hyperv_open_raw(host, STANDIN_HYPERV_KVP) == 0);
	CHECK(standin_hyperv_send_packet(host, STANDIN_HYPERV_KVP, "short", 5) == 0);
	CHECK(standin_hyperv_receive(host, STANDIN_HYPERV_KVP, &answer) == -ETIMEDOUT);
	CHECK(strstr(standin_hyperv_error(host), "does not answer"));
	CHECK(standin_hyperv_send_packet(host, STANDIN_HYPERV_KVP, "", 0) == -EINVAL);
	CHECK(standin_hyperv_send(host, STANDIN_HYPERV_KVP, 2, &m,
				  STANDIN_HYPERV_MESSAGE_MAX + 1) == -EINVAL);
	/* The guest is none the worse. */
	standin_hyperv_set_timeouts(host, PATIENCE_MS, PATIENCE_MS);
	CHECK(standin_hyperv_open(host, STANDIN_HYPERV_KVP) == 0);
	CHECK(standin_hyperv_kvp_set(host, 0, "still", REG_SZ, "there") == HV_S_OK);
	stop();
}

/* ---- which ---- */

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(const char *directory);
	} cases[] = {
		{"pairs", pairs},     {"addresses", addresses}, {"lives", lives},
		{"backups", backups}, {"copies", copies},       {"messages", messages},
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; argc == 3 && i < sizeof(cases) / sizeof(cases[0]); i++)
		if (strcmp(cases[i].name, argv[1]) == 0) {
			cases[i].run(argv[2]);
			return 0;
		}
	fprintf(stderr, "usage: hyperv-api CASE DIRECTORY\n");
	return 2;
}
