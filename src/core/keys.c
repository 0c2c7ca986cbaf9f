/* SPDX-License-Identifier: BSD-3-Clause */
/* Lists of key=value: taken apart in place, kept as copies, printed so that they read back. */
#include "core/keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

char *keys_next_item(char **text)
{
	char *item = *text, *to = item, *from = item;

	if (!item)
		return NULL;
	while (*from) {
		if (*from == ',' && from[1] != ',')
			break;
		if (*from == ',')
			from++;
		*to++ = *from++;
	}
	*text = *from ? from + 1 : NULL;
	*to = '\0';
	return item;
}

const char *keys_find(const struct config_keys *keys, const char *name)
{
	for (size_t i = 0; i < keys->n; i++)
		if (strcmp(keys->key[i].name, name) == 0)
			return keys->key[i].value;
	return NULL;
}

int keys_add(struct config_keys *keys, const char *name, const char *value)
{
	struct config_key *more;

	if (keys_find(keys, name))
		return -EEXIST;
	more = reallocarray(keys->key, keys->n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	keys->key = more;
	more += keys->n;
	more->name = strdup(name);
	more->value = strdup(value);
	if (more->name && more->value) {
		keys->n++;
		return 0;
	}
	free(more->name);
	free(more->value);
	return -ENOMEM;
}

void keys_finish(struct config_keys *keys)
{
	for (size_t i = 0; i < keys->n; i++) {
		free(keys->key[i].name);
		free(keys->key[i].value);
	}
	free(keys->key);
	*keys = (struct config_keys){0};
}

void keys_print_value(FILE *out, const char *value)
{
	for (; *value; value++) {
		if (*value == ',')
			fputc(',', out);
		fputc(*value, out);
	}
}

void keys_print(FILE *out, const struct config_keys *keys)
{
	for (size_t i = 0; i < keys->n; i++) {
		fprintf(out, ",%s=", keys->key[i].name);
		keys_print_value(out, keys->key[i].value);
	}
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

int keys_parse_size(const char *text, uint64_t *ret_size)
{
	unsigned long long value;
	char *end;
	int shift;

	errno = 0;
	value = strtoull(text, &end, strncmp(text, "0x", 2) == 0 ? 16 : 10);
	shift = suffix_shift(end);
	if (errno || end == text || *text == '-' || shift < 0 || value > (UINT64_MAX >> shift))
		return -EINVAL;
	*ret_size = value << shift;
	return 0;
}
