/* SPDX-License-Identifier: ISC */
/* Replies of a server: whole, cut everywhere, too long, too many, no replies at all; and how
 * servers are written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "io/redis/redis.h"
#include "io/redis/redis_reader.h"

#define MAX_BYTES 100000

/* "+OK", "-ERR x", ":5", "$text", "nil", "[a b]". */
static void say(struct buf *out, const struct redisReply *r)
{
    static const char signs[] = {
        [REDIS_REPLY_STRING] = '$', [REDIS_REPLY_STATUS] = '+', [REDIS_REPLY_ERROR] = '-'};
    if (r->type == REDIS_REPLY_INTEGER) {
        assert_int_equal(buf_printf(out, ":%lld", r->integer), 0);
    } else if (r->type == REDIS_REPLY_NIL) {
        assert_int_equal(buf_append_c(out, "nil"), 0);
    } else if (r->type == REDIS_REPLY_ARRAY) {
        for (size_t i = 0; i < r->elements; i++) {
            assert_int_equal(buf_append_char(out, i == 0 ? '[' : ' '), 0);
            say(out, r->element[i]);
        }
        assert_int_equal(buf_append_c(out, r->elements ? "]" : "[]"), 0);
    } else {
        assert_int_equal(strlen(r->str), r->len);
        assert_int_equal(buf_printf(out, "%c%s", signs[r->type], r->str), 0);
    }
}

/* All replies of these bytes, in pieces of so many, one a line; then the error. */
static char *read_all(struct str in, size_t piece, size_t max_bytes)
{
    struct redis_reader r;
    AUTO_BUF out = BUF_INIT;
    int err = redis_reader_init(&r, max_bytes);
    assert_int_equal(err, 0);
    while (in.n > 0 && err == 0) {
        struct str part = str_head(in, piece);
        in = str_skip(in, part.n);
        err = redis_reader_feed(&r, part);
        while (err == 0) {
            struct redisReply *reply = NULL;
            err = redis_reader_next(&r, &reply);
            if (err == 0) {
                say(&out, reply);
                assert_int_equal(buf_append_char(&out, ';'), 0);
                redis_reply_free(reply);
            }
        }
        err = err == -ERR_AGAIN ? 0 : err;
    }
    if (err < 0)
        assert_int_equal(buf_append_c(&out, err_name(err)), 0);
    redis_reader_fini(&r);
    redis_reader_fini(&r);
    return buf_steal(&out);
}

static void test_replies(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"+OK\r\n", "+OK;"},
        {"-ERR unknown command\r\n:12\r\n", "-ERR unknown command;:12;"},
        {"$5\r\nhello\r\n$0\r\n\r\n$-1\r\n", "$hello;$;nil;"},
        {"*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n*0\r\n*-1\r\n", "[$a [:1 nil]];[];nil;"},
        {"*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "[[[[:1]]]];"},
        {"HTTP/1.1 400 Bad Request\r\n", "E_PROTOCOL"},
        {"+OK\r\n?\r\n", "+OK;E_PROTOCOL"},
        {"*-7\r\n", "E_PROTOCOL"},
        {"$-7\r\n", "E_PROTOCOL"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str in = str_of(cases[i].in);
        for (size_t piece = 1; piece <= in.n; piece++) {
            AUTO_FREE char *got = read_all(in, piece, MAX_BYTES);
            assert_string_equal(got ? got : "", cases[i].out);
        }
    }
}

/* What a broken or hostile server says costs no more than a reply may. */
static void test_bounds(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"*2000000000\r\n", "E_TOO_LONG"},
        {"*2\r\n:1\r\n*90000\r\n", "E_TOO_LONG"},
        {"$100001\r\n", ""}, /* not before it comes */
        {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "[[[[[[[[:1]]]]]]]];"},
        {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "E_PROTOCOL"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_FREE char *got = read_all(str_of(cases[i].in), 7, MAX_BYTES);
        assert_string_equal(got ? got : "", cases[i].out);
    }
}

static char *fill(const char *start, size_t n, const char *again)
{
    AUTO_BUF b = BUF_INIT;
    assert_int_equal(buf_append_c(&b, start), 0);
    while (b.len < n)
        assert_int_equal(buf_append_c(&b, again), 0);
    return buf_steal(&b);
}

static void test_endless(void **state)
{
    static const struct {
        const char *start, *again, *out;
    } cases[] = {
        {"$99999999\r\n", "x", "E_TOO_LONG"},
        {"+", "x", "E_PROTOCOL"},              /* a line without end */
        {"$", "1", "E_PROTOCOL"},              /* a length without end */
        {"*9000\r\n", ":1\r\n", "E_TOO_LONG"}, /* small in bytes, large in memory */
        {"*5000\r\n", "$-1\r\n", "E_TOO_LONG"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_FREE char *in = fill(cases[i].start, 4 * MAX_BYTES, cases[i].again);
        AUTO_FREE char *got = read_all(str_of(in), 5000, MAX_BYTES);
        assert_string_equal(got ? got : "", cases[i].out);
    }
}

static void test_servers(void **state)
{
    static const struct {
        const char *text, *host, *path;
        unsigned port;
    } cases[] = {
        {"10.0.0.5:6379", "10.0.0.5", "", 6379},
        {"redis.example.org", "redis.example.org", "", 7},
        {"[::1]:80", "::1", "", 80},
        {"[fd00::5]", "fd00::5", "", 7},
        {"unix:/run/redis.sock", "", "/run/redis.sock", 0},
    };
    static const char *const bad[] = {
        "",      ":1",     "a:",     "a:0",   "a:65536", "a b",       "::1",  "[::1",
        "[1]:2", "[::1]2", "unix:x", "unix:", "a:1:2",   "redis://a", "a:+1", "unix:/"};
    struct redis_server at;
    const char *why;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(redis_server_parse(str_of(cases[i].text), 7, &at, &why), 0);
        assert_true(str_eq(at.host, str_of(cases[i].host)));
        assert_true(str_eq(at.unix_path, str_of(cases[i].path)));
        assert_int_equal(at.port, cases[i].port);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        why = NULL;
        if (redis_server_parse(str_of(bad[i]), 7, &at, &why) != -ERR_SYNTAX || !why)
            fail_msg("\"%s\" is taken", bad[i]);
    }
    assert_int_equal(redis_server_parse(STR("a\0b"), 7, &at, &why), -ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
