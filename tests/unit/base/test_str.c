/* SPDX-License-Identifier: ISC */
/* Byte slices: cutting, comparing, numbers, wildcards, near names, UTF-8, base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/str.h"
#include <cmocka.h>

static void check(struct str s, const char *want)
{
    if (!str_eq(s, str_of(want)))
        fail_msg("\"%.*s\" instead of \"%s\"", STR_ARG(s), want);
}

static void test_compare(void **state)
{
    assert_true(str_eq(STR_NULL, STR("")));
    assert_false(str_eq(STR("a"), STR("A")));
    assert_true(str_ieq(STR("aBz"), STR("AbZ")));
    assert_false(str_ieq(STR("ab"), STR("abc")));
    assert_false(str_ieq(STR("@["), STR("`{"))); /* letters only */
    assert_false(str_ieq(STR("\xc4"), STR("\xe4")));
    assert_true(str_is_prefix(STR("abc"), STR("ab")));
    assert_false(str_is_prefix(STR("abc"), STR("AB")));
    assert_true(str_is_iprefix(STR("abc"), STR("AB")));
    assert_true(str_is_prefix(STR("a"), STR_NULL));
    assert_false(str_is_iprefix(STR("a"), STR("ab")));
    assert_true(str_eq_secret(STR("abc"), STR("abc")));
    assert_false(str_eq_secret(STR("abc"), STR("abd")));
    assert_false(str_eq_secret(STR("abc"), STR("ab")));
    assert_true(str_eq_secret(STR_NULL, STR("")));
}

static void test_cut(void **state)
{
    struct str s = STR("a,,b");
    check(str_cut(&s, ','), "a");
    check(str_cut(&s, ','), "");
    check(str_cut(&s, ','), "b");
    assert_null(s.p);
    check(str_cut(&s, ','), "");
    s = STR("a,");
    check(str_cut(&s, ','), "a");
    assert_non_null(s.p); /* an empty rest behind a separator is one */
    assert_int_equal(s.n, 0);
    check(str_trim(STR(" \t\r\nx y\n ")), "x y");
    check(str_trim(STR(" \t ")), "");
    check(str_trim(STR_NULL), "");
    check(str_skip(STR("abc"), 2), "c");
    check(str_skip(STR("abc"), 3), "");
    assert_null(str_skip(STR_NULL, 0).p);
}

static void test_words(void **state)
{
    struct str s = STR("  one \t two");
    check(str_word(&s), "one");
    check(str_word(&s), "two");
    check(str_word(&s), "");
    s = STR("one\ttwo three");
    check(str_word(&s), "one");
    check(str_word(&s), "two");
    check(s, " three");
    s = STR_NULL;
    check(str_word(&s), "");
    assert_int_equal(str_index(STR("abcb"), 'b'), 1);
    assert_int_equal(str_index(STR("abc"), 'x'), -1);
    assert_int_equal(str_index(STR_NULL, 'x'), -1);
    assert_int_equal(str_index(STR("a\0b"), '\0'), 1);
    assert_int_equal(str_find(STR("a  b  "), STR("  ")), 1);
    assert_int_equal(str_find(STR("ab"), STR("abc")), -1);
    assert_int_equal(str_find(STR("a\0bc"), STR("\0b")), 1);
    assert_int_equal(str_find(STR_NULL, STR("a")), -1);
    assert_int_equal(str_find(STR_NULL, STR_NULL), 0);
    assert_int_equal(str_find(STR("a"), STR_NULL), 0);
}

static void test_classes(void **state)
{
    assert_false(str_has_crlf_nul(STR("abc")));
    assert_true(str_has_crlf_nul(STR("a\rb")));
    assert_true(str_has_crlf_nul(STR("a\nb")));
    assert_true(str_has_crlf_nul(STR("a\0b")));
    assert_true(str_is_printable_ascii(STR(" ~")));
    assert_false(str_is_printable_ascii(STR("\x7f")));
    assert_false(str_is_printable_ascii(STR("\x1f")));
    assert_false(str_is_printable_ascii(STR("\xc3\xa4")));
    for (unsigned byte = 0; byte < 256;
         byte++) /* each at each place: words of eight, and the rest */
        for (size_t at = 0; at < 19; at++) {
            char text[19];
            memset(text, 'a', sizeof(text));
            text[at] = (char)byte;
            bool is_printable = byte >= 0x20 && byte <= 0x7e;
            assert_true(str_is_printable_ascii(str_n(text, sizeof(text))) == is_printable);
            assert_true(str_has_crlf_nul(str_n(text, sizeof(text))) ==
                        (byte == '\r' || byte == '\n' || byte == '\0'));
            assert_true(str_is_utf8(str_n(text, sizeof(text))) == (byte < 0x80));
        }
}

static void test_utf8(void **state)
{
    static const struct str good[] = {STR(""),
                                      STR("a\0b"),
                                      STR("\xc2\x80"),
                                      STR("\xdf\xbf"),
                                      STR("\xe0\xa0\x80"),
                                      STR("\xed\x9f\xbf"),
                                      STR("\xee\x80\x80"),
                                      STR("\xf0\x90\x80\x80"),
                                      STR("\xf4\x8f\xbf\xbf")};
    static const struct str bad[] = {STR("\x80"),
                                     STR("\xc0\x80"),
                                     STR("\xc1\xbf"),
                                     STR("\xc3"),
                                     STR("\xc3("),
                                     STR("\xe0\x9f\xbf"),
                                     STR("\xed\xa0\x80"),
                                     STR("\xe2\x82"),
                                     STR("\xf0\x8f\xbf\xbf"),
                                     STR("\xf4\x90\x80\x80"),
                                     STR("\xf5\x80\x80\x80"),
                                     STR("\xff"),
                                     STR("a\xf0\x90\x80")};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(str_is_utf8(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(str_is_utf8(bad[i]));
}

static void test_copies(void **state)
{
    char dst[4];
    assert_true(str_copy(dst, sizeof(dst), STR("abc")));
    assert_string_equal(dst, "abc");
    assert_false(str_copy(dst, sizeof(dst), STR("abcd")));
    assert_string_equal(dst, "abc");
    assert_true(str_copy(dst, sizeof(dst), STR_NULL));
    assert_string_equal(dst, "");
    AUTO_FREE char *copy = str_dup(STR("a\0b"));
    assert_memory_equal(copy, "a\0b", 4);
    assert_null(str_dup_c(NULL));
    AUTO_FREE char *text = str_printf("%d-%s", 3, "x");
    assert_string_equal(text, "3-x");
    char mixed[] = "AbC\xc4Z";
    str_lower(mixed);
    assert_string_equal(mixed, "abc\xc4z");
    char hex[7];
    static const struct {
        uint64_t v;
        unsigned base, width;
        const char *text;
    } numbers[] = {{0, 10, 0, "0"},
                   {0, 10, 3, "000"},
                   {7, 10, 2, "07"},
                   {1234, 10, 2, "1234"},
                   {UINT64_MAX, 10, 0, "18446744073709551615"},
                   {UINT64_MAX, 16, 20, "0000ffffffffffffffff"},
                   {0x1a2b, 16, 0, "1a2b"}};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        char number[STR_NUMBER_MAX + 1];
        *str_put_number(number, numbers[i].v, numbers[i].base, numbers[i].width) = '\0';
        assert_string_equal(number, numbers[i].text);
    }
    str_hex(hex, "\x00\xaf\x10", 3);
    assert_string_equal(hex, "00af10");
}

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        uint64_t max;
        int err;
        uint64_t value;
    } cases[] = {
        {"0", 10, 0, 0},
        {"007", 10, 0, 7},
        {"10", 10, 0, 10},
        {"11", 10, -ERR_RANGE, 0},
        {"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, -ERR_RANGE, 0},
        {"99999999999999999999999", UINT64_MAX, -ERR_RANGE, 0},
        {"", 10, -ERR_SYNTAX, 0},
        {"-1", 10, -ERR_SYNTAX, 0},
        {"+1", 10, -ERR_SYNTAX, 0},
        {" 1", 10, -ERR_SYNTAX, 0},
        {"1 ", 10, -ERR_SYNTAX, 0},
        {"0x1", 10, -ERR_SYNTAX, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value = 4711;
        assert_int_equal(str_to_u64(str_of(cases[i].text), cases[i].max, &value), cases[i].err);
        assert_true(value == (cases[i].err ? 4711 : cases[i].value));
    }
}

static void test_glob(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool is_match;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "abc", true},
        {"a*c", "abc", true},
        {"a*c", "abcd", false},
        {"A?C", "abc", true},
        {"a?c", "ac", false},
        {"*@example.org", "Joe@Example.ORG", true},
        {"*a*b*", "xaxxb", true},
        {"*a*b*", "xbxxa", false},
        {"a**b", "ab", true},
        {"a*bc*d", "abcbcbcd", true},
        {"?", "", false},
        {"*?", "x", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (str_glob(str_of(cases[i].pattern), str_of(cases[i].text)) != cases[i].is_match)
            fail_msg("%s against %s", cases[i].pattern, cases[i].text);
    /* no exponential search: this would never end */
    AUTO_BUF text = BUF_INIT;
    AUTO_BUF pattern = BUF_INIT;
    for (int i = 0; i < 2000; i++)
        assert_int_equal(buf_append_c(&text, "a"), 0);
    for (int i = 0; i < 200; i++)
        assert_int_equal(buf_append_c(&pattern, "a*"), 0);
    assert_int_equal(buf_append_c(&pattern, "b"), 0);
    assert_false(str_glob(buf_str(&pattern), buf_str(&text)));
}

static void test_nearest(void **state)
{
    static const char *const names[] = {"session", NULL, "backend", "user", "ban", ""};
    const size_t n = sizeof(names) / sizeof(names[0]);
    assert_string_equal(str_nearest("sesion", names, n), "session");
    assert_string_equal(str_nearest("BACKENDS", names, n), "backend");
    assert_string_equal(str_nearest("usr", names, n), "user");
    assert_string_equal(str_nearest("bam", names, n), "ban");
    assert_null(str_nearest("xyz", names, n));
    assert_null(str_nearest("b", names, n)); /* two edits are too many for a short word */
    assert_null(str_nearest("", names, n));
    char longest[200];
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    assert_null(str_nearest(longest, names, n));
}

static void test_base64(void **state)
{
    /* RFC 4648 section 10, and bytes that need every digit */
    static const struct {
        struct str plain, coded;
    } cases[] = {
        {STR(""), STR("")},
        {STR("f"), STR("Zg==")},
        {STR("fo"), STR("Zm8=")},
        {STR("foo"), STR("Zm9v")},
        {STR("foob"), STR("Zm9vYg==")},
        {STR("fooba"), STR("Zm9vYmE=")},
        {STR("\0a\0b"), STR("AGEAYg==")},
        {STR("\xff\xef\xbe"), STR("/+++")},
        {STR("\x00\x10\x83\x10\x51\x87\x20\x92\x8b\x30\xd3\x8f\x41\x14\x93\x51\x55\x97\x61\x96"
             "\x9b\x71\xd7\x9f\x82\x18\xa3\x92\x59\xa7\xa2\x9a\xab\xb2\xdb\xaf\xc3\x1c\xb3\xd3"
             "\x5d\xb7\xe3\x9e\xbb\xf3\xdf\xbf"),
         STR("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")},
    };
    static const struct str bad[] = {
        STR("Z"),    STR("Zg="),  STR("Zg"),   STR("Zg==Zg=="), STR("Zh=="), STR("Zm9="),
        STR("===="), STR("Z==="), STR("Zm9 "), STR("Zm9\n"),    STR("-___"), STR("Z=g="),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO_BUF b = BUF_INIT;
        assert_int_equal(str_base64_encode(cases[i].plain, &b), 0);
        assert_true(str_eq(buf_str(&b), cases[i].coded));
        buf_clear(&b);
        assert_int_equal(str_base64_decode(cases[i].coded, &b), 0);
        assert_true(str_eq(buf_str(&b), cases[i].plain));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        AUTO_BUF b = BUF_INIT;
        assert_int_equal(buf_append_c(&b, "before"), 0);
        if (str_base64_decode(bad[i], &b) != -ERR_SYNTAX)
            fail_msg("%.*s is understood", STR_ARG(bad[i]));
        check(buf_str(&b), "before");
    }
}

static void test_among(void **state)
{
    static const char *const words[] = {"SASL", "StartTLS", ""};
    assert_true(str_is_among(STR("sasl"), words, ARRAY_LEN(words)));
    assert_true(str_is_among(STR("STARTTLS"), words, ARRAY_LEN(words)));
    assert_true(str_is_among(STR(""), words, ARRAY_LEN(words)));
    assert_false(str_is_among(STR(""), words, 2));
    assert_false(str_is_among(STR("SAS"), words, ARRAY_LEN(words)));
    assert_false(str_is_among(STR("SASLX"), words, ARRAY_LEN(words)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_words),   cmocka_unit_test(test_classes),
        cmocka_unit_test(test_utf8),    cmocka_unit_test(test_copies),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_glob),
        cmocka_unit_test(test_nearest), cmocka_unit_test(test_base64),
        cmocka_unit_test(test_among),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
