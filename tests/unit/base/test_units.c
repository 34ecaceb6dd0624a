/* SPDX-License-Identifier: ISC */
/* Durations and sizes: what is written can be read, what is read can be written again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/units.h"
#include <cmocka.h>

#define SECOND 1000ull
#define DAY (86400 * SECOND)

static void test_duration(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
        const char *shown;
    } cases[] = {
        {"0", 0, "0"},
        {"0s", 0, "0"},
        {"500ms", 500, "500ms"},
        {"10s", 10 * SECOND, "10s"},
        {"90s", 90 * SECOND, "90s"},
        {"60s", 60 * SECOND, "1m"},
        {"5m", 300 * SECOND, "5m"},
        {"1h30m", 5400 * SECOND, "90m"},
        {"24h", DAY, "1d"},
        {"2W", 14 * DAY, "14d"},
        {"1d1ms", DAY + 1, "86400001ms"},
        {"18446744073709551615ms", UINT64_MAX, "18446744073709551615ms"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[32];
        uint64_t ms;
        assert_int_equal(units_parse_duration(str_of(cases[i].text), &ms), 0);
        assert_true(ms == cases[i].ms);
        units_format_duration(text, ms);
        assert_string_equal(text, cases[i].shown);
    }
}

static void test_size(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
        const char *shown;
    } cases[] = {
        {"0", 0, "0"},
        {"742", 742, "742"},
        {"742b", 742, "742"},
        {"4k", 4096, "4k"},
        {"4KB", 4096, "4k"},
        {"4KiB", 4096, "4k"},
        {"1m", 1 << 20, "1m"},
        {"1025", 1025, "1025"},
        {"1G", 1 << 30, "1g"},
        {"2048m", 1ull << 31, "2g"},
        {"3t", 3ull << 40, "3t"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[32];
        uint64_t bytes;
        assert_int_equal(units_parse_size(str_of(cases[i].text), &bytes), 0);
        assert_true(bytes == cases[i].bytes);
        units_format_size(text, bytes);
        assert_string_equal(text, cases[i].shown);
    }
}

static void test_wrong(void **state)
{
    static const struct {
        struct str text;
        int duration, size;
    } cases[] = {
        {STR_NULL, -ERR_SYNTAX, -ERR_SYNTAX},
        {STR(""), -ERR_SYNTAX, -ERR_SYNTAX},
        {STR("s"), -ERR_SYNTAX, -ERR_SYNTAX},
        {STR("5"), -ERR_SYNTAX, 0},
        {STR("5x"), -ERR_SYNTAX, -ERR_SYNTAX},
        {STR("-5s"), -ERR_SYNTAX, -ERR_SYNTAX},
        {STR("5 s"), -ERR_SYNTAX, -ERR_SYNTAX},
        {STR("5s "), -ERR_SYNTAX, -ERR_SYNTAX},
        {STR("1.5h"), -ERR_SYNTAX, -ERR_SYNTAX},
        {STR("5m5"), -ERR_SYNTAX, -ERR_SYNTAX},
        {STR("5kk"), -ERR_SYNTAX, -ERR_SYNTAX},
        {STR("99999999999999999999s"), -ERR_RANGE, -ERR_SYNTAX},
        {STR("18446744073709551615s"), -ERR_RANGE, -ERR_SYNTAX},
        {STR("18446744073709551615ms1ms"), -ERR_RANGE, -ERR_SYNTAX},
        {STR("18446744073709551615k"), -ERR_SYNTAX, -ERR_RANGE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t v = 4711;
        int err = units_parse_duration(cases[i].text, &v);
        if (err != cases[i].duration)
            fail_msg("duration %.*s: %s", STR_ARG(cases[i].text), err_name(err));
        assert_true(v == 4711);
        err = units_parse_size(cases[i].text, &v);
        if (err != cases[i].size)
            fail_msg("size %.*s: %s", STR_ARG(cases[i].text), err_name(err));
        assert_true(err == 0 || v == 4711);
    }
}

static void test_human(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } sizes[] = {
        {0, "0"},
        {742, "742"},
        {999, "999"},
        {1000, "1.0K"},
        {1024, "1.0K"},
        {1536, "1.5K"},
        {10240, "10K"},
        {1 << 20, "1.0M"},
        {999 << 20, "999M"},
        {1000ull << 20, "1.0G"},
        {3ull << 60, "3.0E"},
        {UINT64_MAX, "16E"},
    };
    static const struct {
        uint64_t ms;
        const char *text;
    } durations[] = {
        {0, "0s"},
        {999, "0s"},
        {59 * SECOND, "59s"},
        {60 * SECOND, "1m"},
        {3599 * SECOND, "59m"},
        {11220 * SECOND, "3h07m"},
        {2 * DAY + 4 * 3600 * SECOND, "2d04h"},
        {400 * DAY, "400d00h"},
    };
    char text[32];
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        units_human_size(text, sizes[i].bytes);
        assert_string_equal(text, sizes[i].text);
    }
    for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
        units_human_duration(text, durations[i].ms);
        assert_string_equal(text, durations[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duration),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_human),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
