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
	return keys_find(&dev->config->keys, key);
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

int standin_config_number(struct standin_device *dev, const char *key, uint64_t fallback,
                          uint64_t min, uint64_t max, uint64_t *ret_value)
{
	const char *text = standin_config_string(dev, key);
	uint64_t value;

	if (!text) {
		*ret_value = fallback;
		return 0;
	}
	if (keys_parse_size(text, &value) < 0)
		return standin_device_error(dev, -EINVAL, "%s: '%s' is no number", key, text);
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
