/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configured faults are an array that only grows while an instance starts; arrivals are
 * counted with atomics, so that points may be reached in any thread and in handlers.
 */
#include "core/fault.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/trace.h"

#define FAULTS_MAX 64

struct fault {
	char point[64];
	int error;
	unsigned long nth, every, times;
	_Atomic unsigned long arrivals, failures;
};

bool fault_enabled;

static struct fault faults[FAULTS_MAX];
static size_t n_faults;

static const struct fault_points *all_points;

void fault_points_register(struct fault_points *points)
{
	points->next = all_points;
	all_points = points;
}

void fault_points_each(void (*each)(const char *name, void *arg), void *arg)
{
	for (const struct fault_points *p = all_points; p; p = p->next)
		for (size_t i = 0; p->names[i]; i++)
			each(p->names[i], arg);
}

static int errno_by_name(const char *name)
{
	for (int e = 1; e < 134; e++) {
		const char *known = strerrorname_np(e);

		if (known && strcmp(known, name) == 0)
			return e;
	}
	return 0;
}

static int parse_count(const char *text, unsigned long *ret_count)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || end == text || *end || value == 0 || *text == '-')
		return -EINVAL;
	*ret_count = value;
	return 0;
}

static int parse_option(struct fault *f, char *option, char *error, size_t error_size)
{
	char *value = strchr(option, '=');
	int result = -EINVAL;

	if (value) {
		*value++ = '\0';
		if (strcmp(option, "errno") == 0) {
			f->error = errno_by_name(value);
			result = f->error ? 0 : -EINVAL;
		} else if (strcmp(option, "nth") == 0) {
			result = parse_count(value, &f->nth);
		} else if (strcmp(option, "every") == 0) {
			result = parse_count(value, &f->every);
		} else if (strcmp(option, "times") == 0) {
			result = parse_count(value, &f->times);
		} else {
			value = NULL;
		}
	}
	if (result < 0 && value)
		snprintf(error, error_size, "fault %s: bad value '%s' for %s", f->point, value,
		         option);
	else if (result < 0)
		snprintf(error, error_size,
		         "fault %s: '%s' is not one of errno=, nth=, every=, times=", f->point,
		         option);
	return result;
}

int fault_add(const char *spec, char *error, size_t error_size)
{
	char text[256], *options, *option, *rest;
	struct fault *f = &faults[n_faults];

	if (n_faults == FAULTS_MAX) {
		snprintf(error, error_size, "more than %d faults", FAULTS_MAX);
		return -EINVAL;
	}
	if (strlen(spec) >= sizeof(text)) {
		snprintf(error, error_size, "fault: too long");
		return -EINVAL;
	}
	strcpy(text, spec);
	memset(f, 0, sizeof(*f));
	options = strchr(text, ':');
	if (options)
		*options++ = '\0';
	if (!*text || strlen(text) >= sizeof(f->point)) {
		snprintf(error, error_size, "fault '%s': no point named", spec);
		return -EINVAL;
	}
	strcpy(f->point, text);
	for (option = options ? strtok_r(options, ",", &rest) : NULL; option;
	     option = strtok_r(NULL, ",", &rest))
		if (parse_option(f, option, error, error_size) < 0)
			return -EINVAL;
	if (!f->error) {
		snprintf(error, error_size, "fault %s: errno= is missing", f->point);
		return -EINVAL;
	}
	n_faults++;
	fault_enabled = true;
	return 0;
}

void fault_clear(void)
{
	n_faults = 0;
	fault_enabled = false;
}

static bool due(struct fault *f, unsigned long arrival)
{
	if (f->nth && arrival != f->nth)
		return false;
	if (f->every && arrival % f->every != 0)
		return false;
	return !f->times || atomic_fetch_add(&f->failures, 1) < f->times;
}

int fault_check_slow(const char *point)
{
	for (size_t i = 0; i < n_faults; i++) {
		struct fault *f = &faults[i];

		if (strcmp(f->point, point) != 0)
			continue;
		if (!due(f, atomic_fetch_add(&f->arrivals, 1) + 1))
			continue;
		log_info("fault injected at %s: %s", point, trace_errno_name(f->error));
		if (trace_enabled)
			trace_event("fault(%s, %s)", point, trace_errno_name(f->error));
		return -f->error;
	}
	return 0;
}
