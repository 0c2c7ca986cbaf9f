/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/keys.h - lists of key=value, as directives and options have them.
 *
 * Separated by commas; a value that holds one doubles it, as QEMU does.
 */
#ifndef STANDIN_CORE_KEYS_H
#define STANDIN_CORE_KEYS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct config_key {
	char *name, *value;
};

struct config_keys {
	struct config_key *key;
	size_t n;
};

/* Cuts the next comma-separated item off *text in place; NULL when there is none left. */
char *keys_next_item(char **text);
/* Copies both.  -EEXIST: there is one of that name; -ENOMEM. */
int keys_add(struct config_keys *keys, const char *name, const char *value);
/* The value, or NULL. */
const char *keys_find(const struct config_keys *keys, const char *name);
void keys_finish(struct config_keys *keys);
/* A value as keys_next_item() takes it: commas doubled. */
void keys_print_value(FILE *out, const char *value);
/* Prints ",name=value" for each. */
void keys_print(FILE *out, const struct config_keys *keys);

/* A size in bytes, or with k, M, G, T: 0 or -EINVAL. */
int keys_parse_size(const char *text, uint64_t *ret_size);

#endif
