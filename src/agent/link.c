/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The first retry is at once, since after a suspend nothing is wrong; each further one takes twice
 * as long as the one before, until the kernel's side has answered a registration.
 */
#include "agent/link.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "agent/clock.h"
#include "agent/log.h"

#define WAIT_MIN (20 * CLOCK_MS)
#define WAIT_MAX (10 * CLOCK_SECOND)

void link_init(struct link *l, const char *name)
{
	memset(l, 0, sizeof(*l));
	l->name = name;
	l->fd = -1;
	l->due = CLOCK_NEVER;
}

void link_opened(struct link *l, int fd)
{
	l->fd = fd;
	l->greeted = false;
	l->due = CLOCK_NEVER;
}

void link_greeted(struct link *l)
{
	l->greeted = true;
	l->wait = 0;
	l->complaint = 0;
}

void link_close(struct link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	l->greeted = false;
	l->due = CLOCK_NEVER;
}

void link_failed(struct link *l, int error)
{
	link_close(l);
	l->due = clock_now() + l->wait;
	l->wait = l->wait ? clock_earlier(2 * l->wait, WAIT_MAX) : WAIT_MIN;
	if (error == l->complaint)
		return;
	l->complaint = error;
	if (error == -ENOENT)
		log_line(LOG_WARNING, "%s: there is no such device; waiting for it", l->name);
	else if (error == -EBUSY)
		log_line(LOG_WARNING, "%s: another daemon uses the device; waiting for it",
			 l->name);
	else
		log_line(LOG_WARNING, "%s: %s; registering again", l->name, strerror(-error));
}
