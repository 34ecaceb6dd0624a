/* SPDX-License-Identifier: ISC */
/* Clocks, and times as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include <cmocka.h>

static void test_text(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
        const char *shown; /* NULL = as it is */
    } cases[] = {
        {"1970-01-01T00:00:00.000Z", 0, NULL},
        {"2026-01-02T03:04:05.678Z", 1767323045678, NULL},
        {"2026-01-02T03:04:05Z", 1767323045000, "2026-01-02T03:04:05.000Z"},
        {"2024-02-29T23:59:59.999Z", 1709251199999, NULL},
        {"2016-12-31T23:59:60Z", 1483228800000, "2017-01-01T00:00:00.000Z"}, /* leap second */
        {"9999-12-31T23:59:59.999Z", 253402300799999, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[25];
        uint64_t ms;
        assert_int_equal(clock_parse(str_of(cases[i].text), &ms), 0);
        assert_true(ms == cases[i].ms);
        clock_format(text, ms);
        assert_string_equal(text, cases[i].shown ? cases[i].shown : cases[i].text);
    }
    char text[25];
    clock_format(text, UINT64_MAX);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

static void test_wrong(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "2026-01-02",
        "2026-01-02T03:04:05",
        "2026-01-02t03:04:05z",
        "2026-01-02T03:04:05.6Z",
        "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05+00:00",
        "2026-01-02T03:04:05Zx",
        "2026-1-2T03:04:05Z",
        "1969-12-31T23:59:59Z",
        "2026-00-02T03:04:05Z",
        "2026-13-02T03:04:05Z",
        "2026-01-00T03:04:05Z",
        "2026-01-32T03:04:05Z",
        "2026-02-29T03:04:05Z",
        "2026-04-31T03:04:05Z",
        "2026-01-02T24:04:05Z",
        "2026-01-02T03:60:05Z",
        "2026-01-02T03:04:61Z",
        "+026-01-02T03:04:05Z",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t ms = 4711;
        if (clock_parse(str_of(cases[i]), &ms) != -ERR_SYNTAX)
            fail_msg("%s is understood", cases[i]);
        assert_true(ms == 4711);
    }
}

static void test_clocks(void **state)
{
    (void)state;
    uint64_t us = clock_us(), ms = clock_ms();
    assert_true(ms >= us / 1000 && ms - us / 1000 < 10000);
    assert_true(clock_us() >= us);
    assert_true(clock_wall_ms() > 1700000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
