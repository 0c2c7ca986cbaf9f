/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/log.h - messages to a person, on descriptor 2, one line each, prefixed "standin:".
 * Safe in signal handlers.  Only the CLI prints results; the runtime only logs.
 */
#ifndef STANDIN_CORE_LOG_H
#define STANDIN_CORE_LOG_H

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

extern enum log_level log_level; /* what is printed; LOG_WARNING by default */

void log_at(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "error", "warning", "info", "debug"; -EINVAL otherwise. */
int log_level_parse(const char *text, enum log_level *ret_level);

#define log_error(...)   log_at(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_level >= LOG_DEBUG)                                                        \
			log_at(LOG_DEBUG, __VA_ARGS__);                                            \
	} while (0)

#endif
