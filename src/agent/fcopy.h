/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/fcopy.h - a file that the host copies into the guest.
 *
 * It gets its name when it is complete; until then it has another, in the same directory, and goes
 * if the host cancels or the agent ends.  Only a plain file is ever written over, and by a new one.
 */
#ifndef STANDIN_AGENT_FCOPY_H
#define STANDIN_AGENT_FCOPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hyperv/wire.h"

/* Names are at most so long in UTF-8. */
#define FCOPY_NAME_MAX (3 * W_MAX_PATH + 1)

struct fcopy {
	const char *root;

	/* The copy that is going on; fd is -1 if there is none. */
	int fd, directory;
	char name[FCOPY_NAME_MAX], temporary[32];
	bool overwrite;
	uint64_t size; /* as announced; 0: nobody said */
	int error;     /* of a write that was answered before it was done; -errno */

	uint8_t *buffer; /* of bytes that follow each other */
	uint64_t buffered_at;
	size_t buffered;
};

void fcopy_init(struct fcopy *f, const char *root);
/* Removes what is not complete. */
void fcopy_finish(struct fcopy *f);

/*
 * Answers a message of `size` bytes with a status.  `wide`: the names of a START are UTF-16, as
 * the host sends them, otherwise UTF-8 in the same place.
 */
uint32_t fcopy_message(struct fcopy *f, const void *message, size_t size, bool wide);

/* When the answer is out: writes what was taken, if it is enough to be worth it. */
void fcopy_settle(struct fcopy *f);

/* The host will not go on. */
void fcopy_cancel(struct fcopy *f);

#endif
