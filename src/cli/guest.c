/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Statuses and error numbers are shown as Windows hosts show them: each has an HV_ name and the
 * number of the WMI job that it ends in, Msvm_ConcreteJob.ErrorCode.
 */
#include "cli/guest.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/json.h"
#include "control/running.h"

#define JOB_FAILED           32768u
#define JOB_NOT_SUPPORTED    32770u
#define JOB_TIMEOUT          32772u
#define JOB_ILLEGAL_ARGUMENT 32773u
#define JOB_INVALID_STATE    32775u
#define JOB_NOT_AVAILABLE    32777u
#define JOB_NOT_FOUND        32779u

int guest_option(struct guest_options *o, int option, char **argv)
{
	char *end;

	switch (option) {
	case 'P':
		o->pid = running_parse_pid(optarg);
		return o->pid ? 0 : usage_error(o->command, "'%s' is no process", optarg);
	case 'T':
		o->timeout = strtod(optarg, &end);
		return end != optarg && !*end && o->timeout >= 0 && o->timeout <= 1e6
			       ? 0
			       : usage_error(o->command, "'%s' is no time in seconds", optarg);
	case 'J':
		o->json = true;
		return 0;
	case 'h':
		help_print(o->command);
		return GUEST_HELP;
	default:
		return option_error(o->command, option, argv[optind - 1]);
	}
}

/* ---- how it has ended ---- */

static const struct shown {
	int64_t ret;
	uint32_t status;
	unsigned job;
} shown[] = {
	{HV_S_OK, HV_S_OK, 0},
	{HV_E_FAIL, HV_E_FAIL, JOB_FAILED},
	{HV_S_CONT, HV_S_CONT, JOB_ILLEGAL_ARGUMENT}, /* so end jobs that change a missing pair */
	{HV_ERROR_NOT_SUPPORTED, HV_ERROR_NOT_SUPPORTED, JOB_NOT_SUPPORTED},
	{HV_ERROR_MACHINE_LOCKED, HV_ERROR_MACHINE_LOCKED, JOB_INVALID_STATE},
	{HV_ERROR_DEVICE_NOT_CONNECTED, HV_ERROR_DEVICE_NOT_CONNECTED, JOB_NOT_AVAILABLE},
	{HV_INVALIDARG, HV_INVALIDARG, JOB_ILLEGAL_ARGUMENT},
	{HV_GUID_NOTFOUND, HV_GUID_NOTFOUND, JOB_NOT_FOUND},
	{-ESRCH, HV_ERROR_DEVICE_NOT_CONNECTED, JOB_NOT_AVAILABLE},
	{-ENODEV, HV_ERROR_DEVICE_NOT_CONNECTED, JOB_NOT_AVAILABLE},
	{-EBUSY, HV_ERROR_DEVICE_NOT_CONNECTED, JOB_INVALID_STATE},
	{-ENOTUNIQ, HV_INVALIDARG, JOB_ILLEGAL_ARGUMENT},
	{-ETIMEDOUT, HV_E_FAIL, JOB_TIMEOUT},
	{-EPROTONOSUPPORT, HV_E_FAIL, JOB_NOT_SUPPORTED},
	{-EINVAL, HV_INVALIDARG, JOB_ILLEGAL_ARGUMENT},
};

static struct shown look_up(int64_t ret)
{
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		if (shown[i].ret == ret)
			return shown[i];
	return (struct shown){ret, ret < 0 ? HV_E_FAIL : (uint32_t)ret, JOB_FAILED};
}

static int show(const struct guest_options *o, int64_t ret, const char *text)
{
	struct shown as = look_up(ret);
	const char *name = standin_hyperv_status_name(as.status);

	if (o->json) {
		printf("{\"status\": \"0x%08x\", \"name\": \"%s\", \"job\": %u, \"message\": ",
		       as.status, name ? name : "", as.job);
		json_string(stdout, text);
		printf("}\n");
		return finish_output() || ret != HV_S_OK;
	}
	if (ret == HV_S_OK)
		return 0;
	complain("%s: %s%s0x%08x%s: %s", o->command, name ? name : "", name ? " (" : "", as.status,
		 name ? ")" : "", text);
	return 1;
}

int guest_status(const struct guest_options *o, const struct standin_hyperv *h, int64_t status)
{
	return show(o, status, status == HV_S_OK ? "" : standin_hyperv_error(h));
}

int guest_refuse(const struct guest_options *o, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return show(o, HV_INVALIDARG, text);
}

/* ---- the guest ---- */

struct standin_hyperv *guest_host(const struct guest_options *o)
{
	struct standin_hyperv *h = standin_hyperv_create(o->pid);
	int ms = (int)ceil(o->timeout * 1000);

	if (!h)
		complain("%s: out of memory", o->command);
	else if (o->timeout >= 0)
		standin_hyperv_set_timeouts(h, ms, ms);
	return h;
}

int guest_open(const struct guest_options *o, enum standin_hyperv_service service, bool raw,
	       struct standin_hyperv **ret_host)
{
	struct standin_hyperv *h = guest_host(o);
	int status;

	if (!h)
		return 1;
	status = raw ? standin_hyperv_open_raw(h, service) : standin_hyperv_open(h, service);
	if (status == 0) {
		*ret_host = h;
		return 0;
	}
	status = guest_status(o, h, status);
	standin_hyperv_destroy(h);
	return status;
}
