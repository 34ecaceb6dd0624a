/* SPDX-License-Identifier: ISC */
/* Datagrams to the local syslog daemon. */
#include "base/log_syslog.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

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

int log_syslog_connect(void)
{
    return socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

void log_syslog_send(int fd, int facility, enum log_level level, const struct log_line *line)
{
    static const int severities[LOG_LEVEL_COUNT] = {LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO,
                                                    LOG_DEBUG};
    static const struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    char packet[LOG_LINE_MAX + 64], time_text[32];
    time_t now = time(NULL);
    struct tm tm;
    if (!localtime_r(&now, &tm) || !strftime(time_text, sizeof(time_text), "%b %e %H:%M:%S", &tm))
        return;
    int n = snprintf(packet, sizeof(packet), "<%d>%s mailproxyd[%d]: %.*s",
                     facility | severities[level], time_text, (int)getpid(),
                     (int)(line->n - line->body - 1), line->text + line->body);
    if (n > 0)
        sendto(fd, packet, (size_t)n, MSG_NOSIGNAL, (const struct sockaddr *)&to, sizeof(to));
}
