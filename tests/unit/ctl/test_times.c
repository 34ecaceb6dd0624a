/* SPDX-License-Identifier: ISC */
/* Times as people write them, in a zone that is not UTC. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "ctl/times.h"

#define NOW 1795953600 /* 2026-11-29 12:00:00 UTC, 13:00 in the zone of the tests */
#define H 3600

static const struct {
    const char *text;
    bool is_past;
    int err;
    int64_t s; /* from now */
} cases[] = {
    {"12:30", true, 0, H / 2},
    {"12:59:30", true, 0, 30},
    {"13:00", true, 0, 0},
    {"14:00", true, 0, 23 * H}, /* yesterday's */
    {"14:00", false, 0, H},
    {"12:00", false, 0, 23 * H}, /* tomorrow's */
    {"13:00", false, 0, 24 * H},
    {"11:00Z", true, 0, H},
    {"today", true, 0, 13 * H},
    {"yesterday", true, 0, 37 * H},
    {"tomorrow", false, 0, 11 * H},
    {"2026-11-28", true, 0, 37 * H},
    {"2026-11-28 14:00", true, 0, 23 * H},
    {"2026-11-28T14:00", true, 0, 23 * H},
    {"2026-11-28T14:00:00Z", true, 0, 22 * H},
    {"11-28 14:00", true, 0, 23 * H},
    {"11-28 14:00:01", true, 0, 23 * H - 1},
    {"2026-07-29 14:00", true, 0, 123 * 24 * H}, /* of summer time */
    {"2026-12-24", false, 0, 25 * 24 * H - 13 * H},
    {"12-24 14:00", true, 0, 340 * 24 * H - H},  /* last year's */
    {"11-28 14:00", false, 0, 364 * 24 * H + H}, /* next year's */
    {"2028-02-29", false, 0, 457 * 24 * H - 13 * H},
    {"2027-02-29", false, -ERR_SYNTAX, 0},
    {"2026-02-30", true, -ERR_SYNTAX, 0},
    {"2026-09-31 10:00", true, -ERR_SYNTAX, 0},
    {"tomorrow", true, -ERR_RANGE, 0},
    {"today", false, -ERR_RANGE, 0},
    {"2026-11-28", false, -ERR_RANGE, 0},
    {"2027-01-01", true, -ERR_RANGE, 0},
    {"", true, -ERR_SYNTAX, 0},
    {" 12:30", true, -ERR_SYNTAX, 0},
    {"12:30 ", true, -ERR_SYNTAX, 0},
    {"12", true, -ERR_SYNTAX, 0},
    {"25:00", true, -ERR_SYNTAX, 0},
    {"2026-13-01", true, -ERR_SYNTAX, 0},
    {"24.12.", false, -ERR_SYNTAX, 0},
    {"Z", true, -ERR_SYNTAX, 0},
    {"noon", true, -ERR_SYNTAX, 0},
    {"2026-11-28 14:00 and a good deal more", true, -ERR_SYNTAX, 0},
};

static void test_cases(void **state)
{
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t ms = 1;
        int err = times_parse(str_of(cases[i].text), cases[i].is_past, NOW, &ms);
        if (err != cases[i].err || ms != (uint64_t)cases[i].s * 1000)
            fail_msg("\"%s\": %d, %lld s", cases[i].text, err, (long long)ms / 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
