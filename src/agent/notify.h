/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/notify.h - telling systemd, sd_notify(3), when it is there to be told.
 */
#ifndef STANDIN_AGENT_NOTIFY_H
#define STANDIN_AGENT_NOTIFY_H

/* "READY=1", "STATUS=...", several with line breaks. */
void notify(const char *state);

#endif
