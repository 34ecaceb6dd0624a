/* SPDX-License-Identifier: ISC */
/* The syslog sink: datagrams to a local socket or by UDP (RFC 3164), our own ones so that several
 * facilities work at once. */
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include "base/log/log_line.h"

#define LOG_SYSLOG_PATH "/dev/log"
#define LOG_SYSLOG_PORT 514
#define LOG_SYSLOG_TAG_MAX 32
#define LOG_SYSLOG_MAX (LOG_LINE_MAX + 64 + LOG_SYSLOG_TAG_MAX + 64 /* name of the machine */)

/* Number of a facility name ("mail", "daemon", "local7" and the other ones of RFC 3164; NULL =
 * mail); -1 when unknown. */
int log_syslog_facility(const char *name);
/* May it be a tag: letters, digits, '-', '_', '.' and '/', at most LOG_SYSLOG_TAG_MAX? */
bool log_syslog_is_tag(const char *tag);
/* What packets say before the process number: "mailproxyd", or with the machine's name before it.
 * tag NULL = mailproxyd. Owned; NULL without memory. */
char *log_syslog_head(const char *tag, bool has_hostname);
/* Where packets go: the socket at the path, or the address with or without port. -ERR_SYNTAX. */
int log_syslog_address(const char *text, bool is_server, struct sockaddr_storage *ret,
                       socklen_t *ret_n) NODISCARD;
/* A non-blocking datagram socket; -1 when none can be made (errno). It is connected when something
 * is sent: a restarted syslog daemon is found again. */
int log_syslog_socket(int family);
/* Writes the packet of a line with LF last; returns its bytes. One thread at a time. */
size_t log_syslog_format(char packet[LOG_SYSLOG_MAX], int facility, const char *head,
                         enum log_level level, const struct log_line *line);
/* Sends one packet of n bytes, its LF left out. n, or -1 with errno: nobody listens, or EAGAIN:
 * nobody reads. */
ssize_t log_syslog_send(int fd, const struct sockaddr *to, socklen_t to_n, const char *packet,
                        size_t n);
