/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/likeness.h - files that take another one's place.
 */
#ifndef STANDIN_AGENT_LIKENESS_H
#define STANDIN_AGENT_LIKENESS_H

/*
 * Gives the new file `fd` the owner, mode and access list of the file `old`, for which O_PATH is
 * enough.  An owner that we can't give away to keeps nothing that he needs from us.  -errno.
 */
int likeness_take(int fd, int old);

#endif
