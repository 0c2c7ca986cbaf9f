/* SPDX-License-Identifier: BSD-3-Clause */
/* What a model reads of its configuration: values by key, checked numbers, its error. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/device.h"

const char *standin_config_string(const struct standin_device *dev, const char *key)
{
	for (size_t i = 0; i < dev->config->n_keys; i++)
		if (strcmp(dev->config->keys[i].name, key) == 0)
			return dev->config->keys[i].value;
	return NULL;
}

int standin_device_error(struct standin_device *dev, int error, const char *format, ...)
{
	int length = snprintf(dev->error, sizeof(dev->error), "device %s at %s: ",
	                      dev->model->name, dev->address);
	va_list args;

	va_start(args, format);
	vsnprintf(dev->error + length, sizeof(dev->error) - (size_t)length, format, args);
	va_end(args);
	return error;
}

/* The power of two that a size suffix stands for; -1 if it is none. */
static int suffix_shift(const char *suffix)
{
	static const char letters[] = "kmgt";
	const char *letter;

	if (!*suffix)
		return 0;
	letter = strchr(letters, *suffix | 0x20);
	if (!letter || suffix[1])
		return -1;
	return (int)(letter - letters + 1) * 10;
}

int standin_config_number(struct standin_device *dev, const char *key, uint64_t fallback,
                          uint64_t min, uint64_t max, uint64_t *ret_value)
{
	const char *text = standin_config_string(dev, key);
	unsigned long long value;
	char *end;
	int shift;

	if (!text) {
		*ret_value = fallback;
		return 0;
	}
	errno = 0;
	value = strtoull(text, &end, strncmp(text, "0x", 2) == 0 ? 16 : 10);
	shift = suffix_shift(end);
	if (errno || end == text || *text == '-' || shift < 0 || value > (UINT64_MAX >> shift))
		return standin_device_error(dev, -EINVAL, "%s: '%s' is no number", key, text);
	value <<= shift;
	if (value < min || value > max)
		return standin_device_error(dev, -EINVAL, "%s: %s is not in %llu..%llu", key, text,
		                            (unsigned long long)min, (unsigned long long)max);
	*ret_value = value;
	return 0;
}

int standin_config_bool(struct standin_device *dev, const char *key, bool fallback,
                        bool *ret_value)
{
	const char *text = standin_config_string(dev, key);

	if (!text) {
		*ret_value = fallback;
		return 0;
	}
	if (config_parse_bool(text, ret_value) < 0)
		return standin_device_error(dev, -EINVAL, "%s is on or off, not '%s'", key, text);
	return 0;
}
