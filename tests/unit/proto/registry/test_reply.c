/* SPDX-License-Identifier: ISC */
/* Replies, failures of backends, phases of the relay, and the registry: the tables and the cleaning
 * of foreign text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/back.h"
#include "proto/front.h"
#include "proto/registry/registry.h"
#include "proto/watch.h"

/* "AUTH_FAILED" -> "auth-failed" */
static void assert_name_of(const char *name, const char *id)
{
    assert_non_null(name);
    assert_int_equal(strlen(name), strlen(id));
    for (size_t i = 0; id[i]; i++) {
        char want = id[i] == '_' ? '-' : (char)(id[i] >= 'A' && id[i] <= 'Z' ? id[i] + 32 : id[i]);
        assert_int_equal(name[i], want);
    }
}

static void test_names(void **state)
{
#define R(id, text)                                                                                \
    assert_name_of(reply_name(REPLY_##id), #id);                                                   \
    assert_string_equal(reply_text(REPLY_##id), text);
    REPLY_KINDS(R)
#undef R
#define B(id, name, retry, reply, health)                                                          \
    assert_name_of(back_failure_name(BACK_FAIL_##id), #id);                                        \
    assert_string_equal(back_failure_name(BACK_FAIL_##id), name);                                  \
    assert_int_equal(back_failure_may_retry(BACK_FAIL_##id), retry);                               \
    assert_int_equal(back_failure_reply(BACK_FAIL_##id), reply);                                   \
    assert_int_equal(back_failure_is_unhealthy(BACK_FAIL_##id), health);
    BACK_FAILURES(B)
#undef B
    assert_string_equal(reply_text((enum reply_kind)999), "Internal error.");
    assert_string_equal(back_failure_name((enum back_failure)999), "internal");
}

/* Whoever judged the credentials had the last word: nothing that follows a judgement may be tried
 * elsewhere. */
static void test_judged_is_final(void **state)
{
    assert_false(back_failure_may_retry(BACK_FAIL_AUTH));
    assert_false(back_failure_may_retry(BACK_FAIL_AUTH_TEMP));
    assert_false(back_failure_may_retry(BACK_FAIL_LIMIT));
    assert_true(back_failure_may_retry(BACK_FAIL_CONNECT));
    assert_int_not_equal(back_failure_reply(BACK_FAIL_CONNECT), REPLY_AUTH_FAILED);
}

static void test_clean(void **state)
{
    static const struct {
        struct str in;
        size_t max;
        const char *want;
    } cases[] = {
        {{"plain words", 11}, 400, "plain words"},
        {{"", 0}, 400, ""},
        {{"a\r\n* OK b", 9}, 400, "a * OK b"},
        {{"  a \t\0 b\x7f ", 10}, 400, "a b"},
        {{"a  b", 4}, 400, "a b"},
        {{"a b c  d", 8}, 400, "a b c d"},
        {{"a b c", 5}, 400, "a b c"},
        {{"a b c ", 6}, 400, "a b c"},
        {{"\xc3\xa9t\xc3\xa9", 5}, 400, "\xc3\xa9t\xc3\xa9"},
        {{"\xc3\xa9t\xc3\xa9", 5}, 4, "\xc3\xa9t"},
        {{"x\xc2\x9bz", 4}, 400, "x z"},
        {{"\xff\xc3(\xe2\x82", 5}, 400, "?\?(?\?"},
        {{"\xc0\x80\xed\xa0\x80", 5}, 400, "?????"},
        {{"abcdef", 6}, 3, "abc"},
        {{"ab cd", 5}, 3, "ab"},
        {{"abc", 3}, 0, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO_BUF out = BUF_INIT;
        assert_int_equal(reply_append_clean(&out, cases[i].in, cases[i].max), 0);
        if (!str_eq(buf_str(&out), str_of(cases[i].want)))
            fail_msg("case %zu: got \"%.*s\"", i, STR_ARG(buf_str(&out)));
    }
    AUTO_BUF out = BUF_INIT;
    char longest[1000];
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(reply_append_text(&out, REPLY_LIMIT, longest), 0);
    assert_int_equal(out.len, REPLY_TEXT_MAX);
    buf_clear(&out);
    assert_int_equal(reply_append_text(&out, REPLY_LIMIT, NULL), 0);
    assert_true(str_eq(buf_str(&out), STR("Too many connections.")));
}

static void test_back_fail(void **state)
{
    struct back_env env = {0};
    struct back b;
    char words[2000];
    memset(words, 'w', sizeof(words));
    back_init(&b, &env);
    assert_ptr_equal(b.env, &env);
    assert_string_equal(b.step, "greeting");
    assert_int_equal(back_fail(&b, BACK_FAIL_AUTH, STR("NO\r\nway")), BACK_FAILED);
    assert_int_equal(b.failure, BACK_FAIL_AUTH);
    assert_true(str_eq(buf_str(&b.message), STR("NO way")));
    assert_int_equal(back_fail(&b, BACK_FAIL_BYE, str_n(words, sizeof(words))), BACK_FAILED);
    assert_int_equal(b.message.len, 512);
    back_fini(&b);
    back_fini(NULL);
}

static void test_watch(void **state)
{
    static const struct {
        enum watch_phase phase;
        const char *name;
        bool is_boundary;
    } cases[] = {
        {WATCH_BETWEEN, "between", true},    {WATCH_COMMAND, "command", true},
        {WATCH_RESPONSE, "response", false}, {WATCH_DATA, "data", true},
        {WATCH_IDLE, "idle", true},          {WATCH_OPAQUE, "opaque", false},
    };
    assert_int_equal(sizeof(cases) / sizeof(cases[0]), WATCH_PHASE_COUNT);
    for (size_t i = 0; i < WATCH_PHASE_COUNT; i++) {
        struct watch w = {.phase = (uint8_t)cases[i].phase};
        assert_string_equal(watch_phase_name(cases[i].phase), cases[i].name);
        assert_int_equal(watch_is_boundary(&w), cases[i].is_boundary);
    }
}

static void test_http(void **state)
{
    static const struct {
        const char *in;
        bool is_http;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n", true},
        {"GET / HTTP/1.1", true},
        {"POST /", true},
        {"OPTIONS * HTTP/1.1\r\n", true},
        {"CONNECT mail.example.org:143 HTTP/1.1\r\n", true},
        {"GET http://x/ HTTP/1.0\r\n", true},
        {"PRI * HTTP/2.0\r\n", true},
        {"", false},
        {"GET", false},
        {"GET ", false},
        {"GET NOOP\r\n", false},
        {"POST LOGIN u p\r\n", false},
        {"CONNECT LOGIN u HTTP/x\r\n", false},
        {"a1 LOGIN /u HTTP/1.1\r\n", false},
        {"USER /home HTTP/1.1\r\n", false},
        {"get / HTTP/1.1\r\n", false},
        {"GET NOOP\r\nGET / HTTP/1.1\r\n", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (front_is_http(str_of(cases[i].in)) != cases[i].is_http)
            fail_msg("\"%s\"", cases[i].in);
}

static void test_registry(void **state)
{
    size_t n = 0;
    for (unsigned i = 0; i < PROTO_COUNT; i++) {
        const struct proto *p = proto_get((enum proto_id)i);
        if (!p)
            continue;
        n++;
        assert_int_equal(p->id, i);
        assert_ptr_equal(proto_find(str_of(p->name)), p);
        assert_non_null(p->front_new);
        assert_non_null(p->back_new);
        assert_non_null(p->watch_feed);
        assert_non_null(p->farewell);
        assert_true(p->watch_size >= sizeof(struct watch));
    }
    assert_true(n > 0);
    assert_null(proto_get(PROTO_COUNT));
    assert_null(proto_find(STR("gopher")));
    assert_null(proto_find(STR_NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),    cmocka_unit_test(test_judged_is_final),
        cmocka_unit_test(test_clean),    cmocka_unit_test(test_back_fail),
        cmocka_unit_test(test_watch),    cmocka_unit_test(test_http),
        cmocka_unit_test(test_registry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
