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
    static const struct {
        const char *text;
        uint64_t ms;
    } cases[] = {
        {"1970-01-01T00:00:00.000Z", 0},
        {"2026-01-02T03:04:05.678Z", 1767323045678},
        {"2024-02-29T23:59:59.999Z", 1709251199999},
        {"2017-01-01T00:00:00.000Z", 1483228800000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
        {"9999-12-31T23:59:59.999Z", UINT64_MAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[25];
        clock_format(text, cases[i].ms);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_clocks(void **state)
{
    uint64_t us = clock_us(), ms = clock_ms();
    assert_true(ms >= us / 1000 && ms - us / 1000 < 10000);
    assert_true(clock_us() >= us);
    assert_true(clock_wall_ms() > 1700000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
