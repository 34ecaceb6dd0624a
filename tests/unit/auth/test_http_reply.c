/* SPDX-License-Identifier: ISC */
/* The reply of auth_http: every header, right, wrong and odd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "auth/auth_http_reply.h"
#include "base/buf.h"

#define HEADERS_MAX 8

/* text: "Name=value;Name=value" */
static struct auth_http_reply parse(const char *text)
{
    struct http_header headers[HEADERS_MAX];
    struct auth_http_reply r;
    struct str rest = str_of(text);
    size_t n = 0;
    while (rest.n > 0) {
        struct str value = str_cut(&rest, ';');
        struct str name = str_cut(&value, '=');
        assert_true(n < HEADERS_MAX);
        headers[n++] = (struct http_header){name, value};
    }
    auth_http_reply_parse(headers, n, &r);
    return r;
}

/* "verdict text|code|wait|server:port|pool|backend|user|pass|smtp" */
static const char *describe(const struct auth_http_reply *r)
{
    static char text[400];
    static const char *const verdicts[] = {"OK", "WAIT", "REFUSED", "NONSENSE"};
    AUTO_BUF b = BUF_INIT;
    bool is_refused = r->verdict == AUTH_HTTP_REFUSED;
    assert_int_equal(buf_printf(&b, "%s %.*s|%.*s|%u|%.*s:%u|%.*s|%.*s|%.*s|%.*s|%d",
                                verdicts[r->verdict], is_refused ? (int)r->text.n : 0, r->text.p,
                                STR_ARG(r->code), (unsigned)r->wait_ms, STR_ARG(r->server), r->port,
                                STR_ARG(r->pool), STR_ARG(r->backend), STR_ARG(r->user),
                                STR_ARG(r->pass), r->smtp_auth),
                     0);
    assert_int_equal(r->problem != NULL, r->verdict == AUTH_HTTP_NONSENSE);
    assert_int_equal(r->has_user, r->user.n > 0);
    assert_int_equal(r->has_pass, r->pass.n > 0);
    (void)str_copy(text, sizeof(text), buf_str(&b));
    return text;
}

static void test_good(void **state)
{
    static const struct {
        const char *headers, *want;
    } cases[] = {
        {"Auth-Status=OK", "OK ||0|:0|||||-1"},
        {"Auth-Status=OK;Auth-Server=10.0.0.1;Auth-Port=143", "OK ||0|10.0.0.1:143|||||-1"},
        {"auth-status=OK;AUTH-SERVER=10.0.0.1;auth-port=1", "OK ||0|10.0.0.1:1|||||-1"},
        {"Auth-Status=OK;Auth-Server=::1;Auth-Port=65535", "OK ||0|::1:65535|||||-1"},
        {"Auth-Status=OK;Auth-Server=[2001:db8::1];Auth-Port=993", "OK ||0|2001:db8::1:993|||||-1"},
        {"Auth-Status=OK;Auth-Server=mail-1.example.org;Auth-Port=143",
         "OK ||0|mail-1.example.org:143|||||-1"},
        {"Auth-Status=OK;Auth-Server=my_host;Auth-Port=143", "OK ||0|my_host:143|||||-1"},
        {"Auth-Status=OK;Auth-Server=3com.example;Auth-Port=143", "OK ||0|3com.example:143|||||-1"},
        {"Auth-Status=OK;Auth-Pool=main;Auth-Backend=b1", "OK ||0|:0|main|b1|||-1"},
        {"Auth-Status=OK;Auth-User=carol;Auth-Pass=p%20w", "OK ||0|:0|||carol|p%20w|-1"},
        {"Auth-Status=OK;Auth-User=;Auth-Pass=", "OK ||0|:0|||||-1"},
        {"Auth-Status=OK;Auth-SMTP=yes", "OK ||0|:0|||||1"},
        {"Auth-Status=OK;Auth-SMTP=No", "OK ||0|:0|||||0"},
        /* the wild sends a delay with everything */
        {"Auth-Status=OK;Auth-Wait=3", "OK ||3000|:0|||||-1"},
        {"Auth-Status=OK;Auth-Wait=x", "OK ||0|:0|||||-1"},
        {"Auth-Status=OK;Server=nginx;X_Odd!Name=1;Content-Length=0", "OK ||0|:0|||||-1"},
        /* the last one counts */
        {"Auth-Status=OK;Auth-User=a;Auth-User=b", "OK ||0|:0|||b||-1"},
        {"Auth-Status=WAIT", "WAIT ||0|:0|||||-1"},
        {"Auth-Status=WAIT;Auth-Wait=2", "WAIT ||2000|:0|||||-1"},
        {"Auth-Status=WAIT;Auth-Wait=99999999999999999999", "WAIT ||3600000|:0|||||-1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct auth_http_reply r = parse(cases[i].headers);
        if (strcmp(describe(&r), cases[i].want) != 0)
            fail_msg("%s: %s instead of %s", cases[i].headers, describe(&r), cases[i].want);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *headers, *want;
    } cases[] = {
        {"Auth-Status=Invalid login", "REFUSED Invalid login||0|:0|||||-1"},
        {"Auth-Status=ok", "REFUSED ok||0|:0|||||-1"},
        {"Auth-Status=OK ", "REFUSED OK ||0|:0|||||-1"},
        {"Auth-Status=wait", "REFUSED wait||0|:0|||||-1"},
        {"Auth-Status=", "REFUSED ||0|:0|||||-1"},
        {"Auth-Status=No;Auth-Wait=3", "REFUSED No||3000|:0|||||-1"},
        {"Auth-Status=No;Auth-Wait=0", "REFUSED No||0|:0|||||-1"},
        {"Auth-Status=No;Auth-Wait=-1", "REFUSED No||0|:0|||||-1"},
        {"Auth-Status=No;Auth-Wait=4000", "REFUSED No||3600000|:0|||||-1"},
        /* a later OK changes nothing, whatever comes first */
        {"Auth-Status=No;Auth-Status=OK", "REFUSED No||0|:0|||||-1"},
        {"Auth-Status=OK;Auth-Status=No", "REFUSED No||0|:0|||||-1"},
        {"Auth-Status=WAIT;Auth-Status=No", "REFUSED No||0|:0|||||-1"},
        {"Auth-Status=One;Auth-Status=Two", "REFUSED One||0|:0|||||-1"},
        /* nor does nonsense beside it */
        {"Auth-Status=No;Auth-Port=0", "REFUSED No||0|:0|||||-1"},
        {"Auth-Status=No;Auth-Error-Code=451 4.3.0", "REFUSED No|451 4.3.0|0|:0|||||-1"},
        {"Auth-Status=No;Auth-Error-Code=535", "REFUSED No|535|0|:0|||||-1"},
        {"Auth-Status=No;Auth-Error-Code=535 5.7.123", "REFUSED No|535 5.7.123|0|:0|||||-1"},
        {"Auth-Status=No;Auth-Error-Code=235 2.0.0", "REFUSED No||0|:0|||||-1"},
        {"Auth-Status=No;Auth-Error-Code=600", "REFUSED No||0|:0|||||-1"},
        {"Auth-Status=No;Auth-Error-Code=53", "REFUSED No||0|:0|||||-1"},
        {"Auth-Status=No;Auth-Error-Code=5350", "REFUSED No||0|:0|||||-1"},
        {"Auth-Status=No;Auth-Error-Code=535 4.7.0", "REFUSED No||0|:0|||||-1"},
        {"Auth-Status=No;Auth-Error-Code=535 5.7", "REFUSED No||0|:0|||||-1"},
        {"Auth-Status=No;Auth-Error-Code=535 5.7.0.1", "REFUSED No||0|:0|||||-1"},
        {"Auth-Status=No;Auth-Error-Code=535 5.7.1234", "REFUSED No||0|:0|||||-1"},
        {"Auth-Status=No;Auth-Error-Code=535-5.7.0", "REFUSED No||0|:0|||||-1"},
        {"Auth-Status=No;Auth-Error-Code=535 go away", "REFUSED No||0|:0|||||-1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct auth_http_reply r = parse(cases[i].headers);
        if (strcmp(describe(&r), cases[i].want) != 0)
            fail_msg("%s: %s instead of %s", cases[i].headers, describe(&r), cases[i].want);
    }
}

static void test_nonsense(void **state)
{
    static const char *const cases[] = {
        "", /* NGINX takes these three for success */
        "Auth-Server=10.0.0.1;Auth-Port=143",
        "Content-Length=0",
        "Auth-Status=OK;Auth-Server=10.0.0.1",
        "Auth-Status=OK;Auth-Port=143",
        "Auth-Status=OK;Auth-Server=10.0.0.1;Auth-Port=0",
        "Auth-Status=OK;Auth-Server=10.0.0.1;Auth-Port=65536",
        "Auth-Status=OK;Auth-Server=10.0.0.1;Auth-Port=imap",
        "Auth-Status=OK;Auth-Server=10.0.0.1;Auth-Port=",
        "Auth-Status=OK;Auth-Server=10.0.0.1;Auth-Port=-1",
        "Auth-Status=OK;Auth-Server=;Auth-Port=143",
        "Auth-Status=OK;Auth-Server=10.0.0.256;Auth-Port=143",
        "Auth-Status=OK;Auth-Server=10.0.0;Auth-Port=143",
        "Auth-Status=OK;Auth-Server=10.0.0.1:143;Auth-Port=143",
        "Auth-Status=OK;Auth-Server=10.0.0.1:0;Auth-Port=143",
        "Auth-Status=OK;Auth-Server=[10.0.0.1];Auth-Port=143",
        "Auth-Status=OK;Auth-Server=[[::1]];Auth-Port=143",
        "Auth-Status=OK;Auth-Server=[::1;Auth-Port=143",
        "Auth-Status=OK;Auth-Server=[::1]:143;Auth-Port=143",
        "Auth-Status=OK;Auth-Server=[];Auth-Port=143",
        "Auth-Status=OK;Auth-Server=::g;Auth-Port=143",
        "Auth-Status=OK;Auth-Server=unix:/tmp/x;Auth-Port=143",
        "Auth-Status=OK;Auth-Server=host/../x;Auth-Port=143",
        "Auth-Status=OK;Auth-Server=-host;Auth-Port=143",
        "Auth-Status=OK;Auth-Server=.host;Auth-Port=143",
        "Auth-Status=OK;Auth-Server=not a host!;Auth-Port=143",
        "Auth-Status=OK;Auth-SMTP=maybe",
        "Auth-Status=OK;Auth-User=\xff",
        "Auth-Status=OK;Auth-User=a\rb",
        "Auth-Status=OK;Auth-Pass=a\nb",
        "Auth-Status=OK;Auth-Pool=a\r\nb",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct auth_http_reply r = parse(cases[i]);
        if (r.verdict != AUTH_HTTP_NONSENSE)
            fail_msg("\"%s\" passed: %s", cases[i], describe(&r));
    }
}

static void test_nul(void **state)
{
    const struct http_header headers[] = {{STR("Auth-Status"), STR("OK")},
                                          {STR("Auth-User"), STR("bob\0admin")}};
    struct auth_http_reply r;
    auth_http_reply_parse(headers, 2, &r);
    assert_int_equal(r.verdict, AUTH_HTTP_NONSENSE);
}

/* A name of 253 characters is the longest. */
static void test_long_names(void **state)
{
    char name[256];
    memset(name, 'a', sizeof(name));
    for (size_t n = 252; n <= 255; n++) {
        const struct http_header headers[] = {{STR("Auth-Status"), STR("OK")},
                                              {STR("Auth-Server"), str_n(name, n)},
                                              {STR("Auth-Port"), STR("1")}};
        struct auth_http_reply r;
        auth_http_reply_parse(headers, 3, &r);
        assert_int_equal(r.verdict, n <= 253 ? AUTH_HTTP_OK : AUTH_HTTP_NONSENSE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),       cmocka_unit_test(test_refused),
        cmocka_unit_test(test_nonsense),   cmocka_unit_test(test_nul),
        cmocka_unit_test(test_long_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
