/* SPDX-License-Identifier: ISC */
/* The syslog sink: datagrams to /dev/log (RFC 3164), our own socket so that several facilities work
 * at once. */
#pragma once

#include "base/log_line.h"

/* Number of a facility name ("mail", "daemon", "user", "auth", "local0".."local7"; NULL = mail); -1
 * when unknown. */
int log_syslog_facility(const char *name);
/* A non-blocking datagram socket; -1 when none can be made. It is connected at each send: a
 * restarted syslog daemon is found again. */
int log_syslog_connect(void);
/* Sends one line; silently lost when nobody listens. Thread: any. */
void log_syslog_send(int fd, int facility, enum log_level level, const struct log_line *line);
