/* SPDX-License-Identifier: ISC */
/* Syslog's datagrams: addresses, tags and names, the packet of RFC 3164, and servers that come and
 * go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log/log_syslog.h"
#include "base/str.h"

static void test_addresses(void **state)
{
    static const struct {
        const char *text;
        bool is_server;
        int err, family;
        unsigned port;
    } rows[] = {
        {"192.0.2.1", true, 0, AF_INET, 514},
        {"192.0.2.1:1514", true, 0, AF_INET, 1514},
        {"2001:db8::1", true, 0, AF_INET6, 514},
        {"[2001:db8::1]:1514", true, 0, AF_INET6, 1514},
        {"log.example.org", true, -ERR_SYNTAX, 0, 0},
        {"unix:/dev/log", true, -ERR_SYNTAX, 0, 0},
        {"", true, -ERR_SYNTAX, 0, 0},
        {"/dev/log", false, 0, AF_UNIX, 0},
        {"/a-path-of-more-than-108-bytes/0123456789012345678901234567890123456789/"
         "0123456789012345678901234567890123456789",
         false, -ERR_SYNTAX, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sockaddr_storage ss;
        socklen_t n;
        assert_int_equal(log_syslog_address(rows[i].text, rows[i].is_server, &ss, &n), rows[i].err);
        if (rows[i].err < 0)
            continue;
        assert_int_equal(ss.ss_family, rows[i].family);
        if (rows[i].family == AF_UNIX)
            assert_string_equal(((struct sockaddr_un *)&ss)->sun_path, rows[i].text);
        else
            assert_int_equal(ntohs(((struct sockaddr_in *)&ss)->sin_port), rows[i].port);
    }
}

static void test_words(void **state)
{
    assert_int_equal(log_syslog_facility(NULL), LOG_MAIL);
    assert_int_equal(log_syslog_facility("mail"), LOG_MAIL);
    assert_int_equal(log_syslog_facility("kern"), LOG_KERN);
    assert_int_equal(log_syslog_facility("authpriv"), LOG_AUTHPRIV);
    assert_int_equal(log_syslog_facility("local7"), LOG_LOCAL7);
    assert_int_equal(log_syslog_facility("local8"), -1);
    assert_true(log_syslog_is_tag("mail-proxy_1.0/a"));
    assert_true(log_syslog_is_tag("0123456789012345678901234567890"
                                  "1"));
    assert_false(log_syslog_is_tag("012345678901234567890123456789012"));
    assert_false(log_syslog_is_tag(""));
    assert_false(log_syslog_is_tag("a b"));
    assert_false(log_syslog_is_tag("a:"));
    assert_false(log_syslog_is_tag("a\n"));
    char host[64] = "";
    assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
    AUTO_FREE char *plain = log_syslog_head(NULL, false), *tag = log_syslog_head("t", false),
                   *both = log_syslog_head("t", true), *want = str_printf("%s t", host);
    assert_string_equal(plain, "mailproxyd");
    assert_string_equal(tag, "t");
    assert_string_equal(both, want);
}

/* A line's body without what stands before it, after time and process in syslog's words. */
static size_t packet_make(char packet[LOG_SYSLOG_MAX], enum log_level level, const char *head)
{
    static const char text[] = "2026-01-02 info login user=a\n";
    struct log_line line = {.n = sizeof(text) - 1, .body = strlen("2026-01-02 info ")};
    memcpy(line.text, text, sizeof(text));
    return log_syslog_format(packet, LOG_LOCAL3, head, level, &line);
}

static void test_packet(void **state)
{
    static const struct {
        enum log_level level;
        const char *start; /* facility * 8 + severity */
    } rows[] = {{LOG_LEVEL_ERROR, "<155>"},
                {LOG_LEVEL_WARN, "<156>"},
                {LOG_LEVEL_NOTICE, "<157>"},
                {LOG_LEVEL_INFO, "<158>"},
                {LOG_LEVEL_DEBUG, "<159>"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char packet[LOG_SYSLOG_MAX], month[4], clock[9], head[32], rest[64];
        int day, pid;
        size_t n = packet_make(packet, rows[i].level, "host.test tag");
        assert_true(n < sizeof(packet) && packet[n - 1] == '\n');
        packet[n - 1] = '\0';
        assert_true(strncmp(packet, rows[i].start, 5) == 0);
        /* "Jan  2 03:04:05 host.test tag[123]: login user=a" */
        assert_int_equal(sscanf(packet + 5, "%3s %2d %8s %31s tag[%d]: %63[^\n]", month, &day,
                                clock, head, &pid, rest),
                         6);
        assert_true(packet[5 + 3] == ' ' && packet[5 + 6] == ' ' && packet[5 + 15] == ' ');
        assert_int_equal(strlen(clock), 8);
        assert_string_equal(head, "host.test");
        assert_int_equal(pid, getpid());
        assert_string_equal(rest, "login user=a");
    }
}

/* ---- sending by UDP ---- */

static int server_make(struct sockaddr_in *at)
{
    socklen_t n = sizeof(*at);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)at, sizeof(*at)) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, &n), 0);
    return fd;
}

static void server_expect(int fd, const char *want)
{
    char got[64] = "";
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
    ssize_t n = recv(fd, got, sizeof(got) - 1, 0);
    assert_int_equal(n, strlen(want));
    assert_string_equal(got, want);
}

/* Nobody waits for a server that is not there, and the one that comes back gets what is sent then.
 */
static void test_send(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int server = server_make(&at);
    int fd = log_syslog_socket(AF_INET);
    const struct sockaddr *to = (const struct sockaddr *)&at;
    assert_true(fd >= 0);
    assert_int_equal(log_syslog_send(fd, to, sizeof(at), "one\n", 4), 4);
    server_expect(server, "one"); /* without its LF */
    close(server);
    /* the first is on its way before the kernel knows; later ones are tried, and nobody listens */
    for (int i = 0; i < 10; i++)
        (void)log_syslog_send(fd, to, sizeof(at), "lost\n", 5);
    server = server_make(&at);
    assert_int_equal(log_syslog_send(fd, to, sizeof(at), "two\n", 4), 4);
    server_expect(server, "two");
    close(server);
    close(fd);
}

/* As a local daemon: its socket is made anew at the same path. */
static void test_send_local(void **state)
{
    char folder[] = "/tmp/mailproxy-syslog-XXXXXX";
    assert_non_null(mkdtemp(folder));
    AUTO_FREE char *path = str_printf("%s/log", folder);
    struct sockaddr_storage ss;
    socklen_t n;
    assert_int_equal(log_syslog_address(path, false, &ss, &n), 0);
    int fd = log_syslog_socket(AF_UNIX);
    assert_int_equal(log_syslog_send(fd, (struct sockaddr *)&ss, n, "none\n", 5), -1);
    for (int i = 0; i < 2; i++) {
        int server = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(server, (struct sockaddr *)&ss, n), 0);
        assert_int_equal(log_syslog_send(fd, (struct sockaddr *)&ss, n, "here\n", 5), 5);
        server_expect(server, "here");
        close(server);
        assert_int_equal(unlink(path), 0);
    }
    close(fd);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),  cmocka_unit_test(test_words),
        cmocka_unit_test(test_packet),     cmocka_unit_test(test_send),
        cmocka_unit_test(test_send_local),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
