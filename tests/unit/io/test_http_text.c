/* SPDX-License-Identifier: ISC */
/* URLs, and replies cut at every point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../proto/split.h"
#include "base/cleanup.h"
#include "io/http_reply.h"
#include "io/http_url.h"

/* ---- URLs ---- */

static void test_urls(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int err;
        bool is_https;
        const char *host;
        unsigned port;
        const char *path;
    } cases[] = {
        {"http://a", 0, false, "a", 80, ""},
        {"HTTPS://a.example:8443/auth?x=1#part", 0, true, "a.example", 8443, "/auth?x=1"},
        {"http://[::1]:9000/", 0, false, "::1", 9000, "/"},
        {"https://[::1]", 0, true, "::1", 443, ""},
        {"http://a?x", 0, false, "a", 80, "?x"},
        {"http://a:/p", 0, false, "a", 80, "/p"},
        {"http://", -ERR_INVAL, false, NULL, 0, NULL},
        {"http://:80/", -ERR_INVAL, false, NULL, 0, NULL},
        {"http://[::1/", -ERR_INVAL, false, NULL, 0, NULL},
        {"http://[::1]x/", -ERR_INVAL, false, NULL, 0, NULL},
        {"http://[]/", -ERR_INVAL, false, NULL, 0, NULL},
        {"http://a:0/", -ERR_INVAL, false, NULL, 0, NULL},
        {"http://a:65536/", -ERR_INVAL, false, NULL, 0, NULL},
        {"http://a:80x/", -ERR_INVAL, false, NULL, 0, NULL},
        {"http://me:secret@a/", -ERR_INVAL, false, NULL, 0, NULL},
        {"http://a/b c", -ERR_INVAL, false, NULL, 0, NULL},
        {"http://a/\r\nX: 1", -ERR_INVAL, false, NULL, 0, NULL},
        {"ftp://a/", -ERR_INVAL, false, NULL, 0, NULL},
        {"a/b", -ERR_INVAL, false, NULL, 0, NULL},
        {"", -ERR_INVAL, false, NULL, 0, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_url u;
        if (http_url_parse(str_of(cases[i].text), &u) != cases[i].err)
            fail_msg("%s", cases[i].text);
        if (cases[i].err < 0)
            continue;
        assert_int_equal(u.is_https, cases[i].is_https);
        assert_true(str_eq(u.host, str_of(cases[i].host)));
        assert_int_equal(u.port, cases[i].port);
        assert_true(str_eq(u.path, str_of(cases[i].path)));
    }
}

static void expect_get(const char *text, const char *const *lines, size_t n, const char *request)
{
    AUTO_BUF out = BUF_INIT;
    struct http_url u;
    assert_int_equal(http_url_parse(str_of(text), &u), 0);
    assert_int_equal(http_url_get(&u, lines, n, &out), 0);
    assert_string_equal(buf_cstr(&out), request);
}

static void test_get(void **state)
{
    (void)state;
    static const char *const lines[] = {"A: 1", "host: mine"};
    expect_get("http://a", NULL, 0, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_get("http://a:80?x", NULL, 0, "GET /?x HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_get("https://[::1]:80/p", NULL, 0, "GET /p HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
    expect_get("http://a/p", lines, 2, "GET /p HTTP/1.1\r\nA: 1\r\nhost: mine\r\n\r\n");
}

/* ---- replies ---- */

struct reply_case {
    const char *bytes;
    int err;             /* -ERR_AGAIN: incomplete */
    const char *headers; /* "name=value;" */
    long status;
    bool is_kept;
    const char *rest; /* what does not belong to it */
};

struct reply_run {
    struct http_reply reply;
    int err;
    struct buf rest;
};

static void *reply_begin(void *arg)
{
    struct reply_run *r = calloc(1, sizeof(*r));
    (void)arg;
    assert_non_null(r);
    http_reply_init(&r->reply, 200);
    r->err = -ERR_AGAIN;
    return r;
}

static size_t reply_feed(void *object, struct str in)
{
    struct reply_run *r = object;
    size_t used = 0;
    if (r->err == -ERR_AGAIN)
        r->err = http_reply_feed(&r->reply, in, &used);
    if (r->err == 0)
        assert_int_equal(buf_append(&r->rest, in.p + used, in.n - used), 0);
    return r->err == 0 || r->err == -ERR_AGAIN ? in.n : SPLIT_STOP;
}

static void reply_end(void *object, void *arg, const char *how)
{
    struct reply_run *r = object;
    const struct reply_case *c = arg;
    AUTO_BUF text = BUF_INIT;
    size_t n;
    if (r->err != c->err)
        fail_msg("%s: %s instead of %s, %s", c->bytes, err_name(r->err), err_name(c->err), how);
    if (r->err == 0) {
        AUTO_FREE struct http_header *headers = http_reply_headers(&r->reply, &n);
        assert_non_null(headers);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(buf_printf(&text, "%.*s=%.*s;", STR_ARG(headers[i].name),
                                        STR_ARG(headers[i].value)),
                             0);
        assert_int_equal(buf_append_c(&text, ""), 0);
        assert_string_equal(buf_cstr(&text), c->headers);
        assert_int_equal(r->reply.status, c->status);
        assert_int_equal(r->reply.is_kept, c->is_kept);
        assert_string_equal(buf_cstr(&r->rest), c->rest ? c->rest : "");
    }
    http_reply_fini(&r->reply);
    buf_fini(&r->rest);
    free(r);
}

static void test_replies(void **state)
{
    (void)state;
    static const struct split_ops ops = {reply_begin, reply_feed, reply_end};
    static const struct reply_case cases[] = {
        {"HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 3\r\n\r\nabcrest", 0, "A=1;Content-Length=3;",
         200, true, "rest"},
        {"HTTP/1.1 200\nA:1\nB:\n\n", 0, "A=1;B=;", 200, false, NULL},
        {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 0, "Content-Length=0;", 200, false, NULL},
        {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", 0,
         "Connection=Keep-Alive;Content-Length=0;", 200, true, NULL},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 0,
         "Connection=close;Content-Length=0;", 200, false, NULL},
        {"HTTP/1.1 204 No\r\n\r\nrest", 0, "", 204, true, "rest"},
        {"HTTP/1.1 100 Go on\r\nX: 1\r\n\r\nHTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", 0,
         "Content-Length=0;", 403, true, NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA;x=y\r\n0123456789\r\n1\r\n!\r\n"
         "0\r\nAuth-Status: OK\r\n\r\nrest",
         0, "Transfer-Encoding=chunked;", 200, true, "rest"},
        {"HTTP/1.1 200 OK\r\nA: 1\r\n  2\r\n\r\n", 0, "A=1 2;", 200, false, NULL},
        {"HTTP/1.1 200 OK\r\nA: 1\r\n", -ERR_AGAIN, NULL, 0, false, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", -ERR_AGAIN, NULL, 0, false, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", -ERR_PROTOCOL, NULL, 0, false, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n", -ERR_TOO_LONG, NULL, 0, false, NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n", -ERR_TOO_LONG, NULL, 0,
         false, NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", -ERR_PROTOCOL, NULL, 0,
         false, NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", -ERR_PROTOCOL, NULL, 0,
         false, NULL},
        {"HTTP/1.1 200 OK\r\n folded\r\n\r\n", -ERR_PROTOCOL, NULL, 0, false, NULL},
        {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", -ERR_PROTOCOL, NULL, 0, false, NULL},
        {"HTTP/1.1 2x0 OK\r\n\r\n", -ERR_PROTOCOL, NULL, 0, false, NULL},
        {"HTTP/2 200 OK\r\n\r\n", -ERR_PROTOCOL, NULL, 0, false, NULL},
        {"* OK ready\r\n", -ERR_PROTOCOL, NULL, 0, false, NULL},
        {"HTTP/1.1 200 OK\r\nX: "
         "0123456789012345678901234567890123456789012345678901234567890123456789"
         "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678"
         "9012345678901234567890123456789\r\n",
         -ERR_TOO_LONG, NULL, 0, false, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        split_run(&ops, (void *)&cases[i], str_of(cases[i].bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
