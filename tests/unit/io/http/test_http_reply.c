/* SPDX-License-Identifier: ISC */
/* The parser of HTTP replies: each case whole, byte by byte and split at every point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/http/http_reply.h"
#include "tests/unit/proto/split.h"

#define MAX_BYTES 300

struct reply_case {
    const char *in; /* up to its NUL */
    int err;
    const char *want; /* "status name=value;... kept rest" */
};

struct reply_run {
    struct http_reply reply;
    struct buf rest;
    int err;
};

static void *begin(void *arg)
{
    struct reply_run *run = calloc(1, sizeof(*run));
    (void)arg;
    assert_non_null(run);
    run->reply.max_bytes = MAX_BYTES;
    run->err = -ERR_AGAIN;
    return run;
}

/* What follows the reply is collected: all of it must be left over. */
static size_t feed(void *object, struct str in)
{
    struct reply_run *run = object;
    size_t used = 0;
    if (run->err == -ERR_AGAIN)
        run->err = http_reply_feed(&run->reply, in, &used);
    else if (run->err == 0)
        assert_int_equal(http_reply_feed(&run->reply, in, &used), 0);
    else
        return SPLIT_STOP;
    assert_true(used <= in.n);
    if (run->err == -ERR_AGAIN)
        assert_int_equal(used, in.n);
    if (run->err == 0)
        assert_int_equal(buf_append_str(&run->rest, str_skip(in, used)), 0);
    return in.n;
}

static void end(void *object, void *arg, const char *how)
{
    struct reply_run *run = object;
    const struct reply_case *c = arg;
    struct http_reply *r = &run->reply;
    AUTO_BUF got = BUF_INIT;
    if (run->err == 0) {
        assert_int_equal(buf_printf(&got, "%u ", r->status), 0);
        for (size_t i = 0; i < r->n_headers; i++)
            assert_int_equal(buf_printf(&got, "%.*s=%.*s;", STR_ARG(r->headers[i].name),
                                        STR_ARG(r->headers[i].value)),
                             0);
        assert_int_equal(
            buf_printf(&got, "%s %.*s", r->is_kept ? " kept" : "", STR_ARG(buf_str(&run->rest))),
            0);
    }
    if (run->err != c->err || (run->err == 0 && strcmp(buf_cstr(&got), c->want) != 0))
        fail_msg("%s, %s: %s \"%s\" instead of %s \"%s\"", c->in, how, err_name(run->err),
                 got.len ? buf_cstr(&got) : "", err_name(c->err), c->want ? c->want : "");
    http_reply_fini(r);
    assert_null(r->head.data);
    buf_fini(&run->rest);
    free(run);
}

static void run(const struct reply_case *cases, size_t n)
{
    static const struct split_ops ops = {begin, feed, end};
    for (size_t i = 0; i < n; i++) {
        struct reply_case c = cases[i];
        split_run(&ops, &c, str_of(c.in));
    }
}

#define RUN(...)                                                                                   \
    do {                                                                                           \
        static const struct reply_case cases_[] = {__VA_ARGS__};                                   \
        run(cases_, sizeof(cases_) / sizeof(cases_[0]));                                           \
    } while (0)

#define OK "HTTP/1.1 200 OK\r\n"
#define EMPTY "Content-Length: 0\r\n\r\n"

static void test_status(void **state)
{
    RUN({"HTTP/1.1 200 OK\r\n" EMPTY, 0, "200 Content-Length=0; kept "},
        {"HTTP/1.1 599\n" EMPTY, 0, "599 Content-Length=0; kept "},
        {"HTTP/1.1 200 \r\n" EMPTY, 0, "200 Content-Length=0; kept "},
        {"HTTP/1.0 200 OK\r\n" EMPTY, 0, "200 Content-Length=0; "},
        {"HTTP/1.9 200 OK\r\n" EMPTY, 0, "200 Content-Length=0; kept "},
        {"\r\n" OK EMPTY, -ERR_PROTOCOL, NULL}, {"HTTP/2 200\r\n\r\n", -ERR_PROTOCOL, NULL},
        {"HTTP/1.1  200\r\n\r\n", -ERR_PROTOCOL, NULL},
        {"HTTP/1.1 20\r\n\r\n", -ERR_PROTOCOL, NULL},
        {"HTTP/1.1 2000\r\n\r\n", -ERR_PROTOCOL, NULL},
        {"HTTP/1.1 +20 x\r\n\r\n", -ERR_PROTOCOL, NULL},
        {"HTTP/1.1 099 x\r\n\r\n", -ERR_PROTOCOL, NULL},
        {"HTTP/1.x 200 OK\r\n\r\n", -ERR_PROTOCOL, NULL}, {"SMTP\r\n", -ERR_PROTOCOL, NULL},
        {"http/1.1 200 OK\r\n\r\n", -ERR_PROTOCOL, NULL});
}

static void test_fields(void **state)
{
    RUN({OK "A: 1\r\nA:2\nB :\t3 \r\n" EMPTY, 0, "200 A=1;A=2;B=3;Content-Length=0; kept "},
        {OK "A:\r\n" EMPTY, 0, "200 A=;Content-Length=0; kept "},
        {OK "A: 1\r\n 2\r\n\t 3 \r\n" EMPTY, 0, "200 A=1 2 3;Content-Length=0; kept "},
        {OK "A:\r\n 2\r\n" EMPTY, 0, "200 A=2;Content-Length=0; kept "},
        {OK "A: 1\r\n \t\r\nB: 2\r\n" EMPTY, 0, "200 A=1;B=2;Content-Length=0; kept "},
        {OK " folded\r\n" EMPTY, -ERR_PROTOCOL, NULL}, {OK "A\r\n" EMPTY, -ERR_PROTOCOL, NULL},
        {OK ": 1\r\n" EMPTY, -ERR_PROTOCOL, NULL}, {OK "A B: 1\r\n" EMPTY, -ERR_PROTOCOL, NULL},
        {OK "A\xc3\xbc: 1\r\n" EMPTY, -ERR_PROTOCOL, NULL},
        {OK "A: 1\rB: 2\r\n" EMPTY, -ERR_PROTOCOL, NULL},
        {OK "A: 1\r\n 2\r3\r\n" EMPTY, -ERR_PROTOCOL, NULL},
        {OK "A: \xff\x01\r\n" EMPTY, 0, "200 A=\xff\x01;Content-Length=0; kept "});
}

static void test_length(void **state)
{
    RUN({OK "Content-Length: 5\r\n\r\nhello", 0, "200 Content-Length=5; kept "},
        {OK "Content-Length: 5\r\n\r\nhelloHTTP", 0, "200 Content-Length=5; kept HTTP"},
        {OK "Content-Length: 5\r\n\r\nhell", -ERR_AGAIN, NULL},
        {OK "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", 0,
         "200 Content-Length=2;Content-Length=2; kept "},
        {OK "Content-Length: 2\r\nContent-Length: 3\r\n\r\n", -ERR_PROTOCOL, NULL},
        {OK "Content-Length: -1\r\n\r\n", -ERR_PROTOCOL, NULL},
        {OK "Content-Length: 1 2\r\n\r\n", -ERR_PROTOCOL, NULL},
        {OK "Content-Length:\r\n\r\n", -ERR_PROTOCOL, NULL},
        {OK "Content-Length: 0x5\r\n\r\n", -ERR_PROTOCOL, NULL},
        {OK "Content-Length: 1048577\r\n\r\n", -ERR_TOO_LONG, NULL},
        {OK "Content-Length: 99999999999999999999999\r\n\r\n", -ERR_TOO_LONG, NULL});
}

/* Servers written for NGINX say nothing about their body; 204 and 304 have none. */
static void test_no_length(void **state)
{
    RUN({OK "A: 1\r\n\r\n", 0, "200 A=1; "}, {OK "A: 1\r\n\r\nbody", 0, "200 A=1; body"},
        {OK "Connection: keep-alive\r\n\r\n", 0, "200 Connection=keep-alive; "},
        {"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nHTTP", 0, "204 Content-Length=5; kept HTTP"},
        {"HTTP/1.1 304 No\r\n\r\nHTTP", 0, "304  kept HTTP"},
        {"HTTP/1.0 204 No\r\n\r\n", 0, "204  "});
}

static void test_chunks(void **state)
{
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"
#define FIELD "200 Transfer-Encoding=chunked; kept "
    RUN({CHUNKED "5\r\nhello\r\n0\r\n\r\n", 0, FIELD},
        {CHUNKED "0005;x=\"1\"\r\nhello\r\nA\n0123456789\n0\n\nrest", 0, FIELD "rest"},
        {CHUNKED "0\r\nAuth-Status: OK\r\nX: 1\r\n\r\n", 0, FIELD}, /* trailers are no fields */
        {CHUNKED "5 \r\nhello\r\n00\r\n\r\n", 0, FIELD},
        {CHUNKED "5\r\nhello\r\n0\r\n", -ERR_AGAIN, NULL},
        {CHUNKED "5\r\nhello0\r\n\r\n", -ERR_PROTOCOL, NULL}, {CHUNKED "\r\n", -ERR_PROTOCOL, NULL},
        {CHUNKED ";x\r\n", -ERR_PROTOCOL, NULL}, {CHUNKED "g\r\n", -ERR_PROTOCOL, NULL},
        {CHUNKED "-5\r\nhello\r\n", -ERR_PROTOCOL, NULL},
        {CHUNKED "5\r\nhello\r\r\n0\r\n\r\n", -ERR_PROTOCOL, NULL},
        {CHUNKED "100001\r\n", -ERR_TOO_LONG, NULL},
        {CHUNKED "ffffffffffffffffffff", -ERR_TOO_LONG, NULL},
        {OK "Transfer-Encoding: gzip , Chunked\r\n\r\n0\r\n\r\n", 0,
         "200 Transfer-Encoding=gzip , Chunked; kept "},
        {OK "Transfer-Encoding: chunked, gzip\r\n\r\n", 0, "200 Transfer-Encoding=chunked, gzip; "},
        /* both: the chunks count, and the connection ends */
        {OK "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0,
         "200 Content-Length=3;Transfer-Encoding=chunked; "},
        {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0,
         "200 Transfer-Encoding=chunked; "});
}

static void test_connection(void **state)
{
    RUN({OK "Connection: close\r\n" EMPTY, 0, "200 Connection=close;Content-Length=0; "},
        {OK "Connection: x , CLOSE\r\n" EMPTY, 0, "200 Connection=x , CLOSE;Content-Length=0; "},
        {OK "Connection: keep-alive\r\n" EMPTY, 0,
         "200 Connection=keep-alive;Content-Length=0; kept "},
        {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n" EMPTY, 0,
         "200 Connection=Keep-Alive;Content-Length=0; kept "});
}

static void test_interim(void **state)
{
#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
    RUN({"HTTP/1.1 103 Hints\r\nContent-Length: 9\r\n\r\n" CONTINUE OK "B: 2\r\n" EMPTY, 0,
         "200 B=2;Content-Length=0; kept "},
        {"HTTP/1.1 101 Switching\r\n\r\n", -ERR_PROTOCOL, NULL},
        {CONTINUE CONTINUE CONTINUE CONTINUE CONTINUE CONTINUE CONTINUE CONTINUE OK EMPTY, 0,
         "200 Content-Length=0; kept "},
        {CONTINUE CONTINUE CONTINUE CONTINUE CONTINUE CONTINUE CONTINUE CONTINUE CONTINUE,
         -ERR_PROTOCOL, NULL});
}

static int feed_many(struct http_reply *r, const char *bytes, size_t times)
{
    int err = -ERR_AGAIN;
    for (size_t i = 0; i < times && err == -ERR_AGAIN; i++) {
        size_t used;
        err = http_reply_feed(r, str_of(bytes), &used);
    }
    return err;
}

/* Nothing grows without bound: neither a line, nor the fields, nor the body in pieces of a byte. */
static void test_bounds(void **state)
{
    static const struct {
        const char *head, *more;
        size_t max_bytes, times;
    } cases[] = {
        {"HTTP/1.1 200 ", "x", 1000, 2000},
        {OK, "A: 1\r\n", 1000, 2000},
        {OK, "A:\n", 1000000, 2000}, /* too many of them */
        {OK "A: 1", "\r\n 2", 1000, 2000},
        {"", "HTTP/1.1 100 Go on\r\nA: 1\r\n\r\n", 1000, 2000},
        {CHUNKED, "1\r\nx\r\n", 1000, 400000},
        {CHUNKED "1;", "x", 1000, 1100000},
        {CHUNKED "0\r\n", "A: 1\r\n", 1000, 400000},
        {CHUNKED, "0", 1000, 1100000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_reply r = {.max_bytes = cases[i].max_bytes};
        int err = feed_many(&r, cases[i].head, cases[i].head[0] ? 1 : 0);
        assert_int_equal(err, -ERR_AGAIN);
        err = feed_many(&r, cases[i].more, cases[i].times);
        if (err != -ERR_TOO_LONG && err != -ERR_PROTOCOL)
            fail_msg("case %zu: %s", i, err_name(err));
        assert_true(r.head.cap <= 2 * cases[i].max_bytes);
        http_reply_fini(&r);
    }
}

static void test_nul(void **state)
{
    static const char reply[] = OK "A: 1\0x\r\n" EMPTY;
    struct http_reply r = {.max_bytes = 1000};
    size_t used;
    assert_int_equal(http_reply_feed(&r, str_n(reply, sizeof(reply) - 1), &used), -ERR_PROTOCOL);
    http_reply_fini(&r);
}

static void test_end(void **state)
{
    struct http_reply r = {.max_bytes = 1000};
    assert_string_equal(http_reply_end_text(&r), "the server closed without a reply");
    (void)feed_many(&r, OK, 1);
    assert_string_equal(http_reply_end_text(&r), "the reply ends within its headers");
    (void)feed_many(&r, "Content-Length: 5\r\n\r\n", 1);
    assert_string_equal(http_reply_end_text(&r), "the reply ends within its body");
    http_reply_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),  cmocka_unit_test(test_fields),
        cmocka_unit_test(test_length),  cmocka_unit_test(test_no_length),
        cmocka_unit_test(test_chunks),  cmocka_unit_test(test_connection),
        cmocka_unit_test(test_interim), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_nul),     cmocka_unit_test(test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
