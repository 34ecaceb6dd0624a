/* SPDX-License-Identifier: ISC */
/* Lines of the log: text and JSON, escapes, cuts, and that nobody can forge one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/log/log_line.h"
#include <cmocka.h>

#define AT 1767323045678
#define TEXT_HEAD "2026-01-02T03:04:05.678Z info event"
#define JSON_HEAD "{\"time\":\"2026-01-02T03:04:05.678Z\",\"level\":\"info\",\"event\":\"event\""

static void check(const struct log_field *fields, size_t n, const char *text, const char *json)
{
    struct log_line line;
    log_line_make(&line, LOG_FORMAT_TEXT, AT, LOG_LEVEL_INFO, "event", fields, n);
    if (!str_eq(str_n(line.text, line.n), str_of(text)))
        fail_msg("%.*s instead of %s", (int)line.n, line.text, text);
    assert_true(str_is_prefix(str_n(line.text + line.body, line.n - line.body), STR("event")));
    log_line_make(&line, LOG_FORMAT_JSON, AT, LOG_LEVEL_INFO, "event", fields, n);
    if (!str_eq(str_n(line.text, line.n), str_of(json)))
        fail_msg("%.*s instead of %s", (int)line.n, line.text, json);
}

static void test_fields(void **state)
{
    const struct log_field fields[] = {
        KV_STR("user", "joe"),   KV_STR("absent", NULL),
        KV_STR("empty", ""),     KV_U64("n", UINT64_MAX),
        KV_I64("i", -5),         KV_MS("took", 61234),
        KV_ERR("why", -ERR_DNS), KV_STRN("part", STR("ab")),
    };
    check(fields, ARRAY_LEN(fields),
          TEXT_HEAD " user=joe empty=\"\" n=18446744073709551615 i=-5 took=61.234"
                    " why=\"name could not be resolved\" part=ab\n",
          JSON_HEAD ",\"user\":\"joe\",\"empty\":\"\",\"n\":18446744073709551615,\"i\":-5,"
                    "\"took\":61.234,\"why\":\"name could not be resolved\",\"part\":\"ab\"}\n");
    check(NULL, 0, TEXT_HEAD "\n", JSON_HEAD "}\n");
}

static void test_words(void **state)
{
    struct addr v4, v6;
    assert_int_equal(addr_parse(STR("192.0.2.1:110"), &v4), 0);
    assert_int_equal(addr_parse(STR("[2001:db8::1]:65535"), &v6), 0);
    const struct addr local = {.family = AF_UNIX};
    const struct log_field fields[] = {
        KV_WORD("state", "backend-tls"), KV_WORD("absent", NULL), KV_ADDR("client", &v4),
        KV_ADDR("server", &v6),          KV_ADDR("none", NULL),   KV_ADDR("local", &local),
    };
    check(fields, ARRAY_LEN(fields),
          TEXT_HEAD " state=backend-tls client=192.0.2.1:110 server=[2001:db8::1]:65535"
                    " local=unix:\n",
          JSON_HEAD ",\"state\":\"backend-tls\",\"client\":\"192.0.2.1:110\","
                    "\"server\":\"[2001:db8::1]:65535\",\"local\":\"unix:\"}\n");
}

/* What a line is too full for is left out whole. */
static void test_words_do_not_fit(void **state)
{
    static char pad[LOG_LINE_MAX];
    struct addr a;
    assert_int_equal(addr_parse(STR("[1111:2222:3333:4444:5555:6666:7777:8888]:65535"), &a), 0);
    memset(pad, 'x', sizeof(pad));
    for (size_t n = LOG_LINE_MAX - 300; n < LOG_LINE_MAX; n++) {
        const struct log_field fields[] = {KV_STRN("pad", str_n(pad, n)), KV_ADDR("a", &a),
                                           KV_WORD("w", "word")};
        for (int f = LOG_FORMAT_TEXT; f <= LOG_FORMAT_JSON; f++) {
            struct log_line line;
            log_line_make(&line, (enum log_format)f, AT, LOG_LEVEL_INFO, "event", fields, 3);
            struct str text = str_n(line.text, line.n);
            assert_true(line.n <= LOG_LINE_MAX);
            assert_int_equal(str_find(text, STR("1111:")) < 0, str_find(text, STR(":65535")) < 0);
            assert_true(str_find(text, STR("a=\n")) < 0 && str_find(text, STR("\"\"")) < 0);
        }
    }
}

static void test_escapes(void **state)
{
    const struct log_field fields[] = {
        KV_STR("a", "x\ny=\"1\"\\"), KV_STR("b", "\r\x01\x7f"), KV_STR("c", "\xc3\xa4"),
        KV_STR("d", "\xc3("),        KV_STRN("e", STR("a\0b")), KV_STR("f", "k=v"),
    };
    check(fields, ARRAY_LEN(fields),
          TEXT_HEAD " a=\"x\\ny=\\\"1\\\"\\\\\" b=\"\\r\\x01\\x7f\" c=\"\xc3\xa4\" d=\"\\xc3(\""
                    " e=\"a\\x00b\" f=\"k=v\"\n",
          JSON_HEAD ",\"a\":\"x\\ny=\\\"1\\\"\\\\\",\"b\":\"\\r\\u0001\\u007f\",\"c\":\"\xc3\xa4\","
                    "\"d\":\"\\u00c3(\",\"e\":\"a\\u0000b\",\"f\":\"k=v\"}\n");
}

/* However much is to be said, a line ends in one LF, is valid UTF-8 and its quotes are closed. */
static void test_cuts(void **state)
{
    static const char *const pieces[] = {"x", "\n", "\xe2\x82\xac", "\"", "\x01"};
    for (size_t p = 0; p < ARRAY_LEN(pieces); p++) {
        AUTO_BUF value = BUF_INIT;
        while (value.len < 2 * LOG_LINE_MAX)
            assert_int_equal(buf_append_c(&value, pieces[p]), 0);
        for (size_t lead = 0; lead < 12; lead++) {
            const struct log_field fields[] = {KV_STRN("pad", str_n("............", lead)),
                                               KV_STRN("long", buf_str(&value)),
                                               KV_STR("late", "left out")};
            for (int f = LOG_FORMAT_TEXT; f <= LOG_FORMAT_JSON; f++) {
                struct log_line line;
                log_line_make(&line, (enum log_format)f, AT, LOG_LEVEL_INFO, "event", fields, 3);
                assert_true(line.n <= LOG_LINE_MAX);
                assert_int_equal(str_index(str_n(line.text, line.n), '\n'), line.n - 1);
                assert_true(str_is_utf8(str_n(line.text, line.n)));
                const char *end = f == LOG_FORMAT_JSON ? "...\"}\n" : p == 0 ? "...\n" : "...\"\n";
                size_t n = strlen(end);
                assert_memory_equal(line.text + line.n - n, end, n);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_words_do_not_fit),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
