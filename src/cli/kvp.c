/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * standin kvp: a Hyper-V host that reads and writes key-value pairs of a running guest.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/guest.h"
#include "cli/json.h"

#define IGNITION_PART                                                              \
	990u /* bytes of a configuration in one value, as Ignition's hosts have it \
	      */

struct kvp {
	struct guest_options guest;
	int pool; /* -1: not given */
	unsigned type;
	struct standin_hyperv *host;
	struct standin_hyperv_pair pair;
};

static void print_pair(const struct kvp *k, unsigned pool, bool first)
{
	const char *name = standin_hyperv_pool_name(pool);

	if (!k->guest.json) {
		if (k->pool < 0)
			printf("%s\t", name);
		printf("%s\t%s\n", k->pair.key, k->pair.value);
		return;
	}
	printf("%s{\"pool\": %u, \"key\": ", first ? "" : ",\n ", pool);
	json_string(stdout, k->pair.key);
	printf(", \"value\": ");
	json_string(stdout, k->pair.value);
	printf("}");
}

/* Prints a pool's pairs: HV_S_CONT when it is at the end, or what went wrong. */
static int64_t list_pool(struct kvp *k, unsigned pool, bool *first)
{
	int64_t status = HV_S_OK;

	for (uint32_t i = 0; status == HV_S_OK; i++) {
		status = standin_hyperv_kvp_enumerate(k->host, pool, i, &k->pair);
		if (status == HV_S_OK) {
			print_pair(k, pool, *first);
			*first = false;
		}
	}
	return status;
}

static int do_list(struct kvp *k, char **argv)
{
	unsigned from = k->pool < 0 ? 0 : (unsigned)k->pool;
	unsigned to = k->pool < 0 ? KVP_POOL_COUNT - 1 : from;
	int64_t status = HV_S_CONT;
	bool first = true;

	if (k->guest.json)
		printf("[");
	for (unsigned pool = from; pool <= to && status == HV_S_CONT; pool++)
		status = list_pool(k, pool, &first);
	if (k->guest.json)
		printf("]\n");
	return status == HV_S_CONT ? finish_output() : guest_status(&k->guest, k->host, status);
}

/* Without a key, all: so libhvee's kvpctl has it. */
static int do_get(struct kvp *k, char **argv)
{
	unsigned from = k->pool < 0 ? 0 : (unsigned)k->pool;
	unsigned to = k->pool < 0 ? KVP_POOL_COUNT - 1 : from;
	int64_t status = HV_S_CONT;
	unsigned pool = from;

	if (!argv[0])
		return do_list(k, argv);
	while (status == HV_S_CONT && pool <= to)
		status = standin_hyperv_kvp_get(k->host, pool++, argv[0], &k->pair);
	if (status != HV_S_OK)
		return guest_status(&k->guest, k->host, status);
	if (k->guest.json) {
		print_pair(k, pool - 1, true);
		printf("\n");
	} else {
		printf("%s\n", k->pair.value);
	}
	return finish_output();
}

static int do_set(struct kvp *k, char **argv)
{
	return guest_status(&k->guest, k->host,
			    standin_hyperv_kvp_set(k->host, k->pool < 0 ? 0 : (unsigned)k->pool,
						   argv[0], k->type, argv[1]));
}

static int do_delete(struct kvp *k, char **argv)
{
	unsigned pool = k->pool < 0 ? 0 : (unsigned)k->pool;
	int64_t status = HV_S_OK;

	while (*argv && status == HV_S_OK)
		status = standin_hyperv_kvp_delete(k->host, pool, *argv++);
	return guest_status(&k->guest, k->host, status);
}

/* Only if it is there already, or only if it is not; both are the host's to see to. */
static int set_if(struct kvp *k, char **argv, bool there)
{
	unsigned pool = k->pool < 0 ? 0 : (unsigned)k->pool;
	int64_t status = standin_hyperv_kvp_get(k->host, pool, argv[0], &k->pair);

	if (status != HV_S_OK && status != HV_S_CONT)
		return guest_status(&k->guest, k->host, status);
	if ((status == HV_S_OK) != there)
		return guest_refuse(&k->guest,
				    there ? "'%s' does not exist" : "'%s' exists already", argv[0]);
	return do_set(k, argv);
}

static int do_add(struct kvp *k, char **argv)
{
	return set_if(k, argv, false);
}

static int do_edit(struct kvp *k, char **argv)
{
	return set_if(k, argv, true);
}

/* The first one, until there is none. */
static int do_clear(struct kvp *k, char **argv)
{
	unsigned pool = k->pool < 0 ? 0 : (unsigned)k->pool;
	int64_t status;

	do {
		status = standin_hyperv_kvp_enumerate(k->host, pool, 0, &k->pair);
		if (status == HV_S_OK)
			status = standin_hyperv_kvp_delete(k->host, pool, k->pair.key);
	} while (status == HV_S_OK);
	return guest_status(&k->guest, k->host, status == HV_S_CONT ? HV_S_OK : status);
}

/* Of `text`, as much as a part of a configuration has: whole characters, and not nothing. */
static size_t part_length(const char *text)
{
	size_t length = strnlen(text, IGNITION_PART + 1);

	if (length <= IGNITION_PART)
		return length;
	for (length = IGNITION_PART; length > 1 && ((uint8_t)text[length] & 0xc0) == 0x80;)
		length--;
	return length;
}

/* The parts of `text` under numbered keys, none of which may be there. */
static int add_parts(struct kvp *k, const char *text)
{
	unsigned pool = k->pool < 0 ? 0 : (unsigned)k->pool, number = 0;
	char part[IGNITION_PART + 1], key[64];
	int64_t status = HV_S_OK;

	while (*text && status == HV_S_OK) {
		snprintf(key, sizeof(key), "ignition.config.%u", number++);
		snprintf(part, sizeof(part), "%.*s", (int)part_length(text), text);
		status = standin_hyperv_kvp_get(k->host, pool, key, &k->pair);
		if (status == HV_S_OK)
			return guest_refuse(&k->guest, "'%s' exists already", key);
		if (status == HV_S_CONT)
			status = standin_hyperv_kvp_set(k->host, pool, key, REG_SZ, part);
		text += strlen(part);
	}
	return guest_status(&k->guest, k->host, status);
}

/* As libhvee does it for Ignition: a file's text in as many values as it takes. */
static int do_add_ignition(struct kvp *k, char **argv)
{
	FILE *file = fopen(argv[0], "re");
	char *text = NULL;
	size_t size = 0;
	int status;

	if (!file || (getdelim(&text, &size, '\0', file) < 0 && ferror(file))) {
		complain("kvp: %s: %s", argv[0], strerror(errno));
		status = 1;
	} else {
		status = add_parts(k, text ? text : "");
	}
	if (file)
		fclose(file);
	free(text);
	return status;
}

static const struct verb {
	const char *name;
	int fewest, most; /* arguments */
	const char *arguments;
	int (*run)(struct kvp *k, char **argv);
} verbs[] = {
	{"get", 0, 1, "KEY", do_get},
	{"set", 2, 2, "KEY VALUE", do_set},
	{"put", 2, 2, "KEY VALUE", do_set},
	{"add", 2, 2, "KEY VALUE", do_add},
	{"add-ign", 1, 1, "FILE", do_add_ignition},
	{"edit", 2, 2, "KEY VALUE", do_edit},
	{"delete", 1, INT_MAX, "KEY...", do_delete},
	{"rm", 1, INT_MAX, "KEY...", do_delete},
	{"clear", 0, 0, "no arguments", do_clear},
	{"list", 0, 0, "no arguments", do_list},
	{"enum", 0, 0, "no arguments", do_list},
};

static int parse_type(const char *text)
{
	static const struct {
		const char *name;
		unsigned type;
	} types[] = {
		{"string", REG_SZ},
		{"dword", REG_U32},
		{"qword", STANDIN_HYPERV_REG_QWORD},
		{"u64", REG_U64},
		{"expand", STANDIN_HYPERV_REG_EXPAND_SZ},
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i].name, text) == 0)
			return (int)types[i].type;
	return -EINVAL;
}

static int parse(struct kvp *k, const char *how, int argc, char **argv)
{
	static const struct option options[] = {{"pool", required_argument, NULL, 'p'},
						{"type", required_argument, NULL, 't'},
						GUEST_OPTIONS,
						{0}};
	int option, status = 0, type;

	opterr = 0;
	optind = 0;
	while (status == 0 && (option = getopt_long(argc, argv, how, options, NULL)) != -1) {
		switch (option) {
		case 'p':
			k->pool = standin_hyperv_pool_parse(optarg);
			if (k->pool < 0)
				status = usage_error("kvp", "'%s' is no pool", optarg);
			break;
		case 't':
			type = parse_type(optarg);
			if (type < 0)
				status = usage_error("kvp", "'%s' is no type", optarg);
			k->type = (unsigned)type;
			break;
		default:
			status = guest_option(&k->guest, option, argv);
		}
	}
	return status;
}

/* argv[0] is the verb, and what follows has been parsed: its arguments are from `first` on. */
static int run_verb(struct kvp *k, int argc, char **argv, int first)
{
	int status;

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, argv[0]) != 0)
			continue;
		if (argc - first < verbs[i].fewest || argc - first > verbs[i].most)
			return usage_error("kvp", "%s takes %s", argv[0], verbs[i].arguments);
		status = guest_open(&k->guest, STANDIN_HYPERV_KVP, false, &k->host);
		if (status == 0) {
			status = verbs[i].run(k, argv + first);
			standin_hyperv_destroy(k->host);
		}
		return status;
	}
	return usage_error("kvp",
			   "no such thing as '%s': get, set, add, add-ign, edit, delete, "
			   "clear, list, ip or raw?",
			   argv[0]);
}

int command_kvp(int argc, char **argv)
{
	static struct kvp k = {
		.guest = {.command = "kvp", .timeout = -1}, .pool = -1, .type = REG_SZ};
	/* Options may come before the verb, and after it. */
	int status = parse(&k, "+:hp:t:", argc, argv);

	if (status)
		return status == GUEST_HELP ? 0 : status;
	argc -= optind;
	argv += optind;
	if (argc < 1)
		return usage_error("kvp",
				   "get, set, add, add-ign, edit, delete, clear, list, ip or raw?");
	if (strcmp(argv[0], "ip") == 0)
		return guest_ip(&k.guest, argc, argv);
	if (strcmp(argv[0], "raw") == 0)
		return guest_raw(&k.guest, STANDIN_HYPERV_KVP, argc, argv);
	status = parse(&k, ":hp:t:", argc, argv);
	if (status)
		return status == GUEST_HELP ? 0 : status;
	return run_verb(&k, argc, argv, optind);
}
