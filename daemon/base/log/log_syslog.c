/* SPDX-License-Identifier: ISC */
/* Datagrams to the local syslog daemon. */
#include "base/log/log_syslog.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

int log_syslog_facility(const char *name)
{
    static const struct {
        const char *name;
        int facility;
    } table[] = {
        {"mail", LOG_MAIL},     {"daemon", LOG_DAEMON}, {"user", LOG_USER},
        {"auth", LOG_AUTH},     {"local0", LOG_LOCAL0}, {"local1", LOG_LOCAL1},
        {"local2", LOG_LOCAL2}, {"local3", LOG_LOCAL3}, {"local4", LOG_LOCAL4},
        {"local5", LOG_LOCAL5}, {"local6", LOG_LOCAL6}, {"local7", LOG_LOCAL7},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (!name || strcmp(table[i].name, name) == 0)
            return table[i].facility;
    return -1;
}

int log_syslog_socket(void)
{
    tzset(); /* reads its file while that is still allowed */
    return socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

size_t log_syslog_format(char packet[LOG_SYSLOG_MAX], int facility, enum log_level level,
                         const struct log_line *line)
{
    static const int severities[LOG_LEVEL_COUNT] = {LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO,
                                                    LOG_DEBUG};
    static char at[32]; /* "Jan  2 03:04:05" in local time, made once a second */
    static time_t made;
    time_t now = time(NULL);
    struct tm tm;
    if (now != made && localtime_r(&now, &tm) &&
        strftime(at, sizeof(at), "%b %e %H:%M:%S", &tm) > 0)
        made = now;
    int n = snprintf(packet, LOG_SYSLOG_MAX,
                     "<%d>%s mailproxyd[%d]: ", facility | severities[level], at, (int)getpid());
    size_t text = line->n - line->body;
    memcpy(packet + n, line->text + line->body, text);
    return (size_t)n + text;
}

/* Connected, so that poll(2) tells when a full one has room. */
ssize_t log_syslog_send(int fd, const char *path, const char *packet, size_t n)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    str_copy(to.sun_path, sizeof(to.sun_path), str_of(path));
    for (int tries = 0; tries < 2; tries++) {
        if (send(fd, packet, n - 1, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return (ssize_t)n;
        bool is_alone = errno == ENOTCONN || errno == ECONNREFUSED || errno == ECONNRESET;
        if (!is_alone || connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
            return -1;
    }
    return -1;
}
