/* SPDX-License-Identifier: ISC */
/* The syslog sink: datagrams to a local socket (RFC 3164), our own ones so that several facilities
 * work at once. */
#pragma once

#include <sys/types.h>

#include "base/log/log_line.h"

#define LOG_SYSLOG_PATH "/dev/log"
#define LOG_SYSLOG_MAX (LOG_LINE_MAX + 64)

/* Number of a facility name ("mail", "daemon", "user", "auth", "local0".."local7"; NULL = mail); -1
 * when unknown. */
int log_syslog_facility(const char *name);
/* A non-blocking datagram socket; -1 when none can be made (errno). It is connected when something
 * is sent: a restarted syslog daemon is found again. */
int log_syslog_socket(void);
/* Writes the packet of a line with LF last; returns its bytes. One thread at a time. */
size_t log_syslog_format(char packet[LOG_SYSLOG_MAX], int facility, enum log_level level,
                         const struct log_line *line);
/* Sends one packet of n bytes, its LF left out, to the socket at path. n, or -1 with errno: nobody
 * listens, or EAGAIN: nobody reads. */
ssize_t log_syslog_send(int fd, const char *path, const char *packet, size_t n);
