/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * standin kvp raw, standin hyperv raw: a host that sends what it likes, for people who test
 * what becomes of it.  The kernel's side checks it as the kernel does; what it drops has no
 * answer.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/guest.h"
#include "cli/json.h"

#define PATIENCE_S 2.0 /* with an answer that may never come */

struct raw {
	struct guest_options guest;
	bool whole; /* the packet with its headers is given */
	bool negotiate;
	long type, size;     /* -1: not given */
	unsigned long count; /* how often */
	enum standin_hyperv_service service;
	struct standin_hyperv *host;
	uint8_t bytes[STANDIN_HYPERV_PACKET_MAX];
	size_t n;
};

/* ---- the bytes ---- */

/* Hexadecimal digits, with spaces or without: appends what they say. */
static int add_hex(struct raw *r, const char *text)
{
	unsigned digits = 0, byte = 0;

	for (; *text; text++) {
		if (isspace((unsigned char)*text) && digits % 2 == 0)
			continue;
		if (!isxdigit((unsigned char)*text))
			return usage_error(r->guest.command, "'%s' is not hexadecimal", text);
		byte = byte << 4 | (unsigned)(isdigit((unsigned char)*text)
						      ? *text - '0'
						      : tolower((unsigned char)*text) - 'a' + 10);
		if (++digits % 2)
			continue;
		if (r->n == sizeof(r->bytes))
			return usage_error(r->guest.command, "a packet has at most %zu bytes",
					   sizeof(r->bytes));
		r->bytes[r->n++] = (uint8_t)byte;
		byte = 0;
	}
	return digits % 2 ? usage_error(r->guest.command, "half a byte is missing") : 0;
}

static int add_file(struct raw *r, const char *path)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");

	if (!file) {
		complain("%s: %s: %s", r->guest.command, path, strerror(errno));
		return 1;
	}
	r->n += fread(r->bytes + r->n, 1, sizeof(r->bytes) - r->n, file);
	if (file != stdin)
		fclose(file);
	return 0;
}

/* ---- the exchange ---- */

static void print_hex(const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		printf("%02x", bytes[i]);
}

static void print_answer(const struct raw *r, const struct standin_hyperv_answer *a)
{
	const char *name = a->headers ? standin_hyperv_status_name(a->status) : NULL;

	if (r->guest.json)
		printf("{\"status\": \"0x%08x\", \"name\": \"%s\", \"type\": %u, \"flags\": %u, "
		       "\"body\": \"",
		       a->status, name ? name : "", a->type, a->flags);
	else
		printf("status 0x%08x %s type %u flags %u body ", a->status, name ? name : "",
		       a->type, a->flags);
	print_hex(a->body, a->size);
	printf(r->guest.json ? "\"}\n" : "\n");
}

/* Shows the answer only if it is the `last`. */
static int exchange(struct raw *r, bool last)
{
	static const unsigned types[] = {
		[STANDIN_HYPERV_KVP] = STANDIN_HYPERV_TYPE_KVP,
		[STANDIN_HYPERV_VSS] = STANDIN_HYPERV_TYPE_VSS,
		[STANDIN_HYPERV_FCOPY] = STANDIN_HYPERV_TYPE_FCOPY,
	};
	size_t size = r->size >= 0 ? (size_t)r->size : r->n;
	struct standin_hyperv_answer answer;
	int ret;

	if (r->whole)
		ret = standin_hyperv_send_packet(r->host, r->service, r->bytes, size);
	else
		ret = standin_hyperv_send(r->host, r->service,
					  r->type >= 0 ? (unsigned)r->type : types[r->service],
					  r->bytes, size);
	if (ret == 0)
		ret = standin_hyperv_receive(r->host, r->service, &answer);
	if (ret < 0)
		return guest_status(&r->guest, r->host, ret);
	if (last)
		print_answer(r, &answer);
	return last ? finish_output() : 0;
}

static int parse_number(const struct raw *r, const char *text, long most, long *ret_number)
{
	char *end;

	errno = 0;
	*ret_number = strtol(text, &end, 0);
	if (errno || end == text || *end || *ret_number < 0 || *ret_number > most)
		return usage_error(r->guest.command, "'%s' is no number up to %ld", text, most);
	return 0;
}

static int parse(struct raw *r, int argc, char **argv)
{
	static const struct option options[] = {{"packet", no_argument, NULL, 'k'},
						{"no-negotiate", no_argument, NULL, 'n'},
						{"type", required_argument, NULL, 't'},
						{"size", required_argument, NULL, 's'},
						{"count", required_argument, NULL, 'c'},
						GUEST_OPTIONS,
						{0}};
	int option, status = 0;
	long number;

	opterr = 0;
	while (status == 0 && (option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case 'k':
			r->whole = true;
			break;
		case 'n':
			r->negotiate = false;
			break;
		case 't':
			status = parse_number(r, optarg, UINT16_MAX, &r->type);
			break;
		case 's':
			status = parse_number(r, optarg, STANDIN_HYPERV_MESSAGE_MAX, &r->size);
			break;
		case 'c':
			status = parse_number(r, optarg, 1000000000, &number);
			r->count = (unsigned long)number;
			break;
		default:
			status = guest_option(&r->guest, option, argv);
		}
	}
	for (int i = optind; i < argc && status == 0; i++)
		status = argv[i][0] == '@' ? add_file(r, argv[i] + 1) : add_hex(r, argv[i]);
	return status;
}

int guest_raw(const struct guest_options *o, enum standin_hyperv_service service, int argc,
	      char **argv)
{
	static struct raw r = {.negotiate = true, .type = -1, .size = -1, .count = 1};
	int status;

	r.guest = *o;
	r.service = service;
	optind = 0;
	status = parse(&r, argc, argv);
	if (status)
		return status == GUEST_HELP ? 0 : status;
	if (r.guest.timeout < 0)
		r.guest.timeout = PATIENCE_S;
	status = guest_open(&r.guest, service, !r.negotiate, &r.host);
	for (unsigned long i = 0; i < r.count && status == 0; i++)
		status = exchange(&r, i + 1 == r.count);
	standin_hyperv_destroy(r.host);
	return status;
}
