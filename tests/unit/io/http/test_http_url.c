/* SPDX-License-Identifier: ISC */
/* The URLs that an HTTP server may have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "io/http/http_url.h"

/* want: "scheme path|host|name|port|target". */
static void check(const char *text, const char *want)
{
    struct http_url u;
    const char *why = NULL;
    char got[512];
    if (http_url_parse(text, &u, &why) == 0)
        snprintf(got, sizeof(got), "%s %.*s|%.*s|%.*s|%u|%.*s", u.is_tls ? "https" : "http",
                 STR_ARG(u.unix_path), STR_ARG(u.host), STR_ARG(u.name), u.port, STR_ARG(u.target));
    else
        snprintf(got, sizeof(got), "%s", why);
    if (strncmp(got, want, strlen(want)) != 0)
        fail_msg("%s: %s instead of %s", text, got, want);
}

static void test_good(void **state)
{
    check("http://127.0.0.1:9000/auth?x=1", "http |127.0.0.1|127.0.0.1|9000|/auth?x=1");
    check("https://auth.example.org", "https |auth.example.org|auth.example.org|443|");
    check("HTTPS://h:1/", "https |h|h|1|/");
    check("localhost:9000/auth", "http |localhost|localhost|9000|/auth");
    check("h?u=http://x@y/", "http |h|h|80|?u=http://x@y/");
    check("h:/", "http |h|h|80|/");
    check("http://[::1]:81/x#frag", "http |[::1]|::1|81|/x");
    check("[2001:db8::1]", "http |[2001:db8::1]|2001:db8::1|80|");
    check("unix:/run/auth:/uri?a:b", "http /run/auth|localhost|localhost|80|/uri?a:b");
    check("http://unix:/run/auth", "http /run/auth|localhost|localhost|80|");
    check("https://unix:/run/auth:/", "https /run/auth|localhost|localhost|443|/");
}

static void test_bad(void **state)
{
    check("", "names no host");
    check("http://", "names no host");
    check("http:///x", "names no host");
    check("http://:80/", "names no host");
    check("ftp://h/", "must begin with http:// or https://");
    check("http://a:b@h/", "must hold no password");
    check("http://h/a b", "holds a blank");
    check("http://h/\r\nX: 1", "holds a blank");
    check("http://[::1/", "names no host");
    check("http://[1.2.3.4]/", "holds a host");
    check("http://[::1]x/", "holds something");
    check("http://h:99999/", "holds a port");
    check("http://h:0/", "holds a port");
    check("http://h:8x/", "holds a port");
    check("http://h\xc3\xbc/", "holds a host");
    check("http://unix:relative", "names no host");
    check("unix:/", "names no host");
    char path[160] = "unix:/";
    memset(path + 6, 'x', 120);
    check(path, "has a path");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
