/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A standin inside a standin must not build its tree from the outer one's tree.  The way
 * out is to drop the two environment variables and to execute the same program again.
 */
#include "cli/nested.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/library.h"
#include "core/environment.h"

void nested_leave(char **argv)
{
	char *preload = getenv("LD_PRELOAD");

	if (!getenv(ENV_DIRECTORY))
		return;
	unsetenv(ENV_DIRECTORY);
	if (preload) {
		preload_list_remove(preload, PRELOAD_LIBRARY);
		if (*preload == '\0')
			unsetenv("LD_PRELOAD");
	}
	execv("/proc/self/exe", argv);
}
