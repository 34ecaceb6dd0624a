/* SPDX-License-Identifier: ISC */
/* Datagrams to a syslog daemon, of this machine or another one. */
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

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/str.h"

int log_syslog_facility(const char *name)
{
    /* by their numbers */
    static const char *const table[] = {
        "kern",   "user",   "mail",     "daemon", "auth",   "syslog", "lpr",    "news",
        "uucp",   "clock",  "authpriv", "ftp",    "ntp",    "audit",  "alert",  "cron",
        "local0", "local1", "local2",   "local3", "local4", "local5", "local6", "local7"};
    if (!name)
        return LOG_MAIL;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (strcmp(table[i], name) == 0)
            return (int)(i << 3);
    return -1;
}

bool log_syslog_is_tag(const char *tag)
{
    size_t n = strlen(tag);
    return n > 0 && n <= LOG_SYSLOG_TAG_MAX &&
           strspn(tag, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./") == n;
}

char *log_syslog_head(const char *tag, bool has_hostname)
{
    char host[64] = "";
    if (has_hostname && gethostname(host, sizeof(host) - 1) < 0)
        *host = '\0';
    return str_printf("%s%s%.*s", host, *host ? " " : "", LOG_SYSLOG_TAG_MAX,
                      tag ? tag : "mailproxyd");
}

int log_syslog_address(const char *text, bool is_server, struct sockaddr_storage *ret,
                       socklen_t *ret_n)
{
    struct sockaddr_un *local = (struct sockaddr_un *)ret;
    struct addr a;
    memset(ret, 0, sizeof(*ret));
    if (!is_server) {
        local->sun_family = AF_UNIX;
        *ret_n = sizeof(*local);
        return str_copy(local->sun_path, sizeof(local->sun_path), str_of(text)) ? 0 : -ERR_SYNTAX;
    }
    if (addr_parse(str_of(text), &a) < 0 || (a.family != AF_INET && a.family != AF_INET6))
        return -ERR_SYNTAX;
    if (a.port == 0)
        a.port = LOG_SYSLOG_PORT;
    *ret_n = addr_to_sockaddr(&a, ret);
    return 0;
}

int log_syslog_socket(int family)
{
    tzset(); /* reads its file while that is still allowed */
    return socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

size_t log_syslog_format(char packet[LOG_SYSLOG_MAX], int facility, const char *head,
                         enum log_level level, const struct log_line *line)
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
    int n = snprintf(packet, LOG_SYSLOG_MAX, "<%d>%s %s[%d]: ", facility | severities[level], at,
                     head, (int)getpid());
    size_t text = line->n - line->body;
    memcpy(packet + n, line->text + line->body, text);
    return (size_t)n + text;
}

/* Connected, so that poll(2) tells when a full one has room. Of UDP an error is that of an earlier
 * packet: once more, to the same. */
ssize_t log_syslog_send(int fd, const struct sockaddr *to, socklen_t to_n, const char *packet,
                        size_t n)
{
    for (int tries = 0; tries < 2; tries++) {
        if (send(fd, packet, n - 1, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return (ssize_t)n;
        bool is_alone = errno == ENOTCONN || errno == EDESTADDRREQ || errno == ECONNREFUSED ||
                        errno == ECONNRESET;
        if (!is_alone || connect(fd, to, to_n) < 0)
            return -1;
    }
    return -1;
}
